//! Missed webhooks: what the provider's own list of events gives back, once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bursar::base::clock::{Clock as _, Instant, ManualClock};
use bursar::base::ids::EventId;
use bursar::base::shutdown::Stopper;
use bursar::base::wake::Wake;
use bursar::connector::connection::BreakerSettings;
use bursar::connector::event::read_event;
use bursar::engine::services::{Parts, Services};
use bursar::model::event::Delivery;
use bursar::simulator::config::SimulatorConfig;
use bursar::simulator::control::NewDeposit;
use bursar::simulator::faults::{FaultAction, FaultRule, When};
use bursar::store::{EventQuery, RunQuery, Store};
use bursar::trigger::backfill::{Backfill, BackfillError, Filled, Readings, Traffic};
use bursar::trigger::router::{Next, Router};
use bursar::trigger::versions::KnownVersions;
use serde_json::{Value as Json, json};

use super::harness::{Shelf, new_store, on_deposit, start_of_test};
use crate::support::World;
use crate::support::real_time::pause;

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
        self.read(&self.backfill()).await
    }

    async fn read(&self, backfill: &Backfill) -> Result<Filled, BackfillError> {
        let bank = &self.world.connections["bank"];
        backfill.fill(bank).await.expect("the bank has a list of events")
    }

    /// A process that nothing holds up.
    fn backfill(&self) -> Backfill {
        Backfill {
            store: self.store.clone(),
            connections: Arc::new(self.world.connections.clone()),
            client: self.world.client.clone(),
            clock: Arc::new(self.clock.clone()),
            arrived: Wake::new(),
            wake: Wake::new(),
            every: Duration::from_secs(900),
            pages_max: 1_000,
            traffic: Traffic {
                may_ask: Box::new(|_| Ok(Duration::ZERO)),
                heard: Box::new(|_, _, _| {}),
            },
            readings: Readings::default(),
        }
    }

    /// One beside runs.
    async fn beside_runs(&self) -> Backfill {
        let parts = Parts {
            store: self.store.clone(),
            clock: Arc::new(self.clock.clone()),
            client: self.world.client.clone(),
            connections: self.world.connections.clone(),
            wake: Wake::new(),
            settings: self.world.settings.clone(),
        };
        let services = Arc::new(Services::new(parts).await.expect("the store answers"));
        Backfill {
            traffic: bursar::app::beside_runs(&services),
            ..self.backfill()
        }
    }

    /// How often the list was asked for.
    fn asked(&self) -> u64 {
        let requests = self.world.simulator.control.requests();
        requests.get("list_events").map_or(0, |count| count.total)
    }

    /// The list is not given, so many times from this one of its pages on.
    fn breaks(&self, nth: u64, times: u64) {
        let broken = FaultAction::Status {
            status: 500,
            when: When::Before,
            retry_after_secs: None,
        };
        let rule = FaultRule::on("list_events", broken).nth(nth);
        let rule = rule.times(times);
        self.world.simulator.control.add_fault(rule);
    }

    /// Of how many pages the list is now, asked by a process that knows nothing.
    async fn pages(&self) -> u64 {
        let folder = tempfile::tempdir().expect("a folder");
        let store = new_store(&folder).await;
        let since = start_of_test() + chrono::TimeDelta::minutes(5);
        store.set_backfill_from("bank", since).await.expect("kept");
        let process = Backfill {
            store: store.clone(),
            ..self.backfill()
        };
        let before = self.asked();
        self.read(&process).await.expect("read");
        store.close().await.expect("closed");
        self.asked() - before
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
            connections: Arc::new(self.world.connections.clone()),
            clock: Arc::new(self.clock.clone()),
            arrived: Wake::new(),
            wake: Wake::new(),
            versions: Arc::new(KnownVersions::new()),
            behind: Default::default(),
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
    for is_same in [true, false] {
        let gap = Gap::new().await;
        assert_eq!(gap.fill().await, Ok(Filled::default()));
        gap.later(HOUR);
        gap.deposits(250);
        gap.later(3 * HOUR);
        let whole = gap.pages().await;
        gap.breaks(whole, 1);
        let process = gap.backfill();
        let error = gap.read(&process).await.expect_err("the last page is not given");
        assert!(matches!(error, BackfillError::Provider(_)), "{error:?}");
        let before = gap.asked();
        let next = if is_same { process } else { gap.backfill() };
        let filled = gap.read(&next).await.expect("read");
        let (pages, known) = if is_same { (1, 0) } else { (whole, 250 - filled.new) };
        assert_eq!((gap.asked() - before, filled.known), (pages, known));
        assert!(filled.new > 0 && filled.new < 250, "{filled:?}");
        assert_eq!(gap.runs().await.len(), 250);
        // Only now the mark has moved.
        let before = gap.asked();
        assert_eq!(gap.fill().await.map(|filled| filled.new), Ok(0));
        assert_eq!(gap.asked() - before, 1);
        gap.store.close().await.expect("closed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_longer_than_one_reading_is_read_in_parts_and_no_page_twice() {
    let gap = Gap::new().await;
    assert_eq!(gap.fill().await, Ok(Filled::default()));
    gap.later(HOUR);
    gap.deposits(250);
    gap.later(3 * HOUR);
    let whole = gap.pages().await;
    let process = Backfill {
        pages_max: 1,
        ..gap.backfill()
    };
    let before = gap.asked();
    let (mut parts, mut new) = (0, 0);
    loop {
        let filled = gap.read(&process).await.expect("read");
        parts += 1;
        new += filled.new;
        assert_eq!(filled.known, 0, "no page is read twice");
        // What happens meanwhile stands before what was read, and is found by the next reading.
        gap.deposits(1);
        if !filled.goes_on {
            break;
        }
    }
    assert_eq!((parts, gap.asked() - before, new), (whole, whole, 250));
    gap.later(Duration::from_secs(60));
    assert_eq!(gap.fill().await.map(|filled| filled.new), Ok(parts));
    gap.store.close().await.expect("closed");
}

/// Pages are requests like all others: as many in a second as the connection allows.
#[tokio::test(flavor = "multi_thread")]
async fn a_reading_keeps_to_the_pace_of_its_connection() {
    let mut gap = Gap::new().await;
    assert_eq!(gap.fill().await, Ok(Filled::default()));
    gap.later(HOUR);
    gap.deposits(250);
    gap.later(3 * HOUR);
    let whole = gap.pages().await;
    gap.world.reconnect(|bank| bank.pace.requests_per_second = Some(2));
    let process = gap.beside_runs().await;
    crate::support::hurry(gap.clock.clone());
    let before = gap.clock.elapsed();
    assert_eq!(gap.read(&process).await.map(|filled| filled.new), Ok(250));
    let took = gap.clock.elapsed() - before;
    let least = Duration::from_millis(500) * u32::try_from(whole - 1).expect("few");
    assert!(whole > 2 && took >= least, "{whole} pages in {took:?}");
    gap.store.close().await.expect("closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_in_trouble_is_left_alone_and_asked_again_after_the_pause() {
    let mut gap = Gap::new().await;
    assert_eq!(gap.fill().await, Ok(Filled::default()));
    gap.later(HOUR);
    gap.deposits(3);
    gap.later(3 * HOUR);
    gap.world.reconnect(|bank| {
        bank.pace.breaker = BreakerSettings {
            failures: 3,
            pause: Duration::from_secs(30),
        };
    });
    let process = gap.beside_runs().await;
    gap.breaks(1, 4);
    for _ in 0..3 {
        assert!(matches!(gap.read(&process).await, Err(BackfillError::Provider(_))));
    }
    gap.store.durable().await.expect("durable");
    let tripped = gap.store.breakers().await.expect("read");
    assert_eq!(tripped.len(), 1, "the others on the connection know: {tripped:?}");
    let asked = gap.asked();
    let held = gap.read(&process).await;
    assert!(
        matches!(held, Err(BackfillError::Held(until)) if until > gap.clock.now()),
        "{held:?}"
    );
    assert_eq!(gap.asked(), asked, "nothing was asked");
    gap.later(Duration::from_secs(31));
    assert!(
        matches!(gap.read(&process).await, Err(BackfillError::Provider(_))),
        "still in trouble"
    );
    assert!(matches!(gap.read(&process).await, Err(BackfillError::Held(_))));
    gap.later(Duration::from_secs(31));
    assert_eq!(gap.read(&process).await.map(|filled| filled.new), Ok(3));
    gap.store.durable().await.expect("durable");
    assert_eq!(
        gap.store.breakers().await,
        Ok(Vec::new()),
        "it answers, so effects begin again"
    );
    gap.store.close().await.expect("closed");
}

/// Hours without an answer: the list is asked for ever more rarely, and at once again when it is given.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_is_not_given_is_asked_for_more_and_more_rarely() {
    let gap = Gap::new().await;
    assert_eq!(gap.fill().await, Ok(Filled::default()));
    gap.breaks(1, 1_000);
    let (stopper, shutdown) = Stopper::new();
    let before = gap.asked();
    let reading = tokio::spawn(gap.backfill().run(shutdown));
    let mut asked_in_hours = Vec::new();
    for _ in 0..4 {
        let before = gap.asked();
        for _ in 0..120 {
            pause(Duration::from_millis(2)).await;
            gap.later(Duration::from_secs(30));
        }
        asked_in_hours.push(gap.asked() - before);
    }
    stopper.stop();
    reading.await.expect("it ends");
    assert!((5..=8).contains(&asked_in_hours[0]), "{asked_in_hours:?}");
    assert!(
        asked_in_hours.iter().skip(1).all(|asked| *asked <= 2),
        "{asked_in_hours:?}"
    );
    assert!(gap.asked() - before >= 7, "it goes on: {asked_in_hours:?}");
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
