//! `bursar db check`: whether the store is whole.

use std::path::PathBuf;

use super::{bytes, describe, told};
use crate::cli::Context;
use crate::cli::error::{CliError, Exit};
use crate::store::sqlite::care::check::{Checked, check, check_file};

/// Find out whether the store, or a backup of it, is whole
///
/// Reads every page, every reference between rows, and the journal of every run that has not ended. Changes
/// nothing, and may run beside a daemon.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A backup, instead of the store
    file: Option<PathBuf>,
}

pub(super) async fn run(args: Args, context: &Context) -> Result<Exit, CliError> {
    let (checked, what) = match args.file {
        Some(file) => (check_file(&file).await.map_err(told)?, file),
        None => {
            let state = context.settings()?.state;
            (check(&state).await.map_err(told)?, state)
        }
    };
    let output = &context.output;
    if output.json {
        output.object("bursar.store/1", &checked)?;
        return Ok(exit(&checked));
    }
    for damage in checked.damage.iter().chain(&checked.unreadable) {
        output.complain(&format!("damaged: {damage}"));
    }
    for warning in &checked.warnings {
        output.complain(&format!("warning: {warning}"));
    }
    if exit(&checked) == Exit::Store {
        return Err(
            CliError::new(Exit::Store, format!("the store in {} is damaged", what.display())).hint(
                "stop the daemon, keep a copy of the folder, and restore the last backup: `bursar db restore FILE`",
            ),
        );
    }
    output.print(&format!(
        "{} is whole ({})\n{}",
        what.display(),
        bytes(checked.database_bytes),
        describe(&checked)
    ))?;
    Ok(Exit::Ok)
}

fn exit(checked: &Checked) -> Exit {
    if checked.is_whole() { Exit::Ok } else { Exit::Store }
}
