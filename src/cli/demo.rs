//! `bursar demo`: the whole path on this machine, accidents included, and the ledger's verdict.

use std::io::IsTerminal as _;
use std::path::Path;

use serde_json::json;

use super::Context;
use super::error::{CliError, Exit};
use super::output::{ATTENTION, BAD, Cell, GOOD, Output, Table, Tone};
use super::text::one_line;
use crate::app::demo::{Audience, Progress, Report, Row, play};

/// See it work: a simulated bank, real accidents, and the ledger's verdict
///
/// Starts a simulated bank and the daemon, moves money by the shipped workflows, loses an answer, repeats a webhook,
/// kills the daemon in the middle of a payment, and holds the journal against the bank's ledger. Needs no settings
/// and no network. Exit code 1 if one cent is not where it should be.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// End with the verdict, also on a terminal
    #[arg(long)]
    once: bool,
    /// Keep the folder with the store, to look around in
    #[arg(long)]
    keep: bool,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<Exit, CliError> {
    let output = context.output;
    // On a terminal somebody may want to look around; a script wants the verdict and the exit code.
    let stays = !args.once && !output.json && std::io::stdout().is_terminal();
    let report = context.wait(async {
        let mut shown = Ok(());
        let audience = Audience {
            keep: args.keep,
            tell: &mut |progress| output.note(&line(&progress)),
            verdict: &mut |report, settings| {
                shown = show_verdict(report, &output);
                if stays {
                    output.note(&around(settings));
                }
            },
            stay: Box::pin(async move {
                if stays && let Err(error) = tokio::signal::ctrl_c().await {
                    tracing::warn!(%error, "Ctrl-C cannot be received");
                }
            }),
        };
        let report = play(audience).await?;
        shown?;
        Ok(report)
    })?;
    if let Some(folder) = &report.kept {
        output.note(&format!("kept in {}", folder.display()));
    }
    Ok(if report.exact { Exit::Ok } else { Exit::Failed })
}

fn show_verdict(report: &Report, output: &Output) -> Result<(), CliError> {
    if output.json {
        return output.object("bursar.demo/1", &summary(report));
    }
    show(report, output)
}

fn around(settings: &Path) -> String {
    let settings = settings.display();
    format!("\nbank and daemon are still there: bursar --config {settings} runs ls\nCtrl-C ends them")
}

fn line(progress: &Progress) -> String {
    match progress {
        Progress::Step(text) => format!("  {}", one_line(text)),
        Progress::Accident(text) => format!("{ATTENTION}!{ATTENTION:#} {}", one_line(text)),
        Progress::Result(text) => format!("{GOOD}>{GOOD:#} {}", one_line(text)),
    }
}

fn show(report: &Report, output: &Output) -> Result<(), CliError> {
    let mut table = Table::new(&["workflow", "runs", "intended", "paid", "moved"]).right(&[1, 2, 3, 4]);
    for row in &report.rows {
        let tone = if row.paid == row.intended {
            Tone::Good
        } else {
            Tone::Bad
        };
        table.row([
            Cell::from(&row.workflow),
            row.runs.to_string().into(),
            row.intended.to_string().into(),
            Cell::toned(row.paid.to_string(), tone),
            moved(row).into(),
        ]);
    }
    output.print("")?;
    output.table(&table)?;
    let (style, verdict) = if report.exact {
        (GOOD, "exact")
    } else {
        (BAD, "NOT EXACT")
    };
    output.print(&format!(
        "\n{style}{verdict}{style:#}: {}  ({:.1} s)",
        report.audit,
        report.took.as_secs_f32(),
    ))?;
    Ok(())
}

fn moved(row: &Row) -> String {
    let amounts: Vec<String> = row.moved.iter().map(ToString::to_string).collect();
    amounts.join(" + ")
}

fn summary(report: &Report) -> serde_json::Value {
    let row = |row: &Row| json!({ "workflow": row.workflow, "runs": row.runs, "intended": row.intended, "paid": row.paid, "moved": row.moved });
    json!({
        "exact": report.exact,
        "rows": report.rows.iter().map(row).collect::<Vec<_>>(),
        "intended": report.audit.intended.len(),
        "paid": report.audit.paid(),
        "twice": report.audit.twice(),
        "missing": report.audit.missing(),
        "unexplained": report.audit.unexplained,
        "in_doubt": report.audit.in_doubt,
        "took_ms": u64::try_from(report.took.as_millis()).unwrap_or(u64::MAX),
        "kept": report.kept,
    })
}
