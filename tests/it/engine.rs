//! The engine against the simulator: primitives, retries, waits, divergence, doubt.

use bursar::base::secret::Secret;
use bursar::model::run::RunState;
use bursar::model::value::Value;
use bursar::simulator::faults::{FaultAction, FaultRule, When};
use bursar::store::faulty::{Fault, Faulty};
use serde_json::json;

use crate::support::{World, settled};

const PAY: &str = r#"
    let from = bank::accounts(#{ label: "Operating DE" })[0].id;
    let to = bank::accounts(#{ label: "Treasury EUR" })[0].id;
    let paid = bank::payout(#{ from: from, to: to, amount: EUR(10.50), reference: "INV-1" });
    bank::settled(paid, "1m").status
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_payout_is_paid_and_settles() {
    let world = World::demo().await;
    let run = world.run(PAY).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.error);
    assert_eq!(run.result, Some(json!("paid")));
    let audit = world.audit(world.store().await.as_ref()).await;
    assert_eq!(
        audit.to_string(),
        "1 intended, 1 paid, 0 twice, 0 missing; ledger EUR 10.50 = journal EUR 10.50"
    );
    assert!(audit.is_exact());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dispatcher_that_dies_is_heard_of() {
    let world = World::demo().await;
    let store = Faulty::new(world.store().await, Fault::Panic(2));
    let mut engine = world.engine(store).await;
    let ended = tokio::time::timeout(std::time::Duration::from_secs(20), engine.ended()).await;
    assert!(ended.expect("it is heard of").is_err(), "it died of a panic");
    engine.stop().await;
}

/// A fault of one kind on the payout: paid once all the same.
async fn paid_once_despite(fault: FaultAction) {
    let world = World::demo().await;
    world
        .simulator
        .control
        .add_fault(FaultRule::on("create_payout", fault.clone()).times(1));
    let run = world.run(PAY).await;
    assert_eq!(run.state, RunState::Succeeded, "{fault:?}: {:?}", run.error);
    let audit = world.audit(world.store().await.as_ref()).await;
    assert!(audit.is_exact() && audit.paid() == 1, "{fault:?}: {audit}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_of_the_provider_pays_neither_twice_nor_never() {
    let status = |status, when| FaultAction::Status {
        status,
        when,
        retry_after_secs: None,
    };
    for fault in [
        FaultAction::Refuse,
        FaultAction::DropAfterEffect,
        FaultAction::TruncatedBody,
        FaultAction::CutBody,
        status(429, When::Before),
        status(500, When::Before),
        status(500, When::After),
        status(502, When::After),
        status(503, When::Before),
        status(504, When::After),
    ] {
        paid_once_despite(fault).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_about_another_amount_is_parked_not_believed() {
    let world = World::demo().await;
    let wrong = FaultAction::WrongAmount {
        amount: "99.00".to_owned(),
    };
    world
        .simulator
        .control
        .add_fault(FaultRule::on("create_payout", wrong).times(1));
    let run = world.run(PAY).await;
    assert_eq!(run.state, RunState::Parked);
    assert_eq!(run.error.map(|error| error.code).as_deref(), Some("contradiction"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_key_parks_the_run_with_a_plain_sentence() {
    let mut world = World::demo().await;
    world.reconnect(|bank| bank.credential = Some(Secret::new("sandbox.wrong".to_owned())));
    let run = world.run("bank::balance(bank::accounts()[0].id)").await;
    assert_eq!(run.state, RunState::Parked);
    let error = run.error.expect("a reason");
    assert_eq!(error.code, "refused");
    assert!(
        error.message.contains("connection `bank`") && !error.message.contains("sandbox.wrong"),
        "{}",
        error.message
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_leaves_the_buffer_and_says_why_nothing_moved() {
    let world = World::demo().await;
    let run = world
        .run(
            r#"
            let treasury = bank::accounts(#{ label: "Treasury EUR" })[0].id;
            let swept = [];
            for label in ["Operating FR", "Operating NL"] {
                let from = bank::accounts(#{ label: label })[0].id;
                let done = bank::sweep(#{ from: from, to: treasury, keep: EUR(1_000), minimum: EUR(100), multiple: EUR(10), reference: "SWEEP" });
                swept.push(`${done.moved}`);
                swept.push(done.reason);
            }
            swept
            "#,
        )
        .await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.error);
    let result = Value::from_typed(&run.result.expect("a result")).expect("a value");
    let told: Vec<&str> = result
        .as_list()
        .expect("a list")
        .iter()
        .filter_map(Value::as_text)
        .collect();
    assert_eq!(told[0], "EUR 11,480.00");
    assert_eq!(told[2], "EUR 0.00");
    assert!(told[3].contains("buffer"), "{}", told[3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_split_sums_to_the_total_and_shows_partial_success() {
    let world = World::demo().await;
    let run = world
        .run(
            r#"
            let from = bank::accounts(#{ label: "Treasury EUR" })[0].id;
            let to = bank::accounts(#{ label: "Operating DE" })[0].id;
            let paid = bank::split(#{ from: from, total: EUR(100.01), reference: "S-1", parts: [
                #{ name: "fee", to: to, percent: 2.5 },
                #{ name: "seller", to: #{ type: "iban", iban: "FR1420041010050500013M02606", account_holder_name: "Atelier" }, rest: true },
            ] });
            [paid.complete, `${paid.parts[0].amount}`, `${paid.parts[1].amount}`]
            "#,
        )
        .await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.error);
    assert_eq!(run.result, Some(json!([true, "EUR 2.50", "EUR 97.51"])));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caught_failure_is_recorded_and_a_run_can_go_on() {
    let world = World::demo().await;
    let run = world
        .run(
            r#"
            let code = "";
            try { bank::retrieve_payout("00000000-0000-4000-8000-000000000000"); } catch (e) { code = e.error; }
            log::info(`caught ${code}`);
            code
            "#,
        )
        .await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.error);
    assert_eq!(run.result, Some(json!("resource_not_found")));
}

#[tokio::test(flavor = "multi_thread")]
async fn state_is_kept_for_later_runs() {
    let world = World::demo().await;
    let script = r#"let n = state::get("n") ?? 0; state::set("n", n + 1); state::get("n")"#;
    assert_eq!(world.run(script).await.result, Some(json!(1)));
    assert_eq!(world.run(script).await.result, Some(json!(2)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sleeping_run_holds_no_thread_and_wakes() {
    let world = World::demo().await;
    let store = world.store().await;
    let engine = world.engine(store.clone()).await;
    let mut runs = Vec::new();
    // Four times as many as there are threads.
    for _ in 0..32 {
        runs.push(
            world
                .start(store.as_ref(), "sleep(\"1s\"); now()", json!({}), json!({}))
                .await,
        );
    }
    for id in runs {
        assert_eq!(settled(store.as_ref(), id).await.state, RunState::Succeeded);
    }
    engine.stop().await;
}
