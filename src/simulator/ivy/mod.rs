//! The Ivy API (the older API of the same vendor, version 2023-01-01): every operation a POST, money as
//! numbers in major units, idempotency on fifteen endpoints, hex-signed webhooks.
//!
//! Written from its reference alone: it must not look at the tables of the connectors that are tested with it.

mod address;
mod banks;
mod books;
mod checkout;
pub mod config;
mod customers;
mod deposits;
mod error;
mod fx;
mod orders;
mod payouts;
mod refunds;
mod settlements;
mod signature;
pub(crate) mod state;
mod subscriptions;
mod wire;

use axum::http::HeaderMap;
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::contract::{Access, Body, Caller, Contract, ControlRule, DeliveryRule, Handler, KeyRule, Operation};
use super::control::{Effect, Holding};
use super::core::address::Address;
use super::core::failure::Failure;
use super::core::notices::Event;
use super::core::refusal::Refusal;
use super::core::serve::Inbound;
use super::core::timeline::StepError;
use super::world::World;
use crate::base::money::Currency;

/// The only version.
const VERSION: &str = "2023-01-01";

/// What this provider does its own way.
pub(crate) static CONTRACT: Contract = Contract {
    name: "ivy",
    prefix: "/ivy",
    operations: &OPERATIONS,
    authenticate,
    check_path: |_| Ok(()),
    unknown_parameters: |config| config.ivy.unknown_parameters,
    refuse: error::refuse,
    code_at: "/code",
    headers: |_: &World, _: &HeaderMap, _: &str| Vec::new(),
    amounts_at: &["/amount", "/price/total", "/sourceAmount"],
    key: KeyRule {
        header: "Idempotency-Key",
        member: None,
        covers: |config, operation| {
            COVERED.contains(&operation.path) || config.ivy.key_on_return && operation.path == RETURN_CREATE
        },
        settings: |config| &config.ivy.idempotency,
        // Nothing readable says that a repeated answer is marked.
        replayed: None,
    },
    webhook: DeliveryRule {
        settings: |config| &config.ivy.webhooks,
        secret: |config| &config.ivy.webhook_secret,
        check_secret: signature::check_secret,
        sign: signature::sign,
        envelope,
        ping: subscriptions::PING,
        user_agent: "ivy-simulator",
    },
    control: ControlRule {
        resource,
        event: envelope,
        advance,
        effects,
        holdings,
        account_at,
        arrive: deposits::arrive,
    },
};

/// The endpoints that heed an idempotency key.
const COVERED: [&str; 15] = [
    "/api/service/beneficiary-payout/create",
    "/api/service/checkout/session/create",
    "/api/service/checkout/session/expire",
    "/api/service/customer/create",
    "/api/service/customer/delete",
    "/api/service/customer/update",
    "/api/service/fx/execute",
    "/api/service/order/create",
    "/api/service/order/expire",
    "/api/service/payout/create",
    "/api/service/refund/create",
    "/api/service/subaccount/create",
    "/api/service/webhook-subscription/create",
    "/api/service/webhook-subscription/delete",
    "/api/service/webhook-subscription/update",
];

/// The one that moves money and does not.
const RETURN_CREATE: &str = "/api/service/return/create";

const fn post(name: &'static str, path: &'static str, run: Handler) -> Operation {
    Operation {
        name,
        method: "POST",
        path,
        access: Access::AnyKey,
        query: &[],
        body: Body::Object,
        success: 200,
        posts_first: None,
        run,
    }
}

/// The operations, in the order of the reference.
#[rustfmt::skip]
static OPERATIONS: [Operation; 38] = [
    post("ivy.retrieve_bank", "/api/service/banks/details", banks::details),
    post("ivy.list_banks", "/api/service/banks/list", banks::list),
    post("ivy.search_banks", "/api/service/banks/search", banks::search),
    post("ivy.create_checkout_session", "/api/service/checkout/session/create", checkout::create),
    post("ivy.retrieve_checkout_session", "/api/service/checkout/session/details", checkout::details),
    post("ivy.expire_checkout_session", "/api/service/checkout/session/expire", checkout::expire),
    post("ivy.create_customer", "/api/service/customer/create", customers::create),
    post("ivy.retrieve_customer", "/api/service/customer/retrieve", customers::retrieve),
    post("ivy.update_customer", "/api/service/customer/update", customers::update),
    post("ivy.delete_customer", "/api/service/customer/delete", customers::delete),
    post("ivy.search_customers", "/api/service/customer/search", customers::search),
    post("ivy.create_order", "/api/service/order/create", orders::create),
    post("ivy.retrieve_order", "/api/service/order/details", orders::details),
    post("ivy.expire_order", "/api/service/order/expire", orders::expire),
    post("ivy.retrieve_deposit", "/api/service/deposit/retrieve", deposits::retrieve),
    post("ivy.create_return", RETURN_CREATE, deposits::create_return),
    post("ivy.retrieve_return", "/api/service/return/retrieve", deposits::retrieve_return),
    post("ivy.retrieve_fx_rate", "/api/service/fx/retrieve-rate", fx::retrieve_rate),
    post("ivy.execute_fx", "/api/service/fx/execute", fx::execute),
    post("ivy.retrieve_fx", "/api/service/fx/retrieve", fx::retrieve),
    Operation {
        body: Body::None,
        ..post("ivy.payout_available_balances", "/api/service/beneficiary-payout/create", settlements::create)
    },
    post("ivy.list_transactions", "/api/service/transaction/list", books::transactions),
    post("ivy.retrieve_capabilities", "/api/service/merchant/capabilities/details", banks::capabilities),
    post("ivy.create_refund", "/api/service/refund/create", refunds::create),
    post("ivy.retrieve_refund", "/api/service/refund/retrieve", refunds::retrieve),
    post("ivy.create_payout", "/api/service/payout/create", payouts::create),
    post("ivy.retrieve_payout", "/api/service/payout/retrieve", payouts::retrieve),
    post("ivy.list_payouts", "/api/service/payout/list", payouts::list),
    post("ivy.create_subaccount", "/api/service/subaccount/create", customers::create_subaccount),
    post("ivy.retrieve_subaccount", "/api/service/subaccount/retrieve", customers::retrieve_subaccount),
    post("ivy.retrieve_balance", "/api/service/balance/retrieve", books::balance),
    post("ivy.trigger_webhook", "/api/service/webhook/trigger", subscriptions::trigger),
    post("ivy.create_webhook_subscription", "/api/service/webhook-subscription/create", subscriptions::create),
    post("ivy.update_webhook_subscription", "/api/service/webhook-subscription/update", subscriptions::update),
    post("ivy.list_webhook_subscriptions", "/api/service/webhook-subscription/list", subscriptions::list),
    post("ivy.delete_webhook_subscription", "/api/service/webhook-subscription/delete", subscriptions::delete),
    Operation {
        posts_first: Some(subscriptions::pinged),
        ..post("ivy.ping_webhook_subscription", "/api/service/webhook-subscription/ping", subscriptions::ping)
    },
    post("ivy.verify_payee", "/api/service/payee/verify", banks::verify_payee),
];

/// A known key; a version, where one is named, that exists.
fn authenticate(world: &mut World, _operation: &Operation, inbound: &Inbound) -> Result<Caller, Refusal> {
    let key = inbound.header("x-ivy-api-key");
    let known = key.is_some_and(|key| world.core.config.ivy.api_keys.contains(&key));
    if !known {
        return Err(Refusal::authentication_required());
    }
    match inbound.header("x-ivy-version") {
        Some(version) if version != VERSION => Err(Refusal::api_version("X-Ivy-Version", &version)),
        _ => Ok(Caller {
            api_key: None,
            api_version: VERSION,
            account: None,
            business: None,
        }),
    }
}

fn envelope(event: &Event) -> Json {
    json!({
        "id": wire::plain(event.id),
        "type": event.event_type,
        "date": wire::time(event.created_at),
        "payload": event.data,
    })
}

// --- what the control asks ------------------------------------------------------------------------

fn resource(world: &World, id: Uuid) -> Option<Json> {
    let ivy = &world.ivy;
    ivy.payouts
        .get(id)
        .map(|payout| payout.to_json(world))
        .or_else(|| ivy.returns.get(id).map(|given_back| given_back.to_json(world)))
        .or_else(|| ivy.deposits.get(id).map(|deposit| deposit.to_json(world)))
        .or_else(|| ivy.orders.get(id).map(|order| order.to_json(world)))
        .or_else(|| ivy.refunds.get(id).map(|refund| refund.to_json(world)))
        .or_else(|| ivy.sessions.get(id).map(|session| session.to_json(world)))
        .or_else(|| ivy.conversions.get(id).map(fx::Fx::to_json))
        .or_else(|| ivy.settlements.get(id).map(|settlement| settlement.to_json(world)))
}

/// The documented failure codes.
const FAILURE_CODES: [&str; 14] = [
    "account_closed",
    "account_blocked",
    "insufficient_funds",
    "invalid_account_format",
    "invalid_instruction",
    "invalid_amount",
    "invalid_time",
    "duplicate_transaction",
    "payee_verification_failed",
    "system_error",
    "provider_system_error",
    "rejected_by_correspondent_bank",
    "blocked_by_review",
    "unknown",
];

fn advance(world: &mut World, id: Uuid, status: &str, failure: Option<Failure>) -> Result<(), StepError> {
    let ivy = &world.ivy;
    let (paid, settled) = (ivy.payouts.get(id).is_some(), ivy.settlements.get(id).is_some());
    if paid || settled {
        StepError::unless_known(failure.as_ref(), &FAILURE_CODES)?;
        let failure = failure.unwrap_or_else(|| Failure::new("unknown", "failed as asked for", false));
        return match paid {
            true => payouts::advance(world, id, status, failure),
            false => settlements::advance(world, id, status, failure),
        };
    }
    if ivy.returns.get(id).is_some() {
        deposits::advance(world, id, status)
    } else if ivy.orders.get(id).is_some() {
        orders::advance(world, id, status)
    } else if ivy.refunds.get(id).is_some() {
        refunds::advance(world, id, status)
    } else if ivy.sessions.get(id).is_some() {
        checkout::advance(world, id, status)
    } else if ivy.conversions.get(id).is_some() {
        fx::advance(world, id, status)
    } else {
        Err(StepError::NotFound)
    }
}

/// Oldest first within its kind.
fn effects(world: &World) -> Vec<Effect> {
    let ivy = &world.ivy;
    let payouts = ivy.payouts.iter().map(payouts::Payout::effect);
    let settlements = ivy.settlements.iter().map(settlements::Settlement::effect);
    let conversions = ivy.conversions.iter().map(fx::Fx::effect);
    let returns = ivy.returns.iter().map(deposits::Return::effect);
    let refunds = ivy.refunds.iter().map(refunds::Refund::effect);
    payouts
        .chain(settlements)
        .chain(conversions)
        .chain(returns)
        .chain(refunds)
        .collect()
}

fn holdings(world: &World) -> Vec<Holding> {
    let holding = |account: &books::Account| Holding {
        account_id: account.id,
        label: account.label.clone(),
        available: books::available(world, account),
    };
    world.ivy.accounts.iter().map(holding).collect()
}

fn account_at(world: &World, address: &Address, currency: Currency) -> Option<Uuid> {
    let reached = |account: &&books::Account| account.currency == currency && account.address.same_account(address);
    world.ivy.accounts.iter().find(reached).map(|account| account.id)
}
