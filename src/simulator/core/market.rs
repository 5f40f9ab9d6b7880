//! The one market all providers convert at: rates from the settings, exact to the minor unit.

use rust_decimal::{Decimal, RoundingStrategy};

use crate::base::money::{Currency, Money, Rounding};
use crate::simulator::config::Conversions;

/// Decimals of a rate.
const RATE_SCALE: u32 = 10;

/// Target per unit of source, after the spread; none for a pair that is not traded.
pub(crate) fn rate(settings: &Conversions, source: Currency, target: Currency) -> Option<Decimal> {
    if source == target {
        return None;
    }
    let mid = mid_rate(settings, source.code(), target.code())?;
    let rate = mid.checked_mul(Decimal::ONE - settings.spread)?;
    let rate = rate.round_dp_with_strategy(RATE_SCALE, RoundingStrategy::ToZero);
    Some(rate.normalize())
}

/// What is bought for what is sold, cut to the minor unit; none past what can be held.
pub(crate) fn buy(sold: Money, rate: Decimal, target: Currency) -> Option<Money> {
    let amount = sold.amount().checked_mul(rate)?;
    Money::rounded(amount, target, Rounding::Down).ok()
}

/// The rate as written, turned round, or by way of the dollar.
fn mid_rate(settings: &Conversions, source: &str, target: &str) -> Option<Decimal> {
    let direct = |from: &str, to: &str| {
        let written = settings.rates.get(&format!("{from}/{to}")).copied();
        written.or_else(|| Decimal::ONE.checked_div(*settings.rates.get(&format!("{to}/{from}"))?))
    };
    direct(source, target).or_else(|| direct(source, "USD")?.checked_mul(direct("USD", target)?))
}
