//! The same thing asked for again, many times at once: it happens once.

use std::sync::Arc;

use bursar::base::clock::{Clock as _, Instant, SystemClock};
use bursar::base::ids::{Digest, EventId, RunId};
use bursar::model::event::Event;
use bursar::model::run::{Cause, NewRun, RunEvent, RunState};
use bursar::store::sqlite::{Durability, OnFailure, SqliteOptions, SqliteStore};
use bursar::store::{Admitted, Made, Routing, RunQuery, Store, StoreError};
use futures_util::future::join_all;
use serde_json::json;

use super::Figure;
use crate::support::real_time::{Patience, pause};
use crate::support::{World, audit_store, version};

fn event(number: usize, now: Instant) -> Event {
    Event {
        id: EventId::generate(now),
        connection: "bank".to_owned(),
        provider_id: format!("evt-{number}"),
        kind: "deposit.received".to_owned(),
        subject: None,
        occurred_at: None,
        received_at: now,
        payload: json!({ "number": number }).into(),
    }
}

fn run_of(workflow: &str, digest: Digest, cause: Cause, event: RunEvent, now: Instant) -> NewRun {
    NewRun {
        id: RunId::generate(now),
        workflow: workflow.to_owned(),
        version: digest,
        cause,
        event,
        params: json!({}),
        created_at: now,
        concurrency: None,
    }
}

/// Routes until nothing is left, as one of several that do not know of each other; says how many runs were new.
async fn route_all(store: Arc<dyn Store>, digest: Digest) -> u64 {
    let mut made = 0;
    loop {
        let unrouted = store.unrouted(64, 1_000_000).await.expect("read");
        let Some((up_to, _)) = unrouted.events.last() else {
            return made;
        };
        let up_to = *up_to;
        let events: Vec<_> = unrouted
            .events
            .into_iter()
            .map(|(mark, event)| (mark, event.expect("readable")))
            .collect();
        let run = |(mark, event): &(_, Arc<Event>)| {
            let cause = Cause::Webhook { event: event.id };
            run_of("test", digest, cause, RunEvent::Admitted(*mark), event.received_at)
        };
        let runs = events.iter().map(run).collect();
        let after = unrouted.after;
        match store
            .route(Routing {
                after,
                up_to,
                runs,
                declined: Vec::new(),
            })
            .await
        {
            Ok(routed) => made += routed.runs,
            Err(StoreError::Conflict(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

/// Many at once, so that repeats meet in one commit and in neighbouring ones.
const AT_ONCE: usize = 500;

#[tokio::test(flavor = "multi_thread")]
async fn an_event_and_a_slot_repeated_at_once_have_one_effect() {
    let figure = Figure::of(10_000, 100_000);
    let folder = tempfile::tempdir().expect("a folder");
    let options = SqliteOptions {
        durability: Durability::Normal,
        on_failure: OnFailure::Poison,
    };
    let store: Arc<dyn Store> = SqliteStore::open(folder.path(), options).await.expect("a store");
    let now = SystemClock::new().now();
    let digest = Digest::of([b"test".as_slice()]);
    let mut random = figure.random(0);
    let mut asked = 0;
    for first in (0..figure.cases).step_by(AT_ONCE) {
        // Half of the keys are events, half are slots of a schedule.
        let mut numbers: Vec<usize> = (first..first + AT_ONCE)
            .flat_map(|number| std::iter::repeat_n(number, random.usize(2..=20)))
            .collect();
        random.shuffle(&mut numbers);
        asked += numbers.len();
        let (events, slots): (Vec<usize>, Vec<usize>) = numbers.into_iter().partition(|number| number % 2 == 0);
        let admitted = join_all(events.iter().map(|number| store.admit(event(*number, now))));
        let made = join_all(slots.iter().map(|number| {
            let cause = Cause::Cron {
                schedule: "0 18 * * *".to_owned(),
                timezone: "UTC".to_owned(),
                slot: now + chrono::TimeDelta::minutes(i64::try_from(*number).expect("small")),
                due: None,
            };
            store.create_run(run_of("slots", digest, cause, json!({}).into(), now))
        }));
        let (admitted, made) = tokio::join!(admitted, made);
        let new = admitted
            .iter()
            .filter(|answer| matches!(answer, Ok(Admitted::New { .. })))
            .count();
        assert!(admitted.iter().all(Result::is_ok));
        let made = made
            .into_iter()
            .filter(|answer| *answer.as_ref().expect("answered") == Made::New)
            .count();
        assert_eq!((new, made), (AT_ONCE / 2, AT_ONCE / 2), "seed {}", figure.seed);
    }
    let routers = (0..4).map(|_| tokio::spawn(route_all(store.clone(), digest)));
    let routed: u64 = join_all(routers)
        .await
        .into_iter()
        .map(|made| made.expect("a router"))
        .sum();
    assert_eq!(routed, u64::try_from(figure.cases / 2).expect("small"));
    let counts = store.counts().await.expect("counted");
    let queued = counts.into_iter().find(|(state, _)| *state == RunState::Queued);
    let all = u64::try_from(figure.cases).expect("small");
    assert_eq!(queued, Some((RunState::Queued, all)), "one run for each key");
    store.close().await.expect("closed");
    figure.report(&format!("keys asked for {asked} times, 2 to 20 times each"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_comes_many_times_pays_once() {
    let figure = Figure::of(1_000, 10_000);
    let world = World::demo().await;
    let script = r#"
        let from = bank::accounts(#{ label: "Treasury EUR" })[0].id;
        let to = bank::accounts(#{ label: "Operating DE" })[0].id;
        bank::payout(#{ from: from, to: to, amount: EUR(1), reference: `N-${event.payload.number}` }).status
    "#;
    let store = world.store().await;
    let version = version(&[("main.rhai", script)]);
    let digest = version.digest;
    store.save_version(version).await.expect("kept");
    let engine = world.engine(store.clone()).await;
    let mut random = figure.random(0);
    let mut numbers: Vec<usize> = (0..figure.cases)
        .flat_map(|number| std::iter::repeat_n(number, random.usize(2..=20)))
        .collect();
    random.shuffle(&mut numbers);
    let asked = numbers.len();
    let share = numbers.len().div_ceil(8);
    let senders = numbers.chunks(share).map(|share| {
        let (store, clock, share) = (store.clone(), world.clock.clone(), share.to_vec());
        tokio::spawn(async move {
            for number in share {
                store.admit(event(number, clock.now())).await.expect("admitted");
                // Whoever comes next may be another router.
                if number % 7 == 0 {
                    route_all(store.clone(), digest).await;
                }
            }
        })
    });
    for sender in join_all(senders).await {
        sender.expect("a sender");
    }
    route_all(store.clone(), digest).await;
    world.wake.nudge();
    let patience = Patience::new(std::time::Duration::from_secs(600));
    let states = [RunState::Queued, RunState::Running, RunState::Waiting].to_vec();
    let open = RunQuery {
        states,
        limit: 1,
        ..RunQuery::default()
    };
    while !store.runs(open.clone()).await.expect("listed").is_empty() {
        assert!(!patience.is_over(), "seed {}", figure.seed);
        pause(std::time::Duration::from_millis(20)).await;
    }
    engine.stop().await;
    let audit = audit_store(store.as_ref(), &world.simulator).await;
    assert!(audit.is_exact(), "{audit}");
    assert_eq!(audit.paid(), figure.cases, "{audit}");
    figure.report(&format!("events sent {asked} times, each paid once"));
}
