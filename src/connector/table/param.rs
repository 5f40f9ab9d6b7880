//! What a call takes: parameters, their places in the request, their kinds, and the members of nested ones. What one may
//! be beyond its kind is `bounds`.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Chars, Form, Unit};

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
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
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
    /// The texts it may be, each with the provider's word for it.
    #[serde(default)]
    pub words: BTreeMap<String, String>,
    /// The setting of the connection that says it where a call does not: of a common parameter.
    #[serde(skip)]
    pub setting: Option<String>,
    /// Where what was made under it shows it: of a common parameter.
    #[serde(skip)]
    pub shown: Option<String>,
    /// Whether it is one that many endpoints have. What it said of a call is carried to the look-up of that.
    #[serde(skip)]
    pub common: bool,
    /// What is always sent here: no script may say it.
    pub set: Option<String>,
    /// The only characters of a text.
    pub chars: Option<Chars>,
    /// The fewest characters.
    pub min_length: Option<usize>,
    /// The most characters.
    pub max_length: Option<usize>,
    /// The least a number may be, as it stands on the wire.
    pub minimum: Option<String>,
    /// The most it may be.
    pub maximum: Option<String>,
    /// What it has to be more than.
    pub above: Option<String>,
    /// How a time is written, if not as RFC 3339 has it.
    pub format: Option<Form>,
    /// The members, if it is an object, or a list of them.
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

    /// Whether it has members.
    pub fn is_map(&self) -> bool {
        matches!(self.kind, Kind::TextMap | Kind::Object | Kind::Any)
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
    /// A list of such maps.
    Objects,
    /// Whatever JSON can say: what nobody describes.
    Any,
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
            Self::Objects => "a list of maps",
            Self::Any => "anything but money",
        }
    }
}

/// The members of a nested argument. With a tag, the member of that name chooses among the variants.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shape {
    /// The member that chooses.
    pub tag: Option<String>,
    /// The provider's word for a choice, where it has another.
    #[serde(default)]
    pub tag_words: BTreeMap<String, String>,
    /// The member of the wire in which the members of a choice stand, where they do not stand beside the tag.
    #[serde(default)]
    pub member: BTreeMap<String, String>,
    /// The members of each choice, without the tag.
    #[serde(default)]
    pub variant: BTreeMap<String, Vec<Param>>,
    /// The members, where there is no choice.
    #[serde(default)]
    pub fields: Vec<Param>,
}

impl Shape {
    /// What the wire calls a choice.
    pub fn tag_word<'a>(&'a self, choice: &'a str) -> &'a str {
        self.tag_words.get(choice).map_or(choice, String::as_str)
    }

    /// The choice that the wire calls so, with its members.
    pub fn choice_of(&self, word: &str) -> Option<(&str, &[Param])> {
        let mut choices = self.variant.iter();
        let found = choices.find(|(choice, _)| self.tag_word(choice) == word);
        found.map(|(choice, fields)| (choice.as_str(), fields.as_slice()))
    }
}
