//! What a person has to know before they decide about a step in doubt: what was sent and when, and what the provider
//! shows of it now.
//!
//! It asks and tells. It must decide nothing and write nothing: what the person says is judged by `decide` and
//! kept by the store.

use std::sync::Arc;

use super::AppError;
use super::settings::Settings;
use crate::base::clock::{Clock as _, Instant, SystemClock};
use crate::connector::client::Client;
use crate::connector::connection::Connection;
use crate::connector::lookup::{Progress, Search};
use crate::connector::reply::{Verdict, classify, classify_error};
use crate::connector::table::Endpoint;
use crate::model::journal::{Doubt, Entry, Intent, Journal, Phase, Record, Step, StepPath};
use crate::model::run::{Run, RunState};
use crate::model::value::Value;
use crate::store::{RunQuery, Store};

/// Runs looked through at a time.
const PAGE: u32 = 1_000;

/// A step that waits for a person.
#[derive(Debug, Clone, PartialEq)]
pub struct InDoubt {
    /// Its run, parked.
    pub run: Run,
    /// Where it stands in the run.
    pub path: StepPath,
    /// What it is.
    pub step: Step,
    /// Why it waits.
    pub doubt: Doubt,
    /// Since when.
    pub since: Instant,
    /// What was to be sent; none for a read that was refused.
    pub sent: Option<Sent>,
}

/// An intent that may have had its effect.
#[derive(Debug, Clone, PartialEq)]
pub struct Sent {
    /// The exact request, its key and our reference.
    pub intent: Intent,
    /// When it may first have gone out.
    pub first_at: Instant,
    /// When it may last have gone out.
    pub last_at: Instant,
    /// How often.
    pub times: usize,
}

/// What the provider shows of an effect.
#[derive(Debug, Clone, PartialEq)]
pub enum Shown {
    /// It happened: this is what it made.
    Found(Value),
    /// It did not happen: the list covers the whole time and does not have it.
    Absent,
    /// The list does not have it, which proves nothing, or not before the time named.
    NotShown(Option<Instant>),
    /// Something bears our mark and is not what was asked for.
    Contradiction(String),
    /// It was not asked, or did not answer; why.
    NotAsked(String),
}

/// Every step in doubt, the oldest first.
///
/// # Errors
/// When the store cannot be read.
pub async fn all_in_doubt(store: &dyn Store) -> Result<Vec<InDoubt>, AppError> {
    let mut found = Vec::new();
    let mut before = None;
    loop {
        let query = RunQuery {
            states: vec![RunState::Parked],
            before,
            limit: PAGE,
            ..RunQuery::default()
        };
        let page = store.runs(query).await?;
        before = page.last().map(|run| run.id);
        let is_last = page.len() < usize::try_from(PAGE).unwrap_or(usize::MAX);
        for run in page {
            found.extend(in_doubt(store, run).await?);
        }
        if is_last {
            found.reverse();
            return Ok(found);
        }
    }
}

/// The steps of a run that are in doubt, the last one first.
///
/// # Errors
/// When the store cannot be read.
pub async fn in_doubt(store: &dyn Store, run: Run) -> Result<Vec<InDoubt>, AppError> {
    let records = store.journal(run.id).await?;
    // A journal that cannot be read has no step a decision could be about; the run itself says what is wrong.
    let Ok(journal) = Journal::from_records(records.clone()) else {
        return Ok(Vec::new());
    };
    let doubts = journal.steps().filter_map(|(path, record)| {
        let Phase::Doubt { intent, doubt } = &record.phase else {
            return None;
        };
        Some(InDoubt {
            run: run.clone(),
            path: path.clone(),
            step: record.step.clone(),
            doubt: doubt.clone(),
            since: since(&records, path).unwrap_or(record.started_at),
            sent: intent.as_deref().map(|intent| sent(&records, path, intent)),
        })
    });
    let mut doubts: Vec<InDoubt> = doubts.collect();
    doubts.reverse();
    Ok(doubts)
}

fn since(records: &[Record], path: &StepPath) -> Option<Instant> {
    let of_path = records.iter().rev().filter(|record| record.entry.path() == path);
    of_path
        .filter(|record| matches!(record.entry, Entry::InDoubt { .. }))
        .map(|record| record.at)
        .next()
}

/// When an intent went out, as far as the journal of its step tells.
pub(super) fn sent(records: &[Record], path: &StepPath, intent: &Intent) -> Sent {
    let of_path = records.iter().filter(|record| record.entry.path() == path);
    let out: Vec<Instant> = of_path
        .skip_while(|record| !matches!(&record.entry, Entry::Intent { intent: made, .. } if made.epoch == intent.epoch))
        .filter(|record| matches!(record.entry, Entry::Intent { .. } | Entry::Sending { .. }))
        .map(|record| record.at)
        .collect();
    let unknown = Instant::default();
    Sent {
        intent: intent.clone(),
        first_at: out.first().copied().unwrap_or(unknown),
        last_at: out.last().copied().unwrap_or(unknown),
        times: out.len(),
    }
}

/// Asks the provider what it shows of this effect now. Nothing is changed there or here.
///
/// # Errors
/// When no request can be made at all.
pub async fn ask(settings: &Settings, sent: &Sent) -> Result<Shown, AppError> {
    let intent = &sent.intent;
    let Some(connection) = settings.connections.get(&intent.connection) else {
        let message = format!("connection `{}` is not configured any more", intent.connection);
        return Ok(Shown::NotAsked(message));
    };
    let Some(endpoint) = connection.connector.endpoint(&intent.endpoint) else {
        let message = format!(
            "the table of `{}` has no `{}` any more",
            intent.connection, intent.endpoint
        );
        return Ok(Shown::NotAsked(message));
    };
    Ok(search(&Client::new()?, connection, endpoint, sent).await)
}

async fn search(client: &Client, connection: &Arc<Connection>, endpoint: &Endpoint, sent: &Sent) -> Shown {
    let clock = SystemClock::new();
    let mut search = match Search::begin(connection, endpoint, &sent.intent, sent.first_at, sent.last_at) {
        Ok(search) => search,
        Err(failure) => return Shown::NotAsked(failure.message),
    };
    loop {
        let asked_at = clock.now();
        let (list, request) = (search.list(), search.request());
        let verdict = match client.send(connection, list, request, None).await {
            Ok(answer) => classify(&connection.connector, list, request, None, &answer),
            Err(error) => classify_error(list, &error),
        };
        let page = match verdict {
            Verdict::Applied { value, .. } => value,
            Verdict::NotApplied { failure, .. } => return Shown::NotAsked(failure.message),
            Verdict::Unknown { reason, .. } | Verdict::Contradiction { reason } => return Shown::NotAsked(reason),
        };
        match search.take(&page, asked_at) {
            Progress::Next(further) => search = *further,
            Progress::Found(resource) => return Shown::Found(resource),
            Progress::Contradiction(reason) => return Shown::Contradiction(reason),
            Progress::Absent => return Shown::Absent,
            Progress::Unproved { again_at } => return Shown::NotShown(again_at),
        }
    }
}
