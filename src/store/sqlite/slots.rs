//! What the store keeps of schedules: which slots made runs, up to when they are dealt with, and which are paused.
//!
//! The slots of one schedule stand side by side in the index of causes, because the key of a cause ends with the time
//! that names the slot, and times sort as text. So each question is a search in that index.

use sqlx::SqliteExecutor;

use super::meta::Meta;
use super::read_failed;
use super::reader::Reader;
use super::rows::{Columns, corrupt};
use super::writer::{Halt, Writer};
use crate::base::clock::Instant;
use crate::base::ids::RunId;
use crate::model::run::Cause;
use crate::model::unmade::{ClockDoubt, Pause, Resumption};
use crate::model::value::time_text;
use crate::store::codec::{instant, nanos};
use crate::store::{SlotKey, SlotQuery, SlotRun, StoreError};

/// What the key of a cause of this schedule begins with; the time that names the slot follows.
fn prefix(schedule: &str, timezone: &str) -> String {
    let cause = Cause::Cron {
        schedule: schedule.to_owned(),
        timezone: timezone.to_owned(),
        slot: Instant::UNIX_EPOCH,
        due: None,
    };
    let sample = cause.unique_key().unwrap_or_default();
    let slot = time_text(Instant::UNIX_EPOCH);
    sample.strip_suffix(&slot).unwrap_or(&sample).to_owned()
}

/// The time that names the slot of a cause, and when it was due.
fn slot_of(cause: &str) -> Result<(Instant, Instant), StoreError> {
    match serde_json::from_str(cause).map_err(|error| corrupt("the cause of a run", error))? {
        Cause::Cron { slot, due, .. } => Ok((slot, due.unwrap_or(slot))),
        Cause::Webhook { .. } | Cause::Replay { .. } | Cause::Manual { .. } => {
            Err(corrupt("the cause of a run", "its key is not its own"))
        }
    }
}

/// Why it is not known what time it is, if so.
async fn clock_doubt(connection: impl SqliteExecutor<'_>) -> Result<Option<ClockDoubt>, StoreError> {
    let kept = Meta::ClockDoubt.kept(connection).await?;
    kept.map(|text| serde_json::from_str(&text))
        .transpose()
        .map_err(|error| Meta::ClockDoubt.corrupt(error))
}

impl Reader {
    pub(super) async fn clock_doubt(&self) -> Result<Option<ClockDoubt>, StoreError> {
        clock_doubt(self.pool()).await
    }

    pub(super) async fn clock_seen(&self) -> Result<Option<Instant>, StoreError> {
        let kept = Meta::ClockSeen.kept(self.pool()).await?;
        kept.map(|text| text.parse().map(instant))
            .transpose()
            .map_err(|error| Meta::ClockSeen.corrupt(error))
    }

    pub(super) async fn pauses(&self) -> Result<Vec<Pause>, StoreError> {
        let rows = sqlx::query("SELECT workflow, since, actor, reason, cause FROM pause ORDER BY workflow")
            .fetch_all(self.pool())
            .await
            .map_err(read_failed)?;
        rows.iter()
            .map(|row| {
                let mut columns = Columns::of(row, "a pause of schedules".to_owned());
                Ok(Pause {
                    workflow: columns.get()?,
                    since: instant(columns.get()?),
                    actor: columns.get()?,
                    reason: columns.get()?,
                    cause: columns.parse()?,
                })
            })
            .collect()
    }

    pub(super) async fn resumed(&self, workflow: &str) -> Result<Option<Resumption>, StoreError> {
        let row: Option<(i64, String, Option<String>)> =
            sqlx::query_as("SELECT at, actor, reason FROM resumption WHERE workflow = $1")
                .bind(workflow)
                .fetch_optional(self.pool())
                .await
                .map_err(read_failed)?;
        Ok(row.map(|(at, actor, reason)| Resumption {
            at: instant(at),
            actor,
            reason,
        }))
    }

    pub(super) async fn settled_until(
        &self,
        workflow: &str,
        schedule: &str,
        timezone: &str,
        not_after: Instant,
    ) -> Result<Option<Instant>, StoreError> {
        let prefix = prefix(schedule, timezone);
        let rows: Vec<(Option<String>, Option<i64>)> = sqlx::query_as(
            "SELECT * FROM (SELECT cause, NULL FROM run INDEXED BY run_by_cause \
                            WHERE workflow = $1 AND cause_key >= $2 || '0' AND cause_key <= $5 \
                            ORDER BY cause_key DESC LIMIT 1) \
             UNION ALL \
             SELECT * FROM (SELECT cause, last_slot FROM unmade \
                            WHERE workflow = $1 AND cause_key >= $2 || '0' AND cause_key <= $5 \
                            AND (last_slot IS NULL OR last_slot <= $6) \
                            ORDER BY cause_key DESC LIMIT 1) \
             UNION ALL \
             SELECT NULL, settled_until FROM schedule \
             WHERE workflow = $1 AND schedule = $3 AND timezone = $4 AND settled_until <= $6",
        )
        .bind(workflow)
        .bind(&prefix)
        .bind(schedule)
        .bind(timezone)
        .bind(format!("{prefix}{}", time_text(not_after)))
        .bind(nanos(not_after))
        .fetch_all(self.pool())
        .await
        .map_err(read_failed)?;
        let slots = rows.into_iter().map(|(cause, last)| match (cause, last) {
            (_, Some(last)) => Ok(instant(last)),
            (Some(cause), None) => slot_of(&cause).map(|(_, due)| due),
            (None, None) => Err(corrupt("a schedule", "it is settled until no time")),
        });
        Ok(slots.collect::<Result<Vec<_>, _>>()?.into_iter().max())
    }

    pub(super) async fn slot_runs(&self, query: &SlotQuery) -> Result<Vec<SlotRun>, StoreError> {
        let prefix = prefix(&query.key.schedule, &query.key.timezone);
        // A time begins with a digit, before which comes nothing, and behind which comes a colon.
        let bound = |slot: Option<Instant>, other: &str| {
            let slot = slot.map_or_else(|| other.to_owned(), time_text);
            format!("{prefix}{slot}")
        };
        let rows = sqlx::query(
            "SELECT id, cause, state, created_at, started_at, finished_at FROM run INDEXED BY run_by_cause \
             WHERE workflow = $1 AND cause_key >= $2 AND cause_key <= $3 ORDER BY cause_key DESC LIMIT $4",
        )
        .bind(&query.key.workflow)
        .bind(bound(query.from, "0"))
        .bind(bound(query.to, ":"))
        .bind(query.limit)
        .fetch_all(self.pool())
        .await
        .map_err(read_failed)?;
        rows.iter()
            .map(|row| {
                let mut columns = Columns::of(row, "a run of a schedule".to_owned());
                let id = columns.uuid()?;
                let cause: String = columns.get()?;
                Ok(SlotRun {
                    id: RunId::from_uuid(id),
                    slot: slot_of(&cause)?.0,
                    state: columns.parse()?,
                    created_at: instant(columns.get()?),
                    started_at: columns.get::<Option<i64>>()?.map(instant),
                    finished_at: columns.get::<Option<i64>>()?.map(instant),
                })
            })
            .collect()
    }
}

impl Writer {
    /// Has the schedules of a workflow start nothing. Who paused first stays.
    pub(super) async fn pause(&mut self, pause: &Pause) -> Result<(), Halt> {
        sqlx::query(
            "INSERT INTO pause (workflow, since, actor, reason, cause) VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT DO NOTHING",
        )
        .bind(&pause.workflow)
        .bind(nanos(pause.since))
        .bind(&pause.actor)
        .bind(&pause.reason)
        .bind(pause.cause.name())
        .execute(&mut self.connection)
        .await?;
        Ok(())
    }

    /// Has every schedule wait until somebody says what time it is.
    pub(super) async fn doubt_clock(&mut self, since: Instant, reason: String) -> Result<(), Halt> {
        self.clock_seen.in_doubt = true;
        let before = clock_doubt(&mut self.connection).await?;
        if before.is_some() {
            return Ok(());
        }
        let doubt = ClockDoubt { since, reason };
        let text = serde_json::to_string(&doubt).map_err(|error| Meta::ClockDoubt.corrupt(error))?;
        Ok(Meta::ClockDoubt.keep(&mut self.connection, &text).await?)
    }

    /// The clock is right; whether that was in doubt. What cannot be read any more is ended as well. If it was in doubt,
    /// what was seen of another time counts no more, and every run that waits for a time looks for itself whether that has
    /// come: it may have been noted by a clock that was wrong.
    pub(super) async fn trust_clock(&mut self, now: Instant) -> Result<bool, Halt> {
        let was_in_doubt = Meta::ClockDoubt.forget(&mut self.connection).await?;
        if was_in_doubt {
            self.see_clock(now).await?;
            sqlx::query("UPDATE run SET state = 'queued', wake_at = NULL WHERE wake_at IS NOT NULL")
                .execute(&mut self.connection)
                .await?;
            for driven in self.driven.values_mut() {
                driven.told_time = true;
            }
        }
        self.clock_seen.in_doubt = false;
        Ok(was_in_doubt)
    }

    /// Keeps what the wall clock shows.
    pub(super) async fn see_clock(&mut self, now: Instant) -> Result<(), Halt> {
        Meta::ClockSeen
            .keep(&mut self.connection, &nanos(now).to_string())
            .await?;
        self.clock_seen.at = Some(now);
        Ok(())
    }

    /// Ends a pause; whether there was one.
    pub(super) async fn resume(&mut self, workflow: &str, resumption: &Resumption) -> Result<bool, Halt> {
        let ended = sqlx::query("DELETE FROM pause WHERE workflow = $1")
            .bind(workflow)
            .execute(&mut self.connection)
            .await?;
        if ended.rows_affected() == 0 {
            return Ok(false);
        }
        sqlx::query(
            "INSERT INTO resumption (workflow, at, actor, reason) VALUES ($1, $2, $3, $4) \
             ON CONFLICT DO UPDATE SET at = excluded.at, actor = excluded.actor, reason = excluded.reason",
        )
        .bind(workflow)
        .bind(nanos(resumption.at))
        .bind(&resumption.actor)
        .bind(&resumption.reason)
        .execute(&mut self.connection)
        .await?;
        Ok(true)
    }

    /// Keeps up to when the slots of a schedule are dealt with.
    pub(super) async fn settle_slots(&mut self, key: &SlotKey, until: Instant) -> Result<(), Halt> {
        sqlx::query(
            "INSERT INTO schedule (workflow, schedule, timezone, settled_until) VALUES ($1, $2, $3, $4) \
             ON CONFLICT DO UPDATE SET settled_until = excluded.settled_until",
        )
        .bind(&key.workflow)
        .bind(&key.schedule)
        .bind(&key.timezone)
        .bind(nanos(until))
        .execute(&mut self.connection)
        .await?;
        Ok(())
    }
}
