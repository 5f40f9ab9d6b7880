//! The store in one SQLite file: for one process on one machine.
//!
//! Writes go to one thread in the order of the calls and share commits (`writer`); reads go to a pool that
//! cannot write (`reader`). SQL is static everywhere: nothing is ever put into a statement as text.

mod admit;
mod append;
mod approval;
mod backfill;
mod breaker;
pub mod care;
mod connect;
mod decide;
mod exclusive;
mod fate;
mod growth;
mod lease;
mod lineage;
mod lock;
mod meta;
mod movement;
mod overlap;
mod pruned;
mod reader;
mod route;
mod rows;
mod seen;
mod slots;
mod tail;
mod values;
mod version;
mod witness;
mod writer;

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::{Arc, OnceLock};

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

use self::admit::Arrival;
use self::append::PendingAppend;
use self::growth::Growth;
use self::lock::FolderLock;
pub use self::lock::is_held;
use self::reader::Reader;
use self::route::{MadeRun, PendingRouting};
use self::seen::ClockSeen;
use self::tail::Tail;
use self::version::StoredVersion;
use self::witness::Witness;
use self::writer::{Command, Reply, Writer};
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
use crate::model::journal::Record;
use crate::model::run::{EventMark, NewRun, Run, RunError, RunState};
use crate::model::unmade::{ClockDoubt, Pause, Resumption, Unmade};
use crate::model::value::Value;
use crate::model::workflow::Version;

/// What survives a loss of power.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// Everything that was answered. The only choice for money.
    #[default]
    Full,
    /// Everything but the last moments. For measurements only.
    Normal,
}

/// What happens when a transaction fails, whose outcome is then unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnFailure {
    /// The process ends at once; the next start finds out what is there.
    #[default]
    Abort,
    /// Every later call answers [`StoreError::Unavailable`]. For tests, which cannot end with it.
    Poison,
}

/// How to open a store.
#[derive(Debug, Clone, Copy, Default)]
pub struct SqliteOptions {
    /// What survives a loss of power.
    pub durability: Durability,
    /// What happens when a transaction fails.
    pub on_failure: OnFailure,
}

/// The store in one SQLite file.
#[derive(Debug)]
pub struct SqliteStore {
    /// Absent in a store opened for reading only.
    queue: Option<UnboundedSender<Command>>,
    /// As absent as the writer that fills it.
    tail: Option<Tail>,
    reader: Reader,
    /// Asked for by every batch of events, and never changed.
    secret: OnceLock<[u8; 32]>,
    poisoned: Arc<OnceLock<String>>,
}

impl SqliteStore {
    /// Opens the store in this folder, made if it is not there, and starts its writer beside the
    /// present runtime. The folder belongs to this process until the store is closed, or dropped and its last
    /// writes done.
    ///
    /// # Errors
    /// [`StoreError::Locked`], [`StoreError::Newer`], or [`StoreError::Unavailable`] with what to do.
    pub async fn open(folder: &Path, options: SqliteOptions) -> Result<Arc<Self>, StoreError> {
        connect::prepare_folder(folder)?;
        let lock = FolderLock::take(folder)?;
        connect::prove_folder(folder)?;
        // Made here rather than by SQLite, so that nobody else can read it from its first moment on.
        drop(connect::private_file(&connect::file_in(folder))?);
        let mut connection = connect::connect(&connect::writing(folder, options)).await?;
        connect::prove_settings(&mut connection, options).await?;
        connect::migrate(&mut connection).await?;
        connect::ensure_secret(&mut connection).await?;
        let (mut witness, said) = Witness::open(folder)?;
        let restored = lineage::examine(&mut connection, &mut witness, said).await?;
        let pruned_before = pruned::kept(&mut connection).await?;
        let reader = Reader::open(folder).await?;
        let cursor = reader.cursor().await?;
        let last_mark = reader.last_mark().await?.max(cursor);
        let tail = Tail::new(cursor, last_mark);
        let poisoned = Arc::new(OnceLock::new());
        let writer = Writer {
            connection,
            driven: HashMap::new(),
            excluding: reader.excluding().await?,
            moving: reader.moving().await?,
            clock_seen: ClockSeen::kept(&reader).await?,
            last_mark,
            cursor,
            fresh: Vec::new(),
            anybody_waits: true,
            tail: tail.clone(),
            last_success: reader.last_success().await?,
            readers: reader.pool().clone(),
            growth: Growth::of(&connect::file_in(folder)),
            witness,
            sent: None,
            restored,
            pruned_before,
            lock,
            on_failure: options.on_failure,
            poisoned: Arc::clone(&poisoned),
        };
        let (queue, commands) = unbounded_channel();
        writer
            .start(commands)
            .map_err(|error| StoreError::Unavailable(format!("the system gives no thread: {error}")))?;
        Ok(Arc::new(Self {
            queue: Some(queue),
            tail: Some(tail),
            reader,
            secret: OnceLock::new(),
            poisoned,
        }))
    }

    /// Opens the store in this folder for reading, also while another process writes to it. Everything that
    /// would write answers [`StoreError::Unavailable`].
    ///
    /// # Errors
    /// [`StoreError::Newer`], or [`StoreError::Unavailable`] with what to do.
    pub async fn open_read_only(folder: &Path) -> Result<Arc<Self>, StoreError> {
        if !connect::file_in(folder).exists() {
            return Err(StoreError::Unavailable(format!(
                "there is no store in {}: start the daemon there first",
                folder.display()
            )));
        }
        let reader = Reader::open(folder).await?;
        reader.prove_schema().await?;
        Ok(Arc::new(Self {
            queue: None,
            tail: None,
            reader,
            secret: OnceLock::new(),
            poisoned: Arc::new(OnceLock::new()),
        }))
    }

    /// Queues a write now; the answer only waits for its commit.
    fn submit<T: Send + 'static>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Answer<'static, T> {
        let Some(queue) = &self.queue else {
            let error = "it was opened for reading only; this needs the daemon, or a store no daemon holds";
            return refused(StoreError::Unavailable(error.to_owned()));
        };
        let (reply, answer) = oneshot::channel();
        if queue.send(command(reply)).is_err() {
            return refused(gone(&self.poisoned));
        }
        let poisoned = self.poisoned.clone();
        Box::pin(async move { answer.await.unwrap_or_else(|_| Err(gone(&poisoned))) })
    }

    /// Reads, unless the store failed before.
    fn read<'a, T: 'a>(&'a self, answer: impl Future<Output = Result<T, StoreError>> + Send + 'a) -> Answer<'a, T> {
        Box::pin(async move {
            if self.poisoned.get().is_some() {
                return Err(gone(&self.poisoned));
            }
            answer.await
        })
    }
}

/// Why nothing is answered any more.
fn gone(poisoned: &OnceLock<String>) -> StoreError {
    StoreError::Unavailable(match poisoned.get() {
        Some(reason) => format!("a transaction failed before, and its outcome is unknown: {reason}"),
        None => "it was closed".to_owned(),
    })
}

fn refused<'a, T: Send + 'a>(error: StoreError) -> Answer<'a, T> {
    Box::pin(std::future::ready(Err(error)))
}

/// A statement or a connection failed outside a write that was answered for.
fn unavailable(error: sqlx::Error) -> StoreError {
    read_failed(error)
}

/// What a failed read means.
fn read_failed(error: sqlx::Error) -> StoreError {
    match error {
        sqlx::Error::PoolClosed => StoreError::Unavailable("it was closed".to_owned()),
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => StoreError::Corrupt(error.to_string()),
        // SQLITE_CORRUPT and SQLITE_NOTADB, with their extended forms.
        sqlx::Error::Database(error)
            if error
                .code()
                .is_some_and(|code| code.parse::<i32>().is_ok_and(|code| matches!(code & 0xff, 11 | 26))) =>
        {
            StoreError::Corrupt(error.to_string())
        }
        other => StoreError::Unavailable(other.to_string()),
    }
}

impl Store for SqliteStore {
    fn admit(&self, event: Event) -> Answer<'_, Admitted> {
        self.submit(|reply| Command::Admit(Box::new(Arrival::new(event, reply))))
    }

    fn unrouted(&self, limit: u32, bytes_max: usize) -> Answer<'_, Unrouted> {
        self.read(async move {
            match self.tail.as_ref().and_then(|tail| tail.unrouted(limit, bytes_max)) {
                Some(unrouted) => Ok(unrouted),
                None => self.reader.unrouted(limit, bytes_max).await,
            }
        })
    }

    fn behind(&self) -> Answer<'_, BTreeSet<String>> {
        self.read(self.reader.behind())
    }

    fn unrouted_by<'a>(&'a self, workflow: &'a str, limit: u32, bytes_max: usize) -> Answer<'a, Unrouted> {
        self.read(self.reader.unrouted_by(workflow, limit, bytes_max))
    }

    fn route(&self, routing: Routing) -> Answer<'_, Routed> {
        self.submit(|reply| Command::Route(Box::new(PendingRouting::new(routing)), reply))
    }

    fn create_run(&self, run: NewRun) -> Answer<'_, Made> {
        self.submit(|reply| Command::Create(Box::new(MadeRun::new(run)), reply))
    }

    fn pass_over(&self, unmade: Unmade) -> Answer<'_, ()> {
        self.submit(|reply| Command::PassOver(Box::new(unmade), reply))
    }

    fn unmade<'a>(&'a self, workflow: Option<&'a str>, limit: u32) -> Answer<'a, Vec<Unmade>> {
        self.read(self.reader.unmade(workflow, limit))
    }

    fn save_version(&self, version: Version) -> Answer<'_, ()> {
        self.submit(|reply| Command::SaveVersion {
            version: Box::new(StoredVersion::new(&version)),
            reply,
        })
    }

    fn settled_until<'a>(
        &'a self,
        workflow: &'a str,
        schedule: &'a str,
        timezone: &'a str,
        not_after: Instant,
    ) -> Answer<'a, Option<Instant>> {
        self.read(self.reader.settled_until(workflow, schedule, timezone, not_after))
    }

    fn settle_slots(&self, key: SlotKey, until: Instant) -> Answer<'_, ()> {
        self.submit(|reply| Command::SettleSlots { key, until, reply })
    }

    fn slot_runs(&self, query: SlotQuery) -> Answer<'_, Vec<SlotRun>> {
        self.read(async move { self.reader.slot_runs(&query).await })
    }

    fn claim(&self, worker: WorkerId, now: Instant, lease_until: Instant, limit: u32) -> Answer<'_, Vec<Claim>> {
        self.submit(|reply| Command::Claim {
            worker,
            now,
            lease_until,
            limit,
            reply,
        })
    }

    fn renew(&self, worker: WorkerId, runs: Vec<RunId>, lease_until: Instant) -> Answer<'_, ()> {
        self.submit(|reply| Command::Renew {
            worker,
            runs,
            lease_until,
            reply,
        })
    }

    fn append(&self, lease: &Lease, append: Append, now: Instant) -> Written {
        match PendingAppend::new(lease, append, now) {
            Ok(pending) => self.submit(|reply| Command::Append(Box::new(pending), reply)),
            Err(error) => refused(error),
        }
    }

    fn wake_due(&self, now: Instant) -> Answer<'_, (u64, Option<Instant>)> {
        self.submit(|reply| Command::WakeDue { now, reply })
    }

    fn reclaim_all(&self, _now: Instant) -> Answer<'_, u64> {
        self.submit(|reply| Command::ReclaimAll { reply })
    }

    fn pauses(&self) -> Answer<'_, Vec<Pause>> {
        self.read(self.reader.pauses())
    }

    fn pause(&self, pause: Pause) -> Answer<'_, ()> {
        self.submit(|reply| Command::Pause(pause, reply))
    }

    fn resume(&self, workflow: &str, resumption: Resumption) -> Answer<'_, bool> {
        let workflow = workflow.to_owned();
        self.submit(|reply| Command::Resume {
            workflow,
            resumption,
            reply,
        })
    }

    fn resumed<'a>(&'a self, workflow: &'a str) -> Answer<'a, Option<Resumption>> {
        self.read(self.reader.resumed(workflow))
    }

    fn clock_doubt(&self) -> Answer<'_, Option<ClockDoubt>> {
        self.read(self.reader.clock_doubt())
    }

    fn doubt_clock(&self, since: Instant, reason: String) -> Answer<'_, ()> {
        self.submit(|reply| Command::DoubtClock { since, reason, reply })
    }

    fn trust_clock(&self, now: Instant) -> Answer<'_, bool> {
        self.submit(|reply| Command::TrustClock { now, reply })
    }

    fn clock_seen(&self) -> Answer<'_, Option<Instant>> {
        self.read(self.reader.clock_seen())
    }

    fn see_clock(&self, now: Instant) -> Answer<'_, ()> {
        self.submit(|reply| Command::SeeClock { now, reply })
    }

    fn backfill_from<'a>(&'a self, connection: &'a str) -> Answer<'a, Option<BackfillMark>> {
        self.read(self.reader.backfill_from(connection))
    }

    fn set_backfill_from(&self, connection: &str, from: Instant) -> Answer<'_, ()> {
        let connection = connection.to_owned();
        self.submit(|reply| Command::SetBackfillFrom {
            connection,
            from,
            reply,
        })
    }

    fn exclude(&self, lease: &Lease, exclusion: Exclusion) -> Answer<'_, Option<Holder>> {
        let lease = lease.clone();
        self.submit(|reply| Command::Exclude {
            lease,
            exclusion,
            reply,
        })
    }

    fn reserve(&self, lease: &Lease, reservation: Reservation) -> Answer<'_, bool> {
        let lease = lease.clone();
        self.submit(|reply| Command::Reserve {
            lease,
            reservation,
            reply,
        })
    }

    fn release_reserved(&self, lease: &Lease, release: Release) -> Answer<'_, bool> {
        let lease = lease.clone();
        self.submit(|reply| Command::ReleaseReserved { lease, release, reply })
    }

    fn set_breaker(&self, connection: String, tripped: Option<Tripped>) -> Answer<'_, ()> {
        self.submit(|reply| Command::SetBreaker {
            connection,
            tripped,
            reply,
        })
    }

    fn resolve(&self, decision: Decision) -> Answer<'_, ()> {
        self.submit(|reply| Command::Resolve {
            decision: Box::new(decision),
            reply,
        })
    }

    fn decide(&self, decision: ApprovalDecision) -> Answer<'_, ()> {
        self.submit(|reply| Command::Decide {
            decision: Box::new(decision),
            reply,
        })
    }

    fn examined(&self, run: RunId, found: Option<RunError>) -> Answer<'_, ()> {
        self.submit(|reply| Command::Examined { run, found, reply })
    }

    fn durable(&self) -> Answer<'_, ()> {
        self.submit(|reply| Command::Barrier { reply })
    }

    fn cancel<'a>(&'a self, run: RunId, actor: &'a str, reason: &'a str, now: Instant) -> Answer<'a, RunState> {
        self.submit(|reply| Command::Cancel {
            run,
            actor: actor.to_owned(),
            reason: reason.to_owned(),
            now,
            reply,
        })
    }

    fn run(&self, id: RunId) -> Answer<'_, Option<Run>> {
        self.read(self.reader.run(id))
    }

    fn journal(&self, run: RunId) -> Answer<'_, Vec<Record>> {
        self.read(self.reader.journal(run))
    }

    fn runs(&self, query: RunQuery) -> Answer<'_, Vec<Run>> {
        self.read(self.reader.runs(query))
    }

    fn version(&self, digest: Digest) -> Answer<'_, Option<Version>> {
        self.read(self.reader.version(digest))
    }

    fn event(&self, id: EventId) -> Answer<'_, Option<Event>> {
        self.read(self.reader.event(id))
    }

    fn events(&self, query: EventQuery) -> Answer<'_, Vec<Event>> {
        self.read(self.reader.events(query))
    }

    fn fates(&self, events: Vec<EventId>) -> Answer<'_, Vec<Fate>> {
        self.read(self.reader.fates(events))
    }

    fn find_event(&self, filter: EventFilter) -> Answer<'_, (Option<Event>, EventMark)> {
        self.read(self.reader.find_event(filter))
    }

    fn state<'a>(&'a self, workflow: &'a str, key: &'a str) -> Answer<'a, Option<Value>> {
        self.read(self.reader.state(workflow, key))
    }

    fn open_movements<'a>(&'a self, connection: &'a str, account: &'a str) -> Answer<'a, OpenMovements> {
        self.read(self.reader.open_movements(connection, account))
    }

    fn accepted<'a>(&'a self, connection: &'a str, account: &'a str, since: Instant) -> Answer<'a, Vec<Accepted>> {
        self.read(self.reader.accepted(connection, account, since))
    }

    fn breakers(&self) -> Answer<'_, Vec<Tripped>> {
        self.read(self.reader.breakers())
    }

    fn counts(&self) -> Answer<'_, Vec<(RunState, u64)>> {
        self.read(self.reader.counts())
    }

    fn installation_secret(&self) -> Answer<'_, [u8; 32]> {
        self.read(async {
            if let Some(secret) = self.secret.get() {
                return Ok(*secret);
            }
            let secret = self.reader.installation_secret().await?;
            Ok(*self.secret.get_or_init(|| secret))
        })
    }

    fn restored(&self, now: Instant) -> Answer<'_, Option<Restored>> {
        if self.queue.is_none() {
            return self.read(self.reader.restored());
        }
        self.submit(|reply| Command::Restored { now, reply })
    }

    fn accept_restore(&self, acceptance: Acceptance) -> Answer<'_, ()> {
        self.submit(|reply| Command::AcceptRestore { acceptance, reply })
    }

    fn close(&self) -> Answer<'_, ()> {
        if self.queue.is_none() {
            return Box::pin(async {
                self.reader.pool().close().await;
                Ok(())
            });
        }
        let closing = self.submit(|reply| Command::Close { reply });
        Box::pin(async move {
            match closing.await {
                // It was closed before, which is what was asked for.
                Err(StoreError::Unavailable(_)) if self.reader.pool().is_closed() => Ok(()),
                other => other,
            }
        })
    }
}
