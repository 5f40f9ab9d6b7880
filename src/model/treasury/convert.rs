//! Conversions: how much of a currency to sell, and whether a rate is good enough.
//!
//! It must not know quotes, providers or when a rate was seen.

use std::fmt;

use rust_decimal::Decimal;

use super::{RuleError, below, check_amount, digits, least};
use crate::base::guard::{Guard, holds};
use crate::base::money::{Money, Rounding};

/// What to sell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SaleForm {
    /// Exactly this much, or nothing.
    Amount(Money),
    /// Everything above this.
    Above(Money),
}

/// When and how much to sell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SaleRule {
    /// What to sell.
    pub form: SaleForm,
    /// Not worth selling less.
    pub minimum: Option<Money>,
    /// Never more at once.
    pub maximum: Option<Money>,
}

impl SaleRule {
    /// The rule of this form, without further limits.
    pub fn new(form: SaleForm) -> Self {
        Self {
            form,
            minimum: None,
            maximum: None,
        }
    }
}

/// What a rule comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sale {
    /// How much to sell; zero if nothing is, never less.
    pub amount: Money,
    /// Why that much, for people.
    pub reason: String,
}

/// Decides a sale. What is sold is never more than the balance and never zero; else the sale is of nothing.
///
/// # Errors
/// [`RuleError`] for a rule of another currency or one that cannot be meant.
pub fn to_sell(balance: Money, rule: &SaleRule) -> Result<Sale, RuleError> {
    for (what, amount) in [("minimum", rule.minimum), ("maximum", rule.maximum)] {
        if let Some(amount) = amount {
            check_amount(what, amount, balance)?;
        }
    }
    if rule.maximum.is_some_and(Money::is_zero) {
        return Err(RuleError::Zero { what: "maximum" });
    }
    if let (Some(minimum), Some(maximum)) = (rule.minimum, rule.maximum)
        && below(maximum, minimum)?
    {
        return Err(RuleError::MaximumBelowMinimum { minimum, maximum });
    }
    let nothing = |reason| {
        Ok(Sale {
            amount: Money::zero(balance.currency()),
            reason,
        })
    };
    let (wanted, briefly, mut reason) = match rule.form {
        SaleForm::Amount(amount) => {
            check_amount("amount to sell", amount, balance)?;
            if amount.is_zero() {
                return Err(RuleError::Zero { what: "amount to sell" });
            }
            if below(balance, amount)? && holds(Guard::ConvertBalance) {
                return nothing(format!("the balance of {balance} does not cover the {amount} to sell"));
            }
            (amount, digits(amount), format!("the {amount} asked for"))
        }
        SaleForm::Above(float) => {
            check_amount("float", float, balance)?;
            let above = balance.checked_sub(float)?;
            if !above.is_positive() {
                return nothing(format!("the balance of {balance} is not above the float of {float}"));
            }
            let briefly = format!("{} above the float", digits(above));
            (above, briefly, format!("{above} above the float of {float}"))
        }
    };
    if let Some(minimum) = rule.minimum
        && below(wanted, minimum)?
    {
        return nothing(format!("{briefly} is below the minimum of {minimum}"));
    }
    let amount = match rule.maximum {
        Some(maximum) => least(wanted, maximum)?,
        None => wanted,
    };
    if let (true, Some(maximum)) = (amount != wanted, rule.maximum) {
        reason = format!("{reason}, at most {maximum} at once");
    }
    Ok(Sale { amount, reason })
}

/// Why a rate is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RateRefused {
    /// It is worse than the limit allows.
    Slipped {
        /// The rate it is measured against.
        indicative: Decimal,
        /// The rate offered or achieved.
        rate: Decimal,
        /// How much of the indicative rate is lost: 0.004 is four per mille.
        loss: Decimal,
        /// How much may be.
        limit: Decimal,
    },
    /// Not a rate at all.
    NotARate {
        /// Which of the two: `indicative` or `offered`.
        which: &'static str,
        /// What stood there.
        rate: Decimal,
    },
    /// Not a limit: below zero, or one and more.
    NotALimit(Decimal),
}

impl std::error::Error for RateRefused {}

impl fmt::Display for RateRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Slipped {
                indicative,
                rate,
                loss,
                limit,
            } => write!(
                f,
                "the rate {rate} is {} % worse than the indicative {indicative}, more than the {} % allowed",
                percent(*loss),
                percent(*limit)
            ),
            Self::NotARate { which, rate } => write!(f, "the {which} rate {rate} is not above zero"),
            Self::NotALimit(limit) => write!(
                f,
                "the slippage limit {limit} is not a fraction from 0 up to 1, such as 0.003 for 0.3 %"
            ),
        }
    }
}

/// A fraction in hundredths, with the digits a person reads; rounded up, so that what exceeds a limit never
/// reads as equal to it.
fn percent(fraction: Decimal) -> Decimal {
    Rounding::Up.round(fraction * Decimal::ONE_HUNDRED, 4).normalize()
}

/// Whether an offered or achieved rate is near enough to the indicative one.
///
/// Rates are units bought for one unit sold, so less is worse. Only a worse rate is refused: a better one is
/// what one hopes for.
///
/// # Errors
/// [`RateRefused`], with both rates and what would be lost.
pub fn slippage(indicative: Decimal, rate: Decimal, limit: Decimal) -> Result<(), RateRefused> {
    for (which, rate) in [("indicative", indicative), ("offered", rate)] {
        if rate <= Decimal::ZERO {
            return Err(RateRefused::NotARate { which, rate });
        }
    }
    if limit < Decimal::ZERO || limit >= Decimal::ONE {
        return Err(RateRefused::NotALimit(limit));
    }
    if rate >= indicative {
        return Ok(());
    }
    // Both are above zero and the rate is the smaller one, so the quotient is below one and cannot overflow.
    let loss = (indicative - rate) / indicative;
    if loss > limit && holds(Guard::ConvertSlippage) {
        return Err(RateRefused::Slipped {
            indicative,
            rate,
            loss,
            limit,
        });
    }
    Ok(())
}

/// The rate at which something was bought: units bought for one unit sold, or nothing if nothing was sold.
pub fn achieved_rate(sold: Money, bought: Money) -> Option<Decimal> {
    if !sold.is_positive() || !bought.is_positive() {
        return None;
    }
    bought.amount().checked_div(sold.amount())
}
