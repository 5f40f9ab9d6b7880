//! Up to when events were pruned: one that happened before and comes again is not known any more, and must not make its
//! runs a second time.

use sqlx::SqliteConnection;

use super::admit::Arrival;
use super::read_failed;
use super::rows::corrupt;
use super::writer::{Answers, Writer};
use crate::base::clock::Instant;
use crate::base::guard::{Guard, holds};
use crate::store::codec::instant;
use crate::store::{Admitted, StoreError};

/// Keeps the time, in nanoseconds, unless a later one is kept.
pub(super) async fn keep(connection: &mut SqliteConnection, before: i64) -> Result<(), sqlx::Error> {
    let kept: Option<Vec<u8>> = value(connection).await?;
    let kept = kept.and_then(|bytes| read(&bytes));
    if kept.is_some_and(|kept| kept >= before) {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO meta (name, value) VALUES ('pruned_before', $1) \
         ON CONFLICT (name) DO UPDATE SET value = excluded.value",
    )
    .bind(before.to_string().into_bytes())
    .execute(connection)
    .await
    .map(drop)
}

/// The time, if anything was pruned.
pub(super) async fn kept(connection: &mut SqliteConnection) -> Result<Option<Instant>, StoreError> {
    let Some(bytes) = value(connection).await.map_err(read_failed)? else {
        return Ok(None);
    };
    let nanos = read(&bytes).ok_or_else(|| corrupt("up to when events were pruned", "it is no number"))?;
    Ok(Some(instant(nanos)))
}

async fn value(connection: &mut SqliteConnection) -> Result<Option<Vec<u8>>, sqlx::Error> {
    sqlx::query_scalar("SELECT value FROM meta WHERE name = 'pruned_before'")
        .fetch_optional(connection)
        .await
}

fn read(bytes: &[u8]) -> Option<i64> {
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

impl Writer {
    /// Answers what happened before that time, and gives back the others.
    pub(super) async fn refuse_pruned(
        &mut self,
        arrivals: Vec<Arrival>,
        answers: &mut Answers,
    ) -> Result<Vec<Arrival>, sqlx::Error> {
        let Some(pruned_before) = self.pruned_before.filter(|_| holds(Guard::PrunedStays)) else {
            return Ok(arrivals);
        };
        let is_old = |arrival: &Arrival| arrival.event().occurred_at.is_some_and(|at| at < pruned_before);
        let (old, young): (Vec<_>, Vec<_>) = arrivals.into_iter().partition(is_old);
        if old.is_empty() {
            return Ok(young);
        }
        let keys: Vec<(&str, &str)> = old
            .iter()
            .map(|arrival| {
                (
                    arrival.event().connection.as_str(),
                    arrival.event().provider_id.as_str(),
                )
            })
            .collect();
        let known = self.known_events(&keys).await?;
        for arrival in old {
            let event = arrival.event();
            let key = (event.connection.clone(), event.provider_id.clone());
            let answer = match known.get(&key) {
                Some(event) => Admitted::Duplicate { event: *event },
                None => Admitted::TooOld { pruned_before },
            };
            answers.later(arrival.into_reply(), Ok(answer));
        }
        Ok(young)
    }
}
