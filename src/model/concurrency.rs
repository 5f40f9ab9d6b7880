//! Concurrency keys: runs of one workflow that must not overlap, so that two never move money of one account at a time.
//!
//! Plain data. Which key a run has is said by its trigger; who goes first is decided by the store, in the write that
//! makes the run.

use serde::{Deserialize, Serialize};

/// How many runs of a workflow with one key may be open at once, and what becomes of one too many.
///
/// A run is open until it has ended: one that waits is, and so is one that is parked, because it is not known what it
/// has moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Concurrency {
    /// What runs that must not overlap have in common.
    pub key: String,
    /// How many may be open at once; at least one.
    pub max: u32,
    /// What becomes of one more.
    pub policy: Overlap,
}

/// What becomes of a run that would overlap with others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// It is not made, and a record says why.
    #[default]
    Skip,
    /// It waits for its turn, in the order of the causes.
    Queue,
    /// The open ones are asked to end; it begins when they have. What they have sent is not undone.
    CancelRunning,
}

impl Overlap {
    /// Every choice with its name in manifests.
    pub const ALL: [(&'static str, Self); 3] = [
        ("skip", Self::Skip),
        ("queue", Self::Queue),
        ("cancel_running", Self::CancelRunning),
    ];
}
