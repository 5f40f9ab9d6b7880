//! Treasury arithmetic: how much to sweep, how to fund, split, convert and give back.
//!
//! Pure functions from typed inputs to a decision with a reason, also for moving nothing. They must not
//! call a provider, read a balance or know a script.
//!
//! A decision is made in one order everywhere: position ([`position`]), target and direction ([`sweep`] one way,
//! [`flow`] two ways), whole multiples and bounds ([`bounds`]), and then what there is to fund with ([`several`],
//! [`structure`]).

pub mod bounds;
pub mod convert;
pub mod divide;
pub mod exchange;
pub mod flow;
pub mod give_back;
pub mod position;
pub mod several;
pub mod split;
pub mod structure;
pub mod sweep;

use std::cmp::Ordering;

use rust_decimal::Decimal;

use crate::base::money::{Currency, Money, MoneyError};

/// A rule that cannot be meant: found before any balance is looked at.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// Two currencies, or an amount too large to be held.
    #[error(transparent)]
    Money(#[from] MoneyError),
    /// An amount of a rule below zero; it would move more than there is.
    #[error("the {what} of {amount} is negative")]
    Negative {
        /// Which amount: `buffer`, `minimum`, ...
        what: &'static str,
        /// What stood there.
        amount: Money,
    },
    /// An amount of a rule that has to be more than zero.
    #[error("the {what} is zero; leave it out, or give an amount above zero")]
    Zero {
        /// Which amount.
        what: &'static str,
    },
    /// No amount could ever satisfy both.
    #[error("the maximum of {maximum} is below the minimum of {minimum}, so nothing could ever move")]
    MaximumBelowMinimum {
        /// The least that may move.
        minimum: Money,
        /// The most that may move.
        maximum: Money,
    },
    /// More is to stay behind than has to be there.
    #[error("the {keep} to leave behind is more than the threshold of {threshold}")]
    KeepAboveThreshold {
        /// What is left behind.
        keep: Money,
        /// From which balance on.
        threshold: Money,
    },
    /// Not a share of a balance.
    #[error("{0} per cent is no share of a balance: give more than 0, at most 100, with at most 12 decimals")]
    BadPercent(Decimal),
    /// What is short is measured from above where it is filled up to.
    #[error("an account that is short below {below} cannot be filled up to {up_to}: give at least as much")]
    FilledBelowShort {
        /// Below which balance it is short.
        below: Money,
        /// Up to where it is filled.
        up_to: Money,
    },
    /// What is filled in would go out again.
    #[error(
        "what is above {quiet} goes out again, so an account cannot be filled up to {up_to}: fill up to {quiet} at most"
    )]
    ToAndFro {
        /// The highest balance of which nothing goes out.
        quiet: Money,
        /// Up to where it would be filled.
        up_to: Money,
    },
    /// A currency sold for itself.
    #[error("{0} cannot be bought with {0}: name two currencies")]
    SameCurrency(Currency),
    /// Not a rate.
    #[error("the rate {0} is not above zero")]
    BadRate(Decimal),
    /// Not a limit.
    #[error("the slippage limit {0} is not a fraction from 0 up to 1, such as 0.003 for 0.3 %")]
    BadSlippage(Decimal),
}

/// Refuses an amount of another currency than the balance, or below zero.
fn check_amount(what: &'static str, amount: Money, balance: Money) -> Result<(), RuleError> {
    balance.compare(amount)?;
    if amount.is_negative() {
        return Err(RuleError::Negative { what, amount });
    }
    Ok(())
}

/// Refuses an amount of another currency than the balance; it may be below zero.
fn check_signed(amount: Money, balance: Money) -> Result<(), RuleError> {
    balance.compare(amount)?;
    Ok(())
}

/// Whether `left` is less than `right`.
fn below(left: Money, right: Money) -> Result<bool, MoneyError> {
    Ok(left.compare(right)? == Ordering::Less)
}

/// The smaller of the two.
fn least(left: Money, right: Money) -> Result<Money, MoneyError> {
    Ok(if below(right, left)? { right } else { left })
}
