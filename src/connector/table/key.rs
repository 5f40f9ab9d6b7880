//! What tells a repeated call from a new one, at each endpoint: a key in a header or in the body, a number of its own
//! that there can be only one of, or nothing.

use serde::{Deserialize, Deserializer};

use super::Method;

/// How long the keys are that bursar makes: UUIDs with their hyphens.
pub const KEY_LENGTH: usize = 36;

/// How a repeated call is told from a new one.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Idempotency {
    /// The header that carries the key.
    pub header: String,
    /// The shortest key.
    #[serde(default)]
    pub min_length: usize,
    /// The longest key.
    pub max_length: usize,
    /// Methods that take a key.
    pub methods: Vec<Method>,
    /// For how long a key protects. A connection may say otherwise.
    pub window_secs: u64,
    /// The longest window that a connection may say.
    pub window_max_secs: Option<u64>,
    /// Whether the window is our own cautious guess, the provider being silent.
    #[serde(default)]
    pub window_assumed: bool,
    /// Which answers a key is kept with.
    #[serde(default)]
    pub kept: Kept,
    /// What becomes of a call that meets the first one under its key still on its way.
    #[serde(default)]
    pub in_flight: InFlight,
    /// The header of an answer that was given before.
    pub replayed_header: Option<String>,
}

/// Which answers a key is kept with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kept {
    /// Every one.
    #[default]
    All,
    /// Those of calls that succeeded. After any other the key is free again, also where the call had its effect.
    Successes,
}

/// What becomes of a call that meets the first one under its key still on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InFlight {
    /// It is refused.
    #[default]
    Refused,
    /// The provider does not say.
    Unknown,
}

/// Where a call bears what tells it from another.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum KeyPlace {
    /// In the header that `[idempotency]` names.
    Header,
    /// In the body.
    Field(KeyField),
    /// In what it is about.
    Natural(NaturalKey),
    /// Nowhere: a second call is a second one.
    #[default]
    None,
}

/// A key in the body.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyField {
    /// Where on the wire.
    pub field: String,
    /// For how long it protects. A connection may say otherwise.
    pub window_secs: u64,
    /// Whether that is our own cautious guess, the provider being silent.
    #[serde(default)]
    pub window_assumed: bool,
    /// Which answers it is kept with.
    #[serde(default)]
    pub kept: Kept,
    /// What becomes of a call that meets the first one under it still on its way.
    #[serde(default)]
    pub in_flight: InFlight,
}

/// A number of the call that the provider takes once.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NaturalKey {
    /// The parameter.
    pub natural: String,
    /// For how long it is taken once; for good if that is left out.
    pub window_secs: Option<u64>,
}

impl KeyPlace {
    /// Whether bursar makes a key for it.
    pub fn is_made(&self) -> bool {
        matches!(self, Self::Header | Self::Field(_))
    }

    /// Whether a second call of the same is told from another one, at least for a time.
    pub fn protects(&self) -> bool {
        *self != Self::None
    }

    /// Where in the body the key stands, if it stands there.
    pub fn field(&self) -> Option<&str> {
        match self {
            Self::Field(place) => Some(&place.field),
            Self::Header | Self::Natural(_) | Self::None => None,
        }
    }

    /// Whether the same call is the same one at any time.
    pub fn is_for_good(&self) -> bool {
        matches!(self, Self::Natural(natural) if natural.window_secs.is_none())
    }
}

impl<'de> Deserialize<'de> for KeyPlace {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "expected \"none\", { field, window_secs } or { natural }")]
        enum Said {
            Word(Word),
            Field(KeyField),
            Natural(NaturalKey),
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "snake_case")]
        enum Word {
            None,
        }
        Ok(match Said::deserialize(deserializer)? {
            Said::Word(Word::None) => Self::None,
            Said::Field(place) => Self::Field(place),
            Said::Natural(place) => Self::Natural(place),
        })
    }
}
