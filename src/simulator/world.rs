//! The world of the simulator: what all providers share, and each provider's own resources.
//!
//! One value behind one lock. It changes only while it is held, takes the time from outside and does no
//! I/O: deliveries to be sent are put into an outbox. Money that leaves one provider for an account at
//! another arrives there in the same step.

use std::sync::Arc;
use std::time::Duration;

use chrono::{SubsecRound as _, TimeDelta};
use uuid::Uuid;

use super::augustus::state::Augustus;
use super::config::{SimulatorConfig, SimulatorError};
use super::contract::{Arrival, CONTRACTS, Contract};
use super::core::Core;
use super::core::address::Address;
use super::core::ledger::Place;
use super::core::timeline::{Due, StepError};
use super::ivy::state::Ivy;
use super::payaut::state::Payaut;
use super::payments::state::Payments;
use crate::base::clock::Instant;
use crate::base::money::Money;

/// Everything there is.
pub(crate) struct World {
    pub(crate) core: Core,
    pub(crate) augustus: Augustus,
    pub(crate) ivy: Ivy,
    pub(crate) payments: Payments,
    pub(crate) payaut: Payaut,
}

/// Money on its way out of a provider.
pub(crate) struct Leaving {
    pub(crate) amount: Money,
    pub(crate) to: Address,
    /// The address it is sent from, as its receiver sees it.
    pub(crate) source: Address,
    pub(crate) reference: Option<String>,
    pub(crate) rail: Option<String>,
    /// The account it is sent from.
    pub(crate) account: Uuid,
}

impl World {
    /// The world as the settings describe its beginning.
    pub(crate) fn new(config: Arc<SimulatorConfig>, now: Instant, elapsed: Duration) -> Result<Self, SimulatorError> {
        let mut core = Core::new(config, now, elapsed);
        let augustus = Augustus::new(&mut core).map_err(SimulatorError::Config)?;
        let ivy = Ivy::new(&mut core).map_err(SimulatorError::Config)?;
        let payments = Payments::new(&mut core).map_err(SimulatorError::Config)?;
        let payaut = Payaut::new(&mut core).map_err(SimulatorError::Config)?;
        Ok(Self {
            core,
            augustus,
            ivy,
            payments,
            payaut,
        })
    }

    /// Lets the world catch up with the present. What is due happens at its own time, not at this one, so that
    /// a clock that leaps makes the same history as one that walks.
    pub(crate) fn tick(&mut self, now: Instant, elapsed: Duration) {
        while let Some((due, what)) = self.core.timeline.take(elapsed) {
            let late = TimeDelta::from_std(elapsed.saturating_sub(due)).unwrap_or_default();
            self.core.now = (now - late).trunc_subsecs(3);
            self.core.elapsed = due;
            match what {
                // A step that no longer fits was overtaken by the control API.
                Due::Step(id, step) => drop(step(self, id)),
                Due::Deliver(delivery) => self.core.send(delivery, false),
                Due::Copy(delivery) => self.core.send(delivery, true),
                Due::Release(delivery) => self.core.release(delivery),
            }
        }
        self.core.now = now.trunc_subsecs(3);
        self.core.elapsed = elapsed;
    }

    /// Lets money leave `place`: to an account of any provider of this world, where it arrives at once, or outside.
    pub(crate) fn leave(
        &mut self,
        place: Place,
        (step, cause): (&'static str, Uuid),
        leaving: Leaving,
    ) -> Result<(), StepError> {
        let Some((provider, account)) = self.account_at(&leaving.to, leaving.amount) else {
            let route = (place, Place::Outside);
            let now = self.core.now;
            return Ok(self.core.ledger.post(now, route, leaving.amount, step, cause)?);
        };
        let arrival = Arrival {
            account,
            amount: leaving.amount,
            source: leaving.source,
            reference: leaving.reference,
            rail: leaving.rail,
            tx_hash: None,
            own_source: Some(leaving.account),
        };
        (provider.control.arrive)(self, place, (step, Some(cause)), arrival).map(drop)
    }

    /// The account of any provider that takes this money at this address.
    fn account_at(&self, address: &Address, amount: Money) -> Option<(&'static Contract, Uuid)> {
        CONTRACTS.into_iter().find_map(|contract| {
            let account = (contract.control.account_at)(self, address, amount.currency())?;
            Some((contract, account))
        })
    }
}
