//! The real daemon on a store that was damaged while it was down: it refuses to start and says why, or parks what it
//! cannot read, or runs right. The bank's ledger is the judge: nothing is paid twice and nothing else is paid, whatever
//! is left of the journal.
//!
//! `BURSAR_DAMAGED` sets how many damaged stores (42 if not set), `BURSAR_SEED` replays them. What becomes of ten
//! thousand of them as files is `store::damage`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use bursar::model::run::RunState;
use bursar::server::client::{ClientError, ControlClient};
use bursar::server::protocol::Status;
use bursar::simulator::config::SimulatorConfig;
use bursar::simulator::control::NewDeposit;
use bursar::store::sqlite::{SqliteOptions, SqliteStore};
use bursar::store::{Restored, RunQuery, Store as _};
use futures_util::StreamExt as _;

use crate::support::daemon::Site;
use crate::support::real_time::{Patience, pause};
use crate::support::{number, report};

/// Sites at the same time: each waits more than it computes.
const SITES: usize = 5;
/// How long a daemon on a damaged store is watched, at most.
const WATCHED: Duration = Duration::from_secs(3);
/// How long one that holds everything back, or has to wait for a list before it may believe it, is watched.
const GLANCED_AT: Duration = Duration::from_millis(400);

const MANIFEST: &str = r#"
name    = "pay"
summary = "Pays twice for each deposit."
script  = "pay.rhai"
uses    = ["bank"]

[[trigger]]
type       = "webhook"
connection = "bank"
events     = ["deposit.received"]
"#;

const SCRIPT: &str = r#"
let from = "3c90c3cc-0d44-4b50-8888-8dd25736052a";
let to = #{ type: "iban", iban: "DE02120300000000202051", account_holder_name: "Nord GmbH" };
bank::payout(#{ from: from, to: to, amount: EUR(7), reference: `${event.payload.id} 1` });
bank::payout(#{ from: from, to: to, amount: EUR(9), reference: `${event.payload.id} 2` });
"#;

/// What is done to the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Damage {
    Nothing,
    /// The log ends too soon.
    LogCut,
    /// A bit of the log is another.
    LogFlipped,
    /// A bit of the database is another.
    DatabaseFlipped,
    /// A bit of the database is another, where it tells of a payment.
    PaymentFlipped,
    /// A page of the database is empty.
    PageEmpty,
    /// A bit of a backup is another, and it is put back.
    BackupFlipped,
}

const DAMAGES: [Damage; 7] = [
    Damage::Nothing,
    Damage::LogCut,
    Damage::LogFlipped,
    Damage::DatabaseFlipped,
    Damage::PaymentFlipped,
    Damage::PageEmpty,
    Damage::BackupFlipped,
];

/// What the daemon made of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Came {
    /// It did not start.
    Refused,
    /// It came up, and ended when it met the damage.
    Ended,
    /// It came up, and whatever it is asked it says that its store is damaged.
    Told,
    /// It sends nothing before a person accepts the store.
    Held,
    /// It came up, and a run waits for a person.
    Parked,
    /// It ran, and every run it knew ended well or waits for what the bank will show.
    Ran,
}

fn bank(random: &mut fastrand::Rng, forgets: bool) -> SimulatorConfig {
    let mut config = SimulatorConfig::demo();
    config.seed = random.u64(..);
    if forgets {
        config.idempotency.window_ms = 1;
    }
    config.webhooks.retry_delays_ms = vec![50; 1_200];
    config.lifecycle.payout_initiated_ms = 5;
    config.lifecycle.payout_paid_ms = 20;
    config
}

fn flip(path: &Path, random: &mut fastrand::Rng, near: Option<&[u8]>) {
    let mut bytes = fs::read(path).expect("read");
    let places: Vec<usize> = near.map_or_else(Vec::new, |text| {
        let found = bytes
            .windows(text.len())
            .enumerate()
            .filter(|(_, window)| *window == text);
        found.map(|(place, _)| place).collect()
    });
    let place = match places.as_slice() {
        [] => random.usize(..bytes.len()),
        places => {
            let around = places[random.usize(..places.len())] + random.usize(..400);
            around.saturating_sub(200).min(bytes.len() - 1)
        }
    };
    bytes[place] ^= 1 << random.u8(..8);
    fs::write(path, bytes).expect("written");
}

/// Damages the store of a daemon that is down. `false`: a command noticed it and left the store alone.
async fn damage(site: &Site, damage: Damage, random: &mut fastrand::Rng) -> bool {
    let state = site.path("state");
    let (database, log) = (state.join("bursar.db"), state.join("bursar.db-wal"));
    let in_one_file = async || {
        let store = SqliteStore::open(&state, SqliteOptions::default())
            .await
            .expect("opened");
        store.close().await.expect("closed");
    };
    match damage {
        Damage::Nothing => {}
        Damage::LogCut => {
            let file = fs::File::options().write(true).open(&log).expect("opened");
            let length = file.metadata().expect("there").len();
            file.set_len(random.u64(..length)).expect("cut");
        }
        Damage::LogFlipped => flip(&log, random, None),
        Damage::DatabaseFlipped => {
            in_one_file().await;
            flip(&database, random, None);
        }
        Damage::PaymentFlipped => {
            in_one_file().await;
            flip(&database, random, Some(b"create_payout"));
        }
        Damage::PageEmpty => {
            in_one_file().await;
            let mut bytes = fs::read(&database).expect("read");
            let pages = bytes.len() / 4_096;
            let page = random.usize(..pages) * 4_096;
            bytes[page..page + 4_096].fill(0);
            fs::write(&database, bytes).expect("written");
        }
        Damage::BackupFlipped => {
            let file = site.path("backup.db");
            let name = file.display().to_string();
            let made = site.command(&["db", "backup", &name]).await;
            assert_eq!(made.code, Some(0), "{made:?}");
            flip(&file, random, None);
            let restored = site.command(&["db", "restore", &name]).await;
            assert!(!restored.stderr.contains("panicked"), "{restored:?}");
            return restored.code == Some(0);
        }
    }
    true
}

/// Starts a daemon on what is left, watches it, and ends it: not before it made so many payments, if it can.
async fn watch(site: &mut Site, forgets: bool, payments: usize) -> Came {
    site.launch_only().expect("launched");
    let patience = Patience::new(if payments > 0 { WATCHED * 5 } else { WATCHED });
    let mut glance = None;
    let mut came = None;
    loop {
        if let Some(status) = site.ended().expect("watched") {
            assert!(!status.success(), "it ended well: {}", site.log());
            let log = site.log();
            let said = log.to_lowercase().contains("error") || log.contains("damaged");
            assert!(said, "it ended with {status} and without a word: {log}");
            return if came.is_none() { Came::Refused } else { Came::Ended };
        }
        if came.is_none()
            && let Ok(mut client) = ControlClient::connect(&site.control()).await
        {
            let found = match client.get::<Status>("/v1/status").await {
                Ok(status) if status.restored.as_ref().is_some_and(Restored::holds) => Some(Came::Held),
                Ok(_) => Some(Came::Ran),
                Err(ClientError::Refused { .. }) if site.log().contains("the store is damaged") => Some(Came::Told),
                Err(_) => None,
            };
            glance = found
                .filter(|found| *found != Came::Ran || forgets)
                .map(|_| Patience::new(GLANCED_AT));
            came = found;
        }
        let at_rest = match came {
            Some(Came::Ran) if !forgets => paid(site).len() >= payments && at_rest(site).await,
            _ => false,
        };
        if at_rest || patience.is_over() || glance.as_ref().is_some_and(Patience::is_over) {
            break;
        }
        pause(Duration::from_millis(20)).await;
    }
    let parked = runs_in(site, RunState::Parked).await > 0;
    site.kill().await.expect("killed");
    let Some(came) = came else {
        panic!("it neither ends nor answers: {}", site.log());
    };
    match came {
        Came::Ran if parked => Came::Parked,
        came => came,
    }
}

async fn runs_in(site: &Site, state: RunState) -> usize {
    let query = RunQuery {
        states: vec![state],
        limit: 100,
        ..RunQuery::default()
    };
    let Ok(store) = SqliteStore::open_read_only(&site.path("state")).await else {
        return 0;
    };
    let runs = store.runs(query).await.map_or(0, |runs| runs.len());
    drop(store.close().await);
    runs
}

/// Nothing more will happen. A run that cannot be read is none.
async fn at_rest(site: &Site) -> bool {
    for state in [RunState::Queued, RunState::Running, RunState::Waiting] {
        if runs_in(site, state).await > 0 {
            return false;
        }
    }
    true
}

/// How often each payment is in the ledger.
fn paid(site: &Site) -> BTreeMap<String, usize> {
    let mut times = BTreeMap::new();
    for effect in site.bank.control.effects() {
        *times.entry(effect.reference.unwrap_or_default()).or_default() += 1;
    }
    times
}

async fn one_store(seed: u64, what: Damage) -> Came {
    let mut random = fastrand::Rng::with_seed(seed);
    let forgets = random.bool();
    let mut site = Site::new(bank(&mut random, forgets)).await;
    if forgets {
        site.trust_no_key();
    }
    for folder in ["workflows", "scripts"] {
        fs::remove_dir_all(site.path(folder)).expect("removed");
        fs::create_dir(site.path(folder)).expect("made");
    }
    fs::write(site.path("workflows/pay.toml"), MANIFEST).expect("written");
    fs::write(site.path("scripts/pay.rhai"), SCRIPT).expect("written");
    // The bank has to know the door before anything can be delivered to it.
    site.start().await;
    site.kill().await.expect("killed");
    // It dies somewhere in its work: some payments were made and nobody knows it.
    let point = [
        "request-leaving",
        "reply-arriving",
        "reply-read",
        "intent-durable",
        "commit-done",
    ];
    let point = format!("{}:{}", point[random.usize(..point.len())], random.u8(2..8));
    site.start_armed(&point).await.expect("started");
    let control = site.bank.control.clone();
    let expected: BTreeMap<String, usize> = (0..random.usize(3..6))
        .flat_map(|_| {
            let deposit = NewDeposit::new("Collections EUR", "20.00", "pay");
            let id = control.create_deposit(&deposit).expect("the deposit arrives");
            [(format!("{id} 1"), 1), (format!("{id} 2"), 1)]
        })
        .collect();
    site.ends_within(Duration::from_secs(2)).await.expect("watched");
    site.kill().await.expect("killed");
    let context = format!("seed {seed:#x}, {what:?}, died at {point}, forgets {forgets}");
    fs::remove_file(site.path("daemon.log")).expect("a log");

    if !damage(&site, what, &mut random).await {
        return Came::Refused;
    }
    if random.bool() {
        control.redeliver_all();
    }
    let all = if what == Damage::Nothing { expected.len() } else { 0 };
    let mut came = watch(&mut site, forgets, all).await;
    if came != Came::Refused {
        // Once more: what was left of it is met by the next process as well.
        came = came.min(watch(&mut site, forgets, all).await);
    }
    let (log, paid) = (site.log(), paid(&site));
    assert!(!log.contains("panicked"), "{context}: {log}");
    assert!(
        paid.iter().all(|(name, times)| expected.get(name) == Some(times)),
        "{context}: {paid:?}\n{log}"
    );
    let amounts = control.effects();
    let right = amounts.iter().all(|effect| {
        let cents = if effect.reference.as_deref().is_some_and(|name| name.ends_with('1')) {
            700
        } else {
            900
        };
        effect.amount.minor() == cents
    });
    assert!(right, "{context}: {amounts:?}");
    assert!(control.ledger().invariant_ok, "{context}");
    if what == Damage::Nothing {
        assert_eq!(came, Came::Ran, "{context}: {log}");
        assert!(
            forgets || paid == expected,
            "{context}: {paid:?} instead of {expected:?}\n{log}"
        );
    }
    came
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_on_a_damaged_store_refuses_parks_or_runs_right() {
    let seed = number("BURSAR_SEED", fastrand::u64(..));
    let stores = number("BURSAR_DAMAGED", 42);
    let mut random = fastrand::Rng::with_seed(seed);
    let cases: Vec<(Damage, u64)> = DAMAGES
        .into_iter()
        .cycle()
        .map(|damage| (damage, random.u64(..)))
        .take(usize::try_from(stores).expect("few"))
        .collect();
    let came: Vec<(Damage, Came)> = futures_util::stream::iter(cases)
        .map(|(damage, case)| async move { (damage, case, tokio::spawn(one_store(case, damage)).await) })
        .buffer_unordered(SITES)
        .map(|(damage, case, ended)| {
            let came =
                ended.unwrap_or_else(|error| panic!("BURSAR_SEED={seed:#x}, {damage:?} of seed {case:#x}: {error}"));
            (damage, came)
        })
        .collect()
        .await;
    let count = |wanted: Came| came.iter().filter(|(_, came)| *came == wanted).count();
    let [refused, ended, told, held, parked, ran] = [
        Came::Refused,
        Came::Ended,
        Came::Told,
        Came::Held,
        Came::Parked,
        Came::Ran,
    ]
    .map(count);
    report(&format!(
        "{stores} stores, damaged while their daemon was down: {refused} refused by the next one, {ended} ended it, \
         {told} told by whatever it was asked, {held} held until a person accepts, {parked} with a run parked, {ran} ran; 0 payments twice, 0 others, 0 \
         panics (BURSAR_SEED={seed:#x})"
    ));
    assert!(
        refused + ended + told + held + parked > 0 || stores < 20,
        "no damage was ever noticed"
    );
}
