//! Paths and queries: percent-encoding as RFC 3986 has it, everything but unreserved characters.

use std::fmt::Write as _;

use serde_json::Value as Json;

/// A value as one segment of a path. None for a text that would lead to another path: nothing, `.`, `..`.
pub(super) fn in_path(value: &Json) -> Option<String> {
    let text = plain_text(value);
    (!["", ".", ".."].contains(&text.as_str())).then(|| percent_encode(&text))
}

/// Adds a value to a query; a list is repeated.
pub(super) fn push_query(query: &mut Vec<(String, String)>, name: &str, value: &Json) {
    match value {
        Json::Array(items) => items.iter().for_each(|item| push_query(query, name, item)),
        value => query.push((name.to_owned(), plain_text(value))),
    }
}

/// A path with its query.
pub(super) fn with_query(path: String, query: &[(String, String)]) -> String {
    query.iter().fold(path, |mut path, (name, value)| {
        path.push(if path.contains('?') { '&' } else { '?' });
        path.push_str(&percent_encode(name));
        path.push('=');
        path.push_str(&percent_encode(value));
        path
    })
}

/// The same path with this parameter set to this value.
pub(in crate::connector) fn with_query_param(path: &str, name: &str, value: &str) -> String {
    let (bare, query) = path.split_once('?').unwrap_or((path, ""));
    let mark = format!("{}=", percent_encode(name));
    let kept: Vec<&str> = query
        .split('&')
        .filter(|pair| !pair.is_empty() && !pair.starts_with(&mark))
        .collect();
    let bare = if kept.is_empty() {
        bare.to_owned()
    } else {
        format!("{bare}?{}", kept.join("&"))
    };
    with_query(bare, &[(name.to_owned(), value.to_owned())])
}

fn plain_text(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn percent_encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").expect("writing to a text cannot fail");
        }
    }
    encoded
}
