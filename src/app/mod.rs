//! Puts the rooms together: settings, logging, the daemon, and what commands do without one.
//!
//! It holds no domain rule: it opens things, hands them to each other, and closes them in the right order.

pub mod approvals;
pub mod audit;
pub mod daemon;
pub mod decide;
pub mod demo;
pub mod offline;
pub mod quarantine;
pub mod reconcile;
pub mod rotation;
pub mod sample;
pub mod selftest;
pub mod settings;
pub mod site;
pub mod subscriptions;
pub mod telemetry;
pub mod verify;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::clock::{Clock, Instant, SystemClock};
use crate::base::wake::Wake;
use crate::catalog::files::Folders;
use crate::catalog::load::Context;
use crate::catalog::manifest::{ConnectionFacts, Misfit, Remark};
use crate::connector::client::{Client, ClientError};
use crate::connector::connection::Connection;
use crate::engine::primitives;
use crate::engine::services::{Parts, Services};
use crate::model::calendar::OutsideCoverage;
use crate::model::diagnostic::Diagnostic;
use crate::model::workflow::CronSpec;
use crate::server::control::NEXT_SLOTS;
use crate::store::{Store, StoreError};
use crate::trigger::backfill::Traffic;
use crate::trigger::manual::StartError;
use crate::trigger::outlook::{Horizon, horizon};
use crate::trigger::replay::ReplayError;
use crate::trigger::schedule::Schedule;
use settings::{Settings, SettingsError};

/// Why something could not be done. The command line turns each into a sentence and an exit code.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The settings.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Starting a run.
    #[error(transparent)]
    Start(#[from] StartError),
    /// Replaying an event.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// The way to the providers.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// There is no such workflow.
    #[error("there is no workflow `{name}`{}", suggestion.as_ref().map_or(String::new(), |near| format!(": did you mean `{near}`?")))]
    UnknownWorkflow {
        /// What was asked for.
        name: String,
        /// The nearest that there is.
        suggestion: Option<String>,
    },
    /// The workflow is there and wrong.
    #[error("workflow `{name}` cannot be used")]
    BrokenWorkflow {
        /// Which.
        name: String,
        /// What is wrong with it.
        findings: Vec<Diagnostic>,
    },
    /// It may not be done as things stand.
    #[error("{0}")]
    Refused(String),
    /// The operating system said no.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// What it said.
        source: std::io::Error,
    },
    /// Anything else a person can act on.
    #[error("{0}")]
    Other(String),
}

impl AppError {
    fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io {
            what: what.into(),
            source,
        }
    }
}

/// Where the control socket of a store is.
pub fn control_path(state: &Path) -> PathBuf {
    state.join("control.sock")
}

/// The folders a catalog is read from.
pub fn folders(settings: &Settings) -> Folders {
    Folders {
        workflows: settings.workflows.clone(),
        scripts: settings.scripts.clone(),
        calendars: settings.calendars.clone(),
    }
}

/// What the catalog has to know to check a workflow.
pub fn context(settings: &Settings) -> Context {
    let facts = |connection: &Arc<Connection>| ConnectionFacts {
        connector: connection.connector.name.clone(),
        events: connection
            .connector
            .webhook()
            .map(|table| table.event_names().map(str::to_owned).collect()),
        made_of: made_of(connection),
    };
    let (connections, registry) = (settings.connections.clone(), settings.registry.clone());
    Context {
        connections: connections
            .iter()
            .map(|(name, connection)| (name.clone(), facts(connection)))
            .collect(),
        surface_of: Box::new(move |uses| primitives::surface(&connections, &registry, uses)),
        check_schedule: Box::new(|spec| check_schedule(spec, SystemClock::new().now())),
    }
}

/// Which types of event are one to the provider and several here.
fn made_of(connection: &Connection) -> BTreeMap<String, String> {
    let events = connection
        .connector
        .webhook()
        .into_iter()
        .flat_map(|table| &table.events);
    events
        .filter_map(|event| Some((event.name.clone(), event.of.clone()?)))
        .collect()
}

/// The kind of a finding that says that a calendar ends before the next slots of a schedule are known. A daemon goes
/// on with what is known; `bursar check` does not let it pass.
pub const CALENDAR_OVER: &str = "calendar-over";

fn check_schedule(spec: &CronSpec, now: Instant) -> Result<Vec<Remark>, Misfit> {
    let schedule = Schedule::of(spec).map_err(|error| Misfit {
        key: error.key(),
        message: error.to_string(),
    })?;
    let remark = |code, outside: &OutsideCoverage, what: &str| Remark {
        code,
        key: "calendar",
        message: format!("{what}: it covers {} to {}", outside.from, outside.until),
        help: "bring its file up to date: no slot is run on a day of which it says nothing".to_owned(),
    };
    Ok(match horizon(&schedule, now, NEXT_SLOTS) {
        Horizon::Far => Vec::new(),
        Horizon::Near(outside) => {
            let what = format!("calendar `{}` ends in less than 90 days", outside.calendar);
            vec![remark("calendar-ends", &outside, &what)]
        }
        Horizon::Over(outside) => {
            let what = format!(
                "calendar `{}` ends before the next {NEXT_SLOTS} slots",
                outside.calendar
            );
            vec![remark(CALENDAR_OVER, &outside, &what)]
        }
    })
}

/// What every turn shares.
async fn services(
    settings: &Settings,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    wake: Wake,
) -> Result<Services, AppError> {
    let parts = Parts {
        store,
        clock,
        client: Client::new()?,
        connections: settings.connections.clone(),
        wake,
        settings: settings.engine.clone(),
    };
    Ok(Services::new(parts).await?)
}

/// The connections as the triggers want them.
fn shared_connections(settings: &Settings) -> Arc<BTreeMap<String, Arc<Connection>>> {
    Arc::new(settings.connections.clone())
}

/// How reads beside runs keep to the pace of runs.
pub fn beside_runs(services: &Arc<Services>) -> Traffic {
    let (asked, told) = (Arc::clone(services), Arc::clone(services));
    Traffic {
        may_ask: Box::new(move |connection| asked.may_ask(connection)),
        heard: Box::new(move |connection, answer, verdict| told.heard(connection, answer, verdict)),
    }
}
