//! The primitive that divides a total and pays each part: pure arithmetic says how much, one payout goes out for each.

use std::sync::Arc;

use super::args::{Args, invalid};
use super::moves::{Pay, Sent, send_among};
use super::{Body, Kind, Module, Primitive};
use crate::connector::connection::Connection;
use crate::engine::turn::Turn;
use crate::model::treasury::divide::{Base, Bearer, DivisionRule, Fee, divide};
use crate::model::treasury::split::{LeftOver, Part, Share};
use crate::model::value::Value;
use crate::script::Thrown;

/// The primitives of this file.
pub(super) const ALL: &[Primitive] = &[Primitive {
    module: Module::Connection,
    name: "split",
    kind: Kind::Step,
    params: &[
        ("#from?", "the account's id; not where the provider chooses the account"),
        ("total", "money"),
        (
            "parts",
            "list of maps: `name`, `to`, and one of `amount`, `percent` (with `minimum`, `maximum`), `rest: true`",
        ),
        ("reference", "what the beneficiaries read"),
        (
            "fee?",
            "money that the provider takes from the total; it is not paid out",
        ),
        (
            "borne_by?",
            "who bears the fee: the name of a part, \"shared\" (every part in proportion), or \"payer\" (on top of the total)",
        ),
        (
            "base?",
            "what percentages are of: \"gross\" (the total, if not given) or \"net\" (what is left after the fee)",
        ),
        (
            "left_over?",
            "who gets minor units left over where no part takes the rest: \"largest_remainder\" (if not given) or \"in_order\"",
        ),
        ("rail?", "a rail of the provider"),
    ],
    result: "map: `complete`, `parts`: list of `name`, `amount`, `fee` (what it bears), `status`, `payout`, `failure`; `cost`, `left_over`",
    doc: "Divides a total and pays each part; the parts and the fee always sum to the total. A part that fails stops no other.",
    example: "bank::split(#{ from: \"acc_1\", total: EUR(100), reference: \"S-1\", parts: [#{ name: \"all\", to: \"acc_2\", rest: true }] });",
    needs: &["payout"],
    body: Body::Connection(split_total),
}];

fn split_total(turn: &Turn, connection: &Arc<Connection>, args: &[Value]) -> Result<Value, Thrown> {
    let given = args.first().unwrap_or(&Value::Null);
    let known = [
        "from",
        "total",
        "parts",
        "reference",
        "fee",
        "borne_by",
        "base",
        "left_over",
        "rail",
    ];
    let args = Args::new("split", given, &known)?;
    let (from, total) = (args.text("from")?, args.required_money("total")?);
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
    let rule = division(&args, parts)?;
    let divided = divide(total, &rule).map_err(|error| invalid(error.to_string()))?;
    turn.compound(&format!("{}.split", connection.name), &given.typed_text(), || {
        let mut paid = Vec::new();
        let mut complete = true;
        for (part, to) in divided.parts.iter().zip(&destinations) {
            let sent = if part.amount.is_zero() {
                Sent::nothing()
            } else {
                let pay = Pay {
                    from,
                    to,
                    amount: part.amount,
                    reference: Some(reference),
                    rail,
                    metadata: None,
                };
                send_among(turn, connection, &pay)?
            };
            complete &= !sent.has_failed();
            paid.push(Value::map([
                ("name", Value::text(&part.name)),
                ("amount", Value::Money(part.amount)),
                ("fee", Value::Money(part.fee)),
                ("status", sent.status),
                ("payout", sent.payout),
                ("failure", sent.failure),
            ]));
        }
        let summary = format!(
            "{total} in {} parts{}",
            divided.parts.len(),
            if complete { "" } else { ", not all of them paid" }
        );
        let result = Value::map([
            ("complete", Value::Bool(complete)),
            ("parts", Value::List(paid)),
            ("cost", Value::Money(divided.cost)),
            ("left_over", Value::text(&divided.left_over)),
        ]);
        Ok((result, summary))
    })
}

fn division(args: &Args<'_>, parts: Vec<Part>) -> Result<DivisionRule, Thrown> {
    let base = match args.text("base")? {
        None | Some("gross") => Base::Gross,
        Some("net") => Base::Net,
        Some(other) => {
            return Err(invalid(format!(
                "`base` of `split` is \"gross\" or \"net\", not \"{other}\""
            )));
        }
    };
    let left_over = match args.text("left_over")? {
        None | Some("largest_remainder") => LeftOver::LargestRemainder,
        Some("in_order") => LeftOver::InOrder,
        Some(other) => {
            return Err(invalid(format!(
                "`left_over` of `split` is \"largest_remainder\" or \"in_order\", not \"{other}\""
            )));
        }
    };
    let bearer = match args.text("borne_by")? {
        None => None,
        Some(word @ ("payer" | "shared")) if parts.iter().any(|part| part.name == word) => {
            return Err(invalid(format!(
                "`borne_by: \"{word}\"` could be the part of that name: call the part something else"
            )));
        }
        Some("payer") => Some(Bearer::Payer),
        Some("shared") => Some(Bearer::Shared),
        Some(part) => Some(Bearer::Part(part.to_owned())),
    };
    let fee = match (args.money("fee")?, bearer) {
        (Some(amount), bearer) => Some(Fee { amount, bearer }),
        (None, None) => None,
        (None, Some(_)) => {
            return Err(invalid(
                "`borne_by` of `split` says who bears a fee: give `fee` as well",
            ));
        }
    };
    if base == Base::Net && fee.is_none() {
        return Err(invalid(
            "`base: \"net\"` of `split` is the total less a fee: give `fee` as well",
        ));
    }
    Ok(DivisionRule {
        parts,
        base,
        fee,
        left_over,
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
