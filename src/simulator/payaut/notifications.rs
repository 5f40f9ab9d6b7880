//! Webhook configurations: an address for one type of event each. Nothing that is sent is signed.

use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::CONTRACT;
use super::kyc;
use super::payouts;
use crate::simulator::config::SubscriptionSeed;
use crate::simulator::contract::Call;
use crate::simulator::core::refusal::Refusal;
use crate::simulator::core::webhook::check_url;
use crate::simulator::world::World;

const TYPES: [&str; 2] = [kyc::UPDATE, payouts::UPDATE];

#[derive(Debug)]
pub(crate) struct Notification {
    /// Also the id of its subscription.
    id: Uuid,
    url: String,
    kind: String,
    activated: bool,
}

impl Notification {
    fn to_json(&self) -> Json {
        json!({
            "id": self.id,
            "url": self.url,
            "type": self.kind,
            "isActivated": self.activated,
        })
    }

    /// What its subscription is sent.
    fn events(&self) -> Vec<String> {
        if self.activated {
            vec![self.kind.clone()]
        } else {
            Vec::new()
        }
    }
}

/// What a request says of one; without a word it is active.
fn read(world: &World, call: &Call) -> Result<Notification, Refusal> {
    let settings = &world.core.config.payaut;
    let mut fields = call.fields();
    let url = check_url(fields.text("url")?, settings.webhooks.allow_http_subscriptions)?;
    let said = Notification {
        id: Uuid::nil(),
        url,
        kind: fields.one_of("type", &TYPES)?.to_owned(),
        activated: fields.optional_bool("isActivated")?.unwrap_or(true),
    };
    fields.finish(settings.unknown_parameters)?;
    Ok(said)
}

fn named(world: &World, call: &Call) -> Result<Uuid, Refusal> {
    let id = call.id().map_err(|_| Refusal::not_found("the configuration"))?;
    let known = world.payaut.notifications.get(id).map(|known| known.id);
    known.ok_or_else(|| Refusal::not_found("the configuration"))
}

pub(super) fn create(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let mut said = read(world, call)?;
    let seed = SubscriptionSeed {
        url: said.url.clone(),
        events: said.events(),
        secret: None,
    };
    let subscribed = world.core.subscribe(&CONTRACT, &seed);
    said.id = subscribed.map_err(|_| Refusal::internal())?;
    let (id, shown) = (said.id, said.to_json());
    let (now, elapsed) = (world.core.now, world.core.elapsed);
    world.payaut.notifications.insert(id, now, elapsed, said);
    Ok(shown)
}

pub(super) fn retrieve(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let id = named(world, call)?;
    let known = world.payaut.notifications.get(id).map(Notification::to_json);
    known.ok_or_else(Refusal::internal)
}

/// All of them; nothing says how they would be paged.
pub(super) fn list(world: &mut World, _call: &Call) -> Result<Json, Refusal> {
    Ok(world.payaut.notifications.iter().map(Notification::to_json).collect())
}

pub(super) fn update(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let id = named(world, call)?;
    let said = Notification {
        id,
        ..read(world, call)?
    };
    let (shown, now) = (said.to_json(), world.core.now);
    if let Some(subscription) = world.core.subscriptions.get_mut(id) {
        subscription.url.clone_from(&said.url);
        subscription.events = Some(said.events());
        subscription.updated_at = now;
    }
    if let Some(known) = world.payaut.notifications.get_mut(id) {
        *known = said;
    }
    Ok(shown)
}
