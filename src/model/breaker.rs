//! A connection that answers so badly that no new effect begins on it for a while. Plain data.

use crate::base::clock::Instant;

/// Why nothing new is begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The provider gives no usable answers. Reads go through.
    Trouble,
    /// It refuses our key: no call of any kind can be done.
    Credentials,
}

impl Cause {
    /// Every cause with its name in the store.
    pub const ALL: [(&'static str, Self); 2] = [("trouble", Self::Trouble), ("credentials", Self::Credentials)];

    /// The name of this cause.
    pub fn name(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(_, cause)| *cause == self)
            .map_or("", |(name, _)| name)
    }

    /// The cause of this name; one that is not known is trouble.
    pub fn of(name: &str) -> Self {
        Self::ALL
            .iter()
            .find(|(known, _)| *known == name)
            .map_or(Self::Trouble, |(_, cause)| *cause)
    }
}

/// A connection on which no new effect begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tripped {
    /// The connection.
    pub connection: String,
    /// Since when.
    pub since: Instant,
    /// When it is asked again, by a read that changes nothing.
    pub probe_at: Instant,
    /// Why.
    pub cause: Cause,
    /// What was seen last.
    pub reason: String,
}
