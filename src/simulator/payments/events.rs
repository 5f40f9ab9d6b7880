//! Events: what happened, in the form the settings say, for two generations of receivers.

use serde_json::{Value as Json, json};

use super::CONTRACT;
use super::config::EventForm;
use crate::simulator::core::notices::Event;
use crate::simulator::world::World;

/// Tells that something happened to a resource: `v2.payment.captured`.
pub(crate) fn tell(world: &mut World, name: &'static str, resource: Json) {
    let settings = &world.core.config.payments;
    let older = name.strip_prefix("v2.").unwrap_or(name);
    let beside = settings.older_events && settings.event_form != EventForm::Flat;
    if beside {
        let body = flat(older, resource.clone());
        let body = body.unwrap_or_default();
        world.core.emit(&CONTRACT, older, body);
    }
    match world.core.config.payments.event_form {
        EventForm::Type => world
            .core
            .emit(&CONTRACT, name, json!({ "type": name, "data": resource })),
        EventForm::EventType => world
            .core
            .emit(&CONTRACT, name, json!({ "event_type": name, "data": resource })),
        EventForm::Flat => world
            .core
            .emit(&CONTRACT, older, flat(older, resource).unwrap_or_default()),
    };
}

fn flat(name: &str, mut resource: Json) -> Option<Json> {
    let map = resource.as_object_mut()?;
    map.insert("event_type".to_owned(), json!(name));
    Some(resource)
}

/// What is pushed: it was put together when it happened.
pub(crate) fn envelope(event: &Event) -> Json {
    event.data.clone()
}
