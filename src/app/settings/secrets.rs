//! Where the secrets of a connection stand, and reading them from there.
//!
//! The settings hold references only. Nothing here repeats what it read, or what stands in the place of a
//! reference: that may be the secret itself.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::base::secret::Secret;

/// Where a secret stands. Never the secret itself: settings files end up in version control.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "lowercase")]
pub(super) enum SecretRef {
    File(PathBuf),
    Env(String),
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

/// Several [`Referred`].
#[derive(Default)]
pub(super) struct ReferredList(pub(super) Vec<Referred>);

impl<'de> Deserialize<'de> for ReferredList {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = ReferredList;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(formatter, "a list: [{SECRET_EXPECTED}]")
            }

            fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<ReferredList, E> {
                Err(E::custom(SECRET_INLINE))
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut list: A) -> Result<ReferredList, A::Error> {
                let mut found = ReferredList::default();
                while let Some(reference) = list.next_element()? {
                    found.0.push(reference);
                }
                Ok(found)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

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
