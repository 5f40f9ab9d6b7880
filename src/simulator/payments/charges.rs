//! Payments: the charge of an intent, by card at once or by bank some time later; authorised, captured, voided.

use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::CONTRACT;
use super::books::{self, Source, Way};
use super::config::{AfterDecline, CaptureRest, Decline, MethodKind, Outcome};
use super::disputes::Dispute;
use super::events::tell;
use super::external;
use super::intents::{self, Status as Stage};
use super::methods;
use super::splits::{self, Split};
use super::wire::{
    Cents, Entity, any_object, list, listed_from, named, optional_amount, owned, tagged, time, time_or_null, usd,
};
use crate::base::clock::Instant;
use crate::simulator::contract::Call;
use crate::simulator::control::Effect;
use crate::simulator::core::failure::{Ending, Failure};
use crate::simulator::core::ledger::Place;
use crate::simulator::core::refusal::Refusal;
use crate::simulator::core::timeline::StepError;
use crate::simulator::world::World;

/// Where a payment stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Pending,
    Uncaptured,
    Captured,
    Cancelled,
    Voided,
    Failed,
}

/// Their names, as searches know them.
pub(crate) const STATUSES: [&str; 6] = ["pending", "uncaptured", "captured", "cancelled", "voided", "failed"];

impl Status {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Uncaptured => "uncaptured",
            Self::Captured => "captured",
            Self::Cancelled => "cancelled",
            Self::Voided => "voided",
            Self::Failed => "failed",
        }
    }
}

/// What became of the amount.
#[derive(Debug, Clone, Default)]
pub(crate) struct Amounts {
    pub(crate) authorized: Cents,
    pub(crate) captured: Cents,
    pub(crate) refunded: Cents,
    pub(crate) voided: Cents,
    pub(crate) disputed: Cents,
    pub(crate) reversed: Cents,
}

/// One charge.
#[derive(Debug)]
pub(crate) struct Payment {
    pub(crate) id: Uuid,
    pub(crate) account: Uuid,
    pub(crate) intent: Uuid,
    pub(crate) status: Status,
    pub(crate) amount: Cents,
    pub(crate) amounts: Amounts,
    pub(crate) kind: MethodKind,
    /// What it was paid with; something of another gateway has no id here.
    method: Option<Uuid>,
    method_shown: Json,
    pub(crate) external: bool,
    card_present: bool,
    pub(crate) auth_code: Option<String>,
    /// What another gateway's settlement is matched by.
    pub(crate) retrieval_reference: Option<String>,
    auth_response_text: Option<String>,
    reference: Option<String>,
    user_fields: Json,
    description: Option<String>,
    order_details: Json,
    pub(crate) dispute: Option<Uuid>,
    pub(crate) reversal: Option<Uuid>,
    pub(crate) settled_at: Option<Instant>,
    pub(crate) ending: Ending,
    created_at: Instant,
    pub(crate) updated_at: Instant,
    key: Option<String>,
}

impl Entity for Payment {
    const PREFIX: &'static str = "pmt";
    const WHAT: &'static str = "the payment";

    fn id(&self) -> Uuid {
        self.id
    }

    fn account(&self) -> Uuid {
        self.account
    }
}

impl Payment {
    pub(crate) fn dispute_id(&self) -> Option<String> {
        self.dispute.map(|id| tagged(Dispute::PREFIX, id))
    }

    pub(crate) fn reversal_id(&self) -> Option<String> {
        self.reversal.map(|id| tagged("rev", id))
    }

    pub(crate) fn to_json(&self, world: &World) -> Json {
        let method = self.method.and_then(|id| world.payments.methods.get(id));
        let card = self.kind == MethodKind::Card && self.status != Status::Failed;
        json!({
            "id": self.shown_id(),
            "entity": "payment",
            "status": self.status.name(),
            "billing_details": method.map(|method| method.billing_details.clone()),
            "amount": self.amount,
            "amount_authorized": self.amounts.authorized,
            "amount_captured": self.amounts.captured,
            "amount_refunded": self.amounts.refunded,
            "amount_voided": self.amounts.voided,
            "amount_disputed": self.amounts.disputed,
            "amount_reversed": self.amounts.reversed,
            "cvv": card.then_some("M"),
            "avs": card.then_some("A"),
            "address_line1_check": card.then_some("pass"),
            "address_postal_code_check": card.then_some("pass"),
            "cvv_check": card.then_some("pass"),
            "signature": null,
            "emv_tag_data": null,
            "entry_mode": "keyed",
            "reversed": self.reversal.is_some(),
            "reversal_id": self.reversal_id(),
            "disputed": self.dispute.is_some(),
            "dispute_id": self.dispute_id(),
            "order_details": self.order_details,
            "payment_intent_id": tagged("pi", self.intent),
            "payment_method_id": method.map(|method| method.shown_id()),
            "payment_method": method.map_or_else(|| self.method_shown.clone(), methods::Method::to_json),
            "auth_code": self.auth_code,
            "auth_response_text": self.auth_response_text,
            "external": self.external,
            "card_present": self.card_present,
            "created_at": time(self.created_at),
            "updated_at": time(self.updated_at),
            "account_id": tagged("acct", self.account),
            "reference_id": self.reference,
            "user_fields": self.user_fields,
            "description": self.description,
            "settlement_status": if self.settled_at.is_some() { "settled" } else { "unsettled" },
            "settled_at": time_or_null(self.settled_at),
        })
    }

    /// One effect a payment, whoever holds the money meanwhile.
    pub(crate) fn effect(&self) -> Effect {
        Effect {
            provider: CONTRACT.name,
            kind: if self.external { "external_payment" } else { "payment" },
            id: self.id,
            status: self.status.name(),
            amount: usd(self.amount),
            source_account_id: self.account,
            destination: json!(tagged("pi", self.intent)),
            reference: self.reference.clone(),
            metadata: std::collections::BTreeMap::new(),
            idempotency_key: self.key.clone(),
            created_at: self.created_at,
        }
    }
}

// --- operations ---------------------------------------------------------------------------------

/// What a payment is made of beside its intent.
pub(crate) struct Wanted {
    pub(crate) kind: MethodKind,
    pub(crate) method: Option<Uuid>,
    pub(crate) method_shown: Json,
    pub(crate) external: bool,
    pub(crate) card_present: bool,
    pub(crate) auth_code: Option<String>,
    pub(crate) retrieval_reference: Option<String>,
    pub(crate) reference: Option<String>,
    pub(crate) user_fields: Json,
    pub(crate) description: Option<String>,
    pub(crate) order_details: Json,
    pub(crate) ending: Ending,
}

/// Puts a payment beside its intent; what it does is up to the caller.
pub(crate) fn put(world: &mut World, call: &Call, intent: Uuid, wanted: Wanted) -> Result<Uuid, Refusal> {
    let found = world.payments.intents.get(intent).ok_or_else(Refusal::internal)?;
    let (account, amount) = (found.account(), found.amount);
    let (id, now) = (world.core.new_id(), world.core.now);
    let payment = Payment {
        id,
        account,
        intent,
        status: Status::Pending,
        amount,
        amounts: Amounts::default(),
        kind: wanted.kind,
        method: wanted.method,
        method_shown: wanted.method_shown,
        external: wanted.external,
        card_present: wanted.card_present,
        auth_code: wanted.auth_code,
        retrieval_reference: wanted.retrieval_reference,
        auth_response_text: None,
        reference: wanted.reference,
        user_fields: wanted.user_fields,
        description: wanted.description,
        order_details: wanted.order_details,
        dispute: None,
        reversal: None,
        settled_at: None,
        ending: wanted.ending,
        created_at: now,
        updated_at: now,
        key: call.idempotency_key.clone(),
    };
    let from = listed_from(world, call.unlisted_ms);
    world.payments.payments.insert(id, now, from, payment);
    if let Some(intent) = world.payments.intents.get_mut(intent) {
        intent.latest = Some(id);
        intent.updated_at = now;
    }
    Ok(id)
}

pub(super) fn create(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let intent = intents::own(world, call, false)?;
    charge(world, call, intent)
}

/// Charges an intent that was not charged before.
pub(crate) fn charge(world: &mut World, call: &Call, intent: Uuid) -> Result<Json, Refusal> {
    let mut fields = call.fields();
    let text = fields.text("payment_method_id")?;
    let method = methods::find(world, text);
    let method = method.ok_or_else(|| fields.invalid("payment_method_id", "is no payment method"))?;
    let (method_id, kind, outcome, spent) = (method.id, method.kind, method.outcome, method.single_use && method.used);
    let wanted = Wanted {
        kind,
        method: Some(method_id),
        method_shown: Json::Null,
        external: false,
        card_present: false,
        auth_code: None,
        retrieval_reference: None,
        reference: owned(fields.optional_text("reference_id")?),
        user_fields: any_object(&mut fields, "user_fields")?,
        description: owned(fields.optional_text("description")?),
        order_details: any_object(&mut fields, "order_details")?,
        ending: Ending::of(failure_of(outcome).or_else(|| call.fail_later.clone())),
    };
    fields.optional_text("cvv2")?;
    fields.finish(world.core.config.payments.unknown_parameters)?;
    let found = world.payments.intents.get(intent).ok_or_else(Refusal::internal)?;
    if found.status != Stage::Created {
        return Err(Refusal::conflict(format!(
            "the payment intent is {}",
            found.status.name()
        )));
    }
    if spent || !found.method_types.iter().any(|name| name == kind.name()) {
        return Err(fields.invalid("payment_method_id", "cannot be used for this"));
    }
    let at_once = found.capture;
    let id = put(world, call, intent, wanted)?;
    if let Some(method) = world.payments.methods.get_mut(method_id) {
        method.used = true;
    }
    match (kind, failure_of(outcome)) {
        (MethodKind::Card, Some(failure)) => {
            declines(world, id, &failure).map_err(|_| Refusal::internal())?;
            if world.core.config.payments.decline == Decline::Status402 {
                return Err(Refusal::declined(failure.message));
            }
        }
        (MethodKind::Card, None) if call.fail_later.is_none() => {
            authorise(world, id);
            if at_once {
                capture(world, id, None).map_err(|_| Refusal::internal())?;
            }
        }
        _ => pends(world, id),
    }
    shown(world, id)
}

fn failure_of(outcome: Outcome) -> Option<Failure> {
    match outcome {
        Outcome::Approved => None,
        Outcome::Declined => Some(Failure::new("declined", "Declined", false)),
        Outcome::InsufficientFunds => Some(Failure::new("insufficient_funds", "Insufficient funds", false)),
    }
}

fn shown(world: &World, id: Uuid) -> Result<Json, Refusal> {
    let payment = world.payments.payments.get(id).map(|payment| payment.to_json(world));
    payment.ok_or_else(Refusal::internal)
}

/// The payments of one intent.
pub(super) fn list_of_intent(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let intent = named(world, &world.payments.intents, call)?.id;
    let show = |payment: &Payment| payment.to_json(world);
    let of_intent = |payment: &Payment| payment.intent == intent;
    list(world, call, &world.payments.payments, of_intent, show)
}

/// Captures what was authorised, or less. Splits named here replace those of the intent.
pub(super) fn capture_intent(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let intent = intents::own(world, call, false)?;
    let mut fields = call.fields();
    let amount = optional_amount(&mut fields, "amount")?;
    let splits = splits::read(world, &mut fields)?;
    fields.finish(world.core.config.payments.unknown_parameters)?;
    capture_with(world, intent, amount, splits)
}

pub(crate) fn capture_with(
    world: &mut World,
    id: Uuid,
    amount: Option<Cents>,
    splits: Option<Vec<Split>>,
) -> Result<Json, Refusal> {
    let intent = world.payments.intents.get(id).ok_or_else(Refusal::internal)?;
    let payment = intent.payment(world).filter(|_| intent.status == Stage::Uncaptured);
    let Some(payment) = payment else {
        return Err(Refusal::conflict(format!(
            "the payment intent is {}",
            intent.status.name()
        )));
    };
    let authorized = payment.amounts.authorized;
    let (payment, amount) = (payment.id, amount.unwrap_or(authorized));
    if amount > authorized {
        return Err(Refusal::parameter_invalid(
            "amount",
            "amount is more than was authorised",
        ));
    }
    let splits = splits.unwrap_or_else(|| intent.splits.clone());
    splits::check(&splits, None, amount)?;
    if let Some(intent) = world.payments.intents.get_mut(id) {
        intent.splits = splits;
    }
    capture(world, payment, Some(amount)).map_err(|_| Refusal::internal())?;
    intents::shown(world, id)
}

// --- steps --------------------------------------------------------------------------------------

/// Changes a payment, and its intent with it.
fn change(world: &mut World, id: Uuid, stage: Stage, change: impl FnOnce(&mut Payment)) {
    let now = world.core.now;
    let Some(payment) = world.payments.payments.get_mut(id) else {
        return;
    };
    change(payment);
    payment.updated_at = now;
    if let Some(intent) = world.payments.intents.get_mut(payment.intent) {
        intent.status = stage;
        intent.updated_at = now;
        match stage {
            Stage::Captured => intent.captured_at = Some(now),
            Stage::Cancelled => intent.cancelled_at = Some(now),
            _ => {}
        }
    }
}

/// Changes a counter or a flag, which leaves the status as it is.
pub(crate) fn note(world: &mut World, id: Uuid, change: impl FnOnce(&mut Payment)) {
    let now = world.core.now;
    let Some(payment) = world.payments.payments.get_mut(id) else {
        return;
    };
    change(payment);
    payment.updated_at = now;
    if let Some(intent) = world.payments.intents.get_mut(payment.intent) {
        intent.updated_at = now;
    }
}

/// Tells of a payment.
pub(crate) fn told(world: &mut World, id: Uuid, event: &'static str) {
    if let Some(shown) = world.payments.payments.get(id).map(|payment| payment.to_json(world)) {
        tell(world, event, shown);
    }
}

fn told_of_intent(world: &mut World, payment: Uuid, event: &'static str) {
    if let Some(intent) = world.payments.payments.get(payment).map(|payment| payment.intent) {
        intents::told(world, intent, event);
    }
}

/// The payer's bank keeps the amount ready; nothing has moved.
pub(crate) fn authorise(world: &mut World, id: Uuid) {
    let code = world.core.new_digits(6);
    change(world, id, Stage::Uncaptured, |payment| {
        payment.status = Status::Uncaptured;
        payment.amounts.authorized = payment.amount;
        payment.auth_code.get_or_insert(code);
        payment.auth_response_text = Some("Approval".to_owned());
    });
    told(world, id, "v2.payment.created");
    if let Some(delay_ms) = world.core.config.payments.lifecycle.authorisation_ms {
        world.core.plan_step(delay_ms, id, lapses);
    }
}

/// The payer's bank was asked and will answer later.
fn pends(world: &mut World, id: Uuid) {
    change(world, id, Stage::Pending, |_| {});
    told(world, id, "v2.payment.created");
    told_of_intent(world, id, "v2.payment_intent.pended");
    let delay_ms = world.core.config.payments.lifecycle.bank_payment_ms;
    world.core.plan_step(delay_ms, id, answers);
}

/// The payer's bank answers.
fn answers(world: &mut World, id: Uuid) -> Result<(), StepError> {
    let payment = world.payments.payments.get(id).ok_or(StepError::NotFound)?;
    match payment.ending.clone() {
        Ending::Good => capture(world, id, None),
        Ending::Bad(failure) => declines(world, id, &failure),
    }
}

fn declines(world: &mut World, id: Uuid, failure: &Failure) -> Result<(), StepError> {
    let payment = world.payments.payments.get(id).ok_or(StepError::NotFound)?;
    if payment.status != Status::Pending {
        return Err(StepError::Illegal(payment.status.name()));
    }
    let stage = match world.core.config.payments.after_decline {
        AfterDecline::Failed => Stage::Failed,
        AfterDecline::Created => Stage::Created,
    };
    change(world, id, stage, |payment| {
        payment.status = Status::Failed;
        payment.auth_response_text = Some(failure.message.clone());
    });
    told(world, id, "v2.payment.failed");
    Ok(())
}

/// Money moves: to what is pending for the merchant. Of what was authorised all, unless less is asked for.
pub(crate) fn capture(world: &mut World, id: Uuid, amount: Option<Cents>) -> Result<(), StepError> {
    let payment = world.payments.payments.get(id).ok_or(StepError::NotFound)?;
    if !matches!(payment.status, Status::Pending | Status::Uncaptured) {
        return Err(StepError::Illegal(payment.status.name()));
    }
    let amount = amount.unwrap_or(payment.amount);
    if payment.external {
        external::plan(world, id);
    } else {
        let entry = (Way::From(Place::Payer), amount);
        let source = Source::of("payment", payment, "Payment");
        books::enter(world, payment.account, entry, (source, "payment.captured", 0))?;
    }
    let voids = world.core.config.payments.capture_rest == CaptureRest::Void;
    change(world, id, Stage::Captured, |payment| {
        payment.status = Status::Captured;
        payment.amounts.authorized = payment.amount;
        payment.amounts.captured = amount;
        payment.auth_response_text = Some("Approval".to_owned());
        if voids {
            payment.amounts.voided = payment.amount - amount;
        }
    });
    told(world, id, "v2.payment.captured");
    told_of_intent(world, id, "v2.payment_intent.captured");
    Ok(())
}

/// An intent ends without a capture: what was authorised for it is let go.
pub(crate) fn void(world: &mut World, intent: Uuid, status: Status) -> Result<(), StepError> {
    let now = world.core.now;
    let found = world.payments.intents.get(intent).ok_or(StepError::NotFound)?;
    let held = found
        .payment(world)
        .filter(|payment| payment.status == Status::Uncaptured);
    match held.map(|payment| payment.id) {
        Some(id) => {
            change(world, id, Stage::Cancelled, |payment| {
                payment.status = status;
                payment.amounts.voided = payment.amounts.authorized;
            });
            told(world, id, "v2.payment.cancelled");
        }
        None => {
            if let Some(intent) = world.payments.intents.get_mut(intent) {
                intent.status = Stage::Cancelled;
                intent.cancelled_at = Some(now);
                intent.updated_at = now;
            }
        }
    }
    intents::told(world, intent, "v2.payment_intent.cancelled");
    Ok(())
}

/// An authorisation that nobody captured is over.
fn lapses(world: &mut World, id: Uuid) -> Result<(), StepError> {
    let payment = world.payments.payments.get(id).ok_or(StepError::NotFound)?;
    if payment.status != Status::Uncaptured {
        return Err(StepError::Illegal(payment.status.name()));
    }
    void(world, payment.intent, Status::Cancelled)
}

/// A payment is settled; now its recipients get their parts.
pub(crate) fn settled(world: &mut World, id: Uuid) -> Result<(), StepError> {
    let now = world.core.now;
    note(world, id, |payment| payment.settled_at = Some(now));
    let payment = world.payments.payments.get(id).ok_or(StepError::NotFound)?;
    let (account, intent) = (payment.account, payment.intent);
    let splits = world.payments.intents.get(intent).map(|intent| intent.splits.clone());
    for split in splits.unwrap_or_default() {
        let source = Source {
            kind: "transfer",
            id,
            shown_id: split.recipient().to_owned(),
            description: "Part of a payment",
        };
        let entry = (Way::To(Place::Settled(split.place)), split.amount);
        books::enter_settled(world, account, entry, (source, "payment.split"))?;
    }
    Ok(())
}

/// A bank takes a payment back, as far as it was not given back already.
fn reverses(world: &mut World, id: Uuid) -> Result<(), StepError> {
    let payment = world.payments.payments.get(id).ok_or(StepError::NotFound)?;
    let possible = payment.kind == MethodKind::Bank && payment.reversal.is_none();
    if payment.status != Status::Captured || payment.external || !possible {
        return Err(StepError::Illegal(payment.status.name()));
    }
    let (account, amount) = (payment.account, super::refunds::refundable(world, payment));
    let (payment_id, intent_id) = (payment.shown_id(), tagged("pi", payment.intent));
    let reversal = world.core.new_id();
    let source = Source {
        kind: "reversal",
        id: reversal,
        shown_id: tagged("rev", reversal),
        description: "Returned by the payer's bank",
    };
    let entry = (Way::To(Place::Payer), amount);
    books::enter(world, account, entry, (source, "reversal.created", 0))?;
    note(world, id, |payment| {
        payment.reversal = Some(reversal);
        payment.amounts.reversed = amount;
    });
    let shown = json!({
        "id": tagged("rev", reversal),
        "entity": "reversal",
        "amount": amount,
        "account_id": tagged("acct", account),
        "payment_id": payment_id,
        "payment_intent_id": intent_id,
        "created_at": time(world.core.now),
    });
    tell(world, "v2.reversal.created", shown);
    Ok(())
}

/// Moves a payment to a status by name, or lets something happen to it, as the control asks.
pub(super) fn advance(world: &mut World, id: Uuid, status: &str, failure: Option<Failure>) -> Result<(), StepError> {
    match status {
        "captured" => capture(world, id, None),
        "failed" => {
            let usual = || Failure::new("declined", "Declined", false);
            declines(world, id, &failure.unwrap_or_else(usual))
        }
        "cancelled" => lapses(world, id),
        "settled" => books::settle_all_of(world, id),
        "reversed" => reverses(world, id),
        "disputed" => super::disputes::opens(world, id),
        _ => Err(StepError::NoSuchStep),
    }
}
