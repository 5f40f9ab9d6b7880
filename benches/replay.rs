//! What it costs to come back to a run of 10,000 steps: read its journal, rebuild it, run the script to its end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bursar::base::clock::{Clock as _, SystemClock};
use bursar::base::ids::WorkerId;
use bursar::base::limits::SCRIPT_STACK_BYTES;
use bursar::base::wake::Wake;
use bursar::connector::client::Client;
use bursar::engine::backoff::Backoff;
use bursar::engine::primitives;
use bursar::engine::services::{EngineSettings, Parts, Services};
use bursar::engine::turn::Turn;
use bursar::model::journal::Journal;
use bursar::model::run::Settlement;
use bursar::model::value::Value;
use bursar::model::workflow::Version;
use bursar::script::{Budget, Globals, Interpreter, Ran};
use bursar::store::sqlite::Durability;
use bursar::store::{Claim, Store};
use chrono::TimeDelta;
use serde_json::json;

use super::report::{Figure, fail, median, millis};
use super::{Options, rig};

const STEPS: usize = 10_000;
const ROUNDS: usize = 7;
/// Ends with a wait, so that there is something to come back to.
const SCRIPT: &str = r#"for step in 0..9999 { log::info(`step ${step}`); } sleep("1h");"#;

/// One replay in its parts.
#[derive(Default)]
struct Replays {
    read: Vec<f64>,
    rebuilt: Vec<f64>,
    ran: Vec<f64>,
    whole: Vec<f64>,
}

pub(crate) fn measure(_options: &Options) -> Vec<Figure> {
    let runtime = rig::runtime();
    let folder = rig::folder();
    let store = runtime.block_on(rig::store(folder.path(), Durability::Full));
    let services = Arc::new(runtime.block_on(services(store.clone())));
    let version = Arc::new(rig::version(SCRIPT));
    runtime.block_on(async {
        store.save_version(version.as_ref().clone()).await.expect("a version");
        store
            .create_run(rig::run_of(&version, &json!({}), 0))
            .await
            .expect("a run");
    });
    let interpreter = Interpreter::new(&primitives::functions(&BTreeMap::new()), services.clock.clone())
        .with_common_modules(&["log", "state"]);
    let mut parts = Replays::default();
    for round in 0..=ROUNDS {
        let before = services.clock.elapsed();
        let claim = runtime.block_on(claim(store.as_ref(), round));
        let read = services.clock.elapsed();
        let steps = claim.records.len();
        let journal = Journal::from_records(claim.records).expect("a legal journal");
        let rebuilt = services.clock.elapsed();
        let turn = Turn::new(services.clone(), claim.run, version.clone(), claim.lease, journal);
        let (ran, turn) = run(&interpreter, &version, Arc::new(turn));
        let ended = services.clock.elapsed();
        let settled = runtime.block_on(turn.settle(Settlement::Queued));
        assert_eq!(settled, Ok(true), "the turn is settled");
        if ran != Ran::Interrupted {
            fail(&format!("the script should be waiting: {ran:?}"));
        }
        // The first pass makes the steps; all others find them in the journal.
        if round > 0 {
            assert_eq!(steps, STEPS, "every step was recorded, once");
            let ms = |from: Duration, to: Duration| to.saturating_sub(from).as_secs_f64() * 1_000.0;
            parts.read.push(ms(before, read));
            parts.rebuilt.push(ms(read, rebuilt));
            parts.ran.push(ms(rebuilt, ended));
            parts.whole.push(ms(before, ended));
        }
    }
    runtime.block_on(store.close()).expect("the store closes");
    let figure = |what: &str, measured| {
        let ms = median(measured);
        Figure::new(what, millis(Duration::from_secs_f64(ms / 1_000.0)))
    };
    vec![
        figure("10,000 steps replayed", parts.whole),
        figure("  of which the claim with its journal from the store", parts.read),
        figure("  of which the journal rebuilt and checked", parts.rebuilt),
        figure("  of which the script, answered by the journal", parts.ran),
    ]
}

async fn services(store: Arc<dyn Store>) -> Services {
    let settings = EngineSettings {
        runs_max: 1,
        backoff: Backoff {
            base: Duration::from_secs(1),
            ceiling: Duration::from_secs(1),
            attempts_max: 1,
            total: Duration::from_secs(86_400),
        },
        poll_first: Duration::from_secs(30),
        poll_ceiling: Duration::from_secs(900),
        lease: Duration::from_secs(30),
        stack_bytes: SCRIPT_STACK_BYTES,
        budget: Budget::default(),
    };
    let parts = Parts {
        store,
        clock: Arc::new(SystemClock::new()),
        client: Client::new().expect("a client"),
        connections: BTreeMap::new(),
        wake: Wake::new(),
        settings,
    };
    Services::new(parts).await.expect("the store answers")
}

/// Takes the run, waiting or not: the store is told a later hour each time, always before the wait is over.
async fn claim(store: &dyn Store, round: usize) -> Claim {
    let now = SystemClock::new().now();
    if round > 0 {
        store
            .wake_due(now + TimeDelta::hours(2))
            .await
            .expect("the store answers");
    }
    let claims = store
        .claim(WorkerId::generate(now), now, now + TimeDelta::hours(1), 1)
        .await;
    claims
        .expect("the store answers")
        .pop()
        .unwrap_or_else(|| fail("the run cannot be taken"))
}

fn run(interpreter: &Interpreter<Turn>, version: &Version, turn: Arc<Turn>) -> (Ran, Arc<Turn>) {
    let nothing = || Value::Map(BTreeMap::new());
    let globals = Globals {
        event: nothing(),
        params: nothing(),
        run: nothing(),
    };
    let ran = interpreter.run(version, turn.clone(), globals, Budget::default());
    (ran, turn)
}
