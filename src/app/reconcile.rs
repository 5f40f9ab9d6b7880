//! What a person has to know before they decide about a step in doubt: what was sent and when, and what the provider
//! shows of it now.
//!
//! It asks and tells. It must decide nothing and write nothing: what the person says is judged by `decide` and
//! kept by the store.

use std::sync::Arc;

use super::AppError;
use super::settings::Settings;
use crate::base::clock::{Clock as _, Instant, SystemClock};
use crate::base::ids::RunId;
use crate::connector::client::Client;
use crate::connector::connection::Connection;
use crate::connector::lookup::{Other, Read, Search, Sought, other_run_of};
use crate::connector::reply::{classify, classify_error};
use crate::connector::table::Endpoint;
use crate::model::journal::{
    Doubt, Earlier, Entry, Failure, Intent, Journal, Phase, Record, Step, StepPath, earlier, sought_since,
};
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
    /// What was decided about it before.
    pub earlier: Vec<Earlier>,
    /// What was to be sent; none for a read that was refused.
    pub sent: Option<Sent>,
}

/// An intent that may have had its effect.
#[derive(Debug, Clone, PartialEq)]
pub struct Sent {
    /// The exact request, its key and our reference.
    pub intent: Intent,
    /// When its step may first have gone out, under this key or an earlier one: since then it is looked for.
    pub first_at: Instant,
    /// When it may last have gone out.
    pub last_at: Instant,
    /// How often this journal says so; what was sent by one that was forgotten does not count.
    pub times: usize,
    /// The end of the time in which it may have gone out: a process may send later than it noted.
    until: Instant,
    run: RunId,
    pub(super) journal: Arc<Journal>,
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
    /// It is not there under our reference, and something is there that may be it; what.
    Elsewhere(String),
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
    let journal = Arc::new(journal);
    let doubts = journal.steps().filter_map(|(path, record)| {
        let Phase::Doubt { intent, doubt } = &record.phase else {
            return None;
        };
        let since = since(&records, path).unwrap_or(record.started_at);
        let sent = intent
            .as_deref()
            .map(|intent| sent(&run, &journal, &records, path, intent, since));
        Some(InDoubt {
            run: run.clone(),
            path: path.clone(),
            step: record.step.clone(),
            doubt: doubt.clone(),
            since,
            earlier: earlier(&records, path),
            sent,
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

/// When a step first and its intent last went out and how often that did, as far as the journal tells, and until when it
/// may have gone out: until the step said that it does not know. What is written of one that was forgotten says only that
/// it was sent before.
pub(super) fn sent(
    run: &Run,
    journal: &Arc<Journal>,
    records: &[Record],
    path: &StepPath,
    intent: &Intent,
    told_at: Instant,
) -> Sent {
    let of_path = records.iter().filter(|record| record.entry.path() == path);
    let out: Vec<Instant> = of_path
        .skip_while(|record| !matches!(&record.entry, Entry::Intent { intent: made, .. } if made.epoch == intent.epoch))
        .filter(|record| match &record.entry {
            Entry::Intent { intent, .. } => intent.forgotten.is_none(),
            entry => matches!(entry, Entry::Sending { .. }),
        })
        .map(|record| record.at)
        .collect();
    let intended_at = journal.step(path).and_then(|step| step.intended_at);
    let last = intent.forgotten.map(|forgotten| forgotten.until);
    let last_at = out.last().copied().or(last).unwrap_or_default();
    Sent {
        intent: intent.clone(),
        first_at: sought_since(intended_at, intent.forgotten).unwrap_or_default(),
        last_at,
        times: out.len(),
        until: last_at.max(told_at),
        run: run.id,
        journal: journal.clone(),
    }
}

/// Asks the provider what it shows of this effect now. Nothing is changed there or here.
///
/// # Errors
/// When no request can be made at all, or the store cannot be read.
pub async fn ask(settings: &Settings, store: &dyn Store, sent: &Sent) -> Result<Shown, AppError> {
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
    let (sought, others) = match search(&Client::new()?, connection, endpoint, sent).await {
        Ok(over) => over,
        Err(failure) => return Ok(Shown::NotAsked(failure.message)),
    };
    if let Sought::Found(resource) = &sought
        && let Some(other) = other_run_of(endpoint, intent, resource)
        && store.run(other).await?.is_some()
    {
        return Ok(Shown::Elsewhere(format!(
            "the same step of {other} made one, another run of the same key, which is not forgotten: see whether both \
             are meant"
        )));
    }
    told(store, sent, sought, &others).await
}

/// What a search came to, and what else the list showed on the way.
async fn search(
    client: &Client,
    connection: &Arc<Connection>,
    endpoint: &Endpoint,
    sent: &Sent,
) -> Result<(Sought, Vec<Other>), Failure> {
    let clock = SystemClock::new();
    let mut search = Search::begin(connection, endpoint, &sent.intent, sent.first_at, sent.until)?;
    loop {
        let asked_at = clock.now();
        let (list, request) = (search.list(), search.request());
        let answer = client.send(connection, list, request, None).await;
        let verdict = match &answer {
            Ok(answer) => classify(&connection.connector, list, request, None, answer),
            Err(error) => classify_error(list, error),
        };
        match search.read(answer.as_ref().ok(), verdict, asked_at, clock.now()) {
            Read::More(further) => search = *further,
            Read::Over { sought, others } => return Ok((sought, others)),
        }
    }
}

/// What a search that is over shows, with what else the list has that may be it.
async fn told(store: &dyn Store, sent: &Sent, sought: Sought, others: &[Other]) -> Result<Shown, AppError> {
    let unseen = match sought {
        Sought::Found(resource) => return Ok(Shown::Found(resource)),
        Sought::Contradiction(reason) => return Ok(Shown::Contradiction(reason)),
        Sought::ClocksApart(apart) => {
            return Ok(Shown::NotAsked(format!(
                "our clock and the provider's are {} hours apart, so that its list proves nothing",
                apart.num_hours()
            )));
        }
        Sought::Failed(reason) | Sought::Refused(reason) => return Ok(Shown::NotAsked(reason)),
        Sought::Absent => Shown::Absent,
        Sought::Unproved { again_at } => Shown::NotShown(again_at),
    };
    Ok(elsewhere(store, sent, others).await?.unwrap_or(unseen))
}

/// What may be it although it does not bear our reference: something of this run that its journal does not know, or the
/// same of a run that nobody knows any more.
async fn elsewhere(store: &dyn Store, sent: &Sent, others: &[Other]) -> Result<Option<Shown>, AppError> {
    let mut found = others
        .iter()
        .find(|other| other.is_forgotten_by(sent.run, &sent.journal));
    let alike = others
        .iter()
        .filter(|other| other.is_like_forgotten(sent.run, &sent.intent));
    for other in alike {
        if found.is_none() && store.run(other.run).await?.is_none() {
            found = Some(other);
        }
    }
    Ok(found.map(|other| {
        Shown::Elsewhere(format!(
            "it is not there under our reference, but {} is, which step {} of {} made and no journal knows: see whether \
             it is the same",
            other.what, other.path, other.run
        ))
    }))
}
