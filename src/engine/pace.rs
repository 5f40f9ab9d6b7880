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
use super::services::Services;
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
use crate::store::{Answer, StoreError};

/// The longest a thread waits for its place.
const THREAD_PATIENCE: Duration = Duration::from_millis(250);

/// A step that waits for its place.
pub(super) type Place = (RunId, StepPath);

/// What is known of one connection.
#[derive(Default)]
pub(super) struct Line {
    pub(super) breaker: Breaker,
    pub(super) rate: Option<Rate<Place>>,
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
                breaker: Breaker::new(connection.pace.breaker, tripped.remove(&connection.name)),
                rate: rate.map(Rate::new),
            };
            (connection.name.clone(), line)
        };
        Self(Mutex::new(connections.map(line).collect()))
    }

    pub(super) fn on<T>(&self, connection: &Connection, act: impl FnOnce(&mut Line) -> T) -> T {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        act(lines.entry(connection.name.clone()).or_default())
    }
}

impl Services {
    /// The store says of no connection that it is held which is not, because the process that held it is gone.
    pub(super) async fn forget_what_is_not_held(&self) -> Result<(), StoreError> {
        for tripped in self.store.breakers().await? {
            if let Some(connection) = self.connections.get(&tripped.connection) {
                self.remember(connection).await?;
            }
        }
        Ok(())
    }

    /// Keeps how a connection stands: handed over while nobody can change that, so that the last word is the true one.
    pub(super) fn remember(&self, connection: &Connection) -> Answer<'_, ()> {
        self.pace.on(connection, |line| {
            let tripped = line.breaker.tripped().cloned();
            self.store.set_breaker(connection.name.clone(), tripped)
        })
    }
}

impl Turn {
    /// Lets a new effect begin, or ends the turn until it may: when the provider is in trouble, or its place has not come.
    pub(super) fn may_begin(&self, begun: &Begun, connection: &Connection) -> Result<(), Thrown> {
        match self.gate_holds(connection) {
            Some(until) => Err(self.hold(begun, until, &self.why_held(connection))),
            None => self.take_place(begun, connection),
        }
    }

    /// Lets a read begin, or ends the turn until it may: only a key that is refused holds it.
    pub(super) fn may_read(&self, begun: &Begun, connection: &Connection) -> Result<(), Thrown> {
        match self.refused_key_holds(connection) {
            Some(until) => Err(self.hold(begun, until, &self.why_held(connection))),
            None => self.take_place(begun, connection),
        }
    }

    /// Until when nothing at all is asked, because our key is refused. When it is time, that is asked first.
    pub(super) fn refused_key_holds(&self, connection: &Connection) -> Option<Instant> {
        let refuses = self.services.pace.on(connection, |line| line.breaker.refuses());
        refuses.then(|| self.gate_holds(connection)).flatten()
    }

    fn gate_holds(&self, connection: &Connection) -> Option<Instant> {
        let settings = connection.pace.breaker;
        let gate = self
            .services
            .pace
            .on(connection, |line| line.breaker.gate(settings, self.now()));
        match gate {
            Gate::Open => None,
            Gate::Held(until) => Some(until),
            Gate::Probe => self.probe(connection),
        }
    }

    /// Our credentials were refused by one call. If the key is refused by a harmless read, too, it is the key: then
    /// nothing more is asked on this connection until it works. The first step that met it needs a person: none. The
    /// others are held until a time.
    pub(super) fn refused_until(&self, connection: &Connection) -> Option<Instant> {
        let settings = connection.pace.breaker;
        if settings.failures == 0 {
            return None;
        }
        let until = |line: &mut Line| line.breaker.refused_until(settings, self.now());
        if let Some(known) = self.services.pace.on(connection, until) {
            return Some(known);
        }
        let Some((Cause::Credentials, reason)) = self.ask_harmlessly(connection) else {
            return None;
        };
        let now = self.now();
        let news = self.services.pace.on(connection, |line| {
            line.breaker.refused(&connection.name, settings, &reason, now)
        });
        if news {
            tracing::warn!(
                connection = connection.name,
                reason,
                "nothing is asked until the key works"
            );
            self.remember(connection);
            return None;
        }
        self.services.pace.on(connection, until)
    }

    /// Waits for the place of a request, or ends the turn until it comes.
    fn take_place(&self, begun: &Begun, connection: &Connection) -> Result<(), Thrown> {
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
                let why = Held {
                    cause: format!(
                        "not sent yet, others come first: the limit of connection `{}`",
                        connection.name
                    ),
                    detail: format!(
                        " is {} a second (`requests_per_second`)",
                        connection.requests_per_second().unwrap_or_default()
                    ),
                };
                Err(self.hold(begun, until, &why))
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
        self.hear_time(connection, answer);
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
                self.remember(connection);
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
            self.remember(connection);
        }
        verdict
    }

    /// Asks a provider in trouble by a read that changes nothing. Until when effects are held if it still is.
    fn probe(&self, connection: &Connection) -> Option<Instant> {
        let lost = ProbeLost {
            pace: &self.services.pace,
            connection,
        };
        let found = self.ask_harmlessly(connection);
        let found = found.as_ref().map(|(cause, reason)| (*cause, reason.as_str()));
        let (settings, now) = (connection.pace.breaker, self.now());
        let until = self.services.pace.on(connection, |line| {
            line.breaker.probed(settings, found, now);
            line.breaker.tripped().map(|tripped| tripped.probe_at)
        });
        drop(lost);
        self.remember(connection);
        if until.is_none() {
            tracing::info!(
                connection = connection.name,
                "it answers again: effects begin, and the first that goes wrong ends that"
            );
        }
        until
    }

    /// Sends a read that changes nothing. What is wrong, if something is; with nothing to ask, the pause alone has to
    /// do. A 403 tells of the key where every key that works may make the call; elsewhere it is an answer like others.
    fn ask_harmlessly(&self, connection: &Connection) -> Option<(Cause, String)> {
        let read = connection.connector.harmless_read()?;
        let request = prepare(connection, read, &Map::new(), None).ok()?.request;
        self.count_request(connection);
        let answer = self.block_on(self.services.client.send(connection, read, &request, None));
        self.hear_time(connection, &answer);
        let verdict = match &answer {
            Ok(answer) => classify(&connection.connector, read, &request, None, answer),
            Err(error) => classify_error(read, error),
        };
        let is_the_key = answer
            .as_ref()
            .map_or(true, |answer| answer.status == 401 || read.shows_key);
        match verdict {
            Verdict::NotApplied { refused: true, .. } if !is_the_key => None,
            Verdict::NotApplied {
                failure, refused: true, ..
            } if connection.credential.is_some() => {
                Some((Cause::Credentials, format!("its key was refused: {}", failure.message)))
            }
            Verdict::NotApplied {
                failure, refused: true, ..
            } => Some((Cause::Credentials, failure.message)),
            // Who says to come later has not said anything else.
            Verdict::NotApplied {
                failure,
                retry: Some(_),
                ..
            } => Some((Cause::Trouble, failure.message)),
            verdict => trouble(&answer, &verdict).map(|reason| (Cause::Trouble, reason)),
        }
    }

    /// A later process has to know; this one does.
    fn remember(&self, connection: &Connection) {
        let kept = self.block_on(self.services.remember(connection));
        if let Err(error) = kept {
            tracing::warn!(connection = connection.name, %error, "a restart would not know how the connection stands");
        }
    }

    /// Why nothing new is begun on a connection.
    pub(super) fn why_held(&self, connection: &Connection) -> Held {
        let (refuses, detail) = self.services.pace.on(connection, |line| {
            let tripped = line.breaker.tripped();
            let detail = tripped.map_or_else(String::new, |tripped| format!(": {}", tripped.reason));
            (line.breaker.refuses(), detail)
        });
        let cause = if refuses {
            format!("not sent, nothing can be asked on connection `{}`", connection.name)
        } else {
            format!(
                "not sent, connection `{}` is in trouble and nothing new is begun on it",
                connection.name
            )
        };
        Held { cause, detail }
    }

    /// Ends the turn until then, before anything was sent. The step says why, once for each cause: that it is held again
    /// for the same is no news.
    pub(super) fn hold(&self, begun: &Begun, until: Instant, why: &Held) -> Thrown {
        if why.is_said_by(begun) {
            return self.pause_until(until);
        }
        self.say_held(begun, (false, false), until, why)
    }

    /// The same, said in any case. Of a step that was sent: whether its outcome is unknown, and to be looked up.
    pub(super) fn say_held(
        &self,
        begun: &Begun,
        (unknown, look_up): (bool, bool),
        until: Instant,
        why: &Held,
    ) -> Thrown {
        let retry = Retry {
            attempt: 0,
            unknown,
            reason: format!("{}{}", why.cause, why.detail),
            at: until,
            look_up,
            waits: false,
        };
        let entry = Entry::Retry {
            path: begun.path.clone(),
            step: begun.step.clone(),
            retry,
        };
        match self.ride(entry) {
            Ok(()) => self.pause_until(until),
            Err(thrown) => thrown,
        }
    }
}

/// Why a step is held. The detail may differ each time it is asked for.
pub(super) struct Held {
    cause: String,
    detail: String,
}

impl Held {
    /// Whether this is the last that the journal says of a step.
    pub(super) fn is_said_by(&self, begun: &Begun) -> bool {
        let said = begun.trouble.as_ref().filter(|_| begun.is_held);
        said.is_some_and(|said| said.starts_with(&self.cause))
    }
}

/// Lets others ask if the program itself fails while it asks.
struct ProbeLost<'a> {
    pace: &'a Pace,
    connection: &'a Connection,
}

impl Drop for ProbeLost<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.pace.on(self.connection, |line| line.breaker.probe_lost());
        }
    }
}

/// What was wrong with an exchange, if the provider itself seems to be in trouble.
pub(super) fn trouble(answer: &Result<RawAnswer, SendError>, verdict: &Verdict) -> Option<String> {
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
