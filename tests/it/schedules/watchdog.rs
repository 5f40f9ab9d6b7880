//! What the watchdog says, and how often.

use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use bursar::base::clock::{Clock as _, ManualClock};
use bursar::base::ids::WorkerId;
use bursar::store::Store as _;
use bursar::store::faulty::{Fault, Faulty};
use chrono::TimeDelta;
use tracing::field::{Field, Visit};
use tracing::subscriber::DefaultGuard;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

use super::rig::*;
use crate::webhooks::harness::new_store;

/// Every error that is told on this thread, with its fields.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<String>>>);

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.push_str(&format!("{}={value:?} ", field.name()));
    }
}

impl<S: Subscriber> Layer<S> for Told {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if *event.metadata().level() == Level::ERROR {
            let mut line = Line(String::new());
            event.record(&mut line);
            self.0.lock().expect("nobody panics here").push(line.0);
        }
    }
}

impl Told {
    fn listen() -> (Self, DefaultGuard) {
        let told = Self::default();
        let guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(told.clone()));
        (told, guard)
    }

    /// The lines that say this, taken out.
    fn take(&self, part: &str) -> Vec<String> {
        let mut lines = self.0.lock().expect("nobody panics here");
        let found = lines.iter().filter(|line| line.contains(part)).cloned().collect();
        lines.clear();
        found
    }
}

const OVERDUE: &str = "a slot is overdue: it has neither its run nor a reason";
const UNBEGUN: &str = "has not begun for 10 minutes: nothing takes it up";

#[tokio::test]
async fn a_slot_that_the_store_refuses_is_told_of_once_and_the_next_one_anew() {
    let (told, _guard) = Told::listen();
    let folder = tempfile::tempdir().expect("a folder");
    let store = new_store(&folder).await;
    let clock = ManualClock::new(at("2026-05-04T14:59:50Z"));
    let shelf = one("0 * * * *", "latest");
    let running = Running::start(store.clone(), &shelf, &clock).await;
    running.pass(15).await;
    running.stop().await;
    assert_eq!(told.take(OVERDUE), [""; 0]);
    clock.jump_to(at("2026-05-04T15:59:50Z"));
    let running = Running::start(Faulty::new(store.clone(), Fault::Before(1)), &shelf, &clock).await;
    running.pass(20).await;
    assert_eq!(told.take(OVERDUE), [""; 0], "it may still come");
    running.pass(55).await;
    let lines = told.take(OVERDUE);
    let [line] = lines.as_slice() else { panic!("{lines:?}") };
    for part in [
        "workflow=\"sweep\"",
        "schedule=\"0 * * * *\"",
        "slot=2026-05-04T16:00:00Z",
    ] {
        assert!(line.contains(part), "{part}: {line}");
    }
    running.pass(60).await;
    running.pass(600).await;
    assert_eq!(told.take(OVERDUE), [""; 0], "once");
    running.stop().await;
}

#[tokio::test]
async fn a_run_that_nothing_takes_up_is_told_of_once_and_one_that_was_begun_is_not() {
    for is_taken in [false, true] {
        let (told, _guard) = Told::listen();
        let folder = tempfile::tempdir().expect("a folder");
        let store = new_store(&folder).await;
        let clock = ManualClock::new(at("2026-05-04T15:59:50Z"));
        let running = Running::start(store.clone(), &one(DAILY, "latest"), &clock).await;
        running.pass(15).await;
        let run = runs(store.as_ref()).await[0].id;
        if is_taken {
            let (now, end) = (clock.now(), clock.now() + TimeDelta::hours(1));
            let claims = store.claim(WorkerId::generate(now), now, end, 9).await;
            assert_eq!(claims.expect("claimed").len(), 1);
            store.durable().await.expect("for readers, too");
        }
        running.pass(580).await;
        assert_eq!(told.take(UNBEGUN), [""; 0], "{is_taken}");
        running.pass(40).await;
        let lines = told.take(UNBEGUN);
        assert_eq!(lines.len(), usize::from(!is_taken), "{lines:?}");
        assert!(lines.iter().all(|line| line.contains(&run.to_string())), "{lines:?}");
        running.pass(900).await;
        assert_eq!(told.take(UNBEGUN), [""; 0], "{is_taken}: once");
        running.stop().await;
    }
}
