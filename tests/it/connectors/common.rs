//! Parameters that many endpoints have: said by a call, else by a setting of the connection, and carried to the look-up
//! of what was sent with them. And answers that are not JSON, and what says how a resource ended.

use std::collections::BTreeMap;
use std::sync::Arc;

use bursar::connector::connection::Connection;
use bursar::connector::lookup::Search;
use bursar::connector::reply::{RawAnswer, Verdict, classify};
use bursar::connector::request::{Prepared, prepare};
use bursar::connector::table::{Connector, Stage};
use bursar::model::journal::{Failure, Intent};
use bursar::model::value::{Map, Value};
use serde_json::{Value as Json, json};

use super::{bank, endpoint, time};

const TOY: &str = r#"name  = "toy"
title = "Toy"
doc   = "A provider of our own."
base_url = { live = "https://api.example.com" }
auth = { scheme = "bearer" }
[setting.account_id]
doc = "Which account we are."
[common.account]
in = "header"
wire = "x-account-id"
setting = "account_id"
doc = "For whom."
[pagination.whole]
style = "whole"
items = ""
[endpoint.refund]
doc = "Gives a payment back."
method = "POST"
path = "/refunds"
effect = "moves_money"
amount = "whole"
common = { account = "required" }
in_doubt = "lookup"
params = [ { name = "payment", required = true, doc = "Which." } ]
[endpoint.refund.lookup]
endpoint = "refunds"
match = { natural = { field = "payment", pointer = "/payment" } }
created_at = "/made"
margin_secs = 1
visibility_lag_secs = 1
covers_window = true
[endpoint.refunds]
doc = "Lists."
method = "GET"
path = "/refunds"
effect = "read"
list = "whole"
common = { account = "optional" }
[endpoint.wave]
doc = "Waves."
method = "POST"
path = "/wave"
effect = "write"
answer = "text"
empty_body = true
[endpoint.mumble]
doc = "Does something; nobody knows what it says."
method = "POST"
path = "/mumble"
effect = "write"
answer = "any"
[endpoint.move_all]
doc = "Moves."
method = "POST"
path = "/all"
effect = "moves_money"
amount = "whole"
answer = "any"
[resource.refund]
retrieve = "refunds_of"
param = "of"
id = "/ref"
status = "/state"
when = [{ at = "/kind", is = ["refund"] }]
stages = [{ at = "/reversed", is = [true], stage = "failed" }, { at = "/settlement", is = ["settled"], stage = "succeeded" }]
failed = ["refused"]
events = []
[endpoint.refunds_of]
doc = "Lists those of one."
method = "GET"
path = "/refunds/of"
effect = "read"
list = "whole"
params = [ { name = "of", in = "query", required = true, doc = "Of which." } ]
"#;

fn toy(account: Option<&str>) -> Connection {
    let connector = Connector::parse("connectors/toy.toml", TOY).unwrap_or_else(|wrong| panic!("{wrong:#?}"));
    let account = account.map(|account| ("account_id".to_owned(), account.to_owned()));
    Connection {
        name: "toy".to_owned(),
        connector: Arc::new(connector),
        settings: account.into_iter().collect::<BTreeMap<_, _>>(),
        ..bank()
    }
}

fn refund(toy: &Connection, account: Option<&str>) -> Result<Prepared, Failure> {
    let mut args = Map::from([("payment".to_owned(), Value::text("p_1"))]);
    args.extend(account.map(|account| ("account".to_owned(), Value::text(account))));
    prepare(toy, endpoint(toy, "refund"), &args, None)
}

fn header(prepared: &[(String, String)]) -> Option<&str> {
    let mut headers = prepared.iter();
    headers
        .find(|(name, _)| name == "x-account-id")
        .map(|(_, value)| value.as_str())
}

#[test]
fn a_call_says_for_whom_it_is_or_its_connection_does() {
    for (setting, said, expected) in [
        (None, Some("acct_1"), Ok("acct_1")),
        (Some("acct_1"), None, Ok("acct_1")),
        (Some("acct_1"), Some("acct_2"), Ok("acct_2")),
        (
            None,
            None,
            Err("(for all calls it can be said as `account_id` under [connection.toy.settings])"),
        ),
    ] {
        let made = refund(&toy(setting), said);
        match (made, expected) {
            (Ok(made), Ok(account)) => assert_eq!(header(&made.request.headers), Some(account)),
            (Err(refused), Err(reason)) => assert!(refused.message.contains(reason), "{}", refused.message),
            (made, _) => panic!("{setting:?} {said:?}: {made:?}"),
        }
    }
    let toy = toy(None);
    let fingerprints = ["acct_1", "acct_2"].map(|account| refund(&toy, Some(account)).unwrap().fingerprint);
    assert_ne!(fingerprints[0], fingerprints[1], "another account is another request");
}

/// Looked up under our own account, the refund of another one would be proved absent, and sent again.
#[test]
fn what_a_call_was_sent_for_is_carried_to_its_look_up() {
    for (setting, said, expected) in [
        (Some("acct_1"), Some("acct_2"), "acct_2"),
        (Some("acct_1"), None, "acct_1"),
        (None, Some("acct_2"), "acct_2"),
    ] {
        let toy = toy(setting);
        let made = refund(&toy, said).unwrap();
        let intent = Intent {
            connection: "toy".to_owned(),
            endpoint: "refund".to_owned(),
            epoch: 0,
            key: None,
            key_safe_until: None,
            reference: "run_1/3".to_owned(),
            fingerprint: made.fingerprint,
            request: made.request,
            movement: made.movement,
            forgotten: None,
            before: BTreeMap::new(),
            exclusive: None,
        };
        let sent = time("2026-05-01T09:30:00Z");
        let search = Search::begin(&toy, endpoint(&toy, "refund"), &intent, sent, sent).unwrap();
        assert_eq!(
            header(&search.request().headers),
            Some(expected),
            "{setting:?} {said:?}"
        );
    }
}

#[test]
fn an_answer_may_be_text_or_nobody_knows_what() {
    let toy = toy(Some("acct_1"));
    let value = |name: &str, body: &str| {
        let endpoint = endpoint(&toy, name);
        let request = prepare(&toy, endpoint, &Map::new(), None).unwrap().request;
        let answer = RawAnswer {
            status: 200,
            headers: Vec::new(),
            body: body.to_owned().into(),
        };
        match classify(&toy.connector, endpoint, &request, None, &answer) {
            Verdict::Applied { value, .. } => Some(value.to_plain()),
            Verdict::Unknown { .. } => None,
            other => panic!("{other:?}"),
        }
    };
    for (name, body, expected) in [
        ("wave", "hello", Some(json!("hello"))),
        ("wave", "{\"a\":1}", Some(json!("{\"a\":1}"))),
        ("mumble", "hello", Some(json!("hello"))),
        ("mumble", "{\"a\":1}", Some(json!({ "a": 1 }))),
        ("mumble", "", Some(Json::Null)),
        ("move_all", "{\"a\":1}", Some(json!({ "a": 1 }))),
        // Nothing at all does not say that money moved.
        ("move_all", "", None),
    ] {
        assert_eq!(value(name, body), expected, "{name} {body}");
    }
    let body = |name: &str| {
        prepare(&toy, endpoint(&toy, name), &Map::new(), None)
            .unwrap()
            .request
            .body
    };
    assert_eq!((body("wave").as_deref(), body("mumble")), (Some("{}"), None));
}

#[test]
fn what_says_how_a_resource_ended_may_stand_in_several_places_and_in_a_list() {
    let toy = toy(None);
    let resource = toy.connector.resource("refund").unwrap();
    for (shown, expected) in [
        (json!({ "settlement": "settled" }), Stage::Succeeded),
        (json!({ "settlement": "settled", "reversed": true }), Stage::Failed),
        (json!({ "settlement": "on its way" }), Stage::Pending),
        (json!({ "settlement": "on its way", "state": "refused" }), Stage::Failed),
        (json!({}), Stage::Pending),
    ] {
        assert_eq!(
            resource.stage_of(&Value::from_plain(&shown).unwrap()),
            expected,
            "{shown}"
        );
    }
    let item = |reference: &str, kind: &str| json!({ "ref": reference, "kind": kind });
    for (items, is_found) in [
        (json!([item("r_1", "refund")]), true),
        (
            json!([item("r_10", "refund"), item("r_1", "refund"), item("r_1", "fee")]),
            true,
        ),
        (json!([item("r_1", "fee")]), false),
        (json!([item("r_1", "refund"), item("r_1", "refund")]), false),
        (json!([]), false),
    ] {
        let items = Value::from_plain(&items).unwrap();
        let found = resource.one_of(items.as_list().unwrap(), "r_1");
        assert_eq!(found.is_some(), is_found, "{items}");
    }
}

#[test]
fn a_table_is_told_what_is_wrong_with_what_many_endpoints_have() {
    for (from, to, expected) in [
        (
            "common = { account = \"required\" }",
            "common = { acount = \"required\" }",
            "did you mean `account`?",
        ),
        (
            "common = { account = \"required\" }",
            "common = { account = \"needed\" }",
            "unknown value `needed` one of: required, optional",
        ),
        (
            "in = \"header\"\nwire = \"x-account-id\"",
            "in = \"path\"",
            "what stands in a path is no common parameter",
        ),
        (
            "in = \"header\"\nwire = \"x-account-id\"",
            "in = \"header\"\nwire = \"Authorization\"",
            "is written by bursar",
        ),
        (
            "setting = \"account_id\"",
            "setting = \"acount_id\"",
            "did you mean `account_id`?",
        ),
        (
            "answer = \"text\"\nempty_body = true",
            "answer = \"text\"\nempty_body = true\nparams = [ { name = \"a\", doc = \"A.\" } ]",
            "an empty map is sent where",
        ),
        (
            "effect = \"read\"\nlist = \"whole\"\ncommon",
            "effect = \"read\"\nanswer = \"any\"\nlist = \"whole\"\ncommon",
            "answers with JSON",
        ),
        (
            "is = [\"settled\"], stage = \"succeeded\"",
            "is = [\"settled\"], stage = \"pending\"",
            "nothing is a good end",
        ),
        ("{ at = \"/kind\"", "{ at = \"kind\"", "`kind` is not a pointer"),
    ] {
        assert!(TOY.contains(from), "{from}");
        let text = TOY.replacen(from, to, 1);
        let found = Connector::parse("connectors/toy.toml", &text).err().unwrap_or_default();
        let told: Vec<String> = found
            .iter()
            .map(|finding| format!("{} {}", finding.message, finding.help.as_deref().unwrap_or_default()))
            .collect();
        assert!(told.iter().any(|told| told.contains(expected)), "{to}: {told:#?}");
    }
}
