//! Reading `[pagination.NAME]`: which keys a style needs, and which mean nothing to it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;

use crate::connector::table::paging::{Counted, PageParam, PageSize, Pagination, Style};
use crate::connector::table::{Kind, Param, Place};
use crate::model::document::Document;

/// A section as it is written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Section {
    style: Word,
    #[serde(default = "query", rename = "in")]
    place: Place,
    items: String,
    next: Option<String>,
    more: Option<String>,
    total: Option<String>,
    id: Option<String>,
    cursor: Option<Asked>,
    after: Option<Asked>,
    offset: Option<Asked>,
    page: Option<Numbered>,
    limit: Option<Size>,
}

fn query() -> Place {
    Place::Query
}

/// The styles, as they are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Word {
    Whole,
    Cursor,
    LastItem,
    Offset,
    Page,
}

impl Word {
    fn as_str(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Cursor => "cursor",
            Self::LastItem => "last_item",
            Self::Offset => "offset",
            Self::Page => "page",
        }
    }

    /// The keys it needs, and those it may have.
    fn keys(self) -> (&'static [&'static str], &'static [&'static str]) {
        match self {
            Self::Whole => (&[], &[]),
            Self::Cursor => (&["next", "cursor"], &["more", "limit"]),
            Self::LastItem => (&["id", "after"], &["more", "limit"]),
            Self::Offset => (&["offset"], &["id", "more", "total", "limit"]),
            Self::Page => (&["page"], &["id", "more", "total", "limit"]),
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

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Numbered {
    param: String,
    wire: Option<String>,
    first: u32,
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
            "total" => self.total.is_some(),
            "id" => self.id.is_some(),
            "cursor" => self.cursor.is_some(),
            "after" => self.after.is_some(),
            "offset" => self.offset.is_some(),
            "page" => self.page.is_some(),
            "limit" => self.limit.is_some(),
            _ => false,
        }
    }

    fn read(self, name: &str) -> Option<Pagination> {
        let counted = Counted {
            id: self.id.clone(),
            more: self.more.clone(),
            total: self.total,
        };
        let style = match self.style {
            Word::Whole => Style::Whole,
            Word::Cursor => Style::Cursor {
                next: self.next?,
                more: self.more,
                cursor: self.cursor?.into(),
            },
            Word::LastItem => Style::LastItem {
                id: self.id?,
                more: self.more,
                after: self.after?.into(),
            },
            Word::Offset => Style::Offset {
                offset: self.offset?.into(),
                counted,
            },
            Word::Page => {
                let Numbered { param, wire, first } = self.page?;
                Style::Page {
                    page: PageParam { param, wire },
                    first,
                    counted,
                }
            }
        };
        let limit = self.limit.map(|Size { param, wire, size }| PageSize {
            asked: PageParam { param, wire },
            size,
        });
        Some(Pagination {
            name: name.to_owned(),
            place: self.place,
            items: self.items,
            limit,
            style,
        })
    }
}

/// The keys that not every style has.
const KEYS: [&str; 9] = [
    "next", "more", "total", "id", "cursor", "after", "offset", "page", "limit",
];

/// What a key of a section says, for who left it out.
fn meaning(key: &str) -> &'static str {
    match key {
        "next" => "where the cursor of the next page stands in the answer",
        "more" => "where the answer says whether there is a next page",
        "total" => "where the answer says how many items there are",
        "id" => "where the id of an item stands",
        "cursor" => "the parameter that takes the cursor",
        "after" => "the parameter that takes the id of the last item",
        "offset" => "the parameter that takes how many items are passed over",
        "page" => "the parameter that takes the number of the page, and the number of the `first`",
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
        for key in KEYS {
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
        place: pagination.place,
        kind,
        doc: doc.to_owned(),
        ..Param::default()
    };
    let limit = pagination.limit.as_ref();
    let size = limit.map(|limit| param(&limit.asked, Kind::Int, "How many items a page has."));
    let (kind, doc) = match &pagination.style {
        Style::Whole | Style::Cursor { .. } => (Kind::Text, "The page to begin with."),
        Style::LastItem { .. } => (Kind::Text, "The id of the item to begin after."),
        Style::Offset { .. } => (Kind::Int, "How many items to pass over."),
        Style::Page { .. } => (Kind::Int, "The number of the page to begin with."),
    };
    let position = pagination.position().map(|asked| param(asked, kind, doc));
    size.into_iter().chain(position).collect()
}
