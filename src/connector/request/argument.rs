//! One argument: checked against its parameter and written as JSON.

use serde_json::{Map as JsonMap, Value as Json};

use super::{amount, encode, unknown_argument};
use crate::base::money::parse_plain;
use crate::base::suggest::nearest;
use crate::connector::table::{Connector, Kind, MoneyTable, Param, Shape, Unit};
use crate::connector::units;
use crate::model::value::{Map, Value, parse_time, time_text};

/// The value as the parameter wants it.
pub(super) fn write(connector: &Connector, param: &Param, value: &Value) -> Result<Json, String> {
    let name = &param.name;
    let refuse = || format!("`{name}` takes {}, not {}", param.kind.describe(), value.kind());
    match (param.kind, value) {
        (Kind::Text, Value::Text(text)) => checked_text(param, text).map(Json::String),
        (Kind::Uuid, Value::Text(text)) => match uuid::Uuid::try_parse(text) {
            Ok(id) => Ok(Json::String(id.hyphenated().to_string())),
            Err(_) => Err(format!("`{name}` takes a UUID, `{text}` is none")),
        },
        (Kind::Bool, Value::Bool(truth)) => Ok(Json::Bool(*truth)),
        (Kind::Int, Value::Int(number)) => Ok(Json::from(*number)),
        (Kind::Decimal, Value::Int(_) | Value::Decimal(_) | Value::Text(_) | Value::Money(_)) => {
            write_decimal(&connector.money, param, value)
        }
        (Kind::Time, Value::Time(time)) => Ok(Json::String(time_text(*time))),
        (Kind::Time, Value::Text(text)) => match parse_time(text) {
            Some(time) => Ok(Json::String(time_text(time))),
            None => Err(format!(
                "`{name}` takes a time such as 2026-05-01T09:30:00Z, `{text}` is none"
            )),
        },
        (Kind::Texts, Value::List(items)) => {
            let texts = items.iter().map(|item| match item {
                Value::Text(text) => checked_text(param, text).map(Json::String),
                other => Err(format!("`{name}` takes a list of texts; it holds {}", other.kind())),
            });
            texts.collect::<Result<_, _>>().map(Json::Array)
        }
        (Kind::TextMap, Value::Map(map)) => {
            let entries = map
                .iter()
                .filter(|(_, item)| !item.is_null())
                .map(|(key, item)| match item {
                    Value::Text(text) => Ok((key.clone(), Json::String(text.clone()))),
                    other => Err(format!("`{name}.{key}` takes text, not {}", other.kind())),
                });
            entries.collect::<Result<_, _>>().map(Json::Object)
        }
        (Kind::Object, Value::Map(map)) => {
            let shape = param.shape.as_deref().and_then(|shape| connector.shape(shape));
            write_object(connector, shape, name, map)
        }
        _ => Err(refuse()),
    }
}

/// A number that is not the amount of the call, in its unit.
fn write_decimal(table: &MoneyTable, param: &Param, value: &Value) -> Result<Json, String> {
    let name = &param.name;
    let within = |reason: String| format!("`{name}`: {reason}");
    let number = match value {
        Value::Text(text) => parse_plain(text).map_err(|error| within(error.to_string()))?,
        Value::Money(money) => money.amount(),
        other => other.as_decimal().unwrap_or_default(),
    };
    if number.is_sign_negative() && !number.is_zero() {
        return Err(format!("`{name}` is negative: {number}"));
    }
    let unit = param.unit.or(table.unit).unwrap_or(Unit::DecimalText);
    let written = match value {
        Value::Money(money) => units::write(table, unit, *money),
        _ => units::write_plain(unit, number),
    };
    written.map_err(within)
}

fn checked_text(param: &Param, text: &str) -> Result<String, String> {
    let name = &param.name;
    if !param.values.is_empty() && !param.values.iter().any(|known| known == text) {
        let help = match nearest(text, param.values.iter().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("it takes one of {}", param.values.join(", ")),
        };
        return Err(format!("`{name}` cannot be `{text}`: {help}"));
    }
    let length = text.chars().count();
    match (param.min_length, param.max_length) {
        (Some(min), _) if length < min => Err(format!("`{name}` is {length} characters long, {min} at least")),
        (_, Some(max)) if length > max => Err(format!("`{name}` is {length} characters long, {max} at most")),
        _ => Ok(text.to_owned()),
    }
}

/// The members of a map that a shape knows.
pub(super) fn keep_known(shape: &Shape, map: &Map) -> Map {
    let chosen = shape.tag.as_ref().and_then(|tag| map.get(tag)?.as_text());
    let fields = chosen
        .and_then(|chosen| shape.variant.get(chosen))
        .unwrap_or(&shape.fields);
    map.iter()
        .filter(|(key, _)| shape.tag.as_ref() == Some(key) || fields.iter().any(|field| field.name == **key))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

fn write_object(connector: &Connector, shape: Option<&Shape>, name: &str, map: &Map) -> Result<Json, String> {
    let shape = shape.ok_or_else(|| format!("`{name}` is not described by the table"))?;
    let mut written = JsonMap::new();
    let fields = match &shape.tag {
        None => &shape.fields,
        Some(tag) => {
            let choices = || shape.variant.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            let chosen = map
                .get(tag)
                .and_then(Value::as_text)
                .ok_or_else(|| format!("`{name}.{tag}` is missing: it says which of {} this is", choices()))?;
            let fields = shape.variant.get(chosen).ok_or_else(|| {
                match nearest(chosen, shape.variant.keys().map(String::as_str)) {
                    Some(near) => format!("`{name}.{tag}` cannot be `{chosen}`: did you mean `{near}`?"),
                    None => format!("`{name}.{tag}` cannot be `{chosen}`: it takes one of {}", choices()),
                }
            })?;
            written.insert(tag.clone(), Json::String(chosen.to_owned()));
            fields
        }
    };
    let is_tag = |key: &String| shape.tag.as_ref() == Some(key);
    if let Some(unknown) = map
        .keys()
        .find(|key| !is_tag(key) && !fields.iter().any(|field| field.name == **key))
    {
        return Err(format!("`{name}`: {}", unknown_argument(unknown, fields)));
    }
    let mut map = map.clone();
    amount::leave_currencies(&connector.money, fields, None, &mut map)
        .map_err(|message| format!("`{name}`: {message}"))?;
    for field in fields {
        let within = |message: String| format!("`{name}`: {message}");
        match map.get(&field.name).filter(|value| !value.is_null()) {
            Some(value) => {
                let value = write(connector, field, value).map_err(within)?;
                let place = encode::place_in(&mut written, field.wire_name());
                *place
                    .ok_or_else(|| within(format!("`{}` has no place: another member stands there", field.name)))? =
                    value;
            }
            None if field.required => return Err(within(format!("`{}` is missing: {}", field.name, field.doc))),
            None => {}
        }
    }
    Ok(Json::Object(written))
}
