//! Webhook subscriptions and the test event.

use serde_json::{Value as Json, json};
use uuid::Uuid;

use crate::simulator::augustus::CONTRACT;
use crate::simulator::augustus::notices::{self, EVENT_TYPES, PING};
use crate::simulator::augustus::page::page;
use crate::simulator::augustus::resources::stamp;
use crate::simulator::config::SubscriptionSeed;
use crate::simulator::contract::Call;
use crate::simulator::core::notices::Subscription;
use crate::simulator::core::refusal::Refusal;
use crate::simulator::core::webhook;
use crate::simulator::world::World;

fn find(world: &World, call: &Call) -> Result<Uuid, Refusal> {
    let id = call.id()?;
    match world.core.subscriptions.get(id) {
        Some(subscription) if subscription.provider.is(&CONTRACT) && !subscription.deleted => Ok(id),
        _ => Err(Refusal::not_found("the webhook subscription")),
    }
}

fn shown(world: &World, id: Uuid) -> Result<Json, Refusal> {
    let subscription = world.core.subscriptions.get(id).map(notices::subscription);
    subscription.ok_or_else(|| Refusal::not_found("the webhook subscription"))
}

pub(super) fn list(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let keep = |subscription: &Subscription| subscription.provider.is(&CONTRACT) && !subscription.deleted;
    page(world, call, &world.core.subscriptions, keep, notices::subscription)
}

pub(super) fn retrieve(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let id = find(world, call)?;
    shown(world, id)
}

pub(super) fn create(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let mut fields = call.fields();
    let url = check_url(world, fields.text("url")?)?;
    let events = fields.optional_texts("events")?;
    let events = check_events(&events.ok_or_else(|| Refusal::parameter_missing("events"))?)?;
    fields.finish(world.core.config.unknown_parameters)?;
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
    let id = find(world, call)?;
    let mut fields = call.fields();
    let url = fields
        .optional_text("url")?
        .map(|url| check_url(world, url))
        .transpose()?;
    let events = fields
        .optional_texts("events")?
        .map(|events| check_events(&events))
        .transpose()?;
    fields.finish(world.core.config.unknown_parameters)?;
    let now = world.core.now;
    if let Some(subscription) = world.core.subscriptions.get_mut(id) {
        if let Some(url) = url {
            subscription.url = url;
        }
        if let Some(events) = events {
            subscription.events = (!events.iter().any(|name| name == "*")).then_some(events);
        }
        subscription.updated_at = now;
    }
    shown(world, id)
}

/// 200 with what was deleted, not 204.
pub(super) fn delete(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let id = find(world, call)?;
    if let Some(subscription) = world.core.subscriptions.get_mut(id) {
        subscription.deleted = true;
    }
    shown(world, id)
}

/// Goes to this subscription only, and does not count for its health.
pub(super) fn send_test_event(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let subscription = find(world, call)?;
    let data = json!({
        "id": world.core.new_id(),
        "type": "ping",
        "merchant_id": world.augustus.merchant_id,
        "dispatched_at": stamp(world.core.now),
        "message": "This is a test event.",
    });
    let event = world.core.record_event(&CONTRACT, PING, data);
    world.core.deliver_again(&CONTRACT, event, subscription);
    world
        .core
        .events
        .get(event)
        .map(notices::event)
        .ok_or_else(Refusal::internal)
}

fn check_url(world: &World, url: &str) -> Result<String, Refusal> {
    webhook::check_url(url, world.core.config.webhooks.allow_http_subscriptions)
}

fn check_events(events: &[&str]) -> Result<Vec<String>, Refusal> {
    let all = events == ["*"];
    let known = |name: &&str| EVENT_TYPES.contains(name) && *name != PING;
    if all || !events.is_empty() && events.iter().all(known) {
        return Ok(events.iter().map(|name| (*name).to_owned()).collect());
    }
    let message = format!("events is [\"*\"] or some of {}", EVENT_TYPES.join(", "));
    Err(Refusal::parameter_invalid("events", message))
}
