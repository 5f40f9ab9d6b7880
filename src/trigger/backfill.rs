//! Backfill: an event whose webhook never came is taken from the provider's own list of events.
//!
//! At start, and from time to time, each list is read from where the last reading began, with an overlap. Every event
//! is offered to the store, which knows those that came by webhook; so one that was missed starts its runs, and one
//! that was not starts none a second time. Must not decide what an event starts, and must not move the mark behind an
//! event that was not admitted.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta};

use super::webhook::Connections;
use crate::base::clock::{Clock, Instant};
use crate::base::guard::{Guard, holds};
use crate::base::ids::EventId;
use crate::base::limits::{BACKFILL_OVERLAP, BACKFILLED_EVENTS_MAX, PAGES_MAX};
use crate::base::shutdown::Shutdown;
use crate::base::wake::Wake;
use crate::connector::client::Client;
use crate::connector::connection::Connection;
use crate::connector::event::read_listed;
use crate::connector::reply::{Verdict, classify, classify_error};
use crate::connector::table::{self, Endpoint};
use crate::connector::{page, request};
use crate::model::event::Event;
use crate::model::journal::StoredRequest;
use crate::model::value::{Map, Value, time_text};
use crate::store::{Admitted, Store, StoreError};

/// No clock that is right is before this program.
const EARLIEST: Instant = DateTime::from_timestamp(1_767_225_600, 0).expect("2026-01-01");
/// How soon a list that could not be read is tried again.
const RETRY: Duration = Duration::from_secs(60);

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
}

/// Why a list could not be read to its end. What was admitted stays; the next reading begins where this one did.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BackfillError {
    /// The provider did not give it.
    #[error("the list of events could not be read: {0}")]
    Provider(String),
    /// It is not known which events are missed.
    #[error("the clock says {0}, which cannot be")]
    Clock(String),
    /// It is endless, or too long for one reading.
    #[error("the list of events has more than {PAGES_MAX} pages")]
    TooLong,
    /// The store could not take it.
    #[error(transparent)]
    Store(#[from] StoreError),
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
}

impl Backfill {
    /// Reads at once, and then from time to time, until it is told to stop.
    pub async fn run(self, mut shutdown: Shutdown) {
        loop {
            let mut pause = self.every;
            for connection in self.connections.values() {
                if shutdown.is_requested() {
                    return;
                }
                let Some(filled) = self.fill(connection).await else {
                    continue;
                };
                if !report(connection, filled) {
                    pause = pause.min(RETRY);
                }
            }
            tokio::select! {
                () = self.clock.sleep(pause) => {}
                () = shutdown.requested() => return,
            }
        }
    }

    /// Reads the list of one connection, if it has one.
    pub async fn fill(&self, connection: &Connection) -> Option<Result<Filled, BackfillError>> {
        let backfill = connection.connector.backfill()?;
        let list = connection.connector.endpoint(&backfill.endpoint)?;
        Some(self.read(connection, backfill, list).await)
    }

    async fn read(
        &self,
        connection: &Connection,
        backfill: &table::Backfill,
        list: &Endpoint,
    ) -> Result<Filled, BackfillError> {
        let begun = self.clock.now();
        if begun < EARLIEST {
            return Err(BackfillError::Clock(time_text(begun)));
        }
        let Some(mark) = self.store.backfill_from(&connection.name).await? else {
            // What happened before the first start is nobody's: nothing was to be done about it.
            self.store.set_backfill_from(&connection.name, begun).await?;
            return Ok(Filled::default());
        };
        let mut filled = Filled::default();
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
        let is_whole = self
            .read_pages(connection, backfill, list, prepared.request, &mut filled)
            .await;
        if is_whole.is_ok() || !holds(Guard::BackfillWhole) {
            // Not from now on: what has just happened may be shown a moment later.
            let next = from.max(begun - BACKFILL_OVERLAP);
            self.store.set_backfill_from(&connection.name, next).await?;
        }
        is_whole.map(|()| filled)
    }

    async fn read_pages(
        &self,
        connection: &Connection,
        backfill: &table::Backfill,
        list: &Endpoint,
        first: StoredRequest,
        filled: &mut Filled,
    ) -> Result<(), BackfillError> {
        let received_at = self.clock.now();
        let mut next = Some(first);
        let mut pages = 0;
        // The newest come first, and are to be admitted last; so they are kept until the end, as far as there is room.
        let mut events = Vec::new();
        while let Some(request) = next.take() {
            if pages >= PAGES_MAX {
                return Err(BackfillError::TooLong);
            }
            pages += 1;
            let answer = self.page(connection, list, &request).await?;
            for item in page::items(&connection.connector, &answer) {
                match read_listed(
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
            next = page::next_page(&connection.connector, list, &request, &answer);
            if next.is_none() && page::says_more(&connection.connector, list, &answer) {
                let reason = "it says that there is more, and not where".to_owned();
                return Err(BackfillError::Provider(reason));
            }
        }
        self.admit(&mut events, filled).await
    }

    async fn page(
        &self,
        connection: &Connection,
        list: &Endpoint,
        request: &StoredRequest,
    ) -> Result<Value, BackfillError> {
        let verdict = match self.client.send(connection, list, request, None).await {
            Ok(answer) => classify(&connection.connector, list, request, None, &answer),
            Err(error) => classify_error(list, &error),
        };
        match verdict {
            Verdict::Applied { value, .. } => Ok(value),
            Verdict::NotApplied { failure, .. } => Err(BackfillError::Provider(failure.message)),
            Verdict::Unknown { reason, .. } | Verdict::Contradiction { reason } => Err(BackfillError::Provider(reason)),
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

/// Says what came of it; whether it was read to its end.
fn report(connection: &Connection, filled: Result<Filled, BackfillError>) -> bool {
    let connection = connection.name.as_str();
    match filled {
        Ok(filled) => {
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
            true
        }
        Err(error) => {
            tracing::warn!(connection, %error, "missed webhooks could not be looked for; it is tried again");
            false
        }
    }
}
