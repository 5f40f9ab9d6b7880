//! Conversions and quotes: prices from the table of rates, exact to the minor unit.

use chrono::TimeDelta;
use rust_decimal::{Decimal, RoundingStrategy};
use serde_json::{Value as Json, json};

use super::Call;
use super::payouts::{echo, ending, exact, reserve, sender};
use crate::base::money::{Currency, Money, Rounding};
use crate::simulator::config::{Conversions, QuoteId};
use crate::simulator::augustus::error::ApiError;
use crate::simulator::augustus::lifecycle::Step;
use crate::simulator::augustus::page::page;
use crate::simulator::augustus::resources::{AccountStatus, Conversion, ConversionStatus, Quote, stamp};
use crate::simulator::state::World;

/// Decimals of a rate.
const RATE_SCALE: u32 = 10;
/// How long a quote says it holds.
const QUOTE_SECS: i64 = 60;

pub(super) fn list(world: &mut World, call: &Call) -> Result<Json, ApiError> {
    let status = call.query.one_of("status", &["pending", "completed", "failed"])?;
    let source = call.query.currency("source_currency")?;
    let target = call.query.currency("target_currency")?;
    let keep = |conversion: &Conversion| {
        status.is_none_or(|status| conversion.status.name() == status)
            && source.is_none_or(|currency| conversion.source.currency() == currency)
            && target.is_none_or(|currency| conversion.target.currency() == currency)
    };
    page(world, call, &world.conversions, keep, Conversion::to_json)
}

pub(super) fn retrieve(world: &mut World, call: &Call) -> Result<Json, ApiError> {
    let conversion = world.conversions.get(call.id()?).map(Conversion::to_json);
    conversion.ok_or_else(|| ApiError::not_found("the conversion"))
}

pub(super) fn quote(world: &mut World, call: &Call) -> Result<Json, ApiError> {
    let quote = world.quotes.get(call.id()?).map(Quote::to_json);
    quote.ok_or_else(|| ApiError::not_found("the quote"))
}

pub(super) fn indicative(world: &mut World, call: &Call) -> Result<Json, ApiError> {
    let query = &call.query;
    let needed = |name: &str| query.currency(name)?.ok_or_else(|| ApiError::parameter_missing(name));
    let (source, target) = (needed("source_currency")?, needed("target_currency")?);
    let sold = exact("source_amount", query.one("source_amount")?.unwrap_or("1"), source)?;
    let (rate, bought) = price(&world.config.conversions, sold, target, "target_currency")?;
    Ok(json!({
        "source_amount": sold.amount().to_string(),
        "source_currency": source,
        "target_amount": bought.amount().to_string(),
        "target_currency": target,
        "rate": rate.to_string(),
        "venue": world.config.conversions.venue,
        "fee": Json::Null,
        "quoted_at": stamp(world.now),
    }))
}

pub(super) fn create(world: &mut World, call: &Call) -> Result<Json, ApiError> {
    let mut fields = call.fields();
    let source_account_id = fields.uuid("source_account_id")?;
    let target_account_id = fields.uuid("target_account_id")?;
    let text = fields.text("source_amount")?;
    let metadata = fields.metadata()?;
    fields.finish(world.config.unknown_parameters)?;

    let source_currency = sender(world, source_account_id, "source_account_id")?.currency;
    let target_account = world
        .accounts
        .get(target_account_id)
        .ok_or_else(|| ApiError::not_found("the account of target_account_id"))?;
    if target_account.status != AccountStatus::Active {
        return Err(ApiError::conflict("the target account is not active"));
    }
    let sold = exact("source_amount", text, source_currency)?;
    if sold.amount() < world.config.conversions.minimum {
        let message = format!(
            "at least {} {source_currency} are converted",
            world.config.conversions.minimum
        );
        return Err(ApiError::parameter_invalid("source_amount", message));
    }
    let (rate, bought) = price(
        &world.config.conversions,
        sold,
        target_account.currency,
        "target_account_id",
    )?;

    let (id, quote) = (world.new_id(), world.new_id());
    let funds = reserve(world, id, source_account_id, sold, "conversion.created")?;
    keep_quote(world, quote, (sold, bought), rate);
    let at_creation = world.config.conversions.quote_id == QuoteId::AtCreation;
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
        created_at: world.now,
        updated_at: world.now,
        completed_at: None,
        reserved: funds.is_none(),
        ending: ending(call, funds),
        key: call.idempotency_key.clone(),
    };
    let shown = conversion.to_json();
    let listed_from = world.listed_from(call.unlisted_ms);
    world.conversions.insert(id, world.now, listed_from, conversion);
    world.emit("conversion.created", shown.clone());
    world.plan_step(world.config.lifecycle.conversion_completed_ms, id, Step::ConversionEnds);
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
        venue: world.config.conversions.venue.clone(),
        expires_at: world.now + TimeDelta::seconds(QUOTE_SECS),
        created_at: world.now,
        updated_at: world.now,
    };
    world.quotes.insert(id, world.now, world.elapsed, quote);
}

/// What is bought for what is sold: target per unit of source, after the spread, cut to the minor unit.
fn price(settings: &Conversions, sold: Money, target: Currency, param: &str) -> Result<(Decimal, Money), ApiError> {
    let source = sold.currency();
    let unknown = || ApiError::parameter_invalid(param, format!("{source} cannot be converted to {target}"));
    if source == target {
        return Err(unknown());
    }
    let mid = mid_rate(settings, source.code(), target.code()).ok_or_else(unknown)?;
    let rate = mid
        .checked_mul(Decimal::ONE - settings.spread)
        .map(|rate| {
            rate.round_dp_with_strategy(RATE_SCALE, RoundingStrategy::ToZero)
                .normalize()
        })
        .ok_or_else(unknown)?;
    let bought = sold
        .amount()
        .checked_mul(rate)
        .and_then(|amount| Money::rounded(amount, target, Rounding::Down).ok())
        .ok_or_else(unknown)?;
    if !bought.is_positive() {
        return Err(ApiError::parameter_invalid(
            "source_amount",
            format!("that buys less than the smallest unit of {target}"),
        ));
    }
    Ok((rate, bought))
}

/// The rate as written, turned round, or by way of the dollar.
fn mid_rate(settings: &Conversions, source: &str, target: &str) -> Option<Decimal> {
    let direct = |from: &str, to: &str| {
        let written = settings.rates.get(&format!("{from}/{to}")).copied();
        written.or_else(|| Decimal::ONE.checked_div(*settings.rates.get(&format!("{to}/{from}"))?))
    };
    direct(source, target).or_else(|| direct(source, "USD")?.checked_mul(direct("USD", target)?))
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
