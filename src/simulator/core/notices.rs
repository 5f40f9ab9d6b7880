//! Events, subscriptions and deliveries of every provider. Plain data: how they look is the contract's.

use serde_json::Value as Json;
use uuid::Uuid;

use crate::base::clock::Instant;
use crate::base::secret::Secret;
use crate::simulator::contract::Contract;

/// Something that happened at a provider.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) id: Uuid,
    pub(crate) provider: &'static Contract,
    pub(crate) event_type: &'static str,
    pub(crate) data: Json,
    pub(crate) created_at: Instant,
}

/// Who wants to be told.
#[derive(Debug)]
pub(crate) struct Subscription {
    pub(crate) id: Uuid,
    pub(crate) provider: &'static Contract,
    pub(crate) url: String,
    /// `None` is every event, later ones too.
    pub(crate) events: Option<Vec<String>>,
    pub(crate) secret: Secret,
    pub(crate) created_at: Instant,
    pub(crate) updated_at: Instant,
    pub(crate) deleted: bool,
    pub(crate) failures_in_a_row: u32,
    /// Since when every attempt has failed (elapsed time).
    pub(crate) failing_since: Option<std::time::Duration>,
}

impl Subscription {
    pub(crate) fn wants(&self, event_type: &str) -> bool {
        !self.deleted
            && self
                .events
                .as_ref()
                .is_none_or(|events| events.iter().any(|name| name == event_type))
    }
}

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
    /// 0 when no answer came.
    pub(crate) status_code: u16,
}

/// An event on its way to one subscription.
#[derive(Debug)]
pub(crate) struct Delivery {
    pub(crate) id: Uuid,
    pub(crate) provider: &'static Contract,
    pub(crate) event_id: Uuid,
    pub(crate) subscription_id: Uuid,
    pub(crate) status: DeliveryStatus,
    pub(crate) attempts: Vec<Attempt>,
    pub(crate) created_at: Instant,
    pub(crate) updated_at: Instant,
    /// Retries used up.
    pub(crate) retries: usize,
}
