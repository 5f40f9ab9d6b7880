//! What one run did alone under a name, and an older state of the store has forgotten, is waited for by the next.

use std::sync::Arc;
use std::time::Duration;

use bursar::base::clock::Clock as _;
use bursar::model::run::RunState;
use bursar::simulator::control::NewDeposit;
use bursar::store::sqlite::care::backup::backup;
use bursar::store::sqlite::care::restore::restore;
use bursar::store::{Acceptance, Store};
use serde_json::json;

use crate::support::{World, passing, until};

/// How long the list of payouts is behind.
const LAG_MS: u64 = 100_000;

/// Time passes by so much while a run waits.
const STEP: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
async fn a_deposit_that_a_forgotten_run_has_just_sent_back_does_not_go_back_again() {
    let gives =
        |gives: &str| format!(r#"let told = "given back"; try {{ {gives} }} catch (e) {{ told = e.error; }} told"#);
    goes_back_once(|deposit| gives(&format!(r#"bank::return_deposit("{deposit}");"#))).await;
    goes_back_once(|deposit| {
        gives(&format!(
            r#"bank::send_back(#{{ deposit: "{deposit}", amount: EUR(30), reference: "overpaid" }});"#
        ))
    })
    .await;
}

/// A run sends a part of it back and is forgotten; then this is asked for.
async fn goes_back_once(then: impl Fn(&str) -> String) {
    let (world, clock) = World::standing_still().await;
    let bank = world.simulator.control.clone();
    bank.configure(|config| config.lists.visibility_lag_ms = LAG_MS);
    let deposit = bank.create_deposit(&NewDeposit::new("Collections EUR", "75.20", "who knows"));
    let deposit = deposit.expect("it arrives");
    let made = |kind: &str| bank.effects().iter().filter(|effect| effect.kind == kind).count();
    let (folder, file) = (world.folder.path(), world.folder.path().join("backup.db"));

    let store = world.store().await;
    backup(folder, &file, clock.now()).await.expect("backed up");
    let engine = world.engine(store.clone()).await;
    let send = format!(r#"bank::send_back(#{{ deposit: "{deposit}", amount: EUR(20), reference: "overpaid" }}).id"#);
    let sends = world.start(store.as_ref(), &send, json!({}), json!({})).await;
    // It has paid, and waits for the list to show that.
    until(store.as_ref(), sends, |run| {
        made("payout") == 1 && run.state == RunState::Waiting
    })
    .await;
    engine.stop().await;
    store.close().await.expect("closed");

    restore(folder, &file, clock.now()).await.expect("restored");
    let store: Arc<dyn Store> = world.store().await;
    let acceptance = Acceptance {
        actor: "tess".to_owned(),
        reason: "looked".to_owned(),
        at: clock.now(),
    };
    store.accept_restore(acceptance).await.expect("accepted");
    // Whoever is asked from now on is no run that was forgotten.
    clock.advance(STEP);
    let engine = world.engine(store.clone()).await;
    let gives = then(&deposit.to_string());
    let gives = world.start(store.as_ref(), &gives, json!({}), json!({})).await;
    let run = passing(store.as_ref(), &clock, gives, RunState::Waiting, STEP).await;
    engine.stop().await;
    store.close().await.expect("closed");
    assert_eq!((made("payout"), made("return")), (1, 0), "{:?}", run.result);
    assert_eq!(run.result, Some(json!("sent_back_before")), "{:?}", run.error);
}
