//! Signatures of deliveries: made by a provider (and the simulator), checked before anything is believed.
//!
//! Pure; the time is an argument. Every secret is tried to the end and compared in constant time, so that how
//! long a refusal takes tells nothing.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq as _};

use crate::base::clock::Instant;
use crate::base::guard::{Guard, holds};
use crate::base::secret::Secret;
use crate::model::event::Delivery;

/// How old or how far ahead a delivery may be if its table does not say: what Standard Webhooks advises.
const TOLERANCE_SECS: u32 = 300;

/// How deliveries are signed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "scheme", rename_all = "snake_case", deny_unknown_fields)]
pub enum Scheme {
    /// Standard Webhooks, symmetric (`v1`): HMAC-SHA256 over id, timestamp and body; secrets in base64 after
    /// `whsec_`.
    StandardWebhooks {
        /// How the three headers begin: `webhook`, or `svix`.
        #[serde(default = "standard_prefix")]
        header_prefix: String,
        /// How old or how far ahead a delivery may be.
        #[serde(default = "tolerance")]
        tolerance_secs: u32,
    },
    /// HMAC-SHA256 with the secret's own bytes, in a header of the provider's choice.
    HmacSha256(HmacScheme),
}

/// An HMAC in a header. Without a timestamp nothing tells a repeated delivery from a new one but the event's id.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HmacScheme {
    /// The header.
    pub header: String,
    /// What stands before each digest: `sha256=`.
    #[serde(default)]
    pub prefix: String,
    /// How a digest is written.
    pub encoding: Encoding,
    /// What stands between several signatures, of which one has to be right; without it there is one.
    pub separator: Option<String>,
    /// What is signed.
    #[serde(default)]
    pub signed: Signed,
    /// The header with the time of signing, in seconds since 1970; exactly when it is signed.
    pub timestamp_header: Option<String>,
    /// How old or how far ahead a delivery may be; 300 if nothing is said.
    pub tolerance_secs: Option<u32>,
}

/// Over what a digest is made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum Signed {
    /// The body.
    #[default]
    #[serde(rename = "body")]
    Body,
    /// The text of the timestamp, a dot, and the body.
    #[serde(rename = "timestamp.body")]
    TimestampBody,
}

/// How a digest is written. It is compared as text: another way to write the same digest is another signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// Hexadecimal in lower case.
    Hex,
    /// Hexadecimal in upper case.
    HexUpper,
    /// Base64 with padding.
    Base64,
}

impl Scheme {
    /// Standard Webhooks as its specification has it.
    pub fn standard() -> Self {
        Self::StandardWebhooks {
            header_prefix: standard_prefix(),
            tolerance_secs: TOLERANCE_SECS,
        }
    }

    /// What is wrong with it, though it can be read.
    pub fn contradiction(&self) -> Option<&'static str> {
        let Self::HmacSha256(hmac) = self else { return None };
        let timed = hmac.signed == Signed::TimestampBody;
        match (&hmac.timestamp_header, hmac.tolerance_secs) {
            (None, _) if timed => Some("`timestamp.body` is signed, and no `timestamp_header` names the timestamp"),
            (Some(_), _) if !timed => Some(
                "a timestamp that is not signed proves nothing: signed = \"timestamp.body\", or no `timestamp_header`",
            ),
            (None, Some(_)) => Some("`tolerance_secs` is of no use without a `timestamp_header`"),
            _ if hmac.header.is_empty() => Some("`header` is empty"),
            _ if hmac.separator.as_deref() == Some("") => Some("`separator` is empty"),
            _ => None,
        }
    }
}

impl HmacScheme {
    /// One digest of the body and nothing else.
    pub fn over_body(header: &str, encoding: Encoding) -> Self {
        Self {
            header: header.to_owned(),
            prefix: String::new(),
            encoding,
            separator: None,
            signed: Signed::Body,
            timestamp_header: None,
            tolerance_secs: None,
        }
    }
}

fn standard_prefix() -> String {
    "webhook".to_owned()
}

fn tolerance() -> u32 {
    TOLERANCE_SECS
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
        Scheme::HmacSha256(hmac) => {
            let before = hmac
                .timestamp_header
                .as_ref()
                .map_or(String::new(), |_| format!("{timestamp}."));
            let digest = hmac.encoding.write(&digest(&key, &[before.as_bytes(), body]));
            let mut headers = vec![(hmac.header.to_lowercase(), format!("{}{digest}", hmac.prefix))];
            headers.extend(
                hmac.timestamp_header
                    .iter()
                    .map(|header| (header.to_lowercase(), timestamp.to_string())),
            );
            headers
        }
    })
}

/// What tells a delivery from every other one of its connection, where its body has no id of an event: the signed id
/// of the message, which Standard Webhooks keeps when it delivers again; where the scheme has none, a digest of
/// connection and body. The latter is weak: two events whose bodies are equal to the last byte are taken for one, and
/// an event that is delivered again in other words is taken for another.
pub fn message_id(scheme: &Scheme, delivery: &Delivery) -> Option<String> {
    match scheme {
        Scheme::StandardWebhooks { header_prefix, .. } => {
            let id = delivery.header(&format!("{header_prefix}-id"))?;
            Some(id.to_owned()).filter(|id| !id.is_empty())
        }
        Scheme::HmacSha256(_) => {
            let mut hash = Sha256::new();
            hash.update(delivery.connection.as_bytes());
            hash.update([0]); // no name has it
            hash.update(&delivery.body);
            Some(format!("sha256:{}", Encoding::Hex.write(&hash.finalize())))
        }
    }
}

/// Whether the provider sent this delivery. Whatever the reason of a refusal, the body is hashed: how long it takes
/// tells nobody whether there is a secret, or what is wrong.
///
/// # Errors
/// [`Rejected`].
pub fn verify<'a>(
    scheme: &Scheme,
    secrets: impl IntoIterator<Item = &'a Secret>,
    delivery: &Delivery,
    now: Instant,
) -> Result<(), Rejected> {
    let mut keys: Vec<Vec<u8>> = secrets
        .into_iter()
        .filter_map(|secret| key(scheme, secret).ok())
        .collect();
    let usable = !keys.is_empty();
    if !usable {
        keys.push(vec![0; 32]); // for the work alone: nothing it signs is taken
    }
    let claim = claim(scheme, delivery, now);
    let nothing = Claim::default();
    let shown = claim.as_ref().unwrap_or(&nothing);
    let encoding = match scheme {
        Scheme::StandardWebhooks { .. } => Encoding::Base64,
        Scheme::HmacSha256(hmac) => hmac.encoding,
    };
    let mut matched = Choice::from(0);
    for key in &keys {
        let expected = encoding.write(&digest(key, &[shown.before_body.as_bytes(), &delivery.body]));
        for signature in &shown.signatures {
            matched |= expected.as_bytes().ct_eq(signature.as_bytes());
        }
    }
    claim?;
    if !usable {
        Err(Rejected::NoSecret)
    } else if bool::from(matched) || !holds(Guard::Signature) {
        Ok(())
    } else {
        Err(Rejected::Mismatch)
    }
}

/// What a delivery says of its own signature.
#[derive(Default)]
struct Claim {
    /// What was signed before the body.
    before_body: String,
    /// The digests as written; one of them has to be right.
    signatures: Vec<String>,
}

fn claim(scheme: &Scheme, delivery: &Delivery, now: Instant) -> Result<Claim, Rejected> {
    let header = |name: &str| delivery.header(&name.to_lowercase()).ok_or(Rejected::Missing);
    let hmac = match scheme {
        Scheme::HmacSha256(hmac) => hmac,
        Scheme::StandardWebhooks {
            header_prefix: prefix,
            tolerance_secs,
        } => {
            let id = header(&format!("{prefix}-id"))?;
            let timestamp = header(&format!("{prefix}-timestamp"))?;
            let signatures = header(&format!("{prefix}-signature"))?;
            fresh(timestamp, *tolerance_secs, now)?;
            return Ok(Claim {
                before_body: format!("{id}.{timestamp}."),
                // Versions we do not know are passed over: a sender may use several.
                signatures: after_prefix("v1,", signatures.split(' ')),
            });
        }
    };
    let value = header(&hmac.header)?;
    let before_body = match &hmac.timestamp_header {
        None => String::new(),
        Some(name) => {
            let timestamp = header(name)?;
            fresh(timestamp, hmac.tolerance_secs.unwrap_or(TOLERANCE_SECS), now)?;
            format!("{timestamp}.")
        }
    };
    let signatures = match &hmac.separator {
        None => after_prefix(&hmac.prefix, [value]),
        Some(separator) => after_prefix(&hmac.prefix, value.split(separator.as_str()).map(str::trim)),
    };
    if signatures.is_empty() {
        return Err(Rejected::Malformed);
    }
    Ok(Claim {
        before_body,
        signatures,
    })
}

fn after_prefix<'a>(prefix: &str, values: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let values = values.into_iter();
    values
        .filter_map(|value| Some(value.strip_prefix(prefix)?.to_owned()))
        .collect()
}

fn fresh(timestamp: &str, tolerance_secs: u32, now: Instant) -> Result<(), Rejected> {
    let seconds: i64 = timestamp.parse().map_err(|_| Rejected::Malformed)?;
    let apart = now.timestamp().abs_diff(seconds);
    if apart > u64::from(tolerance_secs) && holds(Guard::SignatureAge) {
        return Err(Rejected::Stale);
    }
    Ok(())
}

fn key(scheme: &Scheme, secret: &Secret) -> Result<Vec<u8>, BadSecret> {
    let text = secret.expose();
    let key = match scheme {
        Scheme::StandardWebhooks { .. } => STANDARD
            .decode(text.strip_prefix("whsec_").unwrap_or(text))
            .map_err(|_| BadSecret)?,
        Scheme::HmacSha256(_) => text.as_bytes().to_vec(),
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

fn hex(digest: &[u8], digits: &[u8; 16]) -> String {
    let pairs = digest.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    pairs.map(|digit| char::from(digits[usize::from(digit)])).collect()
}

impl Encoding {
    fn write(self, digest: &[u8]) -> String {
        match self {
            Self::Base64 => STANDARD.encode(digest),
            Self::Hex => hex(digest, b"0123456789abcdef"),
            Self::HexUpper => hex(digest, b"0123456789ABCDEF"),
        }
    }
}
