//! Decisions about approvals: the answer and what makes the run go on, in one write.
//!
//! Whether an answer fits what was asked is decided by `model::journal`. Here it is only made sure that the run is one
//! that goes on, and that a worker who drives it does not contradict the answer.

use super::decide::conflict;
use super::lease::missing;
use super::rows::{Columns, blob};
use super::witness::Testimony;
use super::writer::{Halt, Writer};
use crate::base::guard::{Guard, holds};
use crate::model::journal::{Entry, StepRecord, Undecidable};
use crate::model::run::RunState;
use crate::store::{ApprovalDecision, StoreError};

impl Writer {
    /// Records the answer to an approval. A run that waits is queued; one that is queued, or that a process left
    /// running when it ended, finds the answer when it is taken next. So does one that is driven: its turn goes on
    /// without the answer, and what it writes stands behind it.
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
        let journal = self.journal_of(run).await?;
        let claimed_at = self.driven.get(&run).map(|driven| driven.claimed_at);
        // Its turn may be saying so already.
        let asked = journal.step(&decision.path).and_then(StepRecord::asked);
        if let (Some(claimed_at), Some((_, deadline))) = (claimed_at, asked)
            && deadline <= claimed_at
            && holds(Guard::DecidedBeforeClaim)
        {
            return Err(refused(&decision, Undecidable::TooLate(deadline)));
        }
        journal
            .may_decide(&decision.path, decision.asked, decision.at)
            .map_err(|why| refused(&decision, why))?;
        let entry = Entry::Decided {
            path: decision.path,
            asked: decision.asked,
            approved: decision.approved,
            actor: decision.actor,
            reason: decision.reason,
        };
        // A state of the store that lacks an answer is an older one, too: a no in it would be asked for again.
        let (seq, at) = (journal.last_seq() + 1, decision.at);
        self.enter(run, journal, at, entry).await?;
        self.sent = Some(Testimony::Entry { run, seq, at });
        if let Some(driven) = self.driven.get_mut(&run) {
            driven.last_seq += 1;
            driven.entered += 1;
        }
        sqlx::query("UPDATE run SET state = 'queued', wake_at = NULL WHERE id = $1 AND state = 'waiting'")
            .bind(blob(run))
            .execute(&mut self.connection)
            .await?;
        Ok(())
    }
}

fn refused(decision: &ApprovalDecision, why: Undecidable) -> Halt {
    match why {
        Undecidable::Missing(path) => StoreError::NotFound(format!("step {path} of {}", decision.run)).into(),
        why => conflict(format!("step {} of {}: {why}", decision.path, decision.run)),
    }
}

fn refuse_the_ended(decision: &ApprovalDecision, state: RunState, is_to_end: bool) -> Result<(), Halt> {
    let run = decision.run;
    match state {
        RunState::Succeeded | RunState::Failed | RunState::Cancelled => Err(conflict(format!(
            "{run} has ended ({state}): there is nothing to decide"
        ))),
        RunState::Parked => Err(conflict(format!(
            "{run} is parked: decide about that first, with `bursar reconcile resolve`"
        ))),
        RunState::Queued | RunState::Running | RunState::Waiting if is_to_end => Err(conflict(format!(
            "the end of {run} was asked for: there is nothing to decide any more"
        ))),
        RunState::Queued | RunState::Pending | RunState::Running | RunState::Waiting => Ok(()),
    }
}
