//! Tests of the store that fails on purpose: the crash tests rest on it.

use std::sync::Arc;

use bursar::model::run::RunState;
use bursar::store::faulty::{Fault, Faulty};
use bursar::store::{Store, StoreError};

use super::make::*;

/// Three writes: a run is made, taken, settled.
async fn scenario(store: &dyn Store) -> Result<(), StoreError> {
    store.create_run(manual("sweep", 0)).await?;
    let claims = store.claim(worker(1), at(1), at(31), 1).await?;
    let claim = claims.first().expect("a claim");
    store.append(&claim.lease, settle(succeeded()), at(2)).await
}

#[tokio::test]
async fn a_scenario_can_be_stopped_before_and_after_each_of_its_writes() {
    let opened = open().await;
    let counting = Faulty::new(Arc::clone(&opened.store), Fault::Never);
    scenario(&*counting).await.expect("nothing fails");
    assert_eq!((counting.writes(), counting.is_dead()), (3, false));

    let left = [
        None,
        Some(RunState::Queued),
        Some(RunState::Running),
        Some(RunState::Succeeded),
    ];
    for number in 1..=3 {
        for (fault, done) in [(Fault::Before(number), number - 1), (Fault::After(number), number)] {
            let opened = open().await;
            let faulty = Faulty::new(Arc::clone(&opened.store), fault);
            let stopped = scenario(&*faulty).await;
            assert!(
                matches!(stopped, Err(StoreError::Unavailable(_))),
                "{fault:?}: {stopped:?}"
            );
            assert_eq!((faulty.writes(), faulty.is_dead()), (number, true));
            assert!(faulty.counts().await.is_err(), "{fault:?}: the dead do not read");
            assert!(faulty.create_run(manual("sweep", 9)).await.is_err());
            // A claim is answered before it is durable; what is asked for after it is not.
            opened.store.wake_due(at(2)).await.expect("the real store lives");
            let counts = opened.store.counts().await.expect("the real store lives");
            let found = counts.into_iter().find(|(_, runs)| *runs > 0).map(|(state, _)| state);
            assert_eq!(found, left[usize::try_from(done).expect("small")], "{fault:?}");
            faulty.close().await.expect("closed");
        }
    }
}
