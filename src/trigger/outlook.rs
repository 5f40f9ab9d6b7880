//! What a schedule will do, slot by slot, with a note wherever the clocks or a calendar have a say in it. Pure.

use chrono::{DateTime, Days, FixedOffset, NaiveDateTime, TimeDelta};

use super::cron::cron_triggers;
use super::schedule::{Pass, Schedule, ScheduleError, Slot};
use crate::base::clock::Instant;
use crate::model::calendar::OutsideCoverage;
use crate::model::workflow::Workflow;

/// The next slots of a schedule.
#[derive(Debug, Clone, PartialEq)]
pub struct Outlook {
    /// In order.
    pub slots: Vec<Planned>,
    /// Why there are no more of them, if its calendar is the reason.
    pub end: Option<OutsideCoverage>,
}

/// A slot to come.
#[derive(Debug, Clone, PartialEq)]
pub struct Planned {
    /// The slot.
    pub slot: Slot,
    /// As the clocks of its zone show it.
    pub local: DateTime<FixedOffset>,
    /// What is special about it.
    pub notes: Vec<String>,
}

/// The next `count` slots after an instant.
pub fn outlook(schedule: &Schedule, from: Instant, count: usize) -> Outlook {
    let mut slots: Vec<Planned> = Vec::new();
    let mut end = None;
    let mut after = from;
    // A closed day that is today is still to be told of.
    let mut day_before = schedule.local(from).date_naive().checked_sub_days(Days::new(1));
    while slots.len() < count {
        let slot = match schedule.next_slot(after) {
            Ok(Some(slot)) => slot,
            Ok(None) => break,
            Err(outside) => {
                end = Some(outside);
                break;
            }
        };
        let mut notes = Vec::new();
        if let Some(day_before) = day_before {
            let left_out = schedule.left_out(day_before, slot.wall.date());
            notes.extend(
                left_out
                    .iter()
                    .filter(|left| left.is_holiday)
                    .map(|left| format!("{}: left out on {}", left.because, left.date)),
            );
        }
        if let Some(moved) = schedule.moved(slot) {
            notes.push(format!("{}: moved from {}", moved.because, moved.from));
        }
        notes.extend(of_the_clocks(schedule, after, slot));
        if slot.jitter > TimeDelta::zero() {
            let begins = schedule.local(slot.at).format("%H:%M:%S");
            notes.push(format!(
                "jitter: begins {} s later, at {begins}",
                slot.jitter.num_seconds()
            ));
        }
        slots.push(Planned {
            slot,
            local: schedule.local(slot.on_time()),
            notes,
        });
        (after, day_before) = (slot.at, Some(slot.wall.date()));
    }
    Outlook { slots, end }
}

/// What changes of the clocks, since the slot before or at this one, do to it.
fn of_the_clocks(schedule: &Schedule, before: Instant, slot: Slot) -> Vec<String> {
    let clock = |wall: NaiveDateTime| wall.format("%H:%M").to_string();
    let (named, shown) = (clock(slot.wall), clock(schedule.local(slot.on_time()).naive_local()));
    let mut notes = Vec::new();
    match schedule.pass(slot) {
        Pass::None => {
            return vec![format!("clocks go forward: {named} does not exist, runs at {shown}")];
        }
        Pass::First if schedule.is_interval() => notes.push(format!("clocks go back: first pass of {named}")),
        Pass::Second => notes.push(format!("clocks go back: second pass of {named}")),
        Pass::First => notes.push(format!(
            "clocks go back: {named} comes twice, runs in the first pass; second pass of the hour: not repeated"
        )),
        Pass::Only => {
            let change = change_between(schedule, before, slot.on_time());
            notes.extend(change.map(|(from, to)| {
                let way = if to > from { "forward" } else { "back" };
                format!(
                    "clocks went {way} on {}: from {} to {}",
                    from.date(),
                    clock(from),
                    clock(to)
                )
            }));
        }
    }
    notes
}

/// What the clocks would have shown and what they showed when they were last changed between two instants.
fn change_between(schedule: &Schedule, from: Instant, to: Instant) -> Option<(NaiveDateTime, NaiveDateTime)> {
    let offset = |at: Instant| *schedule.local(at).offset();
    // A week at a time: between two rare slots the clocks may go forward and back again.
    let step = TimeDelta::days(7);
    let mut high = to;
    while high > from {
        let mut low = (high - step).max(from);
        if offset(low) != offset(high) {
            let (after, mut change) = (offset(high), high);
            while change - low > TimeDelta::seconds(1) {
                let middle = low + TimeDelta::seconds((change - low).num_seconds() / 2);
                if offset(middle) == after {
                    change = middle;
                } else {
                    low = middle;
                }
            }
            let would_show = change.naive_utc().checked_add_offset(offset(low))?;
            return Some((would_show, schedule.local(change).naive_local()));
        }
        high = low;
    }
    None
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
                let found = outlook(&schedule, now, count);
                match found.end {
                    // A calendar that has ended is a reason, an expression that is over is none.
                    Some(end) if found.slots.is_empty() => Err(end.into()),
                    _ => Ok(found.slots.iter().map(|planned| planned.local).collect()),
                }
            }),
        })
        .collect()
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
