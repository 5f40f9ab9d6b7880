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

use super::schedule::{Schedule, ScheduleError};
use super::versions::KnownVersions;
use super::{new_run, run_id};
use crate::base::clock::{Clock, Instant};
use crate::base::shutdown::Shutdown;
use crate::base::wake::Wake;
use crate::catalog::snapshot::Snapshot;
use crate::catalog::watch::Catalog;
use crate::model::run::Cause;
use crate::model::value::time_text;
use crate::model::workflow::{CatchUp, Trigger, Workflow};
use crate::store::{Made, Store, StoreError};

/// A slot at most this late is simply run; an older one was missed, and is a matter of catching up.
const ON_TIME: TimeDelta = TimeDelta::seconds(60);
/// A missed slot older than this is not run by itself any more.
const CATCH_UP_WINDOW: TimeDelta = TimeDelta::hours(24);
/// A clock set back by more than this was wrong before: the last slot says nothing about the next one.
const CORRECTION: TimeDelta = TimeDelta::hours(3);
/// The longest sleep: the wall clock may be moved at any time and is read again this often.
const SLICE: Duration = Duration::from_secs(30);
/// How soon to ask again when the store could not be reached.
const RETRY: Duration = Duration::from_secs(5);

/// The slots to run now, in order, if everything up to `last` has been dealt with.
///
/// Slots of the last minute all run. Of those missed before, at most the latest one runs, if it is to be
/// caught up, less than a day old, and no slot of the last minute stands for it.
pub fn due_slots(schedule: &Schedule, last: Instant, now: Instant, catch_up: CatchUp) -> Vec<Instant> {
    let late = now - ON_TIME;
    let on_time: Vec<Instant> = slots_between(schedule, last.max(late), now).collect();
    if !on_time.is_empty() {
        return on_time;
    }
    match catch_up {
        CatchUp::None => Vec::new(),
        CatchUp::Latest => latest_between(schedule, last.max(now - CATCH_UP_WINDOW), late)
            .into_iter()
            .collect(),
    }
}

/// Slots after `from`, up to and including `to`.
fn slots_between(schedule: &Schedule, from: Instant, to: Instant) -> impl Iterator<Item = Instant> + '_ {
    std::iter::successors(schedule.next_after(from), |slot| schedule.next_after(*slot))
        .take_while(move |slot| *slot <= to)
}

/// The last of those, looked for from the end in growing steps, so that a dense schedule costs no walk
/// through a whole day.
fn latest_between(schedule: &Schedule, from: Instant, to: Instant) -> Option<Instant> {
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
        .map(|(schedule, timezone, _)| Upcoming {
            schedule: schedule.to_owned(),
            timezone: timezone.to_owned(),
            slots: Schedule::parse(schedule, timezone).map(|schedule| {
                std::iter::successors(schedule.next_after(now), |slot| schedule.next_after(*slot))
                    .take(count)
                    .map(|slot| schedule.local(slot))
                    .collect()
            }),
        })
        .collect()
}

fn cron_triggers(workflow: &Workflow) -> impl Iterator<Item = (&str, &str, CatchUp)> {
    workflow.triggers.iter().filter_map(|trigger| match trigger {
        Trigger::Cron {
            schedule,
            timezone,
            catch_up,
        } => Some((schedule.as_str(), timezone.as_str(), *catch_up)),
        Trigger::Webhook { .. } => None,
    })
}

/// Which schedule of which workflow.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    workflow: String,
    schedule: String,
    timezone: String,
}

/// A schedule being watched.
#[derive(Debug)]
struct Watched {
    /// Nothing, if it cannot be read: said once, then left alone until the manifest changes.
    schedule: Option<Schedule>,
    catch_up: CatchUp,
    /// Every slot up to here has been dealt with.
    last: Instant,
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
        let now = self.clock.now();
        let mut watched = std::mem::take(&mut self.watched);
        let mut outcome = Ok(());
        for (key, entry) in &mut watched {
            if let Some(workflow) = snapshot.workflows.get(&key.workflow)
                && let Err(error) = self.fire_due(workflow, key, entry, now).await
            {
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
            for (schedule, timezone, catch_up) in cron_triggers(workflow) {
                let key = Key {
                    workflow: workflow.name.clone(),
                    schedule: schedule.to_owned(),
                    timezone: timezone.to_owned(),
                };
                if let Some(entry) = self.watched.get_mut(&key) {
                    entry.catch_up = catch_up;
                } else {
                    let entry = self.take_up(&key, catch_up).await?;
                    self.watched.insert(key.clone(), entry);
                }
                present.insert(key);
            }
        }
        self.watched.retain(|key, _| present.contains(key));
        Ok(())
    }

    async fn take_up(&self, key: &Key, catch_up: CatchUp) -> Result<Watched, StoreError> {
        let last = self
            .store
            .last_slot(&key.workflow, &key.schedule, &key.timezone)
            .await?;
        let schedule = Schedule::parse(&key.schedule, &key.timezone)
            .inspect_err(|error| {
                tracing::error!(workflow = key.workflow, schedule = key.schedule, %error, "this schedule never runs");
            })
            .ok();
        Ok(Watched {
            schedule,
            catch_up,
            last: resume_point(last, self.clock.now()),
        })
    }

    async fn fire_due(
        &self,
        workflow: &Workflow,
        key: &Key,
        entry: &mut Watched,
        now: Instant,
    ) -> Result<(), StoreError> {
        let Some(schedule) = &entry.schedule else {
            return Ok(());
        };
        entry.last = resume_point(Some(entry.last), now);
        let due = due_slots(schedule, entry.last, now, entry.catch_up);
        if let Some(missed) = schedule
            .next_after(entry.last)
            .filter(|first| *first <= now && due.first() != Some(first))
        {
            tracing::warn!(workflow = key.workflow, schedule = key.schedule, first = %time_text(missed), "slots were missed and will not run");
        }
        for slot in due {
            self.fire(workflow, key, slot, now).await?;
            entry.last = slot;
        }
        entry.last = entry.last.max(now);
        Ok(())
    }

    async fn fire(&self, workflow: &Workflow, key: &Key, slot: Instant, now: Instant) -> Result<(), StoreError> {
        let cause = Cause::Cron {
            schedule: key.schedule.clone(),
            timezone: key.timezone.clone(),
            slot,
        };
        let event = json!({
            "type": "cron",
            "schedule": key.schedule,
            "timezone": key.timezone,
            "slot": time_text(slot),
        });
        let secret = self.store.installation_secret().await?;
        let id = run_id(workflow, &secret, slot, ["cron", &key.schedule, &key.timezone]);
        self.versions.keep(self.store.as_ref(), &workflow.version).await?;
        let made = self
            .store
            .create_run(new_run(workflow, id, cause, event.into(), now))
            .await?;
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
            .filter_map(|entry| entry.schedule.as_ref()?.next_after(entry.last.max(now)))
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
            let found = due_slots(&schedule, at(last), at(now), catch_up);
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
