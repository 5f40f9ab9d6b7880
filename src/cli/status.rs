//! `bursar status`: whether the daemon is alive, and what in it waits for a person.
//!
//! For people, and for whatever looks after the daemon: it answers from the store, not only from its socket, and in
//! time. It must not need a secret.

use std::time::Duration;

use serde_json::json;

use super::Context;
use super::daemon;
use super::error::{CliError, Exit};
use super::output::{ATTENTION, STRONG};
use super::text::{clean, count, one_line, relative, time};
use crate::app::settings::{Secrets, Settings};
use crate::base::clock::{Clock as _, Instant, SystemClock};
use crate::model::run::RunState;
use crate::model::unmade::PauseCause;
use crate::server::protocol::Status;
use crate::store::sqlite::is_held;

/// Say whether the daemon is alive and well
///
/// Exit code 0 when it is, 3 when something in it waits for a person, 7 when no daemon runs here or it does not answer in
/// time: then, and only then, starting it again may help. An approval that is open is part of a run's course and is not
/// counted: `bursar approvals ls`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// How many seconds it may take to answer
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=600))]
    timeout: u32,
}

pub(super) async fn run(args: &Args, context: &Context) -> Result<Exit, CliError> {
    let settings = context.workplace(Secrets::Optional)?;
    let asked = async {
        let Some(mut client) = daemon::connect(&settings).await? else {
            return Err(nobody(&settings));
        };
        Ok(client.get::<Status>("/v1/status").await?)
    };
    let patience = SystemClock::new().sleep(Duration::from_secs(args.timeout.into()));
    let status = tokio::select! {
        status = asked => status?,
        () = patience => {
            let message = format!("the daemon has not answered within {} s", args.timeout);
            return Err(CliError::new(Exit::Unreachable, message).hint("its log says what it is at"));
        }
    };
    let waits = waiting(&status);
    let output = &context.output;
    if output.json {
        output.object(
            "bursar.status/1",
            &json!({"status": status, "waits_for_a_person": waits}),
        )?;
    } else {
        output.print(&page(&status, &waits, context.now()))?;
    }
    Ok(if waits.is_empty() { Exit::Ok } else { Exit::NeedsPerson })
}

/// No daemon answers: there is none, or it is not up yet.
fn nobody(settings: &Settings) -> CliError {
    if is_held(&settings.state) {
        let message =
            "a process holds the store and no daemon answers: one is starting or ending, or a command is at work";
        return CliError::new(Exit::Unreachable, message)
            .hint("ask again in a moment; a second daemon could not start");
    }
    CliError::new(Exit::Unreachable, "no daemon is running here").hint("start it: `bursar serve`")
}

/// What does not go on by itself, each with the command that helps.
fn waiting(status: &Status) -> Vec<String> {
    let mut waits = Vec::new();
    if status.restored.as_ref().is_some_and(|restored| restored.holds()) {
        waits.push(
            "an older state of the store was put back, and nothing is sent: bursar db accept-restore --reason TEXT"
                .to_owned(),
        );
    }
    if let Some(parked) = status.runs.get(&RunState::Parked).filter(|parked| **parked > 0) {
        let parked = usize::try_from(*parked).unwrap_or(usize::MAX);
        waits.push(format!(
            "{} parked: bursar runs ls --in-state parked",
            count(parked, "run")
        ));
    }
    for (name, held) in &status.held {
        if held.cause == "credentials" {
            waits.push(format!("`{name}` refuses our key: bursar connections ls"));
        }
    }
    if let Some(doubt) = &status.clock {
        waits.push(format!(
            "{}, and no schedule starts anything: bursar schedule resume",
            one_line(&doubt.reason)
        ));
    }
    for pause in &status.pauses {
        if pause.cause != PauseCause::Person {
            let (workflow, reason) = (&pause.workflow, one_line(&pause.reason));
            waits.push(format!(
                "the schedules of {workflow} are paused, {reason}: bursar schedule resume {workflow}"
            ));
        }
    }
    if status.problems > 0 {
        waits.push(format!(
            "{} in the files of workflows: bursar check",
            count(status.problems, "error")
        ));
    }
    waits
}

fn page(status: &Status, waits: &[String], now: Instant) -> String {
    let mut page = format!(
        "{STRONG}running{STRONG:#} since {}, {}  process {}, version {}\n",
        time(status.started_at),
        relative(status.started_at, now),
        status.pid,
        clean(&status.version),
    );
    for (purpose, address) in &status.listeners {
        page.push_str(&format!("  {purpose:<10} {}\n", clean(address)));
    }
    let runs = status.runs.iter().filter(|(_, runs)| **runs > 0);
    let runs: Vec<String> = runs.map(|(state, runs)| format!("{runs} {state}")).collect();
    page.push_str(&format!("  {:<10} {}\n", "workflows", status.workflows));
    page.push_str(&format!(
        "  {:<10} {}\n",
        "runs",
        if runs.is_empty() {
            "none".to_owned()
        } else {
            runs.join(", ")
        }
    ));
    for (name, held) in status.held.iter().filter(|(_, held)| held.cause != "credentials") {
        let reason = one_line(&held.reason);
        page.push_str(&format!(
            "  {:<10} {} begins nothing until it answers: {reason}\n",
            "held",
            clean(name)
        ));
    }
    for one in waits {
        page.push_str(&format!("{ATTENTION}waits for a person{ATTENTION:#}: {}\n", clean(one)));
    }
    page
}
