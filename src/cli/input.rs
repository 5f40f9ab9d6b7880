//! What people hand over: JSON from a file or standard input, `name=value` pairs.

use std::fs;
use std::io::{self, Read as _};
use std::path::Path;

use serde_json::Value as Json;

use super::error::CliError;

/// The JSON in this file; `-` is standard input.
pub(super) fn json(file: &Path) -> Result<Json, CliError> {
    let (text, name) = if file == Path::new("-") {
        let mut text = String::new();
        (
            io::stdin().read_to_string(&mut text).map(|_| text),
            "standard input".to_owned(),
        )
    } else {
        (fs::read_to_string(file), file.display().to_string())
    };
    let text = text.map_err(|error| {
        CliError::usage(format!("{name} cannot be read: {error}"))
            .hint("name a file that holds JSON, or `-` for standard input")
    })?;
    serde_json::from_str(&text).map_err(|error| {
        CliError::usage(format!("{name} is not JSON: {error}")).hint("amounts are texts: {\"amount\": \"12.50\"}")
    })
}

/// The bytes of this file, as they are; `-` is standard input.
pub(super) fn bytes(file: &Path) -> Result<Vec<u8>, CliError> {
    let (bytes, name) = if file == Path::new("-") {
        let mut bytes = Vec::new();
        (
            io::stdin().read_to_end(&mut bytes).map(|_| bytes),
            "standard input".to_owned(),
        )
    } else {
        (fs::read(file), file.display().to_string())
    };
    bytes.map_err(|error| CliError::usage(format!("{name} cannot be read: {error}")))
}

/// `name=value`, as an argument.
pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE, such as buffer=500.00".to_owned()),
    }
}

/// What was typed, as the kind the manifest's value has: a text stays a text, so that `500.00` is not a number
/// where the script reads an amount.
pub(super) fn like(known: Option<&Json>, typed: &str) -> Json {
    match known {
        None | Some(Json::String(_)) => Json::String(typed.to_owned()),
        Some(_) => serde_json::from_str(typed).unwrap_or_else(|_| Json::String(typed.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_param_takes_the_kind_of_the_manifests() {
        let check =
            |known: Option<Json>, typed: &str, expected: Json| assert_eq!(like(known.as_ref(), typed), expected);
        check(Some(json!("1000.00")), "500.00", json!("500.00"));
        check(Some(json!(3)), "4", json!(4));
        check(Some(json!(true)), "false", json!(false));
        check(Some(json!(["a"])), r#"["b"]"#, json!(["b"]));
        check(Some(json!(3)), "many", json!("many"));
        check(None, "500.00", json!("500.00"));
    }

    #[test]
    fn a_pair_needs_a_name() {
        assert_eq!(pair("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert!(pair("=b").is_err());
        assert!(pair("b").is_err());
    }
}
