//! Commands that need no store: init, check, primitives, completions; wrong use and its exit codes.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;

use tempfile::{TempDir, tempdir};

use super::harness::{bursar, command, finish};

/// A folder as `init` makes it.
fn initialised() -> TempDir {
    let folder = tempdir().expect("a folder");
    bursar(folder.path(), &["init"]).expect(0);
    folder
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it is there").permissions().mode() & 0o777
}

#[test]
fn what_init_makes_is_right_and_is_not_made_twice() {
    let folder = tempdir().expect("a folder");
    bursar(folder.path(), &["init", "treasury"]).expect(0);
    let treasury = folder.path().join("treasury");
    assert_eq!(mode(&treasury.join("secrets")), 0o700);
    assert_eq!(mode(&treasury.join("secrets/README")), 0o600);

    let checked = bursar(&treasury, &["check"]).expect(0);
    assert!(
        checked
            .stdout
            .contains("right: 4 workflows, 2 schedules, 0 errors, 0 warnings"),
        "{}",
        checked.stdout
    );
    assert_eq!(
        checked.stdout.matches(":00Z").count(),
        10,
        "five slots of each schedule: {}",
        checked.stdout
    );

    bursar(folder.path(), &["init", "--all", "everything"]).expect(0);
    let everything = folder.path().join("everything");
    let checked = bursar(&everything, &["check"]).expect(0);
    let all = "right: 8 workflows, 6 schedules, 0 errors, 0 warnings";
    assert!(checked.stdout.contains(all), "{}", checked.stdout);
    assert_eq!(mode(&everything.join("secrets/shop.key")), 0o600);

    let manifest = treasury.join("workflows/nightly-sweep.toml");
    fs::write(&manifest, "mine").expect("written");
    let again = bursar(folder.path(), &["init", "treasury"]).expect(5);
    assert!(again.stderr.contains("is there already"), "{}", again.stderr);
    assert_eq!(fs::read_to_string(&manifest).expect("still there"), "mine");
}

#[test]
fn init_refuses_as_a_whole_when_one_file_is_there() {
    let folder = tempdir().expect("a folder");
    fs::write(folder.path().join(".gitignore"), "mine").expect("written");
    bursar(folder.path(), &["init"]).expect(5);
    assert!(!folder.path().join("bursar.toml").exists());
}

#[test]
fn wrong_use_has_its_exit_code_and_says_what_to_do() {
    let folder = initialised();
    let check = |args: &[&str], code: i32, told: &str| {
        let ran = bursar(folder.path(), args).expect(code);
        assert!(ran.stdout.is_empty(), "{args:?} prints no result: {}", ran.stdout);
        assert!(ran.stderr.contains(told), "{args:?}: {}", ran.stderr);
    };
    check(&["sweep"], 2, "unrecognized subcommand");
    check(
        &["runs", "ls", "--in-state", "asleep"],
        2,
        "expected queued, pending, running",
    );
    check(&["run", "nightly-sweep", "--param", "buffer"], 2, "expected NAME=VALUE");
    check(&["run", "nightly-swep"], 4, "did you mean `nightly-sweep`?");
    check(&["run", "nightly-sweep", "--detach"], 7, "bursar serve");
    check(
        &["run", "nightly-sweep", "--payload", "absent.json"],
        2,
        "absent.json cannot be read",
    );
    check(&["run", "nightly-sweep", "--payload", "bursar.toml"], 2, "is not JSON");
    check(
        &["run", "nightly-sweep", "--param", "bufer=1"],
        2,
        "did you mean `buffer`?",
    );
    check(&["runs", "resolve", "last", "--reason", "x"], 2, "--adopt <FILE>");
    check(
        &["runs", "resolve", "last", "--fail", "--retry", "--reason", "x"],
        2,
        "cannot be used with",
    );
    check(&["runs", "cancel", "last"], 2, "--reason");
    check(&["connections", "check", "bnk"], 4, "did you mean `bank`?");
    check(&["primitives", "swep"], 4, "did you mean `sweep`?");
    check(
        &["primitives", "--connector", "augustsu"],
        4,
        "did you mean `augustus`?",
    );
    check(&["connectors", "show", "augustsu"], 4, "did you mean `augustus`?");
    check(&["connectors", "show"], 2, "bursar connectors show <NAME>");
    check(&["connectors", "show", "augustus", "--all"], 2, "cannot be used with");
    check(&["--config", "absent.toml", "check"], 2, "bursar init");
    check(&["events", "show", "run_1"], 2, "is not a event id");
}

#[test]
fn a_store_that_is_not_there_is_no_empty_store() {
    let folder = initialised();
    for args in [
        &["runs", "ls"][..],
        &["runs", "show", "last"],
        &["runs", "cancel", "last", "--reason", "x"],
        &["journal", "show", "last"],
        &["events", "ls"],
    ] {
        let ran = bursar(folder.path(), args).expect(6);
        assert!(ran.stderr.contains("there is no store yet"), "{args:?}: {}", ran.stderr);
        assert!(!folder.path().join("state").exists(), "reading made nothing");
    }
}

#[test]
fn settings_are_refused_with_their_place() {
    let folder = tempdir().expect("a folder");
    let settings = "[daemon]\nlisten = \"127.0.0.1:8080\"\nrun_max = 3\n\n[conection.bank]\nconnector = \"augustus\"\n";
    fs::write(folder.path().join("bursar.toml"), settings).expect("written");
    let ran = bursar(folder.path(), &["connections", "ls"]).expect(2);
    assert!(ran.stdout.is_empty());
    insta::assert_snapshot!("settings_errors", ran.stderr);
    // `check` is about findings: there they are the result.
    let ran = bursar(folder.path(), &["check", "--format", "concise"]).expect(2);
    assert!(ran.stdout.contains("bursar.toml:5:"), "{}", ran.stdout);
    assert!(ran.stderr.is_empty(), "{}", ran.stderr);
}

#[test]
fn secrets_are_never_shown() {
    let folder = initialised();
    let settings = "[connection.bank]\nconnector = \"augustus\"\nbase_url = \"http://127.0.0.1:9\"\napi_key = { env = \"BANK_KEY\" }\nwebhook_secrets = [{ env = \"BANK_HOOK\" }]\n";
    fs::write(folder.path().join("bursar.toml"), settings).expect("written");
    let (key, hook) = ("sk-very-secret-0123456789", "whsec_dmVyeS1zZWNyZXQ=");
    for args in [
        &["connections", "ls"][..],
        &["connections", "ls", "--json"],
        &["connections", "check", "-vv"],
        &["connections", "check", "--json"],
        &["check"],
        &["check", "--json"],
        &["workflows", "ls"],
    ] {
        let ran = finish(command(folder.path(), args).env("BANK_KEY", key).env("BANK_HOOK", hook));
        assert!(ran.code != Some(2), "{args:?}: {}", ran.stderr);
        let shown = format!("{}{}", ran.stdout, ran.stderr);
        assert!(!shown.contains(key) && !shown.contains(hook), "{args:?}");
    }
    let shown = finish(
        command(folder.path(), &["connections", "check"])
            .env("BANK_KEY", key)
            .env("BANK_HOOK", hook),
    )
    .expect(7);
    assert!(shown.stdout.contains("bank"), "{}", shown.stdout);
}

#[test]
fn check_shows_what_is_wrong_beside_what_is_right() {
    let folder = initialised();
    let manifest = folder.path().join("workflows/nightly-sweep.toml");
    let text = fs::read_to_string(&manifest)
        .expect("it is there")
        .replace("catch_up", "catchup");
    fs::write(&manifest, text).expect("written");
    let ran = bursar(folder.path(), &["check"]).expect(2);
    assert!(
        ran.stdout.contains("error[manifest]: unknown key `catchup`"),
        "{}",
        ran.stdout
    );
    assert!(ran.stdout.contains("help: did you mean `catch_up`?"), "{}", ran.stdout);
    assert!(
        ran.stdout.contains("split-settlement @"),
        "the good ones are there: {}",
        ran.stdout
    );
    assert!(
        ran.stdout
            .contains("wrong: 3 workflows, 1 schedule, 1 error, 0 warnings"),
        "{}",
        ran.stdout
    );

    let lines = bursar(folder.path(), &["check", "--json"]).expect(2).json();
    let schemas: Vec<&str> = lines.iter().filter_map(|line| line["schema"].as_str()).collect();
    assert_eq!(schemas, ["bursar.finding/1", "bursar.check/1"]);
    assert_eq!(lines[1]["errors"], 1);

    let elsewhere = tempdir().expect("a folder");
    let config = folder.path().join("bursar.toml");
    let config = config.to_str().expect("text");
    let ran = bursar(elsewhere.path(), &["--config", config, "check"]).expect(2);
    assert!(
        ran.stdout.contains("^^^^^^^"),
        "the line is shown from any folder: {}",
        ran.stdout
    );
}

#[test]
fn the_folder_of_broken_workflows_is_told_with_lines_and_marks() {
    let broken = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/catalog/broken");
    let folder = tempdir().expect("a folder");
    let place = |name: &str| broken.join(name).display().to_string();
    let settings = format!(
        "[daemon]\nworkflows = {:?}\nscripts = {:?}\n",
        place("workflows"),
        place("scripts")
    );
    fs::write(folder.path().join("bursar.toml"), settings).expect("written");
    let ran = bursar(folder.path(), &["check"]).expect(2);
    let errors = ran.stdout.matches("\nerror[").count() + usize::from(ran.stdout.starts_with("error["));
    assert!(errors > 5, "{}", ran.stdout);
    assert!(ran.stdout.contains("   |\n"), "lines of the files: {}", ran.stdout);
    let lines = bursar(folder.path(), &["check", "--json"]).expect(2).json();
    let last = lines.last().expect("a summary");
    assert_eq!(last["errors"], errors);
}

#[test]
fn colour_follows_the_stream_the_flag_and_the_variable() {
    let folder = initialised();
    let check = |args: &[&str], variable: Option<&str>, colour: bool| {
        let mut command = command(folder.path(), args);
        if let Some(name) = variable {
            command.env(name, "1");
        }
        let ran = finish(&mut command).expect(0);
        assert_eq!(
            ran.stdout.contains('\u{1b}'),
            colour,
            "{args:?} {variable:?}: {:?}",
            ran.stdout
        );
    };
    check(&["primitives", "sweep"], None, false);
    check(&["--color", "always", "primitives", "sweep"], None, true);
    check(&["--color", "always", "check"], None, true);
    check(
        &["--color", "never", "primitives", "sweep"],
        Some("CLICOLOR_FORCE"),
        false,
    );
    check(&["primitives", "sweep"], Some("CLICOLOR_FORCE"), true);
    check(&["primitives", "sweep"], Some("NO_COLOR"), false);
}

#[test]
fn a_reader_that_hangs_up_is_no_failure() {
    let folder = initialised();
    for args in [
        &["primitives", "--connector", "augustus", "--json"][..],
        &["completions", "bash"],
        &["check"],
    ] {
        let mut child = command(folder.path(), args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        drop(child.stdout.take());
        let output = child.wait_with_output().expect("it ends");
        assert_eq!(
            output.status.code(),
            Some(0),
            "{args:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(
            output.stderr.is_empty(),
            "{args:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

#[test]
fn errors_for_programs_are_json_too() {
    let folder = initialised();
    let ran = bursar(folder.path(), &["--json", "runs", "ls"]).expect(6);
    assert!(ran.stdout.is_empty());
    let error: serde_json::Value = serde_json::from_str(&ran.stderr).expect("one object");
    assert_eq!(error["schema"], "bursar.error/1");
    assert_eq!(error["error"]["kind"], "store");
    assert!(
        error["error"]["help"][0]
            .as_str()
            .is_some_and(|help| help.contains("bursar serve"))
    );
}

#[test]
fn what_a_provider_offers_and_lacks_is_shown_from_its_table() {
    let folder = tempdir().expect("a folder");
    let listed = bursar(folder.path(), &["connectors", "ls", "--json"]).expect(0).json();
    let all = bursar(folder.path(), &["connectors", "show", "--all", "--json"])
        .expect(0)
        .json();
    assert_eq!(listed, all);
    let known = bursar::connector::registry::Registry::built_in();
    assert_eq!(all.len(), known.iter().count());
    for (shown, connector) in all.iter().zip(known.iter()) {
        assert_eq!(shown["name"], connector.name.as_str());
        let calls = ["read", "write", "moves_money"].map(|kind| shown["calls"][kind].as_u64().unwrap_or_default());
        let endpoints = u64::try_from(connector.endpoints().count()).unwrap_or_default();
        assert_eq!(calls.iter().sum::<u64>(), endpoints);
        let moving = shown["moves_money"].as_array().map_or(0, Vec::len);
        assert_eq!(u64::try_from(moving).unwrap_or_default(), calls[2]);
    }
    for (shown, connector) in all.iter().zip(known.iter()) {
        let writes = shown["calls"]["write"]
            .as_u64()
            .zip(shown["calls"]["moves_money"].as_u64());
        let places = shown["keys"]["places"].as_object().expect("a map").values();
        let placed: u64 = places.filter_map(serde_json::Value::as_u64).sum();
        assert_eq!(
            writes.map(|(writes, moves)| writes + moves),
            Some(placed),
            "{}",
            connector.name
        );
        let unprotected = shown["keys"]["unprotected"].as_array().expect("a list");
        let none = shown["keys"]["places"]["none"].as_u64();
        assert_eq!(none, u64::try_from(unprotected.len()).ok(), "{}", connector.name);
    }
    let of = |name: &str| all.iter().find(|shown| shown["name"] == name).expect("there");
    let limit = |name: &str, primitive: &str, argument: &str| {
        let limits = of(name)["limits"].as_array().expect("a list").iter();
        let mut found = limits.filter(|limit| limit["primitive"] == primitive && limit["argument"] == argument);
        found
            .next()
            .unwrap_or_else(|| panic!("{name}: {primitive} {argument}"))
            .clone()
    };
    assert_eq!(limit("augustus", "convert", "amount")["minimum"], "10");
    assert_eq!(limit("ivy", "payout", "amount")["minimum"], "0.01");
    assert_eq!(limit("ivy", "order", "reference")["min_length"], 1);
    assert_eq!(limit("augustus", "payout", "reference")["max_length"], 140);
    assert_eq!(of("payments")["keys"]["header"]["kept"], "successes");
    assert_eq!(of("augustus")["keys"]["header"]["window_assumed"], true);
    let payout = |name: &str| {
        let pays = of(name)["pays"].as_array().expect("a list").iter();
        let payout = pays.filter(|pays| pays["primitive"] == "payout").collect::<Vec<_>>();
        [&payout[0]["account"], &payout[0]["address"]].map(|whom| whom.as_bool() == Some(true))
    };
    assert_eq!(
        ["augustus", "ivy", "payaut"].map(payout),
        [[true, true], [false, true], [true, false]]
    );
    let shown = bursar(folder.path(), &["connectors", "show", "augustus"]).expect(0);
    insta::assert_snapshot!("connector_augustus", shown.stdout);
    let own = folder.path().join("connectors");
    fs::create_dir(&own).expect("a folder");
    fs::write(own.join("toy.toml"), "name = \"toy\"").expect("written");
    let told = bursar(folder.path(), &["connectors", "ls"]).expect(0);
    assert!(
        told.stderr.contains("connectors/toy.toml") && told.stdout.contains("augustus"),
        "{}",
        told.stderr
    );
}

#[test]
fn paths_that_a_connection_says_itself_are_told() {
    let folder = tempdir().expect("a folder");
    let settings = "[connection.bank]\nconnector = \"augustus\"\nenvironment = \"sandbox\"\n\
                    [connection.bank.paths]\ncreate_payout = \"/v2/payouts\"\n";
    fs::write(folder.path().join("bursar.toml"), settings).expect("written");
    let listed = bursar(folder.path(), &["connections", "ls", "--json"]).expect(0).json();
    assert_eq!(listed[0]["paths"]["create_payout"], "/v2/payouts");
    let told = bursar(folder.path(), &["connections", "ls"]).expect(0);
    let line = "bank: create_payout at /v2/payouts, where the table says /v1/payouts";
    assert!(told.stderr.contains(line), "{}", told.stderr);
    let shown = bursar(folder.path(), &["connectors", "show", "augustus"]).expect(0);
    assert!(
        shown.stdout.contains("create_payout at /v2/payouts"),
        "{}",
        shown.stdout
    );
}

#[test]
fn the_reference_has_every_primitive_and_every_endpoint() {
    let folder = tempdir().expect("a folder");
    let all = bursar(folder.path(), &["primitives", "--json"]).expect(0).json();
    assert_eq!(all.len(), bursar::engine::primitives::all().count());
    let augustus = bursar(folder.path(), &["primitives", "--connector", "augustus", "--json"])
        .expect(0)
        .json();
    let names: Vec<&str> = augustus.iter().filter_map(|item| item["name"].as_str()).collect();
    assert!(
        names.contains(&"connection::sweep") && names.contains(&"connection::create_payout"),
        "{names:?}"
    );
    for name in ["log::info", "bank::sweep", "sweep", "state.get"] {
        let shown = bursar(folder.path(), &["primitives", name]).expect(0);
        assert!(shown.stdout.contains("returns "), "{name}: {}", shown.stdout);
    }
    let payout = bursar(
        folder.path(),
        &["primitives", "--connector", "augustus", "create_payout"],
    )
    .expect(0);
    assert!(
        payout.stdout.contains("moves money, scope payouts:write"),
        "{}",
        payout.stdout
    );
}

#[test]
fn every_shell_gets_completions() {
    let folder = tempdir().expect("a folder");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = bursar(folder.path(), &["completions", shell]).expect(0);
        assert!(
            ran.stdout.contains("nightly") || ran.stdout.contains("primitives"),
            "{shell}"
        );
    }
}
