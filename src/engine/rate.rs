//! How many requests a second go out on a connection. Pure: the time is an argument, of the clock that never goes back.
//!
//! Requests are spaced evenly and none is saved up, so that no second, wherever it begins, sees more than were allowed
//! by more than one. A place that is some way off is kept for whom it was promised to.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

/// A promise that nobody came for is forgotten so long after its time.
const PROMISE_KEPT: Duration = Duration::from_secs(600);

/// The places in time at which requests go out.
#[derive(Debug)]
pub struct Rate<Who> {
    interval: Duration,
    /// The next free place.
    next: Duration,
    promised: BTreeMap<Who, Duration>,
}

impl<Who: Ord + Clone> Rate<Who> {
    /// So many a second.
    pub fn new(per_second: NonZeroU32) -> Self {
        Self {
            interval: Duration::from_secs(1) / per_second.get(),
            next: Duration::ZERO,
            promised: BTreeMap::new(),
        }
    }

    /// How long to wait before the next request; none if the place is farther off than `patience` and was promised: to
    /// be asked for again at the time given.
    ///
    /// # Errors
    /// How long to stay away.
    pub fn take(&mut self, who: &Who, now: Duration, patience: Duration) -> Result<Duration, Duration> {
        self.promised.retain(|_, place| *place + PROMISE_KEPT > now);
        let place = match self.promised.remove(who) {
            Some(place) => place,
            None => self.place(now),
        };
        let wait = place.saturating_sub(now);
        if wait <= patience {
            return Ok(wait);
        }
        self.promised.insert(who.clone(), place);
        Err(wait)
    }

    /// Counts a request that cannot wait; later ones wait for it.
    pub fn count(&mut self, now: Duration) {
        self.place(now);
    }

    /// Takes the next place, however far off: how long to wait for it.
    pub fn next(&mut self, now: Duration) -> Duration {
        self.place(now).saturating_sub(now)
    }

    fn place(&mut self, now: Duration) -> Duration {
        let place = self.next.max(now);
        self.next = place + self.interval;
        place
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_millis(250);

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn requests_are_spaced_and_a_promised_place_is_kept() {
        let mut rate = Rate::new(NonZeroU32::new(5).expect("five"));
        let mut take = |who: &str, now| rate.take(&who.to_owned(), ms(now), PATIENCE);
        assert_eq!(take("a", 1_000), Ok(ms(0)));
        assert_eq!(take("b", 1_000), Ok(ms(200)));
        assert_eq!(take("c", 1_000), Err(ms(400)));
        assert_eq!(take("d", 1_000), Err(ms(600)));
        // Asked too early, the place is still theirs; nobody is served twice.
        assert_eq!(take("c", 1_100), Err(ms(300)));
        assert_eq!(take("d", 1_600), Ok(ms(0)));
        assert_eq!(take("c", 1_600), Ok(ms(0)));
        assert_eq!(take("c", 1_600), Ok(ms(200)));
        // Nothing is saved up.
        assert_eq!(take("e", 60_000), Ok(ms(0)));
        assert_eq!(take("f", 60_000), Ok(ms(200)));
    }

    #[test]
    fn no_second_sees_more_than_one_too_many() {
        let mut rate = Rate::new(NonZeroU32::new(7).expect("seven"));
        let mut random = fastrand::Rng::with_seed(7);
        let mut sent = Vec::new();
        let mut now = ms(0);
        for number in 0..500_u32 {
            now += ms(random.u64(..200));
            match rate.take(&number, now, Duration::MAX) {
                Ok(wait) => sent.push(now + wait),
                Err(_) => unreachable!("it waits as long as it takes"),
            }
        }
        for (index, first) in sent.iter().enumerate() {
            let within = sent.iter().skip(index).take_while(|at| **at < *first + ms(1_000));
            assert!(within.count() <= 8, "after {first:?}");
        }
    }

    #[test]
    fn what_cannot_wait_makes_the_others_wait() {
        let mut rate = Rate::new(NonZeroU32::new(1).expect("one"));
        rate.count(ms(0));
        rate.count(ms(0));
        assert_eq!(rate.take(&"a", ms(0), PATIENCE), Err(ms(2_000)));
    }
}
