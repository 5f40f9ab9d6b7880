//! Deposits and their returns.

use serde_json::Value as Json;

use super::Call;
use super::payouts::{ending, reserve, sender};
use crate::simulator::config::DuplicateReturn;
use crate::simulator::augustus::error::ApiError;
use crate::simulator::augustus::lifecycle::{Step, mark_deposit};
use crate::simulator::augustus::page::page;
use crate::simulator::augustus::resources::{Deposit, Return, TransferStatus};
use crate::simulator::state::World;

pub(super) fn list_deposits(world: &mut World, call: &Call) -> Result<Json, ApiError> {
    let states = ["received", "in_return", "returned", "return_failed", "return_returned"];
    let status = call.query.one_of("status", &states)?;
    let keep = |deposit: &Deposit| status.is_none_or(|status| deposit.status == status);
    page(world, call, &world.deposits, keep, Deposit::to_json)
}

pub(super) fn retrieve_deposit(world: &mut World, call: &Call) -> Result<Json, ApiError> {
    let deposit = world.deposits.get(call.id()?).map(Deposit::to_json);
    deposit.ok_or_else(|| ApiError::not_found("the deposit"))
}

pub(super) fn list(world: &mut World, call: &Call) -> Result<Json, ApiError> {
    let status = call
        .query
        .one_of("status", &["pending", "paid", "failed", "returned"])?;
    let deposit = call.query.uuid("deposit_id")?;
    let keep = |given_back: &Return| {
        status.is_none_or(|status| given_back.status.name() == status)
            && deposit.is_none_or(|deposit| given_back.deposit_id == deposit)
    };
    page(world, call, &world.returns, keep, Return::to_json)
}

pub(super) fn retrieve(world: &mut World, call: &Call) -> Result<Json, ApiError> {
    let given_back = world.returns.get(call.id()?).map(Return::to_json);
    given_back.ok_or_else(|| ApiError::not_found("the return"))
}

/// Always the whole deposit.
pub(super) fn create(world: &mut World, call: &Call) -> Result<Json, ApiError> {
    let mut fields = call.fields();
    let deposit_id = fields.uuid("deposit_id")?;
    let rail = fields.optional_one_of("rail", &["sepa_instant", "sepa", "faster_payments"])?;
    fields.finish(world.config.unknown_parameters)?;

    let deposit = world
        .deposits
        .get(deposit_id)
        .ok_or_else(|| ApiError::not_found("the deposit"))?;
    let under_way_or_done = matches!(deposit.status, "in_return" | "returned");
    if under_way_or_done && world.config.duplicate_return == DuplicateReturn::Conflict {
        return Err(ApiError::conflict(format!("the deposit is {}", deposit.status)));
    }
    let (amount, account_id) = (deposit.amount, deposit.destination_account_id);
    let carried = match rail {
        None => true,
        Some("faster_payments") => amount.currency().code() == "GBP",
        Some(_) => amount.currency().code() == "EUR",
    };
    if !carried {
        let message = format!("this rail cannot carry {}", amount.currency());
        return Err(ApiError::parameter_invalid("rail", message));
    }
    sender(world, account_id, "deposit_id")?;

    let id = world.new_id();
    let funds = reserve(world, id, account_id, amount, "return.initiated")?;
    let given_back = Return {
        id,
        status: TransferStatus::Pending,
        deposit_id,
        account_id,
        amount,
        failure: None,
        created_at: world.now,
        updated_at: world.now,
        reserved: funds.is_none(),
        ending: ending(call, funds),
        key: call.idempotency_key.clone(),
    };
    let shown = given_back.to_json();
    let listed_from = world.listed_from(call.unlisted_ms);
    world.returns.insert(id, world.now, listed_from, given_back);
    if let Some(deposit) = world.deposits.get_mut(deposit_id) {
        deposit.returns.push(id);
    }
    mark_deposit(world, deposit_id, "in_return", world.now);
    world.emit("return.initiated", shown.clone());
    world.plan_step(world.config.lifecycle.return_paid_ms, id, Step::ReturnEnds);
    Ok(shown)
}
