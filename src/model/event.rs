//! Deliveries and events: what arrived, and the fact that it proves.
//!
//! A *delivery* is one HTTP arrival as received. An *event* is a verified, deduplicated fact; it starts
//! runs or wakes them. Pure data; verification is `connector::signature`, admission the store's.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::payload::Payload;
use super::run::EventMark;
use crate::base::clock::Instant;
use crate::base::guard::{Guard, holds};
use crate::base::ids::EventId;

/// What an event has, as scripts and conditions see it.
pub const EVENT_KEYS: [&str; 6] = ["id", "type", "connection", "occurred_at", "received_at", "payload"];

/// One HTTP arrival, before anything about it is believed.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The connection named in the path.
    pub connection: String,
    /// Who sent it, as far as an address tells.
    pub sender: IpAddr,
    /// Header names in lower case, with their values as received.
    pub headers: Vec<(String, String)>,
    /// The raw bytes, over which the signature is computed.
    pub body: bytes::Bytes,
    /// When its last byte arrived.
    pub received_at: Instant,
}

impl Delivery {
    /// The value of the first header of this name, given in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }
}

/// A verified fact from outside.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Our id.
    pub id: EventId,
    /// The connection it came through.
    pub connection: String,
    /// The provider's id; unique within the connection for ever.
    pub provider_id: String,
    /// The provider's name of what happened: `deposit.received`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The id of the resource it is about, when the connector's table says where to find it.
    pub subject: Option<String>,
    /// When the provider says it happened.
    pub occurred_at: Option<Instant>,
    /// When we received it.
    pub received_at: Instant,
    /// The resource as the provider sent it.
    pub payload: Payload,
}

impl Event {
    /// The event as scripts see it: `event.type`, `event.id`, `event.connection`, `event.payload`.
    pub fn as_document(&self) -> Json {
        let time = |at| Json::String(super::value::time_text(at));
        let entries = [
            ("id", Json::String(self.provider_id.clone())),
            ("type", Json::String(self.kind.clone())),
            ("connection", Json::String(self.connection.clone())),
            ("occurred_at", self.occurred_at.map_or(Json::Null, time)),
            ("received_at", time(self.received_at)),
            ("payload", self.payload.json()),
        ];
        let entries = entries.map(|(key, value)| (key.to_owned(), value));
        Json::Object(entries.into_iter().collect())
    }
}

/// A condition on an event: JSON pointers into [`Event::as_document`] and the values they must have.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Matching(pub Vec<(String, Json)>);

impl Matching {
    /// Whether every pointer leads to its value.
    pub fn accepts(&self, event: &Event) -> bool {
        self.0.is_empty() || self.unmet(&event.as_document()).is_none()
    }

    /// The first condition that a document does not meet: the pointer, the value it must have.
    pub fn unmet(&self, document: &Json) -> Option<&(String, Json)> {
        self.0
            .iter()
            .find(|(pointer, wanted)| document.pointer(pointer) != Some(wanted))
    }
}

/// Which events of its types a trigger takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Those where every pointer leads to its value.
    Matching(Matching),
    /// Those for which an expression is true: see `script`.
    Expression(String),
}

impl Condition {
    /// The condition for people, if there is one.
    pub fn in_words(&self) -> Option<String> {
        match self {
            Self::Expression(expression) => Some(expression.clone()),
            Self::Matching(Matching(pairs)) => {
                let pairs = pairs.iter().map(|(pointer, wanted)| format!("{pointer} = {wanted}"));
                let text = pairs.collect::<Vec<_>>().join(" and ");
                (!text.is_empty()).then_some(text)
            }
        }
    }
}

/// Which event a waiting run is waiting for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventFilter {
    /// The connection it has to come through.
    pub connection: String,
    /// Types that count; empty means any.
    pub types: Vec<String>,
    /// The id of the resource it must be about, if that is known. Indexed by the store.
    pub subject: Option<String>,
    /// Further conditions.
    pub matching: Matching,
    /// Only events admitted after this one count: the order of admission is not moved by a clock.
    #[serde(default)]
    pub after: EventMark,
    /// Events received before this do not count, if a script said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Instant>,
    /// The provider's ids of events that do not count: those an earlier wait was given.
    #[serde(default)]
    pub except: Vec<String>,
}

impl EventFilter {
    /// Whether this event, admitted at this mark, ends the wait.
    pub fn accepts(&self, mark: EventMark, event: &Event) -> bool {
        self.concerns(mark, event) && self.matching.accepts(event)
    }

    /// The same without a look into the payload, which has to be read for it: says yes too often, never no.
    pub fn concerns(&self, mark: EventMark, event: &Event) -> bool {
        mark > self.after
            && event.connection == self.connection
            && (self.types.is_empty() || self.types.contains(&event.kind) || !holds(Guard::WakeType))
            && self
                .subject
                .as_ref()
                .is_none_or(|subject| event.subject.as_ref() == Some(subject) || !holds(Guard::WakeSubject))
            && self.since.is_none_or(|since| event.received_at >= since)
            && !self.except.contains(&event.provider_id)
    }
}
