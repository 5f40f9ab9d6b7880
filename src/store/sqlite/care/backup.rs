//! A backup: the whole store as it stands at one moment, in one file, made beside a daemon that goes on working.
//!
//! The copy says of itself that it is one, so that a daemon that is ever started on it knows that it may have
//! forgotten payments.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::check::{Checked, check_file};
use super::{Unfinished, copy, length, open_alone, sync, unwritable};
use crate::base::clock::Instant;
use crate::store::sqlite::{connect, lineage, read_failed};
use crate::store::{Sign, StoreError};

/// A backup that was made.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BackedUp {
    /// The file.
    pub file: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// The moment whose state it holds.
    pub at: Instant,
    /// What was found in it when it was read again.
    pub checked: Checked,
}

/// Copies the store in a folder into a new file, and reads that again from end to end.
///
/// # Errors
/// [`StoreError::Conflict`] if the file is there already: nothing is ever overwritten. [`StoreError::Corrupt`] if
/// the copy is damaged; it is then gone again.
pub async fn backup(folder: &Path, file: &Path, now: Instant) -> Result<BackedUp, StoreError> {
    let database = connect::file_in(folder);
    if !database.exists() {
        return Err(StoreError::Unavailable(format!(
            "there is no store in {}",
            folder.display()
        )));
    }
    let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    let parent = parent.canonicalize().map_err(|error| unwritable(parent, &error))?;
    let name = file
        .file_name()
        .ok_or_else(|| StoreError::Conflict(format!("{} is a folder: name the file of the backup", file.display())))?;
    let file = parent.join(name);
    if file.symlink_metadata().is_ok() {
        return Err(taken(&file));
    }
    let part = Unfinished::within(&parent)?;
    copy(&connect::reading(folder), part.path()).await?;
    let mut connection = open_alone(part.path()).await?;
    let before = lineage::kept(&mut connection).await?;
    let mark = lineage::mark(Sign::Backup, now, before.as_ref());
    lineage::keep(&mut connection, &mark).await.map_err(read_failed)?;
    sqlx::Connection::close(connection).await.map_err(read_failed)?;
    let checked = check_file(part.path()).await?;
    if let Some(first) = checked.damage.first() {
        return Err(StoreError::Corrupt(format!(
            "the backup could be written but not read again ({first}), and was removed"
        )));
    }
    sync(part.path())?;
    // A link is refused if the name was taken meanwhile; a move would take it over.
    std::fs::hard_link(part.path(), &file).map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => taken(&file),
        _ => unwritable(&file, &error),
    })?;
    drop(part);
    sync(&parent)?;
    Ok(BackedUp {
        bytes: length(&file),
        file,
        at: now,
        checked,
    })
}

fn taken(file: &Path) -> StoreError {
    StoreError::Conflict(format!(
        "{} is there already, and a backup never overwrites anything: name another file",
        file.display()
    ))
}
