//! Giving back: refunds and returns, whole or in parts, and never more than is left of the original.
//!
//! It must not know how money goes back, nor whether a provider takes parts: the caller says so.

use super::{RuleError, below, check_amount};
use crate::base::guard::{Guard, holds};
use crate::base::money::{Money, MoneyError};

/// What was paid, and what has gone back of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Original {
    /// What was paid.
    pub amount: Money,
    /// What went back before, also what is on its way; what failed is not among it.
    pub earlier: Vec<Money>,
    /// What is not given back: a fee that stays with who took it.
    pub retained: Option<Money>,
    /// Whether only the whole of it can go back, and once: a bank's own return.
    pub whole_only: bool,
}

impl Original {
    /// A payment of which nothing went back yet, and all of it may, in parts as well.
    pub fn new(amount: Money) -> Self {
        Self {
            amount,
            earlier: Vec::new(),
            retained: None,
            whole_only: false,
        }
    }
}

/// What is to go back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GiveBack {
    /// How much; more than zero.
    pub amount: Money,
    /// What may still go back after it.
    pub left: Money,
    /// Whether the original has gone back whole with it.
    pub whole: bool,
    /// Why that much, for people.
    pub reason: String,
}

/// Why nothing can go back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GiveBackError {
    /// An amount of another currency, below zero, or too large.
    #[error(transparent)]
    Amount(#[from] RuleError),
    /// Nothing is left.
    #[error("nothing is left to give back: {given_back} of {amount} went back before")]
    NothingLeft {
        /// What was paid.
        amount: Money,
        /// What went back.
        given_back: Money,
    },
    /// More than is left.
    #[error("{asked} is more than the {left} that may still go back: give back {left} at most")]
    MoreThanLeft {
        /// What was asked for.
        asked: Money,
        /// What may go back.
        left: Money,
    },
    /// More went back than was paid: what is known contradicts itself.
    #[error("{given_back} went back of a payment of {amount}: look at its history before anything else goes back")]
    MoreThanPaid {
        /// What went back.
        given_back: Money,
        /// What was paid.
        amount: Money,
    },
    /// A part where only the whole goes back.
    #[error("only the whole {amount} can go back this way, not {asked}: send a part back as a new payment")]
    WholeOnly {
        /// What was asked for.
        asked: Money,
        /// What was paid.
        amount: Money,
    },
}

impl From<MoneyError> for GiveBackError {
    fn from(error: MoneyError) -> Self {
        Self::Amount(error.into())
    }
}

/// Decides what goes back: what is asked for, or all that is left.
///
/// # Errors
/// [`GiveBackError`], with the numbers.
pub fn give_back(original: &Original, asked: Option<Money>) -> Result<GiveBack, GiveBackError> {
    let paid = original.amount;
    let zero = Money::zero(paid.currency());
    check_amount("original amount", paid, paid)?;
    let mut given_back = zero;
    for earlier in &original.earlier {
        check_amount("amount that went back", *earlier, paid)?;
        given_back = given_back.checked_add(*earlier)?;
    }
    if below(paid, given_back)? {
        return Err(GiveBackError::MoreThanPaid {
            given_back,
            amount: paid,
        });
    }
    let mut left = paid.checked_sub(given_back)?;
    if let Some(retained) = original.retained {
        check_amount("amount retained", retained, paid)?;
        left = left.checked_sub(retained)?;
    }
    let already = original.whole_only && !given_back.is_zero();
    if !left.is_positive() || already {
        return Err(GiveBackError::NothingLeft {
            amount: paid,
            given_back,
        });
    }
    let amount = match asked {
        None => left,
        Some(asked) => {
            check_amount("amount to give back", asked, paid)?;
            if asked.is_zero() {
                return Err(RuleError::Zero {
                    what: "amount to give back",
                }
                .into());
            }
            if below(left, asked)? && holds(Guard::GiveBackLeft) {
                return Err(GiveBackError::MoreThanLeft { asked, left });
            }
            asked
        }
    };
    if original.whole_only && amount != paid {
        return Err(GiveBackError::WholeOnly {
            asked: amount,
            amount: paid,
        });
    }
    let after = left.checked_sub(amount)?;
    Ok(GiveBack {
        amount,
        left: after,
        whole: given_back.checked_add(amount)? == paid,
        reason: told(paid, given_back, original.retained, amount, after),
    })
}

fn told(paid: Money, given_back: Money, retained: Option<Money>, amount: Money, after: Money) -> String {
    if amount == paid {
        return format!("the whole {paid}");
    }
    let mut reason = if after.is_zero() {
        format!("all that is left of {paid}")
    } else {
        format!("{amount} of {paid}, {after} is left")
    };
    if given_back.is_positive() {
        reason = format!("{reason}, {given_back} went back before");
    }
    if let Some(retained) = retained.filter(|retained| retained.is_positive()) {
        reason = format!("{reason}, {retained} is retained");
    }
    reason
}

/// What each part of a split gives back of an amount.
///
/// Each gives in proportion to what it still has of its original part, units left over by largest remainder, and so
/// never more than that; what gives the rest back takes every part to zero.
///
/// # Errors
/// [`GiveBackError`] for more than is left in the parts together, another currency, or parts that gave back more
/// than they got.
pub fn reverse(parts: &[(Money, Money)], amount: Money) -> Result<Vec<Money>, GiveBackError> {
    let zero = Money::zero(amount.currency());
    check_amount("amount to give back", amount, amount)?;
    let (mut left, mut remaining) = (zero, Vec::with_capacity(parts.len()));
    for (part, earlier) in parts {
        check_amount("part", *part, amount)?;
        check_amount("amount that went back", *earlier, amount)?;
        if below(*part, *earlier)? {
            return Err(GiveBackError::MoreThanPaid {
                given_back: *earlier,
                amount: *part,
            });
        }
        let rest = part.checked_sub(*earlier)?;
        left = left.checked_add(rest)?;
        remaining.push(rest);
    }
    if amount.is_zero() {
        return Ok(vec![zero; parts.len()]);
    }
    if below(left, amount)? {
        return Err(GiveBackError::MoreThanLeft { asked: amount, left });
    }
    let weights: Vec<rust_decimal::Decimal> = remaining
        .iter()
        .map(|rest| rust_decimal::Decimal::from_i128_with_scale(rest.minor(), 0))
        .collect();
    Ok(amount.allocate(&weights)?)
}
