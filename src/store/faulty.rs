//! A store that fails at a chosen write: how tests stop an engine at every place where it could stop.
//!
//! It wraps a real store and counts the calls that write. At the chosen one it fails, before the write or
//! after it, and then answers nothing any more, as a process that died would. Must not change what is
//! written.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use super::{
    Acceptance, Accepted, Admitted, Answer, Append, ApprovalDecision, BackfillMark, Claim, Decision, EventQuery,
    Exclusion, Holder, Lease, Made, OpenMovements, Release, Reservation, Restored, Routed, Routing, RunQuery, SlotKey,
    SlotQuery, SlotRun, Store, StoreError, Unrouted, Written,
};
use crate::base::clock::Instant;
use crate::base::ids::{Digest, EventId, RunId, WorkerId};
use crate::model::breaker::Tripped;
use crate::model::event::{Event, EventFilter};
use crate::model::fate::Fate;
use crate::model::journal::{Entry, Record};
use crate::model::run::{EventMark, NewRun, Run, RunError, RunState};
use crate::model::unmade::{ClockDoubt, Pause, Resumption, Unmade};
use crate::model::value::Value;
use crate::model::workflow::Version;

/// Where to fail. Writes count from 1, in the order of the calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fault {
    /// Nowhere: to learn how many writes there are.
    #[default]
    Never,
    /// The write does not happen.
    Before(u64),
    /// The write happens, but its caller is told that it failed.
    After(u64),
    /// The call itself panics, and all later ones are answered.
    Panic(u64),
    /// What became of an effect is held back, until so many runs have come to that; then it is lost for all of them.
    Unheard(usize),
    /// After so many reservations, so many come too late: others moved money of the same accounts meanwhile.
    Overtaken {
        /// How many are in time.
        after: u64,
        /// How many are not.
        times: u64,
    },
}

/// What happens while an append is on its way.
pub type Meanwhile = Box<dyn Fn(&Append) + Send + Sync>;

/// A store that fails at a chosen write.
pub struct Faulty {
    inner: Arc<dyn Store>,
    fault: Fault,
    writes: AtomicU64,
    reservations: AtomicU64,
    dead: Arc<AtomicBool>,
    /// Runs whose word on an effect is held back.
    unheard: Mutex<BTreeSet<RunId>>,
    died: Arc<Notify>,
    /// See [`Faulty::slow`].
    meanwhile: Option<Meanwhile>,
}

impl Faulty {
    /// Wraps a store.
    pub fn new(inner: Arc<dyn Store>, fault: Fault) -> Arc<Self> {
        Arc::new(Self {
            inner,
            fault,
            writes: AtomicU64::new(0),
            reservations: AtomicU64::new(0),
            dead: Arc::new(AtomicBool::new(false)),
            unheard: Mutex::new(BTreeSet::new()),
            died: Arc::new(Notify::new()),
            meanwhile: None,
        })
    }

    /// A store that fails nowhere, but whose appends take their time: the world goes on before they are answered.
    pub fn slow(inner: Arc<dyn Store>, meanwhile: Meanwhile) -> Arc<Self> {
        Arc::new(Self {
            inner,
            fault: Fault::Never,
            writes: AtomicU64::new(0),
            reservations: AtomicU64::new(0),
            dead: Arc::new(AtomicBool::new(false)),
            unheard: Mutex::new(BTreeSet::new()),
            died: Arc::new(Notify::new()),
            meanwhile: Some(meanwhile),
        })
    }

    /// How many writes were asked for, the failed one included.
    pub fn writes(&self) -> u64 {
        self.writes.load(Ordering::SeqCst)
    }

    /// Whether the fault was met.
    pub fn is_dead(&self) -> bool {
        self.dead.load(Ordering::SeqCst)
    }

    fn refused<'a, T: Send + 'a>(&self) -> Answer<'a, T> {
        Box::pin(std::future::ready(Err(stopped(self.fault))))
    }

    /// Writes keep their order: after one that is held back come no others of its run.
    fn is_held_back(&self, run: RunId) -> bool {
        self.unheard
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(&run)
    }

    /// Holds a write back that says what became of an effect; the last one awaited is the end.
    fn hold_back(&self, run: RunId, runs: usize) -> Written {
        let mut unheard = self.unheard.lock().unwrap_or_else(PoisonError::into_inner);
        unheard.insert(run);
        if unheard.len() >= runs {
            self.dead.store(true, Ordering::SeqCst);
            self.died.notify_waiters();
        }
        let (dead, died, fault) = (self.dead.clone(), self.died.clone(), self.fault);
        Box::pin(async move {
            loop {
                // Registered before the check, so that the end in between is not missed.
                let ended = died.notified();
                if dead.load(Ordering::SeqCst) {
                    return Err(stopped(fault));
                }
                ended.await;
            }
        })
    }

    /// Decides at the moment of the call, as a real store queues at the moment of the call.
    fn write<'a, T: Send + 'a>(&self, write: impl FnOnce() -> Answer<'a, T>) -> Answer<'a, T> {
        if self.is_dead() {
            return self.refused();
        }
        let number = self.writes.fetch_add(1, Ordering::SeqCst) + 1;
        assert!(self.fault != Fault::Panic(number), "the store panics on purpose");
        if self.fault == Fault::Before(number) {
            self.dead.store(true, Ordering::SeqCst);
            return self.refused();
        }
        let last = self.fault == Fault::After(number);
        if last {
            self.dead.store(true, Ordering::SeqCst);
        }
        let answer = write();
        let (dead, fault) = (self.dead.clone(), self.fault);
        Box::pin(async move {
            let answer = answer.await;
            // A dead process hears nothing, not even of writes that were under way when it died.
            if last || dead.load(Ordering::SeqCst) {
                Err(stopped(fault))
            } else {
                answer
            }
        })
    }

    fn read<'a, T: Send + 'a>(&'a self, read: impl FnOnce() -> Answer<'a, T>) -> Answer<'a, T> {
        if self.is_dead() { self.refused() } else { read() }
    }
}

fn tells_of_an_effect(entry: &Entry) -> bool {
    matches!(
        entry,
        Entry::Retry { .. } | Entry::Outcome { .. } | Entry::InDoubt { .. }
    )
}

fn stopped(fault: Fault) -> StoreError {
    StoreError::Unavailable(format!("stopped on purpose ({fault:?})"))
}

impl Store for Faulty {
    fn admit(&self, event: Event) -> Answer<'_, Admitted> {
        self.write(|| self.inner.admit(event))
    }

    fn unrouted(&self, limit: u32, bytes_max: usize) -> Answer<'_, Unrouted> {
        self.read(|| self.inner.unrouted(limit, bytes_max))
    }

    fn behind(&self) -> Answer<'_, BTreeSet<String>> {
        self.read(|| self.inner.behind())
    }

    fn unrouted_by<'a>(&'a self, workflow: &'a str, limit: u32, bytes_max: usize) -> Answer<'a, Unrouted> {
        self.read(|| self.inner.unrouted_by(workflow, limit, bytes_max))
    }

    fn route(&self, routing: Routing) -> Answer<'_, Routed> {
        self.write(|| self.inner.route(routing))
    }

    fn create_run(&self, run: NewRun) -> Answer<'_, Made> {
        self.write(|| self.inner.create_run(run))
    }

    fn pass_over(&self, unmade: Unmade) -> Answer<'_, ()> {
        self.write(|| self.inner.pass_over(unmade))
    }

    fn unmade<'a>(&'a self, workflow: Option<&'a str>, limit: u32) -> Answer<'a, Vec<Unmade>> {
        self.read(|| self.inner.unmade(workflow, limit))
    }

    fn save_version(&self, version: Version) -> Answer<'_, ()> {
        self.write(|| self.inner.save_version(version))
    }

    fn settled_until<'a>(
        &'a self,
        workflow: &'a str,
        schedule: &'a str,
        timezone: &'a str,
        not_after: Instant,
    ) -> Answer<'a, Option<Instant>> {
        self.read(|| self.inner.settled_until(workflow, schedule, timezone, not_after))
    }

    fn settle_slots(&self, key: SlotKey, until: Instant) -> Answer<'_, ()> {
        self.write(|| self.inner.settle_slots(key, until))
    }

    fn slot_runs(&self, query: SlotQuery) -> Answer<'_, Vec<SlotRun>> {
        self.read(|| self.inner.slot_runs(query))
    }

    fn claim(&self, worker: WorkerId, now: Instant, lease_until: Instant, limit: u32) -> Answer<'_, Vec<Claim>> {
        self.write(|| self.inner.claim(worker, now, lease_until, limit))
    }

    fn renew(&self, worker: WorkerId, runs: Vec<RunId>, lease_until: Instant) -> Answer<'_, ()> {
        self.write(|| self.inner.renew(worker, runs, lease_until))
    }

    fn append(&self, lease: &Lease, append: Append, now: Instant) -> Written {
        if let Some(meanwhile) = &self.meanwhile {
            meanwhile(&append);
        }
        if let Fault::Unheard(runs) = self.fault
            && !self.is_dead()
            && (self.is_held_back(lease.run) || append.records.iter().any(|record| tells_of_an_effect(&record.entry)))
        {
            return self.hold_back(lease.run, runs);
        }
        self.write(|| self.inner.append(lease, append, now))
    }

    fn wake_due(&self, now: Instant) -> Answer<'_, (u64, Option<Instant>)> {
        self.write(|| self.inner.wake_due(now))
    }

    fn reclaim_all(&self, now: Instant) -> Answer<'_, u64> {
        self.write(|| self.inner.reclaim_all(now))
    }

    fn examined(&self, run: RunId, found: Option<RunError>) -> Answer<'_, ()> {
        self.write(|| self.inner.examined(run, found))
    }

    fn durable(&self) -> Answer<'_, ()> {
        self.read(|| self.inner.durable())
    }

    fn backfill_from<'a>(&'a self, connection: &'a str) -> Answer<'a, Option<BackfillMark>> {
        self.read(|| self.inner.backfill_from(connection))
    }

    fn set_backfill_from(&self, connection: &str, from: Instant) -> Answer<'_, ()> {
        self.write(|| self.inner.set_backfill_from(connection, from))
    }

    fn pauses(&self) -> Answer<'_, Vec<Pause>> {
        self.read(|| self.inner.pauses())
    }

    fn pause(&self, pause: Pause) -> Answer<'_, ()> {
        self.write(|| self.inner.pause(pause))
    }

    fn resume(&self, workflow: &str, resumption: Resumption) -> Answer<'_, bool> {
        self.write(|| self.inner.resume(workflow, resumption))
    }

    fn resumed<'a>(&'a self, workflow: &'a str) -> Answer<'a, Option<Resumption>> {
        self.read(|| self.inner.resumed(workflow))
    }

    fn clock_doubt(&self) -> Answer<'_, Option<ClockDoubt>> {
        self.read(|| self.inner.clock_doubt())
    }

    fn doubt_clock(&self, since: Instant, reason: String) -> Answer<'_, ()> {
        self.write(|| self.inner.doubt_clock(since, reason))
    }

    fn trust_clock(&self, now: Instant) -> Answer<'_, bool> {
        self.write(|| self.inner.trust_clock(now))
    }

    fn clock_seen(&self) -> Answer<'_, Option<Instant>> {
        self.read(|| self.inner.clock_seen())
    }

    fn see_clock(&self, now: Instant) -> Answer<'_, ()> {
        self.write(|| self.inner.see_clock(now))
    }

    fn exclude(&self, lease: &Lease, exclusion: Exclusion) -> Answer<'_, Option<Holder>> {
        self.write(|| self.inner.exclude(lease, exclusion))
    }

    fn reserve(&self, lease: &Lease, reservation: Reservation) -> Answer<'_, bool> {
        if let Fault::Overtaken { after, times } = self.fault {
            let before = self.reservations.fetch_add(1, Ordering::SeqCst);
            if before.checked_sub(after).is_some_and(|late| late < times) {
                return Box::pin(std::future::ready(Ok(false)));
            }
        }
        self.write(|| self.inner.reserve(lease, reservation))
    }

    fn release_reserved(&self, lease: &Lease, release: Release) -> Answer<'_, bool> {
        self.write(|| self.inner.release_reserved(lease, release))
    }

    fn open_movements<'a>(&'a self, connection: &'a str, account: &'a str) -> Answer<'a, OpenMovements> {
        self.read(|| self.inner.open_movements(connection, account))
    }

    fn accepted<'a>(&'a self, connection: &'a str, account: &'a str, since: Instant) -> Answer<'a, Vec<Accepted>> {
        self.read(|| self.inner.accepted(connection, account, since))
    }

    fn set_breaker(&self, connection: String, tripped: Option<Tripped>) -> Answer<'_, ()> {
        self.write(|| self.inner.set_breaker(connection, tripped))
    }

    fn resolve(&self, decision: Decision) -> Answer<'_, ()> {
        self.write(|| self.inner.resolve(decision))
    }

    fn decide(&self, decision: ApprovalDecision) -> Answer<'_, ()> {
        self.write(|| self.inner.decide(decision))
    }

    fn cancel<'a>(&'a self, run: RunId, actor: &'a str, reason: &'a str, now: Instant) -> Answer<'a, RunState> {
        self.write(|| self.inner.cancel(run, actor, reason, now))
    }

    fn run(&self, id: RunId) -> Answer<'_, Option<Run>> {
        self.read(|| self.inner.run(id))
    }

    fn journal(&self, run: RunId) -> Answer<'_, Vec<Record>> {
        self.read(|| self.inner.journal(run))
    }

    fn runs(&self, query: RunQuery) -> Answer<'_, Vec<Run>> {
        self.read(|| self.inner.runs(query))
    }

    fn version(&self, digest: Digest) -> Answer<'_, Option<Version>> {
        self.read(|| self.inner.version(digest))
    }

    fn event(&self, id: EventId) -> Answer<'_, Option<Event>> {
        self.read(|| self.inner.event(id))
    }

    fn events(&self, query: EventQuery) -> Answer<'_, Vec<Event>> {
        self.read(|| self.inner.events(query))
    }

    fn fates(&self, events: Vec<EventId>) -> Answer<'_, Vec<Fate>> {
        self.read(|| self.inner.fates(events))
    }

    fn find_event(&self, filter: EventFilter) -> Answer<'_, (Option<Event>, EventMark)> {
        self.read(|| self.inner.find_event(filter))
    }

    fn state<'a>(&'a self, workflow: &'a str, key: &'a str) -> Answer<'a, Option<Value>> {
        self.read(|| self.inner.state(workflow, key))
    }

    fn breakers(&self) -> Answer<'_, Vec<Tripped>> {
        self.read(|| self.inner.breakers())
    }

    fn counts(&self) -> Answer<'_, Vec<(RunState, u64)>> {
        self.read(|| self.inner.counts())
    }

    fn installation_secret(&self) -> Answer<'_, [u8; 32]> {
        self.read(|| self.inner.installation_secret())
    }

    fn restored(&self, now: Instant) -> Answer<'_, Option<Restored>> {
        self.read(|| self.inner.restored(now))
    }

    fn accept_restore(&self, acceptance: Acceptance) -> Answer<'_, ()> {
        self.write(|| self.inner.accept_restore(acceptance))
    }

    /// Always reaches the real store, so that a test can open its folder again.
    fn close(&self) -> Answer<'_, ()> {
        self.inner.close()
    }
}
