//! Runs and events as people and programs see them. Pure.

use serde_json::{Value as Json, json};

use super::output::{Look, Tone};
use super::text::{duration, relative, time};
use crate::base::clock::Instant;
use crate::model::run::{Cause, Run, RunState};

/// How a state is shown.
pub fn tone(state: RunState) -> Tone {
    match state {
        RunState::Succeeded => Tone::Good,
        RunState::Failed => Tone::Bad,
        RunState::Parked => Tone::Attention,
        RunState::Cancelled | RunState::Waiting => Tone::Faint,
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
        } => format!("cron {} ({schedule}, {timezone})", time(*slot)),
        Cause::Manual { actor } => format!("asked for by {actor}"),
    }
}

/// Why a run exists, in a word or two: for lists on a terminal, where the ids of events leave no room.
pub fn cause_in_short(cause: &Cause) -> String {
    match cause {
        Cause::Webhook { .. } => "webhook".to_owned(),
        Cause::Cron { timezone, .. } => format!("cron, {timezone}"),
        Cause::Manual { actor } => format!("by {actor}"),
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

/// `succeeded in 1.84 s`, `waiting until …`.
pub fn standing(run: &Run, now: Instant) -> String {
    let since = run.started_at.unwrap_or(run.created_at);
    match (run.state, run.finished_at, run.wake_at) {
        (state, Some(finished), _) => format!("{state} in {}", duration(finished - since)),
        (RunState::Waiting, _, Some(wake)) => format!("waiting, next look {}", relative(wake, now)),
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
