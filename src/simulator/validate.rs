//! Reading requests strictly: query strings and JSON bodies, with the parameter named in every refusal.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde_json::{Map, Value as Json};
use uuid::Uuid;

use crate::simulator::config::UnknownParameters;
use crate::simulator::augustus::error::ApiError;
use crate::simulator::core::iban;
use crate::simulator::augustus::resources::{CURRENCIES, FinancialAddress, is_fiat};
use crate::base::clock::Instant;
use crate::base::money::{Currency, parse_plain};

/// The query of a request, in written order.
#[derive(Debug, Clone, Default)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads a raw query. `created_at[gte]` is another spelling of `created_at.gte`.
    pub(super) fn parse(raw: &str) -> Result<Self, ApiError> {
        let mut pairs = Vec::new();
        for part in raw.split('&').filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let decoded = decode(name).zip(decode(value));
            let (name, value) =
                decoded.ok_or_else(|| ApiError::validation("the query is not valid percent-encoding"))?;
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
    pub(super) fn one(&self, name: &str) -> Result<Option<&str>, ApiError> {
        let mut values = self.0.iter().filter(|(known, _)| known == name);
        let first = values.next();
        if values.next().is_some() {
            return Err(ApiError::parameter_invalid(name, format!("{name} may be given once")));
        }
        Ok(first.map(|(_, value)| value.as_str()))
    }

    /// The values of a parameter that may be repeated or written with commas.
    pub(super) fn many(&self, name: &str) -> Vec<&str> {
        self.0
            .iter()
            .filter(|(known, _)| known == name)
            .flat_map(|(_, value)| value.split(','))
            .collect()
    }

    /// A parameter that is one of a few words.
    pub(super) fn one_of(&self, name: &str, allowed: &[&str]) -> Result<Option<&str>, ApiError> {
        match self.one(name)? {
            Some(value) if !allowed.contains(&value) => Err(not_one_of(name, allowed)),
            value => Ok(value),
        }
    }

    /// A parameter that is a UUID.
    pub(super) fn uuid(&self, name: &str) -> Result<Option<Uuid>, ApiError> {
        self.one(name)?.map(|text| uuid(name, text)).transpose()
    }

    /// A parameter that is a time.
    pub(super) fn time(&self, name: &str) -> Result<Option<Instant>, ApiError> {
        let Some(text) = self.one(name)? else { return Ok(None) };
        let time = chrono::DateTime::parse_from_rfc3339(text)
            .ok()
            .filter(|_| text.ends_with('Z'));
        match time {
            Some(time) => Ok(Some(time.to_utc())),
            None => Err(ApiError::parameter_invalid(
                name,
                format!("{name} is an ISO 8601 time in UTC that ends with Z"),
            )),
        }
    }

    /// A parameter that is a currency.
    pub(super) fn currency(&self, name: &str) -> Result<Option<Currency>, ApiError> {
        self.one(name)?.map(|text| currency(name, text)).transpose()
    }

    /// Refuses names that the operation does not know.
    pub(super) fn check_known(&self, known: &[&str]) -> Result<(), ApiError> {
        match self.0.iter().find(|(name, _)| !known.contains(&name.as_str())) {
            Some((name, _)) => Err(ApiError::unknown_field(name)),
            None => Ok(()),
        }
    }

    /// The filters alone, in one order: what a cursor is bound to.
    pub(super) fn filters(&self) -> String {
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

fn not_one_of(name: &str, allowed: &[&str]) -> ApiError {
    ApiError::parameter_invalid(name, format!("{name} is one of {}", allowed.join(", ")))
}

/// A UUID in its usual form: lower case, with hyphens.
pub(super) fn uuid(name: &str, text: &str) -> Result<Uuid, ApiError> {
    Uuid::parse_str(text)
        .ok()
        .filter(|_| text.len() == 36)
        .ok_or_else(|| ApiError::parameter_invalid(name, format!("{name} is a UUID")))
}

fn currency(name: &str, text: &str) -> Result<Currency, ApiError> {
    Currency::from_code(text)
        .ok()
        .filter(|currency| CURRENCIES.contains(&currency.code()))
        .ok_or_else(|| not_one_of(name, &CURRENCIES))
}

/// An unsigned decimal number, more than zero.
pub(super) fn amount(name: &str, text: &str) -> Result<Decimal, ApiError> {
    parse_plain(text)
        .ok()
        .filter(|amount| *amount > Decimal::ZERO && !text.starts_with('-'))
        .ok_or_else(|| {
            ApiError::parameter_invalid(
                name,
                format!("{name} is a decimal string above zero, such as \"100.50\""),
            )
        })
}

/// The fields of one JSON object. What is not asked for by the end is refused.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    map: &'a Map<String, Json>,
    prefix: String,
    asked: Vec<&'static str>,
}

impl<'a> Fields<'a> {
    pub(super) fn new(map: &'a Map<String, Json>) -> Self {
        Self {
            map,
            prefix: String::new(),
            asked: Vec::new(),
        }
    }

    /// The full name of a field: `destination.iban`.
    pub(super) fn name(&self, field: &str) -> String {
        format!("{}{field}", self.prefix)
    }

    fn get(&mut self, field: &'static str) -> Option<&'a Json> {
        self.asked.push(field);
        self.map.get(field).filter(|value| !value.is_null())
    }

    pub(super) fn optional_text(&mut self, field: &'static str) -> Result<Option<&'a str>, ApiError> {
        match self.get(field) {
            None => Ok(None),
            Some(Json::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.invalid(field, "is a string")),
        }
    }

    pub(super) fn text(&mut self, field: &'static str) -> Result<&'a str, ApiError> {
        self.optional_text(field)?
            .ok_or_else(|| ApiError::parameter_missing(self.name(field)))
    }

    /// Text of a length within bounds, counted in characters.
    pub(super) fn bounded(&mut self, field: &'static str, min: usize, max: usize) -> Result<&'a str, ApiError> {
        let text = self.text(field)?;
        if (min..=max).contains(&text.chars().count()) {
            return Ok(text);
        }
        Err(self.invalid(field, &format!("has {min} to {max} characters")))
    }

    pub(super) fn optional_one_of(
        &mut self,
        field: &'static str,
        allowed: &[&str],
    ) -> Result<Option<&'a str>, ApiError> {
        match self.optional_text(field)? {
            Some(text) if !allowed.contains(&text) => Err(not_one_of(&self.name(field), allowed)),
            text => Ok(text),
        }
    }

    pub(super) fn one_of(&mut self, field: &'static str, allowed: &[&str]) -> Result<&'a str, ApiError> {
        self.optional_one_of(field, allowed)?
            .ok_or_else(|| ApiError::parameter_missing(self.name(field)))
    }

    pub(super) fn uuid(&mut self, field: &'static str) -> Result<Uuid, ApiError> {
        let text = self.text(field)?;
        uuid(&self.name(field), text)
    }

    pub(super) fn currency(&mut self, field: &'static str) -> Result<Currency, ApiError> {
        let text = self.text(field)?;
        currency(&self.name(field), text)
    }

    /// The object in a field, to be read by itself.
    pub(super) fn object(&mut self, field: &'static str) -> Result<Self, ApiError> {
        match self.get(field) {
            Some(Json::Object(map)) => Ok(Self {
                map,
                prefix: format!("{}{field}.", self.prefix),
                asked: Vec::new(),
            }),
            Some(_) => Err(self.invalid(field, "is an object")),
            None => Err(ApiError::parameter_missing(self.name(field))),
        }
    }

    /// A list of texts, if there is one.
    pub(super) fn optional_texts(&mut self, field: &'static str) -> Result<Option<Vec<&'a str>>, ApiError> {
        let Some(value) = self.get(field) else { return Ok(None) };
        value
            .as_array()
            .and_then(|items| items.iter().map(Json::as_str).collect())
            .map(Some)
            .ok_or_else(|| self.invalid(field, "is an array of strings"))
    }

    /// The metadata map: text to text, within the documented sizes.
    pub(super) fn metadata(&mut self) -> Result<BTreeMap<String, String>, ApiError> {
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
                _ => Err(ApiError::parameter_invalid(
                    format!("metadata.{key}"),
                    "metadata maps keys of at most 40 characters to strings of at most 500",
                )),
            })
            .collect()
    }

    pub(super) fn invalid(&self, field: &str, what: &str) -> ApiError {
        let name = self.name(field);
        let message = format!("{name} {what}");
        ApiError::parameter_invalid(name, message)
    }

    /// Refuses fields nobody asked for.
    pub(super) fn finish(&self, unknown: UnknownParameters) -> Result<(), ApiError> {
        let stray = self.map.keys().find(|name| !self.asked.contains(&name.as_str()));
        match stray {
            Some(name) if unknown == UnknownParameters::Refuse => Err(ApiError::unknown_field(self.name(name))),
            _ => Ok(()),
        }
    }
}

const BLOCKCHAINS: [&str; 8] = [
    "bitcoin",
    "ethereum",
    "solana",
    "polygon",
    "bitcoin_testnet4",
    "ethereum_sepolia",
    "solana_devnet",
    "polygon_amoy",
];

/// A payout's destination: its form, and whether money of this currency can go there.
pub(super) fn destination(
    mut fields: Fields<'_>,
    currency: Currency,
    check_iban: bool,
    unknown: UnknownParameters,
) -> Result<FinancialAddress, ApiError> {
    let kind = fields.one_of("type", &["iban", "sort_code", "aba", "crypto_wallet"])?;
    let fits = match kind {
        "iban" => matches!(currency.code(), "EUR" | "GBP"),
        "sort_code" => currency.code() == "GBP",
        "aba" => currency.code() == "USD",
        _ => !is_fiat(currency),
    };
    if !fits {
        return Err(fields.invalid("type", &format!("cannot receive {currency}")));
    }
    let digits = |text: &str, count: usize| text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    let address = match kind {
        "iban" => {
            let number = fields.text("iban")?;
            if check_iban && !iban::is_valid(number) {
                return Err(fields.invalid("iban", "is not a valid IBAN"));
            }
            FinancialAddress::Iban {
                iban: number.to_owned(),
                account_holder_name: fields.bounded("account_holder_name", 1, 255)?.to_owned(),
                bic: fields.optional_text("bic")?.map(str::to_owned),
            }
        }
        "sort_code" => {
            let (sort_code, account_number) = (fields.text("sort_code")?, fields.text("account_number")?);
            if !digits(sort_code, 6) {
                return Err(fields.invalid("sort_code", "has 6 digits"));
            }
            if !digits(account_number, 8) {
                return Err(fields.invalid("account_number", "has 8 digits"));
            }
            FinancialAddress::SortCode {
                sort_code: sort_code.to_owned(),
                account_number: account_number.to_owned(),
                account_holder_name: fields.bounded("account_holder_name", 1, 255)?.to_owned(),
            }
        }
        "aba" => {
            let routing_number = fields.text("routing_number")?;
            if !digits(routing_number, 9) {
                return Err(fields.invalid("routing_number", "has 9 digits"));
            }
            FinancialAddress::Aba {
                routing_number: routing_number.to_owned(),
                account_number: fields.bounded("account_number", 1, 17)?.to_owned(),
                account_holder_name: fields.bounded("account_holder_name", 1, 255)?.to_owned(),
            }
        }
        _ => FinancialAddress::CryptoWallet {
            address: fields.bounded("address", 1, 128)?.to_owned(),
            blockchain: fields.one_of("blockchain", &BLOCKCHAINS)?.to_owned(),
        },
    };
    fields.finish(unknown)?;
    Ok(address)
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
