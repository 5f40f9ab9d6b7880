//! What became of each event: its runs, or which workflows looked at it and why they did not take it.

use std::sync::Arc;

use bursar::store::faulty::{Fault, Faulty};
use bursar::store::{EventQuery, RunQuery, Store as _};
use serde_json::json;

use super::{Desk, deposits_when};
use crate::webhooks::harness::on_deposit;

#[tokio::test]
async fn an_event_that_no_workflow_took_is_kept_with_the_reasons() {
    let desk = Desk::of(&[
        ("usd-only", &[on_deposit(Some("USD"))]),
        (
            "large",
            &[deposits_when(
                "'money(event.payload.amount, event.payload.currency) > EUR(1000)'",
            )],
        ),
        ("several", &[on_deposit(Some("GBP")), on_deposit(Some("CHF"))]),
    ])
    .await;
    let payload = json!({"amount": "100.10", "currency": "EUR"});
    let filtered = desk.admit("1", "deposit.received", payload).await;
    let unheard = desk.admit("2", "payout.paid", json!({})).await;
    let before = desk.store.fates(vec![unheard, filtered]).await.expect("read");
    let words: Vec<_> = before.iter().map(|fate| (fate.event, fate.word())).collect();
    assert_eq!(words, [(unheard, "not routed yet"), (filtered, "not routed yet")]);

    assert_eq!(desk.fate(filtered).await.word(), "filtered");
    assert_eq!(desk.fate(unheard).await.word(), "no workflow");
    let reasons = [
        "large: not true: money(event.payload.amount, event.payload.currency) > EUR(1000)",
        "several: /payload/currency is \"EUR\", not \"GBP\"",
        "several: /payload/currency is \"EUR\", not \"CHF\"",
        "usd-only: /payload/currency is \"EUR\", not \"USD\"",
    ];
    assert_eq!(desk.declined(filtered).await, reasons);
    // What was decided then counts, whatever the files say now.
    desk.shelf.put(&[("usd-only", &[on_deposit(None)])]);
    assert_eq!(desk.declined(filtered).await, reasons);

    let taken = desk.admit("3", "deposit.received", json!({"currency": "EUR"})).await;
    let later = desk.fate(taken).await;
    assert_eq!((later.word(), later.runs.len()), ("ran", 1));
    let query = EventQuery {
        filtered: true,
        limit: 9,
        ..EventQuery::default()
    };
    let listed = desk.store.events(query.clone()).await.expect("read");
    let listed: Vec<_> = listed.iter().map(|event| event.id).collect();
    assert_eq!(listed, [filtered]);
    let before = EventQuery {
        before: Some(filtered),
        ..query
    };
    assert!(desk.store.events(before).await.expect("read").is_empty());
}

#[tokio::test]
async fn a_value_that_is_long_or_missing_is_told_in_a_few_words() {
    let desk = Desk::of(&[("usd-only", &[on_deposit(Some("USD"))])]).await;
    let long = desk
        .admit("1", "deposit.received", json!({"currency": "x".repeat(5_000)}))
        .await;
    let missing = desk.admit("2", "deposit.received", json!({})).await;
    assert_eq!(
        desk.declined(missing).await,
        ["usd-only: /payload/currency is missing, not \"USD\""]
    );
    assert!(desk.declined(long).await[0].len() < 200);
}

/// Two workflows take one event; the process dies before or after each write on the way.
#[tokio::test]
async fn each_workflow_that_takes_an_event_makes_one_run_of_it() {
    let workflows: [(&str, &[String]); 3] = [
        ("book", &[on_deposit(None), on_deposit(Some("EUR"))]),
        ("convert", &[deposits_when("'event.payload.currency == \"EUR\"'")]),
        ("usd-only", &[on_deposit(Some("USD"))]),
    ];
    let mut deaths = 0;
    for write in 1..9 {
        for fault in [Fault::Before(write), Fault::After(write)] {
            let desk = Desk::of(&workflows).await;
            let event = desk.admit("1", "deposit.received", json!({"currency": "EUR"})).await;
            let faulty = Faulty::new(desk.store.clone(), fault);
            let died = desk.route(faulty.clone()).await.is_err();
            assert_eq!(died, faulty.is_dead());
            deaths += usize::from(died);
            // The next process.
            let fate = desk.fate(event).await;
            let runs: Vec<&str> = fate.runs.iter().map(|run| run.workflow.as_str()).collect();
            assert_eq!(runs.len(), 2, "{fault:?}");
            assert!(["book", "convert"].iter().all(|name| runs.contains(name)), "{runs:?}");
            assert_eq!(desk.declined(event).await.len(), 1);
            let query = RunQuery {
                limit: 9,
                ..RunQuery::default()
            };
            assert_eq!(desk.store.runs(query).await.expect("read").len(), 2);
        }
    }
    assert_eq!(deaths, 6, "two versions are saved and one write makes the runs");
}

#[tokio::test]
async fn an_expression_is_asked_again_after_its_thread_has_ended() {
    let desk = Desk::of(&[("work", &[deposits_when("'event.payload.x == 1'")])]).await;
    for number in 0..2 {
        let id = number.to_string();
        let event = desk.admit(&id, "deposit.received", json!({"x": number})).await;
        let fate = desk.fate(event).await;
        assert_eq!(fate.runs.len(), usize::from(number == 1));
    }
    let _same: Arc<_> = desk.shelf.catalog.current();
}
