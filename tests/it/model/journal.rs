//! The journal against a second, smaller statement of its rules, and against every way to damage it.

use std::collections::BTreeMap;

use bursar::base::clock::Instant;
use bursar::base::ids::Digest;
use bursar::model::journal::{
    Doubt, Entry, Failure, Intent, Journal, Outcome, Phase, Record, Resolution, Retry, Step, StepPath, StoredRequest,
    Wait,
};
use bursar::model::value::Value;
use chrono::TimeDelta;
use proptest::prelude::*;

use super::random_cases;

/// What can be written about a step.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Move {
    Done,
    Intent(u32),
    /// Which attempt, and whether it may have had its effect.
    Retry(u32, bool),
    Waiting(i64),
    Outcome,
    InDoubt,
    Sending,
    SayRetry,
    SayAdopt,
    SayResend,
    SayFail,
}

/// Where a step stands, as few words as possible.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Stand {
    Unknown,
    Trying(u32),
    Sent {
        epoch: u32,
        attempts: u32,
    },
    Waiting(i64),
    /// With the epoch of what was sent, if anything was.
    Doubt(Option<u32>),
    Cleared(u32),
    Done,
}

/// The rules once more: where a move leads, or that it leads nowhere.
fn follow(stand: Stand, made: Move) -> Option<Stand> {
    Some(match (stand, made) {
        (Stand::Unknown | Stand::Trying(_), Move::Done) => Stand::Done,
        (Stand::Unknown, Move::Retry(1, _)) => Stand::Trying(1),
        // Held: nothing was tried, and nothing is counted.
        (Stand::Trying(_) | Stand::Sent { .. } | Stand::Cleared(_), Move::Retry(0, _)) => stand,
        (Stand::Trying(attempts), Move::Retry(attempt, _)) if attempt == attempts + 1 => Stand::Trying(attempt),
        (Stand::Unknown, Move::Intent(0)) => Stand::Sent { epoch: 0, attempts: 0 },
        (Stand::Cleared(cleared), Move::Intent(epoch)) if epoch == cleared => Stand::Sent { epoch, attempts: 0 },
        (Stand::Sent { epoch, attempts }, Move::Retry(attempt, _)) if attempt == attempts + 1 => Stand::Sent {
            epoch,
            attempts: attempt,
        },
        (Stand::Sent { epoch, attempts }, Move::Sending) => Stand::Sent { epoch, attempts },
        (Stand::Sent { .. } | Stand::Waiting(_), Move::Outcome) => Stand::Done,
        // Held before it was sent.
        (Stand::Unknown, Move::Retry(0, _)) => Stand::Trying(0),
        (Stand::Trying(_), Move::Intent(0)) => Stand::Sent { epoch: 0, attempts: 0 },
        (Stand::Unknown, Move::Waiting(deadline)) => Stand::Waiting(deadline),
        (Stand::Waiting(before), Move::Waiting(deadline)) if before == deadline => stand,
        (Stand::Unknown | Stand::Trying(_), Move::InDoubt) => Stand::Doubt(None),
        (Stand::Sent { epoch, .. }, Move::InDoubt) => Stand::Doubt(Some(epoch)),
        // What was said to be absent is there.
        (Stand::Cleared(epoch), Move::InDoubt) => Stand::Doubt(Some(epoch - 1)),
        (Stand::Doubt(_), Move::SayAdopt | Move::SayFail) => Stand::Done,
        // A run may be parked for another reason while a step of it is open: a person may decide about that too.
        (Stand::Sent { .. }, Move::SayAdopt | Move::SayFail) => Stand::Done,
        (Stand::Doubt(Some(epoch)) | Stand::Sent { epoch, .. }, Move::SayRetry) => Stand::Sent { epoch, attempts: 0 },
        (Stand::Doubt(Some(epoch)) | Stand::Sent { epoch, .. }, Move::SayResend) => Stand::Cleared(epoch + 1),
        (Stand::Doubt(None), Move::SayRetry) => Stand::Trying(0),
        _ => return None,
    })
}

/// Whether this leaves something that may have moved money.
fn unsettled(stand: Stand) -> bool {
    matches!(stand, Stand::Sent { .. } | Stand::Cleared(_) | Stand::Doubt(_))
}

fn path(text: &str) -> StepPath {
    text.parse().expect("a path")
}

fn instant(seconds: i64) -> Instant {
    Instant::from_timestamp(seconds, 0).expect("an instant")
}

fn step(name: &str) -> Step {
    Step {
        name: name.to_owned(),
        summary: String::new(),
        fingerprint: Digest::of([name.as_bytes()]),
    }
}

fn entry(path: StepPath, made: Move) -> Entry {
    let step = step("bank.create_payout");
    let resolved = |path, resolution| Entry::Resolved {
        path,
        resolution,
        actor: "anna".to_owned(),
        reason: "seen in the bank's portal".to_owned(),
    };
    match made {
        Move::Done => Entry::Done {
            path,
            step,
            outcome: Outcome::Value(Value::Int(1)),
            began: None,
        },
        Move::Intent(epoch) => Entry::Intent {
            path,
            intent: Box::new(Intent {
                connection: "bank".to_owned(),
                endpoint: "create_payout".to_owned(),
                epoch,
                key: Some(format!("key-{epoch}")),
                key_safe_until: None,
                reference: "ref".to_owned(),
                fingerprint: step.fingerprint,
                request: StoredRequest {
                    method: "POST".to_owned(),
                    path: "/payouts".to_owned(),
                    headers: vec![],
                    body: Some("{}".to_owned()),
                },
                movement: None,
                forgotten: None,
                before: std::collections::BTreeMap::new(),
                exclusive: None,
            }),
            step,
        },
        Move::Retry(attempt, unknown) => Entry::Retry {
            path,
            step,
            retry: Retry {
                look_up: false,
                waits: false,
                attempt,
                unknown,
                reason: "no answer".to_owned(),
                at: instant(5),
            },
        },
        Move::Waiting(deadline) => Entry::Waiting {
            path,
            step,
            wait: Wait {
                deadline: instant(deadline),
                poll_at: None,
                event: None,
                approval: None,
            },
        },
        Move::Outcome => Entry::Outcome {
            path,
            outcome: Outcome::Failure(Failure::new("declined", "no funds")),
        },
        Move::InDoubt => Entry::InDoubt {
            path,
            step,
            doubt: Doubt {
                code: "in_doubt".to_owned(),
                message: "no answer".to_owned(),
            },
        },
        Move::Sending => Entry::Sending { path },
        Move::SayRetry => resolved(path, Resolution::Retry),
        Move::SayAdopt => resolved(
            path,
            Resolution::Adopt {
                resource: serde_json::json!({"id": "po_1"}),
            },
        ),
        Move::SayResend => resolved(path, Resolution::Resend),
        Move::SayFail => resolved(path, Resolution::Fail),
    }
}

fn record(seq: u32, path: &StepPath, made: Move) -> Record {
    Record {
        seq,
        at: instant(i64::from(seq)),
        entry: entry(path.clone(), made),
    }
}

fn any_move() -> impl Strategy<Value = Move> {
    prop_oneof![
        2 => Just(Move::Done),
        3 => (0u32..3).prop_map(Move::Intent),
        3 => (0u32..4, any::<bool>()).prop_map(|(attempt, unknown)| Move::Retry(attempt, unknown)),
        2 => (0i64..2).prop_map(Move::Waiting),
        2 => Just(Move::Outcome),
        3 => Just(Move::InDoubt),
        2 => Just(Move::Sending),
        1 => Just(Move::SayRetry),
        1 => Just(Move::SayAdopt),
        2 => Just(Move::SayResend),
        1 => Just(Move::SayFail),
    ]
}

const PATHS: [&str; 7] = ["1", "2", "2.1", "2.1.1", "2.2", "10", "10.1"];

/// The moves that may be made, in order, out of any moves at all: a legal journal of a run.
fn legal(moves: &[(usize, Move)]) -> Vec<Record> {
    let mut records = Vec::new();
    let mut journal = Journal::default();
    for (place, made) in moves {
        let record = record(journal.last_seq() + 1, &path(PATHS[*place]), *made);
        if let Ok(next) = journal.clone().next(record.clone()) {
            journal = next;
            records.push(record);
        }
    }
    records
}

fn any_moves() -> impl Strategy<Value = Vec<(usize, Move)>> {
    proptest::collection::vec((0..PATHS.len(), any_move()), 1..60)
}

proptest! {
    #![proptest_config(random_cases())]

    #[test]
    fn a_record_is_accepted_exactly_when_the_rules_say_so(moves in any_moves()) {
        let mut stands: BTreeMap<&str, Stand> = BTreeMap::new();
        let mut journal = Journal::default();
        for (place, made) in moves {
            let name = PATHS[place];
            let below = |other: &str, above: &str| other.starts_with(&format!("{above}."));
            let ended_above = stands.iter().any(|(other, stand)| below(name, other) && *stand == Stand::Done);
            let open_below = stands.iter().any(|(other, stand)| below(other, name) && unsettled(*stand));
            let expected = follow(stands.get(name).copied().unwrap_or(Stand::Unknown), made)
                .filter(|_| !ended_above)
                .filter(|stand| *stand != Stand::Done || !open_below);
            let result = journal.clone().next(record(journal.last_seq() + 1, &path(name), made));
            prop_assert_eq!(result.is_ok(), expected.is_some(), "{} {:?} after {:?}: {:?}", name, made, stands, result.err());
            if let (Ok(next), Some(stand)) = (result, expected) {
                journal = next;
                stands.insert(name, stand);
            }
        }
        for (name, stand) in stands {
            let found = match &journal.step(&path(name)).expect("a step").phase {
                Phase::Trying { attempts, .. } => Stand::Trying(*attempts),
                Phase::Sent { intent, attempts, .. } => Stand::Sent { epoch: intent.epoch, attempts: *attempts },
                Phase::Waiting(wait) => Stand::Waiting(wait.deadline.timestamp()),
                Phase::Doubt { intent, .. } => Stand::Doubt(intent.as_ref().map(|intent| intent.epoch)),
                Phase::Cleared { epoch, .. } => Stand::Cleared(*epoch),
                Phase::Done(_) => Stand::Done,
            };
            prop_assert_eq!(found, stand);
        }
    }

    #[test]
    fn a_dropped_doubled_or_swapped_record_is_refused(moves in any_moves(), at in any::<prop::sample::Index>()) {
        let records = legal(&moves);
        prop_assume!(records.len() >= 2);
        prop_assert!(Journal::from_records(records.clone()).is_ok());
        let at = at.index(records.len() - 1);
        let mut dropped = records.clone();
        dropped.remove(at);
        prop_assert!(Journal::from_records(dropped).is_err());
        let mut doubled = records.clone();
        doubled.insert(at, records[at].clone());
        prop_assert!(Journal::from_records(doubled).is_err());
        let mut swapped = records;
        swapped.swap(at, at + 1);
        prop_assert!(Journal::from_records(swapped).is_err());
    }

    #[test]
    fn nothing_is_sent_twice_under_two_keys_unless_a_person_proved_it_absent(moves in any_moves()) {
        let mut sent: BTreeMap<StepPath, u32> = BTreeMap::new();
        let mut allowed: BTreeMap<StepPath, u32> = BTreeMap::new();
        for record in legal(&moves) {
            let path = record.entry.path().clone();
            match record.entry {
                Entry::Intent { .. } => *sent.entry(path.clone()).or_default() += 1,
                Entry::Resolved { resolution: Resolution::Resend, .. } => *allowed.entry(path.clone()).or_default() += 1,
                _ => {}
            }
            prop_assert!(sent.get(&path).copied().unwrap_or(0) <= 1 + allowed.get(&path).copied().unwrap_or(0));
        }
    }

    #[test]
    fn once_something_may_have_happened_it_stays_unknown_until_it_ends(moves in any_moves()) {
        let mut journal = Journal::default();
        let mut unknown: BTreeMap<StepPath, bool> = BTreeMap::new();
        for record in legal(&moves) {
            let path = record.entry.path().clone();
            match &record.entry {
                Entry::Intent { .. } => { unknown.insert(path.clone(), false); }
                Entry::Retry { retry, .. } if retry.unknown => { unknown.insert(path.clone(), true); }
                _ => {}
            }
            journal = journal.next(record).expect("a legal record");
            if let Phase::Sent { unknown: told, .. } = &journal.step(&path).expect("a step").phase {
                prop_assert!(*told || !unknown[&path]);
            }
        }
    }
}

#[test]
fn nothing_is_written_over_the_end_of_a_step() {
    let ended = [Move::Intent(0), Move::Outcome];
    let journal = ended.iter().zip(1..).fold(Journal::default(), |journal, (made, seq)| {
        journal.next(record(seq, &path("1"), *made)).expect("legal")
    });
    for late in [
        Move::Done,
        Move::Intent(0),
        Move::Intent(1),
        Move::Retry(1, true),
        Move::Waiting(1),
        Move::Outcome,
        Move::InDoubt,
        Move::Sending,
        Move::SayRetry,
        Move::SayAdopt,
        Move::SayResend,
        Move::SayFail,
    ] {
        let refused = journal.clone().next(record(3, &path("1"), late));
        assert_eq!(
            refused.map_err(|illegal| illegal.reason),
            Err("the step has ended"),
            "{late:?}"
        );
    }
}

#[test]
fn another_step_at_the_same_place_is_refused() {
    let begun = Journal::default()
        .next(record(1, &path("1"), Move::Intent(0)))
        .expect("legal");
    let other = Entry::Retry {
        path: path("1"),
        step: step("bank.create_refund"),
        retry: Retry {
            look_up: false,
            waits: false,
            attempt: 1,
            unknown: false,
            reason: String::new(),
            at: instant(0),
        },
    };
    let problem = begun
        .next(Record {
            seq: 2,
            at: instant(2),
            entry: other,
        })
        .expect_err("another step");
    assert_eq!(
        problem.to_string(),
        "entry 2 `retry` of step 1 may not follow: the step was another one before"
    );
}

#[test]
fn a_compound_step_cannot_end_over_money_on_its_way() {
    let check = |below: Move, legal: bool| {
        let records = [record(1, &path("3.1"), below), record(2, &path("3"), Move::Done)];
        assert_eq!(Journal::from_records(records).is_ok(), legal, "{below:?}");
    };
    check(Move::Intent(0), false);
    check(Move::InDoubt, false);
    check(Move::Done, true);
    check(Move::Retry(1, true), true);
    check(Move::Waiting(9), true);
    // A neighbour with a longer number is not below.
    let neighbour = [
        record(1, &path("31"), Move::Intent(0)),
        record(2, &path("3"), Move::Done),
    ];
    assert!(Journal::from_records(neighbour).is_ok());
}

#[test]
fn nothing_follows_below_a_step_that_ended_at_any_depth() {
    let ended = || {
        Journal::default()
            .next(record(1, &path("2"), Move::Done))
            .expect("legal")
    };
    assert!(ended().next(record(2, &path("2.1"), Move::Done)).is_err());
    assert!(ended().next(record(2, &path("2.1.4"), Move::Done)).is_err());
    assert!(ended().next(record(2, &path("20.1"), Move::Done)).is_ok());
}

#[test]
fn the_last_step_of_the_longest_run_can_still_end() {
    let most = u32::try_from(bursar::base::limits::RUN_STEPS_MAX).expect("fits");
    let mut journal = Journal::default();
    for number in 1..=most {
        let made = if number == most { Move::Intent(0) } else { Move::Done };
        journal = journal
            .next(record(number, &StepPath::root().child(number), made))
            .expect("legal");
    }
    let one_more = StepPath::root().child(most + 1);
    assert!(journal.clone().next(record(most + 1, &one_more, Move::Done)).is_err());
    // A step made of others ends after them, whatever it counts.
    let above = path("7");
    let mut below = Journal::default();
    for number in 1..=most {
        let entry = record(number, &above.child(number), Move::Done);
        below = below.next(entry).expect("legal");
    }
    assert!(below.clone().next(record(most + 1, &path("8"), Move::Done)).is_err());
    assert!(below.next(record(most + 1, &above, Move::Done)).is_ok());
    let last = StepPath::root().child(most);
    assert!(journal.next(record(most + 1, &last, Move::Outcome)).is_ok());
}

#[test]
fn a_path_has_one_text() {
    for text in ["1", "3.1.0", "10.2", "4294967295"] {
        assert_eq!(path(text).to_string(), text);
    }
    for text in ["+1", "01", "1.", ".1", "1..2", "a", "1 ", "-1", "4294967296"] {
        assert!(text.parse::<StepPath>().is_err(), "{text}");
    }
    let mut order = ["10", "2", "2.10", "2.2", "1"].map(path);
    order.sort();
    assert_eq!(order.map(|path| path.to_string()), ["1", "2", "2.2", "2.10", "10"]);
}

#[test]
fn waits_keep_the_deadline_of_their_first_entry() {
    let first = Journal::default()
        .next(record(1, &path("1"), Move::Waiting(60)))
        .expect("legal");
    let later = Record {
        seq: 2,
        at: instant(2),
        entry: Entry::Waiting {
            path: path("1"),
            step: step("bank.create_payout"),
            wait: Wait {
                deadline: instant(60) + TimeDelta::seconds(1),
                poll_at: None,
                event: None,
                approval: None,
            },
        },
    };
    assert!(first.next(later).is_err());
}

#[test]
fn a_step_began_when_its_read_or_its_first_part_did() {
    let done = |place: &str, began: Option<i64>| {
        let made = entry(path(place), Move::Done);
        match made {
            Entry::Done {
                path, step, outcome, ..
            } => Entry::Done {
                path,
                step,
                outcome,
                began: began.map(instant),
            },
            other => other,
        }
    };
    let entries = [
        done("1", Some(3)),
        done("2.1", Some(14)),
        done("2.2", None),
        done("2", None),
        done("10", None),
        entry(path("11"), Move::Retry(1, false)),
        done("11", Some(55)),
    ];
    let records = entries.into_iter().zip(1..).map(|(entry, seq)| Record {
        seq,
        at: instant(i64::from(seq) * 10),
        entry,
    });
    let journal = Journal::from_records(records).expect("a legal journal");
    let check = |place: &str, began: i64, ended: i64| {
        let record = journal.step(&path(place)).expect("it is there");
        assert_eq!(
            (record.started_at, record.updated_at),
            (instant(began), instant(ended)),
            "{place}"
        );
    };
    check("1", 3, 10);
    check("2.1", 14, 20);
    check("2.2", 30, 30);
    check("2", 14, 40);
    check("10", 50, 50);
    check("11", 60, 70);
}
