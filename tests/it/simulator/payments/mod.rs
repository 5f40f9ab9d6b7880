//! The Payments simulator over real sockets: does it keep the contract of its reference?

mod charges;
mod external;
mod happens;
mod keys;
mod lists;
pub(super) mod operations;
mod payouts;
mod refunds;
mod settings;
mod shapes;
mod strict;
mod walk;
mod webhooks;

use bursar::simulator::config::SubscriptionSeed;
use bursar::simulator::config::payments::{CARD, DEMO_API_KEY, MerchantSeed, PayeeSeed, PaymentsConfig};
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::bench::{Bench, Receiver};
use super::http::{Reply, send};

/// What its webhooks are signed with here.
pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Payments beside the demo of the first provider, with two merchants of two businesses.
pub(crate) struct Pay {
    pub(crate) bench: Bench,
    pub(crate) account: String,
}

impl Pay {
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut PaymentsConfig)) -> Self {
        let bench = Bench::with(|config| {
            let payee = |id: &str, active| PayeeSeed {
                id: id.to_owned(),
                active,
            };
            config.payments.accounts = vec![
                MerchantSeed::new("Shop"),
                MerchantSeed {
                    business: "Another business".to_owned(),
                    ..MerchantSeed::new("Other shop")
                },
            ];
            config.payments.payees = vec![payee("payee_1", true), payee("payee_2", false)];
            change(&mut config.payments);
        })
        .await;
        let account = MerchantSeed::shown_id(bench.account("Shop"));
        Self { bench, account }
    }

    /// Sends a request with these headers and the key.
    pub(crate) async fn send(
        &self,
        (method, path): (&str, &str),
        headers: &[(&str, &str)],
        body: Option<&Json>,
    ) -> Option<Reply> {
        let mut all = vec![("x-api-key", DEMO_API_KEY)];
        if body.is_some() {
            all.push(("content-type", "application/json"));
        }
        all.extend_from_slice(headers);
        let target = format!("/payments{path}");
        let body = body.map(Json::to_string);
        let body = body.as_ref().map(|body| body.as_bytes());
        send(self.bench.running.address, method, &target, &all, body).await
    }

    /// For the shop.
    async fn call(&self, route: (&str, &str), body: Option<&Json>, key: Option<&str>) -> Option<Reply> {
        let mut headers = vec![("x-account-id", self.account.as_str())];
        headers.extend(key.map(|key| ("x-idempotency-key", key)));
        self.send(route, &headers, body).await
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.call(("GET", path), None, None).await.expect("an answer")
    }

    pub(crate) async fn post(&self, path: &str, body: &Json) -> Reply {
        self.call(("POST", path), Some(body), None).await.expect("an answer")
    }

    pub(crate) async fn patch(&self, path: &str, body: &Json) -> Reply {
        self.call(("PATCH", path), Some(body), None).await.expect("an answer")
    }

    pub(crate) async fn post_as(&self, key: &str, path: &str, body: &Json) -> Reply {
        self.try_post(key, path, body).await.expect("an answer")
    }

    pub(crate) async fn try_post(&self, key: &str, path: &str, body: &Json) -> Option<Reply> {
        self.call(("POST", path), Some(body), Some(key)).await
    }

    /// A new intent, by its id.
    pub(crate) async fn intent(&self, body: &Json) -> String {
        text(&made(&self.post("/payment_intents", body).await)["id"])
    }

    /// Charges an intent.
    pub(crate) async fn charge(&self, intent: &str, method: &str) -> Json {
        let body = json!({ "payment_method_id": method });
        made(&self.post(&format!("/payment_intents/{intent}/payments"), &body).await)
    }

    /// An intent that a card has paid, by its id.
    pub(crate) async fn paid(&self, amount: u64) -> String {
        let intent = self.intent(&json!({ "amount": amount })).await;
        self.charge(&intent, CARD).await;
        intent
    }

    pub(crate) async fn fetch(&self, intent: &str) -> Json {
        self.get(&format!("/payment_intents/{intent}")).await.ok()
    }

    /// Pending and available.
    pub(crate) async fn balance(&self) -> (i64, i64) {
        let balance = self.get("/balances").await.ok();
        (number(&balance["pending"]), number(&balance["available"]))
    }

    /// Lets something happen to what has this id.
    pub(crate) fn advance(&self, id: &str, status: &str) -> Json {
        self.bench.control().advance(inside(id), status, None).unwrap()
    }

    pub(crate) fn subscribe(&self, receiver: &Receiver, events: &[&str]) {
        let subscription = SubscriptionSeed {
            url: receiver.url(),
            events: events.iter().map(|name| (*name).to_owned()).collect(),
            secret: Some(SECRET.to_owned()),
        };
        let control = self.bench.control();
        control.add_subscription_at("payments", &subscription).unwrap();
    }

    /// How many payments or refunds there are, whatever became of them.
    pub(crate) fn effects(&self, kind: &str) -> usize {
        let effects = self.bench.control().effects();
        effects
            .iter()
            .filter(|effect| effect.provider == "payments" && effect.kind == kind)
            .count()
    }
}

/// The body of a 201.
pub(crate) fn made(reply: &Reply) -> Json {
    assert_eq!(reply.status, 201, "{}", String::from_utf8_lossy(&reply.body));
    reply.json()
}

pub(crate) fn text(value: &Json) -> String {
    value
        .as_str()
        .unwrap_or_else(|| panic!("not a text: {value}"))
        .to_owned()
}

pub(crate) fn number(value: &Json) -> i64 {
    value.as_i64().unwrap_or_else(|| panic!("not a whole number: {value}"))
}

/// The id as the control takes it.
pub(crate) fn inside(id: &str) -> Uuid {
    Uuid::parse_str(id.rsplit('_').next().unwrap()).unwrap()
}

/// The rows of a page.
pub(crate) fn rows(page: &Json) -> Vec<Json> {
    page["data"].as_array().unwrap().clone()
}
