//! `bursar webhooks register|ls|rotate|unregister|test`: subscriptions at a provider.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{SubsecRound as _, TimeDelta};
use serde_json::json;

use crate::app::offline::load_workflows;
use crate::app::settings::{Secrets, Settings};
use crate::app::subscriptions::{Desk, Done, Registered, Subscription, SubscriptionError};
use crate::base::clock::{Clock as _, SystemClock};
use crate::base::secret::Secret;
use crate::cli::error::{CliError, Exit};
use crate::cli::output::{FAINT, Table};
use crate::cli::text::{clean, one_line};
use crate::cli::{Context, connections, daemon};
use crate::connector::client::Client;
use crate::connector::connection::Connection;
use crate::model::value::time_text;
use crate::model::workflow::Trigger;
use crate::store::EventQuery;

/// How often it is looked whether a test event has arrived.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Test events looked at.
const TESTS_MAX: u32 = 100;

/// Have a provider send webhooks to this daemon's public address
///
/// One subscription for an address: asked again, it is left as it is, or sent other types of event. What webhooks are
/// signed with is never shown unless you say so.
#[derive(Debug, clap::Args)]
pub(super) struct Register {
    /// The connection
    #[arg(long, value_name = "NAME")]
    connection: String,
    /// The public address of the door; without a path, /hooks/NAME is added
    #[arg(long, value_name = "URL")]
    url: String,
    /// Types of event, with commas between; `*` for all [default: those the workflows listen to]
    #[arg(long, value_name = "TYPES", value_delimiter = ',')]
    events: Vec<String>,
    #[command(flatten)]
    keep: Keep,
}

/// List where a provider sends webhooks
#[derive(Debug, clap::Args)]
pub(super) struct Ls {
    /// The connection
    #[arg(long, value_name = "NAME")]
    connection: String,
}

/// Get a new secret, while the old one is good for a while longer
///
/// A second subscription is made for the same address. Both send everything meanwhile, and what comes twice is taken once.
/// `unregister` ends the old one.
#[derive(Debug, clap::Args)]
pub(super) struct Rotate {
    /// The connection
    #[arg(long, value_name = "NAME")]
    connection: String,
    /// The subscription that is replaced [default: the only one]
    #[arg(long, value_name = "ID")]
    subscription: Option<String>,
    /// For how many hours the old secret stays good
    #[arg(long, value_name = "HOURS", default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=720))]
    overlap: u32,
    #[command(flatten)]
    keep: Keep,
}

/// End a subscription
#[derive(Debug, clap::Args)]
pub(super) struct Unregister {
    /// The subscription, as `ls` shows it
    id: String,
    /// The connection
    #[arg(long, value_name = "NAME")]
    connection: String,
}

/// Have the provider send a test event, and wait until the daemon has it
///
/// Exit code 0 when it arrived, 3 when it did not in time.
#[derive(Debug, clap::Args)]
pub(super) struct Test {
    /// The connection
    #[arg(long, value_name = "NAME")]
    connection: String,
    /// The subscription [default: the only one]
    #[arg(long, value_name = "ID")]
    subscription: Option<String>,
    /// How many seconds to wait for it
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    timeout: u32,
}

/// What becomes of a secret that the provider gives.
#[derive(Debug, clap::Args)]
struct Keep {
    /// Write the secret to this new file, which only you can read, if the provider gives it
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// Show the secret, if the provider gives it
    #[arg(long)]
    show_secret: bool,
}

impl From<SubscriptionError> for CliError {
    fn from(error: SubscriptionError) -> Self {
        let exit = match &error {
            SubscriptionError::NotOffered(_) => Exit::Usage,
            SubscriptionError::Refused(_) => Exit::Refused,
            SubscriptionError::NotThere(_) => Exit::NotFound,
            SubscriptionError::Unknown(_) => Exit::Unreachable,
        };
        Self::new(exit, error.to_string())
    }
}

fn desk(connection: &Connection) -> Result<Desk<'_>, CliError> {
    let client = Client::new().map_err(|error| CliError::new(Exit::Failed, error.to_string()))?;
    Ok(Desk::of(client, connection)?)
}

pub(super) async fn register(args: Register, context: &Context) -> Result<Exit, CliError> {
    let settings = context.workplace(Secrets::Optional)?;
    let connection = connections::named(&settings, &args.connection)?;
    let desk = desk(&connection)?;
    args.keep.can_write()?;
    let events = if args.events.is_empty() {
        events_of(&settings, &connection.name)?
    } else {
        args.events
    };
    if let [unknown, ..] = desk.unknown_events(&events).as_slice() {
        let known: Vec<&str> = desk.subscribable().collect();
        let error = CliError::usage(format!("`{unknown}` is no type of event to subscribe to"));
        return Err(error.hint(format!("there are: {}", known.join(", "))));
    }
    let url = door_at(&args.url, &connection.name);
    let mut registered = desk.register(&url, &events).await?;
    let kept = args.keep.keep(registered.secret.as_ref())?;
    see(&desk, &args.keep, &mut registered, kept.as_deref(), context).await?;
    let output = &context.output;
    if output.json {
        output.object(
            "bursar.webhook.registered/1",
            &shown(&connection, &registered, &args.keep, kept.as_deref()),
        )?;
        return Ok(Exit::Ok);
    }
    let subscription = &registered.subscription;
    let done = match registered.done {
        Done::Made => "registered",
        Done::Changed => "changed",
        Done::Nothing => "registered already",
    };
    output.print(&format!(
        "{done}: {}\n{}",
        in_full(subscription),
        clean(&subscription.url)
    ))?;
    if registered.done == Done::Made {
        let file = kept
            .or_else(|| args.keep.secret_file.clone())
            .unwrap_or_else(|| PathBuf::from(format!("secrets/{}-webhook.key", connection.name)));
        say_secret(&desk, &args.keep, &registered, &file, context)?;
        output.print(&format!(
            "[connection.{}]\nwebhook_secrets = [{{ file = \"{}\" }}]",
            connection.name,
            file.display()
        ))?;
    }
    Ok(Exit::Ok)
}

pub(super) async fn ls(args: Ls, context: &Context) -> Result<Exit, CliError> {
    let settings = context.workplace(Secrets::Optional)?;
    let connection = connections::named(&settings, &args.connection)?;
    let subscriptions = desk(&connection)?.list().await?;
    let output = &context.output;
    let mut table = Table::new(&["subscription", "address", "events", "made"]).whole(&[0]);
    for subscription in &subscriptions {
        if output.json {
            output.object("bursar.webhook.subscription/1", subscription)?;
            continue;
        }
        table.row([
            (&subscription.id).into(),
            one_line(&subscription.url).into(),
            one_line(&subscription.events.join(", ")).into(),
            subscription.created_at.as_deref().unwrap_or_default().into(),
        ]);
    }
    if output.json {
        return Ok(Exit::Ok);
    }
    if table.is_empty() {
        output.note("no subscriptions; `bursar webhooks register` makes one");
        return Ok(Exit::Ok);
    }
    output.table(&table)?;
    Ok(Exit::Ok)
}

pub(super) async fn rotate(args: Rotate, context: &Context) -> Result<Exit, CliError> {
    let settings = context.workplace(Secrets::Optional)?;
    let connection = connections::named(&settings, &args.connection)?;
    let desk = desk(&connection)?;
    args.keep.can_write()?;
    let old = chosen(&desk, args.subscription.as_deref()).await?;
    let mut registered = desk.renew(&old).await?;
    let kept = args.keep.keep(registered.secret.as_ref())?;
    see(&desk, &args.keep, &mut registered, kept.as_deref(), context).await?;
    let now = context.now();
    let end = (now + TimeDelta::hours(args.overlap.into())).trunc_subsecs(0);
    let not_after = time_text(end);
    let output = &context.output;
    if output.json {
        let mut told = shown(&connection, &registered, &args.keep, kept.as_deref());
        if let Some(told) = told.as_object_mut() {
            told.insert("replaces".to_owned(), json!(old.id));
            told.insert("not_after".to_owned(), json!(not_after));
        }
        output.object("bursar.webhook.rotated/1", &told)?;
        return Ok(Exit::Ok);
    }
    let name = &connection.name;
    let file = kept
        .or_else(|| args.keep.secret_file.clone())
        .unwrap_or_else(|| PathBuf::from(format!("secrets/{name}-webhook-{}.key", now.format("%Y%m%d"))));
    output.print(&format!("new: {}", in_full(&registered.subscription)))?;
    say_secret(&desk, &args.keep, &registered, &file, context)?;
    let places = settings.webhook_secret_places.get(name);
    let old_ones = places.into_iter().flatten().filter_map(|place| place.until(now, end));
    let old_ones: String = old_ones.map(|place| format!("  {place},  # the old one\n")).collect();
    output.print(&format!(
        "[connection.{name}]\nwebhook_secrets = [\n  {{ file = \"{}\" }},\n{old_ones}]\n{FAINT}then start the daemon again, see that webhooks \
         come (`bursar webhooks test --connection {name} --subscription {}`), and end the old one:\n  bursar webhooks \
         unregister --connection {name} {}{FAINT:#}",
        file.display(),
        registered.subscription.id,
        old.id,
    ))?;
    Ok(Exit::Ok)
}

pub(super) async fn unregister(args: Unregister, context: &Context) -> Result<Exit, CliError> {
    let settings = context.workplace(Secrets::Optional)?;
    let connection = connections::named(&settings, &args.connection)?;
    desk(&connection)?.end(&args.id).await?;
    if context.output.json {
        let told = json!({"connection": connection.name, "id": args.id});
        context.output.object("bursar.webhook.unregistered/1", &told)?;
    } else {
        context.output.print(&format!("{} is ended", clean(&args.id)))?;
    }
    Ok(Exit::Ok)
}

pub(super) async fn test(args: Test, context: &Context) -> Result<Exit, CliError> {
    let settings = context.workplace(Secrets::Optional)?;
    let connection = connections::named(&settings, &args.connection)?;
    let desk = desk(&connection)?;
    if daemon::connect(&settings).await?.is_none() {
        let error = CliError::new(Exit::Unreachable, "no daemon runs here that could take a webhook");
        return Err(error.hint("start it: `bursar serve`; or watch: `bursar webhooks listen`"));
    }
    let store = context.store(&settings).await?;
    let subscription = chosen(&desk, args.subscription.as_deref()).await?;
    let event = desk.test(&subscription.id).await?;
    let query = EventQuery {
        connection: Some(connection.name.clone()),
        kind: desk.test_event().map(str::to_owned),
        limit: TESTS_MAX,
        ..EventQuery::default()
    };
    let clock = SystemClock::new();
    let arrived = async {
        loop {
            let events = store.events(query.clone()).await?;
            if let Some(found) = events.into_iter().find(|found| found.provider_id == event) {
                return Ok::<_, CliError>(found);
            }
            clock.sleep(LOOK_EVERY).await;
        }
    };
    let patience = Duration::from_secs(args.timeout.into());
    let arrived = tokio::time::timeout(patience, arrived).await.ok().transpose()?;
    let output = &context.output;
    if output.json {
        let told = json!({
            "connection": connection.name,
            "subscription": subscription.id,
            "provider_id": event,
            "event": arrived.as_ref().map(|event| event.id),
        });
        output.object("bursar.webhook.test/1", &told)?;
    }
    match arrived {
        Some(found) => {
            if !output.json {
                output.print(&format!("arrived: {}  {}", found.id, clean(&found.kind)))?;
            }
            Ok(Exit::Ok)
        }
        None => {
            let message = format!("the test event did not arrive within {} s", args.timeout);
            output.complain(&format!(
                "{message}: is {} this daemon's door, and is its secret in `webhook_secrets`? `bursar webhooks listen` says \
                 why one is refused",
                clean(&subscription.url)
            ));
            Ok(Exit::NeedsPerson)
        }
    }
}

/// The types that workflows listen to on a connection.
fn events_of(settings: &Settings, connection: &str) -> Result<Vec<String>, CliError> {
    let loaded = load_workflows(settings);
    let triggers = loaded.workflows.values().flat_map(|workflow| &workflow.triggers);
    let events: BTreeSet<String> = triggers
        .filter_map(|trigger| match trigger {
            Trigger::Webhook {
                connection: of, events, ..
            } if of == connection => Some(events.clone()),
            _ => None,
        })
        .flatten()
        .collect();
    if events.is_empty() {
        let error = CliError::usage(format!("no workflow listens to events of `{connection}`"));
        return Err(error.hint("name them: --events deposit.received,payout.paid; or all: --events '*'"));
    }
    Ok(events.into_iter().collect())
}

/// The whole address of the door.
fn door_at(url: &str, connection: &str) -> String {
    let bare = url.trim_end_matches('/');
    let rest = bare.split_once("://").map_or(bare, |(_, rest)| rest);
    if rest.contains('/') {
        url.to_owned()
    } else {
        format!("{bare}/hooks/{connection}")
    }
}

/// The subscription of this id, or the only one.
async fn chosen(desk: &Desk<'_>, id: Option<&str>) -> Result<Subscription, CliError> {
    let mut there = desk.list().await?;
    match (id, there.len()) {
        (Some(id), _) => {
            let found = there.into_iter().find(|known| known.id == id);
            found.ok_or_else(|| CliError::not_found(format!("there is no subscription {id}")))
        }
        (None, 1) => Ok(there.remove(0)),
        (None, 0) => Err(CliError::not_found("there is no subscription").hint("`bursar webhooks register` makes one")),
        (None, _) => {
            let ids: Vec<&str> = there.iter().map(|known| known.id.as_str()).collect();
            let error = CliError::usage("there are several subscriptions");
            Err(error.hint(format!("say which: --subscription {}", ids.join(" | "))))
        }
    }
}

fn in_full(subscription: &Subscription) -> String {
    format!(
        "{}  {}",
        clean(&subscription.id),
        clean(&subscription.events.join(", "))
    )
}

fn shown(connection: &Connection, registered: &Registered, keep: &Keep, kept: Option<&Path>) -> serde_json::Value {
    let secret = registered.secret.as_ref().filter(|_| keep.show_secret);
    json!({
        "connection": connection.name,
        "done": registered.done,
        "subscription": registered.subscription,
        "secret_file": kept,
        "secret": secret.map(Secret::expose),
    })
}

/// Looks whether the provider lists what it took. The secret is kept by then; where only this output has it, it is shown
/// before anything else can go wrong.
async fn see(
    desk: &Desk<'_>,
    keep: &Keep,
    registered: &mut Registered,
    kept: Option<&Path>,
    context: &Context,
) -> Result<(), CliError> {
    if registered.done == Done::Nothing {
        return Ok(());
    }
    match desk.seen(&registered.subscription, &SystemClock::new()).await {
        Ok(seen) => {
            registered.subscription = seen;
            Ok(())
        }
        Err(error) => {
            let output = &context.output;
            if let Some(secret) = registered.secret.as_ref().filter(|_| keep.show_secret) {
                output.note(&format!("secret: {}", clean(secret.expose())));
            }
            if let Some(file) = kept {
                output.note(&format!("the secret is in {}", file.display()));
            }
            Err(error.into())
        }
    }
}

/// Says where the secret is, or shows it if that was asked for.
fn say_secret(
    desk: &Desk<'_>,
    keep: &Keep,
    registered: &Registered,
    file: &Path,
    context: &Context,
) -> Result<(), CliError> {
    let output = &context.output;
    match &registered.secret {
        Some(secret) if keep.show_secret => output.print(&format!("secret: {}", clean(secret.expose())))?,
        Some(_) if keep.secret_file.is_some() => output.note(&format!("the secret is in {}", file.display())),
        Some(_) => output.note("the secret was given and not kept: --secret-file or --show-secret, with `rotate`"),
        None => output.note(&format!(
            "what it is signed with is shown {}. Put it into {}, readable for you alone:\n  install -m 600 /dev/stdin {}",
            desk.secret_shown(),
            file.display(),
            file.display()
        )),
    }
    Ok(())
}

impl Keep {
    /// Before anything is asked for: a secret that cannot be kept would be lost.
    fn can_write(&self) -> Result<(), CliError> {
        let Some(file) = &self.secret_file else { return Ok(()) };
        if file.exists() {
            let error = CliError::usage(format!("{} is there already", file.display()));
            return Err(error.hint("a secret is written to a new file"));
        }
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        let is_fit = folder
            .metadata()
            .is_ok_and(|found| found.is_dir() && !found.permissions().readonly());
        if is_fit {
            return Ok(());
        }
        let error = CliError::usage(format!("{} is no folder that can be written to", folder.display()));
        Err(error.hint("make it first: the secret is given once"))
    }

    /// Writes a secret to its file; which one that is, if there is one and a secret came.
    fn keep(&self, secret: Option<&Secret>) -> Result<Option<PathBuf>, CliError> {
        let (Some(file), Some(secret)) = (&self.secret_file, secret) else {
            return Ok(None);
        };
        let written = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(file)
            .and_then(|mut open| {
                open.write_all(secret.expose().as_bytes())
                    .and_then(|()| open.sync_all())
            });
        written.map_err(|error| {
            CliError::new(
                Exit::Failed,
                format!(
                    "the subscription is made, but {} cannot be written: {error}",
                    file.display()
                ),
            )
            .hint("end it and make another: `bursar webhooks unregister`")
        })?;
        Ok(Some(file.clone()))
    }
}
