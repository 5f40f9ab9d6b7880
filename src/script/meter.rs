//! The meter of one turn: what it may still use, and whether it was stopped.
//!
//! Read at every operation of the interpreter, also inside natives that call closures, where the
//! interpreter's own count starts again. Time in which host functions wait, and memory they keep, are not the
//! script's; what they compute for it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use crate::base::clock::Clock;
use crate::base::guard::{Guard, holds};
use crate::base::limits::{
    SCRIPT_CALL_LEVELS_MAX, SCRIPT_COMPUTE_MAX, SCRIPT_LIST_ITEMS_MAX, SCRIPT_MAP_KEYS_MAX, SCRIPT_MEMORY_BYTES_MAX,
    SCRIPT_OPERATIONS_MAX, SCRIPT_TEXT_BYTES_MAX,
};
use crate::base::memory::thread_net_bytes;

/// What one turn may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Interpreter operations.
    pub operations: u64,
    /// Computing time, without the time host functions wait.
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
    /// What to tell a person: what was used up, and what to do.
    pub fn describe(self) -> String {
        const MEBI: usize = 1024 * 1024;
        match self {
            Self::Operations => format!(
                "the script used up its {SCRIPT_OPERATIONS_MAX} operations: does a loop never end? \
                 Work that large belongs into several runs"
            ),
            Self::Compute => format!(
                "the script computed for more than {} s: does a loop never end? \
                 Work that large belongs into several runs",
                SCRIPT_COMPUTE_MAX.as_secs()
            ),
            Self::Memory => format!(
                "the script held more than {} MiB at once: keep only what it needs of large answers",
                SCRIPT_MEMORY_BYTES_MAX / MEBI
            ),
            Self::Depth => format!(
                "the script called functions more than {SCRIPT_CALL_LEVELS_MAX} deep: does a function call itself \
                 for ever? Write it as a loop"
            ),
            Self::Size => format!(
                "a text, list or map of the script grew too large: at most {} MiB of text, {SCRIPT_LIST_ITEMS_MAX} \
                 list items and {SCRIPT_MAP_KEYS_MAX} map keys fit into one value",
                SCRIPT_TEXT_BYTES_MAX / MEBI
            ),
        }
    }
}

/// Why a turn was stopped from outside the script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    Interrupted,
    Panicked,
    Exhausted(Limit),
}

const RUNNING: u8 = 0;
/// What stops a turn for good, with the number it has in an atomic.
const STOPS: [(u8, Stop); 7] = [
    (1, Stop::Interrupted),
    (2, Stop::Panicked),
    (3, Stop::Exhausted(Limit::Operations)),
    (4, Stop::Exhausted(Limit::Compute)),
    (5, Stop::Exhausted(Limit::Memory)),
    (6, Stop::Exhausted(Limit::Depth)),
    (7, Stop::Exhausted(Limit::Size)),
];

fn stop_of(number: u8) -> Option<Stop> {
    STOPS.iter().find(|(known, _)| *known == number).map(|(_, stop)| *stop)
}

fn number_of(stop: Stop) -> u8 {
    STOPS
        .iter()
        .find(|(_, known)| *known == stop)
        .map_or(RUNNING, |(number, _)| *number)
}

/// Reading the clock at every operation would cost as much as the operation; some natives take 50 ms.
const CLOCK_EVERY_OPERATIONS: u64 = 32;
/// By how much the memory of one branch may change before the others hear of it.
const TELL_EVERY_BYTES: i64 = 256 * 1024;

/// What all threads of one turn have used together, and whether one of them used up something.
struct Totals {
    budget: Budget,
    operations: AtomicU64,
    computed_nanos: AtomicU64,
    held_bytes: AtomicI64,
    stop: AtomicU8,
}

impl Totals {
    /// Adds computing time; the turn ends if it is too much.
    fn charge(&self, nanos_more: u64) {
        let of_all = self.computed_nanos.fetch_add(nanos_more, Ordering::Relaxed) + nanos_more;
        if of_all > nanos(self.budget.compute) && holds(Guard::ComputeBudget) {
            self.halt(Stop::Exhausted(Limit::Compute));
        }
    }

    /// The whole turn ends. The first reason stays.
    fn halt(&self, stop: Stop) {
        let stop = number_of(stop);
        let _first = self
            .stop
            .compare_exchange(RUNNING, stop, Ordering::Relaxed, Ordering::Relaxed);
    }
}

/// The meter of one thread of a turn. Only that thread uses it; it is atomic only because the interpreter shares
/// its callbacks. What it counts it tells the turn from time to time; limits hold for the turn.
pub(super) struct Meter {
    clock: Arc<dyn Clock>,
    totals: Arc<Totals>,
    started: Duration,
    baseline_bytes: i64,
    /// Since the turn was last told.
    operations: AtomicU64,
    waited_nanos: AtomicU64,
    outside_bytes: AtomicI64,
    told_nanos: AtomicU64,
    told_bytes: AtomicI64,
    /// Why this thread was stopped; the others go on.
    stop: AtomicU8,
}

/// Makes meters for the parts of one turn that run on threads of their own.
#[derive(Clone)]
pub(super) struct Parts {
    clock: Arc<dyn Clock>,
    totals: Arc<Totals>,
}

impl Parts {
    /// A meter for the thread that calls this.
    pub(super) fn meter(&self) -> Meter {
        Meter::of(Arc::clone(&self.clock), Arc::clone(&self.totals))
    }

    /// What was computed for a part outside its meter.
    pub(super) fn charge(&self, computed: Duration) {
        self.totals.charge(nanos(computed));
    }
}

/// What was read before a host function began.
pub(super) struct Outside {
    waited: Duration,
    bytes: i64,
}

fn net_bytes() -> i64 {
    i64::try_from(thread_net_bytes()).unwrap_or(i64::MAX)
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl Meter {
    pub(super) fn start(clock: Arc<dyn Clock>, budget: Budget) -> Self {
        let totals = Totals {
            budget,
            operations: AtomicU64::new(0),
            computed_nanos: AtomicU64::new(0),
            held_bytes: AtomicI64::new(0),
            stop: AtomicU8::new(RUNNING),
        };
        Self::of(clock, Arc::new(totals))
    }

    /// From which meters for other parts of the same turn are made.
    pub(super) fn parts(&self) -> Parts {
        self.tell();
        Parts {
            clock: Arc::clone(&self.clock),
            totals: Arc::clone(&self.totals),
        }
    }

    fn of(clock: Arc<dyn Clock>, totals: Arc<Totals>) -> Self {
        Self {
            started: clock.elapsed(),
            clock,
            totals,
            baseline_bytes: net_bytes(),
            operations: AtomicU64::new(0),
            waited_nanos: AtomicU64::new(0),
            outside_bytes: AtomicI64::new(0),
            told_nanos: AtomicU64::new(0),
            told_bytes: AtomicI64::new(0),
            stop: AtomicU8::new(RUNNING),
        }
    }

    /// Whether the script may go on after one more operation.
    pub(super) fn tick(&self, interrupted: bool) -> bool {
        if self.totals.stop.load(Ordering::Relaxed) != RUNNING || self.stop.load(Ordering::Relaxed) != RUNNING {
            return false;
        }
        if interrupted {
            self.interrupt();
            return false;
        }
        let budget = &self.totals.budget;
        let operations = self.operations.load(Ordering::Relaxed) + 1;
        self.operations.store(operations, Ordering::Relaxed);
        if self.totals.operations.load(Ordering::Relaxed) + operations > budget.operations
            && holds(Guard::OperationsBudget)
        {
            return self.exhausted(Limit::Operations);
        }
        let told = self.told_bytes.load(Ordering::Relaxed);
        let held = self.held();
        let of_all = self.totals.held_bytes.load(Ordering::Relaxed) - told + held;
        if usize::try_from(of_all).is_ok_and(|held| held > budget.memory_bytes) && holds(Guard::MemoryBudget) {
            return self.exhausted(Limit::Memory);
        }
        if operations.is_multiple_of(CLOCK_EVERY_OPERATIONS) {
            self.tell();
            return self.totals.stop.load(Ordering::Relaxed) == RUNNING;
        }
        if (held - told).abs() > TELL_EVERY_BYTES {
            self.tell_held(held);
        }
        true
    }

    /// Bytes the script holds on this thread.
    fn held(&self) -> i64 {
        net_bytes() - self.baseline_bytes - self.outside_bytes.load(Ordering::Relaxed)
    }

    fn tell_held(&self, held: i64) {
        let told = self.told_bytes.swap(held, Ordering::Relaxed);
        self.totals.held_bytes.fetch_add(held - told, Ordering::Relaxed);
    }

    /// Adds what was used since the last time to what the turn has used.
    fn tell(&self) {
        let operations = self.operations.swap(0, Ordering::Relaxed);
        self.totals.operations.fetch_add(operations, Ordering::Relaxed);
        self.tell_held(self.held());
        let computed = nanos(self.computed());
        let more = computed.saturating_sub(self.told_nanos.swap(computed, Ordering::Relaxed));
        self.totals.charge(more);
    }

    /// Time since the start without the time host functions waited.
    fn computed(&self) -> Duration {
        let waited = Duration::from_nanos(self.waited_nanos.load(Ordering::Relaxed));
        self.clock.elapsed().saturating_sub(self.started).saturating_sub(waited)
    }

    /// The whole turn ends: what it may use is used up. The first reason stays. `false`, for whoever asks whether
    /// to go on.
    pub(super) fn exhausted(&self, limit: Limit) -> bool {
        self.totals.halt(Stop::Exhausted(limit));
        false
    }

    /// The whole turn ends: the program itself failed in a part of it.
    pub(super) fn panicked(&self) {
        self.totals.halt(Stop::Panicked);
    }

    /// This part of the turn ends here, whatever the script tries.
    pub(super) fn interrupt(&self) {
        if holds(Guard::InterruptSticks) {
            self.stop.store(number_of(Stop::Interrupted), Ordering::Relaxed);
        }
    }

    /// A host function begins; the host has waited so long up to now.
    pub(super) fn leave(&self, waited: Duration) -> Outside {
        Outside {
            waited,
            bytes: net_bytes(),
        }
    }

    /// It ended and handed a value of about so many bytes to the script: the time it waited, and the memory it
    /// kept for itself, are not the script's.
    pub(super) fn come_back(&self, outside: &Outside, waited: Duration, handed_over_bytes: usize) {
        let waited = waited.saturating_sub(outside.waited);
        self.waited_nanos.fetch_add(nanos(waited), Ordering::Relaxed);
        let handed_over = i64::try_from(handed_over_bytes).unwrap_or(i64::MAX);
        self.outside_bytes
            .fetch_add(net_bytes() - outside.bytes - handed_over, Ordering::Relaxed);
        // A host function may compute for longer than many operations of the script.
        if self.stopped().is_none() {
            self.tell();
        }
    }

    /// Why the script was stopped, if it was.
    pub(super) fn stopped(&self) -> Option<Stop> {
        stop_of(self.totals.stop.load(Ordering::Relaxed)).or_else(|| stop_of(self.stop.load(Ordering::Relaxed)))
    }
}

impl Drop for Meter {
    /// What this part held is freed, or has become the host's.
    fn drop(&mut self) {
        self.tell();
        self.tell_held(0);
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
        for stop in [Meter::interrupt, |meter: &Meter| assert!(!meter.tick(true))] {
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
        let outside = meter.leave(Duration::from_secs(5));
        clock.advance(Duration::from_secs(3_600));
        meter.come_back(&outside, Duration::from_secs(3_605), 0);
        assert!(tick_for_the_clock());
        let outside = meter.leave(Duration::from_secs(3_605));
        clock.advance(Duration::from_millis(1_001));
        meter.come_back(&outside, Duration::from_secs(3_605), 0);
        assert!(!tick_for_the_clock());
        assert_eq!(meter.stopped(), Some(Stop::Exhausted(Limit::Compute)));
    }
    #[test]
    fn the_parts_of_a_turn_use_one_budget() {
        let (whole, clock) = meter(Budget {
            operations: 10,
            compute: Duration::from_secs(1),
            ..Budget::default()
        });
        let (one, other) = (whole.parts().meter(), whole.parts().meter());
        assert!((0..6).all(|_| one.tick(false)));
        drop(one);
        assert_eq!([(); 5].map(|()| other.tick(false)), [true, true, true, true, false]);
        assert_eq!(whole.stopped(), Some(Stop::Exhausted(Limit::Operations)));

        let (whole, clock) = {
            drop(clock);
            meter(Budget {
                compute: Duration::from_secs(1),
                ..Budget::default()
            })
        };
        let parts = [whole.parts().meter(), whole.parts().meter()];
        clock.advance(Duration::from_millis(600));
        drop(parts);
        assert_eq!(whole.stopped(), Some(Stop::Exhausted(Limit::Compute)));
    }

    #[test]
    fn memory_of_a_part_counts_until_the_part_ends() {
        let (whole, _) = meter(Budget {
            memory_bytes: 1 << 20,
            ..Budget::default()
        });
        let (one, other) = (whole.parts().meter(), whole.parts().meter());
        let big = vec![0u8; 700 << 10];
        assert!(one.tick(false));
        let more = vec![0u8; 100 << 10];
        // On one thread both see all of it.
        assert!(!other.tick(false));
        assert_eq!(whole.stopped(), Some(Stop::Exhausted(Limit::Memory)));
        drop((big, more));
    }

    #[test]
    fn an_interrupt_of_one_part_is_not_the_others() {
        let (whole, _) = meter(Budget::default());
        let (one, other) = (whole.parts().meter(), whole.parts().meter());
        one.interrupt();
        assert!(!one.tick(false));
        assert!(other.tick(false) && whole.tick(false));
        one.panicked();
        assert!(!other.tick(false));
        assert_eq!(whole.stopped(), Some(Stop::Panicked));
    }
}
