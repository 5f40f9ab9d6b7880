//! A key that is refused: what tells of it, what waits for it, and that waiting costs nothing.

use std::sync::Arc;
use std::time::Duration;

use bursar::base::clock::{Clock as _, ManualClock, SystemClock};
use bursar::base::ids::RunId;
use bursar::connector::table::Connector;
use bursar::model::breaker::Cause;
use bursar::model::journal::Entry;
use bursar::model::run::{Run, RunState};
use bursar::simulator::config::SimulatorConfig;
use bursar::simulator::faults::{FaultAction, FaultRule, When};
use bursar::store::Store;

use crate::pace::{FREEZE, PAY, asked, begin, status, with_time_to_compute};
use crate::support::real_time::{Patience, pause};
use crate::support::{World, audit_store, hurry, settled, until};

const READ: &str = "bank::accounts().len()";

/// A world whose time the test alone moves, and in which a connection that is left alone is left alone for an hour.
async fn by_hand(settings: impl FnOnce(&mut World)) -> (World, ManualClock) {
    let clock = ManualClock::new(SystemClock::new().now());
    let mut world = World::with_clock(SimulatorConfig::demo(), Arc::new(clock.clone())).await;
    world.reconnect(|bank| {
        bank.pace.breaker.failures = 1_000;
        bank.pace.breaker.pause = Duration::from_secs(3_600);
    });
    // Hours pass at once, whoever computes meanwhile.
    world.settings.budget.compute = Duration::from_secs(864_000);
    world.settings.lease = Duration::from_secs(864_000);
    settings(&mut world);
    (world, clock)
}

/// Lets an hour pass, until it is asked whether the key works.
async fn is_asked_again(world: &World, clock: &ManualClock) {
    let before = asked(world, "retrieve_api_key");
    let patience = Patience::new(Duration::from_secs(20));
    while asked(world, "retrieve_api_key") == before {
        assert!(!patience.is_over(), "nobody asks");
        clock.advance(Duration::from_secs(60));
        pause(Duration::from_millis(3)).await;
    }
}

/// Lets hours pass in moments: an answer that is heard late makes a pause of an hour begin late.
fn hours_pass(clock: ManualClock) {
    tokio::spawn(async move {
        loop {
            pause(Duration::from_millis(2)).await;
            clock.advance(Duration::from_secs(5));
        }
    });
}

/// From now on these operations refuse the key, and so does the one that shows it.
fn refuse(world: &World, operations: &[&str]) {
    for operation in operations.iter().chain(&["retrieve_api_key"]) {
        let refusal = FaultRule::on(operation, status(401, When::Before, None));
        world.simulator.control.add_fault(refusal);
    }
}

async fn rests(store: &dyn Store, run: RunId) -> RunState {
    let rests = |run: &Run| matches!(run.state, RunState::Parked | RunState::Waiting);
    until(store, run, rests).await.state
}

/// Why a step last said that it is held or was tried in vain.
async fn last_reason(store: &dyn Store, run: RunId) -> String {
    let records = store.journal(run).await.expect("the journal");
    let reasons = records.into_iter().filter_map(|record| match record.entry {
        Entry::Retry { retry, .. } => Some(retry.reason),
        _ => None,
    });
    reasons.collect::<Vec<_>>().pop().unwrap_or_default()
}

/// The provider's table, without the word that one of its reads shows the key.
fn nothing_shows_the_key() -> Connector {
    let table = include_str!("../../src/connector/providers/augustus.toml");
    let table = table
        .replace("[endpoint.retrieve_api_key]", "[endpoint.a_read]")
        .replace("shows_key = true\n", "");
    Connector::parse("augustus.toml", &table).expect("the table is right")
}

/// Where no read shows the key, the one that is asked may be beyond its scopes: only a 401 is the key's own.
#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_the_key_may_not_make_is_no_refused_key() {
    let check = async |answer: u16, held: bool| {
        let mut world = World::demo().await;
        world.reconnect(|bank| bank.connector = Arc::new(nothing_shows_the_key()));
        for operation in ["freeze_account", "retrieve_api_key"] {
            let refusal = FaultRule::on(operation, status(answer, When::Before, None));
            world.simulator.control.add_fault(refusal);
        }
        assert_eq!(world.run(FREEZE).await.state, RunState::Parked);
        assert_eq!(asked(&world, "retrieve_api_key"), 1, "{answer}");
        let store = world.store().await;
        let causes: Vec<Cause> = store
            .breakers()
            .await
            .expect("read")
            .iter()
            .map(|it| it.cause)
            .collect();
        let expected = if held { vec![Cause::Credentials] } else { Vec::new() };
        assert_eq!(causes, expected, "{answer}");
        store.close().await.expect("closed");
    };
    check(403, false).await;
    check(401, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_says_what_the_key_may_not_read_answers_again() {
    let mut world = World::in_haste(SimulatorConfig::demo()).await;
    with_time_to_compute(&mut world);
    world.settings.backoff.attempts_max = 16;
    world.reconnect(|bank| {
        bank.connector = Arc::new(nothing_shows_the_key());
        bank.pace.breaker.failures = 3;
    });
    let bank = world.simulator.control.clone();
    bank.add_fault(FaultRule::on("retrieve_api_key", status(403, When::Before, None)));
    bank.add_fault(FaultRule::on("create_payout", status(503, When::Before, None)).times(3));
    let store = world.store().await;
    let engine = world.engine(store.clone()).await;
    let first = begin(&world, store.as_ref(), PAY).await;
    assert_eq!(settled(store.as_ref(), first).await.state, RunState::Succeeded);
    let later = begin(&world, store.as_ref(), PAY).await;
    assert_eq!(settled(store.as_ref(), later).await.state, RunState::Succeeded);
    engine.stop().await;
    let audit = audit_store(store.as_ref(), &world.simulator).await;
    assert!(audit.is_exact() && audit.paid() == 2, "{audit}");
}

/// Two payments were made and nobody heard so; when they are looked up, the key is refused.
#[tokio::test(flavor = "multi_thread")]
async fn a_look_up_waits_for_the_key_and_is_not_spent() {
    let (world, clock) = by_hand(|world| world.reconnect(|bank| bank.key_window_secs = Some(0))).await;
    let bank = world.simulator.control.clone();
    bank.configure(|config| config.lists.visibility_lag_ms = 100_000);
    bank.add_fault(FaultRule::on("create_payout", FaultAction::DropAfterEffect).times(2));
    let store = world.store().await;
    let engine = world.engine(store.clone()).await;
    let runs = [
        begin(&world, store.as_ref(), PAY).await,
        begin(&world, store.as_ref(), PAY).await,
    ];
    for run in runs {
        until(store.as_ref(), run, |run| run.state == RunState::Waiting).await;
    }
    assert_eq!(bank.effects().len(), 2);
    let looked = asked(&world, "list_payouts");
    refuse(&world, &["list_payouts"]);
    hurry(clock.clone());
    let patience = Patience::new(Duration::from_secs(20));
    let held = loop {
        assert!(!patience.is_over(), "nobody is asked");
        let mut held = Vec::new();
        for run in runs {
            if rests(store.as_ref(), run).await == RunState::Waiting {
                held.push(run);
            }
        }
        if held.len() < 2 {
            break held;
        }
        pause(Duration::from_millis(5)).await;
    };
    assert_eq!(held.len(), 1, "one person is asked once");
    pause(Duration::from_millis(400)).await;
    assert_eq!(rests(store.as_ref(), held[0]).await, RunState::Waiting);
    assert!(asked(&world, "list_payouts") <= looked + 2, "no look-up is spent");
    bank.clear_faults();
    hours_pass(clock);
    let run = settled(store.as_ref(), held[0]).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.error);
    engine.stop().await;
    assert_eq!(bank.effects().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_looked_at_with_a_key_that_is_refused() {
    let (world, clock) = by_hand(|_| {}).await;
    let store = world.store().await;
    let engine = world.engine(store.clone()).await;
    let waits = PAY.replace("bank::payout(", "let paid = bank::payout(");
    let waits = waits.replace(").status", "); bank::settled(paid, \"30d\").status");
    let run = begin(&world, store.as_ref(), &waits).await;
    until(store.as_ref(), run, |run| run.state == RunState::Waiting).await;
    refuse(&world, &["retrieve_payout", "freeze_account"]);
    let first = begin(&world, store.as_ref(), FREEZE).await;
    assert_eq!(rests(store.as_ref(), first).await, RunState::Parked);
    let looked = asked(&world, "retrieve_payout");
    for _ in 0..60 {
        clock.advance(Duration::from_secs(30));
        pause(Duration::from_millis(5)).await;
    }
    assert_eq!(asked(&world, "retrieve_payout"), looked);
    let entries = store.journal(run).await.expect("the journal").len();
    // It asks whether the key works when the pause is over, and waits on.
    is_asked_again(&world, &clock).await;
    world.simulator.control.clear_faults();
    hours_pass(clock);
    let run = settled(store.as_ref(), run).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.error);
    let records = store.journal(run.id).await.expect("the journal");
    assert!(
        records.len() < entries + 30,
        "that it is held is not said again and again"
    );
    engine.stop().await;
}

/// A day and more goes by until the key is corrected: what was held is done all the same, and what then goes wrong once
/// is tried again.
#[tokio::test(flavor = "multi_thread")]
async fn the_time_for_which_a_key_is_refused_is_not_time_in_which_a_step_is_tried() {
    let (world, clock) = by_hand(|_| {}).await;
    let bank = world.simulator.control.clone();
    let busy = status(429, When::Before, Some(60));
    bank.add_fault(FaultRule::on("create_payout", busy.clone()).times(1));
    let store = world.store().await;
    let engine = world.engine(store.clone()).await;
    let pays = begin(&world, store.as_ref(), PAY).await;
    until(store.as_ref(), pays, |run| run.state == RunState::Waiting).await;
    refuse(&world, &["freeze_account"]);
    let first = begin(&world, store.as_ref(), FREEZE).await;
    assert_eq!(rests(store.as_ref(), first).await, RunState::Parked);
    let reads = begin(&world, store.as_ref(), READ).await;
    assert_eq!(rests(store.as_ref(), reads).await, RunState::Waiting);
    for _ in 0..26 {
        is_asked_again(&world, &clock).await;
    }
    assert_eq!(asked(&world, "create_payout"), 1);
    assert!(last_reason(store.as_ref(), pays).await.contains("its key was refused"));
    bank.clear_faults();
    bank.add_fault(FaultRule::on("create_payout", busy.clone()).times(1));
    bank.add_fault(FaultRule::on("list_accounts", busy).times(1));
    hours_pass(clock);
    for run in [pays, reads] {
        let run = settled(store.as_ref(), run).await;
        assert_eq!(run.state, RunState::Succeeded, "{:?}", run.error);
    }
    engine.stop().await;
    let audit = audit_store(store.as_ref(), &world.simulator).await;
    assert!(audit.is_exact() && audit.paid() == 1, "{audit}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_waited_for_its_place_says_that_the_key_is_refused() {
    let (world, clock) = by_hand(|world| world.reconnect(|bank| bank.pace.requests_per_second = Some(1))).await;
    let store = world.store().await;
    let engine = world.engine(store.clone()).await;
    let first = begin(&world, store.as_ref(), READ).await;
    assert_eq!(settled(store.as_ref(), first).await.state, RunState::Succeeded);
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(begin(&world, store.as_ref(), READ).await);
    }
    for run in &held {
        assert_eq!(rests(store.as_ref(), *run).await, RunState::Waiting);
        assert!(last_reason(store.as_ref(), *run).await.contains("others come first"));
    }
    refuse(&world, &["list_accounts"]);
    let patience = Patience::new(Duration::from_secs(20));
    loop {
        clock.advance(Duration::from_secs(1));
        pause(Duration::from_millis(10)).await;
        let (mut parked, mut told) = (0, 0);
        for run in &held {
            parked += usize::from(rests(store.as_ref(), *run).await == RunState::Parked);
            told += usize::from(last_reason(store.as_ref(), *run).await.contains("its key was refused"));
        }
        if (parked, told) == (1, 2) {
            break;
        }
        assert!(!patience.is_over(), "{parked} parked, {told} say why they are held");
    }
    engine.stop().await;
}
