//! Primitives that ask and change nothing: prices, movements, payees, disputes. What a provider does not tell is `()`, and
//! the key is there: nothing is computed in its place.

use std::sync::Arc;

use chrono::TimeDelta;

use super::args::{Args, invalid};
use super::convert::decimal_at;
use super::data::text;
use super::positions::{amount_in, field, in_words_of, mapping, money_at};
use super::{Body, Kind, Module, Primitive, calls};
use crate::base::money::{Currency, Money};
use crate::connector::connection::Connection;
use crate::connector::table::PrimitiveMap;
use crate::connector::times;
use crate::engine::turn::{Turn, fail};
use crate::model::value::{Map, Value};
use crate::script::Thrown;

/// How far back movements are read, and how far ahead, if no time is given.
const TRANSACTIONS_AROUND: TimeDelta = TimeDelta::hours(24);

/// The primitives of this file.
pub(super) const ALL: &[Primitive] = &[
    Primitive {
        module: Module::Connection,
        name: "quote",
        kind: Kind::Step,
        params: &[
            ("#from", "the currency that would be sold, such as \"USD\""),
            ("to", "the currency that would be bought"),
            ("amount?", "how much would be sold"),
        ],
        result: "map: `rate` (bought for one sold), `from`, `to` (the currencies), `sold`, `bought`, `fee` (money), `expires_at`, () where the provider does not tell",
        doc: "Asks a price and sells nothing. Without `expires_at` it binds nobody.",
        example: "let price = bank::quote(#{ from: \"USD\", to: \"EUR\", amount: USD(1_000) });",
        needs: &["quote"],
        body: Body::Connection(quote),
    },
    Primitive {
        module: Module::Connection,
        name: "transactions",
        kind: Kind::Step,
        params: &[
            ("#account?", "only movements of this account"),
            ("from?", "the earliest time; a day ago if not given"),
            ("before?", "the time before which they were booked; no end if not given"),
        ],
        result: "list of maps, oldest first: `id`, `amount` (money), `side`, `at`, `kind`, `about`, `reference`, `balance_after`, () where the \
                 provider does not tell, and all it tells",
        doc: "What was booked. A provider may show a movement some time after it happened: what is not there yet proves nothing.",
        example: "for booked in bank::transactions(#{ account: \"acc_1\", from: now() - days(2) }) { log::info(booked.id); }",
        needs: &["transactions"],
        body: Body::Connection(transactions),
    },
    Primitive {
        module: Module::Connection,
        name: "verify_payee",
        kind: Kind::Step,
        params: &[
            ("#name", "the name of the account's holder"),
            ("iban?", "the account"),
            ("bic?", "its bank"),
        ],
        result: "map: `result` (\"match\", \"close_match\", \"no_match\", \"not_possible\"), `suggested_name` or ()",
        doc: "Asks the payee's bank whether the name fits the account. A failure of the call is no answer: it is thrown.",
        example: "let payee = bank::verify_payee(#{ name: \"ACME GmbH\", iban: \"DE89370400440532013000\" });",
        needs: &["verify_payee"],
        body: Body::Connection(verify_payee),
    },
    Primitive {
        module: Module::Connection,
        name: "dispute",
        kind: Kind::Step,
        params: &[("dispute", "the dispute's id")],
        result: "map: `id`, `status`, `amount` (money), `payment`, `reason`, `respond_by`, () where the provider does not tell, and all it tells",
        doc: "A payment that its payer disputes. Nothing is answered by it.",
        example: "let disputed = bank::dispute(\"dp_1\");",
        needs: &["dispute"],
        body: Body::Connection(dispute),
    },
];

/// What `transactions` tells of each.
const OF_TRANSACTION: [&str; 7] = ["id", "side", "at", "kind", "about", "reference", "currency"];

/// What `dispute` tells beside the amount.
const OF_DISPUTE: [&str; 5] = ["id", "status", "payment", "reason", "respond_by"];

/// The answer with those words beside the provider's own, `()` where it does not tell.
fn with_words(map: &PrimitiveMap, words: &[&str], resource: &Value) -> Map {
    let mut entries = match resource {
        Value::Map(entries) => entries.clone(),
        _ => Map::new(),
    };
    for word in words {
        let value = field(map, word, resource).cloned().unwrap_or_default();
        entries.insert((*word).to_owned(), value);
    }
    entries
}

fn quote(turn: &Turn, connection: &Arc<Connection>, args: &[Value]) -> Result<Value, Thrown> {
    let given = args.first().unwrap_or(&Value::Null);
    let args = Args::new("quote", given, &["from", "to", "amount"])?;
    let currency = |key: &str| -> Result<Currency, Thrown> {
        let code = args.required_text(key)?;
        code.parse()
            .map_err(|_| invalid(format!("`{key}` of `quote` is not a currency: {code}")))
    };
    let (sold, bought, amount) = (currency("from")?, currency("to")?, args.money("amount")?);
    if let Some(amount) = amount.filter(|amount| amount.currency() != sold) {
        return Err(invalid(format!(
            "`amount` of `quote` is what is sold: {sold}, not {amount}"
        )));
    }
    let map = mapping(connection, "quote")?;
    let endpoint = calls::find(connection, &map.endpoint)?;
    let said = [
        ("from", Some(Value::text(sold.code()))),
        ("to", Some(Value::text(bought.code()))),
        ("amount", amount.map(Value::Money)),
    ];
    let request = in_words_of(connection, map, "quote", said)?;
    let answer = turn.call(connection, endpoint, &request)?;
    let money = |word: &str, currency: Currency| -> Value {
        let told = field(map, word, &answer).and_then(|told| amount_in(connection, map, told, currency));
        told.map_or(Value::Null, Value::Money)
    };
    let rate = map.fields.get("rate").and_then(|at| decimal_at(&answer, at));
    let rate = rate.ok_or_else(|| fail("unreadable_answer", format!("the quote has no readable rate: {answer}")))?;
    let fee_currency = field(map, "fee_currency", &answer).and_then(Value::as_text);
    let fee = fee_currency
        .and_then(|code| code.parse().ok())
        .map(|code| money("fee", code));
    Ok(Value::map([
        ("rate", Value::Decimal(rate)),
        ("from", Value::text(sold.code())),
        ("to", Value::text(bought.code())),
        ("sold", money("sold", sold)),
        ("bought", money("bought", bought)),
        ("fee", fee.unwrap_or_default()),
        ("expires_at", time_at(map, "expires_at", &answer)),
    ]))
}

/// A time of the answer, `()` where the provider does not tell; as it was told where it cannot be read.
fn time_at(map: &PrimitiveMap, word: &str, resource: &Value) -> Value {
    let told = field(map, word, resource).cloned().unwrap_or_default();
    times::read(map.times, &told).map_or(told, Value::Time)
}

fn transactions(turn: &Turn, connection: &Arc<Connection>, args: &[Value]) -> Result<Value, Thrown> {
    let none = Value::Map(Map::new());
    let given = args.first().unwrap_or(&none);
    let args = Args::new("transactions", given, &["account", "from", "before"])?;
    let map = mapping(connection, "transactions")?;
    let endpoint = calls::find(connection, &map.endpoint)?;
    turn.group(
        &format!("{}.transactions", connection.name),
        &given.typed_text(),
        || {
            let (from, before) = (args.get("from"), args.get("before"));
            // A provider may want both ends; nobody who leaves one out means the beginning of time.
            let (from, before) = match (from, before) {
                (Some(from), Some(before)) => (from.clone(), before.clone()),
                (from, before) => {
                    let Value::Time(now) = turn.local("now", &Value::Null.typed_text(), || {
                        let now = Value::Time(turn.now());
                        Ok((now.clone(), now.to_string()))
                    })?
                    else {
                        return Err(fail("unreadable_journal", "the time of a step is no time"));
                    };
                    // Some providers want an end: what was booked this moment, by a clock ahead of ours, comes before it.
                    let end = before.cloned().unwrap_or(Value::Time(now + TRANSACTIONS_AROUND));
                    let start = from.cloned().unwrap_or(Value::Time(now - TRANSACTIONS_AROUND));
                    (start, end)
                }
            };
            let said = [
                ("account", args.get("account").cloned()),
                ("from", Some(from)),
                ("before", Some(before)),
            ];
            let request = in_words_of(connection, map, "transactions", said)?;
            let mut booked = Vec::new();
            for item in calls::list(turn, connection, endpoint, request)? {
                let mut entries = with_words(map, &OF_TRANSACTION, &item);
                let amount = money_at(connection, map, &item);
                let currency = amount.map(Money::currency);
                let after = currency.zip(field(map, "balance_after", &item));
                let after = after.and_then(|(currency, after)| amount_in(connection, map, after, currency));
                entries.insert("amount".to_owned(), amount.map_or(Value::Null, Value::Money));
                entries.insert("balance_after".to_owned(), after.map_or(Value::Null, Value::Money));
                let at = time_at(map, "at", &item);
                let order = match &at {
                    Value::Time(at) => Some(*at),
                    _ => None,
                };
                entries.insert("at".to_owned(), at);
                booked.push((order, Value::Map(entries)));
            }
            // Providers list the newest first; where no time can be read, their order is kept.
            if booked.iter().all(|(at, _)| at.is_some()) {
                booked.sort_by_key(|(at, _)| *at);
            }
            Ok(Value::List(booked.into_iter().map(|(_, entries)| entries).collect()))
        },
    )
}

fn verify_payee(turn: &Turn, connection: &Arc<Connection>, args: &[Value]) -> Result<Value, Thrown> {
    let given = args.first().unwrap_or(&Value::Null);
    let args = Args::new("verify_payee", given, &["name", "iban", "bic"])?;
    let map = mapping(connection, "verify_payee")?;
    let endpoint = calls::find(connection, &map.endpoint)?;
    let said = [
        ("name", Some(args.required("name")?.clone())),
        ("iban", args.get("iban").cloned()),
        ("bic", args.get("bic").cloned()),
    ];
    let request = in_words_of(connection, map, "verify_payee", said)?;
    let answer = turn.call(connection, endpoint, &request)?;
    let told = field(map, "result", &answer)
        .and_then(Value::as_text)
        .unwrap_or_default();
    // A word nobody knows is no match.
    let result = map.words.get(told).ok_or_else(|| {
        fail(
            "unreadable_answer",
            format!("`{told}` is no known result of verifying a payee"),
        )
    })?;
    let mut entries = with_words(map, &["suggested_name"], &answer);
    entries.insert("result".to_owned(), Value::text(result));
    Ok(Value::Map(entries))
}

fn dispute(turn: &Turn, connection: &Arc<Connection>, args: &[Value]) -> Result<Value, Thrown> {
    let id = text(args, 0, "dispute", "a dispute id")?;
    let map = mapping(connection, "dispute")?;
    let endpoint = calls::find(connection, &map.endpoint)?;
    let request = in_words_of(connection, map, "dispute", [("dispute", Some(Value::text(id)))])?;
    let found = turn.call(connection, endpoint, &request)?;
    let mut entries = with_words(map, &OF_DISPUTE, &found);
    let amount = money_at(connection, map, &found);
    entries.insert("amount".to_owned(), amount.map_or(Value::Null, Value::Money));
    Ok(Value::Map(super::moves::with_kind(connection, map, entries)))
}
