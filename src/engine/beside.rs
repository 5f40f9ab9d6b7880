//! What is asked of a provider beside runs: it keeps to the same pace, and what it comes to counts.
//!
//! A read here is as harmless as the one by which a provider in trouble is asked whether it answers again, and stands in
//! for it. Nobody waits here: whoever asks is told how long to.

use std::time::Duration;

use super::breaker::Gate;
use super::pace::trouble;
use super::services::Services;
use crate::base::clock::Instant;
use crate::connector::client::SendError;
use crate::connector::connection::Connection;
use crate::connector::reply::{RawAnswer, Verdict};
use crate::model::breaker::Cause;

impl Services {
    /// After how long a read may be sent; its place is taken.
    ///
    /// # Errors
    /// Until when nothing is to be asked: the provider is in trouble, or refuses our key.
    pub fn may_ask(&self, connection: &Connection) -> Result<Duration, Instant> {
        let settings = connection.pace.breaker;
        let (now, elapsed) = (self.clock.now(), self.clock.elapsed());
        self.pace.on(connection, |line| {
            match line.breaker.gate(settings, now) {
                Gate::Held(until) => return Err(until),
                // A run that comes meanwhile may ask as well.
                Gate::Probe => line.breaker.probe_lost(),
                Gate::Open => {}
            }
            Ok(line.rate.as_mut().map_or(Duration::ZERO, |rate| rate.next(elapsed)))
        })
    }

    /// What a read came to.
    pub fn heard(&self, connection: &Connection, answer: &Result<RawAnswer, SendError>, verdict: &Verdict) {
        if matches!(answer, Err(SendError::NoCredential(_))) {
            return;
        }
        let (settings, now) = (connection.pace.breaker, self.clock.now());
        let trouble = trouble(answer, verdict);
        let refused = match verdict {
            Verdict::NotApplied {
                failure, refused: true, ..
            } => Some(failure.message.as_str()),
            _ => None,
        };
        let (before, after) = self.pace.on(connection, |line| {
            let before = line.breaker.tripped().cloned();
            let is_asked_for = before.as_ref().is_some_and(|tripped| now >= tripped.probe_at);
            match (&trouble, refused) {
                (Some(reason), _) if is_asked_for => {
                    line.breaker.probed(settings, Some((Cause::Trouble, reason)), now);
                }
                (Some(reason), _) => {
                    line.breaker.heard(&connection.name, settings, false, Some(reason), now);
                }
                // Of this call alone; only who knows already that the key is refused hears it again.
                (None, Some(reason)) if is_asked_for && line.breaker.refuses() => {
                    line.breaker.probed(settings, Some((Cause::Credentials, reason)), now);
                }
                (None, Some(_)) => {}
                (None, None) if is_asked_for => line.breaker.probed(settings, None, now),
                (None, None) => {
                    line.breaker.heard(&connection.name, settings, false, None, now);
                }
            }
            (before, line.breaker.tripped().cloned())
        });
        if before == after {
            return;
        }
        match &after {
            Some(tripped) => tracing::warn!(
                connection = connection.name,
                reason = tripped.reason,
                "the provider gives no usable answer: nothing new is begun until one is answered"
            ),
            None => tracing::info!(connection = connection.name, "it answers again: effects begin"),
        }
        // Written by the call; a process that ends before it is durable finds out again.
        drop(self.remember(connection));
    }
}
