//! Requests that bear a key come again after the store has forgotten them: what they paid is found.

use bursar::base::ids::RunId;
use bursar::model::run::RunState;
use bursar::model::workflow::Workflow;
use bursar::trigger::manual::{Request, start};
use bursar::trigger::versions::KnownVersions;
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
