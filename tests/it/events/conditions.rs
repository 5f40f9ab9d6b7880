//! Conditions that are expressions: what they can say, what is wrong with them and where, and what failing means.

use std::collections::BTreeMap;

use bursar::catalog::manifest::{ConnectionFacts, Facts, read_manifest};
use bursar::model::calendar::Calendars;
use bursar::model::diagnostic::Diagnostic;
use serde_json::json;

use super::{Desk, deposits_when};

/// Whether each expression takes a deposit of 100.10 EUR; or the sentence about it.
#[tokio::test]
async fn an_expression_says_whether_a_workflow_takes_an_event() {
    let cases = [
        ("event.payload.currency == \"EUR\"", "true"),
        (
            "event.type == \"deposit.received\" && event.connection == \"bank\"",
            "true",
        ),
        (
            "money(event.payload.amount, event.payload.currency) >= EUR(100.10)",
            "true",
        ),
        (
            "money(event.payload.amount, event.payload.currency) > money(params.buffer, \"EUR\")",
            "false",
        ),
        ("event.payload.fee == 0.3 && event.payload.fee + 0.1 == 0.4", "true"),
        (
            "event.payload.tags.contains(\"vip\") || \"vip\" in event.payload.tags",
            "true",
        ),
        ("event.payload.source.iban.starts_with(\"DE\")", "true"),
        ("if event.payload.currency == \"EUR\" { true } else { false }", "true"),
        ("event.payload.lines[1] == 2", "true"),
        // What is missing is said to be so, or is an error.
        ("event.payload.note ?? \"none\" == \"none\"", "true"),
        ("event.payload.note == ()", "true"),
        ("event.payload.origin?.country == ()", "true"),
        ("event.payload.bic?.len() == ()", "true"),
        (
            "event.payload.curency == \"EUR\"",
            "event 1 (deposit.received) has no /payload/curency; there are: amount, bic, currency, fee, lines, long, \
             source, tags; did you mean `currency`? (column 15)",
        ),
        (
            "money(event.payload.ammount, \"EUR\") > EUR(1)",
            "has no /payload/ammount; there are: amount, bic",
        ),
        (
            "event.payload.bic.len() > 3",
            "/payload/bic of event 1 (deposit.received) is null, so it has no `len` (column 19)",
        ),
        ("event.payload.amount", "it is text, not true or false"),
        ("event.payload.fee", "it is a decimal number, not true or false"),
        ("money(event.payload.amount, \"USD\") > EUR(1)", "EUR"),
        ("1 / 0 == 1", "division by zero"),
        ("throw_away(1)", "no function `throw_away"),
        ("event.payload.tags.push(\"x\") == ()", "constant"),
        // What a condition may use is little.
        (
            "event.payload.long.to_upper().len() == 1500000",
            "it held more than 1024 KiB",
        ),
        ("event.payload.long + event.payload.long == \"\"", "too large"),
    ];
    let desk = Desk::of(&[("work", &[deposits_when("{ \"/payload/x\" = 1 }")])]).await;
    for (expression, expected) in cases {
        let verdict = judged(&desk, expression).await;
        assert!(verdict.contains(expected), "{expression}: {verdict}");
    }
}

async fn judged(desk: &Desk, expression: &str) -> String {
    let payload = json!({
        "amount": "100.10", "currency": "EUR", "fee": 0.3, "tags": ["vip"], "bic": null, "lines": [1, 2],
        "long": "x".repeat(1_500_000), "source": {"iban": "DE89370400440532013000"},
    });
    let event = json!({"id": "1", "type": "deposit.received", "connection": "bank", "payload": payload});
    let question = bursar::catalog::judge::Question {
        expression: expression.to_owned(),
        event: std::sync::Arc::new(event),
        params: json!({"buffer": "1000.00"}),
    };
    let verdicts = desk.shelf.catalog.judge(vec![question]).await.expect("a thread");
    match &verdicts[0] {
        Ok(answer) => answer.to_string(),
        Err(message) => message.clone(),
    }
}

/// `line:column+length message` and the help, for a manifest with this condition.
fn found(when: &str) -> Vec<String> {
    let text = format!(
        "name = \"work\"\nsummary = \"Works.\"\nscript = \"work.rhai\"\n{}[params]\nbuffer = \"1.00\"\n",
        deposits_when(when)
    );
    let bank = ConnectionFacts {
        connector: "augustus".to_owned(),
        events: None,
        made_of: BTreeMap::new(),
    };
    let facts = Facts {
        connections: &BTreeMap::from([("bank".to_owned(), bank)]),
        check_schedule: &|_| Ok(Vec::new()),
        calendars: &Calendars::default(),
    };
    let (_, findings) = read_manifest("work.toml", "work", &text, &facts);
    let told = |finding: &Diagnostic| {
        let span = finding.span.expect("a place");
        let more = finding.label.as_deref().or(finding.help.as_deref()).unwrap_or_default();
        format!(
            "{}:{}+{} [{}] {} | {more}",
            span.line, span.column, span.length, finding.code, finding.message
        )
    };
    findings.iter().map(told).collect()
}

#[test]
fn what_is_wrong_with_an_expression_is_told_where_it_stands_in_the_manifest() {
    for right in [
        "'event.payload.currency == \"EUR\"'",
        "\"event.payload.currency == \\\"EUR\\\"\"",
        "'''\n  event.payload.currency == \"EUR\" &&\n  money(event.payload.amount, \"EUR\") > money(params.buffer, \"EUR\")\n'''",
        "'event.payload.tags?.contains(\"x\") ?? false'",
    ] {
        assert_eq!(found(right), Vec::<String>::new(), "{right}");
    }
    for (when, place, sentences) in [
        (
            "'evnt.payload.x == 1'",
            "8:9+4",
            "[unknown-variable] no variable `evnt` | did you mean `event`?",
        ),
        (
            "'event.paylod.x == 1'",
            "8:15+6",
            "[unknown-field] an event has no `paylod` | did you mean `payload`?",
        ),
        ("'event.currency == 1'", "8:15+8", "event.payload.currency"),
        ("'run.id == 1'", "8:9+3", "there is no run yet"),
        (
            "'params.bufer == 1'",
            "8:16+5",
            "no parameter `bufer` in the manifest | did you mean `buffer`?",
        ),
        (
            "'mony(\"1\", \"EUR\") > EUR(1)'",
            "8:9+4",
            "no function `mony` | did you mean `money`?",
        ),
        (
            "'now() > 1'",
            "8:9+3",
            "no function `now` | a condition sees `event` and `params`",
        ),
        (
            "'bank::balance(1) == 1'",
            "8:9+4",
            "no module `bank` | a condition sees",
        ),
        (
            "'state::get(\"x\") == 1'",
            "8:9+5",
            "no module `state` | a condition sees",
        ),
        ("'print(1) == 1'", "8:9+5", "`print` is not available"),
        (
            "'event.payload.tags.push(1) == ()'",
            "8:28+4",
            "[effect] `push` changes what it is called on",
        ),
        ("'let x = 1; x == 1'", "8:9", "[syntax]"),
        ("'event.payload.x = 1'", "8:25", "[syntax]"),
        ("'while true { }'", "8:9", "[syntax]"),
        ("'fn f() { 1 } f() == 1'", "8:9", "[syntax]"),
        ("'|x| x'", "8:9", "[syntax]"),
        ("'event.payload.x == 1; true'", "8:29", "[syntax]"),
        ("'(event.payload.x == 1'", "8:30", "[syntax]"),
        ("'5'", "8:9+1", "[not-a-condition] the condition is a number"),
        ("'event'", "8:9+1", "the condition is a map"),
        // The place is that in the file, however the text is written.
        (
            "\"event.payload.x == \\\"a\\\" && totl\"",
            "8:37+4",
            "no variable `totl`",
        ),
        (
            "'''\n  event.payload.x == \"a\"\n  && totl > 1'''",
            "10:6+4",
            "no variable `totl`",
        ),
        (
            "\"\"\"event.payload.x == 1 \\\n     && totl\"\"\"",
            "9:9+4",
            "no variable `totl`",
        ),
        ("\"\\u0065vnt.x == 1\"", "8:9+9", "no variable `evnt`"),
        (
            "5",
            "8:8+1",
            "`when` must be a table or an expression in quotes, not a whole number",
        ),
    ] {
        let findings = found(when);
        let is_told = findings
            .iter()
            .any(|finding| finding.starts_with(place) && finding.contains(sentences));
        assert!(is_told, "{when}: {findings:#?}");
    }
    let long = format!("'{} true'", "true && ".repeat(1_100));
    assert!(
        found(&long)[0].contains("no longer than 8192 bytes"),
        "{:?}",
        found(&long)
    );
}

#[tokio::test]
async fn an_expression_that_fails_moves_nothing_and_loses_nothing() {
    let desk = Desk::of(&[
        ("fails", &[deposits_when("'event.payload.amont == 1'")]),
        ("holds", &[deposits_when("'event.payload.amount == 1'")]),
    ])
    .await;
    let event = desk.admit("1", "deposit.received", json!({"amount": 1})).await;
    let fate = desk.fate(event).await;
    let runs: Vec<&str> = fate.runs.iter().map(|run| run.workflow.as_str()).collect();
    assert_eq!((runs, fate.word()), (vec!["holds"], "ran"));
    assert_eq!(
        desk.declined(event).await,
        [
            "fails: the condition failed: event 1 (deposit.received) has no /payload/amont; there are: amount; did you \
             mean `amount`? (column 15): event.payload.amont == 1"
        ]
    );
}
