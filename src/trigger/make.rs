//! A slot becomes a run: its cause, what its script sees as `event`, and what it must not overlap with.

use serde_json::json;

use super::schedule::{Schedule, Slot};
use super::versions::KnownVersions;
use super::{new_run, run_id};
use crate::base::clock::Instant;
use crate::base::ids::RunId;
use crate::model::concurrency::{Concurrency, Overlap};
use crate::model::run::Cause;
use crate::model::value::time_text;
use crate::model::workflow::Workflow;
use crate::store::{Made, SlotKey, Store, StoreError};

/// What a run of this slot is for.
pub(super) fn cause_of(key: &SlotKey, schedule: &Schedule, slot: Slot) -> Cause {
    let name = schedule.name(slot);
    Cause::Cron {
        schedule: key.schedule.clone(),
        timezone: key.timezone.clone(),
        slot: name,
        due: (name != slot.at).then_some(slot.at),
    }
}

/// What the runs of a schedule must not overlap with, where its manifest says nothing else: each other.
pub(super) fn of_schedule(schedule: &str, timezone: &str, policy: Overlap) -> Concurrency {
    Concurrency {
        key: format!("schedule {schedule} {timezone}"),
        max: 1,
        policy,
    }
}

/// A slot that is to have its run.
pub(super) struct Asked<'a> {
    pub(super) workflow: &'a Workflow,
    pub(super) key: &'a SlotKey,
    pub(super) schedule: &'a Schedule,
    pub(super) slot: Slot,
    /// What becomes of it while an earlier run is open.
    pub(super) overlap: Overlap,
    /// Who asks for it long after its time, if somebody does: then it waits for its turn in any case.
    pub(super) person: Option<&'a str>,
    pub(super) now: Instant,
}

/// Makes the run of a slot, unless it has one.
pub(super) async fn make(
    store: &dyn Store,
    versions: &KnownVersions,
    asked: Asked<'_>,
) -> Result<(RunId, Made), StoreError> {
    let Asked {
        workflow,
        key,
        schedule,
        slot,
        ..
    } = asked;
    let mut event = json!({
        "type": "cron",
        "schedule": key.schedule,
        "timezone": key.timezone,
        "slot": time_text(slot.on_time()),
    });
    if let Some(moved) = schedule.moved(slot) {
        event["moved_from"] = json!(moved.from.to_string());
    }
    if let Some(person) = asked.person {
        event["asked_for_by"] = json!(person);
    }
    let secret = store.installation_secret().await?;
    let name = schedule.name(slot);
    // Among the parts too, which say all of a cause: its time alone would not tell one slot from another everywhere.
    let of_schedule_at = format!("{} {}", key.timezone, time_text(name));
    let id = run_id(workflow, &secret, name, ["cron", &key.schedule, &of_schedule_at]);
    versions.keep(store, &workflow.version).await?;
    let mut concurrency = match &workflow.concurrency {
        Some(spec) => spec.of(&event, &workflow.params),
        None => of_schedule(&key.schedule, &key.timezone, asked.overlap),
    };
    if asked.person.is_some() {
        concurrency.policy = Overlap::Queue;
    }
    let cause = cause_of(key, schedule, slot);
    let mut run = new_run(workflow, id, cause, event.into(), asked.now);
    run.concurrency = Some(concurrency);
    Ok((id, store.create_run(run).await?))
}
