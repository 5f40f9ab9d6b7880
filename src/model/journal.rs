//! The journal: the ordered record of a run, and the only function that may extend it.
//!
//! ```text
//!   local step, read    (nothing) ──Done──> done          Retry* before it, for a read that did not get through
//!   effect              (nothing) ──Intent─> sent ──Outcome──> done
//!                                             │ ^ └─Retry──> paused
//!                                             │ └──Sending──────┘    same bytes, same key
//!                                             └─InDoubt──> doubt ──Resolved──> done | sent | cleared ──Intent──> sent
//!   wait                (nothing) ─Waiting─> waiting ──Outcome──> done
//! ```
//!
//! [`Journal::next`] is used live, in recovery, in replay and in tests; an entry it refuses is never stored.
//! This file must not read a clock, build a request or decide what an answer means.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value as Json;

use super::event::EventFilter;
use super::policy::Movement;
use super::value::Value;
use crate::base::clock::Instant;
use crate::base::ids::Digest;
use crate::base::limits::RUN_STEPS_MAX;

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
}

/// A failed attempt after which the step will be tried again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    /// Which attempt failed, from 1.
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
}

impl Entry {
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
            | Self::Resolved { path, .. } => path,
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
            Self::Sending { .. } | Self::Outcome { .. } | Self::Resolved { .. } => None,
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

/// Where a step stands.
#[derive(Debug, Clone, PartialEq)]
pub enum Phase {
    /// A read that did not get through yet.
    Trying {
        /// Attempts made.
        attempts: u32,
        /// When to try again.
        next_at: Instant,
    },
    /// An effect whose outcome is not known.
    Sent {
        /// What was sent.
        intent: Box<Intent>,
        /// Attempts that failed since the intent, or since a person said to try again.
        attempts: u32,
        /// When to try again. None: the request is on its way, or was when the process ended.
        next_at: Option<Instant>,
        /// Whether an attempt that was heard of may have had its effect.
        unknown: bool,
        /// When it last went out.
        sent_at: Instant,
        /// Whether the next thing is a look-up.
        look_up: bool,
    },
    /// A wait.
    Waiting(Wait),
    /// A person is needed.
    Doubt {
        /// What was sent, if anything.
        intent: Option<Box<Intent>>,
        /// Why.
        doubt: Doubt,
    },
    /// A person proved that the effect did not happen: a new intent of this epoch may follow.
    Cleared {
        /// The epoch the new intent has to carry.
        epoch: u32,
    },
    /// It ended.
    Done(Outcome),
}

/// A step with where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct StepRecord {
    /// What it is.
    pub step: Step,
    /// Where it stands.
    pub phase: Phase,
    /// The newest intent, if the step is an effect; kept when it has ended.
    pub effect: Option<Box<Intent>>,
    /// What went wrong at its last attempt, until it ends.
    pub trouble: Option<String>,
    /// When it began, as far as the journal knows: at the latest when its first entry was made.
    pub started_at: Instant,
    /// When its last entry was made.
    pub updated_at: Instant,
}

/// An entry that may not follow the journal so far.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("entry {seq} `{kind}` of step {path} may not follow: {reason}")]
pub struct IllegalEntry {
    /// Its position.
    pub seq: u32,
    /// Its kind.
    pub kind: &'static str,
    /// Its step.
    pub path: StepPath,
    /// Why.
    pub reason: &'static str,
}

/// The journal of one run, as what it says about each step.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Journal {
    steps: BTreeMap<StepPath, StepRecord>,
    last_seq: u32,
}

impl Journal {
    /// The journal these records make.
    ///
    /// # Errors
    /// The first record that may not stand where it stands.
    pub fn from_records(records: impl IntoIterator<Item = Record>) -> Result<Self, IllegalEntry> {
        records.into_iter().try_fold(Self::default(), Self::next)
    }

    /// Extends the journal. This is the only way to do so.
    ///
    /// # Errors
    /// [`IllegalEntry`] if the record does not follow; the journal is then lost and must not be used.
    pub fn next(mut self, record: Record) -> Result<Self, IllegalEntry> {
        let Record { seq, at, entry } = record;
        let (kind, path) = (entry.kind(), entry.path().clone());
        let illegal = |reason| IllegalEntry {
            seq,
            kind,
            path: path.clone(),
            reason,
        };
        if seq != self.last_seq + 1 {
            return Err(illegal("its position is not the next one"));
        }
        if path.depth() == 0 {
            return Err(illegal("it names no step"));
        }
        if self.ended_above(&path) {
            return Err(illegal("a step above it has ended"));
        }
        let known = self.steps.remove(&path);
        if known.is_none() && self.steps.len() >= RUN_STEPS_MAX {
            return Err(illegal("the run has too many steps"));
        }
        if let (Some(known), Some(step)) = (&known, entry.step())
            && (known.step.name != step.name || known.step.fingerprint != step.fingerprint)
        {
            return Err(illegal("the step was another one before"));
        }
        let effect = match &entry {
            Entry::Intent { intent, .. } => Some(intent.clone()),
            _ => known.as_ref().and_then(|known| known.effect.clone()),
        };
        let trouble = match &entry {
            Entry::Retry { retry, .. } => Some(retry.reason.clone()),
            Entry::Sending { .. } => known.as_ref().and_then(|known| known.trouble.clone()),
            _ => None,
        };
        let started_at = match (&known, &entry) {
            (Some(known), _) => known.started_at,
            (None, Entry::Done { began, .. }) => began.or_else(|| self.first_below(&path)).unwrap_or(at),
            (None, _) => at,
        };
        let (step, phase) = match known {
            None => begin(entry, at),
            Some(known) => proceed(known, entry, at),
        }
        .map_err(illegal)?;
        if matches!(phase, Phase::Done(_)) && self.unsettled_below(&path) {
            return Err(illegal("a step below it was sent and has not ended"));
        }
        self.steps.insert(
            path,
            StepRecord {
                step,
                phase,
                effect,
                trouble,
                started_at,
                updated_at: at,
            },
        );
        self.last_seq = seq;
        Ok(self)
    }

    fn ended_above(&self, path: &StepPath) -> bool {
        std::iter::successors(path.parent(), StepPath::parent)
            .filter_map(|above| self.steps.get(&above))
            .any(|above| matches!(above.phase, Phase::Done(_)))
    }

    /// When the first of the steps below this one began.
    fn first_below(&self, path: &StepPath) -> Option<Instant> {
        let (below, first) = self.steps.range(path..).next()?;
        below.0.starts_with(&path.0).then_some(first.started_at)
    }

    /// Whether money may still be on its way in a step below this one.
    fn unsettled_below(&self, path: &StepPath) -> bool {
        // Paths sort like words: what lies below a path follows it directly.
        self.steps
            .range(path..)
            .take_while(|(below, _)| below.0.starts_with(&path.0))
            .any(|(_, below)| {
                matches!(
                    below.phase,
                    Phase::Sent { .. } | Phase::Doubt { .. } | Phase::Cleared { .. }
                )
            })
    }

    /// Where a step stands, if it was begun.
    pub fn step(&self, path: &StepPath) -> Option<&StepRecord> {
        self.steps.get(path)
    }

    /// The steps in order of their paths.
    pub fn steps(&self) -> impl Iterator<Item = (&StepPath, &StepRecord)> {
        self.steps.iter()
    }

    /// How many steps were begun.
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    /// Whether nothing was recorded.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// The position of the last record; 0 for an empty journal.
    pub fn last_seq(&self) -> u32 {
        self.last_seq
    }

    /// A step that may have had an effect nobody knows the outcome of, if there is one: in doubt, or sent.
    pub fn doubtful(&self) -> Option<(&StepPath, &StepRecord)> {
        self.steps.iter().find(|(_, record)| match &record.phase {
            Phase::Doubt { .. } => true,
            Phase::Sent { next_at, unknown, .. } => *unknown || next_at.is_none(),
            Phase::Trying { .. } | Phase::Waiting(_) | Phase::Cleared { .. } | Phase::Done(_) => false,
        })
    }

    /// A step below this path from this number on, if there is one.
    pub fn step_from(&self, above: &StepPath, number: u32) -> Option<(&StepPath, &StepRecord)> {
        let next = self.steps.range(above.child(number)..).next()?;
        next.0.0.starts_with(&above.0).then_some(next)
    }
}

/// The first entry of a step.
fn begin(entry: Entry, at: Instant) -> Result<(Step, Phase), &'static str> {
    match entry {
        Entry::Done { step, outcome, .. } => Ok((step, Phase::Done(outcome))),
        Entry::Intent { step, intent, .. } if intent.epoch == 0 => Ok((step, sent(intent, at))),
        Entry::Intent { .. } => Err("a first intent is of epoch 0"),
        Entry::Retry { step, retry, .. } => {
            following(0, retry.attempt)?;
            let (attempts, next_at) = (retry.attempt, retry.at);
            Ok((step, Phase::Trying { attempts, next_at }))
        }
        Entry::Waiting { step, wait, .. } => Ok((step, Phase::Waiting(wait))),
        Entry::InDoubt { step, doubt, .. } => Ok((step, Phase::Doubt { intent: None, doubt })),
        Entry::Sending { .. } | Entry::Outcome { .. } | Entry::Resolved { .. } => Err("the step was never begun"),
    }
}

/// Every later one.
fn proceed(known: StepRecord, entry: Entry, at: Instant) -> Result<(Step, Phase), &'static str> {
    let StepRecord { step, phase, .. } = known;
    let phase = match (phase, entry) {
        (Phase::Done(_), _) => return Err("the step has ended"),
        (Phase::Trying { .. }, Entry::Done { outcome, .. }) => Phase::Done(outcome),
        (Phase::Trying { attempts, .. }, Entry::Retry { retry, .. }) => {
            following(attempts, retry.attempt)?;
            Phase::Trying {
                attempts: retry.attempt,
                next_at: retry.at,
            }
        }
        (Phase::Trying { .. }, Entry::InDoubt { doubt, .. }) => Phase::Doubt { intent: None, doubt },
        (Phase::Sent { .. } | Phase::Waiting(_), Entry::Outcome { outcome, .. }) => Phase::Done(outcome),
        (
            Phase::Sent {
                intent,
                attempts,
                unknown,
                sent_at,
                ..
            },
            Entry::Retry { retry, .. },
        ) => {
            following(attempts, retry.attempt)?;
            let unknown = unknown || retry.unknown;
            Phase::Sent {
                intent,
                attempts: retry.attempt,
                next_at: Some(retry.at),
                unknown,
                sent_at,
                look_up: retry.look_up,
            }
        }
        (
            Phase::Sent {
                intent,
                attempts,
                next_at,
                unknown,
                ..
            },
            Entry::Sending { .. },
        ) => Phase::Sent {
            intent,
            attempts,
            // Nobody heard what became of a request that was on its way.
            unknown: unknown || next_at.is_none(),
            next_at: None,
            sent_at: at,
            look_up: false,
        },
        (Phase::Sent { intent, .. }, Entry::InDoubt { doubt, .. }) => Phase::Doubt {
            intent: Some(intent),
            doubt,
        },
        (Phase::Waiting(before), Entry::Waiting { wait, .. }) => {
            if wait.deadline != before.deadline {
                return Err("the deadline of a wait is fixed by its first entry");
            }
            Phase::Waiting(wait)
        }
        (Phase::Doubt { intent, doubt }, Entry::Resolved { resolution, reason, .. }) => {
            resolve(intent, &doubt, resolution, &reason, at)?
        }
        // The run was parked for another reason while this step was open.
        (Phase::Sent { intent, .. }, Entry::Resolved { resolution, reason, .. }) => {
            let message = "its outcome was never recorded".to_owned();
            let doubt = Doubt {
                code: "in_doubt".to_owned(),
                message,
            };
            resolve(Some(intent), &doubt, resolution, &reason, at)?
        }
        (Phase::Cleared { epoch }, Entry::Intent { intent, .. }) => {
            if intent.epoch != epoch {
                return Err("the new intent is not of the epoch that was cleared");
            }
            sent(intent, at)
        }
        _ => return Err("the step does not stand where this could follow"),
    };
    Ok((step, phase))
}

fn sent(intent: Box<Intent>, at: Instant) -> Phase {
    Phase::Sent {
        intent,
        attempts: 0,
        next_at: None,
        unknown: false,
        sent_at: at,
        look_up: false,
    }
}

fn following(attempts: u32, attempt: u32) -> Result<(), &'static str> {
    if attempt == attempts + 1 {
        Ok(())
    } else {
        Err("its attempt is not the next one")
    }
}

fn resolve(
    intent: Option<Box<Intent>>,
    doubt: &Doubt,
    resolution: Resolution,
    reason: &str,
    at: Instant,
) -> Result<Phase, &'static str> {
    match (resolution, intent) {
        (Resolution::Adopt { resource }, _) => {
            let value = Value::from_plain(&resource).map_err(|_| "the adopted resource cannot be held exactly")?;
            Ok(Phase::Done(Outcome::Value(value)))
        }
        (Resolution::Fail, _) => Ok(Phase::Done(Outcome::Failure(Failure::new(
            "marked_failed",
            format!(
                "a person marked this step as failed: {reason} (before that: {})",
                doubt.message
            ),
        )))),
        // A key may have been used: what is not known to be absent stays unknown.
        (Resolution::Retry, Some(intent)) => Ok(Phase::Sent {
            intent,
            attempts: 0,
            next_at: Some(at),
            unknown: true,
            sent_at: at,
            look_up: false,
        }),
        (Resolution::Resend, Some(intent)) => Ok(Phase::Cleared {
            epoch: intent.epoch + 1,
        }),
        (Resolution::Retry, None) => Ok(Phase::Trying {
            attempts: 0,
            next_at: Instant::UNIX_EPOCH,
        }),
        (Resolution::Resend, None) => Err("nothing was sent, so there is nothing to send again: use retry"),
    }
}
