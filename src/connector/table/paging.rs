//! How a provider cuts its lists into pages, as the table has it. Walking them is [`crate::connector::page`]'s.

use super::Place;

/// A way in which lists come: `[pagination.NAME]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pagination {
    /// Its name in the table.
    pub name: String,
    /// Where the items stand in the answer.
    pub items: String,
    /// Where pages are asked for: in the query or in the body.
    pub place: Place,
    /// The parameter that takes the size of a page, if that can be asked for.
    pub limit: Option<PageSize>,
    /// Where the next page is.
    pub style: Style,
}

/// Where the next page of a list is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Style {
    /// Nowhere: the list always comes as one.
    Whole,
    /// The answer names it.
    Cursor {
        /// Where the cursor of the next page stands.
        next: String,
        /// Where it says whether there is a next page.
        more: Option<String>,
        /// The parameter that takes the cursor.
        cursor: PageParam,
    },
    /// After the last item of this one. It ends with an empty page, unless it says so before.
    LastItem {
        /// Where the id of an item stands.
        id: String,
        /// Where it says whether there is a next page.
        more: Option<String>,
        /// The parameter that takes the id.
        after: PageParam,
    },
    /// After so many items. It ends as [`Counted`] says.
    Offset {
        /// The parameter that takes how many are passed over.
        offset: PageParam,
        /// How its end is known.
        counted: Counted,
    },
    /// At the next number. It ends as [`Counted`] says.
    Page {
        /// The parameter that takes the number.
        page: PageParam,
        /// The number of the first page.
        first: u32,
        /// How its end is known.
        counted: Counted,
    },
}

/// How the end of a list is known that is counted off from its beginning: it says that there is no more, or it showed as
/// many items as it has, or a page is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counted {
    /// Where the id of an item stands, by which it is known again.
    pub id: Option<String>,
    /// Where it says whether there is a next page.
    pub more: Option<String>,
    /// Where it says how many items there are.
    pub total: Option<String>,
}

/// A parameter by which a page is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageParam {
    /// Its name in scripts.
    pub param: String,
    /// Its name on the wire, where that is another.
    pub wire: Option<String>,
}

/// The parameter that takes the size of a page, and how much is asked for if a script asks for nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageSize {
    /// The parameter.
    pub asked: PageParam,
    /// How many items.
    pub size: u32,
}

impl Pagination {
    /// The parameter that says which page is meant.
    pub fn position(&self) -> Option<&PageParam> {
        match &self.style {
            Style::Whole => None,
            Style::Cursor { cursor, .. } => Some(cursor),
            Style::LastItem { after, .. } => Some(after),
            Style::Offset { offset, .. } => Some(offset),
            Style::Page { page, .. } => Some(page),
        }
    }

    /// What that parameter says of the first page, where it is a number.
    pub fn start(&self) -> Option<i64> {
        match &self.style {
            Style::Whole | Style::Cursor { .. } | Style::LastItem { .. } => None,
            Style::Offset { .. } => Some(0),
            Style::Page { first, .. } => Some(i64::from(*first)),
        }
    }

    /// How the end of a list is known that shifts while things come and go.
    pub fn counted(&self) -> Option<&Counted> {
        match &self.style {
            Style::Whole | Style::Cursor { .. } | Style::LastItem { .. } => None,
            Style::Offset { counted, .. } | Style::Page { counted, .. } => Some(counted),
        }
    }
}
