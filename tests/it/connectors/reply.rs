//! What answers mean: the provider's own error table, what a status means where a table is silent, and how
//! the same answer means different things to a read and to a payment.

use bursar::connector::client::SendError;
use bursar::connector::reply::{RawAnswer, Verdict, class_of, classify, classify_error};
use bursar::connector::request::prepare;
use bursar::connector::table::{Effect, ErrorClass};
use bursar::model::value::{Map, Value};
use serde_json::{Value as Json, json};

use super::{ACCOUNT, DEPOSIT, OTHER_ACCOUNT, bank, endpoint, money, payout_args};

/// Every error the provider documents, and what it has to mean for a payment.
const DOCUMENTED: &[(u16, &str, ErrorClass)] = &[
    (400, "parameter_invalid", ErrorClass::Failed),
    (400, "parameter_missing", ErrorClass::Failed),
    (400, "validation_error", ErrorClass::Failed),
    (400, "api_version_error", ErrorClass::Failed),
    (400, "invalid_cursor", ErrorClass::Failed),
    (400, "cursor_mismatch", ErrorClass::Failed),
    (401, "authentication_required", ErrorClass::Refused),
    (403, "permission_denied", ErrorClass::Failed),
    (403, "insufficient_scope", ErrorClass::Refused),
    (404, "resource_not_found", ErrorClass::Failed),
    (405, "method_not_allowed", ErrorClass::Failed),
    (409, "conflict", ErrorClass::Failed),
    (409, "idempotency_key_already_used", ErrorClass::Contradiction),
    (409, "request_in_progress", ErrorClass::Unknown),
    (413, "payload_too_large", ErrorClass::Failed),
    (429, "rate_limit_exceeded", ErrorClass::Retry),
    (500, "internal_error", ErrorClass::Unknown),
    (500, "upstream_error", ErrorClass::Unknown),
];

/// What a status alone means.
const BY_STATUS: &[(u16, ErrorClass)] = &[
    (301, ErrorClass::Unknown),
    (307, ErrorClass::Unknown),
    (400, ErrorClass::Failed),
    (401, ErrorClass::Refused),
    (402, ErrorClass::Failed),
    (403, ErrorClass::Refused),
    (404, ErrorClass::Failed),
    (405, ErrorClass::Failed),
    (408, ErrorClass::Unknown),
    (409, ErrorClass::Unknown),
    (410, ErrorClass::Failed),
    (413, ErrorClass::Failed),
    (415, ErrorClass::Failed),
    (418, ErrorClass::Unknown),
    (422, ErrorClass::Unknown),
    (425, ErrorClass::Retry),
    (429, ErrorClass::Retry),
    (500, ErrorClass::Unknown),
    (502, ErrorClass::Unknown),
    (503, ErrorClass::Unknown),
    (504, ErrorClass::Unknown),
];

fn verdict(name: &str, args: &Map, status: u16, body: &str) -> Verdict {
    let bank = bank();
    let endpoint = endpoint(&bank, name);
    let prepared = prepare(&bank, endpoint, args, Some("r")).unwrap();
    let answer = RawAnswer {
        status,
        headers: Vec::new(),
        body: body.to_owned().into(),
    };
    classify(
        &bank.connector,
        endpoint,
        &prepared.request,
        prepared.movement.as_ref(),
        &answer,
    )
}

fn class_shown(verdict: &Verdict) -> ErrorClass {
    match verdict {
        Verdict::NotApplied { refused: true, .. } => ErrorClass::Refused,
        Verdict::NotApplied { retry: Some(_), .. } => ErrorClass::Retry,
        Verdict::NotApplied { .. } => ErrorClass::Failed,
        Verdict::Unknown { .. } => ErrorClass::Unknown,
        Verdict::Contradiction { .. } => ErrorClass::Contradiction,
        Verdict::Applied { .. } => panic!("an error is no success"),
    }
}

#[test]
fn every_documented_error_means_what_it_should_for_a_payment() {
    let connector = bank().connector;
    assert_eq!(
        connector.errors.classes.len(),
        DOCUMENTED.len(),
        "an error is not listed here"
    );
    for (status, code, expected) in DOCUMENTED {
        assert_eq!(class_of(&connector, *status, Some(code)), *expected, "{status} {code}");
        let body = json!({"code": code, "message": "m", "category": "c"}).to_string();
        let shown = verdict("create_payout", &payout_args(), *status, &body);
        assert_eq!(class_shown(&shown), *expected, "{status} {code}");
        if let Verdict::NotApplied { failure, .. } = shown {
            assert_eq!(failure.code, *code);
            assert_eq!(failure.details.pointer("/status"), Some(&Value::Int((*status).into())));
            assert_eq!(failure.details.pointer("/answer/code"), Some(&Value::text(*code)));
        }
    }
}

#[test]
fn an_answer_the_table_does_not_know_is_classed_by_its_status() {
    for (status, expected) in BY_STATUS {
        for body in ["", "<html>", "{}", r#"{"code": "never_heard_of"}"#, r#"{"code": 7}"#] {
            let shown = verdict("create_payout", &payout_args(), *status, body);
            assert_eq!(class_shown(&shown), *expected, "{status} with `{body}`");
        }
    }
}

#[test]
fn a_read_is_never_in_doubt() {
    let id = Map::from([("id".to_owned(), Value::text(ACCOUNT))]);
    for status in 300..600u16 {
        for code in ["", "conflict", "request_in_progress", "upstream_error"] {
            let body = json!({"code": code}).to_string();
            let shown = verdict("retrieve_account", &id, status, &body);
            let Verdict::NotApplied { retry, .. } = &shown else {
                panic!("{status} {code}: {shown:?}");
            };
            let passes = (500..600).contains(&status) || status == 429 || status == 408;
            assert!(retry.is_some() || !passes, "{status} {code}");
            assert!(
                retry.is_none() || !(300..400).contains(&status),
                "a redirect stays where it is"
            );
        }
    }
    let unreadable = verdict("retrieve_account", &id, 200, "{");
    assert!(
        matches!(unreadable, Verdict::NotApplied { retry: Some(_), .. }),
        "{unreadable:?}"
    );
}

/// The provider's word on trying again says whether to, never that nothing was done.
#[test]
fn the_word_of_the_provider_on_trying_again_outranks_the_table_and_settles_nothing() {
    let bank = bank();
    let endpoint = endpoint(&bank, "create_payout");
    let prepared = prepare(&bank, endpoint, &payout_args(), Some("r")).unwrap();
    let check = |status: u16, code: &str, word: &str, class: ErrorClass, again: bool| {
        let answer = RawAnswer {
            status,
            headers: vec![("x-should-retry".to_owned(), word.to_owned())],
            body: json!({ "code": code }).to_string().into(),
        };
        let movement = prepared.movement.as_ref();
        let shown = classify(&bank.connector, endpoint, &prepared.request, movement, &answer);
        assert_eq!(class_shown(&shown), class, "{status} {code} {word}");
        let shown_again = match shown {
            Verdict::NotApplied { retry, .. } | Verdict::Unknown { retry, .. } => retry.is_some(),
            Verdict::Applied { .. } | Verdict::Contradiction { .. } => false,
        };
        assert_eq!(shown_again, again, "{status} {code} {word}");
    };
    use ErrorClass::{Contradiction, Failed, Retry, Unknown};
    check(400, "validation_error", "true", Retry, true);
    check(400, "validation_error", "false", Failed, false);
    check(409, "conflict", "true", Retry, true);
    check(429, "rate_limit_exceeded", "true", Retry, true);
    check(429, "rate_limit_exceeded", "false", Failed, false);
    // It may have been done, whatever is said of trying again.
    for status in [408, 409, 422, 500, 502, 503, 504] {
        check(status, "", "true", Unknown, true);
        check(status, "", "false", Unknown, false);
        check(status, "", "perhaps", Unknown, true);
    }
    // A redirect is not followed and will be there again.
    check(307, "", "perhaps", Unknown, false);
    // The key belongs to another request: no word makes it ours.
    check(409, "idempotency_key_already_used", "true", Contradiction, false);
}

/// What an answer shows is held against what was asked for, by everything that tells one from another.
#[test]
fn an_answer_about_something_else_is_a_contradiction() {
    let bank = bank();
    let check = |name: &str, args: &Map, pointer: &str, told: Json, contradicts: bool| {
        let endpoint = endpoint(&bank, name);
        let prepared = prepare(&bank, endpoint, args, Some("run/1")).unwrap();
        let mut body: Json = serde_json::from_str(prepared.request.body.as_deref().unwrap()).unwrap();
        body["id"] = json!("x");
        *body.pointer_mut(pointer).unwrap() = told.clone();
        let answer = RawAnswer {
            status: 200,
            headers: Vec::new(),
            body: body.to_string().into(),
        };
        let movement = prepared.movement.as_ref();
        let shown = classify(&bank.connector, endpoint, &prepared.request, movement, &answer);
        let is = matches!(shown, Verdict::Contradiction { .. });
        assert_eq!(is, contradicts, "{name} {pointer} {told}: {shown:?}");
    };
    let payout = payout_args();
    check("create_payout", &payout, "/amount", json!("100.500"), false);
    check("create_payout", &payout, "/amount", json!("100.51"), true);
    check("create_payout", &payout, "/currency", json!("USD"), true);
    check(
        "create_payout",
        &payout,
        "/destination/iban",
        json!("de89 3704 0044 0532 0130 00"),
        false,
    );
    check(
        "create_payout",
        &payout,
        "/destination/iban",
        json!("DE02120300000000202051"),
        true,
    );
    check("create_payout", &payout, "/metadata/bursar", json!("run/2"), true);
    check("create_payout", &payout, "/reference", json!("INV-2"), false);
    let convert = Map::from([
        ("source_account_id".to_owned(), Value::text(ACCOUNT)),
        ("target_account_id".to_owned(), Value::text(OTHER_ACCOUNT)),
        ("source_amount".to_owned(), money("100.50", "EUR")),
    ]);
    check(
        "create_conversion",
        &convert,
        "/target_account_id",
        json!(ACCOUNT),
        true,
    );
    check("create_conversion", &convert, "/metadata/bursar", json!("run/10"), true);
    let give_back = Map::from([("deposit_id".to_owned(), Value::text(DEPOSIT))]);
    check("create_return", &give_back, "/deposit_id", json!(ACCOUNT), true);
}

#[test]
fn numbers_of_an_answer_lose_no_digit() {
    let id = Map::from([("id".to_owned(), Value::text(ACCOUNT))]);
    let exact = r#"{"amount": 0.1000000000000000055511151231}"#;
    let Verdict::Applied { value, .. } = verdict("retrieve_account_balance", &id, 200, exact) else {
        panic!("it can be held");
    };
    let amount = value.pointer("/amount").and_then(Value::as_decimal).unwrap();
    assert_eq!(amount.to_string(), "0.1000000000000000055511151231");
    let too_long = r#"{"amount": 0.10000000000000000555111512312578}"#;
    let refused = verdict("retrieve_account_balance", &id, 200, too_long);
    assert!(matches!(refused, Verdict::NotApplied { .. }), "{refused:?}");
}

#[test]
fn a_call_without_an_answer_is_in_doubt_only_if_it_may_have_arrived() {
    let bank = bank();
    let not_sent = SendError::NotSent("refused".to_owned());
    let unknown = SendError::Unknown("reset".to_owned());
    for endpoint in bank.connector.endpoints() {
        let shown = classify_error(endpoint, &not_sent);
        assert!(matches!(
            shown,
            Verdict::NotApplied {
                retry: Some(_),
                refused: false,
                ..
            }
        ));
        let unarmed = classify_error(endpoint, &SendError::NoCredential("bank".to_owned()));
        assert!(matches!(
            unarmed,
            Verdict::NotApplied {
                retry: None,
                refused: true,
                ..
            }
        ));
        let doubtful = matches!(classify_error(endpoint, &unknown), Verdict::Unknown { .. });
        assert_eq!(doubtful, endpoint.effect != Effect::Read, "{}", endpoint.name);
    }
}
