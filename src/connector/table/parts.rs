//! How one call divides an amount: the list of its parts in a request, what they come to, and how a division is read
//! again when money of it goes back.
//!
//! Plain data. What a part gets is the model's arithmetic.

use std::collections::BTreeMap;

use serde::Deserialize;

/// What the items of a list have to come to: `sum` at an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SumRule {
    /// The parameter that is a list of maps.
    pub list: String,
    /// The member of each that is its amount.
    pub of: String,
    /// The parameter that they come to.
    pub total: String,
    /// Whether they may come to less: somebody whom no item names has the rest.
    #[serde(default)]
    pub at_most: bool,
    /// Where an item says one of these, what it counts is in no document: such a list is not added up.
    pub unless: Option<Unless>,
}

/// What keeps a list from being added up.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unless {
    /// The member.
    pub member: String,
    /// One of these.
    pub is: Vec<String>,
}

/// How the parts of an amount are written: `parts` of a primitive.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartsMap {
    /// The parameter: a list of maps, one for each part that gets something.
    pub list: String,
    /// Generic member (`to`, `amount`, `number`, `name`, `label`, `of`) to member of its shape.
    pub args: BTreeMap<String, String>,
    /// What each says beside, unless the part says it.
    #[serde(default)]
    pub set: BTreeMap<String, String>,
    /// The setting that names who has what no item says: a part of theirs is not written.
    pub remainder: Option<String>,
}

/// How a payment was divided, and what went back of it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DividedMap {
    /// The list of the divisions.
    pub endpoint: String,
    /// The parameter of both lists from which time on they are read.
    pub since: Option<String>,
    /// Where a division names the payment.
    pub payment: String,
    /// Where its own number stands: it is what a refund names.
    pub number: String,
    /// Where the amount stands.
    pub amount: String,
    /// Where the list of its items stands.
    pub items: String,
    /// What each item says.
    pub item: DividedItem,
    /// What went back.
    pub refunds: DividedRefunds,
}

/// What an item of a division says.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DividedItem {
    /// Where its number stands.
    pub number: String,
    /// Where it stands who got it.
    pub to: String,
    /// Where the amount stands.
    pub amount: String,
    /// Where it stands what it was booked as.
    pub label: Option<String>,
    /// Where further items stand: how a tree is given back is in no document.
    pub inner: Option<String>,
}

/// What went back of divided payments.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DividedRefunds {
    /// The list.
    pub endpoint: String,
    /// Where a refund names the division.
    pub of: String,
    /// Where its own number stands.
    pub number: String,
    /// Where the amount stands.
    pub amount: String,
    /// Where the list of its items stands, each with number and amount as an item of the division has them.
    pub items: String,
    /// Where an item names that of the division. One that names none is that of its own number.
    pub item_of: String,
}
