//! `bursar events replay`: the runs that a stored event has not made.

use serde_json::json;

use crate::app::offline::{Replaying, plan_replay, replay_here};
use crate::base::ids::{EventId, RunId};
use crate::cli::actor::actor;
use crate::cli::error::{CliError, Exit};
use crate::cli::text::{clean, one_line};
use crate::cli::{Context, daemon};
use crate::model::journal::Entry;
use crate::server::protocol::{ReplayEvent, ReplayReply};
use crate::store::Store;
use crate::trigger::replay::{Again, Became, Choice};

/// Have stored events make the runs they have not made
///
/// A workflow that was added since, or whose condition was mended, takes an event that came before. What has its run is left
/// alone. Says of each workflow which run it made, or why none. Without --yes it only tells what would be done, with exit
/// code 3; so it ends, too, when a run would have overlapped with an open one.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The events
    #[arg(required = true, value_name = "EVENT")]
    events: Vec<EventId>,
    /// Only for this workflow
    #[arg(long, value_name = "NAME")]
    workflow: Option<String>,
    /// One more run, beside those there are, of which there are this many: the preview without a number says it.
    /// IT MAY PAY AGAIN what they paid
    #[arg(long, value_name = "RUNS", num_args = 0..=1, requires = "workflow", requires = "reason")]
    again: Option<Option<u32>>,
    /// Why; kept with a run that is made again
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Do it
    #[arg(long)]
    yes: bool,
}

pub(super) async fn run(args: Args, context: &Context) -> Result<Exit, CliError> {
    let settings = context.settings()?;
    let reason = args.reason.unwrap_or_default();
    if args.again.is_some() && reason.trim().is_empty() {
        return Err(CliError::usage("the reason is empty").hint("say why with --reason: the run keeps it"));
    }
    let store = context.store(&settings).await?;
    let workflow = args.workflow.as_deref();
    let mut plans = Vec::new();
    for event in args.events {
        let choices = plan_replay(&settings, store.clone(), event, workflow).await?;
        plans.push((event, choices));
    }
    let output = &context.output;
    if !args.yes {
        for (event, choices) in &plans {
            if output.json {
                output.object("bursar.replay.plan/1", &json!({"event": event, "workflows": choices}))?;
            } else {
                preview(*event, choices, args.again.is_some(), store.as_ref(), context).await?;
            }
        }
        output.note("nothing was done: --yes does it");
        return Ok(Exit::NeedsPerson);
    }
    let mut client = daemon::connect(&settings).await?;
    let mut has_overlapped = false;
    for (event, choices) in plans {
        let asked = Replaying {
            event,
            workflow: args.workflow.clone(),
            again: again(event, &choices, args.again, &reason)?,
            actor: actor(),
        };
        let replayed = match &mut client {
            Some(client) => {
                let body = ReplayEvent {
                    workflow: asked.workflow,
                    again: asked.again,
                    actor: asked.actor,
                };
                let path = format!("/v1/events/{event}/replay");
                client.post::<ReplayReply>(&path, &body).await?.workflows
            }
            None => replay_here(&settings, asked).await?,
        };
        has_overlapped |= replayed
            .iter()
            .any(|one| matches!(one.became, Became::Overlapping { .. }));
        if output.json {
            let runs: Vec<RunId> = replayed.iter().filter_map(|one| run_of(one.became)).collect();
            let told = json!({"event": event, "runs": runs, "workflows": replayed});
            output.object("bursar.replay/1", &told)?;
            continue;
        }
        if replayed.is_empty() {
            output.print(&format!("{event}  no workflow takes it"))?;
        }
        for one in replayed {
            output.print(&format!("{event}  {}  {}", clean(&one.workflow), in_words(one.became)))?;
        }
    }
    if client.is_none() {
        output.note("no daemon is running here: `bursar serve` takes them up");
    }
    if has_overlapped {
        output.note("ask again when the open run has ended");
        return Ok(Exit::NeedsPerson);
    }
    Ok(Exit::Ok)
}

fn run_of(became: Became) -> Option<RunId> {
    match became {
        Became::Made { run } => Some(run),
        Became::Known | Became::Overlapping { .. } => None,
    }
}

fn in_words(became: Became) -> String {
    match became {
        Became::Made { run } => format!("made {run}"),
        Became::Known => "has its run".to_owned(),
        Became::Overlapping { behind } => {
            format!("made none: {behind} is open, and its `concurrency` skips a run that would overlap with it")
        }
    }
}

/// The same command twice makes one run: who asks says how many there are already, and the second time it is one more.
fn again(
    event: EventId,
    choices: &[Choice],
    asked: Option<Option<u32>>,
    reason: &str,
) -> Result<Option<Again>, CliError> {
    let (Some(said), Some(choice)) = (asked, choices.first()) else {
        return Ok(None);
    };
    let there = u32::try_from(choice.earlier.len()).unwrap_or(u32::MAX);
    match said {
        // Nothing to be beside: then it is the first.
        None | Some(0) if there == 0 => Ok(None),
        Some(beside) => Ok(Some(Again {
            beside,
            reason: reason.to_owned(),
        })),
        None => Err(CliError::usage(format!(
            "it is not said beside how many runs of {event} one more is made"
        ))
        .hint(format!(
            "there are {there}: look at what they paid without --yes, then say --again {there}, so that the same \
             command repeated makes no further run"
        ))),
    }
}

/// What would be done, and what earlier runs did.
async fn preview(
    event: EventId,
    choices: &[Choice],
    again: bool,
    store: &dyn Store,
    context: &Context,
) -> Result<(), CliError> {
    let output = &context.output;
    if choices.is_empty() {
        output.print(&format!(
            "{event}  no workflow takes it; `bursar events show {event}` says why"
        ))?;
    }
    for Choice { workflow, earlier } in choices {
        let what = match (earlier.is_empty(), again) {
            (true, _) => "would make its run",
            (false, true) => {
                let there = earlier.len();
                &format!("would make ONE MORE run (with --again {there} --yes), which may pay again what these paid:")
            }
            (false, false) => "has its run",
        };
        output.print(&format!("{event}  {}  {what}", clean(workflow)))?;
        for run in earlier {
            output.print(&format!("    {}  {}", run.id, run.state))?;
            for sent in sent(store, run.id).await? {
                output.print(&format!("        {sent}"))?;
            }
        }
    }
    Ok(())
}

/// What a run has sent, one line each.
async fn sent(store: &dyn Store, run: RunId) -> Result<Vec<String>, CliError> {
    let journal = store.journal(run).await?;
    let sent = journal.into_iter().filter_map(|record| match record.entry {
        Entry::Intent { path, step, .. } => Some(format!("{path}  {}  {}", step.name, one_line(&step.summary))),
        _ => None,
    });
    Ok(sent.collect())
}
