//! A folder with the comparison's connector, workflow and script, and everything of the daemon but its process.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use bursar::app::settings::{self, Overrides, Secrets, Settings};
use bursar::base::clock::{Clock as _, SystemClock};
use bursar::base::ids::{EventId, RunId};
use bursar::base::wake::Wake;
use bursar::catalog::watch::Catalog;
use bursar::connector::client::Client;
use bursar::engine::services::{Parts, Services};
use bursar::model::event::Event;
use bursar::model::run::{Cause, NewRun};
use bursar::model::workflow::{Source, Version};
use bursar::store::Store;
use bursar::store::sqlite::{Durability, SqliteOptions, SqliteStore};
use serde_json::json;
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// The secret of the comparison's webhooks.
pub(crate) const WEBHOOK_SECRET: &str = "bench-secret";

const FILES: &[(&str, &str)] = &[
    ("bursar.toml", include_str!("comparison/bursar.toml")),
    ("connectors/stub.toml", include_str!("comparison/connectors/stub.toml")),
    (
        "workflows/charge.toml",
        include_str!("comparison/workflows/charge.toml"),
    ),
    ("scripts/charge.rhai", include_str!("comparison/scripts/charge.rhai")),
    ("secrets/stub.key", "bench-key"),
    ("secrets/stub.webhook", WEBHOOK_SECRET),
];

/// A folder that goes when it is dropped.
pub(crate) fn folder() -> TempDir {
    tempfile::tempdir().expect("the temporary folder can be written")
}

/// A runtime as the daemon has it.
pub(crate) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("the system gives threads")
}

/// The comparison's files, its payment API at this address.
pub(crate) fn write_files(folder: &Path, payments: SocketAddr) {
    for (path, text) in FILES {
        let path = folder.join(path);
        std::fs::create_dir_all(path.parent().expect("below the folder")).expect("a folder");
        let text = text
            .replace("127.0.0.1:18080", &payments.to_string())
            .replace("127.0.0.1:18081", "127.0.0.1:0");
        std::fs::write(&path, text).expect("a file");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("our own file");
    }
}

/// The settings of a folder that was written before.
pub(crate) fn settings(folder: &Path) -> Settings {
    let overrides = Overrides {
        config: Some(folder.join("bursar.toml")),
        ..Overrides::default()
    };
    let settings = settings::load(&overrides, Secrets::Needed).expect("the comparison's settings");
    assert!(settings.warnings.is_empty(), "{:?}", settings.warnings);
    settings
}

/// The workflows of a folder that was written before.
pub(crate) fn catalog(settings: &Settings) -> Catalog {
    let catalog = Catalog::open(bursar::app::folders(settings), bursar::app::context(settings));
    let snapshot = catalog.current();
    assert!(snapshot.problems.is_empty(), "{:?}", snapshot.problems);
    catalog
}

/// The store of a folder.
pub(crate) async fn store(folder: &Path, durability: Durability) -> Arc<SqliteStore> {
    let options = SqliteOptions {
        durability,
        ..SqliteOptions::default()
    };
    SqliteStore::open(&folder.join("state"), options)
        .await
        .expect("a store")
}

/// What turns share, over this store.
pub(crate) async fn services(settings: &Settings, store: Arc<dyn Store>, wake: Wake) -> Services {
    let parts = Parts {
        store,
        clock: Arc::new(SystemClock::new()),
        client: Client::new().expect("a client"),
        connections: settings.connections.clone(),
        wake,
        settings: settings.engine.clone(),
    };
    Services::new(parts).await.expect("the store answers")
}

/// A version with this script.
pub(crate) fn version(script: &str) -> Version {
    let source = Source {
        path: "main.rhai".to_owned(),
        text: script.to_owned(),
    };
    Version::new("bench".to_owned(), String::new(), vec!["stub".to_owned()], vec![source])
}

/// An event of the comparison's kind.
pub(crate) fn event(number: usize) -> Event {
    let now = SystemClock::new().now();
    let payload = json!({
        "amount": "129.90",
        "currency": "EUR",
        "customer": "cus_7Q2m",
        "note": "x".repeat(800),
    });
    Event {
        id: EventId::generate(now),
        connection: "stub".to_owned(),
        provider_id: format!("evt-{number:08}"),
        kind: "payment.requested".to_owned(),
        subject: None,
        occurred_at: None,
        received_at: now,
        payload: payload.into(),
    }
}

/// A new run of a version, without its event.
pub(crate) fn run_of(version: &Version, params: &serde_json::Value, number: usize) -> NewRun {
    let event = event(number);
    NewRun {
        id: RunId::generate(event.received_at),
        workflow: version.workflow.clone(),
        version: version.digest,
        cause: Cause::Webhook { event: event.id },
        event: event.as_document().into(),
        params: params.clone(),
        created_at: event.received_at,
        concurrency: None,
    }
}

/// How many runs stand where, by the name of the state.
pub(crate) async fn counts(store: &dyn Store) -> BTreeMap<&'static str, u64> {
    let counts = store.counts().await.expect("the store answers");
    counts.into_iter().map(|(state, runs)| (state.name(), runs)).collect()
}
