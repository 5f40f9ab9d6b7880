//! A provider that nobody has heard of is added as the guide says: one table, which is read out of the guide, and one line of
//! the settings. A shipped script then runs there unchanged, and moves money once, wherever the process dies.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use bursar::app::audit::audit;
use bursar::app::sample::{LocalBank, write_folder};
use bursar::base::secret::Secret;
use bursar::connector::table::Connector;
use bursar::model::journal::Journal;
use bursar::model::run::{Run, RunState};
use bursar::store::sqlite::SqliteStore;
use bursar::store::{RunQuery, Store};
use tempfile::TempDir;
use tokio::process::Command;

use super::lagoon::{API_KEY, Lagoon};
use crate::support::daemon::program;
use crate::support::real_time::{Patience, pause};
use crate::support::{World, report};

const GUIDE: &str = include_str!("../../../src/connector/providers/README.md");

/// Lines of the guide: one page.
const GUIDE_LINES_MAX: usize = 130;

const TREASURY: &str = "3c90c3cc-0d44-4b50-8888-8dd25736052a";
const ACCOUNTS: [(&str, &str, i64); 4] = [
    ("L-1", "Operating EUR", 530_000),
    ("L-2", "Operating shop", 125_099),
    ("L-3", "Payroll", 900_000),
    (TREASURY, "Treasury", 0),
];

/// Where the process dies, and at which time it comes there: while it asks, before the money moves, when it has.
const DEATHS: [(&str, usize); 9] = [
    ("effect-reached", 1),
    ("intent-durable", 2),
    ("request-leaving", 1),
    ("request-leaving", 3),
    ("request-leaving", 5),
    ("reply-arriving", 3),
    ("reply-read", 1),
    ("reply-read", 2),
    ("outcome-queued", 2),
];

/// The guide: what stands before the reference.
fn guide() -> &'static str {
    let (guide, _) = GUIDE.split_once("\n# ").expect("the reference stands behind it");
    guide
}

/// The block of the guide that begins with this line.
fn snippet(first: &str) -> &'static str {
    let mut blocks = guide().split("```toml\n");
    let block = blocks
        .find(|block| block.starts_with(first))
        .expect("the guide shows it");
    block.split_once("```").expect("it ends").0
}

/// A folder as it was, and what the guide says to change in it.
fn project(lagoon: &Lagoon) -> TempDir {
    let folder = TempDir::new().expect("a folder");
    let bank = LocalBank {
        url: lagoon.url.clone(),
        api_key: API_KEY.to_owned(),
        webhook_secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned(),
    };
    let daemon = "listen = \"127.0.0.1:0\"\nretry_base_ms = 20\nretry_ceiling_secs = 1\n";
    write_folder(folder.path(), &bank, daemon).expect("written");
    let settings = folder.path().join("bursar.toml");
    let before = fs::read_to_string(&settings).expect("settings");
    fs::create_dir(folder.path().join("connectors")).expect("a folder");
    fs::write(folder.path().join("connectors/lagoon.toml"), snippet("name ")).expect("one file");
    let line = snippet("connector ").trim_end();
    let after = before.replace("connector = \"augustus\"", line);
    fs::write(&settings, &after).expect("one line");
    let changed = before
        .lines()
        .zip(after.lines())
        .filter(|(before, after)| before != after);
    assert_eq!((changed.count(), before.lines().count()), (1, after.lines().count()));
    folder
}

fn bursar(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.arg("--config").arg(folder.join("bursar.toml")).args(args);
    command.env_remove("BURSAR_LOG").stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// A daemon takes up what was left, until nothing is left.
async fn recover(folder: &Path) {
    let mut serving = bursar(folder, &["serve"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    let patience = Patience::new(Duration::from_secs(60));
    loop {
        let ended = match SqliteStore::open_read_only(&folder.join("state")).await {
            Ok(store) => runs(store.as_ref()).await,
            Err(_) => Vec::new(),
        };
        if !ended.is_empty() && ended.iter().all(|run| run.state.is_final()) {
            break;
        }
        assert!(!patience.is_over(), "{ended:?}");
        pause(Duration::from_millis(50)).await;
    }
    serving.kill().await.expect("ended");
}

async fn runs(store: &dyn Store) -> Vec<Run> {
    let query = RunQuery {
        limit: 100,
        ..RunQuery::default()
    };
    store.runs(query).await.expect("runs")
}

/// What the bank's books say to the journals.
async fn judged(folder: &Path, lagoon: &Lagoon) -> String {
    let store: Arc<dyn Store> = SqliteStore::open_read_only(&folder.join("state"))
        .await
        .expect("a store");
    let mut journals = Vec::new();
    for run in runs(store.as_ref()).await {
        assert_eq!(run.state, RunState::Succeeded, "{:?}", run.error);
        let records = store.journal(run.id).await.expect("a journal");
        journals.push((
            run.id,
            run.workflow,
            Journal::from_records(records).expect("it is legal"),
        ));
    }
    let journals = journals
        .iter()
        .map(|(id, workflow, journal)| (*id, workflow.as_str(), journal));
    audit(journals, &lagoon.effects()).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shipped_script_runs_at_a_provider_of_ones_own_once_wherever_the_process_dies() {
    let mut repeated = 0;
    for (point, nth) in DEATHS {
        let lagoon = Lagoon::open(&ACCOUNTS).await;
        let folder = project(&lagoon);
        let fault = format!("{point}:{nth}");
        let died = bursar(folder.path(), &["run", "nightly-sweep"])
            .env("BURSAR_FAULT_POINT", &fault)
            .output()
            .await
            .expect("it runs");
        assert!(!died.status.success(), "{fault}: it does not come there: {died:?}");
        recover(folder.path()).await;
        assert_eq!(
            judged(folder.path(), &lagoon).await,
            "2 intended, 2 paid, 0 twice, 0 missing; ledger EUR 4,550.00 = journal EUR 4,550.00",
            "{fault}"
        );
        let left: Vec<i64> = ACCOUNTS.iter().map(|(number, ..)| lagoon.cents(number)).collect();
        assert_eq!(left, [100_000, 100_099, 900_000, 455_000], "{fault}");
        repeated += lagoon.asked() - 2;
    }
    assert!(repeated >= 3, "nothing was ever sent again: {repeated}");
    let deaths = DEATHS.len();
    report(&format!(
        "a fifth provider: 1 table, 1 line; {deaths} deaths, each leaves 2 intended, 2 paid; {repeated} sent again under their keys"
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_cannot_do_is_told_before_anything_runs() {
    let lagoon = Lagoon::open(&ACCOUNTS).await;
    let folder = project(&lagoon);
    let checked = bursar(folder.path(), &["check", "--format", "concise"])
        .output()
        .await
        .expect("it runs");
    let told = String::from_utf8(checked.stdout).expect("text");
    assert!(!told.contains("connectors/") && !told.contains("nightly"), "{told}");
    assert!(
        told.contains("`convert` is not offered by connection `bank` (lagoon)"),
        "{told}"
    );
    for (args, expected) in [
        (&["connectors", "show", "lagoon"][..], "Lagoon holds euros alone"),
        (&["connections", "check", "bank"], "good"),
    ] {
        let ran = bursar(folder.path(), args).output().await.expect("it runs");
        let told = String::from_utf8(ran.stdout).expect("text");
        assert!(ran.status.success() && told.contains(expected), "{args:?}: {told}");
    }
}

/// A table may say what has value today: no more of it is moved. And what nothing shows afterwards has settled.
#[tokio::test(flavor = "multi_thread")]
async fn no_more_is_moved_than_has_value_where_the_table_tells() {
    let lagoon = Lagoon::open(&ACCOUNTS).await;
    let (told, tells) = (r#"amount = "/available", "#, r#"value_dated = "/valued", "#);
    let table = snippet("name ").replace(told, &format!("{told}{tells}"));
    let mut world = World::demo().await;
    world.reconnect(|bank| {
        bank.connector = Arc::new(Connector::parse("connectors/lagoon.toml", &table).expect("a right table"));
        bank.base_url.clone_from(&lagoon.url);
        bank.credential = Some(Secret::new(API_KEY.to_owned()));
    });
    let script = r#"
        let swept = bank::sweep(#{ from: "L-2", to: "L-1", reference: "S" });
        let done = bank::settled(swept.payout);
        `${swept.moved}: ${swept.reason}; ${done.id == swept.payout.id}`"#;
    let run = world.run(script).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.error);
    // Half of what is there.
    let says =
        "EUR 625.49: the whole balance of EUR 625.49 (EUR 1,250.99 available, only EUR 625.49 has value today); true";
    assert_eq!(run.result, Some(says.into()));
    assert_eq!((lagoon.cents("L-2"), lagoon.asked()), (62_550, 1));
}

#[test]
fn the_guide_is_one_page_and_its_table_is_whole() {
    let lines = guide().lines().count();
    assert!(lines <= GUIDE_LINES_MAX, "{lines} lines");
    let lagoon =
        Connector::parse("connectors/lagoon.toml", snippet("name ")).unwrap_or_else(|wrong| panic!("{wrong:#?}"));
    // What it says of each question is in the table.
    let money = lagoon.endpoint("create_transfer").expect("it moves money");
    assert!(money.lookup.is_some() && money.our_reference.is_some() && money.key.is_made());
}
