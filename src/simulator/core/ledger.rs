//! The ledger: every cent the simulator ever moved, by double entry. Pure and exact.
//!
//! Money only ever goes from one place to another, so the sum over all places, the outside world
//! included, is zero in every currency at every moment. Nothing here knows payouts or HTTP.

use std::collections::BTreeMap;

use serde::Serialize;
use uuid::Uuid;

use crate::base::clock::Instant;
use crate::base::money::{Currency, Money, MoneyError};

/// Somewhere money can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case", tag = "place", content = "id")]
pub enum Place {
    /// An account of the merchant.
    Account(Uuid),
    /// Set aside for a payout, conversion or return under way.
    Reserved(Uuid),
    /// The rest of the world. May go below zero: what came in had to come from somewhere.
    Outside,
    /// The market conversions trade with. May go below zero in what it sells.
    Market,
    /// Those who pay by card or wallet. May go below zero, as outside.
    Payer,
    /// A processor of payments: what it keeps, and what it captured and has not handed over.
    Psp,
    /// Collected for a merchant and not settled yet; below zero when more was given back.
    Unsettled(Uuid),
    /// Settled for a merchant or a recipient of splits; below zero when more was given back.
    Settled(Uuid),
    /// Handed over and not booked to an account yet, by payment.
    Pending(Uuid),
    /// A marketplace's own account, which is liable for what others owe: it may go below zero.
    Marketplace,
}

impl Place {
    fn may_be_negative(self) -> bool {
        matches!(
            self,
            Self::Outside | Self::Market | Self::Payer | Self::Unsettled(_) | Self::Settled(_) | Self::Marketplace
        )
    }
}

/// One movement of money.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Movement {
    /// Its number, from 1, without gaps.
    pub number: u64,
    /// When.
    pub at: Instant,
    /// Where the money was.
    pub from: Place,
    /// Where it is now.
    pub to: Place,
    /// How much.
    #[serde(flatten)]
    pub amount: Money,
    /// The step it belongs to: `payout.created`, `deposit.received`, `opening`.
    pub step: &'static str,
    /// The resource it belongs to.
    pub cause: Uuid,
}

/// Why money cannot be moved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// Not enough there.
    #[error("{available} is available, {wanted} is needed")]
    Short {
        /// What is there.
        available: Money,
        /// What was to be moved.
        wanted: Money,
    },
    /// An amount of zero or below.
    #[error("{0} cannot be moved: an amount is more than zero")]
    NotPositive(Money),
    /// Past what can be held exactly.
    #[error(transparent)]
    Money(#[from] MoneyError),
}

/// Why the books do not balance: a bug of the simulator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unbalanced {
    /// Money was made or lost.
    #[error("the sum of all places is {0}, not zero")]
    Sum(Money),
    /// An account holds less than nothing.
    #[error("{place:?} holds {amount}")]
    Negative {
        /// Where.
        place: Place,
        /// How much.
        amount: Money,
    },
    /// The balances are not what the movements add up to.
    #[error("{place:?} holds {held}, its movements add up to {added}")]
    Drift {
        /// Where.
        place: Place,
        /// The balance kept.
        held: Money,
        /// The sum of the movements.
        added: Money,
    },
}

/// The books.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    balances: BTreeMap<(Place, Currency), Money>,
    movements: Vec<Movement>,
    overdraft: bool,
}

impl Ledger {
    /// Empty books. With `overdraft`, accounts may go below zero.
    pub fn new(overdraft: bool) -> Self {
        Self {
            overdraft,
            ..Self::default()
        }
    }

    /// What is there.
    pub fn balance(&self, place: Place, currency: Currency) -> Money {
        self.balances
            .get(&(place, currency))
            .copied()
            .unwrap_or(Money::zero(currency))
    }

    /// Moves money, wholly or not at all.
    ///
    /// # Errors
    /// [`LedgerError::Short`] when the place has less, [`LedgerError::NotPositive`], or overflow.
    pub fn post(
        &mut self,
        at: Instant,
        (from, to): (Place, Place),
        amount: Money,
        step: &'static str,
        cause: Uuid,
    ) -> Result<(), LedgerError> {
        if !amount.is_positive() {
            return Err(LedgerError::NotPositive(amount));
        }
        let available = self.balance(from, amount.currency());
        let left = available.checked_sub(amount)?;
        let allowed = from.may_be_negative() || self.overdraft && matches!(from, Place::Account(_));
        if left.is_negative() && !allowed {
            return Err(LedgerError::Short {
                available,
                wanted: amount,
            });
        }
        let arrived = self.balance(to, amount.currency()).checked_add(amount)?;
        self.set(from, left);
        if from != to {
            self.set(to, arrived);
        } else {
            self.set(from, available);
        }
        self.movements.push(Movement {
            number: u64::try_from(self.movements.len())
                .unwrap_or(u64::MAX)
                .saturating_add(1),
            at,
            from,
            to,
            amount,
            step,
            cause,
        });
        Ok(())
    }

    fn set(&mut self, place: Place, amount: Money) {
        // An emptied reservation is forgotten, so that the books stay as small as what is under way.
        if amount.is_zero() && matches!(place, Place::Reserved(_) | Place::Pending(_)) {
            self.balances.remove(&(place, amount.currency()));
        } else {
            self.balances.insert((place, amount.currency()), amount);
        }
    }

    /// Every movement, oldest first.
    pub fn movements(&self) -> &[Movement] {
        &self.movements
    }

    /// Every place that holds or held money.
    pub fn balances(&self) -> impl Iterator<Item = (Place, Money)> + '_ {
        self.balances.iter().map(|((place, _), amount)| (*place, *amount))
    }

    /// Adds everything up again from the movements and compares.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self) -> Result<(), Unbalanced> {
        let mut added: BTreeMap<(Place, Currency), i128> = BTreeMap::new();
        for movement in &self.movements {
            let (currency, minor) = (movement.amount.currency(), movement.amount.minor());
            *added.entry((movement.from, currency)).or_default() -= minor;
            *added.entry((movement.to, currency)).or_default() += minor;
        }
        let mut sums: BTreeMap<Currency, i128> = BTreeMap::new();
        for ((place, currency), held) in &self.balances {
            let expected = added.remove(&(*place, *currency)).unwrap_or_default();
            if held.minor() != expected {
                return Err(drift(*place, *held, expected));
            }
            if held.is_negative() && !place.may_be_negative() && !self.overdraft {
                return Err(Unbalanced::Negative {
                    place: *place,
                    amount: *held,
                });
            }
            *sums.entry(*currency).or_default() += held.minor();
        }
        // What is left has no balance any more, so its movements must cancel out.
        if let Some(((place, currency), rest)) = added.into_iter().find(|(_, rest)| *rest != 0) {
            return Err(drift(place, Money::zero(currency), rest));
        }
        match sums.into_iter().find(|(_, sum)| *sum != 0) {
            Some((currency, sum)) => Err(Unbalanced::Sum(in_minor(sum, currency))),
            None => Ok(()),
        }
    }
}

fn drift(place: Place, held: Money, added: i128) -> Unbalanced {
    let added = in_minor(added, held.currency());
    Unbalanced::Drift { place, held, added }
}

/// An amount for a message; one that is too large to be held is shown as nothing.
fn in_minor(minor: i128, currency: Currency) -> Money {
    Money::from_minor(minor, currency).unwrap_or(Money::zero(currency))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn euros(text: &str) -> Money {
        Money::parse(text, Currency::from_code("EUR").unwrap()).unwrap()
    }

    fn place(number: u128) -> Place {
        Place::Account(Uuid::from_u128(number))
    }

    fn post(ledger: &mut Ledger, from: Place, to: Place, amount: &str) -> Result<(), LedgerError> {
        let at = Instant::from_timestamp(0, 0).unwrap();
        ledger.post(at, (from, to), euros(amount), "test", Uuid::nil())
    }

    #[test]
    fn money_moves_wholly_or_not_at_all() {
        let mut ledger = Ledger::new(false);
        post(&mut ledger, Place::Outside, place(1), "100.00").unwrap();
        let refused = post(&mut ledger, place(1), place(2), "100.01").unwrap_err();
        assert!(matches!(refused, LedgerError::Short { .. }));
        assert!(matches!(
            post(&mut ledger, place(1), place(2), "0"),
            Err(LedgerError::NotPositive(_))
        ));
        post(&mut ledger, place(1), place(1), "5.00").unwrap();
        post(&mut ledger, place(1), place(2), "100.00").unwrap();
        assert_eq!(ledger.balance(place(2), euros("0").currency()), euros("100.00"));
        assert_eq!(ledger.movements().len(), 3);
        assert_eq!(ledger.check(), Ok(()));
    }

    #[test]
    fn the_check_sees_a_balance_that_was_changed_behind_its_back() {
        let mut ledger = Ledger::new(false);
        post(&mut ledger, Place::Outside, place(1), "100.00").unwrap();
        ledger.set(place(1), euros("100.01"));
        assert!(matches!(ledger.check(), Err(Unbalanced::Drift { .. })));
    }
}
