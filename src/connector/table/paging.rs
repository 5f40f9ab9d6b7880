//! How a provider cuts its lists into pages, as the table has it. Walking them is [`crate::connector::page`]'s.

/// A way in which lists come: `[pagination.NAME]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pagination {
    /// Its name in the table.
    pub name: String,
    /// Where the items stand in the answer.
    pub items: String,
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
    /// Whether a list may go on after its first page.
    pub fn goes_on(&self) -> bool {
        self.position().is_some()
    }

    /// The parameter that says which page is meant.
    pub fn position(&self) -> Option<&PageParam> {
        match &self.style {
            Style::Whole => None,
            Style::Cursor { cursor, .. } => Some(cursor),
        }
    }
}
