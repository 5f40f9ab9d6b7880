//! Findings as people read them: the file, the line, the marked place, and what to do.
//!
//! Rendering only; what is wrong was decided elsewhere.

use std::fs;
use std::path::{Path, PathBuf};

use annotate_snippets::{Annotation, AnnotationKind, Element, Group, Level, Origin, Renderer, Snippet};
use serde::Serialize;

use super::text::clean;
use crate::app::settings::Settings;
use crate::model::diagnostic::{Diagnostic, Severity, Span};

/// How findings look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    /// With the line of the file and the place marked.
    #[default]
    Full,
    /// One line each: file, line, column, severity, code, message.
    Concise,
    /// One JSON object each.
    Json,
}

/// A finding as text. `source` is the text of its file, if that can be had.
pub fn full(finding: &Diagnostic, source: Option<&str>) -> String {
    let level = match finding.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let title = level.primary_title(clean(&finding.message)).id(finding.code);
    let mut elements: Vec<Element<'_>> = Vec::new();
    match (finding.span, source) {
        (Some(span), Some(source)) => match bytes_of(source, span) {
            Some(range) => {
                let mark: Annotation<'_> = AnnotationKind::Primary
                    .span(range)
                    .label(finding.label.as_deref().map(clean));
                elements.push(Snippet::source(source).path(&finding.file).annotation(mark).into());
            }
            None => elements.push(origin(finding, Some(span)).into()),
        },
        (span, _) => elements.push(origin(finding, span).into()),
    }
    // Without the line there is no place for its label.
    let label_is_lost = !matches!(elements.as_slice(), [Element::Cause(_)]);
    if let (true, Some(label)) = (label_is_lost, &finding.label) {
        elements.push(Level::NOTE.message(clean(label)).into());
    }
    if let Some(help) = &finding.help {
        elements.push(Level::HELP.message(clean(help)).into());
    }
    let report: &[Group<'_>] = &[title.elements(elements)];
    Renderer::styled().render(report)
}

fn origin(finding: &Diagnostic, span: Option<Span>) -> Origin<'_> {
    let origin = Origin::path(&finding.file);
    match span {
        Some(span) => origin.line(span.line).char_column(span.column),
        None => origin,
    }
}

/// The bytes a span marks, if the text has that place.
fn bytes_of(source: &str, span: Span) -> Option<std::ops::Range<usize>> {
    let mut line_start = 0;
    for _ in 1..span.line {
        let (_, rest) = source.split_at(line_start);
        line_start += rest.find('\n')? + 1;
    }
    let (_, rest) = source.split_at(line_start);
    let line = rest.split('\n').next().unwrap_or("");
    let at = |column: usize| line.char_indices().map(|(at, _)| at).nth(column).unwrap_or(line.len());
    if span.column > line.chars().count() + 1 {
        return None;
    }
    let start = line_start + at(span.column.saturating_sub(1));
    let end = line_start + at(span.column.saturating_sub(1) + span.length);
    // The end of a line has no character to mark; the renderer draws an empty range as one.
    Some(start..end.max(start))
}

/// A finding on one line: `scripts/a.rhai:14:13: error[unknown-variable]: no variable `totl``.
pub fn concise(finding: &Diagnostic) -> String {
    let place = finding
        .span
        .map_or_else(String::new, |span| format!(":{}:{}", span.line, span.column));
    let severity = severity(finding);
    let message = super::text::one_line(&finding.message);
    let help = finding.label.as_ref().or(finding.help.as_ref());
    let help = help.map_or_else(String::new, |help| format!(" ({})", super::text::one_line(help)));
    format!("{}{place}: {severity}[{}]: {message}{help}", finding.file, finding.code)
}

fn severity(finding: &Diagnostic) -> &'static str {
    match finding.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

/// Findings in this format, with what follows each.
pub fn render(findings: &[Diagnostic], format: Format, source: &dyn Fn(&str) -> Option<String>) -> String {
    let each = |finding: &Diagnostic| match format {
        Format::Full => format!("{}\n\n", full(finding, source(&finding.file).as_deref())),
        Format::Concise => format!("{}\n", concise(finding)),
        Format::Json => format!("{}\n", json(finding)),
    };
    findings.iter().map(each).collect()
}

fn json(finding: &Diagnostic) -> String {
    #[derive(Serialize)]
    struct Tagged<'a> {
        schema: &'static str,
        #[serde(flatten)]
        finding: &'a Diagnostic,
    }
    let tagged = Tagged {
        schema: "bursar.finding/1",
        finding,
    };
    serde_json::to_string(&tagged).expect("a finding is plain text and numbers")
}

/// Where the files stand that findings name by their last folder: `scripts/nightly_sweep.rhai`.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    folders: Vec<PathBuf>,
}

impl Sources {
    /// The folders of these settings.
    pub fn of(settings: &Settings) -> Self {
        Self {
            folders: vec![settings.workflows.clone(), settings.scripts.clone()],
        }
    }

    /// The text of a file, if it can be had.
    pub fn read(&self, file: &str) -> Option<String> {
        let below = |folder: &PathBuf| {
            let name = folder.file_name()?.to_str()?;
            Some(folder.join(file.strip_prefix(name)?.strip_prefix('/')?))
        };
        if let Some(path) = self.folders.iter().find_map(below) {
            return fs::read_to_string(path).ok();
        }
        let text = fs::read_to_string(file).ok()?;
        let is_table = Path::new(file)
            .parent()
            .is_some_and(|folder| folder.ends_with("connectors"));
        Some(if is_table { text } else { masked(&text) })
    }
}

/// Keys of the settings whose values may be shown.
const HARMLESS: &[&str] = &[
    "state",
    "workflows",
    "scripts",
    "connectors",
    "listen",
    "log",
    "log_format",
    "durability",
    "connector",
    "environment",
    "base_url",
];

/// The settings with stars for every text that may be a secret: what somebody wrote there by mistake must not reach
/// the log of a build as well.
fn masked(text: &str) -> String {
    let mask = |line: &str| {
        let name = line.split('=').next().unwrap_or("").trim();
        if HARMLESS.contains(&name) || name.starts_with(['[', '#']) {
            return line.to_owned();
        }
        let mut hidden = false;
        let letter = |letter: char| match letter {
            '"' | '\'' => {
                hidden = !hidden;
                letter
            }
            '\r' => letter,
            _ if hidden => '*',
            _ => letter,
        };
        line.chars().map(letter).collect()
    };
    text.split('\n').map(mask).collect::<Vec<String>>().join("\n")
}
