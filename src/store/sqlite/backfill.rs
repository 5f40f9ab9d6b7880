//! From when each provider's own list of events is read next: one row for each connection.

use super::read_failed;
use super::reader::Reader;
use super::writer::{Halt, Writer};
use crate::base::clock::Instant;
use crate::store::StoreError;
use crate::store::codec::{instant, nanos};

impl Writer {
    /// Keeps from when a list is read next.
    pub(super) async fn set_backfill_from(&mut self, connection: &str, reads_from: Instant) -> Result<(), Halt> {
        sqlx::query("INSERT OR REPLACE INTO backfill (connection, reads_from) VALUES ($1, $2)")
            .bind(connection)
            .bind(nanos(reads_from))
            .execute(&mut self.connection)
            .await?;
        Ok(())
    }
}

impl Reader {
    pub(super) async fn backfill_from(&self, connection: &str) -> Result<Option<Instant>, StoreError> {
        let from: Option<i64> = sqlx::query_scalar("SELECT reads_from FROM backfill WHERE connection = $1")
            .bind(connection)
            .fetch_optional(self.pool())
            .await
            .map_err(read_failed)?;
        Ok(from.map(instant))
    }
}
