//! The maps that shapes describe: written member by member, and read back from what an answer shows.

use serde_json::{Map as JsonMap, Value as Json};

use super::{amount, argument, encode, unknown_argument};
use crate::base::suggest::nearest;
use crate::connector::connection::Connection;
use crate::connector::table::{Connector, Kind, Param, Shape};
use crate::model::value::{Map, Value};

/// What a shape makes of a map: the tag that chooses, the member it stands in, and its fields.
struct Chosen<'a> {
    tag: Option<(&'a str, &'a str)>,
    member: Option<&'a str>,
    fields: &'a [Param],
}

/// The map as the provider wants it.
pub(super) fn write(connection: &Connection, param: &Param, name: &str, map: &Map) -> Result<Json, String> {
    let connector = &connection.connector;
    let shape = param.shape.as_deref().and_then(|shape| connector.shape(shape));
    let shape = shape.ok_or_else(|| format!("`{name}` is not described by the table"))?;
    let Chosen { tag, member, fields } = choose(shape, name, map)?;
    let mut written = JsonMap::new();
    if let Some((tag, choice)) = tag {
        written.insert(tag.to_owned(), Json::String(shape.tag_word(choice).to_owned()));
    }
    let is_tag = |key: &String| shape.tag.as_ref() == Some(key);
    let is_taken = |key: &str| fields.iter().any(|field| field.name == key && field.set.is_none());
    if let Some(unknown) = map.keys().find(|key| !is_tag(key) && !is_taken(key)) {
        return Err(format!("`{name}`: {}", unknown_argument(unknown, fields)));
    }
    let mut map = map.clone();
    amount::leave_currencies(&connector.money, fields, None, &mut map)
        .map_err(|message| format!("`{name}`: {message}"))?;
    for field in fields {
        let within = |message: String| format!("`{name}`: {message}");
        if let Some(always) = &field.set {
            map.insert(field.name.clone(), Value::text(always));
        }
        match map.get(&field.name).filter(|value| !value.is_null()) {
            Some(value) => {
                let value = argument::write(connection, field, value).map_err(within)?;
                argument::check_bounds(field, &value).map_err(within)?;
                let place = encode::place_in(&mut written, &wire_of(member, field));
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

fn choose<'a>(shape: &'a Shape, name: &str, map: &'a Map) -> Result<Chosen<'a>, String> {
    let Some(tag) = &shape.tag else {
        return Ok(Chosen {
            tag: None,
            member: None,
            fields: &shape.fields,
        });
    };
    let choices = || shape.variant.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
    let chosen = map
        .get(tag)
        .and_then(Value::as_text)
        .ok_or_else(|| format!("`{name}.{tag}` is missing: it says which of {} this is", choices()))?;
    let fields =
        shape
            .variant
            .get(chosen)
            .ok_or_else(|| match nearest(chosen, shape.variant.keys().map(String::as_str)) {
                Some(near) => format!("`{name}.{tag}` cannot be `{chosen}`: did you mean `{near}`?"),
                None => format!("`{name}.{tag}` cannot be `{chosen}`: it takes one of {}", choices()),
            })?;
    Ok(Chosen {
        tag: Some((tag, chosen)),
        member: shape.member.get(chosen).map(String::as_str),
        fields,
    })
}

/// Where a field stands on the wire, seen from the map it belongs to.
fn wire_of(member: Option<&str>, field: &Param) -> String {
    let wire = field.wire_name();
    member.map_or_else(|| wire.to_owned(), |member| format!("{member}.{wire}"))
}

/// A map that an answer shows, as scripts write it. What the shape does not know is left out; so is everything but the
/// tag of a choice it does not know, which is refused when it is sent.
pub(super) fn read_back(connector: &Connector, shape: &Shape, shown: &Map) -> Map {
    let mut read = Map::new();
    let (member, fields) = match &shape.tag {
        None => (None, shape.fields.as_slice()),
        Some(tag) => {
            let Some(word) = shown.get(tag) else { return read };
            let choice = word.as_text().and_then(|word| shape.choice_of(word));
            let (choice, fields) = match choice {
                Some((choice, fields)) => (Some(choice), fields),
                None => (None, &[][..]),
            };
            read.insert(tag.clone(), choice.map_or_else(|| word.clone(), Value::text));
            (choice.and_then(|choice| shape.member.get(choice)), fields)
        }
    };
    for field in fields.iter().filter(|field| field.set.is_none()) {
        let wire = wire_of(member.map(String::as_str), field);
        let mut steps = wire.split('.');
        let first = steps.next().and_then(|step| shown.get(step));
        let found = first.and_then(|first| steps.try_fold(first, |value, step| value.get(step)));
        if let Some(value) = found.filter(|value| !value.is_null()) {
            read.insert(field.name.clone(), read_value(connector, field, value));
        }
    }
    read
}

fn read_value(connector: &Connector, field: &Param, shown: &Value) -> Value {
    let shape = field.shape.as_deref().and_then(|shape| connector.shape(shape));
    match (field.kind, shape, shown) {
        (Kind::Object, Some(shape), Value::Map(map)) => Value::Map(read_back(connector, shape, map)),
        (Kind::Objects, Some(_), Value::List(items)) => {
            let items = items.iter().map(|item| match (shape, item) {
                (Some(shape), Value::Map(map)) => Value::Map(read_back(connector, shape, map)),
                _ => item.clone(),
            });
            Value::List(items.collect())
        }
        (_, _, Value::Text(text)) => {
            let mut words = field.words.iter();
            let word = words.find(|(_, theirs)| *theirs == text);
            word.map_or_else(|| shown.clone(), |(ours, _)| Value::text(ours))
        }
        _ => shown.clone(),
    }
}
