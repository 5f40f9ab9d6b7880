//! What refused calls look like and mean, as the table has it. What an answer means is [`crate::connector::reply`]'s.

use serde::Deserialize;

/// What refused calls look like and mean.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Errors {
    /// Where the provider's code stands in the answer.
    #[serde(default)]
    pub code: Pointers,
    /// Where its sentence stands.
    #[serde(default)]
    pub message: Pointers,
    /// The header by which the provider's support finds the call.
    pub correlation_header: Option<String>,
    /// The header by which the provider says whether to try again.
    pub should_retry_header: Option<String>,
    /// What status and code together mean. What is not named here is classed by its status alone.
    #[serde(default, rename = "class")]
    pub classes: Vec<ErrorRow>,
}

/// Places in an answer, the first of which that has a text says it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "expected a pointer, or a list of pointers")]
pub enum Pointers {
    /// Nowhere.
    #[default]
    #[serde(skip)]
    None,
    /// One.
    One(String),
    /// Several: a provider has more than one style.
    Several(Vec<String>),
}

impl Pointers {
    /// Each of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = &String> {
        match self {
            Self::None => &[],
            Self::One(pointer) => std::slice::from_ref(pointer),
            Self::Several(pointers) => pointers.as_slice(),
        }
        .iter()
    }
}

/// What one status and code mean.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ErrorRow {
    /// The status; without one, every status of the code.
    pub status: Option<u16>,
    /// The code; without one, every code of the status.
    pub code: Option<String>,
    /// Whether it speaks of answers without a code alone: pages of somebody in between.
    #[serde(default)]
    pub bare: bool,
    /// What they mean.
    pub class: ErrorClass,
    /// When it happens, for people.
    pub doc: String,
}

/// What an answer that is not a success means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorClass {
    /// It was not done and will not be: the script sees a failure.
    Failed,
    /// It was not done because our credentials or their scope were refused: a person is needed.
    Refused,
    /// It was not done; the same call later may be.
    Retry,
    /// It may have been done.
    Unknown,
    /// The provider knows the key with another request: never to be sent again.
    Contradiction,
}
