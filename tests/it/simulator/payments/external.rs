//! Payments of another gateway: records that move nothing until the money of the other gateway comes.

use serde_json::{Value as Json, json};

use super::operations::external;
use super::{Pay, made, rows, text};

async fn record(pay: &Pay, body: &Json) -> String {
    text(&made(&pay.post("/external_payments", body).await)["id"])
}

async fn capture(pay: &Pay, intent: &str, amount: u64) -> Json {
    let body = json!({ "amount": amount, "gateway_capture_response": {} });
    pay.post(&format!("/external_payments/{intent}/capture"), &body)
        .await
        .ok()
}

#[tokio::test]
async fn a_record_moves_nothing_until_it_is_matched() {
    let pay = Pay::start().await;
    let intent = record(&pay, &external(1_000)).await;
    let shown = pay.fetch(&intent).await;
    assert_eq!(
        (&shown["external"], &shown["status"]),
        (&json!(true), &json!("uncaptured"))
    );
    assert_eq!(
        (
            &shown["latest_payment"]["external"],
            &shown["latest_payment"]["auth_code"]
        ),
        (&json!(true), &json!("A1B2C3"))
    );
    assert_eq!(capture(&pay, &intent, 900).await["amount_captured"], 900);
    assert_eq!(
        (pay.balance().await, rows(&pay.get("/transactions").await.ok()).len()),
        ((0, 0), 0)
    );
    pay.bench.pass(500);
    assert_eq!(
        (pay.balance().await, rows(&pay.get("/transactions").await.ok()).len()),
        ((0, 900), 1)
    );
    assert_eq!(pay.fetch(&intent).await["settlement_status"], "settled");
    let refund = json!({ "payment_intent_id": intent, "refund_request": { "amount": 200 }, "gateway_response": {} });
    let refund = made(&pay.post("/external_refunds", &refund).await);
    assert_eq!((&refund["external"], &refund["amount"]), (&json!(true), &json!(200)));
    assert_eq!(pay.balance().await, (0, 900));
    pay.bench.pass(250);
    pay.bench.pass(500);
    assert_eq!(pay.balance().await, (0, 700));
    assert_eq!(
        pay.get(&format!("/refunds/{}", text(&refund["id"]))).await.ok()["settlement_status"],
        "settled"
    );
    pay.bench.assert_balanced();
}

#[tokio::test]
async fn what_the_gateway_said_has_to_be_told_or_nothing_ever_matches() {
    let pay = Pay::start().await;
    for field in ["auth_code", "retrieval_reference", "created_at"] {
        let mut body = external(1_000);
        body["gateway_response"].as_object_mut().unwrap().remove(field);
        let intent = record(&pay, &body).await;
        capture(&pay, &intent, 1_000).await;
    }
    pay.bench.pass(60_000);
    assert_eq!(pay.balance().await, (0, 0));
    assert_eq!(pay.effects("external_payment"), 3, "all of them were taken");
}

#[tokio::test]
async fn a_second_record_of_one_payment_is_never_matched() {
    let pay = Pay::start().await;
    let (first, second) = (
        record(&pay, &external(1_000)).await,
        record(&pay, &external(1_000)).await,
    );
    capture(&pay, &second, 1_000).await;
    pay.bench.pass(60_000);
    assert_eq!(pay.balance().await, (0, 0));
    capture(&pay, &first, 1_000).await;
    pay.bench.pass(60_000);
    assert_eq!(pay.balance().await, (0, 1_000));
    assert_eq!(pay.fetch(&second).await["settlement_status"], "unsettled");
}

#[tokio::test]
async fn the_two_kinds_of_intents_do_not_mix() {
    let pay = Pay::start().await;
    let (theirs, ours) = (record(&pay, &external(100)).await, pay.paid(100).await);
    let nothing = json!({});
    for step in ["cancel", "capture", "refunds"] {
        let path = format!("/payment_intents/{theirs}/{step}");
        pay.post(&path, &nothing).await.refused(400, "WRONG_ARGUMENTS");
    }
    pay.post(&format!("/external_payments/{ours}/cancel"), &nothing)
        .await
        .refused(400, "WRONG_ARGUMENTS");
    let refund = json!({ "payment_intent_id": ours, "gateway_response": {} });
    pay.post("/external_refunds", &refund)
        .await
        .refused(400, "WRONG_ARGUMENTS");
    let cancelled = pay
        .post(&format!("/external_payments/{theirs}/cancel"), &nothing)
        .await
        .ok();
    assert_eq!(
        (&cancelled["status"], &cancelled["amount_voided"]),
        (&json!("cancelled"), &json!(100))
    );
}
