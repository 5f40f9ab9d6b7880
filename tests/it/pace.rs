//! The pace of calls: a provider in trouble, a provider that counts, steps that were tried for long enough, and keys
//! that lapse.
//!
//! `BURSAR_LAPSES` sets how many keys lapse or nearly do (36 if not set), `BURSAR_SEED` replays when they are asked for.

use std::sync::Arc;
use std::time::Duration;

use bursar::base::clock::{Clock as _, ManualClock, SystemClock};
use bursar::base::ids::RunId;
use bursar::base::secret::Secret;
use bursar::connector::connection::BreakerSettings;
use bursar::model::breaker::Cause;
use bursar::model::journal::{Entry, Record, Resolution};
use bursar::model::run::{Run, RunState};
use bursar::simulator::config::SimulatorConfig;
use bursar::simulator::faults::{FaultAction, FaultRule, When};
use bursar::store::{Decision, Store};
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::support::real_time::{Patience, pause};
use crate::support::{World, audit_store, hurry, number as given, report, settled, until};

pub(crate) const PAY: &str = r#"
    let from = bank::accounts(#{ label: "Operating DE" })[0].id;
    let to = bank::accounts(#{ label: "Treasury EUR" })[0].id;
    bank::payout(#{ from: from, to: to, amount: EUR(10.50), reference: "INV-1" }).status
"#;
pub(crate) const FREEZE: &str = r#"bank::freeze_account(bank::accounts(#{ label: "Operating NL" })[0].id).status"#;

pub(crate) fn status(status: u16, when: When, retry_after_secs: Option<u64>) -> FaultAction {
    FaultAction::Status {
        status,
        when,
        retry_after_secs,
    }
}

pub(crate) async fn begin(world: &World, store: &dyn Store, script: &str) -> RunId {
    world.start(store, script, json!({}), json!({})).await
}

/// Computing is timed by the world's clock, and in a clock in haste seconds pass while a busy machine takes a breath.
pub(crate) fn with_time_to_compute(world: &mut World) {
    world.settings.budget.compute = Duration::from_secs(3_600);
    world.settings.lease = Duration::from_secs(3_600);
}

/// How often an operation was asked for.
pub(crate) fn asked(world: &World, operation: &str) -> u64 {
    let requests = world.simulator.control.requests();
    requests.get(operation).map_or(0, |count| count.total)
}

pub(crate) async fn kinds(store: &dyn Store, run: RunId) -> Vec<&'static str> {
    let records = store.journal(run).await.expect("the journal");
    let kinds = records.iter().map(|record| record.entry.kind());
    kinds.filter(|kind| *kind != "done").collect()
}

/// Lets time pass second by second until something is so.
pub(crate) async fn pass_until(clock: &ManualClock, wanted: impl Fn() -> bool) {
    let patience = Patience::new(Duration::from_secs(20));
    while !wanted() {
        assert!(!patience.is_over(), "it never comes to that");
        clock.advance(Duration::from_secs(1));
        pause(Duration::from_millis(3)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_in_trouble_is_sent_nothing_new_until_it_answers_a_read() {
    let clock = ManualClock::new(SystemClock::new().now());
    let mut world = World::with_clock(SimulatorConfig::demo(), Arc::new(clock.clone())).await;
    world.reconnect(|bank| {
        bank.pace.breaker = BreakerSettings {
            failures: 3,
            pause: Duration::from_secs(3_600),
        };
    });
    world.settings.backoff.attempts_max = 16;
    with_time_to_compute(&mut world);
    let bank = world.simulator.control.clone();
    bank.add_fault(FaultRule::on("create_payout", status(503, When::Before, None)).times(3));
    let store = world.store().await;
    let engine = world.engine(store.clone()).await;
    let first = begin(&world, store.as_ref(), PAY).await;
    pass_until(&clock, || asked(&world, "create_payout") >= 3).await;
    until(store.as_ref(), first, |run| run.state == RunState::Waiting).await;

    // Nothing new begins: no intent, and the step says why.
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(begin(&world, store.as_ref(), PAY).await);
    }
    for run in &held {
        until(store.as_ref(), *run, |run| run.state == RunState::Waiting).await;
        assert_eq!(kinds(store.as_ref(), *run).await, ["retry"]);
        let records = store.journal(*run).await.expect("the journal");
        let Some(Entry::Retry { retry, .. }) = records.last().map(|record| &record.entry) else {
            panic!("{records:?}");
        };
        assert!(
            retry.reason.contains("503") && retry.reason.contains("`bank`"),
            "{}",
            retry.reason
        );
    }
    let tripped = store.breakers().await.expect("read");
    assert_eq!(tripped.len(), 1, "a restart has to know");
    assert_eq!(asked(&world, "create_payout"), 3);
    // Reads go through, and what was begun goes on.
    let reads = begin(&world, store.as_ref(), "bank::accounts().len()").await;
    assert_eq!(settled(store.as_ref(), reads).await.state, RunState::Succeeded);
    pass_until(&clock, || asked(&world, "create_payout") == 4).await;
    assert_eq!(settled(store.as_ref(), first).await.state, RunState::Succeeded);
    engine.stop().await;

    // Another process knows it. It asks by one read, which is not answered well, and later by another, which is.
    bank.add_fault(FaultRule::on("retrieve_api_key", status(500, When::Before, None)).times(1));
    let engine = world.engine(store.clone()).await;
    // Its time was asked for before the payment went out again.
    let asked_before = asked(&world, "retrieve_api_key");
    for probes in 1..=2 {
        assert_eq!(asked(&world, "create_payout"), 4, "never a payment");
        let before = store.breakers().await.expect("read");
        clock.advance(Duration::from_secs(3_600));
        pass_until(&clock, || asked(&world, "retrieve_api_key") == asked_before + probes).await;
        // The time to ask again counts from the answer: a clock that jumps before it makes the pause longer.
        let patience = Patience::new(Duration::from_secs(20));
        while store.breakers().await.expect("read") == before {
            assert!(!patience.is_over(), "the answer is never heard");
            pause(Duration::from_millis(3)).await;
        }
    }
    let patience = Patience::new(Duration::from_secs(20));
    while store
        .runs(bursar::store::RunQuery {
            limit: 10,
            ..Default::default()
        })
        .await
        .expect("read")
        .iter()
        .any(|run| !run.state.is_final())
    {
        assert!(!patience.is_over());
        // One that looked just before the answer is held for another pause.
        clock.advance(Duration::from_secs(10));
        pause(Duration::from_millis(5)).await;
    }
    engine.stop().await;
    assert_eq!(store.breakers().await, Ok(Vec::new()));
    let probes = asked(&world, "retrieve_api_key") - asked_before;
    assert_eq!(probes, 2, "one asked, the others waited");
    let audit = audit_store(store.as_ref(), &world.simulator).await;
    assert!(audit.is_exact() && audit.paid() == 5, "{audit}");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_spaced_and_a_step_that_waits_for_its_place_has_no_intent() {
    let mut world = World::in_haste(SimulatorConfig::demo()).await;
    with_time_to_compute(&mut world);
    world.reconnect(|bank| bank.pace.requests_per_second = Some(1));
    let store = world.store().await;
    let engine = world.engine(store.clone()).await;
    let began = world.clock.elapsed();
    let (mut runs, mut throttled) = (Vec::new(), 0);
    for _ in 0..6 {
        runs.push(begin(&world, store.as_ref(), PAY).await);
    }
    for run in &runs {
        assert_eq!(settled(store.as_ref(), *run).await.state, RunState::Succeeded);
        let kinds = kinds(store.as_ref(), *run).await;
        let (effect, held) = (["intent", "outcome"], kinds.len().saturating_sub(2));
        assert_eq!(kinds[held..], effect);
        // A step that waits for its place says so, once.
        let records = store.journal(*run).await.expect("the journal");
        let mut said = std::collections::BTreeMap::new();
        for record in records {
            match record.entry {
                Entry::Retry { path, retry, .. } => {
                    assert_eq!(retry.attempt, 0, "{retry:?}");
                    assert!(
                        retry.reason.contains("is 1 a second (`requests_per_second`)"),
                        "{retry:?}"
                    );
                    assert!(said.insert(path, retry.at).is_none(), "said twice");
                }
                Entry::Intent { path, .. } => {
                    let place = said.get(&path);
                    assert!(place.is_none_or(|at| record.at >= *at), "{path} before its place");
                }
                _ => {}
            }
        }
        assert_eq!(said.len(), held);
        throttled += held;
    }
    assert!(throttled > 0, "nobody had to wait");
    engine.stop().await;
    let requests: u64 = world
        .simulator
        .control
        .requests()
        .values()
        .map(|count| count.total)
        .sum();
    let took = world.clock.elapsed().saturating_sub(began);
    assert!(
        took >= Duration::from_secs(requests - 2),
        "{requests} requests in {took:?}"
    );
    let audit = audit_store(store.as_ref(), &world.simulator).await;
    assert!(audit.is_exact() && audit.paid() == 6, "{audit}");
}

/// A step is tried for six hours, once an hour. How the run ended, and how often the payout was sent and made.
async fn tried_for_long_enough(answer: FaultAction) -> (RunState, Option<String>, u64, usize) {
    let clock = ManualClock::new(SystemClock::new().now());
    let mut world = World::with_clock(SimulatorConfig::demo(), Arc::new(clock.clone())).await;
    world.reconnect(|bank| {
        bank.key_window_secs = Some(864_000);
        bank.pace.breaker.failures = 0;
    });
    world.settings.backoff.attempts_max = 1_000;
    with_time_to_compute(&mut world);
    world.settings.backoff.total = Duration::from_secs(6 * 3_600);
    world
        .simulator
        .control
        .add_fault(FaultRule::on("create_payout", answer));
    let store = world.store().await;
    let engine = world.engine(store.clone()).await;
    let id = begin(&world, store.as_ref(), PAY).await;
    let patience = Patience::new(Duration::from_secs(20));
    let over = |run: &Run| run.state.is_final() || run.state == RunState::Parked;
    let run = loop {
        let run = store.run(id).await.expect("read").expect("there");
        if over(&run) {
            break run;
        }
        assert!(!patience.is_over(), "{run:?}");
        // Not before it waits: a clock that runs away from the engine shows nothing.
        if let (RunState::Waiting, Some(wake_at)) = (run.state, run.wake_at) {
            clock.advance((wake_at - clock.now()).to_std().unwrap_or_default());
            clock.advance(Duration::from_secs(1));
        }
        pause(Duration::from_millis(3)).await;
    };
    engine.stop().await;
    let effects = world.simulator.control.effects().len();
    let code = run.error.map(|error| {
        // What is given up says what the trouble was.
        assert!(
            error.code != "given_up" || error.message.contains("; the last time: "),
            "{}",
            error.message
        );
        error.code
    });
    (run.state, code, asked(&world, "create_payout"), effects)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_is_tried_for_so_long_and_then_fails_or_is_looked_up() {
    let check = async |answer: FaultAction, state: RunState, code: Option<&str>, effects: usize| {
        let (found, said, sent, made) = tried_for_long_enough(answer.clone()).await;
        assert_eq!((found, said.as_deref(), made), (state, code, effects), "{answer:?}");
        assert!((5..=7).contains(&sent), "{answer:?}: sent {sent} times in six hours");
    };
    let hourly = Some(3_600);
    // Not done, and not wanted any more tomorrow.
    check(status(429, When::Before, hourly), RunState::Failed, Some("given_up"), 0).await;
    // Unknown: looked up, although the key would hold for days.
    check(status(500, When::Before, hourly), RunState::Failed, Some("given_up"), 0).await;
    check(status(500, When::After, hourly), RunState::Succeeded, None, 1).await;
}

/// What became of an effect of unknown outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Key,
    LookUp,
    Person,
}

/// An effect gets no usable answer, the process ends, and another begins so much later. How it went on, and how often
/// it was sent when its key was not trusted any more.
async fn after_a_pause(window: u64, away: Duration, pays: bool, when: When) -> (By, usize, String) {
    let clock = ManualClock::new(SystemClock::new().now());
    let mut config = SimulatorConfig::demo();
    // The provider forgets the key when the window ends, and would do it again.
    config.idempotency.window_ms = window * 1_000;
    let mut world = World::with_clock(config, Arc::new(clock.clone())).await;
    world.reconnect(|bank| bank.key_window_secs = Some(window));
    world.settings.backoff.total = Duration::from_secs(60 * 86_400);
    with_time_to_compute(&mut world);
    let (operation, script) = if pays {
        ("create_payout", PAY)
    } else {
        ("freeze_account", FREEZE)
    };
    let fault = FaultRule::on(operation, status(502, when, Some(60))).times(1);
    world.simulator.control.add_fault(fault);
    let store = world.store().await;
    let engine = world.engine(store.clone()).await;
    let id = begin(&world, store.as_ref(), script).await;
    until(store.as_ref(), id, |run| run.state == RunState::Waiting).await;
    engine.stop().await;
    clock.advance(away);
    let engine = world.engine(store.clone()).await;
    hurry(clock);
    let run = settled(store.as_ref(), id).await;
    engine.stop().await;
    let records = store.journal(id).await.expect("the journal");
    let found = match run.state {
        RunState::Parked => By::Person,
        _ if records
            .iter()
            .any(|record| matches!(record.entry, Entry::Sending { .. })) =>
        {
            By::Key
        }
        _ => By::LookUp,
    };
    let audit = audit_store(store.as_ref(), &world.simulator).await;
    assert!(
        !pays || audit.is_exact() && audit.paid() == 1,
        "{window} s, {away:?} later: {audit}"
    );
    (found, sent_too_late(&records), format!("{:?}", run.error))
}

/// How often something went out under a key that was not trusted any more.
fn sent_too_late(records: &[Record]) -> usize {
    let mut until = None;
    let mut late = 0;
    for record in records {
        match &record.entry {
            Entry::Intent { intent, .. } => until = intent.key_safe_until,
            Entry::Sending { .. } => late += usize::from(until.is_some_and(|until| record.at >= until)),
            _ => {}
        }
    }
    late
}

/// Each has a bank, a store and an engine of its own.
const LAPSES_AT_ONCE: usize = 36;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_again_under_a_key_that_lapsed() {
    let seed = given("BURSAR_SEED", fastrand::u64(..));
    let keys = given("BURSAR_LAPSES", 36).div_ceil(3);
    let mut random = fastrand::Rng::with_seed(seed);
    let mut cases = JoinSet::new();
    let at_once = Arc::new(Semaphore::new(LAPSES_AT_ONCE));
    for window in [3_600, 86_400, 864_000_u64] {
        for number in 0..keys {
            // Some minutes from the end of the trust on either side, and anywhere.
            let trusted = window - (window / 10).max(600);
            let away = match number % 3 {
                0 => trusted - random.u64(180..600),
                1 => trusted + random.u64(0..600),
                _ => random.u64(120..window * 2),
            };
            let when = if random.bool() { When::Before } else { When::After };
            let pays = number % 4 != 3;
            let at_once = at_once.clone();
            cases.spawn(async move {
                let _permit = at_once.acquire().await.expect("never closed");
                let came = after_a_pause(window, Duration::from_secs(away), pays, when).await;
                (window, away, trusted, pays, came)
            });
        }
    }
    let (mut within, mut past, mut looked_up, mut asked) = (0, 0, 0, 0);
    while let Some(case) = cases.join_next().await {
        let (window, away, trusted, pays, (found, late, error)) = case.expect("a case ends");
        let told = format!("BURSAR_SEED={seed:#x}: window {window} s, away {away} s: {found:?} {error}");
        assert_eq!(late, 0, "{told}");
        // The moments between sending and waiting, and the provider's whole seconds.
        let is_past = away >= trusted;
        match (is_past, pays) {
            (false, _) => assert_eq!(found, By::Key, "{told}"),
            (true, true) => assert_eq!(found, By::LookUp, "{told}"),
            (true, false) => assert_eq!(found, By::Person, "{told}"),
        }
        within += usize::from(!is_past);
        past += usize::from(is_past);
        looked_up += usize::from(found == By::LookUp);
        asked += usize::from(found == By::Person);
    }
    report(&format!(
        "{} keys of 1 h, 24 h and 10 d: {within} still held and were used again; {past} had lapsed: 0 sent again, \
         {looked_up} looked up, {asked} left to a person (BURSAR_SEED={seed:#x})",
        keys * 3
    ));
    assert_eq!(looked_up + asked, past);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_key_parks_one_run_and_holds_the_others_until_it_works() {
    const RUNS: usize = 6;
    let mut world = World::in_haste(SimulatorConfig::demo()).await;
    with_time_to_compute(&mut world);
    let good = world.connections["bank"].credential.clone();
    world.reconnect(|bank| bank.credential = Some(Secret::new("sandbox.wrong".to_owned())));
    let store = world.store().await;
    let engine = world.engine(store.clone()).await;
    let mut runs = Vec::new();
    for _ in 0..RUNS {
        runs.push(begin(&world, store.as_ref(), PAY).await);
    }
    let mut parked = Vec::new();
    for id in &runs {
        let rests = |run: &Run| matches!(run.state, RunState::Parked | RunState::Waiting);
        let run = until(store.as_ref(), *id, rests).await;
        if run.state == RunState::Parked {
            let error = run.error.expect("a reason");
            assert!(error.message.contains("Correct the key"), "{}", error.message);
            parked.push(*id);
            continue;
        }
        let records = store.journal(*id).await.expect("the journal");
        let Some(Entry::Retry { retry, .. }) = records.last().map(|record| &record.entry) else {
            panic!("{records:?}");
        };
        assert!(
            retry.reason.contains("connection `bank`: its key was refused: "),
            "{}",
            retry.reason
        );
        assert!(retry.attempt == 0 && retry.at > world.clock.now() - chrono::TimeDelta::hours(1));
    }
    assert_eq!(parked.len(), 1, "one person is asked once");
    let held = store.breakers().await.expect("read");
    assert_eq!((held.len(), held[0].cause), (1, Cause::Credentials));
    engine.stop().await;
    // Another process, with the key that works: nobody has to say anything about the others.
    world.reconnect(|bank| bank.credential = good);
    let engine = world.engine(store.clone()).await;
    for id in runs.iter().filter(|id| !parked.contains(id)) {
        let run = settled(store.as_ref(), *id).await;
        assert_eq!(run.state, RunState::Succeeded, "{:?}", run.error);
    }
    assert!(store.breakers().await.expect("read").is_empty());
    let again = Decision {
        run: parked[0],
        path: Some("1.1".parse().expect("a path")),
        resolution: Resolution::Retry,
        actor: "tess".to_owned(),
        reason: "the key is corrected".to_owned(),
        after: 0,
        at: world.clock.now(),
    };
    store.resolve(again).await.expect("decided");
    world.wake.nudge();
    assert_eq!(settled(store.as_ref(), parked[0]).await.state, RunState::Succeeded);
    engine.stop().await;
    let audit = audit_store(store.as_ref(), &world.simulator).await;
    assert!(audit.is_exact() && audit.paid() == RUNS, "{audit}");
}

/// The key is refused while payments are on their way: nothing was done, and each goes out once when it works again.
#[tokio::test(flavor = "multi_thread")]
async fn payments_that_met_a_refused_key_go_out_once_when_it_works() {
    let mut world = World::in_haste(SimulatorConfig::demo()).await;
    with_time_to_compute(&mut world);
    let bank = world.simulator.control.clone();
    for operation in ["create_payout", "retrieve_api_key"] {
        bank.add_fault(FaultRule::on(operation, status(401, When::Before, None)));
    }
    let store = world.store().await;
    let engine = world.engine(store.clone()).await;
    let mut runs = Vec::new();
    for _ in 0..8 {
        runs.push(begin(&world, store.as_ref(), PAY).await);
    }
    let mut parked = Vec::new();
    for id in &runs {
        let rests = |run: &Run| matches!(run.state, RunState::Parked | RunState::Waiting);
        if until(store.as_ref(), *id, rests).await.state == RunState::Parked {
            parked.push(*id);
        }
    }
    assert_eq!(parked.len(), 1);
    assert!(bank.effects().is_empty());
    bank.clear_faults();
    for id in runs.iter().filter(|id| !parked.contains(id)) {
        let run = settled(store.as_ref(), *id).await;
        assert_eq!(run.state, RunState::Succeeded, "{:?}", run.error);
    }
    engine.stop().await;
    let audit = audit_store(store.as_ref(), &world.simulator).await;
    assert_eq!((audit.twice(), audit.paid()), (0, 7), "{audit}");
}

/// One call that the key may not make is the matter of its own run: what others may do goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_missing_scope_parks_its_own_run_and_holds_nobody() {
    let world = World::demo().await;
    world
        .simulator
        .control
        .add_fault(FaultRule::on("freeze_account", status(403, When::Before, None)));
    let run = world.run(FREEZE).await;
    assert_eq!(run.state, RunState::Parked, "{:?}", run.error);
    let run = world.run(PAY).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.error);
    let store = world.store().await;
    assert!(store.breakers().await.expect("read").is_empty());
    store.close().await.expect("closed");
}
