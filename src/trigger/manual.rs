//! Runs that a person or a program asks for.
//!
//! Every request is its own cause, and asking twice makes two runs, but for requests that bear a key: those of one key
//! are one request, however often it comes.

use serde_json::{Map, Value as Json, json};

use super::cron::cron_triggers;
use super::make::of_schedule;
use super::versions::KnownVersions;
use super::{new_run, run_id};
use crate::base::clock::Instant;
use crate::base::guard::{Guard, holds};
use crate::base::ids::RunId;
use crate::base::suggest::nearest;
use crate::model::concurrency::{Concurrency, Overlap};
use crate::model::run::Cause;
use crate::model::value::{Value, ValueError};
use crate::model::workflow::{CronSpec, Workflow};
use crate::store::{Made, RunQuery, Store, StoreError};

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Request {
    /// An object with a `type` is what the script sees as `event`; anything else becomes its `payload`.
    pub payload: Json,
    /// Params that differ from the manifest's in this run.
    pub params: Map<String, Json>,
    /// Who asks, as far as is known.
    pub actor: String,
    /// Why, if they say so.
    pub reason: Option<String>,
    /// What this request is known by if it is repeated.
    pub idempotency_key: Option<String>,
}

/// The longest key of a request, in bytes.
pub const KEY_BYTES_MAX: usize = 200;

/// The run of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Started {
    /// Its id.
    pub run: RunId,
    /// Whether an earlier request of the same key made it.
    pub repeated: bool,
}

/// Why no run was made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// The manifest has no such param.
    #[error("workflow `{workflow}` has no param `{param}`{}", suggestion.as_ref().map_or(String::new(), |near| format!(": did you mean `{near}`?")))]
    UnknownParam {
        /// The workflow.
        workflow: String,
        /// What was given.
        param: String,
        /// The nearest that there is.
        suggestion: Option<String>,
    },
    /// The manifest's value is of another kind, so the script would not understand this one.
    #[error("param `{param}` is {expected} in the manifest: {found} cannot take its place")]
    ParamKind {
        /// Which.
        param: String,
        /// What the manifest has.
        expected: &'static str,
        /// What was given.
        found: &'static str,
    },
    /// A script could not hold it exactly.
    #[error("this cannot be given to a script: {0}")]
    Value(#[from] ValueError),
    /// A key has to say something, and to have an end.
    #[error("an idempotency key has 1 to {KEY_BYTES_MAX} bytes of printable text")]
    Key,
    /// The same key came with another request: nobody can mean both.
    #[error("the idempotency key was used before, by {run}, with another payload or other params")]
    KeyTaken {
        /// The run that it made.
        run: RunId,
    },
    /// Another run is open that this one must not overlap with.
    #[error("run {behind} of `{workflow}` is open, and its `concurrency` skips a run that would overlap with it")]
    Overlapping {
        /// The workflow.
        workflow: String,
        /// The open run.
        behind: RunId,
    },
    /// The store could not take it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Makes a run of this workflow.
///
/// # Errors
/// [`StartError`]; nothing was stored.
pub async fn start(
    store: &dyn Store,
    versions: &KnownVersions,
    workflow: &Workflow,
    request: Request,
    now: Instant,
) -> Result<Started, StartError> {
    let key = request.idempotency_key;
    if key.as_deref().is_some_and(|key| !is_key(key)) {
        return Err(StartError::Key);
    }
    let params = with_overrides(workflow, request.params)?;
    let event = event_document(request.payload);
    // Refused here, where somebody can correct it, rather than in a run that fails later.
    Value::from_plain(&event)?;
    Value::from_plain(&params)?;
    let concurrency = concurrency(workflow, &event, &params);
    let id = match &key {
        Some(key) => keyed(workflow, &store.installation_secret().await?, key, now),
        None => RunId::generate(now),
    };
    let mut run = new_run(
        workflow,
        id,
        Cause::Manual {
            actor: request.actor,
            reason: request.reason,
            key,
        },
        event.clone().into(),
        now,
    );
    run.params = params;
    run.concurrency = concurrency;
    let (id, asked, cause_key) = (run.id, (event, run.params.clone()), run.cause.unique_key());
    versions.keep(store, &workflow.version).await?;
    match store.create_run(run).await? {
        Made::New => Ok(Started {
            run: id,
            repeated: false,
        }),
        Made::Known => known(store, workflow, cause_key, asked).await,
        Made::Overlapping(behind) => Err(StartError::Overlapping {
            workflow: workflow.name.clone(),
            behind,
        }),
    }
}

/// The id of the run of a request that bears a key. When the same request came first nobody says, so its time is that of
/// this one; all else is the same each time, and by that what a forgotten run of the key paid is found.
fn keyed(workflow: &Workflow, secret: &[u8; 32], key: &str, now: Instant) -> RunId {
    if holds(Guard::KeyNamesRun) {
        run_id(workflow, secret, now, ["manual", key, ""])
    } else {
        RunId::generate(now)
    }
}

/// What the run must not overlap with. One that is asked for as of a schedule waits for its turn among the runs of that.
fn concurrency(workflow: &Workflow, event: &Json, params: &Json) -> Option<Concurrency> {
    let of_workflow = workflow.concurrency.as_ref().map(|spec| spec.of(event, params));
    let is_meant = |spec: &&CronSpec| {
        event["type"] == "cron" && event["schedule"] == *spec.schedule && event["timezone"] == *spec.timezone
    };
    let Some(spec) = cron_triggers(workflow).find(is_meant) else {
        return of_workflow;
    };
    let concurrency = of_workflow.unwrap_or_else(|| of_schedule(&spec.schedule, &spec.timezone, Overlap::Queue));
    Some(Concurrency {
        policy: Overlap::Queue,
        ..concurrency
    })
}

/// The run that an earlier request of the same key made, if it asked for the same.
async fn known(
    store: &dyn Store,
    workflow: &Workflow,
    cause_key: Option<String>,
    asked: (Json, Json),
) -> Result<Started, StartError> {
    let query = RunQuery {
        workflow: Some(workflow.name.clone()),
        cause_key,
        limit: 1,
        ..RunQuery::default()
    };
    let Some(run) = store.runs(query).await?.pop() else {
        let gone = "the run that the idempotency key made is gone: use another key".to_owned();
        return Err(StartError::Store(StoreError::Conflict(gone)));
    };
    if (&run.event, &run.params) != (&asked.0, &asked.1) {
        return Err(StartError::KeyTaken { run: run.id });
    }
    Ok(Started {
        run: run.id,
        repeated: true,
    })
}

fn is_key(key: &str) -> bool {
    (1..=KEY_BYTES_MAX).contains(&key.len()) && !key.chars().any(char::is_control) && !key.trim().is_empty()
}

/// What the script sees as `event`.
pub fn event_document(payload: Json) -> Json {
    match payload {
        Json::Object(document) if document.contains_key("type") => Json::Object(document),
        payload => json!({"type": "manual", "payload": payload}),
    }
}

fn with_overrides(workflow: &Workflow, overrides: Map<String, Json>) -> Result<Json, StartError> {
    let mut params = match &workflow.params {
        Json::Object(params) => params.clone(),
        _ => Map::new(),
    };
    for (name, value) in overrides {
        let Some(known) = params.get_mut(&name) else {
            return Err(StartError::UnknownParam {
                workflow: workflow.name.clone(),
                suggestion: nearest(&name, params.keys().map(String::as_str)).map(str::to_owned),
                param: name,
            });
        };
        if kind(known) != kind(&value) {
            return Err(StartError::ParamKind {
                param: name,
                expected: kind(known),
                found: kind(&value),
            });
        }
        *known = value;
    }
    Ok(Json::Object(params))
}

fn kind(value: &Json) -> &'static str {
    match value {
        Json::Null => "nothing",
        Json::Bool(_) => "true or false",
        Json::Number(_) => "a number",
        Json::String(_) => "a text",
        Json::Array(_) => "a list",
        Json::Object(_) => "a map",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::workflow::Version;

    #[test]
    fn an_object_with_a_type_is_the_event_and_anything_else_its_payload() {
        let check = |payload: Json, expected: Json| assert_eq!(event_document(payload), expected);
        check(
            json!({"type": "deposit.received", "payload": {"id": 1}}),
            json!({"type": "deposit.received", "payload": {"id": 1}}),
        );
        check(json!({"id": 1}), json!({"type": "manual", "payload": {"id": 1}}));
        check(Json::Null, json!({"type": "manual", "payload": null}));
        check(json!([1]), json!({"type": "manual", "payload": [1]}));
    }

    #[test]
    fn overrides_replace_known_params_of_the_same_kind_only() {
        let workflow = Workflow {
            name: "sweep".to_owned(),
            summary: String::new(),
            triggers: Vec::new(),
            concurrency: None,
            uses: Vec::new(),
            params: json!({"buffer": "1000.00", "days": 3}),
            version: Version::new("sweep".to_owned(), String::new(), Vec::new(), Vec::new()),
        };
        let check = |given: Json, expected: Result<Json, &str>| {
            let Json::Object(given) = given else { panic!("a map") };
            let found = with_overrides(&workflow, given).map_err(|error| error.to_string());
            assert_eq!(found, expected.map_err(str::to_owned));
        };
        check(json!({}), Ok(json!({"buffer": "1000.00", "days": 3})));
        check(json!({"buffer": "5"}), Ok(json!({"buffer": "5", "days": 3})));
        check(
            json!({"bufer": "5"}),
            Err("workflow `sweep` has no param `bufer`: did you mean `buffer`?"),
        );
        check(
            json!({"buffer": 5}),
            Err("param `buffer` is a text in the manifest: a number cannot take its place"),
        );
    }
}
