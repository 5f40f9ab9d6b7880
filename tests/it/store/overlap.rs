//! Runs that must not overlap: which are made, which wait, and who comes next. Some of the rules of `conformance`.

use bursar::base::ids::RunId;
use bursar::model::concurrency::{Concurrency, Overlap};
use bursar::model::journal::Resolution;
use bursar::model::run::{Cause, EventMark, NewRun, RunState, Settlement};
use bursar::model::unmade::{Unmade, UnmadeReason};
use bursar::store::{Made, Store};

use super::conformance::state_of;
use super::make::*;

fn slot(seconds: i64) -> Cause {
    Cause::Cron {
        schedule: "0 18 * * *".to_owned(),
        timezone: "UTC".to_owned(),
        slot: at(seconds),
        due: None,
    }
}

fn apart(key: &str, policy: Overlap, max: u32, seconds: i64) -> NewRun {
    NewRun {
        cause: slot(seconds),
        concurrency: Some(Concurrency {
            key: key.to_owned(),
            max,
            policy,
        }),
        ..manual("sweep", seconds)
    }
}

async fn make(store: &dyn Store, run: &NewRun) -> Made {
    store.create_run(run.clone()).await.expect("answered")
}

async fn ends(store: &dyn Store, run: RunId, seconds: i64, settlement: Settlement) {
    let claim = take(store, seconds, run).await;
    let end = settle(settlement);
    store.append(&claim.lease, end, at(seconds)).await.expect("settled");
}

fn waiting() -> Settlement {
    Settlement::Waiting {
        wake_at: at(10_000),
        waits_for: Vec::new(),
        seen: EventMark::default(),
    }
}

pub(super) async fn a_run_that_would_overlap_is_not_made_and_that_is_recorded(store: &dyn Store) {
    let first = apart("eur", Overlap::Skip, 1, 0);
    assert_eq!(make(store, &first).await, Made::New);
    assert_eq!(make(store, &first).await, Made::Known);
    let second = apart("eur", Overlap::Skip, 1, 10);
    // Whatever an open run does, even standing parked, it stands in the way.
    ends(store, first.id, 1, waiting()).await;
    for _ in 0..2 {
        assert_eq!(make(store, &second).await, Made::Overlapping(first.id));
    }
    assert_eq!(store.run(second.id).await, Ok(None));
    let recorded = Unmade {
        workflow: "sweep".to_owned(),
        cause: slot(10),
        last_slot: None,
        slots: 1,
        reason: UnmadeReason::Overlap,
        detail: format!("{} is waiting", first.id),
        at: at(10),
    };
    assert_eq!(store.unmade(Some("sweep"), 9).await, Ok(vec![recorded]));
    assert_eq!(store.unmade(Some("other"), 9).await, Ok(Vec::new()));
    // A schedule that comes back after a crash goes on behind it.
    assert_eq!(
        store.settled_until("sweep", "0 18 * * *", "UTC", at(1_000_000)).await,
        Ok(Some(at(10)))
    );
    // Other keys and other workflows are not concerned.
    assert_eq!(make(store, &apart("usd", Overlap::Skip, 1, 11)).await, Made::New);
    let elsewhere = NewRun {
        workflow: "other".to_owned(),
        ..apart("eur", Overlap::Skip, 1, 12)
    };
    assert_eq!(make(store, &elsewhere).await, Made::New);
    // Once it has ended there is room again, and two have room where two may be open.
    store.cancel(first.id, "tess", "enough", at(20)).await.expect("ended");
    assert_eq!(make(store, &apart("eur", Overlap::Skip, 2, 30)).await, Made::New);
    assert_eq!(make(store, &apart("eur", Overlap::Skip, 2, 31)).await, Made::New);
    let third = make(store, &apart("eur", Overlap::Skip, 2, 32)).await;
    assert!(matches!(third, Made::Overlapping(_)), "{third:?}");
}

pub(super) async fn runs_of_one_key_queue_in_order_however_the_ones_before_them_end(store: &dyn Store) {
    let runs: Vec<NewRun> = (0..7).map(|number| apart("eur", Overlap::Queue, 1, number)).collect();
    // Made in another order than their causes have: behind the open one, the oldest goes first.
    for number in [0, 2, 1, 3, 4, 5, 6] {
        assert_eq!(make(store, &runs[number]).await, Made::New);
    }
    let states = async || {
        let mut states = Vec::new();
        for run in &runs {
            states.push(state_of(store, run.id).await);
        }
        states
    };
    let expect = async |ended: &[RunState]| {
        let mut expected = ended.to_vec();
        expected.push(RunState::Queued);
        expected.resize(runs.len(), RunState::Pending);
        assert_eq!(states().await, expected);
    };
    use RunState::{Cancelled, Failed, Succeeded};
    expect(&[]).await;
    ends(store, runs[0].id, 10, succeeded()).await;
    expect(&[Succeeded]).await;
    ends(store, runs[1].id, 20, Settlement::Failed { error: error("x") }).await;
    expect(&[Succeeded, Failed]).await;
    // One that waits is open; its end by a person makes room.
    ends(store, runs[2].id, 30, waiting()).await;
    assert_eq!(state_of(store, runs[3].id).await, RunState::Pending);
    store.cancel(runs[2].id, "tess", "enough", at(31)).await.expect("ended");
    expect(&[Succeeded, Failed, Cancelled]).await;
    // One that is parked is open until a person has decided.
    ends(store, runs[3].id, 40, Settlement::Parked { error: error("x") }).await;
    assert_eq!(state_of(store, runs[4].id).await, RunState::Pending);
    let failed = store.resolve(decision(runs[3].id, None, Resolution::Fail)).await;
    assert_eq!(failed, Ok(()));
    expect(&[Succeeded, Failed, Cancelled, Failed]).await;
    // A process that dies leaves its run open; one that stands behind can be taken out of the row.
    take(store, 50, runs[4].id).await;
    assert_eq!(store.reclaim_all(at(51)).await, Ok(1));
    expect(&[Succeeded, Failed, Cancelled, Failed]).await;
    store.cancel(runs[5].id, "tess", "enough", at(52)).await.expect("ended");
    assert_eq!(state_of(store, runs[6].id).await, RunState::Pending);
    ends(store, runs[4].id, 60, succeeded()).await;
    expect(&[Succeeded, Failed, Cancelled, Failed, Succeeded, Cancelled]).await;
}

pub(super) async fn a_newer_run_ends_the_open_ones_that_can_be_ended(store: &dyn Store) {
    let run = |seconds| apart("eur", Overlap::CancelRunning, 1, seconds);
    let (first, second, third, fourth) = (run(0), run(10), run(20), run(30));
    make(store, &first).await;
    ends(store, first.id, 1, waiting()).await;
    assert_eq!(make(store, &second).await, Made::New);
    let ended = store.run(first.id).await.expect("read").expect("there");
    assert_eq!(ended.state, RunState::Cancelled);
    let why = ended.error.expect("a reason").message;
    assert!(why.contains(&format!("{} takes its place", second.id)), "{why}");
    assert_eq!(state_of(store, second.id).await, RunState::Queued);
    // One that is being driven ends at its next step; until then the newer one stands behind it.
    let claim = take(store, 11, second.id).await;
    make(store, &third).await;
    assert_eq!(state_of(store, third.id).await, RunState::Pending);
    assert!(
        store
            .run(second.id)
            .await
            .expect("read")
            .expect("there")
            .cancel_requested
    );
    let end = settle(Settlement::Cancelled);
    store.append(&claim.lease, end, at(21)).await.expect("settled");
    assert_eq!(state_of(store, third.id).await, RunState::Queued);
    // One whose payment is in doubt is not ended by the way.
    let claim = take(store, 22, third.id).await;
    let mut park = settle(Settlement::Parked {
        error: error("in_doubt"),
    });
    park.records = vec![intent(1, "1"), doubt(2, "1")];
    store.append(&claim.lease, park, at(23)).await.expect("parked");
    make(store, &fourth).await;
    assert_eq!(state_of(store, third.id).await, RunState::Parked);
    assert_eq!(state_of(store, fourth.id).await, RunState::Pending);
    // Nor is any other that waits for a person; and of those behind it only the newest is left.
    let (fifth, sixth) = (
        apart("usd", Overlap::CancelRunning, 1, 40),
        apart("usd", Overlap::CancelRunning, 1, 50),
    );
    make(store, &fifth).await;
    ends(
        store,
        fifth.id,
        41,
        Settlement::Parked {
            error: error("damaged"),
        },
    )
    .await;
    make(store, &sixth).await;
    assert_eq!(state_of(store, fifth.id).await, RunState::Parked);
    assert_eq!(state_of(store, sixth.id).await, RunState::Pending);
    let seventh = apart("usd", Overlap::CancelRunning, 1, 60);
    make(store, &seventh).await;
    assert_eq!(state_of(store, sixth.id).await, RunState::Cancelled);
    assert_eq!(state_of(store, seventh.id).await, RunState::Pending);
    let failed = store.resolve(decision(fifth.id, None, Resolution::Fail)).await;
    assert_eq!(failed, Ok(()));
    assert_eq!(state_of(store, seventh.id).await, RunState::Queued);
}

pub(super) async fn no_more_runs_of_a_key_are_open_than_may_be(store: &dyn Store) {
    let runs: Vec<NewRun> = (0..120)
        .map(|number| {
            apart(
                ["a", "b"][number % 2],
                Overlap::Queue,
                3,
                i64::try_from(number).expect("small"),
            )
        })
        .collect();
    // All are called before any is awaited, so that many meet in one transaction.
    let calls: Vec<_> = runs.iter().map(|run| store.create_run(run.clone())).collect();
    for call in calls {
        assert_eq!(call.await, Ok(Made::New));
    }
    let mut ended = Vec::new();
    for round in 0.. {
        let time = 1_000 + round;
        let claims = store
            .claim(worker(time), at(time), at(time + 9), 500)
            .await
            .expect("claimed");
        if claims.is_empty() {
            break;
        }
        assert_eq!(claims.len(), 6, "three of each key");
        for claim in claims {
            ended.push(claim.run.id);
            let end = settle(succeeded());
            store.append(&claim.lease, end, at(time)).await.expect("settled");
        }
    }
    assert_eq!(ended.len(), runs.len());
    let of = |key: usize| -> Vec<RunId> { runs.iter().skip(key).step_by(2).map(|run| run.id).collect() };
    for key in [0, 1] {
        let mine = of(key);
        let order: Vec<RunId> = ended.iter().filter(|run| mine.contains(run)).copied().collect();
        assert_eq!(order, mine);
    }
}

pub(super) async fn what_was_passed_over_is_kept_once_and_forgotten_when_it_is_made(store: &dyn Store) {
    let missed = |seconds: i64, last: Option<i64>, slots| Unmade {
        workflow: "sweep".to_owned(),
        cause: slot(seconds),
        last_slot: last.map(at),
        slots,
        reason: UnmadeReason::Missed,
        detail: "nothing was running".to_owned(),
        at: at(9_000 + seconds),
    };
    let (one, many) = (missed(100, None, 1), missed(200, Some(500), 4));
    for unmade in [&one, &many, &one] {
        assert_eq!(store.pass_over(unmade.clone()).await, Ok(()));
    }
    assert_eq!(store.unmade(None, 9).await, Ok(vec![many.clone(), one]));
    assert_eq!(store.unmade(None, 1).await, Ok(vec![many.clone()]));
    assert_eq!(
        store.settled_until("sweep", "0 18 * * *", "UTC", at(1_000_000)).await,
        Ok(Some(at(500)))
    );
    // A cause that has its run was not passed over.
    let made = NewRun {
        cause: slot(600),
        ..manual("sweep", 600)
    };
    assert_eq!(make(store, &made).await, Made::New);
    assert_eq!(store.pass_over(missed(600, None, 1)).await, Ok(()));
    assert_eq!(
        store.settled_until("sweep", "0 18 * * *", "UTC", at(1_000_000)).await,
        Ok(Some(at(600)))
    );
    // Made up for by a person.
    let late = NewRun {
        cause: slot(100),
        ..manual("sweep", 700)
    };
    assert_eq!(make(store, &late).await, Made::New);
    assert_eq!(store.unmade(None, 9).await, Ok(vec![many.clone()]));
    // The first of several: the others keep their reason, and those that follow find theirs.
    let first = NewRun {
        cause: slot(200),
        ..manual("sweep", 701)
    };
    assert_eq!(make(store, &first).await, Made::New);
    assert_eq!(store.unmade(None, 9).await, Ok(vec![many.clone()]));
    for (last, slots, expected) in [(800, 3, (800, 4)), (700, 6, (800, 6)), (600, 2, (800, 6))] {
        assert_eq!(store.pass_over(missed(200, Some(last), slots)).await, Ok(()));
        let longer = Unmade {
            last_slot: Some(at(expected.0)),
            slots: expected.1,
            ..many.clone()
        };
        assert_eq!(store.unmade(None, 9).await, Ok(vec![longer]), "{last} {slots}");
    }
}
