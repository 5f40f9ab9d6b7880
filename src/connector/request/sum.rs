//! Lists that have to come to a total, added up as they stand on the wire. A provider may book what is missing to
//! somebody nobody named.

use rust_decimal::Decimal;
use serde_json::{Map as JsonMap, Value as Json};

use super::amount::Amount;
use crate::base::guard::{Guard, holds};
use crate::base::money::parse_plain;
use crate::connector::connection::Connection;
use crate::connector::table::{Endpoint, Param, SumRule};
use crate::connector::units;
use crate::model::value::Value;

/// Whether the items of a request come to what its table says.
pub(super) fn check(
    connection: &Connection,
    endpoint: &Endpoint,
    body: &JsonMap<String, Json>,
    amount: Option<&Amount>,
) -> Result<(), String> {
    let Some(rule) = &endpoint.sum else { return Ok(()) };
    let in_body = |name: &str| {
        let wire = endpoint.param(name)?.wire_name();
        let mut steps = wire.split('.');
        let first = body.get(steps.next()?)?;
        steps.try_fold(first, |value, step| value.get(step))
    };
    let (Some(Json::Array(items)), Some(total)) = (in_body(&rule.list), in_body(&rule.total)) else {
        return Ok(());
    };
    let shape = endpoint.param(&rule.list).and_then(|list| list.shape.as_deref());
    let fields = shape.and_then(|shape| connection.connector.shape(shape));
    let wire_of = |member: &str| {
        let mut fields = fields.into_iter().flat_map(|shape| &shape.fields);
        fields.find(|field| field.name == member).map(Param::wire_name)
    };
    let Some(of) = wire_of(&rule.of) else { return Ok(()) };
    if says_otherwise(rule, items, wire_of) || !holds(Guard::PartsSum) {
        return Ok(());
    }
    let unreadable = || format!("`{}` cannot be added up", rule.list);
    let total = number(total).ok_or_else(unreadable)?;
    let mut sum = Decimal::ZERO;
    for item in items {
        let part = item.get(of).and_then(number).ok_or_else(unreadable)?;
        sum = sum.checked_add(part).ok_or_else(unreadable)?;
    }
    let fits = if rule.at_most { sum <= total } else { sum == total };
    if fits {
        return Ok(());
    }
    let currency = amount.and_then(|amount| amount.money).map(|money| money.currency());
    let currency = currency.or(endpoint.money.currency);
    let told = |number: Decimal| {
        let money = currency
            .and_then(|currency| units::read(&endpoint.money, endpoint.unit(), &Value::Decimal(number), currency));
        money.map_or_else(|| number.normalize().to_string(), |money| money.to_string())
    };
    let rule_is = if rule.at_most { "at most that" } else { "exactly that" };
    Err(format!(
        "`{}` come to {} together, and `{}` is {}: they have to be {rule_is}",
        rule.list,
        told(sum),
        rule.total,
        told(total)
    ))
}

/// Whether an item says that what it counts is in no document.
fn says_otherwise<'a>(rule: &SumRule, items: &[Json], wire_of: impl Fn(&str) -> Option<&'a str>) -> bool {
    let Some(unless) = &rule.unless else { return false };
    let Some(wire) = wire_of(&unless.member) else {
        return false;
    };
    let words = items.iter().filter_map(|item| item.get(wire)?.as_str());
    words
        .into_iter()
        .any(|word| unless.is.iter().any(|known| known == word))
}

fn number(value: &Json) -> Option<Decimal> {
    match value {
        Json::String(text) => parse_plain(text).ok(),
        Json::Number(number) => parse_plain(&number.to_string()).ok(),
        _ => None,
    }
}
