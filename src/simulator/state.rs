//! The world of the simulator: every resource, the books, the timeline of what is still to happen.
//!
//! One value behind one lock. It changes only while it is held, takes the time from outside and does no
//! I/O: deliveries to be sent are put into an outbox.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{SubsecRound as _, TimeDelta};
use serde::Serialize;
use serde_json::Value as Json;
use uuid::Uuid;

use crate::simulator::augustus::auth::{Key, LATEST_VERSION, Rates, VERSIONS};
use crate::simulator::config::{AccountSeed, Advance, SimulatorConfig, SimulatorError, SubscriptionSeed, WebhookSuccess};
use crate::simulator::core::faults::{Faults, WebhookFault};
use crate::simulator::core::iban;
use crate::simulator::core::idempotency::Keys;
use crate::simulator::core::ledger::{Ledger, Place};
use crate::simulator::augustus::lifecycle::{self, Step};
use crate::simulator::core::notices::{Attempt, Delivery, DeliveryStatus, Event, PING, Subscription};
use crate::simulator::augustus::resources::{
    Account, AccountStatus, Conversion, Deposit, FinancialAddress, Payout, Program, Quote, Return, is_fiat,
};
use crate::simulator::core::table::Table;
use crate::simulator::core::webhook::{self, Outgoing};
use crate::base::clock::Instant;
use crate::base::ids::Digest;
use crate::base::money::{Currency, Money};
use crate::base::secret::Secret;

/// Something that is to happen at a time.
#[derive(Debug)]
pub(super) enum Due {
    /// A resource goes on.
    Step(Uuid, Step),
    /// A delivery is tried.
    Deliver(Uuid),
    /// A delivery is sent once more; that changes nothing but its list of attempts.
    Copy(Uuid),
    /// A delivery still held back is tried, though no other went first.
    Release(Uuid),
}

/// How long a delivery is held back for another to go first.
const HOLD_MS_MAX: u64 = 2_000;

/// How often an operation was asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct RequestCount {
    /// Requests that reached the operation, refused ones included.
    pub total: u64,
    /// Of these, answered from an idempotency key.
    pub replayed: u64,
    /// Of these, met by a scripted fault.
    pub faulted: u64,
    /// Of these, done for the first time: what the operation changed, it changed so often.
    pub done: u64,
}

/// Everything there is.
pub(super) struct World {
    pub(super) config: Arc<SimulatorConfig>,
    pub(super) now: Instant,
    pub(super) elapsed: Duration,
    pub(super) merchant_id: Uuid,
    pub(super) keys: Vec<Key>,
    pub(super) rates: Rates,
    pub(super) idempotency: Keys,
    pub(super) faults: Faults,
    pub(super) ledger: Ledger,
    pub(super) programs: Table<Program>,
    pub(super) accounts: Table<Account>,
    pub(super) payouts: Table<Payout>,
    pub(super) conversions: Table<Conversion>,
    pub(super) quotes: Table<Quote>,
    pub(super) deposits: Table<Deposit>,
    pub(super) returns: Table<Return>,
    pub(super) events: Table<Event>,
    pub(super) subscriptions: Table<Subscription>,
    pub(super) deliveries: Table<Delivery>,
    pub(super) requests: BTreeMap<&'static str, RequestCount>,
    pub(super) outbox: Vec<Outgoing>,
    /// Deliveries held back until another has gone first, with their subscriptions.
    held: Vec<(Uuid, Uuid)>,
    timeline: BTreeMap<(Duration, u64), Due>,
    planned: u64,
    ids: fastrand::Rng,
    /// Apart from the ids of resources, so that those do not depend on how many requests were made.
    noise: fastrand::Rng,
}

impl World {
    /// The world as the settings describe its beginning.
    pub(super) fn new(config: Arc<SimulatorConfig>, now: Instant, elapsed: Duration) -> Result<Self, SimulatorError> {
        let seed = config.seed;
        let mut world = Self {
            now: now.trunc_subsecs(3),
            elapsed,
            merchant_id: named_id(seed, "merchant", ""),
            keys: Vec::new(),
            rates: Rates::default(),
            idempotency: Keys::default(),
            faults: Faults::new(&config.faults, &config.webhook_faults),
            ledger: Ledger::new(config.payouts.allow_overdraft),
            programs: Table::default(),
            accounts: Table::default(),
            payouts: Table::default(),
            conversions: Table::default(),
            quotes: Table::default(),
            deposits: Table::default(),
            returns: Table::default(),
            events: Table::default(),
            subscriptions: Table::default(),
            deliveries: Table::default(),
            requests: BTreeMap::new(),
            outbox: Vec::new(),
            held: Vec::new(),
            timeline: BTreeMap::new(),
            planned: 0,
            ids: fastrand::Rng::with_seed(seed),
            noise: fastrand::Rng::with_seed(seed ^ 0x5eed),
            config,
        };
        let config = Arc::clone(&world.config);
        webhook::check_secret(&config.webhook_secret)
            .map_err(|error| SimulatorError::Config(format!("webhook_secret: {error}")))?;
        for settings in &config.api_keys {
            if !VERSIONS.contains(&settings.api_version.as_str()) {
                let message = format!("there is no API version `{}`", settings.api_version);
                return Err(SimulatorError::Config(message));
            }
            world.keys.push(Key {
                id: named_id(seed, "api_key", &settings.key),
                settings: settings.clone(),
                created_at: world.now,
            });
        }
        for seed_program in &config.programs {
            let id = seed_program
                .id
                .unwrap_or_else(|| named_id(seed, "program", &seed_program.label));
            let program = Program {
                id,
                label: seed_program.label.clone(),
                currency: seed_program.currency,
                account_program_type: seed_program.account_program_type.clone(),
                created_at: world.now,
            };
            world.programs.insert(id, world.now, Duration::ZERO, program);
        }
        for account in &config.accounts {
            world.open_account(account).map_err(SimulatorError::Config)?;
        }
        for subscription in &config.subscriptions {
            world.subscribe(subscription).map_err(SimulatorError::Config)?;
        }
        Ok(world)
    }

    /// Lets the world catch up with the present. What is due happens at its own time, not at this one, so that
    /// a clock that leaps makes the same history as one that walks.
    pub(super) fn tick(&mut self, now: Instant, elapsed: Duration) {
        while let Some(entry) = self.timeline.first_entry() {
            let due = entry.key().0;
            if due > elapsed {
                break;
            }
            let late = TimeDelta::from_std(elapsed - due).unwrap_or_default();
            self.now = (now - late).trunc_subsecs(3);
            self.elapsed = due;
            match entry.remove() {
                // A step that no longer fits was overtaken by the control API.
                Due::Step(id, step) => drop(lifecycle::step(self, id, step)),
                Due::Deliver(delivery) => self.send(delivery, false),
                Due::Copy(delivery) => self.send(delivery, true),
                Due::Release(delivery) => self.release(delivery),
            }
        }
        self.now = now.trunc_subsecs(3);
        self.elapsed = elapsed;
    }

    /// When the next thing happens, by elapsed time.
    pub(super) fn next_due(&self) -> Option<Duration> {
        self.timeline.first_key_value().map(|((due, _), _)| *due)
    }

    /// Plans something.
    pub(super) fn plan(&mut self, delay_ms: u64, due: Due) {
        self.planned += 1;
        let at = self.elapsed.saturating_add(Duration::from_millis(delay_ms));
        self.timeline.insert((at, self.planned), due);
    }

    /// Plans a step of a resource, unless steps are made by hand.
    pub(super) fn plan_step(&mut self, delay_ms: u64, id: Uuid, step: Step) {
        if self.config.lifecycle.advance == Advance::Automatic {
            self.plan(delay_ms, Due::Step(id, step));
        }
    }

    /// A new id for a resource.
    pub(super) fn new_id(&mut self) -> Uuid {
        uuid::Builder::from_random_bytes(self.ids.u128(..).to_be_bytes()).into_uuid()
    }

    /// A new id for a request.
    pub(super) fn correlation_id(&mut self) -> String {
        uuid::Builder::from_random_bytes(self.noise.u128(..).to_be_bytes())
            .into_uuid()
            .to_string()
    }

    /// From when lists show what is created now.
    pub(super) fn listed_from(&self, extra_ms: u64) -> Duration {
        let lag = self.config.lists.visibility_lag_ms.saturating_add(extra_ms);
        self.elapsed.saturating_add(Duration::from_millis(lag))
    }

    /// The oldest time of events that are still kept.
    pub(super) fn kept_since(&self) -> Instant {
        self.now - TimeDelta::days(self.config.event_retention_days)
    }

    /// What is available on an account.
    pub(super) fn available(&self, account: &Account) -> Money {
        self.ledger.balance(Place::Account(account.id), account.currency)
    }

    /// The own account that can be reached at an address.
    pub(super) fn account_at(&self, address: &FinancialAddress, currency: Currency) -> Option<&Account> {
        self.accounts.iter().find(|account| {
            account.currency == currency
                && account
                    .financial_addresses
                    .iter()
                    .any(|known| known.same_account(address))
        })
    }

    /// Opens an active account with its opening balance.
    pub(super) fn open_account(&mut self, seed: &AccountSeed) -> Result<Uuid, String> {
        let id = seed
            .id
            .unwrap_or_else(|| named_id(self.config.seed, "account", &seed.label));
        if self.accounts.get(id).is_some() {
            return Err(format!("there is an account `{}` already", seed.label));
        }
        let program = match &seed.program {
            None => None,
            Some(label) => Some(
                self.programs
                    .iter()
                    .find(|program| program.label == *label)
                    .ok_or_else(|| format!("account `{}`: there is no program `{label}`", seed.label))?
                    .id,
            ),
        };
        let opening = match &seed.opening_balance {
            None => Money::zero(seed.currency),
            Some(text) => {
                Money::parse(text, seed.currency).map_err(|error| format!("account `{}`: {error}", seed.label))?
            }
        };
        let holder = seed.holder.as_ref().unwrap_or(&seed.label);
        let financial_addresses = if seed.financial_addresses.is_empty() {
            vec![self.new_address(seed.currency, holder)]
        } else {
            seed.financial_addresses.clone()
        };
        let account = Account {
            id,
            program,
            currency: seed.currency,
            label: seed.label.clone(),
            status: AccountStatus::Active,
            financial_addresses,
            created_at: self.now,
            updated_at: self.now,
        };
        self.accounts.insert(id, self.now, Duration::ZERO, account);
        if !opening.is_zero() {
            self.ledger
                .post(self.now, (Place::Outside, Place::Account(id)), opening, "opening", id)
                .map_err(|error| format!("account `{}`: {error}", seed.label))?;
        }
        Ok(id)
    }

    /// A fresh address that fits the currency.
    pub(super) fn new_address(&mut self, currency: Currency, holder: &str) -> FinancialAddress {
        let digits = |rng: &mut fastrand::Rng, count: usize| -> String {
            std::iter::repeat_with(|| rng.digit(10)).take(count).collect()
        };
        let account_holder_name = holder.to_owned();
        match currency.code() {
            "GBP" => FinancialAddress::SortCode {
                sort_code: digits(&mut self.ids, 6),
                account_number: digits(&mut self.ids, 8),
                account_holder_name,
            },
            "USD" => FinancialAddress::Aba {
                routing_number: "021000021".to_owned(),
                account_number: digits(&mut self.ids, 10),
                account_holder_name,
            },
            _ if is_fiat(currency) => FinancialAddress::Iban {
                iban: iban::make("DE", &format!("37040044{}", digits(&mut self.ids, 10))),
                account_holder_name,
                bic: Some("COBADEFFXXX".to_owned()),
            },
            code => FinancialAddress::CryptoWallet {
                address: format!("0x{:032x}{:08x}", self.ids.u128(..), self.ids.u32(..)),
                blockchain: match code {
                    "BTC" => "bitcoin",
                    "SOL" => "solana",
                    "POL" => "polygon",
                    _ => "ethereum",
                }
                .to_owned(),
            },
        }
    }

    /// Adds a subscription.
    pub(super) fn subscribe(&mut self, seed: &SubscriptionSeed) -> Result<Uuid, String> {
        let secret = seed.secret.as_ref().unwrap_or(&self.config.webhook_secret).clone();
        webhook::check_secret(&secret).map_err(|error| format!("subscription `{}`: {error}", seed.url))?;
        let id = self.new_id();
        let subscription = Subscription {
            id,
            url: seed.url.clone(),
            events: (!seed.events.iter().any(|name| name == "*")).then(|| seed.events.clone()),
            secret: Secret::new(secret),
            created_at: self.now,
            updated_at: self.now,
            deleted: false,
            failures_in_a_row: 0,
        };
        self.subscriptions.insert(id, self.now, self.elapsed, subscription);
        Ok(id)
    }

    /// Records an event and plans its deliveries.
    pub(super) fn emit(&mut self, event_type: &'static str, data: Json) -> Uuid {
        let id = self.record_event(event_type, data);
        let wanting: Vec<Uuid> = self
            .subscriptions
            .iter()
            .filter(|subscription| subscription.wants(event_type))
            .map(|subscription| subscription.id)
            .collect();
        for subscription in wanting {
            self.deliver(id, event_type, subscription);
        }
        id
    }

    /// Records an event that is not delivered by itself.
    pub(super) fn record_event(&mut self, event_type: &'static str, data: Json) -> Uuid {
        let id = self.new_id();
        let event = Event {
            id,
            event_type,
            api_version: LATEST_VERSION.to_owned(),
            data,
            created_at: self.now,
        };
        let listed_from = self.listed_from(0);
        self.events.insert(id, self.now, listed_from, event);
        id
    }

    /// Plans the delivery of an event to one subscription, with whatever is scripted to go wrong.
    fn deliver(&mut self, event_id: Uuid, event_type: &str, subscription_id: Uuid) {
        let config = Arc::clone(&self.config);
        let settings = &config.webhooks;
        let fault = self.faults.for_event(event_type);
        if fault == Some(WebhookFault::Drop) {
            return;
        }
        let disabled = settings.disable_after_failures.is_some_and(|limit| {
            self.subscriptions
                .get(subscription_id)
                .is_some_and(|subscription| subscription.failures_in_a_row >= limit)
        });
        let status = if disabled {
            DeliveryStatus::Ignored
        } else {
            DeliveryStatus::Pending
        };
        let id = self.new_delivery(event_id, subscription_id, status);
        if disabled {
            return;
        }
        let mut delay_ms = settings.delay_ms;
        if settings.jitter_ms > 0 {
            delay_ms += self.noise.u64(0..=settings.jitter_ms);
        }
        let mut copies = u32::from(self.noise.u8(0..100) < settings.duplicate_percent);
        match fault {
            Some(WebhookFault::Duplicate { count }) => copies += count,
            Some(WebhookFault::Delay { ms }) => delay_ms += ms,
            Some(WebhookFault::Reorder) => {
                self.held.push((id, subscription_id));
                self.plan(HOLD_MS_MAX, Due::Release(id));
                return;
            }
            Some(WebhookFault::Drop) | None => {}
        }
        self.plan(delay_ms, Due::Deliver(id));
        for _ in 0..copies {
            self.plan(delay_ms, Due::Copy(id));
        }
        self.release_held(subscription_id, delay_ms);
    }

    /// Lets what was held back follow the delivery just planned.
    fn release_held(&mut self, subscription_id: Uuid, delay_ms: u64) {
        let (held, others) = std::mem::take(&mut self.held)
            .into_iter()
            .partition::<Vec<_>, _>(|(_, subscription)| *subscription == subscription_id);
        self.held = others;
        for (id, _) in held {
            // Far enough behind that the two do not race on the network.
            self.plan(delay_ms + 100, Due::Deliver(id));
        }
    }

    fn release(&mut self, id: Uuid) {
        if let Some(place) = self.held.iter().position(|(held, _)| *held == id) {
            self.held.remove(place);
            self.send(id, false);
        }
    }

    /// A new delivery of an event to a subscription.
    pub(super) fn new_delivery(&mut self, event_id: Uuid, subscription_id: Uuid, status: DeliveryStatus) -> Uuid {
        let id = self.new_id();
        let delivery = Delivery {
            id,
            event_id,
            subscription_id,
            status,
            attempts: Vec::new(),
            created_at: self.now,
            updated_at: self.now,
            retries: 0,
        };
        self.deliveries.insert(id, self.now, self.elapsed, delivery);
        id
    }

    /// Puts a delivery into the outbox.
    fn send(&mut self, id: Uuid, copy: bool) {
        let now = self.now;
        let Some(delivery) = self.deliveries.get_mut(id) else {
            return;
        };
        let subscription = self.subscriptions.get(delivery.subscription_id);
        let Some(subscription) = subscription.filter(|subscription| !subscription.deleted) else {
            delivery.status = DeliveryStatus::Ignored;
            return;
        };
        let Some(event) = self.events.get(delivery.event_id) else {
            return;
        };
        if !copy {
            delivery.status = DeliveryStatus::Processing;
            delivery.updated_at = now;
        }
        self.outbox.push(Outgoing {
            delivery: id,
            copy,
            url: subscription.url.clone(),
            secret: subscription.secret.clone(),
            event_id: event.id,
            body: event.envelope().to_string(),
        });
    }

    /// Takes note of how an attempt ended, and plans the next one if there is to be one.
    pub(super) fn attempted(&mut self, outgoing: &Outgoing, status: Option<u16>) {
        let (id, now) = (outgoing.delivery, self.now);
        let delivered = match self.config.webhooks.success {
            WebhookSuccess::Any2xx => status.is_some_and(|status| (200..300).contains(&status)),
            WebhookSuccess::Only200 => status == Some(200),
        };
        let retry_delays_ms = &self.config.webhooks.retry_delays_ms;
        let Some(delivery) = self.deliveries.get_mut(id) else {
            return;
        };
        delivery.attempts.push(Attempt {
            attempted_at: now,
            delivered,
            status_code: status.unwrap_or_default(),
        });
        delivery.updated_at = now;
        if outgoing.copy {
            return;
        }
        let is_ping = self
            .events
            .get(delivery.event_id)
            .is_some_and(|event| event.event_type == PING);
        let retry = retry_delays_ms.get(delivery.retries).copied().filter(|_| !delivered);
        delivery.status = match (delivered, retry) {
            (true, _) => DeliveryStatus::Delivered,
            (false, Some(_)) => DeliveryStatus::Pending,
            (false, None) => DeliveryStatus::Failed,
        };
        delivery.retries += 1;
        let (status, subscription_id) = (delivery.status, delivery.subscription_id);
        if let Some(subscription) = self.subscriptions.get_mut(subscription_id) {
            match status {
                DeliveryStatus::Delivered => subscription.failures_in_a_row = 0,
                DeliveryStatus::Failed if !is_ping => subscription.failures_in_a_row += 1,
                _ => {}
            }
        }
        if let Some(delay_ms) = retry {
            self.plan(delay_ms, Due::Deliver(id));
        }
    }
}

/// An id that follows from the seed and a name.
pub(super) fn named_id(seed: u64, kind: &str, name: &str) -> Uuid {
    let digest = Digest::of([seed.to_be_bytes().as_slice(), kind.as_bytes(), name.as_bytes()]);
    let mut bytes = [0; 16];
    for (byte, drawn) in bytes.iter_mut().zip(digest.as_bytes()) {
        *byte = *drawn;
    }
    uuid::Builder::from_random_bytes(bytes).into_uuid()
}
