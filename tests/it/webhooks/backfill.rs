//! Missed webhooks: what the provider's own list of events gives back, once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bursar::base::clock::{Clock as _, Instant, ManualClock};
use bursar::base::ids::EventId;
use bursar::base::wake::Wake;
use bursar::connector::event::read_event;
use bursar::model::event::Delivery;
use bursar::simulator::config::SimulatorConfig;
use bursar::simulator::control::NewDeposit;
use bursar::simulator::faults::{FaultAction, FaultRule, When};
use bursar::store::{EventQuery, RunQuery, Store};
use bursar::trigger::backfill::{Backfill, BackfillError, Filled};
use bursar::trigger::router::{Next, Router};
use bursar::trigger::versions::KnownVersions;
use serde_json::{Value as Json, json};

use super::harness::{Shelf, on_deposit, start_of_test};
use crate::support::World;

struct Gap {
    world: World,
    clock: ManualClock,
    store: Arc<dyn Store>,
    shelf: Shelf,
}

impl Gap {
    async fn new() -> Self {
        let clock = ManualClock::new(start_of_test());
        let world = World::with_clock(SimulatorConfig::demo(), Arc::new(clock.clone())).await;
        let store = world.store().await;
        Self {
            world,
            clock,
            store,
            shelf: Shelf::of(&[("book-deposits", &[on_deposit(None)])]),
        }
    }

    /// One reading of the list, by a process that has just started.
    async fn fill(&self) -> Result<Filled, BackfillError> {
        let backfill = Backfill {
            store: self.store.clone(),
            connections: Arc::new(self.world.connections.clone()),
            client: self.world.client.clone(),
            clock: Arc::new(self.clock.clone()),
            arrived: Wake::new(),
            wake: Wake::new(),
            every: Duration::from_secs(900),
        };
        let bank = &self.world.connections["bank"];
        backfill.fill(bank).await.expect("the bank has a list of events")
    }

    /// Money arrives.
    fn deposits(&self, count: usize) {
        let account = self.world.simulator.control.accounts()[0]["id"].clone();
        let account = account.as_str().expect("an id").to_owned();
        for number in 0..count {
            let deposit = NewDeposit::new(account.clone(), "12.30", &format!("INV {number}"));
            self.world
                .simulator
                .control
                .create_deposit(&deposit)
                .expect("a deposit");
        }
    }

    /// What the bank would have sent.
    fn webhooks(&self) -> Vec<Json> {
        let sent = |event: Json| {
            json!({
                "id": event["id"], "type": event["event_type"], "api_version": event["api_version"],
                "date": event["created_at"], "payload": event["data"],
            })
        };
        self.world.simulator.control.events().into_iter().map(sent).collect()
    }

    async fn comes(&self, webhook: &Json) {
        let delivery = Delivery {
            connection: "bank".to_owned(),
            headers: Vec::new(),
            body: webhook.to_string().into(),
            sender: std::net::Ipv4Addr::LOCALHOST.into(),
            received_at: self.clock.now(),
        };
        let connector = &self.world.connections["bank"].connector;
        let event = read_event(connector, &delivery, EventId::generate(self.clock.now())).expect("an event");
        self.store.admit(event).await.expect("admitted");
    }

    /// How many runs each deposit has.
    async fn runs(&self) -> BTreeMap<String, usize> {
        let router = Router {
            store: self.store.clone(),
            catalog: self.shelf.catalog.clone(),
            clock: Arc::new(self.clock.clone()),
            arrived: Wake::new(),
            wake: Wake::new(),
            versions: Arc::new(KnownVersions::new()),
        };
        while router.route_some().await.expect("routed") != Next::Listen {}
        let query = RunQuery {
            limit: 10_000,
            ..RunQuery::default()
        };
        let mut runs = BTreeMap::new();
        for run in self.store.runs(query).await.expect("read") {
            let deposit = run.event["payload"]["id"].as_str().expect("a deposit").to_owned();
            *runs.entry(deposit).or_default() += 1;
        }
        runs
    }

    fn later(&self, duration: Duration) {
        self.clock.advance(duration);
    }
}

const HOUR: Duration = Duration::from_secs(3_600);

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_webhooks_that_never_came_start_their_runs_once() {
    let gap = Gap::new().await;
    gap.deposits(3);
    gap.later(Duration::from_secs(60));
    // What happened before anybody listened is nobody's.
    assert_eq!(gap.fill().await, Ok(Filled::default()));
    gap.later(Duration::from_secs(60));
    for _ in 0..60 {
        gap.deposits(10);
        gap.later(Duration::from_secs(60));
    }
    gap.later(25 * HOUR);
    let webhooks = gap.webhooks();
    let (before, missed): (Vec<_>, Vec<_>) = webhooks
        .iter()
        .partition(|webhook| created(webhook) < start_of_test() + chrono::TimeDelta::seconds(90));
    assert_eq!((before.len(), missed.len()), (3, 600));
    // Some came all the same.
    for webhook in missed.iter().step_by(6) {
        gap.comes(webhook).await;
    }
    let filled = gap.fill().await.expect("read");
    assert_eq!((filled.new, filled.known, filled.unreadable), (500, 100, 0));
    assert_eq!(filled.lost_before, None);
    let runs = gap.runs().await;
    assert_eq!(runs.len(), 600);
    assert!(runs.values().all(|runs| *runs == 1), "{runs:?}");
    // Read again, with what came meanwhile, and every webhook delivered after all: nothing is new.
    let again = gap.fill().await.expect("read");
    assert_eq!(again.new, 0);
    for webhook in &missed {
        gap.comes(webhook).await;
    }
    assert_eq!(gap.runs().await, runs);
    crate::support::report("500 missed webhooks were found in the list of events: 500 runs, 0 twice");
    // They were taken in the order in which they happened.
    let query = EventQuery {
        limit: 10_000,
        ..EventQuery::default()
    };
    let admitted = gap.store.events(query).await.expect("read");
    let found: Vec<_> = admitted.iter().rev().skip(100).map(|event| event.occurred_at).collect();
    assert_eq!(found.len(), 500);
    assert!(found.is_sorted(), "{found:?}");
    gap.store.close().await.expect("closed");
}

fn created(webhook: &Json) -> Instant {
    let text = webhook["date"].as_str().expect("a time");
    bursar::model::value::parse_time(text).expect("a time")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_breaks_off_is_read_again_from_where_it_began() {
    let gap = Gap::new().await;
    assert_eq!(gap.fill().await, Ok(Filled::default()));
    gap.later(HOUR);
    gap.deposits(250);
    gap.later(3 * HOUR);
    let broken = FaultAction::Status {
        status: 500,
        when: When::Before,
        retry_after_secs: None,
    };
    gap.world
        .simulator
        .control
        .add_fault(FaultRule::on("list_events", broken).nth(2).times(1));
    let error = gap.fill().await.expect_err("the second page is not given");
    assert!(matches!(error, BackfillError::Provider(_)), "{error:?}");
    let filled = gap.fill().await.expect("read");
    assert_eq!((filled.new, filled.known), (250, 0));
    assert_eq!(gap.runs().await.len(), 250);
    gap.store.close().await.expect("closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_provider_has_forgotten_is_said() {
    let gap = Gap::new().await;
    assert_eq!(gap.fill().await, Ok(Filled::default()));
    gap.deposits(2);
    gap.later(40 * 24 * HOUR);
    gap.deposits(1);
    let filled = gap.fill().await.expect("read");
    assert_eq!((filled.new, filled.known), (1, 0));
    let kept = gap.clock.now() - chrono::TimeDelta::days(30);
    assert_eq!(filled.lost_before, Some(kept));
    // Said once: from now on it is read in time.
    assert_eq!(gap.fill().await.expect("read").lost_before, None);
    gap.store.close().await.expect("closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_clock_that_was_ahead_nothing_is_left_out() {
    let gap = Gap::new().await;
    assert_eq!(gap.fill().await, Ok(Filled::default()));
    gap.deposits(1);
    // For a while the clock is two days ahead, and the list is read.
    let right = gap.clock.now();
    gap.clock.jump_to(right + chrono::TimeDelta::days(2));
    assert_eq!(gap.fill().await.expect("read").new, 1);
    gap.clock.jump_to(right + chrono::TimeDelta::minutes(10));
    gap.deposits(2);
    gap.later(HOUR);
    assert_eq!(gap.fill().await.expect("read").new, 2);
    assert_eq!(gap.runs().await.len(), 3);
    // Before there were banks with an API nothing is looked for.
    gap.clock.jump_to(Instant::UNIX_EPOCH);
    assert!(matches!(gap.fill().await, Err(BackfillError::Clock(_))));
    gap.store.close().await.expect("closed");
}
