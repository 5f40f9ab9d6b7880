//! The real daemon, killed at named points and at random times while it works, with the provider's ledger as the
//! judge.
//!
//! `BURSAR_KILLS` sets how many kills (200 if not set), `BURSAR_SEED` replays a sequence.

use bursar::app::selftest::Form;
use bursar::app::selftest::crash::{Plan, crash};

use crate::support::daemon::program;
use crate::support::{number, report};

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_killed_at_random_pays_nothing_twice_and_forgets_nothing() {
    let plan = Plan {
        kills: number("BURSAR_KILLS", 200),
        seed: number("BURSAR_SEED", fastrand::u64(..)),
        streams: 1,
        program: program(),
    };
    let seed = plan.seed;
    let outcome = crash(&plan, &mut |_| {})
        .await
        .unwrap_or_else(|error| panic!("seed {seed:#x}: {error}"));
    report(&format!("{outcome}; {} (seed {seed:#x})", outcome.contents()));
    assert!(
        outcome.is_exact(),
        "seed {seed:#x}: {outcome}\n{}",
        outcome.wrong.join("\n")
    );
    // Less would mean that the daemon died before it did anything, and nothing was tested.
    assert!(
        outcome.is_telling(),
        "seed {seed:#x}: {outcome}; not reached: {:?}",
        outcome.unreached()
    );
    for form in Form::ALL {
        assert!(
            outcome.forms.contains_key(&form),
            "seed {seed:#x}: no {}",
            form.plural()
        );
    }
}
