//! Decisions about approvals: the answer and what makes the run go on, in one write.
//!
//! Whether an answer fits what was asked is decided by `model::journal`. Here it is only made sure that nobody else
//! writes the journal at this moment, and that the run is one that goes on.

use super::decide::conflict;
use super::lease::missing;
use super::rows::{Columns, blob};
use super::writer::{Halt, Writer};
use crate::base::guard::{Guard, holds};
use crate::model::journal::{Entry, Undecidable};
use crate::model::run::RunState;
use crate::store::{ApprovalDecision, StoreError};

impl Writer {
    /// Records the answer to an approval. A run that waits is queued; one that is queued, or that a process left
    /// running when it ended, finds the answer when it is taken next.
    pub(super) async fn decide(&mut self, decision: ApprovalDecision) -> Result<(), Halt> {
        let run = decision.run;
        let row = sqlx::query("SELECT state, cancel_note IS NOT NULL FROM run WHERE id = $1")
            .bind(blob(run))
            .fetch_optional(&mut self.connection)
            .await?
            .ok_or_else(|| missing(run))?;
        let mut columns = Columns::of(&row, format!("run {run}"));
        let (state, is_to_end): (RunState, bool) = (columns.parse()?, columns.get()?);
        if holds(Guard::DecidedAlive) {
            refuse_the_ended(&decision, state, is_to_end)?;
        }
        if self.driven.contains_key(&run) && holds(Guard::DecidedUndriven) {
            return Err(StoreError::Busy { run }.into());
        }
        let journal = self.journal_of(run).await?;
        journal
            .may_decide(&decision.path, decision.asked, decision.at)
            .map_err(|refused| match refused {
                Undecidable::Missing(path) => StoreError::NotFound(format!("step {path} of {run}")).into(),
                refused => conflict(format!("step {} of {run}: {refused}", decision.path)),
            })?;
        let entry = Entry::Decided {
            path: decision.path,
            asked: decision.asked,
            approved: decision.approved,
            actor: decision.actor,
            reason: decision.reason,
        };
        self.enter(run, journal, decision.at, entry).await?;
        sqlx::query("UPDATE run SET state = 'queued', wake_at = NULL WHERE id = $1 AND state = 'waiting'")
            .bind(blob(run))
            .execute(&mut self.connection)
            .await?;
        Ok(())
    }
}

fn refuse_the_ended(decision: &ApprovalDecision, state: RunState, is_to_end: bool) -> Result<(), Halt> {
    let run = decision.run;
    match state {
        RunState::Succeeded | RunState::Failed | RunState::Cancelled => Err(conflict(format!(
            "{run} has ended ({state}): there is nothing to decide"
        ))),
        RunState::Parked => Err(conflict(format!(
            "{run} is parked: decide about that first, with `bursar runs resolve`"
        ))),
        RunState::Queued | RunState::Running | RunState::Waiting if is_to_end => Err(conflict(format!(
            "the end of {run} was asked for: there is nothing to decide any more"
        ))),
        RunState::Queued | RunState::Running | RunState::Waiting => Ok(()),
    }
}
