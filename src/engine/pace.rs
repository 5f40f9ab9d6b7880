//! How fast a connection is asked, and whether anything new is begun on it.
//!
//! Both are decided before an intent is written, so that a step that waits for its place, or for a provider in trouble,
//! is not one of unknown outcome. No thread sleeps for long: a longer wait is a pause of the run. What has to be found
//! out about an effect that was begun is counted and never held.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::TimeDelta;

use super::breaker::{Breaker, Gate};
use super::rate::Rate;
use super::turn::{Begun, Turn};
use crate::base::clock::Instant;
use crate::base::ids::RunId;
use crate::connector::client::SendError;
use crate::connector::connection::Connection;
use crate::connector::reply::{RawAnswer, Verdict, classify, classify_error};
use crate::connector::request::prepare;
use crate::connector::table::{Effect, Endpoint};
use crate::model::breaker::Tripped;
use crate::model::journal::{Entry, Retry, StepPath, StoredRequest};
use crate::model::policy::Movement;
use crate::model::value::Map;
use crate::script::Thrown;

/// The longest a thread waits for its place.
const THREAD_PATIENCE: Duration = Duration::from_millis(250);

/// A step that waits for its place.
type Place = (RunId, StepPath);

/// What is known of one connection.
#[derive(Default)]
struct Line {
    breaker: Breaker,
    rate: Option<Rate<Place>>,
}

/// What is known of every connection.
#[derive(Default)]
pub(super) struct Pace(Mutex<BTreeMap<String, Line>>);

impl Pace {
    /// As an earlier process left it.
    pub(super) fn new<'a>(connections: impl Iterator<Item = &'a Arc<Connection>>, tripped: Vec<Tripped>) -> Self {
        let mut tripped: BTreeMap<String, Tripped> = tripped
            .into_iter()
            .map(|tripped| (tripped.connection.clone(), tripped))
            .collect();
        let line = |connection: &Arc<Connection>| {
            let rate = connection.requests_per_second().and_then(NonZeroU32::new);
            let line = Line {
                breaker: Breaker::new(tripped.remove(&connection.name)),
                rate: rate.map(Rate::new),
            };
            (connection.name.clone(), line)
        };
        Self(Mutex::new(connections.map(line).collect()))
    }

    fn on<T>(&self, connection: &Connection, act: impl FnOnce(&mut Line) -> T) -> T {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        act(lines.entry(connection.name.clone()).or_default())
    }
}

impl Turn {
    /// Lets a new effect begin, or ends the turn until it may: when the provider is in trouble, or its place has not come.
    pub(super) fn may_begin(&self, begun: &Begun, is_first: bool, connection: &Connection) -> Result<(), Thrown> {
        let settings = connection.pace.breaker;
        let gate = self
            .services
            .pace
            .on(connection, |line| line.breaker.gate(settings, self.now()));
        let until = match gate {
            Gate::Open => None,
            Gate::Held(until) => Some(until),
            Gate::Probe => self.probe(connection),
        };
        match until {
            Some(until) => Err(self.hold(begun, is_first, until, self.why_held(connection))),
            None => self.take_place(begun, is_first, connection),
        }
    }

    /// Waits for the place of a request, or ends the turn until it comes; the step then says why, if it is its first.
    pub(super) fn take_place(&self, begun: &Begun, is_first: bool, connection: &Connection) -> Result<(), Thrown> {
        let now = self.services.clock.elapsed();
        let who = (self.run.id, begun.path.clone());
        let place = self.services.pace.on(connection, |line| {
            let rate = line.rate.as_mut();
            rate.map_or(Ok(Duration::ZERO), |rate| rate.take(&who, now, THREAD_PATIENCE))
        });
        match place {
            Ok(Duration::ZERO) => Ok(()),
            Ok(wait) => {
                self.block_on(self.services.clock.sleep(wait));
                Ok(())
            }
            Err(wait) => {
                let until = self.now() + TimeDelta::from_std(wait).unwrap_or(TimeDelta::MAX);
                let reason = format!(
                    "not sent yet, others come first: the limit of connection `{}` is {} a second (`requests_per_second`)",
                    connection.name,
                    connection.requests_per_second().unwrap_or_default()
                );
                Err(self.hold(begun, is_first, until, reason))
            }
        }
    }

    /// Counts a request that cannot wait.
    pub(super) fn count_request(&self, connection: &Connection) {
        let now = self.services.clock.elapsed();
        self.services.pace.on(connection, |line| {
            if let Some(rate) = &mut line.rate {
                rate.count(now);
            }
        });
    }

    /// What an attempt came to; the connection's breaker hears it too.
    pub(super) fn verdict(
        &self,
        connection: &Connection,
        endpoint: &Endpoint,
        request: &StoredRequest,
        movement: Option<&Movement>,
        answer: &Result<RawAnswer, SendError>,
    ) -> Verdict {
        let verdict = match answer {
            Ok(answer) => classify(&connection.connector, endpoint, request, movement, answer),
            Err(error) => classify_error(endpoint, error),
        };
        // Nothing was asked.
        if matches!(answer, Err(SendError::NoCredential(_))) {
            return verdict;
        }
        let trouble = trouble(answer, &verdict);
        let (changes, settings, now) = (endpoint.effect != Effect::Read, connection.pace.breaker, self.now());
        let tripped = self.services.pace.on(connection, |line| {
            let trips = line
                .breaker
                .heard(&connection.name, settings, changes, trouble.as_deref(), now);
            line.breaker.tripped().filter(|_| trips).cloned()
        });
        if let Some(tripped) = tripped {
            tracing::warn!(
                connection = connection.name,
                reason = tripped.reason,
                "{} calls in a row without a usable answer: nothing new is begun until one is answered",
                settings.failures
            );
            self.remember(connection, Some(tripped));
        }
        verdict
    }

    /// Asks a provider in trouble by a read that changes nothing. Until when effects are held if it still is.
    fn probe(&self, connection: &Connection) -> Option<Instant> {
        let read = connection.connector.harmless_read();
        let request = read.and_then(|read| Some((read, prepare(connection, read, &Map::new(), None).ok()?.request)));
        // With nothing to ask, the pause alone has to do.
        let trouble = request.and_then(|(read, request)| {
            self.count_request(connection);
            let answer = self.block_on(self.services.client.send(connection, read, &request, None));
            let verdict = match &answer {
                Ok(answer) => classify(&connection.connector, read, &request, None, answer),
                Err(error) => classify_error(read, error),
            };
            trouble(&answer, &verdict)
        });
        let (settings, now) = (connection.pace.breaker, self.now());
        let tripped = self.services.pace.on(connection, |line| {
            line.breaker.probed(settings, trouble.as_deref(), now);
            line.breaker.tripped().cloned()
        });
        if tripped.is_none() {
            tracing::info!(
                connection = connection.name,
                "it answers again: effects begin, and the first that goes wrong ends that"
            );
        }
        let until = tripped.as_ref().map(|tripped| tripped.probe_at);
        self.remember(connection, tripped);
        until
    }

    /// A later process has to know; this one does.
    fn remember(&self, connection: &Connection, tripped: Option<Tripped>) {
        let kept = self.block_on(self.services.store.set_breaker(connection.name.clone(), tripped));
        if let Err(error) = kept {
            tracing::warn!(connection = connection.name, %error, "a restart would not know how the connection stands");
        }
    }

    /// Why nothing new is begun on a connection.
    fn why_held(&self, connection: &Connection) -> String {
        let why = self.services.pace.on(connection, |line| {
            let tripped = line.breaker.tripped();
            tripped.map_or_else(String::new, |tripped| format!(": {}", tripped.reason))
        });
        format!(
            "not sent, connection `{}` is in trouble and nothing new is begun on it{why}",
            connection.name
        )
    }

    /// Ends the turn until then. The step says why, once: that it is held again is no news.
    fn hold(&self, begun: &Begun, is_first: bool, until: Instant, reason: String) -> Thrown {
        let retry = Retry {
            attempt: 0,
            unknown: false,
            reason,
            at: until,
            look_up: false,
        };
        let entry = Entry::Retry {
            path: begun.path.clone(),
            step: begun.step.clone(),
            retry,
        };
        match if is_first { self.ride(entry) } else { Ok(()) } {
            Ok(()) => self.pause_until(until),
            Err(thrown) => thrown,
        }
    }
}

/// What was wrong with an exchange, if the provider itself seems to be in trouble.
fn trouble(answer: &Result<RawAnswer, SendError>, verdict: &Verdict) -> Option<String> {
    let in_trouble = match answer {
        Err(SendError::NoCredential(_)) => false,
        Err(_) => true,
        Ok(answer) => answer.status >= 500 || answer.status < 300 && matches!(verdict, Verdict::Unknown { .. }),
    };
    let said = match verdict {
        Verdict::Unknown { reason, .. } | Verdict::Contradiction { reason } => reason.clone(),
        Verdict::NotApplied { failure, .. } => failure.message.clone(),
        Verdict::Applied { .. } => String::new(),
    };
    in_trouble.then_some(said)
}
