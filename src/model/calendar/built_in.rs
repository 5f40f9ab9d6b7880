//! The calendars that are rules: TARGET2, the US Federal Reserve, the bank holidays of England and Wales.
//!
//! Each is checked against the published lists of several years. A day that a government proclaims is known only
//! once it stands here; who needs it sooner writes a file and joins it: `UK+OURS`.

use chrono::{Datelike as _, Days, NaiveDate, Weekday};

/// A calendar that is a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BuiltIn {
    /// The Eurosystem's payment system.
    Target2,
    /// Fedwire and the Reserve Banks.
    UsFed,
    /// Bank holidays in England and Wales.
    Uk,
    /// Monday to Friday, without holidays.
    Weekdays,
}

/// No rule is trusted further than this.
const UNTIL_YEAR: i32 = 2099;

impl BuiltIn {
    /// Every one with its name.
    pub const ALL: [(&'static str, Self); 4] = [
        ("TARGET2", Self::Target2),
        ("US-FED", Self::UsFed),
        ("UK", Self::Uk),
        ("WEEKDAYS", Self::Weekdays),
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(_, built_in)| *built_in == self)
            .map_or("", |(name, _)| name)
    }

    /// The years in which the rules written here hold.
    pub(super) fn coverage(self) -> (NaiveDate, NaiveDate) {
        let from = match self {
            // Before, TARGET had other days every year.
            Self::Target2 => 2002,
            // The first Martin Luther King Day.
            Self::UsFed => 1986,
            Self::Uk => 2000,
            Self::Weekdays => 1970,
        };
        (
            NaiveDate::from_ymd_opt(from, 1, 1).unwrap_or_default(),
            NaiveDate::from_ymd_opt(UNTIL_YEAR, 12, 31).unwrap_or_default(),
        )
    }

    /// The holiday of that name on this day.
    pub(super) fn holiday(self, date: NaiveDate) -> Option<&'static str> {
        match self {
            Self::Target2 => target2(date),
            Self::UsFed => us_fed(date),
            Self::Uk => uk(date),
            Self::Weekdays => None,
        }
    }
}

/// Easter Sunday of the Gregorian calendar, by the rule of Meeus, Jones and Butcher.
fn easter(year: i32) -> Option<NaiveDate> {
    let golden = year % 19;
    let (century, in_century) = (year / 100, year % 100);
    let corrected = (8 * century + 13) / 25;
    let epact = (19 * golden + century - century / 4 - corrected + 15) % 30;
    let weekday = (32 + 2 * (century % 4) + 2 * (in_century / 4) - epact - in_century % 4) % 7;
    let late = (golden + 11 * epact + 22 * weekday) / 451;
    let days = epact + weekday - 7 * late + 114;
    let (month, day) = (u32::try_from(days / 31).ok()?, u32::try_from(days % 31 + 1).ok()?);
    NaiveDate::from_ymd_opt(year, month, day)
}

/// Good Friday or Easter Monday, if the day is one.
fn around_easter(date: NaiveDate) -> Option<&'static str> {
    // Good Friday is never before 20 March, Easter Monday never after 26 April.
    if !(3..=4).contains(&date.month()) {
        return None;
    }
    let sunday = easter(date.year())?;
    if date == sunday.checked_sub_days(Days::new(2))? {
        Some("Good Friday")
    } else if date == sunday.checked_add_days(Days::new(1))? {
        Some("Easter Monday")
    } else {
        None
    }
}

/// Which occurrence of its weekday in the month a day is: 1 is the first.
fn occurrence(date: NaiveDate) -> u32 {
    date.day0() / 7 + 1
}

/// Whether a day is the last of its weekday in a month of 31 days.
fn is_last_of_31(date: NaiveDate) -> bool {
    date.day() > 24
}

/// None moves when it falls on a weekend.
fn target2(date: NaiveDate) -> Option<&'static str> {
    match (date.month(), date.day()) {
        (1, 1) => Some("New Year's Day"),
        (5, 1) => Some("Labour Day"),
        (12, 25) => Some("Christmas Day"),
        (12, 26) => Some("Christmas Holiday"),
        _ => around_easter(date),
    }
}

/// Holidays of the United States that stand on a date, each with the first year.
const US_FIXED: [(u32, u32, i32, &str); 5] = [
    (1, 1, 0, "New Year's Day"),
    (6, 19, 2021, "Juneteenth"),
    (7, 4, 0, "Independence Day"),
    (11, 11, 0, "Veterans Day"),
    (12, 25, 0, "Christmas Day"),
];

/// One that falls on a Sunday closes the Monday after it. One that falls on a Saturday closes nothing else: the
/// Reserve Banks work on the Friday before.
fn us_fed(date: NaiveDate) -> Option<&'static str> {
    let fixed = |date: NaiveDate| {
        let mut known = US_FIXED.iter();
        known
            .find(|(month, day, since, _)| date.month() == *month && date.day() == *day && date.year() >= *since)
            .map(|(_, _, _, name)| *name)
    };
    let moved = || fixed(date.pred_opt()?);
    match (date.month(), date.weekday(), occurrence(date)) {
        (1, Weekday::Mon, 3) => Some("Martin Luther King Jr. Day"),
        (2, Weekday::Mon, 3) => Some("Presidents Day"),
        (5, Weekday::Mon, _) if is_last_of_31(date) => Some("Memorial Day"),
        (9, Weekday::Mon, 1) => Some("Labor Day"),
        (10, Weekday::Mon, 2) => Some("Columbus Day"),
        (11, Weekday::Thu, 4) => Some("Thanksgiving Day"),
        (_, Weekday::Mon, _) => fixed(date).or_else(moved),
        _ => fixed(date),
    }
}

/// Days proclaimed for one year in England and Wales, those moved to another date with them.
const UK_PROCLAIMED: [(i32, u32, u32, &str); 10] = [
    (2002, 6, 3, "Golden Jubilee"),
    (2002, 6, 4, "Spring bank holiday"),
    (2011, 4, 29, "Royal Wedding"),
    (2012, 6, 4, "Spring bank holiday"),
    (2012, 6, 5, "Diamond Jubilee"),
    (2020, 5, 8, "Early May bank holiday (VE day)"),
    (2022, 6, 2, "Spring bank holiday"),
    (2022, 6, 3, "Platinum Jubilee"),
    (2022, 9, 19, "State Funeral of Queen Elizabeth II"),
    (2023, 5, 8, "Coronation of King Charles III"),
];

/// The year whose early May bank holiday is not the first Monday.
const UK_EARLY_MAY_ELSEWHERE: i32 = 2020;
/// Years whose spring bank holiday is not the last Monday of May.
const UK_SPRING_ELSEWHERE: [i32; 3] = [2002, 2012, 2022];

/// A holiday on a weekend has a substitute on the next weekday that is none itself.
fn uk(date: NaiveDate) -> Option<&'static str> {
    let (year, month, day, weekday) = (date.year(), date.month(), date.day(), date.weekday());
    let proclaimed = UK_PROCLAIMED
        .iter()
        .find(|(y, m, d, _)| (*y, *m, *d) == (year, month, day));
    if let Some((_, _, _, name)) = proclaimed {
        return Some(name);
    }
    match (month, day, weekday) {
        (1, 1, _) => Some("New Year's Day"),
        (1, 2 | 3, Weekday::Mon) => Some("New Year's Day (substitute day)"),
        (5, _, Weekday::Mon) if occurrence(date) == 1 && year != UK_EARLY_MAY_ELSEWHERE => {
            Some("Early May bank holiday")
        }
        (5, _, Weekday::Mon) if is_last_of_31(date) && !UK_SPRING_ELSEWHERE.contains(&year) => {
            Some("Spring bank holiday")
        }
        (8, _, Weekday::Mon) if is_last_of_31(date) => Some("Summer bank holiday"),
        (12, 25, _) => Some("Christmas Day"),
        (12, 26, _) => Some("Boxing Day"),
        // Christmas on Saturday or Sunday: Boxing Day keeps its Monday, Christmas takes the Tuesday or the Monday.
        (12, 27, Weekday::Mon | Weekday::Tue) => Some("Christmas Day (substitute day)"),
        (12, 28, Weekday::Mon | Weekday::Tue) => Some("Boxing Day (substitute day)"),
        _ => around_easter(date),
    }
}
