//! Runs that were not made though something asked for them. Nothing vanishes silently: each has its reason.
//!
//! Plain data. The reasons are found by the triggers and the store.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::run::Cause;
use crate::base::clock::Instant;

/// A run that was not made, or several slots of a schedule that were passed over one after another for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unmade {
    /// The workflow's name.
    pub workflow: String,
    /// What asked for it; of several slots the first.
    pub cause: Cause,
    /// The last of several slots.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_slot: Option<Instant>,
    /// How many slots; one for anything else.
    pub slots: u32,
    /// Why.
    pub reason: UnmadeReason,
    /// A plain sentence.
    pub detail: String,
    /// When it was recorded.
    pub at: Instant,
}

/// The schedules of a workflow start nothing for now; webhooks and people still do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// The workflow's name.
    pub workflow: String,
    /// Since when.
    pub since: Instant,
    /// Who asked for it; `bursar` where nobody did.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// What it is about, and so what becomes of the slots that come meanwhile.
    pub cause: PauseCause,
}

/// What the schedules of a workflow are paused for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PauseCause {
    /// A person wants it. Its slots pass, each with its reason.
    #[default]
    Person,
    /// Runs of a schedule have failed one after another. Its slots pass, each with its reason.
    Failures,
}

impl PauseCause {
    /// Every cause with the name used in the store and shown to people.
    pub const ALL: [(&'static str, Self); 2] = [("person", Self::Person), ("failures", Self::Failures)];

    /// The name.
    pub fn name(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(_, cause)| *cause == self)
            .map_or("", |(name, _)| name)
    }
}

/// The wall clock jumped so far, or shows so much less than this store has seen, that only a person can say what time it is. Until one does, nothing is done about the
/// slots of any schedule, whether it was known when the clock jumped or not; then all this time is downtime. It is no
/// [`Pause`]: what a person has paused, and what failures have, stays so when the clock is right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClockDoubt {
    /// When that was noticed, by the clock as it was then.
    pub since: Instant,
    /// How it jumped, or what speaks against it.
    pub reason: String,
}

/// The end of a [`Pause`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resumption {
    /// When it ended. Failures before then count no more.
    pub at: Instant,
    /// Who ended it.
    pub actor: String,
    /// Why, if they said so.
    pub reason: Option<String>,
}

/// Text that names no such cause.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is nothing for which schedules are paused")]
pub struct UnknownPauseCause(String);

impl FromStr for PauseCause {
    type Err = UnknownPauseCause;

    fn from_str(text: &str) -> Result<Self, UnknownPauseCause> {
        let known = Self::ALL.iter().find(|(name, _)| *name == text);
        known
            .map(|(_, cause)| *cause)
            .ok_or_else(|| UnknownPauseCause(text.to_owned()))
    }
}

/// Why a run was not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnmadeReason {
    /// It would have overlapped with an open one.
    Overlap,
    /// Nothing was running at its time, and it was not to be caught up.
    Missed,
    /// Somebody had paused the schedule.
    Paused,
    /// The banking calendar has a holiday.
    Holiday,
}

impl UnmadeReason {
    /// Every reason with the name used in the store and shown to people.
    pub const ALL: [(&'static str, Self); 4] = [
        ("overlap", Self::Overlap),
        ("missed", Self::Missed),
        ("paused", Self::Paused),
        ("holiday", Self::Holiday),
    ];

    /// The name.
    pub fn name(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(_, reason)| *reason == self)
            .map_or("", |(name, _)| name)
    }
}

/// Text that names no reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a reason for which a run is not made")]
pub struct UnknownReason(String);

impl FromStr for UnmadeReason {
    type Err = UnknownReason;

    fn from_str(text: &str) -> Result<Self, UnknownReason> {
        let known = Self::ALL.iter().find(|(name, _)| *name == text);
        known
            .map(|(_, reason)| *reason)
            .ok_or_else(|| UnknownReason(text.to_owned()))
    }
}
