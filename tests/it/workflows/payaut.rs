//! The shipped workflow of a marketplace at Payaut, on the simulator over a real socket: every captured payment is split
//! once, to the cent, and the fee keeps to its floor and its cap.

use std::sync::Arc;
use std::time::Duration;

use bursar::base::clock::ManualClock;
use bursar::connector::registry::Registry;
use bursar::engine::primitives::surface;
use bursar::model::run::{Cause, Run, RunState};
use bursar::model::workflow::Source;
use bursar::script::check;
use bursar::simulator::control::NewDeposit;
use bursar::simulator::faults::{FaultAction, FaultRule};
use bursar::store::Store;
use serde_json::{Value as Json, json};

use super::town::{self, Town, ended, runs};
use crate::support::{audit_store, passing};

const SCRIPT: &str = include_str!("../../../scripts/split_captured_payments.rhai");
const WORKFLOW: &str = "split-captured-payments";
const SPLIT: &str = "payaut.create_split";

/// The schedule of the manifest: every ten minutes.
const SLOT_SECS: u64 = 600;

/// How much time passes at once while a run waits.
const STEP: Duration = Duration::from_secs(30);

/// What a buyer of the marketplace paid, as the processor hands it over.
fn pays(town: &Town, number: &str, amount: &str) {
    let paid = NewDeposit::new("Payaut marketplace", amount, number);
    town.world.simulator.control.create_deposit(&paid).expect("it arrives");
}

struct Marketplace {
    town: Town,
    clock: ManualClock,
}

impl Marketplace {
    /// With two sellers, as the demo has them.
    async fn new() -> Self {
        let (town, clock) = Town::standing_still(WORKFLOW).await;
        let control = &town.world.simulator.control;
        // Longer than from slot to slot: a run sees what the one before it has split as if nobody had.
        control.configure(|config| config.payaut.transactions_lag_ms = 900_000);
        Self { town, clock }
    }

    /// What a buyer paid, as the processor hands it over.
    fn pays(&self, number: &str, amount: &str) {
        pays(&self.town, number, amount);
    }

    /// Payments are shown after a while.
    fn a_while_passes(&self) {
        self.clock.advance(Duration::from_secs(900));
    }

    /// The last run that the schedule of the manifest makes up to its next slot; one that was passed meanwhile may have been
    /// caught up before it. Each slot has one.
    async fn run(&self) -> Run {
        let store = self.town.world.store().await;
        let before = runs(store.as_ref()).await.len();
        let process = self.town.opens(store.clone()).await;
        self.town.fires(store.clone(), &self.clock, SLOT_SECS).await;
        let made = runs(store.as_ref()).await;
        let slot = |run: &Run| match run.cause {
            Cause::Cron { slot, .. } => slot,
            ref other => panic!("{other:?}"),
        };
        let mut slots: Vec<_> = made.iter().map(slot).collect();
        slots.sort();
        slots.dedup();
        assert_eq!(slots.len(), made.len(), "one slot, one run");
        let mut last = None;
        for run in &made[before..] {
            last = Some(passing(store.as_ref(), &self.clock, run.id, RunState::Waiting, STEP).await);
        }
        process.ends().await;
        store.close().await.expect("closed");
        last.expect("its slot has a run")
    }

    fn balance(&self, label: &str) -> String {
        let control = &self.town.world.simulator.control;
        let account = control.account(label).expect("an account");
        control.balance(account).expect("a balance").to_string()
    }

    /// What was split: number, and the cents of fee and seller.
    fn splits(&self) -> Vec<(String, Vec<i64>)> {
        let control = &self.town.world.simulator.control;
        assert!(control.ledger().invariant_ok, "{:?}", control.ledger().invariant_error);
        let effects = control.effects().into_iter().filter(|effect| effect.kind == "split");
        let cents = |items: &Json| {
            let items = items.as_array().expect("items").iter();
            items.map(|item| item["amount"].as_i64().expect("cents")).collect()
        };
        let mut splits: Vec<(String, Vec<i64>)> = effects
            .map(|effect| (effect.reference.clone().unwrap_or_default(), cents(&effect.destination)))
            .collect();
        splits.sort();
        splits
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_captured_payment_is_split_once_and_the_fee_keeps_to_its_floor_and_its_cap() {
    let market = Marketplace::new().await;
    for (number, amount) in [
        ("seller-blum:order-1", "100.01"),
        ("seller-blum:order-2", "10.00"),
        ("seller-weiss:order-3", "5000.00"),
        ("nobody:order-4", "70.00"),
    ] {
        market.pays(number, amount);
    }
    market.a_while_passes();
    // An answer is lost, and what shows the payments is behind: the second run sees them as if nobody had split them.
    let lost = FaultRule::on(SPLIT, FaultAction::DropAfterEffect).times(1);
    market.town.world.simulator.control.add_fault(lost);
    for _ in 0..2 {
        let run = market.run().await;
        assert_eq!(run.state, RunState::Succeeded, "{:?}", run.error);
    }
    market.a_while_passes();
    let run = market.run().await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.error);
    let split = |number: &str, cents: [i64; 2]| (number.to_owned(), cents.to_vec());
    assert_eq!(
        market.splits(),
        [
            split("seller-blum:order-1", [250, 9_751]),
            split("seller-blum:order-2", [50, 950]),
            split("seller-weiss:order-3", [2_500, 497_500]),
        ]
    );
    assert_eq!(
        ["Atelier Blum", "Kontor Weiss", "marketplace"].map(|label| market.balance(&format!("Payaut {label}"))),
        ["EUR 587.01", "EUR 5,050.00", "EUR 1,028.00"]
    );
    let store = market.town.world.store().await;
    let audit = audit_store(store.as_ref(), &market.town.world.simulator)
        .await
        .to_string();
    store.close().await.expect("closed");
    // Splits bear our number, not our reference: what was moved is told by its sum.
    assert!(audit.ends_with("ledger EUR 5,110.01 = journal EUR 5,110.01"), "{audit}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_cannot_be_split_stops_no_other_and_is_looked_at_again() {
    let market = Marketplace::new().await;
    market.pays("seller-blum:order-1", "20.00");
    market.pays("seller-weiss:order-2", "30.00");
    market.a_while_passes();
    let refused = FaultAction::Status {
        status: 422,
        when: bursar::simulator::faults::When::Before,
        retry_after_secs: None,
    };
    market
        .town
        .world
        .simulator
        .control
        .add_fault(FaultRule::on(SPLIT, refused).times(1));
    let run = market.run().await;
    let error = run.error.expect("one was refused");
    assert!(error.message.contains("1 of 2 payments"), "{error:?}");
    assert_eq!(market.splits().len(), 1);
    let run = market.run().await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.error);
    assert_eq!(market.splits().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_script_passes_the_check_at_its_provider_and_is_told_why_not_at_another() {
    let market = Marketplace::new().await;
    let source = Source {
        path: "split_captured_payments.rhai".to_owned(),
        text: SCRIPT.to_owned(),
    };
    let uses = ["hub".to_owned()];
    let found = check(
        std::slice::from_ref(&source),
        &surface(&market.town.world.connections, &Registry::built_in(), &uses),
    );
    assert!(found.is_empty(), "{found:?}");
    // Where parts are paid out there is no payment to divide, and without its number nothing is divided here.
    let mut elsewhere = market.town.world.connections.clone();
    let hub = Arc::make_mut(elsewhere.get_mut("hub").expect("there"));
    hub.connector = Registry::built_in().get("augustus").expect("built in").clone();
    let found = check(
        std::slice::from_ref(&source),
        &surface(&elsewhere, &Registry::built_in(), &uses),
    );
    let told: Vec<&str> = found.iter().map(|finding| finding.message.as_str()).collect();
    assert!(
        told.contains(&"`split` of this connection cannot be told `payment`"),
        "{told:?}"
    );
    let without = Source {
        text: SCRIPT.replace("processor: params.processor,", ""),
        ..source
    };
    let found = check(
        &[without],
        &surface(&market.town.world.connections, &Registry::built_in(), &uses),
    );
    let told: Vec<&str> = found.iter().map(|finding| finding.message.as_str()).collect();
    assert_eq!(told, ["`split` needs `processor`"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_captured_payment_is_split_once_over_a_crash_at_every_write() {
    let begin = async |town: &Town, store: &dyn Store| {
        pays(town, "seller-blum:order-1", "100.01");
        town.starts(store, json!({ "type": "cron" })).await;
    };
    let town = Town::of(WORKFLOW).await;
    let store = town.world.store().await;
    let process = town.opens(store.clone()).await;
    begin(&town, store.as_ref()).await;
    ended(store.as_ref(), 0).await;
    let audit = town.world.audit(store.as_ref()).await;
    assert_eq!((audit.is_exact(), audit.paid()), (true, 1), "{audit}");
    process.ends().await;
    town::survives_a_crash_at_every_write(WORKFLOW, begin, &format!("1 run succeeded; {audit}")).await;
}
