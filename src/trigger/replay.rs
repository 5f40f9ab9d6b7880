//! Replays: a stored event makes the runs it has not made, or, if a person says so, one more.
//!
//! A workflow that was added, or whose condition was mended, takes an event that came before. What has its run is left
//! alone: a second one may pay a second time, so it is asked for by name, with a reason, and its number says which one it
//! is: asked for twice it is made once. Must not make a run that the workflow's conditions refuse.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::listen::hear;
use super::router::run_for;
use super::versions::KnownVersions;
use super::{new_run, run_id};
use crate::base::clock::Instant;
use crate::base::ids::{EventId, RunId};
use crate::catalog::snapshot::Snapshot;
use crate::catalog::watch::Catalog;
use crate::model::event::Event;
use crate::model::fate::{Fate, RunOf};
use crate::model::run::{Cause, NewRun};
use crate::model::workflow::Workflow;
use crate::store::{Made, Store, StoreError};

/// Why an event cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// It is not kept.
    #[error("{0} does not exist")]
    NotThere(EventId),
    /// Its first turn has not come.
    #[error("{0} has not made its runs yet: the daemon does that")]
    NotRouted(EventId),
    /// The workflow that was named does not take it.
    #[error("workflow `{workflow}` does not take the event: {why}")]
    NotTaken {
        /// The workflow.
        workflow: String,
        /// Why.
        why: String,
    },
    /// Another one was made meanwhile.
    #[error("workflow `{workflow}` has {found} runs of the event, not {expected}: look again")]
    Changed {
        /// The workflow.
        workflow: String,
        /// How many there were when it was looked.
        expected: u32,
        /// How many there are.
        found: u32,
    },
    /// Conditions cannot be asked.
    #[error("conditions cannot be asked: {0}")]
    Conditions(#[from] std::io::Error),
    /// The store could not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a replay would do for one workflow that takes the event.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Choice {
    /// The workflow's name.
    pub workflow: String,
    /// The runs it has of the event; none: one would be made.
    pub earlier: Vec<RunOf>,
}

/// That a run is made although there are some.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Again {
    /// How many there are, as whoever decides has seen.
    pub beside: u32,
    /// Why.
    pub reason: String,
}

/// What a replay came to for one workflow that takes the event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replayed {
    /// The workflow's name.
    pub workflow: String,
    /// What became of it.
    pub became: Became,
}

/// What became of a replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Became {
    /// A new run.
    Made {
        /// The run.
        run: RunId,
    },
    /// Nothing: it has its run.
    Known,
    /// Nothing: its `concurrency` skips what would overlap with an open run.
    Overlapping {
        /// The open run.
        behind: RunId,
    },
}

/// Where events and workflows are.
pub struct Replay<'a> {
    /// Events, and runs.
    pub store: &'a dyn Store,
    /// Workflows, and their conditions.
    pub catalog: &'a Catalog,
    /// Versions that need not be saved again.
    pub versions: &'a KnownVersions,
}

impl Replay<'_> {
    /// What a replay would do: each workflow that takes the event now, or the one that is named.
    ///
    /// # Errors
    /// [`ReplayError`].
    pub async fn plan(&self, event: EventId, workflow: Option<&str>) -> Result<Vec<Choice>, ReplayError> {
        let snapshot = self.catalog.current();
        let (_, fate, takers) = self.takers(&snapshot, event, workflow).await?;
        let choices = takers.into_iter().map(|workflow| choice(&fate, &workflow.name));
        Ok(choices.collect())
    }

    /// Makes the run of each workflow that takes the event and has none; or one more of the one that is named. Says of
    /// each what became of it.
    ///
    /// # Errors
    /// [`ReplayError`]; of several runs some may be made.
    pub async fn make(
        &self,
        event: EventId,
        workflow: Option<&str>,
        again: Option<&Again>,
        actor: &str,
        now: Instant,
    ) -> Result<Vec<Replayed>, ReplayError> {
        let snapshot = self.catalog.current();
        let (event, fate, takers) = self.takers(&snapshot, event, workflow).await?;
        let secret = self.store.installation_secret().await?;
        let mut replayed = Vec::new();
        for workflow in takers {
            let mut tell = |became| {
                let workflow = workflow.name.clone();
                replayed.push(Replayed { workflow, became });
            };
            let earlier = choice(&fate, &workflow.name).earlier.len();
            let earlier = u32::try_from(earlier).unwrap_or(u32::MAX);
            let run = match again {
                None if earlier > 0 => {
                    tell(Became::Known);
                    continue;
                }
                None => run_for(workflow, &secret, fate.mark, &event, now),
                Some(again) if again.beside != earlier => {
                    return Err(ReplayError::Changed {
                        workflow: workflow.name.clone(),
                        expected: again.beside,
                        found: earlier,
                    });
                }
                Some(again) => one_more(workflow, &secret, &event, again, actor, now),
            };
            let id = run.id;
            self.versions.keep(self.store, &workflow.version).await?;
            match self.store.create_run(run).await? {
                Made::New => {
                    tracing::warn!(run = %id, workflow = workflow.name, event = %event.id, actor, "an event was replayed");
                    tell(Became::Made { run: id });
                }
                Made::Known => tell(Became::Known),
                Made::Overlapping(behind) => tell(Became::Overlapping { behind }),
            }
        }
        Ok(replayed)
    }

    async fn takers<'s>(
        &self,
        snapshot: &'s Snapshot,
        id: EventId,
        named: Option<&str>,
    ) -> Result<(Arc<Event>, Fate, Vec<&'s Workflow>), ReplayError> {
        let event = self.store.event(id).await?.ok_or(ReplayError::NotThere(id))?;
        let event = Arc::new(event);
        let fate = self
            .store
            .fates(vec![id])
            .await?
            .pop()
            .ok_or(ReplayError::NotThere(id))?;
        if !fate.routed {
            return Err(ReplayError::NotRouted(id));
        }
        let workflows: Vec<&Workflow> = snapshot.workflows.values().map(Arc::as_ref).collect();
        let heard = hear(self.catalog, &workflows, &[(fate.mark, Arc::clone(&event))]).await?;
        let (mut takers, mut declined) = (Vec::new(), Vec::new());
        for heard in heard {
            takers.extend(heard.takers);
            declined.extend(heard.declined);
        }
        let Some(named) = named else {
            return Ok((event, fate, takers));
        };
        takers.retain(|workflow| workflow.name == named);
        if takers.is_empty() {
            let why = declined.into_iter().find(|declined| declined.workflow == named);
            let why = why.map(|declined| declined.why.to_string());
            let absent = || match snapshot.workflows.contains_key(named) {
                true => format!("it does not listen to {} of {}", event.kind, event.connection),
                false => "there is none of this name that can be used".to_owned(),
            };
            return Err(ReplayError::NotTaken {
                workflow: named.to_owned(),
                why: why.unwrap_or_else(absent),
            });
        }
        Ok((event, fate, takers))
    }
}

fn choice(fate: &Fate, workflow: &str) -> Choice {
    Choice {
        workflow: workflow.to_owned(),
        earlier: fate
            .runs
            .iter()
            .filter(|run| run.workflow == workflow)
            .cloned()
            .collect(),
    }
}

/// Another run of an event that has some. Its id is the same whenever it is asked for, as that of any run of an event:
/// after an older backup what the forgotten one paid is found under it.
fn one_more(workflow: &Workflow, secret: &[u8; 32], event: &Event, again: &Again, actor: &str, now: Instant) -> NewRun {
    let number = again.beside.to_string();
    let of_event = format!("{} {}", event.connection, event.provider_id);
    let id = event.occurred_at.map_or_else(
        || RunId::generate(now),
        |at| run_id(workflow, secret, at, ["replay", &of_event, &number]),
    );
    let cause = Cause::Replay {
        event: event.id,
        beside: again.beside,
        actor: actor.to_owned(),
        reason: again.reason.clone(),
    };
    let document = event.as_document();
    let concurrency = workflow.concurrency.as_ref();
    let concurrency = concurrency.map(|spec| spec.of(&document, &workflow.params));
    let mut run = new_run(workflow, id, cause, document.into(), now);
    run.concurrency = concurrency;
    run
}
