//! What a call takes: parameters, their places in the request, their kinds, and the members of nested ones.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::Unit;

/// Where a parameter stands in the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// In the path.
    Path,
    /// In the query.
    Query,
    /// In a header.
    Header,
    /// In the body.
    #[default]
    Body,
}

/// The name on the wire of what is the whole body.
pub const WHOLE_BODY: &str = "*";

/// A parameter of an endpoint, or a member of a nested argument.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Param {
    /// Its name in scripts.
    pub name: String,
    /// Its name on the wire, where that is another. In a body its points lead into maps (`price.total`), and
    /// [`WHOLE_BODY`] is the body itself.
    pub wire: Option<String>,
    /// Where it stands.
    #[serde(default, rename = "in")]
    pub place: Place,
    /// What it takes.
    #[serde(default, rename = "type")]
    pub kind: Kind,
    /// Whether it has to be given.
    #[serde(default)]
    pub required: bool,
    /// The texts it may be, if only some.
    #[serde(default)]
    pub values: Vec<String>,
    /// The fewest characters.
    pub min_length: Option<usize>,
    /// The most characters.
    pub max_length: Option<usize>,
    /// The members, if it is an object.
    pub shape: Option<String>,
    /// How an amount is written, if not as the table says for all.
    pub unit: Option<Unit>,
    /// The parameter beside it that names the currency of an amount.
    pub currency: Option<String>,
    /// One sentence for people.
    pub doc: String,
}

impl Param {
    /// Its name in the request.
    pub fn wire_name(&self) -> &str {
        self.wire.as_deref().unwrap_or(&self.name)
    }
}

/// What a parameter takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Text.
    #[default]
    Text,
    /// Text that is a UUID.
    Uuid,
    /// True or false.
    Bool,
    /// A whole number.
    Int,
    /// A decimal number without a sign, or money where its currency is told: sent in its unit, else as text.
    Decimal,
    /// A time, sent as RFC 3339 text.
    Time,
    /// A list of texts.
    Texts,
    /// A map from text to text.
    TextMap,
    /// A map whose members a shape describes.
    Object,
}

impl Kind {
    /// What a person calls it.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Uuid => "a UUID",
            Self::Bool => "true or false",
            Self::Int => "a whole number",
            Self::Decimal => "an amount",
            Self::Time => "a time",
            Self::Texts => "a list of texts",
            Self::TextMap => "a map from text to text",
            Self::Object => "a map",
        }
    }
}

/// The members of a nested argument. With a tag, the member of that name chooses among the variants.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shape {
    /// The member that chooses.
    pub tag: Option<String>,
    /// The members of each choice, without the tag.
    #[serde(default)]
    pub variant: BTreeMap<String, Vec<Param>>,
    /// The members, where there is no choice.
    #[serde(default)]
    pub fields: Vec<Param>,
}
