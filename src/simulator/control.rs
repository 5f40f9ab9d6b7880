//! The control: what tests, demos and people do to the simulator from outside the provider's API.
//!
//! Cheap to clone; every method holds the world for a moment only.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use uuid::Uuid;

use crate::simulator::Shared;
use crate::simulator::config::{AccountSeed, SimulatorConfig, SubscriptionSeed};
use crate::simulator::core::faults::{FaultRule, Faults, WebhookFaultRule};
use crate::simulator::core::ledger::{Movement, Place};
use crate::simulator::augustus::lifecycle::{self, Arrival, StepError};
use crate::simulator::core::notices::{DeliveryStatus, Event};
use crate::simulator::augustus::resources::{
    Account, Conversion, Deposit, FAILURE_CODES, Failure, FinancialAddress, Payout, Return, is_fiat,
};
use crate::simulator::state::{Due, RequestCount, World};
use crate::base::clock::Instant;
use crate::base::money::{Currency, Money};

/// Why the control refuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// No such resource.
    #[error("there is no {0}")]
    NotFound(String),
    /// The request makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// Not possible in this state.
    #[error("{0}")]
    Conflict(String),
}

impl From<StepError> for ControlError {
    fn from(error: StepError) -> Self {
        match error {
            StepError::NotFound => Self::NotFound("such resource".to_owned()),
            error => Self::Conflict(error.to_string()),
        }
    }
}

/// Money that is to arrive.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewDeposit {
    /// The account, by id or label.
    pub account: String,
    /// How much, as text.
    pub amount: String,
    /// Of what; the account's currency when absent.
    #[serde(default)]
    pub currency: Option<Currency>,
    /// From where; a made-up sender when absent.
    #[serde(default)]
    pub source: Option<FinancialAddress>,
    /// What the sender wrote.
    #[serde(default)]
    pub bank_statement_reference: Option<String>,
    /// How it came; what fits the currency when absent.
    #[serde(default)]
    pub rail: Option<String>,
}

impl NewDeposit {
    /// A deposit with a reference, everything else as usual.
    pub fn new(account: impl Into<String>, amount: &str, reference: &str) -> Self {
        Self {
            account: account.into(),
            amount: amount.to_owned(),
            currency: None,
            source: None,
            bank_statement_reference: Some(reference.to_owned()),
            rail: None,
        }
    }
}

/// One payout, conversion or return ever made, whatever became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Effect {
    /// `payout`, `conversion` or `return`.
    pub kind: &'static str,
    /// Its id.
    pub id: Uuid,
    /// Where it stands.
    pub status: &'static str,
    /// What leaves.
    #[serde(flatten)]
    pub amount: Money,
    /// Whose money.
    pub source_account_id: Uuid,
    /// The address paid, the account bought for, or the deposit returned.
    pub destination: Json,
    /// A payout's reference.
    pub reference: Option<String>,
    /// What the merchant attached.
    pub metadata: BTreeMap<String, String>,
    /// The key it was made under.
    pub idempotency_key: Option<String>,
    /// When.
    pub created_at: Instant,
}

/// What is on one account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Holding {
    /// The account.
    pub account_id: Uuid,
    /// Its name.
    pub label: String,
    /// What is available.
    #[serde(flatten)]
    pub available: Money,
}

/// The books at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LedgerSummary {
    /// Everything the merchant caused.
    pub effects: Vec<Effect>,
    /// What is on the accounts.
    pub balances: Vec<Holding>,
    /// What is anywhere, the outside world included: sums to zero in every currency.
    pub places: Vec<(Place, Money)>,
    /// How many movements there were.
    pub movements: usize,
    /// Whether the books balance.
    pub invariant_ok: bool,
    /// Why they do not.
    pub invariant_error: Option<String>,
}

/// The handle on a simulator.
#[derive(Clone)]
pub struct Control {
    shared: Arc<Shared>,
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control").finish_non_exhaustive()
    }
}

impl Control {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Opens an active account.
    ///
    /// # Errors
    /// When there is one of that name, no such program, or the balance is no amount.
    pub fn create_account(&self, account: &AccountSeed) -> Result<Uuid, ControlError> {
        self.shared
            .with(|world| world.open_account(account).map_err(ControlError::Invalid))
    }

    /// The id of the account with this label.
    pub fn account(&self, label: &str) -> Option<Uuid> {
        self.shared.with(|world| {
            let account = world.accounts.iter().find(|account| account.label == label);
            account.map(|account| account.id)
        })
    }

    /// Every account, as the API shows it.
    pub fn accounts(&self) -> Vec<Json> {
        self.shared
            .with(|world| world.accounts.iter().map(Account::to_json).collect())
    }

    /// What is available on an account.
    pub fn balance(&self, account: Uuid) -> Option<Money> {
        self.shared.with(|world| {
            let account = world.accounts.get(account)?;
            Some(world.available(account))
        })
    }

    /// Lets money arrive: a deposit and its event.
    ///
    /// # Errors
    /// When there is no such account, it cannot receive, or the amount is none.
    pub fn create_deposit(&self, deposit: &NewDeposit) -> Result<Uuid, ControlError> {
        self.shared.with(|world| {
            let arrival = arrival(world, deposit)?;
            Ok(lifecycle::arrive(
                world,
                Place::Outside,
                ("deposit.received", None),
                arrival,
            )?)
        })
    }

    /// Moves a payout, conversion, return or account to a status, with a failure where it is `failed`.
    /// Gives the resource as the API now shows it.
    ///
    /// # Errors
    /// When there is no such resource or the step does not fit where it stands.
    pub fn advance(&self, id: Uuid, status: &str, failure: Option<Failure>) -> Result<Json, ControlError> {
        if let Some(failure) = &failure
            && !FAILURE_CODES.contains(&failure.code.as_str())
        {
            let known = FAILURE_CODES.join(", ");
            return Err(ControlError::Invalid(format!("the failure code is one of {known}")));
        }
        self.shared.with(|world| {
            lifecycle::advance(world, id, status, failure)?;
            resource(world, id).ok_or_else(|| ControlError::NotFound("such resource".to_owned()))
        })
    }

    /// Any resource by its id, as the API shows it.
    pub fn resource(&self, id: Uuid) -> Option<Json> {
        self.shared.with(|world| resource(world, id))
    }

    /// Every payout, conversion and return ever made, oldest first within its kind.
    pub fn effects(&self) -> Vec<Effect> {
        self.shared.with(|world| effects(world))
    }

    /// Every movement of money, oldest first.
    pub fn movements(&self) -> Vec<Movement> {
        self.shared.with(|world| world.ledger.movements().to_vec())
    }

    /// The books, checked.
    pub fn ledger(&self) -> LedgerSummary {
        self.shared.with(|world| {
            let checked = world.ledger.check();
            LedgerSummary {
                effects: effects(world),
                balances: world
                    .accounts
                    .iter()
                    .map(|account| Holding {
                        account_id: account.id,
                        label: account.label.clone(),
                        available: world.available(account),
                    })
                    .collect(),
                places: world.ledger.balances().collect(),
                movements: world.ledger.movements().len(),
                invariant_ok: checked.is_ok(),
                invariant_error: checked.err().map(|error| error.to_string()),
            }
        })
    }

    /// Every event, oldest first, as the API shows it.
    pub fn events(&self) -> Vec<Json> {
        self.shared
            .with(|world| world.events.iter().map(Event::to_json).collect())
    }

    /// How often each operation was asked for.
    pub fn requests(&self) -> BTreeMap<&'static str, RequestCount> {
        self.shared.with(|world| world.requests.clone())
    }

    /// Adds a fault to those in force.
    pub fn add_fault(&self, rule: FaultRule) {
        self.shared.with(|world| world.faults.add(rule));
    }

    /// Adds a fault of deliveries to those in force.
    pub fn add_webhook_fault(&self, rule: WebhookFaultRule) {
        self.shared.with(|world| world.faults.add_webhook(rule));
    }

    /// The faults in force, with how often each matched and fired.
    pub fn faults(&self) -> Json {
        self.shared.with(|world| world.faults.describe())
    }

    /// Nothing goes wrong any more.
    pub fn clear_faults(&self) {
        self.shared.with(|world| world.faults = Faults::default());
    }

    /// Adds a webhook subscription, with a secret of its own where one is given.
    ///
    /// # Errors
    /// When nothing can be signed with the secret.
    pub fn add_subscription(&self, subscription: &SubscriptionSeed) -> Result<Uuid, ControlError> {
        self.shared
            .with(|world| world.subscribe(subscription).map_err(ControlError::Invalid))
    }

    /// Delivers every event again to everybody who is subscribed to it, as a person may ask in the provider's console.
    pub fn redeliver_all(&self) {
        self.shared.with(|world| {
            let delivered: BTreeSet<_> = world
                .deliveries
                .iter()
                .map(|delivery| (delivery.event_id, delivery.subscription_id))
                .collect();
            for (event, subscription) in delivered {
                let id = world.new_delivery(event, subscription, DeliveryStatus::Pending);
                world.plan(0, Due::Deliver(id));
            }
        });
    }

    /// The settings in force.
    pub fn config(&self) -> SimulatorConfig {
        self.shared.with(|world| (*world.config).clone())
    }

    /// Changes settings that are read as the simulator runs: everything but what exists at the start.
    pub fn configure(&self, change: impl FnOnce(&mut SimulatorConfig)) {
        self.shared.with(|world| change(Arc::make_mut(&mut world.config)));
    }

    /// Begins anew, from the settings in force.
    ///
    /// # Errors
    /// When those make no sense any more.
    pub fn reset(&self) -> Result<(), ControlError> {
        self.shared.with(|world| {
            let config = Arc::clone(&world.config);
            *world = World::new(config, world.now, world.elapsed)
                .map_err(|error| ControlError::Invalid(error.to_string()))?;
            Ok(())
        })
    }
}

/// A deposit request, completed with what is usual.
fn arrival(world: &mut World, deposit: &NewDeposit) -> Result<Arrival, ControlError> {
    let wanted = Uuid::parse_str(&deposit.account).ok();
    let account = world
        .accounts
        .iter()
        .find(|account| Some(account.id) == wanted || account.label == deposit.account)
        .ok_or_else(|| ControlError::NotFound(format!("account `{}`", deposit.account)))?;
    let (account, currency) = (account.id, account.currency);
    if deposit.currency.is_some_and(|asked| asked != currency) {
        return Err(ControlError::Invalid(format!("the account holds {currency}")));
    }
    let amount = Money::parse(&deposit.amount, currency).map_err(|error| ControlError::Invalid(error.to_string()))?;
    let source = match &deposit.source {
        Some(source) => source.clone(),
        None => world.new_address(currency, "Erika Mustermann"),
    };
    let usual_rail = match currency.code() {
        "EUR" => "sepa_instant",
        "GBP" => "faster_payments",
        "USD" => "ach",
        "BTC" => "btc",
        "SOL" => "sol",
        "POL" => "matic",
        _ => "eth",
    };
    let tx_hash = (!is_fiat(currency)).then(|| format!("0x{}", world.new_id().simple()));
    Ok(Arrival {
        account,
        amount,
        source,
        reference: deposit.bank_statement_reference.clone(),
        rail: Some(deposit.rail.clone().unwrap_or_else(|| usual_rail.to_owned())),
        tx_hash,
        own_source: None,
    })
}

fn resource(world: &World, id: Uuid) -> Option<Json> {
    world
        .payouts
        .get(id)
        .map(Payout::to_json)
        .or_else(|| world.conversions.get(id).map(Conversion::to_json))
        .or_else(|| world.returns.get(id).map(Return::to_json))
        .or_else(|| world.deposits.get(id).map(Deposit::to_json))
        .or_else(|| world.accounts.get(id).map(Account::to_json))
}

fn effects(world: &World) -> Vec<Effect> {
    let payouts = world.payouts.iter().map(|payout| Effect {
        kind: "payout",
        id: payout.id,
        status: payout.status.name(),
        amount: payout.amount,
        source_account_id: payout.source_account_id,
        destination: payout.destination.to_json(),
        reference: Some(payout.reference.clone()),
        metadata: payout.metadata.clone(),
        idempotency_key: payout.key.clone(),
        created_at: payout.created_at,
    });
    let conversions = world.conversions.iter().map(|conversion| Effect {
        kind: "conversion",
        id: conversion.id,
        status: conversion.status.name(),
        amount: conversion.source,
        source_account_id: conversion.source_account_id,
        destination: Json::String(conversion.target_account_id.to_string()),
        reference: None,
        metadata: conversion.metadata.clone(),
        idempotency_key: conversion.key.clone(),
        created_at: conversion.created_at,
    });
    let returns = world.returns.iter().map(|given_back| Effect {
        kind: "return",
        id: given_back.id,
        status: given_back.status.name(),
        amount: given_back.amount,
        source_account_id: given_back.account_id,
        destination: Json::String(given_back.deposit_id.to_string()),
        reference: None,
        metadata: BTreeMap::new(),
        idempotency_key: given_back.key.clone(),
        created_at: given_back.created_at,
    });
    payouts.chain(conversions).chain(returns).collect()
}
