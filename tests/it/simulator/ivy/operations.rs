//! Every operation of the reference answers, in its documented shape.

use bursar::simulator::control::NewDeposit;
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::shapes::{self, Shape, assert_shape};
use super::{Ivy, iban, payout};
use crate::simulator::bench::{BENEFICIARY, Receiver, id_of};
use crate::simulator::served::Served;

enum Answer {
    One(Shape),
    /// A page with the rows under this name.
    Page(&'static str, Shape),
    Rows(Shape),
}

use Answer::{One, Page, Rows};

type Case = (&'static str, Json, Answer);

/// A world with at least one of everything, and a request for every operation.
async fn cases(ivy: &Ivy, receiver: &Receiver) -> Vec<Case> {
    let control = ivy.bench.control();
    let deposit = |amount: &str| {
        let deposit = NewDeposit::new("Ivy EUR", amount, "INV-7");
        control.create_deposit(&deposit).unwrap()
    };
    let (kept, returned) = (deposit("80.00"), deposit("70.00"));
    let plain = |reply: &Json| reply["id"].as_str().unwrap().to_owned();
    let given_back = id_of(&ivy.call("return/create", &json!({ "depositId": returned })).await.ok());
    let order = json!({ "amount": 100, "currency": "EUR", "referenceId": "ORDER-1" });
    let order_id = plain(&ivy.call("order/create", &order).await.ok());
    control
        .advance(Uuid::parse_str(&order_id).unwrap(), "paid", None)
        .unwrap();
    let spare = plain(&ivy.call("order/create", &order).await.ok());
    let refund = json!({ "amount": 30, "orderId": order_id });
    let refund_id = id_of(&ivy.call("refund/create", &refund).await.ok());
    ivy.bench.pass(150);
    ivy.bench.pass(150);
    let session = json!({
        "price": { "total": 49.9, "currency": "EUR", "vat": 7.97 },
        "referenceId": "CART-1",
        "successCallbackUrl": "https://shop.example/done",
        "lineItems": [{ "name": "Lamp", "amount": 49.9, "singleNet": 41.93, "singleVat": 7.97, "quantity": 1 }],
    });
    let session_id = plain(&ivy.call("checkout/session/create", &session).await.ok());
    let customer = json!({ "fullName": "Erika Mustermann", "email": "erika@example.com" });
    let customer_id = plain(&ivy.call("customer/create", &customer).await.ok());
    let other_customer = plain(&ivy.call("customer/create", &json!({})).await.ok());
    let fx = json!({
        "sourceAccountId": ivy.bench.account("Ivy EUR"),
        "targetAccountId": ivy.bench.account("Ivy USDC"),
        "sourceAmount": "100",
    });
    let fx_id = id_of(&ivy.call("fx/execute", &fx).await.ok());
    let payout_id = ivy.pay("12.5").await;
    let subaccount = json!({ "legalName": "Kontor Weiss", "mcc": "5411" });
    let subaccount_id = id_of(&ivy.call("subaccount/create", &subaccount).await.ok());
    let subscription = json!({ "url": receiver.url(), "events": ["payout.paid"] });
    let subscribed = plain(&ivy.call("webhook-subscription/create", &subscription).await.ok());
    let elsewhere = json!({ "url": format!("{}/2", receiver.url()) });
    let doomed = plain(&ivy.call("webhook-subscription/create", &elsewhere).await.ok());
    let event = control.events().last().unwrap()["id"].clone();
    let start = 1_767_225_600;
    let with = |id: &str| json!({ "id": id });

    vec![
        ("banks/details", json!({ "id": "de-nordlicht-bank" }), One(shapes::BANK)),
        ("banks/list", json!({ "market": "DE" }), Page("banks", shapes::BANK)),
        ("banks/search", json!({ "search": "bank" }), Page("banks", shapes::BANK)),
        ("checkout/session/create", session, One(shapes::SESSION)),
        ("checkout/session/details", with(&session_id), One(shapes::SESSION)),
        ("checkout/session/expire", with(&session_id), One(shapes::SESSION)),
        ("customer/create", customer, One(shapes::CUSTOMER)),
        ("customer/retrieve", with(&customer_id), One(shapes::CUSTOMER)),
        (
            "customer/update",
            json!({ "id": customer_id, "phone": "+4915112345678" }),
            One(shapes::CUSTOMER),
        ),
        ("customer/delete", with(&other_customer), One(shapes::SUCCESS)),
        (
            "customer/search",
            json!({ "email": "erika@example.com" }),
            Page("items", shapes::CUSTOMER),
        ),
        ("order/create", order, One(shapes::ORDER)),
        ("order/details", with(&order_id), One(shapes::ORDER)),
        ("order/expire", with(&spare), One(shapes::ORDER)),
        ("deposit/retrieve", json!({ "id": returned }), One(shapes::DEPOSIT)),
        ("return/create", json!({ "depositId": kept }), One(shapes::RETURN)),
        ("return/retrieve", json!({ "id": given_back }), One(shapes::RETURN)),
        (
            "fx/retrieve-rate",
            json!({ "sourceCurrency": "EUR", "targetCurrency": "USDC", "sourceAmount": "100" }),
            One(shapes::RATE),
        ),
        ("fx/execute", fx, One(shapes::FX)),
        ("fx/retrieve", json!({ "fxId": fx_id }), One(shapes::FX)),
        (
            "transaction/list",
            json!({ "from": start, "to": start + 100 }),
            One(shapes::LINES),
        ),
        (
            "merchant/capabilities/details",
            json!({ "market": "DE" }),
            One(shapes::CAPABILITIES),
        ),
        ("refund/create", refund, One(shapes::REFUND)),
        ("refund/retrieve", json!({ "id": refund_id }), One(shapes::REFUND)),
        ("payout/create", payout("10"), One(shapes::PAYOUT)),
        ("payout/retrieve", with(&payout_id), One(shapes::PAYOUT)),
        ("payout/list", json!({}), Page("items", shapes::PAYOUT)),
        ("subaccount/create", subaccount, One(shapes::SUBACCOUNT)),
        (
            "subaccount/retrieve",
            json!({ "id": subaccount_id }),
            One(shapes::SUBACCOUNT),
        ),
        (
            "balance/retrieve",
            json!({ "accountId": ivy.bench.account("Ivy EUR") }),
            One(shapes::BALANCES),
        ),
        ("webhook/trigger", json!({ "id": event }), One(shapes::SUCCESS)),
        (
            "webhook-subscription/create",
            json!({ "url": format!("{}/3", receiver.url()) }),
            One(shapes::SUBSCRIPTION),
        ),
        (
            "webhook-subscription/update",
            json!({ "id": subscribed, "events": ["payout.failed"] }),
            One(shapes::SUBSCRIPTION),
        ),
        (
            "webhook-subscription/list",
            json!({}),
            Page("items", shapes::SUBSCRIPTION),
        ),
        ("webhook-subscription/delete", with(&doomed), One(shapes::SUCCESS)),
        ("webhook-subscription/ping", with(&subscribed), One(shapes::PING)),
        (
            "payee/verify",
            json!({ "payee": iban(BENEFICIARY) }),
            One(shapes::VERDICT),
        ),
        // Last: it takes everything.
        ("beneficiary-payout/create", json!({}), Rows(shapes::SETTLEMENT)),
    ]
}

impl Answer {
    /// Holds what is shown against the shape; how many rows it has.
    fn check(&self, shown: &Json) -> usize {
        let (rows, shape) = match self {
            One(shape) => (vec![shown.clone()], shape),
            Rows(shape) => (shown.as_array().unwrap().clone(), shape),
            Page(name, shape) => {
                assert!(shown["count"].is_number() && shown["hasNext"].is_boolean(), "{shown}");
                (shown[*name].as_array().unwrap().clone(), shape)
            }
        };
        rows.iter().for_each(|row| assert_shape(row, shape));
        rows.len()
    }
}

/// A world that can settle.
pub(crate) async fn whole() -> Ivy {
    let own = bursar::simulator::resources::FinancialAddress::Iban {
        iban: BENEFICIARY.to_owned(),
        account_holder_name: "Nordlicht Handels GmbH".to_owned(),
        bic: None,
    };
    Ivy::with(|config| config.settlement_destination = Some(own)).await
}

/// The same for whoever asks under the names of the connector.
pub(crate) async fn served(ivy: &Ivy, receiver: &Receiver) -> Vec<Served> {
    let cases = cases(ivy, receiver).await.into_iter();
    let served = cases.map(|(operation, body, answer)| {
        let path = format!("/api/service/{operation}");
        Served {
            is: Box::new({
                let path = path.clone();
                move |endpoint| endpoint.path == path
            }),
            path,
            body: Some(body),
            check: Box::new(move |shown| {
                answer.check(shown);
            }),
        }
    });
    served.collect()
}

#[tokio::test]
async fn every_operation_answers_its_documented_shape() {
    let ivy = whole().await;
    let receiver = Receiver::start(&[]).await;
    let cases = cases(&ivy, &receiver).await;
    for (operation, body, answer) in &cases {
        let shown = ivy.call(operation, body).await.ok();
        assert!(answer.check(&shown) > 0, "{operation} shows nothing");
    }
    let called = ivy.bench.control().requests();
    let called = called.keys().filter(|name| name.starts_with("ivy.")).count();
    println!("{called} operations of Ivy answered in their shape");
    assert_eq!((cases.len(), called), (38, 38));
    ivy.bench.assert_balanced();
}
