//! Which slots make runs: on time, after downtime, across restarts, clock jumps and changed manifests.

use std::sync::Arc;
use std::time::Duration;

use bursar::base::clock::{Clock as _, Instant, ManualClock};
use bursar::base::shutdown::Stopper;
use bursar::base::wake::Wake;
use bursar::catalog::watch::Catalog;
use bursar::model::run::{Cause, Run};
use bursar::model::value::{parse_time, time_text};
use bursar::model::workflow::{CatchUp, Trigger, Workflow};
use bursar::store::faulty::{Fault, Faulty};
use bursar::store::{RunQuery, Store};
use bursar::trigger::cron::CronTrigger;
use bursar::trigger::versions::KnownVersions;
use chrono::TimeDelta;
use serde_json::json;
use tokio::task::JoinHandle;

use crate::webhooks::harness::{catalog_of, new_store, snapshot_of, workflow};

const DAILY: &str = "0 18 * * *";
const ZONE: &str = "Europe/Berlin";

fn at(text: &str) -> Instant {
    parse_time(text).expect("an instant")
}

fn scheduled(name: &str, schedule: &str, catch_up: CatchUp) -> Workflow {
    let trigger = Trigger::Cron {
        schedule: schedule.to_owned(),
        timezone: ZONE.to_owned(),
        catch_up,
    };
    workflow(name, vec![trigger])
}

/// A trigger that is running.
struct Running {
    stopper: Stopper,
    task: JoinHandle<()>,
}

impl Running {
    fn start(store: Arc<dyn Store>, catalog: &Catalog, clock: &ManualClock) -> Self {
        let (stopper, shutdown) = Stopper::new();
        let task = tokio::spawn(CronTrigger::run(
            store,
            catalog.clone(),
            Arc::new(clock.clone()),
            Wake::new(),
            Arc::new(KnownVersions::new()),
            shutdown,
        ));
        Self { stopper, task }
    }

    async fn stop(self) {
        self.stopper.stop();
        self.task.await.expect("it ends without a panic");
    }
}

/// Lets the trigger do everything it wants to do at this moment.
async fn settle() {
    tokio::time::sleep_until(tokio::time::Instant::now() + Duration::from_millis(40)).await;
}

async fn runs(store: &dyn Store) -> Vec<Run> {
    let query = RunQuery {
        limit: 1_000,
        ..RunQuery::default()
    };
    let mut runs = store.runs(query).await.expect("runs can be read");
    runs.reverse();
    runs
}

/// The slots that made runs, in the order of the runs.
async fn slots(store: &dyn Store) -> Vec<String> {
    let runs = runs(store).await;
    let slot = |run: &Run| {
        let Cause::Cron { slot, .. } = &run.cause else {
            unreachable!("nothing else makes runs here")
        };
        time_text(*slot)
    };
    runs.iter().map(slot).collect()
}

#[tokio::test]
async fn a_new_schedule_waits_for_its_first_slot_and_tells_the_run_which_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = new_store(&folder).await;
    let clock = ManualClock::new(at("2026-05-04T15:59:00Z"));
    let sweep = scheduled("sweep", DAILY, CatchUp::Latest);
    let running = Running::start(store.clone(), &catalog_of(vec![sweep.clone()]), &clock);
    settle().await;
    assert!(
        runs(store.as_ref()).await.is_empty(),
        "yesterday's slot is not its business"
    );

    clock.advance(Duration::from_secs(30));
    settle().await;
    assert!(runs(store.as_ref()).await.is_empty(), "half a minute early");

    clock.advance(Duration::from_secs(30));
    settle().await;
    let made = runs(store.as_ref()).await;
    let [run] = made.as_slice() else {
        panic!("one run, not {made:?}")
    };
    assert_eq!(run.workflow, "sweep");
    assert_eq!(run.version, sweep.version.digest);
    assert_eq!(
        run.event,
        json!({"type": "cron", "schedule": DAILY, "timezone": ZONE, "slot": "2026-05-04T16:00:00Z"})
    );
    assert!(store.version(run.version).await.expect("readable").is_some());
    running.stop().await;
}

#[tokio::test]
async fn a_slot_missed_while_nothing_ran_is_caught_up_only_if_asked_for_and_young() {
    let check = async |catch_up: CatchUp, away: TimeDelta, expected: &[&str]| {
        let folder = tempfile::tempdir().expect("a folder");
        let store = new_store(&folder).await;
        let clock = ManualClock::new(at("2026-05-04T15:59:50Z"));
        let catalog = catalog_of(vec![scheduled("sweep", DAILY, catch_up)]);
        let running = Running::start(store.clone(), &catalog, &clock);
        settle().await;
        clock.advance(Duration::from_secs(20));
        settle().await;
        running.stop().await;

        clock.jump_to(clock.now() + away);
        let running = Running::start(store.clone(), &catalog, &clock);
        settle().await;
        running.stop().await;
        let found = slots(store.as_ref()).await;
        assert_eq!(found.first().map(String::as_str), Some("2026-05-04T16:00:00Z"));
        assert_eq!(found[1..], *expected, "{catch_up:?} after {away}");
    };
    check(CatchUp::Latest, TimeDelta::hours(20), &[]).await;
    check(CatchUp::Latest, TimeDelta::hours(27), &["2026-05-05T16:00:00Z"]).await;
    check(CatchUp::None, TimeDelta::hours(27), &[]).await;
    // A week away: the latest one, not seven.
    check(CatchUp::Latest, TimeDelta::hours(7 * 24 + 3), &["2026-05-11T16:00:00Z"]).await;
    // A machine that wakes late while the process lives is no different.
    check(CatchUp::Latest, TimeDelta::hours(24 + 12), &["2026-05-05T16:00:00Z"]).await;
}

#[tokio::test]
async fn neither_restarts_nor_a_clock_set_back_fire_a_slot_twice_or_lose_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = new_store(&folder).await;
    // Through the night the clocks go back: the hour that comes twice is in it.
    let begin = at("2026-10-24T22:10:00Z");
    let clock = ManualClock::new(begin);
    let catalog = catalog_of(vec![scheduled("pulse", "*/30 * * * *", CatchUp::None)]);
    let mut running = Running::start(store.clone(), &catalog, &clock);
    settle().await;
    for step in 0..36 {
        clock.advance(Duration::from_secs(600));
        settle().await;
        if step % 5 == 2 {
            let now = clock.now();
            clock.jump_to(now - TimeDelta::minutes(50));
            settle().await;
            clock.advance(Duration::from_secs(30));
            settle().await;
            clock.jump_to(now);
            settle().await;
        }
        if step % 7 == 3 {
            running.stop().await;
            running = Running::start(store.clone(), &catalog, &clock);
            settle().await;
        }
    }
    running.stop().await;
    let expected: Vec<String> = (0..12)
        .map(|half_hours| time_text(at("2026-10-24T22:30:00Z") + TimeDelta::minutes(30 * half_hours)))
        .collect();
    assert_eq!(slots(store.as_ref()).await, expected);
}

#[tokio::test]
async fn two_triggers_over_one_store_make_one_run_for_a_slot() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = new_store(&folder).await;
    let clock = ManualClock::new(at("2026-05-04T15:59:50Z"));
    let catalog = catalog_of(vec![scheduled("sweep", DAILY, CatchUp::Latest)]);
    let both = [0, 1].map(|_| Running::start(store.clone(), &catalog, &clock));
    settle().await;
    clock.advance(Duration::from_secs(15));
    settle().await;
    for running in both {
        running.stop().await;
    }
    assert_eq!(slots(store.as_ref()).await, ["2026-05-04T16:00:00Z"]);
}

#[tokio::test]
async fn a_slot_whose_write_failed_is_made_after_the_restart() {
    for fault in [Fault::Before(1), Fault::Before(2), Fault::After(2)] {
        let folder = tempfile::tempdir().expect("a folder");
        let store = new_store(&folder).await;
        let clock = ManualClock::new(at("2026-05-03T15:59:50Z"));
        let catalog = catalog_of(vec![scheduled("sweep", DAILY, CatchUp::Latest)]);
        // One good day first, so that the store knows the schedule.
        let running = Running::start(store.clone(), &catalog, &clock);
        settle().await;
        clock.advance(Duration::from_secs(15));
        settle().await;
        running.stop().await;

        clock.jump_to(at("2026-05-04T15:59:50Z"));
        let running = Running::start(Faulty::new(store.clone(), fault), &catalog, &clock);
        settle().await;
        clock.advance(Duration::from_secs(15));
        settle().await;
        clock.advance(Duration::from_secs(15));
        settle().await;
        running.stop().await;

        let running = Running::start(store.clone(), &catalog, &clock);
        settle().await;
        running.stop().await;
        let expected = ["2026-05-03T16:00:00Z", "2026-05-04T16:00:00Z"];
        assert_eq!(slots(store.as_ref()).await, expected, "{fault:?}");
    }
}

#[tokio::test]
async fn a_changed_manifest_counts_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = new_store(&folder).await;
    let clock = ManualClock::new(at("2026-05-04T15:00:10Z"));
    let catalog = catalog_of(vec![
        scheduled("gone", "1 17 * * *", CatchUp::Latest),
        scheduled("moved", "1 17 * * *", CatchUp::Latest),
        scheduled("wrong", "61 17 * * *", CatchUp::Latest),
    ]);
    let running = Running::start(store.clone(), &catalog, &clock);
    settle().await;
    catalog.replace(snapshot_of(vec![
        scheduled("moved", "2 17 * * *", CatchUp::Latest),
        scheduled("wrong", "3 17 * * *", CatchUp::Latest),
    ]));
    settle().await;
    for _ in 0..8 {
        clock.advance(Duration::from_secs(30));
        settle().await;
    }
    running.stop().await;
    let made: Vec<(String, String)> = std::iter::zip(
        runs(store.as_ref()).await.into_iter().map(|run| run.workflow),
        slots(store.as_ref()).await,
    )
    .collect();
    let expected = [("moved", "2026-05-04T15:02:00Z"), ("wrong", "2026-05-04T15:03:00Z")];
    assert_eq!(made, expected.map(|(name, slot)| (name.to_owned(), slot.to_owned())));
}
