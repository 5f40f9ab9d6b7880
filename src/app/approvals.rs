//! Approvals that wait for a person, and their decision where no daemon holds the store.
//!
//! It reads and hands on. What may be decided is the journal's to say.

use super::AppError;
use super::settings::Settings;
use crate::base::clock::Instant;
use crate::model::journal::{Asked, Journal, Step, StepPath};
use crate::model::run::{Run, RunError, RunState};
use crate::store::sqlite::{SqliteOptions, SqliteStore};
use crate::store::{ApprovalDecision, Restored, RunQuery, Store};

/// Runs looked through at a time.
const PAGE: u32 = 1_000;

/// A step at which a person is asked.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenApproval {
    /// Its run.
    pub run: Run,
    /// Where it stands in the run.
    pub path: StepPath,
    /// What it is; its fingerprint covers all that is asked.
    pub step: Step,
    /// What is asked.
    pub asked: Asked,
    /// Since when, the last time it was asked.
    pub since: Instant,
    /// Until when.
    pub until: Instant,
}

impl OpenApproval {
    /// Why its run is parked, if it is: a person decides about that first, and until then takes no answer.
    pub fn parked(&self) -> Option<&RunError> {
        self.run.error.as_ref().filter(|_| self.run.state == RunState::Parked)
    }

    /// Whether the store may have forgotten an answer, because an older state of it was put back.
    pub fn may_be_forgotten(&self, restored: Option<&Restored>) -> bool {
        restored.is_some_and(|restored| restored.may_forget_since(self.since))
    }
}

/// Every approval that waits for an answer, the oldest first.
///
/// # Errors
/// When the store cannot be read.
pub async fn all(store: &dyn Store) -> Result<Vec<OpenApproval>, AppError> {
    let mut found = Vec::new();
    let mut before = None;
    loop {
        let query = RunQuery {
            asking: true,
            before,
            limit: PAGE,
            ..RunQuery::default()
        };
        let page = store.runs(query).await?;
        before = page.last().map(|run| run.id);
        let is_last = page.len() < usize::try_from(PAGE).unwrap_or(usize::MAX);
        for run in page {
            found.extend(of_run(store, run).await?);
        }
        if is_last {
            found.sort_by_key(|open| open.since);
            return Ok(found);
        }
    }
}

/// The approvals of a run that wait for an answer, in the order of its steps.
///
/// # Errors
/// When the store cannot be read.
pub async fn of_run(store: &dyn Store, run: Run) -> Result<Vec<OpenApproval>, AppError> {
    if !may_go_on(&run) {
        return Ok(Vec::new());
    }
    // A journal that cannot be read is met by whoever drives the run, which is parked then.
    let Ok(journal) = Journal::from_records(store.journal(run.id).await?) else {
        return Ok(Vec::new());
    };
    let open = journal.approvals().filter_map(|(path, record)| {
        let (asked, until) = record.asked()?;
        Some(OpenApproval {
            run: run.clone(),
            path: path.clone(),
            step: record.step.clone(),
            asked: asked.clone(),
            since: record.since,
            until,
        })
    });
    Ok(open.collect())
}

/// Whether a run may come to what it asks for.
fn may_go_on(run: &Run) -> bool {
    !run.state.is_final() && !run.cancel_requested
}

/// Records a decision, when no daemon holds the store.
///
/// # Errors
/// [`AppError`].
pub async fn decide_here(settings: &Settings, decision: ApprovalDecision) -> Result<(), AppError> {
    let store = SqliteStore::open(&settings.state, SqliteOptions::default()).await?;
    let decided = store.decide(decision).await;
    store.close().await?;
    Ok(decided?)
}
