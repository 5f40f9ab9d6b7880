//! What only one step at a time may have: one row for each name that a step has, from before it reads until it ends, and
//! until what it did can be seen.
//!
//! When that is is written with the entry that ends the step, or with the end of its run, in the same transaction; a row
//! that is over goes when somebody next asks for a name. Which runs have one is kept in memory too, so that the others
//! cost nothing.

use std::collections::HashSet;

use super::read_failed;
use super::reader::Reader;
use super::rows::{Columns, blob, hex, uuid_of};
use super::writer::{Halt, Writer};
use crate::base::clock::Instant;
use crate::base::guard::{Guard, holds};
use crate::base::ids::RunId;
use crate::model::journal::{Entry, Record, Resolution};
use crate::store::codec::{instant, nanos};
use crate::store::{Exclusion, Holder, Lease, StoreError};

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
        sqlx::query("DELETE FROM exclusive WHERE free_at <= $1")
            .bind(nanos(now))
            .execute(&mut self.connection)
            .await?;
        // What is there stays: it is only told who has it.
        let row = sqlx::query(
            "INSERT INTO exclusive (connection, name, run, step, rest) VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT (connection, name) DO UPDATE SET step = step RETURNING run, step, free_at",
        )
        .bind(connection)
        .bind(name)
        .bind(blob(run))
        .bind(step.to_string())
        .bind(i64::try_from(rest.as_nanos()).unwrap_or(i64::MAX))
        .fetch_one(&mut self.connection)
        .await?;
        self.excluding.insert(run);
        let mut columns = Columns::of(&row, "who excludes others".to_owned());
        let holder = Holder {
            run: RunId::from_uuid(columns.uuid()?),
            step: columns.parse()?,
            free_at: columns.get::<Option<i64>>()?.map(instant),
        };
        Ok((holder.run != run || holder.step != step).then_some(holder))
    }

    /// Gives back what a step has had, when a person has ended it.
    pub(super) async fn release(&mut self, run: RunId, at: Instant, entry: &Entry) -> Result<(), Halt> {
        let Some(from) = rests_from(entry, at).filter(|_| self.excluding.contains(&run)) else {
            return Ok(());
        };
        sqlx::query("UPDATE exclusive SET free_at = $3 + rest WHERE run = $1 AND step = $2")
            .bind(blob(run))
            .bind(entry.path().to_string())
            .bind(nanos(from))
            .execute(&mut self.connection)
            .await?;
        Ok(())
    }
}

/// `[run, step, from when on it rests]` of the steps that these records end, of a run that excludes others.
pub(super) fn released(excluding: &HashSet<RunId>, run: RunId, records: &[Record]) -> Vec<(String, String, i64)> {
    if !excluding.contains(&run) || !holds(Guard::Released) {
        return Vec::new();
    }
    let ended = records
        .iter()
        .filter_map(|record| Some((record, rests_from(&record.entry, record.at)?)));
    ended
        .map(|(record, from)| (hex(run), record.entry.path().to_string(), nanos(from)))
        .collect()
}

/// From when on a step rests that nothing is open of after this; long ago where it was never sent. What a person has tried
/// or sent again is open.
fn rests_from(entry: &Entry, at: Instant) -> Option<Instant> {
    let was_sent = match entry {
        Entry::Done { .. } => false,
        Entry::Outcome { .. } => holds(Guard::ExclusiveRests),
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
    Some(if was_sent { at } else { Instant::UNIX_EPOCH })
}

impl Reader {
    /// The runs that exclude others.
    pub(super) async fn excluding(&self) -> Result<HashSet<RunId>, StoreError> {
        let rows: Vec<Vec<u8>> = sqlx::query_scalar("SELECT DISTINCT run FROM exclusive WHERE free_at IS NULL")
            .fetch_all(self.pool())
            .await
            .map_err(read_failed)?;
        let runs = rows.iter().map(|bytes| uuid_of(bytes).map(RunId::from_uuid));
        runs.collect::<Result<_, _>>().map_err(read_failed)
    }
}
