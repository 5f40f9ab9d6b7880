//! Connectors: providers described as data, and the little code that reads the description.
//!
//! One TOML table per provider says everything that differs between providers: addresses, endpoints, what an
//! error means, how webhooks are signed, where the amount of a payment stands. Everything but [`client`] (the
//! network) and [`registry`] (the user's own tables) is pure. This room must not know runs, policy beyond the
//! [`Clearance`](crate::model::policy::Clearance) it demands, or any provider by name.
//!
//! | file | from | to |
//! |---|---|---|
//! | [`table`] | a TOML text | a [`Connector`](table::Connector), or everything that is wrong with it |
//! | [`registry`] | tables | connectors by name |
//! | [`connection`] | a connector, an address, credentials | what scripts name |
//! | [`request`] | the arguments of a script | the exact request |
//! | [`units`] | money | a provider's amount, and back |
//! | [`times`] | a time | how a provider writes it, and back |
//! | [`client`] | a request | an answer, or how far it got |
//! | [`reply`] | an answer | what it means for the step |
//! | [`page`] | the pages of a list | its items, where the next page is, whether it was all |
//! | [`redact`] | what was sent and answered | the same without what a table calls sensitive |
//! | [`lookup`] | an effect nobody heard the outcome of | whether it happened |
//! | [`signature`] | a delivery | whether the provider sent it |
//! | [`event`] | a verified delivery | an event |

pub mod client;
pub mod connection;
pub mod event;
pub mod lookup;
pub mod page;
pub mod redact;
pub mod registry;
pub mod reply;
pub mod request;
pub mod signature;
pub mod table;
pub mod times;
pub mod units;

mod alike;
mod auth;
mod unread;
