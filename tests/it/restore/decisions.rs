//! What a person can say about payments that a restore forgot, by the path that commands and the daemon take: every
//! decision is held against what the provider shows.

use std::sync::Arc;
use std::time::Duration;

use bursar::app::AppError;
use bursar::app::decide::judged;
use bursar::app::reconcile::{Shown, ask, in_doubt};
use bursar::app::settings::{Overrides, Secrets, Settings, load_from};
use bursar::base::clock::{Clock as _, Instant, SystemClock};
use bursar::base::ids::{EventId, RunId};
use bursar::connector::table::Connector;
use bursar::model::journal::{Resolution, StepPath};
use bursar::model::run::{Cause, NewRun, Run, RunState};
use bursar::model::value::time_text;
use bursar::server::protocol::Although;
use bursar::simulator::faults::{FaultAction, FaultRule, When};
use bursar::store::Decision;
use chrono::TimeDelta;
use serde_json::json;

use super::engine::{Bank, pay};
use super::keyed::{ask as ask_with_key, two_of_one_key};
use crate::support::{decided, hurry, version, without_lookup};

/// A bank some days ago, whose time passes fast: what a person asks is asked by the clock of this machine.
async fn bank_of_old() -> Bank {
    bank_since(TimeDelta::days(3)).await
}

async fn bank_since(age: TimeDelta) -> Bank {
    let bank = Bank::since(SystemClock::new().now() - age).await;
    for _ in 0..3 {
        hurry(bank.clock.clone());
    }
    bank
}

/// A person at the present time, with the settings of the bank.
struct Person<'a> {
    bank: &'a Bank,
    settings: Settings,
    run: RunId,
}

impl<'a> Person<'a> {
    async fn looks_at(bank: &'a Bank, run: Run) -> Self {
        assert_eq!(run.state, RunState::Parked, "{:?}", run.error);
        bank.clock.jump_to(SystemClock::new().now());
        let file = bank.world.folder.path().join("bursar.toml");
        std::fs::write(&file, "").expect("written");
        let overrides = Overrides {
            config: Some(file),
            ..Overrides::default()
        };
        let mut settings = load_from(&overrides, Secrets::Needed, &|_| None).expect("settings");
        settings.connections = bank.world.connections.clone();
        Self {
            bank,
            settings,
            run: run.id,
        }
    }

    async fn sees(&self) -> Shown {
        let run = self.bank.store.run(self.run).await.expect("read").expect("a run");
        let doubts = in_doubt(self.bank.store.as_ref(), run).await.expect("read");
        let sent = doubts[0].sent.as_ref().expect("an intent");
        ask(&self.settings, self.bank.store.as_ref(), sent)
            .await
            .expect("asked")
    }

    /// Says how the step goes on: as it may be written down, or why not.
    async fn says(&self, resolution: Resolution, although: Option<Although>) -> Result<Decision, AppError> {
        let path = self.bank.doubt(self.run).await.parse().expect("a path");
        let after = decided(self.bank.store.as_ref(), self.run, &path).await;
        let decision = Decision {
            run: self.run,
            path: Some(path),
            resolution,
            actor: "tess".to_owned(),
            reason: "looked at the bank".to_owned(),
            after,
            at: self.bank.now(),
        };
        judged(&self.settings, self.bank.store.as_ref(), decision, although).await
    }

    /// Says that this is what the step did: why not, if it is refused.
    async fn adopts(&self, resource: serde_json::Value, although: Option<Although>) -> Result<(), String> {
        match self.says(Resolution::Adopt { resource }, although).await {
            Ok(_) => Ok(()),
            Err(AppError::Refused(why)) => Err(why),
            Err(error) => panic!("{error}"),
        }
    }

    /// Has the step sent again: why not, if it is refused.
    async fn resends(&self, although: Option<Although>) -> Result<(), String> {
        match self.says(Resolution::Resend, although).await {
            Ok(decision) => {
                assert!(decision.reason.contains("(unproved: "), "{}", decision.reason);
                self.bank.store.resolve(decision).await.expect("resolved");
                self.bank.world.wake.nudge();
                Ok(())
            }
            Err(AppError::Refused(why)) => Err(why),
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_be_the_payment_elsewhere_needs_a_word_of_its_own_and_then_it_is_sent() {
    let edited = format!("let t = today(\"UTC\"); {}", pay("10.50"));
    // The same run at another step, and another run that nobody knows any more.
    for (is_same_run, script) in [(true, edited), (false, pay("10.50"))] {
        let mut bank = bank_of_old().await;
        bank.back_up().await;
        let (before, slot) = (RunId::generate(bank.now()), bank.now());
        bank.slot(before, slot, &pay("10.50")).await;
        assert_eq!(bank.settled(before).await.state, RunState::Succeeded);
        bank.go_back().await;
        bank.accept().await;
        let id = if is_same_run {
            before
        } else {
            RunId::generate(bank.now())
        };
        bank.slot(id, slot, &script).await;
        let person = Person::looks_at(&bank, bank.settled(id).await).await;
        let Shown::Elsewhere(shown) = person.sees().await else {
            panic!("{is_same_run}: {:?}", person.sees().await)
        };
        assert!(shown.contains(&before.to_string()), "{is_same_run}: {shown}");
        let why = person.resends(None).await.expect_err("not by itself");
        assert!(why.contains("--although unproved"), "{is_same_run}: {why}");
        let different = person.resends(Some(Although::Different)).await;
        assert!(different.is_err(), "{is_same_run}: another word");
        person.resends(Some(Although::Unproved)).await.expect("taken");
        let run = bank.settled(id).await;
        assert_eq!((run.state, bank.sent()), (RunState::Succeeded, 2), "{:?}", run.error);
        bank.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_forgotten_run_of_the_same_key_made_is_adopted_by_a_person_too() {
    let mut bank = bank_of_old().await;
    bank.back_up().await;
    let before = ask_with_key(&bank, "invoice 1", &pay("10.50")).await;
    let other = ask_with_key(&bank, "invoice 2", &pay("8.00")).await;
    for id in [before, other] {
        assert_eq!(bank.settled(id).await.state, RunState::Succeeded);
    }
    bank.go_back().await;
    bank.accept().await;
    let again = ask_with_key(&bank, "invoice 1", &pay("11.50")).await;
    let person = Person::looks_at(&bank, bank.settled(again).await).await;
    let path = bank.doubt(again).await;
    let made = |run: RunId, path: &str, amount: Option<&str>| {
        let id = bank.world.simulator.control.effects()[0].id.to_string();
        json!({
            "id": id, "status": "paid", "metadata": {"bursar": format!("{run}/{path}")}, "amount": amount,
            "currency": "EUR", "created_at": time_text(bank.now()),
        })
    };
    // What is left out contradicts nothing, and proves nothing either.
    for (resource, expected) in [
        (made(before, &path, None), "does not say its amount and its beneficiary"),
        (made(again, &path, Some("11.50")), "does not say its beneficiary"),
    ] {
        let why = person.adopts(resource.clone(), None).await.expect_err("not by itself");
        assert!(why.contains(expected) && why.contains("--although unproved"), "{why}");
        let other = person.adopts(resource.clone(), Some(Although::Different)).await;
        assert!(other.is_err(), "another word");
        assert_eq!(person.adopts(resource, Some(Although::Unproved)).await, Ok(()));
    }
    for (resource, expected) in [
        (made(before, &path, Some("10.50")), "asked for EUR 11.50"),
        (made(before, "9.9", None), "differs under `metadata.bursar`"),
        (made(other, &path, None), "differs under `metadata.bursar`"),
    ] {
        let why = person.adopts(resource.clone(), None).await.expect_err("not by itself");
        assert!(why.contains(expected), "{why}");
        let taken = person.adopts(resource, Some(Although::Different)).await;
        assert_eq!(taken, Ok(()));
    }
    bank.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_run_that_is_known_paid_is_not_shown_as_what_another_one_did() {
    let mut bank = bank_of_old().await;
    let other = two_of_one_key(&mut bank).await;
    let person = Person::looks_at(&bank, bank.settled(other).await).await;
    let Shown::Elsewhere(shown) = person.sees().await else {
        panic!("{:?}", person.sees().await)
    };
    assert!(shown.contains("which is not forgotten"), "{shown}");
    let known = shown
        .split(' ')
        .find(|word| word.starts_with("run_"))
        .expect("it is named");
    let theirs = json!({
        "id": bank.world.simulator.control.effects()[0].id.to_string(), "status": "paid", "amount": "10.50",
        "metadata": {"bursar": format!("{known}/{}", bank.doubt(other).await)}, "currency": "EUR",
        "created_at": time_text(bank.now()),
    });
    let why = person
        .adopts(theirs.clone(), None)
        .await
        .expect_err("it is of another run");
    assert!(
        why.contains("is not forgotten") && why.contains("--although different"),
        "{why}"
    );
    let word = Some(Although::Different);
    assert_eq!(person.adopts(theirs.clone(), word).await, Ok(()), "a person may say so");
    // All that is different is said, and what no word overrules stays so.
    let mut less = theirs.clone();
    less["amount"] = json!("1.50");
    let why = person.adopts(less, None).await.expect_err("another amount as well");
    assert!(
        why.contains("asked for EUR 10.50") && why.contains("is not forgotten"),
        "{why}"
    );
    let mut nameless = theirs;
    nameless.as_object_mut().expect("an object").remove("id");
    let why = person.adopts(nameless, word).await.expect_err("no payout");
    assert!(why.contains("cannot be what"), "{why}");
    let why = person.resends(None).await.expect_err("not by itself");
    assert!(why.contains("--although unproved"), "{why}");
    let path: StepPath = bank.doubt(other).await.parse().expect("a path");
    person.resends(Some(Although::Unproved)).await.expect("taken");
    let run = bank.settled(other).await;
    assert_eq!((run.state, bank.sent()), (RunState::Succeeded, 2), "{:?}", run.error);
    // It may be parked again before what is said now is written: that was never looked at.
    let late = Decision {
        run: other,
        path: Some(path),
        resolution: Resolution::Resend,
        actor: "tess".to_owned(),
        reason: "looked at the bank".to_owned(),
        after: 1,
        at: bank.now(),
    };
    let judged = judged(&person.settings, bank.store.as_ref(), late.clone(), None).await;
    let stored = bank.store.resolve(late).await.expect_err("it has ended");
    assert!(stored.to_string().contains("not parked"), "{stored}");
    assert!(
        matches!(&judged, Err(AppError::Store(error)) if *error == stored),
        "{judged:?}"
    );
    bank.end().await;
}

/// A table whose answers have no place for a currency: what the look-up finds is known by our reference, and what a person
/// brings is known by nothing.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_provider_shows_is_adopted_though_it_says_no_currency() {
    let mut bank = bank_of_old().await;
    let control = bank.world.simulator.control.clone();
    let failure = |when| FaultAction::Status {
        status: 500,
        when,
        retry_after_secs: None,
    };
    control.add_fault(FaultRule::on("create_payout", failure(When::After)));
    control.add_fault(FaultRule::on("list_payouts", failure(When::Before)));
    let id = RunId::generate(bank.now());
    bank.slot(id, bank.now(), &pay("10.50")).await;
    let run = bank.settled(id).await;
    control.clear_faults();
    let table = include_str!("../../../src/connector/providers/augustus.toml");
    let echo = r#"echo   = { amount = "/amount", currency = "/currency", beneficiary = "/destination" }"#;
    assert!(table.contains(echo));
    let silent = Connector::parse(
        "augustus.toml",
        &table.replacen(echo, r#"echo   = { amount = "/amount" }"#, 1),
    )
    .expect("the table is right");
    bank.world.reconnect(|bank| bank.connector = Arc::new(silent));
    let person = Person::looks_at(&bank, run).await;
    let Shown::Found(found) = person.sees().await else {
        panic!("{:?}", person.sees().await)
    };
    let found = found.to_plain();
    let why = person.adopts(json!({"id": found["id"]}), None).await;
    let why = why.expect_err("not by itself");
    assert!(why.contains("does not say its amount and its currency:"), "{why}");
    assert_eq!(person.adopts(found, None).await, Ok(()));
    bank.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_proved_absent_is_called_failed_without_a_word() {
    let bank = bank_of_old().await;
    let control = bank.world.simulator.control.clone();
    let failure = FaultAction::Status {
        status: 500,
        when: When::Before,
        retry_after_secs: None,
    };
    control.add_fault(FaultRule::on("create_payout", failure.clone()));
    control.add_fault(FaultRule::on("list_payouts", failure));
    let id = RunId::generate(bank.now());
    bank.slot(id, bank.now(), &pay("10.50")).await;
    let run = bank.settled(id).await;
    let person = Person::looks_at(&bank, run).await;
    let unseen = person.says(Resolution::Fail, None).await;
    assert!(
        matches!(&unseen, Err(AppError::Refused(why)) if why.contains("could not be asked")),
        "{unseen:?}"
    );
    control.clear_faults();
    assert_eq!(person.sees().await, Shown::Absent);
    let decision = person.says(Resolution::Fail, None).await.expect("it did not happen");
    assert_eq!(decision.reason, "looked at the bank");
    bank.store.resolve(decision).await.expect("resolved");
    bank.world.wake.nudge();
    let run = bank.settled(id).await;
    assert_eq!(run.state, RunState::Failed, "{:?}", run.error);
    assert!(control.effects().is_empty());
    bank.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sent_before_the_backup_is_seen_by_a_person_and_by_the_last_look() {
    let mut bank = bank_since(TimeDelta::days(10)).await;
    let control = bank.world.simulator.control.clone();
    let failure = |when| FaultAction::Status {
        status: 500,
        when,
        retry_after_secs: None,
    };
    control.add_fault(FaultRule::on("create_payout", failure(When::After)));
    control.add_fault(FaultRule::on("list_payouts", failure(When::Before)));
    let (id, slot) = (RunId::generate(bank.now()), bank.now());
    bank.slot(id, slot, &pay("10.50")).await;
    assert_eq!(bank.settled(id).await.state, RunState::Parked);
    bank.stop().await;
    let path = bank.doubt(id).await;
    bank.resolve(id, &path, Resolution::Resend).await;
    bank.clock.advance(Duration::from_secs(5 * 86_400));
    bank.back_up().await;
    control.clear_faults();
    let sent = bank.sent();
    // After the restore nobody can look at first; then the list shows what was paid days before the backup.
    let whole = bank.world.connections["bank"].connector.clone();
    bank.world.reconnect(|bank| bank.connector = Arc::new(without_lookup()));
    bank.go_back().await;
    bank.accept().await;
    let run = bank.settled(id).await;
    assert_eq!((run.state, bank.sent()), (RunState::Parked, sent), "{:?}", run.error);
    bank.stop().await;
    bank.world.reconnect(|bank| bank.connector = whole);
    bank.go_on().await;
    let person = Person::looks_at(&bank, run).await;
    assert!(
        matches!(person.sees().await, Shown::Found(_)),
        "{:?}",
        person.sees().await
    );
    // Nor does a word that was spoken before it could be seen send it again.
    let path = bank.doubt(id).await;
    bank.resolve(id, &path, Resolution::Resend).await;
    let run = bank.settled(id).await;
    assert_eq!((run.state, bank.sent()), (RunState::Parked, sent), "{:?}", run.error);
    let told = run.error.expect("a reason").message;
    assert!(told.contains("shows it now"), "{told}");
    bank.end().await;
}

/// Has a payment made for a cause.
async fn begin(bank: &Bank, cause: Cause, event: serde_json::Value) -> RunId {
    let (id, version) = (RunId::generate(bank.now()), version(&[("main.rhai", &pay("10.50"))]));
    let run = NewRun {
        id,
        workflow: version.workflow.clone(),
        version: version.digest,
        cause,
        event: event.into(),
        params: json!({}),
        created_at: bank.now(),
        concurrency: None,
    };
    bank.store.save_version(version).await.expect("kept");
    bank.store.create_run(run).await.expect("made");
    bank.world.wake.nudge();
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_whose_reference_nobody_knows_is_never_proved_absent() {
    let mut bank = bank_of_old().await;
    // The rent of a run that the backup knows stands in nobody's way.
    let rent = RunId::generate(bank.now());
    bank.slot(rent, bank.now(), &pay("10.50")).await;
    assert_eq!(bank.settled(rent).await.state, RunState::Succeeded);
    bank.back_up().await;
    bank.go_back().await;
    bank.accept().await;
    let cause = Cause::Replay {
        event: EventId::generate(bank.now()),
        beside: 0,
        actor: "tess".to_owned(),
        reason: "paid by the wrong rule".to_owned(),
    };
    let event = json!({"occurred_at": null, "received_at": time_text(bank.now())});
    let id = begin(&bank, cause, event).await;
    let run = bank.settled(id).await;
    let told = run.error.clone().expect("a reason").message;
    assert!(told.contains("does not say when it happened"), "{told}");
    let person = Person::looks_at(&bank, run).await;
    assert_eq!(person.sees().await, Shown::NotShown(None));
    let why = person.resends(None).await.expect_err("not by itself");
    assert!(why.contains("--although unproved"), "{why}");
    // Nor does the engine take it for proved when it is told to try again.
    let path = bank.doubt(id).await;
    bank.resolve(id, &path, Resolution::Retry).await;
    let run = bank.settled(id).await;
    assert_eq!((run.state, bank.sent()), (RunState::Parked, 1), "{:?}", run.error);
    bank.clock.jump_to(SystemClock::new().now());
    person.resends(Some(Although::Unproved)).await.expect("taken");
    let run = bank.settled(id).await;
    assert_eq!((run.state, bank.sent()), (RunState::Succeeded, 2), "{:?}", run.error);
    bank.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_event_that_is_replayed_late_is_not_taken_for_new() {
    let mut bank = bank_of_old().await;
    bank.back_up().await;
    bank.go_back().await;
    bank.accept().await;
    let received_at = bank.now();
    bank.clock.advance(Duration::from_secs(40 * 86_400));
    let check = async |beside: u32, received_at: Instant, expected: RunState| {
        let cause = Cause::Replay {
            event: EventId::generate(received_at),
            beside,
            actor: "tess".to_owned(),
            reason: "paid by the wrong rule".to_owned(),
        };
        let event = json!({"occurred_at": null, "received_at": time_text(received_at)});
        let run = bank.settled(begin(&bank, cause, event).await).await;
        assert_eq!(run.state, expected, "received at {received_at}: {:?}", run.error);
    };
    check(1, received_at, RunState::Parked).await;
    check(2, bank.now(), RunState::Succeeded).await;
    bank.end().await;
}
