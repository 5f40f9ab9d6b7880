//! What is read before something is sent: what there was then tells ours from the others afterwards.
//!
//! Pure. What is not found is no reason to guess: an amount nobody read is an amount no limit saw.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value as Json;

use super::condition::{Condition, Filling, Wanted};
use super::{Lookup, Match, Template};
use crate::connector::connection::Connection;
use crate::connector::request;
use crate::connector::table::Endpoint;
use crate::model::journal::{Failure, Intent, StoredRequest};
use crate::model::value::{Map, Value};

/// What is read before something is sent.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Before {
    /// The endpoint that shows it.
    pub endpoint: String,
    /// Its parameters.
    #[serde(default)]
    pub query: BTreeMap<String, Template>,
    /// What is kept of the answer: name to place. A star (`/refunds/*/id`) leads through each item of a list.
    #[serde(default)]
    pub keep: BTreeMap<String, String>,
    /// Whether lists are left out where they are empty.
    #[serde(default)]
    pub absent_is_empty: bool,
    /// What has to be so for it to be sent.
    #[serde(default)]
    pub require: Vec<Requirement>,
}

/// What has to be so for something to be sent.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Requirement {
    /// Where.
    pub at: String,
    /// What: one of these.
    pub is: Vec<Wanted>,
    /// What a script is told where it is not.
    #[serde(rename = "else")]
    pub otherwise: String,
}

/// What was known before, by name, in plain JSON.
pub type Known = BTreeMap<String, Json>;

impl Lookup {
    /// Whether it tells ours by what was known before.
    pub fn needs_before(&self) -> bool {
        let needs = |conditions: &[Condition]| conditions.iter().any(Condition::needs_before);
        let by_match = match &self.matching {
            Match::Fresh { .. } => true,
            Match::State { done, open } => needs(done) || needs(open),
            Match::Reference(_) | Match::ReferenceAtEnd(_) | Match::Natural { .. } => false,
            Match::Content(_) | Match::Gone(_) => false,
        };
        by_match || needs(&self.when)
    }
}

/// The name under which an endpoint lets one step at a time go on, as far as the intent says it; none: it lets all.
///
/// # Errors
/// A failure that names what it is made of and was not said.
pub fn exclusive_name(endpoint: &Endpoint, intent: &Intent) -> Result<Option<String>, Failure> {
    let Some(template) = &endpoint.exclusive else {
        return Ok(None);
    };
    match Filling::of(endpoint, intent).value(template) {
        Some(Value::Text(text)) => Ok(Some(text)),
        Some(value) if !value.is_null() => Ok(Some(value.to_string())),
        _ => Err(unreadable(
            endpoint,
            "there is no name for what only one at a time may do",
        )),
    }
}

/// The read that comes before.
///
/// # Errors
/// A failure when the table does not fit the request.
pub fn before<'c>(
    connection: &'c Connection,
    endpoint: &Endpoint,
    intent: &Intent,
) -> Result<Option<(&'c Endpoint, StoredRequest)>, Failure> {
    let Some(before) = &endpoint.before else {
        return Ok(None);
    };
    let read = connection.connector.endpoint(&before.endpoint);
    let read = read.ok_or_else(|| unreadable(endpoint, &format!("there is no endpoint `{}`", before.endpoint)))?;
    let filling = Filling::of(endpoint, intent);
    let asked = before.query.iter();
    let args: Map = asked
        .filter_map(|(param, template)| Some((param.clone(), filling.value(template)?)))
        .collect();
    let request = request::prepare(connection, read, &args, None)?.request;
    Ok(Some((read, request)))
}

/// What an answer of [`before`] shows that has to be known.
///
/// # Errors
/// A failure when something cannot be seen.
pub fn known(endpoint: &Endpoint, answer: &Value) -> Result<Known, Failure> {
    let Some(before) = &endpoint.before else {
        return Ok(Known::new());
    };
    let keep = before.keep.iter();
    keep.map(|(name, at)| {
        let shown = each(answer, at, before.absent_is_empty).filter(|shown| !shown.is_null());
        let shown =
            shown.ok_or_else(|| unreadable(endpoint, &format!("`{}` does not show `{at}`", before.endpoint)))?;
        Ok((name.clone(), shown.to_plain()))
    })
    .collect()
}

/// Why something may not be sent, by an answer of [`before`], if it may not.
pub fn hindrance(endpoint: &Endpoint, intent: &Intent, answer: &Value) -> Option<Failure> {
    let filling = Filling::of(endpoint, intent);
    let fails = |requirement: &&Requirement| {
        let condition = Condition {
            at: requirement.at.clone(),
            is: requirement.is.clone(),
            is_sum: Vec::new(),
            shows: None,
        };
        !filling.all_hold(&[condition], answer)
    };
    let mut required = endpoint.before.iter().flat_map(|before| &before.require);
    let requirement = required.find(fails)?;
    let message = format!("{}: {}", endpoint.name, requirement.otherwise);
    Some(Failure::new("not_possible", message))
}

fn unreadable(endpoint: &Endpoint, reason: &str) -> Failure {
    let message = format!("{}: nothing was sent: {reason}", endpoint.name);
    Failure::new("unreadable_answer", message)
}

/// What stands at a pointer; a star in it stands for each item of a list.
fn each(value: &Value, pointer: &str, absent_is_empty: bool) -> Option<Value> {
    let Some((list, rest)) = pointer.split_once("/*") else {
        return value.pointer(pointer).cloned();
    };
    let list = value.pointer(list).filter(|list| !list.is_null());
    if list.is_none() && absent_is_empty && matches!(value, Value::Map(_)) {
        return Some(Value::List(Vec::new()));
    }
    let items = list?.as_list()?.iter();
    let shown: Option<Vec<Value>> = items
        .map(|item| each(item, rest, false).filter(|shown| !shown.is_null()))
        .collect();
    shown.map(Value::List)
}
