//! Webhook subscriptions, the test event with its answer at once, and sending an event again.

use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::CONTRACT;
use super::wire::{Window, of_plain, plain, plain_id, time};
use crate::simulator::config::SubscriptionSeed;
use crate::simulator::contract::Call;
use crate::simulator::core::fields::Fields;
use crate::simulator::core::notices::{DeliveryStatus, Subscription};
use crate::simulator::core::refusal::Refusal;
use crate::simulator::core::webhook;
use crate::simulator::world::World;

/// The event that is sent on request only.
pub(crate) const PING: &str = "test";

/// The event types, in their two spellings.
#[rustfmt::skip]
const EVENT_TYPES: [&str; 32] = [
    PING, "merchant_updated", "merchant_app_updated", "order_created", "order_updated", "refund_succeeded",
    "refund_failed", "refund.initiated", "refund.succeeded", "refund.failed", "payout_report_requested",
    "data_session_completed", "checkout_session_created", "checkout_session_updated", "checkout_session_expired",
    "checkout_session_completed", "payout_created", "payout_updated", "user_payout.initiated", "user_payout.failed",
    "user_payout.paid", "payout.initiated", "payout.failed", "payout.paid", "deposit.received", "return.initiated",
    "return.succeeded", "return.failed", "return.returned", "fx.initiated", "fx.succeeded", "fx.failed",
];

fn to_json(subscription: &Subscription, world: &World) -> Json {
    let events = match &subscription.events {
        Some(events) => events.clone(),
        None => EVENT_TYPES.iter().map(|name| (*name).to_owned()).collect(),
    };
    json!({
        "id": plain(subscription.id),
        "url": subscription.url,
        "events": events,
        "merchant": world.ivy.merchant_id,
        "merchantApp": world.ivy.shop_id,
        "createdAt": time(subscription.created_at),
        "updatedAt": time(subscription.updated_at),
    })
}

fn ours(world: &World) -> impl Iterator<Item = &Subscription> {
    let subscriptions = world.core.subscriptions.iter();
    subscriptions.filter(|subscription| subscription.provider.is(&CONTRACT) && !subscription.deleted)
}

/// The subscription that the request names.
fn named(world: &World, fields: &mut Fields<'_>) -> Result<Uuid, Refusal> {
    let what = "the webhook subscription";
    let id = plain_id(fields, what)?;
    let known = ours(world).any(|subscription| subscription.id == id);
    if known { Ok(id) } else { Err(Refusal::not_found(what)) }
}

fn url(world: &World, fields: &mut Fields<'_>, own: Option<Uuid>) -> Result<Option<String>, Refusal> {
    let Some(text) = fields.optional_text("url")? else {
        return Ok(None);
    };
    let url = webhook::check_url(text, world.core.config.ivy.webhooks.allow_http_subscriptions)?;
    if ours(world).any(|other| other.url == url && Some(other.id) != own) {
        return Err(Refusal::conflict("there is a subscription of this url already"));
    }
    Ok(Some(url))
}

fn events(fields: &mut Fields<'_>) -> Result<Option<Vec<String>>, Refusal> {
    let Some(events) = fields.optional_texts("events")? else {
        return Ok(None);
    };
    if !events.iter().all(|name| EVENT_TYPES.contains(name)) {
        return Err(fields.invalid("events", &format!("are of {}", EVENT_TYPES.join(", "))));
    }
    Ok(Some(events.into_iter().map(str::to_owned).collect()))
}

fn shown(world: &World, id: Uuid) -> Result<Json, Refusal> {
    let subscription = world.core.subscriptions.get(id);
    let shown = subscription.map(|subscription| to_json(subscription, world));
    shown.ok_or_else(|| Refusal::not_found("the webhook subscription"))
}

/// Without events it is for all of them.
pub(super) fn create(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let mut fields = call.fields();
    let url = url(world, &mut fields, None)?.ok_or_else(|| Refusal::parameter_missing("url"))?;
    let events = events(&mut fields)?.unwrap_or_else(|| vec!["*".to_owned()]);
    fields.finish(world.core.config.ivy.unknown_parameters)?;
    let seed = SubscriptionSeed {
        url,
        events,
        secret: None,
    };
    let id = world
        .core
        .subscribe(&CONTRACT, &seed)
        .map_err(|_| Refusal::internal())?;
    shown(world, id)
}

pub(super) fn update(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let mut fields = call.fields();
    let id = named(world, &mut fields)?;
    let url = url(world, &mut fields, Some(id))?;
    let events = events(&mut fields)?;
    fields.finish(world.core.config.ivy.unknown_parameters)?;
    let now = world.core.now;
    if let Some(subscription) = world.core.subscriptions.get_mut(id) {
        subscription.url = url.unwrap_or_else(|| subscription.url.clone());
        subscription.events = events.or_else(|| subscription.events.clone());
        subscription.updated_at = now;
    }
    shown(world, id)
}

/// In the order they were made, whatever the order of other lists.
pub(super) fn list(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let mut fields = call.fields();
    let window = Window::read(&world.core, &mut fields)?;
    fields.finish(world.core.config.ivy.unknown_parameters)?;
    let all = ours(world).map(|subscription| to_json(subscription, world));
    Ok(window.page("items", all.collect()))
}

pub(super) fn delete(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let mut fields = call.fields();
    let id = named(world, &mut fields)?;
    fields.finish(world.core.config.ivy.unknown_parameters)?;
    if let Some(subscription) = world.core.subscriptions.get_mut(id) {
        subscription.deleted = true;
    }
    Ok(json!({ "success": true }))
}

/// Puts the test event at the end of the outbox; [`pinged`] says how it went.
pub(super) fn ping(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let mut fields = call.fields();
    let subscription = named(world, &mut fields)?;
    fields.finish(world.core.config.ivy.unknown_parameters)?;
    let date = time(world.core.now);
    let payload = json!({ "test": true, "date": date });
    let event = world.core.record_event(&CONTRACT, PING, payload);
    let core = &mut world.core;
    let delivery = core.new_delivery(&CONTRACT, event, subscription, DeliveryStatus::Pending);
    core.send(delivery, false);
    Ok(json!({ "id": plain(event), "date": date }))
}

/// The answer to a ping, once the receiver has answered.
pub(super) fn pinged(mut answer: Json, status: Option<u16>) -> Json {
    answer["success"] = json!(status == Some(200));
    answer["statusCode"] = json!(status.unwrap_or_default());
    answer["response"] = json!("");
    answer
}

/// Sends an event again to everybody who is subscribed to its kind.
pub(super) fn trigger(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let mut fields = call.fields();
    let text = fields.bounded("id", 1, 255)?;
    fields.finish(world.core.config.ivy.unknown_parameters)?;
    let event = of_plain(text).and_then(|id| world.core.events.get(id));
    let event = event.filter(|event| event.provider.is(&CONTRACT));
    let event = event.ok_or_else(|| Refusal::not_found("the webhook"))?;
    let (id, kind) = (event.id, event.event_type);
    let wanting: Vec<Uuid> = ours(world)
        .filter(|subscription| subscription.wants(kind))
        .map(|subscription| subscription.id)
        .collect();
    for subscription in wanting {
        world.core.deliver_again(&CONTRACT, id, subscription);
    }
    Ok(json!({ "success": true }))
}
