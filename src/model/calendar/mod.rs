//! Calendars: which days a payment system works, and the arithmetic of its business days.
//!
//! A calendar answers only for the days it covers. A question about another day is an error and never "a business
//! day": money that goes out on a guess goes out on the wrong day. Pure; reads no clock and no file.

mod built_in;
mod business;
mod dated;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use chrono::{Datelike as _, Days, NaiveDate, Weekday};

pub use self::built_in::BuiltIn;
pub use self::business::{AfterCutOff, Business, CutOff, DayChoice, Roll, parse_time_of_day};
pub use self::dated::{Dated, Format};
use crate::base::guard::{Guard, holds};
use crate::base::suggest::nearest;

/// Between the names of calendars that are joined.
const JOIN: char = '+';
/// More joined calendars are a mistake.
const PARTS_MAX: usize = 8;

/// One calendar, or several joined: open only when all are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Calendar {
    name: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    BuiltIn(BuiltIn),
    Dated(Arc<Dated>),
}

/// Why a day is no business day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closed<'a> {
    /// The holiday, or the weekday of a weekend.
    pub what: &'a str,
    /// The calendar that has it.
    pub calendar: &'a str,
    /// Whether it is a holiday, not just a weekend.
    pub is_holiday: bool,
}

impl fmt::Display for Closed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.what, self.calendar)
    }
}

/// A calendar was asked about a day it knows nothing of.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("calendar `{calendar}` says nothing of {date}: it covers {from} to {until}")]
pub struct OutsideCoverage {
    /// Which calendar.
    pub calendar: String,
    /// The day.
    pub date: NaiveDate,
    /// The first day it covers.
    pub from: NaiveDate,
    /// The last one.
    pub until: NaiveDate,
}

/// A name that no calendar has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnknownCalendar {
    /// There is none of that name.
    #[error("there is no calendar `{name}`{}", suggestion.as_ref().map_or(String::new(), |near| format!(": did you mean `{near}`?")))]
    Unknown {
        /// What was written.
        name: String,
        /// The nearest known name.
        suggestion: Option<String>,
    },
    /// There is one, and its file is wrong.
    #[error("calendar `{name}` cannot be used: its file is wrong")]
    Broken {
        /// Which.
        name: String,
    },
    /// Too many names joined.
    #[error("at most {PARTS_MAX} calendars can be joined")]
    TooMany,
}

/// Every calendar there is: the built-in ones and those from files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Calendars {
    dated: BTreeMap<String, Arc<Dated>>,
    /// Names whose files are there and wrong.
    broken: BTreeSet<String>,
}

impl Calendars {
    /// Adds a calendar from a file. A built-in name cannot be taken; the caller has refused that before.
    pub fn add(&mut self, dated: Dated) {
        self.dated.insert(dated.name().to_owned(), Arc::new(dated));
    }

    /// Remembers that there is a file for this name, and that it is wrong.
    pub fn add_broken(&mut self, name: String) {
        self.broken.insert(name);
    }

    /// Whether there is a file of this name, right or wrong.
    pub fn has_file(&self, name: &str) -> bool {
        self.dated.contains_key(name) || self.broken.contains(name)
    }

    /// The names of all calendars that can be used, the built-in ones first.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let built_in = BuiltIn::ALL.iter().map(|(name, _)| *name);
        let dated = self.dated.keys().filter(|name| !self.broken.contains(*name));
        built_in.chain(dated.map(String::as_str))
    }

    /// The calendar of a name, or of several joined by `+`.
    ///
    /// # Errors
    /// [`UnknownCalendar`], with what was probably meant.
    pub fn find(&self, name: &str) -> Result<Calendar, UnknownCalendar> {
        let names: Vec<&str> = name.split(JOIN).map(str::trim).collect();
        if names.len() > PARTS_MAX {
            return Err(UnknownCalendar::TooMany);
        }
        let parts: Vec<Part> = names.iter().map(|name| self.part(name)).collect::<Result<_, _>>()?;
        Ok(Calendar {
            name: names.join("+"),
            parts,
        })
    }

    fn part(&self, name: &str) -> Result<Part, UnknownCalendar> {
        if let Some((_, built_in)) = BuiltIn::ALL.iter().find(|(known, _)| *known == name) {
            return Ok(Part::BuiltIn(*built_in));
        }
        if self.broken.contains(name) {
            return Err(UnknownCalendar::Broken { name: name.to_owned() });
        }
        if let Some(dated) = self.dated.get(name) {
            return Ok(Part::Dated(dated.clone()));
        }
        let name = name.to_owned();
        let suggestion = nearest(&name, self.names()).map(str::to_owned);
        Err(UnknownCalendar::Unknown { name, suggestion })
    }
}

impl Part {
    fn name(&self) -> &str {
        match self {
            Self::BuiltIn(built_in) => built_in.name(),
            Self::Dated(dated) => dated.name(),
        }
    }

    fn coverage(&self) -> (NaiveDate, NaiveDate) {
        match self {
            Self::BuiltIn(built_in) => built_in.coverage(),
            Self::Dated(dated) => dated.coverage(),
        }
    }

    fn holiday(&self, date: NaiveDate) -> Option<&str> {
        match self {
            Self::BuiltIn(built_in) => built_in.holiday(date),
            Self::Dated(dated) => dated.holiday(date),
        }
    }

    fn is_weekend(&self, weekday: Weekday) -> bool {
        match self {
            Self::BuiltIn(_) => matches!(weekday, Weekday::Sat | Weekday::Sun),
            Self::Dated(dated) => dated.is_weekend(weekday),
        }
    }

    fn closed(&self, date: NaiveDate) -> Result<Option<Closed<'_>>, OutsideCoverage> {
        let (from, until) = self.coverage();
        if (date < from || date > until) && holds(Guard::CalendarCovers) {
            return Err(OutsideCoverage {
                calendar: self.name().to_owned(),
                date,
                from,
                until,
            });
        }
        let calendar = self.name();
        if let Some(what) = self.holiday(date) {
            return Ok(Some(Closed {
                what,
                calendar,
                is_holiday: true,
            }));
        }
        let weekday = date.weekday();
        Ok(self.is_weekend(weekday).then(|| Closed {
            what: weekday_name(weekday),
            calendar,
            is_holiday: false,
        }))
    }
}

/// The name of a weekday in full.
pub fn weekday_name(weekday: Weekday) -> &'static str {
    match weekday {
        Weekday::Mon => "Monday",
        Weekday::Tue => "Tuesday",
        Weekday::Wed => "Wednesday",
        Weekday::Thu => "Thursday",
        Weekday::Fri => "Friday",
        Weekday::Sat => "Saturday",
        Weekday::Sun => "Sunday",
    }
}

impl Calendar {
    /// Its name, as it is written: `TARGET2+US-FED`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The calendars from files that it is made of.
    pub fn files(&self) -> impl Iterator<Item = &Dated> {
        self.parts.iter().filter_map(|part| match part {
            Part::BuiltIn(_) => None,
            Part::Dated(dated) => Some(dated.as_ref()),
        })
    }

    /// The first and the last day about which it can be asked.
    pub fn coverage(&self) -> (NaiveDate, NaiveDate) {
        let whole = (NaiveDate::MIN, NaiveDate::MAX);
        self.parts
            .iter()
            .map(Part::coverage)
            .fold(whole, |joined, one| (joined.0.max(one.0), joined.1.min(one.1)))
    }

    /// Why a day is closed, or nothing if it is a business day. A holiday is named before a weekend.
    ///
    /// # Errors
    /// [`OutsideCoverage`], from whichever of the joined calendars.
    pub fn closed(&self, date: NaiveDate) -> Result<Option<Closed<'_>>, OutsideCoverage> {
        let mut found: Option<Closed<'_>> = None;
        for part in &self.parts {
            let closed = part.closed(date)?;
            found = match (found, closed) {
                (Some(known), Some(other)) if !known.is_holiday && other.is_holiday => Some(other),
                (Some(known), _) => Some(known),
                (None, closed) => closed,
            };
        }
        Ok(found)
    }

    /// Whether money moves on that day.
    ///
    /// # Errors
    /// [`OutsideCoverage`].
    pub fn is_business_day(&self, date: NaiveDate) -> Result<bool, OutsideCoverage> {
        self.closed(date).map(|closed| closed.is_none())
    }

    /// The first business day on or after a day.
    ///
    /// # Errors
    /// [`OutsideCoverage`].
    pub fn on_or_after(&self, date: NaiveDate) -> Result<NaiveDate, OutsideCoverage> {
        self.walk(date, 1)
    }

    /// The last business day on or before a day.
    ///
    /// # Errors
    /// [`OutsideCoverage`].
    pub fn on_or_before(&self, date: NaiveDate) -> Result<NaiveDate, OutsideCoverage> {
        self.walk(date, -1)
    }

    /// The first business day from a day on, forward or back.
    fn walk(&self, date: NaiveDate, step: i64) -> Result<NaiveDate, OutsideCoverage> {
        let mut day = date;
        while !self.is_business_day(day)? {
            day = self.moved(day, step)?;
        }
        Ok(day)
    }

    /// The day before or after. There is one, since both ends of time are outside every coverage.
    fn moved(&self, day: NaiveDate, step: i64) -> Result<NaiveDate, OutsideCoverage> {
        let one = Days::new(1);
        let next = if step < 0 {
            day.checked_sub_days(one)
        } else {
            day.checked_add_days(one)
        };
        next.ok_or_else(|| {
            let (from, until) = self.coverage();
            OutsideCoverage {
                calendar: self.name.clone(),
                date: day,
                from,
                until,
            }
        })
    }

    /// The business day so many business days after a day, or before it if the number is negative. The day itself
    /// does not count, business day or not; none from it is the day itself, or the next business day if it is closed.
    ///
    /// # Errors
    /// [`OutsideCoverage`].
    pub fn add_business_days(&self, date: NaiveDate, count: i64) -> Result<NaiveDate, OutsideCoverage> {
        let mut day = if count == 0 { self.on_or_after(date)? } else { date };
        // The walk is ended by the coverage, however large the number is.
        for _ in 0..count.unsigned_abs() {
            day = self.moved(day, count.signum())?;
            day = self.walk(day, count.signum())?;
        }
        Ok(day)
    }

    /// Where a day goes that may be closed; nothing if it is to be left out.
    ///
    /// # Errors
    /// [`OutsideCoverage`].
    pub fn roll(&self, date: NaiveDate, roll: Roll) -> Result<Option<NaiveDate>, OutsideCoverage> {
        match roll {
            Roll::Skip => Ok(self.is_business_day(date)?.then_some(date)),
            Roll::Next => self.on_or_after(date).map(Some),
            Roll::Previous => self.on_or_before(date).map(Some),
            Roll::ModifiedFollowing => {
                let next = self.on_or_after(date)?;
                let same_month = (next.year(), next.month()) == (date.year(), date.month());
                if same_month {
                    Ok(Some(next))
                } else {
                    self.on_or_before(date).map(Some)
                }
            }
        }
    }

    /// The n-th business day of a month, or from its end if the number is negative: 1 is the first, -1 the last.
    /// Nothing if the month has not so many.
    ///
    /// # Errors
    /// [`OutsideCoverage`].
    pub fn business_day_of_month(&self, year: i32, month: u32, n: i64) -> Result<Option<NaiveDate>, OutsideCoverage> {
        let mut left = n.unsigned_abs();
        for date in days_of_month(year, month, n < 0) {
            if self.is_business_day(date)? {
                left = left.saturating_sub(1);
                if left == 0 {
                    return Ok((n != 0).then_some(date));
                }
            }
        }
        Ok(None)
    }
}

/// The days of a month, the last one first if they are wanted from the end.
fn days_of_month(year: i32, month: u32, from_end: bool) -> impl Iterator<Item = NaiveDate> {
    (1..=31).filter_map(move |day| {
        let day = if from_end { 32 - day } else { day };
        NaiveDate::from_ymd_opt(year, month, day)
    })
}

/// A date as scripts and files write it: `2026-11-20`, nothing shorter or longer.
pub fn parse_date(text: &str) -> Option<NaiveDate> {
    let mut parts = text.splitn(3, '-');
    let mut part = |letters: usize| {
        let part = parts.next()?;
        let plain = part.len() == letters && part.bytes().all(|byte| byte.is_ascii_digit());
        plain.then(|| part.parse::<u32>().ok()).flatten()
    };
    let (year, month, day) = (part(4)?, part(2)?, part(2)?);
    NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day)
}
