//! `bursar schedule`: when a schedule fires, before it does; and what became of it.

mod make_up;
mod state;

use chrono::DateTime;
use clap::Subcommand;
use clap::builder::PossibleValuesParser;
use serde_json::json;

use super::Context;
use super::error::{CliError, Exit};
use super::output::{Cell, FAINT, STRONG, Table, Tone};
use super::text::{clean, time};
use crate::app::offline::load_workflows;
use crate::base::clock::Instant;
use crate::base::limits::{CATCH_UP_HOURS, JITTER_SECS_MAX};
use crate::base::suggest::nearest;
use crate::catalog::load::Loaded;
use crate::model::calendar::{AfterCutOff, Business, CutOff, DayChoice, Roll, parse_time_of_day};
use crate::model::concurrency::Overlap;
use crate::model::value::time_text;
use crate::model::workflow::{CatchUp, CronSpec, Jitter};
use crate::trigger::cron::cron_triggers;
use crate::trigger::outlook::{Outlook, outlook};
use crate::trigger::schedule::Schedule;

/// No month has more business days.
const BUSINESS_DAYS_MAX: i64 = 23;
/// More slots than anybody reads.
const COUNT_MAX: u64 = 10_000;

/// Show when schedules fire
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Next(Next),
    Ls(state::Ls),
    Pause(state::Pause),
    Resume(state::Resume),
    Trigger(make_up::Trigger),
    Backfill(make_up::Backfill),
}

/// Show the next slots, with a note where clocks change or a holiday moves one
///
/// Those of the workflows in the folder, or of one of them, or of an expression that is not in a manifest yet. Reads
/// files only; what ran already it does not know.
#[derive(Debug, clap::Args)]
struct Next {
    /// Only the schedules of this workflow
    #[arg(conflicts_with = "cron")]
    workflow: Option<String>,
    /// An expression of five fields, six with seconds in front, seven with the year behind
    #[arg(long, value_name = "EXPR", requires = "timezone")]
    cron: Option<String>,
    /// Its zone, such as Europe/Berlin
    #[arg(long, value_name = "ZONE", requires = "cron")]
    timezone: Option<String>,
    /// Its calendar, such as TARGET2 or TARGET2+US-FED
    #[arg(long, value_name = "NAME", requires = "cron")]
    calendar: Option<String>,
    /// Where a slot goes whose day is closed [default: skip]
    #[arg(long, value_name = "WAY", requires = "calendar", value_parser = PossibleValuesParser::new(Roll::ALL.map(|(name, _)| name)))]
    roll: Option<String>,
    /// The n-th business day of each month instead, -1 for the last; may be given several times
    #[arg(long, value_name = "N", requires = "calendar", conflicts_with = "roll", allow_negative_numbers = true, value_parser = clap::value_parser!(i64).range(-BUSINESS_DAYS_MAX..=BUSINESS_DAYS_MAX))]
    business_day: Vec<i64>,
    /// The first time of day that is too late, such as 15:30
    #[arg(long, value_name = "HH:MM", requires = "calendar", requires = "after_cut_off")]
    cut_off: Option<String>,
    /// What becomes of a slot that missed it
    #[arg(long, value_name = "WAY", requires = "cut_off", value_parser = PossibleValuesParser::new(AfterCutOff::ALL.map(|(name, _)| name)))]
    after_cut_off: Option<String>,
    /// The most a slot begins later than its time, in seconds
    #[arg(long, value_name = "SECONDS", requires = "cron", value_parser = clap::value_parser!(u16).range(0..=i64::from(JITTER_SECS_MAX)))]
    jitter: Option<u16>,
    /// How many slots
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=COUNT_MAX))]
    count: u64,
    /// Only slots after this instant, such as 2027-03-27T00:00:00Z [default: now]
    #[arg(long, value_name = "INSTANT")]
    from: Option<String>,
}

pub(super) fn run(args: Args, context: &Context) -> Result<Exit, CliError> {
    match args.command {
        Command::Next(args) => next(&args, context),
        Command::Ls(args) => context.wait(state::ls(args, context)),
        Command::Pause(args) => context.wait(state::pause(args, context)),
        Command::Resume(args) => context.wait(state::resume(args, context)),
        Command::Trigger(args) => make_up::trigger(&args, context),
        Command::Backfill(args) => context.wait(make_up::backfill(args, context)),
    }
}

/// A schedule to show, and whose it is.
struct Shown {
    workflow: Option<String>,
    spec: CronSpec,
}

fn next(args: &Next, context: &Context) -> Result<Exit, CliError> {
    let from = match &args.from {
        None => context.now(),
        Some(text) => instant("--from", text)?,
    };
    let loaded = load_workflows(&context.settings()?);
    let shown = match (&args.cron, &args.timezone) {
        (Some(cron), Some(timezone)) => vec![Shown {
            workflow: None,
            spec: of_arguments(args, cron, timezone, &loaded)?,
        }],
        _ => of_workflows(args.workflow.as_deref(), &loaded)?,
    };
    if shown.is_empty() {
        context
            .output
            .note("no schedules; a manifest has them below [[trigger]] with type = \"cron\"");
    }
    let count = usize::try_from(args.count).unwrap_or(usize::MAX);
    for (index, one) in shown.iter().enumerate() {
        let schedule = Schedule::of(&one.spec).map_err(|error| CliError::usage(error.to_string()))?;
        let found = outlook(&schedule, from, count);
        if context.output.json {
            print_json(one, &found, context)?;
        } else {
            if index > 0 {
                context.output.print("")?;
            }
            print_table(one, &schedule, &found, context)?;
        }
        if let Some(end) = &found.end {
            context
                .output
                .complain(&clean(&format!("{end}; no slot is known from there on")));
        } else if found.slots.len() < count {
            context.output.note("there are no more");
        }
    }
    Ok(Exit::Ok)
}

fn instant(option: &str, text: &str) -> Result<Instant, CliError> {
    let parsed = DateTime::parse_from_rfc3339(text);
    parsed.map(|instant| instant.to_utc()).map_err(|_| {
        CliError::usage(format!("`{text}` is not an instant")).hint(format!(
            "write {option} 2027-03-27T00:00:00Z, or 2027-03-27T01:00:00+01:00"
        ))
    })
}

fn of_arguments(args: &Next, cron: &str, timezone: &str, loaded: &Loaded) -> Result<CronSpec, CliError> {
    let business = match &args.calendar {
        None => None,
        Some(name) => {
            let known = loaded.calendars.find(name);
            let calendar = known.map_err(|unknown| {
                let names: Vec<&str> = loaded.calendars.names().collect();
                CliError::usage(unknown.to_string()).hint(format!("there are: {}", names.join(", ")))
            })?;
            let roll = args
                .roll
                .as_deref()
                .and_then(|wanted| Roll::ALL.iter().find(|(name, _)| *name == wanted));
            if args.business_day.contains(&0) {
                return Err(CliError::usage("no business day is the zeroth").hint("1 is the first, -1 the last"));
            }
            let days = match args.business_day.as_slice() {
                [] => DayChoice::Named(roll.map_or_else(Roll::default, |(_, roll)| *roll)),
                numbers => DayChoice::OfMonth(numbers.to_vec()),
            };
            Some(Business {
                calendar,
                days,
                cut_off: cut_off(args)?,
            })
        }
    };
    Ok(CronSpec {
        schedule: cron.to_owned(),
        timezone: timezone.to_owned(),
        catch_up: CatchUp::default(),
        catch_up_hours: CATCH_UP_HOURS,
        overlap: Overlap::default(),
        business,
        jitter: args.jitter.filter(|secs| *secs > 0).map(|most_secs| Jitter {
            most_secs,
            workflow: String::new(),
        }),
        pause_after_failures: 0,
    })
}

fn cut_off(args: &Next) -> Result<Option<CutOff>, CliError> {
    let after = args
        .after_cut_off
        .as_deref()
        .and_then(|wanted| AfterCutOff::ALL.iter().find(|(name, _)| *name == wanted));
    let (Some(text), Some((_, after))) = (&args.cut_off, after) else {
        return Ok(None);
    };
    let time = parse_time_of_day(text).ok_or_else(|| {
        CliError::usage(format!("`{text}` is not a time of day"))
            .hint("write --cut-off 15:30, by the clocks of --timezone")
    })?;
    Ok(Some(CutOff { time, after: *after }))
}

/// The schedules of the workflows in the folder, or of one of them.
fn of_workflows(wanted: Option<&str>, loaded: &Loaded) -> Result<Vec<Shown>, CliError> {
    if let Some(name) = wanted
        && !loaded.workflows.contains_key(name)
    {
        if loaded.broken.contains(name) {
            let message = format!("workflow `{name}` cannot be used");
            return Err(CliError::usage(message).hint("`bursar check` says what is wrong with it"));
        }
        let error = CliError::not_found(format!("there is no workflow `{name}`"));
        return Err(match nearest(name, loaded.workflows.keys().map(String::as_str)) {
            Some(near) => error.hint(format!("did you mean `{near}`?")),
            None => error.hint("`bursar workflows ls` lists them"),
        });
    }
    let workflows = loaded
        .workflows
        .values()
        .filter(|workflow| wanted.is_none_or(|name| workflow.name == name));
    Ok(workflows
        .flat_map(|workflow| {
            cron_triggers(workflow).map(|spec| Shown {
                workflow: Some(workflow.name.clone()),
                spec: spec.clone(),
            })
        })
        .collect())
}

fn print_table(shown: &Shown, schedule: &Schedule, found: &Outlook, context: &Context) -> Result<(), CliError> {
    let name = shown
        .workflow
        .as_ref()
        .map_or_else(String::new, |name| format!("{STRONG}{name}{STRONG:#}  "));
    let output = &context.output;
    output.print(&format!(
        "{name}{}  {}",
        clean(&shown.spec.schedule),
        shown.spec.timezone
    ))?;
    output.print(&format!("{FAINT}{}{FAINT:#}", clean(&schedule.words())))?;
    let mut table = Table::new(&["local time", "offset", "utc", "note"]).whole(&[0, 1, 2]);
    for planned in &found.slots {
        table.row([
            planned.local.format("%a %Y-%m-%d %H:%M:%S").to_string().into(),
            planned.local.format("%:z").to_string().into(),
            time(planned.slot.on_time()).into(),
            Cell::toned(planned.notes.join("; "), Tone::Attention),
        ]);
    }
    if table.is_empty() { Ok(()) } else { output.table(&table) }
}

fn print_json(shown: &Shown, found: &Outlook, context: &Context) -> Result<(), CliError> {
    for planned in &found.slots {
        context.output.object(
            "bursar.slot/1",
            &json!({
                "workflow": shown.workflow,
                "schedule": shown.spec.schedule,
                "timezone": shown.spec.timezone,
                "slot": time_text(planned.slot.on_time()),
                "begins": time_text(planned.slot.at),
                "local": planned.local.to_rfc3339(),
                "notes": planned.notes,
            }),
        )?;
    }
    Ok(())
}
