//! A provider that has other names than scripts, and other places than the body: what was sent is read back from where
//! it stands, and what stands in a header is part of what a request is.

use std::sync::Arc;

use bursar::base::ids::Digest;
use bursar::connector::connection::Connection;
use bursar::connector::lookup::{Progress, Search};
use bursar::connector::reply::contradiction;
use bursar::connector::request::{Prepared, prepare};
use bursar::connector::table::Connector;
use bursar::model::journal::{Failure, Intent, StoredRequest};
use bursar::model::value::{Map, Value};
use serde_json::{Value as Json, json};

use super::{bank, endpoint, money, time};

/// Names and wires differ in every place; nothing can be told from an amount, a name or a body alone.
const TOY: &str = r#"name  = "toy"
title = "Toy"
doc   = "A provider of our own."
base_url = { live = "https://api.example.com" }
auth = { scheme = "header", name = "x-api-key" }
headers = { x-version = "3" }
[idempotency]
header = "x-key"
max_length = 64
methods = ["POST"]
window_secs = 60
[pagination.cursor]
style = "cursor"
items = "/data"
next = "/next"
cursor = { param = "after", wire = "afterCursor" }
[endpoint.refund]
doc = "Gives a payment back."
method = "POST"
path = "/payments/{payment}/refunds"
effect = "moves_money"
amount = "whole"
in_doubt = "lookup"
params = [
  { name = "account", in = "header", wire = "X-Account", doc = "For whom." },
  { name = "payment", in = "path", doc = "Which." },
  { name = "region", in = "query", wire = "regionCode", required = true, doc = "Where." },
  { name = "reason", wire = "reasonText", doc = "Why." },
]
[endpoint.refund.lookup]
endpoint = "refunds"
query = { account = "{sent.account}", of = "{sent.payment}", at = "{sent.region}", why = "{sent.reason|region}" }
match = { natural = { field = "payment", pointer = "/paymentId" } }
created_at = "/made"
margin_secs = 1
visibility_lag_secs = 1
covers_window = true
[endpoint.refunds]
doc = "Lists."
method = "GET"
path = "/refunds"
effect = "read"
list = "cursor"
params = [
  { name = "account", in = "header", wire = "x-account", doc = "For whom." },
  { name = "of", in = "query", wire = "paymentId", required = true, doc = "Of which payment." },
  { name = "at", in = "query", wire = "region.code", doc = "Where." },
  { name = "why", in = "query", wire = "reason", doc = "Why." },
]
[endpoint.pay]
doc = "Pays."
method = "POST"
path = "/pay"
effect = "moves_money"
amount = { field = "amount", currency = "currency", unit = "decimal_text" }
params = [
  { name = "amount", wire = "value", type = "decimal", required = true, doc = "How much." },
  { name = "currency", wire = "currencyCode", required = true, doc = "Of what." },
  { name = "account", in = "header", wire = "X-Account", doc = "For whom." },
]
"#;

fn connection() -> Connection {
    let connector = Connector::parse("connectors/toy.toml", TOY).unwrap_or_else(|wrong| panic!("{wrong:#?}"));
    Connection {
        name: "toy".to_owned(),
        connector: Arc::new(connector),
        ..bank()
    }
}

fn args(given: &[(&str, &str)]) -> Map {
    let given = given
        .iter()
        .map(|(name, text)| ((*name).to_owned(), Value::text(*text)));
    given.collect()
}

fn refund(given: &[(&str, &str)]) -> Result<Prepared, Failure> {
    let toy = connection();
    prepare(&toy, endpoint(&toy, "refund"), &args(given), Some("run_1/3"))
}

fn intent(fingerprint: Digest) -> Intent {
    Intent {
        connection: "toy".to_owned(),
        endpoint: "refund".to_owned(),
        epoch: 0,
        key: None,
        key_safe_until: None,
        reference: "run_1/3".to_owned(),
        fingerprint,
        request: StoredRequest {
            method: "POST".to_owned(),
            path: "/".to_owned(),
            headers: Vec::new(),
            body: None,
        },
        movement: None,
        forgotten: None,
        before: std::collections::BTreeMap::new(),
        exclusive: None,
    }
}

fn search(given: &[(&str, &str)]) -> Search {
    let toy = connection();
    let prepared = refund(given).unwrap();
    let intent = Intent {
        request: prepared.request,
        movement: prepared.movement,
        ..intent(prepared.fingerprint)
    };
    let sent = time("2026-05-01T09:30:00Z");
    Search::begin(&toy, endpoint(&toy, "refund"), &intent, sent, sent).unwrap()
}

/// What a page of one item shows.
fn shown(search: Search, payment: &str) -> Progress {
    let item = json!({"id": "r", "paymentId": payment, "made": "2026-05-01T09:30:00Z"});
    let page = Value::from_plain(&json!({"data": [item]})).unwrap();
    search.take(&page, time("2026-05-01T12:00:00Z"))
}

#[test]
fn each_argument_stands_in_its_place_under_its_own_name() {
    let prepared = refund(&[
        ("account", "acct 1"),
        ("payment", "p/1"),
        ("region", "a&b"),
        ("reason", "why"),
    ])
    .unwrap();
    let request = &prepared.request;
    assert_eq!(request.path, "/payments/p%2F1/refunds?regionCode=a%26b");
    assert_eq!(request.body.as_deref(), Some(r#"{"reasonText":"why"}"#));
    let headers: Vec<String> = request
        .headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    assert_eq!(
        headers,
        [
            "accept: application/json",
            "content-type: application/json",
            "x-version: 3",
            "x-account: acct 1"
        ]
    );
}

#[test]
fn two_accounts_in_a_header_are_two_requests() {
    let of = |account: Option<&str>| {
        let mut given = vec![("payment", "p"), ("region", "r")];
        given.extend(account.map(|account| ("account", account)));
        refund(&given).unwrap()
    };
    let (none, one, two) = (of(None), of(Some("acct_1")), of(Some("acct_2")));
    assert_eq!(one.request.path, two.request.path);
    assert_eq!(one.request.body, two.request.body);
    assert_eq!(one.fingerprint, of(Some("acct_1")).fingerprint);
    for (left, right) in [(&none, &one), (&one, &two), (&none, &two)] {
        assert_ne!(left.fingerprint, right.fingerprint);
    }
}

#[test]
fn a_header_takes_nothing_that_could_end_it() {
    for bad in ["", " ", "a ", "a\r\nx-evil: 1", "a\nb", "ä", "a\u{0}b", "a\tb"] {
        let failure = refund(&[("payment", "p"), ("region", "r"), ("account", bad)]).unwrap_err();
        assert!(
            failure.message.contains("takes visible ASCII alone"),
            "{}",
            failure.message
        );
    }
}

#[test]
fn what_was_sent_is_looked_for_wherever_it_stood() {
    let given = [
        ("account", "acct_1"),
        ("payment", "p/ä 1"),
        ("region", "a&b=c"),
        ("reason", "why not"),
    ];
    let search = search(&given);
    assert_eq!(
        search.request().path,
        "/refunds?paymentId=p%2F%C3%A4%201&region.code=a%26b%3Dc&reason=why%20not"
    );
    assert!(
        search
            .request()
            .headers
            .contains(&("x-account".to_owned(), "acct_1".to_owned()))
    );
    assert!(matches!(shown(search.clone(), "p/ä 1"), Progress::Found(_)));
    assert!(matches!(shown(search, "p/a 1"), Progress::Absent));
}

#[test]
fn what_was_not_sent_is_not_asked_for() {
    let search = search(&[("payment", "p"), ("region", "r")]);
    assert_eq!(search.request().path, "/refunds?paymentId=p&region.code=r&reason=r");
    assert!(!search.request().headers.iter().any(|(name, _)| name == "x-account"));
}

#[test]
fn an_answer_about_another_one_is_told_though_the_body_does_not_name_it() {
    let toy = connection();
    let effect = endpoint(&toy, "refund");
    let request = refund(&[("payment", "p"), ("region", "r")]).unwrap().request;
    let told = |payment: Json| {
        let answer = Value::from_plain(&json!({"id": "r", "paymentId": payment})).unwrap();
        contradiction(effect, &request, None, &answer)
    };
    assert_eq!(told(json!("p")), None);
    assert_eq!(told(Json::Null), None);
    assert!(told(json!("q")).unwrap().contains("differs under `payment`"));
}

#[test]
fn money_goes_under_the_names_of_the_wire() {
    let toy = connection();
    let args = Map::from([("amount".to_owned(), money("1.50", "EUR"))]);
    let request = prepare(&toy, endpoint(&toy, "pay"), &args, None).unwrap().request;
    assert_eq!(
        request.body.as_deref(),
        Some(r#"{"currencyCode":"EUR","value":"1.50"}"#)
    );
}

/// A provider whose bodies are maps in maps.
const NESTED: &str = r#"name  = "toy"
title = "Toy"
doc   = "A provider of our own."
base_url = { live = "https://api.example.com" }
auth = { scheme = "bearer" }
[shape.item]
fields = [
  { name = "city", wire = "where.city", required = true, doc = "Where." },
  { name = "street", wire = "where.street.line1", doc = "There." },
]
[endpoint.order]
doc = "Orders."
method = "POST"
path = "/orders"
effect = "moves_money"
amount = { field = "total", currency = "currency", unit = "decimal_number" }
our_reference = "number"
params = [
  { name = "total", wire = "price.total", type = "decimal", required = true, doc = "How much." },
  { name = "currency", wire = "price.currency", required = true, doc = "Of what." },
  { name = "number", wire = "intent.data.reference_id", doc = "For our reference." },
  { name = "address", wire = "intent.address", type = "object", shape = "item", doc = "To where." },
]
[endpoint.replace]
doc = "Replaces all there is."
method = "PUT"
path = "/state"
effect = "write"
our_reference = "texts.note"
params = [{ name = "texts", wire = "*", type = "text_map", required = true, doc = "All there is." }]
"#;

#[test]
fn points_in_a_name_on_the_wire_lead_into_the_maps_of_a_body() {
    let connector = Connector::parse("connectors/toy.toml", NESTED).unwrap_or_else(|wrong| panic!("{wrong:#?}"));
    let toy = Connection {
        connector: Arc::new(connector),
        ..bank()
    };
    let body = |name: &str, args: Map| {
        let built = prepare(&toy, endpoint(&toy, name), &args, Some("run_1/3"));
        built
            .map(|built| built.request.body.unwrap())
            .map_err(|failure| failure.message)
    };
    let total = || Map::from([("total".to_owned(), money("1.50", "EUR"))]);
    assert_eq!(
        body("order", total()).unwrap(),
        r#"{"intent":{"data":{"reference_id":"run_1/3"}},"price":{"currency":"EUR","total":1.50}}"#
    );
    let mut with_address = total();
    let address = Value::map([("city", Value::text("Bonn")), ("street", Value::text("Markt 1"))]);
    with_address.insert("address".to_owned(), address);
    assert_eq!(
        body("order", with_address).unwrap(),
        r#"{"intent":{"address":{"where":{"city":"Bonn","street":{"line1":"Markt 1"}}},"data":{"reference_id":"run_1/3"}},"price":{"currency":"EUR","total":1.50}}"#
    );
    let mut own = total();
    own.insert("number".to_owned(), Value::text("mine"));
    assert!(
        body("order", own)
            .unwrap_err()
            .contains("`number` is where bursar writes its own reference")
    );
    let texts = |texts: Value| Map::from([("texts".to_owned(), texts)]);
    assert_eq!(
        body("replace", texts(Value::map([("a", Value::text("b"))]))).unwrap(),
        r#"{"a":"b","note":"run_1/3"}"#
    );
    let taken = body("replace", texts(Value::map([("note", Value::text("b"))]))).unwrap_err();
    assert!(
        taken.contains("`texts.note` is where bursar writes its own reference"),
        "{taken}"
    );
    let sent = |name: &str, args: Map, field: &str| {
        let lookup = format!(
            "[endpoint.{name}.lookup]\nendpoint = \"all\"\nquery = {{ at = \"{{sent.{field}}}\" }}\nmatch = {{ reference = \"/n\" }}\n\
             created_at = \"/made\"\nmargin_secs = 1\nvisibility_lag_secs = 1\ncovers_window = true\n\
             [pagination.whole]\nstyle = \"whole\"\nitems = \"\"\n\
             [endpoint.all]\ndoc = \"All.\"\nmethod = \"GET\"\npath = \"/all\"\neffect = \"read\"\nlist = \"whole\"\n\
             params = [{{ name = \"at\", in = \"query\", doc = \"At.\" }}]\n"
        );
        let first = format!("[endpoint.{name}]\n");
        let text = NESTED.replacen(&first, &format!("{first}in_doubt = \"lookup\"\n"), 1) + &lookup;
        let connector = Connector::parse("toy.toml", &text).unwrap_or_else(|wrong| panic!("{wrong:#?}"));
        let toy = Connection {
            connector: Arc::new(connector),
            ..bank()
        };
        let built = prepare(&toy, endpoint(&toy, name), &args, Some("run_1/3")).unwrap();
        let intent = Intent {
            request: built.request,
            ..intent(built.fingerprint)
        };
        let at = time("2026-05-01T09:30:00Z");
        let search = Search::begin(&toy, endpoint(&toy, name), &intent, at, at).unwrap();
        search.request().path.clone()
    };
    assert_eq!(sent("order", total(), "currency"), "/all?at=EUR");
    assert_eq!(sent("order", total(), "number"), "/all?at=run_1%2F3");
    let given = texts(Value::map([("a", Value::text("b"))]));
    assert_eq!(sent("replace", given, "texts.a"), "/all?at=b");
    for (from, to, expected) in [
        (
            "wire = \"price.currency\"",
            "wire = \"price\"",
            "`total` stands on the wire inside `currency`",
        ),
        (
            "wire = \"price.currency\"",
            "wire = \"price..currency\"",
            "`price..currency` leads nowhere",
        ),
        (
            "wire = \"price.currency\"",
            "wire = \"*\"",
            "only a map is a whole body; `currency` takes text",
        ),
        (
            "wire = \"where.city\"",
            "wire = \"where\"",
            "`street` stands on the wire inside `city`",
        ),
        (
            "wire = \"where.city\"",
            "wire = \"*\"",
            "`city` is a member: it cannot be the whole body",
        ),
    ] {
        assert!(NESTED.contains(from), "{from}");
        let told = Connector::parse("toy.toml", &NESTED.replacen(from, to, 1)).unwrap_err();
        assert!(
            told.iter().any(|finding| finding.message.contains(expected)),
            "{to}: {told:#?}"
        );
    }
}

#[test]
fn a_table_is_told_which_headers_it_cannot_have() {
    let cases = [
        (
            "\"X-Account\"",
            "\"Authorization\"",
            "the header `Authorization` is written by bursar",
        ),
        (
            "\"X-Account\"",
            "\"Content-Type\"",
            "the header `Content-Type` is written by bursar",
        ),
        (
            "\"X-Account\"",
            "\"X-API-Key\"",
            "the header `X-API-Key` is written by [auth]",
        ),
        (
            "\"X-Account\"",
            "\"X-Key\"",
            "the header `X-Key` is written by [idempotency]",
        ),
        (
            "\"X-Account\"",
            "\"X-Version\"",
            "the header `X-Version` is written by [headers]",
        ),
        ("\"X-Account\"", "\"X Account\"", "`X Account` is no name of a header"),
        (
            "wire = \"X-Account\", doc",
            "wire = \"X-Account\", type = \"texts\", doc",
            "a list like `account` can only stand in the query or the body",
        ),
        (
            "wire = \"X-Account\", doc",
            "wire = \"X-Account\", type = \"text_map\", doc",
            "a map like `account` can only stand in the body",
        ),
        (
            "{ name = \"region\", in = \"query\", wire = \"regionCode\", required = true",
            "{ name = \"region\", in = \"header\", wire = \"x-account\"",
            "`region` is described twice",
        ),
        (
            "account = \"{sent.account}\", of",
            "of",
            "`refunds` has to be asked under the same header as the call it looks for (write account = \"{sent.account}\" in its `query`)",
        ),
        (
            "{sent.reason|region}",
            "{sent.reason|regoin}",
            "there is no parameter `regoin` (did you mean `region`?)",
        ),
        (
            "{sent.payment}",
            "{sent.paymnt}",
            "there is no parameter `paymnt` (did you mean `payment`?)",
        ),
        (
            "{sent.payment}",
            "{sent.payment.id}",
            "`payment` takes text, which has no members",
        ),
        (
            "{sent.payment}",
            "{said.payment}",
            "`{said.payment}` cannot be filled in",
        ),
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
