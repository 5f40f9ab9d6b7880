//! New runs: those that events start, with the cursor that says how far events were routed, and those without an
//! event.
//!
//! The unique constraints are the rule: what they refuse was there before. Which runs an event starts is the
//! triggers' to say.

use std::collections::HashSet;

use sqlx::Sqlite;
use sqlx::query::QueryScalar;
use sqlx::sqlite::SqliteArguments;

use super::values::{ManyRows, ROWS_MAX};
use super::writer::{Answers, Halt, Reply, Writer};
use crate::base::guard::{Guard, holds};
use crate::base::ids::RunId;
use crate::base::limits::QUEUED_RUNS_ENOUGH;
use crate::model::concurrency::Concurrency;
use crate::model::run::{Cause, EventMark, NewRun, RunEvent};
use crate::store::codec::{nanos, sealed_params, sealed_text_of, text_of};
use crate::store::{Made, Routed, Routing, StoreError};

/// Params up to this size stand in the row of their run, which is rewritten at every change of its state.
const PARAMS_IN_ROW_BYTES_MAX: usize = 1_024;

/// A run on its way, already in the form in which it is written.
pub(super) struct MadeRun {
    pub(super) id: RunId,
    pub(super) workflow: String,
    version: Vec<u8>,
    pub(super) event: Option<EventMark>,
    cause: Option<String>,
    pub(super) cause_key: Option<String>,
    params: Option<String>,
    pub(super) created_at: i64,
    /// What does not belong into its row: the document, the params.
    input: Option<(Option<String>, Option<String>)>,
    /// If it must not overlap with others.
    apart: Option<Box<Apart>>,
}

/// What decides whether a run that must not overlap with others is made.
pub(super) struct Apart {
    pub(super) concurrency: Concurrency,
    pub(super) cause: Cause,
}

impl MadeRun {
    /// Prepares a run, on the caller's own time.
    pub(super) fn new(run: NewRun) -> Self {
        let mark = match &run.event {
            RunEvent::Admitted(mark) => Some(*mark),
            RunEvent::Document(_) => None,
        };
        let params = sealed_params(&run.params, run.id, &run.workflow, run.version, mark);
        let (params, large) = if params.len() <= PARAMS_IN_ROW_BYTES_MAX {
            (Some(params), None)
        } else {
            (None, Some(params))
        };
        let (event, document) = match run.event {
            RunEvent::Admitted(mark) => (Some(mark), None),
            RunEvent::Document(document) => (None, Some(sealed_text_of(&document))),
        };
        // The event says the same, and its own index guards it.
        let told = event.is_some() && matches!(run.cause, Cause::Webhook { .. });
        Self {
            id: run.id,
            workflow: run.workflow,
            version: run.version.as_bytes().to_vec(),
            event,
            cause: (!told).then(|| text_of(&run.cause)),
            cause_key: run.cause.unique_key().filter(|_| !told && holds(Guard::CauseOnce)),
            params,
            created_at: nanos(run.created_at),
            input: (document.is_some() || large.is_some()).then_some((document, large)),
            apart: run.concurrency.map(|concurrency| {
                let cause = run.cause;
                Box::new(Apart { concurrency, cause })
            }),
        }
    }

    /// About how much it writes.
    pub(super) fn bytes(&self) -> usize {
        let len = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let input = self
            .input
            .as_ref()
            .map_or(0, |(document, params)| len(document) + len(params));
        len(&self.params) + input
    }
}

/// The runs of some events, on their way.
pub(super) struct PendingRouting {
    of: Option<String>,
    after: EventMark,
    up_to: EventMark,
    runs: Vec<MadeRun>,
    /// By event, why workflows did not take it.
    declined: Vec<(EventMark, String)>,
    behind: Vec<String>,
}

impl PendingRouting {
    /// Prepares a routing, on the caller's own time.
    pub(super) fn new(routing: Routing) -> Self {
        Self {
            of: routing.of,
            after: routing.after,
            up_to: routing.up_to,
            behind: routing.behind,
            runs: routing.runs.into_iter().map(MadeRun::new).collect(),
            declined: routing
                .declined
                .into_iter()
                .map(|(mark, declined)| (mark, text_of(&declined)))
                .collect(),
        }
    }

    /// About how much it writes.
    pub(super) fn bytes(&self) -> usize {
        let declined = self.declined.iter().map(|(_, text)| text.len());
        self.runs.iter().map(MadeRun::bytes).chain(declined).sum()
    }
}

macro_rules! insert_runs {
    () => {
        "INSERT INTO run (id, workflow, version, event, cause, cause_key, since_mark, params, state, created_at, \
                          last_success_at) VALUES "
    };
}
const RUN: &str = "(?,?,?,?,?,?,?,?,'queued',?,?)";

/// Says which were new.
static INSERT_NAMED: ManyRows = ManyRows::new(insert_runs!(), RUN, " ON CONFLICT DO NOTHING RETURNING id");
/// Says only how many were new: a row for each would cost as much as writing it.
static INSERT_COUNTED: ManyRows = ManyRows::new(insert_runs!(), RUN, " ON CONFLICT DO NOTHING; SELECT changes()");
static INSERT_INPUTS: ManyRows = ManyRows::new(
    "INSERT INTO run_input (run, event, params) SELECT column1, column2, column3 FROM (VALUES ",
    "(?,?,?)",
    ") WHERE EXISTS (SELECT 1 FROM run WHERE run.id = column1) ON CONFLICT DO NOTHING",
);

/// What was said once stays, before what a workflow says that was behind: an event is routed once, by each.
static INSERT_DECLINED: ManyRows = ManyRows::new(
    "INSERT INTO filtered (event, declined) VALUES ",
    "(?,?)",
    " ON CONFLICT DO UPDATE \
      SET declined = substr(filtered.declined, 1, length(filtered.declined) - 1) || ',' || substr(excluded.declined, 2)",
);

/// How many runs wait for a worker. By its index or not at all: a search among all runs there ever were would take longer
/// with each.
macro_rules! count_queued {
    () => {
        "SELECT count(*) FROM (SELECT 1 FROM run INDEXED BY run_by_state \
                               WHERE state = 'queued' AND state <> 'succeeded' LIMIT ?)"
    };
}
/// One text, because each costs two changes of thread.
const MOVE_CURSOR: &str = concat!("UPDATE router SET mark = ?; ", count_queued!());
/// Who has caught up is not behind any more.
const MOVE_BEHIND: &str = concat!(
    "UPDATE behind SET mark = ? WHERE workflow = ?; ",
    "DELETE FROM behind WHERE mark >= (SELECT mark FROM router); ",
    count_queued!()
);

/// A statement that writes runs.
type Insert<O> = QueryScalar<'static, Sqlite, O, SqliteArguments>;
/// A run, its document, its large params.
type RunInput = (Vec<u8>, Option<String>, Option<String>);

impl Writer {
    /// Makes runs without an event.
    pub(super) async fn create_all(
        &mut self,
        runs: Vec<(MadeRun, Reply<Made>)>,
        answers: &mut Answers,
    ) -> Result<(), sqlx::Error> {
        let (apart, mut runs): (Vec<_>, Vec<_>) = runs.into_iter().partition(|(run, _)| run.apart.is_some());
        for (run, reply) in apart {
            let made = self.create_if_apart(run).await;
            answers.settle(reply, made)?;
        }
        while !runs.is_empty() {
            let rest = runs.split_off(runs.len().min(ROWS_MAX));
            let (chunk, replies): (Vec<_>, Vec<_>) = std::mem::replace(&mut runs, rest).into_iter().unzip();
            let ids: Vec<RunId> = chunk.iter().map(|run| run.id).collect();
            let keys = chunk
                .iter()
                .filter_map(|run| Some((run.workflow.clone(), run.cause_key.clone()?)));
            let keys: Vec<(String, String)> = keys.collect();
            let text = INSERT_NAMED.text(chunk.len());
            let (insert, inputs) = self.bound(sqlx::query_scalar(text), chunk);
            let made: Vec<Vec<u8>> = insert.fetch_all(&mut self.connection).await?;
            self.insert_inputs(inputs).await?;
            for (workflow, key) in &keys {
                self.not_passed_over(workflow, key).await?;
            }
            let mut made: HashSet<Vec<u8>> = made.into_iter().collect();
            for (id, reply) in ids.into_iter().zip(replies) {
                // Of two that are the same run the first one made it.
                let is_new = made.remove(id.as_uuid().as_bytes().as_slice());
                answers.later(reply, Ok(if is_new { Made::New } else { Made::Known }));
            }
        }
        Ok(())
    }

    /// Makes the runs of some events, and moves the cursor.
    pub(super) async fn route(&mut self, routing: PendingRouting) -> Result<Routed, Halt> {
        let (cursor, last) = match &routing.of {
            None => (self.cursor, self.last_mark),
            Some(workflow) => {
                let cursor = sqlx::query_scalar("SELECT mark FROM behind WHERE workflow = ?")
                    .bind(workflow.clone())
                    .fetch_optional(&mut self.connection)
                    .await?;
                (cursor.unwrap_or(self.cursor), self.cursor)
            }
        };
        if cursor != routing.after.0 && holds(Guard::RoutingCursor) {
            return Err(Halt::Refused(StoreError::Conflict(format!(
                "events were routed up to {cursor}, not {}: somebody else did it",
                routing.after.0
            ))));
        }
        if routing.up_to < routing.after || routing.up_to.0 > last {
            return Err(Halt::Refused(StoreError::Conflict(format!(
                "there are no events from {} to {}",
                routing.after.0, routing.up_to.0
            ))));
        }
        let runs = self.insert_runs(routing.runs).await?;
        self.insert_declined(routing.declined).await?;
        for workflow in routing.behind {
            sqlx::query("INSERT INTO behind (workflow, mark) VALUES (?,?) ON CONFLICT DO NOTHING")
                .bind(workflow)
                .bind(routing.after.0)
                .execute(&mut self.connection)
                .await?;
        }
        let queued: QueryScalar<'static, Sqlite, i64, SqliteArguments> = match &routing.of {
            None => sqlx::query_scalar(MOVE_CURSOR).bind(routing.up_to.0),
            Some(workflow) => sqlx::query_scalar(MOVE_BEHIND)
                .bind(routing.up_to.0)
                .bind(workflow.clone()),
        };
        let queued: i64 = queued
            .bind(i64::from(QUEUED_RUNS_ENOUGH))
            .fetch_one(&mut self.connection)
            .await?;
        if routing.of.is_none() {
            self.cursor = routing.up_to.0;
        }
        Ok(Routed {
            runs,
            queued: u64::try_from(queued).unwrap_or(0),
        })
    }

    /// Makes a run that must not overlap with others, if it has its place.
    async fn create_if_apart(&mut self, mut run: MadeRun) -> Result<Made, Halt> {
        let workflow = run.workflow.clone();
        let Some(apart) = run.apart.take() else {
            return Ok(Made::Known);
        };
        // An event that was passed over once may make its run later.
        let key = apart.cause.unique_key();
        let made = self.create_apart(run, &apart).await?;
        if let (Made::New, Some(key)) = (made, key) {
            self.not_passed_over(&workflow, &key).await?;
        }
        Ok(made)
    }

    /// Writes what is not there yet; says how many that were.
    async fn insert_runs(&mut self, runs: Vec<MadeRun>) -> Result<u64, Halt> {
        let mut made = 0;
        let (apart, mut runs): (Vec<_>, Vec<_>) = runs.into_iter().partition(|run| run.apart.is_some());
        for run in apart {
            made += u64::from(self.create_if_apart(run).await? == Made::New);
        }
        while !runs.is_empty() {
            let rest = runs.split_off(runs.len().min(ROWS_MAX));
            let chunk = std::mem::replace(&mut runs, rest);
            let text = INSERT_COUNTED.text(chunk.len());
            let (insert, inputs) = self.bound(sqlx::query_scalar(text), chunk);
            let new: i64 = insert.fetch_one(&mut self.connection).await?;
            made += u64::try_from(new).unwrap_or(0);
            self.insert_inputs(inputs).await?;
        }
        Ok(made)
    }

    /// Binds rows for one statement; gives back what does not stand in them.
    pub(super) fn bound<O>(&self, mut insert: Insert<O>, runs: Vec<MadeRun>) -> (Insert<O>, Vec<RunInput>) {
        let mut inputs = Vec::new();
        for run in runs {
            let last_success = self.last_success.get(&run.workflow).copied();
            let id = run.id.as_uuid().as_bytes().to_vec();
            inputs.extend(run.input.map(|(document, params)| (id.clone(), document, params)));
            insert = insert
                .bind(id)
                .bind(run.workflow)
                .bind(run.version)
                .bind(run.event.map(|mark| mark.0))
                .bind(run.cause)
                .bind(run.cause_key)
                .bind(run.event.map_or(self.last_mark, |mark| mark.0))
                .bind(run.params)
                .bind(run.created_at)
                .bind(last_success);
        }
        (insert, inputs)
    }

    async fn insert_declined(&mut self, declined: Vec<(EventMark, String)>) -> Result<(), sqlx::Error> {
        for chunk in declined.chunks(ROWS_MAX) {
            let mut insert = sqlx::query(INSERT_DECLINED.text(chunk.len()));
            for (mark, text) in chunk {
                insert = insert.bind(mark.0).bind(text.clone());
            }
            insert.execute(&mut self.connection).await?;
        }
        Ok(())
    }

    pub(super) async fn insert_inputs(&mut self, inputs: Vec<RunInput>) -> Result<(), sqlx::Error> {
        if inputs.is_empty() {
            return Ok(());
        }
        let mut insert = sqlx::query(INSERT_INPUTS.text(inputs.len()));
        for (run, document, params) in inputs {
            insert = insert.bind(run).bind(document).bind(params);
        }
        insert.execute(&mut self.connection).await.map(drop)
    }
}
