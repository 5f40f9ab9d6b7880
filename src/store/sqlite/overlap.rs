//! Runs that must not overlap, and what is not made because of it.
//!
//! Who is open, who goes first and who is not made at all is decided in the write that makes the run, so two that are
//! asked for at once cannot both find the place free. That the next one begins when one ends is a trigger of the
//! schema: a run ends in many ways, and none may forget it.

use sqlx::Row as _;

use super::decide::conflict;
use super::route::{Apart, MadeRun};
use super::rows::{blob, uuid_of};
use super::writer::{Halt, Writer};
use crate::base::clock::Instant;
use crate::base::guard::{Guard, holds};
use crate::base::ids::RunId;
use crate::model::concurrency::{Concurrency, Overlap};
use crate::model::run::{Cause, RunState};
use crate::model::unmade::{Unmade, UnmadeReason};
use crate::store::Made;
use crate::store::codec::{instant, nanos, text_of};

/// Who asks for the end of runs that a newer one takes the place of.
const ACTOR: &str = "bursar";

const INSERT: &str = "INSERT INTO run (id, workflow, version, event, cause, cause_key, since_mark, params, state, \
                                       created_at, last_success_at, concurrency_key, concurrency_max) \
                      VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'pending', ?, ?, ?, ?) ON CONFLICT DO NOTHING";

/// As many as there is room for, oldest first.
const MOVE_UP: &str = "UPDATE run SET state = 'queued' WHERE id IN ( \
        SELECT id FROM run INDEXED BY run_by_concurrency \
        WHERE workflow = $1 AND concurrency_key = $2 AND state = 'pending' AND state <> 'succeeded' ORDER BY id \
        LIMIT max(0, $3 - (SELECT count(*) FROM run INDEXED BY run_by_concurrency \
                           WHERE workflow = $1 AND concurrency_key = $2 \
                             AND state IN ('queued', 'running', 'waiting', 'parked') AND state <> 'succeeded')))";

impl Writer {
    /// Makes a run that must not overlap with others.
    pub(super) async fn create_apart(&mut self, run: MadeRun, apart: &Apart) -> Result<Made, Halt> {
        let concurrency = &apart.concurrency;
        let (id, workflow, created_at) = (run.id, run.workflow.clone(), instant(run.created_at));
        if self.is_known(&run).await? {
            return Ok(Made::Known);
        }
        let open = self.open_runs(&workflow, &concurrency.key).await?;
        let is_full = open.len() >= usize::try_from(concurrency.max.max(1)).unwrap_or(usize::MAX);
        match (concurrency.policy, open.first()) {
            (Overlap::Skip, Some((behind, state))) if is_full && holds(Guard::Overlap) => {
                let unmade = Unmade {
                    workflow,
                    cause: apart.cause.clone(),
                    last_slot: None,
                    slots: 1,
                    reason: UnmadeReason::Overlap,
                    detail: format!("{behind} is {state}"),
                    at: created_at,
                };
                self.pass_over(&unmade).await?;
                return Ok(Made::Overlapping(*behind));
            }
            (Overlap::CancelRunning, Some(_)) if is_full => {
                let reason = format!("{id} takes its place");
                // Those behind first: none of them may begin when the open one ends.
                for behind in self.pending_runs(&workflow, &concurrency.key).await? {
                    self.supersede(behind, &reason, created_at).await?;
                }
                for (behind, state) in &open {
                    // One that is parked is a person's to end: it may not be known what it has moved.
                    if state != RunState::Parked.name() {
                        self.supersede(*behind, &reason, created_at).await?;
                    }
                }
            }
            _ => {}
        }
        self.insert_pending(run, concurrency).await?;
        sqlx::query(MOVE_UP)
            .bind(workflow)
            .bind(&concurrency.key)
            .bind(concurrency.max.max(1))
            .execute(&mut self.connection)
            .await?;
        Ok(Made::New)
    }

    /// Asks for the end of a run. One that may not end by the way stays open.
    async fn supersede(&mut self, run: RunId, reason: &str, now: Instant) -> Result<(), Halt> {
        match self.cancel(run, ACTOR, reason, now).await {
            Ok(_) | Err(Halt::Refused(_)) => Ok(()),
            Err(failed @ Halt::Failed(_)) => Err(failed),
        }
    }

    /// The runs of a key that stand behind others.
    async fn pending_runs(&mut self, workflow: &str, key: &str) -> Result<Vec<RunId>, sqlx::Error> {
        let rows: Vec<Vec<u8>> = sqlx::query_scalar(
            "SELECT id FROM run INDEXED BY run_by_concurrency \
             WHERE workflow = $1 AND concurrency_key = $2 AND state = 'pending' AND state <> 'succeeded' ORDER BY id",
        )
        .bind(workflow)
        .bind(key)
        .fetch_all(&mut self.connection)
        .await?;
        rows.iter().map(|id| Ok(RunId::from_uuid(uuid_of(id)?))).collect()
    }

    /// Whether its cause has its run.
    async fn is_known(&mut self, run: &MadeRun) -> Result<bool, sqlx::Error> {
        sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM run WHERE id = $1) \
                 OR EXISTS (SELECT 1 FROM run WHERE event IS NOT NULL AND event = $2 AND workflow = $3) \
                 OR EXISTS (SELECT 1 FROM run WHERE workflow = $3 AND cause_key IS NOT NULL AND cause_key = $4)",
        )
        .bind(blob(run.id))
        .bind(run.event.map(|mark| mark.0))
        .bind(&run.workflow)
        .bind(&run.cause_key)
        .fetch_one(&mut self.connection)
        .await
    }

    /// The open runs of a key and how they stand, oldest first. Those that stand behind others are not open.
    async fn open_runs(&mut self, workflow: &str, key: &str) -> Result<Vec<(RunId, String)>, sqlx::Error> {
        let rows = sqlx::query(
            "SELECT id, state FROM run INDEXED BY run_by_concurrency \
             WHERE workflow = $1 AND concurrency_key = $2 AND state <> 'succeeded' \
               AND state IN ('queued', 'running', 'waiting', 'parked') ORDER BY id",
        )
        .bind(workflow)
        .bind(key)
        .fetch_all(&mut self.connection)
        .await?;
        rows.iter()
            .map(|row| Ok((RunId::from_uuid(uuid_of(row.try_get(0)?)?), row.try_get(1)?)))
            .collect()
    }

    async fn insert_pending(&mut self, run: MadeRun, concurrency: &Concurrency) -> Result<(), sqlx::Error> {
        let id = run.id;
        let (insert, inputs) = self.bound(sqlx::query_scalar::<_, i64>(INSERT), vec![run]);
        insert
            .bind(concurrency.key.clone())
            .bind(concurrency.max.max(1))
            .fetch_optional(&mut self.connection)
            .await?;
        tracing::debug!(run = %id, key = concurrency.key, "a run that must not overlap was made");
        self.insert_inputs(inputs).await
    }

    /// Records what was not made.
    pub(super) async fn pass_over(&mut self, unmade: &Unmade) -> Result<(), Halt> {
        // Whoever asked is told, and may ask again.
        if matches!(unmade.cause, Cause::Manual { .. }) {
            return Ok(());
        }
        let Some(key) = unmade.cause.unique_key() else {
            return Err(conflict("a cause without a key".to_owned()));
        };
        sqlx::query(
            "INSERT INTO unmade (workflow, cause_key, cause, last_slot, slots, reason, detail, at) \
             SELECT $1, $2, $3, $4, $5, $6, $7, $8 \
             WHERE NOT EXISTS (SELECT 1 FROM run WHERE workflow = $1 AND cause_key IS NOT NULL AND cause_key = $2) \
                OR EXISTS (SELECT 1 FROM unmade WHERE workflow = $1 AND cause_key = $2) \
             ON CONFLICT DO UPDATE SET slots = max(excluded.slots, unmade.slots), \
                 last_slot = max(coalesce(excluded.last_slot, unmade.last_slot), coalesce(unmade.last_slot, excluded.last_slot)) \
             WHERE excluded.slots > unmade.slots OR excluded.last_slot > coalesce(unmade.last_slot, 0)",
        )
        .bind(&unmade.workflow)
        .bind(key)
        .bind(text_of(&unmade.cause))
        .bind(unmade.last_slot.map(nanos))
        .bind(unmade.slots)
        .bind(unmade.reason.name())
        .bind(&unmade.detail)
        .bind(nanos(unmade.at))
        .execute(&mut self.connection)
        .await?;
        Ok(())
    }

    /// Forgets that a cause was passed over: it has its run after all. Where others stand in the same row, it stays, for
    /// their sake.
    pub(super) async fn not_passed_over(&mut self, workflow: &str, key: &str) -> Result<(), sqlx::Error> {
        sqlx::query("DELETE FROM unmade WHERE workflow = $1 AND cause_key = $2 AND slots = 1")
            .bind(workflow)
            .bind(key)
            .execute(&mut self.connection)
            .await
            .map(drop)
    }
}
