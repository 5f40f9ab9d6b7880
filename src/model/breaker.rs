//! A connection that answers so badly that no new effect begins on it for a while. Plain data.

use crate::base::clock::Instant;

/// A connection on which no new effect begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tripped {
    /// The connection.
    pub connection: String,
    /// Since when.
    pub since: Instant,
    /// When it is asked again, by a read that changes nothing.
    pub probe_at: Instant,
    /// What was seen last.
    pub reason: String,
}
