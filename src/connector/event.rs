//! Events: what a verified delivery says, found by the pointers of the provider's table.
//!
//! Pure. It reads the body exactly, digit by digit; whether to believe it was decided before.

use serde_json::Value as Json;

use super::table::{Backfill, Connector, Envelope};
use crate::base::clock::Instant;
use crate::base::ids::EventId;
use crate::model::event::{Delivery, Event};
use crate::model::value::{Value, parse_time};

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
    /// It cannot be taken in without loss.
    #[error("the payload cannot be taken: {0}")]
    NotExact(#[from] crate::model::value::ValueError),
}

/// Reads the event of a verified delivery.
///
/// # Errors
/// [`BadPayload`].
pub fn read_event(connector: &Connector, delivery: &Delivery, id: EventId) -> Result<Event, BadPayload> {
    let webhook = connector
        .webhook()
        .ok_or_else(|| BadPayload::NoWebhooks(connector.title.clone()))?;
    let body: Json = serde_json::from_slice(&delivery.body).map_err(|_| BadPayload::NotJson)?;
    read(&webhook.envelope, body, &delivery.connection, id, delivery.received_at)
}

/// Reads an event from an item of the provider's own list of events.
///
/// # Errors
/// [`BadPayload`].
pub fn read_listed(
    backfill: &Backfill,
    item: &Value,
    connection: &str,
    id: EventId,
    received_at: Instant,
) -> Result<Event, BadPayload> {
    read(&backfill.envelope, item.to_plain(), connection, id, received_at)
}

fn read(
    envelope: &Envelope,
    mut body: Json,
    connection: &str,
    id: EventId,
    received_at: Instant,
) -> Result<Event, BadPayload> {
    let optional = |pointer: &Option<String>| body.pointer(pointer.as_deref()?)?.as_str();
    let text = |pointer: &String| {
        body.pointer(pointer)
            .and_then(Json::as_str)
            .filter(|text| !text.is_empty())
            .map(str::to_owned)
            .ok_or_else(|| BadPayload::Missing(pointer.clone()))
    };
    if body.pointer(&envelope.payload).is_none() {
        return Err(BadPayload::Missing(envelope.payload.clone()));
    }
    let mut event = Event {
        id,
        connection: connection.to_owned(),
        provider_id: text(&envelope.id)?,
        kind: text(&envelope.kind)?,
        subject: optional(&envelope.subject).map(str::to_owned),
        occurred_at: optional(&envelope.date).and_then(parse_time),
        received_at,
        payload: Json::Null,
    };
    // Moved, not copied; last, because it may hold all the others.
    event.payload = body.pointer_mut(&envelope.payload).map(Json::take).unwrap_or_default();
    // What a script could not be given must not be admitted: its run would fail for ever.
    Value::check_plain(&event.payload, 1)?;
    Ok(event)
}
