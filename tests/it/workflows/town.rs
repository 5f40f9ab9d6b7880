//! A town for shipped workflows: every provider of the simulator on a real socket, the shipped files as `bursar init --all`
//! writes them, and the parts of a daemon over a real store behind a real door, to which the providers send signed webhooks.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use bursar::app;
use bursar::app::sample::{LocalBank, write_folder, write_others};
use bursar::app::settings::{self, Overrides, Secrets};
use bursar::base::clock::{Clock, ManualClock, SystemClock};
use bursar::base::ids::{EventId, RunId};
use bursar::base::shutdown::Stopper;
use bursar::base::wake::Wake;
use bursar::catalog::watch::Catalog;
use bursar::engine::worker::Engine;
use bursar::model::event::Event;
use bursar::model::fate::Fate;
use bursar::model::run::{Run, RunState};
use bursar::server::counters::DoorCounters;
use bursar::server::webhook::{self, DoorLimits, WebhookDoor};
use bursar::simulator::config::ivy::{self, IvyConfig};
use bursar::simulator::config::payaut::PayautConfig;
use bursar::simulator::config::payments::{self, MerchantSeed, PaymentsConfig};
use bursar::simulator::config::{DEMO_API_KEY, DEMO_WEBHOOK_SECRET, SimulatorConfig, SubscriptionSeed};
use bursar::store::faulty::{Fault, Faulty};
use bursar::store::{EventQuery, RunQuery, Store};
use bursar::trigger::replay::{Again, Replay};
use bursar::trigger::router::Router;
use bursar::trigger::versions::KnownVersions;
use bursar::trigger::webhook::WebhookTrigger;
use futures_util::StreamExt as _;
use serde_json::{Value as Json, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::schedules::rig;
use crate::simulator::http::send;
use crate::support::real_time::{Patience, pause};
use crate::support::{World, audit_store, hurry, open, report, settled};

/// Longer than anything here takes; a test that needs it has failed.
const PATIENCE: Duration = Duration::from_secs(30);
/// So many towns at once, where one is built for each place at which a process may die.
const TOWNS_AT_ONCE: usize = 3;

/// The providers whose webhooks are believed, with the connections of the shipped workflows.
const PROVIDERS: [(&str, &str); 3] = [("augustus", "bank"), ("ivy", "shop"), ("payments", "cards")];

/// The outside world, and the files of one shipped workflow.
pub(super) struct Town {
    pub(super) world: World,
    pub(super) catalog: Catalog,
    workflow: String,
    /// Held open over the death of a process, so that its successor has the same address.
    door: TcpListener,
    _files: TempDir,
}

/// A process that serves the town.
pub(super) struct Process {
    engine: Engine,
    stopper: Stopper,
    beside: Vec<JoinHandle<()>>,
}

impl Town {
    pub(super) async fn of(workflow: &str) -> Self {
        Self::with_clock(workflow, Arc::new(SystemClock::new())).await
    }

    /// One in which minutes pass in moments, with the clock that a test may move on.
    pub(super) async fn in_haste(workflow: &str) -> (Self, ManualClock) {
        let clock = ManualClock::new(SystemClock::new().now());
        let town = Self::with_clock(workflow, Arc::new(clock.clone())).await;
        hurry(clock.clone());
        (town, clock)
    }

    /// One whose clock stands still until a test moves it.
    pub(super) async fn standing_still(workflow: &str) -> (Self, ManualClock) {
        let clock = ManualClock::new(SystemClock::new().now());
        (Self::with_clock(workflow, Arc::new(clock.clone())).await, clock)
    }

    async fn with_clock(workflow: &str, clock: Arc<dyn Clock>) -> Self {
        let mut config = SimulatorConfig {
            ivy: IvyConfig::demo(),
            payments: PaymentsConfig::demo(),
            payaut: PayautConfig::demo(),
            ..SimulatorConfig::demo()
        };
        config.lifecycle.payout_paid_ms = 60;
        config.lifecycle.conversion_completed_ms = 60;
        config.ivy.lifecycle.payout_paid_ms = 60;
        config.ivy.lifecycle.refund_ms = 3_600_000; // by hand
        config.payaut.transactions_lag_ms = 0;
        config.payments.lifecycle.settlement_ms = None; // what a payer paid stays pending, however long a test takes
        let mut world = World::with_clock(config, clock).await;
        let files = tempfile::tempdir().expect("a folder");
        let bank = LocalBank {
            url: world.simulator.url(),
            api_key: DEMO_API_KEY.to_owned(),
            webhook_secret: DEMO_WEBHOOK_SECRET.to_owned(),
        };
        write_folder(files.path(), &bank, "").expect("the folder is written");
        write_others(files.path(), &bank.url).expect("the folder is written");
        for file in fs::read_dir(files.path().join("workflows")).expect("the folder") {
            let path = file.expect("a file").path();
            if path.file_stem().is_some_and(|stem| stem != workflow) {
                fs::remove_file(path).expect("removed");
            }
        }
        let overrides = Overrides {
            config: Some(files.path().join("bursar.toml")),
            ..Overrides::default()
        };
        let settings = settings::load(&overrides, Secrets::Needed).expect("the settings");
        let catalog = Catalog::open(app::folders(&settings), app::context(&settings));
        let snapshot = catalog.current();
        assert_eq!(snapshot.workflows.len(), 1, "{:?}", snapshot.problems);
        assert!(!snapshot.has_errors(), "{:?}", snapshot.problems);
        world.connections = settings.connections.clone();
        let door = TcpListener::bind("127.0.0.1:0").expect("a free port");
        door.set_nonblocking(true).expect("a socket");
        let town = Self {
            world,
            catalog,
            workflow: workflow.to_owned(),
            door,
            _files: files,
        };
        for (provider, connection) in PROVIDERS {
            let subscription = SubscriptionSeed {
                url: format!("http://{}/hooks/{connection}", town.address()),
                events: vec!["*".to_owned()],
                secret: None,
            };
            let control = &town.world.simulator.control;
            control
                .add_subscription_at(provider, &subscription)
                .expect("subscribed");
        }
        town
    }

    /// Nobody looks by itself as long as a test lasts: what is known is told by webhooks.
    pub(super) fn hears_webhooks_alone(&mut self) {
        self.world.settings.poll_first = Duration::from_secs(7_200);
        self.world.settings.poll_ceiling = Duration::from_secs(7_200);
    }

    fn address(&self) -> SocketAddr {
        self.door.local_addr().expect("an address")
    }

    /// Starts a process over a store.
    pub(super) async fn opens(&self, store: Arc<dyn Store>) -> Process {
        // The engine first: it reads from the store when it starts, which a store that has died does not allow.
        let engine = self.world.engine(store.clone()).await;
        let (arrived, connections) = (Wake::new(), Arc::new(self.world.connections.clone()));
        let trigger = WebhookTrigger {
            store: store.clone(),
            connections: connections.clone(),
            clock: self.world.clock.clone(),
            arrived: arrived.clone(),
            wake: self.world.wake.clone(),
        };
        let router = Router {
            store,
            catalog: self.catalog.clone(),
            connections,
            clock: self.world.clock.clone(),
            arrived,
            wake: self.world.wake.clone(),
            versions: Arc::new(KnownVersions::new()),
            behind: Default::default(),
        };
        let counters = Arc::new(DoorCounters::new());
        let door = WebhookDoor::new(Arc::new(trigger), counters, DoorLimits::default(), Vec::new());
        let listener = self.door.try_clone().expect("a socket");
        let listener = tokio::net::TcpListener::from_std(listener).expect("a socket");
        let (stopper, shutdown) = Stopper::new();
        let beside = vec![
            tokio::spawn(router.run(shutdown.clone())),
            tokio::spawn(webhook::serve(Arc::new(door), listener, shutdown)),
        ];
        Process {
            engine,
            stopper,
            beside,
        }
    }

    /// Has the workflow run with this event, as a schedule or a person does.
    pub(super) async fn starts(&self, store: &dyn Store, event: Json) -> RunId {
        let workflow = Arc::clone(&self.catalog.current().workflows[&self.workflow]);
        let (version, params) = (workflow.version.clone(), workflow.params.clone());
        self.world.start_version(store, version, event, params).await
    }

    /// Lets time pass up to the next time that is a multiple of so many seconds, and the workflow's schedules fire, as they do
    /// in a daemon.
    pub(super) async fn fires(&self, store: Arc<dyn Store>, clock: &ManualClock, every_secs: u64) {
        let schedules = rig::Running::of(store, self.catalog.clone(), clock, self.world.wake.clone()).await;
        let now = u64::try_from(clock.now().timestamp()).expect("after 1970");
        schedules.pass(every_secs - now % every_secs).await;
        schedules.stop().await;
    }

    /// Has an event make one more run than the one it has, because a person says so.
    pub(super) async fn replays(&self, store: &dyn Store, event: EventId) {
        let versions = KnownVersions::new();
        let replay = Replay {
            store,
            catalog: &self.catalog,
            versions: &versions,
        };
        let again = Again {
            beside: 1,
            reason: "the reason is gone".to_owned(),
        };
        let now = self.world.clock.now();
        let made = replay
            .make(event, Some(&self.workflow), Some(&again), "tess", now)
            .await;
        assert_eq!(made.expect("it is replayed").len(), 1);
        self.world.wake.nudge();
    }

    /// An order of the shop over so many euros; its id.
    pub(super) async fn order(&self, euros: u32, reference: &str) -> Uuid {
        let order = json!({ "amount": euros, "currency": "EUR", "referenceId": reference });
        let made = self.asks_shop("order/create", &order).await;
        made["id"].as_str().expect("an id").parse().expect("an id")
    }

    /// Asks the shop's provider, as somebody else does.
    pub(super) async fn asks_shop(&self, path: &str, body: &Json) -> Json {
        let headers = [
            ("x-ivy-api-key", ivy::DEMO_API_KEY),
            ("content-type", "application/json"),
        ];
        self.asks(&format!("/ivy/api/service/{path}"), &headers, body).await
    }

    /// A payment by card over so many cents, captured; the payment's own id.
    pub(super) async fn card_payment(&self, cents: u32) -> Uuid {
        let account = self
            .world
            .simulator
            .control
            .account("Payments USD")
            .expect("a merchant");
        let account = MerchantSeed::shown_id(account);
        let headers = [
            ("x-api-key", payments::DEMO_API_KEY),
            ("x-account-id", account.as_str()),
            ("content-type", "application/json"),
        ];
        let intent = json!({ "amount": cents, "currency": "USD", "capture": true });
        let intent = self.asks("/payments/payment_intents", &headers, &intent).await;
        let path = format!(
            "/payments/payment_intents/{}/payments",
            intent["id"].as_str().expect("an id")
        );
        let card = json!({ "payment_method_id": payments::CARD });
        let paid = self.asks(&path, &headers, &card).await;
        bare_id(&paid["id"])
    }

    async fn asks(&self, target: &str, headers: &[(&str, &str)], body: &Json) -> Json {
        let body = body.to_string();
        let address = self.world.simulator.address;
        let answer = send(address, "POST", target, headers, Some(body.as_bytes())).await;
        let answer = answer.expect("an answer");
        assert!(matches!(answer.status, 200 | 201), "{target}: {:?}", answer.shown());
        answer.json()
    }

    /// What is on every account.
    fn balances(&self) -> Vec<String> {
        let balances = self.world.simulator.control.ledger().balances.into_iter();
        balances
            .map(|holding| format!("{} {}", holding.label, holding.available))
            .collect()
    }

    /// What was done at the providers, of this kind: amount and status, oldest first.
    pub(super) fn effects(&self, kind: &str) -> Vec<String> {
        let control = &self.world.simulator.control;
        assert!(control.ledger().invariant_ok, "{:?}", control.ledger().invariant_error);
        let effects = control.effects().into_iter().filter(|effect| effect.kind == kind);
        effects
            .map(|effect| format!("{} {}", effect.amount, effect.status))
            .collect()
    }
}

/// The id behind the prefix that tells what it is of.
pub(super) fn bare_id(shown: &Json) -> Uuid {
    let text = shown.as_str().expect("an id");
    let (_, id) = text.split_once('_').expect("a prefix");
    id.parse().expect("an id")
}

impl Process {
    pub(super) async fn ends(self) {
        self.stopper.stop();
        for task in self.beside {
            task.await.expect("it ends");
        }
        self.engine.stop().await;
    }
}

/// Every run, oldest first.
pub(super) async fn runs(store: &dyn Store) -> Vec<Run> {
    let query = RunQuery {
        limit: 99,
        ..RunQuery::default()
    };
    let mut runs = store.runs(query).await.expect("runs are listed");
    // An id is as old as what caused the run.
    runs.sort_by_key(|run| run.created_at);
    runs
}

/// The run of this number, oldest first from 0, once it is there.
pub(super) async fn run(store: &dyn Store, number: usize) -> Run {
    let patience = Patience::new(PATIENCE);
    loop {
        if let Some(run) = runs(store).await.into_iter().nth(number) {
            return run;
        }
        assert!(!patience.is_over(), "no run {number} is made");
        pause(Duration::from_millis(5)).await;
    }
}

/// The same once it has ended, or needs a person.
pub(super) async fn ended(store: &dyn Store, number: usize) -> Run {
    settled(store, run(store, number).await.id).await
}

/// Events of these types, in the order of admission, once there are so many, each with what became of it once that is
/// known.
pub(super) async fn events(store: &dyn Store, beginning: &str, count: usize) -> Vec<(Event, Fate)> {
    let patience = Patience::new(PATIENCE);
    loop {
        let query = EventQuery {
            limit: 999,
            ..EventQuery::default()
        };
        let mut events = store.events(query).await.expect("events are listed");
        events.retain(|event| event.kind.starts_with(beginning));
        events.reverse();
        let fates = store
            .fates(events.iter().map(|event| event.id).collect())
            .await
            .expect("read");
        let told: Vec<_> = events.into_iter().zip(fates).collect();
        if told.len() >= count && told.iter().all(|(_, fate)| fate.routed) {
            return told;
        }
        let kinds: Vec<_> = told.iter().map(|(event, fate)| (&event.kind, fate.routed)).collect();
        assert!(!patience.is_over(), "{count} of {beginning} do not come: {kinds:?}");
        pause(Duration::from_millis(5)).await;
    }
}

/// What those look into and write to who do something while a run goes on.
pub(super) struct Stores<'a> {
    /// Tells everything that is durable.
    pub(super) sound: &'a dyn Store,
    /// The one of the process that is at work, which may die.
    pub(super) of_process: &'a dyn Store,
}

/// What a run left behind.
struct Left {
    writes: u64,
    told: String,
    balances: Vec<String>,
}

/// What the one run of a workflow leaves behind when its process dies at one write.
async fn dies_at(
    workflow: &str,
    begin: &impl AsyncFn(&Town, &dyn Store),
    outside: &impl AsyncFn(&Town, &Stores<'_>, &Run) -> bool,
    fault: Fault,
) -> Left {
    let town = Town::of(workflow).await;
    let store = town.world.store().await;
    let faulty = Faulty::new(store.clone(), fault);
    let process = town.opens(faulty.clone()).await;
    begin(&town, store.as_ref()).await;
    let patience = Patience::new(PATIENCE);
    // A write that only a slow machine makes is not made by every run.
    while !faulty.is_dead() {
        if let Some(run) = runs(store.as_ref()).await.first() {
            if run.state.is_final() {
                break;
            }
            let stores = Stores {
                sound: store.as_ref(),
                of_process: faulty.as_ref(),
            };
            outside(&town, &stores, run).await;
        }
        assert!(!patience.is_over(), "{workflow} {fault:?}: neither dead nor done");
        pause(Duration::from_millis(2)).await;
    }
    process.ends().await;
    let writes = faulty.writes();
    store.close().await.expect("closed");
    drop((store, faulty));

    let store = open(town.world.folder.path()).await;
    store.reclaim_all(town.world.clock.now()).await.expect("taken up again");
    let process = town.opens(store.clone()).await;
    // What a dead process did not take comes again, and so does what it had taken.
    town.world.simulator.control.redeliver_all();
    // What has to be looked for, and may not be shown for minutes, waits that long: a person would be asked then.
    let late = town.world.clock.now() + Duration::from_secs(60);
    let patience = Patience::new(PATIENCE);
    let id = run(store.as_ref(), 0).await.id;
    let run = loop {
        let run = store
            .run(id)
            .await
            .expect("the store answers")
            .expect("the run is there");
        if run.state.is_final() || run.state == RunState::Parked {
            break run;
        }
        let stores = Stores {
            sound: store.as_ref(),
            of_process: store.as_ref(),
        };
        let comes = outside(&town, &stores, &run).await;
        if !comes && run.wake_at.is_some_and(|wake_at| wake_at > late) {
            break run;
        }
        assert!(!patience.is_over(), "{workflow} {fault:?}: the run is still {run:?}");
        pause(Duration::from_millis(5)).await;
    };
    process.ends().await;
    let audit = audit_store(store.as_ref(), &town.world.simulator).await;
    assert!(town.world.simulator.control.ledger().invariant_ok);
    let result = run.result.as_ref().and_then(Json::as_str);
    let result = result.map_or_else(String::new, |result| format!(" with {result}"));
    let told = format!(
        "{} run {}{result}; {audit}",
        runs(store.as_ref()).await.len(),
        run.state
    );
    store.close().await.expect("closed");
    Left {
        writes,
        told,
        balances: town.balances(),
    }
}

/// Has a workflow run once, with its process dying before and after each of its writes: it has to leave what it leaves
/// when nobody dies.
pub(super) async fn survives_a_crash_at_every_write(
    workflow: &str,
    begin: impl AsyncFn(&Town, &dyn Store),
    expected: &str,
) {
    survives_with(workflow, begin, async |_, _, _| false, expected).await;
}

/// The same where people and providers do something while the run goes on: `outside` says whether what the run waits for is
/// still to come.
pub(super) async fn survives_with(
    workflow: &str,
    begin: impl AsyncFn(&Town, &dyn Store),
    outside: impl AsyncFn(&Town, &Stores<'_>, &Run) -> bool,
    expected: &str,
) {
    let clean = dies_at(workflow, &begin, &outside, Fault::Never).await;
    assert_eq!(clean.told, expected);
    let writes = clean.writes;
    let faults = (1..=writes).flat_map(|number| [Fault::Before(number), Fault::After(number)]);
    let deaths = faults.map(async |fault| (fault, dies_at(workflow, &begin, &outside, fault).await));
    let mut deaths = futures_util::stream::iter(deaths).buffer_unordered(TOWNS_AT_ONCE);
    let mut looked_for = 0;
    while let Some((fault, left)) = deaths.next().await {
        if left.told.starts_with("1 run waiting") && left.told.contains("0 twice, 1 missing, 1 in doubt") {
            looked_for += 1;
            continue;
        }
        assert_eq!(left.told, clean.told, "{workflow} {fault:?}");
        assert_eq!(left.balances, clean.balances, "{workflow} {fault:?}");
    }
    // It died between an intent and its request, where an error could have left the key free.
    assert!(looked_for <= 2, "{workflow}: {looked_for} of {}", writes * 2);
    report(&format!(
        "{workflow}: {} crash points, each leaves: {}; but {looked_for} that wait to be looked for",
        writes * 2,
        clean.told
    ));
}
