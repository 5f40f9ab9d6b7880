//! Lists: newest first, cut into pages, each page's cursor bound to the filters and to a time.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value as Json, json};

use crate::base::ids::Digest;
use crate::simulator::contract::Call;
use crate::simulator::core::refusal::Refusal;
use crate::simulator::core::table::{Row, Table};
use crate::simulator::world::World;

/// A place in a list: after the row with this time and number.
struct Cursor {
    created_at_ms: i64,
    number: u64,
    issued_ms: u128,
}

impl Cursor {
    /// The text is opaque to clients, and a changed letter is noticed.
    fn write(&self, filters: &str) -> String {
        let fields = format!("{}.{}.{}", self.created_at_ms, self.number, self.issued_ms);
        let bound = seal(filters);
        let check = seal(&format!("{fields}.{bound}"));
        URL_SAFE_NO_PAD.encode(format!("{fields}.{bound}.{check}"))
    }

    fn read(text: &str, filters: &str) -> Result<Self, Refusal> {
        let decoded = URL_SAFE_NO_PAD
            .decode(text)
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .ok_or_else(Refusal::invalid_cursor)?;
        let parts: Vec<&str> = decoded.split('.').collect();
        let [created_at, number, issued, bound, check] = parts.as_slice() else {
            return Err(Refusal::invalid_cursor());
        };
        if seal(&format!("{created_at}.{number}.{issued}.{bound}")) != *check {
            return Err(Refusal::invalid_cursor());
        }
        if seal(filters) != *bound {
            return Err(Refusal::cursor_mismatch());
        }
        let cursor = (|| {
            Some(Self {
                created_at_ms: created_at.parse().ok()?,
                number: number.parse().ok()?,
                issued_ms: issued.parse().ok()?,
            })
        })();
        cursor.ok_or_else(Refusal::invalid_cursor)
    }
}

fn seal(text: &str) -> String {
    Digest::of([b"cursor".as_slice(), text.as_bytes()]).short()
}

/// One page of a table: what `keep` lets through, within the dates asked for.
pub(crate) fn page<T>(
    world: &World,
    call: &Call,
    table: &Table<T>,
    keep: impl Fn(&T) -> bool,
    render: impl Fn(&T) -> Json,
) -> Result<Json, Refusal> {
    let query = &call.query;
    let limit = match query.one("limit")? {
        None => 10,
        Some(text) => text
            .parse::<usize>()
            .ok()
            .filter(|limit| (1..=100).contains(limit))
            .ok_or_else(|| Refusal::parameter_invalid("limit", "limit is a whole number from 1 to 100"))?,
    };
    let dated = call.operation.query.contains(&"created_at.gte");
    let (from, until) = if dated {
        (query.time("created_at.gte")?, query.time("created_at.lte")?)
    } else {
        (None, None)
    };
    let filters = format!("{}?{}", call.operation.name, query.filters());
    let after = match query.one("cursor")? {
        Some(text) => Some(usable(Cursor::read(text, &filters)?, world)?),
        None => None,
    };

    let place = |row: &Row<T>| (row.created_at.timestamp_millis(), row.number);
    let mut rows: Vec<&Row<T>> = table
        .rows()
        .iter()
        .filter(|row| row.listed_from <= world.core.elapsed)
        .filter(|row| from.is_none_or(|from| row.created_at >= from))
        .filter(|row| until.is_none_or(|until| row.created_at <= until))
        .filter(|row| {
            after
                .as_ref()
                .is_none_or(|cursor| place(row) < (cursor.created_at_ms, cursor.number))
        })
        .filter(|row| keep(&row.item))
        .collect();
    rows.sort_by_key(|row| std::cmp::Reverse(place(row)));
    let has_more = rows.len() > limit;
    rows.truncate(limit);
    let next_cursor = rows.last().filter(|_| has_more).map(|row| {
        let cursor = Cursor {
            created_at_ms: row.created_at.timestamp_millis(),
            number: row.number,
            issued_ms: world.core.elapsed.as_millis(),
        };
        cursor.write(&filters)
    });
    let data: Vec<Json> = rows.iter().map(|row| render(&row.item)).collect();
    Ok(json!({ "data": data, "has_more": has_more, "next_cursor": next_cursor }))
}

fn usable(cursor: Cursor, world: &World) -> Result<Cursor, Refusal> {
    let age = world.core.elapsed.as_millis().saturating_sub(cursor.issued_ms);
    if age > Duration::from_millis(world.core.config.lists.cursor_lifetime_ms).as_millis() {
        return Err(Refusal::invalid_cursor());
    }
    Ok(cursor)
}
