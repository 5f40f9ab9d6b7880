//! Which slots make runs: on time, after downtime, across restarts, clock jumps and changed manifests.

use std::time::Duration;

use bursar::base::clock::{Clock as _, ManualClock};
use bursar::model::run::RunState;
use bursar::model::unmade::{Pause, PauseCause, UnmadeReason};
use bursar::model::value::time_text;
use bursar::store::Store as _;
use bursar::store::faulty::{Fault, Faulty};
use bursar::trigger::make_up::{MakeUpError, Wanted, make_up, passed};
use bursar::trigger::manual::{self, Request};
use bursar::trigger::versions::KnownVersions;
use chrono::TimeDelta;
use serde_json::json;

use super::rig::*;
use crate::support::resumed;
use crate::webhooks::harness::{Shelf, new_store, on_schedule};

#[tokio::test]
async fn a_new_schedule_waits_for_its_first_slot_and_tells_the_run_which_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = new_store(&folder).await;
    let clock = ManualClock::new(at("2026-05-04T15:59:00Z"));
    let shelf = one(DAILY, "latest");
    let running = Running::start(store.clone(), &shelf, &clock).await;
    assert!(
        runs(store.as_ref()).await.is_empty(),
        "yesterday's slot is not its business"
    );

    running.pass(30).await;
    assert!(runs(store.as_ref()).await.is_empty(), "half a minute early");

    running.pass(30).await;
    let made = runs(store.as_ref()).await;
    let [run] = made.as_slice() else {
        panic!("one run, not {made:?}")
    };
    assert_eq!(run.workflow, "sweep");
    assert_eq!(run.version, shelf.catalog.current().workflows["sweep"].version.digest);
    assert_eq!(
        run.event,
        json!({"type": "cron", "schedule": DAILY, "timezone": ZONE, "slot": "2026-05-04T16:00:00Z"})
    );
    assert!(store.version(run.version).await.expect("readable").is_some());
    running.stop().await;
}

#[tokio::test]
async fn a_slot_missed_while_nothing_ran_is_caught_up_only_if_asked_for_and_young() {
    let check = async |catch_up: &str, away: TimeDelta, expected: &[&str]| {
        let folder = tempfile::tempdir().expect("a folder");
        let store = new_store(&folder).await;
        let clock = ManualClock::new(at("2026-05-04T15:59:50Z"));
        let shelf = one(DAILY, catch_up);
        let running = Running::start(store.clone(), &shelf, &clock).await;
        running.pass(20).await;
        running.stop().await;

        clock.jump_to(clock.now() + away);
        let running = Running::start(store.clone(), &shelf, &clock).await;
        running.stop().await;
        let found = slots(store.as_ref()).await;
        assert_eq!(found.first().map(String::as_str), Some("2026-05-04T16:00:00Z"));
        assert_eq!(found[1..], *expected, "{catch_up} after {away}");
    };
    check("latest", TimeDelta::hours(20), &[]).await;
    check("latest", TimeDelta::hours(27), &["2026-05-05T16:00:00Z"]).await;
    check("none", TimeDelta::hours(27), &[]).await;
    // A week away: the latest one, not seven.
    check("latest", TimeDelta::hours(7 * 24 + 3), &["2026-05-11T16:00:00Z"]).await;
    // A machine that wakes late while the process lives is no different.
    check("latest", TimeDelta::hours(24 + 12), &["2026-05-05T16:00:00Z"]).await;
}

#[tokio::test]
async fn neither_restarts_nor_a_clock_set_back_fire_a_slot_twice_or_lose_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = new_store(&folder).await;
    // Through the night the clocks go back: the hour that comes twice is in it.
    let begin = at("2026-10-24T22:10:00Z");
    let clock = ManualClock::new(begin);
    let shelf = one("*/30 * * * *", "none");
    let mut running = Running::start(store.clone(), &shelf, &clock).await;
    for step in 0..36 {
        running.pass(600).await;
        if step % 5 == 2 {
            let now = clock.now();
            clock.jump_to(now - TimeDelta::minutes(50));
            running.pass(30).await;
            clock.jump_to(now);
            running.pass(1).await;
        }
        if step % 7 == 3 {
            running.stop().await;
            running = Running::start(store.clone(), &shelf, &clock).await;
        }
    }
    running.stop().await;
    let expected: Vec<String> = (0..12)
        .map(|half_hours| time_text(at("2026-10-24T22:30:00Z") + TimeDelta::minutes(30 * half_hours)))
        .collect();
    assert_eq!(slots(store.as_ref()).await, expected);
}

#[tokio::test]
async fn two_triggers_over_one_store_make_one_run_for_a_slot() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = new_store(&folder).await;
    let clock = ManualClock::new(at("2026-05-04T15:59:50Z"));
    let shelf = one(DAILY, "latest");
    let first = Running::start(store.clone(), &shelf, &clock).await;
    let second = Running::start(store.clone(), &shelf, &clock).await;
    clock.advance(Duration::from_secs(15));
    first.asleep().await;
    second.asleep().await;
    first.stop().await;
    second.stop().await;
    assert_eq!(slots(store.as_ref()).await, ["2026-05-04T16:00:00Z"]);
}

#[tokio::test]
async fn a_slot_whose_write_failed_is_made_after_the_restart() {
    for fault in [Fault::Before(1), Fault::Before(2), Fault::After(2)] {
        let folder = tempfile::tempdir().expect("a folder");
        let store = new_store(&folder).await;
        let clock = ManualClock::new(at("2026-05-03T15:59:50Z"));
        let shelf = one(DAILY, "latest");
        // One good day first, so that the store knows the schedule.
        let running = Running::start(store.clone(), &shelf, &clock).await;
        running.pass(15).await;
        running.stop().await;

        clock.jump_to(at("2026-05-04T15:59:50Z"));
        let running = Running::start(Faulty::new(store.clone(), fault), &shelf, &clock).await;
        running.pass(15).await;
        running.pass(15).await;
        running.stop().await;

        let running = Running::start(store.clone(), &shelf, &clock).await;
        running.stop().await;
        let expected = ["2026-05-03T16:00:00Z", "2026-05-04T16:00:00Z"];
        assert_eq!(slots(store.as_ref()).await, expected, "{fault:?}");
    }
}

#[tokio::test]
async fn a_changed_manifest_counts_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = new_store(&folder).await;
    let clock = ManualClock::new(at("2026-05-04T15:00:10Z"));
    let shelf = Shelf::of(&[
        ("gone", &[on_schedule("1 17 * * *", "latest")]),
        ("moved", &[on_schedule("1 17 * * *", "latest")]),
        ("wrong", &[on_schedule("61 17 * * *", "latest")]),
    ]);
    let running = Running::start(store.clone(), &shelf, &clock).await;
    shelf.put(&[
        ("moved", &[on_schedule("2 17 * * *", "latest")]),
        ("wrong", &[on_schedule("3 17 * * *", "latest")]),
    ]);
    // It hears of the change without any time passing.
    running.slept(2).await;
    for _ in 0..8 {
        running.pass(30).await;
    }
    running.stop().await;
    let made: Vec<(String, String)> = std::iter::zip(
        runs(store.as_ref()).await.into_iter().map(|run| run.workflow),
        slots(store.as_ref()).await,
    )
    .collect();
    let expected = [("moved", "2026-05-04T15:02:00Z"), ("wrong", "2026-05-04T15:03:00Z")];
    assert_eq!(made, expected.map(|(name, slot)| (name.to_owned(), slot.to_owned())));
}

fn with_calendar(schedule: &str, more: &str) -> Shelf {
    let trigger = format!("{}calendar = \"TARGET2\"\n{more}", on_schedule(schedule, "latest"));
    Shelf::of(&[("sweep", &[trigger])])
}

#[tokio::test]
async fn a_slot_on_a_holiday_moves_and_says_from_where() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = new_store(&folder).await;
    // Good Friday 2027, before six in the evening.
    let clock = ManualClock::new(at("2027-03-26T16:59:00Z"));
    let shelf = with_calendar("0 18 * * Fri", "roll = \"next\"\n");
    let running = Running::start(store.clone(), &shelf, &clock).await;
    for _ in 0..5 {
        running.pass(86_400 - 3_600).await;
        running.pass(3_600).await;
    }
    running.stop().await;
    let made = runs(store.as_ref()).await;
    let [run] = made.as_slice() else {
        panic!("one run, not {made:?}")
    };
    let event = json!({
        "type": "cron", "schedule": "0 18 * * Fri", "timezone": ZONE, "slot": "2027-03-30T16:00:00Z",
        "moved_from": "2027-03-26",
    });
    assert_eq!(run.event, event);
}

#[tokio::test]
async fn a_slot_that_missed_its_cut_off_runs_once_on_the_next_business_day_over_restarts() {
    let cut_off = "cut_off = \"15:30\"\nafter_cut_off = \"next_business_day\"\n";
    let folder = tempfile::tempdir().expect("a folder");
    let store = new_store(&folder).await;
    let shelf = with_calendar("0 15 15 * *", cut_off);
    // One month in time, so that the store knows the schedule.
    let clock = ManualClock::new(at("2027-03-15T13:59:50Z"));
    let running = Running::start(store.clone(), &shelf, &clock).await;
    running.pass(15).await;
    running.stop().await;

    // Down from before the slot of Thursday the 15th until after its cut-off.
    clock.jump_to(at("2027-04-15T15:00:00Z"));
    let running = Running::start(store.clone(), &shelf, &clock).await;
    running.pass(30).await;
    assert_eq!(slots(store.as_ref()).await, ["2027-03-15T14:00:00Z"], "not today");
    running.stop().await;

    clock.jump_to(at("2027-04-16T12:59:50Z"));
    let mut running = Running::start(store.clone(), &shelf, &clock).await;
    assert_eq!(slots(store.as_ref()).await, ["2027-03-15T14:00:00Z"], "not yet");
    let expected = ["2027-03-15T14:00:00Z", "2027-04-15T13:00:00Z"];
    for _ in 0..3 {
        running.pass(15).await;
        assert_eq!(slots(store.as_ref()).await, expected, "it keeps the name of its slot");
        running.stop().await;
        running = Running::start(store.clone(), &shelf, &clock).await;
    }
    running.stop().await;

    // Refused: the slot of May is not run at all.
    shelf.put(&[(
        "sweep",
        &[format!(
            "{}calendar = \"TARGET2\"\ncut_off = \"15:30\"\nafter_cut_off = \"refuse\"\n",
            on_schedule("0 15 15 * *", "latest")
        )],
    )]);
    clock.jump_to(at("2027-06-15T13:40:00Z"));
    let running = Running::start(store.clone(), &shelf, &clock).await;
    running.pass(86_400).await;
    running.stop().await;
    assert_eq!(slots(store.as_ref()).await, expected);
}

#[tokio::test]
async fn after_three_days_of_downtime_every_slot_has_its_run_or_its_reason() {
    let day = |day: u32| format!("2026-05-{day:02}T16:00:00Z");
    // Down from the evening of the 4th until the evening of the 7th: two slots are older than a day, one is not.
    let missed = |from: u32, to: u32| {
        let last = (to > from).then(|| day(to));
        (day(from), last, to - from + 1, UnmadeReason::Missed)
    };
    for (catch_up, hours, runs, reasons) in [
        ("none", 24, vec![day(4)], vec![missed(5, 7)]),
        ("latest", 24, vec![day(4), day(7)], vec![missed(5, 6)]),
        ("latest", 1, vec![day(4)], vec![missed(5, 7)]),
        ("all", 24, vec![day(4), day(7)], vec![missed(5, 6)]),
        ("all", 100, vec![day(4), day(5), day(6), day(7)], vec![]),
    ] {
        let what = format!("{catch_up} within {hours} h");
        let folder = tempfile::tempdir().expect("a folder");
        let store = new_store(&folder).await;
        let clock = ManualClock::new(at("2026-05-04T15:59:50Z"));
        let trigger = format!("{}catch_up_hours = {hours}\n", on_schedule(DAILY, catch_up));
        let shelf = Shelf::of(&[("sweep", &[trigger])]);
        let running = Running::start(store.clone(), &shelf, &clock).await;
        running.pass(15).await;
        running.stop().await;
        clock.jump_to(at("2026-05-07T20:00:00Z"));
        for _ in 0..3 {
            let running = Running::start(store.clone(), &shelf, &clock).await;
            running.pass(30).await;
            assert_eq!(slots(store.as_ref()).await, runs, "{what}");
            assert_eq!(passed_over(store.as_ref()).await, reasons, "{what}");
            running.stop().await;
        }
        // The next one runs as if nothing had been.
        clock.jump_to(at("2026-05-08T15:59:50Z"));
        let running = Running::start(store.clone(), &shelf, &clock).await;
        running.pass(15).await;
        assert_eq!(slots(store.as_ref()).await.last(), Some(&day(8)), "{what}");
        running.stop().await;
        store.close().await.expect("closed");
    }
}

#[tokio::test]
async fn of_too_many_missed_slots_none_is_made_up_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = new_store(&folder).await;
    let clock = ManualClock::new(at("2026-05-04T09:59:50Z"));
    let shelf = one("*/5 * * * *", "all");
    let running = Running::start(store.clone(), &shelf, &clock).await;
    running.pass(15).await;
    running.stop().await;
    clock.jump_to(at("2026-05-04T22:00:10Z"));
    let running = Running::start(store.clone(), &shelf, &clock).await;
    running.pass(30).await;
    // The one of this minute is on time; 143 before it are too many to be made up for.
    assert_eq!(
        slots(store.as_ref()).await,
        ["2026-05-04T10:00:00Z", "2026-05-04T22:00:00Z"]
    );
    let last = Some("2026-05-04T21:55:00Z".to_owned());
    let expected = ("2026-05-04T10:05:00Z".to_owned(), last, 143, UnmadeReason::Missed);
    assert_eq!(passed_over(store.as_ref()).await, [expected]);
    running.stop().await;
}

#[tokio::test]
async fn a_slot_that_comes_while_an_earlier_run_is_open_is_skipped_and_said_to_be() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = new_store(&folder).await;
    let clock = ManualClock::new(at("2026-05-04T09:59:50Z"));
    let trigger = on_schedule("0 * * * *", "latest").replace("overlap = \"queue\"\n", "");
    let shelf = Shelf::of(&[("sweep", &[trigger])]);
    let mut running = Running::start(store.clone(), &shelf, &clock).await;
    running.pass(15).await;
    for _ in 0..2 {
        running.pass(3_600).await;
        // A restart asks for the slot again; it stays passed over.
        running.stop().await;
        running = Running::start(store.clone(), &shelf, &clock).await;
    }
    assert_eq!(slots(store.as_ref()).await, ["2026-05-04T10:00:00Z"]);
    let skipped = |hour: u32| (format!("2026-05-04T{hour}:00:00Z"), None, 1, UnmadeReason::Overlap);
    assert_eq!(passed_over(store.as_ref()).await, [skipped(11), skipped(12)]);
    let open = runs(store.as_ref()).await.remove(0);
    store
        .cancel(open.id, "tess", "enough", clock.now())
        .await
        .expect("ended");
    running.pass(3_600).await;
    assert_eq!(
        slots(store.as_ref()).await,
        ["2026-05-04T10:00:00Z", "2026-05-04T13:00:00Z"]
    );
    assert_eq!(passed_over(store.as_ref()).await, [skipped(11), skipped(12)]);
    running.stop().await;
}

#[tokio::test]
async fn a_paused_schedule_starts_nothing_and_says_which_slots_it_let_pass() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = new_store(&folder).await;
    let clock = ManualClock::new(at("2026-05-04T09:59:50Z"));
    let shelf = one("0 * * * *", "latest");
    let running = Running::start(store.clone(), &shelf, &clock).await;
    running.pass(15).await;
    let pause = |reason: &str| Pause {
        workflow: "sweep".to_owned(),
        since: clock.now(),
        actor: "tess".to_owned(),
        reason: reason.to_owned(),
        cause: PauseCause::Person,
    };
    store.pause(pause("the bank moves")).await.expect("kept");
    // A second pause does not hide who paused first.
    store.pause(pause("again")).await.expect("kept");
    assert_eq!(store.pauses().await.expect("read"), [pause("the bank moves")]);
    for _ in 0..3 {
        running.pass(3_600).await;
    }
    assert_eq!(slots(store.as_ref()).await, ["2026-05-04T10:00:00Z"]);
    let taken = |first: &str, last: &str, slots| {
        let last = Some(format!("2026-05-04T{last}:00:00Z"));
        (format!("2026-05-04T{first}:00:00Z"), last, slots, UnmadeReason::Paused)
    };
    assert_eq!(passed_over(store.as_ref()).await, [taken("11", "13", 3)]);
    let told = store.unmade(Some("sweep"), 1).await.expect("read").remove(0);
    assert_eq!(told.detail, "paused by tess: the bank moves");
    // While the daemon is down the pause goes on; when it ends, nothing is made up for.
    running.stop().await;
    clock.jump_to(at("2026-05-04T15:30:00Z"));
    let running = Running::start(store.clone(), &shelf, &clock).await;
    assert_eq!(
        passed_over(store.as_ref()).await,
        [taken("11", "13", 3), taken("14", "15", 2)]
    );
    assert_eq!(store.resume("sweep", resumed(clock.now())).await, Ok(true));
    assert_eq!(store.resume("sweep", resumed(clock.now())).await, Ok(false));
    running.pass(1_805).await;
    assert_eq!(
        slots(store.as_ref()).await,
        ["2026-05-04T10:00:00Z", "2026-05-04T16:00:00Z"]
    );
    running.stop().await;
}

#[tokio::test]
async fn a_slot_that_ran_does_not_run_again_when_its_calendar_is_corrected() {
    // Good Friday, and New Year's Day on a Friday: open for whoever has forgotten the holidays.
    for (schedule, days, ran, next, later) in [
        (
            "0 9 26 3 *",
            "roll = \"next\"\n",
            "2027-03-26T08:00:00Z",
            "2027-03-30T07:00:00Z",
            "2027-04-02T12:00:00Z",
        ),
        (
            "0 9 * * *",
            "business_day = 1\n",
            "2027-01-01T08:00:00Z",
            "2027-01-04T08:00:00Z",
            "2027-01-06T12:00:00Z",
        ),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let store = new_store(&folder).await;
        let trigger = |calendar: &str| {
            let trigger = on_schedule(schedule, "latest");
            ("sweep", [format!("{trigger}calendar = \"{calendar}\"\n{days}")])
        };
        let (name, weekdays) = trigger("WEEKDAYS");
        let shelf = Shelf::of(&[(name, &weekdays)]);
        let clock = ManualClock::new(at(ran) - TimeDelta::seconds(10));
        let mut running = Running::start(store.clone(), &shelf, &clock).await;
        running.pass(15).await;
        assert_eq!(slots(store.as_ref()).await, [ran]);
        // At noon somebody names the right calendar. The slot is due some days later now, and has run.
        clock.advance(Duration::from_secs(3 * 3_600));
        let (name, target) = trigger("TARGET2");
        shelf.put(&[(name, &target)]);
        for restarts in [false, true] {
            if restarts {
                running.stop().await;
                running = Running::start(store.clone(), &shelf, &clock).await;
            }
            let before = at(next) - TimeDelta::seconds(10);
            match (before - clock.now()).to_std() {
                Ok(until) => running.pass(until.as_secs()).await,
                Err(_) => clock.jump_to(before),
            }
            running.pass(15).await;
            assert_eq!(slots(store.as_ref()).await, [ran], "{schedule}");
        }
        let until = (at(later) - clock.now()).to_std().expect("later");
        running.pass(until.as_secs()).await;
        assert_eq!(slots(store.as_ref()).await, [ran], "{schedule}");
        assert_eq!(passed_over(store.as_ref()).await, [], "{schedule}");
        running.stop().await;
    }
}

#[tokio::test]
async fn slots_that_the_daemon_has_not_dealt_with_are_not_made_up_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = new_store(&folder).await;
    let clock = ManualClock::new(at("2026-05-04T00:58:50Z"));
    let shelf = one("* * * * *", "all");
    let sweep = shelf.catalog.current().workflows["sweep"].clone();
    let ask = async |minute: &str| {
        let slot = at(&format!("2026-05-04T{minute}:00Z"));
        let wanted = Wanted {
            schedule: "* * * * *",
            timezone: ZONE,
            from: slot,
            to: slot,
        };
        let seen = passed(store.as_ref(), &sweep, wanted, clock.now()).await.err();
        let versions = KnownVersions::new();
        let made = make_up(store.as_ref(), &versions, &sweep, wanted, "tess", clock.now()).await;
        assert_eq!(seen, made.clone().err(), "what is shown is what is done");
        made.map(|runs| runs.len())
    };
    let minutes = async || -> Vec<String> {
        let slots = slots(store.as_ref()).await;
        slots
            .iter()
            .filter_map(|slot| slot.get(11..16))
            .map(str::to_owned)
            .collect()
    };
    // A schedule that was never seen begins when a person asks, and what is not asked for is not missed.
    assert_eq!(ask("00:30").await, Ok(1));
    let running = Running::start(store.clone(), &shelf, &clock).await;
    running.pass(15).await;
    running.stop().await;
    assert_eq!(minutes().await, ["00:30", "00:59"]);
    // Down: those behind the last one are the daemon's, by whatever policy they have.
    clock.jump_to(at("2026-05-04T01:02:08Z"));
    let refused = ask("01:02").await;
    assert!(
        matches!(&refused, Err(MakeUpError::Undecided(slot, _)) if slot == "2026-05-04T01:02:00Z"),
        "{refused:?}"
    );
    assert_eq!(ask("00:40").await, Ok(1));
    let running = Running::start(store.clone(), &shelf, &clock).await;
    assert_eq!(minutes().await, ["00:30", "00:40", "00:59", "01:00", "01:01", "01:02"]);
    // Its clock is not trusted: it decides nothing, over a restart too, until a person has looked.
    clock.jump_to(at("2026-05-04T05:00:30Z"));
    running.pass(40).await;
    running.stop().await;
    assert!(matches!(ask("04:59").await, Err(MakeUpError::Undecided(..))));
    let running = Running::start(store.clone(), &shelf, &clock).await;
    assert_eq!(store.trust_clock(clock.now()).await, Ok(true));
    running.pass(30).await;
    let missed: u32 = passed_over(store.as_ref())
        .await
        .iter()
        .map(|(_, _, slots, _)| slots)
        .sum();
    assert_eq!(
        (minutes().await.len(), missed),
        (7, 238),
        "each has its run or its reason"
    );
    assert_eq!(ask("04:59").await, Ok(1));
    running.stop().await;
}

#[tokio::test]
async fn a_run_that_a_person_asks_for_waits_for_that_of_the_slot() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = new_store(&folder).await;
    let clock = ManualClock::new(at("2026-05-04T15:59:50Z"));
    let shelf = one(DAILY, "latest");
    let running = Running::start(store.clone(), &shelf, &clock).await;
    running.pass(15).await;
    let sweep = shelf.catalog.current().workflows["sweep"].clone();
    for (schedule, state) in [(DAILY, RunState::Pending), ("0 1 * * *", RunState::Queued)] {
        let request = Request {
            payload: json!({"type": "cron", "schedule": schedule, "timezone": ZONE}),
            actor: "tess".to_owned(),
            ..Request::default()
        };
        let started = manual::start(store.as_ref(), &KnownVersions::new(), &sweep, request, clock.now()).await;
        let run = store.run(started.expect("made").run).await.expect("read");
        assert_eq!(run.map(|run| run.state), Some(state), "{schedule}");
    }
    running.stop().await;
}

#[tokio::test]
async fn what_was_recorded_in_a_future_that_never_was_does_not_end_catching_up() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = new_store(&folder).await;
    let clock = ManualClock::new(at("2026-05-04T15:59:50Z"));
    let shelf = one(DAILY, "latest");
    // A machine that boots with a wrong clock, twice; then the true time, of which a person says so, and two days of
    // downtime.
    let mut doubts = 0;
    for time in [
        "2026-05-04T15:59:50Z",
        "2031-01-01T08:00:00Z",
        "2026-05-04T20:00:00Z",
        "2026-05-06T20:00:00Z",
        "2032-01-01T08:00:00Z",
        "2026-05-06T20:00:00Z",
        "2026-05-08T20:00:00Z",
    ] {
        clock.jump_to(at(time));
        let running = Running::start(store.clone(), &shelf, &clock).await;
        running.pass(15).await;
        if store.clock_doubt().await.expect("read").is_some() {
            doubts += 1;
            assert_eq!(store.trust_clock(clock.now()).await, Ok(true));
            running.pass(30).await;
        }
        running.stop().await;
    }
    assert_eq!(doubts, 2);
    let mut made = slots(store.as_ref()).await;
    made.retain(|slot| slot.starts_with("2026"));
    made.sort();
    let expected = ["2026-05-04T16:00:00Z", "2026-05-06T16:00:00Z", "2026-05-08T16:00:00Z"];
    assert_eq!(made, expected);
}
