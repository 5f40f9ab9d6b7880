//! How the database finds what each statement of the store asks for: nothing searches a whole table that grows with
//! every run, so that nothing takes longer the longer the store is used.
//!
//! The texts are those the store really sends, heard in a process of its own while the rules every store keeps, and all
//! else a store is asked for, are gone through. That no text of the sources is missing is checked as well.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::{env, fs};

use bursar::model::breaker::{Cause, Tripped};
use bursar::model::journal::{Asked, Entry};
use bursar::model::run::RunState;
use bursar::model::unmade::{Pause, PauseCause};
use bursar::store::sqlite::SqliteStore;
use bursar::store::sqlite::care::backup::backup;
use bursar::store::sqlite::care::check::{check, check_file};
use bursar::store::sqlite::care::restore::restore;
use bursar::store::sqlite::care::retain::{prune, vacuum};
use bursar::store::{Acceptance, Append, ApprovalDecision, RunQuery, Store};
use serde_json::Value as Json;
use sqlx::{Connection as _, Row as _};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt as _};

use super::conformance;
use super::make::*;
use crate::support::{report, resumed};

/// Where the process writes what it heard.
const HEARD: &str = "BURSAR_STATEMENTS";
/// Between two texts in that file.
const BETWEEN: char = '\u{1e}';

/// Tables with a row, or more, for every run or event there ever was.
const GROW: [&str; 11] = [
    "run",
    "event",
    "filtered",
    "journal",
    "wait",
    "woken",
    "run_input",
    "unmade",
    "movement",
    "accepted",
    "moved",
];

/// What may search a whole table, and why: the beginning of the statement, the table.
const ALLOWED: &[(&str, &str, &str)] = &[
    (
        "SELECT workflow, cause, last_slot, slots, reason, detail, at FROM unmade",
        "unmade",
        "newest first along its index, and no further than the limit",
    ),
    (
        "DELETE FROM run WHERE state IN",
        "run",
        "prune: a person asks for it, and all old runs go",
    ),
    (
        "SELECT count(*) FROM journal WHERE run IN",
        "run",
        "prune says first what it would take",
    ),
    (
        "SELECT count(*) FROM event",
        "event",
        "the check of a store counts all there is",
    ),
    (
        "SELECT DISTINCT run FROM movement",
        "movement",
        "what is on its way, once at the start",
    ),
    ("SELECT 1 FROM run LIMIT 1", "run", "one row, once at the start"),
    (
        "SELECT min(at), max(at) FROM journal",
        "journal",
        "once, when an older state was put back",
    ),
    (
        "SELECT max(created_at) FROM run",
        "run",
        "once, when an older state was put back",
    ),
    (
        "SELECT coalesce(max(mark), 0) FROM event",
        "event",
        "the last by the table's own key",
    ),
    (
        "SELECT wait.run, wait.filter",
        "wait",
        "one row: whether anybody waits at all",
    ),
    (
        "SELECT event.id",
        "event",
        "a list for a person: the newest first, until there are enough",
    ),
    (
        "SELECT event.id",
        "filtered",
        "the same list, of those that no workflow took",
    ),
    (
        "SELECT state, count(*)",
        "run",
        "the status a person asks for counts all runs, by an index",
    ),
];

/// What the test itself says, to damage a run.
const DAMAGE: &str = "UPDATE run SET params = 'what' WHERE state = 'queued'";

/// Everything the store says to the database.
#[derive(Clone, Default)]
struct Ear(Arc<Mutex<BTreeSet<String>>>);

impl<S: Subscriber> Layer<S> for Ear {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() == "sqlx::query" {
            let mut text = Text::default();
            event.record(&mut text);
            let whole = if text.statement.trim().is_empty() {
                text.summary
            } else {
                text.statement
            };
            self.0
                .lock()
                .expect("nobody panics here")
                .insert(whole.trim().to_owned());
        }
    }
}

/// The text of a statement: the whole of it only where the summary is not.
#[derive(Default)]
struct Text {
    summary: String,
    statement: String,
}

impl Visit for Text {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "summary" => value.clone_into(&mut self.summary),
            "db.statement" => value.clone_into(&mut self.statement),
            _ => {}
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn Debug) {}
}

/// Not a test of its own: the process that is listened to.
#[test]
#[ignore = "run by nothing_searches_a_table_that_grows in a process of its own"]
fn the_process_that_is_heard() {
    let Some(file) = env::var_os(HEARD) else { return };
    let ear = Ear::default();
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(ear.clone())).expect("the first");
    conformance::sqlite::all();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.expect("threads").block_on(all_else());
    let heard = ear.0.lock().expect("nobody panics here").clone();
    let heard: Vec<String> = heard.into_iter().collect();
    fs::write(file, heard.join(&BETWEEN.to_string())).expect("written");
}

/// What the rules do not ask of a store.
async fn all_else() {
    let opened = open().await;
    let (store, folder) = (&*opened.store, opened.folder.path().to_owned());
    let tripped = Tripped {
        connection: "bank".to_owned(),
        since: at(0),
        probe_at: at(1),
        cause: Cause::Trouble,
        reason: "500".to_owned(),
    };
    store.set_breaker("bank".to_owned(), Some(tripped)).await.expect("kept");
    assert_eq!(store.breakers().await.expect("read").len(), 1);
    store.set_breaker("bank".to_owned(), None).await.expect("kept");
    store.set_backfill_from("bank", at(0)).await.expect("kept");
    assert!(store.backfill_from("bank").await.expect("read").is_some());
    let pause = Pause {
        workflow: "sweep".to_owned(),
        since: at(0),
        actor: "tess".to_owned(),
        reason: "holidays".to_owned(),
        cause: PauseCause::Person,
    };
    store.pause(pause).await.expect("kept");
    assert_eq!(store.pauses().await.expect("read").len(), 1);
    assert!(store.resume("sweep", resumed(at(1))).await.expect("kept"));
    assert_eq!(store.resumed("sweep").await, Ok(Some(resumed(at(1)))));
    let asking = RunQuery {
        asking: true,
        limit: 9,
        ..RunQuery::default()
    };
    store.runs(asking).await.expect("read");
    let one = RunQuery {
        workflow: Some("sweep".to_owned()),
        cause_key: Some("manual evening".to_owned()),
        ..RunQuery::default()
    };
    store.runs(one).await.expect("read");
    store.restored(at(1)).await.expect("read");
    store.installation_secret().await.expect("read");
    store.unrouted(9, 1_000_000).await.expect("read");
    let claim = running(store, "sweep", 1).await;
    let written = store.append(&claim.lease, settle(succeeded()), at(2)).await;
    written.expect("written");
    let seldom = RunQuery {
        states: vec![RunState::Succeeded, RunState::Failed],
        limit: 9,
        ..RunQuery::default()
    };
    store.runs(seldom).await.expect("read");
    answered(store).await;
    // Older than every run: it can be pruned.
    admit(store, &event("bank", "long ago", -9)).await;
    route(store, Vec::new()).await.expect("routed");
    running(store, "sweep", 3).await;
    store.close().await.expect("closed");
    // An older state than what was sent.
    let database = folder.join("bursar.db");
    let older = fs::read(&database).expect("read");
    let store = SqliteStore::open(&folder, OPTIONS).await.expect("opened");
    let claim = running(&*store, "sweep", 4).await;
    let sends = Append {
        begins_effect: true,
        ..records([intent(1, "1")])
    };
    store.append(&claim.lease, sends, at(4)).await.expect("written");
    store.close().await.expect("closed");
    fs::write(&database, older).expect("put back");
    let store = SqliteStore::open(&folder, OPTIONS).await.expect("opened");
    store.close().await.expect("closed");

    let beside = tempfile::tempdir().expect("a folder");
    let file = beside.path().join("backup.db");
    backup(&folder, &file, at(4)).await.expect("backed up");
    check(&folder).await.expect("looked at");
    check_file(&file).await.expect("looked at");
    prune(&folder, at(900), at(40 * 86_400), true).await.expect("looked at");
    prune(&folder, at(900), at(40 * 86_400), false).await.expect("pruned");
    vacuum(&folder).await.expect("smaller");
    restore(&folder, &file, at(5)).await.expect("put back");
    let store = SqliteStore::open(&folder, OPTIONS).await.expect("opened");
    store.restored(at(6)).await.expect("read");
    let acceptance = Acceptance {
        actor: "tess".to_owned(),
        reason: "looked".to_owned(),
        at: at(7),
    };
    store.accept_restore(acceptance).await.expect("accepted");
    store.reclaim_all(at(8)).await.expect("taken back");
    // A run whose journal cannot be read.
    let mut connection = sqlx::SqliteConnection::connect(&folder.join("bursar.db").display().to_string())
        .await
        .expect("connected");
    sqlx::query(DAMAGE).execute(&mut connection).await.expect("damaged");
    let claims = store.claim(worker(9), at(9), at(99), 9).await.expect("claimed");
    assert!(claims.is_empty(), "it is parked");
    store.close().await.expect("closed");
    let store = SqliteStore::open_read_only(&folder).await.expect("opened");
    store.restored(at(9)).await.expect("read");
    store.unrouted(9, 1_000_000).await.expect("read");
    store.close().await.expect("closed");
}

/// A person answers while a worker drives the run.
async fn answered(store: &dyn Store) {
    let claim = running(store, "sweep", 2).await;
    let mut asks = wait(1, "1", None);
    let Entry::Waiting { step, wait, .. } = &mut asks.entry else {
        unreachable!("it waits");
    };
    "approval".clone_into(&mut step.name);
    wait.approval = Some(Asked {
        reason: "pay ACME".to_owned(),
        group: None,
        details: Json::Null,
    });
    let decision = ApprovalDecision {
        run: claim.run.id,
        path: path("1"),
        asked: step.fingerprint,
        approved: true,
        actor: "maria".to_owned(),
        reason: "seen".to_owned(),
        at: at(3),
    };
    store.append(&claim.lease, records([asks]), at(2)).await.expect("asked");
    store.decide(decision).await.expect("decided");
}

/// The statements of a text.
fn statements(text: &str) -> Vec<String> {
    let (mut statements, mut quoted) = (vec![String::new()], false);
    for letter in text.chars() {
        quoted ^= letter == '\'';
        match letter {
            ';' if !quoted => statements.push(String::new()),
            _ => statements.last_mut().expect("one at least").push(letter),
        }
    }
    let trimmed = statements.iter().map(|statement| statement.trim().to_owned());
    trimmed.filter(|statement| !statement.is_empty()).collect()
}

/// The tables that grow and that this statement searches from end to end.
async fn searched_whole(connection: &mut sqlx::SqliteConnection, statement: &str) -> Vec<String> {
    let plan = sqlx::query(sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {statement}")))
        .fetch_all(connection)
        .await
        .unwrap_or_else(|error| panic!("{error}: {statement}"));
    let details = plan.iter().map(|row| row.get::<String, _>("detail"));
    let scans = details.filter_map(|detail| {
        // To look for the greatest is called a search, although nothing bounds it.
        let (how, place) = detail.split_once(' ')?;
        let table = place.split(' ').next()?.to_owned();
        if how != "SCAN" && (how != "SEARCH" || place.contains('(')) {
            return None;
        }
        // These have the runs only that have not succeeded, and those that wait.
        let is_small = detail.contains("INDEX run_by_state") || detail.contains("INDEX run_by_wake");
        (GROW.contains(&table.as_str()) && !is_small).then_some(detail)
    });
    scans.collect()
}

fn squeezed(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The texts of the sources that are part of a statement, with where they stand.
fn written(folder: &Path, found: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            written(&path, found);
            continue;
        }
        let source = fs::read_to_string(&path).expect("a source");
        let source = source.split("#[cfg(test)]").next().unwrap_or_default();
        let code: Vec<&str> = source
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
            .collect();
        let code = code.join("\n").replace("'\"'", "").replace("\\\"", "\u{1}");
        for (number, text) in code.split('"').enumerate() {
            let mut text = text.replace('\u{1}', "\"");
            while let Some((before, after)) = text.split_once("\\\n") {
                text = format!("{before}{}", after.trim_start());
            }
            let words: Vec<&str> = text.split_whitespace().collect();
            let is_sql = ["SELECT", "INSERT", "UPDATE", "DELETE", "FROM", "WHERE", "VALUES"]
                .iter()
                .any(|word| words.contains(word));
            if number % 2 == 1 && is_sql {
                for part in text.split(['{', '}']) {
                    found.insert(squeezed(part), path.display().to_string());
                }
            }
        }
    }
}

#[tokio::test]
async fn nothing_searches_a_table_that_grows() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("statements");
    let ended = Command::new(env::current_exe().expect("this binary"))
        .args(["--ignored", "--exact", "store::plans::the_process_that_is_heard"])
        .env(HEARD, &file)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    assert!(ended.is_ok_and(|status| status.success()), "the process does all");
    let heard = fs::read_to_string(file).expect("heard");
    let texts: Vec<&str> = heard.split(BETWEEN).collect();
    let said: Vec<String> = texts.iter().map(|text| squeezed(text)).collect();

    let mut parts = BTreeMap::new();
    written(Path::new("src/store/sqlite"), &mut parts);
    let unheard: Vec<_> = parts
        .iter()
        .filter(|(part, _)| !said.iter().any(|text| text.contains(*part)))
        .collect();
    assert!(unheard.is_empty(), "nobody has asked for these: {unheard:#?}");

    let opened = open().await;
    let database = opened.folder.path().join("bursar.db").display().to_string();
    let mut connection = sqlx::SqliteConnection::connect(&database).await.expect("connected");
    let (mut looked_at, mut found, mut allowed) = (0, Vec::new(), BTreeSet::new());
    for statement in texts.iter().flat_map(|text| statements(text)) {
        let text = squeezed(&statement);
        let kind = text.split(' ').next().unwrap_or_default();
        if !["SELECT", "INSERT", "UPDATE", "DELETE", "WITH"].contains(&kind)
            || text.contains("_sqlx_migrations")
            || text == DAMAGE
        {
            continue;
        }
        looked_at += 1;
        let mut used = BTreeSet::new();
        for scan in searched_whole(&mut connection, &statement).await {
            let known = ALLOWED
                .iter()
                .position(|(begins, table, _)| text.starts_with(begins) && scan.split(' ').nth(1) == Some(table));
            match known {
                // One search, not each that the statement may come to have.
                Some(known) if used.insert(known) => drop(allowed.insert(known)),
                _ => found.push(format!("{scan}: {text}")),
            }
        }
    }
    report(&format!(
        "{looked_at} statements of the store, {} may search a table that grows",
        allowed.len()
    ));
    assert!(found.is_empty(), "{found:#?}");
    let idle: Vec<_> = (0..ALLOWED.len()).filter(|known| !allowed.contains(known)).collect();
    assert!(idle.is_empty(), "nobody asks for these that are allowed: {idle:?}");
    // It can fail: the first stood in the router, and took longer with each run there ever was.
    for slow in [
        "SELECT count(*) FROM (SELECT 1 FROM run WHERE state = 'queued' LIMIT 1024)",
        "SELECT count(*) FROM run WHERE state = 'queued'",
        "SELECT max(at) FROM journal",
        "SELECT filter FROM wait WHERE filter = ''",
    ] {
        assert_eq!(searched_whole(&mut connection, slow).await.len(), 1, "{slow}");
    }
    opened.store.close().await.expect("closed");
}
