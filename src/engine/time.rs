//! Whether the wall clock may be believed: a wait that ends by a wrong one ends days early, and for good.
//!
//! Watched where a wait is about to end, and by the dispatcher, which tells the store. From then on only a person says
//! that the clock is right. What becomes of schedules is the watcher's of `trigger`.

use std::sync::{Mutex, PoisonError};

use chrono::TimeDelta;

use super::services::Services;
use super::turn::{Begun, Turn};
use crate::base::clock::{Clock, Instant};
use crate::base::guard::{Guard, holds};
use crate::base::wall::{CORRECTION, Moved, WallClock, told};
use crate::connector::connection::Connection;
use crate::connector::lookup::CLOCKS_APART_MAX;
use crate::model::value::time_text;
use crate::script::Thrown;
use crate::store::StoreError;

/// For how long nobody looks again what a clock in doubt says.
pub(super) const DOUBT_PAUSE: TimeDelta = TimeDelta::minutes(1);

/// What is known of the wall clock.
pub(super) struct WallTime(Mutex<Known>);

struct Known {
    /// As it was when it was last believed.
    clock: WallClock,
    /// A jump the store was not told of yet: when, and in words.
    astray: Option<(Instant, String)>,
    /// Whether the store has a doubt.
    doubted: bool,
}

impl WallTime {
    /// What it shows now is taken for right, unless the store doubts it or has seen it show hours more.
    pub(super) fn new(clock: &dyn Clock, doubted: bool, seen: Option<Instant>) -> Self {
        let now = clock.now();
        let astray = seen.filter(|seen| *seen - now > CORRECTION).map(|seen| {
            let (now_text, seen) = (time_text(now), time_text(seen));
            (
                now,
                format!("the wall clock shows {now_text}, but it was {seen} here before"),
            )
        });
        Self(Mutex::new(Known {
            clock: WallClock::new(clock),
            astray,
            doubted,
        }))
    }

    fn on<T>(&self, then: impl FnOnce(&mut Known) -> T) -> T {
        then(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Known {
    fn look(&mut self, clock: &dyn Clock) {
        if self.doubted || self.astray.is_some() {
            return;
        }
        if let (now, Moved::Astray(jump)) = self.clock.read_unless_astray(clock) {
            let reason = format!("the wall clock jumped {}, to {}", told(jump), time_text(now));
            self.astray = Some((now, reason));
        }
    }

    /// Hears whether the store has a doubt; answers with what it has to be told.
    fn hear(&mut self, clock: &dyn Clock, doubted: bool) -> Option<(Instant, String)> {
        if doubted {
            self.doubted = true;
        } else if std::mem::take(&mut self.doubted) {
            // Somebody has said that it is right.
            self.clock = WallClock::new(clock);
        } else {
            self.look(clock);
            return self.astray.clone();
        }
        self.astray = None;
        None
    }
}

impl Services {
    /// Whether a wait may end by the wall clock.
    pub(super) fn time_is_right(&self) -> bool {
        let right = self.wall_time.on(|known| {
            known.look(self.clock.as_ref());
            known.astray.is_none() && !known.doubted
        });
        right || !holds(Guard::WaitsForClock)
    }

    /// Hears from the store whether the clock is in doubt, and tells it of a jump.
    pub(super) async fn watch_time(&self) -> Result<(), StoreError> {
        let doubted = self.store.clock_doubt().await?.is_some();
        let Some((since, reason)) = self.wall_time.on(|known| known.hear(self.clock.as_ref(), doubted)) else {
            return Ok(());
        };
        tracing::error!(
            reason,
            "the clock cannot be relied on: no wait ends by it until somebody says `bursar schedule resume`"
        );
        self.store.doubt_clock(since, reason).await?;
        self.wall_time.on(|known| known.hear(self.clock.as_ref(), true));
        Ok(())
    }
}

impl Turn {
    /// Whether a time has come, by a clock that is believed.
    pub(super) fn has_come(&self, time: Instant) -> bool {
        self.now() >= time && self.services.time_is_right()
    }

    /// Ends the turn if a step rests before its next attempt. What was noted by a clock that stood hours ahead is no time
    /// to wait for; while nobody knows whether it was, the step asks again.
    pub(super) fn rest(&self, begun: &Begun, next_at: Instant) -> Result<(), Thrown> {
        let now = self.now();
        if now >= next_at || begun.updated_at.is_some_and(|at| self.is_ahead(at)) {
            return Ok(());
        }
        Err(self.pause_until(match self.services.time_is_right() {
            true => next_at,
            false => next_at.min(now + DOUBT_PAUSE),
        }))
    }

    /// When to look again whether this time has come. One that has come and is not believed is not looked at again at
    /// once: when somebody has said what time it is, all waits are woken.
    pub(super) fn look_again_at(&self, time: Instant) -> Instant {
        match self.services.time_is_right() {
            true => time,
            false => time.max(self.now() + DOUBT_PAUSE),
        }
    }

    /// Why nothing may be sent, if that is so: neither a key nor a list tells what became of what goes out while our clock
    /// is so far from the provider's.
    pub(super) fn clocks_apart(&self, connection: &Connection) -> Option<String> {
        let apart = |theirs: Instant| Some((theirs - self.now()).abs()).filter(|apart| *apart > CLOCKS_APART_MAX);
        let seemed = apart(self.services.time_at(&connection.name)?).filter(|_| holds(Guard::ClocksTogether))?;
        // What it said some time ago may have been wrong.
        let is = match self.asked_time(connection) {
            Ok(Some(theirs)) => apart(theirs)?,
            Ok(None) | Err(_) => seemed,
        };
        let hours = is.num_hours();
        Some(format!(
            "our clock and the provider's are {hours} hours apart, and nothing is sent while that is so"
        ))
    }

    /// Whether a time that has passed was told by a clock that stood hours ahead.
    fn is_ahead(&self, past: Instant) -> bool {
        past - self.now() > CORRECTION && self.services.time_is_right() && holds(Guard::WaitsForClock)
    }
}
