//! After an older state of the store was put back: what its journals have forgotten is looked for at the provider
//! before anything is sent.
//!
//! A run keeps its id when its cause comes again, so a forgotten step is found under the reference it was sent
//! with. What is found is adopted; what is there but different asks a person; what is proved absent is sent, but
//! not before a person has accepted the restore. Must not send anything itself.

use chrono::TimeDelta;

use super::effect::Open;
use super::look_up::Sought;
use super::turn::{Begun, Turn};
use crate::base::clock::Instant;
use crate::base::guard::{Guard, holds};
use crate::model::journal::{Entry, Outcome};
use crate::model::run::Cause;
use crate::model::value::{Value, parse_time};
use crate::script::Thrown;
use crate::store::Restored;

/// How far the clocks may be apart by which causes and restores are dated.
const CLOCKS_APART: TimeDelta = TimeDelta::days(1);
/// How long a webhook may come again that does not say when it happened.
const REPEATED_WITHIN: TimeDelta = TimeDelta::days(30);

/// Whether an effect may have been sent by a journal that was forgotten.
#[derive(Debug, PartialEq, Eq)]
enum Past {
    /// No: its cause is younger than the restore, or nobody but this run could have had it.
    New,
    /// At this time at the earliest; then under the same reference.
    Since(Instant),
    /// Perhaps, and then under a reference that nobody knows any more.
    Untraceable,
}

impl Turn {
    /// Finds out, before an intent is made, whether the store has forgotten that it was sent. Nothing: it may be
    /// sent now.
    pub(super) fn recollect(&self, open: &Open<'_>) -> Result<Option<Value>, Thrown> {
        let Some(restored) = self.services.restored() else {
            return Ok(None);
        };
        if !holds(Guard::RestoreForgotten) {
            return self.held(&restored);
        }
        let since = match self.past(&restored) {
            Past::New => return self.held(&restored),
            Past::Since(since) => since,
            Past::Untraceable => {
                let message = format!(
                    "an older state of the store was put back, the event does not say when it happened, and `{}` may \
                     have been sent for it before: look for it at the provider",
                    open.begun.step.name
                );
                return Err(self.intend_in_doubt(open, "in_doubt", &message));
            }
        };
        match self.seek(open, since, restored.sent_until()) {
            Sought::Found(resource) => {
                tracing::info!(run = %self.run.id, step = %open.begun.path, "what was sent before the restore was found and adopted");
                self.intend_found(open)?;
                self.conclude(open, Outcome::Value(resource)).map(Some)
            }
            Sought::Contradiction(reason) => {
                let message = format!(
                    "it was sent before an older state of the store was put back, and not as the script would send it \
                     now ({reason}): adopt what the provider has, or say that the step failed"
                );
                Err(self.intend_in_doubt(open, "contradiction", &message))
            }
            Sought::Absent => self.held(&restored),
            Sought::Unproved { again_at: Some(at) } => Err(self.pause_until(at)),
            Sought::Unproved { again_at: None } => {
                let message = format!(
                    "`{}` may have been sent before an older state of the store was put back: {} does not show it, \
                     which proves nothing",
                    open.begun.step.name, open.connection.connector.title
                );
                Err(self.intend_in_doubt(open, "in_doubt", &message))
            }
            Sought::Failed(reason) | Sought::Refused(reason) => {
                tracing::warn!(run = %self.run.id, step = %open.begun.path, reason, "what was sent before the restore cannot be looked up; trying again");
                Err(self.later())
            }
            Sought::Impossible(message) => Err(self.intend_in_doubt(open, "in_doubt", &message)),
        }
    }

    /// Finds out, before it is said that nobody answered in time, whether the store may have forgotten an answer. As long
    /// as the restore holds the wait goes on; then a person says whether it is asked again.
    pub(super) fn recollect_answer(&self, begun: &Begun) -> Result<(), Thrown> {
        let restored = self.services.restored().filter(|_| holds(Guard::RestoreForgotten));
        let forgets = |restored: &Restored| begun.since.is_some_and(|since| restored.may_forget_since(since));
        let Some(restored) = restored.filter(forgets) else {
            return Ok(());
        };
        self.held(&restored)?;
        let message = "the answer may have been given and forgotten with the older backup that was put back: see what \
                       came of it, then have it asked again (retry) or let it fail";
        Err(self.doubt_at(begun, "in_doubt", message))
    }

    /// Nothing is sent before a person has accepted the restore.
    fn held(&self, restored: &Restored) -> Result<Option<Value>, Thrown> {
        if restored.holds() && holds(Guard::RestoreHeld) && self.block_on(self.services.still_holds()) {
            return Err(self.later());
        }
        Ok(None)
    }

    fn later(&self) -> Thrown {
        let pause = TimeDelta::from_std(self.services.settings.poll_first).unwrap_or(TimeDelta::MAX);
        self.pause_until(self.now() + pause)
    }

    fn past(&self, restored: &Restored) -> Past {
        let noticed = restored.noticed();
        let caused_at = match &self.run.cause {
            // One that bears a key may come again, and nobody knows when it came first.
            Cause::Manual { key: Some(_), .. } if self.run.created_at > restored.since => {
                let is_old = self.run.created_at - REPEATED_WITHIN > noticed;
                return if is_old { Past::New } else { Past::Untraceable };
            }
            // Any other request of a person is its own cause and never comes again.
            Cause::Manual { .. } if self.run.created_at > noticed => return Past::New,
            Cause::Manual { .. } => self.run.created_at,
            Cause::Cron { slot, .. } => *slot,
            Cause::Webhook { .. } | Cause::Replay { .. } => {
                let occurred_at = self.run.event.get("occurred_at").and_then(|at| at.as_str());
                match occurred_at.and_then(parse_time) {
                    Some(at) => at,
                    // The backup has it: its reference is the one it always had.
                    None if self.run.created_at <= restored.since => self.run.created_at,
                    None if self.run.created_at - REPEATED_WITHIN > noticed => return Past::New,
                    None => return Past::Untraceable,
                }
            }
        };
        if caused_at - CLOCKS_APART > noticed {
            return Past::New;
        }
        Past::Since(restored.since.max(caused_at))
    }

    fn intend_in_doubt(&self, open: &Open<'_>, code: &str, message: &str) -> Thrown {
        match self.intend_found(open) {
            Ok(()) => self.doubt(open, code, message),
            Err(thrown) => thrown,
        }
    }

    /// Records the intent of an effect that was sent before. Nobody knows when, so its key is not to be trusted: if the
    /// process ends now, the next turn looks again.
    fn intend_found(&self, open: &Open<'_>) -> Result<(), Thrown> {
        let mut intent = open.intent.clone();
        intent.key_safe_until = intent.key_safe_until.map(|_| open.first_sent);
        self.begin_effect(Entry::Intent {
            path: open.begun.path.clone(),
            step: open.begun.step.clone(),
            intent,
        })
    }
}
