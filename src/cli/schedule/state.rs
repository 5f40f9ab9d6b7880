//! `bursar schedule ls|pause|resume`: what the store knows of schedules.

use serde_json::json;

use super::{Shown, of_workflows};
use crate::app::offline::{load_workflows, pause_here, resume_here};
use crate::base::clock::Instant;
use crate::cli::Context;
use crate::cli::actor::actor;
use crate::cli::daemon;
use crate::cli::error::{CliError, Exit};
use crate::cli::output::{Cell, Table, Tone};
use crate::cli::text::{clean, one_line, time};
use crate::cli::view::when;
use crate::model::run::Cause;
use crate::model::unmade::{PauseCause, Unmade};
use crate::model::value::time_text;
use crate::server::protocol::{PauseSchedules, ResumeSchedules, Resumed};
use crate::store::{SlotKey, SlotQuery, Store};
use crate::trigger::outlook::outlook;
use crate::trigger::schedule::Schedule;
use crate::trigger::slots::{is_unbegun, overdue, real_until};

/// Slots that were passed over, looked at to find the newest of each schedule.
const UNMADE_MAX: u32 = 1_000;

/// List schedules: when they fire next, and what did not run last
#[derive(Debug, clap::Args)]
pub(super) struct Ls {
    /// Only those of this workflow
    workflow: Option<String>,
}

/// Have the schedules of a workflow start nothing; webhooks and people still do
///
/// Each slot that comes meanwhile is listed by `bursar runs unmade` and is not made up for afterwards.
#[derive(Debug, clap::Args)]
pub(super) struct Pause {
    /// The workflow
    workflow: String,
    /// Why: shown beside every slot that does not run
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

/// Have the schedules of a workflow go on, from their next slot
///
/// Without a name: of every workflow whose schedules were paused because the clock had jumped. Say so when the clock is
/// right; the time until then is downtime, and what becomes of its slots is said by `catch_up`.
#[derive(Debug, clap::Args)]
pub(super) struct Resume {
    /// The workflow
    workflow: Option<String>,
}

pub(super) async fn ls(args: Ls, context: &Context) -> Result<Exit, CliError> {
    let settings = context.settings()?;
    let shown = of_workflows(args.workflow.as_deref(), &load_workflows(&settings))?;
    let store = context.store(&settings).await?;
    let pauses = store.pauses().await?;
    let unmade = store.unmade(args.workflow.as_deref(), UNMADE_MAX).await?;
    let (output, now) = (&context.output, context.now());
    let mut table = Table::new(&["workflow", "schedule", "zone", "state", "next", "did not run"]).whole(&[3, 4]);
    for one in &shown {
        let name = one.workflow.as_deref().unwrap_or_default();
        let pause = pauses.iter().find(|pause| pause.workflow == name);
        let next = Schedule::of(&one.spec).map(|schedule| outlook(&schedule, now, 1));
        let next: Option<Instant> = next
            .ok()
            .and_then(|found| found.slots.first().map(|planned| planned.slot.at));
        let passed = unmade.iter().find(|unmade| is_of(unmade, one));
        let trouble = match pause {
            Some(_) => None,
            None => trouble(store.as_ref(), one, now).await?,
        };
        if output.json {
            output.object(
                "bursar.schedule/1",
                &json!({
                    "workflow": name,
                    "schedule": one.spec.schedule,
                    "timezone": one.spec.timezone,
                    "paused": pause,
                    "trouble": trouble,
                    "next": next.map(time_text),
                    "last_unmade": passed,
                }),
            )?;
            continue;
        }
        let state = match pause {
            Some(pause) => Cell::toned(
                format!("paused by {}: {}", one_line(&pause.actor), one_line(&pause.reason)),
                Tone::Attention,
            ),
            None => trouble.map_or_else(|| Cell::from("on"), |trouble| Cell::toned(trouble, Tone::Bad)),
        };
        table.row([
            Cell::from(name),
            clean(&one.spec.schedule).into(),
            one.spec.timezone.as_str().into(),
            state,
            next.map_or_else(String::new, |next| when(next, now, output.look))
                .into(),
            passed.map_or_else(String::new, told).into(),
        ]);
    }
    if table.is_empty() {
        output.note("no schedules; a manifest has them below [[trigger]] with type = \"cron\"");
    } else {
        output.table(&table)?;
    }
    Ok(Exit::Ok)
}

/// What is wrong with a schedule that is not paused: a slot that has neither run nor reason, or a run that nothing takes up.
async fn trouble(store: &dyn Store, shown: &Shown, now: Instant) -> Result<Option<String>, CliError> {
    let Ok(schedule) = Schedule::of(&shown.spec) else {
        return Ok(None);
    };
    let key = SlotKey {
        workflow: shown.workflow.clone().unwrap_or_default(),
        schedule: shown.spec.schedule.clone(),
        timezone: shown.spec.timezone.clone(),
    };
    let settled = store
        .settled_until(&key.workflow, &key.schedule, &key.timezone, real_until(now))
        .await?;
    if let Some(since) = settled.and_then(|settled| overdue(&schedule, settled, now)) {
        return Ok(Some(format!("overdue since {}", time(since))));
    }
    let newest = SlotQuery {
        key,
        from: None,
        to: None,
        limit: 1,
    };
    let newest = store.slot_runs(newest).await?;
    let unbegun = newest.first().filter(|run| is_unbegun(run, now));
    Ok(unbegun.map(|run| format!("{} has not begun since {}", run.id, time(run.created_at))))
}

/// Whether this was a slot of that schedule.
fn is_of(unmade: &Unmade, shown: &Shown) -> bool {
    let Cause::Cron { schedule, timezone, .. } = &unmade.cause else {
        return false;
    };
    shown.workflow.as_ref() == Some(&unmade.workflow)
        && (schedule, timezone) == (&shown.spec.schedule, &shown.spec.timezone)
}

/// The newest that did not run, and why.
fn told(unmade: &Unmade) -> String {
    let slot = match (&unmade.cause, unmade.last_slot) {
        (_, Some(last)) => time_text(last),
        (Cause::Cron { slot, .. }, None) => time_text(*slot),
        (Cause::Webhook { .. } | Cause::Replay { .. } | Cause::Manual { .. }, None) => String::new(),
    };
    format!("{slot}: {}", unmade.reason.name())
}

pub(super) async fn pause(args: Pause, context: &Context) -> Result<Exit, CliError> {
    if args.reason.trim().is_empty() {
        return Err(
            CliError::usage("the reason is empty").hint("say why with --reason: whoever looks later wants to know")
        );
    }
    let settings = context.settings()?;
    // One that is not there would be paused for nothing, and the one that was meant would go on.
    of_workflows(Some(&args.workflow), &load_workflows(&settings))?;
    match daemon::connect(&settings).await? {
        Some(mut client) => {
            let asked = PauseSchedules {
                actor: actor(),
                reason: args.reason,
            };
            let path = format!("/v1/workflows/{}/pause", args.workflow);
            client.post::<Resumed>(&path, &asked).await?;
        }
        None => pause_here(&settings, &args.workflow, &actor(), &args.reason).await?,
    }
    let output = &context.output;
    if output.json {
        output.object("bursar.paused/1", &json!({ "workflow": args.workflow, "paused": true }))?;
    } else {
        output.print(&format!("the schedules of {} are paused", args.workflow))?;
    }
    Ok(Exit::Ok)
}

pub(super) async fn resume(args: Resume, context: &Context) -> Result<Exit, CliError> {
    let settings = context.settings()?;
    let workflows = match args.workflow {
        Some(workflow) => vec![workflow],
        None => {
            let pauses = context.store(&settings).await?.pauses().await?;
            let of_clock = pauses.into_iter().filter(|pause| pause.cause == PauseCause::Clock);
            of_clock.map(|pause| pause.workflow).collect()
        }
    };
    if workflows.is_empty() {
        let message = "no schedules are paused because of the clock";
        return Err(CliError::not_found(message).hint("name a workflow whose schedules are paused for another reason"));
    }
    let output = &context.output;
    for workflow in &workflows {
        let was_paused = match daemon::connect(&settings).await? {
            Some(mut client) => {
                let path = format!("/v1/workflows/{workflow}/resume");
                let resumed: Resumed = client.post(&path, &ResumeSchedules { actor: actor() }).await?;
                resumed.was_paused
            }
            None => resume_here(&settings, workflow).await?,
        };
        if !was_paused {
            let message = format!("the schedules of `{workflow}` are not paused");
            return Err(CliError::not_found(message).hint("`bursar schedule ls` shows which are"));
        }
        if output.json {
            output.object("bursar.paused/1", &json!({ "workflow": workflow, "paused": false }))?;
        } else {
            output.print(&format!("the schedules of {workflow} go on from their next slot"))?;
        }
    }
    Ok(Exit::Ok)
}
