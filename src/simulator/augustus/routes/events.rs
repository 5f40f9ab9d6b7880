//! Events and their deliveries, as long as they are kept.

use serde_json::Value as Json;

use super::Call;
use crate::simulator::augustus::error::ApiError;
use crate::simulator::core::notices::{Delivery, DeliveryStatus, EVENT_TYPES, Event};
use crate::simulator::augustus::page::page;
use crate::simulator::state::{Due, World};

pub(super) fn list(world: &mut World, call: &Call) -> Result<Json, ApiError> {
    let event_type = call.query.one_of("event_type", &EVENT_TYPES)?;
    let kept_since = world.kept_since();
    let keep = |event: &Event| {
        event.created_at >= kept_since && event_type.is_none_or(|event_type| event.event_type == event_type)
    };
    page(world, call, &world.events, keep, Event::to_json)
}

pub(super) fn retrieve(world: &mut World, call: &Call) -> Result<Json, ApiError> {
    let kept_since = world.kept_since();
    let event = world
        .events
        .get(call.id()?)
        .filter(|event| event.created_at >= kept_since);
    event
        .map(Event::to_json)
        .ok_or_else(|| ApiError::not_found("the event"))
}

pub(super) fn list_deliveries(world: &mut World, call: &Call) -> Result<Json, ApiError> {
    let event = call.query.uuid("event_id")?;
    let subscription = call.query.uuid("subscription_id")?;
    let status = call.query.one_of("status", &DeliveryStatus::NAMES)?;
    let kept_since = world.kept_since();
    let keep = |delivery: &Delivery| {
        delivery.created_at >= kept_since
            && event.is_none_or(|event| delivery.event_id == event)
            && subscription.is_none_or(|subscription| delivery.subscription_id == subscription)
            && status.is_none_or(|status| delivery.status.name() == status)
    };
    page(world, call, &world.deliveries, keep, Delivery::to_json)
}

fn find<'a>(world: &'a World, call: &Call) -> Result<&'a Delivery, ApiError> {
    let kept_since = world.kept_since();
    let delivery = world.deliveries.get(call.id()?);
    delivery
        .filter(|delivery| delivery.created_at >= kept_since)
        .ok_or_else(|| ApiError::not_found("the webhook delivery"))
}

pub(super) fn retrieve_delivery(world: &mut World, call: &Call) -> Result<Json, ApiError> {
    find(world, call).map(Delivery::to_json)
}

/// A new delivery of the same event to the same subscription.
pub(super) fn redeliver(world: &mut World, call: &Call) -> Result<Json, ApiError> {
    let delivery = find(world, call)?;
    let (event, subscription) = (delivery.event_id, delivery.subscription_id);
    if world
        .subscriptions
        .get(subscription)
        .is_none_or(|subscription| subscription.deleted)
    {
        return Err(ApiError::conflict("the subscription was deleted"));
    }
    let id = world.new_delivery(event, subscription, DeliveryStatus::Pending);
    world.plan(0, Due::Deliver(id));
    let delivery = world.deliveries.get(id).map(Delivery::to_json);
    delivery.ok_or_else(ApiError::internal)
}
