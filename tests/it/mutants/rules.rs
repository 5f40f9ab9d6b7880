//! Rules that are met by chance elsewhere, met here on purpose: small cases, each of which one guard decides.

use std::time::Duration;

use bursar::base::clock::{Clock as _, SystemClock};
use bursar::base::ids::{Digest, EventId, RunId, WorkerId};
use bursar::base::money::{Currency, Money, Rounding};
use bursar::engine::backoff::{Backoff, Reason};
use bursar::model::event::{Event, EventFilter, Matching};
use bursar::model::journal::StepPath;
use bursar::model::policy::{Decision, Movement, Question, decide};
use bursar::model::run::{Cause, EventMark, NewRun, Settlement};
use bursar::script::{Budget, Limit, Ran};
use bursar::store::{Append, StoreError};
use chrono::TimeDelta;
use rust_decimal::Decimal;
use serde_json::json;

use crate::scripts::rig::{roomy, run_files};
use crate::support::open;

fn eur(minor: i128) -> Money {
    Money::from_minor(minor, Currency::from_code("EUR").expect("a currency")).expect("small")
}

#[test]
fn a_half_is_rounded_as_its_mode_says() {
    let half = Decimal::new(5, 1);
    let check = |mode: Rounding, expected: [i128; 4]| {
        let rounded = [1, 3, -1, -3].map(|minor| eur(minor).mul_rounded(half, mode).expect("small").minor());
        assert_eq!(rounded, expected, "{mode:?}");
    };
    check(Rounding::Down, [0, 1, 0, -1]);
    check(Rounding::Up, [1, 2, -1, -2]);
    check(Rounding::HalfUp, [1, 2, -1, -2]);
    check(Rounding::HalfDown, [0, 1, 0, -1]);
    check(Rounding::HalfEven, [0, 2, 0, -2]);
    check(Rounding::Floor, [0, 1, -1, -2]);
    check(Rounding::Ceiling, [1, 2, 0, -1]);
}

#[test]
fn a_pause_doubles_and_is_never_nothing_after_too_many_requests() {
    let backoff = Backoff {
        base: Duration::from_secs(2),
        ceiling: Duration::from_secs(60),
        attempts_max: 8,
        total: Duration::from_secs(86_400),
    };
    let pause = |attempt, reason, random| backoff.pause(attempt, reason, None, random).as_secs();
    assert_eq!(
        [1, 2, 3, 9].map(|attempt| pause(attempt, Reason::Fault, u32::MAX)),
        [2, 4, 8, 60]
    );
    assert_eq!(
        [1, 2, 3, 9].map(|attempt| pause(attempt, Reason::TooFast, 0)),
        [1, 2, 4, 30]
    );
}

#[test]
fn a_filter_takes_only_what_it_names() {
    let now = SystemClock::new().now();
    let event = |kind: &str, subject: Option<&str>| Event {
        id: EventId::generate(now),
        connection: "bank".to_owned(),
        provider_id: "1".to_owned(),
        kind: kind.to_owned(),
        subject: subject.map(str::to_owned),
        occurred_at: None,
        received_at: now,
        payload: json!({}).into(),
    };
    let filter = EventFilter {
        connection: "bank".to_owned(),
        types: vec!["payout.paid".to_owned()],
        subject: Some("po_1".to_owned()),
        matching: Matching::default(),
        after: EventMark(4),
        since: None,
        except: Vec::new(),
    };
    let check = |mark: i64, kind: &str, subject: Option<&str>, expected: bool| {
        let accepted = filter.accepts(EventMark(mark), &event(kind, subject));
        assert_eq!(accepted, expected, "{mark} {kind} {subject:?}");
    };
    check(5, "payout.paid", Some("po_1"), true);
    check(4, "payout.paid", Some("po_1"), false);
    check(5, "payout.failed", Some("po_1"), false);
    check(5, "payout.paid", Some("po_2"), false);
    check(5, "payout.paid", None, false);
}

#[test]
fn money_moves_only_on_connections_of_the_manifest_and_only_if_there_is_some() {
    let run = RunId::generate(SystemClock::new().now());
    let path = StepPath::root().child(1);
    let check = |connection: &str, amount: Option<i128>, allowed: bool| {
        let movement = Movement {
            amount: amount.map(eur),
            source: None,
            beneficiary: None,
        };
        let question = Question {
            run,
            path: &path,
            connection,
            uses: &["bank".to_owned()],
            fingerprint: Digest::of([b"a".as_slice()]),
            movement: &movement,
        };
        let decided = matches!(decide(&question), Decision::Allowed(_));
        assert_eq!(decided, allowed, "{connection} {amount:?}");
    };
    check("bank", Some(1), true);
    check("bank", None, true);
    check("bank", Some(0), false);
    check("bank", Some(-1), false);
    check("other", Some(1), false);
}

/// What a script ends with under a budget that is enough for nothing but the beginning.
fn exhausted(script: &str, budget: Budget, expected: Limit) {
    let shown = run_files(&[("main.rhai", script)], budget, None);
    let Ran::Exhausted { limit, .. } = &shown.ran else {
        panic!("{script}: {:?}", shown.ran);
    };
    assert_eq!(*limit, expected, "{script}");
}

#[test]
fn operations_are_counted() {
    let budget = Budget {
        operations: 1_000,
        ..roomy()
    };
    exhausted("for i in 0..5_000 {} 1", budget, Limit::Operations);
}

#[test]
fn computing_time_is_counted() {
    let budget = Budget {
        compute: Duration::ZERO,
        ..roomy()
    };
    exhausted("for i in 0..5_000 {} 1", budget, Limit::Compute);
}

#[test]
fn memory_is_counted() {
    let budget = Budget {
        memory_bytes: 256 * 1024,
        ..roomy()
    };
    let script = "let kept = []; for i in 0..64 { let text = \"x\"; text.pad(16_384, 'x'); kept.push(text); } 1";
    exhausted(script, budget, Limit::Memory);
}

/// The same worker may lose a run and take it again: what it still writes for the first time is late.
#[tokio::test]
async fn a_claim_of_the_same_worker_is_another_claim() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path()).await;
    let now = SystemClock::new().now();
    let worker = WorkerId::generate(now);
    let run = NewRun {
        id: RunId::generate(now),
        workflow: "sweep".to_owned(),
        version: Digest::of([b"sweep".as_slice()]),
        cause: Cause::Manual {
            actor: "tess".to_owned(),
            reason: None,
            key: None,
        },
        event: json!({}).into(),
        params: json!({}),
        created_at: now,
        concurrency: None,
    };
    let id = run.id;
    store.create_run(run).await.expect("made");
    let mut leases = Vec::new();
    for minute in [0, 10] {
        let at = now + TimeDelta::minutes(minute);
        store.wake_due(at).await.expect("what lapsed is queued");
        let until = at + TimeDelta::minutes(1);
        let claims = store.claim(worker, at, until, 1).await.expect("taken");
        leases.push(claims[0].lease.clone());
    }
    let end = || Append {
        settlement: Some(Settlement::Succeeded { result: json!(null) }),
        ..Append::default()
    };
    let late = store.append(&leases[0], end(), now).await;
    assert_eq!(late, Err(StoreError::LeaseLost { run: id }));
    assert_eq!(store.append(&leases[1], end(), now).await, Ok(()));
    store.close().await.expect("closed");
}
