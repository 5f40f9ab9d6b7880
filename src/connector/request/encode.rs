//! Where values stand on the wire: in paths and queries, percent-encoded as RFC 3986 has it (everything but unreserved
//! characters), in headers, and in the maps of a body.

use std::fmt::Write as _;

use serde_json::{Map as JsonMap, Value as Json};

use crate::connector::connection::header_text;
use crate::connector::table::WHOLE_BODY;

/// A value as one segment of a path. None for a text that would lead to another path: nothing, `.`, `..`.
pub(super) fn in_path(value: &Json) -> Option<String> {
    let text = plain_text(value);
    (!["", ".", ".."].contains(&text.as_str())).then(|| percent_encode(&text))
}

/// A value as a header. None for one that a header does not take as it is: anything but visible ASCII, with spaces
/// only in between.
pub(super) fn in_header(value: &Json) -> Option<String> {
    header_text(&plain_text(value)).map(str::to_owned)
}

/// What stands in a path where its template has `{name}`.
pub(super) fn out_of_path(template: &str, path: &str, name: &str) -> Option<String> {
    let bare = path.split_once('?').map_or(path, |(bare, _)| bare);
    let mut places = template.split('/').zip(bare.split('/'));
    let (_, segment) =
        places.find(|(place, _)| place.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) == Some(name))?;
    percent_decode(segment)
}

/// What a query says under a name, as often as it does.
pub(super) fn out_of_query(path: &str, name: &str) -> Vec<String> {
    let (_, query) = path.split_once('?').unwrap_or((path, ""));
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs
        .filter(|(known, _)| percent_decode(known).as_deref() == Some(name))
        .filter_map(|(_, value)| percent_decode(value))
        .collect()
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

/// The same body with this member set to this value.
pub(in crate::connector) fn with_body_param(body: Option<&str>, name: &str, value: Json) -> Option<String> {
    let mut body: JsonMap<String, Json> = serde_json::from_str(body?).ok()?;
    *place_in(&mut body, name)? = value;
    Some(Json::Object(body).to_string())
}

/// The place in a body that a name on the wire leads to: its points lead into maps, which are made on the way. None if
/// something else stands there.
pub(super) fn place_in<'b>(body: &'b mut JsonMap<String, Json>, name: &str) -> Option<&'b mut Json> {
    match name.split_once('.') {
        None => Some(body.entry(name).or_insert(Json::Null)),
        Some((outer, inner)) => {
            let map = body.entry(outer).or_insert_with(|| Json::Object(JsonMap::new()));
            place_in(map.as_object_mut()?, inner)
        }
    }
}

/// What stands in a body under a name on the wire. [`WHOLE_BODY`] is all of it.
pub(super) fn out_of_body<'b>(body: &'b Json, name: &str) -> Option<&'b Json> {
    if name == WHOLE_BODY {
        return Some(body);
    }
    name.split('.').try_fold(body, |body, name| body.get(name))
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

fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let mut digit = || char::from(bytes.next()?).to_digit(16);
        let (high, low) = (digit()?, digit()?);
        decoded.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(decoded).ok()
}
