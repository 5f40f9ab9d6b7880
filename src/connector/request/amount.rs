//! The amount of a call: money or a plain number from the script, the provider's unit on the wire.

use rust_decimal::Decimal;
use serde_json::Value as Json;

use crate::base::money::{Currency, Money, parse_plain};
use crate::connector::lookup::Known;
use crate::connector::table::{AmountField, AmountPlace, Effect, Endpoint, MoneyTable, Param, Unit};
use crate::connector::units;
use crate::model::value::{Map, Value};

/// An amount that was passed: as money where its currency is known, else as the plain number.
pub(super) struct Amount {
    /// With its currency.
    pub(super) money: Option<Money>,
    /// Without.
    plain: Decimal,
    unit: Unit,
}

impl Amount {
    /// As the provider wants it written.
    pub(super) fn written(&self, table: &MoneyTable) -> Result<Json, String> {
        match self.money {
            Some(money) => units::write(table, self.unit, money),
            None => units::write_plain(self.unit, self.plain),
        }
    }
}

/// Reads the amount and leaves its currency among the arguments.
pub(super) fn take(endpoint: &Endpoint, args: &mut Map) -> Result<Option<Amount>, String> {
    let Some(place) = endpoint.amount_place() else {
        return Ok(None);
    };
    let Some(given) = args.get(&place.field).cloned() else {
        return Ok(None);
    };
    let unit = endpoint.unit();
    let amount = match &given {
        Value::Money(money) => {
            let named = place.currency.as_deref().or_else(|| {
                let param = endpoint.param(&place.field)?;
                param.currency.as_deref()
            });
            leave_currency(&endpoint.money, &place.field, named, *money, args)?;
            Amount {
                money: Some(*money),
                plain: money.amount(),
                unit,
            }
        }
        number => plain_amount(endpoint, place, number, args)?,
    };
    if amount.plain.is_sign_negative() && !amount.plain.is_zero() {
        return Err(format!("`{}` is negative: {}", place.field, amount.plain));
    }
    Ok(Some(amount))
}

/// The amount that was read before, where the request says none. Nothing while nothing was read.
pub(super) fn of_before(endpoint: &Endpoint, before: &Known) -> Result<Option<Money>, String> {
    let Some(AmountField::Before(place)) = endpoint.amount.as_ref().filter(|_| !before.is_empty()) else {
        return Ok(None);
    };
    let value = |name: &str| before.get(name).and_then(|json| Value::from_plain(json).ok());
    let named = place.currency.as_deref().map(|name| match value(name) {
        Some(Value::Text(code)) => Currency::from_code(&code).map_err(|error| error.to_string()),
        _ => Err(format!("nothing says under `{name}` which currency is moved")),
    });
    let currency = named.transpose()?.or(endpoint.money.currency);
    let currency = currency.ok_or_else(|| "nothing says which currency is moved".to_owned())?;
    let unit = place.unit.or(endpoint.money.unit).unwrap_or(Unit::DecimalText);
    let amount = value(&place.before).and_then(|amount| units::read(&endpoint.money, unit, &amount, currency));
    let unread = || format!("what was read under `{}` is no amount in {currency}", place.before);
    amount.map(Some).ok_or_else(unread)
}

/// Leaves the currencies of money among the arguments, or the members of a map: of every amount but the one that
/// [`take`] reads.
pub(super) fn leave_currencies(
    table: &MoneyTable,
    params: &[Param],
    except: Option<&str>,
    args: &mut Map,
) -> Result<(), String> {
    for param in params.iter().filter(|param| Some(param.name.as_str()) != except) {
        let Some(Value::Money(money)) = args.get(&param.name) else {
            continue;
        };
        let money = *money;
        leave_currency(table, &param.name, param.currency.as_deref(), money, args)?;
        if param.currency.is_none() && table.currency.is_none() {
            let name = &param.name;
            return Err(format!(
                "`{name}` takes a plain number, not {money}: the request does not say its currency"
            ));
        }
    }
    Ok(())
}

/// Leaves the currency of money under the name it has in the request, or sees that it is the one that goes without.
fn leave_currency(
    table: &MoneyTable,
    field: &str,
    named: Option<&str>,
    money: Money,
    args: &mut Map,
) -> Result<(), String> {
    let code = Value::text(money.currency().code());
    match (named, table.currency) {
        (Some(named), _) => match args.insert(named.to_owned(), code.clone()) {
            Some(other) if other != code => Err(format!("`{field}` is {money}, but `{named}` says {other}")),
            _ => Ok(()),
        },
        (None, Some(only)) if only != money.currency() => {
            Err(format!("`{field}` is {money}: this call takes {only} alone"))
        }
        (None, _) => Ok(()),
    }
}

/// A number as amount: in the provider's own unit, its currency beside it.
fn plain_amount(endpoint: &Endpoint, place: &AmountPlace, given: &Value, args: &Map) -> Result<Amount, String> {
    let field = &place.field;
    let unit = endpoint.unit();
    let plain = match given {
        Value::Text(text) => parse_plain(text).map_err(|error| format!("`{field}`: {error}"))?,
        other => other
            .as_decimal()
            .ok_or_else(|| format!("`{field}` takes an amount such as EUR(100.50), not {}", given.kind()))?,
    };
    let named = place
        .currency
        .as_ref()
        .or_else(|| endpoint.param(field)?.currency.as_ref());
    let told = named.and_then(|name| args.get(name)?.as_text());
    let currency = match (told, named, endpoint.money.currency) {
        (Some(code), _, _) => Some(Currency::from_code(code).map_err(|error| error.to_string())?),
        (None, None, only) => only,
        (None, Some(_), _) => None,
    };
    let Some(currency) = currency else {
        if endpoint.effect == Effect::MovesMoney {
            return Err(format!(
                "`{field}` needs its currency: write money(\"{plain}\", \"EUR\") rather than {plain}"
            ));
        }
        return Ok(Amount {
            money: None,
            plain,
            unit,
        });
    };
    let money = units::of_plain(&endpoint.money, unit, plain, currency);
    Ok(Amount {
        money: Some(money.map_err(|error| format!("`{field}`: {error}"))?),
        plain,
        unit,
    })
}
