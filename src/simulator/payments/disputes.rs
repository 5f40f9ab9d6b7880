//! Disputes: a payer wants a payment back. They happen, and are answered elsewhere; here they are read.

use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::accounts::owners;
use super::books::{self, Source, Way};
use super::charges::{self, Payment};
use super::events::tell;
use super::intents::Intent;
use super::refunds;
use super::wire::{Cents, Entity, date, list, listed_from, named, tagged, time, time_or_null, usd};
use crate::base::clock::Instant;
use crate::simulator::contract::Call;
use crate::simulator::core::ledger::Place;
use crate::simulator::core::refusal::Refusal;
use crate::simulator::core::timeline::StepError;
use crate::simulator::world::World;

/// Where disputes stand: the reference has seven, of which it names one, and events three.
const STATUSES: [&str; 7] = [
    "new",
    "under_review",
    "contested",
    "accepted",
    "pre_arbitration",
    "won",
    "lost",
];

/// How long a response is waited for.
const RESPONSE_DAYS: i64 = 20;

/// A payment that somebody wants back.
#[derive(Debug)]
pub(crate) struct Dispute {
    pub(crate) id: Uuid,
    account: Uuid,
    payment: Uuid,
    intent: Uuid,
    amount: Cents,
    status: &'static str,
    closed_at: Option<Instant>,
    settled_at: Option<Instant>,
    created_at: Instant,
    updated_at: Instant,
}

impl Entity for Dispute {
    const PREFIX: &'static str = "dp";
    const WHAT: &'static str = "the dispute";

    fn id(&self) -> Uuid {
        self.id
    }

    fn account(&self) -> Uuid {
        self.account
    }
}

impl Dispute {
    pub(crate) fn to_json(&self, world: &World) -> Json {
        let (account_id, _, business_id) = owners(world, self.account);
        let due = self.created_at + chrono::TimeDelta::days(RESPONSE_DAYS);
        json!({
            "id": self.shown_id(),
            "entity": "dispute",
            "created_at": time(self.created_at),
            "updated_at": time(self.updated_at),
            "account_id": account_id,
            "business_id": business_id,
            "status": self.status,
            "payment_id": tagged(Payment::PREFIX, self.payment),
            "payment_intent_id": tagged(Intent::PREFIX, self.intent),
            "amount": self.amount,
            "notes": [],
            "attachments": [],
            "dispute_date": date(self.created_at),
            "response_due_date": date(due),
            "closed_date": self.closed_at.map(date),
            "reason_disputed_code": 1040,
            "reason_disputed": "Other fraud: card absent environment",
            "dispute_response": null,
            "reference_meta": {},
            "settlement_status": if self.settled_at.is_some() { "settled" } else { "unsettled" },
            "settled_at": time_or_null(self.settled_at),
        })
    }
}

// --- operations ---------------------------------------------------------------------------------

pub(super) fn list_all(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let status = call.query.one_of("status", &STATUSES)?;
    let wanted = |dispute: &Dispute| status.is_none_or(|status| status == dispute.status);
    list(world, call, &world.payments.disputes, wanted, |dispute| {
        dispute.to_json(world)
    })
}

pub(super) fn fetch(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    named(world, &world.payments.disputes, call).map(|dispute| dispute.to_json(world))
}

// --- steps --------------------------------------------------------------------------------------

/// A payer disputes a captured payment: what is left of it is held back until that is decided.
pub(crate) fn opens(world: &mut World, payment: Uuid) -> Result<(), StepError> {
    let found = world.payments.payments.get(payment).ok_or(StepError::NotFound)?;
    let amount = refunds::refundable(world, found);
    let possible = found.status == charges::Status::Captured && !found.external && found.dispute.is_none();
    if !possible || amount <= 0 {
        return Err(StepError::Illegal(found.status.name()));
    }
    let (account, intent) = (found.account, found.intent);
    let (id, now) = (world.core.new_id(), world.core.now);
    let dispute = Dispute {
        id,
        account,
        payment,
        intent,
        amount,
        status: "new",
        closed_at: None,
        settled_at: None,
        created_at: now,
        updated_at: now,
    };
    let source = Source::of("dispute", &dispute, "Dispute");
    let entry = (Way::To(Place::Reserved(id)), amount);
    books::enter(world, account, entry, (source, "dispute.created", 0))?;
    let from = listed_from(world, 0);
    world.payments.disputes.insert(id, now, from, dispute);
    charges::note(world, payment, |payment| {
        payment.dispute = Some(id);
        payment.amounts.disputed = amount;
    });
    told(world, id, "v2.dispute.created");
    Ok(())
}

fn told(world: &mut World, id: Uuid, event: &'static str) {
    if let Some(shown) = world.payments.disputes.get(id).map(|dispute| dispute.to_json(world)) {
        tell(world, event, shown);
    }
}

/// Its line is settled.
pub(crate) fn settled(world: &mut World, id: Uuid) {
    let now = world.core.now;
    if let Some(dispute) = world.payments.disputes.get_mut(id) {
        dispute.settled_at = Some(now);
        dispute.updated_at = now;
    }
}

/// Moves a dispute to a status by name, as the control asks: the merchant or the payer gets what was held back.
pub(super) fn advance(world: &mut World, id: Uuid, status: &str) -> Result<(), StepError> {
    let status = STATUSES.into_iter().find(|known| *known == status && *known != "new");
    let status = status.ok_or(StepError::NoSuchStep)?;
    let dispute = world.payments.disputes.get(id).ok_or(StepError::NotFound)?;
    if dispute.closed_at.is_some() || dispute.status == status {
        return Err(StepError::Illegal(dispute.status));
    }
    let (account, amount, now) = (dispute.account, dispute.amount, world.core.now);
    let source = Source::of("dispute", dispute, "Dispute won");
    match status {
        "won" => {
            let entry = (Way::From(Place::Reserved(id)), amount);
            books::enter(world, account, entry, (source, "dispute.won", 0))?;
        }
        "lost" | "accepted" => {
            let route = (Place::Reserved(id), Place::Payer);
            world.core.ledger.post(now, route, usd(amount), "dispute.lost", id)?;
        }
        _ => {}
    }
    if let Some(dispute) = world.payments.disputes.get_mut(id) {
        dispute.status = status;
        dispute.closed_at = matches!(status, "won" | "lost" | "accepted").then_some(now);
        dispute.updated_at = now;
    }
    let event = match status {
        "contested" => "v2.dispute.contested",
        "accepted" => "v2.dispute.accepted",
        "pre_arbitration" => "v2.dispute.pre_arbitration",
        _ => "v2.dispute.updated",
    };
    told(world, id, event);
    Ok(())
}
