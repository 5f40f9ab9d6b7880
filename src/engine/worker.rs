//! Drives runs: takes queued ones under a lease, gives each to a script thread, and settles what comes back.
//!
//! One dispatcher (asynchronous) and a fixed pool of script threads. The dispatcher never runs a script, a
//! script thread never takes a run by itself. A turn that panics parks its run and harms no other.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::TimeDelta;
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinHandle};

use super::inbox::Inbox;
use super::interrupt::Interrupt;
use super::live::Live;
use super::services::Services;
use super::settle::NeedsPerson;
use super::turn::Turn;
use crate::base::clock::Instant;
use crate::base::fault_point::{FaultPoint, reach};
use crate::base::ids::{Digest, WorkerId};
use crate::base::wake::Wake;
use crate::model::journal::Journal;
use crate::model::run::{RunError, Settlement};
use crate::model::value::Value;
use crate::model::workflow::Version;
use crate::script::{Function, Globals, Interpreter, Limit, Ran, ScriptError, spawn_script_thread_with};
use crate::store::{Append, Claim, Lease, StoreError};

/// How often the dispatcher looks by itself, in case a nudge was lost or another process made a run.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// For so long after the start a claim is durable before its turn begins. A script that brings the process down at
/// once would otherwise take the word of it along, and nobody could tell how often it did.
const CAREFUL_FOR: Duration = Duration::from_secs(10);
/// Versions kept in memory, with their texts.
const VERSIONS_KEPT: usize = 64;

/// What is said of a run whose turn panicked.
const FAILED: &str = "the program itself failed while it drove this run; its log has more";

type Versions = Mutex<BTreeMap<Digest, Arc<Version>>>;

/// The running engine. Dropping it does not stop it; [`Engine::stop`] does.
pub struct Engine {
    services: Arc<Services>,
    /// None: it has ended, and somebody was told.
    dispatcher: Option<JoinHandle<()>>,
    threads: Vec<std::thread::JoinHandle<()>>,
    /// Ends when no end of a turn is on its way to the store any more.
    settled: mpsc::Receiver<Infallible>,
}

impl Engine {
    /// Starts the threads and the dispatcher. Nothing of an interpreter is shared between threads.
    ///
    /// # Errors
    /// What the operating system says when it gives no thread.
    pub fn start(services: Arc<Services>, worker: WorkerId) -> std::io::Result<Self> {
        let inbox = Arc::new(Inbox::default());
        let (settling, settled) = mpsc::channel(1);
        let live = Live::default();
        let freed = Wake::new();
        let versions = Arc::new(Versions::default());
        let mut threads = Vec::with_capacity(services.settings.runs_max);
        for number in 0..services.settings.runs_max {
            let (services, inbox, live) = (services.clone(), inbox.clone(), live.clone());
            let (freed, versions, settling) = (freed.clone(), versions.clone(), settling.clone());
            let stack_bytes = services.settings.stack_bytes;
            threads.push(spawn_script_thread_with(
                stack_bytes,
                &format!("script-{number}"),
                move || {
                    // With its first run: an interpreter is some hundred kilobytes, and most threads of a daemon
                    // that has little to do are never needed.
                    let mut driver = None;
                    while let Some(claim) = inbox.take() {
                        let (lease, workflow) = (claim.lease.clone(), claim.run.workflow.clone());
                        let _driven = live.drive(&lease, &freed);
                        let drive = AssertUnwindSafe(|| {
                            driver
                                .get_or_insert_with(|| {
                                    Driver::new(services.clone(), versions.clone(), settling.clone())
                                })
                                .drive(claim);
                        });
                        if catch_unwind(drive).is_err() {
                            driver = None;
                            tracing::error!(run = %lease.run, "a script thread failed; this is a bug");
                            services.runtime.block_on(abandon(&services, &lease, workflow, FAILED));
                        }
                    }
                },
            )?);
        }
        let dispatcher = Dispatcher {
            services: services.clone(),
            worker,
            inbox,
            live,
            freed,
            started: services.clock.elapsed(),
        };
        let dispatcher = Some(tokio::spawn(dispatcher.run()));
        Ok(Self {
            services,
            dispatcher,
            threads,
            settled,
        })
    }

    /// Waits for the end of the dispatcher: while nobody asked for it, nothing takes runs any more then.
    ///
    /// # Errors
    /// How it died.
    pub async fn ended(&mut self) -> Result<(), JoinError> {
        let Some(dispatcher) = &mut self.dispatcher else {
            return std::future::pending().await;
        };
        let ended = dispatcher.await;
        self.dispatcher = None;
        ended
    }

    /// Ends in good order: no run is taken any more, each turn ends at its next step, what is under way is
    /// recorded. Returns when the last turn has ended and its end is durable.
    pub async fn stop(mut self) {
        self.services.stop();
        if let Some(dispatcher) = self.dispatcher.take()
            && let Err(error) = dispatcher.await
        {
            tracing::error!(%error, "the dispatcher ended badly");
        }
        // The dispatcher closed the inbox with its end: every thread ends after its present run.
        let (threads, services) = (self.threads, self.services);
        let joined = tokio::task::spawn_blocking(move || {
            let joined = threads.into_iter().all(|thread| thread.join().is_ok());
            services.helpers.close();
            joined
        })
        .await;
        if !matches!(joined, Ok(true)) {
            tracing::error!("a script thread ended badly");
        }
        // Nothing is ever sent: it answers when the last sender is gone.
        let none: Option<Infallible> = self.settled.recv().await;
        debug_assert!(none.is_none(), "nothing can be sent");
    }
}

struct Dispatcher {
    services: Arc<Services>,
    worker: WorkerId,
    inbox: Arc<Inbox>,
    live: Live,
    freed: Wake,
    /// When, by the clock that never goes back.
    started: Duration,
}

/// However it ends, by a panic too: the threads end after their present runs.
impl Drop for Dispatcher {
    fn drop(&mut self) {
        self.inbox.close();
    }
}

impl Dispatcher {
    async fn run(self) {
        if let Err(error) = self.services.forget_what_is_not_held().await {
            tracing::warn!(%error, "connections may be told to be held that are not");
        }
        let clock = self.services.clock.clone();
        let mut next_due = Some(clock.now());
        let mut looked_at = clock.elapsed();
        while !self.services.stopping() {
            let now = clock.now();
            let look = clock.elapsed().saturating_sub(looked_at) >= LOOK_EVERY;
            if look && let Err(error) = self.services.watch_time().await {
                tracing::error!(%error, "whether the clock is right is not known");
            }
            if look || next_due.is_some_and(|due| due <= now) {
                looked_at = clock.elapsed();
                next_due = self.wake_due(now).await;
            }
            let free = self.services.settings.runs_max.saturating_sub(self.live.count());
            let took = if free > 0 { self.claim(now, free).await } else { 0 };
            // As many as could be: there may be more.
            if took > 0 && took == free {
                continue;
            }
            // From now on, not from before the claim, which took its time.
            let pause = next_due
                .map_or(LOOK_EVERY, |due| (due - clock.now()).to_std().unwrap_or_default())
                .min(LOOK_EVERY);
            tokio::select! {
                () = self.services.wake.nudged() => next_due = self.sooner(next_due),
                () = self.freed.nudged() => next_due = self.sooner(next_due),
                () = clock.sleep(pause) => {}
            }
        }
    }

    /// A run that went to wait may be due before everything the store told us of last.
    fn sooner(&self, next_due: Option<Instant>) -> Option<Instant> {
        let hint = self.services.take_due_hint();
        match (next_due, hint) {
            (Some(due), Some(hint)) => Some(due.min(hint)),
            (due, hint) => due.or(hint),
        }
    }

    /// First the leases of the runs that are driven here, so that no jump of the clock makes them lapse; then
    /// whatever is due, and whatever nobody drives any more.
    async fn wake_due(&self, now: Instant) -> Option<Instant> {
        let driven = self.live.runs();
        if !driven.is_empty()
            && let Err(error) = self
                .services
                .store
                .renew(self.worker, driven, self.lease_until(now))
                .await
        {
            tracing::error!(%error, "leases could not be renewed");
            return None;
        }
        match self.services.store.wake_due(now).await {
            Ok((_, next)) => next,
            Err(error) => {
                tracing::error!(%error, "waiting runs could not be looked at");
                None
            }
        }
    }

    async fn claim(&self, now: Instant, free: usize) -> usize {
        let limit = u32::try_from(free).unwrap_or(u32::MAX);
        let claims = match self
            .services
            .store
            .claim(self.worker, now, self.lease_until(now), limit)
            .await
        {
            Ok(claims) => claims,
            Err(error) => {
                tracing::error!(%error, "queued runs could not be taken");
                return 0;
            }
        };
        let took = claims.len();
        if took > 0
            && self.services.clock.elapsed().saturating_sub(self.started) < CAREFUL_FOR
            && let Err(error) = self.services.store.durable().await
        {
            tracing::error!(%error, "the store does not answer");
            return 0;
        }
        for claim in claims {
            self.live.add(&claim.lease);
            self.inbox.put(claim);
        }
        took
    }

    fn lease_until(&self, now: Instant) -> Instant {
        now + TimeDelta::from_std(self.services.settings.lease).unwrap_or(TimeDelta::MAX)
    }
}

/// An interpreter for the thread that calls this.
pub(super) fn interpreter(services: &Services) -> Interpreter<Turn> {
    let functions: Vec<Function<Turn>> = super::primitives::functions(&services.connections);
    Interpreter::new(&functions, services.clock.clone()).with_common_modules(&["log", "state"])
}

/// What one script thread owns.
struct Driver {
    services: Arc<Services>,
    versions: Arc<Versions>,
    interpreter: Interpreter<Turn>,
    settling: mpsc::Sender<Infallible>,
}

impl Driver {
    fn new(services: Arc<Services>, versions: Arc<Versions>, settling: mpsc::Sender<Infallible>) -> Self {
        let interpreter = interpreter(&services);
        Self {
            services,
            versions,
            interpreter,
            settling,
        }
    }

    fn drive(&mut self, claim: Claim) {
        let lease = claim.lease.clone();
        let workflow = claim.run.workflow.clone();
        let run = lease.run;
        match catch_unwind(AssertUnwindSafe(|| self.turn(claim))) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::error!(%run, workflow, %error, "a turn could not begin");
                self.abandon(&lease, workflow, &error.to_string());
            }
            Err(_) => {
                tracing::error!(%run, workflow, "a turn panicked; this is a bug");
                self.abandon(&lease, workflow, FAILED);
            }
        }
    }

    fn abandon(&self, lease: &Lease, workflow: String, why: &str) {
        self.services
            .runtime
            .block_on(abandon(&self.services, lease, workflow, why));
    }

    fn turn(&mut self, claim: Claim) -> Result<(), StoreError> {
        reach(FaultPoint::RunTaken);
        let Claim {
            lease,
            at,
            run,
            records,
        } = claim;
        let version = self.version(run.version)?;
        let missing = version.sources.is_empty();
        let gone = version
            .uses
            .iter()
            .find(|name| !self.services.connections.contains_key(*name))
            .cloned();
        let globals = globals(&run);
        let workflow = run.workflow.clone();
        let (journal, damage) = match Journal::from_records(records) {
            Ok(journal) => (journal, None),
            Err(illegal) => (Journal::default(), Some(illegal.to_string())),
        };
        let turn = Turn::new(self.services.clone(), run, version.clone(), lease.clone(), journal);
        let turn = Arc::new(turn.claimed_at(at));
        let end = match (damage, globals) {
            _ if missing => parked(
                "damaged",
                "its version is not in the store: was a backup restored in part?".to_owned(),
            ),
            // A script that caught the failure of one bank could pay by another.
            _ if gone.is_some() => parked(
                "missing_connection",
                format!(
                    "connection `{}` is not configured any more: put it back, then resolve the run",
                    gone.unwrap_or_default()
                ),
            ),
            (Some(message), _) => parked(
                "diverged",
                format!("the journal does not follow its own rules: {message}"),
            ),
            // It was read before, if the run got anywhere.
            (None, Err(message)) if turn.has_unmet() => parked("unreadable_event", message),
            (None, Err(message)) => failed("unreadable_event", message),
            (None, Ok(globals)) => {
                let budget = self.services.settings.budget;
                let ran = self.interpreter.run(&version, turn.clone(), globals, budget);
                settlement(ran, turn.unreached(), turn.has_unmet())
            }
        };
        // Handed over in order, so this thread need not wait for it: whoever takes the run next stands behind it.
        reach(FaultPoint::TurnOver);
        let settled = turn.settle(end);
        let (services, settling) = (self.services.clone(), self.settling.clone());
        self.services.runtime.spawn(async move {
            match settled.await {
                Ok(true) => {}
                Ok(false) => {
                    tracing::warn!(run = %lease.run, "the run was taken by somebody else; this turn changed nothing");
                }
                Err(error) => {
                    tracing::error!(run = %lease.run, %error, "a turn could not be settled");
                    abandon(&services, &lease, workflow, &error.to_string()).await;
                }
            }
            drop(settling);
        });
        self.after(&turn);
        Ok(())
    }

    fn after(&self, turn: &Turn) {
        if let Some(Interrupt::Waiting { wake_at, .. }) = turn.interrupt_reason() {
            self.services.due_hint(wake_at);
        }
    }

    fn version(&self, digest: Digest) -> Result<Arc<Version>, StoreError> {
        let mut versions = self.versions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(version) = versions.get(&digest) {
            return Ok(version.clone());
        }
        let version = self.services.runtime.block_on(self.services.store.version(digest))?;
        // Without its texts a run cannot go on; the turn parks it, so that nothing else is held up.
        let Some(version) = version else {
            return Ok(Arc::new(Version {
                digest,
                ..Version::new(String::new(), String::new(), Vec::new(), Vec::new())
            }));
        };
        let version = Arc::new(version);
        if versions.len() >= VERSIONS_KEPT {
            versions.pop_first();
        }
        versions.insert(digest, version.clone());
        Ok(version)
    }
}

/// Parks a run whose turn could not be settled. Left alone it would stay under a lease that this process
/// renews. What was durable of the turn stays; nothing else is written.
async fn abandon(services: &Services, lease: &Lease, workflow: String, why: &str) {
    let settlement = Some(parked("internal", why.to_owned()));
    let append = Append {
        settlement,
        ..Append::default()
    };
    match services.store.append(lease, append, services.clock.now()).await {
        Ok(()) => NeedsPerson {
            run: lease.run,
            workflow,
            step: None,
            code: "internal".to_owned(),
        }
        .tell(),
        Err(error) => tracing::error!(run = %lease.run, %error, "the run could not be parked either"),
    }
}

pub(super) fn globals(run: &crate::model::run::Run) -> Result<Globals, String> {
    let read = |json, what| Value::from_plain(json).map_err(|error| format!("{what} cannot be read: {error}"));
    let time = |at: Option<Instant>| at.map_or(Value::Null, Value::Time);
    Ok(Globals {
        event: read(&run.event, "the event")?,
        params: read(&run.params, "the parameters")?,
        run: Value::map([
            ("id", Value::text(run.id.to_string())),
            ("workflow", Value::text(&run.workflow)),
            ("created_at", Value::Time(run.created_at)),
            ("last_success", time(run.last_success_at)),
        ]),
    })
}

/// What a run is left as. `unreached`: a step that its journal has and this turn did not come to. A script that ended by
/// itself before such a step has changed; one that was stopped has not had the time to come to it, and will perhaps
/// another time.
fn settlement(ran: Ran, unreached: Option<String>, has_unmet: bool) -> Settlement {
    match (ran, unreached) {
        (Ran::Finished(_) | Ran::Failed(_), Some(message)) => parked("diverged", message),
        (Ran::Exhausted { limit, trace }, _) if has_unmet => Settlement::Parked {
            error: exhausted(limit, trace),
        },
        (ran, _) => settlement_of(ran),
    }
}

fn exhausted(limit: Limit, trace: Vec<String>) -> RunError {
    RunError {
        code: "script_exhausted".to_owned(),
        message: limit.describe(),
        trace,
    }
}

fn settlement_of(ran: Ran) -> Settlement {
    match ran {
        Ran::Finished(value) => Settlement::Succeeded {
            result: value.to_typed(),
        },
        Ran::Failed(ScriptError {
            code, message, trace, ..
        }) => Settlement::Failed {
            error: RunError { code, message, trace },
        },
        Ran::Panicked => parked(
            "internal",
            "the program itself failed while it ran the script; its log has more".to_owned(),
        ),
        Ran::Exhausted { limit, trace } => Settlement::Failed {
            error: exhausted(limit, trace),
        },
        // The turn knows why, and says so when it is settled.
        Ran::Interrupted => Settlement::Queued,
    }
}

fn failed(code: &str, message: String) -> Settlement {
    Settlement::Failed {
        error: RunError {
            code: code.to_owned(),
            message,
            trace: Vec::new(),
        },
    }
}

fn parked(code: &str, message: String) -> Settlement {
    Settlement::Parked {
        error: RunError {
            code: code.to_owned(),
            message,
            trace: Vec::new(),
        },
    }
}
