//! The clock: the only place that reads the time of the machine, and the hand-moved one for tests.
//!
//! Everything that needs the time takes a [`Clock`], so that a test can jump days and a run replays.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::Notify;

/// A point in time, always UTC.
pub type Instant = DateTime<Utc>;

/// A boxed future, the return type of the object-safe async methods of this crate.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The time of day, elapsed time, and waiting.
pub trait Clock: Send + Sync + 'static {
    /// The wall clock. It may jump either way; nothing may be timed by it alone.
    fn now(&self) -> Instant;

    /// Time since an arbitrary start, never going back: for measuring how long something took.
    fn elapsed(&self) -> Duration;

    /// Waits for this long by the elapsed time.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;
}

/// The clock of the machine.
#[derive(Debug, Clone)]
pub struct SystemClock {
    started: std::time::Instant,
}

impl SystemClock {
    /// A clock whose elapsed time starts now.
    #[expect(clippy::disallowed_methods, reason = "this is the one home of the machine's clock")]
    pub fn new() -> Self {
        Self {
            started: std::time::Instant::now(),
        }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one home of the machine's clock")]
    fn now(&self) -> Instant {
        Utc::now()
    }

    fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    #[expect(clippy::disallowed_methods, reason = "this is the one home of the machine's clock")]
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }
}

/// A clock moved by hand: wall time and elapsed time advance together, or the wall clock jumps alone.
#[derive(Debug, Clone)]
pub struct ManualClock {
    shared: Arc<ManualTime>,
}

#[derive(Debug)]
struct ManualTime {
    time: Mutex<(Instant, Duration)>,
    moved: Notify,
}

impl ManualClock {
    /// A clock standing still at `now`.
    pub fn new(now: Instant) -> Self {
        Self {
            shared: Arc::new(ManualTime {
                time: Mutex::new((now, Duration::ZERO)),
                moved: Notify::new(),
            }),
        }
    }

    /// Lets time pass: both clocks move, sleepers whose time has come wake.
    pub fn advance(&self, duration: Duration) {
        self.change(|(now, elapsed)| {
            *now += TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX);
            *elapsed += duration;
        });
    }

    /// Moves only the wall clock, as an operator or a time server would.
    pub fn jump_to(&self, instant: Instant) {
        self.change(|(now, _)| *now = instant);
    }

    fn change(&self, change: impl FnOnce(&mut (Instant, Duration))) {
        change(
            &mut self
                .shared
                .time
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner),
        );
        self.shared.moved.notify_waiters();
    }

    fn read(&self) -> (Instant, Duration) {
        *self
            .shared
            .time
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Instant {
        self.read().0
    }

    fn elapsed(&self) -> Duration {
        self.read().1
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let clock = self.clone();
        let due = self.elapsed() + duration;
        Box::pin(async move {
            loop {
                // Registered before the check, so that a move in between is not missed.
                let moved = clock.shared.moved.notified();
                if clock.elapsed() >= due {
                    return;
                }
                moved.await;
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_sleeper_wakes_when_time_has_passed_and_not_when_the_wall_clock_jumps() {
        let start = DateTime::from_timestamp(0, 0).expect("the epoch");
        let clock = ManualClock::new(start);
        let sleeper = tokio::spawn(clock.sleep(Duration::from_secs(60)));
        tokio::task::yield_now().await;
        clock.jump_to(start + TimeDelta::days(2));
        tokio::task::yield_now().await;
        assert!(!sleeper.is_finished());
        clock.advance(Duration::from_secs(61));
        sleeper.await.expect("the sleeper ends");
    }
}
