//! The journal of a run as lines for people: what each step was, how it ended, how long it took. Pure.

use std::collections::BTreeMap;

use super::journal::step_json;
use super::output::{Cell, Table, Tone};
use super::text::{cut, duration, one_line, relative, time};
use crate::base::clock::Instant;
use crate::base::money::{Currency, Money};
use crate::connector::redact::Redactor;
use crate::model::journal::{Failure, Journal, Outcome, Phase, StepPath, StepRecord};
use crate::model::value::{Map, Value};

/// Longer outcomes are cut: `journal show` has them whole.
const OUTCOME_LENGTH_MAX: usize = 60;
/// So much of an id is enough to tell it from its neighbours.
const ID_LENGTH_MAX: usize = 14;

/// One step on one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepLine {
    /// Where in the run.
    pub path: String,
    /// What: the primitive and what it was about.
    pub what: String,
    /// How it ended, or where it stands.
    pub outcome: String,
    /// How the outcome is shown.
    pub tone: Tone,
    /// How long it took, where the journal knows.
    pub took: String,
    /// The idempotency key of an effect.
    pub key: String,
}

impl StepLine {
    /// The line of a step, without what nobody is to read. `now` shows how far away a wait ends.
    pub fn new(path: &StepPath, record: &StepRecord, now: Instant, redactor: &Redactor) -> Self {
        let name = &record.step.name;
        let summary = one_line(&redactor.text(&record.step.summary));
        let what = match (name.starts_with("log."), summary.is_empty()) {
            // Said by the script itself: its own words, without ceremony.
            (true, false) if name == "log.info" => summary.clone(),
            (_, true) => name.clone(),
            (_, false) => format!("{name} {summary}"),
        };
        let (outcome, tone) = outcome(record, &summary, now, redactor);
        let took = record.updated_at - record.started_at;
        let ended = matches!(record.phase, Phase::Done(_)) && took >= chrono::TimeDelta::milliseconds(1);
        let key = record.effect.as_ref().and_then(|intent| intent.key.clone());
        Self {
            path: path.to_string(),
            what,
            outcome,
            tone,
            took: if ended { duration(took) } else { String::new() },
            key: key.unwrap_or_default(),
        }
    }

    /// The line as it goes by while the run is under way.
    pub fn moving(&self) -> String {
        let style = self.tone.style();
        let outcome = match (self.outcome.as_str(), self.took.as_str()) {
            ("", "") => String::new(),
            ("", took) => format!("  {took}"),
            (outcome, "") => format!("  {style}{outcome}{style:#}"),
            (outcome, took) => format!("  {style}{outcome}{style:#}  {took}"),
        };
        format!("  {:<8}  {}{outcome}", self.path, self.what)
    }
}

/// How a step ended or stands.
fn outcome(record: &StepRecord, summary: &str, now: Instant, redactor: &Redactor) -> (String, Tone) {
    let (told, tone) = standing_of(record, summary, now);
    let told = redactor.text(&told);
    match &record.phase {
        // The run says the whole of a doubt.
        Phase::Done(Outcome::Value(_)) | Phase::Doubt { .. } => (cut(&told, OUTCOME_LENGTH_MAX), tone),
        _ => (told, tone),
    }
}

fn standing_of(record: &StepRecord, summary: &str, now: Instant) -> (String, Tone) {
    match &record.phase {
        Phase::Done(Outcome::Value(value)) => (of_value(value, summary), Tone::Plain),
        Phase::Done(Outcome::Failure(failure)) => (of_failure(failure), Tone::Bad),
        // Held before it was sent, for a reason; or a person said so.
        // Until when is said once: where it is held for longer, the run says when it looks again.
        Phase::Trying { attempts: 0, next_at } if record.trouble.is_some() => {
            let until = if *next_at > now {
                format!(", again {}", relative(*next_at, now))
            } else {
                String::new()
            };
            (format!("held{until}{}", trouble(record)), Tone::Attention)
        }
        Phase::Trying { attempts: 0, .. } => ("to be tried again".to_owned(), Tone::Attention),
        Phase::Trying { attempts, next_at } => (
            format!(
                "attempt {attempts} failed, again {}{}",
                relative(*next_at, now),
                trouble(record)
            ),
            Tone::Attention,
        ),
        Phase::Sent { next_at: None, .. } => ("sent, no answer yet".to_owned(), Tone::Attention),
        Phase::Sent {
            next_at: Some(next_at),
            attempts,
            unknown,
            ..
        } => {
            let what = if *unknown { "outcome not known" } else { "not done" };
            let tried = super::text::count(usize::try_from(*attempts).unwrap_or(usize::MAX), "attempt");
            (
                format!(
                    "{what} after {tried}, again {}{}",
                    relative(*next_at, now),
                    trouble(record)
                ),
                Tone::Attention,
            )
        }
        Phase::Waiting(wait) => match &wait.approval {
            None => (format!("waits until {}", time(wait.deadline)), Tone::Faint),
            Some(asked) => {
                let who = asked
                    .group
                    .as_ref()
                    .map_or_else(String::new, |group| format!(" by {}", one_line(group)));
                (
                    format!("to be approved{who} until {}", time(wait.deadline)),
                    Tone::Attention,
                )
            }
        },
        Phase::Doubt { doubt, .. } => (
            format!("{}: {}", doubt.code.replace('_', " "), one_line(&doubt.message)),
            Tone::Attention,
        ),
        Phase::Cleared { .. } => (
            "proved not done, sent again under a new key".to_owned(),
            Tone::Attention,
        ),
    }
}

fn trouble(record: &StepRecord) -> String {
    record
        .trouble
        .as_ref()
        .map_or_else(String::new, |reason| format!(": {}", one_line(reason)))
}

/// A failure on one line.
pub fn of_failure(failure: &Failure) -> String {
    format!("{}: {}", failure.code, one_line(&failure.message))
}

/// A value in a few words. What the summary says already is not said twice.
fn of_value(value: &Value, summary: &str) -> String {
    let text = match value {
        Value::Null => return String::new(),
        Value::List(items) => return super::text::count(items.len(), "item"),
        Value::Map(map) => of_map(map),
        other => other.to_string(),
    };
    let text = one_line(&text);
    if summary.contains(&text) { String::new() } else { text }
}

/// What a resource of a provider says in a few words: how many, how much, or where it stands and its id.
fn of_map(map: &Map) -> String {
    let word = |key: &str| map.get(key).filter(|value| !value.is_null()).map(Value::to_string);
    if let Some(items) = map.get("data").and_then(Value::as_list) {
        return super::text::count(items.len(), "item");
    }
    // A journal does not know the units of a provider: an amount without a point in it may be one of cents.
    let amount = || word("amount").filter(|amount| amount.contains('.'));
    let money = || Money::parse(&amount()?, Currency::from_code(&word("currency")?).ok()?).ok();
    if let (Some(Value::Bool(true)), Some(by)) = (map.get("approved"), word("by")) {
        return format!("approved by {by}");
    }
    match (word("status"), money()) {
        (None, Some(money)) => money.to_string(),
        (status, _) => {
            let words = [status, word("id").map(|id| cut(&id, ID_LENGTH_MAX))];
            words.into_iter().flatten().collect::<Vec<_>>().join(" ")
        }
    }
}

/// The same with everything in mind that stands in a journal under names that nobody is to read.
pub(super) fn learned(mut redactor: Redactor, journal: &Journal) -> Redactor {
    for (path, record) in journal.steps() {
        redactor.learn(&step_json(path, record));
    }
    redactor
}

/// All steps of a run as a table.
pub fn table(journal: &Journal, now: Instant, redactor: &Redactor) -> Table {
    let lines: Vec<StepLine> = journal
        .steps()
        .map(|(path, record)| StepLine::new(path, record, now, redactor))
        .collect();
    let mut table = Table::new(&["step", "what", "outcome", "took", "key"])
        .right(&[3])
        .whole(&[0, 3, 4]);
    for line in lines {
        table.row([
            line.path.into(),
            line.what.into(),
            Cell::toned(line.outcome, line.tone),
            line.took.into(),
            Cell::toned(line.key, Tone::Faint),
        ]);
    }
    table
}

/// What of a run was shown already.
#[derive(Debug, Default)]
pub struct Shown {
    standing: BTreeMap<StepPath, String>,
    redactor: Redactor,
}

impl Shown {
    /// Nothing yet, and never what this takes out.
    pub fn without(redactor: Redactor) -> Self {
        Self {
            standing: BTreeMap::new(),
            redactor,
        }
    }

    /// The lines that are new or have changed, in the order in which it happened.
    pub fn fresh(&mut self, journal: &Journal, now: Instant) -> Vec<StepLine> {
        let redactor = learned(self.redactor.clone(), journal);
        let mut steps: Vec<(&StepPath, &StepRecord)> = journal.steps().collect();
        // A compound step ends after its parts and with a shorter path.
        steps.sort_by_key(|(path, record)| (record.updated_at, std::cmp::Reverse(path.depth())));
        let mut fresh = Vec::new();
        for (path, record) in steps {
            let standing = standing(&record.phase);
            if standing.is_empty() || self.standing.get(path) == Some(&standing) {
                continue;
            }
            self.standing.insert(path.clone(), standing);
            fresh.push(StepLine::new(path, record, now, &redactor));
        }
        fresh
    }
}

/// What has to change for a step to be shown again; empty while there is nothing to say.
fn standing(phase: &Phase) -> String {
    match phase {
        Phase::Sent { next_at: None, .. } => String::new(),
        Phase::Trying { attempts: 0, .. } => "held".to_owned(),
        Phase::Sent { attempts, .. } | Phase::Trying { attempts, .. } => format!("attempt {attempts}"),
        Phase::Waiting(_) => "waiting".to_owned(),
        Phase::Doubt { .. } => "doubt".to_owned(),
        Phase::Cleared { epoch, .. } => format!("cleared {epoch}"),
        Phase::Done(_) => "done".to_owned(),
    }
}
