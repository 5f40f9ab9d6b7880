//! Trials: a turn of a run that changes nothing, to see whether its script can be driven at all.
//!
//! What the journal knows is answered from it; reads are made; what changes something outside does not begin, and
//! nothing is written. So a trial goes as far as the turns went that came to nothing.

use std::sync::Arc;

use super::services::Services;
use super::turn::Turn;
use super::worker::{globals, interpreter};
use crate::base::ids::{RunId, WorkerId};
use crate::model::journal::Journal;
use crate::script::spawn_script_thread_with;
use crate::store::{Lease, StoreError};

/// Tries the next turn of a run, over a store that need only be readable. Returns when the script has come as far
/// as it can; whatever that is, it was survived.
///
/// # Errors
/// What the store answers, or the system when it gives no thread.
pub async fn try_out(services: Arc<Services>, id: RunId) -> Result<(), StoreError> {
    let missing = |what: &str| StoreError::NotFound(format!("{what} of {id}"));
    let store = services.store.clone();
    let run = store.run(id).await?.ok_or_else(|| missing("the row"))?;
    let version = store
        .version(run.version)
        .await?
        .ok_or_else(|| missing("the version"))?;
    let journal =
        Journal::from_records(store.journal(id).await?).map_err(|error| StoreError::Corrupt(error.to_string()))?;
    let globals = globals(&run).map_err(StoreError::Corrupt)?;
    let lease = Lease {
        run: id,
        worker: WorkerId::generate(services.clock.now()),
        fence: 0,
    };
    let (version, stack_bytes) = (Arc::new(version), services.settings.stack_bytes);
    let turn = Turn::new(services.clone(), run, version.clone(), lease, journal).on_trial();
    let thread = spawn_script_thread_with(stack_bytes, "trial", move || {
        let budget = services.settings.budget;
        let ran = interpreter(&services).run(&version, Arc::new(turn), globals, budget);
        services.helpers.close();
        ran
    });
    let thread = thread.map_err(|error| StoreError::Unavailable(error.to_string()))?;
    let ended = tokio::task::spawn_blocking(move || thread.join()).await;
    match ended {
        Ok(Ok(ran)) => tracing::info!(run = %id, ?ran, "the trial was survived"),
        // A panic ends a turn and not the process.
        Ok(Err(_)) | Err(_) => tracing::warn!(run = %id, "the trial panicked"),
    }
    Ok(())
}
