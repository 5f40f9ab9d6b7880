//! Sending events: a Standard Webhooks signature and a plain HTTP/1.1 POST to loopback.
//!
//! It sends once and says what came back; when to send again is decided by the world.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use uuid::Uuid;

/// A delivery on its way out.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) delivery: Uuid,
    pub(super) copy: bool,
    pub(super) url: String,
    pub(super) secret: String,
    pub(super) event_id: Uuid,
    /// Of this attempt, so that a late retry is not refused as stale.
    pub(super) timestamp: i64,
    pub(super) body: String,
}

/// Posts the delivery and returns the status of the answer; `None` when no answer came.
pub(super) async fn post(outgoing: &Outgoing) -> Option<u16> {
    // Only plain HTTP: a stand-in on loopback speaks no TLS.
    let rest = outgoing.url.strip_prefix("http://")?;
    let (authority, path) = rest
        .split_once('/')
        .map_or((rest, ""), |(authority, path)| (authority, path));
    let address = if authority.contains(':') {
        authority.to_owned()
    } else {
        format!("{authority}:80")
    };
    let id = outgoing.event_id.to_string();
    let signature = sign(&outgoing.secret, &id, outgoing.timestamp, outgoing.body.as_bytes())?;
    let head = format!(
        "POST /{path} HTTP/1.1\r\nhost: {authority}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         user-agent: augustus-simulator\r\nwebhook-id: {id}\r\nwebhook-timestamp: {}\r\nwebhook-signature: {signature}\r\n\
         connection: close\r\n\r\n",
        outgoing.body.len(),
        outgoing.timestamp,
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
pub(super) fn timeout(timeout_ms: u64) -> Duration {
    Duration::from_millis(timeout_ms)
}

/// The Standard Webhooks signature, version 1. `None` when the secret is not `whsec_` and base64.
pub(super) fn sign(secret: &str, id: &str, timestamp: i64, body: &[u8]) -> Option<String> {
    let key = STANDARD.decode(secret.strip_prefix("whsec_")?).ok()?;
    let mut message = format!("{id}.{timestamp}.").into_bytes();
    message.extend_from_slice(body);
    Some(format!("v1,{}", STANDARD.encode(hmac_sha256(&key, &message))))
}

/// HMAC (RFC 2104) over SHA-256.
fn hmac_sha256(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut block = [0u8; 64];
    if key.len() > block.len() {
        let hashed: [u8; 32] = Sha256::digest(key).into();
        block.iter_mut().zip(hashed).for_each(|(slot, byte)| *slot = byte);
    } else {
        block.iter_mut().zip(key).for_each(|(slot, byte)| *slot = *byte);
    }
    let mut inner = Sha256::new_with_prefix(block.map(|byte| byte ^ 0x36));
    inner.update(message);
    let mut outer = Sha256::new_with_prefix(block.map(|byte| byte ^ 0x5c));
    outer.update(inner.finalize());
    outer.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_the_one_the_reference_libraries_make() {
        let body = br#"{"test": 2432232314}"#;
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let signature = sign(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body);
        assert_eq!(
            signature.as_deref(),
            Some("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")
        );
    }
}
