//! The control over HTTP, settings as text, determinism, and stopping.

use std::sync::Arc;

use bursar::base::clock::SystemClock;
use bursar::simulator::Simulator;
use bursar::simulator::config::{AccountSeed, SimulatorConfig, SimulatorError};
use serde_json::{Value as Json, json};

use super::bench::{Bench, id_of};
use super::http::send;

#[tokio::test]
async fn the_control_works_over_http() {
    let bench = Bench::demo().await;
    let account = json!({ "label": "Pounds", "currency": "GBP", "opening_balance": "10.00", "holder": "Nordlicht" });
    let account = bench.post("/_sim/accounts", &account).await.ok();
    assert_eq!(account["financial_addresses"][0]["type"], "sort_code");
    let deposit = json!({
        "account": "Pounds", "amount": "5.25", "currency": "GBP", "bank_statement_reference": "INV-9",
        "source": { "type": "sort_code", "sort_code": "040004", "account_number": "12345678", "account_holder_name": "A" },
    });
    let deposit = bench.post("/_sim/deposits", &deposit).await.ok();
    assert_eq!(
        (&deposit["rail"], &deposit["status"]),
        (&json!("faster_payments"), &json!("received"))
    );
    bench
        .post("/_sim/settings", &json!({ "lifecycle": { "advance": "manual" } }))
        .await
        .ok();
    let id = bench.pay("10.00", "INV-1").await;
    let failure = json!({ "code": "system_error", "message": "broken", "retry": true });
    let advance = json!({ "id": id, "status": "failed", "failure": failure });
    assert_eq!(bench.post("/_sim/advance", &advance).await.ok()["failure"], failure);
    assert_eq!(bench.post("/_sim/advance", &advance).await.status, 409);
    let fault = json!({ "requests": [{ "endpoint": "create_payout", "nth": 1, "action": { "type": "refuse" } }] });
    assert_eq!(bench.post("/_sim/faults", &fault).await.ok()["requests"][0]["fired"], 0);
    assert_eq!(
        bench.try_post("/v1/payouts", &bench.payout("1.00", "x"), None).await,
        None
    );
    assert_eq!(bench.get("/_sim/faults").await.ok()["requests"][0]["fired"], 1);
    bench.send("DELETE", "/_sim/faults", &[], None).await.unwrap().ok();
    let subscription = bench
        .post("/_sim/subscriptions", &json!({ "url": "http://127.0.0.1:9/" }))
        .await
        .ok();
    bench
        .get(&format!("/v1/webhook_subscriptions/{}", id_of(&subscription)))
        .await
        .ok();
    let ledger = bench.get("/_sim/ledger").await.ok();
    assert_eq!(ledger["invariant_ok"], true);
    assert_eq!(ledger["effects"][0]["amount"], "10.00");
    assert_eq!(ledger["effects"][0]["status"], "failed");
    let pounds = ledger["balances"]
        .as_array()
        .unwrap()
        .iter()
        .find(|held| held["label"] == "Pounds")
        .unwrap();
    assert_eq!(
        (&pounds["amount"], &pounds["currency"]),
        (&json!("15.25"), &json!("GBP"))
    );
    assert_eq!(bench.get("/_sim/requests").await.ok()["create_payout"]["total"], 2);
    assert!(!bench.get("/_sim/movements").await.ok().as_array().unwrap().is_empty());
    assert_eq!(bench.get("/_sim/effects").await.ok(), ledger["effects"]);
    let wrong = bench
        .post("/_sim/deposits", &json!({ "account": "Pounds", "amount": "1.234" }))
        .await;
    assert_eq!(wrong.status, 400);
    bench.post("/_sim/reset", &json!({})).await.ok();
    assert_eq!(bench.get("/_sim/effects").await.ok(), json!([]));
    assert_eq!(bench.control().account("Pounds"), None);
}

#[tokio::test]
async fn the_same_seed_gives_the_same_ids() {
    let run = async |seed: u64| {
        let bench = Bench::with(|config| config.seed = seed).await;
        bench.get("/v1/accounts").await.ok();
        let id = bench.pay("1.00", "x").await;
        (id, bench.get("/v1/accounts?limit=100").await.ok())
    };
    let (first, again, other) = (run(7).await, run(7).await, run(8).await);
    assert_eq!(first, again);
    assert_ne!(first.0, other.0);
    assert_ne!(first.1, other.1);
}

#[test]
fn settings_are_read_strictly_with_defaults() {
    let text = json!({
        "seed": 3,
        "lifecycle": { "advance": "manual" },
        "idempotency": { "window_ms": 1000, "body_comparison": "canonical" },
        "accounts": [{ "label": "Main", "currency": "EUR", "opening_balance": "5.00" }],
        "conversions": { "rates": { "EUR/USD": "1.1" }, "spread": "0" },
        "faults": [{ "endpoint": "create_payout", "action": { "type": "status", "status": 503, "when": "after" } }],
    });
    let config: SimulatorConfig = serde_json::from_value(text).unwrap();
    assert_eq!(
        (config.seed, config.api_keys.len(), config.webhooks.timeout_ms),
        (3, 1, 10_000)
    );
    let again: SimulatorConfig = serde_json::from_value(json!(config)).unwrap();
    assert_eq!(json!(again), json!(config));
    assert!(serde_json::from_value::<SimulatorConfig>(json!({ "sead": 3 })).is_err());
}

#[tokio::test]
async fn settings_that_make_no_sense_are_refused() {
    let check = async |change: fn(&mut SimulatorConfig), expected: &str| {
        let mut config = SimulatorConfig::demo();
        change(&mut config);
        match Simulator::start(config, Arc::new(SystemClock::new())).await {
            Err(SimulatorError::Config(message)) => assert!(message.contains(expected), "{message}"),
            Err(other) => panic!("{other}"),
            Ok(_) => panic!("started: {expected}"),
        }
    };
    check(
        |config| config.accounts.push(config.accounts[0].clone()),
        "Treasury EUR",
    )
    .await;
    check(
        |config| config.accounts[0].opening_balance = Some("1.001".to_owned()),
        "decimals",
    )
    .await;
    check(
        |config| config.accounts[0].program = Some("none".to_owned()),
        "no program",
    )
    .await;
    check(|config| config.webhook_secret = "plain".to_owned(), "whsec_").await;
    check(
        |config| config.api_keys[0].api_version = "2030-01-01".to_owned(),
        "2030-01-01",
    )
    .await;
}

#[tokio::test]
async fn a_stopped_simulator_frees_its_port() {
    let bench = Bench::demo().await;
    let address = bench.running.address;
    let control = bench.control().clone();
    bench.running.stop().await;
    assert_eq!(send(address, "GET", "/v1/scopes", &[], None).await, None);
    let euro = AccountSeed::new(
        "Later",
        bursar::base::money::Currency::from_code("EUR").unwrap(),
        "1.00",
    );
    control.create_account(&euro).unwrap();
    let config = SimulatorConfig {
        listen: address,
        ..SimulatorConfig::demo()
    };
    let again = Simulator::start(config, Arc::new(SystemClock::new())).await.unwrap();
    let reply = send(again.address, "GET", "/v1/scopes", &[], None).await.unwrap();
    assert_eq!(reply.json()["has_more"], Json::Bool(false));
    again.stop().await;
}
