//! Transfers: the one write with a key, which stands in the body.

use bursar::simulator::config::payaut::TransferReplay;
use bursar::simulator::faults::{FaultAction, FaultRule};
use serde_json::{Value as Json, json};

use super::{MARKETPLACE, OTHER, Payaut, REFUNDS, SELLER, refused};

const TRANSFER: &str = "v2/fund/balance/transfer";

fn transfer(payaut: &Payaut, key: &str, amount: u64) -> Json {
    json!({
        "fromAccountCode": payaut.account(SELLER),
        "toAccountCode": payaut.account(OTHER),
        "amount": amount,
        "idempotencyKey": key,
        "type": "WALLET",
    })
}

#[tokio::test]
async fn a_key_gives_the_same_transfer_again_and_refuses_another() {
    let payaut = Payaut::start().await;
    let lost = FaultRule::on("payaut.transfer_balance", FaultAction::DropAfterEffect).times(1);
    payaut.bench.control().add_fault(lost);
    let body = transfer(&payaut, "key-1", 4_000);
    assert_eq!(payaut.try_send("POST", TRANSFER, Some(&body)).await, None);
    let again = payaut.post(TRANSFER, &body).await.ok();
    assert_eq!(again["amount"], 4_000);
    refused(&payaut.post(TRANSFER, &transfer(&payaut, "key-1", 4_001)).await, 409);
    assert_eq!(
        (payaut.balance(SELLER).await, payaut.balance(OTHER).await),
        (6_000, 4_000)
    );
    payaut.post(TRANSFER, &transfer(&payaut, "key-2", 4_000)).await.ok();
    assert_eq!(
        (payaut.balance(SELLER).await, payaut.balance(OTHER).await),
        (2_000, 8_000)
    );
    payaut.bench.assert_balanced();
}

#[tokio::test]
async fn what_a_known_key_does_is_a_setting() {
    let check = async |replay: TransferReplay, same: u16, other: u16, left: i64| {
        let payaut = Payaut::with(|config| config.transfer_replay = replay).await;
        payaut.post(TRANSFER, &transfer(&payaut, "key-1", 1_000)).await.ok();
        let repeated = payaut.post(TRANSFER, &transfer(&payaut, "key-1", 1_000)).await.status;
        let changed = payaut.post(TRANSFER, &transfer(&payaut, "key-1", 2_000)).await.status;
        assert_eq!((repeated, changed), (same, other), "{replay:?}");
        assert_eq!(payaut.balance(SELLER).await, left, "{replay:?}");
    };
    check(TransferReplay::Replay, 200, 409, 9_000).await;
    check(TransferReplay::ReplayAnything, 200, 200, 9_000).await;
    check(TransferReplay::Conflict, 409, 409, 9_000).await;
    check(TransferReplay::Ignore, 200, 200, 6_000).await;
}

#[tokio::test]
async fn no_more_than_the_payout_balance_moves() {
    let payaut = Payaut::start().await;
    refused(&payaut.post(TRANSFER, &transfer(&payaut, "key-1", 10_001)).await, 422);
    payaut.settled("order-1").await;
    let refund = json!({ "extRef": "order-1", "pspMutationExtRef": "mutation-1" });
    payaut.post(REFUNDS, &refund).await.ok();
    refused(&payaut.post(TRANSFER, &transfer(&payaut, "key-2", 10_001)).await, 422);
    payaut.post(TRANSFER, &transfer(&payaut, "key-1", 10_000)).await.ok();
    assert_eq!(payaut.balance(SELLER).await, 0);
    payaut.bench.assert_balanced();
}

#[tokio::test]
async fn what_is_wrong_with_a_transfer_is_said() {
    let payaut = Payaut::start().await;
    let check = async |field: &str, value: Json, status: u16| {
        let mut body = transfer(&payaut, "key-1", 1_000);
        body[field] = value;
        let message = refused(&payaut.post(TRANSFER, &body).await, status);
        assert!(message.contains(field), "{field}: {message}");
    };
    for required in ["fromAccountCode", "toAccountCode", "amount", "idempotencyKey", "type"] {
        check(required, Json::Null, 422).await;
    }
    check("type", json!("GIFT"), 422).await;
    check("currency", json!("BHD"), 422).await;
    check("fromAccountCode", json!("nobody"), 404).await;
    check("toAccountCode", json!(payaut.account(SELLER)), 422).await;
    check("note", json!("x"), 400).await;
    let mut dollars = transfer(&payaut, "key-1", 1_000);
    dollars["currency"] = json!("USD");
    refused(&payaut.post(TRANSFER, &dollars).await, 422);
    assert_eq!(
        (payaut.balance(SELLER).await, payaut.balance(MARKETPLACE).await),
        (10_000, 50_000)
    );
}
