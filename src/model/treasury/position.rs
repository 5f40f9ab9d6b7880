//! Positions: what of a balance may be moved.
//!
//! `usable = available − holds − what is leaving − buffer`, and never more than what is booked with value. The kinds
//! of balance have names of their own, so that none is taken for another. It must not know where they were read.

use super::{RuleError, check_amount, least};
use crate::base::guard::{Guard, holds};
use crate::base::money::{Money, MoneyError};

/// What is known of the money in an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// What the provider calls available.
    pub available: Money,
    /// What it shows with value for today, where it tells: no more than this is moved.
    pub value_dated: Option<Money>,
    /// What is spoken for and still counted as available.
    pub holds: Option<Money>,
    /// What we have sent ourselves and the balance does not show yet.
    pub leaving: Option<Money>,
    /// What is on its way to the account: it can be counted on, and cannot be moved.
    pub arriving: Option<Money>,
    /// What is never moved.
    pub buffer: Option<Money>,
}

impl Position {
    /// A position of which only the available balance is known.
    pub fn new(available: Money) -> Self {
        Self {
            available,
            value_dated: None,
            holds: None,
            leaving: None,
            arriving: None,
            buffer: None,
        }
    }

    /// What may be moved; less than zero where more is spoken for than there is.
    ///
    /// # Errors
    /// [`RuleError`] for a part of another currency or below zero.
    pub fn usable(&self) -> Result<Money, RuleError> {
        let mut usable = match self.value_dated {
            Some(value_dated) => least(self.available, value_dated)?,
            None => self.available,
        };
        for (what, amount) in self.taken_off() {
            let Some(amount) = amount else { continue };
            check_amount(what, amount, self.available)?;
            if holds(Guard::SweepUsable) {
                usable = usable.checked_sub(amount)?;
            }
        }
        if let Some(arriving) = self.arriving {
            check_amount("amount on its way", arriving, self.available)?;
        }
        Ok(usable)
    }

    /// What needs are measured against: what may be moved, and what is on its way already, so that nothing is
    /// filled up twice.
    ///
    /// # Errors
    /// As [`Position::usable`].
    pub fn expected(&self) -> Result<Money, RuleError> {
        let usable = self.usable()?;
        Ok(match self.arriving {
            Some(arriving) => usable.checked_add(arriving)?,
            None => usable,
        })
    }

    /// How the usable amount came about, for people; nothing where it is simply what is available.
    pub fn told(&self) -> Option<String> {
        let mut parts = Vec::new();
        if let Some(value_dated) = self.value_dated
            && least(self.available, value_dated) != Ok(self.available)
        {
            parts.push(format!("only {value_dated} has value today"));
        }
        for (what, amount) in self.taken_off() {
            if let Some(amount) = amount.filter(|amount| !amount.is_zero()) {
                parts.push(format!("less the {what} of {amount}"));
            }
        }
        if let Some(arriving) = self.arriving.filter(|amount| !amount.is_zero()) {
            parts.push(format!("{arriving} on its way to it"));
        }
        (!parts.is_empty()).then(|| format!("{} available, {}", self.available, parts.join(", ")))
    }

    /// A reason with how the usable amount came about, where that is not simply what is available.
    #[must_use]
    pub fn because(&self, reason: String) -> String {
        match self.told() {
            Some(told) => format!("{reason} ({told})"),
            None => reason,
        }
    }

    /// The account after this much has left it, or come to it if it is less than zero.
    ///
    /// # Errors
    /// [`MoneyError`] for another currency, or more than can be held.
    pub fn less(&self, amount: Money) -> Result<Self, MoneyError> {
        let value_dated = self.value_dated.map(|dated| dated.checked_sub(amount)).transpose()?;
        Ok(Self {
            available: self.available.checked_sub(amount)?,
            value_dated,
            ..*self
        })
    }

    fn taken_off(&self) -> [(&'static str, Option<Money>); 3] {
        [
            ("holds", self.holds),
            ("amount already leaving", self.leaving),
            ("buffer", self.buffer),
        ]
    }
}
