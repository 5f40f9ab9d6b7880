//! Waits: a time, an event, a person, or a resource that settles. A waiting run holds no thread.
//!
//! Every wait has a deadline, fixed by its first entry. An event that came before the wait began is found,
//! because the turn looks at the stored events before it waits, and the store checks again while it parks
//! the run. Events are hints: what a resource says is read from the provider itself.

use std::sync::Arc;

use chrono::TimeDelta;

use super::interrupt::Interrupt;
use super::time::DOUBT_PAUSE;
use super::turn::{Begun, Turn, recorded};
use crate::base::clock::Instant;
use crate::base::limits::STEP_SUMMARY_BYTES_MAX;
use crate::base::text::shortened;
use crate::connector::connection::Connection;
use crate::connector::page;
use crate::connector::reply::Verdict;
use crate::connector::request::{arguments, prepare};
use crate::connector::table::{Endpoint, Resource, Stage};
use crate::model::event::{Event, EventFilter};
use crate::model::journal::{APPROVAL, Asked, Entry, Failure, Outcome, Phase, Wait};
use crate::model::run::EventMark;
use crate::model::value::{Map, Value, time_text};
use crate::script::Thrown;

impl Turn {
    /// Lets time pass.
    pub(super) fn sleep(&self, duration: TimeDelta) -> Result<Value, Thrown> {
        let begun = self.begin(
            "sleep",
            Value::Duration(duration).to_string(),
            &Value::Duration(duration).typed_text(),
        )?;
        let deadline = match self.waiting(&begun)? {
            Standing::Ended(outcome) => return recorded(outcome),
            Standing::Waiting(wait) => wait.deadline,
            Standing::New => self.deadline(duration)?,
        };
        if self.has_come(deadline) {
            return self.end_wait(begun, until(deadline), Outcome::Value(Value::Null));
        }
        Err(self.wait_on(begun, until(deadline), EventMark::default()))
    }

    /// Waits for a person to approve; past the deadline a failure `timeout`. Their decision is an entry of its own,
    /// which ends the wait: the turn never writes it, and says that nobody answered only if the time was over before
    /// the turn began.
    pub(super) fn approval(&self, asked: Asked, timeout: TimeDelta, input: &Value) -> Result<Value, Thrown> {
        let summary = shortened(asked.reason.clone(), STEP_SUMMARY_BYTES_MAX);
        let begun = self.begin(APPROVAL, summary, &input.typed_text())?;
        let wait = match self.waiting(&begun)? {
            Standing::Ended(outcome) => return recorded(outcome),
            Standing::Waiting(wait) => wait,
            Standing::New => Wait {
                approval: Some(asked),
                ..until(self.ends_after(timeout))
            },
        };
        if self.claimed_at >= wait.deadline && self.services.time_is_right() {
            self.recollect_answer(&begun)?;
            let message = format!("nobody decided until {}", time_text(wait.deadline));
            return self.end_wait(begun, wait, Outcome::Failure(Failure::new("timeout", message)));
        }
        let thrown = self.wait_on(begun, wait, EventMark::default());
        if self.depth > 0 {
            // Other branches may work for long yet: what is asked is to be seen now.
            self.queue();
        }
        Err(thrown)
    }

    /// Waits for an event; past the deadline a failure `timeout`.
    pub(super) fn wait_event(
        &self,
        filter: impl FnOnce(EventMark) -> EventFilter,
        timeout: TimeDelta,
        input: &Value,
    ) -> Result<Value, Thrown> {
        let begun = self.begin("wait_event", String::new(), &input.typed_text())?;
        let wait = match self.waiting(&begun)? {
            Standing::Ended(outcome) => return recorded(outcome),
            Standing::Waiting(wait) => wait,
            Standing::New => Wait {
                // Two waits of one run are given two events.
                event: Some(EventFilter {
                    except: self.events_taken(),
                    ..filter(self.run.since_mark)
                }),
                ..until(self.deadline(timeout)?)
            },
        };
        let Some(filter) = wait.event.clone() else {
            return Err(self.unfit(&begun.path));
        };
        let (found, seen) = self.find_untaken_event(&filter)?;
        if let Some(event) = found {
            let outcome = match Value::from_plain(&event.as_document()) {
                Ok(document) => Outcome::Value(document),
                Err(error) => {
                    let message = format!("event {} cannot be read: {error}", event.provider_id);
                    Outcome::Failure(Failure::new("unreadable_event", message))
                }
            };
            return self.end_wait(begun, wait, outcome);
        }
        if self.has_come(wait.deadline) {
            let failure = Failure::new("timeout", format!("no such event until {}", time_text(wait.deadline)));
            return self.end_wait(begun, wait, Outcome::Failure(failure));
        }
        Err(self.wait_on(begun, wait, seen))
    }

    /// Waits until a resource has settled, one way or the other; answers with the resource as it is then. `made` is the
    /// resource as the script has it: it is asked for under the account that this shows.
    pub(super) fn settled(
        &self,
        connection: &Arc<Connection>,
        (kind, resource): (&str, &Resource),
        made: &Value,
        id: &str,
        timeout: TimeDelta,
    ) -> Result<Value, Thrown> {
        let retrieve = connection.connector.endpoint(&resource.retrieve);
        let under = retrieve.map(|retrieve| retrieve.shown_by(made)).unwrap_or_default();
        let mut input = vec![Value::text(kind), Value::text(id), Value::Duration(timeout)];
        if !under.is_empty() {
            input.push(Value::Map(under.clone()));
        }
        let input = Value::List(input);
        let name = format!("{}.settled", connection.name);
        let begun = self.begin(&name, format!("{kind} {id}"), &input.typed_text())?;
        let (mut wait, fresh) = match self.waiting(&begun)? {
            Standing::Ended(outcome) => return recorded(outcome),
            Standing::Waiting(wait) => (wait, false),
            Standing::New => {
                let event = (!resource.events.is_empty()).then(|| self.settling_events(connection, resource, id));
                let wait = Wait {
                    event,
                    ..until(self.deadline(timeout)?)
                };
                (wait, true)
            }
        };
        let (found, seen) = match &wait.event {
            Some(filter) => self.find_event(filter.clone())?,
            None => (None, EventMark::default()),
        };
        let now = self.now();
        let due = wait.poll_at.is_some_and(|at| now >= at) || now >= wait.deadline;
        let over = self.has_come(wait.deadline);
        // The first look costs a request only when there is something to see.
        if found.is_some() || due || (fresh && wait.event.is_none()) {
            if let Some(until) = self.refused_key_holds(connection) {
                if found.is_some() {
                    wait.event = None;
                }
                wait.poll_at.get_or_insert(until);
                return Err(self.wait_from(begun, wait, until, seen));
            }
            match self.look_at_resource(connection, resource, id, &under) {
                Look::Settled(settled) => return self.end_wait(begun, wait, Outcome::Value(settled)),
                Look::Pending if over => {
                    let message = format!("{kind} {id} had not settled by {}", time_text(wait.deadline));
                    return self.end_wait(begun, wait, Outcome::Failure(Failure::new("timeout", message)));
                }
                // What is refused for good may be a resource that lists do not show yet, until the end of the wait.
                Look::Refused(failure) if over => {
                    let failure = unseen(connection, (kind, resource), id, &under, failure);
                    return self.end_wait(begun, wait, Outcome::Failure(failure));
                }
                // Nothing was seen: that the time is over says nothing about the resource.
                Look::Pending | Look::Refused(_) | Look::Unseen => {}
            }
        }
        if found.is_some() {
            // The event came, the resource does not show it yet. The same event must not wake us for ever.
            wait.event = None;
        }
        wait.poll_at = Some(self.next_poll(begun.started_at));
        Err(self.wait_on(begun, wait, seen))
    }

    fn settling_events(&self, connection: &Connection, resource: &Resource, id: &str) -> EventFilter {
        EventFilter {
            connection: connection.name.clone(),
            types: resource.events.clone(),
            subject: Some(id.to_owned()),
            matching: crate::model::event::Matching::default(),
            after: self.run.since_mark,
            since: None,
            except: Vec::new(),
        }
    }

    fn look_at_resource(&self, connection: &Arc<Connection>, resource: &Resource, id: &str, under: &Map) -> Look {
        let missing = || Failure::new("unsupported", format!("there is no endpoint `{}`", resource.retrieve));
        let prepared = connection
            .connector
            .endpoint(&resource.retrieve)
            .ok_or_else(missing)
            .and_then(|endpoint| {
                let args = asks_for(endpoint, resource, id, under)?;
                Ok((endpoint, prepare(connection, endpoint, &args, None)?))
            });
        let (endpoint, prepared) = match prepared {
            Ok(prepared) => prepared,
            Err(failure) => return Look::Refused(failure),
        };
        self.count_request(connection);
        match self.ask(connection, endpoint, &prepared.request) {
            Verdict::Applied { value, .. } => {
                let shown = shown_in(endpoint, resource, id, &value);
                match shown.filter(|shown| resource.stage_of(shown) != Stage::Pending) {
                    Some(settled) => Look::Settled(settled.clone()),
                    None => Look::Pending,
                }
            }
            Verdict::NotApplied {
                failure,
                retry: None,
                refused: false,
            } => Look::Refused(failure),
            // The credentials may be corrected, the network may come back.
            Verdict::NotApplied { .. } | Verdict::Unknown { .. } | Verdict::Contradiction { .. } => Look::Unseen,
        }
    }

    /// Rare at first sight, then rarer: an eighth of the time waited so far, within the bounds of the settings.
    fn next_poll(&self, started_at: Option<Instant>) -> Instant {
        let settings = &self.services.settings;
        let now = self.now();
        let waited = started_at
            .and_then(|start| (now - start).to_std().ok())
            .unwrap_or_default();
        let pause = (waited / 8).max(settings.poll_first).min(settings.poll_ceiling);
        now + TimeDelta::from_std(pause).unwrap_or(TimeDelta::MAX)
    }

    /// An event that no other wait of this run was given: branches may wait for the same kind at the same time.
    fn find_untaken_event(&self, filter: &EventFilter) -> Result<(Option<Event>, EventMark), Thrown> {
        loop {
            let (found, seen) = self.find_event(EventFilter {
                except: self.events_taken(),
                ..filter.clone()
            })?;
            match found {
                Some(event) if !self.take_event(&event.provider_id) => {}
                found => return Ok((found, seen)),
            }
        }
    }

    fn find_event(&self, filter: EventFilter) -> Result<(Option<Event>, EventMark), Thrown> {
        self.block_on(self.services.store.find_event(filter))
            .map_err(|error| self.interrupt(Interrupt::StoreDown(error)))
    }

    /// The end of a wait that begins now. A clock that was set back since the claim ends none before it began.
    fn ends_after(&self, timeout: TimeDelta) -> Instant {
        let begins = self.now().max(self.claimed_at);
        begins.checked_add_signed(timeout).unwrap_or(Instant::MAX_UTC)
    }

    /// The same of one that does not begin while nobody knows what time it is: it would end days late.
    fn deadline(&self, timeout: TimeDelta) -> Result<Instant, Thrown> {
        match self.services.time_is_right() {
            true => Ok(self.ends_after(timeout)),
            false => Err(self.pause_until(self.now() + DOUBT_PAUSE)),
        }
    }

    fn waiting(&self, begun: &Begun) -> Result<Standing, Thrown> {
        match &begun.phase {
            None => Ok(Standing::New),
            Some(Phase::Waiting(wait)) => Ok(Standing::Waiting(wait.clone())),
            // A person said to ask again.
            Some(Phase::Trying { .. }) if begun.step.name == APPROVAL => Ok(Standing::New),
            Some(Phase::Done(outcome)) => Ok(Standing::Ended(outcome.clone())),
            Some(_) => Err(self.unfit(&begun.path)),
        }
    }

    fn wait_on(&self, begun: Begun, wait: Wait, seen: EventMark) -> Thrown {
        // Past the deadline only a look can end the wait.
        let wake_at = match wait.poll_at {
            Some(poll) if self.now() < wait.deadline => poll.min(wait.deadline),
            Some(poll) => poll,
            None => wait.deadline,
        };
        self.wait_from(begun, wait, wake_at, seen)
    }

    /// Waits on, and wakes at this time whatever the wait says of it.
    fn wait_from(&self, begun: Begun, wait: Wait, wake_at: Instant, seen: EventMark) -> Thrown {
        let wake_at = self.look_again_at(wake_at);
        let known = matches!(&begun.phase, Some(Phase::Waiting(known)) if *known == wait);
        let waits_for = wait.event.iter().cloned().collect();
        if !known
            && let Err(thrown) = self.ride(Entry::Waiting {
                path: begun.path,
                step: begun.step,
                wait,
            })
        {
            return thrown;
        }
        self.interrupt(Interrupt::Waiting {
            wake_at,
            waits_for,
            seen,
        })
    }

    /// A wait that ends at once still has a beginning in the journal.
    fn end_wait(&self, begun: Begun, wait: Wait, outcome: Outcome) -> Result<Value, Thrown> {
        if !matches!(begun.phase, Some(Phase::Waiting(_))) {
            self.ride(Entry::Waiting {
                path: begun.path.clone(),
                step: begun.step,
                wait,
            })?;
        }
        self.ride(Entry::Outcome {
            path: begun.path,
            outcome: outcome.clone(),
        })?;
        recorded(outcome)
    }
}

/// The arguments that ask for a resource, under the account that it shows itself.
pub(super) fn asks_for(endpoint: &Endpoint, resource: &Resource, id: &str, under: &Map) -> Result<Map, Failure> {
    let mut args = match &resource.param {
        Some(param) => Map::from([(param.clone(), Value::text(id))]),
        None => arguments(endpoint, &[Value::text(id)])?,
    };
    args.extend(under.clone());
    Ok(args)
}

/// The resource in an answer. What a list does not show, or shows twice, has not settled as far as anybody knows.
pub(super) fn shown_in<'v>(endpoint: &Endpoint, resource: &Resource, id: &str, answer: &'v Value) -> Option<&'v Value> {
    match endpoint.lists() {
        true => resource.one_of(page::items(endpoint, answer), id),
        false => Some(answer),
    }
}

/// Why a wait ends for a resource that the provider refused to show. Where a connection acts for several accounts, it may
/// have been asked for another one's: that is no word about the resource.
fn unseen(
    connection: &Connection,
    (kind, resource): (&str, &Resource),
    id: &str,
    under: &Map,
    failure: Failure,
) -> Failure {
    let retrieve = connection.connector.endpoint(&resource.retrieve);
    let acts_for_several = retrieve.is_some_and(|endpoint| endpoint.params.iter().any(|param| param.common));
    // It was asked for under the account that it shows itself: then the answer is one.
    if !acts_for_several || !under.is_empty() {
        return failure;
    }
    let message = format!(
        "{kind} {id} was not shown to the account of connection `{}`: {}",
        connection.name, failure.message
    );
    Failure::new("timeout", message)
}

/// A wait for nothing but this time.
fn until(deadline: Instant) -> Wait {
    Wait {
        deadline,
        poll_at: None,
        event: None,
        approval: None,
    }
}

/// What a look at a resource showed.
enum Look {
    Settled(Value),
    Pending,
    Refused(Failure),
    Unseen,
}

enum Standing {
    New,
    Waiting(Wait),
    Ended(Outcome),
}
