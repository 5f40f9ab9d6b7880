//! Conversion between the interpreter's values and ours, exact both ways.
//!
//! Nothing passes through text or binary floats. What cannot be held (closures, ranges, too deep, too
//! large) is refused with a sentence; it is never turned into something near.

use rhai::{Array, Dynamic, Map as RhaiMap};
use rust_decimal::Decimal;

use super::time::{Length, Moment};
use crate::base::limits::{
    SCRIPT_LIST_ITEMS_MAX, SCRIPT_MAP_KEYS_MAX, SCRIPT_TEXT_BYTES_MAX, VALUE_BYTES_MAX, VALUE_DEPTH_MAX,
};
use crate::base::money::Money;
use crate::model::value::{Map, Value};

/// Why a value cannot cross.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    /// A closure or a function pointer.
    #[error("a closure, which cannot be recorded: pass plain values")]
    Closure,
    /// Something of the interpreter's own.
    #[error("a value of type {0}, which cannot be recorded: pass text, numbers, money, times, lists or maps")]
    Type(String),
    /// Too many levels, or a value inside itself.
    #[error("a value nested deeper than {VALUE_DEPTH_MAX} levels")]
    TooDeep,
    /// Too much.
    #[error("a value larger than {VALUE_BYTES_MAX} bytes")]
    TooLarge,
    /// More than the interpreter may hold in one value.
    #[error("{found} {what}, and a script may hold {limit} in one value")]
    OverLimit {
        /// What there is too much of.
        what: &'static str,
        /// How much there is.
        found: usize,
        /// How much there may be.
        limit: usize,
    },
}

/// What a person calls the type of a script's value.
pub(super) fn kind(value: &Dynamic) -> &'static str {
    if value.is_fnptr() {
        "a closure"
    } else if value.is_unit() {
        "nothing"
    } else if value.is_bool() {
        "true or false"
    } else if value.is_int() {
        "a whole number"
    } else if value.is_decimal() {
        "a decimal number"
    } else if value.is_string() || value.is_char() {
        "text"
    } else if value.is_array() {
        "a list"
    } else if value.is_map() {
        "a map"
    } else if value.is::<Money>() {
        "an amount of money"
    } else if value.is::<Moment>() {
        "a time"
    } else if value.is::<Length>() {
        "a length of time"
    } else {
        "a value of another type"
    }
}

/// The number, if the value is one.
pub(super) fn number(value: &Dynamic) -> Option<Decimal> {
    value.as_decimal().or_else(|_| value.as_int().map(Decimal::from)).ok()
}

/// A script's value as ours.
pub(super) fn from_script(value: &Dynamic) -> Result<Value, Refused> {
    let mut budget = VALUE_BYTES_MAX;
    read(value, 0, &mut budget)
}

fn spend(budget: &mut usize, bytes: usize) -> Result<(), Refused> {
    *budget = budget.checked_sub(bytes).ok_or(Refused::TooLarge)?;
    Ok(())
}

fn read(value: &Dynamic, depth: usize, budget: &mut usize) -> Result<Value, Refused> {
    if depth > VALUE_DEPTH_MAX {
        return Err(Refused::TooDeep);
    }
    // Every value takes at least a few characters when it is written down.
    spend(budget, 2)?;
    if value.is_shared() {
        return read(&value.flatten_clone(), depth + 1, budget);
    }
    if value.is_unit() {
        return Ok(Value::Null);
    }
    if let Ok(truth) = value.as_bool() {
        return Ok(Value::Bool(truth));
    }
    if let Ok(number) = value.as_int() {
        return Ok(Value::Int(number));
    }
    if let Ok(number) = value.as_decimal() {
        return Ok(Value::Decimal(number));
    }
    if let Ok(letter) = value.as_char() {
        return Ok(Value::Text(letter.to_string()));
    }
    if let Ok(text) = value.as_immutable_string_ref() {
        spend(budget, text.len())?;
        return Ok(Value::Text(text.to_string()));
    }
    if let Ok(items) = value.as_array_ref() {
        let items = items.iter().map(|item| read(item, depth + 1, budget));
        return Ok(Value::List(items.collect::<Result<_, _>>()?));
    }
    if let Ok(entries) = value.as_map_ref() {
        let mut map = Map::new();
        for (key, item) in entries.iter() {
            spend(budget, key.len())?;
            map.insert(key.to_string(), read(item, depth + 1, budget)?);
        }
        return Ok(Value::Map(map));
    }
    read_own(value)
}

fn read_own(value: &Dynamic) -> Result<Value, Refused> {
    if let Some(money) = value.read_lock::<Money>() {
        return Ok(Value::Money(*money));
    }
    if let Some(moment) = value.read_lock::<Moment>() {
        return Ok(Value::Time(moment.0));
    }
    if let Some(length) = value.read_lock::<Length>() {
        return Ok(Value::Duration(length.0));
    }
    if value.is_fnptr() {
        return Err(Refused::Closure);
    }
    Err(Refused::Type(value.type_name().to_owned()))
}

/// Our value as a script's.
///
/// The interpreter's own size limits end a script without a chance to catch; the same limits are checked
/// here first, so that a large answer becomes an error like any other.
pub(super) fn to_script(value: Value) -> Result<Dynamic, Refused> {
    to_script_sized(value).map(|(value, _)| value)
}

/// The same, and about how many bytes the script's value takes.
pub(super) fn to_script_sized(value: Value) -> Result<(Dynamic, usize), Refused> {
    let mut sizes = Sizes::default();
    let converted = write(value, 0, &mut sizes)?;
    sizes.check()?;
    Ok((converted, sizes.bytes()))
}

#[derive(Default)]
struct Sizes {
    text_bytes: usize,
    items: usize,
    keys: usize,
}

impl Sizes {
    /// A map entry holds a key, a value and its share of a node; a list item only a value.
    fn bytes(&self) -> usize {
        self.text_bytes + self.items * 32 + self.keys * 64
    }

    fn check(&self) -> Result<(), Refused> {
        for (what, size, limit) in [
            ("bytes of text", self.text_bytes, SCRIPT_TEXT_BYTES_MAX),
            ("list items", self.items, SCRIPT_LIST_ITEMS_MAX),
            ("map entries", self.keys, SCRIPT_MAP_KEYS_MAX),
        ] {
            if size > limit {
                let found = size;
                return Err(Refused::OverLimit { what, found, limit });
            }
        }
        Ok(())
    }
}

fn write(value: Value, depth: usize, sizes: &mut Sizes) -> Result<Dynamic, Refused> {
    if depth > VALUE_DEPTH_MAX {
        return Err(Refused::TooDeep);
    }
    Ok(match value {
        Value::Null => Dynamic::UNIT,
        Value::Bool(truth) => truth.into(),
        Value::Int(number) => number.into(),
        Value::Decimal(number) => Dynamic::from_decimal(number),
        Value::Money(money) => Dynamic::from(money),
        Value::Time(time) => Dynamic::from(Moment(time)),
        Value::Duration(length) => Dynamic::from(Length(length)),
        Value::Text(text) => {
            sizes.text_bytes += text.len();
            text.into()
        }
        Value::List(items) => {
            sizes.items += items.len();
            let items = items.into_iter().map(|item| write(item, depth + 1, sizes));
            Dynamic::from_array(items.collect::<Result<Array, _>>()?)
        }
        Value::Map(map) => {
            sizes.keys += map.len();
            let entries = map
                .into_iter()
                .map(|(key, item)| Ok((key.into(), write(item, depth + 1, sizes)?)));
            Dynamic::from_map(entries.collect::<Result<RhaiMap, Refused>>()?)
        }
    })
}
