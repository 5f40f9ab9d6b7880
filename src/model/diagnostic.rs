//! Diagnostics: what is wrong with a file of the user's, where, and what to do about it.
//!
//! Made by the script checker, the manifest loader and the connector tables; rendered by the CLI alone.

use serde::Serialize;

/// Whether a finding stops the file from being used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The file cannot be used.
    Error,
    /// The file works, but probably not as meant.
    Warning,
}

/// A place in a text file. Lines and columns count from 1; columns and lengths count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Span {
    /// Line.
    pub line: usize,
    /// Column of the first character.
    pub column: usize,
    /// How many characters are meant; at least 1.
    pub length: usize,
}

impl Span {
    /// The beginning of a file: the place of what is said of the file as a whole.
    pub const START: Self = Self {
        line: 1,
        column: 1,
        length: 1,
    };

    /// The span of a range of bytes in a text, cut to its first line.
    pub fn of_bytes(text: &str, range: &std::ops::Range<usize>) -> Self {
        let start = floor_boundary(text, range.start);
        let end = floor_boundary(text, range.end.max(start));
        let (before, rest) = text.split_at(start);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let (_, line_before) = before.split_at(line_start);
        let (inside, _) = rest.split_at(end - start);
        let inside = inside.lines().next().unwrap_or("");
        Self {
            line: before.matches('\n').count() + 1,
            column: line_before.chars().count() + 1,
            length: inside.chars().count().max(1),
        }
    }
}

fn floor_boundary(text: &str, at: usize) -> usize {
    (0..=at.min(text.len()))
        .rev()
        .find(|index| text.is_char_boundary(*index))
        .unwrap_or(0)
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// Whether it stops the file from being used.
    pub severity: Severity,
    /// A stable kebab-case name of the kind of finding: `unknown-variable`, `manifest`.
    pub code: &'static str,
    /// What is wrong, in lower case, without a full stop.
    pub message: String,
    /// The file as the user knows it: `scripts/nightly_sweep.rhai`.
    pub file: String,
    /// Where in the file, if one place can be named.
    pub span: Option<Span>,
    /// What to write beside the marked place.
    pub label: Option<String>,
    /// What to do about it.
    pub help: Option<String>,
}

impl Diagnostic {
    /// An error of this kind in this file.
    pub fn error(code: &'static str, file: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            code,
            message: message.into(),
            file: file.into(),
            span: None,
            label: None,
            help: None,
        }
    }

    /// A warning of this kind in this file.
    pub fn warning(code: &'static str, file: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(code, file, message)
        }
    }

    /// The same with a place.
    #[must_use]
    pub fn at(mut self, span: Span) -> Self {
        self.span = Some(span);
        self
    }

    /// The same with a label beside the marked place.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// The same with advice.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Whether it stops the file from being used.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}
