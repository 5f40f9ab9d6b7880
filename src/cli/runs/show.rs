//! `bursar runs show`: one run with its steps, and what a person can do about it.

use serde_json::json;

use crate::app::approvals::of_run;
use crate::base::clock::Instant;
use crate::cli::Context;
use crate::cli::approvals::forgotten;
use crate::cli::error::{CliError, Exit};
use crate::cli::follow::{find, legal};
use crate::cli::output::{ATTENTION, BAD, FAINT, Look, STRONG};
use crate::cli::reconcile::after;
use crate::cli::steps::{learned, table};
use crate::cli::text::{clean, one_line, relative, time};
use crate::cli::view::{cause, run_json, standing, tone};
use crate::connector::redact::Redactor;
use crate::model::event::EventFilter;
use crate::model::journal::{Intent, Journal, Phase, Record, StepPath, earlier};
use crate::model::run::{Run, RunState};

/// Show a run and its steps
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The run: its id, the beginning of it, or `last`
    run: String,
}

pub(super) async fn run(args: &Args, context: &Context) -> Result<Exit, CliError> {
    let settings = context.settings()?;
    let store = context.store(&settings).await?;
    let id = super::named(&store, &args.run).await?;
    let run = find(&store, id).await?;
    let records = store.journal(id).await?;
    let journal = legal(id, &records)?;
    let redactor = learned(settings.redactor(), &journal);
    if context.output.json {
        let steps: Vec<_> = journal
            .steps()
            .map(|(path, record)| crate::cli::journal::step_json(path, record))
            .collect();
        let body = json!({ "run": run_json(&run), "steps": steps });
        context.output.object("bursar.run.detail/1", &redactor.json(&body))?;
    } else {
        context.output.print(&page(
            &run,
            (&journal, &records),
            context.now(),
            context.output.look,
            &redactor,
        ))?;
        let open = of_run(store.as_ref(), run).await?;
        let restored = store.restored(context.now()).await?;
        let known = restored.filter(|restored| open.iter().any(|open| open.may_be_forgotten(Some(restored))));
        if let Some(restored) = known {
            context.output.note(&forgotten(&restored));
        }
    }
    Ok(Exit::Ok)
}

/// The whole page as text.
fn page(run: &Run, (journal, records): (&Journal, &[Record]), now: Instant, look: Look, redactor: &Redactor) -> String {
    let style = tone(run.state).style();
    let mut page = format!(
        "{STRONG}{}{STRONG:#}  {} @ {}  {style}{}{style:#}   {}\n",
        run.id,
        run.workflow,
        run.version.short(),
        standing(run, now),
        clean(&cause(&run.cause)),
    );
    if look.terminal {
        page.push_str(&format!(
            "{FAINT}created {}, {}{FAINT:#}\n",
            time(run.created_at),
            relative(run.created_at, now)
        ));
    }
    if journal.is_empty() {
        page.push_str("  no steps yet\n");
    } else {
        let narrower = Look {
            width: look.width.map(|width| width.saturating_sub(2)),
            ..look
        };
        for line in table(journal, now, redactor).render(narrower).lines() {
            page.push_str(&format!("  {line}\n"));
        }
    }
    if let Some(error) = &run.error {
        let style = if run.state == RunState::Parked { ATTENTION } else { BAD };
        page.push_str(&format!(
            "\n{style}{}{style:#}: {}\n",
            error.code,
            one_line(&error.message)
        ));
        for place in &error.trace {
            page.push_str(&format!("  at {}\n", one_line(place)));
        }
    }
    if let (RunState::Waiting, Some(wake)) = (run.state, run.wake_at) {
        page.push_str(&format!("\nwaits until {}{}\n", time(wake), awaited(&run.waits_for)));
    }
    if !run.state.is_final() && run.state != RunState::Parked {
        page.push_str(&approvals(run, journal));
    }
    if run.state == RunState::Parked {
        page.push_str(&decisions(run, journal, records, now));
    }
    redactor.text(&page)
}

/// The events that would end a wait, each kind once: many branches may wait for the same.
fn awaited(filters: &[EventFilter]) -> String {
    let mut kinds: Vec<String> = Vec::new();
    for filter in filters {
        let types = if filter.types.is_empty() {
            "an event".to_owned()
        } else {
            filter.types.join(" or ")
        };
        let kind = format!(" or for {types} on {}", filter.connection);
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    kinds.concat()
}

/// How a person answers what the run asks.
fn approvals(run: &Run, journal: &Journal) -> String {
    let commands: String = journal
        .approvals()
        .map(|(path, _)| {
            let (id, hint) = (run.id, "exactly what is asked, and how to answer");
            format!("  bursar approvals show {id} {path}\n      {FAINT}{hint}{FAINT:#}\n")
        })
        .collect();
    if commands.is_empty() {
        return commands;
    }
    format!("\n{ATTENTION}A person has to approve or reject:{ATTENTION:#}\n{commands}")
}

/// What a person has to know, and what they can say.
fn decisions(run: &Run, journal: &Journal, records: &[Record], now: Instant) -> String {
    let command = format!("bursar reconcile resolve {}", run.id);
    if journal.doubtful().is_none() {
        return format!(
            "\nSay how it goes on:\n  {command} --retry --reason TEXT\n      {FAINT}take it up again as it is{FAINT:#}\n  \
             {command} --fail --reason TEXT\n      {FAINT}it ends as failed{FAINT:#}\n"
        );
    }
    let ask = format!(
        "\nAsk the provider:\n  bursar reconcile show {}\n      {FAINT}what was sent, and what it shows of it now{FAINT:#}\n",
        run.id
    );
    let doubts = journal.doubts().filter_map(|(path, record)| match &record.phase {
        Phase::Doubt { intent, .. } => {
            let decided = earlier(records, path).len();
            Some(decision((&command, decided), path, intent.as_deref(), now))
        }
        _ => None,
    });
    ask + &doubts.collect::<String>()
}

/// The same for one step.
fn decision((command, decided): (&str, usize), path: &StepPath, intent: Option<&Intent>, now: Instant) -> String {
    let mut text = match intent {
        Some(intent) => evidence(intent, now),
        None => "\nSay how it goes on:\n".to_owned(),
    };
    let mut choice = |option: &str, meaning: &str| {
        let after = after(option, decided);
        text.push_str(&format!(
            "  {command} --step {path} {option}{after} --reason TEXT\n      {FAINT}{meaning}{FAINT:#}\n"
        ));
    };
    if intent.is_some() {
        choice(
            "--adopt FILE",
            "it happened: FILE holds the provider's resource as JSON",
        );
        choice(
            "--absent-and-resend",
            "it did not happen: sent again under a new key, once the provider agrees; add `--although unproved` if \
             nobody can prove it",
        );
    }
    let retry = if intent.is_some() {
        "try again as it was, under the same key"
    } else {
        "try again: nothing was sent; an approval is asked again"
    };
    choice("--retry", retry);
    let failed = if intent.is_some() {
        "it failed: the script sees a failure, once the provider agrees"
    } else {
        "the script sees a failure"
    };
    choice("--fail", failed);
    text
}

fn evidence(intent: &Intent, now: Instant) -> String {
    let mut text = String::from("\nLook at the provider for:\n");
    let mut fact = |name: &str, value: &str| {
        text.push_str(&format!("  {name:<15} {}\n", one_line(value)));
    };
    if let Some(movement) = &intent.movement {
        let amount = movement
            .amount
            .map_or_else(|| "the whole of it".to_owned(), |amount| amount.to_string());
        let end = |end: &Option<String>| end.clone().unwrap_or_else(|| "…".to_owned());
        fact(
            "moves",
            &format!(
                "{amount} from {} to {}",
                end(&movement.source),
                end(&movement.beneficiary)
            ),
        );
    }
    fact(
        "call",
        &format!(
            "{} {} on {}",
            intent.request.method, intent.request.path, intent.connection
        ),
    );
    fact("our reference", &intent.reference);
    if let Some(key) = &intent.key {
        fact("key", key);
    }
    if let Some(until) = intent.key_safe_until {
        let (still, ended) = (relative(until, now), time(until));
        let told = if until > now {
            format!("until {ended}, {still}")
        } else {
            format!("no longer, since {ended}, {still}")
        };
        fact("key protects", &told);
    }
    text.push_str("Then say what is true:\n");
    text
}
