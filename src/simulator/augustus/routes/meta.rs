//! The API about itself: the key, the versions, the scopes.

use serde_json::{Value as Json, json};

use crate::simulator::augustus::auth::{LATEST_VERSION, SCOPES, VERSIONS};
use crate::simulator::contract::Call;
use crate::simulator::core::refusal::Refusal;
use crate::simulator::world::World;

fn whole(data: impl Iterator<Item = Json>) -> Json {
    let data: Vec<Json> = data.collect();
    json!({ "data": data, "has_more": false, "next_cursor": Json::Null })
}

pub(super) fn api_key(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    world
        .augustus
        .keys
        .iter()
        .find(|key| Some(key.id) == call.caller.api_key)
        .map(|key| key.to_json(world.augustus.merchant_id, call.caller.api_version))
        .ok_or_else(Refusal::authentication_required)
}

pub(super) fn api_versions(_world: &mut World, _call: &Call) -> Result<Json, Refusal> {
    let versions = VERSIONS.iter().map(|version| {
        json!({
            "type": "api_version",
            "name": version,
            "released_at": format!("{version}T00:00:00.000Z"),
            "is_latest": *version == LATEST_VERSION,
            "deprecated_at": Json::Null,
            "sunset_at": Json::Null,
        })
    });
    Ok(whole(versions))
}

/// The scopes of the version asked for: the older one had none of these.
pub(super) fn scopes(_world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let scopes = SCOPES
        .iter()
        .filter(|_| call.caller.api_version >= LATEST_VERSION)
        .filter_map(|(id, description)| {
            let (resource, action) = id.split_once(':')?;
            Some(json!({
                "type": "scope",
                "id": id,
                "description": description,
                "resource": resource,
                "action": action,
                "available_from": LATEST_VERSION,
                "deprecated_in": Json::Null,
            }))
        });
    Ok(whole(scopes))
}
