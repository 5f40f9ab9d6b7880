//! What the types of a table cannot say: names that lead nowhere, and nonsense that could lose money.
//!
//! Every problem is reported, each at its place in the text.

use std::collections::BTreeSet;

use super::{AmountField, Connector, Effect, Endpoint, InDoubt, Kind, Method, Param, Place, Shape, Subscriptions};
use crate::base::money::parse_plain;
use crate::connector::connection::check_base_url;
use crate::connector::lookup::{Lookup, Match, Template};
use crate::model::document::Document;

/// The treasury primitives a table may map, with what their endpoint does.
const PRIMITIVES: &[(&str, Effect, &[&str])] = &[
    ("accounts", Effect::Read, &[]),
    ("balance", Effect::Read, &["account"]),
    ("payout", Effect::MovesMoney, &["from", "to", "amount", "reference"]),
    ("convert", Effect::MovesMoney, &["from", "to", "amount"]),
    ("return_deposit", Effect::MovesMoney, &["deposit"]),
];

pub(super) fn all(connector: &Connector, source: &mut Document<'_>) {
    provider(connector, source);
    for (name, shape) in &connector.shapes {
        check_shape(connector, name, shape, source);
    }
    for endpoint in connector.endpoints() {
        let mut check = Check {
            connector,
            endpoint,
            source,
        };
        check.call();
        check.params();
        check.money();
        check.doubt();
    }
    webhook(connector, source);
    primitives(connector, source);
    resources(connector, source);
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
    if let Some(table) = &connector.idempotency {
        if table.methods.is_empty() {
            source.wrong(&["idempotency", "methods"], "no method takes the key");
        }
        if table.window_secs == 0 {
            source.wrong(
                &["idempotency", "window_secs"],
                "a key that protects for no time is none",
            );
        }
    }
    if let Some(pagination) = &connector.pagination {
        pointer(&["pagination", "items"], Some(&pagination.items), source);
        pointer(&["pagination", "next"], Some(&pagination.next), source);
        pointer(&["pagination", "more"], pagination.more.as_ref(), source);
    }
    pointer(&["errors", "code"], connector.errors.code.as_ref(), source);
    pointer(&["errors", "message"], connector.errors.message.as_ref(), source);
    let mut seen = BTreeSet::new();
    for (index, row) in connector.errors.classes.iter().enumerate() {
        let at = ["errors", "class", &index.to_string()];
        if !(300..600).contains(&row.status) {
            source.wrong(&at, format!("{} is not a status of a refused call", row.status));
        }
        if !seen.insert((row.status, &row.code)) {
            source.wrong(&at, format!("{} is classed twice", row.status));
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

/// What is asked of parameters and of members alike.
fn check_param(connector: &Connector, path: &[&str], param: &Param, source: &mut Document<'_>) {
    let name = &param.name;
    if !is_word(name) {
        source
            .wrong(path, format!("`{name}` is not a word a script could write"))
            .help =
            Some("name it with small letters, digits and `_`, and write the provider's name as `wire`".to_owned());
    }
    if param.doc.is_empty() {
        source.wrong(path, format!("`{name}` is not explained"));
    }
    if matches!((param.min_length, param.max_length), (Some(min), Some(max)) if min > max) {
        source.wrong(path, format!("`{name}` has a least length above its greatest"));
    }
    let texts = matches!(param.kind, Kind::Text | Kind::Texts);
    let bounded = !param.values.is_empty() || param.min_length.is_some() || param.max_length.is_some();
    if bounded && !texts {
        source.wrong(
            path,
            format!(
                "only text has `values` or a length; `{name}` takes {}",
                param.kind.describe()
            ),
        );
    }
    match (&param.shape, param.kind) {
        (None, Kind::Object) => {
            source.wrong(path, format!("`{name}` is an object without a `shape`"));
        }
        (Some(shape), Kind::Object) if connector.shape(shape).is_none() => {
            source.unknown(path, "shape", shape, connector.shapes.keys().map(String::as_str));
        }
        (Some(_), kind) if kind != Kind::Object => {
            source.wrong(
                path,
                format!("only an object has a `shape`; `{name}` takes {}", kind.describe()),
            );
        }
        _ => {}
    }
}

fn check_shape(connector: &Connector, name: &str, shape: &Shape, source: &mut Document<'_>) {
    if shape.tag.is_some() == shape.variant.is_empty() || shape.tag.is_some() != shape.fields.is_empty() {
        source.wrong(&["shape", name], "a shape has either `tag` and variants, or `fields`");
    }
    let plain = std::iter::once((vec!["shape", name, "fields"], &shape.fields));
    let variants = shape
        .variant
        .iter()
        .map(|(variant, fields)| (vec!["shape", name, "variant", variant.as_str()], fields));
    for (path, fields) in plain.chain(variants) {
        let mut seen = BTreeSet::new();
        for (index, field) in fields.iter().enumerate() {
            let index = index.to_string();
            let at = [path.as_slice(), &[index.as_str()]].concat();
            check_param(connector, &at, field, source);
            if field.place != Place::Body {
                source.wrong(&at, format!("`{}` is a member: it has no place of its own", field.name));
            }
            if !seen.insert(&field.name) {
                source.wrong(&at, format!("`{}` is described twice", field.name));
            }
        }
    }
}

/// The checks of one endpoint.
struct Check<'a, 'b, 'c> {
    connector: &'a Connector,
    endpoint: &'a Endpoint,
    source: &'b mut Document<'c>,
}

impl<'a> Check<'a, '_, '_> {
    fn wrong(&mut self, keys: &[&str], message: impl Into<String>) {
        let path = [&["endpoint", self.endpoint.name.as_str()], keys].concat();
        self.source.wrong(&path, message);
    }

    fn pointer(&mut self, keys: &[&str], value: Option<&String>) {
        let path = [&["endpoint", self.endpoint.name.as_str()], keys].concat();
        pointer(&path, value, self.source);
    }

    /// The parameter of this name, or a finding.
    fn need_param(&mut self, keys: &[&str], name: &str) -> Option<&'a Param> {
        let found = self.endpoint.param(name);
        if found.is_none() {
            let path = [&["endpoint", self.endpoint.name.as_str()], keys].concat();
            let known = self.endpoint.params.iter().map(|param| param.name.as_str());
            self.source.unknown(&path, "parameter", name, known);
        }
        found
    }

    /// What a look-up reads out of a request that was sent has to be in its body.
    fn need_in_body(&mut self, keys: &[&str], field: &str) {
        let param = field.split_once('.').map_or(field, |(param, _)| param);
        if let Some(param) = self.need_param(keys, param)
            && param.place != Place::Body
        {
            let name = &param.name;
            self.wrong(
                keys,
                format!("`{name}` is not in the body: a look-up reads only that of what was sent"),
            );
        }
    }

    fn call(&mut self) {
        let endpoint = self.endpoint;
        if !is_word(&endpoint.name) {
            self.wrong(&[], format!("`{}` is not a word a script could write", endpoint.name));
        }
        if endpoint.doc.is_empty() {
            self.wrong(&["doc"], "it is not explained");
        }
        if !endpoint.path.starts_with('/') || endpoint.path.contains(['?', '#', ' ']) {
            self.wrong(&["path"], "a path begins with a slash and has no query");
        }
        if endpoint.effect != Effect::Read && endpoint.method == Method::Get {
            self.wrong(&["method"], "GET changes nothing: anybody may repeat it");
        }
        if endpoint.shows_key && (endpoint.effect != Effect::Read || endpoint.public) {
            self.wrong(&["shows_key"], "only a read with a key shows it");
        }
        if endpoint.list && endpoint.effect != Effect::Read {
            self.wrong(&["list"], "only a read answers with a list");
        }
        if endpoint.one_page && !endpoint.list {
            self.wrong(&["one_page"], "it answers with no list");
        }
        if endpoint.list && self.connector.pagination.is_none() {
            self.wrong(&["list"], "there is no [pagination] to say where the items stand");
        }
        if let Some(kind) = &endpoint.resource
            && self.connector.resource(kind).is_none()
        {
            let known = self.connector.resources.keys().map(String::as_str);
            let path = ["endpoint", endpoint.name.as_str(), "resource"];
            self.source.unknown(&path, "resource", kind, known);
        }
    }

    fn params(&mut self) {
        let endpoint = self.endpoint;
        let placeholders: Vec<&str> = endpoint
            .path
            .split('/')
            .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
            .collect();
        for name in &placeholders {
            if endpoint.param(name).is_none_or(|param| param.place != Place::Path) {
                self.wrong(&["path"], format!("`{{{name}}}` has no parameter with in = \"path\""));
            }
        }
        let mut names = BTreeSet::new();
        let mut wires = BTreeSet::new();
        for (index, param) in endpoint.params.iter().enumerate() {
            let index = index.to_string();
            let keys = ["params", index.as_str()];
            check_param(
                self.connector,
                &["endpoint", &endpoint.name, "params", &index],
                param,
                self.source,
            );
            let wire = (
                param.place == Place::Path,
                param.place == Place::Query,
                param.wire_name(),
            );
            if !names.insert(&param.name) || !wires.insert(wire) {
                self.wrong(&keys, format!("`{}` is described twice", param.name));
            }
            match param.place {
                Place::Path if !placeholders.contains(&param.name.as_str()) => {
                    self.wrong(&keys, format!("the path has no `{{{}}}`", param.name));
                }
                Place::Body if endpoint.method == Method::Get => {
                    self.wrong(&keys, format!("`{}` is in the body, which GET has none of", param.name));
                }
                Place::Path | Place::Query if matches!(param.kind, Kind::TextMap | Kind::Object) => {
                    self.wrong(&keys, format!("a map like `{}` can only stand in the body", param.name));
                }
                Place::Path | Place::Query | Place::Body => {}
            }
        }
    }

    fn money(&mut self) {
        let endpoint = self.endpoint;
        match &endpoint.amount {
            None if endpoint.effect == Effect::MovesMoney => {
                self.wrong(
                    &[],
                    "it moves money and says no `amount`: limits could not see it (write amount = \"whole\" if it always moves all there is)",
                );
            }
            Some(AmountField::Whole(_)) if endpoint.effect != Effect::MovesMoney => {
                self.wrong(&["amount"], "it moves no money");
            }
            Some(AmountField::Field(place)) => {
                if let Some(param) = self.need_param(&["amount"], &place.field)
                    && param.kind != Kind::Decimal
                {
                    self.wrong(&["amount"], format!("`{}` has to be of type \"decimal\"", param.name));
                }
                if let Some(currency) = &place.currency
                    && let Some(param) = self.need_param(&["amount"], currency)
                    && param.kind != Kind::Text
                {
                    self.wrong(&["amount"], format!("`{currency}` has to be of type \"text\""));
                }
                if endpoint.effect == Effect::MovesMoney
                    && endpoint.param(&place.field).is_some_and(|param| !param.required)
                {
                    self.wrong(&["amount"], format!("`{}` has to be required", place.field));
                }
            }
            None | Some(AmountField::Whole(_)) => {}
        }
        if let Some(field) = &endpoint.source {
            self.need_param(&["source"], field);
        }
        if let Some(beneficiary) = &endpoint.beneficiary
            && let Some(param) = self.need_param(&["beneficiary"], &beneficiary.field)
            && (param.kind == Kind::Object) == beneficiary.keys.is_empty()
        {
            self.wrong(
                &["beneficiary"],
                "an object needs `keys` that name the account, a text has none",
            );
        }
        if let Some(field) = &endpoint.our_reference {
            let (param, member) = field
                .split_once('.')
                .map_or((field.as_str(), None), |(p, m)| (p, Some(m)));
            let wanted = if member.is_some() { Kind::TextMap } else { Kind::Text };
            if let Some(param) = self.need_param(&["our_reference"], param)
                && (param.place != Place::Body || param.kind != wanted)
            {
                self.wrong(
                    &["our_reference"],
                    "our reference fits a text, or a member of a text_map, of the body",
                );
            }
        }
        self.pointer(&["echo", "amount"], endpoint.echo.amount.as_ref());
        self.pointer(&["echo", "currency"], endpoint.echo.currency.as_ref());
        self.pointer(&["echo", "beneficiary"], endpoint.echo.beneficiary.as_ref());
    }

    fn doubt(&mut self) {
        let endpoint = self.endpoint;
        if endpoint.effect == Effect::Read {
            if endpoint.in_doubt != InDoubt::Park || endpoint.lookup.is_some() {
                self.wrong(&["in_doubt"], "a read is simply repeated");
            }
            return;
        }
        if endpoint.in_doubt == InDoubt::Repeat && !endpoint.idempotent {
            let method = endpoint.method.as_str();
            self.wrong(
                &["in_doubt"],
                format!("it cannot be repeated: [idempotency] names no key for {method}, so it could happen twice"),
            );
        }
        match (&endpoint.lookup, endpoint.in_doubt) {
            (None, InDoubt::Lookup) => self.wrong(&["in_doubt"], "there is no `lookup` to say how"),
            (Some(_), InDoubt::Park) => self.wrong(&["in_doubt"], "it parks at once: the `lookup` is never used"),
            (Some(lookup), _) => self.lookup(lookup),
            (None, _) => {}
        }
    }

    fn lookup(&mut self, lookup: &'a Lookup) {
        let path = ["endpoint", self.endpoint.name.as_str(), "lookup", "endpoint"];
        let Some(list) = self.connector.endpoint(&lookup.endpoint) else {
            unknown_endpoint(self.connector, &path, &lookup.endpoint, self.source);
            return;
        };
        if list.effect != Effect::Read || !list.list {
            self.wrong(
                &["lookup", "endpoint"],
                format!("`{}` is not a read that lists", list.name),
            );
        }
        for (param, template) in &lookup.query {
            let path = [
                "endpoint",
                self.endpoint.name.as_str(),
                "lookup",
                "query",
                param.as_str(),
            ];
            known_param(list, &path, param, self.source);
            if let Template::Body(field) = template {
                self.need_in_body(&["lookup", "query", param], field);
            }
        }
        self.pointer(&["lookup", "created_at"], Some(&lookup.created_at));
        match &lookup.matching {
            Match::Reference(at) => {
                self.pointer(&["lookup", "match"], Some(at));
                if self.endpoint.our_reference.is_none() {
                    self.wrong(
                        &["lookup", "match"],
                        "it is never sent our reference: there is no `our_reference`",
                    );
                }
            }
            Match::Natural { field, pointer, .. } => {
                self.pointer(&["lookup", "match"], Some(pointer));
                self.need_in_body(&["lookup", "match"], field);
            }
        }
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

fn subscription_calls(connector: &Connector, calls: &Subscriptions, source: &mut Document<'_>) {
    let optional = |key, name: &'_ Option<String>, params| name.clone().map(|name| (key, name, params));
    let all = [
        Some(("list", calls.list.clone(), &[][..])),
        Some(("create", calls.create.clone(), &["url", "events"][..])),
        optional("update", &calls.update, &["id", "events"][..]),
        optional("delete", &calls.delete, &["id"][..]),
        optional("test", &calls.test, &["id"][..]),
    ];
    for (key, name, params) in all.into_iter().flatten() {
        let at = ["webhook", "subscriptions", key];
        let Some(endpoint) = known_endpoint(connector, &at, &name, source) else {
            continue;
        };
        let is_read = key == "list";
        if (endpoint.effect == Effect::Read) != is_read || endpoint.effect == Effect::MovesMoney {
            let wanted = if is_read { "a read" } else { "a write" };
            source.wrong(&at, format!("`{name}` is not {wanted}"));
        }
        for param in params {
            known_param(endpoint, &at, param, source);
        }
    }
}

fn webhook(connector: &Connector, source: &mut Document<'_>) {
    let mut envelopes = Vec::new();
    if let Some(webhook) = connector.webhook() {
        envelopes.push(("webhook", &webhook.envelope));
        if let Some(wrong) = webhook.signature.contradiction() {
            source.wrong(&["webhook", "signature"], wrong.to_owned());
        }
        if let Some(subscriptions) = &webhook.subscriptions {
            subscription_calls(connector, subscriptions, source);
        }
        let mut seen = BTreeSet::new();
        for (index, event) in webhook.events.iter().enumerate() {
            if !seen.insert(&event.name) {
                let at = ["webhook", "event", &index.to_string()];
                source.wrong(&at, format!("`{}` is described twice", event.name));
            }
        }
    }
    if let Some(backfill) = connector.backfill() {
        envelopes.push(("backfill", &backfill.envelope));
        let ids = [
            Some(&backfill.envelope),
            connector.webhook().map(|webhook| &webhook.envelope),
        ];
        if ids.into_iter().flatten().any(|envelope| envelope.id.is_none()) {
            let message = "an event in the list is known again by its `id`: both envelopes have to name it".to_owned();
            source.wrong(&["backfill"], message);
        }
        if let Some(list) = known_endpoint(connector, &["backfill", "endpoint"], &backfill.endpoint, source) {
            if list.effect != Effect::Read || !list.list {
                let message = format!("`{}` is not a read that lists", list.name);
                source.wrong(&["backfill", "endpoint"], message);
            }
            known_param(list, &["backfill", "since"], &backfill.since, source);
        }
    }
    for (section, envelope) in envelopes {
        let places = [
            ("id", envelope.id.as_ref()),
            ("type", Some(&envelope.kind)),
            ("payload", Some(&envelope.payload)),
            ("date", envelope.date.as_ref()),
            ("subject", envelope.subject.as_ref()),
        ];
        for (key, value) in places {
            pointer(&[section, "envelope", key], value, source);
        }
    }
}

fn primitives(connector: &Connector, source: &mut Document<'_>) {
    for (name, map) in connector.primitives() {
        let at = |key: &'static str| ["primitive", name, key];
        let Some((_, effect, said)) = PRIMITIVES.iter().find(|(known, ..)| *known == name) else {
            let known = PRIMITIVES.iter().map(|(known, ..)| *known);
            source.unknown(&["primitive", name], "primitive", name, known);
            continue;
        };
        if let Some(endpoint) = known_endpoint(connector, &at("endpoint"), &map.endpoint, source) {
            if endpoint.effect != *effect {
                let message = format!("`{}` has the effect {}", endpoint.name, endpoint.effect.as_str());
                source.wrong(&at("endpoint"), message);
            }
            for param in map.args.values() {
                known_param(endpoint, &at("args"), param, source);
            }
            for said in said.iter().filter(|said| !map.args.contains_key(**said)) {
                let message = format!("`args` has no parameter for `{said}`, which `{name}` always says");
                source.wrong(&["primitive", name], message);
            }
        }
        for value in map.fields.values() {
            pointer(&at("fields"), Some(value), source);
        }
        if let Some(kind) = map.resource.as_ref().filter(|kind| connector.resource(kind).is_none()) {
            let known = connector.resources.keys().map(String::as_str);
            source.unknown(&at("resource"), "resource", kind, known);
        }
        if let Some(own) = &map.own_account {
            if let Some(endpoint) = known_endpoint(connector, &at("own_account"), &own.endpoint, source) {
                known_param(endpoint, &at("own_account"), &own.id, source);
            }
            pointer(&at("own_account"), Some(&own.address), source);
        }
        if let Some(quote) = &map.quote {
            if let Some(endpoint) = known_endpoint(connector, &at("quote"), &quote.endpoint, source) {
                quote
                    .args
                    .values()
                    .for_each(|param| known_param(endpoint, &at("quote"), param, source));
            }
            pointer(&at("quote"), Some(&quote.rate), source);
        }
        if let Some(minimum) = &map.minimum
            && let Err(error) = parse_plain(minimum)
        {
            source.wrong(&at("minimum"), error.to_string());
        }
        if let Some(achieved) = &map.achieved {
            known_endpoint(connector, &at("achieved"), &achieved.endpoint, source);
            for value in [&achieved.id, &achieved.sold, &achieved.bought, &achieved.rate] {
                pointer(&at("achieved"), Some(value), source);
            }
        }
        if let Some(existing) = &map.existing
            && let Some(endpoint) = known_endpoint(connector, &at("existing"), &existing.endpoint, source)
        {
            existing
                .args
                .values()
                .for_each(|param| known_param(endpoint, &at("existing"), param, source));
        }
    }
}

fn resources(connector: &Connector, source: &mut Document<'_>) {
    for (kind, resource) in connector.resources() {
        let at = |key: &'static str| ["resource", kind, key];
        if let Some(endpoint) = known_endpoint(connector, &at("retrieve"), &resource.retrieve, source) {
            let required = endpoint.params.iter().filter(|param| param.required).count();
            if endpoint.effect != Effect::Read || endpoint.params_in(Place::Path).count() != 1 || required != 1 {
                source.wrong(&at("retrieve"), format!("`{}` is not a read of one id", endpoint.name));
            }
        }
        pointer(&at("id"), Some(&resource.id), source);
        pointer(&at("status"), Some(&resource.status), source);
        pointer(&at("failure"), resource.failure.as_ref(), source);
        let mut seen = BTreeSet::new();
        for status in [&resource.pending, &resource.succeeded, &resource.failed]
            .into_iter()
            .flatten()
        {
            if !seen.insert(status) {
                source.wrong(&["resource", kind], format!("the status `{status}` is named twice"));
            }
        }
        let known: Vec<&str> = connector
            .webhook()
            .map(|table| table.event_names().collect())
            .unwrap_or_default();
        for event in resource.events.iter().filter(|event| !known.contains(&event.as_str())) {
            source.unknown(&at("events"), "event", event, known.iter().copied());
        }
    }
}
