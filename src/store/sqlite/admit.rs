//! Admissions: events, one row each, and the runs that waited for them.
//!
//! The unique constraint is the rule: what it refuses was there before. No run is made of an event here; which waiting
//! one it wakes is said by the filters the runs left.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use sqlx::Row as _;

use super::rows::uuid_of;
use super::tail::Fresh;
use super::values::{ManyRows, ROWS_MAX};
use super::writer::{Answers, Bounds, Reply, Writer};
use crate::base::guard::{Guard, holds};
use crate::base::ids::EventId;
use crate::model::event::{Event, EventFilter};
use crate::model::run::EventMark;
use crate::store::codec::{nanos, sealed, text_of};
use crate::store::{Admitted, StoreError};

/// An event on its way, its payload already in the form in which it is written.
pub(super) struct Arrival {
    event: Arc<Event>,
    payload: String,
    reply: Reply<Admitted>,
}

impl Arrival {
    /// Prepares an admission, on the caller's own time.
    pub(super) fn new(mut event: Event, reply: Reply<Admitted>) -> Self {
        if !holds(Guard::EventOnce) {
            event.provider_id = event.id.to_string();
        }
        let payload = sealed(event.payload.text());
        Self {
            event: Arc::new(event),
            payload,
            reply,
        }
    }

    /// What arrived.
    pub(super) fn event(&self) -> &Event {
        &self.event
    }

    /// Whom to answer.
    pub(super) fn into_reply(self) -> Reply<Admitted> {
        self.reply
    }

    /// About how much it writes.
    pub(super) fn bytes(&self) -> usize {
        self.payload.len()
    }
}

macro_rules! insert_events {
    () => {
        "INSERT INTO event (mark, id, connection, provider_id, kind, subject, occurred_at, received_at, payload) VALUES "
    };
}
macro_rules! refused_are_left_out {
    () => {
        " ON CONFLICT DO NOTHING; SELECT changes(); "
    };
}
/// How often one write looks into a payload to see whether it ends a wait.
const WAKE_LOOKS_MAX: usize = 4_096;

/// Waits that may be over; and, in a row without a run, whether there are any at all.
const WAITING: &str = "SELECT wait.run, wait.filter FROM json_each($1) AS arrived CROSS JOIN wait \
                       WHERE wait.connection = arrived.value AND wait.subject IS NULL \
                       UNION ALL \
                       SELECT wait.run, wait.filter FROM json_each($2) AS arrived CROSS JOIN wait \
                       WHERE wait.connection = arrived.value ->> 0 AND wait.subject = arrived.value ->> 1 \
                       UNION ALL SELECT NULL, EXISTS (SELECT 1 FROM wait)";
const ROW: &str = "(?,?,?,?,?,?,?,?,?)";

/// In a transaction that somebody else begins and commits, and in one of their own: each text sent to the database's
/// own thread costs two changes of thread, during which nobody can write.
static INSERT: ManyRows = ManyRows::new(insert_events!(), ROW, refused_are_left_out!());
static INSERT_ALONE: ManyRows = ManyRows::new(
    concat!("BEGIN IMMEDIATE; ", insert_events!()),
    ROW,
    concat!(refused_are_left_out!(), "COMMIT"),
);

impl Writer {
    /// Writes what came in order: of two equal events the first one counts. Expects both bounds or neither.
    pub(super) async fn admit_all(
        &mut self,
        arrivals: Vec<Arrival>,
        bounds: Bounds,
        answers: &mut Answers,
    ) -> Result<(), sqlx::Error> {
        let arrivals = self.refuse_pruned(arrivals, answers).await?;
        // Whoever waits is woken in the same transaction.
        let alone = bounds.begins && bounds.commits && arrivals.len() <= ROWS_MAX && !self.anybody_waits;
        if !alone {
            self.begin_if(bounds.begins).await?;
        }
        let mut arrivals = arrivals.into_iter();
        loop {
            let chunk: Vec<Arrival> = arrivals.by_ref().take(ROWS_MAX).collect();
            if chunk.is_empty() {
                break;
            }
            self.admit_chunk(chunk, if alone { &INSERT_ALONE } else { &INSERT }, answers)
                .await?;
        }
        if !alone {
            self.commit_if(bounds.commits).await?;
        }
        Ok(())
    }

    async fn admit_chunk(
        &mut self,
        mut chunk: Vec<Arrival>,
        statement: &'static ManyRows,
        answers: &mut Answers,
    ) -> Result<(), sqlx::Error> {
        let (before, count) = (self.last_mark, chunk.len());
        let mut sizes = Vec::with_capacity(chunk.len());
        let mut insert = sqlx::query_scalar(statement.text(chunk.len()));
        for (mark, arrival) in (before + 1..).zip(&mut chunk) {
            sizes.push(arrival.bytes());
            let event = &arrival.event;
            insert = insert
                .bind(mark)
                .bind(event.id.as_uuid().as_bytes().to_vec())
                .bind(event.connection.clone())
                .bind(event.provider_id.clone())
                .bind(event.kind.clone())
                .bind(event.subject.clone())
                .bind(event.occurred_at.map(nanos))
                .bind(nanos(event.received_at))
                .bind(std::mem::take(&mut arrival.payload));
        }
        // All rows: asked for one, the database's thread would leave out what follows it, the commit.
        let new: Vec<i64> = insert.fetch_all(&mut self.connection).await?;
        let arrived = (before + 1..).zip(chunk).zip(sizes);
        let arrived = arrived.map(|((mark, arrival), bytes)| (mark, arrival, bytes)).collect();
        let are_all_new = new.first().copied().map(usize::try_from) == Some(Ok(count));
        let new = if are_all_new {
            arrived
        } else {
            self.tell_apart(before, arrived, answers).await?
        };
        // Not that of one that was refused: a restart knows no other than those that are there, and gives them again. A
        // run that is made meanwhile would wait for events after one that never was.
        self.last_mark = match new.last() {
            _ if !holds(Guard::MarkStored) => before + i64::try_from(count).unwrap_or(i64::MAX),
            Some((mark, ..)) => *mark,
            None => before,
        };
        let events = new
            .iter()
            .map(|(mark, arrival, _)| (EventMark(*mark), arrival.event.as_ref()));
        let wakes = self.wake(&events.collect::<Vec<_>>()).await? > 0;
        for (mark, Arrival { event, reply, .. }, bytes) in new {
            self.fresh.push(Fresh { mark, event, bytes });
            let mark = EventMark(mark);
            answers.later(reply, Ok(Admitted::New { mark, wakes }));
        }
        Ok(())
    }

    /// Some were known: answers for those, and gives back the others.
    async fn tell_apart(
        &mut self,
        before: i64,
        arrived: Vec<(i64, Arrival, usize)>,
        answers: &mut Answers,
    ) -> Result<Vec<(i64, Arrival, usize)>, sqlx::Error> {
        let marks: Vec<i64> = sqlx::query_scalar("SELECT mark FROM event WHERE mark > $1")
            .bind(before)
            .fetch_all(&mut self.connection)
            .await?;
        let marks: HashSet<i64> = marks.into_iter().collect();
        let (new, refused): (Vec<_>, Vec<_>) = arrived.into_iter().partition(|(mark, ..)| marks.contains(mark));
        let keys: Vec<(&str, &str)> = refused
            .iter()
            .map(|(_, arrival, _)| (arrival.event.connection.as_str(), arrival.event.provider_id.as_str()))
            .collect();
        let known = self.known_events(&keys).await?;
        for (_, arrival, _) in refused {
            let event = &arrival.event;
            let answer = match known.get(&(event.connection.clone(), event.provider_id.clone())) {
                Some(event) => Ok(Admitted::Duplicate { event: *event }),
                // Not the provider's id was taken, but ours: two different events were given the same one.
                None => Err(StoreError::Conflict(format!("{} is the id of another event", event.id))),
            };
            answers.later(arrival.reply, answer);
        }
        Ok(new)
    }

    /// Queues the waiting runs whose filter accepts one of these events; says how many.
    ///
    /// In the write that makes the events durable: an event cannot be there without having been heard, and a run that
    /// begins to wait afterwards looks for it (see [`super::append`]).
    async fn wake(&mut self, events: &[(EventMark, &Event)]) -> Result<u64, sqlx::Error> {
        if !self.anybody_waits || events.is_empty() {
            return Ok(0);
        }
        let keys: BTreeSet<(&str, Option<&str>)> = events
            .iter()
            .map(|(_, event)| (event.connection.as_str(), event.subject.as_deref()))
            .collect();
        let connections: BTreeSet<&str> = keys.iter().map(|(connection, _)| *connection).collect();
        let rows = sqlx::query(WAITING)
            .bind(text_of(&connections))
            .bind(text_of(&keys))
            .fetch_all(&mut self.connection)
            .await?;
        // Looking into payloads holds up everybody; looking once too often is harmless.
        let is_exact = rows.len().saturating_mul(events.len()) <= WAKE_LOOKS_MAX;
        let (mut woken, mut judged) = (Vec::new(), Vec::new());
        for row in &rows {
            let Some(run) = row.try_get::<Option<&[u8]>, _>(0)? else {
                self.anybody_waits = row.try_get(1)?;
                continue;
            };
            // A filter that cannot be read wakes its run.
            let filter = serde_json::from_str::<EventFilter>(row.try_get(1)?).ok();
            let accepts = |(mark, event): &(EventMark, &Event)| match &filter {
                None => true,
                Some(filter) if is_exact => filter.accepts(*mark, event),
                Some(filter) => filter.concerns(*mark, event),
            };
            if let Some((mark, _)) = events.iter().find(|event| accepts(event)) {
                let pair = (mark.0, uuid_of(run)?.simple().to_string());
                // What only may have been meant is not told as what it woke.
                if is_exact && filter.is_some() {
                    judged.push(pair.clone());
                }
                woken.push(pair);
            }
        }
        if woken.is_empty() {
            return Ok(0);
        }
        let queued = sqlx::query(
            "UPDATE run SET state = 'queued', wake_at = NULL \
             WHERE id IN (SELECT unhex(value ->> 1) FROM json_each($1)) AND state = 'waiting'",
        )
        .bind(text_of(&woken))
        .execute(&mut self.connection)
        .await?;
        sqlx::query(
            "INSERT INTO woken (event, run) SELECT value ->> 0, unhex(value ->> 1) FROM json_each($1) WHERE true \
             ON CONFLICT DO NOTHING",
        )
        .bind(text_of(&judged))
        .execute(&mut self.connection)
        .await?;
        Ok(queued.rows_affected())
    }

    /// Under which ids events that are there are kept.
    pub(super) async fn known_events(
        &mut self,
        keys: &[(&str, &str)],
    ) -> Result<HashMap<(String, String), EventId>, sqlx::Error> {
        let rows = sqlx::query(
            "SELECT event.connection, event.provider_id, event.id FROM json_each($1) AS arrived CROSS JOIN event \
             WHERE event.connection = arrived.value ->> 0 AND event.provider_id = arrived.value ->> 1",
        )
        .bind(text_of(&keys))
        .fetch_all(&mut self.connection)
        .await?;
        rows.iter()
            .map(|row| {
                let id = uuid_of(row.try_get(2)?)?;
                Ok(((row.try_get(0)?, row.try_get(1)?), EventId::from_uuid(id)))
            })
            .collect()
    }
}
