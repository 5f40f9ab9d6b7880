//! A JSON text of which only some places are asked for: what lies beside them is passed over, not read.
//!
//! A body is walked through once for each level that a pointer leads through, and nothing is made of the rest. Must
//! not decide what the text means.

use std::borrow::Cow;

use serde::de::{DeserializeOwned, IgnoredAny};

/// A JSON text, as far as it was looked into.
pub(super) struct Unread<'b> {
    text: &'b str,
    /// By their pointers. Two or three: the body, the resource in it.
    levels: Vec<(String, Level<'b>)>,
}

/// What stands under each key, or at each place of a list.
type Level<'b> = Vec<(String, &'b str)>;

impl<'b> Unread<'b> {
    /// Takes a text that is JSON throughout.
    ///
    /// # Errors
    /// That it is not.
    pub(super) fn new(text: &'b str) -> Result<Self, serde_json::Error> {
        let _: IgnoredAny = serde_json::from_str(text)?;
        Ok(Self {
            text,
            levels: Vec::new(),
        })
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
        let (_, found) = level.iter().rev().find(|(known, _)| *known == key)?;
        Some(found)
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
                let level = entries(self.at(pointer)?)?;
                self.levels.push((pointer.to_owned(), level));
                self.levels.len() - 1
            }
        };
        self.levels.get(place).map(|(_, level)| level)
    }
}

/// The entries of an object or a list, whose text is known to be JSON.
fn entries(text: &str) -> Option<Level<'_>> {
    let text = text.trim_start();
    let is_object = text.starts_with('{');
    let mut rest = text.strip_prefix(['{', '['])?.trim_start();
    let mut level = Level::new();
    while !rest.starts_with(['}', ']']) {
        let key = if is_object {
            let (key, after) = take::<String>(rest)?;
            rest = after.trim_start().strip_prefix(':')?;
            key
        } else {
            level.len().to_string()
        };
        let (_, after): (IgnoredAny, _) = take(rest)?;
        let value = rest.strip_suffix(after)?;
        level.push((key, value));
        rest = after.trim_start();
        rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
    }
    Some(level)
}

/// The value a text begins with, and what follows it.
fn take<T: DeserializeOwned>(text: &str) -> Option<(T, &str)> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter();
    let value = values.next()?.ok()?;
    Some((value, text.get(values.byte_offset()..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_leads_where_it_leads_in_the_tree() {
        let text = r#" {"id":"a\u0062","list":[1 , {"x":" y "},[]],"a/b":{"m~n":null},"id2":7,"none" : { } ,"twice":1,"twice":{"z":2}} "#;
        let tree: serde_json::Value = serde_json::from_str(text).expect("JSON");
        let mut unread = Unread::new(text).expect("JSON");
        let pointers = [
            "",
            "/",
            "id",
            "/id",
            "/id/x",
            "/list",
            "/list/0",
            "/list/1",
            "/list/1/x",
            "/list/2",
            "/list/2/0",
            "/list/3",
            "/list/x",
            "/a~1b/m~0n",
            "/id2",
            "/none",
            "/none/x",
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
