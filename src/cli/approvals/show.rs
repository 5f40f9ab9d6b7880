//! `bursar approvals show`: exactly what is asked, and how to answer.

use serde_json::Value as Json;

use super::{answers, details, open_json};
use crate::app::approvals::{OpenApproval, of_run};
use crate::base::clock::Instant;
use crate::cli::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::follow::find;
use crate::cli::output::STRONG;
use crate::cli::runs::named;
use crate::cli::text::{clean, one_line, relative, time};
use crate::model::journal::StepPath;
use crate::model::value::Value;

/// Show exactly what a run asks for
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The run: its id, the beginning of it, or `last`
    run: String,
    /// The step that asks; all of them if left out
    step: Option<StepPath>,
}

pub(super) async fn run(args: &Args, context: &Context) -> Result<Exit, CliError> {
    let store = context.store(&context.settings()?).await?;
    let id = named(&store, &args.run).await?;
    let run = find(&store, id).await?;
    let state = run.state;
    let mut waiting = of_run(store.as_ref(), run).await?;
    waiting.retain(|open| args.step.as_ref().is_none_or(|step| *step == open.path));
    if waiting.is_empty() {
        let what = args.step.as_ref().map_or_else(
            || format!("{id} ({state})"),
            |step| format!("step {step} of {id} ({state})"),
        );
        return Err(CliError::not_found(format!("{what} asks for no approval"))
            .hint("`bursar approvals ls` lists what waits for one"));
    }
    for open in &waiting {
        if context.output.json {
            context.output.object("bursar.approval/1", &open_json(open))?;
        } else {
            context.output.print(&page(open, context.now()))?;
        }
    }
    Ok(Exit::Ok)
}

/// All that is asked, and the two answers.
fn page(open: &OpenApproval, now: Instant) -> String {
    let mut page = format!(
        "{STRONG}{}{STRONG:#} step {}  {}\n",
        open.run.id,
        open.path,
        clean(&open.run.workflow)
    );
    let mut fact = |name: &str, value: &str| {
        page.push_str(&format!("  {:<15} {}\n", one_line(name), one_line(value)));
    };
    fact("asks for", &open.asked.reason);
    if let Some(group) = &open.asked.group {
        fact("group", group);
    }
    match details(open) {
        None => {}
        Some(Value::Map(details)) => {
            for (name, value) in &details {
                fact(name, &of_detail(value));
            }
        }
        Some(other) => fact("details", &of_detail(&other)),
    }
    fact("since", &format!("{}, {}", time(open.since), relative(open.since, now)));
    fact("until", &format!("{}, {}", time(open.until), relative(open.until, now)));
    fact("fingerprint", &open.step.fingerprint.to_string());
    page.push_str("\nAnswer:\n");
    for command in answers(open) {
        page.push_str(&format!("  {command}\n"));
    }
    page
}

/// A value as a person reads it: what has an own way of being written is written so.
fn of_detail(value: &Value) -> String {
    match value {
        Value::List(_) | Value::Map(_) => match value.to_plain() {
            Json::String(text) => text,
            other => other.to_string(),
        },
        other => other.to_string(),
    }
}
