//! Schedules make runs: which slots are due, and the loop that fires them.
//!
//! A slot is named for ever by workflow, expression, zone and nominal instant. The row of its run is unique
//! in the store, so neither a restart nor a clock set back can fire it twice; this loop only decides when
//! to ask. What time an expression names is [`super::schedule`]'s.

mod passed;
mod watchdog;
mod watched;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;

use self::watched::{Stretch, Watched};
use super::make::{Asked, make};
use super::schedule::{Slot, Standing};
use super::slots::{dealt_until, due_slots, failed_in_a_row, real_until, resume_point, why_missed};
use super::versions::KnownVersions;
use crate::base::clock::{Clock, Instant};
use crate::base::guard::{Guard, holds};
use crate::base::shutdown::Shutdown;
use crate::base::wake::Wake;
use crate::base::wall::{Moved, WallClock, told};
use crate::catalog::snapshot::Snapshot;
use crate::catalog::watch::Catalog;
use crate::model::unmade::{ClockDoubt, Pause, PauseCause, UnmadeReason};
use crate::model::value::time_text;
use crate::model::workflow::{CronSpec, Trigger, Workflow};
use crate::store::{Made, SlotKey, SlotQuery, Store, StoreError};

/// The longest sleep: the wall clock may be moved at any time and is read again this often.
const SLICE: Duration = Duration::from_secs(30);
/// How soon to ask again when the store could not be reached.
const RETRY: Duration = Duration::from_secs(5);
/// A pass that takes longer is stuck.
const STUCK: Duration = Duration::from_secs(60);
/// How often it is said which schedules wait for a person.
const REMIND: Duration = Duration::from_secs(3_600);
/// How often the store is told up to when all is dealt with: where nothing happens, once a day.
const SETTLE_EVERY: TimeDelta = TimeDelta::days(1);
/// How often the store is told what the wall clock shows, for the next process to compare its own with.
const SEE_EVERY: TimeDelta = TimeDelta::minutes(10);
/// How many runs are looked at to see whether the newest have failed: some of them may be open, or cancelled.
const LOOKED_BACK_MAX: u32 = 64;
/// What this program calls itself where a person would stand.
const ACTOR: &str = "bursar";

/// The schedules of a workflow.
pub fn cron_triggers(workflow: &Workflow) -> impl Iterator<Item = &CronSpec> {
    workflow.triggers.iter().filter_map(|trigger| match trigger {
        Trigger::Cron(spec) => Some(spec),
        Trigger::Webhook { .. } => None,
    })
}

/// Fires the schedules of the catalog.
pub struct CronTrigger {
    store: Arc<dyn Store>,
    catalog: Catalog,
    clock: Arc<dyn Clock>,
    wake: Wake,
    versions: Arc<KnownVersions>,
    watched: BTreeMap<SlotKey, Watched>,
    wall: WallClock,
    /// Why nothing may be fired before the store knows that the clock is in doubt.
    astray: Option<String>,
    /// Whether the clock was compared with what the store has seen of it in earlier processes.
    compared: bool,
    /// What of the clock the store was last told.
    seen: Option<Instant>,
    /// At what elapsed time it was last said which schedules this program paused.
    reminded: Option<Duration>,
}

impl CronTrigger {
    /// One that takes the wall clock for right as it is now, unless the store has seen a later time.
    pub fn new(
        store: Arc<dyn Store>,
        catalog: Catalog,
        clock: Arc<dyn Clock>,
        wake: Wake,
        versions: Arc<KnownVersions>,
    ) -> Self {
        Self {
            wall: WallClock::new(clock.as_ref()),
            store,
            catalog,
            clock,
            wake,
            versions,
            watched: BTreeMap::new(),
            astray: None,
            compared: false,
            seen: None,
            reminded: None,
        }
    }

    /// Fires whatever is due until it is told to stop.
    pub async fn run(mut self, mut shutdown: Shutdown) {
        let mut changes = self.catalog.changed();
        let clock = self.clock.clone();
        loop {
            // Before the look, which sees whatever has changed until now: nothing is looked at twice for one change.
            changes.mark_unchanged();
            let pause = match self.pass_watched().await {
                Ok(pause) => pause,
                Err(error) => {
                    tracing::warn!(%error, "schedules cannot be looked at; trying again");
                    RETRY
                }
            };
            tokio::select! {
                () = clock.sleep(pause) => {}
                _ = changes.changed() => {}
                () = shutdown.requested() => return,
            }
        }
    }

    /// Looks once at every schedule, and says so if that does not come to an end.
    async fn pass_watched(&mut self) -> Result<Duration, StoreError> {
        let clock = self.clock.clone();
        let mut pass = std::pin::pin!(self.pass());
        loop {
            tokio::select! {
                done = &mut pass => return done,
                () = clock.sleep(STUCK) => {
                    tracing::error!("schedules are stuck: the store has not answered for {} s, and slots may be overdue", STUCK.as_secs());
                }
            }
        }
    }

    /// Looks once at every schedule and says how long nothing will be due. What could not be written stays
    /// due.
    ///
    /// # Errors
    /// What the store says first.
    pub async fn pass(&mut self) -> Result<Duration, StoreError> {
        let outcome = self.look().await;
        // Above all where the store refuses.
        self.tell_overdue().await;
        outcome.map(|()| self.pause())
    }

    async fn look(&mut self) -> Result<(), StoreError> {
        let snapshot = self.catalog.current();
        let (now, doubt) = self.read_clock().await?;
        self.watch(&snapshot, doubt.as_ref(), now).await?;
        let pauses = self.store.pauses().await?;
        self.remind(&pauses, doubt.as_ref());
        let mut watched = std::mem::take(&mut self.watched);
        let mut outcome = Ok(());
        for (key, entry) in &mut watched {
            let Some(workflow) = snapshot.workflows.get(&key.workflow) else {
                continue;
            };
            let pause = pauses.iter().find(|pause| pause.workflow == key.workflow);
            entry.waits_for_clock = doubt.is_some();
            if let Err(error) = self.look_at(workflow, key, entry, pause, now).await {
                outcome = Err(error);
            }
        }
        self.watched = watched;
        if doubt.is_none() {
            // Last: slots are not kept waiting for it.
            outcome = outcome.and(self.keep_seen(now).await);
        }
        outcome
    }

    /// What time it is, and whether that is in doubt. Before a doubt is durable, nothing is fired.
    async fn read_clock(&mut self) -> Result<(Instant, Option<ClockDoubt>), StoreError> {
        let (now, moved) = self.wall.read(self.clock.as_ref());
        match moved {
            Moved::Steadily => {}
            Moved::Jumped(jump) => tracing::warn!(jump = told(jump), "the wall clock jumped"),
            Moved::Astray(jump) => {
                self.astray = Some(format!("the wall clock jumped {}, to {}", told(jump), time_text(now)));
            }
        }
        if !self.compared {
            match self.store.clock_seen().await {
                // It was later than that when an earlier process ended, by up to the time between two writings.
                Ok(Some(seen)) if seen + SEE_EVERY > real_until(now) && holds(Guard::ClockBehind) => {
                    let (seen, now) = (time_text(seen), time_text(now));
                    self.astray = Some(format!("the wall clock shows {now}, but it was {seen} here before"));
                }
                Ok(_) => {}
                Err(error @ StoreError::Corrupt(_)) => {
                    self.astray = Some(format!("nobody knows what the wall clock showed before: {error}"));
                }
                Err(error) => return Err(error),
            }
        }
        if let Some(reason) = &self.astray {
            tracing::error!(
                reason,
                "the clock cannot be relied on: schedules wait until somebody has looked at it and says `bursar schedule resume`"
            );
            self.store.doubt_clock(now, reason.clone()).await?;
            self.astray = None;
        }
        self.compared = true;
        Ok((now, self.store.clock_doubt().await?))
    }

    /// Tells the store from time to time what the wall clock shows, while that can be relied on.
    async fn keep_seen(&mut self, now: Instant) -> Result<(), StoreError> {
        if self.seen.is_none_or(|seen| now < seen || now - seen >= SEE_EVERY) {
            self.store.see_clock(now).await?;
            self.seen = Some(now);
        }
        Ok(())
    }

    /// Says now and then what waits for a person because this program stopped it.
    fn remind(&mut self, pauses: &[Pause], doubt: Option<&ClockDoubt>) {
        let elapsed = self.clock.elapsed();
        if self.reminded.is_some_and(|last| elapsed.saturating_sub(last) < REMIND) {
            return;
        }
        let of_failures = pauses.iter().filter(|pause| pause.cause == PauseCause::Failures);
        let waiting: Vec<&Pause> = of_failures.collect();
        self.reminded = (doubt.is_some() || !waiting.is_empty()).then_some(elapsed);
        if let Some(doubt) = doubt {
            tracing::error!(since = %time_text(doubt.since), reason = doubt.reason, "schedules wait until somebody says that the clock is right: `bursar schedule resume`");
        }
        for pause in waiting {
            tracing::error!(workflow = pause.workflow, since = %time_text(pause.since), reason = pause.reason, "schedules are paused until `bursar schedule resume` names the workflow");
        }
    }

    /// Takes up schedules that are new and forgets those that are gone. None is taken up while nobody knows from when on:
    /// its first slot is one after the clock is right.
    async fn watch(&mut self, snapshot: &Snapshot, doubt: Option<&ClockDoubt>, now: Instant) -> Result<(), StoreError> {
        let mut present = BTreeSet::new();
        for workflow in snapshot.workflows.values() {
            for spec in cron_triggers(workflow) {
                let key = SlotKey {
                    workflow: workflow.name.clone(),
                    schedule: spec.schedule.clone(),
                    timezone: spec.timezone.clone(),
                };
                match self.watched.get_mut(&key) {
                    Some(entry) if entry.spec == *spec => {}
                    Some(entry) => *entry = entry.changed(&key.workflow, spec),
                    None if doubt.is_some() && holds(Guard::ClockUnknown) => {}
                    None => {
                        let entry = self.take_up(&key, spec, now).await?;
                        self.watched.insert(key.clone(), entry);
                    }
                }
                present.insert(key);
            }
        }
        self.watched.retain(|key, _| present.contains(key));
        Ok(())
    }

    async fn take_up(&self, key: &SlotKey, spec: &CronSpec, now: Instant) -> Result<Watched, StoreError> {
        let (workflow, schedule, timezone) = (&key.workflow, &key.schedule, &key.timezone);
        let real = real_until(now);
        let settled = self.store.settled_until(workflow, schedule, timezone, real).await?;
        let last = resume_point(settled, now);
        if settled.is_none() && holds(Guard::SlotsSettled) {
            // From now on its slots count, also if it has none before the next start.
            self.store.settle_slots(key.clone(), last).await?;
        }
        Ok(Watched::new(workflow, spec, last))
    }

    /// Does what there is to do about a schedule.
    async fn look_at(
        &self,
        workflow: &Workflow,
        key: &SlotKey,
        entry: &mut Watched,
        pause: Option<&Pause>,
        now: Instant,
    ) -> Result<(), StoreError> {
        if entry.waits_for_clock {
            // Whatever comes meanwhile is downtime when somebody has said that the clock is right.
            return Ok(());
        }
        let done = match pause {
            Some(pause) => self.pass_over_paused(key, entry, pause, now).await,
            None => self.fire_due(workflow, key, entry, now).await,
        };
        match done {
            Ok(()) => self.keep_settled(key, entry).await,
            Err(error) => Err(error),
        }
    }

    /// Tells the store from time to time up to when all is dealt with.
    async fn keep_settled(&self, key: &SlotKey, entry: &mut Watched) -> Result<(), StoreError> {
        let until = entry.settled_until();
        // Backwards at once: what comes again after a clock was set back is still to be dealt with.
        if until < entry.settled || until - entry.settled >= SETTLE_EVERY {
            self.store.settle_slots(key.clone(), until).await?;
            entry.settled = until;
        }
        Ok(())
    }

    async fn fire_due(
        &self,
        workflow: &Workflow,
        key: &SlotKey,
        entry: &mut Watched,
        now: Instant,
    ) -> Result<(), StoreError> {
        entry.tell_its_end(&key.workflow, now);
        let Some(schedule) = entry.schedule.clone() else {
            return Ok(());
        };
        entry.go_on(now);
        let within = TimeDelta::hours(entry.spec.catch_up_hours.into());
        let due = due_slots(&schedule, entry.last, now, entry.spec.catch_up, within);
        let waited = due.deferred.or(entry.deferred).filter(|deferred| deferred.at <= now);
        if (waited.is_some() || !due.run.is_empty())
            && let Some(pause) = self.failing(key, &entry.spec, now).await?
        {
            self.store.pause(pause.clone()).await?;
            tracing::error!(
                workflow = key.workflow,
                reason = pause.reason,
                "schedules are paused until `bursar schedule resume` names the workflow"
            );
            return self.pass_over_paused(key, entry, &pause, now).await;
        }
        if let Some(deferred) = &due.deferred {
            tracing::warn!(workflow = key.workflow, schedule = key.schedule, slot = %time_text(deferred.slot.at), at = %time_text(deferred.at), "a slot missed its cut-off and runs on the next business day");
        }
        // Before anything later is begun: a crash in between leaves no slot without a run or a reason.
        if let Some((first, last, slots)) = self.missed(key, &schedule, entry.last, now, &due).await? {
            tracing::warn!(workflow = key.workflow, schedule = key.schedule, first = %time_text(first.at), slots, "slots were missed and will not run");
            let stretch = Stretch {
                reason: UnmadeReason::Missed,
                detail: why_missed(&entry.spec, slots),
                first,
                slots,
            };
            self.pass_over(key, &schedule, &stretch, last, now).await?;
        }
        entry.deferred = due.deferred.or(entry.deferred);
        self.pass_over_holidays(key, entry, &schedule, now).await?;
        if let Some(deferred) = entry.deferred.filter(|deferred| deferred.at <= now) {
            if matches!(schedule.standing(deferred.slot, now), Standing::Deferred { .. }) {
                self.fire(workflow, key, entry, deferred.slot, now).await?;
            } else {
                tracing::warn!(workflow = key.workflow, schedule = key.schedule, slot = %time_text(deferred.slot.at), "a slot missed the cut-off of the next business day too and will not run");
                let stretch = Stretch {
                    reason: UnmadeReason::Missed,
                    detail: "it missed its cut-off, and that of the next business day too".to_owned(),
                    first: deferred.slot,
                    slots: 1,
                };
                self.pass_over(key, &schedule, &stretch, deferred.slot.at, now).await?;
            }
            entry.deferred = None;
        }
        for slot in due.run {
            self.fire(workflow, key, entry, slot, now).await?;
            entry.last = entry.last.max(slot.at);
        }
        entry.last = dealt_until(&schedule, entry.last, now);
        Ok(())
    }

    /// The pause that is due because the newest runs of a schedule have failed, if it is.
    async fn failing(&self, key: &SlotKey, spec: &CronSpec, now: Instant) -> Result<Option<Pause>, StoreError> {
        if spec.pause_after_failures == 0 {
            return Ok(None);
        }
        let newest = SlotQuery {
            key: key.clone(),
            from: None,
            to: Some(real_until(now)),
            limit: LOOKED_BACK_MAX,
        };
        let runs = self.store.slot_runs(newest).await?;
        let resumed = self.store.resumed(&key.workflow).await?;
        // Neither runs nor resumptions of a time that never was count.
        let resumed = resumed.map(|resumed| resumed.at).filter(|at| *at <= real_until(now));
        let Some(failed) = failed_in_a_row(&runs, spec, resumed) else {
            return Ok(None);
        };
        let failed: Vec<String> = failed.iter().map(|run| run.id.to_string()).collect();
        Ok(Some(Pause {
            workflow: key.workflow.clone(),
            since: now,
            actor: ACTOR.to_owned(),
            reason: format!(
                "the newest {} runs of `{}` failed: {}",
                failed.len(),
                key.schedule,
                failed.join(", ")
            ),
            cause: PauseCause::Failures,
        }))
    }

    async fn fire(
        &self,
        workflow: &Workflow,
        key: &SlotKey,
        entry: &mut Watched,
        slot: Slot,
        now: Instant,
    ) -> Result<(), StoreError> {
        let Some(schedule) = &entry.schedule else { return Ok(()) };
        let asked = Asked {
            workflow,
            key,
            schedule,
            slot,
            overlap: entry.spec.overlap,
            person: None,
            now,
        };
        let (id, made) = make(self.store.as_ref(), &self.versions, asked).await?;
        let slot = time_text(slot.on_time());
        match made {
            Made::New => {
                tracing::info!(run = %id, workflow = key.workflow, slot, "a schedule made a run");
                entry.unbegun = Some((id, self.clock.elapsed()));
                entry.stretch = None;
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
