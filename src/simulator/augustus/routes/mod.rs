//! The 37 operations: one table, from which routes, scopes, known parameters and tests follow.
//!
//! A handler sees the locked world and a request that was already let in; it does no I/O.

mod accounts;
mod conversions;
mod events;
mod meta;
mod payouts;
mod returns;
mod webhooks;

use crate::simulator::contract::{Access, Body, Handler, Operation};

const fn get(
    name: &'static str,
    path: &'static str,
    scope: &'static str,
    query: &'static [&'static str],
    run: Handler,
) -> Operation {
    Operation {
        name,
        method: "GET",
        path,
        access: Access::Scope(scope),
        query,
        body: Body::None,
        success: 200,
        posts_first: None,
        run,
    }
}

const fn post(name: &'static str, path: &'static str, scope: &'static str, body: Body, run: Handler) -> Operation {
    Operation {
        name,
        method: "POST",
        path,
        access: Access::Scope(scope),
        query: &[],
        body,
        success: 200,
        posts_first: None,
        run,
    }
}

const fn open(name: &'static str, path: &'static str, access: Access, run: Handler) -> Operation {
    Operation {
        name,
        method: "GET",
        path,
        access,
        query: &[],
        body: Body::None,
        success: 200,
        posts_first: None,
        run,
    }
}

/// The parameters of a list without filters.
const PAGED: &[&str] = &["limit", "cursor"];

/// Every operation, in the order of the reference.
#[rustfmt::skip]
pub(crate) static OPERATIONS: [Operation; 37] = [
    get("list_account_programs", "/v1/account_programs", "account_programs:read", PAGED, accounts::list_programs),
    get("retrieve_account_program", "/v1/account_programs/{id}", "account_programs:read", &[], accounts::retrieve_program),
    get("retrieve_account_program_balance", "/v1/account_programs/{id}/balance", "account_programs:read", &[], accounts::program_balance),
    get("list_accounts", "/v1/accounts", "accounts:read",
        &["limit", "cursor", "account_number", "account_holder_name", "status", "parent_id"], accounts::list),
    post("create_account", "/v1/accounts", "accounts:write", Body::Object, accounts::create),
    get("retrieve_account", "/v1/accounts/{id}", "accounts:read", &[], accounts::retrieve),
    get("retrieve_account_balance", "/v1/accounts/{id}/balance", "accounts:read", &[], accounts::balance),
    post("freeze_account", "/v1/accounts/{id}/freeze", "accounts:write", Body::None, accounts::freeze),
    post("unfreeze_account", "/v1/accounts/{id}/unfreeze", "accounts:write", Body::None, accounts::unfreeze),
    post("close_account", "/v1/accounts/{id}/close", "accounts:write", Body::Object, accounts::close),
    open("retrieve_api_key", "/v1/api_key", Access::AnyKey, meta::api_key),
    open("list_api_versions", "/v1/api_versions", Access::Public, meta::api_versions),
    get("list_conversions", "/v1/conversions", "conversions:read",
        &["limit", "cursor", "status", "source_currency", "target_currency"], conversions::list),
    post("create_conversion", "/v1/conversions", "conversions:write", Body::Object, conversions::create),
    get("retrieve_conversion", "/v1/conversions/{id}", "conversions:read", &[], conversions::retrieve),
    get("list_deposits", "/v1/deposits", "deposits:read",
        &["limit", "cursor", "status", "created_at.gte", "created_at.lte"], returns::list_deposits),
    get("retrieve_deposit", "/v1/deposits/{id}", "deposits:read", &[], returns::retrieve_deposit),
    get("list_events", "/v1/events", "events:read",
        &["limit", "cursor", "event_type", "created_at.gte", "created_at.lte"], events::list),
    get("retrieve_event", "/v1/events/{id}", "events:read", &[], events::retrieve),
    get("list_payouts", "/v1/payouts", "payouts:read",
        &["limit", "cursor", "status", "currencies", "created_at.gte", "created_at.lte"], payouts::list),
    post("create_payout", "/v1/payouts", "payouts:write", Body::Object, payouts::create),
    get("retrieve_payout", "/v1/payouts/{id}", "payouts:read", &[], payouts::retrieve),
    get("retrieve_indicative_quote", "/v1/quotes/indicative", "quotes:read",
        &["source_currency", "target_currency", "source_amount"], conversions::indicative),
    get("retrieve_quote", "/v1/quotes/{id}", "quotes:read", &[], conversions::quote),
    get("list_returns", "/v1/returns", "returns:read",
        &["limit", "cursor", "status", "deposit_id", "created_at.gte", "created_at.lte"], returns::list),
    post("create_return", "/v1/returns", "returns:write", Body::Object, returns::create),
    get("retrieve_return", "/v1/returns/{id}", "returns:read", &[], returns::retrieve),
    open("list_scopes", "/v1/scopes", Access::Public, meta::scopes),
    get("list_webhook_deliveries", "/v1/webhook_deliveries", "webhook_deliveries:read",
        &["limit", "cursor", "event_id", "subscription_id", "status", "created_at.gte", "created_at.lte"], events::list_deliveries),
    get("retrieve_webhook_delivery", "/v1/webhook_deliveries/{id}", "webhook_deliveries:read", &[], events::retrieve_delivery),
    post("redeliver_webhook_delivery", "/v1/webhook_deliveries/{id}/redeliver", "webhook_deliveries:write", Body::None, events::redeliver),
    get("list_webhook_subscriptions", "/v1/webhook_subscriptions", "webhook_subscriptions:read", PAGED, webhooks::list),
    post("create_webhook_subscription", "/v1/webhook_subscriptions", "webhook_subscriptions:write", Body::Object, webhooks::create),
    get("retrieve_webhook_subscription", "/v1/webhook_subscriptions/{id}", "webhook_subscriptions:read", &[], webhooks::retrieve),
    post("update_webhook_subscription", "/v1/webhook_subscriptions/{id}", "webhook_subscriptions:write", Body::Object, webhooks::update),
    Operation {
        name: "delete_webhook_subscription",
        method: "DELETE",
        path: "/v1/webhook_subscriptions/{id}",
        access: Access::Scope("webhook_subscriptions:write"),
        query: &[],
        body: Body::None,
        success: 200,
        posts_first: None,
        run: webhooks::delete,
    },
    post("send_test_event", "/v1/webhook_subscriptions/{id}/send_test_event", "webhook_subscriptions:write", Body::None, webhooks::send_test_event),
];
