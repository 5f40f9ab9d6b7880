//! Appends: what turns did, checked against the lease and written many at a time.
//!
//! What may follow what in a journal is the engine's to check, by `model::journal`, before it asks; here
//! only the position, the fence and the state are. They are checked against what the writer holds in memory:
//! it alone writes, so nothing else can change them, and a group of appends needs one statement, not four.

use std::collections::{BTreeMap, HashMap};

use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::exclusive::released;
use super::movement::{BegunColumns, EndedColumns, accept_movements, begun, ended, write_movements};
use super::rows::{blob, corrupt, hex};
use super::witness::Testimony;
use super::writer::{Answers, Bounds, Halt, Reply, Writer};
use crate::base::clock::Instant;
use crate::base::guard::{Guard, holds};
use crate::base::ids::{RunId, WorkerId};
use crate::model::event::EventFilter;
use crate::model::journal::{Journal, Phase, Record, StepPath};
use crate::model::run::{EventMark, RunError, RunState, Settlement};
use crate::store::codec::{entry_text, nanos, read_record, text_of, value_text};
use crate::store::{Append, Lease, StoreError};

/// One append may not be larger than this: far above what a run's memory allows, far below what SQLite can
/// hold in one text.
const APPEND_BYTES_MAX: usize = 256 * 1024 * 1024;

/// An append on its way, already in the form in which it is written.
pub(super) struct PendingAppend {
    lease: Lease,
    /// Run, position, time and entry of each record as one JSON text, with commas between.
    rows: String,
    /// The records themselves, to be looked at if the end of the run was asked for.
    records: Vec<Record>,
    /// The first and the last position, if there are records.
    span: Option<(u32, u32)>,
    /// Keys with the text of their value, or nothing to remove them.
    state: Vec<(String, Option<String>)>,
    arrived: Vec<(RunId, StepPath)>,
    settlement: Option<Settlement>,
    begins_effect: bool,
    now: Instant,
}

impl PendingAppend {
    /// Prepares an append, on the caller's own time.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] for records with a gap, or for too much at once.
    pub(super) fn new(lease: &Lease, append: Append, now: Instant) -> Result<Self, StoreError> {
        let run = lease.run;
        let mut span: Option<(u32, u32)> = None;
        for record in &append.records {
            if span.is_some_and(|(_, last)| record.seq != last + 1) {
                let message = format!("the records for the journal of {run} have a gap");
                return Err(StoreError::Conflict(message));
            }
            span = Some((span.map_or(record.seq, |(first, _)| first), record.seq));
        }
        let rows = rows_of(run, &append.records);
        if rows.len() > APPEND_BYTES_MAX {
            let message = format!("{run} records more at once than a journal can take");
            return Err(StoreError::Conflict(message));
        }
        let state = append
            .state
            .into_iter()
            .map(|(key, value)| {
                let text = (!value.is_null()).then(|| value_text(&value));
                (key, text)
            })
            .collect();
        Ok(Self {
            lease: lease.clone(),
            rows,
            records: append.records,
            span,
            state,
            arrived: append.arrived,
            settlement: append.settlement,
            begins_effect: append.begins_effect,
            now,
        })
    }

    /// Puts it behind entries that others have made since the run was claimed and that its worker does not know of.
    fn stand_behind(&mut self, entered: u32) {
        if entered == 0 || !holds(Guard::DecidedDriven) {
            return;
        }
        for record in &mut self.records {
            record.seq += entered;
        }
        self.span = self.span.map(|(first, last)| (first + entered, last + entered));
        self.rows = rows_of(self.lease.run, &self.records);
    }

    /// About how much it writes.
    pub(super) fn bytes(&self) -> usize {
        self.rows.len()
    }

    /// The run.
    pub(super) fn run(&self) -> RunId {
        self.lease.run
    }

    /// What the witness has to know of it.
    fn effect(&self) -> Option<Testimony> {
        let (run, (_, seq), at) = (self.lease.run, self.span?, self.now);
        self.begins_effect.then_some(Testimony::Entry { run, seq, at })
    }

    /// Whether it may be written to a run that stands so.
    fn check(&self, driven: &Driven) -> Result<(), StoreError> {
        let run = self.lease.run;
        let holder = driven.is_held_by(&self.lease);
        if !holder && holds(Guard::LeaseFence) {
            return Err(StoreError::LeaseLost { run });
        }
        if self.begins_effect && driven.cancel_note.is_some() && holds(Guard::CancelRefusesIntent) {
            return Err(StoreError::CancelRequested { run });
        }
        if let Some((first, _)) = self.span
            && first != driven.last_seq + 1
            && holds(Guard::JournalPosition)
        {
            return Err(StoreError::Conflict(format!(
                "the journal of {run} ends at entry {}, so entry {first} cannot follow",
                driven.last_seq
            )));
        }
        match &self.settlement {
            Some(settlement) if !RunState::Running.may_become(settlement.state()) => Err(StoreError::Conflict(
                format!("a running run cannot become {}", settlement.state()),
            )),
            _ => Ok(()),
        }
    }
}

/// Records as one JSON text, with commas between.
fn rows_of(run: RunId, records: &[Record]) -> String {
    let name = hex(run);
    let mut rows = String::new();
    for record in records {
        if !rows.is_empty() {
            rows.push(',');
        }
        rows.push_str(&text_of(&format!(
            "{name}{:010}{:020}{}",
            record.seq,
            nanos(record.at),
            entry_text(run, record),
        )));
    }
    rows
}

/// What the writer knows of a run in state `running`, from its claim to its settlement.
pub(super) struct Driven {
    pub(super) worker: WorkerId,
    pub(super) fence: i64,
    pub(super) lease_until: Instant,
    pub(super) claimed_at: Instant,
    /// Entries that a person has made since, and its worker does not know of.
    pub(super) entered: u32,
    /// Whether somebody has said what time it is meanwhile: what it waits for was told by a clock in doubt.
    pub(super) told_time: bool,
    pub(super) workflow: String,
    pub(super) created_at: Instant,
    pub(super) last_seq: u32,
    /// Who asked for its end, and why.
    pub(super) cancel_note: Option<String>,
}

impl Driven {
    /// Whether this lease is the present one.
    pub(super) fn is_held_by(&self, lease: &Lease) -> bool {
        self.fence == lease.fence && self.worker == lease.worker
    }
}

/// An append that was found good, with what it settles.
struct Accepted {
    append: PendingAppend,
    workflow: String,
    /// How the run stood, if the append ends the turn.
    ended: Option<Driven>,
}

/// What a settlement leaves in the run's row.
struct Settled {
    run: RunId,
    state: RunState,
    at: Instant,
    wait: Option<Wait>,
    result: Option<String>,
    error: Option<String>,
}

/// What a waiting run waits for.
struct Wait {
    wake_at: i64,
    events: Vec<EventFilter>,
}

/// `[run, number, connection, subject, filter]`.
type WaitColumns<'a> = (String, usize, &'a str, Option<&'a str>, String);

/// Text columns one by one rather than objects: half the JSON.
type SettledColumns<'a> = (
    String,
    &'static str,
    Option<i64>,
    Option<i64>,
    Option<&'a str>,
    Option<&'a str>,
);

impl Settled {
    fn columns(&self) -> SettledColumns<'_> {
        (
            hex(self.run),
            self.state.name(),
            self.state.is_final().then(|| nanos(self.at)),
            self.wait.as_ref().map(|wait| wait.wake_at),
            self.result.as_deref(),
            self.error.as_deref(),
        )
    }

    fn waits(&self) -> impl Iterator<Item = WaitColumns<'_>> {
        let events = self.wait.iter().flat_map(|wait| &wait.events).enumerate();
        events.map(|(number, filter)| {
            (
                hex(self.run),
                number,
                filter.connection.as_str(),
                filter.subject.as_deref(),
                text_of(filter),
            )
        })
    }
}

/// Writes a batch. Each statement takes a JSON list, and an empty list is no work: one text serves all batches.
macro_rules! write_appends {
    () => {
        concat!(
            // A row is one text with fields of fixed width, which is cheaper to take apart than a list in a list.
            "INSERT INTO journal (run, seq, at, entry) \
         SELECT unhex(substr(value, 1, 32)), CAST(substr(value, 33, 10) AS INTEGER), \
                CAST(substr(value, 43, 20) AS INTEGER), substr(value, 63) \
         FROM json_each($1); \
         DELETE FROM workflow_state WHERE (workflow, key) IN \
         (SELECT value ->> 0, value ->> 1 FROM json_each($2) WHERE value ->> 2 IS NULL); \
         INSERT INTO workflow_state (workflow, key, value) \
         SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each($2) WHERE value ->> 2 IS NOT NULL \
         ON CONFLICT (workflow, key) DO UPDATE SET value = excluded.value; ",
            // Before a run ends: with it goes what it has on its way.
            write_movements!(),
            "UPDATE run SET state = new.value ->> 1, finished_at = new.value ->> 2, wake_at = new.value ->> 3, \
                result = new.value ->> 4, error = new.value ->> 5, worker = NULL, lease_until = NULL \
         FROM json_each($3) AS new WHERE run.id = unhex(new.value ->> 0); \
         INSERT INTO wait (run, number, connection, subject, filter) \
         SELECT unhex(value ->> 0), value ->> 1, value ->> 2, value ->> 3, value ->> 4 FROM json_each($5); \
         INSERT INTO workflow_success (workflow, last_success_at) \
         SELECT key, value FROM json_each($4) WHERE true \
         ON CONFLICT (workflow) DO UPDATE SET last_success_at = max(last_success_at, excluded.last_success_at); \
         UPDATE exclusive SET ended_at = ended.value ->> 2 FROM json_each($6) AS ended \
         WHERE run = unhex(ended.value ->> 0) AND step = ended.value ->> 1; "
        )
    };
}

impl Writer {
    /// Writes appends in order; each is checked against what the ones before it left. Begins the transaction or
    /// commits it in the same go where its bounds say so.
    pub(super) async fn append_all(
        &mut self,
        appends: Vec<(PendingAppend, Reply<()>)>,
        bounds: Bounds,
        answers: &mut Answers,
    ) -> Result<(), sqlx::Error> {
        let mut accepted = Vec::with_capacity(appends.len());
        for (append, reply) in appends {
            match self.accept(append).await? {
                Ok(good) => {
                    self.sent = good.append.effect().or(self.sent.take());
                    accepted.push(good);
                    answers.later(reply, Ok(()));
                }
                Err(error) => answers.later(reply, Err(error)),
            }
        }
        if accepted.is_empty() {
            return self.pass(bounds).await;
        }
        let settled = self.settle_all(&accepted).await?;
        self.anybody_waits |= settled.iter().any(|settled| settled.waits().next().is_some());
        let succeeded = newest_successes(&accepted);
        for (workflow, at) in &succeeded {
            let newest = self.last_success.entry((*workflow).to_owned()).or_insert(*at);
            *newest = (*newest).max(*at);
        }
        let rows: Vec<_> = settled.iter().map(Settled::columns).collect();
        let ended = accepted.iter().map(|good| &good.append);
        let released: Vec<_> = ended
            .flat_map(|append| released(&self.excluding, append.run(), &append.records))
            .collect();
        let (begun, ended) = self.note_movements(&accepted, &settled);
        let arrived = accepted.iter().flat_map(|good| &good.append.arrived);
        let arrived: Vec<_> = arrived.map(|(run, step)| (hex(*run), step.to_string())).collect();
        sqlx::query(match (bounds.begins, bounds.commits) {
            (true, true) => concat!("BEGIN IMMEDIATE; ", write_appends!(), "COMMIT"),
            (true, false) => concat!("BEGIN IMMEDIATE; ", write_appends!()),
            (false, true) => concat!(write_appends!(), "COMMIT"),
            (false, false) => write_appends!(),
        })
        .bind(record_rows(&accepted))
        .bind(state_rows(&accepted))
        .bind(text_of(&rows))
        .bind(text_of(&succeeded))
        .bind(text_of(&settled.iter().flat_map(Settled::waits).collect::<Vec<_>>()))
        .bind(text_of(&released))
        .bind(text_of(&begun))
        .bind(text_of(&ended))
        .bind(text_of(&arrived))
        .execute(&mut self.connection)
        .await?;
        Ok(())
    }

    /// What begins to move with these appends, and what has an end. Takes note of the runs.
    fn note_movements(&mut self, accepted: &[Accepted], settled: &[Settled]) -> (Vec<BegunColumns>, Vec<EndedColumns>) {
        let (mut begins, mut ends) = (Vec::new(), Vec::new());
        for append in accepted.iter().map(|good| &good.append) {
            let moves = begun(append.run(), &append.records);
            if !moves.is_empty() {
                self.moving.insert(append.run());
                begins.extend(moves);
            }
            ends.extend(ended(&self.moving, &self.clock_seen, append.run(), &append.records));
        }
        for settled in settled.iter().filter(|settled| settled.state.is_final()) {
            self.moving.remove(&settled.run);
        }
        (begins, ends)
    }

    /// Begins or commits without anything to write.
    async fn pass(&mut self, bounds: Bounds) -> Result<(), sqlx::Error> {
        let statement = match (bounds.begins, bounds.commits) {
            (true, true) | (false, false) => return Ok(()),
            (true, false) => "BEGIN IMMEDIATE",
            (false, true) => "COMMIT",
        };
        sqlx::query(statement).execute(&mut self.connection).await.map(drop)
    }

    /// Checks one append and takes note of what it changes.
    async fn accept(&mut self, mut append: PendingAppend) -> Result<Result<Accepted, StoreError>, sqlx::Error> {
        let run = append.run();
        let Some(driven) = self.driven.get_mut(&run) else {
            let known: Option<i64> = sqlx::query_scalar("SELECT 1 FROM run WHERE id = $1")
                .bind(blob(run))
                .fetch_optional(&mut self.connection)
                .await?;
            return Ok(Err(match known {
                Some(_) => StoreError::LeaseLost { run },
                None => StoreError::NotFound(run.to_string()),
            }));
        };
        append.stand_behind(driven.entered);
        if let Err(error) = append.check(driven) {
            return Ok(Err(error));
        }
        driven.last_seq = append.span.map_or(driven.last_seq, |(_, last)| last);
        let workflow = driven.workflow.clone();
        let ended = append.settlement.as_ref().and_then(|_| self.driven.remove(&run));
        Ok(Ok(Accepted {
            append,
            workflow,
            ended,
        }))
    }

    async fn settle_all(&mut self, accepted: &[Accepted]) -> Result<Vec<Settled>, sqlx::Error> {
        let mut settled = Vec::new();
        for good in accepted {
            if let (Some(settlement), Some(driven)) = (&good.append.settlement, &good.ended) {
                settled.push(self.settled(accepted, &good.append, settlement, driven).await?);
            }
        }
        Ok(settled)
    }

    /// Where a settlement really leaves its run: a wait may be over, or its end asked for, already.
    async fn settled(
        &mut self,
        accepted: &[Accepted],
        append: &PendingAppend,
        settlement: &Settlement,
        driven: &Driven,
    ) -> Result<Settled, sqlx::Error> {
        let mut settled = Settled {
            run: append.lease.run,
            state: settlement.state(),
            at: append.now,
            wait: None,
            result: None,
            error: None,
        };
        match settlement {
            Settlement::Succeeded { result } => settled.result = Some(text_of(result)),
            Settlement::Failed { error } | Settlement::Parked { error } => settled.error = Some(text_of(error)),
            Settlement::Cancelled => settled.error = Some(cancelled(driven.cancel_note.as_deref())),
            Settlement::Waiting { .. } | Settlement::Queued
                if driven.cancel_note.is_some() && self.ends_now(append.run(), accepted).await? =>
            {
                settled.state = RunState::Cancelled;
                settled.error = Some(cancelled(driven.cancel_note.as_deref()));
            }
            Settlement::Queued => {}
            // What it would wait for may just have been answered.
            Settlement::Waiting { .. } if driven.entered > 0 || driven.told_time => settled.state = RunState::Queued,
            Settlement::Waiting {
                wake_at,
                waits_for,
                seen,
            } => {
                for filter in waits_for {
                    if self.event_since(filter, *seen).await? && holds(Guard::EventBetween) {
                        settled.state = RunState::Queued;
                        return Ok(settled);
                    }
                }
                settled.wait = Some(Wait {
                    wake_at: nanos(*wake_at),
                    events: waits_for.clone(),
                });
            }
        }
        Ok(settled)
    }

    /// Whether a run whose end was asked for can end at once, with what is about to be written.
    async fn ends_now(&mut self, run: RunId, accepted: &[Accepted]) -> Result<bool, sqlx::Error> {
        let mut records = match self.records_of(run).await {
            Ok(records) => records,
            // It is met again when the run is claimed, and parked then.
            Err(Halt::Refused(_)) => return Ok(false),
            Err(Halt::Failed(error)) => return Err(error),
        };
        let same = accepted.iter().filter(|good| good.append.run() == run);
        records.extend(same.flat_map(|good| good.append.records.iter().cloned()));
        Ok(open_effect(run, records).is_ok_and(|open| !open))
    }

    /// Whether an effect was sent whose outcome is not known. Such a run is not ended from outside: the
    /// outcome is found out first, then the run ends.
    pub(super) async fn has_open_effect(&mut self, run: RunId) -> Result<bool, Halt> {
        let records = self.records_of(run).await?;
        Ok(open_effect(run, records)?)
    }

    /// Whether an event came after `seen` that the filter accepts.
    async fn event_since(&mut self, filter: &EventFilter, seen: EventMark) -> Result<bool, sqlx::Error> {
        let looked_up_to = seen.max(filter.after);
        if self.last_mark <= looked_up_to.0 {
            return Ok(false);
        }
        let rows = sqlx::query(concat!(
            "SELECT ",
            super::rows::event_columns!(),
            " FROM event NOT INDEXED WHERE mark > $1 AND connection = $2 AND ($3 IS NULL OR subject = $3) ORDER BY mark"
        ))
        .bind(looked_up_to.0)
        .bind(filter.connection.as_str())
        .bind(filter.subject.as_deref())
        .fetch_all(&mut self.connection)
        .await?;
        // One that cannot be read may be the one: looking once too often is harmless.
        Ok(rows
            .iter()
            .any(|row| super::rows::event_and_mark(row).map_or(true, |(mark, event)| filter.accepts(mark, &event))))
    }

    /// The journal of a run, before it goes on.
    ///
    /// The last entry may be filed under an id that a damaged bit made another's, where no gap tells. It stands beside
    /// the others all the same, before or after them as the damaged id sorts, and its checksum still says whose it is.
    pub(super) async fn records_of(&mut self, run: RunId) -> Result<Vec<Record>, Halt> {
        let mut rows = sqlx::query(
            "SELECT seq, at, entry FROM journal WHERE run = $1 ORDER BY seq; \
             SELECT -seq, at, entry FROM ( \
                 SELECT * FROM (SELECT * FROM journal WHERE run < $1 ORDER BY run DESC, seq DESC LIMIT 1) \
                 UNION ALL \
                 SELECT * FROM (SELECT * FROM journal WHERE run >= $1 ORDER BY run, seq \
                                LIMIT 1 OFFSET (SELECT count(*) FROM journal WHERE run = $1)) \
             ) AS beside WHERE NOT EXISTS (SELECT 1 FROM run WHERE run.id = beside.run)",
        )
        .bind(blob(run))
        .fetch_all(&mut self.connection)
        .await?;
        let strays = rows.extract_if(.., |row| row.try_get::<i64, _>(0).is_ok_and(|seq| seq < 0));
        let strays: Vec<SqliteRow> = strays.collect();
        // The search for a journal may be led past all of it by what sorts wrongly beside it.
        let is_lost = rows.is_empty() && !strays.is_empty();
        let is_stray = is_lost || strays.iter().any(|row| is_of(run, row));
        if is_stray && holds(Guard::JournalNeighbours) {
            let what = format_args!("the journal of {run}");
            return Err(Halt::Refused(corrupt(
                what,
                "it, or its last entry, is filed under an id that is no run's",
            )));
        }
        Ok(super::rows::records_of(run, &rows)?)
    }
}

/// Whether an entry that is filed under nobody's id, from its number below nought, its time and its text, is this run's.
fn is_of(run: RunId, stray: &SqliteRow) -> bool {
    let is_of = || {
        let seq = u32::try_from(stray.try_get::<i64, _>(0).ok()?.checked_neg()?).ok()?;
        read_record(run, seq, stray.try_get(1).ok()?, stray.try_get(2).ok()?).ok()
    };
    is_of().is_some()
}

fn open_effect(run: RunId, records: Vec<Record>) -> Result<bool, StoreError> {
    let journal =
        Journal::from_records(records).map_err(|error| corrupt(format_args!("the journal of {run}"), error))?;
    let mut steps = journal.steps();
    // With several branches, one may be in doubt while the person has decided about another.
    Ok(steps.any(|(_, record)| matches!(record.phase, Phase::Sent { .. } | Phase::Doubt { .. })))
}

/// The new lines of the journals, as a JSON list.
fn record_rows(accepted: &[Accepted]) -> String {
    let bytes: usize = accepted.iter().map(|good| good.append.rows.len() + 1).sum();
    let mut rows = String::with_capacity(bytes + 2);
    for good in accepted.iter().filter(|good| good.append.span.is_some()) {
        rows.push(if rows.is_empty() { '[' } else { ',' });
        rows.push_str(&good.append.rows);
    }
    rows.push_str(if rows.is_empty() { "[]" } else { "]" });
    rows
}

/// `[workflow, key, value]` for each value kept; the last word on a key counts.
fn state_rows(accepted: &[Accepted]) -> String {
    let mut last: HashMap<(&str, &str), Option<&str>> = HashMap::new();
    for good in accepted {
        for (key, value) in &good.append.state {
            last.insert((&good.workflow, key), value.as_deref());
        }
    }
    let rows: Vec<(&str, &str, Option<&str>)> = last
        .into_iter()
        .map(|((workflow, key), value)| (workflow, key, value))
        .collect();
    text_of(&rows)
}

/// Of each workflow of which a run succeeded, when the newest of those was made.
fn newest_successes(accepted: &[Accepted]) -> BTreeMap<&str, i64> {
    let mut newest = BTreeMap::new();
    for good in accepted {
        if let (Some(Settlement::Succeeded { .. }), Some(driven)) = (&good.append.settlement, &good.ended) {
            let at = nanos(driven.created_at);
            let entry = newest.entry(driven.workflow.as_str()).or_insert(at);
            *entry = at.max(*entry);
        }
    }
    newest
}

/// The error of a run that a person ended.
pub(super) fn cancelled(note: Option<&str>) -> String {
    text_of(&RunError {
        code: "cancelled".to_owned(),
        message: note.unwrap_or("cancelled").to_owned(),
        trace: Vec::new(),
    })
}
