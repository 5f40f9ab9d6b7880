//! Schedules: a cron expression in a time zone, and the next instant it names.
//!
//! The expression is matched on wall time alone, as if there were no zones; the wall time is then placed in
//! the zone by one written rule. Where the clocks go forward, a fixed time inside the gap happens once, at
//! the first instant after it, and an interval skips the gap. Where they go back, a fixed time happens in
//! the first pass only, an interval in both. Pure; reads no clock.

use std::str::FromStr as _;

use chrono::{
    DateTime, Datelike as _, FixedOffset, LocalResult, NaiveDateTime, Offset as _, SubsecRound as _, TimeDelta,
    TimeZone as _, Utc,
};
use chrono_tz::{GapInfo, Tz};

use super::expression::Expression;
use crate::base::clock::Instant;
use crate::base::suggest::nearest;

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
    /// Not five or six fields.
    #[error(
        "found {found} fields: expected minute, hour, day of month, month and weekday, with the second in front if it matters"
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
    #[error("`{expression}` names no time in {YEARS_MAX} years: does that day exist in that month?")]
    Never {
        /// What was written.
        expression: String,
    },
}

/// A cron expression in a time zone.
#[derive(Debug, Clone)]
pub struct Schedule {
    matcher: cron::Schedule,
    interval: bool,
    zone: Tz,
}

impl Schedule {
    /// Reads an expression and an IANA zone.
    pub fn parse(text: &str, zone: &str) -> Result<Self, ScheduleError> {
        let expression = Expression::parse(text)?;
        let zone = Tz::from_str(zone).map_err(|_| ScheduleError::UnknownZone {
            zone: zone.to_owned(),
            suggestion: nearest(zone, chrono_tz::TZ_VARIANTS.iter().map(|known| known.name())).map(str::to_owned),
        })?;
        let never = || ScheduleError::Never {
            expression: text.to_owned(),
        };
        let schedule = Self {
            // The canonical form is plain lists in their bounds, which the matcher always takes.
            matcher: cron::Schedule::try_from(expression.canonical).map_err(|_| never())?,
            interval: expression.interval,
            zone,
        };
        let from = Utc
            .with_ymd_and_hms(SEARCH_FROM_YEAR, 1, 1, 0, 0, 0)
            .single()
            .ok_or_else(never)?;
        schedule
            .next_after(from)
            .filter(|first| first.year() <= SEARCH_FROM_YEAR + YEARS_MAX)
            .ok_or_else(never)?;
        Ok(schedule)
    }

    /// The first instant strictly after this one, or none before the calendar of the matcher ends.
    pub fn next_after(&self, instant: Instant) -> Option<Instant> {
        let floor = instant.trunc_subsecs(0);
        let local = self.wall(floor)?;
        let found = self.first_from(local, floor);
        let Some((change, wall_after)) = self.second_pass_after(floor, local) else {
            return found;
        };
        // In the first pass of an hour that comes twice: wall times before this one are still to come again.
        match found {
            Some(found) if found < change => Some(found),
            _ => self.first_from(wall_after - TimeDelta::seconds(1), change - TimeDelta::seconds(1)),
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

    /// The first instant after `floor` named by a wall time after `wall`.
    fn first_from(&self, wall: NaiveDateTime, floor: Instant) -> Option<Instant> {
        self.matcher
            .after(&Utc.from_utc_datetime(&wall))
            .find_map(|matched| self.place(matched.naive_utc(), floor))
    }

    /// The first instant after `floor` at which a wall time happens, by the rule of this file.
    fn place(&self, wall: NaiveDateTime, floor: Instant) -> Option<Instant> {
        let after_floor = |instant: &Instant| *instant > floor;
        match self.zone.from_local_datetime(&wall) {
            LocalResult::Single(only) => Some(only.to_utc()).filter(after_floor),
            LocalResult::Ambiguous(first, second) => Some(first.to_utc())
                .filter(after_floor)
                .or_else(|| Some(second.to_utc()).filter(|second| self.interval && after_floor(second))),
            LocalResult::None if self.interval => None,
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
        if !self.interval || first.to_utc() != floor {
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
