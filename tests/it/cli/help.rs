//! The help of every command, as it is printed.

use std::collections::BTreeSet;

use bursar::cli::error::Exit;
use tempfile::tempdir;

use super::harness::bursar;

/// Every command, by its words.
const COMMANDS: &[&[&str]] = &[
    &[],
    &["init"],
    &["check"],
    &["serve"],
    &["status"],
    &["demo"],
    &["run"],
    &["runs"],
    &["runs", "ls"],
    &["runs", "show"],
    &["runs", "unmade"],
    &["runs", "cancel"],
    &["approvals"],
    &["approvals", "ls"],
    &["approvals", "show"],
    &["approvals", "approve"],
    &["approvals", "reject"],
    &["reconcile"],
    &["reconcile", "ls"],
    &["reconcile", "show"],
    &["reconcile", "resolve"],
    &["journal"],
    &["journal", "show"],
    &["events"],
    &["events", "ls"],
    &["events", "show"],
    &["events", "replay"],
    &["webhooks"],
    &["webhooks", "register"],
    &["webhooks", "ls"],
    &["webhooks", "rotate"],
    &["webhooks", "unregister"],
    &["webhooks", "test"],
    &["webhooks", "listen"],
    &["webhooks", "send"],
    &["workflows"],
    &["workflows", "ls"],
    &["workflows", "verify"],
    &["schedule"],
    &["schedule", "next"],
    &["schedule", "ls"],
    &["schedule", "pause"],
    &["schedule", "resume"],
    &["schedule", "trigger"],
    &["schedule", "backfill"],
    &["connections"],
    &["connections", "ls"],
    &["connections", "check"],
    &["connectors"],
    &["connectors", "ls"],
    &["connectors", "show"],
    &["db"],
    &["db", "check"],
    &["db", "backup"],
    &["db", "restore"],
    &["db", "accept-restore"],
    &["db", "vacuum"],
    &["db", "prune"],
    &["primitives"],
    &["sim"],
    &["sim", "serve"],
    &["selftest"],
    &["selftest", "crash"],
    &["selftest", "faults"],
    &["completions"],
];

fn help(words: &[&str]) -> String {
    let folder = tempdir().expect("a folder");
    let mut args = words.to_vec();
    args.push("--help");
    let ran = bursar(folder.path(), &args).expect(0);
    assert!(ran.stderr.is_empty(), "{}", ran.stderr);
    // Trailing blanks are lost by editors and in reviews.
    let lines: Vec<&str> = ran.stdout.lines().map(str::trim_end).collect();
    lines.join("\n")
}

#[test]
fn the_help_of_every_command_is_as_it_was_reviewed() {
    for words in COMMANDS {
        let name = [&["help"], *words].concat().join("_");
        insta::assert_snapshot!(name, help(words));
    }
}

#[test]
fn every_command_is_in_the_list_above() {
    for words in COMMANDS {
        let text = help(words);
        let Some((_, list)) = text.split_once("\nCommands:\n") else {
            continue;
        };
        let list = list.split("\n\n").next().unwrap_or("");
        let told: BTreeSet<&str> = list.lines().filter_map(|line| line.split_whitespace().next()).collect();
        let known = COMMANDS
            .iter()
            .filter(|other| other.len() == words.len() + 1 && other.starts_with(words));
        let known: BTreeSet<&str> = known.filter_map(|other| other.last().copied()).collect();
        assert_eq!(told, known, "below {words:?}");
    }
}

#[test]
fn the_help_tells_every_exit_code_and_each_has_its_own_number() {
    let text = help(&[]);
    let mut numbers = BTreeSet::new();
    for (number, exit, meaning) in Exit::ALL {
        assert_eq!(exit.code(), number);
        assert!(numbers.insert(number), "{number} is there twice");
        let line = format!("  {number:<4} {meaning}");
        assert!(text.lines().any(|told| told == line), "{line}");
    }
}
