//! Idempotency keys and their traps.

use bursar::simulator::config::{AfterServerError, BodyComparison, KeyScope};
use bursar::simulator::faults::{FaultAction, FaultRule, When};
use serde_json::json;

use super::bench::{Bench, eventually, id_of};
use super::http::send;

#[tokio::test]
async fn a_repeated_key_replays_the_first_answer_and_pays_once() {
    let bench = Bench::demo().await;
    let body = bench.payout("10.00", "INV-1");
    let first = bench.post_as("k1", "/v1/payouts", &body).await;
    assert_eq!(first.header("idempotent-replayed"), None);
    bench.pass(1_000);
    let second = bench.post_as("k1", "/v1/payouts", &body).await;
    assert_eq!(second.header("idempotent-replayed"), Some("true"));
    assert_eq!(
        second.body, first.body,
        "the first answer, though the payout is paid by now"
    );
    assert_ne!(second.header("correlation-id"), first.header("correlation-id"));
    let effects = bench.control().effects();
    assert_eq!(effects.len(), 1);
    assert_eq!(effects[0].idempotency_key.as_deref(), Some("k1"));
    assert_eq!(effects[0].status, "paid");
    assert_eq!(bench.control().requests()["create_payout"].replayed, 1);
    bench.post("/v1/payouts", &body).await.ok();
    assert_eq!(
        bench.control().effects().len(),
        2,
        "without a key nothing is recognised"
    );
}

#[tokio::test]
async fn a_key_of_letters_outside_ascii_is_a_key_like_any_other() {
    let bench = Bench::demo().await;
    let body = bench.payout("10.00", "INV-1");
    for (key, replayed) in [("Müller-1", None), ("Müller-1", Some("true")), ("Möller-1", None)] {
        let reply = bench.post_as(key, "/v1/payouts", &body).await;
        assert_eq!(
            (reply.status, reply.header("idempotent-replayed")),
            (200, replayed),
            "{key}"
        );
    }
    assert_eq!(bench.control().effects().len(), 2);
}

#[tokio::test]
async fn another_request_under_the_same_key_is_a_conflict() {
    let bench = Bench::demo().await;
    bench
        .post_as("k1", "/v1/payouts", &bench.payout("10.00", "INV-1"))
        .await
        .ok();
    let other = bench
        .post_as("k1", "/v1/payouts", &bench.payout("10.01", "INV-1"))
        .await;
    let error = other.refused(409, "idempotency_key_already_used");
    assert_eq!(error["param"], json!(null));
    assert_eq!(error["category"], "idempotency_error");
    let freeze = format!("/v1/accounts/{}/freeze", bench.account("Operating NL"));
    let elsewhere = bench
        .send("POST", &freeze, &[("idempotency-key", "k1")], None)
        .await
        .unwrap();
    elsewhere.refused(409, "idempotency_key_already_used");
    let read = bench
        .send("GET", "/v1/payouts", &[("idempotency-key", "k1")], None)
        .await
        .unwrap();
    read.ok();
    let long = "k".repeat(256);
    bench
        .post_as(&long, "/v1/payouts", &bench.payout("1.00", "x"))
        .await
        .refused(400, "parameter_invalid");
}

#[tokio::test]
async fn a_key_in_use_is_in_progress_until_the_answer_is_sent() {
    let bench = Bench::demo().await;
    let slow = FaultAction::Delay {
        ms: 5_000,
        when: When::After,
    };
    bench.control().add_fault(FaultRule::on("create_payout", slow).nth(1));
    let body = bench.payout("10.00", "INV-1");
    let first = bench.post_as("k1", "/v1/payouts", &body);
    let meanwhile = async {
        eventually("the payout exists", || bench.control().effects().pop()).await;
        bench
            .post_as("k1", "/v1/payouts", &body)
            .await
            .refused(409, "request_in_progress");
        bench.pass(5_000);
    };
    let (first, ()) = tokio::join!(first, meanwhile);
    let second = bench.post_as("k1", "/v1/payouts", &body).await;
    assert_eq!(second.ok(), first.ok());
    assert_eq!(bench.control().effects().len(), 1);
}

#[tokio::test]
async fn a_key_older_than_its_window_pays_again() {
    let bench = Bench::with(|config| config.idempotency.window_ms = 60_000).await;
    let body = bench.payout("10.00", "INV-1");
    bench.post_as("k1", "/v1/payouts", &body).await.ok();
    bench.pass(60_000);
    let late = bench.post_as("k1", "/v1/payouts", &body).await;
    late.ok();
    assert_eq!(late.header("idempotent-replayed"), None);
    assert_eq!(bench.control().effects().len(), 2);
}

#[tokio::test]
async fn what_counts_as_the_same_request_is_a_setting() {
    let check = async |comparison, scope, path: &str, body: &str, expected: u16| {
        let bench = Bench::with(|config| {
            config.idempotency.body_comparison = comparison;
            config.idempotency.key_scope = scope;
        })
        .await;
        let deposit = r#"{"url":"https://a.example/","events":["*"]}"#;
        let key = [("idempotency-key", "k1")];
        let first = bench
            .send("POST", "/v1/webhook_subscriptions", &key, Some(deposit))
            .await;
        let id = id_of(&first.unwrap().ok());
        let path = path.replace("{id}", &id.to_string());
        let second = bench.send("POST", &path, &key, Some(body)).await.unwrap();
        assert_eq!(second.status, expected, "{comparison:?} {scope:?} {path}");
    };
    let turned = r#"{"events":["*"], "url":"https://a.example/"}"#;
    let (here, there) = ("/v1/webhook_subscriptions", "/v1/webhook_subscriptions/{id}");
    check(BodyComparison::Bytes, KeyScope::Merchant, here, turned, 409).await;
    check(BodyComparison::Canonical, KeyScope::Merchant, here, turned, 200).await;
    check(BodyComparison::Canonical, KeyScope::Merchant, there, turned, 409).await;
    check(BodyComparison::Bytes, KeyScope::MerchantAndPath, there, turned, 200).await;
}

#[tokio::test]
async fn whether_refusals_are_kept_is_a_setting() {
    let check = async |keep: bool, expected: u16| {
        let bench = Bench::with(|config| config.idempotency.keep_client_errors = keep).await;
        let account = bench.account("Operating NL");
        let freeze = format!("/v1/accounts/{account}/freeze");
        let unfreeze = format!("/v1/accounts/{account}/unfreeze");
        let key = [("idempotency-key", "k1")];
        let first = bench.send("POST", &unfreeze, &key, None).await.unwrap();
        first.refused(409, "conflict");
        bench.send("POST", &freeze, &[], None).await.unwrap().ok();
        let second = bench.send("POST", &unfreeze, &key, None).await.unwrap();
        assert_eq!(second.status, expected, "keep: {keep}");
    };
    check(false, 200).await;
    check(true, 409).await;
}

#[tokio::test]
async fn after_a_server_error_the_key_gives_what_the_setting_says() {
    let check = async |when, keep: bool, after, expected: u16, effects: usize| {
        let bench = Bench::with(|config| {
            config.idempotency.keep_server_errors = keep;
            config.idempotency.after_server_error = after;
        })
        .await;
        let broken = FaultAction::Status {
            status: 500,
            when,
            retry_after_secs: None,
        };
        bench.control().add_fault(FaultRule::on("create_payout", broken).nth(1));
        let body = bench.payout("10.00", "INV-1");
        bench
            .post_as("k1", "/v1/payouts", &body)
            .await
            .refused(500, "internal_error");
        let second = bench.post_as("k1", "/v1/payouts", &body).await;
        let paid = bench.control().effects().len();
        assert_eq!((second.status, paid), (expected, effects), "{when:?} {keep} {after:?}");
        bench.assert_balanced();
    };
    check(When::Before, false, AfterServerError::Success, 200, 1).await;
    check(When::Before, true, AfterServerError::Success, 500, 0).await;
    check(When::After, false, AfterServerError::Success, 200, 1).await;
    check(When::After, false, AfterServerError::Error, 500, 1).await;
    check(When::After, false, AfterServerError::RunAgain, 200, 2).await;
}

/// Whatever it answers and for however long it knows a key: each provider remembers what a key came with.
#[tokio::test]
async fn a_key_that_comes_with_another_request_is_told_at_every_provider() {
    for (name, header, target) in [
        ("augustus", "idempotency-key", "/v1/payouts"),
        ("ivy", "idempotency-key", "/ivy/api/service/payout/create"),
        ("payments", "x-idempotency-key", "/payments/payment_intents"),
        ("payaut", "", "/payaut/v2/fund/balance/transfer"),
    ] {
        let bench = Bench::demo().await;
        let asks = async |key: &str, amount: u32| {
            let body = match header {
                "" => json!({ "idempotencyKey": key, "amount": amount }),
                _ => json!({ "amount": amount }),
            };
            let mut headers = vec![("content-type", "application/json")];
            headers.extend((!header.is_empty()).then_some((header, key)));
            let body = body.to_string();
            let address = bench.running.address;
            send(address, "POST", target, &headers, Some(body.as_bytes())).await;
        };
        let several = || bench.control().keys_of_several_requests();
        asks("k1", 1).await;
        asks("k1", 1).await;
        asks("k2", 2).await;
        assert_eq!(several(), Vec::<String>::new(), "{name}");
        asks("k1", 2).await;
        assert_eq!(several(), [format!("{name} k1")]);
    }
}
