//! What becomes of slots when runs fail, calendars change, holidays come, and much time passes.

use bursar::base::clock::{Clock as _, Instant, ManualClock};
use bursar::base::ids::WorkerId;
use bursar::model::calendar::{Business, Calendars, Dated, DayChoice, Format, Roll};
use bursar::model::concurrency::Overlap;
use bursar::model::run::{RunError, Settlement};
use bursar::model::unmade::{PauseCause, UnmadeReason};
use bursar::model::value::time_text;
use bursar::model::workflow::{CatchUp, CronSpec, Jitter};
use bursar::store::sqlite::care::retain::prune;
use bursar::store::{Append, Store};
use bursar::trigger::schedule::Schedule;
use bursar::trigger::slots::overdue;
use chrono::TimeDelta;
use serde_json::json;

use super::rig::*;
use crate::support::resumed;
use crate::webhooks::harness::{Shelf, new_store, on_schedule};

/// How a run ends.
#[derive(Clone, Copy, PartialEq)]
enum End {
    Succeeds,
    Fails,
    IsCancelled,
    Parks,
}

/// Drives the one run that is queued to its end.
async fn end(store: &dyn Store, clock: &ManualClock, end: End) {
    let now = clock.now();
    if end == End::IsCancelled {
        let newest = runs(store).await.pop().expect("a run");
        store.cancel(newest.id, "tess", "enough", now).await.expect("ended");
        return;
    }
    let error = RunError {
        code: "sorry".to_owned(),
        message: "it did not work".to_owned(),
        trace: Vec::new(),
    };
    let settlement = match end {
        End::Succeeds => Settlement::Succeeded { result: json!(null) },
        End::Parks => Settlement::Parked { error },
        End::Fails | End::IsCancelled => Settlement::Failed { error },
    };
    let claims = store
        .claim(WorkerId::generate(now), now, now + TimeDelta::seconds(30), 9)
        .await
        .expect("claimed");
    let [claim] = claims.as_slice() else {
        panic!("one run, not {claims:?}")
    };
    let append = Append {
        settlement: Some(settlement),
        ..Append::default()
    };
    store.append(&claim.lease, append, now).await.expect("ended");
}

#[tokio::test]
async fn after_so_many_failures_in_a_row_schedules_are_paused_and_counted_anew_when_resumed() {
    use End::*;
    let folder = tempfile::tempdir().expect("a folder");
    let store = new_store(&folder).await;
    let clock = ManualClock::new(at("2026-05-04T00:59:55Z"));
    let mut running = Running::start(store.clone(), &one("0 * * * *", "latest"), &clock).await;
    let shelf = one("0 * * * *", "latest");
    running.pass(10).await;
    // A success between failures, a run somebody ended, and one that waits for a person: each leaves it going.
    let ends = [Fails, Fails, Succeeds, Fails, IsCancelled, Fails, Parks];
    for (number, how) in ends.into_iter().enumerate() {
        assert_eq!(runs(store.as_ref()).await.len(), number + 1);
        end(store.as_ref(), &clock, how).await;
        running.pass(3_600).await;
    }
    assert_eq!(store.pauses().await, Ok(Vec::new()));
    // The run of the slot at eight stands behind the one that is parked.
    let parked = &runs(store.as_ref()).await[6];
    store
        .cancel(parked.id, "tess", "looked", clock.now())
        .await
        .expect("ended");
    end(store.as_ref(), &clock, Fails).await;
    for restart in [false, true] {
        if restart {
            running.stop().await;
            running = Running::start(store.clone(), &shelf, &clock).await;
        }
        running.pass(3_600).await;
        assert_eq!(runs(store.as_ref()).await.len(), 8, "no more than these");
    }
    let pauses = store.pauses().await.expect("read");
    let [pause] = pauses.as_slice() else {
        panic!("one pause, not {pauses:?}")
    };
    assert_eq!((pause.cause, pause.actor.as_str()), (PauseCause::Failures, "bursar"));
    let all = runs(store.as_ref()).await;
    let failed: Vec<String> = [7, 5, 3].map(|number: usize| all[number].id.to_string()).into();
    let reason = format!("the newest 3 runs of `0 * * * *` failed: {}", failed.join(", "));
    assert_eq!(pause.reason, reason);
    let unmade = store.unmade(Some("sweep"), 9).await.expect("read");
    let slots: u32 = unmade.iter().map(|unmade| unmade.slots).sum();
    assert!(
        unmade.iter().all(|unmade| unmade.reason == UnmadeReason::Paused),
        "{unmade:?}"
    );
    assert_eq!(slots, 2);
    // Resumed, it takes three failures again.
    assert_eq!(store.resume("sweep", resumed(clock.now())).await, Ok(true));
    for _ in 0..3 {
        running.pass(3_600).await;
        assert_eq!(store.pauses().await, Ok(Vec::new()));
        end(store.as_ref(), &clock, Fails).await;
    }
    running.pass(3_600).await;
    assert_eq!(store.pauses().await.expect("read").len(), 1);
    assert_eq!(runs(store.as_ref()).await.len(), 11);
    running.stop().await;
}

#[tokio::test]
async fn what_failed_at_a_time_that_never_was_pauses_nothing_when_the_clock_is_right() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = new_store(&folder).await;
    let clock = ManualClock::new(at("2027-05-04T00:59:55Z"));
    let running = Running::start(store.clone(), &one("0 * * * *", "latest"), &clock).await;
    running.pass(10).await;
    for _ in 0..3 {
        end(store.as_ref(), &clock, End::Fails).await;
        running.pass(3_600).await;
    }
    assert_eq!(store.pauses().await.expect("read").len(), 1);
    // Said in that time too: it counts no more afterwards than the failures do.
    assert_eq!(store.resume("sweep", resumed(clock.now())).await, Ok(true));
    clock.jump_to(at("2026-05-04T00:30:00Z"));
    running.pass(30).await;
    assert_eq!(store.trust_clock(clock.now()).await, Ok(true));
    running.pass(40).await;
    for hours in 1..3 {
        running.pass(3_600).await;
        assert_eq!(store.pauses().await, Ok(Vec::new()));
        assert_eq!(runs(store.as_ref()).await.len(), 3 + hours);
        end(store.as_ref(), &clock, End::Fails).await;
    }
    running.pass(3_600).await;
    end(store.as_ref(), &clock, End::Fails).await;
    running.pass(3_600).await;
    assert_eq!(store.pauses().await.expect("read").len(), 1, "three that count");
    running.stop().await;
}

#[tokio::test]
async fn a_schedule_that_may_fail_as_often_as_it_likes_is_never_paused() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = new_store(&folder).await;
    let clock = ManualClock::new(at("2026-05-04T00:59:55Z"));
    let trigger = format!("{}pause_after_failures = 0\n", on_schedule("0 * * * *", "latest"));
    let shelf = Shelf::of(&[("sweep", &[trigger])]);
    let running = Running::start(store.clone(), &shelf, &clock).await;
    running.pass(10).await;
    for _ in 0..6 {
        end(store.as_ref(), &clock, End::Fails).await;
        running.pass(3_600).await;
    }
    assert_eq!(store.pauses().await, Ok(Vec::new()));
    assert_eq!(runs(store.as_ref()).await.len(), 7);
    running.stop().await;
}

fn cut_off(schedule: &str) -> Shelf {
    let business = "calendar = \"TARGET2\"\ncut_off = \"15:30\"\nafter_cut_off = \"next_business_day\"\n";
    let trigger = format!("{}{business}", on_schedule(schedule, "latest"));
    Shelf::of(&[("sweep", &[trigger])])
}

#[tokio::test]
async fn a_slot_that_waits_for_the_next_business_day_is_not_lost_though_the_schedule_never_ran() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = new_store(&folder).await;
    let shelf = cut_off("0 15 15 * *");
    // Known since the day before its first slot.
    let clock = ManualClock::new(at("2027-04-14T12:00:00Z"));
    let running = Running::start(store.clone(), &shelf, &clock).await;
    running.stop().await;
    // Down until after the cut-off of Thursday the 15th.
    clock.jump_to(at("2027-04-15T15:00:00Z"));
    let running = Running::start(store.clone(), &shelf, &clock).await;
    running.pass(30).await;
    assert_eq!(slots(store.as_ref()).await, Vec::<String>::new(), "not today");
    running.stop().await;
    clock.jump_to(at("2027-04-16T12:59:50Z"));
    let running = Running::start(store.clone(), &shelf, &clock).await;
    running.pass(15).await;
    assert_eq!(slots(store.as_ref()).await, ["2027-04-15T13:00:00Z"]);
    running.stop().await;
}

#[tokio::test]
async fn a_slot_that_waits_over_a_holiday_is_not_lost_to_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = new_store(&folder).await;
    let shelf = cut_off("0 15 * * Thu,Fri");
    let clock = ManualClock::new(at("2027-03-25T12:00:00Z"));
    Running::start(store.clone(), &shelf, &clock).await.stop().await;
    // Down over the cut-off of Thursday; the next business day is the Tuesday after Easter.
    clock.jump_to(at("2027-03-25T16:00:00Z"));
    for hours in [24, 24, 24, 24, 21] {
        let running = Running::start(store.clone(), &shelf, &clock).await;
        running.pass(hours * 3_600).await;
        running.pass(30).await;
        running.stop().await;
    }
    assert_eq!(slots(store.as_ref()).await, ["2027-03-25T14:00:00Z"]);
    let friday = ("2027-03-26T14:00:00Z".to_owned(), None, 1, UnmadeReason::Holiday);
    assert_eq!(passed_over(store.as_ref()).await, [friday]);
}

#[tokio::test]
async fn a_slot_is_caught_up_though_the_runs_before_it_were_pruned() {
    let folder = tempfile::tempdir().expect("a folder");
    let shelf = one(DAILY, "latest");
    let clock = ManualClock::new(at("2026-05-04T15:59:50Z"));
    let store = new_store(&folder).await;
    let running = Running::start(store.clone(), &shelf, &clock).await;
    running.pass(15).await;
    end(store.as_ref(), &clock, End::Succeeds).await;
    // Paused for forty days, which it says; then all that is pruned.
    let pause = bursar::model::unmade::Pause {
        workflow: "sweep".to_owned(),
        since: clock.now(),
        actor: "tess".to_owned(),
        reason: "summer".to_owned(),
        cause: PauseCause::Person,
    };
    store.pause(pause).await.expect("kept");
    for _ in 0..40 {
        running.pass(86_400).await;
    }
    assert_eq!(store.resume("sweep", resumed(clock.now())).await, Ok(true));
    running.stop().await;
    store.close().await.expect("closed");
    let (before, now) = (at("2026-06-10T00:00:00Z"), at("2026-09-01T00:00:00Z"));
    let pruned = prune(folder.path(), before, now, false).await.expect("pruned");
    assert_eq!((pruned.runs, pruned.unmade), (1, 1));
    // Down over the slot of the 14th of June.
    clock.jump_to(at("2026-06-14T18:00:00Z"));
    let store = new_store(&folder).await;
    let running = Running::start(store.clone(), &shelf, &clock).await;
    assert_eq!(slots(store.as_ref()).await, ["2026-06-14T16:00:00Z"]);
    running.stop().await;
    store.close().await.expect("closed");
}

#[tokio::test]
async fn a_slot_on_a_holiday_says_which() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = new_store(&folder).await;
    let trigger = format!("{}calendar = \"TARGET2\"\n", on_schedule("0 9,18 * * *", "latest"));
    let shelf = Shelf::of(&[("sweep", &[trigger])]);
    // From the Thursday before Easter 2027 to the Wednesday after it.
    let clock = ManualClock::new(at("2027-03-25T20:00:00Z"));
    let mut running = Running::start(store.clone(), &shelf, &clock).await;
    for step in 0..24 {
        running.pass(6 * 3_600).await;
        if step == 3 {
            running.stop().await;
            running = Running::start(store.clone(), &shelf, &clock).await;
        }
    }
    running.stop().await;
    let unmade = store.unmade(Some("sweep"), 9).await.expect("read");
    let told: Vec<_> = unmade
        .iter()
        .rev()
        .map(|unmade| (unmade.detail.as_str(), unmade.slots, unmade.reason))
        .collect();
    let holiday = UnmadeReason::Holiday;
    let expected = [
        ("Good Friday (TARGET2)", 2, holiday),
        ("Easter Monday (TARGET2)", 2, holiday),
    ];
    assert_eq!(told, expected, "a weekend is none");
    let ran = slots(store.as_ref()).await;
    assert_eq!(ran.first().map(String::as_str), Some("2027-03-30T07:00:00Z"));
}

/// A calendar from a file that covers these days, all of which are business days but weekends and these holidays.
fn house(from: &str, until: &str, holidays: &[&str], days: DayChoice, schedule: &str) -> Schedule {
    let closed = holidays
        .iter()
        .map(|day| format!("{{ date = {day}, name = \"Feast\" }}"));
    let text = format!(
        "name = \"house\"\ncoverage_from = {from}\ncoverage_until = {until}\nholidays = [{}]\n",
        closed.collect::<Vec<_>>().join(", ")
    );
    let mut calendars = Calendars::default();
    calendars.add(Dated::parse(Format::Toml, "f", "house", &text).expect("a calendar"));
    let spec = CronSpec {
        business: Some(Business {
            calendar: calendars.find("house").expect("known"),
            days,
            cut_off: None,
        }),
        ..spec(schedule)
    };
    Schedule::of(&spec).unwrap_or_else(|error| panic!("{schedule}: {error}"))
}

fn spec(schedule: &str) -> CronSpec {
    CronSpec {
        schedule: schedule.to_owned(),
        timezone: ZONE.to_owned(),
        catch_up: CatchUp::Latest,
        catch_up_hours: 24,
        overlap: Overlap::Skip,
        business: None,
        jitter: None,
        pause_after_failures: 0,
    }
}

#[test]
fn what_may_have_moved_here_from_before_a_calendar_begins_is_not_known() {
    let check = |roll: Roll, schedule: &str, from: &str, expected: Result<&str, &str>| {
        // The first of January 2027 is a Friday; the calendar begins on the Saturday after it.
        let schedule = house("2027-01-02", "2027-12-31", &[], DayChoice::Named(roll), schedule);
        let found = schedule.next_slot(at(from));
        let found = found.map(|slot| slot.map_or_else(String::new, |slot| time_text(slot.at)));
        let found = found.map_err(|outside| outside.date.to_string());
        assert_eq!(
            found,
            expected.map(str::to_owned).map_err(str::to_owned),
            "{roll:?} {from}"
        );
    };
    let saturday = "2027-01-02T08:00:00Z";
    // Whether the Friday was closed, and its slot moved to the Monday, nobody has said.
    for roll in [Roll::Next, Roll::ModifiedFollowing] {
        check(roll, "0 18 * * Fri", saturday, Err("2027-01-01"));
        check(roll, "0 18 31 * *", saturday, Err("2026-12-31"));
        check(roll, "0 18 * * Sat", saturday, Ok("2027-01-04T17:00:00Z"));
        check(roll, "0 18 * * Wed", saturday, Err("2026-12-30"));
        check(roll, "0 18 27 * *", saturday, Ok("2027-01-27T17:00:00Z"));
        check(roll, "0 18 * * Fri", "2027-01-04T23:00:00Z", Ok("2027-01-08T17:00:00Z"));
    }
    check(Roll::Skip, "0 18 * * Fri", saturday, Ok("2027-01-08T17:00:00Z"));
    check(Roll::Previous, "0 18 * * Fri", saturday, Ok("2027-01-08T17:00:00Z"));
}

#[test]
fn the_business_days_of_a_month_are_known_whatever_their_order_and_as_far_as_they_are() {
    let check = |numbers: &[i64], until: &str, expected: &str| {
        let schedule = house(
            "2027-01-01",
            until,
            &[],
            DayChoice::OfMonth(numbers.to_vec()),
            "0 9 * * *",
        );
        let days: Vec<String> = schedule
            .slots_after(at("2027-05-25T00:00:00Z"))
            .take(4)
            .map(|slot| schedule.local(slot).format("%m-%d").to_string())
            .collect();
        assert_eq!(days.join(" "), expected, "{numbers:?} until {until}");
    };
    // June 2027 begins on a Tuesday.
    for numbers in [[1, -1], [-1, 1]] {
        check(&numbers, "2027-12-31", "05-31 06-01 06-30 07-01");
        check(&numbers, "2027-06-30", "05-31 06-01 06-30");
        check(&numbers, "2027-06-16", "05-31 06-01");
    }
    // Of the days before the end it is known that two business days follow.
    check(&[-2, 10], "2027-06-16", "05-28 06-14");
}

#[tokio::test]
async fn what_a_calendar_says_too_late_is_made_up_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = new_store(&folder).await;
    let shelf = Shelf::of(&[]);
    shelf.put_calendar("house", &calendar_until("2027-03-10"));
    let trigger = format!("{}calendar = \"house\"\n", on_schedule("0 18 * * *", "latest"));
    shelf.put(&[("sweep", &[trigger])]);
    // The calendar ends on Wednesday the 10th.
    let clock = ManualClock::new(at("2027-03-10T16:59:50Z"));
    let running = Running::start(store.clone(), &shelf, &clock).await;
    running.pass(20).await;
    for _ in 0..5 {
        running.pass(12 * 3_600).await;
    }
    assert_eq!(slots(store.as_ref()).await, ["2027-03-10T17:00:00Z"]);
    assert_eq!(
        passed_over(store.as_ref()).await,
        [],
        "nobody knows yet whether there was a slot"
    );
    // On Saturday morning its file is brought up to date: Thursday and Friday were business days.
    shelf.put_calendar("house", &calendar_until("2027-12-31"));
    running.slept(8).await;
    running.pass(30).await;
    assert_eq!(
        slots(store.as_ref()).await,
        ["2027-03-10T17:00:00Z", "2027-03-12T17:00:00Z"]
    );
    let missed = ("2027-03-11T17:00:00Z".to_owned(), None, 1, UnmadeReason::Missed);
    assert_eq!(passed_over(store.as_ref()).await, [missed]);
    running.stop().await;
}

fn calendar_until(until: &str) -> String {
    format!("name = \"house\"\ncoverage_from = 2027-01-01\ncoverage_until = {until}\nholidays = []\n")
}

fn with_jitter(schedule: &str, workflow: &str, most_secs: u16) -> Schedule {
    let workflow = workflow.to_owned();
    let spec = CronSpec {
        jitter: Some(Jitter { most_secs, workflow }),
        ..spec(schedule)
    };
    Schedule::of(&spec).expect("a schedule")
}

#[test]
fn jitter_is_drawn_once_for_each_slot_and_changes_neither_its_name_nor_the_order() {
    let start = at("2027-03-01T00:00:00Z");
    let plain = Schedule::parse("*/10 * * * *", ZONE).expect("a schedule");
    let spread = with_jitter("*/10 * * * *", "sweep", 600);
    let (mut last, mut named) = (start - TimeDelta::seconds(1), start - TimeDelta::seconds(1));
    let mut delays = std::collections::BTreeSet::new();
    for _ in 0..2_000 {
        let slot = spread.next_slot(last).expect("known").expect("a next one");
        named = plain.next_after(named).expect("a next one");
        assert_eq!(spread.name(slot), named, "no slot is left out, and none comes twice");
        assert_eq!(slot.on_time(), named);
        assert!(slot.at > last && slot.jitter < TimeDelta::seconds(600), "{slot:?}");
        // From anywhere before it, it is the same.
        let between = last + (slot.at - last) / 2;
        assert_eq!(spread.next_slot(between), Ok(Some(slot)));
        delays.insert(slot.jitter.num_seconds());
        last = slot.at;
    }
    assert!(delays.len() > 400, "{} delays", delays.len());
    // Two workflows with one schedule do not begin together.
    let first = |workflow: &str| with_jitter("0 18 * * *", workflow, 3_600).next_after(start);
    let others: std::collections::BTreeSet<_> = ["a", "b", "c", "d"].map(first).into();
    assert_eq!(others.len(), 4);
    // Where there is no room, there is none.
    let dense = with_jitter("* * * * * *", "sweep", 90);
    assert_eq!(dense.next_after(start), Some(start + TimeDelta::seconds(1)));
}

#[test]
fn jitter_does_not_reach_the_cut_off() {
    use bursar::model::calendar::{AfterCutOff, CutOff};
    for day in 0..200 {
        let mut spec = spec("25 15 * * *");
        spec.business = Some(Business {
            calendar: Calendars::default().find("TARGET2").expect("a calendar"),
            days: DayChoice::Named(Roll::Skip),
            cut_off: Some(CutOff {
                time: chrono::NaiveTime::from_hms_opt(15, 30, 0).expect("a time"),
                after: AfterCutOff::Refuse,
            }),
        });
        let workflow = "sweep".to_owned();
        spec.jitter = Some(Jitter {
            most_secs: 3_600,
            workflow,
        });
        let schedule = Schedule::of(&spec).expect("a schedule");
        let from = at("2027-01-01T00:00:00Z") + TimeDelta::days(day);
        let slot = schedule.next_slot(from).expect("known").expect("a slot");
        assert!(slot.jitter < TimeDelta::minutes(5), "{slot:?}");
    }
}

#[tokio::test]
async fn a_slot_with_jitter_runs_once_at_its_moment_over_restarts() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = new_store(&folder).await;
    let trigger = format!("{}jitter_secs = 90\n", on_schedule(DAILY, "latest"));
    let shelf = Shelf::of(&[("sweep", &[trigger])]);
    let due = with_jitter(DAILY, "sweep", 90)
        .next_after(at("2026-05-04T00:00:00Z"))
        .expect("due");
    let slot = "2026-05-04T16:00:00Z";
    assert!(due > at(slot), "the draw of this day has something in it");
    let clock = ManualClock::new(at("2026-05-04T15:59:50Z"));
    while clock.now() < due + TimeDelta::seconds(60) {
        let running = Running::start(store.clone(), &shelf, &clock).await;
        let expected: &[&str] = if clock.now() < due { &[] } else { &[slot] };
        assert_eq!(slots(store.as_ref()).await, expected, "{}", clock.now());
        running.pass(7).await;
        running.stop().await;
    }
    assert_eq!(slots(store.as_ref()).await, [slot]);
    let run = &runs(store.as_ref()).await[0];
    assert_eq!(run.event["slot"], json!(slot));
}

#[test]
fn a_slot_is_overdue_when_it_has_neither_run_nor_reason_a_minute_after_its_time() {
    let check = |schedule: &Schedule, dealt: &str, now: &str, expected: Option<&str>| {
        assert_eq!(overdue(schedule, at(dealt), at(now)), expected.map(at), "{dealt} {now}");
    };
    let daily = Schedule::parse(DAILY, ZONE).expect("a schedule");
    let slot = "2026-05-04T16:00:00Z";
    check(&daily, "2026-05-03T16:00:00Z", "2026-05-04T15:00:00Z", None);
    check(&daily, "2026-05-03T16:00:00Z", "2026-05-04T16:01:00Z", None);
    check(&daily, "2026-05-03T16:00:00Z", "2026-05-04T16:01:01Z", Some(slot));
    check(&daily, "2026-05-03T16:00:00Z", "2026-05-09T16:01:01Z", Some(slot));
    check(&daily, slot, "2026-05-04T16:01:01Z", None);
    // The clock was set back: what is dealt with stays so.
    check(&daily, slot, "2026-05-04T13:00:00Z", None);
    // With jitter, from its moment on.
    let spread = with_jitter(DAILY, "sweep", 3_600);
    let due = spread.next_after(at("2026-05-04T12:00:00Z")).expect("due");
    let minute = TimeDelta::seconds(60);
    let dealt = at("2026-05-04T12:00:00Z");
    assert_eq!(overdue(&spread, dealt, due + minute), None);
    assert_eq!(overdue(&spread, dealt, due + minute + TimeDelta::seconds(1)), Some(due));
}

#[tokio::test]
async fn what_is_kept_of_a_schedule_is_moved_on_once_a_day() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = new_store(&folder).await;
    let clock = ManualClock::new(at("2026-05-04T12:00:00Z"));
    let shelf = one("0 0 1 1 *", "latest");
    let running = Running::start(store.clone(), &shelf, &clock).await;
    let known = async || -> Option<Instant> {
        let until = store.settled_until("sweep", "0 0 1 1 *", ZONE, clock.now()).await;
        until.expect("read")
    };
    assert_eq!(
        known().await,
        Some(at("2026-05-04T12:00:00Z")),
        "from its first moment on"
    );
    running.pass(86_000).await;
    assert_eq!(known().await, Some(at("2026-05-04T12:00:00Z")));
    running.pass(800).await;
    assert_eq!(known().await, Some(at("2026-05-05T12:06:40Z")));
    running.stop().await;
}

#[tokio::test]
async fn a_slot_under_way_is_not_lost_when_the_jitter_is_taken_away() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = new_store(&folder).await;
    let trigger = |jitter: u16| format!("{}jitter_secs = {jitter}\n", on_schedule(DAILY, "latest"));
    let shelf = Shelf::of(&[("sweep", &[trigger(3_600)])]);
    let due = with_jitter(DAILY, "sweep", 3_600)
        .next_after(at("2026-05-04T00:00:00Z"))
        .expect("due");
    let slot = "2026-05-04T16:00:00Z";
    assert!(
        due > at(slot) + TimeDelta::seconds(120),
        "the draw of this day is large"
    );
    let clock = ManualClock::new(at("2026-05-03T20:00:00Z"));
    let running = Running::start(store.clone(), &shelf, &clock).await;
    running.pass(20 * 3_600 + 50).await;
    assert_eq!(slots(store.as_ref()).await, [""; 0]);
    shelf.put(&[("sweep", &[trigger(0)])]);
    for _ in 0..4 {
        running.pass(31).await;
        assert_eq!(slots(store.as_ref()).await, [slot]);
    }
    running.pass(3_600).await;
    assert_eq!(slots(store.as_ref()).await, [slot]);
    running.stop().await;
}
