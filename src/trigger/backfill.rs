//! Backfill: an event whose webhook never came is taken from the provider's own list of events.
//!
//! At start, and from time to time, each list is read from where the last reading began, with an overlap. Every event
//! is offered to the store, which knows those that came by webhook; so one that was missed starts its runs, and one
//! that was not starts none a second time. A long list is read in parts, each behind the one before, and a
//! list that breaks off is read on from there. All of it keeps to the pace of its connection and hears its breaker. Must
//! not decide what an event starts, and must not move the mark behind an event that was not admitted.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta};

use super::webhook::Connections;
use crate::base::clock::{Clock, Instant};
use crate::base::guard::{Guard, holds};
use crate::base::ids::EventId;
use crate::base::limits::{BACKFILL_OVERLAP, BACKFILLED_EVENTS_MAX, LISTED_PAGES_MAX};
use crate::base::shutdown::Shutdown;
use crate::base::wake::Wake;
use crate::connector::client::{Client, SendError};
use crate::connector::connection::Connection;
use crate::connector::event::read_listed;
use crate::connector::page::{self, Next, Walk};
use crate::connector::reply::{RawAnswer, Verdict, classify, classify_error};
use crate::connector::request;
use crate::connector::table::{self, Endpoint};
use crate::model::event::Event;
use crate::model::journal::StoredRequest;
use crate::model::value::{Map, Value, time_text};
use crate::store::{Admitted, Store, StoreError};

/// No clock that is right is before this program.
const EARLIEST: Instant = DateTime::from_timestamp(1_767_225_600, 0).expect("2026-01-01");
/// How soon a list that could not be read is tried again; each time after twice as long.
const RETRY: Duration = Duration::from_secs(60);
/// So often it is doubled.
const DOUBLINGS_MAX: u32 = 6;
/// The shortest wait for a provider in trouble, whatever its breaker says.
const HELD_MIN: Duration = Duration::from_secs(1);
/// The longest it takes until it is tried again.
const RETRY_MAX: Duration = Duration::from_secs(3_600);

/// What a reading came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Filled {
    /// Events that no webhook had brought.
    pub new: u64,
    /// Events that were known.
    pub known: u64,
    /// Events that happened before those that were pruned.
    pub too_old: u64,
    /// Items of the list that are no events we could take.
    pub unreadable: u64,
    /// The provider had forgotten what happened before this time, though it had not been read.
    pub lost_before: Option<Instant>,
    /// Whether there is more of the list: the next reading goes on behind this one.
    pub goes_on: bool,
}

/// Why a list could not be read to its end. What was admitted stays; the next reading goes on where this one ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BackfillError {
    /// The provider did not give it.
    #[error("the list of events could not be read: {0}")]
    Provider(String),
    /// The provider is in trouble, or refuses our key: nothing was asked.
    #[error("nothing is asked on the connection until {}", time_text(*.0))]
    Held(Instant),
    /// It is not known which events are missed.
    #[error("the clock says {0}, which cannot be")]
    Clock(String),
    /// It seems to have no end.
    #[error("the list of events has more than {LISTED_PAGES_MAX} pages")]
    TooLong,
    /// The store could not take it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Says after how long a read may be sent, or until when nothing is to be asked.
pub type MayAsk = dyn Fn(&Connection) -> Result<Duration, Instant> + Send + Sync;
/// Hears what a read came to.
pub type Heard = dyn Fn(&Connection, &Result<RawAnswer, SendError>, &Verdict) + Send + Sync;

/// How all else fares that is asked on the same connections: one pace, one breaker.
pub struct Traffic {
    /// Asked before each read.
    pub may_ask: Box<MayAsk>,
    /// Told after it.
    pub heard: Box<Heard>,
}

/// A list that was not read to its end.
#[derive(Debug, Clone)]
struct Reading {
    /// When its first page was asked for.
    begun: Instant,
    /// From when it is read.
    from: Instant,
    /// The page that comes next.
    next: StoredRequest,
    /// What was shown so far.
    walk: Walk,
    /// How many were read.
    pages: usize,
}

/// Reads the lists.
pub struct Backfill {
    /// Where events go.
    pub store: Arc<dyn Store>,
    /// Whose lists.
    pub connections: Arc<Connections>,
    /// The way to them.
    pub client: Client,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Tells the router of new events.
    pub arrived: Wake,
    /// Tells the workers of runs that waited for them.
    pub wake: Wake,
    /// The time between two readings.
    pub every: Duration,
    /// How many pages are read at once at most; what is left is read afterwards.
    pub pages_max: usize,
    /// What else is asked.
    pub traffic: Traffic,
    /// Where each list is to be read on.
    pub readings: Readings,
}

/// Lists that were not read to their ends, by connection.
#[derive(Debug, Default)]
pub struct Readings(Mutex<BTreeMap<String, Reading>>);

impl Readings {
    fn take(&self, connection: &str) -> Option<Reading> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(connection)
    }

    fn keep(&self, connection: &str, reading: Reading) {
        let mut readings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        readings.insert(connection.to_owned(), reading);
    }
}

/// When a list is read next, and how it went.
#[derive(Debug, Default)]
struct Turn {
    due: Duration,
    /// Failures since the last reading that was none.
    failures: u32,
    /// What was said of the last one.
    said: Option<String>,
}

impl Backfill {
    /// Reads at once, and then from time to time, until it is told to stop.
    pub async fn run(self, mut shutdown: Shutdown) {
        let lists = self
            .connections
            .values()
            .filter(|connection| list_of(connection).is_some());
        let mut turns: Vec<(&Arc<Connection>, Turn)> = lists.map(|connection| (connection, Turn::default())).collect();
        loop {
            for (connection, turn) in &mut turns {
                if shutdown.is_requested() {
                    return;
                }
                if turn.due <= self.clock.elapsed()
                    && let Some(filled) = self.fill(connection).await
                {
                    let pause = turn.report(connection, filled, self.every, self.clock.now());
                    turn.due = self.clock.elapsed().saturating_add(pause);
                }
            }
            let Some(next) = turns.iter().map(|(_, turn)| turn.due).min() else {
                return shutdown.requested().await;
            };
            tokio::select! {
                () = self.clock.sleep(next.saturating_sub(self.clock.elapsed())) => {}
                () = shutdown.requested() => return,
            }
        }
    }

    /// Reads the list of one connection, if it has one.
    pub async fn fill(&self, connection: &Connection) -> Option<Result<Filled, BackfillError>> {
        let (backfill, list) = list_of(connection)?;
        Some(self.read(connection, backfill, list).await)
    }

    async fn read(
        &self,
        connection: &Connection,
        backfill: &table::Backfill,
        list: &Endpoint,
    ) -> Result<Filled, BackfillError> {
        let mut filled = Filled::default();
        let mut reading = match self.readings.take(&connection.name) {
            Some(reading) => reading,
            None => match self.begin(connection, backfill, list, &mut filled).await? {
                Some(reading) => reading,
                None => return Ok(filled),
            },
        };
        let ended = self
            .read_pages(connection, backfill, list, &mut reading, &mut filled)
            .await;
        match ended {
            Ok(End::Whole) => {}
            // What was read is admitted: it goes on behind that.
            Ok(End::Part) => {
                filled.goes_on = true;
                self.readings.keep(&connection.name, reading);
                return Ok(filled);
            }
            Err(stopped) => {
                if !holds(Guard::BackfillWhole) {
                    self.move_mark(connection, &reading).await?;
                } else if stopped.goes_on {
                    self.readings.keep(&connection.name, reading);
                }
                return Err(stopped.error);
            }
        }
        self.move_mark(connection, &reading).await?;
        Ok(filled)
    }

    /// Not from now on: what has just happened may be shown a moment later.
    async fn move_mark(&self, connection: &Connection, reading: &Reading) -> Result<(), StoreError> {
        let next = reading.from.max(reading.begun - BACKFILL_OVERLAP);
        self.store.set_backfill_from(&connection.name, next).await
    }

    /// A new reading; none if this is the first time that anybody looks.
    async fn begin(
        &self,
        connection: &Connection,
        backfill: &table::Backfill,
        list: &Endpoint,
        filled: &mut Filled,
    ) -> Result<Option<Reading>, BackfillError> {
        let begun = self.clock.now();
        if begun < EARLIEST {
            return Err(BackfillError::Clock(time_text(begun)));
        }
        let Some(mark) = self.store.backfill_from(&connection.name).await? else {
            // What happened before the first start is nobody's: nothing was to be done about it.
            self.store.set_backfill_from(&connection.name, begun).await?;
            return Ok(None);
        };
        let kept_since = begun - TimeDelta::days(backfill.window_days.into());
        let mut from = mark.from;
        if from < kept_since {
            filled.lost_before = Some(kept_since);
        } else if from > begun && holds(Guard::BackfillClock) {
            // The clock was ahead once, and nobody knows since when: all there is is looked at, but what is nobody's.
            tracing::warn!(
                connection = connection.name,
                "the clock was set back: the list of events is read from its beginning"
            );
            from = mark.first_at.min(begun - BACKFILL_OVERLAP).max(kept_since);
        }
        let args: Map = [(backfill.since.clone(), Value::Time(from.max(kept_since)))]
            .into_iter()
            .collect();
        let prepared = request::prepare(connection, list, &args, None)
            .map_err(|failure| BackfillError::Provider(failure.message))?;
        Ok(Some(Reading {
            begun,
            from,
            walk: Walk::of_request(list, &prepared.request),
            next: prepared.request,
            pages: 0,
        }))
    }

    async fn read_pages(
        &self,
        connection: &Connection,
        backfill: &table::Backfill,
        list: &Endpoint,
        reading: &mut Reading,
        filled: &mut Filled,
    ) -> Result<End, Stopped> {
        let received_at = self.clock.now();
        // The newest come first, and are to be admitted last; so they are kept until the end, as far as there is room.
        let mut events = Vec::new();
        for _ in 0..self.pages_max {
            if reading.pages >= LISTED_PAGES_MAX {
                return Err(Stopped::for_good(BackfillError::TooLong));
            }
            let answer = match self.page(connection, list, &reading.next).await {
                Ok(answer) => answer,
                Err(mut stopped) => {
                    self.admit(&mut events, filled).await?;
                    // The first page is asked for anew, from where the store says.
                    stopped.goes_on &= reading.pages > 0;
                    return Err(stopped);
                }
            };
            reading.pages += 1;
            let (shown, next) = reading.walk.take(&answer);
            for item in shown {
                match read_listed(
                    &connection.connector,
                    backfill,
                    item,
                    &connection.name,
                    EventId::generate(received_at),
                    received_at,
                ) {
                    Ok(event) => events.push(event),
                    Err(error) => {
                        filled.unreadable += 1;
                        tracing::warn!(connection = connection.name, %error, "an event of the list cannot be read");
                    }
                }
            }
            if events.len() >= BACKFILLED_EVENTS_MAX {
                self.admit(&mut events, filled).await?;
            }
            match next {
                Next::At(position) => reading.next = page::turn_to(list, &reading.next, &position),
                Next::Lost(reason) => return Err(Stopped::for_good(BackfillError::Provider(reason))),
                Next::End => {
                    self.admit(&mut events, filled).await?;
                    return Ok(End::Whole);
                }
            }
        }
        self.admit(&mut events, filled).await?;
        Ok(End::Part)
    }

    async fn page(&self, connection: &Connection, list: &Endpoint, request: &StoredRequest) -> Result<Value, Stopped> {
        match (self.traffic.may_ask)(connection) {
            Ok(Duration::ZERO) => {}
            Ok(wait) => self.clock.sleep(wait).await,
            Err(until) => return Err(Stopped::for_now(BackfillError::Held(until))),
        }
        let answer = self.client.send(connection, list, request, None).await;
        let verdict = match &answer {
            Ok(answer) => classify(&connection.connector, list, request, None, answer),
            Err(error) => classify_error(list, error),
        };
        (self.traffic.heard)(connection, &answer, &verdict);
        match verdict {
            Verdict::Applied { value, .. } => Ok(value),
            // Who says to come later may be asked for this page again; who refuses it does not know it any more.
            Verdict::NotApplied { failure, retry, .. } => Err(Stopped {
                error: BackfillError::Provider(failure.message),
                goes_on: retry.is_some(),
            }),
            Verdict::Unknown { reason, .. } | Verdict::Contradiction { reason } => {
                Err(Stopped::for_now(BackfillError::Provider(reason)))
            }
        }
    }

    /// Offers events to the store, oldest first.
    async fn admit(&self, events: &mut Vec<Event>, filled: &mut Filled) -> Result<(), BackfillError> {
        events.sort_by_key(|event| event.occurred_at);
        let (mut is_new, mut wakes_any) = (false, false);
        let answers: Vec<_> = events.drain(..).map(|event| self.store.admit(event)).collect();
        for answer in answers {
            match answer.await? {
                Admitted::New { wakes, .. } => {
                    filled.new += 1;
                    is_new = true;
                    wakes_any |= wakes;
                }
                Admitted::Duplicate { .. } => filled.known += 1,
                Admitted::TooOld { .. } => filled.too_old += 1,
            }
        }
        if is_new {
            self.arrived.nudge();
        }
        if wakes_any {
            self.wake.nudge();
        }
        Ok(())
    }
}

/// What a reading left of a list.
enum End {
    /// Nothing.
    Whole,
    /// The pages behind those that were read.
    Part,
}

/// Why a reading ended early, and whether the next one goes on where it ended.
struct Stopped {
    error: BackfillError,
    goes_on: bool,
}

impl Stopped {
    fn for_now(error: BackfillError) -> Self {
        Self { error, goes_on: true }
    }

    fn for_good(error: BackfillError) -> Self {
        Self { error, goes_on: false }
    }
}

impl From<BackfillError> for Stopped {
    fn from(error: BackfillError) -> Self {
        Self::for_good(error)
    }
}

/// The list of events of a connection, if its provider keeps one.
fn list_of(connection: &Connection) -> Option<(&table::Backfill, &Endpoint)> {
    let backfill = connection.connector.backfill()?;
    Some((backfill, connection.connector.endpoint(&backfill.endpoint)?))
}

impl Turn {
    /// Says what came of a reading, and how long to wait for the next one.
    fn report(
        &mut self,
        connection: &Connection,
        filled: Result<Filled, BackfillError>,
        every: Duration,
        now: Instant,
    ) -> Duration {
        match filled {
            Ok(filled) => {
                if self.said.take().is_some() {
                    tracing::info!(
                        connection = connection.name,
                        failures = self.failures,
                        "missed webhooks can be looked for again"
                    );
                }
                self.failures = 0;
                tell(connection, filled);
                if filled.goes_on { Duration::ZERO } else { every }
            }
            // Said by whoever found out.
            Err(BackfillError::Held(until)) => (until - now).to_std().unwrap_or_default().max(HELD_MIN),
            Err(error) => {
                let pause = RETRY
                    .saturating_mul(1 << self.failures.min(DOUBLINGS_MAX))
                    .min(RETRY_MAX);
                self.failures = self.failures.saturating_add(1);
                let error = error.to_string();
                if self.said.as_ref() == Some(&error) {
                    tracing::debug!(
                        connection = connection.name,
                        error,
                        "missed webhooks still cannot be looked for"
                    );
                } else {
                    tracing::warn!(
                        connection = connection.name,
                        error,
                        "missed webhooks could not be looked for; it is tried again after {} s, and then more rarely",
                        pause.as_secs()
                    );
                    self.said = Some(error);
                }
                pause
            }
        }
    }
}

fn tell(connection: &Connection, filled: Filled) {
    let connection = connection.name.as_str();
    if let Some(lost) = filled.lost_before {
        let before = time_text(lost);
        tracing::error!(
            connection,
            before,
            "the provider has forgotten events that were never read: look at its own records for what happened before"
        );
    }
    if filled.unreadable > 0 {
        tracing::error!(
            connection,
            events = filled.unreadable,
            "events of the provider's list cannot be read and start nothing: look at them in its own console"
        );
    }
    if filled.too_old > 0 {
        tracing::warn!(
            connection,
            events = filled.too_old,
            "events of the provider's list are older than what was pruned and start nothing"
        );
    }
    if filled.new > 0 {
        tracing::warn!(
            connection,
            events = filled.new,
            "events whose webhooks never came were taken from the provider's list"
        );
    }
}
