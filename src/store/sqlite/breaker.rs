//! Connections on which nothing new is begun: one row for each.

use super::read_failed;
use super::reader::Reader;
use super::writer::{Halt, Writer};
use crate::model::breaker::{Cause, Tripped};
use crate::store::StoreError;
use crate::store::codec::{instant, nanos};

impl Writer {
    /// Keeps that nothing new is begun on a connection, or that it is.
    pub(super) async fn set_breaker(&mut self, connection: &str, tripped: Option<Tripped>) -> Result<(), Halt> {
        let Some(tripped) = tripped else {
            sqlx::query("DELETE FROM breaker WHERE connection = $1")
                .bind(connection)
                .execute(&mut self.connection)
                .await?;
            return Ok(());
        };
        sqlx::query(
            "INSERT OR REPLACE INTO breaker (connection, since, probe_at, cause, reason) VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(connection)
        .bind(nanos(tripped.since))
        .bind(nanos(tripped.probe_at))
        .bind(tripped.cause.name())
        .bind(tripped.reason)
        .execute(&mut self.connection)
        .await?;
        Ok(())
    }
}

impl Reader {
    pub(super) async fn breakers(&self) -> Result<Vec<Tripped>, StoreError> {
        let rows: Vec<(String, i64, i64, String, String)> =
            sqlx::query_as("SELECT connection, since, probe_at, cause, reason FROM breaker ORDER BY connection")
                .fetch_all(self.pool())
                .await
                .map_err(read_failed)?;
        let tripped = |(connection, since, probe_at, cause, reason): (_, _, _, String, _)| Tripped {
            connection,
            since: instant(since),
            probe_at: instant(probe_at),
            cause: Cause::of(&cause),
            reason,
        };
        Ok(rows.into_iter().map(tripped).collect())
    }
}
