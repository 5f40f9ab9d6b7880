//! What is refused, and how that is said: keys, headers, fields, routes.

use bursar::simulator::config::payments::{BadKeyStatus, CARD, DEMO_API_KEY, MerchantSeed, UnknownIdStatus};
use serde_json::{Value as Json, json};

use super::shapes::{ERROR, assert_shape};
use super::{Pay, rows, text};
use crate::simulator::http::send;

#[tokio::test]
async fn a_wrong_field_is_named_in_the_one_shape_of_errors() {
    let pay = Pay::start().await;
    let check = async |path: &str, body: Json, param: &str| {
        let refused = pay.post(path, &body).await.refused(400, "WRONG_ARGUMENTS");
        assert_shape(&refused, ERROR);
        assert!(refused["argument_errors"][param].is_string(), "{body}: {refused}");
    };
    let intents = "/payment_intents";
    check(intents, json!({}), "amount").await;
    check(intents, json!({ "amount": "100" }), "amount").await;
    check(intents, json!({ "amount": 100.5 }), "amount").await;
    check(intents, json!({ "amount": -1 }), "amount").await;
    check(
        intents,
        json!({ "amount": 1, "merchant_amount": "1" }),
        "merchant_amount",
    )
    .await;
    check(intents, json!({ "amount": 1, "currency": "CAD" }), "currency").await;
    check(intents, json!({ "amount": 1, "capture": "yes" }), "capture").await;
    check(
        intents,
        json!({ "amount": 1, "payment_method_types": ["wire"] }),
        "payment_method_types",
    )
    .await;
    check(intents, json!({ "amount": 1, "user_fields": [] }), "user_fields").await;
    check(intents, json!({ "amount": 1, "metadata": {} }), "metadata").await;
    let sessions = "/checkout_sessions";
    for field in [
        "cancel_url",
        "success_url",
        "customer_email",
        "payment_intent_data",
        "subtotal",
        "discount_amount",
    ] {
        let mut body = super::operations::session();
        body.as_object_mut().unwrap().remove(field);
        check(sessions, body, field).await;
    }
    let mut body = super::operations::session();
    body["payment_intent_data"]["amount"] = json!(1.5);
    check(sessions, body, "payment_intent_data.amount").await;
    let mut body = super::operations::external(1);
    body["gateway_response"] = Json::Null;
    check("/external_payments", body, "gateway_response").await;
    let searches = "/payment_intents/search";
    check(searches, json!({ "status": "paid" }), "status").await;
    check(searches, json!({ "start_date": "yesterday" }), "start_date").await;
    check(searches, json!({ "amount_min": "1" }), "amount_min").await;
    check(searches, json!({ "sort_column": "colour" }), "sort_column").await;
    check(searches, json!({ "sort_direction": "up" }), "sort_direction").await;
    let lines = "/transactions/search";
    check(lines, json!({ "source_id": "re_1" }), "source_id").await;
    check(lines, json!({ "source_type": "gift" }), "source_type").await;
    check(lines, json!({ "limit": 51 }), "limit").await;
    check(lines, json!({ "page": 0 }), "page").await;
    check("/transactions/download", json!({ "page": 1 }), "page").await;
    let created = format!("/payment_intents/{}", pay.intent(&json!({ "amount": 1 })).await);
    check(&format!("{created}/payments"), json!({}), "payment_method_id").await;
    check(
        &format!("{created}/payments"),
        json!({ "payment_method_id": CARD, "amount": 1 }),
        "amount",
    )
    .await;
    check(
        &format!("{created}/cancel"),
        json!({ "cancellation_reason": "whim" }),
        "cancellation_reason",
    )
    .await;
    check(&format!("{created}/refunds"), json!({ "reason": "whim" }), "reason").await;
    assert_eq!(
        pay.bench.control().movements().len(),
        Pay::start().await.bench.control().movements().len()
    );
}

#[tokio::test]
async fn an_account_has_to_be_named_even_where_the_reference_says_nothing_of_it() {
    let unlisted = [
        "/disputes",
        "/balances",
        "/transactions",
        "/payouts",
        &format!("/payment_methods/{CARD}"),
    ];
    let pay = Pay::start().await;
    let bare = async |pay: &Pay, path: &str| pay.send(("GET", path), &[], None).await.unwrap();
    for path in unlisted {
        let refused = bare(&pay, path).await.refused(400, "WRONG_ARGUMENTS");
        assert!(
            refused["argument_errors"]["x-account-id"].is_string(),
            "{path}: {refused}"
        );
    }
    bare(&pay, "/payment_intents").await.ok();
    bare(&pay, "/checkout_sessions").await.refused(400, "WRONG_ARGUMENTS");
    bare(&pay, "/businesses/payouts").await.refused(400, "WRONG_ARGUMENTS");
    let lenient = Pay::with(|config| config.strict_account = false).await;
    for path in unlisted {
        bare(&lenient, path).await.ok();
    }
    bare(&lenient, "/checkout_sessions")
        .await
        .refused(400, "WRONG_ARGUMENTS");
}

#[tokio::test]
async fn one_account_sees_nothing_of_another() {
    let pay = Pay::start().await;
    let intent = pay.paid(100).await;
    let other = MerchantSeed::shown_id(pay.bench.account("Other shop"));
    let as_other = async |path: &str| {
        let headers = [("x-account-id", other.as_str())];
        pay.send(("GET", path), &headers, None).await.unwrap()
    };
    as_other(&format!("/payment_intents/{intent}"))
        .await
        .refused(404, "NOT_FOUND");
    as_other(&format!("/payment_intents/{intent}/payments"))
        .await
        .refused(404, "NOT_FOUND");
    for path in ["/payment_intents", "/transactions"] {
        assert!(rows(&as_other(path).await.ok()).is_empty(), "{path}");
    }
    assert_eq!(as_other("/balances").await.ok()["pending"], 0);
    let all = pay.send(("GET", "/payment_intents"), &[], None).await.unwrap().ok();
    assert_eq!(rows(&all).len(), 1, "without an account, all");
    let nobody = [("x-account-id", "acct_00000000000000000000000000000000")];
    pay.send(("GET", "/balances"), &nobody, None)
        .await
        .unwrap()
        .refused(404, "NOT_FOUND");
}

#[tokio::test]
async fn a_bad_key_gives_one_of_three() {
    let check = async |setting, status: u16, code: &str| {
        let pay = Pay::with(|config| config.bad_key_status = setting).await;
        for key in ["", "key_other", "Bearer key_payments_demo"] {
            let headers = [("x-api-key", key), ("x-account-id", pay.account.as_str())];
            let reply = send(pay.bench.running.address, "GET", "/payments/balances", &headers, None).await;
            assert_shape(&reply.unwrap().refused(status, code), ERROR);
        }
        let bearer = format!("Bearer {DEMO_API_KEY}");
        let headers = [
            ("authorization", bearer.as_str()),
            ("x-account-id", pay.account.as_str()),
        ];
        let reply = send(pay.bench.running.address, "GET", "/payments/balances", &headers, None).await;
        reply.unwrap().refused(status, code);
    };
    check(BadKeyStatus::Unauthorized, 401, "UNAUTHORIZED").await;
    check(BadKeyStatus::Forbidden, 403, "FORBIDDEN").await;
    check(BadKeyStatus::NotFound, 404, "NOT_FOUND").await;
}

#[tokio::test]
async fn where_nothing_is_served_the_gateway_answers() {
    let pay = Pay::with(|config| config.missing_routes = vec!["GET /balances".to_owned()]).await;
    let gateway = json!({ "message": "Not Found" });
    for path in ["/balances", "/balance", "/payments/pmt_1", "/v1/payment_intents"] {
        let reply = pay.get(path).await;
        assert_eq!((reply.status, reply.json()), (404, gateway.clone()), "{path}");
    }
    let reply = pay.patch("/payment_intents", &json!({})).await;
    assert_eq!((reply.status, reply.json()), (404, gateway.clone()));
    assert_eq!(pay.get("/ledger/balances").await.ok()["currency"], "USD");
    let both = Pay::start().await;
    assert_eq!(
        both.get("/ledger/balances").await.ok(),
        both.get("/balances").await.ok()
    );
    let plan = format!("/accounts/{}/processing_plan", both.account);
    let other = format!("/processing_plans/{}", both.account);
    assert_eq!(both.get(&plan).await.ok(), both.get(&other).await.ok());
    both.get("/processing_plans/plan_1").await.refused(404, "NOT_FOUND");
}

#[tokio::test]
async fn an_unknown_id_is_404_or_400() {
    let check = async |setting, status: u16, code: &str| {
        let pay = Pay::with(|config| config.unknown_id_status = setting).await;
        let id = "00000000000000000000000000000000";
        for path in [
            format!("/payment_intents/pi_{id}"),
            format!("/refunds/re_{id}"),
            format!("/refunds/{id}"),
            format!("/transactions/txn_{id}"),
            format!("/disputes/dp_{id}"),
            format!("/payouts/po_{id}"),
            format!("/checkout_sessions/cs_{id}"),
            format!("/payment_methods/pm_{id}"),
        ] {
            assert_shape(&pay.get(&path).await.refused(status, code), ERROR);
        }
    };
    check(UnknownIdStatus::NotFound, 404, "NOT_FOUND").await;
    check(UnknownIdStatus::BadRequest, 400, "WRONG_ARGUMENTS").await;
}

#[tokio::test]
async fn billing_details_are_replaced() {
    let pay = Pay::start().await;
    let path = format!("/payment_methods/{CARD}");
    let body = json!({ "billing_details": { "name": "Max", "address": { "country": "US" } } });
    assert_eq!(
        pay.patch(&path, &body).await.ok()["billing_details"],
        body["billing_details"]
    );
    pay.patch(&path, &json!({})).await.refused(400, "WRONG_ARGUMENTS");
    let wrong = json!({ "billing_details": { "name": 7 } });
    let refused = pay.patch(&path, &wrong).await.refused(400, "WRONG_ARGUMENTS");
    assert!(refused["argument_errors"]["billing_details.name"].is_string());
    assert_eq!(text(&pay.get(&path).await.ok()["billing_details"]["name"]), "Max");
}
