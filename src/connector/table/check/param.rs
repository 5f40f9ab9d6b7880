//! Parameters and the shapes of nested ones.

use std::collections::BTreeSet;

use super::is_word;
use crate::connector::table::{Connector, Kind, Param, Place, Shape, WHOLE_BODY};
use crate::model::document::Document;

/// What is asked of parameters and of members alike.
pub(super) fn check_param(connector: &Connector, path: &[&str], param: &Param, source: &mut Document<'_>) {
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
    if param.place == Place::Body && param.wire_name().split('.').any(str::is_empty) {
        source.wrong(
            path,
            format!(
                "`{}` leads nowhere: a name stands on each side of a point",
                param.wire_name()
            ),
        );
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
    if (param.unit.is_some() || param.currency.is_some()) && param.kind != Kind::Decimal {
        source.wrong(
            path,
            format!(
                "only a decimal has a `unit` or a `currency`; `{name}` takes {}",
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

/// What of a body stands where another is to stand inside.
pub(super) fn hidden_by<'a>(params: &'a [Param], inner: &Param) -> Option<&'a Param> {
    let mut others = params
        .iter()
        .filter(|other| other.place == Place::Body && other.name != inner.name);
    others.find(|other| {
        let rest = inner.wire_name().strip_prefix(other.wire_name());
        other.wire_name() == WHOLE_BODY || rest.is_some_and(|rest| rest.starts_with('.'))
    })
}

pub(super) fn check_shape(connector: &Connector, name: &str, shape: &Shape, source: &mut Document<'_>) {
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
            if let Some(currency) = &field.currency
                && !fields
                    .iter()
                    .any(|other| other.name == *currency && other.kind == Kind::Text)
            {
                let known = fields.iter().filter(|other| other.kind == Kind::Text);
                source.unknown(
                    &at,
                    "text beside it named",
                    currency,
                    known.map(|other| other.name.as_str()),
                );
            }
            if field.wire_name() == WHOLE_BODY {
                source.wrong(
                    &at,
                    format!("`{}` is a member: it cannot be the whole body", field.name),
                );
            }
            if let Some(other) = hidden_by(fields, field) {
                source.wrong(
                    &at,
                    format!("`{}` stands on the wire inside `{}`", field.name, other.name),
                );
            }
            if !seen.insert(&field.name) {
                source.wrong(&at, format!("`{}` is described twice", field.name));
            }
        }
    }
}
