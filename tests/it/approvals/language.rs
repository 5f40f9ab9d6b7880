//! What a script sees of an approval, and what its run is meanwhile.

use std::sync::Arc;
use std::time::Duration;

use bursar::base::clock::{Clock as _, ManualClock, SystemClock};
use bursar::base::limits::SCRIPT_STACK_BYTES;
use bursar::connector::client::Client;
use bursar::engine::rehearsal::{Rehearsed, Rehearser};
use bursar::engine::services::{Parts, Services};
use bursar::model::journal::{Journal, Phase};
use bursar::model::run::{Run, RunState};
use bursar::simulator::config::SimulatorConfig;
use bursar::store::RunQuery;
use serde_json::{Value as Json, json};

use super::{PAY, answer, count, journal, path};
use crate::support::{World, audit_store, settled, until, version};

/// A run of a script that came to wait, was answered, and has settled.
async fn answered(script: &str, approved: bool) -> Run {
    let world = World::demo().await;
    let store = world.store().await;
    let engine = world.engine(store.clone()).await;
    let id = world.start(store.as_ref(), script, json!({}), json!({})).await;
    until(store.as_ref(), id, |run| run.state == RunState::Waiting).await;
    let decision = answer(store.as_ref(), id, "1", approved, world.clock.now()).await;
    store.decide(decision).await.expect("decided");
    world.wake.nudge();
    let run = settled(store.as_ref(), id).await;
    engine.stop().await;
    store.close().await.expect("closed");
    run
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_before_a_person_has_approved() {
    let world = World::demo().await;
    let store = world.store().await;
    let engine = world.engine(store.clone()).await;
    let id = world.start(store.as_ref(), PAY, json!({}), json!({})).await;
    let run = until(store.as_ref(), id, |run| run.state == RunState::Waiting).await;
    assert!(
        world.simulator.control.requests().is_empty(),
        "nobody was asked anything"
    );
    // What is asked stands in the journal when the wait begins, and nothing else wakes the run than its end.
    let before = journal(store.as_ref(), id).await;
    let record = before.step(&path("1")).expect("the step");
    let (asked, deadline) = record.asked().expect("it is asked");
    assert_eq!(
        (asked.reason.as_str(), asked.group.as_deref()),
        ("pay ACME", Some("treasury"))
    );
    assert_eq!(asked.details, json!({"amount": {"$money": "EUR 10.50"}, "to": "ACME"}));
    assert_eq!(
        (deadline - record.started_at).num_minutes(),
        72 * 60 - 1,
        "if the script says nothing else"
    );
    assert_eq!(run.wake_at, Some(deadline));
    let asking = RunQuery {
        asking: true,
        limit: 9,
        ..RunQuery::default()
    };
    assert_eq!(store.runs(asking.clone()).await.expect("listed").len(), 1);

    let decision = answer(store.as_ref(), id, "1", true, world.clock.now()).await;
    store.decide(decision).await.expect("decided");
    world.wake.nudge();
    let run = settled(store.as_ref(), id).await;
    engine.stop().await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.error);
    assert_eq!(run.result, Some(json!([true, "maria", "seen the invoice", "pending"])));
    assert_eq!(count(store.as_ref(), id, "decided").await, 1);
    assert!(store.runs(asking).await.expect("listed").is_empty(), "it has ended");
    let audit = audit_store(store.as_ref(), &world.simulator).await;
    assert!(audit.is_exact() && audit.paid() == 1, "{audit}");
    store.close().await.expect("closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_no_is_a_failure_that_a_script_may_catch() {
    let caught = answered(
        r#"let told = (); try { approval(#{ reason: "pay ACME" }); } catch (e) {
            told = [e.error, e.message, e.details.by, e.details.reason, type_of(e.details.at)];
        }
        told"#,
        false,
    )
    .await;
    let told = json!([
        "rejected",
        "rejected by maria: seen the invoice",
        "maria",
        "seen the invoice",
        "time"
    ]);
    assert_eq!(caught.result, Some(told), "{:?}", caught.error);
    let uncaught = answered(r#"approval(#{ reason: "pay ACME" }); 1"#, false).await;
    assert_eq!(uncaught.state, RunState::Failed);
    let error = uncaught.error.expect("why");
    assert_eq!(
        (error.code.as_str(), error.message.as_str()),
        ("rejected", "rejected by maria: seen the invoice")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_tells_who_why_and_when() {
    let run = answered(
        r#"let a = approval(#{ reason: "pay ACME" }); [a.approved, a.by, a.reason, a.at <= now()]"#,
        true,
    )
    .await;
    assert_eq!(
        run.result,
        Some(json!([true, "maria", "seen the invoice", true])),
        "{:?}",
        run.error
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_who_decides_in_time_is_a_failure_in_the_words_of_other_waits() {
    let clock = ManualClock::new(SystemClock::new().now());
    let world = World::with_clock(SimulatorConfig::demo(), Arc::new(clock.clone())).await;
    let store = world.store().await;
    let engine = world.engine(store.clone()).await;
    let script = r#"let told = ();
        try { approval(#{ reason: "pay ACME", timeout: hours(2) }); } catch (e) {
            told = [e.error, e.message.starts_with("nobody decided until 20")];
        }
        told"#;
    let id = world.start(store.as_ref(), script, json!({}), json!({})).await;
    until(store.as_ref(), id, |run| run.state == RunState::Waiting).await;
    let late = answer(store.as_ref(), id, "1", true, clock.now() + chrono::TimeDelta::hours(2)).await;
    let refused = store.decide(late.clone()).await.expect_err("too late").to_string();
    assert!(refused.contains("the time to decide ended at 20"), "{refused}");
    clock.advance(Duration::from_secs(2 * 60 * 60));
    world.wake.nudge();
    let run = settled(store.as_ref(), id).await;
    assert_eq!(run.result, Some(json!(["timeout", true])), "{:?}", run.error);
    let refused = store.decide(late).await.expect_err("it has ended").to_string();
    assert!(refused.contains("has ended (succeeded)"), "{refused}");
    engine.stop().await;
    store.close().await.expect("closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_is_given_is_read_strictly() {
    let world = World::demo().await;
    for (given, expected) in [
        ("#{}", "`approval` needs `reason`"),
        ("#{ reason: 1 }", "`reason` of `approval` has to be text"),
        ("#{ reason: \" \" }", "`reason` of `approval` is empty"),
        ("#{ reason: \"x\", group: \"\" }", "`group` of `approval` is empty"),
        ("#{ reason: \"x\", groop: \"y\" }", "did you mean `group`?"),
        (
            "#{ reason: \"x\", timeout: \"soon\" }",
            "`approval` takes a length of time",
        ),
        ("\"x\"", "`approval` takes a map"),
    ] {
        // In a variable: the checker says the same of a map that is written in place.
        let script = format!(
            "let given = {given}; let told = (); try {{ approval(given); }} catch (e) {{ told = [e.error, e.message]; }} told"
        );
        let run = world.run(&script).await;
        let result = run.result.unwrap_or_else(|| panic!("{given}: {:?}", run.error));
        assert_eq!(result[0], json!("invalid_argument"), "{given}");
        let message = result[1].as_str().expect("text");
        assert!(message.contains(expected), "{given}: {message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn branches_ask_at_once_and_are_answered_in_either_order() {
    let script = r#"
        let told = parallel(["a", "b"], |name| {
            let told = approval(#{ reason: `pay ${name}` });
            log::info(`${name} ${told.by}`);
            told.by
        });
        told.map(|t| if t.ok { t.value } else { t.error.error })
    "#;
    for (order, approved) in [(["1.1.1", "1.2.1"], [true, true]), (["1.2.1", "1.1.1"], [true, false])] {
        let world = World::demo().await;
        let store = world.store().await;
        let engine = world.engine(store.clone()).await;
        let id = world.start(store.as_ref(), script, json!({}), json!({})).await;
        until(store.as_ref(), id, |run| run.state == RunState::Waiting).await;
        let open: Vec<String> = journal(store.as_ref(), id)
            .await
            .approvals()
            .map(|(path, _)| path.to_string())
            .collect();
        assert_eq!(open, ["1.1.1", "1.2.1"]);
        for (step, approved) in order.iter().zip(approved) {
            let decision = answer(store.as_ref(), id, step, approved, world.clock.now()).await;
            store.decide(decision).await.expect("decided");
            world.wake.nudge();
        }
        let run = settled(store.as_ref(), id).await;
        engine.stop().await;
        let expected = approved.map(|approved| if approved { "maria" } else { "rejected" });
        let mut told: Vec<Json> = expected.iter().map(|text| json!(text)).collect();
        if order[0] == "1.2.1" {
            told.reverse();
        }
        assert_eq!(run.result, Some(Json::Array(told)), "{:?}", run.error);
        store.close().await.expect("closed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_that_asks_for_something_else_diverges_and_is_not_approved() {
    let world = World::demo().await;
    let store = world.store().await;
    let engine = world.engine(store.clone()).await;
    let id = world.start(store.as_ref(), PAY, json!({}), json!({})).await;
    let run = until(store.as_ref(), id, |run| run.state == RunState::Waiting).await;
    let records = store.journal(id).await.expect("the journal");
    engine.stop().await;
    let parts = Parts {
        store: store.clone(),
        clock: world.clock.clone(),
        client: Client::new().expect("a client"),
        connections: world.connections.clone(),
        wake: world.wake.clone(),
        settings: world.settings.clone(),
    };
    let services = Services::new(parts).await.expect("the store answers");
    let services = Arc::new(services);
    let rehearse = |script: &str| {
        let version = Arc::new(version(&[("main.rhai", script)]));
        let journal = Journal::from_records(records.clone()).expect("legal");
        let (services, run) = (services.clone(), run.clone());
        // On a stack like those of script threads.
        let thread = std::thread::Builder::new().stack_size(SCRIPT_STACK_BYTES);
        let rehearsing = thread.spawn(move || Rehearser::new(services).rehearse(&version, &run, journal));
        rehearsing.expect("a thread").join().expect("it ends")
    };
    assert_eq!(rehearse(PAY), Rehearsed::Same);
    for (from, to) in [
        ("pay ACME", "pay EMCA"),
        ("\"treasury\"", "\"board\""),
        ("amount: EUR(10.50), to", "amount: EUR(1000), to"),
        ("group: \"treasury\"", "group: \"treasury\", timeout: \"1h\""),
    ] {
        let edited = PAY.replacen(from, to, 1);
        assert_ne!(edited, PAY);
        let rehearsed = rehearse(&edited);
        let text = format!("{rehearsed:?}");
        assert!(
            text.contains("step 1, `approval`, is now called with other arguments"),
            "{to}: {text}"
        );
    }
    // The decision that was given to the first text is worth nothing to another.
    let journal = journal(store.as_ref(), id).await;
    assert!(matches!(journal.step(&path("1")).expect("it").phase, Phase::Waiting(_)));
    store.close().await.expect("closed");
}
