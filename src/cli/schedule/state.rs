//! `bursar schedule ls|pause|resume`: what the store knows of schedules.

use serde_json::json;

use super::{Shown, of_workflows};
use crate::app::offline::{load_workflows, pause_here, resume_here, trust_clock_here};
use crate::app::settings::Settings;
use crate::base::clock::Instant;
use crate::cli::Context;
use crate::cli::actor::actor;
use crate::cli::daemon;
use crate::cli::error::{CliError, Exit};
use crate::cli::output::{Cell, Table, Tone};
use crate::cli::text::{clean, one_line, time};
use crate::cli::view::when;
use crate::model::run::Cause;
use crate::model::unmade::{ClockDoubt, Pause as Paused, Resumption, Unmade};
use crate::model::value::time_text;
use crate::server::protocol::{PauseSchedules, ResumeSchedules, Resumed, Trusted};
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
/// Without a name: the clock was in doubt, because it had jumped or showed less than before, and is right now. All schedules and waits go on that wait for that; what a person has
/// paused, and what failures have, stays paused. The time until then is downtime, and what becomes of its slots is said
/// by `catch_up`. With a name, the pause of that workflow is over, whoever began it; it says nothing of the clock.
#[derive(Debug, clap::Args)]
pub(super) struct Resume {
    /// The workflow
    workflow: Option<String>,
    /// Why: kept beside the end of a pause; of the clock it is in the log alone
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

pub(super) async fn ls(args: Ls, context: &Context) -> Result<Exit, CliError> {
    let settings = context.settings()?;
    let shown = of_workflows(args.workflow.as_deref(), &load_workflows(&settings))?;
    let store = context.store(&settings).await?;
    let pauses = store.pauses().await?;
    let doubt = store.clock_doubt().await?;
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
        let resumed = store.resumed(name).await?;
        let trouble = match (pause, &doubt) {
            (Some(_), _) | (_, Some(_)) => None,
            (None, None) => trouble(store.as_ref(), one, now).await?,
        };
        if output.json {
            output.object(
                "bursar.schedule/1",
                &json!({
                    "workflow": name,
                    "schedule": one.spec.schedule,
                    "timezone": one.spec.timezone,
                    "paused": pause,
                    "resumed": resumed,
                    "clock": doubt.as_ref().map(|doubt| &doubt.reason),
                    "trouble": trouble,
                    "next": next.map(time_text),
                    "last_unmade": passed,
                }),
            )?;
            continue;
        }
        let stopped = [pause.map(why_paused), doubt.as_ref().map(why_in_doubt)];
        let stopped: Vec<String> = stopped.into_iter().flatten().collect();
        let state = match trouble {
            _ if !stopped.is_empty() => Cell::toned(stopped.join("; "), Tone::Attention),
            Some(trouble) => Cell::toned(trouble, Tone::Bad),
            None => Cell::from(resumed.map_or_else(|| "on".to_owned(), why_on)),
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

fn why_paused(pause: &Paused) -> String {
    format!("paused by {}: {}", one_line(&pause.actor), one_line(&pause.reason))
}

fn why_on(resumed: Resumption) -> String {
    let reason = resumed
        .reason
        .map_or_else(String::new, |reason| format!(": {}", one_line(&reason)));
    format!(
        "on, resumed {} by {}{reason}",
        time(resumed.at),
        one_line(&resumed.actor)
    )
}

fn why_in_doubt(doubt: &ClockDoubt) -> String {
    format!("waits: {}", one_line(&doubt.reason))
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
    match &args.workflow {
        Some(workflow) => resume_one(&settings, workflow, args.reason.clone(), context).await,
        None => trust_clock(&settings, args.reason, context).await,
    }
}

async fn resume_one(
    settings: &Settings,
    workflow: &str,
    reason: Option<String>,
    context: &Context,
) -> Result<Exit, CliError> {
    is_known(settings, workflow, context).await?;
    let was_paused = match daemon::connect(settings).await? {
        Some(mut client) => {
            let path = format!("/v1/workflows/{workflow}/resume");
            let asked = ResumeSchedules { actor: actor(), reason };
            let resumed: Resumed = client.post(&path, &asked).await?;
            resumed.was_paused
        }
        None => resume_here(settings, workflow, &actor(), reason).await?,
    };
    // What is done is done, also where this cannot be read.
    let doubt = match context.store(settings).await {
        Ok(store) => store.clock_doubt().await.ok().flatten(),
        Err(_) => None,
    };
    if !was_paused {
        let message = format!("the schedules of `{workflow}` are not paused");
        return Err(CliError::not_found(message).hint(match doubt {
            Some(doubt) => format!(
                "every schedule {}; if the clock is right: `bursar schedule resume` without a name",
                why_in_doubt(&doubt)
            ),
            None => "`bursar schedule ls` shows which are".to_owned(),
        }));
    }
    let output = &context.output;
    if output.json {
        output.object("bursar.paused/1", &json!({ "workflow": workflow, "paused": false }))?;
    } else {
        output.print(&match doubt {
            Some(doubt) => format!(
                "the schedules of {workflow} are not paused any more, but every schedule {}; if the clock is right: bursar schedule resume",
                why_in_doubt(&doubt)
            ),
            None => format!("the schedules of {workflow} go on from their next slot"),
        })?;
    }
    Ok(Exit::Ok)
}

/// A name that was mistyped is told as such.
async fn is_known(settings: &Settings, workflow: &str, context: &Context) -> Result<(), CliError> {
    let loaded = load_workflows(settings);
    if loaded.broken.contains(workflow) {
        return Ok(());
    }
    let Err(unknown) = of_workflows(Some(workflow), &loaded) else {
        return Ok(());
    };
    // The file of one that was paused may be gone.
    let pauses = context.store(settings).await?.pauses().await?;
    match pauses.iter().any(|pause| pause.workflow == workflow) {
        true => Ok(()),
        false => Err(unknown),
    }
}

/// The clock is right: what waits for that goes on, and what stays paused is named.
async fn trust_clock(settings: &Settings, reason: Option<String>, context: &Context) -> Result<Exit, CliError> {
    let was_in_doubt = match daemon::connect(settings).await? {
        Some(mut client) => {
            let asked = ResumeSchedules { actor: actor(), reason };
            let trusted: Trusted = client.post("/v1/clock/trust", &asked).await?;
            trusted.was_in_doubt
        }
        None => trust_clock_here(settings).await?,
    };
    let pauses = context.store(settings).await?.pauses().await?;
    if !was_in_doubt {
        let names: Vec<&str> = pauses.iter().map(|pause| pause.workflow.as_str()).collect();
        let error = CliError::not_found("no schedule waits because of the clock");
        return Err(if names.is_empty() {
            error
        } else {
            error.hint(format!(
                "name a workflow that is paused for another reason: {}",
                names.join(", ")
            ))
        });
    }
    let output = &context.output;
    if output.json {
        output.object("bursar.clock/1", &json!({ "trusted": true, "paused": pauses }))?;
        return Ok(Exit::Ok);
    }
    output.print("the clock is right: schedules go on from their next slot")?;
    for pause in &pauses {
        output.print(&format!("{} stays {}", clean(&pause.workflow), why_paused(pause)))?;
    }
    Ok(Exit::Ok)
}
