//! Random journals: whatever the model allows comes back as it was, whatever the lease forbids does not.

use bursar::base::ids::RunId;
use bursar::model::journal::{Entry, Failure, Journal, Outcome, Record};
use bursar::model::run::Settlement;
use bursar::model::value::Value;
use bursar::store::sqlite::SqliteStore;
use bursar::store::{Append, Claim};
use chrono::TimeDelta;
use proptest::prelude::*;
use rust_decimal::Decimal;

use super::make::*;

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        (any::<i64>(), 0u32..20).prop_map(|(digits, scale)| Value::Decimal(Decimal::new(digits, scale))),
        (-4_000_000_000i64..4_000_000_000, 0u32..1_000_000_000).prop_map(|(seconds, nanos)| {
            Value::Time(chrono::DateTime::from_timestamp(seconds, nanos).expect("a valid instant"))
        }),
        (-1_000_000i64..1_000_000).prop_map(|millis| Value::Duration(TimeDelta::milliseconds(millis))),
        any::<i32>().prop_map(|cents| {
            let euro = "EUR".parse().expect("a currency");
            let money = bursar::base::money::Money::from_minor(i128::from(cents), euro);
            Value::Money(money.expect("an amount"))
        }),
        any::<String>().prop_map(Value::Text),
        Just(Value::text("\0\n\r\u{2028}'\"\\\u{1F4B6}")),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::List),
            prop::collection::btree_map("[$a-z\\PC]{0,6}", inner, 0..4).prop_map(Value::Map),
        ]
    })
}

fn any_outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        any_value().prop_map(Outcome::Value),
        (any::<String>(), any::<String>(), any_value())
            .prop_map(|(code, message, details)| { Outcome::Failure(Failure { code, message, details }) }),
    ]
}

/// What happens next to the one run of a case.
#[derive(Debug, Clone)]
enum Act {
    /// So many local steps in one write.
    Steps(Vec<Outcome>),
    /// An effect: intent, a failed attempt perhaps, the outcome.
    Effect(bool, Outcome),
    /// Records that leave out a position.
    Gap,
    /// A write under the lease before this one.
    Stale,
    /// The turn ends and another begins.
    Turn,
    /// The lease lapses and another worker takes over.
    Lapse,
    /// The process ends and another begins.
    Restart,
}

fn any_act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => prop::collection::vec(any_outcome(), 0..6).prop_map(Act::Steps),
        3 => (any::<bool>(), any_outcome()).prop_map(|(retried, outcome)| Act::Effect(retried, outcome)),
        1 => Just(Act::Gap),
        1 => Just(Act::Stale),
        1 => Just(Act::Turn),
        1 => Just(Act::Lapse),
        1 => Just(Act::Restart),
    ]
}

/// The store and what should be in it.
struct Case {
    opened: Opened,
    run: RunId,
    claim: Claim,
    former: Option<Claim>,
    expected: Vec<Record>,
    steps: u32,
}

impl Case {
    async fn new() -> Self {
        let opened = open().await;
        let claim = running(&*opened.store, "sweep", 0).await;
        Self {
            run: claim.run.id,
            opened,
            claim,
            former: None,
            expected: Vec::new(),
            steps: 0,
        }
    }

    fn next_seq(&self) -> u32 {
        u32::try_from(self.expected.len()).expect("short") + 1
    }

    async fn write(&mut self, append: Append) {
        let made = append.records.clone();
        let answer = self.opened.store.append(&self.claim.lease, append, at(1)).await;
        assert_eq!(answer, Ok(()));
        self.expected.extend(made);
    }

    async fn claim_again(&mut self) {
        let claim = take(&*self.opened.store, 100, self.run).await;
        assert_eq!(claim.records, self.expected);
        assert!(claim.lease.fence > self.claim.lease.fence);
        self.former = Some(std::mem::replace(&mut self.claim, claim));
    }

    async fn act(&mut self, act: Act) {
        match act {
            Act::Steps(outcomes) => {
                let mut made = Vec::new();
                for outcome in outcomes {
                    self.steps += 1;
                    let mut record = done(self.next_seq() + u32::try_from(made.len()).expect("short"));
                    record.entry = Entry::Done {
                        path: path(&self.steps.to_string()),
                        step: step("now"),
                        outcome,
                        began: None,
                    };
                    made.push(record);
                }
                self.write(records(made)).await;
            }
            Act::Effect(retried, outcome) => {
                self.steps += 1;
                let place = self.steps.to_string();
                self.write(records([intent(self.next_seq(), &place)])).await;
                if retried {
                    self.write(records([retry(self.next_seq(), &place, 1)])).await;
                }
                let entry = Entry::Outcome {
                    path: path(&place),
                    outcome,
                };
                let record = Record {
                    seq: self.next_seq(),
                    at: at(5),
                    entry,
                };
                self.write(records([record])).await;
            }
            Act::Gap => {
                let append = records([done(self.next_seq() + 1)]);
                let answer = self.opened.store.append(&self.claim.lease, append, at(1)).await;
                assert!(answer.is_err());
            }
            Act::Stale => {
                if let Some(former) = &self.former {
                    let append = records([done(self.next_seq())]);
                    let answer = self.opened.store.append(&former.lease, append, at(1)).await;
                    assert!(answer.is_err());
                }
            }
            Act::Turn => {
                self.write(settle(Settlement::Queued)).await;
                self.claim_again().await;
            }
            Act::Lapse => {
                let (queued, _) = self.opened.store.wake_due(at(1_000)).await.expect("looked");
                assert_eq!(queued, 1);
                self.claim_again().await;
            }
            Act::Restart => {
                self.opened.store.close().await.expect("closed");
                let folder = self.opened.folder.path();
                self.opened.store = SqliteStore::open(folder, OPTIONS).await.expect("opened");
                assert_eq!(self.opened.store.reclaim_all(at(1)).await, Ok(1));
                // Twice in a row without a new line: it is looked at, and goes on.
                let run = self.opened.store.run(self.run).await.expect("read").expect("there");
                if run.error.is_some_and(|error| error.code == "suspected") {
                    assert_eq!(self.opened.store.examined(self.run, None).await, Ok(()));
                }
                self.claim_again().await;
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_journal_comes_back_as_the_model_made_it(acts in prop::collection::vec(any_act(), 1..24)) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let mut case = Case::new().await;
            for act in acts {
                case.act(act).await;
            }
            let found = case.opened.store.journal(case.run).await.expect("read");
            assert_eq!(found, case.expected);
            assert!(Journal::from_records(found).is_ok());
            case.opened.store.close().await.expect("closed");
        });
    }
}
