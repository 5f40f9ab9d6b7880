//! Events become runs.
