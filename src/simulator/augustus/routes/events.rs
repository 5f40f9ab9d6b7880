//! Events and their deliveries, as long as they are kept.

use serde_json::Value as Json;

use crate::simulator::augustus::CONTRACT;
use crate::simulator::augustus::notices::{self, EVENT_TYPES};
use crate::simulator::augustus::page::page;
use crate::simulator::augustus::state::kept_since;
use crate::simulator::contract::Call;
use crate::simulator::core::notices::{Delivery, DeliveryStatus, Event};
use crate::simulator::core::refusal::Refusal;
use crate::simulator::world::World;

pub(super) fn list(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let event_type = call.query.one_of("event_type", &EVENT_TYPES)?;
    let kept_since = kept_since(&world.core);
    let keep = |event: &Event| {
        event.provider.is(&CONTRACT)
            && event.created_at >= kept_since
            && event_type.is_none_or(|event_type| event.event_type == event_type)
    };
    page(world, call, &world.core.events, keep, notices::event)
}

pub(super) fn retrieve(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let kept_since = kept_since(&world.core);
    let event = world
        .core
        .events
        .get(call.id()?)
        .filter(|event| event.provider.is(&CONTRACT) && event.created_at >= kept_since);
    event.map(notices::event).ok_or_else(|| Refusal::not_found("the event"))
}

pub(super) fn list_deliveries(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let event = call.query.uuid("event_id")?;
    let subscription = call.query.uuid("subscription_id")?;
    let status = call.query.one_of("status", &DeliveryStatus::NAMES)?;
    let kept_since = kept_since(&world.core);
    let keep = |delivery: &Delivery| {
        delivery.provider.is(&CONTRACT)
            && delivery.created_at >= kept_since
            && event.is_none_or(|event| delivery.event_id == event)
            && subscription.is_none_or(|subscription| delivery.subscription_id == subscription)
            && status.is_none_or(|status| delivery.status.name() == status)
    };
    page(world, call, &world.core.deliveries, keep, notices::delivery)
}

fn find<'a>(world: &'a World, call: &Call) -> Result<&'a Delivery, Refusal> {
    let kept_since = kept_since(&world.core);
    let delivery = world.core.deliveries.get(call.id()?);
    delivery
        .filter(|delivery| delivery.provider.is(&CONTRACT) && delivery.created_at >= kept_since)
        .ok_or_else(|| Refusal::not_found("the webhook delivery"))
}

pub(super) fn retrieve_delivery(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    find(world, call).map(notices::delivery)
}

/// A new delivery of the same event to the same subscription.
pub(super) fn redeliver(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let delivery = find(world, call)?;
    let (event, subscription) = (delivery.event_id, delivery.subscription_id);
    if world
        .core
        .subscriptions
        .get(subscription)
        .is_none_or(|subscription| subscription.deleted)
    {
        return Err(Refusal::conflict("the subscription was deleted"));
    }
    let id = world.core.deliver_again(&CONTRACT, event, subscription);
    let delivery = world.core.deliveries.get(id).map(notices::delivery);
    delivery.ok_or_else(Refusal::internal)
}
