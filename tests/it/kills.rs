//! The real daemon, killed at random times while it works, with the provider's ledger as the judge.
//!
//! `BURSAR_KILLS` sets how many kills (200 if not set), `BURSAR_SEED` replays a sequence.

use std::time::Duration;

use bursar::simulator::config::SimulatorConfig;
use bursar::simulator::control::NewDeposit;
use bursar::simulator::faults::{FaultAction, FaultRule, When};

use crate::support::daemon::Site;
use crate::support::real_time::pause;
use crate::support::{audit_store, report};

fn number(name: &str, default: u64) -> u64 {
    environment(name).map_or(default, |text| {
        let hex = text.strip_prefix("0x").map(|digits| u64::from_str_radix(digits, 16));
        hex.unwrap_or_else(|| text.parse())
            .unwrap_or_else(|_| panic!("{name}={text} is not a number"))
    })
}

#[expect(clippy::disallowed_methods, reason = "the size of a random test is set from outside")]
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The demo's bank, quicker, and with patience for a receiver that is gone every other moment.
fn bank() -> SimulatorConfig {
    let mut config = SimulatorConfig::demo();
    config.webhooks.retry_delays_ms = vec![100; 600];
    config.lifecycle.payout_initiated_ms = 5;
    config.lifecycle.payout_paid_ms = 20;
    config.lifecycle.return_paid_ms = 30;
    config
}

async fn kill(kills: u64, seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut site = Site::new(bank()).await;
    let bank = site.bank.control.clone();
    let mut deposits = 0;
    for number in 0..kills {
        site.start().await;
        for fault in [
            FaultAction::DropAfterEffect,
            FaultAction::Status {
                status: 500,
                when: When::After,
                retry_after_secs: None,
            },
        ] {
            if random.u8(..5) == 0 {
                let endpoint = if random.bool() {
                    "create_payout"
                } else {
                    "create_return"
                };
                bank.add_fault(FaultRule::on(endpoint, fault).times(1));
            }
        }
        for _ in 0..random.u8(1..3) {
            let cents = random.u32(10_000..200_000);
            let amount = format!("{}.{:02}", cents / 100, cents % 100);
            let (account, reference) = match random.u8(..3) {
                0 => ("Collections EUR", format!("stranger {number}")),
                1 => ("Marketplace EUR", format!("SELLER-042 order {number}")),
                _ => ("Marketplace EUR", format!("SELLER-007 order {number}")),
            };
            bank.create_deposit(&NewDeposit::new(account, &amount, &reference))
                .expect("the deposit arrives");
            deposits += 1;
        }
        pause(Duration::from_millis(random.u64(..120))).await;
        site.kill();
    }
    site.start().await;
    site.quiet(deposits).await;
    assert!(site.stop().success(), "the daemon ends in good order:\n{}", site.log());
    let store = site.store().await;
    let audit = audit_store(store.as_ref(), &site.bank).await;
    let (twice, missing, effects) = (audit.twice(), audit.missing(), bank.effects().len());
    report(&format!(
        "{kills} kills: {twice} twice, {missing} missing (seed {seed:#x}); {effects} effects; {audit}"
    ));
    assert!(audit.is_exact(), "seed {seed:#x}: {audit}");
    // Fewer would mean that the daemon died before it did anything, and nothing was tested.
    assert!(effects as u64 >= kills, "seed {seed:#x}: only {effects} effects");
    assert!(bank.ledger().invariant_ok);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_killed_at_random_times_pays_nothing_twice_and_forgets_nothing() {
    let seed = number("BURSAR_SEED", fastrand::u64(..));
    kill(number("BURSAR_KILLS", 200), seed).await;
}
