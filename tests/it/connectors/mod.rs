//! Connectors: the tables, the requests they build, what answers mean, signatures, and the network's edge.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a helper of a test fails by panicking")]

mod client;
mod common;
mod events;
mod forms;
mod golden;
mod keys;
mod lookup;
mod paging;
mod parts;
mod paths;
mod payaut;
mod payments;
mod redact;
mod reply;
mod request;
mod schemes;
mod signature;
mod table;
mod units;
mod wires;

use bursar::base::clock::Instant;
use bursar::base::money::Money;
use bursar::base::secret::Secret;
use bursar::connector::connection::Connection;
use bursar::connector::registry::Registry;
use bursar::connector::table::Endpoint;
use bursar::model::value::{Map, Value, parse_time};

/// The connection `bank` to this provider.
fn connection_of(connector: &str) -> Connection {
    Connection {
        name: "bank".to_owned(),
        connector: Registry::built_in().get(connector).unwrap().clone(),
        base_url: "http://127.0.0.1:1".to_owned(),
        credential: Some(Secret::new("sandbox.key".to_owned())),
        webhook_secrets: Vec::new(),
        webhook_senders: Vec::new(),
        settings: std::collections::BTreeMap::new(),
        headers: std::collections::BTreeMap::new(),
        key_window_secs: None,
        pace: bursar::connector::connection::Pace::default(),
    }
}

/// The same at this address.
fn bank_at(base_url: &str) -> Connection {
    Connection {
        base_url: base_url.to_owned(),
        ..bank()
    }
}

fn bank() -> Connection {
    connection_of("augustus")
}

fn endpoint<'a>(connection: &'a Connection, name: &str) -> &'a Endpoint {
    connection
        .connector
        .endpoint(name)
        .unwrap_or_else(|| panic!("no endpoint {name}"))
}

fn money(amount: &str, currency: &str) -> Value {
    Value::Money(Money::parse(amount, currency.parse().unwrap()).unwrap())
}

fn time(text: &str) -> Instant {
    parse_time(text).unwrap()
}

const ACCOUNT: &str = "11111111-2222-4333-8444-555555555555";
const OTHER_ACCOUNT: &str = "66666666-7777-4888-8999-000000000000";
const DEPOSIT: &str = "d1d1d1d1-2222-4333-8444-555555555555";

fn destination(iban: &str) -> Value {
    Value::map([
        ("type", Value::text("iban")),
        ("iban", Value::text(iban)),
        ("account_holder_name", Value::text("Example GmbH")),
    ])
}

/// The arguments of a payout; each test changes what it is about.
fn payout_args() -> Map {
    Map::from([
        ("source_account_id".to_owned(), Value::text(ACCOUNT)),
        ("amount".to_owned(), money("100.50", "EUR")),
        ("destination".to_owned(), destination("DE89370400440532013000")),
        ("reference".to_owned(), Value::text("INV-1001")),
    ])
}
