//! Random operations at both providers: no cent is made or lost, and every line says what it moved.
//!
//! `BURSAR_SEED` replays them.

use std::collections::BTreeMap;

use bursar::simulator::config::ivy::IvyConfig;
use bursar::simulator::control::NewDeposit;
use bursar::simulator::ledger::Place;
use serde_json::{Value as Json, json};

use super::{Ivy, iban, number, payout};
use crate::simulator::bench::BENEFICIARY;

const OPERATIONS: usize = 600;

const STATUSES: [&str; 11] = [
    "initiated",
    "in_transit",
    "paid",
    "succeeded",
    "pending",
    "failed",
    "canceled",
    "returned",
    "waiting_for_payment",
    "finalizing",
    "closed",
];

struct Walk {
    ivy: Ivy,
    rng: fastrand::Rng,
    /// Ids of everything made, as the control takes them.
    made: Vec<uuid::Uuid>,
    deposits: Vec<Json>,
    orders: Vec<Json>,
    treasury: String,
}

impl Walk {
    fn amount(&mut self) -> String {
        format!("{}.{:02}", self.rng.u32(0..400), self.rng.u32(1..100))
    }

    fn one(&mut self, of: &[Json]) -> Option<Json> {
        self.rng.choice(of.iter()).cloned()
    }

    async fn call(&mut self, operation: &str, body: Json) -> Option<Json> {
        let reply = self.ivy.call(operation, &body).await;
        assert!(
            matches!(reply.status, 200 | 400 | 404 | 409 | 423),
            "{operation} {body}: {reply:?}"
        );
        let shown = Some(reply.json()).filter(|_| reply.status == 200)?;
        let id = shown["id"].as_str().and_then(|id| uuid::Uuid::parse_str(id).ok());
        self.made.extend(id);
        Some(shown)
    }

    async fn step(&mut self) {
        let amount = self.amount();
        match self.rng.u8(0..10) {
            0 | 1 => {
                let mut body = payout(&amount);
                let to = if self.rng.bool() {
                    self.treasury.clone()
                } else {
                    BENEFICIARY.to_owned()
                };
                body["destination"]["financialAddress"] = iban(&to);
                self.call("payout/create", body).await;
            }
            2 => {
                let deposit = NewDeposit::new("Ivy EUR", &amount, "INV");
                let id = self.ivy.bench.control().create_deposit(&deposit).unwrap();
                self.deposits.push(json!(id));
            }
            3 => {
                let deposits = self.deposits.clone();
                if let Some(id) = self.one(&deposits) {
                    self.call("return/create", json!({ "depositId": id })).await;
                }
            }
            4 => {
                let body = json!({ "amount": number(&amount), "currency": "EUR", "referenceId": amount });
                if let Some(order) = self.call("order/create", body).await {
                    self.orders.push(order["id"].clone());
                }
            }
            5 => {
                let orders = self.orders.clone();
                if let Some(id) = self.one(&orders) {
                    let body = json!({ "orderId": id, "amount": number(&amount) });
                    self.call("refund/create", body).await;
                }
            }
            6 => {
                let accounts = ["Ivy EUR", "Ivy GBP", "Ivy USDC"].map(|label| json!(self.ivy.bench.account(label)));
                let (from, to) = (self.one(&accounts), self.one(&accounts));
                let body = json!({ "sourceAccountId": from, "targetAccountId": to, "sourceAmount": amount });
                self.call("fx/execute", body).await;
            }
            7 if self.rng.u8(0..20) == 0 => {
                self.call("beneficiary-payout/create", json!({})).await;
            }
            7 => self.ivy.bench.pass(self.rng.u64(0..200)),
            _ => {
                let (id, status) = (self.rng.choice(self.made.iter()), self.rng.choice(STATUSES));
                if let Some((id, status)) = id.zip(status) {
                    // Most steps do not fit; what matters is that none of them makes money.
                    drop(self.ivy.bench.control().advance(*id, status, None));
                }
            }
        }
    }
}

/// Every line's balance follows from its amount, and the last one is what the account holds.
async fn check_lines(ivy: &Ivy, label: &str, seed: u64) {
    let mut body = json!({ "from": 0, "to": 1_900_000_000, "accountId": ivy.bench.account(label) });
    let (mut last, mut count) = (None, 0);
    loop {
        let page = ivy.call("transaction/list", &body).await.ok();
        for line in page["data"].as_array().unwrap() {
            let decimal = |value: &Json| value.as_str().unwrap().parse::<rust_decimal::Decimal>().unwrap();
            let (before, after) = (decimal(&line["balance"]["before"]), decimal(&line["balance"]["after"]));
            let moved = match line["side"].as_str() {
                Some("credit") => after - before,
                _ => before - after,
            };
            assert_eq!(moved, decimal(&line["amount"]), "BURSAR_SEED={seed}: {line}");
            assert!(last.is_none_or(|last| last == before), "BURSAR_SEED={seed}: {line}");
            last = Some(after);
            count += 1;
        }
        match page["paging"].get("nextCursor") {
            Some(cursor) => body["afterCursor"] = cursor.clone(),
            None => break,
        }
    }
    let held = ivy.bench.balance(label).parse().unwrap();
    assert!(
        count > 0 && last == Some(held),
        "BURSAR_SEED={seed}: {label} holds {held}, its lines say {last:?}"
    );
}

#[tokio::test]
async fn no_cent_is_made_or_lost_in_random_operations_at_both_providers() {
    let seed = crate::support::number("BURSAR_SEED", fastrand::u64(..));
    let ivy = Ivy::with(|config| *config = IvyConfig::demo()).await;
    let accounts = ivy.bench.get("/v1/accounts?limit=100").await.ok();
    let accounts = accounts["data"].as_array().unwrap();
    let treasury = accounts
        .iter()
        .find(|account| account["label"] == "Treasury EUR")
        .unwrap();
    let mut walk = Walk {
        treasury: treasury["financial_addresses"][0]["iban"].as_str().unwrap().to_owned(),
        ivy,
        rng: fastrand::Rng::with_seed(seed),
        made: Vec::new(),
        deposits: Vec::new(),
        orders: Vec::new(),
    };
    for _ in 0..OPERATIONS {
        walk.step().await;
    }
    walk.ivy.bench.pass(7 * 24 * 60 * 60 * 1_000);
    let ledger = walk.ivy.bench.control().ledger();
    assert!(ledger.invariant_ok, "BURSAR_SEED={seed}: {:?}", ledger.invariant_error);
    let mut sums = BTreeMap::new();
    for (place, amount) in &ledger.places {
        *sums.entry(amount.currency()).or_insert(0) += amount.minor();
        assert!(
            !matches!(place, Place::Reserved(_)),
            "BURSAR_SEED={seed}: {place:?} holds {amount} for ever"
        );
    }
    assert!(sums.values().all(|sum| *sum == 0), "BURSAR_SEED={seed}: {sums:?}");
    for label in ["Ivy EUR", "Ivy GBP", "Ivy USDC"] {
        check_lines(&walk.ivy, label, seed).await;
    }
    let effects = ledger.effects.iter().filter(|effect| effect.provider == "ivy");
    println!(
        "{OPERATIONS} random operations at both providers: {} effects (BURSAR_SEED={seed})",
        effects.count()
    );
}
