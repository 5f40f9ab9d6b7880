//! The amount of a call: money or a plain number from the script, the provider's unit on the wire.

use rust_decimal::Decimal;
use serde_json::Value as Json;

use crate::base::money::{Currency, Money, parse_plain};
use crate::connector::table::{AmountField, AmountPlace, Effect, Endpoint, Unit};
use crate::model::value::{Map, Value};

/// An amount that was passed: as money where its currency is known, else as the plain number.
pub(super) struct Amount {
    /// With its currency.
    pub(super) money: Option<Money>,
    /// Without.
    plain: Decimal,
}

impl Amount {
    /// As the provider wants it written.
    pub(super) fn written(&self, unit: Unit) -> Result<Json, String> {
        let text = match (unit, self.money) {
            (Unit::MinorNumber, Some(money)) => money.minor().to_string(),
            (_, Some(money)) => money.amount().to_string(),
            (_, None) => self.plain.to_string(),
        };
        match unit {
            Unit::DecimalText => Ok(Json::String(text)),
            Unit::DecimalNumber | Unit::MinorNumber => {
                serde_json::from_str(&text).map_err(|_| format!("the amount {text} cannot be written as a number"))
            }
        }
    }
}

/// Reads the amount and leaves its currency among the arguments.
pub(super) fn take(endpoint: &Endpoint, args: &mut Map) -> Result<Option<Amount>, String> {
    let Some(AmountField::Field(place)) = &endpoint.amount else {
        return Ok(None);
    };
    let Some(given) = args.get(&place.field).cloned() else {
        return Ok(None);
    };
    let amount = match &given {
        Value::Money(money) => {
            if let Some(field) = &place.currency {
                match args.insert(field.clone(), Value::text(money.currency().code())) {
                    Some(other) if other != Value::text(money.currency().code()) => {
                        return Err(format!("`{}` is {money}, but `{field}` says {other}", place.field));
                    }
                    _ => {}
                }
            }
            Amount {
                money: Some(*money),
                plain: money.amount(),
            }
        }
        number => plain_amount(endpoint, place, number, args)?,
    };
    if amount.plain.is_sign_negative() && !amount.plain.is_zero() {
        return Err(format!("`{}` is negative: {}", place.field, amount.plain));
    }
    Ok(Some(amount))
}

/// A number as amount: in the provider's own unit, its currency beside it.
fn plain_amount(endpoint: &Endpoint, place: &AmountPlace, given: &Value, args: &Map) -> Result<Amount, String> {
    let field = &place.field;
    let plain = match given {
        Value::Text(text) => parse_plain(text).map_err(|error| format!("`{field}`: {error}"))?,
        other => other
            .as_decimal()
            .ok_or_else(|| format!("`{field}` takes an amount such as EUR(100.50), not {}", given.kind()))?,
    };
    let currency = place.currency.as_ref().and_then(|field| args.get(field)?.as_text());
    let Some(code) = currency else {
        if endpoint.effect == Effect::MovesMoney {
            return Err(format!(
                "`{field}` needs its currency: write money(\"{plain}\", \"EUR\") rather than {plain}"
            ));
        }
        return Ok(Amount { money: None, plain });
    };
    let currency = Currency::from_code(code).map_err(|error| error.to_string())?;
    let money = match place.unit {
        Unit::DecimalText | Unit::DecimalNumber => Money::from_decimal(plain, currency),
        Unit::MinorNumber if plain.normalize().scale() == 0 => {
            Money::from_minor(plain.normalize().mantissa(), currency)
        }
        Unit::MinorNumber => return Err(format!("`{field}` counts minor units: {plain} is not a whole number")),
    };
    Ok(Amount {
        money: Some(money.map_err(|error| format!("`{field}`: {error}"))?),
        plain,
    })
}
