//! Up to when events were pruned: one that happened before and comes again is not known any more, and must not make its
//! runs a second time.

use sqlx::SqliteConnection;

use super::admit::Arrival;
use super::meta::Meta;
use super::writer::{Answers, Writer};
use crate::base::clock::Instant;
use crate::base::guard::{Guard, holds};
use crate::store::codec::{instant, nanos};
use crate::store::{Admitted, StoreError};

/// Keeps the time.
pub(super) async fn keep(connection: &mut SqliteConnection, before: Instant) -> Result<(), sqlx::Error> {
    Meta::PrunedBefore.keep(connection, &nanos(before).to_string()).await
}

/// The time, if anything was pruned.
pub(super) async fn kept(connection: &mut SqliteConnection) -> Result<Option<Instant>, StoreError> {
    let kept = Meta::PrunedBefore.kept(connection).await?;
    kept.map(|nanos| nanos.parse().map(instant))
        .transpose()
        .map_err(|error| Meta::PrunedBefore.corrupt(error))
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
