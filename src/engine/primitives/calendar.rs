//! Primitives of business days: what a calendar says of a date, and until when a day lasts.
//!
//! Each is recorded, so that a run that goes on gets the same answer under another program and after another
//! holiday was proclaimed. Calendars from files are those of the run's version.

use chrono::{NaiveDate, NaiveTime};
use chrono_tz::Tz;

use super::args::{Args, invalid};
use super::data::text;
use super::{Body, Kind, Module, Primitive};
use crate::engine::turn::{Turn, fail};
use crate::model::calendar::{Calendar, OutsideCoverage, UnknownCalendar, parse_date, parse_time_of_day};
use crate::model::value::Value;
use crate::script::Thrown;

const DATE: (&str, &str) = ("date", "text such as today(\"Europe/Berlin\") gives");
const CALENDAR: (&str, &str) = (
    "calendar",
    "TARGET2, US-FED, UK, WEEKDAYS, one from a file, or several joined: \"TARGET2+US-FED\"",
);

/// The primitives of this file.
pub(super) const ALL: &[Primitive] = &[
    Primitive {
        module: Module::Plain,
        name: "is_business_day",
        kind: Kind::Step,
        params: &[DATE, CALENDAR],
        result: "true or false",
        doc: "Whether money moves on a date. A date the calendar does not cover is a failure, never a yes.",
        example: "if !is_business_day(today(\"Europe/Berlin\"), \"TARGET2\") { return; }",
        needs: &[],
        body: Body::Plain(is_business_day),
    },
    Primitive {
        module: Module::Plain,
        name: "add_business_days",
        kind: Kind::Step,
        params: &[
            DATE,
            (
                "days",
                "a whole number; negative ones count back, 0 is the date or the next business day",
            ),
            CALENDAR,
        ],
        result: "text, such as \"2026-11-24\"",
        doc: "The business day so many business days after a date. The date itself does not count.",
        example: "let settles = add_business_days(\"2026-11-20\", 2, \"TARGET2+US-FED\");",
        needs: &[],
        body: Body::Plain(add_business_days),
    },
    Primitive {
        module: Module::Plain,
        name: "cut_off_passed",
        kind: Kind::Step,
        params: &[
            ("time", "the first moment that is too late, such as \"15:30\""),
            ("timezone", "an IANA zone such as \"Europe/Berlin\""),
        ],
        result: "true or false",
        doc: "Whether the clocks of a zone show this time of day or a later one.",
        example: "if cut_off_passed(\"15:30\", \"Europe/Berlin\") { log::warn(\"too late for today\"); }",
        needs: &[],
        body: Body::Plain(cut_off_passed),
    },
    Primitive {
        module: Module::Plain,
        name: "value_date",
        kind: Kind::Step,
        params: &[
            ("#calendar", CALENDAR.1),
            ("timezone", "an IANA zone such as \"Europe/Berlin\""),
            (
                "cut_off?",
                "the first moment that is too late for today, such as \"15:30\"",
            ),
            ("days?", "business days from then to settlement, 0 if not given"),
        ],
        result: "text, such as \"2026-11-23\"",
        doc: "The day as of which a payment sent now counts: today, or the next business day if today is closed or its cut-off has passed, and then so many business days on.",
        example: "let on = value_date(#{ calendar: \"TARGET2\", timezone: \"Europe/Berlin\", cut_off: \"15:30\", days: 2 });",
        needs: &[],
        body: Body::Plain(value_date),
    },
];

fn is_business_day(turn: &Turn, args: &[Value]) -> Result<Value, Thrown> {
    let primitive = "is_business_day";
    let date = date(args, primitive)?;
    let name = text(args, 1, primitive, "the name of a calendar")?;
    turn.local(primitive, &input(args), || {
        let calendar = calendar(turn, name)?;
        let closed = calendar.closed(date).map_err(|gap| outside(&gap))?;
        let summary = closed.map_or_else(|| format!("{date} is open"), |closed| format!("{date}: {closed}"));
        Ok((Value::Bool(closed.is_none()), summary))
    })
}

fn add_business_days(turn: &Turn, args: &[Value]) -> Result<Value, Thrown> {
    let primitive = "add_business_days";
    let date = date(args, primitive)?;
    let days = whole(primitive, args.get(1))?;
    let name = text(args, 2, primitive, "the name of a calendar")?;
    turn.local(primitive, &input(args), || {
        let found = calendar(turn, name)?
            .add_business_days(date, days)
            .map_err(|gap| outside(&gap))?;
        Ok((Value::text(found.to_string()), found.to_string()))
    })
}

fn cut_off_passed(turn: &Turn, args: &[Value]) -> Result<Value, Thrown> {
    let primitive = "cut_off_passed";
    let time = time_of_day(text(args, 0, primitive, "a time of day such as \"15:30\"")?)?;
    let zone = zone(text(args, 1, primitive, "a timezone such as \"Europe/Berlin\"")?)?;
    turn.local(primitive, &input(args), || {
        let shown = turn.now().with_timezone(&zone).naive_local();
        let passed = shown.time() >= time;
        Ok((Value::Bool(passed), format!("at {}", shown.format("%H:%M:%S"))))
    })
}

fn value_date(turn: &Turn, args: &[Value]) -> Result<Value, Thrown> {
    let primitive = "value_date";
    let given = args.first().cloned().unwrap_or_default();
    let args = Args::new(primitive, &given, &["calendar", "timezone", "cut_off", "days"])?;
    let name = args.required_text("calendar")?;
    let zone = zone(args.required_text("timezone")?)?;
    let cut_off = args.text("cut_off")?.map(time_of_day).transpose()?;
    let days = args.get("days").map_or(Ok(0), |days| whole(primitive, Some(days)))?;
    if days < 0 {
        return Err(invalid("`days` of `value_date` cannot be negative"));
    }
    turn.local(primitive, &given.typed_text(), || {
        let calendar = calendar(turn, name)?;
        let now = turn.now().with_timezone(&zone).naive_local();
        let on = sent_at(&calendar, now.date(), now.time(), cut_off, days).map_err(|gap| outside(&gap))?;
        Ok((Value::text(on.to_string()), on.to_string()))
    })
}

/// The day as of which counts what is sent on a day at a time of day.
fn sent_at(
    calendar: &Calendar,
    today: NaiveDate,
    time: NaiveTime,
    cut_off: Option<NaiveTime>,
    days: i64,
) -> Result<NaiveDate, OutsideCoverage> {
    // A closed day has no cut-off: what is sent then counts from the next business day, and not from the one after.
    let too_late = cut_off.is_some_and(|cut_off| time >= cut_off) && calendar.is_business_day(today)?;
    let first = calendar.add_business_days(today, i64::from(too_late))?;
    calendar.add_business_days(first, days)
}

fn input(args: &[Value]) -> String {
    Value::List(args.to_vec()).typed_text()
}

fn date(args: &[Value], primitive: &str) -> Result<NaiveDate, Thrown> {
    let written = text(args, 0, primitive, "a date such as \"2026-11-20\"")?;
    parse_date(written).ok_or_else(|| invalid(format!("`{written}` is not a date such as 2026-11-20")))
}

fn whole(primitive: &str, value: Option<&Value>) -> Result<i64, Thrown> {
    match value {
        Some(Value::Int(number)) => Ok(*number),
        other => {
            let kind = other.map_or("nothing", Value::kind);
            Err(invalid(format!(
                "`{primitive}` takes a whole number of days, not {kind}"
            )))
        }
    }
}

fn time_of_day(written: &str) -> Result<NaiveTime, Thrown> {
    parse_time_of_day(written).ok_or_else(|| invalid(format!("`{written}` is not a time of day such as 15:30")))
}

fn zone(name: &str) -> Result<Tz, Thrown> {
    name.parse()
        .map_err(|_| invalid(format!("`{name}` is not an IANA timezone such as Europe/Berlin")))
}

/// The calendar as the run's version has it.
fn calendar(turn: &Turn, name: &str) -> Result<Calendar, Thrown> {
    turn.version.calendar(name).map_err(|unknown| match unknown {
        UnknownCalendar::Unknown { .. } => fail(
            "unknown_calendar",
            format!("{unknown}; one from a file has to be named in the manifest or in the script"),
        ),
        other => fail("unknown_calendar", other.to_string()),
    })
}

fn outside(outside: &OutsideCoverage) -> Thrown {
    fail("calendar_ends", outside.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::calendar::Calendars;

    #[test]
    fn a_value_date_is_never_a_closed_day_and_never_one_too_late() {
        let check = |today: &str, time: &str, cut_off: Option<&str>, days: i64, expected: &str| {
            let calendar = Calendars::default().find("TARGET2").expect("built in");
            let (today, time) = (
                parse_date(today).expect("a date"),
                parse_time_of_day(time).expect("a time"),
            );
            let cut_off = cut_off.map(|text| parse_time_of_day(text).expect("a time"));
            let found = sent_at(&calendar, today, time, cut_off, days).expect("covered");
            assert_eq!(found.to_string(), expected, "{today} {time} {cut_off:?} {days}");
        };
        check("2026-11-20", "23:59", None, 0, "2026-11-20");
        check("2026-11-20", "15:29", Some("15:30"), 0, "2026-11-20");
        check("2026-11-20", "15:30", Some("15:30"), 0, "2026-11-23");
        check("2026-11-20", "15:29", Some("15:30"), 2, "2026-11-24");
        check("2026-11-20", "15:30", Some("15:30"), 2, "2026-11-25");
        // A Saturday afternoon is not too late for Monday.
        check("2026-11-21", "16:00", Some("15:30"), 0, "2026-11-23");
        check("2026-11-21", "16:00", Some("15:30"), 1, "2026-11-24");
        check("2027-03-25", "16:00", Some("15:30"), 0, "2027-03-30");
    }
}
