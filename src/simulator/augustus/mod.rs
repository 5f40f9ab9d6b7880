//! The Augustus Banking API, version 2026-05-01: its 37 operations, its words and its lifecycles.

pub(crate) mod auth;
mod destination;
mod error;
pub(crate) mod lifecycle;
mod notices;
mod page;
pub mod resources;
mod routes;
pub(crate) mod state;

use std::collections::BTreeMap;

use serde_json::Value as Json;
use uuid::Uuid;

use self::resources::{Account, Conversion, Deposit, FinancialAddress, Payout, Return};
use super::contract::{Contract, ControlRule, DeliveryRule, KeyRule};
use super::control::{Effect, Holding};
use super::core::address::Address;
use super::core::fields;
use super::core::refusal::Refusal;
use super::world::World;
use crate::base::money::Currency;

/// What this provider does its own way.
pub(crate) static CONTRACT: Contract = Contract {
    name: "augustus",
    prefix: "",
    operations: &routes::OPERATIONS,
    authenticate: auth::authenticate,
    check_path,
    unknown_parameters: |config| config.unknown_parameters,
    refuse: error::refuse,
    code_at: "/code",
    headers: auth::headers,
    amounts_at: &["/amount", "/source_amount"],
    key: KeyRule {
        header: "Idempotency-Key",
        member: None,
        covers: |_, operation| operation.method == "POST",
        settings: |config| &config.idempotency,
        replayed: Some("Idempotent-Replayed"),
    },
    webhook: DeliveryRule {
        settings: |config| &config.webhooks,
        secret: |config| &config.webhook_secret,
        check_secret: notices::check_secret,
        sign: notices::sign,
        envelope: notices::envelope,
        ping: notices::PING,
        user_agent: "augustus-simulator",
    },
    control: ControlRule {
        resource,
        event: notices::event,
        advance: lifecycle::advance,
        effects,
        holdings,
        account_at,
        arrive: lifecycle::arrive,
    },
};

fn check_path(part: &str) -> Result<(), Refusal> {
    fields::uuid("id", part).map(drop)
}

fn resource(world: &World, id: Uuid) -> Option<Json> {
    world
        .augustus
        .payouts
        .get(id)
        .map(Payout::to_json)
        .or_else(|| world.augustus.conversions.get(id).map(Conversion::to_json))
        .or_else(|| world.augustus.returns.get(id).map(Return::to_json))
        .or_else(|| world.augustus.deposits.get(id).map(Deposit::to_json))
        .or_else(|| world.augustus.accounts.get(id).map(Account::to_json))
}

/// Oldest first within its kind.
fn effects(world: &World) -> Vec<Effect> {
    let payouts = world.augustus.payouts.iter().map(|payout| Effect {
        provider: CONTRACT.name,
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
    let conversions = world.augustus.conversions.iter().map(|conversion| Effect {
        provider: CONTRACT.name,
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
    let returns = world.augustus.returns.iter().map(|given_back| Effect {
        provider: CONTRACT.name,
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

fn holdings(world: &World) -> Vec<Holding> {
    let holding = |account: &Account| Holding {
        account_id: account.id,
        label: account.label.clone(),
        available: state::available(&world.core, account),
    };
    world.augustus.accounts.iter().map(holding).collect()
}

fn account_at(world: &World, address: &Address, currency: Currency) -> Option<Uuid> {
    let address = FinancialAddress::of(address.clone())?;
    let account = world.augustus.account_at(&address, currency);
    account.map(|account| account.id)
}
