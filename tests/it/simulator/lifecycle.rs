//! Lifecycles: which state follows which, what the books say at each, and which events are left.

use bursar::simulator::config::{Advance, DuplicateReturn, InsufficientFunds, QuoteId};
use bursar::simulator::control::{ControlError, NewDeposit};
use bursar::simulator::resources::Failure;
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::bench::{Bench, id_of};

impl Bench {
    async fn status(&self, what: &str, id: Uuid) -> String {
        let resource = self.get(&format!("/v1/{what}/{id}")).await.ok();
        resource["status"].as_str().unwrap().to_owned()
    }

    fn event_types(&self) -> Vec<String> {
        let events = self.control().events();
        let kinds = events
            .iter()
            .map(|event| event["event_type"].as_str().unwrap().to_owned());
        kinds.collect()
    }
}

fn manual(config: &mut bursar::simulator::config::SimulatorConfig) {
    config.lifecycle.advance = Advance::Manual;
}

#[tokio::test]
async fn a_payout_is_reserved_then_paid() {
    let bench = Bench::with(|config| config.lifecycle.payout_returned_ms = Some(60_000)).await;
    let id = bench.pay("1000.50", "INV-1").await;
    assert_eq!(bench.balance("Treasury EUR"), "248999.50", "set aside at once");
    assert_eq!(bench.status("payouts", id).await, "pending");
    bench.pass(250);
    assert_eq!(bench.status("payouts", id).await, "paid");
    assert_eq!(
        bench.event_types(),
        ["payout.created", "payout.initiated", "payout.paid"]
    );
    bench.pass(60_000);
    assert_eq!(bench.status("payouts", id).await, "returned");
    assert_eq!(bench.event_types().len(), 3, "the provider has no event for it");
    assert_eq!(bench.balance("Treasury EUR"), "250000.00");
    bench.assert_balanced();
}

#[tokio::test]
async fn a_failed_payout_gives_the_money_back() {
    let bench = Bench::with(manual).await;
    let id = bench.pay("1000.50", "INV-1").await;
    bench.pass(86_400_000);
    assert_eq!(bench.status("payouts", id).await, "pending", "nothing moves by itself");
    let failure = Failure::new("account_closed", "the account is closed", false);
    let shown = bench.control().advance(id, "failed", Some(failure)).unwrap();
    let expected = json!({ "code": "account_closed", "message": "the account is closed", "retry": false });
    assert_eq!(shown["failure"], expected);
    assert_eq!(bench.get(&format!("/v1/payouts/{id}")).await.ok(), shown);
    assert_eq!(bench.balance("Treasury EUR"), "250000.00");
    let again = bench.control().advance(id, "paid", None);
    assert!(matches!(again, Err(ControlError::Conflict(_))), "{again:?}");
    let unknown = Failure::new("bored", "", false);
    assert!(matches!(
        bench.control().advance(id, "failed", Some(unknown)),
        Err(ControlError::Invalid(_))
    ));
    assert!(matches!(
        bench.control().advance(Uuid::nil(), "paid", None),
        Err(ControlError::NotFound(_))
    ));
    bench.assert_balanced();
}

#[tokio::test]
async fn too_little_money_fails_later_or_is_refused_as_the_setting_says() {
    let bench = Bench::demo().await;
    let id = bench.pay("250000.01", "INV-1").await;
    assert_eq!(bench.balance("Treasury EUR"), "250000.00");
    bench.pass(250);
    let payout = bench.get(&format!("/v1/payouts/{id}")).await.ok();
    assert_eq!(
        (&payout["status"], &payout["failure"]["code"]),
        (&json!("failed"), &json!("insufficient_funds"))
    );
    bench.assert_balanced();
    let bench = Bench::with(|config| config.payouts.insufficient_funds = InsufficientFunds::Refuse).await;
    let body = bench.payout("250000.01", "INV-1");
    bench.post("/v1/payouts", &body).await.refused(409, "conflict");
    assert!(bench.control().effects().is_empty());
}

async fn to_own_account(bench: &Bench, amount: &str) -> Uuid {
    let account = bench
        .get(&format!("/v1/accounts/{}", bench.account("Operating DE")))
        .await
        .ok();
    let mut body = bench.payout(amount, "SWEEP 1");
    body["destination"] = account["financial_addresses"][0].clone();
    id_of(&bench.post("/v1/payouts", &body).await.ok())
}

#[tokio::test]
async fn a_payout_to_an_own_account_arrives_there_as_a_deposit() {
    let bench = Bench::demo().await;
    let id = to_own_account(&bench, "500.00").await;
    bench.pass(250);
    assert_eq!(bench.status("payouts", id).await, "paid");
    assert_eq!(bench.balance("Treasury EUR"), "249500.00");
    assert_eq!(bench.balance("Operating DE"), "48750.00");
    let deposit = bench.get("/v1/deposits").await.ok()["data"][0].clone();
    assert_eq!(deposit["amount"], "500.00");
    assert_eq!(deposit["bank_statement_reference"], "SWEEP 1");
    assert_eq!(deposit["rail"], "internal");
    assert_eq!(
        deposit["destination_account_id"],
        bench.account("Operating DE").to_string()
    );
    assert_eq!(
        bench
            .event_types()
            .iter()
            .filter(|kind| *kind == "deposit.received")
            .count(),
        1
    );
    assert!(bench.control().advance(id, "returned", None).is_err());
    let back = bench
        .post("/v1/returns", &json!({ "deposit_id": deposit["id"] }))
        .await
        .ok();
    bench.pass(250);
    assert_eq!(bench.status("returns", id_of(&back)).await, "paid");
    assert_eq!(bench.balance("Treasury EUR"), "250000.00", "back where it came from");
    assert_eq!(bench.balance("Operating DE"), "48250.00");
    bench.assert_balanced();
}

#[tokio::test]
async fn a_frozen_account_neither_sends_nor_receives() {
    let bench = Bench::demo().await;
    let freeze = |label: &str| format!("/v1/accounts/{}/freeze", bench.account(label));
    let id = to_own_account(&bench, "500.00").await;
    bench
        .send("POST", &freeze("Operating DE"), &[], None)
        .await
        .unwrap()
        .ok();
    bench.pass(250);
    let payout = bench.get(&format!("/v1/payouts/{id}")).await.ok();
    assert_eq!(
        (&payout["status"], &payout["failure"]["code"]),
        (&json!("failed"), &json!("account_blocked"))
    );
    assert_eq!(bench.balance("Treasury EUR"), "250000.00");
    bench
        .send("POST", &freeze("Treasury EUR"), &[], None)
        .await
        .unwrap()
        .ok();
    let body = bench.payout("1.00", "INV-1");
    bench.post("/v1/payouts", &body).await.refused(409, "conflict");
    bench.assert_balanced();
}

fn sale(bench: &Bench, amount: &str) -> Json {
    json!({
        "source_account_id": bench.account("USDC wallet"),
        "target_account_id": bench.account("Treasury EUR"),
        "source_amount": amount,
        "metadata": { "bursar": "r1" },
    })
}

#[tokio::test]
async fn a_conversion_sells_and_buys_at_its_quote() {
    let bench = Bench::demo().await;
    let query = "/v1/quotes/indicative?source_currency=USDC&target_currency=EUR&source_amount=1000";
    let indicative = bench.get(query).await.ok();
    let conversion = bench.post("/v1/conversions", &sale(&bench, "1000")).await.ok();
    let id = id_of(&conversion);
    assert_eq!(conversion["source_amount"], "1000.000000");
    assert_eq!(conversion["metadata"], json!({ "bursar": "r1" }));
    assert_eq!(bench.balance("USDC wallet"), "39000.000000");
    assert_eq!(bench.balance("Treasury EUR"), "250000.00");
    bench.pass(300);
    let done = bench.get(&format!("/v1/conversions/{id}")).await.ok();
    assert_eq!(done["status"], "completed");
    let quote = bench
        .get(&format!("/v1/quotes/{}", done["quote_id"].as_str().unwrap()))
        .await
        .ok();
    assert_eq!(quote["status"], "completed");
    assert_eq!(quote["target_amount"], indicative["target_amount"]);
    assert_eq!(quote["exchange_rate"], indicative["rate"]);
    // 1000 x 0.9998 / 1.085 x 0.999, cut to the cent.
    assert_eq!(quote["target_amount"], "920.55");
    assert_eq!(bench.balance("Treasury EUR"), "250920.55");
    assert_eq!(bench.event_types(), ["conversion.created", "conversion.completed"]);
    bench
        .post("/v1/conversions", &sale(&bench, "9.999999"))
        .await
        .refused(400, "parameter_invalid");
    bench.assert_balanced();
}

#[tokio::test]
async fn a_failed_conversion_gives_the_money_back() {
    let bench = Bench::with(manual).await;
    let id = id_of(&bench.post("/v1/conversions", &sale(&bench, "1000")).await.ok());
    let failure = Failure::new("unknown", "no liquidity", true);
    let shown = bench.control().advance(id, "failed", Some(failure)).unwrap();
    assert_eq!(shown["failure"], json!({ "message": "no liquidity" }));
    assert_eq!(bench.balance("USDC wallet"), "40000.000000");
    bench.assert_balanced();
}

#[tokio::test]
async fn when_a_conversion_names_its_quote_is_a_setting() {
    let check = async |setting, at_creation: bool, at_completion: bool| {
        let bench = Bench::with(|config| config.conversions.quote_id = setting).await;
        let created = bench.post("/v1/conversions", &sale(&bench, "1000")).await.ok();
        bench.pass(300);
        let done = bench.get(&format!("/v1/conversions/{}", id_of(&created))).await.ok();
        let named = (created["quote_id"].is_string(), done["quote_id"].is_string());
        assert_eq!(named, (at_creation, at_completion), "{setting:?}");
    };
    check(QuoteId::AtCreation, true, true).await;
    check(QuoteId::AtCompletion, false, true).await;
    check(QuoteId::Never, false, false).await;
}

#[tokio::test]
async fn a_return_sends_the_whole_deposit_back_once() {
    let bench = Bench::with(manual).await;
    let deposit = NewDeposit::new("Operating DE", "80.00", "INV-7");
    let deposit = bench.control().create_deposit(&deposit).unwrap();
    assert_eq!(bench.balance("Operating DE"), "48330.00");
    let body = json!({ "deposit_id": deposit });
    let id = id_of(&bench.post("/v1/returns", &body).await.ok());
    assert_eq!(bench.status("deposits", deposit).await, "in_return");
    bench.post("/v1/returns", &body).await.refused(409, "conflict");
    bench.control().advance(id, "failed", None).unwrap();
    assert_eq!(bench.status("deposits", deposit).await, "return_failed");
    assert_eq!(bench.balance("Operating DE"), "48330.00");
    let id = id_of(&bench.post("/v1/returns", &body).await.ok());
    bench.control().advance(id, "paid", None).unwrap();
    assert_eq!(bench.status("deposits", deposit).await, "returned");
    assert_eq!(bench.balance("Operating DE"), "48250.00");
    bench.control().advance(id, "returned", None).unwrap();
    assert_eq!(bench.status("deposits", deposit).await, "return_returned");
    assert_eq!(bench.balance("Operating DE"), "48330.00");
    let shown = bench.get(&format!("/v1/deposits/{deposit}")).await.ok();
    assert_eq!(shown["returns"].as_array().unwrap().len(), 2);
    let kinds = [
        "return.initiated",
        "return.failed",
        "return.initiated",
        "return.paid",
        "return.returned",
    ];
    assert_eq!(bench.event_types()[1..], kinds);
    bench.assert_balanced();
}

#[tokio::test]
async fn a_provider_that_lets_a_deposit_be_returned_twice_pays_twice() {
    let bench = Bench::with(|config| config.duplicate_return = DuplicateReturn::New).await;
    let deposit = NewDeposit::new("Operating DE", "80.00", "INV-7");
    let deposit = bench.control().create_deposit(&deposit).unwrap();
    let body = json!({ "deposit_id": deposit });
    bench.post("/v1/returns", &body).await.ok();
    bench.post("/v1/returns", &body).await.ok();
    assert_eq!(bench.balance("Operating DE"), "48170.00");
    assert_eq!(bench.control().effects().len(), 2);
    bench.assert_balanced();
}
