//! Which claims a thread of this process drives now. No others keep their lease.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::base::ids::RunId;
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

    /// No thread drives it any more.
    pub(super) fn remove(&self, lease: &Lease) {
        self.claims().remove(&(lease.run, lease.fence));
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
