//! What a table calls sensitive is read by nobody: not in texts of errors, not by another name, not inside of a body.

use std::sync::Arc;

use bursar::connector::connection::Connection;
use bursar::connector::redact::{Redactor, SensitiveNames};
use bursar::connector::reply::{RawAnswer, Verdict, classify};
use bursar::connector::request::prepare;
use bursar::connector::table::Connector;
use bursar::model::value::{Map, Value};
use serde_json::{Value as Json, json};

use super::{bank, endpoint};

const TABLE: &str = r#"name  = "toy"
title = "Toy"
doc   = "A provider of our own."
redact = ["iban", "accountNumber"]
base_url = { live = "https://api.example.com" }
auth = { scheme = "bearer" }
[errors]
message = "/message"
[endpoint.open]
doc = "Opens."
method = "POST"
path = "/accounts"
effect = "write"
params = [
  { name = "iban", wire = "to.iban", max_length = 22, required = true, doc = "Where to." },
  { name = "account_number", wire = "accountNumber", in = "query", doc = "Of what." },
]
"#;

const IBAN: &str = "DE89370400440532013000";

fn toy() -> Connection {
    let connector = Connector::parse("connectors/toy.toml", TABLE).unwrap_or_else(|wrong| panic!("{wrong:#?}"));
    Connection {
        name: "toy".to_owned(),
        connector: Arc::new(connector),
        ..bank()
    }
}

fn args(iban: &str) -> Map {
    Map::from([
        ("iban".to_owned(), Value::text(iban)),
        ("account_number".to_owned(), Value::text("12345678")),
    ])
}

#[test]
fn what_a_provider_repeats_of_a_sensitive_member_is_in_no_message() {
    let toy = toy();
    let open = endpoint(&toy, "open");
    let spaced = "DE89 3704 0044 0532 0130 00";
    let request = prepare(&toy, open, &args(IBAN), None).unwrap().request;
    assert!(
        request.path.contains("12345678") && request.body.clone().unwrap().contains(IBAN),
        "it is sent"
    );
    let answer = |message: &str| RawAnswer {
        status: 400,
        headers: Vec::new(),
        body: json!({ "message": message, "account": { "iban": spaced } })
            .to_string()
            .into(),
    };
    let message = format!("{IBAN} is closed, as is {spaced}, of 12345678");
    let Verdict::NotApplied { failure, .. } = classify(&toy.connector, open, &request, None, &answer(&message)) else {
        panic!("it was refused");
    };
    let told = &failure.message;
    assert!(told.contains("is closed") && told.contains("3000"), "{told}");
    for secret in [IBAN, spaced, "12345678"] {
        assert!(!told.contains(secret), "{told}");
    }
}

#[test]
fn an_argument_that_is_wrong_is_told_without_what_it_says() {
    let toy = toy();
    let long = format!("{IBAN}9");
    let told = prepare(&toy, endpoint(&toy, "open"), &args(&long), None)
        .unwrap_err()
        .message;
    assert!(told.contains("iban") && !told.contains(IBAN), "{told}");
    let summary = prepare(&toy, endpoint(&toy, "open"), &args(IBAN), None)
        .unwrap()
        .summary;
    assert!(
        summary.contains("account_number=") && !summary.contains("12345678"),
        "{summary}"
    );
}

#[test]
fn members_are_known_by_their_names_and_their_texts_everywhere() {
    let names: SensitiveNames = serde_json::from_value(json!(["iban", "account_number", "ids"])).unwrap();
    let stood = json!({
        "body": format!(r#"{{"to":{{"iban":"{IBAN}","type":"iban"}}}}"#),
        "headers": [["Account-Number", "X-99887766"]],
        "ids": ["first-one", 1234567],
        "accountNumber": null,
    });
    let redactor = Redactor::new(names).with(&stood);
    assert_eq!(redactor.text(&format!("to {IBAN}/x")), "to ******************3000/x");
    assert_eq!(redactor.text("first-one, 1234567"), "*****-one, *******");
    let shown = redactor.json(&stood);
    let expected: Json = json!({
        "body": r#"{"to":{"iban":"******************3000","type":"iban"}}"#,
        "headers": [["Account-Number", "******7766"]],
        "ids": "[redacted]",
        "accountNumber": null,
    });
    assert_eq!(shown, expected);
    // What has no such names stays as it is, to the letter.
    assert_eq!(Redactor::default().with(&stood).json(&stood), stood);
}

#[test]
fn a_table_names_each_once() {
    for (names, expected) in [("[\"\"]", "written once"), ("[\"iban\", \"IBAN\"]", "written once")] {
        let table = TABLE.replace("[\"iban\", \"accountNumber\"]", names);
        let told = Connector::parse("connectors/toy.toml", &table).unwrap_err();
        assert!(told.iter().any(|told| told.message.contains(expected)), "{told:#?}");
    }
}
