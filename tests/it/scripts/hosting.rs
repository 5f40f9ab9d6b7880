//! The host's side: constants, modules, failures, interrupts, traces.

use std::sync::Arc;

use bursar::base::clock::SystemClock;
use bursar::model::value::Value;
use bursar::script::{Budget, Interpreter, Ran};

use super::rig::{Rig, Shown, check, check_fails, functions, globals, roomy, run, run_files, version};

fn run_with(files: &[(&str, &str)]) -> Shown {
    run_files(files, roomy(), None)
}

#[track_caller]
fn check_files(files: &[(&str, &str)], expected: &str) {
    match run_with(files).ran {
        Ran::Finished(value) => assert_eq!(value.to_string(), expected),
        other => panic!("did not finish: {other:?}"),
    }
}

#[test]
fn constants_are_visible_everywhere_and_cannot_be_changed() {
    for script in [
        "params.buffer",
        "fn f() { params.buffer } f()",
        "let f = || params.buffer; f.call()",
        "fn f() { [1].map(|x| params.buffer)[0] } f()",
        "fn f() { let g = |x| { let h = || params.buffer; h.call() }; g.call(1) } f()",
        "`${params.buffer}`",
        "if true { params[\"buffer\"] }",
    ] {
        check(script, "1000.00");
    }
    check_files(
        &[
            ("main.rhai", "import \"lib/a\" as a; a::f() + a::g() + a::K"),
            (
                "lib/a.rhai",
                "fn f() { params.buffer } fn g() { [1].map(|x| params.buffer)[0] } export const K = params.buffer;",
            ),
        ],
        "1000.001000.001000.00",
    );
    check_fails("params.buffer = 1", "constant", "constant");
    check_fails("params = 1", "constant", "constant");
    check("let p = params; p.buffer = 1; params.buffer", "1000.00");
    check_fails("event.payload.lines.push(3)", "constant", "constant");
    check("event.missing ?? \"none\"", "none");
    check("run.last_success ?? days(2)", "172800s");
}

#[test]
fn only_modules_in_use_and_common_ones_are_visible() {
    check("bank::balance(\"a\").of", "a");
    check("log::info(\"x\")", "()");
    check("fn f() { bank::balance(\"a\").of } f()", "a");
    check("[1].map(|x| bank::balance(\"a\").of)[0]", "a");
    check_fails("hub::balance(\"a\")", "unknown_module", "hub");
    check_fails("bank::nothing(1)", "unknown_function", "bank::nothing");
    check_files(
        &[
            ("main.rhai", "import \"lib/a\" as a; a::f()"),
            ("lib/a.rhai", "fn f() { bank::balance(\"b\").of }"),
        ],
        "b",
    );
}

#[test]
fn functions_are_called_with_each_number_of_arguments_they_take() {
    check("[count(), count(1), count(1, 2), count(1, 2, 3)]", "[0, 1, 2, 3]");
    check_fails("count(1, 2, 3, 4)", "unknown_function", "count");
    check("const c = #{ a: 1 }; echo(c).a", "1");
}

#[test]
fn a_failure_of_the_host_can_be_caught_and_read() {
    check(
        "try { decline() } catch (e) { return `${e.error}, ${e.message}, ${e.details.limit}`; }",
        "declined, the bank said no, 5",
    );
    let Ran::Failed(error) = run("fn pay() {\n  decline()\n}\n\npay();").ran else {
        panic!("it fails");
    };
    assert_eq!(error.code, "declined");
    assert_eq!(error.message, "the bank said no");
    assert_eq!(error.details.get("limit"), Some(&Value::Int(5)));
    assert_eq!(error.trace, ["pay at main.rhai:2:3", "main.rhai:5:1"]);
}

#[test]
fn what_a_script_throws_is_told_as_it_meant_it() {
    let cases = [
        ("throw \"no\"", "thrown", "no"),
        (
            "throw #{ error: \"return_failed\", message: \"deposit 5\" }",
            "return_failed",
            "deposit 5",
        ),
        ("throw #{ error: \"x\" }", "x", "x"),
        ("throw 5", "thrown", "the script threw 5"),
        ("throw |x| x", "thrown", "the script threw a closure"),
        ("let x = nope;", "unknown_variable", "no variable `nope`"),
        ("[1][5]", "index", "out of bounds"),
        ("let x = ;", "syntax", ""),
        ("eval(\"1\")", "syntax", "eval"),
        ("|x| x", "result", "closure"),
    ];
    for (script, code, message) in cases {
        check_fails(script, code, message);
    }
}

#[test]
fn a_trace_names_every_frame_with_its_own_file() {
    let files = [
        (
            "main.rhai",
            "import \"lib/pay\" as pay;\n\nfn each_of(items) {\n    pay::each(items, |x| {\n        boom(x)\n    });\n}\nfn boom(x) {\n    throw \"bang\";\n}\n\neach_of([1]);",
        ),
        ("lib/pay.rhai", "fn each(items, f) {\n    items.for_each(f);\n}"),
    ];
    let Ran::Failed(error) = run_with(&files).ran else {
        panic!("it fails");
    };
    assert_eq!(
        error.trace,
        [
            "boom at main.rhai:9:5",
            "closure at main.rhai:5:9",
            "each at lib/pay.rhai:2:11",
            "each_of at main.rhai:4:10",
            "main.rhai:12:1",
        ]
    );
}

#[test]
fn a_host_function_learns_where_it_was_called() {
    let shown = run_with(&[
        (
            "main.rhai",
            "import \"lib/a\" as a;\neffect(1);\na::f();\n[1].map(|x| effect(x));",
        ),
        ("lib/a.rhai", "fn f() {\n  effect(2)\n}"),
    ]);
    let sites: Vec<String> = shown
        .sites
        .iter()
        .map(|site| format!("{}:{}:{}", site.file, site.line, site.column))
        .collect();
    assert_eq!(sites, ["main.rhai:2:1", "lib/a.rhai:2:3", "main.rhai:4:13"]);
}

/// Ways a script may try to go on after the turn was interrupted.
const ESCAPES: [&str; 17] = [
    "interrupt_quietly(); effect(1);",
    "suspend(); effect(1);",
    "try { suspend(); } catch { effect(1); } effect(2);",
    "try { [1].map(|x| suspend()); } catch (e) { effect(1); } effect(2);",
    "try { [1].for_each(|x| suspend()); } catch { effect(1); }",
    "try { [1].filter(|x| suspend()); } catch { effect(1); }",
    "try { [1].reduce(|s, x| suspend(), 0); } catch { effect(1); }",
    "let l = [2, 1]; l.sort(|a, b| suspend()); effect(1);",
    "let l = [2, 1]; l.dedup(|a, b| suspend()); effect(1);",
    "try { #{ a: 1 }.map(|k, v| suspend()); } catch { effect(1); }",
    "try { [1].zip([1], |a, b| suspend()); } catch { effect(1); }",
    "fn f() { try { suspend(); } catch { effect(1); } } f(); effect(2);",
    "let f = || suspend(); try { f.call(); } catch { effect(1); }",
    "try { import \"lib/suspends\" as s; } catch { effect(1); } effect(2);",
    "`${suspend()}`; effect(1);",
    "let x = suspend() ?? effect(1); effect(2);",
    "for i in 0..3 { try { interrupt_once(); } catch { effect(i); } } effect(9);",
];

#[test]
fn after_an_interrupt_no_effect_happens_and_nothing_else_is_told() {
    for script in ESCAPES {
        let shown = run_with(&[("main.rhai", script), ("lib/suspends.rhai", "suspend();")]);
        assert_eq!(shown.ran, Ran::Interrupted, "{script}");
        assert!(shown.effects.is_empty(), "{script}: {:?}", shown.effects);
    }
}

#[test]
fn an_interrupt_from_outside_ends_a_script_that_computes() {
    let rig = Arc::new(Rig::default());
    let from_outside = Arc::clone(&rig);
    let script = std::thread::spawn(move || {
        let interpreter = Interpreter::new(&functions(), Arc::new(SystemClock::new()));
        let endless = Budget {
            operations: u64::MAX,
            ..roomy()
        };
        interpreter.run(
            &version(&[("main.rhai", "effect(1); loop {}")]),
            rig,
            globals(),
            endless,
        )
    });
    while from_outside.effects.lock().unwrap().is_empty() {
        std::thread::yield_now();
    }
    from_outside.interrupt();
    assert_eq!(script.join().unwrap(), Ran::Interrupted);
}

#[test]
fn a_panic_in_a_host_function_fails_the_run_and_spares_the_thread() {
    let interpreter = Interpreter::new(&functions(), Arc::new(SystemClock::new()));
    let go = |script: &str| {
        interpreter.run(
            &version(&[("main.rhai", script)]),
            Arc::new(Rig::default()),
            globals(),
            roomy(),
        )
    };
    for script in ["explode()", "let l = [2, 1]; l.sort(|a, b| explode())"] {
        assert_eq!(go(script), Ran::Panicked, "{script}");
    }
    assert_eq!(go("1 + 1"), Ran::Finished(Value::Int(2)));
}

#[test]
fn one_interpreter_keeps_versions_apart() {
    let interpreter = Interpreter::new(&functions(), Arc::new(SystemClock::new()));
    for round in 0..200 {
        let script = format!("let x = {}; x", round % 100);
        let ran = interpreter.run(
            &version(&[("main.rhai", &script)]),
            Arc::new(Rig::default()),
            globals(),
            roomy(),
        );
        assert_eq!(ran, Ran::Finished(Value::Int(round % 100)));
    }
}

#[test]
fn imports_come_from_the_version_alone() {
    check_files(
        &[
            ("main.rhai", "import \"lib/a\" as a; a::twice(a::K)"),
            (
                "lib/a.rhai",
                "import \"lib/b\" as b; export const K = 4; fn twice(x) { b::add(x, x) }",
            ),
            ("lib/b.rhai", "fn add(x, y) { x + y }"),
        ],
        "8",
    );
    check_fails("import \"lib/other\" as o;", "unknown_module", "lib/other");
    check_fails("import \"/etc/passwd\" as o;", "unknown_module", "passwd");
    let Ran::Failed(error) = run_with(&[
        ("main.rhai", "import \"a\" as a;"),
        ("a.rhai", "import \"b\" as b;"),
        ("b.rhai", "import \"a\" as a;"),
    ])
    .ran
    else {
        panic!("it fails");
    };
    assert_eq!(error.code, "import_cycle");
}
