//! Every shipped workflow, with the process dying at each of its writes, before and after the write.
//!
//! After the death the store is opened again and the run goes on. Whatever the point, the provider's ledger has
//! to show exactly what a run without a crash leaves there.

use std::sync::Arc;
use std::time::Duration;

use bursar::model::run::RunState;
use bursar::store::faulty::{Fault, Faulty};

use crate::support::real_time::{Patience, pause};
use crate::support::shipped::{SHIPPED, Shipped};
use crate::support::{World, audit_store, open, report, settled};

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
