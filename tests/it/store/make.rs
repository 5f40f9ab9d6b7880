//! Things to put into a store, and a store in a folder of its own.

use std::sync::Arc;

use bursar::base::clock::Instant;
use bursar::base::ids::{Digest, EventId, RunId, WorkerId};
use bursar::model::event::{Event, EventFilter, Matching};
use bursar::model::journal::{
    Doubt, Entry, Intent, Outcome, Record, Resolution, Retry, Step, StepPath, StoredRequest, Wait,
};
use bursar::model::run::{Cause, EventMark, NewRun, RunError, RunEvent, Settlement};
use bursar::model::value::Value;
use bursar::store::sqlite::{OnFailure, SqliteOptions, SqliteStore};
use bursar::store::{Admitted, Append, Claim, Decision, Routed, Routing, Store, StoreError};
use chrono::{DateTime, TimeDelta};
use serde_json::{Value as Json, json};
use tempfile::TempDir;

/// A store with its folder, which goes when the test ends.
pub(super) struct Opened {
    pub(super) store: Arc<dyn Store>,
    pub(super) folder: TempDir,
}

pub(super) const OPTIONS: SqliteOptions = SqliteOptions {
    durability: bursar::store::sqlite::Durability::Full,
    on_failure: OnFailure::Poison,
};

pub(super) async fn open() -> Opened {
    let folder = tempfile::tempdir().expect("a folder");
    let store = SqliteStore::open(folder.path(), OPTIONS).await.expect("a store");
    Opened { store, folder }
}

/// Noon of a fixed day, and so many seconds.
pub(super) fn at(seconds: i64) -> Instant {
    DateTime::from_timestamp(1_767_225_600 + seconds, 123_456_789).expect("a valid instant")
}

pub(super) fn digest(name: &str) -> Digest {
    Digest::of([name.as_bytes()])
}

pub(super) fn worker(seconds: i64) -> WorkerId {
    WorkerId::generate(at(seconds))
}

/// What the script of a run without an event sees.
pub(super) fn document() -> Json {
    json!({"amount": 12.30, "note": "ü"})
}

/// A run nobody but a person asked for.
pub(super) fn manual(workflow: &str, seconds: i64) -> NewRun {
    NewRun {
        id: RunId::generate(at(seconds)),
        workflow: workflow.to_owned(),
        version: digest(workflow),
        cause: Cause::Manual {
            actor: "tess".to_owned(),
            reason: None,
            key: None,
        },
        event: document().into(),
        params: json!({"keep": 1000}),
        created_at: at(seconds),
        concurrency: None,
    }
}

pub(super) fn event(connection: &str, provider_id: &str, seconds: i64) -> Event {
    Event {
        id: EventId::generate(at(seconds)),
        connection: connection.to_owned(),
        provider_id: provider_id.to_owned(),
        kind: "deposit.received".to_owned(),
        subject: Some(format!("dep_{provider_id}")),
        occurred_at: Some(at(seconds - 1)),
        received_at: at(seconds),
        payload: json!({"id": provider_id, "amount": "12.30"}).into(),
    }
}

/// The run that an admitted event starts.
pub(super) fn caused(workflow: &str, mark: EventMark, event: &Event) -> NewRun {
    NewRun {
        cause: Cause::Webhook { event: event.id },
        event: RunEvent::Admitted(mark),
        ..manual(workflow, event.received_at.timestamp() - at(0).timestamp())
    }
}

pub(super) fn filter(connection: &str, subject: Option<&str>, since: i64) -> EventFilter {
    EventFilter {
        except: Vec::new(),
        connection: connection.to_owned(),
        types: vec!["deposit.received".to_owned()],
        subject: subject.map(str::to_owned),
        matching: Matching::default(),
        after: EventMark::default(),
        since: Some(at(since)),
    }
}

/// Admits an event that is not known.
pub(super) async fn admit(store: &dyn Store, event: &Event) -> EventMark {
    match store.admit(event.clone()).await {
        Ok(Admitted::New { mark, .. }) => mark,
        other => panic!("{other:?}"),
    }
}

/// Routes everything there is, with these runs.
pub(super) async fn route(store: &dyn Store, runs: Vec<NewRun>) -> Result<Routed, StoreError> {
    let unrouted = store.unrouted(1_000, 1_000_000).await?;
    let after = unrouted.after;
    let up_to = unrouted.events.last().map_or(after, |(mark, _)| *mark);
    store
        .route(Routing {
            after,
            up_to,
            runs,
            ..Routing::default()
        })
        .await
}

pub(super) fn path(text: &str) -> StepPath {
    text.parse().expect("a path")
}

pub(super) fn step(name: &str) -> Step {
    Step {
        name: name.to_owned(),
        summary: format!("{name} of something"),
        fingerprint: digest(name),
    }
}

pub(super) fn done(seq: u32) -> Record {
    Record {
        seq,
        at: at(i64::from(seq)),
        entry: Entry::Done {
            path: path(&seq.to_string()),
            step: step("now"),
            outcome: Outcome::Value(Value::Int(i64::from(seq))),
            began: seq.is_multiple_of(2).then(|| at(i64::from(seq))),
        },
    }
}

pub(super) fn intent(seq: u32, place: &str) -> Record {
    Record {
        seq,
        at: at(i64::from(seq)),
        entry: Entry::Intent {
            path: path(place),
            step: step("bank.create_payout"),
            intent: Box::new(Intent {
                connection: "bank".to_owned(),
                endpoint: "create_payout".to_owned(),
                epoch: 0,
                key: Some("key".to_owned()),
                key_safe_until: Some(at(86_400)),
                reference: "ref".to_owned(),
                fingerprint: digest("payout"),
                request: StoredRequest {
                    method: "POST".to_owned(),
                    path: "/payouts".to_owned(),
                    headers: vec![("content-type".to_owned(), "application/json".to_owned())],
                    body: Some("{\"amount\":\"12.30\"}".to_owned()),
                },
                movement: None,
                forgotten: None,
                before: std::collections::BTreeMap::new(),
                exclusive: None,
            }),
        },
    }
}

pub(super) fn retry(seq: u32, place: &str, attempt: u32) -> Record {
    Record {
        seq,
        at: at(i64::from(seq)),
        entry: Entry::Retry {
            path: path(place),
            step: step("bank.create_payout"),
            retry: Retry {
                look_up: false,
                waits: false,
                attempt,
                unknown: true,
                reason: "no answer".to_owned(),
                at: at(60),
            },
        },
    }
}

pub(super) fn wait(seq: u32, place: &str, event: Option<EventFilter>) -> Record {
    Record {
        seq,
        at: at(i64::from(seq)),
        entry: Entry::Waiting {
            path: path(place),
            step: step("wait_event"),
            wait: Wait {
                deadline: at(3_600),
                poll_at: None,
                event,
                approval: None,
            },
        },
    }
}

pub(super) fn doubt(seq: u32, place: &str) -> Record {
    Record {
        seq,
        at: at(i64::from(seq)),
        entry: Entry::InDoubt {
            path: path(place),
            step: step("bank.create_payout"),
            doubt: Doubt {
                code: "in_doubt".to_owned(),
                message: "no answer came".to_owned(),
            },
        },
    }
}

pub(super) fn records(records: impl IntoIterator<Item = Record>) -> Append {
    Append {
        records: records.into_iter().collect(),
        ..Append::default()
    }
}

pub(super) fn settle(settlement: Settlement) -> Append {
    Append {
        settlement: Some(settlement),
        ..Append::default()
    }
}

pub(super) fn succeeded() -> Settlement {
    Settlement::Succeeded { result: json!(null) }
}

pub(super) fn error(code: &str) -> RunError {
    RunError {
        code: code.to_owned(),
        message: format!("it was {code}"),
        trace: vec!["main at sweep.rhai:7:9".to_owned()],
    }
}

/// Makes a run and has a worker take it.
pub(super) async fn running(store: &dyn Store, workflow: &str, seconds: i64) -> Claim {
    let run = manual(workflow, seconds);
    let id = run.id;
    store.create_run(run).await.expect("made");
    take(store, seconds, id).await
}

/// Has a worker take exactly this run.
pub(super) async fn take(store: &dyn Store, seconds: i64, id: RunId) -> Claim {
    let claims = store
        .claim(worker(seconds), at(seconds), at(seconds) + TimeDelta::seconds(30), 100)
        .await
        .expect("claimed");
    let found = claims.into_iter().find(|claim| claim.run.id == id);
    found.expect("the run is queued")
}

/// A run parked at this time, with a step in doubt or without one.
pub(super) async fn parked(store: &dyn Store, seconds: i64, with_doubt: bool) -> RunId {
    let claim = running(store, "sweep", seconds).await;
    let mut append = settle(Settlement::Parked {
        error: error("in_doubt"),
    });
    append.records = if with_doubt {
        vec![intent(1, "1"), doubt(2, "1")]
    } else {
        vec![done(1)]
    };
    store.append(&claim.lease, append, at(seconds)).await.expect("parked");
    claim.run.id
}

/// What a person says about it.
pub(super) fn decision(run: RunId, place: Option<&str>, resolution: Resolution) -> Decision {
    Decision {
        run,
        path: place.map(path),
        resolution,
        actor: "tess".to_owned(),
        reason: "asked the bank".to_owned(),
        after: 0,
        at: at(70),
    }
}
