//! Treasury arithmetic: how much to sweep, how to split, whether a rate is acceptable.
//!
//! Pure functions from typed inputs to a decision with a reason, also for moving nothing. They must not
//! call a provider, read a balance or know a script.

pub mod convert;
pub mod split;
pub mod sweep;

use std::cmp::Ordering;

use crate::base::money::{Money, MoneyError};

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
}

/// Refuses an amount of another currency than the balance, or below zero.
fn check_amount(what: &'static str, amount: Money, balance: Money) -> Result<(), RuleError> {
    balance.compare(amount)?;
    if amount.is_negative() {
        return Err(RuleError::Negative { what, amount });
    }
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

/// The amount as people write it, without its currency: for a sentence that names the currency elsewhere.
fn digits(money: Money) -> String {
    let text = money.to_string();
    text.split_once(' ')
        .map_or(text.clone(), |(_, digits)| digits.to_owned())
}
