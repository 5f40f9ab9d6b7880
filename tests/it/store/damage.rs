//! Torn and damaged files: what was answered is there up to the damage, or the damage is named. Never a panic.
//!
//! `BURSAR_IMAGES` sets how many damaged images (10,000 if not set), `BURSAR_SEED` replays them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bursar::base::ids::RunId;
use bursar::store::sqlite::care::backup::backup;
use bursar::store::sqlite::care::check::{check, check_file};
use bursar::store::sqlite::{Durability, SqliteOptions, SqliteStore};
use bursar::store::{Append, Sign, Store as _, StoreError};

use super::make::*;
use crate::support::{number, report};

/// At once: enough that one works while another waits for its threads.
const AT_ONCE: u64 = 4;
/// Nothing here has to survive what comes after it.
const HASTY: SqliteOptions = SqliteOptions {
    durability: Durability::Normal,
    ..OPTIONS
};

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

/// The files of a store as they stood: these names of the image under those names.
fn copy(image: &Image, into: &Path, files: &[(&str, &str)]) {
    for name in ["bursar.db", "bursar.db-wal", "bursar.db-shm", "bursar.sent", "backup"] {
        drop(fs::remove_file(into.join(name)));
    }
    for (from, to) in files {
        fs::copy(image.folder.join(from), into.join(to)).expect("copied");
    }
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
            let store = SqliteStore::open(folder, HASTY).await.expect("opened");
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

/// Whether the damage was noticed.
async fn damaged(image: &Image, folder: &Path, number: u64, random: &mut fastrand::Rng, what: &str) -> bool {
    let whole = [
        ("bursar.db", "bursar.db"),
        ("bursar.db-wal", "bursar.db-wal"),
        ("bursar.sent", "bursar.sent"),
    ];
    let log = folder.join("bursar.db-wal");
    match number % 4 {
        0 => {
            copy(image, folder, &whole);
            let length = random.u64(..fs::metadata(&log).expect("there").len());
            let file = fs::File::options().write(true).open(&log).expect("opened");
            file.set_len(length).expect("cut");
            judge_log(image, folder, length, what).await
        }
        1 => {
            copy(image, folder, &whole);
            let place = flip(&log, random);
            judge_log(image, folder, place, what).await
        }
        kind => {
            let found = if kind == 2 {
                copy(image, folder, &[("backup", "backup")]);
                let file = folder.join("backup");
                flip(&file, random);
                check_file(&file).await
            } else {
                // The database itself, with everything in it.
                copy(
                    image,
                    folder,
                    &[("backup", "bursar.db"), ("bursar.sent", "bursar.sent")],
                );
                flip(&folder.join("bursar.db"), random);
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
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_torn_or_flipped_is_either_harmless_or_named() {
    let seed = number("BURSAR_SEED", fastrand::u64(..));
    let images = number("BURSAR_IMAGES", 10_000);
    let made = tempfile::tempdir().expect("a folder");
    let image = Arc::new(image(made.path()).await);
    let parts = (0..AT_ONCE).map(|part| {
        let image = image.clone();
        tokio::spawn(async move {
            let scratch = tempfile::tempdir().expect("a folder");
            let mut noticed = 0;
            for number in (part..images).step_by(usize::try_from(AT_ONCE).expect("few")) {
                let mut random = fastrand::Rng::with_seed(seed.wrapping_add(number));
                let what = format!("seed {seed:#x}, image {number}");
                // Neighbours are of another kind, so that each part has all of them.
                let kind = number / AT_ONCE;
                noticed += u64::from(damaged(&image, scratch.path(), kind, &mut random, &what).await);
            }
            noticed
        })
    });
    let mut noticed = 0;
    for part in parts.collect::<Vec<_>>() {
        noticed += part.await.expect("no image is misread");
    }
    report(&format!(
        "{images} damaged images: {noticed} noticed, {} harmless, nothing read that was not written (seed {seed:#x})",
        images - noticed
    ));
    assert!(noticed * 4 > images, "seed {seed:#x}: only {noticed} were noticed");
}
