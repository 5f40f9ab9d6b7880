//! `bursar workflows`: what new runs use, as the daemon has it or as the files have it.

use clap::Subcommand;
use serde_json::{Value as Json, json};

use super::Context;
use super::daemon;
use super::error::{CliError, Exit};
use super::output::{ATTENTION, BAD, Cell, FAINT, Output, STRONG, Table, Tone};
use super::text::{clean, count, one_line, relative, time};
use crate::app;
use crate::app::offline::load_workflows;
use crate::app::settings::{Secrets, Settings};
use crate::app::verify::Verified;
use crate::base::clock::Instant;
use crate::catalog::snapshot::Snapshot;
use crate::engine::rehearsal::Rehearsed;
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
    Verify(Verify),
}

/// Say which runs would do something else under the texts on disk
///
/// Runs keep the text they began with, so an edit harms none of them. This rehearses the runs that are not over and
/// the newest that are, against the files, and says where they would part. Nothing is sent or written. Exit code 1 if
/// one would.
#[derive(Debug, clap::Args)]
struct Verify {
    /// Only this workflow
    workflow: Option<String>,
    /// How many ended runs of each workflow
    #[arg(long, value_name = "COUNT", default_value_t = 20)]
    ended: usize,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<Exit, CliError> {
    match &args.command {
        Command::Ls => context.wait(ls(context)),
        Command::Verify(args) => context.wait(verify(args, context)),
    }
}

async fn verify(args: &Verify, context: &Context) -> Result<Exit, CliError> {
    let settings = context.workplace(Secrets::Optional)?;
    // That there is a store at all is said as everywhere.
    drop(context.store(&settings).await?);
    let verified = app::verify::verify(&settings, args.workflow.as_deref(), args.ended).await?;
    let differing = verified.iter().filter(|one| one.differs()).count();
    let output = &context.output;
    if output.json {
        for one in &verified {
            let (told, place) = told(one);
            output.object(
                "bursar.rehearsal/1",
                &json!({ "run": one.run.id, "workflow": one.run.workflow, "state": one.run.state, "same": !one.differs(), "unchanged": one.unchanged, "what": told, "step": place }),
            )?;
        }
    } else if verified.is_empty() {
        output.note("no runs to hold the texts against");
    } else {
        let mut table = Table::new(&["run", "workflow", "state", "under the text on disk"]).whole(&[0, 2]);
        for one in verified.iter().filter(|one| one.differs()) {
            table.row([
                one.run.id.to_string().into(),
                Cell::from(&one.run.workflow),
                one.run.state.name().into(),
                Cell::toned(told(one).0, Tone::Bad),
            ]);
        }
        if !table.is_empty() {
            output.table(&table)?;
        }
        let unchanged = verified.iter().filter(|one| one.unchanged).count();
        output.print(&format!(
            "{} rehearsed: {} the same, {differing} not; {unchanged} have the very text of the disk",
            count(verified.len(), "run"),
            verified.len() - differing,
        ))?;
    }
    Ok(if differing == 0 { Exit::Ok } else { Exit::Failed })
}

/// What a run would do, in words, and the step if it is a further one.
fn told(one: &Verified) -> (String, Option<String>) {
    match &one.rehearsed {
        None => ("there is no such workflow on disk, or it is broken".to_owned(), None),
        Some(Rehearsed::Same) => ("the same".to_owned(), None),
        Some(Rehearsed::Diverges(message) | Rehearsed::EndsOtherwise(message)) => (one_line(message), None),
        Some(Rehearsed::GoesOn { path, name }) => (
            format!("it would go on with step {path}, `{name}`"),
            Some(path.to_string()),
        ),
    }
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
        TriggerView::Webhook {
            connection,
            events,
            when,
        } => {
            let when = when
                .as_ref()
                .map_or_else(String::new, |when| format!("            when {}\n", one_line(when)));
            format!("  webhook   {connection}: {}\n{when}", clean(&events.join(", ")))
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
