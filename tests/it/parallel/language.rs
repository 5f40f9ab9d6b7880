//! What scripts see of `parallel`.

use bursar::model::run::RunState;
use bursar::model::workflow::{Source, Version};
use serde_json::json;

use super::{check, ran, steps};
use crate::support::{World, settled};

#[tokio::test(flavor = "multi_thread")]
async fn results_stand_in_the_order_of_the_items_and_failures_beside_them() {
    check(
        r#"
            let done = parallel([1, 2, 3], |n| {
                if n == 2 { throw #{ error: "odd_one", message: `no ${n}`, details: [n] }; }
                n * 10
            });
            fn half(n) { n / 2 }
            [done, parallel([6], half)[0].value, parallel([], |n| n), parallel([5], #{ branches: 1 }, |n, index| [n, index])[0].value]
        "#,
        json!([
            [
                {"ok": true, "value": 10},
                {"ok": false, "error": {"error": "odd_one", "message": "no 2", "details": [2]}},
                {"ok": true, "value": 30},
            ],
            {"$decimal": "3"},
            [],
            [5, 0],
        ]),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_sees_copies_of_everything() {
    check(
        r#"
            const RATE = 3;
            fn double(n) { n * 2 }
            let seen = [];
            let total = 0;
            let rates = #{ eur: 2 };
            let scale = |n| n * rates.eur;
            let done = parallel([1, 2], |n| {
                total += n;
                seen.push(n);
                [double(n), n * global::RATE, scale.call(n), total, seen, params.rate, event.type, run.workflow]
            });
            [done.map(|d| d.value), total, seen]
        "#
        .replace("params.rate", "params.rate ?? 7")
        .as_str(),
        json!([
            [
                [2, 3, 2, 1, [1], 7, "manual", "test"],
                [4, 6, 4, 2, [2], 7, "manual", "test"]
            ],
            0,
            [],
        ]),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_branch_has_steps_of_its_own() {
    let world = World::demo().await;
    let script = r#"
        uuid();
        let done = parallel(["a", "b"], |name| {
            let inner = parallel([1, 2], |n| `${name}${n} ${uuid().len()}`);
            log::info(name);
            inner.map(|i| i.value)
        });
        uuid();
        done.map(|d| d.value)
    "#;
    let (run, store) = ran(&world, script).await;
    assert_eq!(
        run.result,
        Some(json!([["a1 36", "a2 36"], ["b1 36", "b2 36"]])),
        "{:?}",
        run.error
    );
    assert_eq!(
        steps(store.as_ref(), run.id).await,
        [
            "1 uuid",
            "2.1 branch",
            "2.1.1.1 branch",
            "2.1.1.1.1 uuid",
            "2.1.1.2 branch",
            "2.1.1.2.1 uuid",
            "2.1.2 log.info",
            "2.2 branch",
            "2.2.1.1 branch",
            "2.2.1.1.1 uuid",
            "2.2.1.2 branch",
            "2.2.1.2.1 uuid",
            "2.2.2 log.info",
            "3 uuid",
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_calls_are_failures_a_script_may_catch() {
    for (call, message) in [
        ("parallel(5, |n| n)", "takes a list first"),
        (
            "parallel([1], 5)",
            "the last argument of `parallel` is a closure, not a whole number",
        ),
        ("parallel([1], || 1)", "has to take the item"),
        ("parallel([1], |a, b, c| 1)", "has to take the item"),
        ("parallel([1], #{ branches: 0 }, |n| n)", "from 1 to 32"),
        ("parallel([1], #{ branches: 33 }, |n| n)", "from 1 to 32"),
        ("parallel([1], #{ brnches: 3 }, |n| n)", "did you mean `branches`?"),
        ("parallel([|| 1], |n| n)", "argument 1 of `parallel` is a closure"),
        ("parallel([1], Fn(\"no_such\"))", "not `no_such`"),
        (
            "let f = [|| 1]; parallel([1], |n| f[0].call())",
            "a captured variable of the closure given to `parallel`",
        ),
        (
            "fn deeper(level) { parallel([level], |l| { let d = deeper(l + 1); if d[0].ok { 1 } else { throw d[0].error; } }) } \
             let end = deeper(1)[0]; if !end.ok { throw end.error; }",
            "inside 3 others",
        ),
    ] {
        let (run, _) = ran(&World::demo().await, call).await;
        let told = run.error.map(|error| error.message).unwrap_or_default();
        assert!(told.contains(message), "{call}: {told}");
    }
}

async fn with_files(files: &[(&str, &str)]) -> bursar::model::run::Run {
    let world = World::demo().await;
    let source = |(path, text): &(&str, &str)| Source {
        path: (*path).to_owned(),
        text: (*text).to_owned(),
    };
    let version = Version::new(
        "test".to_owned(),
        String::new(),
        vec!["bank".to_owned()],
        files.iter().map(source).collect(),
    );
    let store = world.store().await;
    let engine = world.engine(store.clone()).await;
    let id = world.start_version(store.as_ref(), version, json!({}), json!({})).await;
    let run = settled(store.as_ref(), id).await;
    engine.stop().await;
    run
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_sees_the_imports_of_the_file_its_function_stands_in() {
    let run = with_files(&[
        (
            "main.rhai",
            "import \"lib/pay\" as pay; import \"lib/rate\" as rate; \
             fn own(n) { rate::of(n) } \
             [pay::all([1, 2]), parallel([3], |n| rate::of(n)), parallel([4], Fn(\"own\")), pay::each([5], |n| rate::of(n) + own(n))]",
        ),
        (
            "lib/pay.rhai",
            "import \"lib/rate\" as rates; const K = 100; \
             fn all(items) { parallel(items, |n| rates::of(n) + plus(n) + global::K) } \
             fn plus(n) { n } \
             fn each(items, f) { parallel(items, f) }",
        ),
        ("lib/rate.rhai", "const R = 7; fn of(n) { n * global::R }"),
    ])
    .await;
    let ok = |value: i64| json!({"ok": true, "value": value});
    assert_eq!(
        run.result,
        Some(json!([[ok(108), ok(116)], [ok(21)], [ok(28)], [ok(70)]])),
        "{:?}",
        run.error
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_with_steps_at_its_top_is_not_done_again_by_each_branch() {
    let run = with_files(&[
        (
            "main.rhai",
            "import \"lib/ids\" as ids; parallel([1, 2], |n| ids::id())",
        ),
        ("lib/ids.rhai", "const ID = uuid(); fn id() { global::ID }"),
    ])
    .await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.error);
    let told = run.result.unwrap_or_default().to_string();
    assert!(
        told.contains("step_in_import") && told.contains("`uuid` is called at the top level"),
        "{told}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn budgets_hold_across_branches() {
    for script in [
        "parallel([1, 2, 3, 4], |n| { loop {} })",
        "parallel([1, 2, 3, 4], |n| { let s = \"x\"; loop { s += s; } })",
        "parallel([1, 2, 3, 4], |n| { fn_that_is_not_there(n) }); parallel([1], |n| { loop { try { loop {} } catch { } } })",
        "let big = \"x\"; for i in 0..20 { big += big; } parallel([1, 2, 3, 4, 5, 6, 7, 8], |n| { let kept = #{}; let i = 0; \
         loop { kept[`k${i}`] = big + i; i += 1; } })",
        "parallel([1, 2], |n| parallel([1, 2], |m| parallel([1, 2], |l| { loop {} })))",
    ] {
        let world = World::demo().await;
        let (run, _) = ran(&world, script).await;
        let error = run.error.expect("it was stopped");
        assert_eq!(
            (run.state, error.code.as_str()),
            (RunState::Failed, "script_exhausted"),
            "{script}: {error:?}"
        );
        assert!(
            error.trace.iter().any(|frame| frame.contains("main.rhai:1:")),
            "{script}: {error:?}"
        );
    }
}
