//! Traps around numbers, JSON and custom types.

use rhai::{Dynamic, Engine};

use super::{bare, ours, theirs, trap};

#[test]
fn whole_numbers_are_divided_by_cutting() {
    trap("10 / 4", "2", "2.5");
    trap("let x = 10; x /= 4; x", "2", "2.5");
    trap("1 / 0", "ErrorArithmetic", "division_by_zero");
}

#[test]
fn decimals_are_exact_and_keep_their_scale() {
    trap("0.1 + 0.2 == 0.3", "true", "true");
    trap("100.50", "100.50", "100.50");
    trap("`${1.10}`", "1.10", "1.10");
    trap("100 == 100.00", "true", "true");
    trap("(2.5).round()", "2", "2");
    trap("let x = 5.545; x.round(2)", "5.54", "5.54");
}

#[test]
fn scientific_literals_do_not_parse() {
    trap("1e3", "ErrorParsing", "syntax");
    trap("parse_decimal(\"1e3\")", "1000", "1000");
}

#[test]
fn a_whole_number_past_64_bits_becomes_a_decimal() {
    trap("type_of(99999999999999999999)", "decimal", "decimal");
}

#[test]
fn shifts_past_the_width_are_silent() {
    trap("1 << 64", "0", "0");
}

#[test]
fn a_switch_compares_by_hash_so_that_decimals_miss_whole_numbers() {
    trap("switch 1.50 { 1.5 => 1, _ => 2 }", "1", "1");
    trap("switch 100.0 { 100 => 1, _ => 2 }", "2", "2");
}

#[test]
fn sorting_mixed_numbers_fails_without_us() {
    trap("let l = [2, 1.5]; l.sort(); l[0]", "ErrorFunctionNotFound", "1.5");
}

#[test]
fn their_json_evaluates_code_and_ours_does_not() {
    trap("parse_json(`{\"a\": 1+1}`).a", "2", "not_json");
    trap("parse_json(`{\"a\": 1e3}`).a", "ErrorParsing", "1000");
    trap("parse_json(`[1]`)[0]", "ErrorMismatchOutputType", "1");
}

#[derive(Debug, Clone, PartialEq)]
struct Thing(i64);

fn with_thing() -> Engine {
    let mut engine = bare();
    engine
        .register_type_with_name::<Thing>("thing")
        .register_fn("thing", Thing)
        .register_fn("==", |a: Thing, b: Thing| a == b)
        .register_fn("<", |a: Thing, b: Thing| a.0 < b.0);
    engine
}

#[test]
fn comparing_a_custom_type_with_another_type_is_silently_false() {
    let engine = with_thing();
    for script in ["thing(1) == 1", "1 == thing(1)", "thing(1) < 5", "thing(1) > ()"] {
        assert!(!engine.eval::<bool>(script).unwrap(), "{script}");
    }
    for script in ["EUR(1) == 1", "1 == EUR(1)", "EUR(1) < 5", "EUR(1) > ()"] {
        assert_eq!(ours(script), "type", "{script}");
    }
}

#[test]
fn each_comparison_is_registered_for_itself() {
    let engine = with_thing();
    assert!(engine.eval::<bool>("thing(1) != thing(2)").is_err());
    assert!(engine.eval::<bool>("thing(2) > thing(1)").is_err());
    assert_eq!(ours("EUR(1) != EUR(2) && EUR(2) > EUR(1)"), "true");
}

#[test]
fn sort_does_not_take_custom_types() {
    assert!(
        with_thing()
            .eval::<Dynamic>("let l = [thing(2), thing(1)]; l.sort(); l")
            .is_err()
    );
    assert_eq!(ours("let l = [EUR(2), EUR(1)]; l.sort(); l[0]"), "EUR 1.00");
}

#[test]
fn a_custom_type_shows_as_the_name_of_its_rust_type_outside_of_scripts() {
    let value = with_thing().eval::<Dynamic>("thing(1)").unwrap();
    assert!(value.to_string().ends_with("Thing"), "{value}");
    assert_eq!(
        ours("`${EUR(1)} ${[EUR(2)]} ${#{ a: EUR(3) }}`"),
        "EUR 1.00 [EUR 2.00] #{\"a\": EUR 3.00}"
    );
}

#[test]
fn the_type_of_a_decimal_matters_to_what_comes_after_it() {
    // Recorded as plain JSON, 100.0 rounded would come back as the whole number 100 and divide otherwise.
    assert_eq!(theirs("let x = 100.4; type_of(x.round())"), "decimal");
    assert_eq!(theirs("let x = 100.4; `${x.round()}`"), "100");
    assert_eq!(ours("type_of(echo(100.4).round())"), "decimal");
}

#[test]
fn fast_operators_would_bypass_our_division() {
    let mut engine = bare();
    engine.register_fn("/", |_: i64, _: i64| 99_i64);
    assert_eq!(engine.eval::<i64>("10 / 4").unwrap(), 2);
    engine.set_fast_operators(false);
    assert_eq!(engine.eval::<i64>("10 / 4").unwrap(), 99);
}
