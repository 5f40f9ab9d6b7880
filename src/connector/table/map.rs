//! How the treasury's words map onto a provider: primitives onto endpoints, statuses onto ends.
//!
//! Plain data. What a primitive *means* is the engine's; the table only says where its parts stand here.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value as Json;

use super::{BackMap, DividedMap, PartsMap, Times, Unit};
use crate::connector::alike;
use crate::model::value::Value;

/// How a treasury primitive is done: argument names to request fields, result names to pointers.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrimitiveMap {
    /// The endpoint that does it.
    pub endpoint: String,
    /// Generic argument to parameter.
    #[serde(default)]
    pub args: BTreeMap<String, String>,
    /// What is always said beside: parameter to a text, `{setting.NAME}`, or `{now}` where money moves.
    #[serde(default)]
    pub set: BTreeMap<String, String>,
    /// Where each item of a list has the list of those that are meant, such as the accounts of a holder.
    pub each: Option<String>,
    /// Generic result to what it always is: what the provider has no place for because it knows nothing else.
    #[serde(default)]
    pub always: BTreeMap<String, String>,
    /// Generic result to pointer into the answer, or into each item of a list.
    #[serde(default)]
    pub fields: BTreeMap<String, String>,
    /// How the amounts are written that `fields` and `achieved` lead to, if not as the table says for all.
    pub unit: Option<Unit>,
    /// How the times are written that `fields` lead to, if not as RFC 3339 has them.
    pub times: Option<Times>,
    /// The kind of resource it makes.
    pub resource: Option<String>,
    /// How one of our own accounts becomes a destination.
    pub own_account: Option<OwnAccount>,
    /// How the price is asked before.
    pub quote: Option<QuoteMap>,
    /// The least amount the provider takes, in major units.
    pub minimum: Option<String>,
    /// Where it stands what came of it.
    pub achieved: Option<Achieved>,
    /// How it is seen that it was done before.
    pub existing: Option<Existing>,
    /// What it is about: read before anything is sent.
    pub original: Option<OriginalMap>,
    /// The provider's words for a result, and what they mean.
    #[serde(default)]
    pub words: BTreeMap<String, String>,
    /// How its one call says the parts of an amount.
    pub parts: Option<PartsMap>,
    /// Where the payment it is about was divided: read before anything is sent.
    pub divided: Option<DividedMap>,
    /// What came in that it sends back.
    pub back: Option<BackMap>,
}

impl PrimitiveMap {
    /// Whether it can be told this argument; `parts[].label` is what a part can be told.
    pub fn takes(&self, word: &str) -> bool {
        if let Some(member) = word.strip_prefix("parts[].") {
            return self.parts.as_ref().is_some_and(|parts| parts.args.contains_key(member));
        }
        let by_parts = self.parts.as_ref().is_some_and(|parts| parts.remainder.is_none()) && word == "fee_to";
        let by_division = self.divided.as_ref().is_some_and(|divided| match word {
            "split" => true,
            "since" => divided.since.is_some(),
            _ => false,
        });
        self.args.contains_key(word) || by_parts || by_division
    }
}

/// What a primitive always says: see `PrimitiveMap::set`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Always<'a> {
    /// This text.
    Text(&'a str),
    /// What the connection says under this setting.
    Setting(&'a str),
    /// The time of the step.
    Now,
}

impl<'a> Always<'a> {
    /// What is written in a table.
    pub fn of(written: &'a str) -> Self {
        let inner = written.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
        match inner {
            Some("now") => Self::Now,
            Some(inner) => inner
                .strip_prefix("setting.")
                .map_or(Self::Text(written), Self::Setting),
            None => Self::Text(written),
        }
    }
}

/// Where it stands what was paid, and what went back of it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OriginalMap {
    /// The endpoint that shows it.
    pub endpoint: String,
    /// Its parameter that takes the id.
    pub id: String,
    /// Where the amount stands.
    pub amount: String,
    /// Where its currency stands, if the table has not one for all.
    pub currency: Option<String>,
    /// Where it stands how much of it went back before; not there where nothing did.
    pub given_back: Option<String>,
}

/// How one of our own accounts becomes a destination.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnAccount {
    /// The endpoint that shows the account.
    pub endpoint: String,
    /// Its parameter that takes the id.
    pub id: String,
    /// Where the destination stands in its answer.
    pub address: String,
    /// Where its one currency stands there: no other is paid to it.
    pub currency: Option<String>,
}

/// How the price is asked before.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuoteMap {
    /// The endpoint that says it.
    pub endpoint: String,
    /// Generic argument (`source_currency`, `target_currency`, `source_amount`) to parameter.
    pub args: BTreeMap<String, String>,
    /// Where the rate stands, target units for one source unit.
    pub rate: String,
}

/// Where it stands what came of a conversion.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Achieved {
    /// The endpoint that shows it; the resource of the primitive itself, if not said.
    pub endpoint: Option<String>,
    /// Where its id stands in the resource of the primitive.
    pub id: Option<String>,
    /// Where the amount sold stands.
    pub sold: String,
    /// Where the currency sold stands.
    pub sold_currency: String,
    /// Where the amount bought stands.
    pub bought: String,
    /// Where the currency bought stands.
    pub bought_currency: String,
    /// Where the rate stands.
    pub rate: String,
    /// Where the fee stands that the provider took.
    pub fee: Option<String>,
    /// Where the currency of the fee stands.
    pub fee_currency: Option<String>,
}

/// How it is seen that something was done before.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Existing {
    /// The endpoint that lists, or that shows one thing with the list in it.
    pub endpoint: String,
    /// Generic argument to parameter.
    pub args: BTreeMap<String, String>,
    /// Where the list stands in what the endpoint shows, if that is no list itself.
    pub items: Option<String>,
    /// Where the status of an item stands.
    #[serde(default = "status")]
    pub status: String,
    /// Statuses of those that came to nothing: it may be done again.
    #[serde(default)]
    pub dead: Vec<String>,
}

fn status() -> String {
    "/status".to_owned()
}

/// A resource that lives on after the call that made it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resource {
    /// The endpoint that shows it.
    pub retrieve: String,
    /// Its parameter that takes the id: the only one of its path, if not said.
    pub param: Option<String>,
    /// Where its id stands.
    pub id: String,
    /// Where its status stands.
    pub status: String,
    /// Where the read is a list: what else the item that is meant has to say.
    #[serde(default)]
    pub when: Vec<Held>,
    /// What says how it ended, where one status alone does not: the first that fits.
    #[serde(default)]
    pub stages: Vec<StageRow>,
    /// Statuses that will change.
    #[serde(default)]
    pub pending: Vec<String>,
    /// Statuses that are a good end.
    #[serde(default)]
    pub succeeded: Vec<String>,
    /// Statuses that are a bad end.
    #[serde(default)]
    pub failed: Vec<String>,
    /// Statuses that come once each, in this order; those of one place exclude each other. Others may come again.
    #[serde(default)]
    pub rank: Vec<Vec<String>>,
    /// Where the reason of a bad end stands.
    pub failure: Option<String>,
    /// Events that tell of an end.
    pub events: Vec<String>,
}

/// Something that has to be said at a place.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Held {
    /// The place: a pointer.
    pub at: String,
    /// One of these: a text, a number, true or false.
    pub is: Vec<Json>,
}

impl Held {
    /// Whether something says it.
    pub fn is_said_by(&self, shown: &Value) -> bool {
        is_said(shown, &self.at, &self.is)
    }
}

/// What something that is said means for a resource.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StageRow {
    /// The place: a pointer.
    pub at: String,
    /// One of these: a text, a number, true or false.
    pub is: Vec<Json>,
    /// What it means.
    pub stage: Stage,
}

/// Whether one of these is said at a place.
fn is_said(shown: &Value, at: &str, wanted: &[Json]) -> bool {
    let said = shown.pointer(at).filter(|said| !said.is_null());
    said.is_some_and(|said| wanted.iter().any(|wanted| alike::shows(None, wanted, said)))
}

/// Where a resource stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// It will change, or its status is a word we do not know yet.
    Pending,
    /// It ended well.
    Succeeded,
    /// It ended badly.
    Failed,
}

impl Resource {
    /// Where a resource stands, as it is shown.
    pub fn stage_of(&self, shown: &Value) -> Stage {
        let mut stages = self.stages.iter();
        if let Some(row) = stages.find(|row| is_said(shown, &row.at, &row.is)) {
            return row.stage;
        }
        let status = shown.pointer(&self.status).and_then(Value::as_text);
        self.stage(status.unwrap_or_default())
    }

    /// How late in its life a status comes that comes once; nothing of one that may come again.
    pub fn rank_of(&self, status: &str) -> Option<usize> {
        self.rank
            .iter()
            .position(|place| place.iter().any(|known| known == status))
    }

    /// The words that its status is known to say.
    pub fn statuses(&self) -> impl Iterator<Item = &str> {
        let of_stages = self.stages.iter().filter(|row| row.at == self.status);
        let known = [&self.pending, &self.succeeded, &self.failed];
        let staged = of_stages.flat_map(|row| &row.is).filter_map(Json::as_str);
        known.into_iter().flatten().map(String::as_str).chain(staged)
    }

    /// The one of these that is meant: of several, or of none, nobody knows.
    pub fn one_of<'v>(&self, items: &'v [Value], id: &str) -> Option<&'v Value> {
        let is_meant = |item: &&Value| {
            let own = item.pointer(&self.id).and_then(Value::as_text);
            own == Some(id) && self.when.iter().all(|held| held.is_said_by(item))
        };
        let mut meant = items.iter().filter(is_meant);
        meant.next().filter(|_| meant.next().is_none())
    }

    /// What a status says. A word the table does not know counts as pending: providers add words, and no
    /// unknown one may be taken for an end.
    pub fn stage(&self, status: &str) -> Stage {
        if self.succeeded.iter().any(|known| known == status) {
            Stage::Succeeded
        } else if self.failed.iter().any(|known| known == status) {
            Stage::Failed
        } else {
            Stage::Pending
        }
    }
}
