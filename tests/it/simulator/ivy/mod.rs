//! The Ivy simulator over real sockets: does it keep the contract of its reference?

mod books;
mod money;
pub(crate) mod operations;
mod orders;
mod others;
mod payouts;
mod returns;
mod shapes;
mod walk;
mod webhooks;

use bursar::base::money::Currency;
use bursar::simulator::config::ivy::{DEMO_API_KEY, IvyConfig};
use bursar::simulator::config::{AccountSeed, SubscriptionSeed};
use serde_json::{Value as Json, json};

use super::bench::{BENEFICIARY, Bench, Receiver};
use super::http::{Reply, send};

/// What its webhooks are signed with here.
pub(crate) const SECRET: &str = "ivy_whs_example_0123456789";

/// Ivy beside the demo of the first provider, with an account in each currency.
pub(crate) struct Ivy {
    pub(crate) bench: Bench,
}

impl Ivy {
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut IvyConfig)) -> Self {
        let bench = Bench::with(|config| {
            let seed =
                |label, currency, opening| AccountSeed::new(label, Currency::from_code(currency).unwrap(), opening);
            config.ivy.accounts = vec![
                seed("Ivy EUR", "EUR", "1000.00"),
                seed("Ivy GBP", "GBP", "500.00"),
                seed("Ivy USDC", "USDC", "200"),
            ];
            change(&mut config.ivy);
        })
        .await;
        Self { bench }
    }

    /// Posts to an operation: `payout/create`.
    pub(crate) async fn call(&self, operation: &str, body: &Json) -> Reply {
        self.try_call(operation, body, None).await.expect("an answer")
    }

    pub(crate) async fn call_as(&self, key: &str, operation: &str, body: &Json) -> Reply {
        self.try_call(operation, body, Some(key)).await.expect("an answer")
    }

    pub(crate) async fn try_call(&self, operation: &str, body: &Json, key: Option<&str>) -> Option<Reply> {
        let mut headers = vec![
            ("x-ivy-api-key", DEMO_API_KEY),
            ("x-ivy-version", "2023-01-01"),
            ("content-type", "application/json"),
        ];
        headers.extend(key.map(|key| ("idempotency-key", key)));
        let target = format!("/ivy/api/service/{operation}");
        let body = body.to_string();
        send(
            self.bench.running.address,
            "POST",
            &target,
            &headers,
            Some(body.as_bytes()),
        )
        .await
    }

    pub(crate) async fn pay(&self, amount: &str) -> String {
        let payout = self.call("payout/create", &payout(amount)).await.ok();
        payout["id"].as_str().unwrap().to_owned()
    }

    pub(crate) fn subscribe(&self, receiver: &Receiver, events: &[&str]) {
        let subscription = SubscriptionSeed {
            url: receiver.url(),
            events: events.iter().map(|name| (*name).to_owned()).collect(),
            secret: Some(SECRET.to_owned()),
        };
        self.bench.control().add_subscription_at("ivy", &subscription).unwrap();
    }
}

pub(crate) fn iban(number: &str) -> Json {
    json!({ "type": "iban", "iban": { "accountHolderName": "Example GmbH", "iban": number } })
}

/// A number as it is written, digits and all.
pub(crate) fn number(text: &str) -> Json {
    serde_json::from_str(text).unwrap()
}

/// A payout to somebody else.
pub(crate) fn payout(amount: &str) -> Json {
    json!({
        "amount": number(amount),
        "currency": "EUR",
        "destination": { "type": "customer", "financialAddress": iban(BENEFICIARY) },
        "paymentReference": "INV-1",
        "metadata": { "bursar": "op_0001" },
    })
}
