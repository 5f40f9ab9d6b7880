//! Admissions: events and the runs they start, and runs without an event.
//!
//! The unique constraints are the rule: what they refuse was there before. Which runs an event starts is the
//! triggers' to say; which it wakes is said by the filters the runs left.

use std::collections::{HashMap, HashSet};

use sqlx::Row as _;

use super::writer::{Answers, Reply, Writer};
use crate::base::ids::{EventId, RunId};
use crate::model::event::{Event, EventFilter};
use crate::model::run::NewRun;
use crate::store::codec::{nanos, text_of};
use crate::store::{Admitted, StoreError};

/// Something that makes runs, on its way, already in the form in which it is written.
pub(super) struct Intake {
    event: Option<Arrival>,
    runs: Vec<MadeRun>,
    reply: IntakeReply,
}

/// An event on its way.
struct Arrival {
    event: Event,
    /// Its row in JSON.
    row: String,
}

/// A run on its way.
struct MadeRun {
    id: RunId,
    /// Its row in JSON.
    row: String,
    /// `[run, event, params]` in JSON.
    input: String,
}

enum IntakeReply {
    Admitted(Reply<Admitted>),
    Created(Reply<Option<RunId>>),
}

impl Intake {
    /// Prepares an admission, on the caller's own time.
    pub(super) fn of_event(event: Event, runs: &[NewRun], reply: Reply<Admitted>) -> Self {
        let row = text_of(&(
            event.id,
            &event.connection,
            &event.provider_id,
            &event.kind,
            &event.subject,
            event.occurred_at.map(nanos),
            nanos(event.received_at),
            text_of(&event.payload),
        ));
        Self {
            event: Some(Arrival { event, row }),
            runs: runs.iter().map(MadeRun::new).collect(),
            reply: IntakeReply::Admitted(reply),
        }
    }

    /// Prepares a run without an event.
    pub(super) fn of_run(run: &NewRun, reply: Reply<Option<RunId>>) -> Self {
        Self {
            event: None,
            runs: vec![MadeRun::new(run)],
            reply: IntakeReply::Created(reply),
        }
    }

    /// About how much it writes.
    pub(super) fn bytes(&self) -> usize {
        let event = self.event.as_ref().map_or(0, |arrival| arrival.row.len());
        let runs = self.runs.iter().map(|run| run.row.len() + run.input.len());
        event + runs.sum::<usize>()
    }
}

impl MadeRun {
    fn new(run: &NewRun) -> Self {
        let row = text_of(&(
            run.id,
            &run.workflow,
            run.version,
            text_of(&run.cause),
            run.cause.unique_key(),
            nanos(run.created_at),
        ));
        let input = text_of(&(run.id, text_of(&run.event), text_of(&run.params)));
        Self { id: run.id, row, input }
    }
}

/// A JSON list of texts that are JSON already.
fn list<'a>(items: impl Iterator<Item = &'a str>) -> String {
    let mut list = String::from("[");
    for item in items {
        if list.len() > 1 {
            list.push(',');
        }
        list.push_str(item);
    }
    list.push(']');
    list
}

/// A run that waits for an event.
struct Waiting {
    run: String,
    filter: Option<EventFilter>,
}

impl Writer {
    /// Writes what came in order: of two equal events or causes the first one counts.
    pub(super) async fn take_in(&mut self, intakes: Vec<Intake>, answers: &mut Answers) -> Result<(), sqlx::Error> {
        let new_events = self.insert_events(&intakes).await?;
        let is_new = |intake: &Intake| {
            let event = intake.event.as_ref();
            event.is_none_or(|arrival| new_events.contains(&arrival.event.id.to_string()))
        };
        let made = self.insert_runs(intakes.iter().filter(|intake| is_new(intake))).await?;
        let new = intakes.iter().filter(|intake| is_new(intake));
        let woken = self.wake(new.filter_map(|intake| intake.event.as_ref())).await?;
        let known = self
            .known_events(intakes.iter().filter(|intake| !is_new(intake)))
            .await?;
        for intake in intakes {
            let runs: Vec<RunId> = intake
                .runs
                .iter()
                .map(|run| run.id)
                .filter(|id| made.contains(&id.to_string()))
                .collect();
            match (intake.reply, intake.event) {
                (IntakeReply::Created(reply), _) => answers.later(reply, Ok(runs.first().copied())),
                (IntakeReply::Admitted(reply), None) => answers.later(reply, Ok(Admitted::New { runs, woken: 0 })),
                (IntakeReply::Admitted(reply), Some(arrival)) => {
                    let event = arrival.event;
                    let answer = if new_events.contains(&event.id.to_string()) {
                        let woken = woken.get(&event.id).copied().unwrap_or(0);
                        Ok(Admitted::New { runs, woken })
                    } else {
                        duplicate(&known, event)
                    };
                    answers.later(reply, answer);
                }
            }
        }
        Ok(())
    }

    /// The ids of the events that were not there.
    async fn insert_events(&mut self, intakes: &[Intake]) -> Result<HashSet<String>, sqlx::Error> {
        let arrivals: Vec<&Arrival> = intakes.iter().filter_map(|intake| intake.event.as_ref()).collect();
        if arrivals.is_empty() {
            return Ok(HashSet::new());
        }
        let rows = sqlx::query(
            "INSERT INTO event (id, connection, provider_id, kind, subject, occurred_at, received_at, payload) \
             SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, \
                    value ->> 7 \
             FROM json_each($1) WHERE true ON CONFLICT DO NOTHING RETURNING id, mark",
        )
        .bind(list(arrivals.iter().map(|arrival| arrival.row.as_str())))
        .fetch_all(&mut self.connection)
        .await?;
        let mut ids = HashSet::with_capacity(rows.len());
        for row in rows {
            ids.insert(row.try_get(0)?);
            self.last_mark = self.last_mark.max(row.try_get(1)?);
        }
        Ok(ids)
    }

    /// The ids of the runs that were not there.
    async fn insert_runs(&mut self, intakes: impl Iterator<Item = &Intake>) -> Result<HashSet<String>, sqlx::Error> {
        let runs: Vec<&MadeRun> = intakes.flat_map(|intake| &intake.runs).collect();
        if runs.is_empty() {
            return Ok(HashSet::new());
        }
        let made: Vec<String> = sqlx::query_scalar(
            "INSERT INTO run (id, workflow, version, cause, cause_key, state, created_at, last_success_at) \
             SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, 'queued', value ->> 5, \
                    (SELECT last_success_at FROM workflow_success WHERE workflow = value ->> 1) \
             FROM json_each($1) WHERE true ON CONFLICT DO NOTHING RETURNING id",
        )
        .bind(list(runs.iter().map(|run| run.row.as_str())))
        .fetch_all(&mut self.connection)
        .await?;
        let made: HashSet<String> = made.into_iter().collect();
        let inputs = runs.iter().filter(|run| made.contains(&run.id.to_string()));
        sqlx::query(
            "INSERT INTO run_input (run, event, params) \
             SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each($1) WHERE true ON CONFLICT DO NOTHING",
        )
        .bind(list(inputs.map(|run| run.input.as_str())))
        .execute(&mut self.connection)
        .await?;
        Ok(made)
    }

    /// Queues the waiting runs whose filter accepts one of these events; says how many each one woke.
    async fn wake(&mut self, arrivals: impl Iterator<Item = &Arrival>) -> Result<HashMap<EventId, u64>, sqlx::Error> {
        let events: Vec<&Event> = arrivals.map(|arrival| &arrival.event).collect();
        if events.is_empty() {
            return Ok(HashMap::new());
        }
        let keys: HashSet<(&str, Option<&str>)> = events
            .iter()
            .map(|event| (event.connection.as_str(), event.subject.as_deref()))
            .collect();
        let keys: Vec<_> = keys.into_iter().collect();
        // Two look-ups rather than one with OR: each is one seek in the index.
        let rows = sqlx::query(
            "SELECT run.id, run.wait_filter FROM json_each($1) AS arrived CROSS JOIN run \
             WHERE run.wait_connection = arrived.value ->> 0 AND run.wait_subject IS NULL \
             UNION \
             SELECT run.id, run.wait_filter FROM json_each($1) AS arrived CROSS JOIN run \
             WHERE run.wait_connection = arrived.value ->> 0 AND run.wait_subject = arrived.value ->> 1",
        )
        .bind(text_of(&keys))
        .fetch_all(&mut self.connection)
        .await?;
        let mut woken = HashMap::new();
        let mut ids = Vec::new();
        for row in rows {
            let filter: Option<String> = row.try_get(1)?;
            let waiting = Waiting {
                run: row.try_get(0)?,
                filter: filter.and_then(|text| serde_json::from_str(&text).ok()),
            };
            // A filter that cannot be read wakes its run: looking once too often is harmless.
            let accepts = |event: &&&Event| waiting.filter.as_ref().is_none_or(|filter| filter.accepts(event));
            if let Some(event) = events.iter().find(accepts) {
                *woken.entry(event.id).or_insert(0) += 1;
                ids.push(waiting.run);
            }
        }
        if !ids.is_empty() {
            self.queue(&ids).await?;
        }
        Ok(woken)
    }

    /// Queues these waiting runs.
    async fn queue(&mut self, runs: &[String]) -> Result<(), sqlx::Error> {
        sqlx::query(
            "UPDATE run SET state = 'queued', wake_at = NULL, wait_connection = NULL, wait_subject = NULL, \
                    wait_filter = NULL \
             WHERE id IN (SELECT value FROM json_each($1)) AND state = 'waiting'",
        )
        .bind(text_of(&runs))
        .execute(&mut self.connection)
        .await?;
        Ok(())
    }

    /// Under which ids the events that were there already are kept.
    async fn known_events(
        &mut self,
        intakes: impl Iterator<Item = &Intake>,
    ) -> Result<HashMap<(String, String), String>, sqlx::Error> {
        let keys: Vec<(&str, &str)> = intakes
            .filter_map(|intake| intake.event.as_ref())
            .map(|arrival| (arrival.event.connection.as_str(), arrival.event.provider_id.as_str()))
            .collect();
        if keys.is_empty() {
            return Ok(HashMap::new());
        }
        let rows = sqlx::query(
            "SELECT event.connection, event.provider_id, event.id FROM json_each($1) AS arrived CROSS JOIN event \
             WHERE event.connection = arrived.value ->> 0 AND event.provider_id = arrived.value ->> 1",
        )
        .bind(text_of(&keys))
        .fetch_all(&mut self.connection)
        .await?;
        rows.iter()
            .map(|row| Ok(((row.try_get(0)?, row.try_get(1)?), row.try_get(2)?)))
            .collect()
    }
}

fn duplicate(known: &HashMap<(String, String), String>, event: Event) -> Result<Admitted, StoreError> {
    let own = event.id;
    match known.get(&(event.connection, event.provider_id)) {
        Some(id) => id
            .parse()
            .map(|event| Admitted::Duplicate { event })
            .map_err(|error| super::rows::corrupt("event", error)),
        // Not the provider's id was taken, but ours: two different events were given the same one.
        None => Err(StoreError::Conflict(format!("{own} is the id of another event"))),
    }
}
