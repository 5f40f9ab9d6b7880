//! What all branches of one turn write into together: the journal, and the writes on their way to the store.
//!
//! Entries *ride* with the next write; an intent is waited for before anything is sent; an outcome is queued before
//! its branch goes on, and everything later is queued behind it, so nothing that depends on an outcome can become
//! durable, or leave the process, before the outcome is. Whether an intent may begin is the store's to say, so while
//! one is on its way nothing else is handed over: what rides meanwhile goes behind it, in the same order. Branches
//! that wait for their intents at the same time share one write.
//!
//! This file must not know what a step is for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::turn::run_error;
use crate::base::clock::Instant;
use crate::base::guard::{Guard, holds};
use crate::base::ids::RunId;
use crate::base::limits::{RUN_JOURNAL_BYTES_MAX, RUN_STEPS_MAX};
use crate::connector::lookup::Other;
use crate::model::journal::{Entry, IllegalEntry, Intent, Journal, Outcome, Phase, Record, StepPath, StepRecord};
use crate::model::run::RunError;
use crate::model::value::Value;
use crate::store::{Append, StoreError, Written};

/// Riding entries are written at the latest when there are this many: a loop of log lines stays durable.
const RIDING_MAX: usize = 256;
/// The same for their size.
const RIDING_BYTES_MAX: usize = 1024 * 1024;
/// Steps that may begin: those made of others are recorded after them, and still have to fit.
const STEPS_BEGUN_MAX: usize = RUN_STEPS_MAX - RUN_STEPS_MAX / 100;

/// The book of one turn.
pub(super) struct Book {
    pages: Mutex<Pages>,
    /// A write with an intent was answered.
    answered: Condvar,
}

/// What the lock holds.
pub(super) struct Pages {
    pub(super) journal: Journal,
    /// Why an entry could not follow. The journal is lost with it: no branch may take that for a journal without steps.
    broken: Option<IllegalEntry>,
    /// Entries that the journal has and the store was not given yet.
    riding: Vec<Record>,
    riding_bytes: usize,
    /// Values to be kept with the next write, and all this turn has kept: a reader may not see them yet.
    kept: Vec<(String, Value)>,
    pub(super) remembered: BTreeMap<String, Value>,
    /// Movements that have their end at the provider: those the store was not told of, and all this turn has found.
    arrived: Vec<(RunId, StepPath)>,
    known_arrived: BTreeSet<(RunId, StepPath)>,
    /// Events that waits of this turn were given and whose outcome may not be in the journal yet.
    pub(super) events_taken: BTreeSet<String>,
    /// What lists showed of this run at other steps than were looked for.
    pub(super) seen: Vec<Other>,
    /// The position of the last record the store was given. The journal may be ahead: of what rides, and of intents
    /// that were refused.
    handed_over: u32,
    /// Writes that nobody has waited for.
    queued: Vec<Written>,
    /// How many entries have ridden, and how many of these are durable.
    ridden: u64,
    durable: u64,
    /// A write with an intent is on its way.
    committing: bool,
    /// Effects that were refused, because the end of the run was asked for, and whose branch has not heard it.
    refused: BTreeSet<StepPath>,
    /// What the store said when it could not write: nothing is written any more.
    lost: Option<StoreError>,
    /// What the run has recorded so far, about.
    bytes: usize,
    /// How many steps of earlier turns the script has not come to yet.
    pub(super) unmet: usize,
}

/// What one who wants to be durable has to do.
pub(super) enum Next {
    /// Nothing.
    Durable,
    /// The end of the run was asked for: the effect may not begin.
    Refused,
    /// The store cannot write.
    Lost(StoreError),
    /// Write this, wait for it and for all of these, and say what the answer was.
    Write(Box<Append>, Vec<Written>, Copy),
}

/// What of a write is needed when it is answered.
pub(super) struct Copy {
    /// How many entries have ridden up to this write.
    ridden: u64,
    records: usize,
    /// Effects that begin with it.
    effects: Vec<StepPath>,
    /// All else in it, which has happened whatever the answer is.
    happened: Vec<Record>,
    kept: Vec<(String, Value)>,
}

impl Book {
    /// The book of a turn over this journal.
    pub(super) fn new(journal: Journal) -> Self {
        let pages = Pages {
            bytes: journal.steps().map(|(_, record)| step_bytes(record)).sum(),
            unmet: to_be_met(&journal),
            handed_over: journal.last_seq(),
            journal,
            broken: None,
            riding: Vec::new(),
            riding_bytes: 0,
            kept: Vec::new(),
            remembered: BTreeMap::new(),
            arrived: Vec::new(),
            known_arrived: BTreeSet::new(),
            events_taken: BTreeSet::new(),
            seen: Vec::new(),
            queued: Vec::new(),
            ridden: 0,
            durable: 0,
            committing: false,
            refused: BTreeSet::new(),
            lost: None,
        };
        Self {
            pages: Mutex::new(pages),
            answered: Condvar::new(),
        }
    }

    /// Opens it. Nobody keeps it open while waiting for anything.
    pub(super) fn open(&self) -> MutexGuard<'_, Pages> {
        // A panic in one branch ends the turn anyway.
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is to be done so that everything up to `ridden` is durable, and with it, if one is named, the beginning
    /// of an effect. Waits while another branch writes.
    pub(super) fn next(&self, ridden: u64, effect: Option<&StepPath>) -> Next {
        let mut pages = self.open();
        loop {
            if let Some(error) = &pages.lost {
                return Next::Lost(error.clone());
            }
            if effect.is_some_and(|path| pages.refused.remove(path)) {
                return Next::Refused;
            }
            if pages.durable >= ridden {
                return Next::Durable;
            }
            if !pages.committing {
                pages.committing = true;
                let (queued, append) = (pages.take_queued(), pages.take_append());
                let copy = pages.copy_of(&append);
                return Next::Write(Box::new(append), queued, copy);
            }
            pages = self.answered.wait(pages).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The answer to a write of [`Next::Write`]. Says whether something waits to be queued.
    pub(super) fn answer(&self, copy: Copy, answer: Result<(), StoreError>) -> bool {
        let mut pages = self.open();
        pages.committing = false;
        match answer {
            Ok(()) => pages.durable = copy.ridden,
            Err(StoreError::CancelRequested { .. }) => pages.put_back(copy),
            Err(error) => pages.lost = Some(error),
        }
        self.answered.notify_all();
        pages.may_hand_over() && !pages.riding.is_empty()
    }
}

impl Pages {
    /// Extends the journal; the entry is written with the next write. Says how many have ridden with it.
    pub(super) fn ride(&mut self, at: Instant, entry: Entry) -> Result<u64, IllegalEntry> {
        self.whole()?;
        let record = Record {
            seq: self.journal.last_seq() + 1,
            at,
            entry,
        };
        match std::mem::take(&mut self.journal).next(record.clone()) {
            Ok(journal) => self.journal = journal,
            Err(illegal) => {
                self.broken = Some(illegal.clone());
                return Err(illegal);
            }
        }
        let bytes = entry_bytes(&record.entry);
        self.bytes += bytes;
        self.riding_bytes += bytes;
        self.riding.push(record);
        self.ridden += 1;
        Ok(self.ridden)
    }

    /// Whether the journal is all there; else why not.
    pub(super) fn whole(&self) -> Result<(), IllegalEntry> {
        self.broken.clone().map_or(Ok(()), Err)
    }

    /// How many entries have ridden.
    pub(super) fn ridden(&self) -> u64 {
        self.ridden
    }

    /// Keeps a value for later runs of the workflow, in the same write as the step's entry.
    pub(super) fn keep(&mut self, key: String, value: Value) {
        let bytes = key.len() + value.bytes();
        self.bytes += bytes;
        self.riding_bytes += bytes;
        self.remembered.insert(key.clone(), value.clone());
        self.kept.push((key, value));
    }

    /// Has the store forget what has its end at the provider, with the next write.
    pub(super) fn forget_arrived(&mut self, run: RunId, step: StepPath) {
        if self.known_arrived.insert((run, step.clone())) {
            self.arrived.push((run, step));
        }
    }

    /// Whether this turn has found that it has its end.
    pub(super) fn has_arrived(&self, run: RunId, step: &StepPath) -> bool {
        self.known_arrived.contains(&(run, step.clone()))
    }

    /// Whether so much rides that it has to be handed over.
    pub(super) fn is_full(&self) -> bool {
        self.riding.len() >= RIDING_MAX || self.riding_bytes >= RIDING_BYTES_MAX
    }

    /// Whether what rides may be handed over without waiting for the answer: nothing of it begins an effect, and
    /// nothing that does is on its way. Otherwise whoever waits for that hands it over.
    pub(super) fn may_hand_over(&self) -> bool {
        !self.committing && !self.riding.iter().any(begins_effect)
    }

    /// A write was handed over.
    pub(super) fn handed_over(&mut self, written: Written) {
        self.queued.push(written);
    }

    /// The writes that nobody has waited for.
    pub(super) fn take_queued(&mut self) -> Vec<Written> {
        std::mem::take(&mut self.queued)
    }

    /// All that rides, numbered as the store counts.
    pub(super) fn take_append(&mut self) -> Append {
        self.riding_bytes = 0;
        let mut records = std::mem::take(&mut self.riding);
        if !holds(Guard::RidingOrder) {
            records.reverse();
        }
        for record in &mut records {
            self.handed_over += 1;
            record.seq = self.handed_over;
        }
        Append {
            begins_effect: records.iter().any(begins_effect),
            records,
            state: std::mem::take(&mut self.kept),
            settlement: None,
            arrived: std::mem::take(&mut self.arrived),
        }
    }

    fn copy_of(&self, append: &Append) -> Copy {
        let (effects, happened): (Vec<&Record>, Vec<&Record>) =
            append.records.iter().partition(|record| begins_effect(record));
        Copy {
            ridden: self.ridden,
            records: append.records.len(),
            effects: effects.iter().map(|record| record.entry.path().clone()).collect(),
            // Only a write with an effect is refused and written again.
            happened: if effects.is_empty() {
                Vec::new()
            } else {
                happened.into_iter().cloned().collect()
            },
            kept: append.state.clone(),
        }
    }

    /// Nothing of a write was taken, because an effect in it may not begin. All else in it has happened and rides
    /// again, before what came after it.
    fn put_back(&mut self, copy: Copy) {
        self.handed_over -= u32::try_from(copy.records).unwrap_or(0);
        self.refused.extend(copy.effects);
        let later = std::mem::replace(&mut self.riding, copy.happened);
        self.riding.extend(later);
        let later = std::mem::replace(&mut self.kept, copy.kept);
        self.kept.extend(later);
    }

    /// Why no further step may begin, if the run has recorded all that a run may.
    pub(super) fn full(&self) -> Option<RunError> {
        let message = if self.journal.len() >= STEPS_BEGUN_MAX {
            format!("the run has {STEPS_BEGUN_MAX} steps: share the work out among several runs")
        } else if self.bytes >= RUN_JOURNAL_BYTES_MAX {
            format!(
                "the run has recorded {} MiB: let it ask for less, or share the work out among several runs",
                RUN_JOURNAL_BYTES_MAX / (1024 * 1024)
            )
        } else {
            return None;
        };
        Some(run_error("run_too_long", message))
    }
}

/// How many steps a script comes to on its way through this journal: what is below a step that ended is passed over.
fn to_be_met(journal: &Journal) -> usize {
    let mut ended: Option<&StepPath> = None;
    let met = journal.steps().filter(|(path, record)| {
        if ended.is_some_and(|above| path.is_within(above)) {
            return false;
        }
        ended = matches!(record.phase, Phase::Done(_)).then_some(*path);
        true
    });
    met.count()
}

fn begins_effect(record: &Record) -> bool {
    matches!(record.entry, Entry::Intent { .. } | Entry::Sending { .. })
}

/// About how much a step takes in the journal.
fn step_bytes(record: &StepRecord) -> usize {
    let phase = match &record.phase {
        Phase::Done(outcome) => outcome_bytes(outcome),
        _ => 0,
    };
    let effect = record.effect.as_ref().map_or(0, |intent| intent_bytes(intent));
    record.step.summary.len() + phase + effect
}

/// About how much an entry takes.
fn entry_bytes(entry: &Entry) -> usize {
    let summary = entry.step().map_or(0, |step| step.summary.len());
    summary
        + match entry {
            Entry::Done { outcome, .. } | Entry::Outcome { outcome, .. } => outcome_bytes(outcome),
            Entry::Intent { intent, .. } => intent_bytes(intent),
            _ => 0,
        }
}

fn outcome_bytes(outcome: &Outcome) -> usize {
    match outcome {
        Outcome::Value(value) => value.bytes(),
        Outcome::Failure(failure) => failure.message.len() + failure.details.bytes(),
    }
}

fn intent_bytes(intent: &Intent) -> usize {
    intent.request.path.len() + intent.request.body.as_ref().map_or(0, String::len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::Digest;
    use crate::model::journal::Step;

    #[test]
    fn a_journal_that_an_entry_could_not_follow_is_not_taken_for_one_without_steps() {
        let book = Book::new(Journal::default());
        let mut pages = book.open();
        let done = |number| Entry::Done {
            path: StepPath::root().child(number),
            step: Step {
                name: "log".to_owned(),
                summary: String::new(),
                fingerprint: Digest::of([b"log".as_slice()]),
            },
            outcome: Outcome::Value(Value::Null),
            began: None,
        };
        assert_eq!(pages.ride(Instant::UNIX_EPOCH, done(1)), Ok(1));
        assert!(pages.whole().is_ok());
        let sending = Entry::Sending {
            path: StepPath::root().child(2),
        };
        let illegal = pages
            .ride(Instant::UNIX_EPOCH, sending)
            .expect_err("it was never begun");
        assert_eq!(pages.whole(), Err(illegal.clone()));
        assert_eq!(pages.ride(Instant::UNIX_EPOCH, done(1)), Err(illegal));
        // What has ridden before is written still.
        assert_eq!(pages.take_append().records.len(), 1);
    }
}
