//! JSON in scripts: our own exact reading and writing.
//!
//! The interpreter's own `parse_json` passes through binary floats or evaluates code; neither is
//! reachable, because these take its place.

use rhai::{Dynamic, Map as RhaiMap, Module};

use super::convert;
use super::fault::{Native, fault};
use super::register::reads;
use crate::model::value::Value;

fn parse(text: &str) -> Native<Dynamic> {
    let json: serde_json::Value =
        serde_json::from_str(text).map_err(|error| fault("not_json", format!("the text is not JSON: {error}")))?;
    let value = Value::from_plain(&json).map_err(|error| fault("not_json", error.to_string()))?;
    convert::to_script(value).map_err(|refused| fault("too_large", format!("the JSON text holds {refused}")))
}

fn write(value: &Dynamic) -> Native<String> {
    convert::from_script(value)
        .map(|value| value.to_plain().to_string())
        .map_err(|refused| fault("not_json", format!("cannot write {refused}")))
}

/// Adds JSON to the standard functions.
pub(super) fn register(module: &mut Module) {
    reads(module, "parse_json", parse);
    reads(module, "to_json", |value: Dynamic| write(&value));
    // The interpreter has one for maps, which an exact match would prefer.
    reads(module, "to_json", |map: &mut RhaiMap| {
        write(&Dynamic::from_map(map.clone()))
    });
}
