//! What becomes of slots that make no run: each has its row with its reason.
//!
//! Which they are is said by [`slots`](super::super::slots). Must not make a run.

use std::collections::BTreeSet;

use super::super::make::cause_of;
use super::super::schedule::{Schedule, Slot};
use super::super::slots::{Due, dealt_until, missed};
use super::CronTrigger;
use super::watched::{Stretch, Watched};
use crate::base::clock::Instant;
use crate::model::unmade::{Pause, Unmade, UnmadeReason};
use crate::store::{SlotKey, SlotQuery, StoreError};

/// After a clock was set back, slots come again that had run; more of them are not looked for.
const RAN_BEFORE_MAX: u32 = 10_000;

impl CronTrigger {
    /// What of the slots up to now is not to be run and has not run: the first of them, the last, how many.
    pub(super) async fn missed(
        &self,
        key: &SlotKey,
        schedule: &Schedule,
        last: Instant,
        now: Instant,
        due: &Due,
    ) -> Result<Option<(Slot, Instant, usize)>, StoreError> {
        let found = missed(schedule, last, now, due, &BTreeSet::new());
        let Some((first, end, _)) = found else { return Ok(None) };
        let between = SlotQuery {
            key: key.clone(),
            from: Some(schedule.name(first)),
            to: Some(end),
            limit: RAN_BEFORE_MAX,
        };
        let ran: BTreeSet<Instant> = self
            .store
            .slot_runs(between)
            .await?
            .iter()
            .map(|run| run.slot)
            .collect();
        Ok(if ran.is_empty() {
            found
        } else {
            missed(schedule, last, now, due, &ran)
        })
    }

    /// Records the slots that come while the schedule is paused.
    pub(super) async fn pass_over_paused(
        &self,
        key: &SlotKey,
        entry: &mut Watched,
        pause: &Pause,
        now: Instant,
    ) -> Result<(), StoreError> {
        let Some(schedule) = entry.schedule.clone() else {
            return Ok(());
        };
        entry.go_on(now);
        let detail = format!("paused by {}: {}", pause.actor, pause.reason);
        if let Some(deferred) = entry.deferred.take() {
            let stretch = Stretch {
                reason: UnmadeReason::Paused,
                detail: detail.clone(),
                first: deferred.slot,
                slots: 1,
            };
            self.pass_over(key, &schedule, &stretch, deferred.slot.at, now).await?;
        }
        self.pass_over_holidays(key, entry, &schedule, now).await?;
        let none = Due::default();
        if let Some((first, last, slots)) = self.missed(key, &schedule, entry.last, now, &none).await? {
            let found = Stretch {
                reason: UnmadeReason::Paused,
                detail,
                first,
                slots,
            };
            self.lengthen(key, entry, &schedule, found, last, now).await?;
        }
        entry.last = dealt_until(&schedule, entry.last, now);
        Ok(())
    }

    /// Records the slots that are left out because of a holiday; not before one that waits for its day: another process
    /// counts from the newest that is recorded.
    pub(super) async fn pass_over_holidays(
        &self,
        key: &SlotKey,
        entry: &mut Watched,
        schedule: &Schedule,
        now: Instant,
    ) -> Result<(), StoreError> {
        if entry.deferred.is_some() {
            return Ok(());
        }
        for holiday in schedule.holidays(entry.holidays, now) {
            let found = Stretch {
                reason: UnmadeReason::Holiday,
                detail: holiday.because,
                first: holiday.first,
                slots: holiday.slots,
            };
            self.lengthen(key, entry, schedule, found, holiday.last, now).await?;
        }
        entry.holidays = now;
        Ok(())
    }

    /// Records slots, as part of those before them that pass for the same reason.
    async fn lengthen(
        &self,
        key: &SlotKey,
        entry: &mut Watched,
        schedule: &Schedule,
        found: Stretch,
        last: Instant,
        now: Instant,
    ) -> Result<(), StoreError> {
        let stretch = match &entry.stretch {
            Some(before) if (before.reason, &before.detail) == (found.reason, &found.detail) => Stretch {
                slots: before.slots + found.slots,
                ..before.clone()
            },
            _ => found,
        };
        self.pass_over(key, schedule, &stretch, last, now).await?;
        entry.stretch = Some(stretch);
        Ok(())
    }

    /// Records slots that pass for one reason.
    pub(super) async fn pass_over(
        &self,
        key: &SlotKey,
        schedule: &Schedule,
        stretch: &Stretch,
        last: Instant,
        now: Instant,
    ) -> Result<(), StoreError> {
        let unmade = Unmade {
            workflow: key.workflow.clone(),
            cause: cause_of(key, schedule, stretch.first),
            last_slot: (stretch.slots > 1).then_some(last),
            slots: u32::try_from(stretch.slots).unwrap_or(u32::MAX),
            reason: stretch.reason,
            detail: stretch.detail.clone(),
            at: now,
        };
        self.store.pass_over(unmade).await
    }
}
