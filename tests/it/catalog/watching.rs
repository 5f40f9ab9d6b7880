//! Edits on a real folder under the real watcher: good to bad to good, renamed, replaced, removed.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bursar::base::clock::SystemClock;
use bursar::catalog::snapshot::Snapshot;
use bursar::catalog::watch::{Catalog, Pace, Watcher};
use tempfile::TempDir;
use tokio::sync::watch::Receiver;

use super::{context, folders};

/// Longer than any machine needs; a test that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// Only the watcher can tell of a change: the files are not read by themselves within a test.
const BY_EVENTS: Pace = Pace {
    quiet: Duration::from_millis(50),
    patience: Duration::from_secs(1),
    poll: Duration::from_secs(3_600),
};

/// A folder with one good workflow, `sweep`, its catalog and perhaps its watcher.
struct House {
    folder: TempDir,
    catalog: Catalog,
    snapshots: Receiver<Arc<Snapshot>>,
    _watcher: Option<Watcher>,
}

impl House {
    fn new(pace: Option<Pace>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir_all(folder.path().join("workflows")).expect("a folder");
        fs::create_dir_all(folder.path().join("scripts/lib")).expect("a folder");
        write(&folder.path().join("workflows/sweep.toml"), &manifest("sweep", "first"));
        write(&folder.path().join("scripts/sweep.rhai"), "let a = 1;\n");
        let catalog = Catalog::open(folders(folder.path()), context());
        let snapshots = catalog.changed();
        let watcher =
            pace.map(|pace| Watcher::start(catalog.clone(), Arc::new(SystemClock::new()), pace).expect("a watcher"));
        Self {
            folder,
            catalog,
            snapshots,
            _watcher: watcher,
        }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    /// Waits for a snapshot of which this is true.
    async fn until(&mut self, what: &str, is_so: impl Fn(&Snapshot) -> bool) {
        let waited = tokio::time::timeout(PATIENCE, self.snapshots.wait_for(|snapshot| is_so(snapshot))).await;
        let seen = self.catalog.current();
        assert!(waited.is_ok(), "never came: {what}; last seen: {seen:#?}");
    }

    fn summary(&self, name: &str) -> Option<String> {
        self.catalog
            .current()
            .workflow(name)
            .map(|workflow| workflow.summary.clone())
    }
}

fn manifest(name: &str, summary: &str) -> String {
    format!("name = \"{name}\"\nsummary = \"{summary}\"\nscript = \"sweep.rhai\"\n")
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).expect("written");
}

fn has(name: &'static str, summary: &'static str) -> impl Fn(&Snapshot) -> bool {
    move |snapshot| {
        snapshot
            .workflow(name)
            .is_some_and(|workflow| workflow.summary == summary)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn good_to_bad_to_good_keeps_the_last_good_one_in_between() {
    let mut house = House::new(Some(BY_EVENTS));
    let path = house.path("workflows/sweep.toml");
    write(&path, "name = \"sweep\nsummary");
    house.until("the problem", Snapshot::has_errors).await;
    let snapshot = house.catalog.current();
    assert_eq!(house.summary("sweep").as_deref(), Some("first"));
    assert!(snapshot.outdated.contains("sweep"));
    assert_eq!(snapshot.problems.keys().collect::<Vec<_>>(), ["workflows/sweep.toml"]);

    write(&path, &manifest("sweep", "second"));
    house.until("the new text", has("sweep", "second")).await;
    let snapshot = house.catalog.current();
    assert!(
        snapshot.outdated.is_empty() && snapshot.problems.is_empty(),
        "{snapshot:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_saved_by_rename_is_seen_again_and_again() {
    let mut house = House::new(Some(BY_EVENTS));
    for summary in ["second", "third", "fourth"] {
        write(&house.path("workflows/.sweep.toml.swp"), &manifest("sweep", summary));
        fs::rename(
            house.path("workflows/.sweep.toml.swp"),
            house.path("workflows/sweep.toml"),
        )
        .expect("renamed");
        house.until(summary, has("sweep", summary)).await;
    }
    let before = house.catalog.current().workflows["sweep"].version.digest;
    write(&house.path("scripts/sweep.rhai~"), "let a = 2;\n");
    fs::rename(house.path("scripts/sweep.rhai~"), house.path("scripts/sweep.rhai")).expect("renamed");
    house
        .until("the new script", |snapshot| {
            snapshot.workflows["sweep"].version.digest != before
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn workflows_come_and_go_with_their_files() {
    let mut house = House::new(Some(BY_EVENTS));
    write(&house.path("workflows/second.toml"), &manifest("second", "new"));
    house.until("the new one", has("second", "new")).await;
    fs::remove_file(house.path("workflows/sweep.toml")).expect("removed");
    house
        .until("the end of the old one", |snapshot| {
            snapshot.workflow("sweep").is_none()
        })
        .await;
    assert_eq!(house.summary("second").as_deref(), Some("new"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_replaced_is_watched_on() {
    let poll = Duration::from_secs(3);
    let mut house = House::new(Some(Pace { poll, ..BY_EVENTS }));
    // Once the watcher has told of something, it stands.
    write(&house.path("workflows/sweep.toml"), &manifest("sweep", "second"));
    house.until("an edit in the old folder", has("sweep", "second")).await;
    fs::create_dir(house.path("next")).expect("a folder");
    write(&house.path("next/sweep.toml"), &manifest("sweep", "replaced"));
    fs::rename(house.path("workflows"), house.path("old")).expect("renamed");
    fs::rename(house.path("next"), house.path("workflows")).expect("renamed");
    house.until("the new folder", has("sweep", "replaced")).await;
    // Sooner than the files are next read by themselves: the new folder is watched.
    write(&house.path("workflows/sweep.toml"), &manifest("sweep", "edited"));
    tokio::time::timeout(
        poll / 2,
        house.until("an edit in the new folder", has("sweep", "edited")),
    )
    .await
    .expect("told of by the watcher");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_vanishes_takes_no_workflow_with_it() {
    let mut house = House::new(Some(Pace {
        poll: Duration::from_millis(300),
        ..BY_EVENTS
    }));
    fs::rename(house.path("workflows"), house.path("away")).expect("renamed");
    house.until("the problem", Snapshot::has_errors).await;
    assert_eq!(house.summary("sweep").as_deref(), Some("first"));
    fs::rename(house.path("away"), house.path("workflows")).expect("renamed");
    write(&house.path("workflows/sweep.toml"), &manifest("sweep", "back"));
    house.until("the folder again", has("sweep", "back")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_folder_of_modules_is_watched_too() {
    let mut house = House::new(Some(BY_EVENTS));
    fs::create_dir_all(house.path("scripts/more/deep")).expect("a folder");
    house.catalog.reload_now();
    // Whether the file is found with its folder or after it, it has to be found.
    write(&house.path("scripts/more/deep/module.rhai"), "let a = 1;\n");
    house
        .until("the module", |snapshot| {
            snapshot.problems.contains_key("scripts/more/deep/module.rhai")
        })
        .await;
}

#[test]
fn nothing_changes_when_nothing_changed() {
    let house = House::new(None);
    assert_eq!(house.catalog.current().generation, 1);
    house.catalog.reload_now();
    // The same text written again is the same file.
    write(&house.path("workflows/sweep.toml"), &manifest("sweep", "first"));
    house.catalog.reload_now();
    assert_eq!(house.catalog.current().generation, 1);
    write(&house.path("workflows/sweep.toml"), &manifest("sweep", "second"));
    house.catalog.reload_now();
    assert_eq!(house.catalog.current().generation, 2);
}

#[test]
fn a_script_that_goes_missing_keeps_the_workflow_as_it_was() {
    let house = House::new(None);
    fs::remove_file(house.path("scripts/sweep.rhai")).expect("removed");
    let snapshot = house.catalog.reload_now();
    assert!(snapshot.has_errors());
    assert_eq!(
        snapshot.workflows["sweep"].version.main().expect("a script").text,
        "let a = 1;\n"
    );
}
