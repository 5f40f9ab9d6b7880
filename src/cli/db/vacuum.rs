//! `bursar db vacuum`: gives room back to the disk.

use super::{bytes, told};
use crate::cli::Context;
use crate::cli::error::{CliError, Exit};
use crate::store::sqlite::care::retain::vacuum;

/// Give the room back that pruned runs left; the daemon has to be stopped
///
/// For a while this takes as much room again as the store has.
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

pub(super) async fn run(_args: Args, context: &Context) -> Result<Exit, CliError> {
    let done = vacuum(&context.settings()?.state).await.map_err(told)?;
    let output = &context.output;
    if output.json {
        output.object("bursar.vacuumed/1", &done)?;
        return Ok(Exit::Ok);
    }
    output.print(&format!(
        "the store takes {} now; before it was {}",
        bytes(done.bytes_after),
        bytes(done.bytes_before)
    ))?;
    Ok(Exit::Ok)
}
