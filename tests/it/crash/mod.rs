//! Every shipped workflow, with the process dying at each of its writes, before and after the write.
//!
//! After the death the store is opened again and the run goes on. Whatever the point, the provider's ledger has
//! to show exactly what a run without a crash leaves there.

use std::sync::Arc;
use std::time::Duration;

use bursar::model::run::RunState;
use bursar::model::workflow::{Source, Version};
use bursar::simulator::control::NewDeposit;
use bursar::store::faulty::{Fault, Faulty};
use serde_json::{Value as Json, json};

use crate::support::real_time::{Patience, pause};
use crate::support::{World, audit_store, open, report, settled};

/// The texts of a shipped workflow and what happened before it runs.
struct Shipped {
    name: &'static str,
    sources: &'static [(&'static str, &'static str)],
    manifest: &'static str,
    /// A deposit, and the event about it.
    deposit: Option<(&'static str, &'static str, &'static str)>,
    /// How many movements a run makes.
    movements: usize,
}

const SHIPPED: &[Shipped] = &[
    Shipped {
        name: "nightly-sweep",
        sources: &[(
            "nightly_sweep.rhai",
            include_str!("../../../scripts/nightly_sweep.rhai"),
        )],
        manifest: include_str!("../../../workflows/nightly-sweep.toml"),
        deposit: None,
        movements: 2,
    },
    Shipped {
        name: "convert-stablecoin-deposits",
        sources: &[(
            "convert_stablecoin_deposits.rhai",
            include_str!("../../../scripts/convert_stablecoin_deposits.rhai"),
        )],
        manifest: include_str!("../../../workflows/convert-stablecoin-deposits.toml"),
        deposit: Some(("USDC wallet", "2500.00", "")),
        movements: 1,
    },
    Shipped {
        name: "split-settlement",
        sources: &[
            (
                "split_settlement.rhai",
                include_str!("../../../scripts/split_settlement.rhai"),
            ),
            ("lib/sellers.rhai", include_str!("../../../scripts/lib/sellers.rhai")),
        ],
        manifest: include_str!("../../../workflows/split-settlement.toml"),
        deposit: Some(("Marketplace EUR", "199.99", "SELLER-042 order 17")),
        movements: 2,
    },
    Shipped {
        name: "return-unmatched-deposits",
        sources: &[
            (
                "return_unmatched_deposits.rhai",
                include_str!("../../../scripts/return_unmatched_deposits.rhai"),
            ),
            ("lib/invoices.rhai", include_str!("../../../scripts/lib/invoices.rhai")),
        ],
        manifest: include_str!("../../../workflows/return-unmatched-deposits.toml"),
        deposit: Some(("Collections EUR", "75.20", "HELLO")),
        movements: 1,
    },
];

impl Shipped {
    fn version(&self) -> Version {
        let source = |(path, text): &(&str, &str)| Source {
            path: (*path).to_owned(),
            text: (*text).to_owned(),
        };
        let sources = self.sources.iter().map(source).collect();
        Version::new(
            self.name.to_owned(),
            self.manifest.to_owned(),
            vec!["bank".to_owned()],
            sources,
        )
    }

    /// The manifest's params, by the same rule as the loader's: texts.
    fn params(&self) -> Json {
        let (_, table) = self.manifest.split_once("[params]").unwrap_or(("", ""));
        let mut params = serde_json::Map::new();
        for line in table.lines() {
            if let Some((key, value)) = line.split_once('=')
                && let Some(text) = value.split('"').nth(1)
            {
                params.insert(key.trim().to_owned(), json!(text));
            }
        }
        Json::Object(params)
    }

    fn event(&self, world: &World) -> Json {
        let Some((account, amount, reference)) = self.deposit else {
            return json!({"type": "cron"});
        };
        let deposit = NewDeposit::new(account, amount, reference);
        let id = world
            .simulator
            .control
            .create_deposit(&deposit)
            .expect("the deposit arrives");
        json!({"type": "deposit.received", "payload": world.simulator.control.resource(id)})
    }
}

/// What a run of the workflow left behind, when the store died at one write.
async fn run_with(shipped: &Shipped, fault: Fault) -> (u64, String) {
    let world = World::demo().await;
    let event = shipped.event(&world);
    let store = world.store().await;
    let id = world
        .start_version(store.as_ref(), shipped.version(), event, shipped.params())
        .await;
    let faulty = Faulty::new(store.clone(), fault);
    let engine = world.engine(faulty.clone()).await;
    if fault == Fault::Never {
        settled(store.as_ref(), id).await;
    } else {
        let patience = Patience::new(Duration::from_secs(20));
        while !faulty.is_dead() {
            assert!(!patience.is_over(), "{}: write {fault:?} is never made", shipped.name);
            pause(Duration::from_millis(2)).await;
        }
    }
    engine.stop().await;
    store.close().await.expect("the store closes");
    drop(store);

    let store = open(world.folder.path()).await;
    store
        .reclaim_all(world.clock.now())
        .await
        .expect("runs are taken up again");
    let engine = world.engine(store.clone()).await;
    let run = settled(store.as_ref(), id).await;
    engine.stop().await;
    assert_eq!(
        run.state,
        RunState::Succeeded,
        "{} {fault:?}: {:?}",
        shipped.name,
        run.error
    );
    let audit = audit_store(store.as_ref(), &world.simulator).await;
    assert!(audit.is_exact(), "{} {fault:?}: {audit}", shipped.name);
    assert_eq!(audit.paid(), shipped.movements, "{} {fault:?}: {audit}", shipped.name);
    assert!(world.simulator.control.ledger().invariant_ok);
    store.close().await.expect("the store closes");
    (faulty.writes(), audit.to_string())
}

async fn survives_a_crash_at_every_write(name: &str) {
    let shipped = SHIPPED
        .iter()
        .find(|shipped| shipped.name == name)
        .expect("a shipped workflow");
    let (writes, clean) = run_with(shipped, Fault::Never).await;
    let shipped: &'static Shipped = shipped;
    let clean = Arc::new(clean);
    let mut points = 0;
    for number in 1..=writes {
        for fault in [Fault::Before(number), Fault::After(number)] {
            let (_, crashed) = run_with(shipped, fault).await;
            assert_eq!(crashed, *clean, "{name} {fault:?}");
            points += 1;
        }
    }
    report(&format!(
        "{name}: {points} crash points over {writes} writes, each leaves: {clean}"
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_nightly_sweep_survives_a_crash_at_every_write() {
    survives_a_crash_at_every_write("nightly-sweep").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_conversion_survives_a_crash_at_every_write() {
    survives_a_crash_at_every_write("convert-stablecoin-deposits").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_split_survives_a_crash_at_every_write() {
    survives_a_crash_at_every_write("split-settlement").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_return_survives_a_crash_at_every_write() {
    survives_a_crash_at_every_write("return-unmatched-deposits").await;
}
