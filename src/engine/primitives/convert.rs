//! The primitive that converts between currencies, with a guard against a bad rate.

use std::sync::Arc;

use rust_decimal::Decimal;

use super::args::{Args, invalid};
use super::moves::with_resource;
use super::positions::{balance, field, in_words_of, mapping};
use super::{Body, Kind, Module, Primitive, calls};
use crate::base::money::{Currency, Money};
use crate::connector::connection::Connection;
use crate::connector::table::PrimitiveMap;
use crate::engine::turn::{Turn, fail};
use crate::model::treasury::convert::{SaleForm, SaleRule, slippage, to_sell};
use crate::model::value::{Map, Value};
use crate::script::Thrown;

/// The primitives of this file.
pub(super) const ALL: &[Primitive] = &[Primitive {
    module: Module::Connection,
    name: "convert",
    kind: Kind::Step,
    params: &[
        ("#from", "the account that is sold from"),
        ("to", "the account that is bought into"),
        ("amount?", "sell this much"),
        (
            "above?",
            "sell everything above this much; one of `amount` and `above` is needed",
        ),
        ("minimum?", "not worth selling less"),
        ("maximum?", "never sell more at once"),
        (
            "max_slippage?",
            "how much worse than the indicative rate of one unit the quote may be: 0.003 is 0.3 %",
        ),
        ("metadata?", "a map of texts kept with the conversion"),
    ],
    result: "map: `moved` (money sold), `reason`, `quoted_rate`, `conversion` (or ())",
    doc: "Sells one currency for another at the market. With `max_slippage`, a quote for the whole amount is compared \
          with the rate of one unit first, and nothing is sold if it is worse by more.",
    example: "let sale = bank::convert(#{ from: \"acc_usdc\", to: \"acc_eur\", above: USDC(100), max_slippage: 0.003 });",
    needs: &["convert", "balance"],
    body: Body::Connection(convert),
}];

fn convert(turn: &Turn, connection: &Arc<Connection>, args: &[Value]) -> Result<Value, Thrown> {
    let given = args.first().unwrap_or(&Value::Null);
    let known = [
        "from",
        "to",
        "amount",
        "above",
        "minimum",
        "maximum",
        "max_slippage",
        "metadata",
    ];
    let args = Args::new("convert", given, &known)?;
    let (from, to) = (args.required_text("from")?, args.required_text("to")?);
    let form = match (args.money("amount")?, args.money("above")?) {
        (Some(amount), None) => SaleForm::Amount(amount),
        (None, Some(above)) => SaleForm::Above(above),
        _ => return Err(invalid("`convert` needs exactly one of `amount` and `above`")),
    };
    let map = mapping(connection, "convert")?;
    let (minimum, maximum) = (args.money("minimum")?, args.money("maximum")?);
    let (limit, metadata) = (args.decimal("max_slippage")?, args.map("metadata")?);
    turn.compound(&format!("{}.convert", connection.name), &given.typed_text(), || {
        let available = balance(turn, connection, from)?;
        let rule = SaleRule {
            form,
            minimum: least(map, available, minimum)?,
            maximum,
        };
        let sale = to_sell(available, &rule).map_err(|error| invalid(error.to_string()))?;
        if sale.amount.is_zero() {
            return Ok(nothing(sale.amount, sale.reason, Value::Null));
        }
        let mut quoted = Value::Null;
        if let Some(limit) = limit {
            let (unit, whole) = quotes(turn, connection, map, sale.amount, to)?;
            quoted = Value::Decimal(whole);
            if let Err(refused) = slippage(unit, whole, limit) {
                return Ok(nothing(
                    Money::zero(sale.amount.currency()),
                    refused.to_string(),
                    quoted,
                ));
            }
        }
        let endpoint = calls::find(connection, &map.endpoint)?;
        let said = [
            ("from", Some(Value::text(from))),
            ("to", Some(Value::text(to))),
            ("amount", Some(Value::Money(sale.amount))),
            ("metadata", metadata.cloned().map(Value::Map)),
        ];
        let request = in_words_of(connection, map, "convert", said)?;
        let conversion = turn.call(connection, endpoint, &request)?;
        let summary = format!("{} sold: {}", sale.amount, sale.reason);
        let result = Value::map([
            ("moved", Value::Money(sale.amount)),
            ("reason", Value::text(sale.reason)),
            ("quoted_rate", quoted),
            ("conversion", with_resource(map, conversion)),
        ]);
        Ok((result, summary))
    })
}

fn nothing(zero: Money, reason: String, quoted: Value) -> (Value, String) {
    let summary = format!("nothing sold: {reason}");
    let result = Value::map([
        ("moved", Value::Money(Money::zero(zero.currency()))),
        ("reason", Value::text(reason)),
        ("quoted_rate", quoted),
        ("conversion", Value::Null),
    ]);
    (result, summary)
}

/// The script's minimum or the provider's, whichever is more.
fn least(map: &PrimitiveMap, available: Money, asked: Option<Money>) -> Result<Option<Money>, Thrown> {
    let Some(minimum) = &map.minimum else { return Ok(asked) };
    let theirs = Money::parse(minimum, available.currency()).map_err(|error| invalid(error.to_string()))?;
    match asked {
        Some(ours) if ours.currency() == theirs.currency() && ours.minor() > theirs.minor() => Ok(Some(ours)),
        Some(ours) if ours.currency() != theirs.currency() => Ok(Some(ours)),
        _ => Ok(Some(theirs)),
    }
}

/// The indicative rate of one unit, and of the whole amount.
fn quotes(
    turn: &Turn,
    connection: &Arc<Connection>,
    map: &PrimitiveMap,
    amount: Money,
    to: &str,
) -> Result<(Decimal, Decimal), Thrown> {
    let Some(quote) = &map.quote else {
        return Err(invalid(format!(
            "connection `{}` has no quotes, so `max_slippage` cannot be held",
            connection.name
        )));
    };
    let bought = currency_of(turn, connection, to)?;
    let endpoint = calls::find(connection, &quote.endpoint)?;
    let rate = |size: Money| -> Result<Decimal, Thrown> {
        let mut query = Map::new();
        for (generic, value) in [
            ("source_currency", size.currency().code().to_owned()),
            ("target_currency", bought.code().to_owned()),
            ("source_amount", size.amount().normalize().to_string()),
        ] {
            if let Some(param) = quote.args.get(generic) {
                query.insert(param.clone(), Value::text(value));
            }
        }
        let answer = turn.call(connection, endpoint, &query)?;
        decimal_at(&answer, &quote.rate)
            .filter(|rate| *rate > Decimal::ZERO)
            .ok_or_else(|| fail("unreadable_answer", format!("the quote has no readable rate: {answer}")))
    };
    let unit = Money::from_decimal(Decimal::ONE, amount.currency()).map_err(|error| invalid(error.to_string()))?;
    Ok((rate(unit)?, rate(amount)?))
}

/// A number at a pointer, written as text or as a number.
pub(super) fn decimal_at(resource: &Value, pointer: &str) -> Option<Decimal> {
    match resource.pointer(pointer)? {
        Value::Text(text) => crate::base::money::parse_plain(text).ok(),
        number => number.as_decimal(),
    }
}

fn currency_of(turn: &Turn, connection: &Arc<Connection>, account: &str) -> Result<Currency, Thrown> {
    let map = mapping(connection, "balance")?;
    let endpoint = calls::find(connection, &map.endpoint)?;
    let param = map.args.get("account").cloned().unwrap_or_else(|| "id".to_owned());
    let answer = turn.call(connection, endpoint, &[(param, Value::text(account))].into())?;
    let code = field(map, "currency", &answer).and_then(Value::as_text);
    code.and_then(|code| code.parse().ok()).ok_or_else(|| {
        fail(
            "unreadable_answer",
            format!("the currency of account {account} is not readable: {answer}"),
        )
    })
}
