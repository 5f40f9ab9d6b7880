//! `when` of a trigger by webhook: a table of pointers and values, or an expression.
//!
//! What is wrong with an expression is told where it stands in the manifest. It must not evaluate one.

use std::ops::Range;

use toml::Spanned;
use toml::de::DeValue;

use super::fields::kind;
use super::params::read_scalar;
use crate::model::diagnostic::Span;
use crate::model::document::Report;
use crate::model::event::{Condition, EVENT_KEYS, Matching};
use crate::script::check_condition;

const EXAMPLE: &str =
    "write { \"/payload/currency\" = \"EUR\" }, or an expression: 'event.payload.currency == \"EUR\"'";

/// Reads a condition; without one every event of the trigger's types is taken. `params`: the keys there are, if they
/// could be read.
pub(super) fn read_when(
    value: Option<&Spanned<DeValue<'_>>>,
    params: Option<&[String]>,
    report: &mut Report<'_>,
) -> Condition {
    let Some(value) = value else {
        return Condition::Matching(Matching::default());
    };
    match value.get_ref() {
        DeValue::Table(_) => Condition::Matching(read_pointers(value, report)),
        DeValue::String(text) => {
            check_expression(text, &value.span(), params, report);
            Condition::Expression(text.to_string())
        }
        other => {
            let message = format!("`when` must be a table or an expression in quotes, not {}", kind(other));
            report.error(&value.span(), message, Some(EXAMPLE.to_owned()));
            Condition::Matching(Matching::default())
        }
    }
}

fn read_pointers(value: &Spanned<DeValue<'_>>, report: &mut Report<'_>) -> Matching {
    let DeValue::Table(table) = value.get_ref() else {
        return Matching::default();
    };
    let mut conditions = Vec::new();
    for (pointer, wanted) in table {
        let text: &str = pointer.get_ref();
        let first = text.strip_prefix('/').and_then(|rest| rest.split('/').next());
        match first {
            None => {
                let message = format!("`{text}` is not a pointer into the event");
                report.error(&pointer.span(), message, Some(EXAMPLE.to_owned()));
            }
            Some(first) if !EVENT_KEYS.contains(&first) => {
                let help = format!("what the provider sent is below /payload: \"/payload{text}\"");
                report.error(&pointer.span(), format!("an event has no `/{first}`"), Some(help));
            }
            Some(_) => {
                if let Some(wanted) = read_scalar("each condition", wanted, report) {
                    conditions.push((text.to_owned(), wanted));
                }
            }
        }
    }
    Matching(conditions)
}

fn check_expression(text: &str, place: &Range<usize>, params: Option<&[String]>, report: &mut Report<'_>) {
    let offsets = offsets_of(report.text_at(place), text);
    for mut finding in check_condition(text, params.map(<[String]>::to_vec)) {
        let start = finding.span.map_or(0, |span| index_of(text, span));
        let length = finding.span.map_or(1, |span| span.length);
        let place = match &offsets {
            Some(offsets) => {
                let at = |index: usize| {
                    offsets
                        .get(index)
                        .or(offsets.last())
                        .map_or(0, |offset| place.start + offset)
                };
                at(start)..at(start + length).max(at(start) + 1)
            }
            None => place.clone(),
        };
        finding.span = Some(report.span(&place));
        report.add(finding);
    }
}

/// Which letter of the text stands at the beginning of a span.
fn index_of(text: &str, span: Span) -> usize {
    let before = text.split_inclusive('\n').take(span.line.saturating_sub(1));
    before.map(|line| line.chars().count()).sum::<usize>() + span.column.saturating_sub(1)
}

/// Where in a literal, in bytes, each letter of its text stands, and where the text ends. Nothing if the literal does
/// not read as that text: then there is no place but the whole.
fn offsets_of(literal: &str, text: &str) -> Option<Vec<usize>> {
    let long = literal.starts_with("\"\"\"") || literal.starts_with("'''");
    let is_basic = literal.starts_with('"');
    let mut at = if long { 3 } else { 1 };
    if long {
        let rest = literal.get(at..)?;
        at += ["\r\n", "\n"]
            .into_iter()
            .find(|end| rest.starts_with(end))
            .map_or(0, str::len);
    }
    let mut offsets = Vec::new();
    for letter in text.chars() {
        let mut rest = literal.get(at..)?;
        if is_basic && long {
            // A backslash at the end of a line joins it with the next text.
            while let Some(after) = rest.strip_prefix('\\').filter(|after| is_line_end(after)) {
                rest = after.trim_start();
                at = literal.len() - rest.len();
            }
        }
        offsets.push(at);
        at += match rest.strip_prefix('\\') {
            Some(escape) if is_basic => 1 + escape_length(escape)?,
            // The end of a line may be written with two letters and read as one.
            _ if letter == '\n' && rest.starts_with("\r\n") => 2,
            _ if rest.starts_with(letter) => letter.len_utf8(),
            _ => return None,
        };
    }
    offsets.push(at);
    Some(offsets)
}

fn is_line_end(text: &str) -> bool {
    text.trim_start_matches([' ', '\t', '\r']).starts_with('\n')
}

/// How many bytes stand behind the backslash.
fn escape_length(escape: &str) -> Option<usize> {
    Some(match escape.chars().next()? {
        'x' => 3,
        'u' => 5,
        'U' => 9,
        other => other.len_utf8(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_letter_of_a_text_is_found_in_its_literal() {
        let check = |literal: &str, text: &str, expected: Option<&[usize]>| {
            assert_eq!(offsets_of(literal, text).as_deref(), expected, "{literal}");
        };
        check("'ab'", "ab", Some(&[1, 2, 3]));
        check(r#""a\"b""#, "a\"b", Some(&[1, 2, 4, 5]));
        check(r#""\u00e9x""#, "éx", Some(&[1, 7, 8]));
        check("'''\nab'''", "ab", Some(&[4, 5, 6]));
        check("\"\"\"a\\\n   b\"\"\"", "ab", Some(&[3, 9, 10]));
        check("'''\r\na\r\nb'''", "a\nb", Some(&[5, 6, 8, 9]));
        check("'other'", "ab", None);
    }
}
