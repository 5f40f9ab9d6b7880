//! `bursar sim`: a simulated bank to try scripts on.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Subcommand;
use serde_json::{Value as Json, json};

use super::Context;
use super::error::{CliError, Exit};
use super::input;
use super::output::{FAINT, STRONG, Table};
use crate::base::clock::SystemClock;
use crate::simulator::config::{SimulatorConfig, SimulatorError};
use crate::simulator::{Running, Simulator};

/// Run a simulated bank to try scripts on
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(Serve),
}

/// Serve the simulated bank until Ctrl-C; it keeps nothing
#[derive(Debug, clap::Args)]
struct Serve {
    /// Where; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:4010")]
    listen: SocketAddr,
    /// Decides every id and every random choice: the same seed makes the same bank
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// Accounts, faults and timing as JSON, instead of the demo company
    #[arg(long = "setup", value_name = "FILE")]
    setup: Option<PathBuf>,
}

pub(super) fn run(args: Args, context: &Context) -> Result<Exit, CliError> {
    let Command::Serve(args) = args.command;
    let config = config(&args)?;
    context.wait(serve(config, context))
}

fn config(args: &Serve) -> Result<SimulatorConfig, CliError> {
    let mut config = match &args.setup {
        None => SimulatorConfig::demo(),
        Some(file) => serde_json::from_value(input::json(file)?).map_err(|error| {
            CliError::usage(format!("{}: {error}", file.display())).hint("leave --setup out for the demo company")
        })?,
    };
    config.listen = args.listen;
    if let Some(seed) = args.seed {
        config.seed = seed;
    }
    Ok(config)
}

async fn serve(config: SimulatorConfig, context: &Context) -> Result<Exit, CliError> {
    let (key, secret) = (
        config.api_keys.first().map(|key| key.key.clone()),
        config.webhook_secret.clone(),
    );
    let running = Simulator::start(config, Arc::new(SystemClock::new()))
        .await
        .map_err(|error| {
            let hint = match &error {
                SimulatorError::Listen { .. } => "choose another: --listen 127.0.0.1:0 takes a free port",
                SimulatorError::Config(_) => "correct the file that --setup names",
            };
            CliError::new(Exit::Usage, error.to_string()).hint(hint)
        })?;
    introduce(&running, &key.unwrap_or_default(), &secret, context)?;
    tokio::signal::ctrl_c().await?;
    running.stop().await;
    Ok(Exit::Ok)
}

/// The credentials printed here open nothing but this process.
fn introduce(running: &Running, key: &str, secret: &str, context: &Context) -> Result<(), CliError> {
    let accounts = running.control.accounts();
    let output = &context.output;
    if output.json {
        let body = json!({ "base_url": running.url(), "api_key": key, "webhook_secret": secret, "accounts": accounts });
        return output.object("bursar.simulator/1", &body);
    }
    output.print(&format!(
        "{STRONG}a simulated bank{STRONG:#}, real in everything but the money\n  base_url        {}\n  api key         {key}\n  webhook secret  {secret}",
        running.url(),
    ))?;
    let mut table = Table::new(&["account", "balance", "id"]).right(&[1]).whole(&[2]);
    for account in &accounts {
        let text = |name: &str| account[name].as_str().unwrap_or("").to_owned();
        let balance = running.control.balance(text("id").parse().unwrap_or_default());
        let balance = balance.map_or_else(String::new, |money| money.to_string());
        table.row([label(account).into(), balance.into(), text("id").into()]);
    }
    output.table(&table)?;
    output.note(&format!(
        "{FAINT}faults, deposits and the ledger: {}/_sim/; Ctrl-C ends it{FAINT:#}",
        running.url()
    ));
    Ok(())
}

fn label(account: &Json) -> String {
    ["label", "account_label", "name"]
        .iter()
        .find_map(|name| account[*name].as_str())
        .unwrap_or("")
        .to_owned()
}
