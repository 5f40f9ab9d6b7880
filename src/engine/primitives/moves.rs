//! Primitives that move money: payouts and returns. Each moves by one endpoint; what sweeps and splits pay goes out
//! through here as well. It must not decide how much.

use std::sync::Arc;

use super::args::{Args, invalid};
use super::destinations::Destinations;
use super::positions::{in_words_of, mapping};
use super::send_back::{Found, awaited, before_return};
use super::{Body, Kind, Module, Primitive, calls};
use crate::base::money::Money;
use crate::connector::connection::Connection;
use crate::connector::request::as_argument;
use crate::connector::table::{Always, Effect, Existing, PrimitiveMap};
use crate::engine::alone::{Again, Still};
use crate::engine::turn::{Turn, fail};
use crate::model::value::{Map, Value};
use crate::script::Thrown;

pub(super) const TO: &str =
    "an account id of ours, or an address such as #{ type: \"iban\", iban: …, account_holder_name: … }";

/// The primitives of this file.
pub(super) const ALL: &[Primitive] = &[
    Primitive {
        module: Module::Connection,
        name: "payout",
        kind: Kind::Step,
        params: &[
            ("#from?", "the account's id; not where the provider chooses the account"),
            ("to", TO),
            ("amount", "money"),
            ("reference?", "what the beneficiary reads; most providers want one"),
            ("rail?", "a rail of the provider, such as \"sepa_instant\""),
            ("metadata?", "a map of texts kept with the payout"),
        ],
        result: "the payout as the provider tells it, with `resource`: its kind, or () where no call shows it afterwards",
        doc: "Pays once.",
        example: "bank::payout(#{ from: \"acc_1\", to: \"acc_2\", amount: EUR(10), reference: \"INV-1\" });",
        needs: &["payout"],
        body: Body::Connection(payout),
    },
    Primitive {
        module: Module::Connection,
        name: "transfer",
        kind: Kind::Step,
        params: &[
            ("#from", "the id of an account of ours"),
            ("to", "the id of another account of ours at the same connection"),
            ("amount", "money"),
            ("reference?", "what stands on both accounts"),
            ("rail?", "a rail of the provider"),
            ("metadata?", "a map of texts kept with the transfer"),
        ],
        result: "the transfer as the provider tells it, with `resource`: its kind, or () where no call shows it afterwards",
        doc: "Moves money between two accounts of ours, once.",
        example: "bank::transfer(#{ from: \"acc_1\", to: \"acc_2\", amount: EUR(10), reference: \"FUND\" });",
        needs: &["transfer"],
        body: Body::Connection(transfer),
    },
    Primitive {
        module: Module::Connection,
        name: "return_deposit",
        kind: Kind::Wait,
        params: &[
            ("deposit", "the deposit's id"),
            ("options?", "map"),
            ("options.reason?", "why, for the history"),
            ("options.rail?", "a rail of the provider"),
        ],
        result: "the return as the provider tells it, with `existed`",
        doc: "Sends a deposit back to where it came from, whole and once: an existing return is found first, and what \
              `send_back` paid back is not returned as well.",
        example: "let back = bank::return_deposit(\"dep_1\", #{ reason: \"unmatched reference\" });",
        needs: &["return_deposit"],
        body: Body::Connection(return_deposit),
    },
];

/// The request of a payout, in the words of the provider.
pub(super) struct Pay<'a> {
    /// Nothing where the provider chooses.
    pub(super) from: Option<&'a str>,
    pub(super) to: &'a Value,
    pub(super) amount: Money,
    pub(super) reference: Option<&'a str>,
    pub(super) rail: Option<&'a str>,
    pub(super) metadata: Option<&'a Map>,
}

fn payout(turn: &Turn, connection: &Arc<Connection>, args: &[Value]) -> Result<Value, Thrown> {
    let given = args.first().unwrap_or(&Value::Null);
    let args = Args::new(
        "payout",
        given,
        &["from", "to", "amount", "reference", "rail", "metadata"],
    )?;
    let pay = Pay {
        from: args.text("from")?,
        to: args.required("to")?,
        amount: args.required_money("amount")?,
        reference: args.text("reference")?,
        rail: args.text("rail")?,
        metadata: args.map("metadata")?,
    };
    turn.group(&format!("{}.payout", connection.name), &given.typed_text(), || {
        send(turn, connection, "payout", &pay, None)
    })
}

fn transfer(turn: &Turn, connection: &Arc<Connection>, args: &[Value]) -> Result<Value, Thrown> {
    let given = args.first().unwrap_or(&Value::Null);
    let args = Args::new(
        "transfer",
        given,
        &["from", "to", "amount", "reference", "rail", "metadata"],
    )?;
    args.required_text("to")?;
    let pay = Pay {
        from: Some(args.required_text("from")?),
        to: args.required("to")?,
        amount: args.required_money("amount")?,
        reference: args.text("reference")?,
        rail: args.text("rail")?,
        metadata: args.map("metadata")?,
    };
    turn.group(&format!("{}.transfer", connection.name), &given.typed_text(), || {
        send(turn, connection, "transfer", &pay, None)
    })
}

/// Sends one payment as sweeps and splits do: to an account of ours by the mapping that is for it, if there is one.
pub(super) fn send_own(turn: &Turn, connection: &Arc<Connection>, pay: &Pay<'_>) -> Result<Value, Thrown> {
    let by = match pay.to {
        Value::Text(_) if connection.connector.primitive("transfer").is_some() => "transfer",
        _ => "payout",
    };
    send(turn, connection, by, pay, None)
}

/// Sends one payment by this mapping: the destination is resolved first if the endpoint takes addresses and it is an
/// account of ours. `still`: what has to hold still when it goes out.
pub(super) fn send(
    turn: &Turn,
    connection: &Arc<Connection>,
    by: &str,
    pay: &Pay<'_>,
    still: Option<Still<'_>>,
) -> Result<Value, Thrown> {
    let map = mapping(connection, by)?;
    let endpoint = calls::find(connection, &map.endpoint)?;
    if map.args.contains_key("from") && pay.from.is_none() {
        return Err(invalid(format!("`{by}` needs `from`")));
    }
    let destination = destination(turn, connection, map, pay)?;
    let said = [
        ("from", pay.from.map(Value::text)),
        ("to", Some(destination)),
        ("amount", Some(Value::Money(pay.amount))),
        ("reference", pay.reference.map(Value::text)),
        ("rail", pay.rail.map(Value::text)),
        ("metadata", pay.metadata.cloned().map(Value::Map)),
    ];
    let mut request = in_words_of(connection, map, by, said)?;
    say_now(turn, map, &mut request)?;
    turn.call_while(connection, endpoint, &request, still)
        .map(|payout| with_resource(connection, map, payout))
}

/// Says the time of the step where the table wants it. Journaled: the same step says the same time whenever it is taken
/// up again.
pub(super) fn say_now(turn: &Turn, map: &PrimitiveMap, request: &mut Map) -> Result<(), Thrown> {
    for (param, _) in map.set.iter().filter(|(_, written)| Always::of(written) == Always::Now) {
        let now = turn.local("now", &Value::Null.typed_text(), || {
            let now = Value::Time(turn.now());
            Ok((now.clone(), now.to_string()))
        })?;
        request.insert(param.clone(), now);
    }
    Ok(())
}

/// One payout among several: what fails is told, and stops no other.
pub(super) struct Sent {
    /// The provider's word, `failed` if it was not made.
    pub(super) status: Value,
    /// The payout, or nothing.
    pub(super) payout: Value,
    /// Why it was not made, or nothing.
    pub(super) failure: Value,
}

impl Sent {
    /// Nothing was to be paid.
    pub(super) fn nothing() -> Self {
        Self {
            status: Value::text("nothing"),
            payout: Value::Null,
            failure: Value::Null,
        }
    }

    /// Whether it failed.
    pub(super) fn has_failed(&self) -> bool {
        !self.failure.is_null()
    }
}

/// Sends one payout among several.
pub(super) fn send_among(turn: &Turn, connection: &Arc<Connection>, pay: &Pay<'_>) -> Result<Sent, Thrown> {
    match send_own(turn, connection, pay) {
        Ok(payout) => Ok(Sent {
            status: payout.get("status").cloned().unwrap_or_default(),
            payout,
            failure: Value::Null,
        }),
        Err(Thrown::Interrupt) => Err(Thrown::Interrupt),
        Err(Thrown::Failure(failure)) => Ok(Sent {
            status: Value::text("failed"),
            payout: Value::Null,
            failure: Value::map([
                ("error", Value::text(failure.code)),
                ("message", Value::text(failure.message)),
            ]),
        }),
    }
}

fn destination(turn: &Turn, connection: &Arc<Connection>, map: &PrimitiveMap, pay: &Pay<'_>) -> Result<Value, Thrown> {
    let to = pay.to;
    match to {
        Value::Map(_) => Ok(to.clone()),
        Value::Text(account) => {
            let param = map.args.get("to").map_or("to", String::as_str);
            let payout = calls::find(connection, &map.endpoint)?;
            let Some(own) = &map.own_account else {
                return match Destinations::of(&connection.connector, map).account {
                    // The provider's own name of an account.
                    true => Ok(to.clone()),
                    false => Err(invalid(format!(
                        "connection `{}` cannot pay to an account by its id",
                        connection.name
                    ))),
                };
            };
            let endpoint = calls::find(connection, &own.endpoint)?;
            let found = turn.call(connection, endpoint, &[(own.id.clone(), Value::text(account))].into())?;
            let held = own.currency.as_ref().and_then(|at| found.pointer(at)?.as_text());
            if let Some(held) = held.filter(|held| *held != pay.amount.currency().code()) {
                return Err(invalid(format!(
                    "account {account} holds {held}: {} cannot be paid to it, `convert` first",
                    pay.amount
                )));
            }
            let address = found.pointer(&own.address);
            // What the provider shows may have more members than it takes.
            let address = address.map(|shown| as_argument(connection, payout, param, shown));
            address.ok_or_else(|| {
                fail(
                    "no_address",
                    format!("account {account} has no address that could be paid to"),
                )
            })
        }
        other => Err(invalid(format!("`to` has to be {TO}, not {}", other.kind()))),
    }
}

/// Marks a resource with its kind, so that `settled` knows what it is: with nothing where the table has no kind of it.
pub(super) fn with_resource(connection: &Connection, map: &PrimitiveMap, resource: Value) -> Value {
    match resource {
        Value::Map(entries) => Value::Map(with_kind(connection, map, entries)),
        other => other,
    }
}

/// The same of its entries. Where the provider calls its id otherwise, it stands under `id` as well.
pub(super) fn with_kind(connection: &Connection, map: &PrimitiveMap, entries: Map) -> Map {
    let Some(kind) = &map.resource else {
        let mut entries = entries;
        entries.insert("resource".to_owned(), Value::Null);
        return entries;
    };
    let described = connection.connector.resource(kind);
    let shown = Value::Map(entries);
    let id = described.and_then(|resource| shown.pointer(&resource.id).cloned());
    let Value::Map(mut entries) = shown else {
        return Map::new();
    };
    if let Some(id) = id {
        entries.entry("id".to_owned()).or_insert(id);
    }
    entries.insert("resource".to_owned(), Value::text(kind));
    entries
}

/// Whether this was made by what the table has no kind of thing for: no call shows it, so it is taken to be done.
pub(super) fn is_final(connection: &Connection, made: &Value) -> bool {
    let connector = &connection.connector;
    let has_no_kind = |map: &PrimitiveMap| {
        let endpoint = connector.endpoint(&map.endpoint);
        map.resource.is_none() && endpoint.is_some_and(|endpoint| endpoint.effect == Effect::MovesMoney)
    };
    let marked = made.as_map().and_then(|made| made.get("resource"));
    marked.is_some_and(Value::is_null) && connector.primitives().any(|(_, map)| has_no_kind(map))
}

fn return_deposit(turn: &Turn, connection: &Arc<Connection>, args: &[Value]) -> Result<Value, Thrown> {
    let deposit = super::data::text(args, 0, "return_deposit", "a deposit id")?;
    let none = Value::Map(Map::new());
    let options = args.get(1).filter(|options| !options.is_null()).unwrap_or(&none);
    let options = Args::new("return_deposit", options, &["reason", "rail"])?;
    let (reason, rail) = (options.text("reason")?, options.text("rail")?);
    let map = mapping(connection, "return_deposit")?;
    let param = |generic: &str| map.args.get(generic).cloned().unwrap_or_else(|| generic.to_owned());
    let input = Value::List(args.to_vec()).typed_text();
    turn.compound(&format!("{}.return_deposit", connection.name), &input, || {
        let there = || match &map.existing {
            None => Ok(None),
            Some(existing) => live(turn, connection, existing, deposit),
        };
        let already = |known| {
            let summary = format!("deposit {deposit}: a return exists already");
            (existed(with_resource(connection, map, known), true), summary)
        };
        if let Some(known) = there()? {
            return Ok(already(known));
        }
        // Whoever had the deposit meanwhile may have returned it.
        let here = match before_return(turn, connection, deposit)? {
            Found::Here(here) => here,
            Found::GoesBack(word, apart) => {
                let missing = || {
                    let message =
                        format!("nothing was returned: deposit {deposit} is `{word}`, and no return of it is shown");
                    fail("not_possible", message)
                };
                return awaited(turn, &apart, there)?.map(already).ok_or_else(missing);
            }
        };
        let endpoint = calls::find(connection, &map.endpoint)?;
        let mut request: Map = [(param("deposit"), Value::text(deposit))].into();
        if let Some(rail) = rail {
            request.insert(param("rail"), Value::text(rail));
        }
        let still = |again: &Again<'_>| here.as_ref().map_or(Ok(None), |here| here.still(again));
        let resumed = here.as_ref().is_some_and(|here| here.is_old);
        let made = turn.call_while(connection, endpoint, &request, resumed.then_some(&still))?;
        if let Some(here) = &here {
            here.returned(turn)?;
        }
        let why = reason.map_or_else(String::new, |reason| format!(": {reason}"));
        Ok((
            existed(with_resource(connection, map, made), false),
            format!("deposit {deposit} returned{why}"),
        ))
    })
}

/// The return of a deposit that is there already. One that failed left the money with us: it may be tried again.
fn live(
    turn: &Turn,
    connection: &Arc<Connection>,
    existing: &Existing,
    deposit: &str,
) -> Result<Option<Value>, Thrown> {
    let endpoint = calls::find(connection, &existing.endpoint)?;
    let param = existing.args.get("deposit").map_or("deposit_id", String::as_str);
    let args = Map::from([(param.to_owned(), Value::text(deposit))]);
    let returns = match &existing.items {
        None => calls::list(turn, connection, endpoint, args)?,
        Some(items) => {
            let shown = turn.call(connection, endpoint, &args)?;
            let list = shown.pointer(items).and_then(Value::as_list);
            let unreadable = || {
                fail(
                    "unreadable_answer",
                    format!("`{}` does not show the returns of deposit {deposit}", endpoint.name),
                )
            };
            list.ok_or_else(unreadable)?.to_vec()
        }
    };
    let is_dead = |known: &Value| {
        let status = known.pointer(&existing.status).and_then(Value::as_text);
        status.is_some_and(|status| existing.dead.iter().any(|dead| dead == status))
    };
    Ok(returns.into_iter().find(|known| !is_dead(known)))
}

fn existed(resource: Value, existed: bool) -> Value {
    match resource {
        Value::Map(mut entries) => {
            entries.insert("existed".to_owned(), Value::Bool(existed));
            Value::Map(entries)
        }
        other => other,
    }
}
