//! A split by one call, where the provider divides by itself: it is made whole, or not at all.
//!
//! It must not decide how much a part gets; it sees that each goes to somebody who is there, as a provider may book what
//! has no right name to whoever is liable.

use std::sync::Arc;

use super::args::invalid;
use super::calls;
use super::moves::{say_now, with_resource};
use super::positions::in_words_of;
use crate::base::guard::{Guard, holds};
use crate::base::money::Money;
use crate::connector::connection::Connection;
use crate::connector::table::{PartsMap, PrimitiveMap};
use crate::engine::turn::{Turn, fail};
use crate::model::treasury::divide::Divided;
use crate::model::value::{Map, Value};
use crate::script::Thrown;

/// What stands between the number of a whole and the name of its part.
const NUMBER_JOINT: char = '/';

/// The part that is made of the fee.
const FEE: &str = "fee";

/// What a script said of a split beside its parts.
pub(super) struct Said<'a> {
    pub(super) total: Money,
    pub(super) fee: Money,
    pub(super) fee_to: Option<&'a str>,
    pub(super) payment: Option<&'a str>,
    pub(super) processor: Option<&'a str>,
    pub(super) reference: Option<&'a str>,
    pub(super) rail: Option<&'a str>,
}

/// Who gets a part, and what it is booked as.
#[derive(Clone, Copy)]
pub(super) struct Target<'a> {
    pub(super) to: &'a Value,
    pub(super) label: Option<&'a str>,
}

/// One part as it is written.
pub(super) struct Item<'a> {
    pub(super) to: Value,
    pub(super) amount: Money,
    /// What it is called, and what the whole is called.
    pub(super) name: &'a str,
    pub(super) whole: &'a str,
    pub(super) label: Option<Value>,
    /// The part of a split that it gives back.
    pub(super) of: Option<&'a str>,
}

impl Item<'_> {
    /// As the table has it. What the provider has no word for is refused.
    pub(super) fn written(self, connection: &Connection, parts: &PartsMap) -> Result<Value, Thrown> {
        let mut item: Map = parts
            .set
            .iter()
            .map(|(member, text)| (member.clone(), Value::text(text)))
            .collect();
        let own = |generic: &str| parts.args.get(generic).cloned();
        match (self.to, own("to")) {
            (Value::Map(members), _) => item.extend(members),
            (to, Some(member)) => {
                item.insert(member, to);
            }
            (_, None) => {}
        }
        let told = [
            ("amount", Some(Value::Money(self.amount))),
            (
                "number",
                Some(Value::text(format!("{}{NUMBER_JOINT}{}", self.whole, self.name))),
            ),
            ("name", Some(Value::text(self.name))),
            ("of", self.of.map(Value::text)),
        ];
        for (generic, value) in told {
            if let (Some(member), Some(value)) = (own(generic), value) {
                item.insert(member, value);
            }
        }
        if let Some(label) = self.label {
            let member = own("label").ok_or_else(|| {
                invalid(format!(
                    "part `{}` cannot have a `label` on connection `{}`: {} has nothing like it",
                    self.name, connection.name, connection.connector.title
                ))
            })?;
            item.insert(member, label);
        }
        Ok(Value::Map(item))
    }
}

/// Divides by one call.
pub(super) fn split(
    turn: &Turn,
    connection: &Arc<Connection>,
    (map, parts): (&PrimitiveMap, &PartsMap),
    said: &Said<'_>,
    (divided, targets): (&Divided, &[Target<'_>]),
) -> Result<(Value, String), Thrown> {
    let endpoint = calls::find(connection, &map.endpoint)?;
    let remainder = parts.remainder.as_ref().and_then(|name| connection.setting(name));
    let whole = said.reference.unwrap_or_default();
    let mut items = Vec::new();
    for (part, target) in divided.parts.iter().zip(targets) {
        if part.name.contains(NUMBER_JOINT) {
            return Err(invalid(format!(
                "part `{}` is called with a `{NUMBER_JOINT}`, behind which its number ends: call it something else",
                part.name
            )));
        }
        if part.amount.is_zero() || target.to.as_text().is_some_and(|to| Some(to) == remainder) {
            continue;
        }
        let item = Item {
            to: there(turn, connection, map, &part.name, target.to)?,
            amount: part.amount,
            name: &part.name,
            whole,
            label: target.label.map(Value::text),
            of: None,
        };
        items.push(item.written(connection, parts)?);
    }
    if let Some(fee) = fee(turn, connection, (map, parts), said, divided)? {
        items.push(fee.written(connection, parts)?);
    }
    let told = [
        ("payment", said.payment.map(Value::text)),
        ("processor", said.processor.map(Value::text)),
        ("total", Some(Value::Money(divided.cost))),
        ("reference", said.reference.map(Value::text)),
        ("rail", said.rail.map(Value::text)),
    ];
    let mut request = in_words_of(connection, map, "split", told)?;
    request.insert(parts.list.clone(), Value::List(items));
    say_now(turn, map, &mut request)?;
    let made = turn.call(connection, endpoint, &request)?;
    let status = made.get("status").cloned().filter(|status| !status.is_null());
    let status = status.unwrap_or_else(|| Value::text("made"));
    let shown = divided.parts.iter().map(|part| {
        let is_made = !part.amount.is_zero();
        Value::map([
            ("name", Value::text(&part.name)),
            ("amount", Value::Money(part.amount)),
            ("fee", Value::Money(part.fee)),
            (
                "status",
                if is_made {
                    status.clone()
                } else {
                    Value::text("nothing")
                },
            ),
            ("payout", Value::Null),
            ("failure", Value::Null),
        ])
    });
    let result = Value::map([
        ("complete", Value::Bool(true)),
        ("parts", Value::List(shown.collect())),
        ("cost", Value::Money(divided.cost)),
        ("left_over", Value::text(&divided.left_over)),
        ("split", with_resource(connection, map, made)),
    ]);
    Ok((
        result,
        format!("{} in {} parts, by one call", said.total, divided.parts.len()),
    ))
}

/// The fee as a part: all of the total is divided, so it has to go to the account that it is charged to. Where somebody
/// has what no item says, it is theirs.
fn fee<'a>(
    turn: &Turn,
    connection: &Arc<Connection>,
    (map, parts): (&PrimitiveMap, &PartsMap),
    said: &Said<'a>,
    divided: &Divided,
) -> Result<Option<Item<'a>>, Thrown> {
    match said.fee_to {
        Some(_) if !map.takes("fee_to") => Err(invalid(format!(
            "`split` of connection `{}` cannot be told `fee_to`: what no part gets stays where it is",
            connection.name
        ))),
        Some(_) if said.fee.is_zero() => Err(invalid("`fee_to` of `split` says who gets a fee: give `fee` as well")),
        _ if said.fee.is_zero() || parts.remainder.is_some() => Ok(None),
        None => Err(invalid(format!(
            "`split` needs `fee_to` on connection `{}`, which divides all of the total: the account that the fee is charged to",
            connection.name
        ))),
        Some(_) if divided.parts.iter().any(|part| part.name == FEE) => Err(invalid(format!(
            "the fee becomes a part called `{FEE}`: call the part of that name something else"
        ))),
        Some(to) => Ok(Some(Item {
            to: there(turn, connection, map, FEE, &Value::text(to))?,
            amount: said.fee,
            name: FEE,
            whole: said.reference.unwrap_or_default(),
            label: None,
            of: None,
        })),
    }
}

/// Who gets a part, as the provider calls it: read first where the table says how, since a name that is nobody's is no
/// error there.
fn there(
    turn: &Turn,
    connection: &Arc<Connection>,
    map: &PrimitiveMap,
    part: &str,
    to: &Value,
) -> Result<Value, Thrown> {
    let Some(own) = map.own_account.as_ref().filter(|_| holds(Guard::SplitAccount)) else {
        return match to {
            Value::Text(_) | Value::Map(_) => Ok(to.clone()),
            other => Err(invalid(format!(
                "`to` of part `{part}` is {}, and has to be text or a map",
                other.kind()
            ))),
        };
    };
    let Some(account) = to.as_text() else {
        return Err(invalid(format!(
            "`to` of part `{part}` has to be the id of an account at {}, not {}",
            connection.connector.title,
            to.kind()
        )));
    };
    let endpoint = calls::find(connection, &own.endpoint)?;
    let not_there = |why: &str| {
        fail(
            "no_account",
            format!("nothing was split: account {account} of part `{part}` is not there{why}"),
        )
    };
    let asked = [(own.id.clone(), Value::text(account))].into();
    let shown = match turn.call(connection, endpoint, &asked) {
        Ok(shown) => shown,
        Err(Thrown::Failure(failure)) => return Err(not_there(&format!(": {}", failure.message))),
        Err(Thrown::Interrupt) => return Err(Thrown::Interrupt),
    };
    match shown.pointer(&own.address).and_then(Value::as_text) {
        Some(known) if known.eq_ignore_ascii_case(account) => Ok(Value::text(known)),
        _ => Err(not_there("")),
    }
}
