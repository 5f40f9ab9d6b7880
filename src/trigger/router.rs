//! Events become runs: one task reads what was admitted, in order, and makes the runs it starts.
//!
//! How far it came stands in the store and moves in the same write that makes the runs, so an event is routed once,
//! whatever ends the process in between. A nudge makes it quick, nothing more: without one it looks once a second.
//! Under a flood acknowledgements go first: while more runs are queued than workers can take, few are made; events keep
//! as well as runs do, and a run that waits for one was woken when it came in. What an event starts is said by the
//! workflows there are when its turn comes (one that does not load hears of it later, see `behind`); which of them did not
//! take it, and why, is kept in the same write. What tells of a resource that it stands where it has long been, or where it
//! is no more, starts nothing. Must not run scripts, and must not be stopped by one event that cannot be read.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::behind::{Behind, newly_behind};
use super::listen::{Heard, hear};
use super::versions::KnownVersions;
use super::webhook::Connections;
use super::{new_run, run_id};
use crate::base::clock::{Clock, Instant};
use crate::base::fault_point::{FaultPoint, reach};
use crate::base::guard::{Guard, holds};
use crate::base::ids::RunId;
use crate::base::limits::{QUEUED_RUNS_ENOUGH, ROUTED_BYTES_MAX, ROUTED_EVENTS_MAX, ROUTING_PAUSE};
use crate::base::shutdown::Shutdown;
use crate::base::wake::Wake;
use crate::catalog::watch::Catalog;
use crate::model::event::{Event, EventFilter, Matching};
use crate::model::fate::{Declined, Why};
use crate::model::run::{Cause, EventMark, NewRun, RunEvent};
use crate::model::workflow::Workflow;
use crate::store::{Routing, Store, StoreError, Unrouted};

/// How often it looks by itself, and how long it pauses when the store does not answer.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The run of a workflow that takes an event.
pub(super) fn run_for(workflow: &Workflow, secret: &[u8; 32], mark: EventMark, event: &Event, now: Instant) -> NewRun {
    let cause = Cause::Webhook { event: event.id };
    // An event that does not say when it happened gives no id that would come again.
    let id = event.occurred_at.map_or_else(
        || RunId::generate(now),
        |at| run_id(workflow, secret, at, ["webhook", &event.connection, &event.provider_id]),
    );
    let mut run = new_run(workflow, id, cause, RunEvent::Admitted(mark), now);
    run.concurrency = workflow
        .concurrency
        .as_ref()
        .map(|spec| spec.of(&event.as_document(), &workflow.params));
    run
}

/// What to do after a look; of two, the later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Next {
    /// There are no events: wait for one.
    Listen,
    /// There may be more events: look again.
    Again,
    /// There are runs enough: let events wait until workers have taken some.
    Gather,
}

/// Makes runs from admitted events.
pub struct Router {
    /// Where events are, and runs go.
    pub store: Arc<dyn Store>,
    /// Which workflows there are.
    pub catalog: Catalog,
    /// Whose events they are.
    pub connections: Arc<Connections>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Who tells of new events.
    pub arrived: Wake,
    /// Whom to tell of new runs.
    pub wake: Wake,
    /// Versions that need not be saved again.
    pub versions: Arc<KnownVersions>,
    /// Which workflows have not heard all.
    pub behind: Behind,
}

impl Router {
    /// Routes until it is told to stop, then ends after its present batch. What is left is routed at the next start.
    pub async fn run(self, mut shutdown: Shutdown) {
        while !shutdown.is_requested() {
            let next = self.route_some().await.unwrap_or_else(|error| {
                tracing::error!(%error, "events could not be routed; they wait");
                Next::Listen
            });
            match next {
                Next::Again => {}
                Next::Gather => tokio::select! {
                    () = self.clock.sleep(ROUTING_PAUSE) => {}
                    () = shutdown.requested() => {}
                },
                Next::Listen => tokio::select! {
                    () = self.arrived.nudged() => {}
                    () = self.clock.sleep(LOOK_EVERY) => {}
                    () = shutdown.requested() => {}
                },
            }
        }
    }

    /// Makes the runs of the next events, if there are any.
    ///
    /// # Errors
    /// What the store says. Nothing was made, or the store did not say that it was.
    pub async fn route_some(&self) -> Result<Next, StoreError> {
        let snapshot = self.catalog.current();
        if self.behind.nobody_knows(&snapshot) {
            return Ok(Next::Listen);
        }
        let unrouted = self.store.unrouted(ROUTED_EVENTS_MAX, ROUTED_BYTES_MAX).await?;
        let mut behind = self.behind.take(self.store.as_ref()).await?;
        let mut next = self.catch_up(&snapshot, &mut behind, unrouted.after).await?;
        if let Some((up_to, _)) = unrouted.events.last() {
            let up_to = *up_to;
            let broken = newly_behind(&snapshot, &behind);
            let workflows = snapshot.workflows.values().map(Arc::as_ref);
            let asked: Vec<&Workflow> = workflows.filter(|workflow| !behind.contains(&workflow.name)).collect();
            behind.extend(broken.iter().cloned());
            let routing = Routing {
                up_to,
                behind: broken,
                ..Routing::default()
            };
            next = next.max(self.offer(&asked, unrouted, routing).await?);
        }
        self.behind.keep(behind);
        Ok(next)
    }

    /// Asks these workflows about these events, makes the runs of those that take them, and moves the cursor.
    pub(super) async fn offer(
        &self,
        workflows: &[&Workflow],
        unrouted: Unrouted,
        routing: Routing,
    ) -> Result<Next, StoreError> {
        let mut events = Vec::with_capacity(unrouted.events.len());
        for (mark, event) in unrouted.events {
            match event {
                Ok(event) => events.push((mark, event)),
                Err(error) => {
                    tracing::error!(mark = mark.0, %error, "an event that cannot be read starts nothing; its sender has to send it again under another id");
                }
            }
        }
        let secret = self.store.installation_secret().await?;
        let heard = hear(&self.catalog, workflows, &events)
            .await
            .map_err(|error| StoreError::Unavailable(format!("conditions cannot be asked: {error}")))?;
        let now = self.clock.now();
        let mut runs = Vec::new();
        let mut declined = Vec::new();
        let mut versions = BTreeMap::new();
        for mut heard in heard {
            self.leave_old_news(&mut heard).await?;
            for workflow in heard.takers {
                runs.push(run_for(workflow, &secret, heard.mark, &heard.event, now));
                versions.insert(&workflow.name, &workflow.version);
            }
            if !heard.declined.is_empty() {
                declined.push((heard.mark, heard.declined));
            }
        }
        for version in versions.into_values() {
            self.versions.keep(self.store.as_ref(), version).await?;
        }
        reach(FaultPoint::EventsUnrouted);
        let routed = self.store.route(Routing {
            after: unrouted.after,
            runs,
            declined,
            ..routing
        });
        // Now rather than when it is durable: a claim that is queued behind this write finds the runs.
        self.wake.nudge();
        let routed = routed.await?;
        reach(FaultPoint::RunsMade);
        tracing::debug!(events = events.len(), runs = routed.runs, "events were routed");
        let is_enough = routed.queued >= u64::from(QUEUED_RUNS_ENOUGH);
        Ok(if is_enough { Next::Gather } else { Next::Again })
    }

    /// Takes an event from all who would take it, if the same or something later was told of its resource before. The
    /// order is that of admission, so whoever asks again is told the same.
    async fn leave_old_news(&self, heard: &mut Heard<'_>) -> Result<(), StoreError> {
        let event = &heard.event;
        let connection = self.connections.get(&event.connection);
        let outdating = connection.map_or_else(Vec::new, |known| known.connector.outdating(&event.kind));
        let Some(subject) = event.subject.clone() else {
            return Ok(());
        };
        if heard.takers.is_empty() || outdating.is_empty() || !holds(Guard::OldNews) {
            return Ok(());
        }
        let filter = EventFilter {
            connection: event.connection.clone(),
            types: outdating.into_iter().map(str::to_owned).collect(),
            subject: Some(subject),
            matching: Matching::default(),
            after: EventMark::default(),
            since: None,
            except: Vec::new(),
        };
        // Among those types is its own: what is found first, if not itself, came before.
        let (first, _) = self.store.find_event(filter).await?;
        let Some(earlier) = first.filter(|first| first.id != event.id) else {
            return Ok(());
        };
        tracing::info!(event = %event.id, kind = event.kind, earlier = %earlier.id, "an event is old news and starts nothing");
        let taken = std::mem::take(&mut heard.takers).into_iter();
        heard.declined.extend(taken.map(|workflow| Declined {
            workflow: workflow.name.clone(),
            why: Why::outdated(&earlier),
        }));
        Ok(())
    }
}
