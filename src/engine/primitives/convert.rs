//! The primitive that converts between currencies, with a guard against a bad rate.

use std::sync::Arc;

use chrono::TimeDelta;
use rust_decimal::Decimal;

use super::args::{Args, invalid};
use super::calls::{self, Reads};
use super::events::settled;
use super::moves::with_resource;
use super::positions::{accounts, field, in_words_of, mapping, stand};
use super::{Body, Kind, Module, Primitive};
use crate::base::clock::Instant;
use crate::base::money::{Currency, Money};
use crate::connector::connection::Connection;
use crate::connector::table::{Endpoint, PrimitiveMap, QuoteMap, Stage, Unit};
use crate::engine::alone::Again;
use crate::engine::reserve::Decided;
use crate::engine::turn::{Turn, fail};
use crate::model::journal::Failure;
use crate::model::treasury::convert::{Sale, SaleForm, SaleRule, slippage, to_sell};
use crate::model::treasury::exchange::{Exchange, Quote, QuoteLimits, QuoteRefused, usable, way};
use crate::model::treasury::position::Position;
use crate::model::value::{Map, Value};
use crate::script::Thrown;
use crate::store::ReservedMove;

/// The primitives of this file.
pub(super) const ALL: &[Primitive] = &[Primitive {
    module: Module::Connection,
    name: "convert",
    kind: Kind::Wait,
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
        (
            "quote?",
            "what `quote` returned for this pair: `max_slippage` is measured against its rate. One that has expired is not used: a \
             failure `quote_expired`, and asking for another is the script's choice",
        ),
        ("quote.rate", "bought for one sold"),
        ("quote.from", "the currency sold"),
        ("quote.to", "the currency bought"),
        ("quote.expires_at?", "until when it holds; without it it binds nobody"),
        ("quote.sold?", "not looked at, and so are the next ones"),
        ("quote.bought?", "not looked at"),
        ("quote.fee?", "not looked at"),
        (
            "via?",
            "the id of an account of ours in a third currency, or its code, such as \"USD\", where there is one such account: two \
             conversions, the second of what the first bought once that has settled. Never done unless asked",
        ),
        (
            "timeout?",
            "with `via`: how long the first may take to settle; 7 days if not given",
        ),
        ("metadata?", "a map of texts kept with the conversion"),
    ],
    result: "map: `moved` (money sold), `reason`, `quoted_rate`, `conversion` (or ()); after `settled(conversion)` also `sold`, \
             `bought`, `rate`, `rate_from`, `fee`, () where the provider does not tell; with `via` also `legs`: both conversions, \
             each such a map, `conversion`: the second, and `failure`: `error` and `message` of why the second was not made though \
             the first was, or ()",
    doc: "Sells one currency for another at the market, directly unless `via` names a third. With `max_slippage`, a quote for \
          the whole amount is compared with the rate of one unit, or with `quote`, first, and nothing is sold if it is worse by \
          more. What any run has begun to move out of the account and nobody knows the end of is not sold.",
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
        "quote",
        "via",
        "timeout",
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
    let quote = args.get("quote").map(read_quote).transpose()?;
    if quote.is_some() && limit.is_none() {
        return Err(invalid(
            "`quote` of `convert` needs `max_slippage`: how much worse than it the rate may be",
        ));
    }
    let (via, timeout) = (args.text("via")?, args.duration("timeout")?);
    if via.is_none() && timeout.is_some() {
        return Err(invalid("`timeout` of `convert` belongs to `via`: give it as well"));
    }
    if via.is_some() && (quote.is_some() || matches!(asked, Asked::Bought(_))) {
        return Err(invalid(
            "`via` of `convert` does not go with `buy` or `quote`, which are about one conversion: say how much is sold",
        ));
    }
    let order = Order {
        from,
        to,
        asked,
        minimum,
        maximum,
        limit,
        quote,
        metadata,
    };
    turn.compound(
        &format!("{}.convert", connection.name),
        &given.typed_text(),
        || match via {
            None => sell(turn, connection, map, &order),
            Some(via) => sell_through(turn, connection, map, &order, (via, timeout)),
        },
    )
}

/// A price that a script was told before.
fn read_quote(value: &Value) -> Result<Quote, Thrown> {
    let known = ["rate", "from", "to", "expires_at", "sold", "bought", "fee"];
    let args = Args::new("quote", value, &known)?;
    let currency = |key: &str| -> Result<Currency, Thrown> {
        let code = args.required_text(key)?;
        code.parse()
            .map_err(|_| invalid(format!("`{key}` of `quote` is not a currency: {code}")))
    };
    args.required("rate")?;
    Ok(Quote {
        sold: currency("from")?,
        bought: currency("to")?,
        rate: args.decimal("rate")?.unwrap_or_default(),
        expires_at: args.time("expires_at")?,
    })
}

/// Two conversions through a third currency, because the script asked for it: the second sells what the first bought,
/// never what it was expected to buy.
fn sell_through(
    turn: &Turn,
    connection: &Arc<Connection>,
    map: &PrimitiveMap,
    order: &Order<'_>,
    (via, timeout): (&str, Option<TimeDelta>),
) -> Result<(Value, String), Thrown> {
    let via = account_in(turn, connection, via)?;
    let [sold, between, bought] = [order.from, &via, order.to].map(|account| currency_of(turn, connection, account));
    let (sold, between, bought) = (sold?, between?, bought?);
    // Whether the provider offers both is its to say; that they are a chain is known before anything is sold.
    way(sold, bought, &[between], &[(sold, between), (between, bought)]).map_err(|error| invalid(error.to_string()))?;
    let (first, reason) = sell(turn, connection, map, &Order { to: &via, ..*order })?;
    let made = first.get("conversion").cloned().unwrap_or_default();
    let (Some(Value::Money(moved)), false) = (first.get("moved"), made.is_null()) else {
        return Ok(chained(&first, Second::nothing(), reason));
    };
    let (moved, mut first) = (*moved, first);
    // From here on something was sold: what goes wrong is told together with it.
    match sell_on(turn, connection, map, (order, &via), (&mut first, moved, timeout)) {
        Ok(Some((second, then))) => Ok(chained(&first, Second::made(second), format!("{reason}; then {then}"))),
        Ok(None) => {
            let reason = format!("{reason}; it came to nothing, so nothing more was sold");
            Ok(chained(&first, Second::nothing(), reason))
        }
        Err(Thrown::Interrupt) => Err(Thrown::Interrupt),
        Err(Thrown::Failure(failure)) => {
            let reason = format!("{reason}; nothing more was sold: {}", failure.message);
            Ok(chained(&first, Second::failed(failure), reason))
        }
    }
}

/// Waits for the first conversion of a chain, notes what it came to, and sells what it bought; nothing if it failed.
fn sell_on(
    turn: &Turn,
    connection: &Arc<Connection>,
    map: &PrimitiveMap,
    (order, via): (&Order<'_>, &str),
    (first, moved, timeout): (&mut Value, Money, Option<TimeDelta>),
) -> Result<Option<(Value, String)>, Thrown> {
    let mut asked = vec![first.get("conversion").cloned().unwrap_or_default()];
    asked.extend(timeout.map(Value::Duration));
    let done = settled(turn, connection, &asked)?;
    let described = map
        .resource
        .as_deref()
        .and_then(|kind| connection.connector.resource(kind));
    *first = with(first, "conversion", done.clone());
    if described.is_some_and(|described| described.stage_of(&done) == Stage::Failed) {
        return Ok(None);
    }
    let told = match done.get("bought") {
        Some(Value::Money(bought)) => Some(*bought),
        _ => None,
    };
    let has_bought = Exchange::of(moved, told, None, None)
        .and_then(|exchange| exchange.to_sell_next())
        .map_err(|error| fail("unreadable_answer", error.to_string()))?;
    let next = Order {
        from: via,
        asked: Asked::Sold(SaleForm::Amount(has_bought)),
        minimum: None,
        maximum: None,
        ..*order
    };
    sell(turn, connection, map, &next).map(Some)
}

/// The second conversion of a chain.
struct Second {
    /// As `convert` tells one, where it was decided.
    leg: Option<Value>,
    /// Why it was not, though the first was made; or nothing.
    failure: Value,
}

impl Second {
    /// There was nothing to sell.
    fn nothing() -> Self {
        Self {
            leg: None,
            failure: Value::Null,
        }
    }

    fn made(leg: Value) -> Self {
        Self {
            leg: Some(leg),
            failure: Value::Null,
        }
    }

    fn failed(failure: Failure) -> Self {
        let failure = Value::map([
            ("error", Value::text(failure.code)),
            ("message", Value::text(failure.message)),
        ]);
        Self { leg: None, failure }
    }
}

/// What a chain of conversions came to.
fn chained(first: &Value, second: Second, reason: String) -> (Value, String) {
    let Second { leg: second, failure } = second;
    let last = second.as_ref().and_then(|second| second.get("conversion")).cloned();
    let result = Value::map([
        ("moved", first.get("moved").cloned().unwrap_or_default()),
        ("reason", Value::text(&reason)),
        ("quoted_rate", Value::Null),
        ("conversion", last.unwrap_or_default()),
        (
            "legs",
            Value::List(std::iter::once(first.clone()).chain(second).collect()),
        ),
        ("failure", failure),
    ]);
    (result, reason)
}

/// The same map with something else under a key.
fn with(map: &Value, key: &str, value: Value) -> Value {
    let mut entries = map.as_map().cloned().unwrap_or_default();
    entries.insert(key.to_owned(), value);
    Value::Map(entries)
}

/// The account that is meant: by its id, or the one of ours in this currency.
fn account_in(turn: &Turn, connection: &Arc<Connection>, via: &str) -> Result<String, Thrown> {
    let Ok(currency) = via.parse::<Currency>() else {
        return Ok(via.to_owned());
    };
    mapping(connection, "accounts")?;
    let wanted = Value::map([("currency", Value::text(currency.code()))]);
    let found = accounts(turn, connection, &[wanted])?;
    let mut ids = found
        .iter()
        .filter_map(|account| account.get("id").and_then(Value::as_text));
    match (ids.next(), ids.next()) {
        (Some(id), None) => Ok(id.to_owned()),
        _ => Err(invalid(format!(
            "there are {} accounts in {currency} at connection `{}`: give the id of the one to go through as `via`",
            found.len(),
            connection.name
        ))),
    }
}

/// One conversion as a script asks for it.
#[derive(Clone, Copy)]
struct Order<'a> {
    from: &'a str,
    to: &'a str,
    asked: Asked,
    minimum: Option<Money>,
    maximum: Option<Money>,
    limit: Option<Decimal>,
    quote: Option<Quote>,
    metadata: Option<&'a Map>,
}

/// What a conversion comes to before anything is sold.
struct Sells {
    sale: Sale,
    /// The rate of the whole amount, where it was asked.
    quoted: Value,
    /// What that was measured against.
    measured: Option<Measured>,
}

/// What the rate of a conversion was measured against.
struct Measured {
    sold: Currency,
    bought: Currency,
    rate: Decimal,
    limit: Decimal,
}

/// Decides one conversion, reserves what it sells, and sells it.
fn sell(
    turn: &Turn,
    connection: &Arc<Connection>,
    map: &PrimitiveMap,
    order: &Order<'_>,
) -> Result<(Value, String), Thrown> {
    let is_old = turn.was_further();
    let Sells { sale, quoted, measured } = turn.decide(connection, || decide(turn, connection, map, order))?;
    if sale.amount.is_zero() {
        return Ok(nothing(sale.amount, sale.reason, quoted));
    }
    let endpoint = calls::find(connection, &map.endpoint)?;
    let said = [
        ("from", Some(Value::text(order.from))),
        ("to", Some(Value::text(order.to))),
        ("amount", Some(Value::Money(sale.amount))),
        ("metadata", order.metadata.cloned().map(Value::Map)),
    ];
    let request = in_words_of(connection, map, "convert", said)?;
    let still = |again: &Again<'_>| match &measured {
        None => Ok(None),
        Some(measured) => measured.holds_still(again, (connection, map), order, sale.amount),
    };
    let conversion = turn.call_while(connection, endpoint, &request, is_old.then_some(&still))?;
    let summary = format!("{} sold: {}", sale.amount, sale.reason);
    let result = Value::map([
        ("moved", Value::Money(sale.amount)),
        ("reason", Value::text(sale.reason)),
        ("quoted_rate", quoted),
        ("conversion", with_resource(connection, map, conversion)),
    ]);
    Ok((result, summary))
}

fn decide(
    turn: &Turn,
    connection: &Arc<Connection>,
    map: &PrimitiveMap,
    order: &Order<'_>,
) -> Result<Decided<Sells>, Thrown> {
    let stand = stand(turn, connection, order.from)?;
    let have = stand.usable().map_err(|error| invalid(error.to_string()))?;
    let price = Price {
        map,
        sold: have.currency(),
        to: order.to,
    };
    let mut indicative = None;
    let form = match (order.asked, order.limit) {
        (Asked::Bought(amount), Some(slippage)) => {
            let (bought, rate) = price.indicative(turn, connection, order.quote)?;
            if amount.currency() != bought {
                let message = format!(
                    "`buy` of `convert` is in {}, and account {} in {bought}",
                    amount.currency(),
                    order.to
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
        minimum: least(map, have, order.minimum)?,
        maximum: order.maximum,
    };
    let mut sale = to_sell(have, &rule).map_err(|error| invalid(error.to_string()))?;
    sale.reason = Position {
        leaving: stand.leaving,
        ..Position::new(stand.available)
    }
    .because(sale.reason);
    let (mut quoted, mut measured) = (Value::Null, None);
    if let Some(limit) = order.limit.filter(|_| !sale.amount.is_zero()) {
        let (bought, unit) = match indicative {
            Some(known) => known,
            None => price.indicative(turn, connection, order.quote)?,
        };
        let whole = price.rate(Reads::Steps(turn), connection, bought, sale.amount)?;
        quoted = Value::Decimal(whole);
        measured = Some(Measured {
            sold: have.currency(),
            bought,
            rate: unit,
            limit,
        });
        if let Some(quote) = order.quote {
            // Last of all: what was read before may have taken its time.
            holds_now(turn, &quote, (have.currency(), bought))?;
        }
        if let Err(refused) = slippage(unit, whole, limit) {
            sale.amount = Money::zero(sale.amount.currency());
            sale.reason = refused.to_string();
        }
    }
    let reserved = ReservedMove {
        source: order.from.to_owned(),
        beneficiary: Some(order.to.to_owned()),
        amount: sale.amount,
    };
    let moves = Some(reserved).filter(|reserved| !reserved.amount.is_zero());
    Ok(Decided {
        what: Sells { sale, quoted, measured },
        seen: vec![stand.seen()],
        moves: moves.into_iter().collect(),
    })
}

impl Measured {
    /// Looks once more, just before it is sold: what was decided may have waited for hours since.
    fn holds_still(
        &self,
        again: &Again<'_>,
        (connection, map): (&Arc<Connection>, &PrimitiveMap),
        order: &Order<'_>,
        amount: Money,
    ) -> Result<Option<Failure>, Thrown> {
        let Self {
            sold,
            bought,
            rate,
            limit,
        } = *self;
        let price = Price {
            map,
            sold,
            to: order.to,
        };
        let whole = price.rate(Reads::Again(again), connection, bought, amount)?;
        if let Some(quote) = &order.quote {
            holds_at(again.now(), quote, (sold, bought))?;
        }
        let refused = slippage(rate, whole, limit).err();
        Ok(refused.map(|refused| Failure::new("rate_moved", format!("nothing was sold: {refused}"))))
    }
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

    /// What is bought, and the rate that others are measured against: the one the script was told, or that of one unit.
    fn indicative(
        &self,
        turn: &Turn,
        connection: &Arc<Connection>,
        told: Option<Quote>,
    ) -> Result<(Currency, Decimal), Thrown> {
        match told {
            None => self.of_one(turn, connection),
            Some(quote) => Ok((currency_of(turn, connection, self.to)?, quote.rate)),
        }
    }

    /// What is bought, and the indicative rate of one unit sold.
    fn of_one(&self, turn: &Turn, connection: &Arc<Connection>) -> Result<(Currency, Decimal), Thrown> {
        self.quote(connection)?;
        let bought = currency_of(turn, connection, self.to)?;
        let unit = Money::from_decimal(Decimal::ONE, self.sold).map_err(|error| invalid(error.to_string()))?;
        Ok((bought, self.rate(Reads::Steps(turn), connection, bought, unit)?))
    }

    /// The rate of so much.
    fn rate(
        &self,
        reads: Reads<'_>,
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
        let answer = reads.call(connection, endpoint, &query)?;
        decimal_at(&answer, &quote.rate)
            .filter(|rate| *rate > Decimal::ZERO)
            .ok_or_else(|| fail("unreadable_answer", format!("the quote has no readable rate: {answer}")))
    }
}

/// Refuses a price of another pair, and one that has expired by now. The time is recorded.
fn holds_now(turn: &Turn, quote: &Quote, (sold, bought): (Currency, Currency)) -> Result<(), Thrown> {
    let now = turn.local("now", &Value::Null.typed_text(), || {
        let now = Value::Time(turn.now());
        Ok((now.clone(), now.to_string()))
    })?;
    match now {
        Value::Time(now) => holds_at(now, quote, (sold, bought)),
        _ => Err(invalid("the time of the step is none")),
    }
}

/// The same at a time.
fn holds_at(now: Instant, quote: &Quote, (sold, bought): (Currency, Currency)) -> Result<(), Thrown> {
    let limits = QuoteLimits {
        sold,
        bought,
        slippage: None,
        now,
        used_at: now,
    };
    usable(quote, &limits).map_err(|refused| match refused {
        QuoteRefused::Expired { .. } | QuoteRefused::ExpiresBeforeUse { .. } => {
            fail("quote_expired", refused.to_string())
        }
        QuoteRefused::OtherPair { .. } | QuoteRefused::Rate(_) => invalid(refused.to_string()),
    })
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
