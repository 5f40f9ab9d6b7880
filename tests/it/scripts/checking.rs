//! The checker: every finding with its place and its advice, all in one pass, and none where all is well.

use std::collections::BTreeMap;

use bursar::model::diagnostic::Diagnostic;
use bursar::model::workflow::Source;
use bursar::script::{ModuleSurface, Signature, Surface, check, snapshot};

fn signature(name: &str, arity: std::ops::RangeInclusive<usize>, pure: bool) -> Signature {
    Signature {
        name: name.to_owned(),
        arity,
        pure,
        arguments: Vec::new(),
        takes: Vec::new(),
        makes: None,
        takes_function: name == "parallel",
        keys: match name {
            "approval" => vec![("reason".to_owned(), true), ("group".to_owned(), false)],
            "split" => vec![("payment".to_owned(), true), ("parts".to_owned(), true)],
            "fund" => [
                ("from", true),
                ("from[].account", true),
                ("from[].keep", false),
                ("from[].deficit", false),
                ("from[].deficit.to", false),
                ("deficit", false),
                ("deficit.to", true),
                ("deficit.below", false),
                ("metadata", false),
            ]
            .map(|(key, required)| (key.to_owned(), required))
            .into(),
            _ => Vec::new(),
        },
        apart: Vec::new(),
        lacking: match name {
            "split" => vec!["from".to_owned()],
            _ => Vec::new(),
        },
        calendar: None,
    }
}

fn surface() -> Surface {
    let bank = ModuleSurface {
        connector: "augustus".to_owned(),
        functions: vec![
            signature("accounts", 0..=1, false),
            signature("sweep", 1..=1, false),
            signature("fund", 1..=1, false),
            signature("return_deposit", 1..=2, false),
            signature("settled", 1..=2, false),
        ],
        known: vec!["refund".to_owned()],
        ..ModuleSurface::default()
    };
    let hub = ModuleSurface {
        connector: "payaut".to_owned(),
        functions: [
            "balance",
            "split",
            "refund",
            "payout",
            "transfer",
            "transactions",
            "settled",
        ]
        .map(|name| signature(name, 1..=1, false))
        .to_vec(),
        known: vec!["convert".to_owned(), "sweep".to_owned()],
        lacks: [("sweep".to_owned(), "it has no account to sweep from".to_owned())].into(),
    };
    let log = ModuleSurface {
        connector: String::new(),
        functions: vec![signature("info", 1..=1, false), signature("warn", 1..=1, false)],
        ..ModuleSurface::default()
    };
    Surface {
        functions: vec![
            signature("now", 0..=0, false),
            signature("today", 1..=1, false),
            signature("approval", 1..=1, false),
            signature("shorten", 1..=1, true),
            signature("parallel", 2..=3, false),
        ],
        modules: BTreeMap::from([
            ("bank".to_owned(), bank),
            ("hub".to_owned(), hub),
            ("log".to_owned(), log),
        ]),
        unknown_modules: vec!["elsewhere".to_owned()],
        calendars: None,
        params: Some(vec![
            "buffer".to_owned(),
            "treasury_account".to_owned(),
            "review_above".to_owned(),
        ]),
    }
}

fn sources(files: &[(&str, &str)]) -> Vec<Source> {
    files
        .iter()
        .map(|(path, text)| Source {
            path: (*path).to_owned(),
            text: (*text).to_owned(),
        })
        .collect()
}

/// A finding on one line: place, code, message, and after `|` the label or help.
fn line(finding: &Diagnostic) -> String {
    let place = finding.span.map_or(String::new(), |span| {
        format!("{}:{}+{} ", span.line, span.column, span.length)
    });
    let advice = finding
        .label
        .iter()
        .chain(&finding.help)
        .map(|text| format!(" | {text}"))
        .collect::<String>();
    format!("{}:{place}{}: {}{advice}", finding.file, finding.code, finding.message)
}

#[track_caller]
fn check_files(files: &[(&str, &str)], expected: &[&str]) {
    let found: Vec<String> = check(&sources(files), &surface()).iter().map(line).collect();
    assert_eq!(found, expected, "{files:?}");
}

#[track_caller]
fn check_main(script: &str, expected: &[&str]) {
    check_files(&[("main.rhai", script)], expected);
}

/// That a script has exactly one finding, of this code, at this place.
#[track_caller]
fn check_one(script: &str, expected: &str) {
    let found: Vec<String> = check(&sources(&[("main.rhai", script)]), &surface())
        .iter()
        .map(line)
        .collect();
    assert_eq!(found.len(), 1, "{script}\n{found:#?}");
    assert!(
        found[0].starts_with(&format!("main.rhai:{expected}")),
        "{script}\n{}\nnot {expected}",
        found[0]
    );
}

const GOOD: &str = r#"
import "lib/invoices" as invoices;

const LIMIT = 5;

fn give_back(deposit) {
    let back = bank::return_deposit(deposit.id, #{ reason: "unmatched reference" });
    let done = bank::settled(back, "3d");
    if done.status == "failed" {
        throw #{ error: "return_failed", message: `deposit ${deposit.id}: ${done.failure.message}` };
    }
}

let keep = money(params.buffer, "EUR");
let candidates = if event.type == "deposit.received" { [event.payload] } else { bank::accounts(#{ after: run.last_success ?? now() - days(2) }) };
for (deposit, index) in candidates {
    if deposit.status != "received" || invoices::known(deposit.bank_statement_reference) { continue; }
    if money(deposit.amount, deposit.currency) > money(params.review_above, "EUR") {
        approval(#{ reason: `return ${deposit.amount} ${deposit.currency}`, group: "treasury" });
    }
    give_back(deposit);
}
let rate = 2.5;
let fees = candidates.map(|deposit| deposit.amount * rate).filter(|fee| fee > LIMIT);
fees.sort(|a, b| b - a);
let visit = |x| x + rate;
visit.call(1);
let table = #{ pick: |x| x * 2 };
table.pick(3);
try { bank::sweep(#{ from: "a", keep: keep, minimum: EUR(100), multiple: EUR(10) }) } catch (e) { log::warn(e.message); }
switch fees.len() { 0 => log::info("none"), 1..5 if rate > 1 => log::info("few"), _ => log::info(`${fees.len()} of ${keep.allocate([1, 2])}`) }
let x = 1; x /= 3; x.round_to(2, "half_even");
invoices::TABLE.len() + global::LIMIT + shorten("a").len();
"#;

const INVOICES: &str = "export const TABLE = [1];\nfn known(reference) { reference in TABLE_OF(reference) }\nprivate fn TABLE_OF(x) { [x] }";

#[test]
fn no_call_into_a_module_nothing_is_known_of_is_wrong() {
    check_files(
        &[(
            "main.rhai",
            "let a = elsewhere::anything(1, 2, 3); elsewhere::other(a); bank::swep(#{});",
        )],
        &["main.rhai:1:60+10 unknown-function: no function `swep` in `bank` | did you mean `sweep`?"],
    );
}

#[test]
fn a_good_script_has_no_finding() {
    check_files(&[("main.rhai", GOOD), ("lib/invoices.rhai", INVOICES)], &[]);
}

#[test]
fn unknown_names_are_found_with_a_guess() {
    check_main(
        "let total = EUR(1);\nlet x = totl + EUR(2);",
        &["main.rhai:2:9+4 unknown-variable: no variable `totl` | did you mean `total`?"],
    );
    check_main(
        "params.bufer",
        &["main.rhai:1:8+5 unknown-param: no parameter `bufer` in the manifest | did you mean `buffer`?"],
    );
    check_main(
        "fn f() { `${params[\"bufer\"].len()}` } f(); params.x.y",
        &[
            "main.rhai:1:20+5 unknown-param: no parameter `bufer` in the manifest | did you mean `buffer`?",
            "main.rhai:1:51+1 unknown-param: no parameter `x` in the manifest | add it to [params] of the manifest",
        ],
    );
    for (script, expected) in [
        (
            "fn f() { let g = |y| y + zebra; g.call(1) } f()",
            "1:26+5 unknown-variable: no variable `zebra`",
        ),
        (
            "let a = 1; fn f() { a } f()",
            "1:21+1 unknown-variable: no variable `a` | `a` is declared elsewhere",
        ),
        (
            "if true { let q = 1; } q",
            "1:24+1 unknown-variable: no variable `q` | `q` is declared elsewhere",
        ),
        ("`${zebra}`", "1:4+5 unknown-variable"),
        ("nope.x.len()", "1:1+4 unknown-variable"),
        (
            "evnt.type",
            "1:1+4 unknown-variable: no variable `evnt` | did you mean `event`?",
        ),
        (
            "mony(1, \"EUR\")",
            "1:1+4 unknown-function: no function `mony` | did you mean `money`?",
        ),
        (
            "EURO(1)",
            "1:1+4 unknown-function: no function `EURO` | did you mean `EUR`?",
        ),
        (
            "[1].mpa(|x| x)",
            "1:5+3 unknown-function: no method `mpa` | did you mean `map`?",
        ),
        (
            "sweep(#{})",
            "1:1+5 unknown-function: no function `sweep` | did you mean `bank::sweep`?",
        ),
        (
            "let f = |x| x; f(1)",
            "1:16+1 unknown-function: no function `f` | a closure in a variable is called with `f.call(…)`",
        ),
        (
            "bnk::sweep(#{})",
            "1:1+3 unknown-module: no module `bnk` | did you mean `bank`?",
        ),
        (
            "fn f() { zebra::x() } f()",
            "1:10+5 unknown-module: no module `zebra` | import a script as `zebra`",
        ),
        (
            "bank::sweeep(#{})",
            "1:1+12 unknown-function: no function `sweeep` in `bank` | did you mean `sweep`?",
        ),
        (
            "log::shout(1)",
            "1:1+10 unknown-function: no function `shout` in `log` | log offers: info, warn",
        ),
        ("bank::X", "1:1+7 unknown-variable: `bank::X` is no constant"),
    ] {
        check_one(script, expected);
    }
}

#[test]
fn what_a_connection_cannot_do_is_told_with_what_it_can() {
    check_main(
        "\nlet wallet = event.payload.id;\n\nlet sale = hub::convert(#{\n    from: wallet,\n});",
        &[
            "main.rhai:4:12+12 unsupported: `convert` is not offered by connection `hub` (payaut) | payaut offers: balance, split, refund, payout, transfer, transactions, settled",
        ],
    );
    check_one(
        "[1].map(|x| bank::refund(x))",
        "1:13+12 unsupported: `refund` is not offered by connection `bank` (augustus)",
    );
    let script = "let moved = hub::sweep(#{});\nhub::split(#{ from: 1, payment: 2, parts: [] });";
    check_main(
        script,
        &[
            "main.rhai:1:13+10 unsupported: `sweep` is not offered by connection `hub` (payaut) | it has no account to sweep from | payaut offers: balance, split, refund, payout, transfer, transactions, settled",
            "main.rhai:2:15+4 unsupported: `split` of this connection cannot be told `from` | the provider has nothing like it | here it takes payment, parts",
        ],
    );
}

#[test]
fn maps_in_maps_take_what_the_function_takes() {
    check_main(
        "bank::fund(#{ from: [#{ account: 1, keep: 2, deficit: #{ to: 1 } }], deficit: #{ to: 1, below: 2 }, metadata: #{ any: 1 } });\n\
         let from = [#{ acount: 1 }]; bank::fund(#{ from: from }); bank::fund(#{ from: `a`, deficit: from });",
        &[],
    );
    check_main(
        "bank::fund(#{\n  from: [\n    #{ acount: 1, keep: 2 },\n    #{ account: 1, deficit: #{ upto: 1 } },\n  ],\n  deficit: #{ to: 1, bellow: 2 },\n});",
        &[
            "main.rhai:3:5+2 missing-argument: `from` of `fund` needs `account`",
            "main.rhai:3:8+6 unknown-argument: `from` of `fund` does not take `acount` | did you mean `account`?",
            "main.rhai:4:32+4 unknown-argument: `deficit` of `fund` does not take `upto` | it takes to",
            "main.rhai:6:22+6 unknown-argument: `deficit` of `fund` does not take `bellow` | did you mean `below`?",
        ],
    );
    check_main(
        "bank::fund(#{ from: `a`, deficit: #{ } });",
        &["main.rhai:1:35+2 missing-argument: `deficit` of `fund` needs `to`"],
    );
}

#[test]
fn named_arguments_are_those_the_function_takes() {
    check_main(
        "approval(#{ reason: `pay ${1}`, group: \"board\" });\nlet given = #{}; approval(given);",
        &[],
    );
    check_main(
        "approval(#{ reson: \"x\" });",
        &[
            "main.rhai:1:1+8 missing-argument: `approval` needs `reason`",
            "main.rhai:1:13+5 unknown-argument: `approval` does not take `reson` | did you mean `reason`?",
        ],
    );
    check_one(
        "[1].for_each(|n| { let told = approval(#{ reason: \"x\", amount: n }); });",
        "1:56+6 unknown-argument: `approval` does not take `amount` | it takes reason, group",
    );
}

#[test]
fn wrong_numbers_of_arguments_are_found() {
    for (script, expected) in [
        ("days(1, 2)", "1:1+4 wrong-arity: `days` takes 1 argument, not 2"),
        (
            "bank::sweep()",
            "1:1+11 wrong-arity: `bank::sweep` takes 1 argument, not 0",
        ),
        (
            "bank::settled(1, 2, 3)",
            "1:1+13 wrong-arity: `bank::settled` takes 1 or 2 arguments, not 3",
        ),
        ("now(1)", "1:1+3 wrong-arity: `now` takes 0 arguments, not 1"),
        (
            "EUR(1).allocate()",
            "1:8+8 wrong-arity: `.allocate(…)` takes 1 argument, not 0",
        ),
        (
            "fn f(a, b) { a + b } f(1)",
            "1:22+1 wrong-arity: `f` takes 2 arguments, not 1",
        ),
        (
            "let m = EUR(10); m.divide(3)",
            "1:20+6 wrong-arity: `.divide(…)` takes 2 arguments, not 1",
        ),
    ] {
        check_one(script, expected);
    }
    check_files(
        &[
            (
                "main.rhai",
                "import \"a\" as a; a::f(1, 2); a::g(); a::hidden(); a::K; a::Z",
            ),
            (
                "a.rhai",
                "export const K = 1; fn f(x) { x } fn g() { hidden() } private fn hidden() { 1 }",
            ),
        ],
        &[
            "main.rhai:1:18+4 wrong-arity: `a::f` takes 1 argument, not 2",
            "main.rhai:1:38+9 unknown-function: no function `hidden` in `a.rhai`",
            "main.rhai:1:57+4 unknown-variable: `a.rhai` exports no `Z`",
        ],
    );
}

#[test]
fn forbidden_shapes_are_found() {
    for (script, expected) in [
        ("eval(\"1\")", "1:1+4 forbidden: `eval` is not available"),
        ("exit(1)", "1:1+4 forbidden: `exit`"),
        (
            "print(\"x\")",
            "1:1+5 forbidden: `print` is not available to scripts | use log::info(…)",
        ),
        (
            "timestamp()",
            "1:1+9 forbidden: `timestamp` is not available to scripts | use now()",
        ),
        ("let p = \"a\"; import p as a;", "1:14+6 import-not-literal"),
        ("import \"gone\" as g;", "1:8+6 missing-import: no script `gone.rhai`"),
        ("let x = 1; /* never", "1:12+2 open-comment: this comment never ends"),
        (
            "let x = \"/*\"; let y = `/* ${\"/*\"} /*`; '/'; /* a /* b */ c */ x + y // /*",
            "1:9",
        ),
        (
            "let event = 1;",
            "1:5+5 reserved-name: `event` is a constant of every script",
        ),
        ("for run in [1] {}", "1:5+3 reserved-name"),
        ("fn f(params) { 1 } f(1)", "1:4+6 reserved-name"),
        (
            "fn now() { 1 } now()",
            "1:4+3 redefinition: `now` is a function of this workflow already",
        ),
        (
            "fn split(x) { x } split(1)",
            "1:4+5 redefinition: `split` is a standard function",
        ),
        (
            "let items = [1]; items.map(|x| x * items.len())",
            "1:36+5 data-race: `items` cannot be used inside a closure given to its own `.map(…)` | copy",
        ),
        (
            "let o = #{ lines: [1], rate: 2 }; o.lines.map(|l| l * o.rate)",
            "1:55+1 data-race",
        ),
        ("let m = #{ a: 1 }; m.keys().map(|k| m[k])", "1:37+1 data-race"),
        ("let l = [[1]]; l[0].map(|x| l.len())", "1:29+1 data-race"),
        ("let f = 0; f = || f; f", "1:19+1 closure-cycle"),
        (
            "let l = [2, 1]; l.sort(|a, b| { bank::sweep(#{}); a - b })",
            "1:19+4 effect-in-comparer: `bank::sweep` may not be called while `sort` compares",
        ),
        (
            "fn by(a, b) { helper(a) } fn helper(a) { now() } let l = [1]; l.order(by)",
            "1:65+5 effect-in-comparer: `now`",
        ),
        (
            "fn by(a, b) { now() } let l = [1]; l.dedup(Fn(\"by\"))",
            "1:38+5 effect-in-comparer: `now`",
        ),
        ("let x = ;", "1:9+1 syntax:"),
        ("fn f() {", "1:9+1 syntax:"),
    ] {
        if expected == "1:9" {
            // Comment marks inside of texts and nested comments are no open comments.
            check_main(script, &[]);
        } else {
            check_one(script, expected);
        }
    }
    check_files(
        &[
            (
                "main.rhai",
                "fn f() { import \"a\" as a; a::f() } f(); try { import \"a\" as b; } catch {}",
            ),
            ("a.rhai", "fn f() { 1 }"),
        ],
        &[
            "main.rhai:1:10+6 import-not-at-top: imports stand at the top of a script, outside of every block | move it to the top: what a run consists of is fixed before it begins",
            "main.rhai:1:47+6 import-not-at-top: imports stand at the top of a script, outside of every block | move it to the top: what a run consists of is fixed before it begins",
        ],
    );
    check_files(
        &[
            (
                "main.rhai",
                "import \"a\" as a; a::f(1); fn mine() { || 1 } mine().call()",
            ),
            (
                "a.rhai",
                "export const K = |x| x;\nfn f(y) { |x| x + y }\nfn g() { return #{ f: || 1 }; }\nfn h() { [1].map(|x| x) }\nprivate fn p() { || 1 }",
            ),
        ],
        &[
            "a.rhai:1:18+1 closure-returned: a closure cannot leave the file it was made in | return plain values, or let the caller pass a closure in",
            "a.rhai:2:11+1 closure-returned: a closure cannot leave the file it was made in | return plain values, or let the caller pass a closure in",
            "a.rhai:3:23+1 closure-returned: a closure cannot leave the file it was made in | return plain values, or let the caller pass a closure in",
        ],
    );
    check_files(
        &[
            ("main.rhai", "import \"a\" as bank; bank::f()"),
            ("a.rhai", "fn f() { 1 }"),
        ],
        &["main.rhai:1:15+4 reserved-name: `bank` is a module of this workflow already | import it under another name"],
    );
}

#[test]
fn an_effect_in_a_comparer_is_found_through_imports_and_pure_functions_are_not() {
    check_files(
        &[
            (
                "main.rhai",
                "import \"a\" as a; let l = [1]; l.sort(|x, y| a::rank(x) - a::rank(y)); l.sort(|x, y| shorten(x) < shorten(y));",
            ),
            ("a.rhai", "fn rank(x) { bank::settled(x).rank }"),
        ],
        &[
            "main.rhai:1:33+4 effect-in-comparer: `bank::settled` may not be called while `sort` compares | how often and in which order a comparer is called is not yours to say: collect what it needs first",
        ],
    );
}

#[test]
fn all_findings_of_all_files_come_in_one_pass_in_order() {
    check_files(
        &[
            (
                "main.rhai",
                "import \"a\" as a;\nimport \"b\" as b;\nlet x = totl;\nmony(1);\nhub::convert(1);\nb::anything(1);",
            ),
            ("a.rhai", "fn f() { zebra }"),
            ("b.rhai", "let x = ;"),
        ],
        &[
            "main.rhai:3:9+4 unknown-variable: no variable `totl`",
            "main.rhai:4:1+4 unknown-function: no function `mony` | did you mean `money`?",
            "main.rhai:5:1+12 unsupported: `convert` is not offered by connection `hub` (payaut) | payaut offers: balance, split, refund, payout, transfer, transactions, settled",
            "a.rhai:1:10+5 unknown-variable: no variable `zebra`",
            "b.rhai:1:9+1 syntax: unexpected ';'",
        ],
    );
}

#[test]
fn columns_count_characters() {
    check_one("let u = \"äöü\"; u + zebra", "1:20+5 unknown-variable");
    check_one("/* ä */ zebra", "1:9+5 unknown-variable");
}

#[track_caller]
fn check_snapshot(files: &[(&str, &str)], expected: Result<&[&str], &[&str]>) {
    let all = sources(files);
    let result = snapshot(all[0].clone(), &mut |path| {
        all.iter()
            .find(|source| source.path == path)
            .map(|source| source.text.clone())
    });
    let paths = result
        .as_ref()
        .map(|taken| taken.iter().map(|source| source.path.as_str()).collect::<Vec<_>>());
    let lines = paths.map_err(|findings| findings.iter().map(line).collect::<Vec<_>>());
    match (lines, expected) {
        (Ok(paths), Ok(expected)) => assert_eq!(paths, expected),
        (Err(found), Err(expected)) => assert_eq!(found, expected),
        (found, expected) => panic!("{found:?}, not {expected:?}"),
    }
}

#[test]
fn a_snapshot_takes_main_first_and_every_import_by_path_once() {
    check_snapshot(
        &[
            ("main.rhai", "import \"z\" as z;\nimport \"lib/a\" as a;"),
            ("z.rhai", "import \"lib/a\" as a;"),
            ("lib/a.rhai", "fn f() { import \"lib/deep/b\" as b; 1 }"),
            ("lib/deep/b.rhai", ""),
            ("unused.rhai", ""),
        ],
        Ok(&["main.rhai", "lib/a.rhai", "lib/deep/b.rhai", "z.rhai"]),
    );
    // What does not parse is taken in, for the checker to report.
    check_snapshot(
        &[("main.rhai", "import \"a\" as a;"), ("a.rhai", "let x = ;")],
        Ok(&["main.rhai", "a.rhai"]),
    );
}

#[test]
fn a_snapshot_refuses_what_cannot_be_pinned() {
    check_snapshot(
        &[(
            "main.rhai",
            "import \"gone\" as g;\nimport \"../x\" as x;\nimport \"/etc/passwd\" as p;\nimport \"a.rhai\" as a;\nimport \".git/x\" as h;",
        )],
        Err(&[
            "main.rhai:1:8+6 missing-import: no script `gone.rhai`",
            "main.rhai:2:8+6 import-path: `../x` is not the path of an import | a path cannot leave the folder of the scripts or name hidden files",
            "main.rhai:3:8+13 import-path: `/etc/passwd` is not the path of an import | paths start at the folder of the scripts: \"lib/sellers\"",
            "main.rhai:4:8+8 import-path: `a.rhai` is not the path of an import | leave out the ending `.rhai`",
            "main.rhai:5:8+8 import-path: `.git/x` is not the path of an import | a path cannot leave the folder of the scripts or name hidden files",
        ]),
    );
    check_snapshot(
        &[
            ("main.rhai", "import \"a\" as a;"),
            ("a.rhai", "import \"b\" as b;"),
            ("b.rhai", "\nimport \"a\" as a;"),
        ],
        Err(&[
            "b.rhai:2:8+3 import-cycle: imports go in a circle: a.rhai → b.rhai → a.rhai | move what both need into a third file",
        ]),
    );
    check_snapshot(
        &[("main.rhai", "let p = \"a\"; import p as a;")],
        Err(&[
            "main.rhai:1:14+6 import-not-literal: an import names its file literally | write the path as plain text: import \"lib/sellers\" as sellers;",
        ]),
    );
    let many: String = (0..70).map(|n| format!("import \"m{n}\" as m{n};\n")).collect();
    let main = Source {
        path: "main.rhai".to_owned(),
        text: many,
    };
    let findings = snapshot(main, &mut |_| Some(String::new())).unwrap_err();
    assert_eq!(findings.len(), 6);
    assert!(findings.iter().all(|finding| finding.code == "too-many-imports"));
}

#[test]
fn the_checker_needs_no_large_stack() {
    let small = std::thread::Builder::new().stack_size(2 * 1024 * 1024).spawn(|| {
        for (open, close) in [
            ("(", ")"),
            ("[", "]"),
            ("#{a:", "}"),
            ("if true {", "}"),
            ("(|| {", "}).call()"),
            ("len(", ")"),
            ("`${", "}`"),
        ] {
            for depth in 1..100 {
                let script = format!("fn f() {{ {}1{} }} f();", open.repeat(depth), close.repeat(depth));
                for finding in check(&sources(&[("main.rhai", &script)]), &surface()) {
                    assert_eq!(finding.code, "syntax", "{script}");
                }
            }
        }
    });
    small.unwrap().join().unwrap();
}

#[test]
fn what_a_branch_changes_outside_is_found() {
    check_main(
        "let total = 0; let seen = []; let m = #{};\nparallel([1], |n| { total += n; n });\nparallel([1], |n| { seen.push(n); m.a.b = 1; let own = []; own.push(n); own });",
        &[
            "main.rhai:2:21+5 copy-changed: `total` is a copy inside the function given to `parallel`: what it is set to is lost | let the function return it, and read the results of `parallel`",
            "main.rhai:3:21+4 copy-changed: `seen` is a copy inside the function given to `parallel`: what it is set to is lost | let the function return it, and read the results of `parallel`",
            "main.rhai:3:35+1 copy-changed: `m` is a copy inside the function given to `parallel`: what it is set to is lost | let the function return it, and read the results of `parallel`",
        ],
    );
    check_main(
        "fn f(n) { n } let g = |n| n; parallel([1], f); parallel([1], g); parallel([1], Fn(\"f\")); parallel([1], 5);\nparallel([1]); parallel(1, 2, 3, 4);",
        &[
            "main.rhai:1:90+8 not-a-function: the last argument of `parallel` is a function | write it as parallel(items, |item| …)",
            "main.rhai:2:1+8 wrong-arity: `parallel` takes 2 or 3 arguments, not 1",
            "main.rhai:2:16+8 wrong-arity: `parallel` takes 2 or 3 arguments, not 4",
        ],
    );
}

#[test]
fn calls_that_could_not_end_in_time_are_found() {
    let many = "1, ".repeat(33);
    check_main(
        &format!("shorten({many});\nlet f = Fn(\"shorten\"); f.curry(1);"),
        &[
            "main.rhai:1:1+7 too-many-arguments: `shorten` is called with more than 32 arguments: pass a list or a map",
            "main.rhai:2:26+5 forbidden: `curry` is not available to scripts | a closure captures what it needs: |x| f(rate, x)",
        ],
    );
}
