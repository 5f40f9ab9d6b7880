//! Reading a table: from TOML to types, section by section, so that one wrong section hides no other.
//!
//! Says where each thing stands in the text. What the types cannot say is [`super::check`]'s.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::check;
use super::{Connector, Effect, Endpoint, Errors, Kind, Pagination, Param, Place};
use crate::base::suggest::{nearest, nearest_in_complaint};
use crate::model::diagnostic::{Diagnostic, Span};

/// The keys of a table, outermost level.
const SECTIONS: &[&str] = &[
    "name",
    "title",
    "doc",
    "base_url",
    "auth",
    "headers",
    "idempotency",
    "pagination",
    "errors",
    "webhook",
    "backfill",
    "shape",
    "endpoint",
    "primitive",
    "resource",
];

pub(super) fn connector(file: &str, text: &str) -> Result<Connector, Vec<Diagnostic>> {
    let (document, wrong_syntax) = DeTable::parse_recoverable(text);
    let mut source = Source {
        file,
        text,
        root: document.into_inner(),
        found: Vec::new(),
    };
    if !wrong_syntax.is_empty() {
        return Err(wrong_syntax.iter().map(|error| source.of_toml(error)).collect());
    }
    source.refuse_unknown_sections();
    let read = read(&mut source);
    match read {
        Some(connector) if source.found.is_empty() => {
            check::all(&connector, &mut source);
            if source.found.is_empty() {
                return Ok(connector);
            }
        }
        // What is missing or misspelt would only be reported again by the checks of what refers to it.
        Some(_) => {}
        None => debug_assert!(!source.found.is_empty(), "a table is refused with a reason"),
    }
    Err(source.found)
}

fn read(source: &mut Source<'_>) -> Option<Connector> {
    let name: Option<String> = source.required("name");
    let title: Option<String> = source.required("title");
    let doc: Option<String> = source.required("doc");
    let base_url = source.required("base_url");
    let auth = source.required("auth");
    let headers = source.optional("headers").unwrap_or_default();
    let idempotency: Option<super::Idempotency> = source.optional("idempotency");
    let pagination: Option<Pagination> = source.optional("pagination");
    let errors: Errors = source.optional("errors").unwrap_or_default();
    let webhook = source.optional("webhook");
    let backfill = source.optional("backfill");
    let shapes = source.named("shape");
    let mut endpoints: BTreeMap<String, Endpoint> = source.named("endpoint");
    let primitives = source.named("primitive");
    let resources = source.named("resource");
    for (name, endpoint) in &mut endpoints {
        endpoint.name.clone_from(name);
        endpoint.idempotent = endpoint.effect != Effect::Read
            && idempotency
                .as_ref()
                .is_some_and(|table| table.methods.contains(&endpoint.method));
        for param in endpoint.params.iter_mut().filter(|param| param.place == Place::Path) {
            param.required = true;
        }
        if let Some(pagination) = pagination.as_ref().filter(|_| endpoint.is_paged()) {
            endpoint.params.extend(paging_params(pagination));
        }
    }
    Some(Connector {
        name: name?,
        title: title?,
        doc: doc?,
        local: false,
        base_url: base_url?,
        auth: auth?,
        headers,
        idempotency,
        pagination,
        errors,
        webhook,
        backfill,
        shapes,
        endpoints,
        primitives,
        resources,
    })
}

/// The parameters every paged list has.
fn paging_params(pagination: &Pagination) -> [Param; 2] {
    let param = |name: &str, kind, doc: &str| Param {
        name: name.to_owned(),
        wire: None,
        place: Place::Query,
        kind,
        required: false,
        values: Vec::new(),
        min_length: None,
        max_length: None,
        shape: None,
        doc: doc.to_owned(),
    };
    [
        param(&pagination.limit_param, Kind::Int, "How many items a page has."),
        param(&pagination.cursor_param, Kind::Text, "The page to begin with."),
    ]
}

fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(word, known).map(|near| format!("did you mean `{near}`?"))
}

/// An entry of a table and the place to mark for it: the value, or of a whole section its heading.
fn entry<'a, 'b>(table: &'b DeTable<'a>, key: &str) -> Option<(Range<usize>, &'b Spanned<DeValue<'a>>)> {
    let (key, value) = table.get_key_value(key)?;
    let place = if value.get_ref().is_table() {
        key.span()
    } else {
        value.span()
    };
    Some((place, value))
}

/// The text of a table with what was found wrong in it.
pub(super) struct Source<'a> {
    file: &'a str,
    text: &'a str,
    root: DeTable<'a>,
    found: Vec<Diagnostic>,
}

impl<'a> Source<'a> {
    /// Records a finding about the value at this path, or at the nearest one above that exists. A key
    /// that is a number means an item of a list.
    pub(super) fn wrong(&mut self, path: &[&str], message: impl Into<String>) -> &mut Diagnostic {
        let finding = self.error(self.locate(path), message);
        self.found.push(finding);
        self.found.last_mut().expect("one was pushed just now")
    }

    /// Records that a name leads nowhere, with the one that was probably meant.
    pub(super) fn unknown<'b>(
        &mut self,
        path: &[&str],
        what: &str,
        name: &str,
        known: impl IntoIterator<Item = &'b str>,
    ) {
        self.wrong(path, format!("there is no {what} `{name}`")).help = did_you_mean(name, known);
    }

    fn error(&self, range: Option<Range<usize>>, message: impl Into<String>) -> Diagnostic {
        let finding = Diagnostic::error("connector", self.file, message);
        match range {
            Some(range) => finding.at(Span::of_bytes(self.text, &range)),
            None => finding,
        }
    }

    fn of_toml(&self, error: &toml::de::Error) -> Diagnostic {
        let message = error.message();
        let mut finding = self.error(error.span(), message);
        finding.help = nearest_in_complaint(message).map(|near| format!("did you mean `{near}`?"));
        finding
    }

    fn locate(&self, path: &[&str]) -> Option<Range<usize>> {
        let (first, rest) = path.split_first()?;
        let (mut place, mut value) = entry(&self.root, first)?;
        for step in rest {
            let next = match value.get_ref() {
                DeValue::Table(table) => entry(table, step),
                DeValue::Array(items) => {
                    let item = step.parse::<usize>().ok().and_then(|index| items.get(index));
                    item.map(|item| (item.span(), item))
                }
                _ => None,
            };
            let Some(next) = next else { break };
            (place, value) = next;
        }
        Some(place)
    }

    fn refuse_unknown_sections(&mut self) {
        let keys = self.root.keys();
        let unknown: Vec<_> = keys
            .map(|key| (key.span(), key.get_ref().to_string()))
            .filter(|(_, key)| !SECTIONS.contains(&key.as_str()))
            .collect();
        for (place, key) in unknown {
            let mut finding = self.error(Some(place), format!("there is no section `{key}`"));
            finding.help = did_you_mean(&key, SECTIONS.iter().copied());
            self.found.push(finding);
        }
    }

    fn required<T: DeserializeOwned>(&mut self, key: &str) -> Option<T> {
        if !self.root.contains_key(key) {
            self.wrong(&[], format!("`{key}` is missing"));
        }
        self.optional(key)
    }

    fn optional<T: DeserializeOwned>(&mut self, key: &str) -> Option<T> {
        let value = self.root.get(key)?.clone();
        self.value(value)
    }

    /// The sections `[what.name]`, each read by itself.
    fn named<T: DeserializeOwned>(&mut self, what: &str) -> BTreeMap<String, T> {
        let Some(section) = self.root.get(what).cloned() else {
            return BTreeMap::new();
        };
        let DeValue::Table(sections) = section.get_ref() else {
            self.wrong(&[what], format!("`{what}` is not a section: write [{what}.name]"));
            return BTreeMap::new();
        };
        sections
            .iter()
            .filter_map(|(name, value)| Some((name.get_ref().to_string(), self.value(value.clone())?)))
            .collect()
    }

    fn value<T: DeserializeOwned>(&mut self, value: Spanned<DeValue<'a>>) -> Option<T> {
        match T::deserialize(ValueDeserializer::from(value)) {
            Ok(value) => Some(value),
            Err(error) => {
                let finding = self.of_toml(&error);
                self.found.push(finding);
                None
            }
        }
    }
}
