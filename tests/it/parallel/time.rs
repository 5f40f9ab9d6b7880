//! Branches and time: what overlaps, what waits, what is replayed.
//!
//! `BURSAR_SEED` replays the shuffled timing.

use std::sync::Arc;
use std::time::Duration;

use bursar::base::clock::{Clock as _, ManualClock, SystemClock};
use bursar::base::ids::EventId;
use bursar::model::event::Event;
use bursar::model::run::RunState;
use bursar::simulator::config::SimulatorConfig;
use bursar::simulator::faults::{FaultAction, FaultRule, When};
use serde_json::json;

use super::{SIX_PAID, pay_six, ran, steps};
use crate::support::{World, audit_store, number, report, settled, until};

fn delay(ms: u64) -> FaultAction {
    FaultAction::Delay { ms, when: When::Before }
}

#[tokio::test(flavor = "multi_thread")]
async fn branches_wait_for_the_provider_at_the_same_time() {
    const PAYOUTS: u32 = 24;
    const LATENCY: Duration = Duration::from_millis(200);
    let clock = SystemClock::new();
    let mut ratios = Vec::new();
    for (branches, at_least) in [(1, 0.9), (8, 3.0)] {
        let world = World::demo().await;
        let latency = u64::try_from(LATENCY.as_millis()).expect("small");
        world
            .simulator
            .control
            .add_fault(FaultRule::on("create_payout", delay(latency)));
        let script = format!(
            r#"
                let from = bank::accounts(#{{ label: "Operating DE" }})[0].id;
                let to = bank::accounts(#{{ label: "Treasury EUR" }})[0].id;
                let items = []; for i in 0..{PAYOUTS} {{ items.push(i + 1); }}
                parallel(items, #{{ branches: {branches} }}, |n| bank::payout(#{{ from: from, to: to, amount: EUR(0.01) * n, reference: `P-${{n}}` }}).status)
                    .filter(|done| done.ok).len()
            "#
        );
        let began = clock.elapsed();
        let (run, store) = ran(&world, &script).await;
        let took = clock.elapsed() - began;
        assert_eq!(run.result, Some(json!(PAYOUTS)), "{:?}", run.error);
        let audit = audit_store(store.as_ref(), &world.simulator).await;
        assert!(audit.is_exact(), "{audit}");
        let ratio = f64::from(PAYOUTS) * LATENCY.as_secs_f64() / took.as_secs_f64();
        assert!(
            if branches == 1 { ratio <= 1.0 } else { ratio >= at_least },
            "{branches} branches overlap {ratio:.1} times"
        );
        ratios.push(format!("{branches} branches: {ratio:.1}"));
    }
    report(&format!("provider time overlapped {}", ratios.join(", ")));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_branch_waits_a_day_and_the_others_end() {
    let clock = ManualClock::new(SystemClock::new().now());
    let world = World::with_clock(SimulatorConfig::demo(), Arc::new(clock.clone())).await;
    let store = world.store().await;
    let engine = world.engine(store.clone()).await;
    let script = pay_six("if number == 2 { sleep(\"1d\"); }");
    let id = world.start(store.as_ref(), &script, json!({}), json!({})).await;
    let run = until(store.as_ref(), id, |run| run.state == RunState::Waiting).await;
    assert_eq!(
        world.simulator.control.effects().len(),
        5,
        "all but the second of the second branch"
    );
    let ended: Vec<String> = steps(store.as_ref(), id)
        .await
        .into_iter()
        .filter(|step| step.ends_with("branch"))
        .collect();
    assert_eq!(ended, ["3.1 branch", "3.3 branch"]);
    let due = run.wake_at.expect("a time") - world.clock.now();
    assert!(due.num_hours() >= 23, "{due}");
    let asked = world.simulator.control.requests()["create_payout"].total;
    clock.advance(Duration::from_secs(24 * 60 * 60 + 1));
    world.wake.nudge();
    let run = settled(store.as_ref(), id).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.error);
    engine.stop().await;
    assert_eq!(world.simulator.control.requests()["create_payout"].total, asked + 1);
    let audit = audit_store(store.as_ref(), &world.simulator).await;
    assert_eq!(audit.to_string(), SIX_PAID);
}

#[tokio::test(flavor = "multi_thread")]
async fn waits_of_several_branches_are_each_given_their_event() {
    let world = World::demo().await;
    let store = world.store().await;
    let engine = world.engine(store.clone()).await;
    let script = r#"
        let told = parallel(["a", "b", "any"], |subject| {
            let filter = #{ type: "deposit.received", timeout: "1m" };
            if subject != "any" { filter.subject = subject; }
            bank::wait_event(filter).id
        });
        told.map(|t| t.value)
    "#;
    let id = world.start(store.as_ref(), script, json!({}), json!({})).await;
    let run = until(store.as_ref(), id, |run| run.state == RunState::Waiting).await;
    assert_eq!(run.waits_for.len(), 3, "{run:?}");
    for (number, subject) in [("one", "b"), ("two", "a"), ("three", "c"), ("four", "b"), ("five", "a")] {
        let now = world.clock.now();
        let event = Event {
            id: EventId::generate(now),
            connection: "bank".to_owned(),
            provider_id: number.to_owned(),
            kind: "deposit.received".to_owned(),
            subject: Some(subject.to_owned()),
            occurred_at: None,
            received_at: now,
            payload: json!({}).into(),
        };
        world.arrives(store.as_ref(), event).await;
    }
    let run = settled(store.as_ref(), id).await;
    engine.stop().await;
    let told = run.result.expect("a result");
    let told: Vec<&str> = told
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|id| id.as_str())
        .collect();
    let mut different = told.clone();
    different.sort_unstable();
    different.dedup();
    // `any` may be faster than another that waits for the same event. They never share one.
    assert_eq!((different.len(), told.len()), (3, 3), "{told:?}");
}

/// The same journal, and the same provider in different orders: the results are byte for byte the same.
#[tokio::test(flavor = "multi_thread")]
async fn shuffled_timing_changes_no_result() {
    const ROUNDS: u64 = 100;
    let seed = number("BURSAR_SEED", fastrand::u64(..));
    fastrand::seed(seed);
    let script = r#"
        let from = bank::accounts(#{ label: "Operating DE" })[0].id;
        let to = bank::accounts(#{ label: "Treasury EUR" })[0].id;
        let done = parallel([1, 2, 3, 4, 5, 6], #{ branches: 3 }, |n| {
            let paid = bank::payout(#{ from: from, to: to, amount: EUR(1) * n, reference: `P-${n}` });
            if n == 4 { throw #{ error: "fourth", message: `${paid.amount}` }; }
            let inner = parallel([1, 2], |m| `${n}.${m}`);
            [paid.amount, inner]
        });
        done
    "#;
    let mut first: Option<String> = None;
    for round in 0..ROUNDS {
        let world = World::demo().await;
        for nth in 1..=6 {
            let rule = FaultRule::on("create_payout", delay(fastrand::u64(0..8)));
            world.simulator.control.add_fault(rule.nth(nth));
        }
        let (run, store) = ran(&world, script).await;
        assert_eq!(
            run.state,
            RunState::Succeeded,
            "BURSAR_SEED={seed:#x}, round {round}: {:?}",
            run.error
        );
        let result = run.result.expect("a result").to_string();
        let paths = format!("{result} {:?}", steps(store.as_ref(), run.id).await);
        store.close().await.expect("closed");
        assert_eq!(
            *first.get_or_insert_with(|| paths.clone()),
            paths,
            "BURSAR_SEED={seed:#x}, round {round}"
        );
    }
    report(&format!(
        "{ROUNDS} runs with shuffled timing (BURSAR_SEED={seed:#x}): one result"
    ));
}
