//! Unknown outcomes: look-ups when the key no longer protects, persons who decide, runs that end in between.

use std::sync::Arc;
use std::time::Duration;

use bursar::base::clock::{Clock as _, ManualClock, SystemClock};
use bursar::base::ids::RunId;
use bursar::model::journal::{Resolution, StepPath};
use bursar::model::run::{Run, RunState};
use bursar::simulator::config::SimulatorConfig;
use bursar::simulator::faults::{FaultAction, FaultRule, When};
use bursar::store::{Decision, Store, StoreError};
use serde_json::json;

use crate::support::real_time::{Patience, pause};
use crate::support::{World, audit_store, decided as decisions, passing, settled, until, without_lookup};

const PAY: &str = r#"
    let from = bank::accounts(#{ label: "Operating DE" })[0].id;
    let to = bank::accounts(#{ label: "Treasury EUR" })[0].id;
    bank::payout(#{ from: from, to: to, amount: EUR(10.50), reference: "INV-1" }).status
"#;

const FREEZE: &str = r#"bank::freeze_account(bank::accounts(#{ label: "Operating NL" })[0].id).status"#;

/// How much time passes at once while a run waits.
const STEP: Duration = Duration::from_secs(10);
/// The same, while an answer is out.
const LATE: Duration = Duration::from_millis(100);

/// A world in which no key protects, so that every unknown outcome has to be looked up. Its clock stands still until
/// somebody moves it: what a look-up comes to hangs on how long ago the request was.
async fn without_keys() -> (World, ManualClock) {
    let (mut world, clock) = World::standing_still().await;
    world.reconnect(|bank| bank.key_window_secs = Some(0));
    (world, clock)
}

/// Runs a script; time passes only while the run waits for it.
async fn run(world: &World, clock: &ManualClock, script: &str) -> Run {
    let store = world.store().await;
    let engine = world.engine(store.clone()).await;
    let id = world.start(store.as_ref(), script, json!({}), json!({})).await;
    let run = passing(store.as_ref(), clock, id, RunState::Waiting, STEP).await;
    engine.stop().await;
    store.close().await.expect("closed");
    run
}

fn server_error(when: When) -> FaultAction {
    FaultAction::Status {
        status: 500,
        when,
        retry_after_secs: None,
    }
}

/// What was recorded about the one payment, and how often it was made.
async fn after(world: &World, run: &Run) -> (Vec<&'static str>, String) {
    let store = world.store().await;
    let records = store.journal(run.id).await.expect("the journal");
    let audit = audit_store(store.as_ref(), &world.simulator).await;
    store.close().await.expect("closed");
    let kinds = records
        .iter()
        .filter(|record| record.entry.kind() != "done")
        .map(|record| record.entry.kind());
    (kinds.collect(), audit.to_string())
}

const ONCE: &str = "1 intended, 1 paid, 0 twice, 0 missing; ledger EUR 10.50 = journal EUR 10.50";

#[tokio::test(flavor = "multi_thread")]
async fn what_happened_is_found_by_our_reference_and_adopted() {
    let (world, clock) = without_keys().await;
    world
        .simulator
        .control
        .add_fault(FaultRule::on("create_payout", FaultAction::DropAfterEffect).times(1));
    let run = run(&world, &clock, PAY).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.error);
    assert_eq!(
        after(&world, &run).await,
        (vec!["intent", "retry", "outcome"], ONCE.to_owned())
    );
    assert_eq!(
        world.simulator.control.requests()["create_payout"].total,
        1,
        "nothing was sent again"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_did_not_happen_is_sent_again_under_a_new_key_once_its_absence_is_proved() {
    let (world, clock) = without_keys().await;
    world
        .simulator
        .control
        .add_fault(FaultRule::on("create_payout", server_error(When::Before)).times(1));
    let run = run(&world, &clock, PAY).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.error);
    let (kinds, audit) = after(&world, &run).await;
    assert_eq!(audit, ONCE);
    assert_eq!(
        kinds,
        ["intent", "retry", "retry", "in_doubt", "resolved", "intent", "outcome"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_lags_is_not_believed_too_early() {
    let (world, clock) = without_keys().await;
    // Made, kept out of the lists for 100 seconds, and its answer lost: an early look finds nothing.
    world
        .simulator
        .control
        .configure(|config| config.lists.visibility_lag_ms = 100_000);
    world
        .simulator
        .control
        .add_fault(FaultRule::on("create_payout", FaultAction::DropAfterEffect).times(1));
    let run = run(&world, &clock, PAY).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.error);
    assert_eq!(
        after(&world, &run).await,
        (vec!["intent", "retry", "retry", "outcome"], ONCE.to_owned())
    );
    assert_eq!(
        world.simulator.control.requests()["create_payout"].total,
        1,
        "nothing was sent again"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_set_ahead_while_a_list_lags_makes_it_no_more_complete() {
    let theirs = ManualClock::new(SystemClock::new().now());
    let ours = ManualClock::new(theirs.now());
    let mut config = SimulatorConfig::demo();
    config.lists.visibility_lag_ms = 100_000;
    let mut world = World::with_clock(config, Arc::new(theirs.clone())).await;
    world.clock = Arc::new(ours.clone());
    world.reconnect(|bank| bank.key_window_secs = Some(0));
    let control = world.simulator.control.clone();
    control.add_fault(FaultRule::on("create_payout", FaultAction::DropAfterEffect).times(1));
    let looks = || control.requests().get("list_payouts").map_or(0, |count| count.total);
    let store = world.store().await;
    let engine = world.engine(store.clone()).await;
    let id = world.start(store.as_ref(), PAY, json!({}), json!({})).await;
    until(store.as_ref(), id, |run| run.state == RunState::Waiting).await;
    assert_eq!(looks(), 1);
    ours.advance(Duration::from_secs(3_600));
    until(store.as_ref(), id, |run| run.state == RunState::Waiting && looks() == 2).await;
    theirs.advance(Duration::from_secs(200));
    ours.advance(Duration::from_secs(200));
    let run = settled(store.as_ref(), id).await;
    engine.stop().await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.error);
    store.close().await.expect("closed");
    assert_eq!(
        after(&world, &run).await,
        (vec!["intent", "retry", "retry", "retry", "outcome"], ONCE.to_owned())
    );
}

/// Between the intent and the request minutes may pass: a machine that was suspended, a process that was stopped.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_was_frozen_before_it_sent_has_not_sent_early() {
    let clock = ManualClock::new(SystemClock::new().now());
    let mut config = SimulatorConfig::demo();
    config.lists.visibility_lag_ms = 100_000;
    let mut world = World::with_clock(config, Arc::new(clock.clone())).await;
    world.reconnect(|bank| bank.key_window_secs = Some(0));
    let control = world.simulator.control.clone();
    let late = FaultAction::Delay {
        ms: 400_000,
        when: When::Before,
    };
    control.add_fault(FaultRule::on("create_payout", late).times(1));
    let asked = |endpoint: &str| control.requests().get(endpoint).map_or(0, |count| count.total);
    let store = world.store().await;
    let engine = world.engine(store.clone()).await;
    let id = world.start(store.as_ref(), PAY, json!({}), json!({})).await;
    let patience = Patience::new(Duration::from_secs(20));
    while asked("create_payout") == 0 {
        assert!(!patience.is_over(), "it never asks");
        pause(Duration::from_millis(5)).await;
    }
    // What is heard now is never recorded.
    store.close().await.expect("closed");
    clock.advance(Duration::from_secs(401));
    engine.stop().await;
    assert_eq!(control.effects().len(), 1, "it is paid, as late as that");

    let store = world.store().await;
    store.reclaim_all(clock.now()).await.expect("reclaimed");
    let engine = world.engine(store.clone()).await;
    until(store.as_ref(), id, |run| run.state == RunState::Waiting).await;
    assert_eq!(
        (asked("create_payout"), asked("list_payouts")),
        (1, 1),
        "a list that lags is not believed"
    );
    let run = passing(store.as_ref(), &clock, id, RunState::Waiting, STEP).await;
    engine.stop().await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.error);
    store.close().await.expect("closed");
    assert_eq!(
        after(&world, &run).await,
        (vec!["intent", "retry", "outcome"], ONCE.to_owned())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_return_is_found_by_its_deposit() {
    let (world, clock) = without_keys().await;
    let deposit = bursar::simulator::control::NewDeposit::new("Collections EUR", "75.20", "HELLO");
    let deposit = world.simulator.control.create_deposit(&deposit).expect("it arrives");
    world
        .simulator
        .control
        .add_fault(FaultRule::on("create_return", FaultAction::DropAfterEffect).times(1));
    let run = run(&world, &clock, &format!("bank::return_deposit(\"{deposit}\").existed")).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.error);
    assert_eq!(world.simulator.control.effects().len(), 1);
    assert_eq!(world.simulator.control.requests()["create_return"].total, 1);
}

/// Parks the freezing of an account, which cannot be looked up, and lets a person decide.
async fn decided(resolution: Resolution) -> (Run, usize) {
    let (world, _clock) = without_keys().await;
    world
        .simulator
        .control
        .add_fault(FaultRule::on("freeze_account", FaultAction::DropAfterEffect).times(1));
    let store = world.store().await;
    let engine = world.engine(store.clone()).await;
    let id = world.start(store.as_ref(), FREEZE, json!({}), json!({})).await;
    let parked = settled(store.as_ref(), id).await;
    assert_eq!(parked.state, RunState::Parked);
    assert_eq!(parked.error.map(|error| error.code).as_deref(), Some("in_doubt"));
    let doubtful: StepPath = "2".parse().expect("a path");
    decide(store.as_ref(), &world, id, doubtful, resolution).await;
    let run = until(store.as_ref(), id, |run| run.state.is_final()).await;
    engine.stop().await;
    let requests = world.simulator.control.requests()["freeze_account"].total;
    (run, usize::try_from(requests).expect("few"))
}

async fn decide(store: &dyn Store, world: &World, run: RunId, path: StepPath, resolution: Resolution) {
    let after = decisions(store, run, &path).await;
    let said = say(store, world, run, path, resolution, after).await;
    said.expect("the decision is taken");
}

/// A decision of somebody who knows of so many earlier ones.
async fn say(
    store: &dyn Store,
    world: &World,
    run: RunId,
    path: StepPath,
    resolution: Resolution,
    after: u32,
) -> Result<(), StoreError> {
    let decision = Decision {
        run,
        path: Some(path),
        resolution,
        actor: "treasurer".to_owned(),
        reason: "called the bank".to_owned(),
        after,
        at: world.clock.now(),
    };
    let said = store.resolve(decision).await;
    world.wake.nudge();
    said
}

/// A person has it sent again, that is paid and its answer is lost: who says so once more has not looked.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_decided_about_an_earlier_doubt_is_not_taken_for_a_later_one() {
    let (mut world, _clock) = without_keys().await;
    world.reconnect(|bank| bank.connector = Arc::new(without_lookup()));
    let control = world.simulator.control.clone();
    control.add_fault(FaultRule::on("create_payout", server_error(When::Before)).times(1));
    let store = world.store().await;
    let engine = world.engine(store.clone()).await;
    let id = world.start(store.as_ref(), PAY, json!({}), json!({})).await;
    assert_eq!(settled(store.as_ref(), id).await.state, RunState::Parked);
    let records = store.journal(id).await.expect("the journal");
    let path = records.last().expect("a doubt").entry.path().clone();
    let again = |after| say(store.as_ref(), &world, id, path.clone(), Resolution::Resend, after);

    control.add_fault(FaultRule::on("create_payout", FaultAction::DropAfterEffect).times(1));
    assert_eq!(again(0).await, Ok(()));
    let run = settled(store.as_ref(), id).await;
    assert_eq!(run.state, RunState::Parked, "{:?}", run.error);
    let twice = again(0).await;
    let run = settled(store.as_ref(), id).await;
    assert_eq!(control.requests()["create_payout"].total, 2, "{run:?}");
    assert_eq!(control.effects().len(), 1, "it is paid once");
    let Err(StoreError::Conflict(why)) = twice else {
        panic!("{twice:?}")
    };
    let command = format!("`bursar reconcile show {id}`");
    for part in [
        "treasurer decided about step",
        "resend (called the bank)",
        "it is in doubt again since",
        &command,
        "`--after 1`",
    ] {
        assert!(why.contains(part), "{part}: {why}");
    }
    // Nor what somebody says who knows of more than there is; and whoever has looked may say anything.
    assert!(again(2).await.is_err());
    let fail = say(store.as_ref(), &world, id, path.clone(), Resolution::Fail, 1).await;
    assert_eq!(fail, Ok(()));
    let run = until(store.as_ref(), id, |run| run.state.is_final()).await;
    engine.stop().await;
    assert_eq!(run.state, RunState::Failed, "{:?}", run.error);
    assert_eq!(control.effects().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_may_adopt_what_happened() {
    let resource = json!({"id": "x", "type": "account", "status": "frozen"});
    let (run, requests) = decided(Resolution::Adopt { resource }).await;
    assert_eq!(
        (run.state, run.result, requests),
        (RunState::Succeeded, Some(json!("frozen")), 1)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_may_call_it_failed_and_the_script_hears_it() {
    let (run, requests) = decided(Resolution::Fail).await;
    assert_eq!((run.state, requests), (RunState::Failed, 1));
    let error = run.error.expect("a reason");
    assert_eq!(error.code, "marked_failed");
    assert!(error.message.contains("called the bank"), "{}", error.message);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_may_prove_absence_and_have_it_sent_again() {
    let (run, requests) = decided(Resolution::Resend).await;
    // The simulated bank did freeze it: the second request under a new key is refused, and says so.
    assert_eq!((run.state, requests), (RunState::Failed, 2), "{:?}", run.error);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_took_for_absent_and_is_there_when_it_is_to_go_out_again_does_not() {
    let world = World::demo().await;
    let lie = FaultAction::WrongAmount {
        amount: "1.00".to_owned(),
    };
    world
        .simulator
        .control
        .add_fault(FaultRule::on("create_payout", lie).times(1));
    let store = world.store().await;
    let engine = world.engine(store.clone()).await;
    let id = world.start(store.as_ref(), PAY, json!({}), json!({})).await;
    assert_eq!(settled(store.as_ref(), id).await.state, RunState::Parked);
    let records = store.journal(id).await.expect("the journal");
    let path = records.last().expect("a doubt").entry.path().clone();
    for _ in 0..2 {
        decide(store.as_ref(), &world, id, path.clone(), Resolution::Resend).await;
        let run = settled(store.as_ref(), id).await;
        assert_eq!(run.state, RunState::Parked, "{run:?}");
        let error = run.error.expect("a reason");
        assert_eq!(error.code, "contradiction", "{}", error.message);
        assert!(error.message.contains("shows it now"), "{}", error.message);
    }
    engine.stop().await;
    assert_eq!(world.simulator.control.requests()["create_payout"].total, 1);
    assert_eq!(world.simulator.control.effects().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_key_is_tried_again_after_a_person_corrected_it() {
    let mut world = World::demo().await;
    let right = world.connections["bank"].credential.clone();
    world.reconnect(|bank| bank.credential = Some(bursar::base::secret::Secret::new("sandbox.wrong".to_owned())));
    let store = world.store().await;
    let engine = world.engine(store.clone()).await;
    let id = world.start(store.as_ref(), PAY, json!({}), json!({})).await;
    assert_eq!(
        settled(store.as_ref(), id)
            .await
            .error
            .map(|error| error.code)
            .as_deref(),
        Some("refused")
    );
    engine.stop().await;
    world.reconnect(|bank| bank.credential = right);
    let engine = world.engine(store.clone()).await;
    let doubtful = "1.1".parse().expect("a path");
    decide(store.as_ref(), &world, id, doubtful, Resolution::Retry).await;
    let run = until(store.as_ref(), id, |run| run.state.is_final()).await;
    engine.stop().await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.error);
    assert_eq!(audit_store(store.as_ref(), &world.simulator).await.to_string(), ONCE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_ended_in_doubt_first_learns_what_it_did() {
    let (world, clock) = World::standing_still().await;
    // The end is asked for while the answer is out.
    world.simulator.control.add_fault(FaultRule::on(
        "create_payout",
        FaultAction::Delay {
            ms: 300,
            when: When::After,
        },
    ));
    let store = world.store().await;
    let engine = world.engine(store.clone()).await;
    let id = world
        .start(store.as_ref(), &format!("{PAY}; {PAY}"), json!({}), json!({}))
        .await;
    let waiting = crate::support::real_time::Patience::new(std::time::Duration::from_secs(10));
    while world.simulator.control.effects().is_empty() {
        assert!(!waiting.is_over());
        crate::support::real_time::pause(std::time::Duration::from_millis(2)).await;
    }
    store
        .cancel(id, "treasurer", "a mistake", world.clock.now())
        .await
        .expect("it is asked for");
    let run = passing(store.as_ref(), &clock, id, RunState::Running, LATE).await;
    engine.stop().await;
    assert_eq!(run.state, RunState::Cancelled);
    // The first payment was under way and is recorded; the second never began.
    assert_eq!(audit_store(store.as_ref(), &world.simulator).await.to_string(), ONCE);
}
