//! `bursar db backup`: the store as it stands, in one file.

use std::path::PathBuf;

use super::{bytes, describe, told};
use crate::cli::Context;
use crate::cli::error::{CliError, Exit};
use crate::store::sqlite::care::backup::backup;

/// Copy the store into a new file, beside a running daemon, and read the copy through
///
/// The file holds the secret from which idempotency keys are made, and everything that was paid: keep it as you
/// keep the keys to the accounts. It is made readable for its owner alone, and overwrites nothing.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The file to make
    file: PathBuf,
}

pub(super) async fn run(args: Args, context: &Context) -> Result<Exit, CliError> {
    let state = context.settings()?.state;
    let made = backup(&state, &args.file, context.now()).await.map_err(told)?;
    let output = &context.output;
    if output.json {
        output.object("bursar.backup/1", &made)?;
        return Ok(Exit::Ok);
    }
    output.print(&format!(
        "{} holds the store as it stands now ({}), and was read again from end to end\n{}",
        made.file.display(),
        bytes(made.bytes),
        describe(&made.checked)
    ))?;
    Ok(Exit::Ok)
}
