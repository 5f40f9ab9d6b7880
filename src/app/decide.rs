//! Decisions about parked runs, held against what the provider shows before they are written down.
//!
//! One path, whoever makes them: the control door of a daemon, or a command where none runs. What is shown to have
//! happened is not sent again, and what is adopted has to be what was asked for. What nobody can prove needs a word
//! of its own, which the journal keeps. Must not write anything itself: the store does, and has rules of its own.

use std::sync::Arc;

use super::AppError;
use super::reconcile::{Sent, Shown, ask, sent};
use super::settings::Settings;
use crate::base::clock::Instant;
use crate::base::guard::{Guard, holds};
use crate::base::ids::RunId;
use crate::connector::lookup::{other_run_of, request_as_of, used_before};
use crate::connector::reply::misfit;
use crate::connector::table::Endpoint;
use crate::model::journal::{Intent, Journal, Phase, Record, Resolution, StepPath};
use crate::model::run::{Run, RunState};
use crate::model::value::Value;
use crate::server::protocol::Although;
use crate::store::sqlite::{SqliteOptions, SqliteStore};
use crate::store::{Decision, Store};

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
    let run = store.run(decision.run).await?;
    let Some(run) = run.filter(|run| run.state == RunState::Parked) else {
        // The store says so.
        return Ok(decision);
    };
    let sent = effect(&run, &store.journal(run.id).await?, &path);
    let objection = match (&decision.resolution, &sent) {
        (Resolution::Retry | Resolution::Fail, _) | (Resolution::Resend, None) => None,
        (Resolution::Resend, Some(sent)) => against_absence(decision.run, &path, ask(settings, store, sent).await?),
        (Resolution::Adopt { .. }, None) => Some(Objection::Disproved(format!(
            "nothing was sent by step {path}, so there is nothing to adopt: say --retry or --fail"
        ))),
        (Resolution::Adopt { resource }, Some(sent)) => against_adoption(settings, store, sent, resource).await?,
    };
    match (objection, although) {
        (None, _) => Ok(decision),
        (Some(Objection::Unproved(why)), Some(Although::Unproved)) => Ok(in_spite(decision, "unproved", &why)),
        (Some(Objection::Differs(why)), Some(Although::Different)) => Ok(in_spite(decision, "different", &why)),
        (Some(Objection::Disproved(why)), _) => Err(AppError::Refused(why)),
        (Some(Objection::Unproved(why)), _) => Err(AppError::Refused(format!(
            "{why}: look at the provider yourself; if you know how it is, say so with `--although unproved`"
        ))),
        (Some(Objection::Differs(why)), _) => Err(AppError::Refused(format!(
            "{why}: if it is what this step did all the same, say so with `--although different`; else --fail"
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
    /// It is about something else than was asked for.
    Differs(String),
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
    let instead = format!("`bursar reconcile resolve {run} --step {path} --adopt-found --reason TEXT`");
    match shown {
        Shown::Absent => None,
        Shown::Found(resource) => {
            let id = resource.pointer("/id").and_then(|id| id.as_text());
            let named = id.map_or_else(String::new, |id| format!(" ({id})"));
            Some(Objection::Disproved(format!(
                "it happened{named}: the provider shows it, so it is not sent again; take it with {instead}, or say \
                 --fail"
            )))
        }
        Shown::Elsewhere(reason) => Some(Objection::Unproved(reason)),
        Shown::Contradiction(reason) => Some(Objection::Disproved(format!(
            "the provider shows something that bears our mark and is not what we asked for ({reason}), so it is not \
             sent again: take it with --adopt FILE, or say --fail"
        ))),
        Shown::NotShown(Some(at)) => Some(Objection::Unproved(format!(
            "the provider does not show it, which proves nothing before {}",
            crate::model::value::time_text(at)
        ))),
        Shown::NotShown(None) => Some(Objection::Unproved(
            "the provider does not show it, and its absence from this list proves nothing".to_owned(),
        )),
        Shown::NotAsked(reason) => Some(Objection::Unproved(format!(
            "the provider could not be asked: {reason}"
        ))),
    }
}

async fn against_adoption(
    settings: &Settings,
    store: &dyn Store,
    sent: &Sent,
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
    // What a forgotten run of the same key made bears its reference, and is adopted as the look-up would adopt it.
    let request = read.map_or_else(
        || intent.request.clone(),
        |resource| request_as_of(endpoint, intent, &resource),
    );
    let differs = match misfit(connector, endpoint, &request, intent.movement.as_ref(), resource) {
        Ok(differs) => differs,
        Err(reason) => {
            return Ok(Some(Objection::Disproved(format!(
                "what is to be adopted cannot be what `{}` makes: {reason}",
                intent.endpoint
            ))));
        }
    };
    // All that a person is to overrule is said before they do.
    let reasons: Vec<String> = differs.into_iter().chain(of_another).collect();
    Ok((!reasons.is_empty()).then(|| {
        Objection::Differs(format!(
            "what is to be adopted is not what was asked for: {}",
            reasons.join("; ")
        ))
    }))
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
