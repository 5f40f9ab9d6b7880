//! Events: what a verified delivery says, found by the pointers of the provider's table.
//!
//! Pure. It reads the body exactly, digit by digit; whether to believe it was decided before.

use super::signature::message_id;
use super::table::{Backfill, Connector, Envelope};
use super::unread::Unread;
use crate::base::clock::Instant;
use crate::base::ids::EventId;
use crate::model::event::{Delivery, Event};
use crate::model::payload::{Payload, PayloadError};
use crate::model::value::{Value, ValueError, parse_time};

/// A body that is no event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadPayload {
    /// The provider's table describes no webhooks.
    #[error("{0} sends no webhooks")]
    NoWebhooks(String),
    /// It is not JSON.
    #[error("the body is not JSON")]
    NotJson,
    /// Something every event has is missing.
    #[error("the body has no text at {0}")]
    Missing(String),
    /// Nothing tells it from another event.
    #[error("neither its body nor its headers have an id")]
    NoId,
    /// It cannot be taken in without loss.
    #[error("the payload cannot be taken: {0}")]
    NotExact(#[from] ValueError),
}

impl From<PayloadError> for BadPayload {
    fn from(error: PayloadError) -> Self {
        match error {
            PayloadError::NotJson => Self::NotJson,
            PayloadError::NotExact(error) => Self::NotExact(error),
        }
    }
}

/// Reads the event of a verified delivery.
///
/// # Errors
/// [`BadPayload`].
pub fn read_event(connector: &Connector, delivery: &Delivery, id: EventId) -> Result<Event, BadPayload> {
    let webhook = connector
        .webhook()
        .ok_or_else(|| BadPayload::NoWebhooks(connector.title.clone()))?;
    let body = std::str::from_utf8(&delivery.body).map_err(|_| BadPayload::NotJson)?;
    let own_id = || message_id(&webhook.signature, delivery);
    let heard = Heard {
        connector,
        connection: &delivery.connection,
        id,
        received_at: delivery.received_at,
    };
    heard.read(&webhook.envelopes, body, own_id)
}

/// Reads an event from an item of the provider's own list of events.
///
/// # Errors
/// [`BadPayload`].
pub fn read_listed(
    connector: &Connector,
    backfill: &Backfill,
    item: &Value,
    connection: &str,
    id: EventId,
    received_at: Instant,
) -> Result<Event, BadPayload> {
    let item = item.to_plain().to_string();
    let heard = Heard {
        connector,
        connection,
        id,
        received_at,
    };
    heard.read(std::slice::from_ref(&backfill.envelope), &item, || None)
}

/// An event that is read: whose it is, and what it is to be called.
struct Heard<'a> {
    connector: &'a Connector,
    connection: &'a str,
    id: EventId,
    received_at: Instant,
}

impl Heard<'_> {
    fn read(
        self,
        envelopes: &[Envelope],
        body: &str,
        own_id: impl FnOnce() -> Option<String>,
    ) -> Result<Event, BadPayload> {
        let mut body = Unread::new(body).map_err(|_| BadPayload::NotJson)?;
        let mut fits = |envelope: &&Envelope| {
            let has_type = text(&mut body, &envelope.kind).is_ok();
            has_type && body.at(&envelope.payload).is_some()
        };
        // What fits none is told by what the first one misses.
        let envelope = match envelopes {
            [only] => Some(only),
            several => several.iter().find(&mut fits).or(several.first()),
        };
        let envelope = envelope.ok_or_else(|| BadPayload::NoWebhooks(self.connector.title.clone()))?;
        let payload = body
            .at(&envelope.payload)
            .ok_or_else(|| BadPayload::Missing(envelope.payload.clone()))
            .map(Payload::read)?;
        let sent = text(&mut body, &envelope.kind)?;
        let provider_id = match &envelope.id {
            Some(pointer) => text(&mut body, pointer)?,
            None => own_id().ok_or(BadPayload::NoId)?,
        };
        let kind = self
            .connector
            .event_kind(sent, |status| body.text_at(&format!("{}{status}", envelope.payload)));
        let mut optional = |pointer: &Option<String>| body.text_at(pointer.as_deref()?);
        Ok(Event {
            id: self.id,
            connection: self.connection.to_owned(),
            provider_id,
            kind,
            subject: optional(&envelope.subject),
            occurred_at: optional(&envelope.date).as_deref().and_then(parse_time),
            received_at: self.received_at,
            payload: payload?,
        })
    }
}

/// The text at a place where there has to be one.
fn text(body: &mut Unread<'_>, pointer: &str) -> Result<String, BadPayload> {
    let text = body.text_at(pointer).filter(|text| !text.is_empty());
    text.ok_or_else(|| BadPayload::Missing(pointer.to_owned()))
}
