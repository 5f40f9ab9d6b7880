//! Deaths, doubts and cancellations while several branches are under way.

use std::time::Duration;

use bursar::model::journal::{Resolution, StepPath};
use bursar::model::run::RunState;
use bursar::simulator::config::SimulatorConfig;
use bursar::simulator::faults::{FaultAction, FaultRule, When};
use bursar::store::Decision;
use bursar::store::faulty::{Fault, Faulty};
use serde_json::json;

use super::{SIX_PAID, pay_six};
use crate::support::real_time::{Patience, pause};
use crate::support::{World, audit_store, open, passing, report, settled, until};

/// Runs six payments with the store dying at one write, then to the end on a store that lives. Says how many writes
/// there were until then, and whether the death was met: how branches share writes differs from run to run.
async fn dies(fault: Fault) -> (u64, bool) {
    let world = World::demo().await;
    let store = world.store().await;
    let id = world.start(store.as_ref(), &pay_six(""), json!({}), json!({})).await;
    let faulty = Faulty::new(store.clone(), fault);
    let engine = world.engine(faulty.clone()).await;
    let patience = Patience::new(Duration::from_secs(20));
    loop {
        let run = store.run(id).await.expect("it answers").expect("it is there");
        if faulty.is_dead() || run.state.is_final() {
            break;
        }
        assert!(!patience.is_over(), "{fault:?}: still {}", run.state);
        pause(Duration::from_millis(2)).await;
    }
    engine.stop().await;
    store.close().await.expect("closed");

    let store = open(world.folder.path()).await;
    store.reclaim_all(world.clock.now()).await.expect("reclaimed");
    let engine = world.engine(store.clone()).await;
    let run = settled(store.as_ref(), id).await;
    engine.stop().await;
    assert_eq!(run.state, RunState::Succeeded, "{fault:?}: {:?}", run.error);
    let audit = audit_store(store.as_ref(), &world.simulator).await;
    assert_eq!(audit.to_string(), SIX_PAID, "{fault:?}");
    store.close().await.expect("closed");
    (faulty.writes(), faulty.is_dead())
}

#[tokio::test(flavor = "multi_thread")]
async fn three_branches_of_two_payments_survive_a_crash_at_every_write() {
    let mut points = 0;
    let mut missed = 0;
    for number in 1.. {
        let (_, before) = dies(Fault::Before(number)).await;
        let (_, after) = dies(Fault::After(number)).await;
        points += usize::from(before) + usize::from(after);
        missed += usize::from(!before) + usize::from(!after);
        if !before && !after {
            break;
        }
    }
    // A clean run makes at least: a claim, an intent for each of the two payments of the slowest branch, its end.
    assert!(points >= 8, "{points} points");
    report(&format!(
        "three branches of two payments: {points} crash points ({missed} beyond the end), each leaves: {SIX_PAID}"
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_in_doubt_parks_the_run_and_only_it_goes_on() {
    let mut world = World::in_haste(SimulatorConfig::demo()).await;
    world.reconnect(|bank| bank.key_window_secs = Some(0));
    world
        .simulator
        .control
        .add_fault(FaultRule::on("freeze_account", FaultAction::DropAfterEffect).times(1));
    let script = r#"
        let from = bank::accounts(#{ label: "Operating DE" })[0].id;
        let other = bank::accounts(#{ label: "Operating NL" })[0].id;
        let to = bank::accounts(#{ label: "Treasury EUR" })[0].id;
        let done = parallel(["pay", "freeze", "wait"], |what| {
            if what == "freeze" { return bank::freeze_account(other).status; }
            if what == "wait" { sleep("5m"); }
            bank::payout(#{ from: from, to: to, amount: EUR(5), reference: what }).amount
        });
        done.map(|d| d.value)
    "#;
    let store = world.store().await;
    let engine = world.engine(store.clone()).await;
    let id = world.start(store.as_ref(), script, json!({}), json!({})).await;
    let parked = settled(store.as_ref(), id).await;
    assert_eq!(parked.state, RunState::Parked, "{:?}", parked.error);
    let error = parked.error.expect("a reason");
    assert_eq!(error.code, "in_doubt");
    assert!(
        error.trace.iter().any(|place| place.starts_with("main.rhai:6:")),
        "{error:?}"
    );
    let before = world.simulator.control.requests()["create_payout"].total;
    assert_eq!(before, 1, "the branch that pays had its end, the one that waits not");
    let decision = Decision {
        run: id,
        path: Some("4.2.1".parse::<StepPath>().expect("a path")),
        resolution: Resolution::Adopt {
            resource: json!({"status": "frozen"}),
        },
        actor: "ada".to_owned(),
        reason: "seen in the provider's console".to_owned(),
        after: 0,
        at: world.clock.now(),
    };
    store.resolve(decision).await.expect("decided");
    world.wake.nudge();
    let run = until(store.as_ref(), id, |run| run.state.is_final()).await;
    engine.stop().await;
    assert_eq!(run.result, Some(json!(["5.00", "frozen", "5.00"])), "{:?}", run.error);
    assert_eq!(world.simulator.control.requests()["freeze_account"].total, 1);
    assert_eq!(world.simulator.control.requests()["create_payout"].total, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_doubts_are_decided_one_by_one_and_no_end_passes_them_over() {
    let mut world = World::in_haste(SimulatorConfig::demo()).await;
    world.reconnect(|bank| bank.key_window_secs = Some(0));
    world
        .simulator
        .control
        .add_fault(FaultRule::on("freeze_account", FaultAction::DropAfterEffect).times(2));
    let script = r#"
        parallel(["Operating DE", "Operating NL"], |label| bank::freeze_account(bank::accounts(#{ label: label })[0].id).status)
            .map(|d| d.value)
    "#;
    let store = world.store().await;
    let engine = world.engine(store.clone()).await;
    let id = world.start(store.as_ref(), script, json!({}), json!({})).await;
    settled(store.as_ref(), id).await;
    let decide = |path: &str| {
        store.resolve(Decision {
            run: id,
            path: Some(path.parse::<StepPath>().expect("a path")),
            resolution: Resolution::Fail,
            actor: "ada".to_owned(),
            reason: "not there".to_owned(),
            after: 0,
            at: world.clock.now(),
        })
    };
    let ended = store.cancel(id, "ada", "enough", world.clock.now()).await;
    assert!(ended.is_err(), "a run in doubt is not ended: {ended:?}");
    decide("1.1.2").await.expect("decided");
    // Asked for while the other is still open: it is not ended over that one either.
    drop(store.cancel(id, "ada", "enough", world.clock.now()).await);
    world.wake.nudge();
    let parked = until(store.as_ref(), id, |run| {
        run.state == RunState::Parked || run.state.is_final()
    })
    .await;
    assert_eq!(parked.state, RunState::Parked, "{:?}", parked.error);
    assert_eq!(parked.error.map(|error| error.code).as_deref(), Some("in_doubt"));
    decide("1.2.2").await.expect("decided");
    world.wake.nudge();
    let run = until(store.as_ref(), id, |run| run.state.is_final()).await;
    engine.stop().await;
    assert!(run.state.is_final(), "{:?}", run.error);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancellation_in_the_middle_records_what_was_sent_and_sends_no_more() {
    // The answers come when this clock goes on: not before the end is asked for.
    let (world, clock) = World::standing_still().await;
    // One branch is at its second payment, which may not begin, while the first of the others is still under way.
    for (nth, ms) in [(1, 100), (2, 500), (3, 600)] {
        let slow = FaultAction::Delay { ms, when: When::After };
        let rule = FaultRule::on("create_payout", slow).nth(nth);
        world.simulator.control.add_fault(rule);
    }
    let store = world.store().await;
    let engine = world.engine(store.clone()).await;
    let id = world.start(store.as_ref(), &pay_six(""), json!({}), json!({})).await;
    let patience = Patience::new(Duration::from_secs(10));
    while world.simulator.control.effects().len() < 3 {
        assert!(!patience.is_over(), "nothing is paid");
        pause(Duration::from_millis(2)).await;
    }
    let now = world.clock.now();
    store.cancel(id, "ada", "enough", now).await.expect("asked");
    let run = passing(store.as_ref(), &clock, id, RunState::Running, Duration::from_millis(5)).await;
    engine.stop().await;
    assert_eq!(run.state, RunState::Cancelled, "{:?}", run.error);
    let audit = audit_store(store.as_ref(), &world.simulator).await;
    assert!(audit.is_exact(), "{audit}");
    assert_eq!(audit.paid(), 3, "no branch began its second: {audit}");
    assert_eq!(world.simulator.control.requests()["create_payout"].total, 3);
    let outcomes = store.journal(id).await.expect("the journal");
    let outcomes = outcomes
        .iter()
        .filter(|record| record.entry.kind() == "outcome")
        .count();
    assert_eq!(outcomes, 3, "what came of each was recorded by the turn that sent it");
    assert_eq!(run.turns, 1, "{run:?}");
}
