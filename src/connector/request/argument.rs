//! One argument: checked against its parameter and written as JSON. Members of maps are `object`.

use rust_decimal::Decimal;
use serde_json::Value as Json;

use super::object;
use crate::base::clock::Instant;
use crate::base::money::parse_plain;
use crate::base::suggest::nearest;
use crate::connector::connection::Connection;
use crate::connector::table::{Form, Kind, MoneyTable, Param, TimeForm, Unit};
use crate::connector::{times, units};
use crate::model::value::{Value, parse_time};

/// The value as the parameter wants it.
pub(super) fn write(connection: &Connection, param: &Param, value: &Value) -> Result<Json, String> {
    let name = &param.name;
    let refuse = || format!("`{name}` takes {}, not {}", param.kind.describe(), value.kind());
    match (param.kind, value) {
        (Kind::Text, Value::Text(text)) => write_text(param, text),
        (Kind::Uuid, Value::Text(text)) => match uuid::Uuid::try_parse(text) {
            Ok(id) => Ok(Json::String(id.hyphenated().to_string())),
            Err(_) => Err(format!("`{name}` takes a UUID, `{text}` is none")),
        },
        (Kind::Bool, Value::Bool(truth)) => Ok(Json::Bool(*truth)),
        (Kind::Int, Value::Int(number)) => Ok(Json::from(*number)),
        (Kind::Decimal, Value::Int(_) | Value::Decimal(_) | Value::Text(_) | Value::Money(_)) => {
            write_decimal(&connection.connector.money, param, value)
        }
        (Kind::Time, Value::Time(time)) => write_time(connection, param, *time),
        (Kind::Time, Value::Text(text)) => match parse_time(text) {
            Some(time) => write_time(connection, param, time),
            None => Err(format!(
                "`{name}` takes a time such as 2026-05-01T09:30:00Z, `{text}` is none"
            )),
        },
        (Kind::Texts, Value::List(items)) => {
            let texts = items.iter().map(|item| match item {
                Value::Text(text) => write_text(param, text),
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
        (Kind::Object, Value::Map(map)) => object::write(connection, param, name, map),
        (Kind::Objects, Value::List(items)) => {
            let written = items.iter().enumerate().map(|(index, item)| match item {
                Value::Map(map) => object::write(connection, param, &format!("{name}[{index}]"), map),
                other => Err(format!("`{name}` takes a list of maps; it holds {}", other.kind())),
            });
            written.collect::<Result<_, _>>().map(Json::Array)
        }
        (Kind::Any, value) => match has_money(value) {
            true => Err(format!(
                "`{name}` cannot hold an amount of money: nobody says how its amounts are written"
            )),
            false => Ok(value.to_plain()),
        },
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

fn has_money(value: &Value) -> bool {
    match value {
        Value::Money(_) => true,
        Value::List(items) => items.iter().any(has_money),
        Value::Map(map) => map.values().any(has_money),
        _ => false,
    }
}

/// A time in the form of its parameter.
fn write_time(connection: &Connection, param: &Param, time: Instant) -> Result<Json, String> {
    let name = &param.name;
    let form = match &param.format {
        None => TimeForm::default(),
        Some(Form::Fixed(form)) => *form,
        Some(Form::Setting(setting)) => connection
            .setting(setting)
            .and_then(TimeForm::of_word)
            .ok_or_else(|| format!("`{name}` cannot be written: the connection's setting `{setting}` says no form"))?,
    };
    Ok(times::write(form, time))
}

/// Whether a number lies where its parameter has it, as it stands on the wire.
pub(super) fn check_bounds(param: &Param, written: &Json) -> Result<(), String> {
    let bounds = [&param.minimum, &param.maximum, &param.above];
    let text = match written {
        Json::Number(number) => number.to_string(),
        Json::String(text) => text.clone(),
        _ => return Ok(()),
    };
    if bounds.iter().all(|bound| bound.is_none()) {
        return Ok(());
    }
    let number = parse_plain(&text).map_err(|error| format!("`{}`: {error}", param.name))?;
    let broken = |bound: &Option<String>, is_broken: fn(Decimal, Decimal) -> bool| {
        let bound = bound.as_deref().and_then(|bound| parse_plain(bound).ok());
        bound.filter(|bound| is_broken(number, *bound))
    };
    let name = &param.name;
    if let Some(least) = broken(&param.minimum, |number, least| number < least) {
        return Err(format!("`{name}` is {number}: it has to be {least} at least"));
    }
    if let Some(most) = broken(&param.maximum, |number, most| number > most) {
        return Err(format!("`{name}` is {number}: it may be {most} at most"));
    }
    if let Some(above) = broken(&param.above, |number, above| number <= above) {
        return Err(format!("`{name}` is {number}: it has to be more than {above}"));
    }
    Ok(())
}

/// A text that is checked, in the provider's word for it.
fn write_text(param: &Param, text: &str) -> Result<Json, String> {
    check_text(param, text)?;
    Ok(Json::String(
        param.words.get(text).cloned().unwrap_or_else(|| text.to_owned()),
    ))
}

fn check_text(param: &Param, text: &str) -> Result<(), String> {
    let name = &param.name;
    let known: Vec<&str> = param
        .values
        .iter()
        .chain(param.words.keys())
        .map(String::as_str)
        .collect();
    if !known.is_empty() && !known.contains(&text) {
        let help = match nearest(text, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("it takes one of {}", known.join(", ")),
        };
        return Err(format!("`{name}` cannot be `{text}`: {help}"));
    }
    if let Some(chars) = param.chars
        && let Some(other) = text.chars().find(|letter| !chars.have(*letter))
    {
        return Err(format!("`{name}` takes {} only, not `{other}`", chars.describe()));
    }
    let length = text.chars().count();
    match (param.min_length, param.max_length) {
        (Some(min), _) if length < min => Err(format!("`{name}` is {length} characters long, {min} at least")),
        (_, Some(max)) if length > max => Err(format!("`{name}` is {length} characters long, {max} at most")),
        _ => Ok(()),
    }
}
