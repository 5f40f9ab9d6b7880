//! Webhooks: unsigned hints, one address for one type.

use serde_json::json;

use super::{Payaut, REQUESTS, SELLER, refused, text};
use crate::simulator::bench::Receiver;

#[tokio::test]
async fn each_change_of_a_payout_is_told_without_a_signature() {
    let payaut = Payaut::start().await;
    let receiver = Receiver::start(&[500, 204]).await;
    let url = format!("{}?event=WEBHOOK_PAYOUT_UPDATE", receiver.url());
    payaut
        .post(
            "v2/notification",
            &json!({ "url": url, "type": "WEBHOOK_PAYOUT_UPDATE" }),
        )
        .await
        .ok();
    let body = payaut.payout(SELLER, 1_000).await;
    let code = text(&payaut.post(REQUESTS, &body).await.ok(), "code");
    payaut.bench.pass(50);
    receiver.count(1).await;
    payaut.bench.pass(200);
    let received = receiver.count(2).await;
    assert!(received[0].path.ends_with("?event=WEBHOOK_PAYOUT_UPDATE"));
    let known = ["host", "content-type", "content-length", "user-agent", "connection"];
    assert!(
        received[0]
            .headers
            .iter()
            .all(|(name, _)| known.contains(&name.as_str())),
        "{:?}",
        received[0].headers
    );
    let told = received[0].envelope();
    assert_eq!(told["code"], json!(code));
    assert_eq!(
        (&told["oldStatus"], &told["newStatus"]),
        (&json!("PENDING"), &json!("IN_PROGRESS"))
    );
    assert_eq!(received[1].envelope()["newStatus"], "PROCESSED");
    payaut.bench.pass(500);
    let again = receiver.count(3).await;
    assert_eq!(again[2].body, received[0].body, "the first was not taken");
}

#[tokio::test]
async fn each_change_of_kyc_is_told_with_the_way_to_onboarding() {
    let payaut = Payaut::start().await;
    let receiver = Receiver::start(&[]).await;
    payaut
        .post(
            "v2/notification",
            &json!({ "url": receiver.url(), "type": "WEBHOOK_KYC_UPDATE" }),
        )
        .await
        .ok();
    let holder = payaut.holder(SELLER).await;
    let change = json!({ "legalEntity": { "address": { "country": "NLD" } } });
    payaut.patch(&format!("v1/accountholders/{holder}"), &change).await.ok();
    receiver.count(1).await;
    payaut.bench.pass(500);
    let told: Vec<_> = receiver
        .count(2)
        .await
        .iter()
        .map(|told| told.envelope()["newStatus"].clone())
        .collect();
    assert_eq!(told, ["IN_PROGRESS", "ACTIVE"]);
    let first = receiver.received()[0].envelope();
    assert_eq!(first["accountHolderCode"], json!(holder));
    assert_eq!(
        (&first["oldStatus"], &first["missingData"]),
        (&json!("ACTIVE"), &json!(false))
    );
    assert!(first["onboardingUrl"].as_str().unwrap().starts_with("https://"));
}

#[tokio::test]
async fn a_configuration_can_be_moved_and_silenced() {
    let payaut = Payaut::start().await;
    let (first, second) = (Receiver::start(&[]).await, Receiver::start(&[]).await);
    let webhook = |receiver: &Receiver, activated: bool| json!({ "url": receiver.url(), "type": "WEBHOOK_PAYOUT_UPDATE", "isActivated": activated });
    let made = payaut.post("v2/notification", &webhook(&first, false)).await.ok();
    let path = format!("v2/notification/{}", text(&made, "id"));
    let body = payaut.payout(SELLER, 1_000).await;
    payaut.post(REQUESTS, &body).await.ok();
    payaut.bench.pass(50);
    payaut.put(&path, &webhook(&second, true)).await.ok();
    assert_eq!(payaut.get(&path).await.ok()["url"], json!(second.url()));
    payaut.bench.pass(200);
    assert_eq!(second.count(1).await[0].envelope()["newStatus"], "PROCESSED");
    assert!(first.received().is_empty());
    refused(
        &payaut
            .put(&path, &json!({ "url": second.url(), "type": "WEBHOOK_ALL" }))
            .await,
        422,
    );
    refused(
        &payaut
            .put(&path, &json!({ "url": "nowhere", "type": "WEBHOOK_KYC_UPDATE" }))
            .await,
        422,
    );
}
