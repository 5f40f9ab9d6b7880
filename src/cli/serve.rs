//! `bursar serve`: the daemon.

use super::Context;
use super::error::{CliError, Exit};
use super::text::{count, time};
use crate::app::daemon::{Ready, serve};
use crate::app::rotation;
use crate::app::settings::{self, Overrides, Secrets};
use crate::app::telemetry;

/// Run the daemon until it is told to stop
///
/// Takes webhooks, fires schedules, drives runs. SIGTERM or Ctrl-C stops it in good order; a second one at once.
/// Either is safe: what was under way is resumed at the next start.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Where webhooks arrive [default: 127.0.0.1:8080] [variable: BURSAR_LISTEN]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<Exit, CliError> {
    let overrides = Overrides {
        listen: args.listen.clone(),
        ..context.overrides.clone()
    };
    let settings = super::at_work(settings::load(&overrides, Secrets::Needed)?)?;
    let filter = match context.verbose {
        0 => settings.log.clone(),
        1 => "info,bursar=debug".to_owned(),
        _ => "debug,bursar=trace".to_owned(),
    };
    telemetry::start(&filter, settings.log_format, context.color_on_stderr()).map_err(CliError::usage)?;
    let waning = rotation::findings(&settings, context.now());
    for finding in settings.warnings.iter().chain(&waning) {
        context.output.complain(&super::diagnostics::concise(finding));
    }
    let output = context.output;
    let doors: Vec<String> = settings
        .connections
        .values()
        .filter(|connection| !connection.webhook_secrets.is_empty())
        .map(|connection| connection.name.clone())
        .collect();
    context.wait(async move {
        serve(settings, |ready| output.note(&banner(ready, &doors))).await?;
        Ok(Exit::Ok)
    })
}

/// What the daemon has come to. `doors` are the connections whose webhooks it can tell from forged ones.
fn banner(ready: &Ready, doors: &[String]) -> String {
    let problems = match ready.problems {
        0 => String::new(),
        number => format!(", {} with problems (`bursar check`)", count(number, "file")),
    };
    let recovered = match ready.recovered {
        0 => String::new(),
        number => format!(
            "\n  resumed    {} an earlier process left behind",
            count(usize::try_from(number).unwrap_or(usize::MAX), "run")
        ),
    };
    let parked = match ready.parked {
        0 => String::new(),
        number => format!(
            "\n  parked     {} for a person: bursar runs ls --in-state parked",
            count(usize::try_from(number).unwrap_or(usize::MAX), "run")
        ),
    };
    let restored = ready.restored.as_ref().map_or(String::new(), |restored| {
        format!(
            "\n  RECONCILE-ONLY: {}. Nothing is sent.\n             What was sent since {} is looked up and adopted; \
             then a person says: bursar db accept-restore --reason TEXT",
            restored.sign.describe(),
            time(restored.since)
        )
    });
    let webhooks = match doors {
        [] => format!("none: no connection has webhook_secrets (http://{})", ready.webhooks),
        doors => {
            let urls: Vec<String> = doors
                .iter()
                .map(|name| format!("http://{}/hooks/{name}", ready.webhooks))
                .collect();
            urls.join("\n             ")
        }
    };
    format!(
        "bursar {} is ready\n  webhooks   {webhooks}\n  control    {}\n  workflows  {}{problems}{recovered}{parked}{restored}",
        env!("CARGO_PKG_VERSION"),
        ready.control.display(),
        ready.workflows,
    )
}
