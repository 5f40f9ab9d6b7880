//! Pages of a list: its items, and the request for the page after it.

use super::request::with_query_param;
use super::table::{Endpoint, Style};
use crate::model::journal::StoredRequest;
use crate::model::value::Value;

/// The items of an answer that is a list; none if it is not one.
pub fn items<'a>(endpoint: &Endpoint, answer: &'a Value) -> &'a [Value] {
    endpoint
        .paging
        .as_ref()
        .and_then(|paging| answer.pointer(&paging.items))
        .and_then(Value::as_list)
        .unwrap_or(&[])
}

/// The parameter and the cursor of the next page, unless this was the last.
pub fn next_cursor<'a>(endpoint: &'a Endpoint, answer: &'a Value) -> Option<(&'a str, &'a str)> {
    let Style::Cursor { next, more, cursor } = &endpoint.paging.as_ref()?.style else {
        return None;
    };
    let says_no = more
        .as_ref()
        .is_some_and(|more| answer.pointer(more) == Some(&Value::Bool(false)));
    let position = answer.pointer(next)?.as_text()?;
    (!says_no).then_some((cursor.param.as_str(), position))
}

/// Whether an answer says that it is not the last page.
pub fn says_more(endpoint: &Endpoint, answer: &Value) -> bool {
    let more = endpoint.paging.as_ref().and_then(|paging| match &paging.style {
        Style::Whole => None,
        Style::Cursor { more, .. } => more.as_ref(),
    });
    more.and_then(|more| answer.pointer(more)) == Some(&Value::Bool(true))
}

/// The request for the next page, unless this was the last. `request` is the one this page answered.
pub fn next_page(endpoint: &Endpoint, request: &StoredRequest, answer: &Value) -> Option<StoredRequest> {
    let (param, cursor) = next_cursor(endpoint, answer)?;
    let wire = endpoint.param(param)?.wire_name();
    let path = with_query_param(&request.path, wire, cursor);
    // A cursor that leads back to the same page would be followed for ever.
    (path != request.path).then(|| StoredRequest {
        path,
        ..request.clone()
    })
}
