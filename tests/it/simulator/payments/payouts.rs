//! Payouts: the provider's own, by its schedule, and what can become of them.

use bursar::base::money::Currency;
use bursar::simulator::config::AccountSeed;
use bursar::simulator::config::payments::{MerchantSeed, PayoutUnderWay};
use bursar::simulator::ledger::Place;
use bursar::simulator::resources::FinancialAddress;
use serde_json::{Value as Json, json};

use super::{Pay, inside, number, rows, text};
use crate::simulator::bench::{Bench, Receiver};

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

async fn last(pay: &Pay) -> Json {
    rows(&pay.get("/payouts").await.ok())[0].clone()
}

/// Something settled, and its payout just made.
async fn paid_out(pay: &Pay, amount: u64) -> String {
    pay.paid(amount).await;
    pay.bench.pass(500);
    pay.bench
        .control()
        .advance(inside(&pay.account), "paid_out", None)
        .unwrap();
    text(&last(pay).await["id"])
}

#[tokio::test]
async fn the_provider_pays_out_what_is_settled_once_a_day() {
    let pay = Pay::start().await;
    let intent = pay.paid(1_000).await;
    let refund = json!({ "amount": 300 });
    super::made(&pay.post(&format!("/payment_intents/{intent}/refunds"), &refund).await);
    pay.bench.pass(DAY_MS - 1);
    assert_eq!(
        (pay.balance().await, rows(&pay.get("/payouts").await.ok()).len()),
        ((0, 700), 0)
    );
    pay.bench.pass(1);
    let payout = last(&pay).await;
    assert_eq!((&payout["status"], &payout["amount"]), (&json!("created"), &json!(700)));
    assert_eq!(
        (&payout["transaction_count"], &payout["payout_number"]),
        (&json!(2), &json!(1))
    );
    assert_eq!(pay.balance().await, (700, 0), "on its way");
    let lines = rows(
        &pay.get(&format!("/transactions?payout_id={}", text(&payout["id"])))
            .await
            .ok(),
    );
    let sum: i64 = lines.iter().map(|line| number(&line["amount"])).sum();
    assert_eq!((lines.len(), sum), (2, 700));
    pay.bench.pass(250);
    let done = last(&pay).await;
    assert_eq!(
        (&done["status"], &done["settlement_status"]),
        (&json!("completed"), &json!("settled"))
    );
    assert_eq!(pay.balance().await, (0, 0));
    pay.bench.pass(3 * DAY_MS);
    assert_eq!(
        rows(&pay.get("/payouts").await.ok()).len(),
        1,
        "nothing is left to pay out"
    );
    pay.bench.assert_balanced();
}

#[tokio::test]
async fn there_is_no_way_to_ask_for_one() {
    let pay = Pay::start().await;
    let refused = pay.post("/payouts", &json!({ "amount": 1 })).await;
    assert_eq!(
        (refused.status, refused.json()),
        (404, json!({ "message": "Not Found" }))
    );
}

#[tokio::test]
async fn fees_stay_with_the_provider() {
    let pay = Pay::with(|config| {
        config.fee_basis_points = 290;
        config.batch_fee = 25;
    })
    .await;
    let payout = paid_out(&pay, 1_001).await;
    pay.bench.pass(250);
    let shown = pay.get(&format!("/payouts/{payout}")).await.ok();
    let of = |name: &str| number(&shown[name]);
    // 29.029 is 30 for the provider.
    assert_eq!(
        (of("amount"), of("fee_amount"), of("net_amount"), of("batch_fee")),
        (1_001, 55, 946, 25)
    );
    let ledger = pay.bench.control().ledger();
    let held = |wanted| {
        ledger
            .places
            .iter()
            .find(|(place, _)| *place == wanted)
            .map(|(_, held)| held.minor())
    };
    assert_eq!(held(Place::Psp), Some(55));
    pay.bench.assert_balanced();
}

#[tokio::test]
async fn a_payout_can_be_held_fail_be_tried_again_come_back_and_be_given_up() {
    let pay = Pay::with(|config| config.reject_fee = 15).await;
    let payout = paid_out(&pay, 1_000).await;
    pay.advance(&payout, "held");
    pay.bench.pass(10);
    let check = async |status: &str, expected: (i64, i64)| {
        let shown = pay.get(&format!("/payouts/{payout}")).await.ok();
        assert_eq!(
            (shown["status"].as_str(), pay.balance().await),
            (Some(status), expected)
        );
        shown
    };
    check("held", (1_000, 0)).await;
    pay.advance(&payout, "pending");
    pay.advance(&payout, "failed");
    check("failed", (0, 1_000)).await;
    let control = pay.bench.control();
    control.advance(inside(&pay.account), "paid_out", None).unwrap_err();
    pay.advance(&payout, "retried");
    pay.advance(&payout, "completed");
    let shown = check("completed", (0, 0)).await;
    assert_eq!((&shown["reject_fee"], &shown["net_amount"]), (&json!(15), &json!(985)));
    assert_eq!(
        (&shown["payment_attempt_count"], &shown["payment_reject_count"]),
        (&json!(2), &json!(1))
    );
    pay.advance(&payout, "returned");
    let shown = check("returned", (0, 1_000)).await;
    assert!(shown["returned_at"].is_string());
    pay.advance(&payout, "cancelled");
    check("cancelled", (0, 1_000)).await;
    control.advance(inside(&pay.account), "paid_out", None).unwrap();
    assert_eq!(
        (pay.balance().await, &last(&pay).await["payout_number"]),
        ((1_000, 0), &json!(2))
    );
    pay.bench.assert_balanced();
}

#[tokio::test]
async fn a_held_payout_is_not_completed_by_what_was_planned_before() {
    let pay = Pay::start().await;
    let payout = paid_out(&pay, 1_000).await;
    pay.bench.pass(50);
    pay.advance(&payout, "held");
    pay.bench.pass(DAY_MS);
    assert_eq!(pay.get(&format!("/payouts/{payout}")).await.ok()["status"], "held");
}

#[tokio::test]
async fn money_under_way_may_be_called_available() {
    let pay = Pay::with(|config| config.payout_under_way = PayoutUnderWay::Available).await;
    paid_out(&pay, 1_000).await;
    assert_eq!(pay.balance().await, (0, 1_000));
}

#[tokio::test]
async fn a_payout_arrives_at_another_provider_of_this_world() {
    let address = FinancialAddress::Aba {
        routing_number: "021000021".to_owned(),
        account_number: "483920175".to_owned(),
        account_holder_name: "Nordlicht Handels GmbH".to_owned(),
    };
    let bench = Bench::with(|config| {
        let dollars = Currency::from_code("USD").unwrap();
        config.accounts = vec![AccountSeed {
            financial_addresses: vec![address.clone()],
            ..AccountSeed::new("Dollars", dollars, "1.00")
        }];
        config.programs.clear();
        config.payments.accounts = vec![MerchantSeed {
            bank_account: Some(address.clone()),
            opening_balance: Some("30.00".to_owned()),
            ..MerchantSeed::new("Shop")
        }];
    })
    .await;
    bench.pass(DAY_MS);
    bench.pass(250);
    assert_eq!(
        (bench.balance("Dollars"), bench.balance("Shop")),
        ("31.00".to_owned(), "0.00".to_owned())
    );
    let deposits = bench.get("/v1/deposits").await.ok();
    assert_eq!(deposits["data"][0]["bank_statement_reference"], "PAYOUT 1");
    bench.assert_balanced();
}

#[tokio::test]
async fn a_business_sees_its_payouts_and_no_others() {
    let pay = Pay::start().await;
    let payout = paid_out(&pay, 1_000).await;
    let business = text(&last(&pay).await["business_id"]);
    let of = async |business: &str| {
        let headers = [("x-business-id", business)];
        rows(
            &pay.send(("GET", "/businesses/payouts"), &headers, None)
                .await
                .unwrap()
                .ok(),
        )
    };
    assert_eq!(of(&business).await[0]["id"], payout);
    let other = MerchantSeed::shown_id(pay.bench.account("Other shop"));
    let headers = [("x-account-id", other.as_str())];
    let intent = pay
        .send(("POST", "/payment_intents"), &headers, Some(&json!({ "amount": 1 })))
        .await
        .unwrap();
    let business = text(&super::made(&intent)["business_id"]);
    assert!(of(&business).await.is_empty());
    let theirs = pay
        .send(("GET", format!("/payouts/{payout}").as_str()), &headers, None)
        .await
        .unwrap();
    theirs.refused(404, "NOT_FOUND");
}

#[tokio::test]
async fn each_step_of_a_payout_is_told() {
    let pay = Pay::start().await;
    let receiver = Receiver::start(&[]).await;
    let told = [
        "created",
        "pended",
        "completed",
        "returned",
        "retried",
        "failed",
        "cancelled",
    ];
    let names = told.map(|step| format!("v2.payout.{step}"));
    pay.subscribe(&receiver, &names.each_ref().map(String::as_str));
    let payout = paid_out(&pay, 1_000).await;
    let mut count = 1;
    receiver.count(count).await;
    for step in ["pending", "completed", "returned", "retried", "failed", "cancelled"] {
        pay.advance(&payout, step);
        count += 1;
        receiver.count(count).await;
    }
    assert_eq!(receiver.kinds(), names);
}
