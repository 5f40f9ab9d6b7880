//! Holds the texts on disk against the journals in the store: which runs would do something else under them.
//!
//! Runs are pinned to the version they began with, so nothing of this happens by itself; it tells what an edit means
//! before anybody relies on it. Nothing is sent and nothing is written.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::offline::{find_workflow, load_workflows};
use super::settings::Settings;
use super::{AppError, services};
use crate::base::clock::{Clock, SystemClock};
use crate::base::wake::Wake;
use crate::catalog::snapshot::Snapshot;
use crate::engine::rehearsal::{Rehearsed, Rehearser};
use crate::model::journal::Journal;
use crate::model::run::Run;
use crate::model::workflow::Version;
use crate::script::spawn_script_thread;
use crate::store::sqlite::SqliteStore;
use crate::store::{RunQuery, Store};

/// Runs read at a time.
const PAGE: u32 = 500;

/// What became of one run under the text on disk.
#[derive(Debug, Clone)]
pub struct Verified {
    /// The run.
    pub run: Run,
    /// Whether the text on disk is the very one it is pinned to.
    pub unchanged: bool,
    /// What it would do. None: there is no such workflow on disk that could be used.
    pub rehearsed: Option<Rehearsed>,
}

impl Verified {
    /// Whether the run would not do what its journal says.
    pub fn differs(&self) -> bool {
        !matches!(self.rehearsed, Some(Rehearsed::Same))
    }
}

/// Rehearses all runs that are not over and the newest `ended` of each workflow that are, of one workflow or of all.
/// Newest first.
///
/// # Errors
/// When settings, files or store cannot be used.
pub async fn verify(settings: &Settings, workflow: Option<&str>, ended: usize) -> Result<Vec<Verified>, AppError> {
    let loaded = load_workflows(settings);
    let store: Arc<dyn Store> = SqliteStore::open_read_only(&settings.state).await?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let services = Arc::new(services(settings, store.clone(), clock, Wake::new()).await?);
    let mut chosen = Vec::new();
    let runs = choose(store.as_ref(), workflow, ended).await?;
    // A name that nothing bears is a slip of the pen, not a workflow without runs.
    if let Some(name) = workflow.filter(|_| runs.is_empty()) {
        find_workflow(&Snapshot::next(&Snapshot::default(), load_workflows(settings)), name)?;
    }
    for run in runs {
        let journal = Journal::from_records(store.journal(run.id).await?);
        let version = loaded
            .workflows
            .get(&run.workflow)
            .map(|workflow| Arc::new(workflow.version.clone()));
        chosen.push((run, journal, version));
    }
    let rehearse = move || {
        let mut rehearser = Rehearser::new(services);
        let mut verified = Vec::new();
        for (run, journal, version) in chosen {
            let rehearsed = version.as_ref().map(|version: &Arc<Version>| match journal {
                Ok(journal) => rehearser.rehearse(version, &run, journal),
                Err(illegal) => Rehearsed::Diverges(illegal.to_string()),
            });
            verified.push(Verified {
                unchanged: version.is_some_and(|version| version.digest == run.version),
                run,
                rehearsed,
            });
        }
        verified
    };
    let thread = spawn_script_thread("rehearsal", rehearse).map_err(AppError::io("no thread for scripts"))?;
    let joined = tokio::task::spawn_blocking(move || thread.join()).await;
    match joined {
        Ok(Ok(verified)) => Ok(verified),
        _ => Err(AppError::Other("the rehearsal ended badly; this is a bug".to_owned())),
    }
}

async fn choose(store: &dyn Store, workflow: Option<&str>, ended: usize) -> Result<Vec<Run>, AppError> {
    let mut chosen = Vec::new();
    let mut over: BTreeMap<String, usize> = BTreeMap::new();
    let mut before = None;
    loop {
        let query = RunQuery {
            workflow: workflow.map(str::to_owned),
            before,
            limit: PAGE,
            ..RunQuery::default()
        };
        let page = store.runs(query).await?;
        before = page.last().map(|run| run.id);
        let is_last = page.len() < usize::try_from(PAGE).unwrap_or(usize::MAX);
        for run in page {
            if run.state.is_final() {
                let seen = over.entry(run.workflow.clone()).or_default();
                *seen += 1;
                if *seen > ended {
                    continue;
                }
            }
            chosen.push(run);
        }
        if is_last {
            return Ok(chosen);
        }
    }
}
