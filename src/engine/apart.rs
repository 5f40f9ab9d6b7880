//! A name that a step made of others keeps to itself until it ends, so that no other run does the same meanwhile.
//!
//! It is durable before the step goes on, and given back with the entry that ends the step, or with the end of its run.
//! It decides nothing about what is done under the name.

use std::time::Duration;

use chrono::TimeDelta;

use super::interrupt::Interrupt;
use super::turn::Turn;
use crate::base::guard::{Guard, holds};
use crate::connector::connection::Connection;
use crate::connector::reply::RetryHint;
use crate::model::value::Value;
use crate::script::Thrown;
use crate::store::{Exclusion, Holder, StoreError};

/// How rarely is looked whether the name is free: as after so many failed attempts.
const LOOKED_AS_AFTER: u32 = 5;

/// How often it is looked whether what was done is shown, each after the time it may be missing.
const LOOKS_MAX: u32 = 5;

impl Turn {
    /// Goes on when no other step has this name on the connection, nor had it so shortly before that what it did may not
    /// be shown yet; until then the run waits. Inside a step made of others, which ends when what it did is shown: `rest` is
    /// for those that were ended before, and for those that an older state of the store does not know.
    pub(super) fn apart(&self, connection: &Connection, name: &str, rest: Duration) -> Result<(), Thrown> {
        let (step, _) = self.take_numbers(0);
        let exclusion = Exclusion {
            step,
            connection: connection.name.clone(),
            name: name.to_owned(),
            rest,
            now: self.now(),
        };
        let taken = self.local("apart", &Value::text(name).typed_text(), || {
            self.driven()?;
            if !holds(Guard::Apart) {
                return Ok((Value::Null, name.to_owned()));
            }
            let restored = self.services.restored();
            // Nothing that is forgotten went out later than that was noticed.
            let sent_until = restored.map(|restored| restored.noticed_at.unwrap_or_else(|| restored.sent_until()));
            let shown_at = sent_until.map(|until| until + TimeDelta::from_std(rest).unwrap_or_default());
            if let Some(at) = shown_at.filter(|at| self.now() < *at && holds(Guard::ApartRestored)) {
                tracing::info!(run = %self.run.id, name, "what was done before the restore may not be shown yet: this waits until {at}");
                return Err(self.pause_until(at));
            }
            match self.block_on(self.services.store.exclude(&self.lease, exclusion)) {
                Ok(None) => Ok((Value::Null, name.to_owned())),
                Ok(Some(Holder { run, step, free_at })) => {
                    tracing::info!(run = %self.run.id, name, "step {step} of {run} does the same now, and this one waits");
                    let looked_again = || self.next_attempt_at(LOOKED_AS_AFTER, RetryHint::default());
                    Err(self.pause_until(free_at.unwrap_or_else(looked_again)))
                }
                Err(StoreError::LeaseLost { .. }) => Err(self.interrupt(Interrupt::LeaseLost)),
                Err(error) => Err(self.interrupt(Interrupt::StoreDown(error))),
            }
        });
        taken.map(|_| ())
    }

    /// Waits until what was done under a name is shown, so that whoever has the name next sees it: a few times as long as
    /// it may be missing. What is never shown, or cannot be read, was done all the same, and no error may say otherwise.
    pub(super) fn until_shown(&self, lag: Duration, is_shown: impl Fn() -> Result<bool, Thrown>) -> Result<(), Thrown> {
        for _ in 0..LOOKS_MAX {
            match is_shown() {
                Ok(true) => return Ok(()),
                Err(Thrown::Failure(failure)) if !holds(Guard::PaidIsPaid) => return Err(Thrown::Failure(failure)),
                Ok(false) | Err(Thrown::Failure(_)) => {}
                Err(Thrown::Interrupt) => return Err(Thrown::Interrupt),
            }
            self.sleep(TimeDelta::from_std(lag).unwrap_or(TimeDelta::MAX))?;
        }
        Ok(())
    }
}
