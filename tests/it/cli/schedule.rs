//! `bursar schedule next` and what `bursar check` says of schedules: as people read it.

use std::fs;
use std::path::Path;

use bursar::model::unmade::{Pause, PauseCause};
use bursar::model::value::parse_time;
use bursar::store::sqlite::{SqliteOptions, SqliteStore};
use bursar::store::{SlotKey, Store as _};
use tempfile::tempdir;

use super::daemon::{Daemon, world};
use super::harness::bursar;

/// The table for an expression, without the blanks at the ends of its lines.
fn table(args: &[&str]) -> String {
    let folder = tempdir().expect("a folder");
    let ran = bursar(folder.path(), &[&["schedule", "next"], args].concat()).expect(0);
    assert!(ran.stderr.is_empty(), "{}", ran.stderr);
    let lines: Vec<&str> = ran.stdout.lines().map(str::trim_end).collect();
    lines.join("\n")
}

/// Days on both sides of the next two changes of the clocks, a fixed time and an interval each.
#[test]
fn the_next_two_changes_of_the_clocks_are_told_in_four_zones() {
    let zones = [
        (
            "Europe/Berlin",
            "30 2 * * *",
            "*/30 1-3 * * *",
            ["2027-03-26T12:00:00Z", "2027-10-29T12:00:00Z"],
        ),
        (
            "Europe/London",
            "30 1 * * *",
            "*/30 0-2 * * *",
            ["2027-03-26T12:00:00Z", "2027-10-29T12:00:00Z"],
        ),
        (
            "America/New_York",
            "30 2 * * *",
            "*/30 1-3 * * *",
            ["2027-03-12T12:00:00Z", "2027-11-05T12:00:00Z"],
        ),
        (
            "Australia/Lord_Howe",
            "15 2 * * *",
            "*/15 1-2 * * *",
            ["2027-04-02T12:00:00Z", "2027-10-01T12:00:00Z"],
        ),
    ];
    for (zone, fixed, interval, changes) in zones {
        let mut text = String::new();
        for from in changes {
            for (expression, count) in [(fixed, "4"), (interval, "18")] {
                let args = [
                    "--cron",
                    expression,
                    "--timezone",
                    zone,
                    "--from",
                    from,
                    "--count",
                    count,
                ];
                text.push_str(&format!("{}\n\n", table(&args)));
            }
        }
        insta::assert_snapshot!(zone.replace('/', "_"), text);
    }
}

#[test]
fn what_a_calendar_moves_or_leaves_out_is_told() {
    let check = |roll: &str| {
        table(&[
            "--cron",
            "0 18 * * Thu,Fri",
            "--timezone",
            "Europe/Berlin",
            "--calendar",
            "TARGET2",
            "--roll",
            roll,
            "--from",
            "2027-03-24T00:00:00Z",
            "--count",
            "4",
        ])
    };
    insta::assert_snapshot!(
        "holidays",
        ["skip", "next", "previous", "modified_following"]
            .map(check)
            .join("\n\n")
    );
}

fn manifest(name: &str, trigger: &str) -> String {
    format!(
        "name = \"{name}\"\nsummary = \"What it does.\"\nscript = \"work.rhai\"\n\n[[trigger]]\ntype = \"cron\"\ntimezone = \"Europe/Berlin\"\n{trigger}"
    )
}

fn workplace(folder: &Path, workflows: &[(&str, &str)]) {
    for place in ["workflows", "scripts", "calendars"] {
        fs::create_dir(folder.join(place)).expect("a folder");
    }
    fs::write(
        folder.join("scripts/work.rhai"),
        "value_date(#{ calendar: \"TARGET2\", timezone: \"UTC\" })",
    )
    .expect("a script");
    for (name, trigger) in workflows {
        fs::write(folder.join(format!("workflows/{name}.toml")), manifest(name, trigger)).expect("a manifest");
    }
}

#[test]
fn the_schedules_of_workflows_are_shown_and_explained() {
    let folder = tempdir().expect("a folder");
    workplace(
        folder.path(),
        &[
            (
                "month-end",
                "schedule = \"0 9 * * *\"\ncalendar = \"TARGET2\"\nbusiness_day = -1\n",
            ),
            (
                "sweep",
                "schedule = \"0 15 * * *\"\ncalendar = \"TARGET2+US-FED\"\ncut_off = \"15:30\"\nafter_cut_off = \"refuse\"\n",
            ),
        ],
    );
    let shown = |args: &[&str]| bursar(folder.path(), args).expect(0).stdout;
    let from = ["--from", "2026-11-24T00:00:00Z", "--count", "3"];
    let both = shown(&[&["schedule", "next"], from.as_slice()].concat());
    insta::assert_snapshot!(both.lines().map(str::trim_end).collect::<Vec<_>>().join("\n"));
    let one = bursar(
        folder.path(),
        &[&["schedule", "next", "month-end", "--json"], from.as_slice()].concat(),
    )
    .expect(0);
    let lines = one.json();
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[0]["schema"], "bursar.slot/1");
    assert_eq!(lines[0]["slot"], "2026-11-30T08:00:00Z");
    assert_eq!(lines[0]["local"], "2026-11-30T09:00:00+01:00");
    let explained = shown(&["check", "--explain"]);
    let words = "sweep  0 15 * * *  at 15:00 every day, Europe/Berlin; days on which TARGET2+US-FED is closed are left out; what has not run by 15:30 does not run";
    assert!(explained.lines().any(|line| line == words), "{explained}");
    let missing = bursar(folder.path(), &["schedule", "next", "month-and"]).expect(4);
    assert!(
        missing.stderr.contains("did you mean `month-end`?"),
        "{}",
        missing.stderr
    );
}

#[test]
fn an_expression_that_is_wrong_is_refused_with_what_to_write() {
    let folder = tempdir().expect("a folder");
    let check = |args: &[&str], message: &str| {
        let ran = bursar(folder.path(), &[&["schedule", "next"], args].concat()).expect(2);
        assert!(ran.stderr.contains(message), "{args:?}: {}", ran.stderr);
    };
    check(&["--cron", "0 9 * *", "--timezone", "UTC"], "found 4 fields");
    check(&["--cron", "0 9 * * *"], "--timezone");
    check(
        &["--cron", "0 9 * * *", "--timezone", "Europe/Berln"],
        "did you mean `Europe/Berlin`",
    );
    let berlin = ["--cron", "0 9 * * *", "--timezone", "Europe/Berlin"];
    check(
        &[berlin.as_slice(), &["--calendar", "TARGET"]].concat(),
        "did you mean `TARGET2`?",
    );
    check(&[berlin.as_slice(), &["--roll", "next"]].concat(), "--calendar");
    check(
        &[berlin.as_slice(), &["--from", "tomorrow"]].concat(),
        "is not an instant",
    );
    check(
        &[berlin.as_slice(), &["--count", "0"]].concat(),
        "0 is not in 1..=10000",
    );
}

#[test]
fn a_calendar_that_ends_is_warned_of_and_then_refused() {
    let folder = tempdir().expect("a folder");
    workplace(
        folder.path(),
        &[("sweep", "schedule = \"0 15 * * *\"\ncalendar = \"house\"\n")],
    );
    let calendar = |days: i64| {
        let now = bursar::base::clock::SystemClock::new();
        let today = bursar::base::clock::Clock::now(&now).date_naive();
        let until = today + chrono::TimeDelta::days(days);
        let text = format!("name = \"house\"\ncoverage_from = 2020-01-01\ncoverage_until = {until}\nholidays = []\n");
        fs::write(folder.path().join("calendars/house.toml"), text).expect("a calendar");
    };
    let check = |code: i32, expected: &str| {
        let ran = bursar(folder.path(), &["check", "--format", "concise"]).expect(code);
        assert!(ran.stdout.contains(expected), "{}", ran.stdout);
        ran
    };
    calendar(200);
    assert!(!check(0, "").stdout.contains("calendar-"));
    calendar(60);
    check(0, "calendar-ends");
    calendar(3);
    check(2, "calendar-over");
    let next = bursar(folder.path(), &["schedule", "next"]).expect(0);
    assert!(
        next.stderr.contains("calendar `house` says nothing of"),
        "{}",
        next.stderr
    );
    // The daemon would go on until then: the workflow is loaded all the same.
    let listed = bursar(folder.path(), &["workflows", "ls", "--json"]).expect(0);
    assert!(listed.stdout.contains("\"name\":\"sweep\""), "{}", listed.stdout);
    calendar(-1);
    check(2, "calendar-over");
}

#[test]
fn an_expression_takes_what_a_manifest_can_say() {
    let check = |args: &[&str], expected: &[&str]| {
        let shown = table(&[&["--timezone", "Europe/Berlin", "--from", "2027-03-24T00:00:00Z"], args].concat());
        let found: Vec<&str> = shown.lines().skip(3).collect();
        for (line, expected) in std::iter::zip(&found, expected) {
            assert!(line.contains(expected), "{args:?}: {line}");
        }
        assert_eq!(found.len(), expected.len(), "{shown}");
        shown
    };
    let days = [
        "--calendar",
        "TARGET2",
        "--business-day",
        "1",
        "--business-day",
        "-1",
        "--count",
        "3",
    ];
    check(
        &[["--cron", "0 9 * * *"].as_slice(), &days].concat(),
        &["2027-03-31 09:00", "2027-04-01 09:00", "2027-04-30 09:00"],
    );
    let cut_off = [
        "--calendar",
        "TARGET2",
        "--cut-off",
        "15:30",
        "--after-cut-off",
        "refuse",
        "--count",
        "1",
    ];
    let shown = check(
        &[["--cron", "0 15 * * *"].as_slice(), &cut_off].concat(),
        &["2027-03-24 15:00"],
    );
    assert!(shown.contains("what has not run by 15:30 does not run"), "{shown}");
    let jitter = ["--cron", "0 18 * * *", "--jitter", "90", "--count", "2"];
    let shown = check(&jitter, &["2027-03-24 18:00:00", "2027-03-25 18:00:00"]);
    assert!(shown.contains("jitter: begins "), "{shown}");
    assert_eq!(
        shown,
        table(
            &[
                &["--timezone", "Europe/Berlin", "--from", "2027-03-24T00:00:00Z"],
                jitter.as_slice()
            ]
            .concat()
        )
    );
    let folder = tempdir().expect("a folder");
    let refuse = |args: &[&str], message: &str| {
        let base = ["schedule", "next", "--cron", "0 9 * * *", "--timezone", "UTC"];
        let ran = bursar(folder.path(), &[base.as_slice(), args].concat()).expect(2);
        assert!(ran.stderr.contains(message), "{args:?}: {}", ran.stderr);
    };
    refuse(&["--business-day", "1"], "--calendar");
    refuse(
        &["--calendar", "UK", "--business-day", "0"],
        "no business day is the zeroth",
    );
    refuse(&["--calendar", "UK", "--business-day", "24"], "24 is not in -23..=23");
    refuse(&["--calendar", "UK", "--cut-off", "15:30"], "--after-cut-off");
    refuse(
        &["--calendar", "UK", "--cut-off", "3 pm", "--after-cut-off", "refuse"],
        "is not a time of day",
    );
    refuse(&["--jitter", "9999"], "9999 is not in 0..=3600");
}

/// Three working days around Easter 2026, of which TARGET2 leaves out two.
const RANGE: [&str; 4] = ["--from", "2026-04-01T00:00:00Z", "--to", "2026-04-07T20:00:00Z"];

#[tokio::test(flavor = "multi_thread")]
async fn a_person_runs_a_schedule_now_and_makes_up_for_slots_that_passed() {
    let (folder, _bank) = world().await;
    let run = |args: &[&str], code: i32| bursar(folder.path(), &[&["schedule"], args].concat()).expect(code);
    // Here, without a daemon; the run says who asked, for which schedule, and why.
    let ran = run(
        &["trigger", "nightly-sweep", "--reason", "a holiday was wrong", "--json"],
        0,
    );
    let triggered = ran.json().pop().expect("a run");
    assert_eq!(triggered["state"], "succeeded");
    assert_eq!(
        triggered["cause"]["reason"],
        "schedule `0 18 * * Mon-Fri` triggered by hand: a holiday was wrong"
    );
    assert_eq!(triggered["event"]["type"], "cron");
    assert_eq!(triggered["event"]["reason"], "a holiday was wrong");
    let listed = bursar(folder.path(), &["runs", "ls"]).expect(0);
    assert!(
        listed.stdout.contains("triggered by hand: a holiday was wrong"),
        "{}",
        listed.stdout
    );

    // What passed, and nothing changed.
    let backfill =
        |more: &[&str], code: i32| run(&[&["backfill", "nightly-sweep"], RANGE.as_slice(), more].concat(), code);
    for _ in 0..2 {
        let shown = backfill(&[], 0);
        let days: Vec<&str> = shown.stdout.lines().filter(|line| line.contains("would run")).collect();
        let expected = ["2026-04-01 18:00:00", "2026-04-02 18:00:00", "2026-04-07 18:00:00"];
        assert_eq!(days.len(), 3, "{}", shown.stdout);
        assert!(
            std::iter::zip(days, expected).all(|(line, day)| line.contains(day)),
            "{}",
            shown.stdout
        );
        assert!(
            shown.stderr.contains("nothing was changed; with --yes 3 would run"),
            "{}",
            shown.stderr
        );
    }
    // The daemon makes them, in order; asked again, nobody does.
    let _daemon = Daemon::start(folder.path());
    let made = backfill(&["--yes"], 0);
    assert!(made.stderr.contains("3 runs were made"), "{}", made.stderr);
    let again = backfill(&["--yes"], 0);
    assert!(again.stderr.contains("there is nothing to make"), "{}", again.stderr);
    let json = backfill(&["--yes", "--json"], 0).json();
    assert_eq!(json.len(), 4);
    assert_eq!(
        (&json[0]["slot"], &json[3]["runs"]),
        (&"2026-04-01T16:00:00Z".into(), &serde_json::json!([]))
    );
    assert!(json[0]["run"].is_string());

    let refused = |args: &[&str], code: i32, message: &str| {
        let ran = run(&[&["backfill"], args].concat(), code);
        assert!(ran.stderr.contains(message), "{args:?}: {}", ran.stderr);
    };
    let sweep = |from: &'static str, to: &'static str| ["nightly-sweep", "--from", from, "--to", to];
    refused(
        &sweep("2026-01-01T00:00:00Z", "2026-09-01T00:00:00Z"),
        2,
        "more than 100 slots lie in that range",
    );
    refused(
        &sweep("2026-01-01T00:00:00Z", "2199-01-01T00:00:00Z"),
        2,
        "has not come yet",
    );
    refused(
        &sweep("2026-04-02T00:00:00Z", "2026-04-01T00:00:00Z"),
        2,
        "ends before it begins",
    );
    refused(
        &["nightly-swep", RANGE[0], RANGE[1], RANGE[2], RANGE[3]],
        4,
        "did you mean `nightly-sweep`",
    );
    refused(
        &["split-settlement", RANGE[0], RANGE[1], RANGE[2], RANGE[3]],
        4,
        "has no such schedule",
    );
    // Through the daemon it is the same run as through this program.
    let ran = run(&["trigger", "nightly-sweep", "--json"], 0);
    let triggered = ran.json().pop().expect("a run");
    assert_eq!(
        triggered["cause"]["reason"],
        "schedule `0 18 * * Mon-Fri` triggered by hand"
    );
}

#[tokio::test]
async fn what_is_wrong_with_a_schedule_is_seen() {
    let folder = tempdir().expect("a folder");
    workplace(
        folder.path(),
        &[
            ("sweep", "schedule = \"0 15 * * *\"\n"),
            ("other", "schedule = \"0 16 * * *\"\n"),
        ],
    );
    let open = async || {
        SqliteStore::open(&folder.path().join("state"), SqliteOptions::default())
            .await
            .expect("opened")
    };
    let store = open().await;
    let key = SlotKey {
        workflow: "sweep".to_owned(),
        schedule: "0 15 * * *".to_owned(),
        timezone: "Europe/Berlin".to_owned(),
    };
    let until = parse_time("2026-04-01T00:00:00Z").expect("an instant");
    store.settle_slots(key, until).await.expect("kept");
    let shown = bursar(folder.path(), &["schedule", "ls"]).expect(0).stdout;
    assert!(shown.contains("overdue since 2026-04-01 13:00:00"), "{shown}");
    assert!(
        shown
            .lines()
            .any(|line| line.starts_with("other") && line.contains(" on ")),
        "{shown}"
    );
    let pause = |workflow: &str, actor: &str, cause| Pause {
        workflow: workflow.to_owned(),
        since: until,
        actor: actor.to_owned(),
        reason: "wrong payroll".to_owned(),
        cause,
    };
    let pauses = [
        pause("other", "bursar", PauseCause::Failures),
        pause("sweep", "tess", PauseCause::Person),
    ];
    for pause in &pauses {
        store.pause(pause.clone()).await.expect("kept");
    }
    let jumped = "the wall clock jumped ahead by 14 h".to_owned();
    store.doubt_clock(until, jumped).await.expect("kept");
    store.close().await.expect("closed");
    let shown = bursar(folder.path(), &["schedule", "ls"]).expect(0).stdout;
    assert!(
        shown.contains("paused by tess: wrong payroll; waits: the wall clock jumped ahead by 14 h"),
        "{shown}"
    );
    assert!(!shown.contains("overdue"), "{shown}");
    // The clock is right: what a person has paused, and what failures have, stays so.
    let resumed = bursar(folder.path(), &["schedule", "resume"]).expect(0).stdout;
    assert_eq!(
        resumed,
        "the clock is right: schedules go on from their next slot\n\
         other stays paused by bursar: wrong payroll\n\
         sweep stays paused by tess: wrong payroll\n"
    );
    let store = open().await;
    assert_eq!(store.pauses().await, Ok(pauses.to_vec()));
    assert_eq!(store.clock_doubt().await, Ok(None));
    store.close().await.expect("closed");
    let none = bursar(folder.path(), &["schedule", "resume"]).expect(4).stderr;
    assert!(none.contains("no schedule waits because of the clock"), "{none}");
    assert!(none.contains("other, sweep"), "{none}");
    // Of one: its pause is over, and it is said what still keeps it; but none goes on that is not there.
    let store = open().await;
    store.doubt_clock(until, "it jumped".to_owned()).await.expect("kept");
    store.close().await.expect("closed");
    let why = ["schedule", "resume", "other", "--reason", "the file is right now"];
    let resumed = bursar(folder.path(), &why).expect(0).stdout;
    assert_eq!(
        resumed,
        "the schedules of other are not paused any more, but every schedule waits: it jumped; if the clock is right: \
         bursar schedule resume\n"
    );
    let again = bursar(folder.path(), &["schedule", "resume", "other"]).expect(4).stderr;
    assert!(again.contains("`bursar schedule resume` without a name"), "{again}");
    bursar(folder.path(), &["schedule", "resume", "othre"]).expect(4);
    let store = open().await;
    assert_eq!(store.pauses().await, Ok(vec![pauses[1].clone()]));
    assert!(store.clock_doubt().await.expect("read").is_some());
    assert_eq!(store.trust_clock(until).await, Ok(true));
    let resumed = store.resumed("other").await.expect("read").expect("it was paused");
    assert_eq!(resumed.reason.as_deref(), Some("the file is right now"));
    store.close().await.expect("closed");
    let shown = bursar(folder.path(), &["schedule", "ls"]).expect(0).stdout;
    let on = format!(" by {}: the file is right now", resumed.actor);
    assert!(shown.contains("on, resumed 20") && shown.contains(&on), "{shown}");
}
