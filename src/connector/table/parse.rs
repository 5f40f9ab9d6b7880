//! Reading a table: from TOML to types, section by section, so that one wrong section hides no other.
//!
//! What the types cannot say is [`super::check`]'s.

mod common;
mod paging;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::check;
use super::{Connector, Effect, Endpoint, Errors, KeyPlace, MoneyTable, Pagination, Place};
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
    "setting",
    "common",
    "money",
    "idempotency",
    "pagination",
    "errors",
    "redact",
    "rate",
    "lacks",
    "gap",
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
    let money: Arc<MoneyTable> = Arc::new(source.optional("money").unwrap_or_default());
    let settings = source.named("setting");
    let commons = source.named("common");
    let paginations = paging::read(source);
    let errors: Errors = source.optional("errors").unwrap_or_default();
    let redact = source.optional("redact").unwrap_or_default();
    let rate = source.optional("rate");
    let lacks = source.optional("lacks").unwrap_or_default();
    let gaps = source.optional("gap").unwrap_or_default();
    let webhook = source.optional("webhook");
    let backfill = source.optional("backfill");
    let shapes = source.named("shape");
    let mut endpoints: BTreeMap<String, Endpoint> = source.named("endpoint");
    let primitives = source.named("primitive");
    let resources = source.named("resource");
    for (name, endpoint) in &mut endpoints {
        endpoint.name.clone_from(name);
        endpoint.money = Arc::clone(&money);
        let method = endpoint.method;
        let takes_header = idempotency
            .as_ref()
            .is_some_and(|table| table.methods.contains(&method));
        endpoint.key = match &endpoint.key_said {
            _ if endpoint.effect == Effect::Read => KeyPlace::None,
            Some(said) => said.clone(),
            None if takes_header => KeyPlace::Header,
            None => KeyPlace::None,
        };
        for param in &mut endpoint.params {
            param.required |= param.place == Place::Path;
        }
        common::give(endpoint, &commons, source);
        page(endpoint, &paginations, source);
    }
    common::carry(&mut endpoints);
    Some(Connector {
        name: name?,
        title: title?,
        doc: doc?,
        local: false,
        base_url: base_url?,
        auth: auth?,
        headers,
        idempotency,
        money,
        settings,
        commons,
        paginations,
        errors,
        redact,
        rate,
        lacks,
        gaps,
        webhook,
        backfill,
        shapes,
        endpoints,
        written_paths: BTreeMap::new(),
        primitives,
        resources,
    })
}

/// Gives an endpoint the way in which it lists.
fn page(endpoint: &mut Endpoint, paginations: &BTreeMap<String, Arc<Pagination>>, source: &mut Document<'_>) {
    let Some(name) = &endpoint.list else { return };
    let Some(pagination) = paginations.get(name) else {
        // A section that is there and wrong was told already.
        if !source.has_named("pagination", name) {
            let known = paginations.keys().map(String::as_str);
            source.unknown(&["endpoint", &endpoint.name, "list"], "pagination", name, known);
        }
        return;
    };
    endpoint.params.extend(paging::params(pagination));
    endpoint.paging = Some(Arc::clone(pagination));
}
