//! The control: what tests, demos and people do to the simulator from outside the provider's API.
//!
//! Cheap to clone; every method holds the world for a moment only.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use uuid::Uuid;

use super::Shared;
use super::augustus::resources::{Account, FinancialAddress, is_fiat};
use super::augustus::{self, state};
use super::config::{AccountSeed, SimulatorConfig, SubscriptionSeed};
use super::contract::{Arrival, CONTRACTS, Contract};
use super::core::RequestCount;
use super::core::failure::Failure;
use super::core::faults::{FaultRule, Faults, WebhookFaultRule};
use super::core::ledger::{Movement, Place};
use super::core::timeline::StepError;
use super::world::World;
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
            StepError::NoSuchFailure(_) => Self::Invalid(error.to_string()),
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

/// One payout, conversion, return, refund or settlement ever made, whatever became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Effect {
    /// Where it was made: `augustus`, `ivy`.
    pub provider: &'static str,
    /// `payout`, `conversion`, `return`; at some providers `refund`, `settlement`.
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
        self.shared.with(|world| {
            world
                .augustus
                .open_account(&mut world.core, account)
                .map_err(ControlError::Invalid)
        })
    }

    /// The id of the account with this label.
    pub fn account(&self, label: &str) -> Option<Uuid> {
        self.shared.with(|world| {
            let holding = holdings(world).find(|(_, holding)| holding.label == label);
            holding.map(|(_, holding)| holding.account_id)
        })
    }

    /// Every account, as the API shows it.
    pub fn accounts(&self) -> Vec<Json> {
        self.shared
            .with(|world| world.augustus.accounts.iter().map(Account::to_json).collect())
    }

    /// What is available on an account.
    pub fn balance(&self, account: Uuid) -> Option<Money> {
        self.shared.with(|world| {
            let holding = holdings(world).find(|(_, holding)| holding.account_id == account);
            holding.map(|(_, holding)| holding.available)
        })
    }

    /// Lets money arrive: a deposit and its event.
    ///
    /// # Errors
    /// When there is no such account, it cannot receive, or the amount is none.
    pub fn create_deposit(&self, deposit: &NewDeposit) -> Result<Uuid, ControlError> {
        self.shared.with(|world| {
            let (provider, arrival) = arrival(world, deposit)?;
            let step = ("deposit.received", None);
            Ok((provider.control.arrive)(world, Place::Outside, step, arrival)?)
        })
    }

    /// Moves a resource to a status, with a failure where it is `failed`.
    /// Gives the resource as the API now shows it.
    ///
    /// # Errors
    /// When there is no such resource or the step does not fit where it stands.
    pub fn advance(&self, id: Uuid, status: &str, failure: Option<Failure>) -> Result<Json, ControlError> {
        self.shared.with(|world| {
            let owner = CONTRACTS
                .into_iter()
                .find(|contract| (contract.control.resource)(world, id).is_some())
                .ok_or(StepError::NotFound)?;
            (owner.control.advance)(world, id, status, failure)?;
            resource(world, id).ok_or_else(|| ControlError::NotFound("such resource".to_owned()))
        })
    }

    /// Any resource by its id, as the API shows it.
    pub fn resource(&self, id: Uuid) -> Option<Json> {
        self.shared.with(|world| resource(world, id))
    }

    /// Everything that moved the merchant's money, provider by provider, oldest first within its kind.
    pub fn effects(&self) -> Vec<Effect> {
        self.shared.with(|world| effects(world))
    }

    /// Every movement of money, oldest first.
    pub fn movements(&self) -> Vec<Movement> {
        self.shared.with(|world| world.core.ledger.movements().to_vec())
    }

    /// The books, checked.
    pub fn ledger(&self) -> LedgerSummary {
        self.shared.with(|world| {
            let checked = world.core.ledger.check();
            LedgerSummary {
                effects: effects(world),
                balances: holdings(world).map(|(_, holding)| holding).collect(),
                places: world.core.ledger.balances().collect(),
                movements: world.core.ledger.movements().len(),
                invariant_ok: checked.is_ok(),
                invariant_error: checked.err().map(|error| error.to_string()),
            }
        })
    }

    /// Every event, oldest first, as the API shows it.
    pub fn events(&self) -> Vec<Json> {
        self.shared.with(|world| {
            world
                .core
                .events
                .iter()
                .map(|event| (event.provider.control.event)(event))
                .collect()
        })
    }

    /// How often each operation was asked for.
    pub fn requests(&self) -> BTreeMap<&'static str, RequestCount> {
        self.shared.with(|world| world.core.requests.clone())
    }

    /// The keys that ever came with several requests, each behind the name of the provider that got it. Whoever uses keys as
    /// they are meant leaves none.
    pub fn keys_of_several_requests(&self) -> Vec<String> {
        self.shared
            .with(|world| world.core.carried.several().map(str::to_owned).collect())
    }

    /// Adds a fault to those in force.
    pub fn add_fault(&self, rule: FaultRule) {
        self.shared.with(|world| world.core.faults.add(rule));
    }

    /// Adds a fault of deliveries to those in force.
    pub fn add_webhook_fault(&self, rule: WebhookFaultRule) {
        self.shared.with(|world| world.core.faults.add_webhook(rule));
    }

    /// The faults in force, with how often each matched and fired.
    pub fn faults(&self) -> Json {
        self.shared.with(|world| world.core.faults.describe())
    }

    /// Nothing goes wrong any more.
    pub fn clear_faults(&self) {
        self.shared.with(|world| world.core.faults = Faults::default());
    }

    /// Adds a webhook subscription, with a secret of its own where one is given.
    ///
    /// # Errors
    /// When nothing can be signed with the secret.
    pub fn add_subscription(&self, subscription: &SubscriptionSeed) -> Result<Uuid, ControlError> {
        self.add_subscription_at(augustus::CONTRACT.name, subscription)
    }

    /// Adds a webhook subscription at a provider: `augustus`, `ivy`.
    ///
    /// # Errors
    /// When there is no such provider, or nothing can be signed with the secret.
    pub fn add_subscription_at(&self, provider: &str, subscription: &SubscriptionSeed) -> Result<Uuid, ControlError> {
        let known = CONTRACTS.into_iter().find(|contract| contract.name == provider);
        let contract = known.ok_or_else(|| ControlError::NotFound(format!("provider `{provider}`")))?;
        self.shared.with(|world| {
            let subscribed = world.core.subscribe(contract, subscription);
            subscribed.map_err(ControlError::Invalid)
        })
    }

    /// Delivers every event again to everybody who is subscribed to it, as a person may ask in the provider's console.
    pub fn redeliver_all(&self) {
        self.shared.with(|world| {
            let delivered: BTreeSet<_> = world
                .core
                .deliveries
                .iter()
                .map(|delivery| (delivery.event_id, delivery.subscription_id))
                .collect();
            for (event, subscription) in delivered {
                let provider = world.core.events.get(event).map(|event| event.provider);
                if let Some(provider) = provider {
                    world.core.deliver_again(provider, event, subscription);
                }
            }
        });
    }

    /// The settings in force.
    pub fn config(&self) -> SimulatorConfig {
        self.shared.with(|world| (*world.core.config).clone())
    }

    /// Changes settings that are read as the simulator runs: everything but what exists at the start.
    pub fn configure(&self, change: impl FnOnce(&mut SimulatorConfig)) {
        self.shared.with(|world| change(Arc::make_mut(&mut world.core.config)));
    }

    /// Begins anew, from the settings in force.
    ///
    /// # Errors
    /// When those make no sense any more.
    pub fn reset(&self) -> Result<(), ControlError> {
        self.shared.with(|world| {
            let config = Arc::clone(&world.core.config);
            *world = World::new(config, world.core.now, world.core.elapsed)
                .map_err(|error| ControlError::Invalid(error.to_string()))?;
            Ok(())
        })
    }
}

/// A deposit request, completed with what is usual.
fn arrival(world: &mut World, deposit: &NewDeposit) -> Result<(&'static Contract, Arrival), ControlError> {
    let wanted = Uuid::parse_str(&deposit.account).ok();
    let (provider, holding) = holdings(world)
        .find(|(_, holding)| Some(holding.account_id) == wanted || holding.label == deposit.account)
        .ok_or_else(|| ControlError::NotFound(format!("account `{}`", deposit.account)))?;
    let (account, currency) = (holding.account_id, holding.available.currency());
    if deposit.currency.is_some_and(|asked| asked != currency) {
        return Err(ControlError::Invalid(format!("the account holds {currency}")));
    }
    let amount = Money::parse(&deposit.amount, currency).map_err(|error| ControlError::Invalid(error.to_string()))?;
    let source = match &deposit.source {
        Some(source) => source.address(),
        None => state::new_address(&mut world.core, currency, "Erika Mustermann").address(),
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
    let tx_hash = (!is_fiat(currency)).then(|| format!("0x{}", world.core.new_id().simple()));
    let arrival = Arrival {
        account,
        amount,
        source,
        reference: deposit.bank_statement_reference.clone(),
        rail: Some(deposit.rail.clone().unwrap_or_else(|| usual_rail.to_owned())),
        tx_hash,
        own_source: None,
    };
    Ok((provider, arrival))
}

fn resource(world: &World, id: Uuid) -> Option<Json> {
    CONTRACTS
        .iter()
        .find_map(|contract| (contract.control.resource)(world, id))
}

fn effects(world: &World) -> Vec<Effect> {
    CONTRACTS
        .iter()
        .flat_map(|contract| (contract.control.effects)(world))
        .collect()
}

/// What is on every account, with whose it is.
fn holdings(world: &World) -> impl Iterator<Item = (&'static Contract, Holding)> {
    CONTRACTS.into_iter().flat_map(|contract| {
        let holdings = (contract.control.holdings)(world);
        holdings.into_iter().map(move |holding| (contract, holding))
    })
}
