//! Primitives around a payment that somebody makes to us: asking for it, taking what was authorised, giving it back,
//! calling it off.

use std::sync::Arc;

use super::args::{Args, invalid};
use super::moves::with_kind;
use super::positions::{amount_in, in_words_of, mapping};
use super::{Body, Kind, Module, Primitive, calls, refund_parts};
use crate::base::money::{Currency, Money};
use crate::connector::connection::Connection;
use crate::connector::table::{OriginalMap, PrimitiveMap};
use crate::engine::turn::{Turn, fail};
use crate::model::treasury::give_back::{Original, give_back};
use crate::model::value::{Map, Value};
use crate::script::Thrown;

/// The primitives of this file.
pub(super) const ALL: &[Primitive] = &[
    Primitive {
        module: Module::Connection,
        name: "order",
        kind: Kind::Step,
        params: &[
            ("#amount", "money"),
            ("reference", "our number of it, once for each order"),
            ("expires_at?", "when it can no longer be paid"),
            ("metadata?", "a map of texts kept with the order"),
        ],
        result: "the order as the provider tells it, with `resource`, `pay_to`, `statement_reference` (() where it does not tell)",
        doc: "Asks a payer for money, and says where to pay it. `settled` waits until it is paid.",
        example: "let order = bank::order(#{ amount: EUR(100), reference: \"INV-1\" });",
        needs: &["order"],
        body: Body::Connection(order),
    },
    Primitive {
        module: Module::Connection,
        name: "capture",
        kind: Kind::Step,
        params: &[
            ("#payment", "the payment's id"),
            (
                "amount?",
                "money: this much of what was authorised; all of it if not given",
            ),
        ],
        result: "the payment as the provider tells it, with `resource`",
        doc: "Takes what a payer has authorised, whole or in part.",
        example: "bank::capture(#{ payment: \"pi_1\", amount: USD(80) });",
        needs: &["capture"],
        body: Body::Connection(capture),
    },
    Primitive {
        module: Module::Connection,
        name: "refund",
        kind: Kind::Wait,
        params: &[
            ("#payment", "the id of the payment or the order"),
            (
                "amount?",
                "money: this much of what was paid; all that is left if not given",
            ),
            ("reference?", "what the payer reads"),
            ("metadata?", "a map of texts kept with the refund"),
            (
                "refund?",
                "its number at the processor, where that gives the payer the money and the provider is told whose parts bear it",
            ),
            (
                "split?",
                "where the payment was divided: what `split` returned as `split`; looked for if not given",
            ),
            (
                "since?",
                "where the payment was divided: a time before that, so that less is looked through",
            ),
        ],
        result: "the refund as the provider tells it, with `resource`, `refunded` (money), `left` (money that may still go back); of a divided payment `parts` (who bears what) and `existed`",
        doc: "Gives a payer money back. The payment is read first: more than is left of it is refused, with the numbers. Of a divided \
              payment each part bears its share of what it has left, and one refund waits for the other until the provider shows it.",
        example: "let back = bank::refund(#{ payment: \"order_1\", amount: EUR(40) });",
        needs: &["refund"],
        body: Body::Connection(refund),
    },
    Primitive {
        module: Module::Connection,
        name: "cancel",
        kind: Kind::Step,
        params: &[(
            "resource",
            "what a primitive made, such as an order, with `resource` and `id`",
        )],
        result: "the resource as the provider tells it then",
        doc: "Calls off what has not happened yet. What cannot be called off any more is a failure that says so.",
        example: "bank::cancel(#{ resource: \"order\", id: \"order_1\" });",
        needs: &["cancel"],
        body: Body::Connection(cancel),
    },
];

fn order(turn: &Turn, connection: &Arc<Connection>, args: &[Value]) -> Result<Value, Thrown> {
    let given = args.first().unwrap_or(&Value::Null);
    let args = Args::new("order", given, &["amount", "reference", "expires_at", "metadata"])?;
    let map = mapping(connection, "order")?;
    let said = [
        ("amount", Some(Value::Money(args.required_money("amount")?))),
        ("reference", Some(Value::text(args.required_text("reference")?))),
        ("expires_at", args.get("expires_at").cloned()),
        ("metadata", args.map("metadata")?.cloned().map(Value::Map)),
    ];
    let request = in_words_of(connection, map, "order", said)?;
    let endpoint = calls::find(connection, &map.endpoint)?;
    let made = turn.call(connection, endpoint, &request)?;
    let mut entries = of_kind(connection, map, &made);
    for word in ["pay_to", "statement_reference"] {
        let told = super::positions::field(map, word, &made).cloned().unwrap_or_default();
        entries.insert(word.to_owned(), told);
    }
    Ok(Value::Map(entries))
}

fn capture(turn: &Turn, connection: &Arc<Connection>, args: &[Value]) -> Result<Value, Thrown> {
    let given = args.first().unwrap_or(&Value::Null);
    let args = Args::new("capture", given, &["payment", "amount"])?;
    let map = mapping(connection, "capture")?;
    let endpoint = calls::find(connection, &map.endpoint)?;
    let (payment, asked) = (args.required_text("payment")?, args.money("amount")?);
    turn.group(&format!("{}.capture", connection.name), &given.typed_text(), || {
        let amount = match original(turn, connection, map, payment)? {
            // What a provider takes of its own accord where no amount is said is not known.
            Some(original) => Some(
                give_back(&original, asked)
                    .map_err(|error| invalid(error.to_string()))?
                    .amount,
            ),
            None => asked,
        };
        let said = [
            ("payment", Some(Value::text(payment))),
            ("amount", amount.map(Value::Money)),
        ];
        let request = in_words_of(connection, map, "capture", said)?;
        let taken = turn.call(connection, endpoint, &request)?;
        Ok(Value::Map(of_kind(connection, map, &taken)))
    })
}

fn refund(turn: &Turn, connection: &Arc<Connection>, args: &[Value]) -> Result<Value, Thrown> {
    let given = args.first().unwrap_or(&Value::Null);
    let known = ["payment", "amount", "reference", "metadata", "refund", "split", "since"];
    let args = Args::new("refund", given, &known)?;
    let map = mapping(connection, "refund")?;
    if let Some(divided) = &map.divided {
        return turn.compound(&format!("{}.refund", connection.name), &given.typed_text(), || {
            refund_parts::refund(turn, connection, (map, divided), &args)
        });
    }
    if let Some(word) = ["refund", "split", "since"]
        .iter()
        .find(|word| args.get(word).is_some())
    {
        return Err(invalid(format!(
            "`refund` of connection `{}` cannot be told `{word}`: {} has nothing like it",
            connection.name, connection.connector.title
        )));
    }
    let endpoint = calls::find(connection, &map.endpoint)?;
    let (payment, asked) = (args.required_text("payment")?, args.money("amount")?);
    let (reference, metadata) = (args.text("reference")?, args.map("metadata")?);
    turn.group(&format!("{}.refund", connection.name), &given.typed_text(), || {
        let original = original(turn, connection, map, payment)?.ok_or_else(|| {
            fail(
                "unsupported",
                format!("connection `{}` does not tell what was paid", connection.name),
            )
        })?;
        let back = give_back(&original, asked).map_err(|error| invalid(error.to_string()))?;
        let said = [
            ("payment", Some(Value::text(payment))),
            ("amount", Some(Value::Money(back.amount))),
            ("reference", reference.map(Value::text)),
            ("metadata", metadata.cloned().map(Value::Map)),
        ];
        let request = in_words_of(connection, map, "refund", said)?;
        let made = turn.call(connection, endpoint, &request)?;
        let mut entries = of_kind(connection, map, &made);
        entries.insert("refunded".to_owned(), Value::Money(back.amount));
        entries.insert("left".to_owned(), Value::Money(back.left));
        Ok(Value::Map(entries))
    })
}

/// What was paid and what went back of it, as the provider tells it now; none if the table does not say where.
fn original(
    turn: &Turn,
    connection: &Arc<Connection>,
    map: &PrimitiveMap,
    payment: &str,
) -> Result<Option<Original>, Thrown> {
    let Some(table) = &map.original else { return Ok(None) };
    let endpoint = calls::find(connection, &table.endpoint)?;
    let paid = turn.call(connection, endpoint, &[(table.id.clone(), Value::text(payment))].into())?;
    let unreadable = |what: &str| {
        fail(
            "unreadable_answer",
            format!("{what} of {payment} is not readable: {paid}"),
        )
    };
    let currency = match &table.currency {
        Some(at) => paid
            .pointer(at)
            .and_then(Value::as_text)
            .and_then(|code| code.parse().ok()),
        None => connection.connector.money.currency,
    };
    let currency: Currency = currency.ok_or_else(|| unreadable("the currency"))?;
    let amount = money_of(connection, map, &paid, &table.amount, currency);
    let amount = amount.ok_or_else(|| unreadable("the amount"))?;
    let given_back = given_back(connection, map, table, &paid, currency);
    let given_back = given_back.ok_or_else(|| unreadable("what went back"))?;
    Ok(Some(Original {
        earlier: vec![given_back],
        ..Original::new(amount)
    }))
}

fn money_of(
    connection: &Connection,
    map: &PrimitiveMap,
    resource: &Value,
    at: &str,
    currency: Currency,
) -> Option<Money> {
    amount_in(connection, map, resource.pointer(at)?, currency)
}

/// What went back before. Nothing is told as nothing: a provider leaves it out where nothing did.
fn given_back(
    connection: &Connection,
    map: &PrimitiveMap,
    table: &OriginalMap,
    paid: &Value,
    currency: Currency,
) -> Option<Money> {
    let told = table.given_back.as_ref().and_then(|at| paid.pointer(at));
    match told.filter(|told| !told.is_null()) {
        None => Some(Money::zero(currency)),
        Some(told) => amount_in(connection, map, told, currency),
    }
}

fn cancel(turn: &Turn, connection: &Arc<Connection>, args: &[Value]) -> Result<Value, Thrown> {
    let resource = args.first().unwrap_or(&Value::Null);
    let text = |key: &str| resource.get(key).and_then(Value::as_text);
    let (Some(kind), Some(id)) = (text("resource"), text("id")) else {
        return Err(invalid(
            "`cancel` takes what a primitive made: a map with `resource` and `id`",
        ));
    };
    let map = mapping(connection, "cancel")?;
    let known = map.resource.as_deref().unwrap_or_default();
    if kind != known {
        return Err(invalid(format!(
            "connection `{}` calls off resources of the kind `{known}`, not `{kind}`",
            connection.name
        )));
    }
    let endpoint = calls::find(connection, &map.endpoint)?;
    let mut request = in_words_of(connection, map, "cancel", [("resource", Some(Value::text(id)))])?;
    request.extend(endpoint.shown_by(resource));
    let ended = turn.call(connection, endpoint, &request)?;
    Ok(Value::Map(of_kind(connection, map, &ended)))
}

/// A resource marked with its kind, so that `settled` knows what it is.
fn of_kind(connection: &Connection, map: &PrimitiveMap, resource: &Value) -> Map {
    let entries = match resource {
        Value::Map(entries) => entries.clone(),
        _ => Map::new(),
    };
    with_kind(connection, map, entries)
}
