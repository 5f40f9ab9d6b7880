//! Bounds: whole multiples, the most and the least that moves at once, always in that order.
//!
//! An amount is brought down, never up: what would move less than the rule asks for is allowed to, what would
//! move more is not. It must not know what the amount is for.

use super::{RuleError, below, check_amount, least};
use crate::base::guard::{Guard, holds};
use crate::base::money::{Money, MoneyError};

/// What an amount has to fit into before it moves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bounds {
    /// Not worth moving less.
    pub minimum: Option<Money>,
    /// Never more at once.
    pub maximum: Option<Money>,
    /// Only whole multiples of this move.
    pub multiple: Option<Money>,
}

/// What the bounds make of an amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bounded {
    /// It moves, perhaps less of it.
    Moves {
        /// How much.
        amount: Money,
        /// Whether whole multiples cut it.
        rounded: bool,
        /// Whether the maximum cut it.
        cut: bool,
    },
    /// Less than one multiple: nothing moves.
    LessThanMultiple(Money),
    /// The maximum is less than one multiple: nothing ever moves.
    MaximumLessThanMultiple {
        /// The most that may move.
        maximum: Money,
        /// What it would have to be a multiple of.
        multiple: Money,
    },
    /// What would move is not worth it.
    BelowMinimum {
        /// What would move.
        amount: Money,
        /// The least that does.
        minimum: Money,
        /// Whether whole multiples cut it.
        rounded: bool,
    },
}

impl Bounds {
    /// Refuses bounds that cannot be meant for amounts of the currency of `balance`.
    ///
    /// # Errors
    /// [`RuleError`], naming the bound.
    pub fn check(&self, balance: Money) -> Result<(), RuleError> {
        let limits = [
            ("minimum", self.minimum),
            ("maximum", self.maximum),
            ("multiple", self.multiple),
        ];
        for (what, amount) in limits {
            let Some(amount) = amount else { continue };
            check_amount(what, amount, balance)?;
            if amount.is_zero() && what != "minimum" {
                return Err(RuleError::Zero { what });
            }
        }
        if let (Some(minimum), Some(maximum)) = (self.minimum, self.maximum)
            && below(maximum, minimum)?
        {
            return Err(RuleError::MaximumBelowMinimum { minimum, maximum });
        }
        Ok(())
    }

    /// Brings an amount above zero to whole multiples, under the maximum, and asks whether it is worth moving.
    ///
    /// # Errors
    /// [`MoneyError`] for bounds of another currency.
    pub fn apply(&self, wanted: Money) -> Result<Bounded, MoneyError> {
        let whole = |amount: Money| match self.multiple {
            Some(step) if holds(Guard::SweepMultiple) => amount.down_to_multiple_of(step),
            _ => Ok(amount),
        };
        let rounded = whole(wanted)?;
        if let (true, Some(step)) = (rounded.is_zero(), self.multiple) {
            return Ok(Bounded::LessThanMultiple(step));
        }
        let amount = match self.maximum {
            Some(maximum) => whole(least(rounded, maximum)?)?,
            None => rounded,
        };
        if let (true, Some(maximum), Some(multiple)) = (amount.is_zero(), self.maximum, self.multiple) {
            return Ok(Bounded::MaximumLessThanMultiple { maximum, multiple });
        }
        match self.minimum {
            Some(minimum) if below(amount, minimum)? && holds(Guard::SweepMinimum) => Ok(Bounded::BelowMinimum {
                amount,
                minimum,
                rounded: amount != wanted,
            }),
            _ => Ok(Bounded::Moves {
                amount,
                rounded: rounded != wanted,
                cut: amount != rounded,
            }),
        }
    }

    /// What moves of an amount of `what`, and why that much or nothing: the sentence goes on after `subject`.
    ///
    /// # Errors
    /// As [`Bounds::apply`].
    pub(super) fn told(&self, wanted: Money, subject: &str) -> Result<(Money, String), MoneyError> {
        let zero = Money::zero(wanted.currency());
        Ok(match self.apply(wanted)? {
            Bounded::LessThanMultiple(step) => (zero, format!("{subject} is less than one multiple of {step}")),
            Bounded::MaximumLessThanMultiple { maximum, multiple } => (
                zero,
                format!("the maximum of {maximum} is less than one multiple of {multiple}"),
            ),
            Bounded::BelowMinimum {
                amount,
                minimum,
                rounded,
            } if rounded => (
                zero,
                format!("the {amount} that may move of {subject} is below the minimum of {minimum}"),
            ),
            Bounded::BelowMinimum { minimum, .. } => (zero, format!("{subject} is below the minimum of {minimum}")),
            Bounded::Moves { amount, rounded, cut } => {
                let mut reason = subject.to_owned();
                if let (true, Some(step)) = (rounded, self.multiple) {
                    reason = format!("{reason}, in whole multiples of {step}");
                }
                if let (true, Some(maximum)) = (cut, self.maximum) {
                    reason = format!("{reason}, at most {maximum} at once");
                }
                (amount, reason)
            }
        })
    }
}
