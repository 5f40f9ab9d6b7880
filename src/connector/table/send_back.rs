//! How money that came in is sent back by a payment of its own: what came, and how it is seen that it went back before.
//!
//! Plain data. That it goes back once is the engine's.

use serde::Deserialize;

use super::Held;

/// What is sent back: `back` of a primitive.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackMap {
    /// What came in.
    pub deposit: DepositMap,
    /// What went back of it.
    pub sent: SentMap,
}

/// What came in.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DepositMap {
    /// The endpoint that shows it.
    pub endpoint: String,
    /// Its parameter that takes the id.
    pub param: String,
    /// Where the id stands.
    pub id: String,
    /// Where the amount stands.
    pub amount: String,
    /// Where its currency stands, if the table has not one for all.
    pub currency: Option<String>,
    /// Where the account stands that it came to.
    pub account: String,
    /// Where it stands who sent it, as an address.
    pub sender: String,
    /// Where it stands when it came.
    pub at: String,
    /// What it must not say: it goes back another way, or did.
    #[serde(default)]
    pub unless: Vec<Held>,
}

/// What went back of it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SentMap {
    /// The list of payments.
    pub endpoint: String,
    /// Its parameter from which time on it is read.
    pub since: Option<String>,
    /// The text among those that are kept with a payment which names the deposit.
    pub mark: String,
    /// Where that text is shown.
    pub at: String,
    /// Where the status of a payment stands.
    pub status: String,
    /// Statuses of those that came to nothing.
    #[serde(default)]
    pub dead: Vec<String>,
    /// How long a new payment may be missing from the list.
    pub visibility_lag_secs: u64,
}
