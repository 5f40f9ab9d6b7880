//! Which versions the store is known to have, so that each is written once and not for every run.
//!
//! A run is pinned to its version, so the version is durable before the run is.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use crate::base::ids::Digest;
use crate::model::workflow::Version;
use crate::store::{Store, StoreError};

/// The digests this process has saved. Shared by all triggers.
#[derive(Debug, Default)]
pub struct KnownVersions(Mutex<HashSet<Digest>>);

impl KnownVersions {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes sure that the store has this version.
    ///
    /// # Errors
    /// What the store says.
    pub async fn keep(&self, store: &dyn Store, version: &Version) -> Result<(), StoreError> {
        if self.lock().contains(&version.digest) {
            return Ok(());
        }
        store.save_version(version.clone()).await?;
        self.lock().insert(version.digest);
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashSet<Digest>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
