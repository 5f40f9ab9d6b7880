//! Parameters and the shapes of nested ones.

use std::collections::BTreeSet;

use super::is_word;
use crate::connector::table::{Connector, Kind, Param, Place, Shape};
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
            if !seen.insert(&field.name) {
                source.wrong(&at, format!("`{}` is described twice", field.name));
            }
        }
    }
}
