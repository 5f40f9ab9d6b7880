//! Manifests: one TOML file for each workflow, checked against what is configured.
//!
//! Everything that is wrong is reported at once, with its place. It must not read files, and what a schedule
//! means it is told by a function.

use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::Value as Json;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::business::{read_business, read_choice};
use super::concurrency::{read_catch_up_hours, read_concurrency, read_overlap, refuse_overlapping_catch_up};
use super::fields::{self, Fields, did_you_mean, kind};
use super::params::read_params;
use super::slots::{read_jitter, read_pause_after_failures};
use super::when::read_when;
use crate::base::limits::CATCH_UP_HOURS;
use crate::model::calendar::Calendars;
use crate::model::concurrency::ConcurrencySpec;
use crate::model::diagnostic::{Diagnostic, Span};
use crate::model::document::{Report, parse};
use crate::model::workflow::{CatchUp, CronSpec, Trigger};

/// Keys of a manifest.
const KEYS: [&str; 7] = ["name", "summary", "script", "uses", "trigger", "concurrency", "params"];
/// Keys of a trigger by webhook.
const WEBHOOK_KEYS: [&str; 4] = ["type", "connection", "events", "when"];
/// Keys of a trigger by schedule.
const CRON_KEYS: [&str; 13] = [
    "type",
    "schedule",
    "timezone",
    "catch_up",
    "catch_up_hours",
    "overlap",
    "jitter_secs",
    "pause_after_failures",
    "calendar",
    "roll",
    "business_day",
    "cut_off",
    "after_cut_off",
];
/// A name is shown in tables and used in paths and file names.
const NAME_LETTERS_MAX: usize = 64;

/// What a manifest is checked against, besides its own form.
pub struct Facts<'a> {
    /// The configured connections by name.
    pub connections: &'a BTreeMap<String, ConnectionFacts>,
    /// Whether a schedule is one; else what is wrong with it.
    pub check_schedule: &'a CheckSchedule,
    /// The calendars there are.
    pub calendars: &'a Calendars,
}

/// Judges a schedule: what is wrong with it, or what may become of it.
pub type CheckSchedule = dyn Fn(&CronSpec) -> Result<Vec<Remark>, Misfit> + Send + Sync;

/// Why a schedule is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// The key of the trigger that is to blame.
    pub key: &'static str,
    /// One sentence.
    pub message: String,
}

/// What there is to say about a schedule that is right today.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    /// A stable name for the kind of remark.
    pub code: &'static str,
    /// The key of the trigger that it is about.
    pub key: &'static str,
    /// One sentence.
    pub message: String,
    /// What to do.
    pub help: String,
}

/// What the catalog has to know of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionFacts {
    /// The connector it is of.
    pub connector: String,
    /// The event types its provider sends; nothing if that is not known, empty if it sends none.
    pub events: Option<Vec<String>>,
    /// Of types that are one to the provider and several here, what the provider calls them.
    pub made_of: BTreeMap<String, String>,
}

/// A manifest as checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// The workflow's name.
    pub name: String,
    /// One sentence for people.
    pub summary: String,
    /// The main script, relative to the folder of scripts.
    pub script: String,
    /// Where that is written, for a finding about the script as a whole.
    pub script_span: Span,
    /// Connections its script may name.
    pub uses: Vec<String>,
    /// What starts it, besides a person.
    pub triggers: Vec<Trigger>,
    /// Which of its runs must not overlap.
    pub concurrency: Option<ConcurrencySpec>,
    /// Constants of the script: a JSON object; null if they could not all be read.
    pub params: Json,
}

/// Reads one manifest. `file` is its name in messages, `stem` its file name without the ending.
///
/// One with an error is returned too, if enough of it is right to check its scripts; it must not be used for
/// anything else. Findings may be warnings alone.
pub fn read_manifest(file: &str, stem: &str, text: &str, facts: &Facts<'_>) -> (Option<Manifest>, Vec<Diagnostic>) {
    let mut report = Report::new(file, text, "manifest");
    let manifest = parse(text, &mut report).and_then(|table| check(&table, stem, facts, &mut report));
    (manifest, report.finish())
}

/// The name a manifest gives itself, and where, as far as it can be read: to find two manifests of one name.
pub fn declared_name(text: &str) -> Option<(String, Span)> {
    let (table, _) = DeTable::parse_recoverable(text);
    let (_, value) = table.get_ref().iter().find(|(key, _)| key.get_ref() == "name")?;
    let name = value.get_ref().as_str()?.to_owned();
    Some((name, Span::of_bytes(text, &value.span())))
}

fn check(table: &Spanned<DeTable<'_>>, stem: &str, facts: &Facts<'_>, report: &mut Report<'_>) -> Option<Manifest> {
    let fields = Fields::new("the manifest", table.get_ref(), 0..0);
    let in_trigger = |key: &str| {
        let known = WEBHOOK_KEYS.contains(&key) || CRON_KEYS.contains(&key);
        known.then(|| format!("`{key}` belongs to a trigger: write it below [[trigger]]"))
    };
    fields.refuse_unknown(&KEYS, in_trigger, report);
    // Every field is read before any is missed, so that all problems are found.
    let name = read_name(&fields, stem, report);
    let summary = fields
        .require("summary", "say in one sentence what the workflow does", report)
        .and_then(|value| fields::text("`summary`", value, report));
    let script = read_script(&fields, report);
    let uses = read_uses(&fields, facts, report);
    let triggers = read_triggers(&fields, facts, report);
    let concurrency = read_concurrency(&fields, report);
    let params = match fields.get("params").map(|value| (value.get_ref(), value.span())) {
        None => Json::Object(serde_json::Map::new()),
        Some((DeValue::Table(table), _)) => {
            let before = report.errors();
            let params = read_params(table, report);
            if report.errors() == before { params } else { Json::Null }
        }
        Some((other, place)) => {
            let message = format!("`params` must be a table, not {}", kind(other));
            report.error(
                &place,
                message,
                Some("write [params] and the constants below it".to_owned()),
            );
            Json::Null
        }
    };
    let (script, script_place) = script?;
    Some(Manifest {
        name: name?,
        summary: summary?.to_owned(),
        script,
        script_span: report.span(&script_place),
        uses: uses?,
        triggers,
        concurrency,
        params,
    })
}

fn read_name(fields: &Fields<'_>, stem: &str, report: &mut Report<'_>) -> Option<String> {
    let help = format!("name = \"{stem}\", as the file is called");
    let value = fields.require("name", &help, report)?;
    let name = fields::text("`name`", value, report)?;
    let kebab = name.split('-').all(|word| {
        !word.is_empty()
            && word
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    });
    if !kebab || name.len() > NAME_LETTERS_MAX {
        let message = format!("`{name}` is not a name for a workflow");
        let help = format!("small letters and digits with single hyphens between them, at most {NAME_LETTERS_MAX}");
        report.error(&value.span(), message, Some(help));
        return None;
    }
    if name != stem {
        let message = format!("the name `{name}` is not the name of the file");
        let help = format!("name = \"{stem}\", or call the file {name}.toml");
        report.error(&value.span(), message, Some(help));
        return None;
    }
    Some(name.to_owned())
}

fn read_script(fields: &Fields<'_>, report: &mut Report<'_>) -> Option<(String, Range<usize>)> {
    let help = "name a file in the folder of scripts, such as script = \"nightly_sweep.rhai\"";
    let value = fields.require("script", help, report)?;
    let script = fields::text("`script`", value, report)?;
    let plain = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.contains('\\');
    if !script.ends_with(".rhai") || !script.split('/').all(plain) {
        let message = format!("`{script}` is not a script in the folder of scripts");
        let help = "a path below that folder that ends with .rhai, without `..`".to_owned();
        report.error(&value.span(), message, Some(help));
        return None;
    }
    Some((script.to_owned(), value.span()))
}

/// The connections, configured or not; nothing if they could not all be read.
fn read_uses(fields: &Fields<'_>, facts: &Facts<'_>, report: &mut Report<'_>) -> Option<Vec<String>> {
    let Some(value) = fields.get("uses") else {
        return Some(Vec::new());
    };
    let before = report.errors();
    let named = fields::texts("`uses`", value, report);
    let whole = report.errors() == before;
    let named = named.unwrap_or_default();
    for (name, place) in &named {
        known_connection(name, place, facts, report);
    }
    whole.then(|| named.into_iter().map(|(name, _)| name.to_owned()).collect())
}

/// The facts of a connection, or an error that names the one that was probably meant.
fn known_connection<'f>(
    name: &str,
    place: &Range<usize>,
    facts: &Facts<'f>,
    report: &mut Report<'_>,
) -> Option<&'f ConnectionFacts> {
    let known = facts.connections.get(name);
    if known.is_none() {
        let names: Vec<&str> = facts.connections.keys().map(String::as_str).collect();
        let help = did_you_mean(name, &names).unwrap_or_else(|| match names.as_slice() {
            [] => "none is: write [connection.NAME] in bursar.toml, as `bursar init` does".to_owned(),
            names => format!("configured: {}", names.join(", ")),
        });
        report.error(place, format!("connection `{name}` is not configured"), Some(help));
    }
    known
}

fn read_triggers(fields: &Fields<'_>, facts: &Facts<'_>, report: &mut Report<'_>) -> Vec<Trigger> {
    let Some(value) = fields.get("trigger") else {
        return Vec::new();
    };
    let DeValue::Array(tables) = value.get_ref() else {
        let message = format!("`trigger` must be a list of tables, not {}", kind(value.get_ref()));
        let help = "write [[trigger]], with two brackets: a workflow may have several".to_owned();
        report.error(&value.span(), message, Some(help));
        return Vec::new();
    };
    let params = match fields.get("params").map(Spanned::get_ref) {
        None => Some(Vec::new()),
        Some(DeValue::Table(table)) => Some(table.iter().map(|(key, _)| key.get_ref().to_string()).collect()),
        Some(_) => None,
    };
    let mut triggers = Vec::new();
    for value in tables {
        let DeValue::Table(table) = value.get_ref() else {
            let message = format!("each trigger must be a table, not {}", kind(value.get_ref()));
            report.error(&value.span(), message, None);
            continue;
        };
        let manifest = fields;
        let fields = Fields::new("the trigger", table, value.span());
        let Some(trigger) = read_trigger(&fields, manifest, params.as_deref(), facts, report) else {
            continue;
        };
        if let Trigger::Cron(spec) = &trigger {
            refuse_overlapping_catch_up(manifest, &fields, spec, report);
        }
        if triggers.contains(&trigger) {
            report.error(fields.place(), "this trigger is the same as an earlier one", None);
        } else if triggers.iter().any(|earlier| same_slots(earlier, &trigger)) {
            let help = "expression and zone name the slots of a workflow; business_day = [1, -1] names several days";
            let message = "an earlier trigger has the same schedule and timezone";
            report.error(fields.place(), message, Some(help.to_owned()));
        }
        triggers.push(trigger);
    }
    triggers
}

/// Whether the slots of two triggers would have the same names.
fn same_slots(one: &Trigger, other: &Trigger) -> bool {
    match (one, other) {
        (Trigger::Cron(one), Trigger::Cron(other)) => {
            (&one.schedule, &one.timezone) == (&other.schedule, &other.timezone)
        }
        _ => false,
    }
}

fn read_trigger(
    fields: &Fields<'_>,
    manifest: &Fields<'_>,
    params: Option<&[String]>,
    facts: &Facts<'_>,
    report: &mut Report<'_>,
) -> Option<Trigger> {
    let kinds = ["webhook", "cron"];
    let value = fields.require("type", "type = \"webhook\" or type = \"cron\"", report)?;
    let kind = fields::text("`type`", value, report)?;
    let at_the_top = |key: &str| {
        let known = KEYS.contains(&key);
        known.then(|| format!("`{key}` belongs to the manifest: write it above the first [[trigger]]"))
    };
    let of_the_other = |key: &str, other: &str, keys: &[&str]| {
        let known = keys.contains(&key);
        known.then(|| format!("`{key}` belongs to a trigger of type \"{other}\""))
    };
    match kind {
        "webhook" => {
            let elsewhere = |key: &str| of_the_other(key, "cron", &CRON_KEYS).or_else(|| at_the_top(key));
            fields.refuse_unknown(&WEBHOOK_KEYS, elsewhere, report);
            read_webhook(fields, params, facts, report)
        }
        "cron" => {
            let elsewhere = |key: &str| {
                of_the_other(key, "webhook", &WEBHOOK_KEYS)
                    .or_else(|| at_the_top(key))
                    .or_else(|| did_you_mean(key, ["catch_up"]).map(|near| format!("{near} {}", one_of(&CatchUp::ALL))))
            };
            fields.refuse_unknown(&CRON_KEYS, elsewhere, report);
            read_cron(fields, manifest, facts, report)
        }
        "manual" => {
            let help = "every workflow can be started by hand: leave this trigger out".to_owned();
            report.error(&value.span(), "there is no trigger of type `manual`", Some(help));
            None
        }
        other => {
            let help = did_you_mean(other, kinds).unwrap_or_else(|| format!("one of: {}", kinds.join(", ")));
            report.error(
                &value.span(),
                format!("there is no trigger of type `{other}`"),
                Some(help),
            );
            None
        }
    }
}

fn read_webhook(
    fields: &Fields<'_>,
    params: Option<&[String]>,
    facts: &Facts<'_>,
    report: &mut Report<'_>,
) -> Option<Trigger> {
    let connection = fields
        .require(
            "connection",
            "name the connection whose events start the workflow",
            report,
        )
        .and_then(|value| Some((fields::text("`connection`", value, report)?, value.span())));
    let known = connection
        .as_ref()
        .and_then(|(name, place)| Some((*name, known_connection(name, place, facts, report)?)));
    let events = fields
        .require("events", "list the event types that start the workflow", report)
        .and_then(|value| Some((fields::texts("`events`", value, report)?, value.span())));
    let when = read_when(fields.get("when"), params, report);
    let (events, place) = events?;
    if events.is_empty() {
        report.error(
            &place,
            "`events` lists no event type, so nothing could start the workflow",
            None,
        );
    }
    if let Some((name, facts)) = known {
        check_events(name, facts, &events, report);
    }
    let mut names: Vec<String> = events.into_iter().map(|(event, _)| event.to_owned()).collect();
    // Whoever listens to what the provider calls an event hears it whatever it is called here.
    let made_of = known.into_iter().flat_map(|(_, facts)| &facts.made_of);
    let made: Vec<String> = made_of
        .filter(|(name, of)| names.contains(of) && !names.contains(name))
        .map(|(name, _)| name.clone())
        .collect();
    names.extend(made);
    Some(Trigger::Webhook {
        connection: connection?.0.to_owned(),
        events: names,
        when,
    })
}

fn check_events(name: &str, facts: &ConnectionFacts, events: &[(&str, Range<usize>)], report: &mut Report<'_>) {
    let Some(known) = &facts.events else { return };
    let connector = &facts.connector;
    for (event, place) in events {
        if known.iter().any(|known| known == event) {
            continue;
        }
        let help = if known.is_empty() {
            format!("{connector} sends no webhooks: use a schedule")
        } else {
            did_you_mean(event, known).unwrap_or_else(|| format!("{connector} sends: {}", known.join(", ")))
        };
        let message = format!("connection `{name}` ({connector}) has no event `{event}`");
        report.error(place, message, Some(help));
    }
}

fn read_cron(
    fields: &Fields<'_>,
    manifest: &Fields<'_>,
    facts: &Facts<'_>,
    report: &mut Report<'_>,
) -> Option<Trigger> {
    let schedule = fields
        .require("schedule", "such as schedule = \"0 18 * * Mon-Fri\"", report)
        .and_then(|value| Some((fields::text("`schedule`", value, report)?, value.span())));
    let timezone = fields
        .require(
            "timezone",
            "no zone is assumed: name one, such as timezone = \"Europe/Berlin\"",
            report,
        )
        .and_then(|value| Some((fields::text("`timezone`", value, report)?, value.span())));
    let catch_up = fields.get("catch_up").map_or(Some(CatchUp::default()), |value| {
        read_choice("catch_up", "way to catch up", &CatchUp::ALL, value, report)
    });
    let (overlap, catch_up_hours) = (read_overlap(fields, report), read_catch_up_hours(fields, report));
    let jitter = read_jitter(fields, manifest, report);
    let pause_after_failures = read_pause_after_failures(fields, manifest, report);
    let business = read_business(fields, facts.calendars, catch_up, report);
    let ((schedule, schedule_place), (timezone, zone_place)) = (schedule?, timezone?);
    let spec = CronSpec {
        schedule: schedule.to_owned(),
        timezone: timezone.to_owned(),
        catch_up: catch_up.unwrap_or_default(),
        catch_up_hours: catch_up_hours.unwrap_or(CATCH_UP_HOURS),
        overlap: overlap.unwrap_or_default(),
        business: business.clone().flatten(),
        jitter: jitter.clone().flatten(),
        pause_after_failures: pause_after_failures.unwrap_or_default(),
    };
    let place = |key: &str| match key {
        "schedule" => schedule_place.clone(),
        "timezone" => zone_place.clone(),
        key => fields.get(key).map_or_else(|| fields.place().clone(), Spanned::span),
    };
    match (facts.check_schedule)(&spec) {
        Ok(remarks) => {
            for remark in remarks {
                report.warning(remark.code, &place(remark.key), remark.message, remark.help);
            }
        }
        Err(misfit) => report.error(&place(misfit.key), misfit.message, None),
    }
    // Judged also when something else is wrong: all that is wrong is told at once.
    let rules_are_whole = overlap.is_some() && jitter.is_some() && pause_after_failures.is_some();
    let is_whole = catch_up.is_some() && business.is_some() && catch_up_hours.is_some();
    (is_whole && rules_are_whole).then_some(Trigger::Cron(spec))
}

/// The choices of a key, for help.
pub(super) fn one_of<T>(choices: &[(&'static str, T)]) -> String {
    let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
    format!("one of: {}", names.join(", "))
}
