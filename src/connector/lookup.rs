//! Looking up an effect nobody heard the outcome of: walk a list of the provider until it is found or cannot
//! be there.
//!
//! Pure: a [`Search`] says which page to ask for and takes the answer. A clean miss counts as absence only when
//! the list covers all of the time in which we sent, and the provider had time to show what it took.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::TimeDelta;
use serde::{Deserialize, Deserializer};
use serde_json::Value as Json;

use super::connection::Connection;
use super::reply::{RawAnswer, Verdict, provider_time};
use super::table::{Connector, Endpoint};
use super::{page, reply, request};
use crate::base::clock::Instant;
use crate::base::guard::{Guard, holds};
use crate::base::ids::RunId;
use crate::base::limits::PROVIDER_TOTAL_TIMEOUT;
use crate::model::journal::{Failure, Intent, Journal, Outcome, Phase, StepPath, StepRecord, StoredRequest};
use crate::model::value::{Map, Value, parse_time};

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
        let body = sent_body(intent);
        self.query.values().any(|template| match template {
            Template::Reference => true,
            Template::Body(field) => {
                let said = request::sent(endpoint, &body, field);
                endpoint.our_reference.as_ref() == Some(field)
                    || said.is_some_and(|said| said.to_string().contains(run))
            }
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

/// How far two clocks may be apart before a look-up by time proves nothing; half of what look-ups allow for.
const CLOCKS_APART_MAX: TimeDelta = TimeDelta::hours(12);

/// How much two clocks may differ when one dead item is told from an older one.
const DEAD_MARGIN: TimeDelta = TimeDelta::minutes(5);

/// The value of a parameter of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Template {
    /// `{window_start}`: our first attempt, less the margin.
    WindowStart,
    /// `{reference}`: our reference.
    Reference,
    /// `{body.deposit_id}`: a field of the request we sent.
    Body(String),
    /// Text as it stands.
    Fixed(String),
}

impl<'de> Deserialize<'de> for Template {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let Some(inner) = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) else {
            return Ok(Self::Fixed(text));
        };
        match (inner, inner.strip_prefix("body.")) {
            ("window_start", _) => Ok(Self::WindowStart),
            ("reference", _) => Ok(Self::Reference),
            (_, Some(field)) => Ok(Self::Body(field.to_owned())),
            _ => Err(serde::de::Error::custom(format!(
                "`{text}` cannot be filled in: expected {{window_start}}, {{reference}} or {{body.field}}"
            ))),
        }
    }
}

/// A search on its way.
#[derive(Debug, Clone)]
pub struct Search {
    connector: Arc<Connector>,
    /// The endpoint whose outcome is looked for.
    effect: Endpoint,
    lookup: Lookup,
    list: Endpoint,
    intent: Intent,
    request: StoredRequest,
    first_sent: Instant,
    window_start: Instant,
    /// From when on a miss means absence.
    visible_from: Instant,
    /// Whether a page was read before that: what it did not show may have been there.
    read_early: bool,
    pages: usize,
    others: Vec<Other>,
}

/// Something a list shows that bears the mark of another step than the one that is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Other {
    /// Whose: a forgotten run of the same key goes by the name of the one that looks.
    pub run: RunId,
    /// Which of its steps.
    pub path: StepPath,
    /// Whether it moves the same as what is looked for.
    pub is_alike: bool,
    /// Its id, if it has one.
    pub id: Option<String>,
    /// When it was made, if the list says so.
    pub made_at: Option<Instant>,
    /// What it is, for people: its id and its amount.
    pub what: String,
}

impl Other {
    /// Whether a run made it and its journal does not know: another text or other data had another step there. What a
    /// person had another step adopt is known.
    pub fn is_forgotten_by(&self, run: RunId, journal: &Journal) -> bool {
        let is_known = |path: &StepPath, step: &StepRecord| {
            let made = match &step.phase {
                Phase::Done(Outcome::Value(made)) => made.get("id").and_then(Value::as_text),
                _ => None,
            };
            step.effect.is_some() && (*path == self.path || made.is_some() && made == self.id.as_deref())
        };
        self.run == run && !journal.steps().any(|(path, step)| is_known(path, step)) && holds(Guard::RestoreStrays)
    }

    /// Whether another run made it that moves the same, in the time in which this intent may have been sent and
    /// forgotten. Whether that run is known is not known here.
    pub fn is_like_forgotten(&self, run: RunId, intent: &Intent) -> bool {
        let in_time = intent.forgotten.is_some_and(|forgotten| {
            let end = forgotten.until + CLOCKS_APART_MAX;
            self.made_at.is_none_or(|made_at| made_at <= end)
        });
        in_time && self.is_alike && self.run != run && holds(Guard::RestoreStrays)
    }
}

/// What one answer of a list led to.
#[derive(Debug, Clone)]
pub enum Read {
    /// Ask for the next page.
    More(Box<Search>),
    /// The search is over.
    Over {
        /// What it came to.
        sought: Sought,
        /// What else the list showed on the way.
        others: Vec<Other>,
    },
}

/// What a search came to.
#[derive(Debug, Clone)]
pub enum Sought {
    /// It happened; this is what it made.
    Found(Value),
    /// Something bears our mark and is not what was asked for.
    Contradiction(String),
    /// It did not happen: proved.
    Absent,
    /// It was not found, which proves nothing yet, or never will.
    Unproved {
        /// From when on another search can prove it; none if no search can.
        again_at: Option<Instant>,
    },
    /// Our clock and the provider's are so far apart that its list proves nothing.
    ClocksApart(TimeDelta),
    /// The list could not be read, and may be in a moment.
    Failed(String),
    /// Our key may not read the list.
    Refused(String),
}

/// What one page showed.
#[derive(Debug, Clone)]
pub enum Progress {
    /// It happened; this is what it made.
    Found(Value),
    /// Something bears our mark but is not what was asked for. Never to be sent again by itself.
    Contradiction(String),
    /// Not on this page: ask for the next.
    Next(Box<Search>),
    /// It did not happen: proved.
    Absent,
    /// It was not found, which proves nothing yet, or never will.
    Unproved {
        /// From when on another search can prove it; none if no search can.
        again_at: Option<Instant>,
    },
}

impl Search {
    /// Begins a search for what this intent made. The first and the last attempt bound the time in which it
    /// may have been made.
    ///
    /// # Errors
    /// A failure when the endpoint cannot be looked up, or its table does not fit the stored request.
    pub fn begin(
        connection: &Connection,
        endpoint: &Endpoint,
        intent: &Intent,
        first_sent: Instant,
        last_sent: Instant,
    ) -> Result<Self, Failure> {
        let cannot = |reason: String| Failure::new("no_lookup", format!("{}: {reason}", endpoint.name));
        let lookup = endpoint
            .lookup
            .clone()
            .ok_or_else(|| cannot("its outcome cannot be looked up".to_owned()))?;
        let list = connection
            .connector
            .endpoint(&lookup.endpoint)
            .ok_or_else(|| cannot(format!("there is no endpoint `{}`", lookup.endpoint)))?
            .clone();
        let window_start = first_sent - TimeDelta::seconds(lookup.margin_secs.into());
        let body = sent_body(intent);
        // Nothing could ever be told to be ours, and what is never found would count as absent.
        if let Match::Natural { field, .. } = &lookup.matching
            && sent_field(endpoint, &body, field).is_none()
        {
            return Err(cannot(format!("the stored request has no `{field}`")));
        }
        let args = lookup
            .query
            .iter()
            .map(|(param, template)| {
                let value = match template {
                    Template::WindowStart => Value::Time(window_start),
                    Template::Reference => Value::text(&intent.reference),
                    Template::Fixed(text) => Value::text(text),
                    Template::Body(field) => sent_field(endpoint, &body, field)
                        .ok_or_else(|| cannot(format!("the stored request has no `{field}`")))?,
                };
                Ok((param.clone(), value))
            })
            .collect::<Result<Map, Failure>>()?;
        let request = request::prepare(connection, &list, &args, None)?.request;
        Ok(Self {
            connector: connection.connector.clone(),
            effect: endpoint.clone(),
            // A request may arrive for as long as we waited for its answer, and be shown later still.
            visible_from: last_sent + request_time() + TimeDelta::seconds(lookup.visibility_lag_secs.into()),
            lookup,
            list,
            intent: intent.clone(),
            request,
            first_sent,
            window_start,
            read_early: false,
            pages: 0,
            others: Vec::new(),
        })
    }

    /// The endpoint to ask.
    pub fn list(&self) -> &Endpoint {
        &self.list
    }

    /// The request to send to it.
    pub fn request(&self) -> &StoredRequest {
        &self.request
    }

    /// Takes what came of [`Search::request`], which was sent at `asked_at`: the answer, if one came, and what it means.
    pub fn read(mut self, answer: Option<&RawAnswer>, verdict: Verdict, asked_at: Instant, now: Instant) -> Read {
        let theirs = answer.and_then(provider_time);
        let over = |sought, others| Read::Over { sought, others };
        let apart = theirs.map(|theirs| (theirs - now).abs());
        if let Some(apart) = apart.filter(|apart| *apart > CLOCKS_APART_MAX) {
            return over(Sought::ClocksApart(apart), self.others);
        }
        let page = match verdict {
            Verdict::Applied { value, .. } => value,
            Verdict::NotApplied {
                failure, refused: true, ..
            } => return over(Sought::Refused(failure.message), self.others),
            Verdict::NotApplied { failure, .. } => return over(Sought::Failed(failure.message), self.others),
            Verdict::Unknown { reason, .. } | Verdict::Contradiction { reason } => {
                return over(Sought::Failed(reason), self.others);
            }
        };
        let others = page::items(&self.connector, &page)
            .iter()
            .filter_map(|item| self.other(item));
        let seen: Vec<Other> = others.collect();
        let mut others = std::mem::take(&mut self.others);
        others.extend(seen);
        // A clock of ours that was set ahead would let a list that lags look old enough to be believed. A date has
        // whole seconds.
        let theirs = theirs.filter(|_| holds(Guard::ListAge));
        let read_at = theirs.map_or(asked_at, |theirs| asked_at.min(theirs + TimeDelta::seconds(1)));
        match self.take(&page, read_at) {
            Progress::Next(mut further) => {
                further.others = others;
                Read::More(further)
            }
            Progress::Found(resource) => over(Sought::Found(resource), others),
            Progress::Contradiction(reason) => over(Sought::Contradiction(reason), others),
            Progress::Absent => over(Sought::Absent, others),
            Progress::Unproved { again_at } => {
                let again_at = again_at.map(|at| at + (asked_at - read_at));
                over(Sought::Unproved { again_at }, others)
            }
        }
    }

    /// What an item is if it bears the mark of another step of the same run, or moves the same for another run.
    fn other(&self, item: &Value) -> Option<Other> {
        let Match::Reference(pointer) = &self.lookup.matching else {
            return None;
        };
        let reference = item
            .pointer(pointer)?
            .as_text()
            .filter(|other| !self.is_reference(other))?;
        let (run, path) = parts(reference)?;
        let id = item.get("id").and_then(Value::as_text);
        let amount = reply::amount_said(&self.effect, item).map(|amount| format!(", {amount}"));
        let same = |movement| reply::same_movement(&self.effect, &self.intent.request, movement, item);
        let is_alike = self.intent.movement.as_ref().is_some_and(same);
        let (ours, _) = parts(&self.intent.reference)?;
        let is_of_same_run = is_same_run(&self.intent, ours, run);
        (is_alike || is_of_same_run).then_some(())?;
        Some(Other {
            run: if is_of_same_run { ours } else { run },
            path,
            is_alike,
            id: id.map(str::to_owned),
            made_at: self.made_at(item),
            what: format!("{}{}", id.unwrap_or("something"), amount.unwrap_or_default()),
        })
    }

    /// Takes the answer to [`Search::request`], which was sent at `asked_at`.
    pub fn take(mut self, answer: &Value, asked_at: Instant) -> Progress {
        let mut past_window = false;
        for item in page::items(&self.connector, answer) {
            // What bears our mark is ours, however old its clock makes it.
            if self.is_ours(item) {
                return match self.misfit(item).filter(|_| holds(Guard::FoundFits)) {
                    Some(reason) => Progress::Contradiction(reason),
                    None => Progress::Found(item.clone()),
                };
            }
            past_window |= self.lookup.newest_first && self.is_before(item, self.window_start);
        }
        self.pages += 1;
        self.read_early |= asked_at < self.visible_from;
        let next = page::next_page(&self.connector, &self.list, &self.request, answer);
        match next.filter(|_| !past_window && holds(Guard::EveryPage)) {
            Some(_) if self.pages >= crate::base::limits::PAGES_MAX => Progress::Unproved { again_at: None },
            Some(request) => {
                self.request = request;
                Progress::Next(Box::new(self))
            }
            None if !self.lookup.covers_window && holds(Guard::WindowCovered) => Progress::Unproved { again_at: None },
            None if self.is_untraceable() => Progress::Unproved { again_at: None },
            None if self.read_early && holds(Guard::VisibilityLag) => Progress::Unproved {
                again_at: Some(self.visible_from),
            },
            None => Progress::Absent,
        }
    }

    /// What in something that bears our mark does not fit what we sent. A key may have been used for another payment, so
    /// what another run of the same key made has to show that it is the same, and that it can have been forgotten.
    fn misfit(&self, item: &Value) -> Option<String> {
        let request = request_as_of(&self.effect, &self.intent, item);
        let movement = self.intent.movement.as_ref();
        reply::contradiction(&self.effect, &request, movement, item).or_else(|| {
            let other = other_run_of(&self.effect, &self.intent, item)?;
            if let Some(reason) = used_before(&self.effect, &self.intent, item).filter(|_| holds(Guard::KeyUsedBefore))
            {
                return Some(reason);
            }
            let unsaid = reply::left_unsaid(&self.effect, &request, movement?, item)?;
            Some(format!(
                "{other}, a forgotten run of the same key, made it, and it does not say its {unsaid}"
            ))
        })
    }

    /// Whether it may have been sent under a reference that nobody knows any more, and is looked for by that.
    fn is_untraceable(&self) -> bool {
        let is_forgotten = self.intent.forgotten.is_some_and(|forgotten| !forgotten.traceable);
        is_forgotten && matches!(self.lookup.matching, Match::Reference(_)) && holds(Guard::RestoreUntraceable)
    }

    /// Whether a reference is the one that is looked for, or stands for the same step of a forgotten run of the same key.
    fn is_reference(&self, reference: &str) -> bool {
        reference == self.intent.reference || same_step(&self.intent, reference).is_some()
    }

    fn made_at(&self, item: &Value) -> Option<Instant> {
        made_at(&self.lookup, item)
    }

    fn is_before(&self, item: &Value, instant: Instant) -> bool {
        self.made_at(item).is_some_and(|made_at| made_at < instant)
    }

    fn is_ours(&self, item: &Value) -> bool {
        match &self.lookup.matching {
            Match::Reference(pointer) => {
                let reference = item.pointer(pointer).and_then(Value::as_text);
                reference.is_some_and(|reference| self.is_reference(reference))
            }
            Match::Natural { field, pointer, dead } => {
                let wanted = sent_field(&self.effect, &sent_body(&self.intent), field);
                let matches = wanted.is_some() && item.pointer(pointer) == wanted.as_ref();
                let is_dead = dead.as_ref().is_some_and(|dead| {
                    let status = item.pointer(&dead.pointer).and_then(Value::as_text);
                    status.is_some_and(|status| dead.values.iter().any(|value| value == status))
                });
                // One that came to nothing before we sent ours is another.
                matches && !(is_dead && self.is_before(item, self.first_sent - DEAD_MARGIN))
            }
        }
    }
}

/// Whether a run is ours, as far as its id tells; or a forgotten one of a request with the same key. Where nothing was
/// forgotten, and where no key made the run, that one is another.
fn is_same_run(intent: &Intent, ours: RunId, run: RunId) -> bool {
    let is_keyed = intent.forgotten.is_some_and(|forgotten| forgotten.keyed);
    run == ours || is_keyed && run.is_of_same_parts(ours)
}

/// The run whose reference this is, if it stands for the same step of ours or of a forgotten run of the same key.
fn same_step(intent: &Intent, reference: &str) -> Option<RunId> {
    let ((ours, path), (run, other)) = (parts(&intent.reference)?, parts(reference)?);
    (path == other && is_same_run(intent, ours, run)).then_some(run)
}

/// The reference that a resource bears, if that stands for the same step of ours or of a forgotten run of the same key.
fn same_reference<'v>(endpoint: &Endpoint, intent: &Intent, resource: &'v Value) -> Option<(RunId, &'v str)> {
    let Match::Reference(pointer) = &endpoint.lookup.as_ref()?.matching else {
        return None;
    };
    let theirs = resource.pointer(pointer)?.as_text()?;
    Some((same_step(intent, theirs)?, theirs))
}

/// The run that made a resource, if it is not ours but another one of the same key. Whether that one is known is not
/// known here.
pub fn other_run_of(endpoint: &Endpoint, intent: &Intent, resource: &Value) -> Option<RunId> {
    let (ours, _) = parts(&intent.reference)?;
    let (run, _) = same_reference(endpoint, intent, resource)?;
    (run != ours).then_some(run)
}

/// Why something is not what a forgotten run of the same key made: it was made before anything can have been forgotten,
/// as far as it says. Then the older state knew the run that made it, which was pruned.
pub fn used_before(endpoint: &Endpoint, intent: &Intent, item: &Value) -> Option<String> {
    let other = other_run_of(endpoint, intent, item)?;
    let lookup = endpoint.lookup.as_ref()?;
    let margin = TimeDelta::seconds(lookup.margin_secs.into());
    let from = intent.forgotten.map(|forgotten| forgotten.from - margin);
    let is_younger = from.is_some_and(|from| made_at(lookup, item).is_some_and(|made_at| made_at >= from));
    (!is_younger).then(|| {
        format!(
            "{other}, an earlier run of the same key, made it, and it is not shown to be younger than the older state \
             that was put back: the key was used before, and what is to be done too needs another one"
        )
    })
}

fn made_at(lookup: &Lookup, item: &Value) -> Option<Instant> {
    parse_time(item.pointer(&lookup.created_at)?.as_text()?)
}

/// The request as the run would have sent it that a resource is of: ours, or a forgotten one of the same key.
pub fn request_as_of(endpoint: &Endpoint, intent: &Intent, resource: &Value) -> StoredRequest {
    let mut request = intent.request.clone();
    if let Some((_, theirs)) = same_reference(endpoint, intent, resource) {
        // Ours is of a form that stands for nothing else.
        request.body = request.body.map(|body| body.replace(&intent.reference, theirs));
    }
    request
}

/// The run and the step of a reference.
fn parts(reference: &str) -> Option<(RunId, StepPath)> {
    let (run, path) = reference.split_once('/')?;
    Some((run.parse().ok()?, path.parse().ok()?))
}

/// The longest a request is under way.
fn request_time() -> TimeDelta {
    TimeDelta::from_std(PROVIDER_TOTAL_TIMEOUT).unwrap_or(TimeDelta::MAX)
}

fn sent_body(intent: &Intent) -> Json {
    intent
        .request
        .body
        .as_deref()
        .and_then(|body| serde_json::from_str(body).ok())
        .unwrap_or_default()
}

fn sent_field(endpoint: &Endpoint, body: &Json, field: &str) -> Option<Value> {
    Value::from_plain(request::sent(endpoint, body, field)?).ok()
}
