//! Where taken runs wait for a script thread. This file must not know what is done with a run.
//!
//! One run wakes one thread, which a shared receiver cannot promise; and it wakes the one that rested least. What a
//! thread has at hand is then still in the processor's cache, and threads that are never needed stay small.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::Thread;

use crate::store::Claim;

/// The queue between the dispatcher and the script threads.
#[derive(Default)]
pub(super) struct Inbox(Mutex<Contents>);

#[derive(Default)]
struct Contents {
    claims: VecDeque<Claim>,
    /// Threads with nothing to do; the last one has rested least.
    resting: Vec<Thread>,
    closed: bool,
}

impl Inbox {
    /// Hands a run to whoever is free first.
    pub(super) fn put(&self, claim: Claim) {
        let mut contents = self.lock();
        contents.claims.push_back(claim);
        let woken = contents.resting.pop();
        drop(contents);
        if let Some(thread) = woken {
            thread.unpark();
        }
    }

    /// The next run; none when the inbox is closed and empty.
    pub(super) fn take(&self) -> Option<Claim> {
        let this = std::thread::current();
        loop {
            let mut contents = self.lock();
            // Woken by nobody, it still stands there.
            contents.resting.retain(|thread| thread.id() != this.id());
            if let Some(claim) = contents.claims.pop_front() {
                return Some(claim);
            }
            if contents.closed {
                return None;
            }
            contents.resting.push(this.clone());
            drop(contents);
            std::thread::park();
        }
    }

    /// Lets every thread end that finds nothing more in it.
    pub(super) fn close(&self) {
        let mut contents = self.lock();
        contents.closed = true;
        for thread in contents.resting.drain(..) {
            thread.unpark();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Contents> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
