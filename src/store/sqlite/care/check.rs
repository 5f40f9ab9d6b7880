//! Whether a database is whole: what SQLite says of its pages, what the rows say of each other, and whether every
//! journal that is still needed can be read. Changes nothing.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use serde::Serialize;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Row as _, SqlitePool};

use super::{beside, existing, length};
use crate::base::ids::RunId;
use crate::model::journal::Journal;
use crate::model::run::RunState;
use crate::store::sqlite::reader::Reader;
use crate::store::sqlite::rows::uuid_of;
use crate::store::sqlite::{connect, read_failed};
use crate::store::{Restored, StoreError};

/// A log larger than this is kept from being emptied by somebody.
pub const LOG_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// How every SQLite database begins.
const DATABASE_MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// What was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Checked {
    /// What is damaged in the pages, or between the rows.
    pub damage: Vec<String>,
    /// Runs that have not ended and cannot be read: they are parked when they are met, and stop no other.
    pub unreadable: Vec<String>,
    /// What needs somebody's eyes although nothing is damaged.
    pub warnings: Vec<String>,
    /// Runs in each state.
    pub runs: BTreeMap<RunState, u64>,
    /// Journals read from end to end: those of all runs that have not ended.
    pub journals: u64,
    /// Entries in them.
    pub entries: u64,
    /// Events kept.
    pub events: u64,
    /// Of those, how many no runs were made from yet.
    pub unrouted: u64,
    /// The database.
    pub database_bytes: u64,
    /// Of that, what holds nothing.
    pub free_bytes: u64,
    /// The write-ahead log beside it.
    pub log_bytes: u64,
    /// What is known of an older state that was put back.
    pub restored: Option<Restored>,
}

/// Checks the store in a folder, also beside a daemon.
///
/// # Errors
/// [`StoreError::Corrupt`] when it is too damaged to be looked at; [`StoreError::Unavailable`] when there is none.
pub async fn check(folder: &Path) -> Result<Checked, StoreError> {
    let path = connect::file_in(folder);
    if !path.exists() {
        return Err(StoreError::Unavailable(format!(
            "there is no store in {}",
            folder.display()
        )));
    }
    check_with(&path, connect::reading(folder)).await
}

/// Checks a backup.
///
/// # Errors
/// As [`check`]; [`StoreError::NotFound`] when there is no such file.
pub async fn check_file(path: &Path) -> Result<Checked, StoreError> {
    let path = existing(path)?;
    if !is_database(&path) {
        return Err(StoreError::Conflict(format!(
            "{} is no backup of a store: it does not begin as a database does",
            path.display()
        )));
    }
    let alone = !beside(&path, "-wal").exists();
    check_with(&path, connect::reading_file(&path).immutable(alone)).await
}

/// Whether a file begins as every SQLite database does, but for a few damaged bytes.
fn is_database(path: &Path) -> bool {
    let mut beginning = Vec::new();
    let length = u64::try_from(DATABASE_MAGIC.len()).unwrap_or(u64::MAX);
    let read = File::open(path).and_then(|file| file.take(length).read_to_end(&mut beginning));
    let same = beginning
        .iter()
        .zip(DATABASE_MAGIC)
        .filter(|(found, expected)| found == expected);
    read.is_err() || same.count() * 2 > DATABASE_MAGIC.len()
}

impl Checked {
    /// Whether nothing at all is damaged.
    pub fn is_whole(&self) -> bool {
        self.damage.is_empty() && self.unreadable.is_empty()
    }
}

async fn check_with(path: &Path, options: SqliteConnectOptions) -> Result<Checked, StoreError> {
    let reader = Reader::connect(options).await?;
    let checked = examine(path, &reader).await;
    reader.pool().close().await;
    checked
}

async fn examine(path: &Path, reader: &Reader) -> Result<Checked, StoreError> {
    reader.prove_schema().await?;
    let pool = reader.pool();
    let mut checked = Checked {
        damage: pages(pool).await?,
        unreadable: Vec::new(),
        warnings: Vec::new(),
        runs: reader.counts().await?.into_iter().collect(),
        journals: 0,
        entries: 0,
        events: count(pool, "SELECT count(*) FROM event").await?,
        unrouted: count(
            pool,
            "SELECT count(*) FROM event WHERE mark > (SELECT mark FROM router)",
        )
        .await?,
        database_bytes: length(path),
        free_bytes: count(
            pool,
            "SELECT freelist_count * page_size FROM pragma_freelist_count, pragma_page_size",
        )
        .await?,
        log_bytes: length(&beside(path, "-wal")),
        restored: reader.restored().await?,
    };
    reader.installation_secret().await?;
    for run in unended(pool).await? {
        match read_whole(reader, run).await {
            Ok(entries) => {
                checked.journals += 1;
                checked.entries += entries;
            }
            Err(StoreError::Corrupt(message)) => checked.unreadable.push(message),
            Err(other) => return Err(other),
        }
    }
    if checked.log_bytes > LOG_BYTES_MAX {
        checked.warnings.push(format!(
            "the log beside the database has grown to {} MiB: some program keeps reading an old state of it (a copy \
             that hangs, a shell with an open transaction); end that program, and the log is emptied by the next writes",
            checked.log_bytes / (1024 * 1024)
        ));
    }
    Ok(checked)
}

async fn pages(pool: &SqlitePool) -> Result<Vec<String>, StoreError> {
    let found: Vec<String> = sqlx::query_scalar("PRAGMA integrity_check")
        .fetch_all(pool)
        .await
        .map_err(read_failed)?;
    let mut damage: Vec<String> = found.into_iter().filter(|line| line != "ok").collect();
    let orphans = sqlx::query("PRAGMA foreign_key_check")
        .fetch_all(pool)
        .await
        .map_err(read_failed)?;
    for row in &orphans {
        let table: String = row.try_get(0).map_err(read_failed)?;
        let parent: String = row.try_get(2).map_err(read_failed)?;
        damage.push(format!("a row of `{table}` belongs to no row of `{parent}`"));
    }
    Ok(damage)
}

async fn count(pool: &SqlitePool, question: &'static str) -> Result<u64, StoreError> {
    let count: i64 = sqlx::query_scalar(question)
        .fetch_one(pool)
        .await
        .map_err(read_failed)?;
    Ok(u64::try_from(count).unwrap_or_default())
}

async fn unended(pool: &SqlitePool) -> Result<Vec<RunId>, StoreError> {
    let ids: Vec<Vec<u8>> =
        sqlx::query_scalar("SELECT id FROM run WHERE state <> 'succeeded' AND state NOT IN ('failed', 'cancelled')")
            .fetch_all(pool)
            .await
            .map_err(read_failed)?;
    let id = |bytes: Vec<u8>| uuid_of(&bytes).map(RunId::from_uuid).map_err(read_failed);
    ids.into_iter().map(id).collect()
}

/// Reads a run with its version and its journal; says how many entries that has.
async fn read_whole(reader: &Reader, id: RunId) -> Result<u64, StoreError> {
    let damaged = |what: String| StoreError::Corrupt(format!("{id}: {what}"));
    let run = reader.run(id).await?;
    // It may have ended, and been pruned, since it was listed.
    let Some(run) = run else { return Ok(0) };
    let records = reader.journal(id).await?;
    let entries = u64::try_from(records.len()).unwrap_or(u64::MAX);
    Journal::from_records(records).map_err(|error| damaged(error.to_string()))?;
    if reader.version(run.version).await?.is_none() {
        return Err(damaged("its version is not in the store".to_owned()));
    }
    Ok(entries)
}
