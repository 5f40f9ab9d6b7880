//! A million answers to "when next", in every zone there is, from 2000 to 2040: each held against what must be true
//! of it, many against a watcher of the wall clock and against another program.
//!
//! `BURSAR_FIRES` sets how many; `BURSAR_TEST_SEED` repeats a run.

use std::collections::BTreeSet;

use bursar::base::clock::Instant;
use bursar::model::value::parse_time;
use bursar::trigger::schedule::{Schedule, Slot};
use chrono::{
    DateTime, Datelike as _, LocalResult, NaiveDateTime, Offset as _, TimeDelta, TimeZone as _, Timelike as _,
};
use chrono_tz::{TZ_VARIANTS, Tz};
use fastrand::Rng;

use super::slots::{CASES, Case, seed, walk, wall};

/// How many answers, unless somebody asks for more.
const FIRES: usize = 1_000_000;
/// Answers from one start.
const CHAIN: usize = 24;
/// Of so many chains, one is also held against the wall clock, and one against another program.
const WATCHED_OF: usize = 64;
const COMPARED_OF: usize = 12;

fn at(text: &str) -> Instant {
    parse_time(text).expect("an instant")
}

#[expect(clippy::disallowed_methods, reason = "the size of the test is set from outside")]
fn fires() -> usize {
    let given = std::env::var("BURSAR_FIRES").ok().and_then(|text| text.parse().ok());
    given.unwrap_or(FIRES)
}

fn offset(zone: Tz, instant: Instant) -> i32 {
    zone.offset_from_utc_datetime(&instant.naive_utc())
        .fix()
        .local_minus_utc()
}

/// The instants at which a zone's offset changes, 2000 to 2040, as far as steps of five days show them.
fn changes(zone: Tz) -> Vec<Instant> {
    let step = TimeDelta::days(5);
    let (mut from, end) = (at("2000-01-01T00:00:00Z"), at("2040-12-20T00:00:00Z"));
    let mut found = Vec::new();
    let mut before = offset(zone, from);
    while from < end {
        let to = from + step;
        let after = offset(zone, to);
        if before != after {
            let (mut low, mut high) = (from, to);
            while high - low > TimeDelta::seconds(1) {
                let middle = low + TimeDelta::seconds((high - low).num_seconds() / 2);
                if offset(zone, middle) == before {
                    low = middle;
                } else {
                    high = middle;
                }
            }
            found.push(high);
        }
        (from, before) = (to, after);
    }
    found
}

/// What was done, to be told.
#[derive(Default)]
struct Counts {
    answers: usize,
    watched: usize,
    compared: usize,
    other_rules: usize,
}

impl Counts {
    fn add(&mut self, other: &Self) {
        self.answers += other.answers;
        self.watched += other.watched;
        self.compared += other.compared;
        self.other_rules += other.other_rules;
    }
}

#[test]
fn a_million_answers_in_every_zone_are_right() {
    let (seed, wanted) = (seed(), fires());
    let shares = 2;
    let mut counts = Counts::default();
    std::thread::scope(|scope| {
        let started: Vec<_> = (0..shares)
            .map(|share| scope.spawn(move || answer(seed, share, shares, wanted)))
            .collect();
        for thread in started {
            counts.add(&thread.join().expect("the thread says what is wrong"));
        }
    });
    let Counts {
        answers,
        watched,
        compared,
        other_rules,
    } = counts;
    println!(
        "{answers} answers in {} zones; {watched} against the wall clock, {compared} against jiff-cron (where it could be asked: not in {other_rules} places); seed {seed}",
        TZ_VARIANTS.len()
    );
    assert!(answers >= wanted, "only {answers}");
    assert!(
        watched * 200 >= answers && compared * 100 >= answers,
        "{watched} {compared}"
    );
    assert!(other_rules < compared, "{other_rules} of {compared}");
}

/// The answers of one thread: its share of the zones.
fn answer(seed: u64, share: usize, shares: usize, wanted: usize) -> Counts {
    let mut random = Rng::with_seed(seed ^ u64::try_from(share).expect("small"));
    let schedules = |zone: Tz| {
        CASES.map(|case| {
            let schedule = Schedule::parse(case.text, zone.name()).unwrap_or_else(|error| panic!("{zone}: {error}"));
            (case, schedule)
        })
    };
    let mut counts = Counts::default();
    let per_zone = wanted.div_ceil(TZ_VARIANTS.len());
    for zone in TZ_VARIANTS.iter().skip(share).step_by(shares) {
        let (windows, cases) = (changes(*zone), schedules(*zone));
        let mut done = 0;
        let mut chains = 0;
        while done < per_zone {
            let (case, schedule) = &cases[random.usize(..cases.len())];
            let from = if windows.is_empty() || random.u8(..3) == 0 {
                at("2000-01-01T00:00:00Z") + TimeDelta::seconds(random.i64(0..40 * 365 * 86_400))
            } else {
                windows[random.usize(..windows.len())] - TimeDelta::seconds(random.i64(0..50 * 3_600))
            };
            done += chain(case, schedule, *zone, from, &mut random);
            chains += 1;
            // From another place in every zone, so that short runs watch them all.
            if chains % WATCHED_OF == 1 {
                counts.watched += watch(case, schedule, *zone, from);
            }
            if chains % COMPARED_OF == 2 {
                match compare(case, schedule, *zone, &windows, from) {
                    Some(compared) => counts.compared += compared,
                    None => counts.other_rules += 1,
                }
            }
        }
        counts.answers += done;
    }
    counts
}

fn next(schedule: &Schedule, after: Instant) -> Slot {
    let slot = schedule.next_slot(after).expect("there is no calendar that could end");
    slot.expect("there is always a next one")
}

/// Follows a schedule for a while, and says how many answers that took.
fn chain(case: &Case, schedule: &Schedule, zone: Tz, from: Instant, random: &mut Rng) -> usize {
    let told = |slot: Slot, last: Instant| format!("`{}` {zone} after {last}: {slot:?}", case.text);
    let mut last = from;
    let mut before: Option<Slot> = None;
    let mut answers = 0;
    for place in 0..CHAIN {
        let slot = next(schedule, last);
        answers += 1;
        assert!(slot.at > last, "{}", told(slot, last));
        assert!((case.matches)(slot.wall), "{}", told(slot, last));
        is_placed_by_the_rule(case, zone, slot);
        // Whoever asks from between two slots is told the second.
        if place % 3 == 0 {
            let gap = (slot.at - last).num_milliseconds();
            let asked = last + TimeDelta::milliseconds(random.i64(0..gap));
            assert_eq!(next(schedule, asked), slot, "{}", told(slot, asked));
            answers += 1;
        }
        if let Some(before) = before {
            follows(case, zone, before, slot);
        }
        (last, before) = (slot.at, Some(slot));
    }
    answers
}

/// A slot is at its wall time; a fixed one at the first of two, or where the clocks land that jump over it.
fn is_placed_by_the_rule(case: &Case, zone: Tz, slot: Slot) {
    let told = || format!("`{}` {zone} {slot:?}", case.text);
    match zone.from_local_datetime(&slot.wall) {
        LocalResult::Single(only) => assert_eq!(only, slot.at, "{}", told()),
        LocalResult::Ambiguous(first, second) if case.interval => {
            assert!(first == slot.at || second == slot.at, "{}", told());
        }
        LocalResult::Ambiguous(first, _) => assert_eq!(first, slot.at, "{}", told()),
        LocalResult::None => {
            assert!(!case.interval, "{}", told());
            let just_before = slot.at - TimeDelta::seconds(1);
            assert!(wall(zone, just_before) < slot.wall, "{}", told());
            assert!(wall(zone, slot.at) > slot.wall, "{}", told());
        }
    }
}

/// What must be true of two slots in a row.
fn follows(case: &Case, zone: Tz, before: Slot, slot: Slot) {
    let told = || format!("`{}` {zone} {before:?} {slot:?}", case.text);
    match case.text {
        // Once on each day of the calendar, whatever the clocks do.
        "30 2 * * *" | "30 1 * * *" | "0 0 * * *" => {
            let expected = before.wall.date().succ_opt();
            // Midnight of a day that does not exist is midnight of the next.
            let merged = expected == Some(wall(zone, before.at).date());
            let expected = if merged {
                expected.and_then(|day| day.succ_opt())
            } else {
                expected
            };
            let both = merged && Some(slot.wall.date()) == before.wall.date().succ_opt();
            assert!(both || Some(slot.wall.date()) == expected, "{}", told());
        }
        "0 18 * * Mon-Fri" => {
            let days = if before.wall.weekday() == chrono::Weekday::Fri {
                3
            } else {
                1
            };
            assert_eq!(slot.wall - before.wall, TimeDelta::days(days), "{}", told());
        }
        "*/15 * * * *" => {
            let moved = offset(zone, slot.at) - offset(zone, before.at);
            // Clocks move by quarters of an hour nearly everywhere; then quarters of an hour really pass.
            if moved % 900 == 0 {
                assert_eq!(slot.at - before.at, TimeDelta::minutes(15), "{}", told());
            }
        }
        _ => {}
    }
}

/// Holds two days of slots against a watcher of the wall clock.
fn watch(case: &Case, schedule: &Schedule, zone: Tz, from: Instant) -> usize {
    let from = DateTime::from_timestamp(from.timestamp().div_euclid(60) * 60, 0).expect("in range");
    // Wall times of before 2000 have seconds in some zones; a watcher by the minute would not see them.
    if offset(zone, from) % 60 != 0 {
        return 0;
    }
    let to = from + TimeDelta::days(2);
    let expected = walk(case, zone, from, to);
    let slots = schedule.slots_after(from - TimeDelta::seconds(1));
    let found: BTreeSet<Instant> = slots.take_while(|slot| *slot < to).collect();
    let differs: Vec<_> = found.symmetric_difference(&expected).take(3).collect();
    assert!(differs.is_empty(), "`{}` {zone} from {from}: {differs:?}", case.text);
    found.len().max(1)
}

/// Cases whose difference from the other program can be told from one of its answers: one fixed time a day, or an
/// interval. The text is its own.
fn as_others_write_it(case: &Case) -> Option<&'static str> {
    match case.text {
        "30 2 * * *" => Some("0 30 2 * * *"),
        "30 1 * * *" => Some("0 30 1 * * *"),
        "0 0 * * *" => Some("0 0 0 * * *"),
        "0 18 * * Mon-Fri" => Some("0 0 18 * * Mon-Fri"),
        "15 2 * * 6-7" => Some("0 15 2 * * Sat,Sun"),
        "*/15 * * * *" => Some("0 */15 * * * *"),
        "5 * * * *" => Some("0 5 * * * *"),
        _ => None,
    }
}

/// Holds slots against those of another program, after the differences of policy are taken out: what falls into a
/// gap it runs as much later as the gap is long, and a fixed time that comes twice it runs the second time. Where the
/// clocks change at midnight or within an hour it loses what is around, and second passes of an interval it runs in some zones only:
/// there the watcher of the wall clock judges alone. `None` if it cannot be asked, or if its database of zones does not
/// know the same offsets.
fn compare(case: &Case, schedule: &Schedule, zone: Tz, windows: &[Instant], from: Instant) -> Option<usize> {
    let Some(text) = as_others_write_it(case) else {
        return Some(0);
    };
    let theirs = jiff::tz::TimeZoneDatabase::bundled().get(zone.name()).ok()?;
    let same = |instant: Instant| {
        let timestamp = jiff::Timestamp::from_second(instant.timestamp()).expect("in range");
        theirs.to_offset(timestamp).seconds() == offset(zone, instant)
    };
    let days = if case.interval { 3 } else { 8 };
    let is_unusual = |change: &Instant| {
        let (before, after) = (wall(zone, *change - TimeDelta::seconds(1)), wall(zone, *change));
        let hours = [before.hour(), after.hour()];
        before.date() != after.date()
            || hours.contains(&0)
            || hours.contains(&23)
            || [before.minute(), after.minute()] != [59, 0]
    };
    let near = |change: &&Instant| (**change - from).abs() < TimeDelta::days(days + 3);
    if windows.iter().filter(near).any(is_unusual) {
        return None;
    }
    if !(-12..=4 * (days + 4)).all(|quarter| same(from + TimeDelta::hours(6 * quarter))) {
        return None;
    }
    let other: jiff_cron::Schedule = text.parse().expect("an expression");
    let start = jiff::Timestamp::from_second((from - TimeDelta::days(2)).timestamp()).expect("in range");
    let end = from + TimeDelta::days(days);
    let mut expected = BTreeSet::new();
    let mut got_on = false;
    // More than it can name in that time.
    for fire in other.after(start.to_zoned(theirs.clone())).take(2_000) {
        let fire = DateTime::from_timestamp(fire.timestamp().as_second(), 0).expect("in range");
        if fire > end + TimeDelta::days(2) {
            got_on = true;
            break;
        }
        expected.extend(by_our_policy(case, zone, windows, fire));
    }
    if !got_on {
        return None;
    }
    let told = |fire: &Instant| *fire > from && *fire < end && !is_second_pass(zone, *fire);
    let expected: Vec<Instant> = expected.into_iter().filter(told).collect();
    let slots = schedule.slots_after(from).take_while(|slot| *slot < end);
    let found: Vec<Instant> = slots.filter(told).collect();
    let parts = std::iter::zip(&found, &expected).find(|(ours, theirs)| ours != theirs);
    assert_eq!(parts, None, "`{}` {zone} from {from}: ours, theirs", case.text);
    assert_eq!(found.len(), expected.len(), "`{}` {zone} from {from}", case.text);
    Some(found.len())
}

/// When we run what another program runs then, if we do.
fn by_our_policy(case: &Case, zone: Tz, windows: &[Instant], fire: Instant) -> Option<Instant> {
    let shown: NaiveDateTime = wall(zone, fire);
    if !(case.matches)(shown) {
        if case.interval {
            return None;
        }
        // Shifted out of a gap: it lands where the gap ends, less than the length of the gap before.
        let gaps = windows
            .iter()
            .filter(|change| **change <= fire && fire - **change <= TimeDelta::days(1));
        return gaps.max().copied();
    }
    match zone.from_local_datetime(&shown) {
        LocalResult::Ambiguous(first, _) if !case.interval => Some(first.to_utc()),
        _ => Some(fire),
    }
}

/// Whether the clocks show this time for the second time.
fn is_second_pass(zone: Tz, fire: Instant) -> bool {
    let shown = wall(zone, fire);
    matches!(zone.from_local_datetime(&shown), LocalResult::Ambiguous(_, second) if second == fire)
}
