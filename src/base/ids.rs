//! Identifiers: prefixed newtypes, so that a run id can never be passed where an event id is wanted.
//!
//! Ids are time-ordered UUIDs (RFC 9562, version 7) written in Crockford base 32, so that text order is
//! creation order. This file is the only place that draws random bits for an id.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};
use uuid::{NoContext, Timestamp, Uuid};

use super::key::derived_uuid;

/// Crockford's base 32: no I, L, O, U, so that an id survives being read aloud.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

fn encode(bits: u128) -> String {
    (0..26)
        .rev()
        .map(|place| char::from(ALPHABET[((bits >> (place * 5)) & 31) as usize]))
        .collect()
}

fn decode(text: &str) -> Option<u128> {
    if text.len() != 26 {
        return None;
    }
    text.bytes().try_fold(0u128, |bits, byte| {
        let digit = ALPHABET
            .iter()
            .position(|letter| *letter == byte.to_ascii_uppercase())?;
        // 26 digits hold 130 bits: the first digit may only carry three.
        bits.checked_mul(32)?.checked_add(digit as u128)
    })
}

/// Text that is not an id of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a {kind} id: expected `{prefix}_` and 26 letters or digits")]
pub struct InvalidId {
    text: String,
    kind: &'static str,
    prefix: &'static str,
}

macro_rules! id {
    ($name:ident, $prefix:literal, $kind:literal, $doc:literal) => {
        #[doc = $doc]
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Uuid);

        impl $name {
            /// A new id, ordered by `now`.
            pub fn generate(now: DateTime<Utc>) -> Self {
                Self(time_ordered(now))
            }

            /// The id as the UUID it is.
            pub fn as_uuid(self) -> Uuid {
                self.0
            }

            /// An id made of a UUID that something else keeps.
            pub fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "_{}"), encode(self.0.as_u128()))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                text.strip_prefix(concat!($prefix, "_"))
                    .and_then(decode)
                    .map(|bits| Self(Uuid::from_u128(bits)))
                    .ok_or_else(|| InvalidId {
                        text: text.to_owned(),
                        kind: $kind,
                        prefix: $prefix,
                    })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?
                    .parse()
                    .map_err(serde::de::Error::custom)
            }
        }
    };
}

id!(RunId, "run", "run", "One execution of a workflow for one cause.");
id!(
    EventId,
    "evt",
    "event",
    "A verified, deduplicated fact that arrived from outside."
);
id!(
    WorkerId,
    "wrk",
    "worker",
    "One process that drives runs; the holder of leases."
);

impl RunId {
    /// The id of a run whose cause names it: the same parts and time always give the same id, and nobody without the
    /// secret can tell it beforehand. So what such a run did is found again under its name when the run itself was
    /// forgotten.
    pub fn derived(at: DateTime<Utc>, secret: &[u8; 32], parts: &[&str]) -> Self {
        let derived = derived_uuid(secret, parts).into_bytes();
        let mut bits = [0; 10];
        // The two bytes in between carry the version and the variant.
        for (bit, byte) in bits
            .iter_mut()
            .zip(derived.iter().take(6).chain(derived.iter().skip(9)))
        {
            *bit = *byte;
        }
        let millis = u64::try_from(at.timestamp_millis()).unwrap_or_default();
        Self(uuid::Builder::from_unix_timestamp_millis(millis, &bits).into_uuid())
    }

    /// The id right behind this one, if it is not the greatest.
    pub fn next(self) -> Option<Self> {
        self.0.as_u128().checked_add(1).map(|bits| Self(Uuid::from_u128(bits)))
    }

    /// Whether both are derived from the same parts, whatever their times. That makes them the same only where the parts
    /// say all of the cause and the time is no part of it, as with a request that bears a key.
    pub fn is_of_same_parts(self, other: Self) -> bool {
        self.0.as_bytes().iter().skip(6).eq(other.0.as_bytes().iter().skip(6))
    }
}

/// A time-ordered UUID (version 7) for `now`, with 74 random bits.
#[expect(clippy::cast_sign_loss, reason = "negative seconds are cut to zero just before")]
fn time_ordered(now: DateTime<Utc>) -> Uuid {
    let seconds = now.timestamp().max(0) as u64;
    Uuid::new_v7(Timestamp::from_unix(NoContext, seconds, now.timestamp_subsec_nanos()))
}

/// A random UUID (version 4): what a script's `uuid()` returns, once, recorded.
#[expect(clippy::disallowed_methods, reason = "this file is the home of random ids")]
pub fn random_uuid() -> Uuid {
    Uuid::new_v4()
}

/// A SHA-256 digest: the name of a text or of a version.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of parts, each preceded by its length, so that no two lists of parts collide.
    pub fn of<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut hasher = Sha256::new();
        for part in parts {
            hasher.update((part.len() as u64).to_be_bytes());
            hasher.update(part);
        }
        Self(hasher.finalize().into())
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// A digest made of bytes that something else keeps.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The first twelve hexadecimal digits: enough for a person.
    pub fn short(&self) -> String {
        self.to_string().chars().take(12).collect()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = InvalidDigest;

    fn from_str(text: &str) -> Result<Self, InvalidDigest> {
        let invalid = || InvalidDigest { text: text.to_owned() };
        if text.len() != 64 || !text.is_ascii() {
            return Err(invalid());
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| invalid())?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| invalid())?;
        }
        Ok(Self(bytes))
    }
}

/// Text that is not 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a digest: expected 64 hexadecimal digits")]
pub struct InvalidDigest {
    text: String,
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_survives_its_own_text() {
        let now = DateTime::from_timestamp(1_767_225_600, 5).expect("a valid instant");
        let id = RunId::generate(now);
        assert_eq!(id.to_string().parse::<RunId>(), Ok(id));
        assert!(id.to_string().parse::<EventId>().is_err());
    }

    #[test]
    fn later_ids_sort_later() {
        let at = |seconds| DateTime::from_timestamp(seconds, 0).expect("a valid instant");
        assert!(RunId::generate(at(1_000)).to_string() < RunId::generate(at(2_000)).to_string());
    }

    #[test]
    fn a_cause_gives_its_run_the_same_id_each_time() {
        let at = |millis| DateTime::from_timestamp_millis(millis).expect("a valid instant");
        let id = |millis, part: &str| RunId::derived(at(millis), &[7; 32], &["run", "sweep", part]);
        assert_eq!(id(1_000, "a"), id(1_000, "a"));
        assert_ne!(id(1_000, "a"), id(1_000, "b"));
        assert_ne!(
            id(1_000, "a"),
            RunId::derived(at(1_000), &[8; 32], &["run", "sweep", "a"])
        );
        assert!(id(1_000, "a") < id(1_001, "a"));
        assert!(id(1_000, "a") > RunId::generate(at(999)) && id(1_000, "a") < RunId::generate(at(1_001)));
    }

    #[test]
    fn only_parts_tell_what_is_of_the_same_parts() {
        let at = |millis| DateTime::from_timestamp_millis(millis).expect("a valid instant");
        let id = |millis, parts: &[&str]| RunId::derived(at(millis), &[7; 32], parts);
        let key = ["run", "pay", "manual", "invoice 1", ""];
        assert!(id(1_000, &key).is_of_same_parts(id(2_000_000, &key)));
        assert_ne!(id(1_000, &key), id(2_000_000, &key));
        // What the time tells apart has to stand among the parts.
        let slot = |millis, slot| id(millis, &["run", "pay", "cron", "0 6 * * *", slot]);
        assert!(!slot(1_000, "UTC monday").is_of_same_parts(slot(2_000, "UTC tuesday")));
        assert!(!slot(1_000, "UTC monday").is_of_same_parts(slot(1_000, "UTC tuesday")));
        let random = || RunId::generate(at(1_000));
        assert!(!random().is_of_same_parts(random()));
    }

    #[test]
    fn parts_do_not_run_together() {
        assert_ne!(
            Digest::of([b"ab".as_slice(), b"c"]),
            Digest::of([b"a".as_slice(), b"bc"])
        );
        let digest = Digest::of([b"x".as_slice()]);
        assert_eq!(digest.to_string().parse(), Ok(digest));
    }
}
