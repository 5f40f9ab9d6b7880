//! `bursar db`: looking after the store.

mod accept_restore;
mod backup;
mod check;
mod prune;
mod restore;
mod vacuum;

use clap::Subcommand;

use super::Context;
use super::error::{CliError, Exit};
use super::text::time;
use crate::store::sqlite::care::check::Checked;
use crate::store::{Restored, StoreError};

/// Check, back up, restore and shrink the store
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Check(check::Args),
    Backup(backup::Args),
    Restore(restore::Args),
    AcceptRestore(accept_restore::Args),
    Vacuum(vacuum::Args),
    Prune(prune::Args),
}

pub(super) fn run(args: Args, context: &Context) -> Result<Exit, CliError> {
    match args.command {
        Command::Check(args) => context.wait(check::run(args, context)),
        Command::Backup(args) => context.wait(backup::run(args, context)),
        Command::Restore(args) => context.wait(restore::run(args, context)),
        Command::AcceptRestore(args) => context.wait(accept_restore::run(args, context)),
        Command::Vacuum(args) => context.wait(vacuum::run(args, context)),
        Command::Prune(args) => context.wait(prune::run(args, context)),
    }
}

/// What the store says, with advice that fits here.
fn told(error: StoreError) -> CliError {
    match error {
        StoreError::Conflict(message) => CliError::new(Exit::Refused, message),
        missing @ StoreError::NotFound(_) => CliError::not_found(missing.to_string()),
        StoreError::Locked { .. } => {
            let message = error.to_string();
            CliError::new(Exit::Store, message).hint("stop the daemon first; a check and a backup may run beside it")
        }
        other => other.into(),
    }
}

/// What a check found, for people.
fn describe(checked: &Checked) -> String {
    let runs: Vec<String> = checked
        .runs
        .iter()
        .filter(|(_, number)| **number > 0)
        .map(|(state, number)| format!("{number} {state}"))
        .collect();
    let runs = if runs.is_empty() {
        "none".to_owned()
    } else {
        runs.join(", ")
    };
    let restored = checked.restored.as_ref().map_or(String::new(), |restored| {
        format!("\n  restored   {}", standing(restored))
    });
    let unreadable = match checked.unreadable.len() {
        0 => "all read".to_owned(),
        number => format!("{number} MORE CANNOT BE READ: `bursar db check`"),
    };
    format!(
        "  runs       {runs}\n  journals   {} of runs that have not ended, {} entries, {unreadable}\n  events     {}, {} to be \
         routed\n  size       {}, {} of it free; log {}{restored}",
        checked.journals,
        checked.entries,
        checked.events,
        checked.unrouted,
        bytes(checked.database_bytes),
        bytes(checked.free_bytes),
        bytes(checked.log_bytes),
    )
}

fn standing(restored: &Restored) -> String {
    let since = time(restored.since);
    match &restored.accepted {
        Some(accepted) => format!(
            "the state of {since} was put back; {} accepted that at {}: {}",
            accepted.actor,
            time(accepted.at),
            accepted.reason
        ),
        None => format!("the state of {since} stands here; a daemon sends nothing before that is accepted"),
    }
}

/// `1.2 MiB`.
fn bytes(number: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut unit = 0;
    let mut tenths = u128::from(number) * 10;
    while tenths >= 10_240 && unit + 1 < units.len() {
        tenths /= 1_024;
        unit += 1;
    }
    match unit {
        0 => format!("{number} B"),
        _ => format!(
            "{}.{} {}",
            tenths / 10,
            tenths % 10,
            units.get(unit).copied().unwrap_or_default()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short_and_never_rounded_up() {
        let check = |number, expected: &str| assert_eq!(bytes(number), expected);
        check(0, "0 B");
        check(1_023, "1023 B");
        check(1_024, "1.0 KiB");
        check(1_536, "1.5 KiB");
        check(1_024 * 1_024 - 1, "1023.9 KiB");
        check(64 * 1_024 * 1_024, "64.0 MiB");
        check(u64::MAX, "16777215.9 TiB");
    }
}
