//! After an older state of the store was put back: what its journals have forgotten is looked for at the provider
//! before anything is sent.
//!
//! A run keeps its id when its cause comes again, so a forgotten step is found under the reference it was sent with. Only
//! a request with a key comes again at another time than it bears, so its run has another id each time, and only of such
//! a run is the same step of another one of the same key, which the store does not know, taken for the forgotten one; two
//! slots of a schedule are two causes. What is found is adopted; what is there but different asks a person; what is
//! proved absent is sent, but not before a person has accepted the restore. A step that is not there while the list has something of the same
//! run that its journal does not know is not absent: the script was edited, or its data are others, and the payment
//! stands under another number. Nor is one that a run made which nobody knows any more and which moves the same: a
//! workflow that was renamed has other runs. Both ask a person, because content does not say what was meant. Must not
//! send anything itself.

use std::cmp::Reverse;

use chrono::TimeDelta;

use super::effect::Open;
use super::look_up::{Sought, needs_before};
use super::turn::{Begun, Turn};
use crate::base::clock::Instant;
use crate::base::guard::{Guard, holds};
use crate::model::journal::{Entry, Forgotten, Outcome, Retry, sought_since};
use crate::model::run::Cause;
use crate::model::value::{Value, parse_time};
use crate::script::Thrown;
use crate::store::{Restored, Span};

/// How far the clocks may be apart by which causes and restores are dated.
const CLOCKS_APART: TimeDelta = TimeDelta::days(1);
/// How long a webhook may come again that does not say when it happened, and a request that bears a key.
const REPEATED_WITHIN: TimeDelta = TimeDelta::days(30);

/// Whether an effect may have been sent by a journal that was forgotten.
/// The greater one asks for more care.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Past {
    /// No: its cause is younger than the restore, or nobody but this run could have had it.
    New,
    /// At this time at the earliest; then under the same reference.
    Since(Reverse<Instant>),
    /// Perhaps, and then under a reference that nobody knows any more.
    Untraceable,
}

impl Turn {
    /// Finds out, before an intent is made, whether the store has forgotten that it was sent. Nothing: it may be
    /// sent now.
    pub(super) fn recollect(&self, open: &mut Open<'_>) -> Result<Option<Value>, Thrown> {
        let Some(restored) = self.restored_now() else {
            return Ok(None);
        };
        let past = match holds(Guard::RestoreForgotten) {
            true => self.past(&restored),
            false => Past::New,
        };
        let recollected = match past {
            Past::New => return self.held(&restored).map(|()| None),
            Past::Since(Reverse(since)) => self.recollect_since(open, &restored, since)?,
            Past::Untraceable => {
                open.intent.forgotten = Some(Forgotten {
                    traceable: false,
                    ..forgotten(&restored, oldest(&restored))
                });
                if !self.is_decided(open) {
                    let message = format!(
                        "an older state of the store was put back, the event does not say when it happened, and `{}` may \
                         have been sent for it then: look for it at the provider",
                        open.begun.step.name
                    );
                    return Err(self.intend_in_doubt(open, "in_doubt", &message));
                }
                None
            }
        };
        if recollected.is_none() {
            self.held(&restored)?;
            open.intent.forgotten = None;
        }
        Ok(recollected)
    }

    /// Whether the store may have forgotten that a step of this run was sent: then nothing says that it was not.
    pub(super) fn may_be_forgotten(&self) -> bool {
        let restored = self.restored_now().filter(|_| holds(Guard::RestoreForgotten));
        restored.is_some_and(|restored| self.past(&restored) != Past::New)
    }

    /// Looks for what may have been sent from this time on. Nothing: it was not, or a person who saw what the list
    /// shows has said so. What contradicts such a word is told all the same.
    fn recollect_since(
        &self,
        open: &mut Open<'_>,
        restored: &Restored,
        since: Instant,
    ) -> Result<Option<Value>, Thrown> {
        let span = Forgotten {
            traceable: self.is_traceable(open),
            keyed: self.is_keyed(),
            ..forgotten(restored, since)
        };
        open.intent.forgotten = Some(span);
        let doubt = |code: &str, message: &str| match self.is_decided(open) {
            true => Ok(None),
            false => Err(self.intend_in_doubt(open, code, message)),
        };
        if needs_before(open.endpoint) {
            let message = format!(
                "`{}` may have been sent before an older state of the store was put back, and what there was before that is \
                 forgotten: look for it at the provider",
                open.begun.step.name
            );
            return doubt("in_doubt", &message);
        }
        // What an earlier intent of the step left is as good.
        let from = sought_since(open.begun.intended_at, Some(span)).unwrap_or(span.from);
        match self.seek(open, from, span.until) {
            Sought::Found(resource) => {
                tracing::info!(run = %self.run.id, step = %open.begun.path, "what was sent before the restore was found and adopted");
                self.intend_found(open)?;
                self.conclude(open, Outcome::Value(resource)).map(Some)
            }
            Sought::Contradiction(reason) => {
                let message = format!(
                    "it was sent before an older state of the store was put back, and is not shown to be what the script would \
                     send now ({reason}): adopt what the provider has if it is this step's all the same, or say that it failed"
                );
                // It was not absent, whoever said so.
                match holds(Guard::RestoreContradicts) {
                    true => Err(self.intend_in_doubt(open, "contradiction", &message)),
                    false => doubt("contradiction", &message),
                }
            }
            Sought::Absent => Ok(None),
            // Other runs come again, and other branches come to their steps: then it is theirs.
            Sought::Elsewhere { by_us: false, .. } if restored.holds() => Err(self.later()),
            Sought::Elsewhere { by_us: true, message } if self.depth > 0 && open.begun.started_at.is_none() => {
                let at = self.now() + self.moment();
                Err(self.retry_at_first(open, at, message))
            }
            Sought::Elsewhere { message, .. } => doubt("in_doubt", &message),
            Sought::Unproved { again_at: Some(at) } => Err(self.pause_until(at)),
            Sought::Unproved { again_at: None } => {
                let message = format!(
                    "`{}` may have been sent before an older state of the store was put back: {} does not show it, \
                     which proves nothing",
                    open.begun.step.name, open.connection.connector.title
                );
                doubt("in_doubt", &message)
            }
            Sought::Failed(reason) | Sought::Refused(reason) => {
                tracing::warn!(run = %self.run.id, step = %open.begun.path, reason, "what was sent before the restore cannot be looked up; trying again");
                Err(self.later())
            }
            Sought::Impossible(message) => doubt("in_doubt", &message),
        }
    }

    /// Whether a person, or a list that proved it, has already said of this step and this restore that it was not sent:
    /// only such a word clears a step for another intent.
    fn is_decided(&self, open: &Open<'_>) -> bool {
        open.intent.epoch > 0 && open.begun.recollected == open.intent.forgotten
    }

    /// Whether a step that was cleared to go out anew may have done so and been forgotten: it was begun before the older
    /// state was put back, and no person who knew of that has spoken since.
    pub(super) fn may_have_gone_anew(&self, begun: &Begun) -> bool {
        let Some(restored) = self.restored_now().filter(|_| holds(Guard::RestoreForgotten)) else {
            return false;
        };
        let began_before = begun.since.is_some_and(|since| restored.may_forget_since(since));
        match self.past(&restored) {
            Past::Since(Reverse(since)) => {
                let span = |forgotten: Forgotten| (forgotten.from, forgotten.until);
                began_before && begun.recollected.map(span) != Some(span(forgotten(&restored, since)))
            }
            Past::New | Past::Untraceable => false,
        }
    }

    /// Finds out, before it is said that nobody answered in time, whether the store may have forgotten an answer. As long
    /// as the restore holds the wait goes on; then a person says whether it is asked again.
    pub(super) fn recollect_answer(&self, begun: &Begun) -> Result<(), Thrown> {
        let restored = self.restored_now().filter(|_| holds(Guard::RestoreForgotten));
        let forgets = |restored: &Restored| begun.since.is_some_and(|since| restored.may_forget_since(since));
        let Some(restored) = restored.filter(forgets) else {
            return Ok(());
        };
        self.held(&restored)?;
        let message = "the answer may have been given and forgotten with the older backup that was put back: see what \
                       came of it, then have it asked again (retry) or let it fail";
        Err(self.doubt_at(begun, "in_doubt", message))
    }

    /// What is known of a restore. Whether it was accepted is asked for as long as it was not.
    fn restored_now(&self) -> Option<Restored> {
        let restored = self.services.restored()?;
        if restored.holds() {
            self.block_on(self.services.still_holds());
        }
        self.services.restored()
    }

    /// Nothing is sent before a person has accepted the restore.
    fn held(&self, restored: &Restored) -> Result<(), Thrown> {
        match restored.holds() && holds(Guard::RestoreHeld) {
            true => Err(self.later()),
            false => Ok(()),
        }
    }

    fn later(&self) -> Thrown {
        self.pause_until(self.now() + self.moment())
    }

    fn moment(&self) -> TimeDelta {
        TimeDelta::from_std(self.services.settings.poll_first).unwrap_or(TimeDelta::MAX)
    }

    /// The least favourable of what each restore means for this run.
    fn past(&self, restored: &Restored) -> Past {
        let pasts = restored.spans().map(|span| self.past_of(span));
        pasts.max().unwrap_or(Past::New)
    }

    fn past_of(&self, Span { since, noticed }: Span) -> Past {
        let created_at = self.run.created_at;
        let caused_at = match &self.run.cause {
            // One that bears a key may come again, and nobody knows when it came first.
            Cause::Manual { key: Some(_), .. } if created_at > since => {
                let is_old = created_at - REPEATED_WITHIN > noticed;
                return if is_old { Past::New } else { Past::Since(Reverse(since)) };
            }
            // Any other request of a person is its own cause and never comes again.
            Cause::Manual { .. } if created_at > noticed => return Past::New,
            Cause::Manual { .. } => return Past::Since(Reverse(since)),
            Cause::Cron { slot, .. } => *slot,
            Cause::Webhook { .. } | Cause::Replay { .. } => {
                let time = |name| self.run.event.get(name).and_then(|at| at.as_str()).and_then(parse_time);
                // An event may be much older than the run that it is replayed for.
                let is_old = |at: Instant| at - REPEATED_WITHIN > noticed;
                match time("occurred_at") {
                    Some(at) => at,
                    // The backup has it: its reference is the one it always had.
                    None if created_at <= since => return Past::Since(Reverse(since)),
                    None if time("received_at").is_some_and(is_old) => return Past::New,
                    None => return Past::Untraceable,
                }
            }
        };
        match caused_at - CLOCKS_APART > noticed {
            true => Past::New,
            false => Past::Since(Reverse(since)),
        }
    }

    /// Whether a list shows what a forgotten run of the same cause has sent. The run of a request with a key has another
    /// reference each time, as to its time; a list that is asked for one reference does not show another.
    fn is_traceable(&self, open: &Open<'_>) -> bool {
        let lookup = open.endpoint.lookup.as_ref();
        !self.is_keyed() || !lookup.is_some_and(|lookup| lookup.asks_by_reference(open.endpoint, &open.intent))
    }

    /// Whether a request with a key made this run.
    fn is_keyed(&self) -> bool {
        matches!(self.run.cause, Cause::Manual { key: Some(_), .. })
    }

    /// Held before anything is sent; what for is in the journal, so that the next look is the last word.
    fn retry_at_first(&self, open: &Open<'_>, at: Instant, reason: String) -> Thrown {
        let retry = Retry {
            attempt: 0,
            unknown: false,
            reason,
            at,
            look_up: false,
            waits: false,
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

    fn intend_in_doubt(&self, open: &Open<'_>, code: &str, message: &str) -> Thrown {
        match self.intend_found(open) {
            Ok(()) => self.doubt(open, code, message),
            Err(thrown) => thrown,
        }
    }

    /// Records the intent of an effect that was sent before. Nobody knows when, so its key is not to be trusted: if the
    /// process ends now, the next turn looks again.
    pub(super) fn intend_found(&self, open: &Open<'_>) -> Result<(), Thrown> {
        let mut intent = open.intent.clone();
        intent.key_safe_until = intent.key_safe_until.map(|_| open.first_sent);
        self.begin_effect(Entry::Intent {
            path: open.begun.path.clone(),
            step: open.begun.step.clone(),
            intent,
        })
    }
}

/// When a journal that a restore forgot may have sent something.
fn forgotten(restored: &Restored, since: Instant) -> Forgotten {
    Forgotten {
        from: since,
        until: restored.sent_until(),
        traceable: true,
        keyed: false,
    }
}

fn oldest(restored: &Restored) -> Instant {
    let oldest = restored.spans().map(|span| span.since).min();
    oldest.unwrap_or(restored.since)
}
