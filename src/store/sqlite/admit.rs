//! Admissions: events and the runs they start, and runs without an event.
//!
//! The unique constraints are the rule: what they refuse was there before. Which runs an event starts is the
//! triggers' to say; which it wakes is said by the filters the runs left.

use std::collections::{HashMap, HashSet};

use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

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
pub(super) struct Waiting {
    run: String,
    filter: Option<EventFilter>,
}

impl Waiting {
    /// From `id, wait_filter`. A filter that cannot be read is none: looking once too often is harmless.
    pub(super) fn read(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        let filter: Option<String> = row.try_get(1)?;
        Ok(Self {
            run: row.try_get(0)?,
            filter: filter.and_then(|text| serde_json::from_str(&text).ok()),
        })
    }
}

/// What is written of some admissions before anything is known of them.
pub(super) struct Asked {
    /// The events as rows.
    pub(super) events: String,
    /// Connection and subject of each, once.
    pub(super) keys: String,
}

/// The questions of some admissions.
pub(super) fn asked(intakes: &[Intake]) -> Asked {
    let arrivals = || intakes.iter().filter_map(|intake| intake.event.as_ref());
    let keys: HashSet<(&str, Option<&str>)> = arrivals()
        .map(|arrival| (arrival.event.connection.as_str(), arrival.event.subject.as_deref()))
        .collect();
    Asked {
        events: list(arrivals().map(|arrival| arrival.row.as_str())),
        keys: text_of(&keys.into_iter().collect::<Vec<_>>()),
    }
}

/// Admissions with what the database said of their events.
pub(super) struct Sorted {
    intakes: Vec<Intake>,
    new_events: HashSet<String>,
    woken: HashMap<EventId, u64>,
    /// The new runs as rows.
    pub(super) runs: String,
    /// Their documents as rows.
    pub(super) inputs: String,
    /// The runs to be queued.
    pub(super) queued: String,
}

/// Tells new events from known ones: only new ones make runs, and wake those that wait for them.
pub(super) fn sort(intakes: Vec<Intake>, new_events: HashSet<String>, waiting: Vec<Waiting>) -> Sorted {
    let new: Vec<&Intake> = intakes.iter().filter(|intake| is_new(intake, &new_events)).collect();
    let runs = || new.iter().flat_map(|intake| &intake.runs);
    let (runs, inputs) = (
        list(runs().map(|run| run.row.as_str())),
        list(runs().map(|run| run.input.as_str())),
    );
    let mut woken = HashMap::new();
    let mut queued = Vec::new();
    let events: Vec<&Event> = new
        .iter()
        .filter_map(|intake| intake.event.as_ref())
        .map(|arrival| &arrival.event)
        .collect();
    for Waiting { run, filter } in waiting {
        let accepts = |event: &&&Event| filter.as_ref().is_none_or(|filter| filter.accepts(event));
        if let Some(event) = events.iter().find(accepts) {
            *woken.entry(event.id).or_insert(0) += 1;
            queued.push(run);
        }
    }
    Sorted {
        runs,
        inputs,
        queued: text_of(&queued),
        intakes,
        new_events,
        woken,
    }
}

fn is_new(intake: &Intake, new_events: &HashSet<String>) -> bool {
    let event = intake.event.as_ref();
    event.is_none_or(|arrival| new_events.contains(&arrival.event.id.to_string()))
}

impl Writer {
    /// Answers admissions once it is known which runs were made.
    pub(super) async fn taken_in(
        &mut self,
        sorted: Sorted,
        made: &HashSet<String>,
        answers: &mut Answers,
    ) -> Result<(), sqlx::Error> {
        let Sorted {
            intakes,
            new_events,
            woken,
            ..
        } = sorted;
        let known = self
            .known_events(intakes.iter().filter(|intake| !is_new(intake, &new_events)))
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
