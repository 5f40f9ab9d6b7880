//! What every simulated provider shares: books, faults, keys, the timeline, notices and their delivery, and
//! the way of a request.
//!
//! Nothing here knows a provider's words; what differs between them stands in its contract.

pub(crate) mod address;
pub(crate) mod answer;
pub(crate) mod delivery;
pub(crate) mod failure;
pub mod faults;
pub(crate) mod fields;
pub(crate) mod iban;
pub(crate) mod idempotency;
pub mod ledger;
pub(crate) mod market;
pub(crate) mod notices;
pub(crate) mod refusal;
pub(crate) mod serve;
pub(crate) mod table;
pub(crate) mod timeline;
pub(crate) mod webhook;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::SubsecRound as _;
use serde::Serialize;
use uuid::Uuid;

use self::answer::Form;
use self::faults::Faults;
use self::idempotency::{Carried, Keys};
use self::ledger::Ledger;
use self::notices::{Delivery, Event, Subscription};
use self::table::Table;
use self::timeline::{Due, Step, Timeline};
use self::webhook::Outgoing;
use super::config::{Advance, SimulatorConfig};
use crate::base::clock::Instant;
use crate::base::ids::Digest;

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
    /// Of these, over: whatever they do, they have done, whether anybody waits for the answer or not.
    pub over: u64,
}

/// What the providers of one world have in common.
pub(crate) struct Core {
    pub(crate) config: Arc<SimulatorConfig>,
    pub(crate) now: Instant,
    pub(crate) elapsed: Duration,
    pub(crate) idempotency: Keys,
    pub(crate) carried: Carried,
    pub(crate) faults: Faults,
    pub(crate) ledger: Ledger,
    pub(crate) events: Table<Event>,
    pub(crate) subscriptions: Table<Subscription>,
    pub(crate) deliveries: Table<Delivery>,
    pub(crate) requests: BTreeMap<&'static str, RequestCount>,
    pub(crate) outbox: Vec<Outgoing>,
    /// Deliveries held back until another has gone first, with their subscriptions.
    held: Vec<(Uuid, Uuid)>,
    pub(crate) timeline: Timeline,
    pub(crate) ids: fastrand::Rng,
    /// How the answer to the request that is being done goes out.
    pub(crate) form: Form,
    /// Apart from the ids of resources, so that those do not depend on how many requests were made.
    noise: fastrand::Rng,
}

impl Core {
    pub(crate) fn new(config: Arc<SimulatorConfig>, now: Instant, elapsed: Duration) -> Self {
        Self {
            now: now.trunc_subsecs(3),
            elapsed,
            idempotency: Keys::default(),
            carried: Carried::default(),
            faults: Faults::new(&config.faults, &config.webhook_faults),
            ledger: Ledger::new(config.payouts.allow_overdraft),
            events: Table::default(),
            subscriptions: Table::default(),
            deliveries: Table::default(),
            requests: BTreeMap::new(),
            outbox: Vec::new(),
            held: Vec::new(),
            timeline: Timeline::default(),
            ids: fastrand::Rng::with_seed(config.seed),
            form: Form::Json,
            noise: fastrand::Rng::with_seed(config.seed ^ 0x5eed),
            config,
        }
    }

    /// Plans something.
    pub(crate) fn plan(&mut self, delay_ms: u64, due: Due) {
        let at = self.elapsed.saturating_add(Duration::from_millis(delay_ms));
        self.timeline.plan(at, due);
    }

    /// Plans a step of a resource, unless steps are made by hand.
    pub(crate) fn plan_step(&mut self, delay_ms: u64, id: Uuid, step: Step) {
        if self.config.lifecycle.advance == Advance::Automatic {
            self.plan(delay_ms, Due::Step(id, step));
        }
    }

    /// A new id for a resource.
    pub(crate) fn new_id(&mut self) -> Uuid {
        uuid::Builder::from_random_bytes(self.ids.u128(..).to_be_bytes()).into_uuid()
    }

    /// A new id for a request.
    pub(crate) fn correlation_id(&mut self) -> String {
        uuid::Builder::from_random_bytes(self.noise.u128(..).to_be_bytes())
            .into_uuid()
            .to_string()
    }

    /// So many digits for an account number.
    pub(crate) fn new_digits(&mut self, count: usize) -> String {
        std::iter::repeat_with(|| self.ids.digit(10)).take(count).collect()
    }

    /// From when lists show what is created now.
    pub(crate) fn listed_from(&self, extra_ms: u64) -> Duration {
        self.listed_after(self.config.lists.visibility_lag_ms.saturating_add(extra_ms))
    }

    /// From when lists show what is created now, if that takes so long.
    pub(crate) fn listed_after(&self, lag_ms: u64) -> Duration {
        self.elapsed.saturating_add(Duration::from_millis(lag_ms))
    }
}

/// An id that follows from the seed and a name.
pub(crate) fn named_id(seed: u64, kind: &str, name: &str) -> Uuid {
    let digest = Digest::of([seed.to_be_bytes().as_slice(), kind.as_bytes(), name.as_bytes()]);
    let mut bytes = [0; 16];
    for (byte, drawn) in bytes.iter_mut().zip(digest.as_bytes()) {
        *byte = *drawn;
    }
    uuid::Builder::from_random_bytes(bytes).into_uuid()
}
