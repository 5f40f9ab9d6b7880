//! The whole path: a simulated bank, the real binary as daemon and as command.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use bursar::base::clock::SystemClock;
use bursar::simulator::config::SimulatorConfig;
use bursar::simulator::faults::{FaultAction, FaultRule, When};
use bursar::simulator::{Running, Simulator};
use bursar::store::Store as _;
use bursar::store::sqlite::{SqliteOptions, SqliteStore};
use tempfile::{TempDir, tempdir};

use super::harness::{bursar, command};

/// A folder as `init` makes it, with its connection led to a simulated bank.
pub(super) async fn world() -> (TempDir, Running) {
    let bank = Simulator::start(SimulatorConfig::demo(), Arc::new(SystemClock::new()))
        .await
        .expect("the simulator starts");
    let folder = tempdir().expect("a folder");
    bursar(folder.path(), &["init"]).expect(0);
    let settings = folder.path().join("bursar.toml");
    let text = fs::read_to_string(&settings)
        .expect("init made it")
        .replace("http://127.0.0.1:4010", &bank.url())
        .replace("# listen    = \"127.0.0.1:8080\"", "listen = \"127.0.0.1:0\"");
    fs::write(settings, text).expect("written");
    (folder, bank)
}

/// A daemon that ends with the test.
pub(super) struct Daemon {
    child: Child,
    /// Where webhooks arrive: an address with its port.
    pub(super) door: String,
}

impl Daemon {
    pub(super) fn start(folder: &Path) -> Self {
        let mut child = command(folder, &["serve"])
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("the daemon starts");
        let mut lines = BufReader::new(child.stderr.take().expect("its log"));
        let mut seen = String::new();
        loop {
            let mut line = String::new();
            let read = lines.read_line(&mut line).expect("its log");
            assert!(read > 0, "the daemon ended: {seen}");
            seen.push_str(&line);
            if line.contains("workflows  ") {
                break;
            }
        }
        // Whoever writes a log nobody reads waits for ever once the pipe is full.
        std::thread::spawn(move || lines.lines().for_each(drop));
        let (_, rest) = seen.split_once("http://").expect("the address of the door");
        let door = rest.split(['/', ')']).next().expect("an address").to_owned();
        Self { child, door }
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    fn stop(mut self) -> Option<i32> {
        let pid = self.pid().to_string();
        let told = Command::new("kill").args(["-TERM", &pid]).status().expect("kill runs");
        assert!(told.success());
        self.child.wait().expect("it ends").code()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// How many payouts the bank has made.
fn payouts(bank: &Running) -> usize {
    bank.control
        .effects()
        .iter()
        .filter(|effect| effect.kind == "payout")
        .count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_without_a_daemon_prints_its_steps_and_moves_the_money() {
    let (folder, bank) = world().await;
    let ran = bursar(folder.path(), &["run", "nightly-sweep"]).expect(0);
    assert!(
        ran.stdout.contains("bank.create_payout EUR 47,250.00"),
        "{}",
        ran.stdout
    );
    assert!(ran.stdout.contains("succeeded in "), "{}", ran.stdout);
    assert_eq!(payouts(&bank), 2);
    let again = bursar(folder.path(), &["run", "nightly-sweep", "--json"])
        .expect(0)
        .json();
    assert_eq!(again.len(), 1, "one object and nothing else");
    assert_eq!(again[0]["state"], "succeeded");
    assert_eq!(payouts(&bank), 2, "nothing is left to move");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_exit_code_of_a_run_is_its_outcome() {
    let (folder, _bank) = world().await;
    let payload = folder.path().join("event.json");
    fs::write(&payload, r#"{"destination_account_id": "nowhere"}"#).expect("written");
    let ran = bursar(
        folder.path(),
        &["run", "convert-stablecoin-deposits", "--payload", "event.json"],
    )
    .expect(1);
    assert!(ran.stdout.contains("invalid_argument"), "{}", ran.stdout);

    fs::write(folder.path().join("scripts/wait.rhai"), "sleep(\"1h\");\n").expect("written");
    let manifest = "name = \"wait\"\nsummary = \"Waits.\"\nscript = \"wait.rhai\"\nuses = []\n";
    fs::write(folder.path().join("workflows/wait.toml"), manifest).expect("written");
    let ran = bursar(folder.path(), &["run", "wait", "--patience", "0"]).expect(3);
    assert!(ran.stdout.contains("waiting"), "{}", ran.stdout);
    assert!(ran.stderr.contains("bursar serve"), "{}", ran.stderr);
    // A bad key parks the run: nothing goes on until a person acts.
    fs::write(folder.path().join("secrets/bank.key"), "sandbox.other\n").expect("written");
    let ran = bursar(folder.path(), &["run", "nightly-sweep"]).expect(3);
    assert!(ran.stderr.contains("bursar runs show"), "{}", ran.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_go_through_the_daemon_while_it_runs() {
    let (folder, bank) = world().await;
    let daemon = Daemon::start(folder.path());
    let ran = bursar(folder.path(), &["run", "nightly-sweep", "--param", "buffer=2000.00"]).expect(0);
    assert!(
        ran.stdout.contains("above the buffer of EUR 2,000.00"),
        "{}",
        ran.stdout
    );
    assert_eq!(payouts(&bank), 2);
    let detached = bursar(folder.path(), &["run", "nightly-sweep", "--detach", "--json"])
        .expect(0)
        .json();
    assert_eq!(detached[0]["workflow"], "nightly-sweep");
    bursar(folder.path(), &["run", "nightly-swep"]).expect(4);

    let listed = bursar(folder.path(), &["workflows", "ls"]).expect(0);
    assert!(
        listed.stderr.contains("as the running daemon has them"),
        "{}",
        listed.stderr
    );
    assert!(listed.stdout.contains("split-settlement"), "{}", listed.stdout);
    let second = bursar(folder.path(), &["serve"]).expect(6);
    assert!(
        second.stderr.contains("in use by another bursar process"),
        "{}",
        second.stderr
    );
    let status = bursar(folder.path(), &["status"]).expect(0);
    for part in ["running since ", &daemon.door.to_string(), "2 succeeded"] {
        assert!(status.stdout.contains(part), "{part}: {}", status.stdout);
    }
    let paused = ["schedule", "pause", "nightly-sweep", "--reason", "holidays"];
    bursar(folder.path(), &paused).expect(0);
    bursar(folder.path(), &["status"]).expect(0);
    fs::write(folder.path().join("workflows/broken.toml"), "name = 5\n").expect("written");
    // The daemon sees the file a moment later.
    let waits = loop {
        let status = bursar(folder.path(), &["status", "--json"]);
        if status.code == Some(3) {
            break status.json().remove(0);
        }
    };
    let told = waits["waits_for_a_person"][0].as_str().expect("a sentence");
    assert!(told.ends_with("in the files of workflows: bursar check"), "{told}");
    assert_eq!(daemon.stop(), Some(0));
    let nobody = bursar(folder.path(), &["status"]).expect(7);
    assert!(nobody.stderr.contains("bursar serve"), "{}", nobody.stderr);
    // Somebody holds the store who does not answer: a daemon that is not up yet.
    let store = SqliteStore::open(&folder.path().join("state"), SqliteOptions::default()).await;
    let starting = bursar(folder.path(), &["status"]).expect(7);
    assert!(
        starting.stderr.contains("a process holds the store"),
        "{}",
        starting.stderr
    );
    assert!(!starting.stderr.contains("bursar serve"), "{}", starting.stderr);
    store.expect("opened").close().await.expect("closed");
    let listed = bursar(folder.path(), &["workflows", "ls"]).expect(0);
    assert!(listed.stderr.contains("no daemon is running here"), "{}", listed.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_run_is_ended_through_the_daemon() {
    let (folder, _bank) = world().await;
    fs::write(folder.path().join("scripts/wait.rhai"), "sleep(\"1h\");\n").expect("written");
    let manifest = "name = \"wait\"\nsummary = \"Waits.\"\nscript = \"wait.rhai\"\nuses = []\n";
    fs::write(folder.path().join("workflows/wait.toml"), manifest).expect("written");
    let _daemon = Daemon::start(folder.path());
    bursar(folder.path(), &["run", "wait", "--patience", "0"]).expect(3);
    let ended = bursar(folder.path(), &["runs", "cancel", "last", "--reason", "enough"]).expect(0);
    assert!(ended.stdout.contains("is cancelled"), "{}", ended.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_tried_by_one_harmless_read() {
    let (folder, bank) = world().await;
    let checked = bursar(folder.path(), &["connections", "check", "--json"])
        .expect(0)
        .json();
    assert_eq!(checked[0]["authorised"], true);
    assert_eq!(checked[0]["endpoint"], "retrieve_api_key");
    assert!(
        checked[0]["scopes"]
            .as_array()
            .is_some_and(|scopes| scopes.iter().any(|scope| scope == "payouts:write"))
    );
    assert!(bank.control.effects().is_empty());
    fs::write(folder.path().join("secrets/bank.key"), "sandbox.other\n").expect("written");
    let refused = bursar(folder.path(), &["connections", "check", "bank"]).expect(5);
    assert!(refused.stdout.contains("refused"), "{}", refused.stdout);
    bank.stop().await;
    bursar(folder.path(), &["connections", "check", "bank"]).expect(7);
}

/// Where no read shows the key, the one that is made may be beyond its scopes: that is no refused key.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_may_not_make_the_harmless_read_is_not_called_refused() {
    let (folder, bank) = world().await;
    let (_, table) = bursar::connector::registry::EMBEDDED[0];
    let table = table
        .replace("[endpoint.retrieve_api_key]", "[endpoint.a_read]")
        .replace("shows_key = true\n", "")
        .replace("name  = \"augustus\"", "name  = \"silent\"");
    fs::create_dir_all(folder.path().join("connectors")).expect("a folder");
    fs::write(folder.path().join("connectors/silent.toml"), table).expect("written");
    let settings = fs::read_to_string(folder.path().join("bursar.toml")).expect("settings");
    let settings = settings.replace("connector = \"augustus\"", "connector = \"silent\"");
    fs::write(folder.path().join("bursar.toml"), settings).expect("written");
    for (status, exit, key, told) in [
        (403, 0, "good", "the key is valid but may not make the call `a_read`"),
        (401, 5, "refused", "answered 401"),
    ] {
        bank.control.clear_faults();
        let refusal = FaultAction::Status {
            status,
            when: When::Before,
            retry_after_secs: None,
        };
        bank.control.add_fault(FaultRule::on("retrieve_api_key", refusal));
        let checked = bursar(folder.path(), &["connections", "check"]).expect(exit);
        assert!(
            checked.stdout.contains(key) && checked.stdout.contains(told),
            "{}",
            checked.stdout
        );
        let json = bursar(folder.path(), &["connections", "check", "--json"])
            .expect(exit)
            .json();
        assert_eq!(json[0]["authorised"], status == 403);
    }
}

#[test]
fn a_simulated_bank_introduces_itself() {
    let folder = tempdir().expect("a folder");
    let mut child = command(
        folder.path(),
        &["sim", "serve", "--listen", "127.0.0.1:0", "--seed", "7", "--json"],
    )
    .stdout(Stdio::piped())
    .spawn()
    .expect("it starts");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("its output"))
        .read_line(&mut line)
        .expect("a line");
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    let told: serde_json::Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!(told["schema"], "bursar.simulator/1");
    assert!(
        told["base_url"]
            .as_str()
            .is_some_and(|url| url.starts_with("http://127.0.0.1:"))
    );
    assert!(told["accounts"].as_array().is_some_and(|accounts| accounts.len() > 5));
}
