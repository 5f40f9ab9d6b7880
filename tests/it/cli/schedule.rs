//! `bursar schedule next` and what `bursar check` says of schedules: as people read it.

use std::fs;
use std::path::Path;

use tempfile::tempdir;

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
