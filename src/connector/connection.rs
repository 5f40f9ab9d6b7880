//! Connections: a connector with an address and credentials, under the name scripts use.
//!
//! Where these come from is `app::settings`; this file only says what one is.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::table::{Connector, Endpoint, KeyPlace, Place};
use crate::base::clock::Instant;
use crate::base::guard::{Guard, holds};
use crate::base::network::Network;
use crate::base::secret::Secret;
use crate::base::suggest::nearest;

/// A configured connector.
#[derive(Debug, Clone)]
pub struct Connection {
    /// The name scripts and manifests use.
    pub name: String,
    /// What it connects to.
    pub connector: Arc<Connector>,
    /// Where the provider listens.
    pub base_url: String,
    /// What calls are authorised with.
    pub credential: Option<Secret>,
    /// What deliveries are signed with; several while one is being replaced.
    pub webhook_secrets: Vec<WebhookSecret>,
    /// Where deliveries may come from, if not from everywhere. A second lock: the signature is the first.
    pub webhook_senders: Vec<Network>,
    /// What the table lets a connection say: `[connection.NAME.settings]`.
    pub settings: BTreeMap<String, String>,
    /// Headers of its own, whose names no table knows: `[connection.NAME.headers]`.
    pub headers: BTreeMap<String, String>,
    /// For how long the provider honours a key, if the user knows better than the table.
    pub key_window_secs: Option<u64>,
    /// How fast it is asked, and when it is left alone.
    pub pace: Pace,
}

/// What deliveries are signed with, for a time.
#[derive(Debug, Clone)]
pub struct WebhookSecret {
    /// The secret.
    pub secret: Secret,
    /// Before this it is as if it were not there.
    pub not_before: Option<Instant>,
    /// And after this.
    pub not_after: Option<Instant>,
}

impl WebhookSecret {
    /// One that is good at any time.
    pub fn always(secret: Secret) -> Self {
        Self {
            secret,
            not_before: None,
            not_after: None,
        }
    }

    /// Whether it is good at this time; both ends belong to it.
    pub fn is_valid(&self, now: Instant) -> bool {
        let begun = self.not_before.is_none_or(|begin| begin <= now);
        let ended = self.not_after.is_some_and(|end| end < now);
        begun && !ended || !holds(Guard::SecretValid)
    }
}

/// How fast a connection is asked, and when it is left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pace {
    /// The most requests in a second; what the table says, if that says something, when absent.
    pub requests_per_second: Option<u32>,
    /// When nothing new is begun.
    pub breaker: BreakerSettings,
}

/// When nothing new is begun on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerSettings {
    /// After so many calls in a row without a usable answer; 0: never.
    pub failures: u32,
    /// How long, before it is asked whether it answers again.
    pub pause: Duration,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self {
            failures: 5,
            pause: Duration::from_secs(30),
        }
    }
}

/// An address a credential must not be sent to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadAddress {
    /// It is no address.
    #[error("`{0}` is not a web address: expected something like https://api.example.com")]
    NotAnAddress(String),
    /// Everybody on the way could read the credential.
    #[error("`{0}` is not encrypted: use https (plain http is taken for this machine and private networks only)")]
    NotEncrypted(String),
}

impl Connection {
    /// The most requests in a second, if somebody says so.
    pub fn requests_per_second(&self) -> Option<u32> {
        let table = self.connector.rate.as_ref();
        self.pace
            .requests_per_second
            .or_else(|| table.map(|rate| rate.requests_per_second.get()))
    }

    /// What it says under a setting of its table: its own word, else the table's.
    pub fn setting(&self, name: &str) -> Option<&str> {
        let own = self.settings.get(name);
        own.or_else(|| self.connector.setting(name)?.default.as_ref())
            .map(String::as_str)
    }

    /// The secrets a delivery may be signed with now.
    pub fn valid_secrets(&self, now: Instant) -> impl Iterator<Item = &Secret> {
        let valid = self.webhook_secrets.iter().filter(move |secret| secret.is_valid(now));
        valid.map(|secret| &secret.secret)
    }

    /// For how long a key sent to this endpoint protects; none if it takes no key, or one that protects for good.
    pub fn key_window(&self, endpoint: &Endpoint) -> Option<Duration> {
        let table = self.connector.idempotency.as_ref();
        let of_table = match &endpoint.key {
            KeyPlace::Header => table?.window_secs,
            KeyPlace::Field(place) => place.window_secs,
            KeyPlace::Natural(natural) => natural.window_secs?,
            KeyPlace::None => return None,
        };
        let said = self.key_window_secs.unwrap_or(of_table);
        let most = table.and_then(|table| table.window_max_secs);
        let most = most.filter(|_| holds(Guard::KeyWindowMost));
        Some(Duration::from_secs(most.map_or(said, |most| said.min(most))))
    }
}

/// Something a connection says that its table has no room for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrongWord {
    /// The setting or header.
    pub key: String,
    /// What is wrong with it.
    pub message: String,
    /// What to write instead.
    pub help: String,
}

/// What is wrong with the settings of a connection: names its table does not know, and values it does not take. Empty
/// if nothing is.
pub fn wrong_settings(connector: &Connector, settings: &BTreeMap<String, String>) -> Vec<WrongWord> {
    let known = || connector.settings().map(|(name, _)| name);
    let wrong = settings.iter().filter_map(|(key, value)| {
        let title = &connector.title;
        let (message, help) = match connector.setting(key) {
            None => {
                let help = match nearest(key, known()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None if known().next().is_none() => "it has none: leave it out".to_owned(),
                    None => format!("one of: {}", known().collect::<Vec<_>>().join(", ")),
                };
                (format!("{title} has no setting `{key}`"), help)
            }
            Some(setting) if !setting.values.is_empty() && !setting.values.contains(value) => (
                format!("the setting `{key}` cannot be `{value}`"),
                format!("one of: {}. {}", setting.values.join(", "), setting.doc),
            ),
            Some(setting) if value.is_empty() => (format!("the setting `{key}` says nothing"), setting.doc.clone()),
            Some(_) => return None,
        };
        let key = key.clone();
        Some(WrongWord { key, message, help })
    });
    wrong.collect()
}

/// What is wrong with the headers of a connection: what is no header, and what others write. Empty if nothing is.
pub fn wrong_headers(connector: &Connector, headers: &BTreeMap<String, String>) -> Vec<WrongWord> {
    let wrong = headers.iter().filter_map(|(key, value)| {
        let is_param = |endpoint: &Endpoint| {
            let mut params = endpoint.params_in(Place::Header);
            params.any(|param| param.wire_name().eq_ignore_ascii_case(key))
        };
        let (message, help) = if !is_header_name(key) || header_text(value).is_none() {
            (
                // What stands there may be a secret.
                format!("`{key}` is no header"),
                "a name has letters, digits and `-`; a value visible ASCII".to_owned(),
            )
        } else if let Some(holder) = connector.writes_header(key) {
            (
                format!("the header `{key}` is written by {holder}"),
                "leave it out".to_owned(),
            )
        } else if connector.endpoints().any(is_param) {
            (
                format!("the header `{key}` is an argument of calls"),
                "leave it out, or write it as a setting if there is one".to_owned(),
            )
        } else {
            return None;
        };
        let key = key.clone();
        Some(WrongWord { key, message, help })
    });
    wrong.collect()
}

/// What is wrong with the paths of a connection: endpoints that its table does not have, and paths that could not stand
/// for its own. Empty if nothing is.
pub fn wrong_paths(connector: &Connector, paths: &BTreeMap<String, String>) -> Vec<WrongWord> {
    let wrong = paths.iter().filter_map(|(key, path)| {
        let title = &connector.title;
        let Some(endpoint) = connector.endpoint(key) else {
            let known = connector.endpoints().map(|endpoint| endpoint.name.as_str());
            let help = match nearest(key, known) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("`bursar primitives --connector {}` lists them", connector.name),
            };
            let key = key.clone();
            let message = format!("{title} has no call `{key}`");
            return Some(WrongWord { key, message, help });
        };
        let is_path = |path: &str| {
            let mut segments = path.split('/').skip(1).peekable();
            let has_segments = segments.peek().is_some();
            let is_segment = |segment: &str| {
                let is_visible = segment.bytes().all(|byte| byte.is_ascii_graphic());
                is_visible && !segment.contains(['?', '#', '\\']) && !matches!(segment, "" | "." | "..")
            };
            path.starts_with('/') && has_segments && segments.all(is_segment)
        };
        let message = if !is_path(path) {
            format!("`{key}` cannot have the path `{path}`")
        } else if params_of(path) != params_of(&endpoint.path) {
            format!("the path of `{key}` has other parameters: `{path}`")
        } else if let Some(other) = connector.endpoints().find(|other| {
            let own = paths.get(&other.name).unwrap_or(&other.path);
            other.name != *key && other.method == endpoint.method && own == path && other.path != endpoint.path
        }) {
            format!("`{key}` cannot have the path of `{}`", other.name)
        } else {
            return None;
        };
        let help = format!(
            "the table has `{}`: the same names in braces, and no query",
            endpoint.path
        );
        let key = key.clone();
        Some(WrongWord { key, message, help })
    });
    wrong.collect()
}

/// What is filled in in a path, in an order of its own; what is no name alone between slashes stands as it is.
fn params_of(path: &str) -> Vec<&str> {
    let mut params: Vec<&str> = path.split('/').filter(|segment| segment.contains(['{', '}'])).collect();
    params.sort_unstable();
    params
}

/// Whether a provider could call a header so.
pub fn is_header_name(name: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    !name.is_empty() && name.bytes().all(is_letter)
}

/// A text that a header takes as it is: visible ASCII, with spaces only in between.
pub fn header_text(text: &str) -> Option<&str> {
    let is_visible = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
    (!text.is_empty() && text.trim() == text && text.bytes().all(is_visible)).then_some(text)
}

/// Whether a credential may be sent to this address.
///
/// # Errors
/// [`BadAddress`], which says what to write instead.
pub fn check_base_url(text: &str) -> Result<(), BadAddress> {
    let not_an_address = || BadAddress::NotAnAddress(text.to_owned());
    let url = reqwest::Url::parse(text).map_err(|_| not_an_address())?;
    let host = url.host_str().ok_or_else(not_an_address)?;
    let has_extras = url.query().is_some() || url.fragment().is_some() || !url.username().is_empty();
    match url.scheme() {
        _ if has_extras => Err(not_an_address()),
        "https" => Ok(()),
        "http" if is_private(host) => Ok(()),
        "http" => Err(BadAddress::NotEncrypted(text.to_owned())),
        _ => Err(not_an_address()),
    }
}

/// This machine, a private network, or a name without a dot, which no public resolver knows.
fn is_private(host: &str) -> bool {
    match host
        .trim_matches(['[', ']'])
        .parse::<IpAddr>()
        .map(|address| address.to_canonical())
    {
        Ok(IpAddr::V4(address)) => address.is_loopback() || address.is_private(),
        Ok(IpAddr::V6(address)) => address.is_loopback() || address.is_unique_local(),
        Err(_) => !host.contains('.'),
    }
}
