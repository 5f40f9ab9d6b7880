//! The Payaut simulator over real sockets: does it keep the contract of its reference?

mod errors;
mod holders;
mod kyc;
mod lists;
pub(crate) mod operations;
mod payouts;
mod refunds;
mod schedules;
mod settlement;
mod shapes;
mod splits;
mod transfers;
mod walk;
mod webhooks;

use bursar::simulator::config::payaut::{DEMO_TOKEN, HolderSeed, PayautConfig};
use bursar::simulator::resources::FinancialAddress;
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::bench::{BENEFICIARY, Bench};
use super::http::{Reply, send};

pub(crate) const SELLER: &str = "Atelier Blum";
pub(crate) const OTHER: &str = "Kontor Weiss";
pub(crate) const MARKETPLACE: &str = "Marketplace";

pub(crate) const SPLITS: &str = "v1/fund/split-payments";
pub(crate) const REFUNDS: &str = "v1/fund/split-refunds";
pub(crate) const REQUESTS: &str = "v1/fund/payout-requests";

/// Payaut beside the demo of the first provider: a marketplace and two sellers with a bank each.
pub(crate) struct Payaut {
    pub(crate) bench: Bench,
}

pub(crate) fn bank(holder: &str, iban: &str) -> FinancialAddress {
    FinancialAddress::Iban {
        iban: iban.to_owned(),
        account_holder_name: holder.to_owned(),
        bic: None,
    }
}

pub(crate) fn seller(label: &str, opening: &str) -> HolderSeed {
    HolderSeed {
        bank: Some(bank(label, BENEFICIARY)),
        ..HolderSeed::new(label, opening)
    }
}

impl Payaut {
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut PayautConfig)) -> Self {
        let bench = Bench::with(|config| {
            config.payaut.marketplace = Some(seller(MARKETPLACE, "500.00"));
            config.payaut.holders = vec![seller(SELLER, "100.00"), seller(OTHER, "0")];
            config.payaut.holders[0].reference = Some("seller-1".to_owned());
            change(&mut config.payaut);
        })
        .await;
        Self { bench }
    }

    pub(crate) async fn try_send(&self, method: &str, path: &str, body: Option<&Json>) -> Option<Reply> {
        let authorization = format!("Bearer {DEMO_TOKEN}");
        let mut headers = vec![("authorization", authorization.as_str())];
        if body.is_some() {
            headers.push(("content-type", "application/json"));
        }
        let target = format!("/payaut/{path}");
        let body = body.map(ToString::to_string);
        let body = body.as_deref().map(str::as_bytes);
        send(self.bench.running.address, method, &target, &headers, body).await
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.try_send("GET", path, None).await.expect("an answer")
    }

    pub(crate) async fn delete(&self, path: &str) -> Reply {
        self.try_send("DELETE", path, None).await.expect("an answer")
    }

    pub(crate) async fn post(&self, path: &str, body: &Json) -> Reply {
        self.try_send("POST", path, Some(body)).await.expect("an answer")
    }

    pub(crate) async fn patch(&self, path: &str, body: &Json) -> Reply {
        self.try_send("PATCH", path, Some(body)).await.expect("an answer")
    }

    pub(crate) async fn put(&self, path: &str, body: &Json) -> Reply {
        self.try_send("PUT", path, Some(body)).await.expect("an answer")
    }

    /// The code of the account of a holder of the beginning.
    pub(crate) fn account(&self, label: &str) -> String {
        code(self.bench.account(label))
    }

    /// The code of a holder of the beginning.
    pub(crate) async fn holder(&self, label: &str) -> String {
        let all = self.get("v1/accountholders").await.ok();
        let all = all["elements"].as_array().unwrap();
        let found = all.iter().find(|holder| holder["displayName"] == label);
        text(found.unwrap(), "code")
    }

    /// The code of the bank of a holder of the beginning.
    pub(crate) async fn bank(&self, label: &str) -> String {
        let holder = self.holder(label).await;
        let all = self
            .get(&format!("v1/accountholders/{holder}/externalaccounts"))
            .await
            .ok();
        let all = all["elements"].as_array().unwrap();
        let selected = all.iter().find(|known| known["selected"] == true);
        text(selected.unwrap(), "code")
    }

    /// The payout balance in euros, in cents.
    pub(crate) async fn balance(&self, label: &str) -> i64 {
        let balance = self.get(&format!("v1/fund/balance/{}", self.account(label))).await.ok();
        let amounts = balance["amounts"].as_array().unwrap();
        let euros = amounts.iter().find(|amount| amount["currency"] == "EUR");
        euros.unwrap()["amount"].as_i64().unwrap()
    }

    /// A split of 100 euros: 90 for the seller and 10 for the marketplace.
    pub(crate) fn split(&self, reference: &str) -> Json {
        let item = |name: &str, amount: u64, account: &str, label: &str| {
            json!({
                "type": "ITEM",
                "extRef": format!("{reference}-{name}"),
                "amount": amount,
                "accountCode": self.account(account),
                "label": label,
            })
        };
        json!({
            "extRef": reference,
            "totalAmount": 10_000,
            "currency": "EUR",
            "pspExtRef": format!("psp-{reference}"),
            "paymentProcessor": "ADYEN",
            "paymentMethod": "iDEAL",
            "items": [
                item("product", 9_000, SELLER, "PRODUCT_ITEM"),
                item("commission", 1_000, MARKETPLACE, "COMMISSION"),
            ],
        })
    }

    /// Makes that split and gives its code.
    pub(crate) async fn made(&self, reference: &str) -> String {
        let made = self.post(SPLITS, &self.split(reference)).await;
        assert_eq!(made.status, 201, "{}", made.json());
        text(&made.json(), "code")
    }

    /// Makes that split and lets it be settled.
    pub(crate) async fn settled(&self, reference: &str) -> String {
        let code = self.made(reference).await;
        self.advance(&code, "reconciled");
        code
    }

    pub(crate) fn advance(&self, code: &str, status: &str) {
        let id = Uuid::parse_str(code).unwrap();
        self.bench.control().advance(id, status, None).unwrap();
    }

    /// A payout of a seller's to its bank, due at once.
    pub(crate) async fn payout(&self, label: &str, amount: u64) -> Json {
        json!({
            "accountCode": self.account(label),
            "amount": amount,
            "sourceCurrency": "EUR",
            "targetCurrency": "EUR",
            "description": "op-0001",
            "externalAccountCode": self.bank(label).await,
            "processAt": "2026-01-01T01:00:00.000+01:00",
        })
    }

    /// The rows of the feed of transactions that a query finds, as type and status.
    pub(crate) async fn seen(&self, query: &str) -> Vec<String> {
        let feed = self
            .get(&format!("v2/transactions?query={query}&direction=asc"))
            .await
            .ok();
        let rows = feed["items"].as_array().unwrap();
        rows.iter()
            .map(|row| format!("{} {}", row["type"].as_str().unwrap(), row["status"].as_str().unwrap()))
            .collect()
    }
}

pub(crate) fn code(id: Uuid) -> String {
    id.to_string().to_uppercase()
}

pub(crate) fn text(resource: &Json, name: &str) -> String {
    resource[name].as_str().unwrap().to_owned()
}

/// A refusal with this status, in the proposed form.
pub(crate) fn refused(reply: &Reply, status: u16) -> String {
    let body = reply.json();
    assert_eq!(reply.status, status, "{body}");
    assert_eq!(body["status"], status, "{body}");
    assert!(body["error"].is_string(), "{body}");
    text(&body, "message")
}
