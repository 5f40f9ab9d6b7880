//! Deposits, and returns of them: always whole, and without any protection by a key.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::CONTRACT;
use super::address;
use super::books::{self, Reason};
use super::config::DuplicateReturn;
use super::orders;
use super::wire::{number, present, time};
use crate::base::clock::Instant;
use crate::base::money::Money;
use crate::simulator::contract::{Arrival, Call};
use crate::simulator::control::Effect;
use crate::simulator::core::address::Address;
use crate::simulator::core::failure::Ending;
use crate::simulator::core::ledger::Place;
use crate::simulator::core::refusal::Refusal;
use crate::simulator::core::timeline::StepError;
use crate::simulator::world::{Leaving, World};

/// Money that arrived.
#[derive(Debug)]
pub(crate) struct Deposit {
    id: Uuid,
    account: Uuid,
    amount: Money,
    payer: Address,
    reference: Option<String>,
    rail: Option<String>,
    tx_hash: Option<String>,
    received_at: Instant,
    transaction: Uuid,
    returns: Vec<Uuid>,
}

impl Deposit {
    pub(crate) fn to_json(&self, world: &World) -> Json {
        let payee = world.ivy.accounts.get(self.account).map(|account| &account.address);
        let returns: Vec<Json> = self
            .returns
            .iter()
            .filter_map(|id| world.ivy.returns.get(*id))
            .map(|given_back| given_back.to_json(world))
            .collect();
        present(json!({
            "id": self.id,
            "amount": number(self.amount, world.core.config.ivy.numbers),
            "currency": self.amount.currency(),
            "payer": address::write(&self.payer),
            "payee": payee.map(address::write),
            "receivedAt": time(self.received_at),
            "status": "received",
            "transactionId": self.transaction,
            "returns": returns,
            "bankStatementReference": self.reference,
            "rail": self.rail,
            "txHash": self.tx_hash,
        }))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Initiated,
    Succeeded,
    Failed,
    Returned,
}

impl Status {
    fn name(self) -> &'static str {
        match self {
            Self::Initiated => "initiated",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Returned => "returned",
        }
    }
}

/// Money on its way back.
#[derive(Debug)]
pub(crate) struct Return {
    id: Uuid,
    deposit: Uuid,
    account: Uuid,
    amount: Money,
    status: Status,
    created_at: Instant,
    failed_at: Option<Instant>,
    succeeded_at: Option<Instant>,
    transaction: Option<Uuid>,
    reserved: bool,
    ending: Ending,
    key: Option<String>,
}

impl Return {
    pub(crate) fn to_json(&self, world: &World) -> Json {
        present(json!({
            "id": self.id,
            "depositId": self.deposit,
            "amount": number(self.amount, world.core.config.ivy.numbers),
            "currency": self.amount.currency(),
            "status": self.status.name(),
            "createdAt": time(self.created_at),
            "failedAt": self.failed_at.map(time),
            "succeededAt": self.succeeded_at.map(time),
            "transactionId": self.transaction,
        }))
    }

    pub(crate) fn effect(&self) -> Effect {
        Effect {
            provider: CONTRACT.name,
            kind: "return",
            id: self.id,
            status: self.status.name(),
            amount: self.amount,
            source_account_id: self.account,
            destination: Json::String(self.deposit.to_string()),
            reference: None,
            metadata: BTreeMap::new(),
            idempotency_key: self.key.clone(),
            created_at: self.created_at,
        }
    }

    fn reason(&self, world: &World, step: &'static str) -> Reason {
        Reason {
            process: "deposit_return",
            id: self.id,
            shown_id: self.id.to_string(),
            step,
            other: world
                .ivy
                .deposits
                .get(self.deposit)
                .map(|deposit| deposit.payer.clone()),
            reference: None,
        }
    }
}

/// The chains are in capitals on this side too; everything else is not.
fn rail(rail: String) -> String {
    let chain = ["btc", "eth", "sol", "matic"]
        .iter()
        .any(|chain| rail.starts_with(chain));
    if chain { rail.to_uppercase() } else { rail }
}

/// Money that arrives on an account: it pays the order it matches, or is a deposit, with its event.
pub(crate) fn arrive(
    world: &mut World,
    from: Place,
    (step, _cause): (&'static str, Option<Uuid>),
    arrival: Arrival,
) -> Result<Uuid, StepError> {
    if let Some(order) = orders::matching(world, &arrival) {
        return orders::paid_by_transfer(world, order, from, arrival);
    }
    let id = world.core.new_id();
    world.ivy.accounts.get(arrival.account).ok_or(StepError::NotFound)?;
    let reason = Reason {
        process: "deposit",
        id,
        shown_id: id.to_string(),
        step,
        other: Some(arrival.source.clone()),
        reference: arrival.reference.clone(),
    };
    let transaction = books::credit(world, arrival.account, from, arrival.amount, reason)?;
    let deposit = Deposit {
        id,
        account: arrival.account,
        amount: arrival.amount,
        payer: arrival.source,
        reference: arrival.reference,
        rail: arrival.rail.map(rail),
        tx_hash: arrival.tx_hash,
        received_at: world.core.now,
        transaction,
        returns: Vec::new(),
    };
    let mut shown = deposit.to_json(world);
    world
        .ivy
        .deposits
        .insert(id, world.core.now, world.core.elapsed, deposit);
    shown["depositId"] = json!(id);
    shown["value"] = value(arrival.amount);
    world.core.emit(&CONTRACT, "deposit.received", shown);
    Ok(id)
}

/// The older form of an amount, which events of deposits and returns still carry.
fn value(amount: Money) -> Json {
    json!({ "amount": amount.amount().to_string(), "currency": amount.currency() })
}

// --- operations ---------------------------------------------------------------------------------

pub(super) fn retrieve(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let mut fields = call.fields();
    let id = fields.uuid("id")?;
    fields.finish(world.core.config.ivy.unknown_parameters)?;
    let deposit = world.ivy.deposits.get(id).map(|deposit| deposit.to_json(world));
    deposit.ok_or_else(|| Refusal::not_found("the deposit"))
}

pub(super) fn retrieve_return(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let mut fields = call.fields();
    let id = fields.uuid("id")?;
    fields.finish(world.core.config.ivy.unknown_parameters)?;
    let given_back = world.ivy.returns.get(id).map(|given_back| given_back.to_json(world));
    given_back.ok_or_else(|| Refusal::not_found("the return"))
}

/// Always the whole deposit; a second one is made like the first, unless the settings refuse it.
pub(super) fn create_return(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let mut fields = call.fields();
    let deposit_id = fields.uuid("depositId")?;
    fields.finish(world.core.config.ivy.unknown_parameters)?;
    let deposit = world.ivy.deposits.get(deposit_id);
    let deposit = deposit.ok_or_else(|| Refusal::not_found("the deposit"))?;
    let live = |id: &Uuid| {
        let given_back = world.ivy.returns.get(*id);
        given_back.is_some_and(|given_back| matches!(given_back.status, Status::Initiated | Status::Succeeded))
    };
    if world.core.config.ivy.duplicate_return == DuplicateReturn::Conflict && deposit.returns.iter().any(live) {
        return Err(Refusal::conflict("the deposit is being returned or was returned"));
    }
    let (amount, account) = (deposit.amount, deposit.account);
    let id = world.core.new_id();
    let mut given_back = Return {
        id,
        deposit: deposit_id,
        account,
        amount,
        status: Status::Initiated,
        created_at: world.core.now,
        failed_at: None,
        succeeded_at: None,
        transaction: None,
        reserved: false,
        ending: Ending::Good,
        key: call.idempotency_key.clone(),
    };
    let reason = given_back.reason(world, "return.initiated");
    let reserved = books::reserve(world, account, amount, reason)?;
    given_back.reserved = reserved.is_ok();
    given_back.transaction = reserved.as_ref().ok().copied();
    given_back.ending = Ending::of(reserved.err().or_else(|| call.fail_later.clone()));
    let shown = given_back.to_json(world);
    world
        .ivy
        .returns
        .insert(id, world.core.now, world.core.elapsed, given_back);
    if let Some(deposit) = world.ivy.deposits.get_mut(deposit_id) {
        deposit.returns.push(id);
    }
    tell(world, id, "return.initiated", "initiatedAt");
    let delay_ms = world.core.config.ivy.lifecycle.return_succeeded_ms;
    world.core.plan_step(delay_ms, id, ends);
    Ok(shown)
}

// --- steps --------------------------------------------------------------------------------------

fn under_way(world: &World, id: Uuid) -> Result<&Return, StepError> {
    let given_back = world.ivy.returns.get(id).ok_or(StepError::NotFound)?;
    match given_back.status {
        Status::Initiated => Ok(given_back),
        status => Err(StepError::Illegal(status.name())),
    }
}

fn ends(world: &mut World, id: Uuid) -> Result<(), StepError> {
    let given_back = under_way(world, id)?;
    if given_back.ending != Ending::Good {
        return fails(world, id);
    }
    let (account, amount, deposit) = (given_back.account, given_back.amount, given_back.deposit);
    let source = world.ivy.accounts.get(account).ok_or(StepError::NotFound)?;
    let deposit = world.ivy.deposits.get(deposit).ok_or(StepError::NotFound)?;
    let leaving = Leaving {
        amount,
        to: deposit.payer.clone(),
        source: source.address.clone(),
        reference: None,
        rail: deposit.rail.clone(),
        account,
    };
    match world.leave(Place::Reserved(id), ("return.succeeded", id), leaving) {
        Ok(()) => {}
        Err(StepError::Illegal(_)) => return fails(world, id),
        Err(error) => return Err(error),
    }
    let now = world.core.now;
    if let Some(given_back) = world.ivy.returns.get_mut(id) {
        given_back.status = Status::Succeeded;
        given_back.reserved = false;
        given_back.succeeded_at = Some(now);
    }
    tell(world, id, "return.succeeded", "succeededAt");
    Ok(())
}

fn fails(world: &mut World, id: Uuid) -> Result<(), StepError> {
    let given_back = under_way(world, id)?;
    if given_back.reserved {
        let (account, amount, reason) = (
            given_back.account,
            given_back.amount,
            given_back.reason(world, "return.failed"),
        );
        books::give_back(world, account, amount, reason)?;
    }
    let now = world.core.now;
    if let Some(given_back) = world.ivy.returns.get_mut(id) {
        given_back.status = Status::Failed;
        given_back.reserved = false;
        given_back.failed_at = Some(now);
    }
    tell(world, id, "return.failed", "failedAt");
    Ok(())
}

/// What was given back comes to the account again.
fn comes_back(world: &mut World, id: Uuid) -> Result<(), StepError> {
    let given_back = world.ivy.returns.get(id).ok_or(StepError::NotFound)?;
    if given_back.status != Status::Succeeded {
        return Err(StepError::Illegal(given_back.status.name()));
    }
    let (account, amount, reason) = (
        given_back.account,
        given_back.amount,
        given_back.reason(world, "return.returned"),
    );
    books::credit(world, account, Place::Outside, amount, reason)?;
    if let Some(given_back) = world.ivy.returns.get_mut(id) {
        given_back.status = Status::Returned;
    }
    tell(world, id, "return.returned", "returnedAt");
    Ok(())
}

/// Emits an event with the deprecated members that stand beside the return.
fn tell(world: &mut World, id: Uuid, event: &'static str, at: &str) {
    let Some(given_back) = world.ivy.returns.get(id) else {
        return;
    };
    let mut shown = given_back.to_json(world);
    shown["returnId"] = json!(id);
    shown["value"] = value(given_back.amount);
    shown[at] = time(world.core.now);
    world.core.emit(&CONTRACT, event, shown);
}

/// Moves a return to a status by name, as the control asks.
pub(super) fn advance(world: &mut World, id: Uuid, status: &str) -> Result<(), StepError> {
    match status {
        "succeeded" => ends(world, id),
        "failed" => fails(world, id),
        "returned" => comes_back(world, id),
        _ => Err(StepError::NoSuchStep),
    }
}
