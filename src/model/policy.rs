//! Policy: the one place that lets a movement of money through.
//!
//! [`decide`] is the only maker of a [`Clearance`], and `connector::client` sends nothing that moves money
//! without one. Pure: what has been spent is an argument.

use serde::{Deserialize, Serialize};

use super::journal::StepPath;
use crate::base::guard::{Guard, holds};
use crate::base::ids::{Digest, RunId};
use crate::base::money::Money;

/// What a request would move.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Movement {
    /// How much; absent where the endpoint names none (a whole deposit is returned, for instance).
    pub amount: Option<Money>,
    /// From where, in the provider's words.
    pub source: Option<String>,
    /// To whom, in the provider's words.
    pub beneficiary: Option<String>,
}

/// What the decision is about.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// The run that asks.
    pub run: RunId,
    /// Its step.
    pub path: &'a StepPath,
    /// The connection the money would move on.
    pub connection: &'a str,
    /// Connections the workflow's manifest allows.
    pub uses: &'a [String],
    /// What exactly would be sent.
    pub fingerprint: Digest,
    /// What it would move.
    pub movement: &'a Movement,
}

/// The answer.
#[derive(Debug)]
pub enum Decision {
    /// It may be sent, once, as it is.
    Allowed(Clearance),
    /// It may not; the script sees a failure with this sentence.
    Denied(String),
}

/// Proof that policy allowed one money movement. Its fields are private: only [`decide`] makes one.
#[derive(Debug)]
pub struct Clearance {
    run: RunId,
    path: StepPath,
    fingerprint: Digest,
}

impl Clearance {
    /// Whether this clearance is for exactly that request.
    pub fn covers(&self, run: RunId, path: &StepPath, fingerprint: Digest) -> bool {
        self.run == run && self.path == *path && self.fingerprint == fingerprint || !holds(Guard::ClearanceCovers)
    }
}

/// Decides one money movement.
pub fn decide(question: &Question<'_>) -> Decision {
    if !question.uses.iter().any(|name| name == question.connection) && holds(Guard::PolicyUses) {
        return Decision::Denied(format!(
            "the manifest does not list connection `{}` in `uses`",
            question.connection
        ));
    }
    let too_little = |amount: &Money| !amount.is_positive() && holds(Guard::PolicyPositive);
    if let Some(amount) = question.movement.amount.filter(too_little) {
        return Decision::Denied(format!("{amount} cannot be moved: an amount must be more than zero"));
    }
    Decision::Allowed(Clearance {
        run: question.run,
        path: question.path.clone(),
        fingerprint: question.fingerprint,
    })
}
