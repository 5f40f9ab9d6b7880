//! Which slots of a schedule are due, which were missed, and which are overdue.
//!
//! Pure: it is told the time, and up to when slots were dealt with. What is written of it is [`super::cron`]'s.

use std::collections::BTreeSet;

use chrono::TimeDelta;

use super::schedule::{Schedule, Slot, Standing};
use crate::base::clock::Instant;
use crate::base::guard::{Guard, holds};
use crate::base::limits::CATCH_UP_SLOTS_MAX;
use crate::model::calendar::AfterCutOff;
use crate::model::run::RunState;
use crate::model::workflow::{CatchUp, CronSpec};
use crate::store::SlotRun;

/// A slot at most this late is simply run; an older one was missed, and is a matter of catching up. One that is later
/// and has neither its run nor its reason is overdue.
pub const ON_TIME: TimeDelta = TimeDelta::seconds(60);
/// A run that nothing takes up for so long is told of.
pub const UNBEGUN: TimeDelta = TimeDelta::minutes(10);
/// Missed slots that are counted one by one; of more it is said that they are at least so many.
const COUNTED_SLOTS_MAX: usize = 1_000;
/// A slot that missed its cut-off runs on the next business day; no row of closed days is longer than this.
const DEFERRAL_WINDOW: TimeDelta = TimeDelta::days(31);
/// A clock set back by more than this was wrong before: the last slot says nothing about the next one.
pub const CORRECTION: TimeDelta = TimeDelta::hours(3);

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
        Standing::Deferred { at } => Due {
            run,
            deferred: Some(Deferred { slot: latest, at }),
        },
        Standing::Runs | Standing::Refused => Due::default(),
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

/// What of the slots up to now is not to be run: the first of them, the last, and how many there are at least. Those of
/// these names have run before the clock was set back.
pub(super) fn missed(
    schedule: &Schedule,
    last: Instant,
    now: Instant,
    due: &Due,
    ran: &BTreeSet<Instant>,
) -> Option<(Slot, Instant, usize)> {
    let has_run = |slot: &Slot| !ran.is_empty() && ran.contains(&schedule.name(*slot));
    let is_due = |slot: &Slot| due.run.iter().any(|due| due.at == slot.at);
    let is_deferred = |slot: &Slot| due.deferred.is_some_and(|deferred| deferred.slot.at == slot.at);
    let mut passed =
        slots_between(schedule, last, now).filter(|slot| !is_due(slot) && !is_deferred(slot) && !has_run(slot));
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

/// Why slots that nobody was there for are not run later.
pub(super) fn why_missed(spec: &CronSpec, slots: usize) -> String {
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

/// How far back a slot may lie that missed its cut-off.
fn window(schedule: &Schedule) -> TimeDelta {
    let cut_off = schedule.business().and_then(|business| business.cut_off);
    match cut_off.map(|cut_off| cut_off.after) {
        Some(AfterCutOff::NextBusinessDay) => DEFERRAL_WINDOW,
        Some(AfterCutOff::Refuse) | None => TimeDelta::zero(),
    }
}

/// Slots after `from`, up to and including `to`.
pub(super) fn slots_between(schedule: &Schedule, from: Instant, to: Instant) -> impl Iterator<Item = Slot> + '_ {
    let next = |after: Instant| match schedule.next_slot(after) {
        // Before its calendar begins nothing is known; what comes then is.
        Err(outside) if outside.date < outside.from => {
            let begins = schedule.begins().into_iter().filter(|begin| *begin > after);
            begins
                .filter_map(|begin| schedule.next_slot(begin).ok())
                .next()
                .flatten()
        }
        found => found.ok().flatten(),
    };
    std::iter::successors(next(from), move |slot| next(slot.at)).take_while(move |slot| slot.at <= to)
}

/// The last of those, looked for from the end in growing steps, so that a dense schedule costs no walk
/// through a whole day.
pub(super) fn latest_between(schedule: &Schedule, from: Instant, to: Instant) -> Option<Slot> {
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

/// Up to when all is dealt with once what is due now has its run or its reason: now, or the last slot before the calendar
/// says nothing more. What it says later of the days between is still to be dealt with then.
pub(super) fn dealt_until(schedule: &Schedule, last: Instant, now: Instant) -> Instant {
    match schedule.next_slot(now) {
        Err(outside) if outside.date > outside.until && holds(Guard::CalendarAwaited) => {
            latest_between(schedule, last, now).map_or(last, |slot| slot.at.max(last))
        }
        _ => last.max(now),
    }
}

/// The first slot that should have had its run or its reason for more than a minute, if all up to `dealt` has.
pub fn overdue(schedule: &Schedule, dealt: Instant, now: Instant) -> Option<Instant> {
    let slot = schedule.next_slot(dealt).ok()??;
    let due = match schedule.standing(slot, now) {
        Standing::Deferred { at } => at,
        Standing::Runs | Standing::Refused => slot.at,
    };
    (due + ON_TIME < now).then_some(slot.at)
}

/// Whether nothing has taken up a run for so long that it has to be told.
pub fn is_unbegun(run: &SlotRun, now: Instant) -> bool {
    run.state == RunState::Queued && run.started_at.is_none() && now - run.created_at >= UNBEGUN
}

/// The runs because of which the schedules of a workflow are to be paused: the newest that ended, if so many in a row
/// failed, and none of them before the last pause ended. What was cancelled counts neither way, and what has not ended
/// not yet. `runs` are in the order of slots, newest first.
pub fn failed_in_a_row(runs: &[SlotRun], spec: &CronSpec, resumed_at: Option<Instant>) -> Option<Vec<SlotRun>> {
    let wanted = usize::try_from(spec.pause_after_failures).unwrap_or(usize::MAX);
    let counts = |run: &&SlotRun| {
        matches!(run.state, RunState::Succeeded | RunState::Failed)
            && run
                .finished_at
                .is_some_and(|ended| resumed_at.is_none_or(|resumed| ended > resumed))
    };
    let failed = runs
        .iter()
        .filter(counts)
        .take_while(|run| run.state == RunState::Failed);
    let failed: Vec<SlotRun> = failed.take(wanted).copied().collect();
    (wanted > 0 && failed.len() == wanted && holds(Guard::FailuresPause)).then_some(failed)
}

/// No record of a slot after this time counts: it was made while the clock was wrong.
pub fn real_until(now: Instant) -> Instant {
    now + CORRECTION
}

/// From where slots are counted: from the last one that ran, or from now if none ever did or the clock has
/// been set back so far that the last one lies in a future that was never real.
pub fn resume_point(last: Option<Instant>, now: Instant) -> Instant {
    last.filter(|last| *last <= real_until(now)).unwrap_or(now)
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
