//! The one writer: a thread that owns the one connection that writes.
//!
//! It takes what is queued, in the order of the calls, into one transaction, commits, and only then answers
//! everybody. A write that a rule refuses writes nothing and does not disturb the others. A transaction that
//! fails has an unknown outcome, so nothing may go on as if it were known: see [`OnFailure`].

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, OnceLock};

use sqlx::{SqliteConnection, SqlitePool};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::oneshot;

use super::admit::Arrival;
use super::append::{Driven, PendingAppend};
use super::growth::Growth;
use super::lock::FolderLock;
use super::route::{MadeRun, PendingRouting};
use super::seen::ClockSeen;
use super::tail::{Fresh, Tail};
use super::witness::{Testimony, Witness};
use super::{OnFailure, unavailable};
use crate::base::clock::Instant;
use crate::base::fault_point::{FaultPoint, reach};
use crate::base::guard::{Guard, holds};
use crate::base::ids::{RunId, WorkerId};
use crate::base::limits::GROUP_COMMIT_WRITES_MAX;
use crate::model::breaker::Tripped;
use crate::model::run::{RunError, RunState};
use crate::model::unmade::{Pause, Resumption, Unmade};
use crate::store::{
    Acceptance, ApprovalDecision, Claim, Decision, Exclusion, Holder, Lease, Made, Release, Reservation, Restored,
    Routed, SlotKey, StoreError,
};

/// A writer that panics would leave a process that takes everything and keeps nothing: better none.
struct AbortOnPanic(bool);

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        if self.0 && std::thread::panicking() {
            std::process::abort();
        }
    }
}

/// What a transaction may carry at most, so that its texts stay far below what SQLite can hold in one.
const GROUP_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Where an answer goes.
pub(super) type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// Something to write, with where its answer goes.
pub(super) enum Command {
    Admit(Box<Arrival>),
    Create(Box<MadeRun>, Reply<Made>),
    PassOver(Box<Unmade>, Reply<()>),
    Pause(Pause, Reply<()>),
    Resume {
        workflow: String,
        resumption: Resumption,
        reply: Reply<bool>,
    },
    DoubtClock {
        since: Instant,
        reason: String,
        reply: Reply<()>,
    },
    TrustClock {
        now: Instant,
        reply: Reply<bool>,
    },
    SeeClock {
        now: Instant,
        reply: Reply<()>,
    },
    SettleSlots {
        key: SlotKey,
        until: Instant,
        reply: Reply<()>,
    },
    Route(Box<PendingRouting>, Reply<Routed>),
    Append(Box<PendingAppend>, Reply<()>),
    Claim {
        worker: WorkerId,
        now: Instant,
        lease_until: Instant,
        limit: u32,
        reply: Reply<Vec<Claim>>,
    },
    Renew {
        worker: WorkerId,
        runs: Vec<RunId>,
        lease_until: Instant,
        reply: Reply<()>,
    },
    WakeDue {
        now: Instant,
        reply: Reply<(u64, Option<Instant>)>,
    },
    ReclaimAll {
        reply: Reply<u64>,
    },
    Resolve {
        decision: Box<Decision>,
        reply: Reply<()>,
    },
    Decide {
        decision: Box<ApprovalDecision>,
        reply: Reply<()>,
    },
    Examined {
        run: RunId,
        found: Option<RunError>,
        reply: Reply<()>,
    },
    /// Writes nothing; its answer tells that all before it is durable.
    Barrier {
        reply: Reply<()>,
    },
    Cancel {
        run: RunId,
        actor: String,
        reason: String,
        now: Instant,
        reply: Reply<RunState>,
    },
    SetBackfillFrom {
        connection: String,
        from: Instant,
        reply: Reply<()>,
    },
    Exclude {
        lease: Lease,
        exclusion: Exclusion,
        reply: Reply<Option<Holder>>,
    },
    Reserve {
        lease: Lease,
        reservation: Reservation,
        reply: Reply<bool>,
    },
    ReleaseReserved {
        lease: Lease,
        release: Release,
        reply: Reply<bool>,
    },
    SetBreaker {
        connection: String,
        tripped: Option<Tripped>,
        reply: Reply<()>,
    },
    SaveVersion {
        version: Box<super::version::StoredVersion>,
        reply: Reply<()>,
    },
    Restored {
        now: Instant,
        reply: Reply<Option<Restored>>,
    },
    AcceptRestore {
        acceptance: Acceptance,
        reply: Reply<()>,
    },
    Close {
        reply: Reply<()>,
    },
}

impl Command {
    fn bytes(&self) -> usize {
        match self {
            Self::Admit(arrival) => arrival.bytes(),
            Self::Create(run, _) => run.bytes(),
            Self::Route(routing, _) => routing.bytes(),
            Self::Append(append, _) => append.bytes(),
            _ => 0,
        }
    }
}

/// Why a write was not done.
pub(super) enum Halt {
    /// A rule refuses it; nothing was written for it and the transaction goes on.
    Refused(StoreError),
    /// The database failed; the transaction is lost or its outcome unknown.
    Failed(sqlx::Error),
}

impl From<sqlx::Error> for Halt {
    fn from(error: sqlx::Error) -> Self {
        Self::Failed(error)
    }
}

impl From<StoreError> for Halt {
    fn from(error: StoreError) -> Self {
        Self::Refused(error)
    }
}

/// An answer that waits for the commit.
type Delivery = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// The answers of one transaction.
#[derive(Default)]
pub(super) struct Answers(Vec<Delivery>);

impl Answers {
    /// Answers this once the transaction is committed.
    pub(super) fn later<T: Send + 'static>(&mut self, reply: Reply<T>, answer: Result<T, StoreError>) {
        if !holds(Guard::AnswerAfterCommit) {
            return drop(reply.send(answer));
        }
        // Nobody may be waiting any more; the write stands all the same.
        self.0
            .push(Box::new(move |committed| drop(reply.send(committed.and(answer)))));
    }

    /// The same for a write whose database failure ends the transaction.
    pub(super) fn settle<T: Send + 'static>(
        &mut self,
        reply: Reply<T>,
        done: Result<T, Halt>,
    ) -> Result<(), sqlx::Error> {
        match done {
            Ok(answer) => self.later(reply, Ok(answer)),
            Err(Halt::Refused(error)) => self.later(reply, Err(error)),
            Err(Halt::Failed(error)) => {
                self.later(reply, Err(unavailable_again()));
                return Err(error);
            }
        }
        Ok(())
    }

    fn deliver(self, committed: &Result<(), StoreError>) {
        for delivery in self.0 {
            delivery(committed.clone());
        }
    }
}

fn unavailable_again() -> StoreError {
    StoreError::Unavailable("the transaction failed".to_owned())
}

/// Where a batch stands in its transaction.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// It comes first.
    pub(super) begins: bool,
    /// Nothing comes after it.
    pub(super) commits: bool,
}

/// What shares a commit, by kind.
#[derive(Default)]
struct Group {
    arrivals: Vec<Arrival>,
    appends: Vec<(PendingAppend, Reply<()>)>,
    created: Vec<(MadeRun, Reply<Made>)>,
    others: Vec<Command>,
    writes: usize,
    bytes: usize,
}

impl Group {
    fn is_empty(&self) -> bool {
        self.writes == 0
    }

    fn is_only(&self, count: usize) -> bool {
        self.writes == count
    }

    fn is_full(&self) -> bool {
        self.writes >= GROUP_COMMIT_WRITES_MAX || self.bytes >= GROUP_BYTES_MAX
    }

    fn add(&mut self, command: Command) {
        self.writes += 1;
        self.bytes += command.bytes();
        match command {
            Command::Admit(arrival) => self.arrivals.push(*arrival),
            Command::Append(append, reply) => self.appends.push((*append, reply)),
            Command::Create(run, reply) => self.created.push((*run, reply)),
            other => self.others.push(other),
        }
    }
}

/// What is asked for.
struct Inbox {
    queue: UnboundedReceiver<Command>,
    /// Somebody asked for the end. Nothing is taken after it.
    closing: Option<Reply<()>>,
}

impl Inbox {
    /// Moves what was asked for into the group, until it is full.
    fn fill(&mut self, group: &mut Group, first: Option<Command>) {
        let mut next = first;
        while self.closing.is_none() && !group.is_full() {
            let Some(command) = next.take().or_else(|| self.queue.try_recv().ok()) else {
                return;
            };
            if let Command::Close { reply } = command {
                self.queue.close();
                self.closing = Some(reply);
            } else {
                group.add(command);
            }
        }
    }
}

/// The writer's own things.
pub(super) struct Writer {
    pub(super) connection: SqliteConnection,
    /// The runs in state `running`: only the writer makes them so.
    pub(super) driven: HashMap<RunId, Driven>,
    /// Runs that may exclude others; only the writer lets them.
    pub(super) excluding: HashSet<RunId>,
    /// Runs that may have money on its way; only the writer lets them.
    pub(super) moving: HashSet<RunId>,
    /// How far the clock is believed by what forgets.
    pub(super) clock_seen: ClockSeen,
    /// The newest event's mark; only the writer gives marks.
    pub(super) last_mark: i64,
    /// Up to which event runs were made; only the writer moves it.
    pub(super) cursor: i64,
    /// Whether a run may be waiting for an event. Said too often it costs a look, never said it would leave one waiting.
    pub(super) anybody_waits: bool,
    /// When the newest run of each workflow that succeeded was made; only the writer knows of successes.
    pub(super) last_success: HashMap<String, i64>,
    /// Events of the present transaction.
    pub(super) fresh: Vec<Fresh>,
    /// Events committed and not yet routed.
    pub(super) tail: Tail,
    pub(super) readers: SqlitePool,
    /// How large the log is.
    pub(super) growth: Growth,
    /// Names the last effect that was sent, outside the database.
    pub(super) witness: Witness,
    /// The newest effect of the present transaction.
    pub(super) sent: Option<Testimony>,
    /// What is known of an older state that was put back.
    pub(super) restored: Option<Restored>,
    /// Up to when events were pruned.
    pub(super) pruned_before: Option<Instant>,
    pub(super) lock: FolderLock,
    pub(super) on_failure: OnFailure,
    pub(super) poisoned: Arc<OnceLock<String>>,
}

impl Writer {
    /// Starts the writer. A thread of its own: as a task it would stand in line behind every other task at each
    /// statement, and everybody waits for the writer.
    pub(super) fn start(self, queue: UnboundedReceiver<Command>) -> std::io::Result<()> {
        let runtime = tokio::runtime::Handle::current();
        let thread = std::thread::Builder::new().name("store".to_owned());
        let aborts = self.on_failure == OnFailure::Abort;
        let work = move || {
            let panics = AbortOnPanic(aborts);
            runtime.block_on(self.run(queue));
            drop(panics);
        };
        thread.spawn(work).map(drop)
    }

    /// Works until the store is closed or dropped.
    async fn run(mut self, queue: UnboundedReceiver<Command>) {
        let mut inbox = Inbox { queue, closing: None };
        while let Some(first) = inbox.queue.recv().await {
            // Everybody answered by the last commit gets to speak first, and shares this one.
            std::thread::yield_now();
            let mut group = Group::default();
            inbox.fill(&mut group, Some(first));
            if !group.is_empty() {
                self.write(group, &mut inbox).await;
            }
            if inbox.closing.is_some() {
                break;
            }
        }
        self.end(inbox.closing).await;
    }

    async fn write(&mut self, group: Group, inbox: &mut Inbox) {
        let mut answers = Answers::default();
        let committed = match self.poisoned.get() {
            Some(reason) => {
                // The replies are dropped, which their callers read as "not available".
                tracing::debug!(writes = group.writes, reason, "writes after a failure are refused");
                return;
            }
            None => self.transact(group, inbox, &mut answers).await,
        };
        reach(FaultPoint::CommitDone);
        // Before anybody is answered: nothing is sent that the witness does not know of.
        let committed = committed.and_then(|()| self.testify()).map_err(|error| {
            self.fail(&error);
            unavailable(error)
        });
        // Before anybody is answered: who hears of an event finds it.
        if committed.is_ok() {
            self.tail.committed(self.fresh.drain(..), self.cursor);
        }
        // By the runtime's own threads: from here each answer would cost a change of thread, and the next group waits.
        let is_durable = committed.is_ok();
        drop(tokio::spawn(async move { answers.deliver(&committed) }));
        if is_durable {
            self.keep_log_small().await;
        }
    }

    /// Admissions first, then appends, then new runs, then the others in the order of their calls. Nobody of a group
    /// has been answered yet, so nobody can have relied on another order; but who hands over an append and then asks
    /// for something else finds the append done.
    ///
    /// Each text sent to the database's own thread costs two changes of thread, during which nobody can write. So a
    /// group of one kind is begun, written and committed by one text. Any other group takes in what was asked for
    /// while it was written, before it is committed: so a claim follows what it claims into the same commit.
    async fn transact(&mut self, group: Group, inbox: &mut Inbox, answers: &mut Answers) -> Result<(), sqlx::Error> {
        let whole = Bounds {
            begins: true,
            commits: true,
        };
        if group.is_only(group.arrivals.len()) {
            reach(FaultPoint::CommitBegun);
            return self.admit_all(group.arrivals, whole, answers).await;
        }
        if group.is_only(group.appends.len()) {
            reach(FaultPoint::CommitBegun);
            return self.append_all(group.appends, whole, answers).await;
        }
        let part = Bounds {
            begins: false,
            commits: false,
        };
        self.begin_if(true).await?;
        let mut group = group;
        loop {
            let (writes, bytes) = (group.writes, group.bytes);
            if !group.arrivals.is_empty() {
                self.admit_all(group.arrivals, part, answers).await?;
            }
            self.append_all(group.appends, part, answers).await?;
            self.create_all(group.created, answers).await?;
            for other in group.others {
                self.write_one(other, answers).await?;
            }
            group = Group {
                writes,
                bytes,
                ..Group::default()
            };
            inbox.fill(&mut group, None);
            if group.writes == writes {
                break;
            }
        }
        reach(FaultPoint::CommitBegun);
        self.commit_if(true).await
    }

    pub(super) async fn begin_if(&mut self, begins: bool) -> Result<(), sqlx::Error> {
        if begins {
            sqlx::query("BEGIN IMMEDIATE").execute(&mut self.connection).await?;
        }
        Ok(())
    }

    pub(super) async fn commit_if(&mut self, commits: bool) -> Result<(), sqlx::Error> {
        if commits {
            sqlx::query("COMMIT").execute(&mut self.connection).await?;
        }
        Ok(())
    }

    async fn write_one(&mut self, command: Command, answers: &mut Answers) -> Result<(), sqlx::Error> {
        match command {
            Command::Claim {
                worker,
                now,
                lease_until,
                limit,
                reply,
            } => {
                match self.claim(worker, now, lease_until, limit).await {
                    // Not held back until the commit: see [`crate::store::Store::claim`]. Nobody may be waiting any
                    // more; then the leases lapse.
                    Ok(claims) => drop(reply.send(Ok(claims))),
                    refused => return answers.settle(reply, refused),
                }
                Ok(())
            }
            Command::Renew {
                worker,
                runs,
                lease_until,
                reply,
            } => {
                let done = self.renew(worker, &runs, lease_until).await;
                answers.settle(reply, done)
            }
            Command::WakeDue { now, reply } => {
                let done = self.wake_due(now).await;
                answers.settle(reply, done)
            }
            Command::ReclaimAll { reply } => {
                let done = self.reclaim_all().await;
                answers.settle(reply, done)
            }
            Command::Resolve { decision, reply } => {
                let done = self.resolve(*decision).await;
                answers.settle(reply, done)
            }
            Command::Decide { decision, reply } => {
                let done = self.decide(*decision).await;
                answers.settle(reply, done)
            }
            Command::Examined { run, found, reply } => {
                let done = self.examined(run, found).await;
                answers.settle(reply, done)
            }
            Command::PassOver(unmade, reply) => {
                let done = self.pass_over(&unmade).await;
                answers.settle(reply, done)
            }
            Command::Pause(pause, reply) => {
                let done = self.pause(&pause).await;
                answers.settle(reply, done)
            }
            Command::Resume {
                workflow,
                resumption,
                reply,
            } => {
                let done = self.resume(&workflow, &resumption).await;
                answers.settle(reply, done)
            }
            Command::DoubtClock { since, reason, reply } => {
                let done = self.doubt_clock(since, reason).await;
                answers.settle(reply, done)
            }
            Command::TrustClock { now, reply } => {
                let done = self.trust_clock(now).await;
                answers.settle(reply, done)
            }
            Command::SeeClock { now, reply } => {
                let done = self.see_clock(now).await;
                answers.settle(reply, done)
            }
            Command::SettleSlots { key, until, reply } => {
                let done = self.settle_slots(&key, until).await;
                answers.settle(reply, done)
            }
            Command::Barrier { reply } => answers.settle(reply, Ok(())),
            Command::Cancel {
                run,
                actor,
                reason,
                now,
                reply,
            } => {
                let done = self.cancel(run, &actor, &reason, now).await;
                answers.settle(reply, done)
            }
            Command::SetBackfillFrom {
                connection,
                from,
                reply,
            } => {
                let done = self.set_backfill_from(&connection, from).await;
                answers.settle(reply, done)
            }
            Command::Exclude {
                lease,
                exclusion,
                reply,
            } => {
                let done = self.exclude(&lease, exclusion).await;
                answers.settle(reply, done)
            }
            Command::Reserve {
                lease,
                reservation,
                reply,
            } => {
                let done = self.reserve(&lease, reservation).await;
                answers.settle(reply, done)
            }
            Command::ReleaseReserved { lease, release, reply } => {
                let done = self.release_reserved(&lease, release).await;
                answers.settle(reply, done)
            }
            Command::SetBreaker {
                connection,
                tripped,
                reply,
            } => {
                let done = self.set_breaker(&connection, tripped).await;
                answers.settle(reply, done)
            }
            Command::SaveVersion { version, reply } => {
                let done = self.save_version(*version).await;
                answers.settle(reply, done)
            }
            Command::Restored { now, reply } => {
                let done = self.restored(now).await;
                answers.settle(reply, done)
            }
            Command::AcceptRestore { acceptance, reply } => {
                let done = self.accept_restore(acceptance).await;
                answers.settle(reply, done)
            }
            Command::Route(routing, reply) => {
                let done = self.route(*routing).await;
                answers.settle(reply, done)
            }
            Command::Admit(_) | Command::Create(..) | Command::Append(..) | Command::Close { .. } => Ok(()),
        }
    }

    /// The outcome of the transaction is unknown: a disk may have taken it although it said it did not.
    fn fail(&self, error: &sqlx::Error) {
        tracing::error!(%error, "the store failed in a transaction, whose outcome is unknown");
        match self.on_failure {
            OnFailure::Abort => std::process::abort(),
            OnFailure::Poison => {
                // Only the first reason is kept.
                self.poisoned.get_or_init(|| error.to_string());
            }
        }
    }

    async fn end(self, closing: Option<Reply<()>>) {
        let Self {
            mut connection,
            mut witness,
            readers,
            lock,
            poisoned,
            ..
        } = self;
        readers.close().await;
        let closed = async {
            if poisoned.get().is_none() {
                sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)")
                    .execute(&mut connection)
                    .await?;
            }
            sqlx::Connection::close(connection).await
        }
        .await;
        if let Err(error) = witness.sync() {
            tracing::warn!(%error, "`bursar.sent` could not be forced to the disk");
        }
        lock.release();
        if let Err(error) = &closed {
            tracing::warn!(%error, "the store did not close cleanly; nothing is lost, the next start recovers it");
        }
        if let Some(reply) = closing {
            drop(reply.send(closed.map_err(unavailable)));
        }
    }
}
