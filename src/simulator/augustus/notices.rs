//! Events, subscriptions and deliveries as the provider shows them, and its signature.

use serde_json::{Value as Json, json};

use super::auth::LATEST_VERSION;
use super::resources::stamp;
use crate::base::secret::Secret;
use crate::connector::signature::{self, Scheme};
use crate::simulator::core::notices::{Delivery, Event, Subscription};

/// The event that is only ever triggered by hand.
pub(crate) const PING: &str = "ping.test";

/// The documented event types.
pub(crate) const EVENT_TYPES: [&str; 13] = [
    "payout.created",
    "payout.initiated",
    "payout.paid",
    "payout.failed",
    "return.initiated",
    "return.paid",
    "return.failed",
    "return.returned",
    "deposit.received",
    "conversion.created",
    "conversion.completed",
    "conversion.failed",
    PING,
];

pub(crate) fn event(event: &Event) -> Json {
    json!({
        "id": event.id,
        "type": "event",
        "event_type": event.event_type,
        "api_version": LATEST_VERSION,
        "created_at": stamp(event.created_at),
        "data": event.data,
    })
}

/// The form that is pushed: the same facts under other names.
pub(crate) fn envelope(event: &Event) -> Json {
    json!({
        "id": event.id,
        "type": event.event_type,
        "api_version": LATEST_VERSION,
        "payload": event.data,
        "date": stamp(event.created_at),
    })
}

pub(crate) fn subscription(subscription: &Subscription) -> Json {
    let events = match &subscription.events {
        Some(events) => events.clone(),
        None => EVENT_TYPES
            .iter()
            .filter(|name| **name != PING)
            .map(|name| (*name).to_owned())
            .collect(),
    };
    json!({
        "id": subscription.id,
        "type": "webhook_subscription",
        "url": subscription.url,
        "events": events,
        "created_at": stamp(subscription.created_at),
        "updated_at": stamp(subscription.updated_at),
    })
}

pub(crate) fn delivery(delivery: &Delivery) -> Json {
    let attempts: Vec<Json> = delivery
        .attempts
        .iter()
        .map(|attempt| {
            json!({
                "attempted_at": stamp(attempt.attempted_at),
                "status": if attempt.delivered { "delivered" } else { "failed" },
                // Documented as never null: 0 where no answer came.
                "status_code": attempt.status_code,
            })
        })
        .collect();
    json!({
        "id": delivery.id,
        "type": "webhook_delivery",
        "event_id": delivery.event_id,
        "subscription_id": delivery.subscription_id,
        "status": delivery.status.name(),
        "attempts": attempts,
        "created_at": stamp(delivery.created_at),
        "updated_at": stamp(delivery.updated_at),
    })
}

/// Signed as Standard Webhooks says, each attempt with its own time.
pub(crate) fn sign(secret: &Secret, id: &str, at: i64, body: &[u8]) -> Option<Vec<(String, String)>> {
    signature::sign(&Scheme::standard(), secret, id, at, body).ok()
}

/// Whether deliveries can be signed with this secret.
pub(crate) fn check_secret(secret: &str) -> Result<(), String> {
    let checked = signature::check_secret(&Scheme::standard(), &Secret::new(secret.to_owned()));
    checked.map_err(|error| error.to_string())
}
