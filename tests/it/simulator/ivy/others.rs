//! Checkout sessions, customers, subscriptions and the rest: what they refuse and what they change.

use bursar::simulator::config::ivy::DuplicateReference;
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::shapes::{CUSTOMER, ORDER, SESSION, assert_shape};
use super::{Ivy, iban};
use crate::simulator::bench::{BENEFICIARY, Receiver};

fn session(reference: &str) -> Json {
    json!({
        "price": { "total": 49.9, "currency": "EUR" },
        "referenceId": reference,
        "metadata": { "cart": 7 },
    })
}

async fn open(ivy: &Ivy, reference: &str) -> (String, Uuid) {
    let created = ivy.call("checkout/session/create", &session(reference)).await.ok();
    assert_shape(&created, SESSION);
    let id = created["id"].as_str().unwrap().to_owned();
    let internal = Uuid::parse_str(&id).unwrap();
    (id, internal)
}

#[tokio::test]
async fn a_session_that_the_payer_completes_becomes_an_order() {
    let ivy = Ivy::start().await;
    let receiver = Receiver::start(&[]).await;
    ivy.subscribe(&receiver, &["*"]);
    let (id, internal) = open(&ivy, "CART-1").await;
    ivy.call("order/details", &json!({ "id": "CART-1" }))
        .await
        .refused(404, "NOT_FOUND");
    receiver.count(1).await;
    ivy.bench.control().advance(internal, "closed", None).unwrap();
    receiver.count(4).await;
    let mut told = receiver.kinds();
    told.sort();
    let kinds = [
        "checkout_session_completed",
        "checkout_session_created",
        "checkout_session_updated",
        "order_created",
    ];
    assert_eq!(told, kinds);
    let order = ivy.call("order/details", &json!({ "id": "CART-1" })).await.ok();
    assert_shape(&order, ORDER);
    assert_eq!(order["metadata"], json!({ "cart": 7 }), "it moves to the order");
    assert!(
        order.get("destination").is_none(),
        "nothing for the payer to transfer to"
    );
    let closed = ivy.call("checkout/session/expire", &json!({ "id": id })).await;
    closed.refused(409, "CONFLICT");
}

#[tokio::test]
async fn a_session_is_open_for_an_hour_or_as_long_as_asked() {
    let ivy = Ivy::start().await;
    let status = async |id: &str| {
        let shown = ivy.call("checkout/session/details", &json!({ "id": id })).await.ok();
        shown["status"].as_str().unwrap().to_owned()
    };
    let (id, _) = open(&ivy, "CART-1").await;
    ivy.bench.pass(60 * 60 * 1_000 - 1);
    assert_eq!(status(&id).await, "open");
    ivy.bench.pass(1);
    assert_eq!(status(&id).await, "expired");
    let (id, _) = open(&ivy, "CART-2").await;
    ivy.call("checkout/session/expire", &json!({ "id": id })).await.ok();
    assert_eq!(status(&id).await, "expired");
    let strict = Ivy::with(|config| config.duplicate_reference = DuplicateReference::Conflict).await;
    open(&strict, "CART-1").await;
    strict
        .call("checkout/session/create", &session("CART-1"))
        .await
        .refused(409, "CONFLICT");
}

#[tokio::test]
async fn what_is_wrong_with_a_session_is_said_by_its_name() {
    let ivy = Ivy::start().await;
    let check = async |name: &str, value: Json, param: &str| {
        let mut body = session("CART-1");
        body[name] = value;
        let refused = ivy
            .call("checkout/session/create", &body)
            .await
            .refused(400, "VALIDATION");
        assert_eq!(refused["param"], param, "{body}");
    };
    let start = 1_767_225_600;
    check("price", json!({ "total": 0, "currency": "EUR" }), "price.total").await;
    check("price", json!({ "total": 1, "currency": "USDC" }), "price.currency").await;
    check(
        "price",
        json!({ "total": 1, "currency": "EUR", "vat": -1 }),
        "price.vat",
    )
    .await;
    check("price", json!({ "total": 1, "currency": "EUR", "tip": 1 }), "price.tip").await;
    check("referenceId", json!("r".repeat(201)), "referenceId").await;
    check("expiresAt", json!(start + 299), "expiresAt").await;
    check("expiresAt", json!(start + 6 * 86_400 + 1), "expiresAt").await;
    check("paymentMode", json!("direct"), "settlementDestination").await;
    check("settlementDestination", json!({}), "settlementDestination.reference").await;
    check("locale", json!("tlh"), "locale").await;
    check("market", json!("Germany"), "market").await;
    check("paymentSchemeSelection", json!("fast"), "paymentSchemeSelection").await;
    check("prefill", json!({ "bankId": "Nordlicht" }), "prefill.bankId").await;
    check(
        "lineItems",
        json!([{ "name": "Lamp", "amount": 1, "singleNet": 1 }]),
        "lineItems.0.singleVat",
    )
    .await;
    check("lineItems", json!({}), "lineItems").await;
    check(
        "billingAddress",
        json!({ "line1": "1", "city": "B", "zipCode": "1" }),
        "billingAddress.country",
    )
    .await;
    check("express", json!("yes"), "express").await;
    check("successCallbackUrl", json!("shop"), "successCallbackUrl").await;
}

#[tokio::test]
async fn a_directly_settled_order_is_never_paid_here() {
    let ivy = Ivy::start().await;
    let mut body = session("CART-1");
    body["paymentMode"] = json!("direct");
    body["settlementDestination"] = json!({ "reference": "INV-1", "financialAddress": iban(BENEFICIARY) });
    let created = ivy.call("checkout/session/create", &body).await.ok();
    let control = ivy.bench.control();
    let internal = |shown: &Json| Uuid::parse_str(shown["id"].as_str().unwrap()).unwrap();
    control.advance(internal(&created), "closed", None).unwrap();
    let order = ivy.call("order/details", &json!({ "id": "CART-1" })).await.ok();
    assert_eq!(order["paymentMode"], "direct");
    control.advance(internal(&order), "waiting_for_payment", None).unwrap();
    control.advance(internal(&order), "paid", None).unwrap_err();
    assert_eq!(ivy.bench.balance("Ivy EUR"), "1000.00");
}

#[tokio::test]
async fn a_customer_is_changed_in_part_and_wiped() {
    let ivy = Ivy::start().await;
    let address = json!({ "country": "DE", "city": "Berlin", "line1": "Ring 1" });
    let person = json!({ "fullName": "Erika Mustermann", "email": "e@example.com", "address": address });
    let id = ivy.call("customer/create", &person).await.ok()["id"].clone();
    let update = async |change: Json| {
        let mut body = json!({ "id": id });
        body.as_object_mut()
            .unwrap()
            .extend(change.as_object().unwrap().clone());
        ivy.call("customer/update", &body).await
    };
    let changed = update(json!({ "phone": "+4915112345678", "fullName": Json::Null }))
        .await
        .ok();
    assert_shape(&changed, CUSTOMER);
    assert_eq!(
        (&changed["phone"], changed.get("fullName")),
        (&json!("+4915112345678"), None)
    );
    let partly = update(json!({ "address": { "country": "FR" } })).await.ok();
    assert_eq!(partly["address"], address, "a partial address is ignored");
    let moved = json!({ "country": "FR", "city": "Paris", "line1": "Rue 1", "zipCode": "75001" });
    assert_eq!(update(json!({ "address": moved })).await.ok()["address"], moved);
    for (name, value) in [
        ("metadata", Json::Null),
        ("email", json!("nobody")),
        ("phone", json!("0151")),
        ("dateOfBirth", json!("yesterday")),
    ] {
        let refused = update(json!({ name: value })).await.refused(400, "VALIDATION");
        assert_eq!(refused["param"], name);
    }
    let found = ivy
        .call("customer/search", &json!({ "email": "e@example.com" }))
        .await
        .ok();
    assert_eq!(found["count"], 1);
    ivy.call("customer/delete", &json!({ "id": id })).await.ok();
    let left = ivy.call("customer/retrieve", &json!({ "id": id })).await.ok();
    assert_shape(&left, CUSTOMER);
    assert_eq!((&left["deleted"], left.get("email")), (&json!(true), None));
    update(json!({})).await.refused(404, "NOT_FOUND");
    assert_eq!(ivy.call("customer/search", &json!({})).await.ok()["count"], 0);
}

#[tokio::test]
async fn subscriptions_are_kept_one_for_each_address_and_pinged_at_once() {
    let ivy = Ivy::start().await;
    let receiver = Receiver::start(&[200, 500]).await;
    let subscription = json!({ "url": receiver.url(), "events": ["payout.paid"] });
    let created = ivy.call("webhook-subscription/create", &subscription).await.ok();
    let own = json!({ "id": created["id"] });
    ivy.call("webhook-subscription/create", &subscription)
        .await
        .refused(409, "CONFLICT");
    let wrong = json!({ "url": "https://a.example/", "events": ["payout.created"] });
    ivy.call("webhook-subscription/create", &wrong)
        .await
        .refused(400, "VALIDATION");
    let all = ivy
        .call("webhook-subscription/create", &json!({ "url": "https://a.example/" }))
        .await
        .ok();
    assert_eq!(all["events"].as_array().unwrap().len(), 32);

    let ping = ivy.call("webhook-subscription/ping", &own).await.ok();
    assert_eq!((&ping["success"], &ping["statusCode"]), (&json!(true), &json!(200)));
    let told = receiver.received().remove(0).envelope();
    assert_eq!(
        (&told["id"], &told["type"], &told["payload"]["test"]),
        (&ping["id"], &json!("test"), &json!(true))
    );
    let ping = ivy.call("webhook-subscription/ping", &own).await.ok();
    assert_eq!((&ping["success"], &ping["statusCode"]), (&json!(false), &json!(500)));

    ivy.pay("10").await;
    ivy.bench.pass(50);
    ivy.bench.pass(200);
    let event = receiver.count(3).await[2].envelope();
    ivy.call("webhook/trigger", &json!({ "id": event["id"] })).await.ok();
    assert_eq!(receiver.count(4).await[3].envelope(), event);
    ivy.call("webhook/trigger", &json!({ "id": "wh_1" }))
        .await
        .refused(404, "NOT_FOUND");
    ivy.call("webhook-subscription/delete", &own).await.ok();
    ivy.call("webhook-subscription/ping", &own)
        .await
        .refused(404, "NOT_FOUND");
    let left = ivy.call("webhook-subscription/list", &json!({})).await.ok();
    assert_eq!(left["items"], json!([all]));
}

#[tokio::test]
async fn a_payee_is_compared_with_whom_the_account_belongs_to() {
    let ivy = Ivy::with(|config| {
        config.payees = [(BENEFICIARY.to_owned(), "Example Trading GmbH".to_owned())].into();
    })
    .await;
    let check = async |name: &str, expected: Json| {
        let mut payee = iban(BENEFICIARY);
        payee["iban"]["accountHolderName"] = json!(name);
        assert_eq!(
            ivy.call("payee/verify", &json!({ "payee": payee })).await.ok(),
            expected,
            "{name}"
        );
    };
    check("EXAMPLE trading gmbh", json!({ "status": "match" })).await;
    let close = json!({ "status": "partial_match", "suggestedAccountHolderName": "Example Trading GmbH" });
    check("Example GmbH", close).await;
    check("Somebody Else", json!({ "status": "no_match" })).await;
    let unknown = json!({ "payee": iban("GB82WEST12345698765432") });
    assert_eq!(
        ivy.call("payee/verify", &unknown).await.ok(),
        json!({ "status": "not_available" })
    );
    let bban = json!({ "type": "bban", "bban": { "accountHolderName": "A", "bban": "1" } });
    ivy.call("payee/verify", &json!({ "payee": bban }))
        .await
        .refused(400, "VALIDATION");
}

#[tokio::test]
async fn banks_are_narrowed_and_paged() {
    let ivy = Ivy::start().await;
    let count = async |operation: &str, body: Json| {
        let page = ivy.call(operation, &body).await.ok();
        page["count"].as_u64().unwrap()
    };
    let all = count("banks/list", json!({})).await;
    let german = count("banks/list", json!({ "market": "DE" })).await;
    assert!(german > 0 && german < all);
    assert_eq!(count("banks/search", json!({ "search": "SPARKASSE" })).await, 1);
    let default = count("banks/search", json!({ "search": "" })).await;
    assert!(default > 0 && default < all);
    let page = ivy.call("banks/list", &json!({ "limit": 2, "skip": 1 })).await.ok();
    assert_eq!(
        (page["banks"].as_array().unwrap().len(), &page["hasNext"]),
        (2, &json!(true))
    );
    ivy.call("banks/details", &json!({ "id": "de-none" }))
        .await
        .refused(404, "NOT_FOUND");
    let nowhere = ivy
        .call("merchant/capabilities/details", &json!({ "market": "JP" }))
        .await
        .ok();
    assert_eq!(nowhere, json!({}));
    ivy.call("banks/list", &json!({ "market": "de" }))
        .await
        .refused(400, "VALIDATION");
}
