//! Threads that help runs with their branches.
//!
//! A run never needs them: its own thread works on its branches as well, so that nothing waits for a thread that
//! waits for it, and a process without a free helper is slower but not stuck. A helper does one branch and then
//! takes the next from whoever has waited longest, so that a run with thousands of branches starves no other.
//!
//! This file must not know what a branch does.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use super::services::Services;
use super::turn::Turn;
use crate::base::limits::{BRANCH_THREAD_IDLE, BRANCH_THREADS_MAX};
use crate::script::{Interpreter, spawn_script_thread_with};

/// Does the part of this number on a helper's interpreter.
type Part = Box<dyn Fn(usize, &Interpreter<Turn>) + Send + Sync>;

/// Work in numbered parts, which any thread may do in any order.
pub(super) struct Work {
    part: Part,
    progress: Mutex<Progress>,
    rested: Condvar,
}

struct Progress {
    next: usize,
    end: usize,
    helping: usize,
}

impl Work {
    /// Work of this many parts.
    pub(super) fn new(parts: usize, part: impl Fn(usize, &Interpreter<Turn>) + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            part: Box::new(part),
            progress: Mutex::new(Progress {
                next: 0,
                end: parts,
                helping: 0,
            }),
            rested: Condvar::new(),
        })
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, helps: bool) -> Option<usize> {
        let mut progress = self.progress();
        let number = (progress.next < progress.end).then_some(progress.next)?;
        progress.next += 1;
        progress.helping += usize::from(helps);
        Some(number)
    }

    /// Does one part; `false` if none is left.
    fn help(&self, interpreter: &Interpreter<Turn>) -> bool {
        let Some(number) = self.take(true) else { return false };
        // Whoever waits must not wait for ever, whatever becomes of this thread.
        let _done = Done(self);
        (self.part)(number, interpreter);
        true
    }
}

struct Done<'a>(&'a Work);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.progress().helping -= 1;
        self.0.rested.notify_all();
    }
}

/// The helpers of a process.
#[derive(Default)]
pub(super) struct Helpers {
    office: Mutex<Office>,
    changed: Condvar,
}

#[derive(Default)]
struct Office {
    /// Each asks for one helper.
    asked: VecDeque<Arc<Work>>,
    threads: Vec<JoinHandle<()>>,
    running: usize,
    idle: usize,
    closed: bool,
}

impl Helpers {
    fn office(&self) -> MutexGuard<'_, Office> {
        self.office.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does all parts of some work: one after the other by `here`, on the thread that calls this, and others at the
    /// same time by up to so many helpers. Returns when all are done.
    pub(super) fn share(services: &Arc<Services>, work: &Arc<Work>, helpers: usize, here: impl Fn(usize)) {
        services.helpers.ask(services, work, helpers);
        while let Some(number) = work.take(false) {
            here(number);
        }
        services
            .helpers
            .office()
            .asked
            .retain(|other| !Arc::ptr_eq(other, work));
        let mut progress = work.progress();
        while progress.helping > 0 {
            progress = work.rested.wait(progress).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn ask(&self, services: &Arc<Services>, work: &Arc<Work>, helpers: usize) {
        let mut office = self.office();
        office.asked.extend(std::iter::repeat_n(Arc::clone(work), helpers));
        office.threads.retain(|thread| !thread.is_finished());
        let wanted = office.asked.len().saturating_sub(office.idle);
        for _ in 0..wanted.min(BRANCH_THREADS_MAX.saturating_sub(office.running)) {
            let (services, stack_bytes) = (Arc::clone(services), services.settings.stack_bytes);
            match spawn_script_thread_with(stack_bytes, "branch", move || services.helpers.serve(&services)) {
                Ok(thread) => {
                    office.threads.push(thread);
                    office.running += 1;
                }
                Err(error) => {
                    tracing::warn!(%error, "no thread to help with branches");
                    break;
                }
            }
        }
        drop(office);
        self.changed.notify_all();
    }

    /// What a helper does: parts of whatever is asked, until nothing was for a while.
    fn serve(&self, services: &Arc<Services>) {
        let interpreter = super::worker::interpreter(services);
        while let Some(work) = self.wait() {
            match catch_unwind(AssertUnwindSafe(|| work.help(&interpreter))) {
                Ok(true) => self.office().asked.push_back(work),
                Ok(false) => {}
                Err(_) => tracing::error!("a branch panicked; this is a bug"),
            }
        }
    }

    fn wait(&self) -> Option<Arc<Work>> {
        let mut office = self.office();
        loop {
            if let Some(work) = office.asked.pop_front() {
                return Some(work);
            }
            if office.closed {
                office.running -= 1;
                return None;
            }
            office.idle += 1;
            let (woken, time) = self
                .changed
                .wait_timeout(office, BRANCH_THREAD_IDLE)
                .unwrap_or_else(PoisonError::into_inner);
            office = woken;
            office.idle -= 1;
            if time.timed_out() && office.asked.is_empty() {
                office.running -= 1;
                return None;
            }
        }
    }

    /// Lets every helper end that has nothing to do, and waits for them. Nobody may ask any more.
    pub(super) fn close(&self) {
        let threads = {
            let mut office = self.office();
            office.closed = true;
            std::mem::take(&mut office.threads)
        };
        self.changed.notify_all();
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a helping thread ended badly");
            }
        }
    }
}
