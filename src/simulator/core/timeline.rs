//! What is still to happen, and when. Time comes from outside.

use std::collections::BTreeMap;
use std::time::Duration;

use uuid::Uuid;

use super::failure::Failure;
use super::ledger::LedgerError;
use crate::simulator::world::World;

/// A step of a resource: what it does to the books and which event it leaves.
pub(crate) type Step = fn(&mut World, Uuid) -> Result<(), StepError>;

/// Why a step cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum StepError {
    #[error("there is no such resource")]
    NotFound,
    #[error("there is no way for this resource to get there")]
    NoSuchStep,
    #[error("not possible while it is {0}")]
    Illegal(&'static str),
    #[error("the failure code is one of {0}")]
    NoSuchFailure(String),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl StepError {
    /// Refuses a failure of a code that the provider does not document.
    pub(crate) fn unless_known(failure: Option<&Failure>, codes: &[&str]) -> Result<(), Self> {
        match failure {
            Some(failure) if !codes.contains(&failure.code.as_str()) => Err(Self::NoSuchFailure(codes.join(", "))),
            _ => Ok(()),
        }
    }
}

/// Something that is to happen at a time.
#[derive(Debug)]
pub(crate) enum Due {
    /// A resource goes on.
    Step(Uuid, Step),
    /// A delivery is tried.
    Deliver(Uuid),
    /// A delivery is sent once more; that changes nothing but its list of attempts.
    Copy(Uuid),
    /// A delivery still held back is tried, though no other went first.
    Release(Uuid),
}

/// Everything that is to happen, by elapsed time; what is due at once goes in the order it was planned in.
#[derive(Debug, Default)]
pub(crate) struct Timeline {
    entries: BTreeMap<(Duration, u64), Due>,
    planned: u64,
}

impl Timeline {
    pub(crate) fn plan(&mut self, at: Duration, due: Due) {
        self.planned += 1;
        self.entries.insert((at, self.planned), due);
    }

    /// When the next thing happens.
    pub(crate) fn next(&self) -> Option<Duration> {
        self.entries.first_key_value().map(|((due, _), _)| *due)
    }

    /// The next thing that has happened by then, with its time.
    pub(crate) fn take(&mut self, until: Duration) -> Option<(Duration, Due)> {
        let entry = self.entries.first_entry().filter(|entry| entry.key().0 <= until)?;
        let ((at, _), due) = entry.remove_entry();
        Some((at, due))
    }
}
