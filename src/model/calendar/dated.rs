//! Calendars from files: the holidays one by one, and the days for which the list is complete.
//!
//! TOML, or the whole-day events of an iCalendar file. Read strictly: whatever could be a holiday that is not
//! understood is an error, because a holiday left out is a payment on a closed day. It must not read files.

use std::collections::BTreeMap;

use chrono::{Days, NaiveDate, Weekday};
use serde::Deserialize;
use toml::value::Datetime;

use super::BuiltIn;
use crate::model::diagnostic::{Diagnostic, Span};
use crate::model::document::Document;

/// The kind of the findings of this file.
const CODE: &str = "calendar";
/// A holiday that lasts longer is a mistake.
const EVENT_DAYS_MAX: usize = 62;

/// A calendar from a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dated {
    name: String,
    from: NaiveDate,
    until: NaiveDate,
    weekend: Vec<Weekday>,
    holidays: BTreeMap<NaiveDate, String>,
}

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Name, coverage and holidays as TOML.
    Toml,
    /// An iCalendar file, RFC 5545.
    Ics,
}

impl Format {
    /// The format and the calendar's name that a file's own name stands for: `office.toml` is `office`.
    pub fn of_file(file: &str) -> Option<(Self, &str)> {
        let toml = file.strip_suffix(".toml").map(|stem| (Self::Toml, stem));
        toml.or_else(|| file.strip_suffix(".ics").map(|stem| (Self::Ics, stem)))
    }
}

impl Dated {
    /// Reads a calendar. `file` is its name in messages, `stem` its file name without the ending, which is its name.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(format: Format, file: &str, stem: &str, text: &str) -> Result<Self, Vec<Diagnostic>> {
        if let Some(problem) = misnamed(stem) {
            return Err(vec![Diagnostic::error(CODE, file, problem).at(Span::START)]);
        }
        match format {
            Format::Toml => of_toml(file, stem, text),
            Format::Ics => Ics::default().read(file, stem, text),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The first and the last day for which its list is complete.
    pub fn coverage(&self) -> (NaiveDate, NaiveDate) {
        (self.from, self.until)
    }

    pub(super) fn holiday(&self, date: NaiveDate) -> Option<&str> {
        self.holidays.get(&date).map(String::as_str)
    }

    pub(super) fn is_weekend(&self, weekday: Weekday) -> bool {
        self.weekend.contains(&weekday)
    }
}

fn misnamed(stem: &str) -> Option<String> {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '-' || letter == '_';
    if stem.is_empty() || !stem.chars().all(plain) {
        return Some(format!(
            "`{stem}` is not a name for a calendar: letters, digits, hyphens and underscores"
        ));
    }
    let taken = BuiltIn::ALL.iter().any(|(name, _)| name.eq_ignore_ascii_case(stem));
    taken.then(|| format!("`{stem}` is a built-in calendar: give the file another name, and join both with `+`"))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawHoliday {
    date: Datetime,
    name: String,
}

fn of_toml(file: &str, stem: &str, text: &str) -> Result<Dated, Vec<Diagnostic>> {
    let mut document = Document::parse(file, text, CODE)?;
    document.refuse_unknown(&["name", "coverage_from", "coverage_until", "weekend", "holidays"]);
    let name: Option<String> = document.required("name");
    if let Some(name) = name.filter(|name| name != stem) {
        let message = format!("the name `{name}` is not the name of the file");
        document.wrong(&["name"], message).help = Some(format!("name = \"{stem}\""));
    }
    let from = coverage(&mut document, "coverage_from");
    let until = coverage(&mut document, "coverage_until");
    if let (Some(from), Some(until)) = (from, until)
        && until < from
    {
        document.wrong(&["coverage_until"], "the coverage ends before it begins");
    }
    let weekend = weekend(&mut document);
    let raw: Vec<RawHoliday> = document.required("holidays").unwrap_or_default();
    let mut holidays = BTreeMap::new();
    for (index, holiday) in raw.into_iter().enumerate() {
        let at = ["holidays", &index.to_string()];
        let Some(date) = whole_day(&holiday.date) else {
            document.wrong(&at, "a holiday is a whole day: write date = 2026-12-24");
            continue;
        };
        if from.is_some_and(|from| date < from) || until.is_some_and(|until| date > until) {
            document.wrong(&at, format!("{date} is outside the coverage"));
        }
        if holiday.name.trim().is_empty() {
            document.wrong(&at, format!("the holiday on {date} has no name"));
        }
        if holidays.insert(date, holiday.name).is_some() {
            document.wrong(&at, format!("{date} is listed twice"));
        }
    }
    match (from, until) {
        (Some(from), Some(until)) if !document.has_errors() => Ok(Dated {
            name: stem.to_owned(),
            from,
            until,
            weekend,
            holidays,
        }),
        _ => Err(document.finish()),
    }
}

fn coverage(document: &mut Document<'_>, key: &'static str) -> Option<NaiveDate> {
    let written: Datetime = document.required(key)?;
    let date = whole_day(&written);
    if date.is_none() {
        document.wrong(&[key], format!("`{key}` is a day: write {key} = 2026-01-01"));
    }
    date
}

/// Saturday and Sunday, unless the file says otherwise.
fn weekend(document: &mut Document<'_>) -> Vec<Weekday> {
    let Some(written) = document.optional::<Vec<String>>("weekend") else {
        return vec![Weekday::Sat, Weekday::Sun];
    };
    let mut weekend = Vec::new();
    for (index, name) in written.iter().enumerate() {
        match name.parse() {
            Ok(weekday) => weekend.push(weekday),
            Err(_) => {
                let message = format!("`{name}` is not a weekday: Mon, Tue, Wed, Thu, Fri, Sat or Sun");
                document.wrong(&["weekend", &index.to_string()], message);
            }
        }
    }
    if weekend.len() >= 7 {
        document.wrong(&["weekend"], "no day of the week is left");
    }
    weekend
}

fn whole_day(written: &Datetime) -> Option<NaiveDate> {
    let Datetime {
        date: Some(date),
        time: None,
        offset: None,
    } = written
    else {
        return None;
    };
    NaiveDate::from_ymd_opt(i32::from(date.year), u32::from(date.month), u32::from(date.day))
}

/// Reads an iCalendar file line by line.
///
/// Such a file does not say for which days it is complete. It is trusted from its first holiday to its last, unless
/// it has the lines `X-BURSAR-COVERAGE-FROM:20260101` and `X-BURSAR-COVERAGE-UNTIL:20271231`.
#[derive(Default)]
struct Ics {
    /// The components the line is inside, outermost first.
    inside: Vec<String>,
    event: Option<Event>,
    holidays: BTreeMap<NaiveDate, String>,
    from: Option<NaiveDate>,
    until: Option<NaiveDate>,
    findings: Vec<(usize, String)>,
}

/// The event being read.
#[derive(Default)]
struct Event {
    line: usize,
    start: Option<NaiveDate>,
    end: Option<NaiveDate>,
    summary: String,
    cancelled: bool,
}

impl Ics {
    fn read(mut self, file: &str, stem: &str, text: &str) -> Result<Dated, Vec<Diagnostic>> {
        for (number, line) in unfolded(text) {
            if let Err(problem) = self.line(number, &line) {
                self.findings.push((number, problem));
            }
        }
        if !self.inside.is_empty() {
            let last = text.lines().count().max(1);
            self.findings.push((
                last,
                "the file ends in the middle of something: is it whole?".to_owned(),
            ));
        }
        let first = self.holidays.first_key_value().map(|(date, _)| *date);
        let last = self.holidays.last_key_value().map(|(date, _)| *date);
        let (from, until) = (self.from.or(first), self.until.or(last));
        if self.findings.is_empty() && from.is_none() {
            self.findings.push((1, "there is no holiday in it".to_owned()));
        }
        if from.zip(first).is_some_and(|(from, first)| first < from)
            || until.zip(last).is_some_and(|(until, last)| last > until)
        {
            self.findings.push((1, "a holiday is outside the coverage".to_owned()));
        }
        match (from, until) {
            (Some(from), Some(until)) if self.findings.is_empty() => Ok(Dated {
                name: stem.to_owned(),
                from,
                until,
                weekend: vec![Weekday::Sat, Weekday::Sun],
                holidays: self.holidays,
            }),
            _ => {
                let finding = |(line, problem): (usize, String)| {
                    Diagnostic::error(CODE, file, problem).at(Span { line, ..Span::START })
                };
                Err(self.findings.into_iter().map(finding).collect())
            }
        }
    }

    fn line(&mut self, number: usize, line: &str) -> Result<(), String> {
        let (head, value) = line
            .split_once(':')
            .ok_or_else(|| "expected a line such as DTSTART;VALUE=DATE:20261225".to_owned())?;
        let (name, params) = head.split_once(';').unwrap_or((head, ""));
        let name = name.to_ascii_uppercase();
        match name.as_str() {
            "BEGIN" => {
                let component = value.trim().to_ascii_uppercase();
                if self.inside.is_empty() && component != "VCALENDAR" {
                    return Err("an iCalendar file begins with BEGIN:VCALENDAR".to_owned());
                }
                if component == "VEVENT" {
                    self.event = Some(Event {
                        line: number,
                        ..Event::default()
                    });
                }
                self.inside.push(component);
                Ok(())
            }
            "END" => self.end(value.trim()),
            _ => match self.inside.last().map(String::as_str) {
                Some("VCALENDAR") => self.coverage(&name, value),
                Some("VEVENT") => self.property(&name, params, value),
                // Alarms and zones say nothing of holidays.
                Some(_) => Ok(()),
                None => Err("an iCalendar file begins with BEGIN:VCALENDAR".to_owned()),
            },
        }
    }

    fn coverage(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "X-BURSAR-COVERAGE-FROM" => self.from = Some(date(value)?),
            "X-BURSAR-COVERAGE-UNTIL" => self.until = Some(date(value)?),
            _ => {}
        }
        Ok(())
    }

    fn property(&mut self, name: &str, params: &str, value: &str) -> Result<(), String> {
        let Some(event) = &mut self.event else { return Ok(()) };
        match name {
            "DTSTART" | "DTEND" => {
                if params
                    .to_ascii_uppercase()
                    .split(';')
                    .any(|param| param.starts_with("VALUE=") && param != "VALUE=DATE")
                {
                    return Err("a holiday is a whole day: expected VALUE=DATE".to_owned());
                }
                let day = date(value)?;
                let place = if name == "DTSTART" {
                    &mut event.start
                } else {
                    &mut event.end
                };
                *place = Some(day);
            }
            "SUMMARY" => event.summary = unescaped(value),
            "STATUS" => event.cancelled = value.trim().eq_ignore_ascii_case("CANCELLED"),
            "RRULE" | "RDATE" | "EXDATE" | "DURATION" => {
                return Err(format!("`{name}` is not read: write each holiday with its own dates"));
            }
            _ => {}
        }
        Ok(())
    }

    fn end(&mut self, component: &str) -> Result<(), String> {
        if self
            .inside
            .pop()
            .is_none_or(|open| !open.eq_ignore_ascii_case(component))
        {
            return Err(format!("END:{component} ends nothing that was begun"));
        }
        let Some(event) = self.event.take_if(|_| component.eq_ignore_ascii_case("VEVENT")) else {
            return Ok(());
        };
        if event.cancelled {
            return Ok(());
        }
        let start = event
            .start
            .ok_or_else(|| format!("the event that begins in line {} has no DTSTART", event.line))?;
        let next = start.checked_add_days(Days::new(1)).unwrap_or(start);
        let end = event.end.unwrap_or(next);
        let days: Vec<NaiveDate> = start
            .iter_days()
            .take_while(|day| *day < end)
            .take(EVENT_DAYS_MAX + 1)
            .collect();
        if days.is_empty() || days.len() > EVENT_DAYS_MAX {
            return Err(format!(
                "the event that begins in line {} does not end when it should",
                event.line
            ));
        }
        let name = if event.summary.trim().is_empty() {
            "holiday"
        } else {
            event.summary.trim()
        };
        for day in days {
            self.holidays.entry(day).or_insert_with(|| name.to_owned());
        }
        Ok(())
    }
}

/// The lines of the file with their numbers; one that begins with a blank continues the one before.
fn unfolded(text: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        match (line.strip_prefix([' ', '\t']), lines.last_mut()) {
            (Some(rest), Some((_, before))) => before.push_str(rest),
            _ if line.trim().is_empty() => {}
            _ => lines.push((index + 1, line.to_owned())),
        }
    }
    lines
}

/// `20261225`.
fn date(value: &str) -> Result<NaiveDate, String> {
    let value = value.trim();
    let digits = value.len() == 8 && value.bytes().all(|byte| byte.is_ascii_digit());
    let parsed = digits
        .then(|| NaiveDate::parse_from_str(value, "%Y%m%d").ok())
        .flatten();
    parsed.ok_or_else(|| format!("`{value}` is not a whole day such as 20261225"))
}

fn unescaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    let mut letters = value.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => match letters.next() {
                Some('n' | 'N') => text.push(' '),
                Some(other) => text.push(other),
                None => {}
            },
            other => text.push(other),
        }
    }
    text
}
