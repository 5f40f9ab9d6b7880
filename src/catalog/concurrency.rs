//! What a manifest says of runs that must not overlap, and of slots that were missed.
//!
//! Reads values and tells what is wrong with them; what becomes of runs is decided by the store.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::business::read_choice;
use super::fields::{self, Fields, kind};
use crate::base::limits::CATCH_UP_HOURS;
use crate::model::concurrency::{ConcurrencySpec, KeyPath, Overlap};
use crate::model::document::Report;
use crate::model::workflow::{CatchUp, CronSpec};

/// Keys of `concurrency`.
const KEYS: [&str; 3] = ["key", "policy", "max"];
/// More than that is no bound any more.
const MAX_MAX: u32 = 1_000;
/// A month: what is older is not made up for by itself.
const HOURS_MAX: u16 = 24 * 31;

/// Which runs of a workflow must not overlap.
pub(super) fn read_concurrency(fields: &Fields<'_>, report: &mut Report<'_>) -> Option<ConcurrencySpec> {
    let value = fields.get("concurrency")?;
    let DeValue::Table(table) = value.get_ref() else {
        let message = format!("`concurrency` must be a table, not {}", kind(value.get_ref()));
        let help = "such as { key = \"event.payload.account_id\", policy = \"queue\", max = 1 }".to_owned();
        report.error(&value.span(), message, Some(help));
        return None;
    };
    refuse_two_rules(fields, report);
    let fields = Fields::new("`concurrency`", table, value.span());
    fields.refuse_unknown(&KEYS, |_| None, report);
    let key = match fields.get("key") {
        None => Some(None),
        Some(value) => fields::text("`key`", value, report).and_then(|text| match KeyPath::parse(text) {
            Ok(path) => Some(Some(path)),
            Err(error) => {
                report.error(&value.span(), error.to_string(), None);
                None
            }
        }),
    };
    let policy = fields.get("policy").map_or(Some(Overlap::Queue), |value| {
        read_choice(
            "policy",
            "rule for runs that would overlap",
            &Overlap::ALL,
            value,
            report,
        )
    });
    let max = fields.get("max").map_or(Some(1), |value| {
        let what = "`max` says how many runs of one key may be open at once";
        number(value, what, 1..=i64::from(MAX_MAX), report).and_then(|max| u32::try_from(max).ok())
    });
    Some(ConcurrencySpec {
        key: key?,
        max: max?,
        policy: policy?,
    })
}

/// What becomes of a slot while the run of an earlier one is open.
pub(super) fn read_overlap(fields: &Fields<'_>, report: &mut Report<'_>) -> Option<Overlap> {
    fields.get("overlap").map_or(Some(Overlap::default()), |value| {
        read_choice(
            "overlap",
            "rule for slots that would overlap",
            &Overlap::ALL,
            value,
            report,
        )
    })
}

/// Slots that are all caught up are asked for at once, so they have to queue.
pub(super) fn refuse_overlapping_catch_up(
    manifest: &Fields<'_>,
    trigger: &Fields<'_>,
    spec: &CronSpec,
    report: &mut Report<'_>,
) {
    let (policy, help) = match manifest.get("concurrency").map(Spanned::get_ref) {
        Some(DeValue::Table(table)) => {
            let written = table.iter().find(|(key, _)| key.get_ref() == "policy");
            let policy = written.map_or(Some("queue"), |(_, value)| value.get_ref().as_str());
            (policy, "write policy = \"queue\" in `concurrency`")
        }
        _ => {
            let written = Overlap::ALL.iter().find(|(_, overlap)| *overlap == spec.overlap);
            (written.map(|(name, _)| *name), "write overlap = \"queue\"")
        }
    };
    if spec.catch_up == CatchUp::All && policy != Some("queue") {
        let place = trigger
            .get("catch_up")
            .map_or_else(|| trigger.place().clone(), Spanned::span);
        let help = format!("{help}, so that one begins when the one before has ended");
        report.error(&place, "each missed slot is to run, but they would overlap", Some(help));
    }
}

/// How old a missed slot may be at most.
pub(super) fn read_catch_up_hours(fields: &Fields<'_>, report: &mut Report<'_>) -> Option<u16> {
    let Some(value) = fields.get("catch_up_hours") else {
        return Some(CATCH_UP_HOURS);
    };
    let what = "`catch_up_hours` says how old a missed slot may be";
    number(value, what, 1..=i64::from(HOURS_MAX), report).and_then(|hours| u16::try_from(hours).ok())
}

/// One rule for runs that overlap, not two that contradict each other.
fn refuse_two_rules(fields: &Fields<'_>, report: &mut Report<'_>) {
    let Some(DeValue::Array(triggers)) = fields.get("trigger").map(Spanned::get_ref) else {
        return;
    };
    let overlaps = triggers.iter().filter_map(|trigger| match trigger.get_ref() {
        DeValue::Table(table) => place_of("overlap", table),
        _ => None,
    });
    for place in overlaps {
        let message = "`overlap` and `concurrency` both say what becomes of runs that overlap";
        let help = "leave out `overlap`: `concurrency` holds for every run of the workflow";
        report.error(&place, message, Some(help.to_owned()));
    }
}

fn place_of(key: &str, table: &DeTable<'_>) -> Option<std::ops::Range<usize>> {
    let found = table.iter().find(|(known, _)| known.get_ref() == key);
    found.map(|(known, _)| known.span())
}

/// A whole number within bounds.
pub(super) fn number(
    value: &Spanned<DeValue<'_>>,
    what: &str,
    range: std::ops::RangeInclusive<i64>,
    report: &mut Report<'_>,
) -> Option<i64> {
    let number = match value.get_ref() {
        DeValue::Integer(written) => i64::from_str_radix(written.as_str(), written.radix()).ok(),
        _ => None,
    };
    let fits = number.filter(|number| range.contains(number));
    if fits.is_none() {
        let message = format!("{what}: a whole number from {} to {}", range.start(), range.end());
        report.error(&value.span(), message, None);
    }
    fits
}
