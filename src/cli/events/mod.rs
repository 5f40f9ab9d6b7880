//! `bursar events`: what arrived from providers and was believed.

mod replay;

use clap::Subcommand;
use serde::Serialize;

use super::Context;
use super::error::{CliError, Exit};
use super::output::{FAINT, Table};
use super::text::{clean, cut};
use super::view::{self, when};
use crate::base::ids::EventId;
use crate::model::event::Event;
use crate::model::fate::Fate;
use crate::store::{EventQuery, StoreError};

/// So much of an id is enough to tell it from its neighbours.
const SUBJECT_LENGTH_MAX: usize = 14;

/// List, show and replay events: verified webhooks
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Ls(Ls),
    /// Show an event with its payload
    Show {
        /// The event's id
        event: EventId,
    },
    Replay(replay::Args),
}

/// List events, newest first
#[derive(Debug, clap::Args)]
struct Ls {
    /// Only of this connection
    #[arg(long, value_name = "NAME")]
    connection: Option<String>,
    /// Only of this type, such as deposit.received
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// Only those that a workflow looked at and none took
    #[arg(long)]
    filtered: bool,
    /// How many
    #[arg(long, default_value_t = 20, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
    /// Only those before this event: the next page
    #[arg(long, value_name = "EVENT")]
    before: Option<EventId>,
}

pub(super) fn run(args: Args, context: &Context) -> Result<Exit, CliError> {
    match args.command {
        Command::Ls(args) => context.wait(ls(args, context)),
        Command::Show { event } => context.wait(show(event, context)),
        Command::Replay(args) => context.wait(replay::run(args, context)),
    }
}

async fn ls(args: Ls, context: &Context) -> Result<Exit, CliError> {
    let store = context.store(&context.settings()?).await?;
    let query = EventQuery {
        connection: args.connection,
        kind: args.kind,
        before: args.before,
        filtered: args.filtered,
        limit: args.limit,
    };
    let events = store.events(query).await?;
    let fates = store.fates(events.iter().map(|event| event.id).collect()).await?;
    let fate_of = |event: &Event| fates.iter().find(|fate| fate.event == event.id);
    let output = &context.output;
    if output.json {
        for event in &events {
            output.object("bursar.event/1", &Told::of(event, fate_of(event)))?;
        }
        return Ok(Exit::Ok);
    }
    if events.is_empty() && args.filtered {
        output.note("no such events: each made a run, or no workflow listens to it");
        return Ok(Exit::Ok);
    }
    if events.is_empty() {
        output.note("no such events; they arrive at POST /hooks/NAME-OF-CONNECTION while `bursar serve` runs");
        return Ok(Exit::Ok);
    }
    let now = context.now();
    // A terminal has no room for whole ids of the provider; `events show` has them.
    let about = |subject: &str| {
        if output.look.terminal {
            cut(subject, SUBJECT_LENGTH_MAX)
        } else {
            subject.to_owned()
        }
    };
    let mut table = Table::new(&["event", "connection", "type", "about", "received", "became"]).whole(&[0, 2, 4, 5]);
    for event in &events {
        table.row([
            event.id.to_string().into(),
            (&event.connection).into(),
            (&event.kind).into(),
            about(event.subject.as_deref().unwrap_or("")).into(),
            when(event.received_at, now, output.look).into(),
            fate_of(event).map_or_else(String::new, in_short).into(),
        ]);
    }
    output.table(&table)?;
    if let (Some(oldest), true) = (
        events.last(),
        events.len() == usize::try_from(args.limit).unwrap_or(usize::MAX),
    ) {
        output.note(&format!("older ones: --before {}", oldest.id));
    }
    Ok(Exit::Ok)
}

async fn show(id: EventId, context: &Context) -> Result<Exit, CliError> {
    let store = context.store(&context.settings()?).await?;
    let event = store
        .event(id)
        .await?
        .ok_or_else(|| StoreError::NotFound(id.to_string()))?;
    let fates = store.fates(vec![id]).await?;
    let output = &context.output;
    if output.json {
        output.object("bursar.event/1", &Told::of(&event, fates.first()))?;
        return Ok(Exit::Ok);
    }
    let payload = serde_json::to_string_pretty(&event.payload.json()).unwrap_or_default();
    let received = when(event.received_at, context.now(), output.look);
    output.print(&format!(
        "{id}  {}  on {}  received {received}\n{FAINT}the provider's id: {}{FAINT:#}\n{}\n{}",
        clean(&event.kind),
        clean(&event.connection),
        clean(&event.provider_id),
        fates.first().map_or_else(String::new, in_full),
        clean(&payload),
    ))?;
    Ok(Exit::Ok)
}

/// An event with what became of it.
#[derive(Debug, Serialize)]
struct Told<'a> {
    #[serde(flatten)]
    event: &'a Event,
    became: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    fate: Option<&'a Fate>,
}

impl<'a> Told<'a> {
    fn of(event: &'a Event, fate: Option<&'a Fate>) -> Self {
        Self {
            event,
            became: fate.map_or("", Fate::word),
            fate,
        }
    }
}

/// What became of an event, for a column.
fn in_short(fate: &Fate) -> String {
    match fate.runs.as_slice() {
        [] => fate.word().to_owned(),
        [run] => run.state.to_string(),
        runs => format!("{} runs", runs.len()),
    }
}

/// The same with every run, and with every workflow that did not take it.
fn in_full(fate: &Fate) -> String {
    let mut lines: Vec<String> = Vec::new();
    for run in &fate.runs {
        let again = run
            .again
            .as_ref()
            .map_or_else(String::new, |cause| format!("  {}", clean(&view::cause(cause))));
        lines.push(format!(
            "run {}  {}  {}{again}",
            run.id,
            clean(&run.workflow),
            run.state
        ));
    }
    for run in &fate.woke {
        lines.push(format!("woke {}  {}  {}", run.id, clean(&run.workflow), run.state));
    }
    for unmade in &fate.unmade {
        lines.push(format!(
            "no run of {}: {}",
            clean(&unmade.workflow),
            clean(&unmade.detail)
        ));
    }
    for declined in &fate.declined {
        let why = clean(&declined.why.to_string());
        lines.push(format!("filtered by {}: {why}", clean(&declined.workflow)));
    }
    for workflow in &fate.behind {
        let workflow = clean(workflow);
        lines.push(format!(
            "waits for {workflow}, whose files do not load: `bursar check` says why"
        ));
    }
    if lines.is_empty() {
        let nothing = if fate.routed {
            "no workflow listens to it"
        } else {
            "it has not made its runs yet; the daemon does that"
        };
        lines.push(nothing.to_owned());
    }
    lines.join("\n")
}
