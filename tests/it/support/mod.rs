//! A small world for tests: the simulator on a real socket, a real store, the engine, in one process.

pub(crate) mod daemon;
pub(crate) mod shipped;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bursar::app::audit::{Audit, audit};
use bursar::base::clock::{Clock, Instant, ManualClock, SystemClock};
use bursar::base::ids::{RunId, WorkerId};
use bursar::base::limits::SCRIPT_STACK_BYTES;
use bursar::base::secret::Secret;
use bursar::base::wake::Wake;
use bursar::connector::client::Client;
use bursar::connector::connection::Connection;
use bursar::connector::registry::Registry;
use bursar::connector::table::Connector;
use bursar::engine::backoff::Backoff;
use bursar::engine::services::{EngineSettings, Parts, Services};
use bursar::engine::worker::Engine;
use bursar::model::event::Event;
use bursar::model::journal::{Journal, StepPath, earlier};
use bursar::model::run::{Cause, NewRun, Run, RunState};
use bursar::model::unmade::Resumption;
use bursar::model::workflow::{Source, Version};
use bursar::script::Budget;
use bursar::simulator::config::SimulatorConfig;
use bursar::simulator::{Running, Simulator};
use bursar::store::sqlite::{OnFailure, SqliteOptions, SqliteStore};
use bursar::store::{RunQuery, Store};
use serde_json::{Value as Json, json};
use sqlx::{Connection as _, SqliteConnection};
use tempfile::TempDir;

use real_time::{Patience, pause};

/// What ends a pause of schedules, at this time.
pub(crate) fn resumed(at: Instant) -> Resumption {
    Resumption {
        at,
        actor: "tess".to_owned(),
        reason: Some("it is right now".to_owned()),
    }
}

/// What a test may do that the product may not: read the machine's clock and wait by it.
pub(crate) mod real_time {
    use std::time::{Duration, Instant};

    /// Measures and limits waiting.
    pub(crate) struct Patience {
        since: Instant,
        limit: Duration,
    }

    impl Patience {
        #[expect(clippy::disallowed_methods, reason = "tests of real processes wait in real time")]
        pub(crate) fn new(limit: Duration) -> Self {
            Self {
                since: Instant::now(),
                limit,
            }
        }

        pub(crate) fn is_over(&self) -> bool {
            self.since.elapsed() >= self.limit
        }
    }

    #[expect(clippy::disallowed_methods, reason = "tests of real processes wait in real time")]
    pub(crate) async fn pause(duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

/// Says what a test did, past the capture of its output: a figure nobody sees shows nothing.
pub(crate) fn report(line: &str) {
    use std::io::Write as _;
    writeln!(std::io::stderr(), "{line}").expect("standard error takes a line");
}

/// A number from the environment: how large a random test is, and which one.
pub(crate) fn number(name: &str, default: u64) -> u64 {
    environment(name).map_or(default, |text| {
        let hex = text.strip_prefix("0x").map(|digits| u64::from_str_radix(digits, 16));
        hex.unwrap_or_else(|| text.parse())
            .unwrap_or_else(|_| panic!("{name}={text} is not a number"))
    })
}

#[expect(clippy::disallowed_methods, reason = "the size of a random test is set from outside")]
pub(crate) fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// How long threads of this process have computed, where the system tells: time in which others had the processor is
/// not theirs.
pub(crate) mod computed {
    use std::collections::BTreeMap;
    use std::fs;
    use std::path::Path;
    use std::time::Duration;

    fn of(thread: &Path) -> Option<Duration> {
        let told = fs::read_to_string(thread.join("schedstat")).ok()?;
        told.split(' ').next()?.parse().ok().map(Duration::from_nanos)
    }

    /// The thread that asks.
    pub(crate) fn here() -> Option<Duration> {
        of(Path::new("/proc/thread-self"))
    }

    /// Each thread whose name begins so, by its number; none where the system does not tell.
    pub(crate) fn by(name: &str) -> BTreeMap<String, Duration> {
        let threads = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
        threads
            .filter(|thread| fs::read_to_string(thread.path().join("comm")).is_ok_and(|comm| comm.starts_with(name)))
            .filter_map(|thread| Some((thread.file_name().to_str()?.to_owned(), of(&thread.path())?)))
            .collect()
    }
}

/// Lets minutes of this clock pass in moments, for as long as the test lasts.
pub(crate) fn hurry(clock: ManualClock) {
    tokio::spawn(async move {
        loop {
            pause(Duration::from_millis(2)).await;
            clock.advance(Duration::from_millis(250));
        }
    });
}

/// How long a test waits for something that takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(20);

/// The simulator, a folder for the store, and the connection `bank`.
pub(crate) struct World {
    /// Holds the store.
    pub(crate) folder: TempDir,
    /// The provider.
    pub(crate) simulator: Running,
    /// The connections of the engine.
    pub(crate) connections: BTreeMap<String, Arc<Connection>>,
    /// How its engines reach the provider. Making one reads every certificate of the system.
    pub(crate) client: Client,
    /// The time.
    pub(crate) clock: Arc<dyn Clock>,
    /// Tells the engine of new runs.
    pub(crate) wake: Wake,
    /// How the engine behaves.
    pub(crate) settings: EngineSettings,
}

impl World {
    /// A world with these settings of the simulator.
    pub(crate) async fn new(config: SimulatorConfig) -> Self {
        Self::with_clock(config, Arc::new(SystemClock::new())).await
    }

    /// A world in which minutes pass in moments, for as long as the test lasts.
    pub(crate) async fn in_haste(config: SimulatorConfig) -> Self {
        let clock = ManualClock::new(SystemClock::new().now());
        hurry(clock.clone());
        Self::with_clock(config, Arc::new(clock)).await
    }

    /// A world whose clock stands still until somebody moves it: see [`passing`].
    pub(crate) async fn standing_still() -> (Self, ManualClock) {
        let clock = ManualClock::new(SystemClock::new().now());
        let world = Self::with_clock(SimulatorConfig::demo(), Arc::new(clock.clone())).await;
        (world, clock)
    }

    /// Changes the connection `bank`.
    pub(crate) fn reconnect(&mut self, change: impl FnOnce(&mut Connection)) {
        let bank = self.connections.get_mut("bank").expect("the connection");
        change(Arc::make_mut(bank));
    }

    pub(crate) async fn with_clock(config: SimulatorConfig, clock: Arc<dyn Clock>) -> Self {
        let simulator = Simulator::start(config, clock.clone())
            .await
            .expect("the simulator starts");
        let connection = Connection {
            name: "bank".to_owned(),
            connector: Registry::built_in().get("augustus").expect("it is built in").clone(),
            base_url: simulator.url(),
            credential: Some(Secret::new("sandbox.demo-key".to_owned())),
            webhook_secrets: Vec::new(),
            webhook_senders: Vec::new(),
            settings: std::collections::BTreeMap::new(),
            headers: std::collections::BTreeMap::new(),
            key_window_secs: None,
            pace: bursar::connector::connection::Pace::default(),
        };
        Self {
            folder: TempDir::new().expect("a folder"),
            simulator,
            connections: [("bank".to_owned(), Arc::new(connection))].into(),
            client: Client::new().expect("a client"),
            clock,
            wake: Wake::new(),
            settings: settings(),
        }
    }

    /// The demo world.
    pub(crate) async fn demo() -> Self {
        Self::new(SimulatorConfig::demo()).await
    }

    /// The store of this world.
    pub(crate) async fn store(&self) -> Arc<dyn Store> {
        open(self.folder.path()).await
    }

    /// An engine over a store.
    pub(crate) async fn engine(&self, store: Arc<dyn Store>) -> Engine {
        self.engine_with(store, self.settings.clone()).await
    }

    /// An engine that behaves so.
    pub(crate) async fn engine_with(&self, store: Arc<dyn Store>, settings: EngineSettings) -> Engine {
        let parts = Parts {
            store,
            clock: self.clock.clone(),
            client: self.client.clone(),
            connections: self.connections.clone(),
            wake: self.wake.clone(),
            settings,
        };
        let services = Services::new(parts).await.expect("the store answers");
        Engine::start(Arc::new(services), WorkerId::generate(self.clock.now())).expect("threads start")
    }

    /// Makes a run of a script with the event and params it sees.
    pub(crate) async fn start(&self, store: &dyn Store, script: &str, event: Json, params: Json) -> RunId {
        let version = version(&[("main.rhai", script)]);
        self.start_version(store, version, event, params).await
    }

    /// Makes a run of a version.
    pub(crate) async fn start_version(&self, store: &dyn Store, version: Version, event: Json, params: Json) -> RunId {
        let id = RunId::generate(self.clock.now());
        self.start_run(store, id, version, event, params).await;
        id
    }

    /// Makes the run of this id.
    pub(crate) async fn start_run(&self, store: &dyn Store, id: RunId, version: Version, event: Json, params: Json) {
        let run = NewRun {
            id,
            workflow: version.workflow.clone(),
            version: version.digest,
            cause: Cause::Manual {
                actor: "test".to_owned(),
                reason: None,
                key: None,
            },
            event: event.into(),
            params,
            created_at: self.clock.now(),
            concurrency: None,
        };
        store.save_version(version).await.expect("the version is kept");
        store.create_run(run).await.expect("the run is made");
        self.wake.nudge();
    }

    /// Admits an event, for the runs that wait for one.
    pub(crate) async fn arrives(&self, store: &dyn Store, event: Event) {
        store.admit(event).await.expect("admitted");
        self.wake.nudge();
    }

    /// Runs a script on a fresh engine until it has settled.
    pub(crate) async fn run(&self, script: &str) -> Run {
        let store = self.store().await;
        let engine = self.engine(store.clone()).await;
        let id = self
            .start(store.as_ref(), script, json!({"type": "manual"}), json!({}))
            .await;
        let run = settled(store.as_ref(), id).await;
        engine.stop().await;
        store.close().await.expect("the store closes");
        run
    }

    /// Holds all journals against the ledger.
    pub(crate) async fn audit(&self, store: &dyn Store) -> Audit {
        audit_store(store, &self.simulator).await
    }
}

/// Holds all journals of a store against a simulator's ledger.
pub(crate) async fn audit_store(store: &dyn Store, simulator: &Running) -> Audit {
    let runs = store
        .runs(RunQuery {
            limit: 100_000,
            ..RunQuery::default()
        })
        .await
        .expect("runs are listed");
    let mut journals = Vec::new();
    for run in runs {
        let records = store.journal(run.id).await.expect("the journal is read");
        journals.push((
            run.id,
            run.workflow,
            Journal::from_records(records).expect("the journal is legal"),
        ));
    }
    audit(
        journals
            .iter()
            .map(|(id, workflow, journal)| (*id, workflow.as_str(), journal)),
        &simulator.control.effects(),
    )
}

/// Does something to the file of a store behind its back.
pub(crate) async fn meddle(folder: &Path, statement: &'static str) {
    let file = folder.join("bursar.db");
    let mut connection = SqliteConnection::connect(&format!("sqlite://{}", file.display()))
        .await
        .expect("connected");
    sqlx::query(statement).execute(&mut connection).await.expect("done");
    connection.close().await.expect("closed");
}

/// Makes the commit of a claim fail, but none of its statements.
pub(crate) const NO_RUN_CAN_BE_TAKEN: [&str; 2] = [
    "CREATE TABLE orphan (parent TEXT REFERENCES meta (name) DEFERRABLE INITIALLY DEFERRED)",
    "CREATE TRIGGER breaks AFTER UPDATE ON run WHEN new.state = 'running' BEGIN INSERT INTO orphan VALUES ('none'); END",
];

/// Opens a store that answers errors instead of ending the process.
pub(crate) async fn open(folder: &Path) -> Arc<dyn Store> {
    let options = SqliteOptions {
        on_failure: OnFailure::Poison,
        ..SqliteOptions::default()
    };
    SqliteStore::open(folder, options).await.expect("the store opens")
}

/// A version of a workflow named `test` that may use the connection `bank`.
pub(crate) fn version(sources: &[(&str, &str)]) -> Version {
    let source = |(path, text): &(&str, &str)| Source {
        path: (*path).to_owned(),
        text: (*text).to_owned(),
    };
    Version::new(
        "test".to_owned(),
        String::new(),
        vec!["bank".to_owned()],
        sources.iter().map(source).collect(),
    )
}

/// Short pauses, so that tests are quick.
pub(crate) fn settings() -> EngineSettings {
    EngineSettings {
        runs_max: 8,
        backoff: Backoff {
            base: Duration::from_millis(5),
            ceiling: Duration::from_millis(50),
            attempts_max: 4,
            total: Duration::from_secs(86_400),
        },
        poll_first: Duration::from_millis(100),
        poll_ceiling: Duration::from_secs(1),
        lease: Duration::from_secs(30),
        stack_bytes: SCRIPT_STACK_BYTES,
        // Where minutes pass in moments, every script takes long.
        budget: Budget {
            compute: Duration::from_secs(3_600),
            ..Budget::default()
        },
    }
}

/// The built-in table with no word on how a payout is looked up.
pub(crate) fn without_lookup() -> Connector {
    let table = include_str!("../../../src/connector/providers/augustus.toml");
    let (before, rest) = table.split_once("[endpoint.create_payout.lookup]").expect("a lookup");
    let (_, after) = rest.split_once("\n[").expect("another endpoint");
    Connector::parse("augustus.toml", &format!("{before}[{after}")).expect("the table is right")
}

/// How many decisions there are about a step: what somebody who has looked at it says that they know of.
pub(crate) async fn decided(store: &dyn Store, run: RunId, path: &StepPath) -> u32 {
    let records = store.journal(run).await.expect("the journal");
    u32::try_from(earlier(&records, path).len()).expect("few")
}

/// Waits until a run has ended or needs a person.
pub(crate) async fn settled(store: &dyn Store, id: RunId) -> Run {
    until(store, id, |run| run.state.is_final() || run.state == RunState::Parked).await
}

/// Waits until a run has ended or needs a person, and lets this much time pass again and again while it is in this
/// state: waiting, or running where its answers are late.
pub(crate) async fn passing(store: &dyn Store, clock: &ManualClock, id: RunId, state: RunState, step: Duration) -> Run {
    until(store, id, |run| {
        if run.state == state {
            clock.advance(step);
        }
        run.state.is_final() || run.state == RunState::Parked
    })
    .await
}

/// Waits until a run is as wanted.
pub(crate) async fn until(store: &dyn Store, id: RunId, wanted: impl Fn(&Run) -> bool) -> Run {
    let patience = Patience::new(PATIENCE);
    loop {
        let run = store
            .run(id)
            .await
            .expect("the store answers")
            .expect("the run is there");
        if wanted(&run) {
            return run;
        }
        assert!(!patience.is_over(), "the run is still {}: {run:?}", run.state);
        pause(Duration::from_millis(5)).await;
    }
}
