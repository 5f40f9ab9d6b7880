//! Keys: what makes a request that is sent again the same one at the provider, and for how long that is believed.
//!
//! A key follows from the run, the step and the epoch, so that whoever goes on with a step has the same. Our trust in it
//! ends before the provider's window does, by the wall clock and by the clock that never goes back. Sends no effect.

use std::time::Duration;

use chrono::TimeDelta;

use super::effect::Open;
use super::turn::Turn;
use crate::base::clock::Instant;
use crate::base::guard::{Guard, holds};
use crate::base::ids::random_uuid;
use crate::base::key::derived_uuid;
use crate::base::limits::PROVIDER_TOTAL_TIMEOUT;
use crate::connector::client::SendError;
use crate::connector::connection::Connection;
use crate::connector::reply::{RawAnswer, provider_time};
use crate::connector::request::prepare;
use crate::connector::table::{Endpoint, InDoubt, InFlight};
use crate::model::journal::{Intent, StepPath};
use crate::model::value::Map;

/// The least time by which the trust in a key ends before the provider's window does.
const KEY_MARGIN_MIN: Duration = Duration::from_secs(600);

impl Turn {
    pub(super) fn key(&self, path: &StepPath, epoch: u32) -> String {
        if !holds(Guard::KeyDerived) {
            return random_uuid().to_string();
        }
        let parts = [self.run.id.to_string(), path.to_string(), epoch.to_string()];
        derived_uuid(
            &self.services.installation_secret,
            &parts.each_ref().map(String::as_str),
        )
        .to_string()
    }

    /// Whether the same bytes may go out again under the same key although the first may have arrived: the table
    /// has to say that the endpoint repeats, and the key has to be young by the wall clock and by the clock that
    /// never goes back. A key of unknown age is not young. What is the same however often it is done needs none.
    pub(super) fn may_repeat(&self, open: &Open<'_>) -> bool {
        let is_same = open.endpoint.same_twice || open.endpoint.key.is_for_good();
        if is_same && is_repeated(open.connection, open.endpoint) {
            return true;
        }
        self.young_by_the_wall(open)
            .is_some_and(|(key, _)| self.services.trusts(key) == Some(true) || !holds(Guard::KeyAge))
    }

    /// The key and the end of our trust in it, if that has not come by the wall clock. A wall clock that stands
    /// before the first attempt has been set back, and says nothing.
    fn young_by_the_wall<'a>(&self, open: &'a Open<'_>) -> Option<(&'a str, Instant)> {
        let (key, until) = (key_name(&open.intent), open.intent.key_safe_until?);
        let now = self.now();
        let young = open.first_sent <= now && now < until || !holds(Guard::KeyWindow);
        (is_repeated(open.connection, open.endpoint) && young).then_some((key, until))
    }

    /// Until when the key of an effect that goes out now is trusted, if it has one. By the provider's clock too: what ours
    /// says now may not be what it says when another process reads this. Who has not said what time it is, is asked first;
    /// a key whose time nobody tells is not trusted. An error: it does not answer.
    pub(super) fn safe_until(
        &self,
        connection: &Connection,
        endpoint: &Endpoint,
    ) -> Result<Option<Instant>, SendError> {
        let Some(window) = connection.key_window(endpoint).map(trusted) else {
            return Ok(None);
        };
        let now = self.now();
        let is_of_use = !window.is_zero() && is_repeated(connection, endpoint) && holds(Guard::KeyTheirTime);
        let window = TimeDelta::from_std(window).unwrap_or_default();
        if !is_of_use {
            return Ok(Some(now + window));
        }
        let theirs = match self.services.time_at(&connection.name) {
            Some(theirs) => Some(theirs),
            None => self.asked_time(connection)?,
        };
        Ok(Some(theirs.map_or(now, |theirs| theirs.min(now) + window)))
    }

    /// What time it is at the provider, by a read that changes nothing, if it tells.
    pub(super) fn asked_time(&self, connection: &Connection) -> Result<Option<Instant>, SendError> {
        let read = connection.connector.harmless_read();
        let request = read.and_then(|read| Some((read, prepare(connection, read, &Map::new(), None).ok()?.request)));
        let Some((read, request)) = request else {
            return Ok(None);
        };
        self.count_request(connection);
        let answer = self.block_on(self.services.client.send(connection, read, &request, None));
        let time = self.hear_time(connection, &answer);
        match answer {
            Ok(_) | Err(SendError::NoCredential(_)) => Ok(time),
            Err(error) => Err(error),
        }
    }

    /// Remembers what the provider's clock says.
    pub(super) fn hear_time(&self, connection: &Connection, answer: &Result<RawAnswer, SendError>) -> Option<Instant> {
        let time = provider_time(answer.as_ref().ok()?)?;
        self.services.hear_time(&connection.name, time);
        Some(time)
    }

    /// Finds out the age of a key that goes out again. Of one that an earlier process sent no clock of ours ran all the
    /// time since, and the wall clock may have been set back meanwhile; of one that this process sent both may have stood
    /// still with the machine. The provider's says how much is left, and from then on the clock that never goes back
    /// counts. What the provider does not say stays unknown, or as this process knows it.
    pub(super) fn learn_age(&self, open: &Open<'_>) -> Result<(), SendError> {
        let Some((key, until)) = self.young_by_the_wall(open) else {
            return Ok(());
        };
        if self.services.trusts(key).is_some() && !holds(Guard::KeyAskedAgain) {
            return Ok(());
        }
        if let Some(theirs) = self.asked_time(open.connection)? {
            self.services.trust(key, (until - theirs).to_std().unwrap_or_default());
        }
        Ok(())
    }
}

/// Whether the table says that what nobody knows the outcome of may be repeated. An error that came after the effect may
/// have left the key free, and one that was lost on its way looks like any other silence: there nothing is.
fn is_repeated(connection: &Connection, endpoint: &Endpoint) -> bool {
    let is_freed = connection.connector.frees(endpoint) && holds(Guard::KeyKept);
    (endpoint.in_doubt == InDoubt::Repeat || !holds(Guard::RepeatAllowed)) && !is_freed
}

/// The name under which this process remembers the age of what an intent was sent under: its key, or what bears it.
pub(super) fn key_name(intent: &Intent) -> &str {
    intent.key.as_deref().unwrap_or(&intent.reference)
}

/// From when on what was last sent then is not on its way any more, where the provider does not say what becomes of a
/// second one beside it.
pub(super) fn alone_from(connection: &Connection, endpoint: &Endpoint, last_sent: Instant) -> Option<Instant> {
    let is_unknown = connection.connector.in_flight(endpoint) == Some(InFlight::Unknown);
    let longest = TimeDelta::from_std(PROVIDER_TOTAL_TIMEOUT).unwrap_or(TimeDelta::MAX);
    (is_unknown && holds(Guard::InFlight)).then(|| last_sent + longest)
}

/// For how long a key is trusted: the provider's window less a margin for clocks and queues.
pub(super) fn trusted(window: Duration) -> Duration {
    if !holds(Guard::KeyMargin) {
        return window;
    }
    window.saturating_sub((window / 10).max(KEY_MARGIN_MIN))
}
