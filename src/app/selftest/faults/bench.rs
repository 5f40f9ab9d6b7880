//! A bank with all its providers, an engine and a store for one fault: set up, run, counted, taken down.
//!
//! Time passes only when every run waits for it, and then up to the moment the first of them waits for: what comes first
//! does not depend on how busy the machine is.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value as Json;
use uuid::Uuid;

use super::facts::Operation;
use super::kinds::{Fault, Kind};
use super::scenes::{self, Amount, Counted, SCENES};
use super::{Circumstances, fresh_name};
use crate::app::{AppError, site};
use crate::base::clock::{Clock as _, Instant, ManualClock, SystemClock};
use crate::base::ids::{RunId, WorkerId};
use crate::base::limits::{SCRIPT_STACK_BYTES, STEP_ATTEMPTS_MAX, STEP_TRIED_MAX};
use crate::base::money::{Currency, Money};
use crate::base::secret::Secret;
use crate::base::wake::Wake;
use crate::connector::client::Client;
use crate::connector::connection::{BreakerSettings, Connection, Pace};
use crate::connector::registry::Registry;
use crate::connector::table::{InFlight, Kept};
use crate::engine::backoff::Backoff;
use crate::engine::services::{EngineSettings, Parts, Services};
use crate::engine::worker::Engine;
use crate::model::run::{Cause, NewRun, Run, RunState};
use crate::model::workflow::{Source, Version};
use crate::script::Budget;
use crate::simulator::config::payaut::TransferReplay;
use crate::simulator::config::{AfterServerError, InFlight as RunBeside, SimulatorConfig};
use crate::simulator::control::Effect;
use crate::simulator::faults::FaultRule;
use crate::simulator::{Running, Simulator};
use crate::store::faulty::{Fault as Death, Faulty};
use crate::store::sqlite::{Durability, OnFailure, SqliteOptions, SqliteStore};
use crate::store::{RunQuery, Store};

/// How often it is looked how the runs stand, by the machine's clock.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// How much time passes meanwhile: a nudge for whoever looks by the clock, and too little for anybody else.
const NUDGE: Duration = Duration::from_millis(1);
/// The longest one exchange is waited for, by the machine's clock, where an answer is late; and where none is.
const LATE_EXCHANGE_MAX: Duration = Duration::from_millis(300);
const EXCHANGE_MAX: Duration = Duration::from_secs(20);
/// By how much a late answer is late by the bank's clock: within the time for which a request counts as under way, and
/// longer than anybody waits here.
const LATE: Duration = Duration::from_secs(25);
/// Within how much time by the bank's clock all requests go out for the first time, and how long is waited, by the machine's,
/// for a bank that is behind its own clock.
const SENT_WITHIN: Duration = Duration::from_secs(2);
const BUSY_MAX: Duration = Duration::from_secs(2);
/// How long nothing happens after everything was set up: what was made shows by then, and holds nothing up.
const REST: Duration = Duration::from_secs(20 * 60);
/// How long a list does not show what is new, where it lags: within what the tables allow for.
const LAG: Duration = Duration::from_secs(100);
/// Threads that drive runs. Each makes an interpreter of its own, which costs more than what it runs here.
const THREADS: usize = 4;
/// How long all runs of a fault are waited for, by the machine's clock.
const PATIENCE: Duration = Duration::from_secs(120);

/// How banks are reached. Making one reads every certificate of the system, so all benches have the same.
#[derive(Debug, Clone)]
pub(super) struct Clients {
    usual: Client,
    /// Where answers are late.
    hasty: Client,
}

impl Clients {
    pub(super) fn new() -> Result<Self, AppError> {
        Ok(Self {
            usual: Client::patient_for(EXCHANGE_MAX)?,
            hasty: Client::patient_for(LATE_EXCHANGE_MAX)?,
        })
    }
}

/// Everything around one fault.
pub(super) struct Bench<'a> {
    fault: &'static Fault,
    circumstances: Circumstances,
    operations: &'a [Operation],
    folder: PathBuf,
    clock: ManualClock,
    bank: Running,
    clients: Clients,
    connections: Vec<Connection>,
    /// What the bank had done when everything was set up.
    before: Done,
}

/// What a bank has done.
#[derive(Default)]
struct Done {
    effects: BTreeSet<(&'static str, Uuid)>,
    movements: usize,
    answered: BTreeMap<&'static str, u64>,
}

impl<'a> Bench<'a> {
    pub(super) async fn set_up(
        fault: &'static Fault,
        circumstances: Circumstances,
        operations: &'a [Operation],
        clients: Clients,
    ) -> Result<Self, AppError> {
        let clock = ManualClock::new(SystemClock::new().now());
        let bank = Simulator::start(scenes::bank(), Arc::new(clock.clone())).await;
        let bank = bank.map_err(|error| AppError::Other(error.to_string()))?;
        let mut bench = Self {
            fault,
            circumstances,
            operations,
            folder: std::env::temp_dir().join(format!("bursar-faults-{}", fresh_name())),
            clock,
            connections: Vec::new(),
            bank,
            clients,
            before: Done::default(),
        };
        bench.connections = bench.connections()?;
        Ok(bench)
    }

    fn connections(&self) -> Result<Vec<Connection>, AppError> {
        let control = &self.bank.control;
        let connections = SCENES.iter().map(|scene| {
            let connector = Registry::built_in().get(scene.provider).cloned();
            let connector =
                connector.ok_or_else(|| AppError::Other(format!("there is no connector `{}`", scene.provider)))?;
            let settings = (scene.settings)(control).into_iter();
            Ok(Connection {
                name: scene.provider.to_owned(),
                base_url: match scene.provider {
                    "augustus" => self.bank.url(),
                    provider => format!("{}/{provider}", self.bank.url()),
                },
                connector,
                credential: Some(Secret::new(scene.credential.to_owned())),
                webhook_secrets: Vec::new(),
                webhook_senders: Vec::new(),
                settings: settings.map(|(name, value)| (name.to_owned(), value)).collect(),
                headers: BTreeMap::new(),
                key_window_secs: (!self.circumstances.key_holds).then_some(0),
                pace: Pace {
                    // Each operation is to meet the fault: none is held because the others did.
                    breaker: BreakerSettings {
                        failures: 0,
                        ..BreakerSettings::default()
                    },
                    ..Pace::default()
                },
            })
        });
        connections.collect()
    }

    /// The run of each operation, as the fault left it.
    pub(super) async fn runs(&mut self) -> Result<Vec<Run>, AppError> {
        let store = self.open().await?;
        let there = self.made(&store).await?;
        scenes::complete(&self.bank.control, &there)?;
        self.clock.advance(REST);
        self.bank.control.configure(|config| self.worst(config));
        self.before = self.done();
        let mut ids = Vec::new();
        for operation in self.operations {
            let params = there.get(operation.provider).cloned().unwrap_or_default();
            let name = format!("{}-{}", operation.provider, operation.name.replace('_', "-"));
            ids.push(
                self.make_run(store.as_ref(), name, operation.valid.call.to_owned(), params)
                    .await?,
            );
            if let Some(action) = self.fault.kind.action(operation, LATE) {
                let rule = FaultRule::on(&operation.at_simulator(), action).times(1);
                self.bank.control.add_fault(rule);
            }
        }
        let store = if self.circumstances.dies {
            self.die(store).await?
        } else {
            store
        };
        let healed = self.circumstances.dies;
        let connections = if healed {
            self.connections.clone()
        } else {
            self.broken()
        };
        let engine = self.engine(store.clone(), &connections, self.client()).await?;
        let runs = self.settled(store.as_ref(), &ids).await;
        engine.stop().await;
        store.close().await?;
        self.all_over().await?;
        runs
    }

    /// What the scenes need, made at the bank before anything goes wrong.
    async fn made(&self, store: &Arc<dyn Store>) -> Result<Json, AppError> {
        let params = scenes::prepare(&self.bank.control)?;
        let id = self
            .make_run(store.as_ref(), "set-up".to_owned(), scenes::set_up(), params)
            .await?;
        let engine = self
            .engine(store.clone(), &self.connections, &self.clients.usual)
            .await?;
        let runs = self.settled(store.as_ref(), &[id]).await;
        engine.stop().await;
        let run = runs?.pop();
        let told = run.as_ref().and_then(|run| run.result.clone());
        told.ok_or_else(|| {
            AppError::Other(format!(
                "the bank cannot be set up: {:?}",
                run.and_then(|run| run.error)
            ))
        })
    }

    /// The worst a bank may do by what its table says.
    fn worst(&self, config: &mut SimulatorConfig) {
        if matches!(self.fault.kind, Kind::StaleList) {
            let lag_ms = u64::try_from(LAG.as_millis()).unwrap_or(u64::MAX);
            config.lists.visibility_lag_ms = lag_ms;
            config.ivy.visibility_lag_ms = lag_ms;
            config.payaut.visibility_lag_ms = lag_ms;
            config.payments.visibility_lag_ms = lag_ms;
        }
        let keys = [
            ("augustus", &mut config.idempotency),
            ("ivy", &mut config.ivy.idempotency),
            ("payments", &mut config.payments.idempotency),
        ];
        for (provider, keys) in keys {
            if !self.circumstances.key_holds {
                // Whoever sends again under a key that is not trusted any more has it done twice.
                keys.window_ms = 0;
            }
            let connector = Registry::built_in().get(provider).cloned();
            let Some(table) = connector.and_then(|connector| connector.idempotency.clone()) else {
                continue;
            };
            if table.kept == Kept::Successes {
                // After an error the key is free, also where it was done.
                keys.after_server_error = AfterServerError::RunAgain;
            }
            if table.in_flight == InFlight::Unknown {
                keys.in_flight = RunBeside::RunBoth;
            }
        }
        // A key in the body is kept with what was made, which an error says nothing of.
        let is_freed = |operation: &Operation| operation.provider == "payaut" && operation.facts.frees;
        let is_freed = self.fault.kind.is_error_after() && self.operations.iter().any(is_freed);
        if is_freed || !self.circumstances.key_holds {
            config.payaut.transfer_replay = TransferReplay::Ignore;
        }
    }

    /// How often the bank did an operation for the runs.
    pub(super) fn times(&self, operation: &Operation) -> u64 {
        let times = match operation.valid.counted {
            Counted::Effect(kind, amount) => {
                let is = |effect: &Effect| is_of(effect, operation, kind, amount);
                self.new_effects().filter(is).count()
            }
            Counted::Movement(step, amount) => {
                let movements = self.bank.control.movements().into_iter().skip(self.before.movements);
                movements
                    .filter(|movement| movement.step == step && is_amount(movement.amount, amount))
                    .count()
            }
            Counted::Answered => {
                let name = operation.at_simulator();
                let answered = |done: &Done| done.answered.get(name.as_str()).copied().unwrap_or_default();
                return answered(&self.done()).saturating_sub(answered(&self.before));
            }
        };
        u64::try_from(times).unwrap_or(u64::MAX)
    }

    /// What the bank did that no run was made for, and why its books do not add up, if they do not.
    pub(super) fn books_are_wrong(&self) -> Option<String> {
        let is_known = |effect: &Effect| {
            self.operations.iter().any(|operation| match operation.valid.counted {
                Counted::Effect(kind, amount) => is_of(effect, operation, kind, amount),
                Counted::Movement(..) | Counted::Answered => false,
            })
        };
        let stray = self.new_effects().find(|effect| !is_known(effect));
        let stray = stray.map(|effect| {
            format!(
                "{} made a {} of {}, which nobody asked for",
                effect.provider, effect.kind, effect.amount
            )
        });
        let control = &self.bank.control;
        let reused = || {
            let key = control.keys_of_several_requests().into_iter().next()?;
            Some(format!("the key {key} came with several requests"))
        };
        stray.or_else(reused).or_else(|| control.ledger().invariant_error)
    }

    fn new_effects(&self) -> impl Iterator<Item = Effect> {
        let effects = self.bank.control.effects().into_iter();
        effects.filter(|effect| !self.before.effects.contains(&(effect.provider, effect.id)))
    }

    fn done(&self) -> Done {
        let control = &self.bank.control;
        let effects = control.effects().into_iter();
        let requests = control.requests().into_iter();
        Done {
            effects: effects.map(|effect| (effect.provider, effect.id)).collect(),
            movements: control.movements().len(),
            answered: requests.map(|(name, count)| (name, count.done)).collect(),
        }
    }

    pub(super) async fn take_down(self) {
        self.bank.stop().await;
        site::remove(&self.folder);
    }

    async fn open(&self) -> Result<Arc<dyn Store>, AppError> {
        // No power is lost here: what is told is durable is read back by the next process all the same.
        let options = SqliteOptions {
            durability: Durability::Normal,
            on_failure: OnFailure::Poison,
        };
        Ok(SqliteStore::open(&self.folder, options).await?)
    }

    async fn make_run(&self, store: &dyn Store, name: String, text: String, params: Json) -> Result<RunId, AppError> {
        let source = Source {
            path: "main.rhai".to_owned(),
            text,
        };
        let uses = SCENES.iter().map(|scene| scene.provider.to_owned());
        let version = Version::new(name, String::new(), uses.collect(), vec![source]);
        let id = RunId::generate(self.clock.now());
        let run = NewRun {
            id,
            workflow: version.workflow.clone(),
            version: version.digest,
            cause: Cause::Manual {
                actor: "selftest".to_owned(),
                reason: None,
                key: None,
            },
            event: Json::Null.into(),
            params,
            created_at: self.clock.now(),
            concurrency: None,
        };
        store.save_version(version).await?;
        store.create_run(run).await?;
        Ok(id)
    }

    /// Lets a process come to the fault with every run, and die before it has written anything about it.
    async fn die(&self, store: Arc<dyn Store>) -> Result<Arc<dyn Store>, AppError> {
        let faulty = Faulty::new(store.clone(), Death::Unheard(self.operations.len()));
        let engine = self.engine(faulty.clone(), &self.broken(), self.client()).await?;
        let clock = SystemClock::new();
        while !faulty.is_dead() && clock.elapsed() < PATIENCE {
            clock.sleep(LOOK_EVERY).await;
            self.clock.advance(NUDGE);
        }
        engine.stop().await;
        store.close().await?;
        if !faulty.is_dead() {
            return Err(self.hangs("not every run came to its effect"));
        }
        let store = self.open().await?;
        store.reclaim_all(self.clock.now()).await?;
        Ok(store)
    }

    /// The connections as the fault has them, if it lies on the way.
    fn broken(&self) -> Vec<Connection> {
        let mut connections = self.connections.clone();
        for connection in &mut connections {
            match self.fault.kind {
                Kind::Nobody => "http://127.0.0.1:1".clone_into(&mut connection.base_url),
                // A label too long for any resolver to ask anybody about.
                Kind::NoSuchName => connection.base_url = format!("http://{}", "a".repeat(64)),
                Kind::NoTls => connection.base_url = connection.base_url.replace("http://", "https://"),
                _ => {}
            }
        }
        connections
    }

    fn client(&self) -> &Client {
        match self.fault.kind.is_slow() {
            true => &self.clients.hasty,
            false => &self.clients.usual,
        }
    }

    async fn engine(
        &self,
        store: Arc<dyn Store>,
        connections: &[Connection],
        client: &Client,
    ) -> Result<Engine, AppError> {
        let by_name = |connection: &Connection| (connection.name.clone(), Arc::new(connection.clone()));
        let parts = Parts {
            store,
            clock: Arc::new(self.clock.clone()),
            client: client.clone(),
            connections: connections.iter().map(by_name).collect(),
            wake: Wake::new(),
            settings: settings(),
        };
        let services = Arc::new(Services::new(parts).await?);
        Engine::start(services, WorkerId::generate(self.clock.now()))
            .map_err(AppError::io("the script threads cannot be started"))
    }

    /// The runs, in this order, when each has ended or needs a person.
    async fn settled(&self, store: &dyn Store, ids: &[RunId]) -> Result<Vec<Run>, AppError> {
        let machine = SystemClock::new();
        let mut late_at = self.fault.kind.is_slow().then(|| self.clock.now() + LATE + SENT_WITHIN);
        loop {
            let query = RunQuery {
                states: vec![RunState::Queued, RunState::Running, RunState::Waiting],
                limit: 1_000,
                ..RunQuery::default()
            };
            let mut still = store.runs(query).await?;
            if still.is_empty() {
                let runs = self.read(store, ids).await?;
                // One that went from one state to another meanwhile was in none of them.
                still = runs.iter().filter(|run| !is_over(run)).cloned().collect();
                if still.is_empty() {
                    return Ok(runs);
                }
            }
            if machine.elapsed() > PATIENCE {
                let still: Vec<_> = still.iter().map(|run| (&run.workflow, run.state)).collect();
                return Err(self.hangs(&format!("no end of {still:?}")));
            }
            let step = pause(&still, self.clock.now());
            let to_late = late_at.map(|at| (at - self.clock.now()).to_std().unwrap_or_default());
            self.clock.advance(to_late.map_or(step, |to_late| to_late.min(step)));
            if to_late.is_some_and(|to_late| to_late <= step) {
                late_at = None;
                self.late_is_over().await;
            }
            machine.sleep(LOOK_EVERY).await;
        }
    }

    /// Lets the bank do, by the machine's clock, what it was to have done by its own: else time would have passed for whoever
    /// looks for it, and not for the bank.
    async fn late_is_over(&self) {
        let machine = SystemClock::new();
        while self.is_asked() && machine.elapsed() < BUSY_MAX {
            machine.sleep(LOOK_EVERY).await;
        }
    }

    /// Whether the bank has requests that it has not answered.
    fn is_asked(&self) -> bool {
        let requests = self.bank.control.requests();
        requests.values().any(|count| count.over < count.total)
    }

    async fn read(&self, store: &dyn Store, ids: &[RunId]) -> Result<Vec<Run>, AppError> {
        let mut runs = Vec::new();
        for id in ids {
            let run = store.run(*id).await?;
            runs.push(run.ok_or_else(|| self.hangs("a run is gone"))?);
        }
        Ok(runs)
    }

    /// Whatever nobody waited for any more has been done.
    async fn all_over(&self) -> Result<(), AppError> {
        if !self.fault.kind.is_slow() {
            return Ok(());
        }
        let machine = SystemClock::new();
        self.clock.advance(LATE * 2);
        while self.is_asked() {
            if machine.elapsed() > PATIENCE {
                return Err(self.hangs("a request never ends at the bank"));
            }
            machine.sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    fn hangs(&self, what: &str) -> AppError {
        AppError::Other(format!("{}, {:?}: {what}", self.fault.name, self.circumstances))
    }
}

fn is_over(run: &Run) -> bool {
    run.state.is_final() || run.state == RunState::Parked
}

/// How much time may pass: none to speak of while a run does something, else until the first of them waits no more.
fn pause(still: &[Run], now: Instant) -> Duration {
    let waits_until = |run: &Run| run.wake_at.filter(|_| run.state == RunState::Waiting);
    let until: Option<Vec<Instant>> = still.iter().map(waits_until).collect();
    let first = until.and_then(|until| until.into_iter().min());
    let pause = first.and_then(|first| (first - now).to_std().ok());
    pause.unwrap_or_default().max(NUDGE)
}

fn is_of(effect: &Effect, operation: &Operation, kind: &str, amount: Amount) -> bool {
    effect.provider == operation.provider && effect.kind == kind && is_amount(effect.amount, amount)
}

fn is_amount(money: Money, (number, currency): Amount) -> bool {
    let currency = Currency::from_code(currency);
    currency.is_ok_and(|currency| Money::parse(number, currency) == Ok(money))
}

fn settings() -> EngineSettings {
    EngineSettings {
        runs_max: THREADS,
        backoff: Backoff {
            base: Duration::from_secs(1),
            ceiling: Duration::from_secs(30),
            attempts_max: STEP_ATTEMPTS_MAX,
            total: STEP_TRIED_MAX,
        },
        poll_first: Duration::from_secs(1),
        poll_ceiling: Duration::from_secs(10),
        // Time passes in leaps here.
        lease: Duration::from_secs(24 * 3_600),
        stack_bytes: SCRIPT_STACK_BYTES,
        // Nor is the time a script computes for measured well by it.
        budget: Budget {
            compute: Duration::from_secs(24 * 3_600),
            ..Budget::default()
        },
    }
}
