//! Pages of a list: its items, and the request for the page after it.

use super::request::with_query_param;
use super::table::{Connector, Endpoint};
use crate::model::journal::StoredRequest;
use crate::model::value::Value;

/// The items of an answer that is a list; none if it is not one.
pub fn items<'a>(connector: &Connector, answer: &'a Value) -> &'a [Value] {
    connector
        .pagination
        .as_ref()
        .and_then(|pagination| answer.pointer(&pagination.items))
        .and_then(Value::as_list)
        .unwrap_or(&[])
}

/// The parameter and the cursor of the next page, unless this was the last.
pub fn next_cursor<'a>(connector: &'a Connector, endpoint: &Endpoint, answer: &'a Value) -> Option<(&'a str, &'a str)> {
    let pagination = connector.pagination.as_ref().filter(|_| endpoint.is_paged())?;
    let says_no = pagination
        .more
        .as_ref()
        .is_some_and(|more| answer.pointer(more) == Some(&Value::Bool(false)));
    let cursor = answer.pointer(&pagination.next)?.as_text()?;
    (!says_no).then_some((&pagination.cursor_param, cursor))
}

/// Whether an answer says that it is not the last page.
pub fn says_more(connector: &Connector, endpoint: &Endpoint, answer: &Value) -> bool {
    let pagination = connector.pagination.as_ref().filter(|_| endpoint.is_paged());
    pagination
        .and_then(|pagination| answer.pointer(pagination.more.as_ref()?))
        .is_some_and(|more| *more == Value::Bool(true))
}

/// The request for the next page, unless this was the last. `request` is the one this page answered.
pub fn next_page(
    connector: &Connector,
    endpoint: &Endpoint,
    request: &StoredRequest,
    answer: &Value,
) -> Option<StoredRequest> {
    let (param, cursor) = next_cursor(connector, endpoint, answer)?;
    let path = with_query_param(&request.path, param, cursor);
    // A cursor that leads back to the same page would be followed for ever.
    (path != request.path).then(|| StoredRequest {
        path,
        ..request.clone()
    })
}
