//! How long to wait before trying again. Pure: the randomness is an argument.
//!
//! Full jitter for faults: a random part of a span that doubles, so that many runs that failed together do
//! not come back together. After a 429 at least half of the span, because a full jitter may draw nearly
//! nothing several times in a row. A provider's `Retry-After` outranks both.

use std::time::Duration;

use crate::base::guard::{Guard, holds};
use crate::base::limits::{RETRY_AFTER_MAX, RETRY_AFTER_MIN};

/// The span grows from a base by doubling up to a ceiling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// Span of the first pause.
    pub base: Duration,
    /// The longest span.
    pub ceiling: Duration,
    /// Attempts in all before the step is given up or handed to a person.
    pub attempts_max: u32,
    /// How long a step is tried in all before the same: past it nothing is sent again by itself.
    pub total: Duration,
}

/// What the pause is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// A fault of the network or of the provider.
    Fault,
    /// The provider said that we are too fast.
    TooFast,
}

impl Backoff {
    /// The pause after the given attempt, counted from 1. `random` is drawn evenly from all values of a `u32`.
    pub fn pause(&self, attempt: u32, reason: Reason, retry_after: Option<Duration>, random: u32) -> Duration {
        if let Some(asked) = retry_after.filter(|_| holds(Guard::RetryAfter)) {
            return asked.clamp(RETRY_AFTER_MIN, RETRY_AFTER_MAX);
        }
        if !holds(Guard::Backoff) {
            return Duration::ZERO;
        }
        let doublings = attempt.saturating_sub(1).min(20);
        let span = self.base.saturating_mul(1 << doublings).min(self.ceiling);
        match reason {
            Reason::Fault => part(span, random),
            Reason::TooFast => span / 2 + part(span / 2, random),
        }
    }
}

/// A random part of a duration, in whole numbers.
fn part(of: Duration, random: u32) -> Duration {
    let nanos = of.as_nanos() * u128::from(random) / u128::from(u32::MAX);
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff = Backoff {
        base: Duration::from_secs(1),
        ceiling: Duration::from_secs(60),
        attempts_max: 8,
        total: Duration::from_secs(86_400),
    };

    #[test]
    fn the_span_doubles_up_to_the_ceiling() {
        let longest = |attempt| BACKOFF.pause(attempt, Reason::Fault, None, u32::MAX).as_secs();
        assert_eq!([1, 2, 3, 4, 7, 30].map(longest), [1, 2, 4, 8, 60, 60]);
        assert_eq!(BACKOFF.pause(3, Reason::Fault, None, 0), Duration::ZERO);
    }

    #[test]
    fn being_too_fast_has_a_floor() {
        assert_eq!(BACKOFF.pause(3, Reason::TooFast, None, 0), Duration::from_secs(2));
        assert_eq!(
            BACKOFF.pause(3, Reason::TooFast, None, u32::MAX),
            Duration::from_secs(4)
        );
    }

    #[test]
    fn the_provider_is_obeyed_within_bounds() {
        let asked = |seconds| {
            BACKOFF
                .pause(1, Reason::TooFast, Some(Duration::from_secs(seconds)), 0)
                .as_secs()
        };
        assert_eq!([0, 5, 100_000].map(asked), [1, 5, 3_600]);
    }
}
