//! `bursar db` as people meet it: what it says, what it answers, what it refuses.

use std::fs;
use std::path::Path;

use bursar::store::Store as _;
use bursar::store::sqlite::{SqliteOptions, SqliteStore};
use tempfile::{TempDir, tempdir};

use super::harness::bursar;

async fn folder() -> TempDir {
    let folder = tempdir().expect("a folder");
    let store = SqliteStore::open(&folder.path().join("state"), SqliteOptions::default())
        .await
        .expect("a store");
    store.close().await.expect("closed");
    folder
}

fn damage(path: &Path) {
    let mut bytes = fs::read(path).expect("read");
    let end = bytes.len();
    bytes[4_096..end].fill(0xa5);
    fs::write(path, bytes).expect("written");
}

#[tokio::test]
async fn a_backup_goes_out_and_comes_back() {
    let folder = folder().await;
    let run = |args: &[&str]| bursar(folder.path(), args);
    let checked = run(&["db", "check"]).expect(0);
    assert!(checked.stdout.contains("state is whole"), "{}", checked.stdout);
    run(&["db", "backup", "backup.db"]).expect(0);
    let taken = run(&["db", "backup", "backup.db"]).expect(5);
    assert!(taken.stderr.contains("never overwrites"), "{}", taken.stderr);
    run(&["db", "check", "backup.db"]).expect(0);
    let restored = run(&["db", "restore", "backup.db"]).expect(0);
    assert!(restored.stdout.contains("bursar-replaced-"), "{}", restored.stdout);
    assert!(restored.stderr.contains("accept-restore"), "{}", restored.stderr);
    let checked = run(&["--json", "db", "check"]).expect(0).json();
    assert_eq!(checked[0]["schema"], "bursar.store/1");
    assert_eq!(checked[0]["restored"]["sign"], "backup");
    run(&["db", "accept-restore", "--reason", " "]).expect(2);
    run(&["db", "accept-restore", "--reason", "looked"]).expect(0);
    let twice = run(&["db", "accept-restore", "--reason", "looked"]).expect(5);
    assert!(twice.stderr.contains("no restore waits"), "{}", twice.stderr);
    run(&["db", "vacuum"]).expect(0);
    run(&["db", "prune", "--before", "2020-01-01", "--dry-run"]).expect(0);
    let near = run(&["db", "prune", "--before", "2999-01-01"]).expect(5);
    assert!(near.stderr.contains("30 days"), "{}", near.stderr);
    run(&["db", "prune", "--before", "yesterday"]).expect(2);
}

#[tokio::test]
async fn a_file_that_is_no_database_is_not_taken_for_a_damaged_store() {
    let folder = folder().await;
    for (name, text) in [("junk.json", "{\"hello\": \"world\"}"), ("empty.db", "")] {
        fs::write(folder.path().join(name), text).expect("written");
        for command in ["check", "restore"] {
            let refused = bursar(folder.path(), &["db", command, name]).expect(5);
            assert!(refused.stderr.contains("is no backup of a store"), "{}", refused.stderr);
            assert!(!refused.stderr.contains("the store is damaged"), "{}", refused.stderr);
        }
    }
}

#[tokio::test]
async fn damage_is_named_and_ends_with_its_own_code() {
    let folder = folder().await;
    let run = |args: &[&str]| bursar(folder.path(), args);
    run(&["db", "backup", "backup.db"]).expect(0);
    damage(&folder.path().join("backup.db"));
    for args in [["db", "check", "backup.db"], ["db", "restore", "backup.db"]] {
        let ran = run(&args).expect(6);
        assert!(ran.stderr.contains("damaged"), "{args:?}: {}", ran.stderr);
    }
    run(&["db", "check"]).expect(0);
    damage(&folder.path().join("state/bursar.db"));
    for args in [
        &["db", "check"][..],
        &["--json", "db", "check"],
        &["db", "backup", "other.db"],
    ] {
        run(args).expect(6);
    }
    assert!(!folder.path().join("other.db").exists());
}

#[test]
fn without_a_store_nothing_is_made() {
    let folder = tempdir().expect("a folder");
    for (args, code) in [
        (&["db", "check"][..], 6),
        (&["db", "check", "no.db"], 4),
        (&["db", "backup", "backup.db"], 6),
        (&["db", "restore", "no.db"], 4),
        (&["db", "accept-restore", "--reason", "x"], 6),
        (&["db", "vacuum"], 6),
        (&["db", "prune", "--before", "2020-01-01"], 6),
    ] {
        bursar(folder.path(), args).expect(code);
        assert_eq!(fs::read_dir(folder.path()).expect("read").count(), 0, "{args:?}");
    }
}
