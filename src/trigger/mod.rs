//! Events become runs: signed webhooks, schedules, and people who ask.
//!
//! A trigger writes to the store and nudges; it never runs a script and never meets the engine. One cause
//! makes one run, because the cause is unique in the store.
//!
//! | file | from | to |
//! |---|---|---|
//! | [`webhook`] | a delivery | a verified event |
//! | [`backfill`] | the provider's list of events | the events whose webhooks never came |
//! | [`router`] | admitted events | the runs they start |
//! | [`behind`] | what came while a workflow did not load | the runs it starts |
//! | [`schedule`] | an expression and a zone | the next instant it names |
//! | [`slots`] | a schedule and the time | the slots that are due, missed, overdue |
//! | [`cron`] | schedules and the time | runs for the slots that are due |
//! | [`outlook`] | a schedule | what it will do, with notes for people, and how long its calendar lasts |
//! | [`make_up`] | slots that passed, and a person | the runs they did not have |
//! | [`manual`] | a request of a person | a run |
//! | [`replay`] | a stored event and a wish | the runs it has not made |
//! | [`versions`] | a workflow about to run | its version, kept once |

pub mod backfill;
pub mod behind;
pub mod cron;
pub mod make_up;
pub mod manual;
pub mod outlook;
pub mod replay;
pub mod router;
pub mod schedule;
pub mod slots;
pub mod versions;
pub mod webhook;

mod days;
mod expression;
mod listen;
mod make;
mod words;

use crate::base::clock::Instant;
use crate::base::ids::RunId;
use crate::model::run::{Cause, NewRun, RunEvent};
use crate::model::workflow::Workflow;

/// The id of the run that this cause makes, at the time that the cause carries. It is the same whenever the cause
/// comes again: a store that was put back to an older state gives a repeated webhook its old run's name, and with
/// that the keys and references under which the provider knows what the run did.
fn run_id(workflow: &Workflow, secret: &[u8; 32], at: Instant, cause: [&str; 3]) -> RunId {
    let [kind, first, second] = cause;
    RunId::derived(at, secret, &["run", &workflow.name, kind, first, second])
}

/// A run of this workflow as it is loaded now. Which others it must not overlap with is still to be said.
fn new_run(workflow: &Workflow, id: RunId, cause: Cause, event: RunEvent, now: Instant) -> NewRun {
    NewRun {
        id,
        workflow: workflow.name.clone(),
        version: workflow.version.digest,
        cause,
        event,
        params: workflow.params.clone(),
        created_at: now,
        concurrency: None,
    }
}
