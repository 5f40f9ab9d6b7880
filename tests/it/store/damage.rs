//! Torn and damaged files: what was answered is there up to the damage, or the damage is named. Never a panic.
//!
//! `BURSAR_IMAGES` sets how many damaged images (600 if not set), `BURSAR_SEED` replays them.

use std::fs;
use std::path::{Path, PathBuf};

use bursar::base::ids::RunId;
use bursar::store::sqlite::SqliteStore;
use bursar::store::sqlite::care::backup::backup;
use bursar::store::sqlite::care::check::{check, check_file};
use bursar::store::{Append, Sign, Store as _, StoreError};

use super::make::*;
use crate::support::{number, report};

/// A store with a live run, as it stands while its process works.
struct Image {
    folder: PathBuf,
    run: RunId,
    /// How long the log was when each entry had been answered.
    answered: Vec<u64>,
}

async fn image(folder: &Path) -> Image {
    let store = SqliteStore::open(folder, OPTIONS).await.expect("opened");
    let claim = running(&*store, "sweep", 0).await;
    let log = folder.join("bursar.db-wal");
    let mut answered = Vec::new();
    for seq in 1..=40 {
        let append = if seq == 40 {
            Append {
                begins_effect: true,
                ..records([intent(seq, "40")])
            }
        } else {
            records([done(seq)])
        };
        store.append(&claim.lease, append, at(1)).await.expect("appended");
        answered.push(fs::metadata(&log).expect("there").len());
    }
    // Left behind as a process that is killed leaves it.
    let image = folder.join("image");
    fs::create_dir(&image).expect("made");
    for name in ["bursar.db", "bursar.db-wal", "bursar.sent"] {
        fs::copy(folder.join(name), image.join(name)).expect("copied");
    }
    backup(folder, &image.join("backup"), at(2)).await.expect("backed up");
    store.close().await.expect("closed");
    Image {
        folder: image,
        run: claim.run.id,
        answered,
    }
}

fn copy(image: &Image, into: &Path) {
    for name in ["bursar.db", "bursar.db-wal", "bursar.sent"] {
        fs::copy(image.folder.join(name), into.join(name)).expect("copied");
    }
    drop(fs::remove_file(into.join("bursar.db-shm")));
}

fn flip(path: &Path, random: &mut fastrand::Rng) -> u64 {
    let mut bytes = fs::read(path).expect("read");
    let place = random.usize(..bytes.len());
    bytes[place] ^= 1 << random.u8(..8);
    fs::write(path, bytes).expect("written");
    place as u64
}

/// Entries of the journal; nothing where damage is named. Reading anything else than what was written is a failure.
async fn entries(folder: &Path, run: RunId) -> Result<usize, StoreError> {
    let store = SqliteStore::open_read_only(folder).await?;
    let found = store.journal(run).await;
    store.close().await?;
    let found = found?;
    for (record, seq) in found.iter().zip(1..) {
        let written = if seq == 40 { intent(40, "40") } else { done(seq) };
        assert_eq!(*record, written);
    }
    Ok(found.len())
}

fn named(error: &StoreError) -> bool {
    matches!(error, StoreError::Corrupt(_) | StoreError::Unavailable(_))
}

/// The log is cut or changed at this place: all that was answered before it is there.
async fn judge_log(image: &Image, folder: &Path, place: u64, what: &str) -> bool {
    let before = image.answered.iter().filter(|length| **length <= place).count();
    match entries(folder, image.run).await {
        Ok(found) => {
            assert!(
                found >= before,
                "{what}: {found} entries, {before} were answered before the damage"
            );
            let store = SqliteStore::open(folder, OPTIONS).await.expect("opened");
            let restored = store.restored(at(9)).await.expect("read");
            store.close().await.expect("closed");
            // The last of them was sent: a state without it sends nothing by itself.
            let expected = (found < 40).then_some(Sign::Behind);
            assert_eq!(restored.map(|restored| restored.sign), expected, "{what}");
            found < 40
        }
        Err(error) => {
            assert!(named(&error), "{what}: {error:?}");
            // Before the log there was no run at all.
            true
        }
    }
}

#[tokio::test]
async fn whatever_is_torn_or_flipped_is_either_harmless_or_named() {
    let seed = number("BURSAR_SEED", fastrand::u64(..));
    let images = number("BURSAR_IMAGES", 600);
    let mut random = fastrand::Rng::with_seed(seed);
    let made = tempfile::tempdir().expect("a folder");
    let image = image(made.path()).await;
    let scratch = tempfile::tempdir().expect("a folder");
    let folder = scratch.path();
    let (mut named_count, mut harmless) = (0, 0);
    for number in 0..images {
        let what = format!("seed {seed:#x}, image {number}");
        copy(&image, folder);
        let log = folder.join("bursar.db-wal");
        let damaged = match number % 4 {
            0 => {
                let length = random.u64(..fs::metadata(&log).expect("there").len());
                let file = fs::File::options().write(true).open(&log).expect("opened");
                file.set_len(length).expect("cut");
                judge_log(&image, folder, length, &what).await
            }
            1 => {
                let place = flip(&log, &mut random);
                judge_log(&image, folder, place, &what).await
            }
            kind => {
                let file = folder.join("backup");
                fs::copy(image.folder.join("backup"), &file).expect("copied");
                flip(&file, &mut random);
                let found = if kind == 2 {
                    check_file(&file).await
                } else {
                    // The database itself, with everything in it.
                    fs::remove_file(&log).expect("removed");
                    fs::rename(&file, folder.join("bursar.db")).expect("moved");
                    check(folder).await
                };
                // Only its run could not be read, for the version that this test never kept.
                let whole = found.as_ref().is_ok_and(|found| {
                    found.damage.is_empty() && found.unreadable.iter().all(|line| line.contains("its version"))
                });
                if let Err(error) = &found {
                    assert!(named(error), "{what}: {error:?}");
                }
                if whole && kind == 3 {
                    // A bit that nothing depends on: the journal is the one that was written.
                    assert_eq!(entries(folder, image.run).await, Ok(40), "{what}");
                }
                !whole
            }
        };
        if damaged {
            named_count += 1;
        } else {
            harmless += 1;
        }
    }
    report(&format!(
        "{images} damaged images: {named_count} noticed, {harmless} harmless, nothing read that was not written (seed \
         {seed:#x})"
    ));
    assert!(
        named_count * 4 > images,
        "seed {seed:#x}: only {named_count} were noticed"
    );
}
