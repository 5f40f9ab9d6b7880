//! `bursar approvals`: what waits for a person's yes or no, and the answer.

mod decide;
mod ls;
mod show;

use clap::Subcommand;
use serde_json::{Value as Json, json};

use super::Context;
use super::error::{CliError, Exit};
use super::text::time;
use crate::app::approvals::OpenApproval;
use crate::model::journal::Asked;
use crate::model::value::{Value, ValueError};
use crate::store::Restored;

/// See what waits for an approval, and approve or reject it
///
/// A script that calls `approval(…)` goes on when a person has said yes. What is asked, who answered and why stay in the
/// journal.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Ls(ls::Args),
    Show(show::Args),
    /// Approve what a run asks for: it goes on
    Approve(decide::Args),
    /// Reject what a run asks for: its script sees a failure
    Reject(decide::Args),
}

pub(super) fn run(args: Args, context: &Context) -> Result<Exit, CliError> {
    match args.command {
        Command::Ls(args) => context.wait(ls::run(&args, context)),
        Command::Show(args) => context.wait(show::run(&args, context)),
        Command::Approve(args) => context.wait(decide::run(args, true, context)),
        Command::Reject(args) => context.wait(decide::run(args, false, context)),
    }
}

/// The exact commands that answer; of a parked run, the one that tells what has to be decided before.
fn answers(open: &OpenApproval) -> Vec<String> {
    let (run, step) = (open.run.id, &open.path);
    if open.parked().is_some() {
        return vec![format!("bursar runs show {run}")];
    }
    let answers = ["approve", "reject"].iter();
    answers
        .map(|answer| format!("bursar approvals {answer} {run} {step} --reason TEXT"))
        .collect()
}

/// How the run stands that asks, and whether it may have been answered before.
fn standing(open: &OpenApproval, restored: Option<&Restored>) -> String {
    let state = match open.parked() {
        Some(error) => format!("parked: {}", error.code),
        None => open.run.state.to_string(),
    };
    if open.may_be_forgotten(restored) {
        format!("{state}; an answer may be forgotten")
    } else {
        state
    }
}

/// What to know before an answer is given a second time.
pub(super) fn forgotten(restored: &Restored) -> String {
    let next = if restored.holds() {
        "its time does not end before that is accepted (`bursar db accept-restore`)"
    } else {
        "when its time is over, the run is parked for a person"
    };
    let since = time(restored.since);
    format!(
        "an older state of the store ({since}) was put back since: an answer may have been given and forgotten; {next}"
    )
}

fn open_json(open: &OpenApproval, restored: Option<&Restored>) -> Json {
    let (details, unreadable) = match details(&open.asked) {
        Ok(details) => (details.map(|details| details.to_plain()), None),
        Err(unreadable) => (None, Some(unreadable.to_string())),
    };
    json!({
        "run": open.run.id,
        "workflow": open.run.workflow,
        "step": open.path,
        "reason": open.asked.reason,
        "group": open.asked.group,
        "state": open.run.state,
        "parked": open.parked().map(|error| json!({ "code": error.code, "message": error.message })),
        "details": details,
        "details_unreadable": unreadable,
        "asked": open.step.fingerprint,
        "since": open.since,
        "until": open.until,
        "may_be_forgotten": open.may_be_forgotten(restored),
    })
}

/// What the script gave beside the reason.
fn details(asked: &Asked) -> Result<Option<Value>, ValueError> {
    let details = Value::from_typed(&asked.details)?;
    Ok((!details.is_null()).then_some(details))
}
