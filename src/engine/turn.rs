//! One pass of the interpreter over a script, from the top.
//!
//! A [`Turn`] is the host a script runs against. It numbers the steps, answers those the journal knows, and
//! hands the others to `step` and `wait`. It keeps the order of writes: local steps and reads *ride* with
//! the next write; an intent is waited for before anything is sent; an outcome is queued before the script
//! goes on, and everything later is queued behind it, so nothing that depends on an outcome can become
//! durable, or leave the process, before the outcome is.
//!
//! An interrupt is sticky: once set, no function of the host does anything more and the script ends,
//! whatever it catches. This file must not know what a primitive does or how a request is sent.

use std::collections::BTreeMap;
use std::future::{Future, ready};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::services::Services;
use crate::base::clock::{BoxFuture, Instant};
use crate::base::ids::{Digest, WorkerId};
use crate::model::event::EventFilter;
use crate::model::journal::{Entry, Failure, Journal, Outcome, Phase, Record, Step, StepPath};
use crate::model::run::{EventMark, Run, RunError, Settlement};
use crate::model::value::Value;
use crate::model::workflow::Version;
use crate::script::{Host, Thrown};
use crate::store::{Append, Lease, StoreError, Written};

/// Riding entries are written at the latest when there are this many: a loop of log lines stays durable.
const RIDING_MAX: usize = 256;

/// Why a turn ends before its script does.
#[derive(Debug, Clone, PartialEq)]
pub enum Interrupt {
    /// Nothing to do until a time or an event.
    Waiting {
        /// The time.
        wake_at: Instant,
        /// The event.
        waits_for: Option<EventFilter>,
        /// Up to where events were looked at.
        seen: EventMark,
    },
    /// A person has to decide.
    Parked(RunError),
    /// A person asked for the end of the run.
    Cancelled,
    /// The process stops in good order; the run is given back.
    Stopping,
    /// Another worker has the run: nothing may be written.
    LeaseLost,
    /// The store does not answer: nothing can be written.
    StoreDown(StoreError),
    /// A rehearsal has come to the first step that is not over.
    Rehearsed {
        /// Where.
        path: StepPath,
        /// What.
        name: String,
        /// Whether the journal has it.
        known: bool,
    },
}

/// One pass over a script.
pub struct Turn {
    pub(super) services: Arc<Services>,
    pub(super) run: Run,
    pub(super) version: Arc<Version>,
    lease: Lease,
    /// Nothing is sent and nothing is written.
    rehearsal: bool,
    interrupted: AtomicBool,
    state: Mutex<State>,
}

struct State {
    journal: Journal,
    /// The compound steps the script is inside, each with the number of its last step; the run itself first.
    scopes: Vec<(StepPath, u32)>,
    riding: Vec<Record>,
    /// Values to be kept with the next write, and all this turn has kept: a reader may not see them yet.
    kept: Vec<(String, Value)>,
    remembered: BTreeMap<String, Value>,
    queued: Vec<Written>,
    interrupt: Option<Interrupt>,
}

/// A step the script has reached.
pub(super) struct Begun {
    pub(super) path: StepPath,
    pub(super) step: Step,
    /// Where it stands, if the journal knows it.
    pub(super) phase: Option<Phase>,
    /// When its first entry was made, if the journal knows it.
    pub(super) started_at: Option<Instant>,
}

impl Host for Turn {
    fn interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }
}

impl Turn {
    /// A turn over this run, as far as its journal goes.
    pub fn new(services: Arc<Services>, run: Run, version: Arc<Version>, lease: Lease, journal: Journal) -> Self {
        let state = State {
            journal,
            scopes: vec![(StepPath::root(), 0)],
            riding: Vec::new(),
            kept: Vec::new(),
            remembered: BTreeMap::new(),
            queued: Vec::new(),
            interrupt: None,
        };
        Self {
            services,
            run,
            version,
            lease,
            rehearsal: false,
            interrupted: AtomicBool::new(false),
            state: Mutex::new(state),
        }
    }

    /// A turn that answers from the journal alone and ends with it: nothing is sent and nothing is written.
    pub fn rehearsal(services: Arc<Services>, run: Run, version: Arc<Version>, journal: Journal) -> Self {
        let lease = Lease {
            run: run.id,
            worker: WorkerId::generate(run.created_at),
            fence: 0,
        };
        Self {
            rehearsal: true,
            ..Self::new(services, run, version, lease, journal)
        }
    }

    /// The time now.
    pub(super) fn now(&self) -> Instant {
        self.services.clock.now()
    }

    /// Waits on this thread for something asynchronous. Script threads are never the runtime's own.
    pub(super) fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.services.runtime.block_on(future)
    }

    /// Ends the turn. The first reason stays.
    pub(super) fn interrupt(&self, why: Interrupt) -> Thrown {
        self.lock().interrupt.get_or_insert(why);
        self.interrupted.store(true, Ordering::Relaxed);
        Thrown::Interrupt
    }

    /// Why the turn was interrupted, if it was.
    pub(super) fn interrupt_reason(&self) -> Option<Interrupt> {
        self.lock().interrupt.clone()
    }

    /// Ends the turn because a person has to decide.
    pub(super) fn park(&self, code: &str, message: String) -> Thrown {
        self.interrupt(Interrupt::Parked(RunError {
            code: code.to_owned(),
            message,
            trace: Vec::new(),
        }))
    }

    /// The next step of the script. Name and input, in its typed form, are compared with what the journal has at this place. A step
    /// the journal does not know does not begin when the run or the process is to end.
    pub(super) fn begin(&self, name: &str, summary: String, input: &str) -> Result<Begun, Thrown> {
        let begun = self.reach(name, summary, input)?;
        if self.rehearsal && begun.phase.is_some() && !matches!(begun.phase, Some(Phase::Done(_))) {
            return Err(self.rehearsed(begun, true));
        }
        if begun.phase.is_some() {
            return Ok(begun);
        }
        if let Some(below) = self.below(&begun.path, 1) {
            return Err(self.park(
                "diverged",
                format!("step {} is now `{name}`, but its journal has step {below}", begun.path),
            ));
        }
        if self.rehearsal {
            return Err(self.rehearsed(begun, false));
        }
        if self.services.stopping() {
            return Err(self.interrupt(Interrupt::Stopping));
        }
        if self.run.cancel_requested {
            return Err(self.interrupt(Interrupt::Cancelled));
        }
        Ok(begun)
    }

    fn rehearsed(&self, begun: Begun, known: bool) -> Thrown {
        self.interrupt(Interrupt::Rehearsed {
            path: begun.path,
            name: begun.step.name,
            known,
        })
    }

    /// The same for a step made of others: these test for themselves whether they may begin.
    fn reach(&self, name: &str, summary: String, input: &str) -> Result<Begun, Thrown> {
        if self.interrupted() {
            return Err(Thrown::Interrupt);
        }
        let fingerprint = Digest::of([name.as_bytes(), input.as_bytes()]);
        let step = Step {
            name: name.to_owned(),
            summary,
            fingerprint,
        };
        let mut state = self.lock();
        let path = state.next_path();
        let Some(known) = state.journal.step(&path) else {
            return Ok(Begun {
                path,
                step,
                phase: None,
                started_at: None,
            });
        };
        if known.step.name == step.name && known.step.fingerprint == step.fingerprint {
            let (phase, started_at) = (Some(known.phase.clone()), Some(known.started_at));
            return Ok(Begun {
                path,
                step: known.step.clone(),
                phase,
                started_at,
            });
        }
        let message = divergence(&path, &known.step, &step);
        drop(state);
        Err(self.park("diverged", message))
    }

    /// A step of the journal below a path, from a number on.
    fn below(&self, path: &StepPath, number: u32) -> Option<StepPath> {
        self.lock()
            .journal
            .step_from(path, number)
            .map(|(below, _)| below.clone())
    }

    /// Runs the inside of a step made of others. It has to reach all that the journal has there.
    fn inside<T>(&self, path: &StepPath, body: impl FnOnce() -> Result<T, Thrown>) -> Result<T, Thrown> {
        self.lock().scopes.push((path.clone(), 0));
        let result = body();
        let last = self.lock().scopes.pop().map_or(0, |(_, last)| last);
        if matches!(result, Err(Thrown::Interrupt)) {
            return result;
        }
        match self.below(path, last + 1) {
            None => result,
            Some(missed) => Err(self.park(
                "diverged",
                format!("step {path} ended before step {missed}, which its journal has"),
            )),
        }
    }

    /// A step that is computed here, once; afterwards the record answers.
    pub(super) fn local(
        &self,
        name: &str,
        input: &str,
        compute: impl FnOnce() -> Result<(Value, String), Thrown>,
    ) -> Result<Value, Thrown> {
        let begun = self.begin(name, String::new(), input)?;
        match begun.phase {
            Some(Phase::Done(outcome)) => recorded(outcome),
            Some(_) => Err(self.unfit(&begun.path)),
            None => self.conclude_local(begun.path, begun.step, compute()),
        }
    }

    /// A step made of other steps, which carry the numbers below its own.
    pub(super) fn compound(
        &self,
        name: &str,
        input: &str,
        body: impl FnOnce() -> Result<(Value, String), Thrown>,
    ) -> Result<Value, Thrown> {
        let begun = self.reach(name, String::new(), input)?;
        match begun.phase {
            Some(Phase::Done(outcome)) => return recorded(outcome),
            Some(_) => return Err(self.unfit(&begun.path)),
            None => {}
        }
        let result = self.inside(&begun.path, body);
        self.conclude_local(begun.path, begun.step, result)
    }

    /// Steps that belong together and carry the numbers below one place, without a record of their own.
    pub(super) fn group<T>(
        &self,
        name: &str,
        input: &str,
        body: impl FnOnce() -> Result<T, Thrown>,
    ) -> Result<T, Thrown> {
        let begun = self.reach(name, String::new(), input)?;
        if begun.phase.is_some() {
            return Err(self.unfit(&begun.path));
        }
        self.inside(&begun.path, body)
    }

    fn conclude_local(
        &self,
        path: StepPath,
        mut step: Step,
        result: Result<(Value, String), Thrown>,
    ) -> Result<Value, Thrown> {
        let outcome = match result {
            Ok((value, summary)) => {
                step.summary = summary;
                Outcome::Value(value)
            }
            Err(Thrown::Failure(failure)) => Outcome::Failure(failure),
            Err(Thrown::Interrupt) => return Err(Thrown::Interrupt),
        };
        self.ride(Entry::Done {
            path,
            step,
            outcome: outcome.clone(),
            began: None,
        })?;
        recorded(outcome)
    }

    /// Extends the journal; the entry is written with the next write.
    pub(super) fn ride(&self, entry: Entry) -> Result<(), Thrown> {
        let at = self.now();
        let mut state = self.lock();
        let record = Record {
            seq: state.journal.last_seq() + 1,
            at,
            entry,
        };
        match std::mem::take(&mut state.journal).next(record.clone()) {
            Ok(journal) => state.journal = journal,
            Err(illegal) => {
                drop(state);
                return Err(self.park("diverged", illegal.to_string()));
            }
        }
        // What begins an effect is committed by whoever rides it, together with the word that it does.
        let begins = matches!(record.entry, Entry::Intent { .. } | Entry::Sending { .. });
        state.riding.push(record);
        let full = state.riding.len() >= RIDING_MAX && !begins;
        drop(state);
        if full { self.queue() } else { Ok(()) }
    }

    /// Keeps a value for later runs of the workflow, in the same write as the step's entry.
    pub(super) fn keep(&self, key: String, value: Value) {
        let mut state = self.lock();
        state.remembered.insert(key.clone(), value.clone());
        state.kept.push((key, value));
    }

    /// The value this turn has kept under a key, if it has.
    pub(super) fn kept(&self, key: &str) -> Option<Value> {
        self.lock().remembered.get(key).cloned()
    }

    /// Hands all that rides to the store, in order, and goes on without waiting.
    pub(super) fn queue(&self) -> Result<(), Thrown> {
        let mut state = self.lock();
        let append = state.take_append();
        if self.rehearsal {
            return Ok(());
        }
        let written = self.services.store.append(&self.lease, append, self.now());
        state.queued.push(written);
        Ok(())
    }

    /// Writes all that rides and waits until it is durable. `begins_effect`: the last entry is an intent.
    pub(super) fn commit(&self, begins_effect: bool) -> Result<(), Thrown> {
        let mut state = self.lock();
        let mut append = state.take_append();
        append.begins_effect = begins_effect;
        let before_intent: Vec<Record> = if begins_effect {
            append.records.iter().rev().skip(1).rev().cloned().collect()
        } else {
            Vec::new()
        };
        let kept = append.state.clone();
        let written = self.services.store.append(&self.lease, append, self.now());
        let queued = std::mem::take(&mut state.queued);
        drop(state);
        let answer = self.block_on(all_of(queued, written));
        if matches!(answer, Err(StoreError::CancelRequested { .. })) {
            // Nothing of this write was taken; what came before the intent still happened.
            let mut state = self.lock();
            state.riding = before_intent;
            state.kept = kept;
        }
        answer.map_err(|error| self.interrupt(interrupt_of(error)))
    }

    /// A step whose record is of another kind than the script now asks for.
    pub(super) fn unfit(&self, path: &StepPath) -> Thrown {
        self.park(
            "diverged",
            format!("step {path} of the journal is of another kind than the script now asks for"),
        )
    }

    /// Ends the turn: what the run is left as, handed to the store by the call itself with all that still
    /// rides. The answer waits until it is durable; `false`: the run is not ours any more and nothing was written.
    pub fn settle(&self, end: Settlement) -> BoxFuture<'static, Result<bool, StoreError>> {
        let mut state = self.lock();
        let end = match state.interrupt.clone() {
            None => state.unreached().map_or(end, |message| parked("diverged", message)),
            Some(Interrupt::Waiting {
                wake_at,
                waits_for,
                seen,
            }) => Settlement::Waiting {
                wake_at,
                waits_for,
                seen,
            },
            Some(Interrupt::Parked(error)) => Settlement::Parked { error },
            Some(Interrupt::Cancelled) => Settlement::Cancelled,
            Some(Interrupt::Stopping | Interrupt::Rehearsed { .. }) => Settlement::Queued,
            Some(Interrupt::LeaseLost) => return Box::pin(ready(Ok(false))),
            // What cannot be read now may be read in a moment; what is damaged will not be.
            Some(Interrupt::StoreDown(error @ StoreError::Corrupt(_))) => parked("damaged", error.to_string()),
            Some(Interrupt::StoreDown(_)) => self.shortly(),
        };
        let end = self.with_nothing_open(&state, end);
        let mut append = state.take_append();
        append.settlement = Some(end);
        let written = self.services.store.append(&self.lease, append, self.now());
        let queued = std::mem::take(&mut state.queued);
        drop(state);
        Box::pin(async move {
            match all_of(queued, written).await {
                Ok(()) => Ok(true),
                Err(StoreError::LeaseLost { .. }) => Ok(false),
                Err(error) => Err(error),
            }
        })
    }

    /// What is wrong when the script is over and the journal is not.
    pub(super) fn unreached(&self) -> Option<String> {
        self.lock().unreached()
    }

    /// No run ends while it is not known what one of its steps did: a person decides, or, if only the end of the
    /// run was asked for, the next turn finds out first.
    fn with_nothing_open(&self, state: &State, end: Settlement) -> Settlement {
        let Some((path, record)) = state.journal.doubtful().filter(|_| end.state().is_final()) else {
            return end;
        };
        if end == Settlement::Cancelled {
            return self.shortly();
        }
        let message = format!(
            "step {path}, `{}`, was sent and its outcome was never recorded",
            record.step.name
        );
        parked("in_doubt", message)
    }

    /// To be taken again in a moment.
    fn shortly(&self) -> Settlement {
        let wake_at = self.now() + chrono::TimeDelta::seconds(1);
        Settlement::Waiting {
            wake_at,
            waits_for: None,
            seen: EventMark::default(),
        }
    }

    /// The provider's ids of the events that earlier waits of this run were given.
    pub(super) fn events_taken(&self) -> Vec<String> {
        let state = self.lock();
        let waits = state
            .journal
            .steps()
            .filter(|(_, record)| record.step.name == "wait_event");
        let taken = waits.filter_map(|(_, record)| match &record.phase {
            Phase::Done(Outcome::Value(event)) => event.get("id").and_then(Value::as_text),
            _ => None,
        });
        taken.map(str::to_owned).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Only the turn's own thread takes the lock; a panic in it ends the turn anyway.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn next_path(&mut self) -> StepPath {
        let (scope, last) = self.scopes.last_mut().expect("the run itself is always a scope");
        *last += 1;
        scope.child(*last)
    }

    fn take_append(&mut self) -> Append {
        Append {
            records: std::mem::take(&mut self.riding),
            state: std::mem::take(&mut self.kept),
            settlement: None,
            begins_effect: false,
        }
    }

    /// A script that ended before it reached a step it once began has changed.
    fn unreached(&self) -> Option<String> {
        let (_, last) = self.scopes.first()?;
        let next = StepPath::root().child(last + 1);
        let (path, record) = self.journal.steps().find(|(path, _)| **path >= next)?;
        Some(format!(
            "the script ended before step {path} (`{}`), which its journal has",
            record.step.name
        ))
    }
}

/// Waits for the writes that were handed over before, then for the last one.
async fn all_of(queued: Vec<Written>, last: Written) -> Result<(), StoreError> {
    for earlier in queued {
        earlier.await?;
    }
    last.await
}

/// What the record of a step answers.
pub(super) fn recorded(outcome: Outcome) -> Result<Value, Thrown> {
    match outcome {
        Outcome::Value(value) => Ok(value),
        Outcome::Failure(failure) => Err(Thrown::Failure(failure)),
    }
}

/// A failure the script may catch.
pub(super) fn fail(code: &str, message: impl Into<String>) -> Thrown {
    Thrown::Failure(Failure::new(code, message))
}

fn parked(code: &str, message: String) -> Settlement {
    Settlement::Parked {
        error: RunError {
            code: code.to_owned(),
            message,
            trace: Vec::new(),
        },
    }
}

fn divergence(path: &StepPath, was: &Step, is: &Step) -> String {
    if was.name == is.name {
        let was = if was.summary.is_empty() {
            String::new()
        } else {
            format!(" (it was: {})", was.summary)
        };
        return format!(
            "step {path}, `{}`, is now called with other arguments than its journal has{was}",
            is.name
        );
    }
    format!(
        "step {path} is `{}` in the journal, but the script now calls `{}`",
        was.name, is.name
    )
}

fn interrupt_of(error: StoreError) -> Interrupt {
    match error {
        StoreError::LeaseLost { .. } => Interrupt::LeaseLost,
        StoreError::CancelRequested { .. } => Interrupt::Cancelled,
        other => Interrupt::StoreDown(other),
    }
}
