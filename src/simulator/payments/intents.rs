//! Payment intents: what is to be paid, and how far that is. The charge itself is the payment's.

use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::accounts::owners;
use super::charges::{self, Payment};
use super::config::{DuplicateReference, RepeatedChange};
use super::events::tell;
use super::splits::{self, Split};
use super::wire::{
    Cents, Entity, Search, account, amount, any_object, bound, list, listed_from, named, optional_amount,
    optional_time, owned, time, time_or_null,
};
use crate::base::clock::Instant;
use crate::simulator::contract::Call;
use crate::simulator::core::fields::Fields;
use crate::simulator::core::refusal::Refusal;
use crate::simulator::world::World;

/// Where an intent stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Created,
    Pending,
    Uncaptured,
    Captured,
    Cancelled,
    Failed,
}

const STATUSES: [&str; 6] = ["created", "pending", "uncaptured", "captured", "cancelled", "failed"];

/// Why an intent is cancelled.
pub(crate) const REASONS: [&str; 4] = ["duplicate", "fraudulent", "requested_by_customer", "abandoned"];

impl Status {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Pending => "pending",
            Self::Uncaptured => "uncaptured",
            Self::Captured => "captured",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
        }
    }
}

/// What is to be paid.
#[derive(Debug)]
pub(crate) struct Intent {
    pub(crate) id: Uuid,
    account: Uuid,
    client_secret: String,
    pub(crate) status: Status,
    pub(crate) amount: Cents,
    merchant_amount: Option<Cents>,
    pub(crate) splits: Vec<Split>,
    order_details: Json,
    /// Whether a card is charged at once.
    pub(crate) capture: bool,
    pub(crate) latest: Option<Uuid>,
    pub(crate) external: bool,
    pub(crate) method_types: Vec<String>,
    reference: Option<String>,
    user_fields: Json,
    cancellation_reason: Option<String>,
    description: Option<String>,
    created_at: Instant,
    pub(crate) updated_at: Instant,
    pub(crate) cancelled_at: Option<Instant>,
    pub(crate) captured_at: Option<Instant>,
}

impl Entity for Intent {
    const PREFIX: &'static str = "pi";
    const WHAT: &'static str = "the payment intent";

    fn id(&self) -> Uuid {
        self.id
    }

    fn account(&self) -> Uuid {
        self.account
    }
}

impl Intent {
    /// The payment that counts: the last one.
    pub(crate) fn payment<'a>(&self, world: &'a World) -> Option<&'a Payment> {
        world.payments.payments.get(self.latest?)
    }

    pub(crate) fn to_json(&self, world: &World) -> Json {
        let (account_id, partner_id, business_id) = owners(world, self.account);
        let payment = self.payment(world);
        let none = charges::Amounts::default();
        let amounts = payment.map_or(&none, |payment| &payment.amounts);
        let splits: Vec<Json> = self.splits.iter().map(Split::to_json).collect();
        let settled_at = payment.and_then(|payment| payment.settled_at);
        json!({
            "id": self.shown_id(),
            "client_secret": self.client_secret,
            "entity": "payment_intent",
            "status": self.status.name(),
            "amount": self.amount,
            "merchant_amount": self.merchant_amount,
            "amount_authorized": amounts.authorized,
            "amount_captured": amounts.captured,
            "amount_refunded": amounts.refunded,
            "amount_voided": amounts.voided,
            "amount_disputed": amounts.disputed,
            "amount_reversed": amounts.reversed,
            "payment_splits": splits,
            "order_details": self.order_details,
            "capture": self.capture,
            "currency": "USD",
            "latest_payment": payment.map(|payment| payment.to_json(world)),
            "disputed": payment.is_some_and(|payment| payment.dispute.is_some()),
            "dispute_id": payment.and_then(Payment::dispute_id),
            "reversed": payment.is_some_and(|payment| payment.reversal.is_some()),
            "reversal_id": payment.and_then(Payment::reversal_id),
            "external": self.external,
            "partner_id": partner_id,
            "business_id": business_id,
            "account_id": account_id,
            "payment_method_types": self.method_types,
            "reference_id": self.reference,
            "user_fields": self.user_fields,
            "cancellation_reason": self.cancellation_reason,
            "description": self.description,
            "created_at": time(self.created_at),
            "updated_at": time(self.updated_at),
            "cancelled_at": time_or_null(self.cancelled_at),
            "captured_at": time_or_null(self.captured_at),
            "settled_at": time_or_null(settled_at),
            "settlement_status": if settled_at.is_some() { "settled" } else { "unsettled" },
        })
    }
}

// --- operations ---------------------------------------------------------------------------------

/// What an intent is made of, as a request says it.
pub(crate) struct Wanted {
    amount: Cents,
    merchant_amount: Option<Cents>,
    splits: Vec<Split>,
    order_details: Json,
    capture: bool,
    reference: Option<String>,
    user_fields: Json,
    description: Option<String>,
    method_types: Vec<String>,
}

/// Reads an intent, whole: nothing else may stand beside it.
pub(crate) fn read(world: &World, fields: &mut Fields<'_>) -> Result<Wanted, Refusal> {
    let wanted = Wanted {
        amount: amount(fields, "amount")?,
        merchant_amount: optional_amount(fields, "merchant_amount")?,
        splits: splits::read(world, fields)?.unwrap_or_default(),
        order_details: any_object(fields, "order_details")?,
        // The one sample that leaves it out shows it as true.
        capture: fields.optional_bool("capture")?.unwrap_or(true),
        reference: owned(fields.optional_text("reference_id")?),
        user_fields: any_object(fields, "user_fields")?,
        description: owned(fields.optional_text("description")?),
        method_types: method_types(fields)?.unwrap_or_else(|| vec!["card".to_owned(), "bank".to_owned()]),
    };
    fields.optional_one_of("currency", &["USD"])?;
    fields.finish(world.core.config.payments.unknown_parameters)?;
    splits::check(&wanted.splits, wanted.merchant_amount, wanted.amount)?;
    let taken = || {
        world
            .payments
            .intents
            .iter()
            .any(|intent| intent.reference == wanted.reference)
    };
    let refuses = world.core.config.payments.duplicate_reference == DuplicateReference::Refuse;
    if refuses && wanted.reference.is_some() && taken() {
        return Err(fields.invalid("reference_id", "was used before"));
    }
    Ok(wanted)
}

pub(crate) fn method_types(fields: &mut Fields<'_>) -> Result<Option<Vec<String>>, Refusal> {
    let Some(types) = fields.optional_texts("payment_method_types")? else {
        return Ok(None);
    };
    if !types.iter().all(|kind| ["card", "bank"].contains(kind)) {
        return Err(fields.invalid("payment_method_types", "are of card, bank"));
    }
    Ok(Some(types.into_iter().map(str::to_owned).collect()))
}

/// Makes an intent, with its event.
pub(crate) fn open(world: &mut World, account: Uuid, wanted: Wanted, (external, unlisted_ms): (bool, u64)) -> Uuid {
    let (id, now) = (world.core.new_id(), world.core.now);
    let secret = world.core.new_id();
    let intent = Intent {
        id,
        account,
        client_secret: format!("pi_{}_secret_{}", id.simple(), secret.simple()),
        status: Status::Created,
        amount: wanted.amount,
        merchant_amount: wanted.merchant_amount,
        splits: wanted.splits,
        order_details: wanted.order_details,
        capture: wanted.capture,
        latest: None,
        external,
        method_types: wanted.method_types,
        reference: wanted.reference,
        user_fields: wanted.user_fields,
        cancellation_reason: None,
        description: wanted.description,
        created_at: now,
        updated_at: now,
        cancelled_at: None,
        captured_at: None,
    };
    let from = listed_from(world, unlisted_ms);
    world.payments.intents.insert(id, now, from, intent);
    told(world, id, "v2.payment_intent.created");
    id
}

/// Tells of an intent.
pub(crate) fn told(world: &mut World, id: Uuid, event: &'static str) {
    if let Some(shown) = world.payments.intents.get(id).map(|intent| intent.to_json(world)) {
        tell(world, event, shown);
    }
}

pub(crate) fn shown(world: &World, id: Uuid) -> Result<Json, Refusal> {
    let intent = world.payments.intents.get(id).map(|intent| intent.to_json(world));
    intent.ok_or_else(Refusal::internal)
}

pub(super) fn create(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let account = account(call)?;
    let wanted = read(world, &mut call.fields())?;
    let id = open(world, account, wanted, (false, call.unlisted_ms));
    shown(world, id)
}

pub(super) fn list_all(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let show = |intent: &Intent| intent.to_json(world);
    list(world, call, &world.payments.intents, |_| true, show)
}

pub(super) fn fetch(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    named(world, &world.payments.intents, call).map(|intent| intent.to_json(world))
}

/// Changes what has not happened yet: the amount and how it is paid before any payment, the rest until it is captured.
pub(super) fn patch(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let intent = named(world, &world.payments.intents, call)?;
    let (id, status) = (intent.id, intent.status);
    let mut fields = call.fields();
    let (amount, capture) = (
        optional_amount(&mut fields, "amount")?,
        fields.optional_bool("capture")?,
    );
    let merchant_amount = optional_amount(&mut fields, "merchant_amount")?.or(intent.merchant_amount);
    let splits = splits::read(world, &mut fields)?;
    let types = method_types(&mut fields)?;
    let (order_details, user_fields) = (
        any_object(&mut fields, "order_details")?,
        any_object(&mut fields, "user_fields")?,
    );
    let reference = owned(fields.optional_text("reference_id")?);
    let description = owned(fields.optional_text("description")?);
    fields.finish(world.core.config.payments.unknown_parameters)?;
    let before_payment = amount.is_some() || capture.is_some() || types.is_some();
    let allowed = status == Status::Created || status == Status::Uncaptured && !before_payment;
    if !allowed {
        return Err(Refusal::conflict(format!("the payment intent is {}", status.name())));
    }
    let amount = amount.unwrap_or(intent.amount);
    let splits = splits.unwrap_or_else(|| intent.splits.clone());
    splits::check(&splits, merchant_amount, amount)?;
    let now = world.core.now;
    if let Some(intent) = world.payments.intents.get_mut(id) {
        intent.amount = amount;
        intent.merchant_amount = merchant_amount;
        intent.splits = splits;
        intent.capture = capture.unwrap_or(intent.capture);
        intent.method_types = types.unwrap_or_else(|| intent.method_types.clone());
        intent.reference = reference.or_else(|| intent.reference.clone());
        intent.description = description.or_else(|| intent.description.clone());
        for (kept, given) in [
            (&mut intent.order_details, order_details),
            (&mut intent.user_fields, user_fields),
        ] {
            if !given.is_null() {
                *kept = given;
            }
        }
        intent.updated_at = now;
    }
    shown(world, id)
}

/// Cancels what was not captured, and voids what was authorised for it.
pub(super) fn cancel(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let id = own(world, call, false)?;
    let mut fields = call.fields();
    let reason = owned(fields.optional_one_of("cancellation_reason", &REASONS)?);
    fields.finish(world.core.config.payments.unknown_parameters)?;
    cancel_with(world, id, reason)
}

/// The intent of the path, if it is of this kind: the operations for money moved elsewhere are others.
pub(crate) fn own(world: &World, call: &Call, external: bool) -> Result<Uuid, Refusal> {
    let intent = named(world, &world.payments.intents, call)?;
    if intent.external == external {
        return Ok(intent.id);
    }
    let kind = if external { "is not external" } else { "is external" };
    Err(Refusal::conflict(format!("the payment intent {kind}")))
}

pub(crate) fn cancel_with(world: &mut World, id: Uuid, reason: Option<String>) -> Result<Json, Refusal> {
    let intent = world.payments.intents.get(id).ok_or_else(Refusal::internal)?;
    match intent.status {
        Status::Created | Status::Uncaptured => {}
        Status::Cancelled if world.core.config.payments.repeated_change == RepeatedChange::Same => {
            return shown(world, id);
        }
        status => return Err(Refusal::conflict(format!("the payment intent is {}", status.name()))),
    }
    if let Some(intent) = world.payments.intents.get_mut(id) {
        intent.cancellation_reason = reason;
    }
    charges::void(world, id, charges::Status::Voided).map_err(|_| Refusal::internal())?;
    shown(world, id)
}

/// One of seven columns is named in the reference; the times are taken too.
const COLUMNS: [&str; 3] = ["amount", "created_at", "updated_at"];

pub(super) fn search(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let mut fields = call.fields();
    let reference = fields.optional_text("reference_id")?;
    let status = fields.optional_one_of("status", &STATUSES)?;
    let settlement = fields.optional_one_of("settlement_status", &["settled", "unsettled"])?;
    let payment_status = fields.optional_one_of("payment_status", &charges::STATUSES)?;
    let has_refund = fields.optional_bool("has_refund")?;
    let (start, end) = (
        optional_time(&mut fields, "start_date")?,
        optional_time(&mut fields, "end_date")?,
    );
    let (min, max) = (bound(&mut fields, "amount_min")?, bound(&mut fields, "amount_max")?);
    let search = Search::read(world, &mut fields, &COLUMNS, "created_at", true)?;
    fields.finish(world.core.config.payments.unknown_parameters)?;
    let keep = |intent: &Intent| {
        let payment = intent.payment(world);
        let settled = payment.is_some_and(|payment| payment.settled_at.is_some());
        let refunded = || {
            world
                .payments
                .refunds
                .iter()
                .any(|refund| Some(refund.payment) == intent.latest)
        };
        reference.is_none_or(|wanted| intent.reference.as_deref() == Some(wanted))
            && status.is_none_or(|wanted| intent.status.name() == wanted)
            && settlement.is_none_or(|wanted| (wanted == "settled") == settled)
            && payment_status.is_none_or(|wanted| payment.is_some_and(|payment| payment.status.name() == wanted))
            && has_refund.is_none_or(|wanted| wanted == refunded())
            && start.is_none_or(|start| intent.created_at >= start)
            && end.is_none_or(|end| intent.created_at <= end)
            && min.is_none_or(|min| intent.amount >= min)
            && max.is_none_or(|max| intent.amount <= max)
    };
    let by = |intent: &Intent| match search.column {
        "amount" => intent.amount,
        "updated_at" => intent.updated_at.timestamp_millis(),
        _ => intent.created_at.timestamp_millis(),
    };
    let show = |intent: &Intent| intent.to_json(world);
    Ok(search.page(world, call, &world.payments.intents, keep, (by, show)))
}
