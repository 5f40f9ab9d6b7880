//! Calls to a provider: reads, and what reads and effects have in common.
//!
//! A read is recorded when it has an answer, and asked again after a durable pause while it has none. Effects are
//! `effect`'s. No pause here is a sleeping thread.

use std::sync::Arc;

use chrono::TimeDelta;

use super::alone::Still;
use super::backoff::Reason;
use super::interrupt::Interrupt;
use super::turn::{Begun, Turn, recorded};
use crate::base::clock::Instant;
use crate::connector::connection::Connection;
use crate::connector::reply::{RetryHint, Verdict};
use crate::connector::request::prepare;
use crate::connector::table::{Effect, Endpoint};
use crate::model::journal::{Doubt, Entry, Failure, Outcome, Phase, Retry, StoredRequest};
use crate::model::run::EventMark;
use crate::model::value::{Map, Value, typed_map_text};
use crate::script::Thrown;

impl Turn {
    /// Calls an endpoint with the arguments the script gave it.
    pub(super) fn call(&self, connection: &Arc<Connection>, endpoint: &Endpoint, args: &Map) -> Result<Value, Thrown> {
        match endpoint.effect {
            Effect::Read => self.read(connection, endpoint, args, |answer| answer),
            Effect::Write | Effect::MovesMoney => self.effect(connection, endpoint, args, None),
        }
    }

    /// The same of an effect that is only sent while what was read before holds still.
    pub(super) fn call_while(
        &self,
        connection: &Arc<Connection>,
        endpoint: &Endpoint,
        args: &Map,
        still: Option<Still<'_>>,
    ) -> Result<Value, Thrown> {
        match endpoint.effect {
            Effect::Read => self.call(connection, endpoint, args),
            Effect::Write | Effect::MovesMoney => self.effect(connection, endpoint, args, still),
        }
    }

    pub(super) fn begin_call(&self, connection: &Connection, endpoint: &Endpoint, args: &Map) -> Result<Begun, Thrown> {
        let name = format!("{}.{}", connection.name, endpoint.name);
        self.begin(&name, String::new(), &typed_map_text(args))
    }

    /// A read: recorded when it has an answer, repeated after a pause while it has none.
    /// `keep` is what of the answer is recorded, and told.
    pub(super) fn read(
        &self,
        connection: &Arc<Connection>,
        endpoint: &Endpoint,
        args: &Map,
        keep: impl FnOnce(Value) -> Value,
    ) -> Result<Value, Thrown> {
        let mut begun = self.begin_call(connection, endpoint, args)?;
        let attempts = match begun.phase.take() {
            None => 0,
            Some(Phase::Done(outcome)) => return recorded(outcome),
            Some(Phase::Trying { attempts, next_at }) => {
                self.rest(&begun, next_at)?;
                attempts
            }
            Some(Phase::Doubt { doubt, .. }) => return Err(self.park(&doubt.code, doubt.message)),
            Some(_) => return Err(self.unfit(&begun.path)),
        };
        let prepared = match prepare(connection, endpoint, args, None) {
            Ok(prepared) => prepared,
            Err(failure) => return self.conclude_read(begun, self.now(), Outcome::Failure(failure)),
        };
        begun.step.summary.clone_from(&prepared.summary);
        let began = begun.started_at.unwrap_or_else(|| self.now());
        self.may_read(&begun, connection)?;
        match self.ask(connection, endpoint, &prepared.request) {
            Verdict::Applied { value, .. } => self.conclude_read(begun, began, Outcome::Value(keep(value))),
            Verdict::NotApplied {
                failure, refused: true, ..
            } => match self.refused_until(connection) {
                None => Err(self.refused(&begun, connection, &failure.message)),
                Some(until) => Err(self.hold(&begun, until, &self.why_held(connection))),
            },
            Verdict::NotApplied {
                failure,
                retry: Some(hint),
                ..
            } => self.try_again(begun, began, attempts, hint, failure),
            Verdict::NotApplied {
                failure, retry: None, ..
            } => self.conclude_read(begun, began, Outcome::Failure(failure)),
            Verdict::Unknown { reason, retry } => self.try_again(
                begun,
                began,
                attempts,
                retry.unwrap_or_default(),
                Failure::new("provider_unavailable", reason),
            ),
            Verdict::Contradiction { reason } => self.conclude_read(
                begun,
                began,
                Outcome::Failure(Failure::new("unreadable_answer", reason)),
            ),
        }
    }

    /// One request that changes nothing, with what its answer means. Also for looking at a resource in a wait.
    pub(super) fn ask(&self, connection: &Connection, endpoint: &Endpoint, request: &StoredRequest) -> Verdict {
        let answer = self.block_on(self.services.client.send(connection, endpoint, request, None));
        self.verdict(connection, endpoint, request, None, &answer)
    }

    fn conclude_read(&self, begun: Begun, began: Instant, outcome: Outcome) -> Result<Value, Thrown> {
        self.ride(Entry::Done {
            path: begun.path,
            step: begun.step,
            outcome: outcome.clone(),
            began: Some(began),
        })?;
        recorded(outcome)
    }

    fn try_again(
        &self,
        begun: Begun,
        began: Instant,
        attempts: u32,
        hint: RetryHint,
        failure: Failure,
    ) -> Result<Value, Thrown> {
        if attempts + 1 >= self.services.settings.backoff.attempts_max || self.is_late(&begun) {
            return self.conclude_read(begun, began, Outcome::Failure(failure));
        }
        let at = self.next_attempt_at(attempts + 1, hint);
        let retry = Retry {
            attempt: attempts + 1,
            unknown: false,
            reason: failure.message,
            at,
            look_up: false,
            waits: false,
        };
        self.ride(Entry::Retry {
            path: begun.path,
            step: begun.step,
            retry,
        })?;
        Err(self.pause_until(at))
    }

    fn refused(&self, begun: &Begun, connection: &Connection, message: &str) -> Thrown {
        self.doubt_at(begun, "refused", &refusal(connection, message))
    }

    pub(super) fn doubt_at(&self, begun: &Begun, code: &str, message: &str) -> Thrown {
        let doubt = Doubt {
            code: code.to_owned(),
            message: message.to_owned(),
        };
        let entry = Entry::InDoubt {
            path: begun.path.clone(),
            step: begun.step.clone(),
            doubt,
        };
        match self.ride(entry) {
            Ok(()) => self.park(code, format!("step {}: {message}", begun.path)),
            Err(thrown) => thrown,
        }
    }

    /// Ends the turn until a time.
    pub(super) fn pause_until(&self, wake_at: Instant) -> Thrown {
        self.interrupt(Interrupt::Waiting {
            wake_at,
            waits_for: Vec::new(),
            seen: EventMark::default(),
        })
    }

    /// Whether a step has been tried for as long as it may be. While it was held it was not tried.
    pub(super) fn is_late(&self, begun: &Begun) -> bool {
        let total = TimeDelta::from_std(self.services.settings.backoff.total).unwrap_or(TimeDelta::MAX);
        let is_over = begun.since.is_some_and(|since| self.now() - since >= total);
        is_over && !begun.is_held && self.services.time_is_right()
    }

    pub(super) fn next_attempt_at(&self, attempt: u32, hint: RetryHint) -> Instant {
        let reason = if hint.too_fast { Reason::TooFast } else { Reason::Fault };
        let pause = self
            .services
            .settings
            .backoff
            .pause(attempt, reason, hint.after, fastrand::u32(..));
        self.now() + TimeDelta::from_std(pause).unwrap_or(TimeDelta::MAX)
    }
}

/// What a person has to do before this connection can be used.
pub(super) fn refusal(connection: &Connection, message: &str) -> String {
    let then = "restart the daemon if one runs, and have the step tried again";
    if connection.credential.is_none() {
        return format!("{message}, so nothing was sent. Name the key in bursar.toml, {then}");
    }
    format!(
        "the key of connection `{}` was refused: {message}. Correct the key or its scopes, {then}",
        connection.name
    )
}
