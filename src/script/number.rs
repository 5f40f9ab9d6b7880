//! Numbers in scripts: division that never truncates, named roundings, fixed decimals.
//!
//! The interpreter divides whole numbers by cutting, so that the meaning of `amount / 3` would hang on
//! whether a provider wrote `100` or `100.00`. Here `/` always gives the decimal quotient.

use rhai::{Dynamic, Module};
use rust_decimal::Decimal;

use super::convert::{kind, number};
use super::fault::{Native, fault};
use super::money;
use super::register::{changes, reads};
use crate::base::money::{Money, Rounding};

/// Decimals a 96-bit decimal can have.
const PLACES_MAX: u32 = 28;

fn quotient(left: Decimal, right: Decimal) -> Native<Decimal> {
    if right.is_zero() {
        return Err(fault("division_by_zero", format!("division by zero: {left} / {right}")));
    }
    left.checked_div(right)
        .map(|quotient| quotient.normalize())
        .ok_or_else(|| fault("overflow", format!("the quotient {left} / {right} is too large")))
}

/// `a /= b` for everything: without it the interpreter's own would cut.
fn divide_in_place(left: &mut Dynamic, right: &Dynamic) -> Native<()> {
    let money = left.read_lock::<Money>().map(|money| *money);
    let result = if let Some(money) = money {
        money::divide(money, right)?
    } else {
        match (number(left), number(right)) {
            (Some(left), Some(right)) => quotient(left, right)?,
            _ => {
                let message = format!("cannot divide {} by {}", kind(left), kind(right));
                return Err(fault("type", message));
            }
        }
    };
    *left = Dynamic::from_decimal(result);
    Ok(())
}

fn places(places: i64) -> Native<u32> {
    u32::try_from(places)
        .ok()
        .filter(|places| *places <= PLACES_MAX)
        .ok_or_else(|| {
            fault(
                "range",
                format!("decimals are counted from 0 to {PLACES_MAX}, not {places}"),
            )
        })
}

/// The number at so many decimals, by the named rounding.
pub(super) fn round(value: Decimal, to: i64, mode: &str) -> Native<Decimal> {
    let to = places(to)?;
    Ok(money::rounding(mode)?.round(value, to))
}

/// The number as text with exactly so many decimals; it may not have to be rounded for that.
fn fixed(value: Decimal, to: i64) -> Native<String> {
    let to = places(to)?;
    let mut rounded = Rounding::Down.round(value, to);
    if rounded != value {
        return Err(fault(
            "rounding_needed",
            format!(
                "{value} has more than {to} decimals: round it first, such as round_to({value}, {to}, \"half_even\")"
            ),
        ));
    }
    rounded.rescale(to);
    Ok(rounded.to_string())
}

fn wanted(value: &Dynamic) -> Native<Decimal> {
    number(value).ok_or_else(|| fault("type", format!("expected a number, not {}", kind(value))))
}

/// Adds numbers to the standard functions.
pub(super) fn register(module: &mut Module) {
    reads(module, "/", |a: i64, b: i64| quotient(a.into(), b.into()));
    reads(module, "/", |a: Decimal, b: i64| quotient(a, b.into()));
    reads(module, "/", |a: i64, b: Decimal| quotient(a.into(), b));
    reads(module, "/", quotient);
    changes(module, "/=", |a: &mut Dynamic, b: Dynamic| divide_in_place(a, &b));
    reads(module, "round_to", |x: Decimal, to: i64, mode: &str| round(x, to, mode));
    reads(module, "round_to", |x: i64, to: i64, mode: &str| {
        round(x.into(), to, mode)
    });
    reads(module, "format", |x: Decimal, to: i64| fixed(x, to));
    reads(module, "format", |x: i64, to: i64| fixed(x.into(), to));
    reads(module, "percent", |x: Dynamic| -> Native<Decimal> {
        quotient(wanted(&x)?, Decimal::ONE_HUNDRED)
    });
    reads(module, "to_decimal", |x: Dynamic| wanted(&x));
}
