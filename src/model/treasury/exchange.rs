//! Exchanges: whether a quote may be used, which conversions lead from one currency to another, and what came of one.
//!
//! What a provider does not tell stays unknown: nothing is computed in its place without saying so. It must not ask
//! for a price, nor for the time.

use rust_decimal::Decimal;

use super::convert::{RateRefused, achieved_rate, slippage};
use crate::base::clock::Instant;
use crate::base::guard::{Guard, holds};
use crate::base::money::{Currency, Money};

/// A price.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quote {
    /// What is sold.
    pub sold: Currency,
    /// What is bought.
    pub bought: Currency,
    /// Units bought for one unit sold.
    pub rate: Decimal,
    /// Until when it holds; a price without it is indicative.
    pub expires_at: Option<Instant>,
}

/// What a price has to satisfy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuoteLimits {
    /// What is to be sold.
    pub sold: Currency,
    /// What is to be bought.
    pub bought: Currency,
    /// The rate it is measured against, and how much of that may be lost.
    pub slippage: Option<(Decimal, Decimal)>,
    /// The time it is.
    pub now: Instant,
    /// When it will be used: now, or the end of what is waited for before.
    pub used_at: Instant,
}

/// Why a price is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuoteRefused {
    /// A price of another pair.
    #[error("the quote is for {sold} to {bought}, not for {asked_sold} to {asked_bought}")]
    OtherPair {
        /// What it sells.
        sold: Currency,
        /// What it buys.
        bought: Currency,
        /// What was to be sold.
        asked_sold: Currency,
        /// What was to be bought.
        asked_bought: Currency,
    },
    /// It has lapsed.
    #[error("the quote expired at {expired_at}: ask for a new one")]
    Expired {
        /// When.
        expired_at: Instant,
    },
    /// It will have lapsed.
    #[error("the quote expires at {expires_at}, before it can be used at {used_at}: wait first, then ask for a quote")]
    ExpiresBeforeUse {
        /// When.
        expires_at: Instant,
        /// When it would be used.
        used_at: Instant,
    },
    /// The rate is not good enough, or none.
    #[error(transparent)]
    Rate(RateRefused),
}

/// Whether a price may be used.
///
/// # Errors
/// [`QuoteRefused`] says why not.
pub fn usable(quote: &Quote, limits: &QuoteLimits) -> Result<(), QuoteRefused> {
    if (quote.sold, quote.bought) != (limits.sold, limits.bought) {
        return Err(QuoteRefused::OtherPair {
            sold: quote.sold,
            bought: quote.bought,
            asked_sold: limits.sold,
            asked_bought: limits.bought,
        });
    }
    if let Some(expires_at) = quote.expires_at.filter(|_| holds(Guard::QuoteExpiry)) {
        if expires_at <= limits.now {
            return Err(QuoteRefused::Expired { expired_at: expires_at });
        }
        if expires_at <= limits.used_at {
            return Err(QuoteRefused::ExpiresBeforeUse {
                expires_at,
                used_at: limits.used_at,
            });
        }
    }
    // A price is a rate also where nothing is said to measure it against.
    let (indicative, limit) = limits.slippage.unwrap_or((quote.rate, Decimal::ZERO));
    slippage(indicative, quote.rate, limit).map_err(QuoteRefused::Rate)
}

/// Why there is no way from one currency to another.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoWay {
    /// Sold for itself.
    #[error("{0} is sold for {0}: name two currencies")]
    Same(Currency),
    /// Not offered, and no chain was asked for.
    #[error("{sold} cannot be sold for {bought} directly{}", chain_help(.through))]
    NotDirect {
        /// What is sold.
        sold: Currency,
        /// What is bought.
        bought: Currency,
        /// Through which one it would go.
        through: Vec<Currency>,
    },
    /// A link of the chain that was asked for is not offered.
    #[error("the chain cannot be made: {sold} cannot be sold for {bought}")]
    BrokenChain {
        /// What is sold.
        sold: Currency,
        /// What is bought.
        bought: Currency,
    },
    /// The same currency twice in a chain.
    #[error("{0} stands twice in the chain: each conversion costs, leave it out")]
    Twice(Currency),
}

fn chain_help(through: &[Currency]) -> String {
    match through {
        [] => ", and no third currency leads there".to_owned(),
        [first, ..] => format!("; a chain of two conversions is made only when asked for: `via: \"{first}\"`"),
    }
}

/// The conversions that lead from one currency to another: the direct one, or the chain that was asked for.
///
/// # Errors
/// [`NoWay`], with the chain that could be asked for.
pub fn way(
    sold: Currency,
    bought: Currency,
    via: &[Currency],
    offered: &[(Currency, Currency)],
) -> Result<Vec<(Currency, Currency)>, NoWay> {
    if sold == bought {
        return Err(NoWay::Same(sold));
    }
    let is_offered = |from: Currency, to: Currency| offered.contains(&(from, to));
    let stations: Vec<Currency> = [sold].into_iter().chain(via.iter().copied()).chain([bought]).collect();
    for (place, station) in stations.iter().enumerate() {
        if stations[..place].contains(station) {
            return Err(NoWay::Twice(*station));
        }
    }
    let mut legs = Vec::with_capacity(stations.len() - 1);
    for pair in stations.windows(2) {
        if !is_offered(pair[0], pair[1]) {
            if !via.is_empty() {
                return Err(NoWay::BrokenChain {
                    sold: pair[0],
                    bought: pair[1],
                });
            }
            let through = offered
                .iter()
                .filter(|(from, to)| *from == sold && is_offered(*to, bought))
                .map(|(_, to)| *to);
            return Err(NoWay::NotDirect {
                sold,
                bought,
                through: through.collect(),
            });
        }
        legs.push((pair[0], pair[1]));
    }
    Ok(legs)
}

/// Where a rate comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RateFrom {
    /// The provider told it.
    Provider,
    /// It is what was bought for one unit sold, fees and all.
    Amounts,
}

impl RateFrom {
    /// The word for it: `provider` or `amounts`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Provider => "provider",
            Self::Amounts => "amounts",
        }
    }
}

/// What came of a conversion, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exchange {
    /// What was sold.
    pub sold: Money,
    /// What was bought.
    pub bought: Option<Money>,
    /// Units bought for one unit sold, and who says so.
    pub rate: Option<(Decimal, RateFrom)>,
    /// What the provider took.
    pub fee: Option<Money>,
}

/// Why what is told of a conversion cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExchangeError {
    /// Bought in the currency it was sold in, or one of the amounts is not above zero, or the fee below it.
    #[error("{what} of {amount} cannot come of selling {sold}")]
    Impossible {
        /// Which amount.
        what: &'static str,
        /// How much.
        amount: Money,
        /// What was sold.
        sold: Money,
    },
    /// A rate that is none.
    #[error("the rate {0} is not above zero")]
    NotARate(Decimal),
    /// What is needed to go on is not known.
    #[error("what {sold} bought is not known yet: wait until the conversion is settled, then sell what it bought")]
    BoughtUnknown {
        /// What was sold.
        sold: Money,
    },
}

impl Exchange {
    /// What is told of a conversion. A rate that is not told is computed from the amounts, and marked so.
    ///
    /// # Errors
    /// [`ExchangeError`] for what cannot be.
    pub fn of(
        sold: Money,
        bought: Option<Money>,
        rate: Option<Decimal>,
        fee: Option<Money>,
    ) -> Result<Self, ExchangeError> {
        let impossible = |what, amount| Err(ExchangeError::Impossible { what, amount, sold });
        if !sold.is_positive() {
            return impossible("a sale", sold);
        }
        if let Some(bought) = bought
            && (bought.currency() == sold.currency() || !bought.is_positive())
        {
            return impossible("a purchase", bought);
        }
        if let Some(fee) = fee.filter(|fee| fee.is_negative()) {
            return impossible("a fee", fee);
        }
        if let Some(rate) = rate.filter(|rate| *rate <= Decimal::ZERO) {
            return Err(ExchangeError::NotARate(rate));
        }
        let told = rate.map(|rate| (rate, RateFrom::Provider));
        let computed = || Some((achieved_rate(sold, bought?)?, RateFrom::Amounts));
        Ok(Self {
            sold,
            bought,
            rate: told.or_else(computed),
            fee,
        })
    }

    /// What the next conversion of a chain has to sell: what this one bought, never what it was expected to buy.
    ///
    /// # Errors
    /// [`ExchangeError::BoughtUnknown`].
    pub fn to_sell_next(&self) -> Result<Money, ExchangeError> {
        self.bought.ok_or(ExchangeError::BoughtUnknown { sold: self.sold })
    }
}
