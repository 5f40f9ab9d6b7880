//! Branches: a closure of the script called for each item of a list, several at once.
//!
//! A branch is a turn of its own over the book of its run, below the step of its `parallel`. It ends with a value or
//! a failure, which is recorded as the branch's own outcome, so that later turns neither run it again nor can it
//! come to another end; or it is interrupted, and the others go on to where they end or rest. Only then does the
//! turn end, for all of their reasons together. What a branch is given and what it captured are copies.
//!
//! Recording the outcome costs one line for each branch and saves every later turn the work of the whole branch:
//! with a hundred branches that wait, of which one wakes at a time, replay would be the square of it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::helpers::{Helpers, Work};
use super::interrupt::Interrupt;
use super::turn::{Turn, fail, run_error};
use crate::base::limits::PARALLEL_DEPTH_MAX;
use crate::model::journal::{Failure, Outcome, Phase, StepPath};
use crate::model::value::Value;
use crate::script::{Detached, Given, Ran, ScriptError, Thrown};

/// The value of a branch on its line of the history.
const SUMMARY_BYTES_MAX: usize = 200;

/// What became of a branch.
enum End {
    Outcome(Outcome),
    /// It rests, or was stopped; why, if it is the branch's own reason.
    Interrupted(Option<Interrupt>),
}

/// Everything the threads share that work on the branches of one `parallel`.
struct Branches {
    turn: Arc<Turn>,
    above: StepPath,
    first: u32,
    items: Vec<Value>,
    /// Which items are not done yet.
    open: Vec<usize>,
    ends: Mutex<Vec<Option<End>>>,
}

impl Turn {
    /// Calls a closure for each item, at most so many at once. The outcomes are in the order of the items.
    pub(super) fn parallel(
        self: &Arc<Self>,
        items: &[Value],
        at_once: usize,
        given: &Given<'_, Self>,
    ) -> Result<Vec<Outcome>, Thrown> {
        if self.depth >= PARALLEL_DEPTH_MAX {
            let message =
                format!("`parallel` is called inside {PARALLEL_DEPTH_MAX} others: that is as deep as it goes");
            return Err(fail("too_deep", message));
        }
        let count = u32::try_from(items.len()).unwrap_or(u32::MAX);
        self.group("parallel", &count.to_string(), || {
            let (above, numbers) = self.take_numbers(count);
            let branches = Arc::new(Branches::new(Arc::clone(self), above, *numbers.start(), items.to_vec()));
            // The branches count for themselves what they compute.
            self.outside(|| branches.run_all(at_once, given));
            branches.outcomes()
        })
    }
}

impl Branches {
    fn new(turn: Arc<Turn>, above: StepPath, first: u32, items: Vec<Value>) -> Self {
        let mut ends = Vec::with_capacity(items.len());
        ends.resize_with(items.len(), || None);
        let mut branches = Self {
            turn,
            above,
            first,
            items,
            open: Vec::new(),
            ends: Mutex::new(ends),
        };
        branches.open = (0..branches.items.len())
            .filter(|at| !branches.is_recorded(*at))
            .collect();
        branches
    }

    fn number(&self, at: usize) -> u32 {
        self.first + u32::try_from(at).unwrap_or(u32::MAX)
    }

    /// Whether the journal has its outcome: then no thread is needed to find it.
    fn is_recorded(&self, at: usize) -> bool {
        let path = self.above.child(self.number(at));
        let pages = self.turn.book.open();
        matches!(
            pages.journal.step(&path).map(|record| &record.phase),
            Some(Phase::Done(_))
        )
    }

    fn run_all(self: &Arc<Self>, at_once: usize, given: &Given<'_, Turn>) {
        // Those that are recorded are compared with what is asked now, like every step.
        for at in 0..self.items.len() {
            if self.open.binary_search(&at).is_err() {
                self.run(at, given.closure(), |_, _| Ran::Interrupted);
            }
        }
        let (helped, closure) = (Arc::clone(self), Arc::clone(given.closure()));
        let work = Work::new(self.open.len(), move |part, interpreter| {
            helped.run_open(part, &closure, |branch, item, at| {
                interpreter.call(&helped.turn.version, &closure, branch, item, at)
            });
        });
        let helpers = at_once.min(self.open.len()).saturating_sub(1);
        Helpers::share(&self.turn.services, &work, helpers, |part| {
            self.run_open(part, given.closure(), |branch, item, at| given.call(branch, item, at));
        });
    }

    fn run_open(&self, part: usize, closure: &Detached, call: impl FnOnce(Arc<Turn>, Value, usize) -> Ran) {
        if let Some(at) = self.open.get(part) {
            self.run(*at, closure, |branch, item| call(branch, item, *at));
        }
    }

    fn run(&self, at: usize, closure: &Detached, call: impl FnOnce(Arc<Turn>, Value) -> Ran) {
        let Some(item) = self.items.get(at) else { return };
        let clock = &self.turn.services.clock;
        let began = clock.elapsed();
        let mut in_call = Duration::ZERO;
        let branch = Arc::new(self.turn.branch(&self.above, self.number(at)));
        let result = branch.compound("branch", &item.typed_text(), || {
            let called = clock.elapsed();
            let ran = call(Arc::clone(&branch), item.clone());
            in_call = clock.elapsed().saturating_sub(called);
            match ran {
                Ran::Finished(value) => {
                    let summary = summary(&value);
                    Ok((value, summary))
                }
                Ran::Failed(ScriptError {
                    code, message, details, ..
                }) => Err(Thrown::Failure(Failure { code, message, details })),
                // What was used up, or failed in the program itself, ends the whole turn: its meter knows.
                Ran::Interrupted | Ran::Exhausted { .. } | Ran::Panicked => Err(Thrown::Interrupt),
            }
        });
        let end = match result {
            Ok(value) => End::Outcome(Outcome::Value(value)),
            Err(Thrown::Failure(failure)) => End::Outcome(Outcome::Failure(failure)),
            Err(Thrown::Interrupt) => End::Interrupted(branch.interrupt_reason()),
        };
        closure.charge(clock.elapsed().saturating_sub(began).saturating_sub(in_call));
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = ends.get_mut(at) {
            *place = Some(end);
        }
    }

    /// The outcomes, if every branch has one; else the turn ends for the reasons of those that have none.
    fn outcomes(&self) -> Result<Vec<Outcome>, Thrown> {
        let ends = std::mem::take(&mut *self.ends.lock().unwrap_or_else(PoisonError::into_inner));
        let mut outcomes = Vec::with_capacity(ends.len());
        let mut reasons = Vec::new();
        let mut stopped = false;
        for end in ends {
            match end {
                Some(End::Outcome(outcome)) => outcomes.push(outcome),
                Some(End::Interrupted(Some(reason))) => reasons.push(reason),
                // Without a reason of its own: the whole turn was stopped.
                Some(End::Interrupted(None)) => stopped = true,
                None => {
                    let message = "the program itself failed in one of its branches; its log has more".to_owned();
                    reasons.push(Interrupt::Parked(run_error("internal", message)));
                }
            }
        }
        match Interrupt::of_all(reasons) {
            Some(reason) if !stopped || reason.ends_all() => Err(self.turn.interrupt(reason)),
            None if !stopped => Ok(outcomes),
            _ => Err(Thrown::Interrupt),
        }
    }
}

/// What the history says of a branch that came to its end.
fn summary(value: &Value) -> String {
    match value {
        Value::Text(_) | Value::List(_) | Value::Map(_) if value.bytes() > SUMMARY_BYTES_MAX => value.kind().to_owned(),
        _ => value.to_string(),
    }
}
