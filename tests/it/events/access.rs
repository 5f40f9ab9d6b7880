//! A field that is not there: the script is told which, of which event, and what there is.

use std::time::Duration;

use bursar::model::value::Value;
use bursar::model::workflow::{Source, Version};
use bursar::script::{Budget, Globals, Host, Interpreter, Ran, ScriptError, spawn_script_thread};
use std::sync::Arc;

struct Quiet;

impl Host for Quiet {
    fn interrupted(&self) -> bool {
        false
    }

    fn waited(&self) -> Duration {
        Duration::ZERO
    }
}

fn ran(files: &[(&str, &str)]) -> Ran {
    let sources = files.iter().map(|(path, text)| Source {
        path: (*path).to_owned(),
        text: (*text).to_owned(),
    });
    let version = Version::new("test".to_owned(), String::new(), Vec::new(), sources.collect());
    let payload = Value::map([
        ("amount", Value::text("12.50")),
        ("currency", Value::text("EUR")),
        ("failure", Value::Null),
        ("lines", Value::List(vec![Value::Int(1), Value::Int(2)])),
    ]);
    let globals = Globals {
        event: Value::map([
            ("id", Value::text("evt_1")),
            ("type", Value::text("payout.paid")),
            ("payload", payload),
        ]),
        params: Value::map([("buffer", Value::text("1000.00"))]),
        run: Value::map([("id", Value::text("run_1")), ("last_success", Value::Null)]),
    };
    let thread = spawn_script_thread("test", move || {
        let clock = Arc::new(bursar::base::clock::SystemClock::new());
        let budget = Budget {
            compute: Duration::from_secs(60),
            ..Budget::default()
        };
        Interpreter::<Quiet>::new(&[], clock).run(&version, Arc::new(Quiet), globals, budget)
    });
    thread.expect("a thread").join().expect("it ends")
}

fn failure(files: &[(&str, &str)]) -> ScriptError {
    match ran(files) {
        Ran::Failed(error) => error,
        other => panic!("{files:?} did not fail: {other:?}"),
    }
}

#[test]
fn a_missing_field_is_named_with_its_event_and_what_there_is() {
    const EVENT: &str = "event evt_1 (payout.paid) has no";
    for (script, code, message, place) in [
        (
            "event.payload.foo.bar",
            "missing_field",
            format!("{EVENT} /payload/foo; there are: amount, currency, failure, lines"),
            "1:19",
        ),
        (
            "let x =\n  event.payload.amont.len();",
            "missing_field",
            format!("{EVENT} /payload/amont; there are: amount, currency, failure, lines; did you mean `amount`?"),
            "2:23",
        ),
        (
            "event.payload[\"amont\"].len()",
            "missing_field",
            format!("{EVENT} /payload/amont;"),
            "1:24",
        ),
        (
            "event.paylod.amount",
            "missing_field",
            format!("{EVENT} /paylod; there are: id, payload, type; did you mean `payload`?"),
            "1:14",
        ),
        (
            "event.payload.failure.code",
            "missing_field",
            "/payload/failure of event evt_1 (payout.paid) is null, so it has no `code`".to_owned(),
            "1:23",
        ),
        (
            "event.payload.a.b.c",
            "missing_field",
            format!("{EVENT} /payload/a;"),
            "1:17",
        ),
        (
            "params.limits.daily",
            "missing_field",
            "the table of parameters has no /limits; there are: buffer".to_owned(),
            "1:15",
        ),
        (
            "run.last_success.year",
            "missing_field",
            "/last_success of `run` is null".to_owned(),
            "1:18",
        ),
        (
            "money(event.payload.ammount, \"EUR\")",
            "type",
            format!(
                "not nothing: {EVENT} /payload/ammount; there are: amount, currency, failure, lines; did you mean `amount`?"
            ),
            "1:1",
        ),
        (
            "event.payload.foo + 1",
            "missing_field",
            format!("{EVENT} /payload/foo"),
            "1:19",
        ),
        (
            "let order = #{ a: () };\norder.a.b",
            "missing_field",
            "`order.a` has no `b`: it is nothing, or no map".to_owned(),
            "2:9",
        ),
    ] {
        let error = failure(&[("main.rhai", script)]);
        assert!(error.message.contains(&message), "{script}: {}", error.message);
        assert_eq!(error.code, code, "{script}: {}", error.message);
        assert_eq!(error.trace, [format!("main.rhai:{place}")], "{script}");
    }
}

#[test]
fn the_place_is_that_in_the_file_that_asked() {
    let error = failure(&[
        ("main.rhai", "import \"lib/parts\" as parts;\n\nparts::of_source();"),
        ("lib/parts.rhai", "fn of_source() {\n    event.payload.source.iban\n}\n"),
    ]);
    assert!(
        error
            .message
            .starts_with("event evt_1 (payout.paid) has no /payload/source"),
        "{}",
        error.message
    );
    assert_eq!(error.trace[0], "of_source at lib/parts.rhai:2:26");
}

#[test]
fn what_a_script_says_of_missing_fields_goes_on_to_work() {
    for (script, expected) in [
        ("event.payload.foo ?? \"none\"", "none"),
        ("event.payload.foo?.bar ?? \"none\"", "none"),
        ("event.payload.failure?.code ?? \"fine\"", "fine"),
        ("if event.payload.foo == () { \"none\" } else { \"some\" }", "none"),
        ("let p = event.payload; p.extra = 1; `${p.extra}`", "1"),
        ("let p = #{}; p.list = [1]; p.list[0] += 1; `${p.list[0]}`", "2"),
        (
            "let x = \"ran\"; try { event.payload.foo.bar; } catch (e) { x = \"caught\"; } x",
            "caught",
        ),
        ("`${event.payload.contains(\"foo\")}`", "false"),
    ] {
        match ran(&[("main.rhai", script)]) {
            Ran::Finished(value) => assert_eq!(value, Value::text(expected), "{script}"),
            other => panic!("{script}: {other:?}"),
        }
    }
}
