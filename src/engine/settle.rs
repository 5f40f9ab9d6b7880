//! The end of a turn: what its run is left as.
//!
//! Why a turn was interrupted outranks what the script came to; what nobody knows the outcome of outranks every end.

use std::future::ready;

use super::interrupt::Interrupt;
use super::turn::{Turn, run_error};
use crate::base::clock::BoxFuture;
use crate::base::guard::{Guard, holds};
use crate::base::ids::RunId;
use crate::model::journal::{Journal, Phase, StepPath};
use crate::model::run::{EventMark, Run, Settlement};
use crate::store::{StoreError, Written};

impl Turn {
    /// Ends the turn: what the run is left as, handed to the store by the call itself with all that still
    /// rides. The answer waits until it is durable; `false`: the run is not ours any more and nothing was written.
    pub fn settle(&self, end: Settlement) -> BoxFuture<'static, Result<bool, StoreError>> {
        let mut pages = self.book.open();
        let end = match self.interrupt_reason() {
            None => end,
            Some(Interrupt::Waiting {
                wake_at,
                waits_for,
                seen,
            }) => Settlement::Waiting {
                wake_at,
                waits_for,
                seen,
            },
            Some(Interrupt::Parked(error)) => Settlement::Parked { error },
            Some(Interrupt::Failed(error)) => Settlement::Failed { error },
            Some(Interrupt::Cancelled) => Settlement::Cancelled,
            Some(Interrupt::Stopping | Interrupt::Rehearsed { .. }) => Settlement::Queued,
            Some(Interrupt::LeaseLost) => return Box::pin(ready(Ok(false))),
            // What cannot be read now may be read in a moment; what is damaged will not be.
            Some(Interrupt::StoreDown(error @ StoreError::Corrupt(_))) => parked("damaged", error.to_string()),
            Some(Interrupt::StoreDown(_)) => self.shortly(),
        };
        let end = match pages.whole() {
            Ok(()) => self.with_nothing_open(&pages.journal, end),
            Err(illegal) => parked("diverged", illegal.to_string()),
        };
        if end.state().is_final() {
            // Nothing is paid twice by this end, but somebody paid for a step that no step stands for any more.
            let left = pages
                .seen
                .iter()
                .filter(|seen| seen.is_forgotten_by(self.run.id, &pages.journal));
            for left in left {
                tracing::warn!(run = %self.run.id, step = %left.path, "the provider has {}, which this run made before an older state of the store was put back, and which none of its steps accounts for now", left.what);
            }
        }
        let mut append = pages.take_append();
        append.begins_effect = false;
        let told = told(&end, &pages.journal, &self.run);
        append.settlement = Some(end);
        let written = self.services.store.append(&self.lease, append, self.now());
        let queued = pages.take_queued();
        drop(pages);
        Box::pin(async move {
            match all_of(queued, written).await {
                Ok(()) => {
                    if let Some(needs_person) = told {
                        needs_person.tell();
                    }
                    Ok(true)
                }
                Err(StoreError::LeaseLost { .. }) => Ok(false),
                Err(error) => Err(error),
            }
        })
    }

    /// No run ends while it is not known what one of its steps did: a person decides, or, if only the end of the
    /// run was asked for, the next turn finds out first.
    fn with_nothing_open(&self, journal: &Journal, end: Settlement) -> Settlement {
        let Some((path, record)) = journal
            .doubtful()
            .filter(|_| end.state().is_final() && holds(Guard::NothingOpen))
        else {
            return end;
        };
        if let Phase::Doubt { doubt, .. } = &record.phase {
            return parked(&doubt.code, format!("step {path}: {}", doubt.message));
        }
        if end == Settlement::Cancelled {
            return self.shortly();
        }
        let message = format!(
            "step {path}, `{}`, was sent and its outcome was never recorded",
            record.step.name
        );
        parked("in_doubt", message)
    }

    /// To be taken again in a moment.
    fn shortly(&self) -> Settlement {
        let wake_at = self.now() + chrono::TimeDelta::seconds(1);
        Settlement::Waiting {
            wake_at,
            waits_for: Vec::new(),
            seen: EventMark::default(),
        }
    }
}

/// Waits for the writes that were handed over before, then for the last one.
pub(super) async fn all_of(queued: Vec<Written>, last: Written) -> Result<(), StoreError> {
    for earlier in queued {
        earlier.await?;
    }
    last.await
}

/// A run that is parked, as the log tells it: whoever watches that has to know, and nobody watches runs. What moves,
/// and what a provider said, is told by the commands it names.
pub(super) struct NeedsPerson {
    pub(super) run: RunId,
    pub(super) workflow: String,
    /// The step in doubt, if one is.
    pub(super) step: Option<StepPath>,
    pub(super) code: String,
}

impl NeedsPerson {
    pub(super) fn tell(&self) {
        let Self {
            run,
            workflow,
            step,
            code,
        } = self;
        match step {
            Some(step) => tracing::warn!(
                %run, workflow, %step, code,
                "a run is parked and needs a person: `bursar reconcile show {run} --step {step}`"
            ),
            None => tracing::warn!(
                %run, workflow, code,
                "a run is parked and needs a person: `bursar runs show {run}`"
            ),
        }
    }
}

fn told(end: &Settlement, journal: &Journal, run: &Run) -> Option<NeedsPerson> {
    let Settlement::Parked { error } = end else {
        return None;
    };
    Some(NeedsPerson {
        run: run.id,
        workflow: run.workflow.clone(),
        step: journal.doubts().next().map(|(path, _)| path.clone()),
        code: error.code.clone(),
    })
}

fn parked(code: &str, message: String) -> Settlement {
    Settlement::Parked {
        error: run_error(code, message),
    }
}
