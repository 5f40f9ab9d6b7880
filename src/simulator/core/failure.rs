//! How something under way ends. Plain data.

use serde::{Deserialize, Serialize};

/// Why a payout or return did not go through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// One of the documented codes.
    pub code: String,
    /// For people.
    pub message: String,
    /// Whether a new attempt may work.
    #[serde(default)]
    pub retry: bool,
}

impl Failure {
    /// A failure with this code.
    pub fn new(code: &str, message: &str, retry: bool) -> Self {
        Self {
            code: code.to_owned(),
            message: message.to_owned(),
            retry,
        }
    }
}

/// How a resource under way is to end, decided when it was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ending {
    Good,
    Bad(Failure),
}

impl Ending {
    /// Good, unless something was found or scripted.
    pub(crate) fn of(failure: Option<Failure>) -> Self {
        failure.map_or(Self::Good, Self::Bad)
    }
}
