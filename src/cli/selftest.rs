//! `bursar selftest`: the product's claim, repeated on this machine by whoever doubts it.

use clap::Subcommand;
use serde_json::json;

use super::error::{CliError, Exit};
use super::output::{BAD, Cell, GOOD, Output, Table, Tone};
use super::{Context, unless_interrupted};
use crate::app::selftest::crash::{Outcome, Plan, crash};
use crate::app::selftest::faults::{Cell as FaultCell, Circumstances, Ending, FAULTS, Matrix, Part, faults};
use crate::app::site::this_program;
use crate::base::fault_point::COMPILED_IN;

/// Try it by accidents, on this machine, and let a ledger judge
///
/// Needs no settings and no network: a simulated bank, and folders of its own. Exit code 1 if one cent is not where it
/// should be, or too little happened to tell.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Crash(Crash),
    Faults(Faults),
}

/// Meet every fault of a provider at every operation that changes something
///
/// Refused, reset, late, cut off, wrong: with keys that hold and keys that do not, and each once more with a process
/// that dies after it. Prints how the operations ended; each has one right end.
#[derive(Debug, clap::Args)]
struct Faults {
    /// Faults at the same time
    #[arg(long, value_name = "NUMBER", default_value_t = 8, value_parser = clap::value_parser!(u8).range(1..=64))]
    at_once: u8,
}

/// Kill the daemon at named points and at random times, also while it recovers
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

/// What an interrupted test leaves.
const NOTHING_SAID: &str =
    "nothing is proved: its daemons were ended, their folders `bursar-selftest-…` stay in the temporary folder";

pub(super) fn run(args: &Args, context: &Context) -> Result<Exit, CliError> {
    match &args.command {
        Command::Crash(args) => run_crash(args, context),
        Command::Faults(args) => run_faults(args, context),
    }
}

fn run_faults(args: &Faults, context: &Context) -> Result<Exit, CliError> {
    let output = context.output;
    let part = Part {
        at_once: usize::from(args.at_once),
        drawn: None,
    };
    let mut meetings = 0;
    let mut met = |_: &Matrix| {
        meetings += 1;
        if meetings % (8 * Circumstances::ALL.len()) == 0 {
            output.note(&format!(
                "{} of {} faults met",
                meetings / Circumstances::ALL.len(),
                FAULTS.len()
            ));
        }
    };
    let matrix = context.wait_and_clear(unless_interrupted(
        async { Ok(faults(part, &mut met).await?) },
        NOTHING_SAID,
    ))?;
    if output.json {
        for cell in &matrix.cells {
            output.object("bursar.selftest.fault/1", &cell_json(cell))?;
        }
    } else {
        output.table(&matrix_table(&matrix))?;
        for cell in matrix.wrong() {
            let (why, words) = (cell.wrong.as_deref().unwrap_or_default(), words(cell.circumstances));
            output.print(&format!(
                "{BAD}wrong{BAD:#}: {} at {}.{}, {words}: {why}",
                cell.fault, cell.provider, cell.operation
            ))?;
        }
        for (why, cells) in matrix.known() {
            output.print(&format!("{BAD}known{BAD:#}: {cells} cells: {why}"))?;
        }
        for (provider, verdict) in matrix.by_provider() {
            output.print(&format!("{provider}: {verdict}"))?;
        }
        let (style, verdict) = if matrix.is_right() {
            (GOOD, "right")
        } else {
            (BAD, "WRONG")
        };
        output.print(&format!("{style}{verdict}{style:#}: {matrix}"))?;
    }
    Ok(if matrix.is_right() { Exit::Ok } else { Exit::Failed })
}

fn words(circumstances: Circumstances) -> &'static str {
    match (circumstances.key_holds, circumstances.dies) {
        (true, false) => "key holds",
        (true, true) => "key holds, process dies",
        (false, false) => "key lapsed",
        (false, true) => "key lapsed, process dies",
    }
}

/// For each fault how the operations ended in each of the circumstances.
fn matrix_table(matrix: &Matrix) -> Table {
    let mut heads = vec!["fault"];
    heads.extend(Circumstances::ALL.map(words));
    let mut table = Table::new(&heads);
    for fault in &FAULTS {
        let mut row: Vec<Cell> = vec![fault.name.into()];
        for circumstances in Circumstances::ALL {
            let cells = || {
                let of_fault = matrix.cells.iter().filter(|cell| cell.fault == fault.name);
                of_fault.filter(move |cell| cell.circumstances == circumstances)
            };
            let ended = |ending: Ending| cells().filter(|cell| cell.ending == ending).count();
            let parts = [
                (ended(Ending::Done), "done"),
                (ended(Ending::Failed), "failed"),
                (ended(Ending::Parked), "parked"),
            ];
            let parts = parts.iter().filter(|(number, _)| *number > 0);
            let text: Vec<String> = parts.map(|(number, word)| format!("{number} {word}")).collect();
            let is_wrong = cells().any(|cell| cell.wrong.is_some());
            let tone = if is_wrong { Tone::Bad } else { Tone::Good };
            row.push(Cell::toned(text.join(", "), tone));
        }
        table.row(row);
    }
    table
}

fn cell_json(cell: &FaultCell) -> serde_json::Value {
    json!({
        "fault": cell.fault,
        "provider": cell.provider,
        "operation": cell.operation,
        "key_holds": cell.circumstances.key_holds,
        "process_dies": cell.circumstances.dies,
        "ended": cell.ending.as_str(),
        "done": cell.times,
        "wrong": cell.wrong,
        "known": cell.known,
    })
}

fn run_crash(args: &Crash, context: &Context) -> Result<Exit, CliError> {
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
    let outcome = context.wait_and_clear(unless_interrupted(
        async { Ok(crash(&plan, &mut |so_far| output.note(&so_far.to_string())).await?) },
        NOTHING_SAID,
    ))?;
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
    output.print(&format!("{style}{verdict}{style:#}: {outcome} (seed {:#x})", plan.seed))?;
    output.note(&format!("in these runs: {}", outcome.contents()));
    Ok(())
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
