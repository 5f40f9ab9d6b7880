//! What only one step at a time may have, and when it is given back.

use std::time::Duration;

use bursar::base::ids::RunId;
use bursar::model::journal::{Entry, Outcome, Record, Resolution, StepPath};
use bursar::model::run::{RunState, Settlement};
use bursar::model::value::Value;
use bursar::store::{Answer, Append, Claim, Decision, Exclusion, Holder, Store, StoreError};

use super::conformance::state_of;
use super::make::*;

/// Asks for a name long after everything that is written here, and says who has it.
async fn ask(
    store: &dyn Store,
    claim: &Claim,
    step: &str,
    name: &str,
) -> Result<Option<(RunId, StepPath)>, StoreError> {
    let holder = ask_at(store, claim, step, (name, 0), 1_000).await?;
    Ok(holder.map(|holder| (holder.run, holder.step)))
}

/// Asks for a name with so many seconds of rest.
fn ask_at<'a>(
    store: &'a dyn Store,
    claim: &Claim,
    step: &str,
    (name, rest_secs): (&str, u64),
    now: i64,
) -> Answer<'a, Option<Holder>> {
    let exclusion = Exclusion {
        step: path(step),
        connection: "bank".to_owned(),
        name: name.to_owned(),
        rest: Duration::from_secs(rest_secs),
        now: at(now),
    };
    store.exclude(&claim.lease, exclusion)
}

fn outcome(seq: u32, place: &str) -> Record {
    Record {
        seq,
        at: at(i64::from(seq)),
        entry: Entry::Outcome {
            path: path(place),
            outcome: Outcome::Value(Value::Null),
        },
    }
}

async fn claimed(store: &dyn Store, number: i64) -> Claim {
    let made = manual("refund", number);
    store.create_run(made.clone()).await.expect("made");
    take(store, number, made.id).await
}

pub(super) async fn what_only_one_step_may_have_goes_with_its_end_and_not_before(store: &dyn Store) {
    let (first, second) = (claimed(store, 0).await, claimed(store, 1).await);
    let (one, two) = (first.run.id, second.run.id);
    assert_eq!(ask(store, &first, "1", "p1").await, Ok(None));
    assert_eq!(ask(store, &first, "1", "p1").await, Ok(None), "the same step has it");
    assert_eq!(ask(store, &second, "1", "p1").await, Ok(Some((one, path("1")))));
    assert_eq!(
        ask(store, &first, "2", "p1").await,
        Ok(Some((one, path("1")))),
        "another step of the same run"
    );
    assert_eq!(ask(store, &second, "1", "p2").await, Ok(None), "another name");
    // Nothing of this ends the step.
    let sent = records([intent(1, "1"), retry(2, "1", 1), doubt(3, "1")]);
    assert_eq!(store.append(&first.lease, sent, at(3)).await, Ok(()));
    assert_eq!(ask(store, &second, "1", "p1").await, Ok(Some((one, path("1")))));
    let parked = Append {
        settlement: Some(Settlement::Parked {
            error: error("in_doubt"),
        }),
        ..Append::default()
    };
    assert_eq!(store.append(&first.lease, parked, at(4)).await, Ok(()));
    assert_eq!(
        ask(store, &first, "1", "p1").await,
        Err(StoreError::LeaseLost { run: one })
    );
    assert_eq!(
        ask(store, &second, "1", "p1").await,
        Ok(Some((one, path("1")))),
        "a doubt keeps it"
    );
    for (after, resolution, keeps) in [(0, Resolution::Retry, true), (1, Resolution::Resend, true)] {
        let decided = decision(one, Some("1"), resolution);
        let resolved = store.resolve(Decision { after, ..decided }).await;
        assert_eq!(resolved, Ok(()));
        let asked = ask(store, &second, "1", "p1").await;
        assert_eq!(asked, Ok(keeps.then(|| (one, path("1")))), "it may be sent again");
        let again = take(store, 10, one).await;
        let seq = u32::try_from(again.records.len()).expect("few") + 1;
        let doubtful = Append {
            settlement: Some(Settlement::Parked {
                error: error("in_doubt"),
            }),
            ..records([doubt(seq, "1")])
        };
        assert_eq!(store.append(&again.lease, doubtful, at(20)).await, Ok(()));
    }
    let failed = decision(one, Some("1"), Resolution::Fail);
    assert_eq!(store.resolve(Decision { after: 2, ..failed }).await, Ok(()));
    assert_eq!(
        ask(store, &second, "1", "p1").await,
        Ok(None),
        "a person has ended the step"
    );
    // The end of the step gives back both names that it had, and no other's.
    let again = take(store, 30, one).await;
    assert_eq!(ask(store, &again, "3", "p3").await, Ok(None));
    let ended = records([intent(1, "1"), outcome(2, "1")]);
    assert_eq!(store.append(&second.lease, ended, at(31)).await, Ok(()));
    assert_eq!(ask(store, &again, "4", "p1").await, Ok(None));
    assert_eq!(ask(store, &again, "4", "p2").await, Ok(None));
    assert_eq!(ask(store, &second, "2", "p3").await, Ok(Some((one, path("3")))));
    // Also where it ends before anything was sent.
    assert_eq!(ask(store, &second, "2", "p4").await, Ok(None));
    let mut ended = done(3);
    if let Entry::Done { path: place, .. } = &mut ended.entry {
        *place = path("2");
    }
    assert_eq!(store.append(&second.lease, records([ended]), at(32)).await, Ok(()));
    assert_eq!(ask(store, &again, "4", "p4").await, Ok(None));
    assert_eq!(state_of(store, two).await, RunState::Running);
}

pub(super) async fn what_a_run_had_alone_goes_with_its_end(store: &dyn Store) {
    let waiting = claimed(store, 0).await;
    for (number, end) in (1..).zip([
        Settlement::Succeeded {
            result: Value::Null.to_plain(),
        },
        Settlement::Failed { error: error("x") },
        Settlement::Cancelled,
    ]) {
        let claim = claimed(store, number).await;
        assert_eq!(ask(store, &claim, "1", "p").await, Ok(None));
        assert_eq!(
            ask(store, &waiting, "1", "p").await,
            Ok(Some((claim.run.id, path("1"))))
        );
        let ended = Append {
            settlement: Some(end),
            ..Append::default()
        };
        assert_eq!(store.append(&claim.lease, ended, at(50)).await, Ok(()));
    }
    assert_eq!(ask(store, &waiting, "1", "p").await, Ok(None));
    // A process that dies takes nothing with it.
    store.reclaim_all(at(60)).await.expect("reclaimed");
    let again = take(store, 70, waiting.run.id).await;
    let other = claimed(store, 71).await;
    let holder = (waiting.run.id, path("1"));
    assert_eq!(ask(store, &other, "1", "p").await, Ok(Some(holder)));
    assert_eq!(ask(store, &again, "1", "p").await, Ok(None));
}

pub(super) async fn what_was_done_alone_rests_until_it_can_be_seen(store: &dyn Store) {
    let (first, second) = (claimed(store, 0).await, claimed(store, 1).await);
    let held = |free_at: Option<i64>| {
        Ok(Some(Holder {
            run: first.run.id,
            step: path("1"),
            free_at: free_at.map(at),
        }))
    };
    assert_eq!(ask_at(store, &first, "1", ("p", 5), 1).await, Ok(None));
    assert_eq!(ask_at(store, &second, "1", ("p", 100), 900).await, held(None));
    let sent = records([intent(1, "1"), outcome(2, "1")]);
    assert_eq!(store.append(&first.lease, sent, at(3)).await, Ok(()));
    assert_eq!(ask_at(store, &second, "1", ("p", 100), 101).await, held(Some(102)));
    // Not even another step of the same run; how long is said by who asks.
    assert_eq!(ask_at(store, &first, "2", ("p", 110), 101).await, held(Some(112)));
    assert_eq!(ask_at(store, &second, "1", ("p", 99), 101).await, Ok(None));
    // The end of a run before that of its step is its end.
    let ended = Append {
        settlement: Some(Settlement::Cancelled),
        ..Append::default()
    };
    assert_eq!(store.append(&second.lease, ended, at(200)).await, Ok(()));
    let free_at = async |rest, now| {
        let holder = ask_at(store, &first, "3", ("p", rest), now).await.expect("asked");
        holder.map(|holder| holder.free_at)
    };
    assert_eq!(free_at(100, 299).await, Some(Some(at(300))));
    // An end that is still to come was written by a clock that was ahead.
    assert_eq!(free_at(10, 150).await, Some(Some(at(160))));
    assert_eq!(free_at(10, 160).await, None);
    // What did nothing is seen nowhere.
    let mut never = done(3);
    if let Entry::Done { path: place, .. } = &mut never.entry {
        *place = path("3");
    }
    assert_eq!(store.append(&first.lease, records([never]), at(301)).await, Ok(()));
    assert_eq!(ask_at(store, &first, "4", ("p", 100), 301).await, Ok(None));
}

pub(super) async fn a_clock_that_is_ahead_for_a_while_makes_nobody_forget_what_was_done(store: &dyn Store) {
    const DAY: i64 = 86_400;
    let (first, second) = (claimed(store, 0).await, claimed(store, 1).await);
    assert_eq!(ask_at(store, &first, "1", ("p", 5), 1).await, Ok(None));
    let sent = records([intent(1, "1"), outcome(2, "1")]);
    assert_eq!(store.append(&first.lease, sent, at(3)).await, Ok(()));
    let rests = async || {
        let holder = ask_at(store, &second, "1", ("p", 100), 50).await.expect("asked");
        holder.map(|holder| holder.free_at)
    };
    // By what it shows for a minute somebody asks for another name.
    store.see_clock(at(4)).await.expect("kept");
    assert_eq!(ask_at(store, &first, "2", ("q", 5), 2 * DAY).await, Ok(None));
    assert_eq!(rests().await, Some(Some(at(102))), "it is right again");
    store.see_clock(at(2 * DAY)).await.expect("kept");
    store.doubt_clock(at(5), "it jumped".to_owned()).await.expect("kept");
    assert_eq!(ask_at(store, &first, "3", ("r", 5), 2 * DAY).await, Ok(None));
    assert_eq!(rests().await, Some(Some(at(102))), "nobody knows what time it is");
    assert_eq!(store.trust_clock(at(2 * DAY)).await, Ok(true));
    assert_eq!(ask_at(store, &first, "4", ("s", 5), 2 * DAY).await, Ok(None));
    assert_eq!(rests().await, None, "it is days ago");
}
