//! What a parameter may be beyond its kind: words of the provider's own, forms of times, bounds, lists of maps, addresses
//! that stand a level down, choices, and what is always sent. And what a connection may say about itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use bursar::base::ids::Digest;
use bursar::connector::connection::{Connection, wrong_headers, wrong_settings};
use bursar::connector::reply::{class_of, contradiction};
use bursar::connector::request::{Prepared, as_argument, prepare};
use bursar::connector::table::{Connector, ErrorClass};
use bursar::model::journal::Failure;
use bursar::model::value::{Map, Value};
use serde_json::{Value as Json, json};

use super::{bank, endpoint, money, time};

const TOY: &str = r#"name  = "toy"
title = "Toy"
doc   = "A provider of our own."
base_url = { live = "https://api.example.com" }
auth = { scheme = "header", name = "x-api-key" }
headers = { x-version = "3" }
[setting.times]
doc = "How `made` is written."
default = "unix"
values = ["unix", "unix_ms"]
[setting.region]
doc = "Where we are."
[money]
unit = "decimal_number"
[errors]
code = ["/code", "/error/kind"]
[[errors.class]]
status = 409
code = "busy"
class = "retry"
doc = "Somebody is at it."
[[errors.class]]
code = "done_before"
class = "contradiction"
doc = "It was done."
[[errors.class]]
code = "busy"
class = "failed"
doc = "Busy elsewhere."
[[errors.class]]
status = 404
class = "failed"
doc = "There is none."
[[errors.class]]
status = 404
bare = true
class = "refused"
doc = "A page of somebody in between."
[shape.address]
tag = "type"
tag_words = { crypto_wallet = "wallet" }
member = { iban = "iban", crypto_wallet = "wallet" }
[shape.address.variant]
iban = [
  { name = "iban", required = true, doc = "The IBAN." },
  { name = "holder", wire = "holderName", doc = "Who holds it." },
]
crypto_wallet = [
  { name = "address", wire = "at.hash", required = true, doc = "On chain." },
  { name = "blockchain", words = { ethereum = "ETH", solana = "SOL" }, required = true, doc = "Which." },
  { name = "version", set = "2", doc = "Of the form." },
]
plain = [
  { name = "number", required = true, doc = "The account." },
]
[shape.item]
fields = [
  { name = "account", wire = "accountCode", required = true, doc = "Who." },
  { name = "share", type = "decimal", above = "0", doc = "How much." },
  { name = "items", type = "objects", shape = "item", doc = "Further ones." },
]
[endpoint.pay]
doc = "Pays."
method = "POST"
path = "/pay"
effect = "moves_money"
amount = { field = "amount", currency = "currency" }
beneficiary = { field = "to", keys = ["iban.iban", "wallet.at.hash", "wallet.blockchain", "number"], or = "order" }
echo = { amount = "/amount", beneficiary = "/to" }
one_of = [["to", "order"]]
params = [
  { name = "amount", type = "decimal", minimum = "0.01", maximum = "1000", required = true, doc = "How much." },
  { name = "currency", required = true, doc = "Of what." },
  { name = "to", wire = "target.address", type = "object", shape = "address", doc = "Who." },
  { name = "order", wire = "target.order", doc = "Or whose order." },
  { name = "kind", wire = "target.kind", set = "one", doc = "Always." },
  { name = "rail", words = { sepa_instant = "SEPA_INSTANT", eth = "ETH" }, doc = "How." },
  { name = "note", chars = "alnum", max_length = 6, doc = "On the statement." },
]
[endpoint.split]
doc = "Pays several."
method = "POST"
path = "/split"
effect = "moves_money"
amount = "whole"
beneficiary = { field = "items", keys = ["accountCode"], nested = "items" }
params = [
  { name = "items", type = "objects", shape = "item", required = true, doc = "Who, and how much." },
  { name = "extra", type = "any", doc = "What nobody describes." },
]
[endpoint.times]
doc = "Tells."
method = "POST"
path = "/times"
effect = "read"
params = [
  { name = "plain", type = "time", doc = "As it is." },
  { name = "ms", type = "time", format = "rfc3339_ms", doc = "With milliseconds." },
  { name = "unix", type = "time", format = "unix", doc = "In seconds." },
  { name = "text", type = "time", format = "unix_text", doc = "In seconds, as text." },
  { name = "day", type = "time", format = "date", doc = "The day." },
  { name = "made", type = "time", format = "{setting.times}", doc = "As the connection says." },
  { name = "minutes", type = "int", minimum = "1", maximum = "20160", doc = "For how long." },
  { name = "pin", chars = "digits", doc = "Digits." },
  { name = "account", in = "header", wire = "x-account", doc = "For whom." },
]
[endpoint.show]
doc = "Shows one."
method = "POST"
path = "/show"
effect = "read"
resource = "thing"
params = [ { name = "id", required = true, doc = "Which." } ]
[resource.thing]
retrieve = "show"
param = "id"
id = "/id"
status = "/status"
pending = []
succeeded = ["done"]
failed = []
events = []
"#;

fn toy() -> Connection {
    let connector = Connector::parse("connectors/toy.toml", TOY).unwrap_or_else(|wrong| panic!("{wrong:#?}"));
    Connection {
        name: "toy".to_owned(),
        connector: Arc::new(connector),
        ..bank()
    }
}

fn prepared(name: &str, args: &Json) -> Result<Prepared, Failure> {
    let toy = toy();
    let args = Value::from_typed(args).unwrap();
    prepare(&toy, endpoint(&toy, name), args.as_map().unwrap(), None)
}

/// What is sent, or why nothing is.
fn sent(name: &str, args: &Json) -> Result<Json, String> {
    let prepared = prepared(name, args).map_err(|failure| failure.message)?;
    Ok(serde_json::from_str(prepared.request.body.as_deref().unwrap()).unwrap())
}

fn pay(change: Json) -> Json {
    let mut args = json!({ "amount": { "$money": "EUR 10.50" }, "order": "o_1" });
    let Json::Object(change) = change else { panic!("a map") };
    args.as_object_mut().unwrap().extend(change);
    args
}

fn to(address: &Json) -> Json {
    let mut args = pay(json!({ "to": address }));
    args.as_object_mut().unwrap().remove("order");
    args
}

#[test]
fn an_address_stands_where_the_provider_has_it_and_is_known_by_what_goes_over_the_wire() {
    for (address, wire, beneficiary) in [
        (
            json!({ "type": "iban", "iban": "de89 3704", "holder": "Ada" }),
            json!({ "type": "iban", "iban": { "iban": "de89 3704", "holderName": "Ada" } }),
            "DE893704",
        ),
        (
            json!({ "type": "crypto_wallet", "address": "0xAb", "blockchain": "ethereum" }),
            json!({ "type": "wallet", "wallet": { "at": { "hash": "0xAb" }, "blockchain": "ETH", "version": "2" } }),
            "0xAb/ETH",
        ),
        (
            json!({ "type": "plain", "number": "12-34" }),
            json!({ "type": "plain", "number": "12-34" }),
            "1234",
        ),
    ] {
        let body = sent("pay", &to(&address)).unwrap();
        assert_eq!(body["target"], json!({ "address": wire, "kind": "one" }));
        let movement = prepared("pay", &to(&address)).unwrap().movement.unwrap();
        assert_eq!(movement.beneficiary.as_deref(), Some(beneficiary));
        // And what an answer shows of it is an argument again, without what nobody asked for.
        let toy = toy();
        let mut shown = wire.clone();
        shown["added"] = json!(1);
        let shown = Value::from_plain(&shown).unwrap();
        let read = as_argument(&toy, endpoint(&toy, "pay"), "to", &shown);
        assert_eq!(read.to_plain(), address);
    }
    let order = prepared("pay", &pay(json!({}))).unwrap().movement.unwrap();
    assert_eq!(order.beneficiary.as_deref(), Some("o_1"));
}

#[test]
fn what_an_answer_says_of_a_nested_address_is_held_against_what_was_sent() {
    let toy = toy();
    let pay = endpoint(&toy, "pay");
    let asked = prepared("pay", &to(&json!({ "type": "iban", "iban": "DE89 3704" }))).unwrap();
    for (answered, contradicts) in [
        (
            json!({ "to": { "type": "iban", "iban": { "iban": "de893704" } } }),
            false,
        ),
        (
            json!({ "to": { "type": "iban", "iban": { "iban": "DE893705" } } }),
            true,
        ),
        (json!({ "to": { "type": "iban", "iban": {} } }), false),
        (json!({}), false),
    ] {
        let value = Value::from_plain(&answered).unwrap();
        let found = contradiction(pay, &asked.request, asked.movement.as_ref(), &value);
        assert_eq!(found.is_some(), contradicts, "{answered}: {found:?}");
    }
}

#[test]
fn several_beneficiaries_are_all_of_them_in_whatever_order() {
    let items = |names: [&str; 2]| {
        json!({ "items": [
        { "account": names[0], "share": { "$decimal": "1.50" } },
        { "account": names[1], "items": [{ "account": "deep" }] },
    ] })
    };
    let one = prepared("split", &items(["b", "a"])).unwrap().movement.unwrap();
    assert_eq!(one.beneficiary.as_deref(), Some("a+b+deep"));
    assert_eq!(prepared("split", &items(["a", "b"])).unwrap().movement.unwrap(), one);
    let body = sent("split", &items(["b", "a"])).unwrap();
    assert_eq!(body["items"][0]["accountCode"], "b");
    assert_eq!(body["items"][0]["share"].to_string(), "1.50");
    assert_eq!(body["items"][1]["items"], json!([{ "accountCode": "deep" }]));
}

#[test]
fn times_are_written_as_each_parameter_and_each_connection_has_them() {
    let at = json!({ "$time": "2026-05-01T09:30:00.500000000Z" });
    let args = ["plain", "ms", "unix", "text", "day", "made"].map(|name| (name.to_owned(), at.clone()));
    let body = sent("times", &Json::Object(args.into_iter().collect())).unwrap();
    let expected = json!({
        "plain": "2026-05-01T09:30:00.500Z",
        "ms": "2026-05-01T09:30:00.500Z",
        "unix": 1_777_627_800,
        "text": "1777627800",
        "day": "2026-05-01",
        "made": 1_777_627_800,
    });
    assert_eq!(body, expected);
    let toy = Connection {
        settings: BTreeMap::from([("times".to_owned(), "unix_ms".to_owned())]),
        ..toy()
    };
    let args = Map::from([("made".to_owned(), Value::Time(time("2026-05-01T09:30:00.5Z")))]);
    let body = prepare(&toy, endpoint(&toy, "times"), &args, None)
        .unwrap()
        .request
        .body;
    assert_eq!(body.as_deref(), Some("{\"made\":1777627800500}"));
}

#[test]
fn what_lies_outside_is_refused_before_anything_is_sent() {
    for (name, args, expected) in [
        (
            "pay",
            pay(json!({ "amount": { "$money": "EUR 0.00" } })),
            "`amount` is 0.00: it has to be 0.01 at least",
        ),
        (
            "pay",
            pay(json!({ "amount": { "$money": "EUR 1000.01" } })),
            "`amount` is 1000.01: it may be 1000 at most",
        ),
        (
            "pay",
            pay(json!({ "rail": "SEPA_INSTANT" })),
            "`rail` cannot be `SEPA_INSTANT`",
        ),
        (
            "pay",
            pay(json!({ "rail": "sepa_instnt" })),
            "did you mean `sepa_instant`?",
        ),
        (
            "pay",
            pay(json!({ "note": "ä1" })),
            "`note` takes letters without accents and digits only, not `ä`",
        ),
        (
            "pay",
            pay(json!({ "note": "abcdefg" })),
            "`note` is 7 characters long, 6 at most",
        ),
        ("pay", pay(json!({ "kind": "two" })), "there is no argument `kind`"),
        (
            "pay",
            pay(json!({ "order": null })),
            "exactly one of to, order is needed",
        ),
        (
            "pay",
            pay(json!({ "to": { "type": "plain", "number": "1" } })),
            "to and order cannot both be given",
        ),
        (
            "pay",
            to(&json!({ "type": "crypto_wallet", "address": "0x", "blockchain": "ethereum", "version": "1" })),
            "there is no argument `version`: it takes address, blockchain",
        ),
        (
            "pay",
            to(&json!({ "type": "wallet", "address": "0x" })),
            "`to.type` cannot be `wallet`",
        ),
        (
            "split",
            json!({ "items": { "account": "a" } }),
            "`items` takes a list of maps, not a map",
        ),
        (
            "split",
            json!({ "items": ["a"] }),
            "`items` takes a list of maps; it holds text",
        ),
        (
            "split",
            json!({ "items": [{ "account": "a" }, { "share": 1 }] }),
            "`items[1]`: `account` is missing",
        ),
        (
            "split",
            json!({ "items": [{ "account": "a", "share": { "$decimal": "0" } }] }),
            "`items[0]`: `share` is 0: it has to be more than 0",
        ),
        (
            "split",
            json!({ "items": [], "extra": { "deep": [{ "$money": "EUR 1.00" }] } }),
            "`extra` cannot hold an amount of money",
        ),
        (
            "times",
            json!({ "minutes": 0 }),
            "`minutes` is 0: it has to be 1 at least",
        ),
        (
            "times",
            json!({ "minutes": 20_161 }),
            "`minutes` is 20161: it may be 20160 at most",
        ),
        ("times", json!({ "pin": "12a" }), "`pin` takes digits only, not `a`"),
    ] {
        let refused = sent(name, &args).err().unwrap_or_default();
        assert!(refused.contains(expected), "{args}\n  {refused}\n  {expected}");
    }
    let body = sent("pay", &pay(json!({ "rail": "sepa_instant", "note": "A1" }))).unwrap();
    assert_eq!((&body["rail"], &body["note"]), (&json!("SEPA_INSTANT"), &json!("A1")));
    let body = sent("split", &json!({ "items": [], "extra": { "deep": [true, 1, null] } })).unwrap();
    assert_eq!(body["extra"], json!({ "deep": [true, 1, null] }));
}

#[test]
fn how_a_call_is_written_shows_its_choices_and_not_what_is_always_sent() {
    let toy = toy();
    let usage = endpoint(&toy, "pay").usage();
    assert_eq!(usage, "pay(#{ amount, currency, to | order, [rail], [note] })");
    assert!(endpoint(&toy, "pay").needs_argument() && !endpoint(&toy, "times").needs_argument());
}

#[test]
fn an_error_is_known_by_status_and_code_by_its_code_or_by_having_none() {
    let toy = toy();
    for (status, code, expected) in [
        (409, Some("busy"), ErrorClass::Retry),
        (400, Some("busy"), ErrorClass::Failed),
        (409, Some("done_before"), ErrorClass::Contradiction),
        (500, Some("done_before"), ErrorClass::Contradiction),
        (404, Some("no_such_payment"), ErrorClass::Failed),
        (404, None, ErrorClass::Refused),
        (500, Some("other"), ErrorClass::Unknown),
        (400, None, ErrorClass::Failed),
    ] {
        assert_eq!(class_of(&toy.connector, status, code), expected, "{status} {code:?}");
    }
}

#[test]
fn a_connection_says_only_what_its_table_has_room_for() {
    let toy = toy();
    let map = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        let pairs = pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        pairs.collect()
    };
    for (settings, expected) in [
        (map(&[("times", "unix_ms"), ("region", "north")]), None),
        (map(&[("tims", "unix")]), Some("did you mean `times`?")),
        (
            map(&[("times", "days")]),
            Some("one of: unix, unix_ms. How `made` is written."),
        ),
        (map(&[("region", "")]), Some("Where we are.")),
    ] {
        let help = wrong_settings(&toy.connector, &settings)
            .first()
            .map(|wrong| wrong.help.clone());
        assert_eq!(help.as_deref(), expected, "{settings:?}");
    }
    for (headers, expected) in [
        (map(&[("X-Division", "FD5C")]), None),
        (
            map(&[("X-API-Key", "k")]),
            Some("the header `X-API-Key` is written by [auth]"),
        ),
        (
            map(&[("Authorization", "k")]),
            Some("the header `Authorization` is written by bursar"),
        ),
        (
            map(&[("x-version", "4")]),
            Some("the header `x-version` is written by [headers]"),
        ),
        (
            map(&[("X-Account", "a")]),
            Some("the header `X-Account` is an argument of calls"),
        ),
        (map(&[("X Division", "a")]), Some("`X Division` is no header")),
        (map(&[("X-Division", "a\r\nb: c")]), Some("`X-Division` is no header")),
    ] {
        let wrong = wrong_headers(&toy.connector, &headers)
            .first()
            .map(|wrong| wrong.message.clone());
        assert_eq!(wrong.as_deref(), expected, "{headers:?}");
    }
}

/// Another division is another account: the same body under its header is another request.
#[test]
fn headers_of_a_connection_are_sent_and_are_part_of_what_a_request_is() {
    let name = |division: Option<&str>| -> (Vec<(String, String)>, Digest) {
        let headers = division.map(|division| ("X-Division".to_owned(), division.to_owned()));
        let toy = Connection {
            headers: headers.into_iter().collect(),
            ..toy()
        };
        let args = Map::from([
            ("amount".to_owned(), money("10.50", "EUR")),
            ("order".to_owned(), Value::text("o_1")),
        ]);
        let prepared = prepare(&toy, endpoint(&toy, "pay"), &args, None).unwrap();
        (prepared.request.headers, prepared.fingerprint)
    };
    let (plain, north, south) = (name(None), name(Some("north")), name(Some("south")));
    assert!(north.0.contains(&("x-division".to_owned(), "north".to_owned())));
    assert_eq!(plain.0.len() + 1, north.0.len());
    assert!(plain.1 != north.1 && north.1 != south.1);
}

#[test]
fn a_table_is_told_what_is_wrong_with_its_forms() {
    for (from, to, expected) in [
        (
            "[\"iban.iban\", \"wallet",
            "[\"iban\", \"wallet",
            "no member on the wire named `iban`",
        ),
        ("or = \"order\"", "or = \"odrer\"", "did you mean `order`?"),
        ("or = \"order\"", "or = \"amount\"", "`amount` has to be a text"),
        ("nested = \"items\"", "or = \"extra\"", "`extra` has to be a text"),
        (
            "field = \"to\", keys",
            "field = \"to\", nested = \"x\", keys",
            "only a list of maps has further ones",
        ),
        (
            "one_of = [[\"to\", \"order\"]]",
            "one_of = [[\"to\"]]",
            "a choice is between two parameters or more",
        ),
        (
            "one_of = [[\"to\", \"order\"]]",
            "one_of = [[\"to\", \"ordr\"]]",
            "did you mean `order`?",
        ),
        (
            "one_of = [[\"to\", \"order\"]]",
            "one_of = [[\"to\", \"amount\"]]",
            "`amount` is always sent",
        ),
        (
            "one_of = [[\"to\", \"order\"]]",
            "one_of = [[\"to\", \"kind\"]]",
            "`kind` is always sent",
        ),
        (
            "member = { iban = \"iban\"",
            "member = { ibn = \"iban\"",
            "did you mean `iban`?",
        ),
        (
            "member = { iban = \"iban\"",
            "member = { iban = \"type\"",
            "the members of `iban` cannot stand in `type`",
        ),
        (
            "tag_words = { crypto_wallet = \"wallet\" }",
            "tag_words = { crypto_wallet = \"iban\" }",
            "two variants are called `iban`",
        ),
        (
            "solana = \"SOL\"",
            "solana = \"ETH\"",
            "two `words` of `blockchain` mean `ETH`",
        ),
        (
            "chars = \"digits\"",
            "type = \"int\", chars = \"digits\"",
            "only text has",
        ),
        ("format = \"date\"", "format = \"dat\"", "`dat` is no form of a time"),
        (
            "format = \"{setting.times}\"",
            "format = \"{setting.tims}\"",
            "did you mean `times`?",
        ),
        (
            "values = [\"unix\", \"unix_ms\"]",
            "values = [\"unix\", \"weeks\"]",
            "its `values` have to be some of rfc3339",
        ),
        (
            "default = \"unix\"\n",
            "",
            "`made` cannot be written without a `default`",
        ),
        (
            "default = \"unix\"\n",
            "default = \"date\"\n",
            "`date` is none of its `values`",
        ),
        ("minimum = \"1\"", "minimum = \"one\"", "`minimum` of `minutes`"),
        (
            "{ name = \"pin\", chars",
            "{ name = \"pin\", minimum = \"1\", chars",
            "only a number has a `minimum`",
        ),
        (
            "set = \"one\"",
            "set = \"one\", required = true",
            "`kind` is always sent: no script can be required",
        ),
        (
            "type = \"objects\", shape = \"item\", required",
            "type = \"objects\", required",
            "is an object without a `shape`",
        ),
        (
            "status = 409\ncode = \"busy\"",
            "bare = true\ncode = \"busy\"",
            "an answer without a code has none",
        ),
        ("code = \"done_before\"\n", "", "it speaks of every answer"),
        ("status = 404\nbare = true", "status = 404", "404 is classed twice"),
        ("code = [\"/code\", \"/error/kind\"]\n", "", "no code is ever read"),
        (
            "code = [\"/code\", \"/error/kind\"]",
            "code = [\"/code\", \"kind\"]",
            "`kind` is not a pointer",
        ),
        ("param = \"id\"\n", "", "`show` is not a read of one id"),
        (
            "param = \"id\"\n",
            "param = \"ident\"\n",
            "no parameter of `show` named `ident`",
        ),
        (
            "effect = \"read\"\nresource",
            "probe = true\neffect = \"read\"\nresource",
            "a connection is tried by a read",
        ),
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

#[test]
fn a_connection_is_tried_by_the_read_that_its_table_names() {
    let read = |connector: &str| {
        let connection = super::connection_of(connector);
        connection
            .connector
            .harmless_read()
            .map(|endpoint| endpoint.name.clone())
    };
    assert_eq!(read("augustus").as_deref(), Some("retrieve_api_key"));
    assert_eq!(read("ivy").as_deref(), Some("list_webhook_subscriptions"));
    assert_eq!(read("payments").as_deref(), Some("retrieve_balance"));
}
