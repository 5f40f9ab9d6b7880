//! Idempotency keys: POSTs alone, successes alone, an hour from the first of them, whatever the body says then.

use bursar::simulator::config::payments::{CARD, DECLINED_CARD, Decline};
use bursar::simulator::config::{AfterServerError, InFlight, KeyScope, OtherRequest};
use bursar::simulator::faults::{FaultAction, FaultRule, When};
use serde_json::{Value as Json, json};

use super::{Pay, made};
use crate::simulator::bench::eventually;

const KEY: &str = "key-000001";
const HOUR_MS: u64 = 60 * 60 * 1_000;

fn refunds_of(intent: &str) -> String {
    format!("/payment_intents/{intent}/refunds")
}

#[tokio::test]
async fn a_key_protects_an_hour_from_the_first_success() {
    let pay = Pay::start().await;
    let intent = pay.paid(1_000).await;
    let (path, body) = (refunds_of(&intent), json!({ "amount": 10 }));
    let first = pay.post_as(KEY, &path, &body).await;
    pay.bench.pass(HOUR_MS - 1);
    let second = pay.post_as(KEY, &path, &body).await;
    assert_eq!((second.status, second.json()), (201, made(&first)));
    assert!(
        second.headers.iter().all(|(name, _)| !name.contains("replay")),
        "nothing marks it"
    );
    assert_eq!(pay.effects("refund"), 1);
    pay.bench.pass(1);
    let third = made(&pay.post_as(KEY, &path, &body).await);
    assert_ne!(third["id"], first.json()["id"]);
    assert_eq!(pay.effects("refund"), 2, "it gives back again");
}

#[tokio::test]
async fn the_hour_counts_from_the_answer_and_not_from_the_request() {
    let pay = Pay::start().await;
    let intent = pay.paid(1_000).await;
    let slow = FaultAction::Delay {
        ms: 600_000,
        when: When::After,
    };
    let control = pay.bench.control();
    control.add_fault(FaultRule::on("payments.create_refund", slow).nth(1));
    let (path, body) = (refunds_of(&intent), json!({ "amount": 10 }));
    let first = pay.post_as(KEY, &path, &body);
    let meanwhile = async {
        eventually("the refund exists", || (pay.effects("refund") == 1).then_some(())).await;
        pay.bench.pass(600_000);
    };
    let (first, ()) = tokio::join!(first, meanwhile);
    pay.bench.pass(HOUR_MS - 1);
    assert_eq!(made(&pay.post_as(KEY, &path, &body).await), made(&first));
    assert_eq!(pay.effects("refund"), 1);
}

#[tokio::test]
async fn what_failed_is_not_kept() {
    let pay = Pay::start().await;
    let intent = pay.intent(&json!({ "amount": 1_000 })).await;
    let body = json!({ "amount": 10 });
    pay.post_as(KEY, &refunds_of(&intent), &body)
        .await
        .refused(400, "WRONG_ARGUMENTS");
    pay.charge(&intent, CARD).await;
    made(&pay.post_as(KEY, &refunds_of(&intent), &body).await);
}

#[tokio::test]
async fn a_decline_is_kept_when_it_is_a_success() {
    let check = async |decline, expected: [u16; 2], payments: usize| {
        let pay = Pay::with(|config| {
            config.decline = decline;
            config.after_decline = bursar::simulator::config::payments::AfterDecline::Created;
        })
        .await;
        let intent = pay.intent(&json!({ "amount": 1_000 })).await;
        let (path, body) = (
            format!("/payment_intents/{intent}/payments"),
            json!({ "payment_method_id": DECLINED_CARD }),
        );
        let first = pay.post_as(KEY, &path, &body).await.status;
        let second = pay.post_as(KEY, &path, &body).await.status;
        assert_eq!(
            ([first, second], pay.effects("payment")),
            (expected, payments),
            "{decline:?}"
        );
    };
    check(Decline::Payment, [201, 201], 1).await;
    check(Decline::Status402, [402, 402], 2).await;
}

#[tokio::test]
async fn another_body_gets_the_stored_answer_or_409() {
    let check = async |other, expected: u16| {
        let pay = Pay::with(|config| config.idempotency.other_request = other).await;
        let path = refunds_of(&pay.paid(1_000).await);
        let first = made(&pay.post_as(KEY, &path, &json!({ "amount": 10 })).await);
        let second = pay.post_as(KEY, &path, &json!({ "amount": 999 })).await;
        assert_eq!(second.status, expected);
        match other {
            OtherRequest::Replay => assert_eq!(second.json(), first, "and says nothing of it"),
            OtherRequest::Refuse => drop(second.refused(409, "IDEMPOTENCY_KEY_REUSED")),
        }
        assert_eq!(pay.effects("refund"), 1);
    };
    check(OtherRequest::Replay, 201).await;
    check(OtherRequest::Refuse, 409).await;
}

#[tokio::test]
async fn while_the_first_is_under_way_the_second_is_refused_or_runs_too() {
    let check = async |in_flight, expected: u16, refunds: usize| {
        let pay = Pay::with(|config| config.idempotency.in_flight = in_flight).await;
        let path = refunds_of(&pay.paid(1_000).await);
        let slow = FaultAction::Delay {
            ms: 5_000,
            when: When::After,
        };
        let control = pay.bench.control();
        control.add_fault(FaultRule::on("payments.create_refund", slow).nth(1));
        let body = json!({ "amount": 10 });
        let meanwhile = async {
            eventually("the refund exists", || (pay.effects("refund") == 1).then_some(())).await;
            let second = pay.post_as(KEY, &path, &body).await;
            pay.bench.pass(5_000);
            second
        };
        let (first, second) = tokio::join!(pay.post_as(KEY, &path, &body), meanwhile);
        made(&first);
        assert_eq!(
            (second.status, pay.effects("refund")),
            (expected, refunds),
            "{in_flight:?}"
        );
        if second.status == 409 {
            second.refused(409, "IDEMPOTENCY_IN_PROGRESS");
        }
    };
    check(InFlight::Refuse, 409, 1).await;
    check(InFlight::RunBoth, 201, 2).await;
}

#[tokio::test]
async fn a_key_is_one_for_a_key_an_account_and_a_path() {
    let check = async |scope, same_path: bool, same_account: bool, is_replayed: bool| {
        let pay = Pay::with(|config| config.idempotency.key_scope = scope).await;
        let body = json!({ "amount": 10 });
        let first = made(&pay.post_as(KEY, "/payment_intents", &body).await);
        let other = bursar::simulator::config::payments::MerchantSeed::shown_id(pay.bench.account("Other shop"));
        let account = if same_account { pay.account.clone() } else { other };
        let headers = [("x-account-id", account.as_str()), ("x-idempotency-key", KEY)];
        let (path, body) = match same_path {
            true => ("/payment_intents", body),
            false => ("/checkout_sessions", super::operations::session()),
        };
        let second = made(&pay.send(("POST", path), &headers, Some(&body)).await.unwrap());
        assert_eq!(
            second["id"] == first["id"],
            is_replayed,
            "{scope:?} {same_path} {same_account}"
        );
    };
    check(KeyScope::MerchantAndPath, true, true, true).await;
    check(KeyScope::MerchantAndPath, false, true, false).await;
    check(KeyScope::MerchantAndPath, true, false, false).await;
    check(KeyScope::Merchant, false, true, true).await;
    check(KeyScope::Merchant, true, false, true).await;
}

#[tokio::test]
async fn a_patch_ignores_the_key() {
    let pay = Pay::start().await;
    let path = format!("/payment_intents/{}", pay.intent(&json!({ "amount": 10 })).await);
    let patch = async |key: &str, amount: u64| {
        let headers = [("x-account-id", pay.account.as_str()), ("x-idempotency-key", key)];
        let body = json!({ "amount": amount });
        pay.send(("PATCH", path.as_str()), &headers, Some(&body))
            .await
            .unwrap()
            .ok()["amount"]
            .clone()
    };
    assert_eq!((patch(KEY, 11).await, patch(KEY, 12).await), (json!(11), json!(12)));
    assert_eq!(patch("short", 13).await, json!(13));
    let counts = pay.bench.control().requests()["payments.update_payment_intent"];
    assert_eq!((counts.done, counts.replayed), (3, 0));
}

#[tokio::test]
async fn the_same_operation_by_patch_heeds_no_key_either() {
    let pay = Pay::start().await;
    let intent = made(&pay.post("/external_payments", &super::operations::external(100)).await);
    let path = format!("/external_payments/{}/capture", super::text(&intent["id"]));
    let headers = [("x-account-id", pay.account.as_str()), ("x-idempotency-key", KEY)];
    let body = json!({ "gateway_capture_response": {} });
    pay.send(("PATCH", path.as_str()), &headers, Some(&body))
        .await
        .unwrap()
        .ok();
    let again = pay.send(("PATCH", path.as_str()), &headers, Some(&body)).await.unwrap();
    again.refused(400, "WRONG_ARGUMENTS");
}

#[tokio::test]
async fn a_short_key_is_a_bad_request() {
    let pay = Pay::start().await;
    let refused = pay
        .post_as("123456789", "/payment_intents", &json!({ "amount": 10 }))
        .await;
    let refused = refused.refused(400, "WRONG_ARGUMENTS");
    assert!(refused["argument_errors"]["x-idempotency-key"].is_string(), "{refused}");
    made(
        &pay.post_as("1234567890", "/payment_intents", &json!({ "amount": 10 }))
            .await,
    );
    pay.post_as(&"k".repeat(256), "/payment_intents", &json!({ "amount": 10 }))
        .await
        .refused(400, "WRONG_ARGUMENTS");
}

#[tokio::test]
async fn a_search_takes_no_key() {
    let pay = Pay::start().await;
    let found = async || super::rows(&pay.post_as(KEY, "/payment_intents/search", &json!({})).await.ok()).len();
    assert_eq!(found().await, 0);
    pay.intent(&json!({ "amount": 10 })).await;
    assert_eq!(found().await, 1);
}

#[tokio::test]
async fn an_answer_that_was_lost_comes_again() {
    let check = async |action: FaultAction, after, refunds: usize| {
        let pay = Pay::with(|config| config.idempotency.after_server_error = after).await;
        let path = refunds_of(&pay.paid(1_000).await);
        let control = pay.bench.control();
        control.add_fault(FaultRule::on("payments.create_refund", action.clone()).nth(1));
        let body = json!({ "amount": 10 });
        let first = pay.try_post(KEY, &path, &body).await;
        assert!(first.is_none_or(|reply| reply.status == 500));
        let counted = pay.fetch(path.split('/').nth(2).unwrap()).await["amount_refunded"].clone();
        let done = action != FaultAction::Refuse;
        assert_eq!(counted, json!(if done { 10 } else { 0 }), "{action:?}");
        made(&pay.post_as(KEY, &path, &body).await);
        assert_eq!(pay.effects("refund"), refunds, "{action:?} {after:?}");
        pay.bench.assert_balanced();
    };
    let after = FaultAction::Status {
        status: 500,
        when: When::After,
        retry_after_secs: None,
    };
    check(FaultAction::Refuse, AfterServerError::Success, 1).await;
    check(FaultAction::DropAfterEffect, AfterServerError::Success, 1).await;
    check(after.clone(), AfterServerError::Success, 1).await;
    check(after, AfterServerError::RunAgain, 2).await;
    let lost = FaultAction::ErrorLost { status: 500 };
    check(lost.clone(), AfterServerError::Success, 1).await;
    check(lost, AfterServerError::RunAgain, 2).await;
}

#[tokio::test]
async fn an_effect_can_come_after_the_window_of_its_key() {
    let pay = Pay::with(|config| config.idempotency.in_flight = InFlight::RunBoth).await;
    let path = refunds_of(&pay.paid(1_000).await);
    let late = FaultAction::Delay {
        ms: 2 * HOUR_MS,
        when: When::Before,
    };
    let control = pay.bench.control();
    control.add_fault(FaultRule::on("payments.create_refund", late).nth(1));
    let body: Json = json!({ "amount": 10 });
    let meanwhile = async {
        let arrived = || {
            control
                .requests()
                .get("payments.create_refund")
                .map(|count| count.total)
        };
        eventually("the request came", || arrived().filter(|count| *count == 1)).await;
        made(&pay.post_as(KEY, &path, &body).await);
        pay.bench.pass(2 * HOUR_MS);
    };
    let (first, ()) = tokio::join!(pay.post_as(KEY, &path, &body), meanwhile);
    made(&first);
    assert_eq!(pay.effects("refund"), 2);
}
