//! Payout requests: behind the gate of KYC, without a key, reserved at once, and raced by schedules.

use bursar::simulator::config::payaut::{HolderSeed, Kyc, PayautConfig, PayoutRefused};
use bursar::simulator::faults::{FaultAction, FaultRule};
use bursar::simulator::ledger::Place;
use bursar::simulator::resources::Failure;
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::{MARKETPLACE, OTHER, Payaut, REQUESTS, SELLER, refused, text};

async fn status(payaut: &Payaut, code: &str) -> String {
    text(&payaut.get(&format!("{REQUESTS}/{code}")).await.ok(), "status")
}

async fn requested(payaut: &Payaut, amount: u64) -> String {
    let body = payaut.payout(SELLER, amount).await;
    text(&payaut.post(REQUESTS, &body).await.ok(), "code")
}

#[tokio::test]
async fn a_payout_goes_its_way_from_the_reservation_to_the_bank() {
    let payaut = Payaut::start().await;
    let code = requested(&payaut, 4_000).await;
    assert_eq!(status(&payaut, &code).await, "PENDING");
    assert_eq!(payaut.balance(SELLER).await, 6_000, "reserved at once");
    let reserved = Place::Reserved(Uuid::parse_str(&code).unwrap());
    let places = payaut.bench.control().ledger().places;
    assert!(
        places
            .iter()
            .any(|(place, amount)| *place == reserved && amount.minor() == 4_000)
    );
    payaut.bench.pass(50);
    assert_eq!(status(&payaut, &code).await, "IN_PROGRESS");
    payaut.bench.pass(200);
    assert_eq!(status(&payaut, &code).await, "PROCESSED");
    assert_eq!(payaut.balance(SELLER).await, 6_000);
    payaut.bench.assert_balanced();
}

#[tokio::test]
async fn a_payout_waits_for_its_day() {
    let payaut = Payaut::start().await;
    let mut body = payaut.payout(SELLER, 4_000).await;
    body["processAt"] = json!("2026-01-01T03:00:00.000+02:00");
    let code = text(&payaut.post(REQUESTS, &body).await.ok(), "code");
    assert_eq!(payaut.balance(SELLER).await, 6_000);
    payaut.bench.pass(3_600_000);
    assert_eq!(status(&payaut, &code).await, "PENDING");
    payaut.bench.pass(50);
    assert_eq!(status(&payaut, &code).await, "IN_PROGRESS");
}

#[tokio::test]
async fn the_same_request_again_pays_again() {
    let payaut = Payaut::start().await;
    let lost = FaultRule::on("payaut.create_payout_request", FaultAction::DropAfterEffect).times(1);
    payaut.bench.control().add_fault(lost);
    let body = payaut.payout(SELLER, 4_000).await;
    assert_eq!(payaut.try_send("POST", REQUESTS, Some(&body)).await, None);
    payaut.post(REQUESTS, &body).await.ok();
    assert_eq!(payaut.balance(SELLER).await, 2_000);
    let listed = payaut.get(REQUESTS).await.ok();
    assert_eq!(listed["totalElementCount"], 2);
    assert!(
        listed["elements"]
            .as_array()
            .unwrap()
            .iter()
            .all(|row| row["description"] == "op-0001")
    );
    let found = payaut.get("v2/payouts?query=op-0001").await.ok();
    assert_eq!(found["pagination"]["total"], 2);
}

#[tokio::test]
async fn nobody_is_paid_without_kyc() {
    let check = async |kyc| {
        let payaut = Payaut::with(|config| config.holders[0].kyc = kyc).await;
        let body = payaut.payout(SELLER, 1_000).await;
        let message = refused(&payaut.post(REQUESTS, &body).await, 422);
        assert!(message.contains("KYC"), "{message}");
        assert_eq!(payaut.balance(SELLER).await, 10_000);
    };
    for kyc in [Kyc::MissingData, Kyc::InProgress, Kyc::Failed, Kyc::Rejected] {
        check(kyc).await;
    }
    let payaut = Payaut::with(|config| config.payout_refused = PayoutRefused::Forbidden).await;
    let body = payaut.payout(SELLER, 1_000).await;
    payaut.advance(&payaut.bank(SELLER).await, "IN_PROGRESS");
    let message = refused(&payaut.post(REQUESTS, &body).await, 403);
    assert!(message.contains("external account"), "{message}");
    payaut.advance(&payaut.bank(SELLER).await, "ACTIVE");
    payaut.post(REQUESTS, &body).await.ok();
}

#[tokio::test]
async fn only_the_selected_account_of_the_holder_is_paid_and_no_more_than_there_is() {
    let payaut = Payaut::start().await;
    let body = payaut.payout(SELLER, 10_001).await;
    let message = refused(&payaut.post(REQUESTS, &body).await, 422);
    assert!(message.contains("EUR 100.00"), "{message}");
    let mut foreign = payaut.payout(SELLER, 1_000).await;
    foreign["externalAccountCode"] = json!(payaut.bank(OTHER).await);
    refused(&payaut.post(REQUESTS, &foreign).await, 422);
    let holder = payaut.holder(SELLER).await;
    let second = json!({
        "extRef": "bank-2", "currency": "EUR", "statement": {}, "accountType": "IBAN",
        "accountNumber": "DE89370400440532013000",
    });
    let added = payaut
        .post(&format!("v1/accountholders/{holder}/externalaccounts"), &second)
        .await
        .ok();
    payaut.bench.pass(500);
    let mut unselected = payaut.payout(SELLER, 1_000).await;
    unselected["externalAccountCode"] = added["code"].clone();
    let message = refused(&payaut.post(REQUESTS, &unselected).await, 422);
    assert!(message.contains("selected"), "{message}");
    let select = format!(
        "v1/accountholders/{holder}/externalaccounts/{}/select",
        text(&added, "code")
    );
    assert_eq!(payaut.try_send("PATCH", &select, None).await.unwrap().status, 200);
    payaut.post(REQUESTS, &unselected).await.ok();
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_said() {
    let payaut = Payaut::start().await;
    let body = payaut.payout(SELLER, 1_000).await;
    let check = async |field: &str, value: Json, status: u16| {
        let mut body = body.clone();
        body[field] = value;
        let message = refused(&payaut.post(REQUESTS, &body).await, status);
        assert!(status == 404 || message.contains(field), "{field}: {message}");
    };
    for required in body.as_object().unwrap().keys().filter(|name| *name != "description") {
        check(required, Json::Null, 422).await;
    }
    check("accountCode", json!("nobody"), 404).await;
    check("externalAccountCode", json!("nowhere"), 404).await;
    check("sourceCurrency", json!("euro"), 422).await;
    check("targetCurrency", json!("USD"), 422).await;
    check("processAt", json!("2026-01-01T01:00:00"), 422).await;
    check("amount", json!(0), 422).await;
    check("extRef", json!("op-1"), 400).await;
}

#[tokio::test]
async fn a_request_is_taken_back_only_while_it_is_pending() {
    let payaut = Payaut::start().await;
    let code = requested(&payaut, 4_000).await;
    let path = format!("{REQUESTS}/{code}");
    assert_eq!(payaut.delete(&path).await.status, 200);
    assert_eq!(payaut.balance(SELLER).await, 10_000);
    refused(&payaut.get(&path).await, 404);
    refused(&payaut.delete(&path).await, 404);
    assert_eq!(payaut.get(REQUESTS).await.ok()["totalElementCount"], 0);
    payaut.bench.pass(1_000);
    assert_eq!(payaut.balance(SELLER).await, 10_000, "it is not paid all the same");
    let late = requested(&payaut, 4_000).await;
    payaut.bench.pass(50);
    refused(&payaut.delete(&format!("{REQUESTS}/{late}")).await, 409);
    payaut.bench.pass(200);
    refused(&payaut.delete(&format!("{REQUESTS}/{late}")).await, 409);
    payaut.bench.assert_balanced();
}

#[tokio::test]
async fn a_payout_that_fails_or_comes_back_restores_the_balance() {
    let payaut = Payaut::start().await;
    let failure = Failure::new("closed", "the account is closed", false);
    let action = FaultAction::FailLater {
        failure: failure.clone(),
    };
    payaut
        .bench
        .control()
        .add_fault(FaultRule::on("payaut.create_payout_request", action).times(1));
    let code = requested(&payaut, 4_000).await;
    payaut.bench.pass(50);
    payaut.bench.pass(200);
    let shown = payaut.get(&format!("{REQUESTS}/{code}")).await.ok();
    assert_eq!(
        (shown["status"].as_str(), shown["failureReason"].as_str()),
        (Some("FAILED"), Some("the account is closed"))
    );
    assert_eq!(payaut.balance(SELLER).await, 10_000);
    let bounced = requested(&payaut, 4_000).await;
    payaut.bench.pass(50);
    payaut.bench.pass(200);
    let id = Uuid::parse_str(&bounced).unwrap();
    payaut.bench.control().advance(id, "FAILED", Some(failure)).unwrap();
    assert_eq!(status(&payaut, &bounced).await, "FAILED");
    assert_eq!(payaut.balance(SELLER).await, 10_000);
    assert!(payaut.bench.control().advance(id, "FAILED", None).is_err(), "once");
    payaut.bench.assert_balanced();
}

#[tokio::test]
async fn a_list_may_not_know_yet_what_can_be_read() {
    let payaut = Payaut::start().await;
    let unlisted = FaultRule::on("payaut.create_payout_request", FaultAction::Unlisted { ms: 600_000 });
    payaut.bench.control().add_fault(unlisted.times(1));
    let code = requested(&payaut, 4_000).await;
    payaut.bench.pass(599_999);
    assert_eq!(status(&payaut, &code).await, "PROCESSED");
    let count = async || payaut.get(REQUESTS).await.ok()["totalElementCount"].clone();
    assert_eq!(count().await, 0);
    assert_eq!(payaut.get("v2/payouts").await.ok()["items"], json!([]));
    payaut.bench.pass(1);
    assert_eq!(count().await, 1);
}

#[tokio::test]
async fn the_marketplace_is_paid_to_an_account_at_the_other_provider() {
    let payaut = Payaut::with(|config| {
        let demo = PayautConfig::demo().marketplace.unwrap();
        config.marketplace = Some(HolderSeed {
            bank: demo.bank,
            ..HolderSeed::new(MARKETPLACE, "500.00")
        });
    })
    .await;
    let divisions = payaut.get("v2/merchants/divisionInfos").await.ok();
    assert_eq!(divisions[0]["accountCode"], json!(payaut.account(MARKETPLACE)));
    let body = json!({
        "accountCode": divisions[0]["accountCode"],
        "amount": 20_000,
        "sourceCurrency": "EUR",
        "targetCurrency": "EUR",
        "description": "sweep",
        "externalAccountCode": divisions[0]["externalAccountCode"],
        "processAt": "2026-01-01T00:00:00Z",
    });
    payaut.post(REQUESTS, &body).await.ok();
    payaut.bench.pass(50);
    payaut.bench.pass(200);
    assert_eq!(payaut.balance(MARKETPLACE).await, 30_000);
    assert_eq!(payaut.bench.balance("Treasury EUR"), "250200.00");
    let deposits = payaut.bench.get("/v1/deposits").await.ok();
    assert_eq!(deposits["data"][0]["bank_statement_reference"], "sweep");
    payaut.bench.assert_balanced();
}
