//! Whether something shows what was sent: member by member, whatever else it shows besides.
//!
//! Pure. It must not know where either stands, nor what follows from a difference.

use rust_decimal::Decimal;
use serde_json::Value as Json;
use uuid::Uuid;

use super::table::Kind;
use crate::base::money::parse_plain;
use crate::model::value::Value;

/// Whether `shown` is what was sent as a parameter of this kind: every member of a map, as many items of a list in any
/// order, numbers by what they are worth, UUIDs by what they name.
pub(super) fn shows(kind: Option<Kind>, sent: &Json, shown: &Value) -> bool {
    let Ok(sent) = Value::from_plain(sent) else {
        return false;
    };
    let worth = |value: &Value| match (kind, value) {
        (Some(Kind::Decimal), Value::Text(text)) => parse_plain(text).ok(),
        _ => value.as_decimal(),
    };
    match (worth(&sent), worth(shown)) {
        (Some(sent), Some(shown)) => sent == shown,
        _ => is_in(&sent, shown),
    }
}

/// The same of what is no parameter.
pub(super) fn is_in(sent: &Value, shown: &Value) -> bool {
    match (sent, shown) {
        (Value::Map(sent), Value::Map(shown)) => sent
            .iter()
            .filter(|(_, value)| !value.is_null())
            .all(|(key, value)| shown.get(key).is_some_and(|shown| is_in(value, shown))),
        (Value::List(sent), Value::List(shown)) => sent.len() == shown.len() && are_paired(sent, shown),
        (Value::Text(sent), Value::Text(shown)) => sent == shown || is_same_uuid(sent, shown),
        (sent, shown) => match (number(sent, shown), number(shown, sent)) {
            (Some(sent), Some(shown)) => sent == shown,
            _ => sent == shown,
        },
    }
}

/// Whether two texts are one UUID: some write it in capitals, some without its hyphens.
fn is_same_uuid(one: &str, other: &str) -> bool {
    let read = |text: &str| Uuid::try_parse(text).ok();
    read(one).is_some_and(|one| read(other) == Some(one))
}

/// A number; of a text, only where a number stands on the other side: texts of digits are names as often as amounts.
fn number(value: &Value, other: &Value) -> Option<Decimal> {
    match value {
        Value::Text(text) => other.as_decimal().and_then(|_| parse_plain(text).ok()),
        value => value.as_decimal(),
    }
}

/// Whether each item that was sent has an item of its own that shows it. One that takes another's place lets that one
/// look for a place elsewhere.
fn are_paired(sent: &[Value], shown: &[Value]) -> bool {
    let mut holders: Vec<Option<usize>> = vec![None; shown.len()];
    (0..sent.len()).all(|item| {
        let mut tried = vec![false; shown.len()];
        place(item, sent, shown, &mut holders, &mut tried)
    })
}

fn place(item: usize, sent: &[Value], shown: &[Value], holders: &mut [Option<usize>], tried: &mut [bool]) -> bool {
    let Some(wanted) = sent.get(item) else { return false };
    for (index, candidate) in shown.iter().enumerate() {
        if tried.get(index).copied().unwrap_or(true) || !is_in(wanted, candidate) {
            continue;
        }
        if let Some(tried) = tried.get_mut(index) {
            *tried = true;
        }
        let holder = holders.get(index).copied().flatten();
        if holder.is_none_or(|holder| place(holder, sent, shown, holders, tried)) {
            if let Some(place) = holders.get_mut(index) {
                *place = Some(item);
            }
            return true;
        }
    }
    false
}
