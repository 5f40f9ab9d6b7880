//! Leases: which worker drives which run, and when a run comes back to the queue.

use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::append::Driven;
use super::rows::{blob, hex, run_columns, run_of, runs_with_input, uuid_of};
use super::writer::{Halt, Writer};
use crate::base::clock::Instant;
use crate::base::guard::{Guard, holds};
use crate::base::ids::{RunId, WorkerId};
use crate::model::quarantine::Deaths;
use crate::model::run::{RunError, RunState};
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
        // Both statements name the same runs: nobody else writes between them. A bare `LIMIT $1` would be part of the
        // plan, and every other limit would have it made anew.
        let rows = sqlx::query(concat!(
            "SELECT ",
            run_columns!(),
            ", run.fence, run.cancel_note",
            runs_with_input!(),
            "WHERE run.state = 'queued' AND run.state <> 'succeeded' ORDER BY run.id LIMIT $1 + 0; \
             UPDATE run SET state = 'running', fence = fence + 1, worker = $2, lease_until = $3, \
                    started_at = coalesce(started_at, $4), turns = turns + 1 \
             WHERE id IN (SELECT id FROM run WHERE state = 'queued' AND state <> 'succeeded' ORDER BY id LIMIT $1 + 0)"
        ))
        .bind(limit)
        .bind(worker.as_uuid().as_bytes().to_vec())
        .bind(nanos(lease_until))
        .bind(nanos(now))
        .fetch_all(&mut self.connection)
        .await?;
        let mut claims = Vec::with_capacity(rows.len());
        for row in &rows {
            match self.claimed(worker, now, lease_until, row).await {
                Ok(claim) => claims.push(claim),
                Err(Halt::Refused(error)) => self.park_damaged(row, &error).await?,
                Err(failed @ Halt::Failed(_)) => return Err(failed),
            }
        }
        Ok(claims)
    }

    /// The claim of a row as it was before.
    async fn claimed(
        &mut self,
        worker: WorkerId,
        now: Instant,
        lease_until: Instant,
        row: &SqliteRow,
    ) -> Result<Claim, Halt> {
        let mut run = run_of(row)?;
        let fence: i64 = row
            .try_get("fence")
            .map_err(|error| super::rows::corrupt(run.id, error))?;
        let fence = if holds(Guard::FenceRises) { fence + 1 } else { 1 };
        run.state = RunState::Running;
        run.started_at.get_or_insert(now);
        run.turns += 1;
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
            lease_until,
            claimed_at: now,
            entered: 0,
            told_time: false,
            workflow: run.workflow.clone(),
            created_at: run.created_at,
            last_seq: records.last().map_or(0, |record| record.seq),
            cancel_note: row.try_get("cancel_note")?,
        };
        self.driven.insert(run.id, driven);
        Ok(Claim {
            lease,
            at: now,
            run,
            records,
        })
    }

    async fn park_damaged(&mut self, row: &SqliteRow, error: &StoreError) -> Result<(), Halt> {
        let run: Vec<u8> = row.try_get(0)?;
        let name = uuid_of(&run).map_or_else(|_| "a run".to_owned(), |id| RunId::from_uuid(id).to_string());
        tracing::error!(run = name, %error, "a run that cannot be read is parked: `bursar runs show {name}`");
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
        let mut renewed = Vec::with_capacity(runs.len());
        for run in runs {
            if let Some(driven) = self.driven.get_mut(run).filter(|driven| driven.worker == worker) {
                driven.lease_until = lease_until;
                renewed.push(hex(*run));
            }
        }
        sqlx::query("UPDATE run SET lease_until = $1 WHERE id IN (SELECT unhex(value) FROM json_each($2))")
            .bind(nanos(lease_until))
            .bind(text_of(&renewed))
            .execute(&mut self.connection)
            .await?;
        Ok(())
    }

    /// Queues what is due.
    pub(super) async fn wake_due(&mut self, now: Instant) -> Result<(u64, Option<Instant>), Halt> {
        let woken = sqlx::query(
            "UPDATE run SET state = 'queued', wake_at = NULL \
             WHERE state = 'waiting' AND wake_at IS NOT NULL AND wake_at <= $1",
        )
        .bind(nanos(now))
        .execute(&mut self.connection)
        .await?
        .rows_affected();
        let lapsed = self.queue_lapsed(now).await?;
        let next: Option<i64> = sqlx::query_scalar("SELECT min(wake_at) FROM run WHERE wake_at IS NOT NULL")
            .fetch_one(&mut self.connection)
            .await?;
        Ok((woken + lapsed, next.map(instant)))
    }

    /// Queues runs nobody drives any more; says how many.
    async fn queue_lapsed(&mut self, now: Instant) -> Result<u64, Halt> {
        let lapsed: Vec<RunId> = self
            .driven
            .iter()
            .filter_map(|(run, driven)| (driven.lease_until <= now || !holds(Guard::LeaseHolds)).then_some(*run))
            .collect();
        if lapsed.is_empty() {
            return Ok(0);
        }
        sqlx::query(
            "UPDATE run SET state = 'queued', worker = NULL, lease_until = NULL \
             WHERE id IN (SELECT unhex(value) FROM json_each($1))",
        )
        .bind(text_of(&lapsed.iter().map(|run| hex(*run)).collect::<Vec<_>>()))
        .execute(&mut self.connection)
        .await?;
        for run in &lapsed {
            self.driven.remove(run);
        }
        Ok(u64::try_from(lapsed.len()).unwrap_or(u64::MAX))
    }

    /// Queues everything that runs, or parks it if the process died under it too often.
    pub(super) async fn reclaim_all(&mut self) -> Result<u64, Halt> {
        if !holds(Guard::Reclaimed) {
            return Ok(0);
        }
        let rows = sqlx::query(
            "SELECT run.id, run.turns, (SELECT coalesce(max(seq), 0) FROM journal WHERE journal.run = run.id), \
                    death.turn, death.journal, death.times \
             FROM run LEFT JOIN death ON death.run = run.id WHERE run.state = 'running' AND run.state <> 'succeeded'",
        )
        .fetch_all(&mut self.connection)
        .await?;
        // A turn of theirs has ended since.
        sqlx::query(
            "DELETE FROM death WHERE run NOT IN \
             (SELECT id FROM run WHERE state IN ('running', 'queued', 'parked') AND state <> 'succeeded')",
        )
        .execute(&mut self.connection)
        .await?;
        for row in &rows {
            let run = RunId::from_uuid(uuid_of(row.try_get(0)?)?);
            let before = match row.try_get(3)? {
                Some(turn) => Some(Deaths {
                    turn,
                    journal: row.try_get(4)?,
                    times: row.try_get(5)?,
                }),
                None => None,
            };
            let deaths = Deaths::one_more(before, row.try_get(1)?, row.try_get(2)?);
            self.died(run, deaths).await?;
        }
        self.driven.clear();
        Ok(u64::try_from(rows.len()).unwrap_or(u64::MAX))
    }

    async fn died(&mut self, run: RunId, deaths: Deaths) -> Result<(), sqlx::Error> {
        sqlx::query("INSERT OR REPLACE INTO death (run, turn, journal, times) VALUES ($1, $2, $3, $4)")
            .bind(blob(run))
            .bind(deaths.turn)
            .bind(deaths.journal)
            .bind(deaths.times)
            .execute(&mut self.connection)
            .await?;
        let verdict = deaths.verdict();
        if let Some(error) = &verdict {
            tracing::warn!(%run, code = error.code, "{}: `bursar runs show {run}`", error.message);
        }
        let state = if verdict.is_some() {
            RunState::Parked
        } else {
            RunState::Queued
        };
        sqlx::query("UPDATE run SET state = $2, error = $3, worker = NULL, lease_until = NULL WHERE id = $1")
            .bind(blob(run))
            .bind(state.name())
            .bind(verdict.as_ref().map(text_of))
            .execute(&mut self.connection)
            .await
            .map(drop)
    }
}

/// The name of a run that is not there.
pub(super) fn missing(run: RunId) -> StoreError {
    StoreError::NotFound(run.to_string())
}
