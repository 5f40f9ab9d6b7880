//! A bank, an engine and a store for one fault: set up, run, counted, taken down.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value as Json, json};
use tokio::task::JoinHandle;

use super::kinds::{Fault, Kind, OPERATIONS, Operation};
use super::{Circumstances, fresh_name};
use crate::app::{AppError, site};
use crate::base::clock::{Clock as _, ManualClock, SystemClock};
use crate::base::ids::{RunId, WorkerId};
use crate::base::limits::{SCRIPT_STACK_BYTES, STEP_ATTEMPTS_MAX, STEP_TRIED_MAX};
use crate::base::secret::Secret;
use crate::base::wake::Wake;
use crate::connector::client::Client;
use crate::connector::connection::{BreakerSettings, Connection, Pace};
use crate::connector::registry::Registry;
use crate::connector::request::prepare;
use crate::engine::backoff::Backoff;
use crate::engine::services::{EngineSettings, Parts, Services};
use crate::engine::worker::Engine;
use crate::model::run::{Cause, NewRun, Run, RunState};
use crate::model::value::Value;
use crate::model::workflow::{Source, Version};
use crate::script::Budget;
use crate::simulator::config::{DEMO_API_KEY, SimulatorConfig, SubscriptionSeed};
use crate::simulator::control::NewDeposit;
use crate::simulator::faults::FaultRule;
use crate::simulator::{Running, Simulator};
use crate::store::Store;
use crate::store::faulty::{Fault as Death, Faulty};
use crate::store::sqlite::{Durability, OnFailure, SqliteOptions, SqliteStore};

/// How often the clock in haste ticks, and by how much it moves then.
const TICK: Duration = Duration::from_millis(2);
const HASTE: Duration = Duration::from_millis(250);
/// The longest one exchange is waited for, by the machine's clock.
const EXCHANGE_MAX: Duration = Duration::from_millis(300);
/// By how much a late answer is late, by the clock in haste: longer than an exchange is waited for, however quickly
/// that clock ticks.
const LATE: Duration = Duration::from_secs(60);
/// How long a list does not show what is new, where it lags: within what the table allows for.
const LAG: Duration = Duration::from_secs(100);
/// Threads that drive runs. Each makes an interpreter of its own, which costs more than what it runs here.
const THREADS: usize = 4;
/// How long all runs of a fault are waited for, by the machine's clock.
const PATIENCE: Duration = Duration::from_secs(120);

/// Everything around one fault.
pub(super) struct Bench {
    fault: &'static Fault,
    circumstances: Circumstances,
    folder: PathBuf,
    clock: ManualClock,
    haste: JoinHandle<()>,
    bank: Running,
    connection: Connection,
}

impl Bench {
    pub(super) async fn set_up(fault: &'static Fault, circumstances: Circumstances) -> Result<Self, AppError> {
        let clock = ManualClock::new(SystemClock::new().now());
        let mut config = SimulatorConfig::demo();
        if matches!(fault.kind, Kind::StaleList) {
            config.lists.visibility_lag_ms = u64::try_from(LAG.as_millis()).unwrap_or(u64::MAX);
        }
        if !circumstances.key_holds {
            // Whoever sends again under a key that is not trusted any more has it done twice.
            config.idempotency.window_ms = 0;
        }
        let bank = Simulator::start(config, Arc::new(clock.clone())).await;
        let bank = bank.map_err(|error| AppError::Other(error.to_string()))?;
        let connector = Registry::built_in().get("augustus").cloned();
        let connection = Connection {
            name: "bank".to_owned(),
            connector: connector.ok_or_else(|| AppError::Other("there is no connector `augustus`".to_owned()))?,
            base_url: bank.url(),
            credential: Some(Secret::new(DEMO_API_KEY.to_owned())),
            webhook_secrets: Vec::new(),
            webhook_senders: Vec::new(),
            settings: std::collections::BTreeMap::new(),
            headers: std::collections::BTreeMap::new(),
            key_window_secs: (!circumstances.key_holds).then_some(0),
            pace: Pace {
                // Each operation is to meet the fault: none is held because the others did.
                breaker: BreakerSettings {
                    failures: 0,
                    ..BreakerSettings::default()
                },
                ..Pace::default()
            },
        };
        let haste = tokio::spawn(hurry(clock.clone()));
        Ok(Self {
            fault,
            circumstances,
            folder: std::env::temp_dir().join(format!("bursar-faults-{}", fresh_name())),
            clock,
            haste,
            bank,
            connection,
        })
    }

    /// The run of each operation, as the fault left it.
    pub(super) async fn runs(&self) -> Result<Vec<Run>, AppError> {
        let params = self.params().await?;
        let store = self.open().await?;
        let mut ids = Vec::new();
        for (operation, params) in OPERATIONS.iter().zip(params) {
            ids.push(self.make_run(store.as_ref(), operation, params).await?);
            if let Some(action) = self.fault.kind.action(operation, LATE) {
                let rule = FaultRule::on(operation.name, action).times(1);
                self.bank.control.add_fault(rule);
            }
        }
        let store = if self.circumstances.dies {
            self.die(store).await?
        } else {
            store
        };
        let healed = self.circumstances.dies || !self.fault.kind.is_on_the_way();
        let engine = self.engine(store.clone(), healed).await?;
        let runs = self.settled(store.as_ref(), &ids).await;
        engine.stop().await;
        store.close().await?;
        if matches!(self.fault.kind, Kind::Late(_)) {
            // Now it is done.
            self.clock.sleep(LATE * 2).await;
        }
        runs
    }

    /// How often the bank did an operation for the runs.
    pub(super) fn times(&self, operation: &Operation) -> u64 {
        let kind = match operation.name {
            "create_payout" => "payout",
            "create_conversion" => "conversion",
            "create_return" => "return",
            _ => return self.done().get(operation.name).copied().unwrap_or(0) - set_up_by(operation.name),
        };
        // Money is counted in the ledger.
        let effects = self.bank.control.effects();
        let times = effects.iter().filter(|effect| effect.kind == kind).count();
        u64::try_from(times).unwrap_or(u64::MAX)
    }

    /// Why the bank's books do not add up, if they do not.
    pub(super) fn books_are_wrong(&self) -> Option<String> {
        self.bank.control.ledger().invariant_error
    }

    pub(super) async fn take_down(self) {
        self.haste.abort();
        self.bank.stop().await;
        site::remove(&self.folder);
    }

    fn done(&self) -> BTreeMap<&'static str, u64> {
        let requests = self.bank.control.requests();
        requests.into_iter().map(|(name, count)| (name, count.done)).collect()
    }

    async fn open(&self) -> Result<Arc<dyn Store>, AppError> {
        // No power is lost here: what is told is durable is read back by the next process all the same.
        let options = SqliteOptions {
            durability: Durability::Normal,
            on_failure: OnFailure::Poison,
        };
        Ok(SqliteStore::open(&self.folder, options).await?)
    }

    async fn make_run(&self, store: &dyn Store, operation: &Operation, params: Json) -> Result<RunId, AppError> {
        let call = match operation.name {
            "create_conversion" => {
                "bank::create_conversion(#{ source_account_id: params.from, target_account_id: params.to, \
                 source_amount: money(\"50.00\", \"USDC\") })"
                    .to_owned()
            }
            name => format!("bank::{name}(params)"),
        };
        let source = Source {
            path: "main.rhai".to_owned(),
            text: call,
        };
        let version = Version::new(
            operation.name.replace('_', "-"),
            String::new(),
            vec!["bank".to_owned()],
            vec![source],
        );
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
        let faulty = Faulty::new(store.clone(), Death::Unheard(OPERATIONS.len()));
        let engine = self.engine(faulty.clone(), false).await?;
        let came_to_it = self.within_patience(|| std::future::ready(faulty.is_dead())).await;
        engine.stop().await;
        store.close().await?;
        if !came_to_it {
            return Err(self.hangs("not every run came to its effect"));
        }
        let store = self.open().await?;
        store.reclaim_all(self.clock.now()).await?;
        Ok(store)
    }

    async fn engine(&self, store: Arc<dyn Store>, healed: bool) -> Result<Engine, AppError> {
        let mut connection = self.connection.clone();
        match self.fault.kind {
            _ if healed => {}
            Kind::Nobody => "http://127.0.0.1:1".clone_into(&mut connection.base_url),
            // A label too long for any resolver to ask anybody about.
            Kind::NoSuchName => connection.base_url = format!("http://{}", "a".repeat(64)),
            Kind::NoTls => connection.base_url = connection.base_url.replace("http://", "https://"),
            _ => {}
        }
        let parts = Parts {
            store,
            clock: Arc::new(self.clock.clone()),
            client: Client::patient_for(EXCHANGE_MAX)?,
            connections: [(connection.name.clone(), Arc::new(connection))].into(),
            wake: Wake::new(),
            settings: settings(),
        };
        let services = Arc::new(Services::new(parts).await?);
        Engine::start(services, WorkerId::generate(self.clock.now()))
            .map_err(AppError::io("the script threads cannot be started"))
    }

    async fn settled(&self, store: &dyn Store, ids: &[RunId]) -> Result<Vec<Run>, AppError> {
        let all = || async {
            let mut runs = Vec::new();
            for id in ids {
                runs.extend(store.run(*id).await.ok().flatten());
            }
            runs
        };
        let over = |run: &Run| run.state.is_final() || run.state == RunState::Parked;
        let ended = self.within_patience(async || all().await.iter().all(over)).await;
        let runs = all().await;
        if !ended || runs.len() < ids.len() {
            let still: Vec<_> = runs.iter().filter(|run| !over(run)).map(|run| &run.workflow).collect();
            return Err(self.hangs(&format!("no end of {still:?}")));
        }
        Ok(runs)
    }

    fn hangs(&self, what: &str) -> AppError {
        AppError::Other(format!("{}, {:?}: {what}", self.fault.name, self.circumstances))
    }

    async fn within_patience<F: Future<Output = bool>>(&self, wanted: impl Fn() -> F) -> bool {
        let clock = SystemClock::new();
        while clock.elapsed() < PATIENCE {
            if wanted().await {
                return true;
            }
            clock.sleep(Duration::from_millis(5)).await;
        }
        false
    }

    /// What each operation is called with; what it needs at the bank is made here.
    async fn params(&self) -> Result<Vec<Json>, AppError> {
        let account = |label: &str| self.bank.control.account(label).unwrap_or_default().to_string();
        let (frozen, to_close) = (account("Operating FR"), account("Seller Kontor Weiss"));
        for id in [&frozen, &to_close] {
            self.call("freeze_account", &[("id", id)]).await?;
        }
        let subscribe = |path: &str| {
            let seed = SubscriptionSeed {
                url: format!("http://127.0.0.1:1/{path}"),
                events: vec!["deposit.received".to_owned()],
                secret: None,
            };
            self.bank.control.add_subscription(&seed).map(|id| id.to_string())
        };
        let failed = |error: crate::simulator::control::ControlError| AppError::Other(error.to_string());
        let (first, second, third) = (
            subscribe("first").map_err(failed)?,
            subscribe("second").map_err(failed)?,
            subscribe("third").map_err(failed)?,
        );
        let deposit = NewDeposit::new("Collections EUR", "75.20", "HELLO");
        let deposit = self.bank.control.create_deposit(&deposit).map_err(failed)?.to_string();
        let programs = self.call("list_account_programs", &[]).await?;
        let deliveries = self
            .call("list_webhook_deliveries", &[("subscription_id", &first)])
            .await?;
        let first_id = |list: &Json| list.pointer("/data/0/id").cloned().unwrap_or_default();
        Ok(vec![
            json!({
                "source_account_id": account("Operating DE"), "amount": "10.50", "currency": "EUR", "reference": "INV-1",
                "destination": { "type": "iban", "iban": "DE89370400440532013000", "account_holder_name": "Example GmbH" },
            }),
            json!({ "from": account("USDC wallet"), "to": account("Treasury EUR") }),
            json!({ "deposit_id": deposit }),
            person(&first_id(&programs)),
            json!({ "id": account("Operating NL") }),
            json!({ "id": frozen }),
            json!({ "id": to_close, "reason": "client_request" }),
            json!({ "id": first_id(&deliveries) }),
            json!({ "url": "http://127.0.0.1:1/fourth", "events": ["payout.paid"] }),
            json!({ "id": second, "url": "http://127.0.0.1:1/changed" }),
            json!({ "id": third }),
            json!({ "id": first }),
        ])
    }

    /// A call to the bank that is no part of the test.
    async fn call(&self, name: &str, args: &[(&str, &str)]) -> Result<Json, AppError> {
        let failed = |what: String| AppError::Other(format!("{name}: {what}"));
        let endpoint = self.connection.connector.endpoint(name);
        let endpoint = endpoint.ok_or_else(|| failed("there is no such endpoint".to_owned()))?;
        let args = args.iter().map(|(name, text)| ((*name).to_owned(), Value::text(*text)));
        let prepared = prepare(&self.connection, endpoint, &args.collect(), None);
        let prepared = prepared.map_err(|failure| failed(failure.message))?;
        let client = Client::new()?;
        let answer = client.send(&self.connection, endpoint, &prepared.request, None).await;
        let answer = answer.map_err(|error| failed(error.to_string()))?;
        serde_json::from_slice(&answer.body).map_err(|error| failed(error.to_string()))
    }
}

/// How often the set-up itself called an operation.
fn set_up_by(operation: &str) -> u64 {
    if operation == "freeze_account" { 2 } else { 0 }
}

/// Lets minutes of a clock pass in moments, until it is stopped.
async fn hurry(clock: ManualClock) {
    let machine = SystemClock::new();
    loop {
        machine.sleep(TICK).await;
        clock.advance(HASTE);
    }
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
        // The clock in haste would end one of 30 seconds while a busy machine takes a breath.
        lease: Duration::from_secs(3_600),
        stack_bytes: SCRIPT_STACK_BYTES,
        // Nor is the time a script computes for measured well by it.
        budget: Budget {
            compute: Duration::from_secs(3_600),
            ..Budget::default()
        },
    }
}

fn person(program: &Json) -> Json {
    json!({
        "account_program_id": program,
        "account_type": "virtual_account",
        "beneficiary_data": {
            "legal_name": "Erika Mustermann",
            "date_of_birth": "1980-02-29",
            "country_of_citizenship": "DE",
            "identification": { "type": "id", "value": "L01X00T47" },
            "residential_address": {
                "street_line_1": "Lange Straße 1", "city": "Bremen", "postal_code": "28195", "country": "DE",
            },
        },
    })
}
