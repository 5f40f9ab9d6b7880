//! Every endpoint of every built-in connector against the simulator: the arguments of its golden file, with the ids of
//! things that are there, become a request that is served, in the documented shape, and means that it was done.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use bursar::base::secret::Secret;
use bursar::connector::connection::{Connection, Pace};
use bursar::connector::lookup::Known;
use bursar::connector::registry::Registry;
use bursar::connector::reply::{RawAnswer, Verdict, classify};
use bursar::connector::request::{Own, prepare_own};
use bursar::connector::table::{Auth, Endpoint, Kind, Param, Place};
use bursar::model::value::{Map, Value};
use bursar::simulator::config::{ivy as at_ivy, payaut as at_payaut, payments as at_payments};
use serde_json::Value as Json;
use uuid::Uuid;

use super::bench::{Bench, KEY, Receiver};
use super::http::send;
use super::{ivy, operations, payaut, payments};
use crate::support::report;

/// One operation of a provider that has something to work on.
pub(crate) struct Served {
    /// Whether an endpoint of the connector is this one.
    pub(crate) is: Box<dyn Fn(&Endpoint) -> bool>,
    /// A path that leads to what is there.
    pub(crate) path: String,
    /// A body that names what is there.
    pub(crate) body: Option<Json>,
    /// Holds an answer against the documented shape.
    pub(crate) check: Box<dyn Fn(&Json)>,
}

/// The time at which the goldens speak.
const TIME_OF_GOLDENS: Duration = Duration::from_secs(120 * 86_400 + 9 * 3_600 + 1_800);

fn connection(connector: &str, address: SocketAddr, key: &str) -> Connection {
    let connector = Registry::built_in().get(connector).unwrap().clone();
    let prefix = match connector.name.as_str() {
        "augustus" => String::new(),
        other => format!("/{other}"),
    };
    Connection {
        name: "bank".to_owned(),
        connector,
        base_url: format!("http://{address}{prefix}"),
        credential: Some(Secret::new(key.to_owned())),
        webhook_secrets: Vec::new(),
        webhook_senders: Vec::new(),
        settings: std::collections::BTreeMap::new(),
        headers: std::collections::BTreeMap::new(),
        key_window_secs: None,
        pace: Pace::default(),
    }
}

/// Where a connection leads: the address, and what its paths begin with.
fn place(connection: &Connection) -> (SocketAddr, &str) {
    let rest = connection.base_url.strip_prefix("http://").unwrap();
    let (address, prefix) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    (address.parse().unwrap(), prefix)
}

/// What the simulator counts the requests of an endpoint under.
fn counted(connection: &Connection, endpoint: &Endpoint) -> String {
    match connection.connector.name.as_str() {
        "augustus" => endpoint.name.clone(),
        other => format!("{other}.{}", endpoint.name),
    }
}

fn golden(connection: &Connection, endpoint: &Endpoint) -> Map {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/it/connectors")
        .join(&connection.connector.name)
        .join(format!("{}.json", endpoint.name));
    let golden: Json = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    Value::from_typed(&golden["args"]).unwrap().as_map().unwrap().clone()
}

/// What stands for a parameter in a request to what is there.
fn there(endpoint: &Endpoint, served: &Served, name: &str) -> Option<Value> {
    let param = endpoint.param(name)?;
    if param.place == Place::Path {
        let mut places = endpoint.path.split('/').zip(served.path.split('/'));
        let (_, segment) = places.find(|(place, _)| *place == format!("{{{name}}}"))?;
        return Some(Value::text(segment));
    }
    let mut steps = param.wire_name().split('.');
    let found = steps.try_fold(served.body.as_ref()?, |value, step| value.get(step))?;
    Some(Value::text(found.as_str()?))
}

/// The arguments of the golden file, about what is there. A filter by an id that nothing here has is left out. What a
/// header says of whoever asks is told by whoever knows (`who`).
fn about(connection: &Connection, endpoint: &Endpoint, served: &Served, who: &Map) -> Map {
    let mut args = golden(connection, endpoint);
    let position = endpoint.paging.as_ref().and_then(|paging| paging.position());
    args.retain(|name, _| position.is_none_or(|position| position.param != *name));
    let names: Vec<String> = args.keys().cloned().collect();
    for name in names {
        if let Some(known) = who.get(&name) {
            args.insert(name, known.clone());
            continue;
        }
        let is_id = endpoint
            .param(&name)
            .is_some_and(|param| param.kind == Kind::Uuid || param.place == Place::Path);
        if is_id || ["id", "code"].contains(&name.as_str()) || ["_id", "_code"].iter().any(|end| name.ends_with(end)) {
            match there(endpoint, served, &name) {
                Some(id) => args.insert(name, id),
                None => args.remove(&name),
            };
        }
    }
    args
}

/// Asks an endpoint with these arguments; the answer has to mean that it was done.
async fn ask(connection: &Connection, endpoint: &Endpoint, args: &Map) -> Json {
    let name = &endpoint.name;
    let key = Uuid::from_u128(7).to_string();
    let own = Own {
        reference: Some("served"),
        key: endpoint.key.field().map(|_| key.as_str()),
        before: &Known::new(),
    };
    let prepared =
        prepare_own(connection, endpoint, args, own).unwrap_or_else(|failure| panic!("{name}: {}", failure.message));
    let key = connection.credential.as_ref().unwrap().expose();
    let (header, value) = match &connection.connector.auth {
        Auth::Bearer => ("authorization", format!("Bearer {key}")),
        Auth::Header { name } => (name.as_str(), key.to_owned()),
    };
    let own = prepared.request.headers.iter();
    let headers: Vec<(&str, &str)> = own
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .chain([(header, value.as_str())])
        .collect();
    let (address, prefix) = place(connection);
    let target = format!("{prefix}{}", prepared.request.path);
    let body = prepared.request.body.as_deref().map(str::as_bytes);
    let reply = send(address, &prepared.request.method, &target, &headers, body).await;
    let reply = reply.expect("an answer");
    let told = String::from_utf8_lossy(&reply.body);
    assert!((200..300).contains(&reply.status), "{name}: {} {told}", reply.status);
    let answer = RawAnswer {
        status: reply.status,
        headers: reply.headers.clone(),
        body: reply.body.clone().into(),
    };
    let movement = prepared.movement.as_ref();
    let verdict = classify(&connection.connector, endpoint, &prepared.request, movement, &answer);
    assert!(matches!(verdict, Verdict::Applied { .. }), "{name}: {verdict:?}");
    reply.shown()
}

async fn ask_all(connection: &Connection, served: &[Served], who: &Map) -> BTreeSet<String> {
    let mut asked = BTreeSet::new();
    for served in served {
        let mut endpoints = connection.connector.endpoints();
        let endpoint = endpoints.find(|endpoint| (served.is)(endpoint));
        let endpoint = endpoint.unwrap_or_else(|| panic!("no endpoint is {}", served.path));
        let mut args = about(connection, endpoint, served, who);
        let mut shown = ask(connection, endpoint, &args).await;
        if endpoint.lists() {
            // What the golden file filters by need not be there.
            let stays = |param: &Param| param.required || param.common;
            args.retain(|name, _| endpoint.param(name).is_some_and(stays));
            shown = ask(connection, endpoint, &args).await;
        }
        (served.check)(&shown);
        asked.insert(endpoint.name.clone());
    }
    asked
}

fn all(connection: &Connection) -> BTreeSet<String> {
    let endpoints = connection.connector.endpoints();
    endpoints.map(|endpoint| endpoint.name.clone()).collect()
}

#[tokio::test]
async fn every_endpoint_of_every_connector_is_served_in_its_shape() {
    let mut counts = Vec::new();
    let bench = Bench::demo().await;
    bench.clock.advance(TIME_OF_GOLDENS);
    let receiver = Receiver::start(&[]).await;
    let served = operations::served(&bench, &receiver).await;
    let bank = connection("augustus", bench.running.address, KEY);
    let asked = ask_all(&bank, &served, &Map::new()).await;
    assert_eq!(asked, all(&bank));
    counts.push((bank.connector.name.clone(), asked.len()));
    bench.assert_balanced();

    let world = ivy::operations::whole().await;
    world.bench.clock.advance(TIME_OF_GOLDENS);
    let receiver = Receiver::start(&[]).await;
    let served = ivy::operations::served(&world, &receiver).await;
    let bank = connection("ivy", world.bench.running.address, at_ivy::DEMO_API_KEY);
    let asked = ask_all(&bank, &served, &Map::new()).await;
    assert_eq!(asked, all(&bank));
    counts.push((bank.connector.name.clone(), asked.len()));
    world.bench.assert_balanced();

    let pay = payments::operations::whole().await;
    pay.bench.clock.advance(TIME_OF_GOLDENS);
    let (served, business) = payments::operations::served(&pay).await;
    let bank = connection("payments", pay.bench.running.address, at_payments::DEMO_API_KEY);
    let who = [("account", &pay.account), ("business", &business)];
    let who = who.map(|(name, id)| (name.to_owned(), Value::text(id)));
    let asked = ask_all(&bank, &served, &Map::from(who)).await;
    assert_eq!(asked, all(&bank));
    counts.push((bank.connector.name.clone(), asked.len()));
    pay.bench.assert_balanced();

    let world = payaut::Payaut::start().await;
    world.bench.clock.advance(TIME_OF_GOLDENS);
    let served = payaut::operations::served(&world).await;
    let bank = connection("payaut", world.bench.running.address, at_payaut::DEMO_TOKEN);
    let asked = ask_all(&bank, &served, &Map::new()).await;
    assert_eq!(asked, all(&bank));
    counts.push((bank.connector.name.clone(), asked.len()));
    world.bench.assert_balanced();

    let told: Vec<String> = counts
        .iter()
        .map(|(name, count)| format!("{count} of {name}"))
        .collect();
    report(&format!("endpoints served in their shape: {}", told.join(", ")));
    let names: BTreeSet<&str> = counts.iter().map(|(name, _)| name.as_str()).collect();
    let registry = Registry::built_in();
    assert_eq!(names, registry.names().collect(), "every built-in connector is asked");
}

#[tokio::test]
async fn no_endpoint_is_served_without_a_key() {
    let bench = Bench::demo().await;
    let address = bench.running.address;
    for connector in Registry::built_in().iter() {
        let bank = connection(&connector.name, address, "");
        let (_, base) = place(&bank);
        for endpoint in connector.endpoints() {
            let segments = endpoint.path.split('/').map(|segment| match segment.starts_with('{') {
                true => "3c90c3cc-0d44-4b50-8888-8dd25736052a",
                false => segment,
            });
            let path = segments.collect::<Vec<_>>().join("/");
            let reply = send(address, endpoint.method.as_str(), &format!("{base}{path}"), &[], None).await;
            let expected = if endpoint.public { 200 } else { 401 };
            assert_eq!(reply.expect("an answer").status, expected, "{}", endpoint.name);
            let name = counted(&bank, endpoint);
            let counts = bench.control().requests();
            assert_eq!(
                counts.get(name.as_str()).map(|count| count.total),
                Some(1),
                "{name}: {:?}",
                counts.keys()
            );
        }
    }
}
