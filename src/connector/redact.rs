//! What a table calls sensitive (`redact`), kept out of what people read: the members of these names in requests and answers,
//! and what stood there wherever else it is said.
//!
//! Pure. The journal keeps what is sent, and scripts see what was answered: this is for logs, for texts of errors and
//! for what commands show. It must not be asked what to send.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use serde::{Deserialize, Deserializer};
use serde_json::Value as Json;

/// Texts shorter than this are words as often as secrets: only their member hides them.
const LENGTH_MIN: usize = 6;
/// How much of the end is shown: enough to tell an account from another, too little to use it.
const TAIL_LENGTH: usize = 4;

/// Names of members that nobody reads, however they are spelled: `accountNumber` is `account_number`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SensitiveNames {
    spelled: BTreeSet<String>,
}

impl SensitiveNames {
    /// Those of several tables together.
    pub fn of<'a>(all: impl IntoIterator<Item = &'a Self>) -> Self {
        let all = all.into_iter().flat_map(|names| names.spelled.iter().cloned());
        Self { spelled: all.collect() }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.spelled.is_empty()
    }

    /// Whether a member of this name is one.
    pub fn has(&self, name: &str) -> bool {
        !self.is_empty() && self.spelled.contains(&spelled_alike(name))
    }
}

impl<'de> Deserialize<'de> for SensitiveNames {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let names = Vec::<String>::deserialize(deserializer)?;
        let spelled: BTreeSet<String> = names.iter().map(|name| spelled_alike(name)).collect();
        if spelled.contains("") || spelled.len() != names.len() {
            return Err(serde::de::Error::custom("each is the name of a member, written once"));
        }
        Ok(Self { spelled })
    }
}

fn spelled_alike(name: &str) -> String {
    let letters = name.chars().filter(char::is_ascii_alphanumeric);
    letters.map(|letter| letter.to_ascii_lowercase()).collect()
}

/// Takes out what is sensitive: by the names of members, and by what was seen to stand under them.
#[derive(Debug, Clone, Default)]
pub struct Redactor {
    names: SensitiveNames,
    texts: BTreeSet<(Reverse<usize>, String)>,
}

impl Redactor {
    /// One that knows these names, and nothing yet that stood under them.
    pub fn new(names: SensitiveNames) -> Self {
        Self {
            names,
            texts: BTreeSet::new(),
        }
    }

    /// The same with what stands under such names here, in whatever depth, also in JSON inside of a text.
    #[must_use]
    pub fn with(mut self, json: &Json) -> Self {
        self.learn(json);
        self
    }

    /// Keeps in mind what stands under such names here.
    pub fn learn(&mut self, json: &Json) {
        if self.names.is_empty() {
            return;
        }
        match json {
            Json::Object(members) => {
                for (name, value) in members {
                    match hides(&self.names, name, value) {
                        true => self.learn_whole(value),
                        false => self.learn(value),
                    }
                }
            }
            // A header.
            Json::Array(items) => match items.as_slice() {
                [Json::String(name), value @ Json::String(_)] if self.names.has(name) => self.learn_whole(value),
                items => items.iter().for_each(|item| self.learn(item)),
            },
            Json::String(text) => {
                if let Some(inner) = nested(text) {
                    self.learn(&inner);
                }
                for (name, value) in queried(text) {
                    if self.names.has(name) {
                        self.learn_text(value);
                    }
                }
            }
            Json::Null | Json::Bool(_) | Json::Number(_) => {}
        }
    }

    fn learn_whole(&mut self, json: &Json) {
        match json {
            Json::Object(_) => self.learn(json),
            Json::Array(items) => items.iter().for_each(|item| self.learn_whole(item)),
            Json::String(text) => self.learn_text(text),
            Json::Number(number) => self.learn_text(&number.to_string()),
            Json::Null | Json::Bool(_) => {}
        }
    }

    /// As it stands there, and as it is written where accounts are compared: without spaces and dashes, in capitals.
    fn learn_text(&mut self, text: &str) {
        let tidy: String = text.chars().filter(|c| !c.is_whitespace() && *c != '-').collect();
        for known in [tidy.to_uppercase(), tidy, text.to_owned()] {
            let length = known.chars().count();
            if length >= LENGTH_MIN {
                self.texts.insert((Reverse(length), known));
            }
        }
    }

    /// A text without what was learned.
    pub fn text(&self, text: &str) -> String {
        let mut text = text.to_owned();
        // The longest first: a shorter one may be a part of it.
        for (_, known) in &self.texts {
            if text.contains(known.as_str()) {
                text = text.replace(known.as_str(), &masked(known));
            }
        }
        text
    }

    /// The same of JSON, where members of such names are taken out as well.
    pub fn json(&self, json: &Json) -> Json {
        if self.names.is_empty() {
            return json.clone();
        }
        match json {
            Json::Object(members) => {
                let members = members.iter().map(|(name, value)| {
                    let shown = match hides(&self.names, name, value) {
                        true => hidden(value),
                        false => self.json(value),
                    };
                    (name.clone(), shown)
                });
                Json::Object(members.collect())
            }
            Json::Array(items) => match items.as_slice() {
                [Json::String(name), value @ Json::String(_)] if self.names.has(name) => {
                    Json::Array(vec![Json::String(name.clone()), hidden(value)])
                }
                items => Json::Array(items.iter().map(|item| self.json(item)).collect()),
            },
            Json::String(text) => match nested(text) {
                Some(inner) if holds_sensitive(&self.names, &inner) => Json::String(self.json(&inner).to_string()),
                _ => Json::String(self.text(text)),
            },
            other => other.clone(),
        }
    }
}

/// Whether a member is one that nobody is shown: a map says by its own members what of it is.
fn hides(names: &SensitiveNames, name: &str, value: &Json) -> bool {
    !value.is_object() && names.has(name)
}

fn hidden(json: &Json) -> Json {
    match json {
        Json::Null => Json::Null,
        Json::String(text) => Json::String(masked(text)),
        _ => Json::from("[redacted]"),
    }
}

/// As many letters as there were, so that tables keep their form, and the last few of a long text.
fn masked(text: &str) -> String {
    let length = text.chars().count();
    let shown = if length >= TAIL_LENGTH * 2 { TAIL_LENGTH } else { 0 };
    let tail = text.chars().skip(length - shown);
    std::iter::repeat_n('*', length - shown).chain(tail).collect()
}

/// JSON inside of a text: the body of a request.
fn nested(text: &str) -> Option<Json> {
    let json: Json = text
        .starts_with(['{', '['])
        .then(|| serde_json::from_str(text).ok())??;
    Some(json)
}

fn holds_sensitive(names: &SensitiveNames, json: &Json) -> bool {
    match json {
        Json::Object(members) => members
            .iter()
            .any(|(name, value)| hides(names, name, value) || holds_sensitive(names, value)),
        Json::Array(items) => items.iter().any(|item| holds_sensitive(names, item)),
        _ => false,
    }
}

/// What a path with a query says.
fn queried(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let query = text.strip_prefix('/').and_then(|rest| rest.split_once('?'));
    let pairs = query.map(|(_, query)| query.split('&')).into_iter().flatten();
    pairs.filter_map(|pair| pair.split_once('='))
}
