//! Values: what crosses between scripts, the journal and providers, without losing a digit or a type.
//!
//! Two JSON forms exist. The *plain* form is outside data: what providers send and get. The *typed* form
//! is the journal's: it keeps what plain JSON cannot (the decimal `100` is not the integer `100`), by
//! wrapping such values in a map with one key that begins with `$`. A map of outside data that looks like
//! that gets a second `$` before its key, so that no data can pretend to be money.

use std::collections::BTreeMap;
use std::fmt;

use chrono::{SecondsFormat, TimeDelta};
use rust_decimal::Decimal;
use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::Value as Json;

use crate::base::clock::Instant;
use crate::base::limits::VALUE_DEPTH_MAX;
use crate::base::money::{Money, parse_plain};

/// A map of values. Keys are sorted, so that two equal maps are written the same way.
pub type Map = BTreeMap<String, Value>;

/// One value.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Value {
    /// Nothing: `()` in a script, `null` in JSON.
    #[default]
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// An exact decimal number.
    Decimal(Decimal),
    /// An exact amount of one currency.
    Money(Money),
    /// A point in time, UTC.
    Time(Instant),
    /// A length of time.
    Duration(TimeDelta),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Self>),
    /// A map.
    Map(Map),
}

/// Why a value cannot be taken in or given out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// A number that a 96-bit decimal cannot hold exactly.
    #[error("the number {0} cannot be held exactly (at most 28 significant digits)")]
    InexactNumber(String),
    /// Too many levels.
    #[error("nested deeper than {VALUE_DEPTH_MAX} levels")]
    TooDeep,
    /// A typed form that is damaged.
    #[error("not a recorded value: {0}")]
    BadTypedForm(String),
}

impl Value {
    /// A map of these entries.
    pub fn map<K: Into<String>>(entries: impl IntoIterator<Item = (K, Self)>) -> Self {
        Self::Map(entries.into_iter().map(|(key, value)| (key.into(), value)).collect())
    }

    /// Text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// What a person calls this kind of value.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "true or false",
            Self::Int(_) => "a whole number",
            Self::Decimal(_) => "a decimal number",
            Self::Money(_) => "an amount of money",
            Self::Time(_) => "a time",
            Self::Duration(_) => "a length of time",
            Self::Text(_) => "text",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
        }
    }

    /// The entry of a map, if this is a map and has it.
    pub fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Map(map) => map.get(key),
            _ => None,
        }
    }

    /// The text, if this is text.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The map, if this is a map.
    pub fn as_map(&self) -> Option<&Map> {
        match self {
            Self::Map(map) => Some(map),
            _ => None,
        }
    }

    /// The list, if this is a list.
    pub fn as_list(&self) -> Option<&[Self]> {
        match self {
            Self::List(list) => Some(list),
            _ => None,
        }
    }

    /// About how many bytes it takes when it is written down.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Text(text) => text.len() + 2,
            Self::List(items) => items.iter().map(|item| item.bytes() + 1).sum::<usize>() + 2,
            Self::Map(map) => {
                map.iter()
                    .map(|(key, item)| key.len() + item.bytes() + 4)
                    .sum::<usize>()
                    + 2
            }
            Self::Null
            | Self::Bool(_)
            | Self::Int(_)
            | Self::Decimal(_)
            | Self::Money(_)
            | Self::Time(_)
            | Self::Duration(_) => 24,
        }
    }

    /// Whether there is a value.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The number as a decimal, if this is a number.
    pub fn as_decimal(&self) -> Option<Decimal> {
        match self {
            Self::Int(number) => Some(Decimal::from(*number)),
            Self::Decimal(number) => Some(*number),
            _ => None,
        }
    }

    /// The value at a JSON pointer (RFC 6901): `/payload/amount`; the empty pointer is the value itself.
    pub fn pointer(&self, pointer: &str) -> Option<&Self> {
        if pointer.is_empty() {
            return Some(self);
        }
        pointer.strip_prefix('/')?.split('/').try_fold(self, |value, token| {
            let token = token.replace("~1", "/").replace("~0", "~");
            match value {
                Self::Map(map) => map.get(&token),
                Self::List(list) => list.get(array_index(&token)?),
                _ => None,
            }
        })
    }

    /// The same, to be changed: of maps alone.
    pub fn pointer_mut(&mut self, pointer: &str) -> Option<&mut Self> {
        if pointer.is_empty() {
            return Some(self);
        }
        pointer.strip_prefix('/')?.split('/').try_fold(self, |value, token| {
            let token = token.replace("~1", "/").replace("~0", "~");
            match value {
                Self::Map(map) => map.get_mut(&token),
                _ => None,
            }
        })
    }

    /// Reads the plain form. Whole numbers that fit become integers, every other number an exact decimal.
    ///
    /// # Errors
    /// [`ValueError::InexactNumber`] rather than losing a digit, [`ValueError::TooDeep`].
    pub fn from_plain(json: &Json) -> Result<Self, ValueError> {
        Self::read_plain(json, 0)
    }

    fn read_plain(json: &Json, depth: usize) -> Result<Self, ValueError> {
        if depth > VALUE_DEPTH_MAX {
            return Err(ValueError::TooDeep);
        }
        Ok(match json {
            Json::Null => Self::Null,
            Json::Bool(truth) => Self::Bool(*truth),
            Json::Number(number) => read_number(number.as_str())?,
            Json::String(text) => Self::Text(text.clone()),
            Json::Array(items) => Self::List(
                items
                    .iter()
                    .map(|item| Self::read_plain(item, depth + 1))
                    .collect::<Result<_, _>>()?,
            ),
            Json::Object(entries) => Self::Map(
                entries
                    .iter()
                    .map(|(key, item)| Ok((key.clone(), Self::read_plain(item, depth + 1)?)))
                    .collect::<Result<_, ValueError>>()?,
            ),
        })
    }

    /// Writes the plain form: numbers keep every digit, money becomes `{"amount": "…", "currency": "…"}`,
    /// a time RFC 3339 text with `Z`, a length of time its seconds.
    pub fn to_plain(&self) -> Json {
        match self {
            Self::Null => Json::Null,
            Self::Bool(truth) => Json::Bool(*truth),
            Self::Int(number) => Json::from(*number),
            Self::Decimal(number) => exact_number(&number.to_string()),
            Self::Money(money) => {
                serde_json::json!({"amount": money.amount().to_string(), "currency": money.currency().code()})
            }
            Self::Time(time) => Json::String(time_text(*time)),
            Self::Duration(duration) => exact_number(&seconds_text(*duration)),
            Self::Text(text) => Json::String(text.clone()),
            Self::List(items) => Json::Array(items.iter().map(Self::to_plain).collect()),
            Self::Map(map) => Json::Object(map.iter().map(|(key, item)| (key.clone(), item.to_plain())).collect()),
        }
    }

    /// Writes the typed form, from which [`Value::from_typed`] makes the same value again.
    pub fn to_typed(&self) -> Json {
        serde_json::to_value(Typed(self)).expect("every key is text, and nothing else can fail")
    }

    /// The typed form as text.
    pub fn typed_text(&self) -> String {
        text_of(&Typed(self))
    }

    /// Reads the typed form.
    ///
    /// # Errors
    /// [`ValueError::BadTypedForm`] for a damaged tag, and what [`Value::from_plain`] may answer.
    pub fn from_typed(json: &Json) -> Result<Self, ValueError> {
        Self::read_typed(json, 0)
    }

    fn read_typed(json: &Json, depth: usize) -> Result<Self, ValueError> {
        if depth > VALUE_DEPTH_MAX {
            return Err(ValueError::TooDeep);
        }
        let entries = match json {
            Json::Array(items) => {
                let items = items.iter().map(|item| Self::read_typed(item, depth + 1));
                return Ok(Self::List(items.collect::<Result<_, _>>()?));
            }
            Json::Object(entries) => entries,
            scalar => return Self::read_plain(scalar, depth),
        };
        match (entries.len(), entries.iter().next()) {
            (1, Some((tag, inner))) if tag.starts_with('$') => match (tag.strip_prefix("$$"), inner) {
                (Some(key), _) => Ok(Self::map([(format!("${key}"), Self::read_typed(inner, depth + 1)?)])),
                (None, Json::String(text)) => read_tagged(tag, text),
                (None, _) => Err(ValueError::BadTypedForm(format!("the tag {tag}"))),
            },
            _ => entries
                .iter()
                .map(|(key, item)| Ok((key.clone(), Self::read_typed(item, depth + 1)?)))
                .collect::<Result<Map, ValueError>>()
                .map(Self::Map),
        }
    }
}

/// The typed form of a map, as [`Value::typed_text`] writes it.
pub fn typed_map_text(map: &Map) -> String {
    text_of(&TypedMap(map))
}

fn text_of(form: &impl Serialize) -> String {
    serde_json::to_string(form).expect("every key is text, and nothing else can fail")
}

/// A value as its typed form: written as it is read, without a tree between.
#[derive(Debug, Clone, Copy)]
pub struct Typed<'a>(pub &'a Value);

impl Serialize for Typed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (tag, text) = match self.0 {
            Value::Null => return serializer.serialize_unit(),
            Value::Bool(truth) => return serializer.serialize_bool(*truth),
            Value::Int(number) => return serializer.serialize_i64(*number),
            Value::Text(text) => return serializer.serialize_str(text),
            Value::List(items) => return serializer.collect_seq(items.iter().map(Typed)),
            Value::Map(map) => return TypedMap(map).serialize(serializer),
            Value::Decimal(number) => ("$decimal", number.to_string()),
            Value::Money(money) => ("$money", format!("{} {}", money.currency().code(), money.amount())),
            Value::Time(time) => ("$time", time.to_rfc3339_opts(SecondsFormat::Nanos, true)),
            Value::Duration(duration) => ("$seconds", seconds_text(*duration)),
        };
        serializer.collect_map([(tag, text)])
    }
}

struct TypedMap<'a>(&'a Map);

impl Serialize for TypedMap<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut written = serializer.serialize_map(Some(self.0.len()))?;
        // A map that looks tagged is escaped in place rather than wrapped: a level more could be one too many for
        // a JSON reader.
        let looks_tagged = self.0.len() == 1;
        for (key, item) in self.0 {
            if looks_tagged && key.starts_with('$') {
                written.serialize_entry(&format!("${key}"), &Typed(item))?;
            } else {
                written.serialize_entry(key, &Typed(item))?;
            }
        }
        written.end()
    }
}

fn read_tagged(tag: &str, text: &str) -> Result<Value, ValueError> {
    let bad = || ValueError::BadTypedForm(format!("{tag} with `{text}`"));
    match tag {
        "$decimal" => parse_plain(text).map(Value::Decimal).map_err(|_| bad()),
        "$money" => {
            let (currency, amount) = text.split_once(' ').ok_or_else(bad)?;
            let currency = currency.parse().map_err(|_| bad())?;
            Money::parse(amount, currency).map(Value::Money).map_err(|_| bad())
        }
        // The relaxed reader: RFC 3339 ends at the year 9999, a script's arithmetic does not.
        "$time" => text.parse().map(Value::Time).map_err(|_| bad()),
        "$seconds" => parse_seconds(text).map(Value::Duration).ok_or_else(bad),
        _ => Err(bad()),
    }
}

/// A time written as RFC 3339, in any offset, as UTC.
pub fn parse_time(text: &str) -> Option<Instant> {
    chrono::DateTime::parse_from_rfc3339(text)
        .ok()
        .map(|time| time.to_utc())
}

/// A time as RFC 3339 with `Z`, with as many fractional digits as it needs.
pub fn time_text(time: Instant) -> String {
    time.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

fn seconds_text(duration: TimeDelta) -> String {
    let nanos = i128::from(duration.num_seconds()) * 1_000_000_000 + i128::from(duration.subsec_nanos());
    Decimal::try_from_i128_with_scale(nanos, 9).map_or_else(
        |_| duration.num_seconds().to_string(),
        |seconds| seconds.normalize().to_string(),
    )
}

fn parse_seconds(text: &str) -> Option<TimeDelta> {
    let seconds = parse_plain(text).ok()?;
    let nanos = seconds.checked_mul(Decimal::from(1_000_000_000))?.normalize();
    if nanos.scale() != 0 {
        return None;
    }
    let nanos = nanos.mantissa();
    let whole = i64::try_from(nanos.div_euclid(1_000_000_000)).ok()?;
    TimeDelta::new(whole, u32::try_from(nanos.rem_euclid(1_000_000_000)).ok()?)
}

/// A JSON number with exactly these digits.
fn exact_number(digits: &str) -> Json {
    serde_json::from_str(digits).unwrap_or_else(|_| Json::String(digits.to_owned()))
}

/// The value of a number's digits as JSON writes them.
pub(super) fn read_number(digits: &str) -> Result<Value, ValueError> {
    if let Ok(whole) = digits.parse() {
        return Ok(Value::Int(whole));
    }
    exact_decimal(digits)
        .map(Value::Decimal)
        .ok_or_else(|| ValueError::InexactNumber(digits.to_owned()))
}

/// The number a JSON text writes, if a decimal holds every digit of it.
fn exact_decimal(text: &str) -> Option<Decimal> {
    let Some((digits, exponent)) = text.split_once(['e', 'E']) else {
        return parse_plain(text).ok();
    };
    let fraction = digits.split_once('.').map_or("", |(_, fraction)| fraction);
    let digits = digits.replace('.', "");
    let significant = digits.trim_end_matches('0');
    if significant.trim_start_matches('-').is_empty() {
        return Some(Decimal::ZERO);
    }
    let dropped = digits.len() - significant.len();
    let scale = i64::try_from(fraction.len()).ok()? - i64::try_from(dropped).ok()?;
    let mantissa: i128 = significant.parse().ok()?;
    match scale.checked_sub(exponent.parse().ok()?)? {
        scale @ 0.. => Decimal::try_from_i128_with_scale(mantissa, u32::try_from(scale).ok()?).ok(),
        missing => {
            let factor = 10i128.checked_pow(u32::try_from(missing.unsigned_abs()).ok()?)?;
            Decimal::try_from_i128_with_scale(mantissa.checked_mul(factor)?, 0).ok()
        }
    }
}

/// A list index as RFC 6901 writes it: digits alone, without zeros before them.
fn array_index(token: &str) -> Option<usize> {
    let canonical = token == "0" || !token.starts_with(['0', '+']);
    token.parse().ok().filter(|_| canonical)
}

impl fmt::Display for Value {
    /// For people: texts without quotes, money with grouping, lists and maps in short.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("()"),
            Self::Bool(truth) => write!(f, "{truth}"),
            Self::Int(number) => write!(f, "{number}"),
            Self::Decimal(number) => write!(f, "{number}"),
            Self::Money(money) => write!(f, "{money}"),
            Self::Time(time) => f.write_str(&time_text(*time)),
            Self::Duration(duration) => write!(f, "{}s", seconds_text(*duration)),
            Self::Text(text) => f.write_str(text),
            Self::List(items) => {
                f.write_str("[")?;
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        f.write_str(", ")?;
                    }
                    write!(f, "{item}")?;
                }
                f.write_str("]")
            }
            Self::Map(map) => {
                f.write_str("#{")?;
                for (index, (key, item)) in map.iter().enumerate() {
                    if index > 0 {
                        f.write_str(", ")?;
                    }
                    write!(f, "{key}: {item}")?;
                }
                f.write_str("}")
            }
        }
    }
}
