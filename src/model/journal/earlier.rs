//! What was decided about a step before: a decision is about the doubt that somebody looked at, not about a later one.
//!
//! A step may come into doubt more than once. Who decides says how many decisions they know of, and a decision that
//! does not know of the last one is refused. Whether a decision is right is not judged here.

use super::{Entry, Record, Resolution, StepPath};
use crate::base::clock::Instant;
use crate::base::ids::RunId;
use crate::model::value::time_text;

/// A decision that stands in a journal.
#[derive(Debug, Clone, PartialEq)]
pub struct Earlier {
    /// When.
    pub at: Instant,
    /// What.
    pub resolution: Resolution,
    /// Who.
    pub actor: String,
    /// Why.
    pub reason: String,
}

/// The decisions about a step, in their order; those of the program itself count, for it may have gone out since.
pub fn earlier(records: &[Record], path: &StepPath) -> Vec<Earlier> {
    let of_record = |record: &Record| match &record.entry {
        Entry::Resolved {
            path: of,
            resolution,
            actor,
            reason,
        } if of == path => Some(Earlier {
            at: record.at,
            resolution: resolution.clone(),
            actor: actor.clone(),
            reason: reason.clone(),
        }),
        _ => None,
    };
    records.iter().filter_map(of_record).collect()
}

/// Why a decision is not about the doubt that stands there now: it does not know of as many earlier ones as there are.
/// Looking again is right whatever was said before.
pub fn overlooked(
    run: RunId,
    records: &[Record],
    path: &StepPath,
    resolution: &Resolution,
    after: u32,
) -> Option<String> {
    let earlier = earlier(records, path);
    if *resolution == Resolution::Retry || usize::try_from(after) == Ok(earlier.len()) {
        return None;
    }
    let look = format!("look at it with `bursar reconcile show {run}`, then say");
    let Some(last) = earlier.last() else {
        return Some(format!(
            "the journal knows of no decision about step {path}: {look} it without `--after`"
        ));
    };
    let again = records.iter().rev().find_map(|record| match &record.entry {
        Entry::InDoubt { path: of, .. } if of == path && record.at >= last.at => Some(record.at),
        _ => None,
    });
    let again = again.map_or_else(String::new, |since| {
        format!("; it is in doubt again since {}", time_text(since))
    });
    Some(format!(
        "{} decided about step {path} at {}: {} ({}){again}: {look} `--after {}`",
        last.actor,
        time_text(last.at),
        last.resolution.name(),
        last.reason,
        earlier.len()
    ))
}
