//! Looking for what an effect of unknown outcome left at the provider.
//!
//! What is found is adopted. What is not found is sent again, under a new key, only when the list proves that it
//! is not there; everything else waits, or asks a person.

use std::sync::Arc;

use super::effect::{Open, Ready};
use super::step::refusal;
use super::time::DOUBT_PAUSE;
use super::turn::{Begun, Turn};
use crate::base::clock::Instant;
use crate::base::guard::{Guard, holds};
use crate::connector::connection::Connection;
use crate::connector::lookup::{self, Lookup, Other, Read, Search};
use crate::connector::reply::RetryHint;
use crate::connector::table::{Endpoint, InDoubt};
use crate::model::journal::{Doubt, Entry, Failure, Outcome, Resolution, sought_since};
use crate::model::value::Value;
use crate::script::Thrown;

/// How often a branch looks before it believes that what it sees is not another branch's.
const BRANCH_LOOKS_MAX: u32 = 2;

/// What a look at the provider's list came to.
pub(super) enum Sought {
    /// It happened; this is what it made.
    Found(Value),
    /// Something bears our mark but is not what would be sent.
    Contradiction(String),
    /// It did not happen: proved.
    Absent,
    /// It was not found, which proves nothing yet, or never will.
    Unproved {
        /// From when on another look can prove it; none if no look can.
        again_at: Option<Instant>,
    },
    /// The list could not be read, and may be in a moment.
    Failed(String),
    /// Our key may not read the list.
    Refused(String),
    /// It was not found, and something is there that may be it.
    Elsewhere {
        /// Whether this run made it.
        by_us: bool,
        /// A plain sentence for a person.
        message: String,
    },
    /// No list can tell: a plain sentence for a person.
    Impossible(String),
}

impl Turn {
    /// Looks for what an effect of unknown outcome may have left at the provider.
    pub(super) fn look_up(&self, open: &Open<'_>) -> Result<Value, Thrown> {
        let sought = match self.seek(open, open.first_sent, open.last_sent) {
            // From when on the list would show it nobody knows.
            Sought::Absent if !self.services.time_is_right() => Sought::Unproved {
                again_at: Some(self.now() + DOUBT_PAUSE),
            },
            sought => sought,
        };
        match sought {
            Sought::Found(resource) => self.conclude(open, Outcome::Value(resource)),
            Sought::Contradiction(reason) => Err(self.doubt(open, "contradiction", &reason)),
            Sought::Absent => self.send_anew(open),
            Sought::Unproved { again_at: Some(at) } if open.attempts < self.look_ups_max() => {
                let reason = "the provider's list may not show it yet".to_owned();
                Err(self.retry_at(open, at, reason, true))
            }
            Sought::Unproved { .. } => {
                let message = format!(
                    "`{}` may have been applied: {} does not show it, which proves nothing",
                    open.begun.step.name, open.connection.connector.title
                );
                Err(self.doubt(open, "in_doubt", &message))
            }
            Sought::Failed(reason) => self.look_again(open, &reason),
            Sought::Refused(reason) => match self.refused_until(open.connection) {
                Some(until) => Err(self.hold_open(open, until, true)),
                None => {
                    let message = format!("it may have been applied; {}", refusal(open.connection, &reason));
                    Err(self.doubt(open, "in_doubt", &message))
                }
            },
            // Another branch may be about to find its own.
            Sought::Elsewhere { by_us: true, message } if self.depth > 0 && open.attempts < BRANCH_LOOKS_MAX => {
                let at = self.next_attempt_at(open.attempts + 1, RetryHint::default());
                Err(self.retry_at(open, at, message, true))
            }
            Sought::Elsewhere { message, .. } | Sought::Impossible(message) => {
                Err(self.doubt(open, "in_doubt", &message))
            }
        }
    }

    /// Walks the provider's list for what an effect left that was sent between these times, if it was sent.
    pub(super) fn seek(&self, open: &Open<'_>, first_sent: Instant, last_sent: Instant) -> Sought {
        match self.cannot_seek(open, first_sent) {
            Some(impossible) => impossible,
            None => self.walk(
                open,
                Search::begin(open.connection, open.endpoint, &open.intent, first_sent, last_sent),
            ),
        }
    }

    /// Why no list can tell, if none can.
    fn cannot_seek(&self, open: &Open<'_>, first_sent: Instant) -> Option<Sought> {
        let name = &open.begun.step.name;
        if open.endpoint.in_doubt == InDoubt::Park {
            return Some(Sought::Impossible(format!(
                "`{name}` may have been applied, and its table says to ask a person"
            )));
        }
        // What was known of the provider then was known by journals that are forgotten, too.
        let restored = self.services.restored();
        let is_forgotten = restored.is_some_and(|restored| first_sent <= restored.noticed());
        (is_forgotten && needs_before(open.endpoint)).then(|| {
            Sought::Impossible(format!(
                "`{name}` may have been applied, and an older state of the store was put back since: what there was before \
                 it was sent proves nothing now"
            ))
        })
    }

    fn walk(&self, open: &Open<'_>, begun: Result<Search, Failure>) -> Sought {
        let name = &open.begun.step.name;
        let mut search = match begun {
            Ok(search) => search,
            Err(failure) => {
                return Sought::Impossible(format!("`{name}` may have been applied: {}", failure.message));
            }
        };
        loop {
            let asked_at = self.now();
            let (list, request) = (search.list(), search.request());
            self.count_request(open.connection);
            let answer = self.block_on(self.services.client.send(open.connection, list, request, None));
            let verdict = self.verdict(open.connection, list, request, None, &answer);
            match search.read(answer.as_ref().ok(), verdict, asked_at, self.now()) {
                Read::More(further) => search = *further,
                Read::Over { sought, others } => return self.weigh(open, sought, &others),
            }
        }
    }

    /// Looks whether another has done it, before it is sent for the first time. Nothing: it is not there.
    pub(super) fn look_first(&self, open: &Open<'_>, ready: Ready) -> Result<Option<Value>, Thrown> {
        if !open.endpoint.look_first || !holds(Guard::LookedFirst) {
            return Ok(None);
        }
        let (name, title) = (&open.begun.step.name, &open.connection.connector.title);
        let ahead = Search::ahead(open.connection, open.endpoint, &open.intent, self.now());
        match self.walk(open, ahead) {
            Sought::Absent => Ok(None),
            Sought::Found(resource) => {
                tracing::info!(run = %self.run.id, step = %open.begun.path, "it was there before it was sent, and is adopted");
                self.intend_found(open)?;
                self.conclude(open, Outcome::Value(resource)).map(Some)
            }
            Sought::Contradiction(reason) => {
                let message = format!(
                    "`{name}` was not sent: {title} shows one already, which is not what would be sent ({reason})"
                );
                Err(self.doubt_at(open.begun, "contradiction", &message))
            }
            Sought::Refused(reason) => Err(self.refused_at_first(open.begun, open.connection, &reason)),
            Sought::Failed(reason) => {
                let reason = format!("what there is cannot be seen: {reason}");
                let failure = self.give_up_at_first(open.begun, ready, (reason, RetryHint::default()))?;
                self.conclude_at_first(open.begun, failure).map(Some)
            }
            Sought::Unproved { .. } => {
                let message = format!(
                    "`{name}` was not sent: whether another has done it before is not proved by what {title} shows"
                );
                Err(self.doubt_at(open.begun, "in_doubt", &message))
            }
            Sought::Elsewhere { message, .. } | Sought::Impossible(message) => {
                Err(self.doubt_at(open.begun, "in_doubt", &message))
            }
        }
    }

    /// Looks once more before what was proved or said to be absent goes out anew: the list may show it by now. What it
    /// does not tell was decided before, but where what there was before tells: that has just been read anew, and what
    /// came since the first attempt would count as there before; and where another may have done it meanwhile. Where a restore may have forgotten that it went out,
    /// what is there contradicts nobody: then `recollect` looks.
    pub(super) fn still_absent(
        &self,
        begun: &Begun,
        connection: &Arc<Connection>,
        endpoint: &Endpoint,
        ready: Ready,
    ) -> Result<(), Thrown> {
        let Some(intent) = begun.effect.clone().filter(|_| holds(Guard::AnewLookedUp)) else {
            return Ok(());
        };
        if self.may_have_gone_anew(begun) {
            return Ok(());
        }
        let now = self.now();
        let before = Open {
            begun,
            connection,
            endpoint,
            intent,
            clearance: None,
            attempts: 0,
            unknown: true,
            first_sent: sought_since(begun.intended_at, begun.recollected).unwrap_or(now),
            last_sent: now,
        };
        let sought = match self.cannot_seek(&before, before.first_sent) {
            Some(impossible) => impossible,
            None => self.walk(
                &before,
                Search::begin(connection, endpoint, &before.intent, before.first_sent, now).map(Search::as_of_now),
            ),
        };
        let (name, title) = (&begun.step.name, &connection.connector.title);
        let anew = format!("`{name}` was to go out anew because it was absent, and");
        let tells = needs_before(endpoint) || endpoint.look_first;
        match sought {
            Sought::Found(_) => Err(self.doubt(&before, "contradiction", &format!("{anew} {title} shows it now"))),
            Sought::Contradiction(reason) => {
                let message = format!("{anew} {title} shows it now ({reason})");
                Err(self.doubt(&before, "contradiction", &message))
            }
            Sought::Refused(reason) if tells => Err(self.refused_at_first(begun, connection, &reason)),
            Sought::Failed(reason) if tells => Err(self.wait_at_first(begun, ready, None, reason)),
            // What a person saw they have weighed; what proved itself absent does not any more.
            Sought::Unproved { .. } | Sought::Elsewhere { .. } | Sought::Impossible(_) if tells && !ready.by_person => {
                let message = format!("{anew} what {title} shows now does not prove that any more");
                Err(self.doubt(&before, "in_doubt", &message))
            }
            Sought::Absent
            | Sought::Elsewhere { .. }
            | Sought::Unproved { .. }
            | Sought::Failed(_)
            | Sought::Refused(_)
            | Sought::Impossible(_) => Ok(()),
        }
    }

    /// What a search that is over means for the step, with what else the list showed.
    fn weigh(&self, open: &Open<'_>, sought: lookup::Sought, others: &[Other]) -> Sought {
        let name = &open.begun.step.name;
        let ours = others.iter().filter(|other| other.run == self.run.id);
        self.book.open().seen.extend(ours.cloned());
        match sought {
            lookup::Sought::Found(resource) => self.unless_known(open, resource),
            lookup::Sought::Contradiction(reason) => Sought::Contradiction(reason),
            lookup::Sought::Absent => self.elsewhere(open, others).unwrap_or(Sought::Absent),
            lookup::Sought::Unproved { again_at: None } => {
                let elsewhere = self.elsewhere(open, others);
                elsewhere.unwrap_or(Sought::Unproved { again_at: None })
            }
            lookup::Sought::Unproved { again_at } => Sought::Unproved { again_at },
            lookup::Sought::Failed(reason) => Sought::Failed(reason),
            lookup::Sought::Refused(reason) => Sought::Refused(reason),
            lookup::Sought::ClocksApart(apart) => Sought::Impossible(format!(
                "`{name}` may have been applied, and our clock and the provider's are {} hours apart, so that its list \
                 proves nothing",
                apart.num_hours()
            )),
        }
    }

    /// What another run of the same key made was forgotten only if that run was.
    fn unless_known(&self, open: &Open<'_>, resource: Value) -> Sought {
        let Some(other) = lookup::other_run_of(open.endpoint, &open.intent, &resource) else {
            return Sought::Found(resource);
        };
        match self.block_on(self.services.store.run(other)) {
            Ok(None) => Sought::Found(resource),
            Ok(Some(_)) => Sought::Elsewhere {
                by_us: false,
                message: format!(
                    "{} shows what the same step of {other} made, another run of the same key, which is not forgotten: \
                     see whether both are meant, and say how this step goes on",
                    open.connection.connector.title
                ),
            },
            Err(error) => Sought::Failed(error.to_string()),
        }
    }

    /// What is not there under our reference may be there under another: its run had another text or other data, or
    /// its workflow another name, before an older state of the store was put back.
    fn elsewhere(&self, open: &Open<'_>, others: &[Other]) -> Option<Sought> {
        let (name, title) = (&open.begun.step.name, &open.connection.connector.title);
        let stray = {
            let pages = self.book.open();
            let mut strays = others.iter();
            strays
                .find(|other| other.is_forgotten_by(self.run.id, &pages.journal))
                .cloned()
        };
        if let Some(stray) = stray {
            let message = format!(
                "{title} shows {}, which step {} of this run made; the journal does not have that, so the script or its \
                 data were others then: see whether `{name}` was done with it, and adopt it or say how this step goes on",
                stray.what, stray.path
            );
            return Some(Sought::Elsewhere { by_us: true, message });
        }
        for other in others
            .iter()
            .filter(|other| other.is_like_forgotten(self.run.id, &open.intent))
        {
            match self.block_on(self.services.store.run(other.run)) {
                Ok(Some(_)) => {}
                Ok(None) => {
                    let message = format!(
                        "{title} shows {}, the same as `{name}` would make, which step {} of {} made, a run that was \
                         forgotten: see whether it was for the same cause, and adopt it or say how this step goes on",
                        other.what, other.path, other.run
                    );
                    return Some(Sought::Elsewhere { by_us: false, message });
                }
                Err(error) => return Some(Sought::Failed(error.to_string())),
            }
        }
        None
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
        let at = self.next_attempt_at(open.attempts + 1, RetryHint::default());
        Err(self.retry_at(open, at, format!("the look-up failed: {reason}"), true))
    }

    /// Absence was proved: the decision is recorded, and a new intent goes out under a new key.
    fn send_anew(&self, open: &Open<'_>) -> Result<Value, Thrown> {
        if self.is_late(open.begun) {
            return self.give_up(open);
        }
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
            actor: Entry::BY_ITSELF.to_owned(),
            reason: "the provider's list covers the whole window and does not have it".to_owned(),
        })?;
        self.commit()?;
        // The next turn finds the step cleared and goes on from there.
        Err(self.pause_until(self.now()))
    }
}

/// Whether what there was before it was sent tells what became of it.
pub(super) fn needs_before(endpoint: &Endpoint) -> bool {
    let needs = endpoint.lookup.as_ref().is_some_and(Lookup::needs_before);
    needs && holds(Guard::BeforeForgotten)
}
