//! Every endpoint of a connector's table, by its name.

use std::ops::RangeInclusive;
use std::sync::Arc;

use super::args::invalid;
use crate::base::limits::{PAGES_MAX, SCRIPT_LIST_ITEMS_MAX};
use crate::connector::connection::Connection;
use crate::connector::page::{self, Next, Walk};
use crate::connector::request::arguments;
use crate::connector::table::{Endpoint, Place};
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
    let name = format!("{}.{}", connection.name, endpoint.name);
    let input = typed_map_text(&args);
    turn.group(&name, &input, || {
        let mut items = Vec::new();
        let mut walk = Walk::of_args(endpoint, &args);
        for _ in 0..PAGES_MAX {
            let page = turn.call(connection, endpoint, &args)?;
            let (shown, next) = walk.take(&page);
            items.extend(shown.into_iter().cloned());
            if let Some(limit) = limit.filter(|limit| items.len() >= *limit) {
                items.truncate(limit);
                return Ok(items);
            }
            match next {
                Next::End => return Ok(items),
                Next::Lost(reason) => {
                    return Err(fail("list_not_whole", format!("`{name}` was not read whole: {reason}")));
                }
                Next::At(position) => {
                    let param = page::position(endpoint).unwrap_or_default();
                    args.insert(param.to_owned(), position);
                }
            }
            if items.len() >= SCRIPT_LIST_ITEMS_MAX {
                break;
            }
        }
        let message = format!(
            "`{name}` has more than {} items: narrow it with filters or `limit`",
            items.len()
        );
        Err(fail("too_many_items", message))
    })
}
