//! Looking after a store, by commands and never by chores: [`check`], [`backup`] and [`restore`], [`retain`].
//!
//! Checking and backing up go on beside a daemon; whatever changes the database takes its lock first. Must not know
//! workflows or providers.

pub mod backup;
pub mod check;
pub mod restore;
pub mod retain;

use std::fs::File;
use std::path::{Path, PathBuf};

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection as _, SqliteConnection};

use super::{connect, read_failed};
use crate::base::ids::random_uuid;
use crate::store::StoreError;

/// The file, refused if it is not there: the database would report something stranger.
fn existing(path: &Path) -> Result<PathBuf, StoreError> {
    match path.canonicalize() {
        Ok(path) if path.is_file() => Ok(path),
        Ok(path) => Err(StoreError::NotFound(format!("the file {}", path.display()))),
        Err(_) => Err(StoreError::NotFound(format!("the file {}", path.display()))),
    }
}

/// A file that is being written, gone again unless it is kept.
struct Unfinished(PathBuf);

impl Unfinished {
    /// An empty file that only its owner may read, in a folder.
    fn within(folder: &Path) -> Result<Self, StoreError> {
        let path = folder.join(format!(".bursar-{}.part", random_uuid().simple()));
        drop(connect::private_file(&path)?);
        Ok(Self(path))
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        for ending in ["", "-journal", "-wal", "-shm"] {
            // Most of them were never there.
            drop(std::fs::remove_file(beside(&self.0, ending)));
        }
    }
}

/// The name of a file that belongs to a database: its log, its journal.
fn beside(database: &Path, ending: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

/// Copies a database as it stands at one moment, its log included, into an empty file.
async fn copy(from: &SqliteConnectOptions, to: &Path) -> Result<(), StoreError> {
    // Absolute, so that no name can be taken for an address.
    let target = to
        .to_str()
        .filter(|_| to.is_absolute())
        .ok_or_else(|| StoreError::Unavailable(format!("{} is no name that a database can have", to.display())))?;
    let mut connection = connect::connect(from).await?;
    let copied = sqlx::query("VACUUM INTO $1")
        .bind(target)
        .execute(&mut connection)
        .await;
    connection.close().await.map_err(read_failed)?;
    copied.map(drop).map_err(read_failed)
}

/// Opens a copy that nobody else knows of, to be written without a log beside it.
async fn open_alone(path: &Path) -> Result<SqliteConnection, StoreError> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .journal_mode(sqlx::sqlite::SqliteJournalMode::Delete)
        .synchronous(sqlx::sqlite::SqliteSynchronous::Full);
    connect::connect(&options).await
}

/// Forces a file or a folder to the disk.
fn sync(path: &Path) -> Result<(), StoreError> {
    File::open(path)
        .and_then(|file| file.sync_all())
        .map_err(|error| unwritable(path, &error))
}

fn unwritable(path: &Path, error: &std::io::Error) -> StoreError {
    StoreError::Unavailable(format!("{} cannot be written: {error}", path.display()))
}

fn length(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |file| file.len())
}
