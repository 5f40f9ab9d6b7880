//! Slots that passed without a run get theirs because a person asks.
//!
//! A slot keeps its name: one that has its run gets no other, however often it is asked for. Must not decide anything by
//! itself; what is made up for without being asked is [`super::cron`]'s.

use super::cron::cron_triggers;
use super::make::{Asked, make};
use super::schedule::{Schedule, ScheduleError, Slot};
use super::slots::real_until;
use super::versions::KnownVersions;
use crate::base::clock::Instant;
use crate::base::ids::RunId;
use crate::base::limits::CATCH_UP_SLOTS_MAX;
use crate::model::calendar::OutsideCoverage;
use crate::model::run::Cause;
use crate::model::unmade::Unmade;
use crate::model::value::time_text;
use crate::model::workflow::{CronSpec, Workflow};
use crate::store::{Made, SlotKey, SlotQuery, SlotRun, Store, StoreError};

/// Reasons that are looked at for those of the slots.
const UNMADE_MAX: u32 = 1_000;

/// Which slots of a workflow.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The expression as written in the manifest.
    pub schedule: &'a str,
    /// Its zone.
    pub timezone: &'a str,
    /// The time of the first slot, or one before it.
    pub from: Instant,
    /// The time of the last slot, or one behind it.
    pub to: Instant,
}

/// A slot and what is known of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Passed {
    /// The slot.
    pub slot: Slot,
    /// Its run, if it has one.
    pub run: Option<SlotRun>,
    /// Why it had none at its time, if that was recorded.
    pub reason: Option<Unmade>,
}

/// Why slots cannot be made up for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MakeUpError {
    /// The manifest has no such schedule.
    #[error("workflow `{workflow}` has no schedule `{schedule}` in {timezone}")]
    NoSchedule {
        /// The workflow.
        workflow: String,
        /// What was asked for.
        schedule: String,
        /// Its zone.
        timezone: String,
    },
    /// What has not come has not passed.
    #[error("{0} has not come yet: only slots that have passed are made up for")]
    Future(String),
    /// The schedule has not come so far: it may run this slot by itself.
    #[error(
        "the daemon has not dealt with {0} yet, and does as `catch_up` says when it starts or its clock is trusted again: up to {1} slots can be made up for"
    )]
    Undecided(String, String),
    /// Nothing lies between.
    #[error("the range ends before it begins")]
    Backwards,
    /// A person who means so many does not look at each.
    #[error(
        "more than {CATCH_UP_SLOTS_MAX} slots lie in that range, and that is the most at once: the first {CATCH_UP_SLOTS_MAX} end at {0}"
    )]
    TooMany(String),
    /// It cannot be read.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
    /// Its calendar does not say which slots there were.
    #[error(transparent)]
    Coverage(#[from] OutsideCoverage),
    /// The store could not tell, or not take them.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The slots of a range, in order, with what is known of each.
///
/// # Errors
/// [`MakeUpError`].
pub async fn passed(
    store: &dyn Store,
    workflow: &Workflow,
    wanted: Wanted<'_>,
    now: Instant,
) -> Result<Vec<Passed>, MakeUpError> {
    let (_, schedule) = schedule_of(workflow, wanted)?;
    let slots = slots_of(&schedule, wanted, now)?;
    settled(store, &key_of(workflow, wanted), &slots, now).await?;
    let names = || slots.iter().map(|slot| schedule.name(*slot));
    let (Some(first), Some(last)) = (names().min(), names().max()) else {
        return Ok(Vec::new());
    };
    let query = SlotQuery {
        key: key_of(workflow, wanted),
        from: Some(first),
        to: Some(last),
        limit: UNMADE_MAX,
    };
    let runs = store.slot_runs(query).await?;
    let reasons = store.unmade(Some(&workflow.name), UNMADE_MAX).await?;
    let of_slot = |slot: Slot| {
        let name = schedule.name(slot);
        Passed {
            slot,
            run: runs.iter().find(|run| run.slot == name).copied(),
            reason: reasons
                .iter()
                .find(|unmade| is_about(unmade, wanted, name, slot.at))
                .cloned(),
        }
    };
    Ok(slots.iter().copied().map(of_slot).collect())
}

/// Makes the runs of those slots of a range that have none, to run one after another. Says which were made.
///
/// # Errors
/// [`MakeUpError`]; what was made before a store failed stays made, and is not made again.
pub async fn make_up(
    store: &dyn Store,
    versions: &KnownVersions,
    workflow: &Workflow,
    wanted: Wanted<'_>,
    actor: &str,
    now: Instant,
) -> Result<Vec<RunId>, MakeUpError> {
    let (spec, schedule) = schedule_of(workflow, wanted)?;
    let key = key_of(workflow, wanted);
    let slots = slots_of(&schedule, wanted, now)?;
    if settled(store, &key, &slots, now).await?.is_none() {
        // As if it had been seen for the first time: else all behind the newest of these would be taken for missed.
        store.settle_slots(key.clone(), now).await?;
    }
    let mut runs = Vec::new();
    for slot in slots {
        let asked = Asked {
            workflow,
            key: &key,
            schedule: &schedule,
            slot,
            overlap: spec.overlap,
            person: Some(actor),
            now,
        };
        if let (id, Made::New) = make(store, versions, asked).await? {
            runs.push(id);
        }
    }
    Ok(runs)
}

fn schedule_of<'w>(workflow: &'w Workflow, wanted: Wanted<'_>) -> Result<(&'w CronSpec, Schedule), MakeUpError> {
    let is_it =
        |spec: &&CronSpec| (spec.schedule.as_str(), spec.timezone.as_str()) == (wanted.schedule, wanted.timezone);
    let spec = cron_triggers(workflow).find(is_it);
    let spec = spec.ok_or_else(|| MakeUpError::NoSchedule {
        workflow: workflow.name.clone(),
        schedule: wanted.schedule.to_owned(),
        timezone: wanted.timezone.to_owned(),
    })?;
    Ok((spec, Schedule::of(spec)?))
}

fn key_of(workflow: &Workflow, wanted: Wanted<'_>) -> SlotKey {
    SlotKey {
        workflow: workflow.name.clone(),
        schedule: wanted.schedule.to_owned(),
        timezone: wanted.timezone.to_owned(),
    }
}

/// The slots whose times lie in the range, both ends included.
fn slots_of(schedule: &Schedule, wanted: Wanted<'_>, now: Instant) -> Result<Vec<Slot>, MakeUpError> {
    if wanted.to > now {
        return Err(MakeUpError::Future(time_text(wanted.to)));
    }
    if wanted.to < wanted.from {
        return Err(MakeUpError::Backwards);
    }
    let mut slots: Vec<Slot> = Vec::new();
    let mut after = wanted.from - chrono::TimeDelta::seconds(1);
    while let Some(slot) = schedule.next_slot(after)?.filter(|slot| slot.on_time() <= wanted.to) {
        after = slot.at;
        // Its jitter may have moved it into the range.
        if slot.on_time() < wanted.from {
            continue;
        }
        if let (Some(last), true) = (slots.last(), slots.len() == CATCH_UP_SLOTS_MAX) {
            return Err(MakeUpError::TooMany(time_text(last.on_time())));
        }
        slots.push(slot);
    }
    Ok(slots)
}

/// Up to when the slots of a schedule are dealt with, if anything is known of it: none of these may lie behind that.
///
/// The newest run of a schedule says that all before it is dealt with, so to make one of those would lose the others.
async fn settled(
    store: &dyn Store,
    key: &SlotKey,
    slots: &[Slot],
    now: Instant,
) -> Result<Option<Instant>, MakeUpError> {
    let (workflow, schedule, timezone) = (&key.workflow, &key.schedule, &key.timezone);
    let settled = store
        .settled_until(workflow, schedule, timezone, real_until(now))
        .await?;
    let Some(until) = settled else { return Ok(None) };
    match slots.iter().find(|slot| slot.at > until) {
        Some(slot) => Err(MakeUpError::Undecided(time_text(slot.on_time()), time_text(until))),
        None => Ok(settled),
    }
}

/// Whether this was recorded of that slot, alone or as one of several.
fn is_about(unmade: &Unmade, wanted: Wanted<'_>, name: Instant, at: Instant) -> bool {
    let Cause::Cron {
        schedule,
        timezone,
        slot,
        due,
    } = &unmade.cause
    else {
        return false;
    };
    if (schedule.as_str(), timezone.as_str()) != (wanted.schedule, wanted.timezone) {
        return false;
    }
    let first = due.unwrap_or(*slot);
    *slot == name || unmade.last_slot.is_some_and(|last| (first..=last).contains(&at))
}
