//! The wall clock, watched by elapsed time: whether it jumped since it was last read.
//!
//! What becomes of schedules and waits then is not said here. On some systems elapsed time stands still while the machine
//! sleeps; so waking up looks like a jump ahead, and is one to whoever has slots to run.

use std::time::Duration;

use chrono::TimeDelta;

use super::clock::{Clock, Instant};
use super::guard::{Guard, holds};

/// Clocks that are kept right differ by less than this from one reading to the next.
const STEP: TimeDelta = TimeDelta::seconds(5);
/// After a jump further than this, either way, nobody can say what time it is without looking.
pub const CORRECTION: TimeDelta = TimeDelta::hours(3);
/// Two readings that belong together are no further apart than this.
const APART: Duration = Duration::from_secs(1);
/// A process may be stopped between two readings, but hardly so often.
const READINGS_MAX: usize = 5;

/// A reading of both clocks.
#[derive(Debug, Clone, Copy)]
struct Reading {
    wall: Instant,
    elapsed: Duration,
}

impl Reading {
    fn of(clock: &dyn Clock) -> Self {
        let read = || {
            let (before, wall, elapsed) = (clock.elapsed(), clock.now(), clock.elapsed());
            (Self { wall, elapsed }, elapsed.saturating_sub(before) <= APART)
        };
        let (mut reading, mut belongs) = read();
        for _ in 1..READINGS_MAX {
            if belongs {
                break;
            }
            (reading, belongs) = read();
        }
        reading
    }
}

/// What the wall clock did beyond letting time pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moved {
    /// Nothing that matters.
    Steadily,
    /// It jumped by this much: what lies between is downtime if it went ahead, and is not repeated if it went back.
    Jumped(TimeDelta),
    /// It jumped so far that a person has to say which time is right.
    Astray(TimeDelta),
}

impl Moved {
    /// What a wall clock did that moved by one while the other passed.
    pub fn of(wall: TimeDelta, elapsed: Duration) -> Self {
        let jump = wall - TimeDelta::from_std(elapsed).unwrap_or(TimeDelta::MAX);
        match jump.abs() {
            far if far > CORRECTION && holds(Guard::ClockAstray) => Self::Astray(jump),
            far if far > STEP => Self::Jumped(jump),
            _ => Self::Steadily,
        }
    }
}

/// Reads the wall clock again and again.
#[derive(Debug)]
pub struct WallClock {
    last: Reading,
}

impl WallClock {
    /// What it shows now is taken for right.
    pub fn new(clock: &dyn Clock) -> Self {
        Self {
            last: Reading::of(clock),
        }
    }

    /// The time, and what the clock did since it was last read.
    pub fn read(&mut self, clock: &dyn Clock) -> (Instant, Moved) {
        let (reading, moved) = self.compare(clock);
        self.last = reading;
        (reading.wall, moved)
    }

    /// The same, measured from the last time that was no leap into nowhere: a clock that comes back from there is right.
    pub fn read_unless_astray(&mut self, clock: &dyn Clock) -> (Instant, Moved) {
        let (reading, moved) = self.compare(clock);
        if !matches!(moved, Moved::Astray(_)) {
            self.last = reading;
        }
        (reading.wall, moved)
    }

    fn compare(&self, clock: &dyn Clock) -> (Reading, Moved) {
        let (reading, last) = (Reading::of(clock), self.last);
        let moved = Moved::of(reading.wall - last.wall, reading.elapsed.saturating_sub(last.elapsed));
        (reading, moved)
    }
}

/// A jump in words: `ahead by 8 h 12 min`.
pub fn told(jump: TimeDelta) -> String {
    let way = if jump > TimeDelta::zero() { "ahead" } else { "back" };
    let (minutes, seconds) = (jump.num_minutes().abs(), jump.num_seconds().abs());
    match (minutes / 60, minutes % 60) {
        (hours, _) if hours >= 72 => format!("{way} by {} days", hours / 24),
        (0, 0) => format!("{way} by {seconds} s"),
        (0, minutes) => format!("{way} by {minutes} min"),
        (hours, minutes) => format!("{way} by {hours} h {minutes} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jump_is_what_the_wall_clock_moved_beyond_the_time_that_passed() {
        let check = |wall: i64, elapsed: u64, expected: Moved| {
            let found = Moved::of(TimeDelta::seconds(wall), Duration::from_secs(elapsed));
            assert_eq!(found, expected, "{wall} in {elapsed}");
        };
        let jumped = |seconds| Moved::Jumped(TimeDelta::seconds(seconds));
        let astray = |seconds| Moved::Astray(TimeDelta::seconds(seconds));
        check(30, 30, Moved::Steadily);
        check(35, 30, Moved::Steadily);
        check(25, 30, Moved::Steadily);
        check(36, 30, jumped(6));
        check(24, 30, jumped(-6));
        check(0, 30, jumped(-30));
        // Somebody stopped the process for a day: no clock jumped.
        check(86_400, 86_400, Moved::Steadily);
        let three_hours = 3 * 3_600;
        check(30 + three_hours, 30, jumped(three_hours));
        check(31 + three_hours, 30, astray(three_hours + 1));
        check(30 - three_hours, 30, jumped(-three_hours));
        check(29 - three_hours, 30, astray(-three_hours - 1));
    }

    #[test]
    fn a_jump_is_told_in_words() {
        let check = |seconds: i64, expected: &str| assert_eq!(told(TimeDelta::seconds(seconds)), expected);
        check(7, "ahead by 7 s");
        check(-150, "back by 2 min");
        check(29_530, "ahead by 8 h 12 min");
        check(-365 * 86_400, "back by 365 days");
    }
}
