//! The primitive that converts between currencies, with a guard against a bad rate.

use std::sync::Arc;

use rust_decimal::Decimal;

use super::args::{Args, invalid};
use super::moves::with_resource;
use super::positions::{balance, field, in_words_of, mapping};
use super::{Body, Kind, Module, Primitive, calls};
use crate::base::money::{Currency, Money};
use crate::connector::connection::Connection;
use crate::connector::table::{Endpoint, PrimitiveMap, QuoteMap, Unit};
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
            "sell everything above this much; one of `amount`, `above`, `to_target` and `buy` is needed",
        ),
        (
            "to_target?",
            "sell down to this much; with `above`, only when there is more than that",
        ),
        (
            "buy?",
            "buy this much: what it costs at the worst rate that `max_slippage` allows is sold, so at least as much is bought",
        ),
        ("minimum?", "not worth selling less"),
        ("maximum?", "never sell more at once"),
        (
            "max_slippage?",
            "how much worse than the indicative rate of one unit the quote may be: 0.003 is 0.3 %",
        ),
        ("metadata?", "a map of texts kept with the conversion"),
    ],
    result: "map: `moved` (money sold), `reason`, `quoted_rate`, `conversion` (or ()); after `settled(conversion)` also `sold`, \
             `bought`, `rate`, `rate_from`, `fee`, () where the provider does not tell",
    doc: "Sells one currency for another at the market, directly: through a third currency it is two conversions, the second \
          of what the first bought. With `max_slippage`, a quote for the whole amount is compared with the rate of one \
          unit first, and nothing is sold if it is worse by more.",
    example: "let sale = bank::convert(#{ from: \"acc_usdc\", to: \"acc_eur\", above: USDC(100), max_slippage: 0.003 });",
    needs: &["convert", "balance"],
    body: Body::Connection(convert),
}];

/// What is to be sold, before a price is known.
#[derive(Clone, Copy)]
enum Asked {
    Sold(SaleForm),
    Bought(Money),
}

fn asked(args: &Args<'_>) -> Result<Asked, Thrown> {
    let (amount, above) = (args.money("amount")?, args.money("above")?);
    let (target, buy) = (args.money("to_target")?, args.money("buy")?);
    match (amount, above, target, buy) {
        (Some(amount), None, None, None) => Ok(Asked::Sold(SaleForm::Amount(amount))),
        (None, Some(above), None, None) => Ok(Asked::Sold(SaleForm::Above(above))),
        (None, above, Some(to), None) => Ok(Asked::Sold(SaleForm::Down {
            from: above.unwrap_or(to),
            to,
        })),
        (None, None, None, Some(buy)) => Ok(Asked::Bought(buy)),
        _ => Err(invalid(
            "`convert` needs exactly one of `amount`, `above`, `to_target` and `buy`; only `above` and `to_target` may stand together",
        )),
    }
}

fn convert(turn: &Turn, connection: &Arc<Connection>, args: &[Value]) -> Result<Value, Thrown> {
    let given = args.first().unwrap_or(&Value::Null);
    let known = [
        "from",
        "to",
        "amount",
        "above",
        "to_target",
        "buy",
        "minimum",
        "maximum",
        "max_slippage",
        "metadata",
    ];
    let args = Args::new("convert", given, &known)?;
    let (from, to) = (args.required_text("from")?, args.required_text("to")?);
    let asked = asked(&args)?;
    let map = mapping(connection, "convert")?;
    let (minimum, maximum) = (args.money("minimum")?, args.money("maximum")?);
    let (limit, metadata) = (args.decimal("max_slippage")?, args.map("metadata")?);
    if matches!(asked, Asked::Bought(_)) && limit.is_none() {
        return Err(invalid(
            "`buy` of `convert` needs `max_slippage`: the price of what is bought is known only within it",
        ));
    }
    turn.compound(&format!("{}.convert", connection.name), &given.typed_text(), || {
        let available = balance(turn, connection, from)?;
        let price = Price {
            map,
            sold: available.currency(),
            to,
        };
        let mut indicative = None;
        let form = match (asked, limit) {
            (Asked::Bought(amount), Some(slippage)) => {
                let (bought, rate) = price.of_one(turn, connection)?;
                if amount.currency() != bought {
                    let message = format!(
                        "`buy` of `convert` is in {}, and account {to} in {bought}",
                        amount.currency()
                    );
                    return Err(invalid(message));
                }
                indicative = Some((bought, rate));
                SaleForm::Bought { amount, rate, slippage }
            }
            (Asked::Sold(form), _) => form,
            (Asked::Bought(_), None) => return Err(invalid("`buy` of `convert` needs `max_slippage`")),
        };
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
            let (bought, unit) = match indicative {
                Some(known) => known,
                None => price.of_one(turn, connection)?,
            };
            let whole = price.rate(turn, connection, bought, sale.amount)?;
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
            ("conversion", with_resource(connection, map, conversion)),
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

/// How the price of a conversion is asked.
struct Price<'a> {
    map: &'a PrimitiveMap,
    sold: Currency,
    to: &'a str,
}

impl Price<'_> {
    fn quote(&self, connection: &Connection) -> Result<&QuoteMap, Thrown> {
        self.map.quote.as_ref().ok_or_else(|| {
            invalid(format!(
                "connection `{}` has no quotes, so `max_slippage` cannot be held",
                connection.name
            ))
        })
    }

    /// What is bought, and the indicative rate of one unit sold.
    fn of_one(&self, turn: &Turn, connection: &Arc<Connection>) -> Result<(Currency, Decimal), Thrown> {
        self.quote(connection)?;
        let bought = currency_of(turn, connection, self.to)?;
        let unit = Money::from_decimal(Decimal::ONE, self.sold).map_err(|error| invalid(error.to_string()))?;
        Ok((bought, self.rate(turn, connection, bought, unit)?))
    }

    /// The rate of so much.
    fn rate(
        &self,
        turn: &Turn,
        connection: &Arc<Connection>,
        bought: Currency,
        size: Money,
    ) -> Result<Decimal, Thrown> {
        let quote = self.quote(connection)?;
        let endpoint = calls::find(connection, &quote.endpoint)?;
        let mut query = Map::new();
        for (generic, value) in [
            ("source_currency", Value::text(size.currency().code())),
            ("target_currency", Value::text(bought.code())),
            ("source_amount", amount_asked(endpoint, size)),
        ] {
            if let Some(param) = quote.args.get(generic) {
                query.insert(param.clone(), value);
            }
        }
        let answer = turn.call(connection, endpoint, &query)?;
        decimal_at(&answer, &quote.rate)
            .filter(|rate| *rate > Decimal::ZERO)
            .ok_or_else(|| fail("unreadable_answer", format!("the quote has no readable rate: {answer}")))
    }
}

/// The size of a quote as its endpoint takes it: a plain number is taken for one in the unit of the wire, which differs
/// from the amount where that counts in minor units.
fn amount_asked(endpoint: &Endpoint, size: Money) -> Value {
    match endpoint.unit() {
        Unit::MinorNumber => Value::Money(size),
        Unit::DecimalText | Unit::DecimalNumber => Value::text(size.amount().normalize().to_string()),
    }
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
