//! The write-ahead log stays small: it is emptied when nobody reads an old state of the database, and somebody is told
//! when that never happens.
//!
//! Our own readers hold a state for one statement. Another program may hold one for ever, and then nothing but its end
//! lets the log be emptied.

use std::path::PathBuf;

use super::care::check::LOG_BYTES_MAX;
use super::writer::Writer;

/// How often the log is looked at, in transactions.
const LOOK_EVERY: u32 = 16;
/// From this size on the log is emptied by force: SQLite does it by itself long before, if readers let it.
const FORCED_BYTES: u64 = 48 * 1024 * 1024;
/// After a vain attempt the log has to grow by so much before the next one, which holds everybody up for a moment.
const STEP_BYTES: u64 = 16 * 1024 * 1024;

/// What is known of the log.
#[derive(Debug)]
pub(super) struct Growth {
    path: PathBuf,
    transactions: u32,
    /// The size at which it is tried next.
    try_at: u64,
    /// The size that was told last.
    told: u64,
}

impl Growth {
    /// A watch on the log of this database.
    pub(super) fn of(database: &std::path::Path) -> Self {
        let mut path = database.as_os_str().to_owned();
        path.push("-wal");
        Self {
            path: path.into(),
            transactions: 0,
            try_at: FORCED_BYTES,
            told: 0,
        }
    }

    /// The size of the log, if it is time to do something about it.
    fn excess(&mut self) -> Option<u64> {
        self.transactions += 1;
        if self.transactions < LOOK_EVERY {
            return None;
        }
        self.transactions = 0;
        let bytes = std::fs::metadata(&self.path).map_or(0, |file| file.len());
        if bytes < FORCED_BYTES {
            self.try_at = FORCED_BYTES;
            self.told = 0;
        }
        (bytes >= self.try_at).then_some(bytes)
    }
}

impl Writer {
    /// Empties the log if it has grown too large, between two transactions.
    pub(super) async fn keep_log_small(&mut self) {
        let Some(bytes) = self.growth.excess() else {
            return;
        };
        self.growth.try_at = bytes + STEP_BYTES;
        match self.empty_log().await {
            Ok(true) => self.growth.try_at = FORCED_BYTES,
            Ok(false) if bytes >= LOG_BYTES_MAX.max(self.growth.told * 2) => {
                self.growth.told = bytes;
                tracing::error!(
                    mebibytes = bytes / (1024 * 1024),
                    "the log of the store cannot be emptied: another program keeps reading an old state of it (a copy \
                     that hangs, a shell with an open transaction). End that program before the disk is full"
                );
            }
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, "the log of the store could not be emptied; it is tried again"),
        }
    }

    /// Whether it could be done.
    async fn empty_log(&mut self) -> Result<bool, sqlx::Error> {
        // Everybody waits meanwhile: long enough for a statement of a reader, no longer.
        sqlx::query("PRAGMA busy_timeout = 50")
            .execute(&mut self.connection)
            .await?;
        let emptied = sqlx::query_as("PRAGMA wal_checkpoint(TRUNCATE)")
            .fetch_one(&mut self.connection)
            .await;
        sqlx::query("PRAGMA busy_timeout = 10000")
            .execute(&mut self.connection)
            .await?;
        let (busy, _, _): (i64, i64, i64) = emptied?;
        Ok(busy == 0)
    }
}
