//! Runs as the store has them: listing, inspecting, deciding, ending, without a daemon.

use std::path::Path;
use std::sync::Arc;

use bursar::base::clock::Instant;
use bursar::base::ids::{Digest, RunId, WorkerId};
use bursar::base::money::{Currency, Money};
use bursar::model::journal::{Doubt, Entry, Intent, Outcome, Record, Step, StoredRequest};
use bursar::model::policy::Movement;
use bursar::model::run::{Cause, NewRun, RunError, Settlement};
use bursar::model::value::Value;
use bursar::model::workflow::{Source, Version};
use bursar::store::sqlite::{SqliteOptions, SqliteStore};
use bursar::store::{Append, Store};
use chrono::{DateTime, TimeDelta};
use serde_json::json;
use tempfile::{TempDir, tempdir};

use super::harness::{Ran, bursar};

/// A folder with a store that holds one run parked in doubt and one that succeeded, the older one.
struct Fixture {
    folder: TempDir,
    parked: RunId,
    done: RunId,
}

fn noon(seconds: i64) -> Instant {
    DateTime::from_timestamp(1_767_225_600 + seconds, 0).expect("a valid instant")
}

fn step(name: &str, summary: &str) -> Step {
    Step {
        name: name.to_owned(),
        summary: summary.to_owned(),
        fingerprint: Digest::of([summary.as_bytes()]),
    }
}

fn payout() -> Intent {
    let currency = Currency::from_code("EUR").expect("a currency");
    Intent {
        connection: "bank".to_owned(),
        endpoint: "create_payout".to_owned(),
        epoch: 0,
        key: Some("0b9e3c1a-aaaa-4bbb-8ccc-dddddddddddd".to_owned()),
        key_safe_until: Some(noon(3_600)),
        reference: "run_x/1".to_owned(),
        fingerprint: Digest::of([b"payout".as_slice()]),
        request: StoredRequest {
            method: "POST".to_owned(),
            path: "/v1/payouts".to_owned(),
            headers: Vec::new(),
            body: Some(r#"{"destination":{"type":"iban","iban":"DE89370400440532013000"}}"#.to_owned()),
        },
        movement: Some(Movement {
            amount: Some(Money::parse("47200.00", currency).expect("money")),
            source: Some("acc_1".to_owned()),
            beneficiary: Some("DE89370400440532013000".to_owned()),
        }),
        forgotten: None,
        before: std::collections::BTreeMap::new(),
        exclusive: None,
    }
}

async fn make(store: &dyn Store, seconds: i64, entries: Vec<Entry>, settlement: Settlement) -> RunId {
    let source = Source {
        path: "main.rhai".to_owned(),
        text: "()".to_owned(),
    };
    let version = Version::new("sweep".to_owned(), String::new(), vec!["bank".to_owned()], vec![source]);
    let run = NewRun {
        id: RunId::generate(noon(seconds)),
        workflow: "sweep".to_owned(),
        version: version.digest,
        cause: Cause::Manual {
            actor: "tess".to_owned(),
            reason: None,
            key: None,
        },
        event: json!({"type": "manual"}).into(),
        params: json!({}),
        created_at: noon(seconds),
        concurrency: None,
    };
    let id = run.id;
    store.save_version(version).await.expect("kept");
    store.create_run(run).await.expect("made");
    let worker = WorkerId::generate(noon(seconds));
    let claims = store
        .claim(worker, noon(seconds), noon(seconds + 30), 1)
        .await
        .expect("claimed");
    let records = entries.into_iter().zip(1..).map(|(entry, seq)| Record {
        seq,
        at: noon(seconds) + TimeDelta::milliseconds(i64::from(seq) * 100),
        entry,
    });
    let append = Append {
        records: records.collect(),
        settlement: Some(settlement),
        ..Append::default()
    };
    store
        .append(&claims[0].lease, append, noon(seconds + 1))
        .await
        .expect("written");
    id
}

async fn fixture() -> Fixture {
    let folder = tempdir().expect("a folder");
    let store: Arc<dyn Store> = SqliteStore::open(&folder.path().join("state"), SqliteOptions::default())
        .await
        .expect("a store");
    let path = |text: &str| text.parse().expect("a path");
    let balance = Value::from_plain(&json!({"amount": "48200.13", "currency": "EUR"})).expect("a value");
    let read = Entry::Done {
        path: path("1"),
        step: step("bank.balance", "…052a"),
        outcome: Outcome::Value(balance),
        began: None,
    };
    let result = Settlement::Succeeded {
        result: Value::Null.to_typed(),
    };
    let done = make(store.as_ref(), 0, vec![read.clone()], result).await;
    let sent = step("bank.create_payout", "EUR 47,200.00 to …3000");
    let doubt = Doubt {
        code: "in_doubt".to_owned(),
        message: "the bank never answered and cannot be asked".to_owned(),
    };
    let entries = vec![
        read,
        Entry::Intent {
            path: path("2"),
            step: sent.clone(),
            intent: Box::new(payout()),
        },
        Entry::InDoubt {
            path: path("2"),
            step: sent,
            doubt,
        },
    ];
    let error = RunError {
        code: "in_doubt".to_owned(),
        message: "step 2 may have happened".to_owned(),
        trace: Vec::new(),
    };
    let parked = make(store.as_ref(), 60, entries, Settlement::Parked { error }).await;
    store.close().await.expect("closed");
    Fixture { folder, parked, done }
}

impl Fixture {
    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn bursar(&self, args: &[&str]) -> Ran {
        bursar(self.path(), args)
    }

    /// Output with the random parts of ids replaced.
    fn stable(&self, text: &str) -> String {
        let text = text
            .replace(&self.parked.to_string(), "run_PARKED")
            .replace(&self.done.to_string(), "run_DONE");
        // The time that has passed since the fixed day of the fixture.
        let lines = text.lines().map(|line| match line.split_once("Z, ") {
            Some((before, after)) if after.ends_with("ago") => format!("{before}Z, long ago"),
            _ => line.trim_end().to_owned(),
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}

#[tokio::test]
async fn runs_are_listed_newest_first_and_filtered() {
    let fixture = fixture().await;
    let ids = |args: &[&str]| {
        let args = [&["runs", "ls", "--json"], args].concat();
        let runs = fixture.bursar(&args).expect(0).json();
        assert!(runs.iter().all(|run| run["schema"] == "bursar.run/1"));
        runs.iter()
            .filter_map(|run| run["id"].as_str().map(str::to_owned))
            .collect::<Vec<_>>()
    };
    let (parked, done) = (fixture.parked.to_string(), fixture.done.to_string());
    assert_eq!(ids(&[]), [parked.clone(), done.clone()]);
    assert_eq!(ids(&["--limit", "1"]), std::slice::from_ref(&parked));
    assert_eq!(ids(&["--before", &parked]), std::slice::from_ref(&done));
    assert_eq!(ids(&["--in-state", "parked"]), [parked]);
    assert_eq!(ids(&["--in-state", "succeeded", "--workflow", "sweep"]), [done]);
    assert!(ids(&["--workflow", "other"]).is_empty());
    let listed = fixture.bursar(&["runs", "ls"]).expect(0);
    insta::assert_snapshot!("runs_ls", fixture.stable(&listed.stdout));
}

#[tokio::test]
async fn a_parked_run_shows_its_evidence_and_every_choice() {
    let fixture = fixture().await;
    let shown = fixture.bursar(&["runs", "show", "last"]).expect(0);
    insta::assert_snapshot!("runs_show_parked", fixture.stable(&shown.stdout));
    let done = fixture.bursar(&["runs", "show", &fixture.done.to_string()]).expect(0);
    insta::assert_snapshot!("runs_show_succeeded", fixture.stable(&done.stdout));
    let detail = fixture.bursar(&["--json", "runs", "show", "last"]).expect(0).json();
    assert_eq!(detail[0]["schema"], "bursar.run.detail/1");
    assert_eq!(detail[0]["steps"][1]["phase"], "in_doubt");
    assert_eq!(detail[0]["steps"][0]["outcome"]["value"]["amount"], "48200.13");
}

#[tokio::test]
async fn a_run_is_named_by_as_much_of_its_id_as_tells_it_apart() {
    let fixture = fixture().await;
    let id = fixture.done.to_string();
    let check = |text: &str, code: i32| {
        let ran = fixture.bursar(&["runs", "show", text]).expect(code);
        if code == 0 {
            assert!(ran.stdout.starts_with(&id), "{}", ran.stdout);
        }
    };
    check(&id, 0);
    // One minute lies between the two: their first digits differ late.
    check(id.get(..20).expect("ascii"), 0);
    check(&id.to_lowercase().replace("run_", ""), 0);
    check("run_0", 2);
    check("run_7ZZ", 4);
    check("run_0000000000000000000000000A", 4);
    check("sweep!", 2);
}

#[tokio::test]
async fn the_journal_is_shown_entry_by_entry() {
    let fixture = fixture().await;
    let shown = fixture.bursar(&["journal", "show", "last"]).expect(0);
    insta::assert_snapshot!("journal_show", fixture.stable(&shown.stdout));
    let short = fixture.bursar(&["journal", "last"]).expect(0);
    assert_eq!(short.stdout, shown.stdout);
    let none = fixture.bursar(&["runs", "ls", "--in-state", "queued"]).expect(0);
    assert!(none.stderr.contains("nothing is queued"), "{}", none.stderr);
    let entries = fixture.bursar(&["journal", "show", "last", "--json"]).expect(0).json();
    let kinds: Vec<&str> = entries.iter().filter_map(|entry| entry["kind"].as_str()).collect();
    assert_eq!(kinds, ["done", "intent", "in_doubt"]);
    assert_eq!(entries[1]["intent"]["key"], "0b9e3c1a-aaaa-4bbb-8ccc-dddddddddddd");
}

#[tokio::test]
async fn a_decision_is_recorded_with_its_maker_and_its_reason() {
    let fixture = fixture().await;
    let parked = fixture.parked.to_string();
    let refused = fixture
        .bursar(&["runs", "resolve", &fixture.done.to_string(), "--fail", "--reason", "x"])
        .expect(5);
    assert!(refused.stderr.contains("only a parked run"), "{}", refused.stderr);
    fixture
        .bursar(&["runs", "resolve", &parked, "--fail", "--reason", " "])
        .expect(2);
    fixture
        .bursar(&["runs", "resolve", &parked, "--step", "1", "--fail", "--reason", "x"])
        .expect(5);
    let decided = fixture
        .bursar(&[
            "runs",
            "resolve",
            &parked,
            "--absent-and-resend",
            "--although",
            "unproved",
            "--reason",
            "not in their console",
        ])
        .expect(0);
    assert!(decided.stdout.contains("is queued"), "{}", decided.stdout);
    assert!(decided.stderr.contains("bursar serve"), "{}", decided.stderr);
    let entries = fixture.bursar(&["journal", "show", "last", "--json"]).expect(0).json();
    let last = entries.last().expect("an entry");
    assert_eq!(last["kind"], "resolved");
    let reason = last["resolution"]["reason"].as_str().expect("a reason");
    assert!(reason.starts_with("not in their console (unproved: "), "{reason}");
    assert_eq!(last["resolution"]["what"]["decision"], "resend");
    assert!(
        last["resolution"]["actor"]
            .as_str()
            .is_some_and(|actor| !actor.is_empty())
    );
}

#[tokio::test]
async fn a_resource_is_adopted_from_a_file() {
    let fixture = fixture().await;
    let parked = fixture.parked.to_string();
    std::fs::write(
        fixture.path().join("payout.json"),
        r#"{"id": "po_1", "status": "paid"}"#,
    )
    .expect("written");
    let adopted = [
        "runs",
        "resolve",
        &parked,
        "--step",
        "2",
        "--adopt",
        "payout.json",
        "--although",
        "unproved",
        "--reason",
        "found",
        "--json",
    ];
    let decided = fixture.bursar(&adopted).expect(0).json();
    assert_eq!(decided[0]["schema"], "bursar.decision/1");
    assert_eq!(decided[0]["state"], "queued");
    let steps = fixture.bursar(&["runs", "show", "last", "--json"]).expect(0).json();
    assert_eq!(steps[0]["steps"][1]["outcome"]["value"]["id"], "po_1");
}

#[tokio::test]
async fn a_run_is_ended_once() {
    let fixture = fixture().await;
    let parked = fixture.parked.to_string();
    // Money may have moved: somebody has to look before the run may end.
    let refused = fixture
        .bursar(&["runs", "cancel", "last", "--reason", "paid by hand"])
        .expect(5);
    assert!(refused.stderr.contains("decide about that step"), "{}", refused.stderr);
    fixture
        .bursar(&[
            "runs",
            "resolve",
            &parked,
            "--step",
            "2",
            "--fail",
            "--although",
            "unproved",
            "--reason",
            "not in the portal",
        ])
        .expect(0);
    let ended = fixture
        .bursar(&["runs", "cancel", "last", "--reason", "paid by hand"])
        .expect(0);
    assert!(ended.stdout.contains("is cancelled"), "{}", ended.stdout);
    // Asking again changes nothing; what has succeeded cannot be ended any more.
    fixture
        .bursar(&["runs", "cancel", "last", "--reason", "again"])
        .expect(0);
    let done = fixture.done.to_string();
    fixture
        .bursar(&["runs", "cancel", &done, "--reason", "too late"])
        .expect(5);
}

/// The journal keeps what it sends; who reads it in a terminal does not see whole what the table calls sensitive.
#[tokio::test]
async fn an_account_of_a_beneficiary_is_not_shown_whole() {
    let fixture = fixture().await;
    let run = fixture.parked.to_string();
    for args in [
        &["journal", "show", &run][..],
        &["journal", "show", &run, "--json"],
        &["runs", "show", &run],
        &["runs", "show", &run, "--json"],
    ] {
        let shown = fixture.bursar(args).expect(0);
        assert!(
            !shown.stdout.contains("DE89370400440532013000"),
            "{args:?}: {}",
            shown.stdout
        );
        let names_it = args.contains(&"--json") || args[0] == "runs";
        assert_eq!(
            shown.stdout.contains("******************3000"),
            names_it,
            "{args:?}: {}",
            shown.stdout
        );
    }
}
