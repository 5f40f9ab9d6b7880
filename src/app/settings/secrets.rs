//! Where the secrets of a connection stand, and reading them from there.
//!
//! The settings hold references only. Nothing here repeats what it read, or what stands in the place of a
//! reference: that may be the secret itself.

use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::base::clock::Instant;
use crate::base::secret::Secret;
use crate::model::value::{parse_time, time_text};

/// Where a secret stands. Never the secret itself: settings files end up in version control.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "lowercase")]
pub(super) enum SecretRef {
    File(PathBuf),
    Env(String),
}

/// Where a webhook secret stands and when it is good, as the settings have it: the line that names it. Where nothing is
/// there, what stands in its place may be the secret itself, and is forgotten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretPlace {
    key: &'static str,
    place: String,
    not_before: Option<Instant>,
    not_after: Option<Instant>,
}

impl SecretPlace {
    /// The same, good until this time at the latest; nothing if it is not good any more by then.
    pub fn until(&self, now: Instant, end: Instant) -> Option<Self> {
        let not_after = self.not_after.map_or(end, |own| own.min(end));
        (not_after >= now).then(|| Self {
            not_after: Some(not_after),
            ..self.clone()
        })
    }
}

impl fmt::Display for SecretPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{ {} = {:?}", self.key, self.place)?;
        for (key, time) in [("not_before", self.not_before), ("not_after", self.not_after)] {
            if let Some(time) = time {
                write!(f, ", {key} = \"{}\"", time_text(time))?;
            }
        }
        f.write_str(" }")
    }
}

/// A [`SecretRef`]. What else stands there may be the secret itself, so no message repeats it.
pub(super) struct Referred(pub(super) SecretRef);

impl<'de> Deserialize<'de> for Referred {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Referred;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str(SECRET_EXPECTED)
            }

            fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<Referred, E> {
                Err(E::custom(SECRET_INLINE))
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<Referred, A::Error> {
                SecretRef::deserialize(serde::de::value::MapAccessDeserializer::new(map)).map(Referred)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// A [`SecretRef`] with the time in which the secret is good.
pub(super) struct Dated {
    pub(super) reference: SecretRef,
    pub(super) not_before: Option<Instant>,
    pub(super) not_after: Option<Instant>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDated {
    file: Option<PathBuf>,
    env: Option<String>,
    not_before: Option<Moment>,
    not_after: Option<Moment>,
}

/// A time as text.
struct Moment(Instant);

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Moment;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str(MOMENT_EXPECTED)
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Moment, E> {
                let moment = parse_time(text).map(Moment);
                moment.ok_or_else(|| E::custom(format_args!("expected {MOMENT_EXPECTED}")))
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

impl<'de> Deserialize<'de> for Dated {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error as _;
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = RawDated;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str(SECRET_EXPECTED)
            }

            fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<RawDated, E> {
                Err(E::custom(SECRET_INLINE))
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<RawDated, A::Error> {
                RawDated::deserialize(serde::de::value::MapAccessDeserializer::new(map))
            }
        }
        let raw = deserializer.deserialize_any(Visitor)?;
        let reference = match (raw.file, raw.env) {
            (Some(file), None) => SecretRef::File(file),
            (None, Some(variable)) => SecretRef::Env(variable),
            _ => return Err(D::Error::custom(format_args!("expected {SECRET_EXPECTED}"))),
        };
        let (not_before, not_after) = (raw.not_before.map(|time| time.0), raw.not_after.map(|time| time.0));
        if let (Some(begin), Some(end)) = (not_before, not_after)
            && end < begin
        {
            return Err(D::Error::custom(
                "`not_after` is before `not_before`: the secret would never be good",
            ));
        }
        Ok(Self {
            reference,
            not_before,
            not_after,
        })
    }
}

impl Dated {
    /// Where it stands. A path that is relative begins at `base`.
    pub(super) fn place(&self, base: &Path, env: &dyn Fn(&str) -> Option<String>) -> SecretPlace {
        let (key, place) = match &self.reference {
            SecretRef::File(file) if base.join(file).exists() => ("file", file.display().to_string()),
            SecretRef::File(_) => ("file", "PATH".to_owned()),
            SecretRef::Env(variable) if env(variable).is_some() => ("env", variable.clone()),
            SecretRef::Env(_) => ("env", "VARIABLE".to_owned()),
        };
        SecretPlace {
            key,
            place,
            not_before: self.not_before,
            not_after: self.not_after,
        }
    }
}

/// Several [`Dated`].
#[derive(Default)]
pub(super) struct DatedList(pub(super) Vec<Dated>);

impl<'de> Deserialize<'de> for DatedList {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = DatedList;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(formatter, "a list: [{SECRET_EXPECTED}]")
            }

            fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<DatedList, E> {
                Err(E::custom(SECRET_INLINE))
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut list: A) -> Result<DatedList, A::Error> {
                let mut found = DatedList::default();
                while let Some(reference) = list.next_element()? {
                    found.0.push(reference);
                }
                Ok(found)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

const MOMENT_EXPECTED: &str = "a time in quotes, such as \"2026-12-01T00:00:00Z\"";
const SECRET_EXPECTED: &str = "{ file = \"PATH\" } or { env = \"VARIABLE\" }";
const SECRET_INLINE: &str =
    "a secret does not stand in the settings: write { file = \"PATH\" } or { env = \"VARIABLE\" }";

/// A reference that leads to no secret.
pub(super) struct Unusable {
    /// `the file secrets/bank.key`.
    pub(super) place: String,
    pub(super) reason: Reason,
    /// What to do about it.
    pub(super) help: String,
}

/// Why, as the end of a sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Reason {
    /// Nothing is there.
    #[error("which is not {0}")]
    Absent(&'static str),
    /// Something is there, and of no use.
    #[error("which {0}")]
    Wrong(String),
}

impl SecretRef {
    /// The secret. A path that is relative begins at `base`.
    pub(super) fn read(&self, base: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<Secret, Unusable> {
        let (text, place, help) = match self {
            Self::Env(variable) => (
                env(variable).ok_or(Reason::Absent("set")),
                format!("the variable {variable}"),
                format!("export {variable}, or name a file: {{ file = \"PATH\" }}"),
            ),
            Self::File(path) => {
                let path = base.join(path);
                let shown = path.display();
                (
                    secret_file(&path),
                    format!("the file {shown}"),
                    format!("put the secret there, for its owner alone: chmod 600 {shown}"),
                )
            }
        };
        let reason = match text {
            Ok(text) if !text.trim().is_empty() => return Ok(Secret::new(text.trim().to_owned())),
            Ok(_) => Reason::Wrong("is empty".to_owned()),
            Err(reason) => reason,
        };
        Err(Unusable { place, reason, help })
    }
}

/// A secret's file: only its owner may read it.
fn secret_file(path: &Path) -> Result<String, Reason> {
    let text = fs::read_to_string(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => Reason::Absent("there"),
        ErrorKind::InvalidData => Reason::Wrong("is not text".to_owned()),
        _ => Reason::Wrong(format!("cannot be read: {error}")),
    })?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = fs::metadata(path)
            .map_err(|error| Reason::Wrong(format!("cannot be looked at: {error}")))?
            .permissions()
            .mode();
        if mode & 0o077 != 0 {
            return Err(Reason::Wrong("others may read".to_owned()));
        }
    }
    Ok(text)
}
