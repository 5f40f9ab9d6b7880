//! One endpoint: its call, its parameters, its money, and what is done when its outcome is not known.

use std::collections::BTreeSet;

use super::param::{check_param, hidden_by};
use super::{is_word, parts, pointer};
use crate::connector::connection::is_header_name;
use crate::connector::table::{
    AmountField, AmountPlace, AnswerKind, Connector, Effect, Endpoint, InDoubt, Kind, Method, OurReference, Param,
    Place, WHOLE_BODY,
};
use crate::model::document::Document;

/// The checks of one endpoint.
pub(super) struct Check<'a, 'b, 'c> {
    pub(super) connector: &'a Connector,
    pub(super) endpoint: &'a Endpoint,
    pub(super) source: &'b mut Document<'c>,
}

impl<'a> Check<'a, '_, '_> {
    pub(super) fn wrong(&mut self, keys: &[&str], message: impl Into<String>) {
        let path = [&["endpoint", self.endpoint.name.as_str()], keys].concat();
        self.source.wrong(&path, message);
    }

    pub(super) fn pointer(&mut self, keys: &[&str], value: Option<&String>) {
        let path = [&["endpoint", self.endpoint.name.as_str()], keys].concat();
        pointer(&path, value, self.source);
    }

    /// The parameter of this name, or a finding.
    pub(super) fn need_param(&mut self, keys: &[&str], name: &str) -> Option<&'a Param> {
        let found = self.endpoint.param(name);
        if found.is_none() {
            let path = [&["endpoint", self.endpoint.name.as_str()], keys].concat();
            let known = self.endpoint.params.iter().map(|param| param.name.as_str());
            self.source.unknown(&path, "parameter", name, known);
        }
        found
    }

    pub(super) fn call(&mut self) {
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
        if endpoint.probe && (endpoint.effect != Effect::Read || endpoint.public || endpoint.needs_argument()) {
            self.wrong(
                &["probe"],
                "a connection is tried by a read with a key that needs no argument",
            );
        }
        if endpoint.probe && self.connector.endpoints().filter(|endpoint| endpoint.probe).count() > 1 {
            self.wrong(&["probe"], "there is one read by which a connection is tried");
        }
        if endpoint.answer != AnswerKind::Json && (endpoint.list.is_some() || endpoint.resource.is_some()) {
            self.wrong(
                &["answer"],
                "what lists, or makes or shows a resource, answers with JSON",
            );
        }
        if endpoint.empty_body && (endpoint.method == Method::Get || endpoint.params_in(Place::Body).next().is_some()) {
            self.wrong(
                &["empty_body"],
                "an empty map is sent where nothing else is in the body, and GET has none",
            );
        }
        if endpoint.list.is_some() && endpoint.effect != Effect::Read {
            self.wrong(&["list"], "only a read answers with a list");
        }
        if endpoint.method == Method::Get
            && let Some(paging) = &endpoint.paging
            && paging.place == Place::Body
        {
            let message = format!(
                "[pagination.{}] asks for pages in the body, which GET has none of",
                paging.name
            );
            self.wrong(&["list"], message);
        }
        if let Some(kind) = &endpoint.resource
            && self.connector.resource(kind).is_none()
        {
            let known = self.connector.resources.keys().map(String::as_str);
            let path = ["endpoint", endpoint.name.as_str(), "resource"];
            self.source.unknown(&path, "resource", kind, known);
        }
    }

    pub(super) fn params(&mut self) {
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
            let wire = match param.place {
                Place::Header => param.wire_name().to_lowercase(),
                Place::Path | Place::Query | Place::Body => param.wire_name().to_owned(),
            };
            if !names.insert(&param.name) || !wires.insert((param.place, wire)) {
                self.wrong(&keys, format!("`{}` is described twice", param.name));
            }
            if let Some(currency) = &param.currency {
                self.need_currency(&keys, currency);
            }
            match param.place {
                Place::Path if !placeholders.contains(&param.name.as_str()) => {
                    self.wrong(&keys, format!("the path has no `{{{}}}`", param.name));
                }
                Place::Body if endpoint.method == Method::Get => {
                    self.wrong(&keys, format!("`{}` is in the body, which GET has none of", param.name));
                }
                Place::Path | Place::Query | Place::Header if param.is_map() || param.kind == Kind::Objects => {
                    self.wrong(&keys, format!("a map like `{}` can only stand in the body", param.name));
                }
                Place::Header => self.header(&keys, param),
                Place::Body => self.body(&keys, param),
                Place::Path | Place::Query => {}
            }
        }
    }

    /// Groups of which exactly one parameter is given.
    pub(super) fn choices(&mut self) {
        let endpoint = self.endpoint;
        let mut seen = BTreeSet::new();
        for group in &endpoint.one_of {
            if group.len() < 2 {
                self.wrong(&["one_of"], "a choice is between two parameters or more");
            }
            for name in group {
                let Some(param) = self.need_param(&["one_of"], name) else {
                    continue;
                };
                if param.required || param.set.is_some() {
                    self.wrong(
                        &["one_of"],
                        format!("`{name}` is always sent: it cannot be one of several"),
                    );
                }
                if !seen.insert(name) {
                    self.wrong(&["one_of"], format!("`{name}` stands in two choices"));
                }
            }
        }
    }

    /// How the amount is written has to be said, and said once.
    fn unit(&mut self, place: &AmountPlace) {
        let param = self.endpoint.param(&place.field);
        let twice = |own: bool, beside: Option<bool>| own && beside == Some(true);
        if twice(place.unit.is_some(), param.map(|param| param.unit.is_some())) {
            self.wrong(
                &["amount"],
                format!("its `unit` is said twice, here and at `{}`", place.field),
            );
        }
        if twice(place.currency.is_some(), param.map(|param| param.currency.is_some())) {
            self.wrong(
                &["amount"],
                format!("its `currency` is said twice, here and at `{}`", place.field),
            );
        }
        let of_param = param.and_then(|param| param.unit);
        if place.unit.or(of_param).or(self.connector.money.unit).is_none() {
            let path = ["endpoint", self.endpoint.name.as_str(), "amount"];
            self.source
                .wrong(&path, "it does not say how the amount is written")
                .help = Some(
                "write unit = \"decimal_text\", \"decimal_number\" or \"minor_number\" here, or for all in [money]"
                    .to_owned(),
            );
        }
    }

    fn need_currency(&mut self, keys: &[&str], name: &str) {
        if let Some(param) = self.need_param(keys, name)
            && param.kind != Kind::Text
        {
            self.wrong(keys, format!("`{name}` has to be of type \"text\""));
        }
    }

    /// Something in the body: nothing else may stand where it does.
    fn body(&mut self, keys: &[&str], param: &Param) {
        if let Some(other) = hidden_by(&self.endpoint.params, param) {
            self.wrong(
                keys,
                format!("`{}` stands on the wire inside `{}`", param.name, other.name),
            );
        }
        if param.wire_name() == WHOLE_BODY && !param.is_map() {
            self.wrong(
                keys,
                format!(
                    "only a map is a whole body; `{}` takes {}",
                    param.name,
                    param.kind.describe()
                ),
            );
        }
    }

    /// A header that an argument makes: one value, under a name that nothing else of the request has.
    fn header(&mut self, keys: &[&str], param: &Param) {
        let name = param.wire_name();
        if param.kind == Kind::Texts {
            self.wrong(
                keys,
                format!("a list like `{}` can only stand in the query or the body", param.name),
            );
        }
        if !is_header_name(name) {
            self.wrong(
                keys,
                format!("`{name}` is no name of a header: write it as `wire` with letters, digits and `-`"),
            );
        }
        if let Some(holder) = self.connector.writes_header(name) {
            self.wrong(
                keys,
                format!("the header `{name}` is written by {holder}: no argument may change it"),
            );
        }
    }

    pub(super) fn money(&mut self) {
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
                if let Some(currency) = &place.currency {
                    self.need_currency(&["amount"], currency);
                }
                self.unit(place);
                if endpoint.effect == Effect::MovesMoney
                    && endpoint.param(&place.field).is_some_and(|param| !param.required)
                {
                    self.wrong(&["amount"], format!("`{}` has to be required", place.field));
                }
            }
            Some(AmountField::Before(place)) => self.amount_before(place),
            None | Some(AmountField::Whole(_)) => {}
        }
        if let Some(field) = &endpoint.source {
            self.need_param(&["source"], field);
        }
        self.beneficiary();
        if let Some(OurReference { field, .. }) = &endpoint.our_reference {
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
        parts::sum(self.connector, endpoint, self.source);
        self.pointer(&["echo", "amount"], endpoint.echo.amount.as_ref());
        self.pointer(&["echo", "currency"], endpoint.echo.currency.as_ref());
        self.pointer(&["echo", "beneficiary"], endpoint.echo.beneficiary.as_ref());
    }

    fn beneficiary(&mut self) {
        let Some(beneficiary) = &self.endpoint.beneficiary else {
            return;
        };
        let at = ["beneficiary"];
        if let Some(param) = self.need_param(&at, &beneficiary.field) {
            let is_map = matches!(param.kind, Kind::Object | Kind::Objects);
            if is_map == beneficiary.keys.is_empty() {
                self.wrong(&at, "an object needs `keys` that name the account, a text has none");
            }
            if beneficiary.nested.is_some() && param.kind != Kind::Objects {
                self.wrong(&at, "only a list of maps has further ones `nested` in them");
            }
            self.keys_lead_somewhere(param, &beneficiary.keys);
        }
        if let Some(other) = &beneficiary.or
            && let Some(param) = self.need_param(&at, other)
            && !matches!(param.kind, Kind::Text | Kind::Uuid)
        {
            self.wrong(&at, format!("`{other}` has to be a text"));
        }
    }

    /// A key that no address has would let two beneficiaries look like one.
    fn keys_lead_somewhere(&mut self, param: &Param, keys: &[String]) {
        let shape = param.shape.as_deref().and_then(|shape| self.connector.shape(shape));
        let Some(shape) = shape else { return };
        let plain = shape.fields.iter().map(|field| field.wire_name().to_owned());
        let of_variants = shape.variant.iter().flat_map(|(choice, fields)| {
            let member = shape.member.get(choice);
            let wire = move |field: &Param| match member {
                Some(member) => format!("{member}.{}", field.wire_name()),
                None => field.wire_name().to_owned(),
            };
            fields.iter().map(wire)
        });
        let known: BTreeSet<String> = plain.chain(of_variants).collect();
        for key in keys.iter().filter(|key| !known.contains(*key)) {
            let path = ["endpoint", self.endpoint.name.as_str(), "beneficiary"];
            self.source
                .unknown(&path, "member on the wire named", key, known.iter().map(String::as_str));
        }
    }

    pub(super) fn doubt(&mut self) {
        let endpoint = self.endpoint;
        if endpoint.effect == Effect::Read {
            if endpoint.in_doubt != InDoubt::Park || endpoint.lookup.is_some() {
                self.wrong(&["in_doubt"], "a read is simply repeated");
            }
            return;
        }
        match (&endpoint.lookup, endpoint.in_doubt) {
            (None, InDoubt::Lookup) => self.wrong(&["in_doubt"], "there is no `lookup` to say how"),
            (Some(_), InDoubt::Park) => self.wrong(&["in_doubt"], "it parks at once: the `lookup` is never used"),
            (Some(lookup), _) => self.lookup(lookup),
            (None, _) => {}
        }
        self.alone();
    }
}
