//! A TOML file of the user's, read value by value, with a finding and its place for whatever is not as expected.
//!
//! Knows TOML and nothing of what is written in it: manifests, connector tables and settings are read through
//! it. Reading never stops at the first problem. It must not read files.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::diagnostic::{Diagnostic, Span};
use crate::base::suggest::nearest;

/// Syntax errors told at once; one slip can make many, and nobody reads a hundred.
const SYNTAX_ERRORS_MAX: usize = 20;

/// What was found in one file so far.
pub struct Report<'a> {
    file: &'a str,
    text: &'a str,
    code: &'static str,
    found: Vec<Diagnostic>,
}

impl<'a> Report<'a> {
    /// Nothing so far. `code` is the kind of its findings.
    pub fn new(file: &'a str, text: &'a str, code: &'static str) -> Self {
        Self {
            file,
            text,
            code,
            found: Vec::new(),
        }
    }

    /// The place of a range of bytes.
    pub fn span(&self, place: &Range<usize>) -> Span {
        Span::of_bytes(self.text, place)
    }

    /// Adds a finding that stops the file from being used.
    pub fn error(&mut self, place: &Range<usize>, message: impl Into<String>, help: Option<String>) {
        let span = self.span(place);
        let mut finding = Diagnostic::error(self.code, self.file, message).at(span);
        finding.help = help;
        self.found.push(finding);
    }

    /// Adds one that does not.
    pub fn warning(
        &mut self,
        code: &'static str,
        place: &Range<usize>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        let span = self.span(place);
        self.found
            .push(Diagnostic::warning(code, self.file, message).at(span).help(help));
    }

    /// Adds a finding as it stands, in this file.
    pub fn add(&mut self, finding: Diagnostic) {
        self.found.push(Diagnostic {
            file: self.file.to_owned(),
            ..finding
        });
    }

    /// What stands in a range of bytes; nothing if it is none of this text.
    pub fn text_at(&self, place: &Range<usize>) -> &'a str {
        self.text.get(place.clone()).unwrap_or_default()
    }

    /// How much was found that stops the file from being used.
    pub fn errors(&self) -> usize {
        self.found.iter().filter(|finding| finding.is_error()).count()
    }

    /// Everything found, in the order of the file.
    pub fn finish(mut self) -> Vec<Diagnostic> {
        self.found.sort_by_key(|finding| (finding.span, finding.severity));
        self.found
    }
}

/// Parses a file; nothing if its syntax is broken, with every place where it is.
pub fn parse<'t>(text: &'t str, report: &mut Report<'_>) -> Option<Spanned<DeTable<'t>>> {
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut last_line = None;
    for error in errors.iter().take(SYNTAX_ERRORS_MAX) {
        let place = error.span().unwrap_or(0..0);
        // What follows an error on its own line is its consequence.
        let line = report.span(&place).line;
        if last_line.replace(line) != Some(line) {
            report.code = "toml";
            report.error(&place, error.message().to_lowercase(), None);
        }
    }
    errors.is_empty().then_some(table)
}

/// A file whose sections are read into types, one by one, so that one wrong section hides no other.
pub struct Document<'a> {
    report: Report<'a>,
    root: DeTable<'a>,
}

impl<'a> Document<'a> {
    /// Parses a file.
    ///
    /// # Errors
    /// Every place where its syntax is broken.
    pub fn parse(file: &'a str, text: &'a str, code: &'static str) -> Result<Self, Vec<Diagnostic>> {
        let mut report = Report::new(file, text, code);
        match parse(text, &mut report) {
            Some(table) => Ok(Self {
                report,
                root: table.into_inner(),
            }),
            None => Err(report.finish()),
        }
    }

    /// Whether anything was found that stops the file from being used.
    pub fn has_errors(&self) -> bool {
        self.report.errors() > 0
    }

    /// Everything found, in the order of the file.
    pub fn finish(self) -> Vec<Diagnostic> {
        self.report.finish()
    }

    /// Records a finding about the value at this path, or at the nearest one above that exists. A key that is a
    /// number means an item of a list; no key at all, the file as a whole.
    pub fn wrong(&mut self, path: &[&str], message: impl Into<String>) -> &mut Diagnostic {
        let mut finding = Diagnostic::error(self.report.code, self.report.file, message);
        finding.span = self.span(path);
        self.add(finding)
    }

    /// Records that a name leads nowhere, with the one that was probably meant.
    pub fn unknown<'b>(&mut self, path: &[&str], what: &str, name: &str, known: impl IntoIterator<Item = &'b str>) {
        self.wrong(path, format!("there is no {what} `{name}`")).help = nearest(name, known).map(did_you_mean);
    }

    /// Records a finding as it stands.
    pub fn add(&mut self, finding: Diagnostic) -> &mut Diagnostic {
        self.report.found.push(finding);
        self.report.found.last_mut().expect("one was pushed just now")
    }

    /// Where this path leads: a value, or the heading of a section.
    pub fn span(&self, path: &[&str]) -> Option<Span> {
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
        Some(self.report.span(&place))
    }

    /// Reports whatever stands in the file beside these keys and sections.
    pub fn refuse_unknown(&mut self, known: &[&str]) {
        for (key, value) in &self.root {
            let name: &str = key.get_ref();
            if !known.contains(&name) {
                let what = if value.get_ref().is_table() { "section" } else { "key" };
                let message = format!("unknown {what} `{name}`");
                self.report.error(&key.span(), message, Some(meant(name, known)));
            }
        }
    }

    /// What stands under a key that has to be there.
    pub fn required<T: DeserializeOwned>(&mut self, key: &str) -> Option<T> {
        if !self.root.contains_key(key) {
            self.wrong(&[], format!("`{key}` is missing"));
        }
        self.optional(key)
    }

    /// What stands under a key, if it is there and right.
    pub fn optional<T: DeserializeOwned>(&mut self, key: &str) -> Option<T> {
        let value = self.root.get(key)?.clone();
        self.value(value)
    }

    /// The sections `[what.name]`, each read by itself.
    pub fn named<T: DeserializeOwned>(&mut self, what: &str) -> BTreeMap<String, T> {
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

    /// Whether there is a section `[what.name]`, right or wrong.
    pub fn has_named(&self, what: &str, name: &str) -> bool {
        let section = self.root.get(what).map(Spanned::get_ref);
        matches!(section, Some(DeValue::Table(sections)) if sections.contains_key(name))
    }

    fn value<T: DeserializeOwned>(&mut self, value: Spanned<DeValue<'a>>) -> Option<T> {
        match T::deserialize(ValueDeserializer::from(value)) {
            Ok(value) => Some(value),
            Err(error) => {
                let (message, help) = in_our_words(error.message());
                let mut finding = Diagnostic::error(self.report.code, self.report.file, message);
                finding.span = error.span().map(|place| self.report.span(&place));
                finding.help = help;
                self.add(finding);
                None
            }
        }
    }
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

/// A complaint of serde's, ``unknown field `x`, expected one of `a`, `b` ``, as we say it, with what was
/// probably meant.
fn in_our_words(complaint: &str) -> (String, Option<String>) {
    let mut quoted = complaint.split('`').skip(1).step_by(2);
    let what = [("unknown field", "key"), ("unknown variant", "value")]
        .into_iter()
        .find_map(|(theirs, ours)| complaint.starts_with(theirs).then_some(ours));
    match (what, quoted.next()) {
        (Some(what), Some(word)) => {
            let known: Vec<&str> = quoted.collect();
            (format!("unknown {what} `{word}`"), Some(meant(word, &known)))
        }
        _ => (
            complaint.replace("expected a string", "expected a text in quotes"),
            None,
        ),
    }
}

fn did_you_mean(near: &str) -> String {
    format!("did you mean `{near}`?")
}

/// The known word that is near, else all of them.
fn meant(word: &str, known: &[&str]) -> String {
    nearest(word, known.iter().copied()).map_or_else(|| format!("one of: {}", known.join(", ")), did_you_mean)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complaint_of_the_reader_is_told_in_our_words() {
        let check = |complaint: &str, message: &str, help: Option<&str>| {
            assert_eq!(
                in_our_words(complaint),
                (message.to_owned(), help.map(str::to_owned)),
                "{complaint}"
            );
        };
        check(
            "unknown field `listn`, expected one of `state`, `listen`",
            "unknown key `listn`",
            Some("did you mean `listen`?"),
        );
        check(
            "unknown variant `zebra`, expected `full` or `normal`",
            "unknown value `zebra`",
            Some("one of: full, normal"),
        );
        check(
            "invalid type: map, expected `listen`",
            "invalid type: map, expected `listen`",
            None,
        );
    }

    #[test]
    fn each_wrong_section_is_told_and_hides_no_other() {
        let text = "[one.a]\nnumber = 1\n[one.b]\nnumber = \"x\"\n[two]\n";
        let mut document = Document::parse("f.toml", text, "code").expect("it parses");
        let read: BTreeMap<String, BTreeMap<String, u8>> = document.named("one");
        assert_eq!(read.keys().collect::<Vec<_>>(), ["a"]);
        document.refuse_unknown(&["one"]);
        document.wrong(&["one", "a", "absent"], "at the nearest above");
        document.wrong(&["one", "a", "number"], "at the value");
        let told: Vec<_> = document.finish().into_iter().map(|finding| finding.span).collect();
        let lines: Vec<usize> = told.into_iter().flatten().map(|span| span.line).collect();
        assert_eq!(lines, [1, 2, 4, 5]);
    }
}
