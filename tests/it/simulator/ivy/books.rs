//! Balances, transactions, and money that goes from one provider to the other.

use bursar::simulator::config::ivy::UnixTimes;
use serde_json::{Value as Json, json};

use super::shapes::{Form, Shape, assert_shape};
use super::{Ivy, iban, payout};
use crate::simulator::bench::id_of;

const LINE: Shape = &[
    ("id", Form::Uuid),
    ("amount", Form::Decimal),
    (
        "balance",
        Form::Of(&[("before", Form::Decimal), ("after", Form::Decimal)]),
    ),
    ("bankStatementReference", Form::Text),
    ("creditor", Form::Object),
    ("debtor", Form::Object),
    ("currency", Form::Text),
    ("side", Form::Word(&["credit", "debit"])),
    ("transactionDate", Form::Number),
    ("paymentProcessId", Form::Text),
    ("paymentProcessType", Form::Text),
];

/// The first second of 2026.
const START: i64 = 1_767_225_600;

#[tokio::test]
async fn balances_are_told_by_account_or_currency() {
    let ivy = Ivy::start().await;
    let check = async |body: Json, expected: Json| {
        assert_eq!(ivy.call("balance/retrieve", &body).await.ok()["balances"], expected);
    };
    ivy.pay("100.50").await;
    let euros = json!([{ "available": serde_json::from_str::<Json>("899.5").unwrap(), "currency": "EUR" }]);
    check(json!({ "currency": "EUR" }), euros.clone()).await;
    check(json!({ "accountId": ivy.bench.account("Ivy EUR") }), euros).await;
    let both = json!({ "accountId": ivy.bench.account("Ivy GBP"), "currency": "EUR" });
    check(both, json!([{ "available": 500, "currency": "GBP" }])).await;
    ivy.call("balance/retrieve", &json!({ "currency": "USD" }))
        .await
        .refused(404, "NOT_FOUND");
    let other = json!({ "accountId": ivy.bench.account("Treasury EUR") });
    ivy.call("balance/retrieve", &other).await.refused(404, "NOT_FOUND");
}

#[tokio::test]
async fn every_movement_leaves_a_line_that_links_to_its_cause() {
    let ivy = Ivy::with(|config| config.transaction_page = 2).await;
    let control = ivy.bench.control();
    let paid = ivy.pay("100.50").await;
    ivy.bench.pass(10_000);
    let failed = ivy.pay("10").await;
    control
        .advance(uuid::Uuid::parse_str(&failed).unwrap(), "failed", None)
        .unwrap();
    let span = json!({ "from": START, "to": START + 11 });
    let first = ivy.call("transaction/list", &span).await.ok();
    let lines = first["data"].as_array().unwrap();
    lines.iter().for_each(|line| assert_shape(line, LINE));
    assert_eq!(lines[0]["paymentProcessId"], json!(paid));
    assert_eq!(lines[0]["paymentProcessType"], "payoutv2");
    assert_eq!(lines[0]["balance"], json!({ "before": "1000.00", "after": "899.50" }));
    assert_eq!(first["paging"]["hasNext"], true);
    let mut next = span.clone();
    next["afterCursor"] = first["paging"]["nextCursor"].clone();
    let second = ivy.call("transaction/list", &next).await.ok();
    assert_eq!(second["data"][0]["side"], "credit");
    assert_eq!(second["data"][0]["balance"]["after"], "899.50");
    assert_eq!(second["paging"], json!({ "hasNext": false }));
    let until = json!({ "from": START, "to": START + 10 });
    let data = ivy.call("transaction/list", &until).await.ok()["data"].clone();
    assert_eq!(data.as_array().unwrap().len(), 1, "the end is not in it");
    let refused = ivy.call("transaction/list", &json!({ "from": START })).await;
    assert_eq!(refused.refused(400, "VALIDATION")["param"], "to");
    control.configure(|config| config.ivy.unix_times = UnixTimes::Milliseconds);
    let seconds = ivy.call("transaction/list", &span).await.ok();
    assert_eq!(seconds["data"], json!([]), "the other unit finds nothing");
}

#[tokio::test]
async fn money_between_the_providers_arrives_in_the_same_step() {
    let ivy = Ivy::start().await;
    let bench = &ivy.bench;
    let accounts = bench.get("/v1/accounts?limit=100").await.ok();
    let accounts = accounts["data"].as_array().unwrap();
    let own = accounts
        .iter()
        .find(|account| account["label"] == "Operating DE")
        .unwrap();
    let mut body = payout("100");
    body["destination"] = json!({
        "type": "beneficiary",
        "financialAddress": iban(own["financial_addresses"][0]["iban"].as_str().unwrap()),
    });
    ivy.call("payout/create", &body).await.ok();
    assert_eq!(bench.balance("Operating DE"), "48250.00");
    bench.pass(250);
    assert_eq!(
        (bench.balance("Operating DE"), bench.balance("Ivy EUR")),
        ("48350.00".into(), "900.00".into())
    );
    let deposits = bench.get("/v1/deposits").await.ok();
    let deposit = &deposits["data"][0];
    assert_eq!(deposit["bank_statement_reference"], "INV-1");
    let ours = deposit["source"]["iban"].as_str().unwrap().to_owned();

    // And back: by the bank's own return, and by a payout.
    let returned = json!({ "deposit_id": deposit["id"] });
    bench.post("/v1/returns", &returned).await.ok();
    let mut body = bench.payout("50.00", "INV-2");
    body["destination"]["iban"] = json!(ours);
    let paid = id_of(&bench.post("/v1/payouts", &body).await.ok());
    bench.pass(250);
    assert_eq!(bench.get(&format!("/v1/payouts/{paid}")).await.ok()["status"], "paid");
    assert_eq!(
        (bench.balance("Operating DE"), bench.balance("Ivy EUR")),
        ("48250.00".into(), "1050.00".into())
    );
    bench.assert_balanced();
}
