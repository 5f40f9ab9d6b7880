//! Effects: calls that change something at the provider, and happen once.
//!
//! An effect goes intent → send → outcome, and every way it can go wrong is one of four answers: it did not
//! happen, it happened, nobody knows, or the answer contradicts the request. Nobody knows is never a
//! failure: the same bytes go out under the same key while the provider is trusted to honour it; else
//! `look_up` looks for our reference; else a person decides. That a request goes out is durable before it does.

use std::sync::Arc;

use super::alone::{Alone, At, Still};
use super::interrupt::Interrupt;
use super::keys::{self, key_name, trusted};
use super::look_up::needs_before;
use super::step::refusal;
use super::turn::{Begun, Turn, recorded};
use crate::base::clock::Instant;
use crate::base::fault_point::{FaultPoint, reach};
use crate::base::guard::{Guard, holds};
use crate::connector::connection::Connection;
use crate::connector::lookup::Known;
use crate::connector::reply::{RetryHint, Verdict};
use crate::connector::request::{Own, Prepared, prepare_own};
use crate::connector::table::Endpoint;
use crate::model::journal::{Entry, Failure, Intent, Outcome, Phase, Retry, StepPath};
use crate::model::policy::{Clearance, Decision, Question, decide};
use crate::model::value::{Map, Value};
use crate::script::Thrown;

/// An effect that has an intent and no outcome yet.
pub(super) struct Open<'a> {
    pub(super) begun: &'a Begun,
    pub(super) connection: &'a Arc<Connection>,
    pub(super) endpoint: &'a Endpoint,
    pub(super) intent: Box<Intent>,
    pub(super) clearance: Option<Clearance>,
    /// Failed attempts so far.
    pub(super) attempts: u32,
    /// Whether any attempt so far may have had its effect.
    pub(super) unknown: bool,
    /// When the intent was made.
    pub(super) first_sent: Instant,
    /// When it last went out.
    pub(super) last_sent: Instant,
}

/// A step of which nothing is on its way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ready {
    /// The epoch of its next intent.
    pub(super) epoch: u32,
    /// How often it was tried before anything was sent.
    pub(super) tried: u32,
    /// Whether a person said that it goes out anew; else it is the first time, or what the provider shows proved it.
    pub(super) by_person: bool,
    /// Whether the store may have forgotten that it was sent, and that was not looked for yet.
    pub(super) may_be_forgotten: bool,
}

impl Ready {
    /// Of a step of which nothing was ever sent.
    pub(super) fn new() -> Self {
        Self {
            epoch: 0,
            tried: 0,
            by_person: false,
            may_be_forgotten: false,
        }
    }

    /// Whether nothing can have been sent: then the step may end by itself.
    pub(super) fn is_new(self) -> bool {
        self.epoch == 0 && !self.may_be_forgotten
    }
}

/// What is to be sent, as policy allows it.
struct Made {
    /// One line for people.
    summary: String,
    intent: Box<Intent>,
    clearance: Option<Clearance>,
}

/// What became of an effect before its intent.
enum Drafted {
    /// It may be sent.
    Ready(Made),
    /// It has ended.
    Ended(Value),
}

/// An intent of an earlier turn.
struct SentBefore {
    intent: Box<Intent>,
    attempts: u32,
    unknown: bool,
    sent_at: Instant,
    /// The last moment at which it may have gone out.
    sent_until: Instant,
    /// Whether the next thing is a look-up.
    look_up: bool,
    /// Whether it was on its way when the process ended.
    was_on_its_way: bool,
}

impl Turn {
    /// An effect: at most one, whatever happens between here and the provider. `still`: what has to hold still when it is
    /// sent, unless it may have been sent already.
    pub(super) fn effect(
        &self,
        connection: &Arc<Connection>,
        endpoint: &Endpoint,
        args: &Map,
        still: Option<Still<'_>>,
    ) -> Result<Value, Thrown> {
        let mut begun = self.begin_call(connection, endpoint, args)?;
        let tried = match &begun.phase {
            Some(Phase::Trying { attempts, .. }) => *attempts,
            _ => 0,
        };
        let (epoch, by_person) = match begun.phase.take() {
            None => (0, false),
            // Held before anything was sent.
            Some(Phase::Trying { next_at, .. }) => {
                self.rest(&begun, next_at)?;
                (0, false)
            }
            Some(Phase::Cleared { epoch, by_person }) => (epoch, by_person),
            Some(Phase::Done(outcome)) => return recorded(outcome),
            Some(Phase::Doubt { doubt, .. }) => return Err(self.park(&doubt.code, doubt.message)),
            Some(Phase::Sent {
                intent,
                attempts,
                next_at,
                unknown,
                sent_at,
                look_up,
            }) => {
                // A run that is to end sends nothing again, so it does not wait to: it looks at once, as long as that is not
                // what it waits for.
                if let Some(at) = next_at.filter(|_| look_up || !self.run.cancel_requested) {
                    self.rest(&begun, at)?;
                }
                // On its way when the process ended: it may have arrived.
                let was_on_its_way = next_at.is_none();
                let unknown = unknown || (was_on_its_way && holds(Guard::OnItsWay));
                // A process that was frozen before it sent may have sent just before it died.
                let is_late = was_on_its_way && holds(Guard::SentLate);
                let sent = SentBefore {
                    intent,
                    attempts,
                    unknown,
                    sent_at,
                    sent_until: if is_late { self.now().max(sent_at) } else { sent_at },
                    look_up,
                    was_on_its_way,
                };
                return self.resume(&begun, connection, endpoint, (args, still), sent);
            }
            Some(_) => return Err(self.unfit(&begun.path)),
        };
        let ready = Ready {
            epoch,
            tried,
            by_person,
            may_be_forgotten: false,
        };
        self.intend(&mut begun, connection, endpoint, (args, still), ready)
    }

    fn prepare_effect(
        &self,
        path: &StepPath,
        connection: &Connection,
        endpoint: &Endpoint,
        args: &Map,
        (key, before): (Option<&str>, &Known),
    ) -> Result<(Prepared, String), Failure> {
        let reference = format!("{}/{path}", self.run.id);
        let own = Own {
            reference: Some(&reference),
            key,
            before,
        };
        let prepared = prepare_own(connection, endpoint, args, own)?;
        Ok((prepared, reference))
    }

    /// The intent of what a script asks for, with what was known before, if policy allows it.
    fn made(
        &self,
        path: &StepPath,
        connection: &Connection,
        endpoint: &Endpoint,
        args: &Map,
        (epoch, known, exclusive): (u32, Known, Option<String>),
    ) -> Result<Made, Failure> {
        let key = endpoint.key.is_made().then(|| self.key(path, epoch));
        let (prepared, reference) = self.prepare_effect(path, connection, endpoint, args, (key.as_deref(), &known))?;
        let clearance = self.clear(path, connection, &prepared)?;
        let intent = Box::new(Intent {
            connection: connection.name.clone(),
            endpoint: endpoint.name.clone(),
            epoch,
            // Nothing was sent yet: not trusted before `safe_until` says so.
            key_safe_until: connection.key_window(endpoint).map(|_| self.now()),
            key,
            reference,
            fingerprint: prepared.fingerprint,
            request: prepared.request,
            movement: prepared.movement,
            forgotten: None,
            before: known,
            exclusive,
        });
        Ok(Made {
            summary: prepared.summary,
            intent,
            clearance,
        })
    }

    /// Makes the intent durable, then sends it.
    fn intend(
        &self,
        begun: &mut Begun,
        connection: &Arc<Connection>,
        endpoint: &Endpoint,
        (args, still): (&Map, Option<Still<'_>>),
        ready: Ready,
    ) -> Result<Value, Thrown> {
        reach(FaultPoint::EffectReached);
        let is_alone = endpoint.exclusive.is_some() || endpoint.before.is_some();
        let drafted = match is_alone {
            false => self.draft(begun, connection, endpoint, args, ready)?,
            true => self.draft_alone(begun, connection, endpoint, args, ready)?,
        };
        let made = match drafted {
            Drafted::Ready(made) => made,
            Drafted::Ended(value) => return Ok(value),
        };
        begun.step.summary.clone_from(&made.summary);
        let mut open = self.unsent(begun, connection, endpoint, made);
        if ready.epoch == 0
            && let Some(adopted) = self.look_first(&open, ready)?
        {
            return Ok(adopted);
        }
        open.intent.key_safe_until = match self.safe_until(connection, endpoint) {
            Ok(until) => until,
            Err(error) => {
                let reason = format!("the provider could not be asked for its time: {error}");
                let failure = self.give_up_at_first(begun, ready, (reason, RetryHint::default()))?;
                return self.conclude_at_first(begun, failure);
            }
        };
        if let Some(reason) = self.clocks_apart(connection) {
            return Err(self.wait_at_first(begun, ready, None, reason));
        }
        // Last of all: before that it may have waited for days.
        if let Some(failure) = self.holds_still(still, At::First(begun, ready))? {
            return self.fail_at_first(begun, ready, failure);
        }
        self.begin_effect(Entry::Intent {
            path: begun.path.clone(),
            step: begun.step.clone(),
            intent: open.intent.clone(),
        })?;
        reach(FaultPoint::IntentDurable);
        let (intent, clearance, first_sent) = (open.intent, open.clearance, open.first_sent);
        if ready.epoch == 0 {
            // What it waited for before anything was sent does not count, as in the journal.
            (begun.since, begun.is_held) = (None, false);
        }
        self.send(Open {
            begun,
            connection,
            endpoint,
            intent,
            clearance,
            attempts: 0,
            unknown: false,
            first_sent,
            last_sent: first_sent,
        })
    }

    /// What is to be sent, if it may begin and was not sent before.
    fn draft(
        &self,
        begun: &Begun,
        connection: &Arc<Connection>,
        endpoint: &Endpoint,
        args: &Map,
        ready: Ready,
    ) -> Result<Drafted, Thrown> {
        self.may_begin(begun, connection)?;
        self.still_absent(begun, connection, endpoint, ready)?;
        match self.made(
            &begun.path,
            connection,
            endpoint,
            args,
            (ready.epoch, Known::new(), None),
        ) {
            Ok(made) => self.unless_forgotten(begun, connection, endpoint, made),
            Err(failure) => self.fail_at_first(begun, ready, failure).map(Drafted::Ended),
        }
    }

    /// The same where it has to be alone, and to know what there is.
    fn draft_alone(
        &self,
        begun: &Begun,
        connection: &Arc<Connection>,
        endpoint: &Endpoint,
        args: &Map,
        mut ready: Ready,
    ) -> Result<Drafted, Thrown> {
        ready.may_be_forgotten = self.may_be_forgotten();
        if !holds(Guard::AnewAfterRead) {
            self.still_absent(begun, connection, endpoint, ready)?;
        }
        let made = |known: Known, name: Option<String>| {
            self.made(&begun.path, connection, endpoint, args, (ready.epoch, known, name))
        };
        let alone = match made(Known::new(), None) {
            Ok(draft) => self.alone(begun, connection, endpoint, &draft.intent, ready)?,
            Err(failure) => Err(failure),
        };
        let Alone { name, known, hindrance } = match alone {
            Ok(alone) => alone,
            Err(failure) => return self.fail_at_first(begun, ready, failure).map(Drafted::Ended),
        };
        // What was forgotten comes before what hinders it: it may be what hinders it. What there was before that is
        // forgotten too.
        if holds(Guard::ForgottenFirst) {
            let known = if needs_before(endpoint) {
                Known::new()
            } else {
                known.clone()
            };
            match made(known, name.clone()) {
                Ok(draft) => match self.unless_forgotten(begun, connection, endpoint, draft)? {
                    Drafted::Ready(_) => ready.may_be_forgotten = false,
                    ended @ Drafted::Ended(_) => return Ok(ended),
                },
                Err(failure) => return self.fail_at_first(begun, ready, failure).map(Drafted::Ended),
            }
        }
        if let Some(failure) = hindrance {
            return self.fail_at_first(begun, ready, failure).map(Drafted::Ended);
        }
        if holds(Guard::AnewAfterRead) {
            self.still_absent(begun, connection, endpoint, ready)?;
        }
        match self.made(&begun.path, connection, endpoint, args, (ready.epoch, known, name)) {
            Ok(made) => Ok(Drafted::Ready(made)),
            Err(failure) => self.fail_at_first(begun, ready, failure).map(Drafted::Ended),
        }
    }

    /// It may be sent, unless the store has forgotten that it was.
    fn unless_forgotten(
        &self,
        begun: &Begun,
        connection: &Arc<Connection>,
        endpoint: &Endpoint,
        made: Made,
    ) -> Result<Drafted, Thrown> {
        let summary = made.summary.clone();
        let mut open = self.unsent(begun, connection, endpoint, made);
        if let Some(adopted) = self.recollect(&mut open)? {
            return Ok(Drafted::Ended(adopted));
        }
        Ok(Drafted::Ready(Made {
            summary,
            intent: open.intent,
            clearance: open.clearance,
        }))
    }

    /// An effect that was not sent yet.
    fn unsent<'a>(
        &self,
        begun: &'a Begun,
        connection: &'a Arc<Connection>,
        endpoint: &'a Endpoint,
        made: Made,
    ) -> Open<'a> {
        let now = self.now();
        Open {
            begun,
            connection,
            endpoint,
            intent: made.intent,
            clearance: made.clearance,
            attempts: 0,
            unknown: false,
            first_sent: now,
            last_sent: now,
        }
    }

    /// Goes on with an intent of an earlier turn.
    fn resume(
        &self,
        begun: &Begun,
        connection: &Arc<Connection>,
        endpoint: &Endpoint,
        (args, still): (&Map, Option<Still<'_>>),
        sent: SentBefore,
    ) -> Result<Value, Thrown> {
        let SentBefore {
            intent,
            attempts,
            unknown,
            sent_at,
            sent_until,
            look_up,
            was_on_its_way,
        } = sent;
        let same = self.prepare_effect(
            &begun.path,
            connection,
            endpoint,
            args,
            (intent.key.as_deref(), &intent.before),
        );
        let prepared = match same {
            Ok((prepared, _)) if prepared.fingerprint == intent.fingerprint || !holds(Guard::SameRequest) => prepared,
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
        let first_sent = begun.intended_at.unwrap_or(sent_at);
        // What an older state of the store says of an attempt is not the last word on it.
        let restored = self.services.restored();
        let restored = restored
            .filter(|restored| restored.holds() || sent_at <= restored.noticed())
            .filter(|_| holds(Guard::RestoreOpen));
        let mut open = Open {
            begun,
            connection,
            endpoint,
            intent,
            clearance,
            attempts,
            unknown: unknown || restored.is_some(),
            first_sent,
            last_sent: restored
                .as_ref()
                .map_or(sent_until, |restored| restored.sent_until().max(sent_until)),
        };
        // A run that is to end sends nothing again; what it may have sent has to be known before it ends.
        if self.run.cancel_requested && !open.unknown {
            return Err(self.interrupt(Interrupt::Cancelled));
        }
        if let Some(until) = self.refused_key_holds(connection) {
            return Err(self.hold_open(&open, until, look_up));
        }
        let is_late = self.is_late(begun);
        if is_late && !open.unknown {
            return self.give_up(&open);
        }
        let has_to_look = look_up || self.run.cancel_requested || is_late || restored.is_some();
        if open.unknown
            && !has_to_look
            && let Err(error) = self.learn_age(&open)
            && open.attempts + 1 < self.services.settings.backoff.attempts_max
        {
            let reason = format!("the provider could not be asked for its time: {error}");
            return Err(self.send_later(&open, RetryHint::default(), reason));
        }
        if open.unknown && (has_to_look || !self.may_repeat(&open)) {
            return self.look_up(&open);
        }
        let alone = keys::alone_from(connection, endpoint, open.last_sent).filter(|_| open.unknown && was_on_its_way);
        if alone.is_some_and(|alone| self.now() < alone) {
            let reason = "the first attempt may still be on its way".to_owned();
            return Err(self.send_later(&open, RetryHint::default(), reason));
        }
        if let Some(reason) = self.clocks_apart(connection).filter(|_| !open.unknown) {
            return Err(self.send_later(&open, RetryHint::default(), reason));
        }
        // What may have been done goes out the same whatever was read; what was not has waited since.
        if !open.unknown
            && let Some(failure) = self.holds_still(still, At::Later(&open))?
        {
            return self.conclude(&open, Outcome::Failure(failure));
        }
        // Durable first: if the process ends now, the next turn knows when the request may have gone out.
        self.begin_effect(Entry::Sending {
            path: begun.path.clone(),
        })?;
        reach(FaultPoint::ResendDurable);
        // The disk, or a machine that stood still, may have taken longer than the key is good for.
        if open.unknown && holds(Guard::KeyAfterCommit) && !self.may_repeat(&open) {
            return self.look_up(&open);
        }
        open.last_sent = self.now();
        self.count_request(connection);
        self.send(open)
    }

    /// Sends the intent once and acts on the answer.
    fn send(&self, mut open: Open<'_>) -> Result<Value, Thrown> {
        let (client, intent) = (&self.services.client, &open.intent);
        if let Some(window) = open.connection.key_window(open.endpoint) {
            self.services.trust(key_name(intent), trusted(window));
        }
        let answer = match &open.clearance {
            Some(clearance) => self.block_on(client.send_money(
                open.connection,
                open.endpoint,
                intent,
                clearance,
                self.run.id,
                &open.begun.path,
            )),
            None => self.block_on(client.send_write(open.connection, open.endpoint, intent)),
        };
        reach(FaultPoint::ReplyRead);
        // It went out some time before now; when, nobody knows: this process may have been frozen in between.
        if holds(Guard::SentLate) {
            open.last_sent = open.last_sent.max(self.now());
        }
        let spent = open.attempts + 1 >= self.services.settings.backoff.attempts_max && holds(Guard::AttemptsMax);
        let last = spent || self.is_late(open.begun);
        match self.verdict(
            open.connection,
            open.endpoint,
            &intent.request,
            intent.movement.as_ref(),
            &answer,
        ) {
            Verdict::Applied { value, .. } => self.conclude(&open, Outcome::Value(value)),
            Verdict::Contradiction { reason } => Err(self.doubt(&open, "contradiction", &reason)),
            Verdict::NotApplied {
                failure, refused: true, ..
            } => {
                // Nothing was done: it goes out again, the same under the same key, when the key of the connection works.
                match self.refused_until(open.connection) {
                    None => Err(self.doubt(&open, "refused", &refusal(open.connection, &failure.message))),
                    // Said again although it may have been held before: the last entry is that it went out.
                    Some(until) => {
                        let why = self.why_held(open.connection);
                        Err(self.say_held(open.begun, (open.unknown, false), until, &why))
                    }
                }
            }
            Verdict::NotApplied {
                failure,
                retry: Some(hint),
                ..
            } if !last => Err(self.send_later(&open, hint, failure.message)),
            // The provider says no, but an earlier attempt may have got through: look before believing it.
            Verdict::NotApplied { .. } if open.unknown && holds(Guard::RefusalLookedUp) => self.look_up(&open),
            Verdict::NotApplied { failure, .. } => self.conclude(&open, Outcome::Failure(failure)),
            Verdict::Unknown { reason, retry } => {
                open.unknown = true;
                match retry.filter(|_| !last && self.may_repeat(&open)) {
                    Some(hint) => Err(self.send_later(&open, hint, reason)),
                    None => {
                        // What was heard stays in the journal, whatever is found.
                        self.note_retry(&open, self.now(), reason, true)?;
                        open.attempts += 1;
                        self.look_up(&open)
                    }
                }
            }
        }
    }

    pub(super) fn conclude(&self, open: &Open<'_>, outcome: Outcome) -> Result<Value, Thrown> {
        self.services.forget_key(key_name(&open.intent));
        if matches!(outcome, Outcome::Value(_)) {
            self.ends_alone(open.connection, open.endpoint, &open.intent);
        }
        self.ride(Entry::Outcome {
            path: open.begun.path.clone(),
            outcome: outcome.clone(),
        })?;
        if holds(Guard::OutcomeQueued) {
            self.queue();
        }
        reach(FaultPoint::OutcomeQueued);
        recorded(outcome)
    }

    /// It was not done, and it is too late to try again: a payment of yesterday may not be wanted any more.
    pub(super) fn give_up(&self, open: &Open<'_>) -> Result<Value, Thrown> {
        let hours = self.services.settings.backoff.total.as_secs() / 3_600;
        let trouble = open.begun.trouble.as_ref();
        let message = format!(
            "`{}` was not done within {hours} hours, and is not tried any more{}",
            open.begun.step.name,
            trouble.map_or_else(String::new, |last| format!("; the last time: {last}"))
        );
        self.conclude(open, Outcome::Failure(Failure::new("given_up", message)))
    }

    pub(super) fn doubt(&self, open: &Open<'_>, code: &str, message: &str) -> Thrown {
        self.doubt_at(open.begun, code, message)
    }

    /// It waits until our key is not refused any more; what is known of it stays as it is.
    pub(super) fn hold_open(&self, open: &Open<'_>, until: Instant, look_up: bool) -> Thrown {
        let why = self.why_held(open.connection);
        if why.is_said_by(open.begun) {
            return self.pause_until(until);
        }
        self.say_held(open.begun, (open.unknown, look_up), until, &why)
    }

    pub(super) fn send_later(&self, open: &Open<'_>, hint: RetryHint, reason: String) -> Thrown {
        let at = self.next_attempt_at(open.attempts + 1, hint);
        let at =
            keys::alone_from(open.connection, open.endpoint, open.last_sent).map_or(at, |alone| match open.unknown {
                true => at.max(alone),
                false => at,
            });
        self.retry_at(open, at, reason, false)
    }

    pub(super) fn retry_at(&self, open: &Open<'_>, at: Instant, reason: String, look_up: bool) -> Thrown {
        match self.note_retry(open, at, reason, look_up) {
            Ok(()) => self.pause_until(at),
            Err(thrown) => thrown,
        }
    }

    fn note_retry(&self, open: &Open<'_>, at: Instant, reason: String, look_up: bool) -> Result<(), Thrown> {
        let retry = Retry {
            attempt: open.attempts + 1,
            unknown: open.unknown,
            reason,
            at,
            look_up,
            waits: false,
        };
        self.ride(Entry::Retry {
            path: open.begun.path.clone(),
            step: open.begun.step.clone(),
            retry,
        })
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
}
