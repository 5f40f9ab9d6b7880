//! `bursar reconcile ls`: every step that waits for a person, the oldest first.

use super::doubt_json;
use crate::app::reconcile::all_in_doubt;
use crate::cli::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::output::{Cell, Table, Tone};
use crate::cli::view::when;

/// List the steps that wait for a person, the oldest first
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

pub(super) async fn run(_args: &Args, context: &Context) -> Result<Exit, CliError> {
    let store = context.store(&context.settings()?).await?;
    let doubts = all_in_doubt(store.as_ref()).await?;
    let output = &context.output;
    if output.json {
        for doubt in &doubts {
            output.object("bursar.doubt/1", &doubt_json(doubt))?;
        }
        return Ok(Exit::Ok);
    }
    if doubts.is_empty() {
        output.note("nothing is in doubt");
        return Ok(Exit::Ok);
    }
    let now = context.now();
    let mut table = Table::new(&["run", "step", "workflow", "what", "why", "since"]).whole(&[0, 1, 5]);
    for doubt in &doubts {
        table.row([
            doubt.run.id.to_string().into(),
            doubt.path.to_string().into(),
            Cell::from(&doubt.run.workflow),
            format!("{} {}", doubt.step.name, doubt.step.summary).trim().into(),
            Cell::toned(&doubt.doubt.code, Tone::Attention),
            when(doubt.since, now, output.look).into(),
        ]);
    }
    output.table(&table)?;
    output.note("`bursar reconcile show RUN` asks the provider about one");
    Ok(Exit::Ok)
}
