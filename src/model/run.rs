//! Runs: one execution of a workflow for one cause, and the states it may go through.
//!
//! `(pending →) queued → running → (waiting → queued)* → succeeded | failed | cancelled`, plus `parked`, which needs a
//! person. [`RunState::may_become`] is the only list of legal moves; the store refuses others.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::concurrency::Concurrency;
use super::event::EventFilter;
use crate::base::clock::Instant;
use crate::base::ids::{Digest, EventId, RunId};

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunState {
    /// Ready for a worker.
    Queued,
    /// Stands behind open runs with the same concurrency key.
    Pending,
    /// A worker drives it under a lease.
    Running,
    /// Waits for a time or an event; holds no thread.
    Waiting,
    /// Ended as written.
    Succeeded,
    /// Ended by an error the script did not catch.
    Failed,
    /// Ended by a person.
    Cancelled,
    /// Stopped until a person decides: in doubt, diverged, or refused by the provider's door.
    Parked,
}

impl RunState {
    /// Every state with the name used in the store, the CLI and the pages.
    pub const ALL: [(&'static str, Self); 8] = [
        ("queued", Self::Queued),
        ("pending", Self::Pending),
        ("running", Self::Running),
        ("waiting", Self::Waiting),
        ("succeeded", Self::Succeeded),
        ("failed", Self::Failed),
        ("cancelled", Self::Cancelled),
        ("parked", Self::Parked),
    ];

    /// The name of this state.
    pub fn name(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(_, state)| *state == self)
            .map_or("", |(name, _)| name)
    }

    /// Whether nothing can happen to the run any more.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }

    /// Whether a run in this state may go to that one.
    pub fn may_become(self, next: Self) -> bool {
        match self {
            Self::Queued => matches!(next, Self::Running | Self::Cancelled),
            Self::Pending => matches!(next, Self::Queued | Self::Cancelled),
            // Back to queued: the lease ran out, or the process stopped in good order.
            Self::Running => !matches!(next, Self::Running | Self::Pending),
            Self::Waiting => matches!(next, Self::Queued | Self::Cancelled),
            Self::Parked => matches!(next, Self::Queued | Self::Cancelled | Self::Failed),
            Self::Succeeded | Self::Failed | Self::Cancelled => false,
        }
    }
}

impl fmt::Display for RunState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Text that names no state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a run state: expected queued, pending, running, waiting, succeeded, failed, cancelled or parked")]
pub struct UnknownState(pub String);

impl FromStr for RunState {
    type Err = UnknownState;

    fn from_str(text: &str) -> Result<Self, UnknownState> {
        Self::ALL
            .iter()
            .find(|(name, _)| *name == text)
            .map(|(_, state)| *state)
            .ok_or_else(|| UnknownState(text.to_owned()))
    }
}

/// Why a run exists. Together with the workflow it is unique: one cause makes one run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Cause {
    /// An event.
    Webhook {
        /// The event.
        event: EventId,
    },
    /// A slot of a schedule.
    Cron {
        /// The expression as written.
        schedule: String,
        /// Its zone.
        timezone: String,
        /// The nominal time of the slot, which names it for ever, whenever it really ran.
        slot: Instant,
        /// When it was due, if a banking calendar moved it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        due: Option<Instant>,
    },
    /// A person had an event make one more run beside those it had made.
    Replay {
        /// The event.
        event: EventId,
        /// How many there were.
        beside: u32,
        /// Who, as far as is known.
        actor: String,
        /// Why.
        reason: String,
    },
    /// A person or a program asked for it.
    Manual {
        /// Who, as far as is known.
        actor: String,
        /// Why, if they said so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        /// What the request is known by where it is repeated: the same one makes no second run.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<String>,
    },
}

impl Cause {
    /// What must be unique within a workflow, or nothing when every request is its own cause.
    pub fn unique_key(&self) -> Option<String> {
        match self {
            Self::Webhook { event } => Some(format!("webhook {event}")),
            Self::Cron {
                schedule,
                timezone,
                slot,
                due: _,
            } => Some(format!("cron {schedule} {timezone} {}", super::value::time_text(*slot))),
            Self::Replay { event, beside, .. } => Some(format!("replay {event} {beside}")),
            Self::Manual { key, .. } => key.as_ref().map(|key| format!("manual {key}")),
        }
    }
}

/// A run to be made.
#[derive(Debug, Clone)]
pub struct NewRun {
    /// Its id.
    pub id: RunId,
    /// The workflow's name.
    pub workflow: String,
    /// The version it will run, whatever happens to the files later.
    pub version: Digest,
    /// Why.
    pub cause: Cause,
    /// What the script sees as `event`.
    pub event: RunEvent,
    /// What the script sees as `params`, in plain JSON.
    pub params: Json,
    /// When it was made.
    pub created_at: Instant,
    /// With which others it must not overlap.
    pub concurrency: Option<Concurrency>,
}

/// What the script of a new run sees as `event`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunEvent {
    /// The admitted event of this mark, which is kept once however many runs it makes.
    Admitted(EventMark),
    /// A document of its own, in plain JSON.
    Document(Json),
}

impl From<Json> for RunEvent {
    fn from(document: Json) -> Self {
        Self::Document(document)
    }
}

/// Why a run ended as failed or stands parked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunError {
    /// A stable snake_case code.
    pub code: String,
    /// A plain sentence.
    pub message: String,
    /// Where in the scripts, innermost first: `give_back at return_unmatched_deposits.rhai:7:9`.
    #[serde(default)]
    pub trace: Vec<String>,
}

/// A run as the store keeps it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Run {
    /// Its id.
    pub id: RunId,
    /// The workflow's name.
    pub workflow: String,
    /// The version it is pinned to.
    pub version: Digest,
    /// Why it exists.
    pub cause: Cause,
    /// Where it stands.
    pub state: RunState,
    /// What the script sees as `event`.
    pub event: Json,
    /// What the script sees as `params`.
    pub params: Json,
    /// When the last run of this workflow that succeeded was created, as known when this one was created.
    pub last_success_at: Option<Instant>,
    /// The newest event admitted before it was made, or the one that made it: a wait looks only at later ones.
    #[serde(skip)]
    pub since_mark: EventMark,
    /// When it was made.
    pub created_at: Instant,
    /// When a worker first took it.
    pub started_at: Option<Instant>,
    /// When it ended.
    pub finished_at: Option<Instant>,
    /// When it is to be looked at again, if it waits for a time.
    pub wake_at: Option<Instant>,
    /// Which events would wake it, if it waits for any.
    pub waits_for: Vec<EventFilter>,
    /// What the script returned, in the typed form, if it succeeded.
    pub result: Option<Json>,
    /// Why it failed or is parked.
    pub error: Option<RunError>,
    /// How often a worker has taken it.
    pub turns: u32,
    /// Whether a person asked for its end while it was running.
    pub cancel_requested: bool,
    /// What runs that must not overlap with it have in common with it.
    pub concurrency_key: Option<String>,
}

/// What a turn leaves the run as. Written in one transaction with the turn's last entries.
#[derive(Debug, Clone, PartialEq)]
pub enum Settlement {
    /// The script returned.
    Succeeded {
        /// The value, in the typed form.
        result: Json,
    },
    /// The script threw.
    Failed {
        /// What.
        error: RunError,
    },
    /// A person's request to end it was met between two steps.
    Cancelled,
    /// A person has to decide.
    Parked {
        /// What.
        error: RunError,
    },
    /// Nothing to do until a time or an event.
    Waiting {
        /// The time; a wait without one would wait for ever, so there always is one.
        wake_at: Instant,
        /// The events, any of which ends the wait; none if only time does.
        waits_for: Vec<EventFilter>,
        /// The newest event the turn looked at: if the store has a newer one that may match, the run is
        /// queued at once, so that an event between looking and waiting is not lost.
        seen: EventMark,
    },
    /// Given back in good order, to be taken again.
    Queued,
}

impl Settlement {
    /// The state this leaves the run in.
    pub fn state(&self) -> RunState {
        match self {
            Self::Succeeded { .. } => RunState::Succeeded,
            Self::Failed { .. } => RunState::Failed,
            Self::Cancelled => RunState::Cancelled,
            Self::Parked { .. } => RunState::Parked,
            Self::Waiting { .. } => RunState::Waiting,
            Self::Queued => RunState::Queued,
        }
    }
}

/// A position in the order in which the store admitted events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct EventMark(pub i64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn final_states_are_left_by_nothing() {
        for (_, from) in RunState::ALL {
            for (_, to) in RunState::ALL {
                assert!(!(from.is_final() && from.may_become(to)), "{from} to {to}");
            }
        }
    }

    #[test]
    fn every_state_has_its_own_name_and_is_reached() {
        for (name, state) in RunState::ALL {
            assert_eq!(state.name(), name);
            assert_eq!(name.parse(), Ok(state));
            // A run begins as pending, or as queued.
            let is_reached = RunState::ALL.iter().any(|(_, from)| from.may_become(state));
            assert!(is_reached || state == RunState::Pending, "{name} is never reached");
        }
    }
}
