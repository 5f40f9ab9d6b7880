//! The entries of a journal: what is written, and nothing about what may follow what.
//!
//! Plain data. Which entry may stand where is said by [`super::Journal::next`] alone.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value as Json;

use crate::base::clock::Instant;
use crate::base::ids::Digest;
use crate::model::event::EventFilter;
use crate::model::policy::Movement;
use crate::model::value::Value;

/// Where a step stands in its run: `3`, or `3.1.0` inside a compound step or a branch. Counts from 1.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct StepPath(Vec<u32>);

impl StepPath {
    /// The path of the run itself, above all steps.
    pub fn root() -> Self {
        Self::default()
    }

    /// The path of a step directly below this one.
    #[must_use]
    pub fn child(&self, number: u32) -> Self {
        let mut numbers = self.0.clone();
        numbers.push(number);
        Self(numbers)
    }

    /// The path above, if there is one.
    pub fn parent(&self) -> Option<Self> {
        let (_, above) = self.0.split_last()?;
        Some(Self(above.to_vec()))
    }

    /// How many levels below the run.
    pub fn depth(&self) -> usize {
        self.0.len()
    }

    /// Whether this is that path or lies below it. Paths sort like words: what lies below a path follows it
    /// directly.
    pub(crate) fn is_within(&self, above: &Self) -> bool {
        self.0.starts_with(&above.0)
    }
}

impl fmt::Display for StepPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text: Vec<String> = self.0.iter().map(u32::to_string).collect();
        f.pad(&text.join("."))
    }
}

impl fmt::Debug for StepPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Text that is no step path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a step: expected numbers with points between them, such as 3 or 3.1")]
pub struct InvalidPath(pub String);

impl FromStr for StepPath {
    type Err = InvalidPath;

    fn from_str(text: &str) -> Result<Self, InvalidPath> {
        if text.is_empty() {
            return Ok(Self::root());
        }
        // Only the text a path is written as: a store must not find one step under two names.
        let number = |part: &str| part.parse().ok().filter(|number: &u32| number.to_string() == part);
        let numbers: Option<_> = text.split('.').map(number).collect();
        numbers.map(Self).ok_or_else(|| InvalidPath(text.to_owned()))
    }
}

impl Serialize for StepPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for StepPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// What a step is. On replay name and fingerprint must be the same, else the run has diverged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The primitive as the script names it: `bank.create_payout`, `now`, `log.info`.
    pub name: String,
    /// One line for people: `EUR 47,200.00 to …7f10`. Not compared on replay.
    pub summary: String,
    /// SHA-256 over the name and everything that was passed.
    pub fingerprint: Digest,
}

/// A recorded failure, which a script may catch.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    /// A stable snake_case code; for an answer of a provider, the provider's own code.
    pub code: String,
    /// A plain sentence.
    pub message: String,
    /// More of it, for scripts that look closer.
    pub details: Value,
}

impl Failure {
    /// A failure without details.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            message: message.into(),
            details: Value::Null,
        }
    }
}

/// How a step ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// With a value.
    Value(Value),
    /// With a failure.
    Failure(Failure),
}

/// The exact request of an effect, without credentials. Sent again byte for byte, or never.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredRequest {
    /// `POST`.
    pub method: String,
    /// Path and query, from the first slash.
    pub path: String,
    /// Headers that belong to the request (not authorisation, not the key).
    pub headers: Vec<(String, String)>,
    /// The exact body.
    pub body: Option<String>,
}

/// What is durable before a byte is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// The connection it goes through.
    pub connection: String,
    /// The endpoint of its table.
    pub endpoint: String,
    /// Rises only when absence of the effect under the former key was proved.
    pub epoch: u32,
    /// The idempotency key, if the endpoint takes one.
    pub key: Option<String>,
    /// Until when the provider is trusted to honour the key.
    pub key_safe_until: Option<Instant>,
    /// What we wrote into a field the provider can be searched by.
    pub reference: String,
    /// SHA-256 over connection, endpoint, body, amount, currency, beneficiary.
    pub fingerprint: Digest,
    /// What is sent.
    pub request: StoredRequest,
    /// What it moves, if it moves money.
    pub movement: Option<Movement>,
    /// When a journal that was forgotten may have sent it; none: nothing was sent before this was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forgotten: Option<Forgotten>,
    /// What was read before and has to be known to tell afterwards whether it was done, by name, in plain JSON.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub before: BTreeMap<String, Json>,
    /// The name of what it did alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exclusive: Option<String>,
}

/// The time in which an effect may have been sent by a journal that went with an older state of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forgotten {
    /// From when on journals may be forgotten.
    pub from: Instant,
    /// When the last of them can have sent anything.
    pub until: Instant,
    /// Whether it was sent under the reference that the intent has now; otherwise no list can prove that it was not.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub traceable: bool,
    /// Whether a request with a key made its run. Then the run that sent it went by another name, which tells only the
    /// same key from others; any other cause gives its run the same name again.
    #[serde(default, skip_serializing_if = "is_no")]
    pub keyed: bool,
}

fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_yes(yes: &bool) -> bool {
    *yes
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_no(yes: &bool) -> bool {
    !*yes
}

/// A failed attempt after which the step will be tried again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    /// Which attempt failed, from 1; 0: none that counts, the step is held or waits.
    pub attempt: u32,
    /// Whether the effect may have happened.
    pub unknown: bool,
    /// A plain sentence on what was seen.
    pub reason: String,
    /// When to try again.
    pub at: Instant,
    /// Whether the next thing is a look-up: nothing is sent again until absence is proved.
    #[serde(default)]
    pub look_up: bool,
    /// Whether nothing was tried, because another step does the same or what there is cannot be seen: then `attempt` is 0,
    /// and unlike a hold it ends some time.
    #[serde(default, skip_serializing_if = "is_no")]
    pub waits: bool,
}

/// What a waiting step waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wait {
    /// When the wait ends, one way or the other. Fixed by the first entry of the step.
    pub deadline: Instant,
    /// When to look again, if before the deadline.
    pub poll_at: Option<Instant>,
    /// Which event ends it early.
    pub event: Option<EventFilter>,
    /// What a person is asked, whose answer ends it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<Asked>,
}

/// What a person is asked to approve, as it is shown to them. The fingerprint of the step covers all of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// What for, in the script's own words.
    pub reason: String,
    /// Who is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Whatever else there is to know, in the typed form.
    #[serde(default, skip_serializing_if = "Json::is_null")]
    pub details: Json,
}

/// Why a person is needed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doubt {
    /// `in_doubt` (the effect may have happened), `refused` (the provider refused our credentials),
    /// `contradiction` (the answer does not fit the request).
    pub code: String,
    /// A plain sentence.
    pub message: String,
}

/// What a person decided about a step in doubt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "decision", rename_all = "snake_case")]
pub enum Resolution {
    /// Try again as it was, under the same key.
    Retry,
    /// The effect happened: this is the provider's resource, in plain JSON.
    Adopt {
        /// The resource.
        resource: Json,
    },
    /// It is proved that the effect did not happen: send it again under a new key.
    Resend,
    /// The step failed; the script sees a failure.
    Fail,
}

impl Resolution {
    /// Its name in the store, over the control socket and for people.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Adopt { .. } => "adopt",
            Self::Resend => "resend",
            Self::Fail => "fail",
        }
    }
}

/// One line of the journal.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    /// A local step or a read ended.
    Done {
        /// Where.
        path: StepPath,
        /// What.
        step: Step,
        /// How.
        outcome: Outcome,
        /// When it was begun, where that is worth knowing: a read takes as long as the provider does.
        began: Option<Instant>,
    },
    /// An effect is about to be sent.
    Intent {
        /// Where.
        path: StepPath,
        /// What.
        step: Step,
        /// What exactly is sent.
        intent: Box<Intent>,
    },
    /// An attempt failed and will be repeated.
    Retry {
        /// Where.
        path: StepPath,
        /// What.
        step: Step,
        /// When and why.
        retry: Retry,
    },
    /// The stored request of a paused effect goes out again: durable before it does.
    Sending {
        /// Where.
        path: StepPath,
    },
    /// A wait began, or was looked at again.
    Waiting {
        /// Where.
        path: StepPath,
        /// What.
        step: Step,
        /// For what.
        wait: Wait,
    },
    /// An effect or a wait ended.
    Outcome {
        /// Where.
        path: StepPath,
        /// How.
        outcome: Outcome,
    },
    /// A person is needed.
    InDoubt {
        /// Where.
        path: StepPath,
        /// What.
        step: Step,
        /// Why.
        doubt: Doubt,
    },
    /// A person decided.
    Resolved {
        /// Where.
        path: StepPath,
        /// What.
        resolution: Resolution,
        /// Who.
        actor: String,
        /// Why.
        reason: String,
    },
    /// A person answered what was asked of them.
    Decided {
        /// Where.
        path: StepPath,
        /// The fingerprint of the step whose question was shown to them.
        asked: Digest,
        /// What.
        approved: bool,
        /// Who.
        actor: String,
        /// Why.
        reason: String,
    },
}

impl Entry {
    /// Who decides where the program itself does.
    pub const BY_ITSELF: &str = "bursar";

    /// Where in the run.
    pub fn path(&self) -> &StepPath {
        match self {
            Self::Done { path, .. }
            | Self::Intent { path, .. }
            | Self::Retry { path, .. }
            | Self::Sending { path }
            | Self::Waiting { path, .. }
            | Self::Outcome { path, .. }
            | Self::InDoubt { path, .. }
            | Self::Resolved { path, .. }
            | Self::Decided { path, .. } => path,
        }
    }

    /// What the step is, where the entry says it.
    pub fn step(&self) -> Option<&Step> {
        match self {
            Self::Done { step, .. }
            | Self::Intent { step, .. }
            | Self::Retry { step, .. }
            | Self::Waiting { step, .. }
            | Self::InDoubt { step, .. } => Some(step),
            Self::Sending { .. } | Self::Outcome { .. } | Self::Resolved { .. } | Self::Decided { .. } => None,
        }
    }

    /// The name of this kind of entry in the store and in `bursar journal show`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Done { .. } => "done",
            Self::Intent { .. } => "intent",
            Self::Retry { .. } => "retry",
            Self::Sending { .. } => "sending",
            Self::Waiting { .. } => "waiting",
            Self::Outcome { .. } => "outcome",
            Self::InDoubt { .. } => "in_doubt",
            Self::Resolved { .. } => "resolved",
            Self::Decided { .. } => "decided",
        }
    }
}

/// An entry with its place in the run and its time.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Position in the run's journal, from 1 without gaps.
    pub seq: u32,
    /// When it was made.
    pub at: Instant,
    /// What.
    pub entry: Entry,
}
