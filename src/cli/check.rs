//! `bursar check`: everything that is wrong with settings, connectors, manifests and scripts, and when each
//! schedule fires next.

use std::collections::BTreeSet;

use serde_json::json;

use super::Context;
use super::diagnostics::{Format, Sources, render};
use super::error::{CliError, Exit};
use super::output::{BAD, FAINT, GOOD};
use super::text::{clean, count};
use super::workflows::{from_files, page};
use crate::app::CALENDAR_OVER;
use crate::app::offline::load_workflows;
use crate::app::rotation;
use crate::app::settings::{Secrets, Settings, SettingsError};
use crate::model::diagnostic::{Diagnostic, Severity};
use crate::server::protocol::{TriggerView, WorkflowView};
use crate::trigger::cron::cron_triggers;
use crate::trigger::schedule::Schedule;

/// Find everything that is wrong before it runs
///
/// Reads settings, connector tables, manifests and scripts; calls nobody and moves nothing. Needs no secrets: one that
/// is not there is a warning. Shows when each schedule fires next.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// How findings look
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Say of each schedule in words what it means
    #[arg(long)]
    explain: bool,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<Exit, CliError> {
    let format = if context.output.json { Format::Json } else { args.format };
    let settings = match crate::app::settings::load(&context.overrides, Secrets::Optional) {
        Ok(settings) => super::at_work(settings)?,
        Err(SettingsError::Wrong(findings)) => {
            report(context, &findings, &[], format, &Sources::default())?;
            return Ok(Exit::Usage);
        }
        Err(error) => return Err(error.into()),
    };
    let (workflows, mut found) = from_files(&settings, context.now());
    // What a daemon may go on with for a while is not to be rolled out like that.
    for over in found.iter_mut().filter(|finding| finding.code == CALENDAR_OVER) {
        over.severity = Severity::Error;
    }
    let mut findings = settings.warnings.clone();
    findings.extend(settings.absent_secrets.iter().map(|absent| absent.finding.clone()));
    findings.extend(without_webhook_secret(&settings, &workflows));
    findings.extend(rotation::findings(&settings, context.now()));
    findings.extend(found);
    report(context, &findings, &workflows, format, &Sources::of(&settings))?;
    if args.explain && format == Format::Full {
        explain(&settings, context)?;
    }
    let wrong = findings.iter().any(Diagnostic::is_error);
    Ok(if wrong { Exit::Usage } else { Exit::Ok })
}

/// What each schedule means.
fn explain(settings: &Settings, context: &Context) -> Result<(), CliError> {
    let loaded = load_workflows(settings);
    for workflow in loaded.workflows.values() {
        for spec in cron_triggers(workflow) {
            if let Ok(schedule) = Schedule::of(spec) {
                let (name, written) = (&workflow.name, clean(&spec.schedule));
                context.output.print(&format!(
                    "{name}  {written}  {FAINT}{}{FAINT:#}",
                    clean(&schedule.words())
                ))?;
            }
        }
    }
    Ok(())
}

/// Webhooks that start workflows and would not be let in.
fn without_webhook_secret(settings: &Settings, workflows: &[WorkflowView]) -> Vec<Diagnostic> {
    let file = settings
        .file
        .as_ref()
        .map_or_else(|| "bursar.toml".to_owned(), |file| file.display().to_string());
    let named: BTreeSet<&str> = workflows
        .iter()
        .flat_map(|workflow| &workflow.triggers)
        .filter_map(|trigger| match trigger {
            TriggerView::Webhook { connection, .. } => Some(connection.as_str()),
            TriggerView::Cron { .. } => None,
        })
        .collect();
    // Of a secret that is named and not there, its own finding tells.
    let told = |connection: &str| {
        let mut absent = settings.absent_secrets.iter();
        absent.any(|absent| absent.connection == connection && absent.key == "webhook_secrets")
    };
    let deaf = settings.connections.values().filter(|connection| {
        let name = connection.name.as_str();
        connection.webhook_secrets.is_empty() && named.contains(name) && !told(name)
    });
    deaf.map(|connection| {
        let name = &connection.name;
        let message =
            format!("connection `{name}` has no webhook_secrets: its webhooks are refused, and start nothing");
        Diagnostic::warning("settings", &file, message).help(format!(
            "webhook_secrets = [{{ file = \"secrets/{name}-webhook.key\" }}]"
        ))
    })
    .collect()
}

fn report(
    context: &Context,
    findings: &[Diagnostic],
    workflows: &[WorkflowView],
    format: Format,
    sources: &Sources,
) -> Result<(), CliError> {
    let output = &context.output;
    let text = render(findings, format, &|file| sources.read(file));
    if !text.is_empty() {
        output.print(text.trim_end_matches('\n'))?;
    }
    let errors = findings.iter().filter(|finding| finding.is_error()).count();
    let warnings = findings.len() - errors;
    match format {
        Format::Json => {
            let body = json!({ "workflows": workflows, "errors": errors, "warnings": warnings });
            return output.object("bursar.check/1", &body);
        }
        Format::Concise => {}
        Format::Full => {
            if !text.is_empty() && !workflows.is_empty() {
                output.print("")?;
            }
            for workflow in workflows {
                output.print(&format!("{}\n", page(workflow, context.now(), output)))?;
            }
        }
    }
    let is_cron = |trigger: &&TriggerView| matches!(trigger, TriggerView::Cron { .. });
    let schedules = workflows
        .iter()
        .flat_map(|workflow| &workflow.triggers)
        .filter(is_cron)
        .count();
    let (style, verdict) = if errors > 0 { (BAD, "wrong") } else { (GOOD, "right") };
    output.print(&format!(
        "{style}{verdict}{style:#}: {}, {}, {}, {}",
        count(workflows.len(), "workflow"),
        count(schedules, "schedule"),
        count(errors, "error"),
        count(warnings, "warning"),
    ))
}
