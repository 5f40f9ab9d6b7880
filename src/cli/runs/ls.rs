//! `bursar runs ls`: runs, newest first.

use crate::cli::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::view::{run_json, runs_table};
use crate::model::run::RunState;
use crate::store::RunQuery;

/// List runs, newest first
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only of this workflow
    #[arg(long, value_name = "NAME")]
    workflow: Option<String>,
    /// Only in this state; may be given several times
    #[arg(long, value_name = "STATE", value_parser = |text: &str| text.parse::<RunState>())]
    in_state: Vec<RunState>,
    /// How many
    #[arg(long, default_value_t = 20, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
    /// Only those before this run: the next page
    #[arg(long, value_name = "RUN")]
    before: Option<String>,
}

pub(super) async fn run(args: Args, context: &Context) -> Result<Exit, CliError> {
    let store = context.store(&context.settings()?).await?;
    let before = match &args.before {
        Some(text) => Some(super::named(&store, text).await?),
        None => None,
    };
    let nothing = match (args.in_state.as_slice(), &args.workflow, &before) {
        ([], None, None) => "no runs yet; `bursar run WORKFLOW` starts one".to_owned(),
        ([state], None, None) => format!("nothing is {state}"),
        _ => "no such runs".to_owned(),
    };
    let query = RunQuery {
        workflow: args.workflow,
        states: args.in_state,
        before,
        limit: args.limit,
        ..RunQuery::default()
    };
    let runs = store.runs(query).await?;
    let output = &context.output;
    if output.json {
        for run in &runs {
            output.object("bursar.run/1", &run_json(run))?;
        }
        return Ok(Exit::Ok);
    }
    if runs.is_empty() {
        output.note(&nothing);
        return Ok(Exit::Ok);
    }
    output.table(&runs_table(&runs, context.now(), output.look))?;
    if let (Some(oldest), true) = (
        runs.last(),
        runs.len() == usize::try_from(args.limit).unwrap_or(usize::MAX),
    ) {
        output.note(&format!("older ones: --before {}", oldest.id));
    }
    Ok(Exit::Ok)
}
