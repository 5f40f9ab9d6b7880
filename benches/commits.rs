//! How many group commits a run waits for, and how near its rate comes to the disk's.

use std::sync::Arc;
use std::time::Duration;

use bursar::base::clock::{Clock as _, SystemClock};
use bursar::base::ids::WorkerId;
use bursar::base::wake::Wake;
use bursar::engine::worker::Engine;
use bursar::store::Store as _;
use bursar::store::sqlite::Durability;

use super::counting::{Counting, Waits};
use super::report::{Figure, fail, median, per_second};
use super::{Options, limits, rig, stub};

const RUNS: usize = 2_000;
const ROUNDS: usize = 3;
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn measure(_options: &Options) -> Vec<Figure> {
    let mut rates = Vec::new();
    let mut disk = Vec::new();
    let mut waits = Waits::default();
    for _ in 0..ROUNDS {
        disk.push(limits::group_commits_per_second(rig::folder().path()));
        let (rate, counted) = rig::runtime().block_on(round());
        rates.push(rate);
        waits = counted;
    }
    let (rate, disk) = (median(rates), median(disk));
    let each = |count: u64| {
        per_second(usize::try_from(count).unwrap_or(0), Duration::from_secs(1))
            / per_second(RUNS, Duration::from_secs(1))
    };
    let in_run = each(waits.begun + waits.settled) + 1.0;
    vec![
        Figure::new(
            "group commits a run waits for, its admission included",
            format!("{:.2}", in_run + 1.0),
        )
        .note(format!(
            "admission 1, claim 1, intents {:.2}, end {:.2}; outcomes queued without waiting {:.2}",
            each(waits.begun),
            each(waits.settled),
            each(waits.passed)
        )),
        Figure::ratio(
            "runs in a second, of what the disk's commits allow",
            rate,
            64.0 * disk / in_run,
        ),
        Figure::ratio("runs in a second, of the disk's commits", rate, disk),
    ]
}

async fn round() -> (f64, Waits) {
    let folder = rig::folder();
    rig::write_files(folder.path(), stub::payments().await);
    let settings = rig::settings(folder.path());
    let catalog = rig::catalog(&settings);
    let snapshot = catalog.current();
    let workflow = snapshot
        .workflow("charge")
        .unwrap_or_else(|| fail("the workflow is missing"));
    let inner = rig::store(folder.path(), Durability::Full).await;
    inner.save_version(workflow.version.clone()).await.expect("a version");
    let made: Vec<_> = (0..RUNS)
        .map(|number| inner.create_run(rig::run_of(&workflow.version, &workflow.params, number)))
        .collect();
    for run in made {
        run.await.expect("a run");
    }
    let store = Counting::new(inner.clone());
    let services = Arc::new(rig::services(&settings, store.clone(), Wake::new()).await);
    let clock = SystemClock::new();
    let started = clock.elapsed();
    let engine = Engine::start(services, WorkerId::generate(clock.now())).expect("threads");
    loop {
        let counts = rig::counts(inner.as_ref()).await;
        if counts.get("succeeded").copied().unwrap_or(0) >= RUNS as u64 {
            break;
        }
        let ended_badly = ["failed", "parked", "cancelled"]
            .iter()
            .any(|state| counts.get(state).is_some_and(|runs| *runs > 0));
        if ended_badly || clock.elapsed().saturating_sub(started) > PATIENCE {
            fail(&format!("the runs do not end as they should: {counts:?}"));
        }
        clock.sleep(Duration::from_millis(2)).await;
    }
    let took = clock.elapsed().saturating_sub(started);
    engine.stop().await;
    inner.close().await.expect("the store closes");
    (per_second(RUNS, took), store.waits())
}
