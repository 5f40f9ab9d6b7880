//! The rules of the trait, written over `&dyn Store`: a function for each, run on every store there is.

use std::collections::BTreeSet;

use bursar::base::ids::RunId;
use bursar::model::event::Matching;
use bursar::model::journal::{Entry, Outcome, Record, Resolution};
use bursar::model::run::{EventMark, NewRun, RunState, Settlement};
use bursar::model::value::Value;
use bursar::model::workflow::{Source, Version};
use bursar::store::{Admitted, Append, Made, Routed, Routing, RunQuery, Store, StoreError};
use serde_json::json;

use super::deaths::a_process_that_dies_twice_under_a_run_without_progress_makes_it_suspected;
use super::exclusive::*;
use super::fates::*;
use super::make::*;
use super::movement::*;
use super::overlap::*;
use super::schedules::*;

/// Runs each rule on each store.
macro_rules! rules {
    ($($rule:ident),* $(,)?) => {
        pub(super) mod sqlite {
            /// All of them, one after the other.
            pub(in crate::store) fn all() {
                $($rule();)*
            }

            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $rule() {
                let opened = super::super::make::open().await;
                super::$rule(&*opened.store).await;
                opened.store.close().await.expect("closed");
            })*
        }
    };
}

rules![
    an_event_starts_a_run_that_is_claimed_driven_and_settled,
    an_event_is_admitted_once,
    an_event_admitted_again_under_its_own_id_is_known,
    equal_events_admitted_at_once_are_one,
    what_was_routed_is_not_routed_again,
    events_to_route_come_in_order_and_in_bounds,
    large_params_and_documents_come_back,
    one_cause_makes_one_run_of_a_workflow,
    the_newest_slot_of_a_schedule_is_known,
    the_runs_of_a_schedule_are_listed_by_slot,
    schedules_are_paused_once_and_resumed_once,
    a_clock_in_doubt_is_kept_beside_the_pauses,
    claims_take_the_oldest_and_nobody_twice,
    only_the_holder_of_the_lease_may_write,
    a_lease_that_is_renewed_does_not_lapse,
    a_lapsed_lease_goes_to_the_next_worker_with_the_journal,
    a_restart_takes_every_run_back,
    a_gap_in_the_journal_is_refused_and_hinders_nobody,
    writes_happen_in_the_order_of_the_calls_even_if_nobody_waits,
    no_effect_begins_once_the_end_was_asked_for,
    a_run_waits_until_its_time,
    an_event_wakes_the_runs_that_wait_for_it,
    an_event_about_which_thousands_wait_still_wakes_the_one_that_is_meant,
    an_event_between_looking_and_waiting_is_not_lost,
    a_wait_looks_at_events_in_the_order_of_admission,
    the_first_event_that_fits_is_found,
    a_decision_is_recorded_and_queues_the_run,
    decisions_that_do_not_fit_change_nothing,
    a_run_without_a_doubtful_step_goes_on_or_fails,
    a_process_that_dies_twice_under_a_run_without_progress_makes_it_suspected,
    the_end_of_a_run_depends_on_where_it_stands,
    a_sent_effect_is_asked_after_before_the_run_ends,
    a_run_whose_end_was_asked_for_does_not_go_to_sleep,
    scripts_keep_values_between_runs,
    a_run_knows_the_last_success_before_it,
    versions_come_back_as_they_were,
    runs_are_listed_newest_first,
    events_are_listed_newest_first,
    what_became_of_events_is_told,
    a_workflow_that_is_behind_has_its_own_cursor,
    counts_follow_the_runs,
    a_run_that_would_overlap_is_not_made_and_that_is_recorded,
    runs_of_one_key_queue_in_order_however_the_ones_before_them_end,
    a_newer_run_ends_the_open_ones_that_can_be_ended,
    no_more_runs_of_a_key_are_open_than_may_be,
    what_was_passed_over_is_kept_once_and_forgotten_when_it_is_made,
    what_only_one_step_may_have_goes_with_its_end_and_not_before,
    what_a_run_had_alone_goes_with_its_end,
    what_was_done_alone_rests_until_it_can_be_seen,
    a_clock_that_is_ahead_for_a_while_makes_nobody_forget_what_was_done,
    what_is_on_its_way_is_shown_until_it_has_an_end,
    what_was_taken_for_an_account_of_ours_is_kept_until_it_has_arrived,
    what_was_taken_is_not_forgotten_by_a_clock_that_is_ahead,
    nothing_is_reserved_on_what_was_seen_before_something_else_began,
    what_was_reserved_is_given_back_for_exactly_one_movement,
    who_comes_too_late_has_nothing_reserved_either,
];

async fn state_if_there(store: &dyn Store, run: RunId) -> Option<RunState> {
    store.run(run).await.expect("read").map(|run| run.state)
}

pub(super) async fn state_of(store: &dyn Store, run: RunId) -> RunState {
    store.run(run).await.expect("read").expect("there").state
}

/// What is said of a routing: new runs, runs that stand queued after it.
const fn made_runs(runs: u64, queued: u64) -> Routed {
    Routed { runs, queued }
}

async fn an_event_starts_a_run_that_is_claimed_driven_and_settled(store: &dyn Store) {
    let event = event("bank", "1", 0);
    let mark = admit(store, &event).await;
    let made = caused("sweep", mark, &event);
    assert_eq!(state_if_there(store, made.id).await, None, "an admission makes no run");
    let routed = route(store, vec![made.clone()]).await;
    assert_eq!(routed, Ok(made_runs(1, 1)));

    let claims = store.claim(worker(1), at(1), at(31), 10).await.expect("claimed");
    let claim = claims.first().expect("a claim");
    assert_eq!(claim.run.state, RunState::Running);
    assert_eq!(
        (&claim.run.event, &claim.run.params),
        (&event.as_document(), &made.params)
    );
    assert_eq!((claim.run.turns, claim.run.started_at), (1, Some(at(1))));
    assert_eq!((&claim.run.cause, claim.run.version), (&made.cause, made.version));

    let records_made = [done(1), intent(2, "2")];
    let written = store.append(&claim.lease, records(records_made.clone()), at(2)).await;
    assert_eq!(written, Ok(()));
    let result = json!({"$decimal": "1.50"});
    let settlement = Settlement::Succeeded { result: result.clone() };
    assert_eq!(store.append(&claim.lease, settle(settlement), at(3)).await, Ok(()));

    let run = store.run(made.id).await.expect("read").expect("there");
    assert_eq!(run.state, RunState::Succeeded);
    assert_eq!((run.finished_at, run.result), (Some(at(3)), Some(result)));
    assert_eq!(store.journal(run.id).await, Ok(records_made.to_vec()));
    let again = store.append(&claim.lease, Append::default(), at(4)).await;
    assert_eq!(again, Err(StoreError::LeaseLost { run: run.id }));
    assert_eq!(store.event(event.id).await, Ok(Some(event)));
}

async fn an_event_is_admitted_once(store: &dyn Store) {
    let first = event("bank", "1", 0);
    let mark = admit(store, &first).await;
    // Again before it was routed, and after.
    for number in 0..2 {
        let again = event("bank", "1", 5 + number);
        let answer = store.admit(again.clone()).await;
        assert_eq!(answer, Ok(Admitted::Duplicate { event: first.id }));
        assert_eq!(store.event(again.id).await, Ok(None));
        let runs = vec![caused("sweep", mark, &first)];
        let routed = route(store, runs).await;
        let runs = u64::from(number == 0);
        assert_eq!(routed, Ok(made_runs(runs, 1)));
    }
    let elsewhere = event("other", "1", 6);
    assert!(admit(store, &elsewhere).await > mark);
}

async fn an_event_admitted_again_under_its_own_id_is_known(store: &dyn Store) {
    let first = event("bank", "1", 0);
    let calls = [
        store.admit(first.clone()),
        store.admit(first.clone()),
        store.admit(first.clone()),
    ];
    let mut known = 0;
    for call in calls {
        known += u32::from(call.await.expect("admitted") == Admitted::Duplicate { event: first.id });
    }
    assert_eq!(known, 2);
    let mut other = event("bank", "2", 1);
    other.id = first.id;
    let answer = store.admit(other).await;
    assert!(matches!(answer, Err(StoreError::Conflict(_))), "{answer:?}");
    assert_eq!(store.unrouted(9, 1_000).await.expect("read").events.len(), 1);
}

async fn equal_events_admitted_at_once_are_one(store: &dyn Store) {
    // All are called before any is awaited, so that they meet in one transaction, too; more than one statement takes.
    let calls: Vec<_> = (0..200)
        .map(|number| store.admit(event("bank", &(number % 3).to_string(), number)))
        .collect();
    let mut marks = Vec::new();
    for call in calls {
        match call.await.expect("admitted") {
            Admitted::New { mark, wakes: false } => marks.push(mark),
            Admitted::New { wakes: true, .. } => panic!("nobody waits"),
            Admitted::Duplicate { .. } => {}
            Admitted::TooOld { .. } => panic!("nothing was pruned"),
        }
    }
    let unrouted = store.unrouted(1_000, 1_000_000).await.expect("read");
    let found: Vec<EventMark> = unrouted.events.iter().map(|(mark, _)| *mark).collect();
    assert_eq!((found.len(), &found), (3, &marks));
}

async fn what_was_routed_is_not_routed_again(store: &dyn Store) {
    let events = ["1", "2", "3"].map(|id| event("bank", id, 0));
    let mut marks = Vec::new();
    for event in &events {
        marks.push(admit(store, event).await);
    }
    let routing = |after: EventMark, up_to: EventMark, number: usize| Routing {
        after,
        up_to,
        runs: vec![caused("sweep", marks[number], &events[number])],
        ..Routing::default()
    };
    let start = store.unrouted(1, 1_000).await.expect("read").after;
    let one = store.route(routing(start, marks[0], 0)).await;
    assert_eq!(one, Ok(made_runs(1, 1)));
    // The cursor has moved; and it cannot be moved past what there is, or back.
    for (after, up_to) in [
        (start, marks[1]),
        (marks[1], marks[2]),
        (marks[0], EventMark(marks[2].0 + 1)),
        (marks[0], start),
    ] {
        let answer = store.route(routing(after, up_to, 1)).await;
        assert!(
            matches!(answer, Err(StoreError::Conflict(_))),
            "{after:?} {up_to:?}: {answer:?}"
        );
    }
    let left = store.unrouted(9, 1_000_000).await.expect("read");
    let left: Vec<EventMark> = left.events.iter().map(|(mark, _)| *mark).collect();
    assert_eq!(left, marks[1..]);
    let query = RunQuery {
        limit: 9,
        ..RunQuery::default()
    };
    assert_eq!(store.runs(query).await.expect("read").len(), 1);
}

async fn events_to_route_come_in_order_and_in_bounds(store: &dyn Store) {
    for number in 0..10 {
        admit(store, &event("bank", &number.to_string(), 10 - number)).await;
    }
    for (limit, bytes_max, expected) in [(3, 1_000_000, 3), (100, 1_000_000, 10), (100, 1, 1), (100, 50, 2)] {
        let unrouted = store.unrouted(limit, bytes_max).await.expect("read");
        let ids: Vec<String> = unrouted
            .events
            .into_iter()
            .map(|(_, event)| event.expect("readable").provider_id.clone())
            .collect();
        let first: Vec<String> = (0..expected).map(|number| number.to_string()).collect();
        assert_eq!(ids, first, "{limit} {bytes_max}");
    }
}

async fn large_params_and_documents_come_back(store: &dyn Store) {
    let large = json!({"note": "x".repeat(5_000)});
    let event = event("bank", "1", 0);
    let mark = admit(store, &event).await;
    let caused = NewRun {
        params: large.clone(),
        ..caused("sweep", mark, &event)
    };
    let asked = NewRun {
        params: large.clone(),
        event: large.clone().into(),
        ..manual("sweep", 1)
    };
    route(store, vec![caused.clone()]).await.expect("routed");
    store.create_run(asked.clone()).await.expect("made");
    for (id, document) in [(caused.id, event.as_document()), (asked.id, large.clone())] {
        let run = store.run(id).await.expect("read").expect("there");
        assert_eq!((run.event, run.params), (document, large.clone()));
    }
}

async fn one_cause_makes_one_run_of_a_workflow(store: &dyn Store) {
    let first = scheduled("sweep", "0 18 * * *", "Europe/Berlin", 0);
    assert_eq!(store.create_run(first.clone()).await, Ok(Made::New));
    let again = scheduled("sweep", "0 18 * * *", "Europe/Berlin", 0);
    assert_eq!(store.create_run(again.clone()).await, Ok(Made::Known));
    assert_eq!(store.run(again.id).await, Ok(None));
    let elsewhere = scheduled("other", "0 18 * * *", "Europe/Berlin", 0);
    assert_eq!(store.create_run(elsewhere.clone()).await, Ok(Made::New));
    for _ in 0..2 {
        let asked = manual("sweep", 0);
        assert_eq!(store.create_run(asked.clone()).await, Ok(Made::New));
    }
}

async fn claims_take_the_oldest_and_nobody_twice(store: &dyn Store) {
    let mut made = Vec::new();
    for seconds in [3, 1, 2] {
        let run = manual("sweep", seconds);
        made.push(run.id);
        store.create_run(run).await.expect("made");
    }
    made.sort();
    let first = store.claim(worker(1), at(9), at(39), 2).await.expect("claimed");
    let second = store.claim(worker(2), at(9), at(39), 2).await.expect("claimed");
    let taken: Vec<RunId> = first.iter().chain(&second).map(|claim| claim.run.id).collect();
    assert_eq!(taken, made);
    assert_eq!(first.len(), 2);
    let third = store.claim(worker(3), at(9), at(39), 2).await.expect("claimed");
    assert!(third.is_empty());
}

async fn only_the_holder_of_the_lease_may_write(store: &dyn Store) {
    let claim = running(store, "sweep", 0).await;
    let lost = Err(StoreError::LeaseLost { run: claim.run.id });
    let mut other = claim.lease.clone();
    other.worker = worker(7);
    assert_eq!(store.append(&other, records([done(1)]), at(1)).await, lost);
    let mut old = claim.lease.clone();
    old.fence -= 1;
    assert_eq!(store.append(&old, records([done(1)]), at(1)).await, lost);
    let mut unknown = claim.lease.clone();
    unknown.run = RunId::generate(at(0));
    let answer = store.append(&unknown, Append::default(), at(1)).await;
    assert_eq!(answer, Err(StoreError::NotFound(unknown.run.to_string())));
    assert_eq!(store.append(&claim.lease, records([done(1)]), at(1)).await, Ok(()));
    assert_eq!(store.journal(claim.run.id).await, Ok(vec![done(1)]));
}

async fn a_lease_that_is_renewed_does_not_lapse(store: &dyn Store) {
    let claim = running(store, "sweep", 0).await;
    store
        .renew(claim.lease.worker, vec![claim.lease.run], at(60))
        .await
        .expect("renewed");
    assert_eq!(store.wake_due(at(59)).await, Ok((0, None)));
    assert_eq!(store.append(&claim.lease, Append::default(), at(59)).await, Ok(()));
    assert_eq!(store.wake_due(at(60)).await, Ok((1, None)));
}

async fn a_lapsed_lease_goes_to_the_next_worker_with_the_journal(store: &dyn Store) {
    let old = running(store, "sweep", 0).await;
    store
        .append(&old.lease, records([done(1)]), at(1))
        .await
        .expect("appended");
    assert_eq!(store.wake_due(at(30)).await, Ok((1, None)));
    let lost = Err(StoreError::LeaseLost { run: old.run.id });
    assert_eq!(store.append(&old.lease, records([done(2)]), at(31)).await, lost);
    let new = take(store, 32, old.run.id).await;
    assert!(new.lease.fence > old.lease.fence);
    assert_eq!((new.run.turns, new.run.started_at), (2, Some(at(0))));
    assert_eq!(new.records, vec![done(1)]);
    assert_eq!(store.append(&old.lease, records([done(2)]), at(33)).await, lost);
    assert_eq!(store.append(&new.lease, records([done(2)]), at(33)).await, Ok(()));
}

async fn a_restart_takes_every_run_back(store: &dyn Store) {
    let claim = running(store, "sweep", 0).await;
    assert_eq!(store.reclaim_all(at(1)).await, Ok(1));
    assert_eq!(state_of(store, claim.run.id).await, RunState::Queued);
    let lost = Err(StoreError::LeaseLost { run: claim.run.id });
    assert_eq!(store.append(&claim.lease, Append::default(), at(2)).await, lost);
    assert_eq!(store.reclaim_all(at(1)).await, Ok(0));
}

async fn a_gap_in_the_journal_is_refused_and_hinders_nobody(store: &dyn Store) {
    let good = running(store, "good", 0).await;
    let bad = running(store, "bad", 1).await;
    let calls = [
        store.append(&good.lease, records([done(1)]), at(1)),
        store.append(&bad.lease, records([done(2)]), at(1)),
        store.append(&bad.lease, records([done(1), done(3)]), at(1)),
        store.append(&good.lease, records([done(1)]), at(1)),
        store.append(&good.lease, records([done(2)]), at(1)),
    ];
    let mut answers = Vec::new();
    for call in calls {
        answers.push(call.await);
    }
    let written: Vec<bool> = answers.iter().map(Result::is_ok).collect();
    assert_eq!(written, [true, false, false, false, true], "{answers:?}");
    assert!(matches!(answers[1], Err(StoreError::Conflict(_))));
    assert_eq!(store.journal(good.run.id).await, Ok(vec![done(1), done(2)]));
    assert_eq!(store.journal(bad.run.id).await, Ok(vec![]));
}

async fn writes_happen_in_the_order_of_the_calls_even_if_nobody_waits(store: &dyn Store) {
    let claim = running(store, "sweep", 0).await;
    for seq in 1..=2_000 {
        drop(store.append(&claim.lease, records([done(seq)]), at(1)));
    }
    let last = store.append(&claim.lease, settle(succeeded()), at(2)).await;
    assert_eq!(last, Ok(()));
    let journal: Vec<Record> = (1..=2_000).map(done).collect();
    assert_eq!(store.journal(claim.run.id).await, Ok(journal));
}

async fn no_effect_begins_once_the_end_was_asked_for(store: &dyn Store) {
    let claim = running(store, "sweep", 0).await;
    let run = claim.run.id;
    store
        .append(&claim.lease, records([intent(1, "1")]), at(1))
        .await
        .expect("appended");
    assert_eq!(
        store.cancel(run, "tess", "wrong day", at(2)).await,
        Ok(RunState::Running)
    );
    assert!(store.run(run).await.expect("read").expect("there").cancel_requested);
    let outcome = Record {
        seq: 2,
        at: at(3),
        entry: Entry::Outcome {
            path: path("1"),
            outcome: Outcome::Value(Value::Null),
        },
    };
    let answer = store.append(&claim.lease, records([outcome]), at(3)).await;
    assert_eq!(answer, Ok(()), "an outcome is always taken");
    let begin = Append {
        begins_effect: true,
        ..records([intent(3, "2")])
    };
    let answer = store.append(&claim.lease, begin, at(4)).await;
    assert_eq!(answer, Err(StoreError::CancelRequested { run }));
    let ended = store.append(&claim.lease, settle(Settlement::Cancelled), at(5)).await;
    assert_eq!(ended, Ok(()));
    let run = store.run(run).await.expect("read").expect("there");
    assert_eq!((run.state, run.finished_at), (RunState::Cancelled, Some(at(5))));
    let message = run.error.expect("a reason").message;
    assert!(message.contains("tess") && message.contains("wrong day"), "{message}");
}

fn asleep(wake_at: i64) -> Settlement {
    Settlement::Waiting {
        wake_at: at(wake_at),
        waits_for: Vec::new(),
        seen: EventMark::default(),
    }
}

async fn a_run_waits_until_its_time(store: &dyn Store) {
    let early = running(store, "early", 0).await;
    let late = running(store, "late", 1).await;
    store
        .append(&early.lease, settle(asleep(50)), at(2))
        .await
        .expect("settled");
    store
        .append(&late.lease, settle(asleep(80)), at(2))
        .await
        .expect("settled");
    let run = store.run(early.run.id).await.expect("read").expect("there");
    assert_eq!((run.state, run.wake_at), (RunState::Waiting, Some(at(50))));
    assert_eq!(store.wake_due(at(49)).await, Ok((0, Some(at(50)))));
    assert_eq!(store.wake_due(at(50)).await, Ok((1, Some(at(80)))));
    let run = store.run(early.run.id).await.expect("read").expect("there");
    assert_eq!((run.state, run.wake_at), (RunState::Queued, None));
    assert_eq!(store.wake_due(at(80)).await, Ok((1, None)));
    assert_eq!(
        store.claim(worker(5), at(81), at(99), 9).await.expect("claimed").len(),
        2
    );
}

async fn an_event_wakes_the_runs_that_wait_for_it(store: &dyn Store) {
    let picky = Matching(vec![("/payload/amount".to_owned(), json!("99"))]);
    let any_kind = bursar::model::event::EventFilter {
        types: vec![],
        ..filter("bank", None, 0)
    };
    let cases = [
        (filter("bank", Some("dep_1"), 0), true),
        (filter("bank", None, 0), true),
        (any_kind, true),
        (filter("bank", Some("dep_2"), 0), false),
        (filter("other", None, 0), false),
        (filter("bank", None, 101), false),
        (
            bursar::model::event::EventFilter {
                types: vec!["payout.paid".to_owned()],
                ..filter("bank", None, 0)
            },
            false,
        ),
        (
            bursar::model::event::EventFilter {
                matching: picky,
                ..filter("bank", None, 0)
            },
            false,
        ),
    ];
    let mut runs = Vec::new();
    for (number, (filter, woken)) in (0..).zip(cases) {
        let claim = running(store, "sweep", number).await;
        let settlement = Settlement::Waiting {
            wake_at: at(1_000),
            waits_for: vec![filter.clone()],
            seen: EventMark::default(),
        };
        store
            .append(&claim.lease, settle(settlement), at(50))
            .await
            .expect("settled");
        let run = store.run(claim.run.id).await.expect("read").expect("there");
        assert_eq!(run.waits_for, std::slice::from_ref(&filter));
        runs.push((claim.run.id, filter, woken));
    }
    let other = bursar::model::event::Event {
        connection: "elsewhere".to_owned(),
        ..event("bank", "0", 100)
    };
    let answer = store.admit(other).await;
    assert!(matches!(answer, Ok(Admitted::New { wakes: false, .. })), "{answer:?}");
    let event = event("bank", "1", 100);
    let answer = store.admit(event.clone()).await;
    assert!(matches!(answer, Ok(Admitted::New { wakes: true, .. })), "{answer:?}");
    route(store, Vec::new()).await.expect("routed");
    let fate = store.fates(vec![event.id]).await.expect("read").remove(0);
    let woke: Vec<RunId> = fate.woke.iter().map(|run| run.id).collect();
    let expected: Vec<RunId> = runs
        .iter()
        .filter(|(_, _, woken)| *woken)
        .map(|(run, ..)| *run)
        .collect();
    assert_eq!((woke, fate.word()), (expected, "woke a run"));
    assert!(fate.woke.iter().all(|run| run.workflow == "sweep"));
    for (run, filter, woken) in runs {
        let expected = if woken { RunState::Queued } else { RunState::Waiting };
        assert_eq!(state_of(store, run).await, expected, "{filter:?}");
    }
}

/// So many that not every wait is held against the payload: whoever may be meant is woken, and nobody else.
async fn an_event_about_which_thousands_wait_still_wakes_the_one_that_is_meant(store: &dyn Store) {
    const WAITS: usize = 4_200;
    let amount = |amount: &str| Matching(vec![("/payload/amount".to_owned(), json!(amount))]);
    let made = (0..WAITS).map(|_| store.create_run(manual("sweep", 0)));
    for made in futures_util::future::join_all(made).await {
        made.expect("made");
    }
    let until = at(1) + chrono::TimeDelta::seconds(30);
    let claims = store.claim(worker(1), at(1), until, u32::MAX).await.expect("claimed");
    assert_eq!(claims.len(), WAITS);
    let waits = claims.iter().enumerate().map(|(number, claim)| {
        let filter = bursar::model::event::EventFilter {
            types: vec![if number == 0 { "payout.paid" } else { "deposit.received" }.to_owned()],
            matching: amount(if number == WAITS - 1 { "12.30" } else { "99" }),
            ..filter("bank", None, 0)
        };
        let settlement = Settlement::Waiting {
            wake_at: at(1_000),
            waits_for: vec![filter],
            seen: EventMark::default(),
        };
        store.append(&claim.lease, settle(settlement), at(2))
    });
    for settled in futures_util::future::join_all(waits).await {
        settled.expect("settled");
    }
    let heard = event("bank", "1", 100);
    let id = heard.id;
    let answer = store.admit(heard).await;
    assert!(matches!(answer, Ok(Admitted::New { wakes: true, .. })), "{answer:?}");
    // Whom it only may have meant is not told as woken by it.
    let fate = store.fates(vec![id]).await.expect("read").remove(0);
    assert_eq!(fate.woke, []);
    let meant = claims.last().expect("many").run.id;
    assert_eq!(state_of(store, meant).await, RunState::Queued);
    let of_another_type = claims[0].run.id;
    assert_eq!(state_of(store, of_another_type).await, RunState::Waiting);
    // Looked at once too often: it goes back to waiting by itself.
    assert_eq!(state_of(store, claims[1].run.id).await, RunState::Queued);
}

async fn an_event_between_looking_and_waiting_is_not_lost(store: &dyn Store) {
    let cases = [
        (Some("dep_1"), RunState::Queued),
        (None, RunState::Queued),
        (Some("dep_2"), RunState::Waiting),
    ];
    let cases = [false, true]
        .into_iter()
        .flat_map(|routed_first| cases.map(|case| (routed_first, case)));
    for (number, (routed_first, (subject, expected))) in (0..).zip(cases) {
        let claim = running(store, "sweep", number).await;
        let name = format!("{}{number}", "1".repeat(usize::from(number > 0)));
        let waits_for = bursar::model::event::EventFilter {
            since: Some(at(10 + number)),
            ..filter("bank", subject, 0)
        };
        let (found, seen) = store.find_event(waits_for.clone()).await.expect("looked");
        assert_eq!(found, None);
        let mut between = event("bank", &name, 10 + number);
        between.subject = Some("dep_1".to_owned());
        admit(store, &between).await;
        if routed_first {
            route(store, vec![]).await.expect("routed");
        }
        let settlement = Settlement::Waiting {
            wake_at: at(1_000),
            waits_for: vec![waits_for],
            seen,
        };
        store
            .append(&claim.lease, settle(settlement), at(50))
            .await
            .expect("settled");
        assert_eq!(state_of(store, claim.run.id).await, expected, "{subject:?}");
        route(store, vec![]).await.expect("routed");
        assert_eq!(state_of(store, claim.run.id).await, expected, "{subject:?}");
    }
}

async fn a_wait_looks_at_events_in_the_order_of_admission(store: &dyn Store) {
    // The clock is set back by an hour again and again; what counts is who came first.
    let before = event("bank", "1", 7_200);
    admit(store, &before).await;
    let own = event("bank", "2", 3_600);
    let mark = admit(store, &own).await;
    let after = event("bank", "3", 0);
    // Admitted before the run is made from its own, but after its own.
    let expected = admit(store, &after).await;
    let run = caused("sweep", mark, &own);
    let made = run.id;
    route(store, vec![run]).await.expect("routed");
    let asked = manual("sweep", 0);
    store.create_run(asked.clone()).await.expect("made");
    let late = event("bank", "4", -3_600);
    admit(store, &late).await;
    for (id, since_mark, provider_id) in [(made, mark, "3"), (asked.id, expected, "4")] {
        let run = store.run(id).await.expect("read").expect("there");
        assert_eq!(run.since_mark, since_mark);
        let filter = bursar::model::event::EventFilter {
            after: run.since_mark,
            since: None,
            ..filter("bank", None, 0)
        };
        let (found, _) = store.find_event(filter).await.expect("looked");
        assert_eq!(found.map(|event| event.provider_id).as_deref(), Some(provider_id));
    }
}

async fn the_first_event_that_fits_is_found(store: &dyn Store) {
    let mut last = EventMark::default();
    // More than one page, so that looking goes on where it stopped.
    for number in 0..600 {
        let mut event = event("bank", &format!("{number}"), number);
        event.subject = Some(format!("dep_{}", number % 2));
        admit(store, &event).await;
    }
    let at_500 = Matching(vec![("/payload/id".to_owned(), json!("500"))]);
    for (filter, expected) in [
        (filter("bank", Some("dep_1"), 0), Some("1")),
        (filter("bank", None, 7), Some("7")),
        (filter("bank", Some("dep_0"), 7), Some("8")),
        (filter("bank", Some("dep_9"), 0), None),
        (filter("other", None, 0), None),
        (
            bursar::model::event::EventFilter {
                matching: at_500.clone(),
                ..filter("bank", None, 0)
            },
            Some("500"),
        ),
        (
            bursar::model::event::EventFilter {
                matching: at_500,
                ..filter("bank", Some("dep_0"), 0)
            },
            Some("500"),
        ),
    ] {
        let (found, mark) = store.find_event(filter.clone()).await.expect("looked");
        assert_eq!(found.map(|event| event.provider_id).as_deref(), expected, "{filter:?}");
        assert!(mark >= last);
        last = mark;
    }
    assert!(last > EventMark::default());
}

async fn a_decision_is_recorded_and_queues_the_run(store: &dyn Store) {
    let resource = json!({"id": "po_1", "amount": 12.30});
    for (number, resolution) in (0..).zip([
        Resolution::Retry,
        Resolution::Adopt { resource },
        Resolution::Resend,
        Resolution::Fail,
    ]) {
        let run = parked(store, number, true).await;
        let answer = store.resolve(decision(run, Some("1"), resolution.clone())).await;
        assert_eq!(answer, Ok(()));
        let claim = take(store, 80 + number, run).await;
        assert_eq!(claim.run.error, None);
        let resolved = Record {
            seq: 3,
            at: at(70),
            entry: Entry::Resolved {
                path: path("1"),
                resolution,
                actor: "tess".to_owned(),
                reason: "asked the bank".to_owned(),
            },
        };
        assert_eq!(claim.records, vec![intent(1, "1"), doubt(2, "1"), resolved]);
        assert_eq!(store.append(&claim.lease, Append::default(), at(90)).await, Ok(()));
    }
}

async fn decisions_that_do_not_fit_change_nothing(store: &dyn Store) {
    let run = parked(store, 0, true).await;
    let queued = manual("sweep", 5);
    store.create_run(queued.clone()).await.expect("made");
    let unknown = RunId::generate(at(0));
    for (run, place, expected) in [
        (run, Some("2"), "2"),
        (run, None, "step 1"),
        (queued.id, Some("1"), "not parked"),
        (unknown, Some("1"), "does not exist"),
    ] {
        let answer = store.resolve(decision(run, place, Resolution::Fail)).await;
        let message = answer.expect_err("refused").to_string();
        assert!(message.contains(expected), "{message}");
    }
    assert_eq!(state_of(store, run).await, RunState::Parked);
    assert_eq!(store.journal(run).await.expect("read").len(), 2);
}

async fn a_run_without_a_doubtful_step_goes_on_or_fails(store: &dyn Store) {
    let run = parked(store, 0, false).await;
    let answer = store.resolve(decision(run, None, Resolution::Resend)).await;
    assert!(matches!(answer, Err(StoreError::Conflict(_))), "{answer:?}");
    assert_eq!(store.resolve(decision(run, None, Resolution::Retry)).await, Ok(()));
    assert_eq!(state_of(store, run).await, RunState::Queued);
    let run = parked(store, 0, false).await;
    assert_eq!(store.resolve(decision(run, None, Resolution::Fail)).await, Ok(()));
    let run = store.run(run).await.expect("read").expect("there");
    assert_eq!((run.state, run.finished_at), (RunState::Failed, Some(at(70))));
    let error = run.error.expect("a reason");
    assert_eq!(error.code, "in_doubt");
    assert!(error.message.contains("tess: asked the bank"), "{}", error.message);
}

async fn the_end_of_a_run_depends_on_where_it_stands(store: &dyn Store) {
    let queued = manual("sweep", 0);
    store.create_run(queued.clone()).await.expect("made");
    let cancel = |run| store.cancel(run, "tess", "wrong day", at(9));
    assert_eq!(cancel(queued.id).await, Ok(RunState::Cancelled));
    assert_eq!(cancel(queued.id).await, Ok(RunState::Cancelled), "twice is no error");
    let waiting = running(store, "sweep", 1).await;
    store
        .append(&waiting.lease, settle(asleep(50)), at(2))
        .await
        .expect("settled");
    assert_eq!(cancel(waiting.run.id).await, Ok(RunState::Cancelled));
    assert_eq!(store.wake_due(at(60)).await, Ok((0, None)));
    let doubtful = parked(store, 3, true).await;
    assert!(
        matches!(cancel(doubtful).await, Err(StoreError::Conflict(_))),
        "money may have moved: somebody has to look first"
    );
    assert_eq!(state_of(store, doubtful).await, RunState::Parked);
    let diverged = parked(store, 4, false).await;
    assert_eq!(cancel(diverged).await, Ok(RunState::Cancelled));
    let message = store
        .run(diverged)
        .await
        .expect("read")
        .expect("there")
        .error
        .expect("a reason")
        .message;
    assert!(message.contains("it was in_doubt"), "{message}");
    let ended = running(store, "sweep", 5).await;
    store
        .append(&ended.lease, settle(succeeded()), at(5))
        .await
        .expect("settled");
    assert!(matches!(cancel(ended.run.id).await, Err(StoreError::Conflict(_))));
    assert_eq!(state_of(store, ended.run.id).await, RunState::Succeeded);
    assert!(matches!(
        cancel(RunId::generate(at(0))).await,
        Err(StoreError::NotFound(_))
    ));
}

async fn a_sent_effect_is_asked_after_before_the_run_ends(store: &dyn Store) {
    let claim = running(store, "sweep", 0).await;
    let run = claim.run.id;
    let mut append = settle(asleep(60));
    append.records = vec![intent(1, "1"), retry(2, "1", 1)];
    store.append(&claim.lease, append, at(1)).await.expect("settled");
    let answer = store.cancel(run, "tess", "wrong day", at(2)).await;
    assert_eq!(
        answer,
        Ok(RunState::Queued),
        "the payment may have happened: it is looked for now"
    );
    assert_eq!(store.wake_due(at(60)).await, Ok((0, None)));
    let claim = take(store, 61, run).await;
    assert!(claim.run.cancel_requested);
    let mut append = settle(asleep(90));
    append.records = vec![retry(3, "1", 2)];
    store.append(&claim.lease, append, at(62)).await.expect("settled");
    assert_eq!(state_of(store, run).await, RunState::Waiting);
}

async fn a_run_whose_end_was_asked_for_does_not_go_to_sleep(store: &dyn Store) {
    for (number, settlement) in (0..).zip([asleep(1_000), Settlement::Queued]) {
        let claim = running(store, "sweep", number).await;
        store
            .cancel(claim.run.id, "tess", "wrong day", at(1))
            .await
            .expect("asked");
        let mut append = settle(settlement);
        append.records = vec![wait(1, "1", None)];
        store.append(&claim.lease, append, at(2)).await.expect("settled");
        assert_eq!(state_of(store, claim.run.id).await, RunState::Cancelled);
    }
}

async fn scripts_keep_values_between_runs(store: &dyn Store) {
    let claim = running(store, "sweep", 0).await;
    let other = running(store, "other", 1).await;
    let keep = |entries: &[(&str, Value)]| Append {
        state: entries
            .iter()
            .map(|(key, value)| ((*key).to_owned(), value.clone()))
            .collect(),
        ..Append::default()
    };
    let odd = "a \"key\"\n with\0 everything ü";
    let kept = keep(&[
        ("n", Value::Int(1)),
        ("n", Value::Int(2)),
        (odd, Value::text("\0'\"\\")),
    ]);
    store.append(&claim.lease, kept, at(1)).await.expect("kept");
    store
        .append(&other.lease, keep(&[("n", Value::Int(9))]), at(1))
        .await
        .expect("kept");
    assert_eq!(store.state("sweep", "n").await, Ok(Some(Value::Int(2))));
    assert_eq!(store.state("other", "n").await, Ok(Some(Value::Int(9))));
    assert_eq!(store.state("sweep", odd).await, Ok(Some(Value::text("\0'\"\\"))));
    assert_eq!(store.state("sweep", "none").await, Ok(None));
    let removed = [
        store.append(&claim.lease, keep(&[("n", Value::Null)]), at(2)),
        store.append(&other.lease, keep(&[("n", Value::Null), ("n", Value::Int(5))]), at(2)),
    ];
    for answer in removed {
        assert_eq!(answer.await, Ok(()));
    }
    assert_eq!(store.state("sweep", "n").await, Ok(None));
    assert_eq!(store.state("other", "n").await, Ok(Some(Value::Int(5))));
}

async fn a_run_knows_the_last_success_before_it(store: &dyn Store) {
    let second = running(store, "sweep", 20).await;
    assert_eq!(second.run.last_success_at, None);
    let first = running(store, "sweep", 10).await;
    store
        .append(&second.lease, settle(succeeded()), at(30))
        .await
        .expect("settled");
    store
        .append(&first.lease, settle(succeeded()), at(31))
        .await
        .expect("settled");
    let failed = running(store, "sweep", 40).await;
    assert_eq!(
        failed.run.last_success_at,
        Some(at(20)),
        "the newer one counts, whichever ended later"
    );
    let settlement = Settlement::Failed { error: error("thrown") };
    store
        .append(&failed.lease, settle(settlement), at(41))
        .await
        .expect("settled");
    assert_eq!(running(store, "sweep", 50).await.run.last_success_at, Some(at(20)));
    assert_eq!(running(store, "other", 60).await.run.last_success_at, None);
}

async fn versions_come_back_as_they_were(store: &dyn Store) {
    let source = |path: &str, text: &str| Source {
        path: path.to_owned(),
        text: text.to_owned(),
    };
    let make = |manifest: &str, main: &str| {
        Version::new(
            "sweep".to_owned(),
            manifest.to_owned(),
            vec!["bank".to_owned()],
            vec![
                source("sweep.rhai", main),
                source("lib/z.rhai", "fn z() {}"),
                source("lib/a.rhai", ""),
            ],
        )
    };
    let versions = [make("m1", "1"), make("m1", "2"), make("m2", "m1")];
    for version in versions.iter().chain(&versions) {
        assert_eq!(store.save_version(version.clone()).await, Ok(()));
    }
    for version in &versions {
        assert_eq!(store.version(version.digest).await, Ok(Some(version.clone())));
    }
    assert_eq!(store.version(digest("none")).await, Ok(None));
}

async fn runs_are_listed_newest_first(store: &dyn Store) {
    let mut ids = Vec::new();
    for number in 0..10 {
        let run = manual(if number % 2 == 0 { "even" } else { "odd" }, number);
        ids.push(run.id);
        store.create_run(run).await.expect("made");
    }
    for index in [1, 2, 3] {
        store.cancel(ids[index], "tess", "no", at(20)).await.expect("cancelled");
    }
    let query = |workflow: Option<&str>, states: &[RunState], before: Option<usize>, limit| RunQuery {
        workflow: workflow.map(str::to_owned),
        states: states.to_vec(),
        before: before.map(|index| ids[index]),
        cause_key: None,
        asking: false,
        limit,
    };
    let (queued, cancelled) = (RunState::Queued, RunState::Cancelled);
    for (query, expected) in [
        (query(None, &[], None, 3), vec![9, 8, 7]),
        (query(None, &[], Some(7), 3), vec![6, 5, 4]),
        (query(None, &[], Some(1), 3), vec![0]),
        (query(None, &[cancelled], None, 9), vec![3, 2, 1]),
        (query(None, &[queued, cancelled, queued], Some(5), 3), vec![4, 3, 2]),
        (query(Some("odd"), &[], None, 9), vec![9, 7, 5, 3, 1]),
        (query(Some("odd"), &[cancelled], None, 9), vec![3, 1]),
        (query(Some("odd"), &[cancelled], Some(3), 9), vec![1]),
        (query(Some("none"), &[], None, 9), vec![]),
        (query(None, &[], None, 0), vec![]),
    ] {
        let found: Vec<RunId> = store
            .runs(query.clone())
            .await
            .expect("read")
            .iter()
            .map(|run| run.id)
            .collect();
        let expected: Vec<RunId> = expected.into_iter().map(|index| ids[index]).collect();
        assert_eq!(found, expected, "{query:?}");
    }
}

async fn counts_follow_the_runs(store: &dyn Store) {
    let counts = store.counts().await.expect("read");
    let states: BTreeSet<RunState> = counts.iter().map(|(state, _)| *state).collect();
    assert_eq!(states.len(), RunState::ALL.len());
    assert!(counts.iter().all(|(_, runs)| *runs == 0));
    let first = running(store, "sweep", 0).await;
    running(store, "sweep", 1).await;
    store.create_run(manual("sweep", 2)).await.expect("made");
    store
        .append(&first.lease, settle(succeeded()), at(3))
        .await
        .expect("settled");
    for (state, runs) in store.counts().await.expect("read") {
        let expected = match state {
            RunState::Queued | RunState::Running | RunState::Succeeded => 1,
            _ => 0,
        };
        assert_eq!(runs, expected, "{state}");
    }
}
