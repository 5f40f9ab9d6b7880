//! The keys of a schedule that business days have to do with: calendar, convention, days of the month, cut-off.
//!
//! It reads what is written and which calendar that means; what comes of it for a schedule it is told by others.

use toml::Spanned;
use toml::de::DeValue;

use super::fields::{self, Fields, did_you_mean, kind};
use super::manifest::one_of;
use crate::model::calendar::{
    AfterCutOff, Business, Calendar, Calendars, CutOff, DayChoice, Roll, UnknownCalendar, parse_time_of_day,
};
use crate::model::document::Report;
use crate::model::workflow::CatchUp;

/// Keys that mean something only beside a calendar.
const OF_A_CALENDAR: [&str; 4] = ["roll", "business_day", "cut_off", "after_cut_off"];
/// No month has more business days.
const BUSINESS_DAYS_MAX: i64 = 23;

/// What a trigger says of business days: `Some(None)` if nothing, `None` if something is wrong with it.
pub(super) fn read_business(
    fields: &Fields<'_>,
    calendars: &Calendars,
    catch_up: Option<CatchUp>,
    report: &mut Report<'_>,
) -> Option<Option<Business>> {
    let before = report.errors();
    let calendar = fields
        .get("calendar")
        .map(|value| read_calendar(value, calendars, report));
    let roll = fields
        .get("roll")
        .map(|value| read_choice("roll", "way to roll", &Roll::ALL, value, report));
    let numbers = fields
        .get("business_day")
        .map(|value| read_business_days(value, report));
    let cut_off = read_cut_off(fields, catch_up, report);
    if calendar.is_none() {
        for (key, value) in OF_A_CALENDAR.iter().filter_map(|key| Some((key, fields.get(key)?))) {
            let help = "name one beside it, such as calendar = \"TARGET2\"; WEEKDAYS has no holidays".to_owned();
            report.error(&value.span(), format!("`{key}` needs a `calendar`"), Some(help));
        }
    }
    if let (Some(value), true) = (fields.get("roll"), numbers.is_some()) {
        let help = "leave `roll` out: a business day is open".to_owned();
        report.error(
            &value.span(),
            "`roll` and `business_day` exclude each other",
            Some(help),
        );
    }
    if report.errors() > before {
        return None;
    }
    let Some(calendar) = calendar else { return Some(None) };
    let days = match numbers {
        Some(numbers) => DayChoice::OfMonth(numbers?),
        None => DayChoice::Named(roll.flatten().unwrap_or_default()),
    };
    Some(Some(Business {
        calendar: calendar?,
        days,
        cut_off,
    }))
}

fn read_calendar(value: &Spanned<DeValue<'_>>, calendars: &Calendars, report: &mut Report<'_>) -> Option<Calendar> {
    let name = fields::text("`calendar`", value, report)?;
    match calendars.find(name) {
        Ok(calendar) => Some(calendar),
        Err(unknown) => {
            let help = match &unknown {
                UnknownCalendar::Unknown { suggestion: None, .. } => {
                    let names: Vec<&str> = calendars.names().collect();
                    Some(format!(
                        "there are: {}; several are joined as \"TARGET2+US-FED\"",
                        names.join(", ")
                    ))
                }
                _ => None,
            };
            report.error(&value.span(), unknown.to_string(), help);
            None
        }
    }
}

/// A number that is not zero, or a list of them.
fn read_business_days(value: &Spanned<DeValue<'_>>, report: &mut Report<'_>) -> Option<Vec<i64>> {
    let items: Vec<&Spanned<DeValue<'_>>> = match value.get_ref() {
        DeValue::Array(items) => items.iter().collect(),
        _ => vec![value],
    };
    let before = report.errors();
    let mut numbers = Vec::new();
    for item in &items {
        let number = match item.get_ref() {
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix()).ok(),
            _ => None,
        };
        let number = number.filter(|number| (1..=BUSINESS_DAYS_MAX).contains(&number.abs()));
        match number {
            None => {
                let help = format!(
                    "1 to {BUSINESS_DAYS_MAX} from the beginning of the month, -1 to -{BUSINESS_DAYS_MAX} from its end"
                );
                let what = kind(item.get_ref());
                report.error(
                    &item.span(),
                    format!("`business_day` is no such number, but {what}"),
                    Some(help),
                );
            }
            Some(number) if numbers.contains(&number) => {
                report.error(
                    &item.span(),
                    format!("{number} is listed twice in `business_day`"),
                    None,
                );
            }
            Some(number) => numbers.push(number),
        }
    }
    if items.is_empty() {
        report.error(&value.span(), "`business_day` lists no day", None);
    }
    (report.errors() == before).then_some(numbers)
}

fn read_cut_off(fields: &Fields<'_>, catch_up: Option<CatchUp>, report: &mut Report<'_>) -> Option<CutOff> {
    let after = fields.get("after_cut_off").and_then(|value| {
        let after = read_choice("after_cut_off", "way to go on", &AfterCutOff::ALL, value, report)?;
        Some((after, value))
    });
    let Some(value) = fields.get("cut_off") else {
        if let Some((_, value)) = after {
            let help = "write cut_off = \"15:30\" too, the first moment that is too late".to_owned();
            report.error(&value.span(), "`after_cut_off` needs a `cut_off`", Some(help));
        }
        return None;
    };
    if fields.get("after_cut_off").is_none() {
        let help = format!("after_cut_off is {}", one_of(&AfterCutOff::ALL));
        let message = "`cut_off` does not say what becomes of what comes later";
        report.error(&value.span(), message, Some(help));
    }
    let text = fields::text("`cut_off`", value, report)?;
    let time = parse_time_of_day(text);
    if time.is_none() {
        let help = "write cut_off = \"15:30\", by the clocks of the trigger's timezone".to_owned();
        report.error(&value.span(), format!("`{text}` is not a time of day"), Some(help));
    }
    let (after, place) = after?;
    if after == AfterCutOff::NextBusinessDay && catch_up == Some(CatchUp::None) {
        let help = "write after_cut_off = \"refuse\", or catch_up = \"latest\"".to_owned();
        let message = "with catch_up = \"none\" nothing is made up for, on the next business day neither";
        report.error(&place.span(), message, Some(help));
    }
    if after == AfterCutOff::NextBusinessDay && catch_up == Some(CatchUp::All) {
        let help = "write after_cut_off = \"refuse\", or catch_up = \"latest\"".to_owned();
        let message = "with catch_up = \"all\" every missed slot would run on the next business day";
        report.error(&place.span(), message, Some(help));
    }
    Some(CutOff { time: time?, after })
}

/// One of a few words.
pub(super) fn read_choice<T: Copy>(
    key: &str,
    what: &str,
    choices: &[(&'static str, T)],
    value: &Spanned<DeValue<'_>>,
    report: &mut Report<'_>,
) -> Option<T> {
    let written = fields::text(&format!("`{key}`"), value, report)?;
    let choice = choices.iter().find(|(name, _)| *name == written);
    if choice.is_none() {
        let near = did_you_mean(written, choices.iter().map(|(name, _)| *name));
        let help = near.map_or_else(|| one_of(choices), |near| format!("{near} {}", one_of(choices)));
        report.error(&value.span(), format!("`{written}` is no {what}"), Some(help));
    }
    choice.map(|(_, choice)| *choice)
}
