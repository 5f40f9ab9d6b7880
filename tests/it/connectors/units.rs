//! Amounts on the wire: every unit and every exponent, both ways, and what is refused rather than rounded.

use std::sync::Arc;

use bursar::base::money::{Currency, Money};
use bursar::connector::connection::Connection;
use bursar::connector::reply::contradiction;
use bursar::connector::request::{Prepared, prepare};
use bursar::connector::table::{Connector, MoneyTable, Unit};
use bursar::connector::units::{read, write};
use bursar::model::journal::Failure;
use bursar::model::value::{Map, Value};
use serde_json::{Value as Json, json};

use super::{bank, endpoint, money};

const UNITS: [Unit; 3] = [Unit::DecimalText, Unit::DecimalNumber, Unit::MinorNumber];

fn exponents(told: &[(&str, u32)]) -> MoneyTable {
    MoneyTable {
        exponent: told
            .iter()
            .map(|(code, decimals)| ((*code).to_owned(), *decimals))
            .collect(),
        ..MoneyTable::default()
    }
}

fn of(amount: &str, currency: &str) -> Money {
    Money::parse(amount, currency.parse().unwrap()).unwrap()
}

#[test]
fn what_is_written_is_read_back_as_it_was() {
    let seed: u64 = 0x5eed_0f11;
    let mut state = seed;
    let mut random = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        i128::from(state >> 38)
    };
    let codes = [
        "EUR", "USD", "JPY", "KRW", "BHD", "KWD", "TND", "CLF", "USDC", "BTC", "SOL", "ETH",
    ];
    let mut refused = 0;
    for code in codes {
        let currency: Currency = code.parse().unwrap();
        for decimals in 0..=18 {
            let table = exponents(&[("default", 2), (code, decimals)]);
            for minor in [0, 1, 9, 10, 99, 100, 12_345, random(), random(), random()] {
                let money = Money::from_minor(minor, currency).unwrap();
                for unit in UNITS {
                    let Ok(written) = write(&table, unit, money) else {
                        // Only what the provider cannot say.
                        assert!(unit == Unit::MinorNumber && decimals < currency.exponent());
                        let step = 10i128.pow(currency.exponent() - decimals);
                        assert_ne!(
                            minor % step,
                            0,
                            "seed {seed}: {money} with {decimals} decimals is refused"
                        );
                        refused += 1;
                        continue;
                    };
                    let shown = Value::from_plain(&written).unwrap();
                    let back = read(&table, unit, &shown, currency);
                    assert_eq!(back, Some(money), "seed {seed}: {written} as {unit:?} with {decimals}");
                }
            }
        }
    }
    assert!(refused > 0);
}

#[test]
fn a_provider_may_count_with_decimals_of_its_own() {
    let iso = exponents(&[]);
    let hundredths = exponents(&[("default", 2), ("JPY", 0)]);
    let thousandths = exponents(&[("JPY", 2), ("EUR", 3)]);
    let cases = [
        (&iso, "EUR", "100.50", Ok("10050")),
        (&iso, "JPY", "1250", Ok("1250")),
        (&iso, "KWD", "1.234", Ok("1234")),
        (&iso, "USDC", "1.5", Ok("1500000")),
        (&hundredths, "EUR", "100.50", Ok("10050")),
        (&hundredths, "JPY", "1250", Ok("1250")),
        (&hundredths, "BHD", "1.230", Ok("123")),
        (&hundredths, "KWD", "1.23", Ok("123")),
        (
            &hundredths,
            "KWD",
            "1.234",
            Err("KWD 1.234 cannot be sent: the provider counts KWD with 2 decimals"),
        ),
        (
            &hundredths,
            "USDC",
            "0.000001",
            Err("the provider counts USDC with 2 decimals"),
        ),
        (&thousandths, "JPY", "1250", Ok("125000")),
        (&thousandths, "EUR", "0.01", Ok("10")),
    ];
    for (table, code, amount, expected) in cases {
        let written = write(table, Unit::MinorNumber, of(amount, code));
        match (written, expected) {
            (Ok(written), Ok(expected)) => assert_eq!(written.to_string(), expected, "{code} {amount}"),
            (Err(told), Err(expected)) => assert!(told.contains(expected), "{told}"),
            (written, expected) => panic!("{code} {amount}: {written:?}, not {expected:?}"),
        }
    }
}

#[test]
fn what_is_no_amount_of_its_currency_is_not_read() {
    let table = exponents(&[("JPY", 2), ("KWD", 2)]);
    let check = |unit: Unit, shown: Json, code: &str, expected: Option<&str>| {
        let value = Value::from_plain(&shown).unwrap();
        let told = read(&table, unit, &value, code.parse().unwrap());
        assert_eq!(
            told,
            expected.map(|amount| of(amount, code)),
            "{shown} {code} as {unit:?}"
        );
    };
    check(Unit::MinorNumber, json!(125_000), "JPY", Some("1250"));
    check(Unit::MinorNumber, json!(125_050), "JPY", None);
    check(Unit::MinorNumber, json!(123), "KWD", Some("1.230"));
    check(Unit::MinorNumber, json!("123"), "KWD", Some("1.230"));
    check(Unit::MinorNumber, json!(1.5), "EUR", None);
    check(Unit::DecimalNumber, json!(100.5), "EUR", Some("100.50"));
    check(Unit::DecimalText, json!("100.5"), "EUR", Some("100.50"));
    check(Unit::DecimalText, json!("100.505"), "EUR", None);
    check(Unit::DecimalText, json!("1e3"), "EUR", None);
    check(Unit::DecimalText, json!(null), "EUR", None);
    check(Unit::DecimalText, json!(true), "EUR", None);
}

/// A provider of one currency that counts in its own smallest units, with amounts beside the one it moves.
const TOY: &str = r#"name  = "toy"
title = "Toy"
doc   = "A provider of our own."
base_url = { live = "https://api.example.com" }
auth = { scheme = "bearer" }
[money]
unit = "minor_number"
exponent = { default = 2, JPY = 0 }
currency = "EUR"
[shape.price]
fields = [
  { name = "total", type = "decimal", required = true, currency = "code", doc = "All of it." },
  { name = "tip", type = "decimal", unit = "decimal_text", doc = "On top." },
  { name = "code", doc = "The currency." },
]
[endpoint.pay]
doc = "Pays."
method = "POST"
path = "/pay"
effect = "moves_money"
amount = { field = "amount" }
echo = { amount = "/amount" }
params = [
  { name = "amount", type = "decimal", required = true, doc = "How much." },
  { name = "fee", type = "decimal", doc = "Our part." },
  { name = "other", type = "decimal", unit = "decimal_number", currency = "other_currency", doc = "What it is worth elsewhere." },
  { name = "other_currency", doc = "There." },
  { name = "price", type = "object", shape = "price", doc = "Of what." },
]
"#;

fn toy() -> Connection {
    let connector = Connector::parse("connectors/toy.toml", TOY).unwrap_or_else(|wrong| panic!("{wrong:#?}"));
    Connection {
        connector: Arc::new(connector),
        ..bank()
    }
}

fn pay(given: &[(&str, Value)]) -> Result<Prepared, Failure> {
    let toy = toy();
    let args: Map = given
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.clone()))
        .collect();
    prepare(&toy, endpoint(&toy, "pay"), &args, None)
}

#[test]
fn every_amount_of_a_request_is_written_in_its_unit() {
    let price = |total: Value| Value::map([("total", total), ("tip", money("0.50", "EUR"))]);
    let cases = [
        (vec![("amount", money("1.50", "EUR"))], Ok(r#"{"amount":150}"#)),
        (vec![("amount", Value::Int(150))], Ok(r#"{"amount":150}"#)),
        (
            vec![("amount", Value::Int(1)), ("fee", money("0.20", "EUR"))],
            Ok(r#"{"amount":1,"fee":20}"#),
        ),
        (
            vec![("amount", Value::Int(1)), ("fee", Value::Int(20))],
            Ok(r#"{"amount":1,"fee":20}"#),
        ),
        (
            vec![("amount", Value::Int(1)), ("other", money("1250", "JPY"))],
            Ok(r#"{"amount":1,"other":1250,"other_currency":"JPY"}"#),
        ),
        (
            vec![("amount", Value::Int(1)), ("price", price(money("1250", "JPY")))],
            Ok(r#"{"amount":1,"price":{"code":"JPY","tip":"0.50","total":1250}}"#),
        ),
        (
            vec![("amount", Value::Int(1)), ("price", price(money("2.50", "USD")))],
            Ok(r#"{"amount":1,"price":{"code":"USD","tip":"0.50","total":250}}"#),
        ),
        (
            vec![("amount", money("1", "USD"))],
            Err("`amount` is USD 1.00: this call takes EUR alone"),
        ),
        (
            vec![("amount", Value::text("1.5"))],
            Err("`amount`: it counts minor units: 1.5 is not a whole number"),
        ),
        (
            vec![("amount", Value::Int(1)), ("fee", Value::text("0.2"))],
            Err("`fee`: it counts minor units: 0.2 is not a whole number"),
        ),
        (
            vec![("amount", Value::Int(1)), ("fee", money("1", "USD"))],
            Err("`fee` is USD 1.00: this call takes EUR alone"),
        ),
        (
            vec![
                ("amount", Value::Int(1)),
                ("other", money("1", "JPY")),
                ("other_currency", Value::text("USD")),
            ],
            Err("`other` is JPY 1, but `other_currency` says USD"),
        ),
        (
            vec![("amount", Value::Int(1)), ("price", price(money("1.234", "KWD")))],
            Err("KWD 1.234 cannot be sent: the provider counts KWD with 2 decimals"),
        ),
        (
            vec![("amount", Value::Int(1)), ("fee", money("-1", "EUR"))],
            Err("`fee` is negative"),
        ),
    ];
    for (given, expected) in cases {
        match (pay(&given), expected) {
            (Ok(built), Ok(expected)) => assert_eq!(built.request.body.as_deref(), Some(expected)),
            (Err(failure), Err(expected)) => assert!(failure.message.contains(expected), "{}", failure.message),
            (built, expected) => panic!("{given:?}: {built:?}, not {expected:?}"),
        }
    }
    assert_eq!(
        pay(&[("amount", Value::Int(150))]).unwrap().movement.unwrap().amount,
        Some(of("1.50", "EUR"))
    );
}

#[test]
fn an_answer_is_read_in_the_unit_of_the_table() {
    let toy = toy();
    let built = pay(&[("amount", money("1.50", "EUR"))]).unwrap();
    let told = |amount: Json| {
        let answer = Value::from_plain(&json!({ "amount": amount })).unwrap();
        contradiction(endpoint(&toy, "pay"), &built.request, built.movement.as_ref(), &answer)
    };
    assert_eq!(told(json!(150)), None);
    assert_eq!(told(Json::Null), None);
    for other in [json!(1.5), json!(15_000), json!("1.50")] {
        assert!(told(other).is_some());
    }
}

#[test]
fn money_without_a_currency_on_the_wire_is_refused_where_no_other_is_fixed() {
    let text = TOY.replacen("currency = \"EUR\"\n", "", 1);
    let toy = Connection {
        connector: Arc::new(Connector::parse("toy.toml", &text).unwrap()),
        ..bank()
    };
    let build = |args: &[(&str, Value)]| {
        let args: Map = args
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect();
        prepare(&toy, endpoint(&toy, "pay"), &args, None).map_err(|failure| failure.message)
    };
    assert!(build(&[("amount", money("1", "USD"))]).is_ok());
    let told = build(&[("amount", Value::Int(1))]).unwrap_err();
    assert!(told.contains("`amount` needs its currency"), "{told}");
    let told = build(&[("amount", money("1", "USD")), ("fee", money("1", "USD"))]).unwrap_err();
    assert!(told.contains("`fee` takes a plain number, not USD 1.00"), "{told}");
}

#[test]
fn a_table_is_told_what_is_wrong_with_its_units() {
    let cases = [
        (
            ("unit = \"minor_number\"\n", ""),
            "it does not say how the amount is written (write unit = \"decimal_text\"",
        ),
        (("JPY = 0", "JYP = 0"), "unknown currency `JYP`"),
        (("JPY = 0", "JPY = 19"), "19 decimals are more than any currency has"),
        (("currency = \"EUR\"", "currency = \"EURO\""), "unknown currency `EURO`"),
        (("unit = \"minor_number\"", "unit = \"cents\""), "unknown value `cents`"),
        (
            (
                "{ name = \"other_currency\", doc",
                "{ name = \"other_currency\", unit = \"decimal_text\", doc",
            ),
            "only a decimal has a `unit` or a `currency`; `other_currency` takes text",
        ),
        (
            ("currency = \"other_currency\"", "currency = \"othr_currency\""),
            "there is no parameter `othr_currency` (did you mean `other_currency`?)",
        ),
        (
            ("currency = \"other_currency\"", "currency = \"fee\""),
            "`fee` has to be of type \"text\"",
        ),
        (
            ("currency = \"code\"", "currency = \"coed\""),
            "there is no text beside it named `coed` (did you mean `code`?)",
        ),
        (
            (
                "amount = { field = \"amount\" }",
                "amount = { field = \"other\", unit = \"minor_number\" }",
            ),
            "its `unit` is said twice, here and at `other`",
        ),
        (
            (
                "amount = { field = \"amount\" }",
                "amount = { field = \"other\", currency = \"other_currency\" }",
            ),
            "its `currency` is said twice, here and at `other`",
        ),
    ];
    for ((from, to), expected) in cases {
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
