//! Hostile scripts: whatever they try, each is stopped in time and in bounds, told where, and disturbs nobody.
//!
//! The texts stand in the files of this folder. `// # name -> outcome | outcome` begins a case, `// ## path` a file
//! that it imports. All of them run in a process of their own, because what they attack is the process: if one
//! brings it down, the test says which. Honest runs of the real engine go on beside them all the time.

mod floods;
mod texts;

use std::collections::VecDeque;
use std::io::Write as _;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bursar::base::clock::{Clock as _, SystemClock};
use bursar::base::limits::ERROR_MESSAGE_BYTES_MAX;
use bursar::base::memory::{give_back_large_blocks, restart_thread_peak, thread_net_bytes, thread_peak_bytes};
use bursar::script::{Budget, Interpreter, Limit, Ran, Surface, check, spawn_script_thread};

use crate::scripts::rig;
use crate::support::{computed, report};
use texts::{Case, cases};

/// From the start of a script to the end of everything it left behind, in time of the processor where the system tells.
const STOPPED_WITHIN: Duration = Duration::from_secs(2);
/// What a thread may hold at once beyond what it held before.
const HELD_AT_MOST: usize = 64 * 1024 * 1024;
/// What one native may take on top between two looks: a text or list at its own limit, twice.
const ONE_NATIVE: usize = 8 * 1024 * 1024;
const THREADS: usize = 2;
/// The whole process: two of these threads, two of the engine's, the journals of the runs there, and the store.
const RESIDENT_AT_MOST_MIB: u64 = 512;

/// The budget of the product, but for the time: an unoptimised build shall not make the suite slow.
fn budget() -> Budget {
    Budget {
        compute: Duration::from_millis(60),
        ..Budget::default()
    }
}

/// What one script came to.
struct Stopped {
    took: Duration,
    peak: usize,
    wrong: Option<String>,
}

fn outcome_of(ran: &Ran) -> (String, Option<(&str, &[String])>) {
    match ran {
        Ran::Finished(_) => ("ends".to_owned(), None),
        Ran::Interrupted => ("interrupted".to_owned(), None),
        Ran::Panicked => ("panicked".to_owned(), None),
        Ran::Failed(error) => (format!("fails {}", error.code), Some((&error.message, &error.trace))),
        Ran::Exhausted { limit, trace } => {
            let name = match limit {
                Limit::Operations => "operations",
                Limit::Compute => "compute",
                Limit::Memory => "memory",
                Limit::Depth => "depth",
                Limit::Size => "size",
            };
            (name.to_owned(), Some(("", trace)))
        }
    }
}

/// Whether this names a place in a script: `main.rhai:3:7`, or the same after `function at `.
fn is_place(frame: &str) -> bool {
    frame.split_once(".rhai:").is_some_and(|(_, place)| {
        let line = place.split(':').next().unwrap_or_default();
        line.parse::<usize>().is_ok_and(|line| line > 0)
    })
}

/// Whether the interpreter keeps no line, only the file: where it looks at the time between two operations, and
/// where it finds a variable locked.
fn lineless(outcome: &str, trace: &[String]) -> bool {
    trace.iter().any(|frame| frame.contains(".rhai"))
        && [
            "compute",
            "operations",
            "memory",
            "fails data_race",
            "fails import_cycle",
        ]
        .contains(&outcome)
}

fn judge(case: &Case, ran: &Ran, effects: &[String]) -> Option<String> {
    let (outcome, told) = outcome_of(ran);
    let expected = |allowed: &String| *allowed == outcome || (allowed == "fails" && outcome.starts_with("fails "));
    // The time is short and the machine may be busy: whatever else stops a script, its time may be over first.
    let timed_out = outcome == "compute" && case.outcomes != ["interrupted"];
    if !timed_out && !case.outcomes.iter().any(expected) {
        return Some(format!("came to `{outcome}`: {ran:?}"));
    }
    if !effects.is_empty() {
        return Some(format!("had effects after its end: {effects:?}"));
    }
    match told {
        Some((_, trace)) if !trace.iter().any(|frame| is_place(frame)) && !lineless(&outcome, trace) => {
            Some(format!("does not say where it was stopped: {ran:?}"))
        }
        Some((message, _)) if message.len() > ERROR_MESSAGE_BYTES_MAX + 3 => {
            Some(format!("says too much: {} bytes", message.len()))
        }
        _ => None,
    }
}

fn run(interpreter: &Interpreter<rig::Rig>, case: &Case) -> Stopped {
    let files: Vec<(&str, &str)> = case.files.iter().map(|(path, text)| (&**path, &**text)).collect();
    let version = rig::version(&files);
    let clock = SystemClock::new();
    let host = Arc::new(rig::Rig::default());
    let before = thread_net_bytes();
    restart_thread_peak();
    let time = || computed::here().unwrap_or_else(|| clock.elapsed());
    let started = time();
    // The checker meets them first: it has to survive them, whatever it finds.
    let _findings: usize = check(&version.sources, &Surface::default()).len();
    let checked = time();
    let ran = interpreter.run(&version, Arc::clone(&host), rig::globals(), budget());
    let took = (time() - checked).max(checked - started);
    let peak = usize::try_from(thread_peak_bytes() - before).unwrap_or(0);
    let effects = host.effects.lock().expect("no panic").clone();
    let mut wrong = judge(case, &ran, &effects);
    if took > STOPPED_WITHIN {
        wrong = Some(format!("took {took:?}"));
    }
    if peak > HELD_AT_MOST + ONE_NATIVE {
        wrong = Some(format!("held {} MiB", peak >> 20));
    }
    Stopped { took, peak, wrong }
}

fn say(line: &str) {
    let mut out = std::io::stdout();
    writeln!(out, "{line}").and_then(|()| out.flush()).expect("a line");
}

/// Runs cases until none is left, and says which one is running: after an abort that is all there is.
fn work(cases: &Mutex<VecDeque<Case>>) -> Vec<(String, Stopped)> {
    let interpreter = Interpreter::new(&rig::functions(), Arc::new(SystemClock::new())).with_common_modules(&["log"]);
    let mut done = Vec::new();
    loop {
        let Some(case) = cases.lock().expect("no panic").pop_front() else {
            return done;
        };
        say(&format!("begins: {}", case.name));
        let stopped = run(&interpreter, &case);
        say(&format!("ended: {}", case.name));
        done.push((case.name, stopped));
    }
}

/// The most memory this process ever had, as the system counts it.
fn resident_peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("this process has a status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kilobytes.expect("a number of kB") / 1024
}

/// Not a test of its own: the body of the one below, in the process that the scripts attack.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by hostile_scripts_are_stopped_and_disturb_nobody in a process of its own"]
async fn the_process_that_is_attacked() {
    // As the program does when it starts.
    give_back_large_blocks();
    let cases = cases();
    let number = cases.len();
    let queue = Arc::new(Mutex::new(cases));
    let threads: Vec<_> = (0..THREADS)
        .map(|number| {
            let queue = Arc::clone(&queue);
            spawn_script_thread(&format!("hostile-{number}"), move || work(&queue)).expect("a thread")
        })
        .collect();
    let flooded = floods::run_beside(|| threads.iter().all(std::thread::JoinHandle::is_finished)).await;
    let done: Vec<_> = threads
        .into_iter()
        .flat_map(|thread| thread.join().expect("it ends"))
        .collect();
    let mut wrong: Vec<String> = flooded.wrong;
    for (name, stopped) in &done {
        wrong.extend(stopped.wrong.as_ref().map(|why| format!("{name}: {why}")));
    }
    let slowest = done.iter().max_by_key(|(_, stopped)| stopped.took).expect("some");
    let largest = done.iter().max_by_key(|(_, stopped)| stopped.peak).expect("some");
    for line in &wrong {
        say(&format!("wrong: {line}"));
    }
    say(&format!(
        "result: {} scripts: each stopped within {:.1} s ({}) and {} MiB ({}), the process within {} MiB; {}",
        number + flooded.scripts,
        slowest.1.took.as_secs_f32(),
        slowest.0,
        largest.1.peak >> 20,
        largest.0,
        resident_peak_mib(),
        flooded.honest,
    ));
    assert_eq!(done.len(), number);
    assert!(resident_peak_mib() <= RESIDENT_AT_MOST_MIB, "the process grew");
    assert!(wrong.is_empty(), "{} scripts did wrong", wrong.len());
}

#[test]
fn hostile_scripts_are_stopped_and_disturb_nobody() {
    assert!(cases().len() >= 150, "the corpus is too small to say much");
    let process = Command::new(std::env::current_exe().expect("this binary"))
        .args([
            "--ignored",
            "--exact",
            "hostile::the_process_that_is_attacked",
            "--nocapture",
        ])
        // What a backtrace reads of this binary's own debugging information is no script's memory.
        .env("RUST_BACKTRACE", "0")
        .output()
        .expect("this binary runs");
    let told = String::from_utf8_lossy(&process.stdout);
    let tell = |key: &str| {
        told.lines()
            .filter_map(|line| line.split_once(key))
            .map(|(_, rest)| rest.to_owned())
            .collect::<Vec<_>>()
    };
    let ended = tell("ended: ");
    let running: Vec<String> = tell("begins: ")
        .into_iter()
        .filter(|name| !ended.contains(name))
        .collect();
    assert!(
        running.is_empty(),
        "the process died under one of {running:?}: {:?}\n{}",
        process.status,
        String::from_utf8_lossy(&process.stderr)
    );
    let wrong = tell("wrong: ");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(
        process.status.success(),
        "{told}\n{}",
        String::from_utf8_lossy(&process.stderr)
    );
    for line in tell("result: ") {
        report(&line);
    }
}
