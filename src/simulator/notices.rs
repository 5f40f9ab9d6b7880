//! Events, subscriptions and deliveries as the provider shows them. Plain data and its JSON form.

use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::resources::stamp;
use crate::base::clock::Instant;
use crate::base::secret::Secret;

#[derive(Debug)]
pub(super) struct Event {
    pub(super) id: Uuid,
    pub(super) event_type: &'static str,
    pub(super) api_version: String,
    pub(super) data: Json,
    pub(super) created_at: Instant,
}

impl Event {
    pub(super) fn to_json(&self) -> Json {
        json!({
            "id": self.id,
            "type": "event",
            "event_type": self.event_type,
            "api_version": self.api_version,
            "created_at": stamp(self.created_at),
            "data": self.data,
        })
    }

    /// The form that is pushed: the same facts under other names.
    pub(super) fn envelope(&self) -> Json {
        json!({
            "id": self.id,
            "type": self.event_type,
            "api_version": self.api_version,
            "payload": self.data,
            "date": stamp(self.created_at),
        })
    }
}

#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) id: Uuid,
    pub(super) url: String,
    /// `None` is every event, later ones too.
    pub(super) events: Option<Vec<String>>,
    pub(super) secret: Secret,
    pub(super) created_at: Instant,
    pub(super) updated_at: Instant,
    pub(super) deleted: bool,
    pub(super) failures_in_a_row: u32,
}

impl Subscription {
    pub(super) fn to_json(&self) -> Json {
        let events = match &self.events {
            Some(events) => events.clone(),
            None => EVENT_TYPES
                .iter()
                .filter(|name| **name != PING)
                .map(|name| (*name).to_owned())
                .collect(),
        };
        json!({
            "id": self.id,
            "type": "webhook_subscription",
            "url": self.url,
            "events": events,
            "created_at": stamp(self.created_at),
            "updated_at": stamp(self.updated_at),
        })
    }

    pub(super) fn wants(&self, event_type: &str) -> bool {
        !self.deleted
            && self
                .events
                .as_ref()
                .is_none_or(|events| events.iter().any(|name| name == event_type))
    }
}

/// The event that is only ever triggered by hand.
pub(super) const PING: &str = "ping.test";

/// The documented event types.
pub(super) const EVENT_TYPES: [&str; 13] = [
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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DeliveryStatus {
    Pending,
    Processing,
    Delivered,
    Failed,
    Ignored,
}

impl DeliveryStatus {
    pub(super) const NAMES: [&str; 5] = ["pending", "processing", "delivered", "failed", "ignored"];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Processing => "processing",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::Ignored => "ignored",
        }
    }
}

#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) attempted_at: Instant,
    pub(super) delivered: bool,
    /// 0 when no answer came: the field is documented as never null.
    pub(super) status_code: u16,
}

#[derive(Debug)]
pub(super) struct Delivery {
    pub(super) id: Uuid,
    pub(super) event_id: Uuid,
    pub(super) subscription_id: Uuid,
    pub(super) status: DeliveryStatus,
    pub(super) attempts: Vec<Attempt>,
    pub(super) created_at: Instant,
    pub(super) updated_at: Instant,
    /// Retries used up.
    pub(super) retries: usize,
}

impl Delivery {
    pub(super) fn to_json(&self) -> Json {
        let attempts: Vec<Json> = self
            .attempts
            .iter()
            .map(|attempt| {
                json!({
                    "attempted_at": stamp(attempt.attempted_at),
                    "status": if attempt.delivered { "delivered" } else { "failed" },
                    "status_code": attempt.status_code,
                })
            })
            .collect();
        json!({
            "id": self.id,
            "type": "webhook_delivery",
            "event_id": self.event_id,
            "subscription_id": self.subscription_id,
            "status": self.status.name(),
            "attempts": attempts,
            "created_at": stamp(self.created_at),
            "updated_at": stamp(self.updated_at),
        })
    }
}
