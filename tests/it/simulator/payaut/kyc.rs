//! KYC: begins by itself, and anew at a harmless-looking change.

use bursar::simulator::config::payaut::KycRestart;
use serde_json::{Value as Json, json};

use super::{Payaut, REQUESTS, SELLER, refused, text};

async fn status(payaut: &Payaut, holder: &str) -> Json {
    payaut.get(&format!("v1/accountholders/{holder}")).await.ok()["status"].clone()
}

#[tokio::test]
async fn it_begins_when_nothing_is_missing_and_ends_by_itself() {
    let payaut = Payaut::start().await;
    let person = json!({
        "extRef": "seller-9",
        "legalEntity": { "legalForm": "individual", "firstName": "Nina", "lastName": "Neu" },
    });
    let holder = text(&payaut.post("v1/accountholders", &person).await.ok(), "code");
    let shown = status(&payaut, &holder).await;
    assert_eq!(
        shown,
        json!({ "kycStatus": "MISSING_DATA", "message": "missing: address, documents" })
    );
    let path = format!("v1/accountholders/{holder}");
    payaut
        .patch(&path, &json!({ "legalEntity": { "address": { "country": "DEU" } } }))
        .await
        .ok();
    assert_eq!(
        status(&payaut, &holder).await["message"],
        "[KYC_MISSING_DATA_1001] an id document is missing"
    );
    payaut
        .patch(
            &path,
            &json!({ "legalEntity": { "documents": [{ "type": "PASSPORT" }] } }),
        )
        .await
        .ok();
    assert_eq!(status(&payaut, &holder).await["kycStatus"], "IN_PROGRESS");
    payaut.bench.pass(499);
    assert_eq!(status(&payaut, &holder).await["kycStatus"], "IN_PROGRESS");
    payaut.bench.pass(1);
    assert_eq!(
        status(&payaut, &holder).await,
        json!({ "kycStatus": "ACTIVE", "message": null })
    );
}

#[tokio::test]
async fn a_patch_of_a_name_closes_the_payouts_until_it_is_looked_at_again() {
    let payaut = Payaut::start().await;
    let holder = payaut.holder(SELLER).await;
    let path = format!("v1/accountholders/{holder}");
    let payout = payaut.payout(SELLER, 1_000).await;
    payaut
        .patch(&path, &json!({ "displayName": "Blum", "legalEntity": {} }))
        .await
        .ok();
    assert_eq!(
        status(&payaut, &holder).await["kycStatus"],
        "ACTIVE",
        "no name of the law"
    );
    payaut
        .patch(&path, &json!({ "legalEntity": { "legalName": SELLER } }))
        .await
        .ok();
    assert_eq!(
        status(&payaut, &holder).await["kycStatus"],
        "IN_PROGRESS",
        "though it is the same"
    );
    refused(&payaut.post(REQUESTS, &payout).await, 422);
    payaut.bench.pass(400);
    payaut
        .patch(&path, &json!({ "legalEntity": { "legalName": SELLER } }))
        .await
        .ok();
    payaut.bench.pass(499);
    assert_eq!(
        status(&payaut, &holder).await["kycStatus"],
        "IN_PROGRESS",
        "it began once more"
    );
    payaut.bench.pass(1);
    payaut.post(REQUESTS, &payout).await.ok();

    let mild = Payaut::with(|config| config.kyc_restart = KycRestart::Change).await;
    let holder = mild.holder(SELLER).await;
    let path = format!("v1/accountholders/{holder}");
    mild.patch(&path, &json!({ "legalEntity": { "legalName": SELLER } }))
        .await
        .ok();
    assert_eq!(status(&mild, &holder).await["kycStatus"], "ACTIVE");
    mild.patch(&path, &json!({ "legalEntity": { "legalName": "Blum" } }))
        .await
        .ok();
    assert_eq!(status(&mild, &holder).await["kycStatus"], "IN_PROGRESS");
}

#[tokio::test]
async fn an_owner_that_changes_begins_it_anew() {
    let payaut = Payaut::start().await;
    let holder = payaut.holder(SELLER).await;
    let ubos = format!("v1/accountholders/{holder}/ubos");
    let made = payaut
        .post(&ubos, &json!({ "extRef": "ubo-1", "type": "CEO" }))
        .await
        .ok();
    assert_eq!(status(&payaut, &holder).await["kycStatus"], "IN_PROGRESS");
    payaut.bench.pass(500);
    assert_eq!(status(&payaut, &holder).await["kycStatus"], "ACTIVE");
    let path = format!("{ubos}/{}", text(&made, "code"));
    let changed = payaut.patch(&path, &json!({ "nationality": "DEU" })).await.ok();
    assert_eq!(
        (text(&changed, "type"), text(&changed, "nationality")),
        ("CEO".to_owned(), "DEU".to_owned())
    );
    assert_eq!(status(&payaut, &holder).await["kycStatus"], "IN_PROGRESS");
    refused(&payaut.post(&ubos, &json!({ "extRef": "ubo-1" })).await, 409);
    refused(&payaut.patch(&path, &json!({ "nationality": "DE" })).await, 422);
    refused(&payaut.patch(&path, &json!({ "type": "CLERK" })).await, 422);
}

#[tokio::test]
async fn an_external_account_has_one_of_its_own() {
    let payaut = Payaut::start().await;
    let path = format!("v1/accountholders/{}/externalaccounts", payaut.holder(SELLER).await);
    let bare = json!({ "extRef": "bank-2", "currency": "EUR", "accountType": "IBAN", "accountNumber": "DE00370400440532013000" });
    let made = payaut.post(&path, &bare).await.ok();
    assert_eq!(
        (text(&made, "kycStatus"), made["selected"].clone()),
        ("MISSING_DATA".to_owned(), json!(false))
    );
    assert_eq!(made["kycMessage"], "[KYC_MISSING_DATA_1002] a bank document is missing");
    let path = format!("{path}/{}", text(&made, "code"));
    let sent = payaut
        .patch(&path, &json!({ "statement": { "file": "statement.pdf" } }))
        .await
        .ok();
    assert_eq!(sent["kycStatus"], "IN_PROGRESS");
    payaut.bench.pass(500);
    assert_eq!(
        payaut.get(&path).await.ok()["kycStatus"],
        "FAILED",
        "its checksum is wrong"
    );
    payaut
        .patch(&path, &json!({ "accountNumber": "DE89370400440532013000" }))
        .await
        .ok();
    payaut.bench.pass(500);
    assert_eq!(payaut.get(&path).await.ok()["kycStatus"], "ACTIVE");
    refused(&payaut.patch(&path, &json!({ "currency": "USD" })).await, 422);
}

#[tokio::test]
async fn a_refusal_is_for_good() {
    let payaut = Payaut::start().await;
    let holder = payaut.holder(SELLER).await;
    payaut.advance(&holder, "REJECTED");
    payaut
        .patch(
            &format!("v1/accountholders/{holder}"),
            &json!({ "legalEntity": { "legalName": "Blum" } }),
        )
        .await
        .ok();
    payaut.bench.pass(10_000);
    assert_eq!(status(&payaut, &holder).await["kycStatus"], "REJECTED");
    let id = uuid::Uuid::parse_str(&holder).unwrap();
    assert!(payaut.bench.control().advance(id, "ACTIVE", None).is_err());
}
