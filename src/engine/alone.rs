//! One at a time: what has to be known before something is sent, and that nobody else does the same meanwhile.
//!
//! The name a step goes on under alone is durable before it reads. Taken together with the intent, two runs could both
//! read what there is, go one after the other, and the second would take what the first did for its own. Sends nothing.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;

use super::effect::{Open, Ready};
use super::interrupt::Interrupt;
use super::look_up::needs_before;
use super::step::refusal;
use super::turn::{Begun, Turn, recorded};
use crate::base::clock::Instant;
use crate::base::guard::{Guard, holds};
use crate::connector::connection::Connection;
use crate::connector::lookup::{Known, before, exclusive_name, hindrance, known};
use crate::connector::reply::{RetryHint, Verdict};
use crate::connector::request::prepare;
use crate::connector::table::Endpoint;
use crate::model::journal::{Entry, Failure, Intent, Outcome, Retry, StoredRequest};
use crate::model::value::{Map, Value};
use crate::script::Thrown;
use crate::store::{Exclusion, Holder, StoreError};

/// The longest pause before another look whether a step that does the same has ended.
const WAIT_MAX: TimeDelta = TimeDelta::seconds(60);

/// A step that is alone with what it does, and knows what there is.
pub(super) struct Alone {
    /// The name it has alone, if it needs one.
    pub(super) name: Option<String>,
    /// What has to be known before it is sent.
    pub(super) known: Known,
    /// Why it may not be sent, as things are.
    pub(super) hindrance: Option<Failure>,
}

/// What was read before something is sent.
struct Seen {
    known: Known,
    hindrance: Option<Failure>,
}

impl Turn {
    /// Lets the step go on alone, with what has to be known before it is sent. Nothing was sent yet: of a new step, or
    /// anew where absence was proved. A name that the request says is asked for first: who waits for it asks the provider
    /// for nothing. An error: it cannot be done.
    pub(super) fn alone(
        &self,
        begun: &Begun,
        connection: &Arc<Connection>,
        endpoint: &Endpoint,
        draft: &Intent,
        ready: Ready,
    ) -> Result<Result<Alone, Failure>, Thrown> {
        let mut intent = draft.clone();
        let by_what_is_read = endpoint.named_by_before();
        if by_what_is_read {
            self.may_begin(begun, connection)?;
            match self.read_before(begun, connection, endpoint, &intent, ready)? {
                Ok(seen) => intent.before = seen.known,
                Err(failure) => return Ok(Err(failure)),
            }
        }
        let name = match exclusive_name(endpoint, &intent) {
            Ok(name) => name,
            Err(failure) => return Ok(Err(failure)),
        };
        if let Some(name) = name.as_ref().filter(|_| holds(Guard::Exclusive)) {
            self.exclude(begun, connection, (name, rest(endpoint)), ready)?;
        }
        if !by_what_is_read {
            self.may_begin(begun, connection)?;
        }
        let Seen { known, hindrance } = match self.read_before(begun, connection, endpoint, &intent, ready)? {
            Ok(seen) => seen,
            Err(failure) => return Ok(Err(failure)),
        };
        if by_what_is_read {
            intent.before.clone_from(&known);
            if exclusive_name(endpoint, &intent).ok() != Some(name.clone()) {
                let reason = "what only one at a time may do has another name now".to_owned();
                return Err(self.wait_at_first(begun, ready, None, reason));
            }
        }
        Ok(Ok(Alone { name, known, hindrance }))
    }

    /// Takes the name, durably, or waits for the step that has it.
    fn exclude(
        &self,
        begun: &Begun,
        connection: &Connection,
        (name, rest): (&str, Duration),
        ready: Ready,
    ) -> Result<(), Thrown> {
        let exclusion = Exclusion {
            step: begun.path.clone(),
            connection: connection.name.clone(),
            name: name.to_owned(),
            rest,
            now: self.now(),
        };
        // An older state of the store does not know who had it last.
        let restored = self.services.restored();
        let shown_at = restored.map(|restored| restored.sent_until() + TimeDelta::from_std(rest).unwrap_or_default());
        if let Some(at) = shown_at.filter(|at| self.now() < *at) {
            let reason =
                "what was done before an older state of the store was put back may not be shown yet".to_owned();
            return Err(self.wait_at_first(begun, ready, Some(at), reason));
        }
        // The wall clock may have been set ahead since.
        let rests = self.services.rests(&connection.name, name, rest);
        if let Some(left) = rests.filter(|_| holds(Guard::RestsElapsed)) {
            let reason = "the same was done just now, and may not be shown yet".to_owned();
            let at = self.now() + TimeDelta::from_std(left).unwrap_or_default();
            return Err(self.wait_at_first(begun, ready, Some(at), reason));
        }
        self.driven()?;
        match self.block_on(self.services.store.exclude(&self.lease, exclusion)) {
            Ok(None) => Ok(()),
            Ok(Some(holder)) => {
                let (free_at, reason) = held_by(&holder);
                Err(self.wait_at_first(begun, ready, free_at, reason))
            }
            Err(StoreError::LeaseLost { .. }) => Err(self.interrupt(Interrupt::LeaseLost)),
            Err(error) => Err(self.interrupt(Interrupt::StoreDown(error))),
        }
    }

    fn read_before(
        &self,
        begun: &Begun,
        connection: &Arc<Connection>,
        endpoint: &Endpoint,
        intent: &Intent,
        ready: Ready,
    ) -> Result<Result<Seen, Failure>, Thrown> {
        let nothing = Seen {
            known: Known::new(),
            hindrance: None,
        };
        let (read, request) = match before(connection, endpoint, intent) {
            Ok(Some(asked)) => asked,
            Ok(None) => return Ok(Ok(nothing)),
            Err(failure) => return Ok(Err(failure)),
        };
        let value = match self.read_now(begun, connection, (read, &request), ready)? {
            Ok(value) => value,
            Err(failure) => return Ok(Err(failure)),
        };
        let hindrance = hindrance(endpoint, intent, &value);
        // What hinders it may also hide what has to be known: that is told then.
        Ok(match (known(endpoint, &value), hindrance) {
            (Ok(known), hindrance) => Ok(Seen { known, hindrance }),
            (Err(_), Some(hindrance)) => Err(hindrance),
            (Err(unreadable), None) => Err(unreadable),
        })
    }

    /// Reads what there is, without a record. An error: it cannot be read, and nothing is sent.
    fn read_now(
        &self,
        begun: &Begun,
        connection: &Connection,
        (read, request): (&Endpoint, &StoredRequest),
        ready: Ready,
    ) -> Result<Result<Value, Failure>, Thrown> {
        let give_up = |reason: &str, hint: RetryHint| {
            let reason = format!("what there is cannot be seen: {reason}");
            self.give_up_at_first(begun, ready, (reason, hint)).map(Err)
        };
        self.count_request(connection);
        match self.ask(connection, read, request) {
            Verdict::Applied { value, .. } => Ok(Ok(value)),
            Verdict::NotApplied {
                failure, refused: true, ..
            } => Err(self.refused_at_first(begun, connection, &failure.message)),
            Verdict::NotApplied { failure, retry, .. } => match retry {
                None => Ok(Err(failure)),
                Some(hint) => give_up(&failure.message, hint),
            },
            Verdict::Unknown { reason, retry } => give_up(&reason, retry.unwrap_or_default()),
            Verdict::Contradiction { reason } => Ok(Err(Failure::new("unreadable_answer", reason))),
        }
    }

    /// The same for what goes out again: what cannot be read now is waited for.
    fn read_later(
        &self,
        open: &Open<'_>,
        (read, request): (&Endpoint, &StoredRequest),
    ) -> Result<Result<Value, Failure>, Thrown> {
        let wait = |reason: &str, hint: RetryHint| {
            Err(self.send_later(open, hint, format!("what there is cannot be seen: {reason}")))
        };
        self.count_request(open.connection);
        match self.ask(open.connection, read, request) {
            Verdict::Applied { value, .. } => Ok(Ok(value)),
            Verdict::NotApplied {
                failure, refused: true, ..
            } => match self.refused_until(open.connection) {
                Some(until) => Err(self.hold_open(open, until, false)),
                None => Err(self.doubt(open, "refused", &refusal(open.connection, &failure.message))),
            },
            Verdict::NotApplied { failure, retry, .. } => match retry {
                None => Ok(Err(failure)),
                Some(hint) => wait(&failure.message, hint),
            },
            Verdict::Unknown { reason, retry } => wait(&reason, retry.unwrap_or_default()),
            Verdict::Contradiction { reason } => Ok(Err(Failure::new("unreadable_answer", reason))),
        }
    }

    /// Our key may not read what there is.
    pub(super) fn refused_at_first(&self, begun: &Begun, connection: &Connection, message: &str) -> Thrown {
        match self.refused_until(connection) {
            Some(until) => self.hold(begun, until, &self.why_held(connection)),
            None => self.doubt_at(begun, "refused", &refusal(connection, message)),
        }
    }

    /// What could not be read is tried again, and given up like a read if nothing can have been sent. Else it waits, and
    /// then a person decides.
    pub(super) fn give_up_at_first(
        &self,
        begun: &Begun,
        ready: Ready,
        (reason, hint): (String, RetryHint),
    ) -> Result<Failure, Thrown> {
        if !ready.is_new() {
            return Err(self.wait_at_first(begun, ready, None, reason));
        }
        let spent = ready.tried + 1 >= self.services.settings.backoff.attempts_max;
        if spent || self.is_late(begun) {
            return Ok(Failure::new(
                "provider_unavailable",
                format!("nothing was sent: {reason}"),
            ));
        }
        let at = self.next_attempt_at(ready.tried + 1, hint);
        Err(self.retry_unsent(begun, at, ready.tried + 1, reason))
    }

    /// Nothing was sent or tried, and it goes on at this time, or in a while. To wait in a while for ever ends after a day:
    /// what was never sent fails, and of what may have been a person decides.
    pub(super) fn wait_at_first(&self, begun: &Begun, ready: Ready, until: Option<Instant>, reason: String) -> Thrown {
        if until.is_none() && self.is_late(begun) {
            let hours = self.services.settings.backoff.total.as_secs() / 3_600;
            let message = format!("`{}` was not done within {hours} hours: {reason}", begun.step.name);
            let ended = self.fail_at_first(begun, ready, Failure::new("given_up", message));
            return ended.err().unwrap_or(Thrown::Interrupt);
        }
        // The longer it waits, the longer it may go on doing so.
        let age = begun.since.map_or(TimeDelta::zero(), |since| self.now() - since);
        let pause = (age / 8).clamp(TimeDelta::seconds(1), WAIT_MAX);
        let at = until.unwrap_or_else(|| self.now() + pause);
        match begun.trouble.as_ref() == Some(&reason) {
            true => self.pause_until(at),
            false => self.retry_unsent(begun, at, 0, reason),
        }
    }

    fn retry_unsent(&self, begun: &Begun, at: Instant, attempt: u32, reason: String) -> Thrown {
        let retry = Retry {
            attempt,
            unknown: false,
            reason,
            at,
            look_up: false,
            waits: attempt == 0,
        };
        let entry = Entry::Retry {
            path: begun.path.clone(),
            step: begun.step.clone(),
            retry,
        };
        match self.ride(entry) {
            Ok(()) => self.pause_until(at),
            Err(thrown) => thrown,
        }
    }

    /// It cannot be done now. What was never sent ends with that; whether what may have been sent has caused it, a person
    /// finds out.
    pub(super) fn fail_at_first(&self, begun: &Begun, ready: Ready, failure: Failure) -> Result<Value, Thrown> {
        if ready.is_new() {
            return self.conclude_at_first(begun, failure);
        }
        let why = match ready.epoch {
            0 => "it may have been sent before an older state of the store was put back, and that cannot be looked for",
            _ => "it was to go out anew, and cannot; the first one may have been done after all",
        };
        Err(self.doubt_at(begun, "in_doubt", &format!("{why}: {}", failure.message)))
    }

    /// It ends with a failure, and nothing was sent.
    pub(super) fn conclude_at_first(&self, begun: &Begun, failure: Failure) -> Result<Value, Thrown> {
        let outcome = Outcome::Failure(failure);
        self.ride(Entry::Done {
            path: begun.path.clone(),
            step: begun.step.clone(),
            outcome: outcome.clone(),
            began: None,
        })?;
        recorded(outcome)
    }
}

impl Turn {
    /// Remembers when what a step did alone was done.
    pub(super) fn ends_alone(&self, connection: &Connection, endpoint: &Endpoint, intent: &Intent) {
        if let Ok(Some(name)) = exclusive_name(endpoint, intent) {
            self.services.ended_alone(&connection.name, name);
        }
    }
}

/// What a step asks of the provider again, without a record, just before it is sent.
pub(super) struct Again<'a> {
    turn: &'a Turn,
    at: At<'a>,
}

/// Where the step stands that asks again.
#[derive(Clone, Copy)]
pub(super) enum At<'a> {
    /// Before its intent.
    First(&'a Begun, Ready),
    /// Before it goes out again, of which every attempt so far is known to have done nothing.
    Later(&'a Open<'a>),
}

/// Looks whether what a step made of others has read in an earlier turn holds still. A failure: it does not, and what
/// was to be sent is not.
pub(super) type Still<'a> = &'a dyn Fn(&Again<'_>) -> Result<Option<Failure>, Thrown>;

impl Again<'_> {
    /// The time now.
    pub(super) fn now(&self) -> Instant {
        self.turn.now()
    }

    /// Reads once more.
    pub(super) fn read(&self, connection: &Connection, endpoint: &Endpoint, args: &Map) -> Result<Value, Thrown> {
        let prepared = prepare(connection, endpoint, args, None).map_err(Thrown::Failure)?;
        let read = match self.at {
            At::First(begun, ready) => self
                .turn
                .read_now(begun, connection, (endpoint, &prepared.request), ready)?,
            At::Later(open) => self.turn.read_later(open, (endpoint, &prepared.request))?,
        };
        read.map_err(Thrown::Failure)
    }

    /// Waits until all is shown that was done before an older state of the store was put back. What goes out again after
    /// that was looked for instead.
    pub(super) fn after_restore(&self, lag: Duration) -> Result<(), Thrown> {
        match (self.at, self.turn.shown_after_restore(lag)) {
            (At::First(begun, ready), Some(at)) => {
                let reason = "what was done before an older state of the store was put back may not be shown yet";
                Err(self.turn.wait_at_first(begun, ready, Some(at), reason.to_owned()))
            }
            _ => Ok(()),
        }
    }
}

impl Turn {
    /// Looks whether what was read before holds still. A failure: nothing is sent.
    pub(super) fn holds_still(&self, still: Option<Still<'_>>, at: At<'_>) -> Result<Option<Failure>, Thrown> {
        let Some(still) = still.filter(|_| holds(Guard::HoldsStill)) else {
            return Ok(None);
        };
        match still(&Again { turn: self, at }) {
            Err(Thrown::Failure(failure)) => Ok(Some(failure)),
            other => other,
        }
    }
}

/// Until when a name is another's, if that is known, and what the history says of it.
pub(super) fn held_by(holder: &Holder) -> (Option<Instant>, String) {
    let Holder { run, step, free_at } = holder;
    let reason = match free_at {
        None => format!("step {step} of {run} does the same now, and one waits for the other"),
        Some(_) => format!("step {step} of {run} did the same, and what it did may not be shown yet"),
    };
    (*free_at, reason)
}

/// For how long what another did may not be shown to this one, where it reads or looks before it is sent.
fn rest(endpoint: &Endpoint) -> Duration {
    let lag = endpoint.lookup.as_ref().map_or(0, |lookup| lookup.visibility_lag_secs);
    let requires = endpoint
        .before
        .as_ref()
        .is_some_and(|before| !before.require.is_empty());
    match needs_before(endpoint) || endpoint.look_first || requires {
        true => Duration::from_secs(lag.into()),
        false => Duration::ZERO,
    }
}
