//! Numbers, times, lists and metadata as this provider writes and reads them.

use rust_decimal::Decimal;
use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

use super::config::{ListOrder, Numbers, UnixTimes};
use crate::base::clock::Instant;
use crate::base::money::{Currency, Money};
use crate::simulator::core::Core;
use crate::simulator::core::fields::Fields;
use crate::simulator::core::refusal::Refusal;
use crate::simulator::core::table::{Row, Table};
use crate::simulator::resources::stamp;

/// An amount in major units, as a number that no binary float has touched.
pub(crate) fn number(amount: Money, form: Numbers) -> Json {
    let text = match form {
        Numbers::Shortest => amount.amount().normalize().to_string(),
        Numbers::Decimals => amount.amount().to_string(),
    };
    // The digits of a decimal are a JSON number.
    serde_json::from_str(&text).unwrap_or_default()
}

/// A time as resources show it.
pub(crate) fn time(at: Instant) -> Json {
    Json::String(stamp(at))
}

/// A Unix time, in the unit of the settings.
pub(crate) fn unix(at: Instant, unit: UnixTimes) -> i64 {
    match unit {
        UnixTimes::Seconds => at.timestamp(),
        UnixTimes::Milliseconds => at.timestamp_millis(),
    }
}

/// An id without hyphens: the kinds that are documented as plain text.
pub(crate) fn plain(id: Uuid) -> String {
    id.simple().to_string()
}

/// The resource that a plain id names; anything else names none.
pub(crate) fn of_plain(text: &str) -> Option<Uuid> {
    Uuid::parse_str(text).ok().filter(|id| plain(*id) == text)
}

/// The id of a request whose ids are plain text.
pub(crate) fn plain_id(fields: &mut Fields<'_>, what: &str) -> Result<Uuid, Refusal> {
    let text = fields.bounded("id", 1, 255)?;
    of_plain(text).ok_or_else(|| Refusal::not_found(what))
}

/// An amount of a request: a number in major units, no finer than its currency.
pub(crate) fn amount(
    fields: &mut Fields<'_>,
    field: &'static str,
    currency: Currency,
    minimum: Decimal,
) -> Result<Money, Refusal> {
    let number = fields.optional_number(field)?;
    let number = number.ok_or_else(|| Refusal::parameter_missing(fields.name(field)))?;
    if number < minimum || number <= Decimal::ZERO {
        return Err(fields.invalid(field, &format!("is {minimum} or more")));
    }
    Money::from_decimal(number, currency).map_err(|error| fields.invalid(field, &format!("cannot be taken: {error}")))
}

/// The metadata map: any values, within the documented sizes.
pub(crate) fn metadata(fields: &mut Fields<'_>) -> Result<Option<Map<String, Json>>, Refusal> {
    let map = match fields.get("metadata") {
        None => return Ok(None),
        Some(Json::Object(map)) => map,
        Some(_) => return Err(fields.invalid("metadata", "is an object")),
    };
    let fits = |(key, value): (&String, &Json)| {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        key.chars().count() <= 40 && text.chars().count() <= 500
    };
    if map.len() > 50 || !map.iter().all(fits) {
        let sizes = "has 50 keys of at most 40 characters, with values of at most 500";
        return Err(fields.invalid("metadata", sizes));
    }
    Ok(Some(map.clone()))
}

/// What a list was asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    limit: usize,
    skip: usize,
}

impl Window {
    /// Reads `limit` and `skip`.
    pub(crate) fn read(core: &Core, fields: &mut Fields<'_>) -> Result<Self, Refusal> {
        let settings = &core.config.ivy;
        Self::bounded(fields, settings.list_limit_default, settings.list_limit_max)
    }

    /// With bounds of its own.
    pub(crate) fn bounded(fields: &mut Fields<'_>, default: u64, max: u64) -> Result<Self, Refusal> {
        let limit = fields.optional_count("limit", 1, max)?.unwrap_or(default);
        let skip = fields
            .optional_count("skip", 0, u64::from(u32::MAX))?
            .unwrap_or_default();
        Ok(Self {
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
            skip: usize::try_from(skip).unwrap_or(usize::MAX),
        })
    }

    /// The page of what there is, under a name: `items`, `banks`.
    pub(crate) fn page(self, name: &str, all: Vec<Json>) -> Json {
        let count = all.len();
        let rows: Vec<Json> = all.into_iter().skip(self.skip).take(self.limit).collect();
        json!({
            "count": count,
            "hasNext": self.skip.saturating_add(rows.len()) < count,
            "skip": self.skip,
            name: rows,
        })
    }
}

/// The rows of a table that lists show, in the order of the settings.
pub(crate) fn listed<'a, T>(core: &Core, table: &'a Table<T>) -> Vec<&'a T> {
    let shown = |row: &&'a Row<T>| row.listed_from <= core.elapsed;
    let mut rows: Vec<&T> = table.rows().iter().filter(shown).map(|row| &row.item).collect();
    if core.config.ivy.list_order == ListOrder::NewestFirst {
        rows.reverse();
    }
    rows
}

/// Leaves members without a value out: that is how this provider says so.
pub(crate) fn present(mut resource: Json) -> Json {
    if let Json::Object(map) = &mut resource {
        map.retain(|_, value| !value.is_null());
    }
    resource
}
