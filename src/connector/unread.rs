//! A JSON text of which only some places are asked for: what lies beside them is passed over, not read.
//!
//! A body is walked through once for each level that a pointer leads through, and nothing is made of the rest. Must
//! not decide what the text means.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// A JSON text, as far as it was looked into.
pub(super) struct Unread<'b> {
    text: &'b str,
    /// By their pointers. Two or three: the body, the resource in it.
    levels: Vec<(String, Level<'b>)>,
}

/// What stands under each key, or at each place of a list.
struct Level<'b>(Vec<(Cow<'b, str>, &'b RawValue)>);

impl<'b> Unread<'b> {
    /// Takes a text that is JSON throughout.
    ///
    /// # Errors
    /// That it is not.
    pub(super) fn new(text: &'b str) -> Result<Self, serde_json::Error> {
        let levels = match serde_json::from_str(text) {
            Ok(level) => vec![(String::new(), level)],
            // JSON perhaps, but with nothing in it that a pointer could lead to.
            Err(_) => serde_json::from_str::<&RawValue>(text).map(|_| Vec::new())?,
        };
        Ok(Self { text, levels })
    }

    /// The JSON text at a pointer (RFC 6901).
    pub(super) fn at(&mut self, pointer: &str) -> Option<&'b str> {
        let Some((parent, key)) = pointer.rsplit_once('/') else {
            return Some(self.text).filter(|_| pointer.is_empty());
        };
        let key = if key.contains('~') {
            Cow::Owned(key.replace("~1", "/").replace("~0", "~"))
        } else {
            Cow::Borrowed(key)
        };
        let level = self.level(parent)?;
        // The last of two of the same name counts, as everywhere.
        let (_, found) = level.0.iter().rev().find(|(known, _)| *known == key)?;
        Some(found.get())
    }

    /// The text that a JSON string at a pointer says.
    pub(super) fn text_at(&mut self, pointer: &str) -> Option<String> {
        serde_json::from_str(self.at(pointer)?).ok()
    }

    fn level(&mut self, pointer: &str) -> Option<&Level<'b>> {
        let known = self.levels.iter().position(|(known, _)| known == pointer);
        let place = match known {
            Some(place) => place,
            None => {
                let text = self.at(pointer)?;
                self.levels.push((pointer.to_owned(), serde_json::from_str(text).ok()?));
                self.levels.len() - 1
            }
        };
        self.levels.get(place).map(|(_, level)| level)
    }
}

impl<'b> Deserialize<'b> for Level<'b> {
    fn deserialize<D: Deserializer<'b>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Entries)
    }
}

struct Entries;

impl<'b> Visitor<'b> for Entries {
    type Value = Level<'b>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or a list")
    }

    fn visit_map<A: MapAccess<'b>>(self, mut entries: A) -> Result<Level<'b>, A::Error> {
        let mut level = Vec::new();
        while let Some(Key(key)) = entries.next_key()? {
            level.push((key, entries.next_value()?));
        }
        Ok(Level(level))
    }

    fn visit_seq<A: SeqAccess<'b>>(self, mut items: A) -> Result<Level<'b>, A::Error> {
        let mut level = Vec::new();
        while let Some(item) = items.next_element()? {
            level.push((Cow::Owned(level.len().to_string()), item));
        }
        Ok(Level(level))
    }
}

/// A key, which is copied only if it has escapes in it.
#[derive(Deserialize)]
struct Key<'b>(#[serde(borrow)] Cow<'b, str>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_leads_where_it_leads_in_the_tree() {
        let text = r#" {"id":"a\u0062","list":[1,{"x":" y "}],"a/b":{"m~n":null},"id2":7,"twice":1,"twice":{"z":2}} "#;
        let tree: serde_json::Value = serde_json::from_str(text).expect("JSON");
        let mut unread = Unread::new(text).expect("JSON");
        let pointers = [
            "",
            "/",
            "id",
            "/id",
            "/id/x",
            "/list",
            "/list/1",
            "/list/1/x",
            "/list/2",
            "/list/x",
            "/a~1b/m~0n",
            "/id2",
            "/absent",
            "/twice",
            "/twice/z",
        ];
        for pointer in pointers {
            let found = unread.at(pointer).map(|text| serde_json::from_str(text).expect("JSON"));
            assert_eq!(found, tree.pointer(pointer).cloned(), "{pointer}");
            let said = tree.pointer(pointer).and_then(serde_json::Value::as_str);
            assert_eq!(unread.text_at(pointer).as_deref(), said, "{pointer}");
        }
        for text in ["", "{", "{} {}", r#"{"a":01}"#, "nul"] {
            assert!(Unread::new(text).is_err(), "{text}");
        }
    }
}
