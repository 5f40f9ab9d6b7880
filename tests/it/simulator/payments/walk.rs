//! Random operations, and random things that happen: no cent is made or lost, and the counters say what moved.
//!
//! `BURSAR_SEED` replays them.

use std::collections::BTreeMap;

use bursar::simulator::config::payments::{BANK, CARD, DECLINED_CARD, EMPTY_BANK, PaymentsConfig};
use bursar::simulator::ledger::Place;
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::{Pay, inside, number, rows};

const OPERATIONS: usize = 700;

const STATUSES: [&str; 19] = [
    "captured",
    "failed",
    "cancelled",
    "settled",
    "reversed",
    "disputed",
    "succeeded",
    "expired",
    "under_review",
    "contested",
    "accepted",
    "pre_arbitration",
    "won",
    "lost",
    "pending",
    "held",
    "completed",
    "returned",
    "retried",
];

struct Walk {
    pay: Pay,
    rng: fastrand::Rng,
    /// Ids of everything made, as the control takes them.
    made: Vec<Uuid>,
    intents: Vec<String>,
}

impl Walk {
    async fn post(&mut self, path: &str, body: Json) -> Option<Json> {
        let reply = self.pay.post(path, &body).await;
        assert!(matches!(reply.status, 200 | 201 | 400), "{path} {body}: {reply:?}");
        let shown = Some(reply.json()).filter(|_| reply.status < 300)?;
        self.made.extend(shown["id"].as_str().map(inside));
        Some(shown)
    }

    fn amount(&mut self) -> u64 {
        self.rng.u64(0..5_000)
    }

    fn splits(&mut self, amount: u64) -> Json {
        match self.rng.bool() {
            true => json!([]),
            false => {
                json!([{ "recipient_id": "payee_1", "recipient_type": "payee", "amount": self.rng.u64(0..=amount) }])
            }
        }
    }

    async fn new_intent(&mut self) {
        let amount = self.amount();
        let (splits, capture) = (self.splits(amount), self.rng.bool());
        let intent = json!({ "amount": amount, "capture": capture, "payment_splits": splits });
        let shown = if self.rng.u8(0..5) == 0 {
            let mut body = super::operations::external(amount);
            body["payment_intent"] = intent;
            self.post("/external_payments", body).await
        } else {
            self.post("/payment_intents", intent).await
        };
        self.intents.extend(shown.map(|shown| super::text(&shown["id"])));
    }

    async fn step(&mut self) {
        let Some(intent) = self.rng.choice(self.intents.iter()).cloned() else {
            return self.new_intent().await;
        };
        let amount = self.amount();
        match self.rng.u8(0..12) {
            0 | 1 => self.new_intent().await,
            2 | 3 => {
                let method = [CARD, CARD, BANK, DECLINED_CARD, EMPTY_BANK][self.rng.usize(0..5)];
                let body = json!({ "payment_method_id": method });
                self.post(&format!("/payment_intents/{intent}/payments"), body).await;
            }
            4 => {
                let body = json!({ "amount": amount, "payment_splits": self.splits(amount) });
                self.post(&format!("/payment_intents/{intent}/capture"), body).await;
            }
            5 => {
                let body = json!({ "amount": amount, "gateway_capture_response": {} });
                self.post(&format!("/external_payments/{intent}/capture"), body).await;
            }
            6 => {
                self.post(
                    &format!("/payment_intents/{intent}/refunds"),
                    json!({ "amount": amount }),
                )
                .await;
            }
            7 => {
                let body = json!({ "payment_intent_id": intent, "gateway_response": {} });
                self.post("/external_refunds", body).await;
            }
            8 if self.rng.bool() => {
                self.post(&format!("/payment_intents/{intent}/cancel"), json!({})).await;
            }
            8 => {
                let account = inside(&self.pay.account);
                drop(self.pay.bench.control().advance(account, "paid_out", None));
                for list in ["/payouts?limit=5", "/disputes?limit=5"] {
                    let shown = rows(&self.pay.get(list).await.ok());
                    self.made
                        .extend(shown.iter().map(|row| inside(row["id"].as_str().unwrap())));
                }
            }
            9 => self.pay.bench.pass(self.rng.u64(0..400)),
            _ => {
                let (id, status) = (self.rng.choice(self.made.iter()), self.rng.choice(STATUSES));
                if let Some((id, status)) = id.zip(status) {
                    // Most steps do not fit; what matters is that none of them makes money.
                    drop(self.pay.bench.control().advance(*id, status, None));
                }
            }
        }
    }
}

async fn all(pay: &Pay, path: &str) -> Vec<Json> {
    let mut found = Vec::new();
    loop {
        let after = found.last().map(|last: &Json| super::text(&last["id"]));
        let after = after.map(|id| format!("&starting_after={id}")).unwrap_or_default();
        let page = rows(&pay.get(&format!("{path}?limit=50{after}")).await.ok());
        let is_last = page.len() < 50;
        found.extend(page);
        if is_last {
            return found;
        }
    }
}

/// What the reference says must hold of the numbers.
async fn check_numbers(pay: &Pay, seed: u64) {
    let intents = all(pay, "/payment_intents").await;
    for intent in &intents {
        let of = |name: &str| number(&intent[name]);
        assert!(
            of("amount_captured") <= of("amount_authorized"),
            "BURSAR_SEED={seed}: {intent}"
        );
        let back = of("amount_refunded") + of("amount_reversed");
        assert!(back <= of("amount_captured"), "BURSAR_SEED={seed}: {intent}");
    }
    let lines = all(pay, "/transactions").await;
    let payouts = all(pay, "/payouts").await;
    let sum = |lines: &mut dyn Iterator<Item = &Json>| lines.map(|line| number(&line["amount"])).sum::<i64>();
    let mut completed = Vec::new();
    for payout in payouts.iter().filter(|payout| payout["status"] != "cancelled") {
        let mut own = lines.iter().filter(|line| line["payout_id"] == payout["id"]);
        assert_eq!(sum(&mut own), number(&payout["amount"]), "BURSAR_SEED={seed}: {payout}");
        if payout["status"] == "completed" {
            completed.push(payout["id"].clone());
        }
    }
    let mut open = lines.iter().filter(|line| !completed.contains(&line["payout_id"]));
    let (pending, available) = pay.balance().await;
    assert_eq!(pending + available, sum(&mut open), "BURSAR_SEED={seed}");
    println!(
        "{OPERATIONS} random operations at Payments: {} intents, {} lines, {} payouts (BURSAR_SEED={seed})",
        intents.len(),
        lines.len(),
        payouts.len()
    );
}

#[tokio::test]
async fn no_cent_is_made_or_lost_in_random_operations() {
    let seed = crate::support::number("BURSAR_SEED", fastrand::u64(..));
    let pay = Pay::with(|config: &mut PaymentsConfig| {
        config.fee_basis_points = 290;
        config.batch_fee = 25;
        config.reject_fee = 15;
    })
    .await;
    let mut walk = Walk {
        pay,
        rng: fastrand::Rng::with_seed(seed),
        made: Vec::new(),
        intents: Vec::new(),
    };
    for _ in 0..OPERATIONS {
        walk.step().await;
    }
    check_numbers(&walk.pay, seed).await;
    walk.pay.bench.pass(30 * 24 * 60 * 60 * 1_000);
    check_numbers(&walk.pay, seed).await;
    let ledger = walk.pay.bench.control().ledger();
    assert!(ledger.invariant_ok, "BURSAR_SEED={seed}: {:?}", ledger.invariant_error);
    let mut sums = BTreeMap::new();
    for (place, amount) in &ledger.places {
        *sums.entry(amount.currency()).or_insert(0) += amount.minor();
        let pending = matches!(place, Place::Unsettled(_));
        assert!(
            !pending || amount.is_zero(),
            "BURSAR_SEED={seed}: {place:?} holds {amount} for ever"
        );
    }
    assert!(sums.values().all(|sum| *sum == 0), "BURSAR_SEED={seed}: {sums:?}");
}
