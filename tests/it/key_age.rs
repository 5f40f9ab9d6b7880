//! How old a key is: by which clocks, and what is done when they disagree.

use std::sync::Arc;
use std::time::Duration;

use bursar::base::clock::{Clock as _, ManualClock, SystemClock};
use bursar::model::journal::{Entry, Record};
use bursar::model::run::RunState;
use bursar::simulator::config::SimulatorConfig;
use bursar::simulator::faults::{FaultAction, FaultRule, When};
use bursar::store::faulty::{Fault, Faulty};
use bursar::store::{Append, Store};
use chrono::TimeDelta;
use serde_json::json;

use crate::accidents::dies;
use crate::pace::with_time_to_compute;
use crate::support::{World, audit_store, hurry, open, settled, until};

const PAY: &str = r#"
    let from = bank::accounts(#{ label: "Operating DE" })[0].id;
    let to = bank::accounts(#{ label: "Treasury EUR" })[0].id;
    bank::payout(#{ from: from, to: to, amount: EUR(10.50), reference: "INV-1" }).status
"#;

const ONCE: &str = "1 intended, 1 paid, 0 twice, 0 missing; ledger EUR 10.50 = journal EUR 10.50";

/// A provider that forgets a key when we think it may: what goes out later under it is paid again.
fn forgetful() -> SimulatorConfig {
    let mut config = SimulatorConfig::demo();
    config.idempotency.window_ms = 3_600_000;
    config
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wall_clock_set_back_makes_no_old_key_young() {
    let clock = ManualClock::new(SystemClock::new().now());
    let world = World::with_clock(forgetful(), Arc::new(clock.clone())).await;
    // Made, but its answer says otherwise, and to come back in a minute.
    let fault = FaultAction::Status {
        status: 500,
        when: When::After,
        retry_after_secs: Some(60),
    };
    world
        .simulator
        .control
        .add_fault(FaultRule::on("create_payout", fault).times(1));
    let store = world.store().await;
    let engine = world.engine(store.clone()).await;
    let id = world.start(store.as_ref(), PAY, json!({}), json!({})).await;
    until(store.as_ref(), id, |run| run.state == RunState::Waiting).await;
    // Two hours pass, and the wall clock shows two minutes: the provider has forgotten the key.
    let sent_at = clock.now();
    clock.jump_to(sent_at - TimeDelta::hours(2) + TimeDelta::minutes(2));
    clock.advance(Duration::from_secs(2 * 3_600));
    hurry(clock);
    let run = settled(store.as_ref(), id).await;
    engine.stop().await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.error);
    assert_eq!(audit_store(store.as_ref(), &world.simulator).await.to_string(), ONCE);
    let requests = world.simulator.control.requests()["create_payout"];
    assert_eq!(requests.total, 1, "it is looked up, not sent again");
}

/// A virtual machine is frozen for two hours and goes on with the time it had.
#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_stood_still_with_both_its_clocks_has_no_young_key() {
    let theirs = ManualClock::new(SystemClock::new().now());
    let ours = ManualClock::new(theirs.now());
    let mut world = World::with_clock(forgetful(), Arc::new(theirs.clone())).await;
    world.clock = Arc::new(ours.clone());
    let fault = FaultAction::Status {
        status: 500,
        when: When::After,
        retry_after_secs: Some(60),
    };
    world
        .simulator
        .control
        .add_fault(FaultRule::on("create_payout", fault).times(1));
    let store = world.store().await;
    let engine = world.engine(store.clone()).await;
    let id = world.start(store.as_ref(), PAY, json!({}), json!({})).await;
    until(store.as_ref(), id, |run| run.state == RunState::Waiting).await;
    theirs.advance(Duration::from_secs(2 * 3_600));
    hurry(theirs);
    hurry(ours);
    let run = settled(store.as_ref(), id).await;
    engine.stop().await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.error);
    assert_eq!(audit_store(store.as_ref(), &world.simulator).await.to_string(), ONCE);
    let requests = world.simulator.control.requests()["create_payout"];
    assert_eq!(requests.total, 1, "it is looked up, not sent again");
}

/// A payout is made and the process dies before it hears so. The next one starts when so much time has passed,
/// with a wall clock that shows so much; the provider's list lags a little, and its time is refused so often. How
/// often the payout was sent.
async fn after_a_death(passed: TimeDelta, shown: TimeDelta, refused: u64) -> u64 {
    let theirs = ManualClock::new(SystemClock::new().now());
    let ours = ManualClock::new(theirs.now());
    let mut world = World::with_clock(forgetful(), Arc::new(theirs.clone())).await;
    world.clock = Arc::new(ours.clone());
    world
        .simulator
        .control
        .configure(|config| config.lists.visibility_lag_ms = 100_000);
    let store = open(world.folder.path()).await;
    let id = world.start(store.as_ref(), PAY, json!({}), json!({})).await;
    world.wake.nudged().await;
    store.close().await.expect("closed");
    // 1: wake_due, 2: claim, 3: the intent, 4: the outcome.
    dies(&world, Fault::Before(4)).await;
    assert_eq!(world.simulator.control.effects().len(), 1);

    let fault = FaultRule::on("retrieve_api_key", FaultAction::Refuse).times(refused);
    world.simulator.control.add_fault(fault);
    let died_at = theirs.now();
    theirs.advance(passed.to_std().expect("time passes"));
    // The clock that never goes back begins anew with each process: only the wall clock says anything.
    ours.jump_to(died_at + shown);
    let store = open(world.folder.path()).await;
    store.reclaim_all(world.clock.now()).await.expect("reclaimed");
    let engine = world.engine(store.clone()).await;
    hurry(theirs.clone());
    hurry(ours.clone());
    until(store.as_ref(), id, |run| {
        run.state.is_final() || run.state == RunState::Waiting
    })
    .await;
    // A clock that was set ahead makes it wait for as long again.
    let ahead = (shown - passed).to_std().unwrap_or_default();
    theirs.advance(ahead);
    ours.advance(ahead);
    let run = settled(store.as_ref(), id).await;
    engine.stop().await;
    assert_eq!(run.state, RunState::Succeeded, "{passed} {shown}: {:?}", run.error);
    let audit = audit_store(store.as_ref(), &world.simulator).await.to_string();
    assert_eq!(audit, ONCE, "{passed} passed and {shown} were shown");
    world.simulator.control.requests()["create_payout"].total
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_an_earlier_process_is_as_old_as_the_provider_says() {
    let check = async |passed: i64, shown: i64, refused: u64, sent: u64| {
        let (passed, shown) = (TimeDelta::minutes(passed), TimeDelta::minutes(shown));
        assert_eq!(
            after_a_death(passed, shown, refused).await,
            sent,
            "{passed} passed, {shown} shown"
        );
    };
    // Both clocks agree that the key still holds: the same bytes go out, and the provider repeats its answer.
    check(10, 10, 0, 2).await;
    // Both agree that it does not.
    check(120, 120, 0, 1).await;
    // Ours was set back while nobody ran: the key looks young and is not.
    check(120, 10, 0, 1).await;
    // Ours was set ahead: the key looks old, and the list looks as if it had had time to show the payout.
    check(0, 120, 0, 1).await;
    // It does not say at once: nothing goes out before it does.
    check(10, 10, 2, 2).await;
    check(120, 10, 2, 1).await;
}

/// Ours was two hours ahead when the payout went out, and was put right while nobody ran: the provider has forgotten the
/// key, although less than an hour after that payout's time has come by our clock.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_was_ahead_when_it_was_sent_makes_no_key_young() {
    let theirs = ManualClock::new(SystemClock::new().now());
    let ours = ManualClock::new(theirs.now() + TimeDelta::hours(2));
    let mut world = World::with_clock(forgetful(), Arc::new(theirs.clone())).await;
    world.clock = Arc::new(ours.clone());
    let store = open(world.folder.path()).await;
    let id = world.start(store.as_ref(), PAY, json!({}), json!({})).await;
    world.wake.nudged().await;
    store.close().await.expect("closed");
    dies(&world, Fault::Before(4)).await;
    assert_eq!(world.simulator.control.effects().len(), 1);

    theirs.advance(Duration::from_secs(130 * 60));
    ours.jump_to(theirs.now());
    let store = open(world.folder.path()).await;
    store.reclaim_all(world.clock.now()).await.expect("reclaimed");
    let engine = world.engine(store.clone()).await;
    hurry(theirs.clone());
    hurry(ours.clone());
    let run = settled(store.as_ref(), id).await;
    engine.stop().await;
    let audit = audit_store(store.as_ref(), &world.simulator).await.to_string();
    assert_eq!(audit, ONCE, "{:?}", run.error);
    assert_eq!(world.simulator.control.requests()["create_payout"].total, 1);
}

/// A provider that cannot be asked for its time is sent nothing: what goes out later goes out under a key that is trusted,
/// and is not made again because a list lags longer than its table says.
#[tokio::test(flavor = "multi_thread")]
async fn who_cannot_be_asked_for_the_time_is_sent_nothing_yet() {
    let clock = ManualClock::new(SystemClock::new().now());
    let mut world = World::with_clock(forgetful(), Arc::new(clock.clone())).await;
    with_time_to_compute(&mut world);
    let bank = world.simulator.control.clone();
    bank.configure(|config| config.lists.visibility_lag_ms = 600_000);
    let from = bank.account("Operating DE").expect("an account");
    bank.add_fault(FaultRule::on("retrieve_api_key", FaultAction::Refuse).times(2));
    bank.add_fault(FaultRule::on("create_payout", FaultAction::DropAfterEffect).times(1));
    let script = format!(
        r#"bank::payout(#{{ from: "{from}", to: #{{ type: "iban", iban: "DE89370400440532013000", account_holder_name: "A" }}, amount: EUR(10.50), reference: "INV-1" }}).status"#
    );
    let store = world.store().await;
    let engine = world.engine(store.clone()).await;
    let id = world.start(store.as_ref(), &script, json!({}), json!({})).await;
    hurry(clock);
    let run = settled(store.as_ref(), id).await;
    engine.stop().await;
    assert_eq!(audit_store(store.as_ref(), &world.simulator).await.to_string(), ONCE);
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.error);
    let requests = bank.requests();
    // Twice in vain, then before it goes out, and before it goes out again.
    assert_eq!(
        (requests["create_payout"].total, requests["retrieve_api_key"].total),
        (2, 4)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_lapses_while_the_disk_is_waited_for_is_not_sent() {
    let clock = ManualClock::new(SystemClock::new().now());
    let mut world = World::with_clock(forgetful(), Arc::new(clock.clone())).await;
    // It is the machine that takes its time, not the script.
    world.settings.budget.compute = Duration::from_secs(86_400);
    world.settings.lease = Duration::from_secs(86_400);
    let fault = FaultAction::Status {
        status: 500,
        when: When::After,
        retry_after_secs: Some(60),
    };
    world
        .simulator
        .control
        .add_fault(FaultRule::on("create_payout", fault).times(1));
    // The machine stands still for two hours, just when it is written down that the payout goes out again.
    let stalling = clock.clone();
    let stalls = move |append: &Append| {
        let sends = |record: &Record| matches!(record.entry, Entry::Sending { .. });
        if append.records.iter().any(sends) {
            stalling.advance(Duration::from_secs(2 * 3_600));
        }
    };
    let store: Arc<dyn Store> = Faulty::slow(world.store().await, Box::new(stalls));
    let engine = world.engine(store.clone()).await;
    let id = world.start(store.as_ref(), PAY, json!({}), json!({})).await;
    until(store.as_ref(), id, |run| run.state == RunState::Waiting).await;
    hurry(clock);
    let run = settled(store.as_ref(), id).await;
    engine.stop().await;
    assert_eq!(audit_store(store.as_ref(), &world.simulator).await.to_string(), ONCE);
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.error);
    let requests = world.simulator.control.requests()["create_payout"];
    assert_eq!(requests.total, 1, "it is looked up, not sent again");
}
