//! `bursar reconcile resolve`: what a person decided about a parked run.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use crate::app::decide::decide_here;
use crate::app::reconcile::{Shown, ask, in_doubt};
use crate::app::settings::Settings;
use crate::base::clock::{Clock as _, SystemClock};
use crate::base::ids::RunId;
use crate::cli::Context;
use crate::cli::actor::actor;
use crate::cli::error::{CliError, Exit};
use crate::cli::follow::{find, journal};
use crate::cli::text::one_line;
use crate::cli::{daemon, input};
use crate::model::journal::{Journal, Resolution, StepPath};
use crate::model::run::{Run, RunState};
use crate::server::protocol::{Although, ResolveRun, RunReply};
use crate::store::{Decision, Store};

/// How long a run is followed after a decision.
const FOLLOWED_FOR: Duration = Duration::from_secs(2);
/// How often it is looked at meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Decide what became of a step in doubt
///
/// Look first: `bursar reconcile show` tells what was sent and what the provider shows of it. The decision is held
/// against that: what is there is not sent again nor called failed, and what is adopted has to be what was asked for. It
/// stays in the journal, with who made it and why.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// The run: its whole id, as `bursar reconcile show` prints it
    run: String,
    /// The step in doubt; may be left out while there is only one
    #[arg(long, value_name = "STEP")]
    step: Option<StepPath>,
    #[command(flatten)]
    choice: Choice,
    /// What it is decided in spite of: nobody can prove it, or the provider shows something else
    #[arg(long, value_enum, value_name = "WHAT")]
    although: Option<InSpiteOf>,
    /// How many decisions about this step you know of, as `bursar reconcile show` says: one about an earlier doubt is
    /// refused. `--retry` needs none
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    after: u32,
    /// Why: kept in the journal beside the decision
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum InSpiteOf {
    /// The provider does not prove it, or cannot be asked; what is adopted does not say it
    Unproved,
    /// What is adopted is not what was asked for, or something else made it; what is said to have failed is there
    Different,
}

impl From<InSpiteOf> for Although {
    fn from(word: InSpiteOf) -> Self {
        match word {
            InSpiteOf::Unproved => Self::Unproved,
            InSpiteOf::Different => Self::Different,
        }
    }
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Choice {
    /// It happened: FILE holds the provider's resource as JSON; `-` reads standard input
    #[arg(long, value_name = "FILE")]
    adopt: Option<PathBuf>,
    /// It happened: take what the provider shows now
    #[arg(long)]
    adopt_found: bool,
    /// It did not happen: send it again under a new key. The provider is asked once more, and has to agree
    #[arg(long)]
    absent_and_resend: bool,
    /// The step failed: the script sees a failure. The provider is asked once more, and has to agree. A run parked
    /// without a step in doubt ends as failed
    #[arg(long)]
    fail: bool,
    /// Try again as it was, under the same key. A run parked without a step in doubt is taken up again
    #[arg(long)]
    retry: bool,
}

/// The step in doubt, if none is named. Which of several is meant is not guessed.
fn only_doubt(journal: &Journal, id: RunId) -> Result<Option<StepPath>, CliError> {
    let doubts: Vec<String> = journal.doubts().map(|(path, _)| path.to_string()).collect();
    if doubts.len() > 1 {
        return Err(CliError::usage(format!(
            "{id} has {} steps in doubt: {}",
            doubts.len(),
            doubts.join(", ")
        ))
        .hint(format!("name one of them: --step {}", doubts[0])));
    }
    Ok(journal.doubtful().map(|(path, _)| path.clone()))
}

pub(in crate::cli) async fn run(args: Args, context: &Context) -> Result<Exit, CliError> {
    if args.reason.trim().is_empty() {
        return Err(CliError::usage("the reason is empty")
            .hint("say how you know: --reason \"found as po_123 in the provider's console\""));
    }
    let of_file = args.choice.adopt.as_ref().map(|file| input::json(file)).transpose()?;
    let settings = context.settings()?;
    let store = context.store(&settings).await?;
    // A decision is about the run somebody looked at; what `last` or a beginning means may be another one by now.
    let Ok(id) = args.run.parse::<RunId>() else {
        let id = super::named(&store, &args.run).await?;
        let run = find(&store, id).await?;
        return Err(
            CliError::usage("a decision names the whole id of the run: nothing was decided")
                .hint(format!("{id} of `{}` is {}", run.workflow, run.state))
                .hint("`bursar reconcile ls` lists the steps that wait for a person"),
        );
    };
    let run = find(&store, id).await?;
    if run.state != RunState::Parked {
        let message = format!("{id} is {}: only a parked run can be decided", run.state);
        return Err(CliError::new(Exit::Refused, message)
            .hint("`bursar runs ls --in-state parked` shows the runs that wait for a person"));
    }
    let resource = if args.choice.adopt_found {
        Some(found(&settings, &store, run, args.step.as_ref()).await?)
    } else {
        of_file
    };
    let resolution = match (&args.choice, resource.clone()) {
        (_, Some(resource)) => Resolution::Adopt { resource },
        (
            Choice {
                absent_and_resend: true,
                ..
            },
            None,
        ) => Resolution::Resend,
        (Choice { fail: true, .. }, None) => Resolution::Fail,
        (Choice { .. }, None) => Resolution::Retry,
    };
    let decision = resolution.name();
    let step = match args.step {
        Some(step) => Some(step),
        None => only_doubt(&journal(&store, id).await?, id)?,
    };
    let although = args.although.map(Although::from);
    let driven = match daemon::connect(&settings).await? {
        Some(mut client) => {
            let asked = ResolveRun {
                step: step.clone(),
                decision: decision.to_owned(),
                resource,
                although,
                after: args.after,
                actor: actor(),
                reason: args.reason,
            };
            client
                .post::<RunReply>(&format!("/v1/runs/{id}/resolve"), &asked)
                .await?;
            true
        }
        None => {
            let decided = Decision {
                run: id,
                path: step.clone(),
                resolution,
                actor: actor(),
                reason: args.reason,
                after: args.after,
                at: context.now(),
            };
            decide_here(&settings, decided, although).await?;
            false
        }
    };
    let run = if driven {
        followed(&store, id).await?
    } else {
        find(&store, id).await?
    };
    let state = run.state;
    let parked_again = state == RunState::Parked;
    let exit = if parked_again { Exit::NeedsPerson } else { Exit::Ok };
    let output = &context.output;
    if output.json {
        output.object(
            "bursar.decision/1",
            &json!({ "run": id, "step": step, "decision": decision, "state": state }),
        )?;
        return Ok(exit);
    }
    if let Some(error) = run.error.filter(|_| parked_again) {
        output.print(&format!(
            "{id} is parked again: {}: {}",
            error.code,
            one_line(&error.message)
        ))?;
        output.note(&format!(
            "the decision was taken; `bursar reconcile show {id}` says what is in doubt now"
        ));
        return Ok(exit);
    }
    output.print(&format!("{id} is {state}"))?;
    if !driven && !state.is_final() {
        output.note("no daemon is running here: `bursar serve` takes it up");
    }
    Ok(exit)
}

/// The run a moment after the decision: it may have ended, or need a person again at once.
async fn followed(store: &Arc<dyn Store>, id: RunId) -> Result<Run, CliError> {
    let clock = SystemClock::new();
    let begun = clock.elapsed();
    loop {
        let run = find(store, id).await?;
        let goes_on = matches!(run.state, RunState::Queued | RunState::Running);
        if !goes_on || clock.elapsed().saturating_sub(begun) >= FOLLOWED_FOR {
            return Ok(run);
        }
        clock.sleep(LOOK_EVERY).await;
    }
}

/// What the provider shows of the step in doubt.
async fn found(
    settings: &Settings,
    store: &Arc<dyn Store>,
    run: Run,
    step: Option<&StepPath>,
) -> Result<serde_json::Value, CliError> {
    let id = run.id;
    let doubts = in_doubt(store.as_ref(), run).await?;
    let wanted = doubts
        .into_iter()
        .find(|doubt| step.is_none_or(|step| *step == doubt.path));
    let Some(sent) = wanted.and_then(|doubt| doubt.sent) else {
        return Err(CliError::new(
            Exit::Refused,
            format!("{id} has no step that may have happened"),
        ));
    };
    match ask(settings, store.as_ref(), &sent).await? {
        Shown::Found(resource) => Ok(resource.to_plain()),
        Shown::NotAsked(reason) => Err(CliError::new(
            Exit::Unreachable,
            format!("the provider was not asked: {reason}"),
        )),
        Shown::Absent | Shown::NotShown(_) | Shown::Elsewhere(_) | Shown::Contradiction(_) => {
            let message = "the provider does not show it as it was sent, so there is nothing to adopt";
            Err(CliError::new(Exit::Refused, message).hint(format!("`bursar reconcile show {id}` says what it shows")))
        }
    }
}
