//! From when each provider's own list of events is read next: one row for each connection.

use super::read_failed;
use super::reader::Reader;
use super::writer::{Halt, Writer};
use crate::base::clock::Instant;
use crate::store::codec::{instant, nanos};
use crate::store::{BackfillMark, StoreError};

impl Writer {
    /// Keeps from when a list is read next.
    pub(super) async fn set_backfill_from(&mut self, connection: &str, reads_from: Instant) -> Result<(), Halt> {
        sqlx::query(
            "INSERT INTO backfill (connection, first_at, reads_from) VALUES ($1, $2, $2) \
             ON CONFLICT (connection) DO UPDATE SET reads_from = excluded.reads_from",
        )
        .bind(connection)
        .bind(nanos(reads_from))
        .execute(&mut self.connection)
        .await?;
        Ok(())
    }
}

impl Reader {
    pub(super) async fn backfill_from(&self, connection: &str) -> Result<Option<BackfillMark>, StoreError> {
        let row: Option<(i64, i64)> = sqlx::query_as("SELECT first_at, reads_from FROM backfill WHERE connection = $1")
            .bind(connection)
            .fetch_optional(self.pool())
            .await
            .map_err(read_failed)?;
        Ok(row.map(|(first_at, from)| BackfillMark {
            first_at: instant(first_at),
            from: instant(from),
        }))
    }
}
