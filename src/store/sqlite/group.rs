//! One transaction of the writer, in as few journeys to the database's own thread as its rules allow.
//!
//! Each journey costs two changes of thread, during which nobody else can write; a group that makes a dozen of
//! them waits longer for threads than for the disk. So the statements of a group go in two texts: the first
//! says what is there, the second writes what follows from it. A statement with nothing to do is given an
//! empty list and costs next to nothing.

use std::collections::HashSet;

use futures_util::TryStreamExt as _;
use sqlx::{Either, Row as _};

use super::admit::{self, Intake, Waiting};
use super::append::{PendingAppend, Views, read_view, runs_of};
use super::writer::{Answers, Reply, Writer};

/// Opens the transaction. Inserts the events of $1 that are not there; asks which runs wait for anything like
/// $2; asks how the runs of $3 stand.
///
/// Of the waiting runs two look-ups rather than one with OR: each is one seek in the index.
const OPEN: &str = "BEGIN IMMEDIATE; \
    INSERT INTO event (id, connection, provider_id, kind, subject, occurred_at, received_at, payload) \
    SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7 \
    FROM json_each($1) WHERE true ON CONFLICT DO NOTHING RETURNING id, mark; \
    SELECT run.id, run.wait_filter FROM json_each($2) AS arrived CROSS JOIN run \
    WHERE run.wait_connection = arrived.value ->> 0 AND run.wait_subject IS NULL \
    UNION \
    SELECT run.id, run.wait_filter FROM json_each($2) AS arrived CROSS JOIN run \
    WHERE run.wait_connection = arrived.value ->> 0 AND run.wait_subject = arrived.value ->> 1; \
    SELECT run.id, run.state, run.fence, run.worker, run.cancel_note, run.workflow, run.created_at, \
           coalesce((SELECT max(seq) FROM journal WHERE journal.run = run.id), 0) \
    FROM run WHERE run.id IN (SELECT value FROM json_each($3))";

/// Which statement of [`OPEN`] a row belongs to: how many ended before it.
const OPEN_EVENTS: usize = 1;
const OPEN_WAITING: usize = 2;

/// Makes the runs of $1 with their documents $2, queues the waiting runs of $3, writes the lines of journals of
/// $4, the ends of turns of $5 and the newest successes of $6. Its only rows are the runs it made.
const WRITE: &str = "INSERT INTO run (id, workflow, version, cause, cause_key, state, created_at, last_success_at) \
    SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, 'queued', value ->> 5, \
           (SELECT last_success_at FROM workflow_success WHERE workflow = value ->> 1) \
    FROM json_each($1) WHERE true ON CONFLICT DO NOTHING RETURNING id; \
    INSERT INTO run_input (run, event, params) \
    SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each($2) \
    WHERE EXISTS (SELECT 1 FROM run WHERE run.id = value ->> 0) ON CONFLICT DO NOTHING; \
    UPDATE run SET state = 'queued', wake_at = NULL, wait_connection = NULL, wait_subject = NULL, wait_filter = NULL \
    WHERE id IN (SELECT value FROM json_each($3)) AND state = 'waiting'; \
    INSERT INTO journal (run, seq, at, entry) \
    SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM json_each($4); \
    UPDATE run SET state = new.value ->> 1, finished_at = new.value ->> 2, wake_at = new.value ->> 3, \
           wait_connection = new.value ->> 4, wait_subject = new.value ->> 5, wait_filter = new.value ->> 6, \
           result = new.value ->> 7, error = new.value ->> 8, worker = NULL, lease_until = NULL \
    FROM json_each($5) AS new WHERE run.id = new.value ->> 0; \
    INSERT INTO workflow_success (workflow, last_success_at) \
    SELECT value ->> 0, max(value ->> 1) FROM json_each($6) WHERE true GROUP BY 1 \
    ON CONFLICT (workflow) DO UPDATE SET last_success_at = max(last_success_at, excluded.last_success_at)";

/// What stood there when the transaction was opened.
struct Opened {
    new_events: HashSet<String>,
    waiting: Vec<Waiting>,
    views: Views,
}

impl Writer {
    /// Opens a transaction and writes the admissions and the appends of a group.
    ///
    /// They may have come mixed; none can tell which was first, because nobody has been answered yet. Of two
    /// equal events or causes the first one counts, and the appends of one run keep their order.
    pub(super) async fn open_and_write(
        &mut self,
        intakes: Vec<Intake>,
        appends: Vec<(PendingAppend, Reply<()>)>,
        answers: &mut Answers,
    ) -> Result<(), sqlx::Error> {
        let Opened {
            new_events,
            waiting,
            mut views,
        } = self.open(&intakes, &appends).await?;
        if intakes.is_empty() && appends.is_empty() {
            return Ok(());
        }
        let sorted = admit::sort(intakes, new_events, waiting);
        let accepted = self.accept(appends, &mut views, answers).await?;
        let made: Vec<String> = sqlx::query_scalar(WRITE)
            .bind(sorted.runs.as_str())
            .bind(sorted.inputs.as_str())
            .bind(sorted.queued.as_str())
            .bind(accepted.records.as_str())
            .bind(accepted.settled.as_str())
            .bind(accepted.succeeded.as_str())
            .fetch_all(&mut self.connection)
            .await?;
        self.put_state(&views, &accepted).await?;
        self.taken_in(sorted, &made.into_iter().collect(), answers).await
    }

    async fn open(
        &mut self,
        intakes: &[Intake],
        appends: &[(PendingAppend, Reply<()>)],
    ) -> Result<Opened, sqlx::Error> {
        let asked = admit::asked(intakes);
        let mut opened = Opened {
            new_events: HashSet::new(),
            waiting: Vec::new(),
            views: Views::with_capacity(appends.len()),
        };
        #[expect(deprecated, reason = "several statements in one text is exactly what is wanted")]
        let mut answered = sqlx::query(OPEN)
            .bind(asked.events)
            .bind(asked.keys)
            .bind(runs_of(appends))
            .fetch_many(&mut self.connection);
        let mut ended = 0;
        while let Some(next) = answered.try_next().await? {
            match (next, ended) {
                (Either::Left(_), _) => ended += 1,
                (Either::Right(row), OPEN_EVENTS) => {
                    opened.new_events.insert(row.try_get(0)?);
                    self.last_mark = self.last_mark.max(row.try_get(1)?);
                }
                (Either::Right(row), OPEN_WAITING) => opened.waiting.push(Waiting::read(&row)?),
                (Either::Right(row), _) => read_view(&mut opened.views, &row)?,
            }
        }
        Ok(opened)
    }
}
