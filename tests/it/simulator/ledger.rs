//! The books under two thousand random operations: no cent is made or lost, and what the API says is what
//! the books say.
//!
//! `BURSAR_SEED` replays them.

use std::collections::BTreeMap;

use bursar::base::money::{Currency, Money};
use bursar::simulator::config::Advance;
use bursar::simulator::control::NewDeposit;
use bursar::simulator::ledger::Place;
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::bench::{BENEFICIARY, Bench, id_of};
use crate::support::{number, report};

const OPERATIONS: usize = 2_000;

struct Walk {
    bench: Bench,
    rng: fastrand::Rng,
    accounts: Vec<Json>,
    deposits: Vec<Uuid>,
    /// What can be moved on: payouts, conversions, returns.
    open: Vec<Uuid>,
}

impl Walk {
    fn amount(&mut self, currency: &str) -> String {
        let minor = i128::from(self.rng.i64(1..3_000_000));
        let currency = Currency::from_code(currency).unwrap();
        Money::from_minor(minor, currency).unwrap().amount().to_string()
    }

    fn account(&mut self) -> Json {
        let place = self.rng.usize(0..self.accounts.len());
        self.accounts[place].clone()
    }

    async fn step(&mut self) {
        match self.rng.u8(0..10) {
            0 | 1 => self.deposit(),
            2..=4 => self.payout().await,
            5 => self.conversion().await,
            6 => self.give_back().await,
            _ => self.advance(),
        }
        self.bench.pass(self.rng.u64(0..2_000));
    }

    fn deposit(&mut self) {
        let account = self.account();
        let amount = self.amount(account["currency"].as_str().unwrap());
        let deposit = NewDeposit::new(account["id"].as_str().unwrap(), &amount, "random");
        self.deposits
            .push(self.bench.control().create_deposit(&deposit).unwrap());
    }

    async fn payout(&mut self) {
        let (account, other) = (self.account(), self.account());
        let currency = account["currency"].as_str().unwrap().to_owned();
        let outside = match currency.as_str() {
            "EUR" => json!({ "type": "iban", "iban": BENEFICIARY, "account_holder_name": "Example GmbH" }),
            "USD" => json!({
                "type": "aba", "routing_number": "026009593", "account_number": "1", "account_holder_name": "Example",
            }),
            _ => json!({ "type": "crypto_wallet", "address": "0xabc", "blockchain": "ethereum" }),
        };
        let own = other["currency"] == account["currency"] && other["id"] != account["id"] && self.rng.bool();
        let body = json!({
            "source_account_id": account["id"],
            "amount": self.amount(&currency),
            "currency": currency,
            "destination": if own { other["financial_addresses"][0].clone() } else { outside },
            "reference": "random",
        });
        self.open.push(id_of(&self.bench.post("/v1/payouts", &body).await.ok()));
    }

    async fn conversion(&mut self) {
        let (source, target) = (self.account(), self.account());
        let body = json!({
            "source_account_id": source["id"],
            "target_account_id": target["id"],
            "source_amount": self.amount(source["currency"].as_str().unwrap()),
        });
        let reply = self.bench.post("/v1/conversions", &body).await;
        if reply.status == 200 {
            self.open.push(id_of(&reply.ok()));
        } else {
            reply.refused(400, "parameter_invalid");
        }
    }

    async fn give_back(&mut self) {
        if self.deposits.is_empty() {
            return;
        }
        let deposit = self.deposits[self.rng.usize(0..self.deposits.len())];
        let reply = self.bench.post("/v1/returns", &json!({ "deposit_id": deposit })).await;
        match reply.status {
            200 => self.open.push(id_of(&reply.ok())),
            _ => drop(reply.refused(409, "conflict")),
        }
    }

    /// Some steps do not fit: they are refused and change nothing.
    fn advance(&mut self) {
        if self.open.is_empty() {
            return;
        }
        let id = self.open[self.rng.usize(0..self.open.len())];
        let words = ["initiated", "paid", "failed", "returned", "completed"];
        let word = words[self.rng.usize(0..words.len())];
        let before = self.bench.control().resource(id);
        if self.bench.control().advance(id, word, None).is_err() {
            assert_eq!(self.bench.control().resource(id), before, "{word}");
        }
    }
}

async fn walk(seed: u64, advance: Advance) {
    let bench = Bench::with(|config| {
        config.seed = seed;
        config.lifecycle.advance = advance;
        config.lifecycle.payout_returned_ms = seed.is_multiple_of(2).then_some(1_000);
        config.lifecycle.return_returned_ms = seed.is_multiple_of(3).then_some(1_000);
    })
    .await;
    let mut walk = Walk {
        accounts: bench.control().accounts(),
        bench,
        rng: fastrand::Rng::with_seed(seed),
        deposits: Vec::new(),
        open: Vec::new(),
    };
    for number in 0..OPERATIONS {
        walk.step().await;
        if number % 100 == 0 {
            walk.bench.assert_balanced();
        }
    }
    walk.bench.pass(60_000);
    let ledger = walk.bench.control().ledger();
    assert!(
        ledger.invariant_ok,
        "BURSAR_SEED={seed:#x}: {:?}",
        ledger.invariant_error
    );
    assert!(
        ledger.effects.len() > OPERATIONS / 4,
        "BURSAR_SEED={seed:#x}: too little happened"
    );
    let mut sums: BTreeMap<Currency, i128> = BTreeMap::new();
    for (place, amount) in &ledger.places {
        *sums.entry(amount.currency()).or_default() += amount.minor();
        let inside = matches!(place, Place::Account(_) | Place::Reserved(_));
        assert!(
            !inside || !amount.is_negative(),
            "BURSAR_SEED={seed:#x}: {place:?} {amount}"
        );
    }
    assert!(sums.values().all(|sum| *sum == 0), "BURSAR_SEED={seed:#x}: {sums:?}");
    for held in &ledger.balances {
        let shown = walk
            .bench
            .get(&format!("/v1/accounts/{}/balance", held.account_id))
            .await
            .ok();
        assert_eq!(
            shown["amount"],
            held.available.amount().to_string(),
            "BURSAR_SEED={seed:#x}"
        );
    }
    let reserved = ledger
        .places
        .iter()
        .filter(|(place, _)| matches!(place, Place::Reserved(_)));
    let pending = ledger.effects.iter().filter(|effect| effect.status == "pending");
    if advance == Advance::Automatic {
        assert_eq!(
            (reserved.count(), pending.count()),
            (0, 0),
            "BURSAR_SEED={seed:#x}: everything came to an end"
        );
    }
    report(&format!(
        "{OPERATIONS} random operations, {advance:?}: {} effects, {} movements, no cent made or lost \
         (BURSAR_SEED={seed:#x})",
        ledger.effects.len(),
        ledger.movements
    ));
}

#[tokio::test]
async fn no_cent_is_made_or_lost_in_two_thousand_random_operations() {
    let seed = number("BURSAR_SEED", fastrand::u64(..));
    walk(seed, Advance::Manual).await;
    walk(seed, Advance::Automatic).await;
}
