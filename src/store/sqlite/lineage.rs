//! Whether this database is the one that was last worked with, or an older state of it.
//!
//! Asked once, at the opening, before anything is written; what is found is kept in the database, so that it
//! outlives the process until a person accepts it. Must not know what the engine makes of it.

use chrono::TimeDelta;
use sqlx::SqliteConnection;

use super::meta::Meta;
use super::rows::blob;
use super::unavailable;
use super::witness::{Testimony, Witness};
use super::writer::{Halt, Writer};
use crate::base::clock::Instant;
use crate::base::guard::{Guard, holds};
use crate::base::ids::random_uuid;
use crate::store::codec::{instant, text_of};
use crate::store::{Acceptance, Restored, Sign, StoreError};

/// What the database keeps of the last restore.
pub(super) async fn kept(connection: &mut SqliteConnection) -> Result<Option<Restored>, StoreError> {
    let kept = Meta::Restored.kept(connection).await?;
    kept.map(|text| serde_json::from_str(&text))
        .transpose()
        .map_err(|error| Meta::Restored.corrupt(error))
}

/// Keeps it.
pub(super) async fn keep(connection: &mut SqliteConnection, restored: &Restored) -> Result<(), sqlx::Error> {
    Meta::Restored.keep(connection, &text_of(restored)).await
}

/// How far the clock may have been ahead by which an entry is dated.
const CLOCK_AHEAD: TimeDelta = TimeDelta::days(1);

/// What is to be kept of a restore of a state that was whole up to `since`. One that nobody has accepted yet goes on;
/// what one that was accepted forgot stays forgotten.
pub(super) fn mark(sign: Sign, since: Instant, before: Option<&Restored>) -> Restored {
    let open = before.filter(|before| before.holds());
    let mut earlier = before.map(|before| before.earlier.clone()).unwrap_or_default();
    earlier.extend(before.filter(|before| !before.holds()).map(Restored::span));
    Restored {
        sign,
        since: open.map_or(since, |open| open.since.min(since)),
        last_sent_at: None,
        noticed_at: None,
        accepted: None,
        token: random_uuid().to_string(),
        newest_at: None,
        earlier,
    }
}

/// Up to when the journals of a database that says nothing of it are whole.
pub(super) async fn newest_entry(connection: &mut SqliteConnection) -> Result<Instant, StoreError> {
    let (_, newest) = entered(connection).await.map_err(unavailable)?;
    Ok(newest.map_or_else(Instant::default, |newest| newest - CLOCK_AHEAD))
}

/// When the first and the last entry of all journals were made, by their own word.
async fn entered(connection: &mut SqliteConnection) -> Result<(Option<Instant>, Option<Instant>), sqlx::Error> {
    let (first, last): (Option<i64>, Option<i64>) = sqlx::query_as("SELECT min(at), max(at) FROM journal")
        .fetch_one(connection)
        .await?;
    Ok((first.map(instant), last.map(instant)))
}

/// Holds the database against what stands beside it, and keeps what that means.
pub(super) async fn examine(
    connection: &mut SqliteConnection,
    witness: &mut Witness,
    said: Result<Option<Testimony>, String>,
) -> Result<Option<Restored>, StoreError> {
    let known = kept(connection).await?;
    let own = Meta::Witness.kept(&mut *connection).await?;
    let sign = match &said {
        Ok(None) => has_runs(connection).await?.then_some(Sign::Copied),
        // It vouches for the database that it stood beside, not for another that was put over that.
        Ok(Some(Testimony::Nothing { token })) => {
            let is_another = token.is_some() && *token != own && holds(Guard::WitnessOwn);
            (is_another && has_runs(connection).await?).then_some(Sign::Copied)
        }
        Ok(Some(Testimony::Entry { run, seq, .. })) => {
            let found: Option<i64> = sqlx::query_scalar("SELECT 1 FROM journal WHERE run = $1 AND seq = $2")
                .bind(blob(*run))
                .bind(i64::from(*seq))
                .fetch_optional(&mut *connection)
                .await
                .map_err(unavailable)?;
            found.is_none().then_some(Sign::Behind)
        }
        Ok(Some(Testimony::Restore { token })) => {
            let same = known.as_ref().is_some_and(|known| known.token == *token);
            (!same).then_some(Sign::Behind)
        }
        Err(_) => Some(Sign::Unreadable),
    };
    let sign = sign.filter(|_| holds(Guard::RestoreNoticed));
    let last_sent = match &said {
        Ok(Some(Testimony::Entry { at, .. })) => Some(*at),
        _ => None,
    };
    let mut restored = match (known, sign) {
        // A backup says so itself, whatever stands beside it.
        (Some(fresh), _) if fresh.noticed_at.is_none() => Restored {
            token: random_uuid().to_string(),
            ..fresh
        },
        (known, Some(sign)) => mark(sign, newest_entry(connection).await?, known.as_ref()),
        (known, None) => {
            let says_nothing = match said {
                Ok(None) => true,
                Ok(Some(Testimony::Nothing { token })) => token.is_none() || token != own,
                _ => false,
            };
            if says_nothing {
                let token = random_uuid().to_string();
                Meta::Witness.keep(connection, &token).await.map_err(unavailable)?;
                testify(witness, &Testimony::Nothing { token: Some(token) })?;
            }
            return Ok(known);
        }
    };
    // One from before that is of another history of this folder, and says nothing of this one.
    let known_last = last_sent.filter(|at| *at >= restored.since);
    restored.last_sent_at = known_last.or(restored.last_sent_at);
    keep(connection, &restored).await.map_err(unavailable)?;
    let token = restored.token.clone();
    testify(witness, &Testimony::Restore { token })?;
    Ok(Some(restored))
}

fn testify(witness: &mut Witness, testimony: &Testimony) -> Result<(), StoreError> {
    witness
        .say(testimony)
        .and_then(|()| witness.sync())
        .map_err(|error| StoreError::Unavailable(format!("`bursar.sent` cannot be written: {error}")))
}

async fn has_runs(connection: &mut SqliteConnection) -> Result<bool, StoreError> {
    let any: Option<i64> = sqlx::query_scalar("SELECT 1 FROM run LIMIT 1")
        .fetch_optional(connection)
        .await
        .map_err(unavailable)?;
    Ok(any.is_some())
}

/// A restore that is noticed now. What the older state dates later was dated by a clock that was ahead, and does not
/// say up to when its journals are whole: they may be forgotten from the first on.
async fn noticed(
    connection: &mut SqliteConnection,
    mut restored: Restored,
    now: Instant,
) -> Result<Restored, sqlx::Error> {
    let (first, last) = entered(connection).await?;
    let made: Option<i64> = sqlx::query_scalar("SELECT max(created_at) FROM run")
        .fetch_one(connection)
        .await?;
    restored.noticed_at = Some(now);
    restored.newest_at = last.max(made.map(instant)).filter(|newest| *newest > now);
    if restored.since > now {
        restored.since = first.unwrap_or(now).min(now) - CLOCK_AHEAD;
    }
    Ok(restored)
}

impl Writer {
    /// Names an effect to the witness. Its intent is committed and nobody knows of it yet.
    pub(super) fn testify(&mut self) -> Result<(), sqlx::Error> {
        match self.sent.take() {
            Some(testimony) => self.witness.say(&testimony).map_err(sqlx::Error::Io),
            None => Ok(()),
        }
    }

    /// What is known of a restore; whoever asks first says when it was noticed.
    pub(super) async fn restored(&mut self, now: Instant) -> Result<Option<Restored>, Halt> {
        if let Some(restored) = self.restored.as_ref().filter(|restored| restored.noticed_at.is_none()) {
            let noticed = noticed(&mut self.connection, restored.clone(), now).await?;
            keep(&mut self.connection, &noticed).await?;
            self.restored = Some(noticed);
        }
        Ok(self.restored.clone())
    }

    /// A person says that sending may go on.
    pub(super) async fn accept_restore(&mut self, acceptance: Acceptance) -> Result<(), Halt> {
        self.restored(acceptance.at).await?;
        let Some(restored) = self.restored.as_mut().filter(|restored| restored.holds()) else {
            let message = "no restore waits to be accepted: payments are sent as usual".to_owned();
            return Err(StoreError::Conflict(message).into());
        };
        restored.accepted = Some(acceptance);
        keep(&mut self.connection, restored).await?;
        Ok(())
    }
}
