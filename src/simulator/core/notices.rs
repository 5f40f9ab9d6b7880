//! Events, subscriptions and deliveries as the provider shows them. Plain data and its JSON form.

use serde_json::{Value as Json, json};
use uuid::Uuid;

use crate::simulator::augustus::resources::stamp;
use crate::base::clock::Instant;
use crate::base::secret::Secret;

#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) id: Uuid,
    pub(crate) event_type: &'static str,
    pub(crate) api_version: String,
    pub(crate) data: Json,
    pub(crate) created_at: Instant,
}

impl Event {
    pub(crate) fn to_json(&self) -> Json {
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
    pub(crate) fn envelope(&self) -> Json {
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
pub(crate) struct Subscription {
    pub(crate) id: Uuid,
    pub(crate) url: String,
    /// `None` is every event, later ones too.
    pub(crate) events: Option<Vec<String>>,
    pub(crate) secret: Secret,
    pub(crate) created_at: Instant,
    pub(crate) updated_at: Instant,
    pub(crate) deleted: bool,
    pub(crate) failures_in_a_row: u32,
}

impl Subscription {
    pub(crate) fn to_json(&self) -> Json {
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

    pub(crate) fn wants(&self, event_type: &str) -> bool {
        !self.deleted
            && self
                .events
                .as_ref()
                .is_none_or(|events| events.iter().any(|name| name == event_type))
    }
}

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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DeliveryStatus {
    Pending,
    Processing,
    Delivered,
    Failed,
    Ignored,
}

impl DeliveryStatus {
    pub(crate) const NAMES: [&str; 5] = ["pending", "processing", "delivered", "failed", "ignored"];

    pub(crate) fn name(self) -> &'static str {
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
pub(crate) struct Attempt {
    pub(crate) attempted_at: Instant,
    pub(crate) delivered: bool,
    /// 0 when no answer came: the field is documented as never null.
    pub(crate) status_code: u16,
}

#[derive(Debug)]
pub(crate) struct Delivery {
    pub(crate) id: Uuid,
    pub(crate) event_id: Uuid,
    pub(crate) subscription_id: Uuid,
    pub(crate) status: DeliveryStatus,
    pub(crate) attempts: Vec<Attempt>,
    pub(crate) created_at: Instant,
    pub(crate) updated_at: Instant,
    /// Retries used up.
    pub(crate) retries: usize,
}

impl Delivery {
    pub(crate) fn to_json(&self) -> Json {
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
