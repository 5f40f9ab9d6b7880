//! Events that come while a workflow does not load, from the start of the process on: they are its own as soon as it does,
//! and no other workflow waits for that.

use std::time::Duration;

use bursar::base::ids::EventId;
use bursar::store::faulty::{Fault, Faulty};
use bursar::store::{RunQuery, Store as _};
use serde_json::json;

use super::Desk;
use crate::webhooks::harness::on_deposit;

impl Desk {
    /// The workflow `book`, which takes every deposit, and a process that begins while `split` does not load.
    async fn with_split_broken() -> Self {
        let mut desk = Self::of(&[("book", &[on_deposit(None)])]).await;
        desk.shelf.spoil("split");
        desk.shelf.restart();
        assert!(desk.shelf.catalog.current().broken.contains("split"));
        desk
    }

    /// Both load.
    fn mend_split(&self) {
        self.shelf
            .put(&[("book", &[on_deposit(None)]), ("split", &[on_deposit(Some("EUR"))])]);
    }

    async fn deposit(&self, id: &str, currency: &str) -> EventId {
        self.admit(id, "deposit.received", json!({ "currency": currency }))
            .await
    }

    /// The workflows that have a run of it.
    async fn took(&self, event: EventId) -> Vec<String> {
        let mut took: Vec<String> = self
            .fate(event)
            .await
            .runs
            .into_iter()
            .map(|run| run.workflow)
            .collect();
        took.sort_unstable();
        took
    }

    async fn runs(&self) -> usize {
        let query = RunQuery {
            limit: 1_000,
            ..RunQuery::default()
        };
        self.store.runs(query).await.expect("read").len()
    }
}

#[tokio::test]
async fn what_comes_while_a_workflow_does_not_load_is_its_own_when_it_does() {
    let mut desk = Desk::with_split_broken().await;
    let first = desk.deposit("1", "EUR").await;
    let other = desk.admit("2", "payout.paid", json!({})).await;
    assert_eq!(desk.took(first).await, ["book"], "nobody else waits");
    assert_eq!(desk.fate(other).await.word(), "waits for a workflow");
    // The next process finds it broken, too.
    desk.shelf.restart();
    let second = desk.deposit("3", "EUR").await;
    let dollars = desk.deposit("4", "USD").await;
    assert_eq!(desk.took(second).await, ["book"]);
    assert_eq!(desk.took(dollars).await, ["book"]);

    desk.mend_split();
    // Before anything was routed again.
    let last = desk.deposit("5", "EUR").await;
    for _ in 0..2 {
        for event in [first, second, last] {
            assert_eq!(desk.took(event).await, ["book", "split"]);
        }
        assert_eq!(desk.runs().await, 7, "each once");
    }
    assert_eq!(desk.took(dollars).await, ["book"]);
    assert_eq!(
        desk.declined(dollars).await,
        ["split: /payload/currency is \"USD\", not \"EUR\""]
    );
    assert_eq!(desk.fate(other).await.word(), "no workflow");
    // From now on it stands as it last loaded.
    desk.shelf.spoil("split");
    desk.shelf.catalog.reload_now();
    let standing = desk.deposit("6", "EUR").await;
    assert_eq!(desk.took(standing).await, ["book", "split"]);
}

#[tokio::test]
async fn the_reasons_of_one_that_comes_late_stand_beside_those_of_the_others() {
    let triggers = [on_deposit(Some("GBP"))];
    let mut desk = Desk::of(&[("usd-only", &[on_deposit(Some("USD"))])]).await;
    desk.shelf.spoil("split");
    desk.shelf.restart();
    let event = desk.deposit("1", "EUR").await;
    assert_eq!(desk.fate(event).await.word(), "waits for a workflow");
    desk.shelf
        .put(&[("usd-only", &[on_deposit(Some("USD"))]), ("split", &triggers)]);
    assert_eq!(
        desk.declined(event).await,
        [
            "usd-only: /payload/currency is \"EUR\", not \"USD\"",
            "split: /payload/currency is \"EUR\", not \"GBP\"",
        ]
    );
    assert_eq!(desk.fate(event).await.word(), "filtered");
}

/// More than one batch, and the process dies before or after each write on the way, while it is broken and afterwards.
#[tokio::test]
async fn what_waited_makes_its_runs_once_whenever_the_process_dies() {
    const EVENTS: usize = 300;
    let mut deaths = 0;
    for write in 1..9 {
        for fault in [Fault::Before(write), Fault::After(write)] {
            let desk = Desk::with_split_broken().await;
            for number in 0..EVENTS {
                desk.deposit(&number.to_string(), "EUR").await;
            }
            let mut died = 0;
            for is_mended in [false, true] {
                let faulty = Faulty::new(desk.store.clone(), fault);
                died += usize::from(desk.route(faulty.clone()).await.is_err());
                desk.route(desk.store.clone()).await.expect("the next process");
                assert_eq!(desk.runs().await, EVENTS * (1 + usize::from(is_mended)), "{fault:?}");
                desk.mend_split();
            }
            deaths += died;
        }
    }
    assert!(deaths >= 10, "{deaths}");
}

/// A person who takes a broken workflow away does not want it: whatever stands there later begins anew.
#[tokio::test]
async fn what_waited_for_a_workflow_that_was_taken_away_waits_no_more() {
    let desk = Desk::with_split_broken().await;
    let early = desk.deposit("1", "EUR").await;
    assert_eq!(desk.took(early).await, ["book"]);
    let router = desk.router(desk.store.clone());
    let only_book = || desk.shelf.put(&[("book", &[on_deposit(None)])]);
    // Files that are replaced are not there for a moment, and a folder without any is not mounted.
    only_book();
    router.route_some().await.expect("routed");
    desk.clock.advance(Duration::from_secs(599));
    router.route_some().await.expect("routed");
    desk.shelf.put(&[]);
    desk.clock.advance(Duration::from_secs(600));
    router.route_some().await.expect("routed");
    only_book();
    router.route_some().await.expect("routed");
    assert_eq!(desk.fate(early).await.behind, ["split"]);
    desk.clock.advance(Duration::from_secs(600));
    router.route_some().await.expect("routed");
    assert_eq!(desk.fate(early).await.word(), "ran");
    desk.mend_split();
    let late = desk.deposit("2", "EUR").await;
    assert_eq!(desk.took(early).await, ["book"]);
    assert_eq!(desk.took(late).await, ["book", "split"]);
}

#[tokio::test]
async fn nothing_is_routed_while_nobody_knows_what_workflows_there_are() {
    let mut desk = Desk::of(&[("book", &[on_deposit(None)])]).await;
    desk.shelf.hide(true);
    desk.shelf.restart();
    let event = desk.deposit("1", "EUR").await;
    assert_eq!(desk.fate(event).await.word(), "not routed yet");
    desk.shelf.hide(false);
    assert_eq!(desk.took(event).await, ["book"]);
}

/// What stands goes on as it last loaded; what never did goes on waiting.
#[tokio::test]
async fn a_folder_that_goes_away_meanwhile_loses_nothing() {
    let desk = Desk::with_split_broken().await;
    desk.shelf.hide(true);
    assert!(desk.shelf.catalog.current().broken.contains("split"));
    let event = desk.deposit("1", "EUR").await;
    assert_eq!(desk.took(event).await, ["book"]);
    desk.shelf.hide(false);
    desk.mend_split();
    assert_eq!(desk.took(event).await, ["book", "split"]);
}
