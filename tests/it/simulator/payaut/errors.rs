//! Who is let in, what is refused, and how that is said.

use serde_json::{Value as Json, json};

use super::{Payaut, REFUNDS, SELLER, SPLITS, refused};
use crate::simulator::http::send;

#[tokio::test]
async fn only_a_known_token_is_let_in() {
    let payaut = Payaut::start().await;
    let address = payaut.bench.running.address;
    let target = "/payaut/v1/accountholders";
    for headers in [
        vec![],
        vec![("authorization", "Bearer no")],
        vec![("authorization", "payaut-demo-token")],
    ] {
        let reply = send(address, "GET", target, &headers, None).await.unwrap();
        refused(&reply, 401);
    }
}

#[tokio::test]
async fn codes_of_merchant_and_division_can_be_asked_for_in_headers() {
    let payaut = Payaut::with(|config| {
        config
            .required_headers
            .insert("X-Division".to_owned(), "DIV-1".to_owned());
    })
    .await;
    let check = async |value: Option<&str>, status: u16| {
        let mut headers = vec![("authorization", "Bearer payaut-demo-token")];
        headers.extend(value.map(|value| ("x-division", value)));
        let address = payaut.bench.running.address;
        let reply = send(address, "GET", "/payaut/v1/accountholders", &headers, None)
            .await
            .unwrap();
        assert_eq!(reply.status, status, "{value:?}");
    };
    check(None, 403).await;
    check(Some("DIV-2"), 403).await;
    check(Some("DIV-1"), 200).await;
}

#[tokio::test]
async fn what_is_wrong_with_a_split_is_said() {
    let payaut = Payaut::start().await;
    let check = async |pointer: &str, value: Json, status: u16, named: &str| {
        let mut body = payaut.split("order-1");
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        let object = body.pointer_mut(parent).unwrap().as_object_mut().unwrap();
        match value {
            Json::Null => drop(object.remove(name)),
            value => drop(object.insert(name.to_owned(), value)),
        }
        let message = refused(&payaut.post(SPLITS, &body).await, status);
        assert!(message.contains(named), "{pointer}: {message}");
    };
    for required in [
        "extRef",
        "totalAmount",
        "currency",
        "items",
        "pspExtRef",
        "paymentProcessor",
    ] {
        check(&format!("/{required}"), Json::Null, 422, required).await;
    }
    check("/extRef", json!("abc"), 422, "extRef").await;
    check("/extRef", json!("x".repeat(65)), 422, "extRef").await;
    check("/totalAmount", json!(10_001), 422, "totalAmount").await;
    check("/totalAmount", json!("10000"), 422, "totalAmount").await;
    check("/totalAmount", json!(100.0), 422, "totalAmount").await;
    check("/totalAmount", json!(-10_000), 422, "totalAmount").await;
    check("/currency", json!("USD"), 422, "currency").await;
    check("/currency", json!("eur"), 422, "currency").await;
    check("/paymentProcessor", json!("adyen"), 422, "paymentProcessor").await;
    check("/description", json!("x".repeat(256)), 422, "description").await;
    check("/extProcessedAt", json!("2026-01-01"), 422, "extProcessedAt").await;
    check("/items", json!([]), 422, "together").await;
    check("/items", json!({}), 422, "items").await;
    check("/items/0/type", json!("PART"), 422, "items.0.type").await;
    check("/items/0/type", json!("GROUP"), 422, "items.0.items").await;
    check("/items/0/amount", json!(0), 422, "items.0.amount").await;
    check("/items/0/extRef", Json::Null, 422, "items.0.extRef").await;
    check("/items/1/extRef", json!("order-1-product"), 409, "order-1-product").await;
    check("/code", json!("FD5C"), 400, "code").await;
    assert_eq!(
        payaut.get(SPLITS).await.ok()["totalElementCount"],
        0,
        "nothing was made"
    );
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let payaut = Payaut::start().await;
    let nobody = "00000000-0000-4000-8000-000000000000";
    let account = payaut.account(SELLER);
    for path in [
        format!("v1/accountholders/{nobody}"),
        format!("v1/accountholders/{nobody}/ubos"),
        format!("{SPLITS}/{nobody}"),
        format!("{REFUNDS}/nonsense"),
        format!("v1/fund/balance/{nobody}"),
        // A code is in capitals.
        format!("v1/fund/balance/{}", account.to_lowercase()),
        format!("v1/fund/payout-requests/{nobody}"),
        "v2/reports/everything".to_owned(),
        "v2/notification/nonsense".to_owned(),
        "v3/anything".to_owned(),
    ] {
        refused(&payaut.get(&path).await, 404);
    }
    refused(&payaut.delete("v2/transactions").await, 405);
    let cut = json!({});
    refused(&payaut.post("v2/fund/cancel/split/FD5C", &cut).await, 400);
    refused(&payaut.post(&format!("v2/fund/cancel/split/{nobody}"), &cut).await, 404);
}

#[tokio::test]
async fn a_body_is_json_and_a_query_has_known_names() {
    let payaut = Payaut::start().await;
    let address = payaut.bench.running.address;
    let headers = |kind| vec![("authorization", "Bearer payaut-demo-token"), ("content-type", kind)];
    let target = format!("/payaut/{SPLITS}");
    let form = send(
        address,
        "POST",
        &target,
        &headers("application/x-www-form-urlencoded"),
        Some(b"extRef=a"),
    )
    .await;
    refused(&form.unwrap(), 400);
    let broken = send(
        address,
        "POST",
        &target,
        &headers("application/json"),
        Some(b"{\"extRef\":"),
    )
    .await;
    refused(&broken.unwrap(), 400);
    refused(&payaut.get(&format!("{SPLITS}?extRef=order-1")).await, 400);
}
