//! Pages of a list: what is on them, where the next one is, and whether all of them together are the whole list.
//!
//! Pure. A [`Walk`] takes the pages in their order. It never takes for the end what is none: a page that is shorter than
//! was asked for may be as long as the provider makes them, and a list that is counted off from its beginning shifts
//! while things come and go. So pages overlap by an item where they can, what is shown is counted, and what cannot be
//! shown to be whole is [`Next::Lost`].

use std::collections::BTreeSet;
use std::sync::Arc;

use super::request;
use super::table::{Counted, Endpoint, Pagination, Place, Style};
use crate::base::guard::{Guard, holds};
use crate::base::ids::Digest;
use crate::model::journal::StoredRequest;
use crate::model::value::{Map, Value};

/// The items of an answer that is a list; none if it is not one.
pub fn items<'a>(endpoint: &Endpoint, answer: &'a Value) -> &'a [Value] {
    endpoint
        .paging
        .as_ref()
        .and_then(|paging| answer.pointer(&paging.items))
        .and_then(Value::as_list)
        .unwrap_or(&[])
}

/// An answer that is a list without the items nobody keeps, as far as a [`Walk`] goes on without them: it is as good for
/// that, and shorter.
pub fn thinned(endpoint: &Endpoint, mut answer: Value, is_kept: impl Fn(&Value) -> bool) -> Value {
    if let Some(paging) = &endpoint.paging
        && matches!(paging.style, Style::Whole | Style::Cursor { .. })
        && let Some(Value::List(items)) = answer.pointer_mut(&paging.items)
    {
        items.retain(|item| is_kept(item));
    }
    answer
}

/// What comes after a page.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    /// The page that the parameter for it names so.
    At(Value),
    /// Nothing: all of the list was shown.
    End,
    /// Nothing can be asked for, or what was shown is not all there is: why.
    Lost(String),
}

/// A walk through a list, from one page to the next.
#[derive(Debug, Clone)]
pub struct Walk {
    paging: Option<Arc<Pagination>>,
    /// What the parameter says by which the page was asked for that comes now.
    at: Option<Value>,
    /// Whether that was where a list begins.
    from_start: bool,
    /// Ids of what was shown.
    seen: BTreeSet<String>,
    /// How many items were shown that had not been shown before.
    shown: i64,
    /// The most items the list ever said it had.
    total: Option<i64>,
    /// Whether something was shown twice that was not asked for twice.
    shifted: bool,
    /// Whether the page that comes now begins with the last item of the one before.
    overlaps: bool,
    /// The page before.
    before: Option<Digest>,
}

impl Walk {
    /// A walk that begins with this request.
    pub fn of_request(endpoint: &Endpoint, request: &StoredRequest) -> Self {
        let said = position(endpoint).and_then(|param| request::sent(endpoint, request, param));
        Self::at(endpoint, said.and_then(|said| Value::from_plain(&said).ok()))
    }

    /// A walk that begins with these arguments.
    pub fn of_args(endpoint: &Endpoint, args: &Map) -> Self {
        let said = position(endpoint).and_then(|param| args.get(param));
        Self::at(endpoint, said.filter(|said| !said.is_null()).cloned())
    }

    fn at(endpoint: &Endpoint, said: Option<Value>) -> Self {
        let paging = endpoint.paging.clone();
        let start = paging.as_ref().and_then(|paging| paging.start()).map(Value::Int);
        Self {
            from_start: said.is_none() || said == start,
            at: said.or(start),
            paging,
            seen: BTreeSet::new(),
            shown: 0,
            total: None,
            shifted: false,
            overlaps: false,
            before: None,
        }
    }

    /// Takes a page: what it shows that was not shown before, and what comes after it.
    pub fn take<'a>(&mut self, answer: &'a Value) -> (Vec<&'a Value>, Next) {
        let Some(paging) = self.paging.clone() else {
            return (Vec::new(), Next::End);
        };
        let items = answer.pointer(&paging.items).and_then(Value::as_list).unwrap_or(&[]);
        let fresh = self.fresh(&paging, items);
        let next = match &paging.style {
            Style::Whole => Next::End,
            Style::Cursor { next, more, .. } => {
                self.after_cursor(answer.pointer(next), says_more(more.as_deref(), answer))
            }
            Style::LastItem { id, more, .. } => self.after_item(items, id, says_more(more.as_deref(), answer)),
            Style::Offset { counted, .. } => {
                let further = i64::try_from(items.len()).unwrap_or(i64::MAX);
                self.after_count(items, &fresh, Some(further), counted, answer)
            }
            Style::Page { counted, .. } => self.after_count(items, &fresh, None, counted, answer),
        };
        if let Next::At(position) = &next {
            self.at = Some(position.clone());
        }
        (fresh, next)
    }

    /// The items that were not shown before, as far as the table says how they are known again.
    fn fresh<'a>(&mut self, paging: &Pagination, items: &'a [Value]) -> Vec<&'a Value> {
        let id = paging.counted().and_then(|counted| counted.id.as_deref());
        let is_new = |item: &&Value| match id.and_then(|id| name_at(item, id)) {
            Some(id) => self.seen.insert(id),
            None => true,
        };
        let fresh: Vec<&Value> = items.iter().filter(is_new).collect();
        self.shown = self
            .shown
            .saturating_add(i64::try_from(fresh.len()).unwrap_or(i64::MAX));
        fresh
    }

    fn after_cursor(&self, cursor: Option<&Value>, more: Option<bool>) -> Next {
        let cursor = cursor.filter(|cursor| !cursor.is_null() && cursor.as_text() != Some(""));
        match (cursor, more) {
            (_, Some(false)) | (None, None) => Next::End,
            (None, Some(true)) => lost("it says that there is more, and not where"),
            (Some(cursor), _) => match name(cursor).map(Value::text) {
                None => lost("where it goes on is no text"),
                Some(cursor) if self.at.as_ref() == Some(&cursor) => {
                    lost("it leads back to the page that was asked for")
                }
                Some(cursor) => Next::At(cursor),
            },
        }
    }

    fn after_item(&self, items: &[Value], id: &str, more: Option<bool>) -> Next {
        match (items.last(), more) {
            (_, Some(false)) | (None, None) => Next::End,
            (None, Some(true)) => lost("it says that there is more, and shows nothing"),
            (Some(last), _) => match name_at(last, id).map(Value::text) {
                None => lost("its last item has no id, after which it could go on"),
                Some(last) if self.at.as_ref() == Some(&last) => lost("it shows again what was shown before"),
                Some(last) => Next::At(last),
            },
        }
    }

    /// After a page of a list that is counted off. `passed` is how many items it passed over, if those are counted.
    fn after_count(
        &mut self,
        items: &[Value],
        fresh: &[&Value],
        passed: Option<i64>,
        counted: &Counted,
        answer: &Value,
    ) -> Next {
        let total = counted.total.as_deref().and_then(|total| answer.pointer(total));
        if let Some(Value::Int(total)) = total {
            self.total = self.total.max(Some(*total));
        }
        let is_again = {
            let page = Value::List(items.to_vec()).typed_text();
            let page = Digest::of([page.as_bytes()]);
            self.before.replace(page) == Some(page)
        };
        let first_is_new = items
            .first()
            .zip(fresh.first())
            .is_some_and(|(one, other)| std::ptr::eq(one, *other));
        let overlapped = std::mem::take(&mut self.overlaps);
        // The page begins with the last item of the one before it, unless things went and others moved up.
        if overlapped && (items.is_empty() || first_is_new) {
            return lost(CHANGED);
        }
        self.shifted |= fresh.len() + usize::from(overlapped) < items.len();
        let is_over = items.len() == usize::from(overlapped);
        let is_all = self.from_start && self.total.is_some_and(|total| self.shown >= total);
        match says_more(counted.more.as_deref(), answer) {
            Some(false) => self.end(),
            Some(true) if is_over => lost("it says that there is more, and shows nothing"),
            _ if is_over => self.end(),
            None if is_all => self.end(),
            _ if is_again => lost("it shows again what was shown before"),
            _ => {
                self.overlaps = counted.id.is_some() && passed.is_some_and(|passed| passed > 1);
                let further = passed.unwrap_or(1) - i64::from(self.overlaps);
                match &self.at {
                    Some(Value::Int(at)) => Next::At(Value::Int(at.saturating_add(further))),
                    _ => lost("where it was begun is no number"),
                }
            }
        }
    }

    /// The end of a list that is counted off from its beginning: whole only if nothing can have slipped by.
    fn end(&self) -> Next {
        match self.total.filter(|_| self.from_start) {
            Some(total) if self.shown < total => {
                let shown = self.shown;
                lost(&format!("it has {total} items and showed {shown}"))
            }
            None if self.shifted => lost(CHANGED),
            _ => Next::End,
        }
    }
}

const CHANGED: &str = "it changed while it was read";

fn lost(reason: &str) -> Next {
    if holds(Guard::ListWhole) {
        Next::Lost(reason.to_owned())
    } else {
        Next::End
    }
}

fn says_more(more: Option<&str>, answer: &Value) -> Option<bool> {
    match answer.pointer(more?)? {
        Value::Bool(more) => Some(*more),
        _ => None,
    }
}

fn name_at(item: &Value, pointer: &str) -> Option<String> {
    item.pointer(pointer).and_then(name)
}

/// What names a thing, as text.
fn name(value: &Value) -> Option<String> {
    match value {
        Value::Text(text) if !text.is_empty() => Some(text.clone()),
        Value::Int(number) => Some(number.to_string()),
        _ => None,
    }
}

/// The parameter that says which page of a list is meant.
pub fn position(endpoint: &Endpoint) -> Option<&str> {
    let position = endpoint.paging.as_ref()?.position()?;
    Some(position.param.as_str())
}

/// The request for another page of the same list.
pub fn turn_to(endpoint: &Endpoint, request: &StoredRequest, page: &Value) -> StoredRequest {
    let Some(param) = position(endpoint).and_then(|param| endpoint.param(param)) else {
        return request.clone();
    };
    let mut request = request.clone();
    if param.place == Place::Body {
        request.body = request::with_body_param(request.body.as_deref(), param.wire_name(), page.to_plain());
    } else {
        request.path = request::with_query_param(&request.path, param.wire_name(), &page.to_string());
    }
    request
}
