//! What a store knows of itself after an older state of it was put back.
//!
//! An older state has forgotten effects that were sent. Whoever sends has to look for them first, and a person
//! has to say when sending may go on. Pure data; how it is noticed is the store's.

use serde::{Deserialize, Serialize};

use crate::base::clock::Instant;
use crate::base::guard::{Guard, holds};

/// An older state was put back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    /// How that was noticed.
    pub sign: Sign,
    /// Up to when the journals are whole. What was sent later may be forgotten.
    pub since: Instant,
    /// When the last effect was sent that may be forgotten, if that is known.
    pub last_sent_at: Option<Instant>,
    /// When a process first worked with the older state; none before one does.
    pub noticed_at: Option<Instant>,
    /// The word of a person that sending may go on.
    pub accepted: Option<Acceptance>,
    /// Tells this restore from every other.
    pub token: String,
    /// The latest time the older state names itself. A clock that was ahead makes it later than the restore.
    #[serde(default)]
    pub newest_at: Option<Instant>,
    /// What earlier restores forgot, which were accepted since. Their runs may still be open, or come again.
    #[serde(default)]
    pub earlier: Vec<Span>,
}

/// A time whose journals may be forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// Up to when the journals are whole.
    pub since: Instant,
    /// From when on nothing can be forgotten.
    pub noticed: Instant,
}

impl Restored {
    /// From when on nothing can be forgotten. Not known is never.
    pub fn noticed(&self) -> Instant {
        let noticed = self
            .noticed_at
            .map(|at| self.newest_at.map_or(at, |newest| newest.max(at)));
        noticed.unwrap_or(Instant::MAX_UTC)
    }

    /// What this restore forgot.
    pub fn span(&self) -> Span {
        Span {
            since: self.since,
            noticed: self.noticed(),
        }
    }

    /// What this restore and all before it forgot.
    pub fn spans(&self) -> impl Iterator<Item = Span> {
        self.earlier.iter().copied().chain([self.span()])
    }

    /// Whether what followed a wait that began at this time may be forgotten.
    pub fn may_forget_since(&self, began: Instant) -> bool {
        began <= self.noticed()
    }

    /// When the last effect that may be forgotten was sent, at the latest.
    pub fn last_sent(&self) -> Instant {
        self.last_sent_at.or(self.noticed_at).unwrap_or(Instant::MAX_UTC)
    }

    /// The last moment at which an effect that may be forgotten can have gone out. A process that was frozen before it
    /// sent may have sent much later than it noted, but not after the older state was noticed.
    pub fn sent_until(&self) -> Instant {
        let noticed = self.noticed_at.filter(|_| holds(Guard::SentLate));
        noticed.map_or_else(|| self.last_sent(), |noticed| noticed.max(self.last_sent()))
    }

    /// Whether nothing may be sent until a person says so.
    pub fn holds(&self) -> bool {
        self.accepted.is_none()
    }
}

/// How it was noticed that an older state was put back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sign {
    /// The database is a backup.
    Backup,
    /// The file beside the database names an effect that the database does not have.
    Behind,
    /// The file beside the database is not there, or is another's, so the database came from elsewhere.
    Copied,
    /// The file beside the database cannot be read.
    Unreadable,
}

impl Sign {
    /// A plain sentence.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Backup => "the database is a backup that was put back",
            Self::Behind => "the database is older than the last payment or answer that was given here",
            Self::Copied => "the database came from elsewhere: no `bursar.sent` of its own is beside it",
            Self::Unreadable => "the file `bursar.sent` beside the database cannot be read",
        }
    }
}

/// The word of a person that sending may go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acceptance {
    /// Who.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at: Instant,
}
