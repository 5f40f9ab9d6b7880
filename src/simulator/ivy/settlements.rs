//! Settlements: everything available, of every account at once, to the one destination that is preset.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::CONTRACT;
use super::address;
use super::books::{self, Reason};
use super::wire::{number, plain, present, time};
use crate::base::clock::Instant;
use crate::base::money::Money;
use crate::simulator::contract::Call;
use crate::simulator::control::Effect;
use crate::simulator::core::address::Address;
use crate::simulator::core::failure::{Ending, Failure};
use crate::simulator::core::ledger::Place;
use crate::simulator::core::refusal::Refusal;
use crate::simulator::core::timeline::StepError;
use crate::simulator::world::{Leaving, World};

const DESCRIPTION: &str = "Payout of the available balance";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Pending,
    InTransit,
    Paid,
    Failed,
}

impl Status {
    fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::InTransit => "in_transit",
            Self::Paid => "paid",
            Self::Failed => "failed",
        }
    }
}

#[derive(Debug)]
pub(crate) struct Settlement {
    id: Uuid,
    account: Uuid,
    amount: Money,
    to: Address,
    status: Status,
    transaction: Option<Uuid>,
    failure: Option<Failure>,
    ending: Ending,
    created_at: Instant,
    updated_at: Instant,
    key: Option<String>,
}

impl Settlement {
    pub(crate) fn to_json(&self, world: &World) -> Json {
        let settings = &world.core.config.ivy;
        json!({
            "id": plain(self.id),
            "amount": number(self.amount, settings.numbers),
            "currency": self.amount.currency(),
            "createdAt": time(self.created_at),
            "description": DESCRIPTION,
            "merchant": world.ivy.merchant_id,
            "referenceId": plain(self.id),
            "statementDescriptor": settings.legal_name,
            "status": self.status.name(),
            "type": "merchant",
        })
    }

    /// As events show it: more of what became of it.
    fn in_event(&self, world: &World) -> Json {
        let settings = &world.core.config.ivy;
        present(json!({
            "id": plain(self.id),
            "merchant": world.ivy.merchant_id,
            "currency": self.amount.currency(),
            "amount": number(self.amount, settings.numbers),
            "status": self.status.name(),
            "createdAt": time(self.created_at),
            "updatedAt": time(self.updated_at),
            "description": DESCRIPTION,
            "statementDescriptor": settings.legal_name,
            "transactionId": self.transaction,
            "failureReason": self.failure.as_ref().map(|failure| &failure.code),
        }))
    }

    pub(crate) fn effect(&self) -> Effect {
        Effect {
            provider: CONTRACT.name,
            kind: "settlement",
            id: self.id,
            status: self.status.name(),
            amount: self.amount,
            source_account_id: self.account,
            destination: address::write(&self.to),
            reference: None,
            metadata: BTreeMap::new(),
            idempotency_key: self.key.clone(),
            created_at: self.created_at,
        }
    }

    fn reason(&self, step: &'static str) -> Reason {
        Reason {
            process: "merchant_payout",
            id: self.id,
            shown_id: plain(self.id),
            step,
            other: Some(self.to.clone()),
            reference: None,
        }
    }
}

/// Pays out what is above the minimum, of each account whose currency the destination takes.
pub(super) fn create(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let settings = &world.core.config.ivy;
    let to = settings.settlement_destination.as_ref();
    let to = to.ok_or_else(|| Refusal::validation("no account to pay out to is set in the console"))?;
    let (to, minimum) = (to.address(), settings.settlement_minimum);
    let holdings: Vec<(Uuid, Money)> = world
        .ivy
        .accounts
        .iter()
        .filter(|account| address::takes(&to, account.currency))
        .map(|account| (account.id, books::available(world, account)))
        .collect();
    let mut made = Vec::new();
    for (account, available) in holdings {
        let kept = Money::from_decimal(minimum.into(), available.currency());
        let amount = kept.and_then(|kept| available.checked_sub(kept));
        let Some(amount) = amount.ok().filter(|amount| amount.is_positive()) else {
            continue;
        };
        made.push(settle(world, call, account, amount, to.clone())?);
    }
    Ok(Json::Array(made))
}

fn settle(world: &mut World, call: &Call, account: Uuid, amount: Money, to: Address) -> Result<Json, Refusal> {
    let id = world.core.new_id();
    let mut settlement = Settlement {
        id,
        account,
        amount,
        to,
        status: Status::Pending,
        transaction: None,
        failure: None,
        ending: Ending::of(call.fail_later.clone()),
        created_at: world.core.now,
        updated_at: world.core.now,
        key: call.idempotency_key.clone(),
    };
    let reason = settlement.reason("settlement.created");
    let line = books::debit(world, account, Place::Reserved(id), amount, reason).map_err(|_| Refusal::internal())?;
    settlement.transaction = Some(line);
    let (shown, told) = (settlement.to_json(world), settlement.in_event(world));
    world
        .ivy
        .settlements
        .insert(id, world.core.now, world.core.elapsed, settlement);
    world.core.emit(&CONTRACT, "payout_created", told);
    let delay_ms = world.core.config.ivy.lifecycle.payout_initiated_ms;
    world.core.plan_step(delay_ms, id, in_transit);
    Ok(shown)
}

// --- steps --------------------------------------------------------------------------------------

fn under_way(world: &World, id: Uuid) -> Result<&Settlement, StepError> {
    let settlement = world.ivy.settlements.get(id).ok_or(StepError::NotFound)?;
    match settlement.status {
        Status::Pending | Status::InTransit => Ok(settlement),
        status => Err(StepError::Illegal(status.name())),
    }
}

fn to(world: &mut World, id: Uuid, status: Status, failure: Option<Failure>) {
    let now = world.core.now;
    let Some(settlement) = world.ivy.settlements.get_mut(id) else {
        return;
    };
    settlement.status = status;
    settlement.failure = failure;
    settlement.updated_at = now;
    if let Some(told) = world
        .ivy
        .settlements
        .get(id)
        .map(|settlement| settlement.in_event(world))
    {
        world.core.emit(&CONTRACT, "payout_updated", told);
    }
}

fn in_transit(world: &mut World, id: Uuid) -> Result<(), StepError> {
    if under_way(world, id)?.status == Status::InTransit {
        return Err(StepError::Illegal("in_transit"));
    }
    to(world, id, Status::InTransit, None);
    let delay_ms = world.core.config.ivy.lifecycle.payout_paid_ms;
    world.core.plan_step(delay_ms, id, ends);
    Ok(())
}

fn ends(world: &mut World, id: Uuid) -> Result<(), StepError> {
    let settlement = under_way(world, id)?;
    if let Ending::Bad(failure) = settlement.ending.clone() {
        return fails(world, id, failure);
    }
    let source = world.ivy.accounts.get(settlement.account).ok_or(StepError::NotFound)?;
    let leaving = Leaving {
        amount: settlement.amount,
        to: settlement.to.clone(),
        source: source.address.clone(),
        reference: Some(DESCRIPTION.to_owned()),
        rail: None,
        account: settlement.account,
    };
    match world.leave(Place::Reserved(id), ("settlement.paid", id), leaving) {
        Ok(()) => {}
        Err(StepError::Illegal(_)) => {
            let failure = Failure::new("account_blocked", "the account cannot receive money", false);
            return fails(world, id, failure);
        }
        Err(error) => return Err(error),
    }
    to(world, id, Status::Paid, None);
    Ok(())
}

fn fails(world: &mut World, id: Uuid, failure: Failure) -> Result<(), StepError> {
    let settlement = under_way(world, id)?;
    let (account, amount, reason) = (
        settlement.account,
        settlement.amount,
        settlement.reason("settlement.failed"),
    );
    books::give_back(world, account, amount, reason)?;
    to(world, id, Status::Failed, Some(failure));
    Ok(())
}

/// Moves a settlement to a status by name, as the control asks.
pub(super) fn advance(world: &mut World, id: Uuid, status: &str, failure: Failure) -> Result<(), StepError> {
    match status {
        "in_transit" => in_transit(world, id),
        "paid" => ends(world, id),
        "failed" => fails(world, id, failure),
        _ => Err(StepError::NoSuchStep),
    }
}
