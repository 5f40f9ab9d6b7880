//! Journals as each version of the program stored them, with their scripts: every later version has to read them, and
//! to decide as the one that wrote them did.
//!
//! A folder for each version, never edited afterwards. `BURSAR_BLESS=1` writes what the folder of the present version does
//! not have yet, which is done before it is published. The rows are those of the database, letter by letter: what is held to is the
//! format, not a copy of it.

mod scenes;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bursar::base::clock::Instant;
use bursar::base::ids::{RunId, WorkerId};
use bursar::connector::client::Client;
use bursar::engine::rehearsal::{Rehearsed, Rehearser};
use bursar::engine::services::{Parts, Services};
use bursar::model::journal::{Journal, Outcome, Phase};
use bursar::model::run::{Cause, NewRun, Run, RunState, Settlement};
use bursar::model::value::{parse_time, time_text};
use bursar::model::workflow::Version;
use bursar::store::{Append, Store};
use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use sqlx::{Connection as _, Row as _, SqliteConnection};
use tempfile::TempDir;

use crate::support::{World, open, report, settings, settled, version};

/// One stored run.
#[derive(Debug, Serialize, Deserialize)]
struct Golden {
    /// What it shows.
    about: String,
    script: String,
    run: String,
    created_at: String,
    event: Json,
    params: Json,
    /// How it stood.
    state: String,
    /// Its result in the typed form, if it succeeded.
    result: Option<Json>,
    /// Code and message, if it failed or was parked.
    error: Option<(String, String)>,
    /// Position, time in nanoseconds, and the entry as the database has it.
    journal: Vec<(u32, i64, String)>,
    /// Path, name and fingerprint of each step, and where it stands.
    steps: Vec<(String, String, String, String)>,
}

impl Golden {
    fn version(&self) -> Version {
        version(&[("main.rhai", &self.script)])
    }

    fn id(&self) -> RunId {
        self.run.parse().expect("a run's id")
    }

    fn created_at(&self) -> Instant {
        parse_time(&self.created_at).expect("an instant")
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/golden_journals")
}

/// Every stored run with the version that wrote it and its name.
fn all() -> Vec<(String, String, Golden)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder()).expect("the folder") {
        let path = entry.expect("an entry").path();
        if !path.is_dir() {
            continue;
        }
        let written_by = path.file_name().expect("a name").to_string_lossy().into_owned();
        for file in std::fs::read_dir(path).expect("a folder") {
            let path = file.expect("a file").path();
            let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
            let text = std::fs::read_to_string(&path).expect("a golden");
            let golden = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            found.push((written_by.clone(), name, golden));
        }
    }
    found.sort_by(|one, other| (&one.0, &one.1).cmp(&(&other.0, &other.1)));
    found
}

/// Where a step stands, in words that later versions will have, too.
fn stand(phase: &Phase) -> String {
    match phase {
        Phase::Trying { attempts, .. } => format!("trying, {attempts} attempts"),
        Phase::Sent {
            intent,
            attempts,
            next_at,
            unknown,
            look_up,
            ..
        } => format!(
            "sent, epoch {}, {attempts} attempts{}{}{}",
            intent.epoch,
            if next_at.is_none() { ", on its way" } else { ", paused" },
            if *unknown { ", unknown" } else { "" },
            if *look_up { ", to be looked up" } else { "" },
        ),
        Phase::Waiting(wait) => {
            let what = match (&wait.approval, &wait.event) {
                (Some(_), _) => "a person",
                (None, Some(_)) => "an event",
                (None, None) => "a time",
            };
            format!("waiting for {what} until {}", time_text(wait.deadline))
        }
        Phase::Doubt { doubt, .. } => format!("doubt, {}", doubt.code),
        Phase::Cleared { epoch, .. } => format!("cleared for epoch {epoch}"),
        Phase::Done(Outcome::Value(value)) => format!("value {}", value.to_typed()),
        Phase::Done(Outcome::Failure(failure)) => format!("failure {}", failure.code),
    }
}

fn steps(journal: &Journal) -> Vec<(String, String, String, String)> {
    journal
        .steps()
        .map(|(path, record)| {
            let fingerprint = record.step.fingerprint.to_string();
            (
                path.to_string(),
                record.step.name.clone(),
                fingerprint,
                stand(&record.phase),
            )
        })
        .collect()
}

async fn connect(folder: &Path) -> SqliteConnection {
    let file = folder.join("bursar.db");
    SqliteConnection::connect(&format!("sqlite://{}", file.display()))
        .await
        .expect("connected")
}

/// The rows of the only journal in a store that nobody writes to.
async fn rows(folder: &Path) -> Vec<(u32, i64, String)> {
    let mut connection = connect(folder).await;
    let rows = sqlx::query("SELECT seq, at, entry FROM journal ORDER BY seq")
        .fetch_all(&mut connection)
        .await
        .expect("read");
    connection.close().await.expect("closed");
    rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect()
}

/// A store that has the run with its journal as it was written, queued.
async fn restored(golden: &Golden, folder: &TempDir) -> Arc<dyn Store> {
    let store = open(folder.path()).await;
    let version = golden.version();
    let run = NewRun {
        id: golden.id(),
        workflow: version.workflow.clone(),
        version: version.digest,
        cause: Cause::Manual {
            actor: "test".to_owned(),
            reason: None,
            key: None,
        },
        event: golden.event.clone().into(),
        params: golden.params.clone(),
        created_at: golden.created_at(),
        concurrency: None,
    };
    store.save_version(version).await.expect("kept");
    store.create_run(run).await.expect("made");
    // One turn was made: only then is there a journal to be read.
    let now = golden.created_at();
    let until = now + TimeDelta::minutes(1);
    let claims = store
        .claim(WorkerId::generate(now), now, until, 1)
        .await
        .expect("taken");
    let back = Append {
        settlement: Some(Settlement::Queued),
        ..Append::default()
    };
    store.append(&claims[0].lease, back, now).await.expect("given back");
    store.close().await.expect("closed");
    let mut connection = connect(folder.path()).await;
    for (seq, at, entry) in &golden.journal {
        sqlx::query("INSERT INTO journal (run, seq, at, entry) VALUES ($1, $2, $3, $4)")
            .bind(golden.id().as_uuid().as_bytes().to_vec())
            .bind(seq)
            .bind(at)
            .bind(entry)
            .execute(&mut connection)
            .await
            .expect("written");
    }
    connection.close().await.expect("closed");
    open(folder.path()).await
}

/// The run as it stood when it was stored.
fn as_it_stood(golden: &Golden, run: Run) -> Run {
    let error = golden
        .error
        .as_ref()
        .map(|(code, message)| bursar::model::run::RunError {
            code: code.clone(),
            message: message.clone(),
            trace: Vec::new(),
        });
    Run {
        state: golden.state.parse().expect("a state"),
        result: golden.result.clone(),
        error,
        ..run
    }
}

fn requests(world: &World) -> u64 {
    world
        .simulator
        .control
        .requests()
        .values()
        .map(|count| count.total)
        .sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_journal_ever_stored_is_read_and_decided_as_it_was() {
    let goldens = all();
    let world = World::demo().await;
    for (written_by, name, golden) in &goldens {
        let folder = TempDir::new().expect("a folder");
        let store = restored(golden, &folder).await;
        let records = store.journal(golden.id()).await.expect("it can be read");
        let journal = Journal::from_records(records.clone()).expect("it is legal");
        assert_eq!(steps(&journal), golden.steps, "{written_by}/{name}");

        let parts = Parts {
            store: store.clone(),
            clock: world.clock.clone(),
            client: Client::new().expect("a client"),
            connections: world.connections.clone(),
            wake: world.wake.clone(),
            settings: settings(),
        };
        let services = Arc::new(Services::new(parts).await.expect("the store answers"));
        let run = store.run(golden.id()).await.expect("read").expect("there");
        let (stood, version) = (as_it_stood(golden, run), Arc::new(golden.version()));
        let rehearse = move || {
            let mut rehearser = Rehearser::new(services);
            [(); 3].map(|()| rehearser.rehearse(&version, &stood, journal.clone()))
        };
        let thread = bursar::script::spawn_script_thread("rehearsal", rehearse).expect("a thread");
        let said = tokio::task::spawn_blocking(move || thread.join())
            .await
            .expect("joined");
        let said = said.expect("no panic");
        assert!(
            said.iter().all(|said| *said == Rehearsed::Same),
            "{written_by}/{name}: {said:?}"
        );

        // A run that has ended ends again, by the engine, without anybody being asked.
        if matches!(golden.state.as_str(), "succeeded" | "failed") {
            let engine = world.engine(store.clone()).await;
            let again = settled(store.as_ref(), golden.id()).await;
            engine.stop().await;
            assert_eq!(
                again.state.name(),
                golden.state,
                "{written_by}/{name}: {:?}",
                again.error
            );
            assert_eq!(again.result, golden.result, "{written_by}/{name}");
            let error = again.error.map(|error| (error.code, error.message));
            assert_eq!(error, golden.error, "{written_by}/{name}");
        }
        assert_eq!(store.journal(golden.id()).await, Ok(records), "nothing is added");
        store.close().await.expect("closed");
        assert_eq!(
            requests(&world),
            0,
            "{written_by}/{name}: a replay asks the provider nothing"
        );
    }
    report(&format!("{} stored journals replayed with 0 requests", goldens.len()));
}

/// What is read is written again letter by letter: the format of a published version is not changed by accident.
#[tokio::test(flavor = "multi_thread")]
async fn what_this_version_stored_it_still_stores_so() {
    let mine = all()
        .into_iter()
        .filter(|(written_by, ..)| written_by == env!("CARGO_PKG_VERSION"));
    let mut count = 0;
    for (_, name, golden) in mine {
        let folder = TempDir::new().expect("a folder");
        let store = restored(&golden, &folder).await;
        let records = store.journal(golden.id()).await.expect("read");
        store.close().await.expect("closed");
        let other = TempDir::new().expect("a folder");
        let empty = Golden {
            journal: Vec::new(),
            ..golden
        };
        let store = restored(&empty, &other).await;
        let now = empty.created_at();
        let until = now + TimeDelta::minutes(1);
        let claims = store
            .claim(WorkerId::generate(now), now, until, 1)
            .await
            .expect("taken");
        let append = Append {
            records,
            ..Append::default()
        };
        store.append(&claims[0].lease, append, now).await.expect("written");
        store.close().await.expect("closed");
        let written = rows(other.path()).await;
        let stored = all().into_iter().find(|(_, other, _)| *other == name);
        assert_eq!(Some(written), stored.map(|(.., golden)| golden.journal), "{name}");
        count += 1;
    }
    assert!(
        count > 0,
        "run once with BURSAR_BLESS=1: version {} has none",
        env!("CARGO_PKG_VERSION")
    );
}

/// Every kind of entry and every place a step can stand at is in them.
#[test]
fn the_stored_journals_have_everything_there_is() {
    let goldens = all();
    let kind = |entry: &str| {
        // Behind the object stands its seal.
        let mut texts = serde_json::Deserializer::from_str(entry).into_iter::<serde_json::Map<String, Json>>();
        let entry = texts.next().expect("a text").expect("an object");
        entry.keys().next().cloned().expect("its kind")
    };
    let kinds: BTreeSet<String> = goldens
        .iter()
        .flat_map(|(.., golden)| &golden.journal)
        .map(|(.., entry)| kind(entry))
        .collect();
    let all_kinds = [
        "decided", "done", "in_doubt", "intent", "outcome", "resolved", "retry", "sending", "waiting",
    ];
    assert_eq!(kinds.iter().map(String::as_str).collect::<Vec<_>>(), all_kinds);
    let stands: BTreeSet<&str> = goldens
        .iter()
        .flat_map(|(.., golden)| &golden.steps)
        .map(|(.., stand)| stand.as_str())
        .collect();
    for (beginning, inside) in [
        ("trying", ""),
        ("sent", "on its way"),
        ("sent", "paused"),
        ("sent", "unknown"),
        ("sent", "looked up"),
        ("waiting for an event", ""),
        ("waiting for a time", ""),
        ("waiting for a person", ""),
        ("doubt", ""),
        ("cleared", ""),
        ("value", ""),
        ("failure", ""),
    ] {
        let found = stands
            .iter()
            .any(|stand| stand.starts_with(beginning) && stand.contains(inside));
        assert!(found, "no step stands at {beginning} {inside}: {stands:#?}");
    }
    let states: BTreeSet<&str> = goldens.iter().map(|(.., golden)| golden.state.as_str()).collect();
    for state in [
        RunState::Succeeded,
        RunState::Failed,
        RunState::Parked,
        RunState::Waiting,
    ] {
        assert!(states.contains(state.name()), "{state} is in none");
    }
}
