//! What comes between a payment and the restore that forgets it: edits, days, other restores, wrong clocks.

use std::time::Duration;

use bursar::app::reconcile::in_doubt;
use bursar::base::ids::RunId;
use bursar::model::journal::Resolution;
use bursar::model::run::{Cause, NewRun, RunState};
use bursar::simulator::faults::{FaultAction, FaultRule, When};
use bursar::store::sqlite::care::backup::backup;
use chrono::TimeDelta;
use serde_json::json;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection as _, SqliteConnection};

use super::engine::{Bank, pay};
use crate::support::real_time::{Patience, pause};
use crate::support::{hurry, until, version};

const FREEZE: &str = r#"
    sleep(hours(5));
    bank::freeze_account(bank::accounts(#{ label: "Operating NL" })[0].id).status
"#;

/// Longer than these scripts sleep.
const HOURS: Duration = Duration::from_secs(6 * 3_600);

/// A bank whose time passes faster still: a look-up believes a list only minutes after the last attempt.
async fn hasty_bank() -> Bank {
    let bank = Bank::new().await;
    for _ in 0..3 {
        hurry(bank.clock.clone());
    }
    bank
}

fn days(days: u64) -> Duration {
    Duration::from_secs(days * 86_400)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_of_the_same_run_at_another_step_is_not_made_again() {
    let mut bank = hasty_bank().await;
    bank.back_up().await;
    let (id, slot) = (RunId::generate(bank.now()), bank.now());
    bank.slot(id, slot, &pay("10.50")).await;
    assert_eq!(bank.settled(id).await.state, RunState::Succeeded);
    bank.go_back().await;
    bank.accept().await;
    bank.slot(id, slot, &format!("let t = today(\"UTC\"); {}", pay("10.50")))
        .await;
    let run = bank.settled(id).await;
    assert_eq!((run.state, bank.sent()), (RunState::Parked, 1), "{:?}", run.error);
    let error = run.error.expect("a reason");
    assert_eq!(error.code, "in_doubt");
    for expected in ["step 3.2 of this run", "EUR 10.50"] {
        assert!(error.message.contains(expected), "{expected}: {}", error.message);
    }
    // Looking again changes nothing. The word of a person does.
    let path = bank.doubt(id).await;
    bank.resolve(id, &path, Resolution::Retry).await;
    let run = bank.settled(id).await;
    assert_eq!((run.state, bank.sent()), (RunState::Parked, 1), "{:?}", run.error);
    bank.resolve(id, &path, Resolution::Resend).await;
    let run = bank.settled(id).await;
    assert_eq!((run.state, bank.sent()), (RunState::Succeeded, 2), "{:?}", run.error);
    bank.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_adopted_from_another_step_does_not_stop_the_next_one() {
    let mut bank = hasty_bank().await;
    bank.back_up().await;
    let (id, slot) = (RunId::generate(bank.now()), bank.now());
    bank.slot(id, slot, &pay("10.50")).await;
    assert_eq!(bank.settled(id).await.state, RunState::Succeeded);
    let paid = bank.world.simulator.control.effects()[0].id;
    bank.go_back().await;
    bank.accept().await;
    let edited = format!("let t = today(\"UTC\"); {}; {}", pay("10.50"), pay("7.00"));
    bank.slot(id, slot, &edited).await;
    assert_eq!(bank.settled(id).await.state, RunState::Parked);
    let resource = json!({"id": paid.to_string(), "status": "paid"});
    let path = bank.doubt(id).await;
    bank.resolve(id, &path, Resolution::Adopt { resource }).await;
    let run = bank.settled(id).await;
    assert_eq!((run.state, bank.sent()), (RunState::Succeeded, 2), "{:?}", run.error);
    bank.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_payment_of_a_run_that_is_not_known_any_more_is_not_made_again() {
    let mut bank = hasty_bank().await;
    bank.back_up().await;
    let (before, renamed, slot) = (RunId::generate(bank.now()), RunId::generate(bank.now()), bank.now());
    bank.slot(before, slot, &pay("10.50")).await;
    assert_eq!(bank.settled(before).await.state, RunState::Succeeded);
    bank.go_back().await;
    bank.accept().await;
    bank.slot(renamed, slot, &pay("10.50")).await;
    let run = bank.settled(renamed).await;
    assert_eq!((run.state, bank.sent()), (RunState::Parked, 1), "{:?}", run.error);
    let error = run.error.expect("a reason");
    assert!(error.message.contains(&before.to_string()), "{}", error.message);
    bank.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_that_was_not_sent_waits_until_the_others_have_found_theirs() {
    let mut bank = hasty_bank().await;
    let control = bank.world.simulator.control.clone();
    let later = FaultAction::Status {
        status: 500,
        when: When::Before,
        retry_after_secs: Some(7_200),
    };
    control.add_fault(FaultRule::on("create_payout", later).nth(1));
    bank.back_up().await;
    let script = r#"
        let from = bank::accounts(#{ label: "Operating DE" })[0].id;
        let to = bank::accounts(#{ label: "Treasury EUR" })[0].id;
        parallel(["7.00", "8.00", "9.00"], |amount| {
            bank::payout(#{ from: from, to: to, amount: money(amount, "EUR"), reference: "INV-1" }).status
        })
    "#;
    let (id, slot) = (RunId::generate(bank.now()), bank.now());
    bank.slot(id, slot, script).await;
    let patience = Patience::new(Duration::from_secs(20));
    while control.effects().len() < 2 {
        assert!(!patience.is_over(), "two are paid");
        pause(Duration::from_millis(2)).await;
    }
    bank.go_back().await;
    control.clear_faults();
    bank.accept().await;
    // The list is believed at once, also before the others have looked.
    bank.clock.advance(HOURS);
    bank.slot(id, slot, script).await;
    let run = bank.settled(id).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.error);
    assert_eq!(control.effects().len(), 3);
    bank.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_earlier_restore_forgot_is_found_after_a_later_one() {
    let mut bank = hasty_bank().await;
    bank.back_up().await;
    let (id, slot) = (RunId::generate(bank.now()), bank.now());
    bank.slot(id, slot, &pay("10.50")).await;
    assert_eq!(bank.settled(id).await.state, RunState::Succeeded);
    bank.go_back().await;
    bank.accept().await;
    bank.clock.advance(days(3));
    std::fs::remove_file(bank.file()).expect("removed");
    bank.back_up().await;
    bank.go_back().await;
    bank.accept().await;
    bank.slot(id, slot, &pay("10.50")).await;
    let run = bank.settled(id).await;
    assert_eq!((run.state, bank.sent()), (RunState::Succeeded, 1), "{:?}", run.error);
    bank.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_list_shows_goes_on_when_a_person_has_decided() {
    let mut bank = hasty_bank().await;
    let (id, slot) = (RunId::generate(bank.now()), bank.now());
    bank.slot(id, slot, FREEZE).await;
    until(bank.store.as_ref(), id, |run| run.state == RunState::Waiting).await;
    bank.back_up().await;
    bank.go_back().await;
    bank.accept().await;
    bank.clock.advance(HOURS);
    assert_eq!(bank.settled(id).await.state, RunState::Parked);
    let path = bank.doubt(id).await;
    bank.resolve(id, &path, Resolution::Resend).await;
    let run = bank.settled(id).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.error);
    let requests = bank.world.simulator.control.requests();
    assert_eq!(requests.get("freeze_account").map(|count| count.total), Some(1));
    bank.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_is_told_when_a_forgotten_payment_may_have_been_sent() {
    let mut bank = hasty_bank().await;
    bank.back_up().await;
    let (id, slot) = (RunId::generate(bank.now()), bank.now());
    bank.slot(id, slot, &pay("10.50")).await;
    assert_eq!(bank.settled(id).await.state, RunState::Succeeded);
    let paid = bank.now();
    bank.clock.advance(days(3));
    bank.go_back().await;
    bank.accept().await;
    bank.slot(id, slot, &pay("11.50")).await;
    let run = bank.settled(id).await;
    assert_eq!(run.state, RunState::Parked);
    let doubts = in_doubt(bank.store.as_ref(), run).await.expect("read");
    let sent = doubts[0].sent.as_ref().expect("an intent");
    assert!(sent.first_at <= paid, "{} and paid by {paid}", sent.first_at);
    assert!(sent.last_at >= paid + TimeDelta::days(3), "{}", sent.last_at);
    bank.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_dated_by_a_clock_that_was_ahead_forgets_nothing() {
    let mut bank = hasty_bank().await;
    let ahead = bank.now() + TimeDelta::days(3);
    backup(bank.world.folder.path(), &bank.file(), ahead)
        .await
        .expect("backed up");
    let (id, slot) = (RunId::generate(bank.now()), bank.now());
    bank.slot(id, slot, &pay("10.50")).await;
    assert_eq!(bank.settled(id).await.state, RunState::Succeeded);
    bank.go_back().await;
    bank.accept().await;
    bank.slot(id, slot, &pay("10.50")).await;
    let run = bank.settled(id).await;
    assert_eq!((run.state, bank.sent()), (RunState::Succeeded, 1), "{:?}", run.error);
    bank.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_started_by_hand_under_a_clock_that_was_ahead_is_not_taken_for_new() {
    let mut bank = hasty_bank().await;
    let (id, now) = (RunId::generate(bank.now()), bank.now());
    let version = version(&[("main.rhai", &format!("sleep(hours(5)); {}", pay("10.50")))]);
    let run = NewRun {
        id,
        workflow: version.workflow.clone(),
        version: version.digest,
        cause: Cause::Manual {
            actor: "tess".to_owned(),
            reason: None,
            key: None,
        },
        event: json!({}).into(),
        params: json!({}),
        created_at: now + TimeDelta::days(3),
        concurrency: None,
    };
    bank.store.save_version(version).await.expect("kept");
    bank.store.create_run(run).await.expect("made");
    bank.world.wake.nudge();
    until(bank.store.as_ref(), id, |run| run.state == RunState::Waiting).await;
    bank.back_up().await;
    bank.clock.advance(HOURS);
    assert_eq!(bank.settled(id).await.state, RunState::Succeeded);
    bank.go_back().await;
    bank.accept().await;
    let run = bank.settled(id).await;
    assert_eq!((run.state, bank.sent()), (RunState::Succeeded, 1), "{:?}", run.error);
    bank.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_whose_entries_were_dated_by_a_clock_that_was_ahead_forgets_nothing() {
    let mut bank = hasty_bank().await;
    let now = bank.now();
    bank.clock.jump_to(now + TimeDelta::days(3));
    let early = RunId::generate(bank.now());
    bank.slot(early, now, "today(\"UTC\")").await;
    assert_eq!(bank.settled(early).await.state, RunState::Succeeded);
    bank.clock.jump_to(now + TimeDelta::seconds(1));
    bank.back_up().await;
    // Only the backup says that it is one: a file that was copied by hand does not.
    let options = SqliteConnectOptions::new().filename(bank.file());
    let mut file = SqliteConnection::connect_with(&options).await.expect("opened");
    sqlx::query("DELETE FROM meta WHERE name = 'restored'")
        .execute(&mut file)
        .await
        .expect("deleted");
    file.close().await.expect("closed");
    let (id, slot) = (RunId::generate(bank.now()), bank.now());
    bank.slot(id, slot, &pay("10.50")).await;
    assert_eq!(bank.settled(id).await.state, RunState::Succeeded);
    bank.go_back().await;
    bank.accept().await;
    bank.slot(id, slot, &pay("10.50")).await;
    let run = bank.settled(id).await;
    assert_eq!((run.state, bank.sent()), (RunState::Succeeded, 1), "{:?}", run.error);

    // Nor does the word of a person, which is older than such an entry.
    bank.go_back().await;
    bank.accept().await;
    bank.slot(id, slot, &pay("11.50")).await;
    assert_eq!(bank.settled(id).await.state, RunState::Parked);
    let path = bank.doubt(id).await;
    bank.resolve(id, &path, Resolution::Resend).await;
    let run = bank.settled(id).await;
    assert_eq!((run.state, bank.sent()), (RunState::Parked, 1), "{:?}", run.error);
    bank.end().await;
}
