//! Looking up an effect nobody heard the outcome of: walk a list of the provider until it is found or cannot
//! be there.
//!
//! Pure: a [`Search`] says which page to ask for and takes the answer. A clean miss counts as absence only when
//! the list covers all of the time in which we sent, and the provider had time to show what it took.

mod search;
mod strays;

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

use super::request;
use super::table::Endpoint;
use crate::model::journal::Intent;
use crate::model::value::Value;

pub use search::{Progress, Read, Search, Sought};
pub use strays::{Other, other_run_of, request_as_of, used_before};

/// How the outcome of an endpoint is looked up.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lookup {
    /// The endpoint that lists what this one makes.
    pub endpoint: String,
    /// Its parameters.
    #[serde(default)]
    pub query: BTreeMap<String, Template>,
    /// How our own is told from the others.
    #[serde(rename = "match")]
    pub matching: Match,
    /// Where an item says when it was made. Items older than the search are not ours.
    pub created_at: String,
    /// Whether newer items come first, so that the first older one ends the walk.
    #[serde(default)]
    pub newest_first: bool,
    /// How much earlier than our first attempt the search begins: the difference of two clocks.
    pub margin_secs: u32,
    /// How long after the last attempt a new item may still be missing from the list.
    pub visibility_lag_secs: u32,
    /// Whether walking the list to its end shows everything made since the first attempt.
    pub covers_window: bool,
}

impl Lookup {
    /// Whether the list that looks for an intent of this endpoint is asked for what only this run has written there, and
    /// shows nothing of another: our reference, by its name or as the field of the request that bears it.
    pub fn asks_by_reference(&self, endpoint: &Endpoint, intent: &Intent) -> bool {
        let run = intent.reference.split('/').next().unwrap_or_default();
        self.query.values().any(|template| match template {
            Template::Reference => true,
            Template::Sent(fields) => fields.iter().any(|field| {
                let said = request::sent(endpoint, &intent.request, field);
                endpoint.our_reference.as_ref() == Some(field)
                    || said.is_some_and(|said| said.to_string().contains(run))
            }),
            Template::WindowStart | Template::Fixed(_) => false,
        })
    }
}

/// How our own is told from the others.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Match {
    /// This pointer leads to our reference.
    Reference(String),
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
    /// `{reference}`: our reference.
    Reference,
    /// `{sent.deposit_id}`: what the request we sent says under a parameter, wherever that stands; of several
    /// (`{sent.order|number}`) the first that it says. `{body.deposit_id}` is another spelling of it.
    Sent(Vec<String>),
    /// Text as it stands.
    Fixed(String),
}

impl<'de> Deserialize<'de> for Template {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let Some(inner) = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) else {
            return Ok(Self::Fixed(text));
        };
        let field = inner.strip_prefix("sent.").or_else(|| inner.strip_prefix("body."));
        match (inner, field) {
            ("window_start", _) => Ok(Self::WindowStart),
            ("reference", _) => Ok(Self::Reference),
            (_, Some(fields)) => Ok(Self::Sent(fields.split('|').map(str::to_owned).collect())),
            _ => Err(serde::de::Error::custom(format!(
                "`{text}` cannot be filled in: expected {{window_start}}, {{reference}} or {{sent.parameter}}"
            ))),
        }
    }
}

fn sent_value(endpoint: &Endpoint, intent: &Intent, field: &str) -> Option<Value> {
    Value::from_plain(&request::sent(endpoint, &intent.request, field)?).ok()
}
