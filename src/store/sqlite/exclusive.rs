//! What only one step at a time may have: one row for each name that a step has, from before it reads until it ends.
//!
//! The row goes with the entry that ends the step, or with the end of its run, in the same transaction. Which runs have
//! one is kept in memory too, so that the others cost nothing.

use std::collections::HashSet;

use super::read_failed;
use super::reader::Reader;
use super::rows::{Columns, blob, hex, uuid_of};
use super::writer::{Halt, Writer};
use crate::base::guard::{Guard, holds};
use crate::base::ids::RunId;
use crate::model::journal::{Entry, Record, Resolution, StepPath};
use crate::store::{Exclusion, Lease, StoreError};

impl Writer {
    /// Gives a name to a step, unless another step has it: then it says which.
    pub(super) async fn exclude(
        &mut self,
        lease: &Lease,
        Exclusion { step, connection, name }: Exclusion,
    ) -> Result<Option<(RunId, StepPath)>, Halt> {
        let run = lease.run;
        let driven = self.driven.get(&run);
        if !driven.is_some_and(|driven| driven.is_held_by(lease)) {
            return Err(Halt::Refused(StoreError::LeaseLost { run }));
        }
        // What is there stays: it is only told who has it.
        let row = sqlx::query(
            "INSERT INTO exclusive (connection, name, run, step) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (connection, name) DO UPDATE SET step = step RETURNING run, step",
        )
        .bind(connection)
        .bind(name)
        .bind(blob(run))
        .bind(step.to_string())
        .fetch_one(&mut self.connection)
        .await?;
        self.excluding.insert(run);
        let mut columns = Columns::of(&row, "who excludes others".to_owned());
        let (holder, held) = (RunId::from_uuid(columns.uuid()?), columns.parse::<StepPath>()?);
        Ok((holder != run || held != step).then_some((holder, held)))
    }

    /// Gives back what a step has had, when a person has ended it.
    pub(super) async fn release(&mut self, run: RunId, entry: &Entry) -> Result<(), Halt> {
        if !ends(entry) || !self.excluding.contains(&run) {
            return Ok(());
        }
        sqlx::query("DELETE FROM exclusive WHERE run = $1 AND step = $2")
            .bind(blob(run))
            .bind(entry.path().to_string())
            .execute(&mut self.connection)
            .await?;
        Ok(())
    }
}

/// `[run, step]` of the steps that these records end, of a run that excludes others.
pub(super) fn released(excluding: &HashSet<RunId>, run: RunId, records: &[Record]) -> Vec<(String, String)> {
    if !excluding.contains(&run) || !holds(Guard::Released) {
        return Vec::new();
    }
    let ended = records.iter().filter(|record| ends(&record.entry));
    ended
        .map(|record| (hex(run), record.entry.path().to_string()))
        .collect()
}

/// Whether nothing of the step is open after this. What a person has tried or sent again is.
pub(super) fn ends(entry: &Entry) -> bool {
    match entry {
        Entry::Done { .. } | Entry::Outcome { .. } => true,
        Entry::Resolved { resolution, .. } => matches!(resolution, Resolution::Adopt { .. } | Resolution::Fail),
        Entry::Intent { .. }
        | Entry::Retry { .. }
        | Entry::Sending { .. }
        | Entry::Waiting { .. }
        | Entry::InDoubt { .. }
        | Entry::Decided { .. } => false,
    }
}

impl Reader {
    /// The runs that exclude others.
    pub(super) async fn excluding(&self) -> Result<HashSet<RunId>, StoreError> {
        let rows: Vec<Vec<u8>> = sqlx::query_scalar("SELECT run FROM exclusive")
            .fetch_all(self.pool())
            .await
            .map_err(read_failed)?;
        let runs = rows.iter().map(|bytes| uuid_of(bytes).map(RunId::from_uuid));
        runs.collect::<Result<_, _>>().map_err(read_failed)
    }
}
