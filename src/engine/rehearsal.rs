//! A script held against the journal of a run, without touching anything: would it do the same?
//!
//! The turn answers from the journal alone and ends where the journal does. Nothing is sent and nothing is written.

use std::sync::Arc;

use super::interrupt::Interrupt;
use super::services::Services;
use super::turn::Turn;
use super::worker::{globals, interpreter};
use crate::model::journal::{Journal, StepPath};
use crate::model::run::{Run, RunState};
use crate::model::workflow::Version;
use crate::script::{Budget, Interpreter, Ran};

/// What a script would do with the journal of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rehearsed {
    /// Every step as it was, and the same end, or the same step still to be done.
    Same,
    /// It departs from the journal; where, and how.
    Diverges(String),
    /// The run ended, and this script would go on with a further step.
    GoesOn {
        /// Which.
        path: StepPath,
        /// What.
        name: String,
    },
    /// The steps are the same, the end is not; how.
    EndsOtherwise(String),
}

/// Rehearses runs. Belongs to one script thread.
pub struct Rehearser {
    services: Arc<Services>,
    interpreter: Interpreter<Turn>,
}

impl Rehearser {
    /// On the thread it is made on.
    pub fn new(services: Arc<Services>) -> Self {
        let interpreter = interpreter(&services);
        Self { services, interpreter }
    }

    /// Runs a version against a journal.
    pub fn rehearse(&mut self, version: &Arc<Version>, run: &Run, journal: Journal) -> Rehearsed {
        let globals = match globals(run) {
            Ok(globals) => globals,
            Err(message) => return Rehearsed::Diverges(message),
        };
        let turn = Arc::new(Turn::rehearsal(
            self.services.clone(),
            run.clone(),
            version.clone(),
            journal,
        ));
        let ran = self.interpreter.run(version, turn.clone(), globals, Budget::default());
        match turn.interrupt_reason() {
            Some(Interrupt::Rehearsed { path, name, known }) => {
                // A run that was ended from outside had more to do.
                let was_over = matches!(run.state, RunState::Succeeded | RunState::Failed);
                if was_over && !known {
                    Rehearsed::GoesOn { path, name }
                } else {
                    Rehearsed::Same
                }
            }
            Some(Interrupt::Parked(error)) => Rehearsed::Diverges(error.message),
            Some(_) => Rehearsed::Diverges("the run could not be rehearsed".to_owned()),
            None => match (&ran, turn.unreached()) {
                (Ran::Finished(_) | Ran::Failed(_), Some(message)) => Rehearsed::Diverges(message),
                _ => end(run, ran),
            },
        }
    }
}

/// Compares the end with the one that was.
fn end(run: &Run, ran: Ran) -> Rehearsed {
    let otherwise = |now: String| Rehearsed::EndsOtherwise(format!("it {} and would now {now}", was(run)));
    match (ran, run.state) {
        (Ran::Finished(value), RunState::Succeeded) if run.result == Some(value.to_typed()) => Rehearsed::Same,
        (Ran::Finished(_), RunState::Succeeded) => otherwise("give another result".to_owned()),
        (Ran::Finished(_), _) => otherwise("succeed".to_owned()),
        (Ran::Failed(error), RunState::Failed) if run.error.as_ref().is_some_and(|was| was.code == error.code) => {
            Rehearsed::Same
        }
        (Ran::Failed(error), _) => otherwise(format!("fail: {}", error.message)),
        (Ran::Exhausted { limit, .. }, _) => otherwise(limit.describe()),
        (Ran::Panicked | Ran::Interrupted, _) => otherwise("not come to an end".to_owned()),
    }
}

fn was(run: &Run) -> String {
    match run.state {
        RunState::Succeeded => "succeeded".to_owned(),
        RunState::Failed => "failed".to_owned(),
        state => format!("is {state}"),
    }
}
