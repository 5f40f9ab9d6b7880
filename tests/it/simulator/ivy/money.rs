//! Conversions and settlements: what is sold and bought, and everything paid out at once.

use bursar::simulator::config::ivy::IvyConfig;
use bursar::simulator::faults::{FaultAction, FaultRule};
use bursar::simulator::resources::FinancialAddress;
use serde_json::{Value as Json, json};

use super::Ivy;
use super::shapes::{FX, SETTLEMENT, assert_shape};
use crate::simulator::bench::{BENEFICIARY, Receiver, id_of};

fn sold(ivy: &Ivy, amount: &str) -> Json {
    json!({
        "sourceAccountId": ivy.bench.account("Ivy EUR"),
        "targetAccountId": ivy.bench.account("Ivy USDC"),
        "sourceAmount": amount,
        "metadata": { "bursar": "op_0001" },
    })
}

#[tokio::test]
async fn a_conversion_is_sold_at_the_rate_that_was_indicated() {
    let ivy = Ivy::start().await;
    let receiver = Receiver::start(&[]).await;
    ivy.subscribe(&receiver, &["fx.initiated", "fx.succeeded"]);
    let asked = json!({ "sourceCurrency": "EUR", "targetCurrency": "USDC", "sourceAmount": "100" });
    let indicated = ivy.call("fx/retrieve-rate", &asked).await.ok();
    let bare = json!({ "sourceCurrency": "EUR", "targetCurrency": "USDC" });
    assert_eq!(
        ivy.call("fx/retrieve-rate", &bare).await.ok(),
        json!({ "rate": indicated["rate"] })
    );
    let fx = ivy.call("fx/execute", &sold(&ivy, "100")).await.ok();
    assert_shape(&fx, FX);
    assert_eq!(fx["sourceAmount"], "100.00");
    assert!(fx.get("targetAmount").is_none(), "not bought yet");
    receiver.count(1).await;
    ivy.bench.pass(300);
    let done = ivy.call("fx/retrieve", &json!({ "fxId": fx["id"] })).await.ok();
    assert_shape(&done, FX);
    assert_eq!(
        (&done["status"], &done["targetAmount"]),
        (&json!("succeeded"), &indicated["targetAmount"])
    );
    assert_eq!(done["metadata"], json!({ "bursar": "op_0001" }));
    let told = receiver.count(2).await;
    assert_eq!(told[1].envelope()["payload"], done);
    let bought: rust_decimal::Decimal = done["targetAmount"].as_str().unwrap().parse().unwrap();
    assert_eq!(ivy.bench.balance("Ivy EUR"), "900.00");
    let expected = bought + rust_decimal::Decimal::from(200);
    assert_eq!(
        ivy.bench.balance("Ivy USDC").parse::<rust_decimal::Decimal>().unwrap(),
        expected
    );
    let span = json!({ "from": 1_767_225_600, "to": 1_767_225_700 });
    let lines = ivy.call("transaction/list", &span).await.ok();
    for line in lines["data"].as_array().unwrap() {
        assert_eq!(line["paymentProcessType"], "fxQuote");
        assert_eq!(line["paymentProcessId"], fx["id"]);
    }
    ivy.bench.assert_balanced();
}

#[tokio::test]
async fn what_cannot_be_converted_is_refused_or_fails() {
    let ivy = Ivy::start().await;
    let check = async |name: &str, value: Json, param: &str| {
        let mut body = sold(&ivy, "100");
        body[name] = value;
        let refused = ivy.call("fx/execute", &body).await.refused(400, "VALIDATION");
        assert_eq!(refused["param"], param, "{body}");
    };
    check("sourceAmount", json!("9.99"), "sourceAmount").await;
    check("sourceAmount", json!("10.001"), "sourceAmount").await;
    check("sourceAmount", json!(100), "sourceAmount").await;
    check("sourceAmount", json!("100,00"), "sourceAmount").await;
    check("sourceAccountId", json!("eur"), "sourceAccountId").await;
    let same = json!(ivy.bench.account("Ivy EUR"));
    check("targetAccountId", same, "targetAccountId").await;
    let other = json!({ "sourceCurrency": "EUR", "targetCurrency": "USD" });
    ivy.call("fx/retrieve-rate", &other).await.refused(400, "VALIDATION");
    let too_much = id_of(&ivy.call("fx/execute", &sold(&ivy, "2000")).await.ok());
    ivy.bench.pass(300);
    let failed = ivy.call("fx/retrieve", &json!({ "fxId": too_much })).await.ok();
    assert_eq!(failed["status"], "failed");
    assert_eq!(ivy.bench.balance("Ivy EUR"), "1000.00");
}

async fn with_destination() -> Ivy {
    Ivy::with(|config| {
        config.settlement_minimum = 100;
        config.settlement_destination = Some(FinancialAddress::Iban {
            iban: BENEFICIARY.to_owned(),
            account_holder_name: "Nordlicht Handels GmbH".to_owned(),
            bic: None,
        });
    })
    .await
}

#[tokio::test]
async fn a_settlement_takes_everything_above_the_minimum_and_again_without_a_key() {
    let ivy = with_destination().await;
    let receiver = Receiver::start(&[]).await;
    ivy.subscribe(&receiver, &["payout_created", "payout_updated", "payout.initiated"]);
    let lost = FaultRule::on("ivy.payout_available_balances", FaultAction::DropAfterEffect).times(1);
    ivy.bench.control().add_fault(lost);
    assert_eq!(
        ivy.try_call("beneficiary-payout/create", &json!({}), Some("k")).await,
        None
    );
    let made = ivy.call_as("k", "beneficiary-payout/create", &json!({})).await.ok();
    let rows = made.as_array().unwrap();
    rows.iter().for_each(|row| assert_shape(row, SETTLEMENT));
    let amounts: Vec<String> = rows
        .iter()
        .map(|row| format!("{} {}", row["amount"], row["currency"]))
        .collect();
    assert_eq!(amounts, [r#"900 "EUR""#, r#"400 "GBP""#], "coins do not go to a bank");
    let balances = [
        ivy.bench.balance("Ivy EUR"),
        ivy.bench.balance("Ivy GBP"),
        ivy.bench.balance("Ivy USDC"),
    ];
    assert_eq!(balances, ["100.00", "100.00", "200.000000"]);
    ivy.bench.pass(50);
    ivy.bench.pass(200);
    let told = receiver.count(6).await;
    let statuses: Vec<Json> = told
        .iter()
        .map(|told| told.envelope()["payload"]["status"].clone())
        .collect();
    for status in ["pending", "in_transit", "paid"] {
        assert_eq!(statuses.iter().filter(|told| **told == status).count(), 2);
    }
    assert_eq!(ivy.call("beneficiary-payout/create", &json!({})).await.ok(), json!([]));
    // An order that is paid now would leave with the next one, whoever asks for it.
    ivy.bench.assert_balanced();
    let nowhere = Ivy::start().await;
    nowhere
        .call("beneficiary-payout/create", &json!({}))
        .await
        .refused(400, "VALIDATION");
}

#[tokio::test]
async fn the_demo_settles_to_the_treasury_account_at_the_other_provider() {
    let ivy = Ivy::with(|config| *config = IvyConfig::demo()).await;
    ivy.call("beneficiary-payout/create", &json!({})).await.ok();
    ivy.bench.pass(50);
    ivy.bench.pass(200);
    assert_eq!(ivy.bench.balance("Ivy EUR"), "0.00");
    assert_eq!(ivy.bench.balance("Treasury EUR"), "270000.00");
    let deposits = ivy.bench.get("/v1/deposits").await.ok();
    assert_eq!(deposits["data"][0]["amount"], "20000.00");
    ivy.bench.assert_balanced();
}
