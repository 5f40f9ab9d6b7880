//! What processors report and hand over: only with split, report and funds is money on an account. The feed is behind.

use std::collections::BTreeMap;

use bursar::simulator::control::NewDeposit;
use bursar::simulator::ledger::Place;
use serde_json::{Value as Json, json};

use super::{BENEFICIARY, MARKETPLACE, Payaut, SELLER, SPLITS, bank, text};

/// What is in each kind of place, in cents.
fn places(payaut: &Payaut) -> BTreeMap<&'static str, i128> {
    let mut sums = BTreeMap::new();
    for (place, amount) in payaut.bench.control().ledger().places {
        let name = match place {
            Place::Payer => "payer",
            Place::Psp => "psp",
            Place::Pending(_) => "pending",
            Place::Marketplace => "marketplace",
            Place::Reserved(_) => "reserved",
            _ => continue,
        };
        if !amount.is_zero() && amount.currency().code() == "EUR" {
            *sums.entry(name).or_default() += amount.minor();
        }
    }
    sums
}

#[tokio::test]
async fn money_comes_with_split_report_and_funds_in_any_order() {
    let check = async |steps: [&str; 2]| {
        let payaut = Payaut::start().await;
        let code = payaut.made("order-1").await;
        assert_eq!(
            places(&payaut),
            BTreeMap::from([("marketplace", 50_000)]),
            "a split moves nothing"
        );
        payaut.advance(&code, steps[0]);
        assert_eq!(payaut.balance(SELLER).await, 10_000);
        let waits = if steps[0] == "reported" { "psp" } else { "pending" };
        let expected = [("marketplace", 50_000), ("payer", -10_000), (waits, 10_000)];
        assert_eq!(places(&payaut), BTreeMap::from(expected));
        payaut.bench.assert_balanced();
        payaut.advance(&code, steps[1]);
        assert_eq!(
            (payaut.balance(SELLER).await, payaut.balance(MARKETPLACE).await),
            (19_000, 51_000)
        );
        assert_eq!(
            places(&payaut),
            BTreeMap::from([("marketplace", 51_000), ("payer", -10_000)])
        );
        payaut.bench.assert_balanced();
        let again = payaut
            .bench
            .control()
            .advance(uuid::Uuid::parse_str(&code).unwrap(), "reconciled", None);
        assert!(again.is_err(), "once");
    };
    check(["reported", "funded"]).await;
    check(["funded", "reported"]).await;
}

#[tokio::test]
async fn funds_without_a_split_wait_for_it() {
    let payaut = Payaut::start().await;
    let control = payaut.bench.control();
    control
        .create_deposit(&NewDeposit::new(MARKETPLACE, "100.00", "psp-order-1"))
        .unwrap();
    assert_eq!(payaut.balance(MARKETPLACE).await, 50_000);
    let divisions = payaut.get("v2/merchants/divisionInfos").await.ok();
    assert_eq!(
        divisions[0]["unallocatedBalance"],
        json!([{ "currency": "EUR", "amount": 10_000 }])
    );
    payaut.bench.pass(60_000);
    assert_eq!(payaut.seen("psp-order-1").await, ["PAYMENT pending_split"]);
    payaut.made("order-1").await;
    assert_eq!(payaut.balance(SELLER).await, 19_000, "both are there now");
    payaut.bench.pass(60_000);
    assert_eq!(payaut.seen("psp-order-1").await, ["PAYMENT reconciled"], "one payment");
    payaut.bench.assert_balanced();
}

#[tokio::test]
async fn funds_find_their_split_by_reference_and_amount() {
    let payaut = Payaut::start().await;
    let control = payaut.bench.control();
    payaut.made("order-1").await;
    control
        .create_deposit(&NewDeposit::new(MARKETPLACE, "99.99", "psp-order-1"))
        .unwrap();
    assert_eq!(payaut.balance(SELLER).await, 10_000, "too little is another payment");
    let shown = control
        .create_deposit(&NewDeposit::new(MARKETPLACE, "100.00", "psp-order-1"))
        .unwrap();
    assert_eq!(control.resource(shown).unwrap()["status"], "reconciled");
    assert_eq!(payaut.balance(SELLER).await, 19_000);
    payaut.bench.assert_balanced();
}

#[tokio::test]
async fn what_comes_from_another_provider_has_no_report() {
    let payaut = Payaut::with(|config| config.collection_address = Some(bank("Payaut", BENEFICIARY))).await;
    let code = payaut.made("order-1").await;
    payaut.bench.pay("100.00", "psp-order-1").await;
    payaut.bench.pass(50);
    payaut.bench.pass(200);
    assert_eq!(payaut.balance(SELLER).await, 10_000);
    payaut.advance(&code, "reported");
    assert_eq!(payaut.balance(SELLER).await, 19_000);
    assert_eq!(
        places(&payaut),
        BTreeMap::from([("marketplace", 51_000)]),
        "nothing is made"
    );
    payaut.bench.assert_balanced();
}

#[tokio::test]
async fn the_feed_is_a_minute_behind_rows_and_statuses_alike() {
    let payaut = Payaut::start().await;
    let code = payaut.made("order-1").await;
    payaut.bench.pass(59_999);
    assert!(payaut.seen("psp-order-1").await.is_empty());
    payaut.bench.pass(1);
    assert_eq!(payaut.seen("psp-order-1").await, ["PAYMENT pending_settlement"]);
    payaut.advance(&code, "reconciled");
    assert_eq!(payaut.balance(SELLER).await, 19_000, "the balance is not behind");
    payaut.bench.pass(59_999);
    assert_eq!(payaut.seen("psp-order-1").await, ["PAYMENT pending_settlement"]);
    payaut.bench.pass(1);
    assert_eq!(payaut.seen("psp-order-1").await, ["PAYMENT reconciled"]);
    let feed = async |filter: &str| {
        payaut.get(&format!("v2/transactions?{filter}")).await.ok()["items"]
            .as_array()
            .unwrap()
            .len()
    };
    assert_eq!(feed("status=reconciled&type=PAYMENT").await, 1);
    assert_eq!(feed("status=pending_split").await, 0);
    assert_eq!(feed("query=ORDER").await, 1, "free text");
    assert_eq!(feed("from=2026-01-01&to=2026-01-01").await, 1);
    assert_eq!(feed("from=2026-01-02").await, 0);
    assert_eq!(payaut.get("v2/transactions?status=RECONCILED").await.status, 400);
}

#[tokio::test]
async fn a_chargeback_is_the_marketplaces() {
    let payaut = Payaut::start().await;
    let code = payaut.settled("order-1").await;
    payaut.advance(&code, "chargeback");
    assert_eq!(
        (payaut.balance(SELLER).await, payaut.balance(MARKETPLACE).await),
        (19_000, 41_000)
    );
    payaut.bench.pass(60_000);
    assert_eq!(
        payaut.seen("psp-order-1").await,
        ["PAYMENT reconciled", "CHARGEBACK reconciled"]
    );
    payaut.bench.assert_balanced();
}

#[tokio::test]
async fn the_exponents_are_the_providers_own() {
    let payaut = Payaut::with(|config| {
        config.currencies = ["EUR", "JPY", "BHD", "KWD", "CLP"].map(str::to_owned).to_vec();
    })
    .await;
    let check = async |currency: &str, reference: &str, booked: &str| {
        let mut body = payaut.split(reference);
        body["currency"] = json!(currency);
        let made = payaut.post(SPLITS, &body).await;
        assert_eq!(made.status, 201, "{currency}: {}", made.json());
        assert_eq!(made.json()["totalAmount"], 10_000, "{currency}");
        payaut.advance(&text(&made.json(), "code"), "reconciled");
        let ledger = payaut.bench.control().ledger();
        let account = Place::Account(payaut.bench.account(SELLER));
        let there = ledger
            .places
            .iter()
            .find(|(place, amount)| *place == account && amount.currency().code() == currency);
        assert_eq!(there.unwrap().1.to_string(), booked);
        let balance = payaut
            .get(&format!("v1/fund/balance/{}", payaut.account(SELLER)))
            .await
            .ok();
        let shown = json!({ "currency": currency, "amount": 9_000 });
        assert!(balance["amounts"].as_array().unwrap().contains(&shown), "{balance}");
    };
    check("JPY", "order-jpy", "JPY 9,000").await;
    check("BHD", "order-bhd", "BHD 9.000").await;
    // Three decimals by ISO 4217, two here.
    check("KWD", "order-kwd", "KWD 90.000").await;
    // None by ISO 4217, two here.
    check("CLP", "order-clp", "CLP 90").await;
    payaut.bench.assert_balanced();
}

#[tokio::test]
async fn pending_is_what_is_split_and_has_not_come() {
    let payaut = Payaut::start().await;
    payaut.made("order-1").await;
    let code = payaut.made("order-2").await;
    let pending = async || payaut.get("v2/merchants/divisionInfos").await.ok()[0]["pendingBalance"].clone();
    let euros = |cents: u64| -> Json { json!([{ "currency": "EUR", "amount": cents }]) };
    assert_eq!(pending().await, euros(2_000));
    payaut.advance(&code, "reconciled");
    assert_eq!(pending().await, euros(1_000));
}
