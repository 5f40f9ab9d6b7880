//! Webhooks in any order: early, late, twice, in each other's place. What a run comes to does not depend on it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bursar::base::clock::{Clock as _, Instant, SystemClock};
use bursar::base::ids::{Digest, EventId, RunId};
use bursar::model::event::Event;
use bursar::model::run::{Cause, NewRun, RunState};
use bursar::store::sqlite::{Durability, OnFailure, SqliteOptions, SqliteStore};
use bursar::store::{RunQuery, Store};
use fastrand::Rng;
use serde_json::json;

use crate::support::real_time::{Patience, pause};
use crate::support::{World, number, report, version};

/// How many places later than its own an event may come.
const WINDOW: usize = 10;
/// Payouts of one run.
const PAYOUTS: usize = 5;
/// What the bank tells of each payout, in the order in which it happens.
const TOLD: [&str; 2] = ["payout.initiated", "payout.paid"];

/// It waits in the order in which things happen; they are told in another.
const SCRIPT: &str = r#"
    let told = [];
    for payout in params.payouts {
        for kind in ["payout.initiated", "payout.paid"] {
            let heard = bank::wait_event(#{ type: kind, subject: `po-${payout}`, timeout: "1h" });
            told.push(heard.id);
        }
    }
    told
"#;

/// Something that reaches the store.
#[derive(Debug, Clone, Copy)]
enum Arrival {
    /// The run of this number begins.
    Run(usize),
    /// Of the payout of this number it is told that.
    Webhook(usize, usize),
}

/// Each run with the webhooks of its payouts, one of each twice, after it, and up to [`WINDOW`] places late among all others.
fn arrivals(runs: usize, random: &mut Rng) -> Vec<Arrival> {
    let mut placed = Vec::new();
    for payout in 0..runs * PAYOUTS {
        let first = payout * (TOLD.len() + 2);
        if payout % PAYOUTS == 0 {
            placed.push((first, Arrival::Run(payout / PAYOUTS)));
        }
        let twice = random.usize(0..TOLD.len());
        for (index, told) in (0..TOLD.len()).chain([twice]).enumerate() {
            let place = first + 1 + index + random.usize(0..=WINDOW);
            placed.push((place, Arrival::Webhook(payout, told)));
        }
    }
    // Those of one place come as they happened to be placed.
    random.shuffle(&mut placed);
    placed.sort_by_key(|(place, arrival)| (*place, matches!(arrival, Arrival::Webhook(..))));
    placed.into_iter().map(|(_, arrival)| arrival).collect()
}

fn payouts_of(run: usize) -> std::ops::Range<usize> {
    run * PAYOUTS..(run + 1) * PAYOUTS
}

fn event_id(payout: usize, told: usize) -> String {
    format!("evt-{payout}-{told}")
}

async fn arrive(store: Arc<dyn Store>, arrival: Arrival, digest: Digest, now: Instant) {
    match arrival {
        Arrival::Run(run) => {
            let new = NewRun {
                id: RunId::generate(now),
                workflow: "test".to_owned(),
                version: digest,
                cause: Cause::Manual {
                    actor: "test".to_owned(),
                    reason: None,
                    key: None,
                },
                event: json!({}).into(),
                params: json!({ "payouts": payouts_of(run).collect::<Vec<_>>() }),
                created_at: now,
                concurrency: None,
            };
            store.create_run(new).await.expect("the run is made");
        }
        Arrival::Webhook(payout, told) => {
            let event = Event {
                id: EventId::generate(now),
                connection: "bank".to_owned(),
                provider_id: event_id(payout, told),
                kind: TOLD[told].to_owned(),
                subject: Some(format!("po-{payout}")),
                occurred_at: None,
                received_at: now,
                payload: json!({ "id": format!("po-{payout}") }).into(),
            };
            store.admit(event).await.expect("admitted");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_whatever_order_webhooks_come_every_run_comes_to_the_same() {
    let orders = usize::try_from(number("BURSAR_REORDERINGS", 10_000)).expect("small");
    let runs = orders.div_ceil(PAYOUTS);
    let seed = number("BURSAR_REORDERINGS_SEED", fastrand::u64(..));
    let mut world = World::demo().await;
    world.settings.runs_max = 64;
    let options = SqliteOptions {
        on_failure: OnFailure::Poison,
        durability: Durability::Normal,
    };
    let store: Arc<dyn Store> = SqliteStore::open(world.folder.path(), options).await.expect("a store");
    let version = version(&[("main.rhai", SCRIPT)]);
    let digest = version.digest;
    store.save_version(version).await.expect("kept");
    let engine = world.engine(store.clone()).await;
    let clock = SystemClock::new();
    let began = clock.elapsed();
    let arrivals = arrivals(runs, &mut Rng::with_seed(seed));
    for some in arrivals.chunks(1_024) {
        // A run has begun when the store says so; before that nobody tells of what it did. The rest is handed over in
        // its order and shares a commit.
        let (begin, told): (Vec<Arrival>, Vec<Arrival>) =
            some.iter().partition(|arrival| matches!(arrival, Arrival::Run(_)));
        for part in [begin, told] {
            let now = clock.now();
            let part = part
                .into_iter()
                .map(|arrival| arrive(store.clone(), arrival, digest, now));
            futures_util::future::join_all(part).await;
        }
        world.wake.nudge();
    }
    let patience = Patience::new(Duration::from_secs(60));
    let succeeded = async || {
        let counts: BTreeMap<_, _> = store.counts().await.expect("counted").into_iter().collect();
        counts.get(&RunState::Succeeded).copied().unwrap_or(0)
    };
    while succeeded().await < u64::try_from(runs).expect("small") {
        assert!(!patience.is_over(), "seed {seed}: {:?}", store.counts().await);
        world.wake.nudge();
        pause(Duration::from_millis(20)).await;
    }
    engine.stop().await;
    let all = RunQuery {
        limit: u32::MAX,
        ..RunQuery::default()
    };
    for run in store.runs(all).await.expect("listed") {
        let first = run.params["payouts"][0]
            .as_u64()
            .and_then(|payout| usize::try_from(payout).ok());
        let payouts = payouts_of(first.expect("its payouts") / PAYOUTS);
        let expected: Vec<String> = payouts
            .flat_map(|payout| (0..TOLD.len()).map(move |told| event_id(payout, told)))
            .collect();
        assert_eq!(run.result, Some(json!(expected)), "seed {seed}");
    }
    report(&format!(
        "{} payouts of {runs} runs, the webhooks of each in another order, one of them twice, up to {WINDOW} places late: \
         the same result in all, in {:.1?}; seed {seed}",
        runs * PAYOUTS,
        clock.elapsed().saturating_sub(began)
    ));
    store.close().await.expect("closed");
}
