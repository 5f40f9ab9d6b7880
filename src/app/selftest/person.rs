//! The person of a self-test: approves whatever is asked, and lets out of quarantine whatever is in it, through the daemon,
//! whenever one answers.
//!
//! A run comes into quarantine here because processes are killed faster than it gets on: ten times in a row.
//! What is not heard of is asked again. That an answer counts once is the daemon's to see to, and the judge's to check.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::app::approvals::{self, OpenApproval};
use crate::app::site::Site;
use crate::base::clock::{Clock as _, SystemClock};
use crate::base::ids::RunId;
use crate::model::quarantine::QUARANTINED;
use crate::model::run::{Run, RunState};
use crate::server::client::{ClientError, ControlClient};
use crate::server::protocol::{DecideApproval, ResolveRun, RunReply};
use crate::store::sqlite::SqliteStore;
use crate::store::{RunQuery, Store};

/// How often somebody looks whether anything is asked.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// Of the runs that wait for a person: far more than a site has.
const RUNS_LOOKED_AT: u32 = 100;

/// Looks and answers for as long as this is kept.
pub(super) struct Person {
    looking: JoinHandle<()>,
    released: Arc<AtomicU64>,
}

impl Person {
    /// At this site, whether its daemon lives at the moment or not.
    pub(super) fn at(site: &Site) -> Self {
        let (state, control) = (site.path("state"), site.control());
        let released = Arc::new(AtomicU64::new(0));
        let looking = tokio::spawn(answer_all(state, control, released.clone()));
        Self { looking, released }
    }

    /// How many runs were let out of quarantine.
    pub(super) fn released(&self) -> u64 {
        self.released.load(Ordering::Relaxed)
    }
}

impl Drop for Person {
    fn drop(&mut self) {
        self.looking.abort();
    }
}

async fn answer_all(state: PathBuf, control: PathBuf, released: Arc<AtomicU64>) {
    let clock = SystemClock::new();
    let mut store: Option<Arc<dyn Store>> = None;
    loop {
        clock.sleep(LOOK_EVERY).await;
        let store = match &store {
            Some(store) => store,
            // Before the first start there is none.
            None => match SqliteStore::open_read_only(&state).await {
                Ok(opened) => store.insert(opened),
                Err(_) => continue,
            },
        };
        for open in approvals::all(store.as_ref()).await.unwrap_or_default() {
            if let Err(error) = approve(&control, open).await {
                tracing::debug!(%error, "the answer was not heard");
            }
        }
        for run in quarantined(store.as_ref()).await {
            if let Ok(RunReply { .. }) = release(&control, run).await {
                released.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

async fn quarantined(store: &dyn Store) -> Vec<RunId> {
    let query = RunQuery {
        states: vec![RunState::Parked],
        limit: RUNS_LOOKED_AT,
        ..RunQuery::default()
    };
    let parked = store.runs(query).await.unwrap_or_default();
    let is_in = |run: &Run| run.error.as_ref().is_some_and(|error| error.code == QUARANTINED);
    parked.iter().filter(|run| is_in(run)).map(|run| run.id).collect()
}

async fn release(control: &Path, run: RunId) -> Result<RunReply, ClientError> {
    let decision = ResolveRun {
        step: None,
        decision: "retry".to_owned(),
        resource: None,
        although: None,
        after: 0,
        actor: "person".to_owned(),
        reason: "it is the test that kills".to_owned(),
    };
    let mut client = ControlClient::connect(control).await?;
    client.post(&format!("/v1/runs/{run}/resolve"), &decision).await
}

async fn approve(control: &Path, open: OpenApproval) -> Result<RunReply, ClientError> {
    let answer = DecideApproval {
        step: open.path,
        asked: open.step.fingerprint,
        approved: true,
        actor: "person".to_owned(),
        reason: "chance".to_owned(),
    };
    let mut client = ControlClient::connect(control).await?;
    client
        .post(&format!("/v1/runs/{}/approval", open.run.id), &answer)
        .await
}
