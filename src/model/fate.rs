//! What became of an event: the runs it made or woke, and which workflows looked at it and did not take it, and why.
//!
//! Plain data. Why a workflow did not take an event is decided once, with the manifests of that moment, and kept.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::event::Event;
use super::run::{Cause, EventMark, RunState};
use super::unmade::Unmade;
use crate::base::ids::{EventId, RunId};
use crate::base::text::shortened;

/// So much of a value says which one it was.
const VALUE_BYTES_MAX: usize = 120;

/// A workflow that listens to events of this type and did not take this one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Declined {
    /// The workflow's name.
    pub workflow: String,
    /// Why; of several triggers each has its own reason.
    pub why: Why,
}

/// Why an event was not taken. Values are JSON texts, long ones cut.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// A pointer led to something else.
    Value {
        /// The pointer.
        pointer: String,
        /// What had to stand there.
        wanted: String,
        /// What stood there, if anything did.
        found: Option<String>,
    },
    /// The expression was not true.
    Untrue {
        /// The expression.
        expression: String,
    },
    /// It tells of a resource what was told before, or what comes earlier in its life than what was.
    Outdated {
        /// The type of the event that came before.
        by: String,
        /// The provider's id of that event.
        event: String,
    },
    /// The expression failed.
    Failed {
        /// The expression.
        expression: String,
        /// How.
        message: String,
    },
}

impl Why {
    /// The reason why a document does not have a value.
    pub fn value(pointer: &str, wanted: &Json, document: &Json) -> Self {
        let text = |json: &Json| shortened(json.to_string(), VALUE_BYTES_MAX);
        Self::Value {
            pointer: pointer.to_owned(),
            wanted: text(wanted),
            found: document.pointer(pointer).map(text),
        }
    }
}

impl Why {
    /// That this event came first.
    pub fn outdated(earlier: &Event) -> Self {
        Self::Outdated {
            by: earlier.kind.clone(),
            event: shortened(earlier.provider_id.clone(), VALUE_BYTES_MAX),
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value { pointer, wanted, found } => {
                let found = found.as_deref().unwrap_or("missing");
                write!(f, "{pointer} is {found}, not {wanted}")
            }
            Self::Untrue { expression } => write!(f, "not true: {expression}"),
            Self::Outdated { by, event } => write!(f, "old news: {by} was told before, by event {event}"),
            Self::Failed { expression, message } => write!(f, "the condition failed: {message}: {expression}"),
        }
    }
}

/// What became of an event.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Fate {
    /// The event.
    pub event: EventId,
    /// Its place in the order of admission.
    #[serde(skip)]
    pub mark: EventMark,
    /// Whether it was its turn yet to make runs.
    pub routed: bool,
    /// The runs it made, oldest first.
    pub runs: Vec<RunOf>,
    /// Runs it did not make because they would have overlapped.
    pub unmade: Vec<Unmade>,
    /// Workflows that did not take it.
    pub declined: Vec<Declined>,
    /// Workflows that did not load when it was its turn, and have not caught up: they may take it yet.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub behind: Vec<String>,
    /// Runs that waited and were woken by it; one that had ended its wait, or had not begun it, is not there.
    pub woke: Vec<RunOf>,
}

/// A run that an event made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RunOf {
    /// The run.
    pub id: RunId,
    /// Its workflow.
    pub workflow: String,
    /// Where it stands.
    pub state: RunState,
    /// Why it exists, if it was made anew from an event that had its run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub again: Option<Cause>,
}

impl Fate {
    /// One word or two for a list.
    pub fn word(&self) -> &'static str {
        match self {
            fate if !fate.routed => "not routed yet",
            fate if !fate.runs.is_empty() => "ran",
            fate if !fate.unmade.is_empty() => "overlapped",
            fate if !fate.woke.is_empty() => "woke a run",
            fate if !fate.behind.is_empty() => "waits for a workflow",
            fate if !fate.declined.is_empty() => "filtered",
            _ => "no workflow",
        }
    }
}
