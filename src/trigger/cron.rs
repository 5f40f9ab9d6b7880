//! Schedules make runs: which slots are due, and the loop that fires them.
//!
//! A slot is named for ever by workflow, expression, zone and nominal instant. The row of its run is unique
//! in the store, so neither a restart nor a clock set back can fire it twice; this loop only decides when
//! to ask. What time an expression names is [`super::schedule`]'s.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, FixedOffset, TimeDelta};
use serde_json::json;

use super::schedule::{Schedule, ScheduleError, Slot, Standing};
use super::versions::KnownVersions;
use super::{new_run, run_id};
use crate::base::clock::{Clock, Instant};
use crate::base::limits::CATCH_UP_SLOTS_MAX;
use crate::base::shutdown::Shutdown;
use crate::base::wake::Wake;
use crate::catalog::snapshot::Snapshot;
use crate::catalog::watch::Catalog;
use crate::model::calendar::{AfterCutOff, OutsideCoverage};
use crate::model::concurrency::{Concurrency, Overlap};
use crate::model::run::Cause;
use crate::model::unmade::{Pause, Unmade, UnmadeReason};
use crate::model::value::time_text;
use crate::model::workflow::{CatchUp, CronSpec, Trigger, Workflow};
use crate::store::{Made, Store, StoreError};

/// A slot at most this late is simply run; an older one was missed, and is a matter of catching up.
const ON_TIME: TimeDelta = TimeDelta::seconds(60);
/// Missed slots that are counted one by one; of more it is said that they are at least so many.
const COUNTED_SLOTS_MAX: usize = 1_000;
/// A slot that missed its cut-off runs on the next business day; no row of closed days is longer than this.
const DEFERRAL_WINDOW: TimeDelta = TimeDelta::days(31);
/// A clock set back by more than this was wrong before: the last slot says nothing about the next one.
const CORRECTION: TimeDelta = TimeDelta::hours(3);
/// The longest sleep: the wall clock may be moved at any time and is read again this often.
const SLICE: Duration = Duration::from_secs(30);
/// How soon to ask again when the store could not be reached.
const RETRY: Duration = Duration::from_secs(5);

/// What is to be done about a schedule now.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Due {
    /// The slots to run now, in order.
    pub run: Vec<Slot>,
    /// The slot that missed its cut-off and is to run later.
    pub deferred: Option<Deferred>,
}

/// A slot that missed its cut-off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deferred {
    /// The slot; it keeps its name.
    pub slot: Slot,
    /// When it is to run.
    pub at: Instant,
}

/// What is to be done now, if everything up to `last` has been dealt with.
///
/// Slots of the last minute all run. Of those missed before, at most the latest one runs, if it is to be
/// caught up, not older than `within`, and no slot of the last minute stands for it; or each of them, if each is to be
/// caught up and they are not too many. What has missed the cut-off of its day does not run; if it is to run on the
/// next business day, it does so unless that day has a slot then.
pub fn due_slots(schedule: &Schedule, last: Instant, now: Instant, catch_up: CatchUp, within: TimeDelta) -> Due {
    let late = now - ON_TIME;
    if catch_up == CatchUp::All {
        return all_due(schedule, last.max(now - within), now);
    }
    let on_time: Vec<Slot> = slots_between(schedule, last.max(late), now).collect();
    let latest = match (on_time.last(), catch_up) {
        (Some(latest), _) => Some(*latest),
        (None, CatchUp::None) => None,
        (None, CatchUp::Latest | CatchUp::All) => {
            latest_between(schedule, last.max(now - window(schedule).max(within)), late)
        }
    };
    let run: Vec<Slot> = on_time
        .into_iter()
        .filter(|slot| schedule.standing(*slot, now) == Standing::Runs)
        .collect();
    let Some(latest) = latest.filter(|_| run.is_empty()) else {
        return Due { run, deferred: None };
    };
    match schedule.standing(latest, now) {
        Standing::Runs if latest.at > now - within => Due {
            run: vec![latest],
            deferred: None,
        },
        // Its day has come.
        Standing::Deferred { at } if at <= now => Due {
            run: vec![latest],
            deferred: None,
        },
        Standing::Deferred { at } if schedule.next_after(at - TimeDelta::seconds(1)) != Some(at) => Due {
            run,
            deferred: Some(Deferred { slot: latest, at }),
        },
        Standing::Runs | Standing::Deferred { .. } | Standing::Refused => Due::default(),
    }
}

/// Each slot that may still run; of too many none, but those of the last minute.
fn all_due(schedule: &Schedule, from: Instant, now: Instant) -> Due {
    let runs = |slot: &Slot| schedule.standing(*slot, now) == Standing::Runs;
    let mut run: Vec<Slot> = slots_between(schedule, from, now)
        .take(CATCH_UP_SLOTS_MAX + 1)
        .collect();
    if run.len() > CATCH_UP_SLOTS_MAX {
        run = slots_between(schedule, from.max(now - ON_TIME), now).collect();
    }
    run.retain(runs);
    Due { run, deferred: None }
}

/// What of the slots up to now is not to be run: the first of them, the last, and how many there are at least.
fn missed(schedule: &Schedule, last: Instant, now: Instant, due: &Due) -> Option<(Slot, Instant, usize)> {
    let is_due = |slot: &Slot| due.run.iter().any(|due| due.at == slot.at);
    let is_deferred = |slot: &Slot| due.deferred.is_some_and(|deferred| deferred.slot.at == slot.at);
    let mut passed = slots_between(schedule, last, now).filter(|slot| !is_due(slot) && !is_deferred(slot));
    let first = passed.next()?;
    let others: Vec<Slot> = passed.by_ref().take(COUNTED_SLOTS_MAX).collect();
    let end = match others.last() {
        Some(_) if others.len() == COUNTED_SLOTS_MAX => {
            let until = due.run.first().map_or(now, |slot| slot.at - TimeDelta::seconds(1));
            latest_between(schedule, first.at, until)
        }
        end => end.copied(),
    };
    Some((first, end.map_or(first.at, |slot| slot.at), others.len() + 1))
}

/// How far back a slot may lie that missed its cut-off.
fn window(schedule: &Schedule) -> TimeDelta {
    let cut_off = schedule.business().and_then(|business| business.cut_off);
    match cut_off.map(|cut_off| cut_off.after) {
        Some(AfterCutOff::NextBusinessDay) => DEFERRAL_WINDOW,
        Some(AfterCutOff::Refuse) | None => TimeDelta::zero(),
    }
}

/// Slots after `from`, up to and including `to`.
fn slots_between(schedule: &Schedule, from: Instant, to: Instant) -> impl Iterator<Item = Slot> + '_ {
    let next = |after: Instant| schedule.next_slot(after).ok().flatten();
    std::iter::successors(next(from), move |slot| next(slot.at)).take_while(move |slot| slot.at <= to)
}

/// The last of those, looked for from the end in growing steps, so that a dense schedule costs no walk
/// through a whole day.
fn latest_between(schedule: &Schedule, from: Instant, to: Instant) -> Option<Slot> {
    let mut reach = TimeDelta::minutes(10);
    loop {
        let start = from.max(to - reach);
        let found = slots_between(schedule, start, to).last();
        if found.is_some() || start == from {
            return found;
        }
        reach = reach * 6;
    }
}

/// From where slots are counted: from the last one that ran, or from now if none ever did or the clock has
/// been set back so far that the last one lies in a future that was never real.
pub fn resume_point(last: Option<Instant>, now: Instant) -> Instant {
    last.filter(|last| *last <= now + CORRECTION).unwrap_or(now)
}

/// What a schedule of a workflow will do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upcoming {
    /// The expression as written.
    pub schedule: String,
    /// Its zone.
    pub timezone: String,
    /// The next slots as its zone's clocks show them, or why there are none.
    pub slots: Result<Vec<DateTime<FixedOffset>>, ScheduleError>,
}

/// The next slots of every schedule of a workflow.
pub fn upcoming(workflow: &Workflow, now: Instant, count: usize) -> Vec<Upcoming> {
    cron_triggers(workflow)
        .map(|spec| Upcoming {
            schedule: spec.schedule.clone(),
            timezone: spec.timezone.clone(),
            slots: Schedule::of(spec).and_then(|schedule| {
                let slots: Vec<_> = schedule.slots_after(now).take(count).collect();
                if slots.is_empty() {
                    // Why: a calendar that has ended is a reason, an expression that is over is none.
                    schedule.next_slot(now)?;
                }
                Ok(slots.into_iter().map(|slot| schedule.local(slot)).collect())
            }),
        })
        .collect()
}

/// The schedules of a workflow.
pub fn cron_triggers(workflow: &Workflow) -> impl Iterator<Item = &CronSpec> {
    workflow.triggers.iter().filter_map(|trigger| match trigger {
        Trigger::Cron(spec) => Some(spec),
        Trigger::Webhook { .. } => None,
    })
}

/// How long before the end of its calendar a schedule is warned of.
const WARNED_BEFORE: TimeDelta = TimeDelta::days(90);

/// What is to be told of how long the calendar of a schedule lasts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Horizon {
    /// Nothing, or there is no calendar.
    Far,
    /// Its end is near.
    Near(OutsideCoverage),
    /// It ends before so many slots are known.
    Over(OutsideCoverage),
}

/// How long the calendar of a schedule lasts: whether the next `count` slots are known, and what comes soon after.
pub fn horizon(schedule: &Schedule, now: Instant, count: usize) -> Horizon {
    let mut after = now;
    for _ in 0..count {
        match schedule.next_slot(after) {
            Ok(Some(slot)) => after = slot.at,
            Ok(None) => return Horizon::Far,
            Err(outside) => return Horizon::Over(outside),
        }
    }
    let Some(business) = schedule.business() else {
        return Horizon::Far;
    };
    let soon = schedule.local(now + WARNED_BEFORE).date_naive();
    match business.calendar.closed(soon) {
        Ok(_) => Horizon::Far,
        Err(outside) => Horizon::Near(outside),
    }
}

/// Which schedule of which workflow.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    workflow: String,
    schedule: String,
    timezone: String,
}

impl Key {
    /// What a run of this slot is for.
    fn cause(&self, schedule: &Schedule, slot: Slot) -> Cause {
        let name = schedule.name(slot);
        Cause::Cron {
            schedule: self.schedule.clone(),
            timezone: self.timezone.clone(),
            slot: name,
            due: (name != slot.at).then_some(slot.at),
        }
    }
}

/// Why slots that nobody was there for are not run later.
fn why_missed(spec: &CronSpec, slots: usize) -> String {
    let hours = spec.catch_up_hours;
    let rule = match spec.catch_up {
        CatchUp::None => "missed slots are not caught up".to_owned(),
        CatchUp::Latest => {
            format!("of missed slots only the latest is caught up, if it is less than {hours} hours old")
        }
        CatchUp::All => format!(
            "missed slots are caught up if they are less than {hours} hours old and at most {CATCH_UP_SLOTS_MAX}"
        ),
    };
    let many = if slots > COUNTED_SLOTS_MAX {
        "; there are more than these"
    } else {
        ""
    };
    format!("nothing ran at their time, and {rule}{many}")
}

/// A schedule being watched.
#[derive(Debug)]
struct Watched {
    spec: CronSpec,
    /// Nothing, if it cannot be read: said once, then left alone until the manifest changes.
    schedule: Option<Schedule>,
    /// Every slot up to here has been dealt with.
    last: Instant,
    /// The slot that missed its cut-off and runs later.
    deferred: Option<Deferred>,
    /// The first slot that a pause took, and how many it has taken.
    paused: Option<(Slot, usize)>,
    /// Whether it was said that its calendar has ended.
    end_was_told: bool,
}

impl Watched {
    fn new(workflow: &str, spec: &CronSpec, last: Instant) -> Self {
        let schedule = Schedule::of(spec)
            .inspect_err(|error| {
                tracing::error!(workflow, schedule = spec.schedule, %error, "this schedule never runs");
            })
            .ok();
        Self {
            spec: spec.clone(),
            schedule,
            last,
            deferred: None,
            paused: None,
            end_was_told: false,
        }
    }

    /// Says once that nothing more is known of a schedule.
    fn tell_its_end(&mut self, workflow: &str, now: Instant) {
        let Some(schedule) = &self.schedule else { return };
        let end = schedule.next_slot(now).err();
        if let (Some(error), false) = (&end, self.end_was_told) {
            tracing::error!(workflow, schedule = self.spec.schedule, %error, "this schedule does not run until its calendar says more");
        }
        self.end_was_told = end.is_some();
    }
}

/// Fires the schedules of the catalog.
pub struct CronTrigger {
    store: Arc<dyn Store>,
    catalog: Catalog,
    clock: Arc<dyn Clock>,
    wake: Wake,
    versions: Arc<KnownVersions>,
    watched: BTreeMap<Key, Watched>,
}

impl CronTrigger {
    /// Fires whatever is due until it is told to stop.
    pub async fn run(
        store: Arc<dyn Store>,
        catalog: Catalog,
        clock: Arc<dyn Clock>,
        wake: Wake,
        versions: Arc<KnownVersions>,
        mut shutdown: Shutdown,
    ) {
        let mut changes = catalog.changed();
        let mut trigger = Self {
            store,
            catalog,
            clock,
            wake,
            versions,
            watched: BTreeMap::new(),
        };
        loop {
            let pause = match trigger.pass().await {
                Ok(pause) => pause,
                Err(error) => {
                    tracing::warn!(%error, "schedules cannot be looked at; trying again");
                    RETRY
                }
            };
            tokio::select! {
                () = trigger.clock.sleep(pause) => {}
                _ = changes.changed() => {}
                () = shutdown.requested() => return,
            }
        }
    }

    /// Looks once at every schedule and says how long nothing will be due. What could not be written stays
    /// due.
    async fn pass(&mut self) -> Result<Duration, StoreError> {
        let snapshot = self.catalog.current();
        self.watch(&snapshot).await?;
        let pauses = self.store.pauses().await?;
        let now = self.clock.now();
        let mut watched = std::mem::take(&mut self.watched);
        let mut outcome = Ok(());
        for (key, entry) in &mut watched {
            let Some(workflow) = snapshot.workflows.get(&key.workflow) else {
                continue;
            };
            let pause = pauses.iter().find(|pause| pause.workflow == key.workflow);
            let done = match pause {
                Some(pause) => self.pass_over_paused(key, entry, pause, now).await,
                None => {
                    entry.paused = None;
                    self.fire_due(workflow, key, entry, now).await
                }
            };
            if let Err(error) = done {
                outcome = Err(error);
            }
        }
        self.watched = watched;
        outcome.map(|()| self.pause())
    }

    /// Takes up schedules that are new and forgets those that are gone.
    async fn watch(&mut self, snapshot: &Snapshot) -> Result<(), StoreError> {
        let mut present = BTreeSet::new();
        for workflow in snapshot.workflows.values() {
            for spec in cron_triggers(workflow) {
                let key = Key {
                    workflow: workflow.name.clone(),
                    schedule: spec.schedule.clone(),
                    timezone: spec.timezone.clone(),
                };
                match self.watched.get_mut(&key) {
                    Some(entry) if entry.spec == *spec => {}
                    // The same name: what ran under it stays run.
                    Some(entry) => {
                        let deferred = entry.deferred;
                        *entry = Watched::new(&key.workflow, spec, entry.last);
                        entry.deferred = deferred;
                    }
                    None => {
                        let entry = self.take_up(&key, spec).await?;
                        self.watched.insert(key.clone(), entry);
                    }
                }
                present.insert(key);
            }
        }
        self.watched.retain(|key, _| present.contains(key));
        Ok(())
    }

    async fn take_up(&self, key: &Key, spec: &CronSpec) -> Result<Watched, StoreError> {
        let last = self
            .store
            .last_slot(&key.workflow, &key.schedule, &key.timezone)
            .await?;
        Ok(Watched::new(&key.workflow, spec, resume_point(last, self.clock.now())))
    }

    async fn fire_due(
        &self,
        workflow: &Workflow,
        key: &Key,
        entry: &mut Watched,
        now: Instant,
    ) -> Result<(), StoreError> {
        entry.tell_its_end(&key.workflow, now);
        let Some(schedule) = &entry.schedule else {
            return Ok(());
        };
        entry.last = resume_point(Some(entry.last), now);
        let overlap = entry.spec.overlap;
        let within = TimeDelta::hours(entry.spec.catch_up_hours.into());
        let due = due_slots(schedule, entry.last, now, entry.spec.catch_up, within);
        if let Some(deferred) = &due.deferred {
            tracing::warn!(workflow = key.workflow, schedule = key.schedule, slot = %time_text(deferred.slot.at), at = %time_text(deferred.at), "a slot missed its cut-off and runs on the next business day");
        }
        // Before anything later is begun: a crash in between leaves no slot without a run or a reason.
        if let Some((first, last, slots)) = missed(schedule, entry.last, now, &due) {
            tracing::warn!(workflow = key.workflow, schedule = key.schedule, first = %time_text(first.at), slots, "slots were missed and will not run");
            let unmade = Unmade {
                workflow: key.workflow.clone(),
                cause: key.cause(schedule, first),
                last_slot: (slots > 1).then_some(last),
                slots: u32::try_from(slots).unwrap_or(u32::MAX),
                reason: UnmadeReason::Missed,
                detail: why_missed(&entry.spec, slots),
                at: now,
            };
            self.store.pass_over(unmade).await?;
        }
        entry.deferred = due.deferred.or(entry.deferred);
        if let Some(deferred) = entry.deferred.filter(|deferred| deferred.at <= now) {
            if matches!(schedule.standing(deferred.slot, now), Standing::Deferred { .. }) {
                self.fire(workflow, key, schedule, overlap, deferred.slot, now).await?;
            } else {
                tracing::warn!(workflow = key.workflow, schedule = key.schedule, slot = %time_text(deferred.slot.at), "a slot missed the cut-off of the next business day too and will not run");
            }
            entry.deferred = None;
        }
        for slot in due.run {
            self.fire(workflow, key, schedule, overlap, slot, now).await?;
            entry.last = entry.last.max(slot.at);
        }
        entry.last = entry.last.max(now);
        Ok(())
    }

    /// Records the slots that came while the schedule is paused: as one stretch, which grows.
    async fn pass_over_paused(
        &self,
        key: &Key,
        entry: &mut Watched,
        pause: &Pause,
        now: Instant,
    ) -> Result<(), StoreError> {
        let Some(schedule) = &entry.schedule else {
            return Ok(());
        };
        entry.last = resume_point(Some(entry.last), now);
        entry.deferred = None;
        if let Some((first, last, slots)) = missed(schedule, entry.last, now, &Due::default()) {
            let (first, before) = entry.paused.unwrap_or((first, 0));
            let slots = before + slots;
            let unmade = Unmade {
                workflow: key.workflow.clone(),
                cause: key.cause(schedule, first),
                last_slot: (slots > 1).then_some(last),
                slots: u32::try_from(slots).unwrap_or(u32::MAX),
                reason: UnmadeReason::Paused,
                detail: format!("paused by {}: {}", pause.actor, pause.reason),
                at: now,
            };
            self.store.pass_over(unmade).await?;
            entry.paused = Some((first, slots));
        }
        entry.last = entry.last.max(now);
        Ok(())
    }

    async fn fire(
        &self,
        workflow: &Workflow,
        key: &Key,
        schedule: &Schedule,
        overlap: Overlap,
        slot: Slot,
        now: Instant,
    ) -> Result<(), StoreError> {
        let moved = schedule.moved(slot);
        let cause = key.cause(schedule, slot);
        let name = schedule.name(slot);
        let slot = slot.at;
        let mut event = json!({
            "type": "cron",
            "schedule": key.schedule,
            "timezone": key.timezone,
            "slot": time_text(slot),
        });
        if let Some(moved) = moved {
            event["moved_from"] = json!(moved.from.to_string());
        }
        let secret = self.store.installation_secret().await?;
        let id = run_id(workflow, &secret, name, ["cron", &key.schedule, &key.timezone]);
        self.versions.keep(self.store.as_ref(), &workflow.version).await?;
        let concurrency = match &workflow.concurrency {
            Some(spec) => spec.of(&event, &workflow.params),
            None => Concurrency {
                key: format!("schedule {} {}", key.schedule, key.timezone),
                max: 1,
                policy: overlap,
            },
        };
        let mut run = new_run(workflow, id, cause, event.into(), now);
        run.concurrency = Some(concurrency);
        let made = self.store.create_run(run).await?;
        let slot = time_text(slot);
        match made {
            Made::New => {
                tracing::info!(run = %id, workflow = key.workflow, slot, "a schedule made a run");
                self.wake.nudge();
            }
            Made::Overlapping(behind) => {
                tracing::warn!(%behind, workflow = key.workflow, slot, "a slot was passed over: an earlier run is open");
            }
            Made::Known => {}
        }
        Ok(())
    }

    /// Until the next slot, but never longer than a slice: the wall clock may move meanwhile.
    fn pause(&self) -> Duration {
        let now = self.clock.now();
        self.watched
            .values()
            .filter_map(|entry| {
                let next = entry.schedule.as_ref()?.next_after(entry.last.max(now));
                let deferred = entry.deferred.map(|deferred| deferred.at);
                next.into_iter().chain(deferred).min()
            })
            .min()
            .and_then(|next| (next - now).to_std().ok())
            // Never zero: elapsed and wall time may differ by a hair at the end of a sleep.
            .map_or(SLICE, |until| until.clamp(Duration::from_millis(1), SLICE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Instant {
        crate::model::value::parse_time(text).expect("an instant")
    }

    #[test]
    fn due_slots_are_those_of_the_last_minute_or_the_latest_missed_one() {
        let check = |text: &str, last: &str, now: &str, catch_up: CatchUp, expected: &[&str]| {
            let schedule = Schedule::parse(text, "UTC").expect(text);
            let due = due_slots(&schedule, at(last), at(now), catch_up, TimeDelta::hours(24));
            let found: Vec<Instant> = due.run.iter().map(|slot| slot.at).collect();
            let expected: Vec<Instant> = expected.iter().map(|text| at(text)).collect();
            assert_eq!(found, expected, "{text} last {last} now {now} {catch_up:?}");
        };
        let daily = "0 18 * * *";
        let (none, latest) = (CatchUp::None, CatchUp::Latest);
        // On time, whatever is to be caught up.
        for catch_up in [none, latest] {
            check(
                daily,
                "2026-05-01T18:00:00Z",
                "2026-05-02T18:00:00Z",
                catch_up,
                &["2026-05-02T18:00:00Z"],
            );
            check(
                daily,
                "2026-05-01T18:00:00Z",
                "2026-05-02T18:00:59Z",
                catch_up,
                &["2026-05-02T18:00:00Z"],
            );
            check(daily, "2026-05-01T18:00:00Z", "2026-05-02T17:59:59Z", catch_up, &[]);
            // It ran already.
            check(daily, "2026-05-02T18:00:00Z", "2026-05-02T18:00:30Z", catch_up, &[]);
            // The clock was set back: nothing until the last slot is passed again.
            check(daily, "2026-05-02T18:00:00Z", "2026-05-02T17:00:00Z", catch_up, &[]);
        }
        // Missed by three hours.
        check(daily, "2026-05-01T18:00:00Z", "2026-05-02T21:00:00Z", none, &[]);
        check(
            daily,
            "2026-05-01T18:00:00Z",
            "2026-05-02T21:00:00Z",
            latest,
            &["2026-05-02T18:00:00Z"],
        );
        // Missed for a week: one, not seven.
        check(
            daily,
            "2026-05-01T18:00:00Z",
            "2026-05-08T21:00:00Z",
            latest,
            &["2026-05-08T18:00:00Z"],
        );
        // Older than a day.
        check(
            "0 18 1 * *",
            "2026-04-01T18:00:00Z",
            "2026-05-03T00:00:00Z",
            latest,
            &[],
        );
        // The slot that is on time stands for those missed.
        check(
            "*/5 * * * *",
            "2026-05-01T10:00:00Z",
            "2026-05-01T12:00:10Z",
            latest,
            &["2026-05-01T12:00:00Z"],
        );
        // A dense schedule loses nothing of the last minute.
        check(
            "*/20 * * * * *",
            "2026-05-01T10:00:00Z",
            "2026-05-01T10:00:50Z",
            none,
            &["2026-05-01T10:00:20Z", "2026-05-01T10:00:40Z"],
        );
        // And the last of an hour of seconds is found from far behind.
        check(
            "* * 3 * * *",
            "2026-05-01T00:00:00Z",
            "2026-05-01T20:00:00Z",
            latest,
            &["2026-05-01T03:59:59Z"],
        );
    }

    #[test]
    fn slots_are_counted_from_the_last_one_unless_the_clock_was_wrong() {
        let now = at("2026-05-01T12:00:00Z");
        let check = |last: Option<&str>, expected: &str| assert_eq!(resume_point(last.map(at), now), at(expected));
        check(None, "2026-05-01T12:00:00Z");
        check(Some("2026-04-30T18:00:00Z"), "2026-04-30T18:00:00Z");
        check(Some("2026-05-01T14:00:00Z"), "2026-05-01T14:00:00Z");
        check(Some("2031-01-01T00:00:00Z"), "2026-05-01T12:00:00Z");
    }
}
