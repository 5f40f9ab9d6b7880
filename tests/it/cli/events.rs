//! `bursar events`: what became of each, and the replay of one.

use std::fs;
use std::path::Path;

use bursar::base::clock::Instant;
use bursar::base::ids::EventId;

use super::daemon::{Daemon, world};
use super::harness::{Ran, bursar};

const MANIFEST: &str = "name = \"look\"\nsummary = \"Looks.\"\nscript = \"look.rhai\"\n[[trigger]]\ntype = \"webhook\"\n\
                        connection = \"bank\"\nevents = [\"deposit.received\"]\nwhen = 'WHEN'\n";
const DEPOSIT: &str = r#"{"id":"evt_1","type":"deposit.received","date":"2026-05-04T08:59:58Z","payload":{"id":"dep_1","amount":"5.00"}}"#;

fn workflow(folder: &Path, when: &str) {
    fs::write(folder.join("workflows/look.toml"), MANIFEST.replace("WHEN", when)).expect("written");
}

/// The script of one workflow, without any other one, and a deposit.
fn look_alone(folder: &Path) {
    for entry in fs::read_dir(folder.join("workflows")).expect("the folder") {
        fs::remove_file(entry.expect("a file").path()).expect("removed");
    }
    fs::write(folder.join("scripts/look.rhai"), "event.payload.amount\n").expect("written");
    fs::write(folder.join("deposit.json"), DEPOSIT).expect("written");
}

fn events(folder: &Path, args: &[&str]) -> Ran {
    bursar(folder, &[&["events"], args].concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filtered_event_is_listed_with_its_reason_and_replayed_when_the_condition_is_mended() {
    let (folder, _bank) = world().await;
    let folder = folder.path();
    look_alone(folder);
    workflow(folder, "event.payload.amount == 5");
    let daemon = Daemon::start(folder);
    bursar(folder, &["webhooks", "send", "deposit.json", "--connection", "bank"]).expect(0);
    let id = loop {
        let listed = events(folder, &["ls", "--filtered", "--json"]).expect(0).json();
        if let Some(event) = listed.first() {
            assert_eq!(event["became"], "filtered");
            break event["id"].as_str().expect("an id").to_owned();
        }
    };
    assert!(events(folder, &["ls"]).expect(0).stdout.contains("filtered"));
    let shown = events(folder, &["show", &id]).expect(0).stdout;
    assert!(
        shown.contains("filtered by look: not true: event.payload.amount == 5"),
        "{shown}"
    );
    let refused = events(folder, &["replay", &id, "--workflow", "look"]).expect(5);
    assert!(
        refused.stderr.contains("does not take the event: not true"),
        "{}",
        refused.stderr
    );

    workflow(folder, "event.payload.amount == \"5.00\"");
    let preview = events(folder, &["replay", &id]).expect(3);
    assert!(
        preview.stdout.contains("look  would make its run"),
        "{}",
        preview.stdout
    );
    let made = loop {
        let made = events(folder, &["replay", &id, "--yes"]).expect(0).stdout;
        // The daemon sees the edit a moment later.
        if made.contains("run_") {
            break made;
        }
    };
    assert!(made.starts_with(&format!("{id}  look  made run_")), "{made}");
    let again = events(folder, &["replay", &id, "--yes"]).expect(0).stdout;
    assert!(again.contains("look  has its run"), "{again}");
    events(folder, &["replay", &id, "--again"]).expect(2);
    events(
        folder,
        &["replay", &id, "--again", "--workflow", "look", "--reason", " "],
    )
    .expect(2);
    let once_more = [
        "replay",
        &id,
        "--again",
        "--workflow",
        "look",
        "--reason",
        "lost by hand",
    ];
    let preview = events(folder, &once_more).expect(3);
    assert!(
        preview
            .stdout
            .contains("ONE MORE run (with --again 1 --yes), which may pay again"),
        "{}",
        preview.stdout
    );
    drop(daemon);
    let unsaid = events(folder, &[&once_more[..], &["--yes"]].concat()).expect(2);
    assert!(unsaid.stderr.contains("say --again 1"), "{}", unsaid.stderr);
    // Without a daemon it is made all the same; the same command repeated makes no further run.
    let beside_one = [&once_more[..3], &["1"], &once_more[3..], &["--yes"]].concat();
    events(folder, &beside_one).expect(0);
    let refused = events(folder, &beside_one).expect(5);
    assert!(
        refused.stderr.contains("has 2 runs of the event, not 1"),
        "{}",
        refused.stderr
    );
    let shown = events(folder, &["show", &id]).expect(0).stdout;
    assert_eq!(shown.matches("\nrun run_").count(), 2, "{shown}");
    assert!(shown.contains(": lost by hand"), "{shown}");
    let missing = EventId::generate(Instant::UNIX_EPOCH).to_string();
    events(folder, &["replay", &missing]).expect(4);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_came_while_its_workflow_was_broken_makes_its_run_once_it_is_mended() {
    let (folder, _bank) = world().await;
    let folder = folder.path();
    look_alone(folder);
    let became = |wanted: &str| loop {
        let listed = events(folder, &["ls", "--json"]).expect(0).json();
        if let Some(event) = listed.iter().find(|event| event["became"] == wanted) {
            break event["id"].as_str().expect("an id").to_owned();
        }
    };
    workflow(folder, "event.payload.amount ==");
    let daemon = Daemon::start(folder);
    bursar(folder, &["webhooks", "send", "deposit.json", "--connection", "bank"]).expect(0);
    let id = became("waits for a workflow");
    let shown = events(folder, &["show", &id]).expect(0).stdout;
    assert!(shown.contains("waits for look, whose files do not load"), "{shown}");
    drop(daemon);
    // The next process finds it broken, too, and mended later.
    let _daemon = Daemon::start(folder);
    assert_eq!(became("waits for a workflow"), id);
    workflow(folder, "event.payload.amount == \"5.00\"");
    assert_eq!(became("ran"), id);
    let shown = events(folder, &["show", &id]).expect(0).stdout;
    assert_eq!(shown.matches("run run_").count(), 1, "{shown}");
}
