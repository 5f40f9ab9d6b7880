//! Several accounts: who gives first, who is served first, and whether a part is enough.
//!
//! Priority is a number, the lowest first; equal ones in written order. What one cannot use is left for the next. It
//! must not know how the amounts asked for came about.

use super::bounds::Bounds;
use super::{RuleError, least};
use crate::base::guard::{Guard, holds};
use crate::base::money::Money;

/// An account that money can be taken from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Giver {
    /// What people call it.
    pub name: String,
    /// Lowest first.
    pub priority: i64,
    /// What it can give; less than nothing is nothing.
    pub usable: Money,
    /// What a transfer out of it has to fit into.
    pub bounds: Bounds,
}

/// An account that is short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// What people call it.
    pub name: String,
    /// Lowest first.
    pub priority: i64,
    /// What it asks for; brought to its bounds already.
    pub amount: Money,
    /// What a part of it has to fit into as well.
    pub bounds: Bounds,
    /// Whether a part of it is better than nothing.
    pub partial: bool,
}

/// What one account gives or gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// What people call it.
    pub name: String,
    /// How much; never less than zero.
    pub amount: Money,
    /// Why that much, or why nothing, for people.
    pub reason: String,
}

/// What several accounts give together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gathered {
    /// One for each giver, in the order they were asked.
    pub shares: Vec<Share>,
    /// What they give together.
    pub covered: Money,
    /// What is still missing.
    pub missing: Money,
}

/// The places of these priorities in the order of being asked.
fn in_order(priorities: impl Iterator<Item = i64>) -> Vec<usize> {
    let mut order: Vec<(i64, usize)> = priorities
        .enumerate()
        .map(|(place, priority)| (priority, place))
        .collect();
    order.sort_unstable();
    order.into_iter().map(|(_, place)| place).collect()
}

/// Takes an amount from several accounts, the lowest priority first.
///
/// Without `partial` it is the whole amount or nothing.
///
/// # Errors
/// [`RuleError`] for another currency or bounds that cannot be meant.
pub fn gather(need: Money, givers: &[Giver], partial: bool) -> Result<Gathered, RuleError> {
    let zero = Money::zero(need.currency());
    if need.is_negative() {
        return Err(RuleError::Negative {
            what: "amount to gather",
            amount: need,
        });
    }
    let (mut missing, mut shares) = (need, Vec::with_capacity(givers.len()));
    for place in in_order(givers.iter().map(|giver| giver.priority)) {
        let giver = &givers[place];
        need.compare(giver.usable)?;
        giver.bounds.check(need)?;
        let (amount, reason) = if missing.is_zero() {
            (zero, "nothing more is needed".to_owned())
        } else if !giver.usable.is_positive() {
            (zero, format!("it has nothing to give: {} usable", giver.usable))
        } else {
            let wanted = least(missing, giver.usable)?;
            let subject = if wanted == missing {
                format!("the {wanted} still needed")
            } else {
                format!("all {wanted} it has")
            };
            giver.bounds.told(wanted, &subject)?
        };
        missing = missing.checked_sub(amount)?;
        shares.push(Share {
            name: giver.name.clone(),
            amount,
            reason,
        });
    }
    if missing.is_positive() && !partial {
        let together = need.checked_sub(missing)?;
        for share in shares.iter_mut().filter(|share| share.amount.is_positive()) {
            share.amount = zero;
            share.reason = format!("all together give {together} of the {need} needed, and a part is not asked for");
        }
        missing = need;
    }
    Ok(Gathered {
        covered: need.checked_sub(missing)?,
        shares,
        missing,
    })
}

/// Serves several accounts out of what there is, the lowest priority first; in the order they were served.
///
/// One that cannot be served leaves what there is to the next.
///
/// # Errors
/// [`RuleError`] for another currency, an amount below zero or bounds that cannot be meant.
pub fn serve(have: Money, claims: &[Claim]) -> Result<Vec<Share>, RuleError> {
    let zero = Money::zero(have.currency());
    let mut left = if have.is_negative() { zero } else { have };
    let mut shares = Vec::with_capacity(claims.len());
    for place in in_order(claims.iter().map(|claim| claim.priority)) {
        let claim = &claims[place];
        super::check_amount("amount asked for", claim.amount, have)?;
        claim.bounds.check(have)?;
        let enough = !super::below(left, claim.amount)? || !holds(Guard::SweepFunded);
        let (amount, reason) = if claim.amount.is_zero() {
            (zero, "it asks for nothing".to_owned())
        } else if enough {
            (claim.amount, format!("the {} asked for", claim.amount))
        } else if left.is_zero() {
            (zero, format!("nothing is there for the {} asked for", claim.amount))
        } else if claim.partial {
            let subject = format!("the {left} there is of the {} asked for", claim.amount);
            claim.bounds.told(left, &subject)?
        } else {
            let reason = format!(
                "the {left} there is does not cover the {} asked for, and a part is not asked for",
                claim.amount
            );
            (zero, reason)
        };
        left = left.checked_sub(amount)?;
        shares.push(Share {
            name: claim.name.clone(),
            amount,
            reason,
        });
    }
    Ok(shares)
}
