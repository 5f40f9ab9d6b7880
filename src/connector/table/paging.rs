//! How a provider cuts its lists into pages, as the table has it.

use serde::Deserialize;

/// How lists are cut into pages.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pagination {
    /// Where the items stand in the answer.
    pub items: String,
    /// Where the cursor of the next page stands.
    pub next: String,
    /// Where it says whether there is a next page.
    pub more: Option<String>,
    /// The parameter that takes the cursor.
    pub cursor_param: String,
    /// The parameter that takes the size of a page.
    pub limit_param: String,
    /// How many items to ask for.
    pub limit: u32,
}
