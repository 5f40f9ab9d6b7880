//! Webhook subscriptions and the test event.

use axum::http::Uri;
use axum::http::uri::Scheme;
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::Call;
use crate::simulator::config::SubscriptionSeed;
use crate::simulator::augustus::error::ApiError;
use crate::simulator::core::notices::{DeliveryStatus, EVENT_TYPES, Event, PING, Subscription};
use crate::simulator::augustus::page::page;
use crate::simulator::augustus::resources::stamp;
use crate::simulator::state::{Due, World};

fn find(world: &World, call: &Call) -> Result<Uuid, ApiError> {
    let id = call.id()?;
    match world.subscriptions.get(id) {
        Some(subscription) if !subscription.deleted => Ok(id),
        _ => Err(ApiError::not_found("the webhook subscription")),
    }
}

fn shown(world: &World, id: Uuid) -> Result<Json, ApiError> {
    let subscription = world.subscriptions.get(id).map(Subscription::to_json);
    subscription.ok_or_else(|| ApiError::not_found("the webhook subscription"))
}

pub(super) fn list(world: &mut World, call: &Call) -> Result<Json, ApiError> {
    let keep = |subscription: &Subscription| !subscription.deleted;
    page(world, call, &world.subscriptions, keep, Subscription::to_json)
}

pub(super) fn retrieve(world: &mut World, call: &Call) -> Result<Json, ApiError> {
    let id = find(world, call)?;
    shown(world, id)
}

pub(super) fn create(world: &mut World, call: &Call) -> Result<Json, ApiError> {
    let mut fields = call.fields();
    let url = check_url(world, fields.text("url")?)?;
    let events = fields.optional_texts("events")?;
    let events = check_events(&events.ok_or_else(|| ApiError::parameter_missing("events"))?)?;
    fields.finish(world.config.unknown_parameters)?;
    let seed = SubscriptionSeed {
        url,
        events,
        secret: None,
    };
    let id = world.subscribe(&seed).map_err(|_| ApiError::internal())?;
    shown(world, id)
}

pub(super) fn update(world: &mut World, call: &Call) -> Result<Json, ApiError> {
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
    fields.finish(world.config.unknown_parameters)?;
    let now = world.now;
    if let Some(subscription) = world.subscriptions.get_mut(id) {
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
pub(super) fn delete(world: &mut World, call: &Call) -> Result<Json, ApiError> {
    let id = find(world, call)?;
    if let Some(subscription) = world.subscriptions.get_mut(id) {
        subscription.deleted = true;
    }
    shown(world, id)
}

/// Goes to this subscription only, and does not count for its health.
pub(super) fn send_test_event(world: &mut World, call: &Call) -> Result<Json, ApiError> {
    let subscription = find(world, call)?;
    let data = json!({
        "id": world.new_id(),
        "type": "ping",
        "merchant_id": world.merchant_id,
        "dispatched_at": stamp(world.now),
        "message": "This is a test event.",
    });
    let event = world.record_event(PING, data);
    let delivery = world.new_delivery(event, subscription, DeliveryStatus::Pending);
    world.plan(0, Due::Deliver(delivery));
    world
        .events
        .get(event)
        .map(Event::to_json)
        .ok_or_else(ApiError::internal)
}

fn check_url(world: &World, url: &str) -> Result<String, ApiError> {
    let plain_allowed = world.config.webhooks.allow_http_subscriptions;
    let can_be_posted_to = url.parse::<Uri>().is_ok_and(|uri| {
        let scheme_allowed =
            uri.scheme() == Some(&Scheme::HTTPS) || plain_allowed && uri.scheme() == Some(&Scheme::HTTP);
        // The port is read late: one out of range is no error of the parser.
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        let port_given = authority.rsplit_once(':').filter(|(_, port)| !port.contains(']'));
        let port_possible = uri.port_u16().is_some() || port_given.is_none();
        let host_given = uri.host().is_some_and(|host| !host.is_empty());
        scheme_allowed && host_given && port_possible && !authority.contains('@')
    });
    // A fragment is never sent; the parser leaves it out.
    if can_be_posted_to && !url.contains('#') {
        return Ok(url.to_owned());
    }
    Err(ApiError::parameter_invalid(
        "url",
        "url is an https URI, without user or fragment",
    ))
}

fn check_events(events: &[&str]) -> Result<Vec<String>, ApiError> {
    let all = events == ["*"];
    let known = |name: &&str| EVENT_TYPES.contains(name) && *name != PING;
    if all || !events.is_empty() && events.iter().all(known) {
        return Ok(events.iter().map(|name| (*name).to_owned()).collect());
    }
    let message = format!("events is [\"*\"] or some of {}", EVENT_TYPES.join(", "));
    Err(ApiError::parameter_invalid("events", message))
}
