//! What no linter knows: the table of rooms, one home for each external crate, a heading on every file.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The rooms, and which rooms each may use. This is the authority on the structure of the crate.
const ROOMS: &[(&str, &[&str])] = &[
    ("base", &[]),
    ("model", &["base"]),
    ("script", &["base", "model"]),
    ("store", &["base", "model"]),
    ("connector", &["base", "model"]),
    ("catalog", &["base", "model", "script"]),
    ("trigger", &["base", "model", "store", "catalog", "connector"]),
    ("engine", &["base", "model", "script", "store", "connector"]),
    ("server", &["base", "model", "store", "catalog", "trigger"]),
    ("simulator", &["base", "model", "connector"]),
    (
        "app",
        &[
            "base",
            "model",
            "script",
            "store",
            "connector",
            "catalog",
            "trigger",
            "engine",
            "server",
            "simulator",
        ],
    ),
    (
        "cli",
        &[
            "base",
            "model",
            "script",
            "store",
            "connector",
            "catalog",
            "trigger",
            "engine",
            "server",
            "simulator",
            "app",
        ],
    ),
];

/// External crates with few homes: replacing one touches one room.
const HOMES: &[(&str, &[&str])] = &[
    ("rhai", &["script"]),
    ("sqlx", &["store"]),
    ("reqwest", &["connector"]),
    ("rustls", &["connector"]),
    ("hmac", &["connector", "base"]),
    ("notify", &["catalog"]),
    ("toml", &["model", "catalog"]),
    ("cron", &["trigger"]),
    ("chrono_tz", &["trigger", "engine"]),
    ("axum", &["server", "simulator"]),
    ("hyper", &["server", "simulator", "app"]),
    ("hyper_util", &["server", "simulator", "app"]),
    ("clap", &["cli"]),
    ("clap_complete", &["cli"]),
    ("comfy_table", &["cli"]),
    ("annotate_snippets", &["cli"]),
    ("anstream", &["cli"]),
    ("anstyle", &["cli"]),
    ("anyhow", &["app", "cli"]),
    ("tracing_subscriber", &["app"]),
    ("iso_currency", &["base"]),
    ("secrecy", &["base"]),
    ("getrandom", &["store", "simulator"]),
    ("fastrand", &["simulator", "engine", "app", "cli"]),
];

/// The one file that may say `unsafe`.
const UNSAFE: &[&str] = &["src/base/memory.rs"];

/// A file longer than this is two rooms.
const FILE_LINES_MAX: usize = 1000;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("the folder can be read") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

/// The text of all of `src`.
pub(crate) fn sources() -> String {
    let read = |path: PathBuf| fs::read_to_string(path).expect("a source file");
    rust_files(&root().join("src")).into_iter().map(read).collect()
}

fn name_of(path: &Path) -> String {
    path.strip_prefix(root())
        .expect("inside the package")
        .to_string_lossy()
        .replace('\\', "/")
}

/// The lines of a file that are code, comments taken out.
fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line.split("//").next().unwrap_or("")))
        .filter(|(_, line)| !line.trim().is_empty())
}

fn room_of(name: &str) -> Option<&str> {
    name.strip_prefix("src/")?.split_once('/').map(|(room, _)| room)
}

#[test]
fn arrows_point_down() {
    let mut wrong = Vec::new();
    for path in rust_files(&root().join("src")) {
        let name = name_of(&path);
        let Some(room) = room_of(&name) else { continue };
        let allowed = ROOMS
            .iter()
            .find(|(known, _)| *known == room)
            .unwrap_or_else(|| panic!("{name}: no such room in the table"))
            .1;
        let text = fs::read_to_string(&path).expect("a source file");
        for (number, line) in code_lines(&text) {
            for (other, _) in ROOMS {
                let names = line.contains(&format!("crate::{other}::"))
                    || line.contains(&format!("crate::{other};"))
                    || line.contains(&format!("bursar::{other}"));
                if names && *other != room && !allowed.contains(other) {
                    wrong.push(format!("{name}:{number}: `{room}` may not use `{other}`"));
                }
            }
            if line.contains("use crate::{") {
                wrong.push(format!("{name}:{number}: name one room in each `use crate::`"));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "arrows that point up or sideways:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn every_heavy_crate_has_one_home() {
    let mut wrong = Vec::new();
    for path in rust_files(&root().join("src")) {
        let name = name_of(&path);
        let room = room_of(&name).unwrap_or("");
        let text = fs::read_to_string(&path).expect("a source file");
        for (number, line) in code_lines(&text) {
            for (external, homes) in HOMES {
                let used = line.match_indices(&format!("{external}::")).any(|(at, _)| {
                    let before = line.get(..at).and_then(|text| text.chars().next_back());
                    !before.is_some_and(|letter| letter.is_alphanumeric() || letter == '_' || letter == ':')
                });
                if used && !homes.contains(&room) {
                    wrong.push(format!("{name}:{number}: `{external}` is at home in {homes:?}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "crates outside their home:\n{}", wrong.join("\n"));
}

#[test]
fn every_file_says_what_it_is_for() {
    let mut wrong = Vec::new();
    for folder in ["src", "tests", "benches"] {
        for path in rust_files(&root().join(folder)) {
            let text = fs::read_to_string(&path).expect("a source file");
            if !text.starts_with("//!") {
                wrong.push(format!("{}: does not open with `//!`", name_of(&path)));
            }
            let lines = text.lines().count();
            if lines > FILE_LINES_MAX {
                wrong.push(format!("{}: {lines} lines, {FILE_LINES_MAX} at most", name_of(&path)));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn unsafe_and_unwrap_stay_out() {
    let mut wrong = Vec::new();
    for path in rust_files(&root().join("src")) {
        let name = name_of(&path);
        let text = fs::read_to_string(&path).expect("a source file");
        if text.contains("unsafe_code") && !UNSAFE.contains(&name.as_str()) {
            wrong.push(format!("{name}: may not allow unsafe code"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn migrations_are_numbered_without_gaps() {
    let folder = root().join("src/store/migrations");
    if !folder.exists() {
        return;
    }
    for engine in fs::read_dir(folder).expect("the migrations") {
        let engine = engine.expect("an engine").path();
        let numbers: BTreeSet<usize> = fs::read_dir(&engine)
            .expect("an engine's migrations")
            .map(|file| {
                let name = file.expect("a file").file_name().to_string_lossy().into_owned();
                let number = name.split('_').next().and_then(|digits| digits.parse().ok());
                number.unwrap_or_else(|| panic!("{name}: begins with four digits and an underscore"))
            })
            .collect();
        assert!(
            numbers.iter().copied().eq(1..=numbers.len()),
            "{}: {numbers:?}",
            engine.display()
        );
    }
}

/// Rooms that describe no provider: what differs between providers stands in their tables.
const NO_PROVIDER: &[&str] = &["connector", "engine", "trigger", "store", "model", "script", "catalog"];

#[test]
fn no_provider_has_code_of_its_own() {
    let mut wrong = Vec::new();
    for path in rust_files(&root().join("src")) {
        let name = name_of(&path);
        if !room_of(&name).is_some_and(|room| NO_PROVIDER.contains(&room)) {
            continue;
        }
        let text = fs::read_to_string(&path).expect("a source file");
        for (index, line) in text.lines().enumerate() {
            let line = line.to_lowercase();
            // The one list of tables.
            let is_listed = line.contains("providers/");
            let words = || line.split(|letter: char| !letter.is_ascii_alphanumeric());
            if !is_listed && words().any(|word| ["augustus", "ivy", "payaut"].contains(&word)) {
                wrong.push(format!("{name}:{}: {}", index + 1, line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "a provider is named:\n{}", wrong.join("\n"));
}
