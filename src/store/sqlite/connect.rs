//! Opening the file: folder and permissions, pragmas and their proof, migrations, what is made once.
//!
//! SQLite silently takes an unknown setting for another one, so what was asked is read back, and a store
//! that does not keep what it is told is refused. Must not know runs or events.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{Connection as _, SqlSafeStr as _, SqliteConnection};

use super::meta::Meta;
use super::{Durability, SqliteOptions, unavailable};
use crate::base::guard::{Guard, holds};
use crate::base::ids::Digest;
use crate::base::limits::GROUP_COMMIT_WRITES_MAX;
use crate::store::StoreError;

/// The file inside the folder.
const FILE: &str = "bursar.db";

/// Every change of the schema, in order. A published one is never edited.
const MIGRATIONS: &[(i64, &str, &str)] = &[(1, "initial", include_str!("../migrations/sqlite/0001_initial.sql"))];

/// Waiting for somebody else's write: a backup, or a person with a shell.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// What stays of the write-ahead log once its content is in the main file.
const WAL_BYTES_KEPT: u32 = 32 * 1024 * 1024;
/// Pages in the write-ahead log after which they are moved into the main file.
const CHECKPOINT_PAGES: u32 = 8_000;
/// Memory for pages, in KiB (a negative number means KiB to SQLite).
const CACHE_KIB: i32 = -16_384;
/// Compiled statements kept by a connection: all there are.
const STATEMENTS_KEPT: usize = 128;

/// The file of the store in this folder.
pub(super) fn file_in(folder: &Path) -> PathBuf {
    folder.join(FILE)
}

/// Makes the folder, for its owner alone, if it is not there.
pub(super) fn prepare_folder(folder: &Path) -> Result<(), StoreError> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder).map_err(|error| {
        StoreError::Unavailable(format!(
            "the folder {} cannot be made: {error}; make it writable for this user, or name another folder",
            folder.display()
        ))
    })
}

/// Proves that files can be made in the folder, and that what stands where SQLite keeps its own is what it takes it
/// for: of its own words for that, none says what to do.
pub(super) fn prove_folder(folder: &Path) -> Result<(), StoreError> {
    let probe = folder.join("bursar.probe");
    File::create(&probe)
        .and_then(|_| std::fs::remove_file(&probe))
        .map_err(|error| {
            StoreError::Unavailable(format!(
                "nothing can be written into {}: {error}; the folder has to be writable for this user",
                folder.display()
            ))
        })?;
    for suffix in ["-wal", "-shm"] {
        let path = folder.join(format!("{FILE}{suffix}"));
        if path.symlink_metadata().is_ok() {
            drop(private_file(&path)?);
        }
    }
    Ok(())
}

/// Opens a file for reading and writing, made if absent, that only its owner may read.
pub(super) fn private_file(path: &Path) -> Result<File, StoreError> {
    let refused = |why: String| StoreError::Unavailable(format!("{} cannot be written: {why}", path.display()));
    // Reading from a pipe would wait for ever.
    if std::fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        return Err(refused("it is not a file; move it away".to_owned()));
    }
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let made = options.open(path).and_then(|file| {
        #[cfg(unix)]
        file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        Ok(file)
    });
    made.map_err(|error| refused(format!("{error}; the folder has to be writable for this user")))
}

/// How the writer connects.
pub(super) fn writing(folder: &Path, options: SqliteOptions) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(file_in(folder))
        .create_if_missing(false)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(match options.durability {
            Durability::Full if holds(Guard::Synchronous) => SqliteSynchronous::Full,
            Durability::Full | Durability::Normal => SqliteSynchronous::Normal,
        })
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        .pragma("journal_size_limit", WAL_BYTES_KEPT.to_string())
        .pragma("wal_autocheckpoint", CHECKPOINT_PAGES.to_string())
        .pragma("cache_size", CACHE_KIB.to_string())
        .statement_cache_capacity(STATEMENTS_KEPT)
        .row_buffer_size(GROUP_COMMIT_WRITES_MAX * 2)
        .thread_name(|_| "store-writer".to_owned())
}

/// How readers connect. They cannot write, whatever they are asked.
pub(super) fn reading(folder: &Path) -> SqliteConnectOptions {
    reading_file(&file_in(folder))
}

/// How to read another file, such as a backup.
pub(super) fn reading_file(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .read_only(true)
        .busy_timeout(BUSY_TIMEOUT)
        .statement_cache_capacity(STATEMENTS_KEPT)
        .thread_name(|number| format!("store-reader-{number}"))
}

/// Proves that SQLite took the settings that durability rests on.
pub(super) async fn prove_settings(
    connection: &mut SqliteConnection,
    options: SqliteOptions,
) -> Result<(), StoreError> {
    let journal_mode: String = sqlx::query_scalar("PRAGMA journal_mode")
        .fetch_one(&mut *connection)
        .await
        .map_err(unavailable)?;
    let mut wrong = Vec::new();
    if journal_mode != "wal" {
        wrong.push(format!("journal_mode is {journal_mode}, not wal"));
    }
    let synchronous = match options.durability {
        Durability::Full => 2,
        Durability::Normal => 1,
    };
    let busy_timeout = i64::try_from(BUSY_TIMEOUT.as_millis()).expect("a few seconds");
    let expected = [
        ("synchronous", "PRAGMA synchronous", synchronous),
        ("foreign_keys", "PRAGMA foreign_keys", 1),
        ("busy_timeout", "PRAGMA busy_timeout", busy_timeout),
        (
            "journal_size_limit",
            "PRAGMA journal_size_limit",
            i64::from(WAL_BYTES_KEPT),
        ),
    ];
    for (name, question, wanted) in expected {
        let found: i64 = sqlx::query_scalar(question)
            .fetch_one(&mut *connection)
            .await
            .map_err(unavailable)?;
        if found != wanted {
            wrong.push(format!("{name} is {found}, not {wanted}"));
        }
    }
    if wrong.is_empty() {
        return Ok(());
    }
    Err(StoreError::Unavailable(format!(
        "the database does not keep its settings ({}); a folder on a local disk is needed",
        wrong.join(", ")
    )))
}

/// The schema this program knows.
fn known_schema() -> i64 {
    MIGRATIONS.last().map_or(0, |(number, ..)| *number)
}

fn migrations() -> impl Iterator<Item = Migration> {
    MIGRATIONS.iter().map(|(number, name, sql)| {
        Migration::new(
            *number,
            (*name).into(),
            MigrationType::Simple,
            sql.into_sql_str(),
            false,
        )
    })
}

/// That a change of the schema was made by other words than this program has for it.
fn other_words() -> StoreError {
    StoreError::Unavailable(
        "its schema was made by other words than this program has for it: it belongs to another build of bursar; use \
         that one, or restore a backup that this one made"
            .to_owned(),
    )
}

/// The newest schema that was applied to the file; 0 for a new one.
async fn schema_of(connection: &mut SqliteConnection) -> Result<i64, StoreError> {
    let migrated: i64 =
        sqlx::query_scalar("SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = '_sqlx_migrations'")
            .fetch_one(&mut *connection)
            .await
            .map_err(unavailable)?;
    if migrated == 0 {
        return Ok(0);
    }
    sqlx::query_scalar("SELECT coalesce(max(version), 0) FROM _sqlx_migrations")
        .fetch_one(connection)
        .await
        .map_err(unavailable)
}

/// Refuses a file that a later version of this program wrote, and brings an older one up to date.
pub(super) async fn migrate(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let (found, known) = (schema_of(connection).await?, known_schema());
    if found > known {
        return Err(StoreError::Newer { found, known });
    }
    Migrator::with_migrations(migrations().collect())
        .run_direct(None, connection, false)
        .await
        .map_err(|error| match error {
            MigrateError::VersionMismatch(_) => other_words(),
            error => StoreError::Unavailable(format!("the schema cannot be brought up to date: {error}")),
        })
}

/// Refuses a file whose schema is not exactly the one this program reads.
pub(super) async fn prove_schema(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let (found, known) = (schema_of(connection).await?, known_schema());
    if found > known {
        return Err(StoreError::Newer { found, known });
    }
    if found < known {
        return Err(StoreError::Unavailable(format!(
            "it was written by an older bursar (schema {found}, this program reads {known}): start the daemon once"
        )));
    }
    let applied: Vec<(i64, Vec<u8>)> =
        sqlx::query_as("SELECT version, checksum FROM _sqlx_migrations ORDER BY version")
            .fetch_all(connection)
            .await
            .map_err(unavailable)?;
    let known = migrations().map(|migration| (migration.version, migration.checksum.to_vec()));
    match known.eq(applied) {
        true => Ok(()),
        false => Err(other_words()),
    }
}

/// Makes the installation secret of a new store. One that has runs had its secret: with another, the keys of what was sent
/// would be others, and it would be paid again.
pub(super) async fn ensure_secret(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    if Meta::InstallationSecret.kept(&mut *connection).await?.is_some() {
        return Ok(());
    }
    let a_run: Option<i64> = sqlx::query_scalar("SELECT 1 FROM run LIMIT 1")
        .fetch_optional(&mut *connection)
        .await
        .map_err(unavailable)?;
    if a_run.is_some() {
        return Err(Meta::InstallationSecret.corrupt("it is missing, and there are runs that were made with it"));
    }
    let mut secret = [0u8; 32];
    getrandom::fill(&mut secret)
        .map_err(|error| StoreError::Unavailable(format!("the system gives no random bytes: {error}")))?;
    Meta::InstallationSecret
        .keep(connection, &Digest::of([secret.as_slice()]).to_string())
        .await
        .map_err(unavailable)
}

/// Connects one connection.
pub(super) async fn connect(options: &SqliteConnectOptions) -> Result<SqliteConnection, StoreError> {
    SqliteConnection::connect_with(options).await.map_err(unavailable)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found wrong after the statement, with a store opened so.
    async fn found(durability: Durability, statement: &'static str) -> String {
        let folder = tempfile::tempdir().expect("a folder");
        let opened = SqliteOptions {
            durability,
            ..SqliteOptions::default()
        };
        drop(private_file(&file_in(folder.path())).expect("made"));
        let mut connection = connect(&writing(folder.path(), opened)).await.expect("connected");
        sqlx::query(statement).execute(&mut connection).await.expect("taken");
        let proof = prove_settings(&mut connection, SqliteOptions::default()).await;
        connection.close().await.expect("closed");
        proof.map_or_else(|error| error.to_string(), |()| "nothing".to_owned())
    }

    #[tokio::test]
    async fn a_setting_that_was_not_taken_is_found_out() {
        let (full, normal) = (Durability::Full, Durability::Normal);
        for (durability, statement, expected) in [
            (full, "SELECT 1", "nothing"),
            (normal, "SELECT 1", "synchronous is 1, not 2"),
            // What SQLite makes of a word it does not know.
            (full, "PRAGMA synchronous = FULLL", "synchronous is 1, not 2"),
            (full, "PRAGMA foreign_keys = off", "foreign_keys is 0, not 1"),
            (full, "PRAGMA journal_mode = delete", "journal_mode is delete, not wal"),
        ] {
            let found = found(durability, statement).await;
            assert!(found.contains(expected), "{statement}: {found}");
        }
    }
}
