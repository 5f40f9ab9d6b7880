//! Ids, cents, times and lists as this provider writes and reads them.

use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::config::{ListOrder, Meta, UnknownIdStatus};
use crate::base::clock::Instant;
use crate::base::money::{Currency, Money};
use crate::simulator::contract::{Call, Caller};
use crate::simulator::core::fields::{Fields, Query};
use crate::simulator::core::refusal::Refusal;
use crate::simulator::core::table::{Row, Table};
use crate::simulator::resources::stamp;
use crate::simulator::world::World;

/// Money in cents: all there is here are dollars.
pub(crate) type Cents = i64;

/// More than anything costs, and far from what cannot be added up.
const CENTS_MAX: u64 = 999_999_999_999;

pub(crate) fn dollar() -> Currency {
    Currency::from_code("USD").expect("the dollar exists")
}

/// Cents as the ledger has them.
pub(crate) fn usd(cents: Cents) -> Money {
    Money::from_minor(cents.into(), dollar()).expect("a number of 64 bits fits")
}

/// What the ledger has, in cents.
pub(crate) fn cents(amount: Money) -> Cents {
    Cents::try_from(amount.minor()).unwrap_or(Cents::MAX)
}

/// Something with an id that belongs to an account.
pub(crate) trait Entity {
    /// What its id begins with.
    const PREFIX: &'static str;
    /// What it is called when it is not found.
    const WHAT: &'static str;

    fn id(&self) -> Uuid;

    fn account(&self) -> Uuid;

    /// The id as the API shows it.
    fn shown_id(&self) -> String {
        tagged(Self::PREFIX, self.id())
    }
}

/// An id behind what says of what: `pi_…`.
pub(crate) fn tagged(prefix: &str, id: Uuid) -> String {
    format!("{prefix}_{}", id.simple())
}

/// What such an id names; anything else names nothing.
pub(crate) fn of_tagged(prefix: &str, text: &str) -> Option<Uuid> {
    let id = Uuid::parse_str(text.strip_prefix(prefix)?.strip_prefix('_')?).ok()?;
    Some(id).filter(|id| tagged(prefix, *id) == text)
}

pub(crate) fn time(at: Instant) -> Json {
    Json::String(stamp(at))
}

pub(crate) fn time_or_null(at: Option<Instant>) -> Json {
    at.map_or(Json::Null, time)
}

/// A date, without its time.
pub(crate) fn date(at: Instant) -> Json {
    Json::String(at.format("%Y-%m-%d").to_string())
}

/// The refusal of an id that names nothing the caller sees.
pub(crate) fn unknown(world: &World, what: &str) -> Refusal {
    match world.core.config.payments.unknown_id_status {
        UnknownIdStatus::NotFound => Refusal::not_found(what),
        UnknownIdStatus::BadRequest => Refusal::validation(format!("{what} was not found")),
    }
}

/// Whether the caller acts for the account or the business that something belongs to.
pub(crate) fn sees(world: &World, caller: Caller, account: Uuid) -> bool {
    let business = || world.payments.accounts.get(account).map(|account| account.business);
    caller.account.is_none_or(|own| own == account) && caller.business.is_none_or(|own| business() == Some(own))
}

/// What an id names, if the caller may see it.
pub(crate) fn find<'a, T: Entity>(
    world: &'a World,
    table: &'a Table<T>,
    caller: Caller,
    text: &str,
) -> Result<&'a T, Refusal> {
    of_tagged(T::PREFIX, text)
        .and_then(|id| table.get(id))
        .filter(|found| sees(world, caller, found.account()))
        .ok_or_else(|| unknown(world, T::WHAT))
}

/// What the id in the path names.
pub(crate) fn named<'a, T: Entity>(world: &'a World, table: &'a Table<T>, call: &Call) -> Result<&'a T, Refusal> {
    let text = call.path.first().map_or("", String::as_str);
    find(world, table, call.caller, text)
}

/// The account that the call is for; operations without one do not ask.
pub(crate) fn account(call: &Call) -> Result<Uuid, Refusal> {
    let account = call.caller.account;
    account.ok_or_else(|| Refusal::parameter_missing("x-account-id"))
}

// --- requests -----------------------------------------------------------------------------------

/// An amount of a request: whole cents, none below zero.
pub(crate) fn optional_amount(fields: &mut Fields<'_>, field: &'static str) -> Result<Option<Cents>, Refusal> {
    let cents = fields.optional_count(field, 0, CENTS_MAX)?;
    Ok(cents.and_then(|cents| Cents::try_from(cents).ok()))
}

pub(crate) fn amount(fields: &mut Fields<'_>, field: &'static str) -> Result<Cents, Refusal> {
    optional_amount(fields, field)?.ok_or_else(|| Refusal::parameter_missing(fields.name(field)))
}

/// A bound of a search: any whole number.
pub(crate) fn bound(fields: &mut Fields<'_>, field: &'static str) -> Result<Option<Cents>, Refusal> {
    match fields.get(field) {
        None => Ok(None),
        Some(value) => match value.as_i64() {
            Some(cents) => Ok(Some(cents)),
            None => Err(fields.invalid(field, "is a whole number")),
        },
    }
}

pub(crate) fn optional_time(fields: &mut Fields<'_>, field: &'static str) -> Result<Option<Instant>, Refusal> {
    let Some(text) = fields.optional_text(field)? else {
        return Ok(None);
    };
    match chrono::DateTime::parse_from_rfc3339(text) {
        Ok(at) => Ok(Some(at.to_utc())),
        Err(_) => Err(fields.invalid(field, "is an RFC 3339 time")),
    }
}

/// An object whose inside is not described; kept as it was sent.
pub(crate) fn any_object(fields: &mut Fields<'_>, field: &'static str) -> Result<Json, Refusal> {
    match fields.get(field) {
        None => Ok(Json::Null),
        Some(value @ Json::Object(_)) => Ok(value.clone()),
        Some(_) => Err(fields.invalid(field, "is an object")),
    }
}

pub(crate) fn owned(text: Option<&str>) -> Option<String> {
    text.map(str::to_owned)
}

// --- lists --------------------------------------------------------------------------------------

fn row_of<T: Entity>(table: &Table<T>, id: Uuid) -> Option<&Row<T>> {
    table.rows().iter().find(|row| row.item.id() == id)
}

/// The rows that the caller sees in lists by now, first to last.
fn visible<'a, T: Entity>(world: &'a World, table: &'a Table<T>, caller: Caller, lag_ms: u64) -> Vec<&'a Row<T>> {
    let lag = std::time::Duration::from_millis(lag_ms);
    let rows = table.rows().iter();
    rows.filter(|row| row.listed_from.saturating_add(lag) <= world.core.elapsed)
        .filter(|row| sees(world, caller, row.item.account()))
        .collect()
}

fn limit(world: &World, query: &Query) -> Result<usize, Refusal> {
    let settings = &world.core.config.payments;
    let max = settings.list_limit_max;
    let limit = match query.one("limit")? {
        None => settings.list_limit_default,
        Some(text) => match text.parse().ok().filter(|limit| (1..=max).contains(limit)) {
            Some(limit) => limit,
            None => return Err(Refusal::parameter_invalid("limit", format!("limit is 1 to {max}"))),
        },
    };
    Ok(usize::try_from(limit).unwrap_or(usize::MAX))
}

/// A page of a list: what comes after one entity, or, the other way round, before it.
pub(crate) fn list<T: Entity>(
    world: &World,
    call: &Call,
    table: &Table<T>,
    keep: impl Fn(&T) -> bool,
    show: impl Fn(&T) -> Json,
) -> Result<Json, Refusal> {
    let limit = limit(world, &call.query)?;
    let (after, before) = (call.query.one("starting_after")?, call.query.one("ending_before")?);
    let (name, from) = match (after, before) {
        (Some(_), Some(_)) => {
            let message = "starting_after and ending_before exclude each other";
            return Err(Refusal::parameter_invalid("ending_before", message));
        }
        (None, Some(before)) => ("ending_before", Some(before)),
        (after, None) => ("starting_after", after),
    };
    let from = match from {
        None => None,
        Some(text) => {
            let row = of_tagged(T::PREFIX, text).and_then(|id| row_of(table, id));
            let row = row.filter(|row| sees(world, call.caller, row.item.account()));
            let number = row.map(|row| row.number);
            Some(number.ok_or_else(|| Refusal::parameter_invalid(name, format!("{name} names nothing here")))?)
        }
    };
    let mut rows = visible(world, table, call.caller, 0);
    rows.retain(|row| keep(&row.item));
    let total = rows.len();
    let newest_first = world.core.config.payments.list_order == ListOrder::NewestFirst;
    let descending = newest_first != (name == "ending_before");
    rows.retain(|row| {
        from.is_none_or(|from| {
            if descending {
                row.number < from
            } else {
                row.number > from
            }
        })
    });
    if descending {
        rows.reverse();
    }
    let data: Vec<Json> = rows.iter().take(limit).map(|row| show(&row.item)).collect();
    Ok(page(world, &data, 1, limit, total))
}

/// How a search goes through what it found.
#[derive(Debug)]
pub(crate) struct Search<'a> {
    pub(crate) column: &'a str,
    descending: bool,
    limit: usize,
    page: usize,
}

impl<'a> Search<'a> {
    /// Reads how to sort, and, where there are pages, which one.
    pub(crate) fn read(
        world: &World,
        fields: &mut Fields<'a>,
        columns: &[&'a str],
        usual: &'a str,
        has_pages: bool,
    ) -> Result<Self, Refusal> {
        let settings = &world.core.config.payments;
        let column = fields.optional_one_of("sort_column", columns)?.unwrap_or(usual);
        let direction = fields.optional_one_of("sort_direction", &["asc", "desc"])?;
        let (mut limit, mut page) = (settings.list_limit_default, 1);
        if has_pages {
            let max = settings.list_limit_max;
            limit = fields.optional_count("limit", 1, max)?.unwrap_or(limit);
            page = fields.optional_count("page", 1, u32::MAX.into())?.unwrap_or(page);
        }
        Ok(Self {
            column,
            descending: direction != Some("asc"),
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
            page: usize::try_from(page).unwrap_or(usize::MAX),
        })
    }

    /// The page of what there is, as far as the search knows it by now.
    pub(crate) fn page<T: Entity>(
        &self,
        world: &World,
        call: &Call,
        table: &Table<T>,
        keep: impl Fn(&T) -> bool,
        (by, show): (impl Fn(&T) -> i64, impl Fn(&T) -> Json),
    ) -> Json {
        let mut rows = visible(world, table, call.caller, world.core.config.payments.search_lag_ms);
        rows.retain(|row| keep(&row.item));
        rows.sort_by_key(|row| (by(&row.item), row.number));
        if self.descending {
            rows.reverse();
        }
        let skipped = self.limit.saturating_mul(self.page.saturating_sub(1));
        let shown = rows.iter().skip(skipped).take(self.limit);
        let data: Vec<Json> = shown.map(|row| show(&row.item)).collect();
        page(world, &data, self.page, self.limit, rows.len())
    }
}

fn page(world: &World, data: &[Json], page: usize, size: usize, total: usize) -> Json {
    let meta = match world.core.config.payments.meta {
        Meta::Empty => json!({}),
        Meta::Counts => json!({ "page": page, "size": size, "total_count": total }),
    };
    json!({ "data": data, "meta": meta })
}

/// From when lists show what is made now.
pub(crate) fn listed_from(world: &World, unlisted_ms: u64) -> std::time::Duration {
    let lag_ms = world.core.config.payments.visibility_lag_ms;
    world.core.listed_after(lag_ms.saturating_add(unlisted_ms))
}
