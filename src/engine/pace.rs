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
use crate::model::breaker::{Cause, Tripped};
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
        self.pass_gate(begun, is_first, connection)?;
        self.take_place(begun, is_first, connection)
    }

    /// Lets a read begin, or ends the turn until it may: only a key that is refused holds it.
    pub(super) fn may_read(&self, begun: &Begun, is_first: bool, connection: &Connection) -> Result<(), Thrown> {
        self.pass_if_admitted(begun, is_first, connection)?;
        self.take_place(begun, is_first, connection)
    }

    /// The same for what was begun: it waits until our key is not refused any more.
    pub(super) fn pass_if_admitted(
        &self,
        begun: &Begun,
        is_first: bool,
        connection: &Connection,
    ) -> Result<(), Thrown> {
        if self.services.pace.on(connection, |line| line.breaker.refuses()) {
            self.pass_gate(begun, is_first, connection)?;
        }
        Ok(())
    }

    fn pass_gate(&self, begun: &Begun, is_first: bool, connection: &Connection) -> Result<(), Thrown> {
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
            None => Ok(()),
        }
    }

    /// Our credentials were refused by one call. If a read that any key may make is refused, too, it is the key: then
    /// nothing more is asked on this connection until it works. The first step that met it needs a person: none. The
    /// others are held until a time.
    pub(super) fn refused_until(&self, connection: &Connection) -> Option<Instant> {
        let settings = connection.pace.breaker;
        if settings.failures == 0 {
            return None;
        }
        let until = |line: &mut Line| {
            let tripped = line.breaker.tripped().filter(|_| line.breaker.refuses());
            tripped.map(|tripped| tripped.probe_at)
        };
        if let Some(known) = self.services.pace.on(connection, until) {
            return Some(known);
        }
        let Some((Cause::Credentials, reason)) = self.ask_harmlessly(connection) else {
            return None;
        };
        let now = self.now();
        let (news, tripped) = self.services.pace.on(connection, |line| {
            let news = line.breaker.refused(&connection.name, settings, &reason, now);
            (news, line.breaker.tripped().cloned())
        });
        if news {
            tracing::warn!(
                connection = connection.name,
                reason,
                "nothing is asked until the key works"
            );
            self.remember(connection, tripped);
            return None;
        }
        self.services.pace.on(connection, until)
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
        if matches!(verdict, Verdict::Applied { .. }) && !endpoint.public {
            let now = self.now();
            let works = self.services.pace.on(connection, |line| line.breaker.admitted(now));
            if works {
                self.remember(connection, None);
            }
        }
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
        let found = self.ask_harmlessly(connection);
        let found = found.as_ref().map(|(cause, reason)| (*cause, reason.as_str()));
        let (settings, now) = (connection.pace.breaker, self.now());
        let tripped = self.services.pace.on(connection, |line| {
            line.breaker.probed(settings, found, now);
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

    /// Sends the read that changes nothing and that any key may make. What is wrong, if something is; with nothing to
    /// ask, the pause alone has to do.
    fn ask_harmlessly(&self, connection: &Connection) -> Option<(Cause, String)> {
        let read = connection.connector.harmless_read()?;
        let request = prepare(connection, read, &Map::new(), None).ok()?.request;
        self.count_request(connection);
        let answer = self.block_on(self.services.client.send(connection, read, &request, None));
        let verdict = match &answer {
            Ok(answer) => classify(&connection.connector, read, &request, None, answer),
            Err(error) => classify_error(read, error),
        };
        match verdict {
            Verdict::NotApplied {
                failure, refused: true, ..
            } if connection.credential.is_some() => {
                Some((Cause::Credentials, format!("its key was refused: {}", failure.message)))
            }
            Verdict::NotApplied {
                failure, refused: true, ..
            } => Some((Cause::Credentials, failure.message)),
            verdict => trouble(&answer, &verdict).map(|reason| (Cause::Trouble, reason)),
        }
    }

    /// A later process has to know; this one does.
    fn remember(&self, connection: &Connection, tripped: Option<Tripped>) {
        let kept = self.block_on(self.services.store.set_breaker(connection.name.clone(), tripped));
        if let Err(error) = kept {
            tracing::warn!(connection = connection.name, %error, "a restart would not know how the connection stands");
        }
    }

    /// Why nothing new is begun on a connection.
    pub(super) fn why_held(&self, connection: &Connection) -> String {
        let why = self.services.pace.on(connection, |line| {
            let tripped = line.breaker.tripped();
            tripped.map_or_else(String::new, |tripped| format!(": {}", tripped.reason))
        });
        if self.services.pace.on(connection, |line| line.breaker.refuses()) {
            return format!(
                "not sent, nothing can be asked on connection `{}`{why}",
                connection.name
            );
        }
        format!(
            "not sent, connection `{}` is in trouble and nothing new is begun on it{why}",
            connection.name
        )
    }

    /// Ends the turn until then. The step says why, once: that it is held again is no news.
    pub(super) fn hold(&self, begun: &Begun, is_first: bool, until: Instant, reason: String) -> Thrown {
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
