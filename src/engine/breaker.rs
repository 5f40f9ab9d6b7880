//! When a provider in trouble is asked for nothing new. Pure: the time and what was heard are arguments.
//!
//! So many calls in a row without a usable answer trip it. Then no new effect begins; what was begun goes on, reads and
//! look-ups go through. After a pause one harmless read is sent, never a payment: if it is answered, effects begin
//! again, and the first that goes wrong trips it anew.
//!
//! A key that is refused trips it at once, and then reads are held, too.

use std::time::Duration;

use chrono::TimeDelta;

use crate::base::clock::Instant;
use crate::base::guard::{Guard, holds};
use crate::connector::connection::BreakerSettings;
use crate::model::breaker::{Cause, Tripped};

/// Whether an effect may begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gate {
    /// Yes.
    Open,
    /// Not before this time.
    Held(Instant),
    /// Ask the provider first, and say what came of it: nobody else does meanwhile.
    Probe,
}

/// What the calls on one connection came to of late.
#[derive(Debug, Default)]
pub struct Breaker {
    /// Effects in a row that got no usable answer. A good read says nothing of them: payments may be down alone.
    effects: u32,
    /// Reads in a row that got none.
    reads: u32,
    tripped: Option<Tripped>,
    /// How many were told to come again since it was last known when.
    held: u32,
    /// Since when one asks, while one does.
    probing: Option<Instant>,
}

/// How far apart those come again that are held, so that they neither look nor go all at once.
const HELD_APART: Duration = Duration::from_millis(10);
/// How long those wait at least that come while one asks.
const PROBE_PATIENCE: TimeDelta = TimeDelta::seconds(1);

impl Breaker {
    /// As an earlier process left it. That its key was refused says nothing of ours, which may be another one: what
    /// was held is tried.
    pub fn new(settings: BreakerSettings, tripped: Option<Tripped>) -> Self {
        Self {
            tripped: tripped.filter(|tripped| settings.failures > 0 && tripped.cause != Cause::Credentials),
            ..Self::default()
        }
    }

    /// Since when, until when and why no effect begins, if none does.
    pub fn tripped(&self) -> Option<&Tripped> {
        self.tripped.as_ref()
    }

    /// Whether a new effect may begin now.
    pub fn gate(&mut self, settings: BreakerSettings, now: Instant) -> Gate {
        let Some(probe_at) = self.probe_at(settings, now).filter(|_| settings.failures > 0) else {
            return Gate::Open;
        };
        if now < probe_at {
            return Gate::Held(self.place(settings, probe_at));
        }
        if let Some(since) = self.probing {
            // As long again as it has taken so far: the longer it hangs, the more rarely anybody looks.
            let again = now + (now - since).clamp(PROBE_PATIENCE, span(settings.pause).max(PROBE_PATIENCE));
            return Gate::Held(self.place(settings, again));
        }
        self.probing = Some(now);
        Gate::Probe
    }

    /// When the next one comes again of all that are held until a time: one after the other, and the last no later than
    /// a pause after it.
    fn place(&mut self, settings: BreakerSettings, from: Instant) -> Instant {
        let places = settings.pause.as_millis() / HELD_APART.as_millis();
        let place = self.held % u32::try_from(places).unwrap_or(u32::MAX).max(1);
        self.held = self.held.wrapping_add(1);
        from + span(HELD_APART.saturating_mul(place))
    }

    /// When the provider is asked again. A wall clock that was set back does not make the pause longer.
    fn probe_at(&mut self, settings: BreakerSettings, now: Instant) -> Option<Instant> {
        let tripped = self.tripped.as_mut()?;
        tripped.probe_at = tripped.probe_at.min(now + span(settings.pause));
        Some(tripped.probe_at)
    }

    /// Until when our key is known to be refused, if it is.
    pub fn refused_until(&mut self, settings: BreakerSettings, now: Instant) -> Option<Instant> {
        let until = self.probe_at(settings, now).filter(|_| self.refuses())?;
        Some(self.place(settings, until))
    }

    /// Hears what a call came to: in trouble, with the reason, or not. Whether that tripped it.
    pub fn heard(
        &mut self,
        connection: &str,
        settings: BreakerSettings,
        changes: bool,
        trouble: Option<&str>,
        now: Instant,
    ) -> bool {
        let Some(reason) = trouble else {
            self.reads = 0;
            self.effects = if changes { 0 } else { self.effects };
            return false;
        };
        let counter = if changes { &mut self.effects } else { &mut self.reads };
        *counter = counter.saturating_add(1);
        let enough = self.effects.saturating_add(self.reads) >= settings.failures;
        if settings.failures == 0 || !enough || self.tripped.is_some() {
            return false;
        }
        self.tripped = Some(Tripped {
            connection: connection.to_owned(),
            since: now,
            probe_at: now + span(settings.pause),
            cause: Cause::Trouble,
            reason: reason.to_owned(),
        });
        self.held = 0;
        true
    }

    /// Hears that the provider refuses our key whatever is asked. Whether that is news.
    pub fn refused(&mut self, connection: &str, settings: BreakerSettings, reason: &str, now: Instant) -> bool {
        if settings.failures == 0 || self.refuses() || !holds(Guard::RefusedKeyHolds) {
            return false;
        }
        self.tripped = Some(Tripped {
            connection: connection.to_owned(),
            since: now,
            probe_at: now + span(settings.pause),
            cause: Cause::Credentials,
            reason: reason.to_owned(),
        });
        self.held = 0;
        true
    }

    /// Hears that a call was done with our key. Whether that is news: one that was on its way before the key was
    /// refused says nothing.
    pub fn admitted(&mut self, now: Instant) -> bool {
        let works = self.refuses() && self.tripped.as_ref().is_some_and(|tripped| now >= tripped.probe_at);
        if works {
            self.tripped = None;
        }
        works
    }

    /// Whether our key is known to be refused.
    pub fn refuses(&self) -> bool {
        let cause = self.tripped.as_ref().map(|tripped| tripped.cause);
        cause == Some(Cause::Credentials)
    }

    /// Hears that nobody will say what came of [`Gate::Probe`].
    pub fn probe_lost(&mut self) {
        self.probing = None;
    }

    /// Hears what the read came to that [`Gate::Probe`] asked for.
    pub fn probed(&mut self, settings: BreakerSettings, trouble: Option<(Cause, &str)>, now: Instant) {
        self.probing = None;
        match (trouble, &mut self.tripped) {
            (None, _) => {
                self.tripped = None;
                self.reads = 0;
                // On trial: one more effect that goes wrong is enough.
                self.effects = self.effects.min(settings.failures.saturating_sub(1));
            }
            (Some((cause, reason)), Some(tripped)) => {
                tripped.probe_at = now + span(settings.pause);
                self.held = 0;
                // Without an answer nothing is known of a key that was refused.
                if cause == Cause::Credentials || tripped.cause == Cause::Trouble {
                    tripped.cause = cause;
                    reason.clone_into(&mut tripped.reason);
                }
            }
            (Some(_), None) => {}
        }
    }
}

fn span(pause: Duration) -> TimeDelta {
    TimeDelta::from_std(pause).unwrap_or(TimeDelta::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: BreakerSettings = BreakerSettings {
        failures: 3,
        pause: Duration::from_secs(30),
    };

    fn at(seconds: i64) -> Instant {
        Instant::UNIX_EPOCH + TimeDelta::seconds(seconds)
    }

    /// What is left of these calls: `E` and `R` are an effect and a read that went wrong, small letters good ones.
    fn after(calls: &str) -> Breaker {
        let mut breaker = Breaker::default();
        for call in calls.chars() {
            let trouble = call.is_ascii_uppercase().then_some("500");
            breaker.heard("bank", SETTINGS, call.eq_ignore_ascii_case(&'e'), trouble, at(0));
        }
        breaker
    }

    #[test]
    fn it_trips_when_so_many_in_a_row_went_wrong() {
        for (calls, trips) in [
            ("EEE", true),
            ("RRR", true),
            ("ERE", true),
            ("EE", false),
            ("EEeE", false),
            ("RRrR", false),
            // Reads are answered, payments are not.
            ("ErErE", true),
            ("EReRE", false),
            ("EEre", false),
        ] {
            assert_eq!(after(calls).tripped().is_some(), trips, "{calls}");
        }
    }

    #[test]
    fn one_asks_after_the_pause_while_the_others_wait_and_one_more_failure_is_then_enough() {
        let mut breaker = after("EEE");
        let gate = |breaker: &mut Breaker, seconds| breaker.gate(SETTINGS, at(seconds));
        assert_eq!(gate(&mut breaker, 10), Gate::Held(at(30)));
        assert_eq!(gate(&mut breaker, 30), Gate::Probe);
        assert_eq!(gate(&mut breaker, 30), Gate::Held(at(31) + span(HELD_APART)));
        breaker.probed(SETTINGS, Some((Cause::Trouble, "still down")), at(31));
        assert_eq!(gate(&mut breaker, 60), Gate::Held(at(61)));
        assert_eq!(gate(&mut breaker, 61), Gate::Probe);
        breaker.probed(SETTINGS, None, at(61));
        assert_eq!(gate(&mut breaker, 61), Gate::Open);
        assert!(breaker.heard("bank", SETTINGS, true, Some("500"), at(62)));
        // A clock that was set back by a day makes nobody wait for a day.
        assert_eq!(gate(&mut breaker, -86_400), Gate::Held(at(-86_370)));
    }

    #[test]
    fn a_refused_key_trips_it_at_once_and_a_new_process_tries_its_own() {
        let mut breaker = Breaker::default();
        assert!(breaker.refused("bank", SETTINGS, "no such key", at(0)));
        assert!(!breaker.refused("bank", SETTINGS, "no such key", at(1)), "no news");
        assert!(breaker.refuses());
        let mut later = Breaker::new(SETTINGS, breaker.tripped().cloned());
        assert_eq!(breaker.gate(SETTINGS, at(10)), Gate::Held(at(30)));
        assert_eq!(breaker.gate(SETTINGS, at(30)), Gate::Probe);
        breaker.probed(SETTINGS, Some((Cause::Credentials, "no such key")), at(30));
        assert_eq!(breaker.gate(SETTINGS, at(59)), Gate::Held(at(60)));
        assert!(!breaker.admitted(at(59)) && breaker.refuses());
        assert!(breaker.admitted(at(60)) && !breaker.refuses());
        // The key of a later process may be another one.
        assert_eq!(later.gate(SETTINGS, at(11)), Gate::Open);
        assert!(later.tripped().is_none() && !later.admitted(at(11)));
    }

    /// Each of a thousand comes again when it was told to, while the one that asks hangs and then gets no good answer.
    #[test]
    fn many_that_are_held_come_one_after_the_other_and_the_more_rarely_the_longer_one_asks() {
        let mut breaker = after("EEE");
        let mut due: std::collections::BTreeMap<(Instant, u32), u32> =
            (0..1_000).map(|run| ((at(1), run), 0)).collect();
        let mut asked_at = None;
        while let Some(((now, run), looks)) = due.pop_first() {
            if let Some(asked) = asked_at.filter(|asked| now - *asked > TimeDelta::seconds(29)) {
                breaker.probed(
                    SETTINGS,
                    Some((Cause::Trouble, "no answer")),
                    asked + TimeDelta::seconds(29),
                );
                break;
            }
            match breaker.gate(SETTINGS, now) {
                Gate::Held(until) => assert_eq!(due.insert((until, run), looks + 1), None),
                Gate::Probe => assert_eq!(asked_at.replace(now), None, "one asks at a time"),
                Gate::Open => panic!("it is tripped"),
            }
        }
        assert_eq!(asked_at, Some(at(30)));
        let (looks, most) = due
            .values()
            .fold((0, 0), |(sum, most), looks| (sum + looks, *looks.max(&most)));
        assert!(looks < 4_000 && most <= 6, "{looks} looks, {most} by one");
        let mut seconds = std::collections::BTreeMap::new();
        for (until, _) in due.keys() {
            *seconds.entry(until.timestamp()).or_insert(0) += 1;
        }
        assert!(seconds.values().all(|count| *count <= 200), "{seconds:?}");
    }

    #[test]
    fn a_probe_without_an_answer_says_nothing_of_a_refused_key() {
        let mut breaker = Breaker::default();
        breaker.refused("bank", SETTINGS, "no such key", at(0));
        assert_eq!(breaker.gate(SETTINGS, at(30)), Gate::Probe);
        breaker.probed(SETTINGS, Some((Cause::Trouble, "503")), at(30));
        assert!(breaker.refuses());
        let reason = breaker.tripped().map(|tripped| tripped.reason.as_str());
        assert_eq!(reason, Some("no such key"));
        assert_eq!(breaker.gate(SETTINGS, at(60)), Gate::Probe);
        breaker.probed(SETTINGS, None, at(60));
        assert_eq!(breaker.gate(SETTINGS, at(60)), Gate::Open);
    }

    #[test]
    fn a_clock_that_was_set_back_makes_the_pause_no_longer() {
        let mut breaker = Breaker::default();
        breaker.refused("bank", SETTINGS, "no such key", at(0));
        assert_eq!(breaker.gate(SETTINGS, at(-86_400)), Gate::Held(at(-86_370)));
        let next = at(-86_370) + span(HELD_APART);
        assert_eq!(breaker.gate(SETTINGS, at(-86_380)), Gate::Held(next));
        assert_eq!(breaker.gate(SETTINGS, at(-86_370)), Gate::Probe);
        assert!(breaker.admitted(at(-86_369)));
    }

    #[test]
    fn without_a_number_it_never_trips() {
        let off = BreakerSettings {
            failures: 0,
            ..SETTINGS
        };
        let mut breaker = after("EEE");
        assert_eq!(breaker.gate(off, at(0)), Gate::Open);
        assert!(!Breaker::default().refused("bank", off, "no such key", at(0)));
        assert!(!breaker.heard("bank", off, true, Some("500"), at(0)));
    }
}
