//! `bursar db accept-restore`: a person says that sending may go on after a restore.

use super::told;
use crate::app::AppError;
use crate::app::offline::accept_restore_here;
use crate::cli::Context;
use crate::cli::actor::actor;
use crate::cli::daemon;
use crate::cli::error::{CliError, Exit};
use crate::server::protocol::AcceptRestore;
use crate::store::{Acceptance, Restored};

/// Let payments be sent again after a restore
///
/// Look first: what the daemon found at the provider is adopted (`bursar runs ls`), what differs is parked (`bursar
/// runs ls --in-state parked`). What you accept is that the rest was not sent. A step whose cause is older than the
/// restore is still looked up before it is sent.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Why: kept in the store with your name
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

pub(super) async fn run(args: Args, context: &Context) -> Result<Exit, CliError> {
    if args.reason.trim().is_empty() {
        return Err(CliError::usage("the reason is empty")
            .hint("say what you looked at: --reason \"compared with the bank's list of 20 November\""));
    }
    let settings = context.settings()?;
    // Accepting where there is no store would make one.
    context.store(&settings).await?;
    let (actor, reason) = (actor(), args.reason);
    let restored: Option<Restored> = match daemon::connect(&settings).await? {
        Some(mut client) => {
            client
                .post("/v1/restore/accept", &AcceptRestore { actor, reason })
                .await?
        }
        None => {
            let at = context.now();
            let accepted = accept_restore_here(&settings, Acceptance { actor, reason, at }).await;
            accepted.map_err(|error| match error {
                AppError::Store(error) => told(error),
                other => other.into(),
            })?
        }
    };
    let output = &context.output;
    if output.json {
        output.object("bursar.accepted/1", &serde_json::json!({ "restored": restored }))?;
        return Ok(Exit::Ok);
    }
    output.print("accepted: payments are sent again")?;
    Ok(Exit::Ok)
}
