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

/// The request for the next page, unless this was the last. `request` is the one this page answered.
pub fn next_page(
    connector: &Connector,
    endpoint: &Endpoint,
    request: &StoredRequest,
    answer: &Value,
) -> Option<StoredRequest> {
    let pagination = connector.pagination.as_ref().filter(|_| endpoint.is_paged())?;
    let says_no = pagination
        .more
        .as_ref()
        .is_some_and(|more| answer.pointer(more) == Some(&Value::Bool(false)));
    let cursor = answer.pointer(&pagination.next)?.as_text()?;
    let path = with_query_param(&request.path, &pagination.cursor_param, cursor);
    // A cursor that leads back to the same page would be followed for ever.
    (!says_no && path != request.path).then(|| StoredRequest {
        path,
        ..request.clone()
    })
}
