//! Sending events: a Standard Webhooks signature and a plain HTTP/1.1 POST to loopback.
//!
//! It sends once and says what came back; when to send again is decided by the world.

use std::time::Duration;

use axum::http::Uri;
use axum::http::uri::Scheme;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use uuid::Uuid;

use crate::base::clock::Instant;
use crate::base::secret::Secret;
use crate::connector::signature::{self, BadSecret};

/// A delivery on its way out.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) delivery: Uuid,
    pub(crate) copy: bool,
    pub(crate) url: String,
    pub(crate) secret: Secret,
    pub(crate) event_id: Uuid,
    pub(crate) body: String,
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
    let signed = signature::sign(
        &scheme(),
        &outgoing.secret,
        &id,
        now.timestamp(),
        outgoing.body.as_bytes(),
    )
    .ok()?;
    let signature: String = signed
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    let head = format!(
        "POST {path}{query} HTTP/1.1\r\nhost: {authority}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         user-agent: augustus-simulator\r\n{signature}connection: close\r\n\r\n",
        outgoing.body.len(),
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

/// How long a receiver may take for everything.
pub(crate) fn timeout(timeout_ms: u64) -> Duration {
    Duration::from_millis(timeout_ms)
}

/// The provider signs as Standard Webhooks says.
fn scheme() -> signature::Scheme {
    signature::Scheme::standard()
}

/// Whether deliveries can be signed with this secret.
pub(crate) fn check_secret(secret: &str) -> Result<(), BadSecret> {
    signature::check_secret(&scheme(), &Secret::new(secret.to_owned()))
}
