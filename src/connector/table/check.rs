//! What the types of a table cannot say: names that lead nowhere, and nonsense that could lose money.
//!
//! Every problem is reported, each at its place in the text.

mod alone;
mod endpoint;
mod key;
mod lookup;
mod param;
mod parts;
mod primitives;
mod webhook;

use std::collections::BTreeSet;

use super::money::DEFAULT_EXPONENT;
use super::{Connector, Endpoint, Errors, Pagination, Place, Style};
use crate::base::money::Currency;
use crate::connector::connection::check_base_url;
use crate::model::document::Document;

/// The most decimals of a smallest unit.
const EXPONENT_MAX: u32 = 18;

pub(super) fn all(connector: &Connector, source: &mut Document<'_>) {
    provider(connector, source);
    for (name, shape) in &connector.shapes {
        param::check_shape(connector, name, shape, source);
    }
    for endpoint in connector.endpoints() {
        let mut check = endpoint::Check {
            connector,
            endpoint,
            source,
        };
        check.call();
        check.params();
        check.choices();
        check.money();
        check.key();
        check.doubt();
    }
    webhook::webhook(connector, source);
    primitives::primitives(connector, source);
    primitives::lacks(connector, source);
    primitives::resources(connector, source);
}

fn provider(connector: &Connector, source: &mut Document<'_>) {
    if !is_word(&connector.name) {
        source.wrong(&["name"], "a name is made of small letters, digits and `_`");
    }
    if connector.base_url.is_empty() {
        source.wrong(&["base_url"], "there is no address: write live = \"https://…\"");
    }
    for (environment, url) in &connector.base_url {
        if let Err(error) = check_base_url(url) {
            source.wrong(&["base_url", environment], error.to_string());
        }
    }
    key::idempotency(connector, source);
    for (currency, decimals) in &connector.money.exponent {
        let at = ["money", "exponent", currency];
        if currency != DEFAULT_EXPONENT
            && let Err(error) = Currency::from_code(currency)
        {
            source.wrong(&at, error.to_string());
        }
        if *decimals > EXPONENT_MAX {
            source.wrong(
                &at,
                format!("{decimals} decimals are more than any currency has: {EXPONENT_MAX} at most"),
            );
        }
    }
    for pagination in connector.paginations() {
        paging(pagination, source);
    }
    for (name, setting) in connector.settings() {
        if setting.doc.is_empty() {
            source.wrong(&["setting", name, "doc"], "it is not explained");
        }
        if let Some(default) = &setting.default
            && !setting.values.is_empty()
            && !setting.values.contains(default)
        {
            source.wrong(
                &["setting", name, "default"],
                format!("`{default}` is none of its `values`"),
            );
        }
    }
    for (name, common) in connector.commons() {
        let at = ["common", name];
        if matches!(common.place, Place::Path) {
            source.wrong(
                &at,
                "what stands in a path is no common parameter: write it at each endpoint",
            );
        }
        if let Some(setting) = common
            .setting
            .as_ref()
            .filter(|setting| connector.setting(setting).is_none())
        {
            let known = connector.settings().map(|(known, _)| known);
            source.unknown(&["common", name, "setting"], "setting", setting, known);
        }
        pointer(&["common", name, "shown"], common.shown.as_ref(), source);
        let has = |endpoint: &Endpoint| endpoint.common.contains_key(name);
        if !connector.endpoints().any(has) {
            source.wrong(
                &at,
                format!("no endpoint has `{name}`: say so with common = {{ {name} = \"required\" }}"),
            );
        }
    }
    errors(&connector.errors, source);
}

fn errors(errors: &Errors, source: &mut Document<'_>) {
    for code in errors.code.iter() {
        pointer(&["errors", "code"], Some(code), source);
    }
    for message in errors.message.iter() {
        pointer(&["errors", "message"], Some(message), source);
    }
    let mut seen = BTreeSet::new();
    for (index, row) in errors.classes.iter().enumerate() {
        let at = ["errors", "class", &index.to_string()];
        if let Some(status) = row.status.filter(|status| !(300..600).contains(status)) {
            source.wrong(&at, format!("{status} is not a status of a refused call"));
        }
        let what = match (row.status, &row.code) {
            (Some(status), None) => status.to_string(),
            (Some(status), Some(code)) => format!("{status} {code}"),
            (None, Some(code)) => code.clone(),
            (None, None) => {
                source.wrong(&at, "it speaks of every answer: write a `status`, a `code`, or both");
                continue;
            }
        };
        if row.bare && row.code.is_some() {
            source.wrong(&at, "an answer without a code has none: leave out `bare` or `code`");
        }
        if row.code.is_some() && errors.code.iter().next().is_none() {
            source.wrong(&at, "no code is ever read: `errors.code` does not say where it stands");
        }
        if !seen.insert((row.status, &row.code, row.bare)) {
            source.wrong(&at, format!("{what} is classed twice"));
        }
    }
}

fn paging(pagination: &Pagination, source: &mut Document<'_>) {
    let at = |key: &'static str| ["pagination", &pagination.name, key];
    // Nothing at all leads to the answer itself.
    let items = Some(&pagination.items).filter(|items| !items.is_empty());
    pointer(&at("items"), items, source);
    if !matches!(pagination.place, Place::Query | Place::Body) {
        source.wrong(&at("in"), "pages are asked for in the query or in the body");
    }
    if pagination.limit.as_ref().is_some_and(|limit| limit.size == 0) {
        source.wrong(&at("limit"), "a page of no items leads nowhere");
    }
    match &pagination.style {
        Style::Whole => {}
        Style::Cursor { next, more, .. } => {
            pointer(&at("next"), Some(next), source);
            pointer(&at("more"), more.as_ref(), source);
        }
        Style::LastItem { id, more, .. } => {
            pointer(&at("id"), Some(id), source);
            pointer(&at("more"), more.as_ref(), source);
        }
        Style::Offset { counted, .. } | Style::Page { counted, .. } => {
            pointer(&at("id"), counted.id.as_ref(), source);
            pointer(&at("more"), counted.more.as_ref(), source);
            pointer(&at("total"), counted.total.as_ref(), source);
        }
    }
}

fn is_word(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_lowercase())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

fn pointer(path: &[&str], pointer: Option<&String>, source: &mut Document<'_>) {
    if let Some(pointer) = pointer.filter(|pointer| !pointer.starts_with('/')) {
        source.wrong(path, format!("`{pointer}` is not a pointer")).help =
            Some("a pointer begins with a slash: /data/0/id".to_owned());
    }
}

fn unknown_endpoint(connector: &Connector, path: &[&str], name: &str, source: &mut Document<'_>) {
    source.unknown(path, "endpoint", name, connector.endpoints.keys().map(String::as_str));
}

/// The endpoint of this name, or a finding.
fn known_endpoint<'a>(
    connector: &'a Connector,
    path: &[&str],
    name: &str,
    source: &mut Document<'_>,
) -> Option<&'a Endpoint> {
    let found = connector.endpoint(name);
    if found.is_none() {
        unknown_endpoint(connector, path, name, source);
    }
    found
}

fn known_param(endpoint: &Endpoint, path: &[&str], name: &str, source: &mut Document<'_>) {
    if endpoint.param(name).is_none() {
        let known = endpoint.params.iter().map(|param| param.name.as_str());
        let what = format!("parameter of `{}` named", endpoint.name);
        source.unknown(path, &what, name, known);
    }
}
