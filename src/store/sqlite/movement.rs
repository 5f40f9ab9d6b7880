//! Money on its way: one row for each movement from its intent to its end, or from when it is reserved.
//!
//! What has ended well and came to an account of ours is kept beside them, as taken by the provider, until it is said to
//! have arrived. The rows follow from the journal and are written with it, in the same transaction. A count for each
//! account says whether anything was begun on it since somebody looked. Which runs have a row is kept in memory too, so
//! that the others cost nothing. What may be moved is not decided here.

use std::collections::HashSet;

use chrono::TimeDelta;
use sqlx::Row as _;

use super::read_failed;
use super::reader::Reader;
use super::rows::{Columns, blob, hex, uuid_of};
use super::seen::ClockSeen;
use super::writer::{Halt, Writer};
use crate::base::clock::Instant;
use crate::base::guard::{Guard, holds};
use crate::base::ids::RunId;
use crate::model::journal::{Entry, Outcome, Record, Resolution};
use crate::store::codec::{instant, nanos, sealed_text_of, text_of};
use crate::store::{ACCEPTED_DAYS_MAX, Accepted, Lease, OpenMovement, OpenMovements, Release, Reservation, StoreError};

/// `[run, step, connection, source, beneficiary, amount]` of a movement that begins.
pub(super) type BegunColumns = (String, String, String, String, Option<String>, Option<String>);

/// `[number, source, beneficiary, amount]` of one that is reserved.
type ReservedColumns = (usize, String, Option<String>, Option<String>);

/// `[run, step, at, oldest]` of a movement that ends, the times only if it was taken by the provider, the last one only if
/// it is known what time it is.
pub(super) type EndedColumns = (String, String, Option<i64>, Option<i64>);

/// Keeps of what ends what was taken, if it comes to an account on which something was ever begun or reserved: others are
/// nobody's of ours. What is too old to be on its way goes.
macro_rules! accept_movements {
    ($ended:literal) => {
        concat!(
            "INSERT INTO accepted (run, step, connection, beneficiary, amount, at) \
         SELECT movement.run, movement.step, movement.connection, movement.beneficiary, movement.amount, \
                ended.value ->> 2 \
         FROM json_each(",
            $ended,
            ") AS ended CROSS JOIN movement ON movement.run = unhex(ended.value ->> 0) \
            AND movement.step = ended.value ->> 1 AND movement.number = 0 \
         CROSS JOIN moved ON moved.connection = movement.connection AND moved.account = movement.beneficiary \
         WHERE ended.value ->> 2 IS NOT NULL AND movement.amount IS NOT NULL \
         ON CONFLICT (run, step) DO NOTHING; \
         DELETE FROM accepted WHERE at < (SELECT min(value ->> 3) FROM json_each(",
            $ended,
            ")); \
         DELETE FROM movement WHERE (run, step) IN \
         (SELECT unhex(value ->> 0), value ->> 1 FROM json_each(",
            $ended,
            ")); "
        )
    };
}
pub(super) use accept_movements;

/// Notes in a batch of appends what begins and what ends. `$7` is a list of what begins, `$8` of what ends, `$9` of what
/// has arrived. Only accounts of ours are counted: whom they pay may be anybody.
///
/// What was reserved for a step is that step's from then on, and was counted when it was reserved; what is sent anew was
/// counted when it was sent first.
macro_rules! write_movements {
    () => {
        concat!(
            "INSERT INTO moved (connection, account, times) \
         SELECT new.value ->> 2, new.value ->> 3, 1 FROM json_each($7) AS new WHERE NOT EXISTS ( \
             SELECT 1 FROM movement WHERE movement.run = unhex(new.value ->> 0) AND ( \
                 movement.number = 0 AND movement.step = new.value ->> 1 \
                 OR movement.number > 0 AND instr(new.value ->> 1, movement.step || '.') = 1 \
                    AND movement.connection = new.value ->> 2 AND movement.source = new.value ->> 3 \
                    AND movement.amount IS new.value ->> 5)) \
         ON CONFLICT (connection, account) DO UPDATE SET times = times + 1; \
         UPDATE OR IGNORE movement SET step = new.value ->> 1, number = 0 FROM json_each($7) AS new \
         WHERE movement.run = unhex(new.value ->> 0) AND movement.number = ( \
             SELECT min(reserved.number) FROM movement AS reserved \
             WHERE reserved.run = unhex(new.value ->> 0) AND reserved.number > 0 \
               AND instr(new.value ->> 1, reserved.step || '.') = 1 AND reserved.connection = new.value ->> 2 \
               AND reserved.source = new.value ->> 3 AND reserved.amount IS new.value ->> 5) \
         AND instr(new.value ->> 1, movement.step || '.') = 1; \
         INSERT INTO movement (run, step, number, connection, source, beneficiary, amount) \
         SELECT unhex(value ->> 0), value ->> 1, 0, value ->> 2, value ->> 3, value ->> 4, value ->> 5 \
         FROM json_each($7) WHERE true ON CONFLICT (run, step, number) DO NOTHING; ",
            accept_movements!("$8"),
            "DELETE FROM accepted WHERE (run, step) IN \
         (SELECT unhex(value ->> 0), value ->> 1 FROM json_each($9)); "
        )
    };
}
pub(super) use write_movements;

/// What begins with these records of a run.
pub(super) fn begun(run: RunId, records: &[Record]) -> Vec<BegunColumns> {
    let intents = records.iter().filter_map(|record| match &record.entry {
        Entry::Intent { path, intent, .. } => Some((path, intent)),
        _ => None,
    });
    let movements = intents.filter_map(|(path, intent)| {
        let movement = intent.movement.as_ref()?;
        // What names no account leaves none that could be looked at.
        let source = movement.source.clone()?;
        let amount = movement.amount.as_ref().map(sealed_text_of);
        let beneficiary = movement.beneficiary.clone();
        Some((
            hex(run),
            path.to_string(),
            intent.connection.clone(),
            source,
            beneficiary,
            amount,
        ))
    });
    movements.collect()
}

/// The steps that these records end, of a run that has money on its way.
pub(super) fn ended(
    moving: &HashSet<RunId>,
    clock_seen: &ClockSeen,
    run: RunId,
    records: &[Record],
) -> Vec<EndedColumns> {
    if !moving.contains(&run) || !holds(Guard::OpenEnds) {
        return Vec::new();
    }
    let ended = records.iter().filter(|record| ends(&record.entry));
    ended
        .map(|record| ended_columns(clock_seen, run, &record.entry, record.at))
        .collect()
}

fn ended_columns(clock_seen: &ClockSeen, run: RunId, entry: &Entry, at: Instant) -> EndedColumns {
    let taken = is_taken(entry).then_some(at);
    let now = taken.and_then(|at| clock_seen.at_most(at));
    let oldest = now.map(|now| nanos(now - TimeDelta::days(ACCEPTED_DAYS_MAX)));
    (hex(run), entry.path().to_string(), taken.map(nanos), oldest)
}

/// Whether the provider has taken what the step sent.
fn is_taken(entry: &Entry) -> bool {
    match entry {
        Entry::Outcome { outcome, .. } => matches!(outcome, Outcome::Value(_)),
        Entry::Resolved { resolution, .. } => matches!(resolution, Resolution::Adopt { .. }),
        _ => false,
    }
}

/// Whether nothing of the step is on its way after this. What a person has tried or sent again is.
fn ends(entry: &Entry) -> bool {
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

impl Writer {
    /// Reserves what a step is about to move, unless something was begun on an account since it looked.
    pub(super) async fn reserve(&mut self, lease: &Lease, asked: Reservation) -> Result<bool, Halt> {
        let run = self.held(lease)?;
        let moves: Vec<ReservedColumns> = (1..)
            .zip(asked.moves)
            .map(|(number, asked)| {
                let amount = Some(sealed_text_of(&asked.amount));
                (number, asked.source, asked.beneficiary, amount)
            })
            .collect();
        let step = asked.step.to_string();
        let rows = sqlx::query(
            "SELECT source, beneficiary, amount FROM movement \
             WHERE run = $1 AND step = $2 AND number > 0 AND connection = $3 ORDER BY number",
        )
        .bind(blob(run))
        .bind(&step)
        .bind(&asked.connection)
        .fetch_all(&mut self.connection)
        .await?;
        let mut has = Vec::with_capacity(rows.len());
        for (number, row) in (1..).zip(&rows) {
            has.push((number, row.try_get(0)?, row.try_get(1)?, row.try_get(2)?));
        }
        if !moves.is_empty() && has == moves {
            return Ok(true);
        }
        let since: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM json_each($2) AS seen \
             LEFT JOIN moved ON moved.connection = $1 AND moved.account = seen.value ->> 0 \
             WHERE coalesce(moved.times, 0) <> seen.value ->> 1",
        )
        .bind(&asked.connection)
        .bind(text_of(&asked.seen))
        .fetch_one(&mut self.connection)
        .await?;
        if since > 0 && holds(Guard::SeenHolds) {
            // What an earlier process had reserved and did not hear of: nobody moves it.
            sqlx::query("DELETE FROM movement WHERE run = $1 AND step = $2 AND number > 0")
                .bind(blob(run))
                .bind(&step)
                .execute(&mut self.connection)
                .await?;
            return Ok(false);
        }
        sqlx::query(
            "DELETE FROM movement WHERE run = $1 AND step = $2 AND number > 0; \
             INSERT INTO movement (run, step, number, connection, source, beneficiary, amount) \
             SELECT $1, $2, value ->> 0, $3, value ->> 1, value ->> 2, value ->> 3 FROM json_each($4); \
             INSERT INTO moved (connection, account, times) \
             SELECT $3, account.value, 1 \
             FROM json_each($4) AS new, json_each(json_array(new.value ->> 1, new.value ->> 2)) AS account \
             WHERE account.value IS NOT NULL \
             ON CONFLICT (connection, account) DO UPDATE SET times = times + 1",
        )
        .bind(blob(run))
        .bind(&step)
        .bind(&asked.connection)
        .bind(text_of(&moves))
        .execute(&mut self.connection)
        .await?;
        self.moving.insert(run);
        Ok(true)
    }

    /// Gives back what a step has reserved for one movement, unless a step below has begun it.
    pub(super) async fn release_reserved(&mut self, lease: &Lease, asked: Release) -> Result<bool, Halt> {
        let run = self.held(lease)?;
        let freed = sqlx::query(
            "DELETE FROM movement WHERE run = $1 AND step = $2 AND number = ( \
                 SELECT min(reserved.number) FROM movement AS reserved \
                 WHERE reserved.run = $1 AND reserved.step = $2 AND reserved.number > 0 \
                   AND reserved.connection = $3 AND reserved.source = $4 AND reserved.beneficiary IS $5 \
                   AND reserved.amount = $6)",
        )
        .bind(blob(run))
        .bind(asked.step.to_string())
        .bind(asked.connection)
        .bind(asked.reserved.source)
        .bind(asked.reserved.beneficiary)
        .bind(sealed_text_of(&asked.reserved.amount))
        .execute(&mut self.connection)
        .await?;
        Ok(freed.rows_affected() > 0)
    }

    /// The run of a lease that holds.
    fn held(&self, lease: &Lease) -> Result<RunId, Halt> {
        let run = lease.run;
        match self.driven.get(&run) {
            Some(driven) if driven.is_held_by(lease) => Ok(run),
            _ => Err(Halt::Refused(StoreError::LeaseLost { run })),
        }
    }

    /// Notes that a person has ended a step.
    pub(super) async fn ends(&mut self, run: RunId, entry: &Entry, at: Instant) -> Result<(), Halt> {
        if !ends(entry) || !self.moving.contains(&run) {
            return Ok(());
        }
        sqlx::query(accept_movements!("$1"))
            .bind(text_of(&[ended_columns(&self.clock_seen, run, entry, at)]))
            .execute(&mut self.connection)
            .await?;
        Ok(())
    }
}

impl Reader {
    /// What is on its way out of an account or to it.
    pub(super) async fn open_movements(&self, connection: &str, account: &str) -> Result<OpenMovements, StoreError> {
        // Counted first: what begins between the two reads is noticed when something is reserved.
        let times: Option<i64> = sqlx::query_scalar("SELECT times FROM moved WHERE connection = $1 AND account = $2")
            .bind(connection)
            .bind(account)
            .fetch_optional(self.pool())
            .await
            .map_err(read_failed)?;
        let rows = sqlx::query(
            "SELECT run, step, number, source, beneficiary, amount FROM movement \
             WHERE connection = $1 AND source = $2 \
             UNION \
             SELECT run, step, number, source, beneficiary, amount FROM movement \
             WHERE connection = $1 AND beneficiary = $2 \
             ORDER BY run, step, number",
        )
        .bind(connection)
        .bind(account)
        .fetch_all(self.pool())
        .await
        .map_err(read_failed)?;
        let mut movements = Vec::with_capacity(rows.len());
        for row in &rows {
            let mut columns = Columns::of(row, "money on its way".to_owned());
            movements.push(OpenMovement {
                run: RunId::from_uuid(columns.uuid()?),
                step: columns.parse()?,
                begun: columns.get::<i64>()? == 0,
                source: columns.get()?,
                beneficiary: columns.get()?,
                amount: columns.optional_sealed_json()?,
            });
        }
        Ok(OpenMovements {
            times: u64::try_from(times.unwrap_or(0)).unwrap_or(0),
            movements,
        })
    }

    /// What comes to an account and was taken by the provider.
    pub(super) async fn accepted(
        &self,
        connection: &str,
        account: &str,
        since: Instant,
    ) -> Result<Vec<Accepted>, StoreError> {
        let rows = sqlx::query(
            "SELECT run, step, amount, at FROM accepted \
             WHERE connection = $1 AND beneficiary = $2 AND at >= $3 ORDER BY at, run, step",
        )
        .bind(connection)
        .bind(account)
        .bind(nanos(since))
        .fetch_all(self.pool())
        .await
        .map_err(read_failed)?;
        let read = |row| {
            let mut columns = Columns::of(row, "money that was taken".to_owned());
            Ok(Accepted {
                run: RunId::from_uuid(columns.uuid()?),
                step: columns.parse()?,
                amount: columns.sealed_json()?,
                at: instant(columns.get()?),
            })
        };
        rows.iter().map(read).collect()
    }

    /// The runs that have money on its way.
    pub(super) async fn moving(&self) -> Result<HashSet<RunId>, StoreError> {
        let rows: Vec<Vec<u8>> = sqlx::query_scalar("SELECT DISTINCT run FROM movement")
            .fetch_all(self.pool())
            .await
            .map_err(read_failed)?;
        let runs = rows.iter().map(|bytes| uuid_of(bytes).map(RunId::from_uuid));
        runs.collect::<Result<_, _>>().map_err(read_failed)
    }
}
