//! `bursar approvals show`: exactly what is asked, and how to answer.

use serde_json::Value as Json;

use super::{answers, details, forgotten, open_json, standing};
use crate::app::approvals::{OpenApproval, of_run};
use crate::base::clock::Instant;
use crate::cli::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::follow::find;
use crate::cli::output::{ATTENTION, STRONG};
use crate::cli::runs::named;
use crate::cli::text::{clean, one_line, relative, time};
use crate::model::journal::{Asked, StepPath};
use crate::model::value::Value;
use crate::store::Restored;

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
    let restored = store.restored(context.now()).await?;
    for open in &waiting {
        if context.output.json {
            let body = open_json(open, restored.as_ref());
            context.output.object("bursar.approval/1", &body)?;
        } else {
            context.output.print(&page(open, restored.as_ref(), context.now()))?;
        }
    }
    Ok(Exit::Ok)
}

/// All that is asked, and the two answers.
fn page(open: &OpenApproval, restored: Option<&Restored>, now: Instant) -> String {
    let mut page = format!(
        "{STRONG}{}{STRONG:#} step {}  {}\n",
        open.run.id,
        open.path,
        clean(&open.run.workflow)
    );
    let mut fact = |name: &str, value: &str| {
        page.push_str(&format!("  {name:<15} {}\n", one_line(value)));
    };
    fact("asks for", &open.asked.reason);
    if let Some(group) = &open.asked.group {
        fact("group", group);
    }
    fact("since", &format!("{}, {}", time(open.since), relative(open.since, now)));
    fact("until", &format!("{}, {}", time(open.until), relative(open.until, now)));
    fact(
        "run",
        &open.parked().map_or_else(
            || standing(open, restored),
            |error| format!("parked: {}: {}", error.code, error.message),
        ),
    );
    fact("fingerprint", &open.step.fingerprint.to_string());
    page.push_str(&told_by_script(&open.asked));
    if let Some(restored) = restored.filter(|restored| open.may_be_forgotten(Some(restored))) {
        page.push_str(&format!("\n{ATTENTION}Careful:{ATTENTION:#} {}\n", forgotten(restored)));
    }
    page.push_str(match open.parked() {
        Some(_) => "\nThe run is parked: decide about that first, then answer:\n",
        None => "\nAnswer:\n",
    });
    for command in answers(open) {
        page.push_str(&format!("  {command}\n"));
    }
    page
}

/// What the script gave beside the reason, deeper than the facts of the program: its names may be an event's and say
/// anything.
fn told_by_script(asked: &Asked) -> String {
    match details(asked) {
        Ok(None) => String::new(),
        Ok(Some(Value::Map(details))) => {
            let lines = details.iter().map(|(name, value)| {
                let (name, value) = (one_line(name), one_line(&of_detail(value)));
                format!("    | {name:<15} {value}\n")
            });
            format!("  details, told by the script:\n{}", lines.collect::<String>())
        }
        Ok(Some(other)) => format!("  {:<15} {}\n", "details", one_line(&of_detail(&other))),
        Err(unreadable) => {
            let why = one_line(&unreadable.to_string());
            format!(
                "  {:<15} cannot be read ({why}): there is more to know than stands here\n",
                "details"
            )
        }
    }
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_the_script_tells_cannot_pass_for_a_fact_of_the_program() {
        let check = |details: Json, expected: &str| {
            let (reason, group) = ("pay ACME".to_owned(), None);
            let asked = Asked { reason, group, details };
            assert_eq!(told_by_script(&asked), expected);
        };
        check(Json::Null, "");
        check(json!("see\n  until  never"), "  details         see until never\n");
        check(
            json!({"until": "2099", "x\n  group": {"$money": "EUR 10.50"}}),
            "  details, told by the script:\n    | until           2099\n    | x group         EUR 10.50\n",
        );
        check(
            json!({"amount": {"$money": 7}}),
            "  details         cannot be read (not a recorded value: the tag $money): there is more to know than stands here\n",
        );
    }
}
