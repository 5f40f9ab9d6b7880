//! Days: which days an expression names, in words that a plain list of numbers cannot say, and where closed ones go.
//!
//! An expression is a set of days times a set of times of day. So a convention that moves a closed day changes the
//! set of days and nothing else: a day is in it or not, and no two days that move to one make two slots there. Pure.

use std::collections::BTreeSet;

use chrono::{Datelike as _, Days, Months, NaiveDate, Weekday};

use crate::base::guard::{Guard, holds};
use crate::model::calendar::{Calendar, Closed, DayChoice, OutsideCoverage, Roll};

/// The matcher knows no later year.
const YEAR_MAX: i32 = 2099;
/// As many closed days in a row are common: from Good Friday to Easter Monday.
const CLOSED_IN_A_ROW: usize = 4;

/// A day of the month.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MonthDay {
    /// By its number.
    Day(u32),
    /// So many days before the last.
    BeforeLast(u32),
    /// The last Monday to Friday.
    LastWeekday,
    /// The Monday to Friday nearest to this day, in the same month.
    NearestWeekday(u32),
}

/// A weekday.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WeekDay {
    /// In every week.
    Every(Weekday),
    /// The n-th of the month.
    Nth(Weekday, u32),
    /// The last of the month.
    Last(Weekday),
}

/// The fields of an expression that name days. At most one of the first two is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DayFields {
    pub(super) month_days: Option<Vec<MonthDay>>,
    pub(super) weekdays: Option<Vec<WeekDay>>,
    pub(super) months: BTreeSet<u32>,
    pub(super) years: Option<BTreeSet<i32>>,
}

impl DayFields {
    /// Whether numbers and names say it all, so that any matcher knows these days.
    pub(super) fn is_plain(&self) -> bool {
        let plain_days = self
            .month_days
            .iter()
            .flatten()
            .all(|day| matches!(day, MonthDay::Day(_)));
        let plain_weekdays = self
            .weekdays
            .iter()
            .flatten()
            .all(|day| matches!(day, WeekDay::Every(_)));
        plain_days && plain_weekdays && self.years.is_none()
    }

    fn names(&self, date: NaiveDate) -> bool {
        self.in_months(date)
            && self
                .month_days
                .as_ref()
                .is_none_or(|days| days.iter().any(|day| day.is(date)))
            && self
                .weekdays
                .as_ref()
                .is_none_or(|days| days.iter().any(|day| day.is(date)))
    }

    fn in_months(&self, date: NaiveDate) -> bool {
        self.months.contains(&date.month()) && self.years.as_ref().is_none_or(|years| years.contains(&date.year()))
    }
}

fn is_weekday(date: NaiveDate) -> bool {
    !matches!(date.weekday(), Weekday::Sat | Weekday::Sun)
}

impl MonthDay {
    fn is(self, date: NaiveDate) -> bool {
        let last = u32::from(date.num_days_in_month());
        match self {
            Self::Day(day) => date.day() == day,
            Self::BeforeLast(days) => date.day() + days == last,
            // On a weekday, or one to three days before a weekend that ends the month.
            Self::LastWeekday => {
                is_weekday(date) && {
                    let mut after = date.iter_days().skip(1).take_while(|day| day.month() == date.month());
                    after.all(|day| !is_weekday(day))
                }
            }
            Self::NearestWeekday(day) => {
                let target = date.with_day(day);
                target.and_then(|target| nearest_weekday(target, last)) == Some(date)
            }
        }
    }
}

/// The weekday nearest to a day, never in another month: Saturday goes back to Friday, Sunday on to Monday, and at
/// an end of the month the other way.
fn nearest_weekday(target: NaiveDate, last: u32) -> Option<NaiveDate> {
    let day = target.day();
    let nearest = match target.weekday() {
        Weekday::Sat if day == 1 => day + 2,
        Weekday::Sat => day - 1,
        Weekday::Sun if day == last => day - 2,
        Weekday::Sun => day + 1,
        _ => day,
    };
    target.with_day(nearest)
}

impl WeekDay {
    fn is(self, date: NaiveDate) -> bool {
        match self {
            Self::Every(weekday) => date.weekday() == weekday,
            Self::Nth(weekday, nth) => date.weekday() == weekday && date.day0() / 7 + 1 == nth,
            Self::Last(weekday) => date.weekday() == weekday && date.day() + 7 > u32::from(date.num_days_in_month()),
        }
    }
}

/// The days of a schedule.
#[derive(Debug, Clone)]
pub(super) struct SlotDays {
    fields: DayFields,
    business: Option<(Calendar, DayChoice)>,
}

/// Whether a business day is the n-th of its month, from its end if the number is negative. The other business days on
/// that side are counted, and no further than it takes.
fn is_nth(calendar: &Calendar, date: NaiveDate, n: i64) -> Result<bool, OutsideCoverage> {
    let step = |day: &NaiveDate| if n > 0 { day.pred_opt() } else { day.succ_opt() };
    let in_month = |day: &NaiveDate| (day.year(), day.month()) == (date.year(), date.month());
    let mut found = 0;
    for day in std::iter::successors(Some(date), step).take_while(in_month) {
        if calendar.is_business_day(day)? {
            found += 1;
        }
        if found > n.unsigned_abs() {
            return Ok(false);
        }
    }
    Ok(found == n.unsigned_abs())
}

/// A day that a convention moved here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// The day the expression names.
    pub from: NaiveDate,
    /// Why that day is closed: `Good Friday (TARGET2)`.
    pub because: String,
}

/// A day that the expression names and that is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// The day.
    pub date: NaiveDate,
    /// Why: `Good Friday (TARGET2)`.
    pub because: String,
    /// Whether it is a holiday, not just a weekend.
    pub is_holiday: bool,
}

impl SlotDays {
    pub(super) fn new(fields: DayFields, business: Option<(Calendar, DayChoice)>) -> Self {
        Self { fields, business }
    }

    /// The first day from this one on; none if there is none before the years end.
    pub(super) fn next_from(&self, from: NaiveDate) -> Result<Option<NaiveDate>, OutsideCoverage> {
        let last = self.last_day();
        for date in from
            .iter_days()
            .take_while(|date| last.is_none_or(|last| *date <= last))
        {
            if date.year() > YEAR_MAX {
                break;
            }
            if self.has(date)? {
                return Ok(Some(date));
            }
        }
        Ok(None)
    }

    /// The last day it can have, if its years say so. Only a move to the next business day leaves them.
    fn last_day(&self) -> Option<NaiveDate> {
        let year = *self.fields.years.as_ref()?.last()?;
        let last = NaiveDate::from_ymd_opt(year, 12, 31)?;
        match &self.business {
            Some((_, DayChoice::Named(Roll::Next))) => last.checked_add_days(Days::new(31)),
            _ => Some(last),
        }
    }

    /// The day that names a day of ours whatever becomes of calendars: the one the expression has, or the business day's
    /// number as a day of its month.
    pub(super) fn nominal(&self, date: NaiveDate) -> Option<NaiveDate> {
        match &self.business {
            None => Some(date),
            Some((calendar, DayChoice::Named(roll))) => self.named_for(calendar, *roll, date).ok().flatten(),
            Some((calendar, DayChoice::OfMonth(numbers))) => {
                let n = *numbers.iter().find(|n| is_nth(calendar, date, **n) == Ok(true))?;
                let first = date.with_day(1)?;
                let days = n.unsigned_abs();
                if n > 0 {
                    first.checked_add_days(Days::new(days - 1))
                } else {
                    first
                        .checked_add_months(Months::new(1))?
                        .checked_sub_days(Days::new(days))
                }
            }
        }
    }

    fn has(&self, date: NaiveDate) -> Result<bool, OutsideCoverage> {
        match &self.business {
            None => Ok(self.fields.names(date)),
            Some((calendar, DayChoice::OfMonth(numbers))) => {
                if !self.fields.in_months(date) || !calendar.is_business_day(date)? {
                    return Ok(false);
                }
                // Each is asked: that one of them is not known takes nothing from one that is.
                let mut unknown = None;
                for n in numbers {
                    match is_nth(calendar, date, *n) {
                        Ok(true) => return Ok(true),
                        Ok(false) => {}
                        Err(outside) => unknown = Some(outside),
                    }
                }
                unknown.map_or(Ok(false), Err)
            }
            Some((calendar, DayChoice::Named(roll))) => {
                Ok(calendar.is_business_day(date)? && self.named_for(calendar, *roll, date)?.is_some())
            }
        }
    }

    /// The day the expression names that makes this business day one of ours: itself, or the nearest that moves here.
    fn named_for(
        &self,
        calendar: &Calendar,
        roll: Roll,
        date: NaiveDate,
    ) -> Result<Option<NaiveDate>, OutsideCoverage> {
        if self.fields.names(date) {
            return Ok(Some(date));
        }
        let one = Days::new(1);
        if matches!(roll, Roll::Next | Roll::ModifiedFollowing) {
            let before = std::iter::successors(date.checked_sub_days(one), |day| day.checked_sub_days(one));
            if let Some(found) = self.moving_to(calendar, roll, date, before)? {
                return Ok(Some(found));
            }
        }
        if matches!(roll, Roll::Previous | Roll::ModifiedFollowing) {
            let after = std::iter::successors(date.checked_add_days(one), |day| day.checked_add_days(one));
            if let Some(found) = self.moving_to(calendar, roll, date, after)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// The first of these days, up to the next business day, that is named and moves to the date.
    fn moving_to(
        &self,
        calendar: &Calendar,
        roll: Roll,
        date: NaiveDate,
        days: impl Iterator<Item = NaiveDate>,
    ) -> Result<Option<NaiveDate>, OutsideCoverage> {
        let (covered_from, _) = calendar.coverage();
        for day in days {
            if day < covered_from {
                return self.unknown_before(calendar, day);
            }
            if calendar.is_business_day(day)? {
                return Ok(None);
            }
            if self.fields.names(day) && calendar.roll(day, roll)? == Some(date) {
                return Ok(Some(day));
            }
        }
        Ok(None)
    }

    /// Nothing moves here from before the coverage of a calendar, unless a day that is named stands so near that it might:
    /// then it is not known.
    fn unknown_before(&self, calendar: &Calendar, day: NaiveDate) -> Result<Option<NaiveDate>, OutsideCoverage> {
        let mut near = std::iter::successors(Some(day), |day| day.pred_opt()).take(CLOSED_IN_A_ROW);
        match near.find(|day| self.fields.names(*day) && holds(Guard::MovedUnknown)) {
            Some(named) => calendar.is_business_day(named).map(|_| None),
            None => Ok(None),
        }
    }

    /// Whether a day of ours was moved here, and from where.
    pub(super) fn moved_to(&self, date: NaiveDate) -> Option<Moved> {
        let Some((calendar, DayChoice::Named(roll))) = &self.business else {
            return None;
        };
        let from = self.named_for(calendar, *roll, date).ok()??;
        let closed = calendar.closed(from).ok()??;
        Some(Moved {
            from,
            because: closed.to_string(),
        })
    }

    /// The closed days that the expression names and that are left out, after one day and before another.
    pub(super) fn left_out(&self, after: NaiveDate, before: NaiveDate) -> Vec<LeftOut> {
        let Some((calendar, DayChoice::Named(Roll::Skip))) = &self.business else {
            return Vec::new();
        };
        let between = after.iter_days().skip(1).take_while(|date| *date < before);
        let closed = |date: NaiveDate| {
            let closed: Closed<'_> = calendar.closed(date).ok()??;
            Some(LeftOut {
                date,
                because: closed.to_string(),
                is_holiday: closed.is_holiday,
            })
        };
        between
            .filter(|date| self.fields.names(*date))
            .filter_map(closed)
            .collect()
    }
}
