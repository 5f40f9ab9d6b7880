//! Clocks that jump: what fires is what the policies say, nothing fires twice, and no slot vanishes.
//!
//! The rules stand here a second time, as arithmetic on seconds, and are compared with what the store has.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bursar::base::clock::{Clock as _, Instant, ManualClock};
use bursar::base::wake::Wake;
use bursar::model::run::Cause;
use bursar::model::unmade::{Pause, PauseCause};
use bursar::store::sqlite::{Durability, OnFailure, SqliteOptions, SqliteStore};
use bursar::store::{SlotKey, SlotQuery, Store};
use bursar::trigger::cron::CronTrigger;
use bursar::trigger::versions::KnownVersions;
use chrono::{DateTime, TimeDelta};

use super::rig::{Running, at, one, passed_over, slots};
use crate::support::{meddle, number, report, resumed};
use crate::webhooks::harness::{Shelf, new_store, on_schedule};

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;
const YEAR: i64 = 365 * DAY;
/// What the product calls a correction that a person has to look at.
const ASTRAY: i64 = 3 * HOUR;

/// A schedule in UTC whose slots are all times so many seconds after a multiple of a period.
#[derive(Clone, Copy)]
struct Plan {
    name: &'static str,
    expression: &'static str,
    catch_up: &'static str,
    period: i64,
    offset: i64,
}

const PLANS: [Plan; 4] = [
    Plan {
        name: "often",
        expression: "*/30 * * * *",
        catch_up: "none",
        period: 1_800,
        offset: 0,
    },
    Plan {
        name: "hourly",
        expression: "0 * * * *",
        catch_up: "latest",
        period: HOUR,
        offset: 0,
    },
    Plan {
        name: "each",
        expression: "15 */2 * * *",
        catch_up: "all",
        period: 2 * HOUR,
        offset: 900,
    },
    Plan {
        name: "daily",
        expression: "30 6 * * *",
        catch_up: "latest",
        period: DAY,
        offset: 6 * HOUR + 1_800,
    },
];

/// What a schedule should have done.
struct Model {
    plan: Plan,
    last: i64,
    /// Up to when the store was told that all is dealt with, as the process knows and as the store has it.
    settled: i64,
    kept: i64,
    runs: BTreeSet<i64>,
    passed: BTreeSet<i64>,
}

impl Model {
    /// The slots after one time and up to another.
    fn slots(&self, from: i64, to: i64) -> impl Iterator<Item = i64> {
        let Plan { period, offset, .. } = self.plan;
        let first = (from - offset).div_euclid(period) + 1;
        let last = (to - offset).div_euclid(period);
        (first..=last).map(move |index| index * period + offset)
    }

    fn pass(&mut self, now: i64) {
        if self.last > now + ASTRAY {
            self.settled = self.settled.max(self.last);
            self.last = now;
        }
        let on_time: Vec<i64> = self.slots(self.last.max(now - 60), now).collect();
        let young = self.last.max(now - DAY);
        let runs: Vec<i64> = match self.plan.catch_up {
            "latest" if on_time.is_empty() => self.slots(young, now).last().into_iter().collect(),
            "all" => Some(self.slots(young, now).collect())
                .filter(|slots: &Vec<i64>| slots.len() <= 100)
                .unwrap_or(on_time),
            _ => on_time,
        };
        let all: Vec<i64> = self.slots(self.last, now).collect();
        self.passed.extend(all.iter().filter(|slot| !runs.contains(slot)));
        self.runs.extend(runs);
        self.last = self.last.max(now);
        if self.last < self.settled || self.last - self.settled >= DAY {
            (self.settled, self.kept) = (self.last, self.last);
        }
    }

    /// Another process knows what has a run or a reason, up to when the store was told, and nothing else.
    fn restart(&mut self, now: i64) {
        let known = self.runs.iter().chain(&self.passed).chain([&self.kept]);
        let known = known.filter(|slot| **slot <= now + ASTRAY).max().copied();
        self.last = known.unwrap_or(now);
        self.settled = self.last;
        if known.is_none() {
            self.kept = now;
        }
    }
}

/// A store, the process over it, and the model of both.
struct World {
    store: Arc<dyn Store>,
    shelf: Shelf,
    clock: ManualClock,
    trigger: CronTrigger,
    models: Vec<Model>,
    /// Whether schedules wait for a person.
    astray: bool,
    /// Whether a person has taken a clock for right that was set back. Then records lie in the future, and a row for
    /// several slots that reaches there counts for none of them in another process: slot by slot is not what it knows.
    set_back: bool,
    /// What the wall clock showed, and the time that passed, at the last look.
    seen: (i64, Duration),
    _folder: tempfile::TempDir,
}

fn seconds(instant: Instant) -> i64 {
    instant.timestamp()
}

impl World {
    async fn new(random: &mut fastrand::Rng) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let options = SqliteOptions {
            durability: Durability::Normal,
            on_failure: OnFailure::Poison,
        };
        let store: Arc<dyn Store> = SqliteStore::open(folder.path(), options).await.expect("a store");
        let triggers = PLANS.map(|plan| {
            let trigger = format!(
                "[[trigger]]\ntype = \"cron\"\nschedule = \"{}\"\ntimezone = \"UTC\"\ncatch_up = \"{}\"\noverlap = \"queue\"\npause_after_failures = 0\n",
                plan.expression, plan.catch_up
            );
            (plan.name, [trigger])
        });
        let triggers = triggers.each_ref().map(|(name, trigger)| (*name, trigger.as_slice()));
        let shelf = Shelf::of(&triggers);
        let start = seconds(at("2026-05-04T00:00:07Z")) + random.i64(0..2 * YEAR);
        let clock = ManualClock::new(DateTime::from_timestamp(start, 0).expect("an instant"));
        let trigger = trigger(&store, &shelf, &clock);
        let model = |plan| Model {
            plan,
            last: start,
            settled: start,
            kept: start,
            runs: BTreeSet::new(),
            passed: BTreeSet::new(),
        };
        let mut world = Self {
            store,
            shelf,
            trigger,
            models: PLANS.map(model).into(),
            astray: false,
            set_back: false,
            seen: (start, clock.elapsed()),
            clock,
            _folder: folder,
        };
        world.look().await;
        world
    }

    fn now(&self) -> i64 {
        seconds(self.clock.now())
    }

    fn jump(&self, by: i64) {
        self.clock.jump_to(self.clock.now() + TimeDelta::seconds(by));
    }

    /// One look of the process, and of the model.
    async fn look(&mut self) {
        self.trigger.pass().await.expect("the store answers");
        let (now, elapsed) = (self.now(), self.clock.elapsed());
        let passed = i64::try_from((elapsed - self.seen.1).as_secs()).expect("small");
        self.astray |= (now - self.seen.0 - passed).abs() > ASTRAY;
        self.seen = (now, elapsed);
        if !self.astray {
            self.models.iter_mut().for_each(|model| model.pass(now));
        }
    }

    async fn wait(&mut self, secs: u64) {
        self.clock.advance(Duration::from_secs(secs));
        self.look().await;
    }

    /// A person has looked at the clock, and lets every schedule go on.
    async fn resume(&mut self) {
        assert_eq!(self.store.pauses().await, Ok(Vec::new()));
        assert_eq!(self.store.trust_clock(self.clock.now()).await, Ok(true));
        self.astray = false;
        self.look().await;
    }

    /// Whether records lie in the future, after a correction. Another process goes on behind the newest of them, and a row
    /// for several slots is as new as its first one: slot by slot is not what it knows.
    fn is_ahead(&self) -> bool {
        let known = self
            .models
            .iter()
            .flat_map(|model| model.runs.iter().chain(&model.passed));
        known.max().is_some_and(|newest| *newest > self.now())
    }

    async fn restart(&mut self, away: i64) {
        self.clock.jump_to(self.clock.now() + TimeDelta::seconds(away));
        self.trigger = trigger(&self.store, &self.shelf, &self.clock);
        self.seen = (self.now(), self.clock.elapsed());
        let now = self.now();
        self.models.iter_mut().for_each(|model| model.restart(now));
        self.look().await;
    }

    /// One random jump, and some time. How many jumps that were.
    async fn step(&mut self, random: &mut fastrand::Rng) -> u64 {
        let way = if random.bool() { 1 } else { -1 };
        let mut jumps = 1;
        let before = self.now();
        match random.u8(..24) {
            0..5 => self.jump(way),
            5..10 => self.jump(way * random.i64(4..7)),
            10..15 => self.jump(way * (HOUR + random.i64(-20..20))),
            15..18 => self.jump(way * (ASTRAY + random.i64(-2..3))),
            18 => self.jump(way * (YEAR + random.i64(-DAY..DAY))),
            19 => self.jump(way * random.i64(0..DAY)),
            // A time server that cannot make up its mind.
            20 => {
                jumps = 20;
                for _ in 1..jumps {
                    self.jump(random.i64(-6..7));
                    self.wait(random.u64(1..30)).await;
                }
                self.jump(random.i64(-6..7));
            }
            // The machine sleeps, and no time passes.
            21 | 22 => self.jump(random.i64(60..30 * HOUR)),
            _ => {
                if !self.set_back && !self.is_ahead() {
                    self.restart(random.i64(0..DAY)).await;
                }
            }
        }
        let slices = if random.u8(..4) == 0 { random.u64(1..40) } else { 1 };
        self.wait(slices * 30).await;
        if self.astray {
            // It stays so, whatever the clock does meanwhile.
            for _ in 0..random.u8(..3) {
                self.jump(random.i64(-DAY..DAY));
                jumps += 1;
                self.wait(30).await;
            }
            let far = (self.now() - before).abs() > 4 * DAY;
            if random.bool() || (far && random.u8(..32) > 0) {
                self.clock
                    .jump_to(DateTime::from_timestamp(before + 60, 0).expect("an instant"));
                jumps += 1;
                self.wait(1).await;
            }
            self.set_back |= self.now() < before;
            self.resume().await;
        }
        jumps
    }

    /// What the store has is what the model says.
    async fn compare(&self, what: &str) -> (usize, usize) {
        let (mut runs, mut passed) = (0, 0);
        for model in &self.models {
            let key = SlotKey {
                workflow: model.plan.name.to_owned(),
                schedule: model.plan.expression.to_owned(),
                timezone: "UTC".to_owned(),
            };
            let query = SlotQuery {
                key,
                from: None,
                to: None,
                limit: 1_000_000,
            };
            let made = self.store.slot_runs(query).await.expect("read");
            let made: Vec<i64> = made.iter().rev().map(|run| seconds(run.slot)).collect();
            let expected: Vec<i64> = model.runs.iter().copied().collect();
            assert_eq!(
                made, expected,
                "{what}: {} fires as its policy says, once",
                model.plan.name
            );
            let reasons = self.store.unmade(Some(model.plan.name), 1_000_000).await.expect("read");
            let reasons: Vec<(i64, i64)> = reasons
                .iter()
                .map(|unmade| match unmade.cause {
                    Cause::Cron { slot, .. } => (seconds(slot), seconds(unmade.last_slot.unwrap_or(slot))),
                    _ => unreachable!("nothing else asks for runs here"),
                })
                .collect();
            for slot in model.passed.difference(&model.runs) {
                let told = reasons.iter().any(|(first, last)| (first..=last).contains(&slot));
                assert!(told, "{what}: {slot} of {} has neither run nor reason", model.plan.name);
            }
            runs += model.runs.len();
            passed += model.passed.difference(&model.runs).count();
        }
        (runs, passed)
    }
}

fn trigger(store: &Arc<dyn Store>, shelf: &Shelf, clock: &ManualClock) -> CronTrigger {
    CronTrigger::new(
        store.clone(),
        shelf.catalog.clone(),
        Arc::new(clock.clone()),
        Wake::new(),
        Arc::new(KnownVersions::new()),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_the_clock_does_each_slot_runs_once_or_has_its_reason() {
    let seed = number("BURSAR_SEED", fastrand::u64(..));
    let wanted = number("BURSAR_JUMPS", 10_000);
    let mut random = fastrand::Rng::with_seed(seed);
    let (mut jumps, mut stores, mut runs, mut passed) = (0, 0, 0, 0);
    while jumps < wanted {
        let mut world = World::new(&mut random).await;
        let until = (jumps + 500).min(wanted);
        while jumps < until {
            jumps += world.step(&mut random).await;
        }
        let found = world.compare(&format!("BURSAR_SEED={seed:#x}, store {stores}")).await;
        (runs, passed, stores) = (runs + found.0, passed + found.1, stores + 1);
        world.store.close().await.expect("closed");
    }
    report(&format!(
        "{jumps} jumps of the clock in {stores} stores: {runs} slots ran as their policy says, 0 twice, {passed} have \
         their reason (BURSAR_SEED={seed:#x})"
    ));
    assert!(runs > 0 && passed > 0);
}

#[tokio::test]
async fn after_a_jump_of_more_than_three_hours_schedules_wait_for_a_person() {
    // Ahead, as after a night in which the machine slept, and back.
    for (jump, ran_then) in [(14, vec!["2026-05-05T08:00:00Z"]), (-14, Vec::new())] {
        let folder = tempfile::tempdir().expect("a folder");
        let store = new_store(&folder).await;
        let clock = ManualClock::new(at("2026-05-04T17:59:50Z"));
        let shelf = one("0 * * * *", "latest");
        let mut running = Running::start(store.clone(), &shelf, &clock).await;
        running.pass(15).await;
        let first = "2026-05-04T18:00:00Z".to_owned();
        assert_eq!(slots(store.as_ref()).await, std::slice::from_ref(&first));
        clock.jump_to(clock.now() + TimeDelta::hours(jump));
        for restart in [false, true] {
            // Nothing runs, and nothing is decided: neither by time passing nor by a restart.
            running.pass(40).await;
            assert_eq!(
                slots(store.as_ref()).await,
                std::slice::from_ref(&first),
                "{jump} {restart}"
            );
            assert_eq!(passed_over(store.as_ref()).await, [], "{jump} {restart}");
            assert_eq!(store.pauses().await, Ok(Vec::new()));
            let doubt = store.clock_doubt().await.expect("read").expect("it is in doubt");
            let way = if jump > 0 { "ahead" } else { "back" };
            let said = format!("the wall clock jumped {way} by 1");
            assert!(doubt.reason.starts_with(&said), "{}", doubt.reason);
            running.stop().await;
            running = Running::start(store.clone(), &shelf, &clock).await;
        }
        // Once somebody has looked, it was downtime: the latest is made up for, the others have their reason.
        assert_eq!(store.trust_clock(clock.now()).await, Ok(true));
        running.pass(30).await;
        let mut expected = vec![first];
        expected.extend(ran_then.iter().map(|slot| (*slot).to_owned()));
        assert_eq!(slots(store.as_ref()).await, expected, "{jump}");
        let missed: u32 = passed_over(store.as_ref())
            .await
            .iter()
            .map(|(_, _, slots, _)| slots)
            .sum();
        assert_eq!(missed, if jump > 0 { 13 } else { 0 });
        running.stop().await;
        store.close().await.expect("closed");
    }
}

#[tokio::test]
async fn what_nobody_could_read_when_the_clock_jumped_waits_for_a_person_as_well() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = new_store(&folder).await;
    let clock = ManualClock::new(at("2026-05-04T17:59:50Z"));
    let hourly = || on_schedule("0 * * * *", "latest");
    let shelf = Shelf::of(&[("sweep", &[hourly()])]);
    let running = Running::start(store.clone(), &shelf, &clock).await;
    running.pass(15).await;
    let first = "2026-05-04T18:00:00Z".to_owned();
    running.stop().await;
    // A daemon that begins with a broken manifest has never seen its schedule.
    let (broken, others) = (Shelf::of(&[]), Shelf::of(&[]));
    broken.spoil("sweep");
    assert!(broken.catalog.reload_now().broken.contains("sweep"));
    for (shelf, name) in [(broken, "sweep"), (others, "returns")] {
        let running = Running::start(store.clone(), &shelf, &clock).await;
        clock.jump_to(clock.now() + TimeDelta::hours(14));
        running.pass(40).await;
        // Mended, or written, while nobody has said yet which time is right.
        shelf.put(&[(name, &[hourly()])]);
        running.pass(40).await;
        running.pass(3_600).await;
        assert_eq!(slots(store.as_ref()).await, std::slice::from_ref(&first), "{name}");
        assert!(store.clock_doubt().await.expect("read").is_some());
        running.stop().await;
    }
    // That a workflow is not paused says nothing of the clock.
    assert_eq!(store.resume("sweep", resumed(clock.now())).await, Ok(false));
    let shelf = Shelf::of(&[("sweep", &[hourly(), on_schedule("30 * * * *", "latest")])]);
    let running = Running::start(store.clone(), &shelf, &clock).await;
    running.pass(3_600).await;
    assert_eq!(slots(store.as_ref()).await, [first]);
    running.stop().await;
}

#[tokio::test]
async fn a_clock_that_shows_less_at_the_start_than_was_seen_before_waits_for_a_person() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = new_store(&folder).await;
    let clock = ManualClock::new(at("2026-05-04T12:10:00Z"));
    let shelf = one("0 * * * *", "latest");
    let pause = Pause {
        workflow: "sweep".to_owned(),
        since: clock.now(),
        actor: "tess".to_owned(),
        reason: "wrong payroll".to_owned(),
        cause: PauseCause::Person,
    };
    store.pause(pause).await.expect("kept");
    let running = Running::start(store.clone(), &shelf, &clock).await;
    running.pass(2 * 3_600).await;
    assert_eq!(store.resume("sweep", resumed(clock.now())).await, Ok(true));
    running.stop().await;
    let passed = passed_over(store.as_ref()).await;
    assert_eq!(passed.iter().map(|(_, _, slots, _)| slots).sum::<u32>(), 2);
    // The machine starts with an old time, which is set right only later.
    let right = clock.now();
    clock.jump_to(right - TimeDelta::hours(6));
    let running = Running::start(store.clone(), &shelf, &clock).await;
    running.pass(40).await;
    let doubt = store.clock_doubt().await.expect("read").expect("it is in doubt");
    assert!(
        doubt.reason.starts_with("the wall clock shows 2026-05-04T08:10:"),
        "{}",
        doubt.reason
    );
    clock.jump_to(right + TimeDelta::minutes(5));
    running.pass(40).await;
    assert_eq!(store.trust_clock(clock.now()).await, Ok(true));
    running.pass(40).await;
    assert_eq!(
        slots(store.as_ref()).await,
        Vec::<String>::new(),
        "what a person paused"
    );
    assert_eq!(passed_over(store.as_ref()).await, passed);
    running.pass(3_600).await;
    assert_eq!(slots(store.as_ref()).await, ["2026-05-04T15:00:00Z"]);
    running.stop().await;
    // An hour less, as after a correction, stops nothing. What was last kept of the clock may be ten minutes old, so a
    // little less than three hours does; and so does what is less than a person took for right, at once.
    for (less, is_doubted) in [(60, false), (169, false), (171, true), (171, true)] {
        let seen = store.clock_seen().await.expect("read").expect("it was kept");
        clock.jump_to(seen - TimeDelta::minutes(less));
        let running = Running::start(store.clone(), &shelf, &clock).await;
        running.pass(5).await;
        assert_eq!(store.clock_doubt().await.expect("read").is_some(), is_doubted, "{less}");
        running.stop().await;
        if is_doubted {
            assert_eq!(store.trust_clock(clock.now()).await, Ok(true));
            assert_eq!(store.clock_seen().await, Ok(Some(clock.now())));
        }
    }
}

#[tokio::test]
async fn what_was_seen_of_the_clock_and_cannot_be_read_is_a_doubt_with_a_way_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = new_store(&folder).await;
    let clock = ManualClock::new(at("2026-05-04T17:59:50Z"));
    let shelf = one("0 * * * *", "latest");
    let running = Running::start(store.clone(), &shelf, &clock).await;
    running.pass(15).await;
    running.stop().await;
    store.close().await.expect("closed");
    meddle(
        folder.path(),
        "UPDATE meta SET value = replace(value, '1', '2') WHERE name = 'clock_seen'",
    )
    .await;
    let store = new_store(&folder).await;
    let running = Running::start(store.clone(), &shelf, &clock).await;
    running.pass(3_600).await;
    let doubt = store.clock_doubt().await.expect("read").expect("it is in doubt");
    assert!(
        doubt
            .reason
            .starts_with("nobody knows what the wall clock showed before"),
        "{}",
        doubt.reason
    );
    assert_eq!(slots(store.as_ref()).await, ["2026-05-04T18:00:00Z"]);
    assert_eq!(store.trust_clock(clock.now()).await, Ok(true));
    running.pass(30).await;
    assert_eq!(slots(store.as_ref()).await.len(), 2);
    running.stop().await;
}

#[tokio::test]
async fn what_is_new_before_anybody_says_what_time_it_is_begins_when_somebody_has() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = new_store(&folder).await;
    let clock = ManualClock::new(at("2026-05-04T17:59:50Z"));
    let hourly = || on_schedule("0 * * * *", "latest");
    let shelf = Shelf::of(&[]);
    let running = Running::start(store.clone(), &shelf, &clock).await;
    clock.jump_to(clock.now() - TimeDelta::hours(14));
    running.pass(40).await;
    // New by a clock that is wrong, and then set right: the day between is not its downtime.
    shelf.put(&[("sweep", &[hourly()])]);
    running.pass(40).await;
    clock.jump_to(at("2026-05-04T18:10:00Z"));
    running.pass(40).await;
    assert_eq!(store.trust_clock(clock.now()).await, Ok(true));
    // Twice: the first look may have begun before that was said.
    running.pass(40).await;
    running.pass(40).await;
    assert_eq!(slots(store.as_ref()).await, Vec::<String>::new());
    assert_eq!(passed_over(store.as_ref()).await, []);
    running.pass(3_600).await;
    assert_eq!(slots(store.as_ref()).await, ["2026-05-04T19:00:00Z"]);
    running.stop().await;
}

#[tokio::test]
async fn what_a_person_has_paused_stays_paused_when_the_clock_is_right() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = new_store(&folder).await;
    let clock = ManualClock::new(at("2026-05-04T17:59:50Z"));
    let shelf = Shelf::of(&[]);
    let pause = Pause {
        workflow: "sweep".to_owned(),
        since: clock.now(),
        actor: "tess".to_owned(),
        reason: "wrong payroll".to_owned(),
        cause: PauseCause::Person,
    };
    store.pause(pause.clone()).await.expect("kept");
    // Broken when the clock jumps, mended afterwards.
    shelf.spoil("sweep");
    assert!(shelf.catalog.reload_now().broken.contains("sweep"));
    let running = Running::start(store.clone(), &shelf, &clock).await;
    clock.jump_to(clock.now() + TimeDelta::hours(14));
    running.pass(40).await;
    shelf.put(&[("sweep", &[on_schedule("0 * * * *", "latest")])]);
    running.pass(40).await;
    assert_eq!(store.trust_clock(clock.now()).await, Ok(true));
    running.pass(7_200).await;
    assert_eq!(store.pauses().await, Ok(vec![pause]));
    assert_eq!(slots(store.as_ref()).await, Vec::<String>::new());
    running.stop().await;
}

#[tokio::test]
async fn a_schedule_that_comes_back_after_a_jump_waits_though_it_was_resumed_at_a_later_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = new_store(&folder).await;
    let clock = ManualClock::new(at("2026-05-04T17:59:50Z"));
    let hourly = || on_schedule("0 * * * *", "latest");
    let shelf = Shelf::of(&[("sweep", &[hourly()])]);
    let running = Running::start(store.clone(), &shelf, &clock).await;
    // Its file is not there when the clock jumps back, before the time at which somebody last resumed it.
    let pause = Pause {
        workflow: "returns".to_owned(),
        since: clock.now(),
        actor: "tess".to_owned(),
        reason: "why".to_owned(),
        cause: PauseCause::Person,
    };
    store.pause(pause).await.expect("kept");
    assert_eq!(store.resume("returns", resumed(clock.now())).await, Ok(true));
    clock.jump_to(clock.now() - TimeDelta::hours(14));
    running.pass(40).await;
    shelf.put(&[("sweep", &[hourly()]), ("returns", &[hourly()])]);
    running.pass(40).await;
    running.pass(3_600).await;
    assert_eq!(slots(store.as_ref()).await, Vec::<String>::new());
    running.stop().await;
}
