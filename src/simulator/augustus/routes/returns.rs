//! Deposits and their returns.

use serde_json::Value as Json;

use super::payouts::{ending, reserve, sender};
use crate::simulator::augustus::CONTRACT;
use crate::simulator::augustus::lifecycle::{mark_deposit, return_ends};
use crate::simulator::augustus::page::page;
use crate::simulator::augustus::resources::{Deposit, Return, TransferStatus};
use crate::simulator::config::DuplicateReturn;
use crate::simulator::contract::Call;
use crate::simulator::core::refusal::Refusal;
use crate::simulator::world::World;

pub(super) fn list_deposits(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let states = ["received", "in_return", "returned", "return_failed", "return_returned"];
    let status = call.query.one_of("status", &states)?;
    let keep = |deposit: &Deposit| status.is_none_or(|status| deposit.status == status);
    page(world, call, &world.augustus.deposits, keep, Deposit::to_json)
}

pub(super) fn retrieve_deposit(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let deposit = world.augustus.deposits.get(call.id()?).map(Deposit::to_json);
    deposit.ok_or_else(|| Refusal::not_found("the deposit"))
}

pub(super) fn list(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let status = call
        .query
        .one_of("status", &["pending", "paid", "failed", "returned"])?;
    let deposit = call.query.uuid("deposit_id")?;
    let keep = |given_back: &Return| {
        status.is_none_or(|status| given_back.status.name() == status)
            && deposit.is_none_or(|deposit| given_back.deposit_id == deposit)
    };
    page(world, call, &world.augustus.returns, keep, Return::to_json)
}

pub(super) fn retrieve(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let given_back = world.augustus.returns.get(call.id()?).map(Return::to_json);
    given_back.ok_or_else(|| Refusal::not_found("the return"))
}

/// Always the whole deposit.
pub(super) fn create(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let mut fields = call.fields();
    let deposit_id = fields.uuid("deposit_id")?;
    let rail = fields.optional_one_of("rail", &["sepa_instant", "sepa", "faster_payments"])?;
    fields.finish(world.core.config.unknown_parameters)?;

    let deposit = world
        .augustus
        .deposits
        .get(deposit_id)
        .ok_or_else(|| Refusal::not_found("the deposit"))?;
    let under_way_or_done = matches!(deposit.status, "in_return" | "returned");
    if under_way_or_done && world.core.config.duplicate_return == DuplicateReturn::Conflict {
        return Err(Refusal::conflict(format!("the deposit is {}", deposit.status)));
    }
    let (amount, account_id) = (deposit.amount, deposit.destination_account_id);
    let carried = match rail {
        None => true,
        Some("faster_payments") => amount.currency().code() == "GBP",
        Some(_) => amount.currency().code() == "EUR",
    };
    if !carried {
        let message = format!("this rail cannot carry {}", amount.currency());
        return Err(Refusal::parameter_invalid("rail", message));
    }
    sender(world, account_id, "deposit_id")?;

    let id = world.core.new_id();
    let funds = reserve(world, id, account_id, amount, "return.initiated")?;
    let given_back = Return {
        id,
        status: TransferStatus::Pending,
        deposit_id,
        account_id,
        amount,
        failure: None,
        created_at: world.core.now,
        updated_at: world.core.now,
        reserved: funds.is_none(),
        ending: ending(call, funds),
        key: call.idempotency_key.clone(),
    };
    let shown = given_back.to_json();
    let listed_from = world.core.listed_from(call.unlisted_ms);
    world
        .augustus
        .returns
        .insert(id, world.core.now, listed_from, given_back);
    if let Some(deposit) = world.augustus.deposits.get_mut(deposit_id) {
        deposit.returns.push(id);
    }
    mark_deposit(world, deposit_id, "in_return", world.core.now);
    world.core.emit(&CONTRACT, "return.initiated", shown.clone());
    world
        .core
        .plan_step(world.core.config.lifecycle.return_paid_ms, id, return_ends);
    Ok(shown)
}
