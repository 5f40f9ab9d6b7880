//! Rows into the model's types. A row that cannot be read is [`StoreError::Corrupt`], naming what it is.

use std::fmt::Display;
use std::str::FromStr;

use serde::de::DeserializeOwned;
use sqlx::sqlite::SqliteRow;
use sqlx::{Decode, Row as _, Sqlite, Type};

use crate::base::ids::RunId;
use crate::model::event::Event;
use crate::model::journal::Record;
use crate::model::run::Run;
use crate::store::StoreError;
use crate::store::codec::{instant, read_entry};

/// The columns [`run_of`] reads, of the table `run`.
macro_rules! run_columns {
    () => {
        "run.id, run.workflow, run.version, run.cause, run.state, \
         (SELECT run_input.event FROM run_input WHERE run_input.run = run.id), \
         (SELECT run_input.params FROM run_input WHERE run_input.run = run.id), \
         run.last_success_at, run.created_at, run.started_at, run.finished_at, run.wake_at, run.wait_filter, \
         run.result, run.error, run.turns, run.cancel_note IS NOT NULL"
    };
}
pub(super) use run_columns;

/// The columns [`event_of`] reads, of the table `event`.
macro_rules! event_columns {
    () => {
        "event.id, event.connection, event.provider_id, event.kind, event.subject, event.occurred_at, \
         event.received_at, event.payload"
    };
}
pub(super) use event_columns;

/// What stands there cannot be read.
pub(super) fn corrupt(what: impl Display, why: impl Display) -> StoreError {
    StoreError::Corrupt(format!("{what}: {why}"))
}

/// Reads the columns of one row in order and says which one is damaged.
pub(super) struct Columns<'r> {
    row: &'r SqliteRow,
    next: usize,
    what: String,
}

impl<'r> Columns<'r> {
    /// The columns of a row from its first, which names the row.
    pub(super) fn named(row: &'r SqliteRow, table: &str) -> Result<Self, StoreError> {
        let name: String = row.try_get(0).map_err(|error| corrupt(table, error))?;
        Ok(Self {
            row,
            next: 0,
            what: format!("{table} {name}"),
        })
    }

    /// The columns of a row that is named from outside.
    pub(super) fn of(row: &'r SqliteRow, what: String) -> Self {
        Self { row, next: 0, what }
    }

    /// The next column as the database holds it.
    pub(super) fn get<T: Decode<'r, Sqlite> + Type<Sqlite>>(&mut self) -> Result<T, StoreError> {
        let at = self.next;
        self.next += 1;
        self.row
            .try_get(at)
            .map_err(|error| corrupt(format_args!("{}, column {}", self.what, at + 1), error))
    }

    /// The next column, which is text with a meaning.
    pub(super) fn parse<T: FromStr<Err: Display>>(&mut self) -> Result<T, StoreError> {
        let text: &str = self.get()?;
        text.parse().map_err(|error| self.damaged(error))
    }

    /// The next column, which is a JSON document.
    pub(super) fn json<T: DeserializeOwned>(&mut self) -> Result<T, StoreError> {
        let text: &str = self.get()?;
        serde_json::from_str(text).map_err(|error| self.damaged(error))
    }

    /// The next column, which is a JSON document or absent.
    pub(super) fn optional_json<T: DeserializeOwned>(&mut self) -> Result<Option<T>, StoreError> {
        let text: Option<&str> = self.get()?;
        text.map(serde_json::from_str)
            .transpose()
            .map_err(|error| self.damaged(error))
    }

    /// The column just read is damaged.
    pub(super) fn damaged(&self, why: impl Display) -> StoreError {
        corrupt(format_args!("{}, column {}", self.what, self.next), why)
    }
}

/// A run, from [`run_columns`].
pub(super) fn run_of(row: &SqliteRow) -> Result<Run, StoreError> {
    let mut columns = Columns::named(row, "run")?;
    Ok(Run {
        id: columns.parse()?,
        workflow: columns.get()?,
        version: columns.parse()?,
        cause: columns.json()?,
        state: columns.parse()?,
        event: columns.json()?,
        params: columns.json()?,
        last_success_at: columns.get::<Option<i64>>()?.map(instant),
        created_at: instant(columns.get()?),
        started_at: columns.get::<Option<i64>>()?.map(instant),
        finished_at: columns.get::<Option<i64>>()?.map(instant),
        wake_at: columns.get::<Option<i64>>()?.map(instant),
        waits_for: columns.optional_json()?,
        result: columns.optional_json()?,
        error: columns.optional_json()?,
        turns: columns.get()?,
        cancel_requested: columns.get()?,
    })
}

/// An event, from [`event_columns`].
pub(super) fn event_of(row: &SqliteRow) -> Result<Event, StoreError> {
    let mut columns = Columns::named(row, "event")?;
    Ok(Event {
        id: columns.parse()?,
        connection: columns.get()?,
        provider_id: columns.get()?,
        kind: columns.get()?,
        subject: columns.get()?,
        occurred_at: columns.get::<Option<i64>>()?.map(instant),
        received_at: instant(columns.get()?),
        payload: columns.json()?,
    })
}

/// A record of the journal of `run`, from `seq, at, entry`, which has to be the one after `last_seq`.
pub(super) fn record_of(run: RunId, last_seq: u32, row: &SqliteRow) -> Result<Record, StoreError> {
    let mut columns = Columns::of(row, format!("the journal of {run} after entry {last_seq}"));
    let seq: u32 = columns.get()?;
    let at: i64 = columns.get()?;
    if seq != last_seq + 1 {
        return Err(corrupt(
            format_args!("the journal of {run}"),
            format_args!("entry {} is missing", last_seq + 1),
        ));
    }
    let entry = columns
        .get::<&str>()
        .map_err(|error| error.to_string())
        .and_then(read_entry)
        .map_err(|error| corrupt(format_args!("the journal of {run}, entry {seq}"), error))?;
    Ok(Record {
        seq,
        at: instant(at),
        entry,
    })
}

/// All records of a run in order.
pub(super) fn records_of(run: RunId, rows: &[SqliteRow]) -> Result<Vec<Record>, StoreError> {
    let mut records = Vec::with_capacity(rows.len());
    let mut last_seq = 0;
    for row in rows {
        let record = record_of(run, last_seq, row)?;
        last_seq = record.seq;
        records.push(record);
    }
    Ok(records)
}
