//! Codes, times, amounts and the three ways of paging as this provider writes and reads them.

use chrono::{DateTime, NaiveDate, SecondsFormat, TimeDelta, Utc};
use rust_decimal::Decimal;
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::config::{ListOrder, Nothing};
use super::error::bad_request;
use crate::base::clock::Instant;
use crate::base::money::{Currency, Money};
use crate::simulator::contract::Call;
use crate::simulator::core::answer::Form;
use crate::simulator::core::fields::Fields;
use crate::simulator::core::refusal::Refusal;
use crate::simulator::core::table::{Row, Table};
use crate::simulator::world::World;

// --- codes and times ----------------------------------------------------------------------------

/// The code of a resource: 36 characters.
pub(crate) fn code(id: Uuid) -> String {
    id.hyphenated().to_string().to_uppercase()
}

/// The resource that a code names; anything else names none.
pub(crate) fn of_code(text: &str) -> Option<Uuid> {
    Uuid::parse_str(text).ok().filter(|id| code(*id) == text)
}

/// The resource that a part of the path names.
pub(crate) fn path_code(call: &Call, place: usize, what: &str) -> Result<Uuid, Refusal> {
    let code = call.path.get(place).and_then(|text| of_code(text));
    code.ok_or_else(|| Refusal::not_found(what))
}

/// A time as resources show it: with an offset.
pub(crate) fn time(at: Instant) -> Json {
    let text = at.to_rfc3339_opts(SecondsFormat::Millis, false);
    Json::String(text)
}

/// A time of a request, as it was sent.
pub(crate) fn sent_time<'a>(
    fields: &mut Fields<'a>,
    field: &'static str,
) -> Result<Option<(&'a str, Instant)>, Refusal> {
    let Some(text) = fields.optional_text(field)? else {
        return Ok(None);
    };
    match DateTime::parse_from_rfc3339(text) {
        Ok(time) => Ok(Some((text, time.with_timezone(&Utc)))),
        Err(_) => Err(fields.invalid(field, "is a date-time with an offset")),
    }
}

/// Optional text of a resource.
pub(crate) fn owned(fields: &mut Fields<'_>, field: &'static str) -> Result<Option<String>, Refusal> {
    Ok(fields.optional_text(field)?.map(str::to_owned))
}

// --- amounts --------------------------------------------------------------------------------------

/// The decimals of the smallest unit: the provider's own rule, which is not ISO 4217.
pub(crate) fn places(currency: Currency) -> u32 {
    match currency.code() {
        "JPY" => 0,
        "BHD" => 3,
        _ => 2,
    }
}

/// An amount in smallest units; what is finer than those is not shown.
pub(crate) fn units(amount: Money) -> Json {
    let places = places(amount.currency());
    let mut shown = amount.amount().trunc_with_scale(places);
    shown.rescale(places);
    i64::try_from(shown.mantissa()).map_or(Json::Null, Json::from)
}

/// An amount of a request, above zero.
pub(crate) fn optional_amount(
    fields: &mut Fields<'_>,
    field: &'static str,
    currency: Currency,
) -> Result<Option<Money>, Refusal> {
    let Some(count) = fields.optional_count(field, 1, i64::MAX.unsigned_abs())? else {
        return Ok(None);
    };
    let decimal = Decimal::from_i128_with_scale(i128::from(count), places(currency));
    match Money::from_decimal(decimal, currency) {
        Ok(amount) => Ok(Some(amount)),
        Err(error) => Err(fields.invalid(field, &format!("cannot be taken: {error}"))),
    }
}

/// An amount that a request must have.
pub(crate) fn amount(fields: &mut Fields<'_>, field: &'static str, currency: Currency) -> Result<Money, Refusal> {
    let amount = optional_amount(fields, field, currency)?;
    amount.ok_or_else(|| Refusal::parameter_missing(fields.name(field)))
}

/// Amounts of several currencies.
pub(crate) fn amounts(amounts: impl IntoIterator<Item = Money>) -> Json {
    let shown = |amount: Money| json!({ "currency": amount.currency(), "amount": units(amount) });
    amounts.into_iter().map(shown).collect()
}

// --- answers --------------------------------------------------------------------------------------

/// Nothing to show.
pub(crate) fn nothing(world: &mut World) -> Json {
    if world.core.config.payaut.nothing == Nothing::Empty {
        world.core.form = Form::Empty;
    }
    json!({})
}

// --- lists ----------------------------------------------------------------------------------------

/// A whole number of the query.
fn count(call: &Call, name: &str, (min, max): (u64, u64), default: u64) -> Result<u64, Refusal> {
    let Some(text) = call.query.one(name).map_err(bad_request)? else {
        return Ok(default);
    };
    let number = text.parse().ok().filter(|number| (min..=max).contains(number));
    number.ok_or_else(|| Refusal::validation(format!("{name} is a whole number from {min} to {max}")))
}

fn one_of<'a>(call: &'a Call, name: &str, words: &[&str]) -> Result<Option<&'a str>, Refusal> {
    call.query.one_of(name, words).map_err(bad_request)
}

/// Which page is asked for, of lists with numbered pages and their total.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Numbered {
    number: u64,
    size: u64,
    first: u64,
}

impl Numbered {
    /// Reads `_pageNumber` and `_pageSize`.
    pub(crate) fn read(world: &World, call: &Call) -> Result<Self, Refusal> {
        Self::named(world, call, ["_pageNumber", "_pageSize"])
    }

    /// Reads them under other names.
    pub(crate) fn named(world: &World, call: &Call, [number, size]: [&str; 2]) -> Result<Self, Refusal> {
        let settings = &world.core.config.payaut;
        let numbers = (settings.first_page, u64::from(u32::MAX >> 1));
        Ok(Self {
            number: count(call, number, numbers, settings.first_page)?,
            size: count(call, size, (1, settings.page_size_max), settings.page_size_default)?,
            first: settings.first_page,
        })
    }

    /// The page of what there is.
    pub(crate) fn page(self, all: Vec<Json>) -> Json {
        let total = all.len();
        json!({
            "elements": slice(all, self.number - self.first, self.size),
            "pageNumber": self.number,
            "pageSize": self.size,
            "totalElementCount": total,
        })
    }
}

fn slice(all: Vec<Json>, pages_before: u64, size: u64) -> Vec<Json> {
    let skip = usize::try_from(pages_before.saturating_mul(size)).unwrap_or(usize::MAX);
    let take = usize::try_from(size).unwrap_or(usize::MAX);
    all.into_iter().skip(skip).take(take).collect()
}

/// Which rows of a list are asked for, and in which order.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    from: Option<Instant>,
    to: Option<Instant>,
    ascending: bool,
}

impl Span {
    /// Reads `_from`, `_to`, `_asc` and `_orderBy`.
    pub(crate) fn read(world: &World, call: &Call) -> Result<Self, Refusal> {
        one_of(call, "_orderBy", &["createdAt"])?;
        let ascending = one_of(call, "_asc", &["true", "false"])?;
        Ok(Self {
            from: bound(call, "_from")?,
            to: bound(call, "_to")?,
            ascending: ascending.map_or(Self::usual(world), |word| word == "true"),
        })
    }

    /// Reads `_sort`.
    pub(crate) fn sorted(world: &World, call: &Call) -> Result<Self, Refusal> {
        let sort = one_of(call, "_sort", &["asc", "desc"])?;
        Ok(Self {
            from: None,
            to: None,
            ascending: sort.map_or(Self::usual(world), |word| word == "asc"),
        })
    }

    /// Everything, in the usual order.
    pub(crate) fn all(world: &World) -> Self {
        Self {
            from: None,
            to: None,
            ascending: Self::usual(world),
        }
    }

    fn usual(world: &World) -> bool {
        world.core.config.payaut.list_order == ListOrder::OldestFirst
    }

    /// The rows of a table that are meant.
    pub(crate) fn of<'a, T>(self, world: &World, table: &'a Table<T>) -> Vec<&'a T> {
        let shown = |row: &&'a Row<T>| {
            row.listed_from <= world.core.elapsed
                && self.from.is_none_or(|from| from <= row.created_at)
                && self.to.is_none_or(|to| row.created_at <= to)
        };
        let mut rows: Vec<&T> = table.rows().iter().filter(shown).map(|row| &row.item).collect();
        if !self.ascending {
            rows.reverse();
        }
        rows
    }
}

/// A bound in the one documented form: yyyy-MM-dd'T'HH:mm:ss.SSSXXX.
fn bound(call: &Call, name: &str) -> Result<Option<Instant>, Refusal> {
    let Some(text) = call.query.one(name).map_err(bad_request)? else {
        return Ok(None);
    };
    let thousandths = text.split_once('.').map_or("", |(_, rest)| rest);
    let digits = thousandths.bytes().take_while(u8::is_ascii_digit).count();
    let time = DateTime::parse_from_rfc3339(text).ok().filter(|_| digits == 3);
    match time {
        Some(time) => Ok(Some(time.with_timezone(&Utc))),
        None => Err(Refusal::validation(format!(
            "{name} has the form yyyy-MM-dd'T'HH:mm:ss.SSSXXX"
        ))),
    }
}

/// Which part of a feed is asked for: transactions, payouts, reports.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Feed {
    page: u64,
    limit: u64,
    first: u64,
    ascending: bool,
    from: Option<NaiveDate>,
    to: Option<NaiveDate>,
}

impl Feed {
    /// Reads `page`, `limit`, `direction`, `from` and `to`; the column of `sort` can be any and is not looked at.
    pub(crate) fn read(world: &World, call: &Call) -> Result<Self, Refusal> {
        let settings = &world.core.config.payaut;
        let pages = (settings.feed_first_page, u64::from(u32::MAX >> 1));
        let limits = (1, settings.feed_limit_max);
        let direction = one_of(call, "direction", &["asc", "desc"])?;
        call.query.one("sort").map_err(bad_request)?;
        Ok(Self {
            page: count(call, "page", pages, settings.feed_first_page)?,
            limit: count(call, "limit", limits, settings.feed_limit_default)?,
            first: settings.feed_first_page,
            ascending: direction.map_or(Span::usual(world), |word| word == "asc"),
            from: day(call, "from")?,
            to: day(call, "to")?,
        })
    }

    /// Whether something of this time is meant; both days count.
    pub(crate) fn covers(self, at: Instant) -> bool {
        let day = at.date_naive();
        self.from.is_none_or(|from| from <= day) && self.to.is_none_or(|to| day <= to)
    }

    /// The page of what there is, which comes oldest first.
    pub(crate) fn page(self, mut all: Vec<Json>) -> Json {
        let total = all.len();
        if !self.ascending {
            all.reverse();
        }
        json!({
            "items": slice(all, self.page - self.first, self.limit),
            "pagination": { "page": self.page, "limit": self.limit, "total": total },
        })
    }
}

fn day(call: &Call, name: &str) -> Result<Option<NaiveDate>, Refusal> {
    let Some(text) = call.query.one(name).map_err(bad_request)? else {
        return Ok(None);
    };
    match NaiveDate::parse_from_str(text, "%Y-%m-%d") {
        Ok(day) => Ok(Some(day)),
        Err(_) => Err(Refusal::validation(format!("{name} is a date"))),
    }
}

/// Refuses a span of days that is none.
pub(crate) fn days(fields: &mut Fields<'_>, field: &'static str) -> Result<Option<NaiveDate>, Refusal> {
    let Some(text) = fields.optional_text(field)? else {
        return Ok(None);
    };
    match NaiveDate::parse_from_str(text, "%Y-%m-%d") {
        Ok(day) => Ok(Some(day)),
        Err(_) => Err(fields.invalid(field, "is a date")),
    }
}

/// Free text finds what has it anywhere, capitals or not.
pub(crate) fn found(query: Option<&str>, texts: &[Option<&str>]) -> bool {
    let Some(query) = query.map(str::to_lowercase) else {
        return true;
    };
    texts.iter().flatten().any(|text| text.to_lowercase().contains(&query))
}

/// One word of the query of those an API has.
pub(crate) fn word<'a>(call: &'a Call, name: &str, words: &[&str]) -> Result<Option<&'a str>, Refusal> {
    one_of(call, name, words)
}

/// Free text of the query.
pub(crate) fn text<'a>(call: &'a Call, name: &str) -> Result<Option<&'a str>, Refusal> {
    call.query.one(name).map_err(bad_request)
}

/// A whole number of the query, where one stands.
pub(crate) fn minutes(call: &Call, name: &str, max: u64, default: u64) -> Result<TimeDelta, Refusal> {
    let minutes = count(call, name, (1, max), default)?;
    Ok(TimeDelta::minutes(i64::try_from(minutes).unwrap_or(i64::MAX)))
}

/// What the fragments of a read enlarge.
pub(crate) fn fragments(call: &Call, known: &[&str]) -> Result<Vec<String>, Refusal> {
    let mut asked = Vec::new();
    for text in call.query.many("_fragments") {
        // What stands between several is not documented: any of the usual.
        for name in text.split(['|', ';', ' ']).filter(|name| !name.is_empty()) {
            if !known.contains(&name) {
                return Err(Refusal::validation(format!("_fragments has {}", known.join(", "))));
            }
            asked.push(name.to_owned());
        }
    }
    Ok(asked)
}
