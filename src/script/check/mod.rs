//! The checker: everything wrong with a workflow's scripts, found before anything runs, in one pass.
//!
//! It works on the syntax tree alone and runs nothing. What a script may call is told by a [`Surface`], so
//! that this room still knows no connection and no primitive.

mod branches;
mod calendars;
mod calls;
mod comments;
mod condition;
mod effects;
mod keys;
mod known;
mod names;
mod script;
mod shapes;
mod surface;
mod values;

use std::collections::BTreeMap;

use rhai::{ParseError, Position};

pub use self::condition::check_condition;
use self::script::Script;
pub use self::surface::{Apart, Form, ModuleSurface, Place, Signature, Surface, Takes};
use super::fault::syntax_message;
use crate::base::suggest::nearest;
use crate::model::diagnostic::{Diagnostic, Span};
use crate::model::workflow::Source;

/// Everything wrong with these scripts, the first of which is the main one; in order of file and place.
pub fn check(sources: &[Source], surface: &Surface) -> Vec<Diagnostic> {
    let mut findings = Vec::new();
    let mut scripts = BTreeMap::new();
    for (index, source) in sources.iter().enumerate() {
        findings.extend(comments::unterminated(source));
        match Script::parse(source, index == 0) {
            Ok(script) => {
                scripts.insert(source.path.clone(), script);
            }
            Err(error) => findings.push(syntax_error(source, &error)),
        }
    }
    for script in scripts.values() {
        let case = Case {
            script,
            scripts: &scripts,
            surface,
            broken: sources
                .iter()
                .map(|source| source.path.as_str())
                .filter(|path| !scripts.contains_key(*path))
                .collect(),
        };
        names::check(&case, &mut findings);
        calls::check(&case, &mut findings);
        keys::check(&case, &mut findings);
        values::check(&case, &mut findings);
        calendars::check(&case, &mut findings);
        shapes::check(&case, &mut findings);
        effects::check(&case, &mut findings);
        branches::check(&case, &mut findings);
    }
    let order = |file: &str| sources.iter().position(|source| source.path == file);
    findings.sort_by(|a, b| {
        (order(&a.file), a.span, a.code, &a.message).cmp(&(order(&b.file), b.span, b.code, &b.message))
    });
    findings.dedup();
    findings
}

/// One script under examination, and what surrounds it.
struct Case<'a> {
    script: &'a Script,
    scripts: &'a BTreeMap<String, Script>,
    surface: &'a Surface,
    /// Files that do not parse: nothing is known of what they define.
    broken: Vec<&'a str>,
}

impl Case<'_> {
    fn error(&self, code: &'static str, message: impl Into<String>) -> Diagnostic {
        Diagnostic::error(code, self.script.path.as_str(), message)
    }
}

/// The finding for a text that does not parse.
pub(super) fn syntax_error(source: &Source, error: &ParseError) -> Diagnostic {
    Diagnostic::error("syntax", source.path.as_str(), syntax_message(&error.0)).at(span(error.1, 1))
}

/// The span of something of this length. A place that is not known is the start of the file.
pub(super) fn span(position: Position, length: usize) -> Span {
    Span {
        line: position.line().unwrap_or(1),
        column: position.position().unwrap_or(1).max(1),
        length: length.max(1),
    }
}

/// The span of a name.
fn span_of(position: Position, name: &str) -> Span {
    span(position, name.chars().count())
}

/// The finding with a guess at what was meant, if there is one.
fn suggest<'a>(finding: Diagnostic, word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Diagnostic {
    // A single letter is near every other.
    let guess = (word.chars().count() > 1).then(|| nearest(word, candidates)).flatten();
    match guess {
        Some(near) => finding.label(format!("did you mean `{near}`?")),
        None => finding,
    }
}
