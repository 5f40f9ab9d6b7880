//! Money of ours that is on its way, as the store tells it. Plain data: what follows from it is the engine's.

use crate::base::clock::Instant;
use crate::base::ids::RunId;
use crate::base::money::Money;
use crate::model::journal::StepPath;

/// For so long what a provider has taken may still arrive, as far as nobody hears how it ended: five banking days, with two
/// weekends and the longest row of bank holidays between them.
pub const ACCEPTED_DAYS_MAX: i64 = 14;

/// What of ours is on its way out of an account, or to it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OpenMovements {
    /// How often something was begun out of the account so far, or reserved out of it or into it.
    pub times: u64,
    /// What was begun and has no end yet, and what is reserved.
    pub movements: Vec<OpenMovement>,
}

/// One movement without an end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenMovement {
    /// Its run.
    pub run: RunId,
    /// The step that has begun it, or reserved it for one below.
    pub step: StepPath,
    /// Whether it was begun: it may have been sent.
    pub begun: bool,
    /// Out of which account, in the provider's words.
    pub source: String,
    /// Into which, in the provider's words.
    pub beneficiary: Option<String>,
    /// How much, if the request says so.
    pub amount: Option<Money>,
}

/// A movement to an account of ours that the provider has taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// Its run.
    pub run: RunId,
    /// The step that has moved it.
    pub step: StepPath,
    /// How much.
    pub amount: Money,
    /// When it was known that it was taken.
    pub at: Instant,
}

/// What a step is about to move, and what it knew of the accounts when it decided so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reservation {
    /// The step of the leased run; what is moved is moved by steps below it.
    pub step: StepPath,
    /// On which connection.
    pub connection: String,
    /// The accounts it has read, each with [`OpenMovements::times`].
    pub seen: Vec<(String, u64)>,
    /// What it moves.
    pub moves: Vec<ReservedMove>,
}

/// One movement that a step has reserved and does not begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// The step of the leased run that has reserved it.
    pub step: StepPath,
    /// On which connection.
    pub connection: String,
    /// What it was to move.
    pub reserved: ReservedMove,
}

/// One movement that is reserved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReservedMove {
    /// Out of which account.
    pub source: String,
    /// Into which, if it is one of ours.
    pub beneficiary: Option<String>,
    /// How much.
    pub amount: Money,
}
