//! What differs between providers, as one static value each: operations, who is let in, how a refusal is
//! said, what a key does, how events are signed, what the control can ask.
//!
//! Data and plain functions; the way of a request, the books and the deliveries are the same for all.

use axum::http::HeaderMap;
use serde_json::{Map, Value as Json};
use uuid::Uuid;

use super::augustus;
use super::config::{Idempotency, SimulatorConfig, UnknownParameters, Webhooks};
use super::control::{Effect, Holding};
use super::core::address::Address;
use super::core::failure::Failure;
use super::core::fields::{Fields, Query};
use super::core::ledger::Place;
use super::core::notices::Event;
use super::core::refusal::Refusal;
use super::core::serve::Inbound;
use super::core::timeline::StepError;
use super::ivy;
use super::payaut;
use super::payments;
use super::world::World;
use crate::base::money::{Currency, Money};
use crate::base::secret::Secret;

/// Every provider served.
pub(crate) static CONTRACTS: [&Contract; 4] = [
    &augustus::CONTRACT,
    &ivy::CONTRACT,
    &payments::CONTRACT,
    &payaut::CONTRACT,
];

/// A provider.
#[derive(Debug)]
pub(crate) struct Contract {
    /// Keeps its idempotency keys, events and subscriptions apart from the others'.
    pub(crate) name: &'static str,
    /// Stands before every path: `/ivy`.
    pub(crate) prefix: &'static str,
    pub(crate) operations: &'static [Operation],
    /// Everything that is checked before the request itself is read: version, key, scope, rate.
    pub(crate) authenticate: fn(&mut World, &Operation, &Inbound) -> Result<Caller, Refusal>,
    /// Whether something can stand in the place of a path that varies.
    pub(crate) check_path: fn(&str) -> Result<(), Refusal>,
    /// What an unknown query parameter does.
    pub(crate) unknown_parameters: fn(&SimulatorConfig) -> UnknownParameters,
    /// Status and body of a refusal, with the request's id.
    pub(crate) refuse: fn(&Refusal, &str) -> (u16, Json),
    /// Where that body has its code.
    pub(crate) code_at: &'static str,
    /// Headers of every answer, with the request's id.
    pub(crate) headers: fn(&World, &HeaderMap, &str) -> Vec<(&'static str, String)>,
    /// Where answers have the amount of what was asked for.
    pub(crate) amounts_at: &'static [&'static str],
    pub(crate) key: KeyRule,
    pub(crate) webhook: DeliveryRule,
    pub(crate) control: ControlRule,
}

impl Contract {
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.name == other.name
    }

    /// Whose a path is, by its prefix; what nobody claims is the root's.
    pub(crate) fn of_path(path: &str) -> &'static Self {
        let claimed = |contract: &&&'static Self| {
            let rest = path
                .strip_prefix(contract.prefix)
                .filter(|_| !contract.prefix.is_empty());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        CONTRACTS.iter().find(claimed).copied().unwrap_or(&augustus::CONTRACT)
    }
}

/// Who may call an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Everyone.
    Public,
    /// Any valid key.
    AnyKey,
    /// A key with this scope.
    Scope(&'static str),
}

/// What an operation does with its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Body {
    /// There is none; an empty object is let pass.
    None,
    /// A JSON object.
    Object,
}

/// Does what an operation is for. It sees the locked world and does no I/O.
pub(crate) type Handler = fn(&mut World, &Call) -> Result<Json, Refusal>;

/// One operation of an API.
#[derive(Debug)]
pub(crate) struct Operation {
    /// As faults and counts name it; other providers' begin with theirs: `ivy.create_payout`.
    pub(crate) name: &'static str,
    pub(crate) method: &'static str,
    /// Without the provider's prefix; `{id}` is a part that varies.
    pub(crate) path: &'static str,
    pub(crate) access: Access,
    pub(crate) query: &'static [&'static str],
    pub(crate) body: Body,
    /// The status of a success.
    pub(crate) success: u16,
    /// The one delivery that `run` puts into the outbox is made before the answer, which this completes by the
    /// status of the receiver's.
    pub(crate) posts_first: Option<fn(Json, Option<u16>) -> Json>,
    pub(crate) run: Handler,
}

/// Who sent a request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caller {
    pub(crate) api_key: Option<Uuid>,
    pub(crate) api_version: &'static str,
    /// The account acted for, where a header names it.
    pub(crate) account: Option<Uuid>,
    /// The business acted for, where a header names it.
    pub(crate) business: Option<Uuid>,
}

/// A request that was let in.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) operation: &'static Operation,
    pub(crate) caller: Caller,
    /// What stands in the parts of the path that vary.
    pub(crate) path: Vec<String>,
    pub(crate) query: Query,
    pub(crate) body: Map<String, Json>,
    pub(crate) idempotency_key: Option<String>,
    /// Scripted: what is created stays out of lists for so much longer.
    pub(crate) unlisted_ms: u64,
    /// Scripted: what is created fails later.
    pub(crate) fail_later: Option<Failure>,
}

impl Call {
    /// The id of the path; only operations whose path has one ask for it.
    pub(crate) fn id(&self) -> Result<Uuid, Refusal> {
        let id = self.path.first().and_then(|text| Uuid::parse_str(text).ok());
        id.ok_or_else(|| Refusal::parameter_missing("id"))
    }

    /// The fields of the body.
    pub(crate) fn fields(&self) -> Fields<'_> {
        Fields::new(&self.body)
    }
}

/// What an idempotency key is and does.
#[derive(Debug)]
pub(crate) struct KeyRule {
    pub(crate) header: &'static str,
    /// The member of bodies that bears a key, where some do.
    pub(crate) member: Option<&'static str>,
    /// Whether an operation heeds the key; on the others it is silently ignored.
    pub(crate) covers: fn(&SimulatorConfig, &Operation) -> bool,
    pub(crate) settings: fn(&SimulatorConfig) -> &Idempotency,
    /// The header that marks a repeated answer.
    pub(crate) replayed: Option<&'static str>,
}

/// The name and value of a header.
pub(crate) type Header = (String, String);

/// The headers that sign a body with this id at this Unix time; none where that cannot be done.
pub(crate) type Sign = fn(&Secret, &str, i64, &[u8]) -> Option<Vec<Header>>;

/// How events go out.
#[derive(Debug)]
pub(crate) struct DeliveryRule {
    pub(crate) settings: fn(&SimulatorConfig) -> &Webhooks,
    /// Signs deliveries to subscriptions that have no secret of their own.
    pub(crate) secret: fn(&SimulatorConfig) -> &str,
    pub(crate) check_secret: fn(&str) -> Result<(), String>,
    pub(crate) sign: Sign,
    /// What is pushed.
    pub(crate) envelope: fn(&Event) -> Json,
    /// The event sent on request only, which does not count for a subscription's health.
    pub(crate) ping: &'static str,
    pub(crate) user_agent: &'static str,
}

/// What the control asks a provider.
#[derive(Debug)]
pub(crate) struct ControlRule {
    /// Any resource, as the API shows it.
    pub(crate) resource: fn(&World, Uuid) -> Option<Json>,
    /// An event, as the API shows it or as it is pushed.
    pub(crate) event: fn(&Event) -> Json,
    /// Moves a resource to a status.
    pub(crate) advance: fn(&mut World, Uuid, &str, Option<Failure>) -> Result<(), StepError>,
    /// Everything the merchant caused.
    pub(crate) effects: fn(&World) -> Vec<Effect>,
    /// What is on the accounts.
    pub(crate) holdings: fn(&World) -> Vec<Holding>,
    /// The account at an address.
    pub(crate) account_at: fn(&World, &Address, Currency) -> Option<Uuid>,
    /// Lets money arrive on an account of this provider.
    pub(crate) arrive: fn(&mut World, Place, Cause, Arrival) -> Result<Uuid, StepError>,
}

/// Why money arrives: the name of the step, and the resource it leaves, if that is in this world.
pub(crate) type Cause = (&'static str, Option<Uuid>);

/// What is known of money that arrives.
#[derive(Debug, Clone)]
pub(crate) struct Arrival {
    pub(crate) account: Uuid,
    pub(crate) amount: Money,
    pub(crate) source: Address,
    pub(crate) reference: Option<String>,
    /// How it came: `sepa_instant`, `internal`.
    pub(crate) rail: Option<String>,
    pub(crate) tx_hash: Option<String>,
    /// The account of this world it came from.
    pub(crate) own_source: Option<Uuid>,
}
