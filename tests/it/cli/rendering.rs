//! What is printed, as functions of what is known: tables, findings, steps, foreign text.

use bursar::base::ids::{Digest, EventId, RunId};
use bursar::cli::diagnostics::{Format, concise, full, render};
use bursar::cli::error::CliError;
use bursar::cli::output::{Cell, Look, Table, Tone};
use bursar::cli::steps::{Shown, table};
use bursar::cli::text::{clean, cut, duration, one_line, relative};
use bursar::cli::view::runs_table;
use bursar::connector::redact::Redactor;
use bursar::model::diagnostic::{Diagnostic, Span};
use bursar::model::journal::{Entry, Failure, Journal, Outcome, Record, Step, StepPath};
use bursar::model::run::{Cause, EventMark, Run, RunState};
use bursar::model::value::Value;
use chrono::{DateTime, TimeDelta};
use serde_json::json;

const WIDE: Look = Look {
    terminal: true,
    width: Some(120),
};

/// The text without its styles: what a stream without colour shows.
fn unstyled(text: &str) -> String {
    let mut out = String::new();
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        if letter == '\u{1b}' {
            letters.by_ref().find(|end| end.is_ascii_alphabetic());
        } else {
            out.push(letter);
        }
    }
    out
}

fn accounts() -> Table {
    let mut table = Table::new(&["account", "balance", "state"]).right(&[1]);
    table.row([
        "Operating DE".into(),
        "EUR 48,250.00".into(),
        Cell::toned("active", Tone::Good),
    ]);
    table.row([
        "Operating NL, which has a rather long name".into(),
        "EUR 730.10".into(),
        Cell::toned("frozen", Tone::Bad),
    ]);
    table
}

#[test]
fn a_piped_table_is_plain_whole_and_aligned() {
    insta::assert_snapshot!(accounts().render(Look::PIPED), @r"
    account                                           balance  state
    Operating DE                                EUR 48,250.00  active
    Operating NL, which has a rather long name     EUR 730.10  frozen
    ");
}

#[test]
fn a_table_on_a_terminal_has_colour_and_fits_its_width() {
    let narrow = Look {
        terminal: true,
        width: Some(44),
    };
    let drawn = accounts().render(narrow);
    assert!(drawn.contains("\u{1b}["), "styled: {drawn:?}");
    for line in unstyled(&drawn).lines() {
        assert!(line.chars().count() <= 44, "{line}");
    }
    let wide = unstyled(&accounts().render(WIDE));
    let wide: Vec<&str> = wide.lines().map(str::trim_end).collect();
    let piped = accounts().render(Look::PIPED);
    assert_eq!(
        wide,
        piped.lines().collect::<Vec<_>>(),
        "the same words, once there is room"
    );
}

#[test]
fn runs_take_one_line_each_on_a_terminal_and_are_whole_in_a_pipe() {
    let at = DateTime::from_timestamp(1_767_225_600, 0).expect("a valid instant");
    let run = |workflow: &str, state: RunState, cause: Cause| Run {
        id: RunId::generate(at),
        workflow: workflow.to_owned(),
        version: Digest::of([b"x".as_slice()]),
        cause,
        state,
        event: json!(null),
        params: json!({}),
        last_success_at: None,
        since_mark: EventMark::default(),
        created_at: at,
        started_at: Some(at),
        finished_at: state.is_final().then(|| at + TimeDelta::seconds(250)),
        wake_at: None,
        waits_for: Vec::new(),
        result: None,
        error: None,
        turns: 1,
        cancel_requested: false,
        concurrency_key: None,
    };
    let actor = "somebody with a long name".to_owned();
    let long = "convert-stablecoin-deposits-of-the-northern-branch";
    let runs = [
        run(
            long,
            RunState::Succeeded,
            Cause::Manual {
                actor,
                reason: None,
                key: None,
            },
        ),
        run(
            "größere-überträge-jeden-abend",
            RunState::Waiting,
            Cause::Webhook {
                event: EventId::generate(at),
            },
        ),
    ];
    let table = runs_table(&runs, at + TimeDelta::minutes(12), Look::PIPED).render(Look::PIPED);
    assert!(table.contains(long) && table.contains("by somebody with a long name") && !table.contains('…'));
    for width in [80, 100, 120, 160] {
        let look = Look {
            terminal: true,
            width: Some(width),
        };
        let drawn = unstyled(&runs_table(&runs, at + TimeDelta::minutes(12), look).render(look));
        let lines: Vec<&str> = drawn.lines().collect();
        assert_eq!(lines.len(), 3, "{width}: a line each\n{drawn}");
        for line in &lines {
            assert!(line.chars().count() <= usize::from(width), "{width}:\n{drawn}");
        }
        assert!(runs.iter().all(|run| drawn.contains(&run.id.to_string())), "{drawn}");
        assert!(
            lines[1].contains("convert-st") && lines[1].contains('…'),
            "{width}:\n{drawn}"
        );
    }
}

#[test]
fn a_column_without_a_word_takes_no_room_on_a_terminal_and_keeps_its_place_in_a_pipe() {
    let mut table = Table::new(&["step", "took", "what"]);
    table.row(["1".into(), "".into(), "now".into()]);
    assert_eq!(
        unstyled(&table.render(WIDE)).lines().next().map(str::trim_end),
        Some("step  what")
    );
    assert_eq!(table.render(Look::PIPED).lines().next(), Some("step  took  what"));
}

#[test]
fn foreign_text_cannot_steer_the_terminal() {
    let check = |text: &str, expected: &str| assert_eq!(clean(text), expected);
    check("Café 12,50 €", "Café 12,50 €");
    check("\u{1b}[2Jgone", "\\u{1b}[2Jgone");
    check("a\rb", "a\\u{d}b");
    check("\u{9b}31m", "\\u{9b}31m");
    check("DE89\u{202e}0073", "DE89\\u{202e}0073");
    assert_eq!(one_line("a\n  b\tc"), "a b c");
    let mut table = Table::new(&["reference"]);
    table.row(["\u{1b}]0;owned\u{7}".into()]);
    assert!(!table.render(Look::PIPED).contains('\u{1b}'));
    let told = CliError::usage("\u{1b}[2J").hint("\u{1b}[2J").render();
    assert!(!told.contains("\u{1b}[2J"), "{told:?}");
}

#[test]
fn a_finding_looks_as_compilers_show_it() {
    let source = "let total = money(\"12.00\", \"EUR\");\nlet größe = 1; let x = totl + EUR(2);\n";
    let finding = Diagnostic::error("unknown-variable", "scripts/nightly_sweep.rhai", "no variable `totl`")
        .at(Span {
            line: 2,
            column: 24,
            length: 4,
        })
        .label("did you mean `total`?");
    insta::assert_snapshot!(unstyled(&full(&finding, Some(source))), @r"
    error[unknown-variable]: no variable `totl`
     --> scripts/nightly_sweep.rhai:2:24
      |
    2 | let größe = 1; let x = totl + EUR(2);
      |                        ^^^^ did you mean `total`?
    ");
    insta::assert_snapshot!(concise(&finding), @"scripts/nightly_sweep.rhai:2:24: error[unknown-variable]: no variable `totl` (did you mean `total`?)");
}

#[test]
fn a_finding_is_shown_whatever_its_place_is_worth() {
    let finding =
        Diagnostic::warning("orphan-script", "scripts/old.rhai", "no workflow uses this script").help("remove it");
    insta::assert_snapshot!(unstyled(&full(&finding, None)), @r"
    warning[orphan-script]: no workflow uses this script
    --> scripts/old.rhai
     = help: remove it
    ");
    // The file changed since: the place is not there any more, or is in the middle of nothing.
    for (line, column, length) in [(9, 1, 1), (1, 99, 4), (1, 4, 0), (1, 5, 3), (0, 0, 0)] {
        let lost = finding.clone().at(Span { line, column, length }).label("here");
        let shown = unstyled(&full(&lost, Some("let x = 1;\n")));
        assert!(
            shown.contains("no workflow uses this script"),
            "{line}:{column}: {shown}"
        );
    }
    let mark_at_the_end = finding.at(Span {
        line: 1,
        column: 5,
        length: 1,
    });
    assert!(unstyled(&full(&mark_at_the_end, Some("größ"))).contains('^'));
}

#[test]
fn findings_for_programs_are_one_object_a_line_and_name_their_schema() {
    let findings = [
        Diagnostic::error("manifest", "workflows/a.toml", "unknown key `catchup`").help("did you mean `catch_up`?"),
        Diagnostic::warning("orphan-script", "scripts/b.rhai", "no workflow uses this script"),
    ];
    let text = render(&findings, Format::Json, &|_| None);
    let lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(lines.len(), 2);
    assert!(lines.iter().all(|line| line["schema"] == "bursar.finding/1"));
    assert_eq!(lines[0]["severity"], "error");
    assert_eq!(lines[1]["severity"], "warning");
}

#[test]
fn times_and_durations_are_told_as_people_do() {
    let now = DateTime::from_timestamp(1_767_225_600, 0).expect("a valid instant");
    let check = |seconds: i64, expected: &str| assert_eq!(relative(now + TimeDelta::seconds(seconds), now), expected);
    check(0, "now");
    check(-1, "1 s ago");
    check(-90, "1 min ago");
    check(3_600 * 5, "in 5 h");
    check(-86_400 * 3, "3 d ago");
    check(-86_400 * 800, "2 y ago");
    let check = |millis: i64, expected: &str| assert_eq!(duration(TimeDelta::milliseconds(millis)), expected);
    check(-5, "0 ms");
    check(203, "203 ms");
    check(1_849, "1.84 s");
    check(250_000, "4 min 10 s");
    check(7_500_000, "2 h 5 min");
    check(86_400_000 * 3 + 3_600_000 * 4, "3 d 4 h");
    assert_eq!(cut("abcdef", 6), "abcdef");
    assert_eq!(cut("abcdefg", 6), "abcde…");
}

fn step(name: &str, summary: &str) -> Step {
    Step {
        name: name.to_owned(),
        summary: summary.to_owned(),
        fingerprint: Digest::of([name.as_bytes(), summary.as_bytes()]),
    }
}

fn journal() -> Journal {
    let at = DateTime::from_timestamp(1_767_225_600, 0).expect("a valid instant");
    let done = |path: &str, name: &str, summary: &str, outcome: Outcome| Entry::Done {
        path: path.parse().expect("a path"),
        step: step(name, summary),
        outcome,
        began: None,
    };
    let value = |json: serde_json::Value| Outcome::Value(Value::from_plain(&json).expect("a value"));
    let entries = [
        done(
            "1.1",
            "bank.list_accounts",
            "status=active",
            value(json!({"data": [1, 2, 3], "has_more": false})),
        ),
        done(
            "2.1",
            "bank.retrieve_account_balance",
            "…052a",
            value(json!({"amount": "48200.13", "currency": "EUR"})),
        ),
        done(
            "2",
            "bank.sweep",
            "EUR 0.00 moved: not worth it",
            value(json!({"moved": "0.00", "reason": "not worth it"})),
        ),
        done("3", "log.info", "said by the script\u{1b}[2J", value(json!(null))),
        done("4", "log.warn", "said louder", value(json!(null))),
        done("5", "today", "2026-11-20", value(json!("2026-11-20"))),
        done(
            "6",
            "bank.create_payout",
            "EUR 5.00 to …7f10",
            Outcome::Failure(Failure::new("insufficient_funds", "not enough\nmoney")),
        ),
        done(
            "7",
            "bank.retrieve_payout",
            "…1d",
            value(json!({"id": "po_6b1", "status": "pending", "amount": "1.00", "currency": "EUR"})),
        ),
    ];
    let records = entries.into_iter().zip(1..).map(|(entry, seq)| Record {
        seq,
        at: at + TimeDelta::seconds(seq.into()),
        entry,
    });
    Journal::from_records(records).expect("a legal journal")
}

#[test]
fn the_steps_of_a_run_are_told_in_few_words() {
    let journal = journal();
    let now = DateTime::from_timestamp(1_767_225_700, 0).expect("a valid instant");
    insta::assert_snapshot!(table(&journal, now, &Redactor::default()).render(Look::PIPED), @r"
    step  what                                     outcome                                 took  key
    1.1   bank.list_accounts status=active         3 items
    2     bank.sweep EUR 0.00 moved: not worth it                                        1.00 s
    2.1   bank.retrieve_account_balance …052a      EUR 48,200.13
    3     said by the script\u{1b}[2J
    4     log.warn said louder
    5     today 2026-11-20
    6     bank.create_payout EUR 5.00 to …7f10     insufficient_funds: not enough money
    7     bank.retrieve_payout …1d                 pending po_6b1
    ");
}

/// Many providers answer in the smallest units: only an amount with a point in it is one as people read it.
#[test]
fn an_amount_that_may_be_in_smallest_units_is_not_told_as_money() {
    let at = DateTime::from_timestamp(1_767_225_600, 0).expect("a valid instant");
    let answers = [
        (
            "hub.transfer_balance",
            "EUR 10.00 to …0B90",
            json!({"amount": 1000, "currency": "EUR"}),
        ),
        (
            "hub.retrieve_balance",
            "…0B90",
            json!({"amount": 1000, "currency": "EUR"}),
        ),
        (
            "hub.retrieve_balance",
            "…0B91",
            json!({"amount": "1000", "currency": "EUR"}),
        ),
        (
            "cards.retrieve_balance",
            "…0B92",
            json!({"amount": 1000, "currency": "USD", "id": "ba_1"}),
        ),
        (
            "bank.retrieve_balance",
            "…0B93",
            json!({"amount": "10.00", "currency": "EUR"}),
        ),
        (
            "shop.retrieve_balance",
            "…0B94",
            json!({"amount": 10.5, "currency": "EUR"}),
        ),
    ];
    let records = answers
        .into_iter()
        .zip(1..)
        .map(|((name, summary, answer), seq)| Record {
            seq,
            at: at + TimeDelta::seconds(seq.into()),
            entry: Entry::Done {
                path: seq.to_string().parse().expect("a path"),
                step: step(name, summary),
                outcome: Outcome::Value(Value::from_plain(&answer).expect("a value")),
                began: None,
            },
        });
    let journal = Journal::from_records(records).expect("a legal journal");
    insta::assert_snapshot!(table(&journal, at, &Redactor::default()).render(Look::PIPED), @r"
    step  what                                     outcome    took  key
    1     hub.transfer_balance EUR 10.00 to …0B90
    2     hub.retrieve_balance …0B90
    3     hub.retrieve_balance …0B91
    4     cards.retrieve_balance …0B92             ba_1
    5     bank.retrieve_balance …0B93              EUR 10.00
    6     shop.retrieve_balance …0B94              EUR 10.50
    ");
}

#[test]
fn a_step_is_printed_once_and_a_compound_one_after_its_parts() {
    let journal = journal();
    let now = DateTime::from_timestamp(1_767_225_700, 0).expect("a valid instant");
    let mut shown = Shown::default();
    let paths: Vec<String> = shown.fresh(&journal, now).into_iter().map(|line| line.path).collect();
    assert_eq!(paths, ["1.1", "2.1", "2", "3", "4", "5", "6", "7"]);
    assert!(shown.fresh(&journal, now).is_empty());
    let path: StepPath = "8".parse().expect("a path");
    let record = Record {
        seq: 9,
        at: now,
        entry: Entry::Done {
            path,
            step: step("now", ""),
            outcome: Outcome::Value(Value::Null),
            began: None,
        },
    };
    let longer = journal.next(record).expect("it follows");
    let fresh = shown.fresh(&longer, now);
    assert_eq!(fresh.len(), 1);
    assert_eq!(fresh[0].path, "8");
}
