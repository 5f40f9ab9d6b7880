//! Which instants an expression names in a zone, judged by walking every minute around every clock change.

use std::collections::BTreeSet;

use bursar::base::clock::Instant;
use bursar::trigger::schedule::Schedule;
use chrono::{DateTime, Datelike as _, NaiveDateTime, NaiveTime, TimeDelta, TimeZone as _, Timelike as _, Utc};
use chrono_tz::Tz;

/// Zones with every kind of change: an hour, half an hour, two hours, at midnight, in Ramadan, none.
const ZONES: [Tz; 16] = [
    Tz::Europe__Berlin,
    Tz::Europe__London,
    Tz::America__New_York,
    Tz::America__St_Johns,
    Tz::America__Havana,
    Tz::America__Santiago,
    Tz::America__Asuncion,
    Tz::Atlantic__Azores,
    Tz::Africa__Cairo,
    Tz::Africa__Casablanca,
    Tz::Antarctica__Troll,
    Tz::Asia__Beirut,
    Tz::Asia__Kathmandu,
    Tz::Australia__Lord_Howe,
    Tz::Pacific__Chatham,
    Tz::Pacific__Apia,
];

/// An expression, and the same meaning written a second time as a predicate on wall time.
pub(super) struct Case {
    pub(super) text: &'static str,
    pub(super) interval: bool,
    pub(super) matches: fn(NaiveDateTime) -> bool,
}

pub(super) const CASES: [Case; 12] = [
    Case {
        text: "30 2 * * *",
        interval: false,
        matches: |t| t.hour() == 2 && t.minute() == 30,
    },
    Case {
        text: "30 1 * * *",
        interval: false,
        matches: |t| t.hour() == 1 && t.minute() == 30,
    },
    Case {
        text: "0 0 * * *",
        interval: false,
        matches: |t| t.hour() == 0 && t.minute() == 0,
    },
    Case {
        text: "45 23,0,1,2,3 * * *",
        interval: false,
        matches: |t| [23, 0, 1, 2, 3].contains(&t.hour()) && t.minute() == 45,
    },
    Case {
        text: "0,59 0-3 * * 0",
        interval: false,
        matches: |t| t.hour() <= 3 && [0, 59].contains(&t.minute()) && t.weekday().num_days_from_sunday() == 0,
    },
    Case {
        text: "0 18 * * Mon-Fri",
        interval: false,
        matches: |t| t.hour() == 18 && t.minute() == 0 && t.weekday().number_from_monday() <= 5,
    },
    Case {
        text: "15 2 * * 6-7",
        interval: false,
        matches: |t| t.hour() == 2 && t.minute() == 15 && t.weekday().number_from_monday() >= 6,
    },
    Case {
        text: "*/15 * * * *",
        interval: true,
        matches: |t| t.minute() % 15 == 0,
    },
    Case {
        text: "*/20 1-2 * * *",
        interval: true,
        matches: |t| t.minute() % 20 == 0 && [1, 2].contains(&t.hour()),
    },
    Case {
        text: "5 * * * *",
        interval: true,
        matches: |t| t.minute() == 5,
    },
    Case {
        text: "0 */2 * 3,4,9,10,11 *",
        interval: true,
        matches: |t| t.minute() == 0 && t.hour() % 2 == 0 && [3, 4, 9, 10, 11].contains(&t.month()),
    },
    Case {
        text: "* 0 * * Sun",
        interval: true,
        matches: |t| t.hour() == 0 && t.weekday().num_days_from_sunday() == 0,
    },
];

fn at(text: &str) -> Instant {
    DateTime::parse_from_rfc3339(text).expect("an instant").to_utc()
}

pub(super) fn wall(zone: Tz, instant: Instant) -> NaiveDateTime {
    instant.with_timezone(&zone).naive_local()
}

/// A new seed, or the one given to replay a failure; printed either way.
#[expect(
    clippy::disallowed_methods,
    reason = "a failure is replayed by setting the seed it printed"
)]
#[expect(clippy::print_stdout, reason = "the seed must stand in the output of a failed test")]
pub(super) fn seed() -> u64 {
    let given = std::env::var("BURSAR_TEST_SEED")
        .ok()
        .and_then(|text| text.parse().ok());
    let seed = given.unwrap_or_else(|| fastrand::u64(..));
    println!("BURSAR_TEST_SEED={seed}");
    seed
}

/// The hours in which the zone's offset changes, 2024 to 2027.
fn changes(zone: Tz) -> Vec<Instant> {
    let mut found = Vec::new();
    let (mut hour, end) = (at("2024-01-01T00:00:00Z"), at("2028-01-01T00:00:00Z"));
    while hour < end {
        let next = hour + TimeDelta::hours(1);
        if wall(zone, next) - wall(zone, hour) != TimeDelta::hours(1) {
            found.push(hour);
        }
        hour = next;
    }
    found
}

/// Every slot in `[from, to)`, found without arithmetic: look at the wall clock once a minute. A wall time
/// that was jumped over counts where the jump lands, and one seen before does not count again, unless the
/// expression is an interval, which only looks at what the wall clock shows.
pub(super) fn walk(case: &Case, zone: Tz, from: Instant, to: Instant) -> BTreeSet<Instant> {
    let mut slots = BTreeSet::new();
    let mut highest = wall(zone, from - TimeDelta::days(1));
    let mut minute = from - TimeDelta::days(1);
    while minute < to {
        let shown = wall(zone, minute);
        let named = if case.interval {
            (case.matches)(shown)
        } else {
            let mut unseen = highest + TimeDelta::minutes(1);
            let mut named = false;
            while unseen <= shown {
                named |= (case.matches)(unseen);
                unseen += TimeDelta::minutes(1);
            }
            named
        };
        highest = highest.max(shown);
        if named && minute >= from {
            slots.insert(minute);
        }
        minute += TimeDelta::minutes(1);
    }
    slots
}

#[test]
fn around_every_clock_change_the_slots_are_those_a_watcher_of_the_wall_clock_finds() {
    let mut answers = 0;
    for zone in ZONES {
        let mut windows = changes(zone);
        if windows.is_empty() {
            windows.push(at("2025-03-30T00:00:00Z"));
        }
        for case in &CASES {
            let schedule = Schedule::parse(case.text, zone.name()).expect(case.text);
            for change in &windows {
                let (from, to) = (*change - TimeDelta::days(2), *change + TimeDelta::days(2));
                let expected = walk(case, zone, from, to);
                let mut chained = BTreeSet::new();
                let mut last = from - TimeDelta::seconds(1);
                while let Some(next) = schedule.next_after(last).filter(|next| *next < to) {
                    assert!(next > last, "{} {zone}: {next} after {last}", case.text);
                    chained.insert(next);
                    last = next;
                    answers += 1;
                }
                assert_eq!(chained, expected, "{} {zone} around {change}", case.text);
                // Asked from anywhere near the change, not only from a slot.
                for step in 0..50 {
                    let asked = *change + TimeDelta::minutes(7 * step - 150);
                    let first = expected.range(asked + TimeDelta::seconds(1)..).next();
                    let found = schedule.next_after(asked).filter(|next| *next < to);
                    assert_eq!(found.as_ref(), first, "{} {zone} from {asked}", case.text);
                    answers += 1;
                }
            }
        }
    }
    assert!(answers >= 5_000, "only {answers} answers were compared");
}

#[test]
fn asking_from_any_instant_gives_the_first_slot_after_it() {
    let seed = seed();
    let mut random = fastrand::Rng::with_seed(seed);
    let zones: Vec<(Tz, Vec<Instant>)> = ZONES.map(|zone| (zone, changes(zone))).into();
    for _ in 0..5_000 {
        let (zone, windows) = &zones[random.usize(..zones.len())];
        let case = &CASES[random.usize(..CASES.len())];
        let schedule = Schedule::parse(case.text, zone.name()).expect(case.text);
        // Half of the questions are near a change of the zone, the others anywhere.
        let start = if random.bool() && !windows.is_empty() {
            windows[random.usize(..windows.len())] - TimeDelta::hours(30)
        } else {
            at("2024-01-01T00:00:00Z") + TimeDelta::minutes(random.i64(0..2_000_000))
        };
        let asked = start + TimeDelta::milliseconds(random.i64(0..4 * 24 * 3_600_000));
        let first = schedule.next_after(asked).expect("there is a next one");
        assert!(first > asked, "{} {zone} {asked}", case.text);
        // Nothing lies between: from anywhere before the answer, the answer is the same.
        let span = (first - asked).num_milliseconds();
        let between = asked + TimeDelta::milliseconds(random.i64(0..span));
        assert_eq!(
            schedule.next_after(between),
            Some(first),
            "{} {zone} {between}",
            case.text
        );
        let second = schedule.next_after(first).expect("there is a next one");
        assert!(second > first, "{} {zone} {first}", case.text);
    }
}

#[test]
fn a_fixed_time_happens_once_on_the_days_the_clocks_change() {
    let check = |text: &str, zone: &str, after: &str, expected: [&str; 3]| {
        let schedule = Schedule::parse(text, zone).expect(text);
        let slots: Vec<Instant> =
            std::iter::successors(schedule.next_after(at(after)), |slot| schedule.next_after(*slot))
                .take(3)
                .collect();
        assert_eq!(slots, expected.map(at), "{text} {zone} after {after}");
    };
    // Forward: 02:30 does not exist on 2026-03-29 in Berlin; it happens at 03:00.
    let night = ["2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"];
    check("30 2 * * *", "Europe/Berlin", "2026-03-27T12:00:00Z", night);
    // Back: 02:30 comes twice on 2026-10-25; the first one counts.
    let night = ["2026-10-24T00:30:00Z", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"];
    check("30 2 * * *", "Europe/Berlin", "2026-10-23T12:00:00Z", night);
    // Midnight in London, the night the clocks go forward an hour later: once.
    let night = ["2024-03-30T00:00:00Z", "2024-03-31T00:00:00Z", "2024-03-31T23:00:00Z"];
    check("0 0 * * *", "Europe/London", "2024-03-29T12:00:00Z", night);
    // New York: what ran in the hour before the gap does not run again at its end.
    let night = ["2026-03-07T06:30:00Z", "2026-03-08T06:30:00Z", "2026-03-09T05:30:00Z"];
    check("30 1 * * *", "America/New_York", "2026-03-06T12:00:00Z", night);
    // London: 01:30 comes twice on 2026-10-25, and asking in the second hour leads to the next day.
    let night = ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z", "2026-10-27T01:30:00Z"];
    check("0 30 1 * * *", "Europe/London", "2026-10-24T12:00:00Z", night);
    let night = ["2026-10-26T01:30:00Z", "2026-10-27T01:30:00Z", "2026-10-28T01:30:00Z"];
    check("0 30 1 * * *", "Europe/London", "2026-10-25T01:10:00Z", night);
    // Berlin, a date that is the night itself: once a year, not again at the end of the gap.
    let nights = ["2026-03-29T00:30:00Z", "2027-03-28T23:30:00Z", "2028-03-28T23:30:00Z"];
    check("0 30 1 29 3 *", "Europe/Berlin", "2026-03-01T00:00:00Z", nights);
    // Lord Howe moves by half an hour: 02:15 is in the gap, 02:30 is its end.
    let night = ["2026-10-02T15:45:00Z", "2026-10-03T15:30:00Z", "2026-10-04T15:15:00Z"];
    check("15 2 * * *", "Australia/Lord_Howe", "2026-10-02T12:00:00Z", night);
    // Apia had no 30 December 2011: noon of that day happens as the 31st begins.
    let days = ["2011-12-29T22:00:00Z", "2011-12-30T10:00:00Z", "2011-12-30T22:00:00Z"];
    check("0 12 * * *", "Pacific/Apia", "2011-12-29T00:00:00Z", days);
}

#[test]
fn an_interval_goes_on_through_the_hour_that_comes_twice() {
    let schedule = Schedule::parse("*/30 * * * *", "Europe/Berlin").expect("a schedule");
    let mut last = at("2026-10-25T00:00:00Z") - TimeDelta::seconds(1);
    for slot in 0..8 {
        let next = schedule.next_after(last).expect("a next one");
        assert_eq!(next, at("2026-10-25T00:00:00Z") + TimeDelta::minutes(30 * slot));
        last = next;
    }
}

#[test]
fn seconds_count_when_six_fields_are_given() {
    let schedule = Schedule::parse("10,40 * * * * *", "UTC").expect("a schedule");
    let next = |text| schedule.next_after(at(text)).expect("a next one");
    assert_eq!(next("2026-01-01T00:00:09.999Z"), at("2026-01-01T00:00:10Z"));
    assert_eq!(next("2026-01-01T00:00:10Z"), at("2026-01-01T00:00:40Z"));
    assert_eq!(next("2026-01-01T00:00:10.001Z"), at("2026-01-01T00:00:40Z"));
}

#[test]
fn the_last_day_of_february_comes_every_four_years() {
    let schedule = Schedule::parse("0 9 29 2 *", "UTC").expect("a schedule");
    let first = schedule.next_after(at("2025-01-01T00:00:00Z")).expect("a next one");
    assert_eq!(first, at("2028-02-29T09:00:00Z"));
    let day = first.date_naive().and_time(NaiveTime::MIN);
    assert_eq!(
        schedule.next_after(Utc.from_utc_datetime(&day) + TimeDelta::days(1)),
        Some(at("2032-02-29T09:00:00Z"))
    );
}
