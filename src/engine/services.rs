//! What every turn of the process shares: the doors to the outside, and the settings.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::TimeDelta;

use super::backoff::Backoff;
use super::helpers::Helpers;
use super::pace::Pace;
use super::time::WallTime;
use crate::base::clock::{Clock, Instant};
use crate::base::wake::Wake;
use crate::connector::client::Client;
use crate::connector::connection::Connection;
use crate::script::Budget;
use crate::store::{Restored, Store};

/// How long what was done alone is remembered: longer than any table says that it may not be shown.
const ALONE_KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// How the engine behaves.
#[derive(Debug, Clone)]
pub struct EngineSettings {
    /// Runs driven at once; each takes a thread while it is driven, none while it waits.
    pub runs_max: usize,
    /// Pauses between attempts of one step.
    pub backoff: Backoff,
    /// When a wait for a resource first looks itself, in case no event comes.
    pub poll_first: Duration,
    /// The longest it lets pass between two looks.
    pub poll_ceiling: Duration,
    /// How long a lease holds without renewal.
    pub lease: Duration,
    /// Stack of each thread that runs scripts.
    pub stack_bytes: usize,
    /// What one turn of a script may use.
    pub budget: Budget,
}

/// What every turn shares.
pub struct Services {
    /// Where everything durable lives.
    pub store: Arc<dyn Store>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The way to the providers.
    pub client: Client,
    /// Connections by name.
    pub connections: BTreeMap<String, Arc<Connection>>,
    /// The runtime that script threads wait on.
    pub runtime: tokio::runtime::Handle,
    /// From which idempotency keys are derived.
    pub installation_secret: [u8; 32],
    /// Nudged when a run may be ready.
    pub wake: Wake,
    /// How to behave.
    pub settings: EngineSettings,
    /// Threads that help with branches.
    pub(super) helpers: Helpers,
    stopping: AtomicBool,
    due_hint: Mutex<Option<Instant>>,
    /// How fast each connection is asked, and whether anything new is begun on it.
    pub(super) pace: Pace,
    /// Until when each key that this process knows the age of is trusted, by the clock that never goes back.
    trusted: Mutex<BTreeMap<String, Duration>>,
    /// What each connection's provider last said that it was, and when, by the same clock.
    theirs: Mutex<BTreeMap<String, (Instant, Duration)>>,
    /// When what was done alone under a name of a connection ended in this process, by the same clock.
    alone: Mutex<BTreeMap<(String, String), Duration>>,
    /// What the store knows of an older state that was put back.
    restored: Mutex<Option<Restored>>,
    /// Whether the wall clock is believed.
    pub(super) wall_time: WallTime,
}

/// The parts of [`Services`] that are given from outside.
pub struct Parts {
    /// See [`Services::store`].
    pub store: Arc<dyn Store>,
    /// See [`Services::clock`].
    pub clock: Arc<dyn Clock>,
    /// See [`Services::client`].
    pub client: Client,
    /// See [`Services::connections`].
    pub connections: BTreeMap<String, Arc<Connection>>,
    /// See [`Services::wake`].
    pub wake: Wake,
    /// See [`Services::settings`].
    pub settings: EngineSettings,
}

impl Services {
    /// Reads the installation secret and puts the parts together. Called on the runtime that will serve them.
    ///
    /// # Errors
    /// What the store answers.
    pub async fn new(parts: Parts) -> Result<Self, crate::store::StoreError> {
        let installation_secret = parts.store.installation_secret().await?;
        let pace = Pace::new(parts.connections.values(), parts.store.breakers().await?);
        let restored = parts.store.restored(parts.clock.now()).await?;
        let doubted = parts.store.clock_doubt().await?.is_some();
        let seen = parts.store.clock_seen().await.unwrap_or_default();
        Ok(Self {
            wall_time: WallTime::new(parts.clock.as_ref(), doubted, seen),
            store: parts.store,
            clock: parts.clock,
            client: parts.client,
            connections: parts.connections,
            runtime: tokio::runtime::Handle::current(),
            installation_secret,
            wake: parts.wake,
            settings: parts.settings,
            helpers: Helpers::default(),
            stopping: AtomicBool::new(false),
            due_hint: Mutex::new(None),
            pace,
            trusted: Mutex::new(BTreeMap::new()),
            theirs: Mutex::new(BTreeMap::new()),
            alone: Mutex::new(BTreeMap::new()),
            restored: Mutex::new(restored),
        })
    }

    /// Whether the process is about to end: no step begins any more.
    pub fn stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// Lets every turn end at its next step.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        self.wake.nudge();
    }

    /// Remembers for how long a key is to be trusted from now on, unless that is known to be less.
    pub(super) fn trust(&self, key: &str, left: Duration) {
        let until = self.clock.elapsed().saturating_add(left);
        let mut trusted = self.trusted.lock().unwrap_or_else(PoisonError::into_inner);
        let known = trusted.entry(key.to_owned()).or_insert(until);
        *known = until.min(*known);
    }

    /// Whether a key is still to be trusted, if this process knows its age.
    pub(super) fn trusts(&self, key: &str) -> Option<bool> {
        let trusted = self.trusted.lock().unwrap_or_else(PoisonError::into_inner);
        trusted.get(key).map(|until| self.clock.elapsed() < *until)
    }

    /// The provider of a connection has just said what time it is.
    pub(super) fn hear_time(&self, connection: &str, time: Instant) {
        let now = self.clock.elapsed();
        let mut theirs = self.theirs.lock().unwrap_or_else(PoisonError::into_inner);
        theirs.insert(connection.to_owned(), (time, now));
    }

    /// What time it is at the provider of a connection, if it has said so to this process. It may be a little later: an
    /// answer takes its time.
    pub(super) fn time_at(&self, connection: &str) -> Option<Instant> {
        let theirs = self.theirs.lock().unwrap_or_else(PoisonError::into_inner);
        let (time, heard) = *theirs.get(connection)?;
        let since = TimeDelta::from_std(self.clock.elapsed().saturating_sub(heard)).ok()?;
        time.checked_add_signed(since)
    }

    /// A key's outcome is known.
    pub(super) fn forget_key(&self, key: &str) {
        let mut trusted = self.trusted.lock().unwrap_or_else(PoisonError::into_inner);
        trusted.remove(key);
    }

    /// Remembers that what was done alone under a name has ended now.
    pub(super) fn ended_alone(&self, connection: &str, name: String) {
        let now = self.clock.elapsed();
        let mut alone = self.alone.lock().unwrap_or_else(PoisonError::into_inner);
        alone.retain(|_, ended| now.saturating_sub(*ended) < ALONE_KEPT);
        alone.insert((connection.to_owned(), name), now);
    }

    /// Forgets that, because it is shown.
    pub(super) fn shown(&self, connection: &str, name: &str) {
        let mut alone = self.alone.lock().unwrap_or_else(PoisonError::into_inner);
        alone.remove(&(connection.to_owned(), name.to_owned()));
    }

    /// How much is left of a rest after what was done alone under a name, if it ended in this process.
    pub(super) fn rests(&self, connection: &str, name: &str, rest: Duration) -> Option<Duration> {
        let alone = self.alone.lock().unwrap_or_else(PoisonError::into_inner);
        let ended = alone.get(&(connection.to_owned(), name.to_owned()))?;
        let since = self.clock.elapsed().saturating_sub(*ended);
        rest.checked_sub(since).filter(|left| !left.is_zero())
    }

    /// What is known of an older state of the store that was put back.
    pub fn restored(&self) -> Option<Restored> {
        self.restored.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether nothing may be sent until a person accepts the restore, as the store has it now.
    pub(super) async fn still_holds(&self) -> bool {
        match self.store.restored(self.clock.now()).await {
            Ok(restored) => {
                let holds = restored.as_ref().is_some_and(Restored::holds);
                *self.restored.lock().unwrap_or_else(PoisonError::into_inner) = restored;
                holds
            }
            Err(error) => {
                tracing::error!(%error, "whether the restore was accepted cannot be read");
                true
            }
        }
    }

    /// Tells the dispatcher when a run that just went to wait is due.
    pub(super) fn due_hint(&self, due: Instant) {
        let mut hint = self.due_hint.lock().unwrap_or_else(PoisonError::into_inner);
        *hint = Some(hint.map_or(due, |known| known.min(due)));
    }

    /// The earliest such time since it was last asked for.
    pub(super) fn take_due_hint(&self) -> Option<Instant> {
        self.due_hint.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
