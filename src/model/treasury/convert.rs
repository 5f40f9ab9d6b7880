//! Conversions: how much of a currency to sell, and whether a rate is good enough.
//!
//! It must not know providers or when a rate was seen; quotes, chains and what came of a conversion are
//! [`super::exchange`]'s.

use std::fmt;

use rust_decimal::Decimal;

use super::{RuleError, below, check_amount, least};
use crate::base::guard::{Guard, holds};
use crate::base::money::{Currency, Money, MoneyError, Rounding};

/// What to sell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SaleForm {
    /// Exactly this much, or nothing.
    Amount(Money),
    /// Everything above this.
    Above(Money),
    /// Nothing up to `from`; above it, everything down to `to`.
    Down {
        /// Above which balance something is sold.
        from: Money,
        /// What is kept then.
        to: Money,
    },
    /// What buys this much of another currency at the worst rate that would be taken, or nothing.
    Bought {
        /// How much to buy.
        amount: Money,
        /// The indicative rate: units bought for one unit sold.
        rate: Decimal,
        /// How much of that rate may be lost: 0.003 is 0.3 %.
        slippage: Decimal,
    },
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
    let (wanted, briefly, mut reason) = match wanted(balance, rule)? {
        Wanted::Nothing(reason) => return nothing(reason),
        Wanted::Some {
            amount,
            briefly,
            reason,
        } => (amount, briefly, reason),
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

/// What a form comes to before the limits.
enum Wanted {
    Nothing(String),
    Some {
        amount: Money,
        briefly: String,
        reason: String,
    },
}

fn wanted(balance: Money, rule: &SaleRule) -> Result<Wanted, RuleError> {
    match rule.form {
        SaleForm::Amount(amount) => {
            check_amount("amount to sell", amount, balance)?;
            if amount.is_zero() {
                return Err(RuleError::Zero { what: "amount to sell" });
            }
            if below(balance, amount)? && holds(Guard::ConvertBalance) {
                let reason = format!("the balance of {balance} does not cover the {amount} to sell");
                return Ok(Wanted::Nothing(reason));
            }
            Ok(Wanted::Some {
                amount,
                briefly: amount.to_string(),
                reason: format!("the {amount} asked for"),
            })
        }
        SaleForm::Above(float) => {
            check_amount("float", float, balance)?;
            let above = balance.checked_sub(float)?;
            if !above.is_positive() {
                let reason = format!("the balance of {balance} is not above the float of {float}");
                return Ok(Wanted::Nothing(reason));
            }
            Ok(Wanted::Some {
                amount: above,
                briefly: format!("{above} above the float"),
                reason: format!("{above} above the float of {float}"),
            })
        }
        SaleForm::Down { from, to } => {
            check_amount("threshold", from, balance)?;
            check_amount("target", to, balance)?;
            if below(from, to)? {
                return Err(RuleError::KeepAboveThreshold {
                    keep: to,
                    threshold: from,
                });
            }
            if !below(from, balance)? {
                let reason = format!("the balance of {balance} is not above the threshold of {from}");
                return Ok(Wanted::Nothing(reason));
            }
            let above = balance.checked_sub(to)?;
            Ok(Wanted::Some {
                amount: above,
                briefly: format!("{above} above the target"),
                reason: format!("{above} down to the target of {to}, as the balance is above the threshold of {from}"),
            })
        }
        SaleForm::Bought { amount, rate, slippage } => buys(balance, rule.maximum, amount, (rate, slippage)),
    }
}

/// What has to be sold to buy an amount: whole, so a maximum that would cut it allows nothing.
fn buys(
    balance: Money,
    maximum: Option<Money>,
    amount: Money,
    (rate, slippage): (Decimal, Decimal),
) -> Result<Wanted, RuleError> {
    let wanted = price_of(amount, balance.currency(), rate, slippage)?;
    let told = format!("the {wanted} that buy {amount} at the worst rate that would be taken");
    if below(balance, wanted)? && holds(Guard::ConvertBalance) {
        let reason = format!("the balance of {balance} does not cover {told}");
        return Ok(Wanted::Nothing(reason));
    }
    if let Some(maximum) = maximum
        && below(maximum, wanted)?
    {
        return Ok(Wanted::Nothing(format!("{told} are above the maximum of {maximum}")));
    }
    Ok(Wanted::Some {
        amount: wanted,
        briefly: format!("the {wanted} that buy {amount}"),
        reason: told,
    })
}

/// The least that buys so much at the worst rate that would be taken: `amount / (rate × (1 − slippage))`, brought up
/// to the minor unit.
///
/// # Errors
/// [`RuleError`] for an amount that is not above zero, a rate or slippage that is none, or too large a price.
pub fn price_of(amount: Money, sold: Currency, rate: Decimal, slippage: Decimal) -> Result<Money, RuleError> {
    check_amount("amount to buy", amount, amount)?;
    if amount.is_zero() {
        return Err(RuleError::Zero { what: "amount to buy" });
    }
    if amount.currency() == sold {
        return Err(RuleError::SameCurrency(sold));
    }
    if rate <= Decimal::ZERO {
        return Err(RuleError::BadRate(rate));
    }
    if slippage < Decimal::ZERO || slippage >= Decimal::ONE {
        return Err(RuleError::BadSlippage(slippage));
    }
    let too_large = || RuleError::Money(MoneyError::Overflow);
    let worst = rate.checked_mul(Decimal::ONE - slippage).ok_or_else(too_large)?;
    let exact = amount.amount().checked_div(worst).ok_or_else(too_large)?;
    let price = Money::rounded(exact, sold, Rounding::Up)?;
    // The division itself may have been cut in its last digit: one unit either way is looked at.
    let unit = Money::from_minor(1, sold)?;
    let buys = |price: Money| Some(price.amount().checked_mul(worst)? >= amount.amount());
    let less = price.checked_sub(unit)?;
    if less.is_positive() && buys(less).ok_or_else(too_large)? {
        return Ok(less);
    }
    if buys(price).ok_or_else(too_large)? {
        return Ok(price);
    }
    Ok(price.checked_add(unit)?)
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
