//! Amounts on the wire, both ways: in major units as text or number, or counted in the provider's own smallest units.
//!
//! Exact: what a provider cannot say is refused, and what it says that is no amount of its currency is not read. Nothing
//! is rounded.

use rust_decimal::Decimal;
use serde_json::Value as Json;

use super::table::{MoneyTable, Unit};
use crate::base::money::{Currency, Money, parse_plain};
use crate::model::value::Value;

/// Money as the provider wants it written.
///
/// # Errors
/// Why it cannot be: it has more decimals than the provider's smallest unit, or more digits than a number bears.
pub fn write(table: &MoneyTable, unit: Unit, money: Money) -> Result<Json, String> {
    match unit {
        Unit::DecimalText | Unit::DecimalNumber => write_plain(unit, money.amount()),
        Unit::MinorNumber => {
            let currency = money.currency();
            let count = rescale(money.minor(), currency.exponent(), table.exponent_of(currency));
            let count = count.ok_or_else(|| {
                let decimals = table.exponent_of(currency);
                format!("{money} cannot be sent: the provider counts {currency} with {decimals} decimals")
            })?;
            number(&count.to_string())
        }
    }
}

/// A plain number in the provider's unit, its currency unknown or beside it.
///
/// # Errors
/// Why it cannot be: smallest units are whole.
pub fn write_plain(unit: Unit, plain: Decimal) -> Result<Json, String> {
    match unit {
        Unit::DecimalText => Ok(Json::String(plain.to_string())),
        Unit::DecimalNumber => number(&plain.to_string()),
        Unit::MinorNumber => number(&whole(plain)?.to_string()),
    }
}

/// A number of the provider's unit as money. None if it is no amount of this currency.
pub fn read(table: &MoneyTable, unit: Unit, value: &Value, currency: Currency) -> Option<Money> {
    let plain = match value {
        Value::Text(text) => parse_plain(text).ok()?,
        other => other.as_decimal()?,
    };
    of_plain(table, unit, plain, currency).ok()
}

/// The same, with the reason why it is none.
///
/// # Errors
/// It has more decimals than the currency, or is no whole number where smallest units are counted.
pub fn of_plain(table: &MoneyTable, unit: Unit, plain: Decimal, currency: Currency) -> Result<Money, String> {
    match unit {
        Unit::DecimalText | Unit::DecimalNumber => {
            Money::from_decimal(plain, currency).map_err(|error| error.to_string())
        }
        Unit::MinorNumber => {
            let decimals = table.exponent_of(currency);
            let minor = rescale(whole(plain)?, decimals, currency.exponent())
                .ok_or_else(|| format!("{plain} with {decimals} decimals is no amount of {currency}"))?;
            Money::from_minor(minor, currency).map_err(|error| error.to_string())
        }
    }
}

fn whole(plain: Decimal) -> Result<i128, String> {
    let plain = plain.normalize();
    if plain.scale() == 0 {
        Ok(plain.mantissa())
    } else {
        Err(format!("it counts minor units: {plain} is not a whole number"))
    }
}

/// A count of units with so many decimals as one of units with others, if it is a whole one.
fn rescale(count: i128, from: u32, to: u32) -> Option<i128> {
    let factor = 10i128.checked_pow(from.abs_diff(to))?;
    if to >= from {
        return count.checked_mul(factor);
    }
    (count % factor == 0).then_some(count / factor)
}

fn number(text: &str) -> Result<Json, String> {
    serde_json::from_str(text).map_err(|_| format!("the amount {text} cannot be written as a number"))
}
