//! Calls to a provider: reads, and effects that happen once.
//!
//! An effect goes intent → send → outcome, and every way it can go wrong is one of four answers: it did not
//! happen, it happened, nobody knows, or the answer contradicts the request. Nobody knows is never a
//! failure: the same bytes go out under the same key while the provider is trusted to honour it; else we
//! look for our reference; else a person decides. Every pause is a durable timer, never a sleeping thread.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;

use super::backoff::Reason;
use super::turn::{Begun, Interrupt, Turn, recorded};
use crate::base::clock::Instant;
use crate::base::key::derived_uuid;
use crate::connector::client::SendError;
use crate::connector::connection::Connection;
use crate::connector::lookup::{Progress, Search};
use crate::connector::reply::{RawAnswer, Verdict, classify, classify_error};
use crate::connector::request::{Prepared, prepare};
use crate::connector::table::{Effect, Endpoint};
use crate::model::journal::{
    Doubt, Entry, Failure, Intent, Outcome, Phase, Resolution, Retry, StepPath, StoredRequest,
};
use crate::model::policy::{Clearance, Decision, Movement, Question, decide};
use crate::model::run::EventMark;
use crate::model::value::{Map, Value};
use crate::script::Thrown;

/// The least time by which the trust in a key ends before the provider's window does.
const KEY_MARGIN_MIN: Duration = Duration::from_secs(600);

/// An effect that has an intent and no outcome yet.
struct Open<'a> {
    begun: &'a Begun,
    connection: &'a Arc<Connection>,
    endpoint: &'a Endpoint,
    intent: Box<Intent>,
    clearance: Option<Clearance>,
    /// Failed attempts so far.
    attempts: u32,
    /// Whether any attempt so far may have had its effect.
    unknown: bool,
    /// When the intent was made.
    first_sent: Instant,
    /// When it last went out.
    last_sent: Instant,
}

/// An intent of an earlier turn.
struct SentBefore {
    intent: Box<Intent>,
    attempts: u32,
    unknown: bool,
    sent_at: Instant,
    /// Whether its last attempt was heard of.
    paused: bool,
}

impl Turn {
    /// Calls an endpoint with the arguments the script gave it.
    pub(super) fn call(&self, connection: &Arc<Connection>, endpoint: &Endpoint, args: &Map) -> Result<Value, Thrown> {
        match endpoint.effect {
            Effect::Read => self.read(connection, endpoint, args),
            Effect::Write | Effect::MovesMoney => self.effect(connection, endpoint, args),
        }
    }

    fn begin_call(&self, connection: &Connection, endpoint: &Endpoint, args: &Map) -> Result<Begun, Thrown> {
        let name = format!("{}.{}", connection.name, endpoint.name);
        self.begin(&name, String::new(), &Value::Map(args.clone()).to_typed())
    }

    /// A read: recorded when it has an answer, repeated after a pause while it has none.
    fn read(&self, connection: &Arc<Connection>, endpoint: &Endpoint, args: &Map) -> Result<Value, Thrown> {
        let mut begun = self.begin_call(connection, endpoint, args)?;
        let attempts = match begun.phase.take() {
            None => 0,
            Some(Phase::Done(outcome)) => return recorded(outcome),
            Some(Phase::Trying { next_at, .. }) if self.now() < next_at => return Err(self.pause_until(next_at)),
            Some(Phase::Trying { attempts, .. }) => attempts,
            Some(Phase::Doubt { doubt, .. }) => return Err(self.park(&doubt.code, doubt.message)),
            Some(_) => return Err(self.unfit(&begun.path)),
        };
        let prepared = match prepare(connection, endpoint, args, None) {
            Ok(prepared) => prepared,
            Err(failure) => return self.conclude_read(begun, Outcome::Failure(failure)),
        };
        begun.step.summary.clone_from(&prepared.summary);
        match self.ask(connection, endpoint, &prepared.request) {
            Verdict::Applied { value, .. } => self.conclude_read(begun, Outcome::Value(value)),
            Verdict::NotApplied {
                failure, refused: true, ..
            } => Err(self.refused(&begun, connection, &failure.message)),
            Verdict::NotApplied {
                failure,
                retry: Some(hint),
                ..
            } => self.try_again(begun, attempts, hint.after, failure),
            Verdict::NotApplied {
                failure, retry: None, ..
            } => self.conclude_read(begun, Outcome::Failure(failure)),
            Verdict::Unknown { reason, retry_after } => self.try_again(
                begun,
                attempts,
                retry_after,
                Failure::new("provider_unavailable", reason),
            ),
            Verdict::Contradiction { reason } => {
                self.conclude_read(begun, Outcome::Failure(Failure::new("unreadable_answer", reason)))
            }
        }
    }

    /// One request that changes nothing, with what its answer means. Also for looking at a resource in a wait.
    pub(super) fn ask(&self, connection: &Connection, endpoint: &Endpoint, request: &StoredRequest) -> Verdict {
        let answer = self.block_on(self.services.client.send(connection, endpoint, request, None));
        verdict(connection, endpoint, request, None, answer)
    }

    fn conclude_read(&self, begun: Begun, outcome: Outcome) -> Result<Value, Thrown> {
        self.ride(Entry::Done {
            path: begun.path,
            step: begun.step,
            outcome: outcome.clone(),
        })?;
        recorded(outcome)
    }

    fn try_again(
        &self,
        begun: Begun,
        attempts: u32,
        after: Option<Duration>,
        failure: Failure,
    ) -> Result<Value, Thrown> {
        if attempts + 1 >= self.services.settings.backoff.attempts_max {
            return self.conclude_read(begun, Outcome::Failure(failure));
        }
        let at = self.next_attempt_at(attempts + 1, after);
        let retry = Retry {
            attempt: attempts + 1,
            unknown: false,
            reason: failure.message,
            at,
        };
        self.ride(Entry::Retry {
            path: begun.path,
            step: begun.step,
            retry,
        })?;
        Err(self.pause_until(at))
    }

    /// An effect: at most one, whatever happens between here and the provider.
    fn effect(&self, connection: &Arc<Connection>, endpoint: &Endpoint, args: &Map) -> Result<Value, Thrown> {
        let mut begun = self.begin_call(connection, endpoint, args)?;
        let epoch = match begun.phase.take() {
            None => 0,
            Some(Phase::Cleared { epoch }) => epoch,
            Some(Phase::Done(outcome)) => return recorded(outcome),
            Some(Phase::Doubt { doubt, .. }) => return Err(self.park(&doubt.code, doubt.message)),
            Some(Phase::Sent { next_at: Some(at), .. }) if self.now() < at => return Err(self.pause_until(at)),
            Some(Phase::Sent {
                intent,
                attempts,
                next_at,
                unknown,
                sent_at,
            }) => {
                // On its way when the process ended: it may have arrived.
                let paused = next_at.is_some();
                let sent = SentBefore {
                    intent,
                    attempts,
                    unknown: unknown || !paused,
                    sent_at,
                    paused,
                };
                return self.resume(&begun, connection, endpoint, args, sent);
            }
            Some(_) => return Err(self.unfit(&begun.path)),
        };
        self.intend(&mut begun, connection, endpoint, args, epoch)
    }

    fn prepare_effect(
        &self,
        path: &StepPath,
        connection: &Connection,
        endpoint: &Endpoint,
        args: &Map,
    ) -> Result<(Prepared, String), Failure> {
        let reference = format!("{}/{path}", self.run.id);
        let prepared = prepare(connection, endpoint, args, Some(&reference))?;
        Ok((prepared, reference))
    }

    /// Makes the intent durable, then sends it.
    fn intend(
        &self,
        begun: &mut Begun,
        connection: &Arc<Connection>,
        endpoint: &Endpoint,
        args: &Map,
        epoch: u32,
    ) -> Result<Value, Thrown> {
        let prepared = self.prepare_effect(&begun.path, connection, endpoint, args);
        let refuse = |failure: Failure| {
            if epoch > 0 {
                return Err(self.park("diverged", format!("step {}: {}", begun.path, failure.message)));
            }
            let outcome = Outcome::Failure(failure);
            self.ride(Entry::Done {
                path: begun.path.clone(),
                step: begun.step.clone(),
                outcome: outcome.clone(),
            })?;
            recorded(outcome)
        };
        let (prepared, reference) = match prepared {
            Ok(prepared) => prepared,
            Err(failure) => return refuse(failure),
        };
        let clearance = match self.clear(&begun.path, connection, &prepared) {
            Ok(clearance) => clearance,
            Err(failure) => return refuse(failure),
        };
        begun.step.summary = prepared.summary;
        let now = self.now();
        let key = endpoint.idempotent.then(|| self.key(&begun.path, epoch));
        let intent = Box::new(Intent {
            connection: connection.name.clone(),
            endpoint: endpoint.name.clone(),
            epoch,
            key_safe_until: connection
                .key_window(endpoint)
                .map(|window| key_safe_until(now, window)),
            key,
            reference,
            fingerprint: prepared.fingerprint,
            request: prepared.request,
            movement: prepared.movement,
        });
        self.ride(Entry::Intent {
            path: begun.path.clone(),
            step: begun.step.clone(),
            intent: intent.clone(),
        })?;
        self.commit(true)?;
        self.send(Open {
            begun,
            connection,
            endpoint,
            intent,
            clearance,
            attempts: 0,
            unknown: false,
            first_sent: now,
            last_sent: now,
        })
    }

    /// Goes on with an intent of an earlier turn.
    fn resume(
        &self,
        begun: &Begun,
        connection: &Arc<Connection>,
        endpoint: &Endpoint,
        args: &Map,
        sent: SentBefore,
    ) -> Result<Value, Thrown> {
        let SentBefore {
            intent,
            attempts,
            unknown,
            sent_at,
            paused,
        } = sent;
        let same = self.prepare_effect(&begun.path, connection, endpoint, args);
        let prepared = match same {
            Ok((prepared, _)) if prepared.fingerprint == intent.fingerprint => prepared,
            Ok(_) => {
                return Err(self.park(
                    "diverged",
                    format!("step {}: the request would not be the one that was sent", begun.path),
                ));
            }
            Err(failure) => return Err(self.park("diverged", format!("step {}: {}", begun.path, failure.message))),
        };
        let clearance = match self.clear(&begun.path, connection, &prepared) {
            Ok(clearance) => clearance,
            Err(failure) => return Err(self.park(&failure.code, failure.message)),
        };
        let first_sent = begun.started_at.unwrap_or(sent_at);
        let mut open = Open {
            begun,
            connection,
            endpoint,
            intent,
            clearance,
            attempts,
            unknown,
            first_sent,
            last_sent: sent_at,
        };
        // A run that is to end sends nothing again; what it may have sent has to be known before it ends.
        if self.run.cancel_requested && !open.unknown {
            return Err(self.interrupt(Interrupt::Cancelled));
        }
        if open.unknown && (self.run.cancel_requested || !self.key_holds(&open.intent)) {
            return self.look_up(&open);
        }
        if paused {
            // Durable first: if the process ends now, the next turn knows that the request may have gone out.
            self.ride(Entry::Sending {
                path: begun.path.clone(),
            })?;
            self.commit(true)?;
            open.last_sent = self.now();
        }
        self.send(open)
    }

    /// Sends the intent once and acts on the answer.
    fn send(&self, mut open: Open<'_>) -> Result<Value, Thrown> {
        let (client, intent) = (&self.services.client, &open.intent);
        let key = intent.key.as_deref();
        let answer = match &open.clearance {
            Some(clearance) => self.block_on(client.send_money(
                open.connection,
                open.endpoint,
                intent,
                clearance,
                self.run.id,
                &open.begun.path,
            )),
            None => self.block_on(client.send(open.connection, open.endpoint, &intent.request, key)),
        };
        let last = open.attempts + 1 >= self.services.settings.backoff.attempts_max;
        match verdict(
            open.connection,
            open.endpoint,
            &intent.request,
            intent.movement.as_ref(),
            answer,
        ) {
            Verdict::Applied { value, .. } => self.conclude(&open, Outcome::Value(value)),
            Verdict::Contradiction { reason } => Err(self.doubt(&open, "contradiction", &reason)),
            Verdict::NotApplied {
                failure, refused: true, ..
            } => {
                let message = refusal(open.connection, &failure.message);
                Err(self.doubt(&open, "refused", &message))
            }
            Verdict::NotApplied {
                failure,
                retry: Some(hint),
                ..
            } if !last => Err(self.send_later(&open, hint.after, failure.message)),
            // The provider says no, but an earlier attempt may have got through: look before believing it.
            Verdict::NotApplied { .. } if open.unknown => self.look_up(&open),
            Verdict::NotApplied { failure, .. } => self.conclude(&open, Outcome::Failure(failure)),
            Verdict::Unknown { reason, retry_after } => {
                open.unknown = true;
                if last || !self.key_holds(&open.intent) {
                    return self.look_up(&open);
                }
                Err(self.send_later(&open, retry_after, reason))
            }
        }
    }

    /// Looks for what an effect of unknown outcome may have left at the provider.
    fn look_up(&self, open: &Open<'_>) -> Result<Value, Thrown> {
        let begun = Search::begin(
            open.connection,
            open.endpoint,
            &open.intent,
            open.first_sent,
            open.last_sent,
        );
        let mut search = match begun {
            Ok(search) => search,
            Err(failure) => {
                let message = format!("`{}` may have been applied: {}", open.begun.step.name, failure.message);
                return Err(self.doubt(open, "in_doubt", &message));
            }
        };
        loop {
            let asked_at = self.now();
            let page = match self.ask(open.connection, search.list(), search.request()) {
                Verdict::Applied { value, .. } => value,
                Verdict::NotApplied { failure, .. } => return self.look_again(open, &failure.message),
                Verdict::Unknown { reason, .. } | Verdict::Contradiction { reason } => {
                    return self.look_again(open, &reason);
                }
            };
            match search.take(&page, asked_at) {
                Progress::Next(further) => search = *further,
                Progress::Found(resource) => return self.conclude(open, Outcome::Value(resource)),
                Progress::Contradiction(reason) => return Err(self.doubt(open, "contradiction", &reason)),
                Progress::Absent => return self.send_anew(open),
                Progress::Unproved { again_at: Some(at) } if open.attempts < self.look_ups_max() => {
                    return Err(self.retry_at(open, at, "the provider's list may not show it yet".to_owned()));
                }
                Progress::Unproved { .. } => {
                    let message = format!(
                        "`{}` may have been applied: {} does not show it, which proves nothing",
                        open.begun.step.name, open.connection.connector.title
                    );
                    return Err(self.doubt(open, "in_doubt", &message));
                }
            }
        }
    }

    /// Attempts and look-ups of one step before a person is asked.
    fn look_ups_max(&self) -> u32 {
        self.services.settings.backoff.attempts_max * 2
    }

    fn look_again(&self, open: &Open<'_>, reason: &str) -> Result<Value, Thrown> {
        // A look-up that cannot be made proves nothing.
        if open.attempts + 1 >= self.look_ups_max() {
            let message = format!(
                "`{}` may have been applied, and the look-up failed: {reason}",
                open.begun.step.name
            );
            return Err(self.doubt(open, "in_doubt", &message));
        }
        Err(self.send_later(open, None, format!("the look-up failed: {reason}")))
    }

    /// Absence was proved: the decision is recorded, and a new intent goes out under a new key.
    fn send_anew(&self, open: &Open<'_>) -> Result<Value, Thrown> {
        let path = open.begun.path.clone();
        let doubt = Doubt {
            code: "in_doubt".to_owned(),
            message: "the outcome is unknown".to_owned(),
        };
        self.ride(Entry::InDoubt {
            path: path.clone(),
            step: open.begun.step.clone(),
            doubt,
        })?;
        self.ride(Entry::Resolved {
            path: path.clone(),
            resolution: Resolution::Resend,
            actor: "bursar".to_owned(),
            reason: "the provider's list covers the whole window and does not have it".to_owned(),
        })?;
        self.commit(false)?;
        // The next turn finds the step cleared and goes on from there.
        Err(self.pause_until(self.now()))
    }

    fn conclude(&self, open: &Open<'_>, outcome: Outcome) -> Result<Value, Thrown> {
        self.ride(Entry::Outcome {
            path: open.begun.path.clone(),
            outcome: outcome.clone(),
        })?;
        self.queue()?;
        recorded(outcome)
    }

    fn doubt(&self, open: &Open<'_>, code: &str, message: &str) -> Thrown {
        self.doubt_at(open.begun, code, message)
    }

    fn refused(&self, begun: &Begun, connection: &Connection, message: &str) -> Thrown {
        self.doubt_at(begun, "refused", &refusal(connection, message))
    }

    fn doubt_at(&self, begun: &Begun, code: &str, message: &str) -> Thrown {
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

    fn send_later(&self, open: &Open<'_>, after: Option<Duration>, reason: String) -> Thrown {
        let at = self.next_attempt_at(open.attempts + 1, after);
        self.retry_at(open, at, reason)
    }

    fn retry_at(&self, open: &Open<'_>, at: Instant, reason: String) -> Thrown {
        let retry = Retry {
            attempt: open.attempts + 1,
            unknown: open.unknown,
            reason,
            at,
        };
        let entry = Entry::Retry {
            path: open.begun.path.clone(),
            step: open.begun.step.clone(),
            retry,
        };
        match self.ride(entry) {
            Ok(()) => self.pause_until(at),
            Err(thrown) => thrown,
        }
    }

    /// Ends the turn until a time.
    pub(super) fn pause_until(&self, wake_at: Instant) -> Thrown {
        self.interrupt(Interrupt::Waiting {
            wake_at,
            waits_for: None,
            seen: EventMark::default(),
        })
    }

    fn next_attempt_at(&self, attempt: u32, after: Option<Duration>) -> Instant {
        let reason = if after.is_some() {
            Reason::TooFast
        } else {
            Reason::Fault
        };
        let pause = self
            .services
            .settings
            .backoff
            .pause(attempt, reason, after, fastrand::u32(..));
        self.now() + TimeDelta::from_std(pause).unwrap_or(TimeDelta::MAX)
    }

    fn clear(
        &self,
        path: &StepPath,
        connection: &Connection,
        prepared: &Prepared,
    ) -> Result<Option<Clearance>, Failure> {
        let Some(movement) = &prepared.movement else {
            return Ok(None);
        };
        let question = Question {
            run: self.run.id,
            path,
            connection: &connection.name,
            uses: &self.version.uses,
            fingerprint: prepared.fingerprint,
            movement,
        };
        match decide(&question) {
            Decision::Allowed(clearance) => Ok(Some(clearance)),
            Decision::Denied(message) => Err(Failure::new("refused_by_policy", message)),
        }
    }

    fn key(&self, path: &StepPath, epoch: u32) -> String {
        let parts = [self.run.id.to_string(), path.to_string(), epoch.to_string()];
        derived_uuid(
            &self.services.installation_secret,
            &parts.each_ref().map(String::as_str),
        )
        .to_string()
    }

    /// Whether the provider is still trusted to answer a repetition with the first answer.
    fn key_holds(&self, intent: &Intent) -> bool {
        intent.key.is_some() && intent.key_safe_until.is_some_and(|until| self.now() < until)
    }
}

/// The end of the time in which a key is trusted: the provider's window less a margin for clocks and queues.
fn key_safe_until(sent_at: Instant, window: Duration) -> Instant {
    let margin = (window / 10).max(KEY_MARGIN_MIN);
    sent_at + TimeDelta::from_std(window.saturating_sub(margin)).unwrap_or_default()
}

fn verdict(
    connection: &Connection,
    endpoint: &Endpoint,
    request: &StoredRequest,
    movement: Option<&Movement>,
    answer: Result<RawAnswer, SendError>,
) -> Verdict {
    match answer {
        Ok(answer) => classify(&connection.connector, endpoint, request, movement, &answer),
        Err(error) => classify_error(endpoint, &error),
    }
}

fn refusal(connection: &Connection, message: &str) -> String {
    format!(
        "{} refused the credentials of connection `{}`: {message}. Correct the key or its scopes, then \
         `bursar runs resolve RUN --retry`",
        connection.connector.title, connection.name
    )
}
