//! Admissions: events, one row each.
//!
//! The unique constraint is the rule: what it refuses was there before. Nothing is made of an event here.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use sqlx::Row as _;

use super::tail::Fresh;
use super::values::{ManyRows, ROWS_MAX};
use super::writer::{Answers, Bounds, Reply, Writer};
use crate::base::guard::{Guard, holds};
use crate::base::ids::EventId;
use crate::model::event::Event;
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
        let alone = bounds.begins && bounds.commits && arrivals.len() <= ROWS_MAX;
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
        let before = self.last_mark;
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
        self.last_mark = before + i64::try_from(chunk.len()).unwrap_or(i64::MAX);
        if new.first().copied().map(usize::try_from) == Some(Ok(chunk.len())) {
            for ((mark, arrival), bytes) in (before + 1..).zip(chunk).zip(sizes) {
                self.is_new(mark, arrival, bytes, answers);
            }
            return Ok(());
        }
        self.tell_apart(before, chunk, sizes, answers).await
    }

    fn is_new(&mut self, mark: i64, arrival: Arrival, bytes: usize, answers: &mut Answers) {
        let event = arrival.event;
        self.fresh.push(Fresh { mark, event, bytes });
        let mark = EventMark(mark);
        answers.later(arrival.reply, Ok(Admitted::New { mark }));
    }

    /// Some were known: finds out which.
    async fn tell_apart(
        &mut self,
        before: i64,
        chunk: Vec<Arrival>,
        sizes: Vec<usize>,
        answers: &mut Answers,
    ) -> Result<(), sqlx::Error> {
        let marks: Vec<i64> = sqlx::query_scalar("SELECT mark FROM event WHERE mark > $1")
            .bind(before)
            .fetch_all(&mut self.connection)
            .await?;
        let marks: HashSet<i64> = marks.into_iter().collect();
        let refused = (before + 1..).zip(&chunk).filter(|(mark, _)| !marks.contains(mark));
        let keys: Vec<(&str, &str)> = refused
            .map(|(_, arrival)| (arrival.event.connection.as_str(), arrival.event.provider_id.as_str()))
            .collect();
        let known = self.known_events(&keys).await?;
        for ((mark, arrival), bytes) in (before + 1..).zip(chunk).zip(sizes) {
            if marks.contains(&mark) {
                self.is_new(mark, arrival, bytes, answers);
                continue;
            }
            let event = &arrival.event;
            let answer = match known.get(&(event.connection.clone(), event.provider_id.clone())) {
                Some(event) => Ok(Admitted::Duplicate { event: *event }),
                // Not the provider's id was taken, but ours: two different events were given the same one.
                None => Err(StoreError::Conflict(format!("{} is the id of another event", event.id))),
            };
            answers.later(arrival.reply, answer);
        }
        Ok(())
    }

    /// Under which ids events that are there are kept.
    async fn known_events(&mut self, keys: &[(&str, &str)]) -> Result<HashMap<(String, String), EventId>, sqlx::Error> {
        let rows = sqlx::query(
            "SELECT event.connection, event.provider_id, event.id FROM json_each($1) AS arrived CROSS JOIN event \
             WHERE event.connection = arrived.value ->> 0 AND event.provider_id = arrived.value ->> 1",
        )
        .bind(text_of(&keys))
        .fetch_all(&mut self.connection)
        .await?;
        rows.iter()
            .map(|row| {
                let id = super::rows::uuid_of(row.try_get(2)?)?;
                Ok(((row.try_get(0)?, row.try_get(1)?), EventId::from_uuid(id)))
            })
            .collect()
    }
}
