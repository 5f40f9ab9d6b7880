//! Money on its way: noted when it begins, reserved before that, gone with its end.

use bursar::base::ids::RunId;
use bursar::base::money::Money;
use bursar::model::journal::{Entry, Outcome, Record, Resolution};
use bursar::model::policy::Movement;
use bursar::model::run::Settlement;
use bursar::model::value::Value;
use bursar::store::{
    Answer, Append, Claim, Decision, OpenMovements, Release, Reservation, ReservedMove, Store, StoreError,
};

use super::make::*;

fn eur(amount: &str) -> Money {
    Money::parse(amount, "EUR".parse().expect("a currency")).expect("an amount")
}

/// An intent that pays so much out of one account into another.
fn pays(seq: u32, place: &str, source: Option<&str>, beneficiary: Option<&str>, amount: &str) -> Record {
    let mut record = intent(seq, place);
    if let Entry::Intent { intent, .. } = &mut record.entry {
        intent.movement = Some(Movement {
            amount: Some(eur(amount)),
            source: source.map(str::to_owned),
            beneficiary: beneficiary.map(str::to_owned),
        });
    }
    record
}

fn outcome(seq: u32, place: &str) -> Record {
    Record {
        seq,
        at: at(i64::from(seq)),
        entry: Entry::Outcome {
            path: path(place),
            outcome: Outcome::Value(Value::Null),
        },
    }
}

/// The end of a step made of others.
fn ends(seq: u32, place: &str) -> Record {
    let mut record = done(seq);
    if let Entry::Done { path: at, .. } = &mut record.entry {
        *at = path(place);
    }
    record
}

fn ask<'a>(
    store: &'a dyn Store,
    claim: &Claim,
    seen: &[(&str, u64)],
    moves: &[(&str, &str, &str)],
) -> Answer<'a, bool> {
    let moves = moves.iter().copied().map(reserved);
    let seen = seen.iter().map(|(account, times)| ((*account).to_owned(), *times));
    let reservation = Reservation {
        step: path("1"),
        connection: "bank".to_owned(),
        seen: seen.collect(),
        moves: moves.collect(),
    };
    store.reserve(&claim.lease, reservation)
}

fn reserved((source, beneficiary, amount): (&str, &str, &str)) -> ReservedMove {
    ReservedMove {
        source: source.to_owned(),
        beneficiary: Some(beneficiary.to_owned()),
        amount: eur(amount),
    }
}

fn give_back<'a>(store: &'a dyn Store, claim: &Claim, step: &str, given: (&str, &str, &str)) -> Answer<'a, bool> {
    let release = Release {
        step: path(step),
        connection: "bank".to_owned(),
        reserved: reserved(given),
    };
    store.release_reserved(&claim.lease, release)
}

async fn open(store: &dyn Store, account: &str) -> OpenMovements {
    store.open_movements("bank", account).await.expect("read")
}

/// `run step begun amount` of all that is on its way, without the run if it is the first one.
async fn shown(store: &dyn Store, account: &str, first: RunId) -> Vec<String> {
    let open = open(store, account).await;
    let line = |open: &bursar::store::OpenMovement| {
        let whose = if open.run == first { "" } else { "other " };
        let amount = open.amount.expect("an amount");
        format!(
            "{whose}{} {} {amount}",
            open.step,
            if open.begun { "begun" } else { "reserved" }
        )
    };
    open.movements.iter().map(line).collect()
}

pub(super) async fn what_is_on_its_way_is_shown_until_it_has_an_end(store: &dyn Store) {
    let claim = running(store, "sweep", 0).await;
    let run = claim.run.id;
    assert_eq!(open(store, "a").await, OpenMovements::default());
    let sent = records([
        pays(1, "1", Some("a"), Some("b"), "10.00"),
        pays(2, "2", Some("a"), None, "5.00"),
        pays(3, "3", None, None, "7.00"),
        retry(4, "1", 1),
        doubt(5, "2"),
    ]);
    assert_eq!(store.append(&claim.lease, sent, at(5)).await, Ok(()));
    assert_eq!(shown(store, "a", run).await, ["1 begun EUR 10.00", "2 begun EUR 5.00"]);
    assert_eq!(shown(store, "b", run).await, ["1 begun EUR 10.00"]);
    assert_eq!((open(store, "a").await.times, open(store, "b").await.times), (2, 0));
    let elsewhere = store.open_movements("other", "a").await.expect("read");
    assert_eq!(elsewhere, OpenMovements::default(), "another connection");
    // One step ends; of the other a person is asked.
    let parked = Append {
        settlement: Some(Settlement::Parked {
            error: error("in_doubt"),
        }),
        ..records([outcome(6, "1")])
    };
    assert_eq!(store.append(&claim.lease, parked, at(6)).await, Ok(()));
    assert_eq!(shown(store, "a", run).await, ["2 begun EUR 5.00"], "a doubt has no end");
    assert_eq!(shown(store, "b", run).await, Vec::<String>::new());
    assert_eq!((open(store, "a").await.times, open(store, "b").await.times), (2, 0));
    // A process that dies takes nothing with it, and what is to be sent anew is still on its way.
    store.reclaim_all(at(7)).await.expect("reclaimed");
    assert_eq!(
        store.resolve(decision(run, Some("2"), Resolution::Resend)).await,
        Ok(())
    );
    assert_eq!(shown(store, "a", run).await, ["2 begun EUR 5.00"]);
    let claim = take(store, 71, run).await;
    let mut anew = pays(8, "2", Some("a"), None, "5.00");
    if let Entry::Intent { intent, .. } = &mut anew.entry {
        intent.epoch = 1;
    }
    let doubtful = Append {
        settlement: Some(Settlement::Parked {
            error: error("in_doubt"),
        }),
        ..records([anew, doubt(9, "2")])
    };
    assert_eq!(store.append(&claim.lease, doubtful, at(72)).await, Ok(()));
    assert_eq!(shown(store, "a", run).await, ["2 begun EUR 5.00"]);
    assert_eq!(open(store, "a").await.times, 2, "it is the same money");
    let failed = decision(run, Some("2"), Resolution::Fail);
    assert_eq!(store.resolve(Decision { after: 1, ..failed }).await, Ok(()));
    assert_eq!(
        shown(store, "a", run).await,
        Vec::<String>::new(),
        "a person has ended it"
    );
    // A run that ends leaves nothing.
    let claim = running(store, "sweep", 80).await;
    let sent = records([pays(1, "1", Some("a"), None, "3.00")]);
    assert_eq!(store.append(&claim.lease, sent, at(80)).await, Ok(()));
    assert_eq!(shown(store, "a", claim.run.id).await, ["1 begun EUR 3.00"]);
    let ended = settle(Settlement::Failed { error: error("x") });
    assert_eq!(store.append(&claim.lease, ended, at(81)).await, Ok(()));
    assert_eq!(shown(store, "a", claim.run.id).await, Vec::<String>::new());
}

/// `step amount` of all that was taken for an account.
async fn taken(store: &dyn Store, account: &str, since: i64) -> Vec<String> {
    let taken = store.accepted("bank", account, at(since)).await.expect("read");
    taken
        .iter()
        .map(|taken| format!("{} {}", taken.step, taken.amount))
        .collect()
}

pub(super) async fn what_was_taken_for_an_account_of_ours_is_kept_until_it_has_arrived(store: &dyn Store) {
    let none = Vec::<String>::new();
    let claim = running(store, "sweep", 0).await;
    let run = claim.run.id;
    // `b` is an account of ours: something was reserved into it. `x` may be anybody's.
    assert_eq!(ask(store, &claim, &[("a", 0)], &[("a", "b", "10.00")]).await, Ok(true));
    let sent = records([
        pays(1, "1.4", Some("a"), Some("DE89"), "10.00"),
        pays(2, "2", Some("a"), Some("x"), "5.00"),
        pays(3, "3", Some("a"), Some("b"), "7.00"),
        pays(4, "4", Some("a"), Some("b"), "8.00"),
    ]);
    assert_eq!(store.append(&claim.lease, sent, at(5)).await, Ok(()));
    assert_eq!(taken(store, "b", 0).await, none, "nobody has said that it was taken");
    let mut refused = outcome(7, "3");
    if let Entry::Outcome { outcome, .. } = &mut refused.entry {
        *outcome = Outcome::Failure(bursar::model::journal::Failure::new("refused", "no"));
    }
    let parked = Append {
        settlement: Some(Settlement::Parked {
            error: error("in_doubt"),
        }),
        ..records([outcome(5, "1.4"), outcome(6, "2"), refused, doubt(8, "4")])
    };
    assert_eq!(store.append(&claim.lease, parked, at(8)).await, Ok(()));
    assert_eq!(taken(store, "b", 0).await, ["1.4 EUR 10.00"]);
    assert_eq!(
        (taken(store, "x", 0).await, taken(store, "b", 6).await),
        (none.clone(), none.clone())
    );
    assert_eq!(
        shown(store, "b", run).await,
        ["4 begun EUR 8.00"],
        "each is in one of the two"
    );
    // What a person has found there was taken as well.
    let adopted = Resolution::Adopt {
        resource: serde_json::json!({}),
    };
    assert_eq!(store.resolve(decision(run, Some("4"), adopted)).await, Ok(()));
    let both = ["1.4 EUR 10.00", "4 EUR 8.00"];
    assert_eq!(taken(store, "b", 0).await, both);
    // The end of the run is not the end of its money, and one write may bring both.
    let claim = take(store, 70, run).await;
    let last = Append {
        settlement: Some(Settlement::Succeeded {
            result: serde_json::json!(null),
        }),
        ..records([pays(10, "5", Some("a"), Some("b"), "9.00"), outcome(11, "5")])
    };
    assert_eq!(store.append(&claim.lease, last, at(71)).await, Ok(()));
    assert_eq!(
        taken(store, "b", 0).await,
        ["1.4 EUR 10.00", "5 EUR 9.00", "4 EUR 8.00"]
    );
    // Any run may say that it has arrived.
    let claim = running(store, "sweep", 80).await;
    let arrived = Append {
        arrived: vec![(run, path("1.4")), (run, path("5")), (claim.run.id, path("9"))],
        ..records([done(1)])
    };
    assert_eq!(store.append(&claim.lease, arrived, at(81)).await, Ok(()));
    assert_eq!(taken(store, "b", 0).await, ["4 EUR 8.00"]);
    // What was taken weeks ago is not waited for, and not kept.
    let later = i64::from(15 * 86_400);
    assert_eq!(ask(store, &claim, &[], &[("a", "b", "6.00")]).await, Ok(true));
    let mut paid = outcome(3, "1.1");
    paid.at = at(later);
    let sent = records([pays(2, "1.1", Some("a"), Some("DE89"), "6.00"), paid]);
    assert_eq!(store.append(&claim.lease, sent, at(later)).await, Ok(()));
    assert_eq!(taken(store, "b", 0).await, ["1.1 EUR 6.00"]);
}

pub(super) async fn what_was_taken_is_not_forgotten_by_a_clock_that_is_ahead(store: &dyn Store) {
    let weeks = 15 * 86_400;
    // Pays into `b`, and hears of it at this time.
    let pay = async |number: i64, amount: &str, seconds: i64| {
        let claim = running(store, "sweep", number).await;
        assert_eq!(ask(store, &claim, &[], &[("a", "b", amount)]).await, Ok(true));
        let mut paid = outcome(2, "1.1");
        paid.at = at(seconds);
        let sent = records([pays(1, "1.1", Some("a"), Some("DE89"), amount), paid]);
        assert_eq!(store.append(&claim.lease, sent, at(seconds)).await, Ok(()));
    };
    pay(1, "10.00", 5).await;
    store.see_clock(at(6)).await.expect("kept");
    pay(2, "6.00", weeks).await;
    assert_eq!(taken(store, "b", 0).await, ["1.1 EUR 10.00", "1.1 EUR 6.00"]);
    store.see_clock(at(weeks)).await.expect("kept");
    pay(3, "7.00", weeks).await;
    assert_eq!(
        taken(store, "b", 0).await,
        ["1.1 EUR 6.00", "1.1 EUR 7.00"],
        "weeks have passed"
    );
}

pub(super) async fn nothing_is_reserved_on_what_was_seen_before_something_else_began(store: &dyn Store) {
    let (first, second) = (running(store, "sweep", 0).await, running(store, "sweep", 1).await);
    let run = first.run.id;
    let both = [("a", 0), ("b", 0)];
    let moves = [("a", "t", "10.00"), ("b", "t", "4.00")];
    assert_eq!(ask(store, &first, &both, &moves).await, Ok(true));
    assert_eq!(ask(store, &first, &both, &moves).await, Ok(true), "the same again");
    assert_eq!(shown(store, "a", run).await, ["1 reserved EUR 10.00"]);
    assert_eq!(
        shown(store, "t", run).await,
        ["1 reserved EUR 10.00", "1 reserved EUR 4.00"]
    );
    assert_eq!(ask(store, &second, &[("b", 0)], &[("b", "t", "4.00")]).await, Ok(false));
    assert_eq!(shown(store, "b", run).await, ["1 reserved EUR 4.00"]);
    assert_eq!(ask(store, &second, &[("b", 1)], &[("b", "t", "1.00")]).await, Ok(true));
    assert_eq!(
        shown(store, "b", run).await,
        ["1 reserved EUR 4.00", "other 1 reserved EUR 1.00"]
    );
    // What is asked anew takes the place of what was reserved before.
    assert_eq!(ask(store, &second, &[("b", 2)], &[("b", "t", "2.00")]).await, Ok(true));
    assert_eq!(
        shown(store, "b", run).await,
        ["1 reserved EUR 4.00", "other 1 reserved EUR 2.00"]
    );
    // A step below has what was reserved for it, and nobody sees anything new.
    let times = open(store, "a").await.times;
    let sent = records([pays(1, "1.4", Some("a"), Some("DE89"), "10.00")]);
    assert_eq!(store.append(&first.lease, sent, at(2)).await, Ok(()));
    assert_eq!(shown(store, "a", run).await, ["1.4 begun EUR 10.00"]);
    assert!(shown(store, "t", run).await.contains(&"1.4 begun EUR 10.00".to_owned()));
    assert_eq!(open(store, "a").await.times, times);
    assert_eq!(
        ask(store, &second, &[("a", times)], &[("a", "t", "1.00")]).await,
        Ok(true)
    );
    assert_eq!(
        shown(store, "b", run).await,
        ["1 reserved EUR 4.00"],
        "in place of the other"
    );
    // Something else that begins there is new.
    let sent = records([pays(2, "2", Some("a"), None, "10.00"), outcome(3, "2")]);
    assert_eq!(store.append(&first.lease, sent, at(3)).await, Ok(()));
    let times = open(store, "a").await.times;
    assert_eq!(
        ask(store, &second, &[("a", times - 1)], &[("a", "t", "5.00")]).await,
        Ok(false)
    );
    assert_eq!(
        ask(store, &second, &[("a", times)], &[("a", "t", "5.00")]).await,
        Ok(true)
    );
    // What is left of a reservation goes with the step that made it.
    let ended = records([outcome(4, "1.4"), ends(5, "1")]);
    assert_eq!(store.append(&first.lease, ended, at(4)).await, Ok(()));
    assert_eq!(shown(store, "b", run).await, Vec::<String>::new());
    assert_eq!(shown(store, "a", run).await, ["other 1 reserved EUR 5.00"]);
    let parked = settle(Settlement::Parked {
        error: error("in_doubt"),
    });
    assert_eq!(store.append(&second.lease, parked, at(5)).await, Ok(()));
    let lost = StoreError::LeaseLost { run: second.run.id };
    assert_eq!(ask(store, &second, &[], &[("a", "t", "1.00")]).await, Err(lost));
    assert_eq!(
        shown(store, "a", run).await,
        ["other 1 reserved EUR 5.00"],
        "it waits for a person"
    );
}

pub(super) async fn what_was_reserved_is_given_back_for_exactly_one_movement(store: &dyn Store) {
    let none = Vec::<String>::new();
    let (claim, other) = (running(store, "sweep", 0).await, running(store, "sweep", 1).await);
    let run = claim.run.id;
    // The same amount out of `t` for three accounts, and for `a` by another run too.
    let moves = [("t", "a", "10.00"), ("t", "b", "10.00"), ("t", "c", "10.00")];
    assert_eq!(ask(store, &claim, &[], &moves).await, Ok(true));
    assert_eq!(ask(store, &other, &[], &[("t", "a", "10.00")]).await, Ok(true));
    let times = open(store, "t").await.times;
    for (step, wrong) in [
        ("1", ("t", "a", "10.01")),
        ("1", ("t", "x", "10.00")),
        ("1", ("b", "a", "10.00")),
        ("2", ("t", "a", "10.00")),
        ("1.1", ("t", "a", "10.00")),
    ] {
        assert_eq!(
            give_back(store, &claim, step, wrong).await,
            Ok(false),
            "{step}: {wrong:?}"
        );
    }
    // The payment to `a` was never begun.
    assert_eq!(give_back(store, &claim, "1", moves[0]).await, Ok(true));
    assert_eq!(give_back(store, &claim, "1", moves[0]).await, Ok(false), "once");
    assert_eq!(shown(store, "a", run).await, ["other 1 reserved EUR 10.00"]);
    // So what begins next is the one to `b`, and what was taken is taken for it.
    let sent = records([pays(1, "1.4", Some("t"), Some("DE89"), "10.00"), outcome(2, "1.4")]);
    assert_eq!(store.append(&claim.lease, sent, at(2)).await, Ok(()));
    assert_eq!(
        (taken(store, "a", 0).await, taken(store, "b", 0).await),
        (none.clone(), vec!["1.4 EUR 10.00".to_owned()])
    );
    assert_eq!(shown(store, "b", run).await, none);
    // What has begun is not given back, whether it has an end or not, nor what is reserved for the next one.
    let sent = records([pays(3, "1.5", Some("t"), Some("DE89"), "10.00")]);
    assert_eq!(store.append(&claim.lease, sent, at(3)).await, Ok(()));
    for begun in &moves[1..] {
        assert_eq!(give_back(store, &claim, "1", *begun).await, Ok(false), "{begun:?}");
    }
    assert_eq!(shown(store, "c", run).await, ["1.5 begun EUR 10.00"]);
    assert_eq!(open(store, "t").await.times, times, "nothing was begun");
    // Only who drives the run gives back.
    let parked = settle(Settlement::Parked {
        error: error("in_doubt"),
    });
    assert_eq!(store.append(&other.lease, parked, at(4)).await, Ok(()));
    let lost = StoreError::LeaseLost { run: other.run.id };
    assert_eq!(give_back(store, &other, "1", ("t", "a", "10.00")).await, Err(lost));
    assert_eq!(shown(store, "a", run).await, ["other 1 reserved EUR 10.00"]);
}

/// A process that died after it had reserved and before it knew decides again, from what there is by then.
pub(super) async fn who_comes_too_late_has_nothing_reserved_either(store: &dyn Store) {
    let (claim, other) = (running(store, "sweep", 0).await, running(store, "sweep", 1).await);
    let run = claim.run.id;
    let both = [("a", "t", "10.00"), ("a", "u", "4.00")];
    assert_eq!(ask(store, &claim, &[("a", 0)], &both).await, Ok(true));
    let sent = records([pays(1, "1.3", Some("a"), Some("DE89"), "4.00")]);
    assert_eq!(store.append(&claim.lease, sent, at(1)).await, Ok(()));
    let before = ["1 reserved EUR 10.00", "1.3 begun EUR 4.00"];
    assert_eq!(shown(store, "a", run).await, before);
    assert_eq!(ask(store, &other, &[("a", 0)], &[("a", "t", "1.00")]).await, Ok(false));
    assert_eq!(shown(store, "a", run).await, before, "nobody else's");
    assert_eq!(ask(store, &claim, &[("a", 0)], &[("a", "t", "9.00")]).await, Ok(false));
    assert_eq!(
        shown(store, "a", run).await,
        ["1.3 begun EUR 4.00"],
        "what has begun stays"
    );
    assert_eq!(shown(store, "t", run).await, Vec::<String>::new());
}
