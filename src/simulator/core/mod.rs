//! What every simulated provider shares: tables, books, faults, keys, notices and their delivery.
//!
//! Nothing here knows a provider's words; what differs between them stands in its contract.

pub mod faults;
pub(crate) mod iban;
pub(crate) mod idempotency;
pub mod ledger;
pub(crate) mod notices;
pub(crate) mod table;
pub(crate) mod webhook;
