//! Why a turn ends before its script does, and what several ends of its branches come to together.

use crate::base::clock::Instant;
use crate::model::event::EventFilter;
use crate::model::journal::StepPath;
use crate::model::run::{EventMark, RunError};
use crate::store::StoreError;

/// Why a turn, or a branch of it, ends before its script does.
#[derive(Debug, Clone, PartialEq)]
pub enum Interrupt {
    /// Nothing to do until a time or an event.
    Waiting {
        /// The time.
        wake_at: Instant,
        /// The events, any of which ends the wait.
        waits_for: Vec<EventFilter>,
        /// Up to where events were looked at.
        seen: EventMark,
    },
    /// A rehearsal has come to the first step that is not over.
    Rehearsed {
        /// Where.
        path: StepPath,
        /// What.
        name: String,
        /// Whether the journal has it.
        known: bool,
    },
    /// The process stops in good order; the run is given back.
    Stopping,
    /// A person has to decide.
    Parked(RunError),
    /// The run asks for more than a run may have. The script does not see it: nothing it could do would help.
    Failed(RunError),
    /// A person asked for the end of the run.
    Cancelled,
    /// The store does not answer: nothing can be written.
    StoreDown(StoreError),
    /// Another worker has the run: nothing may be written.
    LeaseLost,
}

impl Interrupt {
    /// The greater rank decides where branches end for different reasons: what forbids writing before what a person
    /// asked for, that before what a person has to decide, and waiting last.
    fn rank(&self) -> u8 {
        match self {
            Self::Waiting { .. } => 0,
            Self::Rehearsed { .. } => 1,
            Self::Stopping => 2,
            Self::Parked(_) => 3,
            Self::Failed(_) => 4,
            Self::Cancelled => 5,
            Self::StoreDown(_) => 6,
            Self::LeaseLost => 7,
        }
    }

    /// Whether no branch of the turn can do anything any more.
    pub(super) fn ends_all(&self) -> bool {
        matches!(self, Self::Failed(_) | Self::StoreDown(_) | Self::LeaseLost)
    }

    /// What both come to: two waits are one for whatever comes first; of two others of one rank the first.
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (
                Self::Waiting {
                    wake_at,
                    mut waits_for,
                    seen,
                },
                Self::Waiting {
                    wake_at: other_wake_at,
                    waits_for: other_waits_for,
                    seen: other_seen,
                },
            ) => {
                // Only who waits for an event has looked at events. The branch that looked first may have missed
                // what the others saw.
                let seen = match (waits_for.is_empty(), other_waits_for.is_empty()) {
                    (false, false) => seen.min(other_seen),
                    (true, _) => other_seen,
                    (_, true) => seen,
                };
                waits_for.extend(other_waits_for);
                Self::Waiting {
                    wake_at: wake_at.min(other_wake_at),
                    waits_for,
                    seen,
                }
            }
            (one, other) if other.rank() > one.rank() => other,
            (one, _) => one,
        }
    }

    /// What the ends of all branches come to, in the order of the branches.
    pub(super) fn of_all(ends: impl IntoIterator<Item = Self>) -> Option<Self> {
        ends.into_iter().reduce(Self::and)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(wake_at: i64, events: &[(&str, i64)]) -> Interrupt {
        let filter = |(connection, _): &(&str, i64)| EventFilter {
            connection: (*connection).to_owned(),
            ..filter_of_anything()
        };
        Interrupt::Waiting {
            wake_at: Instant::from_timestamp(wake_at, 0).expect("a time"),
            waits_for: events.iter().map(filter).collect(),
            seen: EventMark(events.iter().map(|(_, seen)| *seen).min().unwrap_or_default()),
        }
    }

    fn filter_of_anything() -> EventFilter {
        EventFilter {
            connection: String::new(),
            types: Vec::new(),
            subject: None,
            matching: crate::model::event::Matching::default(),
            after: EventMark::default(),
            since: None,
            except: Vec::new(),
        }
    }

    fn parked() -> Interrupt {
        let (code, message) = ("in_doubt".to_owned(), "the outcome is unknown".to_owned());
        Interrupt::Parked(RunError {
            code,
            message,
            trace: Vec::new(),
        })
    }

    #[test]
    fn waits_come_to_the_earliest_time_and_every_event() {
        let all = [waiting(30, &[("a", 7)]), waiting(10, &[]), waiting(20, &[("b", 5)])];
        assert_eq!(Interrupt::of_all(all), Some(waiting(10, &[("a", 7), ("b", 5)])));
        assert_eq!(Interrupt::of_all([]), None);
    }

    #[test]
    fn what_matters_more_decides() {
        let rising = [
            waiting(1, &[]),
            Interrupt::Stopping,
            parked(),
            Interrupt::Cancelled,
            Interrupt::StoreDown(StoreError::Unavailable(String::new())),
            Interrupt::LeaseLost,
        ];
        for (at, greater) in rising.iter().enumerate() {
            for lesser in &rising[..at] {
                for pair in [[lesser, greater], [greater, lesser]] {
                    assert_eq!(Interrupt::of_all(pair.map(Clone::clone)).as_ref(), Some(greater));
                }
            }
        }
    }
}
