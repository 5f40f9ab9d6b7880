//! Refunds, whole or in parts. They carry no reference of the client's and cannot be listed.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::CONTRACT;
use super::books::{self, Source, Way};
use super::charges::{self, Payment};
use super::config::RefundCounted;
use super::events::tell;
use super::external;
use super::intents::{self, Status as Stage};
use super::wire::{Cents, Entity, listed_from, named, optional_amount, tagged, time, time_or_null, usd};
use crate::base::clock::Instant;
use crate::simulator::contract::Call;
use crate::simulator::control::Effect;
use crate::simulator::core::failure::Ending;
use crate::simulator::core::fields::Fields;
use crate::simulator::core::ledger::Place;
use crate::simulator::core::refusal::Refusal;
use crate::simulator::core::timeline::StepError;
use crate::simulator::world::World;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Pending,
    Succeeded,
    Failed,
}

impl Status {
    fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
        }
    }
}

/// Money on its way back to a payer.
#[derive(Debug)]
pub(crate) struct Refund {
    pub(crate) id: Uuid,
    account: Uuid,
    pub(crate) payment: Uuid,
    pub(crate) external: bool,
    pub(crate) amount: Cents,
    status: Status,
    pub(crate) settled_at: Option<Instant>,
    ending: Ending,
    created_at: Instant,
    updated_at: Instant,
    key: Option<String>,
}

impl Entity for Refund {
    const PREFIX: &'static str = "re";
    const WHAT: &'static str = "the refund";

    fn id(&self) -> Uuid {
        self.id
    }

    fn account(&self) -> Uuid {
        self.account
    }
}

impl Refund {
    pub(crate) fn to_json(&self) -> Json {
        json!({
            "id": self.shown_id(),
            "entity": "refund",
            "status": self.status.name(),
            "external": self.external,
            "amount": self.amount,
            "account_id": tagged("acct", self.account),
            "payment_id": tagged(Payment::PREFIX, self.payment),
            "created_at": time(self.created_at),
            "updated_at": time(self.updated_at),
            "settlement_status": if self.settled_at.is_some() { "settled" } else { "unsettled" },
            "settled_at": time_or_null(self.settled_at),
        })
    }

    pub(crate) fn effect(&self) -> Effect {
        Effect {
            provider: CONTRACT.name,
            kind: if self.external { "external_refund" } else { "refund" },
            id: self.id,
            status: self.status.name(),
            amount: usd(self.amount),
            source_account_id: self.account,
            destination: json!(tagged(Payment::PREFIX, self.payment)),
            reference: None,
            metadata: BTreeMap::new(),
            idempotency_key: self.key.clone(),
            created_at: self.created_at,
        }
    }
}

/// What can still be given back of a payment.
pub(crate) fn refundable(world: &World, payment: &Payment) -> Cents {
    let live = |refund: &&Refund| refund.payment == payment.id && refund.status != Status::Failed;
    let refunded: Cents = world
        .payments
        .refunds
        .iter()
        .filter(live)
        .map(|refund| refund.amount)
        .sum();
    payment.amounts.captured - payment.amounts.reversed - refunded
}

// --- operations ---------------------------------------------------------------------------------

pub(super) fn create(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let intent = intents::own(world, call, false)?;
    let mut fields = call.fields();
    make(world, call, intent, &mut fields)
}

/// Gives a captured payment back: the amount, or what is left of it.
pub(crate) fn make(world: &mut World, call: &Call, intent: Uuid, fields: &mut Fields<'_>) -> Result<Json, Refusal> {
    let amount = optional_amount(fields, "amount")?;
    fields.finish(world.core.config.payments.unknown_parameters)?;
    let intent = world.payments.intents.get(intent).ok_or_else(Refusal::internal)?;
    let payment = intent.payment(world).filter(|_| intent.status == Stage::Captured);
    let Some(payment) = payment else {
        return Err(Refusal::conflict(format!(
            "the payment intent is {}",
            intent.status.name()
        )));
    };
    let left = refundable(world, payment);
    let amount = amount.unwrap_or(left);
    if amount == 0 || amount > left {
        let message = format!("{} can be refunded", usd(left));
        return Err(Refusal::parameter_invalid(fields.name("amount"), message));
    }
    let (payment, account, external) = (payment.id, payment.account, payment.external);
    let (id, now) = (world.core.new_id(), world.core.now);
    let refund = Refund {
        id,
        account,
        payment,
        external,
        amount,
        status: Status::Pending,
        settled_at: None,
        ending: Ending::of(call.fail_later.clone()),
        created_at: now,
        updated_at: now,
        key: call.idempotency_key.clone(),
    };
    let shown = refund.to_json();
    if !external {
        let source = Source::of("payment_refund", &refund, "Refund");
        let entry = (Way::To(Place::Reserved(id)), amount);
        books::enter(world, account, entry, (source, "refund.created", call.unlisted_ms))
            .map_err(|_| Refusal::internal())?;
    }
    let from = listed_from(world, call.unlisted_ms);
    world.payments.refunds.insert(id, now, from, refund);
    if world.core.config.payments.refund_counted == RefundCounted::AtCreation {
        charges::note(world, payment, |payment| payment.amounts.refunded += amount);
    }
    tell(world, "v2.refund.created", shown.clone());
    let delay_ms = world.core.config.payments.lifecycle.refund_ms;
    world.core.plan_step(delay_ms, id, ends);
    Ok(shown)
}

pub(super) fn fetch(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    named(world, &world.payments.refunds, call).map(Refund::to_json)
}

// --- steps --------------------------------------------------------------------------------------

fn under_way(world: &World, id: Uuid) -> Result<&Refund, StepError> {
    let refund = world.payments.refunds.get(id).ok_or(StepError::NotFound)?;
    match refund.status {
        Status::Pending => Ok(refund),
        status => Err(StepError::Illegal(status.name())),
    }
}

fn change(world: &mut World, id: Uuid, change: impl FnOnce(&mut Refund)) {
    let now = world.core.now;
    if let Some(refund) = world.payments.refunds.get_mut(id) {
        change(refund);
        refund.updated_at = now;
    }
}

/// The payer has it, unless it was decided otherwise.
fn ends(world: &mut World, id: Uuid) -> Result<(), StepError> {
    let refund = under_way(world, id)?;
    if refund.ending != Ending::Good {
        return fails(world, id);
    }
    let (payment, amount, external) = (refund.payment, refund.amount, refund.external);
    if external {
        external::plan(world, id);
    } else {
        let route = (Place::Reserved(id), Place::Payer);
        let now = world.core.now;
        world
            .core
            .ledger
            .post(now, route, usd(amount), "refund.succeeded", id)?;
    }
    change(world, id, |refund| refund.status = Status::Succeeded);
    if world.core.config.payments.refund_counted == RefundCounted::AtSuccess {
        charges::note(world, payment, |payment| payment.amounts.refunded += amount);
    }
    charges::told(world, payment, "v2.payment.refunded");
    Ok(())
}

/// The merchant has it back, with a line of its own.
fn fails(world: &mut World, id: Uuid) -> Result<(), StepError> {
    let refund = under_way(world, id)?;
    let (payment, account, amount, external) = (refund.payment, refund.account, refund.amount, refund.external);
    if !external {
        let source = Source::of("refund_failure", refund, "Refund that failed");
        let entry = (Way::From(Place::Reserved(id)), amount);
        books::enter(world, account, entry, (source, "refund.failed", 0))?;
    }
    change(world, id, |refund| refund.status = Status::Failed);
    if world.core.config.payments.refund_counted == RefundCounted::AtCreation {
        charges::note(world, payment, |payment| payment.amounts.refunded -= amount);
    }
    Ok(())
}

/// Its line is settled.
pub(crate) fn settled(world: &mut World, id: Uuid) {
    let now = world.core.now;
    change(world, id, |refund| refund.settled_at = Some(now));
}

/// Moves a refund to a status by name, as the control asks.
pub(super) fn advance(world: &mut World, id: Uuid, status: &str) -> Result<(), StepError> {
    match status {
        "succeeded" => ends(world, id),
        "failed" => fails(world, id),
        "settled" => books::settle_all_of(world, id),
        _ => Err(StepError::NoSuchStep),
    }
}
