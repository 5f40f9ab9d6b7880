//! Approvals: what a person is asked, and when an answer of theirs is taken.
//!
//! An answer is bound to one step and to the fingerprint of what was asked there, is given once, and in time. Who may
//! give it is not decided here.

use super::{Asked, Failure, Journal, Outcome, Phase, StepPath, StepRecord};
use crate::base::clock::Instant;
use crate::base::guard::{Guard, holds};
use crate::base::ids::Digest;
use crate::model::value::{Map, Value, time_text};

/// The name of the step that asks a person, as the script calls it.
pub const APPROVAL: &str = "approval";
/// The code of the failure a script sees when a person said no.
const REJECTED: &str = "rejected";

/// Why an answer is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Undecidable {
    /// The run has no such step.
    #[error("it has no step {0}")]
    Missing(StepPath),
    /// The step asks nothing.
    #[error("the step asks for no approval")]
    NotAsked,
    /// It was answered, or nobody did in time.
    #[error("it was decided already: {0}")]
    Decided(String),
    /// The answer is about another question than the one that stands there.
    #[error("what the step asks for is not what was shown: look at it again")]
    AnotherQuestion,
    /// The time for it is over.
    #[error("the time to decide ended at {}", time_text(*.0))]
    TooLate(Instant),
}

impl Undecidable {
    /// The same for the one who reads a journal.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::Missing(_) | Self::NotAsked => "the step asks for no approval",
            Self::Decided(_) => "the step has ended",
            Self::AnotherQuestion => "the decision is about something else than the step asks for",
            Self::TooLate(_) => "the time to decide is over",
        }
    }
}

impl StepRecord {
    /// What a person is asked here, and until when, while nobody has answered.
    pub fn asked(&self) -> Option<(&Asked, Instant)> {
        match &self.phase {
            Phase::Waiting(wait) => wait.approval.as_ref().map(|asked| (asked, wait.deadline)),
            _ => None,
        }
    }
}

impl Journal {
    /// The steps at which a person is asked for an approval. Branches may ask for several at a time.
    pub fn approvals(&self) -> impl Iterator<Item = (&StepPath, &StepRecord)> {
        self.steps().filter(|(_, record)| record.asked().is_some())
    }

    /// Whether an answer to this question can be taken now.
    ///
    /// # Errors
    /// [`Undecidable`], in words for the one who wants to give it.
    pub fn may_decide(&self, path: &StepPath, asked: Digest, at: Instant) -> Result<(), Undecidable> {
        let record = self.step(path).ok_or_else(|| Undecidable::Missing(path.clone()))?;
        may_decide(record, asked, at)
    }
}

pub(super) fn may_decide(record: &StepRecord, asked: Digest, at: Instant) -> Result<(), Undecidable> {
    match &record.phase {
        Phase::Done(outcome) if record.step.name == APPROVAL => {
            return if holds(Guard::DecidedOnce) {
                Err(Undecidable::Decided(told(outcome)))
            } else {
                Ok(())
            };
        }
        _ => {}
    }
    let (_, deadline) = record.asked().ok_or(Undecidable::NotAsked)?;
    if asked != record.step.fingerprint && holds(Guard::DecisionBound) {
        return Err(Undecidable::AnotherQuestion);
    }
    if at >= deadline && holds(Guard::DecidedInTime) {
        return Err(Undecidable::TooLate(deadline));
    }
    Ok(())
}

/// What the script sees of an answer.
pub(super) fn outcome(approved: bool, actor: &str, reason: &str, at: Instant) -> Outcome {
    let mut answer: Map = [
        ("by".to_owned(), Value::text(actor)),
        ("reason".to_owned(), Value::text(reason)),
        ("at".to_owned(), Value::Time(at)),
    ]
    .into();
    if approved {
        answer.insert("approved".to_owned(), Value::Bool(true));
        return Outcome::Value(Value::Map(answer));
    }
    Outcome::Failure(Failure {
        details: Value::Map(answer),
        ..Failure::new(REJECTED, format!("rejected by {actor}: {reason}"))
    })
}

/// An outcome in the words of the one who reads it.
fn told(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Failure(failure) => failure.message.clone(),
        Outcome::Value(value) => {
            let word = |key: &str| value.get(key).and_then(Value::as_text).unwrap_or("somebody");
            format!("approved by {}: {}", word("by"), word("reason"))
        }
    }
}
