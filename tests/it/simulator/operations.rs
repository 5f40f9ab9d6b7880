//! Every operation answers its documented shape.

use bursar::simulator::control::NewDeposit;
use serde_json::{Value as Json, json};

use super::bench::{Bench, Receiver, id_of};
use super::served::Served;
use super::shapes::{self, Shape, assert_page, assert_shape};

enum Answer {
    One(Shape),
    Page(Shape),
}

use Answer::{One, Page};

type Case = (&'static str, &'static str, String, Option<Json>, Answer);

/// A world with at least one of everything, and a request for every operation.
async fn cases(bench: &Bench, receiver: &Receiver) -> Vec<Case> {
    let control = bench.control();
    let deposit = control
        .create_deposit(&NewDeposit::new("Operating DE", "80.00", "INV-7"))
        .unwrap();
    let other = control
        .create_deposit(&NewDeposit::new("Operating DE", "70.00", "INV-8"))
        .unwrap();
    let subscription = json!({ "url": receiver.url(), "events": ["*"] });
    let subscribed = id_of(&bench.post("/v1/webhook_subscriptions", &subscription).await.ok());
    let spare = id_of(&bench.post("/v1/webhook_subscriptions", &subscription).await.ok());
    let payout = bench.pay("12.50", "INV-1").await;
    let sold = json!({
        "source_account_id": bench.account("USDC wallet"),
        "target_account_id": bench.account("Treasury EUR"),
        "source_amount": "100",
    });
    let conversion = bench.post("/v1/conversions", &sold).await.ok();
    let quote = conversion["quote_id"].as_str().unwrap().to_owned();
    let conversion = id_of(&conversion);
    let given_back = id_of(&bench.post("/v1/returns", &json!({ "deposit_id": other })).await.ok());
    let events = bench.get("/v1/events").await.ok();
    let event = id_of(&events["data"][0]);
    receiver.count(3).await;
    let delivery = id_of(&bench.get("/v1/webhook_deliveries").await.ok()["data"][0]);
    let program = id_of(&bench.get("/v1/account_programs").await.ok()["data"][0]);
    let account = bench.account("Operating NL");

    let get = |name, path: String, answer| (name, "GET", path, None, answer);
    let post = |name, path: String, body, answer| (name, "POST", path, body, answer);
    vec![
        get(
            "list_account_programs",
            "/v1/account_programs".into(),
            Page(shapes::PROGRAM),
        ),
        get(
            "retrieve_account_program",
            format!("/v1/account_programs/{program}"),
            One(shapes::PROGRAM),
        ),
        get(
            "retrieve_account_program_balance",
            format!("/v1/account_programs/{program}/balance"),
            One(shapes::PROGRAM_BALANCE),
        ),
        get("list_accounts", "/v1/accounts".into(), Page(shapes::ACCOUNT)),
        post(
            "create_account",
            "/v1/accounts".into(),
            Some(person(&program.to_string())),
            One(shapes::ACCOUNT),
        ),
        get(
            "retrieve_account",
            format!("/v1/accounts/{account}"),
            One(shapes::ACCOUNT),
        ),
        get(
            "retrieve_account_balance",
            format!("/v1/accounts/{account}/balance"),
            One(shapes::BALANCE),
        ),
        post(
            "freeze_account",
            format!("/v1/accounts/{account}/freeze"),
            None,
            One(shapes::ACCOUNT),
        ),
        post(
            "unfreeze_account",
            format!("/v1/accounts/{account}/unfreeze"),
            None,
            One(shapes::ACCOUNT),
        ),
        post(
            "freeze_account",
            format!("/v1/accounts/{account}/freeze"),
            None,
            One(shapes::ACCOUNT),
        ),
        post(
            "close_account",
            format!("/v1/accounts/{account}/close"),
            Some(json!({ "reason": "client_request" })),
            One(shapes::ACCOUNT),
        ),
        get("retrieve_api_key", "/v1/api_key".into(), One(shapes::API_KEY)),
        get(
            "list_api_versions",
            "/v1/api_versions".into(),
            Page(shapes::API_VERSION),
        ),
        get("list_conversions", "/v1/conversions".into(), Page(shapes::CONVERSION)),
        post(
            "create_conversion",
            "/v1/conversions".into(),
            Some(sold),
            One(shapes::CONVERSION),
        ),
        get(
            "retrieve_conversion",
            format!("/v1/conversions/{conversion}"),
            One(shapes::CONVERSION),
        ),
        get("list_deposits", "/v1/deposits".into(), Page(shapes::DEPOSIT)),
        get(
            "retrieve_deposit",
            format!("/v1/deposits/{deposit}"),
            One(shapes::DEPOSIT),
        ),
        get("list_events", "/v1/events".into(), Page(shapes::EVENT)),
        get("retrieve_event", format!("/v1/events/{event}"), One(shapes::EVENT)),
        get("list_payouts", "/v1/payouts".into(), Page(shapes::PAYOUT)),
        post(
            "create_payout",
            "/v1/payouts".into(),
            Some(bench.payout("3.00", "INV-2")),
            One(shapes::PAYOUT),
        ),
        get("retrieve_payout", format!("/v1/payouts/{payout}"), One(shapes::PAYOUT)),
        get(
            "retrieve_indicative_quote",
            "/v1/quotes/indicative?source_currency=USDC&target_currency=EUR&source_amount=250".into(),
            One(shapes::INDICATIVE_QUOTE),
        ),
        get("retrieve_quote", format!("/v1/quotes/{quote}"), One(shapes::QUOTE)),
        get("list_returns", "/v1/returns".into(), Page(shapes::RETURN)),
        post(
            "create_return",
            "/v1/returns".into(),
            Some(json!({ "deposit_id": deposit })),
            One(shapes::RETURN),
        ),
        get(
            "retrieve_return",
            format!("/v1/returns/{given_back}"),
            One(shapes::RETURN),
        ),
        get("list_scopes", "/v1/scopes".into(), Page(shapes::SCOPE)),
        get(
            "list_webhook_deliveries",
            "/v1/webhook_deliveries".into(),
            Page(shapes::DELIVERY),
        ),
        get(
            "retrieve_webhook_delivery",
            format!("/v1/webhook_deliveries/{delivery}"),
            One(shapes::DELIVERY),
        ),
        post(
            "redeliver_webhook_delivery",
            format!("/v1/webhook_deliveries/{delivery}/redeliver"),
            None,
            One(shapes::DELIVERY),
        ),
        get(
            "list_webhook_subscriptions",
            "/v1/webhook_subscriptions".into(),
            Page(shapes::SUBSCRIPTION),
        ),
        post(
            "create_webhook_subscription",
            "/v1/webhook_subscriptions".into(),
            Some(json!({ "url": "https://example.com/hook", "events": ["payout.paid"] })),
            One(shapes::SUBSCRIPTION),
        ),
        get(
            "retrieve_webhook_subscription",
            format!("/v1/webhook_subscriptions/{subscribed}"),
            One(shapes::SUBSCRIPTION),
        ),
        post(
            "update_webhook_subscription",
            format!("/v1/webhook_subscriptions/{subscribed}"),
            Some(json!({})),
            One(shapes::SUBSCRIPTION),
        ),
        post(
            "send_test_event",
            format!("/v1/webhook_subscriptions/{subscribed}/send_test_event"),
            None,
            One(shapes::EVENT),
        ),
        (
            "delete_webhook_subscription",
            "DELETE",
            format!("/v1/webhook_subscriptions/{spare}"),
            None,
            One(shapes::SUBSCRIPTION),
        ),
    ]
}

/// The same for whoever asks under the names of the connector.
pub(crate) async fn served(bench: &Bench, receiver: &Receiver) -> Vec<Served> {
    let cases = cases(bench, receiver).await.into_iter();
    // The treasury is where the golden file pays to.
    let account = bench.account("Operating DE");
    let served = cases.map(|(name, _, path, mut body, answer)| {
        if let Some(body) = body.as_mut().filter(|_| name == "create_payout") {
            body["source_account_id"] = json!(account);
        }
        Served {
            is: Box::new(move |endpoint| endpoint.name == name),
            path,
            body,
            check: Box::new(move |value| match answer {
                One(shape) => assert_shape(value, shape),
                Page(shape) => assert_page(value, shape),
            }),
        }
    });
    served.collect()
}

/// A person outside the United States.
pub(crate) fn person(program: &str) -> Json {
    json!({
        "account_program_id": program,
        "account_type": "virtual_account",
        "beneficiary_data": {
            "legal_name": "Atelier Grün",
            "date_of_birth": "1980-02-29",
            "country_of_citizenship": "DE",
            "identification": { "type": "id", "value": "L01X00T47" },
            "residential_address": {
                "street_line_1": "Lange Straße 1", "city": "Bremen", "postal_code": "28195", "country": "DE",
            },
        },
    })
}

#[tokio::test]
async fn every_operation_answers_its_documented_shape() {
    let bench = Bench::demo().await;
    let receiver = Receiver::start(&[]).await;
    let cases = cases(&bench, &receiver).await;
    for (name, method, path, body, answer) in &cases {
        let body = body.as_ref().map(Json::to_string);
        let reply = bench.send(method, path, &[], body.as_deref()).await.expect("an answer");
        let value = reply.ok();
        println!("{name}: {method} {path}");
        match answer {
            One(shape) => assert_shape(&value, shape),
            Page(shape) => assert_page(&value, shape),
        }
        assert_eq!(reply.header("api-version"), Some("2026-05-01"));
        assert!(reply.header("correlation-id").is_some());
    }
    let mut names: Vec<&str> = cases.iter().map(|(name, ..)| *name).collect();
    names.sort_unstable();
    names.dedup();
    println!("{} operations", names.len());
    assert_eq!(names.len(), 37);
    let asked: Vec<&str> = bench.control().requests().into_keys().collect();
    assert_eq!(asked, names, "each request reached the operation it names");
    bench.assert_balanced();
}

#[tokio::test]
async fn an_account_can_be_opened_and_becomes_active_by_itself() {
    let bench = Bench::demo().await;
    let program = id_of(&bench.get("/v1/account_programs").await.ok()["data"][0]);
    let account = bench.post("/v1/accounts", &person(&program.to_string())).await.ok();
    assert_eq!(account["status"], "pending");
    assert_eq!(account["account_type"], "virtual_account");
    bench.pass(100);
    let path = format!("/v1/accounts/{}", id_of(&account));
    let account = bench.get(&path).await.ok();
    assert_eq!(account["status"], "active");
    let listed = bench.get(&format!("/v1/accounts?parent_id={program}")).await.ok();
    assert_eq!(listed["data"].as_array().unwrap().len(), 3);
    let found = bench
        .get("/v1/accounts?account_holder_name=atelier+gr%C3%BCn")
        .await
        .ok();
    assert_eq!(found["data"][0]["id"], account["id"]);
    let iban = account["financial_addresses"][0]["iban"].as_str().unwrap();
    let found = bench.get(&format!("/v1/accounts?account_number={iban}")).await.ok();
    assert_eq!(found["data"][0]["id"], account["id"]);
    let sum = bench.get(&format!("/v1/account_programs/{program}/balance")).await.ok();
    assert_eq!(sum["amount"], "1940.00");
}
