//! Benchmarks, printed as ratios to the machine's own limits. Nothing here passes or fails by time.
//!
//! `cargo bench` prints every figure, `cargo bench -- --only NAME` one. Each is bounded in count and time, stays
//! on 127.0.0.1 and below the temporary folder. Quote ratios rather than rates: a rate belongs to one machine on
//! one day, and a busy machine moves both halves of a ratio.
#![expect(clippy::print_stdout, reason = "printing is what a benchmark is for")]
#![expect(clippy::float_arithmetic, reason = "rates and ratios; there is no money here")]

mod acceptance;
mod commits;
mod counting;
mod daemon;
mod limits;
mod replay;
mod report;
mod rig;
mod stub;
mod waiting;

use std::path::PathBuf;

use report::{Figure, fail};

/// Every figure: its name, what it says, and what measures it.
const FIGURES: &[(&str, &str, Measure)] = &[
    (
        "limits",
        "what this machine and its disk can do at all",
        limits::measure,
    ),
    (
        "commits",
        "group commits and runs, 64 runs of two money steps in flight",
        commits::measure,
    ),
    (
        "acceptance",
        "webhooks accepted, against a bare server that only verifies",
        acceptance::measure,
    ),
    (
        "replay",
        "10,000 recorded steps, from the store to the end of the script",
        replay::measure,
    ),
    (
        "daemon",
        "memory when idle, and start to ready with 100,000 ended runs",
        daemon::measure,
    ),
    (
        "waiting",
        "100,000 waiting runs: memory, start, and how late they wake",
        waiting::measure,
    ),
];

type Measure = fn(&Options) -> Vec<Figure>;

/// What was asked for.
struct Options {
    only: Option<String>,
    /// The program whose memory and start are measured.
    program: PathBuf,
}

fn main() {
    let mut options = Options {
        only: None,
        program: PathBuf::from(env!("CARGO_BIN_EXE_bursar")),
    };
    let mut asked = false;
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--bench" => asked = true,
            "--only" => options.only = args.next(),
            "--program" => options.program = args.next().map(PathBuf::from).unwrap_or_default(),
            other => fail(&format!(
                "unknown argument `{other}`: it takes --only NAME and --program PATH"
            )),
        }
    }
    if !asked {
        // A test runner asks every target for its tests; there are none here.
        return;
    }
    let wanted = |name: &str| options.only.as_deref().is_none_or(|only| only == name);
    if !FIGURES.iter().any(|(name, ..)| wanted(name)) {
        let names: Vec<&str> = FIGURES.iter().map(|(name, ..)| *name).collect();
        fail(&format!("there is no such figure: one of {}", names.join(", ")));
    }
    for (name, about, measure) in FIGURES.iter().filter(|(name, ..)| wanted(name)) {
        println!("\n{name}: {about}");
        for figure in measure(&options) {
            println!("  {figure}");
        }
    }
}
