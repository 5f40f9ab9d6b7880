//! The one writer: a thread that owns the one connection that writes.
//!
//! It takes what is queued, in the order of the calls, into one transaction, commits, and only then answers
//! everybody. A write that a rule refuses writes nothing and does not disturb the others. A transaction that
//! fails has an unknown outcome, so nothing may go on as if it were known: see [`OnFailure`].

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use sqlx::{SqliteConnection, SqlitePool};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::oneshot;

use super::admit::Intake;
use super::append::{Driven, PendingAppend};
use super::lock::FolderLock;
use super::{OnFailure, unavailable};
use crate::base::clock::Instant;
use crate::base::ids::{RunId, WorkerId};
use crate::base::limits::GROUP_COMMIT_WRITES_MAX;
use crate::model::run::RunState;
use crate::store::{Claim, Decision, StoreError};

/// What a transaction may carry at most, so that its texts stay far below what SQLite can hold in one.
const GROUP_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Where an answer goes.
pub(super) type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// Something to write, with where its answer goes.
pub(super) enum Command {
    Intake(Box<Intake>),
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
    Cancel {
        run: RunId,
        actor: String,
        reason: String,
        now: Instant,
        reply: Reply<RunState>,
    },
    SaveVersion {
        version: Box<super::version::StoredVersion>,
        reply: Reply<()>,
    },
    Close {
        reply: Reply<()>,
    },
}

impl Command {
    fn bytes(&self) -> usize {
        match self {
            Self::Intake(intake) => intake.bytes(),
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
        // Nobody may be waiting any more; the write stands all the same.
        self.0
            .push(Box::new(move |committed| drop(reply.send(committed.and(answer)))));
    }

    /// The same for a write whose database failure ends the transaction.
    fn settle<T: Send + 'static>(&mut self, reply: Reply<T>, done: Result<T, Halt>) -> Result<(), sqlx::Error> {
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

/// The writer's own things.
pub(super) struct Writer {
    pub(super) connection: SqliteConnection,
    /// The runs in state `running`: only the writer makes them so.
    pub(super) driven: HashMap<RunId, Driven>,
    /// The newest event's mark; only the writer admits events.
    pub(super) last_mark: i64,
    pub(super) readers: SqlitePool,
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
        thread.spawn(move || runtime.block_on(self.run(queue))).map(drop)
    }

    /// Works until the store is closed or dropped.
    async fn run(mut self, mut queue: UnboundedReceiver<Command>) {
        let mut closing = None;
        while let Some(first) = queue.recv().await {
            // Everybody answered by the last commit gets to speak first, and shares this one.
            std::thread::yield_now();
            let mut group = Vec::new();
            let mut bytes = 0;
            let mut next = Some(first);
            while let Some(command) = next {
                if let Command::Close { reply } = command {
                    queue.close();
                    closing = Some(reply);
                    break;
                }
                bytes += command.bytes();
                group.push(command);
                let full = group.len() >= GROUP_COMMIT_WRITES_MAX || bytes >= GROUP_BYTES_MAX;
                next = if full { None } else { queue.try_recv().ok() };
            }
            if !group.is_empty() {
                self.write(group).await;
            }
            if closing.is_some() {
                break;
            }
        }
        self.end(closing).await;
    }

    async fn write(&mut self, group: Vec<Command>) {
        let mut answers = Answers::default();
        let committed = match self.poisoned.get() {
            Some(reason) => {
                // The replies are dropped, which their callers read as "not available".
                tracing::debug!(writes = group.len(), reason, "writes after a failure are refused");
                return;
            }
            None => self.transact(group, &mut answers).await,
        };
        let committed = committed.map_err(|error| {
            self.fail(&error);
            unavailable(error)
        });
        answers.deliver(&committed);
    }

    /// Admissions first, then appends, then the others in the order of their calls. Nobody of a group has been
    /// answered yet, so nobody can have relied on another order; but who hands over an append and then asks for
    /// something else finds the append done.
    ///
    /// Each text sent to the database's own thread costs two changes of thread, during which nobody can write.
    /// So the transaction is begun by the first and, if nothing else is in it, committed by the last.
    async fn transact(&mut self, group: Vec<Command>, answers: &mut Answers) -> Result<(), sqlx::Error> {
        let mut intakes = Vec::new();
        let mut appends = Vec::new();
        let mut others = Vec::new();
        for command in group {
            match command {
                Command::Intake(intake) => intakes.push(*intake),
                Command::Append(append, reply) => appends.push((*append, reply)),
                other => others.push(other),
            }
        }
        let begun = !intakes.is_empty();
        if begun {
            self.take_in(intakes, answers).await?;
        }
        let bounds = Bounds {
            begins: !begun,
            commits: others.is_empty(),
        };
        self.append_all(appends, bounds, answers).await?;
        if bounds.commits {
            return Ok(());
        }
        for other in others {
            self.write_one(other, answers).await?;
        }
        sqlx::query("COMMIT").execute(&mut self.connection).await?;
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
                let done = self.claim(worker, now, lease_until, limit).await;
                answers.settle(reply, done)
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
            Command::SaveVersion { version, reply } => {
                let done = self.save_version(*version).await;
                answers.settle(reply, done)
            }
            Command::Intake(_) | Command::Append(..) | Command::Close { .. } => Ok(()),
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
        lock.release();
        if let Err(error) = &closed {
            tracing::warn!(%error, "the store did not close cleanly; nothing is lost, the next start recovers it");
        }
        if let Some(reply) = closing {
            drop(reply.send(closed.map_err(unavailable)));
        }
    }
}
