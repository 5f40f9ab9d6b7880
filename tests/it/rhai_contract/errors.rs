//! Traps around errors: what swallows them, what hides them, what they forget.

use rhai::{Dynamic, EvalAltResult};

use super::{bare, ours, theirs, trap};

#[test]
fn natives_that_call_closures_make_every_error_catchable() {
    for call in [
        "[1].map(|x| suspend())",
        "[1].filter(|x| suspend())",
        "[1].for_each(|x| suspend())",
        "[1].reduce(|s, x| suspend())",
        "[1].find(|x| suspend())",
        "[1].some(|x| suspend())",
        "[1].all(|x| suspend())",
        "[1].zip([1], |a, b| suspend())",
        "#{ a: 1 }.filter(|k, v| suspend())",
        "let l = [1]; l.retain(|x| suspend())",
        "let l = [1]; l.drain(|x| suspend())",
        "[1].index_of(|x| suspend())",
        "[1].find_map(|x| suspend())",
        "[1].reduce_rev(|s, x| suspend())",
        "[1].map(Fn(\"suspend\"))",
    ] {
        trap(
            &format!("try {{ {call}; }} catch {{ return 7; }} 8"),
            "7",
            "interrupted",
        );
    }
}

#[test]
fn the_end_of_the_stack_is_caught_in_a_closure_of_theirs_and_not_of_ours() {
    for call in [
        "[1].map(|x| f())",
        "[1].filter(|x| f())",
        "[1].for_each(|x| f())",
        "[1].reduce(|s, x| f())",
        "[1].reduce_rev(|s, x| f())",
        "[1].find(|x| f())",
        "[1].find_map(|x| f())",
        "[1].index_of(|x| f())",
        "[1].some(|x| f())",
        "[1].all(|x| f())",
        "[1].zip([1], |a, b| f())",
        "let l = [1]; l.retain(|x| f())",
        "let l = [1]; l.drain(|x| f())",
        "let l = [1, 2]; l.sort(|a, b| f())",
        "let l = [1, 2]; l.dedup(|a, b| f())",
        "#{ a: 1 }.map(|k, v| f())",
        "#{ a: 1 }.filter(|k, v| f())",
        "let m = #{ a: 1 }; m.retain(|k, v| f())",
        "let m = #{ a: 1 }; m.drain(|k, v| f())",
    ] {
        trap(
            &format!("fn f() {{ try {{ {call}; }} catch {{ }} 7 }} f()"),
            "7",
            "Depth",
        );
    }
}

#[test]
fn comparers_swallow_errors_even_without_try() {
    trap("let l = [2, 1]; l.sort(|a, b| suspend()); 7", "7", "interrupted");
    trap("let l = [2, 1]; l.dedup(|a, b| suspend()); 7", "7", "interrupted");
    trap("let l = [2, 1]; l.sort(|a, b| throw \"x\"); 7", "7", "thrown");
}

#[test]
fn direct_calls_keep_an_interrupt_uncatchable() {
    for call in [
        "suspend()",
        "(|| suspend()).call()",
        "`${suspend()}`",
        "suspend() ?? 1",
        "-suspend()",
    ] {
        trap(
            &format!("try {{ {call}; }} catch {{ return 7; }} 8"),
            "ErrorTerminated",
            "interrupted",
        );
    }
}

#[test]
fn exit_ends_a_script_from_anywhere_and_skips_catch() {
    trap("try { exit(5); } catch { return 7; } 8", "5", "7");
    trap("[1].map(|x| exit(5)); 8", "Exit", "unknown_function");
}

#[test]
fn for_each_gives_the_index_and_not_the_item() {
    trap("let s = 0; [10, 20].for_each(|x| s += x); s", "1", "30");
}

#[test]
fn the_natives_of_the_standard_library_that_depend_on_time_are_gone() {
    assert!(bare().eval::<Dynamic>("timestamp()").is_ok());
    for script in ["timestamp()", "sleep(0)", "get_fn_metadata_list()", "back_trace()"] {
        assert_eq!(ours(script), "unknown_function", "{script}");
    }
}

#[test]
fn eval_cannot_be_reached_by_any_way() {
    trap("eval(\"1 + 1\")", "2", "syntax");
    for script in [
        "Fn(\"eval\").call(\"1\")",
        "let s = \"1\"; s.eval()",
        "[\"1\"].map(Fn(\"eval\"))",
    ] {
        assert_ne!(ours(script), "1", "{script}");
        assert_ne!(ours(script), "[1]", "{script}");
    }
}

#[test]
fn a_function_taken_out_by_a_symbol_stays_callable() {
    let mut engine = bare();
    engine.disable_symbol("timestamp");
    assert!(engine.eval::<Dynamic>("timestamp()").is_ok());
}

#[test]
fn a_result_over_the_size_limit_cannot_be_caught_but_ours_is_checked_before() {
    let mut engine = bare();
    engine
        .set_max_string_size(100)
        .register_fn("big", |n: i64| "x".repeat(usize::try_from(n).unwrap()));
    let error = engine.eval::<Dynamic>("try { big(1000) } catch { 7 }").unwrap_err();
    assert!(matches!(*error, EvalAltResult::ErrorDataTooLarge(..)), "{error}");
    assert_eq!(ours("try { big(5000000) } catch (e) { return e.error; }"), "too_large");
}

#[test]
fn a_panic_in_a_native_leaves_the_engine_usable() {
    let mut engine = bare();
    engine.register_fn("explode", || -> i64 { panic!("on purpose") });
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| engine.eval::<i64>("explode()")));
    assert!(panicked.is_err());
    assert_eq!(engine.eval::<i64>("1 + 1").unwrap(), 2);
}

#[test]
fn a_variable_cannot_be_used_by_a_closure_given_to_its_own_method() {
    for script in [
        "let l = [1]; l.map(|x| x * l.len())",
        "let o = #{ l: [1], r: 2 }; o.l.map(|x| x * o.r)",
        "let m = #{ a: 1 }; m.keys().map(|k| m[k])",
    ] {
        trap(script, "ErrorDataRace", "data_race");
    }
    assert_eq!(
        ours("let o = #{ l: [1], r: 2 }; let r = o.r; o.l.map(|x| x * r)"),
        "[2]"
    );
    // Constants are copies at every use: no closure can hold a lock on them.
    assert_eq!(
        ours("event.payload.lines.map(|x| x * event.payload.lines.len())"),
        "[2, 4]"
    );
}

#[test]
fn captured_loop_variables_are_shared() {
    trap("let fs = []; for i in 0..3 { fs.push(|| i); } fs[0].call()", "2", "2");
}

#[test]
fn methods_that_change_in_place_return_nothing() {
    assert_eq!(theirs("let s = \" a \"; s.trim()"), "");
    assert_eq!(ours("let s = \" a \"; s.trim(); s"), "a");
    assert_eq!(ours("let s = \"aa\"; s.replace(\"a\", \"b\"); s"), "bb");
}

#[test]
fn a_missing_property_is_nothing_and_not_an_error() {
    trap("let m = #{ a: 1 }; m.b ?? 5", "5", "5");
}

#[test]
fn built_in_errors_are_caught_with_the_same_two_names_as_ours() {
    for script in [
        "try { [1][5] } catch (e) { return e.error != () && e.message != (); }",
        "try { decline() } catch (e) { return e.error != () && e.message != (); }",
        "try { EUR(1) + 1 } catch (e) { return e.error != () && e.message != (); }",
    ] {
        assert_eq!(ours(script), "true", "{script}");
    }
}
