//! Refunds of orders, whole or in parts, and what they do to the order.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::CONTRACT;
use super::books::{self, Reason};
use super::orders;
use super::wire::{amount, number, plain, present, time};
use crate::base::clock::Instant;
use crate::base::money::Money;
use crate::simulator::contract::Call;
use crate::simulator::control::Effect;
use crate::simulator::core::failure::Ending;
use crate::simulator::core::ledger::Place;
use crate::simulator::core::refusal::Refusal;
use crate::simulator::core::timeline::StepError;
use crate::simulator::world::{Leaving, World};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Initiated,
    Pending,
    Succeeded,
    Failed,
}

impl Status {
    fn name(self) -> &'static str {
        match self {
            Self::Initiated => "initiated",
            Self::Pending => "pending",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
        }
    }
}

#[derive(Debug)]
pub(crate) struct Refund {
    id: Uuid,
    order: Uuid,
    account: Uuid,
    pub(crate) amount: Money,
    status: Status,
    reference: Option<String>,
    /// What the order was before.
    before: orders::Status,
    transaction: Option<Uuid>,
    reserved: bool,
    ending: Ending,
    created_at: Instant,
    updated_at: Instant,
    key: Option<String>,
}

impl Refund {
    pub(crate) fn is_done(&self) -> bool {
        self.status == Status::Succeeded
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.status == Status::Failed
    }

    pub(crate) fn to_json(&self, world: &World) -> Json {
        present(json!({
            "id": self.id,
            "amount": number(self.amount, world.core.config.ivy.numbers),
            "currency": self.amount.currency(),
            "orderId": plain(self.order),
            "status": self.status.name(),
            "transactionId": self.transaction,
        }))
    }

    /// As the order lists it: with other states, and a reference.
    pub(crate) fn in_order(&self, world: &World) -> Json {
        let status = match self.status {
            Status::Initiated | Status::Pending => "pending",
            status => status.name(),
        };
        present(json!({
            "id": self.id,
            "amount": number(self.amount, world.core.config.ivy.numbers),
            "createdAt": time(self.created_at),
            "updatedAt": time(self.updated_at),
            "referenceId": self.id,
            "status": status,
            "description": self.reference,
            "transactionId": self.transaction,
        }))
    }

    pub(crate) fn effect(&self) -> Effect {
        Effect {
            provider: CONTRACT.name,
            kind: "refund",
            id: self.id,
            status: self.status.name(),
            amount: self.amount,
            source_account_id: self.account,
            destination: Json::String(plain(self.order)),
            reference: self.reference.clone(),
            metadata: BTreeMap::new(),
            idempotency_key: self.key.clone(),
            created_at: self.created_at,
        }
    }

    fn reason(&self, world: &World, step: &'static str) -> Reason {
        Reason {
            process: "refund",
            id: self.id,
            shown_id: self.id.to_string(),
            step,
            other: world.ivy.orders.get(self.order).and_then(|order| order.payer.clone()),
            reference: self.reference.clone(),
        }
    }
}

// --- operations ---------------------------------------------------------------------------------

/// What a refund is asked of.
struct Asked {
    order: Uuid,
    amount: Money,
    reference: Option<String>,
}

/// Reads a request: the order by its id, its own reference, or both if they agree.
fn read(world: &World, call: &Call) -> Result<Asked, Refusal> {
    let mut fields = call.fields();
    let by_id = fields.optional_text("orderId")?;
    let by_reference = fields.optional_text("referenceId")?;
    let order = match (by_id, by_reference) {
        (None, None) => return Err(fields.invalid("orderId", "or referenceId is required")),
        (Some(text), None) | (None, Some(text)) => orders::find(world, text)?,
        (Some(id), Some(reference)) => {
            let found = orders::find(world, id)?;
            let named = world.ivy.orders.get(found).map(|order| order.reference.as_str());
            if named != Some(reference) {
                return Err(fields.invalid("referenceId", "names another order than orderId"));
            }
            found
        }
    };
    let found = world
        .ivy
        .orders
        .get(order)
        .ok_or_else(|| Refusal::not_found("the order"))?;
    let amount = amount(&mut fields, "amount", found.amount.currency(), Decimal::ZERO)?;
    let reference = fields.optional_text("bankStatementReference")?.map(str::to_owned);
    let fits = |text: &String| text.len() <= 16 && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if !reference.as_ref().is_none_or(fits) {
        return Err(fields.invalid("bankStatementReference", "has at most 16 letters and digits"));
    }
    fields.finish(world.core.config.ivy.unknown_parameters)?;
    Ok(Asked {
        order,
        amount,
        reference,
    })
}

pub(super) fn create(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let Asked {
        order,
        amount,
        reference,
    } = read(world, call)?;
    let found = world
        .ivy
        .orders
        .get(order)
        .ok_or_else(|| Refusal::not_found("the order"))?;
    let before = found.status;
    match before {
        orders::Status::Paid | orders::Status::PartiallyRefunded => {}
        // Busy with another refund, which will end.
        orders::Status::InRefund => return Err(Refusal::locked()),
        _ => return Err(Refusal::validation(format!("the order is {}", before.name()))),
    }
    let rest = found.refundable(world).ok_or_else(Refusal::internal)?;
    if amount.amount() > rest.amount() {
        let message = format!("amount is more than {rest}, which is left of the order");
        return Err(Refusal::parameter_invalid("amount", message));
    }
    let account = found.account();
    let id = world.core.new_id();
    let mut refund = Refund {
        id,
        order,
        account,
        amount,
        status: Status::Initiated,
        reference,
        before,
        transaction: None,
        reserved: false,
        ending: Ending::Good,
        created_at: world.core.now,
        updated_at: world.core.now,
        key: call.idempotency_key.clone(),
    };
    let reason = refund.reason(world, "refund.created");
    let reserved = books::reserve(world, account, amount, reason)?;
    refund.reserved = reserved.is_ok();
    refund.transaction = reserved.as_ref().ok().copied();
    refund.ending = Ending::of(reserved.err().or_else(|| call.fail_later.clone()));
    let shown = refund.to_json(world);
    world.ivy.refunds.insert(id, world.core.now, world.core.elapsed, refund);
    if let Some(order) = world.ivy.orders.get_mut(order) {
        order.refunds.push(id);
    }
    world.core.emit(&CONTRACT, "refund.initiated", shown.clone());
    // The state was looked at above: the table has this way.
    drop(orders::to(
        world,
        order,
        orders::Status::InRefund,
        "ORDER_REFUND_INITIATED",
    ));
    let delay_ms = world.core.config.ivy.lifecycle.refund_ms;
    world.core.plan_step(delay_ms, id, pending);
    Ok(shown)
}

pub(super) fn retrieve(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let mut fields = call.fields();
    let id = fields.uuid("id")?;
    fields.finish(world.core.config.ivy.unknown_parameters)?;
    let refund = world.ivy.refunds.get(id).map(|refund| refund.to_json(world));
    refund.ok_or_else(|| Refusal::not_found("the refund"))
}

// --- steps --------------------------------------------------------------------------------------

fn under_way(world: &World, id: Uuid) -> Result<&Refund, StepError> {
    let refund = world.ivy.refunds.get(id).ok_or(StepError::NotFound)?;
    match refund.status {
        Status::Initiated | Status::Pending => Ok(refund),
        status => Err(StepError::Illegal(status.name())),
    }
}

fn change(world: &mut World, id: Uuid, change: impl FnOnce(&mut Refund)) {
    let now = world.core.now;
    if let Some(refund) = world.ivy.refunds.get_mut(id) {
        change(refund);
        refund.updated_at = now;
    }
}

fn pending(world: &mut World, id: Uuid) -> Result<(), StepError> {
    if under_way(world, id)?.status == Status::Pending {
        return Err(StepError::Illegal("pending"));
    }
    change(world, id, |refund| refund.status = Status::Pending);
    let delay_ms = world.core.config.ivy.lifecycle.refund_ms;
    world.core.plan_step(delay_ms, id, ends);
    Ok(())
}

fn ends(world: &mut World, id: Uuid) -> Result<(), StepError> {
    let refund = under_way(world, id)?;
    if refund.ending != Ending::Good {
        return fails(world, id);
    }
    let source = world.ivy.accounts.get(refund.account).ok_or(StepError::NotFound)?;
    let order = world.ivy.orders.get(refund.order).ok_or(StepError::NotFound)?;
    let leaving = Leaving {
        amount: refund.amount,
        to: order.payer.clone().ok_or(StepError::NotFound)?,
        source: source.address.clone(),
        reference: refund.reference.clone(),
        rail: None,
        account: refund.account,
    };
    let order = refund.order;
    match world.leave(Place::Reserved(id), ("refund.succeeded", id), leaving) {
        Ok(()) => {}
        Err(StepError::Illegal(_)) => return fails(world, id),
        Err(error) => return Err(error),
    }
    change(world, id, |refund| {
        refund.status = Status::Succeeded;
        refund.reserved = false;
    });
    tell(world, id, "refund.succeeded");
    let rest = world.ivy.orders.get(order).and_then(|order| order.refundable(world));
    let next = if rest.is_some_and(Money::is_positive) {
        orders::Status::PartiallyRefunded
    } else {
        orders::Status::Refunded
    };
    orders::to(world, order, next, "ORDER_REFUNDED")
}

fn fails(world: &mut World, id: Uuid) -> Result<(), StepError> {
    let refund = under_way(world, id)?;
    let (order, before) = (refund.order, refund.before);
    if refund.reserved {
        let (account, amount, reason) = (refund.account, refund.amount, refund.reason(world, "refund.failed"));
        books::give_back(world, account, amount, reason)?;
    }
    change(world, id, |refund| {
        refund.status = Status::Failed;
        refund.reserved = false;
    });
    tell(world, id, "refund.failed");
    orders::to(world, order, before, "REFUND_UPDATED")
}

fn tell(world: &mut World, id: Uuid, event: &'static str) {
    if let Some(shown) = world.ivy.refunds.get(id).map(|refund| refund.to_json(world)) {
        world.core.emit(&CONTRACT, event, shown);
    }
}

/// Moves a refund to a status by name, as the control asks.
pub(super) fn advance(world: &mut World, id: Uuid, status: &str) -> Result<(), StepError> {
    match status {
        "pending" => pending(world, id),
        "succeeded" => ends(world, id),
        "failed" => fails(world, id),
        _ => Err(StepError::NoSuchStep),
    }
}
