//! Sending events: a plain HTTP/1.1 POST to loopback, signed as the provider's contract says.
//!
//! It sends once and says what came back; when to send again is decided by the world.

use std::time::Duration;

use axum::http::Uri;
use axum::http::uri::Scheme;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use uuid::Uuid;

use super::refusal::Refusal;
use crate::base::clock::Instant;
use crate::base::secret::Secret;
use crate::simulator::config::SimulatorConfig;
use crate::simulator::contract::DeliveryRule;

/// A delivery on its way out.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) delivery: Uuid,
    pub(crate) copy: bool,
    pub(crate) rule: &'static DeliveryRule,
    pub(crate) url: String,
    pub(crate) secret: Secret,
    pub(crate) event_id: Uuid,
    pub(crate) body: String,
}

impl Outgoing {
    /// How long the receiver may take for everything.
    pub(crate) fn timeout(&self, config: &SimulatorConfig) -> Duration {
        Duration::from_millis((self.rule.settings)(config).timeout_ms)
    }
}

/// Posts the delivery and returns the status of the answer; `None` when no answer came. Each attempt is signed
/// with its own time, so that a late retry is not refused as stale.
pub(crate) async fn post(outgoing: &Outgoing, now: Instant) -> Option<u16> {
    let url: Uri = outgoing.url.parse().ok()?;
    // Only plain HTTP: a stand-in on loopback speaks no TLS.
    let authority = url.authority().filter(|_| url.scheme() == Some(&Scheme::HTTP))?;
    let address = format!("{}:{}", authority.host(), authority.port_u16().unwrap_or(80));
    let path = url.path();
    let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
    let id = outgoing.event_id.to_string();
    let signed = (outgoing.rule.sign)(&outgoing.secret, &id, now.timestamp(), outgoing.body.as_bytes())?;
    let signature: String = signed
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    let head = format!(
        "POST {path}{query} HTTP/1.1\r\nhost: {authority}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         user-agent: {}\r\n{signature}connection: close\r\n\r\n",
        outgoing.body.len(),
        outgoing.rule.user_agent,
    );
    let mut stream = TcpStream::connect(address).await.ok()?;
    stream.write_all(head.as_bytes()).await.ok()?;
    stream.write_all(outgoing.body.as_bytes()).await.ok()?;
    read_status(&mut stream).await
}

/// The status of the first line: `HTTP/1.1 200 OK`.
async fn read_status(stream: &mut TcpStream) -> Option<u16> {
    let mut line = Vec::new();
    let mut chunk = [0; 256];
    while !line.contains(&b'\n') && line.len() < 4096 {
        let count = stream.read(&mut chunk).await.ok().filter(|count| *count > 0)?;
        line.extend(chunk.iter().take(count));
    }
    let text = String::from_utf8_lossy(&line);
    text.split_whitespace().nth(1)?.parse().ok()
}

/// An address events can be posted to; plain HTTP only where the settings let it pass.
pub(crate) fn check_url(url: &str, plain_allowed: bool) -> Result<String, Refusal> {
    let can_be_posted_to = url.parse::<Uri>().is_ok_and(|uri| {
        let scheme_allowed =
            uri.scheme() == Some(&Scheme::HTTPS) || plain_allowed && uri.scheme() == Some(&Scheme::HTTP);
        // The port is read late: one out of range is no error of the parser.
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        let port_given = authority.rsplit_once(':').filter(|(_, port)| !port.contains(']'));
        let port_possible = uri.port_u16().is_some() || port_given.is_none();
        let host_given = uri.host().is_some_and(|host| !host.is_empty());
        scheme_allowed && host_given && port_possible && !authority.contains('@')
    });
    // A fragment is never sent; the parser leaves it out.
    if can_be_posted_to && !url.contains('#') {
        return Ok(url.to_owned());
    }
    Err(Refusal::parameter_invalid(
        "url",
        "url is an https URI, without user or fragment",
    ))
}
