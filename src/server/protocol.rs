//! What goes over the control socket: plain JSON, the same types on both sides.

use std::collections::BTreeMap;

use chrono::{DateTime, FixedOffset};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use crate::base::clock::Instant;
use crate::base::ids::{Digest, RunId};
use crate::model::breaker::Tripped;
use crate::model::journal::StepPath;
use crate::model::run::RunState;
use crate::model::unmade::{ClockDoubt, Pause};
use crate::store::Restored;
use crate::trigger::replay::{Again, Replayed};

/// Answer to `GET /v1/status`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The process.
    pub pid: u32,
    /// The version of the program.
    pub version: String,
    /// When it started.
    pub started_at: Instant,
    /// Where it listens, by purpose: `webhooks` and its address.
    pub listeners: BTreeMap<String, String>,
    /// Loaded workflows.
    pub workflows: usize,
    /// Findings that keep a file from being used.
    pub problems: usize,
    /// Runs in each state.
    pub runs: BTreeMap<RunState, u64>,
    /// Connections on which nothing new is begun, by name.
    #[serde(default)]
    pub held: BTreeMap<String, HeldConnection>,
    /// Workflows whose schedules start nothing for now.
    #[serde(default)]
    pub pauses: Vec<Pause>,
    /// Why no schedule starts anything until somebody says that the clock is right, if so.
    #[serde(default)]
    pub clock: Option<ClockDoubt>,
    /// What became of the requests at the webhook door, since the start.
    pub webhooks: BTreeMap<String, u64>,
    /// What is known of an older state of the store that was put back; while it is not accepted, nothing is sent.
    #[serde(default)]
    pub restored: Option<Restored>,
}

/// Body of `POST /v1/restore/accept`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AcceptRestore {
    /// Who accepts.
    pub actor: String,
    /// Why.
    pub reason: String,
}

/// A connection in trouble: nothing new is begun on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldConnection {
    /// Since when.
    pub since: Instant,
    /// When it is asked whether it answers again.
    pub probe_at: Instant,
    /// `trouble`: it gives no usable answers; `credentials`: it refuses our key.
    pub cause: String,
    /// What was seen last.
    pub reason: String,
}

impl From<&Tripped> for HeldConnection {
    fn from(tripped: &Tripped) -> Self {
        Self {
            since: tripped.since,
            probe_at: tripped.probe_at,
            cause: tripped.cause.name().to_owned(),
            reason: tripped.reason.clone(),
        }
    }
}

/// Answer to `GET /v1/workflows` and `POST /v1/reload`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Workflows {
    /// What new runs use, by name.
    pub workflows: Vec<WorkflowView>,
    /// What is wrong with files; the last good version of such a workflow goes on.
    pub problems: Vec<Json>,
}

/// A workflow as people see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkflowView {
    /// Its name.
    pub name: String,
    /// One sentence.
    pub summary: String,
    /// What its next run is pinned to.
    pub version: Digest,
    /// Whether its files are broken now, so that it stands as it last loaded.
    pub outdated: bool,
    /// Connections its script may name.
    pub uses: Vec<String>,
    /// What starts it.
    pub triggers: Vec<TriggerView>,
}

/// A trigger as people see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum TriggerView {
    /// Events of a connection.
    Webhook {
        /// The connection.
        connection: String,
        /// Types that count.
        events: Vec<String>,
        /// Its condition, if it has one: an expression, or pointers with the values they must lead to.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        when: Option<String>,
    },
    /// A schedule.
    Cron {
        /// The expression.
        schedule: String,
        /// Its zone.
        timezone: String,
        /// The next slots, with the zone's distance from UTC.
        next: Vec<DateTime<FixedOffset>>,
        /// Why there are none.
        problem: Option<String>,
    },
}

/// Body of `POST /v1/runs`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StartRun {
    /// Which workflow.
    pub workflow: String,
    /// What the script sees as `event`, or as its payload.
    #[serde(default)]
    pub payload: Json,
    /// Params that differ from the manifest's.
    #[serde(default)]
    pub params: Map<String, Json>,
    /// Who asks.
    pub actor: String,
    /// Why, if they say so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What the request is known by if it is repeated: the same one makes no second run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
}

/// Answer to `POST /v1/runs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartReply {
    /// The run.
    pub run: RunId,
    /// Whether an earlier request of the same key made it.
    #[serde(default)]
    pub repeated: bool,
}

/// Answer to `POST /v1/runs/{id}/resolve` and `POST /v1/runs/{id}/approval`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunReply {
    /// The run.
    pub run: RunId,
}

/// Body of `POST /v1/runs/{id}/cancel`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CancelRun {
    /// Who asks.
    pub actor: String,
    /// Why.
    #[serde(default)]
    pub reason: String,
}

/// Answer to `POST /v1/runs/{id}/cancel`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancelled {
    /// The run.
    pub run: RunId,
    /// Where it stands now: `cancelled`, or `running` until its present step has ended.
    pub state: RunState,
}

/// Body of `POST /v1/workflows/{name}/pause`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PauseSchedules {
    /// Who asks.
    pub actor: String,
    /// Why.
    pub reason: String,
}

/// Body of `POST /v1/workflows/{name}/resume`, and of `POST /v1/clock/trust`: the clock is right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResumeSchedules {
    /// Who asks.
    pub actor: String,
    /// Why, if they say so.
    #[serde(default)]
    pub reason: Option<String>,
}

/// Body of `POST /v1/workflows/{name}/slots`: slots that passed without a run are to have theirs now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MakeSlots {
    /// The expression as written in the manifest.
    pub schedule: String,
    /// Its zone.
    pub timezone: String,
    /// The time of the first slot, or one before it.
    pub from: Instant,
    /// The time of the last slot, or one behind it.
    pub to: Instant,
    /// Who asks.
    pub actor: String,
}

/// Answer to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MadeSlots {
    /// The runs that were made, in the order of their slots.
    pub runs: Vec<RunId>,
}

/// Answer to both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resumed {
    /// The workflow.
    pub workflow: String,
    /// Whether its schedules were paused, by this request or before it.
    pub was_paused: bool,
}

/// Answer to `POST /v1/clock/trust`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trusted {
    /// Whether it was in doubt.
    pub was_in_doubt: bool,
}

/// What a decision is taken in spite of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Although {
    /// Nobody can prove it.
    Unproved,
    /// What is adopted is not what was asked for.
    Different,
}

/// Body of `POST /v1/runs/{id}/resolve`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResolveRun {
    /// The step in doubt; none for a run that is parked without one.
    #[serde(default)]
    pub step: Option<StepPath>,
    /// `retry`, `adopt`, `resend` or `fail`.
    pub decision: String,
    /// For `adopt`: the provider's resource.
    #[serde(default)]
    pub resource: Option<Json>,
    /// What it is taken in spite of: `unproved` or `different`.
    #[serde(default)]
    pub although: Option<Although>,
    /// How many decisions about this step the person knows of: else it is refused, but for `retry`.
    #[serde(default)]
    pub after: u32,
    /// Who decides.
    pub actor: String,
    /// Why.
    pub reason: String,
}

/// Body of `POST /v1/events/{id}/replay`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplayEvent {
    /// Only for this workflow.
    #[serde(default)]
    pub workflow: Option<String>,
    /// One more run of that workflow, beside those there are.
    #[serde(default)]
    pub again: Option<Again>,
    /// Who asks.
    pub actor: String,
}

/// Answer to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplayReply {
    /// Each workflow that takes the event, and what became of it.
    pub workflows: Vec<Replayed>,
}

/// Body of `POST /v1/runs/{id}/approval`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecideApproval {
    /// The step that asks.
    pub step: StepPath,
    /// Its fingerprint as it was shown: an answer to another question is refused.
    pub asked: Digest,
    /// What.
    pub approved: bool,
    /// Who decides.
    pub actor: String,
    /// Why.
    pub reason: String,
}

/// Body of every answer that is not a success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// What went wrong.
    pub error: ErrorDetail,
}

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorDetail {
    /// A stable snake_case code.
    pub code: String,
    /// A plain sentence.
    pub message: String,
}
