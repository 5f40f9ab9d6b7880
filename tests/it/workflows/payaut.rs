//! The shipped workflow of a marketplace at Payaut, on the simulator over a real socket: every captured payment is split
//! once, to the cent, and the fee keeps to its floor and its cap.

use std::sync::Arc;
use std::time::Duration;

use bursar::base::clock::{Clock as _, ManualClock, SystemClock};
use bursar::base::secret::Secret;
use bursar::connector::registry::Registry;
use bursar::engine::primitives::surface;
use bursar::model::run::{Run, RunState};
use bursar::model::workflow::{Source, Version};
use bursar::script::check;
use bursar::simulator::config::SimulatorConfig;
use bursar::simulator::config::payaut::{DEMO_TOKEN, HolderSeed};
use bursar::simulator::control::NewDeposit;
use bursar::simulator::faults::{FaultAction, FaultRule};
use serde_json::{Value as Json, json};

use crate::support::{World, audit_store, passing};

const SCRIPT: &str = include_str!("../../../scripts/split_captured_payments.rhai");
const MANIFEST: &str = include_str!("../../../workflows/split-captured-payments.toml");
const SPLIT: &str = "payaut.create_split";

/// How much time passes at once while a run waits.
const STEP: Duration = Duration::from_secs(30);

struct Marketplace {
    world: World,
    clock: ManualClock,
}

impl Marketplace {
    /// With two sellers, on whose accounts there is nothing.
    async fn new() -> Self {
        let clock = ManualClock::new(SystemClock::new().now());
        let mut config = SimulatorConfig::demo();
        let seller = |label: &str, number: &str| HolderSeed {
            reference: Some(number.to_owned()),
            ..HolderSeed::new(label, "0")
        };
        config.payaut.marketplace = Some(HolderSeed::new("Marketplace", "0"));
        config.payaut.holders = vec![seller("Blum", "seller-blum"), seller("Weiss", "seller-weiss")];
        let mut world = World::with_clock(config, Arc::new(clock.clone())).await;
        let mut hub = world.connections.remove("bank").expect("a connection");
        let connection = Arc::make_mut(&mut hub);
        connection.name = "hub".to_owned();
        connection.connector = Registry::built_in().get("payaut").expect("built in").clone();
        connection.base_url = format!("{}/payaut", world.simulator.url());
        connection.credential = Some(Secret::new(DEMO_TOKEN.to_owned()));
        world.connections.insert("hub".to_owned(), hub);
        Self { world, clock }
    }

    /// What a buyer paid, as the processor hands it over.
    fn pays(&self, number: &str, amount: &str) {
        let paid = NewDeposit::new("Marketplace", amount, number);
        self.world.simulator.control.create_deposit(&paid).expect("it arrives");
    }

    /// Payments are shown after a while.
    fn a_while_passes(&self) {
        self.clock.advance(Duration::from_secs(120));
    }

    async fn run(&self) -> Run {
        let source = Source {
            path: "split_captured_payments.rhai".to_owned(),
            text: SCRIPT.to_owned(),
        };
        let version = Version::new(
            "split-captured-payments".to_owned(),
            MANIFEST.to_owned(),
            vec!["hub".to_owned()],
            vec![source],
        );
        let account = self.world.simulator.control.account("Marketplace").expect("an account");
        let params = json!({
            "marketplace_account": account.to_string().to_uppercase(), "processor": "ADYEN",
            "fee_percent": "2.5", "fee_minimum": "0.50", "fee_maximum": "25.00",
        });
        let store = self.world.store().await;
        let engine = self.world.engine(store.clone()).await;
        let id = self
            .world
            .start_version(store.as_ref(), version, json!({"type": "cron"}), params)
            .await;
        let run = passing(store.as_ref(), &self.clock, id, RunState::Waiting, STEP).await;
        engine.stop().await;
        store.close().await.expect("closed");
        run
    }

    fn balance(&self, label: &str) -> String {
        let control = &self.world.simulator.control;
        let account = control.account(label).expect("an account");
        control.balance(account).expect("a balance").to_string()
    }

    /// What was split: number, and the cents of fee and seller.
    fn splits(&self) -> Vec<(String, Vec<i64>)> {
        let control = &self.world.simulator.control;
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
    market.world.simulator.control.add_fault(lost);
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
        ["Blum", "Weiss", "Marketplace"].map(|label| market.balance(label)),
        ["EUR 107.01", "EUR 4,975.00", "EUR 28.00"]
    );
    let store = market.world.store().await;
    let audit = audit_store(store.as_ref(), &market.world.simulator).await.to_string();
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
        &surface(&market.world.connections, &Registry::built_in(), &uses),
    );
    assert!(found.is_empty(), "{found:?}");
    // Where parts are paid out there is no payment to divide, and without its number nothing is divided here.
    let mut elsewhere = market.world.connections.clone();
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
        &surface(&market.world.connections, &Registry::built_in(), &uses),
    );
    let told: Vec<&str> = found.iter().map(|finding| finding.message.as_str()).collect();
    assert_eq!(told, ["`split` needs `processor`"]);
}
