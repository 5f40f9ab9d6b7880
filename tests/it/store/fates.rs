//! Rules of every store about what became of events.

use bursar::model::fate::{Declined, Why};
use bursar::model::run::RunState;
use bursar::store::{EventQuery, Routing, Store, StoreError};

use super::make::*;

pub(super) async fn what_became_of_events_is_told(store: &dyn Store) {
    let events = ["taken", "filtered", "nobody's", "later"].map(|id| event("bank", id, 0));
    let mut marks = Vec::new();
    for event in &events {
        marks.push(admit(store, event).await);
    }
    let declined = |workflow: &str| Declined {
        workflow: workflow.to_owned(),
        why: Why::Untrue {
            expression: "event.payload.amount == 0.30".to_owned(),
        },
    };
    let after = store.unrouted(1, 1).await.expect("read").after;
    let run = caused("sweep", marks[0], &events[0]);
    let routing = Routing {
        after,
        up_to: marks[2],
        runs: vec![run.clone()],
        declined: vec![
            (marks[0], vec![declined("split")]),
            (marks[1], vec![declined("split"), declined("sweep")]),
        ],
        ..Routing::default()
    };
    store.route(routing).await.expect("routed");
    let asked: Vec<_> = events.iter().rev().map(|event| event.id).collect();
    let fates = store.fates(asked.clone()).await.expect("read");
    let told: Vec<_> = fates
        .iter()
        .map(|fate| (fate.event, fate.word(), fate.declined.len()))
        .collect();
    let words = [("not routed yet", 0), ("no workflow", 0), ("filtered", 2), ("ran", 1)];
    let expected: Vec<_> = asked
        .iter()
        .zip(words)
        .map(|(id, (word, count))| (*id, word, count))
        .collect();
    assert_eq!(told, expected);
    assert_eq!(fates[2].declined, [declined("split"), declined("sweep")]);
    let runs: Vec<_> = fates[3]
        .runs
        .iter()
        .map(|of| (of.id, of.workflow.as_str(), of.state))
        .collect();
    assert_eq!(runs, [(run.id, "sweep", RunState::Queued)]);
    let query = EventQuery {
        filtered: true,
        limit: 9,
        ..EventQuery::default()
    };
    let filtered = store.events(query).await.expect("read");
    assert_eq!(
        filtered.iter().map(|event| event.id).collect::<Vec<_>>(),
        [events[1].id]
    );
}

pub(super) async fn a_workflow_that_is_behind_has_its_own_cursor(store: &dyn Store) {
    let events = ["1", "2", "3"].map(|id| event("bank", id, 0));
    let mut marks = Vec::new();
    for event in &events {
        marks.push(admit(store, event).await);
    }
    let start = store.unrouted(1, 1).await.expect("read").after;
    let others = |after, up_to| Routing {
        after,
        up_to,
        behind: vec!["split".to_owned()],
        ..Routing::default()
    };
    // Said twice, it is behind from the first time on.
    store.route(others(start, marks[0])).await.expect("routed");
    store.route(others(marks[0], marks[1])).await.expect("routed");
    assert_eq!(store.behind().await, Ok(["split".to_owned()].into()));
    let missed = store.unrouted_by("split", 9, 1_000_000).await.expect("read");
    let found: Vec<_> = missed.events.iter().map(|(mark, _)| *mark).collect();
    assert_eq!((missed.after, found.as_slice()), (start, &marks[..2]));
    let one = store.unrouted_by("split", 1, 1_000_000).await.expect("read");
    assert_eq!(one.events.len(), 1);
    let behind = async |index: usize| {
        let fates = store.fates(vec![events[index].id]).await.expect("read");
        (fates[0].behind.clone(), fates[0].word())
    };
    let waits = (vec!["split".to_owned()], "waits for a workflow");
    assert_eq!(behind(1).await, waits);
    assert_eq!(behind(2).await, (Vec::new(), "not routed yet"));

    let own = |after, up_to, index: usize| Routing {
        of: Some("split".to_owned()),
        after,
        up_to,
        runs: vec![caused("split", marks[index], &events[index])],
        ..Routing::default()
    };
    // From where it stands, and no further than the others are.
    for (after, up_to) in [(marks[0], marks[1]), (start, marks[2])] {
        let answer = store.route(own(after, up_to, 1)).await;
        assert!(matches!(answer, Err(StoreError::Conflict(_))), "{answer:?}");
    }
    store.route(own(start, marks[0], 0)).await.expect("routed");
    assert_eq!(behind(0).await, (Vec::new(), "ran"));
    assert_eq!(behind(1).await, waits);
    store.route(own(marks[0], marks[1], 1)).await.expect("routed");
    assert_eq!(behind(1).await, (Vec::new(), "ran"));
    assert_eq!(store.behind().await, Ok(Default::default()));
    let left = store.unrouted(9, 1_000_000).await.expect("read");
    assert_eq!((left.after, left.events.len()), (marks[1], 1));
}

pub(super) async fn events_are_listed_newest_first(store: &dyn Store) {
    let mut ids = Vec::new();
    for number in 0..6 {
        let mut event = event(
            if number % 2 == 0 { "bank" } else { "other" },
            &number.to_string(),
            10 - number,
        );
        if number == 4 {
            event.kind = "payout.paid".to_owned();
        }
        ids.push(event.id);
        admit(store, &event).await;
    }
    let query = |connection: Option<&str>, kind: Option<&str>, before: Option<usize>, limit| EventQuery {
        connection: connection.map(str::to_owned),
        kind: kind.map(str::to_owned),
        before: before.map(|index| ids[index]),
        filtered: false,
        limit,
    };
    for (query, expected) in [
        (query(None, None, None, 2), vec![5, 4]),
        (query(None, None, Some(2), 9), vec![1, 0]),
        (query(Some("bank"), None, None, 9), vec![4, 2, 0]),
        (query(None, Some("payout.paid"), None, 9), vec![4]),
        (query(Some("bank"), Some("deposit.received"), Some(2), 9), vec![0]),
    ] {
        let found = store.events(query.clone()).await.expect("read");
        let found: Vec<_> = found.iter().map(|event| event.id).collect();
        let expected: Vec<_> = expected.into_iter().map(|index| ids[index]).collect();
        assert_eq!(found, expected, "{query:?}");
    }
}
