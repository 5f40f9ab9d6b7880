//! What became of every request at the webhook door: the outcomes, their answers, and how often.
//!
//! One table says everything about an outcome, so that a new one cannot be forgotten anywhere.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use hyper::StatusCode;

use crate::trigger::webhook::Unsigned;

/// What became of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// A new event, durable now.
    Accepted,
    /// An event that was durable already.
    Duplicate,
    /// An event that may have been pruned.
    TooOld,
    /// Another path than that of a webhook.
    NotFound,
    /// Another method than POST.
    WrongMethod,
    /// A body over the limit.
    TooLarge,
    /// A body that would have to be decoded before it could be verified.
    Encoded,
    /// A body that did not come in time, or broke off.
    Incomplete,
    /// No proof that the provider sent it.
    Unsigned,
    /// A large body of an address whose requests were unsigned again and again.
    HeldBack,
    /// Signed, but not an event.
    BadPayload,
    /// The store could not take it.
    Unavailable,
    /// The program itself failed over it.
    Failed,
}

/// Outcome, its name in figures, the status of the answer, the text of the answer.
const ANSWERS: [(Outcome, &str, StatusCode, &str); 13] = [
    (Outcome::Accepted, "accepted", StatusCode::OK, "accepted\n"),
    (Outcome::Duplicate, "duplicate", StatusCode::OK, "known already\n"),
    (
        Outcome::TooOld,
        "too_old",
        StatusCode::OK,
        "older than what was pruned: it starts nothing\n",
    ),
    (Outcome::NotFound, "not_found", StatusCode::NOT_FOUND, "not found\n"),
    (
        Outcome::WrongMethod,
        "wrong_method",
        StatusCode::METHOD_NOT_ALLOWED,
        "only POST\n",
    ),
    (
        Outcome::TooLarge,
        "too_large",
        StatusCode::PAYLOAD_TOO_LARGE,
        "the body is too large\n",
    ),
    (
        Outcome::Encoded,
        "encoded",
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "no content encoding is accepted\n",
    ),
    (
        Outcome::Incomplete,
        "incomplete",
        StatusCode::REQUEST_TIMEOUT,
        "the body did not arrive\n",
    ),
    (
        Outcome::Unsigned,
        "unsigned",
        StatusCode::UNAUTHORIZED,
        "the signature was not accepted\n",
    ),
    // Nothing is known of this very request, so 401 would be a guess. Where a provider shares the address with
    // somebody else it tries again later: the one thing 429 says.
    (
        Outcome::HeldBack,
        "held_back",
        StatusCode::TOO_MANY_REQUESTS,
        "too many unsigned requests: try again later\n",
    ),
    (
        Outcome::BadPayload,
        "bad_payload",
        StatusCode::BAD_REQUEST,
        "the body is not an event\n",
    ),
    (
        Outcome::Unavailable,
        "unavailable",
        StatusCode::SERVICE_UNAVAILABLE,
        "try again later\n",
    ),
    (
        Outcome::Failed,
        "failed",
        StatusCode::INTERNAL_SERVER_ERROR,
        "it failed here: try again later\n",
    ),
];

impl Outcome {
    fn row(self) -> usize {
        ANSWERS
            .iter()
            .position(|(outcome, ..)| *outcome == self)
            .expect("the table has a row for every outcome, as its test checks")
    }

    /// Its name in figures.
    pub fn name(self) -> &'static str {
        ANSWERS[self.row()].1
    }

    /// The status of the answer.
    pub fn status(self) -> StatusCode {
        ANSWERS[self.row()].2
    }

    /// The text of the answer: the same for every sender, whatever the reason was.
    pub fn text(self) -> &'static str {
        ANSWERS[self.row()].3
    }

    /// Whether an event is durable.
    pub fn is_taken(self) -> bool {
        matches!(self, Self::Accepted | Self::Duplicate)
    }
}

/// How often each outcome happened since the start of the process.
#[derive(Debug, Default)]
pub struct DoorCounters {
    outcomes: [AtomicU64; ANSWERS.len()],
    /// Why deliveries were unsigned.
    reasons: [AtomicU64; Unsigned::ALL.len()],
    /// Connections closed at once because their address had as many as it may.
    turned_away: AtomicU64,
}

impl DoorCounters {
    /// All zero.
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts one, and says how many there are now.
    pub fn count(&self, outcome: Outcome) -> u64 {
        self.outcomes[outcome.row()].fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The figure of one outcome.
    pub fn of(&self, outcome: Outcome) -> u64 {
        self.outcomes[outcome.row()].load(Ordering::Relaxed)
    }

    /// Counts why one was unsigned.
    pub fn count_reason(&self, reason: Unsigned) {
        if let Some(row) = Unsigned::ALL.iter().position(|(known, _)| *known == reason) {
            self.reasons[row].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts a connection that was not let in.
    pub fn count_turned_away(&self) {
        self.turned_away.fetch_add(1, Ordering::Relaxed);
    }

    /// All figures by name.
    pub fn figures(&self) -> BTreeMap<String, u64> {
        let outcomes = ANSWERS
            .iter()
            .map(|(outcome, name, ..)| ((*name).to_owned(), self.of(*outcome)));
        let reasons = Unsigned::ALL.iter().zip(&self.reasons);
        let reasons = reasons.map(|((_, name), count)| (format!("unsigned_{name}"), count.load(Ordering::Relaxed)));
        let turned_away = ("turned_away".to_owned(), self.turned_away.load(Ordering::Relaxed));
        outcomes.chain(reasons).chain([turned_away]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_has_one_row_and_one_name() {
        for (row, (outcome, name, ..)) in ANSWERS.iter().enumerate() {
            // A missing arm does not compile; a missing row panics here.
            match outcome {
                Outcome::Accepted
                | Outcome::Duplicate
                | Outcome::TooOld
                | Outcome::NotFound
                | Outcome::WrongMethod
                | Outcome::TooLarge
                | Outcome::Encoded
                | Outcome::Incomplete
                | Outcome::Unsigned
                | Outcome::HeldBack
                | Outcome::BadPayload
                | Outcome::Unavailable
                | Outcome::Failed => assert_eq!(outcome.row(), row, "{name}"),
            }
        }
        let figures = DoorCounters::new().figures();
        assert_eq!(figures.len(), ANSWERS.len() + Unsigned::ALL.len() + 1);
    }
}
