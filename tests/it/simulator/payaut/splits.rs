//! Splits: known for good by their reference, silent about wrong accounts, without a status.

use bursar::simulator::config::payaut::{Discounts, InnerItems, ItemReferences, UnknownAccount};
use bursar::simulator::faults::{FaultAction, FaultRule};
use serde_json::{Value as Json, json};

use super::{MARKETPLACE, OTHER, Payaut, SELLER, SPLITS, refused, text};

#[tokio::test]
async fn the_same_reference_gives_the_old_split_and_drops_what_is_new() {
    let payaut = Payaut::start().await;
    let first = payaut.post(SPLITS, &payaut.split("order-1")).await;
    assert_eq!(first.status, 201);
    let again = payaut.post(SPLITS, &payaut.split("order-1")).await;
    assert_eq!(
        (again.status, again.json()),
        (200, first.json()),
        "its items are not looked at"
    );
    let mut other = payaut.split("order-1");
    other["totalAmount"] = json!(20_000);
    other["pspExtRef"] = json!("psp-other");
    assert_eq!(
        payaut.post(SPLITS, &other).await.ok(),
        first.json(),
        "the sum is wrong, and nobody says so"
    );
    payaut.advance(&text(&first.json(), "code"), "reconciled");
    payaut.bench.pass(1_000_000_000_000);
    assert_eq!(payaut.post(SPLITS, &other).await.ok(), first.json(), "for good");
    assert_eq!(payaut.get(SPLITS).await.ok()["totalElementCount"], 1);
    assert_eq!(payaut.balance(SELLER).await, 19_000);
}

#[tokio::test]
async fn an_answer_that_was_lost_is_had_again() {
    let payaut = Payaut::start().await;
    let lost = FaultRule::on("payaut.create_split", FaultAction::DropAfterEffect).times(1);
    payaut.bench.control().add_fault(lost);
    let body = payaut.split("order-1");
    assert_eq!(payaut.try_send("POST", SPLITS, Some(&body)).await, None);
    let again = payaut.post(SPLITS, &body).await.ok();
    assert_eq!(again["extRef"], "order-1");
    assert_eq!(payaut.get(SPLITS).await.ok()["totalElementCount"], 1);
}

#[tokio::test]
async fn an_item_of_a_known_reference_is_a_conflict_in_another_split() {
    let payaut = Payaut::start().await;
    payaut.made("order-1").await;
    let mut second = payaut.split("order-2");
    second["items"][0]["extRef"] = json!("order-1-product");
    let message = refused(&payaut.post(SPLITS, &second).await, 409);
    assert!(message.contains("order-1-product"), "{message}");
    let loose = Payaut::with(|config| config.item_references = ItemReferences::Request).await;
    loose.made("order-1").await;
    assert_eq!(loose.post(SPLITS, &second).await.status, 201);
}

#[tokio::test]
async fn a_wrong_account_code_pays_the_marketplace_and_nobody_is_told() {
    let payaut = Payaut::start().await;
    let mut wrong = payaut.split("order-1");
    wrong["items"][0]["accountCode"] = json!("FD5C0000-0000-4000-8000-000000000000");
    let made = payaut.post(SPLITS, &wrong).await;
    assert_eq!(made.status, 201);
    assert_eq!(
        made.json()["items"][0]["accountCode"],
        wrong["items"][0]["accountCode"],
        "as if it were right"
    );
    payaut.advance(&text(&made.json(), "code"), "reconciled");
    let mut missing = payaut.split("order-2");
    missing["items"][0].as_object_mut().unwrap().remove("accountCode");
    let made = payaut.post(SPLITS, &missing).await;
    payaut.advance(&text(&made.json(), "code"), "reconciled");
    assert_eq!(payaut.balance(SELLER).await, 10_000, "as before");
    assert_eq!(payaut.balance(MARKETPLACE).await, 50_000 + 2 * 10_000);
    payaut.bench.assert_balanced();
    let strict = Payaut::with(|config| config.unknown_account = UnknownAccount::Refuse).await;
    refused(&strict.post(SPLITS, &wrong).await, 422);
}

fn item(reference: &str, amount: u64, account: &str) -> Json {
    json!({ "type": "ITEM", "extRef": reference, "amount": amount, "accountCode": account })
}

#[tokio::test]
async fn groups_hold_groups_and_every_level_adds_up() {
    let payaut = Payaut::start().await;
    let (seller, other) = (payaut.account(SELLER), payaut.account(OTHER));
    let mut inner = item("lamp-fee", 1_000, "");
    inner.as_object_mut().unwrap().remove("accountCode");
    let tree = |fee: &Json| {
        json!([
            {
                "type": "GROUP", "extRef": "lamp", "amount": 7_000, "accountCode": seller,
                "items": [
                    item("lamp-price", 6_000, &seller),
                    { "type": "GROUP", "extRef": "lamp-rest", "amount": 1_000, "items": [fee] },
                ],
            },
            item("chair", 3_000, &other),
        ])
    };
    let mut body = payaut.split("order-1");
    body["items"] = tree(&inner);
    let made = payaut.post(SPLITS, &body).await;
    assert_eq!(made.status, 201, "{}", made.json());
    assert_eq!(made.json()["items"][0]["items"][1]["items"][0]["extRef"], "lamp-fee");
    payaut.advance(&text(&made.json(), "code"), "reconciled");
    let balances = [
        payaut.balance(SELLER).await,
        payaut.balance(OTHER).await,
        payaut.balance(MARKETPLACE).await,
    ];
    assert_eq!(
        balances,
        [16_000, 3_000, 51_000],
        "an inner item without an account is the marketplace's"
    );

    let mut short = inner.clone();
    short["amount"] = json!(999);
    let mut wrong = payaut.split("order-2");
    let other = tree(&short)
        .to_string()
        .replace("lamp", "desk")
        .replace("chair", "stool");
    wrong["items"] = serde_json::from_str(&other).unwrap();
    refused(&payaut.post(SPLITS, &wrong).await, 422);

    let inherits = Payaut::with(|config| config.inner_items = InnerItems::Inherit).await;
    let made = inherits.post(SPLITS, &body).await;
    inherits.advance(&text(&made.json(), "code"), "reconciled");
    assert_eq!(inherits.balance(SELLER).await, 17_000);
}

#[tokio::test]
async fn a_discount_goes_from_the_holder_to_the_marketplace() {
    let check = async |discounts, total: u64, seller: i64, marketplace: i64| {
        let payaut = Payaut::with(|config| config.discounts = discounts).await;
        let mut body = payaut.split("order-1");
        body["totalAmount"] = json!(total);
        let mut discount = item("order-1-discount", 2_000, &payaut.account(SELLER));
        discount["label"] = json!("DISCOUNT");
        body["items"].as_array_mut().unwrap().push(discount);
        let made = payaut.post(SPLITS, &body).await;
        assert_eq!(made.status, 201, "{}", made.json());
        payaut.advance(&text(&made.json(), "code"), "reconciled");
        let balances = (payaut.balance(SELLER).await, payaut.balance(MARKETPLACE).await);
        assert_eq!(balances, (seller, marketplace), "{discounts:?}");
        payaut.bench.assert_balanced();
        let mut over = payaut.split("order-2");
        let mut discount = item("order-2-discount", 9_001, &payaut.account(SELLER));
        discount["label"] = json!("DISCOUNT");
        over["items"].as_array_mut().unwrap().push(discount);
        over["totalAmount"] = json!(if discounts == Discounts::Excluded { 10_000 } else { 999 });
        let message = refused(&payaut.post(SPLITS, &over).await, 422);
        assert!(message.contains("discount"), "{message}");
    };
    check(Discounts::Excluded, 10_000, 10_000 + 7_000, 50_000 + 3_000).await;
    check(Discounts::Negative, 8_000, 10_000 + 7_000, 50_000 + 1_000).await;
}

#[tokio::test]
async fn a_split_is_cancelled_until_the_payment_is_captured() {
    let payaut = Payaut::start().await;
    let cancel = async |code: &str| payaut.post(&format!("v2/fund/cancel/split/{code}"), &json!({})).await;
    let open = payaut.made("order-1").await;
    assert_eq!(cancel(&open).await.status, 200);
    assert_eq!(cancel(&open).await.status, 200, "once more, without effect");
    payaut.bench.pass(60_000);
    assert_eq!(payaut.seen("psp-order-1").await, ["PAYMENT cancelled"]);
    assert_eq!(
        payaut.get(&format!("{SPLITS}/{open}")).await.ok()["extRef"],
        "order-1",
        "nothing is to be seen"
    );
    assert_eq!(
        payaut.post(SPLITS, &payaut.split("order-1")).await.ok()["code"],
        json!(open),
        "and it stays"
    );
    let captured = payaut.made("order-2").await;
    payaut.advance(&captured, "reported");
    refused(&cancel(&captured).await, 409);
    refused(&cancel(&payaut.settled("order-3").await).await, 409);
    assert_eq!(payaut.balance(SELLER).await, 19_000);
    payaut.bench.assert_balanced();
}
