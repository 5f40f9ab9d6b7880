//! `bursar webhooks register|ls|rotate|unregister|test`: subscriptions at a provider.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write as _};
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
            SubscriptionError::Unseen(_) | SubscriptionError::Unknown(_) => Exit::Unreachable,
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
    let events = if args.events.is_empty() {
        events_of(&settings, &connection.name)?
    } else {
        args.events
    };
    let events = desk.as_sent(&events);
    if let [unknown, ..] = desk.unknown_events(&events).as_slice() {
        let known: Vec<&str> = desk.subscribable().collect();
        let error = CliError::usage(format!("`{unknown}` is no type of event to subscribe to"));
        return Err(error.hint(format!("there are: {}", known.join(", "))));
    }
    let url = door_at(&args.url, &connection.name);
    let place = args.keep.prepare(&desk)?;
    let registered = desk.register(&url, &events).await?;
    hand_over(&registered, place, &args.keep, context, |file| {
        (
            "bursar.webhook.registered/1",
            shown(&connection, &registered, &args.keep, file),
        )
    })?;
    let subscription = see(&desk, &registered).await?;
    let output = &context.output;
    if output.json {
        return Ok(Exit::Ok);
    }
    let done = match registered.done {
        Done::Made => "registered",
        Done::Changed => "changed",
        Done::Nothing => "registered already",
    };
    output.print(&format!(
        "{done}: {}\n{}",
        in_full(&subscription),
        clean(&subscription.url)
    ))?;
    if registered.done == Done::Made {
        let default = || PathBuf::from(format!("secrets/{}-webhook.key", connection.name));
        let file = args.keep.absolute()?.unwrap_or_else(default);
        say_secret(&desk, &registered, &file, context);
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
    let old = chosen(&desk, args.subscription.as_deref()).await?;
    let now = context.now();
    let end = (now + TimeDelta::hours(args.overlap.into())).trunc_subsecs(0);
    let place = args.keep.prepare(&desk)?;
    let registered = desk.renew(&old).await?;
    hand_over(&registered, place, &args.keep, context, |file| {
        let mut told = shown(&connection, &registered, &args.keep, file);
        if let Some(told) = told.as_object_mut() {
            told.insert("replaces".to_owned(), json!(old.id));
            told.insert("not_after".to_owned(), json!(time_text(end)));
        }
        ("bursar.webhook.rotated/1", told)
    })?;
    let subscription = see(&desk, &registered).await?;
    let output = &context.output;
    if output.json {
        return Ok(Exit::Ok);
    }
    let name = &connection.name;
    let default = || PathBuf::from(format!("secrets/{name}-webhook-{}.key", now.format("%Y%m%d")));
    let file = args.keep.absolute()?.unwrap_or_else(default);
    output.print(&format!("new: {}", in_full(&subscription)))?;
    say_secret(&desk, &registered, &file, context);
    let places = settings.webhook_secret_places.get(name);
    let old_ones = places.into_iter().flatten().filter_map(|place| place.until(now, end));
    let old_ones: String = old_ones.map(|place| format!("  {place},  # the old one\n")).collect();
    output.print(&format!(
        "[connection.{name}]\nwebhook_secrets = [\n  {{ file = \"{}\" }},\n{old_ones}]\n{FAINT}then start the daemon again, see that webhooks \
         come (`bursar webhooks test --connection {name} --subscription {}`), and end the old one:\n  bursar webhooks \
         unregister --connection {name} {}{FAINT:#}",
        file.display(),
        subscription.id,
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

/// Hands over what came, before anything else can fail: a secret does not come again. Shown, if that was asked for, also
/// where its file cannot be written.
fn hand_over(
    registered: &Registered,
    place: Option<Place>,
    keep: &Keep,
    context: &Context,
    told: impl FnOnce(Option<&Path>) -> (&'static str, serde_json::Value),
) -> Result<(), CliError> {
    let output = &context.output;
    let kept = match (place, &registered.secret) {
        (Some(place), Some(secret)) => place.keep(secret).map(Some),
        _ => Ok(None),
    };
    let shown = registered.secret.as_ref().filter(|_| keep.show_secret);
    let said = if output.json {
        let file = kept.as_ref().ok().and_then(|file| file.as_deref());
        let (schema, told) = told(file);
        output.object(schema, &told)
    } else {
        shown.map_or(Ok(()), |secret| {
            output.print(&format!("secret: {}", clean(secret.expose())))
        })
    };
    if let (Err(_), Some(secret)) = (&said, shown) {
        output.complain(&format!("secret: {}", clean(secret.expose())));
    }
    if let Ok(Some(file)) = &kept {
        output.note(&format!("the secret is in {}", file.display()));
    }
    said.and(kept.map(drop))
}

/// Looks whether the provider lists what it took.
async fn see(desk: &Desk<'_>, registered: &Registered) -> Result<Subscription, CliError> {
    match (&registered.subscription, registered.done) {
        (Some(known), Done::Nothing) => Ok(known.clone()),
        _ => Ok(desk.seen(registered, &SystemClock::new()).await?),
    }
}

/// Says where a secret is found that was not given.
fn say_secret(desk: &Desk<'_>, registered: &Registered, file: &Path, context: &Context) {
    if registered.secret.is_some() {
        return;
    }
    let file = file.display();
    context.output.note(&format!(
        "what it is signed with is shown {}. Put it into {file}, readable for you alone:\n  install -m 600 /dev/stdin {file}",
        desk.secret_shown(),
    ));
}

/// Whether this is a file, and no link to one, without content.
fn is_empty(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|found| found.is_file() && found.len() == 0)
}

/// A new file for a secret, which is gone again unless the secret came.
struct Place {
    path: PathBuf,
    file: File,
    is_kept: bool,
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.is_kept {
            // Empty, or a part of what cannot be used.
            drop(std::fs::remove_file(&self.path));
        }
    }
}

impl Place {
    fn new(path: PathBuf) -> Result<Self, CliError> {
        let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let file = opened.map_err(|error| {
            let shown = path.display();
            if error.kind() == ErrorKind::AlreadyExists {
                let taken = CliError::usage(format!("{shown} is there already"));
                // Another process may be waiting for its secret: only a person knows.
                taken.hint(match is_empty(&path) {
                    true => "it is empty: a command that was killed leaves it so; remove it if none is still at work",
                    false => "a secret is written to a new file",
                })
            } else {
                CliError::usage(format!("{shown} cannot be made: {error}"))
                    .hint("name another file: the secret is given once")
            }
        })?;
        Ok(Self {
            path,
            file,
            is_kept: false,
        })
    }

    /// Writes the secret, so that it outlives a power cut.
    fn keep(mut self, secret: &Secret) -> Result<PathBuf, CliError> {
        let folder = self.path.parent().unwrap_or(Path::new("/"));
        let written = self.file.write_all(secret.expose().as_bytes());
        // From here on it is better there than gone, whatever the disk says.
        self.is_kept = written.is_ok();
        let synced = written
            .and_then(|()| self.file.sync_all())
            .and_then(|()| File::open(folder)?.sync_all());
        synced.map_err(|error| {
            let message = format!(
                "the subscription is made, but {} cannot be written: {error}",
                self.path.display()
            );
            CliError::new(Exit::Failed, message).hint("end it and make another: `bursar webhooks unregister`")
        })?;
        Ok(self.path.clone())
    }
}

impl Keep {
    /// The file, whatever folder it is read from.
    fn absolute(&self) -> Result<Option<PathBuf>, CliError> {
        let file = self.secret_file.as_ref().map(std::path::absolute);
        Ok(file.transpose()?)
    }

    /// Before anything is asked for: a secret that cannot be kept would be lost.
    fn prepare(&self, desk: &Desk<'_>) -> Result<Option<Place>, CliError> {
        if desk.gives_secret() && self.secret_file.is_none() && !self.show_secret {
            let error = CliError::usage("the provider says once what it signs with, and nothing would keep it");
            return Err(error.hint("--secret-file FILE writes it to a new file; --show-secret shows it"));
        }
        self.absolute()?.map(Place::new).transpose()
    }
}
