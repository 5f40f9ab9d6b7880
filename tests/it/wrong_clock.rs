//! A wall clock that is wrong by hours or days for a while: what waits by it waits until a person has said what time it is.

use std::sync::Arc;
use std::time::Duration;

use bursar::base::clock::{Clock as _, ManualClock, SystemClock};
use bursar::base::ids::RunId;
use bursar::model::journal::{Entry, Journal};
use bursar::model::run::{Run, RunState};
use bursar::simulator::config::SimulatorConfig;
use bursar::simulator::faults::{FaultAction, FaultRule, When};
use bursar::store::{ApprovalDecision, Store};
use chrono::TimeDelta;
use serde_json::json;

use crate::support::real_time::{Patience, pause};
use crate::support::{World, passing, settled, until};

const PAY: &str = r#"
    let from = bank::accounts(#{ label: "Operating DE" })[0].id;
    let to = bank::accounts(#{ label: "Treasury EUR" })[0].id;
    bank::payout(#{ from: from, to: to, amount: EUR(10.50), reference: "INV-1" }).status
"#;

/// Sets the wall clock, and lets seconds pass until it is in doubt.
async fn set(store: &dyn Store, clock: &ManualClock, by: TimeDelta) {
    clock.jump_to(clock.now() + by);
    let patience = Patience::new(Duration::from_secs(20));
    while store.clock_doubt().await.expect("read").is_none() {
        assert!(!patience.is_over(), "nobody doubts the clock");
        clock.advance(Duration::from_secs(1));
        pause(Duration::from_millis(5)).await;
    }
}

/// A person says that the clock is right now.
async fn is_right(world: &World, store: &dyn Store) {
    assert!(store.trust_clock(world.clock.now()).await.expect("written"));
    world.wake.nudge();
}

/// Waits until a run has been driven once more, or oftener.
async fn driven_again(store: &dyn Store, run: &Run) -> Run {
    until(store, run.id, |now| {
        now.turns > run.turns && !matches!(now.state, RunState::Queued | RunState::Running)
    })
    .await
}

async fn waiting(store: &dyn Store, run: RunId) -> Run {
    until(store, run, |run| {
        assert!(!run.state.is_final(), "{run:?}");
        run.state == RunState::Waiting
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_set_ahead_ends_no_wait_until_somebody_says_that_it_is_right() {
    let (world, clock) = World::standing_still().await;
    let store = world.store().await;
    let engine = world.engine(store.clone()).await;
    let sleeps = format!("sleep(days(5)); {PAY}");
    let sleeps = world.start(store.as_ref(), &sleeps, json!({}), json!({})).await;
    let asks = r#"approval(#{ reason: "pay?", group: "board", timeout: days(3) }).by"#;
    let asks = world.start(store.as_ref(), asks, json!({}), json!({})).await;
    let hears = r#"let told = "heard"; try { bank::wait_event(#{ type: "payout.paid", timeout: days(3) }) } catch (e) { told = e.error } told"#;
    let hears = world.start(store.as_ref(), hears, json!({}), json!({})).await;
    let mut before = Vec::new();
    for run in [sleeps, asks, hears] {
        before.push(waiting(store.as_ref(), run).await);
    }
    let right = clock.now();
    set(store.as_ref(), &clock, TimeDelta::days(6)).await;
    for run in &before {
        let run = driven_again(store.as_ref(), run).await;
        assert_eq!(run.state, RunState::Waiting, "{run:?}");
    }
    assert_eq!(world.simulator.control.effects().len(), 0);

    // It is put right, and nothing has ended meanwhile.
    clock.jump_to(right + TimeDelta::minutes(1));
    is_right(&world, store.as_ref()).await;
    let asked = store.journal(asks).await.expect("read");
    let asked = Journal::from_records(asked).expect("legal");
    let (path, step) = asked.approvals().next().expect("it asks still");
    let decision = ApprovalDecision {
        run: asks,
        asked: step.step.fingerprint,
        path: path.clone(),
        approved: true,
        actor: "maria".to_owned(),
        reason: "seen the invoice".to_owned(),
        at: clock.now(),
    };
    store.decide(decision).await.expect("decided");
    world.wake.nudge();
    assert_eq!(settled(store.as_ref(), asks).await.state, RunState::Succeeded);
    let hour = Duration::from_secs(3_600);
    let run = passing(store.as_ref(), &clock, hears, RunState::Waiting, hour).await;
    assert_eq!(run.result, Some(json!("timeout")));
    assert!(clock.now() >= right + TimeDelta::days(3));
    let run = passing(store.as_ref(), &clock, sleeps, RunState::Waiting, hour).await;
    engine.stop().await;
    assert_eq!(run.state, RunState::Succeeded, "{run:?}");
    assert!(clock.now() >= right + TimeDelta::days(5));
    assert_eq!(world.simulator.control.effects().len(), 1);
}

/// The clock is ahead when a payment is refused for a while: it does not wait until that time comes in truth.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_noted_by_a_clock_that_was_ahead_is_not_waited_for() {
    let (world, clock) = World::standing_still().await;
    let busy = FaultAction::Status {
        status: 429,
        when: When::Before,
        retry_after_secs: Some(60),
    };
    world
        .simulator
        .control
        .add_fault(FaultRule::on("create_payout", busy).times(1));
    let store = world.store().await;
    let engine = world.engine(store.clone()).await;
    let right = clock.now();
    set(store.as_ref(), &clock, TimeDelta::days(30)).await;
    let id = world.start(store.as_ref(), PAY, json!({}), json!({})).await;
    waiting(store.as_ref(), id).await;
    clock.jump_to(right + TimeDelta::minutes(1));
    is_right(&world, store.as_ref()).await;
    let run = passing(store.as_ref(), &clock, id, RunState::Waiting, Duration::from_secs(1)).await;
    engine.stop().await;
    assert_eq!(run.state, RunState::Succeeded, "{run:?}");
    assert!(clock.now() < right + TimeDelta::hours(1));
    assert_eq!(world.simulator.control.effects().len(), 1);
}

/// Neither a key nor a list would tell what became of it.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_while_our_clock_is_far_from_the_providers() {
    let theirs = ManualClock::new(SystemClock::new().now());
    let clock = ManualClock::new(theirs.now());
    let mut world = World::with_clock(SimulatorConfig::demo(), Arc::new(theirs.clone())).await;
    world.clock = Arc::new(clock.clone());
    let store = world.store().await;
    let engine = world.engine(store.clone()).await;
    let right = clock.now();
    set(store.as_ref(), &clock, TimeDelta::days(30)).await;
    let id = world.start(store.as_ref(), PAY, json!({}), json!({})).await;
    waiting(store.as_ref(), id).await;
    let records = store.journal(id).await.expect("read");
    let Some(Entry::Retry { retry, .. }) = records.last().map(|record| &record.entry) else {
        panic!("{records:?}");
    };
    assert!(retry.reason.contains("720 hours apart"), "{}", retry.reason);
    clock.jump_to(right + TimeDelta::minutes(1));
    is_right(&world, store.as_ref()).await;
    let run = passing(store.as_ref(), &clock, id, RunState::Waiting, Duration::from_secs(1)).await;
    engine.stop().await;
    assert_eq!(run.state, RunState::Succeeded, "{run:?}");
    assert!(clock.now() < right + TimeDelta::hours(1));
    assert_eq!(world.simulator.control.effects().len(), 1);
}

/// A wait that would begin while nobody knows what time it is begins when somebody does.
#[tokio::test(flavor = "multi_thread")]
async fn no_wait_begins_by_a_clock_in_doubt() {
    let (world, clock) = World::standing_still().await;
    let store = world.store().await;
    let engine = world.engine(store.clone()).await;
    let right = clock.now();
    set(store.as_ref(), &clock, TimeDelta::days(30)).await;
    let id = world
        .start(store.as_ref(), "sleep(hours(1)); 7", json!({}), json!({}))
        .await;
    waiting(store.as_ref(), id).await;
    clock.jump_to(right + TimeDelta::minutes(1));
    is_right(&world, store.as_ref()).await;
    let run = passing(store.as_ref(), &clock, id, RunState::Waiting, Duration::from_secs(60)).await;
    engine.stop().await;
    assert_eq!(run.state, RunState::Succeeded, "{run:?}");
    let slept = clock.now() - right;
    assert!((TimeDelta::hours(1)..TimeDelta::hours(2)).contains(&slept), "{slept}");
}
