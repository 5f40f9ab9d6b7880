//! A schedule in words: what a person reads to see whether they wrote what they meant. Pure.

use std::collections::BTreeSet;

use chrono::NaiveTime;

use super::days::{DayFields, MonthDay, WeekDay};
use super::expression::Expression;
use crate::model::calendar::{AfterCutOff, Business, DayChoice, Roll, weekday_name};

/// More times of day than this are told by their fields.
const TIMES_MAX: usize = 6;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// The whole schedule as one sentence, without an end.
pub(super) fn of(expression: &Expression, business: Option<&Business>, zone: &str) -> String {
    let mut text = times(expression);
    match business {
        Some(Business {
            days: DayChoice::OfMonth(numbers),
            calendar,
            ..
        }) => {
            let numbers: Vec<String> = numbers.iter().map(|n| from_end(*n, "business day")).collect();
            text.push_str(&format!(
                " on the {} of {}",
                joined(&numbers),
                months(&expression.days, "each month")
            ));
            text.push_str(&format!(" ({})", calendar.name()));
        }
        _ => text.push_str(&days(&expression.days)),
    }
    text.push_str(&years(&expression.days));
    text.push_str(&format!(", {zone}"));
    if let Some(Business {
        calendar,
        days: DayChoice::Named(roll),
        ..
    }) = business
    {
        let what = match roll {
            Roll::Skip => "are left out",
            Roll::Next => "move to the next business day",
            Roll::Previous => "move to the business day before",
            Roll::ModifiedFollowing => "move to the next business day, or back if that is in another month",
        };
        text.push_str(&format!("; days on which {} is closed {what}", calendar.name()));
    }
    if let Some(cut_off) = business.and_then(|business| business.cut_off) {
        let then = match cut_off.after {
            AfterCutOff::NextBusinessDay => "runs on the next business day",
            AfterCutOff::Refuse => "does not run",
        };
        text.push_str(&format!("; what has not run by {cut_off} {then}"));
    }
    text
}

fn times(expression: &Expression) -> String {
    let [seconds, minutes, hours] = &expression.times;
    let every = |values: &[u32], all: u32| {
        let count = u32::try_from(values.len()).unwrap_or(all);
        let step = all.checked_div(count)?;
        let even =
            values.first() == Some(&0) && count * step == all && values.windows(2).all(|two| two[1] - two[0] == step);
        even.then_some(step)
    };
    let unit = |step: u32, unit: &str| match step {
        1 => format!("every {unit}"),
        step => format!("every {step} {unit}s"),
    };
    match (every(seconds, 60), every(minutes, 60), every(hours, 24)) {
        (Some(step), Some(1), Some(1)) if seconds.len() > 1 => return unit(step, "second"),
        (_, Some(step), Some(1)) if minutes.len() > 1 && seconds.as_slice() == [0] => return unit(step, "minute"),
        (_, _, Some(step)) if hours.len() > TIMES_MAX && minutes.as_slice() == [0] && seconds.as_slice() == [0] => {
            return unit(step, "hour");
        }
        _ => {}
    }
    if seconds.len() * minutes.len() * hours.len() <= TIMES_MAX {
        let mut times = Vec::new();
        for hour in hours {
            for minute in minutes {
                for second in seconds {
                    times.push(match second {
                        0 => format!("{hour:02}:{minute:02}"),
                        second => format!("{hour:02}:{minute:02}:{second:02}"),
                    });
                }
            }
        }
        return format!("at {}", joined(&times));
    }
    let first = |values: &[u32]| values.first().copied().unwrap_or_default();
    let last = |values: &[u32]| values.last().copied().unwrap_or_default();
    let edge = |pick: &dyn Fn(&[u32]) -> u32| {
        NaiveTime::from_hms_opt(pick(hours), pick(minutes), pick(seconds)).unwrap_or_default()
    };
    let count = seconds.len() * minutes.len() * hours.len();
    format!("at {count} times of the day from {} to {}", edge(&first), edge(&last))
}

fn days(fields: &DayFields) -> String {
    if let Some(days) = &fields.month_days {
        let days: Vec<String> = days.iter().map(|day| month_day(*day)).collect();
        return format!(" on {} of {}", joined(&days), months(fields, "each month"));
    }
    let only = if fields.months.len() == 12 {
        String::new()
    } else {
        format!(" in {}", months(fields, ""))
    };
    match &fields.weekdays {
        None => format!(" every day{only}"),
        Some(weekdays) => {
            let names: Vec<String> = weekdays.iter().map(|day| week_day(*day)).collect();
            let working = BTreeSet::from(["Monday", "Tuesday", "Wednesday", "Thursday", "Friday"].map(str::to_owned));
            if names.iter().cloned().collect::<BTreeSet<String>>() == working {
                return format!(" Monday to Friday{only}");
            }
            format!(" on {}{only}", joined(&names))
        }
    }
}

fn month_day(day: MonthDay) -> String {
    match day {
        MonthDay::Day(day) => format!("day {day}"),
        MonthDay::BeforeLast(0) => "the last day".to_owned(),
        MonthDay::BeforeLast(1) => "the day before the last".to_owned(),
        MonthDay::BeforeLast(days) => format!("the day {days} days before the last"),
        MonthDay::LastWeekday => "the last Monday to Friday".to_owned(),
        MonthDay::NearestWeekday(day) => format!("the Monday to Friday nearest to day {day}"),
    }
}

fn week_day(day: WeekDay) -> String {
    match day {
        WeekDay::Every(day) => weekday_name(day).to_owned(),
        WeekDay::Nth(day, nth) => format!("the {} of the month", from_end(i64::from(nth), weekday_name(day))),
        WeekDay::Last(day) => format!("the last {} of the month", weekday_name(day)),
    }
}

/// `first business day`, `second last business day`.
fn from_end(n: i64, what: &str) -> String {
    let nth = match n.unsigned_abs() {
        1 => "first".to_owned(),
        2 => "second".to_owned(),
        3 => "third".to_owned(),
        n if n % 10 == 1 && n % 100 != 11 => format!("{n}st"),
        n if n % 10 == 2 && n % 100 != 12 => format!("{n}nd"),
        n if n % 10 == 3 && n % 100 != 13 => format!("{n}rd"),
        n => format!("{n}th"),
    };
    match n {
        -1 => format!("last {what}"),
        n if n < 0 => format!("{nth} last {what}"),
        _ => format!("{nth} {what}"),
    }
}

fn months(fields: &DayFields, all: &str) -> String {
    if fields.months.len() == MONTHS.len() {
        return all.to_owned();
    }
    let named = |month: &u32| usize::try_from(*month).ok().and_then(|month| MONTHS.get(month - 1));
    let names: Vec<String> = fields
        .months
        .iter()
        .filter_map(named)
        .map(|name| (*name).to_owned())
        .collect();
    joined(&names)
}

fn years(fields: &DayFields) -> String {
    let Some(years) = &fields.years else {
        return String::new();
    };
    let years: Vec<String> = years.iter().map(i32::to_string).collect();
    format!(" {}", joined(&years))
}

/// `a`, `a and b`, `a, b and c`.
fn joined(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}
