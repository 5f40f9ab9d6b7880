//! What nobody asks for: reversals by a bank, and disputes.

use bursar::simulator::config::payments::BANK;
use serde_json::{Value as Json, json};

use super::{Pay, made, number, rows, text};
use crate::simulator::bench::Receiver;

async fn paid_by_bank(pay: &Pay, amount: u64) -> String {
    let intent = pay.intent(&json!({ "amount": amount })).await;
    pay.charge(&intent, BANK).await;
    pay.bench.pass(200);
    pay.bench.pass(500);
    intent
}

#[tokio::test]
async fn a_bank_takes_back_what_was_not_given_back() {
    let pay = Pay::start().await;
    let receiver = Receiver::start(&[]).await;
    pay.subscribe(&receiver, &["v2.reversal.created"]);
    let intent = paid_by_bank(&pay, 1_000).await;
    let refund = json!({ "amount": 400 });
    made(&pay.post(&format!("/payment_intents/{intent}/refunds"), &refund).await);
    pay.bench.pass(500);
    pay.advance(&intent, "reversed");
    let reversed = pay.fetch(&intent).await;
    assert_eq!(
        (&reversed["status"], &reversed["reversed"]),
        (&json!("captured"), &json!(true))
    );
    assert_eq!(number(&reversed["amount_reversed"]), 600);
    assert_eq!(reversed["latest_payment"]["reversal_id"], reversed["reversal_id"]);
    assert_eq!(pay.balance().await, (-600, 600));
    pay.bench.pass(500);
    assert_eq!(pay.balance().await, (0, 0));
    let told = receiver.count(1).await[0].envelope()["data"].clone();
    assert_eq!((&told["id"], &told["amount"]), (&reversed["reversal_id"], &json!(600)));
    let again = pay.bench.control().advance(super::inside(&intent), "reversed", None);
    assert!(again.is_err(), "once");
    pay.post(&format!("/payment_intents/{intent}/refunds"), &json!({}))
        .await
        .refused(400, "WRONG_ARGUMENTS");
    let by_card = pay.paid(10).await;
    assert!(
        pay.bench
            .control()
            .advance(super::inside(&by_card), "reversed", None)
            .is_err()
    );
    pay.bench.assert_balanced();
}

async fn dispute_of(pay: &Pay, intent: &str) -> Json {
    pay.advance(intent, "disputed");
    let id = text(&pay.fetch(intent).await["dispute_id"]);
    pay.get(&format!("/disputes/{id}")).await.ok()
}

#[tokio::test]
async fn a_dispute_holds_the_money_back_until_it_is_decided() {
    let check = async |ends: &str, expected: (i64, i64)| {
        let pay = Pay::start().await;
        let intent = pay.paid(1_000).await;
        pay.bench.pass(500);
        let dispute = dispute_of(&pay, &intent).await;
        assert_eq!((&dispute["status"], &dispute["amount"]), (&json!("new"), &json!(1_000)));
        assert_eq!(
            (&dispute["dispute_date"], &dispute["response_due_date"]),
            (&json!("2026-01-01"), &json!("2026-01-21"))
        );
        assert_eq!(pay.balance().await, (-1_000, 1_000));
        let shown = pay.fetch(&intent).await;
        assert_eq!(
            (&shown["disputed"], &shown["amount_disputed"]),
            (&json!(true), &json!(1_000))
        );
        let id = text(&dispute["id"]);
        pay.advance(&id, "contested");
        assert_eq!(pay.advance(&id, ends)["closed_date"], "2026-01-01");
        pay.bench.pass(500);
        pay.bench.pass(500);
        assert_eq!(pay.balance().await, expected, "{ends}");
        assert!(
            pay.bench.control().advance(super::inside(&id), "lost", None).is_err(),
            "it is closed"
        );
        pay.bench.assert_balanced();
    };
    check("won", (0, 1_000)).await;
    check("lost", (0, 0)).await;
    check("accepted", (0, 0)).await;
}

#[tokio::test]
async fn disputes_are_listed_by_status_and_told() {
    let pay = Pay::start().await;
    let receiver = Receiver::start(&[]).await;
    pay.subscribe(
        &receiver,
        &["v2.dispute.created", "v2.dispute.pre_arbitration", "v2.dispute.updated"],
    );
    let (one, two) = (pay.paid(100).await, pay.paid(200).await);
    let first = text(&dispute_of(&pay, &one).await["id"]);
    receiver.count(1).await;
    let second = text(&dispute_of(&pay, &two).await["id"]);
    receiver.count(2).await;
    pay.advance(&second, "pre_arbitration");
    receiver.count(3).await;
    pay.advance(&second, "under_review");
    receiver.count(4).await;
    let created = "v2.dispute.created";
    assert_eq!(
        receiver.kinds(),
        [created, created, "v2.dispute.pre_arbitration", "v2.dispute.updated"]
    );
    let of = async |query: &str| -> Vec<Json> {
        let page = pay.get(&format!("/disputes?{query}")).await.ok();
        rows(&page).iter().map(|row| row["id"].clone()).collect()
    };
    assert_eq!(of("status=new").await, [json!(first)]);
    assert_eq!(of("status=under_review").await, [json!(second)]);
    assert_eq!(of("limit=1").await, [json!(second)]);
    pay.get("/disputes?status=open").await.refused(400, "WRONG_ARGUMENTS");
}
