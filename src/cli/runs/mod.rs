//! `bursar runs`: what ran, what runs, and what a person decides about it.

mod cancel;
mod ls;
pub(super) mod resolve;
mod show;
mod unmade;

use std::sync::Arc;

use clap::Subcommand;

use super::Context;
use super::error::{CliError, Exit};
use crate::base::ids::RunId;
use crate::store::{RunQuery, Store};

/// List, inspect, decide and end runs
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Ls(ls::Args),
    Show(show::Args),
    Unmade(unmade::Args),
    /// The former name of `bursar reconcile resolve`.
    #[command(hide = true)]
    Resolve(resolve::Args),
    Cancel(cancel::Args),
}

pub(super) fn run(args: Args, context: &Context) -> Result<Exit, CliError> {
    match args.command {
        Command::Ls(args) => context.wait(ls::run(args, context)),
        Command::Show(args) => context.wait(show::run(&args, context)),
        Command::Unmade(args) => context.wait(unmade::run(args, context)),
        Command::Resolve(args) => context.wait(resolve::run(args, context)),
        Command::Cancel(args) => context.wait(cancel::run(args, context)),
    }
}

/// The run that was named: by its id, the beginning of one, or `last`.
pub(super) async fn named(store: &Arc<dyn Store>, text: &str) -> Result<RunId, CliError> {
    if let Ok(id) = text.parse() {
        return Ok(id);
    }
    if text == "last" {
        let newest = store
            .runs(RunQuery {
                limit: 1,
                ..RunQuery::default()
            })
            .await?;
        let nothing = || CliError::not_found("there are no runs yet").hint("start one: `bursar run WORKFLOW`");
        return newest.first().map(|run| run.id).ok_or_else(nothing);
    }
    let Some((prefix, behind)) = prefix(text) else {
        let message = format!("`{text}` is not a run id: expected `run_` and letters or digits, or `last`");
        return Err(CliError::usage(message).hint("`bursar runs ls` shows the ids"));
    };
    if let Ok(whole) = prefix.parse() {
        return Ok(whole);
    }
    let query = RunQuery {
        before: behind,
        limit: 2,
        ..RunQuery::default()
    };
    let found = store.runs(query).await?;
    let mut matching = found
        .iter()
        .map(|run| run.id)
        .filter(|id| id.to_string().starts_with(&prefix));
    match (matching.next(), matching.next()) {
        (Some(only), None) => Ok(only),
        (Some(_), Some(_)) => {
            let message = format!("more than one run begins with `{prefix}`");
            Err(CliError::usage(message).hint("write more of the id, or `last` for the newest run"))
        }
        (None, _) => {
            let message = format!("no run begins with `{prefix}`");
            Err(CliError::not_found(message).hint("`bursar runs ls` shows the ids"))
        }
    }
}

/// The beginning of an id as ids are written, and the first id behind all that begin so, if there is one.
fn prefix(text: &str) -> Option<(String, Option<RunId>)> {
    let digits = text
        .strip_prefix("run_")
        .unwrap_or(text)
        .trim_end_matches('…')
        .to_ascii_uppercase();
    if digits.is_empty() || digits.len() > 26 {
        return None;
    }
    // The first digit of an id carries three bits only, so seven is the greatest.
    let greatest = format!("run_{digits}{}", "Z".repeat(26 - digits.len()));
    let greatest: RunId = greatest.parse().ok()?;
    Some((format!("run_{digits}"), greatest.next()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_of_an_id_is_read_as_it_is_typed() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(prefix(text).map(|(prefix, _)| prefix).as_deref(), expected, "{text}");
        };
        check("run_01JD", Some("run_01JD"));
        check("01jd", Some("run_01JD"));
        check("run_01JD…", Some("run_01JD"));
        check("run_", None);
        check("nightly-sweep", None);
        check(&"0".repeat(27), None);
    }

    #[test]
    fn what_is_behind_a_beginning_comes_right_after_the_greatest_id_of_it() {
        let behind = |text: &str| prefix(text).and_then(|(_, behind)| behind).map(|id| id.to_string());
        assert_eq!(behind("01JD").as_deref(), Some("run_01JE0000000000000000000000"));
        let almost = format!("01JD{}", "Z".repeat(21));
        assert_eq!(behind(&almost).as_deref(), Some("run_01JE0000000000000000000000"));
        assert_eq!(behind("7ZZZ"), None);
    }
}
