//! 100,000 runs that wait: what the daemon holds for them, how soon it serves, and how late they wake.
//!
//! The runs are parked by the store, as an earlier process would have left them, so that they need not be driven to
//! their waits one by one; from there on it is the program. Half of them sleep, half wait for an event of their own.
//! How late one is: the time its script saw when it went on, less the time it was due.

use std::path::Path;
use std::time::Duration;

use bursar::base::clock::{Clock as _, Instant, SystemClock};
use bursar::base::ids::{Digest, RunId, WorkerId};
use bursar::model::event::{EventFilter, Matching};
use bursar::model::journal::{Entry, Record, Step, StepPath, Wait};
use bursar::model::run::{Cause, EventMark, NewRun, RunState, Settlement};
use bursar::model::value::Value;
use bursar::model::workflow::Version;
use bursar::store::sqlite::{Durability, SqliteStore};
use bursar::store::{Append, Claim, RunQuery, Store};
use chrono::TimeDelta;
use serde_json::json;

use super::daemon::{answers, resident_mib, start};
use super::report::{Figure, fail, millis, per_second, percentile};
use super::{Options, rig, stub};

const RUNS: usize = 100_000;
/// Of these, due at times spread evenly over the span.
const SPREAD: usize = 4_000;
const SPAN: TimeDelta = TimeDelta::seconds(20);
/// Of these, due at one and the same instant.
const AT_ONCE: usize = 20_000;
/// Made, taken and parked at once.
const BATCH: usize = 2_000;
/// From the last run parked until the first one is due: the daemon starts meanwhile.
const LEAD: TimeDelta = TimeDelta::seconds(15);
const PATIENCE: Duration = Duration::from_secs(120);

const SLEEPS: &str = "sleep(\"1h\"); now()";
const LISTENS: &str = "stub::wait_event(#{ type: \"payment.requested\", subject: params.subject, timeout: \"1d\" }).id";

pub(crate) fn measure(options: &Options) -> Vec<Figure> {
    rig::runtime().block_on(round(&options.program))
}

async fn round(program: &Path) -> Vec<Figure> {
    let clock = SystemClock::new();
    let folder = rig::folder();
    rig::write_files(folder.path(), stub::payments().await);
    let due = park_all(folder.path()).await;
    let started = clock.elapsed();
    let mut daemon = start(program, folder.path());
    while !answers(folder.path(), daemon.id()).await {
        if clock.elapsed().saturating_sub(started) > PATIENCE {
            fail("the daemon does not come up");
        }
        clock.sleep(Duration::from_millis(2)).await;
    }
    let ready = clock.elapsed().saturating_sub(started);
    clock.sleep(Duration::from_secs(2)).await;
    let idle = resident_mib(daemon.id());

    let store = SqliteStore::open_read_only(&folder.path().join("state")).await;
    let store = store.unwrap_or_else(|error| fail(&error.to_string()));
    let mut most = idle;
    let woken = SPREAD + AT_ONCE;
    let began = clock.elapsed();
    while ended(store.as_ref()).await < woken {
        if clock.elapsed().saturating_sub(began) > PATIENCE {
            fail(&format!("only {} of {woken} runs woke", ended(store.as_ref()).await));
        }
        most = most.max(resident_mib(daemon.id()));
        clock.sleep(Duration::from_millis(200)).await;
    }
    let lags = lags(store.as_ref(), &due).await;
    let left = rig::counts(store.as_ref()).await.get("waiting").copied().unwrap_or(0);
    assert_eq!(left, (RUNS - woken) as u64, "a run that was not due woke");
    daemon.kill().expect("our own process");
    daemon.wait().expect("our own process");

    let at = |lags: &[Duration], percent| millis(percentile(lags, percent));
    let all = percentile(&lags.at_once, 100);
    let memory = |what: &str, mib: f64| Figure::new(what, format!("{mib:.1} MiB"));
    vec![
        Figure::new("start to ready, 100,000 waiting runs", millis(ready)),
        memory("resident when idle, 100,000 waiting runs", idle),
        memory("resident at most while 24,000 of them wake", most),
        Figure::new(
            "late, due at spread times (p50, p99, most)",
            format!(
                "{}, {}, {}",
                at(&lags.spread, 50),
                at(&lags.spread, 99),
                at(&lags.spread, 100)
            ),
        )
        .note(format!("{} runs in {} s", SPREAD, SPAN.num_seconds())),
        Figure::new("late, all due at one instant (p50, last)", {
            format!("{}, {}", at(&lags.at_once, 50), millis(all))
        })
        .note(format!("{AT_ONCE} runs, {:.0} in a second", per_second(AT_ONCE, all))),
    ]
}

/// When the runs that wake are due.
struct Due {
    first: Instant,
    /// All the others of them.
    at_once: Instant,
}

impl Due {
    fn of(&self, number: usize) -> Instant {
        if number < SPREAD {
            let place = i32::try_from(number).unwrap_or(i32::MAX);
            self.first + SPAN * place / i32::try_from(SPREAD).unwrap_or(i32::MAX)
        } else {
            self.at_once
        }
    }
}

/// Parks all the runs; those that wake come last, so that their times are near.
async fn park_all(folder: &Path) -> Due {
    let store = rig::store(folder, Durability::Normal).await;
    let clock = SystemClock::new();
    let (sleeps, listens) = (rig::version(SLEEPS), rig::version(LISTENS));
    for version in [&sleeps, &listens] {
        store.save_version(version.clone()).await.expect("a version");
    }
    let far = RUNS - SPREAD - AT_ONCE;
    for first in (0..far).step_by(BATCH) {
        let later = clock.now() + TimeDelta::hours(1);
        let version = if first % (2 * BATCH) == 0 { &sleeps } else { &listens };
        park(store.as_ref(), version, first..(first + BATCH).min(far), |_| later).await;
    }
    let first = clock.now() + LEAD;
    let due = Due {
        first,
        at_once: first + SPAN + TimeDelta::seconds(5),
    };
    for first in (0..SPREAD + AT_ONCE).step_by(BATCH) {
        park(store.as_ref(), &sleeps, first..first + BATCH, |number| due.of(number)).await;
    }
    if clock.now() + TimeDelta::seconds(2) > due.first {
        fail("this machine parks runs too slowly for the times they are due at");
    }
    store.close().await.expect("the store closes");
    due
}

async fn park(store: &dyn Store, version: &Version, numbers: std::ops::Range<usize>, due: impl Fn(usize) -> Instant) {
    let now = SystemClock::new().now();
    let mut made = Vec::with_capacity(numbers.len());
    for number in numbers.clone() {
        let run = NewRun {
            id: RunId::generate(now),
            workflow: version.workflow.clone(),
            version: version.digest,
            cause: Cause::Manual {
                actor: "bench".to_owned(),
                reason: None,
                key: None,
            },
            event: json!({"type": "manual"}).into(),
            params: json!({ "subject": format!("cus_{number}"), "number": number }),
            created_at: now,
            concurrency: None,
        };
        made.push(store.create_run(run));
    }
    for run in made {
        run.await.expect("a run");
    }
    let limit = u32::try_from(numbers.len()).unwrap_or(u32::MAX);
    let claims = store
        .claim(WorkerId::generate(now), now, now + TimeDelta::hours(1), limit)
        .await;
    let parked: Vec<_> = claims
        .expect("the runs are taken")
        .into_iter()
        .map(|claim| {
            let number = claim.run.params["number"]
                .as_u64()
                .and_then(|number| usize::try_from(number).ok());
            store.append(&claim.lease, waiting(&claim, due(number.unwrap_or(0)), now), now)
        })
        .collect();
    for run in parked {
        run.await.expect("the run waits");
    }
}

/// What the first turn of such a run leaves.
fn waiting(claim: &Claim, due: Instant, now: Instant) -> Append {
    let listens = claim.run.version == rig::version(LISTENS).digest;
    let (name, input) = if listens {
        let timeout = Value::text("1d");
        let given = [
            ("type", Value::text("payment.requested")),
            (
                "subject",
                Value::text(claim.run.params["subject"].as_str().unwrap_or("")),
            ),
            ("timeout", timeout),
        ];
        ("wait_event", Value::map(given).to_typed())
    } else {
        ("sleep", Value::Duration(TimeDelta::hours(1)).to_typed())
    };
    let event = listens.then(|| EventFilter {
        connection: "stub".to_owned(),
        types: vec!["payment.requested".to_owned()],
        subject: claim.run.params["subject"].as_str().map(str::to_owned),
        matching: Matching::default(),
        after: EventMark::default(),
        since: None,
        except: Vec::new(),
    });
    let entry = Entry::Waiting {
        path: StepPath::root().child(1),
        step: Step {
            name: name.to_owned(),
            summary: String::new(),
            fingerprint: Digest::of([name.as_bytes(), input.to_string().as_bytes()]),
        },
        wait: Wait {
            deadline: due,
            poll_at: None,
            event: event.clone(),
            approval: None,
        },
    };
    Append {
        records: vec![Record { seq: 1, at: now, entry }],
        settlement: Some(Settlement::Waiting {
            wake_at: due,
            waits_for: event.into_iter().collect(),
            seen: EventMark::default(),
        }),
        ..Append::default()
    }
}

async fn ended(store: &dyn Store) -> usize {
    let counts = rig::counts(store).await;
    for wrong in ["failed", "parked", "cancelled"] {
        if counts.get(wrong).is_some_and(|runs| *runs > 0) {
            fail(&format!("a run is {wrong}: {counts:?}"));
        }
    }
    let ended = counts.get("succeeded").copied().unwrap_or(0);
    usize::try_from(ended).unwrap_or(usize::MAX)
}

/// How late the runs went on.
struct Lags {
    spread: Vec<Duration>,
    at_once: Vec<Duration>,
}

async fn lags(store: &dyn Store, due: &Due) -> Lags {
    let query = RunQuery {
        states: vec![RunState::Succeeded],
        limit: u32::try_from(SPREAD + AT_ONCE).unwrap_or(u32::MAX),
        ..RunQuery::default()
    };
    let mut lags = Lags {
        spread: Vec::new(),
        at_once: Vec::new(),
    };
    for run in store.runs(query).await.expect("the store answers") {
        let number = run.params["number"]
            .as_u64()
            .and_then(|number| usize::try_from(number).ok());
        let went_on = run.result.as_ref().and_then(|result| Value::from_typed(result).ok());
        let (Some(number), Some(Value::Time(at))) = (number, went_on) else {
            fail("a run that woke says no time");
        };
        let late = at - due.of(number);
        if late < TimeDelta::zero() {
            fail("a run woke before its time");
        }
        let late = late.to_std().unwrap_or_default();
        if number < SPREAD {
            lags.spread.push(late);
        } else {
            lags.at_once.push(late);
        }
    }
    lags.spread.sort();
    lags.at_once.sort();
    lags
}
