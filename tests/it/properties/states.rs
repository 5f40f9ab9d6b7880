//! Runs and steps against a small model: whatever is asked of the store, in whatever order, it answers as the model
//! does and leaves what the model has.
//!
//! The model is a second statement of the rules, in as few words as possible. It knows one run with its steps. Many
//! runs are looked at together, each with a model of its own: what is asked for at once meets in one commit, as it does
//! in the product, and no run may be moved by what happens to its neighbours.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bursar::base::clock::Instant;
use bursar::base::ids::{Digest, RunId};
use bursar::model::journal::{
    Doubt, Entry, Intent, Journal, Outcome, Record, Resolution, Retry, Step, StepPath, StoredRequest, earlier,
};
use bursar::model::run::{Cause, EventMark, NewRun, Run, RunError, RunState, Settlement};
use bursar::model::value::Value;
use bursar::store::sqlite::{Durability, OnFailure, SqliteOptions, SqliteStore};
use bursar::store::{Append, Claim, Decision, Lease, Store, StoreError};
use chrono::{DateTime, TimeDelta};
use serde_json::json;

use super::Figure;
use super::batch::Batch;

pub(super) const OPERATIONS_MAX: usize = 60;
pub(super) const LEASE_SECS: i64 = 30;
/// Runs that are looked at together.
pub(super) const TOGETHER: usize = 100;

pub(super) fn at(seconds: i64) -> Instant {
    DateTime::from_timestamp(1_767_225_600 + seconds, 0).expect("a valid instant")
}

/// Where the one effect that may be open stands.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Effect {
    None,
    /// Sent; after so many failed attempts; whether one that was heard of may have happened; whether one is under way.
    Sent {
        attempts: u32,
        unknown: bool,
        under_way: bool,
    },
    Doubt,
    Cleared,
}

impl Effect {
    fn is_doubtful(self) -> bool {
        match self {
            Self::Doubt => true,
            Self::Sent { unknown, under_way, .. } => unknown || under_way,
            Self::None | Self::Cleared => false,
        }
    }

    /// Its outcome is to be found out, or decided about, before the run may end.
    fn is_open(self) -> bool {
        matches!(self, Self::Sent { .. } | Self::Doubt)
    }
}

/// What an answer comes to.
#[derive(Debug, Clone, PartialEq)]
enum Said {
    Done,
    State(RunState),
    LeaseLost,
    EndAsked,
    Conflict,
}

fn said<T>(answer: Result<T, StoreError>, done: impl FnOnce(T) -> Said) -> Said {
    match answer {
        Ok(value) => done(value),
        Err(StoreError::LeaseLost { .. }) => Said::LeaseLost,
        Err(StoreError::CancelRequested { .. }) => Said::EndAsked,
        Err(StoreError::Conflict(_)) => Said::Conflict,
        Err(other) => panic!("{other}"),
    }
}

/// One run, as the rules have it.
pub(super) struct Model {
    pub(super) state: RunState,
    turns: u32,
    /// Who holds it until when, while it runs.
    pub(super) held: Option<(Lease, i64)>,
    /// The lease before, which has to be worth nothing.
    former: Option<Lease>,
    pub(super) wake_at: i64,
    end_asked: bool,
    /// Turn and journal at the last end of the process under it, and how many of these followed each other.
    deaths: Option<(u32, usize, u32)>,
    effect: Effect,
    epoch: u32,
    records: Vec<Record>,
    /// Number of the last step.
    steps: u32,
    now: i64,
}

/// A run in the store, the model of it, and what is left to be asked of it.
pub(super) struct Case<'a> {
    store: &'a dyn Store,
    pub(super) run: RunId,
    pub(super) model: Model,
    random: fastrand::Rng,
    pub(super) operations_left: usize,
    pub(super) did: Vec<String>,
}

impl<'a> Case<'a> {
    /// The later the number, the newer the run.
    pub(super) async fn new(store: &'a dyn Store, number: i64, longest: usize, mut random: fastrand::Rng) -> Self {
        let new = NewRun {
            id: RunId::generate(at(number)),
            workflow: "test".to_owned(),
            version: Digest::of([b"test".as_slice()]),
            cause: Cause::Manual {
                actor: "tess".to_owned(),
                reason: None,
                key: None,
            },
            event: json!({}).into(),
            params: json!({}),
            created_at: at(0),
            concurrency: None,
        };
        let run = new.id;
        store.create_run(new).await.expect("made");
        let model = Model {
            state: RunState::Queued,
            turns: 0,
            held: None,
            former: None,
            wake_at: 0,
            end_asked: false,
            deaths: None,
            effect: Effect::None,
            epoch: 0,
            records: Vec::new(),
            steps: 0,
            now: 0,
        };
        Self {
            store,
            run,
            model,
            operations_left: random.usize(1..=longest),
            random,
            did: Vec::new(),
        }
    }

    /// Something is asked of the run, or happens to it.
    fn does(&mut self, what: impl std::fmt::Display) {
        self.operations_left = self.operations_left.saturating_sub(1);
        self.did.push(format!("{what}:{}", self.model.state));
    }

    fn seq(&self) -> u32 {
        u32::try_from(self.model.records.len()).expect("few") + 1
    }

    fn record(&self, entry: Entry) -> Record {
        Record {
            seq: self.seq(),
            at: at(self.model.now),
            entry,
        }
    }

    fn path(&self) -> StepPath {
        StepPath::root().child(self.model.steps)
    }

    /// Appends under the present lease, or under one that is none any more.
    async fn append(&mut self, append: Append, fits: bool) -> bool {
        let lease = match (&self.model.held, &self.model.former) {
            (Some((lease, _)), _) => lease.clone(),
            (None, Some(former)) => former.clone(),
            (None, None) => return false,
        };
        let expected = match self.model.held {
            None => Said::LeaseLost,
            Some(_) if append.begins_effect && self.model.end_asked => Said::EndAsked,
            Some(_) if !fits => Said::Conflict,
            Some(_) => Said::Done,
        };
        let records = append.records.clone();
        let answer = self.store.append(&lease, append, at(self.model.now)).await;
        assert_eq!(said(answer, |()| Said::Done), expected, "{:?}", self.did);
        let done = expected == Said::Done;
        if done {
            self.model.records.extend(records);
        }
        done
    }

    /// A worker took it.
    pub(super) fn claimed(&mut self, claim: Claim, until: i64) {
        self.does("claim");
        assert_eq!(self.model.state, RunState::Queued, "{:?}", self.did);
        self.model.turns += 1;
        assert_eq!((claim.run.id, claim.run.turns), (self.run, self.model.turns));
        assert_eq!(claim.run.cancel_requested, self.model.end_asked);
        assert_eq!(claim.records, self.model.records, "{:?}", self.did);
        self.model.state = RunState::Running;
        self.model.held = Some((claim.lease, until));
    }

    fn lose(&mut self, state: RunState) {
        self.model.state = state;
        if let Some((lease, _)) = self.model.held.take() {
            self.model.former = Some(lease);
        }
    }

    async fn local(&mut self, count: u32) {
        // An effect that is open is the last step: nothing begins beside it.
        if self.model.effect != Effect::None {
            return;
        }
        let mut records = Vec::new();
        for number in 1..=count {
            let entry = Entry::Done {
                path: StepPath::root().child(self.model.steps + number),
                step: step(),
                outcome: Outcome::Value(Value::Int(number.into())),
                began: None,
            };
            let record = self.record(entry);
            records.push(Record {
                seq: record.seq + number - 1,
                ..record
            });
        }
        let append = Append {
            records,
            ..Append::default()
        };
        if self.append(append, true).await {
            self.model.steps += count;
        }
    }

    async fn intend(&mut self) {
        let again = self.model.effect == Effect::Cleared;
        if self.model.effect != Effect::None && !again {
            return;
        }
        if !again {
            self.model.steps += 1;
            self.model.epoch = 0;
        }
        let entry = Entry::Intent {
            path: self.path(),
            step: step(),
            intent: Box::new(intent(self.model.epoch)),
        };
        let append = Append {
            records: vec![self.record(entry)],
            begins_effect: true,
            ..Append::default()
        };
        if self.append(append, true).await {
            self.model.effect = Effect::Sent {
                attempts: 0,
                unknown: false,
                under_way: true,
            };
        } else if !again {
            self.model.steps -= 1;
        }
    }

    /// What an open effect comes to.
    async fn hear(&mut self, word: u8) {
        let Effect::Sent { attempts, unknown, .. } = self.model.effect else {
            return;
        };
        let path = self.path();
        let (entry, effect) = match word {
            0 => {
                let outcome = Outcome::Value(Value::Null);
                (Entry::Outcome { path, outcome }, Effect::None)
            }
            1 => {
                let doubt = Doubt {
                    code: "in_doubt".to_owned(),
                    message: "no answer".to_owned(),
                };
                (
                    Entry::InDoubt {
                        path,
                        step: step(),
                        doubt,
                    },
                    Effect::Doubt,
                )
            }
            _ => {
                let attempt = attempts + 1;
                let retry = Retry {
                    attempt,
                    unknown: word == 2,
                    reason: "no answer".to_owned(),
                    at: at(self.model.now + 1),
                    look_up: false,
                    waits: false,
                };
                let unknown = unknown || word == 2;
                (
                    Entry::Retry {
                        path,
                        step: step(),
                        retry,
                    },
                    Effect::Sent {
                        attempts: attempt,
                        unknown,
                        under_way: false,
                    },
                )
            }
        };
        let append = Append {
            records: vec![self.record(entry)],
            ..Append::default()
        };
        if self.append(append, true).await {
            self.model.effect = effect;
        }
    }

    async fn settle(&mut self, settlement: Settlement) {
        let mut left = settlement.state();
        let sleeps = matches!(left, RunState::Waiting | RunState::Queued);
        if sleeps && self.model.end_asked && !self.model.effect.is_open() {
            left = RunState::Cancelled;
        }
        let wake_at = match &settlement {
            Settlement::Waiting { wake_at, .. } => (*wake_at - at(0)).num_seconds(),
            _ => 0,
        };
        let append = Append {
            settlement: Some(settlement),
            ..Append::default()
        };
        if self.append(append, true).await {
            self.lose(left);
            self.model.wake_at = wake_at;
        }
    }

    async fn cancel(&mut self) {
        let model = &self.model;
        let (expected, ends) = match model.state {
            RunState::Cancelled => (Said::State(RunState::Cancelled), false),
            RunState::Succeeded | RunState::Failed => (Said::Conflict, false),
            RunState::Running => (Said::State(RunState::Running), false),
            RunState::Parked if model.effect.is_doubtful() => (Said::Conflict, false),
            RunState::Queued | RunState::Waiting if model.effect.is_open() => (Said::State(RunState::Queued), false),
            RunState::Queued | RunState::Pending | RunState::Waiting | RunState::Parked => {
                (Said::State(RunState::Cancelled), true)
            }
        };
        let answer = self.store.cancel(self.run, "tess", "a mistake", at(model.now)).await;
        assert_eq!(said(answer, Said::State), expected, "{:?}", self.did);
        if ends {
            self.model.state = RunState::Cancelled;
        } else if let Said::State(state) = expected
            && !state.is_final()
        {
            self.model.end_asked = true;
            self.model.state = state;
        }
    }

    async fn resolve(&mut self, resolution: Resolution, names_step: bool, knows: bool) {
        let parked = self.model.state == RunState::Parked;
        let effect = self.model.effect;
        let expected = if names_step {
            parked && effect.is_open() && (knows || resolution == Resolution::Retry)
        } else {
            parked && !effect.is_doubtful() && matches!(resolution, Resolution::Fail | Resolution::Retry)
        };
        let path = names_step.then(|| self.path());
        if path.as_ref().is_some_and(|path| path.depth() == 0) {
            return;
        }
        let of_step = path.as_ref().map(|path| earlier(&self.model.records, path).len());
        let known = u32::try_from(of_step.unwrap_or(0)).expect("few");
        let decision = Decision {
            run: self.run,
            path: path.clone(),
            resolution: resolution.clone(),
            actor: "tess".to_owned(),
            reason: "looked".to_owned(),
            after: if knows { known } else { known + 1 },
            at: at(self.model.now),
        };
        let answer = self.store.resolve(decision).await;
        let wanted = if expected { Said::Done } else { Said::Conflict };
        assert_eq!(said(answer, |()| Said::Done), wanted, "{:?}", self.did);
        let Some(path) = path.filter(|_| expected) else {
            match resolution {
                _ if !expected => {}
                Resolution::Fail => self.model.state = RunState::Failed,
                _ => self.goes_on(),
            }
            return;
        };
        self.model.effect = match &resolution {
            Resolution::Retry => Effect::Sent {
                attempts: 0,
                unknown: true,
                under_way: false,
            },
            Resolution::Resend => {
                self.model.epoch += 1;
                Effect::Cleared
            }
            Resolution::Fail | Resolution::Adopt { .. } => Effect::None,
        };
        let entry = Entry::Resolved {
            path,
            resolution,
            actor: "tess".to_owned(),
            reason: "looked".to_owned(),
        };
        let record = self.record(entry);
        self.model.records.push(record);
        self.goes_on();
    }

    fn goes_on(&mut self) {
        self.model.state = RunState::Queued;
        self.model.deaths = None;
    }

    /// The process comes back after an end without a word.
    pub(super) fn comes_back(&mut self) {
        self.does("death");
        let model = &mut self.model;
        let running = model.state == RunState::Running;
        if !matches!(model.state, RunState::Running | RunState::Queued | RunState::Parked) {
            model.deaths = None;
        }
        if !running {
            return;
        }
        // Deaths follow each other if nothing came between, not even a line in the journal.
        let length = model.records.len();
        let times = match model.deaths {
            Some((turn, before, times)) if turn + 1 == model.turns && before == length => times + 1,
            _ => 1,
        };
        model.deaths = Some((model.turns, length, times));
        self.lose(if times > 1 { RunState::Parked } else { RunState::Queued });
    }

    /// It is so late now. Says whether the run is queued for that.
    pub(super) fn time_passes(&mut self, now: i64) -> bool {
        self.model.now = now;
        let lapses = self.model.held.as_ref().is_some_and(|(_, until)| *until <= now);
        let wakes = self.model.state == RunState::Waiting && self.model.wake_at <= now;
        if lapses || wakes {
            self.does("wake");
            self.lose(RunState::Queued);
        }
        lapses || wakes
    }

    /// What is asked of this run alone.
    pub(super) async fn act(&mut self) {
        let mut kind = self.random.u8(5..22);
        // What only a person can do has an effect only where a person is asked for; elsewhere it is refused, which
        // need not be seen so often.
        if (17..=20).contains(&kind) && self.model.state != RunState::Parked && self.random.u8(..3) > 0 {
            kind = self.random.u8(5..=14);
        }
        self.does(kind);
        match kind {
            5 | 6 => {
                let count = self.random.u32(1..=4);
                self.local(count).await;
            }
            7..=9 => self.intend().await,
            10..=12 => {
                let word = self.random.u8(..4);
                self.hear(word).await;
            }
            13 => self.settle(Settlement::Queued).await,
            14 => {
                let settlement = Settlement::Waiting {
                    wake_at: at(self.model.now + self.random.i64(1..40)),
                    waits_for: Vec::new(),
                    seen: EventMark::default(),
                };
                self.settle(settlement).await;
            }
            15 | 16 => self.settle(Settlement::Parked { error: error() }).await,
            17 if self.random.u8(..3) == 0 => {
                let ends = [
                    Settlement::Succeeded { result: json!(1) },
                    Settlement::Failed { error: error() },
                    Settlement::Cancelled,
                ];
                let end = ends[self.random.usize(..3)].clone();
                self.settle(end).await;
            }
            17 | 18 if self.random.bool() => self.cancel().await,
            17..=20 => {
                let words = [Resolution::Retry, Resolution::Resend, Resolution::Fail];
                let resolution = words[self.random.usize(..3)].clone();
                let names_step = self.random.u8(..4) > 0;
                let knows = self.random.u8(..4) > 0;
                self.resolve(resolution, names_step, knows).await;
            }
            _ => self.overstep().await,
        }
    }

    /// What must never be taken: a gap, and what a former holder still writes.
    async fn overstep(&mut self) {
        let entry = Entry::Done {
            path: StepPath::root().child(900),
            step: step(),
            outcome: Outcome::Value(Value::Null),
            began: None,
        };
        let mut record = self.record(entry);
        let alone = |record: &Record| Append {
            records: vec![record.clone()],
            ..Append::default()
        };
        let former = self.model.former.as_ref();
        let late = former.map(|former| self.store.append(former, alone(&record), at(self.model.now)));
        record.seq += 1;
        self.append(alone(&record), false).await;
        if let Some(late) = late {
            assert_eq!(said(late.await, |()| Said::Done), Said::LeaseLost, "{:?}", self.did);
        }
    }

    pub(super) fn compare(&self, run: &Run) {
        let seen = (run.id, run.state, run.turns, run.cancel_requested);
        let model = &self.model;
        let expected = (self.run, model.state, model.turns, model.end_asked);
        assert_eq!(seen, expected, "{:?}", self.did);
    }

    pub(super) async fn compare_journal(&self) {
        let found = self.store.journal(self.run).await.expect("read");
        assert_eq!(found, self.model.records, "{:?}", self.did);
        assert!(Journal::from_records(found).is_ok(), "{:?}", self.did);
    }

    /// A step towards its end.
    pub(super) async fn end(&mut self) {
        match self.model.state {
            RunState::Running => self.settle(Settlement::Failed { error: error() }).await,
            RunState::Parked => {
                let open = self.model.effect.is_open();
                self.resolve(Resolution::Fail, open, true).await;
            }
            _ => {}
        }
    }
}

fn step() -> Step {
    Step {
        name: "bank.create_payout".to_owned(),
        summary: String::new(),
        fingerprint: Digest::of([b"step".as_slice()]),
    }
}

fn intent(epoch: u32) -> Intent {
    Intent {
        connection: "bank".to_owned(),
        endpoint: "create_payout".to_owned(),
        epoch,
        key: Some("key".to_owned()),
        key_safe_until: Some(at(0) + TimeDelta::hours(1)),
        reference: "ref".to_owned(),
        fingerprint: Digest::of([b"payout".as_slice()]),
        request: StoredRequest {
            method: "POST".to_owned(),
            path: "/payouts".to_owned(),
            headers: Vec::new(),
            body: None,
        },
        movement: None,
        forgotten: None,
        before: std::collections::BTreeMap::new(),
        exclusive: None,
    }
}

fn error() -> RunError {
    RunError {
        code: "in_doubt".to_owned(),
        message: "no answer".to_owned(),
        trace: Vec::new(),
    }
}

async fn open(folder: &Path) -> Arc<dyn Store> {
    let options = SqliteOptions {
        durability: Durability::Normal,
        on_failure: OnFailure::Poison,
    };
    SqliteStore::open(folder, options).await.expect("a store")
}

#[test]
fn a_run_goes_where_the_model_says_whatever_is_asked_of_it() {
    let figure = Figure::of(100_000, 1_000_000);
    let operations = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for part in 0..2 {
            let operations = &operations;
            scope.spawn(move || {
                let runtime = tokio::runtime::Builder::new_multi_thread()
                    .worker_threads(1)
                    .enable_all()
                    .build();
                runtime.expect("a runtime").block_on(async {
                    let folder = tempfile::tempdir().expect("a folder");
                    let store = open(folder.path()).await;
                    for first in (part * TOGETHER..figure.cases).step_by(2 * TOGETHER) {
                        let failed = super::Case { figure, case: first };
                        let count = TOGETHER.min(figure.cases - first);
                        let mut batch = Batch::new(store.as_ref(), first, count, figure.random(first)).await;
                        operations.fetch_add(batch.run().await, Ordering::Relaxed);
                        batch.end().await;
                        failed.passed();
                    }
                    store.close().await.expect("closed");
                });
            });
        }
    });
    let operations = operations.into_inner();
    figure.report(&format!("sequences of {operations} operations on runs and steps"));
}
