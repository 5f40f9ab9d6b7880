//! Numbers, money, time, JSON and collections as scripts see them.

use bursar::model::value::Value;

use super::rig::{check, check_fails, value_of};

#[test]
fn numbers_are_exact_and_division_never_cuts() {
    for (script, expected) in [
        ("0.1 + 0.2 == 0.3", "true"),
        ("10 / 4", "2.5"),
        ("let x = 10; x /= 4; x", "2.5"),
        ("let x = #{ a: [10] }; x.a[0] /= 4; x.a[0]", "2.5"),
        ("let x = 10.0; x /= 4; x", "2.5"),
        ("let f = |x| x / 2; f.call(5)", "2.5"),
        ("let x = 1; let f = || x; x /= 2; x", "0.5"),
        ("7 % 4", "3"),
        ("100 == 100.00", "true"),
        ("-5 + 2", "-3"),
        ("!true", "false"),
        ("let x = 5; x -= 2; x *= 4; x += 1; x", "13"),
        ("round_to(2.345, 2, \"half_even\")", "2.34"),
        ("2.345.round_to(2, \"half_up\")", "2.35"),
        ("format(5, 2)", "5.00"),
        ("format(1.5, 2)", "1.50"),
        ("percent(2.5)", "0.025"),
        ("99999999999999999999", "99999999999999999999"),
    ] {
        check(script, expected);
    }
    check_fails("1 / 0", "division_by_zero", "division by zero");
    check_fails("let x = 1; x /= 0.0", "division_by_zero", "division by zero");
    check_fails("let x = \"a\"; x /= 2", "type", "cannot divide text by a whole number");
    check_fails("9223372036854775807 + 1", "arithmetic", "overflow");
    check_fails("format(1.234, 2)", "rounding_needed", "round it first");
    check_fails("round_to(1.5, 0, \"nearest\")", "unknown_rounding", "half_even");
}

#[test]
fn money_computes_exactly_and_only_in_its_own_currency() {
    for (script, expected) in [
        ("EUR(100.50)", "EUR 100.50"),
        ("money(\"100.50\", \"EUR\")", "EUR 100.50"),
        ("money(7, \"JPY\")", "JPY 7"),
        ("money(1.005, \"EUR\", \"half_even\")", "EUR 1.00"),
        ("EUR(1_000) + EUR(0.5)", "EUR 1,000.50"),
        ("let t = EUR(1); t += EUR(2); t -= EUR(0.5); t *= 2; t", "EUR 5.00"),
        ("EUR(10) * 1.5", "EUR 15.00"),
        ("2 * EUR(10)", "EUR 20.00"),
        ("-EUR(10)", "EUR -10.00"),
        ("EUR(10).times(0.333, \"half_up\")", "EUR 3.33"),
        ("EUR(10).divide(3, \"half_even\")", "EUR 3.33"),
        ("EUR(10) / EUR(4)", "2.5"),
        ("EUR(10).allocate([1, 1, 1])", "[EUR 3.34, EUR 3.33, EUR 3.33]"),
        ("EUR(-10).abs()", "EUR 10.00"),
        ("min(EUR(1), EUR(2))", "EUR 1.00"),
        ("max(EUR(1), EUR(2))", "EUR 2.00"),
        ("EUR(12.34).amount", "12.34"),
        ("EUR(12.34).currency", "EUR"),
        ("EUR(12.34).minor", "1234"),
        ("ETH(100).minor", "100000000000000000000"),
        (
            "EUR(0).is_zero() && !EUR(0).is_positive() && EUR(-1).is_negative()",
            "true",
        ),
        ("EUR(0).is_zero", "true"),
        ("EUR(12.5).round_to(0, \"half_even\")", "EUR 12.00"),
        ("EUR(1234).down_to_multiple_of(EUR(100))", "EUR 1,200.00"),
        (
            "EUR(1) < EUR(2) && EUR(2) >= EUR(2) && EUR(1) != EUR(2) && EUR(1) == EUR(1.00)",
            "true",
        ),
        ("EUR(2) > EUR(1) && EUR(1) <= EUR(1)", "true"),
        ("EUR(1) in [EUR(2), EUR(1)]", "true"),
        ("[EUR(1)] == [EUR(1.00)]", "true"),
        ("[EUR(1)].contains(EUR(2))", "false"),
        ("`total ${EUR(5)}`", "total EUR 5.00"),
        ("\"total \" + EUR(5)", "total EUR 5.00"),
        ("`${[EUR(5)]}`", "[EUR 5.00]"),
        (
            "let l = [EUR(3), EUR(1), EUR(2)]; l.sort(); l",
            "[EUR 1.00, EUR 2.00, EUR 3.00]",
        ),
        ("const m = EUR(1); m.is_zero()", "false"),
        ("type_of(EUR(1))", "money"),
    ] {
        check(script, expected);
    }
}

#[test]
fn money_refuses_what_would_be_silent() {
    for (script, code, message) in [
        ("EUR(1) + USD(1)", "currency_mismatch", "cannot add EUR and USD"),
        ("EUR(1) < USD(1)", "currency_mismatch", "cannot compare"),
        ("EUR(1) / USD(1)", "currency_mismatch", "cannot compare"),
        ("EUR(1) == 1", "type", "compare money with money"),
        ("1 == EUR(1)", "type", "compare money with money"),
        ("EUR(1) != 1.0", "type", "compare money with money"),
        ("EUR(1) < 1", "type", "compare money with money"),
        ("1.5 >= EUR(1)", "type", "compare money with money"),
        ("EUR(1) == \"EUR 1.00\"", "type", "compare money with money"),
        ("() == EUR(1)", "type", "compare money with money"),
        ("EUR(1) > ()", "type", "compare money with money"),
        ("EUR(1) in [1, 2]", "type", "compare money with money"),
        ("EUR(1) + 1", "type", "EUR(1)"),
        ("1 - EUR(1)", "type", "EUR(1)"),
        ("EUR(1) / 3", "rounding_needed", "divide(3, \"half_even\")"),
        (
            "let m = EUR(1); m /= 3; m",
            "rounding_needed",
            "divide(3, \"half_even\")",
        ),
        ("EUR(1) * EUR(1)", "unknown_function", "*"),
        ("EUR(1) * 0.333", "too_precise", "round it first"),
        ("EUR(0.001)", "too_precise", "more decimals"),
        ("EUR(\"1,000\")", "not_an_amount", "1,000"),
        ("EUR(())", "type", "not nothing"),
        ("money(1, \"EURO\")", "unknown_currency", "EURO"),
        ("EUR(1).divide(0, \"down\")", "division_by_zero", "division by zero"),
        ("EUR(1).allocate([])", "bad_ratios", "none"),
        ("let l = [EUR(1), USD(1)]; l.sort()", "currency_mismatch", "compare"),
        ("let l = [EUR(1), 1]; l.sort()", "type", "cannot sort"),
        ("let m = EUR(1); m.amount = 2", "unknown_property", "amount"),
    ] {
        check_fails(script, code, message);
    }
}

#[test]
fn a_caught_money_error_has_the_shape_of_every_error() {
    check(
        "try { EUR(1) + USD(1) } catch (e) { return `${e.error}: ${e.message}`; }",
        "currency_mismatch: cannot add EUR and USD: convert one of them first",
    );
}

#[test]
fn time_has_arithmetic_but_no_clock() {
    for (script, expected) in [
        ("parse_time(\"2026-11-20T18:00:00Z\") - days(2)", "2026-11-18T18:00:00Z"),
        (
            "parse_time(\"2026-11-20T19:00:00+01:00\") + hours(1)",
            "2026-11-20T19:00:00Z",
        ),
        (
            "parse_time(\"2026-11-20T18:00:00Z\") - parse_time(\"2026-11-20T17:59:30Z\")",
            "30s",
        ),
        ("minutes(5) + seconds(30)", "330s"),
        ("days(1) == hours(24)", "true"),
        ("days(2) > hours(1)", "true"),
        ("2 * minutes(5)", "600s"),
        ("minutes(1.5).total_seconds", "90"),
        (
            "let t = parse_time(\"2026-11-20T18:01:02Z\"); [t.year, t.month, t.day, t.hour, t.minute, t.second, t.weekday]",
            "[2026, 11, 20, 18, 1, 2, 5]",
        ),
        (
            "`at ${parse_time(\"2026-11-20T18:00:00Z\")}`",
            "at 2026-11-20T18:00:00Z",
        ),
        ("parse_time(\"2026-11-20T18:00:00Z\") == ()", "false"),
        ("let l = [hours(2), minutes(1)]; l.sort(); l[0]", "60s"),
    ] {
        check(script, expected);
    }
    check_fails("days(1) < 5", "type", "cannot compare");
    check_fails("parse_time(\"tomorrow\")", "not_a_time", "tomorrow");
    check_fails("days(\"2\")", "type", "days() takes a number");
    check_fails(
        "parse_time(\"2026-11-20T18:00:00Z\") + days(99999999999)",
        "overflow",
        "out of range",
    );
    for gone in ["timestamp()", "sleep(1)", "exit(1)", "exit()", "get_fn_metadata_list()"] {
        check_fails(gone, "unknown_function", "no function");
    }
}

#[test]
fn json_keeps_every_digit() {
    check(
        "parse_json(`{\"a\": 123456789012345678.12}`).a",
        "123456789012345678.12",
    );
    check(
        "parse_json(`[1, 12.340, 1e3, null, \"x\"]`)",
        "[1, 12.340, 1000, (), x]",
    );
    check(
        "#{ a: 100.50, b: EUR(1), c: () }.to_json()",
        "{\"a\":100.50,\"b\":{\"amount\":\"1.00\",\"currency\":\"EUR\"},\"c\":null}",
    );
    check("to_json([1, 0.30])", "[1,0.30]");
    check("parse_json(to_json(#{ a: 0.30 })).a", "0.30");
    check_fails("parse_json(`{\"a\": 1+1}`)", "not_json", "not JSON");
    check_fails("to_json(|x| x)", "not_json", "closure");
}

#[test]
fn values_cross_to_the_host_and_back_unchanged() {
    for script in [
        "echo(())",
        "echo(true)",
        "echo(5)",
        "echo(5.0)",
        "echo(EUR(1))",
        "echo(\"x\")",
        "echo(days(1))",
        "echo(parse_time(\"2026-11-20T18:00:00.123456789Z\"))",
        "echo([1, 1.0, [()]])",
        "echo(#{ a: #{ b: [EUR(1)] } })",
    ] {
        let direct = script.trim_start_matches("echo(").strip_suffix(')').unwrap();
        assert_eq!(value_of(script), value_of(direct), "{script}");
    }
    assert_ne!(value_of("echo(5)"), value_of("echo(5.0)"));
    assert_eq!(
        value_of("let x = 1; let f = || x; echo([x, f.call()])"),
        Value::List(vec![Value::Int(1), Value::Int(1)])
    );
    check_fails("echo(|x| x)", "bad_argument", "argument 1 of `echo` is a closure");
    check_fails("echo([|x| x])", "bad_argument", "closure");
    check_fails("echo(0..5)", "bad_argument", "type");
    check_fails(
        "let a = [1]; for i in 0..70 { a = [a]; } echo(a)",
        "bad_argument",
        "nested deeper",
    );
    check("try { echo(|x| x) } catch (e) { return e.error; }", "bad_argument");
}

#[test]
fn collections_give_the_item_and_let_errors_through() {
    for (script, expected) in [
        ("[1, 2, 3].map(|x| x * 2)", "[2, 4, 6]"),
        ("[1, 2, 3].map(|x, i| x * i)", "[0, 2, 6]"),
        ("[1, 2, 3].map(|| this + 1)", "[2, 3, 4]"),
        ("[1, 2, 3].filter(|x| x > 1)", "[2, 3]"),
        ("let sum = 0; let l = [10, 20]; l.for_each(|x| sum += x); sum", "30"),
        ("let l = [1, 2]; l.for_each(|| this *= 10); l", "[10, 20]"),
        ("[1, 2, 3].reduce(|sum, x| sum + x, 0)", "6"),
        ("[EUR(1), EUR(2)].reduce(|sum, x| sum + x, EUR(0))", "EUR 3.00"),
        ("[1, 2, 3].reduce_rev(|sum, x| `${sum}${x}`, \"\")", "321"),
        ("[1, 2, 3].find(|x| x > 1)", "2"),
        ("[1, 2, 3].find(|x| x > 5)", "()"),
        ("[1, 2, 3].index_of(|x| x > 1)", "1"),
        ("[1, 2, 3].index_of(3)", "2"),
        ("[1, 2, 3].find_map(|x| if x > 1 { x * 10 })", "20"),
        ("[1, 2, 3].some(|x| x == 2)", "true"),
        ("[1, 2, 3].all(|x| x < 3)", "false"),
        (
            "let l = [1, 2, 3]; let out = l.drain(|x| x > 1); [l, out]",
            "[[1], [2, 3]]",
        ),
        (
            "let l = [1, 2, 3]; let out = l.retain(|x| x > 1); [l, out]",
            "[[2, 3], [1]]",
        ),
        ("let l = [3, 1, 2.5]; l.sort(); l", "[1, 2.5, 3]"),
        ("let l = [\"b\", \"a\"]; l.sort(); l", "[a, b]"),
        ("let l = [1, 3, 2]; l.sort(|a, b| b - a); l", "[3, 2, 1]"),
        ("let l = [1, 3, 2]; l.sort(|a, b| a > b); l", "[3, 2, 1]"),
        ("[1, 3, 2].order_desc()", "[3, 2, 1]"),
        ("let l = [1, 1, 2, 1]; l.dedup(); l", "[1, 2, 1]"),
        ("let l = [1, 2, 5]; l.dedup(|a, b| b - a == 1); l", "[1, 5]"),
        ("[1, 2].zip([10, 20], |a, b| a + b)", "[11, 22]"),
        ("#{ a: 1, b: 2 }.filter(|k, v| v > 1)", "#{b: 2}"),
        ("#{ a: 1, b: 2 }.map(|k, v| `${k}${v}`)", "#{a: a1, b: b2}"),
        ("let m = #{ a: 1, b: 2 }; m.drain(|k, v| k == \"a\"); m", "#{b: 2}"),
        ("fn double(x) { x * 2 } [1, 2].map(double)", "[2, 4]"),
        ("fn double(x) { x * 2 } [1, 2].map(Fn(\"double\"))", "[2, 4]"),
        ("let s = \"aXbX\"; s.replace(\"X\", \"--\"); s", "a--b--"),
        ("event.payload.lines.map(|x| x * params.rate)", "[3, 6]"),
    ] {
        check(script, expected);
    }
    check("[\"a\", \"b\"].index_of(\"b\")", "1");
    check("[\"a\", \"b\", \"a\"].index_of(\"a\", 1)", "2");
    for by_name in [
        "map",
        "filter",
        "some",
        "all",
        "dedup",
        "reduce",
        "reduce_rev",
        "sort",
        "drain",
        "retain",
    ] {
        let script = format!("fn f(x, y) {{ decline() }} let l = [2, 1]; l.{by_name}(\"f\")");
        check_fails(&script, "type", "a function, not text");
    }
    check_fails("[1].map(|a, b, c| a)", "wrong_arity", "`map`");
    check_fails("[1].filter(|x| x)", "type", "true or false");
    check_fails("let l = [2, 1]; l.sort(|a, b| throw \"no\")", "thrown", "no");
    check_fails("let l = [2, 1]; l.dedup(|a, b| decline())", "declined", "said no");
    check_fails("let l = [EUR(1), USD(1)]; l.dedup()", "currency_mismatch", "compare");
    check_fails("[1].map(|x| nope(x))", "unknown_function", "nope");
}
