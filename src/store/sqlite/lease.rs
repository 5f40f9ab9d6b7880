//! Leases: which worker drives which run, and when a run comes back to the queue.

use std::collections::HashSet;

use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::append::Driven;
use super::rows::{run_columns, run_of};
use super::writer::{Halt, Writer};
use crate::base::clock::Instant;
use crate::base::ids::{RunId, WorkerId};
use crate::model::run::RunError;
use crate::store::codec::{instant, nanos, text_of};
use crate::store::{Claim, Lease, StoreError};

impl Writer {
    /// Takes the oldest queued runs. One whose row or journal cannot be read is parked, so that it does not
    /// stop the others.
    pub(super) async fn claim(
        &mut self,
        worker: WorkerId,
        now: Instant,
        lease_until: Instant,
        limit: u32,
    ) -> Result<Vec<Claim>, Halt> {
        // A bare `LIMIT $4` would be part of the plan, and every other limit would have it made anew.
        let rows = sqlx::query(concat!(
            "UPDATE run SET state = 'running', fence = fence + 1, worker = $1, lease_until = $2, \
                    started_at = coalesce(started_at, $3), turns = turns + 1 \
             WHERE id IN (SELECT id FROM run WHERE state = 'queued' ORDER BY id LIMIT $4 + 0) \
             RETURNING ",
            run_columns!(),
            ", run.fence, run.cancel_note"
        ))
        .bind(worker.to_string())
        .bind(nanos(lease_until))
        .bind(nanos(now))
        .bind(limit)
        .fetch_all(&mut self.connection)
        .await?;
        let mut claims = Vec::with_capacity(rows.len());
        for row in &rows {
            match self.claimed(worker, row).await {
                Ok(claim) => claims.push(claim),
                Err(Halt::Refused(error)) => self.park_damaged(row, &error).await?,
                Err(failed @ Halt::Failed(_)) => return Err(failed),
            }
        }
        claims.sort_by_key(|claim| claim.run.id);
        Ok(claims)
    }

    async fn claimed(&mut self, worker: WorkerId, row: &SqliteRow) -> Result<Claim, Halt> {
        let run = run_of(row)?;
        let fence: i64 = row
            .try_get("fence")
            .map_err(|error| super::rows::corrupt(run.id, error))?;
        // Only a turn writes a journal, and this may be the first.
        let records = if run.turns > 1 {
            self.records_of(run.id).await?
        } else {
            Vec::new()
        };
        let lease = Lease {
            run: run.id,
            worker,
            fence,
        };
        let driven = Driven {
            worker,
            fence,
            workflow: run.workflow.clone(),
            created_at: run.created_at,
            last_seq: records.last().map_or(0, |record| record.seq),
            cancel_note: row.try_get("cancel_note")?,
        };
        self.driven.insert(run.id, driven);
        Ok(Claim { lease, run, records })
    }

    async fn park_damaged(&mut self, row: &SqliteRow, error: &StoreError) -> Result<(), Halt> {
        let run: String = row.try_get(0)?;
        tracing::error!(run, %error, "a run that cannot be read is parked");
        let reason = RunError {
            code: "damaged".to_owned(),
            message: error.to_string(),
            trace: Vec::new(),
        };
        sqlx::query("UPDATE run SET state = 'parked', error = $2, worker = NULL, lease_until = NULL WHERE id = $1")
            .bind(run)
            .bind(text_of(&reason))
            .execute(&mut self.connection)
            .await?;
        Ok(())
    }

    /// Extends the leases of these runs, as far as this worker has them.
    pub(super) async fn renew(&mut self, worker: WorkerId, runs: &[RunId], lease_until: Instant) -> Result<(), Halt> {
        let statement = "UPDATE run SET lease_until = $2 \
             WHERE state = 'running' AND worker = $1 AND id IN (SELECT value FROM json_each($3))";
        sqlx::query(statement)
            .bind(worker.to_string())
            .bind(nanos(lease_until))
            .bind(text_of(&runs))
            .execute(&mut self.connection)
            .await?;
        Ok(())
    }

    /// Queues what is due.
    pub(super) async fn wake_due(&mut self, now: Instant) -> Result<(u64, Option<Instant>), Halt> {
        let woken = sqlx::query(
            "UPDATE run SET state = 'queued', wake_at = NULL, wait_connection = NULL, wait_subject = NULL, \
                    wait_filter = NULL \
             WHERE state = 'waiting' AND wake_at IS NOT NULL AND wake_at <= $1",
        )
        .bind(nanos(now))
        .execute(&mut self.connection)
        .await?
        .rows_affected();
        let lapsed: Vec<String> = sqlx::query_scalar(
            "UPDATE run SET state = 'queued', worker = NULL, lease_until = NULL \
             WHERE state = 'running' AND lease_until <= $1 RETURNING id",
        )
        .bind(nanos(now))
        .fetch_all(&mut self.connection)
        .await?;
        let lapsed: HashSet<String> = lapsed.into_iter().collect();
        if !lapsed.is_empty() {
            self.driven.retain(|run, _| !lapsed.contains(&run.to_string()));
        }
        let lapsed = u64::try_from(lapsed.len()).unwrap_or(u64::MAX);
        let next: Option<i64> = sqlx::query_scalar("SELECT min(wake_at) FROM run WHERE wake_at IS NOT NULL")
            .fetch_one(&mut self.connection)
            .await?;
        Ok((woken + lapsed, next.map(instant)))
    }

    /// Queues everything that runs.
    pub(super) async fn reclaim_all(&mut self) -> Result<u64, Halt> {
        let done =
            sqlx::query("UPDATE run SET state = 'queued', worker = NULL, lease_until = NULL WHERE state = 'running'")
                .execute(&mut self.connection)
                .await?;
        self.driven.clear();
        Ok(done.rows_affected())
    }
}

/// The name of a run that is not there.
pub(super) fn missing(run: RunId) -> StoreError {
    StoreError::NotFound(run.to_string())
}
