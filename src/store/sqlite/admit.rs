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
        let event_id = event.id;
        Self {
            event: Some(Arrival { event, row }),
            runs: runs.iter().map(|run| MadeRun::new(run, Some(event_id))).collect(),
            reply: IntakeReply::Admitted(reply),
        }
    }

    /// Prepares a run without an event.
    pub(super) fn of_run(run: &NewRun, reply: Reply<Option<RunId>>) -> Self {
        Self {
            event: None,
            runs: vec![MadeRun::new(run, None)],
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
    /// A run that is made only if the event it came with is.
    fn new(run: &NewRun, event: Option<EventId>) -> Self {
        let row = text_of(&(
            run.id,
            &run.workflow,
            run.version,
            text_of(&run.cause),
            run.cause.unique_key(),
            nanos(run.created_at),
            event,
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

/// Begins a transaction, writes a batch and says what came of it, in rows of three columns: what, its id, and more about it. Each
/// statement takes a JSON list, and an empty list is no work.
const TAKE_IN: &str = "\
    BEGIN IMMEDIATE; \
    INSERT INTO event (id, connection, provider_id, kind, subject, occurred_at, received_at, payload) \
    SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7 \
    FROM json_each($1) WHERE true ON CONFLICT DO NOTHING RETURNING 'event', id, mark; \
    INSERT INTO run (id, workflow, version, cause, cause_key, state, created_at, last_success_at) \
    SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, 'queued', value ->> 5, \
           (SELECT last_success_at FROM workflow_success WHERE workflow = value ->> 1) \
    FROM json_each($2) \
    WHERE value ->> 6 IS NULL OR EXISTS (SELECT 1 FROM event WHERE event.id = value ->> 6 AND event.mark > $5) \
    ON CONFLICT DO NOTHING RETURNING 'run', id, NULL; \
    INSERT INTO run_input (run, event, params) \
    SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each($3) \
    WHERE EXISTS (SELECT 1 FROM run WHERE run.id = value ->> 0) ON CONFLICT DO NOTHING; \
    SELECT 'waiting', run.id, run.wait_filter FROM json_each($4) AS arrived CROSS JOIN run \
    WHERE run.wait_connection = arrived.value ->> 0 AND run.wait_subject IS NULL \
    UNION \
    SELECT 'waiting', run.id, run.wait_filter FROM json_each($4) AS arrived CROSS JOIN run \
    WHERE run.wait_connection = arrived.value ->> 0 AND run.wait_subject = arrived.value ->> 1";

/// What came of a batch.
#[derive(Default)]
struct TakenIn {
    /// Events that were not there.
    events: HashSet<String>,
    /// Runs that were not there.
    runs: HashSet<String>,
    /// Runs that wait for an event of one of the connections.
    waiting: Vec<Waiting>,
}

impl TakenIn {
    fn has(&self, event: &Event) -> bool {
        self.events.contains(&event.id.to_string())
    }
}

impl Writer {
    /// Writes what came in order: of two equal events or causes the first one counts.
    pub(super) async fn take_in(&mut self, intakes: Vec<Intake>, answers: &mut Answers) -> Result<(), sqlx::Error> {
        let mut seen = HashSet::new();
        let is_first: Vec<bool> = intakes
            .iter()
            .map(|intake| {
                intake
                    .event
                    .as_ref()
                    .is_none_or(|arrival| seen.insert(arrival.event.id))
            })
            .collect();
        let first = || {
            intakes
                .iter()
                .zip(&is_first)
                .filter_map(|(intake, first)| first.then_some(intake))
        };
        let taken = self.insert(first()).await?;
        let is_new: Vec<bool> = intakes
            .iter()
            .zip(&is_first)
            .map(|(intake, first)| *first && intake.event.as_ref().is_none_or(|arrival| taken.has(&arrival.event)))
            .collect();
        let events = |wanted: bool| {
            let chosen = intakes.iter().zip(&is_new).filter(move |(_, new)| **new == wanted);
            chosen
                .filter_map(|(intake, _)| Some(&intake.event.as_ref()?.event))
                .collect::<Vec<_>>()
        };
        let woken = self.wake(&events(true), &taken.waiting).await?;
        let known = self.known_events(&events(false)).await?;
        for (intake, is_new) in intakes.into_iter().zip(is_new) {
            let made = intake.runs.iter().map(|run| run.id);
            let runs: Vec<RunId> = made.filter(|id| taken.runs.contains(&id.to_string())).collect();
            match (intake.reply, intake.event) {
                (IntakeReply::Created(reply), _) => answers.later(reply, Ok(runs.first().copied())),
                (IntakeReply::Admitted(reply), Some(arrival)) if !is_new => {
                    answers.later(reply, duplicate(&known, arrival.event));
                }
                (IntakeReply::Admitted(reply), event) => {
                    let woken = event
                        .and_then(|arrival| woken.get(&arrival.event.id).copied())
                        .unwrap_or(0);
                    answers.later(reply, Ok(Admitted::New { runs, woken }));
                }
            }
        }
        Ok(())
    }

    async fn insert<'a>(&mut self, intakes: impl Iterator<Item = &'a Intake> + Clone) -> Result<TakenIn, sqlx::Error> {
        let arrivals = || intakes.clone().filter_map(|intake| intake.event.as_ref());
        let runs = || intakes.clone().flat_map(|intake| &intake.runs);
        let keys: HashSet<(&str, Option<&str>)> = arrivals()
            .map(|arrival| (arrival.event.connection.as_str(), arrival.event.subject.as_deref()))
            .collect();
        let rows = sqlx::query(TAKE_IN)
            .bind(list(arrivals().map(|arrival| arrival.row.as_str())))
            .bind(list(runs().map(|run| run.row.as_str())))
            .bind(list(runs().map(|run| run.input.as_str())))
            .bind(text_of(&keys.into_iter().collect::<Vec<_>>()))
            .bind(self.last_mark)
            .fetch_all(&mut self.connection)
            .await?;
        let mut taken = TakenIn::default();
        for row in rows {
            let id: String = row.try_get(1)?;
            match row.try_get(0)? {
                "event" => {
                    taken.events.insert(id);
                    self.last_mark = self.last_mark.max(row.try_get(2)?);
                }
                "run" => {
                    taken.runs.insert(id);
                }
                _ => {
                    let filter: Option<&str> = row.try_get(2)?;
                    let filter = filter.and_then(|text| serde_json::from_str(text).ok());
                    taken.waiting.push(Waiting { run: id, filter });
                }
            }
        }
        Ok(taken)
    }

    /// Queues the waiting runs whose filter accepts one of these events; says how many each one woke.
    async fn wake(&mut self, events: &[&Event], waiting: &[Waiting]) -> Result<HashMap<EventId, u64>, sqlx::Error> {
        let mut woken = HashMap::new();
        let mut ids = Vec::new();
        for waiting in waiting {
            // A filter that cannot be read wakes its run: looking once too often is harmless.
            let accepts = |event: &&&Event| waiting.filter.as_ref().is_none_or(|filter| filter.accepts(event));
            if let Some(event) = events.iter().find(accepts) {
                *woken.entry(event.id).or_insert(0) += 1;
                ids.push(waiting.run.as_str());
            }
        }
        if !ids.is_empty() {
            self.queue(&ids).await?;
        }
        Ok(woken)
    }

    /// Queues these waiting runs.
    async fn queue(&mut self, runs: &[&str]) -> Result<(), sqlx::Error> {
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
    async fn known_events(&mut self, events: &[&Event]) -> Result<HashMap<(String, String), String>, sqlx::Error> {
        let keys: Vec<(&str, &str)> = events
            .iter()
            .map(|event| (event.connection.as_str(), event.provider_id.as_str()))
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
