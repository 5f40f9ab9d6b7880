//! `bursar approvals`: what waits for a person's yes or no, and the answer.

mod decide;
mod ls;
mod show;

use clap::Subcommand;
use serde_json::{Value as Json, json};

use super::Context;
use super::error::{CliError, Exit};
use crate::app::approvals::OpenApproval;
use crate::model::value::Value;

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

/// The exact commands that answer.
fn answers(open: &OpenApproval) -> [String; 2] {
    ["approve", "reject"].map(|answer| {
        let (run, step) = (open.run.id, &open.path);
        format!("bursar approvals {answer} {run} {step} --reason TEXT")
    })
}

fn open_json(open: &OpenApproval) -> Json {
    json!({
        "run": open.run.id,
        "workflow": open.run.workflow,
        "step": open.path,
        "reason": open.asked.reason,
        "group": open.asked.group,
        "details": details(open).map(|details| details.to_plain()),
        "asked": open.step.fingerprint,
        "since": open.since,
        "until": open.until,
    })
}

/// What the script gave beside the reason.
fn details(open: &OpenApproval) -> Option<Value> {
    let details = Value::from_typed(&open.asked.details).ok()?;
    (!details.is_null()).then_some(details)
}
