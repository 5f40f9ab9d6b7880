//! What an item shows against what was sent: the same thing written otherwise is ours, and what shows too little to
//! tell proves no absence.

use std::collections::BTreeMap;
use std::sync::Arc;

use bursar::connector::connection::Connection;
use bursar::connector::lookup::{Progress, Search};
use bursar::connector::request::prepare;
use bursar::connector::table::Connector;
use bursar::model::journal::Intent;
use bursar::model::value::{Map, Value};
use serde_json::{Value as Json, json};

use super::{REFERENCE, SENT, later};
use crate::connectors::{bank, endpoint, money, time};

const TOY: &str = r#"name  = "toy"
title = "Toy"
doc   = "A provider of our own."
base_url = { live = "https://api.example.com" }
auth = { scheme = "bearer" }
[endpoint.give_back]
doc = "Gives a payment back."
method = "POST"
path = "/payments/{number}/back"
effect = "moves_money"
amount = "whole"
in_doubt = "lookup"
params = [{ name = "number", in = "path", doc = "Which." }]
[endpoint.give_back.lookup]
endpoint = "backs"
match = { natural = { field = "number", pointer = "/number" } }
visibility_lag_secs = 0
covers_window = true
margin_secs = 60
[endpoint.send_back]
doc = "Sends a deposit back."
method = "POST"
path = "/backs"
effect = "moves_money"
amount = "whole"
in_doubt = "lookup"
params = [{ name = "deposit", type = "uuid", required = true, doc = "Which." }]
[endpoint.send_back.lookup]
endpoint = "backs"
match = { natural = { field = "deposit", pointer = "/deposit" } }
visibility_lag_secs = 0
covers_window = true
margin_secs = 60
[endpoint.refund]
doc = "Gives back a part."
method = "POST"
path = "/payments/{number}/refunds"
effect = "moves_money"
amount = { field = "amount", currency = "currency", unit = "decimal_text" }
in_doubt = "lookup"
exclusive = "{sent.number}"
params = [
  { name = "number", in = "path", doc = "Which." },
  { name = "amount", type = "decimal", required = true, doc = "How much." },
  { name = "currency", required = true, doc = "Of what." },
]
[endpoint.refund.before]
endpoint = "show"
query = { number = "{sent.number}" }
keep = { refunds = "/refunds/*/id", refunded = "/refunded" }
[endpoint.refund.lookup]
endpoint = "show"
query = { number = "{sent.number}" }
items = "/refunds"
match = { fresh = { ids = "{before.refunds}", at = "/id", same = [{ at = "/amount", is = ["{sent.amount}"] }] } }
visibility_lag_secs = 0
covers_window = true
[endpoint.charge]
doc = "Takes all of it."
method = "POST"
path = "/payments/{number}/charges"
effect = "moves_money"
amount = { before = "amount", currency = "currency", unit = "decimal_text" }
in_doubt = "lookup"
exclusive = "{sent.number}"
params = [{ name = "number", in = "path", doc = "Which." }]
[endpoint.charge.before]
endpoint = "show"
query = { number = "{sent.number}" }
keep = { refunds = "/refunds/*/id", amount = "/amount", currency = "/currency" }
[endpoint.charge.lookup]
endpoint = "show"
query = { number = "{sent.number}" }
items = "/refunds"
match = { fresh = { ids = "{before.refunds}", at = "/id", same = [{ at = "/amount", is = ["{before.amount}"] }] } }
visibility_lag_secs = 0
covers_window = true
[endpoint.sum]
doc = "Gives back a part, told by the sum."
method = "POST"
path = "/payments/{number}/sums"
effect = "moves_money"
amount = { field = "amount", currency = "currency", unit = "decimal_text" }
in_doubt = "lookup"
exclusive = "{sent.number}"
params = [
  { name = "number", in = "path", doc = "Which." },
  { name = "amount", type = "decimal", required = true, doc = "How much." },
  { name = "currency", required = true, doc = "Of what." },
]
[endpoint.sum.before]
endpoint = "show"
query = { number = "{sent.number}" }
keep = { refunded = "/refunded" }
[endpoint.sum.lookup]
endpoint = "show"
query = { number = "{sent.number}" }
match = { state = { done = [{ at = "/refunded", is_sum = ["{before.refunded}", "{sent.amount}"] }], open = [{ at = "/refunded", is = ["{before.refunded}"] }] } }
visibility_lag_secs = 0
[endpoint.show]
doc = "Shows a payment."
method = "GET"
path = "/payments/{number}"
effect = "read"
params = [{ name = "number", in = "path", doc = "Which." }]
[pagination.whole]
style = "whole"
items = "/data"
[endpoint.backs]
doc = "Lists what went back."
method = "GET"
path = "/backs"
effect = "read"
list = "whole"
"#;

const DEPOSIT: &str = "0190b1f4-7c3e-7d2a-9c1b-5e6f708192a3";

/// What a look-up for one step comes to, in one word: what was known before, what is answered.
fn come_to(name: &str, known: &Json, answer: &Json) -> &'static str {
    let connector = Connector::parse("connectors/toy.toml", TOY).unwrap_or_else(|wrong| panic!("{wrong:#?}"));
    let toy = Connection {
        name: "toy".to_owned(),
        connector: Arc::new(connector),
        ..bank()
    };
    let mut args = Map::new();
    match name {
        "send_back" => args.insert("deposit".to_owned(), Value::text(DEPOSIT)),
        _ => args.insert("number".to_owned(), Value::text("1001")),
    };
    if ["refund", "sum"].contains(&name) {
        args.insert("amount".to_owned(), money("10.00", "EUR"));
    }
    let effect = endpoint(&toy, name);
    let prepared = prepare(&toy, effect, &args, Some(REFERENCE)).unwrap();
    let before: BTreeMap<String, Json> = serde_json::from_value(known.clone()).unwrap();
    let intent = Intent {
        connection: "toy".to_owned(),
        endpoint: name.to_owned(),
        epoch: 0,
        key: None,
        key_safe_until: None,
        reference: REFERENCE.to_owned(),
        fingerprint: prepared.fingerprint,
        request: prepared.request,
        movement: prepared.movement,
        forgotten: None,
        before,
        exclusive: None,
    };
    let search = Search::begin(&toy, effect, &intent, time(SENT), time(SENT)).unwrap();
    match search.take(&Value::from_plain(answer).unwrap(), later()) {
        Progress::Found(_) => "found",
        Progress::Contradiction(_) => "contradiction",
        Progress::Next(_) => "next",
        Progress::Absent => "absent",
        Progress::Lost(_) => "lost",
        Progress::Unproved { again_at: Some(_) } => "later",
        Progress::Unproved { again_at: None } => "person",
    }
}

/// The cases that come to something else than they should.
fn wrong(name: &str, known: &Json, at: &str, cases: &[(Json, &str)]) -> Vec<String> {
    let wrong = cases.iter().filter_map(|(items, expected)| {
        let came = come_to(name, known, &json!({ at: items }));
        (came != *expected).then(|| format!("{name}: {items}: {came}, not {expected}"))
    });
    wrong.collect()
}

#[test]
fn what_there_can_be_one_of_is_known_again_however_it_is_written() {
    let upper = DEPOSIT.to_uppercase();
    let numbers = [
        (json!([{"number": "1001"}]), "found"),
        (json!([{"number": 1001}]), "found"),
        (json!([{"number": 1002}, {"number": 1001}]), "found"),
        (json!([{"number": 1002}]), "absent"),
        (json!([{"number": "1001.0"}]), "absent"),
        (json!([{"number": "01001"}]), "absent"),
        (json!([]), "absent"),
    ];
    let ids = [
        (json!([{ "deposit": DEPOSIT }]), "found"),
        (json!([{ "deposit": upper }]), "found"),
        (json!([{ "deposit": DEPOSIT.replace('-', "") }]), "found"),
        (json!([{ "deposit": DEPOSIT.replace("a3", "a4") }]), "absent"),
        (json!([{ "deposit": "d1" }]), "absent"),
    ];
    let mut told = wrong("give_back", &json!({}), "data", &numbers);
    told.extend(wrong("send_back", &json!({}), "data", &ids));
    assert!(told.is_empty(), "{told:#?}");
}

/// A place that leads nowhere would make every item another's, and an absence of it.
#[test]
fn an_item_that_does_not_say_whose_it_is_proves_no_absence() {
    let cases = [
        (json!([{"id": "r1"}]), "lost"),
        (json!([{"number": null}]), "lost"),
        (json!([{"number": {"value": "1001"}}]), "lost"),
        (json!([{"number": ["1001"]}]), "lost"),
        (json!([{"number": 1002}, {"id": "r1"}]), "lost"),
        (json!(["1001"]), "lost"),
        (json!([{"number": 1001}, {"id": "r1"}]), "found"),
    ];
    let told = wrong("give_back", &json!({}), "data", &cases);
    assert!(told.is_empty(), "{told:#?}");
}

#[test]
fn a_new_item_that_does_not_show_what_was_sent_may_be_ours() {
    let known = json!({"refunds": ["r1", 2, DEPOSIT], "refunded": "0"});
    let cases = [
        (json!([{"id": "r1", "amount": "10.00"}]), "absent"),
        (json!([{"id": "r3", "amount": "10.00"}]), "found"),
        (json!([{"id": "r3", "amount": "10.0"}]), "found"),
        (json!([{"id": "r3", "amount": 10}]), "found"),
        // It may show its amount later, or another's name of it: no third one goes out.
        (json!([{"id": "r3"}]), "person"),
        (json!([{"id": "r3", "amount": null}]), "person"),
        (json!([{"id": "r3", "amount": "9.00"}]), "person"),
        (
            json!([{"id": "r3", "amount": "9.00"}, {"id": "r4", "amount": "10.00"}]),
            "found",
        ),
        (
            json!([{"id": "r3", "amount": "10.00"}, {"id": "r4", "amount": "10.00"}]),
            "contradiction",
        ),
        // Those that were there before, written otherwise.
        (json!([{"id": "2", "amount": "10.00"}]), "absent"),
        (json!([{"id": DEPOSIT.to_uppercase(), "amount": "10.00"}]), "absent"),
        (json!([{"amount": "10.00"}]), "lost"),
    ];
    let mut told = wrong("refund", &known, "refunds", &cases);
    let whole = json!({"refunds": [], "amount": "10.0", "currency": "EUR"});
    let cases = [
        (json!([{"id": "c1", "amount": "10.00"}]), "found"),
        (json!([{"id": "c1", "amount": "10.01"}]), "person"),
        (json!([]), "absent"),
    ];
    told.extend(wrong("charge", &whole, "refunds", &cases));
    assert!(told.is_empty(), "{told:#?}");
}

/// What a provider shows cannot bring the process down.
#[test]
fn a_sum_that_no_number_can_hold_is_no_sum() {
    let most = "79228162514264337593543950335";
    for known in [json!(most), json!(format!("-{most}")), json!("10.00")] {
        for shown in [json!(most), json!("20.00"), json!(null)] {
            let came = come_to("sum", &json!({ "refunded": known }), &json!({ "refunded": shown }));
            let expected = match (known == json!("10.00"), known == shown) {
                (true, _) if shown == json!("20.00") => "found",
                (false, true) => "absent",
                _ => "person",
            };
            assert_eq!(came, expected, "{known} {shown}");
        }
    }
}
