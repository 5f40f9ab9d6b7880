//! The rules of the trait, written over `Arc<dyn Store>`: a function for each, run on every store there is.

use super::make::*;
use bursar::model::run::{RunState, Settlement};
use bursar::store::{Admitted, Store, StoreError};

/// Runs a rule on each store.
macro_rules! rules {
    ($($rule:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $rule() {
                let opened = super::super::make::open().await;
                super::$rule(&*opened.store).await;
                opened.store.close().await.expect("closed");
            })*
        }
    };
}

rules![an_event_starts_a_run_that_is_claimed_driven_and_settled];

async fn an_event_starts_a_run_that_is_claimed_driven_and_settled(store: &dyn Store) {
    let event = event("bank", "1", 0);
    let run = caused("sweep", &event);
    let admitted = store.admit(event.clone(), vec![run.clone()]).await.expect("admitted");
    assert_eq!(
        admitted,
        Admitted::New {
            runs: vec![run.id],
            woken: 0
        }
    );
    let claims = store.claim(worker(1), at(1), at(31), 10).await.expect("claimed");
    let [claim] = claims.as_slice() else {
        panic!("{claims:?}")
    };
    assert_eq!(claim.run.state, RunState::Running);
    assert_eq!(claim.run.event, run.event);
    assert_eq!(claim.run.turns, 1);
    store
        .append(&claim.lease, records([done(1), intent(2, "2")]), at(2))
        .await
        .expect("appended");
    store
        .append(&claim.lease, settle(succeeded()), at(3))
        .await
        .expect("settled");
    let run = store.run(claim.run.id).await.expect("read").expect("there");
    assert_eq!(run.state, RunState::Succeeded);
    assert_eq!(run.finished_at, Some(at(3)));
    assert_eq!(store.journal(run.id).await, Ok(vec![done(1), intent(2, "2")]));
    assert_eq!(
        store.append(&claim.lease, settle(Settlement::Queued), at(4)).await,
        Err(StoreError::LeaseLost { run: run.id })
    );
    assert_eq!(store.event(event.id).await, Ok(Some(event)));
}
