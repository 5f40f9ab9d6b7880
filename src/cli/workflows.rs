//! `bursar workflows`: what new runs use, as the daemon has it or as the files have it.

use clap::Subcommand;
use serde_json::{Value as Json, json};

use super::Context;
use super::daemon;
use super::error::{CliError, Exit};
use super::output::{ATTENTION, BAD, FAINT, Output, STRONG};
use super::text::{clean, one_line, relative, time};
use crate::app::offline::load_workflows;
use crate::app::settings::{Secrets, Settings};
use crate::base::clock::Instant;
use crate::catalog::snapshot::Snapshot;
use crate::model::diagnostic::Diagnostic;
use crate::server::control::view;
use crate::server::protocol::{TriggerView, WorkflowView, Workflows};

/// List workflows and what starts them
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List workflows: as the running daemon has them, else as the files have them
    Ls,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<Exit, CliError> {
    let Command::Ls = args.command;
    context.wait(ls(context))
}

async fn ls(context: &Context) -> Result<Exit, CliError> {
    let settings = context.workplace(Secrets::Optional)?;
    let now = context.now();
    let output = &context.output;
    let (workflows, problems, live) = match daemon::connect(&settings).await? {
        Some(mut client) => {
            let Workflows { workflows, problems } = client.get("/v1/workflows").await?;
            (workflows, problems, true)
        }
        None => {
            let (workflows, problems) = from_files(&settings, now);
            let problems = problems.iter().map(|finding| json!(finding)).collect();
            (workflows, problems, false)
        }
    };
    if output.json {
        for workflow in &workflows {
            output.object("bursar.workflow/1", workflow)?;
        }
        for problem in &problems {
            output.object("bursar.finding/1", problem)?;
        }
        return Ok(Exit::Ok);
    }
    if workflows.is_empty() {
        output.note("no workflows; `bursar init` makes four to begin with");
    }
    let texts: Vec<String> = workflows.iter().map(|workflow| page(workflow, now, output)).collect();
    if !texts.is_empty() {
        output.print(&texts.join("\n"))?;
    }
    for problem in &problems {
        output.complain(&of_problem(problem));
    }
    if !problems.is_empty() {
        output.note("`bursar check` shows the places; the last good version of a broken workflow goes on");
    }
    output.note(if live {
        "as the running daemon has them"
    } else {
        "as the files have them: no daemon is running here"
    });
    Ok(Exit::Ok)
}

/// What stands in the files.
pub(super) fn from_files(settings: &Settings, now: Instant) -> (Vec<WorkflowView>, Vec<Diagnostic>) {
    let snapshot = Snapshot::next(&Snapshot::default(), load_workflows(settings));
    let views = snapshot
        .workflows
        .values()
        .map(|workflow| view(&snapshot, workflow, now))
        .collect();
    (views, snapshot.diagnostics().cloned().collect())
}

/// A workflow with what starts it.
pub(super) fn page(workflow: &WorkflowView, now: Instant, output: &Output) -> String {
    let mut text = format!(
        "{STRONG}{}{STRONG:#} @ {}{}\n  {}\n",
        workflow.name,
        workflow.version.short(),
        if workflow.outdated {
            format!("  {ATTENTION}its files are broken now: the last good version goes on{ATTENTION:#}")
        } else {
            String::new()
        },
        one_line(&workflow.summary)
    );
    for trigger in &workflow.triggers {
        text.push_str(&of_trigger(trigger, now, output));
    }
    if workflow.triggers.is_empty() {
        text.push_str("  by hand   `bursar run` alone starts it\n");
    }
    text
}

fn of_trigger(trigger: &TriggerView, now: Instant, output: &Output) -> String {
    match trigger {
        TriggerView::Webhook { connection, events } => {
            format!("  webhook   {connection}: {}\n", clean(&events.join(", ")))
        }
        TriggerView::Cron {
            schedule,
            timezone,
            next,
            problem,
        } => {
            let mut text = format!("  cron      {schedule}  {timezone}\n");
            if let Some(problem) = problem {
                text.push_str(&format!("            {BAD}{}{BAD:#}\n", one_line(problem)));
            }
            for slot in next {
                let away = if output.look.terminal {
                    format!("  {FAINT}{}{FAINT:#}", relative(slot.to_utc(), now))
                } else {
                    String::new()
                };
                text.push_str(&format!(
                    "            {}  {FAINT}{}{FAINT:#}{away}\n",
                    slot.format("%a %Y-%m-%d %H:%M:%S %:z"),
                    time(slot.to_utc())
                ));
            }
            text
        }
    }
}

/// A finding that came over the socket.
fn of_problem(problem: &Json) -> String {
    let text = |key: &str| one_line(problem[key].as_str().unwrap_or(""));
    let place = problem["span"]["line"]
        .as_u64()
        .map_or_else(String::new, |line| format!(":{line}"));
    format!(
        "{ATTENTION}{}{ATTENTION:#}: {}{place}: {}",
        text("severity"),
        text("file"),
        text("message")
    )
}
