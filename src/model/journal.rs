//! The journal: the ordered record of a run, and the only function that may extend it.
//!
//! What is written stands in `entry`; this file says what may follow what, and where each step stands then.
//!
//! ```text
//!   local step, read    (nothing) ──Done──> done          Retry* before it, for a read that did not get through
//!                                                         or an effect that was held before it was sent
//!   effect              (nothing) ──Intent─> sent ──Outcome──> done
//!                                             │ ^ └─Retry──> paused
//!                                             │ └──Sending──────┘    same bytes, same key
//!                                             └─InDoubt──> doubt ──Resolved──> done | sent | cleared ──Intent──> sent
//!                                                            ^─────────────InDoubt──────────────┘  it is there after all
//!   wait                (nothing) ─Waiting─> waiting ──Outcome──> done
//!   approval            (nothing) ─Waiting─> waiting ──Decided──> done     or Outcome, when nobody did in time
//!                                             └─InDoubt──> doubt ──Resolved──> done | asked again: ──Waiting──> waiting
//! ```
//!
//! [`Journal::next`] is used live, in recovery, in replay and in tests; an entry it refuses is never stored.
//! This file must not read a clock, build a request or decide what an answer means.

mod approval;
mod earlier;
mod entry;

use std::collections::BTreeMap;

pub use self::approval::{APPROVAL, Undecidable};
pub use self::earlier::{Earlier, earlier, overlooked};
pub use self::entry::{
    Asked, Doubt, Entry, Failure, Forgotten, Intent, InvalidPath, Outcome, Record, Resolution, Retry, Step, StepPath,
    StoredRequest, Wait,
};
use super::value::Value;
use crate::base::clock::Instant;
use crate::base::guard::{Guard, holds};
use crate::base::limits::RUN_STEPS_MAX;

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
    /// It is said that the effect did not happen: a new intent of this epoch may follow.
    Cleared {
        /// The epoch the new intent has to carry.
        epoch: u32,
        /// Whether a person says so; else what the provider shows proved it.
        by_person: bool,
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
    /// When it may first have been sent, if it has an intent: when that was made, or before that by a journal that was
    /// forgotten.
    pub intended_at: Option<Instant>,
    /// Since when it is tried: since its first attempt, or since a person last said how it goes on; if it was held,
    /// since its first attempt after that.
    pub since: Instant,
    /// Whether it is held: its last entry says so.
    pub is_held: bool,
    /// When its last entry was made.
    pub updated_at: Instant,
}

/// Since when a step has to be looked for at the provider: since its first intent, under whatever key, or since a journal
/// that was forgotten may have sent it, whichever is earlier.
pub fn sought_since(intended_at: Option<Instant>, forgotten: Option<Forgotten>) -> Option<Instant> {
    let forgotten = forgotten.map(|forgotten| forgotten.from);
    match holds(Guard::SoughtSinceFirst) {
        true => [intended_at, forgotten].into_iter().flatten().min(),
        false => forgotten.or(intended_at),
    }
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
        if seq != self.last_seq + 1 && holds(Guard::JournalOrder) {
            return Err(illegal("its position is not the next one"));
        }
        if path.depth() == 0 {
            return Err(illegal("it names no step"));
        }
        if self.ended_above(&path) && holds(Guard::JournalEnded) {
            return Err(illegal("a step above it has ended"));
        }
        // A step made of others is recorded after them: what they did must not be lost because it does not fit.
        let is_new = !self.steps.contains_key(&path) && self.step_from(&path, 1).is_none();
        if is_new && self.steps.len() >= RUN_STEPS_MAX {
            return Err(illegal("the run has too many steps"));
        }
        let known = self.steps.remove(&path);
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
        let intended_at = known.as_ref().and_then(|known| known.intended_at);
        let since = match (&known, &entry) {
            (None, _) => at,
            // What it waited for before anything was sent does not count.
            (Some(_), Entry::Intent { .. }) if intended_at.is_none() => at,
            (Some(_), Entry::Resolved { actor, .. }) if actor != Entry::BY_ITSELF => at,
            (Some(known), Entry::Intent { .. } | Entry::Sending { .. }) if known.is_held => at,
            (Some(known), Entry::Retry { retry, .. }) if known.is_held && retry.waits => {
                known.since + (at - known.updated_at)
            }
            (Some(known), Entry::Retry { retry, .. }) if known.is_held && retry.attempt > 0 => at,
            (Some(known), _) => known.since,
        };
        let is_held = matches!(&entry, Entry::Retry { retry, .. } if retry.attempt == 0 && !retry.waits);
        let intended_at = match &entry {
            Entry::Intent { intent, .. } => sought_since(Some(intended_at.unwrap_or(at)), intent.forgotten),
            _ => intended_at,
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
                intended_at,
                since,
                is_held,
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
        below.is_within(path).then_some(first.started_at)
    }

    /// Whether money may still be on its way in a step below this one.
    fn unsettled_below(&self, path: &StepPath) -> bool {
        self.steps
            .range(path..)
            .take_while(|(below, _)| below.is_within(path))
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

    /// A step that may have had an effect nobody knows the outcome of, if there is one: in doubt, or sent. One
    /// that is in doubt comes first: the program itself finds out about the others.
    pub fn doubtful(&self) -> Option<(&StepPath, &StepRecord)> {
        self.doubts().next().or_else(|| {
            self.steps.iter().find(|(_, record)| {
                matches!(&record.phase, Phase::Sent { next_at, unknown, .. } if *unknown || next_at.is_none())
            })
        })
    }

    /// The steps about which a person has to decide. Branches may leave several.
    pub fn doubts(&self) -> impl Iterator<Item = (&StepPath, &StepRecord)> {
        self.steps
            .iter()
            .filter(|(_, record)| matches!(record.phase, Phase::Doubt { .. }))
    }

    /// A step below this path from this number on, if there is one.
    pub fn step_from(&self, above: &StepPath, number: u32) -> Option<(&StepPath, &StepRecord)> {
        let next = self.steps.range(above.child(number)..).next()?;
        next.0.is_within(above).then_some(next)
    }
}

/// The first entry of a step.
fn begin(entry: Entry, at: Instant) -> Result<(Step, Phase), &'static str> {
    match entry {
        Entry::Done { step, outcome, .. } => Ok((step, Phase::Done(outcome))),
        Entry::Intent { step, intent, .. } if intent.epoch == 0 => Ok((step, sent(intent, at))),
        Entry::Intent { .. } => Err("a first intent is of epoch 0"),
        Entry::Retry { step, retry, .. } => {
            // Held before the first attempt, or after it.
            if retry.attempt > 1 {
                return Err("its attempt is not the first one");
            }
            let (attempts, next_at) = (retry.attempt, retry.at);
            Ok((step, Phase::Trying { attempts, next_at }))
        }
        Entry::Waiting { step, wait, .. } => Ok((step, Phase::Waiting(wait))),
        Entry::InDoubt { step, doubt, .. } => Ok((step, Phase::Doubt { intent: None, doubt })),
        Entry::Sending { .. } | Entry::Outcome { .. } | Entry::Resolved { .. } | Entry::Decided { .. } => {
            Err("the step was never begun")
        }
    }
}

/// Every later one.
fn proceed(known: StepRecord, entry: Entry, at: Instant) -> Result<(Step, Phase), &'static str> {
    if let Entry::Decided {
        asked,
        approved,
        actor,
        reason,
        ..
    } = &entry
    {
        approval::may_decide(&known, *asked, at).map_err(|refused| refused.reason())?;
        let outcome = approval::outcome(*approved, actor, reason, at);
        return Ok((known.step, Phase::Done(outcome)));
    }
    let StepRecord {
        step, phase, effect, ..
    } = known;
    let phase = match (phase, entry) {
        (Phase::Done(_), _) => return Err("the step has ended"),
        // An answer may have been forgotten with an older state of the store.
        (Phase::Waiting(Wait { approval: Some(_), .. }), Entry::InDoubt { doubt, .. }) => {
            Phase::Doubt { intent: None, doubt }
        }
        (
            Phase::Doubt { .. },
            Entry::Resolved {
                resolution: Resolution::Adopt { .. },
                ..
            },
        ) if step.name == APPROVAL && holds(Guard::ApprovalByPerson) => {
            return Err("an approval is not adopted: say retry, and it is asked again");
        }
        (Phase::Trying { .. }, Entry::Waiting { wait, .. }) if step.name == APPROVAL && wait.approval.is_some() => {
            Phase::Waiting(wait)
        }
        (
            Phase::Waiting(Wait { approval: Some(_), .. }),
            Entry::Outcome {
                outcome: Outcome::Value(_),
                ..
            },
        ) if holds(Guard::ApprovalByPerson) => {
            return Err("only a person approves");
        }
        (Phase::Trying { .. }, Entry::Done { outcome, .. }) => Phase::Done(outcome),
        (Phase::Trying { attempts, .. }, Entry::Retry { retry, .. }) => Phase::Trying {
            attempts: following(attempts, retry.attempt)?,
            next_at: retry.at,
        },
        (Phase::Cleared { epoch, by_person }, Entry::Retry { retry, .. }) if retry.attempt == 0 => {
            Phase::Cleared { epoch, by_person }
        }
        // What was said to be absent is there.
        (Phase::Cleared { .. }, Entry::InDoubt { doubt, .. }) => Phase::Doubt { intent: effect, doubt },
        (Phase::Trying { .. }, Entry::Intent { intent, .. }) if intent.epoch == 0 => sent(intent, at),
        (Phase::Trying { .. }, Entry::InDoubt { doubt, .. }) => Phase::Doubt { intent: None, doubt },
        (Phase::Sent { .. } | Phase::Waiting(_), Entry::Outcome { outcome, .. }) => Phase::Done(outcome),
        (
            Phase::Sent {
                intent,
                attempts,
                unknown,
                sent_at,
                look_up,
                ..
            },
            Entry::Retry { retry, .. },
        ) => {
            let attempts = following(attempts, retry.attempt)?;
            let unknown = unknown || retry.unknown;
            // Recorded after an attempt, which may have been as late as this; after a look-up, which sends nothing, not.
            let sent_at = if look_up { sent_at } else { sent_at.max(at) };
            Phase::Sent {
                intent,
                attempts,
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
            if wait.deadline != before.deadline && holds(Guard::WaitDeadline) {
                return Err("the deadline of a wait is fixed by its first entry");
            }
            if wait.approval != before.approval {
                return Err("what a person is asked is fixed by the first entry");
            }
            Phase::Waiting(wait)
        }
        (
            Phase::Doubt { intent, doubt },
            Entry::Resolved {
                resolution,
                reason,
                actor,
                ..
            },
        ) => resolve(intent, &doubt, resolution, (&actor, &reason), at)?,
        // The run was parked for another reason while this step was open.
        (
            Phase::Sent { intent, .. },
            Entry::Resolved {
                resolution,
                reason,
                actor,
                ..
            },
        ) => {
            let message = "its outcome was never recorded".to_owned();
            let doubt = Doubt {
                code: "in_doubt".to_owned(),
                message,
            };
            resolve(Some(intent), &doubt, resolution, (&actor, &reason), at)?
        }
        (Phase::Cleared { epoch, .. }, Entry::Intent { intent, .. }) => {
            if intent.epoch != epoch && holds(Guard::JournalEpoch) {
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
        sent_at: intent.forgotten.map_or(at, |forgotten| forgotten.until),
        intent,
        attempts: 0,
        next_at: None,
        unknown: false,
        look_up: false,
    }
}

/// How many attempts there were then. While a step is held there is none.
fn following(attempts: u32, attempt: u32) -> Result<u32, &'static str> {
    match attempt {
        0 => Ok(attempts),
        _ if attempt == attempts + 1 || !holds(Guard::JournalAttempts) => Ok(attempt),
        _ => Err("its attempt is not the next one"),
    }
}

fn resolve(
    intent: Option<Box<Intent>>,
    doubt: &Doubt,
    resolution: Resolution,
    (actor, reason): (&str, &str),
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
            by_person: actor != Entry::BY_ITSELF,
        }),
        (Resolution::Retry, None) => Ok(Phase::Trying {
            attempts: 0,
            next_at: Instant::UNIX_EPOCH,
        }),
        (Resolution::Resend, None) => Err("nothing was sent, so there is nothing to send again: use retry"),
    }
}
