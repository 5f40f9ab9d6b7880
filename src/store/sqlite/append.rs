//! Appends: what turns did, checked against the lease and written many at a time.
//!
//! What may follow what in a journal is the engine's to check, by `model::journal`, before it asks; here
//! only the position, the fence and the state are.

use std::collections::HashMap;

use sqlx::sqlite::SqliteRow;

use super::rows::{Columns, corrupt};
use super::writer::{Answers, Halt, Reply, Writer};
use crate::base::clock::Instant;
use crate::base::ids::RunId;
use crate::model::journal::{Journal, Phase};
use crate::model::run::{EventMark, RunError, RunState, Settlement};
use crate::store::codec::{entry_text, nanos, text_of, value_text};
use crate::store::{Append, Lease, StoreError};

/// One append may not be larger than this: far above what a run's memory allows, far below what SQLite can
/// hold in one text.
const APPEND_BYTES_MAX: usize = 256 * 1024 * 1024;

/// An append on its way, already in the form in which it is written.
pub(super) struct PendingAppend {
    lease: Lease,
    /// `[run, seq, at, entry]` in JSON, each but the last followed by a comma.
    rows: String,
    /// The first and the last position, if there are records.
    span: Option<(u32, u32)>,
    /// Keys with the text of their value, or nothing to remove them.
    state: Vec<(String, Option<String>)>,
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
        let run = lease.run.to_string();
        let mut rows = String::new();
        let mut span: Option<(u32, u32)> = None;
        for record in &append.records {
            if span.is_some_and(|(_, last)| record.seq != last + 1) {
                let message = format!("the records for the journal of {run} have a gap");
                return Err(StoreError::Conflict(message));
            }
            span = Some((span.map_or(record.seq, |(first, _)| first), record.seq));
            if !rows.is_empty() {
                rows.push(',');
            }
            rows.push_str(&text_of(&(
                &run,
                record.seq,
                nanos(record.at),
                entry_text(&record.entry),
            )));
        }
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
            span,
            state,
            settlement: append.settlement,
            begins_effect: append.begins_effect,
            now,
        })
    }

    /// About how much it writes.
    pub(super) fn bytes(&self) -> usize {
        self.rows.len()
    }

    /// Whether it may be written to a run that stands so.
    fn check(&self, view: Option<&Result<View, StoreError>>) -> Result<(), StoreError> {
        let run = self.lease.run;
        let view = match view {
            None => return Err(StoreError::NotFound(run.to_string())),
            Some(Err(error)) => return Err(error.clone()),
            Some(Ok(view)) => view,
        };
        let holds = view.state == RunState::Running
            && view.fence == self.lease.fence
            && view.worker.as_deref() == Some(self.lease.worker.to_string().as_str());
        if !holds {
            return Err(StoreError::LeaseLost { run });
        }
        if self.begins_effect && view.cancel_note.is_some() {
            return Err(StoreError::CancelRequested { run });
        }
        if let Some((first, _)) = self.span
            && first != view.last_seq + 1
        {
            return Err(StoreError::Conflict(format!(
                "the journal of {run} ends at entry {}, so entry {first} cannot follow",
                view.last_seq
            )));
        }
        match &self.settlement {
            Some(settlement) if !view.state.may_become(settlement.state()) => Err(StoreError::Conflict(format!(
                "{run} is {} and cannot become {}",
                view.state,
                settlement.state()
            ))),
            _ => Ok(()),
        }
    }
}

/// What the writer has to know of a run to append to it.
pub(super) struct View {
    state: RunState,
    fence: i64,
    worker: Option<String>,
    cancel_note: Option<String>,
    workflow: String,
    created_at: i64,
    last_seq: u32,
}

/// What stands of the runs a batch is about; one that cannot be read hinders only its own appends.
pub(super) type Views = HashMap<RunId, Result<View, StoreError>>;

/// What a settlement leaves in the run's row.
struct Settled {
    run: RunId,
    state: RunState,
    at: Instant,
    wait: Option<Wait>,
    result: Option<String>,
    error: Option<String>,
}

/// What a waiting run waits for, as columns.
struct Wait {
    wake_at: i64,
    connection: Option<String>,
    subject: Option<String>,
    filter: Option<String>,
}

/// Text columns one by one rather than objects: half the JSON.
type SettledColumns<'a> = (
    String,
    &'static str,
    Option<i64>,
    Option<i64>,
    Option<&'a str>,
    Option<&'a str>,
    Option<&'a str>,
    Option<&'a str>,
    Option<&'a str>,
);

impl Settled {
    fn columns(&self) -> SettledColumns<'_> {
        let wait = self.wait.as_ref();
        (
            self.run.to_string(),
            self.state.name(),
            self.state.is_final().then(|| nanos(self.at)),
            wait.map(|wait| wait.wake_at),
            wait.and_then(|wait| wait.connection.as_deref()),
            wait.and_then(|wait| wait.subject.as_deref()),
            wait.and_then(|wait| wait.filter.as_deref()),
            self.result.as_deref(),
            self.error.as_deref(),
        )
    }
}

/// The lines of journals of some appends, as rows.
fn records(appends: &[PendingAppend]) -> String {
    let bytes: usize = appends.iter().map(|append| append.rows.len() + 1).sum();
    let mut rows = String::with_capacity(bytes + 2);
    rows.push('[');
    for append in appends.iter().filter(|append| append.span.is_some()) {
        if rows.len() > 1 {
            rows.push(',');
        }
        rows.push_str(&append.rows);
    }
    rows.push(']');
    rows
}

/// A view from the columns after the id.
fn view_of(mut columns: Columns<'_>) -> Result<View, StoreError> {
    Ok(View {
        state: columns.parse()?,
        fence: columns.get()?,
        worker: columns.get()?,
        cancel_note: columns.get()?,
        workflow: columns.get()?,
        created_at: columns.get()?,
        last_seq: columns.get()?,
    })
}

/// The runs some appends are about, as a list.
pub(super) fn runs_of(appends: &[(PendingAppend, Reply<()>)]) -> String {
    let runs: Vec<RunId> = appends.iter().map(|(append, _)| append.lease.run).collect();
    text_of(&runs)
}

/// Adds what a row of `id, state, fence, worker, cancel_note, workflow, created_at, last_seq` says.
pub(super) fn read_view(views: &mut Views, row: &SqliteRow) -> Result<(), sqlx::Error> {
    let mut columns = Columns::named(row, "run").map_err(|error| sqlx::Error::Decode(error.into()))?;
    if let Ok(run) = columns.parse() {
        views.insert(run, view_of(columns));
    }
    Ok(())
}

/// What accepted appends write.
pub(super) struct Accepted {
    appends: Vec<PendingAppend>,
    /// Lines of journals as rows.
    pub(super) records: String,
    /// Ends of turns as rows.
    pub(super) settled: String,
    /// Workflows with the time of their newest success.
    pub(super) succeeded: String,
}

impl Writer {
    /// Checks appends in order, each against what the ones before it left, and answers for them.
    pub(super) async fn accept(
        &mut self,
        appends: Vec<(PendingAppend, Reply<()>)>,
        views: &mut Views,
        answers: &mut Answers,
    ) -> Result<Accepted, sqlx::Error> {
        let mut accepted = Vec::with_capacity(appends.len());
        for (append, reply) in appends {
            let view = views.get_mut(&append.lease.run);
            if let Err(error) = append.check(view.as_deref()) {
                answers.later(reply, Err(error));
                continue;
            }
            if let Some(Ok(view)) = view {
                view.last_seq = append.span.map_or(view.last_seq, |(_, last)| last);
                view.state = append.settlement.as_ref().map_or(view.state, Settlement::state);
            }
            accepted.push(append);
            answers.later(reply, Ok(()));
        }
        let mut succeeded: Vec<(&str, i64)> = Vec::new();
        let mut settled = Vec::new();
        for append in &accepted {
            let (Some(settlement), Some(Ok(view))) = (&append.settlement, views.get(&append.lease.run)) else {
                continue;
            };
            if matches!(settlement, Settlement::Succeeded { .. }) {
                succeeded.push((&view.workflow, view.created_at));
            }
            settled.push(self.settled(append, settlement, view).await?);
        }
        let settled: Vec<_> = settled.iter().map(Settled::columns).collect();
        let (settled, succeeded) = (text_of(&settled), text_of(&succeeded));
        Ok(Accepted {
            records: records(&accepted),
            settled,
            succeeded,
            appends: accepted,
        })
    }

    /// Keeps the values that scripts keep between runs.
    pub(super) async fn put_state(&mut self, views: &Views, accepted: &Accepted) -> Result<(), sqlx::Error> {
        // The last word on a key counts.
        let mut last: HashMap<(&str, &str), Option<&str>> = HashMap::new();
        for append in &accepted.appends {
            let Some(Ok(view)) = views.get(&append.lease.run) else {
                continue;
            };
            for (key, value) in &append.state {
                last.insert((&view.workflow, key), value.as_deref());
            }
        }
        if last.is_empty() {
            return Ok(());
        }
        let rows: Vec<(&str, &str, Option<&str>)> = last
            .into_iter()
            .map(|((workflow, key), value)| (workflow, key, value))
            .collect();
        let rows = text_of(&rows);
        sqlx::query(
            "DELETE FROM workflow_state WHERE (workflow, key) IN \
             (SELECT value ->> 0, value ->> 1 FROM json_each($1) WHERE value ->> 2 IS NULL)",
        )
        .bind(rows.as_str())
        .execute(&mut self.connection)
        .await?;
        sqlx::query(
            "INSERT INTO workflow_state (workflow, key, value) \
             SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each($1) WHERE value ->> 2 IS NOT NULL \
             ON CONFLICT (workflow, key) DO UPDATE SET value = excluded.value",
        )
        .bind(rows.as_str())
        .execute(&mut self.connection)
        .await?;
        Ok(())
    }

    /// Where a settlement really leaves its run: a wait may be over, or its end asked for, already.
    async fn settled(
        &mut self,
        append: &PendingAppend,
        settlement: &Settlement,
        view: &View,
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
            Settlement::Cancelled => settled.error = Some(cancelled(view.cancel_note.as_deref())),
            Settlement::Waiting { .. } | Settlement::Queued if self.ends_now(append.lease.run, view).await? => {
                settled.state = RunState::Cancelled;
                settled.error = Some(cancelled(view.cancel_note.as_deref()));
            }
            Settlement::Queued => {}
            Settlement::Waiting {
                wake_at,
                waits_for,
                seen,
            } => {
                if let Some(filter) = waits_for
                    && self.event_since(filter, *seen).await?
                {
                    settled.state = RunState::Queued;
                    return Ok(settled);
                }
                settled.wait = Some(Wait {
                    wake_at: nanos(*wake_at),
                    connection: waits_for.as_ref().map(|filter| filter.connection.clone()),
                    subject: waits_for.as_ref().and_then(|filter| filter.subject.clone()),
                    filter: waits_for.as_ref().map(text_of),
                });
            }
        }
        Ok(settled)
    }

    /// Whether a run whose end was asked for can end at once.
    async fn ends_now(&mut self, run: RunId, view: &View) -> Result<bool, sqlx::Error> {
        if view.cancel_note.is_none() {
            return Ok(false);
        }
        match self.has_open_effect(run).await {
            Ok(open) => Ok(!open),
            // It is met again when the run is claimed, and parked then.
            Err(Halt::Refused(_)) => Ok(false),
            Err(Halt::Failed(error)) => Err(error),
        }
    }

    /// Whether an effect was sent whose outcome is not known. Such a run is not ended from outside: the
    /// outcome is found out first, then the run ends.
    pub(super) async fn has_open_effect(&mut self, run: RunId) -> Result<bool, Halt> {
        let records = self.records_of(run).await?;
        let journal =
            Journal::from_records(records).map_err(|error| corrupt(format_args!("the journal of {run}"), error))?;
        let open = journal
            .steps()
            .any(|(_, record)| matches!(record.phase, Phase::Sent { .. }));
        Ok(open)
    }

    /// Whether an event came after `seen` that the filter accepts.
    async fn event_since(
        &mut self,
        filter: &crate::model::event::EventFilter,
        seen: EventMark,
    ) -> Result<bool, sqlx::Error> {
        if self.last_mark <= seen.0 {
            return Ok(false);
        }
        let rows = sqlx::query(concat!(
            "SELECT ",
            super::rows::event_columns!(),
            " FROM event WHERE mark > $1 AND connection = $2 AND ($3 IS NULL OR subject = $3) ORDER BY mark"
        ))
        .bind(seen.0)
        .bind(filter.connection.as_str())
        .bind(filter.subject.as_deref())
        .fetch_all(&mut self.connection)
        .await?;
        // One that cannot be read may be the one: looking once too often is harmless.
        Ok(rows
            .iter()
            .any(|row| super::rows::event_of(row).map_or(true, |event| filter.accepts(&event))))
    }

    /// The journal of a run.
    pub(super) async fn records_of(&mut self, run: RunId) -> Result<Vec<crate::model::journal::Record>, Halt> {
        let rows = sqlx::query("SELECT seq, at, entry FROM journal WHERE run = $1 ORDER BY seq")
            .bind(run.to_string())
            .fetch_all(&mut self.connection)
            .await?;
        Ok(super::rows::records_of(run, &rows)?)
    }
}

/// The error of a run that a person ended.
pub(super) fn cancelled(note: Option<&str>) -> String {
    text_of(&RunError {
        code: "cancelled".to_owned(),
        message: note.unwrap_or("cancelled").to_owned(),
        trace: Vec::new(),
    })
}
