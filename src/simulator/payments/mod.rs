//! The Payments API, version 1.3.0: intents, payments and refunds in whole cents, keys on POSTs that are kept for
//! an hour and only when they succeeded, payouts that only the provider makes, Svix webhooks.
//!
//! Written from its reference alone: it must not look at the tables of the connectors that are tested with it.

mod accounts;
mod books;
mod charges;
pub mod config;
mod disputes;
mod error;
mod events;
mod external;
mod intents;
mod methods;
mod payouts;
mod refunds;
mod sessions;
mod signature;
mod splits;
pub(crate) mod state;
mod wire;

use axum::http::HeaderMap;
use serde_json::Value as Json;
use uuid::Uuid;

use self::config::BadKeyStatus;
use self::wire::{dollar, of_tagged};
use super::contract::{
    Access, Arrival, Body, Caller, Cause, Contract, ControlRule, DeliveryRule, Handler, KeyRule, Operation,
};
use super::control::{Effect, Holding};
use super::core::address::Address;
use super::core::failure::Failure;
use super::core::ledger::Place;
use super::core::named_id;
use super::core::refusal::Refusal;
use super::core::serve::Inbound;
use super::core::timeline::StepError;
use super::world::World;
use crate::base::money::Currency;

/// What this provider does its own way.
pub(crate) static CONTRACT: Contract = Contract {
    name: "payments",
    prefix: "/payments",
    operations: &OPERATIONS,
    authenticate,
    check_path: |_| Ok(()),
    unknown_parameters: |config| config.payments.unknown_parameters,
    refuse: error::refuse,
    code_at: "/code",
    headers: |_: &World, _: &HeaderMap, _: &str| Vec::new(),
    amounts_at: &["/amount"],
    key: KeyRule {
        header: KEY,
        member: None,
        covers: |_, operation| heeds_key(operation),
        settings: |config| &config.payments.idempotency,
        // Nothing says that a repeated answer is marked.
        replayed: None,
    },
    webhook: DeliveryRule {
        settings: |config| &config.payments.webhooks,
        secret: |config| &config.payments.webhook_secret,
        check_secret: signature::check_secret,
        sign: signature::sign,
        envelope: events::envelope,
        ping: "",
        user_agent: "payments-simulator",
    },
    control: ControlRule {
        resource,
        event: events::envelope,
        advance,
        effects,
        holdings,
        // Money comes from payers, not by transfer: there is no address.
        account_at: |_: &World, _: &Address, _: Currency| None,
        arrive,
    },
};

const KEY: &str = "x-idempotency-key";

/// The operations that take the key header. One more lists it and is a PATCH: there it has no effect.
const KEYED: [&str; 13] = [
    "payments.create_checkout_session",
    "payments.complete_checkout_session",
    "payments.expire_checkout_session",
    "payments.create_checkout_session_payment",
    "payments.create_payment_intent",
    "payments.cancel_payment_intent",
    "payments.capture_payment_intent",
    "payments.create_payment",
    "payments.create_refund",
    "payments.create_external_payment",
    "payments.cancel_external_payment",
    "payments.capture_external_payment",
    "payments.create_external_refund",
];

/// Keys are for POSTs: the same operation by another method does not heed one.
fn heeds_key(operation: &Operation) -> bool {
    operation.method == "POST" && KEYED.contains(&operation.name)
}

/// Whose account or business a request has to name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whose {
    Account,
    /// An account, though the reference says nothing of it; a setting.
    AccountUnlisted,
    Either,
    Business,
}

fn whose(operation: &Operation) -> Whose {
    match operation.name {
        "payments.list_payment_intents" | "payments.search_payment_intents" => Whose::Either,
        "payments.list_business_payouts" => Whose::Business,
        "payments.retrieve_checkout_session_details"
        | "payments.list_payments"
        | "payments.retrieve_payment_method"
        | "payments.update_payment_method"
        | "payments.list_disputes"
        | "payments.retrieve_dispute"
        | "payments.retrieve_balance"
        | "payments.list_transactions"
        | "payments.retrieve_transaction"
        | "payments.search_transactions"
        | "payments.download_transactions"
        | "payments.list_payouts"
        | "payments.retrieve_payout"
        | "payments.retrieve_processing_plan" => Whose::AccountUnlisted,
        _ => Whose::Account,
    }
}

const CURSOR: &[&str] = &["starting_after", "ending_before", "limit"];

const fn get(name: &'static str, path: &'static str, query: &'static [&'static str], run: Handler) -> Operation {
    Operation {
        name,
        method: "GET",
        path,
        access: Access::AnyKey,
        query,
        body: Body::None,
        success: 200,
        posts_first: None,
        run,
    }
}

const fn send(method: &'static str, name: &'static str, path: &'static str, body: Body, run: Handler) -> Operation {
    Operation {
        method,
        body,
        ..get(name, path, &[], run)
    }
}

const fn post(name: &'static str, path: &'static str, run: Handler) -> Operation {
    send("POST", name, path, Body::Object, run)
}

/// A POST that makes something.
const fn make(name: &'static str, path: &'static str, run: Handler) -> Operation {
    Operation {
        success: 201,
        ..post(name, path, run)
    }
}

/// The 35 operations, in the order of the reference; after them, by the same names, the other ways that it has for some.
#[rustfmt::skip]
static OPERATIONS: [Operation; 39] = [
    get("payments.list_checkout_sessions", "/checkout_sessions", CURSOR, sessions::list_all),
    make("payments.create_checkout_session", "/checkout_sessions", sessions::create),
    get("payments.retrieve_checkout_session", "/checkout_sessions/{id}", &[], sessions::fetch),
    get("payments.retrieve_checkout_session_details", "/checkout_sessions/{id}/details", &[], sessions::details),
    send("POST", "payments.complete_checkout_session", "/checkout_sessions/{id}/complete", Body::None, sessions::complete),
    send("POST", "payments.expire_checkout_session", "/checkout_sessions/{id}/expire", Body::None, sessions::expire),
    make("payments.create_checkout_session_payment", "/checkout_sessions/{id}/payments", sessions::pay),
    make("payments.create_payment_intent", "/payment_intents", intents::create),
    get("payments.list_payment_intents", "/payment_intents", CURSOR, intents::list_all),
    post("payments.search_payment_intents", "/payment_intents/search", intents::search),
    get("payments.retrieve_payment_intent", "/payment_intents/{id}", &[], intents::fetch),
    send("PATCH", "payments.update_payment_intent", "/payment_intents/{id}", Body::Object, intents::patch),
    post("payments.cancel_payment_intent", "/payment_intents/{id}/cancel", intents::cancel),
    post("payments.capture_payment_intent", "/payment_intents/{id}/capture", charges::capture_intent),
    get("payments.list_payments", "/payment_intents/{id}/payments", CURSOR, charges::list_of_intent),
    make("payments.create_payment", "/payment_intents/{id}/payments", charges::create),
    make("payments.create_refund", "/payment_intents/{id}/refunds", refunds::create),
    get("payments.retrieve_refund", "/refunds/{id}", &[], refunds::fetch),
    get("payments.retrieve_payment_method", "/payment_methods/{id}", &[], methods::fetch),
    send("PATCH", "payments.update_payment_method", "/payment_methods/{id}", Body::Object, methods::update),
    make("payments.create_external_payment", "/external_payments", external::create),
    post("payments.cancel_external_payment", "/external_payments/{id}/cancel", external::cancel),
    post("payments.capture_external_payment", "/external_payments/{id}/capture", external::capture),
    make("payments.create_external_refund", "/external_refunds", external::refund),
    get("payments.list_disputes", "/disputes", &["starting_after", "ending_before", "limit", "status"], disputes::list_all),
    get("payments.retrieve_dispute", "/disputes/{id}", &[], disputes::fetch),
    get("payments.retrieve_balance", "/balances", &[], books::balance),
    get("payments.list_transactions", "/transactions", &["starting_after", "ending_before", "limit", "payout_id"], books::transactions),
    get("payments.retrieve_transaction", "/transactions/{id}", &[], books::transaction),
    post("payments.search_transactions", "/transactions/search", books::search),
    post("payments.download_transactions", "/transactions/download", books::download),
    get("payments.list_payouts", "/payouts", CURSOR, payouts::list_all),
    get("payments.retrieve_payout", "/payouts/{id}", &[], payouts::fetch),
    get("payments.list_business_payouts", "/businesses/payouts", CURSOR, payouts::list_all),
    get("payments.retrieve_processing_plan", "/accounts/{id}/processing_plan", &[], accounts::plan),
    get("payments.retrieve_balance", "/ledger/balances", &[], books::balance),
    send("PATCH", "payments.cancel_external_payment", "/external_payments/{id}/cancel", Body::Object, external::cancel),
    send("PATCH", "payments.capture_external_payment", "/external_payments/{id}/capture", Body::Object, external::capture),
    get("payments.retrieve_processing_plan", "/processing_plans/{id}", &[], accounts::plan),
];

/// A route that is there, a known key, whose account, and an idempotency key that is long enough.
fn authenticate(world: &mut World, operation: &Operation, inbound: &Inbound) -> Result<Caller, Refusal> {
    let settings = &world.core.config.payments;
    let route = format!("{} {}", operation.method, operation.path);
    if settings.missing_routes.contains(&route) {
        return Err(Refusal::no_route());
    }
    let key = inbound.header("x-api-key");
    let Some(key) = key.filter(|key| settings.api_keys.contains(key)) else {
        return Err(match settings.bad_key_status {
            BadKeyStatus::Unauthorized => Refusal::authentication_required(),
            BadKeyStatus::Forbidden => Refusal::permission_denied("a valid API key is required"),
            BadKeyStatus::NotFound => Refusal::not_found("the API key"),
        });
    };
    let (account, business) = (inbound.header("x-account-id"), inbound.header("x-business-id"));
    let whose = whose(operation);
    let account_needed = whose == Whose::Account || whose == Whose::AccountUnlisted && settings.strict_account;
    if account_needed && account.is_none() {
        return Err(Refusal::parameter_missing("x-account-id"));
    }
    if whose == Whose::Business && business.is_none() {
        return Err(Refusal::parameter_missing("x-business-id"));
    }
    let account = account.map(|text| named_account(world, &text)).transpose()?;
    let business = business.map(|text| named_business(world, &text)).transpose()?;
    let too_short = |key: String| key.chars().count() < settings.key_length_min;
    if heeds_key(operation) && inbound.header(KEY).is_some_and(too_short) {
        let message = format!("an idempotency key has {} characters at least", settings.key_length_min);
        return Err(Refusal::parameter_invalid(KEY, message));
    }
    Ok(Caller {
        api_key: Some(named_id(world.core.config.seed, "payments key", &key)),
        api_version: "1.3.0",
        account,
        business: business.filter(|_| whose != Whose::Account),
    })
}

fn named_account(world: &World, text: &str) -> Result<Uuid, Refusal> {
    let known = of_tagged("acct", text).and_then(|id| world.payments.accounts.get(id));
    let known = known.map(|account| account.id);
    known.ok_or_else(|| wire::unknown(world, "the account"))
}

fn named_business(world: &World, text: &str) -> Result<Uuid, Refusal> {
    let id = of_tagged("bus", text);
    let mut accounts = world.payments.accounts.iter();
    let known = accounts.find(|account| Some(account.business) == id);
    let known = known.map(|account| account.business);
    known.ok_or_else(|| wire::unknown(world, "the business"))
}

// --- what the control asks ------------------------------------------------------------------------

fn resource(world: &World, id: Uuid) -> Option<Json> {
    let payments = &world.payments;
    let intent = payments.intents.get(id).map(|intent| intent.to_json(world));
    intent
        .or_else(|| payments.payments.get(id).map(|payment| payment.to_json(world)))
        .or_else(|| payments.refunds.get(id).map(refunds::Refund::to_json))
        .or_else(|| payments.sessions.get(id).map(|session| session.to_json(world)))
        .or_else(|| payments.disputes.get(id).map(|dispute| dispute.to_json(world)))
        .or_else(|| payments.lines.get(id).map(|line| line.to_json(world)))
        .or_else(|| payments.payouts.get(id).map(|payout| payout.to_json(world)))
        .or_else(|| payments.accounts.get(id).map(|account| account.to_json(world)))
}

/// What happens to an intent happens to its payment; an account is paid out.
fn advance(world: &mut World, id: Uuid, status: &str, failure: Option<Failure>) -> Result<(), StepError> {
    let payments = &world.payments;
    if let Some(intent) = payments.intents.get(id) {
        let payment = intent.latest.ok_or(StepError::Illegal(intent.status.name()))?;
        return charges::advance(world, payment, status, failure);
    }
    if payments.payments.get(id).is_some() {
        charges::advance(world, id, status, failure)
    } else if payments.refunds.get(id).is_some() {
        refunds::advance(world, id, status)
    } else if payments.sessions.get(id).is_some() {
        sessions::advance(world, id, status)
    } else if payments.disputes.get(id).is_some() {
        disputes::advance(world, id, status)
    } else if payments.payouts.get(id).is_some() {
        payouts::advance(world, id, status)
    } else if payments.lines.get(id).is_some() && status == "settled" {
        books::settles(world, id)
    } else if payments.accounts.get(id).is_some() && status == "paid_out" {
        payouts::makes(world, id)
    } else {
        Err(StepError::NoSuchStep)
    }
}

/// Oldest first within its kind.
fn effects(world: &World) -> Vec<Effect> {
    let payments = world.payments.payments.iter().map(charges::Payment::effect);
    let refunds = world.payments.refunds.iter().map(refunds::Refund::effect);
    payments.chain(refunds).collect()
}

/// What is settled for merchants, and for those who received parts.
fn holdings(world: &World) -> Vec<Holding> {
    let holding = |id: Uuid, label: &str| Holding {
        account_id: id,
        label: label.to_owned(),
        available: world.core.ledger.balance(Place::Settled(id), dollar()),
    };
    let accounts = world.payments.accounts.iter();
    let payees = world.payments.payees.iter();
    accounts
        .map(|account| holding(account.id, &account.label))
        .chain(payees.map(|payee| holding(payee.place, &payee.id)))
        .collect()
}

/// Money of the merchant's own, put in by the provider's staff.
fn arrive(
    world: &mut World,
    from: Place,
    (step, _): Cause,
    Arrival { account, amount, .. }: Arrival,
) -> Result<Uuid, StepError> {
    world.payments.accounts.get(account).ok_or(StepError::NotFound)?;
    let places = (from, Place::Settled(account));
    let now = world.core.now;
    world.core.ledger.post(now, places, amount, step, account)?;
    let line = books::Line::funding(&mut world.core, account, amount, "Funding");
    let id = line.id;
    let listed_from = wire::listed_from(world, 0);
    world.payments.lines.insert(id, now, listed_from, line);
    Ok(id)
}
