//! Which claims a thread of this process drives now. No others keep their lease.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::base::ids::RunId;
use crate::base::wake::Wake;
use crate::store::Lease;

/// The claims being driven. A claim is told by run and fence, because a run may be taken again while the thread
/// that had it is still putting its tools away.
#[derive(Debug, Clone, Default)]
pub(super) struct Live(Arc<Mutex<BTreeSet<(RunId, i64)>>>);

impl Live {
    /// A thread will drive this claim.
    pub(super) fn add(&self, lease: &Lease) {
        self.claims().insert((lease.run, lease.fence));
    }

    /// Until what is given back is dropped, this thread drives the claim; then `freed` is nudged.
    pub(super) fn drive<'a>(&'a self, lease: &Lease, freed: &'a Wake) -> Driven<'a> {
        Driven {
            live: self,
            freed,
            claim: (lease.run, lease.fence),
        }
    }

    /// The runs being driven.
    pub(super) fn runs(&self) -> Vec<RunId> {
        self.claims().iter().map(|(run, _)| *run).collect()
    }

    /// How many claims are being driven.
    pub(super) fn count(&self) -> usize {
        self.claims().len()
    }

    fn claims(&self) -> MutexGuard<'_, BTreeSet<(RunId, i64)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A claim while a thread drives it: whatever becomes of the thread, it ends.
pub(super) struct Driven<'a> {
    live: &'a Live,
    freed: &'a Wake,
    claim: (RunId, i64),
}

impl Drop for Driven<'_> {
    fn drop(&mut self) {
        self.live.claims().remove(&self.claim);
        self.freed.nudge();
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;
    use crate::base::clock::Instant;
    use crate::base::ids::WorkerId;

    #[tokio::test]
    async fn a_claim_is_driven_no_more_when_its_thread_fails() {
        let (live, freed) = (Live::default(), Wake::new());
        let lease = Lease {
            run: RunId::generate(Instant::UNIX_EPOCH),
            worker: WorkerId::generate(Instant::UNIX_EPOCH),
            fence: 1,
        };
        live.add(&lease);
        let ended = catch_unwind(AssertUnwindSafe(|| {
            let _driven = live.drive(&lease, &freed);
            panic!("the thread fails");
        }));
        assert!(ended.is_err());
        assert_eq!(live.count(), 0);
        freed.nudged().await;
    }
}
