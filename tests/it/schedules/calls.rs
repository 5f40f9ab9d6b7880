//! What scripts ask of calendars: the answers, recorded once, from the calendars the run began with.

use std::sync::Arc;
use std::time::Duration;

use bursar::base::clock::ManualClock;
use bursar::engine::primitives;
use bursar::model::run::RunState;
use bursar::model::value::parse_time;
use bursar::simulator::config::SimulatorConfig;
use serde_json::json;

use crate::support::{World, settled, until, version};

const HOUSE: &str = "name = \"house\"\ncoverage_from = 2026-01-01\ncoverage_until = 2026-12-31\n\
    holidays = [{ date = 2026-11-23, name = \"House day\" }]\n";

/// Asked on a Friday at 15:10 in Berlin, and again after a wait that ends two days later.
const ASKS: &str = r#"
    let day = today("Europe/Berlin");
    let ask = || [
        is_business_day(day, "house+TARGET2"),
        add_business_days(day, 1, "house+TARGET2"),
        add_business_days(day, -2, "TARGET2"),
        cut_off_passed("15:00", "Europe/Berlin"),
        cut_off_passed("15:30", "Europe/Berlin"),
        value_date(#{ calendar: "house+TARGET2", timezone: "Europe/Berlin", cut_off: "15:00" }),
        value_date(#{ calendar: "TARGET2", timezone: "Europe/Berlin", cut_off: "15:30", days: 2 }),
    ];
    let before = ask.call();
    sleep("2d");
    let failed = [];
    for wrong in [
        || is_business_day("2027-01-04", "house"),
        || is_business_day("2026-11-31", "TARGET2"),
        || is_business_day("2026-11-30", "spare"),
        || add_business_days("2026-11-30", 99999, "TARGET2"),
        || cut_off_passed("3 pm", "Europe/Berlin"),
        || value_date(#{ calendar: "TARGET2", timezone: "Berlin" }),
        || value_date(#{ calendar: "TARGET2", timezone: "UTC", days: -1 }),
    ] {
        try { wrong.call(); failed.push("none"); } catch (e) { failed.push(e.error); }
    }
    [before, ask.call(), failed]
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_script_gets_the_answers_of_its_own_calendars_once() {
    let clock = ManualClock::new(parse_time("2026-11-20T14:10:00Z").expect("an instant"));
    let world = World::with_clock(SimulatorConfig::demo(), Arc::new(clock.clone())).await;
    let store = world.store().await;
    let version = version(&[("probe.rhai", ASKS), ("calendars/house.toml", HOUSE)]);
    let engine = world.engine(store.clone()).await;
    let id = world.start_version(store.as_ref(), version, json!({}), json!({})).await;
    until(store.as_ref(), id, |run| run.state == RunState::Waiting).await;
    engine.stop().await;
    // Another process, two days on: what was answered stays, what is asked now is new.
    clock.advance(Duration::from_secs(2 * 86_400 + 60));
    let engine = world.engine(store.clone()).await;
    let run = settled(store.as_ref(), id).await;
    engine.stop().await;
    let result = run.result.clone().unwrap_or_default();
    let (before, after, failed) = (&result[0], &result[1], &result[2]);
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.error);
    assert_eq!(
        *before,
        json!([
            true,
            "2026-11-24",
            "2026-11-18",
            true,
            false,
            "2026-11-24",
            "2026-11-24"
        ])
    );
    // Sunday afternoon: Monday is closed in the house, and no cut-off counts on a closed day.
    assert_eq!(
        *after,
        json!([
            true,
            "2026-11-24",
            "2026-11-18",
            true,
            false,
            "2026-11-24",
            "2026-11-25"
        ])
    );
    let expected = json!([
        "calendar_ends",
        "invalid_argument",
        "unknown_calendar",
        "calendar_ends",
        "invalid_argument",
        "invalid_argument",
        "invalid_argument"
    ]);
    assert_eq!(*failed, expected);
    store.close().await.expect("closed");
}

#[test]
fn each_call_is_in_the_table_that_is_printed() {
    for name in ["is_business_day", "add_business_days", "cut_off_passed", "value_date"] {
        let found = primitives::all().find(|primitive| primitive.name == name).expect(name);
        assert!(!found.doc.is_empty() && found.example.contains(name), "{name}");
    }
}
