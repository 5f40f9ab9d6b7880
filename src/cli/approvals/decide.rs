//! `bursar approvals approve` and `reject`: the one answer to what a run asks for.

use std::sync::Arc;

use serde_json::json;

use super::{answers, forgotten};
use crate::app::approvals::{OpenApproval, all, decide_here, of_run};
use crate::base::ids::RunId;
use crate::cli::Context;
use crate::cli::actor::actor;
use crate::cli::daemon;
use crate::cli::error::{CliError, Exit};
use crate::cli::follow::{find, journal};
use crate::cli::runs::named;
use crate::cli::text::one_line;
use crate::model::journal::{Journal, StepPath, Undecidable};
use crate::model::run::{Run, RunError};
use crate::server::protocol::{DecideApproval, RunReply};
use crate::store::{ApprovalDecision, Store};

/// What both answers take. An answer goes to the question that was read: its run and its step say which one that
/// is, for ever. What `last` means, or the only step that asks, may be another one by the time it is typed.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The run: its whole id, as `bursar approvals show` prints it
    run: String,
    /// The step that asks: it has to be named, even if it is the only one
    step: Option<StepPath>,
    /// Why: kept in the journal beside the answer, and seen by the script
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

pub(super) async fn run(args: Args, approved: bool, context: &Context) -> Result<Exit, CliError> {
    if args.reason.trim().is_empty() {
        return Err(CliError::usage("the reason is empty").hint("say why: --reason \"called the customer back\""));
    }
    let settings = context.settings()?;
    let store = context.store(&settings).await?;
    let (Ok(id), Some(step)) = (args.run.parse::<RunId>(), &args.step) else {
        return Err(not_exact(&store, &args.run).await?);
    };
    let run = find(&store, id).await?;
    let waiting = of_run(store.as_ref(), run.clone()).await?;
    let Some(open) = waiting.iter().find(|open| open.path == *step) else {
        return Err(nothing_asked(&run, &journal(&store, id).await?, step));
    };
    if let Some(error) = open.parked() {
        return Err(parked(open, error));
    }
    let driven = match daemon::connect(&settings).await? {
        Some(mut client) => {
            let answer = DecideApproval {
                step: open.path.clone(),
                asked: open.step.fingerprint,
                approved,
                actor: actor(),
                reason: args.reason,
            };
            client
                .post::<RunReply>(&format!("/v1/runs/{id}/approval"), &answer)
                .await?;
            true
        }
        None => {
            let decision = ApprovalDecision {
                run: id,
                path: open.path.clone(),
                asked: open.step.fingerprint,
                approved,
                actor: actor(),
                reason: args.reason,
                at: context.now(),
            };
            decide_here(&settings, decision).await?;
            false
        }
    };
    let decision = if approved { "approved" } else { "rejected" };
    let output = &context.output;
    if output.json {
        output.object(
            "bursar.approval.decision/1",
            &json!({ "run": id, "step": open.path, "asked": open.step.fingerprint, "decision": decision }),
        )?;
        return Ok(Exit::Ok);
    }
    output.print(&format!(
        "{id} step {} {decision}: {}",
        open.path,
        one_line(&open.asked.reason)
    ))?;
    if let Some(restored) = store.restored(context.now()).await?
        && open.may_be_forgotten(Some(&restored))
    {
        output.note(&forgotten(&restored));
    }
    if !driven {
        output.note("no daemon is running here: `bursar serve` takes it up");
    }
    Ok(Exit::Ok)
}

/// What to say in place of a run or a step that is not named exactly: what waits, and its exact commands.
async fn not_exact(store: &Arc<dyn Store>, run: &str) -> Result<CliError, CliError> {
    let run = find(store, named(store, run).await?).await?;
    let mut waiting = of_run(store.as_ref(), run.clone()).await?;
    let mut error = CliError::usage("an answer names the whole id of the run and the step: nothing was decided");
    if waiting.is_empty() {
        error = error.hint(format!("{} ({}) asks for no approval", run.id, run.state));
        waiting = all(store.as_ref()).await?;
    }
    for open in &waiting {
        error = error.hint(format!(
            "step {} of {} asks: {}",
            open.path,
            open.run.id,
            one_line(&open.asked.reason)
        ));
        for command in answers(open) {
            error = error.hint(command);
        }
    }
    Ok(error)
}

/// Its run waits for another decision, after which it asks again.
fn parked(open: &OpenApproval, error: &RunError) -> CliError {
    let (id, why) = (open.run.id, one_line(&error.message));
    CliError::new(Exit::Refused, format!("{id} is parked ({}): {why}", error.code))
        .hint(format!(
            "decide about that first: `bursar runs show {id}` tells the commands"
        ))
        .hint("nothing was answered: when the run goes on, the question stands again")
}

/// Why there is nothing to answer, as exactly as the journal knows.
fn nothing_asked(run: &Run, journal: &Journal, step: &StepPath) -> CliError {
    let hint = "`bursar approvals ls` lists what waits for an approval";
    let id = run.id;
    let Some(record) = journal.step(step) else {
        return CliError::not_found(format!("{id} has no step {step}")).hint(hint);
    };
    let refused = journal.may_decide(step, record.step.fingerprint, run.created_at);
    if let Err(refused @ (Undecidable::Decided(_) | Undecidable::NotAsked)) = refused {
        return CliError::new(Exit::Refused, format!("step {step} of {id}: {refused}")).hint(hint);
    }
    let why = if run.cancel_requested {
        ", and its end was asked for"
    } else {
        " and asks for no approval"
    };
    CliError::new(Exit::Refused, format!("{id} is {}{why}", run.state)).hint(hint)
}
