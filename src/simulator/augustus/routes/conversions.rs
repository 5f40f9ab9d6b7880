//! Conversions and quotes: prices from the table of rates, exact to the minor unit.

use chrono::TimeDelta;
use rust_decimal::Decimal;
use serde_json::{Value as Json, json};

use super::payouts::{echo, ending, exact, reserve, sender};
use crate::base::money::{Currency, Money};
use crate::simulator::augustus::CONTRACT;
use crate::simulator::augustus::lifecycle::conversion_ends;
use crate::simulator::augustus::page::page;
use crate::simulator::augustus::resources::{AccountStatus, CURRENCIES, Conversion, ConversionStatus, Quote, stamp};
use crate::simulator::config::{Conversions, QuoteId};
use crate::simulator::contract::Call;
use crate::simulator::core::market;
use crate::simulator::core::refusal::Refusal;
use crate::simulator::world::World;

/// How long a quote says it holds.
const QUOTE_SECS: i64 = 60;

pub(super) fn list(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let status = call.query.one_of("status", &["pending", "completed", "failed"])?;
    let source = call.query.currency("source_currency", &CURRENCIES)?;
    let target = call.query.currency("target_currency", &CURRENCIES)?;
    let keep = |conversion: &Conversion| {
        status.is_none_or(|status| conversion.status.name() == status)
            && source.is_none_or(|currency| conversion.source.currency() == currency)
            && target.is_none_or(|currency| conversion.target.currency() == currency)
    };
    page(world, call, &world.augustus.conversions, keep, Conversion::to_json)
}

pub(super) fn retrieve(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let conversion = world.augustus.conversions.get(call.id()?).map(Conversion::to_json);
    conversion.ok_or_else(|| Refusal::not_found("the conversion"))
}

pub(super) fn quote(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let quote = world.augustus.quotes.get(call.id()?).map(Quote::to_json);
    quote.ok_or_else(|| Refusal::not_found("the quote"))
}

pub(super) fn indicative(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let query = &call.query;
    let needed = |name: &str| {
        query
            .currency(name, &CURRENCIES)?
            .ok_or_else(|| Refusal::parameter_missing(name))
    };
    let (source, target) = (needed("source_currency")?, needed("target_currency")?);
    let sold = exact("source_amount", query.one("source_amount")?.unwrap_or("1"), source)?;
    let (rate, bought) = price(&world.core.config.conversions, sold, target, "target_currency")?;
    Ok(json!({
        "source_amount": sold.amount().to_string(),
        "source_currency": source,
        "target_amount": bought.amount().to_string(),
        "target_currency": target,
        "rate": rate.to_string(),
        "venue": world.core.config.conversions.venue,
        "fee": Json::Null,
        "quoted_at": stamp(world.core.now),
    }))
}

pub(super) fn create(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let mut fields = call.fields();
    let source_account_id = fields.uuid("source_account_id")?;
    let target_account_id = fields.uuid("target_account_id")?;
    let text = fields.text("source_amount")?;
    let metadata = fields.metadata()?;
    fields.finish(world.core.config.unknown_parameters)?;

    let source_currency = sender(world, source_account_id, "source_account_id")?.currency;
    let target_account = world
        .augustus
        .accounts
        .get(target_account_id)
        .ok_or_else(|| Refusal::not_found("the account of target_account_id"))?;
    if target_account.status != AccountStatus::Active {
        return Err(Refusal::conflict("the target account is not active"));
    }
    let sold = exact("source_amount", text, source_currency)?;
    if sold.amount() < world.core.config.conversions.minimum {
        let message = format!(
            "at least {} {source_currency} are converted",
            world.core.config.conversions.minimum
        );
        return Err(Refusal::parameter_invalid("source_amount", message));
    }
    let (rate, bought) = price(
        &world.core.config.conversions,
        sold,
        target_account.currency,
        "target_account_id",
    )?;

    let (id, quote) = (world.core.new_id(), world.core.new_id());
    let funds = reserve(world, id, source_account_id, sold, "conversion.created")?;
    keep_quote(world, quote, (sold, bought), rate);
    let at_creation = world.core.config.conversions.quote_id == QuoteId::AtCreation;
    let conversion = Conversion {
        id,
        status: ConversionStatus::Pending,
        quote_id: at_creation.then_some(quote),
        quote,
        source_account_id,
        target_account_id,
        source: sold,
        source_text: echo(world, sold, text),
        target: bought,
        failure: None,
        metadata,
        created_at: world.core.now,
        updated_at: world.core.now,
        completed_at: None,
        reserved: funds.is_none(),
        ending: ending(call, funds),
        key: call.idempotency_key.clone(),
    };
    let shown = conversion.to_json();
    let listed_from = world.core.listed_from(call.unlisted_ms);
    world
        .augustus
        .conversions
        .insert(id, world.core.now, listed_from, conversion);
    world.core.emit(&CONTRACT, "conversion.created", shown.clone());
    world
        .core
        .plan_step(world.core.config.lifecycle.conversion_completed_ms, id, conversion_ends);
    Ok(shown)
}

fn keep_quote(world: &mut World, id: uuid::Uuid, (source, target): (Money, Money), exchange_rate: Decimal) {
    let quote = Quote {
        id,
        status: "quote_accepted",
        funding_status: "pending",
        source,
        target,
        exchange_rate,
        venue: world.core.config.conversions.venue.clone(),
        expires_at: world.core.now + TimeDelta::seconds(QUOTE_SECS),
        created_at: world.core.now,
        updated_at: world.core.now,
    };
    world
        .augustus
        .quotes
        .insert(id, world.core.now, world.core.elapsed, quote);
}

/// What is bought for what is sold: target per unit of source, after the spread, cut to the minor unit.
fn price(settings: &Conversions, sold: Money, target: Currency, param: &str) -> Result<(Decimal, Money), Refusal> {
    let source = sold.currency();
    let unknown = || Refusal::parameter_invalid(param, format!("{source} cannot be converted to {target}"));
    let rate = market::rate(settings, source, target).ok_or_else(unknown)?;
    let bought = market::buy(sold, rate, target).ok_or_else(unknown)?;
    if !bought.is_positive() {
        return Err(Refusal::parameter_invalid(
            "source_amount",
            format!("that buys less than the smallest unit of {target}"),
        ));
    }
    Ok((rate, bought))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_written_turned_round_or_crossed() {
        let settings = Conversions {
            spread: Decimal::ZERO,
            ..Conversions::default()
        };
        let check = |sold: &str, source: &str, target: &str, expected: &str| {
            let sold = Money::parse(sold, Currency::from_code(source).unwrap()).unwrap();
            let (_, bought) = price(&settings, sold, Currency::from_code(target).unwrap(), "x").unwrap();
            assert_eq!(bought.amount().to_string(), expected, "{source} to {target}");
        };
        check("100.00", "EUR", "USD", "108.50");
        check("108.50", "USD", "EUR", "99.99");
        check("1000", "USDC", "EUR", "921.47");
        check("1", "BTC", "USDC", "64262.852570");
    }
}
