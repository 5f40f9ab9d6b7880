//! Rows into the model's types. A row that cannot be read is [`StoreError::Corrupt`], naming what it is.

use std::fmt::Display;
use std::str::FromStr;

use serde::de::DeserializeOwned;
use sqlx::sqlite::SqliteRow;
use sqlx::{Decode, Row as _, Sqlite, Type};
use uuid::Uuid;

use crate::base::ids::{Digest, EventId, RunId};
use crate::model::event::{Event, EventFilter};
use crate::model::journal::Record;
use crate::model::payload::Payload;
use crate::model::run::{Cause, EventMark, Run};
use crate::store::StoreError;
use crate::store::codec::{instant, read_record, unsealed, unsealed_params};

/// The columns [`run_of`] reads, of [`runs_with_input`].
macro_rules! run_columns {
    () => {
        "run.id, run.workflow, run.version, run.cause, run.state, coalesce(run.params, run_input.params), \
         run.last_success_at, run.since_mark, run.created_at, run.started_at, run.finished_at, run.wake_at, \
         CASE run.state WHEN 'waiting' THEN \
             (SELECT json_group_array(json(wait.filter)) FROM wait WHERE wait.run = run.id) END, \
         run.result, run.error, run.turns, run.cancel_note IS NOT NULL, run.concurrency_key, run.event, \
         run_input.event, event.id, event.connection, event.provider_id, event.kind, event.subject, \
         event.occurred_at, event.received_at, event.payload"
    };
}
pub(super) use run_columns;

/// Runs with what their scripts see: the event that made them, or a document.
macro_rules! runs_with_input {
    () => {
        " FROM run LEFT JOIN run_input ON run_input.run = run.id LEFT JOIN event ON event.mark = run.event "
    };
}
pub(super) use runs_with_input;

/// The columns [`event_of`] reads, of the table `event`.
macro_rules! event_columns {
    () => {
        "event.id, event.connection, event.provider_id, event.kind, event.subject, event.occurred_at, \
         event.received_at, event.payload, event.mark"
    };
}
pub(super) use event_columns;

/// The id of a run as the database keeps it.
pub(super) fn blob(run: RunId) -> Vec<u8> {
    run.as_uuid().as_bytes().to_vec()
}

/// The id of a run as text that `unhex` reads, for lists in JSON.
pub(super) fn hex(run: RunId) -> String {
    run.as_uuid().simple().to_string()
}

/// The id of these bytes.
pub(super) fn uuid_of(bytes: &[u8]) -> Result<Uuid, sqlx::Error> {
    Uuid::from_slice(bytes).map_err(|error| sqlx::Error::Decode(Box::new(error)))
}

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
    /// The columns of a row.
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

    /// The next column, which is an id.
    pub(super) fn uuid(&mut self) -> Result<Uuid, StoreError> {
        let bytes: &[u8] = self.get()?;
        uuid_of(bytes).map_err(|error| self.damaged(error))
    }

    /// The next column, which is a digest.
    pub(super) fn digest(&mut self) -> Result<Digest, StoreError> {
        let bytes: &[u8] = self.get()?;
        let bytes = bytes.try_into().map_err(|error| self.damaged(error))?;
        Ok(Digest::from_bytes(bytes))
    }

    /// The next column, which is a JSON document.
    pub(super) fn json<T: DeserializeOwned>(&mut self) -> Result<T, StoreError> {
        let text: &str = self.get()?;
        serde_json::from_str(text).map_err(|error| self.damaged(error))
    }

    /// The same with a checksum behind it.
    pub(super) fn sealed_json<T: DeserializeOwned>(&mut self) -> Result<T, StoreError> {
        let text: &str = self.get()?;
        let json = unsealed(text).map_err(|error| self.damaged(error))?;
        serde_json::from_str(json).map_err(|error| self.damaged(error))
    }

    /// The same, or absent.
    pub(super) fn optional_sealed_json<T: DeserializeOwned>(&mut self) -> Result<Option<T>, StoreError> {
        let text: Option<&str> = self.get()?;
        let Some(text) = text else { return Ok(None) };
        let json = unsealed(text).map_err(|error| self.damaged(error))?;
        serde_json::from_str(json)
            .map(Some)
            .map_err(|error| self.damaged(error))
    }

    /// The next column, which is a payload with a checksum behind it.
    fn payload(&mut self) -> Result<Payload, StoreError> {
        let text: &str = self.get()?;
        let json = unsealed(text).map_err(|error| self.damaged(error))?;
        Payload::read(json).map_err(|error| self.damaged(error))
    }

    /// The same, or nothing since it was pruned.
    fn payload_if_kept(&mut self) -> Result<Payload, StoreError> {
        let text: &str = self.get()?;
        if text.is_empty() {
            return Ok(Payload::from(serde_json::Value::Null));
        }
        self.next -= 1;
        self.payload()
    }

    /// The next column, which is a JSON document or absent.
    pub(super) fn optional_json<T: DeserializeOwned>(&mut self) -> Result<Option<T>, StoreError> {
        let text: Option<&str> = self.get()?;
        text.map(serde_json::from_str)
            .transpose()
            .map_err(|error| self.damaged(error))
    }

    /// The next columns, which are those of an event.
    fn event(&mut self) -> Result<Event, StoreError> {
        self.event_with(Self::payload)
    }

    fn event_with(
        &mut self,
        payload: impl FnOnce(&mut Self) -> Result<Payload, StoreError>,
    ) -> Result<Event, StoreError> {
        Ok(Event {
            id: EventId::from_uuid(self.uuid()?),
            connection: self.get()?,
            provider_id: self.get()?,
            kind: self.get()?,
            subject: self.get()?,
            occurred_at: self.get::<Option<i64>>()?.map(instant),
            received_at: instant(self.get()?),
            payload: payload(self)?,
        })
    }

    /// Leaves out a column.
    fn skip(&mut self) {
        self.next += 1;
    }

    /// The column just read is damaged.
    pub(super) fn damaged(&self, why: impl Display) -> StoreError {
        corrupt(format_args!("{}, column {}", self.what, self.next), why)
    }
}

/// The id in the first column of a row.
fn first_id(row: &SqliteRow, table: &str) -> Result<Uuid, StoreError> {
    row.try_get(0)
        .and_then(uuid_of)
        .map_err(|error| corrupt(format_args!("the id of {table}"), error))
}

/// A run, from [`run_columns`].
pub(super) fn run_of(row: &SqliteRow) -> Result<Run, StoreError> {
    let id = RunId::from_uuid(first_id(row, "a run")?);
    let mut columns = Columns::of(row, format!("run {id}"));
    columns.skip();
    let workflow: String = columns.get()?;
    let version = columns.digest()?;
    let cause = columns.optional_json()?;
    let state = columns.parse()?;
    let params: &str = columns.get()?;
    let last_success_at = columns.get::<Option<i64>>()?.map(instant);
    let since_mark = EventMark(columns.get()?);
    let created_at = instant(columns.get()?);
    let started_at = columns.get::<Option<i64>>()?.map(instant);
    let finished_at = columns.get::<Option<i64>>()?.map(instant);
    let wake_at = columns.get::<Option<i64>>()?.map(instant);
    let waits_for: Option<Vec<EventFilter>> = columns.optional_json()?;
    let result = columns.optional_json()?;
    let error = columns.optional_json()?;
    let turns = columns.get()?;
    let cancel_requested = columns.get()?;
    let concurrency_key = columns.get()?;
    let mark: Option<i64> = columns.get()?;
    let params = unsealed_params(params, id, &workflow, version, mark.map(EventMark))
        .and_then(|json| serde_json::from_str(json).map_err(|error| error.to_string()))
        .map_err(|error| corrupt(format_args!("run {id}, or its params"), error))?;
    let (event, event_cause) = if mark.is_none() {
        (columns.sealed_json()?, None)
    } else {
        columns.skip();
        let event = columns.event()?;
        let cause = Cause::Webhook { event: event.id };
        (event.as_document(), Some(cause))
    };
    let cause = cause
        .or(event_cause)
        .ok_or_else(|| corrupt(format_args!("run {id}"), "it has no cause"))?;
    Ok(Run {
        id,
        workflow,
        version,
        cause,
        state,
        event,
        params,
        last_success_at,
        since_mark,
        created_at,
        started_at,
        finished_at,
        wake_at,
        waits_for: waits_for.unwrap_or_default(),
        result,
        error,
        turns,
        cancel_requested,
        concurrency_key,
    })
}

/// An event, from [`event_columns`].
pub(super) fn event_of(row: &SqliteRow) -> Result<Event, StoreError> {
    let id = EventId::from_uuid(first_id(row, "an event")?);
    Columns::of(row, format!("event {id}")).event()
}

/// An event with its mark, from [`event_columns`]. One that was pruned has no payload.
pub(super) fn event_and_mark(row: &SqliteRow) -> Result<(EventMark, Event), StoreError> {
    let id = EventId::from_uuid(first_id(row, "an event")?);
    let event = Columns::of(row, format!("event {id}")).event_with(Columns::payload_if_kept)?;
    let mark = row
        .try_get("mark")
        .map_err(|error| corrupt(format_args!("event {}", event.id), error))?;
    Ok((EventMark(mark), event))
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
    columns
        .get::<&str>()
        .map_err(|error| error.to_string())
        .and_then(|text| read_record(run, seq, at, text))
        .map_err(|error| corrupt(format_args!("the journal of {run}, entry {seq}"), error))
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
