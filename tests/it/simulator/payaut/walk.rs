//! Random operations: no cent is made or lost, and nothing is held for ever.
//!
//! `BURSAR_SEED` replays them.

use std::collections::BTreeMap;

use bursar::simulator::config::payaut::{Kyc, OverRefund};
use bursar::simulator::control::NewDeposit;
use bursar::simulator::ledger::Place;
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::{MARKETPLACE, OTHER, Payaut, REFUNDS, REQUESTS, SELLER, SPLITS};

const OPERATIONS: usize = 800;

const STATUSES: [&str; 10] = [
    "reported",
    "funded",
    "reconciled",
    "chargeback",
    "IN_PROGRESS",
    "PROCESSED",
    "FAILED",
    "ACTIVE",
    "scheduled_payout",
    "account",
];

struct Walk {
    payaut: Payaut,
    rng: fastrand::Rng,
    /// Codes of everything made.
    made: Vec<String>,
    splits: u32,
}

impl Walk {
    fn holder(&mut self) -> &'static str {
        self.rng.choice([SELLER, OTHER, MARKETPLACE]).unwrap()
    }

    /// An account, sometimes a wrong one.
    fn account(&mut self) -> Json {
        match self.rng.u8(0..8) {
            0 => json!("nobody"),
            1 => Json::Null,
            _ => {
                let holder = self.holder();
                json!(self.payaut.account(holder))
            }
        }
    }

    fn reference(&mut self) -> String {
        format!("order-{}", self.rng.u32(0..=self.splits))
    }

    fn items(&mut self, total: u64) -> Json {
        let first = self.rng.u64(1..total);
        let discount = self.rng.u64(1..=total);
        let mut item = |amount: u64, label: &str| {
            let reference = format!("item-{}", self.rng.u64(..));
            let account = self.account();
            json!({ "type": "ITEM", "extRef": reference, "amount": amount, "accountCode": account, "label": label })
        };
        let mut items = vec![item(first, "PRODUCT_ITEM"), item(total - first, "COMMISSION")];
        if discount < first {
            items.push(item(discount, "DISCOUNT"));
        }
        json!(items)
    }

    async fn post(&mut self, path: &str, body: Json) {
        let reply = self.payaut.post(path, &body).await;
        let known = matches!(reply.status, 200 | 201 | 404 | 409 | 422);
        assert!(known, "{path} {body}: {reply:?}");
        if reply.status < 300 && !reply.body.is_empty() {
            let shown = reply.json();
            self.made.extend(shown["code"].as_str().map(str::to_owned));
        }
    }

    async fn step(&mut self) {
        let amount = self.rng.u64(2..20_000);
        match self.rng.u8(0..10) {
            0 | 1 => {
                self.splits += 1;
                let reference = format!("order-{}", self.splits);
                let items = self.items(amount);
                let body = json!({
                    "extRef": reference, "totalAmount": amount, "currency": "EUR", "items": items,
                    "pspExtRef": format!("psp-{reference}"), "paymentProcessor": "MOLLIE",
                });
                self.post(SPLITS, body).await;
            }
            2 => {
                let mut body = json!({ "extRef": self.reference(), "pspMutationExtRef": format!("m-{amount}") });
                if self.rng.bool() {
                    body["totalAmount"] = json!(amount);
                    body["items"] = self.items(amount);
                }
                self.post(REFUNDS, body).await;
            }
            3 => {
                let (from, to) = (self.account(), self.account());
                let key = format!("key-{}", self.rng.u32(0..200));
                let body = json!({
                    "fromAccountCode": from, "toAccountCode": to, "amount": amount, "idempotencyKey": key, "type": "WALLET",
                });
                self.post("v2/fund/balance/transfer", body).await;
            }
            4 => {
                let holder = self.rng.choice([SELLER, OTHER]).unwrap();
                let body = self.payaut.payout(holder, amount).await;
                self.post(REQUESTS, body).await;
            }
            5 => {
                let code = self.rng.choice(self.made.iter()).cloned().unwrap_or_default();
                let path = if self.rng.bool() {
                    format!("v2/fund/cancel/split/{code:0>36}")
                } else {
                    "v2/fund/balance/transfer".to_owned()
                };
                self.post(&path, json!({})).await;
                self.payaut.delete(&format!("{REQUESTS}/{code}")).await;
            }
            6 => {
                let text = format!("{}.{:02}", amount / 100, amount % 100);
                let deposit = NewDeposit::new(self.holder(), &text, &format!("psp-{}", self.reference()));
                self.payaut.bench.control().create_deposit(&deposit).unwrap();
            }
            7 => self.payaut.bench.pass(self.rng.u64(0..400)),
            _ => {
                let (code, status) = (self.rng.choice(self.made.iter()), self.rng.choice(STATUSES));
                if let Some((code, status)) = code.zip(status) {
                    // Most steps do not fit; what matters is that none of them makes money.
                    let id = Uuid::parse_str(code).unwrap();
                    drop(self.payaut.bench.control().advance(id, status, None));
                }
            }
        }
    }
}

#[tokio::test]
async fn no_cent_is_made_or_lost_in_random_operations() {
    let seed = crate::support::number("BURSAR_SEED", fastrand::u64(..));
    let payaut = Payaut::with(|config| {
        config.over_refund = OverRefund::Accept;
        config.holders[1].kyc = Kyc::Active;
    })
    .await;
    let made = [SELLER, OTHER].map(|holder| payaut.account(holder)).to_vec();
    let mut walk = Walk {
        payaut,
        rng: fastrand::Rng::with_seed(seed),
        made,
        splits: 0,
    };
    for _ in 0..OPERATIONS {
        walk.step().await;
        let ledger = walk.payaut.bench.control().ledger();
        assert!(ledger.invariant_ok, "BURSAR_SEED={seed}: {:?}", ledger.invariant_error);
    }
    walk.payaut.bench.pass(60_000);
    let ledger = walk.payaut.bench.control().ledger();
    let mut sums = BTreeMap::new();
    for (place, amount) in &ledger.places {
        *sums.entry(amount.currency()).or_insert(0) += amount.minor();
        let is_reserved = matches!(place, Place::Reserved(_));
        assert!(!is_reserved, "BURSAR_SEED={seed}: {place:?} holds {amount} for ever");
    }
    assert!(sums.values().all(|sum| *sum == 0), "BURSAR_SEED={seed}: {sums:?}");
    // What is pending belongs to a payment that waits for its split or its report.
    let waiting = ["pending_split", "pending_settlement"];
    for (place, amount) in &ledger.places {
        if let Place::Pending(id) = place {
            let shown = walk.payaut.bench.control().resource(*id).unwrap();
            let status = shown["status"].as_str().unwrap();
            assert!(waiting.contains(&status), "BURSAR_SEED={seed}: {shown}");
            assert_eq!(shown["amount"], json!(i64::try_from(amount.minor()).unwrap()));
        }
    }
    let kinds = ledger.effects.iter().filter(|effect| effect.provider == "payaut");
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    kinds.for_each(|effect| *counts.entry(effect.kind).or_default() += 1);
    println!("{OPERATIONS} random operations at Payaut: {counts:?} (BURSAR_SEED={seed})");
    assert_eq!(counts.len(), 4, "every kind was made: {counts:?} (BURSAR_SEED={seed})");
}
