//! Parameters and the shapes of nested ones.

use std::collections::BTreeSet;

use super::is_word;
use crate::base::money::parse_plain;
use crate::connector::table::{Connector, Form, Kind, Param, Place, Shape, TimeForm, WHOLE_BODY};
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
    bounds(connector, path, param, source);
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
        (None, Kind::Object | Kind::Objects) => {
            source.wrong(path, format!("`{name}` is an object without a `shape`"));
        }
        (Some(shape), Kind::Object | Kind::Objects) if connector.shape(shape).is_none() => {
            source.unknown(path, "shape", shape, connector.shapes.keys().map(String::as_str));
        }
        (Some(_), kind) if !matches!(kind, Kind::Object | Kind::Objects) => {
            source.wrong(
                path,
                format!("only an object has a `shape`; `{name}` takes {}", kind.describe()),
            );
        }
        _ => {}
    }
}

/// What a parameter may be beyond its kind.
fn bounds(connector: &Connector, path: &[&str], param: &Param, source: &mut Document<'_>) {
    let name = &param.name;
    let takes = param.kind.describe();
    let is_text = matches!(param.kind, Kind::Text | Kind::Texts);
    let has_words = !param.values.is_empty() || !param.words.is_empty();
    let of_text = has_words || param.min_length.is_some() || param.max_length.is_some() || param.chars.is_some();
    if of_text && !is_text {
        source.wrong(
            path,
            format!("only text has `values`, `words`, `chars` or a length; `{name}` takes {takes}"),
        );
    }
    if !param.values.is_empty() && !param.words.is_empty() {
        source.wrong(path, format!("`{name}` has `values` and `words`: write all as words"));
    }
    let mut theirs = BTreeSet::new();
    if let Some((_, twice)) = param.words.iter().find(|(_, word)| !theirs.insert(*word)) {
        source.wrong(
            path,
            format!("two `words` of `{name}` mean `{twice}`: what is answered could not be told apart"),
        );
    }
    let numbers = [
        ("minimum", &param.minimum),
        ("maximum", &param.maximum),
        ("above", &param.above),
    ];
    for (key, bound) in numbers {
        let Some(bound) = bound else { continue };
        if !matches!(param.kind, Kind::Int | Kind::Decimal) {
            source.wrong(path, format!("only a number has a `{key}`; `{name}` takes {takes}"));
        }
        if let Err(error) = parse_plain(bound) {
            source.wrong(path, format!("`{key}` of `{name}`: {error}"));
        }
    }
    match &param.format {
        Some(_) if param.kind != Kind::Time => {
            source.wrong(path, format!("only a time has a `format`; `{name}` takes {takes}"));
        }
        Some(Form::Setting(setting)) => match connector.setting(setting) {
            None => source.unknown(path, "setting", setting, connector.settings().map(|(known, _)| known)),
            Some(table) => {
                let words = table.values.iter().chain(&table.default);
                if table.values.is_empty() || words.clone().any(|word| TimeForm::of_word(word).is_none()) {
                    let known: Vec<&str> = TimeForm::WORDS.iter().map(|(word, _)| *word).collect();
                    source.wrong(
                        &["setting", setting],
                        format!(
                            "it says how `{name}` is written: its `values` have to be some of {}",
                            known.join(", ")
                        ),
                    );
                }
                if table.default.is_none() {
                    source.wrong(
                        &["setting", setting],
                        format!("`{name}` cannot be written without a `default`"),
                    );
                }
            }
        },
        _ => {}
    }
    if param.set.is_some() && param.kind != Kind::Text {
        source.wrong(path, format!("only a text is always the same; `{name}` takes {takes}"));
    }
    if param.set.is_some() && param.required {
        source.wrong(
            path,
            format!("`{name}` is always sent: no script can be required to say it"),
        );
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
    for (key, choices) in [("tag_words", &shape.tag_words), ("member", &shape.member)] {
        for choice in choices.keys().filter(|choice| !shape.variant.contains_key(*choice)) {
            let known = shape.variant.keys().map(String::as_str);
            source.unknown(&["shape", name, key], "variant", choice, known);
        }
    }
    let mut words = BTreeSet::new();
    if let Some(choice) = shape
        .variant
        .keys()
        .find(|choice| !words.insert(shape.tag_word(choice)))
    {
        let message = format!(
            "two variants are called `{}`: what is answered could not be told apart",
            shape.tag_word(choice)
        );
        source.wrong(&["shape", name, "tag_words"], message);
    }
    for (choice, member) in &shape.member {
        if member.split('.').any(str::is_empty) || shape.tag.as_ref() == Some(member) {
            let message = format!("the members of `{choice}` cannot stand in `{member}`");
            source.wrong(&["shape", name, "member"], message);
        }
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
