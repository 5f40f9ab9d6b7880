//! `bursar reconcile`: payments whose outcome nobody knows, what the provider shows of them, and the decision.

mod ls;
mod show;

use clap::Subcommand;
use serde_json::{Value as Json, json};

use super::Context;
use super::error::{CliError, Exit};
use super::runs::resolve;
use crate::app::reconcile::{InDoubt, Sent};

/// Look into payments of unknown outcome, and decide
///
/// Bursar sends nothing again while it does not know what became of it. What it cannot find out by itself waits here.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Ls(ls::Args),
    Show(show::Args),
    Resolve(resolve::Args),
}

pub(super) fn run(args: Args, context: &Context) -> Result<Exit, CliError> {
    match args.command {
        Command::Ls(args) => context.wait(ls::run(&args, context)),
        Command::Show(args) => context.wait(show::run(&args, context)),
        Command::Resolve(args) => context.wait(resolve::run(args, context)),
    }
}

/// How a decision says that it knows of these; to look again needs no word.
pub(super) fn after(option: &str, decisions: usize) -> String {
    match decisions {
        0 => String::new(),
        _ if option == "--retry" => String::new(),
        decisions => format!(" --after {decisions}"),
    }
}

/// What is moved, from where, to where.
fn movement(sent: &Sent) -> String {
    let Some(movement) = &sent.intent.movement else {
        return format!("{} {}", sent.intent.request.method, sent.intent.request.path);
    };
    let amount = movement
        .amount
        .map_or_else(|| "the whole of it".to_owned(), |amount| amount.to_string());
    let end = |end: &Option<String>| end.clone().unwrap_or_else(|| "…".to_owned());
    format!(
        "{amount} from {} to {}",
        end(&movement.source),
        end(&movement.beneficiary)
    )
}

fn doubt_json(doubt: &InDoubt) -> Json {
    json!({
        "run": doubt.run.id,
        "workflow": doubt.run.workflow,
        "step": doubt.path,
        "name": doubt.step.name,
        "summary": doubt.step.summary,
        "code": doubt.doubt.code,
        "message": doubt.doubt.message,
        "since": doubt.since,
        "after": doubt.earlier.len(),
        "decisions": doubt.earlier.iter().map(|earlier| json!({
            "at": earlier.at,
            "actor": earlier.actor,
            "decision": earlier.resolution.name(),
            "reason": earlier.reason,
        })).collect::<Vec<_>>(),
        "sent": doubt.sent.as_ref().map(|sent| json!({
            "connection": sent.intent.connection,
            "endpoint": sent.intent.endpoint,
            "method": sent.intent.request.method,
            "path": sent.intent.request.path,
            "body": sent.intent.request.body,
            "movement": sent.intent.movement,
            "reference": sent.intent.reference,
            "key": sent.intent.key,
            "key_safe_until": sent.intent.key_safe_until,
            "epoch": sent.intent.epoch,
            "first_at": sent.first_at,
            "last_at": sent.last_at,
            "times": sent.times,
        })),
    })
}
