//! The store: where runs, journals, events and versions live.
//!
//! One trait, shaped so that a single file (SQLite) and a shared server (PostgreSQL) can both carry it. The
//! trait holds no rule beyond what a constraint says: what may follow what is `model`'s. No SQL type leaves
//! this room.
//!
//! A failed commit is an unknown outcome of our own store: the writer then aborts the process, and recovery
//! decides. Callers therefore never see half a write, and must not put a write inside a time-out.

mod codec;
pub mod faulty;
mod movement;
mod restored;
pub mod sqlite;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

pub use self::movement::{
    ACCEPTED_DAYS_MAX, Accepted, OpenMovement, OpenMovements, Release, Reservation, ReservedMove,
};
pub use self::restored::{Acceptance, Restored, Sign, Span};
use crate::base::clock::{BoxFuture, Instant};
use crate::base::ids::{Digest, EventId, RunId, WorkerId};
use crate::model::breaker::Tripped;
use crate::model::event::{Event, EventFilter};
use crate::model::fate::{Declined, Fate};
use crate::model::journal::{Record, Resolution, StepPath};
use crate::model::run::{EventMark, NewRun, Run, RunError, RunState, Settlement};
use crate::model::unmade::{ClockDoubt, Pause, Resumption, Unmade};
use crate::model::value::Value;
use crate::model::workflow::Version;

/// Why the store could not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// It cannot be reached or opened; trying again later may help.
    #[error("the store is not available: {0}")]
    Unavailable(String),
    /// Another process holds it.
    #[error("the store in {path} is in use by another bursar process{}", holder.map_or(String::new(), |pid| format!(" (process {pid})")))]
    Locked {
        /// The folder.
        path: String,
        /// The process, if it is known.
        holder: Option<u32>,
    },
    /// A later version of this program wrote it.
    #[error(
        "the store was written by a newer bursar (schema {found}, this program knows {known}): update this program"
    )]
    Newer {
        /// What stands there.
        found: i64,
        /// What this program knows.
        known: i64,
    },
    /// The lease was lost: another worker has the run, or it ended. Nothing was written.
    #[error("the lease of {run} was lost")]
    LeaseLost {
        /// The run.
        run: RunId,
    },
    /// A person asked for the end of the run; no new step may begin. Nothing was written.
    #[error("the end of {run} was asked for")]
    CancelRequested {
        /// The run.
        run: RunId,
    },
    /// It is not there.
    #[error("{0} does not exist")]
    NotFound(String),
    /// It does not stand where this could be done.
    #[error("{0}")]
    Conflict(String),
    /// What stands there cannot be read. Nothing may be sent on the strength of it.
    #[error("the store is damaged: {0}")]
    Corrupt(String),
}

/// The right of one worker to drive one run. The fence rises with every claim and is checked in every write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The run.
    pub run: RunId,
    /// Who holds it.
    pub worker: WorkerId,
    /// Which claim this is.
    pub fence: i64,
}

/// What only one step at a time may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exclusion {
    /// The step of the leased run that wants it.
    pub step: StepPath,
    /// On which connection.
    pub connection: String,
    /// Its name there.
    pub name: String,
    /// For how long after another step has ended that had it and was sent it is not given: what that one did may not be
    /// shown any earlier. A day at the most.
    pub rest: Duration,
    /// The time now.
    pub now: Instant,
}

/// Who has what only one step at a time may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Of which run.
    pub run: RunId,
    /// Which step.
    pub step: StepPath,
    /// From when on whoever asked may have it; none while the step goes on.
    pub free_at: Option<Instant>,
}

/// A run handed to a worker.
#[derive(Debug, Clone)]
pub struct Claim {
    /// The right to drive it.
    pub lease: Lease,
    /// When it was taken.
    pub at: Instant,
    /// The run, in state `running`.
    pub run: Run,
    /// Its journal so far.
    pub records: Vec<Record>,
}

/// What happened to an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admitted {
    /// It is new, and durable; whoever waited for it is queued. The router makes its runs.
    New {
        /// Where it stands in the order of admission.
        mark: EventMark,
        /// Whether it, or one admitted in the same write, woke a run that waited.
        wakes: bool,
    },
    /// It was known already; nothing was written.
    Duplicate {
        /// The id it was stored under.
        event: EventId,
    },
    /// It happened before the time up to which events were pruned, so it may have been known and made its runs: nothing
    /// was written.
    TooOld {
        /// That time.
        pruned_before: Instant,
    },
}

/// Admitted events that no runs were made from yet, or none of one workflow, in the order of admission.
#[derive(Debug, Clone, PartialEq)]
pub struct Unrouted {
    /// Where the cursor stands: everything up to here was routed.
    pub after: EventMark,
    /// The events. One that cannot be read says why, so that it does not stop the others.
    pub events: Vec<(EventMark, Result<Arc<Event>, StoreError>)>,
}

/// What becomes of some admitted events, in one write.
#[derive(Debug, Clone, Default)]
pub struct Routing {
    /// Whose cursor it is: that of a workflow that is behind, or the one of all others.
    pub of: Option<String>,
    /// Where the cursor has to stand.
    pub after: EventMark,
    /// Where it stands afterwards.
    pub up_to: EventMark,
    /// The runs that the events between the two start.
    pub runs: Vec<NewRun>,
    /// The workflows that listen to one of them and did not take it, each with its reason.
    pub declined: Vec<(EventMark, Vec<Declined>)>,
    /// The workflows that are behind from here on, unless they are already: they have not been asked about these events.
    pub behind: Vec<String>,
}

/// How far a provider's own list of events was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackfillMark {
    /// When it was looked at first: what happened before is nobody's.
    pub first_at: Instant,
    /// From when it is read next: every event between the two was admitted.
    pub from: Instant,
}

/// What became of a run that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Made {
    /// It is new.
    New,
    /// Its cause has its run, or was passed over, already.
    Known,
    /// It would have overlapped with this one: it is not made, and that is recorded.
    Overlapping(RunId),
}

/// What was made of some admitted events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Routed {
    /// Runs that were not there before.
    pub runs: u64,
    /// Runs that stand queued now, counted up to [`crate::base::limits::QUEUED_RUNS_ENOUGH`].
    pub queued: u64,
}

/// One durable write of a turn: all of it, or nothing.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Append {
    /// New lines of the journal, in order.
    pub records: Vec<Record>,
    /// Values scripts keep between runs of a workflow: `state::set`. `Null` removes.
    pub state: Vec<(String, Value)>,
    /// How the turn ends, if it ends here.
    pub settlement: Option<Settlement>,
    /// Steps of any runs whose movements have their end at the provider: they are not [`Accepted`] any more.
    pub arrived: Vec<(RunId, StepPath)>,
    /// Whether this write begins something new outside, and is to be refused when the end of the run was
    /// asked for. An outcome is always taken.
    pub begins_effect: bool,
}

/// Which runs to list, newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunQuery {
    /// Only of this workflow.
    pub workflow: Option<String>,
    /// Only in these states; empty means any.
    pub states: Vec<RunState>,
    /// Only made before this run, for the next page.
    pub before: Option<RunId>,
    /// Only the one of this workflow whose cause has this key. States do not count then.
    pub cause_key: Option<String>,
    /// Only such that have asked a person for an approval and have not ended; a few more may be told. Workflow and
    /// states do not count then.
    pub asking: bool,
    /// How many at most.
    pub limit: u32,
}

/// Which events to list, newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventQuery {
    /// Only of this connection.
    pub connection: Option<String>,
    /// Only of this type.
    pub kind: Option<String>,
    /// Only admitted before this event, for the next page.
    pub before: Option<EventId>,
    /// Only those that some workflow looked at and none took.
    pub filtered: bool,
    /// How many at most.
    pub limit: u32,
}

/// Which schedule of which workflow.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SlotKey {
    /// The workflow's name.
    pub workflow: String,
    /// The expression as written.
    pub schedule: String,
    /// Its zone.
    pub timezone: String,
}

/// Which runs of a schedule to list, newest slot first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotQuery {
    /// The schedule.
    pub key: SlotKey,
    /// Only slots named by this time or a later one.
    pub from: Option<Instant>,
    /// Only slots named by this time or an earlier one.
    pub to: Option<Instant>,
    /// How many at most.
    pub limit: u32,
}

/// A run that a slot made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlotRun {
    /// The run.
    pub id: RunId,
    /// The instant that names its slot.
    pub slot: Instant,
    /// How it stands.
    pub state: RunState,
    /// When it was made.
    pub created_at: Instant,
    /// When it was first driven.
    pub started_at: Option<Instant>,
    /// When it ended.
    pub finished_at: Option<Instant>,
}

/// What a person asks of a parked run.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// The run.
    pub run: RunId,
    /// The step in doubt, or none for a run parked without one (diverged): then only its end can be asked.
    pub path: Option<StepPath>,
    /// What.
    pub resolution: Resolution,
    /// Who.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// How many decisions about this step they know of. One that is made about an earlier doubt is refused, but for
    /// [`Resolution::Retry`].
    pub after: u32,
    /// When.
    pub at: Instant,
}

impl Decision {
    /// Why nothing is decided about a run that is not parked.
    pub fn not_parked(run: RunId, state: RunState) -> StoreError {
        StoreError::Conflict(format!("{run} is {state}, not parked: there is nothing to decide"))
    }
}

/// What a person answers to an approval that is asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct ApprovalDecision {
    /// The run.
    pub run: RunId,
    /// The step that asks.
    pub path: StepPath,
    /// The fingerprint of the step as it was shown: an answer to another question is refused.
    pub asked: Digest,
    /// What.
    pub approved: bool,
    /// Who.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at: Instant,
}

/// The end of a write that was queued when its method was called: await it to know that it is durable.
pub type Written = BoxFuture<'static, Result<(), StoreError>>;

/// The answer of a store method.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

/// Where everything durable lives. Every method is one transaction. A write is queued when the method is
/// called, in the order of the calls; the answer only waits for it, and dropping it undoes nothing.
pub trait Store: Send + Sync + 'static {
    // --- what triggers write -----------------------------------------------------------------

    /// Takes an event, unique by (connection, provider id), and wakes the waiting runs whose filter accepts it. Runs
    /// are made from it by [`Store::route`].
    fn admit(&self, event: Event) -> Answer<'_, Admitted>;

    /// Events after the cursor, oldest first: at most `limit`, and not many more bytes than `bytes_max`.
    fn unrouted(&self, limit: u32, bytes_max: usize) -> Answer<'_, Unrouted>;

    /// The workflows that are behind: events were routed of which they were not asked.
    fn behind(&self) -> Answer<'_, BTreeSet<String>>;

    /// Events that were routed without a workflow that is behind, oldest first, in the same bounds.
    fn unrouted_by<'a>(&'a self, workflow: &'a str, limit: u32, bytes_max: usize) -> Answer<'a, Unrouted>;

    /// Makes the runs that some events start, and moves the cursor: all of it or nothing. A run is unique by (workflow, cause); one that is there stays as it is.
    /// A workflow whose cursor comes up to that of the others is not behind any more.
    ///
    /// [`StoreError::Conflict`] if the cursor is not at `after`: somebody else routed them.
    fn route(&self, routing: Routing) -> Answer<'_, Routed>;

    /// Makes a run without an event.
    fn create_run(&self, run: NewRun) -> Answer<'_, Made>;

    /// Records that something asked for a run and none was made, once: what is recorded already stays as it is, but for
    /// slots that follow it, and nothing is recorded of a cause that has its run.
    fn pass_over(&self, unmade: Unmade) -> Answer<'_, ()>;

    /// What was passed over, newest first.
    fn unmade<'a>(&'a self, workflow: Option<&'a str>, limit: u32) -> Answer<'a, Vec<Unmade>>;

    /// Workflows whose schedules start nothing for now, by name.
    fn pauses(&self) -> Answer<'_, Vec<Pause>>;

    /// Has the schedules of a workflow start nothing until [`Store::resume`]. A pause that is there stays as it is.
    fn pause(&self, pause: Pause) -> Answer<'_, ()>;

    /// Ends a pause; whether there was one.
    fn resume(&self, workflow: &str, resumption: Resumption) -> Answer<'_, bool>;

    /// The last end of a pause of the schedules of a workflow.
    fn resumed<'a>(&'a self, workflow: &'a str) -> Answer<'a, Option<Resumption>>;

    /// Why it is not known what time it is, if so.
    fn clock_doubt(&self) -> Answer<'_, Option<ClockDoubt>>;

    /// Has every schedule wait until [`Store::trust_clock`], also one that nobody knows yet. A doubt that is there keeps
    /// its reason.
    fn doubt_clock(&self, since: Instant, reason: String) -> Answer<'_, ()>;

    /// A person says that it is now what the clock shows; whether that was in doubt. Pauses stay.
    fn trust_clock(&self, now: Instant) -> Answer<'_, bool>;

    /// What the wall clock showed when that was last kept.
    fn clock_seen(&self) -> Answer<'_, Option<Instant>>;

    /// Keeps what the wall clock shows.
    fn see_clock(&self, now: Instant) -> Answer<'_, ()>;

    /// From when the provider's own list of events is read next.
    fn backfill_from<'a>(&'a self, connection: &'a str) -> Answer<'a, Option<BackfillMark>>;

    /// Keeps from when it is read next; the first time, also that it begins there.
    fn set_backfill_from(&self, connection: &str, from: Instant) -> Answer<'_, ()>;

    /// Keeps a version, so that runs can be pinned to it. Keeping it twice is no error.
    fn save_version(&self, version: Version) -> Answer<'_, ()>;

    /// Up to when the slots of a schedule are known to have their runs or their reasons: the newest that has, or what
    /// was said last; nothing of a schedule that is new. What was recorded of a time after `not_after` does not count:
    /// then the clock was wrong.
    fn settled_until<'a>(
        &'a self,
        workflow: &'a str,
        schedule: &'a str,
        timezone: &'a str,
        not_after: Instant,
    ) -> Answer<'a, Option<Instant>>;

    /// Says that every slot of a schedule up to this time has its run or its reason, in place of what was said before.
    fn settle_slots(&self, key: SlotKey, until: Instant) -> Answer<'_, ()>;

    /// Runs that slots of a schedule made, newest slot first.
    fn slot_runs(&self, query: SlotQuery) -> Answer<'_, Vec<SlotRun>>;

    // --- what the engine writes --------------------------------------------------------------

    /// Takes up to `limit` queued runs, oldest first, under a lease until `lease_until`. Increments `turns`.
    /// A run whose row or journal cannot be read is parked as `damaged` and does not stop the others.
    ///
    /// The answer comes when the claim is written, not when it is durable. That is enough: whatever its turn
    /// writes is queued behind it, no effect leaves before its own intent is durable, and if this commit fails,
    /// nothing queued behind it is ever written.
    fn claim(&self, worker: WorkerId, now: Instant, lease_until: Instant, limit: u32) -> Answer<'_, Vec<Claim>>;

    /// Answers when everything is durable that was queued before.
    fn durable(&self) -> Answer<'_, ()>;

    /// Extends the leases of these runs, as far as this worker has them.
    fn renew(&self, worker: WorkerId, runs: Vec<RunId>, lease_until: Instant) -> Answer<'_, ()>;

    /// Writes what a turn did, under its lease. The write is queued by the call itself, behind all that was
    /// queued before; the answer only waits until it is durable. A run whose end was asked for does not wait and
    /// is not queued again: it is cancelled, unless an effect was sent whose outcome is not known.
    fn append(&self, lease: &Lease, append: Append, now: Instant) -> Written;

    /// Queues waiting runs whose time has come and running ones whose lease is over. Says how many, and
    /// when the next waiting run is due.
    fn wake_due(&self, now: Instant) -> Answer<'_, (u64, Option<Instant>)>;

    /// Queues every run that is `running`, or parks it as [`Deaths`](crate::model::quarantine::Deaths) says: only at
    /// start of a process that owns the store alone. Says how many there were.
    fn reclaim_all(&self, now: Instant) -> Answer<'_, u64>;

    /// Gives a name to a step of a run, as long as the lease holds, unless another step has it: then it says whose.
    /// The step that has it is given it again. It goes with the entry that ends the step (not with one by which it is
    /// tried or sent again), or with the end of the run; where it was done, as long after that as who asks says.
    fn exclude(&self, lease: &Lease, exclusion: Exclusion) -> Answer<'_, Option<Holder>>;

    /// Reserves what a step is about to move, as long as the lease holds, in place of what it has reserved before; or,
    /// if something was begun or reserved since on an account it has read, gives that back and says `false`. The step that
    /// has reserved the same is given it again. A step below that begins such a movement has it from then on; what is
    /// left goes with the entry that ends the step, or with the end of the run.
    fn reserve(&self, lease: &Lease, reservation: Reservation) -> Answer<'_, bool>;

    /// Gives one movement back that a step has reserved and that no step below it has begun, as long as the lease holds:
    /// the first of that source, beneficiary and amount. `false`: there is none, so nothing changes.
    fn release_reserved(&self, lease: &Lease, release: Release) -> Answer<'_, bool>;

    /// Keeps that nothing new is begun on a connection, or that it is.
    fn set_breaker(&self, connection: String, tripped: Option<Tripped>) -> Answer<'_, ()>;

    // --- what people write -------------------------------------------------------------------

    /// Records a decision on a parked run and queues it. When no step is named it goes on as it is, or ends.
    ///
    /// [`StoreError::Conflict`] if the run is not parked, or the journal has another number of decisions about the step
    /// than [`Decision::after`] says.
    fn resolve(&self, decision: Decision) -> Answer<'_, ()>;

    /// Records the one answer to an approval that is asked for, and queues the run if it waits. The answer stands in
    /// the journal at once, also while a worker drives the run: what that one writes later stands behind it, and
    /// where the turn would end in a wait, the run is queued. So a turn must not end a question by itself whose time
    /// was not over when the run was claimed ([`Claim::at`]); if it was, the answer comes too late.
    ///
    /// [`StoreError::Conflict`] if nothing is asked there any more, or something else than was shown.
    fn decide(&self, decision: ApprovalDecision) -> Answer<'_, ()>;

    /// What looking at a suspected run has shown: it goes on, or it is parked for this reason.
    fn examined(&self, run: RunId, found: Option<RunError>) -> Answer<'_, ()>;

    /// Ends a run, or asks a running one to end after its present step. Says the state it left it in. A queued
    /// or waiting run with an effect whose outcome is not known is asked, too, and woken: the outcome comes first.
    fn cancel<'a>(&'a self, run: RunId, actor: &'a str, reason: &'a str, now: Instant) -> Answer<'a, RunState>;

    // --- what everybody reads ----------------------------------------------------------------

    /// A run.
    fn run(&self, id: RunId) -> Answer<'_, Option<Run>>;

    /// The journal of a run, in order.
    fn journal(&self, run: RunId) -> Answer<'_, Vec<Record>>;

    /// Runs, newest first.
    fn runs(&self, query: RunQuery) -> Answer<'_, Vec<Run>>;

    /// A version by its digest.
    fn version(&self, digest: Digest) -> Answer<'_, Option<Version>>;

    /// An event.
    fn event(&self, id: EventId) -> Answer<'_, Option<Event>>;

    /// Events, newest first.
    fn events(&self, query: EventQuery) -> Answer<'_, Vec<Event>>;

    /// What became of these events, in their order; of one that is not there, nothing.
    fn fates(&self, events: Vec<EventId>) -> Answer<'_, Vec<Fate>>;

    /// The first admitted event the filter accepts, routed or not, if there is one, and the mark up to which was
    /// looked.
    fn find_event(&self, filter: EventFilter) -> Answer<'_, (Option<Event>, EventMark)>;

    /// What of ours is on its way out of this account or to it, whichever run has begun it: everything that is durable.
    fn open_movements<'a>(&'a self, connection: &'a str, account: &'a str) -> Answer<'a, OpenMovements>;

    /// What comes to this account of ours and was taken by the provider, oldest first, unless it is known how it ended, or
    /// it was taken before `since`. What this does not show of what was on its way has its end.
    fn accepted<'a>(&'a self, connection: &'a str, account: &'a str, since: Instant) -> Answer<'a, Vec<Accepted>>;

    /// The connections on which nothing new is begun.
    fn breakers(&self) -> Answer<'_, Vec<Tripped>>;

    /// A value a script kept.
    fn state<'a>(&'a self, workflow: &'a str, key: &'a str) -> Answer<'a, Option<Value>>;

    /// How many runs stand in each state.
    fn counts(&self) -> Answer<'_, Vec<(RunState, u64)>>;

    /// 32 random bytes made when the store was, from which idempotency keys are derived.
    fn installation_secret(&self) -> Answer<'_, [u8; 32]>;

    // --- after an older state was put back ---------------------------------------------------

    /// Whether an older state of the store was put back, and what is known of it. The first writer that asks says
    /// when it was noticed.
    fn restored(&self, now: Instant) -> Answer<'_, Option<Restored>>;

    /// Takes the word of a person that sending may go on. [`StoreError::Conflict`] if nothing waits for it.
    fn accept_restore(&self, acceptance: Acceptance) -> Answer<'_, ()>;

    // --- the end -----------------------------------------------------------------------------

    /// Ends the writer after all that was asked of it, and gives the store free.
    fn close(&self) -> Answer<'_, ()>;
}
