//! Putting a backup in the place of a store: read through first, and what it replaces is kept beside it.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::check::{Checked, check_file};
use super::{Unfinished, beside, copy, existing, length, open_alone, sync, unwritable};
use crate::base::clock::Instant;
use crate::base::guard::{Guard, holds};
use crate::store::sqlite::lock::FolderLock;
use crate::store::sqlite::{SqliteOptions, connect, lineage, read_failed};
use crate::store::{Sign, StoreError};

/// A backup that was put back.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PutBack {
    /// Up to when its journals are whole.
    pub since: Instant,
    /// Where the replaced database stands now, if there was one.
    pub kept: Option<PathBuf>,
    /// What was found in it.
    pub checked: Checked,
}

/// Puts a backup in the place of the store in a folder. No daemon may hold that.
///
/// # Errors
/// [`StoreError::Locked`]; [`StoreError::Corrupt`] if the backup is damaged, and nothing was changed then.
pub async fn restore(folder: &Path, file: &Path, now: Instant) -> Result<PutBack, StoreError> {
    let file = existing(file)?;
    connect::prepare_folder(folder)?;
    let folder = folder.canonicalize().map_err(|error| unwritable(folder, &error))?;
    let database = connect::file_in(&folder);
    if file == database {
        return Err(StoreError::Conflict(format!(
            "{} is the store itself: name a backup",
            file.display()
        )));
    }
    let lock = FolderLock::take(&folder)?;
    whole(check_file(&file).await?)?;
    let part = Unfinished::within(&folder)?;
    copy(&connect::reading_file(&file), part.path()).await?;
    let mut connection = open_alone(part.path()).await?;
    let mut mark = lineage::kept(&mut connection).await?;
    if mark.as_ref().is_none_or(|mark| mark.noticed_at.is_some()) {
        // Somebody copied the file by hand: it does not say that it is a backup.
        let newest = lineage::newest_entry(&mut connection).await?;
        let made = lineage::mark(Sign::Backup, newest, mark.as_ref());
        lineage::keep(&mut connection, &made).await.map_err(read_failed)?;
        mark = Some(made);
    }
    sqlx::Connection::close(connection).await.map_err(read_failed)?;
    let checked = whole(check_file(part.path()).await?)?;
    sync(part.path())?;
    fold_log(&folder).await;
    let kept = set_aside(&database, now)?;
    std::fs::rename(part.path(), &database).map_err(|error| unwritable(&database, &error))?;
    sync(&folder)?;
    lock.release();
    Ok(PutBack {
        since: mark.map_or(now, |mark| mark.since),
        kept,
        checked,
    })
}

fn whole(checked: Checked) -> Result<Checked, StoreError> {
    match checked.damage.first() {
        None => Ok(checked),
        Some(first) => Err(StoreError::Corrupt(format!(
            "the backup is damaged ({first}); the store was left as it is"
        ))),
    }
}

/// Moves what a killed process left in the log into the old database: that one is whole by itself then, whatever ends the
/// process before the backup is in its place.
async fn fold_log(folder: &Path) {
    let log = beside(&connect::file_in(folder), "-wal");
    if length(&log) == 0 || !holds(Guard::LogFolded) {
        return;
    }
    let folded = async {
        let mut old = connect::connect(&connect::writing(folder, SqliteOptions::default())).await?;
        let folded = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut old).await;
        sqlx::Connection::close(old).await.map_err(read_failed)?;
        folded.map(drop).map_err(read_failed)
    };
    // It may be replaced because it cannot be read.
    if let Err(error) = folded.await {
        tracing::warn!(%error, "the log of the store that is replaced is set aside with it");
    }
}

/// Gives the old database a second name, and its log if it has one still, then takes the log away from the first one: also
/// where there is no database any more, because it would be read into the one that comes.
fn set_aside(database: &Path, now: Instant) -> Result<Option<PathBuf>, StoreError> {
    let is_there = database.exists();
    let name = now.format("bursar-replaced-%Y%m%dT%H%M%S%.6fZ.db").to_string();
    let kept = database.with_file_name(name);
    for ending in ["", "-wal"] {
        let (from, to) = (beside(database, ending), beside(&kept, ending));
        if from.exists() {
            std::fs::hard_link(&from, &to).map_err(|error| unwritable(&to, &error))?;
        }
    }
    for ending in ["-wal", "-shm"] {
        let path = beside(database, ending);
        if path.exists() {
            std::fs::remove_file(&path).map_err(|error| unwritable(&path, &error))?;
        }
    }
    Ok(is_there.then_some(kept))
}
