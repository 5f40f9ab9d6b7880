//! What people get wrong, and what they are told: the exit code, a sentence that says what to do, and never a secret,
//! a panic or the inside of the program.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use bursar::base::clock::{Clock as _, SystemClock};
use bursar::simulator::config::DEMO_WEBHOOK_SECRET;
use sqlx::Connection as _;
use tempfile::{TempDir, tempdir};

use super::daemon::{Daemon, world};
use super::harness::{Ran, bursar};
use crate::webhooks::harness::{OTHER_SECRET, Signed, deposit_body};

/// A credential that no output may show.
const SECRET: &str = "sk_live_4eC39HqLyjWDarjtT1zdp7dc";

pub(super) fn initialised() -> TempDir {
    let folder = tempdir().expect("a folder");
    bursar(folder.path(), &["init"]).expect(0);
    folder
}

pub(super) fn write(folder: &Path, name: &str, text: impl AsRef<[u8]>) {
    fs::write(folder.join(name), text).expect("written");
}

/// Runs the command and holds what it says against what every message owes to people.
#[track_caller]
pub(super) fn told(folder: &Path, args: &[&str], code: i32, sentences: &[&str]) -> Ran {
    let ran = bursar(folder, args);
    let text = format!("{}{}", ran.stdout, ran.stderr);
    assert_eq!(ran.code, Some(code), "{args:?}: {text}");
    for sentence in sentences {
        assert!(text.contains(sentence), "{args:?} says `{sentence}`: {text}");
    }
    for inside in ["panicked", "RUST_BACKTRACE", "Error {", "Some(", "Err(", SECRET] {
        assert!(!text.contains(inside), "{args:?} shows `{inside}`: {text}");
    }
    ran
}

/// The whole id of the newest run: decisions are about no other name of it.
fn newest_run(folder: &Path) -> String {
    let newest = bursar(folder, &["runs", "ls", "--limit", "1", "--json"])
        .expect(0)
        .json();
    newest[0]["id"].as_str().expect("an id").to_owned()
}

#[test]
fn settings_that_are_wrong_are_told_with_their_place() {
    let folder = initialised();
    let connection = |rest: &str| format!("[connection.bank]\nconnector = \"augustus\"\n{rest}");
    let check = |text: String, sentences: &[&str]| {
        write(folder.path(), "bursar.toml", text);
        told(folder.path(), &["check"], 2, sentences);
        told(folder.path(), &["run", "nightly-sweep"], 2, sentences);
        assert!(!folder.path().join("state").exists(), "nothing was begun");
    };
    check("[daemon\n".to_owned(), &["unclosed table", "bursar.toml:1:8"]);
    check(
        "[deamon]\n".to_owned(),
        &["unknown section `deamon`", "did you mean `daemon`?"],
    );
    check(
        "[daemon]\nlisten = 8080\n".to_owned(),
        &["expected a text in quotes", "bursar.toml:2:10"],
    );
    check(
        "[daemon]\nlisten = \"localhost\"\n".to_owned(),
        &["not an address to listen on", "127.0.0.1:8080"],
    );
    check(
        "[daemon]\nlog_format = \"jsn\"\n".to_owned(),
        &["unknown value `jsn`", "did you mean `json`?"],
    );
    check("[daemon]\nruns_max = -1\n".to_owned(), &["bursar.toml:2:12"]);
    check(
        connection("enviroment = \"sandbox\"\n"),
        &["unknown key `enviroment`", "did you mean `environment`?"],
    );
    check(
        connection("environment = \"prod\"\n"),
        &["no environment `prod`", "one of: live, sandbox"],
    );
    check(
        connection(""),
        &["neither `environment` nor `base_url`", "\"live\" moves real money"],
    );
    check(
        connection("base_url = \"http://api.example.com\"\n"),
        &["is not encrypted"],
    );
    check(
        "[connection.bank]\nconnector = \"augustsu\"\nenvironment = \"live\"\n".to_owned(),
        &[
            "no connector `augustsu`",
            "did you mean `augustus`?",
            "bursar.toml:1:13",
        ],
    );
    check(
        "[connection.log]\nconnector = \"augustus\"\nenvironment = \"live\"\n".to_owned(),
        &["`log` cannot be the name of a connection"],
    );
}

#[test]
fn a_folder_that_has_nothing_of_ours_is_the_wrong_folder() {
    let folder = tempdir().expect("a folder");
    for args in [
        &["serve"][..],
        &["run", "nightly-sweep"],
        &["check"],
        &["workflows", "ls"],
        &["connections", "ls"],
        &["connections", "check"],
    ] {
        told(
            folder.path(),
            args,
            2,
            &["there is no bursar.toml here", "bursar init", "--config"],
        );
    }
    told(
        folder.path(),
        &["--config", "absent.toml", "serve"],
        2,
        &["there is no settings file absent.toml"],
    );
    assert_eq!(
        fs::read_dir(folder.path()).expect("the folder").count(),
        0,
        "nothing was made"
    );
}

#[test]
fn a_secret_in_the_wrong_place_is_named_and_not_repeated() {
    let folder = initialised();
    let file = |name: &str, text: &str, mode: u32| {
        let path = folder.path().join("secrets").join(name);
        fs::write(&path, text).expect("written");
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("its mode");
    };
    file("open.key", SECRET, 0o640);
    file("empty.key", " \n", 0o600);
    let check = |line: &str, sentences: &[&str]| {
        let settings = format!("[connection.bank]\nconnector = \"augustus\"\nenvironment = \"live\"\n{line}\n");
        write(folder.path(), "bursar.toml", settings);
        for args in [
            &["check"][..],
            &["check", "--json"],
            &["check", "--format", "concise"],
            &["serve"],
        ] {
            told(folder.path(), args, 2, sentences);
        }
    };
    let inline = "a secret does not stand in the settings";
    check(&format!("api_key = \"{SECRET}\""), &[inline]);
    check(&format!("webhook_secrets = \"{SECRET}\""), &[inline]);
    check(&format!("webhook_secrets = [\"{SECRET}\"]"), &[inline]);
    check(&format!("webhook_secrets = [\n  \"{SECRET}\",\n]"), &[inline]);
    check(&format!("api_key = \"{SECRET}"), &["invalid basic string"]);
    check(&format!("api_kye = \"{SECRET}\""), &["did you mean `api_key`?"]);
    check(
        &format!("api_key = {{ fil = \"{SECRET}\" }}"),
        &["did you mean `file`?"],
    );
    check(
        "api_key = { file = \"secrets/empty.key\" }",
        &["empty.key, which is empty"],
    );
    check(
        "api_key = { file = \"secrets/open.key\" }",
        &["which others may read", "chmod 600"],
    );
    // Whoever knows our source could sign webhooks with it.
    check(
        "webhook_secrets = [{ file = \"secrets/bank-webhook.key\" }]",
        &["a secret of the simulator, which everybody knows"],
    );
}

#[test]
fn workflows_that_are_wrong_are_told_with_their_place() {
    let folder = initialised();
    let good = "name = \"one\"\nsummary = \"One.\"\nscript = \"one.rhai\"\nuses = [\"bank\"]\n";
    let check = |manifest: &str, script: &str, sentences: &[&str]| {
        write(folder.path(), "workflows/one.toml", manifest);
        write(folder.path(), "scripts/one.rhai", script);
        for args in [&["check"][..], &["check", "--format", "concise"], &["run", "one"]] {
            told(folder.path(), args, 2, sentences);
        }
        for line in bursar(folder.path(), &["check", "--format", "json"]).expect(2).json() {
            assert!(line["schema"].is_string(), "{line}");
        }
    };
    let cron = |schedule: &str, zone: &str| {
        format!("{good}[[trigger]]\ntype = \"cron\"\nschedule = \"{schedule}\"\ntimezone = \"{zone}\"\n")
    };
    check("name = \"one\n", "", &["workflows/one.toml:1:"]);
    check(
        &good.replace("uses", "use"),
        "",
        &["unknown key `use`", "did you mean `uses`?", "one.toml:4:1"],
    );
    check(
        &good.replace("one.rhai", "two.rhai"),
        "",
        &["there is no script `two.rhai`", "one.toml:3:"],
    );
    check(
        &good.replace("bank", "bnk"),
        "",
        &["connection `bnk` is not configured", "did you mean `bank`?"],
    );
    check(&cron("0 18 * *", "UTC"), "", &["found 4 fields", "one.toml:7:"]);
    check(
        &cron("0 25 * * *", "UTC"),
        "",
        &["`25` in the hour field", "one.toml:7:"],
    );
    check(
        &cron("0 18 * * *", "Europe/Berln"),
        "",
        &["did you mean `Europe/Berlin`", "one.toml:8:"],
    );
    check(
        &format!("{good}[params]\nbuffer = 1000.00\n"),
        "",
        &["floating-point number", "\"1000.00\"", "one.toml:6:"],
    );
    check(
        good,
        "import \"lib/absent\" as x;\n",
        &["absent", "scripts/one.rhai:1:"],
    );
    check(good, "let x = ;\n", &["scripts/one.rhai:1:"]);
    check(
        good,
        "let a = 1;\nbank::swep(#{});\n",
        &["swep", "did you mean `sweep`?", "scripts/one.rhai:2:"],
    );
}

#[test]
fn every_broken_file_is_told_in_every_format() {
    let broken = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/catalog/broken");
    let folder = initialised();
    let place = |name: &str| broken.join(name).display().to_string();
    let connection = "connector = \"augustus\"\nbase_url = \"http://127.0.0.1:9\"\n";
    let settings = format!(
        "[daemon]\nworkflows = {:?}\nscripts = {:?}\n[connection.bank]\n{connection}[connection.hub]\n{connection}",
        place("workflows"),
        place("scripts")
    );
    write(folder.path(), "bursar.toml", settings);
    let concise = told(folder.path(), &["check", "--format", "concise"], 2, &[]).stdout;
    let json = told(folder.path(), &["check", "--format", "json"], 2, &[]).json();
    let full = told(folder.path(), &["check"], 2, &[]).stdout;
    let findings: Vec<_> = json
        .iter()
        .filter(|line| line["schema"] == "bursar.finding/1")
        .collect();
    for finding in &findings {
        let text = |name: &str| finding[name].as_str().expect(name).to_owned();
        let place = match finding["span"]["line"].as_u64() {
            Some(line) => format!("{}:{line}:{}", text("file"), finding["span"]["column"]),
            None => text("file"),
        };
        // Only what concerns a file as a whole has no line.
        assert!(
            finding["span"].is_object() || finding["severity"] == "warning",
            "{finding}"
        );
        let line = format!("{place}: {}[{}]: {}", text("severity"), text("code"), text("message"));
        assert!(concise.lines().any(|told| told.starts_with(&line)), "{line}");
        assert!(full.contains(&format!("--> {place}\n")), "{place}");
    }
    let loaded = json.last().expect("a summary")["workflows"].as_array().expect("a list");
    for workflow in loaded {
        let name = workflow["name"].as_str().expect("a name");
        assert!(name.starts_with("good"), "{name} is let through");
    }
    assert_eq!(
        concise.lines().count(),
        findings.len() + 1,
        "one line each and the verdict"
    );
}

#[test]
fn stores_that_cannot_be_used_are_told_apart() {
    let folder = initialised();
    write(folder.path(), "file", "no folder");
    told(
        folder.path(),
        &["serve", "--state", "file"],
        6,
        &["cannot be made", "folder file"],
    );
    told(
        folder.path(),
        &["run", "nightly-sweep", "--state", "file/x"],
        6,
        &["cannot be made"],
    );
    told(
        folder.path(),
        &["runs", "ls", "--state", "absent"],
        6,
        &["there is no store yet", "bursar serve"],
    );
    fs::create_dir(folder.path().join("damaged")).expect("a folder");
    write(folder.path(), "damaged/bursar.db", [0x5a; 9_000]);
    for args in [
        &["serve"][..],
        &["run", "nightly-sweep"],
        &["runs", "ls"],
        &["journal", "show", "last"],
    ] {
        let args = [args, &["--state", "damaged"]].concat();
        told(
            folder.path(),
            &args,
            6,
            &["the store is damaged", "restore the last backup"],
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_of_a_newer_program_is_not_touched() {
    let (folder, _bank) = world().await;
    bursar(folder.path(), &["run", "nightly-sweep"]).expect(0);
    let file = folder.path().join("state/bursar.db");
    let mut connection = sqlx::SqliteConnection::connect(&format!("sqlite://{}", file.display()))
        .await
        .expect("opened");
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (99, 'later', true, x'00', 0)",
    )
    .execute(&mut connection)
    .await
    .expect("written");
    connection.close().await.expect("closed");
    for args in [&["serve"][..], &["run", "nightly-sweep"], &["runs", "ls"]] {
        told(folder.path(), args, 6, &["newer bursar", "update this program"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_and_a_taken_port_are_told() {
    let (folder, _bank) = world().await;
    let daemon = Daemon::start(folder.path());
    let holder = format!("process {}", daemon.pid());
    told(
        folder.path(),
        &["serve"],
        6,
        &["in use by another bursar process", &holder, "--state"],
    );
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("its address").to_string();
    told(
        folder.path(),
        &["serve", "--state", "other", "--listen", &address],
        1,
        &[&address, "cannot listen", "--listen"],
    );
    told(
        folder.path(),
        &["sim", "serve", "--listen", &address],
        1,
        &[&address, "cannot listen", "--listen"],
    );
}

#[test]
fn what_does_not_exist_is_told_with_what_does() {
    let folder = initialised();
    let state = ["--state", "state"];
    write(folder.path(), "p.json", "{");
    write(folder.path(), "scripts/none.rhai", "let nothing = 1;\n");
    write(
        folder.path(),
        "workflows/none.toml",
        "name = \"none\"\nsummary = \"None.\"\nscript = \"none.rhai\"\n",
    );
    told(folder.path(), &["run", "none"], 0, &["succeeded"]);
    let check = |args: &[&str], code: i32, sentences: &[&str]| {
        told(folder.path(), &[args, &state].concat(), code, sentences);
    };
    check(
        &["run", "nightly-sweeep"],
        4,
        &["no workflow `nightly-sweeep`", "did you mean `nightly-sweep`?"],
    );
    check(
        &["run", "nightly-sweep", "--payload", "p.json"],
        2,
        &["p.json is not JSON"],
    );
    check(
        &["run", "nightly-sweep", "--payload", "q.json"],
        2,
        &["q.json cannot be read"],
    );
    let unknown = "run_01JD0000000000000000000000";
    for args in [&["runs", "show"][..], &["journal", "show"]] {
        check(&[args, &[unknown]].concat(), 4, &["does not exist", "bursar runs ls"]);
    }
    check(&["runs", "cancel", unknown, "--reason", "x"], 4, &["does not exist"]);
    check(
        &["runs", "resolve", unknown, "--fail", "--reason", "x"],
        4,
        &["does not exist"],
    );
    check(
        &["runs", "resolve", "last", "--retry", "--reason", "x"],
        2,
        &["the whole id of the run", "is succeeded"],
    );
    check(
        &["runs", "resolve", "last", "--adopt", "p.json", "--reason", "x"],
        2,
        &["p.json is not JSON"],
    );
    check(
        &["events", "show", "evt_01JD0000000000000000000000"],
        4,
        &["does not exist"],
    );
    check(&["connections", "check", "bnk"], 4, &["did you mean `bank`?"]);
    check(
        &["workflows", "verify", "nightly-swep"],
        4,
        &["did you mean `nightly-sweep`?"],
    );
    check(&["workflows", "verify", "split-settlement"], 0, &["no runs to hold"]);
    check(&["runs", "ls", "--before", "zzz!"], 2, &["is not a run id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_wrong_or_missing_parks_the_run_until_it_is_right() {
    let (folder, bank) = world().await;
    let key = folder.path().join("secrets/bank.key");
    fs::write(&key, SECRET).expect("written");
    told(
        folder.path(),
        &["run", "nightly-sweep"],
        3,
        &["parked", "the key of connection `bank` was refused", "bursar runs show"],
    );
    told(
        folder.path(),
        &["runs", "show", "last"],
        0,
        &["--retry", "try again: nothing was sent"],
    );

    let settings = fs::read_to_string(folder.path().join("bursar.toml")).expect("the settings");
    write(folder.path(), "bursar.toml", settings.replace("api_key ", "# api_key "));
    let place = settings
        .lines()
        .position(|line| line == "[connection.bank]")
        .expect("it is there")
        + 1;
    told(
        folder.path(),
        &["check"],
        0,
        &["has no api_key", &format!("bursar.toml:{place}:13")],
    );
    told(
        folder.path(),
        &["run", "nightly-sweep"],
        3,
        &["parked", "has no api_key, so nothing was sent"],
    );
    told(folder.path(), &["connections", "check"], 7, &["no api_key is set"]);

    write(folder.path(), "bursar.toml", settings);
    fs::write(&key, "sandbox.demo-key").expect("written");
    let parked = newest_run(folder.path());
    told(
        folder.path(),
        &[
            "reconcile",
            "resolve",
            &parked,
            "--retry",
            "--reason",
            "the key is there",
        ],
        0,
        &["is queued"],
    );
    // Whoever drives a run takes up what waits as well.
    told(folder.path(), &["run", "nightly-sweep"], 0, &["succeeded"]);
    // A request that bears a key is made once, however often it is asked for.
    let once = ["run", "nightly-sweep", "--idempotency-key", "evening 1"];
    told(folder.path(), &once, 0, &["succeeded"]);
    let made = newest_run(folder.path());
    told(folder.path(), &once, 0, &["succeeded", "nothing was started", &made]);
    assert_eq!(newest_run(folder.path()), made);
    assert!(bank.control.effects().len() >= 2, "the money was moved");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_cannot_be_reached_is_named_with_the_place_in_the_script() {
    let (folder, bank) = world().await;
    let url = bank.url();
    bank.stop().await;
    let settings = fs::read_to_string(folder.path().join("bursar.toml")).expect("the settings");
    let settings = settings.replace("[daemon]", "[daemon]\nattempts_max = 2\nretry_base_ms = 1");
    write(folder.path(), "bursar.toml", settings);
    told(
        folder.path(),
        &["run", "nightly-sweep"],
        1,
        &[
            &format!("{url}: cannot connect: Connection refused"),
            "at nightly_sweep.rhai:",
            "`bursar connections check`",
        ],
    );
    told(folder.path(), &["connections", "check"], 7, &["cannot connect"]);
}

/// Posts bytes at the door and gives back the status.
fn post(door: &str, request: &[u8]) -> u16 {
    let mut stream = TcpStream::connect(door).expect("the door is open");
    // The door may answer and close before it has read everything.
    drop(stream.write_all(request));
    let mut answer = String::new();
    drop(stream.read_to_string(&mut answer));
    answer
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .unwrap_or_else(|| panic!("no answer: {answer:?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_that_cannot_be_trusted_leave_nothing_behind() {
    let (folder, _bank) = world().await;
    let daemon = Daemon::start(folder.path());
    let good = Signed {
        path: "/hooks/bank".to_owned(),
        secret: DEMO_WEBHOOK_SECRET,
        signed_at: SystemClock::new().now(),
        extra_headers: String::new(),
        body: deposit_body("evt_1", "EUR").to_string().into_bytes(),
    };
    let check =
        |delivery: Signed, status: u16| assert_eq!(post(&daemon.door, &delivery.request()), status, "{delivery:?}");
    check(
        Signed {
            secret: OTHER_SECRET,
            ..good.clone()
        },
        401,
    );
    check(
        Signed {
            signed_at: good.signed_at - chrono::TimeDelta::hours(1),
            ..good.clone()
        },
        401,
    );
    check(
        Signed {
            body: vec![b' '; 2 << 20],
            ..good.clone()
        },
        413,
    );
    check(
        Signed {
            body: b"{\"id\": ".to_vec(),
            ..good.clone()
        },
        400,
    );
    check(
        Signed {
            path: "/hooks/bnk".to_owned(),
            ..good.clone()
        },
        401,
    );
    let stored = bursar(folder.path(), &["events", "ls", "--json"]).expect(0);
    assert!(stored.stdout.is_empty(), "{}", stored.stdout);
    let runs = bursar(folder.path(), &["runs", "ls", "--json"]).expect(0);
    assert!(runs.stdout.is_empty(), "{}", runs.stdout);

    check(good.clone(), 200);
    check(good, 200);
    let stored = bursar(folder.path(), &["events", "ls", "--json"]).expect(0);
    assert_eq!(stored.json().len(), 1, "{}", stored.stdout);
}
