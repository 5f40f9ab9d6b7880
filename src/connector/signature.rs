//! Signatures of deliveries: made by a provider (and the simulator), checked before anything is believed.
//!
//! Pure; the time is an argument. Every secret is tried to the end and compared in constant time, so that how
//! long a refusal takes tells nothing.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::Deserialize;
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq as _};

use crate::base::clock::Instant;
use crate::base::guard::{Guard, holds};
use crate::base::secret::Secret;
use crate::model::event::Delivery;

/// How deliveries are signed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "scheme", rename_all = "snake_case", deny_unknown_fields)]
pub enum Scheme {
    /// Standard Webhooks, symmetric (`v1`): HMAC-SHA256 over id, timestamp and body; secrets in base64 after
    /// `whsec_`.
    StandardWebhooks {
        /// How the three headers begin: `webhook`, or `svix`.
        header_prefix: String,
        /// How old or how far ahead a delivery may be.
        tolerance_secs: u32,
    },
    /// HMAC-SHA256 over the body alone, with the secret's own bytes. Nothing tells a repeated delivery from a
    /// new one but the event's id.
    HmacSha256 {
        /// The header.
        header: String,
        /// What stands before the digest: `sha256=`.
        #[serde(default)]
        prefix: String,
        /// How the digest is written.
        encoding: Encoding,
    },
}

/// How a digest is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// Hexadecimal.
    Hex,
    /// Base64 with padding.
    Base64,
}

/// Why a delivery is not believed. For our own log; the sender is told nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// The connection has no usable secret.
    #[error("the connection has no webhook secret it could be checked with")]
    NoSecret,
    /// A header is not there.
    #[error("a header of the signature is missing")]
    Missing,
    /// A header cannot be read.
    #[error("a header of the signature cannot be read")]
    Malformed,
    /// It was signed too long ago, or ahead of our clock.
    #[error("its timestamp is too far from our clock")]
    Stale,
    /// No secret made this signature.
    #[error("no secret of the connection made its signature")]
    Mismatch,
}

/// A secret this scheme cannot use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a webhook secret of this provider is `whsec_` and base64 text")]
pub struct BadSecret;

/// Whether the scheme can use a secret, so that a wrong one is told at start rather than by lost deliveries.
///
/// # Errors
/// [`BadSecret`].
pub fn check_secret(scheme: &Scheme, secret: &Secret) -> Result<(), BadSecret> {
    key(scheme, secret).map(drop)
}

/// The headers that sign a delivery, as the provider makes them.
///
/// # Errors
/// [`BadSecret`].
pub fn sign(
    scheme: &Scheme,
    secret: &Secret,
    id: &str,
    timestamp: i64,
    body: &[u8],
) -> Result<Vec<(String, String)>, BadSecret> {
    let key = key(scheme, secret)?;
    Ok(match scheme {
        Scheme::StandardWebhooks { header_prefix, .. } => {
            let timestamp = timestamp.to_string();
            let digest = digest(&key, &[id.as_bytes(), b".", timestamp.as_bytes(), b".", body]);
            vec![
                (format!("{header_prefix}-id"), id.to_owned()),
                (format!("{header_prefix}-timestamp"), timestamp),
                (
                    format!("{header_prefix}-signature"),
                    format!("v1,{}", STANDARD.encode(digest)),
                ),
            ]
        }
        Scheme::HmacSha256 {
            header,
            prefix,
            encoding,
        } => {
            let digest = encoding.write(&digest(&key, &[body]));
            vec![(header.to_lowercase(), format!("{prefix}{digest}"))]
        }
    })
}

/// Whether the provider sent this delivery.
///
/// # Errors
/// [`Rejected`].
pub fn verify(scheme: &Scheme, secrets: &[Secret], delivery: &Delivery, now: Instant) -> Result<(), Rejected> {
    let keys: Vec<Vec<u8>> = secrets.iter().filter_map(|secret| key(scheme, secret).ok()).collect();
    let (candidates, prefix) = match scheme {
        Scheme::StandardWebhooks {
            header_prefix,
            tolerance_secs,
        } => {
            let header = |name| {
                delivery
                    .header(&format!("{header_prefix}-{name}"))
                    .ok_or(Rejected::Missing)
            };
            let (id, timestamp, signatures) = (header("id")?, header("timestamp")?, header("signature")?);
            let seconds: i64 = timestamp.parse().map_err(|_| Rejected::Malformed)?;
            let apart = now.timestamp().abs_diff(seconds);
            if apart > u64::from(*tolerance_secs) && holds(Guard::SignatureAge) {
                return Err(Rejected::Stale);
            }
            // Versions we do not know are passed over: a sender may use several.
            let candidates: Vec<Vec<u8>> = signatures
                .split(' ')
                .filter_map(|signature| STANDARD.decode(signature.strip_prefix("v1,")?).ok())
                .collect();
            (candidates, format!("{id}.{timestamp}."))
        }
        Scheme::HmacSha256 {
            header,
            prefix,
            encoding,
        } => {
            let value = delivery.header(&header.to_lowercase()).ok_or(Rejected::Missing)?;
            let value = value.strip_prefix(prefix.as_str()).ok_or(Rejected::Malformed)?;
            (vec![encoding.read(value).ok_or(Rejected::Malformed)?], String::new())
        }
    };
    if keys.is_empty() {
        return Err(Rejected::NoSecret);
    }
    let mut matched = Choice::from(0);
    for key in &keys {
        let expected = digest(key, &[prefix.as_bytes(), &delivery.body]);
        for candidate in &candidates {
            matched |= expected.as_slice().ct_eq(candidate);
        }
    }
    if bool::from(matched) || !holds(Guard::Signature) {
        Ok(())
    } else {
        Err(Rejected::Mismatch)
    }
}

fn key(scheme: &Scheme, secret: &Secret) -> Result<Vec<u8>, BadSecret> {
    let text = secret.expose();
    let key = match scheme {
        Scheme::StandardWebhooks { .. } => STANDARD
            .decode(text.strip_prefix("whsec_").unwrap_or(text))
            .map_err(|_| BadSecret)?,
        Scheme::HmacSha256 { .. } => text.as_bytes().to_vec(),
    };
    if key.is_empty() { Err(BadSecret) } else { Ok(key) }
}

fn digest(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

impl Encoding {
    fn write(self, digest: &[u8]) -> String {
        match self {
            Self::Base64 => STANDARD.encode(digest),
            Self::Hex => digest.iter().map(|byte| format!("{byte:02x}")).collect(),
        }
    }

    fn read(self, text: &str) -> Option<Vec<u8>> {
        match self {
            Self::Base64 => STANDARD.decode(text).ok(),
            Self::Hex if text.len().is_multiple_of(2) && text.bytes().all(|byte| byte.is_ascii_hexdigit()) => text
                .as_bytes()
                .chunks(2)
                .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
                .collect(),
            Self::Hex => None,
        }
    }
}
