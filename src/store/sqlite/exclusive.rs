//! What only one step at a time may have: one row for each name that a step has, from before it reads until it ends.
//!
//! That it ended is written with the entry that ends the step, or with the end of its run, in the same transaction. For a
//! day the row then says when: who asks next knows how long what was done may not be shown. Which runs have a name is kept
//! in memory too, so that the others cost nothing.

use std::collections::HashSet;

use chrono::TimeDelta;

use super::read_failed;
use super::reader::Reader;
use super::rows::{Columns, blob, hex, uuid_of};
use super::writer::{Halt, Writer};
use crate::base::clock::Instant;
use crate::base::guard::{Guard, holds};
use crate::base::ids::RunId;
use crate::model::journal::{Entry, Outcome, Record, Resolution};
use crate::store::codec::{instant, nanos};
use crate::store::{Exclusion, Holder, Lease, StoreError};

/// The longest anybody waits for what was done to be shown.
const REST_MAX: TimeDelta = TimeDelta::days(1);

impl Writer {
    /// Gives a name to a step, unless another step has it: then it says which.
    pub(super) async fn exclude(&mut self, lease: &Lease, exclusion: Exclusion) -> Result<Option<Holder>, Halt> {
        let run = lease.run;
        let driven = self.driven.get(&run);
        if !driven.is_some_and(|driven| driven.is_held_by(lease)) {
            return Err(Halt::Refused(StoreError::LeaseLost { run }));
        }
        let Exclusion {
            step,
            connection,
            name,
            rest,
            now,
        } = exclusion;
        let rest = TimeDelta::from_std(rest).map_or(REST_MAX, |rest| rest.min(REST_MAX));
        sqlx::query("DELETE FROM exclusive WHERE ended_at < $1")
            .bind(self.clock_seen.at_most(now).map(|now| nanos(now - REST_MAX)))
            .execute(&mut self.connection)
            .await?;
        // What is there stays until it has rested: it is only told who has it. An end that is still to come was written by
        // a clock that was ahead, and is now.
        let row = sqlx::query(
            "INSERT INTO exclusive (connection, name, run, step) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (connection, name) DO UPDATE SET \
             run = iif(ended_at <= $5, excluded.run, run), step = iif(ended_at <= $5, excluded.step, step), \
             ended_at = iif(ended_at <= $5, NULL, min(ended_at, $6)) RETURNING run, step, ended_at",
        )
        .bind(connection)
        .bind(name)
        .bind(blob(run))
        .bind(step.to_string())
        .bind(nanos(now - rest))
        .bind(nanos(now))
        .fetch_one(&mut self.connection)
        .await?;
        self.excluding.insert(run);
        let mut columns = Columns::of(&row, "who excludes others".to_owned());
        let holder = Holder {
            run: RunId::from_uuid(columns.uuid()?),
            step: columns.parse()?,
            free_at: columns.get::<Option<i64>>()?.map(|ended_at| instant(ended_at) + rest),
        };
        Ok((holder.run != run || holder.step != step).then_some(holder))
    }

    /// Gives back what a step has had, when a person has ended it.
    pub(super) async fn release(&mut self, run: RunId, at: Instant, entry: &Entry) -> Result<(), Halt> {
        let Some(ended_at) = ended_at(entry, at).filter(|_| self.excluding.contains(&run)) else {
            return Ok(());
        };
        sqlx::query("UPDATE exclusive SET ended_at = $3 WHERE run = $1 AND step = $2")
            .bind(blob(run))
            .bind(entry.path().to_string())
            .bind(nanos(ended_at))
            .execute(&mut self.connection)
            .await?;
        Ok(())
    }
}

/// `[run, step, when it ended]` of the steps that these records end, of a run that excludes others.
pub(super) fn released(excluding: &HashSet<RunId>, run: RunId, records: &[Record]) -> Vec<(String, String, i64)> {
    if !excluding.contains(&run) || !holds(Guard::Released) {
        return Vec::new();
    }
    let ended = records
        .iter()
        .filter_map(|record| Some((record, ended_at(&record.entry, record.at)?)));
    ended
        .map(|(record, ended_at)| (hex(run), record.entry.path().to_string(), nanos(ended_at)))
        .collect()
}

/// When a step has ended of which nothing is open after this entry; long ago where it did nothing. What a person has tried
/// or sent again is open.
fn ended_at(entry: &Entry, at: Instant) -> Option<Instant> {
    let did_something = match entry {
        Entry::Done { .. } => false,
        Entry::Outcome { outcome, .. } => matches!(outcome, Outcome::Value(_)) && holds(Guard::ExclusiveRests),
        Entry::Resolved { resolution, .. } => match resolution {
            Resolution::Adopt { .. } | Resolution::Fail => true,
            Resolution::Retry | Resolution::Resend => return None,
        },
        Entry::Intent { .. }
        | Entry::Retry { .. }
        | Entry::Sending { .. }
        | Entry::Waiting { .. }
        | Entry::InDoubt { .. }
        | Entry::Decided { .. } => return None,
    };
    Some(if did_something { at } else { Instant::UNIX_EPOCH })
}

impl Reader {
    /// The runs that exclude others.
    pub(super) async fn excluding(&self) -> Result<HashSet<RunId>, StoreError> {
        let rows: Vec<Vec<u8>> = sqlx::query_scalar("SELECT DISTINCT run FROM exclusive WHERE ended_at IS NULL")
            .fetch_all(self.pool())
            .await
            .map_err(read_failed)?;
        let runs = rows.iter().map(|bytes| uuid_of(bytes).map(RunId::from_uuid));
        runs.collect::<Result<_, _>>().map_err(read_failed)
    }
}
