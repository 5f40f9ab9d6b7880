//! Where taken runs wait for a script thread. One run wakes one thread, which a shared receiver cannot promise.
//! This file must not know what is done with a run.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::store::Claim;

/// The queue between the dispatcher and the script threads.
#[derive(Default)]
pub(super) struct Inbox {
    contents: Mutex<Contents>,
    changed: Condvar,
}

#[derive(Default)]
struct Contents {
    claims: VecDeque<Claim>,
    closed: bool,
}

impl Inbox {
    /// Hands a run to whoever is free first.
    pub(super) fn put(&self, claim: Claim) {
        self.lock().claims.push_back(claim);
        self.changed.notify_one();
    }

    /// The next run; none when the inbox is closed and empty.
    pub(super) fn take(&self) -> Option<Claim> {
        let mut contents = self.lock();
        loop {
            if let Some(claim) = contents.claims.pop_front() {
                return Some(claim);
            }
            if contents.closed {
                return None;
            }
            contents = self.changed.wait(contents).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Lets every thread end that finds nothing more in it.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
