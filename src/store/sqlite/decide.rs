//! What people write: decisions about parked runs, and the end of runs.

use super::append::cancelled;
use super::lease::missing;
use super::rows::{Columns, blob, corrupt};
use super::writer::{Halt, Writer};
use crate::base::clock::Instant;
use crate::base::guard::{Guard, holds};
use crate::base::ids::RunId;
use crate::model::journal::{Entry, Journal, Record, Resolution, StepPath, overlooked};
use crate::model::quarantine::SUSPECTED;
use crate::model::run::{RunError, RunState};
use crate::store::codec::{entry_text, nanos, text_of};
use crate::store::{Decision, StoreError};

/// Where a run stands and why.
struct Standing {
    state: RunState,
    error: Option<RunError>,
}

impl Writer {
    async fn standing(&mut self, run: RunId) -> Result<Standing, Halt> {
        let row = sqlx::query("SELECT state, error FROM run WHERE id = $1")
            .bind(blob(run))
            .fetch_optional(&mut self.connection)
            .await?
            .ok_or_else(|| missing(run))?;
        let mut columns = Columns::of(&row, format!("run {run}"));
        Ok(Standing {
            state: columns.parse()?,
            error: columns.optional_json()?,
        })
    }

    /// Records a decision.
    pub(super) async fn resolve(&mut self, decision: Decision) -> Result<(), Halt> {
        let standing = self.standing(decision.run).await?;
        if standing.state != RunState::Parked {
            return Err(Decision::not_parked(decision.run, standing.state).into());
        }
        match &decision.path {
            Some(path) => {
                let path = path.clone();
                self.resolve_step(decision, path).await
            }
            None => self.resolve_run(&decision, standing.error).await,
        }
    }

    async fn resolve_step(&mut self, decision: Decision, path: StepPath) -> Result<(), Halt> {
        let run = decision.run;
        let records = self.records_of(run).await?;
        let overlooked = overlooked(run, &records, &path, &decision.resolution, decision.after);
        if let Some(why) = overlooked.filter(|_| holds(Guard::DecisionAfter)) {
            return Err(conflict(why));
        }
        let journal = legal(run, records)?;
        let entry = Entry::Resolved {
            path,
            resolution: decision.resolution,
            actor: decision.actor,
            reason: decision.reason,
        };
        self.enter(run, journal, decision.at, entry).await?;
        self.goes_on(run).await
    }

    /// Writes what a person said as the next entry of a journal that nobody else writes at this moment.
    pub(super) async fn enter(&mut self, run: RunId, journal: Journal, at: Instant, entry: Entry) -> Result<(), Halt> {
        let record = Record {
            seq: journal.last_seq() + 1,
            at,
            entry,
        };
        let (seq, at, entry) = (record.seq, nanos(record.at), entry_text(run, &record));
        let (ended, ended_at) = (record.entry.clone(), record.at);
        journal.next(record).map_err(|error| conflict(error.to_string()))?;
        sqlx::query("INSERT INTO journal (run, seq, at, entry) VALUES ($1, $2, $3, $4)")
            .bind(blob(run))
            .bind(seq)
            .bind(at)
            .bind(entry)
            .execute(&mut self.connection)
            .await?;
        self.release(run, ended_at, &ended).await?;
        self.ends(run, &ended, ended_at).await
    }

    /// Queues a parked run. How often the process died under it is forgotten.
    async fn goes_on(&mut self, run: RunId) -> Result<(), Halt> {
        sqlx::query("DELETE FROM death WHERE run = $1")
            .bind(blob(run))
            .execute(&mut self.connection)
            .await?;
        self.queue_parked(run).await
    }

    async fn queue_parked(&mut self, run: RunId) -> Result<(), Halt> {
        sqlx::query("UPDATE run SET state = 'queued', error = NULL WHERE id = $1")
            .bind(blob(run))
            .execute(&mut self.connection)
            .await?;
        Ok(())
    }

    /// Lets a suspected run go on, or says why not. Its deaths stay counted: they may follow each other still.
    pub(super) async fn examined(&mut self, run: RunId, found: Option<RunError>) -> Result<(), Halt> {
        let standing = self.standing(run).await?;
        let suspected = standing.error.is_some_and(|error| error.code == SUSPECTED);
        if standing.state != RunState::Parked || !suspected {
            return Err(conflict(format!("{run} is {} and not suspected", standing.state)));
        }
        let Some(error) = found else {
            return self.queue_parked(run).await;
        };
        sqlx::query("UPDATE run SET error = $2 WHERE id = $1")
            .bind(blob(run))
            .bind(text_of(&error))
            .execute(&mut self.connection)
            .await?;
        Ok(())
    }

    async fn resolve_run(&mut self, decision: &Decision, error: Option<RunError>) -> Result<(), Halt> {
        let run = decision.run;
        self.refuse_doubt(run).await?;
        match decision.resolution {
            Resolution::Fail => {}
            Resolution::Retry => return self.goes_on(run).await,
            Resolution::Adopt { .. } | Resolution::Resend => {
                return Err(conflict(format!(
                    "{run} is not parked at a step: it can only go on as it is, or be failed"
                )));
            }
        }
        let before = error.unwrap_or_else(|| RunError {
            code: "parked".to_owned(),
            message: "parked".to_owned(),
            trace: Vec::new(),
        });
        let error = RunError {
            message: format!("{}; failed by {}: {}", before.message, decision.actor, decision.reason),
            ..before
        };
        sqlx::query("UPDATE run SET state = 'failed', finished_at = $2, error = $3 WHERE id = $1")
            .bind(blob(run))
            .bind(nanos(decision.at))
            .bind(text_of(&error))
            .execute(&mut self.connection)
            .await?;
        Ok(())
    }

    /// No run ends by the way while it is not known what one of its steps did. A journal that cannot be read is
    /// why a run may be parked: that one it must be possible to end.
    async fn refuse_doubt(&mut self, run: RunId) -> Result<(), Halt> {
        match self.journal_of(run).await {
            Ok(journal) => match journal.doubtful().filter(|_| holds(Guard::DoubtStays)) {
                Some((path, _)) => Err(conflict(format!(
                    "step {path} of {run} may have moved money and its outcome is not known: decide about that step"
                ))),
                None => Ok(()),
            },
            Err(Halt::Refused(_)) => Ok(()),
            Err(failed @ Halt::Failed(_)) => Err(failed),
        }
    }

    pub(super) async fn journal_of(&mut self, run: RunId) -> Result<Journal, Halt> {
        legal(run, self.records_of(run).await?)
    }

    /// Ends a run at once if nothing is under way, else leaves word for the worker.
    pub(super) async fn cancel(
        &mut self,
        run: RunId,
        actor: &str,
        reason: &str,
        now: Instant,
    ) -> Result<RunState, Halt> {
        let standing = self.standing(run).await?;
        let mut note = format!("cancelled by {actor}: {reason}");
        let under_way = match standing.state {
            RunState::Cancelled => return Ok(RunState::Cancelled),
            RunState::Succeeded | RunState::Failed => {
                return Err(conflict(format!("{run} has already ended: it {}", standing.state)));
            }
            RunState::Running => true,
            // What was sent is asked after first: only then is it known what the end means.
            // Nothing has been driven yet.
            RunState::Pending => false,
            RunState::Queued | RunState::Waiting => self.has_open_effect(run).await? && holds(Guard::CancelOpenEffect),
            RunState::Parked => {
                self.refuse_doubt(run).await?;
                if let Some(error) = standing.error {
                    note = format!("{note} (before that: {})", error.message);
                }
                false
            }
        };
        if under_way {
            if let Some(driven) = self.driven.get_mut(&run) {
                driven.cancel_note.get_or_insert_with(|| note.clone());
            }
            sqlx::query("UPDATE run SET cancel_note = coalesce(cancel_note, $2) WHERE id = $1")
                .bind(blob(run))
                .bind(note)
                .execute(&mut self.connection)
                .await?;
            // Nothing goes out again: what it waited for to do so is not waited for any more.
            let woken =
                sqlx::query("UPDATE run SET state = 'queued', wake_at = NULL WHERE id = $1 AND state = 'waiting'")
                    .bind(blob(run))
                    .execute(&mut self.connection)
                    .await?;
            return Ok(match woken.rows_affected() {
                0 => standing.state,
                _ => RunState::Queued,
            });
        }
        sqlx::query(
            "UPDATE run SET state = 'cancelled', finished_at = $2, error = $3, wake_at = NULL \
             WHERE id = $1",
        )
        .bind(blob(run))
        .bind(nanos(now))
        .bind(cancelled(Some(&note)))
        .execute(&mut self.connection)
        .await?;
        Ok(RunState::Cancelled)
    }
}

fn legal(run: RunId, records: Vec<Record>) -> Result<Journal, Halt> {
    let journal = Journal::from_records(records);
    Ok(journal.map_err(|error| corrupt(format_args!("the journal of {run}"), error))?)
}

pub(super) fn conflict(what: String) -> Halt {
    Halt::Refused(StoreError::Conflict(what))
}
