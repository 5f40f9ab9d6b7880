//! Payouts: strict, kept once under a key, listed, led to their end.

use bursar::base::money::Currency;
use bursar::simulator::config::AccountSeed;
use bursar::simulator::config::ivy::{Insufficient, ListOrder, Numbers};
use bursar::simulator::faults::{FaultAction, FaultRule, When};
use bursar::simulator::resources::Failure;
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::shapes::{PAGE, PAYOUT, assert_shape};
use super::{Ivy, iban, number, payout};
use crate::simulator::bench::{BENEFICIARY, Bench};
use crate::simulator::http::send;

async fn retrieve(ivy: &Ivy, id: &str) -> Json {
    ivy.call("payout/retrieve", &json!({ "id": id })).await.ok()
}

fn balance(ivy: &Ivy) -> String {
    ivy.bench.balance("Ivy EUR")
}

#[tokio::test]
async fn a_payout_goes_its_way_and_the_money_with_it() {
    let ivy = Ivy::start().await;
    let created = ivy.call("payout/create", &payout("100.50")).await.ok();
    assert_shape(&created, PAYOUT);
    assert_eq!(created["amount"].to_string(), "100.5");
    assert_eq!(created["destination"], iban(BENEFICIARY));
    assert_eq!(created["metadata"], json!({ "bursar": "op_0001" }));
    assert_eq!(created["status"], "pending");
    assert_eq!(balance(&ivy), "899.50", "set aside at once");
    let id = created["id"].as_str().unwrap();
    ivy.bench.pass(50);
    assert_eq!(retrieve(&ivy, id).await["status"], "pending");
    ivy.bench.pass(200);
    let paid = retrieve(&ivy, id).await;
    assert_shape(&paid, PAYOUT);
    assert_eq!(paid["status"], "paid");
    assert_eq!(paid["transactionId"], created["transactionId"]);
    assert_eq!(balance(&ivy), "899.50");
    ivy.bench.assert_balanced();
    let effects = ivy.bench.control().effects();
    let effect = effects.iter().find(|effect| effect.provider == "ivy").unwrap();
    assert_eq!((effect.kind, effect.status), ("payout", "paid"));
    assert_eq!(effect.metadata["bursar"], "op_0001");
}

#[tokio::test]
async fn what_is_wrong_with_a_payout_is_said_by_its_name() {
    let ivy = Ivy::start().await;
    let check = async |pointer: &str, value: Json, param: &str| {
        let mut body = payout("10");
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        body.pointer_mut(parent).unwrap()[name] = value;
        let refused = ivy.call("payout/create", &body).await.refused(400, "VALIDATION");
        assert_eq!(refused["param"], param, "{body}");
        assert_eq!(refused["category"], "invalid_request_error");
        assert!(refused["docUrl"].is_string());
    };
    let address = "/destination/financialAddress";
    check("/amount", json!("10.00"), "amount").await;
    check("/amount", number("0.009"), "amount").await;
    check("/amount", number("10.001"), "amount").await;
    check("/amount", number("-1"), "amount").await;
    check("/amount", Json::Null, "amount").await;
    check("/currency", json!("SEK"), "currency").await;
    check("/currency", json!("USD"), "currency").await;
    check("/rail", json!("sepa_instant"), "rail").await;
    check("/paymentReference", json!(7), "paymentReference").await;
    check("/metadata", json!({ "k".repeat(41): "v" }), "metadata").await;
    check("/metadata", json!({ "k": "v".repeat(501) }), "metadata").await;
    check("/sourceAccountId", json!("x"), "sourceAccountId").await;
    check("/destination", json!({}), "destination").await;
    check("/destination/type", json!("vendor"), "destination.type").await;
    check("/destination/orderId", json!("order_abc123"), "destination").await;
    check(
        &format!("{address}/type"),
        json!("crypto"),
        "destination.financialAddress.type",
    )
    .await;
    check(
        &format!("{address}/type"),
        json!("sort_code"),
        "destination.financialAddress.sortCode",
    )
    .await;
    check(
        &format!("{address}/wallet"),
        json!({}),
        "destination.financialAddress.wallet",
    )
    .await;
    let member = format!("{address}/iban");
    let name = "destination.financialAddress.iban";
    check(
        &format!("{member}/iban"),
        json!("DE02120300000000202052"),
        &format!("{name}.iban"),
    )
    .await;
    check(
        &format!("{member}/accountHolderName"),
        json!(""),
        &format!("{name}.accountHolderName"),
    )
    .await;
    let wallet = json!({ "type": "wallet", "wallet": { "address": "0x1", "blockchain": "ETH" } });
    check(address, wallet, "destination").await;
    assert_eq!(balance(&ivy), "1000.00");
    assert!(ivy.bench.control().effects().is_empty());

    let order = json!({ "orderId": "order_abc123" });
    let mut body = payout("10");
    body["destination"] = order;
    ivy.call("payout/create", &body).await.refused(404, "NOT_FOUND");
}

#[tokio::test]
async fn every_kind_of_address_is_read_and_shown_alike() {
    let ivy = Ivy::with(|config| {
        let dollars = AccountSeed::new("Ivy USD", Currency::from_code("USD").unwrap(), "500.00");
        config.accounts.push(dollars);
    })
    .await;
    let holder = "Example Ltd";
    let check = async |currency: &str, kind: &str, name: &str, member: Json| {
        let address = json!({ "type": kind, name: member });
        let mut body = payout("10");
        body["currency"] = json!(currency);
        body["destination"] = json!({ "financialAddress": address });
        let created = ivy.call("payout/create", &body).await.ok();
        assert_eq!(created["destination"], address);
        assert_eq!(created["type"], "customer");
    };
    let sort_code = json!({ "accountHolderName": holder, "sortCode": "040004", "accountNumber": "12345678" });
    check("GBP", "sort_code", "sortCode", sort_code).await;
    let bank_code = json!({ "accountHolderName": holder, "code": "1234", "accountNumber": "567890" });
    check("EUR", "bank_code", "bankCode", bank_code).await;
    let bban = json!({ "accountHolderName": holder, "bban": "12345678901", "bic": "COBADEFFXXX" });
    check("EUR", "bban", "bban", bban).await;
    let aba = json!({ "accountHolderName": holder, "routingNumber": "021000021", "accountNumber": "483920175" });
    check("USD", "aba", "aba", aba).await;
    let wallet = json!({ "address": "0x52908400098527886E0F7030069857D2E4169EE7", "blockchain": "MATIC" });
    check("USDC", "wallet", "wallet", wallet).await;
}

#[tokio::test]
async fn who_asks_and_what_for_is_checked_first() {
    let ivy = Ivy::start().await;
    let ask = async |method: &str, path: &str, headers: &[(&str, &str)]| {
        let address = ivy.bench.running.address;
        let mut all = vec![("content-type", "application/json")];
        all.extend_from_slice(headers);
        send(address, method, &format!("/ivy{path}"), &all, Some(b"{}"))
            .await
            .unwrap()
    };
    let list = "/api/service/payout/list";
    let key = ("x-ivy-api-key", "ivy.demo-key");
    ask("POST", list, &[]).await.refused(401, "UNAUTHENTICATED");
    ask("POST", list, &[("x-ivy-api-key", "ivy.other")])
        .await
        .refused(401, "UNAUTHENTICATED");
    ask("POST", list, &[("authorization", "Bearer sandbox.demo-key")])
        .await
        .refused(401, "UNAUTHENTICATED");
    ask("POST", list, &[key, ("x-ivy-version", "2026-05-01")])
        .await
        .refused(400, "VALIDATION");
    ask("POST", list, &[key]).await.ok();
    ask("GET", list, &[key]).await.refused(404, "NOT_FOUND");
    let nowhere = ask("POST", "/api/service/payout/cancel", &[key]).await;
    nowhere.refused(404, "NOT_FOUND");
    assert_eq!(nowhere.header("correlation-id"), None);
    assert!(nowhere.header("date").is_some());
    let root = Bench::demo().await.get("/ivory").await;
    root.refused(404, "resource_not_found");
}

#[tokio::test]
async fn a_key_pays_once_whatever_happens_to_the_answer() {
    let ivy = Ivy::start().await;
    let control = ivy.bench.control();
    let on = |action| FaultRule::on("ivy.create_payout", action).times(1);
    control.add_fault(on(FaultAction::DropAfterEffect));
    let body = payout("10");
    assert_eq!(ivy.try_call("payout/create", &body, Some("k1")).await, None);
    let again = ivy.call_as("k1", "payout/create", &body).await;
    assert_shape(&again.ok(), PAYOUT);
    assert_eq!(
        again.header("idempotent-replayed"),
        None,
        "nothing says that it is a repetition"
    );
    let refused = ivy.call_as("k1", "payout/create", &payout("11")).await;
    let refused = refused.refused(409, "idempotency_key_already_used");
    assert_eq!(refused["category"], "idempotency_error");
    control.add_fault(on(FaultAction::Delay {
        ms: 1_000,
        when: When::After,
    }));
    let slow = async { ivy.call_as("k2", "payout/create", &body).await.ok() };
    let hasty = async {
        loop {
            let reply = ivy.call_as("k2", "payout/create", &body).await;
            if reply.status == 409 {
                ivy.bench.pass(1_000);
                return reply.refused(409, "request_in_progress");
            }
        }
    };
    tokio::join!(slow, hasty);
    assert_eq!(control.effects().len(), 2);
    assert_eq!(balance(&ivy), "980.00");
    // The other provider's keys are others.
    let other = ivy.bench.payout("10.00", "INV-1");
    ivy.bench.post_as("k1", "/v1/payouts", &other).await.ok();
    let counts = control.requests();
    assert_eq!(
        (counts["ivy.create_payout"].replayed, counts["create_payout"].replayed),
        (1, 0)
    );
    // Without a key, or after its window, it is paid again.
    ivy.bench.pass(24 * 60 * 60 * 1_000);
    ivy.call_as("k1", "payout/create", &body).await.ok();
    ivy.call("payout/create", &body).await.ok();
    assert_eq!(balance(&ivy), "960.00");
}

#[tokio::test]
async fn a_busy_resource_says_so_for_so_many_calls() {
    let ivy = Ivy::start().await;
    let locked = FaultAction::Status {
        status: 423,
        when: When::Before,
        retry_after_secs: None,
    };
    ivy.bench
        .control()
        .add_fault(FaultRule::on("ivy.create_payout", locked).times(2));
    for _ in 0..2 {
        ivy.call_as("k", "payout/create", &payout("10"))
            .await
            .refused(423, "LOCKED");
    }
    ivy.call_as("k", "payout/create", &payout("10")).await.ok();
}

#[tokio::test]
async fn lists_are_pages_of_limit_and_skip_that_shift_while_rows_are_added() {
    let ivy = Ivy::start().await;
    let mut made = Vec::new();
    for amount in ["1", "2", "3", "4", "5"] {
        made.push(ivy.pay(amount).await);
        ivy.bench.pass(1);
    }
    made.reverse();
    let ids = |page: &Json| -> Vec<String> {
        let items = page["items"].as_array().unwrap();
        items
            .iter()
            .map(|item| item["id"].as_str().unwrap().to_owned())
            .collect()
    };
    let list = async |body: Json| {
        let page = ivy.call("payout/list", &body).await.ok();
        assert_shape(&page, PAGE);
        page["items"]
            .as_array()
            .unwrap()
            .iter()
            .for_each(|item| assert_shape(item, PAYOUT));
        page
    };
    let first = list(json!({ "limit": 2 })).await;
    assert_eq!(ids(&first), made[..2]);
    assert_eq!(
        (&first["count"], &first["hasNext"], &first["skip"]),
        (&json!(5), &json!(true), &json!(0))
    );
    let newest = ivy.pay("6").await;
    let second = list(json!({ "limit": 2, "skip": 2 })).await;
    assert_eq!(ids(&second), made[1..3], "one row is seen twice");
    let last = list(json!({ "limit": 2, "skip": 4 })).await;
    assert_eq!((ids(&last), &last["hasNext"]), (made[3..].to_vec(), &json!(false)));
    let beyond = list(json!({ "skip": 9 })).await;
    assert_eq!((ids(&beyond).len(), &beyond["hasNext"]), (0, &json!(false)));
    assert_eq!(list(json!({ "type": "beneficiary-payout" })).await["count"], 0);
    assert_eq!(list(json!({ "type": "customer-payout" })).await["count"], 6);
    for (name, value) in [
        ("limit", json!(0)),
        ("limit", json!(101)),
        ("limit", json!("10")),
        ("skip", json!(-1)),
        ("type", json!("payout")),
        ("status", json!("paid")),
    ] {
        let refused = ivy.call("payout/list", &json!({ name: value })).await;
        assert_eq!(refused.refused(400, "VALIDATION")["param"], name);
    }
    ivy.bench
        .control()
        .configure(|config| config.ivy.list_order = ListOrder::OldestFirst);
    assert_eq!(ids(&list(json!({ "skip": 5 })).await), [newest]);
}

#[tokio::test]
async fn a_list_may_lag_behind_what_can_be_read_by_id() {
    let ivy = Ivy::with(|config| config.visibility_lag_ms = 60_000).await;
    let id = ivy.pay("10").await;
    assert_eq!(ivy.call("payout/list", &json!({})).await.ok()["count"], 0);
    assert_eq!(retrieve(&ivy, &id).await["id"], json!(id));
    ivy.bench.pass(60_000);
    assert_eq!(ivy.call("payout/list", &json!({})).await.ok()["count"], 1);
}

#[tokio::test]
async fn an_id_names_one_payout_as_it_is_written() {
    let ivy = Ivy::start().await;
    let id = ivy.pay("10").await;
    let with_hyphens = Uuid::parse_str(&id).unwrap().to_string();
    for other in [with_hyphens, id.to_uppercase(), "order_abc123".to_owned()] {
        let reply = ivy.call("payout/retrieve", &json!({ "id": other })).await;
        reply.refused(404, "NOT_FOUND");
    }
    let missing = ivy.call("payout/retrieve", &json!({})).await;
    assert_eq!(missing.refused(400, "VALIDATION")["param"], "id");
}

#[tokio::test]
async fn too_little_money_fails_later_or_is_refused() {
    let ivy = Ivy::start().await;
    let id = ivy.pay("1000.01").await;
    assert_eq!(balance(&ivy), "1000.00");
    ivy.bench.pass(250);
    let failed = retrieve(&ivy, &id).await;
    assert_shape(&failed, PAYOUT);
    assert_eq!(failed["status"], "failed");
    assert_eq!(failed["failure"]["code"], "insufficient_funds");
    assert_eq!(failed["failure"]["retry"], true);
    let strict = Ivy::with(|config| config.insufficient_funds = Insufficient::Refuse).await;
    strict
        .call("payout/create", &payout("1000.01"))
        .await
        .refused(400, "VALIDATION");
}

#[tokio::test]
async fn a_failed_and_a_canceled_payout_give_the_money_back() {
    let ivy = Ivy::start().await;
    let control = ivy.bench.control();
    let internal = |id: &str| Uuid::parse_str(id).unwrap();
    let failed = ivy.pay("10").await;
    let failure = Failure::new("account_closed", "the account is closed", false);
    let shown = control.advance(internal(&failed), "failed", Some(failure)).unwrap();
    assert_eq!(shown["failure"]["code"], "account_closed");
    let canceled = ivy.pay("20").await;
    assert_eq!(balance(&ivy), "980.00");
    control.advance(internal(&canceled), "canceled", None).unwrap();
    assert_eq!(balance(&ivy), "1000.00");
    let stopped = ivy.pay("30").await;
    control.advance(internal(&stopped), "initiated", None).unwrap();
    control.advance(internal(&stopped), "canceled", None).unwrap_err();
    control.advance(internal(&stopped), "in_transit", None).unwrap();
    ivy.bench.pass(250);
    assert_eq!(retrieve(&ivy, &stopped).await["status"], "paid");
    assert_eq!(retrieve(&ivy, &canceled).await["status"], "canceled");
    control.advance(internal(&stopped), "failed", None).unwrap_err();
    let unknown = Failure::new("out_of_paper", "", false);
    control.advance(internal(&failed), "failed", Some(unknown)).unwrap_err();
    ivy.bench.assert_balanced();
}

#[tokio::test]
async fn numbers_can_be_written_with_the_decimals_of_their_currency() {
    let ivy = Ivy::with(|config| config.numbers = Numbers::Decimals).await;
    let reply = ivy.call("payout/create", &payout("100.5")).await;
    assert!(String::from_utf8_lossy(&reply.body).contains(r#""amount":100.50,"#));
}

#[tokio::test]
async fn an_answer_with_another_amount_keeps_its_kind() {
    let ivy = Ivy::start().await;
    let wrong = FaultAction::WrongAmount {
        amount: "11.75".to_owned(),
    };
    ivy.bench.control().add_fault(FaultRule::on("ivy.create_payout", wrong));
    let shown = ivy.call("payout/create", &payout("10")).await.ok();
    assert_eq!(shown["amount"], number("11.75"));
    assert_eq!(balance(&ivy), "990.00");
}
