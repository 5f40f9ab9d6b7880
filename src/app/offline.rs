//! What commands do when no daemon holds the store: read it, check the files, drive one run to its end.

use std::sync::Arc;
use std::time::Duration;

use super::settings::Settings;
use super::{AppError, approvals, context, folders, services};
use crate::base::clock::{Clock, SystemClock};
use crate::base::ids::{EventId, RunId, WorkerId};
use crate::base::shutdown::Shutdown;
use crate::base::suggest::nearest;
use crate::base::wake::Wake;
use crate::catalog::load::{Loaded, load};
use crate::catalog::snapshot::Snapshot;
use crate::catalog::watch::Catalog;
use crate::engine::worker::Engine;
use crate::model::diagnostic::Diagnostic;
use crate::model::run::{Run, RunState};
use crate::model::unmade::{Pause, PauseCause, Resumption};
use crate::model::workflow::Workflow;
use crate::store::sqlite::{SqliteOptions, SqliteStore};
use crate::store::{Acceptance, Restored, Store};
use crate::trigger::make_up::{MakeUpError, Wanted, make_up};
use crate::trigger::manual::{Request, Started, start};
use crate::trigger::replay::{Again, Choice, Replay, Replayed};
use crate::trigger::versions::KnownVersions;

/// How often a run that is driven here is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Reads and checks every manifest and script.
pub fn load_workflows(settings: &Settings) -> Loaded {
    load(&folders(settings), &context(settings))
}

/// The store, for reading, beside a daemon or without one.
///
/// # Errors
/// [`AppError`] when there is none yet.
pub async fn read_store(settings: &Settings) -> Result<Arc<dyn Store>, AppError> {
    let store: Arc<dyn Store> = SqliteStore::open_read_only(&settings.state).await?;
    Ok(store)
}

/// Makes a run and drives it here until it has ended, needs a person, waits for longer than `patience`, or somebody
/// asks for the end: then its turn ends at its next step, and the run is given as it was left.
///
/// # Errors
/// [`AppError`]; `Store(Locked)` when a daemon holds the store.
pub async fn run_here(
    settings: &Settings,
    workflow: &str,
    request: Request,
    patience: Duration,
    shutdown: Shutdown,
    started: impl FnOnce(Started),
) -> Result<Run, AppError> {
    let catalog = Catalog::open(folders(settings), context(settings));
    let workflow = find_workflow(&catalog.current(), workflow)?;
    let store: Arc<dyn Store> = SqliteStore::open(&settings.state, SqliteOptions::default()).await?;
    let ran = drive(settings, store.clone(), &workflow, request, patience, shutdown, started).await;
    store.close().await?;
    ran
}

async fn drive(
    settings: &Settings,
    store: Arc<dyn Store>,
    workflow: &Workflow,
    request: Request,
    patience: Duration,
    mut shutdown: Shutdown,
    started: impl FnOnce(Started),
) -> Result<Run, AppError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let begun = start(store.as_ref(), &KnownVersions::new(), workflow, request, clock.now()).await?;
    let id = begun.run;
    started(begun);
    let services = Arc::new(services(settings, store.clone(), clock.clone(), Wake::new()).await?);
    store.reclaim_all(clock.now()).await?;
    let engine = Engine::start(services, WorkerId::generate(clock.now()));
    let engine = engine.map_err(AppError::io("the script threads cannot be started"))?;
    let settled = tokio::select! {
        run = until_settled(store.as_ref(), clock.as_ref(), id, patience) => Some(run),
        () = shutdown.requested() => None,
    };
    engine.stop().await;
    match settled {
        Some(run) => run,
        None => run_of(store.as_ref(), id).await,
    }
}

async fn run_of(store: &dyn Store, id: RunId) -> Result<Run, AppError> {
    let run = store.run(id).await?;
    run.ok_or_else(|| AppError::Other(format!("{id} has vanished from the store")))
}

async fn until_settled(store: &dyn Store, clock: &dyn Clock, id: RunId, patience: Duration) -> Result<Run, AppError> {
    let mut waiting_since = None;
    loop {
        let run = run_of(store, id).await?;
        match run.state {
            // Behind another run, for which nobody else can work while the store is held here.
            RunState::Pending => return Ok(run),
            RunState::Waiting => {
                let since = *waiting_since.get_or_insert_with(|| clock.elapsed());
                if clock.elapsed().saturating_sub(since) >= patience || waits_for_a_person(store, &run).await? {
                    return Ok(run);
                }
            }
            RunState::Queued | RunState::Running => waiting_since = None,
            RunState::Succeeded | RunState::Failed | RunState::Cancelled | RunState::Parked => return Ok(run),
        }
        clock.sleep(LOOK_EVERY).await;
    }
}

/// Whether nothing but a decision helps a waiting run: nobody could give one while its store is held here.
async fn waits_for_a_person(store: &dyn Store, run: &Run) -> Result<bool, AppError> {
    if !run.waits_for.is_empty() {
        return Ok(false);
    }
    let open = approvals::of_run(store, run.clone()).await?;
    let first = open.iter().map(|open| open.until).min();
    Ok(first.is_some() && first == run.wake_at)
}

/// The workflow of this name, or why there is none.
///
/// # Errors
/// [`AppError::UnknownWorkflow`] or [`AppError::BrokenWorkflow`].
pub fn find_workflow(snapshot: &Snapshot, name: &str) -> Result<Arc<Workflow>, AppError> {
    if let Some(workflow) = snapshot.workflows.get(name) {
        return Ok(workflow.clone());
    }
    if snapshot.broken.contains(name) {
        return Err(AppError::BrokenWorkflow {
            name: name.to_owned(),
            findings: findings_about(snapshot, name),
        });
    }
    let suggestion = nearest(name, snapshot.workflows.keys().map(String::as_str)).map(str::to_owned);
    Err(AppError::UnknownWorkflow {
        name: name.to_owned(),
        suggestion,
    })
}

/// What is wrong with a manifest, or else with the scripts, of which one is the reason.
fn findings_about(snapshot: &Snapshot, name: &str) -> Vec<Diagnostic> {
    let file = format!("/{name}.toml");
    let errors = || snapshot.diagnostics().filter(|finding| finding.is_error());
    let own: Vec<Diagnostic> = errors()
        .filter(|finding| finding.file.ends_with(&file))
        .cloned()
        .collect();
    if own.is_empty() {
        return errors()
            .filter(|finding| finding.file.ends_with(".rhai"))
            .cloned()
            .collect();
    }
    own
}

/// Takes the word of a person that sending may go on after a restore, when no daemon holds the store.
///
/// # Errors
/// [`AppError`].
pub async fn accept_restore_here(settings: &Settings, acceptance: Acceptance) -> Result<Option<Restored>, AppError> {
    let store = SqliteStore::open(&settings.state, SqliteOptions::default()).await?;
    let at = acceptance.at;
    let accepted = match store.accept_restore(acceptance).await {
        Ok(()) => store.restored(at).await,
        Err(error) => Err(error),
    };
    store.close().await?;
    Ok(accepted?)
}

/// Makes the runs of slots that passed without one, when no daemon holds the store. The next daemon drives them.
///
/// # Errors
/// [`AppError`].
pub async fn make_up_here(
    settings: &Settings,
    workflow: &Workflow,
    wanted: Wanted<'_>,
    actor: &str,
) -> Result<Vec<RunId>, AppError> {
    let store = SqliteStore::open(&settings.state, SqliteOptions::default()).await?;
    let now = SystemClock::new().now();
    let made = make_up(store.as_ref(), &KnownVersions::new(), workflow, wanted, actor, now).await;
    store.close().await?;
    made.map_err(|error| match error {
        MakeUpError::Store(error) => error.into(),
        error => AppError::Other(error.to_string()),
    })
}

/// Has the schedules of a workflow start nothing, when no daemon holds the store.
///
/// # Errors
/// [`AppError`].
pub async fn pause_here(settings: &Settings, workflow: &str, actor: &str, reason: &str) -> Result<(), AppError> {
    let store = SqliteStore::open(&settings.state, SqliteOptions::default()).await?;
    let pause = Pause {
        workflow: workflow.to_owned(),
        since: SystemClock::new().now(),
        actor: actor.to_owned(),
        reason: reason.to_owned(),
        cause: PauseCause::Person,
    };
    let paused = store.pause(pause).await;
    store.close().await?;
    Ok(paused?)
}

/// Has the schedules of a workflow go on, when no daemon holds the store; whether they were paused.
///
/// # Errors
/// [`AppError`].
pub async fn resume_here(
    settings: &Settings,
    workflow: &str,
    actor: &str,
    reason: Option<String>,
) -> Result<bool, AppError> {
    let store = SqliteStore::open(&settings.state, SqliteOptions::default()).await?;
    let resumption = Resumption {
        at: SystemClock::new().now(),
        actor: actor.to_owned(),
        reason,
    };
    let resumed = store.resume(workflow, resumption).await;
    store.close().await?;
    Ok(resumed?)
}

/// Says that the clock is right, when no daemon holds the store; whether that was in doubt.
///
/// # Errors
/// [`AppError`].
pub async fn trust_clock_here(settings: &Settings) -> Result<bool, AppError> {
    let store = SqliteStore::open(&settings.state, SqliteOptions::default()).await?;
    let was_in_doubt = store.trust_clock(SystemClock::new().now()).await;
    store.close().await?;
    Ok(was_in_doubt?)
}

/// Ends a run, when no daemon holds the store.
///
/// # Errors
/// [`AppError`].
pub async fn cancel_here(settings: &Settings, run: RunId, actor: &str, reason: &str) -> Result<RunState, AppError> {
    let store = SqliteStore::open(&settings.state, SqliteOptions::default()).await?;
    let now = SystemClock::new().now();
    let cancelled = store.cancel(run, actor, reason, now).await;
    store.close().await?;
    Ok(cancelled?)
}

/// A wish to replay an event.
#[derive(Debug, Clone)]
pub struct Replaying {
    /// The event.
    pub event: EventId,
    /// Only for this workflow.
    pub workflow: Option<String>,
    /// One more run, beside those there are.
    pub again: Option<Again>,
    /// Who asks.
    pub actor: String,
}

/// What a replay would do, by the files as they are.
///
/// # Errors
/// [`AppError`].
pub async fn plan_replay(
    settings: &Settings,
    store: Arc<dyn Store>,
    event: EventId,
    workflow: Option<&str>,
) -> Result<Vec<Choice>, AppError> {
    let catalog = Catalog::open(folders(settings), context(settings));
    let replay = Replay {
        store: store.as_ref(),
        catalog: &catalog,
        versions: &KnownVersions::new(),
    };
    Ok(replay.plan(event, workflow).await?)
}

/// Replays an event, when no daemon holds the store; what became of it for each workflow.
///
/// # Errors
/// [`AppError`].
pub async fn replay_here(settings: &Settings, asked: Replaying) -> Result<Vec<Replayed>, AppError> {
    let catalog = Catalog::open(folders(settings), context(settings));
    let store = SqliteStore::open(&settings.state, SqliteOptions::default()).await?;
    let replay = Replay {
        store: store.as_ref(),
        catalog: &catalog,
        versions: &KnownVersions::new(),
    };
    let now = SystemClock::new().now();
    let (workflow, again) = (asked.workflow.as_deref(), asked.again.as_ref());
    let made = replay.make(asked.event, workflow, again, &asked.actor, now).await;
    store.close().await?;
    Ok(made?)
}
