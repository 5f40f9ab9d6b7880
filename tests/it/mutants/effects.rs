//! Payments whose guards stand behind others: each case leaves only one between an accident and a second payment.

use std::sync::Arc;
use std::time::Duration;

use bursar::base::clock::{Clock as _, ManualClock, SystemClock};
use bursar::base::ids::{EventId, RunId};
use bursar::base::key::derived_uuid;
use bursar::connector::table::Connector;
use bursar::model::event::Event;
use bursar::model::journal::{Journal, Phase, StepPath};
use bursar::model::run::{Run, RunState};
use bursar::simulator::config::SimulatorConfig;
use bursar::simulator::faults::{FaultAction, FaultRule, When};
use bursar::store::faulty::Fault;
use chrono::TimeDelta;
use serde_json::json;

use crate::accidents::dies;
use crate::support::real_time::{Patience, pause};
use crate::support::{World, audit_store, hurry, open, passing, settled, until};

const PAY: &str = r#"
    let from = bank::accounts(#{ label: "Operating DE" })[0].id;
    let to = bank::accounts(#{ label: "Treasury EUR" })[0].id;
    bank::payout(#{ from: from, to: to, amount: EUR(10.50), reference: "INV-1" }).status
"#;

const PAID_ONCE: &str = "1 intended, 1 paid, 0 twice, 0 missing";

fn status(status: u16, when: When, retry_after_secs: Option<u64>) -> FaultAction {
    FaultAction::Status {
        status,
        when,
        retry_after_secs,
    }
}

fn sent(world: &World) -> u64 {
    let requests = world.simulator.control.requests();
    requests.get("create_payout").map_or(0, |count| count.total)
}

/// A world whose time stands still, in which one payout was made, was answered with 500, and is to be tried again.
async fn to_be_sent_again(retry_after_secs: u64) -> (World, ManualClock, RunId) {
    to_be_sent_again_by(PAY, retry_after_secs).await
}

/// The same by a script of one's own.
async fn to_be_sent_again_by(script: &str, retry_after_secs: u64) -> (World, ManualClock, RunId) {
    let clock = ManualClock::new(SystemClock::new().now());
    let world = World::with_clock(SimulatorConfig::demo(), Arc::new(clock.clone())).await;
    let fault = status(500, When::After, Some(retry_after_secs));
    world
        .simulator
        .control
        .add_fault(FaultRule::on("create_payout", fault).times(1));
    let store = world.store().await;
    let engine = world.engine(store.clone()).await;
    let id = world.start(store.as_ref(), script, json!({}), json!({})).await;
    until(store.as_ref(), id, |run| run.state == RunState::Waiting).await;
    engine.stop().await;
    store.close().await.expect("closed");
    (world, clock, id)
}

/// Drives the run to its end by a new process.
async fn to_the_end(world: &World, clock: &ManualClock, id: RunId) -> Run {
    let store = open(world.folder.path()).await;
    store.reclaim_all(clock.now()).await.expect("reclaimed");
    let engine = world.engine(store.clone()).await;
    hurry(clock.clone());
    let run = settled(store.as_ref(), id).await;
    engine.stop().await;
    let audit = audit_store(store.as_ref(), &world.simulator).await;
    assert!(audit.to_string().starts_with(PAID_ONCE), "{audit} {:?}", run.error);
    store.close().await.expect("closed");
    run
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_goes_out_before_its_intent_is_durable() {
    let world = World::demo().await;
    let store = world.store().await;
    world.start(store.as_ref(), PAY, json!({}), json!({})).await;
    world.wake.nudged().await;
    store.close().await.expect("closed");
    // 1: wake_due, 2: claim, 3: the intent.
    dies(&world, Fault::Before(3)).await;
    assert_eq!(sent(&world), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_goes_out_again_before_that_it_does_is_durable() {
    let (world, clock, id) = to_be_sent_again(60).await;
    clock.advance(Duration::from_secs(61));
    // 1: wake_due, 2: claim, 3: that it goes out.
    dies(&world, Fault::Before(3)).await;
    assert_eq!(sent(&world), 1, "what is not recorded as sent again was sent");
    assert_eq!(to_the_end(&world, &clock, id).await.state, RunState::Succeeded);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_of_a_payment_follows_from_its_run_and_step() {
    let clock = ManualClock::new(SystemClock::new().now());
    let world = World::with_clock(SimulatorConfig::demo(), Arc::new(clock.clone())).await;
    let store = world.store().await;
    let engine = world.engine(store.clone()).await;
    let id = world.start(store.as_ref(), PAY, json!({}), json!({})).await;
    assert_eq!(settled(store.as_ref(), id).await.state, RunState::Succeeded);
    engine.stop().await;
    store.close().await.expect("closed");
    // A store that was put back would lead to the same step again: its key is no matter of chance.
    let store = open(world.folder.path()).await;
    let secret = store.installation_secret().await.expect("a secret");
    let journal = Journal::from_records(store.journal(id).await.expect("read")).expect("legal");
    let mut keys = 0;
    for (path, record) in journal.steps() {
        let Some(key) = record.effect.as_ref().and_then(|intent| intent.key.as_deref()) else {
            continue;
        };
        let parts = [id.to_string(), path.to_string(), "0".to_owned()];
        let derived = derived_uuid(&secret, &parts.each_ref().map(String::as_str));
        assert_eq!(key, derived.to_string(), "step {path}");
        keys += 1;
    }
    assert_eq!(keys, 1);
    store.close().await.expect("closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wall_clock_set_ahead_makes_a_young_key_old() {
    let theirs = ManualClock::new(SystemClock::new().now());
    let ours = ManualClock::new(theirs.now());
    let mut world = World::with_clock(SimulatorConfig::demo(), Arc::new(theirs.clone())).await;
    world.clock = Arc::new(ours.clone());
    let fault = status(500, When::After, Some(60));
    world
        .simulator
        .control
        .add_fault(FaultRule::on("create_payout", fault).times(1));
    let store = world.store().await;
    let engine = world.engine(store.clone()).await;
    let id = world.start(store.as_ref(), PAY, json!({}), json!({})).await;
    until(store.as_ref(), id, |run| run.state == RunState::Waiting).await;
    // The clock that never goes back says a minute, and so does the provider's; the wall clock, two hours.
    ours.jump_to(ours.now() + TimeDelta::hours(2));
    for clock in [ours, theirs] {
        clock.advance(Duration::from_secs(61));
        hurry(clock);
    }
    let run = settled(store.as_ref(), id).await;
    engine.stop().await;
    assert_eq!((run.state, sent(&world)), (RunState::Succeeded, 1), "{:?}", run.error);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_not_used_in_the_last_minutes_of_its_window() {
    let clock = ManualClock::new(SystemClock::new().now());
    let mut world = World::with_clock(SimulatorConfig::demo(), Arc::new(clock.clone())).await;
    world.reconnect(|bank| bank.key_window_secs = Some(3_600));
    let fault = status(500, When::After, Some(60));
    world
        .simulator
        .control
        .add_fault(FaultRule::on("create_payout", fault).times(1));
    let store = world.store().await;
    let engine = world.engine(store.clone()).await;
    let id = world.start(store.as_ref(), PAY, json!({}), json!({})).await;
    until(store.as_ref(), id, |run| run.state == RunState::Waiting).await;
    clock.advance(Duration::from_secs(55 * 60));
    hurry(clock);
    let run = settled(store.as_ref(), id).await;
    engine.stop().await;
    assert_eq!((run.state, sent(&world)), (RunState::Succeeded, 1), "{:?}", run.error);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_on_its_way_when_the_process_died_is_not_taken_for_unsent() {
    let clock = ManualClock::new(SystemClock::new().now());
    let mut world = World::with_clock(SimulatorConfig::demo(), Arc::new(clock.clone())).await;
    // No key protects: only the look-up does.
    world.reconnect(|bank| bank.key_window_secs = Some(0));
    let store = world.store().await;
    let id = world.start(store.as_ref(), PAY, json!({}), json!({})).await;
    world.wake.nudged().await;
    store.close().await.expect("closed");
    // 1: wake_due, 2: claim, 3: the intent, 4: the outcome.
    dies(&world, Fault::Before(4)).await;
    assert_eq!(world.simulator.control.effects().len(), 1);
    let run = to_the_end(&world, &clock, id).await;
    assert_eq!((run.state, sent(&world)), (RunState::Succeeded, 1), "{:?}", run.error);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_after_an_unknown_outcome_is_not_believed() {
    let world = World::in_haste(SimulatorConfig::demo()).await;
    let control = &world.simulator.control;
    control.add_fault(FaultRule::on("create_payout", FaultAction::DropAfterEffect).times(1));
    control.add_fault(FaultRule::on("create_payout", status(404, When::Before, None)).nth(2));
    let run = world.run(PAY).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.error);
    let store = world.store().await;
    let audit = audit_store(store.as_ref(), &world.simulator).await;
    assert!(audit.is_exact() && audit.paid() == 1, "{audit}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_would_not_be_the_same_is_not_sent_in_its_place() {
    let (mut world, clock, id) = to_be_sent_again(60).await;
    // The same call of the same script, and a table that has changed meanwhile.
    let table = include_str!("../../../src/connector/providers/augustus.toml");
    let table = table.replace(
        "our_reference = \"metadata.bursar\"",
        "our_reference = \"metadata.ours\"",
    );
    let connector = Connector::parse("augustus.toml", &table).expect("the table is right");
    world.reconnect(|bank| bank.connector = Arc::new(connector));
    clock.advance(Duration::from_secs(61));
    let run = to_the_end(&world, &clock, id).await;
    assert_eq!(
        (run.state, run.error.map(|error| error.code).as_deref(), sent(&world)),
        (RunState::Parked, Some("diverged"), 1)
    );
}

/// Lets a payment be made, then asks for something slow; what is durable meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_is_durable_while_the_script_goes_on() {
    let (world, clock) = World::standing_still().await;
    let slow = FaultAction::Delay {
        ms: 400,
        when: When::Before,
    };
    world
        .simulator
        .control
        .add_fault(FaultRule::on("retrieve_payout", slow));
    let script = format!("let status = {{ {PAY} }}; try {{ bank::retrieve_payout(uuid()); }} catch {{}} status");
    let store = world.store().await;
    let engine = world.engine(store.clone()).await;
    let id = world.start(store.as_ref(), &script, json!({}), json!({})).await;
    let asked = |world: &World| world.simulator.control.requests().contains_key("retrieve_payout");
    let patience = Patience::new(Duration::from_secs(10));
    while !asked(&world) {
        assert!(!patience.is_over());
        pause(Duration::from_millis(2)).await;
    }
    // The write was handed over before the read went out; this is more than a commit takes.
    pause(Duration::from_millis(200)).await;
    let records = store.journal(id).await.expect("the journal");
    let kinds: Vec<_> = records.iter().map(|record| record.entry.kind()).collect();
    assert_eq!(kinds.last(), Some(&"outcome"), "{kinds:?}");
    let run = passing(
        store.as_ref(),
        &clock,
        id,
        RunState::Running,
        Duration::from_millis(100),
    )
    .await;
    assert_eq!(run.state, RunState::Succeeded);
    engine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_asks_for_a_pause_gets_it() {
    let world = World::demo().await;
    let fault = status(429, When::Before, Some(600));
    world
        .simulator
        .control
        .add_fault(FaultRule::on("create_payout", fault).times(1));
    let store = world.store().await;
    let engine = world.engine(store.clone()).await;
    let began = world.clock.now();
    let id = world.start(store.as_ref(), PAY, json!({}), json!({})).await;
    let paused = |run: &Run| run.state.is_final() || run.wake_at.is_some_and(|at| at > began + TimeDelta::minutes(9));
    let run = until(store.as_ref(), id, paused).await;
    engine.stop().await;
    assert_eq!(run.state, RunState::Waiting, "{:?}", run.error);
    assert_eq!(sent(&world), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_come_to_an_end() {
    let world = World::in_haste(SimulatorConfig::demo()).await;
    world
        .simulator
        .control
        .add_fault(FaultRule::on("create_payout", status(429, When::Before, None)));
    let store = world.store().await;
    let engine = world.engine(store.clone()).await;
    let id = world.start(store.as_ref(), PAY, json!({}), json!({})).await;
    // Four are allowed.
    while sent(&world) <= 4 && !store.run(id).await.expect("read").expect("there").state.is_final() {
        pause(Duration::from_millis(5)).await;
    }
    let run = store.run(id).await.expect("read").expect("there");
    engine.stop().await;
    assert_eq!((run.state, sent(&world)), (RunState::Failed, 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_to_end_begins_nothing_more() {
    let (world, clock, id) = to_be_sent_again_by(&format!("{PAY}; bank::list_scopes()"), 60).await;
    let store = open(world.folder.path()).await;
    let left = store.cancel(id, "treasurer", "a mistake", clock.now()).await;
    assert_eq!(left, Ok(RunState::Queued), "only a note is left");
    store.close().await.expect("closed");
    let run = to_the_end(&world, &clock, id).await;
    assert_eq!(run.state, RunState::Cancelled, "{:?}", run.error);
    let requests = world.simulator.control.requests();
    assert!(!requests.contains_key("list_scopes"), "{requests:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_run_is_cancelled_over_a_payment_whose_outcome_nobody_knows() {
    // One branch comes to a new step, where the end that was asked for would be; the other has a payment out.
    let script = r#"
        let from = bank::accounts(#{ label: "Operating DE" })[0].id;
        let to = bank::accounts(#{ label: "Treasury EUR" })[0].id;
        parallel(["ask", "pay"], |what| {
            if what == "ask" {
                sleep("60s");
                bank::list_scopes()
            } else {
                bank::payout(#{ from: from, to: to, amount: EUR(10.50), reference: "INV-1" })
            }
        })
    "#;
    let (world, clock, id) = to_be_sent_again_by(script, 60).await;
    let bank = &world.simulator.control;
    bank.add_fault(FaultRule::on("list_payouts", status(503, When::Before, None)));
    let store = open(world.folder.path()).await;
    // By now both may go on.
    clock.advance(Duration::from_secs(60));
    let left = store.cancel(id, "treasurer", "a mistake", clock.now()).await;
    assert_eq!(left, Ok(RunState::Queued), "only a note is left");
    let engine = world.engine(store.clone()).await;
    hurry(clock);
    let run = until(store.as_ref(), id, |run| run.turns >= 3 || run.state.is_final()).await;
    engine.stop().await;
    assert!(!run.state.is_final(), "{} after {} turns", run.state, run.turns);
    let records = store.journal(id).await.expect("the journal");
    let journal = Journal::from_records(records).expect("legal");
    let open: Vec<&StepPath> = journal
        .steps()
        .filter(|(_, record)| matches!(record.phase, Phase::Sent { .. }))
        .map(|(path, _)| path)
        .collect();
    assert_eq!(open.len(), 1, "{journal:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_ends_one_wait_of_a_run() {
    let clock = ManualClock::new(SystemClock::new().now());
    let world = World::with_clock(SimulatorConfig::demo(), Arc::new(clock.clone())).await;
    let script = r#"
        let wanted = #{ type: "deposit.received", timeout: "1m" };
        [bank::wait_event(wanted).id, bank::wait_event(wanted).id]
    "#;
    let store = world.store().await;
    let id = world.start(store.as_ref(), script, json!({}), json!({})).await;
    for number in ["one", "two"] {
        let event = Event {
            id: EventId::generate(clock.now()),
            connection: "bank".to_owned(),
            provider_id: number.to_owned(),
            kind: "deposit.received".to_owned(),
            subject: None,
            occurred_at: None,
            received_at: clock.now(),
            payload: json!({}).into(),
        };
        world.arrives(store.as_ref(), event).await;
    }
    let engine = world.engine(store.clone()).await;
    // A wait that is not given its event ends by its time.
    hurry(clock);
    let run = settled(store.as_ref(), id).await;
    engine.stop().await;
    assert_eq!(run.result, Some(json!(["one", "two"])), "{:?}", run.error);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_rides_is_written_in_order() {
    let world = World::demo().await;
    let run = world.run(r#"state::set("a", 1); state::set("b", 2); "done""#).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.error);
    let store = world.store().await;
    let records = store.journal(run.id).await.expect("the journal");
    let paths: Vec<String> = records.iter().map(|record| record.entry.path().to_string()).collect();
    assert_eq!(paths, ["1", "2"]);
}
