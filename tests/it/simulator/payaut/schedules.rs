//! Payout schedules: they take everything, also between a balance that was read and a payout by hand.

use bursar::simulator::config::payaut::Kyc;
use serde_json::json;

use super::{MARKETPLACE, OTHER, Payaut, REQUESTS, SELLER, refused};

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

#[tokio::test]
async fn a_schedule_takes_the_whole_payout_balance_when_it_is_due() {
    let payaut = Payaut::start().await;
    let path = format!("v2/fund/payout-config/account/{}", payaut.account(SELLER));
    payaut
        .patch(&path, &json!({ "isActivated": true, "interval": "DAILY" }))
        .await
        .ok();
    payaut.bench.pass(DAY_MS - 1);
    assert_eq!(payaut.balance(SELLER).await, 10_000);
    payaut.bench.pass(1);
    assert_eq!(payaut.balance(SELLER).await, 0);
    let listed = payaut.get(REQUESTS).await.ok();
    assert_eq!(
        (&listed["elements"][0]["amount"], &listed["elements"][0]["status"]),
        (&json!(10_000), &json!("PENDING"))
    );
    payaut.settled("order-1").await;
    payaut.bench.pass(DAY_MS);
    assert_eq!(
        payaut.get(REQUESTS).await.ok()["totalElementCount"],
        2,
        "and every day again"
    );
    assert_eq!(payaut.delete(&path).await.status, 200);
    payaut.settled("order-2").await;
    payaut.bench.pass(10 * DAY_MS);
    assert_eq!(payaut.get(REQUESTS).await.ok()["totalElementCount"], 2);
    assert_eq!(payaut.get(&path).await.ok()["isActivated"], false);
    payaut.bench.assert_balanced();
}

#[tokio::test]
async fn the_default_is_for_those_without_a_schedule_of_their_own() {
    let payaut = Payaut::with(|config| config.holders[1].opening_balance = "20.00".to_owned()).await;
    let own = format!("v2/fund/payout-config/account/{}", payaut.account(OTHER));
    payaut.patch(&own, &json!({ "isActivated": false })).await.ok();
    let all = json!({ "isActivated": true, "interval": "WEEKLY", "minimumAmount": 10_001 });
    payaut.patch("v2/fund/payout-config/default", &all).await.ok();
    payaut.bench.pass(7 * DAY_MS);
    assert_eq!(payaut.balance(SELLER).await, 10_000, "too little");
    payaut
        .patch("v2/fund/payout-config/default", &json!({ "minimumAmount": 0 }))
        .await
        .ok();
    payaut.bench.pass(7 * DAY_MS);
    assert_eq!(payaut.balance(SELLER).await, 0, "what is absent stayed");
    assert_eq!(
        (payaut.balance(OTHER).await, payaut.balance(MARKETPLACE).await),
        (2_000, 50_000)
    );
    payaut
        .patch("v2/fund/payout-config/own", &json!({ "isActivated": true }))
        .await
        .ok();
    payaut.bench.pass(DAY_MS);
    assert_eq!(payaut.balance(MARKETPLACE).await, 0);
    refused(
        &payaut
            .patch("v2/fund/payout-config/own", &json!({ "interval": "HOURLY" }))
            .await,
        422,
    );
    payaut.bench.assert_balanced();
}

#[tokio::test]
async fn a_scheduled_payout_can_come_between_the_balance_and_the_request() {
    let payaut = Payaut::with(|config| config.schedule_races = true).await;
    let body = payaut.payout(SELLER, 10_000).await;
    assert_eq!(payaut.balance(SELLER).await, 10_000, "that is what was there");
    let message = refused(&payaut.post(REQUESTS, &body).await, 422);
    assert!(message.contains("EUR 0.00"), "{message}");
    assert_eq!(
        payaut.get(REQUESTS).await.ok()["elements"][0]["description"],
        "Scheduled payout"
    );
    let by_hand = Payaut::start().await;
    by_hand.advance(&by_hand.account(SELLER), "scheduled_payout");
    assert_eq!(by_hand.balance(SELLER).await, 0);
    by_hand.bench.assert_balanced();
}

#[tokio::test]
async fn a_schedule_passes_over_who_may_not_be_paid() {
    let payaut = Payaut::with(|config| config.holders[0].kyc = Kyc::InProgress).await;
    payaut.advance(&payaut.account(SELLER), "scheduled_payout");
    assert_eq!(payaut.balance(SELLER).await, 10_000);
}
