//! The texts of hostile scripts: read from the files of this folder, and the ones too long to be written by hand.

use std::collections::VecDeque;
use std::path::Path;

/// One hostile script, and what it may come to.
pub(super) struct Case {
    /// The file it stands in, and its name there.
    pub(super) name: String,
    /// The outcomes that are right.
    pub(super) outcomes: Vec<String>,
    /// Its files, the main one first.
    pub(super) files: Vec<(String, String)>,
}

/// Every case.
pub(super) fn cases() -> VecDeque<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/hostile");
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .expect("the folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "rhai"))
        .collect();
    files.sort();
    let mut cases = VecDeque::new();
    for path in files {
        let family = path.file_stem().expect("a name").to_string_lossy().into_owned();
        // The floods are of the host's functions and run on the real engine.
        if family != "floods" {
            cases.extend(read(&family));
        }
    }
    cases.extend(nested());
    cases
}

/// The cases of one file.
pub(super) fn read(family: &str) -> Vec<Case> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/it/hostile/{family}.rhai"));
    let text = std::fs::read_to_string(&path).expect("a readable file");
    let mut cases: Vec<Case> = Vec::new();
    for line in text.lines() {
        if let Some(head) = line.strip_prefix("// # ") {
            let (name, outcomes) = head.split_once(" -> ").expect("a name and outcomes");
            cases.push(Case {
                name: format!("{family}: {name}"),
                outcomes: outcomes.split(" | ").map(str::to_owned).collect(),
                files: vec![("main.rhai".to_owned(), String::new())],
            });
            continue;
        }
        let case = cases.last_mut().expect("a file begins with a case");
        if let Some(path) = line.strip_prefix("// ## ") {
            case.files.push((format!("{path}.rhai"), String::new()));
        } else {
            let (_, text) = case.files.last_mut().expect("the main file");
            text.push_str(line);
            text.push('\n');
        }
    }
    cases
}

/// Texts nested deeper than anybody writes: refused by the parser, before its stack ends.
fn nested() -> Vec<Case> {
    const OPENINGS: [(&str, &str, &str); 20] = [
        ("parentheses", "(", ")"),
        ("lists", "[", "]"),
        ("maps", "#{a:", "}"),
        ("blocks", "{", "}"),
        ("minus signs", "-", ""),
        ("not signs", "!", ""),
        ("ifs", "if true {", "}"),
        ("else ifs", "if false {} else ", "{}"),
        ("loops", "loop {", "}"),
        ("closures", "|| {", "}"),
        ("closures with arguments", "|x| [x, ", "]"),
        ("texts in texts", "`${", "}`"),
        ("switches", "switch 1 { 1 => ", "}"),
        ("calls", "echo(", ")"),
        ("tries", "try {", "} catch {}"),
        ("for loops", "for i in ", "{}"),
        ("questions", "() ?? ", ""),
        ("sums", "1 + (", ")"),
        ("comments", "/* ", " */"),
        ("module names", "a::", ""),
    ];
    let mut cases = Vec::new();
    for depth in [200, 20_000] {
        for (name, open, close) in OPENINGS {
            let text = format!("let x = {}1{};", open.repeat(depth), close.repeat(depth));
            let fine = ["comments", "questions", "else ifs"].contains(&name);
            cases.push(generated(
                &format!("{depth} {name}"),
                &text,
                if fine { &["fails", "ends"] } else { &["fails"] },
            ));
        }
    }
    let long = [
        ("indexes", format!("let a = [1]; a{}", "[0]".repeat(20_000))),
        ("properties", format!("let a = #{{}}; a{}", ".b".repeat(20_000))),
        ("method calls", format!("let a = \"x\"; a{}", ".len()".repeat(20_000))),
        ("terms", format!("let a = 0{};", " + 1".repeat(50_000))),
        ("statements", "let a = 1;\n".repeat(50_000)),
        (
            "functions",
            (0..20_000).map(|number| format!("fn f{number}() {{}}\n")).collect(),
        ),
        (
            "parameters",
            format!(
                "fn f({}) {{}}",
                (0..5_000).map(|number| format!("p{number},")).collect::<String>()
            ),
        ),
        ("arguments", format!("echo({})", "1,".repeat(50_000))),
        ("items", format!("let a = [{}];", "1,".repeat(100_000))),
        (
            "entries",
            format!(
                "let a = #{{{}}};",
                (0..50_000).map(|number| format!("k{number}: 1,")).collect::<String>()
            ),
        ),
        (
            "cases",
            format!(
                "switch 1 {{{}}}",
                (0..50_000).map(|number| format!("{number} => 1,")).collect::<String>()
            ),
        ),
        ("letters of a name", format!("let {} = 1;", "a".repeat(500_000))),
        ("letters of a text", format!("let a = \"{}\";", "a".repeat(5_000_000))),
        ("lines of an open comment", format!("1 /* {}", "x\n".repeat(100_000))),
        ("line breaks", "\n".repeat(500_000)),
        ("backslashes", "\\".repeat(100_000)),
        ("quotes", "\"".repeat(100_001)),
        ("backquotes", "`".repeat(100_001)),
    ];
    for (name, text) in long {
        cases.push(generated(
            &format!("very many {name}"),
            &text,
            &["fails", "ends", "size", "depth", "operations", "compute"],
        ));
    }
    cases
}

fn generated(name: &str, text: &str, outcomes: &[&str]) -> Case {
    Case {
        name: format!("nesting: {name}"),
        outcomes: outcomes.iter().map(|outcome| (*outcome).to_owned()).collect(),
        files: vec![("main.rhai".to_owned(), text.to_owned())],
    }
}
