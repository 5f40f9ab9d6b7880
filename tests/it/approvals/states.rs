//! One run that asks again and again, against a small model of it: whatever is done to it, in whatever order, an answer
//! is taken exactly when the model says so, and the journal has what the model has.
//!
//! `BURSAR_APPROVAL_CASES` sets how many sequences (1,000 if not set), `BURSAR_SEED` replays them. The same for runs and
//! their steps, 100,000 sequences, is `properties::states`.

use std::collections::BTreeMap;
use std::sync::Arc;

use bursar::base::clock::Instant;
use bursar::base::ids::{Digest, RunId, WorkerId};
use bursar::model::journal::{Asked, Entry, Failure, Journal, Outcome, Record, Resolution, Step, StepPath, Wait};
use bursar::model::run::{Cause, EventMark, NewRun, RunError, RunState, Settlement};
use bursar::store::sqlite::{Durability, OnFailure, SqliteOptions, SqliteStore};
use bursar::store::{Append, ApprovalDecision, Decision, Lease, Store, StoreError};
use serde_json::json;

use crate::support::{number, report};

const OPERATIONS_MAX: usize = 60;
/// At once, each with a store of its own: one works while another waits for its writer.
const STORES: u64 = 4;

fn at(seconds: i64) -> Instant {
    chrono::DateTime::from_timestamp(1_767_225_600 + seconds, 0).expect("a valid instant")
}

/// Where a question stands.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Question {
    /// Until when.
    Open(i64),
    Ended,
}

/// What an answer comes to.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Said {
    Taken,
    Missing,
    Conflict,
}

struct Case {
    store: Arc<dyn Store>,
    run: RunId,
    worker: WorkerId,
    lease: Option<Lease>,
    /// When the run was taken, how many records the worker knows of, and how many answers came since.
    taken_at: i64,
    known: u32,
    entered: u32,
    state: RunState,
    end_asked: bool,
    wake_at: i64,
    questions: BTreeMap<u32, Question>,
    records: u32,
    now: i64,
    taken: u32,
    did: Vec<String>,
}

impl Case {
    async fn new(store: Arc<dyn Store>) -> Self {
        let run = RunId::generate(at(0));
        let new = NewRun {
            id: run,
            workflow: "test".to_owned(),
            version: Digest::of([b"test".as_slice()]),
            cause: Cause::Manual {
                actor: "tess".to_owned(),
                reason: None,
                key: None,
            },
            event: json!({}).into(),
            params: json!({}),
            created_at: at(0),
            concurrency: None,
        };
        store.create_run(new).await.expect("made");
        Self {
            store,
            run,
            worker: WorkerId::generate(at(0)),
            lease: None,
            taken_at: 0,
            known: 0,
            entered: 0,
            state: RunState::Queued,
            end_asked: false,
            wake_at: 0,
            questions: BTreeMap::new(),
            records: 0,
            now: 0,
            taken: 0,
            did: Vec::new(),
        }
    }

    fn path(number: u32) -> StepPath {
        StepPath::root().child(number)
    }

    fn fingerprint(number: u32) -> Digest {
        Digest::of([b"pay".as_slice(), &number.to_be_bytes()])
    }

    async fn append(&mut self, entry: Option<Entry>, settlement: Option<Settlement>) {
        let Some(lease) = self.lease.clone() else { return };
        let records = entry.map(|entry| Record {
            seq: self.known + 1,
            at: at(self.now),
            entry,
        });
        self.known += u32::from(records.is_some());
        self.records += u32::from(records.is_some());
        let append = Append {
            records: records.into_iter().collect(),
            settlement,
            ..Append::default()
        };
        let written = self.store.append(&lease, append, at(self.now)).await;
        assert_eq!(written, Ok(()), "{:?}", self.did);
    }

    async fn claim(&mut self) {
        let claims = self
            .store
            .claim(self.worker, at(self.now), at(self.now + 9_000), 9)
            .await;
        for claim in claims.expect("taken") {
            assert_eq!(
                (claim.run.id, self.state),
                (self.run, RunState::Queued),
                "{:?}",
                self.did
            );
            assert_eq!(
                claim.records.len(),
                usize::try_from(self.records).expect("few"),
                "{:?}",
                self.did
            );
            self.state = RunState::Running;
            self.lease = Some(claim.lease);
            (self.taken_at, self.known, self.entered) = (self.now, self.records, 0);
        }
    }

    async fn ask(&mut self, deadline: i64) {
        if self.lease.is_none() {
            return;
        }
        let number = u32::try_from(self.questions.len()).expect("few") + 1;
        let entry = Entry::Waiting {
            path: Self::path(number),
            step: Step {
                name: "approval".to_owned(),
                summary: String::new(),
                fingerprint: Self::fingerprint(number),
            },
            wait: Wait {
                deadline: at(deadline),
                poll_at: None,
                event: None,
                approval: Some(Asked {
                    reason: format!("pay {number}"),
                    group: None,
                    details: json!(null),
                }),
            },
        };
        self.append(Some(entry), None).await;
        self.questions.insert(number, Question::Open(deadline));
    }

    /// What the engine does with a question whose time is over.
    async fn time_out(&mut self) {
        let taken_at = self.taken_at;
        let over = |question: &Question| matches!(question, Question::Open(deadline) if *deadline <= taken_at);
        let found = self.questions.iter().find(|(_, question)| over(question));
        let Some((number, _)) = found.filter(|_| self.lease.is_some()) else {
            return;
        };
        let number = *number;
        let outcome = Outcome::Failure(Failure::new("timeout", "nobody"));
        let path = Self::path(number);
        self.append(Some(Entry::Outcome { path, outcome }), None).await;
        self.questions.insert(number, Question::Ended);
    }

    async fn settle(&mut self, settlement: Settlement) {
        if self.lease.is_none() {
            return;
        }
        if let Settlement::Waiting { wake_at, .. } = &settlement {
            self.wake_at = (*wake_at - at(0)).num_seconds();
        }
        self.state = match settlement.state() {
            RunState::Waiting | RunState::Queued if self.end_asked => RunState::Cancelled,
            RunState::Waiting if self.entered > 0 => RunState::Queued,
            state => state,
        };
        self.append(None, Some(settlement)).await;
        self.lease = None;
    }

    async fn cancel(&mut self) {
        let left = self.store.cancel(self.run, "tess", "a mistake", at(self.now)).await;
        match self.state {
            RunState::Running => self.end_asked = true,
            RunState::Queued | RunState::Pending | RunState::Waiting | RunState::Parked => {
                self.state = RunState::Cancelled;
            }
            RunState::Succeeded | RunState::Failed | RunState::Cancelled => return,
        }
        assert_eq!(left, Ok(self.state), "{:?}", self.did);
    }

    async fn resume(&mut self) {
        if self.state != RunState::Parked {
            return;
        }
        let again = Decision {
            run: self.run,
            path: None,
            resolution: Resolution::Retry,
            actor: "tess".to_owned(),
            reason: "looked".to_owned(),
            after: 0,
            at: at(self.now),
        };
        self.store.resolve(again).await.expect("it goes on");
        self.state = RunState::Queued;
    }

    async fn time_passes(&mut self, seconds: i64) {
        self.now += seconds;
        self.store.wake_due(at(self.now)).await.expect("looked");
        if self.state == RunState::Waiting && self.wake_at <= self.now {
            self.state = RunState::Queued;
        }
    }

    async fn answer(&mut self, number: u32, fits: bool, approved: bool) {
        let question = self.questions.get(&number).copied();
        let expected = match (self.state, question) {
            (RunState::Succeeded | RunState::Failed | RunState::Cancelled | RunState::Parked, _) => Said::Conflict,
            _ if self.end_asked => Said::Conflict,
            (_, None) => Said::Missing,
            (RunState::Running, Some(Question::Open(deadline))) if deadline <= self.taken_at => Said::Conflict,
            (_, Some(Question::Open(deadline))) if fits && self.now < deadline => Said::Taken,
            _ => Said::Conflict,
        };
        let decision = ApprovalDecision {
            run: self.run,
            path: Self::path(number),
            asked: Self::fingerprint(if fits { number } else { number + 1 }),
            approved,
            actor: "maria".to_owned(),
            reason: "seen".to_owned(),
            at: at(self.now),
        };
        let said = match self.store.decide(decision).await {
            Ok(()) => Said::Taken,
            Err(StoreError::NotFound(_)) => Said::Missing,
            Err(StoreError::Conflict(_)) => Said::Conflict,
            Err(other) => panic!("{other}"),
        };
        assert_eq!(said, expected, "question {number}, fits {fits}: {:?}", self.did);
        if said == Said::Taken {
            self.taken += 1;
            self.records += 1;
            self.entered += 1;
            self.questions.insert(number, Question::Ended);
            if self.state == RunState::Waiting {
                self.state = RunState::Queued;
            }
        }
    }

    async fn act(&mut self, random: &mut fastrand::Rng) {
        let kind = random.u8(..16);
        self.did.push(format!("{kind}:{}", self.state));
        match kind {
            0..=2 => self.claim().await,
            3 | 4 => self.ask(self.now + random.i64(1..30)).await,
            5 => self.time_out().await,
            6 | 7 => {
                let wake_at = at(self.now + random.i64(1..20));
                let (waits_for, seen) = (Vec::new(), EventMark::default());
                self.settle(Settlement::Waiting {
                    wake_at,
                    waits_for,
                    seen,
                })
                .await;
            }
            8 if random.u8(..3) == 0 => self.settle(Settlement::Queued).await,
            8 if random.u8(..4) == 0 => self.settle(Settlement::Parked { error: error() }).await,
            8 if random.u8(..8) == 0 => self.settle(Settlement::Failed { error: error() }).await,
            8 => self.resume().await,
            9 if random.u8(..8) == 0 => self.cancel().await,
            9 | 10 => self.time_passes(random.i64(0..8)).await,
            _ => {
                let asked = u32::try_from(self.questions.len()).expect("few");
                let (fits, approved) = (random.u8(..5) > 0, random.bool());
                self.answer(random.u32(1..=asked + 1), fits, approved).await;
            }
        }
    }

    /// Holds the journal against the model, and leaves nothing that the next case could take.
    async fn end(mut self) -> u32 {
        // A claim is answered before it is durable.
        self.store.durable().await.expect("all is written");
        let records = self.store.journal(self.run).await.expect("read");
        let decided = records.iter().filter(|record| record.entry.kind() == "decided");
        assert_eq!(
            u32::try_from(decided.count()).expect("few"),
            self.taken,
            "{:?}",
            self.did
        );
        let journal = Journal::from_records(records).expect("legal");
        assert_eq!(journal.last_seq(), self.records, "{:?}", self.did);
        let open = |question: &&Question| matches!(question, Question::Open(_));
        assert_eq!(
            journal.approvals().count(),
            self.questions.values().filter(open).count()
        );
        let run = self.store.run(self.run).await.expect("read").expect("there");
        assert_eq!(run.state, self.state, "{:?}", self.did);
        if self.lease.is_some() {
            self.settle(Settlement::Failed { error: error() }).await;
        } else {
            self.cancel().await;
        }
        self.taken
    }
}

fn error() -> RunError {
    RunError {
        code: "stopped".to_owned(),
        message: "stopped".to_owned(),
        trace: Vec::new(),
    }
}

/// Every so manieth case, on a store of its own. How many operations that was, and how many answers were taken.
async fn every(cases: impl Iterator<Item = u64>, seed: u64) -> (usize, u32) {
    let folder = tempfile::tempdir().expect("a folder");
    let options = SqliteOptions {
        durability: Durability::Normal,
        on_failure: OnFailure::Poison,
    };
    let store: Arc<dyn Store> = SqliteStore::open(folder.path(), options).await.expect("a store");
    let (mut operations, mut taken) = (0, 0);
    for number in cases {
        let mut random = fastrand::Rng::with_seed(seed.wrapping_add(number));
        let mut case = Case::new(store.clone()).await;
        case.did.push(format!("BURSAR_SEED={seed:#x}, case {number}"));
        let length = random.usize(1..=OPERATIONS_MAX);
        for _ in 0..length {
            case.act(&mut random).await;
        }
        operations += length;
        taken += case.end().await;
    }
    store.close().await.expect("closed");
    (operations, taken)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_taken_exactly_when_the_model_says_so() {
    let cases = number("BURSAR_APPROVAL_CASES", 1_000);
    let seed = number("BURSAR_SEED", fastrand::u64(..));
    let parts = (0..STORES).map(|part| {
        tokio::spawn(every(
            (part..cases).step_by(usize::try_from(STORES).expect("few")),
            seed,
        ))
    });
    let (mut operations, mut taken) = (0, 0);
    for part in parts.collect::<Vec<_>>() {
        let (did, answered) = part
            .await
            .unwrap_or_else(|error| panic!("BURSAR_SEED={seed:#x}: {error}"));
        operations += did;
        taken += answered;
    }
    report(&format!(
        "{cases} sequences of {operations} operations around approvals (BURSAR_SEED={seed:#x}, more with \
         BURSAR_APPROVAL_CASES=100000): {taken} answers taken"
    ));
    assert!(
        u64::from(taken) * 4 > cases,
        "{taken} answers in {cases} sequences show little"
    );
}
