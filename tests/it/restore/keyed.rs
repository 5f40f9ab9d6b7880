//! Requests that bear a key come again after the store has forgotten them: what they paid is found.

use bursar::base::clock::Instant;
use bursar::base::ids::RunId;
use bursar::model::run::{Cause, NewRun, RunState};
use bursar::model::workflow::Workflow;
use bursar::trigger::manual::{Request, start};
use bursar::trigger::versions::KnownVersions;
use chrono::TimeDelta;
use serde_json::json;

use super::engine::{Bank, pay};
use crate::support::{hurry, version};

/// A program asks for a run, as it does again when it heard no answer.
pub(super) async fn ask(bank: &Bank, key: &str, script: &str) -> RunId {
    let workflow = Workflow {
        name: "test".to_owned(),
        summary: String::new(),
        triggers: Vec::new(),
        concurrency: None,
        uses: vec!["bank".to_owned()],
        params: json!({}),
        version: version(&[("main.rhai", script)]),
    };
    let request = Request {
        actor: "erp".to_owned(),
        idempotency_key: Some(key.to_owned()),
        ..Request::default()
    };
    let versions = KnownVersions::new();
    let started = start(bank.store.as_ref(), &versions, &workflow, request, bank.now()).await;
    let started = started.expect("a run");
    assert!(!started.repeated);
    bank.world.wake.nudge();
    started.run
}

async fn bank() -> Bank {
    let bank = Bank::new().await;
    for _ in 0..3 {
        hurry(bank.clock.clone());
    }
    bank
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_request_with_a_key_paid_before_is_found_when_it_comes_again() {
    let mut bank = bank().await;
    bank.back_up().await;
    let before = ask(&bank, "invoice 1", &pay("10.50")).await;
    assert_eq!(bank.settled(before).await.state, RunState::Succeeded);
    bank.go_back().await;
    bank.accept().await;
    let again = ask(&bank, "invoice 1", &pay("10.50")).await;
    assert!(again > before, "in the order of lists it stands where it came");
    let run = bank.settled(again).await;
    assert_eq!((run.state, bank.sent()), (RunState::Succeeded, 1), "{:?}", run.error);
    // Under another key nothing was paid: that is proved, and nobody is asked.
    let other = ask(&bank, "invoice 2", &pay("11.50")).await;
    let run = bank.settled(other).await;
    assert_eq!((run.state, bank.sent()), (RunState::Succeeded, 2), "{:?}", run.error);
    bank.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_request_with_a_key_paid_at_another_step_asks_a_person() {
    let mut bank = bank().await;
    bank.back_up().await;
    let before = ask(&bank, "invoice 1", &pay("10.50")).await;
    assert_eq!(bank.settled(before).await.state, RunState::Succeeded);
    bank.go_back().await;
    bank.accept().await;
    let edited = format!("let t = today(\"UTC\"); {}", pay("12.50"));
    let run = bank.settled(ask(&bank, "invoice 1", &edited).await).await;
    assert_eq!((run.state, bank.sent()), (RunState::Parked, 1));
    let told = run.error.expect("a reason").message;
    assert!(told.contains("of this run made"), "{told}");
    bank.end().await;
}

/// As if one key had made two runs after a restore: the store has both, and the first of them has paid.
pub(super) async fn two_of_one_key(bank: &mut Bank) -> RunId {
    let begin = async |bank: &Bank, at: Instant, key: &str| {
        let version = version(&[("main.rhai", &pay("10.50"))]);
        let run = NewRun {
            id: RunId::derived(at, &[7; 32], &["run", "test", "manual", "invoice 1", ""]),
            workflow: version.workflow.clone(),
            version: version.digest,
            cause: Cause::Manual {
                actor: "erp".to_owned(),
                reason: None,
                key: Some(key.to_owned()),
            },
            event: json!({}).into(),
            params: json!({}),
            created_at: at,
            concurrency: None,
        };
        let id = run.id;
        bank.store.save_version(version).await.expect("kept");
        bank.store.create_run(run).await.expect("made");
        bank.world.wake.nudge();
        id
    };
    bank.back_up().await;
    bank.go_back().await;
    bank.accept().await;
    let begun_at = bank.now();
    let known = begin(bank, begun_at, "invoice 1").await;
    assert_eq!(bank.settled(known).await.state, RunState::Succeeded);
    begin(bank, begun_at + TimeDelta::seconds(1), "invoice 1 again").await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_run_that_is_known_paid_is_never_that_of_another_one() {
    let mut bank = bank().await;
    let other = two_of_one_key(&mut bank).await;
    let run = bank.settled(other).await;
    assert_eq!((run.state, bank.sent()), (RunState::Parked, 1));
    let told = run.error.expect("a reason").message;
    assert!(told.contains("which is not forgotten"), "{told}");
    bank.end().await;
}
