//! The daemon: opens everything from the store upward, serves until it is told to stop, closes in the other
//! order.
//!
//! SIGTERM and SIGINT drain: no run is taken any more, turns end at their next step, what is under way is
//! recorded. A second signal ends the process at once; the journal makes that safe too.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::{JoinError, JoinHandle};

use super::settings::Settings;
use super::{AppError, beside_runs, context, control_path, folders, services, shared_connections};
use crate::base::clock::{BoxFuture, Clock, SystemClock};
use crate::base::fault_point::{FaultPoint, reach};
use crate::base::ids::WorkerId;
use crate::base::limits::PAGES_MAX;
use crate::base::shutdown::{Shutdown, Stopper};
use crate::base::wake::Wake;
use crate::catalog::watch::{Catalog, Pace, Watcher};
use crate::connector::client::Client;
use crate::engine::worker::Engine;
use crate::model::run::RunState;
use crate::server::control::{Control, Unfit, bind_control};
use crate::server::counters::DoorCounters;
use crate::server::webhook::{DoorLimits, WebhookDoor};
use crate::server::{control, webhook};
use crate::store::sqlite::{Durability, SqliteOptions, SqliteStore};
use crate::store::{Decision, Restored, Store};
use crate::trigger::backfill::{Backfill, Readings};
use crate::trigger::cron::CronTrigger;
use crate::trigger::router::Router;
use crate::trigger::versions::KnownVersions;
use crate::trigger::webhook::WebhookTrigger;

/// What the daemon listens on, once it does.
#[derive(Debug, Clone)]
pub struct Ready {
    /// Where webhooks arrive.
    pub webhooks: SocketAddr,
    /// The control socket.
    pub control: PathBuf,
    /// Workflows loaded.
    pub workflows: usize,
    /// Files that could not be loaded.
    pub problems: usize,
    /// Runs that an earlier process left behind, taken up again.
    pub recovered: u64,
    /// Runs that need a person.
    pub parked: u64,
    /// The older state of the store that was put back, while no person has accepted it: nothing is sent.
    pub restored: Option<Restored>,
}

/// Serves until a signal says to stop. The second signal ends the process with exit code 130.
///
/// # Errors
/// [`AppError`] when it cannot start; nothing is left behind then.
pub async fn serve(settings: Settings, ready: impl FnOnce(&Ready)) -> Result<(), AppError> {
    let (stopper, shutdown) = Stopper::new();
    let signals = signal(SignalKind::terminate()).and_then(|term| Ok((term, signal(SignalKind::interrupt())?)));
    let (term, int) = signals.map_err(AppError::io("signals cannot be received"))?;
    tokio::spawn(obey(term, int, stopper));
    serve_until(settings, shutdown, ready).await
}

/// Turns signals into the word to stop, and the second one into an end.
async fn obey(mut term: Signal, mut int: Signal, stopper: Stopper) {
    for received in 1.. {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
        if received == 1 {
            tracing::info!("stopping: turns end at their next step; a second signal ends the process at once");
            stopper.stop();
        } else {
            tracing::warn!("stopped at once; what was under way is resumed at the next start");
            #[expect(clippy::exit, reason = "a person asked for it twice; the journal makes it safe")]
            std::process::exit(130);
        }
    }
}

/// Serves until it is told to stop.
///
/// # Errors
/// As [`serve`].
pub async fn serve_until(settings: Settings, shutdown: Shutdown, ready: impl FnOnce(&Ready)) -> Result<(), AppError> {
    let durability = if settings.durable {
        Durability::Full
    } else {
        Durability::Normal
    };
    let options = SqliteOptions {
        durability,
        ..SqliteOptions::default()
    };
    let store: Arc<dyn Store> = SqliteStore::open(&settings.state, options).await?;
    let served = serve_store(&settings, store.clone(), shutdown, ready).await;
    store.close().await?;
    served
}

async fn serve_store(
    settings: &Settings,
    store: Arc<dyn Store>,
    mut shutdown: Shutdown,
    ready: impl FnOnce(&Ready),
) -> Result<(), AppError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let started_at = clock.now();
    let listener = TcpListener::bind(settings.listen).await;
    let listener = listener.map_err(AppError::io(format!(
        "cannot listen on {} for webhooks",
        settings.listen
    )))?;
    let webhooks = listener
        .local_addr()
        .map_err(AppError::io("the webhook door has no address"))?;
    let control_socket = control_path(&settings.state);
    let control_listener = bind_control(&control_socket).map_err(|error| AppError::Other(error.to_string()))?;

    let wake = Wake::new();
    let catalog = Catalog::open(folders(settings), context(settings));
    let watcher = Watcher::start(catalog.clone(), clock.clone(), Pace::default());
    let watcher = watcher.map_err(AppError::io("the folders of the workflows cannot be watched"))?;
    let versions = Arc::new(KnownVersions::new());
    let services = Arc::new(services(settings, store.clone(), clock.clone(), wake.clone()).await?);
    let restored = services.restored().filter(Restored::holds);
    if let Some(restored) = &restored {
        tracing::warn!(since = %restored.since, "reconcile-only: {}; nothing is sent until `bursar db accept-restore`", restored.sign.describe());
    }
    // Whatever an earlier process was driving when it ended is driven again; the lock makes sure it has ended.
    reach(FaultPoint::RecoveryBegun);
    let recovered = store.reclaim_all(clock.now()).await?;
    let counts = store.counts().await?;
    let parked = counts.iter().find(|(state, _)| *state == RunState::Parked);
    let parked = parked.map_or(0, |(_, number)| *number);
    if parked > 0 {
        tracing::warn!(
            parked,
            "runs are parked and need a person: `bursar runs ls --in-state parked`"
        );
    }
    reach(FaultPoint::RecoveryDone);
    let engine = Engine::start(services.clone(), WorkerId::generate(clock.now()));
    let mut engine = engine.map_err(AppError::io("the script threads cannot be started"))?;

    // Beside everything else: nobody waits for those that brought an earlier process down.
    let examined = super::quarantine::examine_all(settings.clone(), store.clone(), clock.clone(), wake.clone());
    let examined = tokio::spawn(examined);

    let arrived = Wake::new();
    let trigger = Arc::new(WebhookTrigger {
        store: store.clone(),
        connections: shared_connections(settings),
        clock: clock.clone(),
        arrived: arrived.clone(),
        wake: wake.clone(),
    });
    let backfill = match settings.backfill_every {
        Some(every) => Some(Backfill {
            store: store.clone(),
            connections: shared_connections(settings),
            client: Client::new()?,
            clock: clock.clone(),
            arrived: arrived.clone(),
            wake: wake.clone(),
            every,
            pages_max: PAGES_MAX,
            traffic: beside_runs(&services),
            readings: Readings::default(),
        }),
        None => None,
    };
    let router = Router {
        store: store.clone(),
        catalog: catalog.clone(),
        connections: shared_connections(settings),
        clock: clock.clone(),
        arrived,
        wake: wake.clone(),
        versions: versions.clone(),
        behind: Default::default(),
    };
    let counters = Arc::new(DoorCounters::new());
    let limits = DoorLimits {
        connections_per_address: settings.webhook_connections_per_address,
        ..DoorLimits::default()
    };
    let proxies = settings.trusted_proxies.clone();
    let door = Arc::new(WebhookDoor::new(trigger, counters.clone(), limits, proxies));
    let (judging, judged_in) = (settings.clone(), store.clone());
    let judge = move |decision, although| -> BoxFuture<'static, Result<Decision, Unfit>> {
        let (settings, store) = (judging.clone(), judged_in.clone());
        Box::pin(async move {
            let judged = super::decide::judged(&settings, store.as_ref(), decision, although).await;
            judged.map_err(|error| match error {
                AppError::Store(error) => Unfit::Store(error),
                AppError::Refused(why) => Unfit::Refused(why),
                other => Unfit::Failed(other.to_string()),
            })
        })
    };
    let control = Arc::new(Control {
        judge: Box::new(judge),
        store: store.clone(),
        catalog: catalog.clone(),
        clock: clock.clone(),
        wake: wake.clone(),
        versions: versions.clone(),
        counters,
        started_at,
        listeners: [("webhooks".to_owned(), webhooks.to_string())].into(),
    });
    let mut door = tokio::spawn(webhook::serve(door, listener, shutdown.clone()));
    let control = tokio::spawn(control::serve(control, control_listener, shutdown.clone()));
    let mut router = tokio::spawn(router.run(shutdown.clone()));
    let mut backfill = backfill.map(|backfill| tokio::spawn(backfill.run(shutdown.clone())));
    let cron = CronTrigger::new(store, catalog.clone(), clock, wake, versions);
    let mut cron = tokio::spawn(cron.run(shutdown.clone()));

    let snapshot = catalog.current();
    ready(&Ready {
        webhooks,
        control: control_socket.clone(),
        workflows: snapshot.workflows.len(),
        problems: snapshot.problems.len(),
        recovered,
        parked,
        restored,
    });
    let died = tokio::select! {
        () = shutdown.requested() => None,
        ended = &mut door => Some((DOOR, ended)),
        ended = &mut router => Some((ROUTER, ended)),
        ended = &mut cron => Some((SCHEDULES, ended)),
        ended = engine.ended() => Some(("dispatcher of the engine", ended)),
        ended = ended(&mut backfill) => Some(("search for missed webhooks", ended)),
    };
    // Those that end because they were told to have not died.
    if let Some((part, ended)) = &died
        && !shutdown.is_requested()
    {
        // A daemon without one of them would take everything and do half of it.
        let why = ended
            .as_ref()
            .err()
            .map_or_else(String::new, |error| format!(": {error}"));
        return Err(AppError::Other(format!(
            "the {part} ended by itself{why}; start the daemon again"
        )));
    }
    examined.abort();
    // What it had read so far is admitted; what it had not is read again.
    if let Some(backfill) = &backfill {
        backfill.abort();
    }
    // The doors first, so that nothing new comes in; then the engine, so that what is under way is recorded.
    let ended_before = died.map(|(part, _)| part);
    for (part, task) in [(DOOR, door), (ROUTER, router), (SCHEDULES, cron)] {
        if Some(part) != ended_before
            && let Err(error) = task.await
        {
            tracing::error!(%error, "the {part} ended badly");
        }
    }
    engine.stop().await;
    if let Err(error) = control.await {
        tracing::error!(%error, "the control socket ended badly");
    }
    drop(watcher);
    if let Err(error) = std::fs::remove_file(&control_socket) {
        tracing::warn!(%error, "the control socket could not be removed");
    }
    Ok(())
}

/// What messages call the parts of a daemon.
const DOOR: &str = "webhook door";
const ROUTER: &str = "router";
const SCHEDULES: &str = "loop of the schedules";

/// Waits for the end of a task, for ever where there is none.
async fn ended(task: &mut Option<JoinHandle<()>>) -> Result<(), JoinError> {
    match task {
        Some(task) => task.await,
        None => std::future::pending().await,
    }
}
