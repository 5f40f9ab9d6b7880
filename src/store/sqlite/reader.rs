//! What everybody reads, from a pool of connections that cannot write.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use futures_util::TryStreamExt as _;
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteConnectOptions, SqlitePoolOptions};
use sqlx::{Row as _, Sqlite, SqlitePool};

use super::meta::Meta;
use super::rows::{
    Columns, blob, corrupt, event_and_mark, event_columns, event_of, records_of, run_columns, run_of, runs_with_input,
};
use super::writer::Halt;
use super::{connect, lineage, read_failed, version};
use crate::base::ids::{Digest, EventId, RunId};
use crate::model::event::{Event, EventFilter};
use crate::model::journal::Record;
use crate::model::run::{EventMark, Run, RunState};
use crate::model::unmade::Unmade;
use crate::model::value::Value;
use crate::model::workflow::Version;
use crate::store::codec::{instant, nanos, read_value, text_of};
use crate::store::{EventQuery, Restored, RunQuery, StoreError, Unrouted};

/// Connections that read at once: as many threads stand behind them.
const READERS_MAX: u32 = 4;
/// Events read at once while one is looked for.
const EVENTS_PAGE: u32 = 256;
/// Sorts after every id.
const AFTER_ALL_IDS: [u8; 17] = [0xff; 17];

/// The reading half of a store.
#[derive(Debug, Clone)]
pub(super) struct Reader {
    pool: SqlitePool,
}

impl Reader {
    /// Connects once to prove that it can be read.
    pub(super) async fn open(folder: &std::path::Path) -> Result<Self, StoreError> {
        Self::connect(connect::reading(folder)).await
    }

    /// The same with another file.
    pub(super) async fn connect(options: SqliteConnectOptions) -> Result<Self, StoreError> {
        let pool = SqlitePoolOptions::new()
            .max_connections(READERS_MAX)
            .connect_with(options)
            .await
            .map_err(read_failed)?;
        Ok(Self { pool })
    }

    /// The pool, to be closed by the writer.
    pub(super) fn pool(&self) -> &SqlitePool {
        &self.pool
    }

    /// Refuses a schema this program does not read.
    pub(super) async fn prove_schema(&self) -> Result<(), StoreError> {
        let mut connection = self.pool.acquire().await.map_err(read_failed)?;
        connect::prove_schema(&mut connection).await
    }

    pub(super) async fn last_mark(&self) -> Result<i64, StoreError> {
        sqlx::query_scalar("SELECT coalesce(max(mark), 0) FROM event")
            .fetch_one(&self.pool)
            .await
            .map_err(read_failed)
    }

    /// Up to which event runs were made.
    pub(super) async fn cursor(&self) -> Result<i64, StoreError> {
        sqlx::query_scalar("SELECT mark FROM router")
            .fetch_one(&self.pool)
            .await
            .map_err(read_failed)
    }

    /// When the newest run of each workflow that succeeded was made.
    pub(super) async fn last_success(&self) -> Result<HashMap<String, i64>, StoreError> {
        let rows: Vec<(String, i64)> = sqlx::query_as("SELECT workflow, last_success_at FROM workflow_success")
            .fetch_all(&self.pool)
            .await
            .map_err(read_failed)?;
        Ok(rows.into_iter().collect())
    }

    pub(super) async fn unrouted(&self, limit: u32, bytes_max: usize) -> Result<Unrouted, StoreError> {
        // In one statement, so that the cursor and the events belong together.
        let rows = sqlx::query(concat!(
            "SELECT ",
            event_columns!(),
            ", router.mark AS after FROM router LEFT JOIN event ON event.mark > router.mark ORDER BY event.mark LIMIT $1"
        ));
        self.unrouted_of(rows.bind(limit), bytes_max).await
    }

    /// Events after the cursor of a workflow that is behind, up to that of the others.
    pub(super) async fn unrouted_by(
        &self,
        workflow: &str,
        limit: u32,
        bytes_max: usize,
    ) -> Result<Unrouted, StoreError> {
        let rows = sqlx::query(concat!(
            "SELECT ",
            event_columns!(),
            ", behind.mark AS after FROM behind LEFT JOIN event \
               ON event.mark > behind.mark AND event.mark <= (SELECT mark FROM router) \
             WHERE behind.workflow = $2 ORDER BY event.mark LIMIT $1"
        ));
        self.unrouted_of(rows.bind(limit).bind(workflow.to_owned()), bytes_max)
            .await
    }

    pub(super) async fn behind(&self) -> Result<BTreeSet<String>, StoreError> {
        let names: Vec<String> = sqlx::query_scalar("SELECT workflow FROM behind")
            .fetch_all(&self.pool)
            .await
            .map_err(read_failed)?;
        Ok(names.into_iter().collect())
    }

    async fn unrouted_of(
        &self,
        rows: Query<'static, Sqlite, SqliteArguments>,
        bytes_max: usize,
    ) -> Result<Unrouted, StoreError> {
        let mut rows = rows.fetch(&self.pool);
        let mut unrouted = Unrouted {
            after: EventMark::default(),
            events: Vec::new(),
        };
        let mut bytes = 0;
        while let Some(row) = rows.try_next().await.map_err(read_failed)? {
            unrouted.after = EventMark(row.try_get("after").map_err(read_failed)?);
            let Some(mark) = row.try_get("mark").map_err(read_failed)? else {
                break;
            };
            bytes += row.try_get::<&str, _>("payload").map_or(0, str::len);
            unrouted.events.push((EventMark(mark), event_of(&row).map(Arc::new)));
            if bytes >= bytes_max {
                break;
            }
        }
        Ok(unrouted)
    }

    pub(super) async fn installation_secret(&self) -> Result<[u8; 32], StoreError> {
        let digits = Meta::InstallationSecret.kept(&self.pool).await?;
        let secret = digits.and_then(|digits| Some(*digits.parse::<Digest>().ok()?.as_bytes()));
        secret.ok_or_else(|| Meta::InstallationSecret.corrupt("it is missing or has the wrong length"))
    }

    pub(super) async fn restored(&self) -> Result<Option<Restored>, StoreError> {
        let mut connection = self.pool.acquire().await.map_err(read_failed)?;
        lineage::kept(&mut connection).await
    }

    pub(super) async fn run(&self, id: RunId) -> Result<Option<Run>, StoreError> {
        let row = sqlx::query(concat!(
            "SELECT ",
            run_columns!(),
            runs_with_input!(),
            "WHERE run.id = $1"
        ))
        .bind(blob(id))
        .fetch_optional(&self.pool)
        .await
        .map_err(read_failed)?;
        row.as_ref().map(run_of).transpose()
    }

    pub(super) async fn journal(&self, run: RunId) -> Result<Vec<Record>, StoreError> {
        let rows = sqlx::query("SELECT seq, at, entry FROM journal WHERE run = $1 ORDER BY seq")
            .bind(blob(run))
            .fetch_all(&self.pool)
            .await
            .map_err(read_failed)?;
        records_of(run, &rows)
    }

    /// Runs that have asked for an approval and have not ended. Which of them still ask is told by their journals: the
    /// texts are only looked through, which is quick.
    async fn runs_asking(&self, before: Vec<u8>, limit: u32) -> Result<Vec<Run>, StoreError> {
        let rows = sqlx::query(concat!(
            "SELECT ",
            run_columns!(),
            runs_with_input!(),
            "WHERE run.state IN ('queued', 'running', 'waiting', 'parked') AND run.state <> 'succeeded' AND run.id < $1 \
             AND EXISTS (SELECT 1 FROM journal WHERE journal.run = run.id \
                         AND substr(entry, 1, 11) = '{\"waiting\":' AND instr(entry, '\"approval\":{\"reason\":') > 0) \
             ORDER BY run.id DESC LIMIT $2"
        ))
        .bind(before)
        .bind(limit)
        .fetch_all(&self.pool)
        .await;
        rows.map_err(read_failed)?.iter().map(run_of).collect()
    }

    pub(super) async fn runs(&self, query: RunQuery) -> Result<Vec<Run>, StoreError> {
        let before = query.before.map_or_else(|| AFTER_ALL_IDS.to_vec(), blob);
        if query.asking {
            return self.runs_asking(before, query.limit).await;
        }
        if let (Some(workflow), Some(key)) = (&query.workflow, &query.cause_key) {
            return self.run_by_cause(workflow, key).await;
        }
        let mut states = query.states;
        states.sort();
        states.dedup();
        let all = states.is_empty() || states.len() == RunState::ALL.len();
        let rows = match (query.workflow, all) {
            (None, true) => {
                sqlx::query(concat!(
                    "SELECT ",
                    run_columns!(),
                    runs_with_input!(),
                    "WHERE run.id < $1 ORDER BY run.id DESC LIMIT $2"
                ))
                .bind(before)
                .bind(query.limit)
                .fetch_all(&self.pool)
                .await
            }
            (None, false) => return self.runs_in(&states, &before, query.limit).await,
            (Some(workflow), all) => {
                let names: Vec<&str> = states.iter().map(|state| state.name()).collect();
                sqlx::query(concat!(
                    "SELECT ",
                    run_columns!(),
                    runs_with_input!(),
                    "WHERE run.workflow = $1 AND run.id < $2 \
                     AND ($3 OR run.state IN (SELECT value FROM json_each($4))) ORDER BY run.id DESC LIMIT $5"
                ))
                .bind(workflow)
                .bind(before)
                .bind(all)
                .bind(text_of(&names))
                .bind(query.limit)
                .fetch_all(&self.pool)
                .await
            }
        };
        rows.map_err(read_failed)?.iter().map(run_of).collect()
    }

    async fn run_by_cause(&self, workflow: &str, key: &str) -> Result<Vec<Run>, StoreError> {
        let rows = sqlx::query(concat!(
            "SELECT ",
            run_columns!(),
            runs_with_input!(),
            "WHERE run.workflow = $1 AND run.cause_key IS NOT NULL AND run.cause_key = $2"
        ))
        .bind(workflow)
        .bind(key)
        .fetch_all(&self.pool)
        .await;
        rows.map_err(read_failed)?.iter().map(run_of).collect()
    }

    /// One seek for each state, then merged: a rare state is found among a million others. All see the store as it was at
    /// one moment, so that a run that goes from one state to another in between is not missed.
    async fn runs_in(&self, states: &[RunState], before: &[u8], limit: u32) -> Result<Vec<Run>, StoreError> {
        let mut runs = Vec::new();
        let mut moment = self.pool.begin().await.map_err(read_failed)?;
        for state in states {
            // Nearly all runs have succeeded: those are met by walking through all of them.
            let rows = sqlx::query(if *state == RunState::Succeeded {
                concat!(
                    "SELECT ",
                    run_columns!(),
                    runs_with_input!(),
                    "WHERE +run.state = $1 AND run.id < $2 ORDER BY run.id DESC LIMIT $3"
                )
            } else {
                concat!(
                    "SELECT ",
                    run_columns!(),
                    runs_with_input!(),
                    "WHERE run.state = $1 AND run.state <> 'succeeded' AND run.id < $2 ORDER BY run.id DESC LIMIT $3"
                )
            })
            .bind(state.name())
            .bind(before.to_vec())
            .bind(limit)
            .fetch_all(&mut *moment)
            .await
            .map_err(read_failed)?;
            for row in &rows {
                runs.push(run_of(row)?);
            }
        }
        moment.rollback().await.map_err(read_failed)?;
        runs.sort_by_key(|run| std::cmp::Reverse(run.id));
        runs.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(runs)
    }

    pub(super) async fn version(&self, digest: Digest) -> Result<Option<Version>, StoreError> {
        let mut connection = self.pool.acquire().await.map_err(read_failed)?;
        version::load(&mut connection, digest).await.map_err(|halt| match halt {
            Halt::Refused(error) => error,
            Halt::Failed(error) => read_failed(error),
        })
    }

    pub(super) async fn event(&self, id: EventId) -> Result<Option<Event>, StoreError> {
        let row = sqlx::query(concat!(
            "SELECT ",
            event_columns!(),
            " FROM event WHERE id = $1 AND payload <> ''"
        ))
        .bind(id.as_uuid().as_bytes().to_vec())
        .fetch_optional(&self.pool)
        .await
        .map_err(read_failed)?;
        row.as_ref().map(event_of).transpose()
    }

    pub(super) async fn events(&self, query: EventQuery) -> Result<Vec<Event>, StoreError> {
        if query.filtered {
            return self.filtered_events(query).await;
        }
        let rows = sqlx::query(concat!(
            "SELECT ",
            event_columns!(),
            " FROM event WHERE ($1 IS NULL OR connection = $1) AND ($2 IS NULL OR kind = $2) \
              AND ($3 IS NULL OR mark < (SELECT mark FROM event WHERE id = $3)) AND payload <> '' \
              ORDER BY mark DESC LIMIT $4"
        ))
        .bind(query.connection)
        .bind(query.kind)
        .bind(query.before.map(|event| event.as_uuid().as_bytes().to_vec()))
        .bind(query.limit)
        .fetch_all(&self.pool)
        .await
        .map_err(read_failed)?;
        rows.iter().map(event_of).collect()
    }

    /// Looks through what was admitted up to now, in order, a page at a time. An event that was pruned says
    /// only what it was about: whoever looks back to a time, or for what is about anything, is not told of it.
    pub(super) async fn find_event(&self, filter: EventFilter) -> Result<(Option<Event>, EventMark), StoreError> {
        let last = self.last_mark().await?;
        let kinds = text_of(&filter.types);
        let mut after = filter.after.0;
        loop {
            let page = match &filter.subject {
                Some(subject) => {
                    sqlx::query(concat!(
                        "SELECT ",
                        event_columns!(),
                        " FROM event INDEXED BY event_by_subject \
                          WHERE connection = $1 AND subject = $2 AND mark > $3 AND mark <= $4 \
                          AND ($5 IS NULL OR received_at >= $5 AND payload <> '') AND ($6 = '[]' OR kind IN (SELECT value FROM json_each($6))) \
                          ORDER BY mark LIMIT $7"
                    ))
                    .bind(filter.connection.as_str())
                    .bind(subject.as_str())
                    .bind(after)
                    .bind(last)
                    .bind(filter.since.map(nanos))
                    .bind(kinds.as_str())
                    .bind(EVENTS_PAGE)
                    .fetch_all(&self.pool)
                    .await
                }
                None => {
                    sqlx::query(concat!(
                        "SELECT ",
                        event_columns!(),
                        " FROM event NOT INDEXED WHERE mark > $2 AND mark <= $3 AND connection = $1 \
                          AND ($4 IS NULL OR received_at >= $4) \
                          AND ($5 = '[]' OR kind IN (SELECT value FROM json_each($5))) AND payload <> '' \
                          ORDER BY mark LIMIT $6"
                    ))
                    .bind(filter.connection.as_str())
                    .bind(after)
                    .bind(last)
                    .bind(filter.since.map(nanos))
                    .bind(kinds.as_str())
                    .bind(EVENTS_PAGE)
                    .fetch_all(&self.pool)
                    .await
                }
            }
            .map_err(read_failed)?;
            for row in &page {
                let (mark, event) = event_and_mark(row)?;
                if filter.accepts(mark, &event) {
                    return Ok((Some(event), EventMark(last)));
                }
            }
            let Some(row) = page.last() else {
                return Ok((None, EventMark(last)));
            };
            after = row.try_get("mark").map_err(read_failed)?;
        }
    }

    pub(super) async fn state(&self, workflow: &str, key: &str) -> Result<Option<Value>, StoreError> {
        let text: Option<String> =
            sqlx::query_scalar("SELECT value FROM workflow_state WHERE workflow = $1 AND key = $2")
                .bind(workflow)
                .bind(key)
                .fetch_optional(&self.pool)
                .await
                .map_err(read_failed)?;
        text.map(|text| read_value(&text))
            .transpose()
            .map_err(|error| corrupt(format_args!("state `{key}` of {workflow}"), error))
    }

    pub(super) async fn counts(&self) -> Result<Vec<(RunState, u64)>, StoreError> {
        // Counted when somebody asks, over indexes that hold nothing else: keeping count would cost every run writes
        // of its own. In one statement, so that what is left over has succeeded.
        let rows = sqlx::query(
            "SELECT state, count(*) FROM run INDEXED BY run_by_state WHERE state <> 'succeeded' GROUP BY state \
             UNION ALL \
             SELECT 'succeeded', (SELECT count(*) FROM run) \
                    - (SELECT count(*) FROM run INDEXED BY run_by_state WHERE state <> 'succeeded')",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(read_failed)?;
        let mut counts = RunState::ALL.map(|(_, state)| (state, 0)).to_vec();
        for row in &rows {
            let mut columns = Columns::of(row, "the count of runs".to_owned());
            let state: RunState = columns.parse()?;
            let runs: i64 = columns.get()?;
            let runs = u64::try_from(runs).map_err(|error| columns.damaged(error))?;
            counts
                .iter_mut()
                .filter(|(known, _)| *known == state)
                .for_each(|(_, count)| *count = runs);
        }
        Ok(counts)
    }

    pub(super) async fn unmade(&self, workflow: Option<&str>, limit: u32) -> Result<Vec<Unmade>, StoreError> {
        let rows = sqlx::query(
            "SELECT workflow, cause, last_slot, slots, reason, detail, at FROM unmade \
             WHERE $1 IS NULL OR workflow = $1 ORDER BY at DESC, workflow, cause_key DESC LIMIT $2",
        )
        .bind(workflow)
        .bind(limit)
        .fetch_all(&self.pool)
        .await
        .map_err(read_failed)?;
        rows.iter()
            .map(|row| {
                let mut columns = Columns::of(row, "a run that was not made".to_owned());
                Ok(Unmade {
                    workflow: columns.get()?,
                    cause: columns.json()?,
                    last_slot: columns.get::<Option<i64>>()?.map(instant),
                    slots: columns.get()?,
                    reason: columns.parse()?,
                    detail: columns.get()?,
                    at: instant(columns.get()?),
                })
            })
            .collect()
    }
}
