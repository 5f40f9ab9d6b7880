//! A name that a step made of others keeps to itself until it ends, so that no other run does the same meanwhile.
//!
//! It is durable before the step goes on, and given back with the entry that ends the step, or with the end of its run.
//! It decides nothing about what is done under the name.

use std::time::Duration;

use chrono::TimeDelta;

use super::alone::held_by;
use super::effect::Ready;
use super::interrupt::Interrupt;
use super::turn::{Turn, recorded};
use crate::base::clock::Instant;
use crate::base::guard::{Guard, holds};
use crate::connector::connection::Connection;
use crate::model::journal::{Entry, Outcome, Phase};
use crate::model::value::Value;
use crate::script::Thrown;
use crate::store::{Exclusion, StoreError};

/// How often it is looked whether what was done is shown, each after the time it may be missing.
const LOOKS_MAX: u32 = 5;

/// A name that a step has to itself.
pub(super) struct Apart {
    connection: String,
    name: String,
    /// For how long what was done under it may not be shown.
    rest: Duration,
}

impl Turn {
    /// Goes on when no other step has this name on the connection, nor had it so shortly before that what it did may not
    /// be shown yet; until then the run waits, and its history says for whom. Inside a step made of others, which ends when
    /// what it did is shown: `rest` is for those that were ended before, and for those that an older state of the store does
    /// not know.
    pub(super) fn apart(&self, connection: &Connection, name: &str, rest: Duration) -> Result<Apart, Thrown> {
        let apart = Apart {
            connection: connection.name.clone(),
            name: name.to_owned(),
            rest,
        };
        let (step, _) = self.take_numbers(0);
        let begun = self.begin("apart", String::new(), &Value::text(name).typed_text())?;
        match &begun.phase {
            Some(Phase::Done(outcome)) => return recorded(outcome.clone()).map(|_| apart),
            Some(Phase::Trying { next_at, .. }) => self.rest(&begun, *next_at)?,
            None => {}
            Some(_) => return Err(self.unfit(&begun.path)),
        }
        self.driven()?;
        if holds(Guard::Apart) {
            if let Some((at, reason)) = self.rests_until(&apart) {
                return Err(self.wait_at_first(&begun, Ready::new(), Some(at), reason));
            }
            let exclusion = Exclusion {
                step,
                connection: apart.connection.clone(),
                name: apart.name.clone(),
                rest,
                now: self.now(),
            };
            match self.block_on(self.services.store.exclude(&self.lease, exclusion)) {
                Ok(None) => {}
                Ok(Some(holder)) => {
                    let (free_at, reason) = held_by(&holder);
                    return Err(self.wait_at_first(&begun, Ready::new(), free_at, reason));
                }
                Err(StoreError::LeaseLost { .. }) => return Err(self.interrupt(Interrupt::LeaseLost)),
                Err(error) => return Err(self.interrupt(Interrupt::StoreDown(error))),
            }
        }
        let mut step = begun.step;
        name.clone_into(&mut step.summary);
        self.ride(Entry::Done {
            path: begun.path,
            step,
            outcome: Outcome::Value(Value::Null),
            began: None,
        })?;
        Ok(apart)
    }

    /// Until when what another did under the name may not be shown, as far as this process or a restore tells, and why.
    fn rests_until(&self, apart: &Apart) -> Option<(Instant, String)> {
        let restored = self
            .shown_after_restore(apart.rest)
            .filter(|_| holds(Guard::ApartRestored));
        if let Some(at) = restored {
            let reason = "what was done before an older state of the store was put back may not be shown yet";
            return Some((at, reason.to_owned()));
        }
        // The wall clock may have been set ahead since.
        let rests = self.services.rests(&apart.connection, &apart.name, apart.rest);
        let left = rests.filter(|_| holds(Guard::ApartElapsed))?;
        let at = self.now() + TimeDelta::from_std(left).unwrap_or_default();
        Some((at, "the same was done just now, and may not be shown yet".to_owned()))
    }

    /// When all is shown that was done before an older state of the store was put back, if that is still to come.
    pub(super) fn shown_after_restore(&self, rest: Duration) -> Option<Instant> {
        let restored = self.services.restored()?;
        // Nothing that is forgotten went out later than that was noticed.
        let sent_until = restored.noticed_at.unwrap_or_else(|| restored.sent_until());
        let shown_at = sent_until + TimeDelta::from_std(rest).unwrap_or_default();
        (self.now() < shown_at).then_some(shown_at)
    }

    /// Waits until what was done under a name is shown, so that whoever has the name next sees it: a few times as long as
    /// it may be missing. What is never shown, or cannot be read, was done all the same, and no error may say otherwise.
    pub(super) fn until_shown(&self, apart: &Apart, is_shown: impl Fn() -> Result<bool, Thrown>) -> Result<(), Thrown> {
        for _ in 0..LOOKS_MAX {
            // The run may be ended while it waits here.
            if self.is_driven() {
                self.services.ended_alone(&apart.connection, apart.name.clone());
            }
            match is_shown() {
                Ok(true) => {
                    if self.is_driven() {
                        self.services.shown(&apart.connection, &apart.name);
                    }
                    return Ok(());
                }
                Err(Thrown::Failure(failure)) if !holds(Guard::PaidIsPaid) => return Err(Thrown::Failure(failure)),
                Ok(false) | Err(Thrown::Failure(_)) => {}
                Err(Thrown::Interrupt) => return Err(Thrown::Interrupt),
            }
            self.sleep(TimeDelta::from_std(apart.rest).unwrap_or(TimeDelta::MAX))?;
        }
        Ok(())
    }
}
