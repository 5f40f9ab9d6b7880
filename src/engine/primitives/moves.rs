//! Primitives that move money: payouts, sweeps, splits, returns. Each reads what it needs, lets pure treasury
//! arithmetic decide, and moves by one endpoint. A result always carries its reason.

use std::sync::Arc;

use super::args::{Args, invalid};
use super::positions::{balance, in_words_of, mapping};
use super::{Body, Kind, Module, Primitive, calls};
use crate::base::money::Money;
use crate::connector::connection::Connection;
use crate::connector::request::as_argument;
use crate::connector::table::PrimitiveMap;
use crate::engine::turn::{Turn, fail};
use crate::model::treasury::split::{Part, Share, split};
use crate::model::treasury::sweep::{SweepForm, SweepRule, sweep};
use crate::model::value::{Map, Value};
use crate::script::Thrown;

const TO: &str = "an account id of ours, or an address such as #{ type: \"iban\", iban: …, account_holder_name: … }";

/// The primitives of this file.
pub(super) const ALL: &[Primitive] = &[
    Primitive {
        module: Module::Connection,
        name: "payout",
        kind: Kind::Step,
        params: &[
            ("#from", "the account's id"),
            ("to", TO),
            ("amount", "money"),
            ("reference", "what the beneficiary reads"),
            ("rail?", "a rail of the provider, such as \"sepa_instant\""),
            ("metadata?", "a map of texts kept with the payout"),
        ],
        result: "the payout as the provider tells it, with `resource`",
        doc: "Pays once.",
        example: "bank::payout(#{ from: \"acc_1\", to: \"acc_2\", amount: EUR(10), reference: \"INV-1\" });",
        needs: &["payout"],
        body: Body::Connection(payout),
    },
    Primitive {
        module: Module::Connection,
        name: "sweep",
        kind: Kind::Step,
        params: &[
            ("#from", "the account's id"),
            ("to", TO),
            ("reference", "what the beneficiary reads"),
            ("keep?", "leave this much behind"),
            ("target?", "bring the account down to this"),
            (
                "threshold?",
                "below it nothing moves; at or above it everything, or all but `keep`",
            ),
            ("minimum?", "not worth moving less"),
            ("maximum?", "never move more at once"),
            ("multiple?", "move only whole multiples of this"),
            ("rail?", "a rail of the provider"),
            ("metadata?", "a map of texts kept with the payout"),
        ],
        result: "map: `moved` (money), `reason`, `left` (money), `payout` (or ())",
        doc: "Moves what is above a rule to another account; without a rule, everything (zero balancing).",
        example: "let swept = bank::sweep(#{ from: \"acc_1\", to: \"acc_2\", keep: EUR(1_000), reference: \"SWEEP\" });",
        needs: &["balance", "payout"],
        body: Body::Connection(sweep_account),
    },
    Primitive {
        module: Module::Connection,
        name: "split",
        kind: Kind::Step,
        params: &[
            ("#from", "the account's id"),
            ("total", "money"),
            (
                "parts",
                "list of maps: `name`, `to`, and one of `amount`, `percent` (with `minimum`, `maximum`), `rest: true`",
            ),
            ("reference", "what the beneficiaries read"),
            ("rail?", "a rail of the provider"),
        ],
        result: "map: `complete`, `parts`: list of `name`, `amount`, `status`, `payout`, `failure`",
        doc: "Divides a total and pays each part; the parts always sum to the total. A part that fails stops no other.",
        example: "bank::split(#{ from: \"acc_1\", total: EUR(100), reference: \"S-1\", parts: [#{ name: \"all\", to: \"acc_2\", rest: true }] });",
        needs: &["payout"],
        body: Body::Connection(split_total),
    },
    Primitive {
        module: Module::Connection,
        name: "return_deposit",
        kind: Kind::Step,
        params: &[
            ("deposit", "the deposit's id"),
            ("options?", "map: `reason` (for the history), `rail`"),
        ],
        result: "the return as the provider tells it, with `existed`",
        doc: "Sends a deposit back to where it came from, whole and once: an existing return is found first.",
        example: "let back = bank::return_deposit(\"dep_1\", #{ reason: \"unmatched reference\" });",
        needs: &["return_deposit"],
        body: Body::Connection(return_deposit),
    },
];

/// The request of a payout, in the words of the provider.
struct Pay<'a> {
    from: &'a str,
    to: &'a Value,
    amount: Money,
    reference: &'a str,
    rail: Option<&'a str>,
    metadata: Option<&'a Map>,
}

fn payout(turn: &Turn, connection: &Arc<Connection>, args: &[Value]) -> Result<Value, Thrown> {
    let given = args.first().unwrap_or(&Value::Null);
    let args = Args::new(
        "payout",
        given,
        &["from", "to", "amount", "reference", "rail", "metadata"],
    )?;
    let pay = Pay {
        from: args.required_text("from")?,
        to: args.required("to")?,
        amount: args.required_money("amount")?,
        reference: args.required_text("reference")?,
        rail: args.text("rail")?,
        metadata: args.map("metadata")?,
    };
    turn.group(&format!("{}.payout", connection.name), &given.typed_text(), || {
        send(turn, connection, &pay)
    })
}

/// Sends one payout: the destination is resolved first if it is an account of ours.
fn send(turn: &Turn, connection: &Arc<Connection>, pay: &Pay<'_>) -> Result<Value, Thrown> {
    let map = mapping(connection, "payout")?;
    let endpoint = calls::find(connection, &map.endpoint)?;
    let destination = destination(turn, connection, map, pay.to)?;
    let said = [
        ("from", Some(Value::text(pay.from))),
        ("to", Some(destination)),
        ("amount", Some(Value::Money(pay.amount))),
        ("reference", Some(Value::text(pay.reference))),
        ("rail", pay.rail.map(Value::text)),
        ("metadata", pay.metadata.cloned().map(Value::Map)),
    ];
    let request = in_words_of(connection, map, "payout", said)?;
    turn.call(connection, endpoint, &request)
        .map(|payout| with_resource(map, payout))
}

fn destination(turn: &Turn, connection: &Arc<Connection>, map: &PrimitiveMap, to: &Value) -> Result<Value, Thrown> {
    match to {
        Value::Map(_) => Ok(to.clone()),
        Value::Text(account) => {
            let Some(own) = &map.own_account else {
                return Err(invalid(format!(
                    "connection `{}` cannot pay to an account by its id",
                    connection.name
                )));
            };
            let endpoint = calls::find(connection, &own.endpoint)?;
            let found = turn.call(connection, endpoint, &[(own.id.clone(), Value::text(account))].into())?;
            let address = found.pointer(&own.address);
            let param = map.args.get("to").map_or("to", String::as_str);
            // What the provider shows may have more members than it takes.
            let payout = calls::find(connection, &map.endpoint)?;
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

/// Marks a resource with its kind, so that `settled` knows what it is.
pub(super) fn with_resource(map: &PrimitiveMap, resource: Value) -> Value {
    match (resource, &map.resource) {
        (Value::Map(mut entries), Some(kind)) => {
            entries.insert("resource".to_owned(), Value::text(kind));
            Value::Map(entries)
        }
        (other, _) => other,
    }
}

fn sweep_account(turn: &Turn, connection: &Arc<Connection>, args: &[Value]) -> Result<Value, Thrown> {
    let given = args.first().unwrap_or(&Value::Null);
    let known = [
        "from",
        "to",
        "reference",
        "keep",
        "target",
        "threshold",
        "minimum",
        "maximum",
        "multiple",
        "rail",
        "metadata",
    ];
    let args = Args::new("sweep", given, &known)?;
    let rule = SweepRule {
        form: sweep_form(&args)?,
        minimum: args.money("minimum")?,
        maximum: args.money("maximum")?,
        multiple: args.money("multiple")?,
    };
    let (from, to) = (args.required_text("from")?, args.required("to")?);
    if to.as_text() == Some(from) {
        return Err(invalid("`from` and `to` of `sweep` are the same account"));
    }
    let reference = args.required_text("reference")?;
    let (rail, metadata) = (args.text("rail")?, args.map("metadata")?);
    turn.compound(&format!("{}.sweep", connection.name), &given.typed_text(), || {
        let available = balance(turn, connection, from)?;
        let decision = sweep(available, &rule).map_err(|error| invalid(error.to_string()))?;
        let paid = if decision.moved.is_zero() {
            Value::Null
        } else {
            send(
                turn,
                connection,
                &Pay {
                    from,
                    to,
                    amount: decision.moved,
                    reference,
                    rail,
                    metadata,
                },
            )?
        };
        let summary = format!("{} moved: {}", decision.moved, decision.reason);
        let result = Value::map([
            ("moved", Value::Money(decision.moved)),
            ("reason", Value::text(decision.reason)),
            ("left", Value::Money(decision.left)),
            ("payout", paid),
        ]);
        Ok((result, summary))
    })
}

fn sweep_form(args: &Args<'_>) -> Result<SweepForm, Thrown> {
    match (args.money("keep")?, args.money("target")?, args.money("threshold")?) {
        (None, None, None) => Ok(SweepForm::Zero),
        (Some(keep), None, None) => Ok(SweepForm::KeepBuffer(keep)),
        (None, Some(target), None) => Ok(SweepForm::Target(target)),
        (None, None, Some(threshold)) => Ok(SweepForm::Threshold(threshold)),
        (Some(keep), None, Some(threshold)) => Ok(SweepForm::Collar { threshold, keep }),
        _ => Err(invalid(
            "`sweep` takes `target` alone; `keep` and `threshold` may stand together",
        )),
    }
}

fn split_total(turn: &Turn, connection: &Arc<Connection>, args: &[Value]) -> Result<Value, Thrown> {
    let given = args.first().unwrap_or(&Value::Null);
    let args = Args::new("split", given, &["from", "total", "parts", "reference", "rail"])?;
    let (from, total) = (args.required_text("from")?, args.required_money("total")?);
    let (reference, rail) = (args.required_text("reference")?, args.text("rail")?);
    let mut parts = Vec::new();
    let mut destinations = Vec::new();
    for part in args.list("parts")? {
        let part = Args::new(
            "parts",
            part,
            &["name", "to", "amount", "percent", "rest", "minimum", "maximum"],
        )?;
        destinations.push(part.required("to")?);
        parts.push(split_part(&part)?);
    }
    let amounts = split(total, &parts).map_err(|error| invalid(error.to_string()))?;
    turn.compound(&format!("{}.split", connection.name), &given.typed_text(), || {
        let mut paid = Vec::new();
        let mut complete = true;
        for ((part, amount), to) in parts.iter().zip(&amounts).zip(&destinations) {
            let mut entry: Map = [
                ("name".to_owned(), Value::text(&part.name)),
                ("amount".to_owned(), Value::Money(*amount)),
                ("payout".to_owned(), Value::Null),
                ("failure".to_owned(), Value::Null),
            ]
            .into();
            let status = if amount.is_zero() {
                Value::text("nothing")
            } else {
                match send(
                    turn,
                    connection,
                    &Pay {
                        from,
                        to,
                        amount: *amount,
                        reference,
                        rail,
                        metadata: None,
                    },
                ) {
                    Ok(payout) => {
                        let status = payout.get("status").cloned().unwrap_or_default();
                        entry.insert("payout".to_owned(), payout);
                        status
                    }
                    Err(Thrown::Interrupt) => return Err(Thrown::Interrupt),
                    Err(Thrown::Failure(failure)) => {
                        complete = false;
                        let told = [
                            ("error", Value::text(failure.code)),
                            ("message", Value::text(failure.message)),
                        ];
                        entry.insert("failure".to_owned(), Value::map(told));
                        Value::text("failed")
                    }
                }
            };
            entry.insert("status".to_owned(), status);
            paid.push(Value::Map(entry));
        }
        let summary = format!(
            "{total} in {} parts{}",
            parts.len(),
            if complete { "" } else { ", not all of them paid" }
        );
        Ok((
            Value::map([("complete", Value::Bool(complete)), ("parts", Value::List(paid))]),
            summary,
        ))
    })
}

fn split_part(part: &Args<'_>) -> Result<Part, Thrown> {
    let name = part.required_text("name")?;
    let share = match (part.money("amount")?, part.decimal("percent")?, part.truth("rest")?) {
        (Some(amount), None, false) => Share::Amount(amount),
        (None, Some(percent), false) => Share::Percent(percent),
        (None, None, true) => Share::Rest,
        _ => {
            return Err(invalid(format!(
                "part `{name}` needs exactly one of `amount`, `percent` and `rest: true`"
            )));
        }
    };
    let (minimum, maximum) = (part.money("minimum")?, part.money("maximum")?);
    Ok(Part {
        name: name.to_owned(),
        share,
        minimum,
        maximum,
    })
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
        if let Some(existing) = &map.existing {
            let list = calls::find(connection, &existing.endpoint)?;
            let query = existing
                .args
                .get("deposit")
                .cloned()
                .unwrap_or_else(|| "deposit_id".to_owned());
            let returns = calls::list(turn, connection, list, [(query, Value::text(deposit))].into())?;
            // A return that failed left the money with us: it may be tried again.
            let live = returns
                .into_iter()
                .find(|known| known.get("status").and_then(Value::as_text) != Some("failed"));
            if let Some(known) = live {
                return Ok((
                    existed(with_resource(map, known), true),
                    format!("deposit {deposit}: a return exists already"),
                ));
            }
        }
        let endpoint = calls::find(connection, &map.endpoint)?;
        let mut request: Map = [(param("deposit"), Value::text(deposit))].into();
        if let Some(rail) = rail {
            request.insert(param("rail"), Value::text(rail));
        }
        let made = turn.call(connection, endpoint, &request)?;
        let why = reason.map_or_else(String::new, |reason| format!(": {reason}"));
        Ok((
            existed(with_resource(map, made), false),
            format!("deposit {deposit} returned{why}"),
        ))
    })
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
