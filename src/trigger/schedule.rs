//! Schedules: a cron expression in a time zone, and the next instant it names.
//!
//! The expression is matched on wall time alone, as if there were no zones; on which days, `days` knows where words
//! or business days come in. The wall time is then placed in the zone by one written rule. Where the clocks go forward, a fixed time inside the gap happens once, at
//! the first instant after it, and an interval skips the gap. Where they go back, a fixed time happens in
//! the first pass only, an interval in both. Pure; reads no clock.

use std::str::FromStr as _;

use chrono::{
    DateTime, Datelike as _, FixedOffset, LocalResult, NaiveDate, NaiveDateTime, NaiveTime, Offset as _,
    SubsecRound as _, TimeDelta, TimeZone as _, Utc,
};
use chrono_tz::{GapInfo, Tz};

use super::days::{LeftOut, Moved, SlotDays};
use super::expression::Expression;
use super::words;
use crate::base::clock::Instant;
use crate::base::guard::{Guard, holds};
use crate::base::ids::Digest;
use crate::base::suggest::nearest;
use crate::model::calendar::{AfterCutOff, Business, CutOff, DayChoice, OutsideCoverage};
use crate::model::value::time_text;
use crate::model::workflow::CronSpec;

/// An expression that names nothing in five years is a mistake.
const YEARS_MAX: i32 = 5;
/// Where that search starts: any year will do, and a fixed one gives the same answer on every day.
const SEARCH_FROM_YEAR: i32 = 2025;

/// Why a schedule cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// The text is too long to be meant.
    #[error("a schedule has at most {max} characters")]
    TooLong {
        /// The limit.
        max: usize,
    },
    /// Not five to seven fields.
    #[error(
        "found {found} fields: expected minute, hour, day of month, month and weekday, with the second in front if it matters, and then the year behind if that does"
    )]
    FieldCount {
        /// How many there were.
        found: usize,
    },
    /// An `@word` that is not known.
    #[error("`{word}` is not known: expected @hourly, @daily, @weekly, @monthly or @yearly, or five fields")]
    UnknownShorthand {
        /// The word.
        word: String,
    },
    /// A part of a field makes no sense.
    #[error("`{item}` in the {field} field: {advice}")]
    Field {
        /// The field's name.
        field: &'static str,
        /// The part between commas.
        item: String,
        /// What to write.
        advice: String,
    },
    /// Day of month and weekday are both restricted, which programs read differently.
    #[error(
        "day of month `{day}` and weekday `{weekday}` are both given: Unix cron runs on the days that match either of them, other programs on those that match both; \
         write `*` for one of the two, or give the workflow two triggers"
    )]
    BothDays {
        /// The day of month as written.
        day: String,
        /// The weekday as written.
        weekday: String,
    },
    /// The zone is not in the database of zones.
    #[error("`{zone}` is not an IANA time zone{}: expected a name such as Europe/Berlin or UTC", suggestion.as_ref().map_or(String::new(), |near| format!(", did you mean `{near}`")))]
    UnknownZone {
        /// What was written.
        zone: String,
        /// The nearest known name.
        suggestion: Option<String>,
    },
    /// A date that does not exist.
    #[error("`{expression}` names no time in {YEARS_MAX} years: does that day exist in that month{}?", calendar.as_ref().map_or(String::new(), |name| format!(", and is `{name}` open on it")))]
    Never {
        /// What was written.
        expression: String,
        /// The calendar that has to be open.
        calendar: Option<String>,
    },
    /// Days are named twice.
    #[error("`business_day` chooses the days: write `*` for day of month and weekday, as in `0 9 * * *`")]
    DaysTwice,
    /// Slots that could never run in time.
    #[error("the schedule names {time}, which is not before the cut-off {cut_off}: no slot of that hour could run")]
    AfterCutOff {
        /// The last time of day.
        time: NaiveTime,
        /// The cut-off.
        cut_off: CutOff,
    },
    /// The calendar does not say whether a day is open.
    #[error(transparent)]
    Coverage(#[from] OutsideCoverage),
}

impl ScheduleError {
    /// The key of a manifest that is to blame.
    pub fn key(&self) -> &'static str {
        match self {
            Self::UnknownZone { .. } => "timezone",
            Self::DaysTwice => "business_day",
            Self::AfterCutOff { .. } => "cut_off",
            Self::Coverage(_) => "calendar",
            _ => "schedule",
        }
    }
}

/// A slot: the instant at which it is due, and the wall time it stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// The instant.
    pub at: Instant,
    /// What the expression names. The clocks do not show it at that instant if they jump over it.
    pub wall: NaiveDateTime,
    /// How much of the instant is jitter.
    pub jitter: TimeDelta,
}

impl Slot {
    /// The instant without its jitter.
    pub fn on_time(&self) -> Instant {
        self.at - self.jitter
    }
}

/// A cron expression in a time zone, and what business days have to do with it.
#[derive(Debug, Clone)]
pub struct Schedule {
    expression: Expression,
    matcher: cron::Schedule,
    /// Which days, if the matcher does not know that: it has the times of day alone then.
    days: Option<SlotDays>,
    business: Option<Business>,
    zone: Tz,
    /// The most a slot is late, and what tells whose slots they are.
    jitter: Option<(TimeDelta, Digest)>,
}

impl Schedule {
    /// Reads an expression and an IANA zone.
    pub fn parse(text: &str, zone: &str) -> Result<Self, ScheduleError> {
        Self::read(text, zone, None)
    }

    /// Reads the schedule of a manifest.
    pub fn of(spec: &CronSpec) -> Result<Self, ScheduleError> {
        let mut schedule = Self::read(&spec.schedule, &spec.timezone, spec.business.clone())?;
        schedule.jitter = spec.jitter.as_ref().map(|jitter| {
            let whose = [&jitter.workflow, &spec.schedule, &spec.timezone].map(|text| text.as_bytes());
            (TimeDelta::seconds(jitter.most_secs.into()), Digest::of(whose))
        });
        Ok(schedule)
    }

    fn read(text: &str, zone: &str, business: Option<Business>) -> Result<Self, ScheduleError> {
        let expression = Expression::parse(text)?;
        let zone = Tz::from_str(zone).map_err(|_| ScheduleError::UnknownZone {
            zone: zone.to_owned(),
            suggestion: nearest(zone, chrono_tz::TZ_VARIANTS.iter().map(|known| known.name())).map(str::to_owned),
        })?;
        let calendar = business.as_ref().map(|business| business.calendar.name().to_owned());
        let never = || ScheduleError::Never {
            expression: text.to_owned(),
            calendar: calendar.clone(),
        };
        let fields = &expression.days;
        let of_month = matches!(
            &business,
            Some(Business {
                days: DayChoice::OfMonth(_),
                ..
            })
        );
        if of_month && (fields.month_days.is_some() || fields.weekdays.is_some()) {
            return Err(ScheduleError::DaysTwice);
        }
        let cut_off = business.as_ref().and_then(|business| business.cut_off);
        if let (Some(cut_off), Some(time)) = (cut_off, expression.last_time())
            && time >= cut_off.time
        {
            return Err(ScheduleError::AfterCutOff { time, cut_off });
        }
        let days = (business.is_some() || !fields.is_plain()).then(|| {
            let business = business.as_ref();
            SlotDays::new(
                fields.clone(),
                business.map(|business| (business.calendar.clone(), business.days.clone())),
            )
        });
        let canonical = match &days {
            None => expression.canonical.clone(),
            Some(_) => expression.times_alone(),
        };
        let schedule = Self {
            // The canonical form is plain lists in their bounds, which the matcher always takes.
            matcher: cron::Schedule::try_from(canonical).map_err(|_| never())?,
            expression,
            days,
            business,
            zone,
            jitter: None,
        };
        if schedule.names_something() {
            Ok(schedule)
        } else {
            Err(never())
        }
    }

    /// Whether there is a slot within a few years of where its years or its calendar begin. A calendar that ends
    /// before is no fault of the expression.
    fn names_something(&self) -> bool {
        let year = self
            .expression
            .days
            .years
            .as_ref()
            .and_then(|years| years.first().copied());
        let from_year = year.unwrap_or(SEARCH_FROM_YEAR);
        let calendar = self.business.as_ref().map(|business| business.calendar.coverage());
        let covered = calendar.map_or(NaiveDate::MIN, |(from, _)| from);
        let Some(first) = NaiveDate::from_ymd_opt(from_year, 1, 1).map(|first| first.max(covered)) else {
            return false;
        };
        let found = match &self.days {
            Some(days) => days.next_from(first),
            None => {
                let from = Utc.from_utc_datetime(&first.and_time(NaiveTime::MIN));
                self.next_on_time(from).map(|slot| slot.map(|slot| slot.wall.date()))
            }
        };
        match found {
            Ok(found) => found.is_some_and(|day| day.year() <= first.year() + YEARS_MAX),
            Err(_) => true,
        }
    }

    /// The first instant strictly after this one. None before the calendar of the matcher ends, or when a calendar
    /// of business days says nothing further: [`Self::next_slot`] tells which.
    pub fn next_after(&self, instant: Instant) -> Option<Instant> {
        self.next_slot(instant).ok().flatten().map(|slot| slot.at)
    }

    /// The slots strictly after an instant, as far as they are known.
    pub fn slots_after(&self, instant: Instant) -> impl Iterator<Item = Instant> + '_ {
        std::iter::successors(self.next_after(instant), |slot| self.next_after(*slot))
    }

    /// The first slot that is due strictly after an instant.
    ///
    /// # Errors
    /// [`OutsideCoverage`] when its calendar does not say which day is next.
    pub fn next_slot(&self, instant: Instant) -> Result<Option<Slot>, OutsideCoverage> {
        let Some((most, whose)) = &self.jitter else {
            return self.next_on_time(instant);
        };
        // One whose time has passed may still be due; before the calendar begins there is none.
        let mut found = match self.next_on_time(instant - *most) {
            Err(_) => self.next_on_time(instant)?,
            Ok(found) => found,
        };
        while let Some(slot) = found {
            let delayed = self.delayed(slot, *most, whose);
            if delayed.at > instant {
                return Ok(Some(delayed));
            }
            found = self.next_on_time(slot.at)?;
        }
        Ok(None)
    }

    /// A slot with its jitter: the same whenever it is asked for. It reaches neither the next slot, so that the order
    /// stays, nor the cut-off.
    fn delayed(&self, slot: Slot, most: TimeDelta, whose: &Digest) -> Slot {
        let name = time_text(self.name(slot));
        let drawn = Digest::of([whose.as_bytes().as_slice(), name.as_bytes()]);
        let number = drawn.as_bytes().iter().take(8);
        let number = number.fold(0u64, |number, byte| number << 8 | u64::from(*byte));
        let next = self.next_on_time(slot.at).ok().flatten().map(|next| next.at);
        let next = next.filter(|_| holds(Guard::JitterBound));
        let end = next.into_iter().chain(self.too_late_from(slot.wall)).min();
        let room = end.map_or(most, |end| end - slot.at - TimeDelta::seconds(1));
        let most = u64::try_from(most.num_seconds()).unwrap_or_default();
        let drawn = i64::try_from(number % (most + 1)).unwrap_or_default();
        let jitter = TimeDelta::seconds(drawn).min(room).max(TimeDelta::zero());
        Slot {
            at: slot.at + jitter,
            jitter,
            ..slot
        }
    }

    /// The first slot after an instant by its time alone.
    fn next_on_time(&self, instant: Instant) -> Result<Option<Slot>, OutsideCoverage> {
        let floor = instant.trunc_subsecs(0);
        let Some(local) = self.wall(floor) else { return Ok(None) };
        let found = self.first_from(local, floor)?;
        let Some((change, wall_after)) = self.second_pass_after(floor, local) else {
            return Ok(found);
        };
        // In the first pass of an hour that comes twice: wall times before this one are still to come again.
        match found {
            Some(found) if found.at < change => Ok(Some(found)),
            _ => self.first_from(wall_after - TimeDelta::seconds(1), change - TimeDelta::seconds(1)),
        }
    }

    /// Whether it means "every so often" rather than fixed times of the day.
    pub fn is_interval(&self) -> bool {
        self.expression.interval
    }

    /// What business days have to do with it.
    pub fn business(&self) -> Option<&Business> {
        self.business.as_ref()
    }

    /// In words: when, on which days.
    pub fn words(&self) -> String {
        words::of(&self.expression, self.business.as_ref(), self.zone.name())
    }

    /// How often the clocks show the wall time of a slot, and which time this is.
    pub fn pass(&self, slot: Slot) -> Pass {
        match self.zone.from_local_datetime(&slot.wall) {
            LocalResult::None => Pass::None,
            LocalResult::Single(_) => Pass::Only,
            LocalResult::Ambiguous(first, _) if first.to_utc() == slot.on_time() => Pass::First,
            LocalResult::Ambiguous(..) => Pass::Second,
        }
    }

    /// From where its convention moved a slot, if it did.
    pub fn moved(&self, slot: Slot) -> Option<Moved> {
        self.days.as_ref()?.moved_to(slot.wall.date())
    }

    /// The instant that names a slot for ever. A calendar that is corrected moves when it is due, and not its name: so a
    /// slot that ran before the correction does not run again after it.
    pub fn name(&self, slot: Slot) -> Instant {
        let nominal = self.days.as_ref().and_then(|days| days.nominal(slot.wall.date()));
        nominal
            // On its own day it is its own name: of an hour that comes twice, each pass has its own.
            .filter(|day| *day != slot.wall.date() && holds(Guard::SlotName))
            .and_then(|day| self.place_once(day.and_time(slot.wall.time())))
            .unwrap_or_else(|| slot.on_time())
    }

    /// Just before the first day of which its calendar says anything; and before the day after its first business day:
    /// whether that one has slots which moved there from before is not known of every schedule.
    pub(super) fn begins(&self) -> Vec<Instant> {
        let Some(business) = &self.business else {
            return Vec::new();
        };
        let (from, _) = business.calendar.coverage();
        let first = business.calendar.on_or_after(from).ok();
        let days = [Some(from), first.and_then(|first| first.succ_opt())];
        let before = |day: NaiveDate| Some(self.place_once(day.and_time(NaiveTime::MIN))? - TimeDelta::seconds(1));
        days.into_iter().flatten().filter_map(before).collect()
    }

    /// The closed days that are left out after one day and before another.
    pub fn left_out(&self, after: NaiveDate, before: NaiveDate) -> Vec<LeftOut> {
        self.days
            .as_ref()
            .map_or_else(Vec::new, |days| days.left_out(after, before))
    }

    /// The slots after one instant and up to another that it leaves out because of a holiday, day by day.
    pub fn holidays(&self, from: Instant, to: Instant) -> Vec<Holiday> {
        let (Some(first), Some(last)) = (self.wall(from), self.wall(to)) else {
            return Vec::new();
        };
        let (Some(before), Some(after)) = (first.date().pred_opt(), last.date().succ_opt()) else {
            return Vec::new();
        };
        let left = self.left_out(before, after).into_iter().filter(|left| left.is_holiday);
        left.filter_map(|left| {
            let midnight = left.date.and_time(NaiveTime::MIN) - TimeDelta::seconds(1);
            let named = self.matcher.after_owned(Utc.from_utc_datetime(&midnight.max(first)));
            let walls = named
                .map(|wall| wall.naive_utc())
                .take_while(|wall| wall.date() == left.date);
            let jitter = TimeDelta::zero();
            let slots = walls.filter_map(|wall| self.place(wall, from).map(|at| Slot { at, wall, jitter }));
            let mut slots = slots.take_while(|slot| slot.at <= to);
            let first = slots.next()?;
            let (count, last) = slots.fold((1, first), |(count, _), slot| (count + 1, slot));
            Some(Holiday {
                because: left.because,
                first,
                last: last.at,
                slots: count,
            })
        })
        .collect()
    }

    /// The first instant at which it is too late for a slot of this wall time, if it has a cut-off.
    fn too_late_from(&self, wall: NaiveDateTime) -> Option<Instant> {
        let cut_off = self.business.as_ref()?.cut_off?;
        self.place_once(wall.date().and_time(cut_off.time))
    }

    /// What becomes of a slot that did not run yet, at this time.
    pub fn standing(&self, slot: Slot, now: Instant) -> Standing {
        let Some(too_late) = self.too_late_from(slot.wall) else {
            return Standing::Runs;
        };
        if now < too_late || !holds(Guard::CutOff) {
            return Standing::Runs;
        }
        let Some(Business {
            calendar,
            cut_off: Some(cut_off),
            ..
        }) = &self.business
        else {
            return Standing::Refused;
        };
        if cut_off.after == AfterCutOff::Refuse {
            return Standing::Refused;
        }
        let Ok(day) = calendar.add_business_days(slot.wall.date(), 1) else {
            return Standing::Refused;
        };
        let wall = day.and_time(slot.wall.time());
        match (self.place_once(wall), self.too_late_from(wall)) {
            // A slot of that day and time stands for it.
            (Some(at), Some(_)) if self.is_on_time(at) => Standing::Refused,
            (Some(at), Some(too_late)) if now < too_late => Standing::Deferred { at: at + slot.jitter },
            // Missed there too: nothing is carried on for ever.
            _ => Standing::Refused,
        }
    }

    /// Whether the expression names this instant.
    fn is_on_time(&self, at: Instant) -> bool {
        let next = self.next_on_time(at - TimeDelta::seconds(1));
        next.is_ok_and(|next| next.is_some_and(|slot| slot.at == at))
    }

    /// Where a fixed wall time is in the zone: its first pass, or the end of the gap it is in.
    fn place_once(&self, wall: NaiveDateTime) -> Option<Instant> {
        match self.zone.from_local_datetime(&wall) {
            LocalResult::Single(only) => Some(only.to_utc()),
            LocalResult::Ambiguous(first, _) => Some(first.to_utc()),
            LocalResult::None => GapInfo::new(&wall, &self.zone)?.end.map(|end| end.to_utc()),
        }
    }

    /// The instant as the clocks on the wall of its zone show it.
    pub fn local(&self, instant: Instant) -> DateTime<FixedOffset> {
        instant.with_timezone(&self.zone).fixed_offset()
    }

    /// The name of the zone.
    pub fn zone(&self) -> &'static str {
        self.zone.name()
    }

    /// The wall time in the zone.
    fn wall(&self, instant: Instant) -> Option<NaiveDateTime> {
        let offset = self.zone.offset_from_utc_datetime(&instant.naive_utc()).fix();
        instant.naive_utc().checked_add_offset(offset)
    }

    /// The first slot after `floor` named by a wall time after `wall`.
    fn first_from(&self, wall: NaiveDateTime, floor: Instant) -> Result<Option<Slot>, OutsideCoverage> {
        let jitter = TimeDelta::zero();
        let slot = |wall: NaiveDateTime| self.place(wall, floor).map(|at| Slot { at, wall, jitter });
        let matched = |after: NaiveDateTime| {
            let matched = self.matcher.after_owned(Utc.from_utc_datetime(&after));
            matched.map(|matched| matched.naive_utc())
        };
        let Some(days) = &self.days else {
            return Ok(matched(wall).find_map(slot));
        };
        let (mut from, mut after) = (wall.date(), wall);
        // Nothing is left of a day in its last second, so nothing need be known of it.
        if let (true, Some(next)) = (
            wall + TimeDelta::seconds(1) >= from.and_time(NaiveTime::MIN) + TimeDelta::days(1),
            from.succ_opt(),
        ) {
            from = next;
        }
        while let Some(day) = days.next_from(from)? {
            if day != wall.date() {
                after = day.and_time(NaiveTime::MIN) - TimeDelta::seconds(1);
            }
            let found = matched(after).take_while(|wall| wall.date() == day).find_map(slot);
            if found.is_some() {
                return Ok(found);
            }
            let Some(next) = day.succ_opt() else { break };
            from = next;
        }
        Ok(None)
    }

    /// The first instant after `floor` at which a wall time happens, by the rule of this file.
    fn place(&self, wall: NaiveDateTime, floor: Instant) -> Option<Instant> {
        let after_floor = |instant: &Instant| *instant > floor;
        let again = self.expression.interval || !holds(Guard::FirstPassOnly);
        match self.zone.from_local_datetime(&wall) {
            LocalResult::Single(only) => Some(only.to_utc()).filter(after_floor),
            LocalResult::Ambiguous(first, second) => Some(first.to_utc())
                .filter(after_floor)
                .or_else(|| Some(second.to_utc()).filter(|second| again && after_floor(second))),
            LocalResult::None if self.expression.interval => None,
            LocalResult::None => GapInfo::new(&wall, &self.zone)?
                .end
                .map(|end| end.to_utc())
                .filter(after_floor),
        }
    }

    /// For an interval in the first pass of a wall time that comes twice: when the second pass begins, and
    /// which wall time it begins with.
    fn second_pass_after(&self, floor: Instant, local: NaiveDateTime) -> Option<(Instant, NaiveDateTime)> {
        let LocalResult::Ambiguous(first, second) = self.zone.from_local_datetime(&local) else {
            return None;
        };
        if !self.expression.interval || first.to_utc() != floor {
            return None;
        }
        let offset_before = first.offset().fix();
        // The clocks go back within the length of the overlap; halve it until one second is left.
        let (mut before, mut change) = (first.to_utc(), second.to_utc());
        while change - before > TimeDelta::seconds(1) {
            let middle = before + TimeDelta::seconds((change - before).num_seconds() / 2);
            if self.zone.offset_from_utc_datetime(&middle.naive_utc()).fix() == offset_before {
                before = middle;
            } else {
                change = middle;
            }
        }
        Some((change, self.wall(change)?))
    }
}

/// Slots of one day that are left out because of a holiday.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holiday {
    /// Which: `Good Friday (TARGET2)`.
    pub because: String,
    /// The first slot.
    pub first: Slot,
    /// The last one.
    pub last: Instant,
    /// How many.
    pub slots: usize,
}

/// Which showing of a wall time a slot is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    /// The clocks jump over it.
    None,
    /// There is but one.
    Only,
    /// The first of two.
    First,
    /// The second of two.
    Second,
}

/// What becomes of a slot that did not run yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It may run.
    Runs,
    /// Its cut-off has passed: it runs then instead, on the next business day.
    Deferred {
        /// When.
        at: Instant,
    },
    /// Its cut-off has passed: it does not run.
    Refused,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_and_dates_that_do_not_exist_are_refused() {
        let check = |text: &str, zone: &str, message: &str| {
            let error = Schedule::parse(text, zone).expect_err(text).to_string();
            assert!(error.contains(message), "{text} {zone}: {error}");
        };
        check("0 9 * * *", "Europe/Berln", "did you mean `Europe/Berlin`");
        check("0 9 * * *", "CEST", "is not an IANA time zone");
        check("0 9 30 2 *", "UTC", "names no time");
        check("0 9 31 4,6,9,11 *", "UTC", "names no time");
        assert!(Schedule::parse("0 9 29 2 *", "UTC").is_ok());
    }

    #[test]
    fn an_instant_is_shown_as_the_zone_has_it_on_that_day() {
        let check = |utc: &str, expected: &str| {
            let schedule = Schedule::parse("0 18 * * *", "Europe/Berlin").expect("a schedule");
            let instant = utc.parse().expect("an instant");
            assert_eq!(schedule.local(instant).to_rfc3339(), expected);
        };
        check("2026-07-01T16:00:00Z", "2026-07-01T18:00:00+02:00");
        check("2026-12-01T17:00:00Z", "2026-12-01T18:00:00+01:00");
        check("2026-12-31T23:30:00Z", "2027-01-01T00:30:00+01:00");
    }
}
