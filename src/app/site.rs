//! A site: a folder with settings and workflows, a simulated bank in this process, and the real daemon beside it, as
//! a child process that comes and goes.
//!
//! What the demo, the self-tests and the tests of the whole program stand on. It must not judge anything: `audit`
//! does.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value as Json};
use tokio::process::{Child, Command};

use super::audit::{Audit, audit};
use super::sample::{self, LocalBank};
use super::{AppError, control_path};
use crate::base::clock::{Clock, SystemClock};
use crate::base::fault_point;
use crate::model::journal::Journal;
use crate::model::quarantine::SUSPECTED;
use crate::model::run::{Run, RunState};
use crate::server::client::ControlClient;
use crate::server::protocol::{RunReply, StartRun, Status};
use crate::simulator::config::{SimulatorConfig, SubscriptionSeed};
use crate::simulator::{Running, Simulator};
use crate::store::sqlite::SqliteStore;
use crate::store::{EventQuery, RunQuery, Store};

/// How long the daemon may take to come up, or, on its way to become quiet, to show nothing new.
const PATIENCE: Duration = Duration::from_secs(60);
const TICK: Duration = Duration::from_millis(2);
/// Where the door listens the first time; afterwards at the port it was given.
const ANY_DOOR: &str = "127.0.0.1:0";
/// Rows of one list: a site is small.
const ROWS_MAX: u32 = 1_000_000;

/// A simulated bank, a folder, and a daemon on it.
pub struct Site {
    /// The bank.
    pub bank: Running,
    folder: PathBuf,
    program: PathBuf,
    clock: Arc<dyn Clock>,
    daemon: Option<Child>,
    subscribed: bool,
}

impl Site {
    /// Starts a bank and writes a folder with the shipped workflows; no daemon yet. `daemon` stands in the section
    /// `[daemon]` of the settings, without `listen`; `program` is the daemon's executable.
    ///
    /// # Errors
    /// What the operating system says.
    pub async fn new(
        folder: PathBuf,
        program: PathBuf,
        config: SimulatorConfig,
        daemon: &str,
    ) -> Result<Self, AppError> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let bank = Simulator::start(config, clock.clone()).await;
        let bank = bank.map_err(|error| AppError::Other(format!("the simulated bank cannot be started: {error}")))?;
        let config = bank.control.config();
        let local = LocalBank {
            url: bank.url(),
            api_key: config.api_keys.first().map(|key| key.key.clone()).unwrap_or_default(),
            webhook_secret: config.webhook_secret,
        };
        let settings = format!("listen = \"{ANY_DOOR}\"\n{daemon}");
        sample::write_folder(&folder, &local, &settings).map_err(AppError::io(format!(
            "the folder {} cannot be written",
            folder.display()
        )))?;
        Ok(Self {
            bank,
            folder,
            program,
            clock,
            daemon: None,
            subscribed: false,
        })
    }

    /// Something in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The control socket.
    pub fn control(&self) -> PathBuf {
        control_path(&self.path("state"))
    }

    /// What the daemon has written to its log so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.path("daemon.log")).unwrap_or_default()
    }

    /// The daemon's process.
    pub fn pid(&self) -> Option<u32> {
        self.daemon.as_ref().and_then(Child::id)
    }

    /// Starts the daemon and waits until it answers.
    ///
    /// # Errors
    /// When it does not come up; the message has its log.
    pub async fn start(&mut self) -> Result<Status, AppError> {
        self.launch(None)?;
        match self.ready().await? {
            Some(status) => Ok(status),
            None => Err(AppError::Other(format!("the daemon does not come up:\n{}", self.log()))),
        }
    }

    /// Starts the daemon and does not wait for it.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn launch_only(&mut self) -> Result<(), AppError> {
        self.launch(None)
    }

    /// Starts the daemon with a fault point armed, such as `intent-durable:2`. `None`: it died of it before it was up.
    ///
    /// # Errors
    /// When it neither comes up nor dies.
    pub async fn start_armed(&mut self, fault: &str) -> Result<Option<Status>, AppError> {
        self.launch(Some(fault))?;
        self.ready().await
    }

    /// The program as the daemon of the folder, writing its log beside the store.
    fn launch(&mut self, fault: Option<&str>) -> Result<(), AppError> {
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.path("daemon.log"))
            .map_err(AppError::io("the daemon's log cannot be written"))?;
        let errors = log
            .try_clone()
            .map_err(AppError::io("the daemon's log cannot be shared"))?;
        let mut command = Command::new(&self.program);
        command
            .arg("--config")
            .arg(self.path("bursar.toml"))
            .arg("serve")
            .env_remove(fault_point::VARIABLE)
            .env_remove("BURSAR_LOG")
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .kill_on_drop(true);
        if let Some(fault) = fault {
            command.env(fault_point::VARIABLE, fault);
        }
        let child = command.spawn().map_err(AppError::io("the daemon cannot be started"))?;
        self.daemon = Some(child);
        Ok(())
    }

    /// Waits until the daemon answers; `None` when it ended before it did.
    async fn ready(&mut self) -> Result<Option<Status>, AppError> {
        let started = self.clock.elapsed();
        loop {
            if let Ok(mut client) = ControlClient::connect(&self.control()).await
                && let Ok(status) = client.get::<Status>("/v1/status").await
                && Some(status.pid) == self.pid()
            {
                if !self.subscribed {
                    self.subscribe(&status)?;
                }
                return Ok(Some(status));
            }
            if self.ended()?.is_some() {
                self.daemon = None;
                return Ok(None);
            }
            if self.clock.elapsed().saturating_sub(started) > PATIENCE {
                return Err(AppError::Other(format!("the daemon does not come up:\n{}", self.log())));
            }
            self.clock.sleep(TICK).await;
        }
    }

    /// Has the bank deliver to the door, and the daemon listen there also after a restart.
    fn subscribe(&mut self, status: &Status) -> Result<(), AppError> {
        let door = status.listeners.get("webhooks").cloned().unwrap_or_default();
        let _: SocketAddr = door
            .parse()
            .map_err(|_| AppError::Other(format!("the daemon listens on `{door}`, which is no address")))?;
        let path = self.path("bursar.toml");
        let wrong = || AppError::io(format!("{} cannot be written", path.display()));
        let text = fs::read_to_string(&path).map_err(wrong())?;
        fs::write(&path, text.replace(ANY_DOOR, &door)).map_err(wrong())?;
        let subscription = SubscriptionSeed {
            url: format!("http://{door}/hooks/bank"),
            events: vec!["*".to_owned()],
            secret: None,
        };
        self.bank
            .control
            .add_subscription(&subscription)
            .map_err(|error| AppError::Other(format!("the bank takes no subscription: {error}")))?;
        self.subscribed = true;
        Ok(())
    }

    /// How the daemon ended, if it did.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>, AppError> {
        match &mut self.daemon {
            Some(child) => child.try_wait().map_err(AppError::io("the daemon cannot be watched")),
            None => Ok(None),
        }
    }

    /// Waits until the daemon has ended by itself. `false`: it has not, by then.
    ///
    /// # Errors
    /// What the operating system says.
    pub async fn ends_within(&mut self, patience: Duration) -> Result<bool, AppError> {
        let started = self.clock.elapsed();
        while self.ended()?.is_none() {
            if self.clock.elapsed().saturating_sub(started) >= patience {
                return Ok(false);
            }
            self.clock.sleep(TICK).await;
        }
        self.daemon = None;
        Ok(true)
    }

    /// SIGKILL: the process gets no chance to write anything.
    ///
    /// # Errors
    /// What the operating system says.
    pub async fn kill(&mut self) -> Result<(), AppError> {
        let Some(mut child) = self.daemon.take() else {
            return Ok(());
        };
        child.kill().await.map_err(AppError::io("the daemon cannot be killed"))
    }

    /// SIGTERM, then how it ended.
    ///
    /// # Errors
    /// When there is no daemon, or it does not end.
    pub async fn stop(&mut self) -> Result<ExitStatus, AppError> {
        let Some(mut child) = self.daemon.take() else {
            return Err(AppError::Other("there is no daemon to stop".to_owned()));
        };
        let pid = child.id().unwrap_or_default();
        let told = Command::new("sh")
            .arg("-c")
            .arg(format!("kill -TERM {pid}"))
            .status()
            .await
            .map_err(AppError::io("the daemon cannot be told to stop"))?;
        if !told.success() {
            return Err(AppError::Other("the daemon cannot be told to stop".to_owned()));
        }
        child.wait().await.map_err(AppError::io("the daemon does not end"))
    }

    /// The way to the daemon.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn client(&self) -> Result<ControlClient, AppError> {
        let connected = ControlClient::connect(&self.control()).await;
        connected.map_err(|error| AppError::Other(error.to_string()))
    }

    /// Asks the daemon for a run.
    ///
    /// # Errors
    /// What it answers.
    pub async fn run(&self, workflow: &str, actor: &str) -> Result<RunReply, AppError> {
        let request = StartRun {
            idempotency_key: None,
            workflow: workflow.to_owned(),
            payload: Json::Null,
            params: Map::new(),
            actor: actor.to_owned(),
            reason: None,
        };
        let started = self.client().await?.post("/v1/runs", &request).await;
        started.map_err(|error| AppError::Other(format!("the run cannot be started: {error}")))
    }

    /// The store, for reading.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn store(&self) -> Result<Arc<dyn Store>, AppError> {
        Ok(SqliteStore::open_read_only(&self.path("state")).await?)
    }

    /// Waits until every deposit of the bank has become an event and every run has come to rest.
    ///
    /// # Errors
    /// When nothing new is shown for too long; the message says what is open.
    pub async fn quiet(&self) -> Result<Vec<Run>, AppError> {
        let store = self.store().await?;
        let mut last = (self.clock.elapsed(), None);
        loop {
            let deposits = self.deposits();
            let query = EventQuery {
                kind: Some("deposit.received".to_owned()),
                limit: ROWS_MAX,
                ..EventQuery::default()
            };
            let events = store.events(query).await?.len();
            let unrouted = store.unrouted(1, 1).await?.events.len();
            let runs = self.runs(store.as_ref()).await?;
            let open = |run: &&Run| {
                // One that is only suspected is looked at and goes on.
                let waits_for_a_person =
                    run.state == RunState::Parked && run.error.as_ref().is_none_or(|error| error.code != SUSPECTED);
                !run.state.is_final() && !waits_for_a_person
            };
            if events >= deposits && unrouted == 0 && !runs.iter().any(|run| open(&run)) {
                return Ok(runs);
            }
            // What a slow machine does late is not what is stuck.
            let ended = runs.iter().filter(|run| !open(run)).count();
            let shown = Some((events, unrouted, ended, self.bank.control.effects().len()));
            if last.1 != shown {
                last = (self.clock.elapsed(), shown);
            }
            if self.clock.elapsed().saturating_sub(last.0) > PATIENCE {
                let open: Vec<String> = runs
                    .iter()
                    .filter(open)
                    .map(|run| format!("{} {} {}", run.id, run.workflow, run.state))
                    .collect();
                return Err(AppError::Other(format!(
                    "{events} of {deposits} deposits have arrived, and runs do not end: {}; the daemon says:\n{}",
                    open.join(", "),
                    self.log().lines().rev().take(40).collect::<Vec<_>>().join("\n")
                )));
            }
            self.clock.sleep(TICK * 5).await;
        }
    }

    fn deposits(&self) -> usize {
        let events = self.bank.control.events();
        events
            .iter()
            .filter(|event| event["event_type"] == "deposit.received")
            .count()
    }

    async fn runs(&self, store: &dyn Store) -> Result<Vec<Run>, AppError> {
        let query = RunQuery {
            limit: ROWS_MAX,
            ..RunQuery::default()
        };
        Ok(store.runs(query).await?)
    }

    /// Holds every journal against the bank's ledger.
    ///
    /// # Errors
    /// When the store cannot be read, or a journal does not follow its own rules.
    pub async fn audit(&self, runs: &[Run]) -> Result<Audit, AppError> {
        let store = self.store().await?;
        let mut journals = Vec::new();
        for run in runs {
            let journal = Journal::from_records(store.journal(run.id).await?);
            journals.push(journal.map_err(|illegal| AppError::Other(illegal.to_string()))?);
        }
        let pairs = runs
            .iter()
            .zip(&journals)
            .map(|(run, journal)| (run.id, run.workflow.as_str(), journal));
        Ok(audit(pairs, &self.bank.control.effects()))
    }

    /// Ends the daemon and the bank. The folder stays.
    pub async fn take_down(mut self) {
        if let Err(error) = self.kill().await {
            tracing::warn!(%error, "the daemon could not be ended");
        }
        self.bank.stop().await;
    }
}

/// This very program.
///
/// # Errors
/// When the operating system does not say.
pub fn this_program() -> Result<PathBuf, AppError> {
    std::env::current_exe().map_err(AppError::io("this program cannot find itself"))
}

/// Removes a folder that nobody needs any more.
pub fn remove(folder: &Path) {
    if let Err(error) = fs::remove_dir_all(folder) {
        tracing::warn!(%error, "{} could not be removed", folder.display());
    }
}
