//! `bursar db restore`: a backup in the place of the store.

use std::path::PathBuf;

use super::{describe, told};
use crate::cli::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::text::time;
use crate::store::sqlite::care::restore::restore;

/// Put a backup in the place of the store; the daemon has to be stopped
///
/// The backup is read through first, and the store it replaces is kept beside it under another name. A daemon that is
/// started then is reconcile-only: it looks up at the provider what the backup has forgotten, adopts what it finds,
/// and sends nothing before `bursar db accept-restore`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The backup
    file: PathBuf,
}

pub(super) async fn run(args: Args, context: &Context) -> Result<Exit, CliError> {
    let state = context.settings()?.state;
    let put_back = restore(&state, &args.file, context.now()).await.map_err(told)?;
    let output = &context.output;
    if output.json {
        output.object("bursar.restored/1", &put_back)?;
        return Ok(Exit::Ok);
    }
    let kept = put_back.kept.as_ref().map_or(String::new(), |kept| {
        format!(
            "\n  replaced   {} (remove it when you no longer need it)",
            kept.display()
        )
    });
    output.print(&format!(
        "the store in {} is the one of {} now{kept}\n{}",
        state.display(),
        time(put_back.since),
        describe(&put_back.checked)
    ))?;
    output.note(
        "what was sent since then is not in it: `bursar serve` looks that up at the provider, and sends nothing until \
         you have looked too: `bursar db accept-restore --reason TEXT`",
    );
    Ok(Exit::Ok)
}
