//! A trigger over a store, a clock moved by hand, and what came of it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bursar::base::clock::{BoxFuture, Clock, Instant, ManualClock};
use bursar::base::shutdown::Stopper;
use bursar::base::wake::Wake;
use bursar::catalog::watch::Catalog;
use bursar::model::run::{Cause, Run};
use bursar::model::unmade::{Unmade, UnmadeReason};
use bursar::model::value::{parse_time, time_text};
use bursar::store::{RunQuery, Store};
use bursar::trigger::cron::CronTrigger;
use bursar::trigger::versions::KnownVersions;
use tokio::task::JoinHandle;

use crate::webhooks::harness::{Shelf, on_schedule};

pub(super) const DAILY: &str = "0 18 * * *";
pub(super) const ZONE: &str = "Europe/Berlin";

pub(super) fn at(text: &str) -> Instant {
    parse_time(text).expect("an instant")
}

pub(super) fn one(schedule: &str, catch_up: &str) -> Shelf {
    Shelf::of(&[("sweep", &[on_schedule(schedule, catch_up)])])
}

/// The shared clock as one trigger sees it: knows until when the trigger sleeps, and how often it has.
#[derive(Clone)]
pub(super) struct Watched {
    pub(super) clock: ManualClock,
    sleeps: Arc<Mutex<(Duration, u64)>>,
}

impl Watched {
    fn read(&self) -> (Duration, u64) {
        *self.sleeps.lock().expect("no panic while it was held")
    }
}

impl Clock for Watched {
    fn now(&self) -> Instant {
        self.clock.now()
    }

    fn elapsed(&self) -> Duration {
        self.clock.elapsed()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        // A longer one is the watchdog's, while a pass is under way.
        if duration > Duration::from_secs(30) {
            return self.clock.sleep(duration);
        }
        let mut sleeps = self.sleeps.lock().expect("no panic while it was held");
        *sleeps = (self.clock.elapsed() + duration, sleeps.1 + 1);
        self.clock.sleep(duration)
    }
}

/// A trigger that is running.
pub(crate) struct Running {
    pub(super) clock: Watched,
    stopper: Stopper,
    task: JoinHandle<()>,
}

impl Running {
    /// Starts it and lets it do everything it wants to do at once.
    pub(super) async fn start(store: Arc<dyn Store>, shelf: &Shelf, clock: &ManualClock) -> Self {
        Self::of(store, shelf.catalog.clone(), clock, Wake::new()).await
    }

    /// The same for any catalog; `wake` hears of the runs that are made.
    pub(crate) async fn of(store: Arc<dyn Store>, catalog: Catalog, clock: &ManualClock, wake: Wake) -> Self {
        let (stopper, shutdown) = Stopper::new();
        let clock = Watched {
            clock: clock.clone(),
            sleeps: Arc::default(),
        };
        let trigger = CronTrigger::new(
            store,
            catalog,
            Arc::new(clock.clone()),
            wake,
            Arc::new(KnownVersions::new()),
        );
        let task = tokio::spawn(trigger.run(shutdown));
        let running = Self { clock, stopper, task };
        running.slept(1).await;
        running
    }

    /// Lets time pass, and the trigger do what it wants to do then.
    pub(crate) async fn pass(&self, seconds: u64) {
        self.clock.clock.advance(Duration::from_secs(seconds));
        self.asleep().await;
    }

    /// Waits until the trigger sleeps for longer than now.
    pub(super) async fn asleep(&self) {
        self.until(|(due, _)| due > self.clock.elapsed()).await;
    }

    /// Waits until the trigger has gone to sleep so many times.
    pub(super) async fn slept(&self, times: u64) {
        self.until(|(_, slept)| slept >= times).await;
    }

    async fn until(&self, reached: impl Fn((Duration, u64)) -> bool) {
        for _ in 0..20_000 {
            if reached(self.clock.read()) {
                return;
            }
            tokio::time::sleep_until(tokio::time::Instant::now() + Duration::from_millis(1)).await;
        }
        unreachable!("the trigger is stuck");
    }

    pub(crate) async fn stop(self) {
        self.stopper.stop();
        self.task.await.expect("it ends without a panic");
    }
}

pub(super) async fn runs(store: &dyn Store) -> Vec<Run> {
    let query = RunQuery {
        limit: 1_000,
        ..RunQuery::default()
    };
    let mut runs = store.runs(query).await.expect("runs can be read");
    runs.reverse();
    runs
}

/// The slots that made runs, in the order of the runs.
pub(super) async fn slots(store: &dyn Store) -> Vec<String> {
    let runs = runs(store).await;
    let slot = |run: &Run| {
        let Cause::Cron { slot, .. } = &run.cause else {
            unreachable!("nothing else makes runs here")
        };
        time_text(*slot)
    };
    runs.iter().map(slot).collect()
}

/// What was passed over, oldest first: first slot, last slot, how many, why.
pub(super) async fn passed_over(store: &dyn Store) -> Vec<(String, Option<String>, u32, UnmadeReason)> {
    let mut unmade = store.unmade(Some("sweep"), 1_000).await.expect("read");
    unmade.reverse();
    let told = |unmade: Unmade| {
        let Cause::Cron { slot, .. } = unmade.cause else {
            unreachable!("nothing else is passed over here")
        };
        let last = unmade.last_slot.map(time_text);
        (time_text(slot), last, unmade.slots, unmade.reason)
    };
    unmade.into_iter().map(told).collect()
}
