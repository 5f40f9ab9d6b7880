//! A store that counts what a run waits for. It changes nothing of what is written.
//!
//! Of the appends of a turn, some are waited for at once (an intent, the end) and some are only handed over (an
//! outcome), to be looked at together with the next. The difference is structural: an append whose answer is
//! first asked for after another one was handed over was not waited for.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bursar::base::clock::Instant;
use bursar::base::ids::{Digest, EventId, RunId, WorkerId};
use bursar::model::event::{Event, EventFilter};
use bursar::model::fate::Fate;
use bursar::model::journal::Record;
use bursar::model::run::{EventMark, NewRun, Run, RunError, RunState};
use bursar::model::unmade::{ClockDoubt, Pause, Resumption, Unmade};
use bursar::model::value::Value;
use bursar::model::workflow::Version;
use bursar::store::{
    Acceptance, Admitted, Answer, Append, ApprovalDecision, BackfillMark, Claim, Decision, EventQuery, Lease, Made,
    Restored, Routed, Routing, RunQuery, SlotKey, SlotQuery, SlotRun, Store, Unrouted, Written,
};

/// What was waited for.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Waits {
    /// Appends before an effect, each waited for.
    pub(crate) begun: u64,
    /// Ends of turns, each waited for.
    pub(crate) settled: u64,
    /// Appends nobody waited for by themselves.
    pub(crate) passed: u64,
}

#[derive(Default)]
struct Counters {
    begun: AtomicU64,
    settled: AtomicU64,
    passed: AtomicU64,
    /// How many appends each run has handed over.
    handed_over: Mutex<HashMap<RunId, u64>>,
}

impl Counters {
    fn handed_over(&self, run: RunId, more: u64) -> u64 {
        let mut handed_over = self.handed_over.lock().unwrap_or_else(PoisonError::into_inner);
        let count = handed_over.entry(run).or_insert(0);
        *count += more;
        *count
    }
}

/// The counting store.
pub(crate) struct Counting {
    inner: Arc<dyn Store>,
    counters: Arc<Counters>,
}

impl Counting {
    pub(crate) fn new(inner: Arc<dyn Store>) -> Arc<Self> {
        Arc::new(Self {
            inner,
            counters: Arc::default(),
        })
    }

    pub(crate) fn waits(&self) -> Waits {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Waits {
            begun: read(&self.counters.begun),
            settled: read(&self.counters.settled),
            passed: read(&self.counters.passed),
        }
    }
}

impl Store for Counting {
    fn append(&self, lease: &Lease, append: Append, now: Instant) -> Written {
        let (run, ends) = (lease.run, append.settlement.is_some());
        let number = self.counters.handed_over(run, 1);
        let written = self.inner.append(lease, append, now);
        let counters = Arc::clone(&self.counters);
        Box::pin(async move {
            let counter = match (counters.handed_over(run, 0) > number, ends) {
                (true, _) => &counters.passed,
                (false, true) => &counters.settled,
                (false, false) => &counters.begun,
            };
            counter.fetch_add(1, Ordering::Relaxed);
            written.await
        })
    }

    fn admit(&self, event: Event) -> Answer<'_, Admitted> {
        self.inner.admit(event)
    }

    fn unrouted(&self, limit: u32, bytes_max: usize) -> Answer<'_, Unrouted> {
        self.inner.unrouted(limit, bytes_max)
    }

    fn behind(&self) -> Answer<'_, BTreeSet<String>> {
        self.inner.behind()
    }

    fn unrouted_by<'a>(&'a self, workflow: &'a str, limit: u32, bytes_max: usize) -> Answer<'a, Unrouted> {
        self.inner.unrouted_by(workflow, limit, bytes_max)
    }

    fn route(&self, routing: Routing) -> Answer<'_, Routed> {
        self.inner.route(routing)
    }

    fn create_run(&self, run: NewRun) -> Answer<'_, Made> {
        self.inner.create_run(run)
    }

    fn pass_over(&self, unmade: Unmade) -> Answer<'_, ()> {
        self.inner.pass_over(unmade)
    }

    fn unmade<'a>(&'a self, workflow: Option<&'a str>, limit: u32) -> Answer<'a, Vec<Unmade>> {
        self.inner.unmade(workflow, limit)
    }

    fn save_version(&self, version: Version) -> Answer<'_, ()> {
        self.inner.save_version(version)
    }

    fn settled_until<'a>(
        &'a self,
        workflow: &'a str,
        schedule: &'a str,
        timezone: &'a str,
        not_after: Instant,
    ) -> Answer<'a, Option<Instant>> {
        self.inner.settled_until(workflow, schedule, timezone, not_after)
    }

    fn settle_slots(&self, key: SlotKey, until: Instant) -> Answer<'_, ()> {
        self.inner.settle_slots(key, until)
    }

    fn slot_runs(&self, query: SlotQuery) -> Answer<'_, Vec<SlotRun>> {
        self.inner.slot_runs(query)
    }

    fn claim(&self, worker: WorkerId, now: Instant, lease_until: Instant, limit: u32) -> Answer<'_, Vec<Claim>> {
        self.inner.claim(worker, now, lease_until, limit)
    }

    fn renew(&self, worker: WorkerId, runs: Vec<RunId>, lease_until: Instant) -> Answer<'_, ()> {
        self.inner.renew(worker, runs, lease_until)
    }

    fn wake_due(&self, now: Instant) -> Answer<'_, (u64, Option<Instant>)> {
        self.inner.wake_due(now)
    }

    fn reclaim_all(&self, now: Instant) -> Answer<'_, u64> {
        self.inner.reclaim_all(now)
    }

    fn examined(&self, run: RunId, found: Option<RunError>) -> Answer<'_, ()> {
        self.inner.examined(run, found)
    }
    fn durable(&self) -> Answer<'_, ()> {
        self.inner.durable()
    }
    fn resolve(&self, decision: Decision) -> Answer<'_, ()> {
        self.inner.resolve(decision)
    }

    fn decide(&self, decision: ApprovalDecision) -> Answer<'_, ()> {
        self.inner.decide(decision)
    }

    fn cancel<'a>(&'a self, run: RunId, actor: &'a str, reason: &'a str, now: Instant) -> Answer<'a, RunState> {
        self.inner.cancel(run, actor, reason, now)
    }

    fn run(&self, id: RunId) -> Answer<'_, Option<Run>> {
        self.inner.run(id)
    }

    fn journal(&self, run: RunId) -> Answer<'_, Vec<Record>> {
        self.inner.journal(run)
    }

    fn runs(&self, query: RunQuery) -> Answer<'_, Vec<Run>> {
        self.inner.runs(query)
    }

    fn version(&self, digest: Digest) -> Answer<'_, Option<Version>> {
        self.inner.version(digest)
    }

    fn event(&self, id: EventId) -> Answer<'_, Option<Event>> {
        self.inner.event(id)
    }

    fn events(&self, query: EventQuery) -> Answer<'_, Vec<Event>> {
        self.inner.events(query)
    }

    fn fates(&self, events: Vec<EventId>) -> Answer<'_, Vec<Fate>> {
        self.inner.fates(events)
    }

    fn find_event(&self, filter: EventFilter) -> Answer<'_, (Option<Event>, EventMark)> {
        self.inner.find_event(filter)
    }

    fn state<'a>(&'a self, workflow: &'a str, key: &'a str) -> Answer<'a, Option<Value>> {
        self.inner.state(workflow, key)
    }

    fn backfill_from<'a>(&'a self, connection: &'a str) -> Answer<'a, Option<BackfillMark>> {
        self.inner.backfill_from(connection)
    }

    fn set_backfill_from(&self, connection: &str, from: Instant) -> Answer<'_, ()> {
        self.inner.set_backfill_from(connection, from)
    }

    fn pauses(&self) -> Answer<'_, Vec<Pause>> {
        self.inner.pauses()
    }

    fn pause(&self, pause: Pause) -> Answer<'_, ()> {
        self.inner.pause(pause)
    }

    fn resume(&self, workflow: &str, resumption: Resumption) -> Answer<'_, bool> {
        self.inner.resume(workflow, resumption)
    }

    fn resumed<'a>(&'a self, workflow: &'a str) -> Answer<'a, Option<Resumption>> {
        self.inner.resumed(workflow)
    }

    fn clock_doubt(&self) -> Answer<'_, Option<ClockDoubt>> {
        self.inner.clock_doubt()
    }

    fn doubt_clock(&self, since: Instant, reason: String) -> Answer<'_, ()> {
        self.inner.doubt_clock(since, reason)
    }

    fn trust_clock(&self, now: Instant) -> Answer<'_, bool> {
        self.inner.trust_clock(now)
    }

    fn clock_seen(&self) -> Answer<'_, Option<Instant>> {
        self.inner.clock_seen()
    }

    fn see_clock(&self, now: Instant) -> Answer<'_, ()> {
        self.inner.see_clock(now)
    }

    fn exclude(&self, lease: &Lease, exclusion: bursar::store::Exclusion) -> Answer<'_, Option<bursar::store::Holder>> {
        self.inner.exclude(lease, exclusion)
    }
    fn reserve(&self, lease: &Lease, reservation: bursar::store::Reservation) -> Answer<'_, bool> {
        self.inner.reserve(lease, reservation)
    }
    fn release_reserved(&self, lease: &Lease, release: bursar::store::Release) -> Answer<'_, bool> {
        self.inner.release_reserved(lease, release)
    }
    fn open_movements<'a>(&'a self, connection: &'a str, account: &'a str) -> Answer<'a, bursar::store::OpenMovements> {
        self.inner.open_movements(connection, account)
    }
    fn accepted<'a>(
        &'a self,
        connection: &'a str,
        account: &'a str,
        since: Instant,
    ) -> Answer<'a, Vec<bursar::store::Accepted>> {
        self.inner.accepted(connection, account, since)
    }
    fn set_breaker(&self, connection: String, tripped: Option<bursar::model::breaker::Tripped>) -> Answer<'_, ()> {
        self.inner.set_breaker(connection, tripped)
    }
    fn breakers(&self) -> Answer<'_, Vec<bursar::model::breaker::Tripped>> {
        self.inner.breakers()
    }
    fn counts(&self) -> Answer<'_, Vec<(RunState, u64)>> {
        self.inner.counts()
    }

    fn installation_secret(&self) -> Answer<'_, [u8; 32]> {
        self.inner.installation_secret()
    }

    fn restored(&self, now: Instant) -> Answer<'_, Option<Restored>> {
        self.inner.restored(now)
    }

    fn accept_restore(&self, acceptance: Acceptance) -> Answer<'_, ()> {
        self.inner.accept_restore(acceptance)
    }

    fn close(&self) -> Answer<'_, ()> {
        self.inner.close()
    }
}
