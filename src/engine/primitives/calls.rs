//! Every endpoint of a connector's table, by its name.

use std::ops::{ControlFlow, RangeInclusive};
use std::sync::Arc;

use super::args::invalid;
use crate::base::limits::{PAGES_MAX, SCRIPT_LIST_ITEMS_MAX};
use crate::connector::connection::Connection;
use crate::connector::page::{self, Next, Walk};
use crate::connector::request::arguments;
use crate::connector::table::{Endpoint, Place};
use crate::engine::alone::Again;
use crate::engine::turn::{Turn, fail};
use crate::model::value::{Map, Value, typed_map_text};
use crate::script::Thrown;

/// How many arguments the function of an endpoint takes: a map, or the id in its path, or both.
pub(super) fn arity(endpoint: &Endpoint) -> RangeInclusive<usize> {
    let fewest = usize::from(endpoint.params.iter().any(|param| param.required));
    fewest..=if endpoint.params_in(Place::Path).next().is_some() {
        2
    } else {
        1
    }
}

/// Calls an endpoint as a script does: `bank::retrieve_payout(id)`, `bank::list_payouts(#{ status: "paid" })`.
pub(super) fn endpoint(turn: &Turn, connection: &Arc<Connection>, name: &str, args: &[Value]) -> Result<Value, Thrown> {
    let endpoint = find(connection, name)?;
    let map = arguments(endpoint, args).map_err(Thrown::Failure)?;
    if endpoint.lists() {
        list(turn, connection, endpoint, map).map(Value::List)
    } else {
        turn.call(connection, endpoint, &map)
    }
}

/// The endpoint of this name. The table check makes sure of those that tables name.
pub(super) fn find<'a>(connection: &'a Connection, name: &str) -> Result<&'a Endpoint, Thrown> {
    let missing = || {
        fail(
            "unsupported",
            format!("connection `{}` has no endpoint `{name}`", connection.name),
        )
    };
    connection.connector.endpoint(name).ok_or_else(missing)
}

/// All items of a list, page by page; each page is a step of its own. `limit` bounds the items, not the page.
pub(super) fn list(
    turn: &Turn,
    connection: &Arc<Connection>,
    endpoint: &Endpoint,
    mut args: Map,
) -> Result<Vec<Value>, Thrown> {
    let limit = match args.remove("limit") {
        None | Some(Value::Null) => None,
        Some(Value::Int(limit)) if limit > 0 => usize::try_from(limit).ok(),
        Some(other) => {
            return Err(invalid(format!(
                "`limit` has to be a whole number above zero, not {other}"
            )));
        }
    };
    let mut items = Vec::new();
    let all = |page| page;
    let is_whole = walk(turn, (connection, endpoint), args, all, |item| {
        if limit.is_none() && items.len() >= SCRIPT_LIST_ITEMS_MAX {
            return ControlFlow::Break(false);
        }
        items.push(item.clone());
        match limit {
            Some(limit) if items.len() >= limit => ControlFlow::Break(true),
            _ => ControlFlow::Continue(()),
        }
    })?;
    match is_whole {
        Some(false) => Err(too_many(connection, endpoint, items.len())),
        Some(true) | None => Ok(items),
    }
}

/// How a provider is asked.
#[derive(Clone, Copy)]
pub(super) enum Reads<'a> {
    /// By steps of the run, once.
    Steps(&'a Turn),
    /// Again, without a record, just before something is sent.
    Again(&'a Again<'a>),
}

impl Reads<'_> {
    /// Reads one thing.
    pub(super) fn call(self, connection: &Arc<Connection>, endpoint: &Endpoint, args: &Map) -> Result<Value, Thrown> {
        match self {
            Self::Steps(turn) => turn.call(connection, endpoint, args),
            Self::Again(again) => again.read(connection, endpoint, args),
        }
    }

    /// All items of a list.
    pub(super) fn list(
        self,
        connection: &Arc<Connection>,
        endpoint: &Endpoint,
        args: Map,
    ) -> Result<Vec<Value>, Thrown> {
        let again = match self {
            Self::Steps(turn) => return list(turn, connection, endpoint, args),
            Self::Again(again) => again,
        };
        let mut items = Vec::new();
        let page = |args: &Map| again.read(connection, endpoint, args);
        pages((connection, endpoint), args, page, |item| {
            items.push(item.clone());
            ControlFlow::<()>::Continue(())
        })?;
        Ok(items)
    }

    /// The first item of a list that is looked for. What comes after it is not read, and what came before it not recorded.
    pub(super) fn first(
        self,
        connection: &Arc<Connection>,
        endpoint: &Endpoint,
        args: Map,
        is_it: impl Fn(&Value) -> bool,
    ) -> Result<Option<Value>, Thrown> {
        let take = |item: &Value| match is_it(item) {
            true => ControlFlow::Break(item.clone()),
            false => ControlFlow::Continue(()),
        };
        match self {
            Self::Steps(turn) => {
                let thinned = |page| page::thinned(endpoint, page, &is_it);
                walk(turn, (connection, endpoint), args, thinned, take)
            }
            Self::Again(again) => {
                let page = |args: &Map| again.read(connection, endpoint, args);
                pages((connection, endpoint), args, page, take)
            }
        }
    }
}

/// Shows each item of a list, page by page, until somebody has enough: what they have then. Each page is a step; `keep`
/// is what is recorded of it.
fn walk<T>(
    turn: &Turn,
    (connection, endpoint): (&Arc<Connection>, &Endpoint),
    args: Map,
    keep: impl Fn(Value) -> Value,
    take: impl FnMut(&Value) -> ControlFlow<T>,
) -> Result<Option<T>, Thrown> {
    let name = format!("{}.{}", connection.name, endpoint.name);
    let input = typed_map_text(&args);
    let page = |args: &Map| turn.read(connection, endpoint, args, &keep);
    turn.group(&name, &input, || pages((connection, endpoint), args, page, take))
}

/// The same, by whatever reads a page.
fn pages<T>(
    (connection, endpoint): (&Connection, &Endpoint),
    mut args: Map,
    mut read: impl FnMut(&Map) -> Result<Value, Thrown>,
    mut take: impl FnMut(&Value) -> ControlFlow<T>,
) -> Result<Option<T>, Thrown> {
    let mut walk = Walk::of_args(endpoint, &args);
    let mut count = 0;
    for _ in 0..PAGES_MAX {
        let page = read(&args)?;
        let (shown, next) = walk.take(&page);
        for item in shown {
            count += 1;
            if let ControlFlow::Break(enough) = take(item) {
                return Ok(Some(enough));
            }
        }
        match next {
            Next::End => return Ok(None),
            Next::Lost(reason) => {
                let name = format!("{}.{}", connection.name, endpoint.name);
                return Err(fail("list_not_whole", format!("`{name}` was not read whole: {reason}")));
            }
            Next::At(position) => {
                let param = page::position(endpoint).unwrap_or_default();
                args.insert(param.to_owned(), position);
            }
        }
    }
    Err(too_many(connection, endpoint, count))
}

fn too_many(connection: &Connection, endpoint: &Endpoint, count: usize) -> Thrown {
    let message = format!(
        "`{}.{}` has more than {count} items: narrow it with filters or `limit`",
        connection.name, endpoint.name
    );
    fail("too_many_items", message)
}
