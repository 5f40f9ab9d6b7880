//! The webhooks of a provider: signature, envelope, types of event, subscriptions, and how missed ones are found.

use std::fmt;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::map::Resource;
use crate::connector::signature::Scheme;

/// The webhooks of a provider.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookTable {
    /// How they are signed.
    pub signature: Scheme,
    /// Where a delivery says what. A provider in the middle of a change has more than one form: the first of which
    /// type and payload are there is the one that counts.
    #[serde(rename = "envelope", deserialize_with = "one_or_several")]
    pub envelopes: Vec<Envelope>,
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

    /// The type of this name.
    pub fn event(&self, name: &str) -> Option<&EventType> {
        self.events.iter().find(|event| event.name == name)
    }

    /// What the provider itself calls the type of this name.
    pub fn sent_as<'a>(&'a self, name: &'a str) -> &'a str {
        self.event(name).and_then(|event| event.of.as_deref()).unwrap_or(name)
    }

    /// Under which names an event comes that the provider calls so: this one, and those that are made of it.
    pub fn heard_as<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let made_of_it = self
            .events
            .iter()
            .filter(move |event| event.of.as_deref() == Some(name));
        std::iter::once(name).chain(made_of_it.map(|event| event.name.as_str()))
    }

    /// The kind of resource whose change an event tells, if the table says so.
    pub fn about<'a>(&'a self, event: &'a EventType) -> Option<&'a str> {
        let own = event.resource.as_deref();
        own.or_else(|| self.event(event.of.as_deref()?)?.resource.as_deref())
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
    /// What the provider calls it, where one type there is several here: `status` tells them apart.
    pub of: Option<String>,
    /// The kind of resource that its payload shows.
    pub resource: Option<String>,
    /// Where that resource stands then: one of these.
    #[serde(default)]
    pub status: Vec<String>,
}

impl EventType {
    /// How late in the life of a resource it is that this is told; nothing if it may be told more than once.
    pub fn rank(&self, resource: &Resource) -> Option<usize> {
        resource.rank_of(self.status.first()?)
    }
}

/// One table, or a list of them.
fn one_or_several<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Envelope>, D::Error> {
    struct Tables;
    impl<'de> Visitor<'de> for Tables {
        type Value = Vec<Envelope>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a table, or a list of them")
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
            Envelope::deserialize(MapAccessDeserializer::new(map)).map(|envelope| vec![envelope])
        }

        fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Self::Value, A::Error> {
            Vec::deserialize(SeqAccessDeserializer::new(items))
        }
    }
    deserializer.deserialize_any(Tables)
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
