//! `bursar reconcile show`: the evidence about a step in doubt, ours and the provider's.

use serde_json::json;

use super::{after, doubt_json, movement};
use crate::app::reconcile::{InDoubt, Sent, Shown, ask, in_doubt};
use crate::base::clock::Instant;
use crate::cli::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::follow::find;
use crate::cli::output::{ATTENTION, FAINT, STRONG};
use crate::cli::runs::named;
use crate::cli::text::{clean, one_line, relative, time};
use crate::model::journal::{Earlier, StepPath};

/// Show what was sent, and ask the provider what it shows of it
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The run: its id, the beginning of it, or `last`
    run: String,
    /// The step in doubt; may be left out while there is only one
    #[arg(long, value_name = "STEP")]
    step: Option<StepPath>,
    /// Do not ask the provider
    #[arg(long)]
    offline: bool,
}

pub(super) async fn run(args: &Args, context: &Context) -> Result<Exit, CliError> {
    let settings = context.settings()?;
    let store = context.store(&settings).await?;
    let id = named(&store, &args.run).await?;
    let doubts = in_doubt(store.as_ref(), find(&store, id).await?).await?;
    let wanted = |doubt: &&InDoubt| args.step.as_ref().is_none_or(|step| *step == doubt.path);
    let Some(doubt) = doubts.iter().find(wanted) else {
        let what = args
            .step
            .as_ref()
            .map_or_else(|| "no step".to_owned(), |step| format!("no step {step}"));
        return Err(
            CliError::not_found(format!("{id} has {what} in doubt")).hint("`bursar reconcile ls` lists what is")
        );
    };
    let shown = match &doubt.sent {
        Some(sent) if !args.offline => Some(ask(&settings, store.as_ref(), sent).await?),
        _ => None,
    };
    let output = &context.output;
    if output.json {
        let told = shown.as_ref().zip(doubt.sent.as_ref());
        let provider = told.map(|(shown, sent)| shown_json(shown, sent.first_at));
        let body = json!({ "doubt": doubt_json(doubt), "provider": provider });
        output.object("bursar.doubt.detail/1", &body)?;
    } else {
        output.print(&page(doubt, shown.as_ref(), context.now()))?;
        let others: Vec<String> = doubts
            .iter()
            .filter(|other| other.path != doubt.path)
            .map(|other| format!("--step {}", other.path))
            .collect();
        if !others.is_empty() {
            output.note(&format!("this run has other steps in doubt too: {}", others.join(", ")));
        }
    }
    Ok(Exit::Ok)
}

fn shown_json(shown: &Shown, looked_from: Instant) -> serde_json::Value {
    let mut told = match shown {
        Shown::Found(resource) => json!({ "shows": "found", "resource": resource.to_plain() }),
        Shown::Absent => json!({ "shows": "absent" }),
        Shown::NotShown(again_at) => json!({ "shows": "nothing", "proves_from": again_at }),
        Shown::Elsewhere(reason) => json!({ "shows": "elsewhere", "reason": reason }),
        Shown::Contradiction(reason) => json!({ "shows": "contradiction", "reason": reason }),
        Shown::NotAsked(reason) => return json!({ "shows": null, "reason": reason }),
    };
    told["looked_from"] = json!(looked_from);
    told
}

fn page(doubt: &InDoubt, shown: Option<&Shown>, now: Instant) -> String {
    let run = &doubt.run;
    let mut page = format!(
        "{STRONG}{}{STRONG:#} step {}  {} {}\n{ATTENTION}{}{ATTENTION:#}: {}\n",
        run.id,
        doubt.path,
        clean(&doubt.step.name),
        clean(&doubt.step.summary),
        doubt.doubt.code,
        one_line(&doubt.doubt.message),
    );
    page.push_str(&before(&doubt.earlier, now));
    if let Some(sent) = &doubt.sent {
        page.push_str(&ours(sent, now));
    }
    if let Some((shown, sent)) = shown.zip(doubt.sent.as_ref()) {
        page.push_str(&theirs(shown, sent.first_at, now));
    }
    let command = format!("bursar reconcile resolve {} --step {}", run.id, doubt.path);
    page.push_str("\nThen say what is true:\n");
    for (option, meaning) in choices(doubt.sent.is_some(), shown) {
        let after = after(option, doubt.earlier.len());
        page.push_str(&format!(
            "  {command} {option}{after} --reason TEXT\n      {FAINT}{meaning}{FAINT:#}\n"
        ));
    }
    page
}

/// What was decided before, for it is not to be decided a second time unawares.
fn before(earlier: &[Earlier], now: Instant) -> String {
    let lines = earlier.iter().map(|earlier| {
        format!(
            "  {}, {}: {} said {}: {}\n",
            time(earlier.at),
            relative(earlier.at, now),
            clean(&earlier.actor),
            earlier.resolution.name(),
            one_line(&earlier.reason)
        )
    });
    let lines: String = lines.collect();
    match lines.is_empty() {
        true => lines,
        false => format!("\n{ATTENTION}What was decided before{ATTENTION:#}\n{lines}"),
    }
}

fn ours(sent: &Sent, now: Instant) -> String {
    let intent = &sent.intent;
    let mut text = String::from("\nWhat we know\n");
    let mut fact = |name: &str, value: &str| {
        text.push_str(&format!("  {name:<15} {}\n", one_line(value)));
    };
    fact("moves", &movement(sent));
    fact(
        "call",
        &format!(
            "{} {} on {}",
            intent.request.method, intent.request.path, intent.connection
        ),
    );
    fact("our reference", &intent.reference);
    fact("key", intent.key.as_deref().unwrap_or("none: this call takes no key"));
    let times = match sent.times {
        0 | 1 => String::new(),
        times => format!("; {times} times, last {}", time(sent.last_at)),
    };
    match intent.forgotten {
        None => fact(
            "first sent",
            &format!("{}, {}{times}", time(sent.first_at), relative(sent.first_at, now)),
        ),
        Some(forgotten) => fact(
            "may be sent",
            &format!(
                "between {} and {}, before an older state of the store was put back{}{times}",
                time(forgotten.from),
                time(forgotten.until),
                match forgotten.traceable {
                    true => "",
                    false => "; then under a reference that nobody knows any more",
                }
            ),
        ),
    }
    if let Some(until) = intent.key_safe_until {
        let still = if until > now { "until" } else { "no longer, since" };
        fact(
            "key protects",
            &format!("{still} {}, {}", time(until), relative(until, now)),
        );
    }
    text
}

fn theirs(shown: &Shown, looked_from: Instant, now: Instant) -> String {
    let told = match shown {
        Shown::Found(resource) => {
            let pretty = serde_json::to_string_pretty(&resource.to_plain()).unwrap_or_default();
            let lines: Vec<String> = pretty.lines().map(|line| format!("  {}", clean(line))).collect();
            format!("  it happened:\n{}", lines.join("\n"))
        }
        Shown::Absent => "  it did not happen: the list covers the whole time and does not have it".to_owned(),
        Shown::NotShown(Some(at)) => format!(
            "  it is not there, which proves nothing before {}, {}",
            time(*at),
            relative(*at, now)
        ),
        Shown::NotShown(None) => "  it is not there, and its absence from this list proves nothing".to_owned(),
        Shown::Elsewhere(reason) => format!("  {}", one_line(reason)),
        Shown::Contradiction(reason) => format!(
            "  something bears our mark and is not what we asked for: {}",
            one_line(reason)
        ),
        Shown::NotAsked(reason) => format!("  it could not be asked: {}", one_line(reason)),
    };
    let looked = match shown {
        Shown::NotAsked(_) => String::new(),
        _ => format!(
            "  {:<15} {}, less what two clocks may differ\n",
            "looked from",
            time(looked_from)
        ),
    };
    format!("\nWhat the provider shows now\n{looked}{told}\n")
}

/// What a person can say, the likeliest first.
fn choices(was_sent: bool, shown: Option<&Shown>) -> Vec<(&'static str, &'static str)> {
    let retry = ("--retry", "try again as it was, under the same key");
    let fail = ("--fail", "it failed: the script sees a failure");
    let fail_unproved = (
        "--fail --although unproved",
        "it failed, as you know otherwise: the script sees a failure",
    );
    let fail_different = (
        "--fail --although different",
        "the script sees a failure, although the provider shows it",
    );
    if !was_sent {
        return vec![
            ("--retry", "try again: nothing was sent; an approval is asked again"),
            fail,
        ];
    }
    let adopt = (
        "--adopt FILE",
        "it happened: FILE holds the provider's resource as JSON",
    );
    let found = ("--adopt-found", "it happened: take what the provider shows");
    let resend = (
        "--absent-and-resend",
        "it did not happen: sent again under a new key, once the provider agrees",
    );
    let resend_unproved = (
        "--absent-and-resend --although unproved",
        "it did not happen, as you know otherwise: sent again under a new key, as long as the provider does not show it",
    );
    match shown {
        Some(Shown::Found(_)) => vec![found, adopt, fail_different],
        Some(Shown::Absent) => vec![resend, fail, adopt],
        Some(Shown::Contradiction(_)) => vec![adopt, retry, fail_different],
        Some(Shown::Elsewhere(_) | Shown::NotShown(_) | Shown::NotAsked(_)) => {
            vec![adopt, resend_unproved, retry, fail_unproved]
        }
        None => vec![adopt, resend, retry, fail],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_provider_shows_is_told_with_what_can_be_said_of_it() {
        let now = Instant::default();
        let check = |shown: &Shown, told: &str, expected: &[&str]| {
            let text = theirs(shown, now, now);
            assert!(text.contains(told), "{text}");
            let was_asked = !matches!(shown, Shown::NotAsked(_));
            assert_eq!(text.contains("looked from"), was_asked, "{text}");
            assert_eq!(shown_json(shown, now).get("looked_from").is_some(), was_asked, "{told}");
            let options: Vec<&str> = choices(true, Some(shown))
                .into_iter()
                .map(|(option, _)| option)
                .collect();
            assert_eq!(options, expected, "{told}");
        };
        let unproved = [
            "--adopt FILE",
            "--absent-and-resend --although unproved",
            "--retry",
            "--fail --although unproved",
        ];
        let there = "pay_1, EUR 10.50, is there, which step 0 of run_X made\u{1b}[31m\nand no journal knows";
        check(
            &Shown::Elsewhere(there.to_owned()),
            "  pay_1, EUR 10.50, is there, which step 0 of run_X made",
            &unproved,
        );
        assert!(!theirs(&Shown::Elsewhere(there.to_owned()), now, now).contains('\u{1b}'));
        check(
            &Shown::NotShown(None),
            "its absence from this list proves nothing",
            &unproved,
        );
        check(
            &Shown::NotAsked("no key".to_owned()),
            "it could not be asked: no key",
            &unproved,
        );
        check(
            &Shown::Absent,
            "it did not happen: the list covers the whole time",
            &["--absent-and-resend", "--fail", "--adopt FILE"],
        );
        check(
            &Shown::Contradiction("EUR 9.00".to_owned()),
            "is not what we asked for: EUR 9.00",
            &["--adopt FILE", "--retry", "--fail --although different"],
        );
    }
}
