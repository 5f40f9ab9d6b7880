//! What a store gives away again: runs that ended long ago with their journals, events they came from, reasons for which
//! none were made, and the room that leaves.
//!
//! What is still needed is never touched: a run that has not ended, an event that no runs were made from yet (or none of a
//! workflow that does not load) or that a run refers to, the run that the witness names, and anything a provider may still
//! repeat. Of an event that would not be known as an old one if it came again, or by which others are known as old news,
//! the names stay without the payload.

use std::path::Path;

use chrono::TimeDelta;
use serde::Serialize;
use sqlx::{Connection as _, SqliteConnection};

use super::{beside, length};
use crate::base::clock::Instant;
use crate::base::guard::{Guard, holds};
use crate::store::StoreError;
use crate::store::codec::nanos;
use crate::store::sqlite::lock::FolderLock;
use crate::store::sqlite::rows::blob;
use crate::store::sqlite::witness::{Testimony, Witness};
use crate::store::sqlite::{SqliteOptions, connect, pruned, read_failed};

/// A webhook may come again for so long, and has to be known then.
pub const KEPT_DAYS_MIN: i64 = 30;

/// What was pruned, or would be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Pruned {
    /// Runs that ended before the date.
    pub runs: u64,
    /// Entries of their journals.
    pub entries: u64,
    /// Events received before it: with their payloads, if not with their names.
    pub events: u64,
    /// Reasons for which runs were not made before it.
    pub unmade: u64,
}

/// What the database took before and takes now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Vacuumed {
    /// Before.
    pub bytes_before: u64,
    /// Now.
    pub bytes_after: u64,
}

/// Up to which event every workflow was asked.
macro_rules! routed_by_all {
    () => {
        "(SELECT min(mark) FROM (SELECT mark FROM router UNION ALL SELECT mark FROM behind))"
    };
}

/// Up to when, and to which event, no run that has not ended may look back.
macro_rules! looked_back_to {
    () => {
        " AND event.received_at < coalesce((SELECT min(created_at) FROM run \
              WHERE state <> 'succeeded' AND state NOT IN ('failed', 'cancelled')), $1) \
          AND event.mark <= coalesce((SELECT min(since_mark) FROM run \
              WHERE state <> 'succeeded' AND state NOT IN ('failed', 'cancelled')), event.mark)"
    };
}

/// Runs to be pruned: `$1` is the date, `$2` the run the witness names. The runs of an event go with it and with each
/// other: an event that stays without its run would look as if it had made none, and could be replayed.
macro_rules! old_runs {
    () => {
        concat!(
            "state IN ('succeeded', 'failed', 'cancelled') AND finished_at < $1 AND id IS NOT $2 \
             AND NOT EXISTS (SELECT 1 FROM event WHERE event.mark = run.event AND NOT ( \
                    event.received_at < $1 AND event.mark <= ",
            routed_by_all!(),
            looked_back_to!(),
            ")) \
             AND NOT EXISTS (SELECT 1 FROM run AS other WHERE other.event IS NOT NULL AND other.event = run.event AND NOT ( \
                    other.state IN ('succeeded', 'failed', 'cancelled') AND other.finished_at < $1 AND other.id IS NOT $2))"
        )
    };
}

/// Events to be emptied, once the runs are gone: no run refers to them, and no run that has not ended may look back so
/// far.
macro_rules! old_events {
    () => {
        concat!(
            "received_at < $1 AND payload <> '' AND mark <= ",
            routed_by_all!(),
            looked_back_to!(),
            " AND NOT EXISTS (SELECT 1 FROM run WHERE run.event = event.mark)"
        )
    };
}

/// Takes from the events to be emptied what they say, and what was said of them.
const EMPTIED: [&str; 3] = [
    concat!(
        "DELETE FROM filtered WHERE event IN (SELECT mark FROM event WHERE ",
        old_events!(),
        ")"
    ),
    concat!(
        "DELETE FROM woken WHERE event IN (SELECT mark FROM event WHERE ",
        old_events!(),
        ")"
    ),
    concat!("UPDATE event SET payload = '' WHERE ", old_events!()),
];

/// Emptied events whose names nobody needs: `$1` is up to when events are refused as too old. One that has no date, or a
/// later one, would be new if it came again; and what tells of one thing is old news by the first of each kind.
const FORGOTTEN: &str = "DELETE FROM event WHERE payload = '' AND mark <= (SELECT mark FROM router) \
     AND (occurred_at < $1 OR $2) \
     AND (subject IS NULL OR $3 OR EXISTS ( \
         SELECT 1 FROM event AS earlier INDEXED BY event_by_subject \
         WHERE earlier.connection = event.connection AND earlier.subject = event.subject \
           AND earlier.kind = event.kind AND earlier.mark < event.mark))";

/// Removes what ended or arrived before a date. `dry`: only says what that would be.
///
/// # Errors
/// [`StoreError::Conflict`] for a date that is too near; [`StoreError::Locked`] if a daemon holds the store.
pub async fn prune(folder: &Path, before: Instant, now: Instant, dry: bool) -> Result<Pruned, StoreError> {
    if now - before < TimeDelta::days(KEPT_DAYS_MIN) {
        return Err(StoreError::Conflict(format!(
            "the last {KEPT_DAYS_MIN} days are kept, because a provider may repeat its webhooks for so long: name an \
             earlier date"
        )));
    }
    with_store(folder, async |connection, witnessed| {
        // What was damaged is not written over.
        let kept = pruned::kept(connection).await?;
        let tried = prune_in(connection, before, kept, witnessed.as_ref(), dry).await;
        tried.map_err(read_failed)
    })
    .await
}

async fn prune_in(
    connection: &mut SqliteConnection,
    before: Instant,
    pruned_before: Option<Instant>,
    witnessed: Option<&Testimony>,
    dry: bool,
) -> Result<Pruned, sqlx::Error> {
    let named = match witnessed {
        Some(Testimony::Entry { run, .. }) => Some(blob(*run)),
        _ => None,
    };
    let pruned_before = pruned_before.map_or(before, |kept| kept.max(before));
    let before = nanos(before);
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    let entries: i64 = sqlx::query_scalar(concat!(
        "SELECT count(*) FROM journal WHERE run IN (SELECT id FROM run WHERE ",
        old_runs!(),
        ")"
    ))
    .bind(before)
    .bind(named.clone())
    .fetch_one(&mut *transaction)
    .await?;
    // Their journals and inputs go with them.
    let runs = sqlx::query(concat!("DELETE FROM run WHERE ", old_runs!()))
        .bind(before)
        .bind(named)
        .execute(&mut *transaction)
        .await?;
    let mut events = 0;
    for statement in EMPTIED {
        let emptied = sqlx::query(statement).bind(before).execute(&mut *transaction).await?;
        events = emptied.rows_affected();
    }
    let forgotten = sqlx::query(FORGOTTEN)
        .bind(nanos(pruned_before))
        .bind(!holds(Guard::UndatedKept))
        .bind(!holds(Guard::RanksKept))
        .execute(&mut *transaction)
        .await?;
    let unmade = sqlx::query("DELETE FROM unmade WHERE at < $1")
        .bind(before)
        .execute(&mut *transaction)
        .await?;
    if forgotten.rows_affected() > 0 {
        pruned::keep(&mut transaction, pruned_before).await?;
    }
    if dry {
        transaction.rollback().await?;
    } else {
        transaction.commit().await?;
    }
    Ok(Pruned {
        runs: runs.rows_affected(),
        entries: u64::try_from(entries).unwrap_or_default(),
        events,
        unmade: unmade.rows_affected(),
    })
}

/// Gives the room back that holds nothing any more. For a while it takes as much room again as the store.
///
/// # Errors
/// [`StoreError::Locked`] if a daemon holds the store.
pub async fn vacuum(folder: &Path) -> Result<Vacuumed, StoreError> {
    let path = connect::file_in(folder);
    let size = || length(&path) + length(&beside(&path, "-wal"));
    let bytes_before = size();
    with_store(folder, async |connection, _| {
        for statement in ["VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)"] {
            sqlx::query(statement)
                .execute(&mut *connection)
                .await
                .map_err(read_failed)?;
        }
        Ok(())
    })
    .await?;
    Ok(Vacuumed {
        bytes_before,
        bytes_after: size(),
    })
}

/// Does something to the database of a store that nobody else holds, told what its witness says.
async fn with_store<T>(
    folder: &Path,
    work: impl AsyncFnOnce(&mut SqliteConnection, Option<Testimony>) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    if !connect::file_in(folder).exists() {
        return Err(StoreError::Unavailable(format!(
            "there is no store in {}",
            folder.display()
        )));
    }
    let lock = FolderLock::take(folder)?;
    let options = SqliteOptions::default();
    let mut connection = connect::connect(&connect::writing(folder, options)).await?;
    connect::prove_settings(&mut connection, options).await?;
    connect::prove_schema(&mut connection).await?;
    let (_, said) = Witness::open(folder)?;
    let done = work(&mut connection, said.ok().flatten()).await;
    let closed = connection.close().await.map_err(read_failed);
    lock.release();
    let done = done?;
    closed?;
    Ok(done)
}
