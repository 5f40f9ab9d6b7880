//! Which workflows take an event, and why those that listen to its type do not.
//!
//! Cheap conditions are compared here, expressions are asked of the catalog. What fails does not take the event: no
//! money is moved by an expression that fails, and the event is kept with the reason. Must not make runs.

use std::sync::Arc;

use serde_json::Value as Json;

use crate::catalog::judge::{Question, Verdict};
use crate::catalog::watch::Catalog;
use crate::model::event::{Condition, Event};
use crate::model::fate::{Declined, Why};
use crate::model::run::EventMark;
use crate::model::workflow::Workflow;

/// What an event meets.
pub(super) struct Heard<'s> {
    /// Its place in the order of admission.
    pub(super) mark: EventMark,
    /// The event.
    pub(super) event: Arc<Event>,
    /// The workflows that take it, in the order of their names.
    pub(super) takers: Vec<&'s Workflow>,
    /// Those that do not.
    pub(super) declined: Vec<Declined>,
}

/// What one workflow says to one event: an open question for each of its expressions.
struct Opinion<'s> {
    workflow: &'s Workflow,
    takes: bool,
    declined: Vec<Why>,
    open: Vec<String>,
}

/// Asks those of these workflows that listen about each event.
///
/// # Errors
/// When expressions cannot be asked now.
pub(super) async fn hear<'s>(
    catalog: &Catalog,
    workflows: &[&'s Workflow],
    events: &[(EventMark, Arc<Event>)],
) -> std::io::Result<Vec<Heard<'s>>> {
    let mut opinions = Vec::with_capacity(events.len());
    let mut questions = Vec::new();
    for (_, event) in events {
        let mut document = Document::of(event);
        let of_event: Vec<Opinion<'_>> = workflows
            .iter()
            .filter_map(|workflow| opinion(workflow, event, &mut document))
            .collect();
        for opinion in &of_event {
            questions.extend(opinion.open.iter().map(|expression| Question {
                expression: expression.clone(),
                event: document.get(),
                params: opinion.workflow.params.clone(),
            }));
        }
        opinions.push(of_event);
    }
    let mut verdicts = catalog.judge(questions).await?.into_iter();
    let heard = events.iter().zip(opinions).map(|((mark, event), opinions)| {
        let mut heard = Heard {
            mark: *mark,
            event: Arc::clone(event),
            takers: Vec::new(),
            declined: Vec::new(),
        };
        for opinion in opinions {
            conclude(opinion, &mut verdicts, &mut heard);
        }
        heard
    });
    Ok(heard.collect())
}

/// The event as a document, read when it is first asked for.
struct Document<'e> {
    event: &'e Event,
    read: Option<Arc<Json>>,
}

impl<'e> Document<'e> {
    fn of(event: &'e Event) -> Self {
        Self { event, read: None }
    }

    fn get(&mut self) -> Arc<Json> {
        Arc::clone(self.read.get_or_insert_with(|| Arc::new(self.event.as_document())))
    }
}

/// What a workflow says, if it listens at all: one trigger that takes the event is enough.
fn opinion<'s>(workflow: &'s Workflow, event: &Event, document: &mut Document<'_>) -> Option<Opinion<'s>> {
    let mut opinion = Opinion {
        workflow,
        takes: false,
        declined: Vec::new(),
        open: Vec::new(),
    };
    let mut listens = false;
    for condition in workflow
        .triggers
        .iter()
        .filter_map(|trigger| trigger.condition_for(event))
    {
        listens = true;
        match condition {
            Condition::Matching(matching) if matching.0.is_empty() => opinion.takes = true,
            Condition::Matching(matching) => {
                let document = document.get();
                match matching.unmet(&document) {
                    None => opinion.takes = true,
                    Some((pointer, wanted)) => opinion.declined.push(Why::value(pointer, wanted, &document)),
                }
            }
            Condition::Expression(expression) => opinion.open.push(expression.clone()),
        }
    }
    if opinion.takes {
        opinion.open.clear();
    }
    listens.then_some(opinion)
}

fn conclude<'s>(opinion: Opinion<'s>, verdicts: &mut impl Iterator<Item = Verdict>, heard: &mut Heard<'s>) {
    let Opinion {
        workflow,
        mut takes,
        mut declined,
        open,
    } = opinion;
    for expression in open {
        match verdicts.next() {
            Some(Ok(true)) => takes = true,
            Some(Ok(false)) => declined.push(Why::Untrue { expression }),
            answer => {
                let message = match answer {
                    Some(Err(message)) => message,
                    _ => "it was not answered".to_owned(),
                };
                tracing::error!(
                    workflow = workflow.name,
                    event = %heard.event.id,
                    message,
                    "a condition failed, so the workflow did not take the event: `bursar events show` tells why"
                );
                declined.push(Why::Failed { expression, message });
            }
        }
    }
    if takes {
        heard.takers.push(workflow);
        return;
    }
    heard.declined.extend(declined.into_iter().map(|why| Declined {
        workflow: workflow.name.clone(),
        why,
    }));
}
