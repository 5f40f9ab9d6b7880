//! What a manifest says of the slots of a schedule beyond their time: how they are spread, and what failures do.
//!
//! Reads values and tells what is wrong with them; what comes of them is the trigger's.

use toml::de::DeValue;

use super::concurrency::number;
use super::fields::Fields;
use crate::base::limits::{JITTER_SECS_MAX, PAUSE_AFTER_FAILURES, PAUSE_AFTER_FAILURES_MAX};
use crate::model::document::Report;
use crate::model::workflow::Jitter;

/// How much later than its time a slot may begin: `Some(None)` if at once, `None` if what is written is wrong.
pub(super) fn read_jitter(
    fields: &Fields<'_>,
    manifest: &Fields<'_>,
    report: &mut Report<'_>,
) -> Option<Option<Jitter>> {
    let Some(value) = fields.get("jitter_secs") else {
        return Some(None);
    };
    let what = "`jitter_secs` says how many seconds later than its time a slot may begin";
    let secs = number(value, what, 0..=i64::from(JITTER_SECS_MAX), report)?;
    let most_secs = u16::try_from(secs).ok()?;
    let name = manifest.get("name").and_then(|name| name.get_ref().as_str());
    let workflow = name.unwrap_or_default().to_owned();
    Some((most_secs > 0).then_some(Jitter { most_secs, workflow }))
}

/// After how many runs in a row that failed the schedules of the workflow are paused: of one that moves money after a
/// few, unless it says otherwise.
pub(super) fn read_pause_after_failures(
    fields: &Fields<'_>,
    manifest: &Fields<'_>,
    report: &mut Report<'_>,
) -> Option<u32> {
    let Some(value) = fields.get("pause_after_failures") else {
        let uses = manifest.get("uses").map(|uses| uses.get_ref());
        let moves_money = matches!(uses, Some(DeValue::Array(connections)) if !connections.is_empty());
        return Some(if moves_money { PAUSE_AFTER_FAILURES } else { 0 });
    };
    let what = "`pause_after_failures` says how many runs in a row may fail before schedules are paused, 0 any number";
    let runs = number(value, what, 0..=i64::from(PAUSE_AFTER_FAILURES_MAX), report)?;
    u32::try_from(runs).ok()
}
