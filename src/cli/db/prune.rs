//! `bursar db prune`: removes what ended long ago.

use chrono::{NaiveDate, NaiveTime};
use serde_json::json;

use super::told;
use crate::cli::Context;
use crate::cli::error::{CliError, Exit};
use crate::store::sqlite::care::retain::prune;

/// Remove what ended or arrived before a date; the daemon has to be stopped
///
/// With a run goes its journal, and the event it came from; reasons for which none was made go too. Of an event without
/// a date, and of the first of each type about one thing, the names stay: what comes again is known by them. What has not
/// ended stays, and so do the last 30 days: a provider may repeat a webhook. Back up first: what is removed is gone.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The date, such as 2026-01-31: what ended on that day (UTC) or later stays
    #[arg(long, value_name = "DATE")]
    before: NaiveDate,
    /// Only say what would be removed
    #[arg(long)]
    dry_run: bool,
}

pub(super) async fn run(args: Args, context: &Context) -> Result<Exit, CliError> {
    let state = context.settings()?.state;
    let before = args.before.and_time(NaiveTime::MIN).and_utc();
    let pruned = prune(&state, before, context.now(), args.dry_run).await.map_err(told)?;
    let output = &context.output;
    if output.json {
        output.object(
            "bursar.pruned/1",
            &json!({ "before": before, "dry_run": args.dry_run, "pruned": pruned }),
        )?;
        return Ok(Exit::Ok);
    }
    let (verb, then) = if args.dry_run {
        ("would go", "\nnothing was removed; without --dry-run it is")
    } else {
        ("are gone", "\n`bursar db vacuum` gives their room back to the disk")
    };
    output.print(&format!(
        "{} runs with {} entries, {} events and {} reasons for runs not made {verb}{then}",
        pruned.runs, pruned.entries, pruned.events, pruned.unmade
    ))?;
    Ok(Exit::Ok)
}
