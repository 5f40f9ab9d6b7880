//! Many runs asked at once, each held against its own model: what concerns all of them, and how they come to their end.

use bursar::base::ids::WorkerId;
use bursar::model::run::RunState;
use bursar::store::{RunQuery, Store};
use futures_util::future::join_all;

use super::states::{Case, LEASE_SECS, OPERATIONS_MAX, TOGETHER, at};

/// Runs that are looked at together, the oldest first.
pub(super) struct Batch<'a> {
    store: &'a dyn Store,
    workers: [WorkerId; 2],
    now: i64,
    random: fastrand::Rng,
    cases: Vec<Case<'a>>,
}

impl<'a> Batch<'a> {
    pub(super) async fn new(store: &'a dyn Store, first: usize, count: usize, mut random: fastrand::Rng) -> Self {
        let number = i64::try_from(first).expect("small");
        // Most are short: what goes wrong mostly does so soon.
        let longest = [12, 12, 24, OPERATIONS_MAX][random.usize(..4)];
        let cases = (0..count).map(|_| Case::new(store, number, longest, random.fork()));
        let mut cases = join_all(cases.collect::<Vec<_>>()).await;
        cases.sort_by_key(|case| case.run);
        Self {
            store,
            workers: [WorkerId::generate(at(0)), WorkerId::generate(at(1))],
            now: 0,
            random,
            cases,
        }
    }

    /// A worker takes the oldest that are queued.
    async fn claim(&mut self, worker: WorkerId, limit: usize) {
        let until = self.now + LEASE_SECS;
        let limit_given = u32::try_from(limit).expect("few");
        let claims = self.store.claim(worker, at(self.now), at(until), limit_given).await;
        let mut claims = claims.expect("taken").into_iter();
        let queued = |case: &&mut Case<'_>| case.model.state == RunState::Queued;
        for case in self.cases.iter_mut().filter(queued).take(limit) {
            let claim = claims.next();
            let claim = claim.unwrap_or_else(|| panic!("it was not taken: {:?}", case.did));
            case.claimed(claim, until);
        }
        assert_eq!(claims.next().map(|claim| claim.run), None, "more than there are");
    }

    async fn time_passes(&mut self, seconds: i64) {
        self.now += seconds;
        let (count, next) = self.store.wake_due(at(self.now)).await.expect("looked");
        let woken = self.cases.iter_mut().map(|case| u64::from(case.time_passes(self.now)));
        assert_eq!(count, woken.sum::<u64>());
        let waiting = self.cases.iter().filter(|case| case.model.state == RunState::Waiting);
        assert_eq!(next, waiting.map(|case| at(case.model.wake_at)).min());
    }

    /// What concerns all of them.
    async fn act(&mut self) {
        let worker = self.workers[self.random.usize(..2)];
        match self.random.u8(..24) {
            0..=7 => {
                let limit = [1, TOGETHER / 2, TOGETHER][self.random.usize(..3)];
                self.claim(worker, limit).await;
            }
            8..=10 => {
                let seconds = self.random.i64(0..25);
                self.time_passes(seconds).await;
            }
            11 => {
                let running = self.cases.iter().filter(|case| case.model.state == RunState::Running);
                let running = u64::try_from(running.count()).expect("few");
                assert_eq!(self.store.reclaim_all(at(self.now)).await, Ok(running));
                self.cases.iter_mut().for_each(Case::comes_back);
            }
            12..=13 => {
                let until = self.now + LEASE_SECS;
                let some = self.cases.iter_mut().filter(|_| self.random.bool());
                let mut runs = Vec::new();
                for case in some {
                    runs.push(case.run);
                    if let Some((lease, lasts)) = &mut case.model.held
                        && lease.worker == worker
                    {
                        *lasts = until;
                    }
                }
                assert_eq!(self.store.renew(worker, runs, at(until)).await, Ok(()));
            }
            _ => {}
        }
    }

    /// A claim is answered before it is durable: what is asked for after it waits for it.
    async fn compare(&self) {
        let nothing = self.store.renew(self.workers[0], Vec::new(), at(self.now)).await;
        assert_eq!(nothing, Ok(()));
        let limit = u32::try_from(self.cases.len()).expect("few");
        let query = RunQuery {
            limit,
            ..RunQuery::default()
        };
        let mut runs = self.store.runs(query).await.expect("read");
        runs.sort_by_key(|run| run.id);
        assert_eq!(runs.len(), self.cases.len());
        for (case, run) in self.cases.iter().zip(&runs) {
            case.compare(run);
        }
    }

    /// Asks whatever is to be asked; answers how much that was.
    pub(super) async fn run(&mut self) -> usize {
        while self.cases.iter().any(|case| case.operations_left > 0) {
            self.act().await;
            let left = self.cases.iter_mut().filter(|case| case.operations_left > 0);
            join_all(left.map(Case::act)).await;
            if self.random.u8(..8) == 0 {
                self.compare().await;
            }
        }
        self.compare().await;
        join_all(self.cases.iter().map(Case::compare_journal)).await;
        self.cases.iter().map(|case| case.did.len()).sum()
    }

    /// Ends the runs, so that the next ones are alone.
    pub(super) async fn end(mut self) {
        while self.cases.iter().any(|case| !case.model.state.is_final()) {
            join_all(self.cases.iter_mut().map(Case::end)).await;
            self.time_passes(100).await;
            self.claim(self.workers[0], TOGETHER).await;
        }
    }
}
