//! `bursar schedule trigger|backfill`: a person has a schedule's workflow run, now or for slots that passed.

use serde_json::{Value as Json, json};

use super::{Shown, instant, of_workflows};
use crate::app::offline::{load_workflows, make_up_here};
use crate::cli::Context;
use crate::cli::actor::actor;
use crate::cli::daemon;
use crate::cli::error::{CliError, Exit};
use crate::cli::output::{Cell, Table, Tone};
use crate::cli::run::run_event;
use crate::cli::text::{clean, one_line, time};
use crate::model::value::time_text;
use crate::model::workflow::CronSpec;
use crate::server::protocol::{MadeSlots, MakeSlots};
use crate::trigger::make_up::{MakeUpError, Passed, Wanted, passed};
use crate::trigger::schedule::Schedule;

/// Run the workflow of a schedule now, as a person who asks for it
///
/// The script sees an event as of its schedule, with this moment as its slot. Every request is a run of its own: the
/// slots of the schedule come as they would have. While an earlier run of the schedule is open or parked, it waits for
/// its turn.
#[derive(Debug, clap::Args)]
pub(super) struct Trigger {
    /// The workflow
    workflow: String,
    /// Which of its schedules, if it has several: the expression as in the manifest
    #[arg(long, value_name = "EXPR")]
    schedule: Option<String>,
    /// Why: shown with the run
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Ask the daemon and leave at once
    #[arg(long)]
    detach: bool,
}

/// Make the runs of slots that passed without one
///
/// Shows the slots of the range with what is known of each, and changes nothing; with --yes those that have no run get
/// theirs, to run one after another. A slot keeps its name, so asking twice makes nothing twice. At most 100 slots.
#[derive(Debug, clap::Args)]
pub(super) struct Backfill {
    /// The workflow
    workflow: String,
    /// The first instant, such as 2027-03-27T00:00:00Z
    #[arg(long, value_name = "INSTANT")]
    from: String,
    /// The last one, not later than now
    #[arg(long, value_name = "INSTANT")]
    to: String,
    /// Which of its schedules, if it has several: the expression as in the manifest
    #[arg(long, value_name = "EXPR")]
    schedule: Option<String>,
    /// Make them
    #[arg(long)]
    yes: bool,
}

/// The one schedule that is meant.
fn meant(workflow: &str, schedule: Option<&str>, shown: Vec<Shown>) -> Result<CronSpec, CliError> {
    let mut fits: Vec<CronSpec> = shown
        .into_iter()
        .map(|one| one.spec)
        .filter(|spec| schedule.is_none_or(|wanted| spec.schedule == wanted))
        .collect();
    match (fits.pop(), fits.is_empty()) {
        (Some(spec), true) => Ok(spec),
        (Some(_), false) => {
            let message = format!("`{workflow}` has several such schedules");
            Err(CliError::usage(message).hint("name one with --schedule, written as in the manifest"))
        }
        (None, _) => {
            let message = format!("`{workflow}` has no such schedule");
            Err(CliError::not_found(message).hint("`bursar schedule ls` shows what there is"))
        }
    }
}

pub(super) fn trigger(args: &Trigger, context: &Context) -> Result<Exit, CliError> {
    let shown = of_workflows(Some(&args.workflow), &load_workflows(&context.settings()?))?;
    let spec = meant(&args.workflow, args.schedule.as_deref(), shown)?;
    let now = context.now();
    let mut event = json!({
        "type": "cron",
        "schedule": spec.schedule,
        "timezone": spec.timezone,
        "slot": time_text(now),
        "asked_for_by": actor(),
    });
    let mut reason = format!("schedule `{}` triggered by hand", spec.schedule);
    if let Some(why) = args.reason.as_deref().map(str::trim).filter(|why| !why.is_empty()) {
        event["reason"] = json!(why);
        reason = format!("{reason}: {why}");
    }
    run_event(&args.workflow, event, reason, args.detach, context)
}

pub(super) async fn backfill(args: Backfill, context: &Context) -> Result<Exit, CliError> {
    let (from, to) = (instant("--from", &args.from)?, instant("--to", &args.to)?);
    let settings = context.settings()?;
    let loaded = load_workflows(&settings);
    let spec = meant(
        &args.workflow,
        args.schedule.as_deref(),
        of_workflows(Some(&args.workflow), &loaded)?,
    )?;
    let Some(workflow) = loaded.workflows.get(&args.workflow) else {
        return Err(CliError::not_found(format!("there is no workflow `{}`", args.workflow)));
    };
    let wanted = Wanted {
        schedule: &spec.schedule,
        timezone: &spec.timezone,
        from,
        to,
    };
    let found = {
        let store = context.store(&settings).await?;
        passed(store.as_ref(), workflow, wanted, context.now())
            .await
            .map_err(refused)?
    };
    let schedule = Schedule::of(&spec).map_err(|error| CliError::usage(error.to_string()))?;
    let open = found.iter().filter(|slot| slot.run.is_none()).count();
    let runs = match (args.yes && open > 0, daemon::connect(&settings).await?) {
        (false, _) => Vec::new(),
        (true, Some(mut client)) => {
            let asked = MakeSlots {
                schedule: spec.schedule.clone(),
                timezone: spec.timezone.clone(),
                from,
                to,
                actor: actor(),
            };
            let path = format!("/v1/workflows/{}/slots", args.workflow);
            client.post::<MadeSlots>(&path, &asked).await?.runs
        }
        (true, None) => make_up_here(&settings, workflow, wanted, &actor()).await?,
    };
    let output = &context.output;
    if output.json {
        for slot in &found {
            output.object("bursar.backfill/1", &as_json(slot, &schedule))?;
        }
        let runs: Vec<String> = runs.iter().map(ToString::to_string).collect();
        output.object(
            "bursar.backfilled/1",
            &json!({ "workflow": args.workflow, "runs": runs }),
        )?;
        return Ok(Exit::Ok);
    }
    if found.is_empty() {
        output.note("no slot lies in that range");
        return Ok(Exit::Ok);
    }
    output.table(&table(&found, &schedule))?;
    match (args.yes, open) {
        (_, 0) => output.note("each of them has its run: there is nothing to make"),
        (false, open) => output.note(&format!("nothing was changed; with --yes {open} would run")),
        (true, _) => {
            for run in &runs {
                output.print(&format!("{run}  {}", args.workflow))?;
            }
            let made = runs.len();
            output.note(&format!("{made} runs were made, to run one after another"));
        }
    }
    Ok(Exit::Ok)
}

fn table(found: &[Passed], schedule: &Schedule) -> Table {
    let mut table = Table::new(&["local time", "offset", "utc", "what there is"]).whole(&[0, 1, 2]);
    for slot in found {
        let local = schedule.local(slot.slot.on_time());
        let (what, tone) = match (&slot.run, &slot.reason) {
            (Some(run), _) => (format!("{} {}", run.id, run.state), Tone::Plain),
            (None, Some(reason)) => {
                let why = one_line(&reason.detail);
                (format!("would run; {}: {why}", reason.reason.name()), Tone::Attention)
            }
            (None, None) => ("would run".to_owned(), Tone::Attention),
        };
        table.row([
            local.format("%a %Y-%m-%d %H:%M:%S").to_string().into(),
            local.format("%:z").to_string().into(),
            time(slot.slot.on_time()).into(),
            Cell::toned(clean(&what), tone),
        ]);
    }
    table
}

fn as_json(slot: &Passed, schedule: &Schedule) -> Json {
    json!({
        "slot": time_text(schedule.name(slot.slot)),
        "local": schedule.local(slot.slot.on_time()).to_rfc3339(),
        "run": slot.run.map(|run| run.id.to_string()),
        "state": slot.run.map(|run| run.state),
        "reason": slot.reason.as_ref().map(|reason| reason.reason),
        "detail": slot.reason.as_ref().map(|reason| &reason.detail),
    })
}

fn refused(error: MakeUpError) -> CliError {
    let message = error.to_string();
    match error {
        MakeUpError::Store(error) => error.into(),
        MakeUpError::TooMany(_) => CliError::usage(message).hint("name an earlier --to, and the rest after that"),
        MakeUpError::Future(_) => {
            CliError::usage(message).hint("`bursar schedule next` shows those to come; `schedule trigger` runs one now")
        }
        MakeUpError::Undecided(..) => {
            CliError::usage(message).hint("let the daemon do that first (`bursar serve`), or name an earlier --to")
        }
        MakeUpError::Backwards => CliError::usage(message).hint("--from is the earlier one"),
        MakeUpError::NoSchedule { .. } => CliError::not_found(message),
        MakeUpError::Schedule(_) | MakeUpError::Coverage(_) => CliError::usage(message),
    }
}
