//! What a table says of its provider, gathered for people: nothing here is known of any provider by name.

use std::collections::BTreeMap;

use serde::Serialize;

use super::keys::{self, Keys};
use super::limits::{self, Limit, Pays};

use crate::app::settings::Settings;
use crate::connector::lookup::{Lookup, Match};
use crate::connector::table::{Connector, Effect, Endpoint, InDoubt, KeyPlace};
use crate::engine::primitives::offered;

/// Everything that `connectors show` tells.
#[derive(Debug, Serialize)]
pub(super) struct Facts<'a> {
    pub(super) name: &'a str,
    pub(super) title: &'a str,
    pub(super) doc: &'a str,
    /// Whether the table is the user's own.
    pub(super) local: bool,
    pub(super) addresses: &'a BTreeMap<String, String>,
    pub(super) offers: Vec<&'static str>,
    pub(super) lacks: &'a BTreeMap<String, String>,
    pub(super) calls: Calls,
    /// Paths that connections to it say themselves: connection, call, path.
    pub(super) own_paths: BTreeMap<&'a str, BTreeMap<&'a str, &'a str>>,
    pub(super) moves_money: Vec<Movement<'a>>,
    /// What tells a repeated call from a second one, over all calls that change something.
    pub(super) keys: Keys<'a>,
    /// What the provider takes of the arguments of primitives.
    pub(super) limits: Vec<Limit<'a>>,
    /// Whom primitives can be told to pay.
    pub(super) pays: Vec<Pays>,
    pub(super) requests_per_second: Option<u32>,
    pub(super) webhooks: Option<Webhooks>,
    /// What the provider does not say.
    pub(super) gaps: Vec<&'a str>,
}

/// How many calls there are.
#[derive(Debug, Default, Serialize)]
pub(super) struct Calls {
    pub(super) read: usize,
    pub(super) write: usize,
    pub(super) moves_money: usize,
    /// How many of those that change something can be looked up when nobody heard the answer.
    pub(super) looked_up: usize,
}

impl Calls {
    pub(super) fn total(&self) -> usize {
        self.read + self.write + self.moves_money
    }
}

/// How far "once" goes for a call that moves money.
#[derive(Debug, Serialize)]
pub(super) struct Movement<'a> {
    pub(super) call: &'a str,
    pub(super) doc: &'a str,
    /// What tells a second call from a repeated one: "header", "body", "natural" or "none".
    pub(super) key: &'static str,
    /// For how long it does; none where there is no key, or for good.
    pub(super) key_secs: Option<u64>,
    /// Whether that is a guess, the provider being silent.
    pub(super) key_assumed: bool,
    /// With which answers the key is kept: "all" or "successes".
    pub(super) kept: Option<&'static str>,
    /// What becomes of a second call while the first is under way: "refused" or "unknown".
    pub(super) in_flight: Option<&'static str>,
    /// Whether it is sent again under its key when nobody heard the answer.
    pub(super) repeated: bool,
    /// Whether one is sent at a time.
    pub(super) exclusive: bool,
    /// Whether it is looked for before it is sent for the first time too.
    pub(super) looked_for_first: bool,
    /// The call that shows what became of it.
    pub(super) looked_up_in: Option<&'a str>,
    /// By what it is found there.
    pub(super) found_by: Option<&'static str>,
}

/// What a provider tells by itself.
#[derive(Debug, Serialize)]
pub(super) struct Webhooks {
    pub(super) events: usize,
    /// Whether bursar can ask for them.
    pub(super) registered_by_call: bool,
    /// For how long missed ones can be fetched.
    pub(super) kept_days: Option<u32>,
}

pub(super) fn of<'a>(connector: &'a Connector, settings: &'a Settings) -> Facts<'a> {
    let mut offers: Vec<&str> = offered(connector).map(|primitive| primitive.name).collect();
    offers.sort_unstable();
    let mut calls = Calls::default();
    for endpoint in connector.endpoints() {
        let count = match endpoint.effect {
            Effect::Read => &mut calls.read,
            Effect::Write => &mut calls.write,
            Effect::MovesMoney => &mut calls.moves_money,
        };
        *count += 1;
        calls.looked_up += usize::from(looks_up(endpoint).is_some());
    }
    let moving = connector
        .endpoints()
        .filter(|endpoint| endpoint.effect == Effect::MovesMoney);
    Facts {
        name: &connector.name,
        title: &connector.title,
        doc: &connector.doc,
        local: connector.local,
        addresses: &connector.base_url,
        offers,
        lacks: &connector.lacks,
        calls,
        own_paths: own_paths(connector, settings),
        moves_money: moving.map(|endpoint| movement(connector, endpoint)).collect(),
        keys: Keys::of(connector),
        limits: limits::limits(connector),
        pays: limits::pays(connector),
        requests_per_second: connector.rate.as_ref().map(|rate| rate.requests_per_second.get()),
        webhooks: connector.webhook().map(|webhook| Webhooks {
            events: webhook.events.len(),
            registered_by_call: webhook.subscriptions.is_some(),
            kept_days: connector.backfill().map(|backfill| backfill.window_days),
        }),
        gaps: connector.gaps.iter().map(|gap| gap.doc.as_str()).collect(),
    }
}

fn own_paths<'a>(connector: &Connector, settings: &'a Settings) -> BTreeMap<&'a str, BTreeMap<&'a str, &'a str>> {
    let connections = settings.connections.values();
    let to_it = connections.filter(|connection| connection.connector.name == connector.name);
    let own = to_it.map(|connection| {
        let paths = connection.connector.own_paths();
        let paths = paths.map(|(endpoint, _)| (endpoint.name.as_str(), endpoint.path.as_str()));
        (connection.name.as_str(), paths.collect::<BTreeMap<_, _>>())
    });
    own.filter(|(_, paths)| !paths.is_empty()).collect()
}

fn movement<'a>(connector: &Connector, endpoint: &'a Endpoint) -> Movement<'a> {
    let (key_secs, key_assumed) = match (&endpoint.key, &connector.idempotency) {
        (KeyPlace::Header, Some(table)) => (Some(table.window_secs), table.window_assumed),
        (KeyPlace::Field(place), _) => (Some(place.window_secs), place.window_assumed),
        (KeyPlace::Natural(place), _) => (place.window_secs, false),
        (KeyPlace::Header, None) | (KeyPlace::None, _) => (None, false),
    };
    let is_made = connector.kept(endpoint).is_some();
    let lookup = looks_up(endpoint);
    Movement {
        call: &endpoint.name,
        doc: &endpoint.doc,
        key: keys::place(connector, endpoint),
        key_secs,
        key_assumed,
        kept: connector.kept(endpoint).map(keys::kept),
        in_flight: connector.in_flight(endpoint).filter(|_| is_made).map(keys::in_flight),
        repeated: connector.repeats(endpoint),
        exclusive: endpoint.exclusive.is_some(),
        looked_for_first: endpoint.look_first,
        looked_up_in: lookup.map(|lookup| lookup.endpoint.as_str()),
        found_by: lookup.map(|lookup| match &lookup.matching {
            Match::Reference(_) | Match::ReferenceAtEnd(_) => "our reference",
            Match::Natural { .. } => "what it is about",
            Match::Fresh { .. } => "what was not there before",
            Match::State { .. } => "its state",
            Match::Content(_) => "what it says",
            Match::Gone(_) => "its absence",
        }),
    }
}

/// How its outcome is looked up, if it is.
fn looks_up(endpoint: &Endpoint) -> Option<&Lookup> {
    endpoint.lookup.as_ref().filter(|_| endpoint.in_doubt != InDoubt::Park)
}
