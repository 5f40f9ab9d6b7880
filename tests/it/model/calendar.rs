//! Calendars: the rules against the lists that were published, business-day arithmetic, calendars from files.

use bursar::model::calendar::{BuiltIn, Calendar, Calendars, Dated, Format, Roll, parse_date};
use bursar::model::diagnostic::Diagnostic;
use chrono::{Datelike as _, Days, NaiveDate, Weekday};

fn day(text: &str) -> NaiveDate {
    parse_date(text).unwrap_or_else(|| panic!("{text} is no date"))
}

fn find(name: &str) -> Calendar {
    Calendars::default()
        .find(name)
        .unwrap_or_else(|error| panic!("{error}"))
}

/// The holidays of a year that are not on a weekend, as `5-1`.
fn weekday_holidays(calendar: &Calendar, year: i32) -> Vec<String> {
    let first = NaiveDate::from_ymd_opt(year, 1, 1).expect("a date");
    first
        .iter_days()
        .take_while(|date| date.year() == year)
        .filter(|date| !matches!(date.weekday(), Weekday::Sat | Weekday::Sun))
        .filter(|date| !calendar.is_business_day(*date).expect("covered"))
        .map(|date| format!("{}-{}", date.month(), date.day()))
        .collect()
}

fn check_years(name: &str, published: &[(i32, &str)]) {
    let calendar = find(name);
    for (year, dates) in published {
        let expected: Vec<&str> = dates.split_whitespace().collect();
        assert_eq!(weekday_holidays(&calendar, *year), expected, "{name} {year}");
    }
}

#[test]
fn target2_closes_on_the_days_the_ecb_published() {
    // European Central Bank, "TARGET closing days": ecb.europa.eu/paym/target/target2/profuse/calendar.
    // Those on a weekend, which are published too and move to no other day, are left out.
    check_years(
        "TARGET2",
        &[
            (2002, "1-1 3-29 4-1 5-1 12-25 12-26"),
            (2008, "1-1 3-21 3-24 5-1 12-25 12-26"),
            (2011, "4-22 4-25 12-26"),
            (2016, "1-1 3-25 3-28 12-26"),
            (2020, "1-1 4-10 4-13 5-1 12-25"),
            (2021, "1-1 4-2 4-5"),
            (2022, "4-15 4-18 12-26"),
            (2023, "4-7 4-10 5-1 12-25 12-26"),
            (2024, "1-1 3-29 4-1 5-1 12-25 12-26"),
            (2025, "1-1 4-18 4-21 5-1 12-25 12-26"),
            (2026, "1-1 4-3 4-6 5-1 12-25"),
            (2027, "1-1 3-26 3-29"),
            (2028, "4-14 4-17 5-1 12-25 12-26"),
        ],
    );
}

#[test]
fn the_federal_reserve_closes_on_the_days_it_published() {
    // Board of Governors, "Holidays Observed by the Federal Reserve System": federalreserve.gov/aboutthefed/k8.htm.
    // "For holidays falling on Saturday, Federal Reserve Banks and Branches will be open the preceding Friday. For
    // holidays falling on Sunday, all Federal Reserve offices will be closed the following Monday."
    check_years(
        "US-FED",
        &[
            (2020, "1-1 1-20 2-17 5-25 9-7 10-12 11-11 11-26 12-25"),
            (2021, "1-1 1-18 2-15 5-31 7-5 9-6 10-11 11-11 11-25"),
            (2022, "1-17 2-21 5-30 6-20 7-4 9-5 10-10 11-11 11-24 12-26"),
            (2023, "1-2 1-16 2-20 5-29 6-19 7-4 9-4 10-9 11-23 12-25"),
            (2024, "1-1 1-15 2-19 5-27 6-19 7-4 9-2 10-14 11-11 11-28 12-25"),
            (2025, "1-1 1-20 2-17 5-26 6-19 7-4 9-1 10-13 11-11 11-27 12-25"),
            (2026, "1-1 1-19 2-16 5-25 6-19 9-7 10-12 11-11 11-26 12-25"),
            (2027, "1-1 1-18 2-15 5-31 7-5 9-6 10-11 11-11 11-25"),
        ],
    );
    let fed = find("US-FED");
    // Saturday, Independence Day: the Friday before is a business day.
    assert!(fed.is_business_day(day("2026-07-03")).expect("covered"));
    // There was no Juneteenth.
    assert!(fed.is_business_day(day("2020-06-19")).expect("covered"));
}

#[test]
fn banks_in_england_close_on_the_days_that_were_published() {
    // gov.uk/bank-holidays, England and Wales; the years before 2018 from the archived pages of the same address.
    check_years(
        "UK",
        &[
            (2002, "1-1 3-29 4-1 5-6 6-3 6-4 8-26 12-25 12-26"),
            (2010, "1-1 4-2 4-5 5-3 5-31 8-30 12-27 12-28"),
            (2011, "1-3 4-22 4-25 4-29 5-2 5-30 8-29 12-26 12-27"),
            (2012, "1-2 4-6 4-9 5-7 6-4 6-5 8-27 12-25 12-26"),
            (2019, "1-1 4-19 4-22 5-6 5-27 8-26 12-25 12-26"),
            (2020, "1-1 4-10 4-13 5-8 5-25 8-31 12-25 12-28"),
            (2021, "1-1 4-2 4-5 5-3 5-31 8-30 12-27 12-28"),
            (2022, "1-3 4-15 4-18 5-2 6-2 6-3 8-29 9-19 12-26 12-27"),
            (2023, "1-2 4-7 4-10 5-1 5-8 5-29 8-28 12-25 12-26"),
            (2024, "1-1 3-29 4-1 5-6 5-27 8-26 12-25 12-26"),
            (2025, "1-1 4-18 4-21 5-5 5-26 8-25 12-25 12-26"),
            (2026, "1-1 4-3 4-6 5-4 5-25 8-31 12-25 12-28"),
            (2027, "1-1 3-26 3-29 5-3 5-31 8-30 12-27 12-28"),
            (2028, "1-3 4-14 4-17 5-1 5-29 8-28 12-25 12-26"),
        ],
    );
}

#[test]
fn a_holiday_says_its_name_and_a_weekend_its_day() {
    let check = |calendar: &str, date: &str, expected: &str| {
        let calendar = find(calendar);
        let closed = calendar.closed(day(date)).expect("covered");
        let told = closed.map_or_else(String::new, |closed| closed.to_string());
        assert_eq!(told, expected, "{date}");
    };
    check("TARGET2", "2027-03-26", "Good Friday (TARGET2)");
    check("TARGET2", "2026-11-21", "Saturday (TARGET2)");
    check("TARGET2", "2026-11-20", "");
    check("UK", "2026-12-28", "Boxing Day (substitute day) (UK)");
    check("US-FED", "2027-07-05", "Independence Day (US-FED)");
    // Joined: closed if one is, and the holiday is named before the weekend of the other.
    check("TARGET2+US-FED", "2026-11-26", "Thanksgiving Day (US-FED)");
    check("US-FED+TARGET2", "2026-05-01", "Labour Day (TARGET2)");
    check("WEEKDAYS+TARGET2", "2026-12-26", "Christmas Holiday (TARGET2)");
    check("TARGET2+US-FED", "2026-11-27", "");
}

#[test]
fn easter_is_on_the_sundays_that_were_published() {
    // United States Census Bureau, "Easter dates from 1600 to 2099": the earliest, the latest, and some between.
    for sunday in [
        "2000-04-23",
        "2008-03-23",
        "2011-04-24",
        "2019-04-21",
        "2026-04-05",
        "2035-03-25",
        "2038-04-25",
        "2049-04-18",
        "2076-04-19",
        "2099-04-12",
    ] {
        let monday = day(sunday).checked_add_days(Days::new(1)).expect("a date");
        let uk = find("UK");
        let closed = uk.closed(monday).expect("covered").expect("closed");
        assert_eq!(closed.what, "Easter Monday", "{sunday}");
    }
}

#[test]
fn business_days_are_counted_both_ways() {
    let check = |from: &str, count: i64, expected: &str| {
        let found = find("TARGET2").add_business_days(day(from), count).expect("covered");
        assert_eq!(found, day(expected), "{from} {count:+}");
    };
    check("2026-11-20", 0, "2026-11-20");
    check("2026-11-20", 1, "2026-11-23");
    check("2026-11-20", 2, "2026-11-24");
    check("2026-11-20", -1, "2026-11-19");
    // From a closed day.
    check("2026-11-21", 0, "2026-11-23");
    check("2026-11-21", 1, "2026-11-23");
    check("2026-11-21", -1, "2026-11-20");
    // Over Easter 2027: Thursday, then Tuesday.
    check("2027-03-25", 1, "2027-03-30");
    check("2027-03-30", -1, "2027-03-25");
    check("2026-12-24", 1, "2026-12-28");
    check("2026-01-02", 250, "2026-12-23");
    let far = find("TARGET2")
        .add_business_days(day("2026-11-20"), i64::MAX)
        .expect_err("beyond");
    assert!(far.to_string().contains("it covers 2002-01-01 to 2099-12-31"), "{far}");
    let far = find("TARGET2")
        .add_business_days(day("2026-11-20"), i64::MIN)
        .expect_err("beyond");
    assert!(far.to_string().contains("says nothing of 2001-12-31"), "{far}");
}

#[test]
fn a_closed_day_goes_where_the_convention_says() {
    let check = |date: &str, roll: Roll, expected: Option<&str>| {
        let found = find("TARGET2").roll(day(date), roll).expect("covered");
        assert_eq!(found, expected.map(day), "{date} {roll:?}");
    };
    for (_, roll) in Roll::ALL {
        check("2026-11-20", roll, Some("2026-11-20"));
    }
    check("2026-11-21", Roll::Skip, None);
    check("2026-11-21", Roll::Next, Some("2026-11-23"));
    check("2026-11-21", Roll::Previous, Some("2026-11-20"));
    check("2026-11-21", Roll::ModifiedFollowing, Some("2026-11-23"));
    // The last day of the month is a Saturday: the next business day would be in another month.
    check("2026-10-31", Roll::Next, Some("2026-11-02"));
    check("2026-10-31", Roll::ModifiedFollowing, Some("2026-10-30"));
    // Good Friday, and Easter Monday two days before the end of the month.
    check("2027-03-26", Roll::ModifiedFollowing, Some("2027-03-30"));
    check("2024-03-31", Roll::ModifiedFollowing, Some("2024-03-28"));
}

#[test]
fn the_nth_business_day_of_a_month_is_found_from_both_ends() {
    let check = |year: i32, month: u32, n: i64, expected: Option<&str>| {
        let found = find("TARGET2").business_day_of_month(year, month, n).expect("covered");
        assert_eq!(found, expected.map(day), "{year}-{month} {n}");
    };
    check(2027, 1, 1, Some("2027-01-04"));
    check(2026, 5, 1, Some("2026-05-04"));
    check(2026, 11, -1, Some("2026-11-30"));
    check(2026, 10, -1, Some("2026-10-30"));
    check(2026, 12, -3, Some("2026-12-29"));
    check(2026, 11, 21, Some("2026-11-30"));
    check(2026, 11, 22, None);
    check(2026, 11, 0, None);
}

/// Every answer follows from "is it a business day", whatever the day and the calendar.
#[test]
fn every_answer_agrees_with_a_walk_day_by_day() {
    for (name, built_in) in BuiltIn::ALL {
        assert_eq!(built_in.name(), name);
        let calendar = find(name);
        let open = |date: NaiveDate| calendar.is_business_day(date).expect("covered");
        for date in day("2019-12-20").iter_days().take(4_000) {
            let next = date.iter_days().find(|date| open(*date)).expect("one");
            let before = (0..40)
                .filter_map(|back| date.checked_sub_days(Days::new(back)))
                .find(|date| open(*date));
            assert_eq!(calendar.roll(date, Roll::Next), Ok(Some(next)), "{name} {date}");
            assert_eq!(calendar.roll(date, Roll::Previous), Ok(before), "{name} {date}");
            let third = calendar.add_business_days(date, 3).expect("covered");
            let between = date
                .iter_days()
                .skip(1)
                .take_while(|day| *day <= third)
                .filter(|day| open(*day));
            assert_eq!((between.count(), open(third)), (3, true), "{name} {date}");
            if !open(date) {
                continue;
            }
            assert_eq!(calendar.add_business_days(third, -3), Ok(date), "{name} {date}");
            let first = date.with_day(1).expect("a date");
            let number = first
                .iter_days()
                .take_while(|day| *day <= date)
                .filter(|day| open(*day))
                .count();
            let number = i64::try_from(number).expect("small");
            let found = calendar.business_day_of_month(date.year(), date.month(), number);
            assert_eq!(found, Ok(Some(date)), "{name} {date}");
        }
    }
}

#[test]
fn a_calendar_that_is_not_there_is_named_with_the_one_that_was_meant() {
    let mut calendars = Calendars::default();
    calendars.add_broken("office".to_owned());
    let check = |name: &str, expected: &str| {
        assert_eq!(calendars.find(name).expect_err(name).to_string(), expected);
    };
    check("TARGET", "there is no calendar `TARGET`: did you mean `TARGET2`?");
    check("target2", "there is no calendar `target2`: did you mean `TARGET2`?");
    check(
        "TARGET2+US_FED",
        "there is no calendar `US_FED`: did you mean `US-FED`?",
    );
    check("Frankfurt am Main", "there is no calendar `Frankfurt am Main`");
    check("TARGET2+", "there is no calendar ``");
    check("office", "calendar `office` cannot be used: its file is wrong");
    assert_eq!(
        calendars.find("TARGET2 + US-FED").expect("known").name(),
        "TARGET2+US-FED"
    );
}

const OFFICE: &str = "name = \"office\"\ncoverage_from = 2026-01-01\ncoverage_until = 2026-12-31\n\
    holidays = [\n  { date = 2026-06-24, name = \"Feast of the house\" },\n  { date = 2026-12-24, name = \"Christmas Eve\" },\n]\n";

fn read(format: Format, text: &str) -> Result<Calendar, Vec<Diagnostic>> {
    let dated = Dated::parse(format, "calendars/office", "office", text)?;
    let mut calendars = Calendars::default();
    calendars.add(dated);
    Ok(calendars.find("office+TARGET2").expect("known"))
}

#[test]
fn a_file_answers_for_the_days_it_covers_and_for_no_other() {
    let calendar = read(Format::Toml, OFFICE).expect("a calendar");
    assert_eq!(calendar.is_business_day(day("2026-12-24")), Ok(false));
    assert_eq!(calendar.is_business_day(day("2026-12-25")), Ok(false));
    assert_eq!(calendar.is_business_day(day("2026-12-23")), Ok(true));
    assert_eq!(calendar.is_business_day(day("2026-12-26")), Ok(false));
    assert_eq!(calendar.coverage(), (day("2026-01-01"), day("2026-12-31")));
    for outside in ["2025-12-31", "2027-01-01", "2027-01-04"] {
        let error = calendar.is_business_day(day(outside)).expect_err(outside).to_string();
        let expected = format!("calendar `office` says nothing of {outside}: it covers 2026-01-01 to 2026-12-31");
        assert_eq!(error, expected);
    }
    assert!(calendar.add_business_days(day("2026-12-30"), 2).is_err());
    assert!(calendar.roll(day("2026-12-24"), Roll::Next).is_ok());
    // Working weeks differ.
    let gulf = OFFICE.replace("holidays", "weekend = [\"Fri\", \"Sat\"]\nholidays");
    let gulf = Dated::parse(Format::Toml, "f", "office", &gulf).expect("a calendar");
    let mut calendars = Calendars::default();
    calendars.add(gulf);
    let gulf = calendars.find("office").expect("known");
    assert_eq!(gulf.is_business_day(day("2026-11-22")), Ok(true));
    assert_eq!(gulf.is_business_day(day("2026-11-20")), Ok(false));
}

#[test]
fn a_file_that_may_lose_a_holiday_is_refused() {
    let check = |text: &str, line: usize, message: &str| {
        let found = read(Format::Toml, text).expect_err(text);
        let told: Vec<String> = found.iter().map(|finding| finding.message.clone()).collect();
        let told_there = found
            .iter()
            .any(|finding| finding.message.contains(message) && finding.span.is_some_and(|span| span.line == line));
        assert!(
            told_there,
            "{text}\n{told:?} {:?}",
            found.first().and_then(|first| first.span)
        );
    };
    check(
        &OFFICE.replace("\"office\"", "\"Office\""),
        1,
        "not the name of the file",
    );
    check(&OFFICE.replace("2026-12-31", "2025-12-31"), 3, "ends before it begins");
    check(&OFFICE.replace("2026-12-31", "2026-12-31T00:00:00"), 3, "is a day");
    check(&OFFICE.replace("2026-06-24", "2027-06-24"), 5, "outside the coverage");
    check(&OFFICE.replace("2026-06-24", "2026-12-24"), 6, "listed twice");
    check(&OFFICE.replace("2026-06-24", "\"2026-06-24\""), 5, "");
    check(&OFFICE.replace("Christmas Eve", " "), 6, "has no name");
    check(&OFFICE.replace("holidays", "holiday"), 4, "unknown key `holiday`");
    check(
        &OFFICE.replace("holidays", "weekend = [\"Son\"]\nholidays"),
        4,
        "not a weekday",
    );
    let missing = read(Format::Toml, "name = \"office\"").expect_err("no coverage");
    assert_eq!(missing.len(), 3, "{missing:?}");
    let taken = Dated::parse(Format::Toml, "f", "target2", "").expect_err("taken");
    assert!(taken[0].message.contains("built-in"), "{taken:?}");
    assert!(Dated::parse(Format::Ics, "f", "a+b", "").is_err());
}

const ICS: &str = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//office//holidays//EN\r\nX-BURSAR-COVERAGE-FROM:20260101\r\n\
    BEGIN:VEVENT\r\nUID:1\r\nDTSTART;VALUE=DATE:20260624\r\nDTEND;VALUE=DATE:20260626\r\nSUMMARY:Feast\\, of the\r\n  house\r\n\
    BEGIN:VALARM\r\nDURATION:PT1H\r\nEND:VALARM\r\nEND:VEVENT\r\n\
    BEGIN:VEVENT\r\nUID:2\r\nDTSTART;VALUE=DATE:20261224\r\nSUMMARY:Christmas Eve\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n";

#[test]
fn an_icalendar_file_is_trusted_as_far_as_its_holidays_go() {
    let calendar = read(Format::Ics, ICS).expect("a calendar");
    assert_eq!(calendar.coverage(), (day("2026-01-01"), day("2026-12-24")));
    let first = calendar.closed(day("2026-06-25")).expect("covered").expect("closed");
    assert_eq!(first.to_string(), "Feast, of the house (office)");
    assert_eq!(calendar.is_business_day(day("2026-06-26")), Ok(true));
    assert!(calendar.is_business_day(day("2026-12-28")).is_err());
    let told = ICS.replace("X-BURSAR-COVERAGE-FROM:20260101", "X-BURSAR-COVERAGE-UNTIL:20261231");
    let calendar = read(Format::Ics, &told).expect("a calendar");
    assert_eq!(calendar.coverage(), (day("2026-06-24"), day("2026-12-31")));
    let cancelled = ICS.replace("UID:2", "STATUS:CANCELLED");
    assert_eq!(
        read(Format::Ics, &cancelled).expect("a calendar").coverage().1,
        day("2026-06-25")
    );
}

#[test]
fn an_icalendar_file_that_says_more_than_is_read_is_refused() {
    let check = |text: &str, line: usize, message: &str| {
        let found = read(Format::Ics, text).expect_err(text);
        let told = found
            .iter()
            .any(|finding| finding.message.contains(message) && finding.span.is_some_and(|span| span.line == line));
        assert!(told, "{message}: {found:?}");
    };
    check("", 1, "no holiday");
    check("hello", 1, "expected a line such as");
    check("VERSION:2.0\n", 1, "begins with BEGIN:VCALENDAR");
    check(&ICS.replace("UID:2", "RRULE:FREQ=YEARLY"), 16, "`RRULE` is not read");
    check(
        &ICS.replace("VALUE=DATE:20261224", "VALUE=DATE-TIME:20261224T000000Z"),
        17,
        "whole day",
    );
    check(&ICS.replace("20261224", "20261324"), 17, "not a whole day");
    check(
        &ICS.replace("DTSTART;VALUE=DATE:20261224", "X-A:1"),
        19,
        "has no DTSTART",
    );
    check(&ICS.replace("20260626", "20260624"), 14, "does not end");
    check(&ICS.replace("20260626", "20290624"), 14, "does not end");
    check(&ICS.replace("END:VCALENDAR", "X-A:1"), 20, "is it whole");
    check(&ICS.replace("END:VALARM", "END:VEVENT"), 13, "ends nothing");
    check(&ICS.replace("20260101", "20260701"), 1, "outside the coverage");
}
