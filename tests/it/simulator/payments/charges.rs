//! From an intent to settled money: authorised, captured with splits, voided, declined.

use bursar::simulator::config::payments::{BANK, CARD, CaptureRest, DECLINED_CARD, EMPTY_BANK};
use serde_json::{Value as Json, json};

use super::{Pay, made, rows, text};

fn sums(intent: &Json) -> [i64; 4] {
    [
        "amount_authorized",
        "amount_captured",
        "amount_voided",
        "amount_refunded",
    ]
    .map(|name| super::number(&intent[name]))
}

#[tokio::test]
async fn a_card_pays_at_once_and_the_money_settles_later() {
    let pay = Pay::start().await;
    let intent = pay
        .intent(&json!({ "amount": 10_050, "reference_id": "op_0001" }))
        .await;
    let created = pay.fetch(&intent).await;
    assert_eq!(
        (&created["status"], &created["latest_payment"]),
        (&json!("created"), &Json::Null)
    );
    assert_eq!((sums(&created), &created["capture"]), ([0; 4], &json!(true)));
    let payment = pay.charge(&intent, CARD).await;
    assert_eq!(
        (&payment["status"], &payment["amount"]),
        (&json!("captured"), &json!(10_050))
    );
    assert_eq!((&payment["cvv"], &payment["avs"]), (&json!("M"), &json!("A")));
    let captured = pay.fetch(&intent).await;
    assert_eq!(
        (&captured["status"], sums(&captured)),
        (&json!("captured"), [10_050, 10_050, 0, 0])
    );
    assert_eq!(captured["latest_payment"]["id"], payment["id"]);
    assert_eq!(pay.balance().await, (10_050, 0));
    pay.bench.pass(500);
    assert_eq!(pay.balance().await, (0, 10_050));
    let settled = pay.fetch(&intent).await;
    assert_eq!(settled["settlement_status"], "settled");
    assert!(settled["settled_at"].is_string());
    let lines = rows(&pay.get("/transactions").await.ok());
    assert_eq!((lines.len(), &lines[0]["source_type"]), (1, &json!("payment")));
    assert_eq!(lines[0]["source_id"], payment["id"]);
    assert_eq!(pay.bench.balance("Shop"), "100.50");
    pay.bench.assert_balanced();
}

#[tokio::test]
async fn an_intent_is_charged_once() {
    let pay = Pay::start().await;
    let intent = pay.paid(500).await;
    let again = json!({ "payment_method_id": CARD });
    pay.post(&format!("/payment_intents/{intent}/payments"), &again)
        .await
        .refused(400, "WRONG_ARGUMENTS");
    assert_eq!((pay.effects("payment"), pay.balance().await), (1, (500, 0)));
}

#[tokio::test]
async fn what_is_authorised_is_captured_in_part_once() {
    let check = async |rest, voided| {
        let pay = Pay::with(|config| config.capture_rest = rest).await;
        let intent = pay.intent(&json!({ "amount": 1_000, "capture": false })).await;
        assert_eq!(pay.charge(&intent, CARD).await["status"], "uncaptured");
        assert_eq!(
            (sums(&pay.fetch(&intent).await), pay.balance().await),
            ([1_000, 0, 0, 0], (0, 0))
        );
        let capture = format!("/payment_intents/{intent}/capture");
        pay.post(&capture, &json!({ "amount": 1_001 }))
            .await
            .refused(400, "WRONG_ARGUMENTS");
        let captured = pay.post(&capture, &json!({ "amount": 600 })).await.ok();
        assert_eq!(
            (&captured["status"], sums(&captured)),
            (&json!("captured"), [1_000, 600, voided, 0])
        );
        pay.post(&capture, &json!({ "amount": 400 }))
            .await
            .refused(400, "WRONG_ARGUMENTS");
        assert_eq!(pay.balance().await, (600, 0));
    };
    check(CaptureRest::Void, 400).await;
    check(CaptureRest::Keep, 0).await;
}

#[tokio::test]
async fn an_authorisation_is_voided_or_lapses() {
    let pay = Pay::start().await;
    let held = async || {
        let intent = pay.intent(&json!({ "amount": 1_000, "capture": false })).await;
        pay.charge(&intent, CARD).await;
        intent
    };
    let (voided, lapsed) = (held().await, held().await);
    let reason = json!({ "cancellation_reason": "requested_by_customer" });
    let cancelled = pay
        .post(&format!("/payment_intents/{voided}/cancel"), &reason)
        .await
        .ok();
    assert_eq!(
        (&cancelled["status"], sums(&cancelled)),
        (&json!("cancelled"), [1_000, 0, 1_000, 0])
    );
    assert_eq!(cancelled["cancellation_reason"], "requested_by_customer");
    assert_eq!(cancelled["latest_payment"]["status"], "voided");
    pay.bench.pass(7 * 24 * 60 * 60 * 1_000);
    let lapsed = pay.fetch(&lapsed).await;
    assert_eq!(
        (&lapsed["status"], &lapsed["latest_payment"]["status"]),
        (&json!("cancelled"), &json!("cancelled"))
    );
    let paid = pay.paid(300).await;
    pay.post(&format!("/payment_intents/{paid}/cancel"), &json!({}))
        .await
        .refused(400, "WRONG_ARGUMENTS");
    assert_eq!(pay.fetch(&paid).await["status"], "captured");
}

#[tokio::test]
async fn a_bank_answers_later() {
    let pay = Pay::start().await;
    let (good, bad) = (
        pay.intent(&json!({ "amount": 700 })).await,
        pay.intent(&json!({ "amount": 800 })).await,
    );
    for (intent, method) in [(&good, BANK), (&bad, EMPTY_BANK)] {
        assert_eq!(pay.charge(intent, method).await["status"], "pending");
        assert_eq!(pay.fetch(intent).await["status"], "pending");
    }
    assert_eq!(pay.balance().await, (0, 0));
    pay.bench.pass(200);
    assert_eq!(pay.fetch(&good).await["status"], "captured");
    let failed = pay.fetch(&bad).await;
    assert_eq!(
        (&failed["status"], &failed["latest_payment"]["status"]),
        (&json!("failed"), &json!("failed"))
    );
    assert_eq!(pay.balance().await, (700, 0));
}

#[tokio::test]
async fn splits_are_paid_when_the_payment_settles() {
    let pay = Pay::start().await;
    let split = |amount: u64| json!({ "recipient_id": "payee_1", "recipient_type": "payee", "amount": amount });
    let body = json!({ "amount": 1_000, "merchant_amount": 900, "payment_splits": [split(100)], "capture": false });
    let intent = pay.intent(&body).await;
    pay.charge(&intent, CARD).await;
    let partner = text(&pay.fetch(&intent).await["partner_id"]);
    let own = json!({ "recipient_id": partner, "recipient_type": "partner", "amount": 50 });
    let capture = json!({ "payment_splits": [split(250), own] });
    let captured = pay
        .post(&format!("/payment_intents/{intent}/capture"), &capture)
        .await
        .ok();
    assert_eq!(
        captured["payment_splits"], capture["payment_splits"],
        "they replace the earlier ones"
    );
    assert_eq!(
        (pay.balance().await, pay.bench.balance("payee_1")),
        ((1_000, 0), "0.00".to_owned())
    );
    pay.bench.pass(500);
    assert_eq!(
        (pay.balance().await, pay.bench.balance("payee_1")),
        ((0, 700), "2.50".to_owned())
    );
    let kinds: Vec<(String, i64)> = rows(&pay.get("/transactions").await.ok())
        .iter()
        .map(|line| (text(&line["source_type"]), super::number(&line["amount"])))
        .collect();
    let expected = [("transfer", -50), ("transfer", -250), ("payment", 1_000)];
    assert_eq!(kinds, expected.map(|(kind, amount)| (kind.to_owned(), amount)));
    pay.bench.assert_balanced();
}

#[tokio::test]
async fn splits_have_to_fit_and_their_recipients_to_be_there() {
    let pay = Pay::start().await;
    let item =
        |id: &str, kind: &str, amount: i64| json!({ "recipient_id": id, "recipient_type": kind, "amount": amount });
    let check = async |merchant: Json, splits: Json, param: &str| {
        let body = json!({ "amount": 1_000, "merchant_amount": merchant, "payment_splits": splits });
        let refused = pay
            .post("/payment_intents", &body)
            .await
            .refused(400, "WRONG_ARGUMENTS");
        assert!(refused["argument_errors"][param].is_string(), "{refused}");
    };
    check(json!(901), json!([item("payee_1", "payee", 100)]), "payment_splits").await;
    check(Json::Null, json!([item("payee_1", "payee", 1_001)]), "payment_splits").await;
    check(
        Json::Null,
        json!([item("payee_2", "payee", 1)]),
        "payment_splits.0.recipient_id",
    )
    .await;
    check(
        Json::Null,
        json!([item("payee_1", "partner", 1)]),
        "payment_splits.0.recipient_id",
    )
    .await;
    check(
        Json::Null,
        json!([item("payee_1", "friend", 1)]),
        "payment_splits.0.recipient_type",
    )
    .await;
    check(
        Json::Null,
        json!([item("payee_1", "payee", -1)]),
        "payment_splits.0.amount",
    )
    .await;
    check(Json::Null, json!(["payee_1"]), "payment_splits").await;
}

#[tokio::test]
async fn an_intent_is_changed_until_it_is_paid() {
    let pay = Pay::start().await;
    let intent = pay.intent(&json!({ "amount": 1_000, "reference_id": "A" })).await;
    let path = format!("/payment_intents/{intent}");
    let patched = pay
        .patch(
            &path,
            &json!({ "amount": 1_200, "capture": false, "description": "Lamp" }),
        )
        .await
        .ok();
    assert_eq!(
        (&patched["amount"], &patched["reference_id"]),
        (&json!(1_200), &json!("A"))
    );
    pay.charge(&intent, CARD).await;
    pay.patch(&path, &json!({ "amount": 1_300 }))
        .await
        .refused(400, "WRONG_ARGUMENTS");
    let patched = pay.patch(&path, &json!({ "reference_id": "B" })).await.ok();
    assert_eq!(
        (&patched["amount"], &patched["reference_id"]),
        (&json!(1_200), &json!("B"))
    );
    pay.patch(&path, &json!({ "currency": "USD" }))
        .await
        .refused(400, "WRONG_ARGUMENTS");
    pay.post(&format!("{path}/capture"), &json!({})).await.ok();
    pay.patch(&path, &json!({ "reference_id": "C" }))
        .await
        .refused(400, "WRONG_ARGUMENTS");
}

#[tokio::test]
async fn what_can_be_paid_with_is_limited() {
    let pay = Pay::with(|config| config.payment_methods[0].single_use = true).await;
    let by_bank = pay
        .intent(&json!({ "amount": 10, "payment_method_types": ["bank"] }))
        .await;
    let body = json!({ "payment_method_id": CARD });
    pay.post(&format!("/payment_intents/{by_bank}/payments"), &body)
        .await
        .refused(400, "WRONG_ARGUMENTS");
    pay.paid(10).await;
    let second = pay.intent(&json!({ "amount": 10 })).await;
    let path = format!("/payment_intents/{second}/payments");
    pay.post(&path, &body).await.refused(400, "WRONG_ARGUMENTS");
    pay.post(&path, &json!({ "payment_method_id": "pm_1" }))
        .await
        .refused(400, "WRONG_ARGUMENTS");
    let declined = made(&pay.post(&path, &json!({ "payment_method_id": DECLINED_CARD })).await);
    assert_eq!(declined["status"], "failed");
}

#[tokio::test]
async fn a_checkout_session_is_paid_completed_or_over() {
    let pay = Pay::start().await;
    let open = async || text(&made(&pay.post("/checkout_sessions", &super::operations::session()).await)["id"]);
    let (paid, over, expired) = (open().await, open().await, open().await);
    let path = |id: &str, rest: &str| format!("/checkout_sessions/{id}{rest}");
    let nothing = json!({});
    let charge = json!({ "payment_method_id": CARD });
    pay.post(&path(&paid, "/complete"), &nothing)
        .await
        .refused(400, "WRONG_ARGUMENTS");
    let payment = made(&pay.post(&path(&paid, "/payments"), &charge).await);
    assert_eq!(payment["amount"], 4_990);
    assert_eq!(pay.get(&path(&paid, "")).await.ok()["status"], "open");
    assert_eq!(
        pay.post(&path(&paid, "/complete"), &nothing).await.ok()["status"],
        "completed"
    );
    assert_eq!(
        pay.post(&path(&expired, "/expire"), &nothing).await.ok()["status"],
        "expired"
    );
    pay.post(&path(&expired, "/payments"), &charge)
        .await
        .refused(400, "WRONG_ARGUMENTS");
    pay.bench.pass(24 * 60 * 60 * 1_000);
    assert_eq!(pay.get(&path(&over, "")).await.ok()["status"], "expired");
    assert_eq!(pay.get(&path(&paid, "")).await.ok()["status"], "completed");
}
