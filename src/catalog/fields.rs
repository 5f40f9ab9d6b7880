//! Reading a TOML table field by field, with a finding for everything that is not as expected.
//!
//! Knows TOML and nothing of workflows. It never stops at the first problem: a field that is wrong is
//! reported and left out, and the reader goes on.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::base::suggest::nearest;
use crate::model::document::Report;

/// One table of the file, with the keys it may have.
pub(super) struct Fields<'t> {
    table: &'t DeTable<'t>,
    place: Range<usize>,
    what: &'static str,
}

impl<'t> Fields<'t> {
    /// `what` names the table in messages; `place` stands for it when a key is missing.
    pub(super) fn new(what: &'static str, table: &'t DeTable<'t>, place: Range<usize>) -> Self {
        Self { table, place, what }
    }

    pub(super) fn place(&self) -> &Range<usize> {
        &self.place
    }

    /// The value of a key, if it stands there.
    pub(super) fn get(&self, key: &str) -> Option<&'t Spanned<DeValue<'t>>> {
        self.table
            .iter()
            .find(|(known, _)| known.get_ref() == key)
            .map(|(_, value)| value)
    }

    /// The value of a key that must be there.
    pub(super) fn require(&self, key: &str, help: &str, report: &mut Report<'_>) -> Option<&'t Spanned<DeValue<'t>>> {
        let value = self.get(key);
        if value.is_none() {
            let message = format!("{} has no `{key}`", self.what);
            report.error(&self.place, message, Some(help.to_owned()));
        }
        value
    }

    /// Reports every key that is not known; `elsewhere` says where a key belongs that stands in the wrong table.
    pub(super) fn refuse_unknown(
        &self,
        known: &[&str],
        elsewhere: impl Fn(&str) -> Option<String>,
        report: &mut Report<'_>,
    ) {
        for (key, _) in self.table {
            let name: &str = key.get_ref();
            if known.contains(&name) {
                continue;
            }
            let help = elsewhere(name)
                .or_else(|| did_you_mean(name, known))
                .unwrap_or_else(|| format!("{} has: {}", self.what, known.join(", ")));
            report.error(&key.span(), format!("unknown key `{name}`"), Some(help));
        }
    }
}

/// "did you mean", if a known word is near.
pub(super) fn did_you_mean<'w>(word: &str, known: impl IntoIterator<Item = impl AsRef<str> + 'w>) -> Option<String> {
    let known: Vec<_> = known.into_iter().collect();
    nearest(word, known.iter().map(AsRef::as_ref)).map(|near| format!("did you mean `{near}`?"))
}

/// What a person calls this kind of value.
pub(super) fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a point",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// The text of a value that must be text and not blank.
pub(super) fn text<'t>(what: &str, value: &'t Spanned<DeValue<'t>>, report: &mut Report<'_>) -> Option<&'t str> {
    match value.get_ref() {
        DeValue::String(text) if text.trim().is_empty() => {
            report.error(&value.span(), format!("{what} is empty"), None);
            None
        }
        DeValue::String(text) => Some(text),
        other => {
            let message = format!("{what} must be text, not {}", kind(other));
            report.error(&value.span(), message, None);
            None
        }
    }
}

/// The texts of a value that must be a list of texts, each with its place; no text twice.
pub(super) fn texts<'t>(
    what: &str,
    value: &'t Spanned<DeValue<'t>>,
    report: &mut Report<'_>,
) -> Option<Vec<(&'t str, Range<usize>)>> {
    let DeValue::Array(items) = value.get_ref() else {
        let help = match value.get_ref() {
            DeValue::String(text) => Some(format!("write [\"{text}\"]")),
            _ => None,
        };
        let message = format!("{what} must be a list of texts, not {}", kind(value.get_ref()));
        report.error(&value.span(), message, help);
        return None;
    };
    let mut read: Vec<(&str, Range<usize>)> = Vec::new();
    for item in items {
        let Some(text) = text(&format!("an entry of {what}"), item, report) else {
            continue;
        };
        if read.iter().any(|(earlier, _)| *earlier == text) {
            report.error(&item.span(), format!("`{text}` is listed twice in {what}"), None);
        } else {
            read.push((text, item.span()));
        }
    }
    Some(read)
}
