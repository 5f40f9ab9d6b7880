//! Who gets the money, in one text: read from what goes over the wire, so that a request and an answer about it are
//! compared alike, however scripts spell it.

use serde_json::Value as Json;

use super::encode;
use super::sent::sent;
use crate::connector::table::{Beneficiary, Endpoint};
use crate::model::journal::StoredRequest;

/// Who gets the money of a request.
pub(super) fn of_request(endpoint: &Endpoint, request: &StoredRequest) -> Option<String> {
    let described = endpoint.beneficiary.as_ref()?;
    let fields = std::iter::once(&described.field).chain(&described.or);
    let named = fields.filter_map(|field| sent(endpoint, request, field)).next()?;
    identity(described, &named)
}

/// One text for one account, however it was typed: without spaces and dashes, an IBAN in capitals. Of several all of
/// them, in an order of their own.
pub(in crate::connector) fn identity(described: &Beneficiary, value: &Json) -> Option<String> {
    let named = match value {
        Json::String(text) => return Some(text.clone()),
        Json::Object(_) => described.keys.iter().filter_map(|key| key_of(value, key)).collect(),
        Json::Array(_) => {
            let mut all = Vec::new();
            each(described, value, &mut all);
            all.sort_unstable();
            return (!all.is_empty()).then(|| all.join("+"));
        }
        _ => Vec::new(),
    };
    (!named.is_empty()).then(|| named.join("/"))
}

/// What one key says of an account.
pub(in crate::connector) fn key_of(value: &Json, key: &str) -> Option<String> {
    let text = encode::out_of_body(value, key)?.as_str()?;
    let tidy: String = text.chars().filter(|c| !c.is_whitespace() && *c != '-').collect();
    let name = key.rsplit('.').next().unwrap_or(key);
    Some(if name.eq_ignore_ascii_case("iban") {
        tidy.to_uppercase()
    } else {
        tidy
    })
}

fn each(described: &Beneficiary, value: &Json, all: &mut Vec<String>) {
    for item in value.as_array().into_iter().flatten() {
        let named: Vec<String> = described.keys.iter().filter_map(|key| key_of(item, key)).collect();
        if !named.is_empty() {
            all.push(named.join("/"));
        }
        if let Some(inner) = described.nested.as_deref().and_then(|name| item.get(name)) {
            each(described, inner, all);
        }
    }
}
