//! Times on the wire, both ways: as RFC 3339 has them, as days, or counted since 1970.

use chrono::{DateTime, SecondsFormat};
use serde_json::Value as Json;

use super::table::{TimeForm, Times};
use crate::base::clock::Instant;
use crate::model::value::{Value, parse_time, time_text};

/// From this number on a count since 1970 is one of milliseconds: as seconds it would lie beyond the year 5000.
const MILLISECONDS_FROM: i64 = 100_000_000_000;

/// A time as the provider wants it written. Where that has no parts of a second, or of a day, it lies before what was
/// meant.
pub fn write(form: TimeForm, time: Instant) -> Json {
    match form {
        TimeForm::Rfc3339 => Json::String(time_text(time)),
        TimeForm::Rfc3339Ms => Json::String(time.to_rfc3339_opts(SecondsFormat::Millis, true)),
        TimeForm::Unix => Json::from(time.timestamp()),
        TimeForm::UnixMs => Json::from(time.timestamp_millis()),
        TimeForm::UnixText => Json::String(time.timestamp().to_string()),
        TimeForm::Date => Json::String(time.format("%Y-%m-%d").to_string()),
    }
}

/// A time of an answer. None if it is none: a number is a time only where the table says that it counts since 1970.
pub fn read(times: Option<Times>, value: &Value) -> Option<Instant> {
    let count = match (times, value) {
        (Some(Times::Unix), Value::Int(count)) => *count,
        (Some(Times::Unix), Value::Text(text)) => match text.parse() {
            Ok(count) => count,
            Err(_) => return parse_time(text),
        },
        (_, Value::Text(text)) => return parse_time(text),
        _ => return None,
    };
    if count.unsigned_abs() < MILLISECONDS_FROM.unsigned_abs() {
        DateTime::from_timestamp(count, 0)
    } else {
        DateTime::from_timestamp_millis(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Instant {
        parse_time(text).expect("a time")
    }

    #[test]
    fn a_time_is_written_in_each_form_and_never_later_than_it_is() {
        let time = at("2026-05-01T09:30:00.678Z");
        for (form, expected) in [
            (TimeForm::Rfc3339, Json::from("2026-05-01T09:30:00.678Z")),
            (TimeForm::Rfc3339Ms, Json::from("2026-05-01T09:30:00.678Z")),
            (TimeForm::Unix, Json::from(1_777_627_800)),
            (TimeForm::UnixMs, Json::from(1_777_627_800_678_i64)),
            (TimeForm::UnixText, Json::from("1777627800")),
            (TimeForm::Date, Json::from("2026-05-01")),
        ] {
            assert_eq!(write(form, time), expected, "{form:?}");
        }
        let whole = at("2026-05-01T09:30:00Z");
        assert_eq!(write(TimeForm::Rfc3339, whole), Json::from("2026-05-01T09:30:00Z"));
        assert_eq!(
            write(TimeForm::Rfc3339Ms, whole),
            Json::from("2026-05-01T09:30:00.000Z")
        );
        let before = at("1969-12-31T23:59:59.500Z");
        assert_eq!(write(TimeForm::Unix, before), Json::from(-1), "not 0, which is later");
    }

    #[test]
    fn a_time_is_read_in_the_unit_it_can_only_be_in() {
        for (times, value, expected) in [
            (
                None,
                Value::text("2026-05-01T11:30:00+02:00"),
                Some("2026-05-01T09:30:00Z"),
            ),
            (None, Value::Int(1_777_627_800), None),
            (
                Some(Times::Unix),
                Value::Int(1_777_627_800),
                Some("2026-05-01T09:30:00Z"),
            ),
            (
                Some(Times::Unix),
                Value::Int(1_777_627_800_000),
                Some("2026-05-01T09:30:00Z"),
            ),
            (
                Some(Times::Unix),
                Value::text("1777627800"),
                Some("2026-05-01T09:30:00Z"),
            ),
            (
                Some(Times::Unix),
                Value::text("2026-05-01T09:30:00Z"),
                Some("2026-05-01T09:30:00Z"),
            ),
            (Some(Times::Unix), Value::text("yesterday"), None),
            (Some(Times::Unix), Value::Null, None),
        ] {
            assert_eq!(read(times, &value), expected.map(at), "{times:?} {value}");
        }
    }
}
