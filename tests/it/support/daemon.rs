//! The real binary as a child process, on a folder of its own, beside a simulator in this process.

use std::fs;
use std::ops::{Deref, DerefMut};
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use bursar::app::site;
use bursar::server::client::ControlClient;
use bursar::server::protocol::RunReply;
use bursar::simulator::config::SimulatorConfig;
use bursar::store::Store;
use tempfile::TempDir;

/// How the daemon of a test is set: it repeats quickly.
const DAEMON: &str = "runs_max = 4\nretry_base_ms = 20\nretry_ceiling_secs = 1\npoll_first_secs = 1\n";

/// The executable under test.
pub(crate) fn program() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_bursar"))
}

/// A site whose folder goes with it, and which fails the test where it fails.
pub(crate) struct Site {
    site: site::Site,
    _folder: TempDir,
}

impl Site {
    /// A simulator with these settings and a folder with the shipped workflows; no daemon yet.
    pub(crate) async fn new(config: SimulatorConfig) -> Self {
        Self::of(TempDir::new().expect("a folder"), program(), config).await
    }

    async fn of(folder: TempDir, program: PathBuf, config: SimulatorConfig) -> Self {
        let site = site::Site::new(folder.path().to_owned(), program, config, DAEMON).await;
        Self {
            site: site.unwrap_or_else(|error| panic!("{error}")),
            _folder: folder,
        }
    }

    /// One whose daemon can be run under another program: see [`Site::wrap`].
    pub(crate) async fn to_be_wrapped(config: SimulatorConfig) -> Self {
        let folder = TempDir::new().expect("a folder");
        let script = folder.path().join("program.sh");
        symlink(
            concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/support/wrapped.sh"),
            &script,
        )
        .expect("linked");
        let site = Self::of(folder, script, config).await;
        site.wrap(&[]);
        site
    }

    /// Has the daemon run under a program that is given the command as its last arguments.
    pub(crate) fn wrap(&self, words: &[&str]) {
        let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
        let text = format!("exec {} '{}' \"$@\"\n", quoted.join(" "), program().display());
        // Under another name first: nobody may meet it half-written.
        let unfinished = self.path("program.new");
        fs::write(&unfinished, text).expect("written");
        fs::rename(unfinished, self.path("program.sh.words")).expect("renamed");
    }

    /// Has the daemon look up what became of a payment rather than send it again under its key.
    pub(crate) fn trust_no_key(&self) {
        let settings = fs::read_to_string(self.path("bursar.toml")).expect("settings");
        let settings = settings.replace("[connection.bank]\n", "[connection.bank]\nkey_window_secs = 0\n");
        fs::write(self.path("bursar.toml"), settings).expect("written");
    }

    /// Has the daemon believe a list as soon as it could hold what was sent last: half a minute rather than three.
    pub(crate) fn believe_lists_at_once(&self) {
        let (_, table) = bursar::connector::registry::EMBEDDED[0];
        let table = table
            .replace("visibility_lag_secs = 120", "visibility_lag_secs = 0")
            .replace("name  = \"augustus\"", "name  = \"quick\"");
        fs::create_dir_all(self.path("connectors")).expect("a folder");
        fs::write(self.path("connectors/quick.toml"), table).expect("written");
        let settings = fs::read_to_string(self.path("bursar.toml")).expect("settings");
        let settings = settings.replace("connector = \"augustus\"", "connector = \"quick\"");
        fs::write(self.path("bursar.toml"), settings).expect("written");
    }

    /// Starts the daemon and waits until it answers.
    pub(crate) async fn start(&mut self) {
        if let Err(error) = self.site.start().await {
            panic!("{error}");
        }
    }

    /// SIGTERM, then its exit status.
    pub(crate) async fn stop(&mut self) -> ExitStatus {
        self.site.stop().await.unwrap_or_else(|error| panic!("{error}"))
    }

    pub(crate) async fn client(&self) -> ControlClient {
        self.site.client().await.unwrap_or_else(|error| panic!("{error}"))
    }

    /// Asks the daemon for a run.
    pub(crate) async fn run(&self, workflow: &str) -> RunReply {
        self.site
            .run(workflow, "test")
            .await
            .unwrap_or_else(|error| panic!("{error}"))
    }

    /// The store, for reading.
    pub(crate) async fn store(&self) -> Arc<dyn Store> {
        self.site.store().await.unwrap_or_else(|error| panic!("{error}"))
    }
}

impl Deref for Site {
    type Target = site::Site;

    fn deref(&self) -> &Self::Target {
        &self.site
    }
}

impl DerefMut for Site {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.site
    }
}

/// How long a daemon that cannot start may take to say so.
const REFUSED_WITHIN: Duration = Duration::from_secs(20);

/// What a command answered.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Site {
    /// A command on the folder of the site, beside the daemon or without it.
    pub(crate) async fn command(&self, arguments: &[&str]) -> Said {
        let output = tokio::process::Command::new(program())
            .arg("--config")
            .arg(self.path("bursar.toml"))
            .args(arguments)
            .env_remove("BURSAR_LOG")
            .output()
            .await
            .expect("the command runs");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        Said {
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    /// A daemon that ends by itself, under another program if there is one.
    pub(crate) async fn serve_under(&self, wrapper: &[&str]) -> Said {
        let program = program().display().to_string();
        let config = self.path("bursar.toml").display().to_string();
        let words = [wrapper, &[&program, "--config", &config, "serve"]].concat();
        let ended = tokio::process::Command::new(words[0])
            .args(&words[1..])
            .env_remove("BURSAR_LOG")
            .kill_on_drop(true)
            .output();
        let output = tokio::time::timeout(REFUSED_WITHIN, ended).await;
        let output = output.expect("it ends by itself").expect("it runs");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        Said {
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }
}
