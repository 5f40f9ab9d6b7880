//! What business days have to do with a schedule: which calendar, where closed days go, until when a day lasts.

use chrono::{NaiveTime, Timelike as _};
use serde::{Deserialize, Serialize};

use super::Calendar;

/// Where a slot goes whose day is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Roll {
    /// It is left out.
    #[default]
    Skip,
    /// To the next business day.
    Next,
    /// To the last business day before.
    Previous,
    /// To the next business day, or the last one before if the next is in another month.
    ModifiedFollowing,
}

impl Roll {
    /// Every choice with its name in manifests.
    pub const ALL: [(&'static str, Self); 4] = [
        ("skip", Self::Skip),
        ("next", Self::Next),
        ("previous", Self::Previous),
        ("modified_following", Self::ModifiedFollowing),
    ];
}

/// What becomes of a slot that could not run before the cut-off of its day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterCutOff {
    /// It runs at its hour of the next business day, unless that day has a slot of its own then.
    NextBusinessDay,
    /// It does not run.
    Refuse,
}

impl AfterCutOff {
    /// Every choice with its name in manifests.
    pub const ALL: [(&'static str, Self); 2] = [("next_business_day", Self::NextBusinessDay), ("refuse", Self::Refuse)];
}

/// Until when instructions of a day are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CutOff {
    /// The first moment that is too late, by the clocks of the schedule's zone.
    pub time: NaiveTime,
    /// What becomes of what comes later.
    pub after: AfterCutOff,
}

/// Which days are chosen by their being business days.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DayChoice {
    /// Those the expression names, and closed ones go somewhere.
    Named(Roll),
    /// The n-th business days of each month the expression names, negative ones from its end.
    OfMonth(Vec<i64>),
}

/// What business days have to do with a schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Business {
    /// Whose business days.
    pub calendar: Calendar,
    /// Which of them.
    pub days: DayChoice,
    /// Until when a day lasts, if that matters.
    pub cut_off: Option<CutOff>,
}

/// A time of day as people write it: `15:30`, or `15:30:00`.
pub fn parse_time_of_day(text: &str) -> Option<NaiveTime> {
    let parts: Vec<u32> = text
        .split(':')
        .map(|part| {
            let plain = part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
            plain.then(|| part.parse().ok()).flatten()
        })
        .collect::<Option<_>>()?;
    match parts.as_slice() {
        [hour, minute] => NaiveTime::from_hms_opt(*hour, *minute, 0),
        [hour, minute, second] => NaiveTime::from_hms_opt(*hour, *minute, *second),
        _ => None,
    }
}

/// A time of day, with its seconds only if there are any.
pub(super) fn time_of_day(time: NaiveTime) -> String {
    let form = if time.second() == 0 { "%H:%M" } else { "%H:%M:%S" };
    time.format(form).to_string()
}

impl std::fmt::Display for CutOff {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&time_of_day(self.time))
    }
}
