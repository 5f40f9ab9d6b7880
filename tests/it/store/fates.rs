//! Rules of every store about what became of events.

use bursar::model::fate::{Declined, Why};
use bursar::model::run::RunState;
use bursar::store::{EventQuery, Routing, Store};

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
