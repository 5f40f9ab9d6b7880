//! Every operation of the reference answers, in its shape.

use bursar::connector::table::Endpoint;
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::shapes::{self, Shape, assert_shape};
use super::{OTHER, Payaut, REFUNDS, REQUESTS, SELLER, SPLITS, text};
use crate::simulator::served::Served;

enum Answer {
    One(Shape),
    /// A page with numbered pages and a total.
    Page(Shape),
    /// A page of a feed.
    Feed(Shape),
    /// The list itself.
    Rows(Shape),
    /// No body.
    Nothing,
    /// Plain text.
    Plain,
}

use Answer::{Feed, Nothing, One, Page, Plain, Rows};

type Case = (&'static str, String, Option<Json>, Answer);

fn owner(reference: &str) -> Json {
    json!({
        "legalName": "Erika Mustermann",
        "firstName": "Erika",
        "lastName": "Mustermann",
        "dateOfBirth": "1970-01-01T00:00:00.000+01:00",
        "nationality": "DEU",
        "type": "CEO",
        "extRef": reference,
        "address": { "country": "DEU" },
        "documents": [{ "type": "PASSPORT" }],
    })
}

fn external(reference: &str) -> Json {
    json!({
        "extRef": reference,
        "displayName": "House bank",
        "currency": "EUR",
        "statement": { "file": "statement.pdf" },
        "accountType": "IBAN",
        "accountNumber": "DE89370400440532013000",
    })
}

fn refund(reference: &str, mutation: &str) -> Json {
    json!({ "extRef": reference, "pspMutationExtRef": mutation })
}

/// Holders and what hangs on them.
async fn of_holders(payaut: &Payaut) -> Vec<Case> {
    let holder = format!("v1/accountholders/{}", payaut.holder(SELLER).await);
    let doomed = format!("v1/accountholders/{}", payaut.holder(OTHER).await);
    let new = json!({
        "extRef": "seller-9",
        "displayName": "Neu",
        "legalEntity": { "legalForm": "individual", "firstName": "Nina", "lastName": "Neu" },
        "externalAccounts": [external("bank-9")],
    });
    let ubo = text(
        &payaut.post(&format!("{holder}/ubos"), &owner("ubo-1")).await.ok(),
        "code",
    );
    let bank = payaut
        .post(&format!("{holder}/externalaccounts"), &external("bank-1"))
        .await
        .ok();
    let bank = text(&bank, "code");
    let account = payaut.account(SELLER);
    let onboarding = format!(
        "v2/onboarding/accountholder/{}/generate-url",
        payaut.holder(SELLER).await
    );
    vec![
        (
            "GET",
            "v1/accountholders?_fragments=accounts,extacc,docs,ubo".to_owned(),
            None,
            Page(shapes::HOLDER),
        ),
        ("POST", "v1/accountholders".to_owned(), Some(new), One(shapes::HOLDER)),
        (
            "GET",
            format!("{holder}?_fragments=accounts"),
            None,
            One(shapes::HOLDER),
        ),
        (
            "PATCH",
            holder.clone(),
            Some(json!({ "legalEntity": {} })),
            One(shapes::HOLDER),
        ),
        ("DELETE", doomed, None, Nothing),
        ("GET", format!("{holder}/ubos"), None, Page(shapes::UBO)),
        ("POST", format!("{holder}/ubos"), Some(owner("ubo-2")), One(shapes::UBO)),
        (
            "GET",
            format!("{holder}/ubos/{ubo}?_fragments=docs"),
            None,
            One(shapes::UBO),
        ),
        (
            "PATCH",
            format!("{holder}/ubos/{ubo}"),
            Some(json!({ "type": "CFO" })),
            One(shapes::UBO),
        ),
        ("GET", format!("{holder}/accounts"), None, Page(shapes::ACCOUNT)),
        (
            "GET",
            format!("{holder}/accounts/{account}"),
            None,
            One(shapes::ACCOUNT),
        ),
        (
            "GET",
            format!("{holder}/externalaccounts"),
            None,
            Page(shapes::EXTERNAL),
        ),
        (
            "POST",
            format!("{holder}/externalaccounts"),
            Some(external("bank-2")),
            One(shapes::EXTERNAL),
        ),
        (
            "GET",
            format!("{holder}/externalaccounts/{bank}?_fragments=docs"),
            None,
            One(shapes::EXTERNAL),
        ),
        (
            "PATCH",
            format!("{holder}/externalaccounts/{bank}"),
            Some(json!({ "displayName": "Other" })),
            One(shapes::EXTERNAL),
        ),
        (
            "PATCH",
            format!("{holder}/externalaccounts/{bank}/select"),
            None,
            Nothing,
        ),
        ("GET", onboarding, None, Plain),
    ]
}

/// Splits, refunds and balances.
async fn of_funds(payaut: &Payaut) -> Vec<Case> {
    let split = payaut.settled("order-1").await;
    payaut.settled("order-2").await;
    let open = payaut.made("order-3").await;
    let back = text(
        &payaut.post(REFUNDS, &refund("order-1", "mutation-1")).await.ok(),
        "code",
    );
    payaut.bench.pass(60_000);
    let balance = format!("v1/fund/balance/{}", payaut.account(SELLER));
    vec![
        (
            "GET",
            "v2/transactions?query=order-1&type=PAYMENT".to_owned(),
            None,
            Feed(shapes::TRANSACTION),
        ),
        ("GET", SPLITS.to_owned(), None, Page(shapes::SPLIT)),
        (
            "POST",
            SPLITS.to_owned(),
            Some(payaut.split("order-4")),
            One(shapes::SPLIT),
        ),
        ("GET", format!("{SPLITS}/{split}"), None, One(shapes::SPLIT)),
        ("GET", REFUNDS.to_owned(), None, Page(shapes::REFUND)),
        (
            "POST",
            REFUNDS.to_owned(),
            Some(refund("order-2", "mutation-2")),
            One(shapes::REFUND),
        ),
        ("GET", format!("{REFUNDS}/{back}"), None, One(shapes::REFUND)),
        ("POST", format!("v2/fund/cancel/split/{open}"), Some(json!({})), Nothing),
        ("GET", balance, None, One(shapes::BALANCE)),
        (
            "GET",
            "v2/merchants/divisionInfos".to_owned(),
            None,
            Rows(shapes::DIVISION),
        ),
    ]
}

/// What is found outside the first document.
async fn of_treasury(payaut: &Payaut) -> Vec<Case> {
    let payout = payaut.payout(SELLER, 1_000).await;
    let kept = text(&payaut.post(REQUESTS, &payout).await.ok(), "code");
    let doomed = text(&payaut.post(REQUESTS, &payout).await.ok(), "code");
    let transfer = json!({
        "fromAccountCode": payaut.account(super::MARKETPLACE),
        "toAccountCode": payaut.account(SELLER),
        "amount": 500,
        "currency": "EUR",
        "idempotencyKey": "key-1",
        "type": "CORRECTION",
        "description": "goodwill",
    });
    let schedule = format!("v2/fund/payout-config/account/{}", payaut.account(SELLER));
    let daily = json!({ "isActivated": true, "interval": "WEEKLY" });
    let report = "v2/reports/seller-settlement";
    let asked = json!({ "account": payaut.account(SELLER), "from": "2026-01-01", "to": "2026-01-31" });
    payaut.post(report, &asked).await.ok();
    let webhook = json!({ "url": "http://127.0.0.1:9/hooks", "type": "WEBHOOK_PAYOUT_UPDATE", "isActivated": false });
    let configured = text(&payaut.post("v2/notification", &webhook).await.ok(), "id");
    vec![
        ("POST", REQUESTS.to_owned(), Some(payout), One(shapes::PAYOUT)),
        ("GET", format!("{REQUESTS}/{kept}"), None, One(shapes::PAYOUT)),
        ("DELETE", format!("{REQUESTS}/{doomed}"), None, Nothing),
        ("GET", REQUESTS.to_owned(), None, Page(shapes::PAYOUT)),
        (
            "GET",
            "v2/payouts?status=PENDING".to_owned(),
            None,
            Feed(shapes::PAYOUT),
        ),
        (
            "POST",
            "v2/fund/balance/transfer".to_owned(),
            Some(transfer),
            One(shapes::TRANSFER),
        ),
        ("GET", schedule.clone(), None, One(shapes::SCHEDULE)),
        ("PATCH", schedule.clone(), Some(daily.clone()), One(shapes::SCHEDULE)),
        ("DELETE", schedule, None, Nothing),
        (
            "GET",
            "v2/fund/payout-config/own".to_owned(),
            None,
            One(shapes::SCHEDULE),
        ),
        (
            "PATCH",
            "v2/fund/payout-config/own".to_owned(),
            Some(daily.clone()),
            One(shapes::SCHEDULE),
        ),
        (
            "GET",
            "v2/fund/payout-config/default".to_owned(),
            None,
            One(shapes::SCHEDULE),
        ),
        (
            "PATCH",
            "v2/fund/payout-config/default".to_owned(),
            Some(daily),
            One(shapes::SCHEDULE),
        ),
        ("GET", report.to_owned(), None, Feed(shapes::REPORT)),
        ("POST", report.to_owned(), Some(asked), One(shapes::REPORT)),
        (
            "POST",
            "v2/notification".to_owned(),
            Some(webhook.clone()),
            One(shapes::WEBHOOK),
        ),
        (
            "GET",
            format!("v2/notification/{configured}"),
            None,
            One(shapes::WEBHOOK),
        ),
        ("GET", "v2/notification".to_owned(), None, Rows(shapes::WEBHOOK)),
        (
            "PUT",
            format!("v2/notification/{configured}"),
            Some(webhook),
            One(shapes::WEBHOOK),
        ),
    ]
}

impl Answer {
    /// Holds what is shown against the shape.
    fn check(&self, shown: &Json) {
        let members = |shown: &Json, names: &[&str]| {
            let all: Vec<&str> = shown.as_object().unwrap().keys().map(String::as_str).collect();
            assert_eq!(all, names);
        };
        let (rows, shape) = match self {
            Nothing => return assert_eq!(*shown, Json::Null),
            Plain => return assert!(shown.as_str().unwrap().starts_with("https://"), "{shown}"),
            One(shape) => (vec![shown.clone()], shape),
            Rows(shape) => (shown.as_array().unwrap().clone(), shape),
            Page(shape) => {
                members(shown, &["elements", "pageNumber", "pageSize", "totalElementCount"]);
                (shown["elements"].as_array().unwrap().clone(), shape)
            }
            Feed(shape) => {
                members(shown, &["items", "pagination"]);
                (shown["items"].as_array().unwrap().clone(), shape)
            }
        };
        assert!(!rows.is_empty(), "{shown} shows nothing");
        rows.iter().for_each(|row| assert_shape(row, shape));
    }
}

async fn answer(payaut: &Payaut, (method, path, body, answer): &Case) {
    let reply = payaut.try_send(method, path, body.as_ref()).await.expect("an answer");
    let shown = String::from_utf8_lossy(&reply.body).into_owned();
    assert!(
        matches!(reply.status, 200 | 201),
        "{method} {path}: {} {shown}",
        reply.status
    );
    if matches!(answer, Plain) {
        assert_eq!(reply.header("content-type"), Some("text/plain;charset=UTF-8"));
    }
    answer.check(&reply.shown());
}

/// A world with at least one of everything, and a request for every operation: how many of them are of the first
/// document, and all.
async fn cases(payaut: &Payaut) -> (usize, Vec<Case>) {
    let funds = of_funds(payaut).await;
    let holders = of_holders(payaut).await;
    // An owner was added, so KYC began anew: nobody is paid until that is over.
    payaut.bench.pass(500);
    let treasury = of_treasury(payaut).await;
    let documented = holders.len() + funds.len();
    // A change of a holder would close the payouts to it.
    (documented, funds.into_iter().chain(treasury).chain(holders).collect())
}

/// Whether a path with places is this one.
fn leads_to(endpoint: &Endpoint, method: &str, path: &str) -> bool {
    let (places, parts): (Vec<&str>, Vec<&str>) = (endpoint.path.split('/').collect(), path.split('/').collect());
    let mut both = places.iter().zip(&parts);
    endpoint.method.as_str() == method
        && places.len() == parts.len()
        && both.all(|(place, part)| place == part || place.starts_with('{'))
}

/// The same for whoever asks under the names of the connector.
pub(crate) async fn served(payaut: &Payaut) -> Vec<Served> {
    let (_, cases) = cases(payaut).await;
    let served = cases.into_iter().map(|(method, path, body, answer)| {
        let path = format!("/{}", path.split('?').next().unwrap());
        Served {
            is: Box::new({
                let path = path.clone();
                move |endpoint| leads_to(endpoint, method, &path)
            }),
            path,
            body,
            check: Box::new(move |shown| answer.check(shown)),
        }
    });
    served.collect()
}

#[tokio::test]
async fn every_operation_answers_its_documented_shape() {
    let payaut = Payaut::start().await;
    let (documented, cases) = cases(&payaut).await;
    for case in &cases {
        answer(&payaut, case).await;
    }
    let called = payaut.bench.control().requests();
    let called = called.keys().filter(|name| name.starts_with("payaut.")).count();
    println!("{called} operations of Payaut answered in their shape, {documented} of them of its own document");
    assert_eq!((documented, cases.len(), called), (27, 46, 46));
    payaut.bench.assert_balanced();
}

#[tokio::test]
async fn what_is_made_can_be_asked_of_the_control() {
    let payaut = Payaut::start().await;
    let split = payaut.made("order-1").await;
    let shown = payaut
        .bench
        .control()
        .resource(Uuid::parse_str(&split).unwrap())
        .unwrap();
    assert_eq!(shown, payaut.get(&format!("{SPLITS}/{split}")).await.ok());
    let account = payaut.bench.control().resource(payaut.bench.account(SELLER)).unwrap();
    assert_shape(&account, shapes::ACCOUNT);
    assert_eq!(account["extRef"], "seller-1_virtual_account");
}
