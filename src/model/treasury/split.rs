//! Splits: one amount divided into named parts that always add up to it.
//!
//! A part is a fixed amount, a percentage of the whole, or the rest. It must not drop or invent a minor
//! unit: whatever the parts do not cover exactly is an error that says what is missing. Who bears a fee is
//! [`super::divide`]'s to say.

use std::collections::BTreeSet;

use rust_decimal::Decimal;

use super::below;
use crate::base::money::{Money, MoneyError, Rounding};

/// Decimals a percentage may have: enough for any contract, few enough that sums stay exact.
pub(super) const PERCENT_DECIMALS_MAX: u32 = 12;

/// How much of the total a part gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// Exactly this.
    Amount(Money),
    /// This many hundredths of the total: 2.5 is two and a half per cent.
    Percent(Decimal),
    /// What the other parts leave.
    Rest,
}

/// Who gets the minor units that cutting the percentages leaves over, where no part takes the rest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LeftOver {
    /// Who was cut by most; of equal ones the one written first.
    #[default]
    LargestRemainder,
    /// One each from the first in written order.
    InOrder,
}

/// One part of a split.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// What people call it; unique in the split.
    pub name: String,
    /// How much it gets.
    pub share: Share,
    /// A percentage gets at least this.
    pub minimum: Option<Money>,
    /// A percentage gets at most this.
    pub maximum: Option<Money>,
}

impl Part {
    /// A part without further limits.
    pub fn new(name: impl Into<String>, share: Share) -> Self {
        Self {
            name: name.into(),
            share,
            minimum: None,
            maximum: None,
        }
    }
}

/// Why an amount cannot be split this way.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SplitError {
    /// Two currencies, or an amount too large to be held.
    #[error("part `{name}`: {source}")]
    Money {
        /// The part.
        name: String,
        /// What is wrong.
        source: MoneyError,
    },
    /// Less than nothing to split.
    #[error("cannot split {0}: the total is negative")]
    NegativeTotal(Money),
    /// No parts.
    #[error("there are no parts to split into")]
    NoParts,
    /// Two parts of one name.
    #[error("two parts are called `{0}`: give each its own name")]
    DuplicateName(String),
    /// A part below zero.
    #[error("part `{name}` is negative: {share}")]
    NegativePart {
        /// The part.
        name: String,
        /// What stood there.
        share: String,
    },
    /// A percentage above one hundred, alone or with the others.
    #[error("the percentages add up to {0}, more than 100")]
    PercentsOver100(Decimal),
    /// A percentage with too many decimals.
    #[error("part `{name}`: {percent} has more than {PERCENT_DECIMALS_MAX} decimals")]
    PercentTooPrecise {
        /// The part.
        name: String,
        /// What stood there.
        percent: Decimal,
    },
    /// More than one part takes the rest.
    #[error("both `{first}` and `{second}` take the rest: only one part can")]
    TwoRests {
        /// The earlier one.
        first: String,
        /// The later one.
        second: String,
    },
    /// The parts come to more than there is.
    #[error("the parts come to {parts}, more than the total of {total}")]
    PartsExceedTotal {
        /// What they come to.
        parts: Money,
        /// What there is.
        total: Money,
    },
    /// The parts come to less than there is.
    #[error("the parts leave {left} of {total} over: let one part take the rest")]
    NothingTakesTheRest {
        /// What is left.
        left: Money,
        /// What there is.
        total: Money,
    },
    /// A limit changes a part, and no part makes up for it.
    #[error("part `{name}` would be {exact}, which its limits change to {limited}: let one part take the rest")]
    LimitWithoutRest {
        /// The part.
        name: String,
        /// What its percentage comes to.
        exact: Money,
        /// What its limits make of it.
        limited: Money,
    },
    /// A minimum or maximum on something other than a percentage.
    #[error("part `{0}` has a minimum or maximum: only a percentage can be limited")]
    LimitOnFixedPart(String),
    /// No amount could satisfy both.
    #[error("part `{name}`: the maximum of {maximum} is below the minimum of {minimum}")]
    MaximumBelowMinimum {
        /// The part.
        name: String,
        /// The least it gets.
        minimum: Money,
        /// The most it gets.
        maximum: Money,
    },
    /// A fee of another currency, or below zero.
    #[error("the fee of {fee} cannot be taken from {total}")]
    BadFee {
        /// The fee.
        fee: Money,
        /// What there is.
        total: Money,
    },
    /// A fee that nobody was said to bear.
    #[error(
        "nobody was said to bear the fee of {0}: name a part, say `shared` or `payer`, or take percentages of what is left after it (`base: \"net\"`)"
    )]
    NobodyBearsTheFee(Money),
    /// Percentages of what is left after the fee, and somebody who bears it as well.
    #[error(
        "the fee of {0} comes off before the percentages are taken, so nobody can bear it: leave `borne_by` out, or take percentages of the gross total"
    )]
    FeeTakenOffBefore(Money),
    /// A bearer that is no part.
    #[error("the fee is borne by `{0}`, which is no part of this split")]
    UnknownBearer(String),
    /// A part that is less than the fee it bears.
    #[error("part `{name}` of {amount} does not cover the fee of {fee} it bears")]
    FeeAbovePart {
        /// The part.
        name: String,
        /// What it gets before the fee.
        amount: Money,
        /// The fee.
        fee: Money,
    },
}

/// Splits an amount; where a part takes the rest, percentages are cut to the minor unit.
///
/// # Errors
/// As [`split_rounded`].
pub fn split(total: Money, parts: &[Part]) -> Result<Vec<Money>, SplitError> {
    split_rounded(total, parts, Rounding::Down)
}

/// Splits an amount into one amount for each part, in their order; they always add up to the total.
///
/// Where a part takes the rest, each percentage is brought to the minor unit by `rounding`, limited by its
/// minimum and maximum, and the rest is what remains, possibly nothing. Where no part takes the rest, amounts
/// and percentages must cover the total exactly, and no rounding is needed: the percentages share by largest
/// remainder, as in [`Money::allocate`].
///
/// # Errors
/// [`SplitError`] says what does not add up.
pub fn split_rounded(total: Money, parts: &[Part], rounding: Rounding) -> Result<Vec<Money>, SplitError> {
    split_with(total, parts, rounding, LeftOver::LargestRemainder)
}

/// As [`split_rounded`], and says who gets the units left over.
///
/// # Errors
/// As [`split_rounded`].
pub fn split_with(
    total: Money,
    parts: &[Part],
    rounding: Rounding,
    left_over: LeftOver,
) -> Result<Vec<Money>, SplitError> {
    check(total, parts)?;
    let rest = parts.iter().position(|part| part.share == Share::Rest);
    let amounts = match rest {
        Some(rest) => with_rest(total, parts, rest, rounding)?,
        None => without_rest(total, parts, left_over)?,
    };
    let sum: i128 = amounts.iter().map(|amount| amount.minor()).sum();
    assert_eq!(sum, total.minor(), "a split keeps every minor unit");
    Ok(amounts)
}

fn check(total: Money, parts: &[Part]) -> Result<(), SplitError> {
    if total.is_negative() {
        return Err(SplitError::NegativeTotal(total));
    }
    if parts.is_empty() {
        return Err(SplitError::NoParts);
    }
    let mut names = BTreeSet::new();
    let mut percents = Decimal::ZERO;
    let mut rest: Option<&Part> = None;
    for part in parts {
        if !names.insert(part.name.as_str()) {
            return Err(SplitError::DuplicateName(part.name.clone()));
        }
        check_part(total, part)?;
        match part.share {
            Share::Percent(percent) => percents += percent,
            Share::Rest => {
                if let Some(first) = rest.replace(part) {
                    return Err(SplitError::TwoRests {
                        first: first.name.clone(),
                        second: part.name.clone(),
                    });
                }
            }
            Share::Amount(_) => {}
        }
        // Checked as it grows: no sum of percentages can then be too large to be held.
        if percents > Decimal::ONE_HUNDRED {
            return Err(SplitError::PercentsOver100(percents.normalize()));
        }
    }
    Ok(())
}

fn check_part(total: Money, part: &Part) -> Result<(), SplitError> {
    let negative = |share: String| SplitError::NegativePart {
        name: part.name.clone(),
        share,
    };
    let amount = match part.share {
        Share::Amount(amount) => Some(amount),
        Share::Percent(_) | Share::Rest => None,
    };
    for amount in [amount, part.minimum, part.maximum].into_iter().flatten() {
        total.compare(amount).map_err(in_part(part))?;
        if amount.is_negative() {
            return Err(negative(amount.to_string()));
        }
    }
    let Share::Percent(percent) = part.share else {
        if part.minimum.is_some() || part.maximum.is_some() {
            return Err(SplitError::LimitOnFixedPart(part.name.clone()));
        }
        return Ok(());
    };
    if percent < Decimal::ZERO {
        return Err(negative(format!("{percent} per cent")));
    }
    if percent > Decimal::ONE_HUNDRED {
        return Err(SplitError::PercentsOver100(percent.normalize()));
    }
    if percent.normalize().scale() > PERCENT_DECIMALS_MAX {
        return Err(SplitError::PercentTooPrecise {
            name: part.name.clone(),
            percent,
        });
    }
    if let (Some(minimum), Some(maximum)) = (part.minimum, part.maximum)
        && below(maximum, minimum).map_err(in_part(part))?
    {
        return Err(SplitError::MaximumBelowMinimum {
            name: part.name.clone(),
            minimum,
            maximum,
        });
    }
    Ok(())
}

fn with_rest(total: Money, parts: &[Part], rest: usize, rounding: Rounding) -> Result<Vec<Money>, SplitError> {
    let mut amounts = Vec::with_capacity(parts.len());
    let mut taken = Money::zero(total.currency());
    for part in parts {
        let amount = match part.share {
            Share::Amount(amount) => amount,
            Share::Percent(percent) => {
                let share = percent / Decimal::ONE_HUNDRED;
                let exact = total.mul_rounded(share, rounding).map_err(in_part(part))?;
                limited(part, exact).map_err(in_part(part))?
            }
            Share::Rest => Money::zero(total.currency()),
        };
        taken = taken.checked_add(amount).map_err(in_part(part))?;
        amounts.push(amount);
    }
    let left = total.checked_sub(taken).map_err(in_part(&parts[rest]))?;
    if left.is_negative() {
        return Err(SplitError::PartsExceedTotal { parts: taken, total });
    }
    amounts[rest] = left;
    Ok(amounts)
}

fn without_rest(total: Money, parts: &[Part], left_over: LeftOver) -> Result<Vec<Money>, SplitError> {
    let mut fixed = Money::zero(total.currency());
    let mut percents = Vec::new();
    for part in parts {
        match part.share {
            Share::Amount(amount) => fixed = fixed.checked_add(amount).map_err(in_part(part))?,
            Share::Percent(percent) => percents.push(percent),
            Share::Rest => {}
        }
    }
    let pool = covered(total, fixed, percents.iter().sum())?;
    // Nothing to share: percentages of a zero total, or amounts that cover it all.
    let mut shares = if pool.is_zero() {
        vec![pool; percents.len()]
    } else {
        match left_over {
            LeftOver::LargestRemainder => pool.allocate(&percents),
            LeftOver::InOrder => in_order(total, pool, &percents),
        }
        .map_err(in_part(&parts[0]))?
    }
    .into_iter();
    let mut amounts = Vec::with_capacity(parts.len());
    for part in parts {
        let amount = match part.share {
            Share::Amount(amount) => amount,
            Share::Percent(_) | Share::Rest => shares.next().unwrap_or(Money::zero(total.currency())),
        };
        let limited = limited(part, amount).map_err(in_part(part))?;
        if limited != amount {
            return Err(SplitError::LimitWithoutRest {
                name: part.name.clone(),
                exact: amount,
                limited,
            });
        }
        amounts.push(amount);
    }
    Ok(amounts)
}

/// Each percentage of the total cut to the minor unit, and what is left of the pool one each from the first.
fn in_order(total: Money, pool: Money, percents: &[Decimal]) -> Result<Vec<Money>, MoneyError> {
    let mut shares = Vec::with_capacity(percents.len());
    let mut left = pool.minor();
    for percent in percents {
        let share = total.mul_rounded(percent / Decimal::ONE_HUNDRED, Rounding::Down)?;
        left -= share.minor();
        shares.push(share);
    }
    let unit = Money::from_minor(1, total.currency())?;
    for (share, _) in shares
        .iter_mut()
        .zip(percents)
        .filter(|(_, percent)| !percent.is_zero())
    {
        if left == 0 {
            break;
        }
        *share = share.checked_add(unit)?;
        left -= 1;
    }
    Ok(shares)
}

/// What the percentages have to share, if amounts and percentages cover the total exactly.
fn covered(total: Money, fixed: Money, percents: Decimal) -> Result<Money, SplitError> {
    let share = percents / Decimal::ONE_HUNDRED;
    let in_total = |rounding| {
        total.mul_rounded(share, rounding).map_err(|source| SplitError::Money {
            name: "percentages".to_owned(),
            source,
        })
    };
    // Both roundings agree only when the percentages come to whole minor units.
    let (least, most) = (in_total(Rounding::Down)?, in_total(Rounding::Up)?);
    let left = total.minor() - fixed.minor() - least.minor();
    let too_much = total.minor() - fixed.minor() - most.minor();
    let money = |minor| {
        Money::from_minor(minor, total.currency()).map_err(|source| SplitError::Money {
            name: "rest".to_owned(),
            source,
        })
    };
    if too_much < 0 {
        return Err(SplitError::PartsExceedTotal {
            parts: money(total.minor() - too_much)?,
            total,
        });
    }
    if left > 0 {
        return Err(SplitError::NothingTakesTheRest {
            left: money(left)?,
            total,
        });
    }
    Ok(least)
}

fn limited(part: &Part, amount: Money) -> Result<Money, MoneyError> {
    match (part.minimum, part.maximum) {
        (Some(minimum), _) if below(amount, minimum)? => Ok(minimum),
        (_, Some(maximum)) if below(maximum, amount)? => Ok(maximum),
        _ => Ok(amount),
    }
}

fn in_part(part: &Part) -> impl Fn(MoneyError) -> SplitError + '_ {
    |source| SplitError::Money {
        name: part.name.clone(),
        source,
    }
}
