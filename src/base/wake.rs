//! The nudge between rooms that only meet in the store: "there is new work, look again".
//!
//! A lost nudge costs latency, never work: everyone who waits on one also looks at intervals.

use std::sync::Arc;

use tokio::sync::Notify;

/// A cheap-to-clone nudge. Nudging with nobody waiting is remembered once.
#[derive(Debug, Clone, Default)]
pub struct Wake(Arc<Notify>);

impl Wake {
    /// A nudge nobody has used yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Says that there is new work.
    pub fn nudge(&self) {
        self.0.notify_one();
    }

    /// Waits until somebody nudges.
    pub async fn nudged(&self) {
        self.0.notified().await;
    }
}
