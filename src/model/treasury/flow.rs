//! Two ways: what an account sends up, or what it is short of.
//!
//! The order is fixed: position, target, direction, whole multiples, bounds. Which bounds hold depends on the
//! direction. What there is to fund a shortage with is not asked here: see [`super::several`]. It must not know
//! other accounts.

use super::bounds::Bounds;
use super::position::Position;
use super::sweep::{SweepRule, check, sweep};
use super::{RuleError, below, check_signed};
use crate::base::money::{Currency, Money};

/// When an account is short, and how far it is filled up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shortage {
    /// Below this balance it is short.
    pub below: Money,
    /// Up to this it is filled.
    pub up_to: Money,
    /// What a filling has to fit into.
    pub bounds: Bounds,
}

impl Shortage {
    /// Short below zero and filled to zero: an overdraft is covered, and no more.
    pub fn to_zero(currency: Currency) -> Self {
        let zero = Money::zero(currency);
        Self {
            below: zero,
            up_to: zero,
            bounds: Bounds::default(),
        }
    }

    /// Short below the target and filled to it, also from a balance above zero.
    pub fn to_target(target: Money) -> Self {
        Self {
            below: target,
            up_to: target,
            bounds: Bounds::default(),
        }
    }

    /// Refuses what cannot be meant for balances of this currency.
    ///
    /// # Errors
    /// [`RuleError`].
    pub fn check(&self, balance: Money) -> Result<(), RuleError> {
        check_signed(self.below, balance)?;
        check_signed(self.up_to, balance)?;
        if below(self.up_to, self.below)? {
            return Err(RuleError::FilledBelowShort {
                below: self.below,
                up_to: self.up_to,
            });
        }
        self.bounds.check(balance)
    }
}

/// What an account sends and what it is sent; what is left out does not happen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FlowRule {
    /// What goes out.
    pub out: Option<SweepRule>,
    /// What comes in.
    pub shortage: Option<Shortage>,
}

/// Which way money goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// Out of the account.
    Out,
    /// Into the account.
    In,
    /// Nowhere.
    Nowhere,
}

impl Direction {
    /// The word for it: `out`, `in`, `none`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Out => "out",
            Self::In => "in",
            Self::Nowhere => "none",
        }
    }
}

/// What an account should send or be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flow {
    /// Which way.
    pub direction: Direction,
    /// How much; zero if nowhere, never less.
    pub amount: Money,
    /// Why that much, or why nothing, for people.
    pub reason: String,
    /// What could have been moved.
    pub usable: Money,
    /// What is still missing after it, where the bounds let less come in than it is short of.
    pub missing: Money,
}

/// Decides which way and how much.
///
/// What goes out is never more than the usable amount. What comes in never fills above the mark, and what is on its
/// way already is counted first.
///
/// # Errors
/// [`RuleError`] for a rule of another currency or one that cannot be meant, whatever the balance.
pub fn flow(position: &Position, rule: &FlowRule) -> Result<Flow, RuleError> {
    let (usable, expected) = (position.usable()?, position.expected()?);
    let zero = Money::zero(usable.currency());
    if let Some(out) = &rule.out {
        check(usable, out)?;
    }
    if let Some(shortage) = &rule.shortage {
        shortage.check(usable)?;
        if let Some(out) = &rule.out {
            let quiet = out.quiet_up_to(usable)?;
            if below(quiet, shortage.up_to)? {
                return Err(RuleError::ToAndFro {
                    quiet,
                    up_to: shortage.up_to,
                });
            }
        }
        if below(expected, shortage.below)? {
            let mut decided = comes_in(expected, usable, shortage)?;
            decided.reason = position.because(decided.reason);
            return Ok(decided);
        }
    }
    let nowhere = |reason: String| Flow {
        direction: Direction::Nowhere,
        amount: zero,
        reason,
        usable,
        missing: zero,
    };
    let Some(out) = &rule.out else {
        let reason = match &rule.shortage {
            Some(shortage) => format!("the balance of {expected} is not short of {}", shortage.below),
            None => "no rule moves anything here".to_owned(),
        };
        return Ok(nowhere(position.because(reason)));
    };
    let decided = sweep(usable, out)?;
    let mut flow = nowhere(position.because(decided.reason));
    if decided.moved.is_positive() {
        flow.direction = Direction::Out;
        flow.amount = decided.moved;
    }
    Ok(flow)
}

fn comes_in(expected: Money, usable: Money, shortage: &Shortage) -> Result<Flow, RuleError> {
    let short = shortage.up_to.checked_sub(expected)?;
    let subject = if shortage.up_to.is_zero() {
        format!("the overdraft of {short}")
    } else {
        format!(
            "the {short} that the balance of {expected} is short of {}",
            shortage.up_to
        )
    };
    let (amount, reason) = shortage.bounds.told(short, &subject)?;
    Ok(Flow {
        direction: if amount.is_zero() {
            Direction::Nowhere
        } else {
            Direction::In
        },
        amount,
        reason,
        usable,
        missing: short.checked_sub(amount)?,
    })
}
