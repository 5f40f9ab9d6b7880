//! Refund splits: identified by nothing that is promised, booked when the processor reports them.

use bursar::simulator::config::payaut::{Duplicate, OverRefund};
use bursar::simulator::faults::{FaultAction, FaultRule};
use serde_json::{Value as Json, json};

use super::{MARKETPLACE, Payaut, REFUNDS, REQUESTS, SELLER, refused, text};

fn whole(reference: &str, mutation: &str) -> Json {
    json!({ "extRef": reference, "pspMutationExtRef": mutation })
}

fn part(payaut: &Payaut, reference: &str, mutation: &str, amount: u64) -> Json {
    json!({
        "extRef": reference,
        "pspMutationExtRef": mutation,
        "totalAmount": amount,
        "items": [{
            "type": "ITEM",
            "extRef": format!("{mutation}-item"),
            "amount": amount,
            "accountCode": payaut.account(SELLER),
            "originalExtRef": format!("{reference}-product"),
        }],
    })
}

#[tokio::test]
async fn a_refund_is_charged_at_once_and_booked_when_reported() {
    let payaut = Payaut::start().await;
    payaut.settled("order-1").await;
    let made = payaut.post(REFUNDS, &whole("order-1", "mutation-1")).await.ok();
    assert_eq!(
        (made["totalAmount"].clone(), made["items"][0]["extRef"].clone()),
        (json!(10_000), json!("order-1-product"))
    );
    assert_eq!(
        (payaut.balance(SELLER).await, payaut.balance(MARKETPLACE).await),
        (10_000, 50_000)
    );
    assert_eq!(payaut.bench.balance(SELLER), "190.00", "confirmed, and being charged");
    payaut.bench.pass(60_000);
    assert_eq!(payaut.seen("mutation-1").await, ["REFUND pending_settlement"]);
    payaut.advance(&text(&made, "code"), "reconciled");
    assert_eq!(payaut.bench.balance(SELLER), "100.00");
    assert_eq!(payaut.balance(SELLER).await, 10_000);
    payaut.bench.pass(60_000);
    assert_eq!(payaut.seen("mutation-1").await, ["REFUND reconciled"]);
    payaut.bench.assert_balanced();
}

#[tokio::test]
async fn the_same_mutation_is_a_second_refund_unless_that_is_refused() {
    let payaut = Payaut::start().await;
    payaut.settled("order-1").await;
    let mut body = part(&payaut, "order-1", "mutation-1", 3_000);
    let first = text(&payaut.post(REFUNDS, &body).await.ok(), "code");
    refused(&payaut.post(REFUNDS, &body).await, 409);
    body["items"][0]["extRef"] = json!("another");
    let second = text(&payaut.post(REFUNDS, &body).await.ok(), "code");
    assert_ne!(first, second, "only its items collided");
    assert_eq!(payaut.balance(SELLER).await, 19_000 - 6_000, "charged twice");

    let strict = Payaut::with(|config| config.duplicate_refund = Duplicate::Conflict).await;
    strict.settled("order-1").await;
    strict.post(REFUNDS, &body).await.ok();
    body["items"][0]["extRef"] = json!("a-third");
    let message = refused(&strict.post(REFUNDS, &body).await, 409);
    assert!(message.contains("pspMutationExtRef"), "{message}");
}

#[tokio::test]
async fn a_refund_of_an_answer_lost_is_made_twice_when_sent_twice() {
    let payaut = Payaut::with(|config| config.over_refund = OverRefund::Accept).await;
    payaut.settled("order-1").await;
    let lost = FaultRule::on("payaut.create_refund_split", FaultAction::DropAfterEffect).times(1);
    payaut.bench.control().add_fault(lost);
    let body = whole("order-1", "mutation-1");
    assert_eq!(payaut.try_send("POST", REFUNDS, Some(&body)).await, None);
    payaut.post(REFUNDS, &body).await.ok();
    let listed = payaut.get(REFUNDS).await.ok();
    assert_eq!(listed["totalElementCount"], 2, "a whole refund has no item to collide");
    assert_eq!(payaut.balance(SELLER).await, 19_000 - 18_000);
}

#[tokio::test]
async fn more_than_the_payment_is_refused() {
    let payaut = Payaut::start().await;
    payaut.settled("order-1").await;
    payaut
        .post(REFUNDS, &part(&payaut, "order-1", "mutation-1", 6_000))
        .await
        .ok();
    refused(
        &payaut
            .post(REFUNDS, &part(&payaut, "order-1", "mutation-2", 4_001))
            .await,
        422,
    );
    refused(&payaut.post(REFUNDS, &whole("order-1", "mutation-3")).await, 422);
    payaut
        .post(REFUNDS, &part(&payaut, "order-1", "mutation-4", 4_000))
        .await
        .ok();
    let mut without = part(&payaut, "order-1", "mutation-5", 1_000);
    without.as_object_mut().unwrap().remove("items");
    refused(&payaut.post(REFUNDS, &without).await, 422);
    refused(&payaut.post(REFUNDS, &whole("order-2", "mutation-6")).await, 404);
    let open = payaut.made("order-3").await;
    payaut.post(&format!("v2/fund/cancel/split/{open}"), &json!({})).await;
    refused(&payaut.post(REFUNDS, &whole("order-3", "mutation-7")).await, 422);
}

#[tokio::test]
async fn what_the_seller_has_not_any_more_the_marketplace_bears() {
    let payaut = Payaut::start().await;
    payaut.settled("order-1").await;
    let payout = payaut.payout(SELLER, 18_000).await;
    payaut.post(REQUESTS, &payout).await.ok();
    let refund = text(
        &payaut.post(REFUNDS, &whole("order-1", "mutation-1")).await.ok(),
        "code",
    );
    assert_eq!(payaut.balance(SELLER).await, 1_000 - 9_000, "less than nothing");
    payaut.advance(&refund, "reconciled");
    assert_eq!(
        (payaut.balance(SELLER).await, payaut.balance(MARKETPLACE).await),
        (0, 51_000 - 1_000 - 8_000)
    );
    payaut.bench.assert_balanced();
}

#[tokio::test]
async fn what_has_not_come_is_not_booked_back() {
    let payaut = Payaut::start().await;
    let split = payaut.made("order-1").await;
    let refund = text(
        &payaut.post(REFUNDS, &whole("order-1", "mutation-1")).await.ok(),
        "code",
    );
    let id = uuid::Uuid::parse_str(&refund).unwrap();
    assert!(payaut.bench.control().advance(id, "reconciled", None).is_err());
    payaut.advance(&split, "reconciled");
    payaut.advance(&refund, "reconciled");
    assert_eq!(payaut.balance(SELLER).await, 10_000);
    payaut.bench.assert_balanced();
}
