//! Traps around modules, closures, parsing and limits.

use bursar::script::Ran;
use rhai::module_resolvers::StaticModuleResolver;
use rhai::{Dynamic, Engine, Module, OptimizationLevel, Scope};

use super::super::scripts::rig;
use super::{bare, ours, theirs, trap};

fn with_module(name: &str, text: &str) -> Engine {
    let mut engine = bare();
    let script = engine.compile(text).unwrap();
    let module = Module::eval_ast_as_new(Scope::new(), &script, &engine).unwrap();
    let mut resolver = StaticModuleResolver::new();
    resolver.insert(name, module);
    engine.set_module_resolver(resolver);
    engine
}

fn ours_with(files: &[(&str, &str)]) -> String {
    match rig::run_files(files, rig::roomy(), None).ran {
        Ran::Finished(value) => value.to_string(),
        Ran::Failed(error) => error.code,
        other => format!("{other:?}"),
    }
}

#[test]
fn a_closure_cannot_be_called_outside_the_module_that_made_it() {
    let engine = with_module("m", "fn mk() { |x| x + 1 }");
    let error = engine
        .eval::<Dynamic>("import \"m\" as m; m::mk().call(1)")
        .unwrap_err();
    assert!(error.to_string().contains("anon$"), "{error}");
    assert_eq!(
        ours_with(&[
            ("main.rhai", "import \"m\" as m; m::mk().call(1)"),
            ("m.rhai", "fn mk() { |x| x + 1 }")
        ]),
        "unknown_function"
    );
}

#[test]
fn a_closure_handed_into_a_module_works() {
    assert_eq!(
        ours_with(&[
            ("main.rhai", "import \"m\" as m; let k = 2; m::each([1, 2], |x| x * k)"),
            ("m.rhai", "fn each(l, f) { l.map(f) }")
        ]),
        "[2, 4]"
    );
}

#[test]
fn the_optimiser_drops_imports_whose_name_is_not_used() {
    let script = "try { import \"s\" as s; } catch { return 42; } 7";
    let mut engine = bare();
    assert_eq!(engine.eval::<i64>(script).unwrap(), 42);
    engine.set_optimization_level(OptimizationLevel::Simple);
    assert_eq!(engine.eval::<i64>(script).unwrap(), 7);
    assert_eq!(ours(script), "42");
}

#[test]
fn an_interrupt_at_the_top_of_an_import_is_not_swallowed() {
    let files = [
        ("main.rhai", "try { import \"m\" as m; } catch { return 7; } 8"),
        ("m.rhai", "suspend();"),
    ];
    assert_eq!(rig::run_files(&files, rig::roomy(), None).ran, Ran::Interrupted);
}

#[test]
fn an_import_is_built_once_in_a_run() {
    let files = [
        (
            "main.rhai",
            "import \"m\" as a; import \"m\" as b; for i in 0..3 { import \"m\" as c; } 1",
        ),
        ("m.rhai", "effect(\"top\");"),
    ];
    assert_eq!(rig::run_files(&files, rig::roomy(), None).effects, ["top"]);
}

#[test]
fn module_functions_see_their_own_constants_and_imports() {
    assert_eq!(
        ours_with(&[
            ("main.rhai", "if true { import \"m\" as m; m::f() }"),
            (
                "m.rhai",
                "import \"n\" as n; const K = 3; fn f() { global::K + n::g() }"
            ),
            ("n.rhai", "fn g() { 4 }"),
        ]),
        "7"
    );
}

#[test]
fn maps_are_walked_in_order_of_their_keys() {
    trap("#{ b: 1, a: 2, B: 3 }.keys()", "[\"B\", \"a\", \"b\"]", "[B, a, b]");
}

#[test]
fn an_open_comment_swallows_the_rest_of_the_file() {
    trap("1 /* 2", "1", "1");
}

#[test]
fn a_script_function_takes_the_place_of_a_host_function() {
    trap("fn suspend() { 5 } suspend()", "5", "5");
}

#[test]
fn the_filter_of_cloned_functions_does_not_filter() {
    let tree = bare().compile("fn a() { 1 } fn b() { 2 }").unwrap();
    let filtered = tree.clone_functions_only_filtered(|_, _, _, name, _| name == "a");
    assert_eq!(filtered.iter_functions().count(), 2);
    let mut retained = tree.clone_functions_only();
    retained.retain_functions(|_, _, name, _| name == "a");
    assert_eq!(retained.iter_functions().count(), 1);
}

#[test]
fn globals_are_out_of_reach_for_functions_and_closures_without_a_resolver_of_variables() {
    let engine = bare();
    let mut module = Module::new();
    module.set_var("event", 5_i64);
    let mut engine_with_module = bare();
    engine_with_module.register_global_module(module.into());
    assert_eq!(engine_with_module.eval::<i64>("fn f() { event } f()").unwrap(), 5);
    // A variable of a module cannot be captured, and one of the scope cannot be seen by a function.
    assert!(engine_with_module.eval::<i64>("let f = || event; f.call()").is_err());
    let mut scope = Scope::new();
    scope.push_constant("event", 5_i64);
    assert!(
        engine
            .eval_with_scope::<i64>(&mut scope, "fn f() { event } f()")
            .is_err()
    );
    assert_eq!(ours("fn f() { let g = || params.buffer; g.call() } f()"), "1000.00");
}

#[test]
fn the_engines_own_count_of_operations_starts_again_in_callbacks() {
    let mut engine = bare();
    engine.set_max_operations(20_000);
    let script = "let l = []; for i in 0..100 { l.push(i); } for i in 0..300 { l.map(|x| x + x * 2); } 7";
    assert_eq!(engine.eval::<i64>(script).unwrap(), 7);
    let budget = bursar::script::Budget {
        operations: 20_000,
        ..rig::roomy()
    };
    let ran = rig::run_files(&[("main.rhai", script)], budget, None).ran;
    assert!(
        matches!(
            ran,
            Ran::Exhausted {
                limit: bursar::script::Limit::Operations,
                ..
            }
        ),
        "{ran:?}"
    );
}

#[test]
fn growth_by_index_is_not_counted_by_the_size_limits() {
    let mut engine = bare();
    engine.set_max_map_size(10);
    let script = "let m = #{}; for i in 0..50 { m[`k${i}`] = 1; } m[\"k49\"]";
    assert_eq!(engine.eval::<i64>(script).unwrap(), 1);
}

#[test]
fn closures_have_stable_names_within_a_build() {
    let name = |text: &str| {
        let tree = bare().compile(text).unwrap();
        let names: Vec<String> = tree.iter_functions().map(|function| function.name.to_owned()).collect();
        names.concat()
    };
    assert_eq!(name("let f = |x| x;"), name("let f = |x| x;"));
    assert!(name("let f = |x| x;").starts_with("anon$"));
    // Between builds they change, so they must not get into texts.
    assert!(theirs("`${|x| x}`").contains("anon$"));
    assert_eq!(ours("`${|x| x}` + [|x| x] + (|x| x)"), "closure[closure]closure");
    assert_eq!(ours("let f = |x| x; f.name"), "unknown_property");
}

#[test]
fn syntax_nested_too_deep_is_an_error_and_no_overflow() {
    for (open, close) in [
        ("(", ")"),
        ("[", "]"),
        ("#{a:", "}"),
        ("!", ""),
        ("if true {", "}"),
        ("|| {", "}"),
    ] {
        assert_eq!(
            ours(&format!("let x = {}1{};", open.repeat(3_000), close.repeat(3_000))),
            "syntax"
        );
    }
}

#[test]
fn cyclic_imports_are_refused_before_the_stack_ends() {
    assert_eq!(
        ours_with(&[("main.rhai", "import \"a\" as a;"), ("a.rhai", "import \"a\" as a;")]),
        "import_cycle"
    );
}

#[test]
fn words_reserved_by_the_language_cannot_name_functions() {
    let reserved = [
        "await", "async", "spawn", "yield", "go", "thread", "sync", "match", "case", "with", "new", "default", "void",
        "null", "nil", "public", "package",
    ];
    let unreserved = [
        "event",
        "params",
        "run",
        "sweep",
        "convert",
        "split",
        "payout",
        "refund",
        "balance",
        "accounts",
        "settled",
        "approval",
        "parallel",
        "now",
        "today",
        "uuid",
        "sleep",
        "wait_event",
        "state",
        "log",
    ];
    for (words, is_reserved) in [(reserved.as_slice(), true), (unreserved.as_slice(), false)] {
        for word in words {
            let parses = bare().compile(format!("{word}(1)")).is_ok();
            assert_eq!(parses, !is_reserved, "{word}");
        }
    }
}

#[test]
fn every_value_has_a_tag_a_script_can_read_without_the_core_package_it_has_not() {
    assert_eq!(theirs("let x = 1; x.tag"), "0");
    assert_eq!(ours("let x = 1; x.tag"), "unknown_property");
}

#[test]
fn only_what_stands_in_a_version_can_be_imported() {
    for path in ["/etc/passwd", "../main", "lib/../main", "nothing"] {
        assert_eq!(ours(&format!("import \"{path}\" as m; 1")), "unknown_module", "{path}");
    }
}
