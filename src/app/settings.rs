//! Settings: `bursar.toml`, the environment, and what the command line overrides.
//!
//! Precedence: command line over `BURSAR_*` variables over the file over the defaults written here. This is
//! the only file that reads the environment, and with `secrets` the only one that reads a secret; secrets go
//! straight into a type that cannot be printed. Unknown keys are refused with a suggestion. No domain rule lives here.

mod secrets;
mod words;

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::num::{NonZeroU16, NonZeroU32};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

pub use self::secrets::SecretPlace;
use self::secrets::{Dated, DatedList, Reason, Referred, SecretRef, Unusable};
use crate::base::limits::{LEASE_DURATION, SCRIPT_STACK_BYTES, STEP_TRIED_MAX, WEBHOOK_CONNECTIONS_PER_ADDRESS};
use crate::base::network::Network;
use crate::base::secret::Secret;
use crate::base::suggest::nearest;
use crate::connector::connection::{BreakerSettings, Connection, Pace, WebhookSecret, check_base_url};
use crate::connector::redact::{Redactor, SensitiveNames};
use crate::connector::registry::Registry;
use crate::connector::signature::check_secret;
use crate::connector::table::Connector;
use crate::engine::backoff::Backoff;
use crate::engine::services::EngineSettings;
use crate::model::diagnostic::Diagnostic;
use crate::model::document::Document;
use crate::simulator::config::DEMO_SECRETS;

/// Every variable that is read, with what it overrides.
pub const VARIABLES: &[(&str, &str)] = &[
    ("BURSAR_CONFIG", "path of the settings file; ./bursar.toml if not set"),
    ("BURSAR_STATE", "folder of the store: `state` in [daemon]"),
    ("BURSAR_LISTEN", "address of the webhook door: `listen` in [daemon]"),
    (
        "BURSAR_LOG",
        "what is logged, such as info or bursar=debug: `log` in [daemon]",
    ),
    ("BURSAR_LOG_FORMAT", "human or json: `log_format` in [daemon]"),
];

/// How often missed webhooks are looked for.
const BACKFILL_MINUTES: u32 = 15;

/// What the command line gave; it outranks everything.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// The settings file.
    pub config: Option<PathBuf>,
    /// The folder of the store.
    pub state: Option<PathBuf>,
    /// The address of the webhook door.
    pub listen: Option<String>,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}

/// Everything that can be set, checked.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The settings file that was read, if one was.
    pub file: Option<PathBuf>,
    /// Folder of the store, its lock and the control socket.
    pub state: PathBuf,
    /// Folder of the manifests.
    pub workflows: PathBuf,
    /// Folder of the scripts.
    pub scripts: PathBuf,
    /// Folder of the calendars; it need not exist.
    pub calendars: PathBuf,
    /// Where webhooks arrive.
    pub listen: SocketAddr,
    /// How many connections to it one address may have.
    pub webhook_connections_per_address: usize,
    /// Proxies before it, whose word about who sent a webhook is taken.
    pub trusted_proxies: Vec<Network>,
    /// What is logged.
    pub log: String,
    /// How.
    pub log_format: LogFormat,
    /// How the engine behaves.
    pub engine: EngineSettings,
    /// How often missed webhooks are looked for in the providers' own lists of events, the first time at start.
    pub backfill_every: Option<Duration>,
    /// Whether commits wait for the disk. Only a benchmark turns it off.
    pub durable: bool,
    /// Connections by name.
    pub connections: BTreeMap<String, Arc<Connection>>,
    /// Where the webhook secrets of each connection stand.
    pub webhook_secret_places: BTreeMap<String, Vec<SecretPlace>>,
    /// Every connector, configured or not.
    pub registry: Registry,
    /// What stops only those who need it: connections without a key, tables that cannot be used.
    pub warnings: Vec<Diagnostic>,
    /// Secrets that are named and not there; none where secrets are [`Secrets::Needed`].
    pub absent_secrets: Vec<AbsentSecret>,
}

/// Whether the secrets that the settings name have to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secrets {
    /// Calls will be made and webhooks told from forged ones: one that is not there is an error.
    Needed,
    /// Nobody will be called: a machine that only checks files need not hold the keys to the accounts. What is
    /// not there is left out of its connection.
    Optional,
}

/// A secret that the settings name and that is not there.
#[derive(Debug, Clone)]
pub struct AbsentSecret {
    /// Its connection.
    pub connection: String,
    /// The key of the settings that names it: `api_key` or `webhook_secrets`.
    pub key: &'static str,
    /// What to tell about it: a warning.
    pub finding: Diagnostic,
}

/// Why there are no settings.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SettingsError {
    /// The file that was named is not there.
    #[error("there is no settings file {}", .0.display())]
    Missing(PathBuf),
    /// It cannot be read.
    #[error("{} cannot be read: {reason}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the operating system says.
        reason: String,
    },
    /// It is wrong in these places.
    #[error("the settings are wrong in {} places", .0.len())]
    Wrong(Vec<Diagnostic>),
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct RawDaemon {
    state: Option<PathBuf>,
    workflows: Option<PathBuf>,
    scripts: Option<PathBuf>,
    calendars: Option<PathBuf>,
    connectors: Option<PathBuf>,
    listen: Option<String>,
    webhook_connections_per_address: Option<NonZeroU16>,
    trusted_proxies: Vec<Network>,
    log: Option<String>,
    log_format: Option<LogFormat>,
    runs_max: Option<u16>,
    script_stack_mib: Option<u16>,
    backfill_minutes: Option<u32>,
    retry_base_ms: Option<u32>,
    retry_ceiling_secs: Option<u32>,
    attempts_max: Option<u32>,
    retry_total_hours: Option<u32>,
    poll_first_secs: Option<u32>,
    poll_ceiling_secs: Option<u32>,
    durability: Option<Durability>,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Durability {
    Full,
    Normal,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawConnection {
    connector: String,
    environment: Option<String>,
    base_url: Option<String>,
    api_key: Option<Referred>,
    #[serde(default)]
    webhook_secrets: DatedList,
    #[serde(default)]
    webhook_senders: Vec<Network>,
    #[serde(default)]
    settings: BTreeMap<String, String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    paths: BTreeMap<String, String>,
    key_window_secs: Option<u64>,
    requests_per_second: Option<NonZeroU32>,
    breaker_failures: Option<u32>,
    breaker_pause_secs: Option<NonZeroU32>,
}

/// Reads the settings.
///
/// # Errors
/// [`SettingsError`], with everything that is wrong at once.
pub fn load(overrides: &Overrides, secrets: Secrets) -> Result<Settings, SettingsError> {
    load_from(overrides, secrets, &|name| variable(name))
}

#[expect(
    clippy::disallowed_methods,
    reason = "this file is the one reader of the environment"
)]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The same with another environment, for tests.
///
/// # Errors
/// As [`load`].
pub fn load_from(
    overrides: &Overrides,
    secrets: Secrets,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Settings, SettingsError> {
    let named = overrides
        .config
        .clone()
        .or_else(|| env("BURSAR_CONFIG").map(PathBuf::from));
    let path = named.clone().unwrap_or_else(|| PathBuf::from("bursar.toml"));
    let text = match fs::read_to_string(&path) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && named.is_none() => None,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(SettingsError::Missing(path)),
        Err(error) => {
            return Err(SettingsError::Unreadable {
                file: path,
                reason: error.to_string(),
            });
        }
    };
    let file = text.as_ref().map(|_| path.clone());
    let (shown, text) = (path.display().to_string(), text.unwrap_or_default());
    let mut reader = Reader {
        file: &shown,
        document: Document::parse(&shown, &text, "settings").map_err(SettingsError::Wrong)?,
        base: path.parent().unwrap_or(Path::new("")),
        env,
        secrets,
        warnings: Vec::new(),
        absent: Vec::new(),
        webhook_secret_places: BTreeMap::new(),
    };
    match reader.settings(file, overrides) {
        Some(settings) if !reader.document.has_errors() => Ok(settings),
        _ => Err(SettingsError::Wrong(reader.document.finish())),
    }
}

struct Reader<'a> {
    file: &'a str,
    document: Document<'a>,
    /// The folder of the file: paths in it are relative to that.
    base: &'a Path,
    env: &'a dyn Fn(&str) -> Option<String>,
    secrets: Secrets,
    warnings: Vec<Diagnostic>,
    absent: Vec<AbsentSecret>,
    webhook_secret_places: BTreeMap<String, Vec<SecretPlace>>,
}

impl Reader<'_> {
    fn under(&self, path: Option<&Path>, default: &str) -> PathBuf {
        self.base.join(path.unwrap_or(Path::new(default)))
    }

    fn settings(&mut self, file: Option<PathBuf>, overrides: &Overrides) -> Option<Settings> {
        self.document.refuse_unknown(&["daemon", "connection"]);
        let daemon: RawDaemon = self.document.optional("daemon").unwrap_or_default();
        let connectors = self.under(daemon.connectors.as_deref(), "connectors");
        let (registry, warnings) = Registry::with_local(&connectors);
        self.warnings.extend(warnings);
        let connections = self.connections(&registry);
        let listen = self.listen(overrides, &daemon)?;
        let log_format = self.log_format(&daemon)?;
        let state = overrides
            .state
            .clone()
            .or_else(|| (self.env)("BURSAR_STATE").map(PathBuf::from));
        Some(Settings {
            file,
            state: state.unwrap_or_else(|| self.under(daemon.state.as_deref(), "state")),
            workflows: self.under(daemon.workflows.as_deref(), "workflows"),
            scripts: self.under(daemon.scripts.as_deref(), "scripts"),
            calendars: self.under(daemon.calendars.as_deref(), "calendars"),
            listen,
            webhook_connections_per_address: daemon
                .webhook_connections_per_address
                .map_or(WEBHOOK_CONNECTIONS_PER_ADDRESS, NonZeroU16::get)
                .into(),
            trusted_proxies: daemon.trusted_proxies.clone(),
            log: (self.env)("BURSAR_LOG")
                .or(daemon.log.clone())
                .unwrap_or_else(|| "info".to_owned()),
            log_format,
            engine: engine(&daemon),
            backfill_every: match daemon.backfill_minutes.unwrap_or(BACKFILL_MINUTES) {
                0 => None,
                minutes => Some(Duration::from_secs(u64::from(minutes) * 60)),
            },
            durable: daemon.durability != Some(Durability::Normal),
            connections,
            webhook_secret_places: std::mem::take(&mut self.webhook_secret_places),
            registry,
            warnings: std::mem::take(&mut self.warnings),
            absent_secrets: std::mem::take(&mut self.absent),
        })
    }

    fn listen(&mut self, overrides: &Overrides, daemon: &RawDaemon) -> Option<SocketAddr> {
        let given = overrides.listen.clone().or_else(|| (self.env)("BURSAR_LISTEN"));
        let listen = given.or_else(|| daemon.listen.clone());
        let listen = listen.unwrap_or_else(|| "127.0.0.1:8080".to_owned());
        let address = listen.parse().ok();
        if address.is_none() {
            self.wrong(
                &["daemon", "listen"],
                format!("`{listen}` is not an address to listen on"),
                "write an IP address and a port, such as 127.0.0.1:8080",
            );
        }
        address
    }

    fn log_format(&mut self, daemon: &RawDaemon) -> Option<LogFormat> {
        match (self.env)("BURSAR_LOG_FORMAT").as_deref() {
            None => Some(daemon.log_format.unwrap_or_default()),
            Some("human") => Some(LogFormat::Human),
            Some("json") => Some(LogFormat::Json),
            Some(other) => {
                let message = format!("`{other}` is not a log format");
                let finding = Diagnostic::error("settings", "BURSAR_LOG_FORMAT", message);
                self.document.add(finding.help("one of: human, json"));
                None
            }
        }
    }

    fn connections(&mut self, registry: &Registry) -> BTreeMap<String, Arc<Connection>> {
        let mut connections = BTreeMap::new();
        for (name, raw) in self.document.named::<RawConnection>("connection") {
            if !is_script_name(&name) {
                self.wrong(
                    &["connection", &name],
                    format!("`{name}` cannot be the name of a connection"),
                    "use a lower-case letter, then letters, digits and underscores: scripts write it as NAME::payout",
                );
            } else if let Some(connection) = self.connection(&name, raw, registry) {
                connections.insert(name, Arc::new(connection));
            }
        }
        connections
    }

    fn connection(&mut self, name: &str, raw: RawConnection, registry: &Registry) -> Option<Connection> {
        let at = ["connection", name];
        let Some(connector) = registry.get(&raw.connector) else {
            let known: Vec<&str> = registry.names().collect();
            let help = nearest(&raw.connector, known.iter().copied()).map_or_else(
                || format!("one of: {}", known.join(", ")),
                |near| format!("did you mean `{near}`?"),
            );
            let message = format!("connection `{name}`: there is no connector `{}`", raw.connector);
            self.wrong(&at, message, help);
            return None;
        };
        self.key_window(name, &raw, connector);
        let base_url = self.base_url(name, &raw, connector)?;
        let connector = self.own_words(name, &raw, connector);
        let credential = match raw.api_key {
            Some(Referred(reference)) => self.secret(name, "api_key", &reference),
            None => {
                let message = format!("connection `{name}` has no api_key: a run that calls it is parked");
                let mut finding = Diagnostic::warning("settings", self.file, message).help(format!(
                    "api_key = {{ file = \"secrets/{name}.key\" }}, and the key in that file"
                ));
                finding.span = self.document.span(&at);
                self.warnings.push(finding);
                None
            }
        };
        let webhook_secrets = self.webhook_secrets(name, &raw.webhook_secrets.0, &connector);
        // The simulator never speaks https, so this is a provider: whoever read our source could sign its webhooks.
        let known = |secret: &Secret| DEMO_SECRETS.contains(&secret.expose());
        if base_url.starts_with("https://")
            && credential
                .iter()
                .chain(webhook_secrets.iter().map(|dated| &dated.secret))
                .any(known)
        {
            self.wrong(
                &at,
                format!(
                    "connection `{name}` leads to {base_url} with a secret of the simulator, which everybody knows"
                ),
                "put your own secrets into the files named by `api_key` and `webhook_secrets`",
            );
            return None;
        }
        let default = BreakerSettings::default();
        let pace = Pace {
            requests_per_second: raw.requests_per_second.map(NonZeroU32::get),
            breaker: BreakerSettings {
                failures: raw.breaker_failures.unwrap_or(default.failures),
                pause: raw
                    .breaker_pause_secs
                    .map_or(default.pause, |secs| Duration::from_secs(secs.get().into())),
            },
        };
        Some(Connection {
            name: name.to_owned(),
            connector,
            base_url,
            credential,
            webhook_secrets,
            webhook_senders: raw.webhook_senders,
            settings: raw.settings,
            headers: raw.headers,
            key_window_secs: raw.key_window_secs,
            pace,
        })
    }

    /// Of secrets that cannot sign what the provider sends, it is told now rather than by refused deliveries.
    fn webhook_secrets(&mut self, name: &str, written: &[Dated], connector: &Connector) -> Vec<WebhookSecret> {
        let places = written.iter().map(|dated| dated.place(self.base, self.env)).collect();
        self.webhook_secret_places.insert(name.to_owned(), places);
        let mut secrets = Vec::new();
        for dated in written {
            let Some(secret) = self.secret(name, "webhook_secrets", &dated.reference) else {
                continue;
            };
            if let Some(webhook) = connector.webhook()
                && let Err(bad) = check_secret(&webhook.signature, &secret)
            {
                let message = format!("connection `{name}`: one of its `webhook_secrets` is of no use: {bad}");
                self.wrong(
                    &["connection", name],
                    message,
                    "copy it whole from where the provider shows it",
                );
            }
            secrets.push(WebhookSecret {
                secret,
                not_before: dated.not_before,
                not_after: dated.not_after,
            });
        }
        secrets
    }

    /// Where the provider listens: as written, or as its table has it for the environment.
    fn base_url(&mut self, name: &str, raw: &RawConnection, connector: &Connector) -> Option<String> {
        let at = ["connection", name];
        let url = match (&raw.base_url, &raw.environment) {
            (Some(url), _) => url.trim_end_matches('/').to_owned(),
            (None, Some(environment)) => {
                let Some(url) = connector.base_url.get(environment) else {
                    let known: Vec<&str> = connector.base_url.keys().map(String::as_str).collect();
                    let title = &connector.title;
                    let message = format!("connection `{name}`: {title} has no environment `{environment}`");
                    self.wrong(&at, message, format!("one of: {}", known.join(", ")));
                    return None;
                };
                url.clone()
            }
            (None, None) => {
                self.wrong(
                    &at,
                    format!("connection `{name}` says neither `environment` nor `base_url`"),
                    "write environment = \"sandbox\" to begin with; \"live\" moves real money",
                );
                return None;
            }
        };
        if let Err(error) = check_base_url(&url) {
            self.document.wrong(&at, format!("connection `{name}`: {error}"));
            return None;
        }
        Some(url)
    }

    /// The secret this reference leads to. One that is not there may be left out; one that is there and of no use
    /// is wrong.
    fn secret(&mut self, connection: &str, key: &'static str, reference: &SecretRef) -> Option<Secret> {
        let unusable = match reference.read(self.base, self.env) {
            Ok(secret) => return Some(secret),
            Err(unusable) => unusable,
        };
        let at = ["connection", connection];
        let Unusable { place, reason, help } = unusable;
        let message = format!("connection `{connection}`: `{key}` names {place}, {reason}");
        if matches!(reason, Reason::Absent(_)) && self.secrets == Secrets::Optional {
            let mut finding = Diagnostic::warning("settings", self.file, message).help(help);
            finding.span = self.document.span(&at);
            let connection = connection.to_owned();
            self.absent.push(AbsentSecret {
                connection,
                key,
                finding,
            });
        } else {
            self.wrong(&at, message, help);
        }
        None
    }

    fn wrong(&mut self, path: &[&str], message: String, help: impl Into<String>) {
        self.document.wrong(path, message).help = Some(help.into());
    }
}

impl Settings {
    /// What takes out what any table calls sensitive.
    pub fn redactor(&self) -> Redactor {
        let tables = self.registry.iter().map(|connector| &connector.redact);
        Redactor::new(SensitiveNames::of(tables))
    }
}

/// Names that scripts can write before `::`.
fn is_script_name(name: &str) -> bool {
    let mut letters = name.chars();
    letters.next().is_some_and(|first| first.is_ascii_lowercase())
        && letters.all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_')
        && !matches!(name, "log" | "state" | "event" | "params" | "run")
}

fn engine(daemon: &RawDaemon) -> EngineSettings {
    let seconds = |given: Option<u32>, default: u32| Duration::from_secs(u64::from(given.unwrap_or(default)));
    EngineSettings {
        runs_max: usize::from(daemon.runs_max.unwrap_or(64)).max(1),
        backoff: Backoff {
            base: Duration::from_millis(u64::from(daemon.retry_base_ms.unwrap_or(500))),
            ceiling: seconds(daemon.retry_ceiling_secs, 60),
            attempts_max: daemon
                .attempts_max
                .unwrap_or(crate::base::limits::STEP_ATTEMPTS_MAX)
                .max(1),
            total: daemon
                .retry_total_hours
                .map_or(STEP_TRIED_MAX, |hours| Duration::from_secs(u64::from(hours) * 3_600)),
        },
        poll_first: seconds(daemon.poll_first_secs, 30),
        poll_ceiling: seconds(daemon.poll_ceiling_secs, 900),
        lease: LEASE_DURATION,
        // Below this an ordinary script has no room.
        stack_bytes: daemon
            .script_stack_mib
            .map_or(SCRIPT_STACK_BYTES, |mib| usize::from(mib.max(8)) << 20),
        budget: crate::script::Budget::default(),
    }
}
