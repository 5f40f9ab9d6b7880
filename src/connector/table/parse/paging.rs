//! Reading `[pagination.NAME]`: which keys a style needs, and which mean nothing to it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;

use crate::connector::table::paging::{PageParam, PageSize, Pagination, Style};
use crate::connector::table::{Kind, Param, Place};
use crate::model::document::Document;

/// A section as it is written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Section {
    style: Word,
    items: String,
    next: Option<String>,
    more: Option<String>,
    cursor: Option<Asked>,
    limit: Option<Size>,
}

/// The styles, as they are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Word {
    Whole,
    Cursor,
}

impl Word {
    fn as_str(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Cursor => "cursor",
        }
    }

    /// The keys it needs, and those it may have.
    fn keys(self) -> (&'static [&'static str], &'static [&'static str]) {
        match self {
            Self::Whole => (&[], &[]),
            Self::Cursor => (&["next", "cursor"], &["more", "limit"]),
        }
    }
}

/// A parameter, as it is written.
#[derive(Debug, Clone, Deserialize)]
#[serde(
    untagged,
    expecting = "expected the name of a parameter, or { param, wire } where the wire has another name"
)]
enum Asked {
    Name(String),
    Spelt(Spelt),
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Spelt {
    param: String,
    wire: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Size {
    param: String,
    wire: Option<String>,
    size: u32,
}

impl From<Asked> for PageParam {
    fn from(asked: Asked) -> Self {
        match asked {
            Asked::Name(param) => Self { param, wire: None },
            Asked::Spelt(Spelt { param, wire }) => Self { param, wire },
        }
    }
}

impl Section {
    fn has(&self, key: &str) -> bool {
        match key {
            "next" => self.next.is_some(),
            "more" => self.more.is_some(),
            "cursor" => self.cursor.is_some(),
            "limit" => self.limit.is_some(),
            _ => false,
        }
    }

    fn read(self, name: &str) -> Option<Pagination> {
        let style = match self.style {
            Word::Whole => Style::Whole,
            Word::Cursor => Style::Cursor {
                next: self.next?,
                more: self.more,
                cursor: self.cursor?.into(),
            },
        };
        let limit = self.limit.map(|Size { param, wire, size }| PageSize {
            asked: PageParam { param, wire },
            size,
        });
        Some(Pagination {
            name: name.to_owned(),
            items: self.items,
            limit,
            style,
        })
    }
}

/// What a key of a section says, for who left it out.
fn meaning(key: &str) -> &'static str {
    match key {
        "next" => "where the cursor of the next page stands in the answer",
        "more" => "where the answer says whether there is a next page",
        "cursor" => "the parameter that takes the cursor",
        _ => "the parameter that takes the size of a page",
    }
}

/// The ways in which lists come.
pub(super) fn read(source: &mut Document<'_>) -> BTreeMap<String, Arc<Pagination>> {
    let sections: BTreeMap<String, Section> = source.named("pagination");
    let mut read = BTreeMap::new();
    for (name, section) in sections {
        let word = section.style.as_str();
        let (needed, allowed) = section.style.keys();
        for key in needed.iter().filter(|key| !section.has(key)) {
            let message = format!("a list of style `{word}` needs `{key}`: {}", meaning(key));
            source.wrong(&["pagination", &name], message);
        }
        for key in ["next", "more", "cursor", "limit"] {
            if section.has(key) && !needed.contains(&key) && !allowed.contains(&key) {
                source.wrong(
                    &["pagination", &name, key],
                    format!("a list of style `{word}` has no `{key}`"),
                );
            }
        }
        if let Some(pagination) = section.read(&name) {
            read.insert(name, Arc::new(pagination));
        }
    }
    read
}

/// The parameters that every list of this kind has.
pub(super) fn params(pagination: &Pagination) -> Vec<Param> {
    let param = |asked: &PageParam, kind, doc: &str| Param {
        name: asked.param.clone(),
        wire: asked.wire.clone(),
        place: Place::Query,
        kind,
        required: false,
        values: Vec::new(),
        min_length: None,
        max_length: None,
        shape: None,
        unit: None,
        currency: None,
        doc: doc.to_owned(),
    };
    let limit = pagination.limit.as_ref();
    let size = limit.map(|limit| param(&limit.asked, Kind::Int, "How many items a page has."));
    let position = pagination
        .position()
        .map(|asked| param(asked, Kind::Text, "The page to begin with."));
    size.into_iter().chain(position).collect()
}
