//! Reading a table: from TOML to types, section by section, so that one wrong section hides no other.
//!
//! What the types cannot say is [`super::check`]'s.

use std::collections::BTreeMap;

use super::check;
use super::{Connector, Effect, Endpoint, Errors, Kind, Pagination, Param, Place};
use crate::model::diagnostic::Diagnostic;
use crate::model::document::Document;

/// The keys of a table, outermost level.
const SECTIONS: &[&str] = &[
    "name",
    "title",
    "doc",
    "base_url",
    "auth",
    "headers",
    "idempotency",
    "pagination",
    "errors",
    "rate",
    "webhook",
    "backfill",
    "shape",
    "endpoint",
    "primitive",
    "resource",
];

pub(super) fn connector(file: &str, text: &str) -> Result<Connector, Vec<Diagnostic>> {
    let mut source = Document::parse(file, text, "connector")?;
    source.refuse_unknown(SECTIONS);
    let read = read(&mut source);
    // What is missing or misspelt would only be reported again by the checks of what refers to it.
    if let Some(connector) = read.filter(|_| !source.has_errors()) {
        check::all(&connector, &mut source);
        if !source.has_errors() {
            return Ok(connector);
        }
    }
    debug_assert!(source.has_errors(), "a table is refused with a reason");
    Err(source.finish())
}

fn read(source: &mut Document<'_>) -> Option<Connector> {
    let name: Option<String> = source.required("name");
    let title: Option<String> = source.required("title");
    let doc: Option<String> = source.required("doc");
    let base_url = source.required("base_url");
    let auth = source.required("auth");
    let headers = source.optional("headers").unwrap_or_default();
    let idempotency: Option<super::Idempotency> = source.optional("idempotency");
    let pagination: Option<Pagination> = source.optional("pagination");
    let errors: Errors = source.optional("errors").unwrap_or_default();
    let rate = source.optional("rate");
    let webhook = source.optional("webhook");
    let backfill = source.optional("backfill");
    let shapes = source.named("shape");
    let mut endpoints: BTreeMap<String, Endpoint> = source.named("endpoint");
    let primitives = source.named("primitive");
    let resources = source.named("resource");
    for (name, endpoint) in &mut endpoints {
        endpoint.name.clone_from(name);
        endpoint.idempotent = endpoint.effect != Effect::Read
            && endpoint.keyed
            && idempotency
                .as_ref()
                .is_some_and(|table| table.methods.contains(&endpoint.method));
        for param in endpoint.params.iter_mut().filter(|param| param.place == Place::Path) {
            param.required = true;
        }
        if let Some(pagination) = pagination.as_ref().filter(|_| endpoint.is_paged()) {
            endpoint.params.extend(paging_params(pagination));
        }
    }
    Some(Connector {
        name: name?,
        title: title?,
        doc: doc?,
        local: false,
        base_url: base_url?,
        auth: auth?,
        headers,
        idempotency,
        pagination,
        errors,
        rate,
        webhook,
        backfill,
        shapes,
        endpoints,
        primitives,
        resources,
    })
}

/// The parameters every paged list has.
fn paging_params(pagination: &Pagination) -> [Param; 2] {
    let param = |name: &str, kind, doc: &str| Param {
        name: name.to_owned(),
        wire: None,
        place: Place::Query,
        kind,
        required: false,
        values: Vec::new(),
        min_length: None,
        max_length: None,
        shape: None,
        doc: doc.to_owned(),
    };
    [
        param(&pagination.limit_param, Kind::Int, "How many items a page has."),
        param(&pagination.cursor_param, Kind::Text, "The page to begin with."),
    ]
}
