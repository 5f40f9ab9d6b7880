//! The real daemon on backups that are older than what it sent, with the bank's ledger as the judge.
//!
//! `BURSAR_RESTORES` sets how many restores (20 if not set), `BURSAR_SEED` replays them.

use std::time::Duration;

use bursar::simulator::config::SimulatorConfig;
use bursar::simulator::control::NewDeposit;
use futures_util::StreamExt as _;

use crate::support::daemon::Site;
use crate::support::real_time::{Patience, pause};
use crate::support::{number, report};

/// At once: each waits half a minute before it believes that something was never sent.
const SITES: usize = 20;

/// A bank that forgets keys at once: then nothing but the look-up stands between a forgotten payment and a second one.
fn bank() -> SimulatorConfig {
    let mut config = SimulatorConfig::demo();
    config.idempotency.window_ms = 1;
    config.webhooks.retry_delays_ms = vec![100; 1_200];
    config.lifecycle.payout_initiated_ms = 5;
    config.lifecycle.payout_paid_ms = 20;
    config.lifecycle.return_paid_ms = 30;
    config
}

/// What the bank is paid in, and how many payments that has to cause.
#[derive(Default)]
struct Paid {
    deposits: usize,
    effects: usize,
}

impl Paid {
    fn deposit(&mut self, site: &Site, random: &mut fastrand::Rng) {
        for _ in 0..random.u8(1..4) {
            let cents = random.u32(10_000..200_000);
            let amount = format!("{}.{:02}", cents / 100, cents % 100);
            let number = self.deposits;
            let (account, reference, effects) = match random.u8(..3) {
                0 => ("Collections EUR", format!("stranger {number}"), 1),
                1 => ("Marketplace EUR", format!("SELLER-042 order {number}"), 2),
                _ => ("Marketplace EUR", format!("SELLER-007 order {number}"), 2),
            };
            site.bank
                .control
                .create_deposit(&NewDeposit::new(account, &amount, &reference))
                .expect("the deposit arrives");
            self.deposits += 1;
            self.effects += effects;
        }
    }
}

/// One restore; says how many payments the backup had forgotten.
async fn restore_once(seed: u64) -> usize {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut site = Site::new(bank()).await;
    site.believe_lists_at_once();
    site.trust_no_key();
    let control = site.bank.control.clone();
    let mut paid = Paid::default();
    site.start().await;
    paid.deposit(&site, &mut random);
    pause(Duration::from_millis(random.u64(..600))).await;
    let backed_up = control.effects().len();
    let file = site.path("backup.db").display().to_string();
    let made = site.command(&["db", "backup", &file]).await;
    assert!(made.code == Some(0), "seed {seed:#x}: {made:?}");
    paid.deposit(&site, &mut random);
    pause(Duration::from_millis(random.u64(..900))).await;
    if random.bool() {
        site.kill().await.expect("killed");
    } else {
        site.stop().await;
    }
    let forgotten = control.effects().len() - backed_up;
    let restored = site.command(&["db", "restore", &file]).await;
    assert!(restored.code == Some(0), "seed {seed:#x}: {restored:?}");

    // The bank sends again whatever it sent before, and money keeps coming in.
    control.redeliver_all();
    paid.deposit(&site, &mut random);
    let before = control.effects().len();
    site.start().await;
    assert!(site.log().contains("RECONCILE-ONLY"), "seed {seed:#x}: {}", site.log());
    pause(Duration::from_millis(random.u64(500..4_000))).await;
    if random.bool() {
        site.kill().await.expect("killed");
        site.start().await;
    }
    assert_eq!(
        control.effects().len(),
        before,
        "seed {seed:#x}: nothing is sent before it is accepted"
    );
    let accepted = site
        .command(&["db", "accept-restore", "--reason", "a test looked"])
        .await;
    assert!(accepted.code == Some(0), "seed {seed:#x}: {accepted:?}");
    if random.bool() {
        pause(Duration::from_millis(random.u64(..2_000))).await;
        site.kill().await.expect("killed");
        site.start().await;
    }
    let patience = Patience::new(Duration::from_secs(150));
    while control.effects().len() < paid.effects && !patience.is_over() {
        pause(Duration::from_millis(50)).await;
    }
    if let Err(error) = site.quiet().await {
        panic!("seed {seed:#x}: {error}");
    }
    assert!(site.stop().await.success(), "seed {seed:#x}: {}", site.log());
    assert_eq!(control.effects().len(), paid.effects, "seed {seed:#x}:\n{}", site.log());
    let audit = crate::support::audit_store(site.store().await.as_ref(), &site.bank).await;
    assert_eq!(
        (audit.twice(), audit.missing(), audit.in_doubt),
        (0, 0, 0),
        "seed {seed:#x}: {audit}"
    );
    // A return has no room for our reference: one that was forgotten is seen at its deposit, and not made again.
    let returns = control
        .effects()
        .iter()
        .filter(|effect| effect.kind == "return")
        .count();
    assert!(audit.unexplained <= returns, "seed {seed:#x}: {audit}");
    assert!(control.ledger().invariant_ok);
    forgotten
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_backup_pays_nothing_twice_and_forgets_nothing() {
    let seed = number("BURSAR_SEED", fastrand::u64(..));
    let restores = number("BURSAR_RESTORES", 20);
    let mut random = fastrand::Rng::with_seed(seed);
    let seeds: Vec<u64> = (0..restores).map(|_| random.u64(..)).collect();
    let forgotten: Vec<usize> = futures_util::stream::iter(seeds)
        .map(|seed| tokio::spawn(restore_once(seed)))
        .buffer_unordered(SITES)
        .map(|ended| ended.unwrap_or_else(|error| panic!("seed {seed:#x}: {error}")))
        .collect()
        .await;
    let (payments, older) = (
        forgotten.iter().sum::<usize>(),
        forgotten.iter().filter(|forgotten| **forgotten > 0).count(),
    );
    report(&format!(
        "{restores} restores, {older} of them older than a payment, {payments} payments forgotten: 0 twice, 0 missing \
         (seed {seed:#x})"
    ));
    // Otherwise nothing was tested.
    assert!(older * 2 > forgotten.len(), "seed {seed:#x}: {forgotten:?}");
}
