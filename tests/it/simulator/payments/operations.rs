//! Every operation of the reference answers, in its documented shape.

use bursar::simulator::config::payments::{CARD, MerchantSeed};
use serde_json::{Value as Json, json};

use super::shapes::{self, Shape, assert_shape};
use super::{Pay, inside, made, rows, text};
use crate::simulator::served::Served;

#[derive(Debug, Clone, Copy)]
enum Answer {
    Made(Shape),
    One(Shape),
    Page(Shape),
}

use Answer::{Made, One, Page};

/// A route, what is sent to it, and what comes.
type Case = (&'static str, String, Option<Json>, Answer);

pub(crate) fn session() -> Json {
    json!({
        "cancel_url": "https://shop.example/cancelled",
        "success_url": "https://shop.example/paid",
        "customer_email": "erika@example.com",
        "payment_intent_data": { "amount": 4_990, "reference_id": "CART-1" },
        "subtotal": 4_990,
        "discount_amount": 0,
    })
}

pub(crate) fn external(amount: u64) -> Json {
    json!({
        "payment_intent": { "amount": amount, "capture": false },
        "payment_method": { "type": "card" },
        "gateway_response": {
            "auth_code": "A1B2C3",
            "retrieval_reference": format!("RRN-{amount}"),
            "created_at": "2026-01-01T00:00:00Z",
        },
    })
}

/// A world with at least one of everything that is not made here.
struct Things {
    session: [String; 3],
    intent: [String; 4],
    refund: String,
    external: [String; 3],
    dispute: String,
    transaction: String,
    payout: String,
    account: String,
}

async fn things(pay: &Pay) -> Things {
    let new_session = async || text(&made(&pay.post("/checkout_sessions", &session()).await)["id"]);
    let session = [new_session().await, new_session().await, new_session().await];
    let body = json!({ "payment_method_id": CARD });
    made(
        &pay.post(&format!("/checkout_sessions/{}/payments", session[0]), &body)
            .await,
    );
    let paid = pay.paid(10_000).await;
    let later = json!({ "amount": 2_000, "capture": false });
    let held = pay.intent(&later).await;
    pay.charge(&held, CARD).await;
    let refund = json!({ "amount": 100 });
    let refund = text(&made(&pay.post(&format!("/payment_intents/{paid}/refunds"), &refund).await)["id"]);
    let new_external = async |amount| text(&made(&pay.post("/external_payments", &external(amount)).await)["id"]);
    let external = [new_external(70).await, new_external(71).await, new_external(72).await];
    let captured = json!({ "gateway_capture_response": {} });
    pay.post(&format!("/external_payments/{}/capture", external[2]), &captured)
        .await
        .ok();
    pay.advance(&paid, "disputed");
    pay.bench.pass(1_000);
    let account = pay.account.clone();
    pay.bench.control().advance(inside(&account), "paid_out", None).unwrap();
    let first = async |path: &str| text(&rows(&pay.get(path).await.ok())[0]["id"]);
    Things {
        intent: [
            pay.intent(&json!({ "amount": 100 })).await,
            pay.intent(&json!({ "amount": 100 })).await,
            held,
            paid,
        ],
        session,
        refund,
        external,
        dispute: first("/disputes").await,
        transaction: first("/transactions").await,
        payout: first("/payouts").await,
        account,
    }
}

fn cases(of: &Things) -> Vec<Case> {
    let get = |path: String, answer| ("GET", path, None, answer);
    let post = |path: String, body: Json, answer| ("POST", path, Some(body), answer);
    let intent = |index: usize, rest: &str| format!("/payment_intents/{}{rest}", of.intent[index]);
    let session_at = |index: usize, rest: &str| format!("/checkout_sessions/{}{rest}", of.session[index]);
    let charge = json!({ "payment_method_id": CARD, "reference_id": "op_0001" });
    let nothing = json!({});
    vec![
        get("/checkout_sessions".to_owned(), Page(shapes::SESSION)),
        post("/checkout_sessions".to_owned(), session(), Made(shapes::SESSION)),
        get(session_at(0, ""), One(shapes::SESSION)),
        get(session_at(0, "/details"), One(shapes::DETAILS)),
        post(session_at(0, "/complete"), nothing.clone(), One(shapes::SESSION)),
        post(session_at(1, "/expire"), nothing.clone(), One(shapes::SESSION)),
        post(session_at(2, "/payments"), charge.clone(), Made(shapes::PAYMENT)),
        post(
            "/payment_intents".to_owned(),
            json!({ "amount": 1_234 }),
            Made(shapes::INTENT),
        ),
        get("/payment_intents".to_owned(), Page(shapes::INTENT)),
        post(
            "/payment_intents/search".to_owned(),
            nothing.clone(),
            Page(shapes::INTENT),
        ),
        get(intent(3, ""), One(shapes::INTENT)),
        (
            "PATCH",
            intent(0, ""),
            Some(json!({ "description": "Lamp" })),
            One(shapes::INTENT),
        ),
        post(
            intent(0, "/cancel"),
            json!({ "cancellation_reason": "duplicate" }),
            One(shapes::INTENT),
        ),
        post(intent(2, "/capture"), nothing.clone(), One(shapes::INTENT)),
        get(intent(3, "/payments"), Page(shapes::PAYMENT)),
        post(intent(1, "/payments"), charge, Made(shapes::PAYMENT)),
        post(intent(3, "/refunds"), json!({ "amount": 10 }), Made(shapes::REFUND)),
        get(format!("/refunds/{}", of.refund), One(shapes::REFUND)),
        get(format!("/payment_methods/{CARD}"), One(shapes::CARD_METHOD)),
        (
            "PATCH",
            format!("/payment_methods/{CARD}"),
            Some(json!({ "billing_details": { "name": "Max" } })),
            One(shapes::CARD_METHOD),
        ),
        post("/external_payments".to_owned(), external(80), Made(shapes::INTENT)),
        post(
            format!("/external_payments/{}/cancel", of.external[0]),
            nothing.clone(),
            One(shapes::INTENT),
        ),
        post(
            format!("/external_payments/{}/capture", of.external[1]),
            json!({ "gateway_capture_response": {} }),
            One(shapes::INTENT),
        ),
        post(
            "/external_refunds".to_owned(),
            json!({ "payment_intent_id": of.external[2], "gateway_response": {} }),
            Made(shapes::REFUND),
        ),
        get("/disputes".to_owned(), Page(shapes::DISPUTE)),
        get(format!("/disputes/{}", of.dispute), One(shapes::DISPUTE)),
        get("/balances".to_owned(), One(shapes::BALANCE)),
        get("/transactions".to_owned(), Page(shapes::TRANSACTION)),
        get(format!("/transactions/{}", of.transaction), One(shapes::TRANSACTION)),
        post(
            "/transactions/search".to_owned(),
            nothing.clone(),
            Page(shapes::TRANSACTION),
        ),
        post("/transactions/download".to_owned(), nothing, One(shapes::EMPTY)),
        get("/payouts".to_owned(), Page(shapes::PAYOUT)),
        get(format!("/payouts/{}", of.payout), One(shapes::PAYOUT)),
        get("/businesses/payouts".to_owned(), Page(shapes::PAYOUT)),
        get(format!("/accounts/{}/processing_plan", of.account), One(shapes::PLAN)),
    ]
}

/// A world with a merchant that can be paid out.
pub(crate) async fn whole() -> Pay {
    Pay::with(|config| {
        config.accounts[0] = MerchantSeed {
            opening_balance: Some("500.00".to_owned()),
            ..MerchantSeed::new("Shop")
        };
    })
    .await
}

impl Answer {
    fn check(self, path: &str, shown: &Json) {
        match self {
            Made(shape) | One(shape) => assert_shape(shown, shape),
            Page(shape) => {
                assert_eq!(shown["meta"], json!({}), "{path}");
                assert!(!rows(shown).is_empty(), "{path} shows nothing");
                rows(shown).iter().for_each(|row| assert_shape(row, shape));
            }
        }
    }
}

/// Whether a path with names in it can be this one.
fn leads_to(template: &str, path: &str) -> bool {
    let (template, path): (Vec<&str>, Vec<&str>) = (template.split('/').collect(), path.split('/').collect());
    let fits = |(name, segment): (&&str, &&str)| name.starts_with('{') || name == segment;
    template.len() == path.len() && template.iter().zip(&path).all(fits)
}

/// The same for whoever asks under the names of the connector, and the business that the merchant belongs to.
pub(crate) async fn served(pay: &Pay) -> (Vec<Served>, String) {
    let things = things(pay).await;
    let business = text(&pay.fetch(&things.intent[3]).await["business_id"]);
    let served = cases(&things).into_iter().map(|(method, path, body, answer)| {
        // The documents disagree on this one; both are served.
        let path = path.replace("/balances", "/ledger/balances");
        Served {
            is: Box::new({
                let path = path.clone();
                move |endpoint| endpoint.method.as_str() == method && leads_to(&endpoint.path, &path)
            }),
            path: path.clone(),
            body,
            check: Box::new(move |shown| answer.check(&path, shown)),
        }
    });
    (served.collect(), business)
}

#[tokio::test]
async fn every_operation_answers_its_documented_shape() {
    let pay = whole().await;
    let things = things(&pay).await;
    let business = text(&pay.fetch(&things.intent[3]).await["business_id"]);
    let headers = [
        ("x-account-id", pay.account.as_str()),
        ("x-business-id", business.as_str()),
    ];
    let cases = cases(&things);
    for (method, path, body, answer) in &cases {
        // Only two of them take a body of nothing; the others are sent as they are.
        let reply = pay
            .send((*method, path.as_str()), &headers, body.as_ref())
            .await
            .unwrap();
        let status = if matches!(answer, Made(_)) { 201 } else { 200 };
        assert_eq!(
            reply.status,
            status,
            "{method} {path}: {}",
            String::from_utf8_lossy(&reply.body)
        );
        answer.check(path, &reply.json());
    }
    let called = pay.bench.control().requests();
    let called = called.keys().filter(|name| name.starts_with("payments.")).count();
    println!("{called} operations of Payments answered in their shape");
    assert_eq!((cases.len(), called), (35, 35));
    pay.bench.assert_balanced();
}
