//! `bursar webhooks send`: the part of a provider that sends them.

use std::path::PathBuf;

use serde::Serialize;
use serde_json::Value as Json;

use crate::app::settings::{Secrets, Settings};
use crate::base::clock::Instant;
use crate::base::ids::EventId;
use crate::cli::error::{CliError, Exit};
use crate::cli::text::clean;
use crate::cli::{Context, connections, daemon, input};
use crate::connector::client::{Client, SendError};
use crate::connector::connection::Connection;
use crate::connector::signature::sign;
use crate::connector::table::WebhookTable;
use crate::server::protocol::Status;

/// Sign a payload as the provider would, and post it to the door
///
/// It is a webhook like any other: what it starts is real and moves money. Exit code 0 when the door took it, 5 when it
/// does not believe it, 2 when it cannot be an event, 7 when nobody answers or is to be asked later.
#[derive(Debug, clap::Args)]
pub(super) struct Send {
    /// The payload, as the provider would send it; `-` is standard input
    file: PathBuf,
    /// Whose webhook it is to be: decides how it is signed, with its first secret that is good now
    #[arg(long, value_name = "NAME")]
    connection: String,
    /// Where [default: the door of the daemon]
    #[arg(long, value_name = "URL")]
    to: Option<String>,
    /// The id of the event, put into the payload: another one makes another event of the same file
    #[arg(long, value_name = "ID")]
    event_id: Option<String>,
}

/// What came of it.
#[derive(Debug, Serialize)]
struct Sent<'a> {
    connection: &'a str,
    to: &'a str,
    /// The id of the event, if the payload has one.
    event: Option<&'a str>,
    status: u16,
    answer: &'a str,
}

pub(super) async fn send(args: Send, context: &Context) -> Result<Exit, CliError> {
    let settings = context.workplace(Secrets::Optional)?;
    let connection = connections::named(&settings, &args.connection)?;
    let webhook = connection.connector.webhook().ok_or_else(|| {
        let title = &connection.connector.title;
        CliError::usage(format!("the table of {title} describes no webhooks"))
    })?;
    let body = input::bytes(&args.file)?;
    let (body, event) = prepared(body, webhook, args.event_id.as_deref())?;
    let to = match args.to {
        Some(to) => to,
        None => own_door(&settings, &connection.name).await?,
    };
    let headers = signed(&connection, webhook, event.as_deref(), &body, context.now())?;
    let client = Client::new().map_err(|error| CliError::new(Exit::Failed, error.to_string()))?;
    let answer = client
        .deliver(&to, &headers, body)
        .await
        .map_err(|error| match &error {
            SendError::NotSent(_) | SendError::NoCredential(_) => CliError::new(Exit::Unreachable, error.to_string())
                .hint("start the daemon: `bursar serve`; or name a door: --to"),
            SendError::Unknown(_) => CliError::new(Exit::Unreachable, error.to_string())
                .hint("send it again: a webhook that was taken is known by its event"),
        })?;
    let told = String::from_utf8_lossy(&answer.body);
    let sent = Sent {
        connection: &connection.name,
        to: &to,
        event: event.as_deref(),
        status: answer.status,
        answer: told.trim(),
    };
    if context.output.json {
        context.output.object("bursar.webhook.sent/1", &sent)?;
    } else {
        context
            .output
            .print(&format!("{} {}", sent.status, clean(sent.answer)))?;
    }
    Ok(exit(answer.status))
}

/// What an answer of a door means for a script that sends.
fn exit(status: u16) -> Exit {
    match status {
        200..=299 => Exit::Ok,
        401 | 403 => Exit::Refused,
        404 | 405 => Exit::NotFound,
        408 | 429 | 502..=504 => Exit::Unreachable,
        400..=499 => Exit::Usage,
        _ => Exit::Failed,
    }
}

/// The payload with the id that was asked for, and the id it has then.
fn prepared(
    body: Vec<u8>,
    webhook: &WebhookTable,
    wanted: Option<&str>,
) -> Result<(Vec<u8>, Option<String>), CliError> {
    let Some(pointer) = webhook.envelopes.iter().find_map(|envelope| envelope.id.as_ref()) else {
        // The id is that of the message, where the scheme has one.
        return Ok((body, wanted.map(str::to_owned)));
    };
    let parsed: Result<Json, _> = serde_json::from_slice(&body);
    let Some(wanted) = wanted else {
        // What is no event may be sent as well: the door has to say so.
        let id = parsed
            .ok()
            .and_then(|json| Some(json.pointer(pointer)?.as_str()?.to_owned()));
        return Ok((body, id));
    };
    let mut json = parsed.map_err(|error| CliError::usage(format!("the payload is not JSON: {error}")))?;
    let (parent, key) = pointer.rsplit_once('/').unwrap_or(("", pointer));
    let place = json
        .pointer_mut(parent)
        .and_then(Json::as_object_mut)
        .ok_or_else(|| CliError::usage(format!("the payload has no place for an id at {pointer}")))?;
    place.insert(key.replace("~1", "/").replace("~0", "~"), wanted.into());
    Ok((json.to_string().into_bytes(), Some(wanted.to_owned())))
}

fn signed(
    connection: &Connection,
    webhook: &WebhookTable,
    event: Option<&str>,
    body: &[u8],
    now: Instant,
) -> Result<Vec<(String, String)>, CliError> {
    let name = &connection.name;
    let secret = connection.valid_secrets(now).next().ok_or_else(|| {
        CliError::usage(format!("connection `{name}` has no webhook secret that is good now")).hint(format!(
            "webhook_secrets = [{{ file = \"secrets/{name}-webhook.key\" }}]"
        ))
    })?;
    let message = event.map_or_else(|| format!("msg_{}", EventId::generate(now)), str::to_owned);
    sign(&webhook.signature, secret, &message, now.timestamp(), body)
        .map_err(|error| CliError::usage(format!("connection `{name}`: {error}")))
}

/// Where the daemon of this folder takes webhooks, or would.
async fn own_door(settings: &Settings, connection: &str) -> Result<String, CliError> {
    let mut address = settings.listen;
    if let Some(mut client) = daemon::connect(settings).await? {
        let status: Status = client.get("/v1/status").await?;
        let told = status.listeners.get("webhooks").and_then(|told| told.parse().ok());
        address = told.unwrap_or(address);
    }
    if address.ip().is_unspecified() {
        let here = if address.is_ipv4() { "127.0.0.1" } else { "[::1]" };
        return Ok(format!("http://{here}:{}/hooks/{connection}", address.port()));
    }
    Ok(format!("http://{address}/hooks/{connection}"))
}
