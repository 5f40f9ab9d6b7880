//! The control socket: what the commands of this machine can ask, and what they are told.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bursar::base::clock::{Clock as _, ManualClock};
use bursar::base::ids::WorkerId;
use bursar::base::shutdown::Stopper;
use bursar::base::wake::Wake;
use bursar::model::run::{Cause, RunError, RunState, Settlement};
use bursar::server::client::{ClientError, ControlClient};
use bursar::server::control::{self, BindError, Control, bind_control};
use bursar::server::counters::{DoorCounters, Outcome};
use bursar::server::protocol::{Cancelled, RunReply, StartReply, Status, TriggerView, Workflows};
use bursar::store::{Append, Store};
use bursar::trigger::versions::KnownVersions;
use chrono::TimeDelta;
use serde_json::{Value as Json, json};
use tempfile::TempDir;

use super::harness::{Shelf, new_store, on_deposit, on_schedule, start_of_test};

struct Office {
    socket: PathBuf,
    store: Arc<dyn Store>,
    wake: Wake,
    clock: ManualClock,
    shelf: Shelf,
    stopper: Stopper,
    folder: TempDir,
}

impl Office {
    async fn open() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let store = new_store(&folder).await;
        let shelf = Shelf::of(&[
            (
                "sweep",
                &[
                    on_schedule("0 18 * * Mon-Fri", "latest"),
                    on_schedule("0 18 30 2 *", "none"),
                ],
            ),
            ("book-deposits", &[on_deposit(None), on_deposit(Some("EUR"))]),
        ]);
        let counters = DoorCounters::new();
        counters.count(Outcome::Accepted);
        let clock = ManualClock::new(start_of_test());
        let (wake, socket) = (Wake::new(), folder.path().join("control.sock"));
        let control = Control {
            store: store.clone(),
            catalog: shelf.catalog.clone(),
            clock: Arc::new(clock.clone()),
            wake: wake.clone(),
            versions: Arc::new(KnownVersions::new()),
            judge: Box::new(|decision, _| Box::pin(std::future::ready(Ok(decision)))),
            counters: Arc::new(counters),
            started_at: clock.now(),
            listeners: BTreeMap::from([("webhooks".to_owned(), "127.0.0.1:8080".to_owned())]),
        };
        let (stopper, shutdown) = Stopper::new();
        let listener = bind_control(&socket).expect("a socket");
        tokio::spawn(control::serve(Arc::new(control), listener, shutdown));
        Self {
            socket,
            store,
            wake,
            clock,
            shelf,
            stopper,
            folder,
        }
    }

    async fn client(&self) -> ControlClient {
        ControlClient::connect(&self.socket).await.expect("the office is open")
    }

    async fn was_nudged(&self) -> bool {
        tokio::time::timeout(Duration::from_millis(100), self.wake.nudged())
            .await
            .is_ok()
    }
}

async fn refusal(client: &mut ControlClient, path: &str, body: Json) -> (u16, String, String) {
    let answer = client.post::<Json>(path, &body).await.expect_err(path);
    let ClientError::Refused { status, code, message } = answer else {
        unreachable!("{path} {body}: {answer}")
    };
    (status, code, message)
}

#[tokio::test]
async fn status_says_who_is_running_and_how_it_goes() {
    let office = Office::open().await;
    let mut client = office.client().await;
    let status: Status = client.get("/v1/status").await.expect("a status");
    assert_eq!(status.pid, std::process::id());
    assert_eq!(status.version, env!("CARGO_PKG_VERSION"));
    assert_eq!(status.started_at, office.clock.now());
    assert_eq!(status.listeners["webhooks"], "127.0.0.1:8080");
    assert_eq!((status.workflows, status.problems), (2, 0));
    assert_eq!(status.webhooks["accepted"], 1);
    assert_eq!(status.webhooks["unsigned"], 0);
    // One conversation carries several questions.
    let again: Status = client.get("/v1/status").await.expect("a second status");
    assert_eq!(again, status);
}

#[tokio::test]
async fn workflows_are_shown_with_their_next_slots_or_why_there_are_none() {
    let office = Office::open().await;
    let shown: Workflows = office.client().await.get("/v1/workflows").await.expect("workflows");
    let names: Vec<&str> = shown.workflows.iter().map(|view| view.name.as_str()).collect();
    assert_eq!(names, ["book-deposits", "sweep"]);
    let when: Vec<Option<&str>> = shown.workflows[0]
        .triggers
        .iter()
        .map(|trigger| match trigger {
            TriggerView::Webhook { when, .. } => when.as_deref(),
            TriggerView::Cron { .. } => panic!("{trigger:?}"),
        })
        .collect();
    assert_eq!(when, [None, Some("/payload/currency = \"EUR\"")]);
    let sweep = &shown.workflows[1];
    assert_eq!(
        (sweep.summary.as_str(), sweep.uses.as_slice()),
        ("What sweep does.", ["bank".to_owned()].as_slice())
    );
    let [
        TriggerView::Cron {
            next, problem: None, ..
        },
        TriggerView::Cron {
            next: never,
            problem: Some(problem),
            ..
        },
    ] = sweep.triggers.as_slice()
    else {
        panic!("{:?}", sweep.triggers)
    };
    assert_eq!(next.len(), 5);
    assert_eq!(next[0].to_rfc3339(), "2026-05-04T18:00:00+02:00");
    assert!(never.is_empty() && problem.contains("names no time"), "{problem}");
}

#[tokio::test]
async fn a_broken_file_is_told_and_its_workflow_stands_as_it_last_loaded() {
    let office = Office::open().await;
    let mut client = office.client().await;
    let before: Workflows = client.get("/v1/workflows").await.expect("workflows");
    assert!(before.problems.is_empty() && before.workflows.iter().all(|view| !view.outdated));
    office.shelf.spoil("sweep");
    let after: Workflows = client.post("/v1/reload", &json!({})).await.expect("workflows");
    assert!(!after.workflows[0].outdated && after.workflows[1].outdated);
    assert_eq!(after.workflows[1].version, before.workflows[1].version);
    let told = &after.problems[0];
    assert_eq!(
        (&told["severity"], &told["file"]),
        (&json!("error"), &json!("workflows/sweep.toml")),
        "{told}"
    );
    let status: Status = client.get("/v1/status").await.expect("a status");
    assert!(status.problems > 0);
    // It still runs.
    let asked = json!({"workflow": "sweep", "actor": "maria"});
    client
        .post::<RunReply>("/v1/runs", &asked)
        .await
        .expect("a run of the last good version");
}

#[tokio::test]
async fn a_run_is_started_with_its_payload_and_params_and_can_be_cancelled() {
    let office = Office::open().await;
    let mut client = office.client().await;
    let asked = r#"{"workflow": "sweep", "payload": {"why": 1.10}, "params": {"buffer": "5.00"}, "actor": "maria"}"#;
    let asked: Json = serde_json::from_str(asked).expect("JSON");
    let RunReply { run } = client.post("/v1/runs", &asked).await.expect("a run");
    assert!(office.was_nudged().await, "the engine is told");
    let stored = office
        .store
        .run(run)
        .await
        .expect("readable")
        .expect("the run is there");
    assert_eq!(stored.state, RunState::Queued);
    assert_eq!(
        stored.cause,
        Cause::Manual {
            actor: "maria".to_owned(),
            reason: None,
            key: None,
        }
    );
    assert_eq!(stored.params, json!({"buffer": "5.00"}));
    assert_eq!(
        stored.event.to_string(),
        r#"{"payload":{"why":1.10},"type":"manual"}"#,
        "every digit is kept"
    );

    let path = format!("/v1/runs/{run}/cancel");
    let asked = json!({"actor": "maria", "reason": "a test"});
    let ended: Cancelled = client.post(&path, &asked).await.expect("the end");
    assert_eq!(
        ended,
        Cancelled {
            run,
            state: RunState::Cancelled
        }
    );
    let again: Cancelled = client.post(&path, &asked).await.expect("the end, again");
    assert_eq!(again, ended);
}

#[tokio::test]
async fn a_request_that_bears_a_key_makes_one_run_however_often_it_comes() {
    let office = Office::open().await;
    let mut client = office.client().await;
    let asked = |key: &str, buffer: &str| json!({"workflow": "sweep", "actor": "m", "params": {"buffer": buffer}, "idempotency_key": key});
    let first: StartReply = client
        .post("/v1/runs", &asked("evening 1", "5.00"))
        .await
        .expect("a run");
    assert!(!first.repeated);
    // Its answer was lost, and it is asked for again, by somebody else even.
    let mut again = asked("evening 1", "5.00");
    again["actor"] = json!("another");
    let again: StartReply = client.post("/v1/runs", &again).await.expect("the run");
    assert_eq!((again.run, again.repeated), (first.run, true));
    let (status, code, message) = refusal(&mut client, "/v1/runs", asked("evening 1", "6.00")).await;
    assert_eq!((status, code.as_str()), (409, "conflict"), "{message}");
    assert!(message.contains(&first.run.to_string()), "{message}");
    let other: StartReply = client
        .post("/v1/runs", &asked("evening 2", "5.00"))
        .await
        .expect("a run");
    assert_ne!(other.run, first.run);
    for key in ["", " ", "a\nb", &"k".repeat(201)] {
        let (status, code, _) = refusal(&mut client, "/v1/runs", asked(key, "5.00")).await;
        assert_eq!((status, code.as_str()), (422, "invalid_request"), "{key:?}");
    }
}

#[tokio::test]
async fn a_parked_run_is_resolved_with_a_reason() {
    let office = Office::open().await;
    let mut client = office.client().await;
    let asked = json!({"workflow": "sweep", "actor": "maria"});
    let RunReply { run } = client.post("/v1/runs", &asked).await.expect("a run");
    let now = office.clock.now();
    let claims = office
        .store
        .claim(WorkerId::generate(now), now, now + TimeDelta::seconds(30), 1)
        .await;
    let claim = claims.expect("claimed").pop().expect("the run");
    let error = RunError {
        code: "diverged".to_owned(),
        message: "the script no longer does what it did".to_owned(),
        trace: Vec::new(),
    };
    let park = Append {
        settlement: Some(Settlement::Parked { error }),
        ..Append::default()
    };
    office.store.append(&claim.lease, park, now).await.expect("parked");
    assert!(office.was_nudged().await);

    let path = format!("/v1/runs/{run}/resolve");
    let decide = |decision: &str| json!({"decision": decision, "actor": "maria", "reason": "checked by phone"});
    let (status, code, _) = refusal(&mut client, &path, decide("resend")).await;
    assert_eq!((status, code.as_str()), (409, "conflict"));
    assert!(!office.was_nudged().await);
    assert_eq!(
        client.post::<RunReply>(&path, &decide("fail")).await.expect("resolved"),
        RunReply { run }
    );
    assert!(office.was_nudged().await, "the engine is told");
    let stored = office
        .store
        .run(run)
        .await
        .expect("readable")
        .expect("the run is there");
    assert_eq!(stored.state, RunState::Failed);
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_with_a_code_and_a_sentence() {
    let office = Office::open().await;
    let mut client = office.client().await;
    let nobody = "run_00000000000000000000000000";
    let resolve = format!("/v1/runs/{nobody}/resolve");
    let check = async |client: &mut ControlClient, path: &str, body: Json, status: u16, code: &str, part: &str| {
        let (found, found_code, message) = refusal(client, path, body).await;
        assert_eq!((found, found_code.as_str()), (status, code), "{path}: {message}");
        assert!(message.contains(part), "{path}: {message}");
    };
    let start = |workflow: &str, params: Json| json!({"workflow": workflow, "params": params, "actor": "m"});
    let decide = |decision: &str| json!({"decision": decision, "actor": "m", "reason": "r"});
    let c = &mut client;
    check(
        c,
        "/v1/runs",
        start("swep", json!({})),
        404,
        "unknown_workflow",
        "did you mean `sweep`",
    )
    .await;
    check(
        c,
        "/v1/runs",
        start("sweep", json!({"bufer": ""})),
        422,
        "invalid_request",
        "did you mean `buffer`",
    )
    .await;
    check(
        c,
        "/v1/runs",
        start("sweep", json!({"buffer": 5})),
        422,
        "invalid_request",
        "a text",
    )
    .await;
    check(
        c,
        "/v1/runs",
        json!({"workflow": "sweep", "actor": " "}),
        422,
        "invalid_request",
        "who asks",
    )
    .await;
    check(
        c,
        "/v1/runs",
        json!({"workflow": "sweep", "actor": "m", "x": 1}),
        422,
        "invalid_request",
        "`x`",
    )
    .await;
    check(c, "/v1/runs", json!([]), 422, "invalid_request", "cannot be read").await;
    check(
        c,
        "/v1/runs/run_1/cancel",
        json!({"actor": "m"}),
        422,
        "invalid_request",
        "not a run id",
    )
    .await;
    let gone = format!("/v1/runs/{nobody}/cancel");
    check(c, &gone, json!({"actor": "m"}), 404, "not_found", "does not exist").await;
    check(
        c,
        &resolve,
        decide("maybe"),
        422,
        "invalid_request",
        "retry, adopt, resend or fail",
    )
    .await;
    check(
        c,
        &resolve,
        decide("adopt"),
        422,
        "invalid_request",
        "needs the provider's resource",
    )
    .await;
    check(
        c,
        &resolve,
        json!({"decision": "retry", "actor": "m", "reason": ""}),
        422,
        "invalid_request",
        "why",
    )
    .await;
    check(c, &resolve, decide("fail"), 404, "not_found", "does not exist").await;
    check(c, "/v1/nothing", json!({}), 404, "not_found", "no such path").await;
    check(c, "/v1/status", json!({}), 405, "method_not_allowed", "another method").await;
}

#[tokio::test]
async fn the_socket_is_its_owners_alone_and_replaces_one_left_behind() {
    let office = Office::open().await;
    let mode = std::fs::metadata(&office.socket)
        .expect("the socket")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    office.stopper.stop();
    // What a killed process leaves behind: a socket file nobody listens on.
    let left = office.folder.path().join("left.sock");
    drop(bind_control(&left).expect("a socket"));
    assert!(left.exists());
    let answer = ControlClient::connect(&left).await;
    assert!(matches!(answer, Err(ClientError::NotRunning { .. })), "{answer:?}");
    let again = bind_control(&left).expect("a socket in its place");
    ControlClient::connect(&left).await.expect("somebody listens");
    drop(again);

    let nowhere = ControlClient::connect(&office.folder.path().join("nowhere.sock")).await;
    assert!(matches!(nowhere, Err(ClientError::NotRunning { .. })), "{nowhere:?}");
    let long = office.folder.path().join("x".repeat(120));
    assert!(matches!(bind_control(&long), Err(BindError::PathTooLong { .. })));
}
