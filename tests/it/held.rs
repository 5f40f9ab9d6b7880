//! What waits for a connection in trouble: what is told of it after a restart, that many who wait are no herd, and that a
//! probe that comes to nothing is made again.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bursar::base::clock::{BoxFuture, Clock, Instant, ManualClock, SystemClock};
use bursar::connector::connection::BreakerSettings;
use bursar::model::breaker::{Cause, Tripped};
use bursar::model::run::{Run, RunState};
use bursar::simulator::config::SimulatorConfig;
use bursar::simulator::faults::{FaultAction, FaultRule, When};
use bursar::store::{RunQuery, Store};
use chrono::TimeDelta;
use futures_util::StreamExt as _;
use serde_json::{Value as Json, json};

use crate::pace::{FREEZE, PAY, asked, begin, status, with_time_to_compute};
use crate::support::daemon::Site;
use crate::support::real_time::{Patience, pause};
use crate::support::{World, audit_store, open, report, settled, until};

/// A world whose time the test alone moves; one payment that gets no answer trips its connection for a minute.
async fn easily_tripped() -> (World, ManualClock) {
    let clock = ManualClock::new(SystemClock::new().now());
    let mut world = World::with_clock(SimulatorConfig::demo(), Arc::new(clock.clone())).await;
    with_time_to_compute(&mut world);
    world.settings.backoff.attempts_max = 16;
    world.reconnect(|bank| {
        bank.pace.breaker = BreakerSettings {
            failures: 1,
            pause: Duration::from_secs(60),
        };
    });
    (world, clock)
}

/// One payment gets no answer: nothing new is begun.
async fn trip(world: &World, store: &dyn Store) -> Run {
    let down = FaultRule::on("create_payout", status(503, When::Before, None)).times(1);
    world.simulator.control.add_fault(down);
    let run = begin(world, store, PAY).await;
    until(store, run, |run| run.state == RunState::Waiting).await
}

async fn holds(store: &dyn Store, cause: Option<Cause>) {
    let patience = Patience::new(Duration::from_secs(20));
    loop {
        let held = store.breakers().await.expect("read");
        let causes: Vec<Cause> = held.iter().map(|tripped| tripped.cause).collect();
        if causes == Vec::from_iter(cause) {
            return;
        }
        assert!(!patience.is_over(), "{causes:?}, not {cause:?}");
        pause(Duration::from_millis(3)).await;
    }
}

/// A new process tries its own key, so nothing is held in it, and that is what is told: before anything was asked.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_restart_only_what_is_held_is_told_to_be() {
    let (world, clock) = easily_tripped().await;
    let bank = world.simulator.control.clone();
    let refuse = || {
        for operation in ["freeze_account", "retrieve_api_key"] {
            bank.add_fault(FaultRule::on(operation, status(401, When::Before, None)));
        }
    };
    let store = world.store().await;
    let engine = world.engine(store.clone()).await;
    refuse();
    let first = begin(&world, store.as_ref(), FREEZE).await;
    until(store.as_ref(), first, |run| run.state == RunState::Parked).await;
    holds(store.as_ref(), Some(Cause::Credentials)).await;
    engine.stop().await;
    holds(store.as_ref(), Some(Cause::Credentials)).await;
    let engine = world.engine(store.clone()).await;
    holds(store.as_ref(), None).await;
    // Refused again: held again, and told so.
    let second = begin(&world, store.as_ref(), FREEZE).await;
    until(store.as_ref(), second, |run| run.state == RunState::Parked).await;
    holds(store.as_ref(), Some(Cause::Credentials)).await;
    // Trouble is the provider's and outlives the process; only an answer ends it.
    bank.clear_faults();
    clock.advance(Duration::from_secs(61));
    let third = begin(&world, store.as_ref(), FREEZE).await;
    assert_eq!(settled(store.as_ref(), third).await.state, RunState::Succeeded);
    holds(store.as_ref(), None).await;
    trip(&world, store.as_ref()).await;
    holds(store.as_ref(), Some(Cause::Trouble)).await;
    engine.stop().await;
    let engine = world.engine(store.clone()).await;
    pause(Duration::from_millis(100)).await;
    holds(store.as_ref(), Some(Cause::Trouble)).await;
    engine.stop().await;
    // Where nothing is ever held, nothing is told to be.
    let mut world = world;
    world.reconnect(|bank| bank.pace.breaker.failures = 0);
    let engine = world.engine(store.clone()).await;
    holds(store.as_ref(), None).await;
    engine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_ls_tells_why_one_is_held_and_not_that_one_is_held_that_is_not() {
    let mut site = Site::new(SimulatorConfig::demo()).await;
    let now = SystemClock::new().now();
    let listed = async |site: &Site| {
        let said = site.command(&["connections", "ls", "--json"]).await;
        let line = said.stdout.lines().next().expect("a connection");
        serde_json::from_str::<Json>(line).expect("JSON")["held"].clone()
    };
    for (cause, outlives) in [(Cause::Credentials, false), (Cause::Trouble, true)] {
        let store = open(&site.path("state")).await;
        let tripped = Tripped {
            connection: "bank".to_owned(),
            since: now,
            probe_at: now + TimeDelta::hours(1),
            cause,
            reason: "no such key".to_owned(),
        };
        store.set_breaker("bank".to_owned(), Some(tripped)).await.expect("kept");
        store.close().await.expect("closed");
        drop(store);
        let held = listed(&site).await;
        assert_eq!(
            (&held["cause"], &held["reason"]),
            (&json!(cause.name()), &json!("no such key"))
        );
        site.start().await;
        let patience = Patience::new(Duration::from_secs(20));
        while listed(&site).await.is_null() == outlives {
            assert!(!patience.is_over(), "{cause:?}: {}", listed(&site).await);
            pause(Duration::from_millis(20)).await;
        }
        let status: Json = site.client().await.get("/v1/status").await.expect("told");
        let told = status.pointer("/held/bank/cause");
        assert_eq!(told, outlives.then(|| json!(cause.name())).as_ref(), "{status}");
        site.stop().await;
    }
}

async fn all_runs(store: &dyn Store) -> Vec<Run> {
    let query = RunQuery {
        limit: 5_000,
        ..RunQuery::default()
    };
    store.runs(query).await.expect("read")
}

/// Waits until all that is due has looked, and nobody but one that asks is at work.
async fn calm(world: &World, store: &dyn Store) {
    // The engine may not have seen yet that time has passed.
    store.wake_due(world.clock.now()).await.expect("looked");
    world.wake.nudge();
    let patience = Patience::new(Duration::from_secs(60));
    loop {
        let counts = store.counts().await.expect("counted");
        let of = |wanted| {
            counts
                .iter()
                .find(|(state, _)| *state == wanted)
                .map_or(0, |(_, count)| *count)
        };
        if of(RunState::Queued) == 0 && of(RunState::Running) <= 1 {
            return;
        }
        assert!(!patience.is_over(), "{counts:?}");
        pause(Duration::from_millis(2)).await;
    }
}

/// While the one that asks gets no answer for long, the others do not wake, look and wait again each second; and when it
/// is answered, they do not all go at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_held_runs_are_no_herd() {
    const RUNS: usize = 1_000;
    const HANGS_SECS: usize = 25;
    let (world, clock) = easily_tripped().await;
    let bank = world.simulator.control.clone();
    let store = world.store().await;
    let engine = world.engine(store.clone()).await;
    let ids = r#"["Operating DE", "Treasury EUR"].map(|name| bank::accounts(#{ label: name })[0].id)"#;
    let ids = settled(store.as_ref(), begin(&world, store.as_ref(), ids).await).await;
    let ids = ids.result.expect("two ids");
    trip(&world, store.as_ref()).await;
    let pay = format!(
        "bank::payout(#{{ from: {}, to: {}, amount: EUR(0.01), reference: \"INV\" }}).status",
        ids[0], ids[1]
    );
    let begun = (0..RUNS).map(|_| begin(&world, store.as_ref(), &pay));
    futures_util::stream::iter(begun)
        .buffer_unordered(64)
        .collect::<Vec<_>>()
        .await;
    calm(&world, store.as_ref()).await;
    let turns = async || {
        all_runs(store.as_ref())
            .await
            .iter()
            .map(|run| run.turns as usize)
            .sum::<usize>()
    };
    let before = turns().await;
    let hang = FaultAction::Delay {
        ms: 1_000 * (HANGS_SECS as u64),
        when: When::Before,
    };
    bank.add_fault(FaultRule::on("retrieve_api_key", hang).times(1));
    let began = asked(&world, "create_payout");
    clock.advance(Duration::from_secs(60));
    for _ in 1..HANGS_SECS {
        calm(&world, store.as_ref()).await;
        clock.advance(Duration::from_secs(1));
    }
    calm(&world, store.as_ref()).await;
    let looked = turns().await - before;
    assert!(
        looked <= 4 * RUNS,
        "{looked} turns of {RUNS} runs in {HANGS_SECS} seconds"
    );
    assert!(asked(&world, "create_payout") <= began + 1, "nothing new begins");
    // Answered.
    let (mut most, mut seconds) = (0, 0);
    loop {
        let sent = asked(&world, "create_payout");
        clock.advance(Duration::from_secs(1));
        pause(Duration::from_millis(5)).await;
        calm(&world, store.as_ref()).await;
        most = most.max(asked(&world, "create_payout") - sent);
        seconds += 1;
        if all_runs(store.as_ref()).await.iter().all(|run| run.state.is_final()) {
            break;
        }
        assert!(seconds < 180, "some are held for ever");
    }
    engine.stop().await;
    report(&format!(
        "{RUNS} held runs: {looked} turns while one asked for {HANGS_SECS} s; then done within {seconds} s, at most {most} a second"
    ));
    assert!(most <= 250, "{most} at once");
    let audit = audit_store(store.as_ref(), &world.simulator).await;
    assert!(audit.is_exact() && audit.paid() == RUNS + 1, "{audit}");
}

/// A clock that fails the script thread that looks at it, once, after so many looks.
#[derive(Debug)]
struct FailingClock {
    inner: ManualClock,
    looks: AtomicI64,
}

impl FailingClock {
    fn look(&self) {
        let thread = std::thread::current();
        let is_script = thread.name().is_some_and(|name| name.starts_with("script-"));
        if is_script && self.looks.fetch_sub(1, Ordering::SeqCst) == 1 {
            panic!("the clock fails on purpose");
        }
    }
}

impl Clock for FailingClock {
    fn now(&self) -> Instant {
        self.look();
        self.inner.now()
    }

    fn elapsed(&self) -> Duration {
        self.look();
        self.inner.elapsed()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.inner.sleep(duration)
    }
}

/// Wherever the program itself fails in a turn that asks, the connection is asked again by another.
#[tokio::test(flavor = "multi_thread")]
async fn a_probe_that_panics_is_made_again_by_another_run() {
    let (mut world, clock) = easily_tripped().await;
    let failing = Arc::new(FailingClock {
        inner: clock.clone(),
        looks: AtomicI64::new(0),
    });
    world.clock = failing.clone();
    let store = world.store().await;
    let engine = world.engine(store.clone()).await;
    let id = r#"bank::accounts(#{ label: "Operating NL" })[0].id"#;
    let id = settled(store.as_ref(), begin(&world, store.as_ref(), id).await)
        .await
        .result;
    let freeze = format!("bank::freeze_account({}).status", id.expect("an id"));
    let mut failed = 0;
    for looks in 1..=48 {
        let down = FaultRule::on("freeze_account", status(503, When::Before, None)).times(1);
        world.simulator.control.add_fault(down);
        // The first one trips it, the others are held.
        let mut runs = Vec::new();
        for _ in 0..3 {
            let run = begin(&world, store.as_ref(), &freeze).await;
            until(store.as_ref(), run, |run| run.state == RunState::Waiting).await;
            runs.push(run);
        }
        failing.looks.store(looks, Ordering::SeqCst);
        let patience = Patience::new(Duration::from_secs(20));
        let mut parked = 0;
        for run in runs {
            let ended = |run: &Run| run.state.is_final() || run.state == RunState::Parked;
            let run = loop {
                let run = store.run(run).await.expect("read").expect("there");
                if ended(&run) {
                    break run;
                }
                assert!(!patience.is_over(), "after {looks} looks nobody asks any more: {run:?}");
                clock.advance(Duration::from_secs(15));
                pause(Duration::from_millis(1)).await;
            };
            parked += usize::from(run.state == RunState::Parked);
        }
        failed += parked;
        if parked == 0 && failing.looks.load(Ordering::SeqCst) > 0 {
            break;
        }
        failing.looks.store(0, Ordering::SeqCst);
    }
    engine.stop().await;
    report(&format!("{failed} failures of the program around a probe"));
    assert!(failed > 10);
}
