//! The walk itself: a [`Search`] says which page to ask for, takes the answer, and ends with what it came to.

use chrono::TimeDelta;

use super::condition::{Filling, window_end};
use super::strays::{Other, is_same_run, made_at, other_run_of, parts, request_as_of, same_step, used_before};
use super::{Lookup, Match, Several, Template, sent_value};
use crate::base::clock::Instant;
use crate::base::guard::{Guard, holds};
use crate::base::limits::PROVIDER_TOTAL_TIMEOUT;
use crate::connector::connection::Connection;
use crate::connector::page::Next;
use crate::connector::reply::{RawAnswer, Verdict, provider_time};
use crate::connector::table::Endpoint;
use crate::connector::{alike, page, reply, request};
use crate::model::journal::{Failure, Intent, StoredRequest};
use crate::model::value::{Map, Value};

/// How far two clocks may be apart before a look-up by time proves nothing; half of what look-ups allow for.
pub const CLOCKS_APART_MAX: TimeDelta = TimeDelta::hours(12);

/// How much two clocks may differ when one dead item is told from an older one.
const DEAD_MARGIN: TimeDelta = TimeDelta::minutes(5);

/// A search on its way.
#[derive(Debug, Clone)]
pub struct Search {
    /// The endpoint whose outcome is looked for.
    effect: Endpoint,
    lookup: Lookup,
    list: Endpoint,
    intent: Intent,
    request: StoredRequest,
    /// What came to nothing before this is another.
    dead_until: Instant,
    window_start: Instant,
    window_end: Instant,
    /// From when on a miss means absence.
    visible_from: Instant,
    /// Whether a page was read before that: what it did not show may have been there.
    read_early: bool,
    walk: page::Walk,
    pages: usize,
    /// What was found, where a second one would contradict it; or what says by itself whether it was done.
    found: Option<Value>,
    /// How many of those were seen.
    seen: usize,
    /// Whether something new was seen that does not show what was sent: it may be ours all the same.
    unlike: bool,
    others: Vec<Other>,
}

/// The times of a search.
#[derive(Clone, Copy)]
struct Times {
    dead_until: Instant,
    window_start: Instant,
    window_end: Instant,
    visible_from: Instant,
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
    /// It was not found in a list that did not show all it has, or cannot be shown to have.
    Lost(String),
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
        let lookup = endpoint.lookup.as_ref();
        let margin = lookup.map(Lookup::margin).unwrap_or_default();
        let lag = lookup.map_or(0, |lookup| lookup.visibility_lag_secs);
        let times = Times {
            dead_until: first_sent - DEAD_MARGIN,
            window_start: first_sent - margin,
            window_end: window_end(last_sent, margin),
            // A request may arrive for as long as we waited for its answer, and be shown later still.
            visible_from: last_sent + request_time() + TimeDelta::seconds(lag.into()),
        };
        Self::new(connection, endpoint, intent, times)
    }

    /// The same, where what is shown now is what counts: nothing more is waited for.
    #[must_use]
    pub fn as_of_now(self) -> Self {
        Self {
            visible_from: Instant::MIN_UTC,
            ..self
        }
    }

    /// Begins a search before anything was sent, for what another has done. There is nothing of ours to wait for, and
    /// what came to nothing is another's.
    ///
    /// # Errors
    /// As [`Search::begin`].
    pub fn ahead(connection: &Connection, endpoint: &Endpoint, intent: &Intent, now: Instant) -> Result<Self, Failure> {
        let margin = endpoint.lookup.as_ref().map(Lookup::margin).unwrap_or_default();
        let times = Times {
            dead_until: Instant::MAX_UTC,
            window_start: now - margin,
            window_end: window_end(now, margin),
            visible_from: Instant::MIN_UTC,
        };
        Self::new(connection, endpoint, intent, times)
    }

    fn new(connection: &Connection, endpoint: &Endpoint, intent: &Intent, times: Times) -> Result<Self, Failure> {
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
        // Nothing could ever be told to be ours, and what is never found would count as absent.
        if let Match::Natural { field, .. } = &lookup.matching
            && sent_value(endpoint, intent, field).is_none()
        {
            return Err(cannot(format!("the stored request has no `{field}`")));
        }
        if let Match::Fresh { ids, .. } = &lookup.matching
            && !matches!(Filling::of(endpoint, intent).value(ids), Some(Value::List(_)))
        {
            return Err(cannot("what was there before is not known".to_owned()));
        }
        // Asked for less, the list would show another's.
        let is_unknown =
            |asked: &Template| matches!(asked, Template::Before(name) if !intent.before.contains_key(name));
        if lookup.query.values().any(is_unknown) {
            return Err(cannot("what was there before is not known".to_owned()));
        }
        let Times {
            dead_until,
            window_start,
            window_end,
            visible_from,
        } = times;
        let filling = Filling {
            effect: endpoint,
            intent,
            window_start,
            window_end,
        };
        // What was not sent is not asked for; where the list cannot do without, it is refused below.
        let asked = lookup.query.iter();
        let args: Map = asked
            .filter_map(|(param, template)| Some((param.clone(), filling.value(template)?)))
            .collect();
        let request = request::prepare(connection, &list, &args, None)?.request;
        let walk = page::Walk::of_request(&list, &request);
        Ok(Self {
            effect: endpoint.clone(),
            lookup,
            list,
            intent: intent.clone(),
            request,
            dead_until,
            window_start,
            window_end,
            visible_from,
            read_early: false,
            walk,
            pages: 0,
            found: None,
            seen: 0,
            unlike: false,
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
            Verdict::Applied { value, .. } => Some(value),
            Verdict::NotApplied { refused: false, .. } if self.says_not_there(answer) => None,
            Verdict::NotApplied {
                failure, refused: true, ..
            } => return over(Sought::Refused(failure.message), self.others),
            Verdict::NotApplied { failure, .. } => return over(Sought::Failed(failure.message), self.others),
            Verdict::Unknown { reason, .. } | Verdict::Contradiction { reason } => {
                return over(Sought::Failed(reason), self.others);
            }
        };
        let items = page.as_ref().and_then(|page| self.items(page)).unwrap_or_default();
        let seen: Vec<Other> = items.into_iter().filter_map(|item| self.other(item)).collect();
        let mut others = std::mem::take(&mut self.others);
        others.extend(seen);
        // A clock of ours that was set ahead would let a list that lags look old enough to be believed. A date has
        // whole seconds.
        let theirs = theirs.filter(|_| holds(Guard::ListAge));
        let read_at = theirs.map_or(asked_at, |theirs| asked_at.min(theirs + TimeDelta::seconds(1)));
        let progress = match &page {
            Some(page) => self.take(page, read_at),
            None => self.take_nothing(read_at),
        };
        match progress {
            Progress::Next(mut further) => {
                further.others = others;
                Read::More(further)
            }
            Progress::Found(resource) => over(Sought::Found(resource), others),
            Progress::Contradiction(reason) => over(Sought::Contradiction(reason), others),
            Progress::Absent => over(Sought::Absent, others),
            Progress::Lost(reason) => over(Sought::Failed(reason), others),
            Progress::Unproved { again_at } => {
                let again_at = again_at.map(|at| at + (asked_at - read_at));
                over(Sought::Unproved { again_at }, others)
            }
        }
    }

    /// What an item is if it bears the mark of another step of the same run, or moves the same for another run.
    fn other(&self, item: &Value) -> Option<Other> {
        let reference = self
            .lookup
            .reference_of(item)
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

    /// Whether an answer says that what was asked for is not there.
    fn says_not_there(&self, answer: Option<&RawAnswer>) -> bool {
        let gone = match &self.lookup.matching {
            Match::Gone(statuses) => statuses.as_slice(),
            _ => &[],
        };
        let mut statuses = self.lookup.missing.iter().chain(gone);
        answer.is_some_and(|answer| statuses.any(|status| *status == answer.status))
    }

    /// The items of an answer; none if it is not what is looked through.
    fn items<'v>(&self, answer: &'v Value) -> Option<Vec<&'v Value>> {
        match self.lookup.items.as_deref() {
            None if self.list.paging.is_some() => Some(page::items(&self.list, answer).iter().collect()),
            None | Some("") => Some(vec![answer]),
            Some(pointer) => match answer.pointer(pointer).filter(|list| !list.is_null()) {
                // What is no map at all leaves nothing out.
                None if self.lookup.absent_is_empty && matches!(answer, Value::Map(_)) => Some(Vec::new()),
                list => Some(list?.as_list()?.iter().collect()),
            },
        }
    }

    /// Takes the answer to [`Search::request`], which was sent at `asked_at`.
    pub fn take(mut self, answer: &Value, asked_at: Instant) -> Progress {
        let (fresh, next) = self.walk.take(answer);
        // Pages may overlap: what was shown before is no second one.
        let items = if self.list.paging.is_some() {
            Some(fresh)
        } else {
            self.items(answer)
        };
        let Some(items) = items else {
            let pointer = self.lookup.items.unwrap_or_default();
            return Progress::Lost(format!("`{}` shows no list at `{pointer}`", self.list.name));
        };
        let mut past_window = false;
        for item in items {
            if !self.is_meant(item) {
                continue;
            }
            if let Some(at) = self.untold(item) {
                return Progress::Lost(format!("an item of `{}` shows nothing at `{at}`", self.list.name));
            }
            if self.tells_by_itself() {
                self.seen += 1;
                self.found = Some(item.clone());
                continue;
            }
            self.unlike |= self.is_new(item) && !self.is_ours(item);
            // What bears our mark is ours, however old its clock makes it.
            if self.is_ours(item) {
                if let Some(reason) = self.misfit(item).filter(|_| holds(Guard::FoundFits)) {
                    return Progress::Contradiction(reason);
                }
                if self.lookup.several == Several::First && !matches!(self.lookup.matching, Match::Fresh { .. }) {
                    return Progress::Found(item.clone());
                }
                if self.found.is_some() && holds(Guard::FoundOnce) {
                    return Progress::Contradiction("more than one thing bears our mark".to_owned());
                }
                self.found = Some(item.clone());
            }
            past_window |= self.lookup.newest_first && self.is_before(item, self.window_start);
        }
        self.pages += 1;
        self.read_early |= asked_at < self.visible_from;
        let next = if past_window || !holds(Guard::EveryPage) {
            Next::End
        } else {
            next
        };
        match next {
            Next::At(_) if self.pages >= crate::base::limits::PAGES_MAX => Progress::Unproved { again_at: None },
            Next::At(position) => {
                self.request = page::turn_to(&self.list, &self.request, &position);
                Progress::Next(Box::new(self))
            }
            Next::Lost(reason) => Progress::Lost(format!("`{}` was not read whole: {reason}", self.list.name)),
            Next::End => self.end(),
        }
    }

    /// Takes the answer that there is nothing there to look through.
    fn take_nothing(mut self, asked_at: Instant) -> Progress {
        self.read_early |= asked_at < self.visible_from;
        match &self.lookup.matching {
            Match::Gone(_) => Progress::Found(adopted(&Value::Null)),
            _ => self.end(),
        }
    }

    /// What it means that there is nothing more to read.
    fn end(self) -> Progress {
        match (&self.lookup.matching, &self.found) {
            (Match::State { done, open }, found) => {
                // Of several nobody knows which one it is.
                let one = found.as_ref().filter(|_| self.seen == 1);
                let stands = |conditions| one.is_some_and(|one| self.filling().all_hold(conditions, one));
                match (stands(done), stands(open)) {
                    (true, _) => Progress::Found(adopted(one.unwrap_or(&Value::Null))),
                    (false, true) => self.absent_if_late(),
                    (false, false) if holds(Guard::StateKnown) => Progress::Unproved {
                        again_at: self.read_early.then_some(self.visible_from),
                    },
                    (false, false) => Progress::Absent,
                }
            }
            (Match::Content(_), found) => match found.as_ref().filter(|found| self.shows_what_was_sent(found)) {
                Some(found) => Progress::Found(adopted(found)),
                None => self.absent_if_late(),
            },
            (Match::Gone(_), _) => self.absent_if_late(),
            (_, Some(found)) => Progress::Found(found.clone()),
            (_, None) if self.unlike && holds(Guard::FreshUnlike) => Progress::Unproved {
                again_at: self.read_early.then_some(self.visible_from),
            },
            // It may be seen later, though that it is not proves nothing then either.
            (_, None) if !self.lookup.covers_window && holds(Guard::WindowCovered) => Progress::Unproved {
                again_at: self.read_early.then_some(self.visible_from),
            },
            (_, None) => self.absent_if_late(),
        }
    }

    /// It did not happen, if everything was read late enough to show it, and would show it to us.
    fn absent_if_late(&self) -> Progress {
        if self.is_untraceable() {
            Progress::Unproved { again_at: None }
        } else if self.read_early && holds(Guard::VisibilityLag) {
            Progress::Unproved {
                again_at: Some(self.visible_from),
            }
        } else {
            Progress::Absent
        }
    }

    fn filling(&self) -> Filling<'_> {
        Filling {
            effect: &self.effect,
            intent: &self.intent,
            window_start: self.window_start,
            window_end: self.window_end,
        }
    }

    fn is_meant(&self, item: &Value) -> bool {
        self.filling().is_meant(&self.lookup.when, item)
    }

    /// Whether the thing that is read says by itself what became of it.
    fn tells_by_itself(&self) -> bool {
        matches!(
            self.lookup.matching,
            Match::State { .. } | Match::Content(_) | Match::Gone(_)
        )
    }

    /// Whether everything in the body we sent stands in the thing as it was sent.
    fn shows_what_was_sent(&self, shown: &Value) -> bool {
        let body = self.intent.request.body.as_deref();
        let body = body.and_then(|body| serde_json::from_str(body).ok());
        body.is_some_and(|body| alike::shows(None, &body, shown))
    }

    /// What in something that bears our mark does not fit what we sent. A key may have been used for another payment, so
    /// what another run of the same key made has to show that it is the same, and that it can have been forgotten.
    fn misfit(&self, item: &Value) -> Option<String> {
        let request = request_as_of(&self.effect, &self.intent, item);
        let movement = self.intent.movement.as_ref();
        let contradiction = match &self.lookup.matching {
            Match::Fresh { .. } => reply::contradiction_inside,
            _ => reply::contradiction,
        };
        contradiction(&self.effect, &request, movement, item).or_else(|| {
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

    /// Whether it may have been sent under a reference that nobody knows any more, and is not looked for by what it is
    /// about.
    fn is_untraceable(&self) -> bool {
        let is_forgotten = self.intent.forgotten.is_some_and(|forgotten| !forgotten.traceable);
        is_forgotten && !matches!(self.lookup.matching, Match::Natural { .. }) && holds(Guard::RestoreUntraceable)
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

    /// Where an item has to show what tells it from the others, and shows nothing that could: a place that leads nowhere
    /// would make every item another's.
    fn untold(&self, item: &Value) -> Option<&str> {
        let nests = |value: &Value| matches!(value, Value::List(_) | Value::Map(_));
        match &self.lookup.matching {
            Match::Fresh { at, .. } => item.pointer(at).is_none_or(Value::is_null).then_some(at),
            Match::Natural { field, pointer, .. } => {
                let sent_nests = sent_value(&self.effect, &self.intent, field).is_some_and(|sent| nests(&sent));
                let shown = item.pointer(pointer).filter(|shown| !shown.is_null());
                let is_told = shown.is_some_and(|shown| nests(shown) == sent_nests);
                (!is_told && holds(Guard::NaturalShown)).then_some(pointer)
            }
            Match::Reference(_) | Match::ReferenceAtEnd(_) => None,
            Match::State { .. } | Match::Content(_) | Match::Gone(_) => None,
        }
    }

    /// Whether it was not there before we sent, where that tells ours.
    fn is_new(&self, item: &Value) -> bool {
        let Match::Fresh { ids, at, .. } = &self.lookup.matching else {
            return false;
        };
        let known = self.filling().value(ids).unwrap_or_default();
        let mut known = known.as_list().unwrap_or_default().iter();
        let id = item.pointer(at).unwrap_or(&Value::Null);
        !known.any(|known| alike::is_in(known, id))
    }

    fn is_ours(&self, item: &Value) -> bool {
        match &self.lookup.matching {
            Match::Reference(_) | Match::ReferenceAtEnd(_) => {
                let reference = self.lookup.reference_of(item);
                reference.is_some_and(|reference| self.is_reference(reference))
            }
            Match::Fresh { same, .. } => self.is_new(item) && self.filling().all_hold(same, item),
            Match::State { .. } | Match::Content(_) | Match::Gone(_) => false,
            Match::Natural { field, pointer, dead } => {
                let sent = self.filling().sent(std::slice::from_ref(field));
                let shown = item.pointer(pointer);
                let matches = sent.zip(shown);
                let matches = matches.is_some_and(|((kind, sent), shown)| alike::shows(kind, &sent, shown));
                let is_dead = dead.as_ref().is_some_and(|dead| {
                    let status = item.pointer(&dead.pointer).and_then(Value::as_text);
                    status.is_some_and(|status| dead.values.iter().any(|value| value == status))
                });
                // One that came to nothing before we sent ours is another.
                matches && !(is_dead && self.is_before(item, self.dead_until))
            }
        }
    }
}

/// What stands for the answer of a call that a thing shows to have been done, and that is not that answer.
fn adopted(shown: &Value) -> Value {
    let mut told = match shown {
        Value::Map(shown) => shown.clone(),
        _ => Map::new(),
    };
    told.insert("adopted".to_owned(), Value::Bool(true));
    Value::Map(told)
}

/// The longest a request is under way.
fn request_time() -> TimeDelta {
    TimeDelta::from_std(PROVIDER_TOTAL_TIMEOUT).unwrap_or(TimeDelta::MAX)
}
