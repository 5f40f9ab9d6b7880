//! `bursar runs unmade`: what started no run although something asked for one, and why.

use crate::cli::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::output::Table;
use crate::cli::text::one_line;
use crate::cli::view::{cause, when};
use crate::model::value::time_text;

/// List slots and events that started no run, each with its reason
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only of this workflow
    #[arg(long, value_name = "NAME")]
    workflow: Option<String>,
    /// How many
    #[arg(long, default_value_t = 20, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
}

pub(super) async fn run(args: Args, context: &Context) -> Result<Exit, CliError> {
    let store = context.store(&context.settings()?).await?;
    let found = store.unmade(args.workflow.as_deref(), args.limit).await?;
    let output = &context.output;
    if output.json {
        for unmade in &found {
            output.object("bursar.unmade/1", unmade)?;
        }
        return Ok(Exit::Ok);
    }
    if found.is_empty() {
        output.note("nothing: whatever asked for a run has one");
        return Ok(Exit::Ok);
    }
    let mut table = Table::new(&[
        "workflow",
        "asked for by",
        "until",
        "slots",
        "reason",
        "detail",
        "noticed",
    ])
    .right(&[3])
    .whole(&[2, 4]);
    for unmade in &found {
        table.row([
            unmade.workflow.as_str().into(),
            cause(&unmade.cause).into(),
            unmade.last_slot.map_or_else(String::new, time_text).into(),
            unmade.slots.to_string().into(),
            unmade.reason.name().into(),
            one_line(&unmade.detail).into(),
            when(unmade.at, context.now(), output.look).into(),
        ]);
    }
    output.table(&table)?;
    Ok(Exit::Ok)
}
