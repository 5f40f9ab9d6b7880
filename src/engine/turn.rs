//! One pass of the interpreter over a script, from the top.
//!
//! A [`Turn`] is the host a script runs against. It numbers the steps, answers those the journal knows, and
//! hands the others to `step` and `wait`. What it writes goes through its `book`, which keeps the order. A branch of
//! `parallel` is a turn of its own over the same book: it has its own steps and its own end.
//!
//! An interrupt is sticky: once set, no function of the host does anything more and the script ends,
//! whatever it catches. This file must not know what a primitive does or how a request is sent.

use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::book::{Book, Next};
use super::interrupt::Interrupt;
use super::services::Services;
use super::settle::all_of;
use crate::base::clock::Instant;
use crate::base::guard::{Guard, holds};
use crate::base::ids::{Digest, WorkerId};
use crate::base::limits::STEP_SUMMARY_BYTES_MAX;
use crate::base::text::shortened;
use crate::model::journal::{Entry, Failure, Forgotten, Intent, Journal, Outcome, Phase, Step, StepPath};
use crate::model::run::{Run, RunError};
use crate::model::value::Value;
use crate::model::workflow::Version;
use crate::script::{Host, Site, Thrown};
use crate::store::{Lease, StoreError};

/// One pass over a script, or over one branch of it.
pub struct Turn {
    pub(super) services: Arc<Services>,
    pub(super) run: Arc<Run>,
    pub(super) version: Arc<Version>,
    pub(super) lease: Lease,
    /// When the run was taken. What a person may answer ends by this time, not by that at which it is looked at: an
    /// answer that was in time may have come since, and the turn does not hear of it.
    pub(super) claimed_at: Instant,
    pub(super) book: Arc<Book>,
    /// Whether no branch can do anything any more.
    all_ended: Arc<AtomicBool>,
    interrupted: AtomicBool,
    waited_nanos: AtomicU64,
    mode: Mode,
    /// How many `parallel` this is inside.
    pub(super) depth: usize,
    own: Mutex<Own>,
}

/// What a turn may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Everything.
    Driven,
    /// What changes nothing: nothing is written, no effect begins.
    Trial,
    /// Answer from the journal, and end with it.
    Rehearsal,
}

/// What no other branch of the turn knows.
pub(super) struct Own {
    /// The compound steps the script is inside, each with the number of its last step; the run itself first.
    scopes: Vec<(StepPath, u32)>,
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
    /// When it was first sent, if it was.
    pub(super) intended_at: Option<Instant>,
    /// Its newest intent, if it has one.
    pub(super) effect: Option<Box<Intent>>,
    /// Since when it is tried, if it was.
    pub(super) since: Option<Instant>,
    /// When its last entry was made, if the journal knows it.
    pub(super) updated_at: Option<Instant>,
    /// When its newest intent may have been sent by a journal that was forgotten, if it may.
    pub(super) recollected: Option<Forgotten>,
    /// What went wrong at its last attempt, if one did.
    pub(super) trouble: Option<String>,
    /// Whether it is held, or was until now.
    pub(super) is_held: bool,
}

impl Host for Turn {
    fn interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed) || self.all_ended.load(Ordering::Relaxed)
    }

    fn waited(&self) -> Duration {
        Duration::from_nanos(self.waited_nanos.load(Ordering::Relaxed))
    }
}

impl Turn {
    /// A turn over this run, as far as its journal goes.
    pub fn new(services: Arc<Services>, run: Run, version: Arc<Version>, lease: Lease, journal: Journal) -> Self {
        Self {
            claimed_at: services.clock.now(),
            services,
            run: Arc::new(run),
            version,
            lease,
            book: Arc::new(Book::new(journal)),
            all_ended: Arc::default(),
            interrupted: AtomicBool::new(false),
            waited_nanos: AtomicU64::new(0),
            mode: Mode::Driven,
            depth: 0,
            own: Mutex::new(Own {
                scopes: vec![(StepPath::root(), 0)],
                interrupt: None,
            }),
        }
    }

    /// The same turn, of a claim made at this time.
    #[must_use]
    pub(super) fn claimed_at(self, claimed_at: Instant) -> Self {
        Self { claimed_at, ..self }
    }

    /// The same turn, on trial.
    #[must_use]
    pub(super) fn on_trial(self) -> Self {
        Self {
            mode: Mode::Trial,
            ..self
        }
    }

    /// The branch of this number, from 1, below the step at this path.
    pub(super) fn branch(&self, above: &StepPath, number: u32) -> Self {
        Self {
            services: self.services.clone(),
            run: self.run.clone(),
            version: self.version.clone(),
            lease: self.lease.clone(),
            claimed_at: self.claimed_at,
            book: self.book.clone(),
            all_ended: self.all_ended.clone(),
            interrupted: AtomicBool::new(false),
            waited_nanos: AtomicU64::new(0),
            mode: self.mode,
            depth: self.depth + 1,
            own: Mutex::new(Own {
                scopes: vec![(above.clone(), number - 1)],
                interrupt: None,
            }),
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
            mode: Mode::Rehearsal,
            ..Self::new(services, run, version, lease, journal)
        }
    }

    /// The time now.
    pub(super) fn now(&self) -> Instant {
        self.services.clock.now()
    }

    /// Waits on this thread for something asynchronous. Script threads are never the runtime's own.
    pub(super) fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.outside(|| self.services.runtime.block_on(future))
    }

    /// Does what is no computing of this branch's: it waits, or lets other branches compute.
    pub(super) fn outside<T>(&self, wait: impl FnOnce() -> T) -> T {
        let began = self.services.clock.elapsed();
        let output = wait();
        let took = self.services.clock.elapsed().saturating_sub(began);
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.waited_nanos.fetch_add(nanos, Ordering::Relaxed);
        output
    }

    /// Ends the turn. The first reason stays.
    pub(super) fn interrupt(&self, why: Interrupt) -> Thrown {
        if why.ends_all() {
            self.all_ended.store(true, Ordering::Relaxed);
        }
        self.own().interrupt.get_or_insert(why);
        self.interrupted.store(true, Ordering::Relaxed);
        Thrown::Interrupt
    }

    /// A call of the script met the end of the turn here: what a person is told names the place.
    pub(super) fn ended_at(&self, site: &Site) {
        if let Some(Interrupt::Parked(error) | Interrupt::Failed(error)) = &mut self.own().interrupt
            && error.trace.is_empty()
        {
            error.trace.push(format!("{}:{}:{}", site.file, site.line, site.column));
        }
    }

    /// Why the turn was interrupted, if it was.
    pub(super) fn interrupt_reason(&self) -> Option<Interrupt> {
        self.own().interrupt.clone()
    }

    /// Ends the turn because a person has to decide.
    pub(super) fn park(&self, code: &str, message: String) -> Thrown {
        self.interrupt(Interrupt::Parked(run_error(code, message)))
    }

    /// The next step of the script. Name and input, in its typed form, are compared with what the journal has at this place. A step
    /// the journal does not know does not begin when the run or the process is to end.
    pub(super) fn begin(&self, name: &str, summary: String, input: &str) -> Result<Begun, Thrown> {
        let begun = self.reach(name, summary, input)?;
        if self.mode == Mode::Rehearsal && begun.phase.is_some() && !matches!(begun.phase, Some(Phase::Done(_))) {
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
        if self.mode == Mode::Rehearsal {
            return Err(self.rehearsed(begun, false));
        }
        if let Some(error) = self.book.open().full() {
            return Err(self.interrupt(Interrupt::Failed(error)));
        }
        if self.services.stopping() {
            return Err(self.interrupt(Interrupt::Stopping));
        }
        if self.run.cancel_requested && holds(Guard::CancelBegins) {
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
        let path = self.own().next_path();
        let mut pages = self.book.open();
        if let Err(illegal) = pages.whole() {
            drop(pages);
            return Err(self.park("diverged", illegal.to_string()));
        }
        pages.unmet = pages
            .unmet
            .saturating_sub(usize::from(pages.journal.step(&path).is_some()));
        let Some(known) = pages.journal.step(&path) else {
            return Ok(Begun {
                path,
                step,
                phase: None,
                started_at: None,
                intended_at: None,
                effect: None,
                since: None,
                updated_at: None,
                recollected: None,
                trouble: None,
                is_held: false,
            });
        };
        let same = known.step.name == step.name && known.step.fingerprint == step.fingerprint;
        if same || !holds(Guard::SameStep) {
            let (phase, started_at) = (Some(known.phase.clone()), Some(known.started_at));
            return Ok(Begun {
                path,
                step: known.step.clone(),
                phase,
                started_at,
                intended_at: known.intended_at,
                effect: known.effect.clone(),
                since: Some(known.since),
                updated_at: Some(known.updated_at),
                recollected: known.effect.as_ref().and_then(|intent| intent.forgotten),
                trouble: known.trouble.clone(),
                is_held: known.is_held,
            });
        }
        let message = divergence(&path, &known.step, &step);
        drop(pages);
        Err(self.park("diverged", message))
    }

    /// A step of the journal below a path, from a number on.
    fn below(&self, path: &StepPath, number: u32) -> Option<StepPath> {
        self.book
            .open()
            .journal
            .step_from(path, number)
            .map(|(below, _)| below.clone())
    }

    /// Runs the inside of a step made of others. It has to reach all that the journal has there.
    fn inside<T>(&self, path: &StepPath, body: impl FnOnce() -> Result<T, Thrown>) -> Result<T, Thrown> {
        self.own().scopes.push((path.clone(), 0));
        let result = body();
        let last = self.own().scopes.pop().map_or(0, |(_, last)| last);
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
        if self.below(&begun.path, 1).is_none()
            && let Some(error) = self.book.open().full()
        {
            return Err(self.interrupt(Interrupt::Failed(error)));
        }
        let result = self.inside(&begun.path, body);
        self.conclude_local(begun.path, begun.step, result)
    }

    /// Whether an earlier turn has come further than this in the compound step the script is inside: what is read from
    /// here on was read then, and may not hold any more.
    pub(super) fn was_further(&self) -> bool {
        let (scope, numbers) = self.take_numbers(0);
        self.below(&scope, *numbers.start()).is_some()
    }

    /// The path of the compound step the script is inside, whose next steps are branches with these numbers.
    pub(super) fn take_numbers(&self, count: u32) -> (StepPath, std::ops::RangeInclusive<u32>) {
        let mut own = self.own();
        let (scope, last) = own.innermost();
        let first = *last + 1;
        *last += count;
        (scope.clone(), first..=*last)
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
                step.summary = shortened(summary, STEP_SUMMARY_BYTES_MAX);
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
        self.ride_numbered(entry)?;
        if self.book.open().is_full() {
            self.queue();
        }
        Ok(())
    }

    fn ride_numbered(&self, entry: Entry) -> Result<u64, Thrown> {
        let at = self.now();
        let ridden = self.book.open().ride(at, entry);
        ridden.map_err(|illegal| self.park("diverged", illegal.to_string()))
    }

    /// Keeps a value for later runs of the workflow, in the same write as the step's entry.
    pub(super) fn keep(&self, key: String, value: Value) {
        self.book.open().keep(key, value);
    }

    /// The value this turn has kept under a key, if it has.
    pub(super) fn kept(&self, key: &str) -> Option<Value> {
        self.book.open().remembered.get(key).cloned()
    }

    /// Hands all that rides to the store, in order, and goes on without waiting.
    pub(super) fn queue(&self) {
        if self.mode != Mode::Driven {
            return;
        }
        let mut pages = self.book.open();
        if pages.may_hand_over() {
            let append = pages.take_append();
            let written = self.services.store.append(&self.lease, append, self.now());
            pages.handed_over(written);
        }
    }

    /// Whether the run goes on by this turn.
    pub(super) fn is_driven(&self) -> bool {
        self.mode == Mode::Driven
    }

    /// Ends the turn unless something may be written.
    pub(super) fn driven(&self) -> Result<(), Thrown> {
        match self.is_driven() {
            true => Ok(()),
            false => Err(self.interrupt(Interrupt::Stopping)),
        }
    }

    /// Extends the journal by the beginning of an effect, and waits until that is durable with all that rides.
    pub(super) fn begin_effect(&self, entry: Entry) -> Result<(), Thrown> {
        if self.mode != Mode::Driven {
            return Err(self.interrupt(Interrupt::Stopping));
        }
        let path = entry.path().clone();
        let waits = match entry {
            Entry::Sending { .. } => holds(Guard::ResendDurable),
            _ => holds(Guard::IntentDurable),
        };
        let ridden = self.ride_numbered(entry)?;
        if waits {
            self.commit_up_to(ridden, Some(&path))
        } else {
            Ok(())
        }
    }

    /// Waits until all that rides is durable.
    pub(super) fn commit(&self) -> Result<(), Thrown> {
        if self.mode != Mode::Driven {
            return Err(self.interrupt(Interrupt::Stopping));
        }
        let ridden = self.book.open().ridden();
        self.commit_up_to(ridden, None)
    }

    fn commit_up_to(&self, ridden: u64, effect: Option<&StepPath>) -> Result<(), Thrown> {
        loop {
            match self.outside(|| self.book.next(ridden, effect)) {
                Next::Durable => return Ok(()),
                Next::Refused => return Err(self.interrupt(Interrupt::Cancelled)),
                Next::Lost(error) => return Err(self.interrupt(interrupt_of(error))),
                Next::Write(append, queued, copy) => {
                    let written = self.services.store.append(&self.lease, *append, self.now());
                    let answer = self.block_on(all_of(queued, written));
                    if self.book.answer(copy, answer) {
                        self.queue();
                    }
                }
            }
        }
    }

    /// A step whose record is of another kind than the script now asks for.
    pub(super) fn unfit(&self, path: &StepPath) -> Thrown {
        self.park(
            "diverged",
            format!("step {path} of the journal is of another kind than the script now asks for"),
        )
    }

    /// What is wrong when the script is over and the journal is not.
    pub(super) fn unreached(&self) -> Option<String> {
        let pages = self.book.open();
        self.own().unreached(&pages.journal)
    }

    /// Whether the journal has steps that no branch of the script has come to.
    pub(super) fn has_unmet(&self) -> bool {
        self.book.open().unmet > 0
    }

    /// The provider's ids of the events that other waits of this run were given.
    pub(super) fn events_taken(&self) -> Vec<String> {
        let pages = self.book.open();
        let waits = pages
            .journal
            .steps()
            .filter(|(_, record)| record.step.name == "wait_event");
        let taken = waits.filter_map(|(_, record)| match &record.phase {
            Phase::Done(Outcome::Value(event)) => event.get("id").and_then(Value::as_text),
            _ => None,
        });
        let now_taken = pages.events_taken.iter().cloned();
        let taken = taken.map(str::to_owned).chain(now_taken);
        taken.filter(|_| holds(Guard::EventTakenOnce)).collect()
    }

    /// Takes an event for a wait of this branch; `false` if a wait of another branch was faster.
    pub(super) fn take_event(&self, provider_id: &str) -> bool {
        self.book.open().events_taken.insert(provider_id.to_owned()) || !holds(Guard::EventTakenOnce)
    }

    pub(super) fn own(&self) -> MutexGuard<'_, Own> {
        // Only the branch's own thread takes the lock; a panic in it ends the turn anyway.
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Own {
    fn innermost(&mut self) -> &mut (StepPath, u32) {
        self.scopes.last_mut().expect("the run itself is always a scope")
    }

    fn next_path(&mut self) -> StepPath {
        let (scope, last) = self.innermost();
        *last += 1;
        scope.child(*last)
    }

    /// A script that ended before it reached a step it once began has changed.
    pub(super) fn unreached(&self, journal: &Journal) -> Option<String> {
        let (_, last) = self.scopes.first()?;
        let next = StepPath::root().child(last + 1);
        let (path, record) = journal
            .steps()
            .find(|(path, _)| **path >= next && holds(Guard::EveryStepReached))?;
        Some(format!(
            "the script ended before step {path} (`{}`), which its journal has",
            record.step.name
        ))
    }
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

pub(super) fn run_error(code: &str, message: String) -> RunError {
    RunError {
        code: code.to_owned(),
        message,
        trace: Vec::new(),
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
