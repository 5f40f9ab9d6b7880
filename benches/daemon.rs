//! The program itself: what it holds in memory when nothing happens, and how soon it serves over a full store.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bursar::app::control_path;
use bursar::base::clock::{Clock as _, SystemClock};
use bursar::base::ids::WorkerId;
use bursar::model::run::Settlement;
use bursar::server::client::ControlClient;
use bursar::server::protocol::Status;
use bursar::store::sqlite::Durability;
use bursar::store::{Append, Store as _};
use chrono::TimeDelta;
use serde_json::json;

use super::report::{Figure, fail, median, millis};
use super::{Options, rig, stub};

const RUNS: usize = 100_000;
/// Runs made, taken and ended at once.
const BATCH: usize = 2_000;
const STARTS: usize = 5;
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn measure(options: &Options) -> Vec<Figure> {
    let runtime = rig::runtime();
    let folder = rig::folder();
    runtime.block_on(async { rig::write_files(folder.path(), stub::payments().await) });
    let (empty, idle) = runtime.block_on(starts(&options.program, folder.path()));
    runtime.block_on(fill(folder.path()));
    let (full, idle_full) = runtime.block_on(starts(&options.program, folder.path()));
    let start = |what: &str, ms: f64| Figure::new(what, millis(Duration::from_secs_f64(ms / 1_000.0)));
    let memory = |what: &str, mib: f64| Figure::new(what, format!("{mib:.1} MiB"));
    vec![
        memory("resident when idle, an empty store", idle),
        memory("resident when idle, 100,000 ended runs", idle_full),
        start("start to ready, an empty store", empty),
        start("start to ready, 100,000 ended runs", full),
    ]
}

/// Starts the daemon several times: milliseconds until it answers, and MiB a second later.
async fn starts(program: &Path, folder: &Path) -> (f64, f64) {
    let clock = SystemClock::new();
    let (mut ready, mut resident) = (Vec::new(), Vec::new());
    for _ in 0..STARTS {
        let started = clock.elapsed();
        let mut daemon = start(program, folder);
        while !answers(folder, daemon.id()).await {
            if clock.elapsed().saturating_sub(started) > PATIENCE {
                fail("the daemon does not come up");
            }
            clock.sleep(Duration::from_millis(2)).await;
        }
        ready.push(clock.elapsed().saturating_sub(started).as_secs_f64() * 1_000.0);
        clock.sleep(Duration::from_secs(1)).await;
        resident.push(resident_mib(daemon.id()));
        daemon.kill().expect("our own process");
        daemon.wait().expect("our own process");
    }
    (median(ready), median(resident))
}

pub(crate) fn start(program: &Path, folder: &Path) -> Child {
    let log = std::fs::File::create(folder.join("daemon.log")).expect("a file");
    let started = Command::new(program)
        .arg("--config")
        .arg(folder.join("bursar.toml"))
        .arg("serve")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn();
    started.unwrap_or_else(|error| fail(&format!("{} cannot be started: {error}", program.display())))
}

pub(crate) async fn answers(folder: &Path, pid: u32) -> bool {
    let Ok(mut client) = ControlClient::connect(&control_path(&folder.join("state"))).await else {
        return false;
    };
    client
        .get::<Status>("/v1/status")
        .await
        .is_ok_and(|status| status.pid == pid)
}

pub(crate) fn resident_mib(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: u32 = line
        .and_then(|line| line.split_whitespace().next()?.parse().ok())
        .unwrap_or_else(|| fail("this system does not say what a process holds"));
    f64::from(kib) / 1_024.0
}

/// Makes the runs and ends them, through the store like any other.
async fn fill(folder: &Path) {
    let store = rig::store(folder, Durability::Normal).await;
    let clock = SystemClock::new();
    let version = rig::version("()");
    store.save_version(version.clone()).await.expect("a version");
    for first in (0..RUNS).step_by(BATCH) {
        let made: Vec<_> = (first..first + BATCH)
            .map(|number| store.create_run(rig::run_of(&version, &json!({}), number)))
            .collect();
        for run in made {
            run.await.expect("a run");
        }
        let now = clock.now();
        let limit = u32::try_from(BATCH).unwrap_or(u32::MAX);
        let claims = store
            .claim(WorkerId::generate(now), now, now + TimeDelta::hours(1), limit)
            .await;
        let ended: Vec<_> = claims
            .expect("the runs are taken")
            .into_iter()
            .map(|claim| {
                let append = Append {
                    settlement: Some(Settlement::Succeeded { result: json!(null) }),
                    ..Append::default()
                };
                store.append(&claim.lease, append, now)
            })
            .collect();
        for run in ended {
            run.await.expect("the run ends");
        }
    }
    store.close().await.expect("the store closes");
}
