//! `bursar selftest`: the product's claim, repeated on this machine by whoever doubts it.

use clap::Subcommand;
use serde_json::json;

use super::Context;
use super::error::{CliError, Exit};
use super::output::{BAD, GOOD, Output};
use crate::app::selftest::crash::{Outcome, Plan, crash};
use crate::app::site::this_program;
use crate::base::fault_point::COMPILED_IN;

/// Kill the daemon by the thousand and let a ledger judge
///
/// Needs no settings and no network: a simulated bank, random workflows, and this very program as the daemon, in
/// folders of their own. Exit code 1 if one cent is not where it should be, or too little happened to tell.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Crash(Crash),
}

/// Kill it at named points and at random times, also while it recovers
///
/// Named points are in builds with the feature `fault-points`, and in debug builds.
#[derive(Debug, clap::Args)]
struct Crash {
    /// How many kills
    #[arg(long, value_name = "NUMBER", default_value_t = 1_000)]
    kills: u64,
    /// Replays what an earlier one drew, such as 0x1f [default: drawn]
    #[arg(long, value_name = "SEED", value_parser = seed)]
    seed: Option<u64>,
    /// Daemons at the same time
    #[arg(long, value_name = "NUMBER", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=32))]
    streams: u8,
}

fn seed(text: &str) -> Result<u64, String> {
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    parsed.map_err(|_| "a number, or hexadecimal digits after 0x".to_owned())
}

pub(super) fn run(args: &Args, context: &Context) -> Result<Exit, CliError> {
    let Command::Crash(args) = &args.command;
    let output = context.output;
    if !COMPILED_IN {
        output.note("this build has no named points: it is killed by time alone (build with --features fault-points)");
    }
    let plan = Plan {
        kills: args.kills,
        seed: args.seed.unwrap_or_else(|| fastrand::u64(..)),
        streams: usize::from(args.streams),
        program: this_program()?,
    };
    output.note(&format!("seed {:#x}", plan.seed));
    let outcome = context.wait(async { Ok(crash(&plan, &mut |so_far| output.note(&so_far.to_string())).await?) })?;
    show(&plan, &outcome, &output)?;
    let good = outcome.is_exact() && outcome.is_telling();
    Ok(if good { Exit::Ok } else { Exit::Failed })
}

fn show(plan: &Plan, outcome: &Outcome, output: &Output) -> Result<(), CliError> {
    if output.json {
        return output.object("bursar.selftest.crash/1", &summary(plan, outcome));
    }
    for wrong in &outcome.wrong {
        output.print(&format!("{BAD}wrong{BAD:#}: {wrong}"))?;
    }
    if !outcome.is_telling() {
        let unreached = outcome.unreached().join(", ");
        output.print(&format!(
            "{BAD}too little happened to tell{BAD:#}; points not reached: {}",
            if unreached.is_empty() { "none" } else { &unreached }
        ))?;
    }
    let (style, verdict) = match outcome.is_exact() {
        true => (GOOD, "exact"),
        false => (BAD, "NOT EXACT"),
    };
    output.print(&format!("{style}{verdict}{style:#}: {outcome} (seed {:#x})", plan.seed))
}

fn summary(plan: &Plan, outcome: &Outcome) -> serde_json::Value {
    json!({
        "seed": format!("{:#x}", plan.seed),
        "kills": outcome.kills,
        "in_recovery": outcome.in_recovery,
        "runs": outcome.runs,
        "effects": outcome.effects,
        "twice": outcome.twice,
        "missing": outcome.missing,
        "unexplained": outcome.unexplained,
        "wrong": outcome.wrong,
        "points": outcome.points,
        "unreached": outcome.unreached(),
        "exact": outcome.is_exact(),
        "took_ms": u64::try_from(outcome.took.as_millis()).unwrap_or(u64::MAX),
    })
}
