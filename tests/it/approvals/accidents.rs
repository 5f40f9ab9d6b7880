//! Deaths around an approval: the question, the answer and the payment are three writes, and each stands by itself.

use std::time::Duration;

use bursar::base::fault_point;
use bursar::model::journal::Entry;
use bursar::model::run::RunState;
use bursar::simulator::config::SimulatorConfig;
use bursar::store::Store;
use bursar::store::faulty::{Fault, Faulty};
use serde_json::json;

use super::{PAY, answer, count, journal};
use crate::support::daemon::Site;
use crate::support::real_time::{Patience, pause};
use crate::support::{World, audit_store, open, report, until};

/// A person who approves whatever a run asks, whenever it does.
async fn approve_all(store: &dyn Store, run: bursar::base::ids::RunId, world: &World) {
    let Ok(records) = store.journal(run).await else { return };
    let journal = bursar::model::journal::Journal::from_records(records).expect("legal");
    let open: Vec<String> = journal.approvals().map(|(path, _)| path.to_string()).collect();
    for step in open {
        let Ok(Some(_)) = store.run(run).await else { return };
        let path = super::path(&step);
        let decision = bursar::store::ApprovalDecision {
            run,
            asked: journal.step(&path).expect("the step").step.fingerprint,
            path,
            approved: true,
            actor: "maria".to_owned(),
            reason: "seen the invoice".to_owned(),
            at: world.clock.now(),
        };
        // Refused while the run is driven, or not heard by a store that has died.
        drop(store.decide(decision).await);
        world.wake.nudge();
    }
}

/// How many writes a run makes whose store dies at this one, and what it leaves behind.
async fn run_with(fault: Fault) -> (u64, String) {
    let world = World::demo().await;
    let store = world.store().await;
    let id = world.start(store.as_ref(), PAY, json!({}), json!({})).await;
    let faulty = Faulty::new(store.clone(), fault);
    let engine = world.engine(faulty.clone()).await;
    let patience = Patience::new(Duration::from_secs(20));
    loop {
        approve_all(faulty.as_ref(), id, &world).await;
        let over = store.run(id).await.expect("read").expect("there").state.is_final();
        if faulty.is_dead() || (fault == Fault::Never && over) {
            break;
        }
        assert!(!patience.is_over(), "write {fault:?} is never made");
        pause(Duration::from_millis(2)).await;
    }
    engine.stop().await;
    store.close().await.expect("closed");
    drop(store);

    let store = open(world.folder.path()).await;
    store.reclaim_all(world.clock.now()).await.expect("taken up again");
    let engine = world.engine(store.clone()).await;
    loop {
        approve_all(store.as_ref(), id, &world).await;
        if store.run(id).await.expect("read").expect("there").state.is_final() {
            break;
        }
        assert!(!patience.is_over(), "{fault:?}: it does not end");
        pause(Duration::from_millis(2)).await;
    }
    engine.stop().await;
    let run = store.run(id).await.expect("read").expect("there");
    assert_eq!(run.state, RunState::Succeeded, "{fault:?}: {:?}", run.error);
    assert_eq!(count(store.as_ref(), id, "decided").await, 1, "{fault:?}");
    let audit = audit_store(store.as_ref(), &world.simulator).await;
    assert!(audit.is_exact() && audit.paid() == 1, "{fault:?}: {audit}");
    store.close().await.expect("closed");
    (faulty.writes(), audit.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_survives_a_crash_at_every_write() {
    let (writes, clean) = run_with(Fault::Never).await;
    let mut points = 0;
    // Answers that are refused are writes, too, so their number differs from run to run.
    for number in 1..=writes.min(14) {
        for fault in [Fault::Before(number), Fault::After(number)] {
            let (_, crashed) = run_with(fault).await;
            assert_eq!(crashed, clean, "{fault:?}");
            points += 1;
        }
    }
    report(&format!(
        "{points} crash points around an approval, each leaves: {clean}"
    ));
}

/// The decision is a record of its own, and the intent names nothing that could be used up: a death between the two
/// leaves the decision as it was, the step after it unsent, and the next process pays once.
#[tokio::test(flavor = "multi_thread")]
async fn a_death_between_the_decision_and_the_intent_leaves_both_whole() {
    let world = World::demo().await;
    let store = world.store().await;
    let engine = world.engine(store.clone()).await;
    let id = world.start(store.as_ref(), PAY, json!({}), json!({})).await;
    until(store.as_ref(), id, |run| run.state == RunState::Waiting).await;
    engine.stop().await;
    let decision = answer(store.as_ref(), id, "1", true, world.clock.now()).await;
    store.decide(decision).await.expect("decided");
    store.close().await.expect("closed");
    drop(store);
    // 1: wake_due, 2: claim, 3: the intent, which is not written.
    crate::accidents::dies(&world, Fault::Before(3)).await;
    let store = open(world.folder.path()).await;
    assert_eq!(count(store.as_ref(), id, "decided").await, 1);
    assert_eq!(count(store.as_ref(), id, "intent").await, 0);
    assert!(world.simulator.control.effects().is_empty());
    store.reclaim_all(world.clock.now()).await.expect("taken up again");
    let engine = world.engine(store.clone()).await;
    let run = until(store.as_ref(), id, |run| run.state.is_final()).await;
    engine.stop().await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.error);
    let records = store.journal(id).await.expect("read");
    let order: Vec<&str> = records.iter().map(|record| record.entry.kind()).collect();
    assert_eq!(
        order,
        ["waiting", "decided", "done", "done", "done", "intent", "outcome"]
    );
    assert!(matches!(&records[1].entry, Entry::Decided { approved: true, .. }));
    let audit = audit_store(store.as_ref(), &world.simulator).await;
    assert!(audit.is_exact() && audit.paid() == 1, "{audit}");
    store.close().await.expect("closed");
}

/// The real daemon dies when the decision is durable and before anybody knows.
#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_dies_with_the_decision_durable_goes_on_where_it_was() {
    if !fault_point::COMPILED_IN {
        report("this build has no fault points: 0 deaths");
        return;
    }
    let mut site = Site::new(SimulatorConfig::demo()).await;
    std::fs::write(site.path("scripts/pay.rhai"), PAY).expect("written");
    let manifest = "name = \"pay\"\nsummary = \"Pays ACME.\"\nscript = \"pay.rhai\"\nuses = [\"bank\"]\n";
    std::fs::write(site.path("workflows/pay.toml"), manifest).expect("written");
    site.start_armed("decision-durable").await.expect("it starts");
    let id = site.run("pay").await.run;
    let store = site.store().await;
    until(store.as_ref(), id, |run| run.state == RunState::Waiting).await;
    let said = site
        .command(&["approvals", "approve", &id.to_string(), "1", "--reason", "fine"])
        .await;
    assert_eq!(said.code, Some(7), "{said:?}");
    assert!(
        said.stderr.contains("whether it was done is not known"),
        "{}",
        said.stderr
    );
    assert!(
        site.ends_within(Duration::from_secs(10)).await.expect("looked"),
        "it has died"
    );
    assert_eq!(count(store.as_ref(), id, "decided").await, 1);
    site.start().await;
    let run = until(store.as_ref(), id, |run| run.state.is_final()).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.error);
    let asked = journal(store.as_ref(), id).await;
    assert_eq!(asked.approvals().count(), 0);
    let again = site
        .command(&["approvals", "reject", &id.to_string(), "1", "--reason", "no"])
        .await;
    assert_eq!(again.code, Some(5), "{again:?}");
    assert!(
        again.stderr.contains("it was decided already: approved by"),
        "{}",
        again.stderr
    );
    let audit = audit_store(store.as_ref(), &site.bank).await;
    assert!(audit.is_exact() && audit.paid() == 1, "{audit}");
    site.stop().await;
}
