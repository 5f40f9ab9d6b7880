//! The primitive that divides a total: pure arithmetic says how much each part gets. Where the provider divides by itself
//! that is one call (`split_call`), else one payout goes out for each.

use std::sync::Arc;

use super::args::{Args, invalid};
use super::moves::{Pay, Sent, send_among};
use super::split_call::{self, Said, Target};
use super::{Body, Kind, Module, Primitive};
use crate::base::money::Money;
use crate::connector::connection::Connection;
use crate::engine::turn::Turn;
use crate::model::treasury::divide::{Base, Bearer, Divided, DivisionRule, Fee, divide};
use crate::model::treasury::split::{LeftOver, Part, Share};
use crate::model::value::Value;
use crate::script::Thrown;

/// The primitives of this file.
pub(super) const ALL: &[Primitive] = &[Primitive {
    module: Module::Connection,
    name: "split",
    kind: Kind::Step,
    params: &[
        (
            "#from?",
            "the account's id; not where the provider chooses it, or divides a payment by itself",
        ),
        ("total", "money"),
        (
            "parts",
            "list of maps, one for each part: each says one of `amount`, `percent` and `rest`",
        ),
        ("parts[].name", "what it is called in the result"),
        ("parts[].to", "who gets it: an account or an address, as in `payout`"),
        ("parts[].amount?", "this much"),
        ("parts[].percent?", "this share: 2.5 is 2.5 %"),
        ("parts[].rest?", "true: all that the others leave"),
        ("parts[].minimum?", "of a share: at least this much"),
        ("parts[].maximum?", "of a share: at most this much"),
        (
            "parts[].label?",
            "what it is booked as, where the provider has words for that",
        ),
        (
            "reference",
            "what the beneficiaries read; where the provider divides by itself, our number of the payment, once for each",
        ),
        (
            "payment?",
            "where the provider divides by itself: the id of the payment that is divided",
        ),
        ("processor?", "who processed it, where that is another"),
        (
            "fee?",
            "money that the provider takes from the total; it is not paid out",
        ),
        (
            "fee_to?",
            "the account that the fee is charged to, where the provider divides all of the total by itself",
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
    result: "map: `complete`, `parts`: list of `name`, `amount`, `fee` (what it bears), `status`, `payout`, `failure`; `cost`, `left_over`, `split` (what one call made of it, else `()`)",
    doc: "Divides a total and pays each part; the parts and the fee always sum to the total. Where the provider divides by itself it is one call, made whole or not at all; else a part that fails stops no other.",
    example: "bank::split(#{ from: \"acc_1\", total: EUR(100), reference: \"S-1\", parts: [#{ name: \"all\", to: \"acc_2\", rest: true }] });",
    needs: &["split|payout"],
    body: Body::Connection(split_total),
}];

fn split_total(turn: &Turn, connection: &Arc<Connection>, args: &[Value]) -> Result<Value, Thrown> {
    let given = args.first().unwrap_or(&Value::Null);
    let known = [
        "from",
        "total",
        "parts",
        "reference",
        "payment",
        "processor",
        "fee",
        "fee_to",
        "borne_by",
        "base",
        "left_over",
        "rail",
    ];
    let args = Args::new("split", given, &known)?;
    let total = args.required_money("total")?;
    let mut parts = Vec::new();
    let mut targets = Vec::new();
    for part in args.list("parts")? {
        let known = ["name", "to", "amount", "percent", "rest", "minimum", "maximum", "label"];
        let part = Args::new("parts", part, &known)?;
        targets.push(Target {
            to: part.required("to")?,
            label: part.text("label")?,
        });
        parts.push(split_part(&part)?);
    }
    let rule = division(&args, parts)?;
    let divided = divide(total, &rule).map_err(|error| invalid(error.to_string()))?;
    let said = Said {
        total,
        fee: rule.fee.map_or(Money::zero(total.currency()), |fee| fee.amount),
        fee_to: args.text("fee_to")?,
        payment: args.text("payment")?,
        processor: args.text("processor")?,
        reference: args.text("reference")?,
        rail: args.text("rail")?,
    };
    let from = args.text("from")?;
    let by_call = connection.connector.primitive("split");
    let by_call = by_call.and_then(|map| Some((map, map.parts.as_ref()?)));
    refuse_unknown(connection, from, &said, &targets)?;
    turn.compound(
        &format!("{}.split", connection.name),
        &given.typed_text(),
        || match by_call {
            Some(map) => split_call::split(turn, connection, map, &said, (&divided, &targets)),
            None => by_payouts(turn, connection, from, &said, (&divided, &targets)),
        },
    )
}

/// What the way in which the provider divides has no use for is refused: left out, money would go another way than the
/// script says.
fn refuse_unknown(
    connection: &Connection,
    from: Option<&str>,
    said: &Said<'_>,
    targets: &[Target<'_>],
) -> Result<(), Thrown> {
    let refused = |word: &str, why: &str| {
        let message = format!(
            "`split` of connection `{}` cannot be told `{word}`: {why}",
            connection.name
        );
        Err(invalid(message))
    };
    if connection.connector.primitive("split").is_some() {
        return match from {
            Some(_) => refused("from", "it divides the payment, wherever that is"),
            None => Ok(()),
        };
    }
    let by_one_call = [
        ("payment", said.payment),
        ("processor", said.processor),
        ("fee_to", said.fee_to),
        ("label", targets.iter().find_map(|target| target.label)),
    ];
    if let Some((word, _)) = by_one_call.iter().find(|(_, said)| said.is_some()) {
        return refused(word, "each part is paid out by itself");
    }
    match said.reference {
        Some(_) => Ok(()),
        None => Err(invalid("`split` needs `reference`")),
    }
}

fn by_payouts(
    turn: &Turn,
    connection: &Arc<Connection>,
    from: Option<&str>,
    said: &Said<'_>,
    (divided, targets): (&Divided, &[Target<'_>]),
) -> Result<(Value, String), Thrown> {
    let mut paid = Vec::new();
    let mut complete = true;
    for (part, target) in divided.parts.iter().zip(targets) {
        let sent = if part.amount.is_zero() {
            Sent::nothing()
        } else {
            let pay = Pay {
                from,
                to: target.to,
                amount: part.amount,
                reference: said.reference,
                rail: said.rail,
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
        "{} in {} parts{}",
        said.total,
        divided.parts.len(),
        if complete { "" } else { ", not all of them paid" }
    );
    let result = Value::map([
        ("complete", Value::Bool(complete)),
        ("parts", Value::List(paid)),
        ("cost", Value::Money(divided.cost)),
        ("left_over", Value::text(&divided.left_over)),
        ("split", Value::Null),
    ]);
    Ok((result, summary))
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
