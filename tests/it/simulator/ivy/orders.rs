//! Orders and their refunds: the states of the table, in whatever order they come.

use bursar::simulator::config::ivy::DuplicateReference;
use bursar::simulator::control::NewDeposit;
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::shapes::{ORDER, REFUND, assert_shape};
use super::{Ivy, number, payout};
use crate::simulator::bench::{Receiver, id_of};

fn order(amount: &str, reference: &str) -> Json {
    json!({ "amount": number(amount), "currency": "EUR", "referenceId": reference })
}

async fn create(ivy: &Ivy, amount: &str, reference: &str) -> Uuid {
    id_of(&ivy.call("order/create", &order(amount, reference)).await.ok())
}

async fn details(ivy: &Ivy, id: &str) -> Json {
    ivy.call("order/details", &json!({ "id": id })).await.ok()
}

fn plain(id: Uuid) -> String {
    id.simple().to_string()
}

/// An order of 100 that was paid.
async fn paid(ivy: &Ivy) -> String {
    let id = create(ivy, "100", "ORDER-1").await;
    ivy.bench.control().advance(id, "paid", None).unwrap();
    plain(id)
}

#[tokio::test]
async fn a_transfer_with_its_reference_and_amount_pays_an_order() {
    let ivy = Ivy::start().await;
    let receiver = Receiver::start(&[]).await;
    ivy.subscribe(&receiver, &["*"]);
    let created = ivy.call("order/create", &order("100.50", "ORDER-1")).await.ok();
    assert_shape(&created, ORDER);
    assert_eq!(created["status"], "processing");
    let asked = created["destination"]["bankStatementReference"].as_str().unwrap();
    let control = ivy.bench.control();
    let transfer =
        |amount: &str, reference: &str| control.create_deposit(&NewDeposit::new("Ivy EUR", amount, reference));
    transfer("100.50", "something else").unwrap();
    transfer("100.00", asked).unwrap();
    assert_eq!(details(&ivy, "ORDER-1").await["status"], "processing");
    transfer("100.50", &format!("payment {asked}")).unwrap();
    let shown = details(&ivy, "ORDER-1").await;
    assert_shape(&shown, ORDER);
    assert_eq!((&shown["status"], &shown["id"]), (&json!("paid"), &created["id"]));
    assert!(shown["payerFinancialAddress"].is_object() && shown["merchantFinancialAddress"].is_object());
    assert_eq!(ivy.bench.balance("Ivy EUR"), "1301.00");
    receiver.count(4).await;
    let kinds = ["order_created", "deposit.received", "deposit.received", "order_updated"];
    let mut told = receiver.kinds();
    told.sort();
    let mut expected = kinds.to_vec();
    expected.sort_unstable();
    assert_eq!(told, expected);
    ivy.bench.assert_balanced();
}

#[tokio::test]
async fn an_order_goes_only_where_the_table_leads() {
    let ivy = Ivy::start().await;
    let control = ivy.bench.control();
    let check = async |steps: &[(&str, bool)]| {
        let id = create(&ivy, "10", "ORDER").await;
        for (status, possible) in steps {
            let moved = control.advance(id, status, None);
            assert_eq!(moved.is_ok(), *possible, "{status} of {steps:?}: {moved:?}");
        }
    };
    check(&[("waiting_for_payment", true), ("finalizing", true), ("paid", true)]).await;
    check(&[
        ("paid", true),
        ("waiting_for_payment", false),
        ("paid", false),
        ("canceled", false),
    ])
    .await;
    check(&[("waiting_for_payment", true), ("failed", true), ("paid", false)]).await;
    check(&[
        ("finalizing", true),
        ("failed", false),
        ("canceled", true),
        ("paid", false),
    ])
    .await;
    ivy.bench.assert_balanced();
}

#[tokio::test]
async fn an_order_is_found_by_id_or_reference_and_expired_once() {
    let ivy = Ivy::start().await;
    let first = create(&ivy, "10", "ORDER-1").await;
    let second = create(&ivy, "20", "ORDER-1").await;
    assert_eq!(
        details(&ivy, "ORDER-1").await["id"],
        json!(plain(second)),
        "the newest of two"
    );
    assert_eq!(details(&ivy, &plain(first)).await["id"], json!(plain(first)));
    ivy.call("order/details", &json!({ "id": "ORDER-2" }))
        .await
        .refused(404, "NOT_FOUND");
    let expired = ivy.call("order/expire", &json!({ "id": plain(first) })).await.ok();
    assert_eq!(expired["status"], "canceled");
    let again = ivy.call("order/expire", &json!({ "id": plain(first) })).await;
    again.refused(409, "CONFLICT");
    let strict = Ivy::with(|config| config.duplicate_reference = DuplicateReference::Conflict).await;
    create(&strict, "10", "ORDER-1").await;
    strict
        .call("order/create", &order("10", "ORDER-1"))
        .await
        .refused(409, "CONFLICT");
}

#[tokio::test]
async fn an_order_ends_by_itself_when_it_was_given_a_time() {
    let ivy = Ivy::start().await;
    let mut body = order("10", "ORDER-1");
    body["expiresAt"] = json!("1767225660");
    ivy.call("order/create", &body).await.ok();
    ivy.bench.pass(59_999);
    assert_eq!(details(&ivy, "ORDER-1").await["status"], "processing");
    ivy.bench.pass(1);
    assert_eq!(details(&ivy, "ORDER-1").await["status"], "canceled");
    for wrong in [json!("1767225600"), json!(1_767_325_600), json!("soon")] {
        body["expiresAt"] = wrong;
        let refused = ivy.call("order/create", &body).await.refused(400, "VALIDATION");
        assert_eq!(refused["param"], "expiresAt");
    }
}

#[tokio::test]
async fn an_order_is_refunded_in_parts_and_never_over() {
    let ivy = Ivy::start().await;
    let id = paid(&ivy).await;
    let refund = async |amount: &str| {
        let body = json!({ "amount": number(amount), "orderId": id, "bankStatementReference": "REF1" });
        ivy.call("refund/create", &body).await
    };
    refund("100.01").await.refused(400, "VALIDATION");
    let first = refund("40").await.ok();
    assert_shape(&first, REFUND);
    assert_eq!(first["orderId"], json!(id));
    refund("10").await.refused(423, "LOCKED");
    assert_eq!(details(&ivy, &id).await["status"], "in_refund");
    ivy.bench.pass(150);
    let pending = ivy.call("refund/retrieve", &json!({ "id": first["id"] })).await.ok();
    assert_eq!(pending["status"], "pending");
    ivy.bench.pass(150);
    let shown = details(&ivy, &id).await;
    assert_shape(&shown, ORDER);
    assert_eq!(
        (&shown["status"], &shown["refundAmount"]),
        (&json!("partially_refunded"), &json!(40))
    );
    assert_eq!(shown["refunds"][0]["status"], "succeeded");
    refund("60.01").await.refused(400, "VALIDATION");
    refund("60").await.ok();
    ivy.bench.pass(150);
    ivy.bench.pass(150);
    assert_eq!(details(&ivy, &id).await["status"], "refunded");
    assert_eq!(ivy.bench.balance("Ivy EUR"), "1000.00");
    refund("1").await.refused(400, "VALIDATION");
    ivy.bench.assert_balanced();
}

#[tokio::test]
async fn a_refund_that_fails_leaves_the_order_as_it_was() {
    let ivy = Ivy::start().await;
    let receiver = Receiver::start(&[]).await;
    ivy.subscribe(&receiver, &["refund.initiated", "refund.failed", "refund.succeeded"]);
    let id = paid(&ivy).await;
    let body = json!({ "amount": 40, "referenceId": "ORDER-1" });
    let refund = id_of(&ivy.call_as("k", "refund/create", &body).await.ok());
    assert_eq!(id_of(&ivy.call_as("k", "refund/create", &body).await.ok()), refund);
    ivy.bench.control().advance(refund, "failed", None).unwrap();
    let shown = details(&ivy, &id).await;
    assert_eq!(shown["status"], "paid");
    assert!(shown.get("refundAmount").is_none());
    receiver.count(2).await;
    assert_eq!(receiver.kinds(), ["refund.initiated", "refund.failed"]);
    assert_eq!(ivy.bench.balance("Ivy EUR"), "1100.00");
    for (name, value, param) in [
        ("orderId", json!("nobody"), None),
        ("amount", json!(0), Some("amount")),
        (
            "bankStatementReference",
            json!("has spaces"),
            Some("bankStatementReference"),
        ),
    ] {
        let mut wrong = json!({ "amount": 10, "orderId": id });
        wrong[name] = value;
        let reply = ivy.call("refund/create", &wrong).await;
        match param {
            Some(param) => assert_eq!(reply.refused(400, "VALIDATION")["param"], param),
            None => drop(reply.refused(404, "NOT_FOUND")),
        }
    }
    ivy.call("refund/create", &json!({ "amount": 10 }))
        .await
        .refused(400, "VALIDATION");
}

#[tokio::test]
async fn a_payout_can_go_back_to_whoever_paid() {
    let ivy = Ivy::start().await;
    let open = plain(create(&ivy, "10", "ORDER-0").await);
    let id = paid(&ivy).await;
    let mut body = payout("30");
    body["destination"] = json!({ "type": "customer", "orderId": open });
    ivy.call("payout/create", &body).await.refused(400, "VALIDATION");
    body["destination"]["orderId"] = json!(id);
    let made = ivy.call("payout/create", &body).await.ok();
    assert_eq!(made["destination"], details(&ivy, &id).await["payerFinancialAddress"]);
}
