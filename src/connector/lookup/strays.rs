//! Whose a reference is: ours, a forgotten run's of the same key, or another step's.

use super::Lookup;
use super::search::CLOCKS_APART_MAX;
use crate::base::clock::Instant;
use crate::base::guard::{Guard, holds};
use crate::base::ids::RunId;
use crate::connector::table::Endpoint;
use crate::model::journal::{Intent, Journal, Outcome, Phase, StepPath, StepRecord, StoredRequest};
use crate::model::value::{Value, parse_time};

/// Something a list shows that bears the mark of another step than the one that is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Other {
    /// Whose: a forgotten run of the same key goes by the name of the one that looks.
    pub run: RunId,
    /// Which of its steps.
    pub path: StepPath,
    /// Whether it moves the same as what is looked for.
    pub is_alike: bool,
    /// Its id, if it has one.
    pub id: Option<String>,
    /// When it was made, if the list says so.
    pub made_at: Option<Instant>,
    /// What it is, for people: its id and its amount.
    pub what: String,
}

impl Other {
    /// Whether a run made it and its journal does not know: another text or other data had another step there. What a
    /// person had another step adopt is known.
    pub fn is_forgotten_by(&self, run: RunId, journal: &Journal) -> bool {
        let is_known = |path: &StepPath, step: &StepRecord| {
            let made = match &step.phase {
                Phase::Done(Outcome::Value(made)) => made.get("id").and_then(Value::as_text),
                _ => None,
            };
            step.effect.is_some() && (*path == self.path || made.is_some() && made == self.id.as_deref())
        };
        self.run == run && !journal.steps().any(|(path, step)| is_known(path, step)) && holds(Guard::RestoreStrays)
    }

    /// Whether another run made it that moves the same, in the time in which this intent may have been sent and
    /// forgotten. Whether that run is known is not known here.
    pub fn is_like_forgotten(&self, run: RunId, intent: &Intent) -> bool {
        let in_time = intent.forgotten.is_some_and(|forgotten| {
            let end = forgotten.until + CLOCKS_APART_MAX;
            self.made_at.is_none_or(|made_at| made_at <= end)
        });
        in_time && self.is_alike && self.run != run && holds(Guard::RestoreStrays)
    }
}

/// Whether a run is ours, as far as its id tells; or a forgotten one of a request with the same key. Where nothing was
/// forgotten, and where no key made the run, that one is another.
pub(super) fn is_same_run(intent: &Intent, ours: RunId, run: RunId) -> bool {
    let is_keyed = intent.forgotten.is_some_and(|forgotten| forgotten.keyed);
    run == ours || is_keyed && run.is_of_same_parts(ours)
}

/// The run whose reference this is, if it stands for the same step of ours or of a forgotten run of the same key.
pub(super) fn same_step(intent: &Intent, reference: &str) -> Option<RunId> {
    let ((ours, path), (run, other)) = (parts(&intent.reference)?, parts(reference)?);
    (path == other && is_same_run(intent, ours, run)).then_some(run)
}

/// The reference that a resource bears, if that stands for the same step of ours or of a forgotten run of the same key.
fn same_reference<'v>(endpoint: &Endpoint, intent: &Intent, resource: &'v Value) -> Option<(RunId, &'v str)> {
    let theirs = endpoint.lookup.as_ref()?.reference_of(resource)?;
    Some((same_step(intent, theirs)?, theirs))
}

/// The run that made a resource, if it is not ours but another one of the same key. Whether that one is known is not
/// known here.
pub fn other_run_of(endpoint: &Endpoint, intent: &Intent, resource: &Value) -> Option<RunId> {
    let (ours, _) = parts(&intent.reference)?;
    let (run, _) = same_reference(endpoint, intent, resource)?;
    (run != ours).then_some(run)
}

/// Why something is not what a forgotten run of the same key made: it was made before anything can have been forgotten,
/// as far as it says. Then the older state knew the run that made it, which was pruned.
pub fn used_before(endpoint: &Endpoint, intent: &Intent, item: &Value) -> Option<String> {
    let other = other_run_of(endpoint, intent, item)?;
    let lookup = endpoint.lookup.as_ref()?;
    let from = intent.forgotten.map(|forgotten| forgotten.from - lookup.margin());
    let is_younger = from.is_some_and(|from| made_at(lookup, item).is_some_and(|made_at| made_at >= from));
    (!is_younger).then(|| {
        format!(
            "{other}, an earlier run of the same key, made it, and it is not shown to be younger than the older state \
             that was put back: the key was used before, and what is to be done too needs another one"
        )
    })
}

/// When a list says that something was made.
pub(super) fn made_at(lookup: &Lookup, item: &Value) -> Option<Instant> {
    parse_time(item.pointer(lookup.created_at.as_deref()?)?.as_text()?)
}

/// The request as the run would have sent it that a resource is of: ours, or a forgotten one of the same key.
pub fn request_as_of(endpoint: &Endpoint, intent: &Intent, resource: &Value) -> StoredRequest {
    let mut request = intent.request.clone();
    if let Some((_, theirs)) = same_reference(endpoint, intent, resource) {
        // Ours is of a form that stands for nothing else.
        request.body = request.body.map(|body| body.replace(&intent.reference, theirs));
    }
    request
}

/// The run and the step of a reference.
pub(super) fn parts(reference: &str) -> Option<(RunId, StepPath)> {
    let (run, path) = reference.split_once('/')?;
    Some((run.parse().ok()?, path.parse().ok()?))
}
