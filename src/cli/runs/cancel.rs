//! `bursar runs cancel`: the end of a run, asked for by a person.

use serde_json::json;

use crate::app::offline::cancel_here;
use crate::cli::Context;
use crate::cli::actor::actor;
use crate::cli::daemon;
use crate::cli::error::{CliError, Exit};
use crate::model::run::RunState;
use crate::server::protocol::{CancelRun, Cancelled};

/// End a run; what is being sent is awaited first
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The run: its id, the beginning of it, or `last`
    run: String,
    /// Why: kept with the run
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

pub(super) async fn run(args: Args, context: &Context) -> Result<Exit, CliError> {
    let settings = context.settings()?;
    let store = context.store(&settings).await?;
    let id = super::named(&store, &args.run).await?;
    let state = match daemon::connect(&settings).await? {
        Some(mut client) => {
            let asked = CancelRun {
                actor: actor(),
                reason: args.reason,
            };
            client
                .post::<Cancelled>(&format!("/v1/runs/{id}/cancel"), &asked)
                .await?
                .state
        }
        None => cancel_here(&settings, id, &actor(), &args.reason).await?,
    };
    let output = &context.output;
    if output.json {
        output.object("bursar.cancelled/1", &json!({ "run": id, "state": state }))?;
        return Ok(Exit::Ok);
    }
    output.print(&match state {
        RunState::Running => format!("{id} ends after its present step"),
        RunState::Queued | RunState::Waiting => format!("{id} ends when it is known what became of what it has sent"),
        state => format!("{id} is {state}"),
    })?;
    Ok(Exit::Ok)
}
