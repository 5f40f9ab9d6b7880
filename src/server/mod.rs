//! The doors: webhooks from outside, and the control socket for the people of this machine.
//!
//! Two listeners that share nothing but the store: the public one takes signed webhooks and nothing else,
//! the private one is a socket file that only its owner can open. Neither runs a script or calls a provider.
//!
//! | file | what |
//! |---|---|
//! | [`webhook`] | the public door |
//! | [`counters`] | what became of its requests, and how each is answered |
//! | `senders` | its bounds by address |
//! | [`control`] | the private door |
//! | [`protocol`] | what goes through it, as types |
//! | [`client`] | its other end, for commands |

pub mod client;
pub mod control;
pub mod counters;
pub mod protocol;
pub mod webhook;

mod senders;
