//! Values of a manifest as JSON: exactly, or not at all.
//!
//! It must not let a binary float be made of anything, and must not know what a parameter is for.

use serde_json::Value as Json;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::fields::kind;
use crate::base::limits::VALUE_DEPTH_MAX;
use crate::base::money::parse_plain;
use crate::model::document::Report;

/// Words in the name of a parameter that say it should not be one.
const SECRET_WORDS: [&str; 5] = ["secret", "password", "token", "api_key", "private_key"];

/// The constants of a script: a table as a JSON object.
pub(super) fn read_params(table: &DeTable<'_>, report: &mut Report<'_>) -> Json {
    for (key, _) in table {
        let name = key.get_ref().to_lowercase().replace('-', "_");
        if SECRET_WORDS.iter().any(|word| name.contains(word)) {
            report.warning(
                "secret-in-params",
                &key.span(),
                format!("parameter `{}` looks like a secret", key.get_ref()),
                "parameters are stored with every run and shown to people; secrets belong to a connection",
            );
        }
    }
    read_table(table, 0, report)
}

/// One value of a condition: text, a whole number, or true or false.
pub(super) fn read_scalar(what: &str, value: &Spanned<DeValue<'_>>, report: &mut Report<'_>) -> Option<Json> {
    match value.get_ref() {
        DeValue::Array(_) | DeValue::Table(_) => {
            let message = format!("{what} must be one value, not {}", kind(value.get_ref()));
            report.error(&value.span(), message, None);
            None
        }
        _ => read_value(value, 0, report),
    }
}

fn read_table(table: &DeTable<'_>, depth: usize, report: &mut Report<'_>) -> Json {
    let entries = table.iter().filter_map(|(key, value)| {
        let value = read_value(value, depth + 1, report)?;
        Some((key.get_ref().to_string(), value))
    });
    Json::Object(entries.collect())
}

fn read_value(value: &Spanned<DeValue<'_>>, depth: usize, report: &mut Report<'_>) -> Option<Json> {
    let place = value.span();
    if depth > VALUE_DEPTH_MAX {
        report.error(&place, format!("nested deeper than {VALUE_DEPTH_MAX} levels"), None);
        return None;
    }
    match value.get_ref() {
        DeValue::String(text) => Some(Json::from(text.as_ref())),
        DeValue::Boolean(truth) => Some(Json::from(*truth)),
        DeValue::Integer(number) => {
            let whole = i64::from_str_radix(number.as_str(), number.radix());
            if whole.is_err() {
                let message = format!("the number {number} has more than 64 bits");
                report.error(&place, message, Some(format!("write it as text: \"{number}\"")));
            }
            whole.ok().map(Json::from)
        }
        DeValue::Float(number) => {
            let message = format!("{} is a floating-point number", number.as_str());
            // Only what would be read as an amount is worth repeating: not `inf`, not `1e3`.
            let amount = Some(number.as_str()).filter(|text| parse_plain(text).is_ok());
            let help = format!("write amounts as strings: \"{}\"", amount.unwrap_or("1000.00"));
            report.error(&place, message, Some(help));
            None
        }
        DeValue::Datetime(time) => {
            let help = format!("write it as text: \"{time}\"");
            report.error(&place, "a date or time is not a value scripts have", Some(help));
            None
        }
        DeValue::Array(items) => {
            let items = items.iter().filter_map(|item| read_value(item, depth + 1, report));
            Some(Json::Array(items.collect()))
        }
        DeValue::Table(table) => Some(read_table(table, depth, report)),
    }
}
