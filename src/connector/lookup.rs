//! Looking up an effect nobody heard the outcome of: walk a list of the provider until it is found or cannot
//! be there, or read the one thing that tells.
//!
//! Pure: a [`Search`] says which page to ask for and takes the answer. A clean miss counts as absence only when
//! the list covers all of the time in which we sent, and the provider had time to show what it took.

mod before;
mod condition;
mod search;
mod strays;

use std::collections::BTreeMap;

use chrono::TimeDelta;
use serde::{Deserialize, Deserializer};

use super::request;
use super::table::Endpoint;
use crate::model::journal::Intent;
use crate::model::value::Value;

pub use before::{Before, Known, Requirement, before, exclusive_name, hindrance, known};
pub use condition::{Condition, Wanted};
pub use search::{CLOCKS_APART_MAX, Progress, Read, Search, Sought};
pub use strays::{Other, other_run_of, request_as_of, used_before};

/// How the outcome of an endpoint is looked up.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lookup {
    /// The endpoint that lists what this one makes, or shows what it makes it of.
    pub endpoint: String,
    /// Its parameters.
    #[serde(default)]
    pub query: BTreeMap<String, Template>,
    /// Where the list stands in an answer that shows one thing; nothing at all: the answer is the one item.
    pub items: Option<String>,
    /// Whether that list is left out where it is empty.
    #[serde(default)]
    pub absent_is_empty: bool,
    /// Statuses that mean that the thing is not there, and so nothing in it.
    #[serde(default)]
    pub missing: Vec<u16>,
    /// What items have to show to be looked at.
    #[serde(default)]
    pub when: Vec<Condition>,
    /// How our own is told from the others.
    #[serde(rename = "match")]
    pub matching: Match,
    /// What it means that a second item is found.
    #[serde(default)]
    pub several: Several,
    /// Where an item says when it was made.
    pub created_at: Option<String>,
    /// Whether newer items come first, so that the first older one ends the walk.
    #[serde(default)]
    pub newest_first: bool,
    /// How much earlier than our first attempt the search begins: the difference of two clocks.
    pub margin_secs: Option<u32>,
    /// How long after the last attempt a new item may still be missing from the list.
    pub visibility_lag_secs: u32,
    /// Whether walking the list to its end shows everything made since the first attempt.
    #[serde(default)]
    pub covers_window: bool,
}

/// What it means that a second item is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Several {
    /// There is none: the first one ends the search.
    #[default]
    First,
    /// One of them is not ours, or we did it twice: the whole list is walked, and a person decides.
    Contradiction,
}

impl Lookup {
    /// How much earlier than our first attempt the search begins.
    pub(super) fn margin(&self) -> TimeDelta {
        TimeDelta::seconds(self.margin_secs.unwrap_or_default().into())
    }

    /// The reference that an item bears, where ours is told by one.
    pub(super) fn reference_of<'v>(&self, item: &'v Value) -> Option<&'v str> {
        match &self.matching {
            Match::Reference(pointer) => item.pointer(pointer)?.as_text(),
            Match::ReferenceAtEnd(pointer) => item.pointer(pointer)?.as_text()?.split_whitespace().next_back(),
            Match::Natural { .. } | Match::Fresh { .. } | Match::State { .. } | Match::Content(_) | Match::Gone(_) => {
                None
            }
        }
    }

    /// Whether what it finds is what was made, and not something else that shows that it was.
    pub fn finds_what_was_made(&self) -> bool {
        match &self.matching {
            Match::Reference(_) | Match::ReferenceAtEnd(_) | Match::Natural { .. } | Match::Fresh { .. } => true,
            Match::State { .. } | Match::Content(_) | Match::Gone(_) => false,
        }
    }

    /// Whether the list that looks for an intent of this endpoint is asked for what only this run has written there, and
    /// shows nothing of another: our reference, by its name or as the field of the request that bears it.
    pub fn asks_by_reference(&self, endpoint: &Endpoint, intent: &Intent) -> bool {
        let run = intent.reference.split('/').next().unwrap_or_default();
        self.query.values().any(|template| match template {
            Template::Reference => true,
            Template::Sent(fields) => fields.iter().any(|field| {
                let said = request::sent(endpoint, &intent.request, field);
                let ours = endpoint.our_reference.as_ref();
                ours.is_some_and(|ours| ours.field == *field) || said.is_some_and(|said| said.to_string().contains(run))
            }),
            Template::WindowStart
            | Template::WindowEnd
            | Template::Before(_)
            | Template::Currency
            | Template::Fixed(_) => false,
        })
    }
}

/// How our own is told from the others.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Match {
    /// This pointer leads to our reference.
    Reference(String),
    /// The text at this pointer ends with our reference, behind what the script wrote there.
    ReferenceAtEnd(String),
    /// There can only be one for what this request field names.
    Natural {
        /// The request field.
        field: String,
        /// Where an item repeats it.
        pointer: String,
        /// Which items are no hindrance to another.
        #[serde(default)]
        dead: Option<Dead>,
    },
    /// It was not there before we sent, and shows what we sent.
    Fresh {
        /// What is known of those that were there: the name of a list that was kept.
        ids: Template,
        /// Where an item shows what it is known by.
        at: String,
        /// What it has to show.
        same: Vec<Condition>,
    },
    /// The one thing that is read says by its own state whether it was done.
    State {
        /// All of this: it was done.
        done: Vec<Condition>,
        /// All of this: it was not. Anything else is for a person.
        #[serde(default)]
        open: Vec<Condition>,
    },
    /// Everything we sent stands in the thing that is read, as it was sent; `true`.
    Content(bool),
    /// The thing is not there any more: these statuses say so.
    Gone(Vec<u16>),
}

/// Items that came to nothing, so that there may be another for the same thing.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dead {
    /// Where an item's status stands.
    pub pointer: String,
    /// Statuses that came to nothing.
    pub values: Vec<String>,
}

/// The value of a parameter of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Template {
    /// `{window_start}`: our first attempt, less the margin.
    WindowStart,
    /// `{window_end}`: a day or the margin, whichever is longer, after our last attempt.
    WindowEnd,
    /// `{reference}`: our reference.
    Reference,
    /// `{sent.deposit_id}`: what the request we sent says under a parameter, wherever that stands; of several
    /// (`{sent.order|number}`) the first that it says. `{body.deposit_id}` is another spelling of it.
    Sent(Vec<String>),
    /// `{before.refunded}`: what was read and kept before we sent.
    Before(String),
    /// `{amount.currency}`: the currency of what we move, which the request may not say.
    Currency,
    /// Text as it stands.
    Fixed(String),
}

impl Template {
    fn read(text: &str) -> Result<Self, String> {
        let Some(inner) = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) else {
            return Ok(Self::Fixed(text.to_owned()));
        };
        let field = inner.strip_prefix("sent.").or_else(|| inner.strip_prefix("body."));
        if let Some(name) = inner.strip_prefix("before.") {
            return Ok(Self::Before(name.to_owned()));
        }
        match (inner, field) {
            ("window_start", _) => Ok(Self::WindowStart),
            ("window_end", _) => Ok(Self::WindowEnd),
            ("reference", _) => Ok(Self::Reference),
            ("amount.currency", _) => Ok(Self::Currency),
            (_, Some(fields)) => Ok(Self::Sent(fields.split('|').map(str::to_owned).collect())),
            _ => Err(format!(
                "`{text}` cannot be filled in: expected {{window_start}}, {{window_end}}, {{reference}}, {{before.name}}, {{amount.currency}} or {{sent.parameter}}"
            )),
        }
    }
}

impl<'de> Deserialize<'de> for Template {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::read(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

fn sent_value(endpoint: &Endpoint, intent: &Intent, field: &str) -> Option<Value> {
    Value::from_plain(&request::sent(endpoint, &intent.request, field)?).ok()
}
