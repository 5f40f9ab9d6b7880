//! Follows a run: prints its steps as they are recorded, read from the store beside whoever drives it.

use std::sync::Arc;
use std::time::Duration;

use super::Context;
use super::error::CliError;
use super::steps::Shown;
use super::text::one_line;
use crate::app::approvals::of_run;
use crate::base::clock::{Clock as _, SystemClock};
use crate::base::ids::RunId;
use crate::model::journal::{Journal, Record};
use crate::model::run::{Run, RunState};
use crate::store::{Store, StoreError};

/// How often the store is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Prints what happens until the run has ended, needs a person, or has waited for longer than `patience`.
pub(super) async fn follow(
    context: &Context,
    store: &Arc<dyn Store>,
    id: RunId,
    patience: Duration,
) -> Result<Run, CliError> {
    let clock = SystemClock::new();
    let mut shown = Shown::without(context.settings()?.redactor());
    let mut waiting_since = None;
    let mut turns_seen = None;
    loop {
        // The run first: what is recorded after it was read is printed by the next look.
        let run = find(store, id).await?;
        let moved = turns_seen.replace((run.turns, run.state)) != Some((run.turns, run.state));
        if moved || run.state == RunState::Running {
            print_fresh(context, store, id, &mut shown).await?;
        }
        let rests = match run.state {
            RunState::Waiting => {
                if waiting_since.is_none() {
                    tell_approvals(context, store, &run).await?;
                }
                let since = *waiting_since.get_or_insert_with(|| clock.elapsed());
                clock.elapsed().saturating_sub(since) >= patience
            }
            RunState::Queued | RunState::Pending | RunState::Running => {
                waiting_since = None;
                false
            }
            RunState::Succeeded | RunState::Failed | RunState::Cancelled | RunState::Parked => true,
        };
        if rests {
            return Ok(run);
        }
        clock.sleep(LOOK_EVERY).await;
    }
}

/// Prints the steps that were recorded since the last time.
pub(super) async fn print_fresh(
    context: &Context,
    store: &Arc<dyn Store>,
    id: RunId,
    shown: &mut Shown,
) -> Result<(), CliError> {
    if context.output.json {
        return Ok(());
    }
    for line in shown.fresh(&journal(store, id).await?, context.now()) {
        context.output.print(&line.moving())?;
    }
    Ok(())
}

/// Says what a waiting run asks a person, and how to answer.
pub(super) async fn tell_approvals(context: &Context, store: &Arc<dyn Store>, run: &Run) -> Result<(), CliError> {
    for open in of_run(store.as_ref(), run.clone()).await? {
        if open.parked().is_some() {
            continue;
        }
        let (reason, path) = (one_line(&open.asked.reason), &open.path);
        context.output.note(&format!(
            "step {path} waits for an approval: {reason}: `bursar approvals show {} {path}`",
            run.id
        ));
    }
    Ok(())
}

/// A run that has to be there.
pub(super) async fn find(store: &Arc<dyn Store>, id: RunId) -> Result<Run, CliError> {
    let run = store.run(id).await?;
    run.ok_or_else(|| StoreError::NotFound(id.to_string()).into())
}

/// Its journal.
pub(super) async fn journal(store: &Arc<dyn Store>, id: RunId) -> Result<Journal, CliError> {
    legal(id, &store.journal(id).await?)
}

/// What its records say.
pub(super) fn legal(id: RunId, records: &[Record]) -> Result<Journal, CliError> {
    let journal = Journal::from_records(records.to_vec());
    journal.map_err(|error| StoreError::Corrupt(format!("{id}: {error}")).into())
}
