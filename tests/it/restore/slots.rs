//! The slots of one schedule are causes of their own: what one has paid is never taken for what another was to pay.

use bursar::base::clock::Instant;
use bursar::base::ids::RunId;
use bursar::model::concurrency::Overlap;
use bursar::model::journal::Resolution;
use bursar::model::run::RunState;
use bursar::model::workflow::{CatchUp, CronSpec, Trigger, Workflow};
use bursar::trigger::make_up::{Wanted, make_up};
use bursar::trigger::versions::KnownVersions;
use chrono::TimeDelta;
use serde_json::json;

use super::engine::{Bank, pay};
use crate::support::{hurry, version};

const EVERY_DAY: &str = "0 6 * * *";

/// Has the runs made that the slots of these days have not: so many days ago at first, so many at last.
async fn makes(bank: &Bank, begin: Instant, first: i64, last: i64) -> Vec<RunId> {
    let spec = CronSpec {
        schedule: EVERY_DAY.to_owned(),
        timezone: "UTC".to_owned(),
        catch_up: CatchUp::None,
        catch_up_hours: 24,
        overlap: Overlap::Queue,
        business: None,
        jitter: None,
        pause_after_failures: 0,
    };
    let workflow = Workflow {
        name: "test".to_owned(),
        summary: String::new(),
        triggers: vec![Trigger::Cron(spec)],
        concurrency: None,
        uses: vec!["bank".to_owned()],
        params: json!({}),
        version: version(&[("main.rhai", &pay("10.50"))]),
    };
    let six = begin.date_naive().and_hms_opt(6, 0, 0).expect("six").and_utc();
    let wanted = Wanted {
        schedule: EVERY_DAY,
        timezone: "UTC",
        from: six - TimeDelta::days(first),
        to: six - TimeDelta::days(last),
    };
    let (store, versions) = (bank.store.as_ref(), KnownVersions::new());
    let made = make_up(store, &versions, &workflow, wanted, "tess", bank.now()).await;
    bank.world.wake.nudge();
    made.expect("made")
}

async fn all_paid(bank: &Bank, runs: &[RunId], sent: u64) {
    for id in runs {
        let run = bank.settled(*id).await;
        assert_eq!(run.state, RunState::Succeeded, "{:?}", run.error);
    }
    assert_eq!(bank.sent(), sent);
}

async fn bank() -> Bank {
    let bank = Bank::new().await;
    for _ in 0..3 {
        hurry(bank.clock.clone());
    }
    bank
}

#[tokio::test(flavor = "multi_thread")]
async fn what_monday_paid_is_not_what_tuesday_was_to_pay() {
    // The backup knows Monday, or not.
    for knows in [true, false] {
        let mut bank = bank().await;
        let begin = bank.now();
        if !knows {
            bank.back_up().await;
        }
        let monday = makes(&bank, begin, 2, 2).await;
        all_paid(&bank, &monday, 1).await;
        if knows {
            bank.back_up().await;
        }
        bank.go_back().await;
        bank.accept().await;
        let made = makes(&bank, begin, 2, 1).await;
        assert_eq!(
            (made.len(), made.first() == monday.first()),
            if knows { (1, false) } else { (2, true) }
        );
        all_paid(&bank, &made, 2).await;
        bank.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn five_days_that_are_made_up_for_are_five_payments() {
    let mut bank = bank().await;
    let begin = bank.now();
    bank.back_up().await;
    let before = makes(&bank, begin, 5, 4).await;
    all_paid(&bank, &before, 2).await;
    bank.go_back().await;
    bank.accept().await;
    let made = makes(&bank, begin, 5, 1).await;
    assert_eq!(made.len(), 5);
    all_paid(&bank, &made, 5).await;
    bank.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_asks_a_person_as_long_as_nobody_knows_the_other_that_paid_the_same() {
    let mut bank = bank().await;
    let begin = bank.now();
    bank.back_up().await;
    let monday = makes(&bank, begin, 2, 2).await;
    all_paid(&bank, &monday, 1).await;
    bank.go_back().await;
    bank.accept().await;
    let tuesday = makes(&bank, begin, 1, 1).await;
    let run = bank.settled(tuesday[0]).await;
    assert_eq!((run.state, bank.sent()), (RunState::Parked, 1));
    let told = run.error.expect("a reason").message;
    assert!(told.contains(&monday[0].to_string()), "{told}");
    // Their causes differ: that is for a person to say. Monday finds its own whenever it comes.
    let path = bank.doubt(tuesday[0]).await;
    bank.resolve(tuesday[0], &path, Resolution::Resend).await;
    all_paid(&bank, &tuesday, 2).await;
    let made = makes(&bank, begin, 2, 1).await;
    assert_eq!(made, monday);
    all_paid(&bank, &made, 2).await;
    bank.end().await;
}
