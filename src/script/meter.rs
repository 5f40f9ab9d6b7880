//! The meter of one turn: what it may still use, and whether it was stopped.
//!
//! Read at every operation of the interpreter, also inside natives that call closures, where the
//! interpreter's own count starts again. Time and memory used by host functions are not the script's.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use crate::base::clock::Clock;
use crate::base::limits::{SCRIPT_COMPUTE_MAX, SCRIPT_MEMORY_BYTES_MAX, SCRIPT_OPERATIONS_MAX};
use crate::base::memory::thread_net_bytes;

/// What one turn may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Interpreter operations.
    pub operations: u64,
    /// Computing time, without the time host functions take.
    pub compute: Duration,
    /// Memory held at once.
    pub memory_bytes: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            operations: SCRIPT_OPERATIONS_MAX,
            compute: SCRIPT_COMPUTE_MAX,
            memory_bytes: SCRIPT_MEMORY_BYTES_MAX,
        }
    }
}

/// What a script used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Interpreter operations.
    Operations,
    /// Computing time.
    Compute,
    /// Memory.
    Memory,
    /// Nested calls.
    Depth,
    /// The size of one text, list or map.
    Size,
}

impl Limit {
    /// What to tell a person.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Operations => "the script used up its operations: does a loop never end?",
            Self::Compute => "the script used up its computing time",
            Self::Memory => "the script used up its memory",
            Self::Depth => "the script called functions too deep: does a function call itself for ever?",
            Self::Size => "a text, list or map of the script grew too large",
        }
    }
}

/// Why a turn was stopped from outside the script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    Interrupted,
    Exhausted(Limit),
}

const RUNNING: u8 = 0;
const INTERRUPTED: u8 = 1;
const OPERATIONS: u8 = 2;
const COMPUTE: u8 = 3;
const MEMORY: u8 = 4;

/// Reading the clock at every operation would cost more than the operation.
const CLOCK_EVERY_OPERATIONS: u64 = 256;

/// The meter. One thread uses it; it is atomic only because the interpreter shares its callbacks.
pub(super) struct Meter {
    clock: Arc<dyn Clock>,
    budget: Budget,
    started: Duration,
    baseline_bytes: i64,
    operations: AtomicU64,
    outside_nanos: AtomicU64,
    outside_bytes: AtomicI64,
    stop: AtomicU8,
}

/// What was read before a host function began.
pub(super) struct Outside {
    began: Duration,
    bytes: i64,
}

fn net_bytes() -> i64 {
    i64::try_from(thread_net_bytes()).unwrap_or(i64::MAX)
}

impl Meter {
    pub(super) fn start(clock: Arc<dyn Clock>, budget: Budget) -> Self {
        Self {
            started: clock.elapsed(),
            clock,
            budget,
            baseline_bytes: net_bytes(),
            operations: AtomicU64::new(0),
            outside_nanos: AtomicU64::new(0),
            outside_bytes: AtomicI64::new(0),
            stop: AtomicU8::new(RUNNING),
        }
    }

    /// Whether the script may go on after one more operation.
    pub(super) fn tick(&self, interrupted: bool) -> bool {
        if self.stop.load(Ordering::Relaxed) != RUNNING {
            return false;
        }
        if interrupted {
            return self.halt(INTERRUPTED);
        }
        let operations = self.operations.load(Ordering::Relaxed) + 1;
        self.operations.store(operations, Ordering::Relaxed);
        if operations > self.budget.operations {
            return self.halt(OPERATIONS);
        }
        let held = net_bytes() - self.baseline_bytes - self.outside_bytes.load(Ordering::Relaxed);
        if usize::try_from(held).is_ok_and(|held| held > self.budget.memory_bytes) {
            return self.halt(MEMORY);
        }
        if operations.is_multiple_of(CLOCK_EVERY_OPERATIONS) && self.computed() > self.budget.compute {
            return self.halt(COMPUTE);
        }
        true
    }

    /// Time since the start without the time host functions took.
    fn computed(&self) -> Duration {
        let outside = Duration::from_nanos(self.outside_nanos.load(Ordering::Relaxed));
        self.clock
            .elapsed()
            .saturating_sub(self.started)
            .saturating_sub(outside)
    }

    fn halt(&self, reason: u8) -> bool {
        self.stop.store(reason, Ordering::Relaxed);
        false
    }

    /// The turn ends here, whatever the script tries.
    pub(super) fn interrupt(&self) {
        self.halt(INTERRUPTED);
    }

    /// The same, unless something else stopped it before.
    pub(super) fn interrupt_if_running(&self) {
        if self.stopped().is_none() {
            self.interrupt();
        }
    }

    /// A host function begins.
    pub(super) fn leave(&self) -> Outside {
        Outside {
            began: self.clock.elapsed(),
            bytes: net_bytes(),
        }
    }

    /// It ended and handed a value of about so many bytes to the script: its time, and the memory it kept
    /// for itself, are not the script's.
    pub(super) fn come_back(&self, outside: &Outside, handed_over_bytes: usize) {
        let took = self.clock.elapsed().saturating_sub(outside.began);
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.outside_nanos.fetch_add(nanos, Ordering::Relaxed);
        let handed_over = i64::try_from(handed_over_bytes).unwrap_or(i64::MAX);
        self.outside_bytes
            .fetch_add(net_bytes() - outside.bytes - handed_over, Ordering::Relaxed);
    }

    /// Why the turn was stopped, if it was.
    pub(super) fn stopped(&self) -> Option<Stop> {
        match self.stop.load(Ordering::Relaxed) {
            INTERRUPTED => Some(Stop::Interrupted),
            OPERATIONS => Some(Stop::Exhausted(Limit::Operations)),
            COMPUTE => Some(Stop::Exhausted(Limit::Compute)),
            MEMORY => Some(Stop::Exhausted(Limit::Memory)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::{Instant, ManualClock};

    fn meter(budget: Budget) -> (Meter, ManualClock) {
        let clock = ManualClock::new(Instant::UNIX_EPOCH);
        (Meter::start(Arc::new(clock.clone()), budget), clock)
    }

    #[test]
    fn a_meter_that_was_stopped_stays_stopped() {
        for stop in [
            |meter: &Meter| meter.interrupt(),
            |meter: &Meter| assert!(!meter.tick(true)),
        ] {
            let (meter, _) = meter(Budget::default());
            assert!(meter.tick(false));
            stop(&meter);
            assert!(!meter.tick(false));
            assert_eq!(meter.stopped(), Some(Stop::Interrupted));
        }
        let (meter, _) = meter(Budget {
            operations: 2,
            ..Budget::default()
        });
        assert_eq!([(); 4].map(|()| meter.tick(false)), [true, true, false, false]);
        assert_eq!(meter.stopped(), Some(Stop::Exhausted(Limit::Operations)));
    }

    #[test]
    fn only_the_scripts_own_time_counts() {
        let (meter, clock) = meter(Budget {
            compute: Duration::from_secs(1),
            ..Budget::default()
        });
        let tick_for_the_clock = || (0..CLOCK_EVERY_OPERATIONS).all(|_| meter.tick(false));
        let outside = meter.leave();
        clock.advance(Duration::from_secs(3_600));
        meter.come_back(&outside, 0);
        assert!(tick_for_the_clock());
        clock.advance(Duration::from_millis(1_001));
        assert!(!tick_for_the_clock());
        assert_eq!(meter.stopped(), Some(Stop::Exhausted(Limit::Compute)));
    }
}
