//! Refunds: without a reference, without a list, seen only by what they change.

use bursar::simulator::config::payments::RefundCounted;
use bursar::simulator::faults::{FaultAction, FaultRule};
use bursar::simulator::resources::Failure;
use serde_json::{Value as Json, json};

use super::{Pay, made, number, rows, text};

async fn refund(pay: &Pay, intent: &str, body: &Json) -> Json {
    made(&pay.post(&format!("/payment_intents/{intent}/refunds"), body).await)
}

async fn refunded(pay: &Pay, intent: &str) -> i64 {
    number(&pay.fetch(intent).await["amount_refunded"])
}

#[tokio::test]
async fn a_payment_is_given_back_in_parts_and_no_further() {
    let pay = Pay::start().await;
    let intent = pay.paid(1_000).await;
    let first = refund(&pay, &intent, &json!({ "amount": 300 })).await;
    assert_eq!(
        (&first["status"], &first["settlement_status"]),
        (&json!("pending"), &json!("unsettled"))
    );
    assert_eq!((refunded(&pay, &intent).await, pay.balance().await), (300, (700, 0)));
    let path = format!("/payment_intents/{intent}/refunds");
    let refused = pay
        .post(&path, &json!({ "amount": 701 }))
        .await
        .refused(400, "WRONG_ARGUMENTS");
    assert!(refused["argument_errors"]["amount"].is_string(), "{refused}");
    pay.post(&path, &json!({ "amount": 0 }))
        .await
        .refused(400, "WRONG_ARGUMENTS");
    assert_eq!(refunded(&pay, &intent).await, 300, "as it was");
    assert_eq!(refund(&pay, &intent, &json!({})).await["amount"], 700, "what is left");
    pay.post(&path, &json!({})).await.refused(400, "WRONG_ARGUMENTS");
    pay.bench.pass(250);
    let done = pay.get(&format!("/refunds/{}", text(&first["id"]))).await.ok();
    assert_eq!(done["status"], "succeeded");
    pay.bench.pass(250);
    let done = pay.get(&format!("/refunds/{}", text(&first["id"]))).await.ok();
    assert_eq!(done["settlement_status"], "settled");
    assert_eq!(pay.balance().await, (0, 0));
    let intent = pay.fetch(&intent).await;
    assert_eq!(
        (&intent["status"], &intent["amount_refunded"]),
        (&json!("captured"), &json!(1_000))
    );
    assert_eq!(pay.effects("refund"), 2);
    pay.bench.assert_balanced();
}

#[tokio::test]
async fn the_ledger_leads_to_a_refund() {
    let pay = Pay::start().await;
    let intent = pay.paid(1_000).await;
    let made = refund(&pay, &intent, &json!({ "amount": 300 })).await;
    let search = json!({ "source_type": "payment_refund", "amount_min": -300, "amount_max": -300 });
    let lines = rows(&pay.post("/transactions/search", &search).await.ok());
    assert_eq!((lines.len(), &lines[0]["source_id"]), (1, &made["id"]));
    assert_eq!(
        pay.get(&format!("/refunds/{}", text(&lines[0]["source_id"])))
            .await
            .ok()["amount"],
        300
    );
}

#[tokio::test]
async fn a_refund_may_fail_after_it_was_taken() {
    let pay = Pay::start().await;
    let intent = pay.paid(1_000).await;
    pay.bench.pass(500);
    let failure = Failure::new("account_closed", "the account is closed", false);
    let control = pay.bench.control();
    control.add_fault(FaultRule::on("payments.create_refund", FaultAction::FailLater { failure }).nth(1));
    let failed = refund(&pay, &intent, &json!({ "amount": 300 })).await;
    assert_eq!(
        (failed["status"].clone(), pay.balance().await),
        (json!("pending"), (-300, 1_000))
    );
    pay.bench.pass(250);
    assert_eq!(
        pay.get(&format!("/refunds/{}", text(&failed["id"]))).await.ok()["status"],
        "failed"
    );
    assert_eq!((refunded(&pay, &intent).await, pay.balance().await), (0, (0, 1_000)));
    let lines = rows(&pay.get("/transactions").await.ok());
    assert_eq!(
        (&lines[0]["source_type"], &lines[0]["amount"]),
        (&json!("refund_failure"), &json!(300))
    );
    refund(&pay, &intent, &json!({ "amount": 1_000 })).await;
    pay.bench.assert_balanced();
}

#[tokio::test]
async fn what_was_paid_out_already_is_given_back_all_the_same() {
    let pay = Pay::start().await;
    let intent = pay.paid(1_000).await;
    pay.bench.pass(24 * 60 * 60 * 1_000);
    pay.bench.pass(1_000);
    assert_eq!(pay.balance().await, (0, 0));
    refund(&pay, &intent, &json!({})).await;
    pay.bench.pass(1_000);
    assert_eq!(pay.balance().await, (0, -1_000), "owed from now on");
    pay.paid(400).await;
    pay.bench.pass(24 * 60 * 60 * 1_000);
    assert_eq!(pay.balance().await, (0, -600), "and nothing is paid out");
    assert_eq!(rows(&pay.get("/payouts").await.ok()).len(), 1);
    pay.bench.assert_balanced();
}

#[tokio::test]
async fn the_counter_may_come_late() {
    let pay = Pay::with(|config| config.refund_counted = RefundCounted::AtSuccess).await;
    let intent = pay.paid(1_000).await;
    refund(&pay, &intent, &json!({ "amount": 300 })).await;
    assert_eq!(refunded(&pay, &intent).await, 0);
    let path = format!("/payment_intents/{intent}/refunds");
    pay.post(&path, &json!({ "amount": 701 }))
        .await
        .refused(400, "WRONG_ARGUMENTS");
    pay.bench.pass(250);
    assert_eq!(refunded(&pay, &intent).await, 300);
}

#[tokio::test]
async fn only_what_was_captured_is_given_back() {
    let pay = Pay::start().await;
    let open = pay.intent(&json!({ "amount": 1_000, "capture": false })).await;
    let path = format!("/payment_intents/{open}/refunds");
    pay.post(&path, &json!({})).await.refused(400, "WRONG_ARGUMENTS");
    pay.charge(&open, bursar::simulator::config::payments::CARD).await;
    pay.post(&path, &json!({})).await.refused(400, "WRONG_ARGUMENTS");
    let named = json!({ "amount": 1, "reference_id": "op_0001" });
    let refused = pay.post(&path, &named).await.refused(400, "WRONG_ARGUMENTS");
    assert!(
        refused["argument_errors"]["reference_id"].is_string(),
        "it takes no reference: {refused}"
    );
    assert_eq!(pay.effects("refund"), 0);
}
