//! `bursar approvals ls`: everything that waits for an approval, the oldest first.

use super::{answers, open_json, standing};
use crate::app::approvals::all;
use crate::cli::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::output::{Cell, Table, Tone};
use crate::cli::view::when;

/// List what waits for an approval, the oldest first
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

pub(super) async fn run(_args: &Args, context: &Context) -> Result<Exit, CliError> {
    let store = context.store(&context.settings()?).await?;
    let waiting = all(store.as_ref()).await?;
    let restored = store.restored(context.now()).await?;
    let output = &context.output;
    if output.json {
        for open in &waiting {
            output.object("bursar.approval/1", &open_json(open, restored.as_ref()))?;
        }
        return Ok(Exit::Ok);
    }
    if waiting.is_empty() {
        output.note("nothing waits for an approval");
        return Ok(Exit::Ok);
    }
    let now = context.now();
    let mut table =
        Table::new(&["run", "step", "workflow", "reason", "group", "state", "since", "until"]).whole(&[0, 1, 6, 7]);
    for open in &waiting {
        table.row([
            open.run.id.to_string().into(),
            open.path.to_string().into(),
            Cell::from(&open.run.workflow),
            Cell::toned(&open.asked.reason, Tone::Attention),
            Cell::from(open.asked.group.as_deref().unwrap_or("")),
            standing(open, restored.as_ref()).into(),
            when(open.since, now, output.look).into(),
            when(open.until, now, output.look).into(),
        ]);
    }
    output.table(&table)?;
    output.note(
        "`bursar approvals show RUN STEP` shows the whole of one; then answer it (of a parked run, decide first):",
    );
    for open in &waiting {
        for command in answers(open) {
            output.note(&format!("  {command}"));
        }
    }
    Ok(Exit::Ok)
}
