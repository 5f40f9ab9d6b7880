//! Sweeps: how much of a balance moves on, and why.
//!
//! The order is fixed: position, target, direction, whole multiples, maximum, minimum. Money moves one way
//! only, out of the account. It must not know where the balance came from: holds and transfers in flight
//! are the caller's to take off before it asks.

use rust_decimal::Decimal;

use super::bounds::{Bounded, Bounds};
use super::split::PERCENT_DECIMALS_MAX;
use super::{RuleError, below, check_amount};
use crate::base::money::{Money, MoneyError, Rounding};

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
    /// All but this share of the balance: so many hundredths of it move, cut to the minor unit.
    Percent(Decimal),
    /// All but this: exactly so much moves, or nothing.
    Fixed(Money),
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

    /// The highest balance of which this rule moves nothing: an account may be filled up to it and no further.
    ///
    /// # Errors
    /// [`MoneyError`] for two currencies.
    pub fn quiet_up_to(&self, balance: Money) -> Result<Money, MoneyError> {
        let just_below = |amount: Money| Money::from_minor(amount.minor().saturating_sub(1).max(0), amount.currency());
        match self.form {
            SweepForm::Zero | SweepForm::Percent(_) => Ok(Money::zero(balance.currency())),
            SweepForm::Target(kept) | SweepForm::KeepBuffer(kept) => Ok(kept),
            SweepForm::Threshold(from) | SweepForm::Fixed(from) => just_below(from),
            SweepForm::Collar { threshold, keep } => {
                let below_it = just_below(threshold)?;
                Ok(if below(below_it, keep)? { keep } else { below_it })
            }
        }
    }

    fn bounds(&self) -> Bounds {
        Bounds {
            minimum: self.minimum,
            maximum: self.maximum,
            multiple: self.multiple,
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

/// Refuses a rule that cannot be meant for a balance of this currency.
///
/// # Errors
/// [`RuleError`], whatever the balance.
pub fn check(balance: Money, rule: &SweepRule) -> Result<(), RuleError> {
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
        SweepForm::Percent(percent) => {
            let precise = percent.normalize().scale() <= PERCENT_DECIMALS_MAX;
            if percent <= Decimal::ZERO || percent > Decimal::ONE_HUNDRED || !precise {
                return Err(RuleError::BadPercent(percent));
            }
        }
        SweepForm::Fixed(amount) => {
            check_amount("amount to move", amount, balance)?;
            if amount.is_zero() {
                return Err(RuleError::Zero { what: "amount to move" });
            }
        }
    }
    rule.bounds().check(balance)
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
    Share { percent: Decimal, balance: Money },
    Exactly,
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
            Self::Share { percent, balance } => format!("{amount}, {percent} % of the balance of {balance}"),
            Self::Exactly => format!("the {amount} asked for"),
        }
    }

    /// The excess in short: for a sentence that goes on.
    fn told_briefly(self, amount: Money) -> String {
        match self {
            Self::Nothing | Self::Reached(_) => format!("the balance of {amount}"),
            Self::Kept(what, _) => format!("{amount} above the {what}"),
            Self::ReachedAndKept { .. } => format!("{amount} above what is left behind"),
            Self::Share { percent, .. } => format!("{amount} ({percent} % of the balance)"),
            Self::Exactly => format!("the {amount} asked for"),
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
        SweepForm::Percent(percent) => {
            let percent = percent.normalize();
            let amount = balance.mul_rounded(percent / Decimal::ONE_HUNDRED, Rounding::Down)?;
            Ok(if amount.is_positive() {
                Excess::Some {
                    amount,
                    what: Base::Share { percent, balance },
                }
            } else {
                Excess::None(format!(
                    "{percent} % of the balance of {balance} is less than the smallest unit"
                ))
            })
        }
        SweepForm::Fixed(amount) if below(balance, amount)? => Ok(Excess::None(format!(
            "the balance of {balance} does not cover the {amount} to move"
        ))),
        SweepForm::Fixed(amount) => Ok(Excess::Some {
            amount,
            what: Base::Exactly,
        }),
    }
}

/// Brings an excess to whole multiples, under the maximum, and to zero if that is below the minimum.
fn limited(excess: Money, base: Base, rule: &SweepRule) -> Result<(Money, String), MoneyError> {
    let nothing = |reason| Ok((Money::zero(excess.currency()), reason));
    let in_multiples = |told: String, rounded: bool| match rule.multiple {
        Some(step) if rounded => format!("{told}, in whole multiples of {step}"),
        _ => told,
    };
    let at_most = |told: String, cut: bool| match rule.maximum {
        Some(maximum) if cut => format!("{told}, at most {maximum} at once"),
        _ => told,
    };
    match rule.bounds().apply(excess)? {
        Bounded::LessThanMultiple(step) => {
            let briefly = base.told_briefly(excess);
            nothing(format!("{briefly} is less than one multiple of {step}"))
        }
        Bounded::MaximumLessThanMultiple { multiple, .. } => {
            let rounded = excess.down_to_multiple_of(multiple)? != excess;
            let told = at_most(in_multiples(base.told(excess), rounded), true);
            nothing(format!("{told}: the maximum is less than one multiple"))
        }
        Bounded::BelowMinimum {
            amount,
            minimum,
            rounded,
        } => {
            let mut briefly = base.told_briefly(amount);
            if let (true, Some(step)) = (rounded, rule.multiple) {
                briefly = format!("{briefly}, in whole multiples of {step},");
            }
            nothing(format!("{briefly} is below the minimum of {minimum}"))
        }
        Bounded::Moves { amount, rounded, cut } => Ok((amount, at_most(in_multiples(base.told(excess), rounded), cut))),
    }
}
