//! The Payaut API 1.2: splits of a marketplace's captured payments over virtual accounts, transfers between them,
//! payouts to sellers that passed KYC. Money in smallest units, references in place of keys, unsigned webhooks.
//!
//! Written from its reference alone: it must not look at the tables of the connectors that are tested with it.

mod accounts;
pub mod config;
mod demo;
mod error;
mod externals;
mod holders;
mod items;
mod kyc;
mod notifications;
mod payouts;
mod refunds;
mod reports;
mod schedules;
mod splits;
pub(crate) mod state;
mod transactions;
mod transfers;
mod ubos;
mod wire;

use axum::http::HeaderMap;
use serde_json::Value as Json;
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
use crate::base::money::{Currency, Money};

/// The only version.
const VERSION: &str = "1.2";

/// What this provider does its own way.
pub(crate) static CONTRACT: Contract = Contract {
    name: "payaut",
    prefix: "/payaut",
    operations: &OPERATIONS,
    authenticate,
    check_path: |_| Ok(()),
    unknown_parameters: |config| config.payaut.unknown_parameters,
    refuse: error::refuse,
    code_at: "/error",
    headers: |_: &World, _: &HeaderMap, _: &str| Vec::new(),
    amounts_at: &["/totalAmount", "/amount"],
    key: KeyRule {
        // No header carries a key; what protects a write stands in its body, if anything does.
        header: "Idempotency-Key",
        member: Some("idempotencyKey"),
        covers: |_, _| false,
        settings: |config| &config.idempotency,
        replayed: None,
    },
    webhook: DeliveryRule {
        settings: |config| &config.payaut.webhooks,
        secret: |_| "",
        check_secret: |_| Ok(()),
        sign: |_, _, _, _| Some(Vec::new()),
        envelope: |event: &Event| event.data.clone(),
        ping: "",
        user_agent: "payaut-simulator",
    },
    control: ControlRule {
        resource,
        event: |event: &Event| event.data.clone(),
        advance,
        effects,
        holdings,
        account_at,
        arrive: transactions::arrive,
    },
};

/// The parameters of lists with numbered pages, and of those whose rows have a time.
const PAGED: &[&str] = &["_pageNumber", "_pageSize"];
const FRAGMENTS: &[&str] = &["_fragments"];
const SORTED: &[&str] = &["_fragments", "_pageNumber", "_pageSize", "_sort"];
const TIMED: &[&str] = &["_asc", "_from", "_orderBy", "_pageNumber", "_pageSize", "_to"];
const FEED: &[&str] = &["page", "limit", "sort", "direction", "query", "status", "from", "to"];
const TYPED_FEED: &[&str] = &[
    "page",
    "limit",
    "sort",
    "direction",
    "query",
    "status",
    "type",
    "from",
    "to",
];

const fn read(name: &'static str, path: &'static str, query: &'static [&'static str], run: Handler) -> Operation {
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

const fn write(name: &'static str, method: &'static str, path: &'static str, body: Body, run: Handler) -> Operation {
    Operation {
        method,
        body,
        ..read(name, path, &[], run)
    }
}

const HOLDERS: &str = "/v1/accountholders";
const HOLDER: &str = "/v1/accountholders/{id}";
const UBOS: &str = "/v1/accountholders/{id}/ubos";
const UBO: &str = "/v1/accountholders/{id}/ubos/{sub}";
const EXTERNALS: &str = "/v1/accountholders/{id}/externalaccounts";
const EXTERNAL: &str = "/v1/accountholders/{id}/externalaccounts/{sub}";
const SPLITS: &str = "/v1/fund/split-payments";
const REFUNDS: &str = "/v1/fund/split-refunds";
const REQUESTS: &str = "/v1/fund/payout-requests";
const REQUEST: &str = "/v1/fund/payout-requests/{id}";
const SCHEDULE: &str = "/v2/fund/payout-config/account/{id}";
const REPORTS: &str = "/v2/reports/{report}";

/// The operations, in the order of the reference.
#[rustfmt::skip]
static OPERATIONS: [Operation; 46] = [
    read("payaut.list_account_holders", HOLDERS, SORTED, holders::list),
    write("payaut.create_account_holder", "POST", HOLDERS, Body::Object, holders::create),
    read("payaut.retrieve_account_holder", HOLDER, FRAGMENTS, holders::retrieve),
    write("payaut.update_account_holder", "PATCH", HOLDER, Body::Object, holders::update),
    write("payaut.delete_account_holder", "DELETE", HOLDER, Body::None, holders::delete),
    read("payaut.list_ubos", UBOS, &["_fragments", "pageNumber", "pageSize"], ubos::list),
    write("payaut.create_ubo", "POST", UBOS, Body::Object, ubos::create),
    read("payaut.retrieve_ubo", UBO, FRAGMENTS, ubos::retrieve),
    write("payaut.update_ubo", "PATCH", UBO, Body::Object, ubos::update),
    read("payaut.list_virtual_accounts", "/v1/accountholders/{id}/accounts", PAGED, accounts::list),
    read("payaut.retrieve_virtual_account", "/v1/accountholders/{id}/accounts/{sub}", &[], accounts::retrieve),
    read("payaut.list_external_accounts", EXTERNALS, SORTED, externals::list),
    write("payaut.create_external_account", "POST", EXTERNALS, Body::Object, externals::create),
    read("payaut.retrieve_external_account", EXTERNAL, FRAGMENTS, externals::retrieve),
    write("payaut.update_external_account", "PATCH", EXTERNAL, Body::Object, externals::update),
    write("payaut.select_external_account", "PATCH", "/v1/accountholders/{id}/externalaccounts/{sub}/select", Body::None, externals::select),
    read("payaut.generate_onboarding_url", "/v2/onboarding/accountholder/{id}/generate-url", &["redirectUrl", "expirationTime"], holders::onboarding),
    read("payaut.list_transactions", "/v2/transactions", TYPED_FEED, transactions::list),
    read("payaut.list_splits", SPLITS, TIMED, splits::list),
    write("payaut.create_split", "POST", SPLITS, Body::Object, splits::create),
    read("payaut.retrieve_split", "/v1/fund/split-payments/{id}", &[], splits::retrieve),
    read("payaut.list_refund_splits", REFUNDS, TIMED, refunds::list),
    write("payaut.create_refund_split", "POST", REFUNDS, Body::Object, refunds::create),
    read("payaut.retrieve_refund_split", "/v1/fund/split-refunds/{id}", &[], refunds::retrieve),
    write("payaut.cancel_split", "POST", "/v2/fund/cancel/split/{id}", Body::None, splits::cancel),
    read("payaut.retrieve_balance", "/v1/fund/balance/{id}", &[], accounts::balance),
    read("payaut.list_divisions", "/v2/merchants/divisionInfos", &[], accounts::divisions),
    write("payaut.create_payout_request", "POST", REQUESTS, Body::Object, payouts::create),
    read("payaut.retrieve_payout_request", REQUEST, &[], payouts::retrieve),
    write("payaut.delete_payout_request", "DELETE", REQUEST, Body::None, payouts::delete),
    read("payaut.list_payout_requests", REQUESTS, TIMED, payouts::list),
    read("payaut.list_payouts", "/v2/payouts", FEED, payouts::feed),
    write("payaut.transfer_balance", "POST", "/v2/fund/balance/transfer", Body::Object, transfers::create),
    read("payaut.retrieve_account_schedule", SCHEDULE, &[], schedules::of_account),
    write("payaut.update_account_schedule", "PATCH", SCHEDULE, Body::Object, schedules::put_account),
    write("payaut.delete_account_schedule", "DELETE", SCHEDULE, Body::None, schedules::delete_account),
    read("payaut.retrieve_division_schedule", "/v2/fund/payout-config/own", &[], schedules::of_division),
    write("payaut.update_division_schedule", "PATCH", "/v2/fund/payout-config/own", Body::Object, schedules::put_division),
    read("payaut.retrieve_default_schedule", "/v2/fund/payout-config/default", &[], schedules::of_all),
    write("payaut.update_default_schedule", "PATCH", "/v2/fund/payout-config/default", Body::Object, schedules::put_all),
    read("payaut.list_reports", REPORTS, &["page", "limit", "account", "from", "to"], reports::list),
    write("payaut.create_report", "POST", REPORTS, Body::Object, reports::create),
    write("payaut.create_webhook", "POST", "/v2/notification", Body::Object, notifications::create),
    read("payaut.retrieve_webhook", "/v2/notification/{id}", &[], notifications::retrieve),
    read("payaut.list_webhooks", "/v2/notification", &[], notifications::list),
    write("payaut.update_webhook", "PUT", "/v2/notification/{id}", Body::Object, notifications::update),
];

/// A known token, and whatever headers the settings ask for.
fn authenticate(world: &mut World, _operation: &Operation, inbound: &Inbound) -> Result<Caller, Refusal> {
    let settings = &world.core.config.payaut;
    let header = inbound.header("authorization").unwrap_or_default();
    let token = header.strip_prefix("Bearer ").unwrap_or_default();
    if !settings.tokens.iter().any(|known| known == token) {
        return Err(Refusal::authentication_required());
    }
    for (name, value) in &settings.required_headers {
        if inbound.header(name).as_ref() != Some(value) {
            return Err(Refusal::permission_denied(format!(
                "the header {name} is missing or another"
            )));
        }
    }
    Ok(Caller {
        api_key: None,
        api_version: VERSION,
        account: None,
        business: None,
    })
}

// --- what the control asks ------------------------------------------------------------------------

fn resource(world: &World, id: Uuid) -> Option<Json> {
    let payaut = &world.payaut;
    let with: Vec<String> = ["accounts", "extacc", "docs", "ubo"].map(str::to_owned).to_vec();
    None.or_else(|| payaut.splits.get(id).map(splits::Split::to_json))
        .or_else(|| payaut.refunds.get(id).map(refunds::Refund::to_json))
        .or_else(|| payaut.payouts.get(id).map(payouts::Payout::to_json))
        .or_else(|| payaut.transfers.get(id).map(transfers::Transfer::to_json))
        .or_else(|| transactions::show(world, id))
        .or_else(|| payaut.accounts.get(id).map(|account| account.to_json(world)))
        .or_else(|| payaut.externals.get(id).map(|external| external.to_json(true)))
        .or_else(|| payaut.holders.get(id).map(|holder| holder.to_json(world, &with)))
        .or_else(|| payaut.reports.get(id).map(|report| report.to_json(world)))
}

/// What people, sellers and processors of payments do.
fn advance(world: &mut World, id: Uuid, status: &str, failure: Option<Failure>) -> Result<(), StepError> {
    let payaut = &world.payaut;
    if let Some(split) = payaut.splits.get(id) {
        return match status {
            "chargeback" => transactions::charged_back(world, id),
            _ => processed(world, split.transaction, status),
        };
    }
    if payaut.refunds.get(id).is_some() {
        return match status {
            "reconciled" => refunds::reconciled(world, id),
            _ => Err(StepError::NoSuchStep),
        };
    }
    if payaut.transactions.get(id).is_some() {
        return processed(world, id, status);
    }
    if payaut.payouts.get(id).is_some() {
        return payouts::advance(world, id, status, failure);
    }
    if payaut.accounts.get(id).is_some() {
        return match status {
            "scheduled_payout" => {
                schedules::pay_out(world, id);
                Ok(())
            }
            _ => Err(StepError::NoSuchStep),
        };
    }
    if payaut.holders.get(id).is_some() && status == "account" {
        holders::open_account(world, id);
        return Ok(());
    }
    if payaut.holders.get(id).is_some() || payaut.externals.get(id).is_some() {
        return kyc::advance(world, id, status, failure.as_ref());
    }
    reports::advance(world, id, status)
}

/// What a processor does with a payment.
fn processed(world: &mut World, transaction: Uuid, status: &str) -> Result<(), StepError> {
    match status {
        "reported" => transactions::reported(world, transaction),
        "funded" => transactions::funded(world, transaction),
        "reconciled" => transactions::reconciled(world, transaction),
        _ => Err(StepError::NoSuchStep),
    }
}

/// Oldest first within its kind.
fn effects(world: &World) -> Vec<Effect> {
    let payaut = &world.payaut;
    let splits = payaut.splits.iter().map(|split| split.effect(world));
    let refunds = payaut.refunds.iter().map(|refund| refund.effect(world));
    let transfers = payaut.transfers.iter().map(transfers::Transfer::effect);
    let payouts = payaut.payouts.iter().map(payouts::Payout::effect);
    splits.chain(refunds).chain(transfers).chain(payouts).collect()
}

/// In euros, and in whatever else is there.
fn holdings(world: &World) -> Vec<Holding> {
    let holding = |account: &accounts::Account| {
        let euro = Currency::from_code("EUR").ok().map(Money::zero);
        let available = account.balances(world).into_iter().find(|amount| !amount.is_zero());
        Some(Holding {
            account_id: account.id,
            label: account.display_name.clone(),
            available: available.or(euro)?,
        })
    };
    let is_set_up = world.core.config.payaut.marketplace.is_some();
    let accounts = world.payaut.accounts.iter();
    let accounts = accounts.filter(|account| is_set_up || !account.liable);
    accounts.filter_map(holding).collect()
}

/// Processors hand over to one address only.
fn account_at(world: &World, address: &Address, currency: Currency) -> Option<Uuid> {
    let payaut = &world.payaut;
    let known = &world.core.config.payaut.currencies;
    let is_taken = known.iter().any(|code| code == currency.code());
    (is_taken && payaut.collection.same_account(address)).then_some(payaut.liable)
}
