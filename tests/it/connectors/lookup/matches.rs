//! The ways in which ours is told from the others: what each says of what is there, of what is not, and of what it
//! cannot know.

use std::sync::Arc;

use bursar::base::clock::Instant;
use bursar::connector::connection::Connection;
use bursar::connector::lookup::{Read, Search, Sought};
use bursar::connector::reply::{RawAnswer, classify};
use bursar::connector::request::prepare;
use bursar::connector::table::Connector;
use bursar::model::journal::{Forgotten, Intent};
use bursar::model::value::{Map, Value};
use chrono::TimeDelta;
use serde_json::{Value as Json, json};

use super::{REFERENCE, SENT, later};
use crate::connectors::{bank, endpoint, money, time};

const TOY: &str = r#"name  = "toy"
title = "Toy"
doc   = "A provider of our own."
base_url = { live = "https://api.example.com" }
auth = { scheme = "bearer" }
[pagination.cursor]
style = "cursor"
items = "/data"
next = "/next"
cursor = "cursor"
[endpoint.plain]
doc = "Pays."
method = "POST"
path = "/pay"
effect = "moves_money"
amount = { field = "amount", currency = "currency", unit = "decimal_number" }
our_reference = "note"
echo = { amount = "/amount", currency = "/currency" }
in_doubt = "lookup"
params = [
  { name = "amount", type = "decimal", required = true, doc = "How much." },
  { name = "currency", required = true, doc = "Of what." },
  { name = "note", doc = "For our reference." },
]
[endpoint.plain.lookup]
endpoint = "list"
match = { reference = "/note" }
created_at = "/made"
margin_secs = 60
visibility_lag_secs = 120
covers_window = true
[endpoint.strict]
doc = "Pays."
method = "POST"
path = "/pay"
effect = "moves_money"
amount = { field = "amount", currency = "currency", unit = "decimal_number" }
our_reference = "note"
echo = { amount = "/amount", currency = "/currency" }
in_doubt = "lookup"
params = [
  { name = "amount", type = "decimal", required = true, doc = "How much." },
  { name = "currency", required = true, doc = "Of what." },
  { name = "note", doc = "For our reference." },
]
[endpoint.strict.lookup]
endpoint = "list"
match = { reference = "/note" }
several = "contradiction"
created_at = "/made"
margin_secs = 60
visibility_lag_secs = 120
covers_window = true
[endpoint.tail]
doc = "Pays."
method = "POST"
path = "/pay"
effect = "moves_money"
amount = { field = "amount", currency = "currency", unit = "decimal_number" }
our_reference = { field = "note", form = "end" }
echo = { amount = "/amount", currency = "/currency" }
in_doubt = "lookup"
params = [
  { name = "amount", type = "decimal", required = true, doc = "How much." },
  { name = "currency", required = true, doc = "Of what." },
  { name = "note", max_length = 40, doc = "What for." },
]
[endpoint.tail.lookup]
endpoint = "list"
query = { until = "{window_end}" }
match = { reference_at_end = "/note" }
several = "contradiction"
created_at = "/made"
margin_secs = 60
visibility_lag_secs = 120
covers_window = true
[endpoint.inside]
doc = "Gives back."
method = "POST"
path = "/returns"
effect = "moves_money"
amount = "whole"
in_doubt = "lookup"
look_first = true
params = [{ name = "deposit", wire = "depositId", required = true, doc = "Which." }]
[endpoint.inside.lookup]
endpoint = "show"
query = { id = "{sent.deposit}" }
items = "/returns"
missing = [404]
when = [{ at = "/kind", is = ["return", "absent"] }]
match = { natural = { field = "deposit", pointer = "/depositId", dead = { pointer = "/status", values = ["failed"] } } }
several = "contradiction"
created_at = "/made"
visibility_lag_secs = 120
covers_window = true
[endpoint.state]
doc = "Captures."
method = "POST"
path = "/things/{id}/capture"
effect = "moves_money"
amount = { field = "amount", currency = "currency", unit = "decimal_number" }
in_doubt = "lookup"
params = [
  { name = "id", in = "path", doc = "Which." },
  { name = "amount", type = "decimal", required = true, doc = "How much." },
  { name = "currency", required = true, doc = "Of what." },
  { name = "parts", type = "texts", doc = "Who gets a part." },
]
[endpoint.state.lookup]
endpoint = "show"
query = { id = "{sent.id}" }
match = { state = { done = [{ at = "/status", is = ["captured"] }, { at = "/taken", is = ["{sent.amount}"] }, { at = "/parts", shows = "parts" }], open = [{ at = "/status", is = ["open", "new"] }, { at = "/taken", is = [0, "absent"] }] } }
visibility_lag_secs = 120
[endpoint.feed]
doc = "Takes back."
method = "POST"
path = "/things/{id}/cancel"
effect = "write"
in_doubt = "lookup"
params = [{ name = "id", in = "path", doc = "Which." }]
[endpoint.feed.lookup]
endpoint = "list"
when = [{ at = "/thing", is = ["{sent.id}"] }]
match = { state = { done = [{ at = "/status", is = ["cancelled"] }] } }
visibility_lag_secs = 120
[endpoint.content]
doc = "Changes."
method = "PATCH"
path = "/things/{id}"
effect = "write"
in_doubt = "lookup"
params = [
  { name = "id", in = "path", doc = "Which." },
  { name = "city", wire = "where.city", doc = "Where." },
  { name = "tags", type = "texts", doc = "What." },
]
[endpoint.content.lookup]
endpoint = "show"
query = { id = "{sent.id}" }
match = { content = true }
visibility_lag_secs = 120
[endpoint.gone]
doc = "Removes."
method = "DELETE"
path = "/things/{id}"
effect = "write"
in_doubt = "lookup"
params = [{ name = "id", in = "path", doc = "Which." }]
[endpoint.gone.lookup]
endpoint = "show"
query = { id = "{sent.id}" }
match = { gone = [404] }
visibility_lag_secs = 120
[endpoint.show]
doc = "Shows."
method = "GET"
path = "/things/{id}"
effect = "read"
params = [{ name = "id", in = "path", doc = "Which." }]
[endpoint.list]
doc = "Lists."
method = "GET"
path = "/pay"
effect = "read"
list = "cursor"
params = [{ name = "until", in = "query", type = "time", doc = "Until when." }]
"#;

fn toy() -> Connection {
    let connector = Connector::parse("connectors/toy.toml", TOY).unwrap_or_else(|wrong| panic!("{wrong:#?}"));
    Connection {
        name: "toy".to_owned(),
        connector: Arc::new(connector),
        ..bank()
    }
}

fn intent(toy: &Connection, name: &str) -> Intent {
    let texts = |given: &[(&str, &str)]| -> Map {
        let given = given
            .iter()
            .map(|(name, text)| ((*name).to_owned(), Value::text(*text)));
        given.collect()
    };
    let mut args = match name {
        "inside" => texts(&[("deposit", "d1")]),
        "plain" | "strict" => Map::new(),
        "tail" => texts(&[("note", "INV-1")]),
        "content" => texts(&[("id", "t1"), ("city", "Bonn")]),
        _ => texts(&[("id", "t1")]),
    };
    if ["plain", "strict", "tail", "state"].contains(&name) {
        args.insert("amount".to_owned(), money("10.50", "EUR"));
    }
    if name == "content" {
        args.insert("tags".to_owned(), Value::List(vec![Value::text("a"), Value::text("b")]));
    }
    let prepared = prepare(toy, endpoint(toy, name), &args, Some(REFERENCE)).unwrap();
    Intent {
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
        before: std::collections::BTreeMap::new(),
        exclusive: None,
    }
}

fn begin(name: &str) -> Search {
    let toy = toy();
    Search::begin(&toy, endpoint(&toy, name), &intent(&toy, name), time(SENT), time(SENT)).unwrap()
}

/// What comes of answers, read at this time, in one word.
fn come_to(mut search: Search, answers: &[(u16, Json)], at: Instant) -> &'static str {
    let toy = toy();
    let mut answers = answers.iter();
    loop {
        let (status, body) = answers.next().expect("it asks for another page");
        let answer = RawAnswer {
            status: *status,
            headers: Vec::new(),
            body: body.to_string().into(),
        };
        let verdict = classify(&toy.connector, search.list(), search.request(), None, &answer);
        let sought = match search.read(Some(&answer), verdict, at, at) {
            Read::More(further) => {
                search = *further;
                continue;
            }
            Read::Over { sought, .. } => sought,
        };
        assert_eq!(answers.next(), None, "it does not read on");
        return match sought {
            Sought::Found(_) => "found",
            Sought::Contradiction(_) => "contradiction",
            Sought::Absent => "absent",
            Sought::Unproved { again_at: Some(_) } => "later",
            Sought::Unproved { again_at: None } => "person",
            Sought::Failed(_) => "failed",
            Sought::Refused(_) => "refused",
            Sought::ClocksApart(_) => "apart",
        };
    }
}

/// When what was taken shows: the request may be under way for 30 seconds, and the lag is 120.
fn visible_from() -> Instant {
    time(SENT) + TimeDelta::seconds(150)
}

fn early() -> Instant {
    visible_from() - TimeDelta::seconds(1)
}

#[expect(clippy::needless_pass_by_value, reason = "a case writes its value in place")]
fn paid(note: &str, amount: Json) -> Json {
    json!({"id": note, "note": note, "amount": amount, "currency": "EUR", "made": SENT})
}

fn listed(items: &[Json]) -> Json {
    json!({ "data": items })
}

fn given_back(deposit: &str, status: &str, made: &str) -> Json {
    json!({"id": made, "depositId": deposit, "status": status, "made": made})
}

fn holding(items: &[Json]) -> Json {
    json!({"id": "d1", "returns": items})
}

#[test]
fn each_match_says_what_it_can_and_no_more() {
    let ours = || paid(REFERENCE, json!(10.50));
    let behind = |text: &str, amount: Json| paid(&format!("{text} {REFERENCE}"), amount);
    let live = || given_back("d1", "initiated", SENT);
    let state = |status: &str, taken: Json| json!({"status": status, "taken": taken});
    let in_feed = |thing: &str, status: &str| json!({"id": thing, "thing": thing, "status": status});
    let content = |city: &str, tags: Json| json!({"where": {"city": city, "zip": "1"}, "tags": tags, "id": "t1"});
    let none = || (200, listed(&[]));
    let no_such = || (404, json!({"code": "not_found"}));
    // Match, what it is, what is answered, and what it comes to when read early and late.
    let cases = [
        ("plain", "present", (200, listed(&[ours()])), "found", "found"),
        ("plain", "absent", none(), "later", "absent"),
        ("plain", "two", (200, listed(&[ours(), ours()])), "found", "found"),
        (
            "plain",
            "other amount",
            (200, listed(&[paid(REFERENCE, json!(9))])),
            "contradiction",
            "contradiction",
        ),
        (
            "plain",
            "other reference",
            (200, listed(&[behind("x", json!(10.5))])),
            "later",
            "absent",
        ),
        ("plain", "unreadable", (200, json!({"data": 1})), "failed", "failed"),
        ("plain", "not there", no_such(), "failed", "failed"),
        ("plain", "refused", (401, json!({})), "refused", "refused"),
        (
            "strict",
            "present",
            (200, listed(&[ours(), paid("run_1/4", json!(10.50))])),
            "found",
            "found",
        ),
        (
            "strict",
            "two",
            (200, listed(&[ours(), paid("x", json!(1)), ours()])),
            "contradiction",
            "contradiction",
        ),
        (
            "tail",
            "present",
            (200, listed(&[behind("INV-1", json!(10.50))])),
            "found",
            "found",
        ),
        (
            "tail",
            "alone",
            (200, listed(&[ours()])),
            "contradiction",
            "contradiction",
        ),
        (
            "tail",
            "absent",
            (200, listed(&[paid("INV-1", json!(10.50))])),
            "later",
            "absent",
        ),
        (
            "tail",
            "another's",
            (200, listed(&[paid("INV-1 run_1/33", json!(10.50))])),
            "later",
            "absent",
        ),
        (
            "tail",
            "not at the end",
            (200, listed(&[paid(&format!("{REFERENCE} INV-1"), json!(1))])),
            "later",
            "absent",
        ),
        (
            "tail",
            "two",
            (200, listed(&[behind("a", json!(10.5)), behind("b", json!(10.5))])),
            "contradiction",
            "contradiction",
        ),
        (
            "tail",
            "other amount",
            (200, listed(&[behind("INV-1", json!(9))])),
            "contradiction",
            "contradiction",
        ),
        ("inside", "present", (200, holding(&[live()])), "found", "found"),
        ("inside", "absent", (200, holding(&[])), "later", "absent"),
        ("inside", "missing", no_such(), "later", "absent"),
        (
            "inside",
            "two",
            (200, holding(&[live(), live()])),
            "contradiction",
            "contradiction",
        ),
        (
            "inside",
            "dead before",
            (200, holding(&[given_back("d1", "failed", "2026-05-01T09:00:00Z")])),
            "later",
            "absent",
        ),
        (
            "inside",
            "dead since",
            (200, holding(&[given_back("d1", "failed", SENT)])),
            "found",
            "found",
        ),
        (
            "inside",
            "of another kind",
            (200, holding(&[json!({"kind": "fee", "depositId": "d1"})])),
            "later",
            "absent",
        ),
        (
            "inside",
            "another's",
            (200, holding(&[given_back("d2", "initiated", SENT)])),
            "later",
            "absent",
        ),
        ("inside", "no list", (200, json!({"id": "d1"})), "failed", "failed"),
        ("inside", "down", (500, json!({})), "failed", "failed"),
        ("inside", "refused", (401, json!({})), "refused", "refused"),
        (
            "state",
            "done",
            (200, state("captured", json!("10.5"))),
            "found",
            "found",
        ),
        ("state", "open", (200, state("open", json!(0))), "later", "absent"),
        (
            "state",
            "open, not said",
            (200, json!({"status": "new"})),
            "later",
            "absent",
        ),
        (
            "state",
            "other amount",
            (200, state("captured", json!(9))),
            "later",
            "person",
        ),
        (
            "state",
            "other status",
            (200, state("reversed", json!(10.50))),
            "later",
            "person",
        ),
        (
            "state",
            "half done",
            (200, state("open", json!(10.50))),
            "later",
            "person",
        ),
        ("state", "unreadable", (200, json!([])), "later", "person"),
        ("state", "missing", no_such(), "failed", "failed"),
        (
            "feed",
            "done",
            (200, listed(&[in_feed("t2", "paid"), in_feed("t1", "cancelled")])),
            "found",
            "found",
        ),
        (
            "feed",
            "not done",
            (200, listed(&[in_feed("t1", "paid")])),
            "later",
            "person",
        ),
        (
            "feed",
            "not shown",
            (200, listed(&[in_feed("t2", "cancelled")])),
            "later",
            "person",
        ),
        (
            "feed",
            "two",
            (200, listed(&[in_feed("t1", "cancelled"), in_feed("t1", "cancelled")])),
            "later",
            "person",
        ),
        (
            "content",
            "as sent",
            (200, content("Bonn", json!(["b", "a"]))),
            "found",
            "found",
        ),
        (
            "content",
            "otherwise",
            (200, content("Köln", json!(["a", "b"]))),
            "later",
            "absent",
        ),
        (
            "content",
            "in part",
            (200, content("Bonn", json!(["a"]))),
            "later",
            "absent",
        ),
        ("content", "missing", no_such(), "failed", "failed"),
        ("gone", "gone", no_such(), "found", "found"),
        ("gone", "there", (200, json!({"id": "t1"})), "later", "absent"),
        ("gone", "down", (503, json!({})), "failed", "failed"),
        ("gone", "refused", (401, json!({})), "refused", "refused"),
    ];
    for (name, what, answer, when_early, when_late) in cases {
        let told = |at| come_to(begin(name), std::slice::from_ref(&answer), at);
        let came = (told(early()), told(visible_from()), told(later()));
        assert_eq!(came, (when_early, when_late, when_late), "{name}, {what}");
        for secs in 0..150 {
            let early = told(time(SENT) + TimeDelta::seconds(secs));
            assert_ne!(early, "absent", "{name}, {what}, {secs} s after it was sent");
        }
    }
}

/// What we left to the provider is as it is there; what we said has to be there as we said it.
#[test]
fn a_state_shows_what_was_sent_besides() {
    let toy = toy();
    let told = |sent: Option<[&str; 2]>, shown: Json| {
        let mut args = Map::from([
            ("id".to_owned(), Value::text("t1")),
            ("amount".to_owned(), money("10.50", "EUR")),
        ]);
        args.extend(sent.map(|parts| ("parts".to_owned(), Value::List(parts.map(Value::text).to_vec()))));
        let prepared = prepare(&toy, endpoint(&toy, "state"), &args, Some(REFERENCE)).unwrap();
        let intent = Intent {
            request: prepared.request,
            ..intent(&toy, "state")
        };
        let search = Search::begin(&toy, endpoint(&toy, "state"), &intent, time(SENT), time(SENT)).unwrap();
        let state = json!({"status": "captured", "taken": 10.5, "parts": shown});
        come_to(search, &[(200, state)], later())
    };
    assert_eq!(told(None, json!(["a"])), "found");
    assert_eq!(told(Some(["a", "b"]), json!(["b", "a"])), "found");
    for other in [json!(["a"]), json!(["a", "c"]), json!([]), json!(null)] {
        assert_eq!(told(Some(["a", "b"]), other.clone()), "person", "{other}");
    }
}

/// `true` is no text, and a text no `true`.
#[test]
fn a_condition_takes_true_and_false() {
    for (is, shown, expected) in [
        ("true", json!(true), "found"),
        ("\"true\"", json!("true"), "found"),
        ("true", json!("true"), "person"),
        ("\"true\"", json!(true), "person"),
        ("false", json!(null), "person"),
    ] {
        let table = TOY.replacen("is = [\"captured\"]", &format!("is = [{is}]"), 1);
        let toy = Connection {
            connector: Arc::new(Connector::parse("toy.toml", &table).unwrap_or_else(|wrong| panic!("{wrong:#?}"))),
            ..toy()
        };
        let intent = intent(&toy, "state");
        let search = Search::begin(&toy, endpoint(&toy, "state"), &intent, time(SENT), time(SENT)).unwrap();
        let state = json!({"status": shown, "taken": 10.5});
        assert_eq!(come_to(search, &[(200, state)], later()), expected, "{is}");
    }
}

#[test]
fn two_that_bear_our_mark_are_for_a_person() {
    let page = |item: Json, next: Json| (200, json!({"data": [item], "next": next}));
    let ours = || paid(REFERENCE, json!(10.50));
    let over = |second: Json| {
        let answers = [page(ours(), json!("2")), page(second, Json::Null)];
        come_to(begin("strict"), &answers, later())
    };
    assert_eq!(over(ours()), "contradiction");
    assert_eq!(over(paid("x", json!(1))), "found");
    // A list that cannot be read to its end may hold the second one.
    let broken = [page(ours(), json!("2")), (200, json!({"data": [], "next": "2"}))];
    assert_eq!(come_to(begin("strict"), &broken, later()), "failed");
}

#[test]
fn before_it_is_sent_what_came_to_nothing_is_another() {
    let toy = toy();
    let intent = intent(&toy, "inside");
    let told = |status: &str, made: &str| {
        let search = Search::ahead(&toy, endpoint(&toy, "inside"), &intent, time(SENT)).unwrap();
        come_to(search, &[(200, holding(&[given_back("d1", status, made)]))], time(SENT))
    };
    assert_eq!(told("initiated", "2026-01-01T00:00:00Z"), "found");
    assert_eq!(told("succeeded", SENT), "found");
    assert_eq!(told("failed", "2026-05-01T09:29:59Z"), "absent");
    let search = || Search::ahead(&toy, endpoint(&toy, "inside"), &intent, time(SENT)).unwrap();
    assert_eq!(come_to(search(), &[(200, holding(&[]))], time(SENT)), "absent");
    assert_eq!(come_to(search(), &[(404, json!({}))], time(SENT)), "absent");
}

#[test]
fn our_reference_stands_behind_what_the_script_writes() {
    let toy = toy();
    let body = |note: Option<&str>| {
        let mut args = Map::from([("amount".to_owned(), money("10.50", "EUR"))]);
        args.extend(note.map(|note| ("note".to_owned(), Value::text(note))));
        let built = prepare(&toy, endpoint(&toy, "tail"), &args, Some(REFERENCE));
        built.map(|built| serde_json::from_str::<Json>(&built.request.body.unwrap()).unwrap()["note"].clone())
    };
    assert_eq!(body(None).unwrap(), json!(REFERENCE));
    assert_eq!(body(Some("INV-1")).unwrap(), json!(format!("INV-1 {REFERENCE}")));
    let told = body(Some(&"x".repeat(39))).unwrap_err().message;
    assert!(
        told.contains("with the reference of bursar at its end, 40 at most"),
        "{told}"
    );
    let request = begin("tail");
    let path = &request.request().path;
    assert!(path.contains("until=2026-05-02T09%3A30%3A00Z"), "{path}");
}

/// A restore forgets what was sent. What is told by what it is about proves all the same; anything else only where it
/// went out under the reference it would have now.
#[test]
fn what_went_out_under_a_forgotten_reference_is_proved_absent_by_what_it_is_about_alone() {
    let toy = toy();
    let at = time(SENT);
    let forgotten = |traceable| Forgotten {
        from: at,
        until: at,
        traceable,
        keyed: false,
    };
    let absent = [
        ("plain", (200, listed(&[]))),
        ("tail", (200, listed(&[]))),
        ("inside", (200, holding(&[]))),
        ("state", (200, json!({"status": "open"}))),
        ("content", (200, json!({"where": {}}))),
        ("gone", (200, json!({}))),
    ];
    for (name, answer) in absent {
        for traceable in [true, false] {
            let intent = Intent {
                forgotten: Some(forgotten(traceable)),
                ..intent(&toy, name)
            };
            let search = Search::begin(&toy, endpoint(&toy, name), &intent, at, at).unwrap();
            let expected = if traceable || name == "inside" {
                "absent"
            } else {
                "person"
            };
            assert_eq!(
                come_to(search, std::slice::from_ref(&answer), later()),
                expected,
                "{name}"
            );
        }
    }
}

#[test]
fn a_table_is_told_which_look_ups_prove_nothing() {
    let cases = [
        ("items = \"/returns\"\n", "", "`items` has to say where the list stands"),
        (
            "missing = [404]\nwhen",
            "missing = [500]\nwhen",
            "500 does not say that something is not there",
        ),
        (
            "gone = [404]",
            "gone = [400]",
            "400 does not say that something is not there",
        ),
        ("gone = [404]", "gone = []", "a status has to say so"),
        (
            "created_at = \"/made\"\nvisibility_lag_secs = 120\ncovers_window = true\n[endpoint.state]",
            "visibility_lag_secs = 120\n[endpoint.state]",
            "`created_at` is missing",
        ),
        ("margin_secs = 60\n", "", "`margin_secs` is missing"),
        (
            "match = { reference = \"/note\" }",
            "match = { reference_at_end = \"/note\" }",
            "our reference stands alone there",
        ),
        (
            "match = { reference_at_end = \"/note\" }",
            "match = { reference = \"/note\" }",
            "our reference stands at the end there",
        ),
        (
            "{ at = \"/status\", is = [\"captured\"] }, { at = \"/taken\", is = [\"{sent.amount}\"] }, { at = \"/parts\", shows = \"parts\" }",
            "",
            "`done` says nothing",
        ),
        (
            "{ at = \"/status\", is = [\"captured\"] }, { at = \"/taken\", is = [\"{sent.amount}\"] }, ",
            "",
            "`done` says nothing that always has to stand there",
        ),
        (
            "open = [{ at = \"/status\", is = [\"open\", \"new\"] }, { at = \"/taken\", is = [0, \"absent\"] }]",
            "open = [{ at = \"/parts\", shows = \"parts\" }]",
            "`open` says nothing that always has to stand there",
        ),
        ("shows = \"parts\"", "shows = \"part\"", "there is no parameter `part`"),
        ("shows = \"parts\"", "shows = \"parts\", is = [1]", "one of them"),
        (
            "is = [\"{sent.amount}\"]",
            "is = [\"{sent.amont}\"]",
            "there is no parameter `amont`",
        ),
        ("is = [\"{sent.amount}\"]", "is = []", "`/taken` is nothing"),
        (
            "is = [\"{sent.amount}\"]",
            "is = [\"{window_start}\"]",
            "a time of the search",
        ),
        (
            "is = [\"{sent.amount}\"]",
            "is = [\"{said.amount}\"]",
            "cannot be filled in",
        ),
        (
            "when = [{ at = \"/thing\", is = [\"{sent.id}\"] }]\n",
            "",
            "`when` has to say which item is meant",
        ),
        (
            "match = { content = true }",
            "match = { content = false }",
            "it sends nothing that could be seen again",
        ),
        (
            "match = { content = true }",
            "match = { content = true }\nitems = \"\"",
            "has to show the one thing",
        ),
        (
            "match = { gone = [404] }",
            "match = { gone = [404] }\nmissing = [404]",
            "can that thing be missing",
        ),
        (
            "match = { gone = [404] }",
            "match = { gone = [404] }\nseveral = \"contradiction\"",
            "what is read is one thing",
        ),
        (
            "look_first = true\nparams",
            "look_first = true\nkey = \"none\"\nparams",
            "",
        ),
        (
            "in_doubt = \"lookup\"\nparams = [\n  { name = \"id\", in = \"path\", doc = \"Which.\" },\n  { name = \"amount\"",
            "in_doubt = \"lookup\"\nlook_first = true\nparams = [\n  { name = \"id\", in = \"path\", doc = \"Which.\" },\n  { name = \"amount\"",
            "only what there can be one of is found then",
        ),
    ];
    for (from, to, expected) in cases {
        assert!(TOY.contains(from), "{from}");
        let told = Connector::parse("connectors/toy.toml", &TOY.replacen(from, to, 1))
            .err()
            .unwrap_or_default();
        if expected.is_empty() {
            assert!(told.is_empty(), "{told:#?}");
            continue;
        }
        let told: Vec<String> = told.into_iter().map(|finding| finding.message).collect();
        assert!(told.iter().any(|told| told.contains(expected)), "{to}: {told:#?}");
    }
}

/// Some providers leave an empty list out; only the table can say which.
#[test]
fn a_list_that_is_left_out_is_empty_where_the_table_says_so() {
    let table = TOY.replacen(
        "items = \"/returns\"\n",
        "items = \"/returns\"\nabsent_is_empty = true\n",
        1,
    );
    let toy = Connection {
        connector: Arc::new(Connector::parse("toy.toml", &table).unwrap_or_else(|wrong| panic!("{wrong:#?}"))),
        ..toy()
    };
    let told = |answer: Json| {
        let intent = intent(&toy, "inside");
        let search = Search::begin(&toy, endpoint(&toy, "inside"), &intent, time(SENT), time(SENT)).unwrap();
        come_to(search, &[(200, answer)], later())
    };
    assert_eq!(told(json!({"id": "d1"})), "absent");
    assert_eq!(told(json!({"id": "d1", "returns": null})), "absent");
    for other in [
        json!({"id": "d1", "returns": {}}),
        json!({"id": "d1", "returns": "none"}),
        json!([]),
        json!("d1"),
    ] {
        assert_eq!(told(other.clone()), "failed", "{other}");
    }
}

/// What another did long ago is looked for too: nothing may end the look before it is reached.
#[test]
fn before_it_is_sent_no_time_bounds_the_look() {
    let listed = |look_first: &str, more: &str, query: &str| {
        let (head, tail) = TOY.split_once("[endpoint.inside]").unwrap();
        let inside = tail.replacen("look_first = true\n", look_first, 1).replacen(
            "endpoint = \"show\"\nquery = { id = \"{sent.deposit}\" }\nitems = \"/returns\"\nmissing = [404]\n",
            &format!("endpoint = \"list\"\nmargin_secs = 60\n{more}query = {{ {query} }}\n"),
            1,
        );
        let table = format!("{head}[endpoint.inside]{inside}");
        let told = Connector::parse("connectors/toy.toml", &table)
            .err()
            .unwrap_or_default();
        let told = told.into_iter().map(|finding| finding.message);
        told.collect::<Vec<_>>()
    };
    let first = "look_first = true\n";
    assert_eq!(listed(first, "", ""), Vec::<String>::new());
    for (more, query) in [
        ("", "until = \"{window_start}\""),
        ("", "until = \"{window_end}\""),
        ("newest_first = true\n", ""),
    ] {
        let told = listed(first, more, query);
        assert_eq!(told.len(), 1, "{more}{query}: {told:#?}");
        assert!(told[0].contains("what another did long ago"), "{told:#?}");
        assert_eq!(listed("", more, query), Vec::<String>::new(), "{more}{query}");
    }
}
