//! `bursar journal`: the raw journal of a run, entry by entry.

use clap::Subcommand;
use serde_json::{Value as Json, json};

use super::Context;
use super::error::{CliError, Exit};
use super::follow::find;
use super::output::{Cell, Table, Tone};
use super::runs::named;
use super::steps::of_failure;
use super::text::{one_line, time};
use crate::connector::redact::Redactor;
use crate::model::journal::{Entry, Outcome, Phase, Record, StepPath, StepRecord};
use crate::model::value::time_text;

/// Show what was recorded, entry by entry
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, arg_required_else_help = true)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// The run, as for `show`
    run: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show every entry of a run's journal
    Show {
        /// The run: its id, the beginning of it, or `last`
        run: String,
    },
}

pub(super) fn run(args: &Args, context: &Context) -> Result<Exit, CliError> {
    match (&args.command, &args.run) {
        (Some(Command::Show { run }), _) | (None, Some(run)) => context.wait(show(run, context)),
        (None, None) => Err(CliError::usage("name a run").hint("`bursar runs ls` shows the ids")),
    }
}

async fn show(text: &str, context: &Context) -> Result<Exit, CliError> {
    let settings = context.settings()?;
    let store = context.store(&settings).await?;
    let id = named(&store, text).await?;
    find(&store, id).await?;
    let records = store.journal(id).await?;
    let output = &context.output;
    let mut redactor = settings.redactor();
    let entries: Vec<Json> = records.iter().map(entry_json).collect();
    entries.iter().for_each(|entry| redactor.learn(entry));
    if output.json {
        for entry in &entries {
            output.object("bursar.entry/1", &redactor.json(entry))?;
        }
        return Ok(Exit::Ok);
    }
    if records.is_empty() {
        output.note(&format!("{id} has recorded nothing yet"));
        return Ok(Exit::Ok);
    }
    let mut table = Table::new(&["seq", "at", "step", "entry", "what"])
        .right(&[0])
        .whole(&[0, 1, 2, 3]);
    for record in &records {
        table.row([
            record.seq.to_string().into(),
            Cell::toned(time(record.at), Tone::Faint),
            record.entry.path().to_string().into(),
            Cell::toned(record.entry.kind(), tone(&record.entry)),
            what(&record.entry, &redactor).into(),
        ]);
    }
    output.table(&table)?;
    Ok(Exit::Ok)
}

fn tone(entry: &Entry) -> Tone {
    match entry {
        Entry::Retry { .. } | Entry::InDoubt { .. } | Entry::Resolved { .. } => Tone::Attention,
        Entry::Done { outcome, .. } | Entry::Outcome { outcome, .. } => match outcome {
            Outcome::Value(_) => Tone::Plain,
            Outcome::Failure(_) => Tone::Bad,
        },
        Entry::Decided { approved: false, .. } => Tone::Bad,
        Entry::Decided { .. } | Entry::Intent { .. } | Entry::Sending { .. } | Entry::Waiting { .. } => Tone::Plain,
    }
}

fn what(entry: &Entry, redactor: &Redactor) -> String {
    let ended = |outcome: &Outcome| match outcome {
        Outcome::Value(value) => one_line(&redactor.json(&value.to_plain()).to_string()),
        Outcome::Failure(failure) => of_failure(failure),
    };
    let told = match entry {
        Entry::Done { step, outcome, .. } => format!("{} {} → {}", step.name, one_line(&step.summary), ended(outcome)),
        Entry::Intent { step, intent, .. } => format!(
            "{} {}: {} {}, key {}, reference {}",
            step.name,
            one_line(&step.summary),
            intent.request.method,
            intent.request.path,
            intent.key.as_deref().unwrap_or("none"),
            intent.reference,
        ),
        Entry::Retry { step, retry, .. } if retry.attempt == 0 => {
            format!(
                "{}: held until {}: {}",
                step.name,
                time(retry.at),
                one_line(&retry.reason)
            )
        }
        Entry::Retry { step, retry, .. } => format!(
            "{}: attempt {} failed{}, again at {}: {}",
            step.name,
            retry.attempt,
            if retry.unknown { " (outcome not known)" } else { "" },
            time(retry.at),
            one_line(&retry.reason),
        ),
        Entry::Sending { .. } => "the same bytes under the same key".to_owned(),
        Entry::Waiting { step, wait, .. } => {
            let asked = wait.approval.as_ref().map_or_else(String::new, |asked| {
                let group = asked
                    .group
                    .as_ref()
                    .map_or_else(String::new, |group| format!(" ({group})"));
                format!(" {}{}", one_line(&asked.reason), one_line(&group))
            });
            format!("{}:{asked} until {}", step.name, time(wait.deadline))
        }
        Entry::Outcome { outcome, .. } => ended(outcome),
        Entry::InDoubt { step, doubt, .. } => format!("{}: {}: {}", step.name, doubt.code, one_line(&doubt.message)),
        Entry::Resolved {
            resolution,
            actor,
            reason,
            ..
        } => {
            let decision = serde_json::to_value(resolution).unwrap_or_default();
            let decision = decision["decision"].as_str().unwrap_or("decided").to_owned();
            format!("{decision} by {actor}: {}", one_line(reason))
        }
        Entry::Decided {
            approved,
            actor,
            reason,
            ..
        } => {
            let decision = if *approved { "approved" } else { "rejected" };
            format!("{decision} by {}: {}", one_line(actor), one_line(reason))
        }
    };
    redactor.text(&told)
}

/// An entry as JSON, with values in plain form.
fn entry_json(record: &Record) -> Json {
    let mut json = json!({
        "seq": record.seq,
        "at": time_text(record.at),
        "path": record.entry.path(),
        "kind": record.entry.kind(),
        "step": record.entry.step(),
    });
    let (name, body) = match &record.entry {
        Entry::Done { outcome, .. } | Entry::Outcome { outcome, .. } => ("outcome", outcome_json(outcome)),
        Entry::Intent { intent, .. } => ("intent", json!(intent)),
        Entry::Retry { retry, .. } => ("retry", json!(retry)),
        Entry::Waiting { wait, .. } => ("wait", json!(wait)),
        Entry::InDoubt { doubt, .. } => ("doubt", json!(doubt)),
        Entry::Resolved {
            resolution,
            actor,
            reason,
            ..
        } => (
            "resolution",
            json!({ "what": resolution, "actor": actor, "reason": reason }),
        ),
        Entry::Decided {
            asked,
            approved,
            actor,
            reason,
            ..
        } => (
            "decision",
            json!({ "asked": asked, "approved": approved, "actor": actor, "reason": reason }),
        ),
        Entry::Sending { .. } => return json,
    };
    json[name] = body;
    json
}

/// A step as JSON, with where it stands.
pub(super) fn step_json(path: &StepPath, record: &StepRecord) -> Json {
    let (phase, outcome) = match &record.phase {
        Phase::Trying { .. } => ("trying", Json::Null),
        Phase::Sent { .. } => ("sent", Json::Null),
        Phase::Waiting(_) => ("waiting", Json::Null),
        Phase::Doubt { .. } => ("in_doubt", Json::Null),
        Phase::Cleared { .. } => ("cleared", Json::Null),
        Phase::Done(outcome) => ("done", outcome_json(outcome)),
    };
    json!({
        "path": path,
        "name": record.step.name,
        "summary": record.step.summary,
        "phase": phase,
        "outcome": outcome,
        "intent": record.effect,
        "started_at": time_text(record.started_at),
        "updated_at": time_text(record.updated_at),
    })
}

fn outcome_json(outcome: &Outcome) -> Json {
    match outcome {
        Outcome::Value(value) => json!({ "value": value.to_plain() }),
        Outcome::Failure(failure) => json!({ "failure": {
            "code": failure.code,
            "message": failure.message,
            "details": failure.details.to_plain(),
        } }),
    }
}
