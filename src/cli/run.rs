//! `bursar run`: starts a workflow by hand and prints its steps as they happen.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value as Json};
use tokio::sync::oneshot;

use super::Context;
use super::actor::actor;
use super::error::{CliError, Exit};
use super::follow::{follow, print_fresh, tell_approvals};
use super::output::FAINT;
use super::steps::Shown;
use super::text::{one_line, time};
use super::view::{run_json, standing, tone};
use super::{Interrupts, daemon, input, interrupted, unless_interrupted};
use crate::app::offline::{load_workflows, read_store, run_here};
use crate::app::settings::{LogFormat, Secrets, Settings};
use crate::app::telemetry;
use crate::base::clock::{Clock as _, SystemClock};
use crate::base::shutdown::Stopper;
use crate::model::run::{Run, RunState};
use crate::server::client::ControlClient;
use crate::server::protocol::{StartReply, StartRun};
use crate::store::Store;
use crate::trigger::manual::{Request, Started};

/// How often a run that is driven here is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long to stay while a run waits, if nothing else is said.
const PATIENCE_SECS: u64 = 600;

/// Start a workflow now and follow it
///
/// Through the running daemon if there is one, else here. Every request is a run of its own: asking twice runs
/// it twice, unless both bear the same --idempotency-key.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The workflow
    workflow: String,
    /// What the script sees as `event.payload`, as JSON; `-` reads standard input. An object with a `type` is taken as
    /// the whole event
    #[arg(long, value_name = "FILE")]
    payload: Option<PathBuf>,
    /// A param that differs from the manifest's in this run; may be given several times
    #[arg(long, value_name = "NAME=VALUE", value_parser = input::pair)]
    param: Vec<(String, String)>,
    /// How long to stay while the run waits for a time or an event
    #[arg(long, value_name = "SECONDS", default_value_t = PATIENCE_SECS)]
    patience: u64,
    /// What this request is known by: the same key again, for the same workflow, makes no second run. For programs that
    /// ask again when they heard no answer
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// Ask the daemon and leave at once
    #[arg(long)]
    detach: bool,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<Exit, CliError> {
    let settings = context.workplace(Secrets::Needed)?;
    let request = Request {
        payload: args
            .payload
            .as_deref()
            .map(input::json)
            .transpose()?
            .unwrap_or(Json::Null),
        params: params(args, &settings),
        actor: actor(),
        reason: None,
        idempotency_key: args.idempotency_key.clone(),
    };
    context.wait(start(args, settings, request, context))
}

/// Starts a workflow with this event because a person says so, and follows it.
pub(super) fn run_event(
    workflow: &str,
    event: Json,
    reason: String,
    detach: bool,
    context: &Context,
) -> Result<Exit, CliError> {
    let settings = context.workplace(Secrets::Needed)?;
    let request = Request {
        payload: event,
        params: Map::new(),
        actor: actor(),
        reason: Some(reason),
        idempotency_key: None,
    };
    let args = Args {
        workflow: workflow.to_owned(),
        payload: None,
        param: Vec::new(),
        patience: PATIENCE_SECS,
        detach,
        idempotency_key: None,
    };
    context.wait(start(&args, settings, request, context))
}

/// The params as typed, in the kinds the manifest has.
fn params(args: &Args, settings: &Settings) -> Map<String, Json> {
    if args.param.is_empty() {
        return Map::new();
    }
    let loaded = load_workflows(settings);
    let known = loaded
        .workflows
        .get(&args.workflow)
        .map_or(&Json::Null, |workflow| &workflow.params);
    let typed = args.param.iter();
    typed
        .map(|(name, value)| (name.clone(), input::like(known.get(name), value)))
        .collect()
}

async fn start(args: &Args, settings: Settings, request: Request, context: &Context) -> Result<Exit, CliError> {
    let patience = Duration::from_secs(args.patience);
    let run = match daemon::connect(&settings).await? {
        Some(client) => {
            let started = ask(client, &args.workflow, request).await?;
            announce(context, started, &args.workflow);
            let id = started.run;
            let store = read_store(&settings).await?;
            if args.detach {
                super::follow::find(&store, id).await?
            } else {
                let left = "the daemon goes on with it";
                unless_interrupted(follow(context, &store, id, patience), left).await?
            }
        }
        None if args.detach => {
            return Err(CliError::new(
                Exit::Unreachable,
                "no daemon is running here, so nothing could go on with the run",
            )
            .hint("start it: `bursar serve`, or leave out --detach"));
        }
        None => {
            let left = "what was under way is resumed by the next `bursar serve`";
            here(args, &settings, request, patience, left, context).await?
        }
    };
    conclude(context, &run)?;
    Ok(exit_of(&run, args.detach))
}

async fn ask(mut client: ControlClient, workflow: &str, request: Request) -> Result<Started, CliError> {
    let asked = StartRun {
        workflow: workflow.to_owned(),
        payload: request.payload,
        params: request.params,
        actor: request.actor,
        reason: request.reason,
        idempotency_key: request.idempotency_key,
    };
    let StartReply { run, repeated } = client.post("/v1/runs", &asked).await?;
    Ok(Started { run, repeated })
}

async fn here(
    args: &Args,
    settings: &Settings,
    request: Request,
    patience: Duration,
    left: &'static str,
    context: &Context,
) -> Result<Run, CliError> {
    let filter = ["warn,script=off,bursar::catalog=error", "info,script=off", "debug"][usize::from(context.verbose)];
    telemetry::start(filter, LogFormat::Human, context.color_on_stderr()).map_err(CliError::usage)?;
    let (started, running) = oneshot::channel();
    let tell = move |begun: Started| {
        if started.send(begun).is_err() {
            tracing::debug!(id = %begun.run, "nobody follows the run any more");
        }
    };
    let mut interrupts = Interrupts::listen()?;
    let mut is_interrupted = false;
    let (stopper, shutdown) = Stopper::new();
    let driven = run_here(settings, &args.workflow, request, patience, shutdown, tell);
    let mut shown = Shown::without(settings.redactor());
    let (run, store) = {
        let mut driven = std::pin::pin!(driven);
        let begun = tokio::select! {
            ended = &mut driven => return Ok(ended?),
            begun = running => begun,
        };
        let Ok(begun) = begun else { return Ok(driven.await?) };
        announce(context, begun, &args.workflow);
        let id = begun.run;
        let store: Arc<dyn Store> = read_store(settings).await?;
        let clock = SystemClock::new();
        loop {
            tokio::select! {
                ended = &mut driven => break (ended?, store),
                () = clock.sleep(LOOK_EVERY) => print_fresh(context, &store, id, &mut shown).await?,
                () = interrupts.next() => {
                    if is_interrupted {
                        return Err(interrupted(left));
                    }
                    // A turn that is cut off counts as one under which the process died.
                    is_interrupted = true;
                    stopper.stop();
                    context.output.note("ends after the step under way; once more ends it at once");
                }
            }
        }
    };
    print_fresh(context, &store, run.id, &mut shown).await?;
    if is_interrupted && !run.state.is_final() && run.state != RunState::Parked {
        return Err(interrupted(left));
    }
    if run.state == RunState::Waiting {
        tell_approvals(context, &store, &run).await?;
    }
    Ok(run)
}

fn announce(context: &Context, started: Started, workflow: &str) {
    let made = if started.repeated {
        "  made by an earlier request of this key: nothing was started"
    } else {
        ""
    };
    context.output.note(&format!("{}  {workflow}{made}", started.run));
}

fn exit_of(run: &Run, detached: bool) -> Exit {
    match run.state {
        RunState::Succeeded => Exit::Ok,
        RunState::Failed | RunState::Cancelled => Exit::Failed,
        _ if detached => Exit::Ok,
        RunState::Parked | RunState::Waiting | RunState::Pending | RunState::Queued | RunState::Running => {
            Exit::NeedsPerson
        }
    }
}

/// Says how it ended, or what it waits for.
fn conclude(context: &Context, run: &Run) -> Result<(), CliError> {
    let output = &context.output;
    if output.json {
        return output.object("bursar.run/1", &context.settings()?.redactor().json(&run_json(run)));
    }
    let style = tone(run.state).style();
    output.print(&format!("{}  {style}{}{style:#}", run.id, standing(run, context.now())))?;
    if let Some(error) = &run.error {
        output.print(&format!("  {}: {}", error.code, one_line(&error.message)))?;
        for place in &error.trace {
            output.print(&format!("  {FAINT}at {}{FAINT:#}", one_line(place)))?;
        }
    }
    match (run.state, run.wake_at) {
        (RunState::Parked, _) => output.note(&format!(
            "a person has to decide: `bursar runs show {}` says what",
            run.id
        )),
        (RunState::Failed, _) if run.error.as_ref().is_some_and(|error| is_far(&error.code)) => {
            output.note("`bursar connections check` says whether the provider can be reached");
        }
        (RunState::Waiting, Some(wake)) => {
            output.note(&format!("waits until {}: `bursar serve` goes on with it", time(wake)));
        }
        _ => {}
    }
    Ok(())
}

/// Whether a run failed because nobody answered.
fn is_far(code: &str) -> bool {
    matches!(code, "not_sent" | "no_answer" | "provider_unavailable")
}
