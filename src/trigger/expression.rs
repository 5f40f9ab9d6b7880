//! Cron expressions as people write them: read strictly, and turned into one unambiguous form.
//!
//! Five fields with the weekdays of Unix, six with seconds in front, seven with the year behind. What different
//! programs read differently is refused with a sentence that says what to write instead. Pure; no time, no zone.

use std::collections::BTreeSet;

use chrono::{NaiveTime, Weekday};

use super::days::{DayFields, MonthDay, WeekDay};
use super::schedule::ScheduleError;

/// Longer texts are refused before they are looked at.
const TEXT_BYTES_MAX: usize = 256;

/// The shorthands of Unix, written out.
const SHORTHANDS: [(&str, &str); 7] = [
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@weekly", "0 0 * * Sun"),
    ("@monthly", "0 0 1 * *"),
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
];

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// In the order of Unix: Sunday is 0.
const WEEKDAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];

/// The furthest a day can be counted back from the last of a month.
const BEFORE_LAST_MAX: u32 = 30;

/// What may stand in one field.
struct Field {
    name: &'static str,
    min: u32,
    max: u32,
    /// Names in place of numbers, the first for `min`.
    names: &'static [&'static str],
    /// Whether `?` may stand for `*`.
    any: bool,
    /// Whether the values go round, so that `Sat-Sun` is two days.
    cyclic: bool,
}

const fn numbers(name: &'static str, min: u32, max: u32) -> Field {
    Field {
        name,
        min,
        max,
        names: &[],
        any: false,
        cyclic: false,
    }
}

/// Second, minute, hour, day of month, month, weekday, year.
const FIELDS: [Field; 7] = [
    numbers("second", 0, 59),
    numbers("minute", 0, 59),
    numbers("hour", 0, 23),
    Field {
        any: true,
        ..numbers("day of month", 1, 31)
    },
    Field {
        names: &MONTHS,
        ..numbers("month", 1, 12)
    },
    Field {
        names: &WEEKDAYS,
        any: true,
        cyclic: true,
        ..numbers("weekday", 0, 6)
    },
    numbers("year", 1970, 2099),
];

/// An expression read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Expression {
    /// Six fields of plain lists, weekdays by name: no two programs read this differently. Its days are those of
    /// `days` if the expression has no other words for days than numbers and names, else every day.
    pub(super) canonical: String,
    /// Whether it means "every so often" (a `*` or a step in second, minute or hour) rather than fixed
    /// times of the day. The two are treated differently where the clocks change.
    pub(super) interval: bool,
    /// Which days it names.
    pub(super) days: DayFields,
    /// Seconds, minutes and hours of its times of day.
    pub(super) times: [Vec<u32>; 3],
}

impl Expression {
    /// Reads what a person wrote.
    pub(super) fn parse(text: &str) -> Result<Self, ScheduleError> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(ScheduleError::TooLong { max: TEXT_BYTES_MAX });
        }
        let written = match text.trim() {
            word if word.starts_with('@') => written_out(word)?,
            plain => plain,
        };
        let mut parts: Vec<&str> = written.split_whitespace().collect();
        match parts.len() {
            5 => parts.insert(0, "0"),
            6 | 7 => {}
            found => return Err(ScheduleError::FieldCount { found }),
        }
        let (month_words, month_days) = words(parts[3], month_day)?;
        let (week_words, weekdays) = words(parts[5], week_day)?;
        parts[3] = month_days.as_str();
        parts[5] = weekdays.as_str();
        let mut sets = Vec::with_capacity(FIELDS.len());
        for (field, part) in FIELDS.iter().zip(&parts) {
            sets.push(if part.is_empty() {
                BTreeSet::new()
            } else {
                field.parse(part)?
            });
        }
        let (all_days, all_weekdays) = (FIELDS[3].is_full(&sets[3]), FIELDS[5].is_full(&sets[5]));
        if !all_days && !all_weekdays {
            let written: Vec<&str> = written.split_whitespace().collect();
            let field = |from_end: usize| written[written.len() - from_end - usize::from(written.len() == 7)];
            return Err(ScheduleError::BothDays {
                day: field(3).to_owned(),
                weekday: field(1).to_owned(),
            });
        }
        let years = sets.get(6).filter(|years| !FIELDS[6].is_full(years));
        let days = DayFields {
            month_days: (!all_days).then(|| {
                let plain = sets[3].iter().map(|day| MonthDay::Day(*day));
                plain.chain(month_words).collect()
            }),
            weekdays: (!all_weekdays).then(|| {
                let plain = sets[5].iter().map(|day| WeekDay::Every(weekday(*day)));
                plain.chain(week_words).collect()
            }),
            months: sets[4].clone(),
            years: years.map(|years| years.iter().filter_map(|year| i32::try_from(*year).ok()).collect()),
        };
        let mut lists: Vec<String> = FIELDS
            .iter()
            .zip(&sets)
            .map(|(field, set)| field.list(set))
            .take(6)
            .collect();
        if !days.is_plain() {
            lists[3..].fill("*".to_owned());
        }
        Ok(Self {
            canonical: lists.join(" "),
            interval: parts.iter().take(3).any(|part| part.contains(['*', '/'])),
            days,
            times: [0, 1, 2].map(|field| sets[field].iter().copied().collect()),
        })
    }

    /// The last of its times of day.
    pub(super) fn last_time(&self) -> Option<NaiveTime> {
        let [seconds, minutes, hours] = &self.times;
        NaiveTime::from_hms_opt(*hours.last()?, *minutes.last()?, *seconds.last()?)
    }

    /// The same times of day, on every day.
    pub(super) fn times_alone(&self) -> String {
        let times: Vec<&str> = self.canonical.split(' ').take(3).collect();
        format!("{} * * *", times.join(" "))
    }
}

/// The items of a field that are words, as `read` knows them, and the others as they were written.
fn words<T>(part: &str, read: fn(&str) -> Result<Option<T>, ScheduleError>) -> Result<(Vec<T>, String), ScheduleError> {
    let (mut found, mut others) = (Vec::new(), Vec::new());
    for item in part.split(',') {
        match read(item)? {
            Some(word) => found.push(word),
            None => others.push(item),
        }
    }
    Ok((found, others.join(",")))
}

/// `L`, `L-3`, `LW` or `15W`.
fn month_day(item: &str) -> Result<Option<MonthDay>, ScheduleError> {
    let upper = item.to_ascii_uppercase();
    if !upper.contains(['L', 'W']) {
        return Ok(None);
    }
    let wrong = || {
        ScheduleError::Field {
        field: FIELDS[3].name,
        item: item.to_owned(),
        advice: "expected `L` for the last day, `L-3` for three days before it, `LW` for the last weekday, or `15W` for the weekday nearest to the 15th".to_owned(),
    }
    };
    let number = |text: &str, range: std::ops::RangeInclusive<u32>| {
        digits(text).filter(|number| range.contains(number)).ok_or_else(wrong)
    };
    if upper == "LW" {
        return Ok(Some(MonthDay::LastWeekday));
    }
    if let Some(before) = upper.strip_prefix('L') {
        return match before.strip_prefix('-') {
            Some(days) => number(days, 1..=BEFORE_LAST_MAX).map(|days| Some(MonthDay::BeforeLast(days))),
            None if before.is_empty() => Ok(Some(MonthDay::BeforeLast(0))),
            None => Err(wrong()),
        };
    }
    let day = upper.strip_suffix('W').ok_or_else(wrong)?;
    number(day, 1..=31).map(|day| Some(MonthDay::NearestWeekday(day)))
}

/// `Fri#1` or `FriL`. With numbers they mean other days in other programs, and `L` alone means Saturday in some.
fn week_day(item: &str) -> Result<Option<WeekDay>, ScheduleError> {
    let (name, which) = match item.split_once('#') {
        Some((name, nth)) => (name, Some(nth)),
        None => match item.strip_suffix(['L', 'l']) {
            Some(name) => (name, None),
            None => return Ok(None),
        },
    };
    let wrong = |advice: &str| ScheduleError::Field {
        field: FIELDS[5].name,
        item: item.to_owned(),
        advice: advice.to_owned(),
    };
    let known = (0..).zip(WEEKDAYS).find(|(_, known)| known.eq_ignore_ascii_case(name));
    let Some((number, _)) = known else {
        return Err(wrong(
            "expected `Fri#1` for the first Friday of the month or `FriL` for the last one, with the weekday by name",
        ));
    };
    let day = weekday(number);
    match which {
        None => Ok(Some(WeekDay::Last(day))),
        Some(nth) => digits(nth)
            .filter(|nth| (1..=5).contains(nth))
            .map(|nth| Some(WeekDay::Nth(day, nth)))
            .ok_or_else(|| wrong("a month has a first to a fifth of a weekday: #1 to #5")),
    }
}

/// The weekday of a number of Unix.
fn weekday(number: u32) -> Weekday {
    match number {
        1 => Weekday::Mon,
        2 => Weekday::Tue,
        3 => Weekday::Wed,
        4 => Weekday::Thu,
        5 => Weekday::Fri,
        6 => Weekday::Sat,
        _ => Weekday::Sun,
    }
}

fn written_out(word: &str) -> Result<&'static str, ScheduleError> {
    SHORTHANDS
        .iter()
        .find(|(name, _)| *name == word)
        .map(|(_, written)| *written)
        .ok_or_else(|| ScheduleError::UnknownShorthand { word: word.to_owned() })
}

impl Field {
    /// The values a field's text stands for.
    fn parse(&self, text: &str) -> Result<BTreeSet<u32>, ScheduleError> {
        let mut values = BTreeSet::new();
        for item in text.split(',') {
            values.extend(self.parse_item(item)?);
        }
        Ok(values)
    }

    /// One of `*`, `*/step`, `value`, `from-to`, `from-to/step`.
    fn parse_item(&self, item: &str) -> Result<Vec<u32>, ScheduleError> {
        let (range, step) = match item.split_once('/') {
            Some((range, step)) => (range, Some(self.step(item, step)?)),
            None => (item, None),
        };
        if range == "*" || (self.any && range == "?") {
            return Ok(every(self.all(), step));
        }
        let Some((from, to)) = range.split_once('-') else {
            let value = self.value(item, range)?;
            return match step {
                None => Ok(vec![value]),
                Some(step) => Err(self.wrong(
                    item,
                    format!(
                        "say where it ends: `{range}-{}/{step}`",
                        self.names
                            .last()
                            .map_or_else(|| self.max.to_string(), |name| (*name).to_owned())
                    ),
                )),
            };
        };
        let (from, to) = (self.value(item, from)?, self.bound(item, to)?);
        if from <= to {
            return Ok(every((from..=to).map(|value| self.wrapped(value)), step));
        }
        if self.cyclic {
            return Ok(every((from..=self.max).chain(self.min..=to), step));
        }
        Err(self.wrong(
            item,
            format!(
                "it ends before it begins: write `{from}-{},{}-{to}`",
                self.max, self.min
            ),
        ))
    }

    /// A value; for the weekday, 7 is Sunday as well as 0.
    fn value(&self, item: &str, text: &str) -> Result<u32, ScheduleError> {
        self.bound(item, text).map(|value| self.wrapped(value))
    }

    fn wrapped(&self, value: u32) -> u32 {
        if self.cyclic && value > self.max {
            self.min
        } else {
            value
        }
    }

    /// A value as the end of a range, where 7 comes after 6: `5-7` is Friday to Sunday.
    fn bound(&self, item: &str, text: &str) -> Result<u32, ScheduleError> {
        let named = (self.min..)
            .zip(self.names)
            .find(|(_, name)| name.eq_ignore_ascii_case(text))
            .map(|(value, _)| value);
        if let Some(value) = named {
            return Ok(value);
        }
        let max = if self.cyclic { self.max + 1 } else { self.max };
        digits(text)
            .filter(|value| (self.min..=max).contains(value))
            .ok_or_else(|| self.wrong(item, self.expected(max)))
    }

    fn step(&self, item: &str, text: &str) -> Result<usize, ScheduleError> {
        digits(text)
            .filter(|step| (1..=self.max).contains(step))
            .and_then(|step| usize::try_from(step).ok())
            .ok_or_else(|| self.wrong(item, format!("a step is a number from 1 to {}", self.max)))
    }

    fn expected(&self, max: u32) -> String {
        let range = format!("expected {} to {max}", self.min);
        match (self.names.first(), self.names.last()) {
            (Some(first), Some(last)) => format!("{range}, or {first} to {last}"),
            _ => range,
        }
    }

    fn wrong(&self, item: &str, advice: String) -> ScheduleError {
        ScheduleError::Field {
            field: self.name,
            item: item.to_owned(),
            advice,
        }
    }

    fn all(&self) -> impl Iterator<Item = u32> + use<> {
        self.min..=self.max
    }

    fn is_full(&self, values: &BTreeSet<u32>) -> bool {
        values.iter().copied().eq(self.all())
    }

    /// The values as a list; weekdays by name, because numbers mean different days in different programs.
    fn list(&self, values: &BTreeSet<u32>) -> String {
        if self.is_full(values) {
            return "*".to_owned();
        }
        let items: Vec<String> = (self.min..)
            .zip(self.names)
            .filter(|(value, _)| self.cyclic && values.contains(value))
            .map(|(_, name)| (*name).to_owned())
            .collect();
        if self.cyclic {
            return items.join(",");
        }
        let items: Vec<String> = values.iter().map(u32::to_string).collect();
        items.join(",")
    }
}

fn every(values: impl Iterator<Item = u32>, step: Option<usize>) -> Vec<u32> {
    values.step_by(step.unwrap_or(1)).collect()
}

/// A number of digits alone: no sign, no space.
fn digits(text: &str) -> Option<u32> {
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_becomes_plain_lists() {
        let check = |text: &str, canonical: &str, interval: bool| {
            let read = Expression::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(
                (read.canonical.as_str(), read.interval),
                (canonical, interval),
                "{text}"
            );
        };
        check("0 18 * * Mon-Fri", "0 0 18 * * Mon,Tue,Wed,Thu,Fri", false);
        // The weekdays of Unix: Sunday is 0 and 7.
        check("0 18 * * 1-5", "0 0 18 * * Mon,Tue,Wed,Thu,Fri", false);
        check("0 18 * * 0", "0 0 18 * * Sun", false);
        check("0 18 * * 7", "0 0 18 * * Sun", false);
        check("0 18 * * 5-7", "0 0 18 * * Sun,Fri,Sat", false);
        check("0 18 * * 0-7", "0 0 18 * * *", false);
        check("0 18 * * Sat-Sun", "0 0 18 * * Sun,Sat", false);
        check("0 18 * * FRI-mon", "0 0 18 * * Sun,Mon,Fri,Sat", false);
        check("0 18 * * 1-5/2", "0 0 18 * * Mon,Wed,Fri", false);
        check("0 18 * * ?", "0 0 18 * * *", false);
        check("  30   7 1,15 Jan-Mar *  ", "0 30 7 1,15 1,2,3 *", false);
        check("*/15 * * * *", "0 0,15,30,45 * * * *", true);
        check(
            "10-40/15 9-17 * * *",
            "0 10,25,40 9,10,11,12,13,14,15,16,17 * * *",
            true,
        );
        check("0 9-17 * * *", "0 0 9,10,11,12,13,14,15,16,17 * * *", false);
        check("30 0 12 * * *", "30 0 12 * * *", false);
        check("@daily", "0 0 0 * * *", false);
        check("@hourly", "0 0 * * * *", true);
        check("@weekly", "0 0 0 * * Sun", false);
    }

    #[test]
    fn words_for_days_leave_the_times_to_the_matcher() {
        let check = |text: &str, canonical: &str, days: &[MonthDay], weekdays: &[WeekDay]| {
            let read = Expression::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(read.canonical, canonical, "{text}");
            assert_eq!(read.days.month_days.unwrap_or_default(), days, "{text}");
            assert_eq!(read.days.weekdays.unwrap_or_default(), weekdays, "{text}");
        };
        let nine = "0 0 9 * * *";
        check("0 9 L * *", nine, &[MonthDay::BeforeLast(0)], &[]);
        check("0 9 l-3 3 *", nine, &[MonthDay::BeforeLast(3)], &[]);
        check(
            "0 9 1,LW,15w * *",
            nine,
            &[MonthDay::Day(1), MonthDay::LastWeekday, MonthDay::NearestWeekday(15)],
            &[],
        );
        check("0 9 * * Fri#1", nine, &[], &[WeekDay::Nth(Weekday::Fri, 1)]);
        check(
            "0 9 * * friL,Mon",
            nine,
            &[],
            &[WeekDay::Every(Weekday::Mon), WeekDay::Last(Weekday::Fri)],
        );
        check("0 0 9 1 * * 2027,2029", nine, &[MonthDay::Day(1)], &[]);
        check("0 0 9 1 * * *", "0 0 9 1 * *", &[MonthDay::Day(1)], &[]);
    }

    #[test]
    fn what_is_refused_says_what_to_write() {
        let check = |text: &str, message: &str| {
            let error = Expression::parse(text).expect_err(text).to_string();
            assert!(error.contains(message), "{text}: {error}");
        };
        check("", "found 0 fields");
        check("0 18 * *", "found 4 fields");
        check("0 0 18 * * * 2027 *", "found 8 fields");
        check("0 0 18 * * * 1969", "`1969` in the year field: expected 1970 to 2099");
        check("60 * * * *", "`60` in the minute field: expected 0 to 59");
        check("0 24 * * *", "`24` in the hour field: expected 0 to 23");
        check("0 0 0 * *", "`0` in the day of month field: expected 1 to 31");
        check("0 0 * 13 *", "expected 1 to 12, or Jan to Dec");
        check("0 0 * * 8", "expected 0 to 7, or Sun to Sat");
        check("0 0 L-31 * *", "`L-31` in the day of month field: expected `L`");
        check("0 0 LW-3 * *", "`LW-3` in the day of month field");
        check("0 0 32W * *", "`32W` in the day of month field");
        check("0 0 W * *", "`15W` for the weekday nearest");
        check("0 0 1-5W * *", "`1-5W` in the day of month field");
        check("0 0 * * Fri#6", "#1 to #5");
        check("0 0 * * 5#1", "with the weekday by name");
        check("0 0 * * 5L", "`FriL` for the last one");
        check("0 0 * * L", "with the weekday by name");
        check("0 0 L * Fri", "day of month `L` and weekday `Fri` are both given");
        check(
            "0 0 0 1 * FriL 2027",
            "day of month `1` and weekday `FriL` are both given",
        );
        check("0 22-2 * * *", "write `22-23,0-2`");
        check("5/10 * * * *", "`5-59/10`");
        check("*/0 * * * *", "a step is a number from 1 to 59");
        check("*/+5 * * * *", "a step is a number");
        check("1, * * * *", "in the minute field");
        check("? * * * *", "in the minute field");
        check("0 9 1 * Mon", "either of them");
        check("@fortnightly", "@daily");
        check(&"1,".repeat(200), "256");
    }
}
