//! Time in scripts: points in time, lengths of time, and their arithmetic.
//!
//! There is no way to ask what time it is here: `now` is the host's, because it is recorded. All times
//! are UTC; a zone is named where one is needed.

use chrono::{Datelike as _, TimeDelta, Timelike as _};
use rhai::{Dynamic, Module};
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive as _;

use super::convert::{kind, number};
use super::fault::{Native, fault};
use super::money::COMPARISONS;
use super::register::reads;
use crate::base::clock::Instant;
use crate::model::value::{Value, parse_time, time_text};

/// A point in time as scripts hold it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment(pub(super) Instant);

/// A length of time as scripts hold it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Length(pub(super) TimeDelta);

impl Length {
    fn text(self) -> String {
        Value::Duration(self.0).to_string()
    }
}

const NANOS_PER_SECOND: i64 = 1_000_000_000;

fn out_of_range() -> Box<rhai::EvalAltResult> {
    fault("overflow", "the time is out of range")
}

/// So many seconds, exact to the nanosecond.
fn seconds(amount: Decimal) -> Native<Length> {
    let nanos = amount
        .checked_mul(NANOS_PER_SECOND.into())
        .filter(|nanos| nanos.fract().is_zero())
        .and_then(|nanos| nanos.to_i128())
        .ok_or_else(out_of_range)?;
    let whole = i64::try_from(nanos.div_euclid(NANOS_PER_SECOND.into())).map_err(|_| out_of_range())?;
    let rest = u32::try_from(nanos.rem_euclid(NANOS_PER_SECOND.into())).map_err(|_| out_of_range())?;
    TimeDelta::new(whole, rest).map(Length).ok_or_else(out_of_range)
}

fn total_seconds(length: Length) -> Decimal {
    let nanos = i128::from(length.0.num_seconds()) * i128::from(NANOS_PER_SECOND) + i128::from(length.0.subsec_nanos());
    Decimal::try_from_i128_with_scale(nanos, 9)
        .map_or_else(|_| Decimal::from(length.0.num_seconds()), |seconds| seconds.normalize())
}

/// Adds time to the standard functions.
pub(super) fn register(module: &mut Module) {
    module.set_custom_type::<Moment>("time");
    module.set_custom_type::<Length>("duration");
    constructors(module);
    arithmetic(module);
    comparisons(module);
    getters(module);
    for name in ["to_string", "to_debug", "print", "debug"] {
        reads(module, name, |moment: Moment| time_text(moment.0));
        reads(module, name, Length::text);
    }
}

fn constructors(module: &mut Module) {
    for (name, unit) in [("days", 86_400_i64), ("hours", 3_600), ("minutes", 60), ("seconds", 1)] {
        reads(module, name, move |count: Dynamic| -> Native<Length> {
            let count = number(&count)
                .ok_or_else(|| fault("type", format!("{name}() takes a number, not {}", kind(&count))))?;
            seconds(count.checked_mul(unit.into()).ok_or_else(out_of_range)?)
        });
    }
    reads(module, "parse_time", |text: &str| {
        parse_time(text).map(Moment).ok_or_else(|| {
            let text: String = text.chars().take(40).collect();
            fault(
                "not_a_time",
                format!("`{text}` is not a time: expected the form 2026-11-20T18:00:00Z"),
            )
        })
    });
}

fn arithmetic(module: &mut Module) {
    let later = |moment: Moment, length: Length| {
        moment
            .0
            .checked_add_signed(length.0)
            .map(Moment)
            .ok_or_else(out_of_range)
    };
    reads(module, "+", later);
    reads(module, "+", move |length: Length, moment: Moment| later(moment, length));
    reads(module, "-", |moment: Moment, length: Length| {
        moment
            .0
            .checked_sub_signed(length.0)
            .map(Moment)
            .ok_or_else(out_of_range)
    });
    reads(module, "-", |a: Moment, b: Moment| {
        Length(a.0.signed_duration_since(b.0))
    });
    reads(module, "+", |a: Length, b: Length| {
        a.0.checked_add(&b.0).map(Length).ok_or_else(out_of_range)
    });
    reads(module, "-", |a: Length, b: Length| {
        a.0.checked_sub(&b.0).map(Length).ok_or_else(out_of_range)
    });
    reads(module, "-", |a: Length| Length(-a.0));
    let times = |length: Length, count: i64| -> Native<Length> {
        seconds(
            total_seconds(length)
                .checked_mul(count.into())
                .ok_or_else(out_of_range)?,
        )
    };
    reads(module, "*", times);
    reads(module, "*", move |count: i64, length: Length| times(length, count));
}

fn comparisons(module: &mut Module) {
    for (operator, holds) in COMPARISONS {
        reads(module, operator, move |a: Moment, b: Moment| holds(a.cmp(&b)));
        reads(module, operator, move |a: Length, b: Length| holds(a.cmp(&b)));
        let wrong = move |own: &str, other: &Dynamic| -> Native<bool> {
            match operator {
                // `run.last_success == ()` asks whether there is one; that has an answer.
                "==" if other.is_unit() => Ok(false),
                "!=" if other.is_unit() => Ok(true),
                _ => Err(fault("type", format!("cannot compare {own} with {}", kind(other)))),
            }
        };
        reads(module, operator, move |_: Moment, b: Dynamic| wrong("a time", &b));
        reads(module, operator, move |a: Dynamic, _: Moment| wrong("a time", &a));
        reads(module, operator, move |_: Length, b: Dynamic| {
            wrong("a length of time", &b)
        });
        reads(module, operator, move |a: Dynamic, _: Length| {
            wrong("a length of time", &a)
        });
    }
}

/// One part of a time: its year, its hour.
type Part = fn(&Instant) -> i64;

fn getters(module: &mut Module) {
    let parts: [(&str, Part); 6] = [
        ("year", |time| time.year().into()),
        ("month", |time| time.month().into()),
        ("day", |time| time.day().into()),
        ("hour", |time| time.hour().into()),
        ("minute", |time| time.minute().into()),
        ("second", |time| time.second().into()),
    ];
    for (name, part) in parts {
        module.set_getter_fn(name, move |moment: &mut Moment| Ok(part(&moment.0)));
    }
    // ISO 8601: Monday is 1, Sunday is 7.
    module.set_getter_fn("weekday", |moment: &mut Moment| {
        Ok(i64::from(moment.0.weekday().number_from_monday()))
    });
    module.set_getter_fn("total_seconds", |length: &mut Length| Ok(total_seconds(*length)));
}
