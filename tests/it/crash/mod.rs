//! Every shipped workflow, with the process dying at each of its writes, before and after the write.
//!
//! After the death the store is opened again and the run goes on. Whatever the point, the provider's ledger has
//! to show exactly what a run without a crash leaves there.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bursar::app;
use bursar::app::sample::{LocalBank, write_folder};
use bursar::app::settings::{self, Overrides, Secrets};
use bursar::base::ids::EventId;
use bursar::base::shutdown::Stopper;
use bursar::base::wake::Wake;
use bursar::catalog::watch::Catalog;
use bursar::engine::worker::Engine;
use bursar::model::event::Event;
use bursar::model::run::{Run, RunState};
use bursar::store::faulty::{Fault, Faulty};
use bursar::store::{RunQuery, Store};
use bursar::trigger::router::Router;
use bursar::trigger::versions::KnownVersions;
use tokio::task::JoinHandle;

use crate::support::real_time::{Patience, pause};
use crate::support::shipped::{SHIPPED, Shipped};
use crate::support::{World, audit_store, open, report, settled};

/// The files of one shipped workflow, loaded as a daemon loads them.
fn catalog_of(shipped: &Shipped, world: &World, folder: &Path) -> Catalog {
    let bank = LocalBank {
        url: world.simulator.url(),
        api_key: "sandbox.demo-key".to_owned(),
        webhook_secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned(),
    };
    write_folder(folder, &bank, "").expect("the folder is written");
    for other in SHIPPED.iter().filter(|other| other.name != shipped.name) {
        fs::remove_file(folder.join(format!("workflows/{}.toml", other.name))).expect("removed");
    }
    let overrides = Overrides {
        config: Some(folder.join("bursar.toml")),
        ..Overrides::default()
    };
    let settings = settings::load(&overrides, Secrets::Needed).expect("the settings");
    let catalog = Catalog::open(app::folders(&settings), app::context(&settings));
    assert_eq!(catalog.current().workflows.len(), 1, "{:?}", catalog.current().problems);
    catalog
}

/// What drives a workflow in a process: the engine, and the router if an event starts it.
struct Process {
    engine: Engine,
    routing: Option<(Stopper, JoinHandle<()>)>,
}

impl Process {
    async fn start(world: &World, store: Arc<dyn Store>, catalog: Option<&Catalog>) -> Self {
        // The engine first: it reads from the store when it starts, which a store that has died does not allow.
        let engine = world.engine(store.clone()).await;
        let routing = catalog.map(|catalog| {
            let router = Router {
                store,
                catalog: catalog.clone(),
                connections: Arc::new(world.connections.clone()),
                clock: world.clock.clone(),
                arrived: Wake::new(),
                wake: world.wake.clone(),
                versions: Arc::new(KnownVersions::new()),
                behind: Default::default(),
            };
            let (stopper, shutdown) = Stopper::new();
            (stopper, tokio::spawn(router.run(shutdown)))
        });
        Self { engine, routing }
    }

    async fn stop(self) {
        if let Some((stopper, router)) = self.routing {
            stopper.stop();
            router.await.expect("the router ends");
        }
        self.engine.stop().await;
    }
}

/// The one run there is or will be, once it has settled.
async fn only_run(store: &dyn Store) -> Run {
    let patience = Patience::new(Duration::from_secs(20));
    let query = RunQuery {
        limit: 9,
        ..RunQuery::default()
    };
    loop {
        let runs = store.runs(query.clone()).await.expect("runs are listed");
        assert!(runs.len() <= 1, "{runs:?}");
        if let Some(run) = runs.first() {
            return settled(store, run.id).await;
        }
        assert!(!patience.is_over(), "no run is made");
        pause(Duration::from_millis(5)).await;
    }
}

/// What a run of the workflow left behind, when the store died at one write. A workflow that listens is started by an
/// admitted event, so that its routing is among the writes.
async fn run_with(shipped: &Shipped, fault: Fault) -> (u64, String) {
    let world = World::demo().await;
    let event = shipped.event(&world);
    let folder = tempfile::tempdir().expect("a folder");
    let store = world.store().await;
    let catalog = shipped.deposit.map(|_| catalog_of(shipped, &world, folder.path()));
    if catalog.is_some() {
        let now = world.clock.now();
        let event = Event {
            id: EventId::generate(now),
            connection: "bank".to_owned(),
            provider_id: "evt_1".to_owned(),
            kind: "deposit.received".to_owned(),
            subject: None,
            occurred_at: None,
            received_at: now,
            payload: event["payload"].clone().into(),
        };
        store.admit(event).await.expect("admitted");
    } else {
        world
            .start_version(store.as_ref(), shipped.version(), event, shipped.params())
            .await;
    }
    let faulty = Faulty::new(store.clone(), fault);
    let process = Process::start(&world, faulty.clone(), catalog.as_ref()).await;
    if fault == Fault::Never {
        only_run(store.as_ref()).await;
    } else {
        let patience = Patience::new(Duration::from_secs(20));
        while !faulty.is_dead() {
            assert!(!patience.is_over(), "{}: write {fault:?} is never made", shipped.name);
            pause(Duration::from_millis(2)).await;
        }
    }
    process.stop().await;
    store.close().await.expect("the store closes");
    drop(store);

    let store = open(world.folder.path()).await;
    store
        .reclaim_all(world.clock.now())
        .await
        .expect("runs are taken up again");
    let process = Process::start(&world, store.clone(), catalog.as_ref()).await;
    let run = only_run(store.as_ref()).await;
    process.stop().await;
    assert_eq!(
        run.state,
        RunState::Succeeded,
        "{} {fault:?}: {:?}",
        shipped.name,
        run.error
    );
    let audit = audit_store(store.as_ref(), &world.simulator).await;
    assert!(audit.is_exact(), "{} {fault:?}: {audit}", shipped.name);
    assert_eq!(audit.paid(), shipped.movements, "{} {fault:?}: {audit}", shipped.name);
    assert!(world.simulator.control.ledger().invariant_ok);
    store.close().await.expect("the store closes");
    (faulty.writes(), audit.to_string())
}

async fn survives_a_crash_at_every_write(name: &str) {
    let shipped = SHIPPED
        .iter()
        .find(|shipped| shipped.name == name)
        .expect("a shipped workflow");
    let (writes, clean) = run_with(shipped, Fault::Never).await;
    let shipped: &'static Shipped = shipped;
    let clean = Arc::new(clean);
    let mut points = 0;
    for number in 1..=writes {
        for fault in [Fault::Before(number), Fault::After(number)] {
            let (_, crashed) = run_with(shipped, fault).await;
            assert_eq!(crashed, *clean, "{name} {fault:?}");
            points += 1;
        }
    }
    report(&format!(
        "{name}: {points} crash points over {writes} writes, each leaves: {clean}"
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_nightly_sweep_survives_a_crash_at_every_write() {
    survives_a_crash_at_every_write("nightly-sweep").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_conversion_survives_a_crash_at_every_write() {
    survives_a_crash_at_every_write("convert-stablecoin-deposits").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_split_survives_a_crash_at_every_write() {
    survives_a_crash_at_every_write("split-settlement").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_return_survives_a_crash_at_every_write() {
    survives_a_crash_at_every_write("return-unmatched-deposits").await;
}
