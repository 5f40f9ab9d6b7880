//! The real binary as a child process, on a folder of its own, beside a simulator in this process.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bursar::app::control_path;
use bursar::app::sample::{LocalBank, write_folder};
use bursar::base::clock::SystemClock;
use bursar::server::client::ControlClient;
use bursar::server::protocol::{RunReply, StartRun, Status};
use bursar::simulator::config::{SimulatorConfig, SubscriptionSeed};
use bursar::simulator::{Running, Simulator};
use bursar::store::sqlite::SqliteStore;
use bursar::store::{EventQuery, RunQuery, Store};
use serde_json::{Map, Value as Json};
use tempfile::TempDir;

use super::real_time::{Patience, pause};

const PATIENCE: Duration = Duration::from_secs(60);

/// A simulator, a folder, and a daemon on it that comes and goes.
pub(crate) struct Site {
    pub(crate) folder: TempDir,
    pub(crate) bank: Running,
    child: Option<Child>,
    subscribed: bool,
}

impl Site {
    /// A simulator with these settings and a folder with the shipped workflows; no daemon yet.
    pub(crate) async fn new(config: SimulatorConfig) -> Self {
        let bank = Simulator::start(config, Arc::new(SystemClock::new()))
            .await
            .expect("the simulator starts");
        let folder = TempDir::new().expect("a folder");
        let config = bank.control.config();
        let local = LocalBank {
            url: bank.url(),
            api_key: config.api_keys[0].key.clone(),
            webhook_secret: config.webhook_secret,
        };
        let port = free_port();
        let daemon = format!(
            "listen = \"127.0.0.1:{port}\"\nruns_max = 4\nretry_base_ms = 20\nretry_ceiling_secs = 1\npoll_first_secs = 1\n"
        );
        write_folder(folder.path(), &local, &daemon).expect("the folder is written");
        let mut site = Self {
            folder,
            bank,
            child: None,
            subscribed: false,
        };
        site.subscribe(port);
        site
    }

    fn subscribe(&mut self, port: u16) {
        let url = format!("http://127.0.0.1:{port}/hooks/bank");
        let subscription = SubscriptionSeed {
            url,
            events: vec!["*".to_owned()],
            secret: None,
        };
        self.bank
            .control
            .add_subscription(&subscription)
            .expect("the bank takes the subscription");
        self.subscribed = true;
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts the daemon and waits until it answers.
    pub(crate) async fn start(&mut self) {
        assert!(self.child.is_none(), "the daemon runs already");
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.path("daemon.log"))
            .expect("a log");
        let child = Command::new(env!("CARGO_BIN_EXE_bursar"))
            .arg("--config")
            .arg(self.path("bursar.toml"))
            .arg("serve")
            .env_remove("BURSAR_LOG")
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .expect("the daemon starts");
        let pid = child.id();
        self.child = Some(child);
        let patience = Patience::new(PATIENCE);
        loop {
            if let Ok(mut client) = ControlClient::connect(&self.control()).await
                && let Ok(status) = client.get::<Status>("/v1/status").await
                && status.pid == pid
            {
                return;
            }
            let ended = self
                .child
                .as_mut()
                .and_then(|child| child.try_wait().expect("the child can be watched"));
            assert!(
                ended.is_none() && !patience.is_over(),
                "the daemon does not come up:\n{}",
                self.log()
            );
            pause(Duration::from_millis(2)).await;
        }
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().expect("a daemon runs");
        child.kill().expect("it can be killed");
        child.wait().expect("it has ended");
    }

    /// SIGTERM, then its exit status.
    pub(crate) fn stop(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("a daemon runs");
        let told = Command::new("sh")
            .arg("-c")
            .arg(format!("kill -TERM {}", child.id()))
            .status();
        assert!(told.expect("a shell").success());
        child.wait().expect("it has ended")
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("daemon.log")).unwrap_or_default()
    }

    pub(crate) fn control(&self) -> PathBuf {
        control_path(&self.path("state"))
    }

    pub(crate) async fn client(&self) -> ControlClient {
        ControlClient::connect(&self.control())
            .await
            .expect("the daemon answers")
    }

    /// Asks the daemon for a run.
    pub(crate) async fn run(&self, workflow: &str) -> RunReply {
        let request = StartRun {
            workflow: workflow.to_owned(),
            payload: Json::Null,
            params: Map::new(),
            actor: "test".to_owned(),
        };
        self.client()
            .await
            .post("/v1/runs", &request)
            .await
            .expect("the run is made")
    }

    /// The store, for reading.
    pub(crate) async fn store(&self) -> Arc<dyn Store> {
        read_only(&self.path("state")).await
    }

    /// Waits until every deposit has become an event and every run has ended.
    pub(crate) async fn quiet(&self, deposits: usize) {
        let store = self.store().await;
        let patience = Patience::new(PATIENCE);
        loop {
            let query = EventQuery {
                kind: Some("deposit.received".to_owned()),
                limit: 100_000,
                ..EventQuery::default()
            };
            let events = store.events(query).await.expect("events are listed").len();
            let unrouted = store.unrouted(1, 1).await.expect("events are read").events.len();
            let runs = store
                .runs(RunQuery {
                    limit: 100_000,
                    ..RunQuery::default()
                })
                .await
                .expect("runs are listed");
            let open = runs.iter().filter(|run| !run.state.is_final()).count();
            if events >= deposits && unrouted == 0 && open == 0 {
                return;
            }
            assert!(
                !patience.is_over(),
                "{events} of {deposits} deposits have arrived, {open} runs are open; the daemon says:\n{}",
                self.log().lines().rev().take(40).collect::<Vec<_>>().join("\n")
            );
            pause(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

async fn read_only(folder: &Path) -> Arc<dyn Store> {
    SqliteStore::open_read_only(folder)
        .await
        .expect("the store can be read")
}

/// A port that was free a moment ago: the daemon has to come back on the same one.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}
