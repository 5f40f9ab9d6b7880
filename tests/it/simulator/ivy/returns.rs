//! Deposits, and returns of them that no key protects.

use bursar::simulator::config::ivy::DuplicateReturn;
use bursar::simulator::control::NewDeposit;
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::Ivy;
use super::shapes::{DEPOSIT, RETURN, assert_shape};
use crate::simulator::bench::{Receiver, id_of};

fn deposit(ivy: &Ivy, amount: &str) -> Uuid {
    let deposit = NewDeposit::new("Ivy EUR", amount, "INV-7");
    ivy.bench.control().create_deposit(&deposit).unwrap()
}

async fn retrieve(ivy: &Ivy, id: Uuid) -> Json {
    ivy.call("deposit/retrieve", &json!({ "id": id })).await.ok()
}

#[tokio::test]
async fn a_deposit_is_told_and_shown() {
    let ivy = Ivy::start().await;
    let receiver = Receiver::start(&[]).await;
    ivy.subscribe(&receiver, &["deposit.received"]);
    let id = deposit(&ivy, "80.50");
    let shown = retrieve(&ivy, id).await;
    assert_shape(&shown, DEPOSIT);
    assert_eq!(
        (shown["amount"].to_string().as_str(), &shown["rail"]),
        ("80.5", &json!("sepa_instant"))
    );
    assert_eq!(shown["payee"]["iban"]["accountHolderName"], "Nordlicht Handels GmbH");
    let told = receiver.count(1).await[0].envelope()["payload"].clone();
    assert_eq!(told["depositId"], json!(id));
    assert_eq!(told["value"], json!({ "amount": "80.50", "currency": "EUR" }));
    assert_eq!(ivy.bench.balance("Ivy EUR"), "1080.50");
    ivy.bench.assert_balanced();
}

#[tokio::test]
async fn a_return_under_the_same_key_is_made_twice() {
    let ivy = Ivy::start().await;
    let id = deposit(&ivy, "80.00");
    let body = json!({ "depositId": id });
    let first = ivy.call_as("k", "return/create", &body).await.ok();
    assert_shape(&first, RETURN);
    let second = ivy.call_as("k", "return/create", &body).await.ok();
    assert_ne!(first["id"], second["id"]);
    ivy.bench.pass(250);
    let shown = retrieve(&ivy, id).await;
    let returns = shown["returns"].as_array().unwrap();
    returns.iter().for_each(|given_back| assert_shape(given_back, RETURN));
    assert_eq!(returns.len(), 2);
    assert_eq!(ivy.bench.balance("Ivy EUR"), "920.00", "80 more than came in");
    ivy.bench.assert_balanced();
}

#[tokio::test]
async fn whether_a_key_or_an_earlier_return_counts_is_a_setting() {
    let ivy = Ivy::with(|config| config.key_on_return = true).await;
    let body = json!({ "depositId": deposit(&ivy, "80.00") });
    let first = ivy.call_as("k", "return/create", &body).await.ok();
    assert_eq!(ivy.call_as("k", "return/create", &body).await.ok(), first);

    let strict = Ivy::with(|config| config.duplicate_return = DuplicateReturn::Conflict).await;
    let body = json!({ "depositId": deposit(&strict, "80.00") });
    let first = id_of(&strict.call("return/create", &body).await.ok());
    strict.call("return/create", &body).await.refused(409, "CONFLICT");
    strict.bench.control().advance(first, "failed", None).unwrap();
    strict.call("return/create", &body).await.ok();
}

#[tokio::test]
async fn a_return_goes_its_way_and_may_come_back() {
    let ivy = Ivy::start().await;
    let receiver = Receiver::start(&[]).await;
    ivy.subscribe(
        &receiver,
        &[
            "return.initiated",
            "return.succeeded",
            "return.failed",
            "return.returned",
        ],
    );
    let returned = async |amount: &str| {
        let body = json!({ "depositId": deposit(&ivy, amount) });
        id_of(&ivy.call("return/create", &body).await.ok())
    };
    let back = returned("80.00").await;
    assert_eq!(ivy.bench.balance("Ivy EUR"), "1000.00");
    ivy.bench.pass(250);
    receiver.count(2).await;
    ivy.bench.control().advance(back, "returned", None).unwrap();
    assert_eq!(ivy.bench.balance("Ivy EUR"), "1080.00");
    let shown = ivy.call("return/retrieve", &json!({ "id": back })).await.ok();
    assert_shape(&shown, RETURN);
    assert_eq!(shown["status"], "returned");
    receiver.count(3).await;
    let failed = returned("70.00").await;
    receiver.count(4).await;
    ivy.bench.control().advance(failed, "failed", None).unwrap();
    let told = receiver.count(5).await;
    let kinds = [
        "return.initiated",
        "return.succeeded",
        "return.returned",
        "return.initiated",
        "return.failed",
    ];
    assert_eq!(receiver.kinds(), kinds);
    let ats = ["initiatedAt", "succeededAt", "returnedAt", "initiatedAt", "failedAt"];
    for (webhook, at) in told.iter().zip(ats) {
        let payload = &webhook.envelope()["payload"];
        assert!(
            payload[at].is_string() && payload["returnId"] == payload["id"],
            "{payload}"
        );
    }
    ivy.bench.assert_balanced();
}

#[tokio::test]
async fn what_is_not_there_cannot_be_returned() {
    let ivy = Ivy::start().await;
    let nobody = json!({ "depositId": Uuid::from_u128(7) });
    ivy.call("return/create", &nobody).await.refused(404, "NOT_FOUND");
    let partly = json!({ "depositId": deposit(&ivy, "80.00"), "amount": 10 });
    assert_eq!(
        ivy.call("return/create", &partly).await.refused(400, "VALIDATION")["param"],
        "amount"
    );
    let plain = json!({ "depositId": "deposit_1" });
    assert_eq!(
        ivy.call("return/create", &plain).await.refused(400, "VALIDATION")["param"],
        "depositId"
    );
}
