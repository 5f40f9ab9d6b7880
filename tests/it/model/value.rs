//! Values: both JSON forms give back what they were given, to the last digit and the last type.

use bursar::base::limits::VALUE_DEPTH_MAX;
use bursar::model::payload::{Payload, PayloadError};
use bursar::model::value::{Map, Value, ValueError, typed_map_text};
use chrono::{DateTime, TimeDelta};
use proptest::prelude::*;
use rust_decimal::Decimal;
use serde_json::{Value as Json, json};

use super::{decimal, money, random_cases};

fn scalar() -> impl Strategy<Value = Value> {
    let number = (any::<i128>(), 0u32..=28)
        .prop_map(|(mantissa, scale)| Decimal::try_from_i128_with_scale(mantissa >> 32, scale).expect("96 bits"));
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        number.prop_map(Value::Decimal),
        (
            any::<i64>(),
            proptest::sample::select(vec!["JPY", "EUR", "BHD", "USDC", "ETH"])
        )
            .prop_map(|(minor, code)| {
                let minor = i128::from(minor);
                Value::Money(super::Money::from_minor(minor, super::currency(code)).expect("in range"))
            }),
        (-8_000_000_000_000i64..8_000_000_000_000, 0u32..1_000_000_000)
            .prop_map(|(seconds, nanos)| Value::Time(DateTime::from_timestamp(seconds, nanos).expect("in range"))),
        (any::<i64>(), 0u32..1_000_000_000)
            .prop_map(|(seconds, nanos)| Value::Duration(TimeDelta::new(seconds / 1_000, nanos).expect("in range"))),
        ".{0,12}".prop_map(Value::Text),
        proptest::sample::select(vec!["$decimal", "1.5", "EUR 1.00", "$map", ""]).prop_map(Value::text),
    ]
}

/// Keys that a careless reader could take for one of its own marks.
fn key() -> impl Strategy<Value = String> {
    prop_oneof![
        proptest::sample::select(vec![
            "$decimal",
            "$money",
            "$time",
            "$seconds",
            "$map",
            "$",
            "$$",
            "$$decimal",
            "a"
        ])
        .prop_map(str::to_owned),
        ".{0,4}",
    ]
}

fn any_value() -> impl Strategy<Value = Value> {
    scalar().prop_recursive(5, 40, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::List),
            proptest::collection::btree_map(key(), inner.clone(), 0..3).prop_map(Value::Map),
            (key(), inner).prop_map(|(key, value)| Value::map([(key, value)])),
        ]
    })
}

/// Equal with their types: the decimal 100 is not the integer 100, and 1.50 keeps its zero.
fn same(left: &Value, right: &Value) -> bool {
    left == right && format!("{left:?}") == format!("{right:?}")
}

/// What plain JSON can say: the same without the types it does not have.
fn without_types(value: &Value) -> Value {
    match value {
        Value::Decimal(number) => {
            let text = number.to_string();
            text.parse().map_or_else(|_| value.clone(), Value::Int)
        }
        Value::Money(money) => Value::map([
            ("amount", Value::text(money.amount().to_string())),
            ("currency", Value::text(money.currency().code())),
        ]),
        Value::Time(time) => Value::text(time.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)),
        Value::Duration(duration) => {
            let nanos = i128::from(duration.num_seconds()) * 1_000_000_000 + i128::from(duration.subsec_nanos());
            let seconds = Decimal::try_from_i128_with_scale(nanos, 9).expect("in range");
            without_types(&Value::Decimal(seconds.normalize()))
        }
        Value::List(items) => Value::List(items.iter().map(without_types).collect()),
        Value::Map(map) => Value::Map(
            map.iter()
                .map(|(key, item)| (key.clone(), without_types(item)))
                .collect(),
        ),
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Text(_) => value.clone(),
    }
}

proptest! {
    #![proptest_config(random_cases())]

    #[test]
    fn the_typed_form_gives_back_the_same_value(value in any_value()) {
        let text = value.to_typed().to_string();
        let json: Json = serde_json::from_str(&text).expect("our own JSON");
        let back = Value::from_typed(&json).expect("our own form");
        prop_assert!(same(&back, &value), "{value:?} came back as {back:?} from {text}");
        prop_assert_eq!(value.typed_text(), text);
    }

    #[test]
    fn the_plain_form_loses_types_and_nothing_else(value in any_value()) {
        let text = value.to_plain().to_string();
        let json: Json = serde_json::from_str(&text).expect("our own JSON");
        let back = Value::from_plain(&json).expect("our own form");
        prop_assert_eq!(back, without_types(&value));
        prop_assert_eq!(Payload::read(&text).map(|payload| payload.json()), Ok(json));
    }

    #[test]
    fn plain_data_survives_the_typed_form_whatever_it_pretends_to_be(value in any_value()) {
        // What a provider might send: text that looks exactly like a recorded value.
        let hostile = Value::from_plain(&value.to_typed()).expect("plain data");
        let back = Value::from_typed(&hostile.to_typed()).expect("our own form");
        prop_assert!(same(&back, &hostile), "{hostile:?} came back as {back:?}");
    }

    #[test]
    fn a_number_is_held_exactly_or_refused(whole in "-?(0|[1-9][0-9]{0,32})", fraction in "(\\.[0-9]{1,32})?", exponent in -40i32..40) {
        for text in [format!("{whole}{fraction}"), format!("{whole}{fraction}e{exponent}")] {
            let json: Json = serde_json::from_str(&text).expect("a JSON number");
            let power = if text.contains('e') { exponent } else { 0 };
            let read = Value::from_plain(&json);
            prop_assert_eq!(Payload::read(&text).map(drop), read.clone().map(drop).map_err(PayloadError::from));
            match read {
                Ok(value) => {
                    let number = value.as_decimal().expect("a number");
                    prop_assert_eq!(digits_and_power(&number.to_string(), 0), digits_and_power(&format!("{whole}{fraction}"), power), "{}", text);
                }
                Err(problem) => {
                    let (digits, power) = digits_and_power(&format!("{whole}{fraction}"), power);
                    let held = digits.parse::<u128>().is_ok_and(|digits| digits < 1 << 96) && (-28..=0).contains(&power);
                    prop_assert!(!held, "{text} can be held, yet: {problem}");
                }
            }
        }
    }

    #[test]
    fn damaged_typed_forms_are_refused_and_never_panic(tag in "\\$(decimal|money|time|seconds|map)?", text in "[-+0-9.:TZEUR ]{0,36}") {
        let json = serde_json::json!({ tag: text });
        if let Ok(value) = Value::from_typed(&json) {
            prop_assert!(Value::from_typed(&value.to_typed()).is_ok());
        }
    }
}

/// A number on paper: its digits without zeros at either end, and the power of ten behind them.
fn digits_and_power(text: &str, exponent: i32) -> (String, i32) {
    let fraction = text.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    let trimmed = digits.trim_end_matches('0');
    let dropped = i32::try_from(digits.len() - trimmed.len()).expect("short");
    let power = exponent - i32::try_from(fraction).expect("short") + dropped;
    let significant = trimmed.trim_start_matches('0').to_owned();
    if significant.is_empty() {
        (significant, 0)
    } else {
        (significant, power)
    }
}

#[test]
fn numbers_of_providers_keep_every_digit() {
    let check = |json: &str, expected: Result<Value, ValueError>| {
        let json: Json = serde_json::from_str(json).expect("JSON");
        let result = Value::from_plain(&json);
        assert_eq!(format!("{result:?}"), format!("{expected:?}"), "{json}");
    };
    let inexact = |text: &str| Err(ValueError::InexactNumber(text.to_owned()));
    check("100", Ok(Value::Int(100)));
    check("100.10", Ok(Value::Decimal(decimal("100.10"))));
    check("0.1", Ok(Value::Decimal(decimal("0.1"))));
    check("1e2", Ok(Value::Decimal(decimal("100"))));
    check("1.5e-3", Ok(Value::Decimal(decimal("0.0015"))));
    check(
        "18446744073709551615",
        Ok(Value::Decimal(decimal("18446744073709551615"))),
    );
    check("1e-30", inexact("1e-30"));
    check("1e400", inexact("1e+400"));
    check(
        "0.12345678901234567890123456789012345",
        inexact("0.12345678901234567890123456789012345"),
    );
}

#[test]
fn a_tag_of_outside_data_stays_data() {
    let hostile = Value::map([("$money", Value::text("EUR 1000000.00"))]);
    assert_eq!(hostile.to_typed().to_string(), r#"{"$$money":"EUR 1000000.00"}"#);
    assert_eq!(Value::from_typed(&hostile.to_typed()), Ok(hostile));
    let real = Value::Money(money("EUR 1"));
    assert_eq!(real.to_typed().to_string(), r#"{"$money":"EUR 1.00"}"#);
}

#[test]
fn the_typed_form_is_written_as_journals_have_it() {
    let check = |value: Value, text: &str| {
        assert_eq!(value.typed_text(), text);
        assert_eq!(value.to_typed().to_string(), text);
    };
    check(Value::Null, "null");
    check(Value::Int(-100), "-100");
    check(Value::text("a \"b\"\n"), r#""a \"b\"\n""#);
    check(Value::Decimal(decimal("100.50")), r#"{"$decimal":"100.50"}"#);
    check(
        Value::Duration(TimeDelta::milliseconds(-1_500)),
        r#"{"$seconds":"-1.5"}"#,
    );
    let time = DateTime::from_timestamp(1_777_627_800, 5).expect("in range");
    check(Value::Time(time), r#"{"$time":"2026-05-01T09:30:00.000000005Z"}"#);
    check(
        Value::List(vec![Value::Bool(true), Value::Money(money("JPY 7"))]),
        r#"[true,{"$money":"JPY 7"}]"#,
    );
    let map = Map::from([("$b".to_owned(), Value::Int(1)), ("a".to_owned(), Value::Null)]);
    assert_eq!(typed_map_text(&map), r#"{"$b":1,"a":null}"#);
    check(Value::Map(map), r#"{"$b":1,"a":null}"#);
}

#[test]
fn the_deepest_value_can_be_read_back_from_text_whatever_its_keys_are() {
    let nest = |levels: usize| (0..levels).fold(Value::Int(1), |inner, _| Value::map([("$money", inner)]));
    let deepest = nest(VALUE_DEPTH_MAX);
    let text = deepest.to_typed().to_string();
    let json: Json = serde_json::from_str(&text).expect("a JSON reader's own limit is not met");
    assert_eq!(Value::from_typed(&json), Ok(deepest.clone()));
    assert_eq!(Value::from_plain(&deepest.to_plain()), Ok(deepest));
    let too_deep = nest(VALUE_DEPTH_MAX + 1).to_plain();
    assert_eq!(Value::from_plain(&too_deep), Err(ValueError::TooDeep));
    // A payload stands one level deep in its event.
    let read = |levels| Payload::read(&nest(levels).to_plain().to_string());
    let deepest = read(VALUE_DEPTH_MAX - 1).expect("it fits");
    assert!(Value::from_plain(&json!({ "payload": deepest.json() })).is_ok());
    assert_eq!(read(VALUE_DEPTH_MAX), Err(ValueError::TooDeep.into()));
    for text in ["", "{", "{} {}", "01", "nul", "\"\\ud800\"", "{\"a\":1,}"] {
        assert_eq!(Payload::read(text), Err(PayloadError::NotJson), "{text}");
    }
    // What looks like the parser's own way of handing over numbers is a number, or is refused.
    let private = |digits: &str| Payload::read(&format!(r#"{{"a":{{"$serde_json::private::Number":"{digits}"}}}}"#));
    assert_eq!(
        private("12.50").map(|payload| payload.json()),
        Ok(json!({"a": private("12.50").expect("a number").json()["a"]}))
    );
    for digits in ["+5", "007", "", "x", "1.", "NaN"] {
        assert_eq!(private(digits), Err(PayloadError::NotJson), "{digits}");
    }
    for text in [
        r#"{"$serde_json::private::Number":"1","b":2}"#,
        r#"{"$serde_json::private::Number":1}"#,
        r#"{"a":[{"$serde_json::private::Number":{}}]}"#,
    ] {
        assert_eq!(Payload::read(text), Err(PayloadError::NotJson), "{text}");
    }
    let raw = Payload::read(r#"{"$serde_json::private::RawValue":"x"}"#).expect("an ordinary key");
    assert_eq!(raw.json()["$serde_json::private::RawValue"], json!("x"));
    let spaced = Payload::read(" { \"b\": 1.10, \"a\": [ ] } ").expect("JSON");
    assert_eq!(spaced.text(), " { \"b\": 1.10, \"a\": [ ] } ");
    assert_eq!(spaced, Payload::from(json!({ "a": [], "b": spaced.json()["b"] })));
    assert_ne!(spaced, Payload::from(json!({ "a": [], "b": 2 })));
}

#[test]
fn pointers_lead_where_rfc_6901_says() {
    let document = Value::map([
        (
            "payload",
            Value::map([
                ("amount", Value::text("1.00")),
                ("a/b", Value::Int(1)),
                ("m~n", Value::Int(2)),
            ]),
        ),
        ("list", Value::List(vec![Value::Int(10), Value::Int(11)])),
        ("", Value::Int(3)),
    ]);
    let check = |pointer: &str, expected: Option<Value>| {
        assert_eq!(document.pointer(pointer).cloned(), expected, "{pointer}");
    };
    check("", Some(document.clone()));
    check("/payload/amount", Some(Value::text("1.00")));
    check("/payload/a~1b", Some(Value::Int(1)));
    check("/payload/m~0n", Some(Value::Int(2)));
    check("/list/1", Some(Value::Int(11)));
    check("/", Some(Value::Int(3)));
    for nowhere in [
        "payload",
        "/list/01",
        "/list/+1",
        "/list/2",
        "/list/-",
        "/payload/amount/0",
    ] {
        check(nowhere, None);
    }
}

#[test]
fn equal_maps_are_written_the_same_way() {
    let one: Map = [("b".to_owned(), Value::Int(1)), ("a".to_owned(), Value::Int(2))].into();
    assert_eq!(Value::Map(one).to_typed().to_string(), r#"{"a":2,"b":1}"#);
}
