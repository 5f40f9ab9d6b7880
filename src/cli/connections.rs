//! `bursar connections`: which accounts at providers are configured, and whether their keys work.

use std::collections::BTreeMap;
use std::sync::Arc;

use clap::Subcommand;
use serde::Serialize;

use super::Context;
use super::diagnostics::concise;
use super::error::{CliError, Exit};
use super::output::{Cell, Table, Tone};
use super::text::{count, one_line, time};
use crate::app::settings::{Secrets, Settings};
use crate::base::suggest::nearest;
use crate::connector::client::Client;
use crate::connector::connection::Connection;
use crate::connector::reply::{Verdict, classify};
use crate::connector::request::prepare;
use crate::model::breaker::Cause;
use crate::model::value::{Map, Value};
use crate::server::protocol::HeldConnection;

/// List connections and try their keys
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List what is configured; secrets are never shown
    Ls,
    /// Try each connection by one harmless read
    ///
    /// Is it reachable, is the key good, what may the key do? Exit code 7 if one cannot be reached, 5 if a key is refused.
    Check {
        /// Only this one
        name: Option<String>,
    },
}

pub(super) fn run(args: &Args, context: &Context) -> Result<Exit, CliError> {
    match &args.command {
        Command::Ls => {
            let settings = context.workplace(Secrets::Optional)?;
            context.wait(ls(&settings, context))
        }
        Command::Check { name } => {
            let settings = context.workplace(Secrets::Needed)?;
            let chosen = chosen(&settings, name.as_deref())?;
            context.wait(check(chosen, context))
        }
    }
}

#[derive(Serialize)]
struct Listed<'a> {
    name: &'a str,
    connector: &'a str,
    base_url: &'a str,
    api_key: bool,
    webhook_secrets: usize,
    /// Calls whose path it says itself.
    paths: BTreeMap<&'a str, &'a str>,
    /// Why nothing new is begun on it, if that is so.
    held: Option<HeldConnection>,
}

async fn ls(settings: &Settings, context: &Context) -> Result<Exit, CliError> {
    let output = &context.output;
    // Where no daemon ever ran, none is held.
    let held = match context.store(settings).await {
        Ok(store) => store.breakers().await?,
        Err(_) => Vec::new(),
    };
    let listed = settings.connections.values().map(|connection| Listed {
        name: &connection.name,
        connector: &connection.connector.name,
        base_url: &connection.base_url,
        api_key: connection.credential.is_some(),
        webhook_secrets: connection.webhook_secrets.len(),
        paths: connection
            .connector
            .own_paths()
            .map(|(endpoint, _)| (endpoint.name.as_str(), endpoint.path.as_str()))
            .collect(),
        held: held
            .iter()
            .find(|tripped| tripped.connection == connection.name)
            .map(HeldConnection::from),
    });
    if output.json {
        for connection in listed {
            output.object("bursar.connection/1", &connection)?;
        }
        return Ok(Exit::Ok);
    }
    for absent in &settings.absent_secrets {
        output.complain(&concise(&absent.finding));
    }
    let mut table = Table::new(&[
        "connection",
        "connector",
        "address",
        "api key",
        "webhook secrets",
        "new payments",
    ])
    .right(&[4]);
    for connection in listed {
        let key = if connection.api_key {
            Cell::toned("set", Tone::Good)
        } else {
            Cell::toned("none", Tone::Attention)
        };
        table.row([
            connection.name.into(),
            connection.connector.into(),
            connection.base_url.into(),
            key,
            connection.webhook_secrets.to_string().into(),
            match &connection.held {
                None => "begin".into(),
                Some(held) => Cell::toned(
                    format!(
                        "{} since {}: {}",
                        if held.cause == Cause::Credentials.name() {
                            "nothing is asked"
                        } else {
                            "held"
                        },
                        time(held.since),
                        one_line(&held.reason)
                    ),
                    Tone::Attention,
                ),
            },
        ]);
    }
    if table.is_empty() {
        output.note("no connections; `bursar init` shows how one is written");
        return Ok(Exit::Ok);
    }
    output.table(&table)?;
    for connection in settings.connections.values() {
        for (endpoint, written) in connection.connector.own_paths() {
            let (name, call, path) = (&connection.name, &endpoint.name, &endpoint.path);
            output.note(&format!("{name}: {call} at {path}, where the table says {written}"));
        }
    }
    Ok(Exit::Ok)
}

fn chosen(settings: &Settings, name: Option<&str>) -> Result<Vec<Arc<Connection>>, CliError> {
    match name {
        None => Ok(settings.connections.values().cloned().collect()),
        Some(name) => Ok(vec![named(settings, name)?]),
    }
}

/// The connection of this name.
pub(super) fn named(settings: &Settings, name: &str) -> Result<Arc<Connection>, CliError> {
    if let Some(connection) = settings.connections.get(name) {
        return Ok(connection.clone());
    }
    let error = CliError::not_found(format!("there is no connection `{name}`"));
    Err(match nearest(name, settings.connections.keys().map(String::as_str)) {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None => error.hint("`bursar connections ls` lists them; they stand in bursar.toml as [connection.NAME]"),
    })
}

/// What one harmless read came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Probe {
    name: String,
    endpoint: String,
    reachable: bool,
    /// Nothing, if it could not be found out.
    authorised: Option<bool>,
    scopes: Vec<String>,
    message: String,
}

impl Probe {
    fn exit(&self) -> Exit {
        match (self.reachable, self.authorised) {
            (false, _) => Exit::Unreachable,
            (true, Some(true)) => Exit::Ok,
            (true, Some(false)) => Exit::Refused,
            (true, None) => Exit::Failed,
        }
    }
}

async fn check(connections: Vec<Arc<Connection>>, context: &Context) -> Result<Exit, CliError> {
    let output = &context.output;
    if connections.is_empty() {
        output.note("no connections; `bursar init` shows how one is written");
        return Ok(Exit::Ok);
    }
    let client = Client::new().map_err(|error| CliError::new(Exit::Failed, error.to_string()))?;
    let mut worst = Exit::Ok;
    let mut table = Table::new(&["connection", "reachable", "key", "may", "by"]);
    for connection in connections {
        let probe = probe(&client, &connection).await;
        worst = worst.max(probe.exit());
        if output.json {
            output.object("bursar.connection.check/1", &probe)?;
            continue;
        }
        let yes_no = |yes: bool| {
            if yes {
                Cell::toned("yes", Tone::Good)
            } else {
                Cell::toned("no", Tone::Bad)
            }
        };
        let key = match probe.authorised {
            Some(true) => Cell::toned("good", Tone::Good),
            Some(false) => Cell::toned("refused", Tone::Bad),
            None => Cell::toned("not known", Tone::Attention),
        };
        let may = if probe.scopes.is_empty() {
            probe.message.clone()
        } else {
            probe.scopes.join(", ")
        };
        table.row([
            probe.name.as_str().into(),
            yes_no(probe.reachable),
            key,
            one_line(&may).into(),
            Cell::toned(&probe.endpoint, Tone::Faint),
        ]);
    }
    if !output.json {
        output.table(&table)?;
    }
    Ok(worst)
}

async fn probe(client: &Client, connection: &Connection) -> Probe {
    let mut probe = Probe {
        name: connection.name.clone(),
        endpoint: String::new(),
        reachable: false,
        authorised: None,
        scopes: Vec::new(),
        message: String::new(),
    };
    let Some(endpoint) = connection.connector.harmless_read() else {
        probe.message = format!("{} has no read that needs no arguments", connection.connector.title);
        return probe;
    };
    probe.endpoint.clone_from(&endpoint.name);
    if connection.credential.is_none() {
        probe.message = "no api_key is set in bursar.toml: nothing was sent".to_owned();
        return probe;
    }
    let prepared = match prepare(connection, endpoint, &Map::new(), None) {
        Ok(prepared) => prepared,
        Err(failure) => {
            probe.message = failure.message;
            return probe;
        }
    };
    let answer = match client.send(connection, endpoint, &prepared.request, None).await {
        Ok(answer) => answer,
        Err(error) => {
            probe.message = error.to_string();
            return probe;
        }
    };
    probe.reachable = true;
    match classify(&connection.connector, endpoint, &prepared.request, None, &answer) {
        Verdict::Applied { value, .. } => {
            probe.authorised = Some(true);
            probe.scopes = scopes(&value);
            probe.message = match value {
                Value::List(items) => count(items.len(), "item"),
                _ => "answered".to_owned(),
            };
        }
        // Where not every key may make the call, only a 401 tells of the key.
        Verdict::NotApplied {
            failure, refused: true, ..
        } if answer.status == 403 && !endpoint.shows_key => {
            probe.authorised = Some(true);
            let (call, why) = (&endpoint.name, failure.message);
            probe.message = format!("the key is valid but may not make the call `{call}`: {why}");
        }
        Verdict::NotApplied { failure, refused, .. } => {
            probe.authorised = refused.then_some(false);
            probe.message = failure.message;
        }
        Verdict::Unknown { reason, .. } | Verdict::Contradiction { reason } => probe.message = reason,
    }
    probe
}

fn scopes(value: &Value) -> Vec<String> {
    let listed = value.get("scopes").and_then(Value::as_list).unwrap_or_default();
    listed.iter().map(Value::to_string).collect()
}
