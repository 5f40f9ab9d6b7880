//! Requests: what is refused with which words, and what makes two requests different.

use std::sync::Arc;

use bursar::connector::connection::{BadAddress, Connection, check_base_url};
use bursar::connector::request::{Prepared, arguments, as_argument, prepare};
use bursar::connector::table::Connector;
use bursar::model::journal::Failure;
use bursar::model::value::{Map, Value};

use super::{ACCOUNT, DEPOSIT, OTHER_ACCOUNT, bank, destination, endpoint, money, payout_args};

fn payout(change: impl FnOnce(&mut Map)) -> Result<Prepared, Failure> {
    let bank = bank();
    let mut args = payout_args();
    change(&mut args);
    prepare(&bank, endpoint(&bank, "create_payout"), &args, Some("run_1/3"))
}

fn set(name: &str, value: Value) -> impl FnOnce(&mut Map) {
    let name = name.to_owned();
    move |args| {
        args.insert(name, value);
    }
}

#[test]
fn a_wrong_payout_is_refused_in_plain_words() {
    type Change = Box<dyn FnOnce(&mut Map)>;
    let cases: Vec<(Change, &str)> = vec![
        (Box::new(set("amuont", money("1.00", "EUR"))), "did you mean `amount`?"),
        (
            Box::new(set("colour", Value::text("red"))),
            "it takes source_account_id, amount",
        ),
        (
            Box::new(|args| {
                args.remove("reference");
            }),
            "`reference` is missing: What the receiver reads",
        ),
        (Box::new(set("reference", Value::Null)), "`reference` is missing"),
        (
            Box::new(set("reference", Value::Int(7))),
            "`reference` takes text, not a whole number",
        ),
        (
            Box::new(set("reference", Value::text("x".repeat(141)))),
            "141 characters long, 140 at most",
        ),
        (
            Box::new(set("rail", Value::text("sepa_instnt"))),
            "did you mean `sepa_instant`?",
        ),
        (
            Box::new(set("rail", Value::text("pigeon"))),
            "it takes one of sepa_instant, sepa, faster_payments",
        ),
        (
            Box::new(set("source_account_id", Value::text("main"))),
            "takes a UUID, `main` is none",
        ),
        (Box::new(set("amount", money("-1.00", "EUR"))), "`amount` is negative"),
        (Box::new(set("amount", Value::text("1e3"))), "is not an amount"),
        (
            Box::new(set("amount", Value::text("100.50"))),
            "`amount` needs its currency",
        ),
        (
            Box::new(set("amount", Value::Bool(true))),
            "takes an amount such as EUR(100.50)",
        ),
        (Box::new(set("amount", money("1", "CHF"))), "`currency` cannot be `CHF`"),
        (
            Box::new(set("currency", Value::text("USD"))),
            "`amount` is EUR 100.50, but `currency` says USD",
        ),
        (
            Box::new(|args| {
                args.insert("amount".to_owned(), Value::text("1.005"));
                args.insert("currency".to_owned(), Value::text("EUR"));
            }),
            "more decimals than EUR allows",
        ),
        (
            Box::new(set("destination", Value::text(ACCOUNT))),
            "`destination` takes a map, not text",
        ),
        (
            Box::new(set("destination", Value::map([("iban", Value::text("DE1"))]))),
            "`destination.type` is missing",
        ),
        (
            Box::new(set("destination", Value::map([("type", Value::text("ibann"))]))),
            "did you mean `iban`?",
        ),
        (
            Box::new(set(
                "destination",
                Value::map([("type", Value::text("iban")), ("ibna", Value::text("DE1"))]),
            )),
            "did you mean `iban`?",
        ),
        (
            Box::new(set(
                "destination",
                Value::map([("type", Value::text("iban")), ("iban", Value::text("DE1"))]),
            )),
            "`account_holder_name` is missing",
        ),
        (
            Box::new(set("metadata", Value::map([("n", Value::Int(1))]))),
            "`metadata.n` takes text, not a whole number",
        ),
        (
            Box::new(set("metadata", Value::map([("bursar", Value::text("mine"))]))),
            "`metadata.bursar` is where bursar writes its own reference",
        ),
    ];
    for (change, expected) in cases {
        let failure = payout(change).expect_err(expected);
        assert_eq!(failure.code, "invalid_argument");
        assert!(
            failure.message.contains(expected),
            "{}\ndoes not say: {expected}",
            failure.message
        );
    }
}

#[test]
fn an_amount_may_be_written_in_four_ways() {
    let expected = payout(|_| {}).unwrap();
    for amount in [
        Value::text("100.50"),
        Value::text("100.5"),
        Value::Decimal("100.50".parse().unwrap()),
    ] {
        let written = payout(|args| {
            args.insert("amount".to_owned(), amount);
            args.insert("currency".to_owned(), Value::text("EUR"));
        });
        assert_eq!(written.unwrap(), expected);
    }
}

#[test]
fn a_conversion_takes_only_money_because_its_request_names_no_currency() {
    let bank = bank();
    let convert = endpoint(&bank, "create_conversion");
    let mut args = Map::from([
        ("source_account_id".to_owned(), Value::text(ACCOUNT)),
        ("target_account_id".to_owned(), Value::text(OTHER_ACCOUNT)),
        ("source_amount".to_owned(), Value::text("250")),
    ]);
    let failure = prepare(&bank, convert, &args, None).unwrap_err();
    assert!(failure.message.contains("needs its currency"), "{}", failure.message);
    args.insert("source_amount".to_owned(), money("250", "USDC"));
    let prepared = prepare(&bank, convert, &args, None).unwrap();
    let movement = prepared.movement.unwrap();
    assert_eq!(movement.amount.map(Value::Money), Some(money("250", "USDC")));
    assert_eq!(movement.beneficiary.as_deref(), Some(OTHER_ACCOUNT));
}

#[test]
fn a_fingerprint_changes_with_everything_that_matters_and_with_nothing_else() {
    let base = payout(|_| {}).unwrap().fingerprint;
    assert_eq!(payout(|_| {}).unwrap().fingerprint, base);
    assert_eq!(payout(set("rail", Value::Null)).unwrap().fingerprint, base);
    let mut seen = vec![base];
    let changes = [
        ("amount", money("100.51", "EUR")),
        ("amount", money("100.50", "USD")),
        ("destination", destination("DE02120300000000202051")),
        ("reference", Value::text("INV-1002")),
        ("source_account_id", Value::text(OTHER_ACCOUNT)),
        ("metadata", Value::map([("a", Value::text("b"))])),
    ];
    for (name, value) in changes {
        seen.push(payout(set(name, value)).unwrap().fingerprint);
    }
    let bank = bank();
    let elsewhere = Connection {
        name: "other".to_owned(),
        ..bank.clone()
    };
    let create = endpoint(&bank, "create_payout");
    seen.push(
        prepare(&elsewhere, create, &payout_args(), Some("run_1/3"))
            .unwrap()
            .fingerprint,
    );
    seen.push(
        prepare(&bank, create, &payout_args(), Some("run_1/4"))
            .unwrap()
            .fingerprint,
    );
    for name in ["freeze_account", "unfreeze_account"] {
        for account in [ACCOUNT, OTHER_ACCOUNT] {
            let args = Map::from([("id".to_owned(), Value::text(account))]);
            seen.push(prepare(&bank, endpoint(&bank, name), &args, None).unwrap().fingerprint);
        }
    }
    // The amount of a conversion has no currency on the wire: only the fingerprint tells these apart.
    for currency in ["USDC", "USDT"] {
        let args = Map::from([
            ("source_account_id".to_owned(), Value::text(ACCOUNT)),
            ("target_account_id".to_owned(), Value::text(OTHER_ACCOUNT)),
            ("source_amount".to_owned(), money("250", currency)),
        ]);
        let convert = endpoint(&bank, "create_conversion");
        seen.push(prepare(&bank, convert, &args, None).unwrap().fingerprint);
    }
    let count = seen.len();
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), count, "two different requests have one fingerprint");
}

#[test]
fn one_account_is_one_beneficiary_however_it_is_typed() {
    let beneficiary = |iban: &str| {
        let prepared = payout(set("destination", destination(iban))).unwrap();
        prepared.movement.unwrap().beneficiary
    };
    assert_eq!(
        beneficiary("DE89370400440532013000").as_deref(),
        Some("DE89370400440532013000")
    );
    assert_eq!(
        beneficiary("de89 3704 0044 0532 0130 00"),
        beneficiary("DE89370400440532013000")
    );
    assert_ne!(
        beneficiary("DE02120300000000202051"),
        beneficiary("DE89370400440532013000")
    );
}

#[test]
fn a_call_may_pass_nothing_a_map_or_one_text_for_the_path() {
    let bank = bank();
    let id = Map::from([("id".to_owned(), Value::text(DEPOSIT))]);
    let retrieve = endpoint(&bank, "retrieve_deposit");
    assert_eq!(arguments(retrieve, &[Value::text(DEPOSIT)]), Ok(id.clone()));
    assert_eq!(arguments(retrieve, &[Value::Map(id.clone())]), Ok(id.clone()));
    assert_eq!(arguments(endpoint(&bank, "list_deposits"), &[]), Ok(Map::new()));
    let close = endpoint(&bank, "close_account");
    let reason = Value::map([("reason", Value::text("client_request"))]);
    assert_eq!(arguments(close, &[Value::text("x"), reason]).unwrap().len(), 2);
    for (name, given) in [
        ("list_deposits", vec![Value::text("x")]),
        ("retrieve_deposit", vec![Value::Int(1)]),
        ("close_account", vec![Value::text("x"), Value::Map(id)]),
    ] {
        let failure = arguments(endpoint(&bank, name), &given).unwrap_err();
        assert_eq!(failure.code, "invalid_argument", "{}", failure.message);
    }
    assert_eq!(retrieve.usage(), "retrieve_deposit(id)");
    assert_eq!(
        endpoint(&bank, "create_return").usage(),
        "create_return(#{ deposit_id, [rail] })"
    );
}

#[test]
fn an_address_shown_by_the_provider_becomes_a_destination() {
    let bank = bank();
    let create = endpoint(&bank, "create_payout");
    let mut shown = destination("DE89370400440532013000");
    if let Value::Map(map) = &mut shown {
        map.insert("bic".to_owned(), Value::Null);
        map.insert("added_last_week".to_owned(), Value::Int(1));
    }
    let taken = as_argument(&bank, create, "destination", &shown);
    let built = payout(set("destination", taken)).unwrap();
    assert_eq!(built, payout(|_| {}).unwrap());
}

/// A connection to a provider whose only endpoint is `act`, described by these lines.
fn toy(act: &str) -> Connection {
    let table = format!(
        r#"
        name = "toy"
        title = "Toy"
        doc = "A provider of our own."
        base_url = {{ live = "https://api.example.com" }}
        auth = {{ scheme = "bearer" }}
        [endpoint.act]
        doc = "Acts."
        {act}
        "#
    );
    Connection {
        connector: Arc::new(Connector::parse("toy.toml", &table).unwrap()),
        ..bank()
    }
}

#[test]
fn text_in_a_path_cannot_lead_elsewhere() {
    let toy = toy(r#"
        method = "GET"
        path = "/things/{id}/state"
        effect = "read"
        params = [{ name = "id", in = "path", doc = "Which." }]
        "#);
    let path = |id: &str| {
        let args = Map::from([("id".to_owned(), Value::text(id))]);
        prepare(&toy, endpoint(&toy, "act"), &args, None).map(|built| built.request.path)
    };
    assert_eq!(
        path("a/../b?c#d é").unwrap(),
        "/things/a%2F..%2Fb%3Fc%23d%20%C3%A9/state"
    );
    for id in ["", ".", ".."] {
        assert!(path(id).is_err(), "`{id}`");
    }
}

#[test]
fn an_amount_is_written_in_the_unit_of_the_table() {
    let cases = [
        ("decimal_text", money("1250", "EUR"), r#""1250.00""#),
        ("decimal_text", money("1250", "JPY"), r#""1250""#),
        ("decimal_number", money("0.10", "EUR"), "0.10"),
        ("minor_number", money("0.10", "EUR"), "10"),
        ("minor_number", money("1250", "JPY"), "1250"),
        ("minor_number", money("0.1", "ETH"), "100000000000000000"),
        ("minor_number", Value::Int(10), "10"),
    ];
    for (unit, amount, expected) in cases {
        let toy = toy(&format!(
            r#"
            method = "POST"
            path = "/pay"
            effect = "moves_money"
            amount = {{ field = "amount", currency = "currency", unit = "{unit}" }}
            our_reference = "note"
            params = [
              {{ name = "amount", type = "decimal", required = true, doc = "How much." }},
              {{ name = "currency", required = true, doc = "Of what." }},
              {{ name = "note", doc = "For our reference." }},
            ]
            "#
        ));
        let currency = match &amount {
            Value::Money(money) => Value::text(money.currency().code()),
            _ => Value::text("EUR"),
        };
        let args = Map::from([("amount".to_owned(), amount), ("currency".to_owned(), currency.clone())]);
        let prepared = prepare(&toy, endpoint(&toy, "act"), &args, Some("r")).unwrap();
        let body = format!(r#"{{"amount":{expected},"currency":"{currency}","note":"r"}}"#);
        assert_eq!(prepared.request.body.unwrap(), body);
    }
}

#[test]
fn a_credential_is_not_sent_in_the_open() {
    for good in [
        "https://api.augustus.com",
        "http://127.0.0.1:8080",
        "http://[::1]:8080",
        "http://localhost:9",
        "http://simulator:8080",
        "http://10.0.0.7",
    ] {
        assert_eq!(check_base_url(good), Ok(()), "{good}");
    }
    for open in ["http://api.augustus.com", "http://8.8.8.8", "http://[2001:db8::1]"] {
        assert!(
            matches!(check_base_url(open), Err(BadAddress::NotEncrypted(_))),
            "{open}"
        );
    }
    for nonsense in [
        "",
        "api.augustus.com",
        "ftp://x",
        "https://user@host",
        "https://host?x=1",
    ] {
        assert!(
            matches!(check_base_url(nonsense), Err(BadAddress::NotAnAddress(_))),
            "{nonsense}"
        );
    }
}
