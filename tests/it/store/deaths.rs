//! What a store makes of runs under which the process died. One of the rules of `conformance`.

use bursar::base::ids::RunId;
use bursar::model::journal::Resolution;
use bursar::model::run::{RunState, Settlement};
use bursar::store::{Append, Store, StoreError};

use super::conformance::state_of;
use super::make::*;

pub(super) async fn a_process_that_dies_twice_under_a_run_without_progress_makes_it_suspected(store: &dyn Store) {
    let run = running(store, "sweep", 0).await.run.id;
    let code = async || code_of(store, run).await;
    let not_suspected = Err(StoreError::Conflict(format!("{run} is queued and not suspected")));
    assert_eq!(store.reclaim_all(at(1)).await, Ok(1));
    assert_eq!((state_of(store, run).await, code().await), (RunState::Queued, None));
    assert_eq!(store.examined(run, None).await, not_suspected);
    // One new line in the journal, and counting begins anew.
    let claim = take(store, 2, run).await;
    assert_eq!(store.append(&claim.lease, records([done(1)]), at(2)).await, Ok(()));
    assert_eq!(store.reclaim_all(at(3)).await, Ok(1));
    assert_eq!(state_of(store, run).await, RunState::Queued);
    // So does the end of a turn.
    let claim = take(store, 4, run).await;
    let end = Append {
        settlement: Some(Settlement::Queued),
        ..Append::default()
    };
    assert_eq!(store.append(&claim.lease, end, at(4)).await, Ok(()));
    take(store, 5, run).await;
    assert_eq!(store.reclaim_all(at(6)).await, Ok(1));
    assert_eq!(state_of(store, run).await, RunState::Queued);
    take(store, 7, run).await;
    assert_eq!(store.reclaim_all(at(8)).await, Ok(1));
    let suspected = Some("suspected".to_owned());
    assert_eq!(
        (state_of(store, run).await, code().await),
        (RunState::Parked, suspected.clone())
    );
    // It is as it was after another start, and goes on when it was looked at; the count stands.
    assert_eq!(store.reclaim_all(at(9)).await, Ok(0));
    assert_eq!(code().await, suspected);
    assert_eq!(store.examined(run, None).await, Ok(()));
    assert_eq!((state_of(store, run).await, code().await), (RunState::Queued, None));
    take(store, 10, run).await;
    assert_eq!(store.reclaim_all(at(11)).await, Ok(1));
    assert_eq!(code().await, suspected);
    // Or it is parked for good, until a person says that it goes on.
    assert_eq!(store.examined(run, Some(error("quarantined"))).await, Ok(()));
    assert_eq!(code().await.as_deref(), Some("quarantined"));
    assert!(store.examined(run, None).await.is_err());
    assert_eq!(store.resolve(decision(run, None, Resolution::Retry)).await, Ok(()));
    take(store, 12, run).await;
    assert_eq!(store.reclaim_all(at(13)).await, Ok(1));
    assert_eq!(state_of(store, run).await, RunState::Queued);
}

async fn code_of(store: &dyn Store, run: RunId) -> Option<String> {
    let run = store.run(run).await.expect("read").expect("there");
    run.error.map(|error| error.code)
}
