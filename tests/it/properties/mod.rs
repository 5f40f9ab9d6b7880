//! Properties at their figures: many cases, each from a seed that is printed and runs them again.
//!
//! `BURSAR_PROPERTIES=full` looks at ten times as many cases, a number at so many per cent.
//! `BURSAR_PROPTEST_SEED` gives the seed.

mod arithmetic;
mod batch;
mod determinism;
mod repeats;
mod states;

use crate::support::report;

/// How many cases to look at, and from which seed.
#[derive(Debug, Clone, Copy)]
struct Figure {
    cases: usize,
    seed: u64,
}

impl Figure {
    /// So many in a quick suite, so many at full figure.
    #[expect(
        clippy::disallowed_methods,
        reason = "a random test is told by its environment how long to look, and from which seed"
    )]
    fn of(quick: usize, full: usize) -> Self {
        let variable = |name: &str| std::env::var(name).ok();
        let share = variable("BURSAR_PROPERTIES").and_then(|word| match word.as_str() {
            "full" => Some(full),
            percent => percent
                .parse()
                .ok()
                .map(|percent: usize| (quick * percent / 100).max(1)),
        });
        let seed = variable("BURSAR_PROPTEST_SEED").and_then(|text| text.parse().ok());
        Self {
            cases: share.unwrap_or(quick),
            seed: seed.unwrap_or_else(|| fastrand::u64(..)),
        }
    }

    /// Does something for each case, on two threads, each case with random numbers of its own: a case that fails
    /// names its number, which with the seed is all it depends on.
    fn for_each(self, check: impl Fn(&mut fastrand::Rng) + Sync) {
        std::thread::scope(|scope| {
            for part in 0..2 {
                let check = &check;
                scope.spawn(move || {
                    for case in (part..self.cases).step_by(2) {
                        let mut random = self.random(case);
                        let failed = Case { figure: self, case };
                        check(&mut random);
                        failed.passed();
                    }
                });
            }
        });
    }

    fn random(self, case: usize) -> fastrand::Rng {
        // Neighbouring seeds give unlike numbers only after a step or two.
        let mut mixed = fastrand::Rng::with_seed(self.seed ^ u64::try_from(case).expect("64 bits"));
        fastrand::Rng::with_seed(mixed.u64(..))
    }

    /// Says what was done.
    fn report(self, what: &str) {
        report(&format!(
            "{}: {} cases, BURSAR_PROPTEST_SEED={}",
            what, self.cases, self.seed
        ));
    }
}

/// Names a case that panics.
struct Case {
    figure: Figure,
    case: usize,
}

impl Case {
    fn passed(self) {
        std::mem::forget(self);
    }
}

impl Drop for Case {
    fn drop(&mut self) {
        report(&format!(
            "case {} failed: BURSAR_PROPTEST_SEED={}",
            self.case, self.figure.seed
        ));
    }
}
