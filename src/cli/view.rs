//! Runs and events as people and programs see them. Pure.

use serde_json::{Value as Json, json};

use super::output::{Cell, Look, Table, Tone};
use super::text::{duration, one_line, relative, time};
use crate::base::clock::Instant;
use crate::model::run::{Cause, Run, RunState};

/// How a state is shown.
pub fn tone(state: RunState) -> Tone {
    match state {
        RunState::Succeeded => Tone::Good,
        RunState::Failed => Tone::Bad,
        RunState::Parked => Tone::Attention,
        RunState::Cancelled | RunState::Waiting | RunState::Pending => Tone::Faint,
        RunState::Queued | RunState::Running => Tone::Plain,
    }
}

/// Why a run exists, on a few words.
pub fn cause(cause: &Cause) -> String {
    match cause {
        Cause::Webhook { event } => format!("webhook {event}"),
        Cause::Cron {
            schedule,
            timezone,
            slot,
            due,
        } => format!("cron {} ({schedule}, {timezone})", time(due.unwrap_or(*slot))),
        Cause::Replay {
            event, actor, reason, ..
        } => format!("webhook {event}, again for {actor}: {}", one_line(reason)),
        Cause::Manual {
            actor, reason: None, ..
        } => format!("asked for by {actor}"),
        Cause::Manual {
            actor,
            reason: Some(reason),
            ..
        } => format!("asked for by {actor}: {reason}"),
    }
}

/// Why a run exists, in a word or two: for lists on a terminal, where the ids of events leave no room.
pub fn cause_in_short(cause: &Cause) -> String {
    match cause {
        Cause::Webhook { .. } => "webhook".to_owned(),
        Cause::Cron { timezone, .. } => format!("cron, {timezone}"),
        Cause::Replay { actor, .. } => format!("webhook, again for {actor}"),
        Cause::Manual { actor, .. } => format!("by {actor}"),
    }
}

/// A time; a person also reads how far away it is.
pub fn when(at: Instant, now: Instant, look: Look) -> String {
    if look.terminal {
        format!("{}, {}", time(at), relative(at, now))
    } else {
        time(at)
    }
}

/// Below this a terminal has no room for causes and whole times beside the ids, which are long.
const ROOMY_COLUMNS: u16 = 120;

/// Runs as a list: on a terminal one line each, however long the names of workflows are.
pub fn runs_table(runs: &[Run], now: Instant, look: Look) -> Table {
    let narrow = look.width.is_some_and(|columns| columns < ROOMY_COLUMNS);
    let mut table = Table::new(&["run", "workflow", "state", "took", "created", "cause"])
        .right(&[3])
        .whole(&[0, 2, 3, 4])
        .one_line();
    for run in runs {
        let took = match (run.started_at, run.finished_at) {
            (Some(started), Some(finished)) => duration(finished - started),
            _ => String::new(),
        };
        let (created, cause) = match look.terminal {
            true if narrow => (relative(run.created_at, now), String::new()),
            true => (when(run.created_at, now, look), cause_in_short(&run.cause)),
            false => (when(run.created_at, now, look), cause(&run.cause)),
        };
        table.row([
            run.id.to_string().into(),
            Cell::from(&run.workflow),
            Cell::toned(run.state.name(), tone(run.state)),
            took.into(),
            created.into(),
            cause.into(),
        ]);
    }
    table
}

/// `succeeded in 1.84 s`, `waiting until …`.
pub fn standing(run: &Run, now: Instant) -> String {
    let since = run.started_at.unwrap_or(run.created_at);
    match (run.state, run.finished_at, run.wake_at) {
        (state, Some(finished), _) => format!("{state} in {}", duration(finished - since)),
        (RunState::Waiting, _, Some(wake)) => format!("waiting, next look {}", relative(wake, now)),
        (RunState::Pending, _, _) => match &run.concurrency_key {
            Some(key) => format!(
                "pending, behind an open run with the concurrency key `{}`",
                one_line(key)
            ),
            None => "pending".to_owned(),
        },
        (RunState::Running, _, _) if run.cancel_requested => "running, ends after its present step".to_owned(),
        (state, _, _) => state.to_string(),
    }
}

/// A run as JSON: the whole of it, in plain JSON.
pub fn run_json(run: &Run) -> Json {
    let mut json = serde_json::to_value(run).unwrap_or_else(|_| json!({ "id": run.id }));
    // The store keeps the result in the form that remembers types; programs want the plain one.
    if let (Some(result), Json::Object(members)) = (&run.result, &mut json) {
        let plain =
            crate::model::value::Value::from_typed(result).map_or_else(|_| result.clone(), |value| value.to_plain());
        members.insert("result".to_owned(), plain);
    }
    json
}
