//! Runs: which moves between states are legal, and what makes a cause unique.

use bursar::base::ids::EventId;
use bursar::model::run::{Cause, RunState};
use chrono::DateTime;

#[test]
fn the_table_of_moves_is_exactly_this() {
    let moves = |from: RunState| -> Vec<&str> {
        let reached = RunState::ALL.into_iter().filter(|(_, to)| from.may_become(*to));
        reached.map(|(name, _)| name).collect()
    };
    assert_eq!(moves(RunState::Pending), ["queued", "cancelled"]);
    assert_eq!(moves(RunState::Queued), ["running", "cancelled"]);
    assert_eq!(
        moves(RunState::Running),
        ["queued", "waiting", "succeeded", "failed", "cancelled", "parked"]
    );
    assert_eq!(moves(RunState::Waiting), ["queued", "cancelled"]);
    assert_eq!(moves(RunState::Parked), ["queued", "failed", "cancelled"]);
    for state in [RunState::Succeeded, RunState::Failed, RunState::Cancelled] {
        assert_eq!(moves(state), Vec::<&str>::new());
    }
}

#[test]
fn one_cause_has_one_key_and_another_cause_another() {
    let instant = |seconds| DateTime::from_timestamp(seconds, 0).expect("an instant");
    let cron = |schedule: &str, timezone: &str, seconds| Cause::Cron {
        schedule: schedule.to_owned(),
        timezone: timezone.to_owned(),
        slot: instant(seconds),
        due: None,
    };
    let event = EventId::generate(instant(0));
    let causes = [
        Cause::Webhook { event },
        Cause::Webhook {
            event: EventId::generate(instant(0)),
        },
        cron("0 18 * * *", "Europe/Berlin", 0),
        cron("0 18 * * *", "Europe/Berlin", 86_400),
        cron("0 18 * * *", "Europe/Vilnius", 0),
        cron("0 19 * * *", "Europe/Berlin", 0),
    ];
    let mut keys: Vec<_> = causes.iter().map(|cause| cause.unique_key().expect("a key")).collect();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), causes.len());
    assert_eq!(causes[0].unique_key(), Cause::Webhook { event }.unique_key());
    assert_eq!(
        Cause::Manual {
            actor: "anna".to_owned(),
            reason: None,
            key: None,
        }
        .unique_key(),
        None
    );
}
