//! Budgets: what no script can exceed, and what is not the script's to pay.

use std::time::Duration;

use bursar::base::clock::ManualClock;
use bursar::script::{Budget, Limit, Ran};
use chrono::DateTime;

use super::rig::{check, check_fails, roomy, run, run_files};

#[track_caller]
fn check_exhausts(script: &str, budget: Budget, allowed: &[Limit]) {
    match run_files(&[("main.rhai", script)], budget, None).ran {
        Ran::Exhausted { limit, .. } => assert!(allowed.contains(&limit), "{script}: {limit:?}"),
        other => panic!("{script}\nwas not stopped: {other:?}"),
    }
}

fn few() -> Budget {
    Budget {
        operations: 100_000,
        ..roomy()
    }
}

#[test]
fn endless_computing_is_stopped_wherever_it_hides() {
    for script in [
        "loop {}",
        "while true {}",
        "do {} while true;",
        "for i in 0..9223372036854775807 {}",
        "loop { try { throw 1; } catch {} }",
        "try { loop {} } catch { } 1",
        "let l = []; for i in 0..1000 { l.push(i); } loop { l.map(|x| x + 1); }",
        "let l = []; for i in 0..1000 { l.push(i); } loop { try { l.sort(|a, b| a - b); } catch {} }",
        "fn f(n) { if n > 0 { f(n - 1); f(n - 1); } } f(25)",
        "let x = 0; loop { let x = x + 1; if false { break; } x; }",
    ] {
        check_exhausts(script, few(), &[Limit::Operations, Limit::Size]);
    }
}

#[test]
fn recursion_ends_before_the_stack_does() {
    for script in [
        "fn f() { f() } f()",
        "fn f(x) { [x].map(|y| f(y)) } f(1)",
        "fn a(n) { b(n) } fn b(n) { a(n) } a(1)",
        "fn f() { f() } try { f() } catch { 1 }",
    ] {
        check_exhausts(script, roomy(), &[Limit::Depth]);
    }
}

#[test]
fn memory_is_capped_where_the_interpreters_own_limits_do_not_look() {
    let script_of_64 = "let big = \"x\"; for i in 0..20 { big += big; }";
    for growth in [
        "let m = #{}; let i = 0; loop { m[`k${i}`] = big + i; i += 1; }",
        "let l = [0, 0]; loop { l[0] = [l[1], big + \"a\"]; l[1] = [l[0], big + \"b\"]; }",
        "let f = 0; loop { let g = f; let b = big + \"x\"; f = || [g, b]; }",
        "loop { let f = 0; let b = big + \"y\"; f = || [f, b]; }",
    ] {
        let script = format!("{script_of_64} {growth}");
        check_exhausts(&script, roomy(), &[Limit::Memory, Limit::Size]);
    }
}

#[test]
fn growth_of_one_value_is_capped() {
    for script in [
        "let s = \"x\"; loop { s += s; }",
        "let a = [1]; loop { a += a; }",
        "let s = \"x\"; loop { s = `${s}${s}`; }",
        "let a = []; a.pad(100000000, 0);",
        "let s = \"\"; s.pad(100000000, \"x\");",
        "let a = []; loop { a = [a, a]; }",
        "let m = #{}; let i = 0; loop { m.set(`k${i}`, i); i += 1; }",
    ] {
        check_exhausts(script, roomy(), &[Limit::Size, Limit::Memory, Limit::Operations]);
    }
}

#[test]
fn a_replacement_that_would_explode_is_refused_before_it_is_made() {
    check_fails(
        "let s = \"a\"; for i in 0..19 { s += s; } s.replace(\"a\", s); s.len()",
        "too_large",
        "would be longer",
    );
    check_fails(
        "let s = \"aaaa\"; let t = \"x\"; for i in 0..20 { t += t; } s.replace(\"\", t);",
        "too_large",
        "would be longer",
    );
}

#[test]
fn a_chain_of_closures_is_survived() {
    let shown = run("let f = 0; for i in 0..100000 { let g = f; f = || g; } 1");
    assert!(
        matches!(shown.ran, Ran::Finished(_) | Ran::Exhausted { .. }),
        "{:?}",
        shown.ran
    );
}

#[test]
fn a_large_answer_of_the_host_is_an_error_like_any_other() {
    check("try { big(3000000) } catch (e) { return e.error; }", "too_large");
    check("big(1000000).len()", "1000000");
}

#[test]
fn time_inside_host_functions_is_not_the_scripts() {
    let clock = || ManualClock::new(DateTime::from_timestamp(0, 0).unwrap());
    let outside = "for i in 0..1000 { wait_outside(); } for i in 0..1000 { i; } 1";
    let budget = Budget {
        compute: Duration::from_secs(1),
        ..roomy()
    };
    let shown = run_files(&[("main.rhai", outside)], budget, Some(clock()));
    assert!(matches!(shown.ran, Ran::Finished(_)), "{:?}", shown.ran);
}

#[test]
fn computing_time_runs_out() {
    let budget = Budget {
        compute: Duration::from_millis(50),
        operations: u64::MAX,
        ..roomy()
    };
    check_exhausts("loop {}", budget, &[Limit::Compute]);
}

#[test]
fn deep_nesting_of_the_text_is_a_syntax_error() {
    for (open, close) in [
        ("(", ")"),
        ("[", "]"),
        ("#{a:", "}"),
        ("-", ""),
        ("if true {", "}"),
        ("|| {", "}"),
    ] {
        let script = format!("let x = {}1{};", open.repeat(5_000), close.repeat(5_000));
        check_fails(&script, "syntax", "");
    }
}

#[test]
fn memory_the_host_keeps_is_not_the_scripts_but_what_it_hands_over_is() {
    let shown = run("for i in 0..100 { hoard(1000000); } 1");
    assert!(matches!(shown.ran, Ran::Finished(_)), "{:?}", shown.ran);
    check_exhausts(
        "let m = #{}; let i = 0; loop { m[`k${i}`] = big(1000000); i += 1; }",
        roomy(),
        &[Limit::Memory],
    );
    // What was handed over and let go again is given back.
    let shown = run("for i in 0..300 { big(1000000); } 1");
    assert!(matches!(shown.ran, Ran::Finished(_)), "{:?}", shown.ran);
}
