//! The same thing asked for again, many times at once: it happens once.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::Arc;

use bursar::app;
use bursar::app::sample::{LocalBank, write_folder};
use bursar::app::settings::{self, Overrides, Secrets};
use bursar::base::clock::{Clock as _, Instant, SystemClock};
use bursar::base::ids::{Digest, EventId, RunId};
use bursar::base::shutdown::Stopper;
use bursar::catalog::watch::Catalog;
use bursar::model::event::Event;
use bursar::model::run::{Cause, NewRun, RunEvent, RunState};
use bursar::server::client::ControlClient;
use bursar::server::control::{self, Control, bind_control};
use bursar::server::counters::DoorCounters;
use bursar::server::protocol::StartReply;
use bursar::simulator::config::{DEMO_API_KEY, DEMO_WEBHOOK_SECRET};
use bursar::store::sqlite::{Durability, OnFailure, SqliteOptions, SqliteStore};
use bursar::store::{Admitted, Made, Routing, RunQuery, Store, StoreError};
use bursar::trigger::versions::KnownVersions;
use chrono::{DateTime, TimeDelta};
use futures_util::future::join_all;
use serde_json::json;
use tempfile::TempDir;

use super::Figure;
use crate::support::real_time::{Patience, pause};
use crate::support::{World, version};

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
                ..Routing::default()
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

/// Clients of the control socket.
const CLIENTS: usize = 24;

/// The control socket of a daemon that has one workflow, of this script.
struct Door {
    clients: Vec<ControlClient>,
    stopper: Stopper,
    _files: TempDir,
}

impl Door {
    async fn open(world: &World, store: Arc<dyn Store>, script: &str) -> Self {
        let files = tempfile::tempdir().expect("a folder");
        let bank = LocalBank {
            url: world.simulator.url(),
            api_key: DEMO_API_KEY.to_owned(),
            webhook_secret: DEMO_WEBHOOK_SECRET.to_owned(),
        };
        write_folder(files.path(), &bank, "").expect("the folder is written");
        let manifest =
            "name = \"asked\"\nsummary = \"Pays what is asked.\"\nscript = \"asked.rhai\"\nuses = [\"bank\"]\n";
        for (name, text) in [("workflows/asked.toml", manifest), ("scripts/asked.rhai", script)] {
            fs::write(files.path().join(name), text).expect("written");
        }
        let overrides = Overrides {
            config: Some(files.path().join("bursar.toml")),
            ..Overrides::default()
        };
        let settings = settings::load(&overrides, Secrets::Needed).expect("the settings");
        let catalog = Catalog::open(app::folders(&settings), app::context(&settings));
        let control = Control {
            store,
            catalog,
            clock: world.clock.clone(),
            wake: world.wake.clone(),
            versions: Arc::new(KnownVersions::new()),
            judge: Box::new(|decision, _| Box::pin(std::future::ready(Ok(decision)))),
            counters: Arc::new(DoorCounters::new()),
            started_at: world.clock.now(),
            listeners: [].into(),
        };
        let (stopper, shutdown) = Stopper::new();
        let socket = files.path().join("control.sock");
        let listener = bind_control(&socket).expect("a socket");
        tokio::spawn(control::serve(Arc::new(control), listener, shutdown));
        let connected = (0..CLIENTS).map(|_| ControlClient::connect(&socket));
        let clients = join_all(connected).await.into_iter();
        Self {
            clients: clients.map(|client| client.expect("connected")).collect(),
            stopper,
            _files: files,
        }
    }

    /// Each asks for every so manieth, so that repeats which stand side by side are asked for at the same time.
    async fn ask_all(&mut self, numbers: &[usize]) -> Vec<(usize, StartReply)> {
        let asked = self.clients.iter_mut().enumerate().map(async |(place, client)| {
            let mut replies = Vec::new();
            for number in numbers.iter().skip(place).step_by(CLIENTS) {
                let body = json!({
                    "workflow": "asked", "actor": "tess", "idempotency_key": format!("key-{number}"),
                    "payload": { "number": number },
                });
                replies.push((*number, client.post("/v1/runs", &body).await.expect("answered")));
            }
            replies
        });
        join_all(asked).await.concat()
    }
}

/// One run for each, whoever asked first; the others are told of it.
fn one_run_each(replies: Vec<(usize, StartReply)>, expected: usize) {
    let mut runs: BTreeMap<usize, Vec<StartReply>> = BTreeMap::new();
    for (number, reply) in replies {
        runs.entry(number).or_default().push(reply);
    }
    assert_eq!(runs.len(), expected);
    for (number, replies) in runs {
        let made = replies.iter().filter(|reply| !reply.repeated).count();
        let same = replies.iter().all(|reply| reply.run == replies[0].run);
        assert!(made == 1 && same, "{number}: {replies:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_a_slot_and_a_request_repeated_at_once_pay_once() {
    let figure = Figure::of(10_000, 100_000);
    let world = World::demo().await;
    let from = world.simulator.control.account("Treasury EUR").expect("an account");
    let to = world.simulator.control.account("Operating DE").expect("an account");
    let script = format!(
        r#"bank::payout(#{{ from: "{from}", to: "{to}", amount: EUR(1), reference: `N-${{event.payload.number}}` }}).status"#
    );
    // Power is not lost here, so no write has to wait for the disk.
    let options = SqliteOptions {
        durability: Durability::Normal,
        on_failure: OnFailure::Poison,
    };
    let store: Arc<dyn Store> = SqliteStore::open(world.folder.path(), options).await.expect("a store");
    let version = version(&[("main.rhai", &script)]);
    let digest = version.digest;
    store.save_version(version).await.expect("kept");
    let engine = world.engine(store.clone()).await;
    let mut door = Door::open(&world, store.clone(), &script).await;
    let mut random = figure.random(0);
    let mut asked = [0; 3];
    for first in (0..figure.cases).step_by(AT_ONCE) {
        let of_kind = |kind: usize, random: &mut fastrand::Rng| -> Vec<usize> {
            let numbers = (first..figure.cases.min(first + AT_ONCE)).filter(|number| number % 3 == kind);
            numbers
                .flat_map(|number| std::iter::repeat_n(number, random.usize(2..=20)))
                .collect()
        };
        let [events, slots, requests] = [0, 1, 2].map(|kind| of_kind(kind, &mut random));
        for (sum, numbers) in asked.iter_mut().zip([&events, &slots, &requests]) {
            *sum += numbers.len();
        }
        let now = world.clock.now();
        let admitted = join_all(events.iter().map(|number| store.admit(event(*number, now))));
        let made = join_all(slots.iter().map(|number| {
            let cause = Cause::Cron {
                schedule: "0 18 * * *".to_owned(),
                timezone: "UTC".to_owned(),
                slot: DateTime::UNIX_EPOCH + TimeDelta::minutes(i64::try_from(*number).expect("small")),
                due: None,
            };
            let event = json!({ "type": "cron", "payload": { "number": number } });
            store.create_run(run_of("test", digest, cause, event.into(), now))
        }));
        let expected = requests.iter().collect::<BTreeSet<_>>().len();
        let (admitted, made, replies) = tokio::join!(admitted, made, door.ask_all(&requests));
        assert!(admitted.iter().all(Result::is_ok) && made.iter().all(Result::is_ok));
        one_run_each(replies, expected);
        let routers = (0..4).map(|_| tokio::spawn(route_all(store.clone(), digest)));
        for router in join_all(routers).await {
            router.expect("a router");
        }
        world.wake.nudge();
    }
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
    door.stopper.stop();
    let references: BTreeMap<Option<String>, usize> =
        (world.simulator.control.effects().into_iter()).fold(BTreeMap::new(), |mut times, effect| {
            *times.entry(effect.reference).or_default() += 1;
            times
        });
    let expected = (0..figure.cases)
        .map(|number| (Some(format!("N-{number}")), 1))
        .collect();
    assert_eq!(references, expected, "seed {}", figure.seed);
    let [events, slots, requests] = asked;
    figure.report(&format!(
        "events sent {events} times, slots fired {slots} times, requests made {requests} times, 2 to 20 times each at \
         once: each paid once"
    ));
}
