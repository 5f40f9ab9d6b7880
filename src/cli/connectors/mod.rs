//! `bursar connectors`: what each provider offers, how far "once" goes there, and what it does not say: read from its table.

mod facts;
mod keys;
mod limits;

use std::path::Path;

use clap::Subcommand;

use self::facts::{Facts, Movement, Webhooks};
use super::Context;
use super::diagnostics::concise;
use super::error::{CliError, Exit};
use super::output::{ATTENTION, Cell, FAINT, GOOD, STRONG, Table, Tone};
use super::text::count;
use crate::app::settings::Settings;
use crate::base::suggest::nearest;
use crate::connector::registry::Registry;
use crate::connector::table::Connector;

/// Show what each provider offers
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the tables of this program and those of your own
    Ls,
    /// Show what a provider offers, what it lacks, and how far "once" goes there
    Show {
        /// The connector, such as `augustus`
        #[arg(required_unless_present = "all")]
        name: Option<String>,
        /// All of them
        #[arg(long, conflicts_with = "name")]
        all: bool,
    },
}

pub(super) fn run(args: &Args, context: &Context) -> Result<Exit, CliError> {
    let settings = context.settings()?;
    let registry = registry(context)?;
    let output = &context.output;
    let shown = match &args.command {
        Command::Ls => return ls(&registry, &settings, context),
        Command::Show { name: Some(name), .. } => vec![find(&registry, name)?],
        Command::Show { .. } => registry.iter().map(AsRef::as_ref).collect(),
    };
    let facts = shown.into_iter().map(|connector| facts::of(connector, &settings));
    if output.json {
        for facts in facts {
            output.object("bursar.connector/1", &facts)?;
        }
        return Ok(Exit::Ok);
    }
    let texts: Vec<String> = facts.map(|facts| text(&facts)).collect();
    output.print(&texts.join("\n\n"))?;
    Ok(Exit::Ok)
}

/// The tables of this program and those beside the settings. What is wrong with one of the latter is told, and the others
/// are shown.
pub(super) fn registry(context: &Context) -> Result<Registry, CliError> {
    let settings = context.settings()?;
    let base = settings.file.as_deref().and_then(Path::parent).unwrap_or(Path::new(""));
    let (registry, wrong) = Registry::with_local(&base.join("connectors"));
    for finding in &wrong {
        context.output.complain(&concise(finding));
    }
    Ok(registry)
}

/// The table of this name.
pub(super) fn find<'a>(registry: &'a Registry, name: &str) -> Result<&'a Connector, CliError> {
    registry.get(name).map(AsRef::as_ref).ok_or_else(|| {
        let known: Vec<&str> = registry.names().collect();
        let help = nearest(name, known.iter().copied()).map_or_else(
            || format!("one of: {}", known.join(", ")),
            |near| format!("did you mean `{near}`?"),
        );
        CliError::not_found(format!("there is no connector `{name}`")).hint(help)
    })
}

fn ls(registry: &Registry, settings: &Settings, context: &Context) -> Result<Exit, CliError> {
    let output = &context.output;
    let all = registry.iter().map(|connector| facts::of(connector, settings));
    if output.json {
        for facts in all {
            output.object("bursar.connector/1", &facts)?;
        }
        return Ok(Exit::Ok);
    }
    let mut table = Table::new(&["connector", "provider", "calls", "move money", "offers", "table"]).right(&[2, 3]);
    for facts in all {
        table.row([
            facts.name.into(),
            facts.title.into(),
            facts.calls.total().to_string().into(),
            facts.calls.moves_money.to_string().into(),
            facts.offers.join(", ").into(),
            if facts.local {
                Cell::toned("local", Tone::Attention)
            } else {
                "built in".into()
            },
        ]);
    }
    output.table(&table)?;
    output.note("`bursar connectors show NAME` tells what each offers, lacks, and does when nobody knows.");
    Ok(Exit::Ok)
}

fn text(facts: &Facts<'_>) -> String {
    let mut text = format!("{STRONG}{}{STRONG:#}: {}. {}", facts.name, facts.title, facts.doc);
    let mut line = |word: &str, told: &str| text.push_str(&format!("\n  {FAINT}{word:<9}{FAINT:#} {told}"));
    if facts.local {
        line(
            "table",
            &format!("{ATTENTION}local{ATTENTION:#}: nobody else has reviewed it"),
        );
    }
    for (environment, address) in facts.addresses {
        line("address", &format!("{environment}: {address}"));
    }
    line("offers", &format!("{GOOD}{}{GOOD:#}", facts.offers.join(", ")));
    for (name, reason) in facts.lacks {
        line("lacks", &format!("{name}: {reason}"));
    }
    let calls = &facts.calls;
    line(
        "calls",
        &format!(
            "{}: {} read, {} write, {} move money; {} can be looked up when no answer came",
            calls.total(),
            calls.read,
            calls.write,
            calls.moves_money,
            calls.looked_up
        ),
    );
    for (connection, paths) in &facts.own_paths {
        for (call, path) in paths {
            line(
                "path",
                &format!(
                    "{ATTENTION}{connection}{ATTENTION:#}: {call} at {path}, as [connection.{connection}.paths] says"
                ),
            );
        }
    }
    for movement in &facts.moves_money {
        line("money", &format!("{}: {}", movement.call, once(movement)));
    }
    line("key", &facts.keys.header_text());
    line("writes", &facts.keys.places_text());
    for pays in &facts.pays {
        line("pays", &pays.text());
    }
    for limits in limits::texts(&facts.limits) {
        line("limits", &limits);
    }
    match facts.requests_per_second {
        Some(requests) => line("rate", &format!("{} a second", count(requests as usize, "request"))),
        None => line("rate", "no limit is known"),
    }
    match &facts.webhooks {
        Some(webhooks) => line("webhooks", &events(webhooks)),
        None => line("webhooks", "none: workflows are started by schedules"),
    }
    for gap in &facts.gaps {
        line("unknown", gap);
    }
    text
}

/// What happens to a call that moves money when nobody heard the answer.
fn once(movement: &Movement<'_>) -> String {
    let first = if movement.looked_for_first {
        "; looked for before it is sent"
    } else if movement.exclusive {
        "; one at a time"
    } else {
        ""
    };
    let then = if movement.repeated { ", sent again under it" } else { "" };
    let key = match (movement.key, movement.key_secs) {
        ("none", _) => "no key".to_owned(),
        (_, None) => format!("one for each number of it, for good{then}"),
        (place, Some(secs)) => {
            let place = if place == "body" { " in the body" } else { "" };
            let assumed = if movement.key_assumed { " (assumed)" } else { "" };
            format!("key{place} for {} min{assumed}{then}", secs / 60)
        }
    };
    match (movement.looked_up_in, movement.found_by) {
        (Some(call), Some(by)) => format!("{key}{first}; then looked up in {call} by {by}; then a person"),
        _ => format!("{key}{first}; then a person"),
    }
}

fn events(webhooks: &Webhooks) -> String {
    let asked = if webhooks.registered_by_call {
        "`bursar webhooks register` asks for them"
    } else {
        "asked for at the provider, by hand"
    };
    let missed = match webhooks.kept_days {
        Some(days) => format!("missed ones are fetched for {days} days"),
        None => "missed ones are lost: have a schedule beside each workflow".to_owned(),
    };
    format!("{}; {asked}; {missed}", count(webhooks.events, "event"))
}
