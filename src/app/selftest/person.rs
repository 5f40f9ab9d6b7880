//! The person of a self-test: approves whatever is asked, through the daemon, whenever one answers.
//!
//! What is not heard of is asked again. That an answer counts once is the daemon's to see to, and the judge's to check.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::app::approvals::{self, OpenApproval};
use crate::app::site::Site;
use crate::base::clock::{Clock as _, SystemClock};
use crate::server::client::{ClientError, ControlClient};
use crate::server::protocol::{DecideApproval, RunReply};
use crate::store::Store;
use crate::store::sqlite::SqliteStore;

/// How often somebody looks whether anything is asked.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Looks and answers for as long as this is kept.
pub(super) struct Person(JoinHandle<()>);

impl Person {
    /// At this site, whether its daemon lives at the moment or not.
    pub(super) fn at(site: &Site) -> Self {
        let (state, control) = (site.path("state"), site.control());
        Self(tokio::spawn(answer_all(state, control)))
    }
}

impl Drop for Person {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn answer_all(state: PathBuf, control: PathBuf) {
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
    }
}

async fn approve(control: &std::path::Path, open: OpenApproval) -> Result<RunReply, ClientError> {
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
