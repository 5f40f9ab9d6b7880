//! The watchdog: slots that have neither run nor reason, and runs that nothing takes up, are told of once.

use std::time::Duration;

use chrono::TimeDelta;

use super::super::slots::{UNBEGUN, overdue};
use super::CronTrigger;
use crate::model::run::RunState;
use crate::model::value::time_text;

impl CronTrigger {
    /// The watchdog: says of each slot once that it has neither run nor reason, and of a run that nothing takes it up.
    pub(super) async fn tell_overdue(&mut self) {
        let (now, elapsed) = (self.clock.now(), self.clock.elapsed());
        for (key, entry) in self.watched.iter_mut().filter(|(_, entry)| !entry.waits_for_clock) {
            let Some(schedule) = &entry.schedule else { continue };
            let found = overdue(schedule, entry.last, now);
            if let Some(slot) = found.filter(|found| entry.overdue.is_none_or(|told| *found > told)) {
                tracing::error!(workflow = key.workflow, schedule = key.schedule, slot = %time_text(slot), "a slot is overdue: it has neither its run nor a reason");
                entry.overdue = Some(slot);
            }
            let waited = |made: Duration| TimeDelta::from_std(elapsed.saturating_sub(made));
            if let Some((run, made)) = entry.unbegun
                && waited(made).is_ok_and(|waited| waited >= UNBEGUN)
                && let Ok(found) = self.store.run(run).await
            {
                entry.unbegun = None;
                if found.is_some_and(|found| found.state == RunState::Queued && found.started_at.is_none()) {
                    let minutes = UNBEGUN.num_minutes();
                    tracing::error!(%run, workflow = key.workflow, schedule = key.schedule, "the run of a slot has not begun for {minutes} minutes: nothing takes it up");
                }
            }
        }
    }
}
