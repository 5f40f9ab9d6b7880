//! The one answer: which is taken, which is refused, and that there is never a second.

use std::sync::Arc;
use std::time::Duration;

use bursar::base::clock::{Clock as _, Instant, ManualClock, SystemClock};
use bursar::base::ids::{Digest, RunId, WorkerId};
use bursar::model::journal::{
    Asked, Doubt, Entry, Failure, Journal, Outcome, Phase, Record, Resolution, Step, StepPath, Wait,
};
use bursar::model::run::{Cause, EventMark, NewRun, RunError, RunState, Settlement};
use bursar::model::value::Value;
use bursar::simulator::config::SimulatorConfig;
use bursar::simulator::faults::{FaultAction, FaultRule, When};
use bursar::store::{Append, ApprovalDecision, Decision, Store, StoreError};
use chrono::TimeDelta;
use serde_json::json;
use tokio::task::JoinSet;

use super::{answer, count, path};
use crate::support::real_time::{Patience, pause};
use crate::support::{World, hurry, number, open, passing, report, settled, until};

fn noon(seconds: i64) -> Instant {
    chrono::DateTime::from_timestamp(1_767_225_600 + seconds, 0).expect("a valid instant")
}

fn step(name: &str, what: &str) -> Step {
    Step {
        name: name.to_owned(),
        summary: what.to_owned(),
        fingerprint: Digest::of([what.as_bytes()]),
    }
}

fn waiting(at: StepPath, approval: bool) -> Entry {
    let asked = Asked {
        reason: "pay ACME".to_owned(),
        group: None,
        details: json!(null),
    };
    Entry::Waiting {
        path: at,
        step: if approval {
            step("approval", "pay ACME")
        } else {
            step("sleep", "1h")
        },
        wait: Wait {
            deadline: noon(3_600),
            poll_at: None,
            event: None,
            approval: approval.then_some(asked),
        },
    }
}

fn decided(at: &str, asked: &str, approved: bool) -> Entry {
    Entry::Decided {
        path: path(at),
        asked: Digest::of([asked.as_bytes()]),
        approved,
        actor: "maria".to_owned(),
        reason: "seen".to_owned(),
    }
}

#[test]
fn an_approval_in_doubt_is_asked_again_or_fails_and_is_never_adopted() {
    let doubt = || Entry::InDoubt {
        path: path("1"),
        step: step("approval", "pay ACME"),
        doubt: Doubt {
            code: "in_doubt".to_owned(),
            message: "forgotten".to_owned(),
        },
    };
    let said = |resolution| Entry::Resolved {
        path: path("1"),
        resolution,
        actor: "tess".to_owned(),
        reason: "looked".to_owned(),
    };
    let check = |entries: Vec<Entry>, expected: Result<bool, &str>| {
        let records = [waiting(path("1"), true), doubt()].into_iter().chain(entries);
        let records = records.zip(1..).map(|(entry, seq)| Record {
            seq,
            at: noon(i64::from(seq)),
            entry,
        });
        let told = Journal::from_records(records);
        let asks = told.map(|journal| journal.approvals().count() == 1);
        assert_eq!(asks.map_err(|illegal| illegal.reason), expected);
    };
    let again = || waiting(path("1"), true);
    check(vec![], Ok(false));
    check(vec![said(Resolution::Fail)], Ok(false));
    check(vec![said(Resolution::Retry)], Ok(false));
    check(vec![said(Resolution::Retry), again()], Ok(true));
    check(
        vec![said(Resolution::Retry), again(), decided("1", "pay ACME", true)],
        Ok(false),
    );
    check(
        vec![decided("1", "pay ACME", true)],
        Err("the step asks for no approval"),
    );
    check(vec![again()], Err("the step does not stand where this could follow"));
    let resource = json!({"approved": true});
    check(
        vec![said(Resolution::Adopt { resource })],
        Err("an approval is not adopted: say retry, and it is asked again"),
    );
}

#[test]
fn an_answer_is_taken_once_in_time_and_to_what_was_asked() {
    let outcome = |outcome| Entry::Outcome {
        path: path("1"),
        outcome,
    };
    let timeout = || outcome(Outcome::Failure(Failure::new("timeout", "nobody")));
    let check = |second: i64, entries: Vec<Entry>, expected: Result<(), &str>| {
        let asks = Record {
            seq: 1,
            at: noon(0),
            entry: waiting(path("1"), true),
        };
        let others = entries.into_iter().zip(2..).map(|(entry, seq)| Record {
            seq,
            at: noon(second),
            entry,
        });
        let told = Journal::from_records([asks].into_iter().chain(others));
        assert_eq!(told.map(drop).map_err(|illegal| illegal.reason), expected);
    };
    check(3_599, vec![decided("1", "pay ACME", true)], Ok(()));
    check(3_599, vec![decided("1", "pay ACME", false)], Ok(()));
    check(3_600, vec![timeout()], Ok(()));
    check(
        3_600,
        vec![decided("1", "pay ACME", true)],
        Err("the time to decide is over"),
    );
    check(
        1,
        vec![decided("1", "pay EMCA", true)],
        Err("the decision is about something else than the step asks for"),
    );
    for first in [
        decided("1", "pay ACME", true),
        decided("1", "pay ACME", false),
        timeout(),
    ] {
        for second in [true, false] {
            let entries = vec![first.clone(), decided("1", "pay ACME", second)];
            check(1, entries, Err("the step has ended"));
        }
    }
    check(
        1,
        vec![outcome(Outcome::Value(Value::Bool(true)))],
        Err("only a person approves"),
    );
    check(1, vec![decided("2", "pay ACME", true)], Err("the step was never begun"));
    check(
        1,
        vec![waiting(path("2"), false), decided("2", "1h", true)],
        Err("the step asks for no approval"),
    );
}

/// A run that came to these entries and was settled so.
async fn stands(store: &dyn Store, entries: Vec<Entry>, settlement: Option<Settlement>) -> RunId {
    let run = NewRun {
        id: RunId::generate(noon(0)),
        workflow: "test".to_owned(),
        version: Digest::of([b"test".as_slice()]),
        cause: Cause::Manual {
            actor: "tess".to_owned(),
            reason: None,
            key: None,
        },
        event: json!({}).into(),
        params: json!({}),
        created_at: noon(0),
        concurrency: None,
    };
    let id = run.id;
    store.create_run(run).await.expect("made");
    let claims = store.claim(WorkerId::generate(noon(0)), noon(0), noon(9_000), 1).await;
    let records = entries.into_iter().zip(1..).map(|(entry, seq)| Record {
        seq,
        at: noon(0),
        entry,
    });
    let append = Append {
        records: records.collect(),
        settlement,
        ..Append::default()
    };
    let lease = &claims.expect("taken")[0].lease;
    store.append(lease, append, noon(0)).await.expect("written");
    id
}

fn until_the_deadline() -> Option<Settlement> {
    Some(Settlement::Waiting {
        wake_at: noon(3_600),
        waits_for: Vec::new(),
        seen: EventMark::default(),
    })
}

fn yes(run: RunId, at: &str, second: i64) -> ApprovalDecision {
    ApprovalDecision {
        run,
        path: path(at),
        asked: Digest::of([b"pay ACME".as_slice()]),
        approved: true,
        actor: "maria".to_owned(),
        reason: "seen".to_owned(),
        at: noon(second),
    }
}

#[tokio::test]
async fn an_answer_that_does_not_fit_changes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path()).await;
    let store = store.as_ref();
    let asks = || vec![waiting(path("1"), true), waiting(path("2.1"), false)];
    let error = || RunError {
        code: "diverged".to_owned(),
        message: "the script has changed".to_owned(),
        trace: Vec::new(),
    };
    let waits = stands(store, asks(), until_the_deadline()).await;
    let other = stands(store, asks(), until_the_deadline()).await;
    let driven = stands(store, asks(), None).await;
    let parked = stands(store, asks(), Some(Settlement::Parked { error: error() })).await;
    let failed = stands(store, asks(), Some(Settlement::Failed { error: error() })).await;
    let cancelled = stands(store, asks(), until_the_deadline()).await;
    store
        .cancel(cancelled, "tess", "a mistake", noon(1))
        .await
        .expect("ended");
    store
        .decide(ApprovalDecision {
            approved: false,
            ..yes(other, "1", 5)
        })
        .await
        .expect("the first answer is taken");
    let unknown = RunId::generate(noon(7));
    let (gone, no_step) = (
        format!("{unknown} does not exist"),
        format!("step 3 of {waits} does not exist"),
    );
    let other_question = ApprovalDecision {
        asked: Digest::of([b"pay EMCA".as_slice()]),
        ..yes(waits, "1", 1)
    };
    for (decision, expected) in [
        (yes(unknown, "1", 1), gone.as_str()),
        (yes(waits, "3", 1), no_step.as_str()),
        (yes(waits, "2.1", 1), "the step asks for no approval"),
        (other_question, "what the step asks for is not what was shown"),
        (
            yes(waits, "1", 3_600),
            "the time to decide ended at 2026-01-01T01:00:00Z",
        ),
        (yes(other, "1", 6), "it was decided already: rejected by maria: seen"),
        (yes(parked, "1", 1), "is parked: decide about that first"),
        (yes(failed, "1", 1), "has ended (failed)"),
        (yes(cancelled, "1", 1), "has ended (cancelled)"),
    ] {
        let run = decision.run;
        let before = (store.run(run).await, store.journal(run).await);
        let refused = store.decide(decision).await.expect_err(expected);
        assert!(refused.to_string().contains(expected), "{refused}, not {expected}");
        assert_eq!((store.run(run).await, store.journal(run).await), before, "{expected}");
    }
    // One whose end was asked for while it is driven.
    store.cancel(driven, "tess", "a mistake", noon(1)).await.expect("asked");
    let refused = store.decide(yes(driven, "1", 1)).await.expect_err("it is to end");
    assert!(refused.to_string().contains("the end of"), "{refused}");
    store.close().await.expect("closed");
}

#[tokio::test]
async fn a_decision_and_what_makes_the_run_go_on_are_one_write() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path()).await;
    let run = stands(store.as_ref(), vec![waiting(path("1"), true)], until_the_deadline()).await;
    store.decide(yes(run, "1", 1)).await.expect("decided");
    let stands = store.run(run).await.expect("read").expect("there");
    assert_eq!((stands.state, stands.wake_at), (RunState::Queued, None));
    let worker = WorkerId::generate(noon(2));
    let claims = store.claim(worker, noon(2), noon(60), 9).await.expect("taken");
    assert_eq!(claims[0].records.len(), 2, "whoever takes it next knows");
    store.close().await.expect("closed");
}

/// A run that a dead process left running, with a question of an earlier turn open: nobody drives it, so the answer
/// is taken.
#[tokio::test]
async fn a_run_that_a_dead_process_left_running_is_answered() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path()).await;
    let run = stands(store.as_ref(), vec![waiting(path("1"), true)], None).await;
    store.close().await.expect("closed");
    drop(store);
    let store = open(folder.path()).await;
    store.decide(yes(run, "1", 1)).await.expect("decided");
    assert_eq!(store.reclaim_all(noon(2)).await, Ok(1));
    assert_eq!(count(store.as_ref(), run, "decided").await, 1);
    store.close().await.expect("closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_deciders_at_once_make_one_decision() {
    const DECIDERS: usize = 64;
    let rounds = number("BURSAR_APPROVAL_ROUNDS", 150);
    let seed = number("BURSAR_SEED", fastrand::u64(..));
    let mut random = fastrand::Rng::with_seed(seed);
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path()).await;
    let (mut approved, mut rejected, mut timed_out) = (0, 0, 0);
    for round in 0..rounds {
        let run = stands(store.as_ref(), vec![waiting(path("1"), true)], until_the_deadline()).await;
        let mut deciders = JoinSet::new();
        // Some rounds end by the clock: the run is taken at its deadline, and most answers come after it.
        let late = round % 5 == 0;
        for decider in 0..DECIDERS {
            let decision = ApprovalDecision {
                approved: random.bool(),
                actor: format!("person {decider}"),
                at: noon(if late && random.u8(..) < 250 { 3_600 } else { 3_599 }),
                asked: match random.u8(..) {
                    0..32 => Digest::of([b"something else".as_slice()]),
                    _ => Digest::of([b"pay ACME".as_slice()]),
                },
                ..yes(run, "1", 0)
            };
            let store = store.clone();
            deciders.spawn(async move { (decision.clone(), store.decide(decision).await) });
        }
        if late {
            store.wake_due(noon(3_600)).await.expect("woken");
            let worker = WorkerId::generate(noon(0));
            for claim in store.claim(worker, noon(3_600), noon(9_000), 9).await.expect("taken") {
                let seq = u32::try_from(claim.records.len()).expect("few") + 1;
                let entry = Entry::Outcome {
                    path: path("1"),
                    outcome: Outcome::Failure(Failure::new("timeout", "nobody")),
                };
                let open = claim.records.len() == 1;
                let append = Append {
                    records: open
                        .then(|| Record {
                            seq,
                            at: noon(3_600),
                            entry,
                        })
                        .into_iter()
                        .collect(),
                    settlement: Some(Settlement::Succeeded { result: json!(null) }),
                    ..Append::default()
                };
                store.append(&claim.lease, append, noon(3_600)).await.expect("written");
            }
        }
        let answers = deciders.join_all().await;
        let taken: Vec<_> = answers.iter().filter(|(_, answer)| answer.is_ok()).collect();
        let journal = Journal::from_records(store.journal(run).await.expect("read")).expect("legal");
        let record = journal.step(&path("1")).expect("the step");
        match (&record.phase, taken.as_slice()) {
            (Phase::Done(Outcome::Value(value)), [(decision, _)]) => {
                assert!(decision.approved, "seed {seed:#x}, round {round}");
                let by = value.get("by").and_then(Value::as_text);
                assert_eq!(by, Some(decision.actor.as_str()), "seed {seed:#x}, round {round}");
                approved += 1;
            }
            (Phase::Done(Outcome::Failure(failure)), [(decision, _)]) => {
                assert!(
                    !decision.approved && failure.code == "rejected",
                    "seed {seed:#x}, round {round}"
                );
                rejected += 1;
            }
            (Phase::Done(Outcome::Failure(failure)), []) if late => {
                assert_eq!(failure.code, "timeout", "seed {seed:#x}, round {round}");
                timed_out += 1;
            }
            (phase, taken) => panic!("seed {seed:#x}, round {round}: {} were taken, {phase:?}", taken.len()),
        }
        assert!(count(store.as_ref(), run, "decided").await <= 1);
        for (decision, answer) in &answers {
            assert!(
                decision.asked == record.step.fingerprint || answer.is_err(),
                "seed {seed:#x}, round {round}"
            );
        }
        // What is still queued would be taken in the next round.
        drop(store.cancel(run, "tess", "over", noon(9)).await);
    }
    report(&format!(
        "{rounds} rounds of {DECIDERS} deciders (seed {seed:#x}): {approved} approved, {rejected} rejected, {timed_out} timed out"
    ));
    assert!(approved > 0 && rejected > 0 && timed_out > 0);
    store.close().await.expect("closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_the_time_and_an_answer_race_to_one_end() {
    const RUNS: usize = 24;
    let clock = ManualClock::new(SystemClock::new().now());
    let world = World::with_clock(SimulatorConfig::demo(), Arc::new(clock.clone())).await;
    let store = world.store().await;
    let engine = world.engine(store.clone()).await;
    let script = r#"let told = "";
        try { told = approval(#{ reason: "pay ACME", timeout: minutes(1) }).by; } catch (e) { told = e.error; }
        told"#;
    let mut runs = Vec::new();
    for _ in 0..RUNS {
        runs.push(world.start(store.as_ref(), script, json!({}), json!({})).await);
    }
    for id in &runs {
        until(store.as_ref(), *id, |run| run.state == RunState::Waiting).await;
    }
    clock.advance(Duration::from_millis(59_000));
    hurry(clock.clone());
    world.wake.nudge();
    let (mut taken, mut late) = (0, 0);
    for id in runs {
        pause(Duration::from_millis(1)).await;
        let decision = answer(store.as_ref(), id, "1", true, clock.now()).await;
        let decided = store.decide(decision).await;
        world.wake.nudge();
        let run = settled(store.as_ref(), id).await;
        let expected = if decided.is_ok() { "maria" } else { "timeout" };
        assert_eq!(run.result, Some(json!(expected)), "{decided:?}");
        match decided {
            Ok(()) => taken += 1,
            Err(StoreError::Conflict(_)) => late += 1,
            Err(other) => panic!("{other}"),
        }
        assert_eq!(
            count(store.as_ref(), id, "decided").await,
            usize::from(expected == "maria")
        );
    }
    report(&format!(
        "{RUNS} answers at the end of the time: {taken} taken, {late} too late"
    ));
    engine.stop().await;
    store.close().await.expect("closed");
}

/// Nobody who answers is told to come back later: another branch may be in a long request.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_taken_at_once_while_another_branch_works() {
    let (world, clock) = World::standing_still().await;
    let slow = FaultAction::Delay {
        ms: 600,
        when: When::Before,
    };
    world.simulator.control.add_fault(FaultRule::on("list_accounts", slow));
    let store = world.store().await;
    let engine = world.engine(store.clone()).await;
    let script = r#"parallel([1, 2], |n| {
        if n == 1 { return approval(#{ reason: "pay ACME" }).by; }
        sleep("1s");
        bank::accounts(#{ label: "Operating DE" }).len()
    }).map(|t| t.value)"#;
    let id = world.start(store.as_ref(), script, json!({}), json!({})).await;
    until(store.as_ref(), id, |run| run.state == RunState::Waiting).await;
    let decision = answer(store.as_ref(), id, "1.1.1", true, world.clock.now()).await;
    clock.advance(Duration::from_secs(1));
    until(store.as_ref(), id, |run| run.state == RunState::Running).await;
    store.decide(decision.clone()).await.expect("decided");
    assert_eq!(count(store.as_ref(), id, "decided").await, 1, "it is durable");
    let run = store.run(id).await.expect("read").expect("there");
    assert_eq!(run.state, RunState::Running, "the other branch still works");
    let again = store.decide(decision).await.expect_err("one answer counts");
    assert!(again.to_string().contains("it was decided already"), "{again}");
    let run = passing(
        store.as_ref(),
        &clock,
        id,
        RunState::Running,
        Duration::from_millis(100),
    )
    .await;
    assert_eq!(run.result, Some(json!(["maria", 1])), "{:?}", run.error);
    engine.stop().await;
    store.close().await.expect("closed");
}

/// What a branch asks is seen as soon as it is asked, however long the others work in the same turn.
#[tokio::test(flavor = "multi_thread")]
async fn a_question_is_seen_and_answered_in_the_turn_that_asks_it() {
    let (world, clock) = World::standing_still().await;
    let slow = FaultAction::Delay {
        ms: 1_500,
        when: When::Before,
    };
    world.simulator.control.add_fault(FaultRule::on("list_accounts", slow));
    let store = world.store().await;
    let engine = world.engine(store.clone()).await;
    let script = r#"parallel([1, 2], |n| {
        if n == 1 { return bank::accounts(#{ label: "Operating DE" }).len(); }
        log::info("asks"); approval(#{ reason: "pay ACME" }).by
    }).map(|t| t.value)"#;
    let id = world.start(store.as_ref(), script, json!({}), json!({})).await;
    let patience = Patience::new(Duration::from_secs(20));
    while count(store.as_ref(), id, "waiting").await == 0 {
        assert!(!patience.is_over(), "nothing is asked");
        pause(Duration::from_millis(2)).await;
    }
    let decision = answer(store.as_ref(), id, "1.2.2", true, world.clock.now()).await;
    store.decide(decision).await.expect("decided");
    let run = store.run(id).await.expect("read").expect("there");
    assert_eq!((run.state, run.turns), (RunState::Running, 1));
    let run = passing(
        store.as_ref(),
        &clock,
        id,
        RunState::Running,
        Duration::from_millis(100),
    )
    .await;
    assert_eq!(run.result, Some(json!([1, "maria"])), "{:?}", run.error);
    assert_eq!(run.turns, 2, "the run hears of it when its turn is over");
    engine.stop().await;
    store.close().await.expect("closed");
}

/// The worker goes on where its own journal ends, and what it writes stands behind the answer. Also when the process
/// ends before.
#[tokio::test]
async fn an_answer_given_while_a_worker_drives_the_run_stands_before_what_that_worker_writes() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut store = open(folder.path()).await;
    for dies in [false, true] {
        let asks = vec![waiting(path("1.1.1"), true), waiting(path("1.2.1"), true)];
        let run = stands(store.as_ref(), asks, until_the_deadline()).await;
        store.decide(yes(run, "1.2.1", 1)).await.expect("decided");
        let worker = WorkerId::generate(noon(2));
        let claims = store.claim(worker, noon(2), noon(60), 9).await.expect("taken");
        let claim = &claims[0];
        assert_eq!((claim.at, claim.records.len()), (noon(2), 3));
        store.decide(yes(run, "1.1.1", 3)).await.expect("decided");
        let done = |seq| Record {
            seq,
            at: noon(4),
            entry: Entry::Done {
                path: path("1.3.1").child(seq),
                step: step("uuid", "an id"),
                outcome: Outcome::Value(Value::Null),
                began: None,
            },
        };
        if dies {
            store.close().await.expect("closed");
            store = open(folder.path()).await;
            assert_eq!(store.reclaim_all(noon(5)).await, Ok(1));
        } else {
            let first = Append {
                records: vec![done(4), done(5)],
                ..Append::default()
            };
            store.append(&claim.lease, first, noon(4)).await.expect("written");
            let last = Append {
                records: vec![done(6)],
                settlement: until_the_deadline(),
                ..Append::default()
            };
            store.append(&claim.lease, last, noon(4)).await.expect("written");
        }
        let stands = store.run(run).await.expect("read").expect("there");
        assert_eq!(stands.state, RunState::Queued, "it does not wait for what was answered");
        let records = store.journal(run).await.expect("read");
        let kinds: Vec<_> = records.iter().map(|record| record.entry.kind()).collect();
        let expected = ["waiting", "waiting", "decided", "decided", "done", "done", "done"];
        assert_eq!(kinds, expected[..if dies { 4 } else { 7 }]);
        Journal::from_records(records).expect("legal");
        store.cancel(run, "tess", "over", noon(9)).await.expect("ended");
    }
    store.close().await.expect("closed");
}

/// Whether the time was over when the run was taken decides: that turn may be saying so already, and an answer that came
/// in time but is heard only now would be a second end.
#[tokio::test]
async fn who_took_a_run_after_its_time_to_decide_is_not_contradicted() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path()).await;
    for (taken_at, is_taken) in [(3_599, true), (3_600, false)] {
        let run = stands(store.as_ref(), vec![waiting(path("1"), true)], until_the_deadline()).await;
        store.wake_due(noon(3_600)).await.expect("woken");
        let worker = WorkerId::generate(noon(0));
        let claims = store
            .claim(worker, noon(taken_at), noon(9_000), 9)
            .await
            .expect("taken");
        let answered = store.decide(yes(run, "1", 3_599)).await;
        assert_eq!(answered.is_ok(), is_taken, "{answered:?}");
        if let Err(error) = answered {
            assert!(error.to_string().contains("the time to decide ended at"), "{error}");
        }
        let over = Append {
            settlement: Some(Settlement::Succeeded { result: json!(null) }),
            ..Append::default()
        };
        store
            .append(&claims[0].lease, over, noon(3_601))
            .await
            .expect("written");
    }
    store.close().await.expect("closed");
}

/// A parked run has something more pressing to be decided about; when that is done, the question stands again.
#[tokio::test]
async fn a_parked_run_is_answered_when_it_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path()).await;
    let error = RunError {
        code: "diverged".to_owned(),
        message: "the script has changed".to_owned(),
        trace: Vec::new(),
    };
    let entries = vec![waiting(path("1"), true)];
    let run = stands(store.as_ref(), entries, Some(Settlement::Parked { error })).await;
    store.decide(yes(run, "1", 1)).await.expect_err("it is parked");
    let again = Decision {
        run,
        path: None,
        resolution: Resolution::Retry,
        actor: "maria".to_owned(),
        reason: "put back".to_owned(),
        after: 0,
        at: noon(1) + TimeDelta::seconds(1),
    };
    store.resolve(again).await.expect("it goes on");
    store.decide(yes(run, "1", 3)).await.expect("decided");
    store.close().await.expect("closed");
}
