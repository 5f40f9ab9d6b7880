//! Looks at suspected runs: each is tried in a process of its own, which it may bring down.
//!
//! What suspicion and quarantine mean is decided in `model::quarantine`.

use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tokio::process::Command;

use super::settings::Settings;
use super::{AppError, services};
use crate::base::clock::{Clock, SystemClock};
use crate::base::fault_point;
use crate::base::ids::RunId;
use crate::base::wake::Wake;
use crate::engine::trial;
use crate::model::quarantine::{SUSPECTED, brought_down, not_tried};
use crate::model::run::{RunError, RunState};
use crate::store::{RunQuery, Store, StoreError};

/// How long a trial may take: its reads wait for the provider. One that is still at it has not been brought down.
const TRIAL_MAX: Duration = Duration::from_secs(120);
/// Suspected runs looked at in one go.
const SUSPECTED_MAX: u32 = 10_000;

/// Looks at every suspected run, one after the other, and lets it go on or says why not.
pub(super) async fn examine_all(settings: Settings, store: Arc<dyn Store>, clock: Arc<dyn Clock>, wake: Wake) {
    let suspected = match suspected(store.as_ref()).await {
        Ok(suspected) => suspected,
        Err(error) => return tracing::error!(%error, "suspected runs could not be looked for"),
    };
    for run in suspected {
        let found = examine(&settings, clock.as_ref(), run).await;
        match &found {
            None => tracing::info!(%run, "the trial ended in good order; the run goes on"),
            Some(error) => tracing::error!(%run, code = error.code, "{}: `bursar runs show {run}`", error.message),
        }
        if let Err(error) = store.examined(run, found).await {
            tracing::error!(%run, %error, "what the trial showed could not be recorded");
        }
        wake.nudge();
    }
}

async fn suspected(store: &dyn Store) -> Result<Vec<RunId>, StoreError> {
    let query = RunQuery {
        states: vec![RunState::Parked],
        limit: SUSPECTED_MAX,
        ..RunQuery::default()
    };
    let parked = store.runs(query).await?;
    let suspected = parked
        .into_iter()
        .filter(|run| run.error.as_ref().is_some_and(|error| error.code == SUSPECTED));
    Ok(suspected.map(|run| run.id).collect())
}

/// Tries one run. Nothing: it may go on.
async fn examine(settings: &Settings, clock: &dyn Clock, run: RunId) -> Option<RunError> {
    let mut command = match std::env::current_exe() {
        Ok(program) => Command::new(program),
        Err(error) => return Some(not_tried(&error.to_string())),
    };
    if let Some(file) = &settings.file {
        command.arg("--config").arg(file);
    }
    command.arg("--state").arg(&settings.state);
    command
        .args(["trial", &run.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        // What the system says of its end belongs into the log.
        .stderr(Stdio::inherit())
        // What is to befall the daemon is not meant for it.
        .env_remove(fault_point::VARIABLE)
        .kill_on_drop(true);
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return Some(not_tried(&error.to_string())),
    };
    tokio::select! {
        ended = child.wait() => match ended {
            Ok(status) => told(status),
            Err(error) => Some(not_tried(&error.to_string())),
        },
        () = clock.sleep(TRIAL_MAX) => None,
    }
}

fn told(status: ExitStatus) -> Option<RunError> {
    match (status.code(), status.signal()) {
        (Some(0), _) => None,
        (Some(code), _) => Some(not_tried(&format!("the trial ended with exit code {code}"))),
        (None, signal) => Some(brought_down(&format!("signal {}", signal.unwrap_or_default()))),
    }
}

/// Tries a run in this process.
///
/// # Errors
/// [`AppError`] when it cannot begin. A run that brings the process down returns nothing at all.
pub async fn try_here(settings: &Settings, run: RunId) -> Result<(), AppError> {
    let store = super::offline::read_store(settings).await?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let services = services(settings, store, clock, Wake::new()).await?;
    Ok(trial::try_out(Arc::new(services), run).await?)
}
