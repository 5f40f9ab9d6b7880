//! A daemon that is stopped for longer than its leases last, and goes on: it pays nothing twice, and nobody could take
//! its store meanwhile.

use std::process::Command;
use std::time::Duration;

use bursar::base::limits::LEASE_DURATION;
use bursar::simulator::config::SimulatorConfig;
use bursar::simulator::control::NewDeposit;
use bursar::simulator::faults::{FaultAction, FaultRule, When};
use futures_util::StreamExt as _;

use crate::support::daemon::Site;
use crate::support::real_time::pause;
use crate::support::{audit_store, number, report};

fn signal(site: &Site, name: &str) {
    let pid = site.pid().expect("a daemon");
    let told = Command::new("sh").arg("-c").arg(format!("kill -{name} {pid}")).status();
    assert!(told.expect("it runs").success(), "{name}");
}

/// Stops a daemon somewhere between a deposit and its payments. Says how many payments had been made.
async fn paused(seed: u64) -> usize {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut config = SimulatorConfig::demo();
    config.webhooks.retry_delays_ms = vec![500; 600];
    let mut site = Site::new(config).await;
    site.start().await;
    // So that some are stopped while a request is out.
    let slow = FaultAction::Delay {
        ms: 400,
        when: [When::Before, When::After][random.usize(..2)],
    };
    let control = site.bank.control.clone();
    control.add_fault(FaultRule::on("create_payout", slow).times(2));
    for number in 0..3 {
        let deposit = NewDeposit::new("Marketplace EUR", "120.10", &format!("SELLER-042 order {number}"));
        control.create_deposit(&deposit).expect("the deposit arrives");
    }
    pause(Duration::from_millis(random.u64(..900))).await;
    signal(&site, "STOP");
    let before = control.effects().len();
    let second = site.serve_under(&[]).await;
    assert_eq!(second.code, Some(6), "seed {seed:#x}: {second:?}");
    assert!(second.stderr.contains("in use"), "seed {seed:#x}: {}", second.stderr);
    pause(LEASE_DURATION + Duration::from_secs(2)).await;
    signal(&site, "CONT");
    if let Err(error) = site.quiet().await {
        panic!("seed {seed:#x}: {error}");
    }
    assert!(site.stop().await.success(), "seed {seed:#x}: {}", site.log());
    let audit = audit_store(site.store().await.as_ref(), &site.bank).await;
    assert!(
        audit.is_exact() && audit.paid() == 6,
        "seed {seed:#x}: {audit}\n{}",
        site.log()
    );
    before
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_stopped_for_longer_than_its_leases_pays_nothing_twice() {
    let seed = number("BURSAR_SEED", fastrand::u64(..));
    let pauses = number("BURSAR_PAUSES", 12);
    let mut random = fastrand::Rng::with_seed(seed);
    let seeds: Vec<u64> = (0..pauses).map(|_| random.u64(..)).collect();
    let before: Vec<usize> = futures_util::stream::iter(seeds)
        .map(|seed| tokio::spawn(paused(seed)))
        .buffer_unordered(12)
        .map(|ended| ended.unwrap_or_else(|error| panic!("seed {seed:#x}: {error}")))
        .collect()
        .await;
    report(&format!(
        "{pauses} daemons stopped for longer than a lease, after {before:?} of 6 payments: 0 twice, 0 missing; no other \
         could take the store (BURSAR_SEED={seed:#x})"
    ));
}
