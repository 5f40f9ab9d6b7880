//! Decisions about parked runs, held against what the provider shows before they are written down.
//!
//! One path, whoever makes them: the control door of a daemon, or a command where none runs. What is shown to have
//! happened is not sent again, and what is adopted has to be what was asked for. What nobody can prove needs a word
//! of its own, which the journal keeps; with it every step can be ended. Must not write anything itself: the store
//! does, and has rules of its own.

use std::sync::Arc;

use super::AppError;
use super::reconcile::{Sent, Shown, ask, sent};
use super::settings::Settings;
use crate::base::clock::Instant;
use crate::base::guard::{Guard, holds};
use crate::base::ids::RunId;
use crate::connector::lookup::{other_run_of, request_as_of, used_before};
use crate::connector::reply::misfit;
use crate::connector::table::{Connector, Endpoint};
use crate::model::journal::{Intent, Journal, Outcome, Phase, Record, Resolution, StepPath, StepRecord, overlooked};
use crate::model::run::{Run, RunState};
use crate::model::value::{Value, time_text};
use crate::server::protocol::Although;
use crate::store::sqlite::{SqliteOptions, SqliteStore};
use crate::store::{Decision, Store, StoreError};

/// Records a decision about a parked run, when no daemon holds the store.
///
/// # Errors
/// [`AppError`]; [`AppError::Refused`] when it does not fit what the provider shows.
pub async fn decide_here(settings: &Settings, decision: Decision, although: Option<Although>) -> Result<(), AppError> {
    let store = SqliteStore::open(&settings.state, SqliteOptions::default()).await?;
    let decided = match judged(settings, store.as_ref(), decision, although).await {
        Ok(decision) => store.resolve(decision).await.map_err(AppError::from),
        Err(error) => Err(error),
    };
    store.close().await?;
    decided
}

/// The decision as it may be written down: with what it was taken in spite of, if anything.
///
/// # Errors
/// [`AppError::Refused`] when it does not fit what the provider shows.
pub async fn judged(
    settings: &Settings,
    store: &dyn Store,
    decision: Decision,
    although: Option<Although>,
) -> Result<Decision, AppError> {
    let Some(path) = decision.path.clone().filter(|_| holds(Guard::DecisionFits)) else {
        return Ok(decision);
    };
    let Some(run) = store.run(decision.run).await? else {
        return Err(StoreError::NotFound(decision.run.to_string()).into());
    };
    // It may be parked again by the time this is written: nothing is written that was not judged.
    if run.state != RunState::Parked {
        return Err(Decision::not_parked(run.id, run.state).into());
    }
    let records = store.journal(run.id).await?;
    if let Some(why) = overlooked(run.id, &records, &path, &decision.resolution, decision.after) {
        return Err(StoreError::Conflict(why).into());
    }
    let sent = effect(&run, &records, &path);
    let objection = match (&decision.resolution, &sent) {
        (Resolution::Retry, _) | (Resolution::Resend | Resolution::Fail, None) => None,
        (Resolution::Resend, Some(sent)) => against_absence(run.id, &path, ask(settings, store, sent).await?),
        (Resolution::Fail, Some(sent)) if holds(Guard::FailureFits) => {
            against_failure(run.id, &path, ask(settings, store, sent).await?)
        }
        (Resolution::Fail, Some(_)) => None,
        (Resolution::Adopt { .. }, None) => Some(Objection::Disproved(format!(
            "nothing was sent by step {path}, so there is nothing to adopt: say --retry or --fail"
        ))),
        (Resolution::Adopt { resource }, Some(sent)) => {
            against_adoption(settings, store, (&path, sent), resource).await?
        }
    };
    match (objection, although) {
        (None, _) => Ok(decision),
        (Some(Objection::Unproved(why)), Some(Although::Unproved)) => Ok(in_spite(decision, "unproved", &why)),
        (Some(Objection::Differs { why, .. }), Some(Although::Different)) => Ok(in_spite(decision, "different", &why)),
        (Some(Objection::Disproved(why)), _) => Err(AppError::Refused(why)),
        (Some(Objection::Unproved(why)), _) => Err(AppError::Refused(format!(
            "{why}: look at the provider yourself; if you know how it is, say so with `--although unproved`"
        ))),
        (Some(Objection::Differs { why, all_the_same }), _) => Err(AppError::Refused(format!(
            "{why}: {all_the_same} `--although different`"
        ))),
    }
}

/// What speaks against a decision.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Objection {
    /// It is not so.
    Disproved(String),
    /// Nobody can tell whether it is so.
    Unproved(String),
    /// The provider shows something else.
    Differs {
        /// What.
        why: String,
        /// What a person can do instead, and what they say who mean it all the same.
        all_the_same: String,
    },
}

fn in_spite(decision: Decision, word: &str, why: &str) -> Decision {
    Decision {
        reason: format!("{} ({word}: {why})", decision.reason),
        ..decision
    }
}

/// What a step may have sent, until when at the latest: a process that stood still may have sent just before it said
/// that it does not know.
fn effect(run: &Run, records: &[Record], path: &StepPath) -> Option<Sent> {
    let journal = Arc::new(Journal::from_records(records.to_vec()).ok()?);
    let intent = match &journal.step(path)?.phase {
        Phase::Doubt { intent, .. } => intent.as_deref()?,
        Phase::Sent { intent, .. } => intent,
        _ => return None,
    };
    let of_path = records.iter().filter(|record| record.entry.path() == path);
    let told_at: Instant = of_path.map(|record| record.at).max()?;
    Some(sent(run, &journal, records, path, intent, told_at))
}

fn against_absence(run: RunId, path: &StepPath, shown: Shown) -> Option<Objection> {
    match shown {
        Shown::Absent => None,
        Shown::Found(resource) => Some(Objection::Disproved(format!(
            "{}, so it is not sent again; take it with {}",
            happened(&resource),
            adopting(run, path)
        ))),
        Shown::Contradiction(reason) => Some(Objection::Disproved(format!(
            "{NOT_AS_ASKED} ({reason}), so it is not sent again: take it with --adopt FILE"
        ))),
        Shown::Elsewhere(_) | Shown::NotShown(_) | Shown::NotAsked(_) => unproved(shown).map(Objection::Unproved),
    }
}

/// A script that hears of a failure may do it again: what is there, or may be, is not called failed without a word.
fn against_failure(run: RunId, path: &StepPath, shown: Shown) -> Option<Objection> {
    const SAID: &str = "to mark the step as failed all the same, say";
    match shown {
        Shown::Absent => None,
        Shown::Found(resource) => Some(Objection::Differs {
            why: happened(&resource),
            all_the_same: format!("take it with {}; {SAID}", adopting(run, path)),
        }),
        Shown::Contradiction(reason) => Some(Objection::Differs {
            why: format!("{NOT_AS_ASKED} ({reason})"),
            all_the_same: format!("take it with --adopt FILE; {SAID}"),
        }),
        Shown::Elsewhere(_) | Shown::NotShown(_) | Shown::NotAsked(_) => unproved(shown).map(Objection::Unproved),
    }
}

const NOT_AS_ASKED: &str = "the provider shows something that bears our mark and is not what we asked for";

fn happened(resource: &Value) -> String {
    let id = resource.pointer("/id").and_then(|id| id.as_text());
    let named = id.map_or_else(String::new, |id| format!(" ({id})"));
    format!("it happened{named}: the provider shows it")
}

fn adopting(run: RunId, path: &StepPath) -> String {
    format!("`bursar reconcile resolve {run} --step {path} --adopt-found --reason TEXT`")
}

/// Why what the provider shows proves nothing, if that is so.
fn unproved(shown: Shown) -> Option<String> {
    match shown {
        Shown::Found(_) | Shown::Absent | Shown::Contradiction(_) => None,
        Shown::Elsewhere(reason) => Some(reason),
        Shown::NotShown(Some(at)) => Some(format!(
            "the provider does not show it, which proves nothing before {}",
            time_text(at)
        )),
        Shown::NotShown(None) => {
            Some("the provider does not show it, and its absence from this list proves nothing".to_owned())
        }
        Shown::NotAsked(reason) => Some(format!("the provider could not be asked: {reason}")),
    }
}

async fn against_adoption(
    settings: &Settings,
    store: &dyn Store,
    (path, sent): (&StepPath, &Sent),
    resource: &serde_json::Value,
) -> Result<Option<Objection>, AppError> {
    let intent = &sent.intent;
    let connection = settings.connections.get(&intent.connection);
    let described = connection.and_then(|connection| {
        let connector = &connection.connector;
        Some((connector, connector.endpoint(&intent.endpoint)?))
    });
    let Some((connector, endpoint)) = described else {
        return Ok(Some(Objection::Unproved(format!(
            "`{}` of connection `{}` is not configured any more, so what is to be adopted cannot be checked",
            intent.endpoint, intent.connection
        ))));
    };
    let read = Value::from_plain(resource).ok();
    let of_another = match &read {
        Some(read) => of_another(store, endpoint, intent, read).await?,
        None => None,
    };
    let of_step = read
        .as_ref()
        .and_then(|read| step_that_has(connector, endpoint, (path, sent), read))
        .filter(|_| holds(Guard::AdoptedOnce))
        .map(|step| format!("step {step} of this run already has it"));
    // What a forgotten run of the same key made bears its reference, and is adopted as the look-up would adopt it.
    let request = read.map_or_else(
        || intent.request.clone(),
        |resource| request_as_of(endpoint, intent, &resource),
    );
    let misfit = match misfit(connector, endpoint, &request, intent.movement.as_ref(), resource) {
        Ok(misfit) => misfit,
        Err(reason) => {
            return Ok(Some(Objection::Disproved(format!(
                "what is to be adopted cannot be what `{}` makes: {reason}",
                intent.endpoint
            ))));
        }
    };
    let is_said = misfit.unsaid.is_empty() || !holds(Guard::AdoptionSays);
    let unsaid = (!is_said).then(|| format!("what is to be adopted does not say {}", misfit.unsaid.join(" and ")));
    let differs: Vec<String> = misfit.differs.into_iter().chain(of_another).chain(of_step).collect();
    if differs.is_empty() {
        // What a look-up finds is known by more than what it says.
        let is_shown = unsaid.is_some()
            && matches!(ask(settings, store, sent).await?, Shown::Found(found) if found.to_plain() == *resource);
        return Ok(unsaid.filter(|_| !is_shown).map(Objection::Unproved));
    }
    // All that a person is to overrule is said before they do.
    let reasons: Vec<String> = differs.into_iter().chain(unsaid).collect();
    Ok(Some(Objection::Differs {
        why: format!(
            "what is to be adopted is not what was asked for: {}",
            reasons.join("; ")
        ),
        all_the_same: "if it is what this step did all the same, say so with".to_owned(),
    }))
}

/// The other step of this run that moved money and has this as what it made.
fn step_that_has(
    connector: &Connector,
    endpoint: &Endpoint,
    (path, sent): (&StepPath, &Sent),
    resource: &Value,
) -> Option<StepPath> {
    let kind = endpoint.resource.as_deref()?;
    let pointer = &connector.resource(kind)?.id;
    let id = resource.pointer(pointer)?;
    sent.intent.movement.as_ref()?;
    let has_it = |(of, step): &(&StepPath, &StepRecord)| {
        let made_one = step.effect.as_ref().is_some_and(|made| {
            let made_by = connector.endpoint(&made.endpoint);
            made.connection == sent.intent.connection
                && made.movement.is_some()
                && made_by.is_some_and(|made_by| made_by.resource.as_deref() == Some(kind))
        });
        let is_this = matches!(&step.phase, Phase::Done(Outcome::Value(made)) if made.pointer(pointer) == Some(id));
        *of != path && made_one && is_this
    };
    sent.journal.steps().find(has_it).map(|(of, _)| of.clone())
}

/// Why a resource is what another run of the same key made, which was not forgotten.
async fn of_another(
    store: &dyn Store,
    endpoint: &Endpoint,
    intent: &Intent,
    resource: &Value,
) -> Result<Option<String>, AppError> {
    let Some(other) = other_run_of(endpoint, intent, resource) else {
        return Ok(None);
    };
    if store.run(other).await?.is_some() {
        return Ok(Some(format!(
            "{other}, another run of the same key, made it, and is not forgotten"
        )));
    }
    Ok(used_before(endpoint, intent, resource))
}
