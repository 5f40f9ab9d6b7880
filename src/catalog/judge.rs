//! The judge: conditions of triggers, asked on a thread of its own as scripts are.
//!
//! The thread begins with the first question, so a catalog without expressions has none. It must not know what becomes
//! of an answer.

use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};

use serde_json::Value as Json;
use tokio::sync::oneshot;

use crate::base::clock::SystemClock;
use crate::model::value::Value;
use crate::script::{Conditions, spawn_script_thread};

/// Whether a condition holds.
#[derive(Debug, Clone)]
pub struct Question {
    /// The condition.
    pub expression: String,
    /// The event as a document.
    pub event: Arc<Json>,
    /// The parameters of the workflow.
    pub params: Json,
}

/// Whether it does, or how it failed.
pub type Verdict = Result<bool, String>;

type Asked = (Vec<Question>, oneshot::Sender<Vec<Verdict>>);

/// Answers questions until it is dropped.
pub(super) struct Judge {
    questions: Sender<Asked>,
}

impl Judge {
    /// Starts its thread.
    ///
    /// # Errors
    /// When the system refuses the thread.
    pub(super) fn start() -> std::io::Result<Self> {
        let (questions, asked) = channel::<Asked>();
        spawn_script_thread("conditions", move || {
            // Only lengths of time are measured with it.
            let mut conditions = Conditions::new(Arc::new(SystemClock::new()));
            for (questions, reply) in asked {
                let verdicts = questions.iter().map(|question| answer(&mut conditions, question));
                // Nobody may be waiting any more.
                let _gone = reply.send(verdicts.collect());
            }
        })?;
        Ok(Self { questions })
    }

    /// The answers in the order of the questions; nothing if its thread has ended.
    pub(super) async fn ask(&self, questions: Vec<Question>) -> Option<Vec<Verdict>> {
        let (reply, verdicts) = oneshot::channel();
        self.questions.send((questions, reply)).ok()?;
        verdicts.await.ok()
    }
}

fn answer(conditions: &mut Conditions, question: &Question) -> Verdict {
    let read = |json, what| Value::from_plain(json).map_err(|error| format!("the {what} cannot be read: {error}"));
    let event = read(&question.event, "event")?;
    let params = read(&question.params, "table of parameters")?;
    conditions.holds(&question.expression, &event, &params)
}
