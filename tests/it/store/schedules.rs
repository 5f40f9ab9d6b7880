//! Rules of schedules: the runs of their slots in order, and pauses.

use bursar::model::run::{Cause, NewRun, RunState};
use bursar::model::unmade::{ClockDoubt, Pause, PauseCause};
use bursar::store::{SlotKey, SlotQuery, Store};

use super::make::*;
use crate::support::resumed;

pub(super) fn scheduled(workflow: &str, schedule: &str, timezone: &str, slot: i64) -> NewRun {
    NewRun {
        cause: Cause::Cron {
            schedule: schedule.to_owned(),
            timezone: timezone.to_owned(),
            slot: at(slot),
            due: None,
        },
        ..manual(workflow, slot)
    }
}

pub(super) fn schedule(expression: &str) -> SlotKey {
    SlotKey {
        workflow: "sweep".to_owned(),
        schedule: expression.to_owned(),
        timezone: "Europe/Berlin".to_owned(),
    }
}

pub(super) async fn the_newest_slot_of_a_schedule_is_known(store: &dyn Store) {
    let berlin = "Europe/Berlin";
    assert_eq!(
        store.settled_until("sweep", "0 18 * * *", berlin, at(1_000_000)).await,
        Ok(None)
    );
    for (schedule, zone, slot) in [
        ("0 18 * * *", berlin, 0),
        ("0 18 * * *", berlin, 86_400),
        ("0 18 * * *", berlin, 3_600),
        ("0 18 * * *", "Europe/Paris", 900_000),
        ("0 18 * * * 2027", berlin, 900_000),
    ] {
        let run = scheduled("sweep", schedule, zone, slot);
        store.create_run(run).await.expect("made");
    }
    assert_eq!(
        store.settled_until("sweep", "0 18 * * *", berlin, at(1_000_000)).await,
        Ok(Some(at(86_400)))
    );
    assert_eq!(
        store.settled_until("other", "0 18 * * *", berlin, at(1_000_000)).await,
        Ok(None)
    );
    // What is said of it counts where it is later, and is replaced by what is said next.
    for (said, expected) in [(90_000, 90_000), (80_000, 86_400), (100_000, 100_000)] {
        let key = schedule("0 18 * * *");
        assert_eq!(store.settle_slots(key, at(said)).await, Ok(()));
        let known = store.settled_until("sweep", "0 18 * * *", berlin, at(1_000_000)).await;
        assert_eq!(known, Ok(Some(at(expected))), "{said}");
    }
    // What lies behind a time that can be does not count, whatever is known of it.
    for (not_after, expected) in [
        (100_000, Some(100_000)),
        (99_999, Some(86_400)),
        (86_399, Some(3_600)),
        (-1, None),
    ] {
        let known = store.settled_until("sweep", "0 18 * * *", berlin, at(not_after)).await;
        assert_eq!(known, Ok(expected.map(at)), "{not_after}");
    }
}

pub(super) async fn the_runs_of_a_schedule_are_listed_by_slot(store: &dyn Store) {
    let mut made = Vec::new();
    for slot in [0, 7_200, 3_600, 90_000] {
        let run = scheduled("sweep", "0 * * * *", "Europe/Berlin", slot);
        made.push((slot, run.id));
        store.create_run(run).await.expect("made");
    }
    for other in ["0 * * * * 2027", "0 * * *"] {
        let run = scheduled("sweep", other, "Europe/Berlin", 50);
        store.create_run(run).await.expect("made");
    }
    let ended = store.cancel(made[1].1, "tess", "enough", at(9_000)).await;
    assert_eq!(ended, Ok(RunState::Cancelled));
    let list = async |from: Option<i64>, to: Option<i64>, limit: u32| {
        let query = SlotQuery {
            key: schedule("0 * * * *"),
            from: from.map(at),
            to: to.map(at),
            limit,
        };
        let found = store.slot_runs(query).await.expect("read");
        let slots: Vec<_> = found.iter().map(|run| (run.slot, run.id)).collect();
        (slots, found)
    };
    let slot = |number: usize| (at(made[number].0), made[number].1);
    let (all, found) = list(None, None, 9).await;
    assert_eq!(all, [slot(3), slot(1), slot(2), slot(0)]);
    assert_eq!(
        (found[1].state, found[1].finished_at),
        (RunState::Cancelled, Some(at(9_000)))
    );
    assert_eq!((found[0].state, found[0].finished_at), (RunState::Queued, None));
    assert_eq!((found[0].created_at, found[0].started_at), (at(90_000), None));
    assert_eq!(list(None, None, 2).await.0, [slot(3), slot(1)]);
    assert_eq!(list(Some(3_600), Some(7_200), 9).await.0, [slot(1), slot(2)]);
    assert_eq!(list(Some(3_601), None, 9).await.0, [slot(3), slot(1)]);
    assert_eq!(list(None, Some(7_199), 9).await.0, [slot(2), slot(0)]);
}

pub(super) async fn schedules_are_paused_once_and_resumed_once(store: &dyn Store) {
    let pause = |actor: &str, cause| Pause {
        workflow: "sweep".to_owned(),
        since: at(1),
        actor: actor.to_owned(),
        reason: "why".to_owned(),
        cause,
    };
    for (_, cause) in PauseCause::ALL {
        assert_eq!(store.pause(pause("first", cause)).await, Ok(()));
        assert_eq!(store.pause(pause("second", PauseCause::Person)).await, Ok(()));
        assert_eq!(store.pauses().await, Ok(vec![pause("first", cause)]));
        assert_eq!(store.resume("sweep", resumed(at(7))).await, Ok(true));
        assert_eq!(store.resume("sweep", resumed(at(8))).await, Ok(false));
        assert_eq!(store.pauses().await, Ok(Vec::new()));
        assert_eq!(store.resumed("sweep").await, Ok(Some(resumed(at(7)))), "when it ended");
    }
    assert_eq!(store.resumed("other").await, Ok(None));
}

pub(super) async fn a_clock_in_doubt_is_kept_beside_the_pauses(store: &dyn Store) {
    let doubt = ClockDoubt {
        since: at(2),
        reason: "jumped".to_owned(),
    };
    let pause = Pause {
        workflow: "sweep".to_owned(),
        since: at(1),
        actor: "tess".to_owned(),
        reason: "why".to_owned(),
        cause: PauseCause::Person,
    };
    assert_eq!(store.clock_doubt().await, Ok(None));
    assert_eq!(store.trust_clock(at(10)).await, Ok(false));
    assert_eq!(store.pause(pause.clone()).await, Ok(()));
    assert_eq!(store.doubt_clock(at(2), "jumped".to_owned()).await, Ok(()));
    assert_eq!(store.clock_doubt().await, Ok(Some(doubt.clone())));
    assert_eq!(store.pauses().await, Ok(vec![pause.clone()]), "both stand");
    // A pause that ends says nothing of the clock.
    assert_eq!(store.resume("sweep", resumed(at(3))).await, Ok(true));
    assert_eq!(store.resume("sweep", resumed(at(3))).await, Ok(false));
    assert_eq!(store.pauses().await, Ok(Vec::new()));
    assert_eq!(store.clock_doubt().await, Ok(Some(doubt.clone())));
    assert_eq!(store.resumed("other").await, Ok(None), "no pause has ended");
    // It jumps again: the first reason stays.
    assert_eq!(store.pause(pause.clone()).await, Ok(()));
    assert_eq!(store.doubt_clock(at(9), "again".to_owned()).await, Ok(()));
    assert_eq!(store.clock_doubt().await, Ok(Some(doubt)));
    // What it showed is kept until a person says that it is right now.
    assert_eq!(store.clock_seen().await, Ok(None));
    assert_eq!(store.see_clock(at(9)).await, Ok(()));
    assert_eq!(store.see_clock(at(8)).await, Ok(()));
    assert_eq!(store.clock_seen().await, Ok(Some(at(8))));
    // Of the clock: what a person has paused stays so.
    assert_eq!(store.trust_clock(at(10)).await, Ok(true));
    assert_eq!(store.trust_clock(at(10)).await, Ok(false));
    assert_eq!(store.clock_doubt().await, Ok(None));
    assert_eq!(store.clock_seen().await, Ok(Some(at(10))));
    assert_eq!(store.pauses().await, Ok(vec![pause]));
    assert_eq!(store.resume("sweep", resumed(at(10))).await, Ok(true));
}
