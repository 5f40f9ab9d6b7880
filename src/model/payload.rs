//! What an event carries: JSON text as the provider sent it, read when somebody asks for it.
//!
//! Most of it is never asked for, and a tree of it costs more than all else that is done to admit an event. The
//! text was walked through once, so whoever asks gets every digit of it. Pure; it knows no provider.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value as Json;

use super::value::{ValueError, read_number};
use crate::base::limits::VALUE_DEPTH_MAX;

/// How deep a payload stands in the document that scripts see.
const DEPTH: usize = 1;
/// The key under which the parser hands over the digits of a number, so that none is lost.
const NUMBER: &str = "$serde_json::private::Number";

/// A text that cannot be a payload.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// It is not JSON.
    #[error("it is not JSON")]
    NotJson,
    /// Scripts could not be given it: something would be lost.
    #[error(transparent)]
    NotExact(#[from] ValueError),
}

/// JSON text of which scripts can be given every digit.
#[derive(Debug, Clone)]
pub struct Payload(String);

impl Payload {
    /// Takes a text after a walk through it.
    ///
    /// # Errors
    /// [`PayloadError`]: what a script could not be given must not be admitted, its run would fail for ever.
    pub fn read(text: &str) -> Result<Self, PayloadError> {
        let found = Cell::new(None);
        let mut parser = serde_json::Deserializer::from_str(text);
        let exact = Exact {
            depth: DEPTH,
            found: &found,
        };
        match exact.deserialize(&mut parser).and_then(|()| parser.end()) {
            Ok(()) => Ok(Self(text.to_owned())),
            Err(_) => Err(found.take().map_or(PayloadError::NotJson, PayloadError::NotExact)),
        }
    }

    /// The text, as it came.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// What it says. It was walked through when it was taken, so it can be read; should that ever be wrong, it says
    /// nothing, and a script that asks for something in it fails by itself.
    pub fn json(&self) -> Json {
        serde_json::from_str(&self.0).unwrap_or_default()
    }
}

impl From<&Json> for Payload {
    /// For a document of our own making, which need not be checked.
    fn from(json: &Json) -> Self {
        Self(json.to_string())
    }
}

impl From<Json> for Payload {
    fn from(json: Json) -> Self {
        Self::from(&json)
    }
}

/// Equal if they say the same, however it is written.
impl PartialEq for Payload {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0 || self.json() == other.json()
    }
}

impl Serialize for Payload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.json().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Json::deserialize(deserializer).map(Self::from)
    }
}

/// Walks through a JSON text and keeps nothing of it. The answer is that of [`super::value::Value::from_plain`].
struct Exact<'f> {
    depth: usize,
    /// Why it ended early, if it was not for the syntax.
    found: &'f Cell<Option<ValueError>>,
}

impl Exact<'_> {
    fn below(&self) -> Self {
        Self {
            depth: self.depth + 1,
            found: self.found,
        }
    }

    fn refuse<E: de::Error>(&self, error: ValueError) -> E {
        self.found.set(Some(error));
        E::custom("not exact")
    }
}

impl<'de> DeserializeSeed<'de> for Exact<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        if self.depth > VALUE_DEPTH_MAX {
            return Err(self.refuse(ValueError::TooDeep));
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Exact<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    // Whole numbers of these sizes are all held; others come by their digits.
    fn visit_i64<E: de::Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: de::Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(self.below())?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let mut is_number = entries.next_key_seed(KeyIs(NUMBER))?;
        if is_number == Some(true) {
            let digits: Cow<'_, str> = entries.next_value()?;
            // Or an object of somebody else's with this very key, which is read as a number if it is one.
            digits.parse::<serde_json::Number>().map_err(de::Error::custom)?;
            return match entries.next_key_seed(KeyIs(NUMBER))? {
                None => read_number(&digits).map(drop).map_err(|error| self.refuse(error)),
                Some(_) => Err(de::Error::custom("more than a number")),
            };
        }
        while is_number.is_some() {
            entries.next_value_seed(self.below())?;
            is_number = entries.next_key_seed(KeyIs(NUMBER))?;
        }
        Ok(())
    }
}

/// Whether a key is this one.
struct KeyIs(&'static str);

impl<'de> DeserializeSeed<'de> for KeyIs {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeyIs {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: de::Error>(self, key: &str) -> Result<bool, E> {
        Ok(key == self.0)
    }
}
