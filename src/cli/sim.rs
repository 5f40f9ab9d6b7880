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
use crate::simulator::config::ivy::IvyConfig;
use crate::simulator::config::payaut::PayautConfig;
use crate::simulator::config::payments::PaymentsConfig;
use crate::simulator::config::{SimulatorConfig, SimulatorError, SubscriptionSeed};
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
    /// Where signed webhooks are posted [default: http://127.0.0.1:8080/hooks/bank, unless --setup says where]
    #[arg(long, value_name = "URL")]
    webhooks: Option<String>,
}

/// Where the daemon takes the webhooks of its connections, as `bursar init --all` writes them.
const DAEMON_DOOR: &str = "http://127.0.0.1:8080/hooks/bank";
const SHOP_DOOR: &str = "http://127.0.0.1:8080/hooks/shop";
const CARDS_DOOR: &str = "http://127.0.0.1:8080/hooks/cards";

pub(super) fn run(args: Args, context: &Context) -> Result<Exit, CliError> {
    let Command::Serve(args) = args.command;
    let config = config(&args)?;
    context.wait(serve(config, context))
}

fn config(args: &Serve) -> Result<SimulatorConfig, CliError> {
    let mut config = match &args.setup {
        None => SimulatorConfig {
            ivy: IvyConfig::demo(),
            payments: PaymentsConfig::demo(),
            payaut: PayautConfig::demo(),
            ..SimulatorConfig::demo()
        },
        Some(file) => serde_json::from_value(input::json(file)?).map_err(|error| {
            CliError::usage(format!("{}: {error}", file.display())).hint("leave --setup out for the demo company")
        })?,
    };
    config.listen = args.listen;
    let door = match (&args.webhooks, &args.setup) {
        (Some(url), _) => Some(url.clone()),
        (None, None) => Some(DAEMON_DOOR.to_owned()),
        (None, Some(_)) => None,
    };
    let every_event_at = |url: String| SubscriptionSeed {
        url,
        events: vec!["*".to_owned()],
        secret: None,
    };
    config.subscriptions.extend(door.map(every_event_at));
    if args.webhooks.is_none() && args.setup.is_none() {
        config.ivy.subscriptions.push(every_event_at(SHOP_DOOR.to_owned()));
        config
            .payments
            .subscriptions
            .push(every_event_at(CARDS_DOOR.to_owned()));
    }
    if let Some(seed) = args.seed {
        config.seed = seed;
    }
    Ok(config)
}

async fn serve(config: SimulatorConfig, context: &Context) -> Result<Exit, CliError> {
    let facts = Facts {
        api_key: config.api_keys.first().map(|key| key.key.clone()).unwrap_or_default(),
        webhook_secret: config.webhook_secret.clone(),
        webhooks: [
            &config.subscriptions,
            &config.ivy.subscriptions,
            &config.payments.subscriptions,
        ]
        .into_iter()
        .flatten()
        .map(|seed| seed.url.clone())
        .collect(),
        others: [
            ("ivy", config.ivy.api_keys.first()),
            ("payments", config.payments.api_keys.first()),
            ("payaut", config.payaut.tokens.first()),
        ]
        .into_iter()
        .filter_map(|(name, key)| Some((name, key?.clone())))
        .collect(),
    };
    let running = Simulator::start(config, Arc::new(SystemClock::new()))
        .await
        .map_err(|error| {
            let (exit, hint) = match &error {
                SimulatorError::Listen { .. } => (
                    Exit::Failed,
                    "end what listens there, or choose another: --listen 127.0.0.1:0 takes a free port",
                ),
                SimulatorError::Config(_) => (Exit::Usage, "correct the file that --setup names"),
            };
            CliError::new(exit, error.to_string()).hint(hint)
        })?;
    introduce(&running, &facts, context)?;
    tokio::signal::ctrl_c().await?;
    running.stop().await;
    Ok(Exit::Ok)
}

/// What a daemon has to know of the simulator. The credentials open nothing but this process.
struct Facts {
    api_key: String,
    webhook_secret: String,
    webhooks: Vec<String>,
    /// The other providers, each with a key.
    others: Vec<(&'static str, String)>,
}

fn introduce(running: &Running, facts: &Facts, context: &Context) -> Result<(), CliError> {
    let accounts = running.control.accounts();
    let output = &context.output;
    let url = running.url();
    let Facts {
        api_key,
        webhook_secret,
        webhooks,
        others,
    } = facts;
    if output.json {
        let body = json!({
            "base_url": url,
            "api_key": api_key,
            "webhook_secret": webhook_secret,
            "webhooks": webhooks,
            "other_providers": others.iter().map(|(name, key)| json!({ "connector": name, "base_url": format!("{url}/{name}"), "api_key": key })).collect::<Vec<_>>(),
            "accounts": accounts,
        });
        return output.object("bursar.simulator/1", &body);
    }
    output.print(&format!(
        "{STRONG}a simulated bank{STRONG:#}, real in everything but the money; Ctrl-C ends it, and it keeps nothing\n\n"
    ))?;
    let mut table = Table::new(&["account", "balance", "id"]).right(&[1]).whole(&[2]);
    for account in &accounts {
        let text = |name: &str| account[name].as_str().unwrap_or("").to_owned();
        let balance = running.control.balance(text("id").parse().unwrap_or_default());
        let balance = balance.map_or_else(String::new, |money| money.to_string());
        table.row([label(account).into(), balance.into(), text("id").into()]);
    }
    output.table(&table)?;
    let posted = match webhooks.as_slice() {
        [] => "nowhere: --webhooks http://127.0.0.1:8080/hooks/bank names a daemon".to_owned(),
        urls => urls.join(", "),
    };
    output.print(&format!(
        "\nbursar.toml, as `bursar init` writes it:\n  \
           [connection.bank]\n  \
           connector       = \"augustus\"\n  \
           base_url        = \"{url}\"\n  \
           api_key         = {{ file = \"secrets/bank.key\" }}            {FAINT}# holds {api_key}{FAINT:#}\n  \
           webhook_secrets = [{{ file = \"secrets/bank-webhook.key\" }}]  {FAINT}# holds {webhook_secret}{FAINT:#}\n\n\
         webhooks go to {posted}\n\n\
         other providers on the same ledger:"
    ))?;
    for (name, key) in others {
        output.print(&format!("  {name:<9} {url}/{name}  {FAINT}# its key is {key}{FAINT:#}"))?;
    }
    output.note(&format!(
        "\ntry, in other terminals:\n  \
           bursar run nightly-sweep\n  \
           bursar serve    {FAINT}# then pay something in, which starts a workflow by webhook:{FAINT:#}\n  \
           curl {url}/_sim/deposits -d '{DEPOSIT}'\n  \
           curl {url}/_sim/ledger    {FAINT}# every cent; /_sim/effects, /_sim/events, /_sim/faults too{FAINT:#}"
    ));
    Ok(())
}

/// A customer's payment that `split-settlement` shares.
const DEPOSIT: &str =
    r#"{"account": "Marketplace EUR", "amount": "120.00", "bank_statement_reference": "SELLER-042 order 17"}"#;

fn label(account: &Json) -> String {
    ["label", "account_label", "name"]
        .iter()
        .find_map(|name| account[*name].as_str())
        .unwrap_or("")
        .to_owned()
}
