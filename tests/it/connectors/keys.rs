//! What tells a repeated call from a new one: the places a key may have, and what has to be seen where another's may
//! stand under the same number.

use std::sync::Arc;

use bursar::connector::connection::Connection;
use bursar::connector::lookup::Known;
use bursar::connector::reply::contradiction;
use bursar::connector::request::{Own, Prepared, prepare_own};
use bursar::connector::table::{Connector, KeyPlace};
use bursar::model::journal::Failure;
use bursar::model::value::{Map, Value};
use serde_json::{Value as Json, json};

use super::{bank, endpoint, money};

/// Each place that a key may have.
const TOY: &str = r#"name  = "toy"
title = "Toy"
doc   = "A provider of our own."
base_url = { live = "https://api.example.com" }
auth = { scheme = "bearer" }
[idempotency]
header = "x-key"
min_length = 10
max_length = 64
methods = ["POST"]
window_secs = 1500
window_max_secs = 3300
kept = "successes"
in_flight = "unknown"
[endpoint.move]
doc = "Moves."
method = "POST"
path = "/move"
effect = "moves_money"
amount = { field = "amount", currency = "currency", unit = "decimal_text" }
key = { field = "meta.key", window_secs = 3600, window_assumed = true }
in_doubt = "repeat"
params = [
  { name = "amount", type = "decimal", required = true, doc = "How much." },
  { name = "currency", required = true, doc = "Of what." },
  { name = "note", wire = "meta.note", doc = "Why." },
]
[endpoint.split]
doc = "Splits."
method = "POST"
path = "/split"
effect = "moves_money"
amount = { field = "total", currency = "currency", unit = "decimal_text" }
key = { natural = "number" }
echo = { same = { number = "/extRef", total = "/sum", parts = "/items" } }
in_doubt = "repeat"
params = [
  { name = "number", wire = "extRef", required = true, doc = "Your own." },
  { name = "total", type = "decimal", required = true, doc = "How much." },
  { name = "currency", required = true, doc = "Of what." },
  { name = "parts", type = "texts", doc = "Who." },
]
[endpoint.refund]
doc = "Refunds."
method = "POST"
path = "/refund"
effect = "write"
key = "none"
[endpoint.ping]
doc = "Pings."
method = "POST"
path = "/ping"
effect = "write"
key = "none"
same_twice = true
in_doubt = "repeat"
[endpoint.pay]
doc = "Pays."
method = "POST"
path = "/pay"
effect = "write"
in_doubt = "repeat"
[endpoint.change]
doc = "Changes."
method = "PATCH"
path = "/pay"
effect = "write"
"#;

fn connection() -> Connection {
    let connector = Connector::parse("connectors/toy.toml", TOY).unwrap_or_else(|wrong| panic!("{wrong:#?}"));
    Connection {
        name: "toy".to_owned(),
        connector: Arc::new(connector),
        ..bank()
    }
}

fn build(name: &str, args: &Map, key: Option<&str>) -> Result<Prepared, Failure> {
    let toy = connection();
    let own = Own {
        reference: None,
        key,
        before: &Known::new(),
    };
    prepare_own(&toy, endpoint(&toy, name), args, own)
}

fn amount(field: &str) -> Map {
    Map::from([(field.to_owned(), money("1.50", "EUR"))])
}

#[test]
fn each_endpoint_has_its_key_where_its_table_says() {
    let toy = connection();
    let place = |name: &str| endpoint(&toy, name).key.clone();
    let window = |name: &str| toy.key_window(endpoint(&toy, name)).map(|window| window.as_secs());
    assert_eq!(place("pay"), KeyPlace::Header);
    assert_eq!(place("change"), KeyPlace::None);
    assert_eq!(place("refund"), KeyPlace::None);
    assert!(place("split").is_for_good() && !place("split").is_made());
    assert_eq!(place("move").field(), Some("meta.key"));
    let windows = ["pay", "change", "refund", "split", "move"].map(window);
    assert_eq!(windows, [Some(1500), None, None, None, Some(3300)]);
}

#[test]
fn no_connection_trusts_a_key_for_longer_than_the_table_allows() {
    let mut toy = connection();
    for (said, expected) in [(0, 0), (60, 60), (3300, 3300), (3301, 3300), (86_400, 3300)] {
        toy.key_window_secs = Some(said);
        let window = toy.key_window(endpoint(&toy, "pay")).map(|window| window.as_secs());
        assert_eq!(window, Some(expected), "{said}");
    }
}

#[test]
fn a_key_in_the_body_is_part_of_what_the_request_is() {
    let first = build("move", &amount("amount"), Some("k1")).unwrap();
    assert_eq!(
        first.request.body.as_deref(),
        Some(r#"{"amount":"1.50","currency":"EUR","meta":{"key":"k1"}}"#)
    );
    let again = build("move", &amount("amount"), Some("k1")).unwrap();
    assert_eq!((&first.request, first.fingerprint), (&again.request, again.fingerprint));
    let other = build("move", &amount("amount"), Some("k2")).unwrap();
    assert_ne!(first.fingerprint, other.fingerprint);
    let mut noted = amount("amount");
    noted.insert("note".to_owned(), Value::text("why"));
    let noted = build("move", &noted, Some("k1")).unwrap();
    assert!(
        noted
            .request
            .body
            .unwrap()
            .contains(r#""meta":{"key":"k1","note":"why"}"#)
    );
    let header = build("pay", &Map::new(), Some("k1")).unwrap();
    assert_eq!(header.request.body, None, "a key of a header stands in no body");
}

#[test]
fn an_answer_about_somebody_elses_number_is_a_contradiction() {
    let toy = connection();
    let mut args = amount("total");
    args.insert("number".to_owned(), Value::text("A-1"));
    args.insert(
        "parts".to_owned(),
        Value::List(vec![Value::text("x"), Value::text("y"), Value::text("x")]),
    );
    let built = build("split", &args, None).unwrap();
    let told = |answer: Json| {
        let answer = Value::from_plain(&answer).unwrap();
        contradiction(endpoint(&toy, "split"), &built.request, None, &answer)
    };
    let same = json!({"extRef": "A-1", "sum": "1.5", "items": ["y", "x", "x"], "code": "c"});
    assert_eq!(told(same.clone()), None);
    let with = |key: &str, value: Json| {
        let mut other = same.clone();
        other[key] = value;
        told(other)
    };
    assert_eq!(with("sum", json!(1.5)), None);
    for (key, value, field) in [
        ("sum", json!("2.50"), "total"),
        ("sum", Json::Null, "total"),
        ("extRef", json!("A-2"), "number"),
        ("items", json!(["x", "y", "y"]), "parts"),
        ("items", json!(["x", "y"]), "parts"),
        ("items", json!(["x", "y", "x", "z"]), "parts"),
    ] {
        let told = with(key, value.clone()).unwrap_or_default();
        assert!(
            told.contains(&format!("does not show what was sent as `{field}`")),
            "{key} {value}: {told}"
        );
    }
    // What was not sent is not asked for.
    args.remove("parts");
    let built = build("split", &args, None).unwrap();
    let answer = Value::from_plain(&json!({"extRef": "A-1", "sum": 1.50})).unwrap();
    assert_eq!(
        contradiction(endpoint(&toy, "split"), &built.request, None, &answer),
        None
    );
}

#[test]
fn a_table_is_told_which_keys_it_cannot_have() {
    let cases = [
        (
            "min_length = 10",
            "min_length = 37",
            "the keys of bursar are 36 characters long",
        ),
        (
            "max_length = 64",
            "max_length = 35",
            "the keys of bursar are 36 characters long",
        ),
        (
            "window_max_secs = 3300",
            "window_max_secs = 1499",
            "`window_secs` is above it",
        ),
        (
            "key = \"none\"\nsame_twice = true\n",
            "key = \"none\"\n",
            "it could happen twice",
        ),
        (
            "key = { field = \"meta.key\", window_secs = 3600, window_assumed = true }",
            "same_twice = true",
            "money that is moved twice",
        ),
        (
            "key = { field = \"meta.key\", window_secs = 3600",
            "key = { field = \"meta.key\", window_secs = 0",
            "protects for no time",
        ),
        (
            "field = \"meta.key\"",
            "field = \"meta\"",
            "`note` stands where the key is to stand",
        ),
        (
            "field = \"meta.key\"",
            "field = \"meta.note.key\"",
            "`note` stands where the key is to stand",
        ),
        (
            "field = \"meta.key\"",
            "field = \"currency\"",
            "`currency` stands where the key is to stand",
        ),
        (
            "field = \"meta.key\"",
            "field = \"meta..key\"",
            "`meta..key` leads nowhere",
        ),
        (
            "echo = { same = { number = \"/extRef\", total = \"/sum\", parts = \"/items\" } }\n",
            "",
            "`echo.same` has to say",
        ),
        (
            "natural = \"number\"",
            "natural = \"numbr\"",
            "there is no parameter `numbr` (did you mean `number`?)",
        ),
        (
            "natural = \"number\"",
            "natural = \"parts\"",
            "has to be a required text",
        ),
        (
            "wire = \"extRef\", required = true",
            "wire = \"extRef\"",
            "has to be a required text",
        ),
        ("total = \"/sum\"", "totl = \"/sum\"", "there is no parameter `totl`"),
        ("total = \"/sum\"", "total = \"sum\"", "`sum` is not a pointer"),
        (
            "key = \"none\"\n[endpoint.ping]",
            "key = \"nothing\"\n[endpoint.ping]",
            "expected \"none\", { field, window_secs } or { natural }",
        ),
        (
            "key = \"none\"\n[endpoint.ping]",
            "keyed = false\n[endpoint.ping]",
            "keyed",
        ),
        (
            "effect = \"write\"\nkey = \"none\"\nsame_twice = true\nin_doubt = \"repeat\"",
            "effect = \"read\"\nsame_twice = true",
            "a read is simply repeated",
        ),
        ("kept = \"successes\"", "kept = \"some\"", "some"),
    ];
    for (from, to, expected) in cases {
        assert!(TOY.contains(from), "{from}");
        let told = Connector::parse("connectors/toy.toml", &TOY.replacen(from, to, 1)).unwrap_err();
        let told = told.into_iter().map(|finding| {
            let help = finding.help.map_or(String::new(), |help| format!(" ({help})"));
            assert!(finding.span.is_some(), "{}", finding.message);
            format!("{}{help}", finding.message)
        });
        let told: Vec<String> = told.collect();
        assert!(told.iter().any(|told| told.contains(expected)), "{to}: {told:#?}");
    }
}
