//! Scripted faults: what the client sees, and what really happened.

use bursar::base::clock::Clock as _;
use bursar::simulator::faults::{FaultAction, FaultRule, When};
use bursar::simulator::resources::Failure;
use serde_json::json;

use super::bench::{Bench, eventually};

/// Pays under a fault, then again without: what was seen first, and how many payouts there are after each.
async fn pay_under(action: FaultAction) -> (Option<super::http::Reply>, usize, usize) {
    let bench = Bench::demo().await;
    bench.control().add_fault(FaultRule::on("create_payout", action).nth(1));
    let body = bench.payout("10.00", "INV-1");
    let seen = bench.try_post("/v1/payouts", &body, Some("k1")).await;
    let after_first = bench.control().effects().len();
    bench.post_as("k1", "/v1/payouts", &body).await.ok();
    bench.assert_balanced();
    (seen, after_first, bench.control().effects().len())
}

#[tokio::test]
async fn a_lost_answer_leaves_the_truth_to_be_found_out() {
    let status = |status, when| FaultAction::Status {
        status,
        when,
        retry_after_secs: None,
    };
    let check = async |action: FaultAction, answered: Option<u16>, effects: usize| {
        let (seen, first, second) = pay_under(action.clone()).await;
        let seen = seen.map(|reply| reply.status);
        assert_eq!((seen, first, second), (answered, effects, 1), "{action:?}");
    };
    check(FaultAction::Refuse, None, 0).await;
    check(FaultAction::DropAfterEffect, None, 1).await;
    check(FaultAction::ErrorLost { status: 500 }, None, 1).await;
    for code in [500, 502, 503, 504] {
        check(status(code, When::Before), Some(code), 0).await;
        check(status(code, When::After), Some(code), 1).await;
    }
    check(status(429, When::Before), Some(429), 0).await;
    check(FaultAction::TruncatedBody, Some(200), 1).await;
    check(FaultAction::CutBody, Some(200), 1).await;
    check(FaultAction::WrongSchema, Some(200), 1).await;
    let amount = "1.00".to_owned();
    check(FaultAction::WrongAmount { amount }, Some(200), 1).await;
}

#[tokio::test]
async fn a_broken_answer_looks_as_scripted() {
    let (cut, ..) = pay_under(FaultAction::CutBody).await;
    let cut = cut.unwrap();
    let promised: usize = cut.header("content-length").unwrap().parse().unwrap();
    assert!(cut.body.len() < promised);
    let (truncated, ..) = pay_under(FaultAction::TruncatedBody).await;
    let truncated = truncated.unwrap();
    assert_eq!(
        truncated.header("content-length").unwrap(),
        truncated.body.len().to_string()
    );
    assert!(serde_json::from_slice::<serde_json::Value>(&truncated.body).is_err());
    let amount = "1.00".to_owned();
    let (wrong, ..) = pay_under(FaultAction::WrongAmount { amount }).await;
    assert_eq!(wrong.unwrap().json()["amount"], "1.00");
    let (wrong, ..) = pay_under(FaultAction::WrongSchema).await;
    assert_eq!(wrong.unwrap().json(), json!({ "ok": true }));
    let replace = FaultAction::Replace {
        pointer: "/currency".to_owned(),
        value: json!("USD"),
    };
    let (replaced, ..) = pay_under(replace).await;
    assert_eq!(replaced.unwrap().json()["currency"], "USD");
    let limited = FaultAction::Status {
        status: 429,
        when: When::Before,
        retry_after_secs: Some(7),
    };
    let (limited, ..) = pay_under(limited).await;
    assert_eq!(limited.unwrap().header("retry-after"), Some("7"));
}

#[tokio::test]
async fn a_client_that_gives_up_does_not_stop_what_it_asked_for() {
    let bench = Bench::demo().await;
    let slow = FaultAction::Delay {
        ms: 60_000,
        when: When::Before,
    };
    bench.control().add_fault(FaultRule::on("create_payout", slow).nth(1));
    let body = bench.payout("10.00", "INV-1");
    tokio::select! {
        _ = bench.try_post("/v1/payouts", &body, None) => panic!("answered too early"),
        () = bursar::base::clock::SystemClock::new().sleep(std::time::Duration::from_millis(200)) => {}
    }
    assert!(bench.control().effects().is_empty());
    bench.pass(60_000);
    eventually("the payout is made though nobody waits", || {
        bench.control().effects().pop()
    })
    .await;
}

#[tokio::test]
async fn an_answer_can_drip() {
    let bench = Bench::demo().await;
    let drip = FaultAction::SlowDrip {
        bytes: 40,
        interval_ms: 1_000,
    };
    bench.control().add_fault(FaultRule::on("list_accounts", drip));
    let ask = bench.get("/v1/accounts?limit=1");
    let time = async {
        let clock = bursar::base::clock::SystemClock::new();
        loop {
            bench.pass(1_000);
            clock.sleep(std::time::Duration::from_millis(1)).await;
        }
    };
    let before = bench.clock.elapsed();
    tokio::select! {
        reply = ask => drop(reply.ok()),
        () = time => {}
    }
    assert!(bench.clock.elapsed() - before >= std::time::Duration::from_secs(10));
}

#[tokio::test]
async fn one_payout_can_be_kept_from_lists_or_made_to_fail() {
    let bench = Bench::demo().await;
    let control = bench.control();
    let hidden = FaultAction::Unlisted { ms: 5_000 };
    control.add_fault(FaultRule::on("create_payout", hidden).body("/reference", "INV-1"));
    let failure = Failure::new("blocked_by_review", "refused", false);
    control.add_fault(FaultRule::on("create_payout", FaultAction::FailLater { failure }).body("/reference", "INV-2"));
    bench.pay("1.00", "INV-1").await;
    let failing = bench.pay("2.00", "INV-2").await;
    bench.pay("3.00", "INV-3").await;
    bench.pass(250);
    let listed = async || bench.get("/v1/payouts").await.ok()["data"].as_array().unwrap().len();
    assert_eq!(listed().await, 2);
    bench.pass(5_000);
    assert_eq!(listed().await, 3);
    let failed = bench.get(&format!("/v1/payouts/{failing}")).await.ok();
    assert_eq!(failed["failure"]["code"], "blocked_by_review");
    assert_eq!(control.requests()["create_payout"].faulted, 2);
    control.clear_faults();
    assert_eq!(control.faults(), json!({ "requests": [], "webhooks": [] }));
}
