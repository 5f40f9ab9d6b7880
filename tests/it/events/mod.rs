//! Events after they were admitted: which workflows take them and why not, what became of each, and what scripts are
//! told of a field that is not there.

mod access;
mod broken;
mod conditions;
mod fates;
mod ranks;
mod replay;

use std::sync::Arc;

use bursar::base::clock::{Clock as _, Instant, ManualClock};
use bursar::base::ids::EventId;
use bursar::base::wake::Wake;
use bursar::model::event::Event;
use bursar::model::fate::Fate;
use bursar::store::sqlite::SqliteStore;
use bursar::store::{Admitted, Store, StoreError};
use bursar::trigger::router::{Next, Router};
use bursar::trigger::versions::KnownVersions;
use bursar::trigger::webhook::Connections;
use serde_json::Value as Json;
use tempfile::TempDir;

use crate::webhooks::harness::{Shelf, new_store, start_of_test};

/// A store with a router over workflows in files.
struct Desk {
    store: Arc<SqliteStore>,
    shelf: Shelf,
    clock: ManualClock,
    connections: Connections,
    folder: TempDir,
}

impl Desk {
    async fn of(workflows: &[(&str, &[String])]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Self {
            store: new_store(&folder).await,
            shelf: Shelf::of(workflows),
            clock: ManualClock::new(start_of_test()),
            connections: Connections::new(),
            folder,
        }
    }

    fn now(&self) -> Instant {
        self.clock.now()
    }

    /// An event of the bank, admitted.
    async fn admit(&self, provider_id: &str, kind: &str, payload: Json) -> EventId {
        let event = Event {
            id: EventId::generate(self.clock.now()),
            connection: "bank".to_owned(),
            provider_id: provider_id.to_owned(),
            kind: kind.to_owned(),
            subject: None,
            occurred_at: Some(start_of_test()),
            received_at: self.clock.now(),
            payload: payload.into(),
        };
        let id = event.id;
        let admitted = self.store.admit(event).await;
        assert!(matches!(admitted, Ok(Admitted::New { .. })), "{admitted:?}");
        id
    }

    fn router(&self, store: Arc<dyn Store>) -> Router {
        Router {
            store,
            catalog: self.shelf.catalog.clone(),
            connections: Arc::new(self.connections.clone()),
            clock: Arc::new(self.clock.clone()),
            arrived: Wake::new(),
            wake: Wake::new(),
            versions: Arc::new(KnownVersions::new()),
            behind: Default::default(),
        }
    }

    async fn route(&self, store: Arc<dyn Store>) -> Result<(), StoreError> {
        let router = self.router(store);
        while router.route_some().await? != Next::Listen {}
        Ok(())
    }

    /// What became of an event, once everything was routed.
    async fn fate(&self, event: EventId) -> Fate {
        self.route(self.store.clone()).await.expect("routed");
        let mut fates = self.store.fates(vec![event]).await.expect("read");
        fates.pop().expect("it is there")
    }

    /// Why an event was not taken, one line for each trigger that looked.
    async fn declined(&self, event: EventId) -> Vec<String> {
        let declined = self.fate(event).await.declined;
        let lines = declined
            .iter()
            .map(|declined| format!("{}: {}", declined.workflow, declined.why));
        lines.collect()
    }
}

/// A trigger for deposits, under a condition as a manifest has it.
fn deposits_when(when: &str) -> String {
    format!("[[trigger]]\ntype = \"webhook\"\nconnection = \"bank\"\nevents = [\"deposit.received\"]\nwhen = {when}\n")
}
