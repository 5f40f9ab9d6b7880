//! Every bit of every id of a run in the file, each turned by itself: what is claimed afterwards has all of its
//! journal and is the run that was made, or it is parked, or nothing is opened at all.
//!
//! An entry that is filed under another run is missing at the end of its own journal, where no gap tells: a payment
//! that was sent would count as never begun.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use bursar::base::ids::RunId;
use bursar::model::journal::Record;
use bursar::model::run::{RunState, Settlement};
use bursar::store::sqlite::SqliteStore;
use bursar::store::{Store, StoreError};

use super::make::*;

/// Some runs in the middle of a payment, and one that has not begun, as a process that was killed leaves them.
async fn store(folder: &Path) -> BTreeMap<RunId, Vec<Record>> {
    let store = SqliteStore::open(folder, OPTIONS).await.expect("opened");
    let mut runs = BTreeMap::new();
    for (number, workflow) in (0..).zip(["one", "two", "three"]) {
        let claim = running(&*store, workflow, number).await;
        for record in [done(1), done(2), intent(3, "40")] {
            let append = records([record]);
            store.append(&claim.lease, append, at(9)).await.expect("appended");
        }
        runs.insert(claim.run.id, vec![done(1), done(2), intent(3, "40")]);
    }
    let fresh = manual("four", 4);
    runs.insert(fresh.id, Vec::new());
    store.create_run(fresh).await.expect("made");
    store.close().await.expect("closed");
    runs
}

/// Where these bytes stand.
fn places(file: &[u8], bytes: &[u8]) -> Vec<usize> {
    let found = file.windows(bytes.len()).enumerate();
    found
        .filter(|(_, window)| *window == bytes)
        .map(|(place, _)| place)
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_bit_of_an_id_makes_a_run_forget_what_it_has_sent() {
    let folder = tempfile::tempdir().expect("a folder");
    let runs = store(folder.path()).await;
    let file = folder.path().join("bursar.db");
    let sound = fs::read(&file).expect("read");
    let (mut tried, mut noticed) = (0, 0);
    for run in runs.keys() {
        let found = places(&sound, run.as_uuid().as_bytes());
        assert!(found.len() >= 2, "{run} stands at {found:?}");
        for place in found {
            // Every bit takes half a minute; these are all bytes, and all bits of a byte, in turn.
            for byte in 0..16 {
                let bit = (byte * 3 + place) % 8;
                let mut flipped = sound.clone();
                flipped[place + byte] ^= 1 << bit;
                fs::write(&file, flipped).expect("written");
                tried += 1;
                noticed +=
                    usize::from(judge(folder.path(), &runs, &format!("{run}, byte {place}+{byte}, bit {bit}")).await);
            }
        }
    }
    println!("{tried} bits of ids turned: {noticed} noticed, 0 runs forgot what they sent");
    assert!(tried > 300 && noticed > tried / 4, "{noticed} of {tried}");
}

/// A run that is made afterwards goes through two turns, whatever stands beside its journal. True if the store failed.
async fn later(store: &dyn Store, what: &str) -> bool {
    let run = manual("later", 30);
    let id = run.id;
    if store.create_run(run).await.is_err() {
        return true;
    }
    for turn in 1..=2 {
        let Ok(claims) = store.claim(worker(3), at(31), at(61), 9).await else {
            return true;
        };
        let claim = claims.into_iter().find(|claim| claim.run.id == id);
        let claim = claim.unwrap_or_else(|| panic!("{what}: a later run is not taken up in turn {turn}"));
        let mut append = settle(Settlement::Queued);
        append.records = vec![done(turn)];
        if store.append(&claim.lease, append, at(32)).await.is_err() {
            return true;
        }
    }
    false
}

/// Whether it was noticed.
async fn judge(folder: &Path, runs: &BTreeMap<RunId, Vec<Record>>, what: &str) -> bool {
    for name in ["bursar.db-wal", "bursar.db-shm"] {
        drop(fs::remove_file(folder.join(name)));
    }
    let store = match SqliteStore::open(folder, OPTIONS).await {
        Ok(store) => store,
        Err(StoreError::Corrupt(_)) => return true,
        Err(other) => panic!("{what}: {other}"),
    };
    let mut noticed = store.reclaim_all(at(20)).await.is_err();
    match store.claim(worker(2), at(20), at(50), 9).await {
        Err(_) => noticed = true,
        Ok(claims) => {
            for claim in claims {
                let made = runs.get(&claim.run.id);
                assert_eq!(
                    Some(&claim.records),
                    made,
                    "{what}: {} goes on without what it did",
                    claim.run.id
                );
            }
            noticed |= later(&*store, what).await;
            for run in runs.keys() {
                noticed |= match store.run(*run).await {
                    Ok(Some(run)) => run.state == RunState::Parked,
                    _ => true,
                };
            }
        }
    }
    drop(store.close().await);
    noticed
}
