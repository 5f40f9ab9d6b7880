//! How far the clock is believed by what forgets for good: a minute in which it is ahead must not take what is needed when
//! it is right again.
//!
//! Kept in memory, so that nothing more is asked of the database. What is forgotten is not decided here.

use chrono::TimeDelta;

use super::reader::Reader;
use crate::base::clock::Instant;
use crate::base::guard::{Guard, holds};
use crate::store::StoreError;

/// How much later than when it was last seen it may be. It is seen every few minutes while it can be relied on.
const AHEAD_MAX: TimeDelta = TimeDelta::hours(4);

/// What the store was told of the wall clock.
#[derive(Debug)]
pub(super) struct ClockSeen {
    /// What it showed when it was last seen, if anybody watches it.
    pub(super) at: Option<Instant>,
    /// Whether nobody knows what time it is.
    pub(super) in_doubt: bool,
}

impl ClockSeen {
    /// What is kept of it. What cannot be read is a doubt.
    pub(super) async fn kept(reader: &Reader) -> Result<Self, StoreError> {
        let (seen, doubt) = (reader.clock_seen().await, reader.clock_doubt().await);
        let is_unreadable = matches!(seen, Err(StoreError::Corrupt(_))) || matches!(doubt, Err(StoreError::Corrupt(_)));
        if is_unreadable {
            return Ok(Self {
                at: None,
                in_doubt: true,
            });
        }
        Ok(Self {
            at: seen?,
            in_doubt: doubt?.is_some(),
        })
    }

    /// What time it is at the most, for what is forgotten by it; nothing while that is in doubt.
    pub(super) fn at_most(&self, now: Instant) -> Option<Instant> {
        if !holds(Guard::ForgottenBySeen) {
            return Some(now);
        }
        let at_most = self.at.map_or(now, |seen| now.min(seen + AHEAD_MAX));
        (!self.in_doubt).then_some(at_most)
    }
}
