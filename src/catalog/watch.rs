//! Watching: an edit becomes a new snapshot a moment after the last byte of it was written.
//!
//! A thread owns the watcher of the file system, waits for a quiet moment, makes the watcher anew (editors and
//! mounts replace what was watched) and loads. Watchers lose events and die silently, so the files are also
//! read every few seconds, whatever was told.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecursiveMode, Watcher as _};
use tokio::sync::watch;

use super::files::Folders;
use super::judge::{Judge, Question, Verdict};
use super::load::{Context, judge};
use super::snapshot::Snapshot;
use crate::base::clock::Clock;
use crate::base::ids::Digest;

/// The current workflows: cheap to clone, shared by everything that starts runs.
#[derive(Clone)]
pub struct Catalog {
    shared: Arc<Shared>,
}

struct Shared {
    folders: Folders,
    context: Context,
    /// The digest of the files the current snapshot was made of. Held while loading: one load at a time.
    seen: Mutex<Option<Digest>>,
    current: watch::Sender<Arc<Snapshot>>,
    /// From the first condition on that is an expression.
    judge: Mutex<Option<Arc<Judge>>>,
}

impl Catalog {
    /// The catalog of these folders, loaded once.
    pub fn open(folders: Folders, context: Context) -> Self {
        let catalog = Self {
            shared: Arc::new(Shared {
                folders,
                context,
                seen: Mutex::new(None),
                current: watch::Sender::new(Arc::new(Snapshot::default())),
                judge: Mutex::new(None),
            }),
        };
        catalog.reload_now();
        catalog
    }

    /// The workflows as last loaded.
    pub fn current(&self) -> Arc<Snapshot> {
        Arc::clone(&self.shared.current.borrow())
    }

    /// Tells of every snapshot that differs from the one before.
    pub fn changed(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.shared.current.subscribe()
    }

    /// Asks conditions; the answers come in the order of the questions.
    ///
    /// # Errors
    /// When there is no thread for it. Asking again may help.
    pub async fn judge(&self, questions: Vec<Question>) -> std::io::Result<Vec<Verdict>> {
        if questions.is_empty() {
            return Ok(Vec::new());
        }
        let judge = {
            let mut kept = self.shared.judge.lock().unwrap_or_else(PoisonError::into_inner);
            match &*kept {
                Some(judge) => Arc::clone(judge),
                None => Arc::clone(kept.insert(Arc::new(Judge::start()?))),
            }
        };
        if let Some(verdicts) = judge.ask(questions).await {
            return Ok(verdicts);
        }
        // Its thread has ended, which it does not do by itself: the next question gets another.
        *self.shared.judge.lock().unwrap_or_else(PoisonError::into_inner) = None;
        Err(std::io::Error::other("the thread of conditions has ended"))
    }

    /// Reads the folders now. The snapshot is the same as before if the files are.
    pub fn reload_now(&self) -> Arc<Snapshot> {
        self.reload();
        self.current()
    }

    fn reload(&self) {
        let Shared {
            folders,
            context,
            seen,
            current,
            judge: _,
        } = &*self.shared;
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        let files = folders.read();
        let digest = files.digest();
        if *seen == Some(digest) {
            return;
        }
        let next = Snapshot::next(&current.borrow(), judge(&files, folders, context));
        *seen = Some(digest);
        current.send_if_modified(|before| {
            let differs = before.generation != next.generation;
            if differs {
                tell(&next);
                *before = Arc::new(next);
            }
            differs
        });
    }
}

fn tell(snapshot: &Snapshot) {
    let errors = snapshot.diagnostics().filter(|finding| finding.is_error()).count();
    let (generation, workflows, outdated) = (snapshot.generation, snapshot.workflows.len(), snapshot.outdated.len());
    if errors == 0 {
        tracing::info!(generation, workflows, "workflows loaded");
    } else {
        tracing::warn!(
            generation,
            workflows,
            outdated,
            errors,
            "workflows loaded, not all: `bursar check` says why"
        );
    }
}

/// How the watcher paces itself.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// How long nothing may have changed before the files are read.
    pub quiet: Duration,
    /// How long changes may go on before the files are read all the same.
    pub patience: Duration,
    /// How often the files are read without being told of a change.
    pub poll: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            quiet: Duration::from_millis(200),
            patience: Duration::from_secs(2),
            poll: Duration::from_secs(5),
        }
    }
}

/// Keeps a catalog up to date for as long as it lives.
pub struct Watcher {
    signals: Sender<Signal>,
    thread: Option<JoinHandle<()>>,
}

/// What the thread is told.
enum Signal {
    /// Something in the folders may have changed.
    Changed,
    /// The watcher cannot be relied on any more.
    Broken(String),
    /// It is time to go.
    Stop,
}

impl Watcher {
    /// Starts watching the folders of a catalog.
    ///
    /// # Errors
    /// When the system refuses a thread. A watcher that cannot be made is no error: the files are read
    /// from time to time all the same.
    pub fn start(catalog: Catalog, clock: Arc<dyn Clock>, pace: Pace) -> std::io::Result<Self> {
        let (signals, received) = channel();
        let watching = Watching {
            catalog,
            clock,
            pace,
            signals: signals.clone(),
            received,
            system: None,
        };
        let thread = std::thread::Builder::new()
            .name("catalog-watch".to_owned())
            .spawn(move || watching.run())?;
        Ok(Self {
            signals,
            thread: Some(thread),
        })
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        // Both fail only if the thread is gone already, which is what is wanted.
        let told = self.signals.send(Signal::Stop).is_ok();
        if let (true, Some(thread)) = (told, self.thread.take()) {
            drop(thread.join());
        }
    }
}

/// What the thread owns.
struct Watching {
    catalog: Catalog,
    clock: Arc<dyn Clock>,
    pace: Pace,
    signals: Sender<Signal>,
    received: Receiver<Signal>,
    /// Held for what it does: events end when it is dropped.
    system: Option<notify::RecommendedWatcher>,
}

impl Watching {
    fn run(mut self) {
        loop {
            // In this order, so that no change falls in between. Made anew each time: a folder that was
            // replaced is another one to the system, and says nothing when it goes.
            self.rebuild();
            self.catalog.reload();
            match self.received.recv_timeout(self.pace.poll) {
                Ok(Signal::Stop) | Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => continue,
                Ok(Signal::Changed) => {}
                Ok(Signal::Broken(problem)) => {
                    tracing::warn!(error = problem, "The watcher of the workflows broke and is made anew.");
                }
            }
            if !self.wait_for_quiet() {
                return;
            }
        }
    }

    /// Waits until nothing has changed for a moment; false when it is time to go.
    fn wait_for_quiet(&self) -> bool {
        let began = self.clock.elapsed();
        loop {
            match self.received.recv_timeout(self.pace.quiet) {
                Ok(Signal::Stop) | Err(RecvTimeoutError::Disconnected) => return false,
                Err(RecvTimeoutError::Timeout) => return true,
                Ok(Signal::Changed | Signal::Broken(_)) => {
                    if self.clock.elapsed().saturating_sub(began) >= self.pace.patience {
                        return true;
                    }
                }
            }
        }
    }

    fn rebuild(&mut self) {
        self.system = None;
        let signals = self.signals.clone();
        let made = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let signal = match event {
                Ok(event) if event.need_rescan() || changes(event.kind) => Signal::Changed,
                Ok(_) => return,
                Err(problem) => Signal::Broken(problem.to_string()),
            };
            // Fails only when the thread has gone, and then nobody wants to know.
            drop(signals.send(signal));
        });
        self.system = match made {
            Ok(mut system) => {
                watch_all(&mut system, &self.catalog.shared.folders);
                Some(system)
            }
            Err(problem) => {
                tracing::warn!(error = %problem, "The workflows cannot be watched; they are read every few seconds.");
                None
            }
        };
    }
}

/// Manifests and calendars stand directly in their folders, scripts also below theirs. A folder that is missing is tried
/// again with the next reading.
fn watch_all(system: &mut notify::RecommendedWatcher, folders: &Folders) {
    let all = [
        (&folders.workflows, RecursiveMode::NonRecursive),
        (&folders.scripts, RecursiveMode::Recursive),
        (&folders.calendars, RecursiveMode::NonRecursive),
    ];
    for (folder, mode) in all {
        if let Err(problem) = system.watch(folder, mode) {
            tracing::debug!(error = %problem, "A folder of the workflows cannot be watched.");
        }
    }
}

/// Whether an event can mean another text. Our own reading opens and closes files, and must not wake us.
fn changes(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(kind) => kind == AccessKind::Close(AccessMode::Write),
        EventKind::Any | EventKind::Create(_) | EventKind::Modify(_) | EventKind::Remove(_) | EventKind::Other => true,
    }
}

#[cfg(test)]
mod tests {
    use notify::event::{CreateKind, DataChange, ModifyKind, RemoveKind, RenameMode};

    use super::*;

    #[test]
    fn our_own_reading_does_not_wake_us_and_every_kind_of_saving_does() {
        let check = |kind: EventKind, expected: bool| assert_eq!(changes(kind), expected, "{kind:?}");
        check(EventKind::Access(AccessKind::Open(AccessMode::Any)), false);
        check(EventKind::Access(AccessKind::Read), false);
        check(EventKind::Access(AccessKind::Close(AccessMode::Read)), false);
        check(EventKind::Access(AccessKind::Close(AccessMode::Write)), true);
        check(EventKind::Modify(ModifyKind::Data(DataChange::Any)), true);
        check(EventKind::Modify(ModifyKind::Name(RenameMode::To)), true);
        check(EventKind::Create(CreateKind::File), true);
        check(EventKind::Remove(RemoveKind::File), true);
        check(EventKind::Any, true);
    }
}
