//! Replays: an event makes the runs it has not made, once, and another only for who asks for that one.

use bursar::base::ids::{EventId, RunId};
use bursar::model::run::Cause;
use bursar::store::{RunQuery, Store as _};
use bursar::trigger::replay::{Again, Became, Replay, ReplayError, Replayed};
use bursar::trigger::versions::KnownVersions;
use serde_json::json;

use super::{Desk, deposits_when};
use crate::webhooks::harness::on_deposit;

impl Desk {
    /// The runs that are new.
    async fn replay(
        &self,
        event: EventId,
        workflow: Option<&str>,
        again: Option<&Again>,
    ) -> Result<Vec<RunId>, ReplayError> {
        let replayed = self.replay_all(event, workflow, again).await?;
        let run_of = |one: Replayed| match one.became {
            Became::Made { run } => Some(run),
            Became::Known | Became::Overlapping { .. } => None,
        };
        Ok(replayed.into_iter().filter_map(run_of).collect())
    }

    async fn replay_all(
        &self,
        event: EventId,
        workflow: Option<&str>,
        again: Option<&Again>,
    ) -> Result<Vec<Replayed>, ReplayError> {
        let versions = KnownVersions::new();
        let replay = Replay {
            store: self.store.as_ref(),
            catalog: &self.shelf.catalog,
            versions: &versions,
        };
        replay.make(event, workflow, again, "tess", self.now()).await
    }

    async fn count(&self) -> usize {
        let query = RunQuery {
            limit: 99,
            ..RunQuery::default()
        };
        self.store.runs(query).await.expect("read").len()
    }
}

fn beside(beside: u32) -> Again {
    Again {
        beside,
        reason: "the supplier was paid by hand and gave it back".to_owned(),
    }
}

#[tokio::test]
async fn an_event_makes_the_runs_it_has_not_made_and_no_others() {
    let desk = Desk::of(&[
        ("book", &[on_deposit(None)]),
        ("mended", &[deposits_when("'event.payload.curency == 1'")]),
    ])
    .await;
    let event = desk.admit("1", "deposit.received", json!({"currency": "EUR"})).await;
    let early = desk.replay(event, None, None).await;
    assert!(matches!(early, Err(ReplayError::NotRouted(_))), "{early:?}");
    assert_eq!(desk.fate(event).await.runs.len(), 1);

    let refused = desk
        .replay(event, Some("mended"), None)
        .await
        .expect_err("the condition fails");
    assert!(refused.to_string().contains("has no /payload/curency"), "{refused}");
    assert_eq!(desk.replay(event, None, None).await.expect("asked").len(), 0);
    // The condition is mended, and a workflow is new.
    let mended = deposits_when("'event.payload.currency == \"EUR\"'");
    desk.shelf.put(&[
        ("book", &[on_deposit(None)]),
        ("mended", &[mended]),
        ("new", &[on_deposit(None)]),
    ]);
    assert_eq!(desk.replay(event, Some("new"), None).await.expect("made").len(), 1);
    assert_eq!(desk.replay(event, None, None).await.expect("made").len(), 1);
    assert_eq!(desk.replay(event, None, None).await.expect("asked"), []);
    let fate = desk.fate(event).await;
    let mut of: Vec<&str> = fate.runs.iter().map(|run| run.workflow.as_str()).collect();
    of.sort_unstable();
    assert_eq!(of, ["book", "mended", "new"]);
    let run = desk.store.run(fate.runs[1].id).await.expect("read").expect("there");
    assert_eq!(
        run.cause,
        Cause::Webhook { event },
        "it is the run that it would have been"
    );

    for (workflow, sentence) in [("absent", "none of this name"), ("new", "")] {
        let stranger = desk.admit(&format!("of {workflow}"), "payout.paid", json!({})).await;
        desk.fate(stranger).await;
        let refused = desk
            .replay(stranger, Some(workflow), None)
            .await
            .expect_err("it does not listen");
        assert!(refused.to_string().contains(sentence), "{refused}");
    }
    let nowhere = desk.replay(EventId::generate(desk.now()), None, None).await;
    assert!(matches!(nowhere, Err(ReplayError::NotThere(_))));
}

#[tokio::test]
async fn another_run_is_made_once_for_what_was_seen_and_says_who_and_why() {
    let desk = Desk::of(&[("book", &[on_deposit(None)]), ("other", &[on_deposit(None)])]).await;
    let event = desk.admit("1", "deposit.received", json!({"currency": "EUR"})).await;
    let first = desk.fate(event).await.runs;
    assert_eq!(first.len(), 2);
    let made = desk.replay(event, Some("book"), Some(&beside(1))).await.expect("made");
    let [again] = made.as_slice() else { panic!("{made:?}") };
    // The same wish, asked for twice, for what stood there when it was made.
    let twice = desk.replay(event, Some("book"), Some(&beside(1))).await;
    assert!(
        matches!(
            twice,
            Err(ReplayError::Changed {
                expected: 1,
                found: 2,
                ..
            })
        ),
        "{twice:?}"
    );
    let seen = beside(2);
    let (one, two) = tokio::join!(
        desk.replay(event, Some("book"), Some(&seen)),
        desk.replay(event, Some("book"), Some(&seen)),
    );
    let made = one.map_or(0, |runs| runs.len()) + two.map_or(0, |runs| runs.len());
    assert_eq!((made, desk.count().await), (1, 4));

    let run = desk.store.run(*again).await.expect("read").expect("there");
    let Cause::Replay {
        event: of,
        actor,
        reason,
        ..
    } = &run.cause
    else {
        panic!("{:?}", run.cause);
    };
    assert_eq!((*of, actor.as_str()), (event, "tess"));
    assert!(reason.starts_with("the supplier"), "{reason}");
    assert_eq!(run.event["payload"]["currency"], "EUR");
    let fate = desk.fate(event).await;
    let of_book: Vec<_> = fate.runs.iter().filter(|run| run.workflow == "book").collect();
    assert_eq!(of_book.iter().filter(|run| run.again.is_some()).count(), 2);
    assert!(!first.iter().any(|run| run.id == *again), "its keys are its own");
    // A provider that sends the event again changes nothing.
    assert_eq!(desk.replay(event, None, None).await.expect("asked"), []);
}

#[tokio::test]
async fn a_workflow_that_skips_the_replay_stops_no_other_and_each_says_what_became_of_it() {
    let one_at_a_time = "[concurrency]\nkey = \"event.payload.currency\"\npolicy = \"skip\"\n";
    let skips = [format!("{one_at_a_time}{}", on_deposit(None))];
    let desk = Desk::of(&[("book", &[on_deposit(None)]), ("match", &skips)]).await;
    let open = desk.admit("1", "deposit.received", json!({"currency": "EUR"})).await;
    let runs = desk.fate(open).await.runs;
    let behind = runs.iter().find(|run| run.workflow == "match").expect("a run").id;
    let event = desk.admit("2", "deposit.received", json!({"currency": "EUR"})).await;
    desk.fate(event).await;
    // A workflow behind the one that skips.
    desk.shelf.put(&[
        ("book", &[on_deposit(None)]),
        ("match", &skips),
        ("new", &[on_deposit(None)]),
    ]);
    let replayed = desk.replay_all(event, None, None).await.expect("asked");
    let new = desk
        .fate(event)
        .await
        .runs
        .iter()
        .find(|run| run.workflow == "new")
        .expect("made")
        .id;
    let told = |workflow: &str, became| Replayed {
        workflow: workflow.to_owned(),
        became,
    };
    let overlaps = told("match", Became::Overlapping { behind });
    let made = told("new", Became::Made { run: new });
    assert_eq!(replayed, [told("book", Became::Known), overlaps.clone(), made]);
    let named = desk.replay_all(event, Some("match"), None).await.expect("asked");
    assert_eq!(named, [overlaps]);
}
