//! `bursar approvals approve` and `reject`: the one answer to what a run asks for.

use serde_json::json;

use super::meant;
use crate::app::approvals::{OpenApproval, decide_here, of_run};
use crate::cli::Context;
use crate::cli::actor::actor;
use crate::cli::daemon;
use crate::cli::error::{CliError, Exit};
use crate::cli::follow::{find, journal};
use crate::cli::runs::named;
use crate::cli::text::one_line;
use crate::model::journal::{Journal, StepPath, Undecidable};
use crate::model::run::{Run, RunState};
use crate::server::protocol::{DecideApproval, RunReply};
use crate::store::ApprovalDecision;

/// What both answers take.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The run: its id, the beginning of it, or `last`
    run: String,
    /// The step that asks; may be left out while there is only one
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
    let id = named(&store, &args.run).await?;
    let run = find(&store, id).await?;
    let waiting = meant(of_run(store.as_ref(), run.clone()).await?, args.step.as_ref());
    let open = match waiting.as_slice() {
        [open] => open,
        [] => return Err(nothing_asked(&run, &journal(&store, id).await?, args.step.as_ref())),
        several => return Err(which_of(&run, several)),
    };
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
    if !driven {
        output.note("no daemon is running here: `bursar serve` takes it up");
    }
    Ok(Exit::Ok)
}

/// Why there is nothing to answer, as exactly as the journal knows.
fn nothing_asked(run: &Run, journal: &Journal, step: Option<&StepPath>) -> CliError {
    let hint = "`bursar approvals ls` lists what waits for an approval";
    let id = run.id;
    match step {
        Some(step) if journal.step(step).is_none() => {
            return CliError::not_found(format!("{id} has no step {step}")).hint(hint);
        }
        Some(step) => {
            let fingerprint = journal.step(step).map(|record| record.step.fingerprint);
            let refused = fingerprint.map(|asked| journal.may_decide(step, asked, run.created_at));
            if let Some(Err(refused @ (Undecidable::Decided(_) | Undecidable::NotAsked))) = refused {
                return CliError::new(Exit::Refused, format!("step {step} of {id}: {refused}")).hint(hint);
            }
        }
        None => {}
    }
    let why = match run.state {
        RunState::Parked => " and is parked: decide about that first, with `bursar runs resolve`",
        _ if run.cancel_requested => ", and its end was asked for",
        _ => " and asks for no approval",
    };
    CliError::new(Exit::Refused, format!("{id} is {}{why}", run.state)).hint(hint)
}

fn which_of(run: &Run, several: &[OpenApproval]) -> CliError {
    let message = format!("{} asks for {} approvals: say which step", run.id, several.len());
    let each = several
        .iter()
        .map(|open| format!("step {}: {}", open.path, one_line(&open.asked.reason)));
    each.fold(CliError::usage(message), CliError::hint)
}
