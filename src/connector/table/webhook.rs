//! The webhooks of a provider: signature, envelope, types of event, subscriptions, and how missed ones are found.

use serde::Deserialize;

use crate::connector::signature::Scheme;

/// The webhooks of a provider.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookTable {
    /// How they are signed.
    pub signature: Scheme,
    /// Where a delivery says what.
    pub envelope: Envelope,
    /// The types of event known so far; others may come.
    #[serde(rename = "event")]
    pub events: Vec<EventType>,
    /// How they are asked for, if there are calls for it.
    pub subscriptions: Option<Subscriptions>,
}

/// The calls by which a provider is told where to send webhooks, by the names of their endpoints. Their parameters are
/// called `url`, `events` and `id`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subscriptions {
    /// Lists them.
    pub list: String,
    /// Makes one.
    pub create: String,
    /// Changes the address or the events of one.
    pub update: Option<String>,
    /// Ends one.
    pub delete: Option<String>,
    /// Has a test event sent to one; its answer is the event as listed.
    pub test: Option<String>,
    /// The type of that event, which cannot be subscribed to.
    pub test_event: Option<String>,
    /// What stands for all types.
    pub all: Option<String>,
    /// Where in the answer to `create` the secret stands, if anywhere: a pointer.
    pub secret: Option<String>,
    /// Where a person finds the secret otherwise: the end of a sentence.
    pub secret_shown: String,
}

impl WebhookTable {
    /// The names of the known types.
    pub fn event_names(&self) -> impl Iterator<Item = &str> {
        self.events.iter().map(|event| event.name.as_str())
    }
}

/// A type of event.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventType {
    /// Its name: `payout.paid`.
    pub name: String,
    /// One sentence for people.
    pub doc: String,
}

/// Where an event says what, as JSON pointers.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Envelope {
    /// The provider's id of the event. A webhook may have none: then its message is told from others by what
    /// [`crate::connector::signature::message_id`] says.
    pub id: Option<String>,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// The resource.
    pub payload: String,
    /// When it happened.
    pub date: Option<String>,
    /// The id of the resource.
    pub subject: Option<String>,
}

/// How missed webhooks are found.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backfill {
    /// The endpoint that lists events.
    pub endpoint: String,
    /// Its parameter that takes the earliest time.
    pub since: String,
    /// For how long the provider keeps events.
    pub window_days: u32,
    /// Where an item of the list says what.
    pub envelope: Envelope,
}
