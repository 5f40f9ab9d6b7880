//! A schedule that is being watched: up to when its slots are dealt with, and what of them waits.
//!
//! Says what it knows of itself; what is written to the store is [`super`]'s.

use std::time::Duration;

use chrono::TimeDelta;

use super::super::schedule::{Schedule, Slot};
use super::super::slots::{Deferred, resume_point};
use crate::base::clock::Instant;
use crate::base::ids::RunId;
use crate::model::unmade::UnmadeReason;
use crate::model::workflow::CronSpec;

/// A schedule being watched.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) spec: CronSpec,
    /// Nothing, if it cannot be read: said once, then left alone until the manifest changes.
    pub(super) schedule: Option<Schedule>,
    /// Every slot up to here has been dealt with.
    pub(super) last: Instant,
    /// Up to when the store knows that, at least.
    pub(super) settled: Instant,
    /// The slot that missed its cut-off and runs later.
    pub(super) deferred: Option<Deferred>,
    /// Up to when holidays have their rows.
    pub(super) holidays: Instant,
    /// The slots that a pause or a holiday takes, one after another.
    pub(super) stretch: Option<Stretch>,
    /// Whether it was said that its calendar has ended.
    pub(super) end_was_told: bool,
    /// Whether a person has to look at the clock before anything is done about it.
    pub(super) waits_for_clock: bool,
    /// The slot of which it was said that it is overdue.
    pub(super) overdue: Option<Instant>,
    /// The newest run, with the elapsed time at which it was made, until it has begun.
    pub(super) unbegun: Option<(RunId, Duration)>,
}

/// Slots that pass one after another for one reason.
#[derive(Debug, Clone)]
pub(super) struct Stretch {
    pub(super) reason: UnmadeReason,
    pub(super) detail: String,
    pub(super) first: Slot,
    pub(super) slots: usize,
}

impl Watched {
    pub(super) fn new(workflow: &str, spec: &CronSpec, last: Instant) -> Self {
        let schedule = Schedule::of(spec)
            .inspect_err(|error| {
                tracing::error!(workflow, schedule = spec.schedule, %error, "this schedule never runs");
            })
            .ok();
        Self {
            spec: spec.clone(),
            schedule,
            last,
            settled: last,
            deferred: None,
            holidays: last,
            stretch: None,
            end_was_told: false,
            waits_for_clock: false,
            overdue: None,
            unbegun: None,
        }
    }

    /// The same with another manifest: what ran under its name stays run.
    pub(super) fn changed(&self, workflow: &str, spec: &CronSpec) -> Self {
        Self {
            deferred: self.deferred,
            holidays: self.holidays,
            settled: self.settled,
            unbegun: self.unbegun,
            ..Self::new(workflow, spec, self.dealt_without_jitter())
        }
    }

    /// Up to when all is dealt with whatever the jitter: a slot whose time has come and whose jitter has not passed is not.
    fn dealt_without_jitter(&self) -> Instant {
        let next = self.schedule.as_ref().map(|schedule| schedule.next_slot(self.last));
        let Some(Ok(Some(next))) = next else { return self.last };
        self.last.min(next.on_time() - TimeDelta::seconds(1))
    }

    /// Says once what its calendar does not know: what comes, or what came before it begins.
    pub(super) fn tell_its_end(&mut self, workflow: &str, now: Instant) {
        let Some(schedule) = &self.schedule else { return };
        let end = schedule.next_slot(now).err();
        let before = schedule.next_slot(self.last).err().filter(|_| end.is_none());
        if let (Some(error), false) = (&end, self.end_was_told) {
            tracing::error!(workflow, schedule = self.spec.schedule, %error, "this schedule does not run until its calendar says more");
        }
        if let (Some(error), false) = (&before, self.end_was_told) {
            tracing::error!(workflow, schedule = self.spec.schedule, %error, "it is not known whether this schedule had slots before its calendar begins: look what should have run");
        }
        self.end_was_told = end.is_some() || before.is_some();
    }

    /// Goes on from now where the clock was set back far.
    pub(super) fn go_on(&mut self, now: Instant) {
        let from = resume_point(Some(self.last), now);
        if from < self.last {
            // What is recorded of that future counts for nobody from now on: the store is told at once.
            self.settled = self.settled.max(self.last);
        }
        self.last = from;
    }

    /// Up to when all has its run or its reason, what waits for its day excepted.
    pub(super) fn settled_until(&self) -> Instant {
        let waits = self.deferred.map(|deferred| deferred.slot.at - TimeDelta::seconds(1));
        waits.map_or(self.last, |waits| waits.min(self.last))
    }
}
