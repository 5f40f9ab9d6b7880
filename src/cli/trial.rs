//! `bursar trial`: what the daemon calls to see whether a run brings a process down. Not for people.

use crate::app::quarantine::try_here;
use crate::app::settings::Secrets;
use crate::base::ids::RunId;
use crate::cli::Context;
use crate::cli::error::{CliError, Exit};

/// Try the next turn of a run: nothing is written, nothing is sent that changes anything
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The run
    run: RunId,
}

pub(super) async fn run(args: &Args, context: &Context) -> Result<Exit, CliError> {
    try_here(&context.workplace(Secrets::Needed)?, args.run).await?;
    Ok(Exit::Ok)
}
