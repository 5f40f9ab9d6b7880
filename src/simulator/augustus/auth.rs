//! Versions, keys, scopes, allowed addresses and the rate limit: who may do what.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use axum::http::HeaderMap;
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::resources::stamp;
use crate::base::clock::Instant;
use crate::simulator::config::{ApiKey, RateLimit};
use crate::simulator::contract::{Access, Caller, Operation};
use crate::simulator::core::refusal::Refusal;
use crate::simulator::core::serve::{Inbound, header_of};
use crate::simulator::world::World;

/// The latest API version, and the one new keys are pinned to.
pub(crate) const LATEST_VERSION: &str = "2026-05-01";

/// Known versions with the day each was released, oldest first.
pub(crate) const VERSIONS: [&str; 2] = ["2023-01-01", LATEST_VERSION];

/// The catalogue of scopes.
pub(crate) const SCOPES: [(&str, &str); 16] = [
    ("payouts:read", "Read payouts"),
    ("payouts:write", "Create payouts"),
    ("deposits:read", "Read deposits"),
    ("returns:read", "Read returns"),
    ("returns:write", "Create returns"),
    ("conversions:read", "Read conversions"),
    ("conversions:write", "Create conversions"),
    ("quotes:read", "Read quotes"),
    ("accounts:read", "Read accounts and balances"),
    ("accounts:write", "Create, freeze and close accounts"),
    ("account_programs:read", "Read account programs"),
    ("webhook_subscriptions:read", "Read webhook subscriptions"),
    ("webhook_subscriptions:write", "Change webhook subscriptions"),
    ("events:read", "Read events"),
    ("webhook_deliveries:read", "Read webhook deliveries"),
    ("webhook_deliveries:write", "Redeliver webhooks"),
];

/// The scopes a list of scopes and aliases stands for.
pub(crate) fn expand(granted: &[String]) -> Vec<&'static str> {
    let covers = |pattern: &str, scope: &str| match pattern {
        "full_access" => true,
        "read_only" | "*:read" => scope.ends_with(":read"),
        _ => {
            pattern == scope
                || pattern
                    .strip_suffix(":*")
                    .is_some_and(|resource| scope.split(':').next() == Some(resource))
        }
    };
    SCOPES
        .iter()
        .map(|(scope, _)| *scope)
        .filter(|scope| granted.iter().any(|pattern| covers(pattern, scope)))
        .collect()
}

/// A key as the simulator knows it.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) id: Uuid,
    pub(crate) settings: ApiKey,
    pub(crate) created_at: Instant,
}

impl Key {
    pub(crate) fn to_json(&self, merchant_id: Uuid, api_version: &str) -> Json {
        json!({
            "type": "api_key",
            "id": self.id,
            "merchant_id": merchant_id,
            "scopes": expand(&self.settings.scopes),
            "ip_allow_list": self.settings.ip_allow_list,
            "expires_at": self.settings.expires_at.map(stamp),
            "created_at": stamp(self.created_at),
            "updated_at": Json::Null,
            "api_version": api_version,
        })
    }

    /// Whether the key may be used now, from there, for this.
    pub(crate) fn admits(&self, now: Instant, peer: IpAddr, scope: Option<&'static str>) -> Result<(), Refusal> {
        if self.settings.expires_at.is_some_and(|end| end <= now) {
            return Err(Refusal::authentication_required());
        }
        let allowed = &self.settings.ip_allow_list;
        if !allowed.is_empty() && !allowed.iter().any(|block| contains(block, peer)) {
            return Err(Refusal::permission_denied(
                "the API key may not be used from this address",
            ));
        }
        match scope {
            Some(scope) if !expand(&self.settings.scopes).contains(&scope) => Err(Refusal::insufficient_scope(scope)),
            _ => Ok(()),
        }
    }
}

/// The version asked for is known, the key may do this now and from there, and its rate is not used up.
pub(crate) fn authenticate(world: &mut World, operation: &Operation, inbound: &Inbound) -> Result<Caller, Refusal> {
    let (api_version, known) = version(world, &inbound.headers);
    known?;
    let api_key = match (operation.access, key_of(world, &inbound.headers)) {
        (Access::Public, _) => None,
        (_, None) => return Err(Refusal::authentication_required()),
        (access, Some(key)) => {
            let scope = match access {
                Access::Scope(scope) => Some(scope),
                Access::AnyKey | Access::Public => None,
            };
            key.admits(world.core.now, inbound.peer, scope)?;
            Some(key.id)
        }
    };
    if let Some(api_key) = api_key {
        let limit = world.core.config.rate_limit;
        world.augustus.rates.count(limit, api_key, world.core.elapsed)?;
    }
    Ok(Caller {
        api_key,
        api_version,
        account: None,
        business: None,
    })
}

/// Every answer says its version and the request's id.
pub(crate) fn headers(world: &World, asked: &HeaderMap, correlation_id: &str) -> Vec<(&'static str, String)> {
    vec![
        ("api-version", version(world, asked).0.to_owned()),
        ("Correlation-Id", correlation_id.to_owned()),
    ]
}

/// The version to answer in, and whether the one asked for is known.
fn version(world: &World, headers: &HeaderMap) -> (&'static str, Result<(), Refusal>) {
    let known = |name: &str| VERSIONS.iter().find(|version| **version == name).copied();
    let pinned = key_of(world, headers).and_then(|key| known(&key.settings.api_version));
    let pinned = pinned.unwrap_or(LATEST_VERSION);
    match header_of(headers, "api-version") {
        None => (pinned, Ok(())),
        Some(asked) => match known(&asked) {
            Some(version) => (version, Ok(())),
            None => (pinned, Err(Refusal::api_version("api-version", &asked))),
        },
    }
}

fn key_of<'a>(world: &'a World, headers: &HeaderMap) -> Option<&'a Key> {
    let header = header_of(headers, "authorization")?;
    let (scheme, token) = header.split_once(' ')?;
    let bearer = scheme.eq_ignore_ascii_case("bearer");
    let mut keys = world.augustus.keys.iter();
    keys.find(|key| bearer && key.settings.key == token.trim())
}

/// Whether an address is in a block such as `10.0.0.0/8`, or is the one address named.
fn contains(block: &str, address: IpAddr) -> bool {
    let (network, length) = block
        .split_once('/')
        .map_or((block, None), |(net, len)| (net, Some(len)));
    let Ok(network) = network.parse::<IpAddr>() else {
        return false;
    };
    let (network, address, bits) = match (network, address) {
        (IpAddr::V4(network), IpAddr::V4(address)) => {
            (u128::from(u32::from(network)), u128::from(u32::from(address)), 32)
        }
        (IpAddr::V6(network), IpAddr::V6(address)) => (u128::from(network), u128::from(address), 128),
        _ => return false,
    };
    let Ok(length) = length.map_or(Ok(bits), str::parse::<u32>) else {
        return false;
    };
    // A shift by all bits is not a shift: a block of length 0 holds every address.
    length <= bits && (network ^ address).checked_shr(bits - length).unwrap_or(0) == 0
}

/// Requests of each key in the window under way.
#[derive(Debug, Default)]
pub(crate) struct Rates(HashMap<Uuid, (Duration, u32)>);

impl Rates {
    /// Counts a request, or refuses it.
    pub(crate) fn count(&mut self, limit: Option<RateLimit>, key: Uuid, elapsed: Duration) -> Result<(), Refusal> {
        let Some(limit) = limit else { return Ok(()) };
        let window = Duration::from_millis(limit.window_ms);
        let (began, used) = self.0.entry(key).or_insert((elapsed, 0));
        if elapsed.saturating_sub(*began) >= window {
            (*began, *used) = (elapsed, 0);
        }
        *used += 1;
        if *used <= limit.requests {
            return Ok(());
        }
        let left = window.saturating_sub(elapsed.saturating_sub(*began));
        Err(Refusal::rate_limited(limit.retry_after.then(|| left.as_secs() + 1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aliases_stand_for_the_documented_scopes() {
        let check = |granted: &str, scope: &str, expected: bool| {
            let scopes = expand(&[granted.to_owned()]);
            assert_eq!(scopes.contains(&scope), expected, "{granted} {scope}");
        };
        check("full_access", "payouts:write", true);
        check("read_only", "payouts:read", true);
        check("read_only", "payouts:write", false);
        check("*:read", "quotes:read", true);
        check("payouts:*", "payouts:write", true);
        check("payouts:*", "deposits:read", false);
        check("payouts:read", "payouts:write", false);
    }

    #[test]
    fn a_block_holds_its_addresses_only() {
        let check = |block: &str, address: &str, expected: bool| {
            assert_eq!(contains(block, address.parse().unwrap()), expected, "{block} {address}");
        };
        check("127.0.0.1", "127.0.0.1", true);
        check("127.0.0.1", "127.0.0.2", false);
        check("10.0.0.0/8", "10.200.1.1", true);
        check("10.0.0.0/8", "11.0.0.1", false);
        check("0.0.0.0/0", "11.0.0.1", true);
        check("::/0", "2001:db8::1", true);
        check("2001:db8::/32", "2001:db9::1", false);
        check("10.0.0.0/33", "10.0.0.0", false);
        check("nonsense", "10.0.0.0", false);
    }
}
