//! The private door: JSON over HTTP on a socket file that only its owner can open.
//!
//! For the commands of this program and for scripts of operators. It asks the store, the catalog and the
//! triggers, and holds no rule of its own.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path as Segment, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use hyper::StatusCode;
use hyper::header::CONTENT_TYPE;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;
use tokio::net::UnixListener;
use tokio::sync::oneshot;

use super::counters::DoorCounters;
use super::protocol::{
    AcceptRestore, Although, CancelRun, Cancelled, DecideApproval, ErrorBody, ErrorDetail, HeldConnection, MadeSlots,
    MakeSlots, PauseSchedules, ReplayEvent, ReplayReply, ResolveRun, ResumeSchedules, Resumed, RunReply, StartReply,
    StartRun, Status, TriggerView, Trusted, WorkflowView, Workflows,
};
use crate::base::clock::{BoxFuture, Clock, Instant};
use crate::base::fault_point::{FaultPoint, reach};
use crate::base::ids::{EventId, RunId};
use crate::base::limits::{SCRIPT_STACK_BYTES, VALUE_BYTES_MAX};
use crate::base::shutdown::Shutdown;
use crate::base::suggest::nearest;
use crate::base::wake::Wake;
use crate::catalog::snapshot::Snapshot;
use crate::catalog::watch::Catalog;
use crate::model::journal::Resolution;
use crate::model::unmade::{Pause, PauseCause, Resumption};
use crate::model::workflow::{Trigger, Workflow};
use crate::store::{Acceptance, ApprovalDecision, Decision, Store, StoreError};
use crate::trigger::make_up::{self, MakeUpError, Wanted};
use crate::trigger::manual::{self, Request, StartError, Started};
use crate::trigger::outlook::{Upcoming, upcoming};
use crate::trigger::replay::{Replay, ReplayError};
use crate::trigger::versions::KnownVersions;

/// How many next slots of a schedule are shown.
pub const NEXT_SLOTS: usize = 5;
/// The code of a decision that does not fit what the provider shows.
pub const UNFIT: &str = "unfit_decision";
/// A path of a socket longer than this cannot be bound on every system.
const SOCKET_PATH_BYTES_MAX: usize = 100;

/// Holds a decision against what the provider shows, and gives it back as it may be written down.
pub type Judge = Box<dyn Fn(Decision, Option<Although>) -> BoxFuture<'static, Result<Decision, Unfit>> + Send + Sync>;

/// Why a decision is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// It does not fit what the provider shows.
    #[error("{0}")]
    Refused(String),
    /// It could not be judged.
    #[error("{0}")]
    Failed(String),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What the control door needs.
pub struct Control {
    /// Runs.
    pub store: Arc<dyn Store>,
    /// Workflows.
    pub catalog: Catalog,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Whom to tell of new work.
    pub wake: Wake,
    /// Judges what people decide.
    pub judge: Judge,
    /// Versions that need not be saved again.
    pub versions: Arc<KnownVersions>,
    /// The figures of the webhook door.
    pub counters: Arc<DoorCounters>,
    /// When the process started.
    pub started_at: Instant,
    /// Where it listens, by purpose.
    pub listeners: BTreeMap<String, String>,
}

/// Why the socket cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Systems allow about a hundred bytes.
    #[error("the path of the control socket is longer than {SOCKET_PATH_BYTES_MAX} bytes ({}): use a shorter state folder", path.display())]
    PathTooLong {
        /// The path.
        path: PathBuf,
    },
    /// The file system said no.
    #[error("the control socket {} cannot be made: {source}", path.display())]
    Io {
        /// The path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Makes the socket file, for its owner alone, in place of one that an earlier process left behind.
///
/// Only the holder of the store's lock may call this: it takes the name from whoever has it.
///
/// # Errors
/// [`BindError`].
pub fn bind_control(path: &Path) -> Result<UnixListener, BindError> {
    if path.as_os_str().len() > SOCKET_PATH_BYTES_MAX {
        return Err(BindError::PathTooLong { path: path.into() });
    }
    // Bound under another name, closed to others, then moved: nobody meets it half-made.
    let unfinished = path.with_extension("new");
    let bind = || {
        match fs::remove_file(&unfinished) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&unfinished)?;
        fs::set_permissions(&unfinished, Permissions::from_mode(0o600))?;
        fs::rename(&unfinished, path)?;
        Ok(listener)
    };
    bind().map_err(|source| BindError::Io {
        path: path.into(),
        source,
    })
}

/// Answers until it is told to stop.
///
/// # Errors
/// When the socket breaks.
pub async fn serve(control: Arc<Control>, listener: UnixListener, mut shutdown: Shutdown) -> io::Result<()> {
    axum::serve(listener, router(control))
        .with_graceful_shutdown(async move { shutdown.requested().await })
        .await
}

fn router(control: Arc<Control>) -> Router {
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/workflows", get(workflows))
        .route("/v1/workflows/{name}/pause", post(pause))
        .route("/v1/workflows/{name}/resume", post(resume))
        .route("/v1/clock/trust", post(trust_clock))
        .route("/v1/workflows/{name}/slots", post(slots))
        .route("/v1/reload", post(reload))
        .route("/v1/restore/accept", post(accept_restore))
        .route("/v1/events/{id}/replay", post(replay))
        .route("/v1/runs", post(start))
        .route("/v1/runs/{id}/cancel", post(cancel))
        .route("/v1/runs/{id}/resolve", post(resolve))
        .route("/v1/runs/{id}/approval", post(decide))
        .fallback(|| async { Problem::new(StatusCode::NOT_FOUND, "not_found", "there is no such path") })
        .method_not_allowed_fallback(|| async {
            Problem::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "this path takes another method",
            )
        })
        .layer(DefaultBodyLimit::max(VALUE_BYTES_MAX))
        .with_state(control)
}

type Here = State<Arc<Control>>;

async fn status(State(control): Here) -> Result<Response, Problem> {
    let snapshot = control.catalog.current();
    let runs = control.store.counts().await?;
    let held = control.store.breakers().await?;
    let held = held
        .iter()
        .map(|tripped| (tripped.connection.clone(), HeldConnection::from(tripped)));
    Ok(answer(
        StatusCode::OK,
        &Status {
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at: control.started_at,
            listeners: control.listeners.clone(),
            workflows: snapshot.workflows.len(),
            problems: snapshot.diagnostics().filter(|found| found.is_error()).count(),
            runs: runs.into_iter().collect(),
            held: held.collect(),
            pauses: control.store.pauses().await?,
            clock: control.store.clock_doubt().await?,
            webhooks: control.counters.figures(),
            restored: control.store.restored(control.clock.now()).await?,
        },
    ))
}

async fn workflows(State(control): Here) -> Result<Response, Problem> {
    let snapshot = control.catalog.current();
    view_all(&snapshot, control.clock.now())
}

async fn reload(State(control): Here) -> Result<Response, Problem> {
    let internal = |error: &dyn std::error::Error| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", error);
    let catalog = control.catalog.clone();
    let (sender, loaded) = oneshot::channel();
    // On a thread like those of scripts: parsing one takes as deep a stack as running it.
    std::thread::Builder::new()
        .name("reload".to_owned())
        .stack_size(SCRIPT_STACK_BYTES)
        .spawn(move || drop(sender.send(catalog.reload_now())))
        .map_err(|error| internal(&error))?;
    let snapshot = loaded.await.map_err(|error| internal(&error))?;
    view_all(&snapshot, control.clock.now())
}

async fn start(State(control): Here, body: Bytes) -> Result<Response, Problem> {
    let asked: StartRun = read(&body)?;
    named(&asked.actor)?;
    let snapshot = control.catalog.current();
    let workflow = snapshot
        .workflows
        .get(&asked.workflow)
        .ok_or_else(|| unknown_workflow(&snapshot, &asked.workflow))?;
    let request = Request {
        payload: asked.payload,
        params: asked.params,
        actor: asked.actor,
        reason: asked.reason,
        idempotency_key: asked.idempotency_key,
    };
    let now = control.clock.now();
    let Started { run, repeated } =
        manual::start(control.store.as_ref(), &control.versions, workflow, request, now).await?;
    control.wake.nudge();
    let status = if repeated { StatusCode::OK } else { StatusCode::CREATED };
    Ok(answer(status, &StartReply { run, repeated }))
}

async fn accept_restore(State(control): Here, body: Bytes) -> Result<Response, Problem> {
    let AcceptRestore { actor, reason } = read(&body)?;
    named(&actor)?;
    if reason.trim().is_empty() {
        return Err(invalid("say why in `reason`: the store keeps it"));
    }
    let at = control.clock.now();
    let acceptance = Acceptance { actor, reason, at };
    control.store.accept_restore(acceptance).await?;
    control.wake.nudge();
    let restored = control.store.restored(at).await?;
    Ok(answer(StatusCode::OK, &restored))
}

async fn replay(State(control): Here, Segment(id): Segment<String>, body: Bytes) -> Result<Response, Problem> {
    let event: EventId = id.parse().map_err(invalid)?;
    let asked: ReplayEvent = read(&body)?;
    named(&asked.actor)?;
    if asked.again.is_some() && asked.workflow.is_none() {
        return Err(invalid("`again` goes with a `workflow`"));
    }
    if asked.again.as_ref().is_some_and(|again| again.reason.trim().is_empty()) {
        return Err(invalid("say why in `reason`: the run keeps it"));
    }
    let replay = Replay {
        store: control.store.as_ref(),
        catalog: &control.catalog,
        versions: &control.versions,
    };
    let now = control.clock.now();
    let (workflow, again) = (asked.workflow.as_deref(), asked.again.as_ref());
    let workflows = replay.make(event, workflow, again, &asked.actor, now).await?;
    control.wake.nudge();
    Ok(answer(StatusCode::OK, &ReplayReply { workflows }))
}

async fn cancel(State(control): Here, Segment(id): Segment<String>, body: Bytes) -> Result<Response, Problem> {
    let run = run_id(&id)?;
    let asked: CancelRun = read(&body)?;
    named(&asked.actor)?;
    let now = control.clock.now();
    let state = control.store.cancel(run, &asked.actor, &asked.reason, now).await?;
    control.wake.nudge();
    Ok(answer(StatusCode::OK, &Cancelled { run, state }))
}

async fn pause(State(control): Here, Segment(name): Segment<String>, body: Bytes) -> Result<Response, Problem> {
    let asked: PauseSchedules = read(&body)?;
    named(&asked.actor)?;
    if asked.reason.trim().is_empty() {
        return Err(invalid(
            "say why in `reason`: it is shown beside every slot that does not run",
        ));
    }
    let pause = Pause {
        workflow: name.clone(),
        since: control.clock.now(),
        actor: asked.actor,
        reason: asked.reason,
        cause: PauseCause::Person,
    };
    tracing::warn!(
        workflow = name,
        actor = pause.actor,
        reason = pause.reason,
        "schedules are paused"
    );
    control.store.pause(pause).await?;
    Ok(answer(
        StatusCode::OK,
        &Resumed {
            workflow: name,
            was_paused: true,
        },
    ))
}

async fn resume(State(control): Here, Segment(name): Segment<String>, body: Bytes) -> Result<Response, Problem> {
    let asked: ResumeSchedules = read(&body)?;
    named(&asked.actor)?;
    let resumption = Resumption {
        at: control.clock.now(),
        actor: asked.actor.clone(),
        reason: asked.reason.clone(),
    };
    let was_paused = control.store.resume(&name, resumption).await?;
    tracing::warn!(
        workflow = name,
        actor = asked.actor,
        reason = asked.reason,
        was_paused,
        "schedules go on"
    );
    Ok(answer(
        StatusCode::OK,
        &Resumed {
            workflow: name,
            was_paused,
        },
    ))
}

async fn trust_clock(State(control): Here, body: Bytes) -> Result<Response, Problem> {
    let asked: ResumeSchedules = read(&body)?;
    named(&asked.actor)?;
    let was_in_doubt = control.store.trust_clock(control.clock.now()).await?;
    tracing::warn!(
        actor = asked.actor,
        reason = asked.reason,
        was_in_doubt,
        "the clock is right: schedules and waits go on"
    );
    Ok(answer(StatusCode::OK, &Trusted { was_in_doubt }))
}

async fn slots(State(control): Here, Segment(name): Segment<String>, body: Bytes) -> Result<Response, Problem> {
    let asked: MakeSlots = read(&body)?;
    named(&asked.actor)?;
    let snapshot = control.catalog.current();
    let workflow = snapshot.workflows.get(&name);
    let workflow = workflow.ok_or_else(|| unknown_workflow(&snapshot, &name))?;
    let wanted = Wanted {
        schedule: &asked.schedule,
        timezone: &asked.timezone,
        from: asked.from,
        to: asked.to,
    };
    let now = control.clock.now();
    let runs = make_up::make_up(
        control.store.as_ref(),
        &control.versions,
        workflow,
        wanted,
        &asked.actor,
        now,
    )
    .await?;
    tracing::warn!(
        workflow = name,
        actor = asked.actor,
        runs = runs.len(),
        "slots that had passed are made up for"
    );
    control.wake.nudge();
    Ok(answer(StatusCode::CREATED, &MadeSlots { runs }))
}

async fn resolve(State(control): Here, Segment(id): Segment<String>, body: Bytes) -> Result<Response, Problem> {
    let run = run_id(&id)?;
    let asked: ResolveRun = read(&body)?;
    named(&asked.actor)?;
    if asked.reason.trim().is_empty() {
        return Err(invalid("say why in `reason`: the journal keeps it beside the decision"));
    }
    let decision = Decision {
        run,
        path: asked.step,
        resolution: resolution(&asked.decision, asked.resource)?,
        actor: asked.actor,
        reason: asked.reason,
        after: asked.after,
        at: control.clock.now(),
    };
    let decision = (control.judge)(decision, asked.although).await?;
    control.store.resolve(decision).await?;
    control.wake.nudge();
    Ok(answer(StatusCode::OK, &RunReply { run }))
}

async fn decide(State(control): Here, Segment(id): Segment<String>, body: Bytes) -> Result<Response, Problem> {
    let run = run_id(&id)?;
    let asked: DecideApproval = read(&body)?;
    named(&asked.actor)?;
    if asked.reason.trim().is_empty() {
        return Err(invalid("say why in `reason`: the journal keeps it beside the decision"));
    }
    control
        .store
        .decide(ApprovalDecision {
            run,
            path: asked.step,
            asked: asked.asked,
            approved: asked.approved,
            actor: asked.actor,
            reason: asked.reason,
            at: control.clock.now(),
        })
        .await?;
    reach(FaultPoint::DecisionDurable);
    control.wake.nudge();
    Ok(answer(StatusCode::OK, &RunReply { run }))
}

fn resolution(decision: &str, resource: Option<Json>) -> Result<Resolution, Problem> {
    let resolution = match (decision, resource) {
        ("adopt", Some(resource)) => Resolution::Adopt { resource },
        ("adopt", None) => return Err(invalid("`adopt` needs the provider's resource in `resource`")),
        (_, Some(_)) => return Err(invalid("`resource` goes with the decision `adopt` only")),
        ("retry", None) => Resolution::Retry,
        ("resend", None) => Resolution::Resend,
        ("fail", None) => Resolution::Fail,
        (other, None) => {
            return Err(invalid(format!(
                "`{other}` is no decision: expected retry, adopt, resend or fail"
            )));
        }
    };
    Ok(resolution)
}

fn view_all(snapshot: &Snapshot, now: Instant) -> Result<Response, Problem> {
    let problems: Result<Vec<Json>, _> = snapshot.diagnostics().map(serde_json::to_value).collect();
    Ok(answer(
        StatusCode::OK,
        &Workflows {
            workflows: snapshot
                .workflows
                .values()
                .map(|workflow| view(snapshot, workflow, now))
                .collect(),
            problems: problems.map_err(|error| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", error))?,
        },
    ))
}

/// A workflow as people see it.
pub fn view(snapshot: &Snapshot, workflow: &Workflow, now: Instant) -> WorkflowView {
    let webhooks = workflow.triggers.iter().filter_map(|trigger| match trigger {
        Trigger::Webhook {
            connection,
            events,
            when,
        } => Some(TriggerView::Webhook {
            connection: connection.clone(),
            events: events.clone(),
            when: when.in_words(),
        }),
        Trigger::Cron { .. } => None,
    });
    let schedules = upcoming(workflow, now, NEXT_SLOTS).into_iter().map(
        |Upcoming {
             schedule,
             timezone,
             slots,
         }| {
            let problem = slots.as_ref().err().map(ToString::to_string);
            TriggerView::Cron {
                schedule,
                timezone,
                next: slots.unwrap_or_default(),
                problem,
            }
        },
    );
    WorkflowView {
        name: workflow.name.clone(),
        summary: workflow.summary.clone(),
        version: workflow.version.digest,
        outdated: snapshot.outdated.contains(&workflow.name),
        uses: workflow.uses.clone(),
        triggers: webhooks.chain(schedules).collect(),
    }
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(|error| invalid(format!("the body cannot be read: {error}")))
}

fn run_id(text: &str) -> Result<RunId, Problem> {
    text.parse().map_err(invalid)
}

fn named(actor: &str) -> Result<(), Problem> {
    if actor.trim().is_empty() {
        return Err(invalid("say who asks in `actor`"));
    }
    Ok(())
}

fn unknown_workflow(snapshot: &Snapshot, name: &str) -> Problem {
    if snapshot.broken.contains(name) {
        return Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "broken_workflow",
            format!("workflow `{name}` cannot be used: `bursar check` shows what is wrong with it"),
        );
    }
    let near = nearest(name, snapshot.workflows.keys().map(String::as_str))
        .map_or(String::new(), |near| format!(": did you mean `{near}`?"));
    Problem::new(
        StatusCode::NOT_FOUND,
        "unknown_workflow",
        format!("there is no workflow `{name}`{near}"),
    )
}

fn answer(status: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(body) => (status, [(CONTENT_TYPE, "application/json")], body).into_response(),
        Err(error) => {
            tracing::error!(%error, "an answer could not be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// An answer that is not a success.
#[derive(Debug)]
struct Problem {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl Problem {
    #[expect(clippy::needless_pass_by_value, reason = "messages of many types are handed over")]
    fn new(status: StatusCode, code: &'static str, message: impl ToString) -> Self {
        Self {
            status,
            code,
            message: message.to_string(),
        }
    }
}

fn invalid(message: impl ToString) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_request", message)
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        answer(
            self.status,
            &ErrorBody {
                error: ErrorDetail {
                    code: self.code.to_owned(),
                    message: self.message,
                },
            },
        )
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let (status, code) = match &error {
            StoreError::NotFound(_) => (StatusCode::NOT_FOUND, "not_found"),
            StoreError::Conflict(_) | StoreError::LeaseLost { .. } | StoreError::CancelRequested { .. } => {
                (StatusCode::CONFLICT, "conflict")
            }
            StoreError::Unavailable(_) | StoreError::Locked { .. } => {
                (StatusCode::SERVICE_UNAVAILABLE, "store_unavailable")
            }
            StoreError::Newer { .. } | StoreError::Corrupt(_) => {
                tracing::error!(%error, "the store cannot be used");
                (StatusCode::INTERNAL_SERVER_ERROR, "store_unusable")
            }
        };
        Self::new(status, code, error)
    }
}

impl From<MakeUpError> for Problem {
    fn from(error: MakeUpError) -> Self {
        match error {
            MakeUpError::Store(error) => error.into(),
            error => invalid(error),
        }
    }
}

impl From<Unfit> for Problem {
    fn from(error: Unfit) -> Self {
        match error {
            Unfit::Store(error) => error.into(),
            Unfit::Refused(_) => Self::new(StatusCode::CONFLICT, UNFIT, error),
            Unfit::Failed(_) => Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", error),
        }
    }
}

impl From<ReplayError> for Problem {
    fn from(error: ReplayError) -> Self {
        let (status, code) = match error {
            ReplayError::Store(error) => return error.into(),
            ReplayError::NotThere(_) => (StatusCode::NOT_FOUND, "not_found"),
            ReplayError::NotRouted(_) | ReplayError::NotTaken { .. } | ReplayError::Changed { .. } => {
                (StatusCode::CONFLICT, "conflict")
            }
            ReplayError::Conditions(_) => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        };
        Self::new(status, code, error)
    }
}

impl From<StartError> for Problem {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Store(error) => error.into(),
            StartError::Overlapping { .. } | StartError::KeyTaken { .. } => {
                Self::new(StatusCode::CONFLICT, "conflict", error)
            }
            StartError::UnknownParam { .. } | StartError::ParamKind { .. } | StartError::Value(_) | StartError::Key => {
                invalid(error)
            }
        }
    }
}
