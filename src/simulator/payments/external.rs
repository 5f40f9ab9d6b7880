//! Payments taken by another gateway: a record that moves nothing by itself and waits to be matched with the
//! money that comes. What the gateway said has to be told, or nothing ever matches.

use serde_json::Value as Json;
use uuid::Uuid;

use super::books::{self, Source, Way};
use super::charges::{self, Payment};
use super::config::MethodKind;
use super::intents;
use super::refunds;
use super::wire::{Cents, Entity as _, account, any_object, bound, find, owned};
use crate::simulator::contract::Call;
use crate::simulator::core::failure::Ending;
use crate::simulator::core::fields::Fields;
use crate::simulator::core::ledger::Place;
use crate::simulator::core::refusal::Refusal;
use crate::simulator::core::timeline::StepError;
use crate::simulator::world::World;

fn required_object(fields: &mut Fields<'_>, field: &'static str) -> Result<Json, Refusal> {
    match any_object(fields, field)? {
        Json::Null => Err(Refusal::parameter_missing(fields.name(field))),
        object => Ok(object),
    }
}

pub(super) fn create(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let account = account(call)?;
    let mut fields = call.fields();
    let mut open = fields.object("payment_intent")?;
    let intent = intents::read(world, &mut open)?;
    let method_shown = required_object(&mut fields, "payment_method")?;
    let gateway = required_object(&mut fields, "gateway_response")?;
    let card_present = fields.optional_bool("card_present")?.unwrap_or_default();
    fields.finish(world.core.config.payments.unknown_parameters)?;
    let intent = intents::open(world, account, intent, (true, call.unlisted_ms));
    let text = |name: &str| gateway.get(name).and_then(Json::as_str);
    let wanted = charges::Wanted {
        kind: MethodKind::Card,
        method: None,
        method_shown,
        external: true,
        card_present,
        auth_code: owned(text("auth_code")),
        retrieval_reference: retrieval_reference(&gateway),
        reference: None,
        user_fields: Json::Null,
        description: None,
        order_details: Json::Null,
        ending: Ending::Good,
    };
    let id = charges::put(world, call, intent, wanted)?;
    charges::authorise(world, id);
    let at_once = world.payments.intents.get(intent).is_some_and(|intent| intent.capture);
    if at_once {
        charges::capture(world, id, None).map_err(|_| Refusal::internal())?;
    }
    intents::shown(world, intent)
}

/// What a settlement is matched by; without the code and the time beside it, it is none.
fn retrieval_reference(gateway: &Json) -> Option<String> {
    let text = |name: &str| gateway.get(name).and_then(Json::as_str).filter(|text| !text.is_empty());
    text("auth_code")?;
    chrono::DateTime::parse_from_rfc3339(text("created_at")?).ok()?;
    owned(text("retrieval_reference"))
}

pub(super) fn cancel(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let id = intents::own(world, call, true)?;
    let mut fields = call.fields();
    any_object(&mut fields, "gateway_void_response")?;
    let reason = owned(fields.optional_one_of("cancellation_reason", &intents::REASONS)?);
    fields.finish(world.core.config.payments.unknown_parameters)?;
    intents::cancel_with(world, id, reason)
}

pub(super) fn capture(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let id = intents::own(world, call, true)?;
    let mut fields = call.fields();
    let amount = bound(&mut fields, "amount")?;
    required_object(&mut fields, "gateway_capture_response")?;
    if amount.is_some_and(|amount| amount < 0) {
        return Err(fields.invalid("amount", "is not below zero"));
    }
    fields.finish(world.core.config.payments.unknown_parameters)?;
    charges::capture_with(world, id, amount, None)
}

pub(super) fn refund(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let mut fields = call.fields();
    let text = fields.text("payment_intent_id")?;
    let refund_request = fields.optional_object("refund_request")?;
    required_object(&mut fields, "gateway_response")?;
    fields.finish(world.core.config.payments.unknown_parameters)?;
    let intent = find(world, &world.payments.intents, call.caller, text)?;
    if !intent.external {
        return Err(Refusal::conflict("the payment intent is not external"));
    }
    let (id, none) = (intent.id, serde_json::Map::new());
    let mut refund = refund_request.unwrap_or_else(|| Fields::new(&none));
    refunds::make(world, call, id, &mut refund)
}

// --- settlement ---------------------------------------------------------------------------------

/// Plans the settlement of a payment or refund of another gateway.
pub(crate) fn plan(world: &mut World, id: Uuid) {
    if let Some(delay_ms) = world.core.config.payments.lifecycle.settlement_ms {
        world.core.plan_step(delay_ms, id, settles);
    }
}

/// The money of another gateway comes, or is taken back. Two records of one retrieval are one payment: only the
/// first is ever matched.
pub(crate) fn settles(world: &mut World, id: Uuid) -> Result<(), StepError> {
    if let Some(refund) = world.payments.refunds.get(id) {
        let (account, amount) = (refund.account(), refund.amount);
        if !refund.external || refund.settled_at.is_some() {
            return Err(StepError::Illegal("settled"));
        }
        let source = Source::of("payment_refund", refund, "Refund at another gateway");
        let entry = (Way::To(Place::Payer), amount);
        books::enter_settled(world, account, entry, (source, "refund.settled"))?;
        refunds::settled(world, id);
        return Ok(());
    }
    let payment = world.payments.payments.get(id).ok_or(StepError::NotFound)?;
    if !payment.external || payment.settled_at.is_some() || payment.amounts.captured == 0 {
        return Err(StepError::Illegal("settled"));
    }
    if !is_matched(world, payment) {
        return Err(StepError::Illegal("unmatched"));
    }
    let (account, amount): (Uuid, Cents) = (payment.account, payment.amounts.captured);
    let source = Source::of("payment", payment, "Payment at another gateway");
    let entry = (Way::From(Place::Payer), amount);
    books::enter_settled(world, account, entry, (source, "payment.settled"))?;
    charges::settled(world, id)
}

fn is_matched(world: &World, payment: &Payment) -> bool {
    let first = |other: &&Payment| {
        other.external && other.account == payment.account && other.retrieval_reference == payment.retrieval_reference
    };
    let reference = payment.retrieval_reference.as_ref();
    let first = reference.and_then(|_| world.payments.payments.iter().find(first));
    first.is_some_and(|first| first.id == payment.id)
}
