//! Sweeps: how much of a balance moves on, and why.
//!
//! The order is fixed: position, target, direction, whole multiples, maximum, minimum. Money moves one way
//! only, out of the account. It must not know where the balance came from: holds and transfers in flight
//! are the caller's to take off before it asks.

use super::{RuleError, below, check_amount, digits, least};
use crate::base::guard::{Guard, holds};
use crate::base::money::{Money, MoneyError};

/// What is to stay in the account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SweepForm {
    /// Nothing: the whole balance moves.
    Zero,
    /// This much; what is above it moves.
    Target(Money),
    /// Everything, until the balance reaches this; from then on nothing.
    Threshold(Money),
    /// This much, as a cushion: the same amount as for a target, told in other words.
    KeepBuffer(Money),
    /// Everything, until the balance reaches the threshold; from then on `keep`.
    Collar {
        /// From which balance on something moves.
        threshold: Money,
        /// What is left behind then.
        keep: Money,
    },
}

/// When and how much to sweep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SweepRule {
    /// What is to stay.
    pub form: SweepForm,
    /// Not worth moving less.
    pub minimum: Option<Money>,
    /// Never more at once.
    pub maximum: Option<Money>,
    /// Only whole multiples of this move; the rest stays.
    pub multiple: Option<Money>,
}

impl SweepRule {
    /// The rule of this form, without further limits.
    pub fn new(form: SweepForm) -> Self {
        Self {
            form,
            minimum: None,
            maximum: None,
            multiple: None,
        }
    }
}

/// What a sweep comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sweep {
    /// How much moves; zero if nothing does, never less.
    pub moved: Money,
    /// Why that much, for people.
    pub reason: String,
    /// What stays.
    pub left: Money,
}

/// Decides a sweep.
///
/// The amount moved is a whole multiple where one is asked for, also when the maximum cut it; it lies between
/// minimum and maximum or is zero, and is never more than the balance.
///
/// # Errors
/// [`RuleError`] for a rule of another currency or one that cannot be meant.
pub fn sweep(balance: Money, rule: &SweepRule) -> Result<Sweep, RuleError> {
    check(balance, rule)?;
    let (moved, reason) = match excess(balance, rule.form)? {
        Excess::None(reason) => (Money::zero(balance.currency()), reason),
        Excess::Some { amount, what } => limited(amount, what, rule)?,
    };
    Ok(Sweep {
        moved,
        reason,
        left: balance.checked_sub(moved)?,
    })
}

fn check(balance: Money, rule: &SweepRule) -> Result<(), RuleError> {
    match rule.form {
        SweepForm::Zero => {}
        SweepForm::Target(target) => check_amount("target", target, balance)?,
        SweepForm::Threshold(threshold) => check_amount("threshold", threshold, balance)?,
        SweepForm::KeepBuffer(buffer) => check_amount("buffer", buffer, balance)?,
        SweepForm::Collar { threshold, keep } => {
            check_amount("threshold", threshold, balance)?;
            check_amount("amount to leave behind", keep, balance)?;
            if below(threshold, keep)? {
                return Err(RuleError::KeepAboveThreshold { keep, threshold });
            }
        }
    }
    let limits = [
        ("minimum", rule.minimum),
        ("maximum", rule.maximum),
        ("multiple", rule.multiple),
    ];
    for (what, amount) in limits {
        let Some(amount) = amount else { continue };
        check_amount(what, amount, balance)?;
        if amount.is_zero() && what != "minimum" {
            return Err(RuleError::Zero { what });
        }
    }
    if let (Some(minimum), Some(maximum)) = (rule.minimum, rule.maximum)
        && below(maximum, minimum)?
    {
        return Err(RuleError::MaximumBelowMinimum { minimum, maximum });
    }
    Ok(())
}

/// What lies above what is to stay.
enum Excess {
    /// Nothing, and why.
    None(String),
    /// More than zero, and what it is above.
    Some { amount: Money, what: Base },
}

/// What the excess is measured from.
#[derive(Clone, Copy)]
enum Base {
    Nothing,
    Kept(&'static str, Money),
    Reached(Money),
    ReachedAndKept { threshold: Money, keep: Money },
}

impl Base {
    /// The excess in full: for a sentence about what moved.
    fn told(self, amount: Money) -> String {
        match self {
            Self::Nothing => format!("the whole balance of {amount}"),
            Self::Kept(what, kept) => format!("{amount} above the {what} of {kept}"),
            Self::Reached(threshold) => {
                format!("the whole balance of {amount}, as it reached the threshold of {threshold}")
            }
            Self::ReachedAndKept { threshold, keep } => {
                format!(
                    "{amount} above the {keep} to leave behind, as the balance reached the threshold of {threshold}"
                )
            }
        }
    }

    /// The excess in short: for a sentence that goes on to name an amount of the currency.
    fn told_briefly(self, amount: Money) -> String {
        let amount = digits(amount);
        match self {
            Self::Nothing | Self::Reached(_) => format!("the balance of {amount}"),
            Self::Kept(what, _) => format!("{amount} above the {what}"),
            Self::ReachedAndKept { .. } => format!("{amount} above what is left behind"),
        }
    }
}

fn excess(balance: Money, form: SweepForm) -> Result<Excess, MoneyError> {
    if balance.is_negative() {
        let reason = format!("the account is overdrawn by {}", balance.negated());
        return Ok(Excess::None(reason));
    }
    if balance.is_zero() {
        return Ok(Excess::None("the account is empty".to_owned()));
    }
    let above = |what: &'static str, kept: Money, base: Base| {
        let amount = balance.checked_sub(kept)?;
        Ok(if amount.is_positive() {
            Excess::Some { amount, what: base }
        } else {
            Excess::None(format!("the balance of {balance} is not above the {what} of {kept}"))
        })
    };
    let short_of = |threshold: Money| {
        Excess::None(format!(
            "the balance of {balance} is below the threshold of {threshold}"
        ))
    };
    match form {
        SweepForm::Zero => Ok(Excess::Some {
            amount: balance,
            what: Base::Nothing,
        }),
        SweepForm::Target(target) => above("target", target, Base::Kept("target", target)),
        SweepForm::KeepBuffer(buffer) => above("buffer", buffer, Base::Kept("buffer", buffer)),
        SweepForm::Threshold(threshold) if below(balance, threshold)? => Ok(short_of(threshold)),
        SweepForm::Threshold(threshold) => Ok(Excess::Some {
            amount: balance,
            what: Base::Reached(threshold),
        }),
        SweepForm::Collar { threshold, .. } if below(balance, threshold)? => Ok(short_of(threshold)),
        SweepForm::Collar { threshold, keep } => {
            above("amount to leave behind", keep, Base::ReachedAndKept { threshold, keep })
        }
    }
}

/// Brings an excess to whole multiples, under the maximum, and to zero if that is below the minimum.
fn limited(excess: Money, base: Base, rule: &SweepRule) -> Result<(Money, String), MoneyError> {
    let whole = |amount: Money| match rule.multiple {
        Some(step) if holds(Guard::SweepMultiple) => amount.down_to_multiple_of(step),
        _ => Ok(amount),
    };
    let nothing = |reason| Ok((Money::zero(excess.currency()), reason));

    let rounded = whole(excess)?;
    if let (true, Some(step)) = (rounded.is_zero(), rule.multiple) {
        let briefly = base.told_briefly(excess);
        return nothing(format!("{briefly} is less than one multiple of {step}"));
    }
    let moved = match rule.maximum {
        Some(maximum) => whole(least(rounded, maximum)?)?,
        None => rounded,
    };
    let mut reason = base.told(excess);
    if let (true, Some(step)) = (rounded != excess, rule.multiple) {
        reason = format!("{reason}, in whole multiples of {step}");
    }
    if let (true, Some(maximum)) = (moved != rounded, rule.maximum) {
        reason = format!("{reason}, at most {maximum} at once");
    }
    if moved.is_zero() {
        return nothing(format!("{reason}: the maximum is less than one multiple"));
    }
    match rule.minimum {
        Some(minimum) if below(moved, minimum)? && holds(Guard::SweepMinimum) => {
            let mut briefly = base.told_briefly(moved);
            if let (true, Some(step)) = (moved != excess, rule.multiple) {
                briefly = format!("{briefly}, in whole multiples of {step},");
            }
            nothing(format!("{briefly} is below the minimum of {minimum}"))
        }
        _ => Ok((moved, reason)),
    }
}
