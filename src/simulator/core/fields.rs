//! Reading requests strictly: query strings and JSON bodies, with the parameter named in every refusal.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde_json::{Map, Value as Json};
use uuid::Uuid;

use super::refusal::Refusal;
use crate::base::clock::Instant;
use crate::base::money::{Currency, parse_plain};
use crate::simulator::config::UnknownParameters;

/// The query of a request, in written order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads a raw query. `created_at[gte]` is another spelling of `created_at.gte`.
    pub(crate) fn parse(raw: &str) -> Result<Self, Refusal> {
        let mut pairs = Vec::new();
        for part in raw.split('&').filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let decoded = decode(name).zip(decode(value));
            let (name, value) =
                decoded.ok_or_else(|| Refusal::validation("the query is not valid percent-encoding"))?;
            let name = match name.strip_suffix(']').and_then(|name| name.split_once('[')) {
                Some((name, "")) => name.to_owned(),
                Some((name, inner)) => format!("{name}.{inner}"),
                None => name,
            };
            pairs.push((name, value));
        }
        Ok(Self(pairs))
    }

    /// The value of a parameter that may stand once.
    pub(crate) fn one(&self, name: &str) -> Result<Option<&str>, Refusal> {
        let mut values = self.0.iter().filter(|(known, _)| known == name);
        let first = values.next();
        if values.next().is_some() {
            return Err(Refusal::parameter_invalid(name, format!("{name} may be given once")));
        }
        Ok(first.map(|(_, value)| value.as_str()))
    }

    /// The values of a parameter that may be repeated or written with commas.
    pub(crate) fn many(&self, name: &str) -> Vec<&str> {
        self.0
            .iter()
            .filter(|(known, _)| known == name)
            .flat_map(|(_, value)| value.split(','))
            .collect()
    }

    /// A parameter that is one of a few words.
    pub(crate) fn one_of(&self, name: &str, allowed: &[&str]) -> Result<Option<&str>, Refusal> {
        match self.one(name)? {
            Some(value) if !allowed.contains(&value) => Err(not_one_of(name, allowed)),
            value => Ok(value),
        }
    }

    /// A parameter that is a UUID.
    pub(crate) fn uuid(&self, name: &str) -> Result<Option<Uuid>, Refusal> {
        self.one(name)?.map(|text| uuid(name, text)).transpose()
    }

    /// A parameter that is a time.
    pub(crate) fn time(&self, name: &str) -> Result<Option<Instant>, Refusal> {
        let Some(text) = self.one(name)? else { return Ok(None) };
        let time = chrono::DateTime::parse_from_rfc3339(text)
            .ok()
            .filter(|_| text.ends_with('Z'));
        match time {
            Some(time) => Ok(Some(time.to_utc())),
            None => Err(Refusal::parameter_invalid(
                name,
                format!("{name} is an ISO 8601 time in UTC that ends with Z"),
            )),
        }
    }

    /// A parameter that is a currency.
    pub(crate) fn currency(&self, name: &str, allowed: &[&str]) -> Result<Option<Currency>, Refusal> {
        self.one(name)?.map(|text| currency(name, text, allowed)).transpose()
    }

    /// Refuses names that the operation does not know.
    pub(crate) fn check_known(&self, known: &[&str]) -> Result<(), Refusal> {
        match self.0.iter().find(|(name, _)| !known.contains(&name.as_str())) {
            Some((name, _)) => Err(Refusal::unknown_field(name)),
            None => Ok(()),
        }
    }

    /// The filters alone, in one order: what a cursor is bound to.
    pub(crate) fn filters(&self) -> String {
        let mut filters: Vec<String> = self
            .0
            .iter()
            .filter(|(name, _)| name != "cursor" && name != "limit")
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        filters.sort();
        filters.join("&")
    }
}

/// Percent-decoding as in forms: a plus is a space.
fn decode(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => {
                let high = char::from(bytes.next()?).to_digit(16)?;
                let low = char::from(bytes.next()?).to_digit(16)?;
                u8::try_from(high * 16 + low).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(decoded).ok()
}

fn not_one_of(name: &str, allowed: &[&str]) -> Refusal {
    Refusal::parameter_invalid(name, format!("{name} is one of {}", allowed.join(", ")))
}

/// A UUID in its usual form: lower case, with hyphens.
pub(crate) fn uuid(name: &str, text: &str) -> Result<Uuid, Refusal> {
    Uuid::parse_str(text)
        .ok()
        .filter(|_| text.len() == 36)
        .ok_or_else(|| Refusal::parameter_invalid(name, format!("{name} is a UUID")))
}

fn currency(name: &str, text: &str, allowed: &[&str]) -> Result<Currency, Refusal> {
    Currency::from_code(text)
        .ok()
        .filter(|currency| allowed.contains(&currency.code()))
        .ok_or_else(|| not_one_of(name, allowed))
}

/// An unsigned decimal number, more than zero.
pub(crate) fn amount(name: &str, text: &str) -> Result<Decimal, Refusal> {
    parse_plain(text)
        .ok()
        .filter(|amount| *amount > Decimal::ZERO && !text.starts_with('-'))
        .ok_or_else(|| {
            Refusal::parameter_invalid(
                name,
                format!("{name} is a decimal string above zero, such as \"100.50\""),
            )
        })
}

/// The fields of one JSON object. What is not asked for by the end is refused.
#[derive(Debug)]
pub(crate) struct Fields<'a> {
    map: &'a Map<String, Json>,
    prefix: String,
    asked: Vec<&'static str>,
}

impl<'a> Fields<'a> {
    pub(crate) fn new(map: &'a Map<String, Json>) -> Self {
        Self {
            map,
            prefix: String::new(),
            asked: Vec::new(),
        }
    }

    /// The full name of a field: `destination.iban`.
    pub(crate) fn name(&self, field: &str) -> String {
        format!("{}{field}", self.prefix)
    }

    /// The value of a field, if there is one: `null` is none.
    pub(crate) fn get(&mut self, field: &'static str) -> Option<&'a Json> {
        self.asked.push(field);
        self.map.get(field).filter(|value| !value.is_null())
    }

    /// Whether a field is there and `null`, which some requests mean as "empty it".
    pub(crate) fn is_null(&mut self, field: &'static str) -> bool {
        self.asked.push(field);
        self.map.get(field).is_some_and(Json::is_null)
    }

    pub(crate) fn optional_text(&mut self, field: &'static str) -> Result<Option<&'a str>, Refusal> {
        match self.get(field) {
            None => Ok(None),
            Some(Json::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.invalid(field, "is a string")),
        }
    }

    pub(crate) fn text(&mut self, field: &'static str) -> Result<&'a str, Refusal> {
        self.optional_text(field)?
            .ok_or_else(|| Refusal::parameter_missing(self.name(field)))
    }

    /// Text of a length within bounds, counted in characters.
    pub(crate) fn bounded(&mut self, field: &'static str, min: usize, max: usize) -> Result<&'a str, Refusal> {
        let text = self.text(field)?;
        if (min..=max).contains(&text.chars().count()) {
            return Ok(text);
        }
        Err(self.invalid(field, &format!("has {min} to {max} characters")))
    }

    pub(crate) fn optional_one_of(
        &mut self,
        field: &'static str,
        allowed: &[&str],
    ) -> Result<Option<&'a str>, Refusal> {
        match self.optional_text(field)? {
            Some(text) if !allowed.contains(&text) => Err(not_one_of(&self.name(field), allowed)),
            text => Ok(text),
        }
    }

    pub(crate) fn one_of(&mut self, field: &'static str, allowed: &[&str]) -> Result<&'a str, Refusal> {
        self.optional_one_of(field, allowed)?
            .ok_or_else(|| Refusal::parameter_missing(self.name(field)))
    }

    pub(crate) fn uuid(&mut self, field: &'static str) -> Result<Uuid, Refusal> {
        let text = self.text(field)?;
        uuid(&self.name(field), text)
    }

    pub(crate) fn currency(&mut self, field: &'static str, allowed: &[&str]) -> Result<Currency, Refusal> {
        let text = self.text(field)?;
        currency(&self.name(field), text, allowed)
    }

    pub(crate) fn optional_uuid(&mut self, field: &'static str) -> Result<Option<Uuid>, Refusal> {
        let text = self.optional_text(field)?;
        text.map(|text| uuid(&self.name(field), text)).transpose()
    }

    pub(crate) fn optional_currency(
        &mut self,
        field: &'static str,
        allowed: &[&str],
    ) -> Result<Option<Currency>, Refusal> {
        let text = self.optional_text(field)?;
        text.map(|text| currency(&self.name(field), text, allowed)).transpose()
    }

    /// The object in a field, to be read by itself.
    pub(crate) fn object(&mut self, field: &'static str) -> Result<Self, Refusal> {
        match self.get(field) {
            Some(Json::Object(map)) => Ok(Self {
                map,
                prefix: format!("{}{field}.", self.prefix),
                asked: Vec::new(),
            }),
            Some(_) => Err(self.invalid(field, "is an object")),
            None => Err(Refusal::parameter_missing(self.name(field))),
        }
    }

    /// The object in a field, if there is one.
    pub(crate) fn optional_object(&mut self, field: &'static str) -> Result<Option<Self>, Refusal> {
        match self.get(field) {
            None => Ok(None),
            Some(_) => self.object(field).map(Some),
        }
    }

    /// A list of objects, if there is one, each to be read by itself.
    pub(crate) fn optional_objects(&mut self, field: &'static str) -> Result<Option<Vec<Self>>, Refusal> {
        let Some(value) = self.get(field) else { return Ok(None) };
        let item = |(index, item): (usize, &'a Json)| {
            Some(Self {
                map: item.as_object()?,
                prefix: format!("{}{field}.{index}.", self.prefix),
                asked: Vec::new(),
            })
        };
        value
            .as_array()
            .and_then(|items| items.iter().enumerate().map(item).collect())
            .map(Some)
            .ok_or_else(|| self.invalid(field, "is an array of objects"))
    }

    pub(crate) fn optional_bool(&mut self, field: &'static str) -> Result<Option<bool>, Refusal> {
        match self.get(field) {
            None => Ok(None),
            Some(Json::Bool(value)) => Ok(Some(*value)),
            Some(_) => Err(self.invalid(field, "is true or false")),
        }
    }

    /// A number as it is written, which no binary float has touched.
    pub(crate) fn optional_number(&mut self, field: &'static str) -> Result<Option<Decimal>, Refusal> {
        let Some(value) = self.get(field) else { return Ok(None) };
        let Json::Number(number) = value else {
            return Err(self.invalid(field, "is a number"));
        };
        let text = number.to_string();
        parse_plain(&text)
            .or_else(|_| Decimal::from_scientific(&text))
            .map(Some)
            .map_err(|_| self.invalid(field, "is a number"))
    }

    /// A whole number within bounds.
    pub(crate) fn optional_count(&mut self, field: &'static str, min: u64, max: u64) -> Result<Option<u64>, Refusal> {
        let Some(value) = self.get(field) else { return Ok(None) };
        match value.as_u64().filter(|count| (min..=max).contains(count)) {
            Some(count) => Ok(Some(count)),
            None => Err(self.invalid(field, &format!("is a whole number from {min} to {max}"))),
        }
    }

    /// A list of texts, if there is one.
    pub(crate) fn optional_texts(&mut self, field: &'static str) -> Result<Option<Vec<&'a str>>, Refusal> {
        let Some(value) = self.get(field) else { return Ok(None) };
        value
            .as_array()
            .and_then(|items| items.iter().map(Json::as_str).collect())
            .map(Some)
            .ok_or_else(|| self.invalid(field, "is an array of strings"))
    }

    /// The metadata map: text to text, within the documented sizes.
    pub(crate) fn metadata(&mut self) -> Result<BTreeMap<String, String>, Refusal> {
        let map = match self.get("metadata") {
            None => return Ok(BTreeMap::new()),
            Some(Json::Object(map)) => map,
            Some(_) => return Err(self.invalid("metadata", "is an object")),
        };
        if map.len() > 50 {
            return Err(self.invalid("metadata", "has 50 keys at most"));
        }
        map.iter()
            .map(|(key, value)| match value {
                Json::String(value) if key.chars().count() <= 40 && value.chars().count() <= 500 => {
                    Ok((key.clone(), value.clone()))
                }
                _ => Err(Refusal::parameter_invalid(
                    format!("metadata.{key}"),
                    "metadata maps keys of at most 40 characters to strings of at most 500",
                )),
            })
            .collect()
    }

    pub(crate) fn invalid(&self, field: &str, what: &str) -> Refusal {
        let name = self.name(field);
        let message = format!("{name} {what}");
        Refusal::parameter_invalid(name, message)
    }

    /// Refuses fields nobody asked for.
    pub(crate) fn finish(&self, unknown: UnknownParameters) -> Result<(), Refusal> {
        let stray = self.map.keys().find(|name| !self.asked.contains(&name.as_str()));
        match stray {
            Some(name) if unknown == UnknownParameters::Refuse => Err(Refusal::unknown_field(self.name(name))),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_spellings_of_a_filter_are_one() {
        let check = |raw: &str| {
            let query = Query::parse(raw).unwrap();
            assert_eq!(
                query.one("created_at.gte").unwrap(),
                Some("2026-01-01T00:00:00Z"),
                "{raw}"
            );
        };
        check("created_at.gte=2026-01-01T00:00:00Z");
        check("created_at[gte]=2026-01-01T00:00:00Z");
        check("created_at%5Bgte%5D=2026-01-01T00%3A00%3A00Z");
        let currencies = |raw: &str| Query::parse(raw).unwrap().many("currencies").join(" ");
        assert_eq!(currencies("currencies=EUR&currencies=USD"), "EUR USD");
        assert_eq!(currencies("currencies=EUR%2CUSD"), "EUR USD");
        assert_eq!(currencies("currencies[]=EUR&currencies[]=USD"), "EUR USD");
    }

    #[test]
    fn an_amount_is_plain_and_above_zero() {
        for bad in ["", "0", "0.00", "-1", "+1", "1e3", "1,000", " 1", "1.", ".5", "NaN"] {
            assert!(amount("amount", bad).is_err(), "{bad}");
        }
        assert_eq!(amount("amount", "100.50").unwrap(), Decimal::new(10_050, 2));
    }
}
