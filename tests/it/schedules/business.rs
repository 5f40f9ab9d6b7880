//! Which days a schedule has: words for days, business days, closed days that move, cut-offs.

use std::collections::BTreeSet;

use bursar::base::clock::Instant;
use bursar::model::calendar::{AfterCutOff, Business, Calendars, CutOff, Dated, DayChoice, Format, Roll};
use bursar::model::value::{parse_time, time_text};
use bursar::model::workflow::{CatchUp, CronSpec};
use bursar::trigger::outlook::{Horizon, horizon};
use bursar::trigger::schedule::{Schedule, ScheduleError, Standing};
use bursar::trigger::slots::{Due, due_slots};
use chrono::{Datelike as _, Days, NaiveDate, NaiveTime, TimeDelta, Weekday};

fn at(text: &str) -> Instant {
    parse_time(text).expect("an instant")
}

fn spec(schedule: &str, calendar: &str, days: DayChoice) -> CronSpec {
    CronSpec {
        schedule: schedule.to_owned(),
        timezone: "Europe/Berlin".to_owned(),
        catch_up_hours: 24,
        overlap: bursar::model::concurrency::Overlap::Skip,
        catch_up: CatchUp::Latest,
        jitter: None,
        pause_after_failures: 0,
        business: Some(Business {
            calendar: Calendars::default().find(calendar).expect("a calendar"),
            days,
            cut_off: None,
        }),
    }
}

fn rolled(schedule: &str, calendar: &str, roll: Roll) -> Schedule {
    Schedule::of(&spec(schedule, calendar, DayChoice::Named(roll)))
        .unwrap_or_else(|error| panic!("{schedule}: {error}"))
}

/// The days of the next slots, without the year.
fn next_days(schedule: &Schedule, after: &str, count: usize) -> String {
    let slots = schedule.slots_after(at(after)).take(count);
    let days: Vec<String> = slots
        .map(|slot| schedule.local(slot).format("%m-%d").to_string())
        .collect();
    days.join(" ")
}

#[test]
fn words_name_the_days_they_say() {
    let check = |text: &str, expected: &str| {
        let schedule = Schedule::parse(text, "Europe/Berlin").unwrap_or_else(|error| panic!("{text}: {error}"));
        let count = expected.split(' ').count();
        assert_eq!(next_days(&schedule, "2026-12-31T23:30:00Z", count), expected, "{text}");
    };
    // 2027: January begins on a Friday, May and August end on a weekend.
    check("0 9 L * *", "01-31 02-28 03-31 04-30 05-31 06-30");
    check("0 9 L-3 * *", "01-28 02-25 03-28 04-27");
    check(
        "0 9 LW * *",
        "01-29 02-26 03-31 04-30 05-31 06-30 07-30 08-31 09-30 10-29",
    );
    check("0 9 L-30 * *", "01-01 03-01 05-01 07-01");
    check("0 9 15W * *", "01-15 02-15 03-15 04-15 05-14 06-15 07-15 08-16");
    // The first is a Saturday in May, the last a Sunday in January: they stay in their months.
    check("0 9 1W 5 *", "05-03 05-01");
    check("0 9 31W 1,2 *", "01-29 01-31 01-31");
    check("0 9 30W 4,5 *", "04-30 05-31");
    check("0 9 * * Fri#1", "01-01 02-05 03-05 04-02");
    check("0 9 * * Fri#5", "01-29 04-30 07-30 10-29 12-31");
    check("0 9 * * FriL", "01-29 02-26 03-26 04-30");
    check("0 9 * * Mon#1,FriL", "01-04 01-29 02-01 02-26");
    check("0 9 L,1 * *", "01-01 01-31 02-01 02-28");
    check("0 9 L 2 *", "02-28 02-29 02-28");
    check("0 0 9 1 * * 2027", "01-01 02-01 03-01");
    // The times of the matcher on a day of ours, at both ends of the day.
    check("0,59 0,23 L * *", "01-31 01-31 01-31 01-31 02-28");
}

#[test]
fn a_year_comes_and_goes() {
    let schedule = Schedule::parse("0 0 9 1 6 * 2027,2040", "UTC").expect("a schedule");
    let slots: Vec<Instant> = schedule.slots_after(at("2020-01-01T00:00:00Z")).collect();
    assert_eq!(slots, [at("2027-06-01T09:00:00Z"), at("2040-06-01T09:00:00Z")]);
    assert!(Schedule::parse("0 0 9 30 2 * 2027", "UTC").is_err());
    assert!(Schedule::parse("0 0 9 29 2 * 2027", "UTC").is_err());
    assert!(Schedule::parse("0 0 9 29 2 * 2028", "UTC").is_ok());
}

#[test]
fn closed_days_go_where_the_convention_says() {
    let check = |text: &str, calendar: &str, roll: Roll, expected: &str| {
        let schedule = rolled(text, calendar, roll);
        let count = expected.split(' ').count();
        assert_eq!(
            next_days(&schedule, "2026-12-31T23:30:00Z", count),
            expected,
            "{text} {calendar} {roll:?}"
        );
    };
    let (skip, next, previous, modified) = (Roll::Skip, Roll::Next, Roll::Previous, Roll::ModifiedFollowing);
    check("0 18 * * *", "TARGET2", skip, "01-04 01-05 01-06 01-07 01-08 01-11");
    // Every day moves to Monday, Monday included, and makes one slot there.
    check("0 18 * * *", "TARGET2", next, "01-04 01-05 01-06 01-07 01-08 01-11");
    check(
        "0 18 * * Fri",
        "TARGET2",
        skip,
        "01-08 01-15 01-22 01-29 02-05 02-12 02-19 02-26 03-05 03-12 03-19 04-02",
    );
    check("0 18 26,27,28,29 3 *", "TARGET2", next, "03-30 03-27 03-28 03-29");
    check("0 18 26,27,28,29 3 *", "TARGET2", previous, "03-25 03-24");
    check(
        "0 18 15 * *",
        "TARGET2",
        next,
        "01-15 02-15 03-15 04-15 05-17 06-15 07-15 08-16",
    );
    check(
        "0 18 15 * *",
        "TARGET2",
        previous,
        "01-15 02-15 03-15 04-15 05-14 06-15 07-15 08-13",
    );
    check(
        "0 18 L * *",
        "TARGET2",
        modified,
        "01-29 02-26 03-31 04-30 05-31 06-30 07-30 08-31",
    );
    check(
        "0 18 L * *",
        "TARGET2",
        next,
        "02-01 03-01 03-31 04-30 05-31 06-30 08-02 08-31",
    );
    check("0 18 1 * *", "TARGET2", modified, "01-04 02-01 03-01 04-01 05-03 06-01");
    // Thanksgiving and Labour Day: open only when both are.
    check("0 18 25 11 *", "TARGET2+US-FED", next, "11-26");
    check("0 18 1 5 *", "US-FED+TARGET2", previous, "04-30");
    // New Year's Day goes back into the year before.
    check("0 18 1 1 *", "TARGET2", previous, "12-31 12-29 12-31");
}

#[test]
fn business_days_of_the_month_are_counted_from_both_ends() {
    let check = |text: &str, numbers: &[i64], expected: &str| {
        let schedule = Schedule::of(&spec(text, "TARGET2", DayChoice::OfMonth(numbers.to_vec()))).expect(text);
        let count = expected.split(' ').count();
        assert_eq!(
            next_days(&schedule, "2026-12-31T23:30:00Z", count),
            expected,
            "{text} {numbers:?}"
        );
    };
    check("0 9 * * *", &[1], "01-04 02-01 03-01 04-01 05-03 06-01");
    check("0 9 * * *", &[-1], "01-29 02-26 03-31 04-30 05-31 06-30");
    check("0 9 * * *", &[1, -1], "01-04 01-29 02-01 02-26");
    check("0 9 * 3,6,9,12 *", &[-2], "03-30 06-29 09-29 12-30");
    check("0 9 * * *", &[23], "12-31 03-31 08-31 08-31 10-31");
    let both = Schedule::of(&spec("0 9 1 * *", "TARGET2", DayChoice::OfMonth(vec![1])));
    assert_eq!(both.expect_err("twice"), ScheduleError::DaysTwice);
}

/// Each rolled set of days is the set of days its own rule makes of the days that are named, and no more.
#[test]
fn the_days_of_a_schedule_are_the_days_named_each_moved() {
    type Named = fn(NaiveDate) -> bool;
    let cases: [(&str, Named); 7] = [
        ("0 18 * * *", |_| true),
        ("0 18 * * Sat,Sun", |day| {
            matches!(day.weekday(), Weekday::Sat | Weekday::Sun)
        }),
        ("0 18 15 * *", |day| day.day() == 15),
        ("0 18 1,31 * *", |day| [1, 31].contains(&day.day())),
        ("0 18 L * *", |day| day.succ_opt().is_some_and(|next| next.day() == 1)),
        ("0 18 * 4,12 Fri", |day| {
            [4, 12].contains(&day.month()) && day.weekday() == Weekday::Fri
        }),
        ("0 18 * * Mon#1", |day| day.weekday() == Weekday::Mon && day.day() <= 7),
    ];
    let (from, until) = (
        NaiveDate::from_ymd_opt(2021, 1, 10),
        NaiveDate::from_ymd_opt(2029, 1, 10),
    );
    let (from, until) = (from.expect("a date"), until.expect("a date"));
    let mut slots = 0;
    for calendar_name in ["TARGET2", "US-FED", "UK", "TARGET2+US-FED+UK", "WEEKDAYS"] {
        let calendar = Calendars::default().find(calendar_name).expect("a calendar");
        for (text, named) in cases {
            for (_, roll) in Roll::ALL {
                let never = text.contains("Sat,Sun") && roll == Roll::Skip;
                if never {
                    let refused = Schedule::of(&spec(text, calendar_name, DayChoice::Named(roll))).expect_err(text);
                    assert!(
                        refused
                            .to_string()
                            .contains(&format!("and is `{calendar_name}` open on it?")),
                        "{refused}"
                    );
                    continue;
                }
                let before = from.checked_sub_days(Days::new(20)).expect("a date");
                let after = until.checked_add_days(Days::new(20)).expect("a date");
                let named = before
                    .iter_days()
                    .take_while(|day| *day < after)
                    .filter(|day| named(*day));
                let moved = named.filter_map(|day| calendar.roll(day, roll).expect("covered"));
                let expected: BTreeSet<NaiveDate> = moved.filter(|day| (from..until).contains(day)).collect();
                let schedule = rolled(text, calendar_name, roll);
                let start = from.and_time(NaiveTime::MIN).and_utc();
                let found: Vec<NaiveDate> = schedule
                    .slots_after(start)
                    .map(|slot| schedule.local(slot).date_naive())
                    .take_while(|day| *day < until)
                    .collect();
                assert!(found.is_sorted(), "{text} {calendar_name} {roll:?}");
                assert_eq!(
                    found.iter().copied().collect::<BTreeSet<_>>(),
                    expected,
                    "{text} {calendar_name} {roll:?}"
                );
                assert_eq!(
                    found.len(),
                    expected.len(),
                    "two slots on one day: {text} {calendar_name} {roll:?}"
                );
                slots += found.len();
            }
        }
    }
    assert!(slots > 50_000, "only {slots}");
}

#[test]
fn what_was_moved_or_left_out_is_known_with_its_reason() {
    let moved = |schedule: &Schedule, after: &str| {
        let slot = schedule.next_slot(at(after)).expect("covered").expect("a slot");
        schedule
            .moved(slot)
            .map(|moved| format!("{} {}", moved.from, moved.because))
    };
    let fridays = rolled("0 18 * * Fri", "TARGET2", Roll::Next);
    assert_eq!(
        moved(&fridays, "2027-03-20T00:00:00Z").as_deref(),
        Some("2027-03-26 Good Friday (TARGET2)")
    );
    assert_eq!(moved(&fridays, "2027-03-10T00:00:00Z"), None);
    let daily = rolled("0 18 * * *", "TARGET2", Roll::Next);
    assert_eq!(
        moved(&daily, "2027-03-26T00:00:00Z"),
        None,
        "the day has a slot of its own"
    );
    let back = rolled("0 18 28 3 *", "TARGET2", Roll::Previous);
    assert_eq!(
        moved(&back, "2027-01-01T00:00:00Z").as_deref(),
        Some("2027-03-28 Sunday (TARGET2)")
    );

    let skipping = rolled("0 18 * * Mon-Fri", "TARGET2", Roll::Skip);
    let date = |text: &str| text.parse::<NaiveDate>().expect("a date");
    let left: Vec<String> = skipping
        .left_out(date("2027-03-25"), date("2027-03-30"))
        .iter()
        .map(|left| format!("{} {}", left.date, left.because))
        .collect();
    assert_eq!(
        left,
        ["2027-03-26 Good Friday (TARGET2)", "2027-03-29 Easter Monday (TARGET2)"]
    );
    assert!(daily.left_out(date("2027-03-25"), date("2027-03-30")).is_empty());
}

/// A calendar from a file, with TARGET2.
fn dated(until: &str, roll: Roll, schedule: &str) -> Result<Schedule, ScheduleError> {
    let text = format!(
        "name = \"house\"\ncoverage_from = 2026-01-01\ncoverage_until = {until}\nholidays = [{{ date = 2026-01-24, name = \"Feast\" }}]\n"
    );
    let mut calendars = Calendars::default();
    calendars.add(Dated::parse(Format::Toml, "f", "house", &text).expect("a calendar"));
    let mut spec = spec(schedule, "TARGET2", DayChoice::Named(roll));
    if let Some(business) = &mut spec.business {
        business.calendar = calendars.find("house+TARGET2").expect("known");
    }
    Schedule::of(&spec)
}

#[test]
fn beyond_its_calendar_a_schedule_has_no_slots_and_says_so() {
    let check = |roll: Roll, schedule: &str, expected: &str, last: &str| {
        let schedule = dated("2026-12-31", roll, schedule).expect("a schedule");
        let slots: Vec<Instant> = schedule.slots_after(at("2026-12-21T00:00:00Z")).collect();
        let days: Vec<String> = slots
            .iter()
            .map(|slot| schedule.local(*slot).format("%m-%d").to_string())
            .collect();
        assert_eq!(days.join(" "), expected, "{roll:?}");
        let end = schedule
            .next_slot(*slots.last().unwrap_or(&at("2026-12-21T00:00:00Z")))
            .expect_err("the end");
        assert_eq!(end.date.to_string(), last, "{roll:?}");
        assert_eq!(end.calendar, "house");
    };
    check(
        Roll::Skip,
        "0 9 * * *",
        "12-21 12-22 12-23 12-24 12-28 12-29 12-30 12-31",
        "2027-01-01",
    );
    check(Roll::Next, "0 9 26 * *", "12-28", "2027-01-01");
    // Whether the first of January moves back to the last of December is not known.
    check(Roll::Previous, "0 9 1 * *", "", "2027-01-01");
    // Before it begins nothing is known either.
    let early = dated("2026-12-31", Roll::Skip, "0 9 * * *").expect("a schedule");
    assert!(early.next_slot(at("2025-06-01T00:00:00Z")).is_err());
    // Less than a year of coverage is no fault of the expression.
    assert!(dated("2026-01-31", Roll::Skip, "0 9 24 12 *").is_ok());
}

#[test]
fn the_end_of_a_calendar_is_seen_before_it_comes() {
    let schedule = dated("2026-12-31", Roll::Skip, "0 9 * * *").expect("a schedule");
    let check = |now: &str, expected: &str| {
        let found = match horizon(&schedule, at(now), 5) {
            Horizon::Far => "far",
            Horizon::Near(_) => "near",
            Horizon::Over(_) => "over",
        };
        assert_eq!(found, expected, "{now}");
    };
    check("2026-09-30T00:00:00Z", "far");
    check("2026-10-02T23:00:00Z", "near");
    check("2026-12-23T00:00:00Z", "near");
    check("2026-12-23T23:00:00Z", "near");
    check("2026-12-24T23:00:00Z", "over");
    check("2027-02-01T00:00:00Z", "over");
    let monthly = dated("2026-12-31", Roll::Skip, "0 9 1 * *").expect("a schedule");
    assert!(matches!(
        horizon(&monthly, at("2026-09-01T12:00:00Z"), 5),
        Horizon::Over(_)
    ));
    let built_in = rolled("0 9 * * *", "TARGET2", Roll::Skip);
    assert_eq!(horizon(&built_in, at("2026-12-31T00:00:00Z"), 5), Horizon::Far);
}

fn with_cut_off(schedule: &str, after: AfterCutOff) -> Result<Schedule, ScheduleError> {
    let mut spec = spec(schedule, "TARGET2", DayChoice::Named(Roll::Skip));
    if let Some(business) = &mut spec.business {
        let time = NaiveTime::from_hms_opt(15, 30, 0).expect("a time");
        business.cut_off = Some(CutOff { time, after });
    }
    Schedule::of(&spec)
}

#[test]
fn a_slot_that_missed_its_cut_off_waits_for_the_next_business_day_or_does_not_run() {
    let check = |schedule: &str, after: AfterCutOff, last: &str, now: &str, expected: &str| {
        let schedule = with_cut_off(schedule, after).expect("a schedule");
        let Due { run, deferred } = due_slots(&schedule, at(last), at(now), CatchUp::Latest, TimeDelta::hours(24));
        let run: Vec<String> = run.iter().map(|slot| format!("run {}", time_text(slot.at))).collect();
        let later = deferred.map(|deferred| format!("{} at {}", time_text(deferred.slot.at), time_text(deferred.at)));
        let told: Vec<String> = run.into_iter().chain(later).collect();
        assert_eq!(told.join(", "), expected, "last {last} now {now}");
    };
    let (next, refuse) = (AfterCutOff::NextBusinessDay, AfterCutOff::Refuse);
    // The 15th of April 2027 is a Thursday; 15:00 in Berlin is 13:00 UTC.
    let (monthly, slot) = ("0 15 15 * *", "2027-04-15T13:00:00Z");
    let before = "2027-03-15T14:00:00Z";
    for after in [next, refuse] {
        check(monthly, after, before, "2027-04-15T13:00:00Z", &format!("run {slot}"));
        check(monthly, after, before, "2027-04-15T13:29:59Z", &format!("run {slot}"));
        check(monthly, after, before, "2027-04-15T12:59:59Z", "");
    }
    // The first moment that is too late.
    check(monthly, refuse, before, "2027-04-15T13:30:00Z", "");
    check(
        monthly,
        next,
        before,
        "2027-04-15T13:30:00Z",
        &format!("{slot} at 2027-04-16T13:00:00Z"),
    );
    check(
        monthly,
        next,
        before,
        "2027-04-16T12:59:59Z",
        &format!("{slot} at 2027-04-16T13:00:00Z"),
    );
    check(monthly, next, before, "2027-04-16T13:00:00Z", &format!("run {slot}"));
    check(monthly, next, before, "2027-04-16T13:29:00Z", &format!("run {slot}"));
    // Missed there too.
    check(monthly, next, before, "2027-04-16T13:30:00Z", "");
    // It ran already.
    check(monthly, next, slot, "2027-04-16T13:10:00Z", "");
    // Over Easter 2027: Thursday the 25th, Tuesday the 30th.
    check(
        "0 15 25 * *",
        next,
        before,
        "2027-03-25T20:00:00Z",
        "2027-03-25T14:00:00Z at 2027-03-30T13:00:00Z",
    );
    check(
        "0 15 25 * *",
        next,
        before,
        "2027-03-30T13:20:00Z",
        "run 2027-03-25T14:00:00Z",
    );
    // The next day has a slot of its own then.
    check("0 15 * * *", next, before, "2027-04-15T20:00:00Z", "");
    check(
        "0 15 * * *",
        next,
        before,
        "2027-04-16T13:10:00Z",
        "run 2027-04-16T13:00:00Z",
    );
    // Within the minute of its time, and too late all the same.
    check("30 29 15 15 * *", refuse, before, "2027-04-15T13:30:10Z", "");
    check(
        "30 29 15 15 * *",
        next,
        before,
        "2027-04-15T13:30:10Z",
        "2027-04-15T13:29:30Z at 2027-04-16T13:29:30Z",
    );

    let late = with_cut_off("0 9,16 * * *", refuse).expect_err("too late");
    assert_eq!(late.key(), "cut_off");
    assert!(
        late.to_string()
            .contains("names 16:00:00, which is not before the cut-off 15:30"),
        "{late}"
    );
    assert!(with_cut_off("30 15 * * *", refuse).is_err());
    assert!(with_cut_off("29 15 * * *", refuse).is_ok());
}

#[test]
fn a_cut_off_is_by_the_clocks_of_the_zone() {
    let schedule = with_cut_off("0 15 * * *", AfterCutOff::Refuse).expect("a schedule");
    for (from, seconds) in [("2027-01-15T00:00:00Z", 30 * 60), ("2027-07-15T00:00:00Z", 30 * 60)] {
        let slot = schedule.next_slot(at(from)).expect("covered").expect("a slot");
        let end = slot.at + TimeDelta::seconds(seconds);
        assert_eq!(schedule.standing(slot, end - TimeDelta::seconds(1)), Standing::Runs);
        assert_eq!(schedule.standing(slot, end), Standing::Refused);
    }
}

#[test]
fn a_schedule_is_told_in_words() {
    let check = |schedule: &Schedule, expected: &str| assert_eq!(schedule.words(), expected);
    let plain = |text: &str| Schedule::parse(text, "UTC").unwrap_or_else(|error| panic!("{text}: {error}"));
    check(&plain("0 18 * * Mon-Fri"), "at 18:00 Monday to Friday, UTC");
    check(&plain("0 18 * * *"), "at 18:00 every day, UTC");
    check(
        &plain("30 7,19 1,15 * *"),
        "at 07:30 and 19:30 on day 1 and day 15 of each month, UTC",
    );
    check(&plain("*/15 * * * *"), "every 15 minutes every day, UTC");
    check(
        &plain("*/15 8-17 * * Mon"),
        "at 40 times of the day from 08:00:00 to 17:45:00 on Monday, UTC",
    );
    check(&plain("* * * * * *"), "every second every day, UTC");
    check(&plain("0 */2 * 6,7 *"), "every 2 hours every day in June and July, UTC");
    check(
        &plain("0 9 L-3,LW 6 *"),
        "at 09:00 on the day 3 days before the last and the last Monday to Friday of June, UTC",
    );
    check(
        &plain("0 9 * * Fri#1,SunL"),
        "at 09:00 on the first Friday of the month and the last Sunday of the month, UTC",
    );
    check(&plain("0 0 9 1 1 * 2030"), "at 09:00 on day 1 of January 2030, UTC");
    check(
        &rolled("0 18 * * Fri", "TARGET2", Roll::Next),
        "at 18:00 on Friday, Europe/Berlin; days on which TARGET2 is closed move to the next business day",
    );
    let nth = Schedule::of(&spec("0 9 * 3 *", "UK", DayChoice::OfMonth(vec![1, -2, -1, 12]))).expect("a schedule");
    check(
        &nth,
        "at 09:00 on the first business day, second last business day, last business day and 12th business day of March (UK), Europe/Berlin",
    );
    let cut = with_cut_off("0 15 * * *", AfterCutOff::NextBusinessDay).expect("a schedule");
    check(
        &cut,
        "at 15:00 every day, Europe/Berlin; days on which TARGET2 is closed are left out; what has not run by 15:30 runs on the next business day",
    );
}
