//! Workflows that do not load, from the start of the process on: nobody can say which events are theirs, so each has a
//! cursor of its own, which stays where the others went on without it.
//!
//! It hears of all that came meanwhile, in its order, as soon as it loads; the others never wait for it. One whose files
//! were taken away for minutes is forgotten: what bears its name later begins anew. While nobody knows what workflows there are, and
//! none stands, nothing is routed at all. Must not decide who takes an event.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::router::{Next, Router};
use crate::base::guard::{Guard, holds};
use crate::base::limits::{ROUTED_BYTES_MAX, ROUTED_EVENTS_MAX};
use crate::catalog::snapshot::Snapshot;
use crate::model::run::EventMark;
use crate::model::workflow::Workflow;
use crate::store::{Routing, Store, StoreError};

/// How long a workflow has to be gone before its events are: files that are replaced are not there for a moment.
const GONE_AFTER: Duration = Duration::from_secs(600);

/// What the router knows of workflows that are behind.
#[derive(Debug, Default)]
pub struct Behind {
    /// Their names, as the store has them; nothing while they have to be read.
    names: Mutex<Option<BTreeSet<String>>>,
    /// Since when those of them are gone that are, by the clock that never goes back.
    gone: Mutex<BTreeMap<String, Duration>>,
    /// Whether it was said that nobody knows what workflows there are.
    was_told: AtomicBool,
}

impl Behind {
    /// Whether nobody knows what workflows there are, which is said once. What has loaded before stands all the same.
    pub(super) fn nobody_knows(&self, snapshot: &Snapshot) -> bool {
        let is_unknown = snapshot.unknown && snapshot.workflows.is_empty() && holds(Guard::UnknownWaits);
        if !self.was_told.swap(is_unknown, Ordering::Relaxed) && is_unknown {
            tracing::error!(
                "nobody knows what workflows there are, so no event makes a run: they are kept, and wait; `bursar check` says why"
            );
        }
        is_unknown
    }

    /// Whether a workflow was taken away for good. A folder without any is one that is not mounted.
    fn is_gone(&self, name: &str, snapshot: &Snapshot, elapsed: Duration) -> bool {
        let is_known = snapshot.workflows.contains_key(name) || snapshot.broken.contains(name);
        let is_none = snapshot.workflows.is_empty() && snapshot.broken.is_empty();
        let mut gone = self.gone.lock().unwrap_or_else(PoisonError::into_inner);
        if is_known || is_none || snapshot.unknown {
            gone.remove(name);
            return false;
        }
        let since = *gone.entry(name.to_owned()).or_insert(elapsed);
        elapsed.saturating_sub(since) >= GONE_AFTER
    }

    /// Their names, to be given back by [`Self::keep`] if all went well; else they are read again.
    pub(super) async fn take(&self, store: &dyn Store) -> Result<BTreeSet<String>, StoreError> {
        let kept = self.names.lock().unwrap_or_else(PoisonError::into_inner).take();
        match kept {
            Some(names) => Ok(names),
            None => store.behind().await,
        }
    }

    pub(super) fn keep(&self, names: BTreeSet<String>) {
        *self.names.lock().unwrap_or_else(PoisonError::into_inner) = Some(names);
    }
}

/// The workflows that do not load and have missed nothing yet.
pub(super) fn newly_behind(snapshot: &Snapshot, behind: &BTreeSet<String>) -> Vec<String> {
    let broken = snapshot.broken.difference(behind).filter(|_| holds(Guard::BrokenWaits));
    let broken: Vec<String> = broken.cloned().collect();
    for workflow in &broken {
        tracing::error!(
            workflow,
            "a workflow does not load: events are kept for it, and make their runs as soon as it does; `bursar check` says what is wrong"
        );
    }
    broken
}

impl Router {
    /// Has the workflows that are behind, and load now, hear of the next events that they missed.
    pub(super) async fn catch_up(
        &self,
        snapshot: &Snapshot,
        behind: &mut BTreeSet<String>,
        routed: EventMark,
    ) -> Result<Next, StoreError> {
        let mut next = Next::Listen;
        for name in behind.clone() {
            let workflow = snapshot.workflows.get(&name);
            let is_gone = self.behind.is_gone(&name, snapshot, self.clock.elapsed());
            if workflow.is_none() && !(is_gone && holds(Guard::GoneForgotten)) {
                continue;
            }
            let missed = self.store.unrouted_by(&name, ROUTED_EVENTS_MAX, ROUTED_BYTES_MAX);
            let mut missed = missed.await?;
            if is_gone {
                tracing::warn!(
                    workflow = name,
                    "a workflow that did not load was taken away: no event waits for it any more"
                );
                missed.events.clear();
            } else {
                tracing::warn!(
                    workflow = name,
                    events = missed.events.len(),
                    "a workflow loads again and hears of events that it missed"
                );
            }
            let up_to = missed.events.last().map_or(routed, |(mark, _)| *mark);
            let asked: Vec<&Workflow> = workflow.map(AsRef::as_ref).into_iter().collect();
            let routing = Routing {
                of: Some(name.clone()),
                up_to,
                ..Routing::default()
            };
            next = next.max(self.offer(&asked, missed, routing).await?);
            if up_to == routed {
                behind.remove(&name);
            }
        }
        Ok(next)
    }
}
