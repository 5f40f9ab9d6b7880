//! A disk that fails: the n-th write, sync or open of the store's files, once or from then on; a disk that is full.
//!
//! The daemon is the real one, under `strace`, which makes the system call fail. `BURSAR_DISK_FAULTS` sets how many
//! places (20 if not set), `BURSAR_SEED` replays them; `BURSAR_DISK_FAULTS=0` tries every place.

use std::process::{Command, Stdio};
use std::time::Duration;

use bursar::simulator::config::SimulatorConfig;
use bursar::simulator::control::NewDeposit;
use futures_util::StreamExt as _;

use crate::support::daemon::Site;
use crate::support::real_time::{Patience, pause};
use crate::support::{audit_store, number, report};

/// System calls on the store's files, with what they answer when they fail. `write` is the witness's, `pwrite64` the
/// database's.
const FAULTS: &[(&str, &str)] = &[
    ("pwrite64", "error=EIO"),
    ("pwrite64", "error=ENOSPC"),
    ("fdatasync", "error=EIO"),
    ("fsync", "error=EIO"),
    ("openat", "error=EIO"),
    ("write", "error=EIO"),
    ("ftruncate", "error=EIO"),
];
/// More than any of these calls is made in one case.
const PLACES_MAX: u64 = 120;
/// At once.
const SITES: usize = 4;

#[derive(Debug, Clone)]
struct Fault {
    call: &'static str,
    answer: &'static str,
    place: u64,
    for_ever: bool,
    /// Whether the store has to be made, or is there already, so that the fault meets payments.
    fresh: bool,
}

#[derive(Debug, Default)]
struct Came {
    refused_to_start: bool,
    ended: bool,
    untouched: bool,
}

fn bank() -> SimulatorConfig {
    let mut config = SimulatorConfig::demo();
    config.webhooks.retry_delays_ms = vec![100; 600];
    config.lifecycle.payout_initiated_ms = 5;
    config.lifecycle.payout_paid_ms = 20;
    config
}

fn deposits(site: &Site) {
    for (number, amount) in [(1, "120.10"), (2, "349.99"), (3, "77.00")] {
        let deposit = NewDeposit::new("Marketplace EUR", amount, &format!("SELLER-042 order {number}"));
        site.bank.control.create_deposit(&deposit).expect("the deposit arrives");
    }
}

/// What the three deposits have to cause.
const EFFECTS: usize = 6;

/// A site whose bank knows where to deliver; its store is there already, or has to be made.
async fn known(fresh: bool) -> Site {
    let mut site = Site::to_be_wrapped(bank()).await;
    site.start().await;
    site.stop().await;
    if fresh {
        std::fs::remove_dir_all(site.path("state")).expect("removed");
    }
    site
}

/// Whether the daemon comes up.
async fn starts(site: &mut Site) -> bool {
    // The point is never reached: what is wanted is to hear of an end before it was up.
    let started = site.start_armed("intent-durable:1000000").await;
    started.unwrap_or_else(|error| panic!("{error}")).is_some()
}

/// Whether the daemon ends by itself before everything is paid.
async fn ends(site: &mut Site) -> bool {
    let patience = Patience::new(Duration::from_secs(3));
    while !patience.is_over() {
        if site.ended().expect("watched").is_some() {
            return true;
        }
        if site.bank.control.effects().len() == EFFECTS {
            // What is recorded afterwards may still meet the fault.
            pause(Duration::from_millis(200)).await;
            return site.ended().expect("watched").is_some();
        }
        pause(Duration::from_millis(20)).await;
    }
    false
}

async fn recovers(site: &mut Site, what: &str) {
    site.wrap(&[]);
    site.start().await;
    if let Err(error) = site.quiet().await {
        panic!("{what}: {error}");
    }
    assert!(site.stop().await.success(), "{what}: {}", site.log());
    let audit = audit_store(site.store().await.as_ref(), &site.bank).await;
    assert!(audit.is_exact(), "{what}: {audit}\n{}", site.log());
    assert_eq!(site.bank.control.effects().len(), EFFECTS, "{what}");
    let checked = site.command(&["db", "check"]).await;
    assert!(checked.code == Some(0), "{what}: {checked:?}");
}

async fn fail(fault: Fault) -> Came {
    let what = format!("{fault:?}");
    let mut site = known(fault.fresh).await;
    deposits(&site);
    let Fault {
        call,
        answer,
        place,
        for_ever,
        ..
    } = fault;
    let from_then_on = if for_ever { "+" } else { "" };
    let state = site.path("state");
    let mut wrapper: Vec<String> = ["strace", "-D", "-f", "-qq", "-o"].map(str::to_owned).into();
    wrapper.push(site.path("strace.log").display().to_string());
    for name in ["bursar.db", "bursar.db-wal", "bursar.sent"] {
        wrapper.extend(["-P".to_owned(), state.join(name).display().to_string()]);
    }
    wrapper.extend(["-e".to_owned(), format!("trace={call}")]);
    wrapper.extend([
        "-e".to_owned(),
        format!("inject={call}:{answer}:when={place}{from_then_on}"),
    ]);
    let words: Vec<&str> = wrapper.iter().map(String::as_str).collect();
    site.wrap(&words);
    let mut came = Came {
        refused_to_start: !starts(&mut site).await,
        ..Came::default()
    };
    came.ended = !came.refused_to_start && ends(&mut site).await;
    site.kill().await.expect("killed");
    let log = std::fs::read_to_string(site.path("strace.log")).unwrap_or_default();
    came.untouched = !log.contains("(INJECTED)");
    recovers(&mut site, &what).await;
    came
}

fn can_trace() -> bool {
    let tried = Command::new("strace")
        .args(["-qq", "-o", "/dev/null", "true"])
        .stderr(Stdio::null())
        .status();
    tried.is_ok_and(|status| status.success())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fails_at_any_place_costs_nothing() {
    if !can_trace() {
        report("SKIPPED: no strace here that may trace, so no system call can be made to fail");
        return;
    }
    let seed = number("BURSAR_SEED", fastrand::u64(..));
    let places = number("BURSAR_DISK_FAULTS", 20);
    let mut all: Vec<Fault> = FAULTS
        .iter()
        .flat_map(|(call, answer)| {
            (1..=PLACES_MAX).flat_map(move |place| {
                [(false, false), (false, true), (true, false), (true, true)].map(|(for_ever, fresh)| Fault {
                    call,
                    answer,
                    place,
                    for_ever,
                    fresh,
                })
            })
        })
        .collect();
    if places > 0 {
        let mut random = fastrand::Rng::with_seed(seed);
        // Most calls are made only a few times: near places are tried more often.
        all = (0..places)
            .map(|_| {
                let (call, answer) = FAULTS[random.usize(..FAULTS.len())];
                let reach = [4, 16, 48, PLACES_MAX][random.usize(..4)];
                Fault {
                    call,
                    answer,
                    place: random.u64(1..=reach),
                    for_ever: random.bool(),
                    fresh: random.u8(..4) == 0,
                }
            })
            .collect();
    }
    let count = all.len();
    let came: Vec<Came> = futures_util::stream::iter(all)
        .map(|fault| tokio::spawn(fail(fault)))
        .buffer_unordered(SITES)
        .map(|ended| ended.unwrap_or_else(|error| panic!("seed {seed:#x}: {error}")))
        .collect()
        .await;
    let how_many = |is: fn(&Came) -> bool| came.iter().filter(|came| is(came)).count();
    let (refused, ended, untouched) = (
        how_many(|came| came.refused_to_start),
        how_many(|came| came.ended),
        how_many(|came| came.untouched),
    );
    report(&format!(
        "{count} faults of the disk: {untouched} never met, {refused} kept the daemon from starting, {ended} ended it, \
         the others were survived; 0 twice, 0 missing (seed {seed:#x})"
    ));
    assert!(untouched < count, "seed {seed:#x}: no fault was met");
}

/// Files that may not grow, as on a disk that is full; then there is room again.
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_full_stops_the_daemon_and_nothing_is_lost() {
    let mut met = Vec::new();
    for blocks in [16, 64, 160, 320, 640] {
        let mut site = known(true).await;
        deposits(&site);
        let limited = format!("trap \"\" XFSZ; ulimit -f {blocks}; exec \"$@\"");
        site.wrap(&["sh", "-c", &limited, "sh"]);
        let started = starts(&mut site).await;
        let ended = started && ends(&mut site).await;
        site.kill().await.expect("killed");
        met.push((blocks, started, ended));
        recovers(&mut site, &format!("{blocks} blocks")).await;
    }
    report(&format!("full disks (blocks, started, ended): {met:?}"));
    assert!(met.iter().any(|(_, started, ended)| !started || *ended), "{met:?}");
}
