//! Putting a backup in the place of a store: read through first, and what it replaces is kept beside it.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::check::{Checked, check_file};
use super::{Unfinished, beside, copy, existing, open_alone, sync, unwritable};
use crate::base::clock::Instant;
use crate::store::sqlite::lock::FolderLock;
use crate::store::sqlite::{connect, lineage, read_failed};
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

/// Gives the old database and its log a second name, then takes the log away from the first one. If the process
/// ends in between, the database is older than what was sent from here, which the next start finds out.
fn set_aside(database: &Path, now: Instant) -> Result<Option<PathBuf>, StoreError> {
    if !database.exists() {
        return Ok(None);
    }
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
    Ok(Some(kept))
}
